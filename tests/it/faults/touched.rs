//! Files that somebody else cuts, deletes, replaces or writes to while they are downloaded.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Place, Told};
use crate::cli::run::LIMIT;

/// Slow enough to be met in the middle: three seconds.
const SLOW: Option<u64> = Some(1_000_000);

/// Downloads, does `harm` to the unfinished file in the middle, and wants the right bytes. Returns
/// what was told, and how many bytes came in vain.
fn survives(harm: impl Fn(&Path)) -> (Told, u64) {
    let place = Place::new(&[SLOW]);
    let mut told = place.start_told();
    // Some of it is verified then, most of it is to come.
    assert!(place.seeders[0].wait_served(1_200_000, LIMIT), "nothing was asked for");
    harm(&place.out().join("alpha/first.bin.part"));
    told.end();
    place.payloads[0].assert_same(&place.out());
    assert!(place.wasted(0) > 0, "there was no harm");
    let wasted = place.wasted(0);
    (told, wasted)
}

#[test]
fn a_file_that_is_cut_is_made_whole_again() {
    survives(|path| File::options().write(true).open(path).unwrap().set_len(1000).unwrap());
}

#[test]
fn a_file_that_is_deleted_is_fetched_again_at_once_and_told_once() {
    let (told, wasted) = survives(|path| fs::remove_file(path).unwrap());
    assert_eq!(told.count("file_changed"), 1, "{:#?}", told.all);
    assert_eq!(told.count("disk_trouble") + told.count("hash_failed"), 0, "{:#?}", told.all);
    // What was there then, what was on its way, and no more.
    assert!(wasted < 1_900_000, "{wasted} bytes in vain");
}

#[test]
fn a_file_that_is_replaced_is_fetched_again() {
    survives(|path| {
        let other = path.with_extension("other");
        fs::write(&other, vec![1; 2_000_001]).unwrap();
        fs::rename(other, path).unwrap();
    });
}

#[test]
fn a_file_that_is_written_to_is_checked_again() {
    survives(|path| {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&vec![1; 1_900_000], 50_000).unwrap();
    });
}

//! Directories that go away: unmounted under the program or before its start, and deleted. What
//! stands in their place is never filled.

use std::fs;
use std::time::{Duration, Instant};

use super::mounts::Image;
use super::{PIECE, Place, Told};
use crate::cli::run::{LIMIT, Running};

/// Slow enough to be met in the middle: three seconds.
const SLOW: Option<u64> = Some(1_000_000);
/// What may be fetched again for pieces that were open, or not yet on the device.
const AGAIN_MAX: u64 = 2_000_000;

#[test]
fn an_unmounted_disk_is_let_go_and_waited_for() {
    for dir in ["out", "out/deeper"] {
        let place = Place::new(&[SLOW]);
        let Some(image) = Image::new(&place.home.path().join("image")) else { return };
        let disk = image.mount(&place.out());
        let running = Running::start(place.command_into(dir).arg("-e"));
        let mut told = Told::of(running);
        assert!(place.seeders[0].wait_served(1_200_000, LIMIT), "nothing was asked for");
        let since = Instant::now();
        disk.detach();
        let why = told.trouble(since, None);
        assert_eq!(
            why,
            format!(
                "{dir} is not the directory it was: is it mounted? it goes on by itself when \
                 that is back"
            )
        );
        // Who pulls the plug now loses nothing.
        let deadline = Instant::now() + LIMIT;
        while image.is_used() {
            assert!(Instant::now() < deadline, "its files are still open");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(told.load() < 0.05);
        for (typed, answer) in [
            ("status", "State      paused by the disk, tried again by itself"),
            ("why", "Paused by the disk, and tried again by itself: out"),
        ] {
            told.ask(typed, answer);
        }
        assert_eq!(fs::read_dir(place.out()).expect("the mount point").count(), 0);
        let _disk = image.mount(&place.out());
        told.end();
        assert_eq!((told.count("disk_trouble"), told.count("disk_recovered")), (1, 1));
        place.payloads[0].assert_same(&place.home.path().join(dir));
        assert!(place.wasted(0) <= AGAIN_MAX, "{} bytes again", place.wasted(0));
    }
}

#[test]
fn a_disk_that_is_not_mounted_at_the_start_is_refused() {
    let place = Place::new(&[SLOW]);
    let Some(image) = Image::new(&place.home.path().join("image")) else { return };
    let disk = image.mount(&place.out());
    let mut running = Running::start(&mut place.command_into("out"));
    assert!(place.seeders[0].wait_served(1_200_000, LIMIT), "nothing was asked for");
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(7));
    disk.detach();
    let mut command = place.command_into("out");
    let ran = crate::cli::run::finish(&mut command);
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("out is not the file system"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(place.out()).expect("the mount point").count(), 0);
    let _disk = image.mount(&place.out());
    let mut told = place.start_told();
    told.end();
    place.payloads[0].assert_same(&place.out());
    assert!(place.wasted(0) <= AGAIN_MAX, "{} bytes again", place.wasted(0));
}

#[test]
fn several_wait_for_a_disk_that_is_mounted_after_the_start() {
    let place = Place::new(&[SLOW, SLOW]);
    let Some(image) = Image::new(&place.home.path().join("image")) else { return };
    let disk = image.mount(&place.out());
    let mut running = Running::start(&mut place.command_into("out"));
    for seeder in &place.seeders {
        assert!(seeder.wait_served(600_000, LIMIT), "nothing was asked for");
    }
    running.signal("TERM");
    running.wait();
    disk.detach();
    // One that ends by itself is refused instead.
    let running = Running::start(place.command_into("out").args(["--seed-time", "1h"]));
    let mut told = Told::of(running);
    for number in [0, 1] {
        let why = told.trouble(Instant::now(), Some(&place.hash(number)));
        assert!(why.starts_with("out is not the file system"), "{why}");
    }
    told.ask("status", "State      paused by the disk");
    assert_eq!(fs::read_dir(place.out()).expect("the mount point").count(), 0);
    let _disk = image.mount(&place.out());
    for number in [0, 1] {
        told.event("completed", Some(&place.hash(number)));
    }
    told.running.type_line("quit");
    assert_eq!(told.running.wait().code, Some(0));
    place.payloads.iter().for_each(|payload| payload.assert_same(&place.out()));
}

#[test]
fn a_deleted_directory_is_made_again_and_all_in_it_fetched_again() {
    let place = Place::new(&[SLOW]);
    let mut told = place.start_told();
    assert!(place.seeders[0].wait_served(1_200_000, LIMIT), "nothing was asked for");
    // A file may be made in it meanwhile.
    while fs::remove_dir_all(place.out()).is_err() {}
    told.told_of("out was deleted: it is made again, and all in it fetched again");
    told.end();
    place.payloads[0].assert_same(&place.out());
    assert!(place.wasted(0) >= u64::from(PIECE), "nothing was lost");
}

//! Checks of what is on disk: what they find, tell meanwhile, and skip.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::disk::check::report;

fn span(begin: u64, end: u64) -> Vec<std::ops::Range<u64>> {
    std::iter::once(begin..end).collect()
}

/// A check of files that were changed after the look at them.
fn check_unseen(running: &Running, trusted: &Bitfield, progress: &CheckProgress) -> CheckReport {
    let shared = &running.handle.shared;
    let store = shared.files.as_ref().map(|files| &*files.store);
    report(&shared.torrent, store, trusted, progress, Default::default(), 24 << 20, None)
}

#[test]
fn a_check_reads_what_is_there_and_says_what_is_wrong_with_each_file() {
    let files = [("whole", 100_000), ("short", 70_000), ("gone", 60_000), ("bad", 100_000)];
    let world = world(32_768, &files);
    world.write_file("whole", world.bytes_of(0));
    world.write_file("short.part", &world.bytes_of(1)[..40_000]);
    let mut bad = world.bytes_of(3).to_vec();
    bad[50_000] ^= 1;
    world.write_file("bad", &bad);
    let running = world.open(world.config()).unwrap();
    let survey = Survey { final_count: 2, part_count: 1, missing_count: 1 };
    assert_eq!(running.handle.survey(), survey);
    let progress = CheckProgress::default();
    let none = Bitfield::none(world.layout.piece_count());
    let report = running.handle.check(&none, &progress);
    // Piece 4 ends behind what there is of "short", piece 8 holds the wrong byte.
    assert_eq!(numbers(&report.have), [0, 1, 2, 3, 9, 10]);
    let expected =
        [FileCheck::Whole, FileCheck::TooShort(40_000), FileCheck::Missing, FileCheck::Wrong(2)];
    assert_eq!(verdicts(&report), expected);
    // Piece 3 is of "whole" and "short", piece 5 of "short" and "gone", piece 7 of "gone" and
    // "bad".
    let [whole, short, gone, bad] = report.files.try_into().unwrap();
    assert_eq!((whole.piece_count, whole.unread), (4, vec![]));
    assert_eq!((short.wrong, short.unread), (vec![], span(31_072, 70_000)));
    assert_eq!((gone.piece_count, gone.wrong_pieces, gone.unread), (3, 0, span(0, 60_000)));
    assert_eq!((bad.wrong, bad.unread), (span(32_144, 64_912), span(0, 32_144)));
    let (done, total) = progress.bytes();
    assert!(done == total && total > 0);
}

#[test]
fn a_check_that_is_cancelled_ends_and_trusted_pieces_are_not_read() {
    let world = world(BLOCK_LEN as u32, &[("a", 20 * BLOCK_LEN as u64)]);
    world.write_file("a", &world.content);
    let running = world.open(world.config()).unwrap();
    let progress = CheckProgress::default();
    progress.cancel();
    let none = Bitfield::none(20);
    let report = running.handle.check(&none, &progress);
    assert!(report.is_cancelled && report.have.ones() == 0);
    world.write_file("a", &vec![0; 20 * BLOCK_LEN]);
    let report = running.handle.check(&Bitfield::all(20), &CheckProgress::default());
    assert!(report.have.is_full());
}

#[test]
fn long_pieces_are_checked_as_they_are_read() {
    let world = world(16 << 20, &[("a", (17 << 20) + 77)]);
    world.write_file("a", &world.content);
    let (_running, report) = world.recheck(world.config()).unwrap();
    assert!(report.have.is_full());
    assert_eq!(verdicts(&report), [FileCheck::Whole]);
}

#[test]
fn a_missing_torrent_of_two_tebibytes_is_checked_without_reading() {
    let layout = Layout::new(2 << 40, 1 << 20).unwrap();
    let small = world(1, &[("a", 1)]);
    let mut config = small.config();
    config.layout = layout;
    config.piece_hashes = vec![0; layout.piece_count() as usize * 20].into();
    config.files = vec![StoreFile { path: "huge".into(), len: 2 << 40, is_pad: false }];
    let running = small.open(config).unwrap();
    let progress = CheckProgress::default();
    let report = running.handle.check(&Bitfield::none(layout.piece_count()), &progress);
    assert_eq!((report.have.ones(), progress.bytes()), (0, (0, 0)));
    assert_eq!(verdicts(&report), [FileCheck::Missing]);
}

#[test]
fn files_that_nobody_runs_are_checked_without_a_record_and_each_refusal_is_told() {
    let unit = BLOCK_LEN as u64;
    let world = world(
        BLOCK_LEN as u32,
        &[("a", 2 * unit), ("pad", unit), ("link", unit), ("b", 2 * unit), ("empty", 0)],
    );
    world.write_file("a.part", world.bytes_of(0));
    let mut bytes = world.bytes_of(3).to_vec();
    bytes[0] ^= 1;
    world.write_file("b", &bytes);
    std::os::unix::fs::symlink("a.part", world.path("link")).unwrap();
    let progress = CheckProgress::default();
    let report = check_files(world.config(), &progress, 24 << 20).unwrap();
    assert!(!world.resume_path().exists() && !world.resume_path().parent().unwrap().exists());
    let expected = [
        FileCheck::Whole,
        FileCheck::Whole,
        FileCheck::Missing,
        FileCheck::Wrong(1),
        FileCheck::Missing,
    ];
    assert_eq!(verdicts(&report), expected);
    assert_eq!(numbers(&report.looked_at), [0, 1, 2, 4, 5]);
    assert_eq!(report.files[3].wrong, span(0, unit));
    let reasons: Vec<_> = report.files.iter().map(|file| file.unreadable.is_some()).collect();
    assert_eq!(reasons, [false, false, true, false, false]);
    assert!(report.unreadable.unwrap().contains("link is not a regular file"));
}

#[test]
fn rows_of_small_pieces_are_read_at_once_and_one_that_cannot_be_read_costs_itself() {
    let unit = BLOCK_LEN as u64;
    let world = world(BLOCK_LEN as u32, &[("a", 40 * unit), ("b", unit), ("c", 40 * unit - 5)]);
    for (file, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.write_file(name, world.bytes_of(file));
    }
    let running = world.open(world.config()).unwrap();
    std::fs::remove_file(world.path("b")).unwrap();
    std::fs::create_dir(world.path("b")).unwrap();
    let report = check_unseen(&running, &Bitfield::none(81), &CheckProgress::default());
    let rest: Vec<u32> = (0..81).filter(|number| *number != 40).collect();
    assert_eq!((numbers(&report.have), numbers(&report.looked_at)), (rest.clone(), rest));
    assert!(report.unreadable.unwrap().contains("reading"));
    assert!(report.files[1].unreadable.is_some() && report.files[0].unreadable.is_none());
}

#[test]
fn what_was_looked_at_is_neither_trusted_nor_missing_nor_unreadable() {
    let unit = BLOCK_LEN as u64;
    let world = world(BLOCK_LEN as u32, &[("a", 4 * unit), ("gone", unit), ("b", 2 * unit)]);
    let mut bytes = world.bytes_of(0).to_vec();
    bytes[2 * BLOCK_LEN] ^= 1;
    world.write_file("a", &bytes);
    world.write_file("b", world.bytes_of(2));
    let running = world.open(world.config()).unwrap();
    // Replaced after the look at it, by something that cannot be read.
    std::fs::remove_file(world.path("b")).unwrap();
    std::fs::create_dir(world.path("b")).unwrap();
    let mut trusted = Bitfield::none(7);
    trusted.insert(world.piece(0));
    let progress = CheckProgress::default();
    assert_eq!(progress.snapshot(), None);
    let report = check_unseen(&running, &trusted, &progress);
    assert_eq!((numbers(&report.looked_at), numbers(&report.have)), (vec![1, 2, 3], vec![0, 1, 3]));
    let snapshot = progress.snapshot().unwrap();
    assert_eq!(
        (numbers(&snapshot.looked_at), numbers(&snapshot.right)),
        (vec![1, 2, 3], vec![1, 3])
    );
}

#[test]
fn a_check_that_was_cancelled_goes_on_where_it_was() {
    const PIECES: u32 = 1024;
    let world = world(1024, &[("a", 1024 * u64::from(PIECES))]);
    let store = Arc::new(MemoryStore::new(world.content.len()));
    let mut bytes = world.content.clone();
    bytes[1024 * 700] ^= 1;
    store.write(&mut Handles::new(1), 0, &[&bytes]).unwrap();
    let (sender, _events) = mpsc::channel(1);
    let handle = world.disk.open_store(world.layout, world.hashes(), store.clone(), sender);
    let handle = handle.unwrap();
    // All of it would take seconds.
    store.faults().delay_us.store(10_000, Relaxed);
    let progress = CheckProgress::default();
    let first = std::thread::scope(|scope| {
        let check = scope.spawn(|| handle.check(&Bitfield::none(PIECES), &progress));
        while progress.snapshot().is_none_or(|so_far| so_far.looked_at.ones() == 0) {
            std::thread::yield_now();
        }
        progress.cancel();
        check.join().unwrap()
    });
    assert!(first.is_cancelled && first.looked_at.ones() < PIECES);
    assert_eq!(progress.snapshot().unwrap().looked_at, first.looked_at);
    store.faults().delay_us.store(0, Relaxed);
    let second = handle.check(&first.looked_at, &CheckProgress::default());
    assert_eq!(first.looked_at.ones() + second.looked_at.ones(), PIECES);
    let mut have = second.have.clone();
    for number in
        first.looked_at.iter_ones().filter(|number| !numbers(&first.have).contains(number))
    {
        have.remove(world.piece(number));
    }
    assert_eq!(numbers(&have), (0..PIECES).filter(|number| *number != 700).collect::<Vec<_>>());
}

#[test]
fn long_pieces_that_go_in_step_are_told_right_from_wrong() {
    const LEN: u64 = 128 << 10;
    let world = world(LEN as u32, &[("a", 7 * LEN), ("b", 12 * LEN + 777), ("c", 3)]);
    let mut bytes = world.bytes_of(1).to_vec();
    // In the second step of a piece, and in the short last one.
    bytes[2 * LEN as usize + 100_000] ^= 1;
    bytes[12 * LEN as usize + 5] ^= 1;
    world.write_file("a", world.bytes_of(0));
    world.write_file("b", &bytes);
    world.write_file("c", world.bytes_of(2));
    let running = world.open(world.config()).unwrap();
    let progress = CheckProgress::default();
    let report = running.handle.check(&Bitfield::none(world.layout.piece_count()), &progress);
    let wrong: Vec<u32> = (0..20).filter(|number| !report.have.has(world.piece(*number))).collect();
    assert_eq!(wrong, [9, 19]);
    assert!(report.looked_at.is_full());
    let total = world.layout.total_len();
    assert_eq!(progress.bytes(), (total, total));
}

#[test]
fn sums_of_whole_files_come_from_the_same_reading() {
    use crate::base::digest::sha256;
    use crate::disk::check_and_sum;

    // Pieces shorter and longer than what is read of one at a time.
    for piece_len in [BLOCK_LEN as u32, 100_000, 1 << 20] {
        let files = [("a", 300_000), ("b", 70_001), ("c", 1_500_000), ("d", 99)];
        let world = world(piece_len, &files);
        for (number, (name, _)) in files.iter().enumerate() {
            world.write_file(name, world.bytes_of(number));
        }
        let sum_of = |number: usize| Some(sha256(&[world.bytes_of(number)]));
        let progress = CheckProgress::default();
        let (report, sums) = check_and_sum(world.config(), &progress, 24 << 20).unwrap();
        assert!(report.have.is_full(), "{piece_len}");
        assert_eq!(sums, [0, 1, 2, 3].map(sum_of), "{piece_len}");
        assert_eq!(progress.bytes().0, world.content.len() as u64, "read once");

        // Wrong bytes have their own sum, and a file whose neighbour is gone is read by itself.
        let mut wrong = world.bytes_of(3).to_vec();
        wrong[98] ^= 1;
        world.write_file("d", &wrong);
        std::fs::remove_file(world.path("b")).unwrap();
        let (report, sums) = check_and_sum(world.config(), &progress, 24 << 20).unwrap();
        assert_eq!(verdicts(&report)[1], FileCheck::Missing);
        assert_eq!(sums, [sum_of(0), None, sum_of(2), Some(sha256(&[&wrong]))], "{piece_len}");
    }
}

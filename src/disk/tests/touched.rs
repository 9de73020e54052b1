//! Files of a torrent that only sends, which others write to, replace, cut or delete: nothing
//! wrong is sent, and one event tells of each cause.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::SystemTime;

use super::*;
use crate::swarm::event::Preparation;

const TWO: [(&str, u64); 2] = [("m/a", 80 * 16_384), ("m/b", 10 * 16_384)];
/// Pieces of the first file.
const OF_A: u32 = 80;

/// A seed that checked all in this run, so that it has no cause to prove a piece again.
fn seed() -> (World, Running) {
    let world = world(BLOCK_LEN as u32, &TWO);
    for (number, (name, _)) in TWO.iter().enumerate() {
        world.write_file(name, world.bytes_of(number));
    }
    let (running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(report.have.ones(), 90);
    (world, running)
}

impl Running {
    fn prepare(&mut self, world: &World, number: u32) -> Preparation {
        let piece = world.piece(number);
        self.handle.submit(Job::Prepare { piece, prove: false }).unwrap();
        self.wait(|event| match event {
            DiskEvent::Prepared { piece: answered, outcome } if answered == piece => Ok(outcome),
            other => Err(other),
        })
    }

    /// Which lost files are back, in words, and their pieces that are right.
    fn restore(&mut self) -> (String, Vec<u32>) {
        self.handle.submit(Job::Restore).unwrap();
        self.wait(|event| match event {
            DiskEvent::Restored { reason, found, .. } => {
                Ok((reason, found.into_iter().map(PieceIndex::number).collect()))
            }
            other => Err(other),
        })
    }

    /// What was told of files: why, and how many pieces were lost.
    fn troubles(&mut self) -> Vec<(String, usize)> {
        while let Ok(event) = self.events.try_recv() {
            self.others.push(event);
        }
        let troubles = self.others.drain(..).filter_map(|event| match event {
            DiskEvent::FileTrouble { reason, lost, .. } => Some((reason, lost.len())),
            _ => None,
        });
        troubles.collect()
    }
}

fn is_unreadable(outcome: &Preparation) -> bool {
    matches!(outcome, Preparation::Unreadable(_))
}

#[test]
fn a_deleted_file_is_one_event_however_many_pieces_are_asked_for() {
    let (world, mut seed) = seed();
    assert!(matches!(seed.prepare(&world, 3), Preparation::Ready));
    fs::remove_file(world.path("m/a")).unwrap();
    for number in 0..OF_A {
        let outcome = seed.prepare(&world, number);
        assert!(is_unreadable(&outcome), "{number}: {outcome:?}");
    }
    assert!(matches!(seed.prepare(&world, 85), Preparation::Ready), "the other file is there");
    let told = seed.troubles();
    assert!(
        matches!(&told[..], [(why, 80)] if why.contains("m/a is gone: somebody deleted, moved or renamed it")),
        "{told:?}"
    );
}

#[test]
fn what_was_written_over_since_the_check_is_never_sent() {
    let (world, mut seed) = seed();
    assert!(matches!(seed.prepare(&world, 10), Preparation::Ready));
    let file = File::options().write(true).open(world.path("m/a")).unwrap();
    // The same length, another time.
    file.write_all_at(&[1; 30 * BLOCK_LEN], 20 * BLOCK_LEN as u64).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    assert!(matches!(seed.prepare(&world, 10), Preparation::Ready), "this one is right");
    assert!(seed.troubles().is_empty(), "nobody asked for what is wrong");
    for number in [20, 49, 30] {
        let outcome = seed.prepare(&world, number);
        assert!(is_unreadable(&outcome), "{number}: {outcome:?}");
    }
    assert!(matches!(seed.prepare(&world, 50), Preparation::Ready));
    let told = seed.troubles();
    assert!(matches!(&told[..], [(why, 30)] if why.contains("m/a was written to")), "{told:?}");
}

#[test]
fn a_file_that_its_user_put_back_is_as_good() {
    let (world, mut seed) = seed();
    fs::copy(world.path("m/a"), world.path("copy")).unwrap();
    fs::rename(world.path("copy"), world.path("m/a")).unwrap();
    for number in [0, 40, 79] {
        assert!(matches!(seed.prepare(&world, number), Preparation::Ready));
    }
    let mut other = world.bytes_of(0).to_vec();
    other[5 * BLOCK_LEN] ^= 1;
    world.write_file("other", &other);
    fs::rename(world.path("other"), world.path("m/a")).unwrap();
    assert!(matches!(seed.prepare(&world, 6), Preparation::Ready));
    assert!(is_unreadable(&seed.prepare(&world, 5)));
    let told = seed.troubles();
    assert!(matches!(&told[..], [(_, 1)]), "{told:?}");
}

#[test]
fn a_file_that_was_cut_is_one_event() {
    let (world, mut seed) = seed();
    File::options().write(true).open(world.path("m/a")).unwrap().set_len(50 * 16_384).unwrap();
    assert!(is_unreadable(&seed.prepare(&world, 60)));
    assert!(is_unreadable(&seed.prepare(&world, 70)));
    assert_eq!(seed.troubles().len(), 1);
}

/// One that only sends fetches nothing of what is lost: its user may put it back.
#[test]
fn a_file_that_was_away_counts_again_when_it_is_back() {
    let (world, mut seed) = seed();
    assert!(matches!(seed.prepare(&world, 3), Preparation::Ready));
    fs::rename(world.path("m/a"), world.path("aside")).unwrap();
    assert!(is_unreadable(&seed.prepare(&world, 3)));
    assert_eq!(seed.troubles().len(), 1);
    assert_eq!(seed.restore(), (String::new(), vec![]), "it is away");
    fs::rename(world.path("aside"), world.path("m/a")).unwrap();
    let (why, found) = seed.restore();
    assert!(why.ends_with("m/a is back"), "{why}");
    assert_eq!(found, (0..OF_A).collect::<Vec<_>>());
    assert!(matches!(seed.prepare(&world, 3), Preparation::Ready));
    assert_eq!(seed.restore().1, [0; 0]);
    drop(seed);
    assert_eq!(world.open(world.config()).unwrap().handle.trusted().ones(), 90);
}

/// It may be away just when it is to be brought to the device.
#[test]
fn a_file_that_was_away_between_two_looks_counts_again() {
    let (world, mut seed) = seed();
    fs::rename(world.path("m/a"), world.path("aside")).unwrap();
    assert!(seed.flush().is_some());
    assert!(is_unreadable(&seed.prepare(&world, 3)));
    fs::rename(world.path("aside"), world.path("m/a")).unwrap();
    assert_eq!(seed.restore().1, (0..OF_A).collect::<Vec<_>>());
    assert!(matches!(seed.prepare(&world, 3), Preparation::Ready));
    assert_eq!(seed.flush(), None);
}

#[test]
fn another_file_at_the_place_of_a_lost_one_is_read_once_and_counts_as_far_as_it_is_right() {
    let (world, mut seed) = seed();
    fs::remove_file(world.path("m/a")).unwrap();
    assert!(is_unreadable(&seed.prepare(&world, 3)));
    world.write_file("m/a", &world.bytes_of(0)[..5 * BLOCK_LEN]);
    assert_eq!(seed.restore().1, [0; 0], "it is still being copied");
    let mut other = world.bytes_of(0).to_vec();
    other[5 * BLOCK_LEN] ^= 1;
    world.write_file("m/a", &other);
    let right: Vec<u32> = (0..OF_A).filter(|piece| *piece != 5).collect();
    assert_eq!(seed.restore().1, right);
    assert!(is_unreadable(&seed.prepare(&world, 5)));
    assert_eq!(seed.restore(), (String::new(), vec![]), "it is the same file");
    let file = File::options().write(true).open(world.path("m/a")).unwrap();
    file.write_all_at(world.bytes_of(0), 0).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(seed.restore().1, [5]);
    assert!(matches!(seed.prepare(&world, 5), Preparation::Ready));
}

/// A copy of the first file in which these pieces are wrong, at another time.
fn other_copy(world: &World, wrong: &[usize]) -> Vec<u8> {
    let mut bytes = world.bytes_of(0).to_vec();
    wrong.iter().for_each(|piece| bytes[piece * BLOCK_LEN] ^= 1);
    bytes
}

/// Writes the first file anew, the same file or another one.
fn put(world: &World, bytes: &[u8], in_place: bool, seconds: u64) {
    let path = if in_place { "m/a" } else { "other" };
    world.write_file(path, bytes);
    let file = File::options().write(true).open(world.path(path)).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    if !in_place {
        fs::rename(world.path(path), world.path("m/a")).unwrap();
    }
}

/// What still counts of a file is not taken over for another one at its place.
#[test]
fn another_file_at_the_place_of_one_that_was_wrong_in_part_is_read_as_a_whole() {
    for in_place in [true, false] {
        let (world, mut seed) = seed();
        put(&world, &other_copy(&world, &[5]), true, 5);
        assert!(is_unreadable(&seed.prepare(&world, 5)));
        assert!(matches!(&seed.troubles()[..], [(_, 1)]));
        put(&world, &other_copy(&world, &[7]), in_place, 10);
        let found = seed.restore().1;
        assert!(found.contains(&5) && !found.contains(&7), "{found:?}");
        assert!(is_unreadable(&seed.prepare(&world, 7)), "in place: {in_place}");
        assert!(matches!(seed.prepare(&world, 5), Preparation::Ready));
        drop(seed);
        let trusted = world.open(world.config()).unwrap().handle.trusted();
        let lacking = numbers(&Bitfield::all(90).minus(&trusted));
        assert_eq!(lacking, [7], "in place: {in_place}");
    }
}

/// What was not read when a torrent is closed stays in doubt, and keeps nobody waiting.
#[test]
fn of_a_closed_torrent_no_more_is_read() {
    let (world, mut seed) = seed();
    put(&world, &other_copy(&world, &[5]), true, 5);
    assert!(is_unreadable(&seed.prepare(&world, 5)));
    put(&world, &other_copy(&world, &[7]), true, 10);
    let torrent = seed.handle.shared.torrent.clone();
    torrent.is_closed.store(true, Ordering::Release);
    assert!(torrent.restore().found.is_empty());
    torrent.is_closed.store(false, Ordering::Release);
    drop(torrent);
    assert!(is_unreadable(&seed.prepare(&world, 7)));
}

/// What was read before a doubt, and is noted after it, was read in what stood there before.
#[test]
fn what_is_read_while_its_file_changes_does_not_count() {
    let (world, mut seed) = seed();
    put(&world, &other_copy(&world, &[5]), true, 5);
    assert!(is_unreadable(&seed.prepare(&world, 5)));
    let torrent = seed.handle.shared.torrent.clone();
    let before = torrent.losses();
    put(&world, &other_copy(&world, &[5, 7]), true, 10);
    assert!(is_unreadable(&seed.prepare(&world, 7)));
    assert_eq!(torrent.on_written(&[world.piece(5)], before), 0);
    assert!(!torrent.verified.has(world.piece(5)));
    let found = seed.restore().1;
    assert!(!found.contains(&5), "{found:?}");
}

#[test]
fn what_was_right_in_an_unfinished_file_is_not_taken_over_for_a_finished_one() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..10);
    world.write_file("m/a", &other_copy(&world, &[3, 20]));
    let found = running.restore().1;
    assert!(found.contains(&10) && !found.contains(&20), "{found:?}");
    assert!(is_unreadable(&running.prepare(&world, 3)));
    assert!(matches!(running.prepare(&world, 4), Preparation::Ready));
    assert_eq!(fs::read(world.path("m/a.part")).unwrap()[..3], world.bytes_of(0)[..3]);
}

/// It was fetched again when its user put it back.
#[test]
fn our_unfinished_file_goes_when_the_finished_one_is_back_and_no_other() {
    for is_ours in [true, false] {
        let world = world(BLOCK_LEN as u32, &TWO);
        let (mut running, _) = world.resume();
        running.fetch(&world, 0..10);
        world.write_file("m/a", world.bytes_of(0));
        if !is_ours {
            world.write_file("other", b"somebody's");
            fs::rename(world.path("other"), world.path("m/a.part")).unwrap();
        }
        assert_eq!(running.restore().1, (10..OF_A).collect::<Vec<_>>());
        assert!(matches!(running.prepare(&world, 3), Preparation::Ready));
        assert_eq!(world.path("m/a.part").exists(), !is_ours);
        assert_eq!(fs::read(world.path("m/a")).unwrap(), world.bytes_of(0));
    }
}

/// Nobody knows whether what stands there is on the device.
#[test]
fn what_is_back_is_brought_to_the_device() {
    let (world, mut seed) = seed();
    assert_eq!(seed.flush(), None);
    assert_eq!(seed.handle.backlog().bytes, 0);
    fs::rename(world.path("m/a"), world.path("aside")).unwrap();
    assert!(is_unreadable(&seed.prepare(&world, 3)));
    fs::rename(world.path("aside"), world.path("m/a")).unwrap();
    assert_eq!(seed.restore().1.len(), OF_A as usize);
    assert_eq!(seed.handle.backlog().bytes, u64::from(OF_A) * BLOCK_LEN as u64);
    assert_eq!(seed.flush(), None);
    assert_eq!(seed.handle.backlog().bytes, 0);
}

/// A check reads nothing of what is trusted: how its file looked when that was decided still
/// counts.
#[test]
fn what_was_edited_before_a_check_of_other_files_is_not_trusted() {
    let (world, mut running) = seed();
    assert_eq!(running.flush(), None);
    drop(running);
    let file = File::options().write(true).open(world.path("m/b")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    let mut running = world.open(world.config()).unwrap();
    let trusted = running.handle.trusted();
    assert_eq!(trusted.ones(), OF_A);
    put(&world, &other_copy(&world, &[20]), true, 10);
    let report = running.handle.check(&trusted, &Default::default());
    assert_eq!(report.have.ones(), 90);
    running.handle.start(&report.have).unwrap();
    assert!(is_unreadable(&running.prepare(&world, 20)));
    assert!(matches!(running.prepare(&world, 21), Preparation::Ready));
    assert!(matches!(running.prepare(&world, 85), Preparation::Ready));
}

/// The record is believed by length and time; what others did since is named before it is fetched.
#[test]
fn what_others_did_since_the_last_run_is_told_by_file() {
    let (world, mut running) = seed();
    assert_eq!(running.flush(), None);
    drop(running);
    let path = world.path("m/b");
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[1; 2 * BLOCK_LEN], 3 * BLOCK_LEN as u64).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    let changed = || {
        let handle = world.open(world.config()).unwrap().handle;
        let have = handle.check(&handle.trusted(), &Default::default()).have;
        handle.changed(&Bitfield::all(90).minus(&have))
    };
    let edited = ChangedFile { path, is_gone: false, pieces: 2, bytes: 2 * BLOCK_LEN as u64 };
    assert_eq!(changed(), std::slice::from_ref(&edited));
    fs::remove_file(world.path("m/a")).unwrap();
    let [gone, other] = &changed()[..] else { panic!("two files") };
    assert_eq!((other, gone.is_gone, gone.pieces), (&edited, true, OF_A));
}

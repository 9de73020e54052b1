//! The record of verified pieces over restarts, kills, edits and touched files.

use super::*;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use crate::disk::beneath::Stamp;
use crate::disk::record::{Journal, RecordFile, replay};
use crate::swarm::event::Preparation;

fn half() -> World {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000), ("b", 60_000)]);
    let (mut running, have) = world.resume();
    assert_eq!(have.ones(), 0);
    assert_eq!(running.handle.record_state(), RecordState::New);
    running.fetch(&world, [0, 1, 2, 5]);
    world
}

fn trusted(world: &World) -> (RecordState, Vec<u32>) {
    let running = world.open(world.config()).unwrap();
    (running.handle.record_state(), numbers(&running.handle.trusted()))
}

fn set_modified(path: PathBuf, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn append(path: PathBuf, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn pieces_are_known_after_an_end_without_flush() {
    let world = half();
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0, 1, 2, 5]));
    let (mut running, have) = world.resume();
    assert_eq!(numbers(&have), [0, 1, 2, 5]);
    running.fetch(&world, [3, 4, 6]);
    assert_eq!(std::fs::read(world.path("b")).unwrap(), world.bytes_of(1));
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_kill_between_record_and_renaming_is_made_up_for() {
    let world = half();
    std::fs::rename(world.path("a"), world.path("a.part")).ok();
    let (_running, have) = {
        let (mut running, _) = world.resume();
        running.fetch(&world, [3, 4, 6]);
        drop(running);
        std::fs::rename(world.path("b"), world.path("b.part")).unwrap();
        world.resume()
    };
    assert!(have.is_full());
    assert!(world.path("b").exists() && !world.path("b.part").exists());
}

#[test]
fn a_torn_tail_is_dropped_and_a_torn_middle_stepped_over() {
    let world = half();
    let record = std::fs::read(world.resume_path()).unwrap();
    // The last entry says how b was left, the one before is of piece 5. Without both nobody has
    // noted the last write to b.
    std::fs::write(world.resume_path(), &record[..record.len() - 42]).unwrap();
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0, 1]));
    std::fs::write(world.resume_path(), &record[..record.len() - 10]).unwrap();
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0, 1, 2, 5]));
    let (mut running, _) = world.resume();
    append(world.resume_path(), b"seventeen bytes..");
    running.fetch(&world, [6]);
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 5, 6]);
    append(world.resume_path(), &[0; 5000]);
    assert_eq!(trusted(&world).1, [0, 1, 2, 5, 6]);
}

#[test]
fn an_edited_damaged_or_foreign_record_is_not_believed() {
    let world = half();
    drop(world.resume());
    let good = std::fs::read(world.resume_path()).unwrap();
    let have = good.windows(8).position(|window| window == b"verified").unwrap() + 10;
    let mut edited = good.clone();
    edited[have] ^= 0xff;
    std::fs::write(world.resume_path(), &edited).unwrap();
    assert_eq!(trusted(&world), (RecordState::Unusable("it was edited"), vec![]));
    for damaged in [b"".as_slice(), b"d", b"le", &[b'l'; 100_000], &good[..have]] {
        std::fs::write(world.resume_path(), damaged).unwrap();
        let (state, pieces) = trusted(&world);
        assert!(state != RecordState::Loaded && pieces.is_empty());
    }
    std::fs::write(world.resume_path(), &good).unwrap();
    let other = StoreConfig { info_hash: InfoHash([8; 20]), ..world.config() };
    let running = world.open(other).unwrap();
    let state = running.handle.record_state();
    assert_eq!(state, RecordState::Unusable("it is of another torrent"));
    assert_eq!(running.handle.trusted().ones(), 0);
    drop(running);
    let moved = StoreConfig { dir: world.root.path().join("elsewhere"), ..world.config() };
    assert_eq!(world.open(moved).unwrap().handle.trusted().ones(), 0);
}

#[test]
fn a_newer_record_is_neither_believed_nor_touched() {
    let world = half();
    let newer = b"d4:have1:x7:versioni4ee and who knows what".as_slice();
    std::fs::write(world.resume_path(), newer).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(running.handle.record_state(), RecordState::Newer);
    assert_eq!(running.handle.trusted().ones(), 0);
    assert_eq!(numbers(&report.have), [0, 1, 2, 5]);
    running.fetch(&world, [3]);
    assert_eq!(running.flush(), None);
    assert_eq!(std::fs::read(world.resume_path()).unwrap(), newer);
}

#[test]
fn files_that_are_gone_cut_or_touched_later_are_not_trusted() {
    let later = || SystemTime::now() + Duration::from_secs(60);
    let world = half();
    set_modified(world.path("b.part"), later());
    assert_eq!(trusted(&world).1, [0, 1]);
    let world = half();
    set_modified(world.path("a"), later());
    assert_eq!(trusted(&world).1, [5]);
    let world = half();
    File::options().write(true).open(world.path("b.part")).unwrap().set_len(9152).unwrap();
    // Piece 2 ends at byte 9152 of b, piece 5 behind it: the whole file is in doubt.
    assert_eq!(trusted(&world).1, [0, 1]);
    let world = half();
    std::fs::remove_file(world.path("a")).unwrap();
    assert_eq!(trusted(&world).1, [5]);
}

/// Flips a byte, as an editor does: the file keeps its inode and its length.
fn edit(path: PathBuf, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let time = || file.metadata().unwrap().modified().unwrap();
    let (before, mut byte) = (time(), [0]);
    file.read_exact_at(&mut byte, at).unwrap();
    // Times of change may be as coarse as the system's clock.
    while time() == before {
        file.write_all_at(&[!byte[0]], at).unwrap();
    }
}

#[test]
fn an_edit_of_the_moment_after_a_kill_is_seen() {
    let world = half();
    edit(world.path("b.part"), 50_000);
    assert_eq!(trusted(&world).1, [0, 1]);
    let world = half();
    edit(world.path("a"), 20_000);
    assert_eq!(trusted(&world).1, [5]);
}

#[test]
fn an_edit_is_seen_though_the_record_is_younger() {
    for is_killed in [true, false] {
        let world = world(BLOCK_LEN as u32, &[("a", 40_000), ("b", 60_000)]);
        let (mut running, _) = world.resume();
        running.fetch(&world, [0, 5]);
        drop(running);
        let (mut running, have) = world.resume();
        assert_eq!(numbers(&have), [0, 5]);
        // Nothing is written to it in this run.
        edit(world.path("b.part"), 50_000);
        running.fetch(&world, [1]);
        if !is_killed {
            assert_eq!(running.flush(), None);
        }
        drop(running);
        assert_eq!(trusted(&world).1, [0, 1], "killed: {is_killed}");
    }
}

/// What an unfinished file was like when it was trusted is remembered until it is written to.
#[test]
fn an_edit_before_the_first_write_of_a_run_is_seen() {
    for is_killed in [true, false] {
        let world = half();
        let (mut running, have) = world.resume();
        assert_eq!(numbers(&have), [0, 1, 2, 5]);
        edit(world.path("b.part"), 50_000);
        running.fetch(&world, [4]);
        if !is_killed {
            assert_eq!(running.flush(), None);
        }
        drop(running);
        assert_eq!(trusted(&world).1, [0, 1], "killed: {is_killed}");
    }
}

#[test]
fn an_edit_of_an_unfinished_file_is_seen_though_nothing_is_written() {
    let world = half();
    let (mut running, _) = world.resume();
    edit(world.path("b.part"), 50_000);
    running.handle.submit(Job::Prepare { piece: world.piece(5), prove: false }).unwrap();
    let outcome = running.wait(|event| match event {
        DiskEvent::Prepared { outcome, .. } => Ok(outcome),
        other => Err(other),
    });
    assert!(!matches!(outcome, Preparation::Ready), "{outcome:?}");
}

/// Whosever it is: how a file looked before it was read is in the record.
#[test]
fn an_edit_of_what_a_check_has_read_already_is_seen_after_a_kill() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000), ("b", 60_000)]);
    for file in 0..2 {
        world.write_file(["a", "b"][file], world.bytes_of(file));
    }
    let running = world.open(world.config()).unwrap();
    let (none, progress) = (Bitfield::none(7), CheckProgress::default());
    assert!(running.handle.check(&none, &progress).have.is_full());
    edit(world.path("a"), 10);
    let found = progress.snapshot().unwrap();
    running.handle.keep_check(&found.looked_at, &found.right).unwrap();
    drop(running);
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![3, 4, 5, 6]));
}

/// Files that share a piece are noted when they are written to, and not each time that another
/// one is.
#[test]
fn a_spill_notes_the_files_that_it_wrote_to() {
    let world = world(4 * BLOCK_LEN as u32, &[("a", BLOCK_LEN as u64), ("b", 200_000)]);
    let (mut running, _) = world.resume();
    let mut spill = |number: u32| {
        let at = world.layout.block(world.piece(0), number).unwrap();
        let block = world.block(&world.content[number as usize * BLOCK_LEN..][..BLOCK_LEN]);
        let before = world.record().len();
        running.handle.submit(Job::Spill { piece: at.piece(), blocks: vec![(at, block)] }).unwrap();
        running.wait(|event| match event {
            DiskEvent::Spilled { failed: None, .. } => Ok(()),
            other => Err(other),
        });
        world.record().len() - before
    };
    let one = spill(0);
    assert_eq!([spill(1), spill(2)], [one; 2]);
}

#[test]
fn an_edit_after_a_piece_was_lost_is_seen() {
    let world = half();
    let (running, _) = world.resume();
    let lose = |number| {
        let mut lost = Bitfield::none(7);
        lost.insert(world.piece(number));
        running.handle.lose(&lost);
    };
    lose(0);
    edit(world.path("a"), 20_000);
    lose(5);
    drop(running);
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![]));
}

#[test]
fn what_was_spilled_before_a_kill_leaves_the_file_known() {
    let world = world(4 * BLOCK_LEN as u32, &[("a", 200_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, [0]);
    let at = world.layout.block(world.piece(1), 0).unwrap();
    let block = world.block(&world.content[4 * BLOCK_LEN..5 * BLOCK_LEN]);
    running.handle.submit(Job::Spill { piece: at.piece(), blocks: vec![(at, block)] }).unwrap();
    running.wait(|event| match event {
        DiskEvent::Spilled { failed: None, .. } => Ok(()),
        other => Err(other),
    });
    drop(running);
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0]));
}

/// Where times are counted in seconds, one of the second in which the record was written may be
/// that of an edit as well.
#[test]
fn a_time_that_is_too_coarse_to_tell_is_not_believed_while_it_is_new() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    world.write_file("a", world.bytes_of(0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    set_modified(world.path("a"), second);
    drop(world.recheck(world.config()).unwrap());
    set_modified(world.resume_path(), second + Duration::from_millis(1999));
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![]));
    set_modified(world.resume_path(), second + Duration::from_secs(2));
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0, 1, 2]));
}

/// No clock comes to what is years ahead.
#[test]
fn a_whole_second_of_another_year_is_believed() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    world.write_file("a", world.bytes_of(0));
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    set_modified(world.path("a"), second);
    drop(world.recheck(world.config()).unwrap());
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![0, 1, 2]));
    // It may be the hour of another zone.
    set_modified(world.resume_path(), second - Duration::from_secs(12 * 3600));
    assert_eq!(trusted(&world), (RecordState::Loaded, vec![]));
}

#[test]
fn a_finished_or_flushed_file_is_known_exactly() {
    let world = half();
    let found = std::fs::metadata(world.path("a")).unwrap();
    std::fs::write(world.path("a"), vec![0; 40_000]).unwrap();
    assert_eq!(trusted(&world).1, [5]);
    std::fs::write(world.path("a"), world.bytes_of(0)).unwrap();
    set_modified(world.path("a"), found.modified().unwrap());
    assert_eq!(trusted(&world).1, [0, 1, 2, 5]);
    let (mut running, _) = world.resume();
    running.fetch(&world, [3]);
    assert_eq!(running.flush(), None);
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 3, 5]);
    let earlier = SystemTime::now() - Duration::from_secs(60);
    set_modified(world.path("b.part"), earlier);
    assert_eq!(trusted(&world).1, [0, 1]);
}

#[test]
fn pieces_lost_later_are_not_in_the_record_and_can_be_brought_again() {
    let world = half();
    let (mut running, _) = world.resume();
    let mut lost = Bitfield::none(world.layout.piece_count());
    lost.insert(world.piece(0));
    running.handle.lose(&lost);
    drop(running);
    assert_eq!(trusted(&world).1, [1, 2, 5]);
    world.write_file("a", &[&[0; BLOCK_LEN], &world.bytes_of(0)[BLOCK_LEN..]].concat());
    let config = StoreConfig { overwrite: true, ..world.config() };
    running = world.recheck(config).unwrap().0;
    running.fetch(&world, [0]);
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.bytes_of(0));
}

#[test]
fn a_second_user_of_the_record_is_refused_and_told_who_has_it() {
    let world = half();
    let (running, _) = world.resume();
    let refused = world.try_open(world.config()).map(|_| ()).unwrap_err();
    let Error::InUse { holder, .. } = refused else { panic!("{refused}") };
    let ours = format!("(process {})", std::process::id());
    assert!(holder.is_none_or(|holder| holder.ends_with(&ours)));
    drop(running);
    assert!(world.open(world.config()).is_ok(), "the lock is let go");
}

#[test]
fn many_torn_tails_in_a_row_are_stepped_over() {
    let world = half();
    let (mut running, _) = world.resume();
    for _ in 0..3 {
        // Each nearly as long as an entry, as a write leaves it that failed half-way.
        append(world.resume_path(), &[1; 31]);
    }
    running.fetch(&world, [6]);
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 5, 6]);
}

#[test]
fn an_idle_torrent_holds_no_descriptor_and_many_share_their_directory() {
    let worlds: Vec<World> = (0..4).map(|_| half()).collect();
    let dir = worlds[0].path("");
    let opened = |path: &std::path::Path| {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        links.filter(|link| link.starts_with(path)).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (number, world) in (0u8..).zip(&worlds) {
        let config = StoreConfig {
            dir: dir.clone(),
            info_hash: InfoHash([number; 20]),
            resume_path: worlds[0].root.path().join(format!("state/{number}.resume")),
            overwrite: true,
            ..world.config()
        };
        let (mut running, _) = world.recheck(config).unwrap();
        assert_eq!(running.flush(), None);
        all.push(running);
    }
    let state = worlds[0].root.path().join("state");
    let (locks, state) = (opened(&state.join("locks.d")), opened(&state));
    assert_eq!(state, locks);
    assert!(!locks.is_empty() && locks.len() <= 16, "{locks:?}");
    let dirs = opened(&dir).into_iter().filter(|path| *path == dir);
    assert_eq!(dirs.count(), 1);
    drop(all);
}

#[test]
fn a_record_that_grew_long_is_written_anew_while_it_runs() {
    let world = half();
    let (mut running, _) = world.resume();
    let begun = std::fs::metadata(world.resume_path()).unwrap().len();
    append(world.resume_path(), &vec![0; 2 << 20]);
    running.fetch(&world, [3]);
    assert_eq!(running.flush(), None);
    assert!(std::fs::metadata(world.resume_path()).unwrap().len() < begun + 1000);
    running.fetch(&world, [4]);
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 3, 4, 5]);
}

/// A record whose device refuses it once: what was added since the last sync is dropped.
#[derive(Clone, Debug)]
struct Refused {
    /// What is there, and how much of it is on the device.
    bytes: Arc<Mutex<(Vec<u8>, usize)>>,
    refuses: Arc<AtomicBool>,
}

impl RecordFile for Refused {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.lock().unwrap().0.extend(bytes);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().0.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let (bytes, kept) = &mut *self.bytes.lock().unwrap();
        if self.refuses.swap(false, Ordering::AcqRel) {
            bytes[*kept..].fill(0);
            return Err(rustix::io::Errno::IO.into());
        }
        *kept = bytes.len();
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        *self.bytes.lock().unwrap() = (bytes.to_vec(), bytes.len());
        Ok(())
    }
}

/// What is written unverified while a record is written anew is noted in the old one.
#[test]
fn how_files_were_left_while_the_record_was_written_anew_is_said_in_the_new_one() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    let subject = Subject::of(InfoHash([7; 20]), world.layout, world.root.path());
    let none = Bitfield::none(3);
    let left = |modified_ns| vec![(0, Stamp { inode: 5, modified_ns })];
    let standing = |modified_ns| Standing {
        verified: none.clone(),
        durable: none.clone(),
        doubted: none.clone(),
        stamps: Vec::new(),
        ours: Vec::new(),
        left: left(modified_ns),
        ground: Ground::default(),
    };
    let file = Refused { bytes: Arc::default(), refuses: Arc::default() };
    let journal = Journal::within(Box::new(file.clone()), subject.clone());
    file.refuses.store(true, Ordering::Release);
    assert!(journal.mark(1).is_err(), "it is behind");
    let clock = std::cell::Cell::new(0);
    journal.catch_up(|| standing(clock.replace(clock.get() + 1))).unwrap();
    let bytes = file.bytes.lock().unwrap().0.clone();
    let replayed = replay(&bytes, &subject, &Extents::new([(40_000, false)])).unwrap();
    assert_eq!(replayed.left, left(1).into_iter().collect());
}

#[test]
fn what_the_device_dropped_of_the_record_is_said_again_before_it_is_marked() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    let subject = Subject::of(InfoHash([7; 20]), world.layout, world.root.path());
    let extents = Extents::new([(40_000, false)]);
    let none = Bitfield::none(3);
    let mut standing = Standing {
        verified: none.clone(),
        durable: none.clone(),
        doubted: none,
        stamps: Vec::new(),
        ours: Vec::new(),
        left: Vec::new(),
        ground: Ground::default(),
    };
    let head = crate::disk::record::begin(&subject, &standing, 1);
    let kept = head.len();
    let file = Refused { bytes: Arc::new(Mutex::new((head, kept))), refuses: Arc::default() };
    let journal = Journal::within(Box::new(file.clone()), subject.clone());
    journal.verified(&[0], &[], &[]).unwrap();
    standing.verified.insert(world.piece(0));
    file.refuses.store(true, Ordering::Release);
    assert!(journal.mark(journal.length().unwrap()).is_err());
    journal.verified(&[1], &[], &[]).unwrap();
    standing.verified.insert(world.piece(1));
    journal.catch_up(|| standing.clone()).unwrap();
    journal.mark(journal.length().unwrap()).unwrap();
    let found = replay(&file.bytes.lock().unwrap().0, &subject, &extents).unwrap();
    assert_eq!((numbers(&found.verified), numbers(&found.durable)), (vec![0, 1], vec![0, 1]));
}

#[test]
fn nothing_starts_while_its_record_is_in_other_hands() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    let running = world.open(world.config()).unwrap();
    let files = running.handle.shared.files.as_ref().unwrap();
    let loaded = files.loaded.try_recv().unwrap();
    let none = running.handle.trusted();
    assert!(matches!(running.handle.start(&none), Err(Error::Inconsistent(_))));
    files.put_back.try_send(loaded).unwrap();
    assert!(running.handle.start(&none).is_ok());
}

#[test]
fn a_record_of_a_whole_torrent_that_says_all_stays_as_it_is() {
    let world = half();
    let written = || (std::fs::metadata(world.resume_path()).unwrap().ino(), world.record());
    let first = written();
    let (mut running, _) = world.resume();
    assert_ne!(written(), first, "pieces are missing: it is written anew");
    running.fetch(&world, [3, 4, 6]);
    assert_eq!(running.flush(), None);
    drop(running);
    let whole = written();
    let (mut running, have) = world.resume();
    assert!(have.is_full());
    assert_eq!(running.flush(), None);
    drop(running);
    assert_eq!(written(), whole, "neither at the start nor at the end");
    // What is noted from then on counts, though nothing was written anew.
    let (running, _) = world.resume();
    let mut lost = Bitfield::none(7);
    lost.insert(world.piece(5));
    running.handle.lose(&lost);
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 3, 4, 6]);
}

#[test]
fn a_record_that_a_check_replaced_or_a_kill_tore_is_written_anew() {
    let world = half();
    let (mut running, _) = world.resume();
    running.fetch(&world, [3, 4, 6]);
    assert_eq!(running.flush(), None);
    drop(running);
    let running = world.open(world.config()).unwrap();
    let mut right = Bitfield::none(7);
    right.insert(world.piece(0));
    running.handle.keep_check(&right, &right).unwrap();
    running.handle.start(&Bitfield::all(7)).unwrap();
    drop(running);
    assert_eq!(trusted(&world).1, [0, 1, 2, 3, 4, 5, 6], "and not what was kept of the check");
    append(world.resume_path(), &[0; 10]);
    let torn = world.record().len();
    drop(world.resume());
    assert!(world.record().len() < torn);
}

#[test]
fn a_record_of_an_earlier_version_is_read_and_not_added_to() {
    let world = half();
    let (mut running, _) = world.resume();
    running.fetch(&world, [3, 4, 6]);
    assert_eq!(running.flush(), None);
    drop(running);
    drop(world.resume());
    let record = world.record();
    let version = b"7:versioni3ee".as_slice();
    let at = record.windows(version.len()).position(|window| window == version).unwrap();
    let head = [&record[..at], b"7:versioni2ee"].concat();
    let behind = &record[at + version.len() + 20..];
    std::fs::write(world.resume_path(), [head.as_slice(), &sha1(&[&head]), behind].concat())
        .unwrap();
    let (running, have) = world.resume();
    assert_eq!(running.handle.record_state(), RecordState::Loaded);
    assert!(have.is_full());
    drop(running);
    assert_eq!(world.record()[at..][..version.len()], *version, "it is written anew");
}

#[test]
fn short_pieces_that_come_together_take_few_bytes_of_the_record() {
    // They come as fast as they can be handed over: up to 16 are hashed side by side, and then
    // written and noted together. Those that come first, while it is not known how fast they
    // come, are alone: 14 of these, or a few more.
    const BYTES_PER_PIECE_MAX: u64 = 8;
    let count = 480;
    let world = world(BLOCK_LEN as u32, &[("a", count * BLOCK_LEN as u64)]);
    let (mut running, _) = world.resume();
    let begun = world.record().len() as u64;
    let pieces: Vec<PieceIndex> = world.layout.pieces().collect();
    let verdicts = running.check_together(&world, &pieces);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Good(None))));
    let bytes = world.record().len() as u64 - begun;
    println!("{bytes} bytes for {count} pieces");
    assert!(bytes <= count * BYTES_PER_PIECE_MAX, "{bytes} bytes for {count} pieces");
    drop(running);
    assert_eq!(trusted(&world).1.len() as u64, count);
}

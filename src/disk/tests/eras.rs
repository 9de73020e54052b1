//! What of a record counts after a power loss, for whom, and when it cannot be written.

use std::fs;
use std::os::unix::fs::{FileExt, chown};

use super::*;
use crate::disk::record::{self, replay};

/// A world whose pieces 0, 1, 2 and 5 of 7 were verified; `a` is whole.
fn half() -> (World, Running) {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000), ("b", 60_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, [0, 1, 2, 5]);
    (world, running)
}

/// Writes the record anew with something else in it.
fn rewrite(world: &World, change: impl FnOnce(&mut Standing)) {
    rewrite_at(world, record::now_ns(), change);
}

fn rewrite_at(world: &World, now_ns: i64, change: impl FnOnce(&mut Standing)) {
    let config = world.config();
    let subject = Subject::of(config.info_hash, world.layout, &config.dir);
    let extents = Extents::new(world.files.iter().map(|file| (file.len, file.is_pad)));
    let found = replay(&fs::read(world.resume_path()).unwrap(), &subject, &extents).unwrap();
    let mut standing = Standing {
        verified: found.verified,
        durable: found.durable,
        doubted: found.doubted,
        stamps: found.stamps.into_iter().collect(),
        ours: found.ours.into_iter().collect(),
        left: found.left.into_iter().collect(),
        ground: Ground { era: found.era, file_system: found.file_system },
    };
    change(&mut standing);
    let bytes = record::begin(&subject, &standing, now_ns);
    fs::write(world.resume_path(), bytes).unwrap();
}

/// The power failed: another boot, and so another era.
fn another_boot(standing: &mut Standing) {
    standing.ground.era = b"another-boot 1".to_vec();
}

/// The same boot, but what was mounted is not any more.
fn another_mount(standing: &mut Standing) {
    let boot = standing.ground.era.split(|byte| *byte == b' ').next().unwrap();
    standing.ground.era = [boot, b" 0"].concat();
}

fn trusted_and_recorded(world: &World) -> (Vec<u32>, Vec<u32>) {
    let running = world.open(world.config()).unwrap();
    (numbers(&running.handle.trusted()), numbers(&running.handle.recorded()))
}

#[test]
fn after_a_power_loss_only_what_was_synced_counts_and_the_rest_is_looked_at() {
    let (world, mut running) = half();
    assert_eq!(running.flush(), None);
    running.fetch(&world, [3]);
    drop(running);
    assert_eq!(trusted_and_recorded(&world).0, [0, 1, 2, 3, 5], "the process only crashed");
    rewrite(&world, another_mount);
    assert_eq!(trusted_and_recorded(&world), (vec![0, 1, 2, 5], vec![0, 1, 2, 3, 5]));
}

#[test]
fn a_file_changed_since_the_machine_started_is_not_as_the_power_loss_left_it() {
    let (world, mut running) = half();
    assert_eq!(running.flush(), None);
    drop(running);
    rewrite(&world, another_boot);
    assert_eq!(trusted_and_recorded(&world).0, [0, 1, 2, 5], "stamps tell each file");
    rewrite(&world, |standing| standing.stamps.clear());
    // Both files are younger than this machine's start, and the record is of an earlier boot.
    assert_eq!(trusted_and_recorded(&world), (vec![], vec![0, 1, 2, 5]));
}

#[test]
fn a_file_that_the_power_loss_emptied_is_fetched_again_and_another_s_is_not_touched() {
    let (world, running) = half();
    drop(running);
    rewrite(&world, another_mount);
    // Its name and time came to the device, its bytes did not.
    let found = fs::metadata(world.path("a")).unwrap();
    let file = fs::File::options().write(true).open(world.path("a")).unwrap();
    file.write_all_at(&[0; 40_000], 0).unwrap();
    file.set_modified(found.modified().unwrap()).unwrap();
    let (mut running, _) = world.recheck(world.config()).unwrap();
    running.fetch(&world, [0, 1, 2]);
    assert_eq!(fs::read(world.path("a")).unwrap(), world.bytes_of(0));
    drop(running);
    // Changed by somebody else: it is theirs now.
    fs::write(world.path("a"), b"edited").unwrap();
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Exists { .. }), "{refused}");
}

#[test]
fn a_name_that_outlived_its_entry_in_the_record_is_ours() {
    let (world, running) = half();
    drop(running);
    // The power failed when the renaming had reached the device, and nothing else had.
    let begun = record::now_ns() - 10_000_000_000;
    rewrite_at(&world, begun, |standing| {
        another_mount(standing);
        standing.verified = Bitfield::none(world.layout.piece_count());
        standing.stamps.clear();
    });
    fs::write(world.path("a"), vec![0; 40_000]).unwrap();
    let (mut running, _) = world.recheck(world.config()).unwrap();
    running.fetch(&world, [0, 1, 2]);
    assert_eq!(fs::read(world.path("a")).unwrap(), world.bytes_of(0));
}

#[test]
fn pieces_that_a_check_found_are_synced_before_they_are_marked() {
    let (world, running) = half();
    drop(running);
    fs::remove_file(world.resume_path()).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [0, 1, 2, 5]);
    rewrite(&world, another_mount);
    drop(running);
    assert!(trusted_and_recorded(&world).0.is_empty());
    running = world.recheck(world.config()).unwrap().0;
    assert_eq!(running.flush(), None);
    drop(running);
    rewrite(&world, another_mount);
    assert_eq!(trusted_and_recorded(&world).0, [0, 1, 2, 5]);
}

#[test]
fn a_check_that_was_stopped_goes_on_where_it_was() {
    let (world, running) = half();
    drop(running);
    fs::remove_file(world.resume_path()).unwrap();
    let set = |pieces: &[u32]| {
        let mut set = Bitfield::none(world.layout.piece_count());
        for number in pieces {
            set.insert(world.piece(*number));
        }
        set
    };
    let running = world.open(world.config()).unwrap();
    running.handle.keep_check(&set(&[0, 3]), &set(&[0])).unwrap();
    running.handle.keep_check(&set(&[0, 1, 3]), &set(&[0, 1])).unwrap();
    drop(running);
    // Piece 3 was looked at and is wrong; nobody came to the others.
    assert_eq!(trusted_and_recorded(&world), (vec![0, 1], vec![0, 1, 2, 4, 5, 6]));
    let running = world.open(world.config()).unwrap();
    running.handle.start(&set(&[0, 1, 2, 5])).unwrap();
    drop(running);
    assert_eq!(trusted_and_recorded(&world), (vec![0, 1, 2, 5], vec![0, 1, 2, 5]));
}

#[test]
fn a_record_of_another_user_is_not_believed() {
    let (world, running) = half();
    drop(running);
    if chown(world.resume_path(), Some(12_345), None).is_err() {
        println!("SKIPPED: only root can give a file away");
        return;
    }
    let running = world.open(world.config()).unwrap();
    let state = running.handle.record_state();
    assert_eq!(state, RecordState::Unusable("it belongs to another user"));
    assert_eq!(running.handle.trusted().ones(), 0);
}

#[test]
fn an_empty_mount_point_is_refused_and_a_deleted_download_is_not() {
    let (world, running) = half();
    drop(running);
    fs::remove_dir_all(world.path("")).unwrap();
    assert!(trusted_and_recorded(&world).0.is_empty(), "the user deleted it: it is fetched again");
    rewrite(&world, |standing| standing.ground.file_system ^= 1);
    let record = fs::read(world.resume_path()).unwrap();
    let refused = world.open(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::NotMounted { .. }), "{refused}");
    assert_eq!(fs::read(world.resume_path()).unwrap(), record, "nothing was touched");
    // Unless its user says that it is to begin anew.
    let anew = StoreConfig { ignores_record: true, ..world.config() };
    let running = world.open(anew).unwrap();
    let ignored = running.handle.ignored().unwrap();
    assert!(ignored.contains("a file system that is not mounted here, is ignored"), "{ignored}");
    assert_eq!(running.handle.record_state(), RecordState::New);
    assert!(running.handle.recorded().ones() == 0 && running.handle.trusted().ones() == 0);
    drop(running);
    world.write_file("a", world.bytes_of(0));
    assert!(world.open(world.config()).is_ok(), "something is there: it was moved");
}

#[test]
fn a_record_that_cannot_be_written_keeps_its_old_state_and_is_made_up_for() {
    let (world, running) = half();
    drop(running);
    let before = fs::read(world.resume_path()).unwrap();
    // Nothing can be written beside it now.
    let beside = world.resume_path().with_extension("resume.new");
    fs::create_dir(&beside).unwrap();
    let (mut running, _) = world.resume();
    running.fetch(&world, [3, 4]);
    assert!(running.flush().is_some());
    let told = running.others.iter().filter(|e| matches!(e, DiskEvent::RecordTrouble(_))).count();
    assert_eq!(told, 1, "trouble is told once");
    assert_eq!(fs::read(world.resume_path()).unwrap(), before);
    fs::remove_dir(&beside).unwrap();
    running.fetch(&world, [6]);
    assert_eq!(running.flush(), None);
    assert!(running.others.iter().any(|event| matches!(event, DiskEvent::RecordRecovered)));
    drop(running);
    rewrite(&world, another_mount);
    assert_eq!(trusted_and_recorded(&world).0, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn pieces_are_synced_by_age_and_by_amount_but_not_one_by_one() {
    let mut world = world(BLOCK_LEN as u32, &[("a", 200 * BLOCK_LEN as u64)]);
    let with = |after, bytes| {
        let sync = SyncPolicy { after, bytes };
        Disk::start(DiskConfig {
            workers: Some(2),
            pool: world.pool.clone(),
            check_bytes: 24 << 20,
            sync,
        })
        .unwrap()
    };
    let hour = Duration::from_secs(3600);
    let by_amount = with(hour, 50 * BLOCK_LEN as u64);
    let by_age = with(Duration::from_millis(50), u64::MAX);
    world.disk = by_amount;
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..120);
    // The second one is due when the hundredth piece is written, and soon begun.
    while running.handle.stats().syncs < 2 {
        std::thread::yield_now();
    }
    assert_eq!(running.handle.stats().syncs, 2);
    drop(running);
    world.disk = by_age;
    let (mut running, _) = world.resume();
    running.fetch(&world, 120..125);
    while running.handle.stats().syncs < 1 {
        std::thread::yield_now();
    }
    drop(running);
    drop(world.open(world.config()).unwrap());
    rewrite(&world, another_mount);
    assert!(trusted_and_recorded(&world).0.len() >= 121);
}

#[test]
fn a_finished_terabyte_starts_without_being_read() {
    const TERABYTE: u64 = 1 << 40;
    let mut world = world(16 << 20, &[("film", 1)]);
    world.files[0].len = TERABYTE;
    world.layout = Layout::new(TERABYTE, 16 << 20).unwrap();
    let pieces = world.layout.piece_count();
    let config = || StoreConfig {
        piece_hashes: vec![0; pieces as usize * 20].into(),
        layout: world.layout,
        ..world.config()
    };
    world.write_file("film", b"");
    fs::File::options().write(true).open(world.path("film")).unwrap().set_len(TERABYTE).unwrap();
    let running = world.open(config()).unwrap();
    running.handle.start(&Bitfield::all(pieces)).unwrap();
    drop(running);
    let begin = std::time::Instant::now();
    let running = world.open(config()).unwrap();
    let have = running.handle.start(&running.handle.trusted()).unwrap().have;
    assert!(have.is_full());
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn a_file_that_others_wrote_to_is_looked_at_after_a_quit_and_after_a_kill() {
    for is_flushed in [true, false] {
        let (world, mut running) = half();
        let file = fs::File::options().write(true).open(world.path("b.part")).unwrap();
        // Into piece 5, which is verified, at another time than any write of ours.
        file.write_all_at(&[0; 100], 5 * BLOCK_LEN as u64 - 40_000).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(100)).unwrap();
        running.fetch(&world, [4]);
        if is_flushed {
            assert_eq!(running.flush(), None);
        }
        drop(running);
        assert_eq!(trusted_and_recorded(&world).0, [0, 1], "flushed: {is_flushed}");
    }
}

//! Names of files: unfinished and final ones, what stands in the way, links, unwanted files.

use super::*;
use std::os::unix::fs::{MetadataExt, symlink};

const TWO: [(&str, u64); 2] = [("t/a", 40_000), ("t/b", 40_000)];

#[test]
fn a_file_is_renamed_when_its_last_piece_is_right() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, [0, 1]);
    assert_eq!(std::fs::metadata(world.path("t/a.part")).unwrap().len(), 40_000);
    assert!(!world.path("t/a").exists() && !world.path("t/b.part").exists());
    running.fetch(&world, [2]);
    assert!(world.path("t/a").exists() && !world.path("t/a.part").exists());
    assert!(world.path("t/b.part").exists());
    assert_eq!(running.files_done(), [0]);
}

#[test]
fn an_existing_different_file_needs_overwrite_and_then_keeps_its_good_pieces() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let mut old = world.bytes_of(0).to_vec();
    old[20_000] ^= 1;
    old.extend([1, 2, 3]);
    world.write_file("t/a", &old);
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Error::Exists { path } if path.ends_with("t/a")), "{refused}");
    assert_eq!(std::fs::read(world.path("t/a")).unwrap(), old);
    let config = StoreConfig { overwrite: true, ..world.config() };
    let (mut running, report) = world.recheck(config).unwrap();
    assert_eq!(numbers(&report.have), [0]);
    assert!(world.path("t/a.part").exists() && !world.path("t/a").exists());
    running.fetch(&world, 1..5);
    assert_eq!(std::fs::read(world.path("t/a")).unwrap(), world.bytes_of(0));
    assert!(running.finish());
}

#[test]
fn a_whole_file_that_is_there_is_left_as_it_is() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    world.write_file("a", &world.content);
    let before = std::fs::metadata(world.path("a")).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert!(report.have.is_full() && running.finish());
    let after = std::fs::metadata(world.path("a")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn a_longer_file_is_cut_when_overwriting_even_if_its_pieces_are_right() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000), ("none", 0)]);
    world.write_file("a", &[world.content.as_slice(), b"tail"].concat());
    world.write_file("none", b"not empty");
    assert!(matches!(world.recheck(world.config()).map(|_| ()), Err(Error::Exists { .. })));
    let config = StoreConfig { overwrite: true, ..world.config() };
    let (mut running, report) = world.recheck(config).unwrap();
    assert_eq!(verdicts(&report), [FileCheck::TooLong(40_004), FileCheck::TooLong(9)]);
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.content);
    assert_eq!(std::fs::read(world.path("none")).unwrap(), b"");
    assert!(running.finish());
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(world.path("")).unwrap();
    let (mut running, _) = world.resume();
    symlink(outside.path(), world.path("t")).unwrap();
    let piece = world.piece(0);
    let verdict = running.check(piece, world.blocks(piece));
    let Verdict::WriteFailed(blocks, reason) = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("symbolic link is in the way"), "{reason}");
    assert_eq!(blocks.len(), 1);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    std::fs::remove_file(world.path("t")).unwrap();
    assert!(matches!(running.check(piece, blocks), Verdict::Good(None)));
}

#[test]
fn a_directory_or_link_at_a_file_is_refused_at_once() {
    let world = world(BLOCK_LEN as u32, &TWO);
    std::fs::create_dir_all(world.path("t/a")).unwrap();
    let refused = world.open(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::NotAFile { .. }), "{refused}");
}

#[test]
fn paths_that_climb_or_are_absolute_are_refused() {
    for path in ["../a", "/etc/a", "", "t/../../a"] {
        let world = world(BLOCK_LEN as u32, &[("a", 10)]);
        let mut config = world.config();
        config.files[0].path = path.into();
        let refused = world.open(config).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::UnsafePath { .. }), "{path}: {refused}");
    }
}

#[test]
fn torrent_links_are_made_at_the_end_unless_they_lead_out() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 10)]);
    let mut config = world.config();
    let link = |at: &str, content: &str| (PathBuf::from(at), PathBuf::from(content));
    config.symlinks = vec![
        link("t/good", "a"),
        link("t/out", "../../etc/passwd"),
        link("t/absolute", "/etc/passwd"),
    ];
    let mut running = world.open(config).unwrap();
    running.handle.start(&running.handle.trusted()).unwrap();
    running.fetch(&world, [0]);
    assert!(!world.path("t/good").exists());
    assert!(running.finish());
    assert_eq!(std::fs::read(world.path("t/good")).unwrap(), world.content);
    assert!(world.path("t/out").symlink_metadata().is_err());
    assert!(world.path("t/absolute").symlink_metadata().is_err());
}

#[test]
fn borders_of_unwanted_files_stay_unfinished_until_wanted() {
    let world = world(BLOCK_LEN as u32, &[("a", 10_000), ("b", 6384), ("c", 50_000)]);
    let mut config = world.config();
    config.wanted = vec![true, false, false];
    let mut running = world.open(config).unwrap();
    running.handle.start(&running.handle.trusted()).unwrap();
    running.fetch(&world, [0]);
    assert!(world.path("a").exists() && !world.path("c.part").exists());
    assert_eq!(std::fs::read(world.path("b.part")).unwrap(), world.bytes_of(1));
    assert!(running.finish());
    running.handle.submit(Job::Want(vec![true, true, false])).unwrap();
    let done = running.wait(|event| match event {
        DiskEvent::FileDone(file) => Ok(file.0),
        other => Err(other),
    });
    assert_eq!((done, world.path("b").exists()), (1, true));
}

#[test]
fn unfinished_names_avoid_other_files_of_the_torrent_and_name_limits() {
    let long = "é".repeat(126);
    let world = world(BLOCK_LEN as u32, &[("a", 20_000), ("a.part", 20_000), (&long, 20_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    assert!(!world.path(&long).exists());
    running.fetch(&world, [3]);
    for (file, name) in [(0, "a"), (1, "a.part"), (2, long.as_str())] {
        assert_eq!(std::fs::read(world.path(name)).unwrap(), world.bytes_of(file));
    }
    assert_eq!(std::fs::read_dir(world.path("")).unwrap().count(), 3);
}

#[test]
fn space_is_set_as_asked() {
    for (allocate, len, has_blocks) in [
        (Allocate::None, 16_384, false),
        (Allocate::Sparse, 4 << 20, false),
        (Allocate::Full, 4 << 20, true),
    ] {
        let world = world(BLOCK_LEN as u32, &[("a", 4 << 20)]);
        let config = StoreConfig { allocate, ..world.config() };
        let mut running = world.open(config).unwrap();
        running.handle.start(&running.handle.trusted()).unwrap();
        running.fetch(&world, [0]);
        let found = std::fs::metadata(world.path("a.part")).unwrap();
        assert_eq!(found.len(), len, "{allocate:?}");
        assert_eq!(found.blocks() * 512 >= 4 << 20, has_blocks, "{allocate:?}");
    }
}

#[test]
fn files_touched_by_others_are_found_before_the_end_and_can_be_fetched_again() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..5);
    std::fs::remove_file(world.path("t/a")).unwrap();
    // Nor is it as it was a moment ago, but it is the same file.
    world.write_file("t/b", &vec![0; 40_000]);
    assert!(!running.finish());
    let mut lost: Vec<u32> = Vec::new();
    for event in running.others.drain(..) {
        if let DiskEvent::FileTrouble { lost: pieces, reason, .. } = event {
            let is_gone = reason.ends_with("t/a is gone: somebody deleted, moved or renamed it");
            assert!(is_gone || reason.contains("by somebody else"), "{reason}");
            lost.extend(pieces.into_iter().map(PieceIndex::number));
        }
    }
    lost.sort();
    assert_eq!(lost, [0, 1, 2, 3, 4]);
    running.fetch(&world, 0..5);
    assert!(running.finish());
    assert_eq!(std::fs::read(world.path("t/a")).unwrap(), world.bytes_of(0));
    assert_eq!(std::fs::read(world.path("t/b")).unwrap(), world.bytes_of(1));
}

/// A download of which pieces 0 to 2 are written, and the first block of piece 3.
fn begun() -> (World, Running) {
    let world = world(2 * BLOCK_LEN as u32, &[("a", 12 * BLOCK_LEN as u64)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    let at = world.layout.block(world.piece(3), 0).unwrap();
    let begin = world.layout.block_offset(at) as usize;
    let block = world.block(&world.content[begin..][..BLOCK_LEN]);
    running.handle.submit(Job::Spill { piece: at.piece(), blocks: vec![(at, block)] }).unwrap();
    running.wait(|event| match event {
        DiskEvent::Spilled { failed: None, .. } => Ok(()),
        other => Err(other),
    });
    (world, running)
}

impl Running {
    fn check_spilled(&mut self, world: &World) -> Verdict {
        let mut blocks = world.blocks(world.piece(3));
        blocks[0] = Held::OnDisk;
        self.check(world.piece(3), blocks)
    }

    /// One event tells of the first three pieces.
    fn assert_told_once(&mut self) {
        let troubles = self.others.drain(..).filter_map(|event| match event {
            DiskEvent::FileTrouble { reason, lost, .. } => Some((reason, lost.len())),
            _ => None,
        });
        let troubles: Vec<_> = troubles.collect();
        assert!(matches!(&troubles[..], [(why, 3)] if why.contains("deleted")), "{troubles:?}");
    }
}

/// What is written into a deleted file is lost, and the longer it goes on the more.
#[test]
fn a_part_file_deleted_under_us_is_found_by_the_next_write() {
    let (world, mut running) = begun();
    std::fs::remove_file(world.path("a.part")).unwrap();
    // That goes into a new one, and who sent what was spilled is not to blame.
    running.fetch(&world, [4]);
    assert!(matches!(running.check_spilled(&world), Verdict::Lost));
    running.fetch(&world, [5]);
    running.assert_told_once();
    running.fetch(&world, 0..4);
    assert!(running.finish());
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.content);
}

#[test]
fn a_part_file_deleted_under_us_is_found_by_the_next_read() {
    let (world, mut running) = begun();
    std::fs::remove_file(world.path("a.part")).unwrap();
    assert!(matches!(running.check_spilled(&world), Verdict::Lost));
    running.assert_told_once();
    running.fetch(&world, 0..6);
    assert!(running.finish());
    assert_eq!(std::fs::read(world.path("a")).unwrap(), world.content);
}

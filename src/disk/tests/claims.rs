//! Whose files are whose: files of others under names that the torrent wants, files that are
//! right already, and two torrents that want the same name.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};

use super::*;

const TWO: [(&str, u64); 2] = [("m/a", 40_000), ("m/b", 60_000)];

fn names_in(world: &World, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(world.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Another torrent in the same directory.
fn another(world: &World, hash: u8, content: Vec<u8>) -> World {
    let mut other = super::world(BLOCK_LEN as u32, &[]);
    let files = world.files.iter().map(|file| (file.path.clone(), file.len));
    other.files = files.map(|(path, len)| StoreFile { path, len, is_pad: false }).collect();
    (other.layout, other.content) = (world.layout, content);
    other.hash = hash;
    other.dir = Some(world.root.path().join("downloads"));
    other
}

fn numbers_of(pieces: &[PieceIndex]) -> Vec<u32> {
    pieces.iter().map(|piece| piece.number()).collect()
}

fn trouble(running: &Running) -> Vec<String> {
    let troubles = running.others.iter().filter_map(|event| match event {
        DiskEvent::FileTrouble { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    troubles.collect()
}

#[test]
fn an_unfinished_file_of_others_stays_as_it_is_and_another_name_is_used() {
    for len in [0, 12, 40_000, 5_000_000] {
        let world = world(BLOCK_LEN as u32, &TWO);
        let theirs = vec![b'z'; len];
        world.write_file("m/a.part", &theirs);
        let (mut running, report) = world.recheck(world.config()).unwrap();
        assert_eq!(report.have.ones(), 0);
        running.fetch(&world, [0]);
        drop(running);
        assert_eq!(fs::read(world.path("m/a.part")).unwrap(), theirs);
        let (mut running, have) = world.resume();
        assert_eq!(numbers(&have), [0]);
        running.fetch(&world, 1..7);
        assert!(running.finish());
        assert_eq!(fs::read(world.path("m/a")).unwrap(), world.bytes_of(0));
        assert_eq!(fs::read(world.path("m/a.part")).unwrap(), theirs);
        assert_eq!(names_in(&world, "m"), ["a", "a.part", "b"]);
    }
}

#[test]
fn a_file_that_others_make_after_the_start_stays_as_it_is() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    world.write_file("m/a.part", b"theirs");
    world.write_file("m/b", b"theirs as well");
    running.fetch(&world, 0..7);
    assert!(!running.finish());
    assert_eq!(fs::read(world.path("m/a")).unwrap(), world.bytes_of(0));
    assert_eq!(fs::read(world.path("m/a.part")).unwrap(), b"theirs");
    assert_eq!(fs::read(world.path("m/b")).unwrap(), b"theirs as well");
    let told = trouble(&running);
    assert!(told.iter().all(|reason| reason.contains("m/b exists and differs")), "{told:?}");
    assert_eq!(fs::read(world.path("m/b.part")).unwrap(), world.bytes_of(1), "it is kept");
    fs::remove_file(world.path("m/b")).unwrap();
    assert!(running.finish());
    assert_eq!(fs::read(world.path("m/b")).unwrap(), world.bytes_of(1));
}

#[test]
fn holes_are_no_evidence_that_a_file_is_ours() {
    let mut world = world(BLOCK_LEN as u32, &[("a", 80_000)]);
    world.content[..BLOCK_LEN].fill(0);
    world.write_file("a.part", b"");
    let theirs = fs::File::options().read(true).write(true).open(world.path("a.part")).unwrap();
    theirs.set_len(80_000).unwrap();
    theirs.write_all_at(b"theirs", 70_000).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [0]);
    // The piece is not counted.
    running.fetch(&world, 0..5);
    assert!(running.finish());
    assert_eq!(fs::read(world.path("a")).unwrap(), world.content);
    let mut bytes = [0; 6];
    theirs.read_exact_at(&mut bytes, 70_000).unwrap();
    assert_eq!((&bytes, theirs.metadata().unwrap().nlink()), (b"theirs", 1));
}

#[test]
fn an_unfinished_file_with_a_right_piece_is_taken_over_without_a_record() {
    let world = world(BLOCK_LEN as u32, &TWO);
    world.write_file("m/b.part", world.bytes_of(1));
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [3, 4, 5, 6]);
    running.fetch(&world, 0..3);
    assert!(running.finish());
    assert_eq!(names_in(&world, "m"), ["a", "b"]);
}

#[test]
fn a_file_of_which_nothing_was_verified_is_ours_by_the_record() {
    let world = world(4 * BLOCK_LEN as u32, &[("a", 80_000)]);
    let (mut running, _) = world.resume();
    let at = world.layout.block(world.piece(0), 0).unwrap();
    let block = world.block(&world.content[..BLOCK_LEN]);
    running.handle.submit(Job::Spill { piece: at.piece(), blocks: vec![(at, block)] }).unwrap();
    running.wait(|event| match event {
        DiskEvent::Spilled { failed: None, .. } => Ok(()),
        other => Err(other),
    });
    assert_eq!(running.flush(), None);
    drop(running);
    let (mut running, _) = world.resume();
    running.fetch(&world, [0, 1]);
    assert!(running.finish());
    assert_eq!(names_in(&world, ""), ["a"], "nothing is left behind");
}

#[test]
fn a_torrent_that_is_opened_again_keeps_its_files_though_somebody_still_sends_from_them() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, [0, 4]);
    let outlet = running.handle.outlet().unwrap();
    drop(running);
    let (mut running, have) = world.resume();
    assert_eq!(numbers(&have), [0, 4]);
    running.fetch(&world, (0..7).filter(|piece| !have.has(world.piece(*piece))));
    assert!(running.finish(), "{:?}", trouble(&running));
    assert_eq!(names_in(&world, "m"), ["a", "b"]);
    drop(outlet);
}

#[test]
fn a_file_beside_a_folder_of_its_unfinished_name_is_completed() {
    let world = world(BLOCK_LEN as u32, &[("d/a", 20_000), ("d/a.part/b", 20_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    assert!(running.finish());
    assert_eq!(names_in(&world, "d"), ["a", "a.part"]);
    // And beside a folder that is not the torrent's.
    let world = super::world(BLOCK_LEN as u32, &[("d/a", 20_000)]);
    world.write_file("d/a.part/x", b"theirs");
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..2);
    assert!(running.finish());
    assert_eq!(names_in(&world, "d"), ["a", "a.part"]);
}

#[test]
fn two_torrents_with_other_content_at_one_path_keep_both() {
    let one = world(BLOCK_LEN as u32, &[("x", 80_000)]);
    let content: Vec<u8> = one.content.iter().map(|byte| byte ^ 0xff).collect();
    let two = another(&one, 8, content);
    let (mut first, _) = one.resume();
    let (mut second, _) = two.resume();
    // One block each, in turn: both have their files open.
    for piece in 0..5 {
        first.fetch(&one, [piece]);
        second.fetch(&two, [piece]);
    }
    assert!(first.finish());
    assert!(!second.finish());
    assert!(trouble(&second).iter().all(|reason| reason.contains("x exists and differs")));
    assert_eq!(fs::read(one.path("x")).unwrap(), one.content);
    assert_eq!(names_in(&one, ""), ["x", "x.0808080808080808.part"]);
    assert_eq!(fs::read(one.path("x.0808080808080808.part")).unwrap(), two.content);
    drop(second);
    // It goes on from there when the name is free.
    fs::remove_file(one.path("x")).unwrap();
    let (mut second, have) = two.resume();
    assert!(have.is_full() && second.finish());
    assert_eq!(fs::read(one.path("x")).unwrap(), two.content);
}

#[test]
fn two_torrents_with_equal_content_at_one_path_share_the_file() {
    let one = world(BLOCK_LEN as u32, &[("x", 80_000)]);
    let two = another(&one, 8, one.content.clone());
    let (mut first, _) = one.resume();
    first.fetch(&one, 0..2);
    // It finds right pieces in a file that somebody writes to.
    let (mut second, report) = two.recheck(two.config()).unwrap();
    second.fetch(&two, (0..5).filter(|piece| !report.have.has(two.piece(*piece))));
    second.fetch(&two, 0..5);
    first.fetch(&one, 2..5);
    assert!(first.finish() && second.finish());
    assert_eq!((trouble(&first), trouble(&second)), (vec![], vec![]));
    assert_eq!(names_in(&one, ""), ["x"]);
    assert_eq!(fs::read(one.path("x")).unwrap(), one.content);
}

#[test]
fn right_files_that_are_there_are_used_and_not_touched() {
    const THREE: [(&str, u64); 3] = [("m/a", 100_000), ("m/b", 100_000), ("m/c", 100_001)];
    for there in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2]] {
        let world = world(2 * BLOCK_LEN as u32, &THREE);
        for file in there {
            world.write_file(THREE[*file].0, world.bytes_of(*file));
        }
        let look = |file: &usize| fs::metadata(world.path(THREE[*file].0)).unwrap();
        let looks = || there.iter().map(|file| (look(file).ino(), look(file).mtime_nsec()));
        let before: Vec<_> = looks().collect();
        let (mut running, report) = world.recheck(world.config()).unwrap();
        let missing = world.layout.pieces().filter(|piece| !report.have.has(*piece));
        let missing: Vec<u32> = missing.map(|piece| piece.number()).collect();
        assert!(missing.len() < 10, "{there:?}: {missing:?}");
        running.fetch(&world, missing);
        assert!(running.finish(), "{there:?}: {:?}", trouble(&running));
        let mut done = running.files_done();
        done.sort();
        let whole = |file: &u32| report.files[*file as usize].check == FileCheck::Whole;
        assert_eq!(done, (0..3).filter(|file| !whole(file)).collect::<Vec<_>>(), "{there:?}");
        for (file, (name, _)) in THREE.iter().enumerate() {
            assert_eq!(fs::read(world.path(name)).unwrap(), world.bytes_of(file));
        }
        assert_eq!(before, looks().collect::<Vec<_>>(), "{there:?}");
        drop(running);
        assert!(world.resume().1.is_full());
    }
}

#[test]
fn what_differs_at_its_border_is_told_and_not_written_to() {
    let world = world(2 * BLOCK_LEN as u32, &[("a", 100_000), ("b", 100_000)]);
    let mut theirs = world.bytes_of(0).to_vec();
    theirs[99_000] ^= 1;
    world.write_file("a", &theirs);
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [0, 1, 2]);
    let piece = world.piece(3);
    let verdict = running.check(piece, world.blocks(piece));
    let Verdict::WriteFailed(blocks, reason) = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("a exists and differs") && reason.contains("--overwrite"), "{reason}");
    assert_eq!(fs::read(world.path("a")).unwrap(), theirs);
    fs::rename(world.path("a"), world.path("aside")).unwrap();
    assert!(matches!(running.check(piece, blocks), Verdict::Good(None)));
    let lost = running.others.iter().filter_map(|event| match event {
        DiskEvent::FileTrouble { lost, .. } => Some(numbers_of(lost)),
        _ => None,
    });
    let lost: Vec<u32> = lost.flatten().collect();
    assert_eq!(lost, [0, 1, 2], "it went with the file");
    running.fetch(&world, 4..7);
    assert!(!running.finish());
    running.fetch(&world, lost);
    assert!(running.finish());
    assert_eq!(fs::read(world.path("a")).unwrap(), world.bytes_of(0));
    assert_eq!(fs::read(world.path("aside")).unwrap(), theirs);
}

#[test]
fn a_file_that_came_since_the_record_was_written_is_looked_at() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, [4]);
    drop(running);
    world.write_file("m/a", world.bytes_of(0));
    let running = world.open(world.config()).unwrap();
    let (trusted, recorded) = (running.handle.trusted(), running.handle.recorded());
    assert_eq!((numbers(&trusted), numbers(&recorded)), (vec![4], vec![0, 1, 2, 4]));
}

#[test]
fn a_damaged_file_of_ours_is_repaired_and_one_that_took_its_place_is_not() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..7);
    assert!(running.finish());
    drop(running);
    let file = fs::File::options().write(true).open(world.path("m/a")).unwrap();
    file.write_all_at(&[world.content[20_000] ^ 1], 20_000).unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_secs(100)).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [0, 2, 3, 4, 5, 6]);
    running.fetch(&world, [1]);
    assert!(running.finish());
    assert_eq!(fs::read(world.path("m/a")).unwrap(), world.bytes_of(0));
    drop(running);
    // Cut, it is ours still; with something behind its end, it holds what we did not write.
    let file = fs::File::options().write(true).open(world.path("m/a")).unwrap();
    file.set_len(20_000).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    let have = numbers(&report.have);
    assert!(have.starts_with(&[0]) && !have.contains(&1), "{have:?}");
    running.fetch(&world, (1..7).filter(|piece| !have.contains(piece)));
    assert!(running.finish());
    assert_eq!(fs::read(world.path("m/a")).unwrap(), world.bytes_of(0));
    drop(running);
    let longer = [world.bytes_of(0), b"a note"].concat();
    file.write_all_at(b"a note", 40_000).unwrap();
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Error::Exists { path } if path.ends_with("m/a")), "{refused}");
    assert_eq!(fs::read(world.path("m/a")).unwrap(), longer);
    // A new file in its place is somebody's work.
    fs::write(world.path("m/new"), b"an edited copy").unwrap();
    fs::rename(world.path("m/new"), world.path("m/a")).unwrap();
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Error::Exists { path } if path.ends_with("m/a")), "{refused}");
    assert_eq!(fs::read(world.path("m/a")).unwrap(), b"an edited copy");
}

#[test]
fn a_check_that_was_ended_makes_no_file_of_others_ours() {
    let world = world(BLOCK_LEN as u32, &TWO);
    let mut theirs = world.bytes_of(1).to_vec();
    theirs[30_000] ^= 1;
    world.write_file("m/b", &theirs);
    let running = world.open(world.config()).unwrap();
    let none = Bitfield::none(world.layout.piece_count());
    // Nothing was looked at yet when the process was killed.
    running.handle.keep_check(&none, &none).unwrap();
    drop(running);
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Error::Exists { path } if path.ends_with("m/b")), "{refused}");
    assert_eq!(fs::read(world.path("m/b")).unwrap(), theirs);
}

#[test]
fn a_file_that_is_not_wanted_yet_and_differs_is_not_written_to_later() {
    let world = world(BLOCK_LEN as u32, &[("a", 20_000), ("gap", 50_000), ("c", 20_000)]);
    world.write_file("c", &[7; 20_000]);
    let config = StoreConfig { wanted: vec![true, false, false], ..world.config() };
    let (mut running, _) = world.recheck(config).unwrap();
    running.fetch(&world, [0, 1]);
    running.handle.submit(Job::Want(vec![true; 3])).unwrap();
    running.fetch(&world, [2, 3]);
    let piece = world.piece(5);
    let verdict = running.check(piece, world.blocks(piece));
    assert!(matches!(verdict, Verdict::WriteFailed(..)), "{verdict:?}");
    assert_eq!(fs::read(world.path("c")).unwrap(), [7; 20_000]);
}

#[test]
fn a_final_file_that_others_replace_is_not_written_to() {
    let world = world(BLOCK_LEN as u32, &[("a", 40_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    fs::write(world.path("new"), b"an edited copy").unwrap();
    fs::rename(world.path("new"), world.path("a")).unwrap();
    assert!(!running.finish());
    let piece = world.piece(0);
    let verdict = running.check(piece, world.blocks(piece));
    assert!(matches!(verdict, Verdict::WriteFailed(..)), "{verdict:?}");
    assert_eq!(fs::read(world.path("a")).unwrap(), b"an edited copy");
    symlink("a", world.path("a.part")).unwrap();
    fs::remove_file(world.path("a")).unwrap();
    running.fetch(&world, 0..3);
    assert!(running.finish());
    assert_eq!(fs::read(world.path("a")).unwrap(), world.content);
}

#[test]
fn an_unfinished_file_that_others_replace_is_not_written_to() {
    let world = world(BLOCK_LEN as u32, &[("a", 160_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    drop(running);
    // No handle of it is open any more.
    let (mut running, _) = world.resume();
    fs::write(world.path("new"), vec![b'z'; 170_000]).unwrap();
    fs::rename(world.path("new"), world.path("a.part")).unwrap();
    running.fetch(&world, [5]);
    let lost = running.others.iter().find_map(|event| match event {
        DiskEvent::FileTrouble { lost, .. } => Some(numbers_of(lost)),
        _ => None,
    });
    assert_eq!(lost, Some(vec![0, 1, 2]));
    running.fetch(&world, (0..10).filter(|piece| *piece != 5));
    assert!(running.finish());
    assert_eq!(fs::read(world.path("a")).unwrap(), world.content);
    assert_eq!(fs::read(world.path("a.part")).unwrap(), vec![b'z'; 170_000]);
}

#[test]
fn who_asks_for_the_name_while_another_gives_it_is_not_forgotten() {
    // The last piece lands while the user's choice is taken in, again and again.
    for _ in 0..50 {
        let world = world(BLOCK_LEN as u32, &[("a", 2 * BLOCK_LEN as u64)]);
        let (mut running, _) = world.resume();
        running.fetch(&world, [0]);
        let piece = world.piece(1);
        let blocks = world.blocks(piece);
        running.handle.submit(Job::Want(vec![true])).unwrap();
        let check = Job::Check { piece, blocks, want_block_hashes: false, may_wait: false };
        running.handle.submit(check).unwrap();
        running.handle.submit(Job::Want(vec![true])).unwrap();
        running.wait(|event| match event {
            DiskEvent::FileDone(_) => Ok(()),
            other => Err(other),
        });
        assert!(world.path("a").exists());
    }
}

//! Pieces that a wanted file shares with ones that are not: what these take on disk meanwhile, and
//! what becomes of it when they are wanted.

use super::*;
use std::fs;
use std::os::unix::fs::FileExt as _;

use crate::base::ids::FileIndex;

/// The second file has the pieces 6 to 9. It shares 1696 bytes of the first one, which are its
/// last, and 3840 of the third.
const THREE: [(&str, u64); 3] = [("a", 100_000), ("b", 60_000), ("c", 90_000)];
const MIDDLE: [bool; 3] = [false, true, false];
const ALL: [bool; 3] = [true; 3];
const A_EDGES: &str = "a.0707070707070707.edges";
const C_EDGES: &str = "c.0707070707070707.edges";
const C_UNFOLDING: &str = "c.0707070707070707.unfolding";

impl World {
    /// Opens with a choice of files, looks at what is in doubt, and starts.
    fn choose(&self, wanted: &[bool]) -> (Running, Bitfield) {
        let running = self.open(StoreConfig { wanted: wanted.to_vec(), ..self.config() }).unwrap();
        let have = running.handle.check(&running.handle.trusted(), &Default::default()).have;
        let have = running.handle.start(&have).unwrap().have;
        (running, have)
    }

    /// Names and lengths of all files.
    fn lens(&self) -> Vec<(String, u64)> {
        let found = fs::read_dir(self.path("")).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    /// Fetches what is missing, all files being wanted, and reads it back.
    fn complete(&self, running: &mut Running, have: &Bitfield) {
        let pieces = self.layout.pieces().filter(|piece| !have.has(*piece));
        running.fetch(self, pieces.map(PieceIndex::number).collect::<Vec<_>>());
        assert!(running.finish());
        assert_eq!(self.lens(), lens(&THREE));
        for (file, (name, _)) in THREE.iter().enumerate() {
            assert_eq!(fs::read(self.path(name)).unwrap(), self.bytes_of(file), "{name}");
        }
    }
}

fn lens(files: &[(&str, u64)]) -> Vec<(String, u64)> {
    files.iter().map(|(name, len)| ((*name).to_owned(), *len)).collect()
}

/// With the second file and its borders, and the record of that.
fn middle() -> World {
    let world = world(BLOCK_LEN as u32, &THREE);
    let (mut running, _) = world.choose(&MIDDLE);
    running.fetch(&world, 6..10);
    assert!(running.finish());
    assert_eq!(running.flush(), None);
    world
}

#[test]
fn a_file_gets_its_space_when_it_is_wanted() {
    for allocate in [Allocate::Sparse, Allocate::Full] {
        let world = world(BLOCK_LEN as u32, &[("a", 20_000), ("b", 40_000)]);
        let wanted = vec![true, false];
        let store = FileStore::new(1, StoreConfig { wanted, allocate, ..world.config() }).unwrap();
        let mut handles = Handles::new(4);
        let mut write = |at: usize, len: usize| {
            store.write(&mut handles, at as u64, &[&world.content[at..][..len]]).unwrap();
            fs::metadata(world.path("b.part")).unwrap().len()
        };
        // The last piece that was begun before it was not wanted any more, but for its end.
        assert_eq!(write(3 * BLOCK_LEN, 1000), 3 * BLOCK_LEN as u64 + 1000 - 20_000);
        assert!(store.want(&[true, true]).is_empty());
        assert_eq!(write(2 * BLOCK_LEN, 1000), 40_000, "{allocate:?}");
    }
}

#[test]
fn edges_take_as_much_as_they_are_and_are_there_at_the_next_start() {
    let world = middle();
    let kept = [(A_EDGES, 1696), ("b", 60_000), (C_EDGES, 3840)];
    assert_eq!(world.lens(), lens(&kept));
    assert_eq!(fs::read(world.path(A_EDGES)).unwrap(), world.bytes_of(0)[98_304..]);
    assert_eq!(fs::read(world.path(C_EDGES)).unwrap(), world.bytes_of(2)[..3840]);
    // Nothing is read for it.
    let running = world.open(world.config()).unwrap();
    assert_eq!(numbers(&running.handle.trusted()), [6, 7, 8, 9]);
    drop(running);
    // Nor is a record needed.
    fs::remove_file(world.resume_path()).unwrap();
    let config = StoreConfig { wanted: MIDDLE.to_vec(), ..world.config() };
    let (running, report) = world.recheck(config).unwrap();
    assert_eq!(numbers(&report.have), [6, 7, 8, 9]);
    assert_eq!(verdicts(&report), [FileCheck::Wrong(6), FileCheck::Whole, FileCheck::Wrong(6)]);
    drop(running);
    let mut damaged = fs::read(world.path(C_EDGES)).unwrap();
    damaged[3839] ^= 1;
    world.write_file(C_EDGES, &damaged);
    let checked = check_files(world.config(), &CheckProgress::default(), 24 << 20).unwrap();
    assert_eq!(numbers(&checked.have), [6, 7, 8]);
}

#[test]
fn an_edit_of_edges_is_seen_when_they_have_gone_to_their_places() {
    let world = middle();
    let (mut running, have) = world.choose(&ALL);
    assert_eq!(numbers(&have), [6, 7, 8, 9]);
    let file = fs::File::options().write(true).open(world.path(C_EDGES)).unwrap();
    file.write_all_at(&[!world.bytes_of(2)[5]], 5).unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).unwrap();
    running.fetch(&world, [10]);
    assert!(!world.path(C_EDGES).exists());
    drop(running);
    let trusted = world.open(world.config()).unwrap().handle.trusted();
    assert_eq!(numbers(&trusted), [6, 7, 8]);
}

#[test]
fn edges_go_to_their_places_when_more_of_their_file_comes() {
    let world = middle();
    let (mut running, have) = world.choose(&ALL);
    assert_eq!(numbers(&have), [6, 7, 8, 9]);
    let outlet = running.handle.outlet().unwrap();
    let border = outlet.slices(9 * BLOCK_LEN as u64, BLOCK_LEN as u64).last().unwrap();
    let read = |opened: &OutletFile| {
        let mut bytes = vec![0; border.len as usize];
        opened.file.read_exact_at(&mut bytes, opened.place_of(&border).unwrap()).unwrap();
        bytes
    };
    let opened = outlet.open(FileIndex(2)).unwrap();
    assert_eq!(read(&opened), world.bytes_of(2)[..3840]);
    running.fetch(&world, [12]);
    let now = [(A_EDGES, 1696), ("b", 60_000), ("c.part", 90_000)];
    assert_eq!(world.lens(), lens(&now));
    // Who sends from it goes on, and then takes the other.
    assert!(!outlet.is_current(&opened, FileIndex(2)));
    assert_eq!(read(&opened), world.bytes_of(2)[..3840]);
    let opened = outlet.open(FileIndex(2)).unwrap();
    assert_eq!(read(&opened), world.bytes_of(2)[..3840]);
    assert_eq!(running.flush(), None);
    drop((running, outlet));
    // It stays so when it is not wanted any more.
    let (running, have) = world.choose(&MIDDLE);
    assert_eq!((numbers(&have), world.lens()), (vec![6, 7, 8, 9, 12], lens(&now)));
    drop(running);
    let (mut running, have) = world.choose(&ALL);
    world.complete(&mut running, &have);
}

#[test]
fn both_edges_of_a_file_stand_one_behind_the_other() {
    let world = world(BLOCK_LEN as u32, &THREE);
    let (mut running, _) = world.choose(&[true, false, true]);
    running.fetch(&world, (0..7).chain(9..16));
    assert!(running.finish());
    let edges = [world.bytes_of(1)[..14_688].to_vec(), world.bytes_of(1)[47_456..].to_vec()];
    assert_eq!(fs::read(world.path("b.0707070707070707.edges")).unwrap(), edges.concat());
    assert_eq!(running.flush(), None);
    drop(running);
    let (mut running, have) = world.choose(&ALL);
    assert_eq!(have.ones(), 14);
    world.complete(&mut running, &have);
}

/// The run ends, or the power goes, while edges go to their places.
#[test]
fn no_moment_of_unfolding_loses_anything_or_believes_what_is_wrong() {
    for is_named in [false, true] {
        let world = middle();
        let edges = fs::read(world.path(C_EDGES)).unwrap();
        let record = world.record();
        if is_named {
            let (mut running, _) = world.choose(&ALL);
            running.fetch(&world, [12]);
            drop(running);
            // What was written behind the name is not there yet.
            let part = fs::File::options().write(true).open(world.path("c.part")).unwrap();
            part.write_all_at(&[0; 1000], 40_000).unwrap();
            world.write_file(C_EDGES, &edges);
        } else {
            world.write_file(C_UNFOLDING, b"half");
        }
        // Until the record is unlocked.
        drop(world.open(world.config()).unwrap());
        fs::write(world.resume_path(), &record).unwrap();
        let (mut running, have) = world.choose(&ALL);
        assert_eq!(numbers(&have), [6, 7, 8, 9], "named: {is_named}");
        let c = if is_named { ("c.part", 90_000) } else { (C_EDGES, 3840) };
        assert_eq!(world.lens(), lens(&[(A_EDGES, 1696), ("b", 60_000), c]));
        world.complete(&mut running, &have);
    }
}

#[test]
fn an_unfinished_file_of_others_is_left_alone_when_edges_go_to_their_places() {
    let world = middle();
    let (mut running, have) = world.choose(&ALL);
    world.write_file("c.part", b"theirs");
    running.fetch(&world, [12]);
    assert!(world.path("c.0707070707070707.part").exists() && !world.path(C_EDGES).exists());
    assert_eq!(fs::read(world.path("c.part")).unwrap(), b"theirs");
    let missing = world.layout.pieces().filter(|piece| !have.has(*piece) && piece.number() != 12);
    running.fetch(&world, missing.map(PieceIndex::number).collect::<Vec<_>>());
    assert!(running.finish());
    assert_eq!(fs::read(world.path("c")).unwrap(), world.bytes_of(2));
}

#[test]
fn edges_that_somebody_deleted_are_fetched_again() {
    let world = middle();
    fs::remove_file(world.path(C_EDGES)).unwrap();
    let (mut running, have) = world.choose(&ALL);
    assert_eq!(numbers(&have), [6, 7, 8]);
    world.complete(&mut running, &have);
    let world = middle();
    let (mut running, _) = world.choose(&ALL);
    fs::remove_file(world.path(C_EDGES)).unwrap();
    // It is written at the second try, to a file that is made then.
    running.fetch(&world, [12]);
    let told = running.others.iter().find_map(|event| match event {
        DiskEvent::FileTrouble { lost, .. } => Some(lost.clone()),
        _ => None,
    });
    let lost = told.unwrap_or_else(|| {
        running.wait(|event| match event {
            DiskEvent::FileTrouble { lost, .. } => Ok(lost),
            other => Err(other),
        })
    });
    assert_eq!(lost, [world.piece(9)]);
    let mut have = Bitfield::none(world.layout.piece_count());
    for number in [6, 7, 8, 12] {
        have.insert(world.piece(number));
    }
    world.complete(&mut running, &have);
}

#[test]
fn long_unfinished_files_of_unwanted_ones_go_on_as_they_are() {
    let world = world(BLOCK_LEN as u32, &THREE);
    let (mut running, _) = world.choose(&ALL);
    running.fetch(&world, 6..9);
    assert_eq!(running.flush(), None);
    drop(running);
    let (mut running, have) = world.choose(&MIDDLE);
    assert_eq!(numbers(&have), [6, 7, 8]);
    running.fetch(&world, [9]);
    assert!(running.finish());
    assert_eq!(world.lens(), lens(&[("a.part", 100_000), ("b", 60_000), (C_EDGES, 3840)]));
    assert_eq!(running.flush(), None);
    drop(running);
    let (mut running, have) = world.choose(&ALL);
    assert_eq!(numbers(&have), [6, 7, 8, 9]);
    world.complete(&mut running, &have);
}

#[test]
fn edges_go_where_their_files_are_moved() {
    let world = middle();
    let there = world.root.path().join("there");
    let planned = plan_move(world.config(), &Relocation::Dir(there.clone())).unwrap();
    planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    let renamed = Relocation::File(FileIndex(2), "d".to_owned());
    let planned = plan_move(world.config(), &renamed).unwrap();
    planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&there).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [A_EDGES, "b", "d.0707070707070707.edges"]);
    assert!(!world.path(A_EDGES).exists() && !world.path(C_EDGES).exists());
    let (mut running, have) = world.resume();
    assert_eq!(numbers(&have), [6, 7, 8, 9]);
    running.fetch(&world, (0..6).chain(10..16));
    assert!(running.finish());
    assert_eq!(fs::read(there.join("d")).unwrap(), world.bytes_of(2));
    assert_eq!(fs::read_dir(&there).unwrap().count(), 3);
}

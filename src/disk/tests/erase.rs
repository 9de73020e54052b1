//! Removing a torrent's files: its own go, under whatever names, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// All that stands below, directories with a slash behind them.
fn below(world: &World) -> Vec<String> {
    let root = world.path("");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let is_dir = path.symlink_metadata().unwrap().is_dir();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            found.push(if is_dir { name + "/" } else { name });
            waiting.extend(is_dir.then_some(path));
        }
    }
    found.sort();
    found
}

/// Fetches these pieces, and ends.
fn begin(world: &World, pieces: impl IntoIterator<Item = u32>) {
    let (mut running, _) = world.resume();
    running.fetch(world, pieces);
    assert_eq!(running.flush(), None);
}

#[test]
fn whole_and_unfinished_files_go_and_only_what_is_empty_then() {
    let files = [("t/a", 40_000), ("t/sub/deep/b", 40_000), ("t/none", 0), ("t/not/begun", 9)];
    let world = world(BLOCK_LEN as u32, &files);
    begin(&world, [0, 1, 2, 3]);
    world.write_file("t/sub/theirs", b"x");
    world.write_file("t/not/begun", b"also theirs");
    fs::create_dir(world.path("t/theirs, and empty")).unwrap();
    assert!(world.path("t/a").exists() && world.path("t/sub/deep/b.part").exists());
    let erased = erase(world.config()).unwrap();
    assert_eq!((erased.files, erased.bytes), (3, 80_000));
    let stayed = (world.path("t/not/begun"), "it is not as the torrent left it".to_owned());
    assert_eq!((erased.stayed, erased.named), (1, vec![stayed]));
    assert!(world.config().resume_path.exists(), "something stays that it tells of");
    let left = ["t/", "t/not/", "t/not/begun", "t/sub/", "t/sub/theirs", "t/theirs, and empty/"];
    assert_eq!(below(&world), left);
    fs::remove_dir_all(world.path("t")).unwrap();
    let again = erase(world.config()).unwrap();
    assert_eq!((again, below(&world).len()), (Erased::default(), 0), "the directory stays");
}

#[test]
fn names_that_only_we_give_are_cleared_up() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 10_000), ("t/b", 90_000), ("t/c", 40_000)]);
    // An unfinished file of somebody else, so that ours gets another name.
    world.write_file("t/c.part", b"theirs");
    let config = StoreConfig { wanted: vec![true, false, true], ..world.config() };
    let mut running = world.open(config.clone()).unwrap();
    running.handle.start(&running.handle.trusted()).unwrap();
    running.fetch(&world, [0, 6]);
    assert_eq!(running.flush(), None);
    drop(running);
    let [edges, own] = ["t/b.0707070707070707.edges", "t/c.0707070707070707.part"];
    assert_eq!(below(&world), ["t/", "t/a", edges, own, "t/c.part"]);
    let erased = erase(config).unwrap();
    assert_eq!((erased.files, erased.stayed), (3, 0));
    assert_eq!(below(&world), ["t/", "t/c.part"]);
}

#[test]
fn files_of_others_stay_under_the_names_of_the_torrent() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 40_000), ("t/b", 40_000)]);
    world.write_file("t/a", &[1; 40_000]);
    world.write_file("t/b.part", b"theirs");
    let erased = erase(world.config()).unwrap();
    assert_eq!((erased.files, erased.stayed), (0, 2), "nobody has begun it");
    assert_eq!(below(&world), ["t/", "t/a", "t/b.part"]);
}

#[test]
fn one_that_was_replaced_stays() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 40_000), ("t/b", 10)]);
    begin(&world, 0..3);
    fs::remove_file(world.path("t/a")).unwrap();
    world.write_file("t/a", b"theirs");
    let erased = erase(world.config()).unwrap();
    assert_eq!((erased.files, erased.stayed), (1, 1), "{erased:?}");
    assert_eq!(fs::read(world.path("t/a")).unwrap(), b"theirs");
}

#[test]
fn links_of_the_torrent_go_and_no_other_is_followed_or_removed() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 10), ("t/b", 10)]);
    let link = |at: &str, content: &str| (PathBuf::from(at), PathBuf::from(content));
    let symlinks = vec![link("t/links/ours", "../a"), link("t/theirs", "a")];
    let config = StoreConfig { symlinks, ..world.config() };
    let mut running = world.open(config.clone()).unwrap();
    running.handle.start(&running.handle.trusted()).unwrap();
    running.fetch(&world, [0]);
    assert!(running.finish());
    drop(running);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("a"), b"far away").unwrap();
    for (at, content) in [("t/theirs", outside.path()), ("t/b", &outside.path().join("a"))] {
        fs::remove_file(world.path(at)).unwrap();
        symlink(content, world.path(at)).unwrap();
    }
    let erased = erase(config.clone()).unwrap();
    assert_eq!((erased.files, erased.bytes), (1, 10));
    assert_eq!(below(&world), ["t/", "t/b", "t/theirs"]);

    // The folder itself leads away.
    fs::remove_dir_all(world.path("t")).unwrap();
    symlink(outside.path(), world.path("t")).unwrap();
    let refused = erase(config).unwrap_err().to_string();
    assert!(refused.contains("symbolic link"), "{refused}");
    assert_eq!(fs::read(outside.path().join("a")).unwrap(), b"far away");
}

#[test]
fn files_are_found_where_they_were_moved_and_as_they_were_renamed() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 40_000), ("t/b", 40_000)]);
    begin(&world, [0, 1, 2]);
    let there = world.root.path().join("there");
    let moves = [
        Relocation::Dir(there.clone()),
        Relocation::Torrent("new".to_owned()),
        Relocation::File(crate::base::ids::FileIndex(1), "other".to_owned()),
    ];
    for what in moves {
        let planned = plan_move(world.config(), &what).unwrap();
        planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    }
    assert!(there.join("new/other.part").exists());
    fs::create_dir_all(world.path("t")).unwrap();
    world.write_file("t/a", b"theirs");
    let erased = erase(world.config()).unwrap();
    assert_eq!((erased.files, erased.stayed), (2, 0));
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    assert_eq!(below(&world), ["t/", "t/a"]);

    // Got again, it goes where it is to go, and not where it was moved to once.
    fs::remove_dir_all(world.path("t")).unwrap();
    begin(&world, [0]);
    assert_eq!(below(&world), ["t/", "t/a.part"]);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
}

#[test]
fn a_torrent_that_somebody_has_is_left_alone() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 10)]);
    begin(&world, [0]);
    let (running, _) = world.resume();
    assert!(matches!(erase(world.config()), Err(Error::InUse { .. })));
    assert!(world.path("t/a").exists());
    drop(running);
    assert_eq!(erase(world.config()).unwrap().files, 1, "it is waited for");
}

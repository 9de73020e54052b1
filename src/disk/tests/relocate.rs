//! Moving and renaming, on one file system and across two, interrupted after every step.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use super::*;
use crate::base::ids::FileIndex;

/// A torrent with a whole file, one with holes, one that is empty and one that was not begun.
/// Of its 192 pieces some are verified.
fn half() -> (World, Vec<u32>) {
    let files =
        [("t/a", 40_000), ("t/sub/deep/b", 3_000_000), ("t/none", 0), ("t/not/begun", 100_000)];
    let world = world(BLOCK_LEN as u32, &files);
    let have = vec![0, 1, 2, 60, 61, 150];
    let (mut running, _) = world.resume();
    running.fetch(&world, have.clone());
    assert_eq!(running.flush(), None);
    (world, have)
}

/// A directory on another file system than the world's; none where there is no such.
fn elsewhere(world: &World) -> Option<TempDir> {
    let there = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let differs = device(there.path()) != device(world.root.path());
    if !differs {
        println!("skipped: /dev/shm is no other file system");
    }
    differs.then_some(there)
}

/// All files below, with their bytes allocated.
fn below(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let metadata = entry.path().symlink_metadata().unwrap();
            if metadata.is_dir() {
                waiting.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.push((name, metadata.blocks() * 512));
            }
        }
    }
    found.sort();
    found
}

fn names(dir: &Path) -> Vec<String> {
    below(dir).into_iter().map(|(name, _)| name).collect()
}

fn relocate(world: &World, what: &Relocation) -> Result<(), Error> {
    plan_move(world.config(), what)?.carry_out(&MoveProgress::default(), &|_| {})
}

/// The pieces that are believed without a look, and where.
fn trusted(world: &World) -> (Vec<u32>, Home) {
    let running = world.open(world.config()).unwrap();
    assert_eq!(running.handle.record_state(), RecordState::Loaded);
    let home = running.handle.home().unwrap();
    (numbers(&running.handle.trusted()), Home::clone(&home))
}

/// Fetches what is missing where the torrent is now, and reads it back there.
fn complete(world: &World, dir: &Path, paths: [&str; 4]) {
    let (mut running, have) = world.resume();
    let missing: Vec<u32> =
        (0..world.layout.piece_count()).filter(|n| !have.has(world.piece(*n))).collect();
    running.fetch(world, missing);
    assert!(running.finish());
    for (file, path) in paths.into_iter().enumerate() {
        assert_eq!(fs::read(dir.join(path)).unwrap(), world.bytes_of(file), "{path}");
    }
    assert_eq!(names(dir).len(), 4, "{:?}", names(dir));
}

const PATHS: [&str; 4] = ["t/a", "t/sub/deep/b", "t/none", "t/not/begun"];

#[test]
fn an_unfinished_file_of_others_stays_where_it_is() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 40_000), ("t/b", 40_000)]);
    world.write_file("t/a.part", b"theirs");
    let (mut running, _) = world.resume();
    running.fetch(&world, [3]);
    assert_eq!(running.flush(), None);
    drop(running);
    let there = world.root.path().join("there");
    relocate(&world, &Relocation::Dir(there.clone())).unwrap();
    assert_eq!(fs::read(world.path("t/a.part")).unwrap(), b"theirs");
    assert_eq!(names(&there), ["t/b.part"]);
    assert_eq!(trusted(&world).0, [3]);
}

#[test]
fn a_damaged_file_of_ours_is_still_ours_where_it_was_moved() {
    let world = world(BLOCK_LEN as u32, &[("t/a", 40_000)]);
    let (mut running, _) = world.resume();
    running.fetch(&world, 0..3);
    assert!(running.finish());
    drop(running);
    let file = fs::File::options().write(true).open(world.path("t/a")).unwrap();
    let wrong = [world.content[20_000] ^ 1];
    std::os::unix::fs::FileExt::write_all_at(&file, &wrong, 20_000).unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_secs(100)).unwrap();
    let there = world.root.path().join("there");
    relocate(&world, &Relocation::Dir(there.clone())).unwrap();
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(numbers(&report.have), [0, 2]);
    running.fetch(&world, [1]);
    assert!(running.finish());
    assert_eq!(fs::read(there.join("t/a")).unwrap(), world.content);
}

#[test]
fn files_move_within_a_file_system_and_are_found_from_where_they_came() {
    let (world, have) = half();
    fs::write(world.path("t/sub/foreign"), b"mine").unwrap();
    let there = world.root.path().join("there/deep");
    fs::create_dir(world.root.path().join("there")).unwrap();
    let planned = plan_move(world.config(), &Relocation::Dir(there.clone())).unwrap();
    assert_eq!(planned.copy_bytes(), 0);
    planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    assert_eq!(names(&there), ["t/a", "t/none", "t/sub/deep/b.part"]);
    assert_eq!(names(&world.path("")), ["t/sub/foreign"]);
    assert!(
        !world.path("t/sub/deep").exists() && !world.resume_path().with_extension("move").exists()
    );
    let (found, home) = trusted(&world);
    assert_eq!((found, home.dir), (have, lasting(&there)));
    complete(&world, &there, PATHS);
    // Any other directory is another place, as ever.
    let elsewhere = StoreConfig { dir: world.root.path().join("other"), ..world.config() };
    let running = world.open(elsewhere).unwrap();
    assert!(matches!(running.handle.record_state(), RecordState::Unusable(_)));
}

#[test]
fn a_run_in_another_directory_does_not_forget_where_the_files_are_and_what_they_are_called() {
    let (world, have) = half();
    relocate(&world, &Relocation::Torrent("renamed".to_owned())).unwrap();
    let elsewhere = StoreConfig { dir: world.root.path().join("other"), ..world.config() };
    let running = world.open(elsewhere.clone()).unwrap();
    assert_eq!(running.handle.survey().final_count, 0);
    running.handle.start(&running.handle.trusted()).unwrap();
    drop(running);
    let (mut running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(running.handle.home().unwrap().folder.as_deref(), Some("renamed"));
    assert_eq!(numbers(&report.have), have);
    assert_eq!(running.flush(), None);
    drop(running);
    // And back again: none of the two is forgotten.
    drop(world.recheck(elsewhere).unwrap());
    let (running, report) = world.recheck(world.config()).unwrap();
    assert_eq!(running.handle.home().unwrap().folder.as_deref(), Some("renamed"));
    assert_eq!(numbers(&report.have), have);
}

#[test]
fn files_move_across_file_systems_with_their_holes_and_times() {
    let (world, have) = half();
    let Some(there) = elsewhere(&world) else { return };
    let before = fs::metadata(world.path("t/sub/deep/b.part")).unwrap();
    let planned = plan_move(world.config(), &Relocation::Dir(there.path().to_owned())).unwrap();
    assert!((80_000..1_000_000).contains(&planned.copy_bytes()), "{}", planned.copy_bytes());
    planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    let after = fs::metadata(there.path().join("t/sub/deep/b.part")).unwrap();
    assert_eq!((before.len(), before.mtime_nsec()), (after.len(), after.mtime_nsec()));
    assert!(after.blocks() * 512 < 1_000_000, "it has holes");
    assert_eq!(below(&world.path("")), []);
    assert_eq!(trusted(&world).0, have);
    complete(&world, there.path(), PATHS);
    // And back, of which the present place is told.
    relocate(&world, &Relocation::Dir(world.path(""))).unwrap();
    let (found, home) = trusted(&world);
    assert_eq!((found.len(), home.came_from), (192, vec![lasting(there.path())]));
    complete(&world, &world.path(""), PATHS);
}

#[test]
fn names_change_and_last() {
    let (world, have) = half();
    relocate(&world, &Relocation::File(FileIndex(1), "x y".into())).unwrap();
    relocate(&world, &Relocation::Torrent("new".into())).unwrap();
    relocate(&world, &Relocation::File(FileIndex(3), "later/z".into())).unwrap();
    assert_eq!(names(&world.path("")), ["new/a", "new/none", "new/sub/deep/x y.part"]);
    assert_eq!(trusted(&world).0, have);
    complete(&world, &world.path(""), ["new/a", "new/sub/deep/x y", "new/none", "new/later/z"]);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_touched_when_refused() {
    let (world, have) = half();
    let there = world.root.path().join("there");
    let before = names(&world.path(""));
    for (at, what) in [
        (there.join("t/a"), Relocation::Dir(there.clone())),
        // Where a file will be that has not begun.
        (there.join("t/not/begun.part"), Relocation::Dir(there.clone())),
        // A file where a directory has to be.
        (there.join("t/sub"), Relocation::Dir(there.clone())),
        (world.path("t/free"), Relocation::File(FileIndex(0), "free".into())),
        (world.path("new/a"), Relocation::Torrent("new".into())),
    ] {
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, b"mine").unwrap();
        let refused = relocate(&world, &what).unwrap_err();
        assert!(matches!(refused, Error::Occupied { .. }), "{what:?}: {refused}");
        assert_eq!(fs::read(&at).unwrap(), b"mine");
        fs::remove_file(&at).unwrap();
    }
    for what in [
        Relocation::Dir(world.path("")),
        Relocation::File(FileIndex(0), "a".into()),
        Relocation::File(FileIndex(0), "none".into()),
        Relocation::File(FileIndex(0), "sub/deep".into()),
        Relocation::File(FileIndex(0), "../out".into()),
        Relocation::File(FileIndex(9), "x".into()),
        Relocation::Torrent("t".into()),
        Relocation::Torrent("a/b".into()),
    ] {
        let refused = relocate(&world, &what).unwrap_err();
        assert!(matches!(refused, Error::Unmovable(_)), "{what:?}: {refused}");
    }
    assert_eq!((names(&world.path("")), trusted(&world).0), (before, have));
    let running = world.open(world.config()).unwrap();
    let refused = relocate(&world, &Relocation::Dir(there)).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    drop(running);
}

#[test]
fn a_stopped_move_leaves_all_where_it_was() {
    let (world, have) = half();
    let Some(there) = elsewhere(&world) else { return };
    let before = names(&world.path(""));
    let progress = MoveProgress::default();
    let planned = plan_move(world.config(), &Relocation::Dir(there.path().join("x"))).unwrap();
    let stop_when_copying = |step: &str| {
        if step == "copying" {
            progress.cancel();
        }
    };
    let stopped = planned.carry_out(&progress, &stop_when_copying).unwrap_err();
    assert!(stopped.to_string().starts_with("stopped"), "{stopped}");
    assert_eq!((names(&world.path("")), below(there.path())), (before, vec![]));
    let (found, home) = trusted(&world);
    assert_eq!((found, home.came_from.len()), (have, 0));
}

#[test]
fn what_others_changed_is_as_protected_after_a_move_as_before() {
    let (world, have) = half();
    let changed = vec![7; 40_000];
    fs::write(world.path("t/a"), &changed).unwrap();
    let there = world.root.path().join("there");
    relocate(&world, &Relocation::Dir(there.clone())).unwrap();
    assert_eq!(trusted(&world).0, have[3..]);
    let refused = world.recheck(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Exists { .. }), "{refused}");
    assert_eq!(fs::read(there.join("t/a")).unwrap(), changed);
}

#[test]
fn files_without_a_record_are_moved_and_looked_at_later_and_unfinished_ones_stay() {
    let (world, have) = half();
    fs::remove_file(world.resume_path()).unwrap();
    let there = world.root.path().join("there");
    relocate(&world, &Relocation::Dir(there.clone())).unwrap();
    let (running, report) = world.recheck(world.config()).unwrap();
    assert!(matches!(running.handle.record_state(), RecordState::Unusable(_)));
    // What is in unfinished files may be anybody's.
    let whole: Vec<u32> = have.into_iter().filter(|piece| *piece < 2).collect();
    assert_eq!(numbers(&report.have), whole);
    assert!(!below(&world.path("")).is_empty(), "they are where they were");
    drop(running);
    complete(&world, &there, PATHS);
}

/// Interrupts a move before each of its steps in turn, starts again each time, and has `judge`
/// look; the steps that were seen.
fn interrupt_everywhere(
    what: impl Fn(&World) -> Option<(Relocation, Option<TempDir>)>,
    judge: impl Fn(&World, &Home, &Relocation),
) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for last in 0.. {
        let (world, have) = half();
        let Some((what, there)) = what(&world) else { return Vec::new() };
        let planned = plan_move(world.config(), &what).unwrap();
        let taken = Cell::new(0);
        let interrupted = catch_unwind(AssertUnwindSafe(|| {
            planned.carry_out(&MoveProgress::default(), &|step| {
                if taken.replace(taken.get() + 1) == last {
                    // As dead as a killed process: nothing behind this runs.
                    resume_unwind(Box::new(step.to_owned()));
                }
            })
        }));
        let (found, home) = trusted(&world);
        assert_eq!(found, have, "after {steps:?}");
        judge(&world, &home, &what);
        assert!(!world.resume_path().with_extension("move").exists(), "after {steps:?}");
        drop(there);
        match interrupted {
            Ok(done) => {
                done.unwrap();
                return steps;
            }
            Err(step) => steps.push(*step.downcast::<String>().unwrap()),
        }
    }
    unreachable!("it ends some day")
}

/// All files are in one place, in the one that the home names, and copies in none.
fn is_in_one_place(world: &World, home: &Home, what: &Relocation) {
    let Relocation::Dir(there) = what else { panic!("no directory") };
    let here = world.path("");
    let (full, empty) = if home.dir == lasting(there) { (there, &here) } else { (&here, there) };
    assert_eq!(home.dir, lasting(full));
    assert_eq!(names(full), ["t/a", "t/none", "t/sub/deep/b.part"]);
    assert_eq!(names(empty), [""; 0]);
    assert!(!empty.join("t").exists(), "empty directories go");
}

#[test]
fn a_move_that_is_interrupted_anywhere_is_ended_or_undone_at_the_next_start() {
    let within = |world: &World| Some((Relocation::Dir(world.root.path().join("there")), None));
    let steps = interrupt_everywhere(within, is_in_one_place);
    assert_eq!(steps.iter().filter(|step| *step == "giving a file its name").count(), 3);
    let across = |world: &World| {
        let there = elsewhere(world)?;
        Some((Relocation::Dir(there.path().join("there")), Some(there)))
    };
    let steps = interrupt_everywhere(across, is_in_one_place);
    let copied = steps.iter().filter(|step| *step == "removing what was copied").count();
    assert!(steps.is_empty() || copied == 3 && steps.len() > 15, "{steps:?}");
}

#[test]
fn a_renaming_that_is_interrupted_anywhere_is_ended_or_undone_at_the_next_start() {
    let file = |_: &World| Some((Relocation::File(FileIndex(1), "c/d".into()), None));
    let steps = interrupt_everywhere(file, |world, home, _| {
        let is_new = home.names.contains_key(&1);
        let name = if is_new { "t/c/d.part" } else { "t/sub/deep/b.part" };
        assert!(names(&world.path("")).contains(&name.to_owned()), "{:?}", names(&world.path("")));
        assert_eq!(names(&world.path("")).len(), 3);
        assert_eq!((world.path("t/c").exists(), world.path("t/sub").exists()), (is_new, !is_new));
    });
    assert!(steps.len() > 4, "{steps:?}");
    let folder = |_: &World| Some((Relocation::Torrent("new".into()), None));
    interrupt_everywhere(folder, |world, home, _| {
        let folder = if home.folder.is_some() { "new" } else { "t" };
        let is_there = |name: &String| name.starts_with(&format!("{folder}/"));
        assert!(names(&world.path("")).iter().all(is_there) && names(&world.path("")).len() == 3);
    });
}

#[test]
fn whoever_ignores_the_record_is_led_to_no_other_directory() {
    let (world, have) = half();
    let there = world.root.path().join("there");
    relocate(&world, &Relocation::Dir(there.clone())).unwrap();
    let moved = names(&there);
    let anew = StoreConfig { ignores_record: true, ..world.config() };
    let elsewhere = StoreConfig { dir: there.clone(), ..anew.clone() };
    let running = world.open(elsewhere).unwrap();
    assert_eq!((running.handle.ignored(), numbers(&running.handle.trusted())), (None, have));
    drop(running);
    let running = world.open(anew).unwrap();
    let real = fs::canonicalize(&there).unwrap();
    let words = format!("its record, of files that were moved to {}, is ignored", real.display());
    assert_eq!(running.handle.ignored(), Some(words));
    assert_eq!(running.handle.trusted().ones(), 0);
    running.handle.start(&Bitfield::none(world.layout.piece_count())).unwrap();
    drop(running);
    // From now on each of the two has its own files.
    assert_eq!(trusted(&world).1.dir, fs::canonicalize(world.path("")).unwrap());
    let elsewhere = StoreConfig { dir: there.clone(), ..world.config() };
    assert_eq!(world.open(elsewhere).unwrap().handle.home().unwrap().dir, there);
    assert_eq!(names(&there), moved);
}

#[test]
fn links_come_along() {
    let (world, _) = half();
    std::os::unix::fs::symlink("a", world.path("t/link")).unwrap();
    let config = StoreConfig { symlinks: vec![("t/link".into(), "a".into())], ..world.config() };
    let there = world.root.path().join("there");
    let planned = plan_move(config, &Relocation::Dir(there.clone())).unwrap();
    planned.carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    assert_eq!(fs::read_link(there.join("t/link")).unwrap(), Path::new("a"));
    assert!(!world.path("t").exists());
}

#[test]
fn nothing_goes_to_a_file_system_that_keeps_no_files() {
    let (world, _) = half();
    for there in ["/proc", "/sys/new"] {
        let refused = relocate(&world, &Relocation::Dir(there.into())).unwrap_err();
        assert!(matches!(refused, Error::NoFiles { .. }), "{there}: {refused}");
    }
}

#[test]
fn too_little_space_is_told_before_anything_is_touched() {
    let (world, have) = half();
    let Some(small) = SmallDisk::mount(world.root.path().join("small"), "64k") else { return };
    let before = names(&world.path(""));
    let refused = relocate(&world, &Relocation::Dir(small.0.clone())).unwrap_err();
    assert!(matches!(refused, Error::NoRoom { .. }), "{refused}");
    assert_eq!(names(&small.0), [""; 0]);
    assert_eq!((names(&world.path("")), trusted(&world).0), (before, have));
}

#[test]
fn space_is_wanted_for_what_is_still_to_be_fetched_too() {
    let (world, have) = half();
    let Some(small) = SmallDisk::mount(world.root.path().join("small"), "2m") else { return };
    let what = Relocation::Dir(small.0.clone());
    let before = names(&world.path(""));
    let refused = relocate(&world, &what).unwrap_err().to_string();
    let words = "small: 3.0 MiB needed (2.9 MiB of it still to be fetched), 2.0 MiB free; nothing";
    assert!(refused.contains(words), "{refused}");
    // The same while it runs.
    let (running, _) = world.resume();
    let refused = refuse_move(&running.handle, &world.config().files, &what).unwrap_err();
    assert!(refused.to_string().contains(words), "{refused}");
    drop(running);
    assert_eq!((names(&small.0), names(&world.path(""))), (vec![], before));
    // Of what is not wanted nothing more comes.
    let few = StoreConfig { wanted: vec![true, false, true, true], ..world.config() };
    plan_move(few, &what).unwrap().carry_out(&MoveProgress::default(), &|_| {}).unwrap();
    assert_eq!(trusted(&world).0, have);
}

#[test]
fn a_move_is_undone_when_others_fill_its_disk_meanwhile() {
    for (step, words) in [
        ("copying", "no space is left in "),
        ("bringing the copies' names to the device", " needed for what is still to be fetched, "),
    ] {
        let (world, have) = half();
        let Some(disk) = SmallDisk::mount(world.root.path().join("disk"), "4m") else { return };
        let before = names(&world.path(""));
        let fill = || drop(fs::write(disk.0.join("theirs"), vec![1; 8 << 20]));
        let refused = meddled(&world, &disk.0, step, fill);
        let told = refused.to_string();
        assert!(told.contains(words) && !told.contains("by itself"), "{refused}");
        assert_eq!((names(&disk.0), names(&world.path(""))), (vec!["theirs".into()], before));
        assert_eq!(trusted(&world).0, have);
    }
}

#[test]
fn no_more_of_a_path_is_made_than_its_last_part() {
    let (world, _) = half();
    let missing = world.root.path().join("mistyped");
    let what = Relocation::Dir(missing.join("a/b"));
    let (running, _) = world.resume();
    let refused = refuse_move(&running.handle, &world.config().files, &what).unwrap_err();
    let words = format!("{} does not exist: make it first, ", missing.display());
    assert!(refused.to_string().starts_with(&words), "{refused}");
    drop(running);
    assert!(relocate(&world, &what).unwrap_err().to_string().starts_with(&words));
    assert!(!missing.exists());
    fs::write(&missing, b"").unwrap();
    let refused = relocate(&world, &what).unwrap_err().to_string();
    assert!(refused.contains("mistyped is no directory: "), "{refused}");
}

#[test]
fn a_move_is_not_ended_where_its_file_system_is_missing() {
    let (world, have) = half();
    let Some(disk) = SmallDisk::mount(world.root.path().join("disk"), "16m") else { return };
    let planned = plan_move(world.config(), &Relocation::Dir(disk.0.join("x"))).unwrap();
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        planned.carry_out(&MoveProgress::default(), &|step| {
            if step == "removing what was copied" {
                resume_unwind(Box::new(()));
            }
        })
    }));
    assert!(interrupted.is_err());
    // Bound elsewhere, so that what it holds outlives its absence.
    let kept = SmallDisk::bind(&disk.0, world.root.path().join("kept"));
    disk.unmount();
    let refused = world.open(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::HalfMoved { .. }), "{refused}");
    assert!(!disk.0.join("x").exists() && world.path("t/a").exists(), "nothing was touched");
    let _back = SmallDisk::bind(&kept.0, disk.0.clone());
    assert_eq!(trusted(&world).0, have);
    assert_eq!(names(&world.path("")), [""; 0]);
}

/// A move across file systems that somebody meddles with before the first of such steps.
fn meddled(world: &World, there: &Path, at: &str, meddle: impl Fn()) -> Error {
    let planned = plan_move(world.config(), &Relocation::Dir(there.to_owned())).unwrap();
    let is_done = Cell::new(false);
    let on_step = |step: &str| {
        if step == at && !is_done.replace(true) {
            meddle();
        }
    };
    planned.carry_out(&MoveProgress::default(), &on_step).unwrap_err()
}

#[test]
fn a_torrent_does_not_stand_in_its_own_way() {
    for paths in [["a.moving", "a"], ["a", "a.moving"]] {
        let world = world(BLOCK_LEN as u32, &paths.map(|path| (path, 20_000)));
        let Some(there) = elsewhere(&world) else { return };
        let (mut running, _) = world.resume();
        running.fetch(&world, (0..world.layout.piece_count()).collect::<Vec<_>>());
        assert!(running.finish());
        drop(running);
        relocate(&world, &Relocation::Dir(there.path().to_owned())).unwrap();
        for (file, path) in paths.into_iter().enumerate() {
            assert_eq!(fs::read(there.path().join(path)).unwrap(), world.bytes_of(file), "{path}");
        }
        assert_eq!(names(there.path()), ["a", "a.moving"]);
        assert_eq!(names(&world.path("")), [""; 0]);
    }
}

#[test]
fn a_file_that_is_written_while_it_is_copied_is_not_moved() {
    // Of the first file, while it is copied, and when its turn is over.
    for step in ["copying", "bringing the copies' names to the device"] {
        let (world, _) = half();
        let Some(there) = elsewhere(&world) else { return };
        let before = names(&world.path(""));
        let write = || {
            let file = fs::File::options().write(true).open(world.path("t/a")).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"new", 0).unwrap();
            file.set_modified(std::time::SystemTime::now() + Duration::from_secs(9)).unwrap();
        };
        let refused = meddled(&world, there.path(), step, write).to_string();
        assert!(refused.contains("t/a was changed while it was copied"), "{refused}");
        assert_eq!((names(&world.path("")), names(there.path())), (before, vec![]));
        assert_eq!(fs::read(world.path("t/a")).unwrap()[..3], *b"new");
    }
}

#[test]
fn what_is_undone_takes_nothing_of_others_along() {
    for content in [&b"mine"[..], b""] {
        let (world, have) = half();
        let Some(there) = elsewhere(&world) else { return };
        fs::create_dir_all(there.path().join("t/sub")).unwrap();
        let mine = there.path().join("t/sub/deep/b.part.moving");
        let meddle = || fs::write(&mine, content).unwrap();
        let refused = meddled(&world, there.path(), "reserving the name of a copy", meddle);
        assert!(refused.to_string().contains("b.part.moving"), "{refused}");
        assert_eq!(names(there.path()), ["t/sub/deep/b.part.moving"]);
        assert_eq!(fs::read(&mine).unwrap(), content);
        fs::remove_file(&mine).unwrap();
        fs::remove_dir(there.path().join("t/sub/deep")).unwrap();
        // A directory that was there stays, though it is empty.
        let meddle = || fs::write(world.path("t/a"), b"new").unwrap();
        meddled(&world, there.path(), "copying", meddle);
        assert_eq!(names(there.path()), [""; 0]);
        assert!(there.path().join("t/sub").exists() && !there.path().join("t/sub/deep").exists());
        assert_eq!(trusted(&world).0, have[3..]);
    }
}

#[test]
fn who_starts_before_the_copies_were_ours_loses_nothing() {
    let (world, have) = half();
    let Some(there) = elsewhere(&world) else { return };
    let planned = plan_move(world.config(), &Relocation::Dir(there.path().to_owned())).unwrap();
    let mine = there.path().join("t/sub/deep/b.part.moving");
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        planned.carry_out(&MoveProgress::default(), &|step| {
            if step == "reserving the name of a copy" {
                fs::write(&mine, b"mine").unwrap();
                resume_unwind(Box::new(()));
            }
        })
    }));
    assert!(interrupted.is_err());
    assert_eq!(trusted(&world).0, have);
    assert_eq!(names(there.path()), ["t/sub/deep/b.part.moving"]);
}

#[test]
fn a_note_that_cannot_be_followed_says_what_to_do() {
    let (world, have) = half();
    let note = world.resume_path().with_extension("move");
    fs::write(&note, b"d7:versioni9ee").unwrap();
    let refused = world.open(world.config()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::BadNote { .. }), "{refused}");
    let told = format!("{}, the note", note.display());
    assert!(refused.to_string().starts_with(&told), "{refused}");
    fs::remove_file(&note).unwrap();
    assert_eq!(trusted(&world).0, have);
}

/// A file system of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={size}");
        let is_done = mount(&["-t", "tmpfs", "-o", &size, "none"], &at);
        if !is_done {
            println!("skipped: only root may mount");
        }
        is_done.then_some(Self(at))
    }

    fn bind(what: &Path, at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        assert!(mount(&["--bind", what.to_str().unwrap()], &at));
        Self(at)
    }

    fn unmount(&self) {
        let _ =
            std::process::Command::new("umount").args(["-l".as_ref(), self.0.as_path()]).output();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let done = std::process::Command::new("mount").args(arguments).arg(at).output();
    done.is_ok_and(|done| done.status.success())
}

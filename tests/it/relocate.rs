//! `move` and `rename` at the prompt of the real program: while it downloads, over restarts, and
//! killed on the way to another file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::run::{LIMIT, Place, Running, finish};
use crate::payload::{Payload, scramble};
use crate::process::driver;

#[test]
fn a_download_is_moved_and_renamed_while_it_runs_and_is_found_again() {
    let place = Place::new(Some(600_000));
    let mut running = Running::start(&mut place.command(&[]));
    assert!(place.seeder.wait_served(600_000, LIMIT), "nothing was asked for");
    running.type_line("move there/deep");
    let missing = place.home.path().canonicalize().expect("a folder").join("there");
    running.line(&format!("{} does not exist: make it first, or name ", missing.display()));
    fs::create_dir(&missing).expect("a folder");
    running.type_line("move there/deep");
    running.line("moved to there/deep");
    let there = place.home.path().join("there/deep");
    assert!(there.join("sample").is_dir() && !place.out().join("sample").exists());
    // It goes on by itself, with the peer that it knew.
    let before = place.seeder.served_bytes();
    assert!(place.seeder.wait_served(before + 300_000, LIMIT), "it does not go on");
    for (typed, answer) in [
        ("rename 2 ../x", "../x leads out of the torrent's directory: name one in it"),
        ("rename 2 other", "renamed to sample/b/other"),
        ("rename 3 x", "there is no file 3: the torrent has 2 files"),
        ("rename film", "renamed to film"),
        ("files", "   NO   DONE"),
        ("", "    1 "),
        ("info", "Saved in    there/deep/film"),
        ("list", "*  1 film "),
        ("move there/deep", "its files are in there/deep already"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    running.type_line("files");
    assert!(running.line("    2 ").ends_with("film/b/other"));
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(7));

    let mut again = place.command(&["--exit-on-finish"]);
    let ran = finish(&mut again);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = format!("its files were moved to {}", fs::canonicalize(&there).unwrap().display());
    let all = ran.stdout + &ran.stderr;
    assert_eq!(all.matches(&said).count(), 1, "{all}");
    assert!(!all.contains("Saving to out/"), "{all}");
    let saving = format!("Saving to {}/   port ", fs::canonicalize(&there).unwrap().display());
    assert!(all.contains(&saving), "{all}");
    fs::rename(there.join("film/b/other"), there.join("film/b/second")).expect("the second file");
    fs::rename(there.join("film"), there.join("sample")).expect("the folder");
    place.payload.assert_same(&there);
    assert!(!place.out().join("sample").exists());
    let twice = place.seeder.served_bytes() - place.payload.len();
    assert!(twice < 1_500_000, "{twice} bytes were fetched twice");
}

#[test]
fn verify_knows_a_file_that_was_renamed_alone() {
    let place = Place::new(None);
    let mut running = Running::start(&mut place.command(&["--seed"]));
    running.line("Complete: ");
    running.type_line("rename 2 x");
    running.line("renamed to sample/b/x");
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(0));
    let verify = || {
        let arguments = ["verify", "s.torrent", "out", "-v"];
        finish(driver(place.home.path()).current_dir(place.home.path()).args(arguments))
    };
    let ran = verify();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("  sample/b/x\n"), "{}", ran.stdout);
    // Its user gave it the old name back.
    let folder = place.out().join("sample/b");
    fs::rename(folder.join("x"), folder.join("second")).expect("rename a file");
    let ran = verify();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("  sample/b/second\n"), "{}", ran.stdout);
}

/// Also when another program has the torrent's first record meanwhile.
#[test]
fn what_was_renamed_and_moved_is_found_by_its_new_directory_alone() {
    let place = Place::new(None);
    let full = place.home.path().join("full");
    fs::create_dir_all(&full).expect("a folder");
    place.payload.write_to(&full);
    let mut seed = driver(place.home.path());
    seed.current_dir(place.home.path()).args(["seed", "s.torrent", "full", "--no-trackers"]);
    let mut seeder = Running::start(seed.args(["--port", "0"]));
    seeder.line("Complete: ");
    let mut running = Running::start(&mut place.command(&["--seed"]));
    running.line("Complete: ");
    for (typed, answer) in [
        ("rename film", "renamed to film"),
        ("rename 2 other", "renamed to film/b/other"),
        ("move v2", "moved to v2"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(0));
    for dir in ["v2", "out"] {
        let verify = ["verify", "s.torrent", dir, "-v"];
        let ran = finish(driver(place.home.path()).current_dir(place.home.path()).args(verify));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("  film/b/other\n"), "{}", ran.stdout);
        assert_eq!(ran.stderr.contains("looking in "), dir == "out", "{}", ran.stderr);
    }
    let ran = finish(&mut place.command_at("v2", "0"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(", here already by its record; "), "{}", ran.stdout);
    assert!(place.home.path().join("v2/film/b/other").is_file());
    seeder.signal("TERM");
    assert_eq!(seeder.wait().code, Some(0));
}

#[test]
fn a_torrent_that_is_paused_or_queued_moves_as_well() {
    let place = Place::new(Some(600_000));
    let mut running = Running::start(&mut place.command(&[]));
    assert!(place.seeder.wait_served(600_000, LIMIT), "nothing was asked for");
    running.type_line("pause");
    running.line("paused");
    running.type_line("move there");
    running.line("moved to there");
    running.type_line("status");
    running.line("State      paused");
    running.type_line("resume");
    running.line("going on");
    running.end_input();
    running.line("Complete: ");
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(0));
    place.payload.assert_same(&place.home.path().join("there"));
}

const LEN: u64 = 24 << 20;

#[test]
fn a_move_to_another_file_system_survives_kills() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let device = |path: &Path| fs::metadata(path).expect("a folder").dev();
    if device(home.path()) == device(other.path()) {
        println!("skipped: /dev/shm is no other file system");
        return;
    }
    let files = [("first.bin", LEN / 2 + 1), ("b/second", LEN / 2)];
    let payload = Arc::new(Payload::new(5, "sample", 64 << 10, &files));
    fs::write(home.path().join("s.torrent"), payload.torrent(None)).expect("a torrent");
    let places = [home.path().join("out"), other.path().join("x")];
    fs::create_dir_all(&places[0]).expect("a folder");
    payload.write_to(&places[0]);
    let ran = finish(&mut command(home.path(), &["--exit-on-finish"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    let seed = u64::from(std::process::id());
    for round in 0..6 {
        let here = usize::from(!places[0].join("sample").exists());
        let (from, to) = (&places[here], &places[1 - here]);
        let moment = scramble(seed + round) % (LEN + LEN / 8);
        let mut running = Running::start(&mut command(home.path(), &["--seed"]));
        running.line("Complete: ");
        running.type_line(&format!("move {}", to.display()));
        wait_for_bytes(to, moment);
        running.signal("KILL");
        assert_eq!(running.wait().code, None);

        let ran = finish(&mut command(home.path(), &["--exit-on-finish"]));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains("Complete: "), "{}", ran.stdout);
        assert!(!ran.stdout.contains("downloaded"), "{}", ran.stdout);
        let (full, empty) = if from.join("sample").exists() { (from, to) } else { (to, from) };
        payload.assert_same(full);
        assert_eq!(bytes_below(empty), 0, "killed at {moment}, seed {seed}");
        assert_eq!(bytes_below(full), payload.len());
    }
}

fn command(home: &Path, more: &[&str]) -> Command {
    let mut command = driver(home);
    command.current_dir(home).args(["s.torrent", "--no-trackers", "--dir", "out", "--port", "0"]);
    command.args(more);
    command
}

/// Waits until so many bytes are there, or no more are coming.
fn wait_for_bytes(dir: &Path, bytes: u64) {
    let deadline = Instant::now() + LIMIT;
    let mut last = (0, Instant::now());
    while Instant::now() < deadline && last.0 < bytes.max(1) {
        let now = bytes_below(dir);
        if now > last.0 {
            last = (now, Instant::now());
        }
        if now >= LEN && last.1.elapsed() > Duration::from_millis(20) {
            return;
        }
        std::thread::yield_now();
    }
    assert!(last.0 > 0, "nothing came");
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry: fs::DirEntry| {
        let path: PathBuf = entry.path();
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => bytes_below(&path),
            // It may have gone meanwhile.
            found => found.map_or(0, |found| found.len()),
        }
    });
    sizes.sum()
}

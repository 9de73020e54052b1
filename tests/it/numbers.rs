//! The first hour of a new user: numbers that are right, and two programs that do what everybody
//! tries first. The real program, on loopback.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::run::{LIMIT, Place, Running, finish};
use crate::faults::mounts::Mount;
use crate::mock_tracker::{MockTracker, Script};
use crate::payload::Payload;
use crate::process::driver;
use crate::seeder::Seeder;

/// Of the torrent that a `Place` has.
const LEN: &str = "2.9 MiB";

/// `driver seed`, of the data in `full`, with its port.
fn seed(place: &Place, more: &[&str]) -> (Running, String) {
    let full = place.home.path().join("full");
    std::fs::create_dir_all(&full).expect("a folder");
    place.payload.write_to(&full);
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["seed", "s.torrent", "full", "--no-trackers"]);
    let mut running = Running::start(command.args(["--port", "0", "--repl"]).args(more));
    let port = loop {
        if let Some((_, port)) = running.line("").rsplit_once("/   port ") {
            break port.trim().to_owned();
        }
    };
    running.line("Complete: ");
    (running, port)
}

/// A download into `dir` from that port alone.
fn leech(place: &Place, dir: &str, port: &str) -> Command {
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["s.torrent", "--no-trackers", "--dir", dir]);
    command.args(["--port", "0", "-e", "--peer", &format!("127.0.0.1:{port}")]);
    command
}

/// Asks for the status until its line of this name says so; how long that took.
fn until_said(running: &mut Running, name: &str, says: &str) -> Duration {
    let since = Instant::now();
    loop {
        running.type_line("status");
        let line = running.line(name);
        if line.contains(says) {
            return since.elapsed();
        }
        assert!(since.elapsed() < LIMIT, "{line}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_sent_shows_at_once_and_outlives_the_program() {
    let place = Place::new(None);
    let (mut seeder, port) = seed(&place, &[]);
    for dir in ["one", "two"] {
        // It takes all and is gone before anybody looks.
        let ran = finish(&mut leech(&place, dir, &port));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        place.payload.assert_same(&place.home.path().join(dir));
    }
    let took = until_said(&mut seeder, "Uploaded ", "5.7 MiB   ratio 2.00");
    assert!(took < Duration::from_secs(2), "after {took:?}");
    until_said(&mut seeder, "Speed ", "up 0 B/s");
    // And at once after a third.
    let ran = finish(&mut leech(&place, "three", &port));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    seeder.type_line("quit");
    assert_eq!(seeder.wait().code, Some(0));
    let (mut again, _) = seed(&place, &[]);
    again.type_line("status");
    let line = again.line("Uploaded ");
    assert!(line.contains("0 B (and 8.6 MiB before)   ratio 3.00"), "{line}");
}

#[test]
fn seeding_by_ratio_ends_as_soon_as_that_is_reached() {
    let place = Place::new(None);
    let (mut seeder, port) = seed(&place, &["--seed=1"]);
    let ran = finish(&mut leech(&place, "one", &port));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let since = Instant::now();
    assert_eq!(seeder.wait().code, Some(0));
    assert!(since.elapsed() < Duration::from_secs(8), "after {:?}", since.elapsed());
}

/// Of one torrent in two directories each program has its own records; of one directory, the
/// second is told who has it.
#[test]
fn one_machine_seeds_and_downloads_the_same_torrent() {
    let place = Place::new(None);
    let (mut seeder, port) = seed(&place, &[]);
    let mut first = leech(&place, "other", &port);
    let mut first = Running::start(first.arg("--seed=50"));
    first.line("Complete: ");
    place.payload.assert_same(&place.home.path().join("other"));
    for dir in ["other", "full"] {
        let ran = finish(&mut leech(&place, dir, &port));
        ran.assert_refused(8, "this torrent is already in use here by ");
    }
    first.signal("TERM");
    assert_eq!(first.wait().code, Some(0));
    // The place has what it knew, whoever else runs or does not.
    for is_alone in [false, true] {
        if is_alone {
            seeder.type_line("quit");
            assert_eq!(seeder.wait().code, Some(0));
        }
        let ran = finish(&mut leech(&place, "other", &port));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        let found = format!("Complete: {LEN}, here already by its record; ");
        assert!(ran.stdout.contains(&found), "{}", ran.stdout);
    }
}

/// A block every eight seconds: there is no rate to see that by.
#[test]
fn a_limit_of_less_than_a_block_a_second_is_named_by_why() {
    let place = Place::new(None);
    let mut running = Running::start(&mut place.command(&["-D", "2K"]));
    running.line("Saving to ");
    let since = Instant::now();
    loop {
        let said = why(&mut running);
        if said.contains("your limit of 2.0 KiB/s held it back") {
            assert!(said.contains("What to do: limit down off lifts it"), "{said}");
            break;
        }
        assert!(since.elapsed() < LIMIT, "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A new limit is not said to have held back what the old one did.
    running.type_line("limit down 3K");
    running.line("down at most 2.9 KiB/s");
    let said = why(&mut running);
    assert!(said.contains("your limit held it back (2.9 KiB/s since "), "{said}");
}

/// All that `why` answers.
fn why(running: &mut Running) -> String {
    running.type_line("why");
    running.type_line("log 0");
    let mut said = String::new();
    loop {
        match running.line("") {
            end if end == "no news yet" => return said,
            line => said += &(line + "\n"),
        }
    }
}

#[test]
fn completed_is_told_once_by_a_program_that_ends_before_its_answer() {
    let place = Place::new(None);
    let reply = [b"d8:intervali1800e5:peers6:", &[127, 0, 0, 1][..]].concat();
    let port = place.seeder.address().port().to_be_bytes();
    let body = [&reply[..], &port, b"e"].concat();
    let Script::Raw(answer) = Script::body(&body) else { panic!("an answer is bytes") };
    let tracker = MockTracker::start(vec![Script::Drip(answer, Duration::from_millis(6))]);
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["s.torrent", "--dir", "out", "--port", "0", "-e"]);
    let ran = finish(command.args(["--tracker", &tracker.url_of("/announce")]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let mut events = Vec::new();
    while let Some(request) = tracker.next_request(Duration::ZERO) {
        let event = request.split_once("&event=").map_or("", |(_, rest)| rest);
        events.push(event.split(['&', ' ']).next().unwrap_or_default().to_owned());
    }
    assert_eq!(events, ["started", "completed", "stopped"]);
}

#[test]
fn what_cannot_be_written_is_said_before_anybody_is_dialled() {
    let place = Place::new(None);
    let Some(disk) = Mount::memory(&place.out(), "1m") else { return };
    let ran = finish(&mut place.command(&[]));
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    let words = format!("not enough space in out: {LEN} wanted, 1.0 MiB free: free some");
    assert!(ran.stderr.contains(&words), "{}", ran.stderr);
    // Who speaks to the program waits, up to a time.
    let mut command = place.command(&["--repl", "--timeout", "1s"]);
    let mut running = Running::start(&mut command);
    let ran = running.wait();
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(&words), "{}", ran.stderr);
    let words = "driver: nothing could be written for 1s: no space left on device writing out/";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    disk.change("ro,size=16m");
    let served = place.seeder.served_bytes();
    let ran = finish(&mut place.command(&[]));
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("read-only file system writing out"), "{}", ran.stderr);
    assert_eq!(place.seeder.served_bytes(), served, "somebody was asked");
}

#[test]
fn what_is_of_the_kernel_is_no_place_for_files() {
    let place = Place::new(None);
    for dir in ["/proc", "/sys/new"] {
        let ran = finish(&mut place.command_at(dir, "0"));
        assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
        let words = "file system of the kernel, which keeps no files: choose another directory";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

/// Of three pieces and a part, one file takes two: that is the whole then.
#[test]
fn pieces_count_to_what_was_selected_and_the_ratio_keeps_its_base() {
    let place = Place::new(None);
    let mut running = Running::start(&mut place.command(&["--select", "2", "--seed"]));
    running.line("Complete: ");
    running.type_line("status");
    let pieces = running.line("Pieces ");
    assert!(pieces.contains("16 of 16 wanted verified (46 in all)"), "{pieces}");
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn seed_says_when_the_data_is_right_here() {
    let place = Place::new(None);
    place.payload.write_to(place.home.path());
    let mut command = driver(place.home.path());
    let ran = finish(command.current_dir(place.home.path()).args(["seed", "s.torrent"]));
    ran.assert_refused(3, "sample is not in downloads, but here: give . as the directory");
}

#[test]
fn a_move_is_told_once_and_needs_a_directory() {
    let place = Place::new(Some(300_000));
    std::fs::write(place.home.path().join("file"), "x").expect("a file");
    let mut running = Running::start(&mut place.command(&[]));
    running.line("Saving to ");
    assert!(place.seeder.wait_served(200_000, LIMIT), "nothing was asked for");
    for (typed, answer) in [
        ("move file", "is no directory: name one, or a new one"),
        ("move file/deep", "is no directory: name one, or a new one"),
        ("rename .", "that names a directory: rename takes a new name, move a directory"),
        ("move 'there", "the quote ' is never closed: close it, or leave it out"),
        ("move there", "moved to there"),
    ] {
        running.type_line(typed);
        let line = running.line("");
        assert!(line.ends_with(answer), "{typed}: {line}");
    }
    running.end_input();
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!(ran.stdout + &ran.stderr).contains("its files were moved"), "told twice");
}

#[test]
fn the_second_to_want_a_file_name_ends_as_trouble_of_the_disk() {
    let place = Place::new(Some(400_000));
    let mut first = Running::start(&mut place.command(&["-e", "--timeout", "2s"]));
    assert!(place.seeder.wait_served(500_000, LIMIT), "nothing was asked for");
    let files = [("first.bin", 2_000_001), ("b/second", 999_000)];
    let other = std::sync::Arc::new(Payload::new(4, "sample", 64 << 10, &files));
    std::fs::write(place.home.path().join("o.torrent"), other.torrent(None)).expect("a torrent");
    let seeder = Seeder::start(other.clone(), None);
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["o.torrent", "--no-trackers", "--dir", "out"]);
    command.args(["--port", "0", "--peer", &seeder.address().to_string()]);
    // The faster one has the names.
    let ran = finish(command.arg("-e"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let ran = first.wait();
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("driver: nothing could be written for 2s: "), "{}", ran.stderr);
    assert_eq!(other.differences(&place.out()), [""; 0]);
}

#[test]
fn a_renaming_that_comes_to_nothing_costs_no_peer_and_one_that_does_shows() {
    let place = Place::new(Some(300_000));
    let log = place.home.path().join("driver.log");
    let log_path = log.to_str().expect("a path").to_owned();
    let mut running = Running::start(&mut place.command(&["--log", &log_path]));
    assert!(place.seeder.wait_served(200_000, LIMIT), "nothing was asked for");
    let askers = place.seeder.askers();
    for (typed, answer) in [
        ("rename ../evil", "../evil leads out of the torrent's directory: name one in it"),
        ("rename sample", "sample is its name already"),
        ("list", "*  1 sample"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    assert_eq!(place.seeder.askers(), askers, "it was dialled again");
    running.type_line("rename film");
    running.line("renamed to film");
    running.type_line("list");
    running.line("*  1 film");
    running.end_input();
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("first peer: ").count(), 1, "{}", ran.stderr);
    let log = std::fs::read_to_string(log).expect("a log");
    let complete = log.lines().find(|line| line.ends_with(": complete")).expect("its end");
    assert!(complete.contains("torrent{name=\"sample\" hash="), "{complete}");
}

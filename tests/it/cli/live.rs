//! Downloads that run: commands through a pipe, signals, a second start, JSON lines, the demo.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::run::{LIMIT, Place, Run, Running, finish, run};
use crate::process::driver;

/// Slow enough to be met in the middle: 3 MB in half a minute.
const SLOW: Option<u64> = Some(100_000);

/// A slow download that is known to have begun.
fn slow(place: &Place) -> Running {
    let running = Running::start(&mut place.command(&[]));
    assert!(place.seeder.wait_served(100_000, LIMIT), "nothing was asked for");
    running
}

#[test]
fn commands_of_a_pipe_are_answered_without_a_prompt() {
    let place = Place::new(SLOW);
    let mut running = slow(&place);
    for (typed, answer) in [
        ("status", "State      downloading"),
        ("st", "Pieces     "),
        ("p", "ADDRESS"),
        ("", ""),
        ("info -f", "    2   975.6 KiB  sample/b/second"),
        ("peeers", "unknown command \"peeers\" - did you mean \"peers\"? (help lists all)"),
        ("limit", "down no limit, up no limit"),
        ("limit 2M", "usage: limit [N] down|up RATE|off"),
        ("limit down 2M", "down at most 1.9 MiB/s"),
        ("trackers", ""),
        ("add-peer 127.0.0.1:1", "trying 127.0.0.1:1"),
        ("select 3", "there is no file 3: the torrent has 2 files"),
        ("select 2", "1 file selected"),
        ("files", "    1   skip "),
        ("watch", "that needs a terminal"),
        ("pause", "paused; resume goes on"),
        ("why", "Now: paused"),
        ("help quit", "quit "),
    ] {
        running.type_line(typed);
        let line = running.line(answer);
        assert!(!line.contains(['\x1b', '>']), "{line:?}");
    }
    running.type_line("quit");
    let ran = running.wait();
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("Saved. Downloaded "), "{}", ran.stdout);
    let paused = "\nA pause ends with the run: the next start goes on.\n";
    assert!(ran.stdout.ends_with(paused), "{}", ran.stdout);
}

#[test]
fn the_end_of_a_pipe_is_not_the_end_of_the_download() {
    let place = Place::new(None);
    let mut running = Running::start(&mut place.command(&[]));
    running.end_input();
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("\nComplete: 2.9 MiB in "), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
    place.payload.assert_same(&place.out());

    let again = finish(&mut place.command(&[]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let said = "Complete: 2.9 MiB, here already by its record; --check ";
    assert!(again.stdout.contains(said), "{}", again.stdout);
    assert!(!again.stderr.contains("verified"), "nothing was read: {}", again.stderr);
    let looked = finish(&mut place.command(&["--check"]));
    let said = "Complete: 2.9 MiB, all of it found on disk and verified.";
    assert!(looked.stdout.contains(said), "{}", looked.stdout);
    let checked = finish(&mut place.command(&["--check", "-q"]));
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), ""), "{}", checked.stderr);
}

#[test]
fn a_file_that_was_edited_or_deleted_since_is_named_and_fetched_again() {
    let place = Place::new(None);
    assert_eq!(finish(&mut place.command(&[])).code, Some(0));
    let edited = place.out().join("sample/first.bin");
    let file = std::fs::File::options().write(true).open(&edited).expect("the file");
    file.write_all_at(b"edited", 100_000).expect("write to it");
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).expect("set its time");
    let again = finish(&mut place.command(&[]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let said = "first.bin was changed: 1 piece (64.0 KiB) is fetched again";
    assert_eq!(again.stderr.matches(said).count(), 1, "{}", again.stderr);
    assert!(again.stdout.contains(", 64.0 KiB of it downloaded in "), "{}", again.stdout);
    place.payload.assert_same(&place.out());

    std::fs::remove_file(place.out().join("sample/b/second")).expect("delete a file");
    let again = finish(&mut place.command(&["--json"]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let events = again.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let checked = events.into_iter().find(|event| event["event"] == "checked").unwrap();
    assert_eq!(checked["changed"][0]["gone"], true, "{checked}");
    place.payload.assert_same(&place.out());
}

#[test]
fn signals_stop_and_keep_the_progress() {
    for (signal, hard) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new(SLOW);
        let mut running = slow(&place);
        running.signal(signal);
        let ran = running.wait();
        assert_eq!(ran.code, Some(7), "{signal}: {}", ran.stderr);
        let hurry = if hard == 130 { "press Ctrl-C again" } else { "the same signal again" };
        assert!(ran.stderr.contains(&format!("Stopping... {hurry}")), "{}", ran.stderr);

        let mut running = Running::start(&mut place.command(&[]));
        running.line("Saving to out/");
        // Signals of one kind merge while they wait; a stop this quick may win the race.
        running.signal(signal);
        running.signal(signal);
        let code = running.wait().code;
        assert!(code == Some(hard) || code == Some(7), "{signal} twice: {code:?}");
    }
}

#[test]
fn quit_and_start_again_fetches_little_twice() {
    let place = Place::new(Some(1_000_000));
    let mut running = Running::start(&mut place.command(&[]));
    assert!(place.seeder.wait_served(1_500_000, LIMIT), "nothing was asked for");
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(7));
    let ran = finish(&mut place.command(&[]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    place.payload.assert_same(&place.out());
    let twice = place.seeder.served_bytes() - place.payload.len();
    assert!(twice < 1_000_000, "{twice} bytes were fetched twice");
}

#[test]
fn a_second_one_is_refused() {
    let place = Place::new(SLOW);
    let _first = slow(&place);
    let same: Run = finish(&mut place.command(&[]));
    same.assert_refused(8, "");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let other = Place::new(None);
    let bound = finish(other.command_at("out", &port).args(["--bind", "127.0.0.1"]));
    bound.assert_refused(8, &port);
}

#[test]
fn selected_files_are_those_that_info_numbers() {
    let place = Place::new(None);
    let listed = run(place.home.path(), &["info", "--files", "s.torrent"]).stdout;
    let second = listed.lines().find(|line| line.trim_start().starts_with("2 "));
    assert!(second.is_some_and(|line| line.ends_with("sample/b/second")), "{listed}");
    let ran = finish(&mut place.command(&["--select", "2"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let saved = std::fs::metadata(place.out().join("sample/b/second")).expect("the second file");
    assert_eq!(saved.len(), 999_000);
    assert!(!place.out().join("sample/first.bin").exists());
}

#[test]
fn nobody_there_is_code_4_in_time() {
    let place = Place::new(None);
    let mut command = crate::process::driver(place.home.path());
    command.current_dir(place.home.path());
    command.args(["s.torrent", "--no-trackers", "--port", "0", "--timeout", "1s"]);
    let ran = finish(&mut command);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let last = ran.stderr.lines().last().expect("a line");
    assert!(last.contains("no tracker to ask; try another --peer ADDR"), "{last}");
    // Where a peer was named it is told what became of it.
    let ran = finish(command.args(["--peer", "127.0.0.1:1"]));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let [reached, asked] = ["of 1 known (127.0.0.1:1: Connection refused", "no tracker to ask"];
    assert!(ran.stderr.contains(reached) && ran.stderr.contains(asked), "{}", ran.stderr);
}

#[test]
fn a_tracker_that_refuses_is_told_once_and_named() {
    let place = Place::new(None);
    let gone = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}/announce", gone.local_addr().expect("its address"));
    drop(gone);
    let mut command = crate::process::driver(place.home.path());
    command.current_dir(place.home.path());
    command.args(["s.torrent", "--tracker", &url, "--port", "0", "--timeout", "2s"]);
    let ran = finish(&mut command);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let told = format!("tracker: {url} failed: ");
    let count = ran.stderr.lines().filter(|line| line.starts_with(&told)).count();
    assert_eq!(count, 1, "{}", ran.stderr);
}

#[test]
fn json_is_one_event_a_line() {
    let place = Place::new(None);
    let ran = finish(&mut place.command(&["--json"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let events: Vec<Value> = ran.stdout.lines().map(read).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"started"));
    assert_eq!(names.last(), Some(&"stopped"));
    assert!(names.contains(&"completed") && names.contains(&"first_peer"), "{names:?}");
    assert_eq!(events[0]["total_size"].as_u64(), Some(place.payload.len()));
    assert_eq!(events[names.len() - 1]["complete"].as_bool(), Some(true));
    assert!(
        events.iter().all(|event| event["info_hash"].as_str().is_some_and(|it| it.len() == 40))
    );
}

#[test]
fn commands_of_a_pipe_are_answered_among_the_events_of_json() {
    let place = Place::new(SLOW);
    let mut running = Running::start(&mut place.command(&["--json"]));
    assert!(place.seeder.wait_served(100_000, LIMIT), "nothing was asked for");
    running.type_line("limit up 1M");
    let answer = running.line("{\"command\":\"limit up 1M\",\"event\":\"answer\"");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let scope = "up at most 976.6 KiB/s, for all torrents of this run together\n";
    assert_eq!(answer["text"], scope);
    running.type_line("quit");
    let ran = running.wait();
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert!(ran.stdout.contains("\"event\":\"stopped\""), "{}", ran.stdout);
}

#[test]
fn output_that_is_lost_is_told_by_the_exit_code() {
    let place = Place::new(None);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open it");
    let mut command = place.command(&["--json"]);
    let ran = command.stdin(std::process::Stdio::null()).stdout(full).output().expect("run it");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.contains("some of the output could not be written"), "{said}");
    // The download itself is as good as any.
    place.payload.assert_same(&place.out());
}

/// A run that only programs follow, and none does any more.
#[test]
fn it_ends_when_nobody_reads_its_events_any_more() {
    let place = Place::new(SLOW);
    let mut seeds = driver(place.home.path());
    seeds.current_dir(place.home.path()).args(["seed", "s.torrent", "full", "--no-trackers"]);
    seeds.args(["--port", "0"]);
    let full = place.home.path().join("full");
    std::fs::create_dir(&full).expect("a folder");
    place.payload.write_to(&full);
    // Of the one there are events every second, of the other none at all.
    for mut command in [place.command(&[]), seeds] {
        command.arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start driver");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("\"checked\"") && !line.contains("\"first_peer\"") {
            line.clear();
            assert!(stdout.read_line(&mut line).expect("read a line") > 0, "it has ended");
        }
        drop(stdout);
        let ran = child.wait_with_output().expect("wait for its end");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(7), "{said}");
        assert!(said.contains("nobody reads the events any more: stopped; progress"), "{said}");
    }
    // Words have other readers, too: what is downloaded is wanted.
    let place = Place::new(None);
    let mut command = place.command(&[]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start driver");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("wait for its end").code(), Some(0));
    place.payload.assert_same(&place.out());
}

#[test]
fn whoever_asks_nobody_is_told_at_the_start() {
    let place = Place::new(None);
    let lonely = ["s.torrent", "--port", "0", "--timeout", "1s"];
    let ran = run(place.home.path(), &lonely);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("no tracker and no peer is named: "), "{}", ran.stderr);
    let known = finish(&mut place.command(&[]));
    assert!(!known.stderr.contains("no tracker and no peer"), "{}", known.stderr);
}

#[test]
fn a_torrent_that_cannot_begin_fails_as_an_event_too() {
    let place = Place::new(None);
    let home = place.home.path();
    std::fs::write(home.join("bad.torrent"), "d1:a\u{9b}31m").expect("write a file");
    for arguments in [&["bad.torrent"] as &[&str], &["seed", "missing.torrent", "."]] {
        let ran = run(home, &[arguments, &["--json", "--no-repl", "-p", "0"]].concat());
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        let event: Value = serde_json::from_str(ran.stdout.trim_end()).expect("one object");
        assert_eq!(event["event"], "failed");
        assert!(event["message"].as_str().is_some_and(|why| why.contains(".torrent")), "{event}");
    }
}

#[test]
fn the_demo_ends_well() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let ran = run(home.path(), &["demo", "--fast", "--size", "3MiB"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with("demo ok\n"), "{}", ran.stdout);
    assert!(!home.path().join("driver-demo").exists(), "it clears up");
    let alone = ["demo", "--fast", "--size", "1MiB", "--keep", "--peers", "1"];
    let kept = run(home.path(), &alone);
    assert_eq!(kept.code, Some(0), "{}{}", kept.stdout, kept.stderr);
    let torrent = home.path().join("driver-demo/sample.torrent");
    assert_eq!(run(home.path(), &["info", &torrent.to_string_lossy()]).code, Some(0));
    let again = run(home.path(), &["demo", "--fast", "--size", "1MiB"]);
    assert_eq!(again.code, Some(2), "{}", again.stdout);
    assert!(again.stderr.contains("was kept by an earlier demo"), "{}", again.stderr);
    assert!(torrent.exists());
}

//! Rules and schedules of a `driver daemon` whose clock on the wall is set: by libfaketime, which
//! leaves the clock that timers go by as it is. Its day is one of spring, when the night lacks an
//! hour in Europe.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::mock_tracker::{MockTracker, Script};
use crate::payload::Payload;
use crate::process::{Process, driver};

const LIMIT: Duration = Duration::from_secs(60);
/// Sunday, 31 March 2030, 00:00 in Central Europe; at 02:00 clocks go to 03:00.
const SUNDAY: u64 = 1_901_142_000;
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// What sets the clock of a program. Where it is not here, tests that ask say aloud that they are
/// skipped; `.ci/run` installs it.
fn libfaketime() -> Option<PathBuf> {
    let places = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let libraries = places.map(|it| Path::new(it).join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|library| library.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is not here");
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        let line = format!("SKIPPED {name}: libfaketime is not here (Debian: faketime)\n");
        // Past the test runner's capture.
        std::io::stderr().write_all(line.as_bytes()).expect("say that a test is skipped");
    }
    found
}

/// A daemon, the clock of which is set by a file.
struct Daemon {
    home: PathBuf,
    process: Process,
}

impl Daemon {
    fn start(library: &Path, home: &Path, rules: &str, seconds: u64) -> Self {
        write_rules(home, rules);
        set_clock(home, seconds);
        let mut command = driver(home);
        command.env("TZ", ZONE).env("LD_PRELOAD", library);
        command.env("FAKETIME_TIMESTAMP_FILE", home.join("clock")).env("FAKETIME_NO_CACHE", "1");
        for clock in ["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
            command.env(clock, "1");
        }
        command.args(["daemon", "--http", "127.0.0.1:0", "-p", "0", "--dir"]).arg(home.join("out"));
        let mut process = Process::start("daemon", command, home);
        let deadline = Instant::now() + LIMIT;
        while !process.output().contains("driver remote list") {
            let is_there = process.ended().is_none() && Instant::now() < deadline;
            assert!(is_there, "the daemon does not begin:\n{}", process.last_words());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { home: home.to_owned(), process }
    }

    /// What `driver remote --json` of these words answers.
    #[track_caller]
    fn ask(&self, line: &str) -> Value {
        let mut command = driver(&self.home);
        let ran: Output =
            command.arg("remote").args(line.split(' ')).arg("--json").output().expect("run driver");
        let said = String::from_utf8_lossy(&ran.stdout);
        let talked = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{line}: {said}{talked}");
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line}: {said}"))
    }

    /// Waits until that is answered; the daemon looks at its clock every few seconds.
    #[track_caller]
    fn until(&self, line: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = self.ask(line);
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "not {what}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Has it read its rules again.
    fn hang_up(&self) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process"), Signal::HUP).expect("a signal");
    }

    /// It is so many seconds behind Sunday's midnight now, for the daemon.
    fn at(&self, seconds: i64) {
        set_clock(&self.home, SUNDAY.saturating_add_signed(seconds));
    }
}

/// The config file says this.
fn write_rules(home: &Path, rules: &str) {
    std::fs::create_dir_all(home.join("config/driver")).expect("make a folder");
    std::fs::write(home.join("config/driver/config.toml"), rules).expect("write the rules");
}

/// Has the daemon of this home believe that it is so many seconds since 1970.
fn set_clock(home: &Path, unix_s: u64) {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let ahead = i128::from(unix_s) - i128::from(real);
    let next = home.join("clock.next");
    std::fs::write(&next, format!("{ahead:+}\n")).expect("write the clock");
    std::fs::rename(next, home.join("clock")).expect("set the clock");
}

const HOUR: i64 = 3600;

const RULES: &str = r#"
[[rule]]
name = "nights"
from = "22:00"
to = "06:00"
download-limit = 7000

[[rule]]
name = "old"
min-age = "2d"
stop = true

[[rule]]
name = "fair"
min-ratio = 1
give-label = "given"

[[rule]]
label = "once"
seed-ratio = 1

[[schedule]]
from = "23:00"
to = "00:30"
upload-limit = 5000
"#;

fn written(home: &Path, payload: &Payload) -> String {
    let path = home.join("some.torrent");
    std::fs::write(&path, payload.torrent(None)).expect("write the torrent");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn hours_days_ages_and_schedules_follow_the_clock_on_the_wall() {
    let Some(library) = libfaketime() else { return };
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let payload = Payload::new(1, "one", 1 << 16, &[("a.bin", 100_000)]);
    let torrent = written(home, &payload);
    let daemon = Daemon::start(&library, home, RULES, SUNDAY - 3 * HOUR.unsigned_abs());
    daemon.ask(&format!("add {torrent}"));
    daemon.until("show 1", "downloading", |it| it["state"] == "downloading");
    let limited =
        |down: Option<u64>| move |it: &Value| it["limits_now"]["down"] == serde_json::json!(down);
    let ruled = daemon.ask("why 1 --rules");
    assert_eq!(ruled["rules"][0]["fate"], "misses", "{ruled}");
    let because = |it: &Value, at: &str| {
        it["rules"][0]["because"][0].as_str().is_some_and(|words| words.contains(at))
    };
    assert!(because(&ruled, "it is sat 21:"), "{ruled}");
    assert!(limited(None)(&ruled), "{ruled}");

    daemon.at(-2 * HOUR + 1);
    let ruled = daemon.until("why 1 --rules", "limited at night", limited(Some(7000)));
    assert_eq!(ruled["rules"][0]["fate"], "fires", "{ruled}");
    assert_eq!(daemon.ask("show 1")["limits"]["down"], Value::Null, "that is the user's own");

    let alternative = |on: bool| move |it: &Value| it["alternative"] == on;
    daemon.at(-HOUR + 1);
    let session = daemon.until("session", "alternative limits", alternative(true));
    assert_eq!(session["limits_now"]["up"], 5000, "{session}");
    daemon.at(20 * 60);
    daemon.until("why 1 --rules", "00:20", |it| because(it, "sun 00:20"));
    assert_eq!(daemon.ask("session")["alternative"], true, "the hours go beyond midnight");
    daemon.at(30 * 60);
    daemon.until("session", "the usual limits", alternative(false));
    daemon.ask("limit alternative on");
    assert_eq!(daemon.ask("session")["alternative"], true, "by hand");

    // It is 05:59 in summer time, five hours behind midnight.
    daemon.at(5 * HOUR - 60);
    let ruled = daemon.until("why 1 --rules", "05:59", |it| because(it, "sun 05:59"));
    assert!(limited(Some(7000))(&ruled), "{ruled}");
    daemon.at(5 * HOUR);
    daemon.until("why 1 --rules", "unlimited by day", limited(None));
    assert_eq!(daemon.ask("session")["alternative"], true, "until a schedule switches");
    daemon.at(23 * HOUR + 30 * 60);
    daemon.until("session", "the usual limits, by schedule", alternative(false));

    // Two days after it was added.
    daemon.at(-3 * HOUR + 48 * HOUR + 60);
    daemon.until("show 1", "stopped for its age", |it| it["state"] == "paused");
    let ruled = daemon.ask("why 1 --rules");
    assert_eq!(ruled["rest"], "rule 2 (old) stops it", "{ruled}");
    assert_eq!(daemon.ask("show 1")["paused"], false);
}

#[test]
fn a_ratio_that_is_reached_is_seen_by_rules_and_goals() {
    let Some(library) = libfaketime() else { return };
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let payload = Payload::new(2, "two", 1 << 16, &[("a.bin", 300_000)]);
    let torrent = written(home, &payload);
    payload.write_to(&home.join("out"));
    let daemon = Daemon::start(&library, home, RULES, SUNDAY + 12 * HOUR.unsigned_abs());
    daemon.ask(&format!("add {torrent} --label once"));
    daemon.until("show 1", "complete", |it| it["state"] == "seeding");
    let port = daemon.ask("session")["port"].as_u64().expect("a port");
    let elsewhere = home.join("elsewhere");
    let mut leecher = driver(&elsewhere);
    leecher.args([&torrent, "-e", "-p", "0", "--no-repl", "--peer", &format!("127.0.0.1:{port}")]);
    leecher.arg("--dir").arg(elsewhere.join("out"));
    let mut leecher = Process::start("leecher", leecher, home);
    assert!(leecher.wait(LIMIT).success(), "{}", leecher.last_words());
    let finished = daemon.until("show 1", "finished", |it| it["state"] == "finished");
    assert_eq!(finished["labels"], serde_json::json!(["once", "given"]));
    assert_eq!(finished["seed_ratio"], Value::Null, "the goal is the rule's");
}

#[test]
fn announces_and_goals_in_time_go_by_a_clock_that_nobody_sets() {
    let Some(library) = libfaketime() else { return };
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let tracker = MockTracker::start(vec![Script::body(b"d8:intervali1800e5:peers0:e")]);
    let payload = Payload::new(4, "four", 1 << 16, &[("a.bin", 100_000)]);
    let torrent = home.join("four.torrent");
    std::fs::write(&torrent, payload.torrent(Some(&tracker.url()))).expect("write the torrent");
    payload.write_to(&home.join("out"));
    let rules = |time: &str| {
        let old = "[[rule]]\nmin-age = '2d'\ngive-label = 'old'";
        format!("{old}\n[[rule]]\nlabel = 'once'\nseed-time = '{time}'")
    };
    let daemon = Daemon::start(&library, home, &rules("1d"), SUNDAY);
    daemon.ask(&format!("add {} --label once", torrent.display()));
    daemon.until("show 1", "complete", |it| it["state"] == "seeding");
    let started = tracker.next_request(LIMIT).expect("it is announced");
    assert!(started.contains("event=started"), "{started}");
    // Three days on and back again.
    for (hours, labels) in [(72, vec!["once", "old"]), (1, vec!["once"])] {
        daemon.at(hours * HOUR);
        let labels = serde_json::json!(labels);
        let it = daemon.until("show 1", "seen by rules", |it| it["labels"] == labels);
        assert_eq!(it["state"], "seeding", "{it}");
    }
    assert_eq!(tracker.next_request(Duration::from_secs(1)), None, "in half an hour");
    write_rules(home, &rules("1s"));
    daemon.hang_up();
    daemon.until("show 1", "finished", |it| it["state"] == "finished");
    let stopped = tracker.next_request(LIMIT).expect("it is announced");
    assert!(stopped.contains("event=stopped"), "{stopped}");
}

#[test]
fn rules_are_tried_before_and_read_again_and_wrong_ones_change_nothing() {
    let Some(library) = libfaketime() else { return };
    let dir = tempfile::tempdir().expect("a folder for the test");
    let home = dir.path();
    let payload = Payload::new(3, "three", 1 << 16, &[("a.bin", 100_000)]);
    let torrent = written(home, &payload);
    let daemon = Daemon::start(&library, home, "", SUNDAY);
    daemon.ask(&format!("add {torrent} --label linux"));
    let dry_run = || {
        let ran = driver(home).args(["config", "--rules"]).output().expect("run driver");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    write_rules(home, "[[rule]]\nname = 'slow'\nlabel = 'linux'\nupload-limit = '2KiB'");
    let (code, said, _) = dry_run();
    let expected = "rule 1 (slow): label linux: upload limit 2.0 KiB/s\n\
                    1 three: rule 1: upload limit 2.0 KiB/s\n";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    assert_eq!(daemon.ask("why 1 --rules")["limits_now"]["up"], Value::Null, "it was only tried");
    daemon.hang_up();
    let limited = |it: &Value| it["limits_now"]["up"] == 2048;
    daemon.until("why 1 --rules", "limited", limited);

    // The daemon's own rules do not ask how much is free.
    let free = "[[rule]]\nmin-free = '1KiB'\nupload-limit = '3KiB'";
    write_rules(home, &format!("{free}\n[[rule]]\nbelow-free = '1KiB'\nstop = true"));
    let (code, said, _) = dry_run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("\n1 three: rule 1: upload limit 3.0 KiB/s\n"), "{said}");

    write_rules(home, "[[rule]]\nstop = true\n[[rule]]\nname = 'x'\nstop = 'no'");
    let (code, _, talked) = dry_run();
    assert_eq!(code, Some(3), "{talked}");
    assert!(talked.contains("rule 2 (x): stop: write true or false"), "{talked}");
    daemon.hang_up();
    let deadline = Instant::now() + LIMIT;
    while !daemon.process.output().contains("nothing is changed") {
        assert!(Instant::now() < deadline, "it takes them:\n{}", daemon.process.last_words());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(limited(&daemon.ask("why 1 --rules")), "the rules of before hold");
}

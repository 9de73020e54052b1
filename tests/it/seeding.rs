//! Seeding from the command line: `driver seed`, how long it goes on, and what it says about
//! data that is not whole.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run::{LIMIT, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{BITS_ALL, Script, handshake};
use crate::mock_tracker::{MockTracker, Script as Reply};
use crate::process::driver;

const PIECE: u32 = 65_536;

/// Two torrents, the data of both in `data`.
struct Place {
    home: TempDir,
    specs: [Arc<Spec>; 2],
    tracker: MockTracker,
}

impl Place {
    fn new() -> Self {
        let tracker = MockTracker::start(vec![Reply::peer([127, 0, 0, 1], 1)]);
        let url = tracker.url_of("/announce");
        let home = tempfile::tempdir().expect("a folder for the test");
        std::fs::create_dir(home.path().join("data")).expect("make a folder");
        let specs = [1, 2].map(|seed| {
            let spec = Spec::single(seed, &format!("f{seed}"), 300_000, PIECE).with_tracker(&url);
            let path = home.path().join(format!("{}.torrent", spec.name));
            std::fs::write(path, spec.torrent()).expect("write a torrent");
            let path = home.path().join("data").join(&spec.name);
            std::fs::write(path, spec.file(0)).expect("write data");
            Arc::new(spec)
        });
        Self { home, specs, tracker }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.home.path().join("data").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path()).args(arguments).args(["--port", "0", "--json"]);
        command
    }
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).expect("a JSON line")
}

/// The next event of this name. Keys of JSON lines are sorted: `"event"` is not the first.
fn until(running: &mut Running, name: &str) -> Value {
    loop {
        let told = event(&running.line("{"));
        if told["event"] == name {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_what_is_there_until_told_to_stop() {
    let place = Place::new();
    let mut running =
        Running::start(&mut place.command(&["seed", "f1.torrent", "f2.torrent", "data"]));
    let started = until(&mut running, "started");
    until(&mut running, "completed");
    until(&mut running, "completed");
    let port = u16::try_from(started["port"].as_u64().expect("a port")).expect("a port");
    for spec in &place.specs {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut peer = Script::dial(address).await.expect("the driver listens");
        let answer = peer.shake_hands(&handshake(BITS_ALL, spec.info_hash(), [9; 20])).await;
        assert_eq!(&answer.expect("its handshake")[28..48], &spec.info_hash());
        let told = async {
            // All of it, in one of two ways.
            while !matches!(peer.message().await, Ok(Some((14 | 5, _)))) {}
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("what it has");
    }
    running.signal("TERM");
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let mut events = Vec::new();
    while let Some(request) = place.tracker.next_request(Duration::ZERO) {
        assert!(request.contains("left=0&"), "{request}");
        events.push(request);
    }
    let count = |event: &str| events.iter().filter(|it| it.contains(event)).count();
    assert_eq!((count("event=started"), count("event=stopped")), (2, 2), "{events:#?}");
    assert_eq!(count("event=completed"), 0, "nothing was completed");
}

#[test]
fn what_is_missing_is_named_and_not_fetched() {
    let place = Place::new();
    let half = place.specs[1].file(0)[..200_000].to_vec();
    std::fs::write(place.data("f2"), half).expect("cut a file");
    let mut command = place.command(&["seed", "f2.torrent", "data"]);
    let ran = finish(&mut command);
    assert_eq!(ran.code, Some(6), "{}{}", ran.stdout, ran.stderr);
    let said = ran.stderr.lines().last().expect("a line");
    assert!(
        said.starts_with("driver: f2 cannot be seeded from data: 2 of 5 pieces are missing"),
        "{said}"
    );
    assert!(said.ends_with("; driver f2.torrent -d data downloads what is missing"), "{said}");
    assert!(place.tracker.next_request(Duration::ZERO).is_none(), "it announced");
    assert_eq!(std::fs::metadata(place.data("f2")).expect("the file").len(), 200_000);
    std::fs::remove_file(place.data("f2")).expect("remove a file");
    let ran = finish(&mut place.command(&["seed", "f2.torrent", "data"]));
    assert_eq!(ran.code, Some(6), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("(nothing of f2 there)"), "{}", ran.stderr);
    assert!(!place.data("f2").exists() && !place.data("f2.part").exists());
    let ran = finish(&mut place.command(&["seed", "f2.torrent", "nowhere"]));
    ran.assert_refused(3, "nowhere: no such directory");
}

/// What its user did to the data of a seed is not undone by what others have of it.
#[test]
fn a_seed_whose_data_was_changed_fetches_none_and_ends_when_its_time_is_over() {
    let place = Place::new();
    let arguments = ["seed", "f1.torrent", "data", "--seed-time", "6s"];
    let mut seeder = Running::start(&mut place.command(&arguments));
    let peer = format!("127.0.0.1:{}", event(&seeder.line(r#"{"dir""#))["port"]);
    while event(&seeder.line("{"))["event"] != "completed" {}
    std::fs::write(place.data("f1"), vec![1; 300_000]).expect("write to a file");
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["f1.torrent", "--dir", "out", "--no-trackers"]);
    command.args(["--peer", &peer, "--port", "0", "--timeout", "1s"]);
    let leecher = finish(command.env("XDG_STATE_HOME", place.home.path().join("other")));
    assert_eq!(leecher.code, Some(4), "{}{}", leecher.stdout, leecher.stderr);
    let ran = seeder.wait();
    assert_eq!(ran.code, Some(6), "{}{}", ran.stdout, ran.stderr);
    let events: Vec<Value> = ran.stdout.lines().map(event).collect();
    let changed: Vec<_> = events.iter().filter(|it| it["event"] == "file_changed").collect();
    assert_eq!(changed.len(), 1, "{}", ran.stdout);
    assert_eq!((&changed[0]["pieces"], &changed[0]["fetched"]), (&5.into(), &false.into()));
    let said = "f1 cannot be seeded from data: 5 of 5 pieces are missing or wrong";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(std::fs::read(place.data("f1")).expect("the file"), vec![1; 300_000]);
}

/// Who moved a finished file away may be about to put it back, though somebody has it.
#[test]
fn a_finished_download_takes_back_a_file_that_was_away_and_does_not_fetch_it_again() {
    let place = Place::new();
    let mut source = Running::start(&mut place.command(&["seed", "f1.torrent", "data"]));
    let port = |event: Value| format!("127.0.0.1:{}", event["port"]);
    let has_all = port(until(&mut source, "started"));
    let fetch = |dir: &str, peer: &str, more: [&str; 2]| {
        let mut command = place.command(&["f1.torrent", "--dir", dir, "--peer", peer]);
        command.args(["--no-trackers", "--no-pex"]).args(more);
        command.env("XDG_STATE_HOME", place.home.path().join(format!("state of {dir}")));
        command
    };
    // A run of its own: what goes before it is on the device is fetched again at once.
    let first = finish(&mut fetch("out", &has_all, ["--timeout", "1m"]));
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    let mut download = Running::start(&mut fetch("out", &has_all, ["--seed-time", "5m"]));
    let finished = port(until(&mut download, "started"));
    until(&mut download, "completed");
    let (file, aside) = (place.home.path().join("out/f1"), place.home.path().join("aside"));
    std::fs::rename(&file, &aside).expect("move a file");
    let in_vain = finish(&mut fetch("in vain", &finished, ["--timeout", "1s"]));
    assert_eq!(in_vain.code, Some(4), "{}{}", in_vain.stdout, in_vain.stderr);
    // Those that somebody asked for before the file was missed are told of one by one.
    let mut lost = 0;
    while lost < 5 {
        let told = event(&download.line("{"));
        match told["event"].as_str() {
            Some("piece_lost") => lost += 1,
            Some("file_changed") => {
                assert_eq!(told["fetched_in"], 30, "{told}");
                lost += told["pieces"].as_u64().expect("a number");
            }
            _ => {}
        }
    }
    assert_eq!(lost, 5);
    std::fs::rename(&aside, &file).expect("move it back");
    assert_eq!(until(&mut download, "file_back")["pieces"], 5);
    let other = finish(&mut fetch("other", &finished, ["--timeout", "1m"]));
    assert_eq!(other.code, Some(0), "{}{}", other.stdout, other.stderr);
    download.signal("TERM");
    let ran = download.wait();
    let stopped = ran.stdout.lines().map(event).find(|event| event["event"] == "stopped");
    assert_eq!(stopped.expect("an end")["downloaded"], 0, "{}", ran.stdout);
}

/// A piece that was found wrong alone is looked for like a file that is gone.
#[test]
fn a_seed_serves_again_what_its_user_has_put_right() {
    let place = Place::new();
    let start = || {
        let mut seeder = Running::start(&mut place.command(&["seed", "f1.torrent", "data"]));
        let port = until(&mut seeder, "started")["port"].clone();
        until(&mut seeder, "completed");
        (seeder, format!("127.0.0.1:{port}"))
    };
    let leecher = |name: &str, peer: &str| {
        let mut command = driver(place.home.path());
        command.current_dir(place.home.path()).env("XDG_STATE_HOME", place.home.path().join(name));
        command.args(["f1.torrent", "--dir", name, "--no-trackers", "--port", "0", "-e"]);
        command.args(["--peer", peer]);
        command
    };
    let end = |mut running: Running| {
        running.signal("TERM");
        running.wait()
    };
    assert_eq!(end(start().0).code, Some(0));
    // It rots: nothing tells but its hash.
    let (path, right) = (place.data("f1"), place.specs[0].file(0));
    let file = File::options().write(true).open(&path).expect("open the data");
    let modified = file.metadata().and_then(|found| found.modified()).expect("a time");
    file.write_all_at(&[!right[70_000]], 70_000).expect("write to the data");
    file.set_modified(modified).expect("set the time");
    let (mut seeder, peer) = start();
    let first = Running::start(&mut leecher("first", &peer));
    assert_eq!(until(&mut seeder, "piece_lost")["piece"], 1);
    end(first);
    std::fs::write(&path, &right).expect("write the data");
    assert_eq!(until(&mut seeder, "file_back")["pieces"], 1);
    let second = finish(&mut leecher("second", &peer));
    assert_eq!(second.code, Some(0), "{}{}", second.stdout, second.stderr);
    let ran = end(seeder);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let completed = ran.stdout.lines().filter(|line| event(line)["event"] == "completed");
    assert_eq!(completed.count(), 0, "once, and that was before: {}", ran.stdout);
    while let Some(request) = place.tracker.next_request(Duration::ZERO) {
        assert!(!request.contains("event=completed"), "nothing was brought: {request}");
    }
}

#[test]
fn of_several_the_whole_ones_are_seeded() {
    let place = Place::new();
    std::fs::remove_file(place.data("f1")).expect("remove a file");
    let arguments = ["seed", "f1.torrent", "f2.torrent", "data", "--seed-time", "1s"];
    let ran = finish(&mut place.command(&arguments));
    assert_eq!(ran.code, Some(6), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("driver: 1 f1: f1 cannot be seeded from data"), "{}", ran.stderr);
    let hash: String =
        place.specs[1].info_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let finished = ran.stdout.lines().map(event).find(|event| event["event"] == "finished");
    assert_eq!(finished.expect("an end of seeding")["info_hash"].as_str(), Some(hash.as_str()));
}

#[test]
fn seeding_ends_when_its_time_is_over() {
    let place = Place::new();
    let arguments = ["--dir", "data", "--seed-time", "1s", "f1.torrent", "f2.torrent"];
    let ran = finish(&mut place.command(&arguments));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let names: Vec<Value> = ran.stdout.lines().map(|line| event(line)["event"].clone()).collect();
    assert_eq!(names.iter().filter(|name| **name == "finished").count(), 2, "{names:?}");
    let mut stopped = 0;
    while let Some(request) = place.tracker.next_request(Duration::ZERO) {
        stopped += usize::from(request.contains("event=stopped"));
    }
    assert_eq!(stopped, 2, "trackers learn that seeding is over, once");
}

#[test]
fn a_ratio_ends_seeding_and_outlives_the_run() {
    let place = Place::new();
    let mut seeder =
        Running::start(&mut place.command(&["seed", "f1.torrent", "data", "--seed=1"]));
    let started = seeder.line(r#"{"dir""#);
    let peer = format!("127.0.0.1:{}", event(&started)["port"]);
    let arguments = ["f1.torrent", "--dir", "out", "--no-trackers", "--peer", &peer];
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(arguments).args(["--port", "0"]);
    // It shares nothing with the seeder but the torrent.
    command.env("XDG_STATE_HOME", place.home.path().join("other"));
    let leecher = finish(&mut command);
    assert_eq!(leecher.code, Some(0), "{}{}", leecher.stdout, leecher.stderr);
    let found = std::fs::read(place.home.path().join("out/f1")).expect("the download");
    assert!(found == place.specs[0].file(0), "what was sent is wrong");
    let ran = seeder.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let finished = ran.stdout.lines().map(event).find(|event| event["event"] == "finished");
    assert_eq!(finished.expect("the end of seeding")["uploaded"], 300_000);

    let mut command = driver(place.home.path());
    command.current_dir(place.home.path());
    let mut again = Running::start(command.args(["seed", "f1.torrent", "data", "--port", "0"]));
    again.line("Complete");
    again.type_line("status");
    again.line("Uploaded   0 B (and 293.0 KiB before)   ratio 1.00");
    again.type_line("quit");
    assert_eq!(again.wait().code, Some(0));
    let enough = finish(&mut place.command(&["seed", "f1.torrent", "data", "--seed=1"]));
    assert_eq!(enough.code, Some(0), "{}{}", enough.stdout, enough.stderr);
}

/// Otherwise others are sent to a port that refuses them.
#[test]
fn a_paused_torrent_is_stopped_for_its_tracker() {
    let place = Place::new();
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).args(["seed", "f1.torrent", "data", "--port", "0"]);
    let mut seeder = Running::start(&mut command);
    let told = |event: &str| {
        loop {
            let request = place.tracker.next_request(LIMIT);
            let request = request.unwrap_or_else(|| panic!("it tells nothing of {event}"));
            // Numbers may be asked for in between.
            if !request.contains("/scrape") {
                return assert!(request.contains(&format!("event={event}")), "{request}");
            }
        }
    };
    told("started");
    seeder.line("Complete");
    seeder.type_line("pause");
    told("stopped");
    seeder.type_line("resume");
    told("started");
}

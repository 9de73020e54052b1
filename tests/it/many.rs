//! Several torrents in one process: one port for all, whose turn it is, what the commands say
//! about them, and what one that fails means for the others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cli::run::{LIMIT, Run, Running, finish};
use crate::content::Spec;
use crate::mock_peer::{Behaviour, MockPeer};
use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::seeder::Seeder;

pub const PIECE: u32 = 65_536;
/// Slow enough to be met in the middle: 3 MB in half a minute.
const SLOW: Option<u64> = Some(100_000);

/// Some torrents in a folder, `a.torrent`, `b.torrent` and so on, and who serves them.
pub struct Place {
    pub home: TempDir,
    pub payloads: Vec<Arc<Payload>>,
    pub seeders: Vec<Seeder>,
}

impl Place {
    /// A torrent for each rate, of 3 MB, with a seeder that sends so many bytes a second.
    pub fn new(rates: &[Option<u64>]) -> Self {
        let home = tempfile::tempdir().expect("a folder for the test");
        let (mut payloads, mut seeders) = (Vec::new(), Vec::new());
        for (number, rate) in rates.iter().enumerate() {
            let name = ["alpha", "beta", "gamma"][number];
            let files = [("first.bin", 2_000_001), ("b/second", 999_000)];
            let payload = Arc::new(Payload::new(number as u64, name, PIECE, &files));
            let path = home.path().join(format!("{}.torrent", &name[..1]));
            std::fs::write(path, payload.torrent(None)).expect("write a torrent");
            seeders.push(Seeder::start(payload.clone(), *rate));
            payloads.push(payload);
        }
        Self { home, payloads, seeders }
    }

    pub fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path());
        command.args(["--no-trackers", "--dir", "out", "--port", "0"]);
        for seeder in &self.seeders {
            command.arg("--peer").arg(seeder.address().to_string());
        }
        command.args(arguments);
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments))
    }
}

fn events(output: &str) -> Vec<Value> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Info-hashes of the events of this name, in order.
fn hashes(events: &[Value], name: &str) -> Vec<String> {
    let named = events.iter().filter(|event| event["event"] == name);
    named.map(|event| event["info_hash"].as_str().expect("an info-hash").to_owned()).collect()
}

fn hex(hash: [u8; 20]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_torrents_share_one_port_for_peers_that_dial() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let specs =
        [1, 2].map(|seed| Arc::new(Spec::single(seed, &format!("f{seed}"), 700_000, PIECE)));
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["--dir", "out", "--port", "0", "--no-trackers"]);
    command.args(["--no-repl", "--json", "-e"]);
    for spec in &specs {
        let name = format!("{}.torrent", spec.name);
        std::fs::write(home.path().join(&name), spec.torrent()).expect("write a torrent");
        command.arg(name);
    }
    let mut process = Process::start("driver", command, home.path());
    let deadline = Instant::now() + LIMIT;
    while hashes(&events(&process.output()), "started").len() < 2 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let started = events(&process.output());
    assert_eq!(started[0]["port"], started[1]["port"]);
    let port = u16::try_from(started[0]["port"].as_u64().expect("a port")).expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // The second one first, so that neither order is special.
    let _b = MockPeer::dial(address, specs[1].clone(), Behaviour::default()).await;
    let _a = MockPeer::dial(address, specs[0].clone(), Behaviour::default()).await;
    let status = block_in_place(|| process.wait(LIMIT));
    assert!(status.success(), "{}", process.output());
    let all = events(&process.output());
    let mut complete = hashes(&all, "completed");
    complete.sort_unstable();
    let mut expected = specs.clone().map(|spec| hex(spec.info_hash()));
    expected.sort_unstable();
    assert_eq!(complete, expected);
    assert_eq!(hashes(&all, "stopped").len(), 2);
    for spec in &specs {
        let found = std::fs::read(home.path().join("out").join(&spec.name)).expect("the file");
        assert!(found == spec.file(0), "{} is wrong", spec.name);
    }
}

#[test]
fn with_one_place_they_come_one_after_the_other() {
    let place = Place::new(&[None, None, None]);
    let arguments = ["--max-active", "1", "--json", "c.torrent", "a.torrent", "b.torrent"];
    // By the first letters of their names.
    std::fs::rename(place.home.path().join("g.torrent"), place.home.path().join("c.torrent"))
        .expect("rename a torrent");
    let ran = finish(&mut place.command(&arguments));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let order = [2, 0, 1].map(|number: usize| hex(place.payloads[number].info_hash()));
    assert_eq!(hashes(&events(&ran.stdout), "completed"), order);
    place.payloads.iter().for_each(|payload| payload.assert_same(&place.out()));
}

#[test]
fn lines_say_which_torrent_they_are_about() {
    let place = Place::new(&[None, None]);
    let ran = finish(&mut place.command(&["a.torrent", "b.torrent"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    for line in [
        "1 alpha   2.9 MiB   46 pieces of 64 KiB   2 files\n",
        "2 beta   2.9 MiB   46 pieces of 64 KiB   2 files\nSaving to out/   port ",
        "1 alpha: Complete: 2.9 MiB in ",
        "2 beta: Complete: 2.9 MiB in ",
        "Saved. 2 of 2 torrents complete. Downloaded 5.7 MiB, uploaded ",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in {}", ran.stdout);
    }
    assert!(ran.stderr.contains("1 alpha: first peer: "), "{}", ran.stderr);
}

#[test]
fn one_that_cannot_be_used_leaves_the_others_alone() {
    let place = Place::new(&[None, None, None]);
    let path = |name: &str| place.home.path().join(name);
    std::fs::write(path("bad.torrent"), "no torrent").expect("write a file");
    let theirs = place.out().join("beta/first.bin");
    std::fs::create_dir_all(theirs.parent().expect("a folder")).expect("make a folder");
    std::fs::write(&theirs, "precious").expect("write a file");
    let three = ["a.torrent", "bad.torrent", "g.torrent"];
    let ran = finish(&mut place.command(&three));
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("driver: bad.torrent: not a torrent"), "{}", ran.stderr);
    place.payloads[0].assert_same(&place.out());
    place.payloads[2].assert_same(&place.out());
    // Somebody else's file weighs more than a torrent that cannot be read.
    let ran = finish(&mut place.command(&["a.torrent", "bad.torrent", "b.torrent"]));
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("--overwrite"), "{}", ran.stderr);
    assert_eq!(std::fs::read(&theirs).expect("still there"), b"precious");
}

#[test]
fn one_that_fails_in_its_turn_leaves_its_place_to_the_next() {
    let place = Place::new(&[None, None]);
    let theirs = place.out().join("beta");
    std::fs::create_dir_all(place.out()).expect("make a folder");
    std::fs::write(&theirs, "a file where a folder is to be").expect("write a file");
    let mut first = place.start(&["--max-active", "1", "a.torrent", "b.torrent", "a.torrent"]);
    first.end_input();
    let ran = first.wait();
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("driver: 2 beta: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("a.torrent is the same torrent as 1 alpha: ignored"));
    place.payloads[0].assert_same(&place.out());
}

#[test]
fn the_same_torrent_twice_is_one() {
    let place = Place::new(&[None]);
    std::fs::copy(place.home.path().join("a.torrent"), place.home.path().join("z.torrent"))
        .expect("copy a torrent");
    let ran = finish(&mut place.command(&["a.torrent", "z.torrent"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("driver: z.torrent is the same torrent as 1 alpha: ignored"));
    assert_eq!(place.seeders[0].served_bytes(), place.payloads[0].len());
}

#[test]
fn stopped_in_the_middle_is_code_7() {
    let place = Place::new(&[None, SLOW]);
    let mut running = place.start(&["a.torrent", "b.torrent"]);
    running.line("1 alpha: Complete");
    running.type_line("quit");
    let ran = running.wait();
    assert_eq!(ran.code, Some(7), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("Saved. 1 of 2 torrents complete. "), "{}", ran.stdout);
}

#[test]
fn commands_speak_of_the_used_torrent() {
    let place = Place::new(&[SLOW, SLOW, SLOW]);
    let mut running = place.start(&["--max-active", "1", "a.torrent", "b.torrent", "g.torrent"]);
    assert!(place.seeders[0].wait_served(100_000, LIMIT), "nothing was asked for");
    for (typed, answer) in [
        ("list", "  NO NAME"),
        ("", "*  1 alpha"),
        ("list", "   2 beta             2.9MiB   0% queued  "),
        ("list", "   3 gamma            2.9MiB   0% queued  "),
        ("status", "1 alpha"),
        ("", "State      downloading"),
        ("use 2", "using 2 beta"),
        ("status", "2 beta"),
        ("", "State      queued"),
        ("why", "2 beta"),
        ("", "waiting for its turn"),
        ("info", "Name        beta"),
        ("use GAM", "using 3 gamma"),
        ("list", "*  3 gamma"),
        ("use a", "that could be 1 alpha or 2 beta or another"),
        ("use delta", "no torrent is called \"delta\": list shows all"),
        ("limit 3 down 2M", "3 gamma: down at most 1.9 MiB/s, for this torrent alone"),
        ("limit nix up 2M", "no torrent is called \"nix\": list shows all"),
        ("limit down 3M", "all together: down at most 2.9 MiB/s"),
        ("limit", "all together: down at most 2.9 MiB/s, up no limit"),
        ("status all", "1 alpha"),
        ("", "2 beta"),
        ("", "3 gamma"),
        ("resume", "3 gamma: going on"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    assert!(place.seeders[2].wait_served(1, LIMIT), "it was not started out of turn");
    assert_eq!(place.seeders[1].served_bytes(), 0, "it had to wait");
    // Enough for a whole piece, and with it a file on disk.
    assert!(place.seeders[0].wait_served(400_000, LIMIT), "the first one has come to a stop");
    for (typed, answer) in [
        ("pause all", "3 torrents paused; resume all goes on"),
        ("status", "State      paused"),
        ("resume all", "all that were paused go on"),
        ("remove gamma", "removed 3 gamma; its data stays in out/gamma"),
        ("status", "State      queued"),
        ("add g.torrent", "4 gamma: queued"),
        ("add g.torrent", "g.torrent is the same torrent as 4 gamma"),
        ("add nothing.torrent", "nothing.torrent: no such file"),
        ("remove 1", "removed 1 alpha; its data stays in out/alpha"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    assert!(place.seeders[1].wait_served(1, LIMIT), "the removed one left its place to nobody");
    running.type_line("quit");
    let ran: Run = running.wait();
    assert_eq!(ran.code, Some(7), "{}{}", ran.stdout, ran.stderr);
    // Which piece comes first is left to chance.
    let parts = ["alpha/first.bin.part", "alpha/b/second.part"];
    let is_kept = parts.iter().any(|part| place.out().join(part).exists());
    assert!(is_kept, "the data of a removed torrent");
}

#[test]
fn a_limit_of_all_is_called_so_and_lifted_by_what_why_says() {
    let place = Place::new(&[None, None]);
    let mut running = place.start(&["-D", "200K", "a.torrent", "b.torrent"]);
    assert!(place.seeders[0].wait_served(100_000, LIMIT), "nothing was asked for");
    // What the limit lets through at once is no wait.
    let begun = Instant::now();
    loop {
        running.type_line("why");
        if running.line("What to do: ") == "What to do: limit down off lifts it" {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "the limit holds nothing back");
        assert!(place.seeders[0].wait_served(place.seeders[0].served_bytes() + 50_000, LIMIT));
    }
    for (typed, answer) in [
        ("status", "Limit      down 195.3 KiB/s (all together)"),
        ("limit 1 down off", "1 alpha: down no limit"),
        ("status", "Limit      down 195.3 KiB/s (all together)"),
        ("limit down off", "all together: down no limit"),
        ("", "1 alpha: Complete"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
}

#[test]
fn a_torrent_is_added_to_a_run_of_one() {
    let place = Place::new(&[SLOW, None]);
    let mut running = place.start(&["a.torrent"]);
    running.line("Saving to out/");
    for (typed, answer) in [
        ("limit down 9M", "down at most 8.6 MiB/s, for all torrents of this run together"),
        ("limit 1 down 2M", "1 alpha: down at most 1.9 MiB/s, for this torrent alone"),
        ("add b.torrent", "2 beta: added"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    running.line("2 beta: Complete");
    place.payloads[1].assert_same(&place.out());
    // With a second torrent the words mean what they meant.
    for (typed, answer) in [
        ("limit", "all together: down at most 8.6 MiB/s, up no limit"),
        ("", "1 alpha: down at most 1.9 MiB/s, up no limit"),
        ("", "2 beta: down no limit, up no limit"),
        ("limit down off", "all together: down no limit"),
    ] {
        running.type_line(typed);
        running.line(answer);
    }
    running.type_line("remove 1");
    running.line("removed 1 alpha");
    // What was taken out is not asked for any more.
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

/// Nobody reads four lines of each of two hundred.
#[test]
fn many_seeds_begin_in_a_few_lines_and_what_is_wrong_is_told_singly() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["seed", "--no-trackers", "--port", "0"]);
    for number in 0..12 {
        let name = format!("film{number}");
        let payload = Payload::new(number, &name, PIECE, &[("x", 100_000)]);
        let torrent = format!("{name}.torrent");
        std::fs::write(home.path().join(&torrent), payload.torrent(None)).expect("a torrent");
        payload.write_to(&home.path().join("data"));
        command.arg(torrent);
    }
    command.arg("data");
    let mut run = |last: &str| {
        let mut running = Running::start(&mut command);
        running.line(last);
        running.type_line("quit");
        running.wait()
    };
    let ran = run("12 torrents looked at: 12 complete");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("film"), "{}", ran.stderr);
    // How it ends, that nobody is told of them, and what stops it.
    assert!(ran.stderr.lines().count() < 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("12 of them name no tracker and no peer"), "{}", ran.stderr);

    std::fs::remove_file(home.path().join("data/film7/x")).expect("delete a file");
    let ran = run("12 torrents looked at: 11 complete by their records; --check reads them again");
    assert_eq!(ran.code, Some(6), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("8 film7: film7 cannot be seeded from data").count(), 1);
    assert!(!ran.stderr.contains("film6"), "{}", ran.stderr);
}

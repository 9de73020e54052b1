//! Whose files are whose, seen from outside: two torrents at one path, in one run and in two
//! programs, files of others, and many torrents with few descriptors.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::cli::run::{Running, finish};
use crate::payload::Payload;
use crate::process::{driver, driver_path, with_home};
use crate::seeder::Seeder;

const PIECE: u32 = 65_536;

/// A torrent of the folder `t`, and who serves it.
fn torrent(home: &Path, name: &str, seed: u64, files: &[(&str, u64)]) -> (Arc<Payload>, Seeder) {
    let payload = Arc::new(Payload::new(seed, "t", PIECE, files));
    fs::write(home.join(name), payload.torrent(None)).expect("a torrent");
    let seeder = Seeder::start(payload.clone(), None);
    (payload, seeder)
}

fn command(home: &Path, torrents: &[&str], seeders: &[&Seeder]) -> Command {
    let mut command = driver(home);
    command.current_dir(home).args(torrents);
    command.args(["--no-trackers", "--port", "0", "--dir", "out", "-e", "--timeout", "4s"]);
    for seeder in seeders {
        command.arg("--peer").arg(seeder.address().to_string());
    }
    command
}

#[test]
fn a_second_torrent_of_one_run_at_the_same_path_is_refused_and_the_first_is_whole() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let (one, first) = torrent(home.path(), "a.torrent", 1, &[("x", 2_000_000)]);
    let (_, second) = torrent(home.path(), "b.torrent", 2, &[("x", 1_000_000)]);
    let both = ["a.torrent", "b.torrent"];
    let ran = finish(&mut command(home.path(), &both, &[&first, &second]));
    assert_eq!(ran.code, Some(8), "{}{}", ran.stdout, ran.stderr);
    let told = ran.stderr.lines().filter(|line| line.contains("belongs to the torrent t"));
    assert_eq!(told.count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--dir") && ran.stderr.contains("rename"), "{}", ran.stderr);
    one.assert_same(&home.path().join("out"));
}

#[test]
fn two_programs_with_other_content_at_the_same_path_lose_nothing() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let (one, first) = torrent(home.path(), "a.torrent", 1, &[("x", 2_000_000)]);
    let (two, second) = torrent(home.path(), "b.torrent", 2, &[("x", 2_000_000)]);
    let mut runs = [("a.torrent", &first), ("b.torrent", &second)]
        .map(|(name, seeder)| Running::start(&mut command(home.path(), &[name], &[seeder])));
    let ends = runs.each_mut().map(|running| {
        running.end_input();
        running.wait()
    });
    let codes = ends.each_ref().map(|run| run.code);
    let words = ends.each_ref().map(|run| run.stderr.clone());
    let winner = codes.iter().position(|code| *code == Some(0)).expect("one is complete");
    assert_ne!(codes[1 - winner], Some(0), "{words:?}");
    assert!(words[1 - winner].contains("x exists and differs"), "{words:?}");
    let payloads = [one, two];
    let out = home.path().join("out/t");
    assert_eq!(fs::read(out.join("x")).expect("the winner's"), bytes(&payloads[winner]));
    let parts = ["x.part".to_owned()]
        .into_iter()
        .chain(payloads.iter().map(|it| format!("x.{}.part", hex(&it.info_hash()[..8]))));
    let kept: Vec<_> = parts.filter_map(|name| fs::read(out.join(name)).ok()).collect();
    assert_eq!(kept, [bytes(&payloads[1 - winner])]);
}

fn bytes(payload: &Payload) -> Vec<u8> {
    let there = tempfile::tempdir().expect("a folder for the test");
    payload.write_to(there.path());
    fs::read(there.path().join("t/x")).expect("it was written")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn many_torrents_are_seeded_with_few_descriptors() {
    const COUNT: usize = 120;
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut names = Vec::new();
    for number in 0..COUNT {
        let folder = format!("f{number}");
        let payload = Payload::new(number as u64, &folder, PIECE, &[("x", 1000)]);
        payload.write_to(&home.path().join("out"));
        fs::write(home.path().join(format!("{number}.torrent")), payload.torrent(None))
            .expect("a torrent");
        names.push(format!("{number}.torrent"));
    }
    let mut shell = with_home(Command::new("sh"), home.path());
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(driver_path());
    shell.args(["seed", "--no-trackers", "--port", "0", "--dir", "out", "--json"]);
    shell.args(["--seed-time", "1s"]).args(&names).current_dir(home.path());
    let ran = finish(&mut shell);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("\"completed\"").count(), COUNT, "{}", ran.stderr);
    assert!(!ran.stderr.contains("nothing of"), "{}", ran.stderr);
}

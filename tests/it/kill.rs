//! `kill -9` in the middle of a download, again and again: what was verified stays verified, and
//! in the end every byte is right. The moments are chosen by bytes served, not by the clock.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::payload::{Payload, scramble};
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const KILLS: u64 = 5;
const LIMIT: Duration = Duration::from_secs(60);
/// What all kills together may cost: less than 1 MiB each, the pieces that were open.
const FETCHED_TWICE: u64 = 4 << 20;

#[test]
fn killed_five_times_it_fetches_little_twice() {
    let files = [("a/first.bin", 9_000_001), ("a/empty", 0), ("b.bin", 15_000_000)];
    let payload = Arc::new(Payload::new(7, "killed", 256 << 10, &files));
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = home.path().join("killed.torrent");
    std::fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    // Slow enough that no download ends between a threshold and its kill.
    let seeder = Seeder::start(payload.clone(), Some(6 << 20));

    for threshold in thresholds(payload.len()) {
        let mut driver = Process::start("driver", command(home.path(), &seeder), home.path());
        let reached = wait(&seeder, threshold, &mut driver);
        assert!(reached, "no {threshold} bytes served:\n{}", driver.last_words());
        let status = driver.kill();
        assert_eq!(status.signal(), Some(9), "it ended by itself:\n{}", driver.last_words());
    }
    let mut driver = Process::start("driver", command(home.path(), &seeder), home.path());
    let status = driver.wait(LIMIT);
    assert!(status.success(), "{status}:\n{}", driver.last_words());
    payload.assert_same(&home.path().join("out"));
    let twice = seeder.served_bytes().checked_sub(payload.len()).expect("every byte was served");
    assert!(twice <= FETCHED_TWICE, "{twice} bytes were fetched twice");
}

/// Five random moments between 5 and 95 % of the torrent, in order.
fn thresholds(len: u64) -> Vec<u64> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let given = std::env::var("PIGEON_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or(u64::from(since_epoch.subsec_nanos()));
    println!("PIGEON_SEED={seed} repeats these moments");
    let range = len / 10 * 9;
    let moment = |n| len / 20 + scramble(seed.wrapping_add(n)) % range;
    let mut moments: Vec<u64> = (0..KILLS).map(moment).collect();
    moments.sort_unstable();
    moments
}

fn command(home: &Path, seeder: &Seeder) -> Command {
    let mut command = driver(home);
    command.arg(home.join("killed.torrent")).arg("--dir").arg(home.join("out"));
    command.arg("--peer").arg(seeder.address().to_string());
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--no-trackers"]);
    command
}

fn wait(seeder: &Seeder, bytes: u64, driver: &mut Process) -> bool {
    // In slices, so that a driver that ended is noticed before the limit.
    let slice = Duration::from_millis(200);
    let slices = LIMIT.as_millis() / slice.as_millis();
    (0..slices).any(|_| seeder.wait_served(bytes, slice) || driver.ended().is_some())
        && seeder.served_bytes() >= bytes
}

//! `kill -9` in the middle of a download, again and again: what was verified stays verified, and
//! in the end every byte is right. The moments are chosen by bytes served, not by the clock.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::payload::{Payload, scramble};
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const KILLS: u64 = 50;
const SEEDERS: usize = 4;
const PIECE_LEN: u32 = 512 << 10;
const LIMIT: Duration = Duration::from_secs(60);
/// What one kill may cost: two pieces for each connection. Counted where it is sent, so that what
/// still lay in sockets counts as well.
const FETCHED_TWICE: u64 = 2 * SEEDERS as u64 * PIECE_LEN as u64;
/// From the start to the first request.
const RESTART: Duration = Duration::from_secs(1);

#[test]
fn killed_fifty_times_at_full_speed_it_fetches_little_twice() {
    let files = [("a/first.bin", 90_000_001), ("a/empty", 0), ("b.bin", 110_000_000)];
    let payload = Arc::new(Payload::new(7, "killed", PIECE_LEN, &files));
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = home.path().join("killed.torrent");
    std::fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let seeders = Seeders::start(&payload);

    let mut restarts = Vec::new();
    for threshold in thresholds(payload.len()) {
        let askers = seeders.askers();
        let begin = Instant::now();
        let mut driver = Process::start("driver", command(home.path(), &seeders), home.path());
        assert!(seeders.wait_askers(askers + 1), "no request:\n{}", driver.last_words());
        restarts.push(begin.elapsed());
        let reached = seeders.wait_served(threshold, &mut driver);
        assert!(reached, "no {threshold} bytes served:\n{}", driver.last_words());
        let status = driver.kill();
        assert_eq!(status.signal(), Some(9), "it ended by itself:\n{}", driver.last_words());
    }
    let mut driver = Process::start("driver", command(home.path(), &seeders), home.path());
    let status = driver.wait(LIMIT);
    assert!(status.success(), "{status}:\n{}", driver.last_words());
    payload.assert_same(&home.path().join("out"));
    let twice = seeders.served_bytes().checked_sub(payload.len()).expect("every byte was served");
    restarts.sort_unstable();
    let (median, slowest) = (restarts[restarts.len() / 2], restarts[restarts.len() - 1]);
    println!("{KILLS} kills: {twice} bytes twice; to the first request {median:?}, {slowest:?}");
    assert!(twice <= KILLS * FETCHED_TWICE, "{twice} bytes were fetched twice");
    assert!(slowest < RESTART, "a restart took {slowest:?} to its first request");
}

/// All seeders of one torrent.
struct Seeders(Vec<Seeder>);

impl Seeders {
    fn start(payload: &Arc<Payload>) -> Self {
        Self((0..SEEDERS).map(|_| Seeder::start(payload.clone(), None)).collect())
    }

    fn served_bytes(&self) -> u64 {
        self.0.iter().map(Seeder::served_bytes).sum()
    }

    fn askers(&self) -> u64 {
        self.0.iter().map(Seeder::askers).sum()
    }

    fn wait_askers(&self, count: u64) -> bool {
        self.wait(|| self.askers() >= count, || true)
    }

    fn wait_served(&self, bytes: u64, driver: &mut Process) -> bool {
        self.wait(|| self.served_bytes() >= bytes, || driver.ended().is_none())
    }

    /// Looks again each time the first one has served something, and each millisecond.
    fn wait(&self, is_reached: impl Fn() -> bool, mut goes_on: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + LIMIT;
        while !is_reached() && goes_on() && Instant::now() < deadline {
            self.0[0].wait_served(u64::MAX, Duration::from_millis(1));
        }
        is_reached()
    }
}

/// Random moments between 5 and 95 % of the torrent, in order.
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

fn command(home: &Path, seeders: &Seeders) -> Command {
    let mut command = driver(home);
    command.arg(home.join("killed.torrent")).arg("--dir").arg(home.join("out"));
    for seeder in &seeders.0 {
        command.arg("--peer").arg(seeder.address().to_string());
    }
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--no-trackers"]);
    command
}

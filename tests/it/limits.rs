//! The rate limits of the real `driver` against seeders written by hand, by the seeders' own
//! count. One short case runs by default; `PIGEON_LIMITS=full` runs 1, 10 and 100 MB/s with 1
//! and with 20 peers over 10 s each, best with `PIGEON_DRIVER` naming a release build.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const MB: u64 = 1_000_000;
/// Until every link is up and requests are as deep as they get.
const WARM_UP_S: u64 = 2;
/// What may be on its way, and more, so that the download does not end inside the window.
const REST_S: u64 = 2;

/// What the seeders gave to the driver in a window.
struct Measured {
    bytes_per_s: f64,
    /// Most to least bytes of one seeder.
    spread: f64,
}

#[test]
fn downloads_keep_to_the_limit() {
    let full = std::env::var("PIGEON_LIMITS").is_ok_and(|value| value == "full");
    let cases: &[(u64, usize)] = match full {
        true => &[(1, 1), (1, 20), (10, 1), (10, 20), (100, 1), (100, 20)],
        false => &[(10, 20)],
    };
    let window_s = if full { 10 } else { 3 };
    for (rate, peers) in cases {
        let measured = download(rate * MB, *peers, window_s);
        let share = measured.bytes_per_s / (rate * MB) as f64;
        let spread = measured.spread;
        println!("down {rate} MB/s, {peers} peers, {window_s} s: {share:.3}, spread {spread:.2}");
        // Block headers count too, so a little less than the limit is payload.
        assert!((0.95..=1.05).contains(&share), "{rate} MB/s, {peers} peers: {share:.3} of it");
    }
}

fn download(rate: u64, peers: usize, window_s: u64) -> Measured {
    let home = tempfile::tempdir().expect("a folder for the test");
    let len = rate * (WARM_UP_S + window_s + REST_S);
    let payload = Arc::new(Payload::new(31, "limited", 256 << 10, &[("file", len)]));
    let torrent = home.path().join("limited.torrent");
    std::fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let seeders: Vec<_> = (0..peers).map(|_| Seeder::start(payload.clone(), None)).collect();

    let mut command: Command = driver(home.path());
    command.arg(&torrent).arg("--dir").arg(home.path().join("out"));
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--no-trackers"]);
    command.arg("--download-limit").arg(rate.to_string());
    for seeder in &seeders {
        command.arg("--peer").arg(seeder.address().to_string());
    }
    let mut driver = Process::start("driver", command, home.path());
    let served = || -> Vec<u64> { seeders.iter().map(Seeder::served_bytes).collect() };
    let first = wait(&served, rate * WARM_UP_S, &mut driver);
    let begin = Instant::now();
    let target = first.iter().sum::<u64>() + rate * window_s;
    let last = wait(&served, target, &mut driver);
    let took = begin.elapsed().as_secs_f64();
    let moved: Vec<u64> = first.iter().zip(&last).map(|(first, last)| last - first).collect();
    let most = *moved.iter().max().expect("a seeder") as f64;
    let least = *moved.iter().min().expect("a seeder") as f64;
    Measured { bytes_per_s: moved.iter().sum::<u64>() as f64 / took, spread: most / least }
}

/// Waits until the seeders served so much together; what each of them did.
fn wait(served: &impl Fn() -> Vec<u64>, bytes: u64, driver: &mut Process) -> Vec<u64> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = served();
        if now.iter().sum::<u64>() >= bytes {
            return now;
        }
        let is_over = driver.ended().is_some() || Instant::now() > deadline;
        assert!(!is_over, "{now:?} of {bytes} bytes served:\n{}", driver.last_words());
        // Short beside a window of seconds.
        std::thread::sleep(Duration::from_millis(2));
    }
}

//! The rate limits of the real `driver` with peers written by hand, over real sockets. One
//! short case runs by default; `PIGEON_LIMITS=full` runs 1, 10 and 100 MB/s with 1 and with 20
//! peers over 10 s each, best with `PIGEON_DRIVER` naming a release build.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const MB: u64 = 1_000_000;
/// Until every link is up.
const WARM_UP_S: u64 = 2;
/// More, so that the download does not end inside the window.
const REST_S: u64 = 3;

/// Rates in MB/s and numbers of peers to try, and how many seconds to look at each.
fn cases() -> (&'static [(u64, usize)], u64) {
    match std::env::var("PIGEON_LIMITS").is_ok_and(|value| value == "full") {
        true => (&[(1, 1), (1, 20), (10, 1), (10, 20), (100, 1), (100, 20)], 10),
        false => (&[(10, 20)], 4),
    }
}

#[test]
fn downloads_keep_to_the_limit() {
    let (cases, window_s) = cases();
    for (rate, peers) in cases {
        let share = download(rate * MB, *peers, window_s) / (rate * MB) as f64;
        println!("down {rate} MB/s, {peers} peers, {window_s} s: {share:.3} of it is payload");
        // Headers of blocks count too, so a little less than the limit is payload.
        assert!((0.95..=1.05).contains(&share), "{rate} MB/s, {peers} peers: {share:.3} of it");
    }
}

/// Payload bytes a second that the driver counts in a window of at least `window_s`.
fn download(rate: u64, peers: usize, window_s: u64) -> f64 {
    let home = tempfile::tempdir().expect("a folder for the test");
    let len = rate * (WARM_UP_S + window_s + REST_S);
    let payload = Arc::new(Payload::new(31, "limited", 256 << 10, &[("file", len)]));
    let torrent = home.path().join("limited.torrent");
    std::fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let seeders: Vec<_> = (0..peers).map(|_| Seeder::start(payload.clone(), None)).collect();

    let mut command: Command = driver(home.path());
    command.arg(&torrent).arg("--dir").arg(home.path().join("out"));
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--no-trackers", "--json"]);
    command.arg("--download-limit").arg(rate.to_string());
    for seeder in &seeders {
        command.arg("--peer").arg(seeder.address().to_string());
    }
    let mut driver = Process::start("driver", command, home.path());
    let (begin, first) = wait(0.0, rate * WARM_UP_S, &mut driver);
    let (end, last) = wait(begin + window_s as f64, 0, &mut driver);
    assert!(seeders.iter().all(|seeder| seeder.served_bytes() > 0), "every peer takes part");
    (last - first) as f64 / (end - begin)
}

/// Waits until the driver says that it has run so long and downloaded so much; how long and
/// how much exactly.
fn wait(seconds: f64, bytes: u64, driver: &mut Process) -> (f64, u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = driver.output();
        let events = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut progress = events.filter(|event: &serde_json::Value| event["event"] == "progress");
        let told = |event: serde_json::Value| {
            Some((event["seconds"].as_f64()?, event["downloaded"].as_u64()?))
        };
        let now = progress.next_back().and_then(told);
        if let Some(now) = now.filter(|now| now.0 >= seconds && now.1 >= bytes) {
            return now;
        }
        let is_over = driver.ended().is_some() || Instant::now() > deadline;
        assert!(!is_over, "{now:?} of {seconds} s, {bytes} bytes:\n{}", driver.last_words());
        // Short beside a window of seconds.
        std::thread::sleep(Duration::from_millis(5));
    }
}

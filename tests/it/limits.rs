//! The rate limits of the real `driver` with peers written by hand, over real sockets. One
//! short case runs by default; `PIGEON_LIMITS=full` runs 1, 10 and 100 MB/s with 1 and with 20
//! peers over 10 s each, best with `PIGEON_DRIVER` naming a release build.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::mock_peer::{BITS_NONE, handshake, message};
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
        // Little enough that tests beside it, on a busy machine, do not become the limit.
        false => (&[(5, 20)], 4),
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

#[test]
fn uploads_keep_to_the_limit() {
    let (cases, window_s) = cases();
    for (rate, peers) in cases {
        let share = upload(rate * MB, *peers, window_s) / (rate * MB) as f64;
        println!("up {rate} MB/s, {peers} peers, {window_s} s: {share:.3} of it is payload");
        assert!((0.95..=1.05).contains(&share), "{rate} MB/s, {peers} peers: {share:.3} of it");
    }
}

/// Payload bytes a second that reach the peers in a window of at least `window_s`.
fn upload(rate: u64, peers: usize, window_s: u64) -> f64 {
    let home = tempfile::tempdir().expect("a folder for the test");
    let payload = Arc::new(Payload::new(32, "limited", 256 << 10, &[("file", 16 << 20)]));
    let torrent = home.path().join("limited.torrent");
    std::fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    payload.write_to(&home.path().join("data"));
    let mut command: Command = driver(home.path());
    command.arg(&torrent).arg("--dir").arg(home.path().join("data"));
    command.args(["--port", "0", "--no-repl", "--seed", "--no-trackers", "--json"]);
    command.arg("--upload-limit").arg(rate.to_string());
    let mut driver = Process::start("driver", command, home.path());
    let port = seeding_port(&mut driver);
    let received = Arc::new(AtomicU64::new(0));
    for number in 0..peers {
        let (payload, received) = (payload.clone(), received.clone());
        // It ends with the driver.
        std::thread::spawn(move || sink(port, number as u8, &payload, &received));
    }
    let wait = |bytes: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while received.load(Ordering::Relaxed) < bytes {
            assert!(Instant::now() < deadline, "{bytes} bytes never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        (Instant::now(), received.load(Ordering::Relaxed))
    };
    let (begin, first) = wait(rate * WARM_UP_S);
    let (end, last) = wait(first + rate * window_s);
    (last - first) as f64 / (end - begin).as_secs_f64()
}

/// The port, as soon as everything is there.
fn seeding_port(driver: &mut Process) -> u16 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = driver.output();
        let events: Vec<serde_json::Value> =
            output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if events.iter().any(|event| event["event"] == "completed") {
            let started = events.iter().find(|event| event["event"] == "started");
            let port = started.and_then(|event| event["port"].as_u64()).expect("a port");
            return u16::try_from(port).expect("a port");
        }
        let is_over = driver.ended().is_some() || Instant::now() > deadline;
        assert!(!is_over, "it does not seed:\n{}", driver.last_words());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for the same pieces over and over, 64 blocks ahead, until the connection ends.
fn sink(port: u16, number: u8, payload: &Payload, received: &AtomicU64) {
    const BLOCK: u32 = 16 << 10;
    const AHEAD: u32 = 64;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the driver listens");
    let mut hello = handshake(BITS_NONE, payload.info_hash(), [number; 20]);
    hello.extend(message(2, &[]));
    stream.write_all(&hello).expect("send a handshake");
    stream.read_exact(&mut [0; 68]).expect("its handshake");
    let in_piece = payload.piece_len() / BLOCK;
    let blocks = in_piece * (payload.piece_count() as u32 - 1);
    let request = |block: u32| {
        let block = block % blocks;
        let at = [block / in_piece, block % in_piece * BLOCK, BLOCK];
        message(6, &at.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())
    };
    let mut asked = 0;
    let mut body = vec![0; BLOCK as usize + 9];
    let mut head = [0; 5];
    while stream.read_exact(&mut head[..4]).is_ok() {
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len == 0 || stream.read_exact(&mut head[4..]).is_err() {
            continue;
        }
        body.resize(len - 1, 0);
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let more = match head[4] {
            1 => AHEAD,
            7 => {
                received.fetch_add(len as u64 - 9, Ordering::Relaxed);
                1
            }
            _ => 0,
        };
        let requests: Vec<u8> = (asked..asked + more).flat_map(request).collect();
        asked += more;
        if stream.write_all(&requests).is_err() {
            return;
        }
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

/// Waits until the driver says that it had run so long when it had downloaded so much; how long
/// and how much exactly.
fn wait(seconds: f64, bytes: u64, driver: &mut Process) -> (f64, u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = driver.output();
        let events = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut progress = events.filter(|event: &serde_json::Value| event["event"] == "progress");
        let told = |event: serde_json::Value| {
            Some((event["counted"].as_f64()?, event["downloaded"].as_u64()?))
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

//! Hostile peers and trackers against the real `driver`: whatever they do, the download beside
//! one honest seeder ends in time with every byte right, within 64 MiB of the memory of an
//! honest run, without a panic, and the honest seeder is never banned. What they do is in
//! `acts` (peers), `trackers` and `udp_trackers`.

mod acts;
mod peer;
mod trackers;
mod udp_trackers;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::seeder::Seeder;
use acts::{ACTS, Act};
use peer::{Hostile, dial};

/// A driver that takes longer hangs.
const HANG: Duration = Duration::from_secs(90);
/// What hostile peers may add to the time of an honest run.
const DELAY_MAX: Duration = Duration::from_secs(20);
/// What they may add to its memory.
const GROWTH_MAX: u64 = 64 << 20;
/// Bytes a second of the honest seeder: slow enough that everybody gets to act.
const HONEST_RATE: u64 = 2 << 20;
/// Hostile peers of one kind in a run.
const SAME: usize = 4;
/// Runs at once. They mostly wait.
const WORKERS: usize = 8;

static PAYLOAD: LazyLock<Arc<Payload>> = LazyLock::new(|| {
    let files = [("a.bin", 1_000_003), ("sub/b.bin", 2_000_000), ("empty", 0)];
    Arc::new(Payload::new(11, "prey", 64 << 10, &files))
});

/// What a run came to.
struct Outcome {
    time: Duration,
    peak_rss_bytes: u64,
    output: String,
}

/// Downloads from one honest seeder and the `others`; an error says what was wrong.
fn download(others: &[SocketAddr], more: &[&str]) -> Result<Outcome, String> {
    let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
    let mut peers = others.to_vec();
    peers.push(seeder.address());
    let outcome = run(&peers, more, |_| ())?;
    let honest = seeder.address().to_string();
    let banned = |line: &str| line.contains(r#""event":"banned""#) && line.contains(&honest);
    if outcome.output.lines().any(banned) {
        return Err(format!("the honest seeder {honest} was banned:\n{}", outcome.output));
    }
    Ok(outcome)
}

/// Runs a download from these peers to its end. `started` gets the port that it listens on.
fn run(peers: &[SocketAddr], more: &[&str], started: impl FnOnce(u16)) -> Result<Outcome, String> {
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = home.path().join("prey.torrent");
    std::fs::write(&torrent, PAYLOAD.torrent(None)).expect("write the torrent");
    let mut command = driver(home.path());
    command.arg(torrent).arg("--dir").arg(home.path().join("out"));
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--json"]).args(more);
    for peer in peers {
        command.arg("--peer").arg(peer.to_string());
    }
    let begin = Instant::now();
    let mut process = Process::start("driver", command, home.path());
    let mut started = Some(started);
    let mut peak_rss_bytes = 0;
    while process.ended().is_none() {
        if begin.elapsed() > HANG {
            return Err(format!("it hangs:\n{}", process.last_words()));
        }
        peak_rss_bytes = peak_rss_bytes.max(process.peak_rss_bytes().unwrap_or(0));
        if let Some(port) = port(&process.output())
            && let Some(started) = started.take()
        {
            started(port);
        }
        // The peak is a mark that only rises, and it is gone with the process.
        thread::sleep(Duration::from_millis(20));
    }
    let time = begin.elapsed();
    let status = process.wait(HANG);
    let output = process.output();
    if !status.success() || output.contains("panicked at") {
        return Err(format!("{status}:\n{output}"));
    }
    let wrong = PAYLOAD.differences(&home.path().join("out"));
    if !wrong.is_empty() {
        return Err(format!("{wrong:#?}\n{output}"));
    }
    Ok(Outcome { time, peak_rss_bytes, output })
}

/// The port in the event that says that the download has started.
fn port(output: &str) -> Option<u16> {
    let line = output.lines().find(|line| line.contains(r#""event":"started""#))?;
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    u16::try_from(event["port"].as_u64()?).ok()
}

/// Runs the jobs, some at a time, and fails with all that went wrong.
fn all(count: usize, job: impl Fn(usize) -> Result<(), String> + Sync) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    if let Err(why) = job(index) {
                        failures.lock().expect("a list of failures").push(why);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("a list of failures");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
}

/// Memory and time against those of a run with nobody but the honest seeder.
fn judge(name: &str, outcome: Result<Outcome, String>) -> Result<(), String> {
    static ALONE: LazyLock<Outcome> = LazyLock::new(|| download(&[], &[]).expect("honest run"));
    let outcome = outcome.map_err(|why| format!("{name}: {why}"))?;
    assert!(ALONE.peak_rss_bytes > 0, "an honest run was measured");
    let growth = outcome.peak_rss_bytes.saturating_sub(ALONE.peak_rss_bytes);
    let delay = outcome.time.saturating_sub(ALONE.time);
    println!("{name}: {:.1} s, {} KiB more", outcome.time.as_secs_f64(), growth >> 10);
    if growth > GROWTH_MAX {
        return Err(format!("{name}: it grew by {growth} bytes"));
    }
    if delay > DELAY_MAX {
        return Err(format!("{name}: {delay:?} longer than alone\n{}", outcome.output));
    }
    Ok(())
}

fn beside(name: &str, acts: &[Act]) -> Result<(), String> {
    let spawn = |(index, act): (usize, &Act)| Hostile::listen(PAYLOAD.clone(), index, *act);
    let hostile: Vec<Hostile> = acts.iter().enumerate().map(spawn).collect();
    let addresses: Vec<SocketAddr> = hostile.iter().map(Hostile::address).collect();
    let outcome = judge(name, download(&addresses, &["--no-trackers"]));
    if hostile.iter().all(|peer| peer.visits() == 0) {
        return Err(format!("{name}: nobody was dialled"));
    }
    outcome
}

#[test]
fn no_misbehaviour_of_peers_stops_a_download() {
    all(ACTS.len(), |index| {
        let (name, act) = ACTS[index];
        beside(name, &[act; SAME])
    });
}

#[test]
fn ten_different_hostile_peers_leave_one_honest_to_finish() {
    let groups: Vec<&[(&str, Act)]> = ACTS.chunks(10).collect();
    all(groups.len(), |index| {
        let acts: Vec<Act> = groups[index].iter().map(|(_, act)| *act).collect();
        beside(&format!("from {}", groups[index][0].0), &acts)
    });
}

#[test]
fn ten_times_the_same_corrupter_leaves_one_honest_to_finish() {
    let corrupter = ACTS.iter().find(|(name, _)| *name == "corrupts some blocks");
    beside("ten corrupters", &[corrupter.expect("it is in the table").1; 10])
        .unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn hostile_peers_that_dial_do_no_more_harm() {
    all(ACTS.len().div_ceil(10), |group| {
        let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
        let outcome = run(&[seeder.address()], &["--no-trackers"], |port| {
            for (index, (_, act)) in ACTS.iter().skip(group * 10).take(10).enumerate() {
                dial(port, PAYLOAD.clone(), index, *act);
            }
        });
        judge(&format!("dialling, from {}", ACTS[group * 10].0), outcome)
    });
}

#[test]
fn three_hundred_silent_connections_do_not_stop_a_download() {
    let seeder = Seeder::start(PAYLOAD.clone(), Some(HONEST_RATE));
    let mut silent = Vec::new();
    let outcome = run(&[seeder.address()], &["--no-trackers"], |port| {
        let connect = |_| std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        silent.extend((0..300).filter_map(connect));
    });
    judge("three hundred silent ones", outcome).unwrap_or_else(|why| panic!("{why}"));
    assert!(silent.len() > 250, "only {} got through", silent.len());
}

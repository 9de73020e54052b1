//! A disk that does not answer: frozen, as one is that waits for a cable, a server, or a snapshot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::mounts::Image;
use super::{Place, Told};
use crate::cli::run::{LIMIT, Running, finish};
use crate::payload::Payload;
use crate::process::driver;

/// 3 MB in ten seconds: longer than a disk may be silent before it is told.
const RATE: u64 = 300_000;
/// What may be fetched twice: what was on its way when the disk froze.
const TWICE_MAX: u64 = 1_000_000;

/// A file system that takes no writes until it is dropped.
struct Frozen {
    path: PathBuf,
}

impl Frozen {
    fn freeze(path: &Path) -> Self {
        let frozen = Command::new("fsfreeze").arg("-f").arg(path).output();
        let frozen = frozen.expect("start fsfreeze");
        assert!(frozen.status.success(), "{}", String::from_utf8_lossy(&frozen.stderr));
        Self { path: path.to_owned() }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // A panic here, perhaps during another, would end the whole test binary.
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.path).output();
    }
}

/// Fetches the second torrent from the program that downloads both.
fn fetch_from(place: &Place, told: &mut Told) {
    let port = told.event("started", None)["port"].as_u64().expect("a port");
    let mut command = driver(place.home.path());
    command.current_dir(place.home.path()).env("XDG_STATE_HOME", place.home.path().join("other"));
    command.args(["b.torrent", "--dir", "copy", "-e", "--no-trackers", "--port", "0"]);
    command.arg("--peer").arg(format!("127.0.0.1:{port}"));
    let ran = finish(&mut command);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    place.payloads[1].assert_same(&place.home.path().join("copy"));
}

#[test]
fn a_frozen_disk_holds_up_nobody_else_and_goes_on_when_it_is_thawed() {
    let place = Place::new(&[Some(RATE), Some(RATE)]);
    let Some(image) = Image::new(&place.home.path().join("image")) else { return };
    let path = place.out().join("alpha");
    let _disk = image.mount(&path);
    let (a, b) = (place.hash(0), place.hash(1));
    let mut told = place.start_told();
    assert!(place.seeders[0].wait_served(300_000, LIMIT), "nothing was asked for");
    let served = place.seeders[1].served_bytes();
    let (frozen, since) = (Frozen::freeze(&path), Instant::now());
    told.event("completed", Some(&b));
    let (rest, took) = (place.payloads[1].len() - served, since.elapsed());
    let expected = Duration::from_secs_f64(rest as f64 / RATE as f64);
    assert!(took < expected + Duration::from_secs(3), "{took:?} instead of {expected:?}");
    let why = told.event("disk_trouble", Some(&a));
    let why = why["message"].as_str().expect("a message");
    assert!(why.starts_with("out has not answered for "), "{why}");
    assert!(why.ends_with(" s: it goes on by itself when it does"), "{why}");
    for (typed, answer) in [
        ("use 1", "using 1 alpha"),
        ("status", "State      paused by the disk, tried again by itself"),
        ("", "Disk       out has not answered for "),
        ("why", "Paused by the disk, and tried again by itself: out has not answered for "),
    ] {
        told.ask(typed, answer);
    }
    let served = place.seeders[0].served_bytes();
    fetch_from(&place, &mut told);
    assert_eq!(place.seeders[0].served_bytes(), served, "asked for more");
    drop(frozen);
    told.end();
    assert_eq!((told.count("disk_trouble"), told.count("disk_recovered")), (1, 1));
    for (number, payload) in place.payloads.iter().enumerate() {
        payload.assert_same(&place.out());
        assert!(place.wasted(number) <= TWICE_MAX, "{} bytes again", place.wasted(number));
    }
}

/// What hangs is the note that its files were looked at, which the next start can do without.
#[test]
fn a_seed_ends_well_though_its_record_hangs() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let Some(image) = Image::new(&home.path().join("image")) else { return };
    let state = home.path().join("state");
    let _disk = image.mount(&state);
    let payload = Payload::new(9, "set", 32 << 10, &[("a", 200_000)]);
    std::fs::write(home.path().join("a.torrent"), payload.torrent(None)).expect("a torrent");
    payload.write_to(&home.path().join("data"));
    let mut command = driver(home.path());
    command.current_dir(home.path()).env("XDG_STATE_HOME", &state);
    command.args(["seed", "a.torrent", "data", "--port", "0", "--json"]);
    let mut running = Running::start(&mut command);
    running.line(r#"{"downloaded":0,"event":"completed""#);
    let frozen = Frozen::freeze(&state);
    running.type_line("quit");
    running.line(r#"{"complete":true,"downloaded":0,"event":"stopped""#);
    // A thread that waits for the disk ends with it only.
    drop(frozen);
    let ran = running.wait();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
}

//! Downloads from other people's clients: libtorrent, Transmission and aria2 seed, opentracker
//! introduces, and `driver` fetches 300 MB of files that share pieces. Everything runs in a
//! network namespace of its own, so these tests need root and are asked for by
//! `PIGEON_INTEROP=1`; `.ci/run` installs what they need and asks. Once asked for, a missing
//! program is a failure. `PIGEON_INTEROP_LEECHER=aria2` puts aria2 in driver's place, to tell
//! whether a failure is ours.

mod clients;
mod create;
mod dht;
mod leak;
mod magnet;
mod met;
pub mod namespace;
mod peers;
mod power;
mod router;
mod secrecy;
mod upload;
mod web;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::payload::Payload;
use crate::process::{Process, driver};
use clients::{ANNOUNCE, ANNOUNCE_UDP, Role, Seeder};
use namespace::Namespace;

/// For programs to check their files and to announce; Transmission takes its time.
const READY: Duration = Duration::from_secs(120);
const DOWNLOAD: Duration = Duration::from_secs(300);

#[test]
fn downloads_from_libtorrent() {
    download_from("libtorrent", &[Seeder::Libtorrent], ANNOUNCE);
}

#[test]
fn downloads_from_transmission() {
    download_from("transmission", &[Seeder::Transmission], ANNOUNCE);
}

#[test]
fn downloads_from_aria2() {
    download_from("aria2", &[Seeder::Aria2], ANNOUNCE);
}

// BEP 15: the seeder is told of over HTTP, and found over UDP alone.
#[test]
fn downloads_from_a_peer_that_a_udp_tracker_names() {
    download_from("opentracker over UDP", &[Seeder::Libtorrent], ANNOUNCE_UDP);
}

#[test]
fn downloads_from_three_clients_at_once() {
    let all = [Seeder::Libtorrent, Seeder::Transmission, Seeder::Aria2];
    download_from("mixed", &all, ANNOUNCE);
}

/// Downloads from these seeders, who announce over HTTP; the leecher asks at `announce`.
fn download_from(name: &str, seeders: &[Seeder], announce: &str) {
    if !asked_for(name) {
        return;
    }
    clients::assert_installed();
    let _turn = turn();
    let (payload, source) = payload();
    // Programs that drop their privileges have to reach their files too.
    let home = tempfile::tempdir_in(target()).expect("a folder for the test");
    let torrent = home.path().join("payload.torrent");
    fs::write(&torrent, payload.torrent(Some(ANNOUNCE))).expect("write the torrent");
    let prey = home.path().join("prey.torrent");
    fs::write(&prey, payload.torrent(Some(announce))).expect("write the torrent");

    let namespace = Namespace::new();
    let start = |role: Role, seeds: Option<&Payload>| {
        let dir = home.path().join(role.name());
        if let Some(payload) = seeds {
            payload.link_to(source, &dir.join("data"));
        }
        let torrent = if seeds.is_some() { &torrent } else { &prey };
        let command = clients::command(role, &namespace, torrent, &dir);
        Process::start(&role.name(), command, home.path())
    };
    let tracker_dir = home.path().join("tracker");
    let tracker = clients::tracker(&namespace, &tracker_dir, &payload.info_hash());
    let tracker = Process::start("opentracker", tracker, home.path());
    let running: Vec<Process> =
        seeders.iter().map(|seeder| start(Role::Seeder(*seeder), Some(payload))).collect();
    let wait = clients::wait_for_seeds(&namespace, &payload.info_hash(), seeders.len());
    let mut wait = Process::start("wait_for_seeds", wait, home.path());
    let words = |also: &Process| {
        let all = running.iter().chain([&tracker, also]).map(Process::last_words);
        all.collect::<Vec<_>>().join("\n----\n")
    };
    if !wait.ended_within(READY) {
        panic!("not all seeders announced themselves:\n{}", words(&wait));
    }
    let mut leecher = start(Role::leecher(), None);
    let done = leecher.ended_within(DOWNLOAD);
    assert!(done, "not complete after {DOWNLOAD:?}:\n{}", words(&leecher));
    let status = leecher.wait(DOWNLOAD);
    assert!(status.success(), "the leecher ended with {status}:\n{}", words(&leecher));
    let data = home.path().join(Role::leecher().name()).join("data");
    payload.assert_same(&data);
    if let Role::Driver = Role::leecher() {
        let mut verify = driver(home.path());
        verify.arg("verify").arg(&torrent).arg(&data);
        let mut verify = Process::start("verify", verify, home.path());
        let status = verify.wait(DOWNLOAD);
        assert!(status.success(), "verify ended with {status}:\n{}", verify.last_words());
    }
}

/// Whether to run; says so aloud when not, past the test runner's capture.
pub fn asked_for(name: &str) -> bool {
    if std::env::var_os("PIGEON_INTEROP").is_some_and(|value| value == "1") {
        return true;
    }
    let line = format!(
        "SKIPPED interop with {name}: run `.ci/run`, or as root `PIGEON_INTEROP=1 cargo test --test \
         it interop`\n"
    );
    std::io::stderr().write_all(line.as_bytes()).expect("say that a test is skipped");
    false
}

/// One at a time: four swarms side by side would only measure the machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing half done behind.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 300 MB, described and written once.
fn payload() -> &'static (Payload, PathBuf) {
    static PAYLOAD: OnceLock<(Payload, PathBuf)> = OnceLock::new();
    PAYLOAD.get_or_init(|| {
        let files = [
            ("one/first.bin", 100_000_007),
            ("one/empty.bin", 0),
            ("two/byte", 1),
            ("two/deeper/second.bin", 77_777_777),
            ("third.bin", 122_222_219),
        ];
        written(Payload::new(2026, "interop-payload", 512 << 10, &files), "interop-payload")
    })
}

/// The payload with the folder that it lies in, written if it is not there.
fn written(payload: Payload, name: &str) -> (Payload, PathBuf) {
    let dir = target().join(name);
    let marker = dir.join("complete");
    if !marker.exists() {
        payload.write_to(&dir);
        fs::write(marker, b"").expect("mark the payload as complete");
    }
    (payload, dir)
}

/// cargo's folder for what tests write.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

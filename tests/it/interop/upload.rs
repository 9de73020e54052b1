//! The other direction: other people's clients download what `driver` seeds, introduced by
//! `driver tracker` over HTTP and over UDP; and a swarm of theirs and ours in which nobody has
//! everything at the start.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clients::{self, ANNOUNCE, ANNOUNCE_UDP, Role, Seeder};
use super::namespace::Namespace;
use super::{DOWNLOAD, READY, asked_for, payload, target, turn};
use crate::payload::Payload;
use crate::process::Process;

/// For a client that is complete to write the last of its cache.
const FLUSH: Duration = Duration::from_secs(30);

#[test]
fn libtorrent_downloads_from_driver() {
    upload_to("libtorrent", Seeder::Libtorrent, &[ANNOUNCE, ANNOUNCE_UDP]);
}

#[test]
fn transmission_downloads_from_driver() {
    upload_to("transmission", Seeder::Transmission, &[ANNOUNCE, ANNOUNCE_UDP]);
}

// Without its DHT, which must not run here, aria2 speaks to no UDP tracker.
#[test]
fn aria2_downloads_from_driver() {
    upload_to("aria2", Seeder::Aria2, &[ANNOUNCE]);
}

#[test]
fn a_swarm_of_ours_and_theirs_completes_from_parts() {
    if !asked_for("a swarm of parts") {
        return;
    }
    clients::assert_installed();
    let _turn = turn();
    let (payload, source) = payload();
    let home = tempfile::tempdir_in(target()).expect("a folder for the test");
    let torrent = home.path().join("payload.torrent");
    fs::write(&torrent, payload.torrent(Some(ANNOUNCE))).expect("write the torrent");
    let namespace = Namespace::new();
    let tracker = clients::own_tracker(&namespace, &home.path().join("tracker"));
    let tracker = Process::start("tracker", tracker, home.path());
    let roles = [
        Role::Citizen("10.77.0.6", "7006"),
        Role::Citizen("10.77.0.7", "7007"),
        Role::Seeder(Seeder::Libtorrent),
        Role::Seeder(Seeder::Transmission),
        Role::Seeder(Seeder::Aria2),
    ];
    let count = roles.len();
    let start = |(number, role): (usize, &Role)| {
        let dir = home.path().join(role.name());
        // Two fifths each, so that every piece is somewhere twice and nowhere five times.
        let has = |piece: usize| piece % count == number || piece % count == (number + 1) % count;
        payload.copy_part(source, &dir.join("data"), has);
        let command = clients::command(*role, &namespace, &torrent, &dir);
        Process::start(&role.name(), command, home.path())
    };
    let running: Vec<Process> = roles.iter().enumerate().map(start).collect();
    wait_for(payload, &namespace, count, home.path(), || {
        let all = running.iter().chain([&tracker]).map(Process::last_words);
        all.collect::<Vec<_>>().join("\n----\n")
    });
    for role in roles {
        assert_soon_same(payload, &home.path().join(role.name()).join("data"));
    }
}

/// `driver` seeds, and this client downloads, introduced at each of the announce URLs.
fn upload_to(name: &str, client: Seeder, announces: &[&str]) {
    if !asked_for(&format!("uploads to {name}")) {
        return;
    }
    clients::assert_installed();
    let _turn = turn();
    let (payload, source) = payload();
    for announce in announces {
        let home = tempfile::tempdir_in(target()).expect("a folder for the test");
        let torrent = home.path().join("payload.torrent");
        fs::write(&torrent, payload.torrent(Some(announce))).expect("write the torrent");
        let namespace = Namespace::new();
        let tracker = clients::own_tracker(&namespace, &home.path().join("tracker"));
        let tracker = Process::start("tracker", tracker, home.path());
        let seeder = Role::Citizen("10.77.0.6", "7006");
        let seeder_dir = home.path().join(seeder.name());
        payload.link_to(source, &seeder_dir.join("data"));
        let command = clients::command(seeder, &namespace, &torrent, &seeder_dir);
        let seeder = Process::start("seeder", command, home.path());
        let words = |also: &[&Process]| {
            let all = [&tracker, &seeder].into_iter().chain(also.iter().copied());
            all.map(Process::last_words).collect::<Vec<_>>().join("\n----\n")
        };
        wait_for(payload, &namespace, 1, home.path(), || words(&[]));
        let leecher_dir = home.path().join("leecher");
        let command = clients::command(Role::Seeder(client), &namespace, &torrent, &leecher_dir);
        let leecher = Process::start("leecher", command, home.path());
        wait_for(payload, &namespace, 2, home.path(), || words(&[&leecher]));
        make_empty_files(client, payload, &leecher_dir.join("data"));
        assert_soon_same(payload, &leecher_dir.join("data"));
    }
}

/// Waits until the tracker knows so many who have everything.
#[track_caller]
fn wait_for(
    payload: &Payload,
    namespace: &Namespace,
    seeds: usize,
    home: &Path,
    words: impl Fn() -> String,
) {
    let wait = clients::wait_for_seeds(namespace, &payload.info_hash(), seeds);
    let mut wait = Process::start("wait_for_seeds", wait, home);
    let limit = if seeds == 1 { READY } else { DOWNLOAD };
    let done = wait.ended_within(limit);
    assert!(done, "no {seeds} seeds after {limit:?}:\n{}\n{}", wait.last_words(), words());
}

/// Transmission makes no files without bytes, which nobody can seed: they are made in its place.
fn make_empty_files(client: Seeder, payload: &Payload, dir: &Path) {
    if matches!(client, Seeder::Transmission) {
        payload.write_empty(dir);
    }
}

/// Compares every byte; a client may hold the last of them back a while.
#[track_caller]
fn assert_soon_same(payload: &Payload, dir: &Path) {
    let deadline = Instant::now() + FLUSH;
    while !payload.differences(dir).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    payload.assert_same(dir);
}

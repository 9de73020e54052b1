//! Disks that take no more: full, read-only, and full on the state directory.

use std::time::Instant;

use super::Place;
use super::mounts::Mount;
use crate::cli::run::LIMIT;

/// What may be fetched twice: what was on its way when the disk was full.
const TWICE_MAX: u64 = 3_000_000;

// libtorrent#2563, qBittorrent#15584, transmission#1835.
#[test]
fn a_full_disk_pauses_its_torrent_alone_until_there_is_space() {
    let place = Place::new(&[None, Some(1_500_000)]);
    let Some(disk) = Mount::memory(&place.out().join("alpha"), "1m") else { return };
    let (a, b) = (place.hash(0), place.hash(1));
    let since = Instant::now();
    let mut told = place.start_told();
    let why = told.trouble(since, Some(&a));
    assert!(why.starts_with("no space left on device writing out/alpha/"), "{why}");
    assert!(why.ends_with(": free some space, it goes on by itself"), "{why}");
    told.event("completed", Some(&b));
    let served = place.seeders[0].served_bytes();
    let load = told.load();
    assert!(load < 0.05, "{load} of a processor while nothing can be done");
    assert_eq!(place.seeders[0].served_bytes(), served, "asked for more");
    for (typed, answer) in [
        ("use 1", "using 1 alpha"),
        ("status", "State      paused by the disk, tried again by itself"),
        ("", "Disk       no space left on device writing out/alpha/"),
        ("why", "Paused by the disk, and tried again by itself: no space left"),
    ] {
        told.ask(typed, answer);
    }
    disk.change("size=16m");
    told.event("completed", Some(&a));
    told.end();
    assert_eq!((told.count("disk_trouble"), told.count("disk_recovered")), (1, 1));
    place.payloads[0].assert_same(&place.out());
    place.payloads[1].assert_same(&place.out());
    assert!(place.wasted(0) <= TWICE_MAX, "{} bytes again", place.wasted(0));
    assert_eq!(place.wasted(1), 0);
}

#[test]
fn a_read_only_disk_is_waited_for() {
    let place = Place::new(&[None]);
    let Some(disk) = Mount::memory(&place.out(), "16m") else { return };
    disk.change("ro");
    let since = Instant::now();
    let mut told = place.start_told();
    let why = told.trouble(since, None);
    assert!(why.starts_with("read-only file system writing out/alpha/"), "{why}");
    assert!(why.ends_with(": make it writable or choose another directory"), "{why}");
    assert!(told.load() < 0.05);
    disk.change("rw");
    told.end();
    assert_eq!((told.count("disk_trouble"), told.count("disk_recovered")), (1, 1));
    place.payloads[0].assert_same(&place.out());
}

// qBittorrent#6852 and #13059: the list of torrents is gone.
#[test]
fn a_full_state_directory_costs_no_more_than_the_record() {
    let place = Place::new(&[Some(1_000_000)]);
    let Some(_disk) = Mount::memory(&place.state(), "64k") else { return };
    let filler = place.state().join("filler");
    let full = std::fs::write(&filler, vec![1; 1 << 20]).expect_err("more than there is room for");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let mut told = place.start_told();
    assert!(place.seeders[0].wait_served(1_000_000, LIMIT), "nothing was asked for");
    told.ask("status", "Record     no space left on device writing ");
    std::fs::remove_file(&filler).expect("make room");
    told.end();
    place.payloads[0].assert_same(&place.out());
    assert_eq!((told.count("disk_trouble"), place.wasted(0)), (0, 0));
    // The next start knows all of it.
    let mut again = place.start_told();
    again.end();
    assert_eq!(place.wasted(0), 0);
}

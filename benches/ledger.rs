//! The ledger of 50,000 torrents: what a start costs until all of them are known, and what changes
//! cost on the disk that the system's folder for temporary files is on. It opens no torrent.

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use pigeon::base::file_priority::FilePriority::{Normal, Off};
use pigeon::base::ids::{InfoHash, TorrentId};
use pigeon::ledger::{Goals, Ledger, Place, Selection, Spec, Tally, Ways};
use tempfile::TempDir;

const TORRENTS: u32 = 50_000;
const METADATA_LEN: usize = 2000;

fn main() {
    divan::main();
}

fn spec(id: u32) -> Spec {
    let mut hash = [7; 20];
    hash[..4].copy_from_slice(&id.to_be_bytes());
    Spec {
        id: TorrentId(id),
        info_hash: Some(InfoHash(hash)),
        info_hash_v2: None,
        name: format!("a torrent with a name of some length, number {id}"),
        dir: "/srv/downloads/of somebody".into(),
        selection: Selection::of(&[Normal, Off, Normal]),
        download_limit: None,
        upload_limit: Some(1 << 20),
        peers_max: None,
        slots_max: None,
        labels: vec!["films".to_owned(), "new".to_owned()],
        shown_name: None,
        goals: Goals { ratio: Some(2.0), time: Some(Duration::from_secs(86_400)) },
        sequential: false,
        ends_first: false,
        ways: Ways::default(),
        paused: false,
        seed_only: false,
        place: Place(u64::from(id) << 29),
        added_s: 1_700_000_000,
        completed_s: Some(1_700_000_000),
        extra_trackers: Vec::new(),
        trackers: None,
        web_seeds: Vec::new(),
        link: None,
        whole: None,
    }
}

fn filled(count: u32) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut ledger, _) = Ledger::open(dir.path()).expect("a ledger");
    let torrent: Arc<[u8]> = vec![1; METADATA_LEN].into();
    for id in 1..=count {
        ledger.add(&spec(id), Some(torrent.clone())).expect("it is not too much");
        let tally = Tally { uploaded: 1 << 40, downloaded: 1 << 30, ..Tally::default() };
        ledger.tally(TorrentId(id), tally);
    }
    ledger.commit().expect("a disk with room");
    dir
}

#[divan::bench(sample_count = 10)]
fn start_of_fifty_thousand(bencher: Bencher) {
    let dir = filled(TORRENTS);
    bencher.bench_local(|| {
        let (ledger, restored) = Ledger::open(dir.path()).expect("a ledger");
        assert_eq!(restored.torrents.len() as u32, TORRENTS);
        black_box((ledger, restored))
    });
}

#[divan::bench(sample_count = 10)]
fn ten_thousand_are_added(bencher: Bencher) {
    bencher.bench_local(|| filled(10_000));
}

#[divan::bench(sample_count = 50)]
fn one_change_of_fifty_thousand(bencher: Bencher) {
    let dir = filled(TORRENTS);
    let (mut ledger, _) = Ledger::open(dir.path()).expect("a ledger");
    bencher.bench_local(|| {
        ledger.put(&spec(TORRENTS / 2)).expect("it is not too much");
        ledger.commit().expect("a disk with room");
    });
}

#[divan::bench(sample_count = 50)]
fn metadata_of_one(bencher: Bencher) {
    let dir = filled(TORRENTS);
    let (ledger, _) = Ledger::open(dir.path()).expect("a ledger");
    bencher.bench_local(|| {
        let located = ledger.locate(TorrentId(TORRENTS / 2)).expect("it is kept");
        black_box(located.read().expect("it is as it was"))
    });
}

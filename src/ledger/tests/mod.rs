//! Tests of the room: what is kept, on a directory and on a model of a device that fails.

mod damage;
mod erasing;
mod hand;
mod keeping;
mod many;
mod model;
mod power;
mod shrinking;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{InfoHash, InfoHashV2, TorrentId};

use super::opening::open_on;
use super::*;
use model::Model;

/// So that little is enough to be written anew.
const REWRITTEN_MIN: u64 = 4 << 10;

/// A torrent with a little of everything.
fn spec(id: u32) -> Spec {
    let mut hash = [7; 20];
    hash[..4].copy_from_slice(&id.to_be_bytes());
    Spec {
        id: TorrentId(id),
        info_hash: Some(InfoHash(hash)),
        info_hash_v2: id.is_multiple_of(3).then_some(InfoHashV2([id as u8; 32])),
        name: format!("torrent number {id}"),
        dir: "/srv/downloads".into(),
        selection: id.is_multiple_of(2).then(|| choice(&[true, false, true])),
        download_limit: Some(1 << 20),
        upload_limit: None,
        peers_max: None,
        slots_max: None,
        labels: vec!["films".to_owned()],
        shown_name: None,
        goals: Goals { ratio: Some(1.5), time: Some(Duration::from_secs(3600)) },
        sequential: id.is_multiple_of(5),
        ends_first: false,
        ways: Ways::default(),
        paused: false,
        seed_only: false,
        place: Place(1 << 40 | u64::from(id)),
        added_s: 1_700_000_000,
        completed_s: None,
        extra_trackers: vec!["http://tracker.example/announce".to_owned()],
        trackers: Some(
            vec![vec!["udp://a.example".to_owned(), "http://b.example/".to_owned()]].into(),
        ),
        web_seeds: Vec::new(),
        link: None,
        whole: None,
    }
}

/// These files are wanted, as most are.
fn choice(wanted: &[bool]) -> Selection {
    let priorities = wanted.iter().map(|wanted| FilePriority::Normal.chosen(*wanted));
    Selection::of(&priorities.collect::<Vec<_>>()).unwrap()
}

/// What is kept as its metadata: its length and bytes depend on the number.
fn torrent(id: u32) -> Arc<[u8]> {
    let len = 200 + id as usize * 37 % 900;
    (0..len).map(|at| (at as u32 ^ id.wrapping_mul(31)) as u8).collect()
}

fn tally(uploaded: u64) -> Tally {
    Tally { uploaded, downloaded: 2, wasted: 3, active_s: 4, seeding_s: 5 }
}

fn open_model(model: &Arc<Model>) -> Result<(Ledger, Restored), Error> {
    let (mut ledger, restored) = open_on(Arc::new(model.clone()), Path::new("state"), None)?;
    ledger.rewritten_min = REWRITTEN_MIN;
    Ok((ledger, restored))
}

/// A ledger on a model that never fails, with so many torrents.
fn with_torrents(count: u32) -> (Arc<Model>, Ledger) {
    let model = Arc::new(Model::new());
    let (mut ledger, restored) = open_model(&model).unwrap();
    assert!(restored.torrents.is_empty());
    for id in 1..=count {
        ledger.add(&spec(id), Some(torrent(id))).unwrap();
    }
    ledger.commit().unwrap();
    (model, ledger)
}

fn ids(restored: &Restored) -> Vec<u32> {
    restored.torrents.iter().map(|torrent| torrent.spec.id.0).collect()
}

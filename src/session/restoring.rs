//! Torrents of earlier runs. They are listed at once by what the ledger says of them. Those that
//! were whole and at rest are latent: nothing of them is read before they are called or announced.
//! Of the others the metadata is read, one after the other in the order of the queue, and each
//! sleeps if it has nothing to do, or waits for its turn as if it had been added. Nobody looks at
//! the disk of one that was never complete before that. One that cannot be read is listed with the
//! reason, and links go on to be sought.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::base::checksum::crc32c;
use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::task::Keeping;
use crate::ledger::{Ledger, Restored, RestoredTorrent, SessionSpec, Spec, Trouble};
use crate::metainfo::Torrent;
use crate::metainfo::create::wrap_found;
use crate::torrent::incoming::Incoming;
use crate::torrent::options::{CheckMode, TorrentOptions};
use crate::tracker::task::Named;

use super::absent::{Absent, Caller, Stage};
use super::calls::Calls;
use super::config::SessionConfig;
use super::error::Error;
use super::listener::Notice;
use super::member::wants_all;
use super::wanted::{Wanted, swarm_hashes};

/// Metadata that was read before the session takes it in.
const READ_LEN: usize = 16;

/// Those for whom trackers name somebody and that are not looked at yet; what does not fit is named
/// again with the next announce.
const NAMED_LEN: usize = 256;

/// Why one does not come whose metadata is not there.
const UNKNOWN: &str = "its metadata is not known: remove it, and add it again";

/// What was read: the torrent, or why there is none.
pub(super) type Read = Result<Arc<Torrent>, String>;

/// Torrents of earlier runs that are not here.
pub(super) struct Returning {
    pub absent: BTreeMap<TorrentId, Absent>,
    /// Those of them that are there twice.
    pub twins: BTreeSet<TorrentId>,
    /// Those that will be here by what stands in their directories, in few bits of it.
    pub tops: BTreeSet<(u32, TorrentId)>,
    /// Their metadata comes here, also that of who is called.
    pub read: mpsc::Receiver<(TorrentId, Read)>,
    pub tell: mpsc::Sender<(TorrentId, Read)>,
    /// Whom trackers name for those that are announced, and where that is told.
    pub named: (mpsc::Sender<Named>, mpsc::Receiver<Named>),
    /// Who connects to a latent one.
    pub knocks: mpsc::Receiver<Box<Incoming>>,
    /// Who waits for them.
    pub callers: HashMap<TorrentId, Vec<Caller>>,
    /// Latent ones that are to be here some day, or announced.
    pub calls: Calls,
    /// What the listener is to know.
    pub notices: Vec<Notice>,
    /// How they are run, beside what is kept of each.
    pub rest: TorrentOptions,
    /// Others were removed, and their files were to go.
    pub to_erase: Vec<Spec>,
}

/// A few bits of a name at the top of a directory.
pub(super) fn top_bits(name: &[u8]) -> u32 {
    crc32c(name)
}

/// How a session's ledger does.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// What could not be read at the start.
    pub troubles: Arc<[Trouble]>,
    /// Why nothing can be written, while that is so; none without a ledger.
    pub trouble: Option<watch::Receiver<Option<Arc<str>>>>,
}

/// Takes the ledger of a session that is to have one. Waits for the disk, aside.
///
/// # Errors
/// Another session has it, or it cannot be read.
pub(super) async fn take(config: &SessionConfig) -> Result<Option<(Ledger, Restored)>, Error> {
    if !config.ledger {
        return Ok(None);
    }
    let dir = config.state_dir.clone();
    match spawn_blocking(move || Ledger::open(&dir)).await {
        Ok(opened) => Ok(Some(opened?)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What a session begins with, of what its ledger says, if it has one, and of all torrents
/// `together`. Those that come back are run
/// as `rest` says, beside what is kept of each; who connects to a latent one is in `knocks`.
///
/// # Errors
/// The system gives no threads.
pub(super) fn begin(
    kept: Option<(Ledger, Restored)>,
    together: SessionSpec,
    rest: TorrentOptions,
    knocks: mpsc::Receiver<Box<Incoming>>,
) -> Result<((Wanted, Returning), Health), Error> {
    let (ledger, restored) = kept.unzip();
    let Restored { torrents, to_erase, troubles, .. } = restored.unwrap_or_default();
    let next = ledger.as_ref().map_or(Some(TorrentId(1)), Ledger::next_id);
    let keeping = ledger.map(Keeping::start).transpose()?;
    let (tell, read) = mpsc::channel(READ_LEN);
    let mut returning = Returning {
        absent: BTreeMap::new(),
        twins: twins(&torrents),
        tops: BTreeSet::new(),
        read,
        tell: tell.clone(),
        named: mpsc::channel(NAMED_LEN),
        knocks,
        callers: HashMap::new(),
        calls: Calls::new(StdRng::seed_from_u64(rand::random())),
        notices: Vec::new(),
        rest,
        to_erase,
    };
    let mut wanted = Wanted::new(keeping.clone(), next, together);
    let (now, mut absent) = (Instant::now(), Vec::with_capacity(torrents.len()));
    let mut readable = Vec::new();
    for torrent in torrents {
        let stage = returning.stage_of(&torrent);
        if stage == Stage::Read {
            readable.push((torrent.spec.id, swarm_hashes(&torrent.spec).collect()));
        }
        absent.push((torrent.spec.id, Absent::new(torrent.tally, stage, now)));
        wanted.restore(torrent.spec);
    }
    // A tree that is made at once has no free room.
    returning.absent = absent.into_iter().collect();
    let trouble = keeping.as_ref().map(Keeping::trouble);
    if let Some(keeping) = keeping {
        tokio::spawn(read_all(keeping, readable, tell));
    }
    Ok(((wanted, returning), Health { troubles: troubles.into(), trouble }))
}

/// Those that were added again later: what a swarm is known by is that of the last one.
fn twins(torrents: &[RestoredTorrent]) -> BTreeSet<TorrentId> {
    let mut last = HashMap::new();
    for RestoredTorrent { spec, .. } in torrents {
        for hash in swarm_hashes(spec) {
            let id = last.entry(hash).or_insert(spec.id);
            *id = spec.id.max(*id);
        }
    }
    let is_last = |spec: &Spec| swarm_hashes(spec).all(|hash| last.get(&hash) == Some(&spec.id));
    torrents.iter().filter(|it| !is_last(&it.spec)).map(|it| it.spec.id).collect()
}

impl Returning {
    /// What is to be done with one first.
    fn stage_of(&self, RestoredTorrent { spec, has_metadata, .. }: &RestoredTorrent) -> Stage {
        if self.twins.contains(&spec.id) {
            return Stage::Lost("it is there twice, and was added again later".into());
        }
        match (has_metadata, &spec.link) {
            (false, Some(_)) => return Stage::Seeks,
            (false, None) => return Stage::Lost(UNKNOWN.into()),
            (true, _) => {}
        }
        let TorrentOptions { check, found, peers, .. } = &self.rest;
        let nothing_is_asked = *check == CheckMode::Resume && found.is_empty() && peers.is_empty();
        // The hash of one without a v1 half is no name for it.
        let is_named = spec.info_hash.is_some();
        match spec.whole {
            Some(_) if nothing_is_asked && is_named && wants_all(spec) => Stage::Latent,
            _ => Stage::Read,
        }
    }
}

/// Reads the metadata of these torrents, which have these hashes, in this order.
pub(super) async fn read_all(
    keeping: Keeping,
    torrents: Vec<(TorrentId, Vec<InfoHash>)>,
    tell: mpsc::Sender<(TorrentId, Read)>,
) {
    for (id, hashes) in torrents {
        let read = read_one(&keeping, id, hashes).await;
        // Or it was removed meanwhile.
        let read = read.unwrap_or_else(|| Err(UNKNOWN.to_owned()));
        if tell.send((id, read)).await.is_err() {
            return;
        }
    }
}

/// Reads the metadata of a torrent that has these hashes; none when it is not kept.
pub(super) async fn read_one(
    keeping: &Keeping,
    id: TorrentId,
    hashes: Vec<InfoHash>,
) -> Option<Read> {
    match keeping.metadata(id).await.wait().await {
        Ok(Some(bytes)) => Some(aside(move || parse(&bytes, &hashes)).await),
        Ok(None) => None,
        Err(error) => Some(Err(error.to_string())),
    }
}

/// Reads on a thread that may take its time. A panic costs the torrent that it is about.
async fn aside(read: impl FnOnce() -> Read + Send + 'static) -> Read {
    let read = spawn_blocking(read).await;
    read.unwrap_or_else(|_| Err("its metadata cannot be read".to_owned()))
}

/// Reads the metadata of a torrent that has these hashes.
pub(super) fn parse(bytes: &[u8], hashes: &[InfoHash]) -> Read {
    let torrent = Torrent::parse(bytes).map_err(|error| error.to_string())?;
    match torrent.swarm_hashes() == hashes {
        true => Ok(Arc::new(torrent)),
        false => Err("its metadata is that of another torrent".to_owned()),
    }
}

/// What is kept of a torrent whose `.torrent` nobody gave us.
pub(super) fn file_of(torrent: &Torrent) -> Arc<[u8]> {
    wrap_found(torrent.raw_info(), &torrent.trackers, &torrent.web_seeds).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_panics_over_metadata_costs_one_torrent() {
        let read = aside(|| panic!("over what a stranger made")).await;
        assert_eq!(read.unwrap_err(), "its metadata cannot be read");
    }
}

//! Torrents of earlier runs. They are listed at once by what the ledger says of them; then their
//! metadata is read, one after the other in the order of the queue, and each waits for its turn as
//! if it had been added. Nobody looks at the disk of its files before that. One that cannot be read
//! is listed with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::task::Keeping;
use crate::ledger::{Ledger, Restored, RestoredTorrent, SessionSpec, Spec, Tally, Trouble};
use crate::metainfo::Torrent;
use crate::metainfo::create::wrap_found;
use crate::roster::{Flags, Phase, Row};
use crate::torrent::options::TorrentOptions;

use super::config::SessionConfig;
use super::error::Error;
use super::member::row_of;
use super::wanted::{Wanted, swarm_hashes};

/// Metadata that was read before the session takes it in.
const READ_LEN: usize = 16;

/// What was read: the torrent, or why there is none.
pub(super) type Read = Result<Arc<Torrent>, String>;

/// Torrents of earlier runs that are not here yet.
#[derive(Debug)]
pub(super) struct Returning {
    pub absent: BTreeMap<TorrentId, Absent>,
    /// Their metadata comes here.
    pub read: mpsc::Receiver<(TorrentId, Read)>,
    /// How they are run, beside what is kept of each.
    pub rest: TorrentOptions,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Absent {
    /// What it has done.
    pub tally: Tally,
    /// Why it does not come.
    pub trouble: Option<Arc<str>>,
}

impl Absent {
    /// How it is listed.
    pub fn row(&self, spec: &Spec) -> Row {
        let phase = match &self.trouble {
            Some(_) => Phase::Failed,
            None if spec.paused => Phase::Paused,
            None => Phase::Queued,
        };
        let row = row_of(spec, &self.tally, phase);
        Row { flags: row.flags.with(Flags::IN_TROUBLE, self.trouble.is_some()), ..row }
    }
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
/// as `rest` says, beside what is kept of each.
///
/// # Errors
/// The system gives no threads.
pub(super) fn begin(
    kept: Option<(Ledger, Restored)>,
    together: SessionSpec,
    rest: TorrentOptions,
) -> Result<((Wanted, Returning), Health), Error> {
    let (ledger, restored) = kept.unzip();
    let Restored { torrents, troubles, .. } = restored.unwrap_or_default();
    let next = ledger.as_ref().map_or(Some(TorrentId(1)), Ledger::next_id);
    let keeping = ledger.map(Keeping::start).transpose()?;
    let mut wanted = Wanted::new(keeping.clone(), next, together);
    let mut absent = BTreeMap::new();
    let mut readable = Vec::new();
    let mut last = BTreeMap::new();
    for RestoredTorrent { spec, .. } in &torrents {
        for hash in swarm_hashes(spec) {
            let id = last.entry(hash).or_insert(spec.id);
            *id = spec.id.max(*id);
        }
    }
    for torrent in torrents {
        let id = torrent.spec.id;
        let is_last = swarm_hashes(&torrent.spec).all(|hash| last.get(&hash) == Some(&id));
        let trouble = match (is_last, torrent.has_metadata) {
            (false, _) => Some("it is there twice, and was added again later".into()),
            (true, false) => Some("its metadata is not known: remove it, and add it again".into()),
            (true, true) => None,
        };
        if trouble.is_none() {
            readable.push((id, swarm_hashes(&torrent.spec).collect()));
        }
        absent.insert(id, Absent { tally: torrent.tally, trouble });
        wanted.restore(torrent.spec);
    }
    let (tell, read) = mpsc::channel(READ_LEN);
    let trouble = keeping.as_ref().map(Keeping::trouble);
    if let Some(keeping) = keeping {
        tokio::spawn(read_all(keeping, readable, tell));
    }
    let returning = Returning { absent, read, rest };
    Ok(((wanted, returning), Health { troubles: troubles.into(), trouble }))
}

/// Reads the metadata of these torrents, which have these hashes, in this order.
async fn read_all(
    keeping: Keeping,
    torrents: Vec<(TorrentId, Vec<InfoHash>)>,
    tell: mpsc::Sender<(TorrentId, Read)>,
) {
    for (id, hashes) in torrents {
        // It may have been removed meanwhile.
        let Some(read) = read_one(&keeping, id, hashes).await else { continue };
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

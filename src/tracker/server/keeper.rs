//! The table's only owner: a task that takes errands from a bounded queue, one after the other.
//! It waits for nobody: answers go into oneshots, or into a UDP socket that takes them or does
//! not. Not here: what requests and answers look like.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};

use crate::base::ids::InfoHash;
use crate::tracker::catalogue::Catalogue;
use crate::tracker::table::{
    Arrival, SwarmCounts, SwarmTable, TableCounts, TableFull, TableLimits, TablePeer,
};

/// Errands waiting for the table. More than that makes an HTTP client wait and loses
/// datagrams; memory does not grow. A batch of datagrams has some 8 KB.
pub(super) const QUEUE_LEN: usize = 256;

/// Why an announce is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Full(#[from] TableFull),
    #[error("this tracker does not follow that torrent")]
    NotAllowed,
}

impl Refusal {
    /// Minutes after which it may be different (BEP 31): peers of others expire, and lists of
    /// what is followed change.
    pub(super) fn retry_in_min(self) -> u64 {
        match self {
            Self::Full(_) => 5,
            Self::NotAllowed => 30,
        }
    }
}

/// What an announce comes to.
pub(super) struct Announced {
    pub counts: SwarmCounts,
    pub peers: Vec<TablePeer>,
}

/// A swarm for people: how many are in it, and some of them, seeds first.
#[derive(Clone, Debug)]
pub(super) struct SwarmPicture {
    pub info_hash: InfoHash,
    pub counts: SwarmCounts,
    pub peers: Vec<TablePeer>,
}

/// What is asked of the keeper.
pub(super) enum Errand {
    Announce(Arrival, oneshot::Sender<Result<Announced, Refusal>>),
    /// Counts in the order of the question; zeros for what nobody is in.
    Scrape(Vec<InfoHash>, oneshot::Sender<Vec<SwarmCounts>>),
    /// Many questions at once, by who answers them where they came from.
    Batch(Batch),
    /// These swarms, with at most so many peers each and in all.
    Picture {
        of: Vec<InfoHash>,
        peers_each: usize,
        peers: usize,
        answer: Pictures,
    },
    /// The largest swarms, with at most so many peers each.
    Largest {
        most: usize,
        peers_each: usize,
        answer: Pictures,
    },
    Totals(oneshot::Sender<TableCounts>),
    /// Peers who are gone are forgotten also when nobody announces.
    Expire,
}

/// What is done with the table while nobody else has it; it waits for nothing.
pub(super) type Batch = Box<dyn FnOnce(&mut Keeper, Instant) + Send>;

pub(super) type Pictures = oneshot::Sender<Vec<SwarmPicture>>;

/// Which torrents are followed. Neither list: all.
#[derive(Clone)]
pub(super) struct Gate {
    /// Those of the user's list.
    pub listed: Option<watch::Receiver<Arc<HashSet<InfoHash>>>>,
    /// Those that are registered.
    pub catalogue: Option<watch::Receiver<Arc<Catalogue>>>,
}

impl Gate {
    pub(super) fn is_open_for(&self, info_hash: &InfoHash) -> bool {
        if self.listed.is_none() && self.catalogue.is_none() {
            return true;
        }
        let listed = self.listed.as_ref();
        let registered = self.catalogue.as_ref();
        listed.is_some_and(|list| list.borrow().contains(info_hash))
            || registered.is_some_and(|list| list.borrow().find_hash(info_hash).is_some())
    }
}

/// Keeps the table until nobody can send errands any more.
pub(super) async fn keep(
    limits: TableLimits,
    gate: Gate,
    interval_s: u32,
    mut errands: mpsc::Receiver<Errand>,
) {
    let rng = StdRng::from_rng(&mut rand::rng());
    let table = SwarmTable::new(limits, rng, Instant::now());
    let mut keeper = Keeper { table, gate, interval_s };
    // A client that hung up needs no answer.
    while let Some(errand) = errands.recv().await {
        let now = Instant::now();
        match errand {
            Errand::Announce(arrival, answer) => {
                let mut peers = Vec::new();
                let counts = keeper.announce(&arrival, now, |peer| peers.push(peer));
                let _ = answer.send(counts.map(|counts| Announced { counts, peers }));
            }
            Errand::Scrape(info_hashes, answer) => {
                keeper.table.expire(now);
                let _ = answer.send(info_hashes.iter().map(|hash| keeper.counts(hash)).collect());
            }
            Errand::Batch(answer) => answer(&mut keeper, now),
            Errand::Picture { of, peers_each, peers, answer } => {
                keeper.table.expire(now);
                let _ = answer.send(keeper.pictures(of, peers_each, peers));
            }
            Errand::Largest { most, peers_each, answer } => {
                keeper.table.expire(now);
                let _ = answer.send(keeper.largest(most, peers_each));
            }
            Errand::Totals(answer) => {
                keeper.table.expire(now);
                let _ = answer.send(keeper.table.totals());
            }
            Errand::Expire => keeper.table.expire(now),
        }
    }
}

/// The table's counts; none at the end.
pub(super) async fn totals(keeper: &mpsc::Sender<Errand>) -> Option<TableCounts> {
    let (answer, totals) = oneshot::channel();
    keeper.send(Errand::Totals(answer)).await.ok()?;
    totals.await.ok()
}

/// The table, and who may use it.
pub(super) struct Keeper {
    table: SwarmTable,
    gate: Gate,
    /// Seconds between announces that clients are told.
    pub(super) interval_s: u32,
}

impl Keeper {
    pub(super) fn announce(
        &mut self,
        arrival: &Arrival,
        now: Instant,
        give: impl FnMut(TablePeer),
    ) -> Result<SwarmCounts, Refusal> {
        if !self.gate.is_open_for(&arrival.info_hash) {
            return Err(Refusal::NotAllowed);
        }
        Ok(self.table.announce(arrival, now, give)?)
    }

    pub(super) fn counts(&self, info_hash: &InfoHash) -> SwarmCounts {
        self.table.counts(info_hash).unwrap_or_default()
    }

    fn pictures(&self, of: Vec<InfoHash>, each: usize, mut in_all: usize) -> Vec<SwarmPicture> {
        let picture = |info_hash: InfoHash| {
            let peers = self.table.peers(&info_hash, each.min(in_all));
            in_all -= peers.len();
            SwarmPicture { info_hash, counts: self.counts(&info_hash), peers }
        };
        of.into_iter().map(picture).collect()
    }

    fn largest(&self, most: usize, peers_each: usize) -> Vec<SwarmPicture> {
        self.pictures(self.table.largest(most), peers_each, usize::MAX)
    }
}

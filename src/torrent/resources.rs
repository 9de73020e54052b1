//! What a torrent gets from its session, and how it comes into it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::base::ids::{PeerId, TorrentId};
use crate::base::pool::BlockPool;
use crate::dht::task::Dht;
use crate::disk::Disk;
use crate::link::web::Origins;
use crate::link::{DhtEnd, Secrecy};
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::net::portmap::OwnPorts;
use crate::tracker::task::Announcer;

use super::bell::Bell;
use super::command::Order;
use super::places::Account;
use super::share::Share;

/// Peers that a tracker is asked for.
pub(super) const NUMWANT: u32 = 100;

/// What a torrent gets from its session.
#[derive(Clone)]
pub struct Resources {
    /// Our id.
    pub peer_id: PeerId,
    /// The ports we listen on, and what they are outside.
    pub ports: OwnPorts,
    /// Where everything leaves.
    pub egress: Egress,
    /// Whether connections are encrypted.
    pub secrecy: Secrecy,
    /// Where records of verified pieces lie.
    pub state_dir: PathBuf,
    /// All blocks between socket and disk.
    pub pool: BlockPool,
    /// The workers.
    pub disk: Arc<Disk>,
    /// The download limit of the session.
    pub limiter: Arc<Limiter>,
    /// The upload limit of the session.
    pub up_limiter: Arc<Limiter>,
    /// The connections that all torrents may have together.
    pub places: Account,
    /// The connections to servers of files.
    pub origins: Origins,
    /// Announces all torrents to their trackers.
    pub announcer: Announcer,
    /// The DHT, where it runs.
    pub dht: Option<Dht>,
    /// Whether the end of a torrent may take as long as its device needs.
    pub patient: watch::Receiver<bool>,
    /// Leave to wake: however many are knocked at, few open their files at a time.
    pub waking: Arc<Semaphore>,
    /// Rung when searches or places are to be looked at.
    pub bell: Arc<Notify>,
}

impl Resources {
    /// The DHT as links are to know it.
    pub(super) fn dht_end(&self) -> Option<DhtEnd> {
        let ports = self.ports.clone();
        self.dht.as_ref().map(|dht| DhtEnd { ports, nodes: dht.named() })
    }
}

/// Whether a torrent runs when it comes into its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It waits until its turn comes.
    Waits,
    /// If there is nothing to do, it sleeps and needs no turn; otherwise it waits for it.
    Rests,
    /// It starts at once.
    Begins,
    /// If there is nothing to do, it sleeps until somebody wants something of it.
    Sleeps,
}

/// How a torrent comes into its session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub id: TorrentId,
    /// Whether it runs.
    pub turn: Turn,
    /// The connections that it may have.
    pub places: Account,
    /// Rung when the session is to look at it.
    pub bell: Bell,
    /// Payload sent in earlier runs.
    pub uploaded_before_bytes: u64,
    /// Its record of verified pieces, by [`record_of`](crate::disk::record_of); looked for when it
    /// is first needed where that was not done.
    pub record: Option<PathBuf>,
    /// Where orders go that set something.
    pub orders: mpsc::Sender<Order>,
    /// Blocks of the pool that its open pieces may hold; changes as torrents come and go.
    pub share: Share,
}

//! What a torrent and the announcer say to each other.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::oneshot;

use crate::tracker::tiers::status::TrackerStatus;
use crate::tracker::tiers::{ManualAnnounce, Standing};

/// Figures of the torrent that trackers are told, or that decide when to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransferStats {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received whose pieces were right.
    pub downloaded: u64,
    /// Payload bytes received whose pieces were wrong.
    pub corrupt: u64,
    /// Payload bytes received twice, or unasked.
    pub redundant: u64,
    /// Bytes of the torrent missing, wanted or not; not 0 while a magnet's size is unknown, or
    /// trackers count a seed.
    pub left: u64,
    /// Wanted bytes missing.
    pub wanted_left: u64,
    /// Live links.
    pub peers_connected: usize,
    /// Links that serve us or may.
    pub working_peers: usize,
    /// The user paused the torrent: trackers are told that it has left, until it goes on.
    pub is_paused: bool,
}

impl TransferStats {
    pub(super) fn standing(&self) -> Standing {
        match (self.left, self.wanted_left) {
            (0, _) => Standing::Seed,
            (_, 0) => Standing::PartialSeed,
            _ => Standing::Leech,
        }
    }
}

/// Orders from the torrent.
#[derive(Debug)]
pub enum TrackerCommand {
    /// The user wants an announce now; the answer says whether it may be.
    Announce(oneshot::Sender<ManualAnnounce>),
    /// The last piece of the whole torrent has been verified. Told again after pieces were
    /// lost, it makes no second event.
    Completed,
    /// The user looks at the trackers: scrape those whose numbers are old or not known.
    Scrape,
}

/// News for the torrent. Texts are unescaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackerEvent {
    /// Peers that may be dialled.
    Peers {
        /// Usable addresses.
        addresses: Vec<SocketAddr>,
    },
    /// This tracker of a private torrent has answered; its peers follow, if it named any.
    PrivateAnswered(String),
    /// A tracker warns; the announce counts.
    Warning {
        /// The tracker.
        url: String,
        /// Its words.
        text: String,
    },
    /// An announce failed.
    Failure {
        /// The tracker.
        url: String,
        /// Why.
        text: String,
    },
    /// Our address, as a tracker sees it (BEP 24).
    ExternalIp(IpAddr),
    /// How all trackers stand, whenever that changes.
    Status(Vec<TrackerStatus>),
}

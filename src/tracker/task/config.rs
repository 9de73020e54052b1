//! What announces are made with: of a session, and of a torrent.

use std::time::Duration;

use crate::base::ids::{InfoHash, PeerId};
use crate::net::portmap::OwnPorts;
use crate::tracker::tiers::Timing;

use super::fetch::{HttpClient, NetworkTiming};
use super::udp::UdpClient;

/// What all torrents of a session announce with.
pub struct AnnouncerConfig {
    /// Our id.
    pub peer_id: PeerId,
    /// Our ports, of which each tracker is told the one by which its peers reach us; when that is
    /// another one, all are told.
    pub ports: OwnPorts,
    /// We take encrypted connections, which HTTP trackers are told.
    pub supports_crypto: bool,
    /// We take no others.
    pub requires_crypto: bool,
    /// For HTTP trackers.
    pub client: HttpClient,
    /// For UDP trackers; with none they are asked over own sockets.
    pub udp: Option<UdpClient>,
    /// Times of the announces.
    pub timing: Timing,
    /// Times of the network.
    pub network: NetworkTiming,
    /// Failures and warnings of one tracker of a torrent are reported once in this time.
    pub quiet: Duration,
}

/// What a torrent announces with.
pub struct TrackerConfig {
    /// The announce list.
    pub tiers: Vec<Vec<String>>,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Random, the same for the life of the torrent (BEP 7).
    pub key: u32,
    /// Peers to ask for, while anybody hears of them.
    pub numwant: u32,
    /// BEP 27: peers of these trackers may not be passed on.
    pub is_private: bool,
    /// Whether the whole torrent was here once: `completed` is never told then.
    pub was_complete: bool,
    /// Random; shuffles the tiers and spreads the intervals.
    pub rng_seed: u64,
}

/// [`AnnouncerConfig::quiet`] outside of tests.
pub const QUIET_DEFAULT: Duration = Duration::from_secs(300);

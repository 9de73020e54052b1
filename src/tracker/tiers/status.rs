//! What a user sees of a tracker. Texts from the tracker inside are unescaped; who prints them
//! escapes them.

use std::fmt;
use std::time::Instant;

/// Snapshot of one tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerStatus {
    /// Announce URL as the torrent has it.
    pub url: String,
    /// Tier, counted from 0.
    pub tier: usize,
    /// How it stands.
    pub state: TrackerState,
    /// Seeds in the swarm, as last told.
    pub seeds: Option<u64>,
    /// Leeches in the swarm, as last told.
    pub leeches: Option<u64>,
    /// Times the torrent has been downloaded completely, as last told in a scrape.
    pub downloaded: Option<u64>,
    /// When those numbers were asked for or told.
    pub counted_at: Option<Instant>,
    /// Peers in the last reply.
    pub peers: Option<usize>,
    /// When its turn comes by itself.
    pub next_announce_at: Option<Instant>,
    /// Why the last announce failed.
    pub last_error: Option<String>,
    /// The tracker's warning in its last reply.
    pub warning: Option<String>,
}

/// How a tracker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackerState {
    /// Its protocol is one we do not speak.
    NotSupported,
    /// There was no need for it yet.
    NotAsked,
    /// An announce is on its way.
    Announcing,
    /// The last announce was answered.
    Working,
    /// So many announces in a row failed.
    Failing(u32),
    /// It told us never to come back (BEP 31).
    GaveUp,
}

impl fmt::Display for TrackerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("not supported yet"),
            Self::NotAsked => f.write_str("not asked yet"),
            Self::Announcing => f.write_str("announcing"),
            Self::Working => f.write_str("working"),
            Self::Failing(1) => f.write_str("failed"),
            Self::Failing(fails) => write!(f, "failed {fails} times"),
            Self::GaveUp => f.write_str("told us never to retry"),
        }
    }
}

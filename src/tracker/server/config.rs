//! How the embedded tracker behaves: what its operator may choose.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::ids::InfoHash;
use crate::tracker::table::TableLimits;

/// How the tracker behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Seconds between announces that clients are told.
    pub interval_s: u32,
    /// Seconds clients have to leave between announces, if any.
    pub min_interval_s: Option<u32>,
    /// Bounds of its memory.
    pub limits: TableLimits,
    /// Torrents that are followed; none for all. The list may change.
    pub allowed: Option<watch::Receiver<Arc<HashSet<InfoHash>>>>,
    /// Torrents of the catalogue are followed, others only when `allowed` names them.
    pub allow_catalogue: bool,
    /// How old numbers, page and list may be that people are shown.
    pub shown_for: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            interval_s: 1800,
            min_interval_s: None,
            limits: TableLimits::default(),
            allowed: None,
            allow_catalogue: false,
            shown_for: Duration::from_secs(1),
        }
    }
}

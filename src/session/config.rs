//! What torrents of a session share, as the user chose it. Values only.

use std::net::IpAddr;
use std::path::PathBuf;

use super::memory::Memory;

/// What torrents of a session share.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Port to listen on; none tries 6881 to 6889 and then any; 0 is any.
    pub port: Option<u16>,
    /// Take connections at all? Without, `port` means nothing.
    pub listen: bool,
    /// Address to listen on and dial from; both families when none.
    pub bind: Option<IpAddr>,
    /// Where resume data lies, made when missing.
    pub state_dir: PathBuf,
    /// How much memory each part may hold.
    pub memory: Memory,
    /// Download limit of all torrents together, in bytes per second.
    pub download_limit: Option<u64>,
    /// Upload limit of all torrents together, in bytes per second.
    pub upload_limit: Option<u64>,
    /// Torrents that check and download at once; further ones wait in the queue.
    pub max_active: usize,
}

impl SessionConfig {
    /// Torrents downloading at once when nothing else is asked for, as Transmission and aria2
    /// have it: enough to fill a line, few enough that the first ones are soon complete.
    pub const MAX_ACTIVE: usize = 5;
}

//! What torrents of a session share, as the user chose it. Values only.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::base::units::BLOCK_LEN;

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
    /// Bytes of blocks between socket and disk.
    pub pool_bytes: usize,
    /// Download limit of all torrents together, in bytes per second.
    pub download_limit: Option<u64>,
    /// Upload limit of all torrents together, in bytes per second.
    pub upload_limit: Option<u64>,
    /// Torrents that check and download at once; further ones wait in the queue.
    pub max_active: usize,
}

impl SessionConfig {
    /// Bytes of blocks held when nothing else is asked for: enough for a full set of hash
    /// lanes of 1 MiB pieces, and as much again to receive into.
    pub const POOL_BYTES: usize = 2560 * BLOCK_LEN;

    /// Torrents downloading at once when nothing else is asked for, as Transmission and aria2
    /// have it: enough to fill a line, few enough that the first ones are soon complete.
    pub const MAX_ACTIVE: usize = 5;
}

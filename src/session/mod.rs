//! All torrents of a process and what they share: the listening port, the block pool, the
//! disk workers, the HTTP client. One torrent for now.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::base::units::BLOCK_LEN;

/// What torrents of a session share.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Port to listen on; none tries 6881 to 6889 and then any; 0 is any.
    pub port: Option<u16>,
    /// Address to listen on and dial from; both families when none.
    pub bind: Option<IpAddr>,
    /// Where resume data lies, made when missing.
    pub state_dir: PathBuf,
    /// Bytes of blocks between socket and disk.
    pub pool_bytes: usize,
    /// Download limit in bytes per second.
    pub download_limit: Option<u64>,
}

impl SessionConfig {
    /// Bytes of blocks held when nothing else is asked for: enough for a full set of hash
    /// lanes of 1 MiB pieces, and as much again to receive into.
    pub const POOL_BYTES: usize = 2560 * BLOCK_LEN;
}

/// What to do about data that is on disk already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CheckMode {
    /// Trust the record of verified pieces where the files fit it; check what it does not
    /// cover.
    #[default]
    Resume,
    /// Look at every byte (`--check`).
    Force,
    /// Ignore the record (`--no-resume`); existing files are looked at all the same.
    NoResume,
}

/// How files get their space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocate {
    /// Grow as data comes.
    None,
    /// Full length at once, without blocks on disk.
    #[default]
    Sparse,
    /// Full length and all blocks on disk.
    Full,
}

/// How to run one torrent.
#[derive(Clone, Debug)]
pub struct TorrentOptions {
    /// Directory that the torrent's files go under.
    pub dir: PathBuf,
    /// Which files are wanted, by their position in the torrent; all when none.
    pub wanted_files: Option<Vec<bool>>,
    /// Peers named by the user.
    pub peers: Vec<SocketAddr>,
    /// Trackers named by the user, each a tier of its own before the torrent's.
    pub extra_trackers: Vec<String>,
    /// Ask trackers at all?
    pub use_trackers: bool,
    /// About data on disk.
    pub check: CheckMode,
    /// Use existing files that differ.
    pub overwrite: bool,
    /// File allocation.
    pub allocate: Allocate,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// Most connected peers.
    pub max_peers: usize,
}

//! How to run one torrent: what the user may choose. Values only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::disk::Allocate;

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

/// A piece that need not be fetched. It counts only when its hash is right.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub piece: u32,
    /// Its bytes.
    pub bytes: FoundBytes,
}

/// Where the bytes of a piece lie.
#[derive(Clone, Debug)]
pub enum FoundBytes {
    /// In memory.
    Memory(Arc<[u8]>),
    /// They are all of this file.
    File(PathBuf),
}

/// When a complete torrent has seeded enough: at whichever limit comes first, never without.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SeedLimits {
    /// Bytes sent in its life for each byte that it has.
    pub ratio: Option<f64>,
    /// Time since it was complete in this run.
    pub time: Option<Duration>,
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
    /// A disk that is not there at the start is waited for; otherwise the torrent is not taken.
    pub waits_for_disk: bool,
    /// Fail before the first dial when nothing may be written, or there is no room for what is
    /// missing; otherwise it shows when the first piece is written, and is waited for.
    pub checks_room: bool,
    /// File allocation.
    pub allocate: Allocate,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// Pieces that are at hand already, elsewhere than in the torrent's files.
    pub found: Vec<Found>,
    /// Most connected peers.
    pub max_peers: usize,
    /// How long to seed.
    pub seeding: SeedLimits,
    /// Never download: fail when something wanted is missing.
    pub seed_only: bool,
}

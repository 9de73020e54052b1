//! How to run one torrent: what the user may choose. Values only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::file_priority::FilePriority;

pub use crate::disk::Allocate;

pub use super::sources::{NamedBy, WebSeed};

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

impl Found {
    /// Its bytes, if somebody sent them; 0 of a file.
    pub fn fetched_bytes(&self) -> u64 {
        match &self.bytes {
            FoundBytes::Memory(bytes) => bytes.len() as u64,
            FoundBytes::File(_) => 0,
        }
    }
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
    /// Time since it was complete, rests included: in this run, and what a ledger says that it
    /// seeded in earlier ones.
    pub time: Option<Duration>,
}

/// What of the options may change at any time, beside limits and the choice of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conduct {
    /// Ask trackers at all?
    pub use_trackers: bool,
    /// Fetch from the servers that the torrent names?
    pub use_web_seeds: bool,
    /// Take a seat in the DHT, unless the torrent is private?
    pub use_dht: bool,
    /// Peers tell each other of others (BEP 11), unless the torrent is private.
    pub exchange_peers: bool,
    /// Most connected peers.
    pub max_peers: usize,
    /// Most peers that are served at once; as many as the upload limit suggests when none.
    pub max_uploads: Option<usize>,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// The first and the last piece of each wanted file before all others.
    pub ends_first: bool,
}

/// How to run one torrent. Begin with the default, and say what is to be otherwise:
/// `TorrentOptions::default().dir("downloads").sequential(true)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TorrentOptions {
    /// Directory that the torrent's files go under; `downloads` where nothing else is said.
    pub dir: PathBuf,
    /// Which files are wanted, by their position in the torrent; all when none.
    pub wanted_files: Option<Vec<bool>>,
    /// How much each file is wanted, likewise; where it is given, `wanted_files` means nothing.
    pub file_priorities: Option<Vec<FilePriority>>,
    /// Peers named by the user.
    pub peers: Vec<SocketAddr>,
    /// Trackers named by the user, each a tier of its own before the torrent's.
    pub extra_trackers: Vec<String>,
    /// All trackers by tier, where others are wanted than those and the torrent's.
    pub trackers: Option<Arc<[Vec<String>]>>,
    /// Ask trackers at all?
    pub use_trackers: bool,
    /// Servers of its files, besides those that the torrent names.
    pub web_seeds: Vec<WebSeed>,
    /// Fetch from the servers that the torrent names?
    pub use_web_seeds: bool,
    /// Take a seat in the DHT, where the session has one and the torrent is not private?
    pub use_dht: bool,
    /// Tell the local network of it (BEP 14), and hear of peers there, likewise?
    pub use_lsd: bool,
    /// About data on disk.
    pub check: CheckMode,
    /// Use existing files that differ.
    pub overwrite: bool,
    /// A disk that is not there at the start is waited for; otherwise the torrent is not taken.
    pub waits_for_disk: bool,
    /// Fail before the first dial when nothing may be written, or there is no room for what is
    /// missing; otherwise that is told then, and waited for once it keeps a piece from its place.
    pub checks_room: bool,
    /// It goes below `dir` also where its files were moved to another directory from there in a
    /// life that is over; those stay, and are none of its.
    pub begins_in_dir: bool,
    /// File allocation.
    pub allocate: Allocate,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// The first and the last piece of each wanted file before all others.
    pub ends_first: bool,
    /// Pieces that are at hand already, elsewhere than in the torrent's files.
    pub found: Vec<Found>,
    /// Most connected peers.
    pub max_peers: usize,
    /// Most peers that are served at once; as many as the upload limit suggests when none.
    pub max_uploads: Option<usize>,
    /// Peers tell each other of others (BEP 11), unless the torrent is private.
    pub exchange_peers: bool,
    /// How long to seed.
    pub seeding: SeedLimits,
    /// Never download: fail when something wanted is missing.
    pub seed_only: bool,
    /// Rest until it is told to go on.
    pub paused: bool,
    /// Download limit of its own, bytes per second.
    pub download_limit: Option<u64>,
    /// Upload limit of its own, bytes per second.
    pub upload_limit: Option<u64>,
    /// What its user sorts it under.
    pub labels: Vec<String>,
    /// What lists are to call it, if not by its own name.
    pub shown_name: Option<String>,
    /// Bytes of it that another program has sent before, for the ratio. What is kept of it counts
    /// where that is more.
    pub sent_before: u64,
    /// The bytes of its `.torrent`, for a session that keeps its torrents. Where they are not
    /// given, what is known of the torrent is kept.
    pub file: Option<Arc<[u8]>>,
}

impl Default for TorrentOptions {
    /// Everything is fetched into `downloads` with the help of its trackers, and seeded without
    /// end.
    fn default() -> Self {
        Self {
            dir: "downloads".into(),
            wanted_files: None,
            file_priorities: None,
            peers: Vec::new(),
            extra_trackers: Vec::new(),
            trackers: None,
            use_trackers: true,
            web_seeds: Vec::new(),
            use_web_seeds: true,
            use_dht: true,
            use_lsd: true,
            check: CheckMode::default(),
            overwrite: false,
            waits_for_disk: false,
            checks_room: true,
            begins_in_dir: false,
            allocate: Allocate::default(),
            sequential: false,
            ends_first: false,
            found: Vec::new(),
            max_peers: Self::MAX_PEERS,
            max_uploads: None,
            exchange_peers: true,
            seeding: SeedLimits::default(),
            seed_only: false,
            paused: false,
            download_limit: None,
            upload_limit: None,
            labels: Vec::new(),
            shown_name: None,
            sent_before: 0,
            file: None,
        }
    }
}

impl TorrentOptions {
    /// Most connected peers when nothing else is asked for.
    pub const MAX_PEERS: usize = 80;

    /// Directory that the torrent's files go under.
    pub fn dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..self }
    }

    /// Which files are wanted, by their position in the torrent; all when none.
    pub fn wanted_files(self, wanted: impl Into<Option<Vec<bool>>>) -> Self {
        Self { wanted_files: wanted.into(), ..self }
    }

    /// How much each file is wanted, by their position in the torrent.
    pub fn file_priorities(self, priorities: impl Into<Option<Vec<FilePriority>>>) -> Self {
        Self { file_priorities: priorities.into(), ..self }
    }

    /// How much each of so many files is wanted.
    pub(super) fn files(&self, count: usize) -> Vec<FilePriority> {
        let chosen = |wanted: &bool| FilePriority::default().chosen(*wanted);
        match (&self.file_priorities, &self.wanted_files) {
            (Some(priorities), _) => priorities.clone(),
            (None, Some(wanted)) => wanted.iter().map(chosen).collect(),
            (None, None) => vec![FilePriority::default(); count],
        }
    }

    /// What of it may change at any time.
    pub fn conduct(&self) -> Conduct {
        Conduct {
            use_trackers: self.use_trackers,
            use_web_seeds: self.use_web_seeds,
            use_dht: self.use_dht,
            exchange_peers: self.exchange_peers,
            max_peers: self.max_peers,
            max_uploads: self.max_uploads,
            sequential: self.sequential,
            ends_first: self.ends_first,
        }
    }

    /// Peers to dial beside those that trackers name.
    pub fn peers(self, peers: Vec<SocketAddr>) -> Self {
        Self { peers, ..self }
    }

    /// Trackers beside the torrent's, asked before those.
    pub fn extra_trackers(self, urls: Vec<String>) -> Self {
        Self { extra_trackers: urls, ..self }
    }

    /// All trackers by tier, in the place of those and the torrent's.
    pub fn trackers(self, tiers: impl Into<Option<Arc<[Vec<String>]>>>) -> Self {
        Self { trackers: tiers.into(), ..self }
    }

    /// Whether to ask trackers at all.
    pub fn use_trackers(self, use_trackers: bool) -> Self {
        Self { use_trackers, ..self }
    }

    /// Servers of its files, besides those that the torrent names.
    pub fn web_seeds(self, web_seeds: Vec<WebSeed>) -> Self {
        Self { web_seeds, ..self }
    }

    /// Whether to fetch from the servers that the torrent names.
    pub fn use_web_seeds(self, use_web_seeds: bool) -> Self {
        Self { use_web_seeds, ..self }
    }

    /// Whether to take a seat in the DHT.
    pub fn use_dht(self, use_dht: bool) -> Self {
        Self { use_dht, ..self }
    }

    /// Whether to look for peers in the local network.
    pub fn use_lsd(self, use_lsd: bool) -> Self {
        Self { use_lsd, ..self }
    }

    /// What to do about data that is on disk already.
    pub fn check(self, check: CheckMode) -> Self {
        Self { check, ..self }
    }

    /// Whether existing files that differ are used.
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Whether a disk that is not there at the start is waited for.
    pub fn waits_for_disk(self, waits: bool) -> Self {
        Self { waits_for_disk: waits, ..self }
    }

    /// Whether to fail at once when nothing may be written, or there is no room.
    pub fn checks_room(self, checks: bool) -> Self {
        Self { checks_room: checks, ..self }
    }

    /// Whether it goes below its directory, wherever it was moved to from there in a life that is
    /// over.
    pub fn begins_in_dir(self, begins: bool) -> Self {
        Self { begins_in_dir: begins, ..self }
    }

    /// How files get their space.
    pub fn allocate(self, allocate: Allocate) -> Self {
        Self { allocate, ..self }
    }

    /// Whether pieces come in order instead of rarest first.
    pub fn sequential(self, sequential: bool) -> Self {
        Self { sequential, ..self }
    }

    /// Whether the first and the last piece of each wanted file come before all others.
    pub fn ends_first(self, ends_first: bool) -> Self {
        Self { ends_first, ..self }
    }

    /// Pieces that are at hand already.
    pub fn found(self, found: Vec<Found>) -> Self {
        Self { found, ..self }
    }

    /// Most connected peers.
    pub fn max_peers(self, count: usize) -> Self {
        Self { max_peers: count, ..self }
    }

    /// Most peers that are served at once.
    pub fn max_uploads(self, count: impl Into<Option<usize>>) -> Self {
        Self { max_uploads: count.into(), ..self }
    }

    /// Whether peers tell each other of others (BEP 11), unless the torrent is private.
    pub fn exchange_peers(self, exchange: bool) -> Self {
        Self { exchange_peers: exchange, ..self }
    }

    /// How long to seed.
    pub fn seeding(self, seeding: SeedLimits) -> Self {
        Self { seeding, ..self }
    }

    /// Whether to fail, rather than to download, when something wanted is missing.
    pub fn seed_only(self, seed_only: bool) -> Self {
        Self { seed_only, ..self }
    }

    /// Whether to rest until it is told to go on.
    pub fn paused(self, paused: bool) -> Self {
        Self { paused, ..self }
    }

    /// Download limit of its own, in bytes per second.
    pub fn download_limit(self, limit: impl Into<Option<u64>>) -> Self {
        Self { download_limit: limit.into(), ..self }
    }

    /// Upload limit of its own, in bytes per second.
    pub fn upload_limit(self, limit: impl Into<Option<u64>>) -> Self {
        Self { upload_limit: limit.into(), ..self }
    }

    /// What its user sorts it under.
    pub fn labels(self, labels: Vec<String>) -> Self {
        Self { labels, ..self }
    }

    /// What lists are to call it, if not by its own name.
    pub fn shown_name(self, name: impl Into<Option<String>>) -> Self {
        Self { shown_name: name.into(), ..self }
    }

    /// Bytes of it that another program has sent before, for the ratio.
    pub fn sent_before(self, sent_before: u64) -> Self {
        Self { sent_before, ..self }
    }

    /// The bytes of its `.torrent`, for a session that keeps its torrents.
    pub fn file(self, file: impl Into<Arc<[u8]>>) -> Self {
        Self { file: Some(file.into()), ..self }
    }
}

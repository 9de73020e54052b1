//! A torrent in a list, and closely. Values only. Bytes are bytes, rates bytes a second, times
//! seconds since 1970. Names and texts are those of strangers, and not escaped.

use serde::{Deserialize, Serialize};

use crate::base::file_priority::FilePriority;
use crate::roster::Phase;
use crate::tracker::tiers::status::TrackerState;

/// What a torrent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Looking at data that is already on disk.
    #[default]
    Checking,
    /// Its files are on their way to another place.
    Moving,
    /// Waiting for its turn.
    Queued,
    /// Asking peers for its metadata, of which only the hash is known.
    Seeking,
    /// Fetching.
    Downloading,
    /// Complete, and whoever wants it gets it.
    Seeding,
    /// Complete, and seeded as long as was asked for.
    Finished,
    /// Resting, as its user wants.
    Paused,
    /// On its way to the end.
    Stopping,
    /// Its disk fails; tried again by itself.
    DiskTrouble,
    /// It cannot go on.
    Failed,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Checking,
        Self::Moving,
        Self::Queued,
        Self::Seeking,
        Self::Downloading,
        Self::Seeding,
        Self::Finished,
        Self::Paused,
        Self::Stopping,
        Self::DiskTrouble,
        Self::Failed,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Moving => "moving",
            Self::Queued => "queued",
            Self::Seeking => "seeking",
            Self::Downloading => "downloading",
            Self::Seeding => "seeding",
            Self::Finished => "finished",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::DiskTrouble => "disk_trouble",
            Self::Failed => "failed",
        }
    }
}

impl From<Phase> for State {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Checking => Self::Checking,
            Phase::Moving => Self::Moving,
            Phase::Queued => Self::Queued,
            Phase::Seeking => Self::Seeking,
            Phase::Downloading => Self::Downloading,
            Phase::Complete => Self::Seeding,
            Phase::Finished => Self::Finished,
            Phase::Paused => Self::Paused,
            Phase::Stopping => Self::Stopping,
            Phase::DiskTrouble => Self::DiskTrouble,
            Phase::Failed => Self::Failed,
        }
    }
}

/// Limits in bytes a second; none is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// On what is received.
    pub down: Option<u64>,
    /// On what is sent.
    pub up: Option<u64>,
}

impl From<crate::ledger::Limits> for Limits {
    fn from(crate::ledger::Limits { down, up }: crate::ledger::Limits) -> Self {
        Self { down, up }
    }
}

/// A torrent in a list.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Torrent {
    /// Its number, which no other one ever gets.
    pub id: u32,
    /// Its hash in hex (BEP 3), where it has one.
    pub hash: Option<String>,
    /// Its other hash in hex (BEP 52), where it has one.
    pub hash_v2: Option<String>,
    /// Its metadata is known: not of a link, before peers have given it.
    pub metadata: bool,
    /// What it is called: by its user, or else by itself; its hash where neither is known.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// What is wrong with it, if anything is.
    pub trouble: Option<String>,
    /// Bytes of the files that are wanted; 0 as long as its metadata is not known.
    pub wanted_bytes: u64,
    /// Those of them that are verified and written.
    pub done_bytes: u64,
    /// That as a share, 0 to 1.
    pub progress: f64,
    /// Bytes of all its files; 0 before that is known.
    pub size: u64,
    /// How many files it has; 0 before that is known.
    pub files: u32,
    /// Bytes of all files that are missing, wanted or not.
    pub missing_bytes: u64,
    /// Share of its data that was looked at, while it is checked.
    pub checked: Option<f64>,
    /// What it receives.
    pub down_rate: u64,
    /// What it sends.
    pub up_rate: u64,
    /// Seconds until the rest is here, at its present rate.
    pub left_s: Option<u64>,
    /// What it has received in its life.
    pub received_bytes: u64,
    /// What it has sent in its life.
    pub sent_bytes: u64,
    /// What was sent for each byte of the wanted files.
    pub ratio: f64,
    /// Connected peers.
    pub peers: u32,
    /// Those of them that have everything.
    pub seeds: u32,
    /// Peers that sent something in the last seconds.
    pub sending: u32,
    /// Peers that something is sent to.
    pub receiving: u32,
    /// Its own limits.
    pub limits: Limits,
    /// What its user and rules sort it under.
    pub labels: Vec<String>,
    /// Hosts of its trackers in lower case, each once; none while they are not known.
    pub trackers: Option<Vec<String>>,
    /// Directory that its files are under.
    pub dir: String,
    /// Its user has it rest.
    pub paused: bool,
    /// Only its trackers name peers (BEP 27).
    pub private: bool,
    /// Nothing of it runs; it is woken when somebody wants something of it.
    pub asleep: bool,
    /// Where it stands in the queue: lower texts come first.
    pub place: String,
    /// When it was added.
    pub added_at: u64,
    /// When everything wanted was here first.
    pub completed_at: Option<u64>,
    /// When anything was received or sent last.
    pub active_at: Option<u64>,
    /// Seconds of its life that it neither rested nor waited. That it goes on is no change of
    /// which lists tell.
    pub active_s: u64,
    /// Seconds of them with everything that is wanted, likewise.
    pub seeding_s: u64,
    /// It has seeded enough when it has sent so many times its size.
    pub seed_ratio: Option<f64>,
    /// It has seeded enough after so many seconds.
    pub seed_time_s: Option<u64>,
    /// Pieces are fetched in order.
    pub sequential: bool,
    /// The first and the last piece of each wanted file are fetched before all others.
    pub ends_first: bool,
    /// What its file or folder is called, where that is known and not `name`. Written nowhere.
    #[serde(skip)]
    pub own_name: Option<Box<str>>,
    /// Its user gave it a name, and what its file or folder is called is not known here, but by
    /// [`Facts::first_file`]; likewise.
    #[serde(skip)]
    pub is_own_name_unknown: bool,
    /// Another number whenever its files have got other names, likewise.
    #[serde(skip)]
    pub names: u32,
}

/// A torrent closely.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Details {
    /// As lists show it.
    #[serde(flatten)]
    pub torrent: Torrent,
    /// Its pieces, and those that are verified; 0 before that is known.
    pub pieces: u32,
    /// Those that are verified.
    pub pieces_done: u32,
    /// Bytes received in vain in this run.
    pub wasted_bytes: u64,
    /// How often a piece was wrong.
    pub hash_failures: u32,
    /// Addresses known.
    pub peers_known: u32,
    /// Servers of its files that there are connections to.
    pub sources: u32,
    /// All servers of its files.
    pub sources_known: u32,
    /// Most connected peers; as many as others have when none.
    pub peers_max: Option<u32>,
    /// Trackers that its user named.
    pub extra_trackers: Vec<String>,
    /// Bytes looked at so far, while it is checked.
    pub checked_bytes: u64,
    /// Bytes to look at.
    pub to_check_bytes: u64,
    /// Bytes copied so far, while its files move.
    pub moved_bytes: u64,
    /// Bytes to copy.
    pub to_move_bytes: u64,
    /// How far the search for its metadata is, in words, while that is sought.
    pub search: Option<String>,
}

/// A file of a torrent; pad files are none.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct File {
    /// Its number, from 1.
    pub number: u32,
    /// Its path below the torrent's directory.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Those of its pieces that are verified, as a share of its bytes.
    pub progress: f64,
    /// Is it wanted?
    pub wanted: bool,
    /// How much.
    pub priority: Priority,
    /// The first piece with a byte of it.
    pub begin_piece: u32,
    /// The piece behind the last one; the first, of a file without bytes.
    pub end_piece: u32,
}

/// What a torrent says of itself, and which of its pieces are here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Its pieces.
    pub pieces: u32,
    /// Bytes of a piece, but for the last one.
    pub piece_length: u32,
    /// Which pieces are verified, a bit each, in base64: the first is the highest bit of the first
    /// byte. None of a torrent that was not opened yet.
    pub have: String,
    /// What its maker says.
    pub comment: Option<String>,
    /// The program that it was made with.
    pub creator: Option<String>,
    /// When it was made; before 1970 it is negative.
    pub created_at: Option<i64>,
    /// Only its trackers name peers (BEP 27).
    pub private: bool,
    /// It is one file without a folder around.
    pub single: bool,
    /// The path of its first file below the torrent's directory, as it is called now.
    pub first_file: String,
    /// Its trackers by tier: first those that its user named, then its own.
    pub trackers: Vec<Vec<String>>,
    /// Servers of its files: first those that its user named, then its own.
    pub web_seeds: Vec<String>,
    /// A magnet link for it.
    pub magnet: String,
}

/// Which pieces of a torrent are here, and how many peers have each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pieces {
    /// Its pieces.
    pub pieces: u32,
    /// Bytes of a piece, but for the last one.
    pub piece_length: u32,
    /// Which are verified, as [`Facts::have`] says it.
    pub have: String,
    /// How many connected peers have each, a byte a piece in base64, 255 where more do; none
    /// while it is not connected to any.
    pub copies: Option<String>,
}

/// How much a file is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Not at all.
    Off,
    /// Behind others.
    Low,
    /// As most are.
    Normal,
    /// Before others.
    High,
}

impl From<FilePriority> for Priority {
    fn from(priority: FilePriority) -> Self {
        match priority {
            FilePriority::Off => Self::Off,
            FilePriority::Low => Self::Low,
            FilePriority::Normal => Self::Normal,
            FilePriority::High => Self::High,
        }
    }
}

/// A peer of a torrent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its address and port.
    pub address: String,
    /// What it calls itself.
    pub client: String,
    /// Is it connected?
    pub connected: bool,
    /// It connected to us.
    pub incoming: bool,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// Share of the pieces that it has, 0 to 1.
    pub progress: f64,
    /// What comes from it.
    pub down_rate: u64,
    /// What goes to it.
    pub up_rate: u64,
    /// What has come from it.
    pub received_bytes: u64,
    /// What has gone to it.
    pub sent_bytes: u64,
    /// It lets us have nothing.
    pub choking: bool,
    /// We let it have nothing.
    pub choked: bool,
    /// It has what we lack.
    pub interesting: bool,
    /// It wants what we have.
    pub interested: bool,
    /// Who named it, if that is known still: `user`, `listing`, `incoming`, `tracker`,
    /// `local`, `dht`, `exchange`.
    pub source: Option<String>,
    /// It let requests time out.
    #[serde(default)]
    pub snubbed: bool,
    /// What hides the connection: `rc4`, or `plaintext` where only its handshake was hidden.
    #[serde(default)]
    pub encryption: Option<String>,
    /// It was banned for wrong data.
    pub banned: bool,
    /// Why the last connection ended.
    pub error: Option<String>,
    /// Seconds since that, if it ever stood.
    #[serde(default)]
    pub left_s: Option<u64>,
}

/// A tracker of a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tracker {
    /// Its URL.
    pub url: String,
    /// Its tier, from 1.
    pub tier: usize,
    /// How it stands, in words.
    pub state: String,
    /// Seeds that it counts.
    pub seeds: Option<u64>,
    /// Leeches that it counts.
    pub leeches: Option<u64>,
    /// Peers in its last reply.
    pub peers: Option<usize>,
    /// Seconds until it is asked again.
    pub next_in_s: Option<u64>,
    /// Why it failed last.
    pub error: Option<String>,
    /// What it warned of last.
    pub warning: Option<String>,
}

impl Tracker {
    /// One that nobody asks, of the tier with this number, from 0.
    pub fn unasked(url: &str, tier: usize) -> Self {
        Self {
            url: url.to_owned(),
            tier: tier + 1,
            state: TrackerState::NotAsked.to_string(),
            seeds: None,
            leeches: None,
            peers: None,
            next_in_s: None,
            error: None,
            warning: None,
        }
    }
}

/// A server of a torrent's files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// Its URL, without user, password and query.
    pub url: String,
    /// Connections to it.
    pub connections: u32,
    /// Those of them with something under way.
    pub busy: u32,
    /// What comes from it.
    pub down_rate: u64,
    /// What has come from it.
    pub received_bytes: u64,
}

/// A share of the time that a torrent waited for something.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// For what.
    pub cause: String,
    /// 0 to 1.
    pub share: f64,
}

/// What a torrent waits for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Why {
    /// The cause right now.
    pub now: Option<String>,
    /// The last minute, largest share first.
    pub minute: Vec<Share>,
    /// Its life in this run, likewise.
    pub life: Vec<Share>,
    /// All that in words for people, with what can be done about it.
    pub text: String,
}

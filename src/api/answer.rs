//! What comes of a request, refusals too. Values only.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::ids::TorrentId;
use crate::session::Error;

use super::creation::{Making, TorrentFile};
use super::errands::Errands;
use super::found::Found;
use super::happened::Events;
use super::request::Mark;
use super::ruled::Ruled;
use super::torrent::{Details, Facts, File, Limits, Peer, Pieces, Source, Torrent, Tracker, Why};

/// What comes of a request that is not refused.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// How the session stands.
    Session(Box<Standing>),
    /// Torrents.
    List(List),
    /// A torrent was taken in.
    Added(Added),
    /// All about one.
    Torrent(Box<Details>),
    /// Its files.
    Files(Vec<File>),
    /// What it says of itself.
    Facts(Box<Facts>),
    /// Its pieces.
    Pieces(Box<Pieces>),
    /// Its peers.
    Peers(Vec<Peer>),
    /// Its trackers.
    Trackers(Vec<Tracker>),
    /// The servers of its files.
    Sources(Vec<Source>),
    /// What it waits for.
    Why(Box<Why>),
    /// What rules say of it.
    Rules(Box<Ruled>),
    /// It is done.
    Done(Done),
    /// What happened.
    Events(Events),
    /// Torrents with words in their names or files.
    Found(Found),
    /// How much room there is.
    Room(Room),
    /// What is done without anybody asking.
    Errands(Box<Errands>),
    /// Torrents that are being made, and those that were.
    Makings(Vec<Making>),
    /// One that is being made from now on.
    Making(Box<Making>),
    /// One that was made. It has a form of its own.
    #[serde(skip)]
    Made(TorrentFile),
}

/// An answer, or why there is none.
pub type Outcome = Result<Answer, Refusal>;

/// Torrents, as lists show them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct List {
    /// What to ask with the next time, to hear only of what changed.
    pub cursor: Mark,
    /// It holds all torrents that there are: what is not in it is gone.
    pub full: bool,
    /// Torrents that are new or changed. A full list is in the order of the queue.
    pub torrents: Vec<Torrent>,
    /// Numbers of torrents that are gone since.
    pub removed: Vec<u32>,
}

/// A torrent that was taken in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Added {
    /// Its number; none of one that was there, and comes in or leaves at this moment.
    pub id: Option<u32>,
    /// Its hash in hex.
    pub hash: String,
    /// What it is called.
    pub name: String,
    /// It was there before, and is as it was.
    pub was_there: bool,
}

/// Something was done, or is under way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// The number of the torrent that it was done to; none of the session itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// What there is to say about it, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Done {
    /// What a torrent was done to.
    pub(super) fn of(id: TorrentId, note: Option<String>) -> Self {
        Self { id: Some(id.0), note }
    }
}

/// How much room there is for a directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// Which, with links followed.
    pub dir: String,
    /// It is there; otherwise room is where it would be made.
    pub exists: bool,
    /// Bytes that are free; none when that cannot be said.
    pub free_bytes: Option<u64>,
    /// Bytes that the file system has in all; none likewise.
    pub total_bytes: Option<u64>,
}

/// How the session stands. Rates are bytes a second.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Version of the program.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The port for peers; 0 when there is none.
    pub port: u16,
    /// How many torrents there are.
    pub torrents: u32,
    /// Those of them that download.
    pub downloading: u32,
    /// Those of them that seed.
    pub seeding: u32,
    /// Links among them whose metadata is sought.
    pub seeking: u32,
    /// Those of them that something is wrong with.
    pub in_trouble: u32,
    /// What all receive.
    pub down_rate: u64,
    /// What all send.
    pub up_rate: u64,
    /// What all may do, usually.
    pub limits: Limits,
    /// What they may do instead while that is wanted, or a schedule says so.
    pub alternative_limits: Limits,
    /// Is that so now?
    pub alternative: bool,
    /// What all may do now.
    pub limits_now: Limits,
    /// How many check and download at once; as many as it began with when none.
    pub active_max: Option<u32>,
    /// Nodes of the DHT that answer; none where it does not run.
    pub dht_nodes: Option<u32>,
    /// Where torrents go when nothing else is said.
    pub dir: String,
    /// Bytes that are free there; none when that cannot be said.
    pub free_bytes: Option<u64>,
    /// Why changes cannot be kept, while that is so.
    pub trouble: Option<String>,
    /// What of earlier sessions could not be read.
    pub lost: Vec<String>,
    /// Where lists and events are at, for those who begin to listen.
    pub rows: Mark,
    /// The same of events.
    pub events: Mark,
}

/// Which kind of refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request makes no sense.
    Invalid,
    /// No torrent of this name is there.
    NotFound,
    /// It is not to be done as things are.
    Conflict,
    /// Something else failed: a disk, the network.
    Failed,
    /// The session ends.
    Ended,
}

/// Why a request is not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub struct Refusal {
    /// Which kind.
    pub code: Kind,
    /// Why, in words for people; names of strangers in it are not escaped.
    pub error: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl Refusal {
    /// One of this kind.
    pub fn new(code: Kind, error: impl fmt::Display) -> Self {
        Self { code, error: error.to_string() }
    }

    /// The request makes no sense.
    pub fn invalid(error: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, error)
    }

    /// The session ends.
    pub fn ended() -> Self {
        Self::new(Kind::Ended, "the session has ended")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unknown(_) => Kind::NotFound,
            Error::Refused(_)
            | Error::Away(_)
            | Error::Duplicate { .. }
            | Error::Taken { .. }
            | Error::Doomed { .. }
            | Error::FilesNeeded(_) => Kind::Conflict,
            Error::Ended => Kind::Ended,
            Error::Torrent(crate::torrent::Error::V2Only) => Kind::Invalid,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

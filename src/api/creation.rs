//! A torrent that is to be made of what lies on this machine, and how far that is. Values only;
//! names and texts are those of strangers, and not escaped.

use serde::{Deserialize, Serialize};

use super::whole;

/// A torrent that is to be made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Creation {
    /// The file or directory, named from `/` on, below what may be written to.
    pub path: String,
    /// Its name; that of the file or directory when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In which format.
    pub format: Format,
    /// Bytes of a piece, a power of two; chosen by the amount of data when none.
    #[serde(deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub piece_length: Option<u64>,
    /// Only its trackers name peers (BEP 27).
    pub private: bool,
    /// Where it is from; changes its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A comment for whoever looks into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its trackers by tier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trackers: Vec<Vec<String>>,
    /// Where the same data can be had by HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub web_seeds: Vec<String>,
    /// It is added when it is made, and seeded from where the data lies.
    pub seed: bool,
    /// What it is sorted under then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// The format of a new torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Version 1 (BEP 3), which all programs know.
    #[default]
    V1,
    /// Versions 1 and 2 (BEP 52) in one.
    Hybrid,
}

/// How far a new torrent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Something else reads the same device.
    Waiting,
    /// Its data is read.
    #[default]
    Hashing,
    /// It can be fetched.
    Done,
    /// It cannot be made.
    Failed,
}

/// A torrent in the making, or one that was made and can still be fetched.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Making {
    /// By which it is fetched and given up; of this run.
    pub number: u32,
    /// What it is made of, with links followed.
    pub path: String,
    /// How far it is.
    pub stage: Stage,
    /// Bytes that were hashed.
    pub done_bytes: u64,
    /// Bytes to hash in all; 0 before that is known.
    pub total_bytes: u64,
    /// Its name, when it is made.
    pub name: Option<String>,
    /// Its hash in hex, likewise.
    pub hash: Option<String>,
    /// A link to it, likewise.
    pub magnet: Option<String>,
    /// The number of the torrent that is seeded, where that was asked for.
    pub torrent: Option<u32>,
    /// What there is to say about it, in words for people.
    pub note: Option<String>,
    /// Why it cannot be made.
    pub error: Option<String>,
}

/// A `.torrent` that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentFile {
    /// What it is called, with its ending.
    pub name: String,
    /// Its bytes.
    pub bytes: std::sync::Arc<[u8]>,
}

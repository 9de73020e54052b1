//! Torrents that were found by words. Values only.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Torrents that are called so come first.
    pub torrents: Vec<FoundTorrent>,
    /// There are more than are told.
    pub more: bool,
    /// Torrents whose files could not be looked at in time, or are not known.
    pub unread: u32,
}

/// A torrent that fits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FoundTorrent {
    /// Its number.
    pub id: u32,
    /// What it is called.
    pub name: String,
    /// All words are in its name, or in one of its hashes.
    pub named: bool,
    /// Files that fit, the first ones.
    pub files: Vec<FoundFile>,
    /// How many files fit.
    pub files_found: u32,
}

/// A file that fits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FoundFile {
    /// Its number, from 1.
    pub number: u32,
    /// Its path below the directory of its torrent.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

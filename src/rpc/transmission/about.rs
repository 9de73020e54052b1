//! What fields of a torrent are written of: its place in the list, and what is known closely, as
//! far as that is asked for. Values only.

use crate::api::{Details, Facts, File, Peer, Source, Torrent, Tracker};

/// What has to be known of a torrent beside its place in the list.
pub(super) type Needs = u8;
pub(super) const DETAILS: Needs = 1;
pub(super) const FILES: Needs = 2;
pub(super) const FACTS: Needs = 4;
pub(super) const TRACKERS: Needs = 8;
pub(super) const PEERS: Needs = 16;
pub(super) const SOURCES: Needs = 32;

/// A torrent closely, as far as that is asked for; nothing of what cannot be told.
#[derive(Debug, Default)]
pub(super) struct Closely {
    pub details: Option<Box<Details>>,
    pub files: Vec<File>,
    pub facts: Facts,
    pub trackers: Vec<Tracker>,
    pub peers: Vec<Peer>,
    pub sources: Vec<Source>,
}

/// What fields are written of.
pub(super) struct About<'a> {
    pub torrent: &'a Torrent,
    /// The number that it goes by.
    pub number: u32,
    /// Those before it in the queue.
    pub position: usize,
    /// Seconds since it was told.
    pub age_s: u64,
    pub closely: &'a Closely,
    /// Seconds since 1970.
    pub now: u64,
    /// Names are as JSON-RPC has them.
    pub is_snake: bool,
}

/// The hash that tools know a torrent by: the one of 40 digits, or as many of the other.
pub(super) fn hash(torrent: &Torrent) -> &str {
    let second = || torrent.hash_v2.as_deref().and_then(|hash| hash.get(..40));
    torrent.hash.as_deref().or_else(second).unwrap_or("")
}

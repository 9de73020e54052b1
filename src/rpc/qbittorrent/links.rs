//! Links whose metadata is sought, as torrents of which nothing is known. Pure.

use std::sync::Arc;

use crate::api::{Search, State, Torrent};

use super::mapping::name_of;

/// A link as a torrent of which nothing is known.
pub(super) fn sought(search: &Search) -> Torrent {
    let is_v1 = search.hash.len() == 40;
    Torrent {
        hash: is_v1.then(|| search.hash.clone()),
        hash_v2: (!is_v1).then(|| search.hash.clone()),
        name: search.name.clone(),
        peers: u32::try_from(search.peers).unwrap_or(u32::MAX),
        paused: search.paused,
        labels: search.labels.clone(),
        dir: search.dir.clone(),
        added_at: search.added_at,
        active_s: search.since_s,
        state: State::Downloading,
        ..Torrent::default()
    }
}

/// How a link whose metadata is sought is named.
pub(super) fn name_of_link(search: &Search) -> Arc<str> {
    name_of(None, Some(&search.hash))
}

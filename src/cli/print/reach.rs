//! Why a download from course providers cannot go on: what is missing, who was asked for it,
//! and what came of that.

use std::net::SocketAddr;

use crate::base::bitfield::Bitfield;
use crate::chunk::wire::ChunkHash;
use crate::cli::escape::escape;
use crate::link::Provider;
use crate::metainfo::Torrent;
use crate::torrent::status::{PeerStatus, Status};

use super::counted;

/// One line: the first missing chunk with its hash, who was asked for it, and how many more
/// are missing.
pub fn out_of_reach(
    torrent: &Torrent,
    status: &Status,
    providers: &[Provider],
    peers: &[PeerStatus],
) -> String {
    let Some(layout) = torrent.layout else { return String::new() };
    let have = Bitfield::from_wire(&status.have, layout.piece_count());
    let have = have.unwrap_or_else(|| Bitfield::none(layout.piece_count()));
    let mut missing = layout.pieces().filter(|piece| !have.has(*piece));
    let Some(first) = missing.next() else { return String::new() };
    let more = match missing.count() {
        0 => String::new(),
        more => format!(" ({} too)", counted(more as u64, "further chunk")),
    };
    let asked: Vec<String> = providers
        .iter()
        .filter(|provider| provider.pieces.has(first))
        .map(|it| format!("{} {} ({})", escape(&it.name), it.address, fate(it.address, peers)))
        .collect();
    let asked = match asked.is_empty() {
        true => "the listing names no provider of it".to_owned(),
        false => format!("asked {}", asked.join(", ")),
    };
    format!(
        "nobody has chunk {} of {}, {}{more}: {asked}; what is here is kept",
        first.number(),
        escape(&torrent.name),
        ChunkHash(*torrent.piece_hash(first)),
    )
}

/// What came of asking this provider.
fn fate(address: SocketAddr, peers: &[PeerStatus]) -> String {
    match peers.iter().find(|peer| peer.address == address) {
        Some(peer) if peer.connected => "has no right copy".to_owned(),
        Some(peer) => escape(peer.last_error.as_deref().unwrap_or("not reached")),
        None => "banned for wrong data".to_owned(),
    }
}

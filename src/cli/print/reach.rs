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
use super::peers::without_address;

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
        Some(peer) if peer.banned => "banned for wrong data".to_owned(),
        Some(peer) => {
            let why = peer.last_error.as_deref().unwrap_or("not reached");
            // The address stands before it already.
            escape(without_address(why, address))
        }
        None => "banned for wrong data".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn one_line_says_what_is_missing_and_who_was_asked() {
        let hashes = "\x01".repeat(20) + &"\x02".repeat(20) + &"\x03".repeat(20);
        let info = format!("d6:lengthi30e4:name5:a.txt12:piece lengthi10e6:pieces60:{hashes}e");
        let torrent = Torrent::from_info(info.as_bytes()).unwrap();
        let layout = torrent.layout.unwrap();
        let provider = |port: u16, name: &str| Provider {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            name: name.to_owned(),
            pieces: Bitfield::all(3),
            hashes: Arc::new([]),
        };
        let providers = [provider(1, "alice"), provider(2, "b\x1bb"), provider(3, "eve")];
        let mut alice = PeerStatus::unconnected(providers[0].address);
        alice.connected = true;
        let mut bob = PeerStatus::unconnected(providers[1].address);
        bob.last_error = Some("cannot connect to 127.0.0.1:2: refused".to_owned());
        let mut have = Bitfield::none(3);
        have.insert(layout.piece(0).unwrap());
        let mut status = Status { have: have.as_bytes().to_vec(), ..Status::default() };
        assert_eq!(
            out_of_reach(&torrent, &status, &providers, &[alice, bob]),
            "nobody has chunk 1 of a.txt, 0202020202020202020202020202020202020202 (1 further \
             chunk too): asked alice 127.0.0.1:1 (has no right copy), b\\x1bb 127.0.0.1:2 \
             (refused), eve 127.0.0.1:3 (banned for wrong data); what is here is kept"
        );
        have.insert(layout.piece(1).unwrap());
        status.have = have.as_bytes().to_vec();
        let nobody = out_of_reach(&torrent, &status, &[], &[]);
        let expected = "0303030303030303030303030303030303030303: the listing names no provider";
        assert!(nobody.contains(expected), "{nobody}");
    }
}

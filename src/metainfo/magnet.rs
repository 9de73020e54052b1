//! Magnet links (BEP 9, BEP 52): what a torrent can be found by, in one line. Only writing.

use std::fmt::Write as _;

use super::Torrent;

/// The magnet link of a torrent: its hashes, name, trackers and web seeds.
pub(super) fn link(torrent: &Torrent) -> String {
    let mut link = String::from("magnet:?");
    let mut field = |key: &str, value: &dyn std::fmt::Display| {
        let and = if link.ends_with('?') { "" } else { "&" };
        // Writing to a string cannot fail.
        let _ = write!(link, "{and}{key}={value}");
    };
    if let Some(hash) = &torrent.info_hash_v1 {
        field("xt", &format_args!("urn:btih:{hash}"));
    }
    if let Some(hash) = &torrent.info_hash_v2 {
        // A multihash: 0x12 for SHA-256, 0x20 for its 32 bytes.
        field("xt", &format_args!("urn:btmh:1220{hash}"));
    }
    field("dn", &urlencoding::encode(&torrent.name));
    for url in torrent.trackers.iter().flatten() {
        field("tr", &urlencoding::encode(url));
    }
    for url in &torrent.web_seeds {
        field("ws", &urlencoding::encode(url));
    }
    link
}

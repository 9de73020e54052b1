//! The pieces that a peer may ask for while choked, so that a newcomer has something to trade
//! soon (BEP 6, "Allowed Fast Set Generation"). Pure arithmetic; who gets them is in `upload`.

use std::net::IpAddr;

use crate::base::digest::sha1;
use crate::base::ids::InfoHash;
use crate::base::layout::{Layout, PieceIndex};

/// Pieces in the set: BEP 6 uses ten.
pub const SET_LEN: usize = 10;

/// The set of `len` pieces for a peer at `ip`, in the order in which BEP 6 finds them; none for
/// IPv6, for which it is not defined. Torrents with few pieces have smaller sets.
pub fn allowed_fast_set(
    layout: &Layout,
    info_hash: &InfoHash,
    ip: IpAddr,
    len: usize,
) -> Vec<PieceIndex> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    let count = layout.piece_count();
    let len = len.min(count as usize);
    let [a, b, c, _] = ip.octets();
    let mut hash = sha1(&[&[a, b, c, 0], &info_hash.0]);
    let mut set: Vec<PieceIndex> = Vec::with_capacity(len);
    while set.len() < len {
        for number in hash.as_chunks::<4>().0 {
            let piece = layout.piece(u32::from_be_bytes(*number) % count);
            if let Some(piece) = piece.filter(|piece| set.len() < len && !set.contains(piece)) {
                set.push(piece);
            }
        }
        hash = sha1(&[&hash]);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_the_bep() {
        // BEP 6: "7 piece allowed fast set for torrent with 1313 pieces and hex infohash
        // aaaa... for node with IP 80.4.4.200: 1059,431,808,1217,287,376,1188".
        let layout = Layout::new(1313, 1).unwrap();
        let info_hash = InfoHash([0xAA; 20]);
        let set = |len| -> Vec<u32> {
            let set = allowed_fast_set(&layout, &info_hash, "80.4.4.200".parse().unwrap(), len);
            set.into_iter().map(PieceIndex::number).collect()
        };
        assert_eq!(set(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn small_torrents_and_ipv6() {
        let layout = Layout::new(3, 1).unwrap();
        let info_hash = InfoHash([1; 20]);
        let set = |ip: &str| allowed_fast_set(&layout, &info_hash, ip.parse().unwrap(), SET_LEN);
        assert_eq!(set("10.0.0.1").len(), 3);
        assert_eq!(set("::ffff:10.0.0.1"), set("10.0.0.1"));
        assert_eq!(set("2001:db8::1"), []);
    }
}

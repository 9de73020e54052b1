//! Names of things: info-hashes, peer ids, torrents, links and files. Piece and block indices are
//! made by [`crate::base::layout::Layout`] only, and live there.

use std::fmt;

/// SHA-1 of the raw `info` dictionary (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);

/// SHA-256 of the raw `info` dictionary of a v2 or hybrid torrent (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHashV2(pub [u8; 32]);

impl InfoHashV2 {
    /// The first 20 bytes, as handshakes and trackers carry it (BEP 52).
    pub fn truncated(&self) -> InfoHash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHash(short)
    }
}

/// The 20 bytes a client calls itself by (BEP 3, BEP 20).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId(pub [u8; 20]);

/// Our prefix in BEP 20's Azureus style: client `PN`, version 0.1.0.
pub const PEER_ID_PREFIX: &[u8; 8] = b"-PN0100-";

impl PeerId {
    /// Our own id: the prefix and twelve characters made from `random`, all of them letters
    /// or digits, since some trackers mishandle escaped ids.
    pub fn ours(random: [u8; 12]) -> Self {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut id = [0; 20];
        id[..8].copy_from_slice(PEER_ID_PREFIX);
        for (slot, byte) in id[8..].iter_mut().zip(random) {
            *slot = ALPHABET[usize::from(byte) % ALPHABET.len()];
        }
        Self(id)
    }
}

/// One live connection, unique in the life of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId(pub u64);

/// A server that a torrent's files may be fetched from, unique in the life of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceId(pub u32);

/// A torrent of a session: small, stable, and never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TorrentId(pub u32);

/// Position of a file in the torrent's list, pad files included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileIndex(pub u32);

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! hex_format {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    )*};
}

hex_format!(InfoHash, InfoHashV2, PeerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_peer_id_is_printable_and_carries_the_prefix() {
        let id = PeerId::ours([255, 0, 61, 62, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(&id.0[..8], b"-PN0100-");
        assert!(id.0.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
    }

    #[test]
    fn truncated_v2_hash_is_its_first_twenty_bytes() {
        let mut long = [7; 32];
        long[19] = 1;
        long[20] = 2;
        assert_eq!(InfoHashV2(long).truncated().0[19], 1);
    }
}

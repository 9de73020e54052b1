//! The 68 bytes that open a connection (BEP 3), and the reserved bits we understand.

use crate::base::ids::{InfoHash, PeerId};

use super::Error;

/// Bytes of a handshake.
pub const LEN: usize = 68;
const HEADER: &[u8; 20] = b"\x13BitTorrent protocol";

/// A handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// The fast extension (BEP 6).
    pub fast: bool,
    /// The extension protocol (BEP 10).
    pub extended: bool,
    /// The DHT (BEP 5). Understood, never sent.
    pub dht: bool,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who speaks.
    pub peer_id: PeerId,
}

impl Handshake {
    /// Ours: with the fast extension and the extension protocol.
    pub fn ours(info_hash: InfoHash, peer_id: PeerId) -> Self {
        Self { fast: true, extended: true, dht: false, info_hash, peer_id }
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..20].copy_from_slice(HEADER);
        bytes[25] |= if self.extended { 0x10 } else { 0 };
        bytes[27] |= if self.fast { 0x04 } else { 0 };
        bytes[27] |= if self.dht { 0x01 } else { 0 };
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the bytes do not begin as BEP 3 says.
    pub fn decode(bytes: &[u8; LEN]) -> Result<Self, Error> {
        if !bytes.starts_with(HEADER) {
            return Err(Error::NotBitTorrent);
        }
        let (mut info_hash, mut peer_id) = ([0; 20], [0; 20]);
        info_hash.copy_from_slice(&bytes[28..48]);
        peer_id.copy_from_slice(&bytes[48..]);
        Ok(Self {
            extended: bytes[25] & 0x10 != 0,
            fast: bytes[27] & 0x04 != 0,
            dht: bytes[27] & 0x01 != 0,
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_beps_3_6_and_10_say() {
        let ours = Handshake::ours(InfoHash([7; 20]), PeerId([9; 20]));
        let bytes = ours.encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(&bytes[20..28], &[0, 0, 0, 0, 0, 0x10, 0, 0x04]);
        assert_eq!(&bytes[28..48], &[7; 20]);
        assert_eq!(&bytes[48..], &[9; 20]);
        assert_eq!(Handshake::decode(&bytes), Ok(ours));
    }

    #[test]
    fn something_else_is_refused_and_unknown_bits_are_ignored() {
        let mut bytes = Handshake::ours(InfoHash([7; 20]), PeerId([9; 20])).encode();
        bytes[20..28].copy_from_slice(&[0xff; 8]);
        assert!(Handshake::decode(&bytes).unwrap().dht);
        bytes[0] = 18;
        assert_eq!(Handshake::decode(&bytes), Err(Error::NotBitTorrent));
    }
}

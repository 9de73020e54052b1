//! The 68 bytes that open a link (BEP 3) and their reserved bits (BEP 5, 6, 10). Not here:
//! whether the info-hash is ours, and the extension handshake.

use crate::base::ids::{InfoHash, PeerId};

use super::Error;

/// Bytes of a whole handshake.
pub const HANDSHAKE_LEN: usize = 68;
/// Bytes up to and with the info-hash: enough to know which torrent is meant. Some NAT
/// testers never send more.
pub const HELLO_LEN: usize = 48;
/// Bytes after them.
pub const PEER_ID_LEN: usize = HANDSHAKE_LEN - HELLO_LEN;

/// What every handshake begins with.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// What the reserved bits say a client can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// The extension protocol (BEP 10): 0x10 of byte 5.
    pub extended: bool,
    /// The fast extension (BEP 6): 0x04 of byte 7.
    pub fast: bool,
    /// A DHT node (BEP 5): 0x01 of byte 7.
    pub dht: bool,
}

impl Extensions {
    /// What we announce, beside the DHT where it runs.
    pub const OURS: Self = Self { extended: true, fast: true, dht: false };

    /// What both sides can do.
    pub fn common(self, other: Self) -> Self {
        Self {
            extended: self.extended && other.extended,
            fast: self.fast && other.fast,
            dht: self.dht && other.dht,
        }
    }

    fn to_bytes(self) -> [u8; 8] {
        let last = if self.fast { 0x04 } else { 0 } | u8::from(self.dht);
        [0, 0, 0, 0, 0, if self.extended { 0x10 } else { 0 }, 0, last]
    }

    fn from_bytes([_, _, _, _, _, fifth, _, last]: [u8; 8]) -> Self {
        Self { extended: fifth & 0x10 != 0, fast: last & 0x04 != 0, dht: last & 0x01 != 0 }
    }
}

/// A whole handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// What the sender can do.
    pub extensions: Extensions,
    /// The torrent it means.
    pub info_hash: InfoHash,
    /// What it calls itself.
    pub peer_id: PeerId,
}

impl Handshake {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.extensions.to_bytes());
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// Reads the bytes a peer sent.
    ///
    /// # Errors
    /// `NotBitTorrent` when they open another protocol.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Result<Self, Error> {
        let (hello, peer_id) = split::<HELLO_LEN, PEER_ID_LEN>(bytes)?;
        let (extensions, info_hash) = read_hello(&hello)?;
        Ok(Self { extensions, info_hash, peer_id: PeerId(peer_id) })
    }
}

/// Reads the part of a handshake that comes before the peer id.
///
/// # Errors
/// `NotBitTorrent` when the bytes open another protocol.
pub fn read_hello(bytes: &[u8; HELLO_LEN]) -> Result<(Extensions, InfoHash), Error> {
    let (protocol, rest) = split::<20, 28>(bytes)?;
    let (reserved, info_hash) = split::<8, 20>(&rest)?;
    if &protocol != PROTOCOL {
        return Err(Error::NotBitTorrent);
    }
    Ok((Extensions::from_bytes(reserved), InfoHash(info_hash)))
}

fn split<const A: usize, const B: usize>(bytes: &[u8]) -> Result<([u8; A], [u8; B]), Error> {
    let (first, rest) = bytes.split_first_chunk::<A>().ok_or(Error::NotBitTorrent)?;
    Ok((*first, rest.try_into().map_err(|_| Error::NotBitTorrent)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "The handshake starts with character nineteen followed by the string 'BitTorrent
    /// protocol' […] eight reserved bytes […] sha1 hash […] peer id" (BEP 3).
    const BYTES: &[u8; 68] = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04\
        aaaaaaaaaaaaaaaaaaaa-PN0100-bbbbbbbbbbbb";

    fn ours() -> Handshake {
        Handshake {
            extensions: Extensions::OURS,
            info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
            peer_id: PeerId(*b"-PN0100-bbbbbbbbbbbb"),
        }
    }

    #[test]
    fn sixty_eight_bytes_exactly() {
        assert_eq!(&ours().encode(), BYTES);
        assert_eq!(Handshake::decode(BYTES).unwrap(), ours());
    }

    #[test]
    fn unknown_reserved_bits_are_ignored_and_dht_is_read() {
        let mut bytes = *BYTES;
        bytes[20..28].fill(0xFF);
        let all = Extensions { extended: true, fast: true, dht: true };
        assert_eq!(Handshake::decode(&bytes).unwrap().extensions, all);
        bytes[20..28].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xEF, 0xFF, 0xFA]);
        assert_eq!(Handshake::decode(&bytes).unwrap().extensions, Extensions::default());
    }

    #[test]
    fn another_protocol_is_refused() {
        for at in 0..20 {
            let mut bytes = *BYTES;
            bytes[at] ^= 1;
            assert!(matches!(Handshake::decode(&bytes), Err(Error::NotBitTorrent)));
        }
    }

    #[test]
    fn common_extensions_need_both() {
        let remote = Extensions { extended: false, fast: true, dht: true };
        let common = Extensions { extended: false, fast: true, dht: false };
        assert_eq!(Extensions::OURS.common(remote), common);
    }
}

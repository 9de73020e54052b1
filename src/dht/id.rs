//! Names of nodes, how far they are from each other (BEP 5), and which of them an address may
//! have (BEP 42). Not here: whom we prefer for it.

use std::fmt;
use std::net::IpAddr;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::base::addr::{Locality, canonical_ip};
use crate::base::checksum::crc32c;
use crate::base::ids::InfoHash;

/// Bits of an id.
pub const ID_BITS: usize = 160;
/// Bits of an id that its address decides (BEP 42).
const SECURED_BITS: u32 = 21;

/// The 160 bits by which a node is found; targets are of the same kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 20]);

/// How far two ids are from each other: "distance(A,B) = |A xor B|. Smaller values are closer."
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Distance([u8; 20]);

impl NodeId {
    /// The id that `bytes` are; none unless they are 20.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Any id.
    pub fn random(rng: &mut StdRng) -> Self {
        let mut id = [0; 20];
        rng.fill_bytes(&mut id);
        Self(id)
    }

    /// Any id whose first `bits` are those of `prefix`; at most [`ID_BITS`] count.
    pub fn random_within(prefix: &Self, bits: usize, rng: &mut StdRng) -> Self {
        let mut id = Self::random(rng);
        for (index, (byte, fixed)) in id.0.iter_mut().zip(prefix.0).enumerate() {
            let mask = match bits.saturating_sub(index * 8) {
                0 => 0,
                kept @ 1..8 => 0xff_u8 << (8 - kept),
                _ => 0xff,
            };
            *byte = (fixed & mask) | (*byte & !mask);
        }
        id
    }

    /// Any id that a node at `address` may have (BEP 42).
    pub fn random_for(address: IpAddr, rng: &mut StdRng) -> Self {
        let mut id = Self::random(rng);
        let prefix = secured_prefix(address, id.0[19]);
        let [a, b, c, _] = prefix.to_be_bytes();
        let free = 0xff_u8 >> (SECURED_BITS - 16);
        id.0[0] = a;
        id.0[1] = b;
        id.0[2] = (c & !free) | (id.0[2] & free);
        id
    }

    /// Whether a node at `address` may have this id (BEP 42). Addresses that are no public ones
    /// are exempt: nobody can say which public one stands behind them.
    pub fn suits(&self, address: IpAddr) -> bool {
        if Locality::of(address) != Locality::Public {
            return true;
        }
        let [a, b, c, ..] = self.0;
        let own = u32::from_be_bytes([a, b, c, 0]);
        (own ^ secured_prefix(address, self.0[19])) >> (32 - SECURED_BITS) == 0
    }

    /// How far it is to `other`.
    pub fn distance(&self, other: &Self) -> Distance {
        let mut distance = self.0;
        distance.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
        Distance(distance)
    }

    /// How many of the first bits both have in common; [`ID_BITS`] for the same id.
    pub fn common_bits(&self, other: &Self) -> usize {
        self.distance(other).leading_zeros()
    }
}

impl Distance {
    /// How many of the first bits the two ids have in common.
    pub fn leading_zeros(&self) -> usize {
        let whole = self.0.iter().take_while(|byte| **byte == 0).count();
        whole * 8 + self.0.get(whole).map_or(0, |byte| byte.leading_zeros() as usize)
    }
}

impl From<InfoHash> for NodeId {
    fn from(hash: InfoHash) -> Self {
        Self(hash.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The checksum whose first bits the id has to begin with, by the id's last byte.
fn secured_prefix(address: IpAddr, last: u8) -> u32 {
    let r = (last & 0x7) << 5;
    match canonical_ip(address) {
        IpAddr::V4(v4) => {
            let masks = [0x03, 0x0f, 0x3f, 0xff];
            let mut masked = v4.octets();
            masked.iter_mut().zip(masks).for_each(|(byte, mask)| *byte &= mask);
            masked[0] |= r;
            crc32c(&masked)
        }
        IpAddr::V6(v6) => {
            let masks = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
            let mut masked = [0; 8];
            let octets = v6.octets().into_iter().zip(masks);
            masked.iter_mut().zip(octets).for_each(|(to, (byte, mask))| *to = byte & mask);
            masked[0] |= r;
            crc32c(&masked)
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(5)
    }

    fn id(text: &str) -> NodeId {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        NodeId::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn distance_is_the_xor_and_smaller_is_closer() {
        let mut near = NodeId::default();
        near.0[19] = 1;
        let mut far = NodeId::default();
        far.0[0] = 0x10;
        let zero = NodeId::default();
        assert!(zero.distance(&near) < zero.distance(&far));
        assert_eq!(zero.common_bits(&near), 159);
        assert_eq!(zero.common_bits(&far), 3);
        assert_eq!(far.common_bits(&far), ID_BITS);
        assert_eq!(near.distance(&far), far.distance(&near));
    }

    #[test]
    fn a_random_id_keeps_so_many_bits_of_the_prefix() {
        let prefix = NodeId([0xa5; 20]);
        let mut rng = rng();
        for bits in [0, 1, 7, 8, 9, 20, 159, 160, 1_000] {
            let ids: Vec<_> =
                (0..64).map(|_| NodeId::random_within(&prefix, bits, &mut rng)).collect();
            let least = ids.iter().map(|id| id.common_bits(&prefix)).min().unwrap();
            let wanted = bits.min(ID_BITS);
            assert_eq!(least, wanted, "{bits} bits are kept, and no more");
        }
    }

    /// BEP 42, "test vectors".
    #[test]
    fn the_vectors_of_bep_42() {
        for (address, text) in [
            ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
            ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
            ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
            ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
            ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let good = id(text);
            assert!(good.suits(address), "{address}");
            for bit in [0, 8, 20] {
                let mut bad = good;
                bad.0[bit / 8] ^= 0x80 >> (bit % 8);
                assert!(!bad.suits(address), "{address}: bit {bit} is another one");
            }
            let mut free = good;
            free.0[2] ^= 0x07;
            free.0[10] ^= 0xff;
            assert!(free.suits(address), "only 21 bits count");
            let mut bad = good;
            bad.0[19] ^= 0x01;
            assert!(!bad.suits(address), "the last byte chooses the checksum");
        }
    }

    #[test]
    fn an_own_id_suits_its_address_and_hardly_any_other() {
        let mut rng = rng();
        for text in ["203.0.113.7", "2001:db8:5:6::1"] {
            let address: IpAddr = text.parse().unwrap();
            let ids: Vec<_> = (0..50).map(|_| NodeId::random_for(address, &mut rng)).collect();
            assert!(ids.iter().all(|id| id.suits(address)), "{address}");
            assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
            let other = if text.contains(':') { "2001:db9:5:6::1" } else { "203.0.114.7" };
            assert!(!ids.iter().any(|id| id.suits(other.parse().unwrap())));
        }
        // BEP 42: only the first 64 bits of an IPv6 address count.
        let id = NodeId::random_for("2001:db8:5:6::1".parse().unwrap(), &mut rng);
        assert!(id.suits("2001:db8:5:6:7:8:9:a".parse().unwrap()));
    }

    #[test]
    fn local_addresses_are_exempt() {
        let any = NodeId([7; 20]);
        for text in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "fe80::1", "::1"] {
            assert!(any.suits(text.parse().unwrap()), "{text}");
        }
        assert!(!any.suits("8.8.8.8".parse().unwrap()));
    }
}

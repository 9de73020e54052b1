//! Filters of addresses by which nodes count a swarm without naming anybody (BEP 33). Not here:
//! whose addresses they are.

use std::net::IpAddr;

use crate::base::addr::canonical_ip;
use crate::base::digest::sha1;

/// Bytes of a filter.
pub const BLOOM_LEN: usize = 256;
/// m: bits of a filter.
const BITS: usize = BLOOM_LEN * 8;

/// A set of addresses that can be counted and united, and not listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bloom(pub [u8; BLOOM_LEN]);

impl Default for Bloom {
    fn default() -> Self {
        Self([0; BLOOM_LEN])
    }
}

impl Bloom {
    /// Adds an address, without its port.
    pub fn insert(&mut self, address: IpAddr) {
        let hash = match canonical_ip(address) {
            IpAddr::V4(v4) => sha1(&[&v4.octets()]),
            IpAddr::V6(v6) => sha1(&[&v6.octets()]),
        };
        let [a, b, c, d, ..] = hash;
        for index in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            let index = usize::from(index) % BITS;
            self.0[index / 8] |= 1 << (index % 8);
        }
    }

    /// Adds all that are in another.
    pub fn unite(&mut self, other: &[u8; BLOOM_LEN]) {
        self.0.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
    }

    /// About how many addresses are in it; not to be believed beyond 6,000. Of an empty one BEP 33
    /// would make one half, which people would be told as one.
    pub fn estimate(&self) -> f64 {
        let zeros: usize = self.0.iter().map(|byte| byte.count_zeros() as usize).sum();
        let (c, m) = (zeros.max(1) as f64, BITS as f64);
        (c / m).ln() / (2.0 * (1.0 - 1.0 / m).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BEP 33, "Test Vectors".
    #[test]
    fn the_vector_of_bep_33() {
        let mut bloom = Bloom::default();
        (0..=255).for_each(|last| bloom.insert([192, 0, 2, last].into()));
        (0..=0x3e7_u16).for_each(|last| {
            bloom.insert([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
        });
        let expected = "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE\
            FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B\
            7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F\
            D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
            FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5\
            BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57\
            62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6\
            FD8F72EF";
        assert_eq!(data_encoding::HEXUPPER.encode(&bloom.0), expected);
        // "For the 1256 inserted values the calculated estimate should be 1224.9308"
        assert!((bloom.estimate() - 1224.9308).abs() < 0.0001, "{}", bloom.estimate());
    }

    #[test]
    fn none_is_about_none_and_a_full_one_has_a_number() {
        assert_eq!(Bloom::default().estimate().abs(), 0.0);
        let full = Bloom([0xff; BLOOM_LEN]);
        assert!(full.estimate().is_finite() && full.estimate() > 6_000.0);
    }

    #[test]
    fn a_union_holds_both() {
        let (mut left, mut right, mut both) = Default::default();
        for (last, one) in [(1, &mut left), (2, &mut right)] {
            Bloom::insert(one, [9, 9, 9, last].into());
            Bloom::insert(&mut both, [9, 9, 9, last].into());
        }
        left.unite(&right.0);
        assert_eq!(left, both);
    }
}

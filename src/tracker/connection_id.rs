//! Connection ids of the UDP tracker (BEP 15): proof that somebody can read what is sent to the
//! address he writes from. Nothing is kept of them: an id holds the second it was made in and a
//! keyed hash over that second and the address. Not here: packets and sockets.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::base::addr::canonical_ip;

/// Seconds that an id is good for, as BEP 15 wants it.
pub const LIFE_S: u64 = 120;

/// Bytes that SHA-256 takes at once, the length of HMAC's pads (RFC 2104).
const BLOCK_LEN: usize = 64;

/// Makes ids and knows its own again.
pub struct Minter {
    /// HMAC-SHA-256, its two pads hashed already.
    inner: Sha256,
    outer: Sha256,
}

impl Minter {
    /// A mint with a key of its own, from a strong source.
    pub fn new(key: [u8; 32]) -> Self {
        let pad = |mask: u8| {
            let mut block = [mask; BLOCK_LEN];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha256::new_with_prefix(block)
        };
        Self { inner: pad(0x36), outer: pad(0x5c) }
    }

    /// An id for `address`; `now_s` counts seconds from any beginning. The port is no part of
    /// it: a translator may give each socket of a client another one.
    pub fn mint(&self, address: IpAddr, now_s: u64) -> u64 {
        let [.., second] = now_s.to_be_bytes();
        let mut id = self.hash(address, now_s);
        id[0] = second;
        u64::from_be_bytes(id)
    }

    /// Whether `id` was made here for `address`, at most [`LIFE_S`] seconds ago and not in
    /// time to come. Takes the same time wherever an id is wrong.
    pub fn is_valid(&self, id: u64, address: IpAddr, now_s: u64) -> bool {
        let id = id.to_be_bytes();
        let [.., second] = now_s.to_be_bytes();
        // The second's last byte tells ages up to 255; times to come look older than 120.
        let age_s = u64::from(second.wrapping_sub(id[0]));
        let Some(minted_s) = now_s.checked_sub(age_s).filter(|_| age_s <= LIFE_S) else {
            return false;
        };
        let expected = self.hash(address, minted_s);
        let difference = id.iter().zip(expected).skip(1).fold(0, |all, (a, b)| all | (a ^ b));
        difference == 0
    }

    /// The first eight bytes of the HMAC; the caller replaces the first of them.
    fn hash(&self, address: IpAddr, second: u64) -> [u8; 8] {
        let address = match canonical_ip(address) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut message = [0; 24];
        let (first, last) = message.split_at_mut(16);
        first.copy_from_slice(&Ipv6Addr::octets(&address));
        last.copy_from_slice(&second.to_be_bytes());
        let inner = self.inner.clone().chain_update(message).finalize();
        let outer = self.outer.clone().chain_update(inner).finalize();
        let mut short = [0; 8];
        short.copy_from_slice(&outer[..8]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // Of 16 bytes of address and 8 of time, by another program.
        let minter = Minter::new([7; 32]);
        let expected = "73190e6d8ce4157b";
        let found = minter.hash(ip("2001:db8::1"), 0x0102_0304_0506_0708);
        assert_eq!(data_encoding::HEXLOWER.encode(&found), expected);
    }

    #[test]
    fn an_id_is_good_for_two_minutes_and_for_one_address() {
        let minter = Minter::new([1; 32]);
        for now_s in [0, 255, 256, 100_000] {
            let id = minter.mint(ip(HERE), now_s);
            for age_s in [0, 1, 119, 120] {
                assert!(minter.is_valid(id, ip(HERE), now_s + age_s), "{now_s} {age_s}");
            }
            for age_s in [121, 255, 256, 257, 512, 1 << 20] {
                assert!(!minter.is_valid(id, ip(HERE), now_s + age_s), "{now_s} {age_s}");
            }
            assert!(minter.is_valid(id, ip("::ffff:192.0.2.7"), now_s), "the same address");
            assert!(!minter.is_valid(id, ip("192.0.2.8"), now_s));
            assert!(!Minter::new([2; 32]).is_valid(id, ip(HERE), now_s), "another key");
        }
    }

    #[test]
    fn ids_of_time_to_come_and_changed_ones_are_refused() {
        let minter = Minter::new([1; 32]);
        for ahead_s in [1, 2, 60, 135, 255, 256, 300] {
            let id = minter.mint(ip(HERE), 1000 + ahead_s);
            assert!(!minter.is_valid(id, ip(HERE), 1000), "{ahead_s}");
        }
        let id = minter.mint(ip(HERE), 1000);
        for bit in 0..64 {
            assert!(!minter.is_valid(id ^ (1 << bit), ip(HERE), 1000), "bit {bit}");
        }
    }
}

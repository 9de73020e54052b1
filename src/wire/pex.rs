//! The message of peer exchange (BEP 11): who joined and who left. What may be told of whom, and
//! what is believed, is not decided here.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;

use crate::base::addr::{
    COMPACT_V4_LEN, COMPACT_V6_LEN, parse_compact_v4, parse_compact_v6, write_compact,
};
use crate::bencode::{self, MESSAGE, Value};

use super::Error;

/// The extension's name in `m` of the extension handshake.
pub const UT_PEX: &str = "ut_pex";
/// "the combined amount of added v4/v6 contacts should not exceed 50 entries. The same applies
/// to dropped entries."
pub const PEX_CONTACTS_MAX: usize = 50;

/// What is said of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PexFlags(u8);

impl PexFlags {
    /// It prefers encrypted connections.
    pub const ENCRYPTION: Self = Self(0x01);
    /// It is a seed, or a partial one.
    pub const SEED: Self = Self(0x02);
    /// It speaks uTP.
    pub const UTP: Self = Self(0x04);
    /// It helps others to reach each other (`ut_holepunch`).
    pub const HOLEPUNCH: Self = Self(0x08);
    /// The sender connected to it, so that it can be reached.
    pub const REACHABLE: Self = Self(0x10);
    /// "Other bits are reserved for future use."
    const KNOWN: u8 = 0x1f;

    /// Those of both.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Are all of `others` among these?
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// One message. Both families stand in one list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pex {
    /// Peers that the sender is connected to by now, at most [`PEX_CONTACTS_MAX`], none twice.
    pub added: Vec<(SocketAddr, PexFlags)>,
    /// Peers that it is not connected to any more, at most [`PEX_CONTACTS_MAX`], none twice.
    pub dropped: Vec<SocketAddr>,
}

impl Pex {
    /// Reads the payload of a `ut_pex` message. Of more contacts than BEP 11 allows the first
    /// ones are used, and half of them at least of the family that has fewer. Flags whose number
    /// is not that of the peers count as none: Transmission leaves them out.
    ///
    /// # Errors
    /// When it is not a dictionary within the limits for messages, or a list of peers is no
    /// string of whole entries.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let name = UT_PEX;
        let scan = bencode::scan(payload, MESSAGE)
            .map_err(|cause| Error::UnreadableMessage { name, cause })?;
        let not_a_dictionary = Error::MalformedMessage { name, what: "is not a dictionary" };
        let (mut added, mut flags) = ([&[][..]; 2], [&[][..]; 2]);
        let mut dropped = [&[][..]; 2];
        for (key, value) in scan.root().dict().ok_or(not_a_dictionary)? {
            match key {
                b"added" => added[0] = contacts(value, COMPACT_V4_LEN)?,
                b"added.f" => flags[0] = value.bytes().unwrap_or_default(),
                b"added6" => added[1] = contacts(value, COMPACT_V6_LEN)?,
                b"added6.f" => flags[1] = value.bytes().unwrap_or_default(),
                b"dropped" => dropped[0] = contacts(value, COMPACT_V4_LEN)?,
                b"dropped6" => dropped[1] = contacts(value, COMPACT_V6_LEN)?,
                _ => {}
            }
        }
        let said = |flags: &[u8], count: usize, at: usize| match flags.len() == count {
            true => PexFlags(flags.get(at).copied().unwrap_or(0) & PexFlags::KNOWN),
            false => PexFlags::default(),
        };
        let v4_count = added[0].len() / COMPACT_V4_LEN;
        let added = chosen(added, |at, is_v6| match is_v6 {
            // IPv4 addresses written as IPv6 are left out, which no honest sender writes: flags
            // keep their places all the same.
            true => said(flags[1], added[1].len() / COMPACT_V6_LEN, at),
            false => said(flags[0], v4_count, at),
        });
        let dropped = chosen(dropped, |_, _| ());
        Ok(Self { added, dropped: dropped.into_iter().map(|(address, ())| address).collect() })
    }

    /// Is nothing said? BEP 11 wants such messages not to be sent.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }

    /// Appends the payload to `into`: keys in order, lists only that are not empty, and flags as
    /// many as peers.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.push(b'd');
        for is_v6 in [false, true] {
            let six = if is_v6 { "6" } else { "" };
            let those = self.added.iter().filter(|(address, _)| address.is_ipv6() == is_v6);
            let (addresses, flags): (Vec<_>, Vec<_>) = those.map(|(a, f)| (*a, f.0)).unzip();
            string(into, &format!("added{six}"), &compact(&addresses));
            string(into, &format!("added{six}.f"), &flags);
        }
        for is_v6 in [false, true] {
            let six = if is_v6 { "6" } else { "" };
            let those = self.dropped.iter().filter(|address| address.is_ipv6() == is_v6);
            let addresses: Vec<_> = those.copied().collect();
            string(into, &format!("dropped{six}"), &compact(&addresses));
        }
        into.push(b'e');
    }
}

fn contacts(value: Value<'_>, entry_len: usize) -> Result<&[u8], Error> {
    let whole = value.bytes().filter(|bytes| bytes.len().is_multiple_of(entry_len));
    whole.ok_or(Error::MalformedMessage { name: UT_PEX, what: "has a list of parts of peers" })
}

/// The peers of both lists that are used, with what `said` knows of each.
fn chosen<T>([v4, v6]: [&[u8]; 2], said: impl Fn(usize, bool) -> T) -> Vec<(SocketAddr, T)> {
    let (v4_count, v6_count) = (v4.len() / COMPACT_V4_LEN, v6.len() / COMPACT_V6_LEN);
    let half = PEX_CONTACTS_MAX / 2;
    let v6_most = v6_count.min(half.max(PEX_CONTACTS_MAX.saturating_sub(v4_count)));
    let v4_most = v4_count.min(PEX_CONTACTS_MAX - v6_most);
    let v6 = v6.chunks(COMPACT_V6_LEN).map(|entry| parse_compact_v6(entry).next());
    let v6 = v6.enumerate().take(v6_most).filter_map(|(at, address)| Some((at, address?)));
    let v6 = v6.filter(|(_, address)| address.is_ipv6()).map(|(at, it)| (at, it, true));
    let v4 = parse_compact_v4(v4).enumerate().take(v4_most).map(|(at, it)| (at, it, false));
    let mut met = BTreeSet::new();
    let all = v4.chain(v6).filter(|(_, address, _)| met.insert(*address));
    all.map(|(at, address, is_v6)| (address, said(at, is_v6))).collect()
}

fn compact(addresses: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(addresses.len() * COMPACT_V6_LEN);
    addresses.iter().for_each(|address| write_compact(*address, &mut bytes));
    bytes
}

fn string(into: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        // Writing to memory cannot fail.
        let _ = write!(into, "{}:{key}{}:", key.len(), bytes.len());
        into.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn refused(payload: &[u8]) -> String {
        Pex::decode(payload).unwrap_err().to_string()
    }

    const V6: &[u8; 18] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1";

    #[test]
    fn ours_byte_by_byte() {
        let seed = PexFlags::SEED.with(PexFlags::REACHABLE);
        let pex = Pex {
            added: vec![
                (address("1.2.3.4:6881"), seed),
                (address("5.6.7.8:258"), PexFlags::default()),
                (address("[2001:db8::1]:6881"), PexFlags::UTP),
            ],
            dropped: vec![address("9.9.9.9:1"), address("[2001:db8::1]:6881")],
        };
        let bytes = [
            &b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x01\x027:added.f2:\x12\0"[..],
            b"6:added618:",
            V6,
            b"8:added6.f1:\x047:dropped6:\x09\x09\x09\x09\0\x018:dropped618:",
            V6,
            b"e",
        ];
        let mut written = Vec::new();
        pex.encode(&mut written);
        assert_eq!(written, bytes.concat());
        assert_eq!(Pex::decode(&written).unwrap(), pex);
        assert!(seed.has(PexFlags::SEED) && !seed.has(PexFlags::UTP.with(PexFlags::SEED)));
    }

    #[test]
    fn what_there_is_nothing_of_is_left_out() {
        let pex = Pex { added: vec![], dropped: vec![address("9.9.9.9:1")] };
        let mut written = Vec::new();
        pex.encode(&mut written);
        assert_eq!(written, b"d7:dropped6:\x09\x09\x09\x09\0\x01e");
    }

    #[test]
    fn flags_that_are_missing_or_of_another_number_are_none() {
        // Transmission: `added` alone, or an empty dictionary.
        assert!(Pex::decode(b"de").unwrap().is_empty());
        for flags in [&b""[..], b"7:added.f0:", b"7:added.f2:\x02\x02", b"7:added.fi7e"] {
            let bytes = [b"d5:added6:\x01\x02\x03\x04\x1a\xe1", flags, b"e"].concat();
            let pex = Pex::decode(&bytes).unwrap();
            assert_eq!(pex.added, [(address("1.2.3.4:6881"), PexFlags::default())], "{flags:?}");
        }
        let reserved = b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.f1:\xe2e";
        assert_eq!(Pex::decode(reserved).unwrap().added[0].1, PexFlags::SEED);
    }

    #[test]
    fn lists_of_parts_of_peers_are_refused() {
        for bad in ["d5:added5:aaaaae", "d6:added66:aaaaaae", "d7:dropped1:ae", "d5:addedi1ee"] {
            let told = "its ut_pex message has a list of parts of peers";
            assert_eq!(refused(bad.as_bytes()), told, "{bad}");
        }
        assert!(refused(b"le").contains("dictionary"));
        assert!(refused(b"d5:added").contains("not readable"));
    }

    #[test]
    fn fifty_are_used_and_none_twice() {
        let v4 = |count: u8| (0..count).flat_map(|n| [1, 2, 3, n, 0, 9]).collect::<Vec<u8>>();
        let v6 = |count: u8| (0..count).flat_map(|n| [&V6[..16], &[1, n]].concat()).collect();
        let message = |v4: Vec<u8>, v6: Vec<u8>| {
            let head = |name: &str, bytes: &[u8]| format!("{name}{}:", bytes.len()).into_bytes();
            let lists = [&head("d5:added", &v4), &v4, &head("6:added6", &v6), &v6];
            let pex = Pex::decode(&[&lists.map(Vec::as_slice).concat()[..], b"e"].concat());
            let added = pex.unwrap().added;
            let v6_count = added.iter().filter(|(address, _)| address.is_ipv6()).count();
            (added.len() - v6_count, v6_count)
        };
        assert_eq!(message(v4(60), v6(60)), (25, 25));
        assert_eq!(message(v4(60), v6(10)), (40, 10));
        assert_eq!(message(v4(10), v6(60)), (10, 40));
        assert_eq!(message(v4(60), Vec::new()), (50, 0));
        assert_eq!(message(v4(1).repeat(3), v6(1).repeat(3)), (1, 1));
    }

    #[test]
    fn ipv4_in_the_list_of_ipv6_is_left_out_and_flags_stay_with_their_peers() {
        let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\x1a\xe1";
        let bytes = [&b"d6:added636:"[..], mapped, V6, b"8:added6.f2:\x01\x02e"].concat();
        let pex = Pex::decode(&bytes).unwrap();
        assert_eq!(pex.added, [(address("[2001:db8::1]:6881"), PexFlags::SEED)]);
    }
}

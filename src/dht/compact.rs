//! The compact forms of nodes and peers (BEP 5, 32), read where they lie. Not here:
//! which of them are believed.

use std::net::{IpAddr, SocketAddr};

use crate::base::addr::{
    COMPACT_V4_LEN, COMPACT_V6_LEN, parse_compact_v4, parse_compact_v6, write_compact,
};
use crate::bencode::{List, Value};

use super::id::NodeId;
use super::nets::Family;

/// "Compact node info": 20 bytes of id, 4 of address, 2 of port.
pub const NODE_V4_LEN: usize = 20 + COMPACT_V4_LEN;
/// The same with an address of 16 bytes (BEP 32).
pub const NODE_V6_LEN: usize = 20 + COMPACT_V6_LEN;
/// Entries that are used of one list of nodes; an honest one has 8, or 16.
pub const NODES_MAX: usize = 32;
/// Entries in a list of nodes that no honest node sends.
const NODES_ODD: usize = 64;
/// Peers that are looked at in one reply: libtorrent sends at most 100.
pub const PEERS_MAX: usize = 200;
/// Peers at one address that are believed in one reply.
pub const PORTS_MAX: usize = 4;

/// A node as others name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeInfo {
    /// Its name.
    pub id: NodeId,
    /// Where it is.
    pub address: SocketAddr,
}

impl NodeInfo {
    /// Appends the compact form: 26 or 38 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        write_compact(self.address, out);
    }
}

/// A list of nodes of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nodes<'a> {
    bytes: &'a [u8],
    family: Family,
}

impl<'a> Nodes<'a> {
    /// The value of `nodes` or `nodes6`.
    pub fn new(bytes: &'a [u8], family: Family) -> Self {
        Self { bytes, family }
    }

    /// The list as it was written.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it is not made of whole entries, or longer than any that is meant well.
    pub fn is_odd(self) -> bool {
        let (len, entry) = (self.bytes.len(), self.entry_len());
        !len.is_multiple_of(entry) || len > entry * NODES_ODD
    }

    /// The first [`NODES_MAX`] whole entries.
    pub fn iter(self) -> impl Iterator<Item = NodeInfo> + 'a {
        let entries = self.bytes.chunks_exact(self.entry_len()).take(NODES_MAX);
        entries.filter_map(|entry| {
            let (id, address) = entry.split_first_chunk()?;
            Some(NodeInfo { id: NodeId(*id), address: peer(address)? })
        })
    }

    fn entry_len(self) -> usize {
        match self.family {
            Family::V4 => NODE_V4_LEN,
            Family::V6 => NODE_V6_LEN,
        }
    }
}

/// The peers of a reply, as they came or as they lie in the store.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// A list of strings.
    List(List<'a>),
    /// The strings one behind the other, each of the length of its family.
    Packed(&'a [u8], Family),
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self::Packed(&[], Family::V4)
    }
}

impl<'a> Values<'a> {
    /// Peers among the first [`PEERS_MAX`] entries; what is none is left out (BEP 32 has the
    /// families apart, real nodes mix them).
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> + 'a {
        self.strings().take(PEERS_MAX).filter_map(peer)
    }

    /// Whether it has no entry.
    pub fn is_empty(self) -> bool {
        self.strings().next().is_none()
    }

    /// The entries as they are.
    pub(super) fn strings(self) -> impl Iterator<Item = &'a [u8]> {
        let (list, packed, len) = match self {
            Self::List(list) => (Some(list), &[][..], COMPACT_V4_LEN),
            Self::Packed(bytes, Family::V4) => (None, bytes, COMPACT_V4_LEN),
            Self::Packed(bytes, Family::V6) => (None, bytes, COMPACT_V6_LEN),
        };
        let listed = list.into_iter().flatten().filter_map(Value::bytes);
        listed.chain(packed.chunks_exact(len))
    }
}

/// The address and port of 6 or 18 bytes.
pub fn peer(bytes: &[u8]) -> Option<SocketAddr> {
    match bytes.len() {
        COMPACT_V4_LEN => parse_compact_v4(bytes).next(),
        COMPACT_V6_LEN => parse_compact_v6(bytes).next(),
        _ => None,
    }
}

/// The address of 4 or 16 bytes, or of 6 or 18 with a port, as `ip` has it (BEP 42).
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Some(crate::base::addr::canonical_ip(v6.into()));
    }
    peer(bytes).map(|peer| peer.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode::{MESSAGE, scan};

    fn node(last: u8, address: &str) -> NodeInfo {
        let mut id = NodeId([7; 20]);
        id.0[19] = last;
        NodeInfo { id, address: address.parse().unwrap() }
    }

    #[test]
    fn nodes_of_both_families_are_read_back() {
        for (family, a, b) in [
            (Family::V4, "1.2.3.4:6881", "5.6.7.8:65535"),
            (Family::V6, "[2001:db8::1]:6881", "[2001:db8::2]:1"),
        ] {
            let nodes = [node(1, a), node(2, b)];
            let mut bytes = Vec::new();
            nodes.iter().for_each(|node| node.write(&mut bytes));
            let list = Nodes::new(&bytes, family);
            assert_eq!(list.iter().collect::<Vec<_>>(), nodes);
            assert!(!list.is_odd());
        }
        // Written by hand: id, address, port in network order.
        let hand = b"ABCDEFGHIJKLMNOPQRST\x01\x02\x03\x04\x1a\xe1";
        let info = Nodes::new(hand, Family::V4).iter().next().unwrap();
        assert_eq!(info.id, NodeId(*b"ABCDEFGHIJKLMNOPQRST"));
        assert_eq!(info.address, "1.2.3.4:6881".parse().unwrap());
    }

    #[test]
    fn a_ragged_or_endless_list_gives_its_first_whole_entries_and_is_told() {
        let mut bytes = Vec::new();
        (0..3).for_each(|last| node(last, "1.2.3.4:6881").write(&mut bytes));
        bytes.pop();
        let list = Nodes::new(&bytes, Family::V4);
        assert!(list.is_odd());
        assert_eq!(list.iter().count(), 2);
        bytes.clear();
        (0..64).for_each(|last| node(last, "1.2.3.4:6881").write(&mut bytes));
        assert!(!Nodes::new(&bytes, Family::V4).is_odd());
        node(64, "1.2.3.4:6881").write(&mut bytes);
        let list = Nodes::new(&bytes, Family::V4);
        assert!(list.is_odd());
        assert_eq!(list.iter().count(), NODES_MAX);
        assert!(!Nodes::new(&[], Family::V6).is_odd());
    }

    #[test]
    fn values_that_are_no_peers_are_left_out() {
        let bytes = b"l6:\x01\x02\x03\x04\x1a\xe15:shorti7e18:AAAAAAAAAAAAAAAA\x00\x50e";
        let scan = scan(bytes, MESSAGE).unwrap();
        let values = Values::List(scan.root().list().unwrap());
        let peers: Vec<_> = values.iter().map(|peer| peer.to_string()).collect();
        assert_eq!(peers, ["1.2.3.4:6881", "[4141:4141:4141:4141:4141:4141:4141:4141]:80"]);
        assert!(!values.is_empty());
        assert!(Values::default().is_empty());
    }

    #[test]
    fn two_hundred_peers_of_a_reply_are_looked_at() {
        let peers: Vec<u8> = (0..500_u16)
            .flat_map(|n| [9, 9, n.to_be_bytes()[0], n.to_be_bytes()[1], 1, 1])
            .collect();
        assert_eq!(Values::Packed(&peers, Family::V4).iter().count(), PEERS_MAX);
    }

    #[test]
    fn an_own_address_comes_with_or_without_a_port() {
        let v4 = Some("1.2.3.4".parse().unwrap());
        assert_eq!(address(&[1, 2, 3, 4]), v4);
        assert_eq!(address(&[1, 2, 3, 4, 0, 80]), v4);
        assert_eq!(address(&[0xfe; 16]), address(&[&[0xfe; 16][..], &[0, 80]].concat()));
        assert_eq!(address(&[1, 2, 3, 4, 5]), None);
    }
}

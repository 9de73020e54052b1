//! What `dht.dat` keeps of one machine: its id, for which address it was made, and nodes to begin
//! with. Not here: files, and which nodes deserve it. Whatever is wrong with the bytes, the
//! machine begins without them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::addr::write_compact;
use crate::base::checksum::crc32c;

use super::compact::{self, NODE_V4_LEN, NODE_V6_LEN, NodeInfo};
use super::contacts::Start;
use super::id::NodeId;
use super::nets::Family;

/// More is never read: some 1,000 nodes.
pub const SAVED_LEN_MAX: usize = 64 * 1024;
/// Nodes that are written: enough that some live after weeks, of both kinds.
pub const SAVED_NODES_MAX: usize = 1_000;
/// What the bytes begin with; the last is the version.
const MAGIC: &[u8; 5] = b"PNDH\x02";
/// Bytes of the checksum at the end: CRC-32C, against torn writes, not against forgers.
const CHECK_LEN: usize = 4;
/// Behind each node: milliseconds of its round trip, none when all bits are set.
const TRIP_LEN: usize = 2;

/// What one machine leaves to the next.
#[derive(Clone, PartialEq, Debug)]
pub struct Saved {
    /// Its id.
    pub id: NodeId,
    /// The port that it had, 0 for any: another program that begins with the same nodes has another
    /// port, and must not have the same id.
    pub port: u16,
    /// The public address for which it was made (BEP 42).
    pub made_for: Option<IpAddr>,
    /// Nodes, those that deserve it most first.
    pub nodes: Vec<Start>,
}

impl Saved {
    /// The bytes, at most [`SAVED_LEN_MAX`]; only nodes of `family` are taken.
    pub fn write(&self, family: Family) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(code(family));
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.port.to_be_bytes());
        // As a compact peer of port 0, behind its length.
        let begin = out.len();
        out.push(0);
        if let Some(address) = self.made_for {
            write_compact(SocketAddr::new(address, 0), &mut out);
            out[begin] = (out.len() - begin - 1) as u8;
        }
        let fits = |start: &&Start| Family::of(start.node.address.ip()) == family;
        for start in self.nodes.iter().filter(fits).take(SAVED_NODES_MAX) {
            start.node.write(&mut out);
            let trip = start.round_trip.and_then(|trip| u16::try_from(trip.as_millis()).ok());
            out.extend_from_slice(&trip.unwrap_or(u16::MAX).to_be_bytes());
        }
        out.extend_from_slice(&crc32c(&out).to_be_bytes());
        out
    }

    /// Reads what a machine of the same family wrote; none when it did not, or when the bytes
    /// are torn, changed, too many or of another version.
    pub fn read(bytes: &[u8], family: Family) -> Option<Self> {
        if bytes.len() > SAVED_LEN_MAX {
            return None;
        }
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_LEN)?)?;
        if crc32c(body).to_be_bytes() != check {
            return None;
        }
        let body = body.strip_prefix(MAGIC)?.strip_prefix(&[code(family)])?;
        let (id, body) = body.split_first_chunk()?;
        let (port, body) = body.split_first_chunk()?;
        let (len, body) = body.split_first()?;
        let (made_for, body) = body.split_at_checked(usize::from(*len))?;
        let made_for = compact::peer(made_for).map(|address| address.ip());
        let node_len = match family {
            Family::V4 => NODE_V4_LEN,
            Family::V6 => NODE_V6_LEN,
        };
        let start = |entry: &[u8]| {
            let (node, trip) = entry.split_at_checked(node_len)?;
            let (id, address) = node.split_first_chunk()?;
            let trip = u16::from_be_bytes(trip.try_into().ok()?);
            let node = NodeInfo { id: NodeId(*id), address: compact::peer(address)? };
            let is_known = trip != u16::MAX;
            Some(Start::new(node, is_known.then(|| Duration::from_millis(trip.into()))))
        };
        let nodes = body.chunks_exact(node_len + TRIP_LEN).filter_map(start);
        let port = u16::from_be_bytes(*port);
        Some(Self { id: NodeId(*id), port, made_for, nodes: nodes.take(SAVED_NODES_MAX).collect() })
    }
}

fn code(family: Family) -> u8 {
    match family {
        Family::V4 => b'4',
        Family::V6 => b'6',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dht::candidates::tests::node;

    fn saved(count: u16) -> Saved {
        let trip = |far: u16| (far > 0).then(|| Duration::from_millis(far.into()));
        let start = |far: u16| Start::new(node(far, far), trip(far));
        Saved {
            id: NodeId([7; 20]),
            port: 6881,
            made_for: Some("203.0.113.9".parse().unwrap()),
            nodes: (0..count).map(start).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let all = saved(5);
        assert_eq!(Saved::read(&all.write(Family::V4), Family::V4), Some(all.clone()));
        let bare = Saved { made_for: None, nodes: Vec::new(), ..all };
        assert_eq!(Saved::read(&bare.write(Family::V6), Family::V6), Some(bare));
    }

    #[test]
    fn both_families_keep_to_themselves() {
        let mut six = saved(3);
        six.nodes[1].node.address = "[2001:db8::1]:6881".parse().unwrap();
        six.made_for = Some("2001:db8::2".parse().unwrap());
        let bytes = six.write(Family::V6);
        let read = Saved::read(&bytes, Family::V6).unwrap();
        assert_eq!((read.nodes.len(), read.nodes[0]), (1, six.nodes[1]));
        assert_eq!(read.made_for, six.made_for);
        assert_eq!(Saved::read(&bytes, Family::V4), None);
    }

    #[test]
    fn it_stays_within_64_kib() {
        let mut many = saved(3_000);
        let bytes = many.write(Family::V4);
        assert_eq!(Saved::read(&bytes, Family::V4).unwrap().nodes.len(), SAVED_NODES_MAX);
        for start in &mut many.nodes {
            start.node.address.set_ip("2001:db8::1".parse().unwrap());
        }
        assert!(many.write(Family::V6).len() <= SAVED_LEN_MAX);
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_empty_one() {
        let bytes = saved(20).write(Family::V4);
        for len in 0..bytes.len() {
            assert_eq!(Saved::read(&bytes[..len], Family::V4), None);
        }
        let mut newer = bytes.clone();
        newer[4] += 1;
        let len = newer.len() - CHECK_LEN;
        let check = crc32c(&newer[..len]).to_be_bytes();
        newer[len..].copy_from_slice(&check);
        assert_eq!(Saved::read(&newer, Family::V4), None, "another version");
        assert_eq!(Saved::read(&vec![0; SAVED_LEN_MAX + 1], Family::V4), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, flipped in 0_usize..200, bit in 0_u32..8) {
            prop_assert!(Saved::read(&bytes, Family::V4).is_none());
            let mut changed = saved(6).write(Family::V4);
            let at = flipped % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert!(Saved::read(&changed, Family::V4).is_none());
        }
    }
}

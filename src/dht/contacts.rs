//! The nodes that answered lately, or were named lately, of all lookups: where the next one begins.
//! Beside the table, which keeps few and long-lived ones; nobody is told of these. The idea is
//! mldht's (`AnnounceNodeCache.java`); libtorrent's table holds named ones, too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::compact::{self, NODE_V4_LEN, NODE_V6_LEN, NodeInfo};
use super::id::NodeId;
use super::nets::Family;

/// Nodes that are kept for few torrents: 64 KiB of IPv4.
pub const CONTACTS_MIN: usize = 2_048;
/// Nodes that are kept for many: what makes lookups among a million nodes twice as quick in the
/// design's model.
pub const CONTACTS_MAX: usize = 16_384;
/// How long a node is taken for alive after its answer.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// Among so many neighbours the one that answered longest ago makes room: enough to hit old
/// ones, and no walk through all.
const ROOM_AMONG: usize = 64;
/// Bytes behind the node: second of its answer, milliseconds of its round trip.
const TAIL_LEN: usize = 6;
/// The round trip of one that never answered.
const NEVER: u16 = u16::MAX;

/// A node that a lookup may begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Who and where.
    pub node: NodeInfo,
    /// Its latest round trip, if it ever answered.
    pub round_trip: Option<Duration>,
    /// Whether it did not answer lately.
    pub is_absent: bool,
}

impl Start {
    /// A node of which nothing bad is known.
    pub fn new(node: NodeInfo, round_trip: Option<Duration>) -> Self {
        Self { node, round_trip, is_absent: false }
    }
}

/// The last responders, or the last that were named, sorted by id in one piece of memory.
#[derive(Debug)]
pub struct Contacts {
    /// Compact node, second, round trip; one behind the other.
    records: Vec<u8>,
    node_len: usize,
    room: usize,
    born: Instant,
}

impl Contacts {
    /// None yet.
    pub fn new(family: Family, now: Instant) -> Self {
        let node_len = match family {
            Family::V4 => NODE_V4_LEN,
            Family::V6 => NODE_V6_LEN,
        };
        Self { records: Vec::new(), node_len, room: CONTACTS_MIN, born: now }
    }

    /// How many are kept for so many announced torrents: the more of them, the likelier that a
    /// node is near another one's.
    pub fn set_torrents(&mut self, count: usize) {
        self.room = (2 * count).clamp(CONTACTS_MIN, CONTACTS_MAX);
        self.records.truncate(self.room * self.record_len());
    }

    /// A node answered. Who is known stays where it is known until that fails: whoever knows an
    /// id could claim it (jech's dht takes that for a move).
    pub fn answered(
        &mut self,
        node: NodeInfo,
        round_trip: Duration,
        now: Instant,
        rng: &mut StdRng,
    ) {
        let trip = u16::try_from(round_trip.as_millis()).unwrap_or(NEVER).min(NEVER - 1);
        self.note(node, trip, now, rng);
    }

    /// A node was named by another one, and may be dead.
    pub fn named(&mut self, node: NodeInfo, now: Instant, rng: &mut StdRng) {
        self.note(node, NEVER, now, rng);
    }

    fn note(&mut self, node: NodeInfo, trip: u16, now: Instant, rng: &mut StdRng) {
        let mut record = Vec::with_capacity(self.record_len());
        node.write(&mut record);
        if record.len() != self.node_len {
            return;
        }
        let second = u32::try_from(self.age_of(now).as_secs()).unwrap_or(u32::MAX);
        record.extend_from_slice(&second.to_be_bytes());
        record.extend_from_slice(&trip.to_be_bytes());
        match self.find(&node.id) {
            Ok(at) => {
                let (begin, node_len) = (at * self.record_len(), self.node_len);
                let known = &mut self.records[begin..begin + record.len()];
                if known[..node_len] == record[..node_len] {
                    known.copy_from_slice(&record);
                }
            }
            Err(_) => {
                self.make_room(now, rng);
                let at = self.find(&node.id).unwrap_or_else(|at| at) * self.record_len();
                self.records.splice(at..at, record);
            }
        }
    }

    /// A node did not answer, or is another one by now; whether it was known.
    pub fn failed(&mut self, node: &NodeInfo) -> bool {
        let found = self.find(&node.id).ok();
        let is_it =
            |at: &usize| self.get(*at).is_some_and(|(it, _)| it.node.address == node.address);
        let Some(at) = found.filter(is_it) else { return false };
        let begin = at * self.record_len();
        self.records.drain(begin..begin + self.record_len());
        true
    }

    /// Appends the `count` nodes nearest to `target`, nearest first.
    pub fn nearest(&self, target: &NodeId, count: usize, now: Instant, out: &mut Vec<Start>) {
        // Those that share the first bits with the target lie side by side, and are nearer than
        // all others: as few bits as give enough of them.
        let middle = self.find(target).unwrap_or_else(|at| at);
        let neighbour = |at: Option<usize>| {
            at.and_then(|at| self.get(at)).map_or(0, |(start, _)| start.node.id.common_bits(target))
        };
        let mut bits = neighbour(Some(middle)).max(neighbour(middle.checked_sub(1)));
        let mut found: Vec<Start>;
        loop {
            let (begin, end) = self.sharing(target, bits);
            let fresh = |(start, second): (Start, u32)| {
                let heard = self.born + Duration::from_secs(second.into());
                (now.saturating_duration_since(heard) < KEPT).then_some(start)
            };
            found = (begin..end).filter_map(|at| self.get(at)).filter_map(fresh).collect();
            if found.len() >= count || bits == 0 {
                break;
            }
            bits -= 1;
        }
        found.sort_by_key(|start| start.node.id.distance(target));
        out.extend(found.into_iter().take(count));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.records.len() / self.record_len()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = Start> + '_ {
        (0..self.count()).filter_map(|at| self.get(at)).map(|(start, _)| start)
    }

    /// Where those lie that share the first `bits` with `target`.
    fn sharing(&self, target: &NodeId, bits: usize) -> (usize, usize) {
        let (mut low, mut high) = (*target, *target);
        for (index, (low, high)) in low.0.iter_mut().zip(&mut high.0).enumerate() {
            let free = 0xff_u16 >> bits.saturating_sub(index * 8).min(8);
            *low &= !(free as u8);
            *high |= free as u8;
        }
        let begin = self.find(&low).unwrap_or_else(|at| at);
        let end = self.find(&high).map_or_else(|at| at, |at| at + 1);
        (begin, end)
    }

    fn make_room(&mut self, now: Instant, rng: &mut StdRng) {
        if self.count() < self.room {
            return;
        }
        let last = self.count().saturating_sub(ROOM_AMONG);
        let from = rng.random_range(0..=last);
        let window = from..(from + ROOM_AMONG).min(self.count());
        let oldest = window.min_by_key(|at| self.get(*at).map(|(_, second)| second));
        debug_assert!(oldest.is_some() && now >= self.born);
        if let Some(at) = oldest {
            let begin = at * self.record_len();
            self.records.drain(begin..begin + self.record_len());
        }
    }

    fn find(&self, id: &NodeId) -> Result<usize, usize> {
        let len = self.record_len();
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            match self.records[middle * len..middle * len + 20].cmp(&id.0[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// The record at an index, and the second of its answer.
    fn get(&self, at: usize) -> Option<(Start, u32)> {
        let len = self.record_len();
        let record = self.records.get(at * len..(at + 1) * len)?;
        let (node, tail) = record.split_at_checked(self.node_len)?;
        let (id, address) = node.split_first_chunk()?;
        let address: SocketAddr = compact::peer(address)?;
        let (second, trip) = tail.split_first_chunk()?;
        let trip = u16::from_be_bytes(trip.try_into().ok()?);
        let node = NodeInfo { id: NodeId(*id), address };
        let round_trip = (trip != NEVER).then(|| Duration::from_millis(trip.into()));
        Some((Start::new(node, round_trip), u32::from_be_bytes(*second)))
    }

    fn age_of(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    fn record_len(&self) -> usize {
        self.node_len + TAIL_LEN
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rng() -> StdRng {
        StdRng::seed_from_u64(3)
    }

    fn any(rng: &mut StdRng) -> NodeInfo {
        let address = SocketAddr::from((rng.random::<[u8; 4]>(), 6881));
        NodeInfo { id: NodeId::random(rng), address }
    }

    #[test]
    fn the_nearest_come_first_and_are_the_right_ones() {
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let nodes: Vec<NodeInfo> = (0..500).map(|_| any(&mut rng)).collect();
        for node in &nodes {
            contacts.answered(*node, 20 * MS, now, &mut rng);
        }
        for _ in 0..50 {
            let target = NodeId::random(&mut rng);
            let mut wanted = nodes.clone();
            wanted.sort_by_key(|node| node.id.distance(&target));
            let mut found = Vec::new();
            contacts.nearest(&target, 16, now, &mut found);
            let found: Vec<NodeInfo> = found.iter().map(|start| start.node).collect();
            assert_eq!(found, wanted[..16]);
        }
        let mut all = Vec::new();
        contacts.nearest(&nodes[0].id, 1_000, now, &mut all);
        assert_eq!((all.len(), all[0].node), (500, nodes[0]));
        assert_eq!(all[0].round_trip, Some(20 * MS));
    }

    #[test]
    fn who_was_only_named_has_no_round_trip() {
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let node = any(&mut rng);
        contacts.named(node, now, &mut rng);
        assert_eq!(contacts.iter().collect::<Vec<_>>(), [Start::new(node, None)]);
        contacts.answered(node, 100_000 * MS, now, &mut rng);
        assert!(contacts.iter().all(|start| start.round_trip.is_some()), "it took long");
    }

    #[test]
    fn a_crowded_corner_is_no_trap() {
        // All of rqbit's ids begin alike.
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let mut nodes: Vec<NodeInfo> = (0..400).map(|_| any(&mut rng)).collect();
        nodes[..300].iter_mut().for_each(|node| node.id.0[..3].copy_from_slice(b"-rQ"));
        for node in &nodes {
            contacts.answered(*node, MS, now, &mut rng);
        }
        let mut target = NodeId::random(&mut rng);
        for first in [0x2d, 0x2c, 0xf0] {
            target.0[0] = first;
            nodes.sort_by_key(|node| node.id.distance(&target));
            let mut found = Vec::new();
            contacts.nearest(&target, 16, now, &mut found);
            let found: Vec<NodeInfo> = found.iter().map(|start| start.node).collect();
            assert_eq!(found, nodes[..16]);
        }
    }

    #[test]
    fn who_did_not_answer_for_half_an_hour_is_no_start() {
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let (old, new) = (any(&mut rng), any(&mut rng));
        contacts.answered(old, MS, now, &mut rng);
        contacts.answered(new, MS, now + 60 * 1000 * MS, &mut rng);
        let mut found = Vec::new();
        contacts.nearest(&old.id, 8, now + KEPT, &mut found);
        assert_eq!(found.iter().map(|start| start.node).collect::<Vec<_>>(), [new]);
    }

    #[test]
    fn a_known_id_stays_at_its_address_until_it_fails_there() {
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let honest = any(&mut rng);
        let thief = NodeInfo { id: honest.id, address: any(&mut rng).address };
        contacts.answered(honest, MS, now, &mut rng);
        contacts.answered(thief, MS, now, &mut rng);
        assert_eq!(contacts.iter().next().unwrap().node, honest);
        contacts.failed(&thief);
        assert_eq!(contacts.count(), 1);
        contacts.failed(&honest);
        contacts.answered(thief, MS, now, &mut rng);
        assert_eq!(contacts.iter().next().unwrap().node, thief);
    }

    #[test]
    fn room_is_made_by_old_ones_and_grows_with_the_torrents() {
        let (mut rng, now) = (rng(), Instant::now());
        let mut contacts = Contacts::new(Family::V4, now);
        let mut later = now;
        for _ in 0..3_000 {
            later += 100 * MS;
            contacts.answered(any(&mut rng), MS, later, &mut rng);
        }
        assert_eq!(contacts.count(), CONTACTS_MIN);
        assert_eq!(contacts.records.len(), 64 * 1024);
        let seconds = (0..contacts.count()).filter_map(|at| contacts.get(at)).map(|(_, s)| s);
        let early = seconds.filter(|second| *second < 90).count();
        assert!(early < 100, "{early} of the first 900 are left");
        contacts.set_torrents(10_000);
        for _ in 0..3_000 {
            contacts.answered(any(&mut rng), MS, later, &mut rng);
        }
        assert_eq!(contacts.count(), CONTACTS_MIN + 3_000);
        contacts.set_torrents(3);
        assert_eq!(contacts.count(), CONTACTS_MIN);
    }

    #[test]
    fn both_families() {
        let (mut rng, now) = (rng(), Instant::now());
        let six =
            NodeInfo { id: NodeId::random(&mut rng), address: "[2001:db8::1]:7".parse().unwrap() };
        let four = any(&mut rng);
        let mut contacts = Contacts::new(Family::V6, now);
        contacts.answered(four, MS, now, &mut rng);
        assert_eq!(contacts.count(), 0, "of the other family");
        contacts.answered(six, MS, now, &mut rng);
        assert_eq!(contacts.iter().next().unwrap().node, six);
    }
}

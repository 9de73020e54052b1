//! When each torrent is announced again, how soon it is looked for once more when nobody was
//! found, and at which nodes that begins: those that keep its last announce. Not here: the
//! lookups themselves, and how many may be under way.
//!
//! Torrents that were never announced are taken in the order of their hashes, so that one
//! lookup's contacts are near the next one's target, in many regions by turns, so that neighbours
//! do not ask the same nodes within seconds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::base::ids::InfoHash;

use super::compact::{self, NODE_V4_LEN, NODE_V6_LEN, NodeInfo};
use super::event::Haste;
use super::id::NodeId;

/// Transmission's nodes forget an announce after 32 minutes, libtorrent's after 45.
const PERIOD: Duration = Duration::from_secs(27 * 60);
/// A bit sooner by chance, so that what began together drifts apart.
const JITTER: Duration = Duration::from_secs(60);
/// From here on an announce is late.
const LATE: Duration = Duration::from_secs(28 * 60);
/// Seconds until the next lookup when the last ones found nobody or stored nothing (libtorrent
/// waits 15 minutes after the first: libtorrent#6829).
const RETRIES_S: [u64; 9] = [5, 10, 20, 40, 60, 120, 240, 480, 900];
/// How soon after a lookup in vain another one follows because nodes were met.
const MET_APART: Duration = Duration::from_secs(1);
/// First bytes of a region of hashes, which makes 64 of them: at six lookups a second each has
/// its turn every ten seconds.
const REGION: u8 = 4;
/// Bytes of the nodes that are remembered of one torrent: 12 of IPv4, 8 of IPv6.
const REMEMBERED_LEN: usize = 312;

/// What is announced of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Where we take connections; with none others are only looked for.
    pub port: Option<u16>,
    /// `implied_port`.
    pub implied: bool,
    /// Whether we have all of it.
    pub seed: bool,
    /// How much its lookups may cost.
    pub haste: Haste,
}

/// How one announce went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Nodes that took it.
    pub stored: usize,
    /// Whether any peer was named.
    pub has_peers: bool,
}

/// One torrent.
#[derive(Debug)]
struct Plan {
    hash: InfoHash,
    said: Said,
    /// When it is due; none while it is under way or was never announced.
    due: Option<Instant>,
    is_running: bool,
    /// What is said of it changed while it was under way.
    is_stale: bool,
    /// Lookups in vain.
    vain: u8,
    /// Since when it counts as announced, or should have been.
    fresh_from: Instant,
    /// Compact nodes that keep it.
    nodes: Box<[u8]>,
}

/// All torrents that are announced.
#[derive(Debug, Default)]
pub struct Schedule {
    /// By hash.
    plans: Vec<Plan>,
    /// Those for which somebody waits.
    urgent: BTreeSet<(Instant, InfoHash)>,
    /// Those to be announced again.
    again: BTreeSet<(Instant, InfoHash)>,
    /// Those never announced.
    first: BTreeSet<InfoHash>,
    /// The region whose turn it is in the sweep through those.
    region: u8,
    /// Takes turns between the last two.
    is_first_turn: bool,
}

impl Schedule {
    /// Says from now on that of a torrent. One that is known keeps its nodes; it is due at once
    /// when others would be told something wrong, or when somebody waits who did not before.
    pub fn announce(&mut self, hash: InfoHash, said: Said, now: Instant) {
        let at = match self.find(hash) {
            Ok(at) => at,
            Err(at) => {
                if self.plans.len() == self.plans.capacity() {
                    self.plans.reserve_exact(self.plans.len() / 8 + 16);
                }
                self.plans.insert(at, Plan::new(hash, said, now));
                at
            }
        };
        self.unqueue(at);
        let plan = &mut self.plans[at];
        let is_other = Said { haste: said.haste, ..plan.said } != said;
        let is_hurried = said.haste == Haste::Urgent && plan.said.haste != Haste::Urgent;
        plan.said = said;
        if is_hurried {
            plan.vain = 0;
        }
        if plan.is_running {
            plan.is_stale |= is_other;
        } else if plan.due.is_some() && (is_other || is_hurried) {
            plan.due = Some(now);
        }
        self.queue(at, now);
    }

    /// Says nothing of a torrent any more.
    pub fn forget(&mut self, hash: InfoHash) {
        if let Ok(at) = self.find(hash) {
            self.unqueue(at);
            self.plans.remove(at);
        }
    }

    /// The torrent whose turn it is; of those for which nobody waits only if `is_calm`, too.
    pub fn next(&self, is_calm: bool, now: Instant) -> Option<InfoHash> {
        let due = |queue: &BTreeSet<(Instant, InfoHash)>| {
            queue.first().filter(|(due, _)| *due <= now).map(|(_, hash)| *hash)
        };
        let urgent = due(&self.urgent);
        if urgent.is_some() || !is_calm {
            return urgent;
        }
        let (first, again) = (self.next_first(), due(&self.again));
        if self.is_first_turn { first.or(again) } else { again.or(first) }
    }

    /// A lookup for a torrent begins; what is said of it, and the nodes that keep the last.
    pub fn begin(&mut self, hash: InfoHash) -> Option<(Said, Vec<NodeInfo>)> {
        let at = self.find(hash).ok()?;
        self.is_first_turn = self.plans[at].due.is_some();
        if !self.is_first_turn && self.plans[at].said.haste == Haste::Background {
            self.region = hash.0[0].wrapping_add(REGION);
        }
        self.unqueue(at);
        let plan = &mut self.plans[at];
        (plan.is_running, plan.is_stale, plan.due) = (true, false, None);
        Some((plan.said, plan.nodes().collect()))
    }

    /// The lookup for a torrent is done; after how long the next one follows.
    pub fn done(
        &mut self,
        hash: InfoHash,
        outcome: Outcome,
        now: Instant,
        rng: &mut StdRng,
    ) -> Option<Duration> {
        let at = self.find(hash).ok()?;
        let plan = &mut self.plans[at];
        let is_urgent = plan.said.haste == Haste::Urgent;
        let last = RETRIES_S.len() - 1;
        // Who only looks has nothing kept, and looks as often as if nobody was found: so it may be
        // with those whom it found.
        let again = if outcome.stored == 0 || (is_urgent && !outcome.has_peers) {
            let step = usize::from(plan.vain).min(last);
            plan.vain = plan.vain.saturating_add(1);
            Duration::from_secs(RETRIES_S[step])
        } else {
            plan.vain = 0;
            // Few peers are more than none: as often as the last retries.
            let period = if is_urgent { Duration::from_secs(RETRIES_S[last]) } else { PERIOD };
            period - JITTER.mul_f64(rng.random())
        };
        if outcome.stored > 0 {
            plan.fresh_from = now;
        }
        let again = if plan.is_stale { Duration::ZERO } else { again };
        (plan.is_running, plan.due) = (false, Some(now + again));
        self.queue(at, now);
        Some(again)
    }

    /// Remembers the nodes that keep a torrent's announce, nearest first.
    pub fn remember(&mut self, hash: InfoHash, nodes: impl Iterator<Item = NodeInfo>) {
        let mut bytes = Vec::new();
        for node in nodes {
            let begin = bytes.len();
            node.write(&mut bytes);
            if bytes.len() > REMEMBERED_LEN {
                bytes.truncate(begin);
                break;
            }
        }
        if let Ok(at) = self.find(hash)
            && !bytes.is_empty()
        {
            self.plans[at].nodes = bytes.into_boxed_slice();
        }
    }

    /// The network is another one, or hours went by that `now` did not count: all are due, as
    /// what others were told of us may be wrong.
    pub fn changed(&mut self, now: Instant) {
        for at in 0..self.plans.len() {
            self.unqueue(at);
            let plan = &mut self.plans[at];
            plan.vain = 0;
            plan.is_stale |= plan.is_running;
            plan.due = plan.due.map(|_| now);
            self.queue(at, now);
        }
    }

    /// The line is back: those for which somebody waits are due, and those that failed.
    pub fn roused(&mut self, now: Instant) {
        for at in 0..self.plans.len() {
            if self.plans[at].vain > 0 {
                self.unqueue(at);
                self.plans[at].vain = 0;
                self.plans[at].due = self.plans[at].due.map(|_| now);
                self.queue(at, now);
            }
        }
    }

    /// A node was met where few are known: those that nobody kept or answered to are due again,
    /// but not sooner after the last time than `MET_APART`.
    pub fn met(&mut self, now: Instant) {
        for at in 0..self.plans.len() {
            let plan = &self.plans[at];
            let (Some(due), Some(step)) = (plan.due, plan.vain.checked_sub(1)) else { continue };
            let waited = Duration::from_secs(RETRIES_S[usize::from(step).min(RETRIES_S.len() - 1)]);
            let soon = due.checked_sub(waited).map_or(now, |ended| now.max(ended + MET_APART));
            if soon < due {
                self.unqueue(at);
                self.plans[at].due = Some(soon);
                self.queue(at, now);
            }
        }
    }

    /// What is said of a torrent.
    pub fn said(&self, hash: InfoHash) -> Option<Said> {
        self.find(hash).ok().map(|at| self.plans[at].said)
    }

    /// When the next one is due; a moment in the past when one is.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let urgent = self.urgent.first().map(|(due, _)| *due);
        let again = self.again.first().map(|(due, _)| *due);
        let first = self.first.first().map(|_| now);
        [urgent, again, first].into_iter().flatten().min()
    }

    /// The same of those for which somebody waits.
    pub fn next_urgent(&self) -> Option<Instant> {
        self.urgent.first().map(|(due, _)| *due)
    }

    /// Torrents that are announced or looked for.
    pub fn count(&self) -> usize {
        self.plans.len()
    }

    /// Torrents that are announced.
    pub fn announced(&self) -> usize {
        self.plans.iter().filter(|plan| plan.said.port.is_some()).count()
    }

    /// By how much the latest announce is later than it should be.
    pub fn late(&self, now: Instant) -> Duration {
        let late = |plan: &Plan| now.saturating_duration_since(plan.fresh_from + LATE);
        let announced = self.plans.iter().filter(|plan| plan.said.port.is_some());
        announced.map(late).max().unwrap_or_default()
    }

    /// Panics unless each torrent waits in exactly one queue, or is under way.
    pub fn check_invariants(&self) {
        assert!(self.plans.is_sorted_by(|a, b| a.hash < b.hash), "plans are out of order");
        for plan in &self.plans {
            let at = plan.due.map(|due| (due, plan.hash));
            let waits = [
                at.is_some_and(|at| self.urgent.contains(&at)),
                at.is_some_and(|at| self.again.contains(&at)),
                self.first.contains(&plan.hash),
                plan.is_running,
            ];
            let count = waits.into_iter().filter(|waits| *waits).count();
            assert_eq!(count, 1, "{:?} waits in {count} places", plan.hash);
            assert!(plan.nodes.len() <= REMEMBERED_LEN);
        }
        let queued = self.urgent.len() + self.again.len() + self.first.len();
        assert!(queued <= self.plans.len(), "a forgotten torrent is queued");
    }

    fn next_first(&self) -> Option<InfoHash> {
        let mut from = [0; 20];
        from[0] = self.region / REGION * REGION;
        self.first.range(InfoHash(from)..).next().or_else(|| self.first.first()).copied()
    }

    fn queue(&mut self, at: usize, now: Instant) {
        let plan = &mut self.plans[at];
        if plan.is_running {
            return;
        }
        match (plan.said.haste, plan.due) {
            (Haste::Urgent, due) => {
                let due = due.unwrap_or(now);
                plan.due = Some(due);
                self.urgent.insert((due, plan.hash));
            }
            (Haste::Background, Some(due)) => {
                self.again.insert((due, plan.hash));
            }
            (Haste::Background, None) => {
                self.first.insert(plan.hash);
            }
        }
    }

    fn unqueue(&mut self, at: usize) {
        let plan = &self.plans[at];
        if let Some(due) = plan.due {
            self.urgent.remove(&(due, plan.hash));
            self.again.remove(&(due, plan.hash));
        }
        self.first.remove(&plan.hash);
    }

    fn find(&self, hash: InfoHash) -> Result<usize, usize> {
        self.plans.binary_search_by_key(&hash, |plan| plan.hash)
    }
}

impl Plan {
    fn new(hash: InfoHash, said: Said, now: Instant) -> Self {
        Self {
            hash,
            said,
            due: None,
            is_running: false,
            is_stale: false,
            vain: 0,
            fresh_from: now,
            nodes: Box::default(),
        }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        // All are of one family; up to 12 of 26 bytes are never as long as up to 8 of 38.
        let is_v4 = self.nodes.len().is_multiple_of(NODE_V4_LEN);
        let len = if is_v4 { NODE_V4_LEN } else { NODE_V6_LEN };
        self.nodes.chunks_exact(len).filter_map(|entry| {
            let (id, address) = entry.split_first_chunk()?;
            let address: SocketAddr = compact::peer(address)?;
            Some(NodeInfo { id: NodeId(*id), address })
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::dht::candidates::tests::node;

    const S: Duration = Duration::from_secs(1);
    const CALM: Said =
        Said { port: Some(6881), implied: false, seed: true, haste: Haste::Background };
    const URGENT: Said = Said { haste: Haste::Urgent, ..CALM };
    const GOOD: Outcome = Outcome { stored: 8, has_peers: true };

    fn hash(first: u8) -> InfoHash {
        let mut hash = [0; 20];
        hash[0] = first;
        InfoHash(hash)
    }

    struct Bench {
        schedule: Schedule,
        now: Instant,
        rng: StdRng,
    }

    impl Bench {
        fn new() -> Self {
            let (schedule, rng) = (Schedule::default(), StdRng::seed_from_u64(1));
            Self { schedule, now: Instant::now(), rng }
        }

        /// Begins the next one.
        fn begin(&mut self) -> Option<u8> {
            self.schedule.check_invariants();
            let next = self.schedule.next(true, self.now)?;
            self.schedule.begin(next).expect("it is there");
            self.schedule.check_invariants();
            Some(next.0[0])
        }

        fn done(&mut self, first: u8, outcome: Outcome) -> Duration {
            let again = self.schedule.done(hash(first), outcome, self.now, &mut self.rng);
            self.schedule.check_invariants();
            again.expect("it is there")
        }

        fn announce(&mut self, first: u8, said: Said) {
            self.schedule.announce(hash(first), said, self.now);
        }
    }

    #[test]
    fn the_first_sweep_goes_by_hash_after_those_for_whom_somebody_waits() {
        let mut bench = Bench::new();
        for first in [9, 3, 70, 1] {
            bench.announce(first, CALM);
        }
        bench.announce(200, URGENT);
        assert_eq!(bench.schedule.next(false, bench.now), Some(hash(200)));
        let begun: Vec<u8> = std::iter::from_fn(|| bench.begin()).take(3).collect();
        assert_eq!(begun, [200, 1, 9], "1 and 3 are of one region");
        assert_eq!(bench.schedule.next(false, bench.now), None, "nobody else waits");
        // The next region is tried first, then from the beginning.
        bench.announce(2, CALM);
        bench.announce(8, CALM);
        let begun: Vec<u8> = std::iter::from_fn(|| bench.begin()).collect();
        assert_eq!(begun, [70, 2, 8, 3]);
    }

    #[test]
    fn an_announce_is_repeated_before_the_first_nodes_forget_it() {
        let mut bench = Bench::new();
        bench.announce(1, CALM);
        assert_eq!(bench.begin(), Some(1));
        let again = bench.done(1, GOOD);
        assert!((26 * 60 * S..=27 * 60 * S).contains(&again), "{again:?}");
        assert_eq!(bench.schedule.next_timeout(bench.now), Some(bench.now + again));
        bench.now += again - S;
        assert_eq!(bench.begin(), None);
        bench.now += S;
        assert_eq!((bench.begin(), bench.schedule.late(bench.now)), (Some(1), Duration::ZERO));
        // Until it is done it is late.
        bench.now += 180 * S;
        assert!(bench.schedule.late(bench.now) >= 58 * S);
        bench.done(1, GOOD);
        assert_eq!(bench.schedule.late(bench.now), Duration::ZERO);
    }

    #[test]
    fn a_lookup_in_vain_is_repeated_soon_and_ever_later() {
        let mut bench = Bench::new();
        bench.announce(1, URGENT);
        let mut waits = Vec::new();
        for _ in 0..11 {
            assert_eq!(bench.begin(), Some(1));
            let again = bench.done(1, Outcome { stored: 8, has_peers: false });
            waits.push(again.as_secs());
            bench.now += again;
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 120, 240, 480, 900, 900, 900]);
        // A seed that is alone needs no peers, but somebody who keeps its announce.
        bench.announce(1, CALM);
        assert_eq!(bench.begin(), Some(1));
        assert!(bench.done(1, Outcome { stored: 1, has_peers: false }) > 26 * 60 * S);
        bench.announce(2, CALM);
        assert_eq!(bench.begin(), Some(2));
        assert_eq!(bench.done(2, Outcome { stored: 0, has_peers: true }), 5 * S);
    }

    #[test]
    fn another_port_is_told_at_once_and_the_same_is_not() {
        let mut bench = Bench::new();
        bench.announce(1, CALM);
        bench.begin();
        bench.done(1, GOOD);
        bench.announce(1, CALM);
        assert_eq!(bench.begin(), None);
        bench.announce(1, Said { port: Some(7_000), ..CALM });
        assert_eq!(bench.begin(), Some(1));
        // It changes again while it is told.
        bench.announce(1, Said { port: Some(7_001), ..CALM });
        assert_eq!(bench.begin(), None);
        assert_eq!(bench.done(1, GOOD), Duration::ZERO);
        assert_eq!(bench.begin(), Some(1));
        bench.done(1, GOOD);
        // Somebody begins to wait.
        bench.announce(1, Said { port: Some(7_001), ..URGENT });
        assert_eq!(bench.begin(), Some(1));
    }

    #[test]
    fn who_keeps_an_announce_is_where_the_next_begins() {
        let mut bench = Bench::new();
        bench.announce(1, CALM);
        bench.begin();
        bench.schedule.remember(hash(1), (1..=20).map(|far| node(far, far)));
        bench.done(1, GOOD);
        let (_, nodes) = bench.schedule.begin(hash(1)).unwrap();
        assert_eq!(nodes, (1..=12).map(|far| node(far, far)).collect::<Vec<_>>());
        // Nobody kept it this time, which does not make the last ones worse.
        bench.schedule.remember(hash(1), std::iter::empty());
        bench.done(1, Outcome { stored: 0, has_peers: false });
        assert_eq!(bench.schedule.begin(hash(1)).unwrap().1.len(), 12);
        let six = |far| NodeInfo { address: "[2001:db8::1]:9".parse().unwrap(), ..node(far, 0) };
        bench.schedule.remember(hash(1), (1..=20).map(six));
        bench.done(1, GOOD);
        let (_, nodes) = bench.schedule.begin(hash(1)).unwrap();
        assert_eq!(nodes, (1..=8).map(six).collect::<Vec<_>>());
    }

    #[test]
    fn all_are_due_after_a_change_and_those_in_vain_when_the_line_is_back() {
        let mut bench = Bench::new();
        for first in [1, 2, 3, 4] {
            bench.announce(first, CALM);
            bench.begin();
        }
        for first in [1, 2, 3] {
            bench.done(first, Outcome { stored: usize::from(first != 2), has_peers: true });
        }
        bench.schedule.roused(bench.now);
        assert_eq!(std::iter::from_fn(|| bench.begin()).collect::<Vec<_>>(), [2]);
        bench.done(2, GOOD);
        bench.schedule.changed(bench.now);
        assert_eq!(std::iter::from_fn(|| bench.begin()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(bench.done(4, GOOD), Duration::ZERO, "it was under way");
    }

    #[test]
    fn those_in_vain_are_due_when_a_node_is_met_and_not_twice_within_a_second() {
        let mut bench = Bench::new();
        for first in [1, 2, 3] {
            bench.announce(first, if first == 3 { CALM } else { URGENT });
            bench.begin();
        }
        let nobody = Outcome { stored: 0, has_peers: false };
        bench.done(1, nobody);
        bench.done(2, GOOD);
        bench.done(3, nobody);
        bench.schedule.met(bench.now);
        assert_eq!(bench.begin(), None, "that was this very moment");
        bench.now += MET_APART;
        let begun: Vec<u8> = std::iter::from_fn(|| bench.begin()).collect();
        assert_eq!(begun, [1, 3], "2 was in vain for nobody");
        assert_eq!(bench.done(1, nobody), 10 * S, "its steps go on");
        bench.now += 3 * S;
        bench.schedule.met(bench.now);
        assert_eq!(bench.begin(), Some(1), "at once, as the last one is long ago");
    }

    #[test]
    fn who_only_looks_is_late_for_nobody_and_looks_ever_more_rarely() {
        let mut bench = Bench::new();
        bench.announce(1, Said { port: None, ..URGENT });
        let mut waits = Vec::new();
        for has_peers in [false, true, true] {
            assert_eq!(bench.begin(), Some(1));
            let again = bench.done(1, Outcome { stored: 0, has_peers });
            waits.push(again.as_secs());
            bench.now += again;
        }
        assert_eq!(waits, [5, 10, 20]);
        bench.now += 3_600 * S;
        assert_eq!(bench.schedule.late(bench.now), Duration::ZERO);
        assert_eq!((bench.schedule.count(), bench.schedule.announced()), (1, 0));
    }

    #[test]
    fn a_forgotten_one_is_nowhere() {
        let mut bench = Bench::new();
        for first in [1, 2, 3] {
            bench.announce(first, CALM);
        }
        bench.begin();
        (1..=3).for_each(|first| bench.schedule.forget(hash(first)));
        bench.schedule.check_invariants();
        assert_eq!((bench.begin(), bench.schedule.count()), (None, 0));
        assert_eq!(bench.schedule.done(hash(1), GOOD, bench.now, &mut bench.rng), None);
        assert_eq!(bench.schedule.next_timeout(bench.now), None);
    }

    #[test]
    fn new_ones_and_old_ones_take_turns() {
        let mut bench = Bench::new();
        for first in 1..=4 {
            bench.announce(first, CALM);
            bench.begin();
            bench.done(first, GOOD);
        }
        bench.now += PERIOD;
        for first in 11..=14 {
            bench.announce(first, CALM);
        }
        let begun: Vec<bool> = std::iter::from_fn(|| bench.begin()).map(|at| at > 10).collect();
        assert_eq!(begun.iter().filter(|new| **new).count(), 4);
        assert!(begun.windows(2).all(|pair| pair[0] != pair[1]), "{begun:?}");
    }
}

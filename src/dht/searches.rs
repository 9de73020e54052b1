//! The lookups under way: what each is for, what it has found, and how many there may be. Not
//! here: how a lookup walks, and sending its queries.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::bloom::Bloom;
use super::compact::PORTS_MAX;
use super::event::{Haste, Tally, Ticket, Walking};
use super::id::NodeId;
use super::items::Item;
use super::lookup::{LOOKUP_MAX, Lookup};
use super::nets::is_exempt;
use super::schedule::Said;

/// Lookups under way at most.
pub const SEARCHES_MAX: usize = 64;
/// Lookups that are done and wait for late replies: 8 s of as many announces as the flow budget
/// allows.
const LINGERING_MAX: usize = 128;
/// Of them so many for which nobody waits: each takes two or three seconds and a dozen queries,
/// so that these spend the flow budget and none waits long for its share of it.
pub const CALM_MAX: usize = 32;
/// Of them so many with more queries at once, until their first peers.
pub const WIDE_MAX: usize = 4;
/// Questions that wait for a place; what comes then is answered with nothing.
const WAITING_MAX: usize = 1_024;
/// Peers that one lookup hands over.
const PEERS_MAX: usize = 2_000;

/// Why a lookup runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Cause {
    /// Peers are wanted once.
    Find(Ticket, Haste),
    /// A torrent is announced, or looked for again and again.
    Announce(Said),
    /// Our own neighbours: an attempt to start.
    Boot,
    /// Nodes for a bucket of the table.
    Refresh,
    /// An item is wanted, with this salt.
    Get(Ticket, Vec<u8>),
    /// An item is stored.
    Put(Ticket, Item),
    /// Filters of a swarm are wanted.
    Scrape(Ticket),
}

impl Cause {
    /// Who hears of it.
    pub fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Find(ticket, _)
            | Self::Get(ticket, _)
            | Self::Put(ticket, _)
            | Self::Scrape(ticket) => Some(*ticket),
            Self::Announce(_) | Self::Boot | Self::Refresh => None,
        }
    }

    /// How much it may cost.
    pub fn haste(&self) -> Haste {
        match self {
            Self::Find(_, haste) => *haste,
            Self::Announce(said) => said.haste,
            Self::Boot | Self::Get(..) | Self::Put(..) | Self::Scrape(_) => Haste::Urgent,
            Self::Refresh => Haste::Background,
        }
    }

    /// Whether the nearest nodes are given something to keep.
    pub fn stores(&self) -> bool {
        match self {
            Self::Announce(said) => said.port.is_some(),
            Self::Put(..) => true,
            _ => false,
        }
    }
}

/// A lookup and what it is for.
#[derive(Debug)]
pub struct Search {
    /// Its name in our flights.
    pub key: u32,
    /// What is looked for.
    pub target: NodeId,
    /// What for.
    pub cause: Cause,
    /// How far it is.
    pub lookup: Lookup,
    /// Peers handed over, as numbers in order.
    peers: Vec<u64>,
    /// The item with the highest sequence number so far.
    pub best: Option<Item>,
    /// Filters of seeds and leechers, all replies in one.
    pub filters: Option<Box<(Bloom, Bloom)>>,
    /// Whether its end was told; it may go on for late replies.
    pub is_told: bool,
    /// Until when the flow budget lets nothing of it out.
    pub rests_until: Option<Instant>,
}

impl Search {
    /// Whether a peer is new here, and there are not too many, in all or of one address.
    pub fn is_new_peer(&mut self, peer: SocketAddr) -> bool {
        let host = match peer.ip().to_canonical() {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => {
                let mix =
                    |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                v6.octets().iter().fold(0xcbf2_9ce4_8422_2325, mix) >> 16
            }
        };
        let number = (host << 16) | u64::from(peer.port());
        let Err(at) = self.peers.binary_search(&number) else { return false };
        let begin = self.peers.partition_point(|known| known >> 16 < host);
        let end = self.peers.partition_point(|known| known >> 16 <= host);
        let is_crowded = end - begin >= PORTS_MAX && !is_exempt(peer.ip());
        if is_crowded || self.peers.len() >= PEERS_MAX {
            return false;
        }
        self.peers.insert(at, number);
        true
    }

    /// How it went so far.
    pub fn tally(&self) -> Tally {
        let (asked, answered) = self.lookup.counts();
        let (peers, stored) = (self.peers.len(), self.lookup.stored());
        let count = |bloom: &Bloom| bloom.estimate().round() as usize;
        let swarm = self.filters.as_ref().map(|both| (count(&both.0), count(&both.1)));
        Tally { asked, answered, peers, stored, swarm, round_trip: None }
    }

    /// The same for people.
    pub fn show(&self, now: Instant) -> Walking {
        use super::candidates::State::{Answered, Asked, Stalled};
        let candidates = self.lookup.candidates();
        let waits_for = candidates.iter().filter_map(|(_, candidate)| match candidate.state {
            Asked => Some((candidate.node.address, false)),
            Stalled => Some((candidate.node.address, true)),
            _ => None,
        });
        let mut answered = candidates.iter().filter(|(_, c)| c.state == Answered);
        Walking {
            target: self.target,
            haste: self.cause.haste(),
            age: now.saturating_duration_since(self.lookup.begun()),
            tally: self.tally(),
            known: candidates.count(),
            level: answered.next().map_or(0, |(_, candidate)| candidates.level(candidate)),
            waits_for: waits_for.collect(),
        }
    }
}

/// A question that waits for a place.
#[derive(Clone, PartialEq, Debug)]
pub struct Waiting {
    /// What is looked for.
    pub target: NodeId,
    /// What for.
    pub cause: Cause,
    /// Since when: the time for it runs.
    pub since: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Searches {
    /// By key, which is the order in which they began.
    running: Vec<Search>,
    waiting: VecDeque<Waiting>,
    next_key: u32,
    /// Whose turn it is to send first.
    turn: usize,
}

impl Searches {
    /// Somebody wants to know something; false when there are too many questions already.
    pub fn ask(&mut self, target: NodeId, cause: Cause, now: Instant) -> bool {
        let is_taken = self.waiting.len() < WAITING_MAX;
        if is_taken {
            self.waiting.push_back(Waiting { target, cause, since: now });
        }
        is_taken
    }

    /// The next question, if there is a place for it.
    pub fn next_waiting(&mut self) -> Option<Waiting> {
        if !self.has_place() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// A question that has waited too long.
    pub fn next_overdue(&mut self, now: Instant) -> Option<Cause> {
        let is_late = |waiting: &Waiting| now >= waiting.since + LOOKUP_MAX;
        let at = self.waiting.iter().position(is_late)?;
        self.waiting.remove(at).map(|waiting| waiting.cause)
    }

    /// Begins a lookup; its key.
    pub fn begin(&mut self, target: NodeId, cause: Cause, lookup: Lookup) -> u32 {
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        let (peers, best, filters) = (Vec::new(), None, None);
        let search = Search {
            key,
            target,
            cause,
            lookup,
            peers,
            best,
            filters,
            is_told: false,
            rests_until: None,
        };
        self.running.push(search);
        key
    }

    /// Whether one more may have more queries at once.
    pub fn has_wide_place(&self) -> bool {
        self.wide() < WIDE_MAX
    }

    /// Whether one more may begin for which nobody waits.
    pub fn has_calm_place(&self) -> bool {
        let is_calm =
            |search: &&Search| !search.is_told && search.cause.haste() == Haste::Background;
        self.has_place() && self.running.iter().filter(is_calm).count() < CALM_MAX
    }

    /// Whether one more may begin at all.
    pub fn has_place(&self) -> bool {
        self.running.iter().filter(|search| !search.is_told).count() < SEARCHES_MAX
    }

    /// One that is done and waits for late replies, when there are too many of these.
    pub fn next_lingering(&self) -> Option<u32> {
        let mut told = self.running.iter().filter(|search| search.is_told);
        let count = told.clone().count();
        told.next().filter(|_| count > LINGERING_MAX).map(|search| search.key)
    }

    /// Gives free wide places to those that wait for one, the oldest first.
    pub fn widen(&mut self) {
        let mut free = WIDE_MAX.saturating_sub(self.wide());
        for search in &mut self.running {
            if free == 0 {
                return;
            }
            let is_urgent = search.cause.haste() == Haste::Urgent && !search.is_told;
            if is_urgent && !search.lookup.is_wide() {
                search.lookup.widen();
                free -= usize::from(search.lookup.is_wide());
            }
        }
    }

    fn wide(&self) -> usize {
        let is_wide = |search: &&Search| !search.is_told && search.lookup.is_wide();
        self.running.iter().filter(is_wide).count()
    }

    /// The one with a key; none when it is over.
    pub fn find(&mut self, key: u32) -> Option<&mut Search> {
        self.running.iter_mut().find(|search| search.key == key)
    }

    /// All under way.
    pub fn iter(&self) -> impl Iterator<Item = &Search> + '_ {
        self.running.iter()
    }

    /// All under way.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Search> + '_ {
        self.running.iter_mut()
    }

    /// Keys of those that may have something to do, in the order in which they send: those for
    /// which somebody waits first, and each time another one at the head.
    pub fn in_turn(&mut self, now: Instant) -> Vec<u32> {
        let count = self.running.len();
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        let (late, early) = self.running.split_at(self.turn.min(count));
        let mut keys: Vec<(bool, u32)> = early
            .iter()
            .chain(late)
            .filter(|search| search.rests_until.is_none_or(|until| until <= now))
            .filter(|search| search.lookup.needs_look(now))
            .map(|search| (search.cause.haste() == Haste::Background, search.key))
            .collect();
        keys.sort_by_key(|(is_calm, _)| *is_calm);
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Takes out one that is over.
    pub fn remove(&mut self, key: u32) -> Option<Search> {
        let at = self.running.iter().position(|search| search.key == key)?;
        Some(self.running.remove(at))
    }

    /// Takes out all that announces or finds a torrent, also what waits for a place; returns who
    /// is to hear of the end, and how it went so far.
    pub fn forget(&mut self, target: NodeId) -> Vec<(Ticket, Tally)> {
        let is_its = |cause: &Cause| matches!(cause, Cause::Announce(_) | Cause::Find(..));
        let mut ended = Vec::new();
        self.running.retain(|search| {
            let goes = search.target == target && is_its(&search.cause);
            if goes && !search.is_told {
                ended.extend(search.cause.ticket().map(|ticket| (ticket, search.tally())));
            }
            !goes
        });
        self.waiting.retain(|waiting| {
            let goes = waiting.target == target && is_its(&waiting.cause);
            if goes {
                ended.extend(waiting.cause.ticket().map(|ticket| (ticket, Tally::default())));
            }
            !goes
        });
        ended
    }

    /// Whether somebody waits for an answer.
    pub fn somebody_waits(&self) -> bool {
        let waits =
            |search: &Search| search.cause.haste() == Haste::Urgent && search.cause != Cause::Boot;
        !self.waiting.is_empty() || self.running.iter().any(waits)
    }

    /// Lookups under way, and questions that wait.
    pub fn count(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// When to look at them again though nothing was heard.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let running = self.running.iter().map(|search| search.lookup.next_timeout(now));
        let rests = self.running.iter().filter_map(|search| search.rests_until);
        let running = running.chain(rests.filter(|until| *until > now));
        let waiting = self.waiting.front().map(|waiting| waiting.since + LOOKUP_MAX);
        running.chain(waiting).min()
    }

    /// Panics unless limits hold and nothing outlives its end.
    pub fn check_invariants(&self, now: Instant) {
        let most = SEARCHES_MAX + LINGERING_MAX;
        assert!(self.running.len() <= most, "{} lookups", self.running.len());
        assert!(self.waiting.len() <= WAITING_MAX, "{} questions", self.waiting.len());
        for search in &self.running {
            let age = now.saturating_duration_since(search.lookup.begun());
            let end = LOOKUP_MAX + Duration::from_secs(1);
            assert!(age <= end, "a lookup for {:?} is {age:?} old", search.cause);
            assert!(search.peers.is_sorted() && search.peers.len() <= PEERS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::candidates::tests::node;
    use crate::dht::contacts::Start;
    use crate::dht::lookup::Plan;

    const URGENT: Cause = Cause::Find(Ticket(1), Haste::Urgent);
    const CALM: Cause = Cause::Find(Ticket(2), Haste::Background);

    fn begin(searches: &mut Searches, cause: Cause, now: Instant) {
        let plan = Plan {
            target: NodeId::default(),
            stores: cause.stores(),
            is_wide: cause.haste() == Haste::Urgent && searches.has_wide_place(),
            is_cold: false,
            depth: None,
            expects_suited: false,
            repeats_unknown: false,
        };
        let start = Start::new(node(1, 1), None);
        let lookup = Lookup::new(plan, &[start], Vec::new(), now);
        searches.begin(NodeId::default(), cause, lookup);
    }

    #[test]
    fn four_are_wide_and_the_fifth_is_when_one_found_peers() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        (0..5).for_each(|_| begin(&mut searches, URGENT, now));
        let wide =
            |searches: &Searches| searches.iter().map(|s| s.lookup.is_wide()).collect::<Vec<_>>();
        assert_eq!(wide(&searches), [true, true, true, true, false]);
        searches.widen();
        assert_eq!(wide(&searches), [true, true, true, true, false]);
        searches.find(1).unwrap().lookup.found_peers();
        searches.widen();
        assert_eq!(wide(&searches), [true, false, true, true, true]);
    }

    #[test]
    fn questions_wait_for_a_place_and_not_for_ever() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        (0..SEARCHES_MAX).for_each(|_| begin(&mut searches, CALM, now));
        assert!(!searches.has_place() && !searches.has_calm_place());
        assert!(searches.ask(NodeId::default(), URGENT, now));
        assert_eq!(searches.next_waiting(), None);
        searches.remove(7);
        let waiting = Waiting { target: NodeId::default(), cause: URGENT, since: now };
        assert_eq!(searches.next_waiting(), Some(waiting));
        begin(&mut searches, CALM, now);
        (0..WAITING_MAX).for_each(|_| assert!(searches.ask(NodeId::default(), URGENT, now)));
        assert!(!searches.ask(NodeId::default(), URGENT, now));
        assert_eq!(searches.next_overdue(now), None);
        assert_eq!(searches.next_overdue(now + LOOKUP_MAX), Some(URGENT));
    }

    #[test]
    fn who_waits_sends_first_and_all_take_turns() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        for cause in [CALM, URGENT, CALM, URGENT] {
            begin(&mut searches, cause, now);
        }
        let turns: Vec<Vec<u32>> = (0..4).map(|_| searches.in_turn(now)).collect();
        for turn in &turns {
            assert_eq!(turn.len(), 4);
            assert_eq!(turn[..2].iter().filter(|key| *key % 2 == 1).count(), 2, "{turns:?}");
        }
        searches.iter_mut().for_each(|search| search.lookup.looked_at());
        assert!(searches.in_turn(now).is_empty());
        assert!(turns.iter().any(|turn| turn[2] == 0) && turns.iter().any(|turn| turn[2] == 2));
    }

    #[test]
    fn each_peer_is_new_once_and_four_ports_of_an_address_are_enough() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        begin(&mut searches, URGENT, now);
        let search = searches.find(0).unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for address in ["192.0.2.1", "[2001:db8::1]"] {
            let new: Vec<bool> = [5, 6, 5, 7, 8, 9]
                .map(|port| search.is_new_peer(at(&format!("{address}:{port}"))))
                .to_vec();
            assert_eq!(new, [true, true, false, true, true, false]);
        }
        assert!(search.is_new_peer(at("192.0.2.2:5")));
        assert_eq!(search.tally().peers, 9);
    }
}

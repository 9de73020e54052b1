//! The nodes that we hand out and start lookups from (BEP 5): buckets by the bits that an id has
//! in common with ours, the far ones larger (libtorrent). Only who answered a query of ours has
//! a place; others wait among the spares. Not here: sending anything, and whether the line is
//! dead, by which no failure counts: that is told.

mod bucket;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::compact::NodeInfo;
use super::event::Contact;
use super::id::{ID_BITS, NodeId};
use super::nets::{Net, is_exempt};
use bucket::{Bucket, Clock, Stamp};

pub use bucket::Entry;

/// After it a node that has not been heard is questionable (BEP 5).
pub const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// A node that answers when so much time has passed in silence has no mere pinhole in its
/// translator: mappings of UDP live for 30 s to two minutes.
const PROOF_AFTER: Duration = Duration::from_secs(90);
/// Between two pings of upkeep.
const PING_EACH: Duration = Duration::from_secs(6);
/// Failures in a row after which a node leaves though nobody takes its place (libtorrent).
const FAILS_MAX: u8 = 20;
/// Failures in a row after which a spare takes its place.
const FAILS_REPLACED: u8 = 2;
/// How long nobody with an address gets a place that answered under two names.
const SUSPECT_FOR: Duration = Duration::from_secs(15 * 60);
/// Such addresses that are remembered.
const SUSPECTS_MAX: usize = 64;

/// The routing table of one family and own id.
#[derive(Debug)]
pub struct Table {
    own: NodeId,
    clock: Clock,
    /// That of index n holds ids with n bits in common with ours; the last one all others.
    buckets: Vec<Bucket>,
    suspects: Vec<(SocketAddr, Stamp)>,
    next_ping: Stamp,
}

impl Table {
    /// An empty one.
    pub fn new(own: NodeId, now: Instant) -> Self {
        let clock = Clock::new(now);
        let next_ping = clock.stamp(now);
        Self { own, clock, buckets: vec![Bucket::default()], suspects: Vec::new(), next_ping }
    }

    /// Our own id.
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// Nodes that answered us and have not failed since.
    pub fn good(&self) -> usize {
        self.entries().filter(|entry| entry.is_alive()).count()
    }

    /// Whether fewer than `count` of these are known.
    pub fn has_few(&self, count: usize) -> bool {
        self.entries().filter(|entry| entry.is_alive()).take(count).count() < count
    }

    /// All that are known, spares among them.
    pub fn known(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.live.len() + bucket.spares.len()).sum()
    }

    /// Those that answered us and hold a place.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.buckets.iter().flat_map(|bucket| &bucket.live)
    }

    /// For people and for `dht.dat`: the places, those known longest first.
    pub fn contacts(&self, now: Instant) -> Vec<Contact> {
        let mut entries: Vec<&Entry> = self.entries().collect();
        entries.sort_by_key(|entry| (!entry.is_alive(), entry.since()));
        let contact = |entry: &Entry| Contact {
            id: entry.id(),
            address: entry.address(),
            round_trip: entry.round_trip(),
            heard: self.clock.age(entry.heard(), now),
        };
        entries.into_iter().map(contact).collect()
    }

    /// The `N` entries nearest to `target` among those that `fit`, nearest first.
    pub fn closest<const N: usize>(
        &self,
        target: &NodeId,
        fit: impl Fn(&Entry) -> bool,
    ) -> Closest<'_, N> {
        let mut closest = Closest::default();
        let last = self.buckets.len() - 1;
        let own = self.own.common_bits(target).min(last);
        // All ids of its bucket have a bit more in common with the target than those of the
        // deeper ones, and these all the same number, which is more than that of any other.
        let groups = std::iter::once(own..own + 1)
            .chain(std::iter::once(own + 1..last + 1))
            .chain((0..own).rev().map(|index| index..index + 1));
        for group in groups {
            let begin = closest.len;
            for bucket in &self.buckets[group] {
                for entry in bucket.live.iter().filter(|entry| fit(entry)) {
                    closest.offer(entry, target, begin);
                }
            }
            if closest.len == N {
                break;
            }
        }
        closest
    }

    /// A node answered a query of ours, and it was one that we sent to this address.
    pub fn answered(&mut self, node: NodeInfo, round_trip: Option<Duration>, now: Instant) {
        let stamp = self.clock.stamp(now);
        if node.id == self.own || self.is_suspect(node.address, stamp) {
            return;
        }
        if self.has_other_name(&node) {
            self.changed(node.address, now);
            if !is_exempt(node.address.ip()) {
                return;
            }
        }
        if let Some(entry) = self.find(&node) {
            entry.answer(stamp, round_trip);
            let index = self.index_of(&node.id);
            self.settle(index);
            return;
        }
        if self.is_barred(&node) {
            return;
        }
        let mut entry = Entry::new(node, stamp);
        entry.answer(stamp, round_trip);
        // Whoever bars no more has failed: it leaves for the one that answers.
        self.oust_rivals(&entry);
        if let Some(left_over) = self.place(entry) {
            let index = self.index_of(&left_over.id());
            self.buckets[index].add_spare(left_over, index);
        }
    }

    /// A node sent a query, and did not say that it takes none (BEP 43). It gets no place for
    /// it, only a ping in time. Whether it is new and waits for one.
    pub fn heard(&mut self, node: NodeInfo, now: Instant) -> bool {
        let stamp = self.clock.stamp(now);
        if node.id == self.own || self.is_suspect(node.address, stamp) {
            return false;
        }
        if let Some(entry) = self.find(&node) {
            // Whoever failed has to answer: a query may have a false sender.
            if entry.is_alive() {
                entry.hear(stamp);
            }
            return false;
        }
        let index = self.index_of(&node.id);
        let is_wanted = self.buckets[index].wants_unverified(index);
        let waits = is_wanted
            && !self.has_other_name(&node)
            && !self.is_barred(&node)
            && !self.waits(&node);
        if waits {
            self.buckets[index].add_spare(Entry::new(node, stamp), index);
        }
        waits
    }

    /// A query to this address had no answer. In a silence nothing counts: the line is dead, and
    /// not the nodes.
    pub fn failed(&mut self, address: SocketAddr, is_silent: bool) {
        if is_silent {
            return;
        }
        for index in 0..self.buckets.len() {
            let bucket = &mut self.buckets[index];
            let at_address = |entry: &&mut Entry| entry.address() == address;
            if let Some(entry) = bucket.live.iter_mut().find(at_address) {
                entry.fail();
                bucket.live.retain(|entry| entry.fails() < FAILS_MAX);
                self.settle(index);
                return;
            }
            bucket.spares.retain(|entry| entry.address() != address);
        }
    }

    /// A reply from this address came under another name than asked for: neither is believed for
    /// a while, but for nodes of a test net, which take another id when they are told of their
    /// address.
    pub fn changed(&mut self, address: SocketAddr, now: Instant) {
        for index in 0..self.buckets.len() {
            let bucket = &mut self.buckets[index];
            bucket.live.retain(|entry| entry.address() != address);
            bucket.spares.retain(|entry| entry.address() != address);
            self.settle(index);
        }
        if is_exempt(address.ip()) {
            return;
        }
        let stamp = self.clock.stamp(now);
        self.suspects
            .retain(|(known, since)| *known != address && stamp.since(*since) < SUSPECT_FOR);
        if self.suspects.len() == SUSPECTS_MAX {
            self.suspects.remove(0);
        }
        self.suspects.push((address, stamp));
    }

    /// Whom to ping now, if it is time; at most one in six seconds. In this order: who may have
    /// answered through a pinhole, who failed, who waits for a place that is free, and who has
    /// not been heard for a quarter of an hour.
    pub fn doubtful(&mut self, now: Instant) -> Option<Doubtful> {
        let stamp = self.clock.stamp(now);
        if stamp < self.next_ping {
            return None;
        }
        let (mut best, mut best_doubt) = (None, None);
        let mut soonest = stamp.plus(PROOF_AFTER);
        for (index, bucket) in self.buckets.iter_mut().enumerate() {
            let has_room = bucket.has_room(index);
            let spares = bucket.spares.iter_mut().filter(|_| has_room);
            for entry in bucket.live.iter_mut().chain(spares) {
                let (class, at) = doubt(entry);
                soonest = soonest.min(at);
                let this = (class, entry.heard());
                if at <= stamp && best_doubt.is_none_or(|best| this < best) {
                    (best, best_doubt) = (Some(entry), Some(this));
                }
            }
        }
        self.next_ping = soonest;
        let entry = best?;
        self.next_ping = soonest.max(stamp.plus(PING_EACH));
        entry.ask(stamp);
        let id = entry.is_verified().then(|| entry.id());
        Some(Doubtful { address: entry.address(), id })
    }

    /// When [`Self::doubtful`] may have somebody.
    pub fn next_timeout(&self) -> Option<Instant> {
        (self.known() > 0).then(|| self.clock.instant(self.next_ping))
    }

    /// Takes another id; every node keeps a place, or becomes a spare.
    pub fn rename(&mut self, own: NodeId) {
        let old = std::mem::replace(&mut self.buckets, vec![Bucket::default()]);
        self.own = own;
        let (mut verified, mut spares) = (Vec::new(), Vec::new());
        for bucket in old {
            verified.extend(bucket.live.into_iter().map(|entry| (0, entry)));
            let (heard, answered) = bucket.spares.into_iter().partition(|it| !it.is_verified());
            verified.extend(Vec::into_iter(answered).map(|entry| (1, entry)));
            spares.extend(Vec::into_iter(heard));
        }
        verified.sort_by_key(|(place, entry)| (*place, entry.rank()));
        for (_, entry) in verified.into_iter().filter(|(_, entry)| entry.id() != own) {
            spares.extend(if self.bars_address(&entry) { Some(entry) } else { self.place(entry) });
        }
        // More of them than otherwise may wait until others come: forgetting whom we know is
        // what makes a new address cost minutes.
        for entry in spares.into_iter().filter(|entry| entry.id() != own) {
            let index = self.index_of(&entry.id());
            self.buckets[index].spares.push(entry);
        }
        (0..self.buckets.len()).for_each(|index| self.settle(index));
    }

    /// Everything that must hold at any time.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        let mut hosts: Vec<IpAddr> = Vec::new();
        for (index, bucket) in self.buckets.iter().enumerate() {
            assert!(bucket.live.len() <= bucket::room(index), "bucket {index} is too full");
            let mut sites: Vec<Net> = Vec::new();
            for entry in &bucket.live {
                assert_eq!(self.index_of(&entry.id()), index, "{entry:?} is in the wrong bucket");
                assert!(entry.is_verified(), "{entry:?} has a place and never answered");
                assert!(entry.fails() < FAILS_MAX, "{entry:?} should be gone");
                if !is_exempt(entry.address().ip()) {
                    sites.push(Net::site(entry.address().ip()));
                    hosts.push(entry.address().ip());
                }
            }
            sites.sort();
            assert!(sites.is_sorted_by(|a, b| a < b), "one site twice in bucket {index}");
        }
        hosts.sort();
        assert!(hosts.is_sorted_by(|a, b| a < b), "one address holds two places");
    }

    fn is_suspect(&self, address: SocketAddr, stamp: Stamp) -> bool {
        let mut suspects = self.suspects.iter();
        suspects.any(|(known, since)| *known == address && stamp.since(*since) < SUSPECT_FOR)
    }

    /// Whether this address answered under another name before.
    fn has_other_name(&self, node: &NodeInfo) -> bool {
        self.entries().any(|entry| entry.address() == node.address && entry.id() != node.id)
    }

    fn find(&mut self, node: &NodeInfo) -> Option<&mut Entry> {
        let index = self.index_of(&node.id);
        let bucket = &mut self.buckets[index];
        let all = bucket.live.iter_mut().chain(bucket.spares.iter_mut());
        { all }.find(|entry| entry.info() == *node)
    }

    /// Whether another node, that is not failing, has the address, the name, or within the
    /// bucket the site.
    fn is_barred(&self, node: &NodeInfo) -> bool {
        let (ip, index) = (node.address.ip(), self.index_of(&node.id));
        let (site, exempt) = (Net::site(ip), is_exempt(ip));
        let is_same = |entry: &Entry| entry.id() == node.id || (!exempt && entry.ip() == ip);
        self.entries().any(|entry| entry.is_alive() && is_same(entry))
            || !exempt
                && self.buckets[index]
                    .live
                    .iter()
                    .any(|entry| entry.is_alive() && Net::site(entry.ip()) == site)
    }

    /// Whether one at this address already waits, under whatever name.
    fn waits(&self, node: &NodeInfo) -> bool {
        let (ip, exempt) = (node.address.ip(), is_exempt(node.address.ip()));
        let mut spares = self.buckets.iter().flat_map(|bucket| &bucket.spares);
        spares.any(|spare| spare.address() == node.address || (!exempt && spare.ip() == ip))
    }

    /// Takes away those that bar this one.
    fn oust_rivals(&mut self, entry: &Entry) {
        let (ip, index) = (entry.ip(), self.index_of(&entry.id()));
        let (site, exempt) = (Net::site(ip), is_exempt(ip));
        for (at, bucket) in self.buckets.iter_mut().enumerate() {
            let is_rival = |other: &Entry| {
                other.id() == entry.id()
                    || other.address() == entry.address()
                    || !exempt && other.ip() == ip
                    || !exempt && at == index && Net::site(other.ip()) == site
            };
            bucket.live.retain(|other| !is_rival(other));
            bucket.spares.retain(|other| !is_rival(other));
        }
    }

    /// Gives a place to a node that answered; returns who has none then.
    fn place(&mut self, entry: Entry) -> Option<Entry> {
        let mut index = self.index_of(&entry.id());
        // "only verified ids may split buckets" (libtorrent): an id that its address may not
        // have gets no places near ours.
        while index + 1 == self.buckets.len()
            && !self.buckets[index].has_room(index)
            && entry.suits()
            && self.buckets.len() < ID_BITS
        {
            self.split_last();
            index = self.index_of(&entry.id());
        }
        let bucket = &mut self.buckets[index];
        let is_crowded =
            !is_exempt(entry.ip()) && bucket.live.iter().any(|other| other.site() == entry.site());
        if is_crowded { Some(entry) } else { bucket.add(entry, index) }
    }

    fn split_last(&mut self) {
        let index = self.buckets.len() - 1;
        self.buckets.push(Bucket::default());
        let full = std::mem::take(&mut self.buckets[index]);
        let own = self.own;
        let place = |entry: &Entry| index + usize::from(own.common_bits(&entry.id()) > index);
        for entry in full.live {
            let index = place(&entry);
            let left_over = self.buckets[index].add(entry, index);
            self.buckets[index].spares.extend(left_over);
        }
        for entry in full.spares {
            self.buckets[place(&entry)].spares.push(entry);
        }
        self.settle(index);
        self.settle(index + 1);
    }

    /// Fills the places of a bucket from its spares, as far as address and site allow.
    fn settle(&mut self, index: usize) {
        while self.buckets[index].takes_spare(index) {
            let bucket = &self.buckets[index];
            let Some(at) = bucket.best_spare(|spare| !self.bars_spare(spare, index)) else {
                return;
            };
            let bucket = &mut self.buckets[index];
            let spare = bucket.spares.swap_remove(at);
            let left_over = bucket.add(spare, index);
            bucket.spares.extend(left_over);
        }
    }

    fn bars_spare(&self, spare: &Entry, index: usize) -> bool {
        self.bars_address(spare)
            || !is_exempt(spare.ip())
                && self.buckets[index].live.iter().any(|entry| entry.site() == spare.site())
    }

    /// Whether the name or the address has a place already.
    fn bars_address(&self, spare: &Entry) -> bool {
        let exempt = is_exempt(spare.ip());
        let is_same =
            |entry: &Entry| entry.id() == spare.id() || (!exempt && entry.ip() == spare.ip());
        self.entries().any(is_same)
    }

    fn index_of(&self, id: &NodeId) -> usize {
        self.own.common_bits(id).min(self.buckets.len() - 1)
    }
}

/// Whom to ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubtful {
    /// Where.
    pub address: SocketAddr,
    /// Who should answer; none when it only named itself in a query, which mainline does with
    /// random names.
    pub id: Option<NodeId>,
}

/// Nodes found by [`Table::closest`], nearest first.
#[derive(Debug)]
pub struct Closest<'a, const N: usize> {
    entries: [Option<&'a Entry>; N],
    len: usize,
}

impl<const N: usize> Default for Closest<'_, N> {
    fn default() -> Self {
        Self { entries: [None; N], len: 0 }
    }
}

impl<'a, const N: usize> Closest<'a, N> {
    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &'a Entry> + '_ {
        self.entries.iter().flatten().copied()
    }

    /// Puts an entry in its place behind the first `begin`, if it is near enough.
    fn offer(&mut self, entry: &'a Entry, target: &NodeId, begin: usize) {
        let distance = entry.id().distance(target);
        let mut at = self.len;
        while at > begin {
            match self.entries[at - 1] {
                Some(nearer) if nearer.id().distance(target) > distance => at -= 1,
                _ => break,
            }
        }
        if at < N {
            self.len = (self.len + 1).min(N);
            self.entries[at..self.len].rotate_right(1);
            self.entries[at] = Some(entry);
        }
    }
}

/// How doubtful a node is, the most doubtful first, and from when on if nothing is heard of it.
fn doubt(entry: &Entry) -> (u8, Stamp) {
    let (class, wait) = match (entry.is_verified(), entry.is_alive(), entry.is_proven()) {
        (true, true, false) => (0, PROOF_AFTER),
        (true, false, _) => (1, PROOF_AFTER),
        (false, ..) => (2, PROOF_AFTER),
        (true, true, true) => (3, GOOD_FOR),
    };
    (class, entry.heard().max(entry.asked()).plus(wait))
}

//! What keeps the node alive when nobody asks for anything: attempts to start, probes of a dead
//! line, pings of doubtful nodes, nodes for thin buckets, and `dht.dat`.

use std::time::{Duration, Instant};

use super::super::compact::NodeInfo;
use super::super::contacts::Start;
use super::super::event::{Haste, Output};
use super::super::id::{ID_BITS, NodeId};
use super::super::message::Method;
use super::super::saved::{SAVED_NODES_MAX, Saved};
use super::super::searches::Cause;
use super::{Node, Purpose};

/// Between two times of writing `dht.dat`.
const SAVE_EACH: Duration = Duration::from_secs(10 * 60);
/// "Buckets that have not been changed in 15 minutes should be refreshed" (BEP 5).
const REFRESH_EACH: Duration = Duration::from_secs(15 * 60);
/// Between two refreshes, so that upkeep stays below a query in two seconds.
const REFRESH_APART: Duration = Duration::from_secs(60);
/// The same in the first round, in which the far buckets are filled.
const REFRESH_FIRST: Duration = Duration::from_secs(5);
/// Nodes that a bucket should have.
const BUCKET_FULL: usize = 8;

/// When what is due.
#[derive(Debug)]
pub(super) struct Upkeep {
    next_save: Instant,
    next_refresh: Instant,
    /// When the bucket of so many common bits was refreshed last.
    refreshed: Vec<Instant>,
}

impl Upkeep {
    /// Nothing done yet.
    pub(super) fn new(now: Instant) -> Self {
        let next_refresh = now + REFRESH_FIRST;
        Self { next_save: now + SAVE_EACH, next_refresh, refreshed: Vec::new() }
    }

    /// When something may be due.
    pub(super) fn next_timeout(&self) -> Instant {
        self.next_save.min(self.next_refresh)
    }
}

impl Node {
    /// Does what is due.
    pub(super) fn keep_up(&mut self, now: Instant) {
        if self.has_starts() && self.rouse.is_due(self.table.good(), now) {
            self.begin_boot(now);
        }
        if self.somebody_waits()
            && let Some(turn) = self.rouse.probe(now)
        {
            self.probe(turn, now);
        }
        if self.table.next_timeout().is_some_and(|due| due <= now)
            && let Some(doubtful) = self.table.doubtful(now)
        {
            let purpose = Purpose::Ping { ticket: None };
            let (to, id) = (doubtful.address, doubtful.id);
            self.send(to, id, purpose, Method::Ping, Haste::Background, now);
        }
        if now >= self.upkeep.next_refresh {
            self.refresh(now);
        }
        if now >= self.upkeep.next_save {
            self.upkeep.next_save = now + SAVE_EACH;
            let bytes = self.save(now);
            self.outputs.push_back(Output::Save { bytes });
        }
    }

    /// When an attempt or a probe is due.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        let waits = self.somebody_waits();
        let next = || self.rouse.next_timeout(self.table.good(), waits);
        self.has_starts().then(next).flatten()
    }

    /// The contents of `dht.dat`: the table, those known longest first, then contacts from all
    /// over the net, then nodes of the last one that have not answered yet. Also for whoever
    /// ends the node.
    pub fn save(&self, now: Instant) -> Vec<u8> {
        let of_table = self.table.contacts(now).into_iter().map(|contact| {
            let node = NodeInfo { id: contact.id, address: contact.address };
            Start::new(node, contact.round_trip)
        });
        let mut nodes: Vec<Start> = of_table.collect();
        nodes.truncate(SAVED_NODES_MAX);
        let each = (self.contacts.count() / (SAVED_NODES_MAX - nodes.len()).max(1)).max(1);
        nodes.extend(self.contacts.iter().step_by(each));
        nodes.extend(self.rouse.saved());
        // Each once, in this order.
        let mut seen: Vec<NodeId> = Vec::with_capacity(nodes.len());
        nodes.retain(|start| match seen.binary_search(&start.node.id) {
            Ok(_) => false,
            Err(at) => {
                seen.insert(at, start.node.id);
                true
            }
        });
        nodes.truncate(SAVED_NODES_MAX);
        let (id, made_for) = (self.table.own(), self.witness.agreed());
        let port = self.config.local.port();
        Saved { id, port, made_for, nodes }.write(self.family)
    }

    fn somebody_waits(&self) -> bool {
        self.searches.somebody_waits() || self.schedule.count() > 0
    }

    /// Asks one node whether the line is back.
    fn probe(&mut self, turn: usize, now: Instant) {
        let count = self.table.entries().count();
        let of_table = turn.checked_rem(count).and_then(|at| self.table.entries().nth(at));
        let of_table = of_table.map(|entry| entry.address());
        // By turns one of the table and another one.
        let other = self.rouse.probe_at(turn / 2);
        let to = if turn.is_multiple_of(2) { of_table.or(other) } else { other.or(of_table) };
        if let Some(to) = to {
            let purpose = Purpose::Ping { ticket: None };
            self.send(to, None, purpose, Method::Ping, Haste::Urgent, now);
        }
    }

    /// Looks for nodes of the thinnest bucket that was not refreshed for long.
    fn refresh(&mut self, now: Instant) {
        self.upkeep.next_refresh = now + REFRESH_APART;
        if self.rouse.is_dead() || self.table.good() == 0 || !self.searches.has_calm_place() {
            return;
        }
        let own = self.table.own();
        let mut counts: Vec<usize> = Vec::new();
        for entry in self.table.entries() {
            let bits = entry.id().common_bits(&own);
            if counts.len() <= bits {
                counts.resize(bits + 1, 0);
            }
            counts[bits] += 1;
        }
        // Behind the last bucket with eight there is nobody to be found but by chance.
        let deepest = counts.iter().rposition(|count| *count >= BUCKET_FULL);
        let depth = deepest.map_or(0, |at| at + 1) + 1;
        let is_first_round = self.upkeep.refreshed.len() < depth;
        let bits = if is_first_round {
            self.upkeep.refreshed.push(now);
            self.upkeep.next_refresh = now + REFRESH_FIRST;
            self.upkeep.refreshed.len() - 1
        } else {
            // Full ones are kept by pings.
            let is_thin = |bits: usize| counts.get(bits).is_none_or(|count| *count < BUCKET_FULL);
            let refreshed = self.upkeep.refreshed.iter_mut().take(depth).enumerate();
            let refreshed = refreshed.filter(|(bits, _)| is_thin(*bits));
            let Some((bits, last)) = refreshed.min_by_key(|(_, last)| **last) else { return };
            if now < *last + REFRESH_EACH {
                return;
            }
            *last = now;
            bits
        };
        let bits = bits.min(ID_BITS - 1);
        let mut target = NodeId::random_within(&own, bits, &mut self.rng);
        // The first bit that differs makes it one of exactly this bucket.
        let (byte, bit) = (bits / 8, 0x80 >> (bits % 8));
        target.0[byte] = (target.0[byte] & !bit) | (!own.0[byte] & bit);
        self.begin(target, Cause::Refresh, Vec::new(), now, now);
    }
}

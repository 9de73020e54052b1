//! One bucket: who has a place in it, and who waits for one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::{FAILS_REPLACED, Net, PROOF_AFTER};
use crate::dht::compact::NodeInfo;
use crate::dht::id::NodeId;

/// Places in the four farthest buckets (libtorrent): most lookups begin there.
const FAR: [usize; 4] = [128, 64, 32, 16];
/// Places in any other: k of BEP 5.
const NEAR: usize = 8;
/// Stamps count tenths of a second.
const TICK: Duration = Duration::from_millis(100);

/// Places in the bucket of this index, and as many spares.
pub(super) fn room(index: usize) -> usize {
    FAR.get(index).copied().unwrap_or(NEAR)
}

/// A time in four bytes: tenths of a second since the table began, good for 13 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stamp(u32);

impl Stamp {
    /// How long `earlier` is ago.
    pub(super) fn since(self, earlier: Self) -> Duration {
        TICK * self.0.saturating_sub(earlier.0)
    }

    /// So much later.
    pub(super) fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(ticks(wait)))
    }
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

/// Turns times into stamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    pub(super) fn new(began: Instant) -> Self {
        Self { began }
    }

    pub(super) fn stamp(self, now: Instant) -> Stamp {
        Stamp(ticks(now.saturating_duration_since(self.began)))
    }

    pub(super) fn instant(self, stamp: Stamp) -> Instant {
        self.began + TICK * stamp.0
    }

    pub(super) fn age(self, stamp: Stamp, now: Instant) -> Duration {
        now.saturating_duration_since(self.instant(stamp))
    }
}

/// A node. 56 bytes: the machine has some 900.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry {
    id: NodeId,
    /// An IPv4 address is mapped.
    ip: Ipv6Addr,
    port: u16,
    /// In milliseconds; the largest value means that it never answered.
    round_trip_ms: u16,
    since: Stamp,
    heard: Stamp,
    asked: Stamp,
    fails: u8,
    is_proven: bool,
    suits: bool,
}

/// Whoever never answered has this round trip.
const NEVER: u16 = u16::MAX;

impl Entry {
    pub(super) fn new(node: NodeInfo, stamp: Stamp) -> Self {
        let ip = match node.address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self {
            id: node.id,
            ip,
            port: node.address.port(),
            round_trip_ms: NEVER,
            since: stamp,
            heard: stamp,
            asked: Stamp(0),
            fails: 0,
            is_proven: false,
            suits: node.id.suits(node.address.ip()),
        }
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    /// Name and place.
    pub fn info(&self) -> NodeInfo {
        NodeInfo { id: self.id, address: self.address() }
    }

    /// Its latest round trip, if it answered and that was measured.
    pub fn round_trip(&self) -> Option<Duration> {
        let is_known = self.is_verified() && self.round_trip_ms > 0;
        is_known.then(|| Duration::from_millis(self.round_trip_ms.into()))
    }

    /// Whether it answers: nothing failed since it was last heard.
    pub fn is_alive(&self) -> bool {
        self.fails == 0
    }

    /// Whether its address may have its id (BEP 42).
    pub fn suits(&self) -> bool {
        self.suits
    }

    pub(super) fn ip(&self) -> IpAddr {
        IpAddr::V6(self.ip).to_canonical()
    }

    pub(super) fn site(&self) -> Net {
        Net::site(self.ip())
    }

    pub(super) fn since(&self) -> Stamp {
        self.since
    }

    pub(super) fn heard(&self) -> Stamp {
        self.heard
    }

    pub(super) fn asked(&self) -> Stamp {
        self.asked
    }

    pub(super) fn fails(&self) -> u8 {
        self.fails
    }

    /// Whether it ever answered us.
    pub(super) fn is_verified(&self) -> bool {
        self.round_trip_ms != NEVER
    }

    /// Whether it answered after a long silence.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// It answered; after a long silence not through a pinhole.
    pub(super) fn answer(&mut self, stamp: Stamp, round_trip: Option<Duration>) {
        if !self.is_verified() {
            self.since = stamp;
            self.round_trip_ms = 0;
        }
        self.is_proven |= stamp.since(self.heard) >= PROOF_AFTER;
        if let Some(round_trip) = round_trip {
            let ms = u16::try_from(round_trip.as_millis()).unwrap_or(NEVER);
            self.round_trip_ms = ms.clamp(1, NEVER - 1);
        }
        self.fails = 0;
        self.heard = stamp;
    }

    pub(super) fn hear(&mut self, stamp: Stamp) {
        self.heard = stamp;
    }

    pub(super) fn ask(&mut self, stamp: Stamp) {
        self.asked = stamp;
    }

    pub(super) fn fail(&mut self) {
        self.fails = self.fails.saturating_add(1);
    }

    /// Smaller is better: who answers, whose id suits its address, who is known longest, who is
    /// near.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (!self.is_verified(), self.fails, !self.suits, self.since, self.round_trip_ms)
    }
}

/// Who has a place, and who waits for one.
#[derive(Default, Debug)]
pub(super) struct Bucket {
    pub(super) live: Vec<Entry>,
    pub(super) spares: Vec<Entry>,
}

impl Bucket {
    pub(super) fn has_room(&self, index: usize) -> bool {
        self.live.len() < room(index)
    }

    /// Whether a spare that answered would get a place.
    pub(super) fn takes_spare(&self, index: usize) -> bool {
        self.has_room(index) || self.is_worst_failing()
    }

    fn is_worst_failing(&self) -> bool {
        self.live.iter().any(|entry| entry.fails() >= FAILS_REPLACED)
    }

    /// A place for a node that answered: a free one, or that of a worse one. Returns who has
    /// none then, unless it failed.
    pub(super) fn add(&mut self, entry: Entry, index: usize) -> Option<Entry> {
        if self.has_room(index) {
            push(&mut self.live, entry, room(index));
            return None;
        }
        let worst = (0..self.live.len()).max_by_key(|at| self.live[*at].rank());
        let Some(worst) = worst.map(|at| &mut self.live[at]) else { return Some(entry) };
        let is_failing = worst.fails() >= FAILS_REPLACED;
        if is_failing || (entry.suits() && !worst.suits() && entry.is_alive()) {
            Some(std::mem::replace(worst, entry)).filter(|_| !is_failing)
        } else {
            Some(entry)
        }
    }

    /// Whether one more that never answered may wait: only where a place is free or to be had,
    /// and so few that a flood of false senders drives nobody out who answered.
    pub(super) fn wants_unverified(&self, index: usize) -> bool {
        let waiting = self.spares.iter().filter(|spare| !spare.is_verified()).count();
        self.takes_spare(index) && waiting < NEAR / 2
    }

    /// Lets a node wait; the worst one leaves for it when too many do.
    pub(super) fn add_spare(&mut self, entry: Entry, index: usize) {
        while self.spares.len() >= room(index) {
            let Some(worst) = (0..self.spares.len()).max_by_key(|at| self.spares[*at].rank())
            else {
                break;
            };
            self.spares.swap_remove(worst);
        }
        push(&mut self.spares, entry, room(index));
    }

    /// The best of those that answered and wait.
    pub(super) fn best_spare(&self, fits: impl Fn(&Entry) -> bool) -> Option<usize> {
        let spares = self.spares.iter().enumerate();
        let fitting = spares.filter(|(_, spare)| spare.is_verified() && fits(spare));
        fitting.min_by_key(|(_, spare)| spare.rank()).map(|(at, _)| at)
    }
}

/// Doubling would waste half a bucket.
fn push(list: &mut Vec<Entry>, entry: Entry, room: usize) {
    if list.len() == list.capacity() {
        list.reserve_exact(NEAR.min(room));
    }
    list.push(entry);
}

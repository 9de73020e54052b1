//! Start and recovery: whom to begin with while the table is empty, when to try again, and
//! whether it is the line that is dead and not the nodes. No router is needed, and nothing is
//! forgotten because nobody answered. Not here: the table, and the lookups that try.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::contacts::Start;
use super::event::Hint;
use super::id::NodeId;

/// Addresses without a name that are kept (libtorrent hoarded 599,700: libtorrent#6199).
pub const HINTS_MAX: usize = 200;
/// With so many good nodes no start is needed.
pub const ENOUGH: usize = 8;
/// Queries lost one after the other by which the line is taken for dead (pymdht, mldht).
const LOST_MAX: u32 = 10;
/// The same of queries that stall: whoever waits should not wait for them to be lost.
const STALLED_MAX: u32 = 16;
/// The first attempt is repeated after it, then after twice as long, and so on.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// On a dead line while somebody waits: one query to one node, so that it is noticed when the
/// line is back though nobody tells.
const PROBE_EACH: Duration = Duration::from_secs(1);
/// Attempts without routers.
const ALONE: u32 = 1;
/// Times that a saved node or hint is asked in vain on a living line.
const VAIN_MAX: u8 = 3;

/// An address that somebody named.
#[derive(Clone, Copy, Debug)]
struct Named {
    address: SocketAddr,
    by: Hint,
    vain: u8,
    /// In which attempt it was given out last.
    given: u32,
}

/// Starts, and what is known of the line.
#[derive(Debug)]
pub struct Rouse {
    hints: Vec<Named>,
    /// Nodes of `dht.dat` that have not answered yet, with times asked in vain.
    saved: Vec<(Start, u8)>,
    attempts: u32,
    /// Attempts ever, by which hints take turns.
    round: u32,
    /// When the last attempt began.
    begun: Option<Instant>,
    /// When the next attempt is due, if it is needed.
    again: Instant,
    /// An attempt is due whatever the table holds.
    is_forced: bool,
    last_heard: Option<Instant>,
    /// Lost since the last reply, and which of these were asked after it.
    lost: u32,
    lost_after: u32,
    /// Asked after the last reply, and stalled.
    stalled_after: u32,
    /// Since when queries are out that nobody answered.
    silent_from: Option<Instant>,
    next_probe: Instant,
    probes: usize,
}

impl Rouse {
    /// One with the nodes of `dht.dat`.
    pub fn new(saved: Vec<Start>, now: Instant) -> Self {
        Self {
            hints: Vec::new(),
            saved: saved.into_iter().map(|start| (start, 0)).collect(),
            attempts: 0,
            round: 0,
            begun: None,
            again: now,
            is_forced: false,
            last_heard: None,
            lost: 0,
            lost_after: 0,
            stalled_after: 0,
            silent_from: None,
            next_probe: now,
            probes: 0,
        }
    }

    /// Somebody named an address; whether it is new and kept. A new one is tried at once, but
    /// not of those that come with nearly each reply to the other family's machine: these wait
    /// for the next attempt, or a family without a line would be asked for ever.
    pub fn hint(&mut self, address: SocketAddr, by: Hint, now: Instant) -> bool {
        let is_others = by == Hint::Other;
        if let Some(known) = self.hints.iter_mut().find(|known| known.address == address) {
            if !is_others {
                known.vain = 0;
            }
            return false;
        }
        if self.hints.len() >= HINTS_MAX {
            // Whoever was tried most in vain, and among those whoever came first.
            let worst = self.hints.iter().enumerate().max_by_key(|(at, known)| {
                let rank = (known.by == Hint::Other, known.by != Hint::Router);
                (known.vain, rank, std::cmp::Reverse(*at))
            });
            let Some((at, worst)) = worst else { return false };
            if is_others && worst.vain == 0 && worst.by != Hint::Other {
                return false;
            }
            self.hints.remove(at);
        }
        self.hints.push(Named { address, by, vain: 0, given: 0 });
        if is_others {
            return true;
        }
        self.attempts = 0;
        // The attempt under way takes it as well; many may come at once.
        let soonest = self.begun.map_or(now, |begun| now.max(begun + AGAIN_FIRST));
        self.again = self.again.min(soonest);
        true
    }

    /// A query left.
    pub fn asked(&mut self, now: Instant) {
        self.silent_from.get_or_insert(now);
    }

    /// A reply to one of ours came, which settles what is known of its sender; whether the line
    /// was dead until now.
    pub fn heard(&mut self, from: SocketAddr, now: Instant) -> bool {
        let was_dead = self.is_dead();
        self.hints.retain(|known| known.address != from);
        self.saved.retain(|(start, _)| start.node.address != from);
        self.last_heard = Some(now);
        self.silent_from = None;
        (self.lost, self.lost_after, self.stalled_after) = (0, 0, 0);
        if was_dead {
            (self.attempts, self.again, self.is_forced) = (0, now, true);
        }
        was_dead
    }

    /// A query that left at `sent` stalled.
    pub fn stalled(&mut self, sent: Instant) {
        if !self.is_answered_since(sent) {
            self.stalled_after = self.stalled_after.saturating_add(1);
        }
    }

    /// A query that left at `sent` is lost; whether that tells anything of its receiver. It does
    /// not when nobody at all was heard since, or when ten in a row were lost: it is the line.
    pub fn lost(&mut self, to: SocketAddr, sent: Instant) -> bool {
        let is_answered = self.is_answered_since(sent);
        self.lost = self.lost.saturating_add(1);
        self.lost_after = self.lost_after.saturating_add(u32::from(!is_answered));
        let counts = self.lost < LOST_MAX && is_answered;
        if counts {
            self.saved
                .iter_mut()
                .filter(|(start, _)| start.node.address == to)
                .for_each(|(_, vain)| *vain += 1);
            self.saved.retain(|(_, vain)| *vain < VAIN_MAX);
            let known = self.hints.iter_mut().find(|known| known.address == to);
            if let Some(known) = known {
                known.vain = known.vain.saturating_add(1);
            }
            // Routers stay: the user named them, and they cost nothing.
            self.hints.retain(|known| known.vain < VAIN_MAX || known.by == Hint::Router);
        }
        counts
    }

    /// Whether nobody answers at all. Nothing more is asked then but by attempts and probes.
    pub fn is_dead(&self) -> bool {
        self.lost_after >= LOST_MAX || self.stalled_after >= STALLED_MAX
    }

    fn is_answered_since(&self, sent: Instant) -> bool {
        self.last_heard.is_some_and(|heard| heard >= sent)
    }

    /// How long nobody has answered, if queries are out.
    pub fn silent(&self, now: Instant) -> Option<Duration> {
        self.silent_from.map(|since| now.saturating_duration_since(since))
    }

    /// The network is another one: what was lost tells nothing, and an attempt is due.
    pub fn changed(&mut self, now: Instant) {
        self.silent_from = None;
        (self.lost, self.lost_after, self.stalled_after) = (0, 0, 0);
        (self.attempts, self.again, self.is_forced) = (0, now, true);
        self.hints.iter_mut().for_each(|known| known.vain = 0);
        self.saved.iter_mut().for_each(|(_, vain)| *vain = 0);
    }

    /// Whether an attempt is due, with so many good nodes.
    pub fn is_due(&self, good: usize, now: Instant) -> bool {
        (self.is_forced || good < ENOUGH) && now >= self.again
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) {
        let doubled = AGAIN_FIRST * 2_u32.pow(self.attempts.min(6));
        self.again = now + doubled.min(AGAIN_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.round = self.round.wrapping_add(1);
        self.begun = Some(now);
        self.is_forced = false;
    }

    /// An attempt found enough: the next one, if it is needed at all, can wait.
    pub fn succeeded(&mut self, now: Instant) {
        self.attempts = 0;
        self.again = now + AGAIN_MAX;
    }

    /// Appends the `count` saved nodes that are nearest to `target`.
    pub fn nearest_saved(&self, target: &NodeId, count: usize, out: &mut Vec<Start>) {
        let mut saved: Vec<Start> = self.saved.iter().map(|(start, _)| *start).collect();
        let key = |start: &Start| start.node.id.distance(target);
        if saved.len() > count {
            saved.select_nth_unstable_by_key(count, key);
            saved.truncate(count);
        }
        saved.sort_by_key(key);
        out.append(&mut saved);
    }

    /// Addresses to begin with, at most `count`: those given out longest ago first, of several
    /// kinds in turn. Routers come only when there is nobody else, or the others were asked in
    /// vain.
    pub fn unnamed(&mut self, count: usize) -> Vec<SocketAddr> {
        let is_router = |known: &Named| known.by == Hint::Router;
        let others = self.saved.len() + self.hints.iter().filter(|k| !is_router(k)).count();
        let with_routers = others == 0 || self.attempts > ALONE;
        let mut places = [0_usize; 5];
        let mut order: Vec<(bool, u32, usize, usize)> = Vec::new();
        for (at, known) in self.hints.iter().enumerate() {
            let kind = match known.by {
                Hint::Peer => 0,
                Hint::Lan => 1,
                Hint::Torrent => 2,
                Hint::Other => 3,
                Hint::Router => 4,
            };
            if !is_router(known) || with_routers {
                order.push((is_router(known), known.given, places[kind], at));
                places[kind] += 1;
            }
        }
        order.sort_unstable();
        order.truncate(count);
        let round = self.round;
        let give = |(.., at): (bool, u32, usize, usize)| {
            self.hints[at].given = round;
            self.hints[at].address
        };
        order.into_iter().map(give).collect()
    }

    /// Whether a probe is due; counts it. `nobody_waits` makes them rare.
    pub fn probe(&mut self, now: Instant) -> Option<usize> {
        if !self.is_dead() || now < self.next_probe {
            return None;
        }
        self.next_probe = now + PROBE_EACH;
        self.probes = self.probes.wrapping_add(1);
        Some(self.probes)
    }

    /// A node of `dht.dat` or a hint to probe, by turns.
    pub fn probe_at(&self, turn: usize) -> Option<SocketAddr> {
        let count = self.saved.len() + self.hints.len();
        let at = turn.checked_rem(count)?;
        let saved = self.saved.get(at).map(|(start, _)| start.node.address);
        saved.or_else(|| self.hints.get(at - self.saved.len()).map(|known| known.address))
    }

    /// When an attempt may be due, or a probe if somebody waits.
    pub fn next_timeout(&self, good: usize, somebody_waits: bool) -> Option<Instant> {
        let attempt = (self.is_forced || good < ENOUGH).then_some(self.again);
        let probe = (self.is_dead() && somebody_waits).then_some(self.next_probe);
        attempt.into_iter().chain(probe).min()
    }

    /// Addresses and saved nodes that have not answered.
    pub fn waiting(&self) -> usize {
        self.hints.len() + self.saved.len()
    }

    /// Saved nodes that have not answered yet, for the next `dht.dat`.
    pub fn saved(&self) -> impl Iterator<Item = Start> + '_ {
        self.saved.iter().map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::candidates::tests::node;

    const S: Duration = Duration::from_secs(1);

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([9, 9, 9, last], 6881))
    }

    fn with_saved(count: u16) -> (Rouse, Instant) {
        let now = Instant::now();
        let start = |far| Start::new(node(far, far), None);
        (Rouse::new((1..=count).map(start).collect(), now), now)
    }

    #[test]
    fn attempts_follow_each_other_ever_slower_until_one_succeeds() {
        let (mut rouse, mut now) = with_saved(3);
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert!(rouse.is_due(0, now));
            rouse.begin(now);
            assert!(!rouse.is_due(0, now));
            let next = rouse.next_timeout(0, false).unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(!rouse.is_due(ENOUGH, now), "nobody needs it");
        assert_eq!(rouse.next_timeout(ENOUGH, false), None);
        // A new hint is tried at once, a known one is not.
        rouse.begin(now);
        assert!(rouse.hint(at(1), Hint::Peer, now + S) && rouse.is_due(0, now + S));
        rouse.begin(now + S);
        assert!(!rouse.hint(at(1), Hint::Peer, now + S) && !rouse.is_due(0, now + S));
        // Nor are a hundred at once a hundred attempts.
        rouse.hint(at(2), Hint::Peer, now + S);
        assert!(!rouse.is_due(0, now + S) && rouse.is_due(0, now + 2 * S));
        rouse.succeeded(now + S);
        assert!(!rouse.is_due(3, now + 60 * S) && rouse.is_due(3, now + 61 * S));
    }

    #[test]
    fn what_the_other_family_names_waits_for_the_next_attempt() {
        let (mut rouse, mut now) = with_saved(0);
        for round in 0..9 {
            assert!(rouse.hint(at(round), Hint::Other, now));
            assert!(rouse.is_due(0, now));
            rouse.begin(now);
            assert!(rouse.hint(at(100 + round), Hint::Other, now + S / 2));
            now = rouse.next_timeout(0, false).unwrap();
        }
        rouse.begin(now);
        assert_eq!(rouse.next_timeout(0, false), Some(now + 60 * S), "it is as rare as ever");
        assert!(rouse.hint(at(200), Hint::Peer, now + S) && rouse.is_due(0, now + S));
    }

    #[test]
    fn what_the_other_family_names_takes_no_place_of_what_others_named() {
        let (mut rouse, now) = with_saved(0);
        let many = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(0x0909_0000 + n), 1_000));
        rouse.hint(at(1), Hint::Torrent, now);
        for n in 0..1_000 {
            rouse.hint(many(n), Hint::Other, now);
        }
        assert_eq!(rouse.waiting(), HINTS_MAX);
        assert!(rouse.unnamed(HINTS_MAX).contains(&at(1)));
        for n in 2_000..3_000 {
            rouse.hint(many(n), Hint::Peer, now);
        }
        assert!(!rouse.hint(many(1), Hint::Other, now), "all places are others'");
        assert!(!rouse.unnamed(HINTS_MAX).contains(&many(1)));
    }

    #[test]
    fn a_change_makes_an_attempt_due_whatever_the_table_holds() {
        let (mut rouse, now) = with_saved(3);
        (0..5).for_each(|_| rouse.begin(now));
        rouse.changed(now);
        assert!(rouse.is_due(500, now));
        rouse.begin(now);
        assert!(!rouse.is_due(500, now + 100 * S));
        assert_eq!(rouse.next_timeout(0, false), Some(now + S), "and quick ones after it");
    }

    #[test]
    fn losses_count_only_while_others_answer() {
        let (mut rouse, now) = with_saved(3);
        assert!(!rouse.lost(at(1), now), "nobody ever answered");
        rouse.heard(at(2), now);
        assert!(rouse.lost(at(1), now), "somebody answered after it was asked");
        assert!(!rouse.lost(at(1), now + S), "nobody did");
        rouse.heard(at(2), now + 2 * S);
        let counted = (0..20).filter(|_| rouse.lost(at(1), now)).count();
        assert_eq!(counted, 9, "ten in a row may be the line's");
        assert!(!rouse.is_dead(), "all of them were asked before somebody answered");
        let after = (0..10).filter(|_| rouse.lost(at(1), now + 2 * S + S / 9)).count();
        assert_eq!(after, 0);
        assert!(rouse.is_dead());
        assert!(rouse.heard(at(2), now + 3 * S), "the line was dead");
        assert!(!rouse.is_dead() && rouse.is_due(500, now + 3 * S));
        assert!(!rouse.heard(at(2), now + 3 * S));
    }

    #[test]
    fn on_a_dead_line_a_probe_leaves_each_second() {
        let (mut rouse, now) = with_saved(2);
        assert_eq!(rouse.probe(now), None);
        rouse.asked(now);
        (0..16).for_each(|_| rouse.stalled(now));
        assert!(rouse.is_dead());
        assert_eq!(rouse.silent(now + 5 * S), Some(5 * S));
        rouse.begin(now);
        assert_eq!(rouse.next_timeout(99, true), Some(now));
        let turns: Vec<usize> = (0..3).filter_map(|second| rouse.probe(now + second * S)).collect();
        assert_eq!(turns, [1, 2, 3]);
        assert_eq!(rouse.probe(now + 2 * S), None);
        assert_eq!(rouse.next_timeout(99, true), Some(now + 3 * S));
        assert_eq!(rouse.next_timeout(99, false), None, "attempts alone");
        let probed = [1, 2, 3].map(|turn| rouse.probe_at(turn).unwrap());
        assert_eq!((probed[0], probed[1]), (node(2, 2).address, node(1, 1).address));
        rouse.heard(at(1), now);
        assert_eq!(rouse.silent(now + 5 * S), None);
    }

    #[test]
    fn nothing_is_forgotten_on_a_dead_line() {
        let (mut rouse, now) = with_saved(1);
        rouse.hint(at(1), Hint::Peer, now);
        for _ in 0..100 {
            rouse.lost(node(1, 1).address, now);
            rouse.lost(at(1), now);
        }
        assert_eq!(rouse.waiting(), 2);
        // On a living one both go when they were asked in vain.
        for round in 0..3 {
            rouse.heard(at(9), now + round * S);
            assert_eq!(rouse.waiting(), 2);
            rouse.lost(node(1, 1).address, now);
            rouse.lost(at(1), now);
        }
        assert_eq!(rouse.waiting(), 0);
    }

    #[test]
    fn hints_of_all_kinds_take_turns_and_routers_come_last() {
        let (mut rouse, now) = with_saved(0);
        let kinds = [(1, Hint::Peer), (2, Hint::Peer), (3, Hint::Router), (4, Hint::Torrent)];
        for (last, by) in kinds.into_iter().chain([(5, Hint::Lan), (6, Hint::Peer)]) {
            rouse.hint(at(last), by, now);
        }
        rouse.begin(now);
        assert_eq!(rouse.unnamed(4), [1, 4, 5, 2].map(at));
        assert_eq!(rouse.unnamed(9), [6, 1, 4, 5, 2].map(at), "first those not given yet");
        rouse.begin(now);
        assert_eq!(rouse.unnamed(9).last(), Some(&at(3)));
        let (mut alone, _) = with_saved(0);
        alone.hint(at(3), Hint::Router, now);
        alone.begin(now);
        assert_eq!(alone.unnamed(9), [at(3)], "nobody else is known");
    }

    #[test]
    fn hints_are_bounded_and_the_vain_ones_leave_first() {
        let (mut rouse, now) = with_saved(0);
        let many = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(0x0909_0000 + n), 1_000));
        for n in 0..HINTS_MAX as u32 {
            rouse.hint(many(n), Hint::Peer, now);
        }
        rouse.heard(at(1), now);
        rouse.lost(many(7), now);
        rouse.hint(at(77), Hint::Torrent, now);
        assert_eq!(rouse.waiting(), HINTS_MAX);
        let all = rouse.unnamed(HINTS_MAX);
        assert!(all.contains(&at(77)) && all.contains(&many(0)) && !all.contains(&many(7)));
    }

    #[test]
    fn the_nearest_saved_come_first() {
        let (rouse, _) = with_saved(50);
        let mut out = Vec::new();
        rouse.nearest_saved(&NodeId::default(), 3, &mut out);
        assert_eq!(
            out.iter().map(|start| start.node).collect::<Vec<_>>(),
            [1, 2, 3].map(|n| node(n, n))
        );
    }
}

//! Lookups step by step: exactly whom they ask, and when they store.

use std::net::Ipv4Addr;

use super::*;
use crate::dht::candidates::tests::{live, node};

const MS: Duration = Duration::from_millis(1);

/// A lookup of the zero id among nodes that are named by their distance.
struct Walk {
    lookup: Lookup,
    now: Instant,
    asked: Vec<(u16, Option<CandidateIndex>)>,
    token: bool,
}

const URGENT: Plan = Plan {
    target: NodeId([0; 20]),
    stores: false,
    is_wide: true,
    is_cold: false,
    depth: None,
    expects_suited: false,
    repeats_unknown: true,
};
const STORING: Plan = Plan { stores: true, ..URGENT };
const CALM: Plan = Plan { is_wide: false, ..URGENT };

fn far_of(node: &NodeInfo) -> u16 {
    u16::from_be_bytes([node.id.0[0], node.id.0[1]])
}

fn start(far: u16, trip: u64) -> Start {
    Start::new(node(far, far), Some(MS * trip as u32))
}

fn hint(last: u8) -> SocketAddr {
    SocketAddr::from(([9, last, 0, 1], 6881))
}

impl Walk {
    fn new(plan: Plan, starts: &[Start], unnamed: Vec<SocketAddr>) -> Self {
        let now = Instant::now();
        let lookup = Lookup::new(plan, starts, unnamed, now);
        Self { lookup, now, asked: Vec::new(), token: true }
    }

    fn from(plan: Plan, starts: &[u16]) -> Self {
        let starts: Vec<Start> = starts.iter().map(|far| start(*far, 50)).collect();
        Self::new(plan, &starts, Vec::new())
    }

    /// Sends all that may be sent now; addresses without a name are 60,000 and their number.
    fn send(&mut self) -> Vec<u16> {
        let mut sent = Vec::new();
        while let Some(ask) = self.lookup.next_ask(self.now) {
            let (name, index) = match ask {
                Ask::Node(index, node) | Ask::Again(index, node) => (far_of(&node), Some(index)),
                Ask::Address(at) => match at.ip() {
                    std::net::IpAddr::V4(ip) => (60_000 + u16::from(ip.octets()[1]), None),
                    std::net::IpAddr::V6(_) => panic!("no such hint"),
                },
            };
            self.lookup.asked(ask, [0; 4]);
            self.asked.push((name, index));
            sent.push(name);
        }
        sent
    }

    fn index(&self, far: u16) -> Option<CandidateIndex> {
        self.asked.iter().rev().find(|(name, _)| *name == far).expect("it was asked").1
    }

    fn answer(&mut self, far: u16, named: &[u16]) {
        self.answer_as(far, node(far, far), named.iter().map(|far| node(*far, *far)));
    }

    fn answer_as(&mut self, far: u16, from: NodeInfo, named: impl Iterator<Item = NodeInfo>) {
        let token = self.token.then_some(&b"token"[..]);
        let answer = Answer { from, round_trip: 50 * MS, token, was_stalled: false };
        self.lookup.answered(self.index(far), answer, named.map(live));
    }

    fn stall(&mut self, far: u16) {
        self.lookup.stalled(self.index(far));
    }

    /// Stores wherever it may be stored now.
    fn store(&mut self) -> Vec<u16> {
        let mut stored = Vec::new();
        while let Some((index, candidate)) = self.lookup.next_store() {
            stored.push(far_of(&candidate.node));
            self.lookup.set_stored(index, Stored::Sent);
        }
        stored
    }

    fn taken(&mut self) {
        let sent = |(_, candidate): &(CandidateIndex, &Candidate)| candidate.stored == Stored::Sent;
        let sent: Vec<CandidateIndex> =
            self.lookup.candidates.iter().filter(sent).map(|(s, _)| s).collect();
        sent.into_iter().for_each(|index| self.lookup.set_stored(index, Stored::Taken));
    }

    fn is_done(&self) -> bool {
        self.lookup.is_done(self.now)
    }
}

#[test]
fn the_first_are_the_four_nearest_and_the_four_fastest_of_sixteen() {
    let starts: Vec<Start> = (1..=20)
        .map(|far| start(far * 100, if far == 20 { 1 } else { 200 - 10 * u64::from(far) }))
        .collect();
    let mut walk = Walk::new(URGENT, &starts, Vec::new());
    let sent = walk.send();
    assert_eq!(sent, [100, 200, 300, 400, 1600, 1500, 1400, 1300], "2000 is none of sixteen");
}

#[test]
fn eight_are_kept_under_way_at_the_top() {
    let starts: Vec<u16> = (1..=16).map(|far| 1_000 + far).collect();
    let mut walk = Walk::from(URGENT, &starts);
    assert_eq!(walk.send(), (1_001..=1_008).collect::<Vec<_>>());
    // All of these are nearer than what is under way, which does not count before them.
    walk.answer(1_003, &(1..=20).collect::<Vec<_>>());
    assert_eq!(walk.send(), (1..=8).collect::<Vec<_>>());
    walk.answer(4, &[]);
    assert_eq!(walk.send(), [9], "the place of one at the top");
    walk.answer(1_001, &[]);
    assert_eq!(walk.send(), [0; 0], "that was far down");
}

#[test]
fn five_are_enough_when_it_begins_near_the_end() {
    let starts: Vec<u16> = (1..=16).map(|far| 1_000 + far).collect();
    // They share 6 bits with the target: within four levels of 10.
    let mut walk = Walk::from(Plan { depth: Some(10), ..URGENT }, &starts);
    assert_eq!(walk.send(), (1_001..=1_005).collect::<Vec<_>>(), "the nearest, however slow");
    walk.answer(1_003, &(1..=20).collect::<Vec<_>>());
    assert_eq!(walk.send(), [1, 2, 3, 4, 5]);
    let mut walk = Walk::from(Plan { depth: Some(11), ..URGENT }, &starts);
    walk.send();
    walk.answer(1_003, &(1..=20).collect::<Vec<_>>());
    assert_eq!(walk.send().len(), 8);
}

#[test]
fn three_are_enough_when_peers_were_found_or_nobody_waits() {
    let starts: Vec<u16> = (1..=16).map(|far| 1_000 + far).collect();
    let mut walk = Walk::from(URGENT, &starts);
    walk.send();
    walk.lookup.found_peers();
    assert!(!walk.lookup.is_wide());
    walk.answer(1_003, &(1..=20).collect::<Vec<_>>());
    assert_eq!(walk.send(), [1, 2, 3]);
    let mut calm = Walk::from(CALM, &starts);
    assert_eq!(calm.send(), [1_001, 1_002, 1_003]);
    calm.answer(1_002, &[7]);
    assert_eq!(calm.send(), [7], "with 1,001 and 1,003 three are at the top");
    // When there is a place for it among the few, it is hurried.
    let mut late = Walk::from(CALM, &starts);
    late.lookup.widen();
    assert_eq!(late.send().len(), 8);
}

#[test]
fn nobody_is_asked_in_place_of_one_that_may_answer() {
    let mut calm = Walk::from(CALM, &(1..=12).collect::<Vec<_>>());
    calm.send();
    for far in 1..=5 {
        calm.answer(far, &[]);
        assert_eq!(calm.send(), [far + 3]);
    }
    calm.answer(6, &[]);
    assert_eq!(calm.send(), [0; 0], "7 and 8 are under way, and there are six");
    calm.stall(8);
    assert_eq!(calm.send(), [9]);
    calm.answer(7, &[]);
    calm.answer(9, &[]);
    assert!(calm.is_done());
    // Of those whom others only speak of half are dead: who waits for them asks more.
    let asked = |plan| {
        let mut walk = Walk::from(plan, &[100]);
        walk.send();
        walk.answer(100, &(1..=20).collect::<Vec<_>>());
        walk.send();
        (1..=3).for_each(|far| walk.answer(far, &[]));
        let more = walk.send();
        (more.len(), walk.asked.len())
    };
    assert_eq!(asked(URGENT), (3, 12));
    assert_eq!(asked(CALM), (3, 7));
}

#[test]
fn of_one_level_the_one_that_more_have_named_is_asked_first() {
    let mut walk = Walk::from(CALM, &[1_000, 1_001, 1_002]);
    assert_eq!(walk.send(), [1_000, 1_001, 1_002]);
    // 64 to 127 are one level; 40 is another, and nearer.
    walk.answer(1_000, &[100, 101, 102]);
    walk.answer(1_001, &[102, 103, 40]);
    assert_eq!(walk.send(), [40, 102, 100], "three at the top");
}

#[test]
fn a_stalled_one_gives_its_place_and_its_reply_is_welcome() {
    let starts: Vec<u16> = (1..=12).collect();
    let mut walk = Walk::from(CALM, &starts);
    assert_eq!(walk.send(), [1, 2, 3]);
    walk.stall(2);
    assert_eq!(walk.send(), [4]);
    walk.lookup.stalled(walk.index(2));
    assert_eq!(walk.send(), [0; 0]);
    for far in 5..=9 {
        walk.answer(far - 1, &[]);
        assert_eq!(walk.send(), [far]);
    }
    walk.answer(1, &[]);
    walk.answer(3, &[]);
    walk.send();
    walk.answer(9, &[]);
    assert!(walk.is_done(), "1 and 3 to 9");
    walk.answer(2, &[]);
    let nearest: Vec<u16> = walk.lookup.nearest().map(|c| far_of(&c.node)).collect();
    assert_eq!(nearest, (1..=8).collect::<Vec<_>>());
}

#[test]
fn it_ends_when_the_eight_nearest_have_answered_with_a_token() {
    let starts: Vec<u16> = (1..=30).collect();
    let mut walk = Walk::from(STORING, &starts);
    let mut token_less = 0;
    for _ in 0..30 {
        walk.send();
        let next = walk.asked.iter().map(|(far, _)| *far).filter(|far| {
            let index = walk.index(*far).unwrap();
            walk.lookup.candidates.at(index).state == State::Asked
        });
        let Some(far) = { next }.min() else { break };
        walk.token = far > 5;
        token_less += usize::from(!walk.token);
        walk.answer(far, &[]);
        walk.store();
        walk.taken();
    }
    assert!(walk.is_done());
    assert_eq!((token_less, walk.lookup.stored()), (5, 8));
    let kept: Vec<u16> = walk.lookup.nearest().map(|c| far_of(&c.node)).collect();
    assert_eq!(kept, (6..=13).collect::<Vec<_>>());
    // Who only looks needs no token.
    let mut look = Walk::from(URGENT, &starts);
    look.token = false;
    look.send();
    (1..=8).for_each(|far| look.answer(far, &[]));
    assert!(look.is_done());
}

#[test]
fn it_ends_where_nobody_gives_a_token() {
    let starts: Vec<u16> = (1..=60).collect();
    let mut walk = Walk::from(STORING, &starts);
    walk.token = false;
    let mut count = 0;
    while !walk.is_done() {
        let sent = walk.send();
        assert!(!sent.is_empty() || count > 0);
        count += sent.len();
        sent.iter().for_each(|far| walk.answer(*far, &[]));
    }
    assert!((25..=33).contains(&count), "{count} were asked");
}

#[test]
fn something_is_stored_as_soon_as_all_nearer_ones_answered_or_stalled() {
    let starts: Vec<u16> = (1..=16).collect();
    let mut walk = Walk::from(STORING, &starts);
    walk.send();
    walk.answer(2, &[]);
    walk.answer(3, &[]);
    assert_eq!(walk.store(), [0; 0], "1 may answer");
    walk.stall(1);
    assert_eq!(walk.store(), [2, 3]);
    assert!(!walk.is_done());
    for far in 4..=9 {
        walk.send();
        walk.answer(far, &[]);
        assert_eq!(walk.store(), [far]);
    }
    assert!(!walk.is_done(), "the stores are under way");
    walk.taken();
    assert!(walk.is_done() && !walk.lookup.is_finished(walk.now));
    // The silent one answers after all: a ninth copy, and a tenth at whom it names.
    walk.answer(1, &[0]);
    assert_eq!(walk.send(), [0]);
    assert!(!walk.is_done());
    walk.answer(0, &[]);
    assert_eq!(walk.store(), [0, 1]);
    walk.taken();
    assert_eq!(walk.lookup.stored(), 10);
    assert!(walk.is_done() && walk.lookup.is_finished(walk.now));
}

#[test]
fn a_silent_one_of_the_nearest_is_asked_once_more_when_all_else_is_done() {
    let starts: Vec<u16> = (1..=9).collect();
    let mut walk = Walk::from(STORING, &starts);
    walk.send();
    walk.stall(1);
    assert_eq!(walk.send(), [9], "others are asked first");
    (2..=8).for_each(|far| walk.answer(far, &[]));
    assert_eq!(walk.send(), [0; 0]);
    assert_eq!(walk.store(), (2..=8).collect::<Vec<_>>(), "it holds nobody up");
    walk.answer(9, &[]);
    assert_eq!(walk.send(), [1], "it answered lately");
    assert_eq!(walk.store(), [9]);
    walk.taken();
    assert!(walk.is_done() && !walk.lookup.is_finished(walk.now));
    walk.stall(1);
    assert_eq!(walk.send(), [0; 0], "once is enough");
    walk.answer(1, &[]);
    assert_eq!((walk.send(), walk.store()), (Vec::new(), vec![1]));
}

#[test]
fn who_only_looks_repeats_nothing_nor_is_one_asked_twice_of_which_a_single_node_spoke() {
    let mut look = Walk::from(URGENT, &(1..=9).collect::<Vec<_>>());
    look.send();
    look.stall(1);
    look.send();
    (2..=9).for_each(|far| look.answer(far, &[]));
    assert_eq!(look.send(), [0; 0]);
    let named_by = |count: u16, repeats_unknown| {
        let plan = Plan { repeats_unknown, ..STORING };
        let mut walk = Walk::from(plan, &(2..=9).collect::<Vec<_>>());
        walk.send();
        (2..2 + count).for_each(|far| walk.answer(far, &[1]));
        assert_eq!(walk.send(), [1]);
        walk.stall(1);
        (2 + count..=9).for_each(|far| walk.answer(far, &[]));
        walk.send()
    };
    assert_eq!(named_by(1, true), [0; 0]);
    assert_eq!(named_by(2, true), [1]);
    assert_eq!(named_by(2, false), [0; 0]);
}

#[test]
fn one_that_knows_nobody_begins_with_whoever_answers_others() {
    let mut walk = Walk::new(URGENT, &[], vec![hint(1)]);
    assert_eq!(walk.send(), [60_001]);
    walk.lookup.meet(Start::new(NodeInfo { address: hint(1), ..node(100, 0) }, None));
    assert_eq!(walk.send(), [0; 0], "its own question is on its way there");
    walk.lookup.meet(start(7, 50));
    walk.lookup.meet(start(7, 50));
    assert_eq!(walk.send(), [7]);
    // With eight it knows enough.
    (10..=30).for_each(|far| walk.lookup.meet(start(far, 50)));
    assert_eq!(walk.lookup.candidates().count(), NEAREST);
}

#[test]
fn a_search_for_late_ones_ends_when_they_are_lost() {
    let mut walk = Walk::from(STORING, &(1..=9).collect::<Vec<_>>());
    walk.send();
    walk.stall(1);
    walk.send();
    (2..=9).for_each(|far| walk.answer(far, &[]));
    walk.store();
    walk.taken();
    assert!(walk.is_done() && !walk.lookup.is_finished(walk.now));
    walk.lookup.failed(walk.index(1), true);
    assert!(walk.lookup.is_finished(walk.now));
}

fn answer_all(walk: &mut Walk, place: impl Fn(u16) -> NodeInfo) -> usize {
    let mut count = 0;
    while !walk.is_done() {
        let sent = walk.send();
        assert!(!sent.is_empty(), "it hangs after {count}");
        count += sent.len();
        for far in sent {
            walk.answer_as(far, place(far), std::iter::empty());
            walk.store();
        }
        walk.taken();
    }
    count
}

fn started(plan: Plan, place: impl Fn(u16) -> NodeInfo, fars: std::ops::Range<u16>) -> Walk {
    let start = |far| Start::new(place(far), None);
    Walk::new(plan, &fars.map(start).collect::<Vec<_>>(), Vec::new())
}

#[test]
fn few_providers_among_the_nearest_widen_it_to_sixteen() {
    let crowd = |far: u16| NodeInfo {
        // The nearest ten are of three providers.
        address: match far {
            0..10 => SocketAddr::from(([7, (far % 3) as u8, far as u8, 1], 6881)),
            _ => node(far, far).address,
        },
        ..node(far, far)
    };
    let mut walk = started(STORING, crowd, 0..30);
    answer_all(&mut walk, crowd);
    assert_eq!(walk.lookup.stored(), 16);
    let diverse = |far: u16| node(far, far);
    let mut walk = started(STORING, diverse, 1..30);
    answer_all(&mut walk, diverse);
    assert_eq!(walk.lookup.stored(), 8);
    let local = |far: u16| NodeInfo {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1_000 + far)),
        ..node(far, far)
    };
    let mut walk = started(STORING, local, 1..30);
    answer_all(&mut walk, local);
    assert_eq!(walk.lookup.stored(), 8, "a test net has one provider");
}

#[test]
fn ids_that_suit_no_address_or_are_too_near_do_not_end_it() {
    let diverse = |far: u16| node(far, far);
    let strict = Plan { expects_suited: true, ..STORING };
    let mut walk = started(strict, diverse, 1..30);
    answer_all(&mut walk, diverse);
    assert_eq!(walk.lookup.stored(), 16, "none of these ids suits its address");
    // Node 1 shares 15 bits with the target; the eighth is expected at 3.
    let known = Plan { depth: Some(3), ..STORING };
    let mut walk = started(known, diverse, 1..30);
    answer_all(&mut walk, diverse);
    assert_eq!(walk.lookup.stored(), 16);
    let known = Plan { depth: Some(4), ..STORING };
    let mut walk = started(known, diverse, 1..30);
    answer_all(&mut walk, diverse);
    assert_eq!(walk.lookup.stored(), 8);
}

#[test]
fn whom_only_liars_named_comes_last_and_keeps_nobody_waiting() {
    let starts: Vec<u16> = (1_001..=1_010).collect();
    let mut walk = Walk::from(CALM, &starts);
    assert_eq!(walk.send(), [1_001, 1_002, 1_003]);
    walk.answer(1_001, &(1..=40).collect::<Vec<_>>());
    assert_eq!(walk.send(), [1, 2, 3]);
    (1..=3).for_each(|far| walk.stall(far));
    // Three dead: 4 to 40 are suspects by now.
    assert_eq!(walk.send(), [1_004], "1,002 and 1,003 are still under way");
    for far in 1_002..=1_008 {
        walk.answer(far, &[]);
        walk.send();
    }
    assert!(walk.is_done(), "eight have answered");
    assert!(walk.asked.iter().all(|(far, _)| *far > 1_000 || *far <= 3));
}

#[test]
fn suspects_are_asked_when_nobody_else_is_left() {
    let mut walk = Walk::from(CALM, &[1_001]);
    walk.send();
    walk.answer(1_001, &(1..=5).collect::<Vec<_>>());
    assert_eq!(walk.send(), [1, 2, 3]);
    (1..=3).for_each(|far| walk.stall(far));
    assert_eq!(walk.send(), [4, 5]);
    assert!(!walk.is_done());
    walk.answer(4, &[]);
    walk.stall(5);
    assert!(walk.is_done());
}

#[test]
fn a_start_from_nothing_asks_more_and_more_until_eight_answered() {
    let starts: Vec<u16> = (1..=100).collect();
    let starts: Vec<Start> = starts.iter().map(|far| start(*far, 0)).collect();
    let mut walk =
        Walk::new(Plan { is_cold: true, ..URGENT }, &starts, (1..=5).map(hint).collect());
    let first = walk.send();
    let wanted = [1, 2, 3, 60_001, 4, 5, 6, 60_002, 7, 8, 9, 60_003, 10, 11, 12, 60_004];
    assert_eq!(first, wanted, "one of four goes elsewhere");
    assert_eq!(walk.lookup.next_timeout(walk.now), walk.now + 100 * MS);
    walk.now += 100 * MS;
    assert_eq!(walk.send(), [13, 14, 15, 60_005, 16, 17, 18, 19]);
    walk.now += 250 * MS;
    assert_eq!(walk.send().len(), 16);
    assert_eq!(walk.lookup.next_timeout(walk.now), walk.now + 50 * MS);
    walk.now += 2_000 * MS;
    assert_eq!(walk.send().len(), COLD_MAX - 40);
    assert_eq!(walk.lookup.next_timeout(walk.now), walk.lookup.begun + LOOKUP_MAX);
    // A hint answers: it is one of the candidates from now on.
    walk.answer_as(60_001, node(200, 200), [node(0, 300)].into_iter());
    assert_eq!(walk.send(), [0]);
}

#[test]
fn it_begins_with_addresses_alone_and_waits_for_them() {
    let mut walk = Walk::new(URGENT, &[], Vec::new());
    assert_eq!(walk.send(), [0; 0]);
    assert!(!walk.is_done(), "a hint may come");
    walk.lookup.hint(hint(1));
    walk.lookup.hint(hint(1));
    assert_eq!(walk.send(), [60_001]);
    walk.answer_as(60_001, node(100, 100), [node(1, 1)].into_iter());
    assert_eq!(walk.send(), [1]);
    walk.answer(1, &[]);
    assert!(walk.is_done());
}

#[test]
fn addresses_without_a_name_are_bounded() {
    let mut walk = Walk::new(URGENT, &[], Vec::new());
    for n in 0..10_000 {
        walk.lookup.hint(SocketAddr::from((std::net::Ipv4Addr::from(0x0909_0000 + n), 1_000)));
    }
    assert_eq!(walk.lookup.unnamed.len(), HINTS_MAX);
}

#[test]
fn it_ends_after_twenty_seconds_or_250_queries() {
    let mut walk = Walk::from(URGENT, &[1]);
    walk.send();
    assert!(!walk.is_done());
    assert_eq!(walk.lookup.next_timeout(walk.now), walk.now + LOOKUP_MAX);
    walk.now += LOOKUP_MAX;
    assert!(walk.is_done() && walk.lookup.is_finished(walk.now));

    let mut walk = Walk::from(URGENT, &[60_000]);
    let mut next = 59_000;
    let mut count = 0;
    while !walk.is_done() {
        let sent = walk.send();
        count += sent.len();
        for far in sent {
            next -= 2;
            walk.answer(far, &[next, next + 1]);
        }
        assert!(count < 1_000);
    }
    // 200 candidates end it before; each of them once.
    assert!(count <= QUERIES_MAX, "{count}");
}

#[test]
fn after_an_outage_the_silent_are_asked_again() {
    let mut walk = Walk::from(CALM, &[1, 2, 3]);
    assert_eq!(walk.send(), [1, 2, 3]);
    walk.answer(2, &[]);
    walk.stall(1);
    walk.lookup.failed(walk.index(3), false);
    walk.lookup.revive();
    assert_eq!(walk.send(), [1, 3]);
    // The old query of the first is lost after its new one was answered.
    walk.answer(1, &[]);
    walk.lookup.failed(walk.index(1), true);
    assert_eq!(walk.lookup.nearest().count(), 2);
    // With another address of ours all begins again.
    walk.lookup.restart();
    assert_eq!(walk.send(), [1, 2, 3]);
}

#[test]
fn what_is_found_ends_it() {
    let mut walk = Walk::from(URGENT, &[1, 2, 3]);
    walk.send();
    walk.lookup.satisfied();
    assert!(walk.is_done());
    assert_eq!(walk.send(), [0; 0]);
}

#[test]
fn who_was_asked_too_much_is_asked_later_and_not_forgotten() {
    let mut walk = Walk::from(STORING, &(1..=4).collect::<Vec<_>>());
    let ask = walk.lookup.next_ask(walk.now).unwrap();
    walk.lookup.hold(ask, walk.now + 500 * MS);
    assert_eq!(walk.send(), [2, 3, 4]);
    (2..=4).for_each(|far| walk.answer(far, &[]));
    assert_eq!(walk.store(), [0; 0], "the nearest may answer");
    assert!(!walk.is_done());
    assert_eq!(walk.lookup.next_timeout(walk.now), walk.now + 500 * MS);
    walk.now += 500 * MS;
    assert_eq!(walk.send(), [1]);
    walk.answer(1, &[]);
    assert_eq!(walk.store(), [1, 2, 3, 4]);
}

#[test]
fn who_did_not_answer_lately_is_asked_when_nobody_else_is_left() {
    let absent = |far| Start { is_absent: true, ..start(far, 50) };
    let starts = [absent(1), start(2, 50), start(3, 50), absent(4)];
    let mut walk = Walk::new(CALM, &starts, Vec::new());
    assert_eq!(walk.send(), [2, 3]);
    let answer = Answer { from: node(2, 2), round_trip: 50 * MS, token: None, was_stalled: false };
    let dead = Named { node: node(5, 5), is_absent: true };
    walk.lookup.answered(walk.index(2), answer, [dead, live(node(6, 6))].into_iter());
    assert_eq!(walk.send(), [6]);
    walk.answer(3, &[]);
    walk.answer(6, &[]);
    assert_eq!(walk.send(), [1, 4, 5], "nobody else is left");
    // With eight that answered they keep nobody waiting.
    let starts: Vec<Start> = (2..=9).map(|far| start(far, 50)).chain([absent(1)]).collect();
    let mut walk = Walk::new(URGENT, &starts, Vec::new());
    assert_eq!(walk.send().len(), 8);
    (2..=9).for_each(|far| walk.answer(far, &[]));
    assert!(walk.is_done());
}

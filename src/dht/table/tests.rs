//! What the table keeps of whom, in virtual time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

const RTT: Option<Duration> = Some(Duration::from_millis(50));

struct Net24 {
    rng: StdRng,
    own: NodeId,
    next: u32,
}

impl Net24 {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(9);
        Self { own: NodeId::random(&mut rng), rng, next: 0x0a0a_0001 }
    }

    /// A node with `bits` in common with our id, in a site of its own.
    fn node(&mut self, bits: usize) -> NodeInfo {
        self.next += 256;
        let mut ip = [self.next.to_be_bytes()[0] + 1, 0, 0, 0];
        ip[1..].copy_from_slice(&self.next.to_be_bytes()[1..]);
        let mut id = NodeId::random_within(&self.own, bits, &mut self.rng);
        id.0[bits / 8] ^= if id.common_bits(&self.own) > bits { 0x80 >> (bits % 8) } else { 0 };
        NodeInfo { id, address: (ip, 6881).into() }
    }

    /// The same, with an id that its address may have: found by trying.
    fn suiting(&mut self) -> NodeInfo {
        let mut node = self.node(0);
        node.id = NodeId::random_for(node.address.ip(), &mut self.rng);
        node
    }
}

fn table(net: &Net24) -> (Table, Instant) {
    let now = Instant::now();
    (Table::new(net.own, now), now + Duration::from_secs(1_000))
}

fn ids(table: &Table) -> BTreeSet<NodeId> {
    table.entries().map(Entry::id).collect()
}

fn node(id: u8, address: &str) -> NodeInfo {
    NodeInfo { id: NodeId([id; 20]), address: address.parse().unwrap() }
}

#[test]
fn buckets_have_the_sizes_of_libtorrent() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    // All are of loopback, where any id is right and no limit on addresses holds.
    let mut add = |bits: usize, count: usize, table: &mut Table| {
        for _ in 0..count {
            let mut node = net.node(bits);
            node.address = ([127, 0, 0, 1], net.next as u16).into();
            net.next += 1;
            table.answered(node, RTT, now);
        }
    };
    add(0, 300, &mut table);
    assert_eq!(table.good(), 128, "no split: the far half has its places");
    for (bits, count) in [(1, 100), (2, 100), (3, 100), (4, 100), (5, 20), (6, 20)] {
        add(bits, count, &mut table);
    }
    let lives: Vec<_> = table.buckets.iter().map(|bucket| bucket.live.len()).collect();
    assert_eq!(lives, [128, 64, 32, 16, 8, 8, 8, 0]);
    table.check_invariants();
    let spares = table.known() - table.good();
    assert_eq!(spares, 128 + 36 + 32 + 16 + 8 + 8 + 8, "as many wait");
    assert!(size_of::<Entry>() <= 64, "{} bytes an entry", size_of::<Entry>());
}

/// BEP 42 by libtorrent: "only verified ids may split buckets".
#[test]
fn ids_that_do_not_suit_their_address_get_no_places_near_ours() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    for _ in 0..200 {
        table.answered(net.node(9), RTT, now);
    }
    assert_eq!(table.buckets.len(), 1);
    assert_eq!(table.good(), 128, "but they are not refused");
    table.check_invariants();
}

#[test]
fn an_id_that_suits_takes_the_place_of_one_that_does_not() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    (0..140).for_each(|_| table.answered(net.node(0), RTT, now));
    let far = |net: &mut Net24| loop {
        let node = net.suiting();
        if node.id.common_bits(&net.own) == 0 {
            return node;
        }
    };
    let first = far(&mut net);
    table.answered(first, RTT, now);
    assert_eq!(table.buckets.len(), 2, "it may split");
    assert_eq!(table.buckets[0].live.len(), 128);
    let good: Vec<_> = (0..10).map(|_| far(&mut net)).collect();
    good.iter().for_each(|node| table.answered(*node, RTT, now));
    assert_eq!(table.buckets[0].live.len(), 128);
    assert!(good.iter().all(|node| ids(&table).contains(&node.id)));
    assert!(ids(&table).contains(&first.id));
    table.check_invariants();
}

#[test]
fn only_who_answered_is_handed_out() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    let unverified = net.node(0);
    table.heard(unverified, now);
    assert_eq!((table.good(), table.known()), (0, 1));
    assert_eq!(table.closest::<8>(&unverified.id, |_| true).iter().count(), 0);
    table.answered(unverified, RTT, now);
    let found: Vec<_> = table.closest::<8>(&unverified.id, |_| true).iter().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].info(), found[0].round_trip()), (unverified, RTT));
}

/// A flood of false senders changes nothing but a few spares.
#[test]
fn a_flood_of_queries_drives_nobody_out() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    let nodes: Vec<_> = (0..40).map(|_| net.node(0)).collect();
    nodes.iter().for_each(|node| table.answered(*node, RTT, now));
    let before = ids(&table);
    for _ in 0..10_000 {
        table.heard(net.node(0), now);
    }
    assert_eq!(ids(&table), before);
    assert!(table.known() <= 44, "{} known", table.known());
    table.check_invariants();
}

#[test]
fn one_address_has_one_place_whatever_its_names() {
    let (mut table, now) = table(&Net24::new());
    table.answered(node(1, "9.9.9.9:1000"), RTT, now);
    table.answered(node(2, "9.9.9.9:2000"), RTT, now);
    table.answered(node(3, "9.9.9.9:3000"), RTT, now);
    assert_eq!((table.good(), table.known()), (1, 1));
    // Loopback is one machine in tests.
    table.answered(node(4, "127.0.0.1:1000"), RTT, now);
    table.answered(node(5, "127.0.0.1:2000"), RTT, now);
    assert_eq!(table.good(), 3);
    table.check_invariants();
    // Whoever fails is replaced by the one that answers there.
    table.failed("9.9.9.9:1000".parse().unwrap(), false);
    table.answered(node(2, "9.9.9.9:2000"), RTT, now);
    assert!(ids(&table).contains(&NodeId([2; 20])) && !ids(&table).contains(&NodeId([1; 20])));
}

#[test]
fn one_site_has_one_place_in_a_bucket() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    for last in 1..200_u8 {
        let mut sybil = net.node(0);
        sybil.address = ([5, 5, 5, last], 6881).into();
        table.answered(sybil, RTT, now);
    }
    assert_eq!((table.good(), table.known()), (1, 1));
    let mut six = Table::new(net.own, now);
    for last in 1..200_u16 {
        let mut sybil = net.node(0);
        sybil.address = ([0x2001, 0xdb8, 1, 2, 0, 0, 0, last], 6881).into();
        six.answered(sybil, RTT, now);
    }
    assert_eq!(six.good(), 1);
}

/// What jech/dht does not do: a known name at a new address is not a move.
#[test]
fn a_name_cannot_be_taken_from_another_address() {
    let (mut table, now) = table(&Net24::new());
    table.answered(node(1, "9.9.9.9:1000"), RTT, now);
    table.answered(node(1, "8.8.8.8:1000"), RTT, now);
    let places: Vec<_> = table.entries().map(Entry::address).collect();
    assert_eq!(places, ["9.9.9.9:1000".parse().unwrap()]);
}

#[test]
fn who_answers_under_another_name_is_out_with_both() {
    let (mut table, now) = table(&Net24::new());
    table.answered(node(1, "9.9.9.9:1000"), RTT, now);
    table.answered(node(2, "9.9.9.9:1000"), RTT, now);
    assert_eq!(table.known(), 0);
    table.answered(node(1, "9.9.9.9:1000"), RTT, now);
    table.answered(node(2, "9.9.9.9:1000"), RTT, now);
    table.heard(node(2, "9.9.9.9:1000"), now);
    assert_eq!(table.known(), 0, "for a while");
    table.answered(node(2, "9.9.9.9:1000"), RTT, now + SUSPECT_FOR);
    assert_eq!(table.good(), 1);
    // libtorrent takes another name when it is told of its address: in a test net that is all.
    let home = "127.0.0.1:1000";
    table.answered(node(4, home), RTT, now);
    table.answered(node(5, home), RTT, now);
    assert!(ids(&table).contains(&NodeId([5; 20])) && !ids(&table).contains(&NodeId([4; 20])));
    table.changed(home.parse().unwrap(), now);
    assert_eq!(table.good(), 1);
    // Queries under many names are usual (mainline): they change nothing.
    table.heard(node(3, "9.9.9.9:1000"), now + SUSPECT_FOR);
    assert_eq!((table.good(), table.known()), (1, 1));
}

#[test]
fn our_own_name_is_never_a_node() {
    let net = Net24::new();
    let (mut table, now) = table(&net);
    let mirror = NodeInfo { id: net.own, address: "9.9.9.9:1000".parse().unwrap() };
    table.answered(mirror, RTT, now);
    table.heard(mirror, now);
    assert_eq!(table.known(), 0);
}

#[test]
fn failures_count_unless_the_line_is_dead() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    let nodes: Vec<_> = (0..60).map(|_| net.node(0)).collect();
    nodes.iter().for_each(|node| table.answered(*node, RTT, now));
    for _ in 0..1_000 {
        nodes.iter().for_each(|node| table.failed(node.address, true));
    }
    assert_eq!(table.good(), 60, "a silence says nothing of the nodes");
    for _ in 0..FAILS_MAX - 1 {
        table.failed(nodes[0].address, false);
    }
    assert_eq!((table.good(), table.known()), (59, 60), "nobody takes its place");
    table.failed(nodes[0].address, false);
    assert_eq!(table.known(), 59);
    table.failed(nodes[1].address, false);
    table.answered(nodes[1], RTT, now);
    assert_eq!(table.good(), 59, "who answers is alive again");
}

#[test]
fn a_spare_takes_the_place_of_one_that_fails_twice() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    let nodes: Vec<_> = (0..130).map(|_| net.node(0)).collect();
    nodes.iter().for_each(|node| table.answered(*node, RTT, now));
    assert!(!ids(&table).contains(&nodes[128].id));
    table.failed(nodes[7].address, false);
    assert!(ids(&table).contains(&nodes[7].id), "one lost packet is nothing");
    table.failed(nodes[7].address, false);
    assert!(!ids(&table).contains(&nodes[7].id));
    assert_eq!(table.good(), 128);
    assert!(ids(&table).contains(&nodes[128].id));
    table.check_invariants();
}

#[test]
fn a_node_is_pinged_at_the_earliest_ninety_seconds_after_it_was_heard() {
    let mut net = Net24::new();
    let (mut table, start) = table(&net);
    let second = Duration::from_secs(1);
    let nodes: Vec<_> = (0..3).map(|_| net.node(0)).collect();
    nodes.iter().for_each(|node| table.answered(*node, RTT, start));
    assert_eq!(table.doubtful(start + 89 * second), None);
    let pinged: Vec<_> = (90..200)
        .filter_map(|at| Some((at, table.doubtful(start + at * second)?.address)))
        .collect();
    let times: Vec<_> = pinged.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [90, 96, 102, 180, 186, 192], "one each 6 s, and again after 90 s");
    let asked: BTreeSet<_> = pinged.iter().map(|(_, address)| *address).collect();
    assert_eq!(asked.len(), 3);
    // Who answers now has no mere pinhole, and is left alone for a quarter of an hour.
    let then = start + 200 * second;
    nodes.iter().for_each(|node| table.answered(*node, RTT, then));
    assert!((0..900).all(|at| table.doubtful(then + at * second).is_none()));
    assert!((900..1_000).any(|at| table.doubtful(then + at * second).is_some()));
}

#[test]
fn an_unverified_node_is_pinged_without_a_name_to_expect() {
    let mut net = Net24::new();
    let (mut table, start) = table(&net);
    let (known, heard) = (net.node(0), net.node(0));
    table.heard(heard, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(table.doubtful(at(60)), None);
    assert_eq!(table.next_timeout(), Some(at(90)));
    let doubtful = table.doubtful(at(90));
    assert_eq!(doubtful, Some(Doubtful { address: heard.address, id: None }));
    // It answers with its true name.
    let answer = NodeInfo { id: known.id, address: heard.address };
    table.answered(answer, RTT, at(200));
    assert_eq!((table.good(), table.known()), (1, 1));
}

#[test]
fn wake_ups_are_rare_and_come() {
    let mut net = Net24::new();
    let (mut table, mut now) = table(&net);
    assert_eq!(table.next_timeout(), None, "nobody to ping");
    (0..20).for_each(|_| table.answered(net.node(0), RTT, now));
    let end = now + Duration::from_secs(3_600);
    let (mut wakes, mut pings) = (0, 0);
    while now < end {
        now = table.next_timeout().unwrap().max(now);
        wakes += 1;
        if let Some(doubtful) = table.doubtful(now) {
            pings += 1;
            let node = NodeInfo { id: doubtful.id.unwrap(), address: doubtful.address };
            table.answered(node, RTT, now);
        }
    }
    assert!((60..=100).contains(&pings), "{pings} pings");
    assert!(wakes < 200, "{wakes} wakes");
}

#[test]
fn another_own_name_costs_no_node() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    for bits in 0..12 {
        for _ in 0..300 {
            let mut node = net.node(bits);
            node.address = ([127, 0, 0, 1], net.next as u16).into();
            net.next += 1;
            table.answered(node, RTT, now);
        }
    }
    let (good, known) = (table.good(), table.known());
    assert!(good > 250);
    for flip in [0x80, 0x40, 0xff] {
        let mut own = net.own;
        own.0[0] ^= flip;
        table.rename(own);
        assert_eq!(table.own(), own);
        assert_eq!(table.known(), known);
        table.check_invariants();
        assert!(table.good() * 10 >= good * 3, "{} of {good} have a place", table.good());
    }
    table.rename(net.own);
    assert_eq!((table.good(), table.known()), (good, known), "and all find their way back");
}

#[test]
fn the_longest_known_come_first_for_people() {
    let mut net = Net24::new();
    let (mut table, now) = table(&net);
    let nodes: Vec<_> = (0..5).map(|_| net.node(0)).collect();
    for (at, node) in nodes.iter().enumerate() {
        table.answered(*node, RTT, now + Duration::from_secs(at as u64));
    }
    table.failed(nodes[0].address, false);
    let contacts = table.contacts(now + Duration::from_secs(10));
    let order: Vec<_> = contacts.iter().map(|contact| contact.id).collect();
    let expected = [1, 2, 3, 4, 0].map(|at| nodes[at].id);
    assert_eq!(order, expected);
    assert_eq!(contacts[0].heard, Duration::from_secs(9));
}

proptest! {
    /// The nearest by looking at all are those that the buckets give.
    #[test]
    fn the_closest_are_the_closest(seed: u64) {
        let mut net = Net24 { rng: StdRng::seed_from_u64(seed), ..Net24::new() };
        let (mut table, now) = table(&net);
        for _ in 0..400 {
            let bits = net.rng.random_range(0..12);
            let mut node = net.node(bits);
            node.address = ([127, 0, 0, 1], net.next as u16).into();
            net.next += 1;
            table.answered(node, RTT, now);
        }
        for _ in 0..20 {
            let bits = net.rng.random_range(0..20);
            let target = NodeId::random_within(&net.own, bits, &mut net.rng);
            let mut all: Vec<_> = table.entries().map(Entry::id).collect();
            all.sort_by_key(|id| id.distance(&target));
            all.truncate(8);
            let found = table.closest::<8>(&target, |_| true);
            prop_assert_eq!(found.iter().map(Entry::id).collect::<Vec<_>>(), all);
        }
    }

    /// Whatever happens in whatever order.
    #[test]
    fn the_invariants_hold(seed: u64) {
        let mut net = Net24 { rng: StdRng::seed_from_u64(seed), ..Net24::new() };
        let (mut table, mut now) = table(&net);
        let mut nodes: Vec<NodeInfo> = Vec::new();
        for _ in 0..600 {
            now += Duration::from_millis(net.rng.random_range(0..60_000));
            if nodes.len() < 5 || net.rng.random_range(0..3) == 0 {
                let bits = net.rng.random_range(0..6);
                let mut node = net.node(bits);
                // Many share a site or an address.
                let [low, high] = [net.rng.random_range(0..40), net.rng.random_range(0..3)];
                node.address = ([9, 9, low, high], 6881 + u16::from(high)).into();
                nodes.push(node);
            }
            let node = nodes[net.rng.random_range(0..nodes.len())];
            match net.rng.random_range(0..12) {
                0..=4 => table.answered(node, RTT, now),
                5 | 6 => {
                    table.heard(node, now);
                }
                7 | 8 => table.failed(node.address, false),
                9 => table.changed(node.address, now),
                10 => drop(table.doubtful(now)),
                _ if net.rng.random_range(0..20) == 0 => {
                    table.rename(NodeId::random(&mut net.rng));
                }
                _ => {}
            }
            table.check_invariants();
        }
    }
}

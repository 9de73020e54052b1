//! Fifty real nodes with delays, and half as many dead ones that all of them know of.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::super::super::items::Item;
use super::*;

const ALIVE: usize = 50;
const DEAD: usize = 25;

struct World {
    nodes: Vec<Node>,
    /// All names, the dead ones behind.
    names: Vec<NodeInfo>,
    wakes: BTreeSet<(Instant, usize)>,
    due: Vec<Option<Instant>>,
    /// Datagrams on their way: when, in which order, from whom, to whom.
    flying: BTreeMap<(Instant, u64), (usize, SocketAddr, Vec<u8>)>,
    sent: u64,
    now: Instant,
    began: Instant,
    rng: StdRng,
    told: Vec<(Duration, usize, Output)>,
    /// When whom got which `announce_peer`.
    announces: Vec<(Duration, usize, SocketAddr)>,
    /// A sum over all datagrams.
    trace: u64,
    silent: BTreeSet<SocketAddr>,
}

/// Each in a net of its own.
fn public(number: usize) -> SocketAddr {
    SocketAddr::from(([70 + (number % 50) as u8, number as u8, 1, 1], 6_881))
}

/// All on one machine.
fn local(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 10_000 + number as u16))
}

/// The other family.
fn six(number: usize) -> SocketAddr {
    SocketAddr::from(([0x2a00 + number as u16, 0xdb8, 0, 0, 0, 0, 0, 1], 6_881))
}

impl World {
    fn new(seed: u64, place: fn(usize) -> SocketAddr) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(seed);
        let names: Vec<NodeInfo> = (0..ALIVE + DEAD)
            .map(|number| {
                let address = place(number);
                NodeInfo { id: NodeId::random_for(address.ip(), &mut rng), address }
            })
            .collect();
        let family = Family::of(place(0).ip());
        let mut nodes = Vec::new();
        for name in &names[..ALIVE] {
            let start = |node: &NodeInfo| Start::new(*node, None);
            let known: Vec<Start> = names.sample(&mut rng, 25).map(start).collect();
            let saved = Saved { id: name.id, port: 0, made_for: None, nodes: known }.write(family);
            let config = Config { local: name.address, seed: rng.random(), ..config() };
            nodes.push(Node::new(config, Some(&saved), now));
        }
        let mut world = Self {
            nodes,
            names,
            wakes: BTreeSet::new(),
            due: vec![None; ALIVE],
            flying: BTreeMap::new(),
            sent: 0,
            now,
            began: now,
            rng,
            told: Vec::new(),
            announces: Vec::new(),
            trace: 0,
            silent: BTreeSet::new(),
        };
        (0..ALIVE).for_each(|number| world.take(number));
        world
    }

    fn take(&mut self, number: usize) {
        let age = self.now - self.began;
        while let Some(output) = self.nodes[number].poll_output() {
            let Output::Send { to, bytes } = output else {
                self.told.push((age, number, output));
                continue;
            };
            for byte in &bytes {
                self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
            if bytes.windows(13).any(|part| part == b"announce_peer") {
                self.announces.push((age, number, to));
            }
            let delay = self.rng.random_range(10..40) * MS;
            self.sent += 1;
            self.flying.insert((self.now + delay, self.sent), (number, to, bytes));
        }
        if let Some(due) = self.due[number].take() {
            self.wakes.remove(&(due, number));
        }
        if let Some(due) = self.nodes[number].next_timeout() {
            self.due[number] = Some(due);
            self.wakes.insert((due, number));
        }
    }

    fn handle(&mut self, number: usize, input: Input<'_>) {
        self.nodes[number].handle(input, self.now);
        self.take(number);
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let wake = self.wakes.first().map(|(due, _)| *due);
            let flight = self.flying.first_key_value().map(|((due, _), _)| *due);
            let Some(next) = wake.into_iter().chain(flight).min().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if flight == Some(next) {
                let Some((_, (by, to, bytes))) = self.flying.pop_first() else { return };
                let from = self.names[by].address;
                let number = self.names[..ALIVE].iter().position(|name| name.address == to);
                if let Some(number) = number.filter(|_| !self.silent.contains(&to)) {
                    self.handle(number, Input::Datagram { from, bytes: &bytes });
                }
            } else if let Some((_, number)) = self.wakes.pop_first() {
                self.due[number] = None;
                self.handle(number, Input::Wake);
            }
        }
        self.now = end;
        for node in &self.nodes {
            node.check_invariants(end);
        }
    }

    fn announce(&mut self, number: usize, hash: InfoHash) {
        let (port, haste) = (7_000, Haste::Urgent);
        self.handle(number, Input::Announce { hash, port, implied: false, seed: true, haste });
    }

    /// The live nodes nearest to a target, without the one that looks.
    fn nearest(&self, target: InfoHash, count: usize, not: usize) -> Vec<SocketAddr> {
        let mut alive: Vec<NodeInfo> = self.names[..ALIVE].to_vec();
        alive.remove(not);
        alive.sort_by_key(|name| name.id.distance(&target.into()));
        alive[..count].iter().map(|name| name.address).collect()
    }
}

/// In ten rounds one announces and another one looks for it.
fn rounds(seed: u64, place: fn(usize) -> SocketAddr) {
    let mut world = World::new(seed, place);
    world.run(120 * S);
    for node in &world.nodes {
        let health = node.health(world.now);
        assert!(health.good >= 20, "{health:?}");
    }
    for round in 0..10_u8 {
        let hash = InfoHash(world.rng.random());
        let (by, to) = (usize::from(round), usize::from(round) + 20);
        let begun = world.now - world.began;
        world.announces.clear();
        world.announce(by, hash);
        world.run(2 * S);
        let nearest = world.nearest(hash, 8, by);
        let kept = |to: &SocketAddr| {
            world.announces.iter().any(|(at, _, whom)| whom == to && *at <= begun + 600 * MS)
        };
        let count = nearest.iter().filter(|to| kept(to)).count();
        assert!(count >= 6, "{count} of the nearest eight within 0.6 s");
        world.told.clear();
        let ticket = Ticket(u64::from(round));
        let asked = world.now - world.began;
        world.handle(to, Input::Find { ticket, hash, haste: Haste::Urgent });
        world.run(2 * S);
        let found = world.told.iter().find_map(|(at, number, output)| match output {
            Output::Peers { peers, .. } if *number == to => Some((*at, peers.clone())),
            _ => None,
        });
        let (at, peers) = found.expect("its peer is found");
        assert_eq!(peers, [SocketAddr::new(world.names[by].address.ip(), 7_000)]);
        assert!(at - asked <= 300 * MS, "after {:?}", at - asked);
        let ended =
            |output: &Output| matches!(output, Output::Ended { ticket: t, .. } if *t == ticket);
        assert_eq!(world.told.iter().filter(|(.., output)| ended(output)).count(), 1);
    }
}

#[test]
fn what_one_announces_another_finds() {
    rounds(1, public);
}

#[test]
fn what_one_announces_another_finds_on_a_single_machine() {
    rounds(11, local);
}

#[test]
fn what_one_announces_another_finds_over_ipv6() {
    rounds(12, six);
}

#[test]
fn a_silent_node_beside_the_target_holds_nobody_up() {
    let mut world = World::new(2, public);
    world.run(120 * S);
    let hash = InfoHash(world.rng.random());
    let nearest = world.nearest(hash, 2, 0);
    world.silent.extend(nearest);
    let begun = world.now - world.began;
    world.announces.clear();
    world.announce(0, hash);
    world.run(2 * S);
    let first = world.announces.iter().map(|(at, ..)| *at - begun).min().expect("it leaves");
    assert!(first <= 600 * MS, "after {first:?}");
    let early = world.announces.iter().filter(|(at, ..)| *at <= begun + 600 * MS);
    assert!(early.count() >= 6);
}

#[test]
fn items_are_stored_and_found() {
    let mut world = World::new(3, public);
    world.run(120 * S);
    let item = Item { value: b"12:Hello World!".to_vec(), signed: None };
    let (put, get) = (Ticket(1), Ticket(2));
    world.handle(3, Input::Put { ticket: put, item: item.clone() });
    world.run(3 * S);
    let stored = world.told.iter().find_map(|(.., output)| match output {
        Output::Ended { ticket, tally } if *ticket == put => Some(tally.stored),
        _ => None,
    });
    assert!(stored.is_some_and(|stored| stored >= 8), "{stored:?}");
    let target = item.target();
    world.handle(9, Input::Get { ticket: get, target, salt: Vec::new() });
    world.run(3 * S);
    let found = |output: &Output| matches!(output, Output::Found { ticket, .. } if *ticket == get);
    assert!(world.told.iter().any(|(_, number, output)| *number == 9 && found(output)));
}

#[test]
fn the_same_seed_has_the_same_datagrams() {
    let trace = |seed| {
        let mut world = World::new(seed, public);
        world.run(20 * S);
        world.announce(0, HASH);
        world.run(5 * S);
        (world.trace, world.sent)
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_node_comes_back_after_two_hours_of_sleep_with_its_table() {
    let mut world = World::new(4, public);
    world.run(120 * S);
    let hash = InfoHash(world.rng.random());
    world.announce(5, hash);
    world.run(3 * S);
    let good = world.nodes[9].health(world.now).good;
    // It sleeps: nothing reaches it, and its clock stands still.
    let own = world.names[9].address;
    world.silent.insert(own);
    world.run(60 * S);
    world.silent.remove(&own);
    world.told.clear();
    let woken = world.now - world.began;
    world.handle(9, Input::Changed { slept: 7_200 * S });
    world.handle(9, Input::Find { ticket: Ticket(1), hash, haste: Haste::Urgent });
    world.run(3 * S);
    let found = world.told.iter().find_map(|(at, number, output)| {
        (*number == 9 && matches!(output, Output::Peers { .. })).then_some(*at - woken)
    });
    assert!(found.is_some_and(|after| after <= 2 * S), "{found:?}");
    let after = world.nodes[9].health(world.now).good;
    assert!(after * 10 >= good * 9, "{after} of {good} nodes are left");
}

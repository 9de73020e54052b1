//! Nothing but real nodes: many of their names dead, some behind translators, lines that lose,
//! double and reorder, machines that go and come. What one announces another finds.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use pigeon::dht::nets::Family;
use pigeon::dht::{Haste, Hint, Input, NodeId, Output};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::sky::{public_v4, public_v6};
use super::world::{Host, Lines, World};
use super::{MS, S, is_large, number, saved};

/// Nodes that each knows at first, dead ones among them.
const KNOWN: usize = 30;
/// Of 100 names these are dead.
const DEAD_PERCENT: usize = 30;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nets {
    V4,
    V6,
    /// Each machine has a node of either. Every second one of IPv6 knows nobody, and is told of
    /// one live node among dead ones.
    Both,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    seed: u64,
    count: usize,
    nets: Nets,
    loss_percent: u32,
    translated_percent: u32,
    rounds: usize,
    /// How long all have to meet each other.
    warm_up: Duration,
}

impl Setup {
    fn any(seed: u64, count: usize) -> Self {
        let nets = [Nets::V4, Nets::V6, Nets::V4, Nets::Both][seed as usize % 4];
        let loss_percent = [0, 5, 5][seed as usize % 3];
        let translated_percent = [0, 15][seed as usize / 2 % 2];
        let (rounds, warm_up) = (3, 10 * S);
        Self { seed, count, nets, loss_percent, translated_percent, rounds, warm_up }
    }

    /// One of many: all kinds of nets and lines, mostly of few nodes.
    fn of_many(seed: u64) -> Self {
        let is_double = seed % 4 == 3;
        let few = if is_double { 24 } else { 16 };
        let count = if seed.is_multiple_of(25) { 100 } else { few };
        Self::any(seed, count)
    }
}

/// What became of all rounds.
#[derive(Clone, Default, Debug)]
struct Score {
    lookups: usize,
    found: usize,
    /// Of eight for each announce: those that got it.
    announced: usize,
    stored: usize,
    firsts: Vec<Duration>,
    sent: u64,
    trace: u64,
    replies: u64,
    /// The same of lines without loss.
    clean: (usize, usize),
    /// Announces by nodes behind a translator, and datagrams of the other family.
    translated: usize,
    v6: usize,
}

struct Full {
    world: World,
    setup: Setup,
    score: Score,
}

impl Full {
    fn new(setup: Setup) -> Self {
        let Setup { seed, count, nets, loss_percent, .. } = setup;
        let lines = Lines {
            loss_percent,
            doubled_percent: 1,
            jitter: 20 * MS,
            median_ms: 40.0,
            sigma: 0.6,
        };
        let mut full =
            Self { world: World::new(seed, lines, None), setup, score: Score::default() };
        let first = if nets == Nets::V6 { Family::V6 } else { Family::V4 };
        let count = if nets == Nets::Both { count / 2 } else { count };
        let v4 = full.populate(first, count);
        if nets == Nets::Both {
            let v6 = full.populate(Family::V6, count);
            for host in v6.iter().step_by(2) {
                full.world.hosts[*host].saved = None;
            }
            for (one, other) in v4.iter().zip(&v6) {
                full.world.hosts[*one].sibling = Some(*other);
                full.world.hosts[*other].sibling = Some(*one);
            }
        }
        for host in 0..full.world.hosts.len() {
            let knows_address = full.world.rng.random();
            let knows_address = knows_address && !full.world.hosts[host].is_translated;
            full.world.start(host, knows_address);
        }
        full.world.tell_siblings();
        full.hint();
        full
    }

    /// Tells those that know nobody of a few addresses, of which one is alive.
    fn hint(&mut self) {
        let of_alive = |host: &Host| (host.saved.is_some() && !host.is_translated, host.address);
        let alive: Vec<SocketAddr> = { self.world.hosts.iter() }
            .map(of_alive)
            .filter(|(is_fit, address)| *is_fit && address.is_ipv6())
            .map(|(_, address)| address)
            .collect();
        for host in 0..self.world.hosts.len() {
            let is_up = self.world.hosts[host].node.is_some();
            if is_up && self.world.hosts[host].saved.is_none() {
                let live = alive[host % alive.len()];
                let dead = public_v6(&mut self.world.rng);
                for address in [dead, live] {
                    self.world.handle(host, Input::Hinted { address, by: Hint::Peer });
                }
            }
        }
    }

    /// So many hosts of a family, who know each other and dead ones.
    fn populate(&mut self, family: Family, count: usize) -> Vec<usize> {
        let world = &mut self.world;
        let place = if family == Family::V4 { public_v4 } else { public_v6 };
        let dead = count * DEAD_PERCENT / (100 - DEAD_PERCENT);
        let names: Vec<(NodeId, SocketAddr)> = (0..count + dead)
            .map(|_| {
                let address = place(&mut world.rng);
                (NodeId::random_for(address.ip(), &mut world.rng), address)
            })
            .collect();
        let is_translated: Vec<bool> = (0..count)
            .map(|_| world.rng.random_range(0..100) < self.setup.translated_percent)
            .collect();
        // Whoever is behind a translator is nobody that others know.
        let known: Vec<(NodeId, SocketAddr)> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !is_translated.get(*at).is_some_and(|is| *is))
            .map(|(_, name)| *name)
            .collect();
        let add = |(at, name): (usize, &(NodeId, SocketAddr))| {
            let some: Vec<_> = known.sample(&mut world.rng, KNOWN).copied().collect();
            let bytes = Some(saved(name.0, some.into_iter(), family));
            world.add(name.1, is_translated[at], bytes)
        };
        names[..count].iter().enumerate().map(add).collect()
    }

    fn up(&mut self) -> usize {
        loop {
            let host = self.world.rng.random_range(0..self.world.hosts.len());
            if self.world.hosts[host].node.is_some() {
                return host;
            }
        }
    }

    /// The hosts that should keep what `by` announces: nearest first.
    fn nearest(&self, hash: &[u8; 20], by: usize) -> Vec<usize> {
        let family = Family::of(self.world.hosts[by].address.ip());
        let target = NodeId(*hash);
        let mut all: Vec<usize> = (0..self.world.hosts.len())
            .filter(|at| {
                let host = &self.world.hosts[*at];
                let is_there = host.node.is_some() && !host.is_translated && *at != by;
                is_there && Family::of(host.address.ip()) == family
            })
            .collect();
        all.sort_by_key(|at| self.world.node(*at).health(self.world.now).id.distance(&target));
        all.truncate(8);
        all
    }

    /// One announces, some go and come, another looks for it.
    fn round(&mut self) {
        let hash: [u8; 20] = self.world.rng.random();
        let by = self.up();
        self.world.announce(by, hash, Haste::Urgent);
        self.world.run(3 * S);
        let nearest = self.nearest(&hash, by);
        let has = |at: &&usize| self.world.announces.iter().any(|a| a.to == **at && a.hash == hash);
        let stored = nearest.iter().filter(has).count();
        self.score.stored += stored;
        self.score.announced += 1;
        if self.setup.loss_percent == 0 {
            self.score.clean = (self.score.clean.0 + stored, self.score.clean.1 + 1);
        }
        self.score.translated += usize::from(self.world.hosts[by].is_translated);
        self.churn(by);
        let by_address = self.world.hosts[by].address;
        let to = loop {
            let to = self.up();
            let address = self.world.hosts[to].address;
            let is_other = to != by && address.is_ipv4() == by_address.is_ipv4();
            // Who keeps it need not ask.
            if is_other && !nearest.contains(&to) {
                break to;
            }
        };
        self.score.v6 += usize::from(by_address.is_ipv6());
        let since = self.world.age();
        let ticket = self.world.find(to, hash, Haste::Urgent);
        self.world.run(3 * S);
        let (first, peers) = self.world.found(ticket, since);
        self.score.lookups += 1;
        if peers.contains(&SocketAddr::new(by_address.ip(), 7_000)) {
            self.score.found += 1;
            self.score.firsts.extend(first);
        }
        // From here on it must not be announced: the watch sees it.
        self.world.forget(by, hash);
    }

    /// Two in a hundred end, and come back with what they saved.
    fn churn(&mut self, but: usize) {
        for _ in 0..self.world.hosts.len().div_ceil(50) {
            let host = self.up();
            if host != but && self.world.hosts[host].watch.open_questions() == 0 {
                let is_orderly = self.world.rng.random();
                self.world.stop(host, is_orderly);
            }
        }
        for host in 0..self.world.hosts.len() {
            if self.world.hosts[host].node.is_none() && self.world.rng.random_range(0..3) == 0 {
                self.world.start(host, false);
            }
        }
        self.hint();
    }

    fn finish(mut self) -> Score {
        self.world.run(21 * S);
        let now = self.world.now;
        for host in &self.world.hosts {
            assert_eq!(host.watch.open_questions(), 0, "a question without an end");
            let Some(node) = &host.node else { continue };
            let health = node.health(now);
            assert!(health.good > 0, "{} is alone: {health:?}", host.address);
            self.score.replies += host.watch.replies;
        }
        let ended = self.world.told.iter().filter(|t| matches!(t.output, Output::Ended { .. }));
        assert_eq!(ended.count(), self.score.lookups);
        (self.score.sent, self.score.trace) = (self.world.sent, self.world.trace);
        self.score
    }
}

fn run(setup: Setup) -> Score {
    let mut full = Full::new(setup);
    full.world.run(setup.warm_up);
    full.world.tell_siblings();
    (0..setup.rounds).for_each(|_| full.round());
    full.finish()
}

#[test]
fn what_one_announces_another_finds_in_every_world() {
    if let Some(seed) = number("PIGEON_SIM_SEED") {
        return eprintln!("seed {seed}: {:?}", run(Setup::of_many(seed)));
    }
    let count = number("PIGEON_SIM_SEEDS").unwrap_or(100);
    let mut all = Score::default();
    for seed in 0..count {
        match catch_unwind(AssertUnwindSafe(|| run(Setup::of_many(seed)))) {
            Ok(score) => all.add(score),
            Err(_) => panic!("PIGEON_SIM_SEED={seed} shows the failure above"),
        }
    }
    all.judge();
    assert!(count < 40 || (all.translated > 0 && all.v6 > 0), "a kind of net was missed");
}

#[test]
fn a_thousand_nodes_find_what_one_announces() {
    let worlds = if is_large() { 4 } else { 1 };
    let mut all = Score::default();
    for seed in 0..worlds {
        let plain = Setup::any(1_000 + 2 * seed, 1_000);
        let setup = Setup { loss_percent: 5, rounds: 10, warm_up: 20 * S, ..plain };
        all.add(run(setup));
    }
    all.judge();
}

#[test]
fn the_same_seed_is_the_same_world() {
    let trace = |seed| {
        let score = run(Setup::any(seed, 30));
        (score.trace, score.sent)
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(7));
}

impl Score {
    fn add(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.found += other.found;
        self.announced += other.announced;
        self.stored += other.stored;
        self.clean = (self.clean.0 + other.clean.0, self.clean.1 + other.clean.1);
        self.firsts.extend(other.firsts);
        self.sent += other.sent;
        self.replies += other.replies;
        self.translated += other.translated;
        self.v6 += other.v6;
    }

    fn judge(&mut self) {
        let p50 = super::percentile(&mut self.firsts, 50);
        let p99 = super::percentile(&mut self.firsts, 99);
        let each = self.stored as f64 / self.announced as f64;
        println!(
            "{} of {} found, first peer {p50:?} (99 %: {p99:?}), stored at {each:.2} of 8, without \
             loss {:?}, {} sent, {} replies",
            self.found, self.lookups, self.clean, self.sent, self.replies
        );
        assert!(self.found * 100 >= self.lookups * 99, "{} of {}", self.found, self.lookups);
        // Of eight, 6.9 are to be expected when 5 % is lost of queries, replies and announces, but
        // that is sent once more.
        assert!(self.stored * 10 >= self.announced * 72, "{each} of the nearest eight have it");
        assert!(self.clean.0 * 10 >= self.clean.1 * 75, "without loss {:?}", self.clean);
        assert!(p50 <= 400 * MS && p99 <= 2 * S, "first peer after {p50:?}, {p99:?}");
        assert!(self.replies > 0);
    }
}

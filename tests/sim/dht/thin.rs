//! One real node among responders that act like seven other programs, half of them dead: how
//! soon it finds the right peers and is announced, and what that costs. Other programs' answers
//! to our node are `breeds`.

use std::net::SocketAddr;
use std::time::Duration;

use pigeon::dht::nets::Family;
use pigeon::dht::{Haste, NodeId};
use rand::RngExt as _;

use super::breeds::{Breed, USUAL};
use super::letters;
use super::sky::{Sky, public_v4};
use super::world::{Lines, World};
use super::{MS, S, is_large, percentile, saved};

/// Ways of 60 ms in the middle, half of them each end's.
pub const LINES: Lines = Lines {
    loss_percent: 1,
    doubled_percent: 1,
    jitter: Duration::from_millis(10),
    median_ms: 30.0,
    sigma: 0.9,
};

/// A net of so many, and `hosts` real nodes that each have saved `known` of it, half of them
/// dead, and have run for a minute.
pub fn warm(
    seed: u64,
    count: usize,
    breeds: &[(Breed, u32)],
    (hosts, known): (usize, usize),
) -> World {
    let mut world = cold(seed, count, breeds, (hosts, known));
    (0..hosts).for_each(|host| world.start(host, false));
    world.run(60 * S);
    world
}

/// The same before its nodes start.
pub fn cold(
    seed: u64,
    count: usize,
    breeds: &[(Breed, u32)],
    (hosts, known): (usize, usize),
) -> World {
    let net = Sky::new(seed, count, breeds, (LINES.median_ms, LINES.sigma));
    let mut world = World::new(seed, LINES, Some(net));
    for _ in 0..hosts {
        let address = public_v4(&mut world.rng);
        let id = NodeId::random_for(address.ip(), &mut world.rng);
        let net = sky(&mut world);
        let mut some = net.any(known / 2, |star| star.breed.is_alive());
        some.extend(net.any(known - known / 2, |star| !star.breed.is_alive()));
        some.sort_by_key(|star| star.id);
        let nodes = some.iter().map(|star| (star.id, star.address));
        let bytes = saved(id, nodes, Family::V4);
        world.add(address, false, Some(bytes));
    }
    world
}

pub fn sky(world: &mut World) -> &mut Sky {
    world.sky.as_mut().expect("a net of responders")
}

pub fn sky_ref(world: &World) -> &Sky {
    world.sky.as_ref().expect("a net of responders")
}

/// Somebody has a torrent: its hash, and where he is.
pub fn planted(world: &mut World) -> ([u8; 20], SocketAddr) {
    let (hash, peer) = (world.rng.random(), public_v4(&mut world.rng));
    sky(world).plant(hash, peer);
    (hash, peer)
}

/// Of the eight nearest that keep anything: how many keep what `from` announced, and after how
/// long six of them did.
pub fn kept(
    world: &World,
    hash: &[u8; 20],
    from: SocketAddr,
    since: Duration,
) -> (usize, Option<Duration>) {
    let sky = sky_ref(world);
    let nearest = sky.nearest(&NodeId(*hash), 8, |star| star.breed.keeps());
    let mut times: Vec<Duration> = nearest
        .iter()
        .filter_map(|at| {
            let of_it = |kept: &&super::sky::Kept| kept.by == *at && kept.hash == *hash;
            let first = sky.kept.iter().filter(of_it).find(|kept| kept.from == from)?;
            Some((first.at - world.began).saturating_sub(since))
        })
        .collect();
    times.sort_unstable();
    (times.len(), times.get(5).copied())
}

/// What many lookups took.
#[derive(Default, Debug)]
struct Figures {
    firsts: Vec<Duration>,
    packets: Vec<u64>,
    announced: Vec<Duration>,
    stored: usize,
    tries: usize,
}

fn lookups(world: &mut World, count: usize) -> Figures {
    let mut figures = Figures::default();
    for n in 0..count {
        let host = n % world.hosts.len();
        let (hash, peer) = planted(world);
        let (since, before) = (world.age(), sky_ref(world).walks);
        let ticket = world.find(host, hash, Haste::Urgent);
        world.run(8 * S);
        let (first, peers) = world.found(ticket, since);
        assert!(peers.contains(&peer), "the right peer is not found in {n}");
        figures.firsts.extend(first);
        figures.packets.push(sky_ref(world).walks - before);
        let (hash, since) = (world.rng.random(), world.age());
        world.announce(host, hash, Haste::Urgent);
        world.run(8 * S);
        let (stored, six) = kept(world, &hash, world.hosts[host].address, since);
        figures.stored += stored;
        figures.tries += 1;
        figures.announced.push(six.unwrap_or(8 * S));
        world.forget(host, hash);
    }
    figures
}

impl Figures {
    fn show(&mut self, what: &str) -> (Duration, Duration, u64, Duration, f64) {
        let stored = self.stored as f64 / self.tries as f64;
        let (p50, p99) = (percentile(&mut self.firsts, 50), percentile(&mut self.firsts, 99));
        let packets = percentile(&mut self.packets, 50);
        let most = percentile(&mut self.packets, 100);
        let six = percentile(&mut self.announced, 50);
        let six_p90 = percentile(&mut self.announced, 90);
        println!(
            "{what}: first peer {p50:?}, 99 % {p99:?}; {packets} queries, at most {most}; \
             at six of eight after {six:?}, 90 % {six_p90:?}; at {stored:.2} of eight"
        );
        (p50, p99, packets, six, stored)
    }
}

#[test]
fn among_ten_thousand_of_all_breeds_the_right_peers_are_found() {
    for seed in 0..3 {
        let mut world = warm(seed, 10_000, USUAL, (1 + seed as usize, 400));
        let mut figures = lookups(&mut world, 12);
        let (p50, p99, packets, six, stored) = figures.show("10,000 nodes");
        assert!(p50 <= 500 * MS && p99 <= 3 * S, "{p50:?} {p99:?}");
        assert!(packets <= 100, "{packets} queries for one lookup");
        assert!(stored >= 6.0 && six <= 3 * S, "{stored} of eight, six after {six:?}");
    }
}

#[test]
fn among_a_hundred_thousand_and_more() {
    let sizes: &[(usize, usize)] =
        if is_large() { &[(100_000, 300), (1_000_000, 300)] } else { &[(100_000, 12)] };
    for (size, count) in sizes {
        let mut world = warm(7, *size, USUAL, (1, 400));
        let mut figures = lookups(&mut world, *count);
        let (p50, p99, packets, six, stored) = figures.show(&format!("{size} nodes"));
        assert!(p50 <= 500 * MS && p99 <= 3 * S, "{p50:?} {p99:?}");
        assert!(packets <= 100, "{packets} queries for one lookup");
        assert!(stored >= 6.0 && six <= 3 * S, "{stored} of eight, six after {six:?}");
    }
}

#[test]
fn all_other_programs_take_our_tokens_back() {
    let mut world = warm(5, 5_000, USUAL, (1, 200));
    for _ in 0..20 {
        let hash = world.rng.random();
        world.announce(0, hash, Haste::Background);
    }
    world.run(60 * S);
    let sky = sky_ref(&world);
    let of = |breed: Breed| sky.kept.iter().filter(|kept| sky.star(kept.by).breed == breed).count();
    for breed in [Breed::Libtorrent, Breed::Transmission, Breed::Mainline, Breed::Webtorrent] {
        assert!(of(breed) > 0, "none is kept by {breed:?}");
    }
    assert!(of(Breed::Bitmagnet) > 0);
    assert_eq!(sky.bad_tokens, 0, "of {} announces", sky.announces);
}

/// Half of what is in others' tables in the wild had once opened a way to them, no more.
#[test]
fn who_is_behind_a_firewall_does_not_get_into_the_table() {
    let mut world = warm(6, 3_000, USUAL, (1, 200));
    let callers = sky(&mut world).any(60, |star| star.breed == Breed::Firewalled);
    let own = world.hosts[0].address;
    for round in 0..300 {
        let caller = callers[round % callers.len()];
        let target: [u8; 20] = world.rng.random();
        let at = sky_ref(&world).find(&caller.address).expect("it is one of them");
        let now = world.now;
        sky(&mut world).spoke.insert((at, own), now);
        let query = letters::get_peers(&caller.id.0, &target, b"fw");
        world.throw(caller.address, own, query);
        world.run(2 * S);
    }
    assert!(world.hosts[0].watch.replies >= 200, "they are answered");
    let contacts = world.node(0).contacts(world.now);
    let has = |address| contacts.iter().any(|contact| contact.address == address);
    let wrong = callers.iter().filter(|caller| has(caller.address)).count();
    assert_eq!(wrong, 0, "of {} in the table", contacts.len());
}

/// Who does nothing sends next to nothing and sleeps.
#[test]
fn upkeep_costs_little() {
    let mut world = warm(8, 3_000, USUAL, (1, 200));
    let hash = world.rng.random();
    world.announce(0, hash, Haste::Background);
    world.run(600 * S);
    world.forget(0, hash);
    let watch = &world.hosts[0].watch;
    let (queries, wakes) = (watch.queries, watch.wakes);
    world.run(1_800 * S);
    let watch = &world.hosts[0].watch;
    let (queries, wakes) = (watch.queries - queries, watch.wakes - wakes);
    println!("upkeep in half an hour: {queries} queries, {wakes} wakes");
    assert!(queries <= 450, "{queries} queries in half an hour");
    assert!(wakes <= 1_800, "{wakes} wakes in half an hour");
}

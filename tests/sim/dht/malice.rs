//! Enemies among the responders: whatever they say, the right peers are found, nobody is
//! flooded by us, and nothing that they want is believed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use pigeon::dht::{Haste, NodeId, Output};
use rand::RngExt as _;

use super::breeds::{Breed, LIE, USUAL};
use super::letters::{self, Letter};
use super::sky::public_v4;
use super::thin::{cold, kept, planted, sky, sky_ref, warm};
use super::world::World;
use super::{MS, S, percentile};

const LOOKUPS: usize = 12;
/// One for twenty others.
const SYBILS: usize = 250;

/// A usual net in which so many of 100 are of one breed of enemies.
fn with(breed: Breed, percent: u32) -> Vec<(Breed, u32)> {
    let total: u32 = USUAL.iter().map(|(_, weight)| weight).sum();
    let mut breeds: Vec<(Breed, u32)> =
        USUAL.iter().map(|(breed, weight)| (*breed, weight * (100 - percent))).collect();
    breeds.push((breed, total * percent));
    breeds
}

/// How many of the lookups found the right peer; when half of these had it.
fn found(world: &mut World, count: usize) -> usize {
    let (mut right, mut firsts, before) = (0, Vec::new(), sky_ref(world).walks);
    for _ in 0..count {
        let (hash, peer) = planted(world);
        let since = world.age();
        let ticket = world.find(0, hash, Haste::Urgent);
        world.run(21 * S);
        let (first, peers) = world.found(ticket, since);
        right += usize::from(peers.contains(&peer));
        firsts.push(first.unwrap_or(21 * S));
    }
    let each = (sky_ref(world).walks - before) / count as u64;
    let p50 = percentile(&mut firsts, 50);
    println!("{right} of {count} found, first peer {p50:?}, {each} queries each");
    assert!(p50 <= 2 * S, "first peer after {p50:?}");
    assert!(each <= 200, "{each} queries for one lookup");
    right
}

#[test]
fn who_names_nobody_and_victims_is_a_nuisance() {
    let mut world = warm(100, 5_000, &with(Breed::Poison, 10), (1, 400));
    let victim: SocketAddr = ([81, 9, 9, 9], 80).into();
    let mut victims: Vec<SocketAddr> = vec![victim; 6];
    let bad = [
        ([10, 0, 0, 1], 6_881),
        ([127, 0, 0, 1], 6_881),
        ([224, 0, 0, 5], 6_881),
        ([0, 3, 4, 5], 6_881),
        ([255, 255, 255, 255], 6_881),
        ([192, 168, 1, 1], 80),
        ([169, 254, 169, 254], 80),
        ([88, 8, 8, 8], 0),
        ([88, 8, 8, 9], 1),
    ];
    victims.extend(bad.map(SocketAddr::from));
    // The watch sees each datagram to one of them.
    victims.push(world.hosts[0].address);
    sky(&mut world).victims = victims;
    assert!(found(&mut world, LOOKUPS) >= LOOKUPS - 1);
    let contacts = world.node(0).contacts(world.now);
    assert!(contacts.iter().all(|contact| contact.address != victim));
}

#[test]
fn mirrors_and_thieves_of_names_are_no_nodes() {
    for breed in [Breed::Mirror, Breed::Thief] {
        let mut world = warm(110, 5_000, &with(breed, 20), (1, 400));
        assert!(found(&mut world, LOOKUPS) >= LOOKUPS - 1);
        let sky = sky_ref(&world);
        let contacts = world.node(0).contacts(world.now);
        let is_enemy = |address| sky.find(address).is_some_and(|at| sky.star(at).breed == breed);
        assert!(!contacts.iter().any(|contact| is_enemy(&contact.address)), "{breed:?}");
    }
}

#[test]
fn without_tokens_the_way_goes_on_outward() {
    let mut world = warm(120, 5_000, &with(Breed::Anacrolix, 40), (1, 400));
    assert!(found(&mut world, LOOKUPS) >= LOOKUPS - 1);
    let (mut stored, from) = (0, world.hosts[0].address);
    for _ in 0..LOOKUPS {
        let hash = world.rng.random();
        let since = world.age();
        world.announce(0, hash, Haste::Urgent);
        world.run(10 * S);
        stored += kept(&world, &hash, from, since).0;
        world.forget(0, hash);
    }
    assert!(stored >= 6 * LOOKUPS, "{stored} of {}", 8 * LOOKUPS);
    assert_eq!(sky_ref(&world).bad_tokens, 0);
}

#[test]
fn slow_ones_hold_nobody_up() {
    let mut world = warm(130, 5_000, &with(Breed::Slow, 20), (1, 400));
    assert!(found(&mut world, LOOKUPS) >= LOOKUPS - 1);
}

#[test]
fn the_own_address_is_not_what_four_of_ten_say() {
    let mut believed = 0;
    for seed in 0..8 {
        let knows_address = seed % 2 == 0;
        // Half of all others are silent: two of ten are four of ten that answer.
        let mut world = cold(140 + seed, 5_000, &with(Breed::Liar, 25), (1, 400));
        world.start(0, knows_address);
        world.run(60 * S);
        assert!(found(&mut world, LOOKUPS) >= LOOKUPS - 1);
        let lie = Output::Public { address: LIE.0.into() };
        believed += world.told.iter().filter(|told| told.output == lie).count();
    }
    assert_eq!(believed, 0, "a lie is believed");
}

#[test]
fn sybils_around_the_target_do_not_hide_it() {
    let (mut right, mut stored, mut away) = (0, 0, 0);
    for seed in 0..LOOKUPS as u64 {
        let mut world = warm(150 + seed, 5_000, USUAL, (1, 400));
        let (hash, peer) = planted(&mut world);
        // Two of five that honest nodes name have one: 5 % of all names.
        sky(&mut world).besiege(&NodeId(hash), SYBILS, 40);
        let since = world.age();
        let ticket = world.find(0, hash, Haste::Urgent);
        world.run(21 * S);
        right += usize::from(world.found(ticket, since).1.contains(&peer));
        let since = world.age();
        world.announce(0, hash, Haste::Urgent);
        world.run(10 * S);
        let from = world.hosts[0].address;
        stored += kept(&world, &hash, from, since).0;
        let sky = sky_ref(&world);
        let by: BTreeSet<usize> =
            sky.kept.iter().filter(|kept| kept.from == from).map(|kept| kept.by).collect();
        away += by.len();
    }
    let each = (stored as f64 / LOOKUPS as f64, away as f64 / LOOKUPS as f64);
    println!(
        "besieged: {right} of {LOOKUPS} found; at {:.2} of the nearest eight, {:.2} in all",
        each.0, each.1
    );
    assert!(right >= LOOKUPS - 1, "{right} of {LOOKUPS}");
    assert!(each.1 >= 3.0, "kept by {} honest ones", each.1);
}

/// Who asks too much is not answered for five minutes; others are, and our own lookups go on.
#[test]
fn a_flood_is_not_answered() {
    let mut world = warm(170, 3_000, USUAL, (1, 200));
    let own = world.hosts[0].address;
    let (flooder, other): (SocketAddr, SocketAddr) =
        (([82, 7, 7, 7], 999).into(), ([83, 7, 7, 7], 999).into());
    let id: [u8; 20] = world.rng.random();
    for _ in 0..200 {
        world.throw(flooder, own, letters::ping(&id, b"aa"));
        world.run(5 * MS);
    }
    world.run(S);
    let before = world.hosts[0].watch.replies;
    assert!(before <= 60, "{before} replies to a flood");
    // While it is silenced, now and then is too much as well.
    for _ in 0..100 {
        world.throw(flooder, own, letters::ping(&id, b"aa"));
        world.run(2 * S);
    }
    assert_eq!(world.hosts[0].watch.replies, before, "a banned one is answered");
    world.throw(other, own, letters::ping(&id, b"bb"));
    world.run(S);
    assert_eq!(world.hosts[0].watch.replies, before + 1);
    // Ten thousand senders at once: the budget is spent, and what is looked for is found.
    let good = world.node(0).health(world.now).good;
    for n in 0..10_000_u32 {
        let from = SocketAddr::from(((0x5500_0000 + n * 257).to_be_bytes(), 1_000));
        let target: [u8; 20] = world.rng.random();
        world.throw(from, own, letters::get_peers(&id, &target, b"cc"));
    }
    assert!(found(&mut world, 4) >= 3);
    assert!(world.node(0).health(world.now).good * 10 >= good * 9);
    let replies = world.hosts[0].watch.replies - before;
    assert!(replies <= 1_000, "{replies} replies to ten thousand at once");
}

/// What nobody asked for: replies of strangers, and of those asked under another number.
#[test]
fn replies_that_nobody_asked_for_change_nothing() {
    let mut world = warm(180, 3_000, USUAL, (1, 200));
    let own = world.hosts[0].address;
    let (hash, _) = planted(&mut world);
    let enemies: Vec<SocketAddr> = (0..200).map(|_| public_v4(&mut world.rng)).collect();
    let asked = sky(&mut world).any(200, |star| star.breed.is_alive());
    let ticket = world.find(0, hash, Haste::Urgent);
    for (enemy, asked) in enemies.iter().zip(asked) {
        let id: [u8; 20] = world.rng.random();
        let seen = Some(SocketAddr::from(LIE));
        let values = [SocketAddr::from(LIE)];
        let letter = Letter { id, seen, values: Some(&values), ..Letter::default() };
        let transaction: [u8; 4] = world.rng.random();
        world.throw(*enemy, own, letter.write(&transaction));
        world.throw(asked.address, own, letter.write(&transaction));
        world.run(5 * MS);
    }
    // The numbers of what is asked now are seen on the way by one who answers from elsewhere.
    world.eavesdropper = enemies.first().copied();
    let before = world.node(0).contacts(world.now).len();
    let other = world.find(0, hash, Haste::Urgent);
    world.run(5 * S);
    for ticket in [ticket, other] {
        let (_, peers) = world.found(ticket, Duration::ZERO);
        assert!(!peers.contains(&LIE.into()), "a stranger is believed");
    }
    let contacts = world.node(0).contacts(world.now);
    assert!(contacts.len() >= before);
    assert!(contacts.iter().all(|contact| !enemies.contains(&contact.address)));
}

/// One torrent with many peers: a reply has room for some of them, whoever asks.
#[test]
fn a_reply_is_short_however_many_peers_there_are() {
    let mut world = warm(190, 1_000, USUAL, (1, 200));
    let own = world.hosts[0].address;
    let (id, hash): ([u8; 20], [u8; 20]) = (world.rng.random(), world.rng.random());
    let ask = |world: &mut World, from: SocketAddr| {
        world.astray.clear();
        world.throw(from, own, letters::get_peers(&id, &hash, b"x"));
        world.run(300 * MS);
        world.astray.iter().find(|(to, _)| *to == from).map(|(_, reply)| reply.clone())
    };
    for _ in 0..150 {
        let from = public_v4(&mut world.rng);
        let reply = ask(&mut world, from);
        let token = reply.as_deref().and_then(|reply| letters::text(reply, b"5:token"));
        if let Some(token) = token {
            world.throw(from, own, letters::announce_peer(&id, &hash, token, b"y"));
        }
    }
    let stored = world.node(0).health(world.now).stored;
    assert!(stored >= 120, "{stored} peers are stored");
    // The watch sees how long the reply is.
    let from = public_v4(&mut world.rng);
    let reply = ask(&mut world, from).or_else(|| ask(&mut world, from)).expect("it answers");
    let values = reply.windows(2).filter(|part| part == b"6:").count();
    assert!(values >= 40 && reply.len() > 500, "{values} in {} bytes", reply.len());
}

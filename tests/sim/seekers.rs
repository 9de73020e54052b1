//! Worlds in which many know only a hash: they gather the metadata among seeds, each other and
//! liars of every kind, with links that break and peers that come and go, and then download with
//! those whom they have met. What must hold at each step is in `swarms_world/seeking`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use pigeon::base::bitfield::Bitfield;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::swarms_setup::{Lie, Member, Setup};
use super::swarms_world::World;

const LIMIT: Duration = Duration::from_secs(60 * 60);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn metadata(len: u32) -> Arc<[u8]> {
    (0..len).map(|at| (at / 7 % 251) as u8).collect()
}

/// A world from one seed. Its first member is complete and stays; of all others that are not lost
/// each knows one that is, or is told of it by the tracker, or knows one that knows one, and so on.
fn any(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut setup = Setup::empty(seed, rng.random_range(3..10), rng.random_range(1..3));
    let layout = setup.layout;
    setup.metadata = metadata(match rng.random_range(0..3) {
        0 => rng.random_range(1..16_384),
        1 => rng.random_range(16_384..100_000),
        _ => rng.random_range(100_000..400_000),
    });
    (setup.describes, setup.audit_every) = (true, 1);
    setup.is_private = rng.random_range(0..4) == 0;
    setup.has_tracker = setup.is_private || rng.random_range(0..6) == 0;
    setup.exchanges_peers = rng.random_range(0..5) > 0;
    setup.breaks = [0, 25][rng.random_range(0..2)];
    let (honest, liars) = (rng.random_range(3..9), rng.random_range(0..5));
    setup.members.push(Member::seed(&layout, 1_000_000, ms(20)));
    for _ in 1..honest {
        let one = somebody(&setup, &mut rng);
        setup.members.push(one);
    }
    if setup.is_private && rng.random() {
        // Long enough for those who seek to hear of each other by peer exchange.
        let late = setup.members.iter_mut().filter(|member| !member.seeks);
        late.for_each(|member| {
            member.joins += ms(60_000);
            member.leaves = None;
        });
    }
    for _ in 0..liars {
        let latency = ms(rng.random_range(1..100));
        let lie = Lie::ALL[rng.random_range(0..Lie::ALL.len())];
        let knows = (0..2).map(|_| rng.random_range(0..honest)).collect();
        let liar = Member::leecher(&layout, 1_000_000, latency);
        setup.members.push(Member { lie: Some(lie), knows, ..liar });
    }
    if liars > 0 {
        for one in &mut setup.members[1..honest] {
            if rng.random() {
                one.knows.push(honest + rng.random_range(0..liars));
            }
        }
        if !setup.has_tracker && rng.random_range(0..3) == 0 {
            let lost = Member::leecher(&layout, 1_000_000, ms(5));
            let knows = vec![honest];
            setup.members.push(Member { seeks: true, is_lost: true, knows, ..lost });
        }
    }
    setup
}

/// One that is not a liar.
fn somebody(setup: &Setup, rng: &mut StdRng) -> Member {
    let layout = &setup.layout;
    let rate = [50_000, 300_000, 3_000_000][rng.random_range(0..3)];
    let mut one = Member::leecher(layout, rate, ms(rng.random_range(1..150)));
    one.fast = rng.random_range(0..4) > 0;
    one.seeks = rng.random_range(0..4) > 0;
    one.is_listed = rng.random_range(0..3) > 0;
    one.disk = ms(rng.random_range(0..30));
    if !one.seeks && rng.random() {
        one.has = Bitfield::all(layout.piece_count());
    }
    if rng.random_range(0..3) == 0 {
        one.joins = ms(rng.random_range(100..40_000));
    }
    if rng.random_range(0..6) == 0 {
        one.leaves = Some(one.joins + ms(rng.random_range(100..40_000)));
    }
    if !setup.has_tracker || rng.random() {
        let stay = |it: &usize| setup.members[*it].leaves.is_none();
        let stay: Vec<usize> = (0..setup.members.len()).filter(stay).collect();
        one.knows.push(stay[rng.random_range(0..stay.len())]);
    }
    one
}

fn run(seed: u64, verbose: bool) -> World {
    let setup = any(seed);
    let members = setup.members.clone();
    let mut world = World::new(setup, verbose);
    let took = world.run(LIMIT);
    assert!(took.is_some(), "not all complete: {}", world.laggards());
    world.run_on(Duration::from_secs(100));
    for (number, member) in members.iter().enumerate().filter(|(_, member)| member.seeks) {
        let is_there = member.leaves.is_none() && !member.is_lost;
        assert!(!is_there || world.found_at(number).is_some(), "{number} has no metadata");
        assert!(!member.is_lost || world.found_at(number).is_none(), "{number} got it of liars");
    }
    world
}

#[test]
fn whoever_can_reach_one_honest_holder_has_metadata_and_data_in_the_end() {
    if let Some(seed) = number("PIGEON_SIM_SEED") {
        return eprintln!("seed {seed}: {:?}", run(seed, true).reached);
    }
    let count = number("PIGEON_SIM_SEEDS").unwrap_or(200);
    let mut all: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..count {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(world) => {
                world
                    .reached
                    .into_iter()
                    .for_each(|(what, times)| *all.entry(what).or_default() += times);
            }
            Err(_) => panic!("PIGEON_SIM_SEED={seed} shows the failure above"),
        }
    }
    println!("{count} worlds of seekers reached {all:?}");
    let hard = ["banned", "struck", "found", "kept", "left as private", "stopped early", "told"];
    let missed = hard.iter().find(|what| !all.contains_key(*what));
    assert!(count < 200 || missed.is_none(), "{missed:?} was never reached: {all:?}");
}

/// A seeker that knows one seed, and one liar that answers sooner: when it has 1 MiB of metadata.
fn beside(lie: Option<Lie>) -> Duration {
    let mut setup = Setup::empty(1, 4, 1);
    let layout = setup.layout;
    (setup.describes, setup.audit_every, setup.has_tracker) = (true, 1, false);
    setup.metadata = metadata(1 << 20);
    setup.members.push(Member::seed(&layout, 12_500_000, ms(40)));
    let one = Member::leecher(&layout, 12_500_000, ms(10));
    setup.members.push(Member { seeks: true, knows: vec![0], ..one.clone() });
    if lie.is_some() {
        setup.members[1].knows.push(2);
        setup.members.push(Member { lie, ..one });
    }
    let mut world = World::new(setup, false);
    world.run(LIMIT).expect("it completes");
    world.found_at(1).expect("the metadata")
}

/// At a round trip of 100 ms, with 84 ms for the bytes. Without a liar: the dial, the claim, the
/// pieces. One liar costs the second that it is waited for, and its copy and ours alone, at most.
#[test]
fn one_liar_delays_the_metadata_by_two_seconds_at_most() {
    let alone = beside(None);
    println!("metadata of 1 MiB: {alone:?}");
    assert!(alone <= ms(500), "{alone:?}: more than five round trips");
    for lie in Lie::ALL {
        let took = beside(Some(lie));
        println!("beside {lie:?}: {took:?}");
        assert!(took <= alone + Duration::from_secs(2), "{lie:?}: {took:?}");
    }
}

/// Forty in a row, each of which knows the one before it. How many the least connected one knows,
/// after so long.
fn least_known(exchanges_peers: bool, after: Duration) -> u32 {
    let mut setup = Setup::empty(1, 512, 1);
    let layout = setup.layout;
    (setup.describes, setup.has_tracker) = (true, false);
    setup.exchanges_peers = exchanges_peers;
    // So slow that nobody is done.
    setup.members.push(Member::seed(&layout, 10_000, ms(20)));
    for number in 1..40 {
        let one = Member::leecher(&layout, 100_000, ms(20));
        setup.members.push(Member { knows: vec![number - 1], ..one });
    }
    let mut world = World::new(setup, false);
    world.run_on(after);
    (0..40).filter_map(|number| world.known_to(number)).min().expect("forty")
}

#[test]
fn forty_that_know_one_each_are_connected_by_peer_exchange_within_three_minutes() {
    let three_minutes = Duration::from_secs(180);
    let (with, without) = (least_known(true, three_minutes), least_known(false, three_minutes));
    println!("the least connected one knows {with} with peer exchange, {without} without");
    assert!(with >= 10, "{with}");
    assert!(without <= 2, "{without}");
}

#[test]
fn one_seed_makes_one_story_of_seekers() {
    let story = |seed| {
        let mut world = World::new(any(seed), false);
        world.trace = Some(0xcbf2_9ce4_8422_2325);
        world.run(LIMIT);
        (world.now, world.trace)
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3).1, story(4).1);
}

//! Worlds of many brains with an exact expectation: everybody completes, free riders get
//! little, one seed feeds ten, all get their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use pigeon::swarm::choker::OPTIMISTIC_SHARE;

use super::swarms_setup::{Member, Rider, Setup, mixed};
use super::swarms_world::World;

/// No world of thirty takes longer than this.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// After the last one is complete: time for links between seeds to be closed.
const SETTLE: Duration = Duration::from_secs(60);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, verbose: bool) -> Duration {
    let mut world = World::new(mixed(seed), verbose);
    let took = world.run(LIMIT);
    let Some(took) = took else { panic!("not all complete: {}", world.laggards()) };
    world.run_on(SETTLE);
    world.assert_no_links_between_seeds();
    took
}

#[test]
fn thirty_brains_of_all_kinds_complete() {
    if let Some(seed) = number("PIGEON_SIM_SEED") {
        return eprintln!("seed {seed}: {:?}", run(seed, true));
    }
    let count = number("PIGEON_SIM_SEEDS").unwrap_or(100);
    let mut longest = Duration::ZERO;
    for seed in 0..count {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(took) => longest = longest.max(took),
            Err(_) => panic!("PIGEON_SIM_SEED={seed} shows the failure above"),
        }
    }
    println!("{count} worlds of thirty brains, the longest took {longest:?}");
}

/// One seed and ten that have nothing: how long it took as a share of the ideal, which is the
/// time in which the seed can send everything once, and how often it sent the payload.
fn one_feeds_ten(seed: u64, pieces: u32, rate: u64, leecher: u64) -> (f64, f64) {
    let mut setup = Setup::empty(seed, pieces, 16);
    let layout = setup.layout;
    setup.members.push(Member { knows_limit: true, ..Member::seed(&layout, rate, ms(5)) });
    let one = Member::leecher(&layout, leecher, ms(5));
    setup.members.extend(std::iter::repeat_n(one, 10));
    let total = layout.total_len() as f64;
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let ideal = total / rate as f64;
    (took.as_secs_f64() / ideal, world.given_by(0) as f64 / total)
}

/// On lines as slow as the seed's, and on fast ones.
#[test]
fn one_seed_feeds_ten_in_little_more_than_the_ideal_time() {
    const RATE: u64 = 2_000_000;
    for leecher in [RATE, 25 * RATE] {
        for seed in 0..3 {
            let (time, sent) = one_feeds_ten(seed, 256, RATE, leecher);
            println!("ten at {leecher}: {time:.3} x the ideal time, {sent:.3} x the payload");
            assert!(time <= 1.15, "{time} x the ideal time");
            assert!(sent <= 1.12, "the seed sent {sent} x the payload");
        }
    }
}

/// When leechers have lines to spare, the seed sends little twice: the last pieces are left to
/// those that they belong to, and come from them.
#[test]
fn leechers_with_lines_to_spare_ask_the_seed_for_little_twice() {
    const RATE: u64 = 20_000_000;
    for seed in 0..3 {
        let (time, sent) = one_feeds_ten(seed, 1024, RATE, 10 * RATE);
        println!("{time:.3} x the ideal time, {sent:.3} x the payload");
        assert!(time <= 1.15, "{time} x the ideal time");
        assert!(sent <= 1.03, "the seed sent {sent} x the payload");
    }
}

/// Twenty who give and ten who take. A leecher keeps one place in five for those who do not give
/// (the optimistic one, out of seven here), as long as enough others give to fill the rest.
/// Beyond that a rider gets what any stranger gets in advance, a five-hundredth of the torrent or
/// a piece, and the pieces that newcomers may ask for while choked (BEP 6), once. The seed is fast
/// enough for leechers to have something for each other: else the riders' places would get the
/// bandwidth that nobody else has a use for. So all of them together get from leechers at most
/// `1 / OPTIMISTIC_SHARE` of what those send.
#[test]
fn free_riders_get_at_most_the_optimistic_share_and_finish_last() {
    for seed in 0..3 {
        let mut setup = Setup::empty(seed, 512, 4);
        let layout = setup.layout;
        let line = |member| Member { down: 800_000, knows_limit: true, ..member };
        setup.members.push(line(Member::seed(&layout, 500_000, ms(10))));
        let giver = line(Member::leecher(&layout, 100_000, ms(10)));
        setup.members.extend(std::iter::repeat_n(giver.clone(), 20));
        for rider in [Rider::Chokes, Rider::Refuses] {
            let rider = Member { rider: Some(rider), ..giver.clone() };
            setup.members.extend(std::iter::repeat_n(rider, 5));
        }
        let mut world = World::new(setup, false);
        world.run(LIMIT).expect("it completes");
        let by_leechers = |takers: std::ops::Range<usize>| -> u64 {
            let given = world.given.iter().filter(|((_, taker), _)| takers.contains(taker));
            given.map(|(_, given)| given.as_leecher).sum()
        };
        let (all, riders) = (by_leechers(0..31), by_leechers(21..31));
        let share = riders as f64 / all as f64;
        let when = |members: std::ops::Range<usize>| -> Vec<Duration> {
            members.filter_map(|member| world.complete_at(member)).collect()
        };
        let (givers, riders) = (when(1..21), when(21..31));
        let last = givers.iter().max().expect("givers");
        let first = riders.iter().min().expect("riders");
        println!("riders got {share:.3} of it; givers done {last:?}, riders from {first:?}");
        assert!(share <= 1.0 / OPTIMISTIC_SHARE as f64, "{share}");
        assert!(*first > last.mul_f64(1.15), "{first:?} against {last:?}");
    }
}

/// Seven places and twenty who want one and know nobody else: who waits the longest is next,
/// and a turn is half a minute, so that all have had theirs after three.
#[test]
fn a_seed_serves_all_in_turn() {
    let mut setup = Setup::empty(1, 512, 4);
    let layout = setup.layout;
    setup.star = true;
    setup.members.push(Member { knows_limit: true, ..Member::seed(&layout, 100_000, ms(10)) });
    let one = Member { fast: false, ..Member::leecher(&layout, 1_000_000, ms(10)) };
    setup.members.extend(std::iter::repeat_n(one, 20));
    let mut world = World::new(setup, false);
    world.run_on(Duration::from_secs(300));
    for taker in 1..=20 {
        let turns = world.unchokes.iter().filter(|(_, giver, it)| *giver == 0 && *it == taker);
        let mut last = Duration::ZERO;
        for (at, ..) in turns.chain([&(world.now, 0, taker)]) {
            // Its own turn, two of others, and the rest of a round.
            assert!(*at - last <= Duration::from_secs(130), "{taker} waits {last:?} to {at:?}");
            last = *at;
        }
    }
    let first = |taker: usize| world.unchokes.iter().find(|it| it.2 == taker).map(|it| it.0);
    let latest = (1..=20).map(|taker| first(taker).expect("a turn")).max();
    println!("all had a turn by {latest:?}");
    assert!(latest <= Some(Duration::from_secs(80)), "{latest:?}");
}

#[test]
fn one_seed_makes_one_story() {
    let story = |seed| {
        let mut world = World::new(mixed(seed), false);
        world.trace = Some(0xcbf2_9ce4_8422_2325);
        world.run(LIMIT);
        (world.now, world.trace)
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3).1, story(6).1);
}

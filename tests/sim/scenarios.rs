//! Worlds with an exact expectation: full lines, no waste, no long tails, quick returns.

use pigeon::session::Memory;
use std::time::Duration;

use pigeon::base::units::BLOCK_LEN;

use super::link::{Character, Truth};
use super::world::{Setup, World};

const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Pieces of 1 MiB.
fn healthy(mib: u64) -> Setup {
    Setup::healthy(mib * MIB, MIB as u32)
}

fn seeds(setup: &mut Setup, count: usize, rate: u64, one_way: Duration) {
    let seed = Character::seed(setup.layout.piece_count(), rate, one_way);
    setup.remotes.extend(std::iter::repeat_n(seed, count));
}

fn share_of(bytes: u64, took: Duration, rate: u64) -> f64 {
    bytes as f64 / took.as_secs_f64() / rate as f64
}

/// A single link of 500 Mbit/s with 100 ms there and back.
#[test]
fn a_long_fast_link_is_filled() {
    let mut setup = healthy(512);
    seeds(&mut setup, 1, 62_500_000, ms(50));
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let share = share_of(512 * MIB, took, 62_500_000);
    println!("long fast link: {:.1} % in {took:?}", share * 100.0);
    assert!(share >= 0.92, "{share}");
}

#[test]
fn twenty_limited_peers_are_used_to_the_full_without_waste() {
    let mut setup = healthy(4096);
    // The pool of a real session.
    setup.pool_blocks = Memory::default().pool_bytes / BLOCK_LEN;
    seeds(&mut setup, 20, 10_000_000, ms(10));
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let share = share_of(4096 * MIB, took, 200_000_000);
    let wasted = world.snapshot().wasted_bytes as f64 / (4096 * MIB) as f64;
    println!("twenty peers: {:.2} %, wasted {:.3} %", share * 100.0, wasted * 100.0);
    assert!(share >= 0.98, "{share}");
    assert!(wasted <= 0.005, "{wasted}");
}

/// Beside slow ones that bring whole pieces too, and that must not hold up the end.
#[test]
fn providers_of_whole_pieces_are_used_to_the_full() {
    let mut setup = healthy(256);
    let count = setup.layout.piece_count();
    setup.remotes.extend(
        [10_000_000, 10_000_000, 50_000].map(|rate| Character::provider(count, rate, ms(10))),
    );
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let share = share_of(256 * MIB, took, 20_050_000);
    println!("three providers: {:.1} % in {took:?}", share * 100.0);
    assert!(share >= 0.95, "{share}");
}

#[test]
fn one_honest_peer_beside_ten_hostile_ones_is_enough() {
    let mut setup = healthy(16);
    seeds(&mut setup, 11, 2_000_000, ms(30));
    let hostile = &mut setup.remotes[1..];
    hostile[0].truth = Truth::WrongOneIn(1);
    hostile[1].truth = Truth::WrongOneIn(2);
    hostile[2].truth = Truth::WrongOneIn(20);
    hostile[3].refuses = 100;
    hostile[4].forgets = 100;
    hostile[5].stalls_after = Some(0);
    hostile[6].stalls_after = Some(7);
    hostile[7].unasked_every = Some(ms(10));
    hostile[8].chokes_every = Some(ms(500));
    hostile[9].has = pigeon::base::bitfield::Bitfield::none(16);
    hostile[9].boasts = true;
    let mut world = World::new(setup, false);
    let took = world.run(Duration::from_secs(120));
    println!("ten hostile peers: {took:?} {:?}", world.ledger.reached);
    assert!(took.is_some(), "{:?}", world.snapshot());
    assert!(world.ledger.reached.bans >= 3, "the three liars");
}

/// One peer stops in the middle of its pieces; without it the same download is the measure.
#[test]
fn a_stalled_peer_delays_the_end_by_less_than_twenty_seconds() {
    let run = |stalls: bool| {
        let mut setup = healthy(64);
        seeds(&mut setup, 4, 2_000_000, ms(30));
        if stalls {
            setup.remotes[2].stalls_after = Some(200);
        }
        World::new(setup, false).run(LIMIT).expect("it completes")
    };
    let (healthy, stalled) = (run(false), run(true));
    println!("stalled peer: {stalled:?} instead of {healthy:?}");
    // A third of its share falls to the others; the rest of the delay is ours.
    assert!(stalled < healthy + Duration::from_secs(20), "{stalled:?}, {healthy:?}");
}

/// One of six is fast until it owes much, and then sends a block each 1.9 s: never silent, and
/// never done. The other five alone are the measure.
#[test]
fn a_peer_that_turns_into_a_dripper_delays_the_end_by_less_than_twenty_seconds() {
    let run = |drips: bool| {
        let mut setup = healthy(128);
        seeds(&mut setup, 5, 1_000_000, ms(30));
        if drips {
            seeds(&mut setup, 1, 12_000_000, ms(30));
            setup.remotes[5].paces = vec![(1500, BLOCK_LEN as u64 * 10 / 19)];
        }
        World::new(setup, false).run(LIMIT * 2).expect("it completes")
    };
    let (five, dripping) = (run(false), run(true));
    println!("a dripper: {dripping:?}, without it {five:?}");
    assert!(dripping < five + Duration::from_secs(20), "{dripping:?}, {five:?}");
}

#[test]
fn when_all_peers_vanish_and_return_it_goes_on_within_thirty_seconds() {
    let mut setup = healthy(64);
    seeds(&mut setup, 5, 200_000, ms(30));
    let mut world = World::new(setup, false);
    world.vanish_all(Duration::from_secs(10), Duration::from_secs(90));
    let took = world.run(LIMIT).expect("it completes");
    let back = Duration::from_secs(100);
    let next = world.verified.iter().map(|(at, _)| *at).find(|at| *at > back);
    let next = next.expect("pieces after the return") - back;
    println!("all vanish for 90 s: next piece {next:?} after the return, end at {took:?}");
    assert!(next < Duration::from_secs(30), "{next:?}");
}

#[test]
fn a_slow_disk_stops_reading_and_loses_no_peer() {
    let mut setup = healthy(64);
    setup.pool_blocks = 8 * MIB as usize / BLOCK_LEN;
    setup.disk.delay = ms(100);
    seeds(&mut setup, 4, 20_000_000, ms(10));
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    println!("slow disk: {took:?} {:?}", world.ledger.reached);
    assert!(took < ms(64 * 100 + 2000), "the disk alone takes 6.4 s: {took:?}");
    let reached = world.ledger.reached;
    assert_eq!((reached.snubs, reached.bans), (0, 0));
    assert!(reached.waited_for_memory > 0, "memory was the limit");
}

//! Many worlds, one from each seed: all complete, and all hard branches are reached.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::cost::Cost;
use super::faults;
use super::ledger::Reached;
use super::world::World;

/// No world takes longer than this to complete.
const LIMIT: Duration = Duration::from_secs(30 * 60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// All kinds of facts but one: no remote asks for data here.
const KINDS: usize = 21;

fn run(seed: u64, trace: bool) -> (Reached, Cost, BTreeSet<&'static str>) {
    let mut world = World::new(faults::setup(seed), trace);
    let took = world.run(LIMIT);
    assert!(took.is_some(), "not complete after {LIMIT:?}: {:?}", world.snapshot());
    world.swarm.check_invariants();
    (world.ledger.reached, world.cost, world.told)
}

#[test]
fn every_world_with_an_honest_seed_completes() {
    if let Some(seed) = number("PIGEON_SIM_SEED") {
        let (reached, ..) = run(seed, true);
        return eprintln!("seed {seed}: {reached:?}");
    }
    let count = number("PIGEON_SIM_SEEDS").unwrap_or(1000);
    let (mut all, mut told, mut largest) = (Reached::default(), BTreeSet::new(), 0);
    for seed in 0..count {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok((reached, cost, kinds)) => {
                all.add(reached);
                told.extend(kinds);
                largest = largest.max(cost.largest);
            }
            Err(_) => panic!("PIGEON_SIM_SEED={seed} shows the failure above"),
        }
    }
    println!("{count} seeds reached {all:?}");
    let hard = [
        all.moved,
        all.spills,
        all.bans,
        all.snubs,
        all.recoveries,
        all.refusals,
        all.chokes,
        all.closed,
        all.waited_for_memory,
        all.wrong_pieces,
        all.reassigned,
        all.rotten,
    ];
    assert!(count < 100 || told.len() == KINDS, "the brain was told {told:?} only");
    assert!(count < 100 || largest > 64, "no batch of more than {largest} facts");
    assert!(count < 100 || hard.iter().all(|times| *times > 0), "a branch was missed: {all:?}");
}

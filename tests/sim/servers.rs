//! Many worlds with servers of files, among peers or alone: all complete, and all hard branches
//! are reached. Also worlds with an exact expectation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use pigeon::base::extents::Extents;
use pigeon::base::ids::FileIndex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::faults;
use super::link::{Character, Truth};
use super::server::Manner;
use super::world::{Setup, World};

const MIB: u64 = 1 << 20;
/// No world takes longer than this to complete.
const LIMIT: Duration = Duration::from_secs(60 * 60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A world among peers, or in one of three without. At least one party is honest and has all.
fn setup(seed: u64) -> Setup {
    let mut setup = faults::setup(seed + 1_000_000);
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5e72);
    let total_len = setup.layout.total_len();
    if rng.random() {
        setup.extents = files(total_len, &mut rng);
    }
    let count = rng.random_range(1..5);
    setup.servers = (0..count).map(|_| manner(&setup.extents, &mut rng)).collect();
    if rng.random_range(0..3) == 0 {
        setup.remotes.clear();
        let rate = rng.random_range(200_000..20_000_000);
        let latency = Duration::from_millis(rng.random_range(1..150));
        let mut honest = Manner::sound(rate, latency);
        honest.slots = rng.random_range(1..9);
        if rng.random_range(0..4) == 0 {
            honest.whole_only = some_files(&setup.extents, &mut rng);
            // All of it comes whole at times, and breaks off behind that.
            let all = total_len.div_ceil(16384) + u64::from(setup.layout.piece_count());
            honest.resets_after = rng.random::<bool>().then(|| all + rng.random_range(0..all));
        } else if rng.random() {
            // A piece comes whole in between.
            let piece_blocks = u64::from(setup.layout.piece_len()).div_ceil(16384);
            honest.resets_after = Some(piece_blocks * rng.random_range(2..20));
            honest.stalls =
                Some((rng.random_range(0..100), Duration::from_secs(rng.random_range(1..30))));
        }
        let at = rng.random_range(0..=setup.servers.len());
        setup.servers.insert(at, honest);
    }
    setup
}

fn files(total_len: u64, rng: &mut StdRng) -> Extents {
    let mut ends: Vec<u64> =
        (0..rng.random_range(0..20)).map(|_| rng.random_range(0..=total_len)).collect();
    ends.sort_unstable();
    ends.push(total_len);
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let lens: Vec<u64> = begins.zip(&ends).map(|(begin, end)| end - begin).collect();
    Extents::new(lens.into_iter().map(|len| (len, rng.random_range(0..6) == 0)))
}

fn some_files(extents: &Extents, rng: &mut StdRng) -> Vec<FileIndex> {
    (0..extents.file_count()).map(FileIndex).filter(|_| rng.random()).collect()
}

fn manner(extents: &Extents, rng: &mut StdRng) -> Manner {
    let rate = [5_000, 100_000, 2_000_000, 50_000_000][rng.random_range(0..4)];
    let latency = Duration::from_millis(rng.random_range(1..300));
    let mut manner = Manner::sound(rate, latency);
    manner.slots = rng.random_range(1..9);
    match rng.random_range(0..10) {
        0 => manner.truth = Truth::WrongOneIn(1),
        1 | 2 => manner.truth = Truth::WrongOneIn(rng.random_range(2..200)),
        3 => manner.resets_after = Some(rng.random_range(0..100)),
        4 => {
            let time = Duration::from_secs(rng.random_range(1..200));
            manner.stalls = Some((rng.random_range(0..100), time));
        }
        5 => {
            let rest = |rng: &mut StdRng| {
                rng.random::<bool>().then(|| Duration::from_secs(rng.random_range(0..60)))
            };
            manner.off =
                some_files(extents, rng).into_iter().map(|file| (file, rest(rng))).collect();
        }
        6 => manner.whole_only = some_files(extents, rng),
        7 => manner.closed_until = Duration::from_secs(rng.random_range(0..60)),
        8 => manner.only = Some(FileIndex(rng.random_range(0..extents.file_count()))),
        _ => {}
    }
    manner
}

fn run(seed: u64, trace: bool) -> World {
    let mut world = World::new(setup(seed), trace);
    let took = world.run(LIMIT);
    assert!(took.is_some(), "not complete after {LIMIT:?}: {:?}", world.snapshot());
    world.swarm.check_invariants();
    assert!(world.servers.links.is_empty(), "links to servers end with the download");
    assert!(world.servers.waiting.is_empty(), "nobody waits for a server any more");
    world
}

#[test]
fn every_world_with_servers_completes() {
    if let Some(seed) = number("PIGEON_SIM_SEED") {
        let world = run(seed, true);
        return eprintln!("seed {seed}: {:?}", world.servers);
    }
    let count = number("PIGEON_SIM_SEEDS").unwrap_or(300);
    let mut sums = [0; 7];
    for seed in 0..count {
        let Ok(world) = catch_unwind(AssertUnwindSafe(|| run(seed, false))) else {
            panic!("PIGEON_SIM_SEED={seed} shows the failure above");
        };
        let it = &world.servers;
        let reached =
            [it.runs, it.shortened, it.troubles, it.resets, it.stalls, it.waits, it.blamed];
        sums.iter_mut().zip(reached).for_each(|(sum, times)| *sum += times);
    }
    println!("{count} seeds reached {sums:?}");
    assert!(count < 100 || sums.iter().all(|times| *times > 0), "a branch was missed: {sums:?}");
}

fn healthy(mib: u64) -> Setup {
    Setup::healthy(mib * MIB, MIB as u32)
}

/// One server, 50 ms away, alone.
#[test]
fn a_server_alone_fills_its_lines() {
    let mut setup = healthy(512);
    let mut server = Manner::sound(10_000_000, Duration::from_millis(25));
    server.slots = 4;
    setup.servers.push(server);
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let share = 512.0 * MIB as f64 / took.as_secs_f64() / 40_000_000.0;
    println!("server alone: {:.1} % in {took:?}", share * 100.0);
    assert!(share > 0.9, "{share}");
    assert_eq!(world.snapshot().wasted_bytes, 0);
}

/// Peers and a server together bring the sum of what each could.
#[test]
fn peers_and_a_server_add_up_without_waste() {
    let mut setup = healthy(512);
    let peer = Character::seed(setup.layout.piece_count(), 5_000_000, Duration::from_millis(20));
    setup.remotes.extend(std::iter::repeat_n(peer, 4));
    let mut server = Manner::sound(10_000_000, Duration::from_millis(25));
    server.slots = 2;
    setup.servers.push(server);
    let mut world = World::new(setup, false);
    let took = world.run(LIMIT).expect("it completes");
    let share = 512.0 * MIB as f64 / took.as_secs_f64() / 40_000_000.0;
    let wasted = world.snapshot().wasted_bytes as f64 / (512 * MIB) as f64;
    println!("peers and a server: {:.1} % in {took:?}, {wasted:.4} wasted", share * 100.0);
    assert!(share > 0.9 && wasted < 0.01, "{share} {wasted}");
}

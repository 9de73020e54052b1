//! Several torrents that live of one pool, each in a world of its own: whoever holds blocks keeps
//! them from all. The session is played here: it gives the torrents that download equal shares of
//! half the pool.

use std::time::{Duration, Instant};

use pigeon::base::pool::BlockPool;
use pigeon::base::units::BLOCK_LEN;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::link::Character;
use super::world::{Setup, World};

const MIB: u64 = 1 << 20;
/// The pool of a session.
const POOL_BLOCKS: usize = 42 * MIB as usize / BLOCK_LEN;
const LIMIT: Duration = Duration::from_secs(1200);

/// Torrents that are all alike but for the rates of their peers.
struct Crowd {
    torrents: usize,
    peers: usize,
    /// Bytes a second of each peer.
    rates: std::ops::Range<u64>,
    piece_mib: u64,
    mib: u64,
    /// For each job of a disk.
    disk: Duration,
}

struct Together {
    worlds: Vec<World>,
    next_at: Vec<Option<Duration>>,
    pool: BlockPool,
    loading: usize,
}

impl Together {
    fn new(seed: u64, crowd: &Crowd) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let pool = BlockPool::new(POOL_BLOCKS * BLOCK_LEN);
        let began = Instant::now();
        let world = |number: usize| {
            let mut setup = Setup::healthy(crowd.mib * MIB, (crowd.piece_mib * MIB) as u32);
            setup.seed = seed * 100 + number as u64;
            setup.pool_blocks = POOL_BLOCKS;
            setup.disk.delay = crowd.disk;
            for _ in 0..crowd.peers {
                let rate = rng.random_range(crowd.rates.clone());
                let latency = Duration::from_millis(rng.random_range(5..60));
                setup.remotes.push(Character::seed(setup.layout.piece_count(), rate, latency));
            }
            World::beside(setup, pool.clone(), began, false)
        };
        let worlds: Vec<World> = (0..crowd.torrents).map(world).collect();
        let next_at = worlds.iter().map(World::next_at).collect();
        let mut together = Self { worlds, next_at, pool, loading: crowd.torrents };
        together.divide(Duration::ZERO);
        together
    }

    /// Half the pool for those that download, in equal shares.
    fn divide(&mut self, now: Duration) {
        let share = POOL_BLOCKS / 2 / self.loading.max(1);
        for world in self.worlds.iter_mut().filter(|world| !world.is_done()) {
            world.share(share, now);
        }
        self.next_at = self.worlds.iter().map(World::next_at).collect();
    }

    /// Runs until all are complete; when that was.
    fn run(&mut self) -> Option<Duration> {
        while self.loading > 0 {
            let next = self.next_at.iter().enumerate().filter_map(|(n, at)| Some(((*at)?, n)));
            let (at, number) = next.min()?;
            let was_done = self.worlds[number].is_done();
            if at > LIMIT || !self.worlds[number].step(LIMIT) {
                return None;
            }
            self.next_at[number] = self.worlds[number].next_at();
            assert!(self.pool.in_use_blocks() <= POOL_BLOCKS, "memory is bounded");
            self.feed(number, at);
            if !was_done && self.worlds[number].is_done() {
                self.loading -= 1;
                self.divide(at);
            }
        }
        self.worlds.iter().map(|world| world.now).max()
    }

    /// What one torrent gave back, others may take; the one behind it first.
    fn feed(&mut self, number: usize, now: Duration) {
        for other in (number + 1..self.worlds.len()).chain(0..number) {
            if self.pool.in_use_blocks() == POOL_BLOCKS {
                return;
            }
            if self.worlds[other].is_starving() {
                self.worlds[other].let_starving_read_at(now);
                self.next_at[other] = self.worlds[other].next_at();
            }
        }
    }
}

/// All complete in little more than the time that their peers need, and nobody is blamed for
/// memory that was ours to give. Returns how often links waited for it.
fn run(seed: u64, crowd: &Crowd) -> u32 {
    let mut together = Together::new(seed, crowd);
    let took = together.run();
    let stuck = || together.worlds.iter().map(World::snapshot).collect::<Vec<_>>();
    let Some(took) = took else { panic!("they stand still: {:?}", stuck()) };
    let slowest = crowd.rates.start * crowd.peers as u64;
    let alone = Duration::from_secs_f64((crowd.mib * MIB) as f64 / slowest as f64);
    let waited = together.worlds.iter().map(|world| world.ledger.reached.waited_for_memory).sum();
    println!("{} torrents: {took:?}, alone {alone:?}, waited {waited}", crowd.torrents);
    assert!(took < alone.mul_f64(1.3) + Duration::from_secs(20), "{took:?} instead of {alone:?}");
    for world in &together.worlds {
        assert!(world.closed_as_silent.is_empty(), "honest peers were closed as silent");
        world.swarm.check_invariants();
    }
    waited
}

#[test]
fn three_torrents_of_long_pieces_share_a_pool() {
    let disk = Duration::from_millis(5);
    let crowd =
        Crowd { torrents: 3, peers: 20, rates: 1_000_000..3_000_000, piece_mib: 4, mib: 128, disk };
    run(1, &crowd);
}

#[test]
fn two_torrents_of_many_slow_peers_share_a_pool() {
    let disk = Duration::from_millis(5);
    let crowd =
        Crowd { torrents: 2, peers: 60, rates: 200_000..600_000, piece_mib: 1, mib: 128, disk };
    run(2, &crowd);
}

#[test]
fn five_torrents_of_very_slow_peers_share_a_pool() {
    let disk = Duration::from_millis(5);
    let crowd =
        Crowd { torrents: 5, peers: 60, rates: 100_000..300_000, piece_mib: 1, mib: 96, disk };
    run(3, &crowd);
}

#[test]
fn twenty_torrents_of_long_pieces_share_a_pool() {
    let disk = Duration::from_millis(5);
    let crowd =
        Crowd { torrents: 20, peers: 6, rates: 500_000..1_000_000, piece_mib: 4, mib: 64, disk };
    run(4, &crowd);
}

/// One disk for each torrent, and each so slow that blocks would pile up: of no torrent more than
/// its share lies at its disk, so that nobody ever waits for memory.
#[test]
fn torrents_on_slow_disks_share_a_pool_and_lose_no_peer() {
    let disk = Duration::from_millis(400);
    let crowd =
        Crowd { torrents: 3, peers: 6, rates: 400_000..2_000_000, piece_mib: 1, mib: 48, disk };
    let waited = run(5, &crowd);
    assert_eq!(waited, 0, "links waited for memory");
}

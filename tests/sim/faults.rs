//! A world made from one seed: its torrent, its peers of all characters, its disk. At least
//! one peer is honest, complete and stays. In one world of three there are also providers of
//! whole pieces, in another one there is nobody else.

use std::time::Duration;

use pigeon::base::bitfield::Bitfield;
use pigeon::base::extents::Extents;
use pigeon::base::layout::Layout;
use pigeon::base::units::BLOCK_LEN;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::disk::DiskCharacter;
use super::link::{Character, Truth};
use super::world::{Fate, Setup};

/// The world of this seed.
pub fn setup(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let layout = layout(&mut rng);
    let piece_blocks = layout.piece_len().div_ceil(BLOCK_LEN as u32) as usize;
    let pool_blocks = match rng.random_range(0..4) {
        0 => rng.random_range(4..16),
        1 => piece_blocks * 3,
        _ => 4096,
    };
    let mut remotes: Vec<_> =
        (0..rng.random_range(0..12)).map(|_| stranger(&layout, &mut rng)).collect();
    let rate = rng.random_range(300_000..20_000_000);
    let latency = Duration::from_millis(rng.random_range(1..150));
    let mut honest = Character::seed(layout.piece_count(), rate, latency);
    honest.fast = rng.random();
    remotes.insert(rng.random_range(0..=remotes.len()), honest);
    let extents = extents(&layout, &mut rng);
    let disk = disk(&mut rng);
    let sequential = rng.random_range(0..4) == 0;
    for remote in &mut remotes {
        let is_provider = match seed % 3 {
            0 => false,
            1 => rng.random(),
            _ => true,
        };
        if is_provider {
            make_provider(remote, &mut rng);
        }
    }
    for remote in &mut remotes {
        if rng.random_range(0..4) == 0 {
            remote.paces = paces(&mut rng);
        }
    }
    let fates = fates(&layout, pool_blocks, &mut rng);
    let servers = Vec::new();
    Setup { seed, layout, extents, pool_blocks, remotes, servers, disk, sequential, fates }
}

/// Fast and slow in turn, as a line is that others use too. It does not end slow: an honest peer
/// brings what is left.
fn paces(rng: &mut StdRng) -> Vec<(u64, u64)> {
    let mut after = 0;
    let turns = rng.random_range(1..4);
    let slow_and_fast = (0..turns).flat_map(|_| [9_000, rng.random_range(200_000..5_000_000)]);
    let slow_and_fast: Vec<u64> = slow_and_fast.collect();
    let pace = |rate| {
        after += rng.random_range(1..if rate == 9_000 { 300 } else { 8 });
        (after, rate)
    };
    slow_and_fast.into_iter().map(pace).collect()
}

/// What befalls one world of two, in its first half minute. Everything is undone in the end.
fn fates(layout: &Layout, pool_blocks: usize, rng: &mut StdRng) -> Vec<(Duration, Fate)> {
    let mut fates = Vec::new();
    for kind in 0..13 {
        if rng.random_range(0..6) > 0 {
            continue;
        }
        let from = Duration::from_millis(rng.random_range(0..15_000));
        let until = from + Duration::from_millis(rng.random_range(100..15_000));
        let share = rng.random_range(0..100);
        let pair = match kind {
            0 | 1 => {
                let all = Bitfield::all(layout.piece_count());
                [Fate::Wants(some_pieces(layout, rng)), Fate::Wants(all)]
            }
            2 => [Fate::Pauses(true), Fate::Pauses(false)],
            3 => [Fate::Changes(share), Fate::Changes(share / 2)],
            4 => [Fate::Refuses(share), Fate::Refuses(share / 2)],
            5 => [Fate::Room(rng.random_range(0..4)), Fate::Room(usize::MAX)],
            6 => [Fate::Limited(true), Fate::Limited(false)],
            7 => {
                let most = rng.random_range(1..pool_blocks);
                [Fate::Share(most), Fate::Share(pool_blocks / 2)]
            }
            8 => [Fate::OtherTracker, Fate::OtherTracker],
            9 => [Fate::OurAddress, Fate::OurAddress],
            10 => {
                let time = |rng: &mut StdRng| Duration::from_millis(rng.random_range(0..500));
                let worked = Fate::Worked(time(rng), time(rng));
                [worked.clone(), worked]
            }
            11 => [Fate::Silent(true), Fate::Silent(false)],
            _ => [Fate::UploadLimit(Some(50_000)), Fate::UploadLimit(None)],
        };
        fates.extend([from, until].into_iter().zip(pair));
    }
    fates
}

fn layout(rng: &mut StdRng) -> Layout {
    let blocks = [1, 2, 5, 16, 40][rng.random_range(0..5)];
    let piece_len = blocks * BLOCK_LEN as u32 - rng.random_range(0..2) * 1000;
    let pieces = rng.random_range(1..60u32);
    let tail = rng.random_range(0..piece_len);
    let total_len = u64::from(pieces) * u64::from(piece_len) - u64::from(tail);
    Layout::new(total_len, piece_len).expect("a possible layout")
}

fn extents(layout: &Layout, rng: &mut StdRng) -> Extents {
    let total_len = layout.total_len();
    if rng.random_range(0..3) > 0 {
        return Extents::new([(total_len, false)]);
    }
    let first = rng.random_range(0..=total_len);
    let pad = rng.random_range(0..=total_len - first);
    Extents::new([(first, false), (pad, true), (total_len - first - pad, false)])
}

fn disk(rng: &mut StdRng) -> DiskCharacter {
    let delay = Duration::from_millis([0, 1, 20, 300][rng.random_range(0..4)]);
    let from = Duration::from_millis(rng.random_range(0..5000));
    let fails = rng.random_range(0..3) == 0;
    let fails = fails.then(|| from..from + Duration::from_secs(rng.random_range(1..40)));
    DiskCharacter { delay, delay_per_block: Duration::from_micros(50), fails }
}

fn stranger(layout: &Layout, rng: &mut StdRng) -> Character {
    let count = layout.piece_count();
    let rate = [20_000, 200_000, 2_000_000, 50_000_000][rng.random_range(0..4)];
    let latency = Duration::from_millis(rng.random_range(1..300));
    let mut one = Character::seed(count, rate, latency);
    one.fast = rng.random();
    one.pipeline_max = [1, 5, 50, 250, 2000][rng.random_range(0..5)];
    one.comes_in = rng.random_range(0..4) == 0;
    if rng.random() {
        one.has = some_pieces(layout, rng);
    }
    if one.fast && rng.random_range(0..3) == 0 {
        one.allowed = layout.pieces().filter(|piece| one.has.has(*piece)).take(3).collect();
    }
    let seconds =
        |rng: &mut StdRng, most: u64| Duration::from_millis(rng.random_range(50..most * 1000));
    match rng.random_range(0..14) {
        0 => one.truth = Truth::WrongOneIn(1),
        1 | 2 => one.truth = Truth::WrongOneIn(rng.random_range(2..30)),
        3 => one.boasts = true,
        4 | 5 => one.chokes_every = Some(seconds(rng, 10)),
        6 => one.drops = Some((seconds(rng, 20), seconds(rng, 30))),
        7 => one.refuses = rng.random_range(1..60),
        8 => one.refuses = 100,
        9 => one.stalls_after = Some(rng.random_range(0..40)),
        10 => one.unasked_every = Some(seconds(rng, 2)),
        11 => one.dead = true,
        12 => one.forgets = rng.random_range(1..100),
        _ => {}
    }
    one
}

/// The same character, as far as one that brings whole pieces can have it. What it refuses it
/// lacks; and it may claim more than it has.
fn make_provider(one: &mut Character, rng: &mut StdRng) {
    let boasts = one.boasts || rng.random();
    *one = Character {
        is_provider: true,
        fast: true,
        pipeline_max: 2,
        boasts,
        chokes_every: None,
        unasked_every: None,
        forgets: 0,
        comes_in: false,
        allowed: Vec::new(),
        ..one.clone()
    };
}

fn some_pieces(layout: &Layout, rng: &mut StdRng) -> Bitfield {
    let mut set = Bitfield::none(layout.piece_count());
    let share = rng.random_range(0..100);
    for piece in layout.pieces() {
        if rng.random_range(0..100) < share {
            set.insert(piece);
        }
    }
    set
}

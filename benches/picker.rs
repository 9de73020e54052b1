//! The picker with 100,000 pieces and 200 peers: what one pick, one `have`, one whole
//! bitfield cost. It measures no network and no disk.

use divan::{Bencher, black_box};
use pigeon::base::bitfield::Bitfield;
use pigeon::base::layout::{Layout, PieceIndex};
use pigeon::swarm::picker::{Order, PeerPieces, Picker};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PIECES: u32 = 100_000;
const PEERS: usize = 200;
/// Picks of one round, to spread the cost of a sort over them as a download does.
const PICKS: usize = 10_000;

fn main() {
    divan::main();
}

struct Crowd {
    picker: Picker,
    peers: Vec<PeerPieces>,
    layout: Layout,
    rng: StdRng,
}

/// Every tenth peer is a seed; the others have half of the pieces.
fn crowd() -> Crowd {
    let mut rng = StdRng::seed_from_u64(1);
    let layout = Layout::new(u64::from(PIECES) * 16384, 16384).expect("a possible layout");
    let mut picker = Picker::new(layout, &Bitfield::all(PIECES));
    let peers: Vec<_> = (0..PEERS)
        .map(|peer| match peer % 10 {
            0 => PeerPieces::All,
            _ => PeerPieces::Some(half(&mut rng)),
        })
        .collect();
    peers.iter().for_each(|pieces| picker.peer_came(pieces));
    Crowd { picker, peers, layout, rng }
}

fn half(rng: &mut StdRng) -> Bitfield {
    let bytes: Vec<u8> = (0..PIECES / 8).map(|_| rng.random()).collect();
    Bitfield::from_wire(&bytes, PIECES).expect("the right length")
}

fn pick(crowd: &mut Crowd, count: usize, order: Order) {
    for turn in 0..count {
        let pieces = &crowd.peers[turn % PEERS];
        if let Some(piece) = crowd.picker.pick(pieces, order, Some(|_| (0, 0)), &mut crowd.rng) {
            crowd.picker.remove(black_box(piece));
        }
    }
}

#[divan::bench(sample_count = 20)]
fn ten_thousand_rarest_picks_with_one_sort(bencher: Bencher) {
    bencher.with_inputs(crowd).counter(PICKS).bench_values(|mut crowd| {
        pick(&mut crowd, PICKS, Order::RarestFirst);
        crowd
    });
}

#[divan::bench(sample_count = 20)]
fn ten_thousand_random_picks(bencher: Bencher) {
    bencher.with_inputs(crowd).counter(PICKS).bench_values(|mut crowd| {
        pick(&mut crowd, PICKS, Order::Random);
        crowd
    });
}

#[divan::bench(sample_count = 20)]
fn ten_thousand_haves(bencher: Bencher) {
    let prepared = || {
        let mut crowd = crowd();
        pick(&mut crowd, 1, Order::RarestFirst);
        let pieces: Vec<PieceIndex> = (0..PICKS)
            .filter_map(|_| crowd.layout.piece(crowd.rng.random_range(0..PIECES)))
            .collect();
        (crowd, pieces)
    };
    bencher.with_inputs(prepared).counter(PICKS).bench_values(|(mut crowd, pieces)| {
        pieces.iter().for_each(|piece| crowd.picker.peer_gained(*piece));
        crowd
    });
}

#[divan::bench(sample_count = 20)]
fn a_bitfield_comes_and_the_next_pick_sorts(bencher: Bencher) {
    let prepared = || {
        let mut crowd = crowd();
        let pieces = PeerPieces::Some(half(&mut crowd.rng));
        (crowd, pieces)
    };
    bencher.with_inputs(prepared).bench_values(|(mut crowd, pieces)| {
        crowd.picker.peer_came(&pieces);
        pick(&mut crowd, 1, Order::RarestFirst);
        crowd
    });
}

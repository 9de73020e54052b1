//! SHA-1 of pieces as they lie in memory: 1 MiB each, in scattered 16 KiB blocks. Compare
//! engines and counts within one run only. Not a bench of disks.

use std::fmt;

use divan::Bencher;
use divan::counter::BytesCount;
use pigeon::base::digest::{self, Engine};

const BLOCK: usize = 16 * 1024;
const BLOCKS_OF_PIECE: usize = 64;
/// A stride that shares no factor with the number of blocks, so that neighbours of a piece
/// are far apart in memory.
const STRIDE: usize = 389;

struct Case {
    engine: Engine,
    pieces: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} pieces", self.engine.name(), self.pieces)
    }
}

fn main() {
    println!("sha1_many uses {}", digest::engine_name());
    divan::main();
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut engines = Engine::available();
    // The `sha1` crate finds SHA-NI by itself, so both would measure the same.
    if Engine::ShaNi.is_available() {
        engines.retain(|engine| *engine != Engine::Portable);
    }
    for engine in engines {
        for pieces in [16, 11, 8, 4, 3, 2] {
            cases.push(Case { engine, pieces });
        }
    }
    cases
}

/// Blocks for 16 pieces, each an allocation of its own.
fn blocks() -> Vec<Vec<u8>> {
    let byte = |block: usize, at: usize| (block * 31 + at * 167 + at / 251) as u8;
    (0..16 * BLOCKS_OF_PIECE).map(|b| (0..BLOCK).map(|at| byte(b, at)).collect()).collect()
}

fn pieces(blocks: &[Vec<u8>], count: usize) -> Vec<Vec<&[u8]>> {
    let block = |at: usize| &blocks[at * STRIDE % blocks.len()][..];
    let piece = |p: usize| (0..BLOCKS_OF_PIECE).map(|b| block(p * BLOCKS_OF_PIECE + b)).collect();
    (0..count).map(piece).collect()
}

#[divan::bench]
fn sha1(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let pieces = pieces(&blocks, 1);
    bencher
        .counter(BytesCount::new(BLOCKS_OF_PIECE * BLOCK))
        .bench(|| digest::sha1(divan::black_box(&pieces[0])));
}

#[divan::bench(args = cases())]
fn sha1_many(bencher: Bencher<'_, '_>, case: &Case) {
    let blocks = blocks();
    let pieces = pieces(&blocks, case.pieces);
    bencher
        .counter(BytesCount::new(case.pieces * BLOCKS_OF_PIECE * BLOCK))
        .bench(|| digest::sha1_many_with(case.engine, divan::black_box(&pieces)));
}

#[divan::bench]
fn sha256(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let pieces = pieces(&blocks, 1);
    bencher
        .counter(BytesCount::new(BLOCKS_OF_PIECE * BLOCK))
        .bench(|| digest::sha256(divan::black_box(&pieces[0])));
}

//! SHA-1 of pieces as they lie in memory, 1 MiB each in scattered 16 KiB blocks, and SHA-256 of
//! leaves, 16 KiB each, and of messages of 1 MiB; on every engine, and on those that this
//! processor was found to be fastest with. Compare engines and counts within one run only. Not a
//! bench of disks.

use std::fmt;

use divan::Bencher;
use divan::counter::BytesCount;
use pigeon::base::digest::{self, Engine};

const BLOCK: usize = 16 * 1024;
const BLOCKS_OF_PIECE: usize = 64;
/// Out of the caches near a core.
const PIECES: usize = 64;
/// Messages that wait together.
const COUNTS: [usize; 6] = [16, 8, 4, 3, 2, 1];
/// A stride that shares no factor with the number of blocks, so that neighbours of a piece
/// are far apart in memory.
const STRIDE: usize = 389;

/// Messages on one engine, or on those chosen for so many.
struct Case {
    engine: Option<Engine>,
    count: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.engine.map_or("chosen", Engine::name), self.count)
    }
}

fn main() {
    let names: Vec<_> = Engine::available().into_iter().map(Engine::name).collect();
    println!("engines of this machine: {}", names.join(", "));
    println!("chosen for sha-1:   {}", digest::sha1_plan());
    println!("chosen for sha-256: {}", digest::sha256_plan());
    divan::main();
}

fn cases(counts: &[usize]) -> Vec<Case> {
    let engines = Engine::available().into_iter().map(Some).chain([None]);
    let cases = |engine| counts.iter().map(move |count| Case { engine, count: *count });
    engines.flat_map(cases).collect()
}

/// Blocks of all pieces, each an allocation of its own.
fn blocks() -> Vec<Vec<u8>> {
    let byte = |block: usize, at: usize| (block * 31 + at * 167 + at / 251) as u8;
    (0..PIECES * BLOCKS_OF_PIECE).map(|b| (0..BLOCK).map(|at| byte(b, at)).collect()).collect()
}

fn pieces(blocks: &[Vec<u8>], count: usize) -> Vec<Vec<&[u8]>> {
    let block = |at: usize| &blocks[at * STRIDE % blocks.len()][..];
    let piece = |p: usize| (0..BLOCKS_OF_PIECE).map(|b| block(p * BLOCKS_OF_PIECE + b)).collect();
    (0..count).map(piece).collect()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 167 + at / 251) as u8).collect()
}

#[divan::bench]
fn sha1(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let pieces = pieces(&blocks, 1);
    bencher
        .counter(BytesCount::new(BLOCKS_OF_PIECE * BLOCK))
        .bench(|| digest::sha1(divan::black_box(&pieces[0])));
}

/// Another run of pieces each time.
#[divan::bench(args = cases(&COUNTS))]
fn sha1_many(bencher: Bencher<'_, '_>, case: &Case) {
    let blocks = blocks();
    let pieces = pieces(&blocks, PIECES);
    let mut runs = pieces.chunks_exact(case.count).cycle();
    let bencher = bencher.counter(BytesCount::new(case.count * BLOCKS_OF_PIECE * BLOCK));
    bencher.bench_local(|| {
        let run = divan::black_box(runs.next().expect("endless"));
        match case.engine {
            Some(engine) => digest::sha1_many_with(engine, run),
            None => digest::sha1_many(run),
        }
    });
}

#[divan::bench]
fn sha256(bencher: Bencher<'_, '_>) {
    let message = bytes(BLOCKS_OF_PIECE * BLOCK);
    bencher
        .counter(BytesCount::new(message.len()))
        .bench(|| digest::sha256(&[divan::black_box(&message)]));
}

#[divan::bench(args = cases(&[256]))]
fn sha256_leaves(bencher: Bencher<'_, '_>, case: &Case) {
    sha256_many(bencher, case, BLOCK);
}

#[divan::bench(args = cases(&COUNTS))]
fn sha256_mib(bencher: Bencher<'_, '_>, case: &Case) {
    sha256_many(bencher, case, BLOCKS_OF_PIECE * BLOCK);
}

/// Another run of messages each time.
fn sha256_many(bencher: Bencher<'_, '_>, case: &Case, len: usize) {
    let data = bytes(PIECES * BLOCKS_OF_PIECE * BLOCK);
    let messages: Vec<&[u8]> = data.chunks(len).collect();
    let mut runs = messages.chunks_exact(case.count).cycle();
    bencher.counter(BytesCount::new(case.count * len)).bench_local(|| {
        let run = divan::black_box(runs.next().expect("endless"));
        match case.engine {
            Some(engine) => digest::sha256_many_with(engine, run),
            None => digest::sha256_many(run),
        }
    });
}

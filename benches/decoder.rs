//! How fast bytes become messages: data in reads of 256 KiB, floods of small messages, and
//! the worst portions of one byte.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pigeon::base::pool::{Block, BlockPool};
use pigeon::base::units::BLOCK_LEN;
use pigeon::wire::{Decoder, Message};

const READ_LEN: usize = 256 * 1024;
const READ_BLOCKS: usize = 17;

fn main() {
    divan::main();
}

/// `count` whole blocks as `piece` messages.
fn pieces(count: u32) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..count {
        stream.extend_from_slice(&(9 + BLOCK_LEN as u32).to_be_bytes());
        stream.push(7);
        stream.extend_from_slice(&(number / 16).to_be_bytes());
        stream.extend_from_slice(&(number % 16 * BLOCK_LEN as u32).to_be_bytes());
        stream.extend(std::iter::repeat_n(number as u8, BLOCK_LEN));
    }
    stream
}

/// Decodes as a link does: blocks from the pool before each portion, the rest back after it.
fn decode(stream: &[u8], portion: usize, pool: &BlockPool) {
    let mut decoder = Decoder::new(1_000);
    let mut blocks: Vec<Block> = Vec::new();
    let mut messages: Vec<Message> = Vec::new();
    for read in stream.chunks(portion) {
        pool.take(READ_BLOCKS - blocks.len(), &mut blocks);
        let used = decoder.feed(read, &mut blocks, &mut messages).expect("a good stream");
        assert_eq!(used, read.len());
        // What the torrent holds for a while comes back in batches.
        pool.give_back(messages.drain(..).filter_map(|message| match black_box(message) {
            Message::Piece { data, .. } => Some(data),
            _ => None,
        }));
    }
}

#[divan::bench]
fn pieces_in_reads_of_256_kib(bencher: Bencher<'_, '_>) {
    let (stream, pool) = (pieces(1024), BlockPool::new(64 * BLOCK_LEN));
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| decode(black_box(&stream), READ_LEN, &pool));
}

#[divan::bench]
fn haves_in_reads_of_256_kib(bencher: Bencher<'_, '_>) {
    let (stream, pool) =
        (b"\0\0\0\x05\x04\0\0\0\x07".repeat(100_000), BlockPool::new(READ_LEN * 2));
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| decode(black_box(&stream), READ_LEN, &pool));
}

#[divan::bench]
fn pieces_byte_by_byte(bencher: Bencher<'_, '_>) {
    let (stream, pool) = (pieces(16), BlockPool::new(64 * BLOCK_LEN));
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| decode(black_box(&stream), 1, &pool));
}

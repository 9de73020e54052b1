//! How fast bytes become messages: data in reads of 256 KiB, floods of small messages, and
//! the worst portions of one byte; and a whole link that receives over loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::Layout;
use pigeon::base::pool::{Block, BlockPool};
use pigeon::base::units::BLOCK_LEN;
use pigeon::link::{LinkConfig, LinkNews, LinkTimeouts, Secrecy, Subject, dial};
use pigeon::net::limiter::Limiter;
use pigeon::swarm::link::LinkEvent;
use pigeon::wire::mse::{Encryption, Ways};
use pigeon::wire::{Decoder, Extensions, Handshake, Message};
use tokio::sync::mpsc;

use pigeon::net::egress::Egress;

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
    let mut decoder = Decoder::new(Some(1_000));
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

/// A thread that sends `stream` `times` over to whoever dials, after a handshake.
fn sender(stream: Arc<Vec<u8>>, times: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a dial");
        let mut theirs = [0; 68];
        socket.read_exact(&mut theirs).expect("a handshake");
        let ours = Handshake {
            extensions: Extensions::OURS,
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        socket.write_all(&ours.encode()).expect("a listener");
        for _ in 0..times {
            socket.write_all(&stream).expect("a listener");
        }
    });
    address
}

/// 1 GiB over one link on a runtime of one thread; blocks are dropped when reported. The
/// sender takes the other core.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn link_over_loopback(bencher: Bencher<'_, '_>) {
    const TIMES: usize = 64;
    let stream = Arc::new(pieces(1024));
    let config = Arc::new(LinkConfig {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([3; 20]),
        subject: Subject::with_layout(
            Layout::new(1 << 30, 16 * BLOCK_LEN as u32).expect("a small torrent"),
        ),
        exchanges_peers: false,
        pool: BlockPool::new(2560 * BLOCK_LEN),
        limiter: Arc::new(Limiter::new(None)),
        up_limiter: Arc::new(Limiter::new(None)),
        ports: None,
        dht: None,
        egress: Egress::default(),
        secrecy: Secrecy::new(Encryption::Off),
        timeouts: LinkTimeouts::default(),
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    bencher.counter(BytesCount::new(stream.len() * TIMES)).bench_local(|| {
        let address = sender(stream.clone(), TIMES);
        runtime.block_on(async {
            let (reports, mut received) = mpsc::channel(16);
            let _handle = dial(config.clone(), LinkId(1), address, Ways::default(), reports);
            let (mut blocks, mut batches) = (0, 0);
            while let Some(report) = received.recv().await {
                let LinkNews::Events(events) = report.news else { continue };
                batches += 1;
                for event in events {
                    if let LinkEvent::Blocks(batch) = event {
                        blocks += batch.len();
                        config.pool.give_back(batch.into_iter().map(|(_, block)| block));
                    }
                }
            }
            assert_eq!(blocks, 1024 * TIMES);
            black_box(batches);
        });
    });
}

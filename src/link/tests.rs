//! A link against hand-written bytes, over a pipe in memory and a paused clock: each rule
//! that a peer can see, byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::*;
use crate::base::bitfield::Bitfield;
use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::base::layout::Layout;
use crate::base::pool::{BlockPool, CARRY_BYTES};
use crate::base::units::BLOCK_LEN;
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::net::portmap::OwnPorts;
use crate::swarm::event::DownReason;
use crate::swarm::link::{
    Ask, Availability, CloseReason, ExtendedCommand, LinkCaps, LinkCommand, LinkEvent, PeerCommand,
};
use crate::wire::mse::Encryption;

mod early;
mod hidden;
mod sending;

const HASH: InfoHash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");
const PIECES: u32 = 10;
/// `19`, the name, bits for extended and fast, the hash, the id.
const HELLO_ALL: &[u8; 68] = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04\
    aaaaaaaaaaaaaaaaaaaa-XX0100-bbbbbbbbbbbb";
const HELLO_PLAIN: &[u8; 68] = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0\
    aaaaaaaaaaaaaaaaaaaa-BC0100-bbbbbbbbbbbb";
const OURS: &[u8; 68] = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04\
    aaaaaaaaaaaaaaaaaaaa-PN0100-000000000000";
/// Our extension handshake to a peer that dialled us from 127.0.0.1.
const INTRODUCTION: &[u8] =
    b"\0\0\0\x45\x14\0d1:md11:ut_metadatai2ee4:reqqi500e1:v12:Pigeon 0.1.06:yourip4:\x7f\0\0\x01e";

impl LinkConfig {
    fn layout(&self) -> Layout {
        self.subject.known().unwrap().layout
    }
}

fn config(pool_blocks: usize) -> LinkConfig {
    LinkConfig {
        info_hash: HASH,
        peer_id: PeerId(*b"-PN0100-000000000000"),
        subject: Subject::with_layout(Layout::new(u64::from(PIECES) * 32_768, 32_768).unwrap()),
        exchanges_peers: false,
        pool: BlockPool::new(pool_blocks * BLOCK_LEN),
        limiter: Arc::new(Limiter::new(None)),
        up_limiter: Arc::new(Limiter::new(None)),
        ports: Some(OwnPorts::fixed(6881, 6881)),
        dht: None,
        egress: Egress::default(),
        secrecy: Secrecy::new(Encryption::Off),
        timeouts: LinkTimeouts::default(),
    }
}

/// A link that was accepted, and the peer's end of its connection.
struct Bench {
    peer: DuplexStream,
    handle: LinkHandle,
    reports: mpsc::Receiver<LinkReport>,
    config: Arc<LinkConfig>,
}

impl Bench {
    /// The peer has sent `hello`; the link has answered and reported `Up`.
    async fn up(config: LinkConfig, hello: &[u8; 68]) -> (Self, LinkCaps) {
        let mut bench = Self::begin(config, hello, 64 * 1024).await;
        let mut answer = [0; 68];
        bench.peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, OURS);
        let LinkNews::Up { peer_id, caps, address } = bench.news().await else { panic!("not up") };
        assert_eq!(peer_id.0, hello[48..]);
        assert_eq!(address.port(), 5);
        (bench, caps)
    }

    async fn begin(config: LinkConfig, hello: &[u8], pipe_len: usize) -> Self {
        let (mut peer, ours) = tokio::io::duplex(pipe_len);
        peer.write_all(hello).await.unwrap();
        let (sender, reports) = mpsc::channel(8);
        let config = Arc::new(config);
        let (hello, stream) =
            read_hello(ours.into(), Duration::from_secs(10), &Door::plain()).await.unwrap();
        assert_eq!(hello.info_hash, HASH);
        let address = SocketAddr::from(([127, 0, 0, 1], 5));
        let handle = accept(config.clone(), LinkId(1), address, stream, hello, sender);
        Self { peer, handle, reports, config }
    }

    async fn news(&mut self) -> LinkNews {
        let report = self.reports.recv().await.expect("a link says that it ends");
        assert_eq!(report.link, LinkId(1));
        report.news
    }

    async fn events(&mut self) -> Vec<LinkEvent> {
        match self.news().await {
            LinkNews::Events(events) => events,
            other => panic!("{other:?}"),
        }
    }

    async fn down(&mut self) -> DownReason {
        loop {
            match self.news().await {
                LinkNews::Down(reason) => return reason,
                LinkNews::Events(_) => {}
                up => panic!("{up:?}"),
            }
        }
    }

    async fn order(&self, commands: Vec<LinkCommand>) {
        self.handle.commands.send(commands).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        self.peer.read_exact(&mut read).await.unwrap();
        assert_eq!(read, bytes);
    }

    fn piece(&self, number: u32) -> crate::base::layout::PieceIndex {
        self.config.layout().piece(number).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn caps_follow_the_bits_of_both() {
    let (_, caps) = Bench::up(config(32), HELLO_ALL).await;
    assert!(caps.fast && caps.extended && caps.chokes && caps.can_upload_to);
    assert_eq!(caps.pipeline_max, 250);
    let (_, caps) = Bench::up(config(32), HELLO_PLAIN).await;
    assert!(!caps.fast && !caps.extended);
    assert_eq!(caps.pipeline_max, 50);
}

#[tokio::test(start_paused = true)]
async fn our_pieces_come_first_and_then_the_introduction() {
    let mut some = Bitfield::none(PIECES);
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    some.insert(bench.piece(0));
    some.insert(bench.piece(9));
    let cases: [(Availability, &[u8]); 3] = [
        (Availability::All, b"\0\0\0\x01\x0e"),
        (Availability::None, b"\0\0\0\x01\x0f"),
        (Availability::Some(some.clone()), b"\0\0\0\x03\x05\x80\x40"),
    ];
    for (availability, bytes) in cases {
        let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
        bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(availability))]).await;
        bench.expect(bytes).await;
        bench.expect(INTRODUCTION).await;
    }
    bench.order(vec![LinkCommand::Peer(PeerCommand::Availability(Availability::None))]).await;
    bench.expect(b"\0\0\0\x01\x0f").await;
}

// BEP 21: "A peer that is a partial seed SHOULD include an extra header in the extension
// handshake"; BEP 10: subsequent handshakes are additive.
#[tokio::test(start_paused = true)]
async fn a_partial_seed_says_so_with_its_introduction_and_takes_it_back() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let pieces = LinkCommand::Peer(PeerCommand::Availability(Availability::None));
    bench
        .order(vec![
            LinkCommand::Peer(PeerCommand::Extended(ExtendedCommand::UploadOnly(true))),
            pieces,
        ])
        .await;
    bench.expect(b"\0\0\0\x01\x0f").await;
    bench
        .expect(
            b"\0\0\0\x56\x14\0d1:md11:ut_metadatai2ee4:reqqi500e11:upload_onlyi1e\
            1:v12:Pigeon 0.1.06:yourip4:\
            \x7f\0\0\x01e",
        )
        .await;
    bench
        .order(vec![LinkCommand::Peer(PeerCommand::Extended(ExtendedCommand::UploadOnly(false)))])
        .await;
    bench.expect(b"\0\0\0\x2b\x14\0d1:md11:ut_metadatai2ee11:upload_onlyi0ee").await;
    // Without the extension protocol there is no word for it.
    let (_, caps) = Bench::up(config(32), HELLO_PLAIN).await;
    assert!(!caps.allow(&ExtendedCommand::UploadOnly(true).into()));
}

#[tokio::test(start_paused = true)]
async fn peers_without_extensions_get_plain_messages() {
    let (mut bench, _) = Bench::up(config(32), HELLO_PLAIN).await;
    let ask = Ask { piece: bench.piece(0), begin: 0, len: 1 };
    bench
        .order(vec![
            LinkCommand::Peer(PeerCommand::Availability(Availability::All)),
            LinkCommand::Peer(PeerCommand::Refuse(ask)),
            LinkCommand::Peer(PeerCommand::Unchoke),
        ])
        .await;
    bench.expect(b"\0\0\0\x03\x05\xFF\xC0\0\0\0\x01\x01").await;
    let (mut bench, _) = Bench::up(config(32), HELLO_PLAIN).await;
    bench
        .order(vec![
            LinkCommand::Peer(PeerCommand::Availability(Availability::None)),
            LinkCommand::Peer(PeerCommand::Interested),
        ])
        .await;
    bench.expect(b"\0\0\0\x01\x02").await;
}

#[tokio::test(start_paused = true)]
async fn every_order_byte_by_byte() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let layout = bench.config.layout();
    let blocks: Vec<_> = layout.blocks(bench.piece(3)).collect();
    let ask = Ask { piece: bench.piece(2), begin: 1, len: 5 };
    bench
        .order(vec![
            LinkCommand::Peer(PeerCommand::Interested),
            LinkCommand::Request(blocks.clone()),
            LinkCommand::Cancel(vec![blocks[1]]),
            LinkCommand::Peer(PeerCommand::Have([bench.piece(4), bench.piece(5)].into())),
            LinkCommand::Peer(PeerCommand::Refuse(ask)),
            LinkCommand::Peer(PeerCommand::Unchoke),
            LinkCommand::Peer(PeerCommand::Choke),
            LinkCommand::Peer(PeerCommand::NotInterested),
        ])
        .await;
    bench
        .expect(
            b"\0\0\0\x01\x02\
            \0\0\0\x0d\x06\0\0\0\x03\0\0\0\0\0\0\x40\0\0\0\0\x0d\x06\0\0\0\x03\0\0\x40\0\0\0\x40\0\
            \0\0\0\x0d\x08\0\0\0\x03\0\0\x40\0\0\0\x40\0\
            \0\0\0\x05\x04\0\0\0\x04\0\0\0\x05\x04\0\0\0\x05\
            \0\0\0\x0d\x10\0\0\0\x02\0\0\0\x01\0\0\0\x05\
            \0\0\0\x01\x01\0\0\0\x01\0\0\0\0\x01\x03",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn first_messages_are_taken_in_either_order() {
    let extended: &[u8] = b"\0\0\0\x0f\x14\0d4:reqqi9ee";
    let extended = [&[0, 0, 0, extended.len() as u8 - 4], &extended[4..]].concat();
    for bytes in
        [[&extended[..], b"\0\0\0\x01\x0e"].concat(), [b"\0\0\0\x01\x0e", &extended[..]].concat()]
    {
        let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
        bench.peer.write_all(&bytes).await.unwrap();
        let mut shown: Vec<String> =
            bench.events().await.iter().map(|event| format!("{event:?}")).collect();
        shown.sort();
        assert_eq!(shown[0], "Availability(All)");
        assert!(shown[1].contains("pipeline_max: Some(9)"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_read_is_one_report_with_the_data_in_it() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let mut bytes = b"\0\0\0\x01\x01".to_vec();
    for begin in [0u8, 0x40] {
        bytes.extend_from_slice(&[0, 0, 0x40, 9, 7, 0, 0, 0, 1, 0, 0, begin, 0]);
        bytes.extend_from_slice(&[begin + 1; BLOCK_LEN]);
    }
    bench.peer.write_all(&bytes).await.unwrap();
    let events = bench.events().await;
    let [LinkEvent::Unchoked, LinkEvent::Blocks(blocks)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[1].0.begin(), 0x4000);
    assert_eq!(blocks[1].1.bytes(), [0x41; BLOCK_LEN]);
    // Blocks that were not needed are back.
    assert_eq!(bench.config.pool.in_use_blocks(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_stops_reading_until_a_block_returns() {
    let (mut bench, _) = Bench::up(config(1), HELLO_ALL).await;
    let mut held = Vec::new();
    bench.config.pool.take(1, &mut held);
    // What carries no data needs no block; what stands behind data waits with it.
    bench.peer.write_all(b"\0\0\0\x01\x01\0\0\0\x05\x04\0\0\0\x02").await.unwrap();
    assert!(matches!(bench.events().await[0], LinkEvent::Unchoked));
    bench.peer.write_all(&framed(1, 0)).await.unwrap();
    bench.peer.write_all(b"\0\0\0\x01\0").await.unwrap();
    // Longer than the idle timeout: it is not the peer that is late.
    let waited = tokio::time::timeout(Duration::from_secs(300), bench.news()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert!(bench.config.pool.is_starved());
    held.clear();
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        kinds.extend(bench.events().await.iter().map(|it| matches!(it, LinkEvent::Blocks(_))));
    }
    assert_eq!(kinds, [true, false]);
    assert!(!bench.config.pool.is_starved());
}

/// A whole `piece` message.
fn framed(piece: u8, begin: u16) -> Vec<u8> {
    let [high, low] = begin.to_be_bytes();
    let mut bytes = vec![0, 0, 0x40, 9, 7, 0, 0, 0, piece, 0, 0, high, low];
    bytes.extend_from_slice(&[piece; BLOCK_LEN]);
    bytes
}

#[tokio::test(start_paused = true)]
async fn links_in_the_middle_of_a_block_finish_it_with_the_pool_empty() {
    let shared = config(2);
    let (mut first, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let (mut second, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let (mut third, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let data = framed(1, 0);
    for bench in [&mut first, &mut second, &mut third] {
        bench.peer.write_all(&data[..1_000]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    assert!(shared.pool.is_starved());
    for bench in [&mut first, &mut second] {
        bench.peer.write_all(&data[1_000..]).await.unwrap();
        assert!(matches!(bench.events().await[..], [LinkEvent::Blocks(_)]));
    }
    third.peer.write_all(&data[1_000..]).await.unwrap();
    assert!(matches!(third.events().await[..], [LinkEvent::Blocks(_)]));
    assert_eq!(shared.pool.in_use_blocks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_drips_is_given_up_when_others_wait_for_one() {
    let shared = config(1);
    let (mut slow, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    slow.peer.write_all(&framed(1, 0)[..100]).await.unwrap();
    for _ in 0..120 {
        slow.peer.write_all(&[1]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let (mut other, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    other.peer.write_all(&framed(2, 0)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    slow.peer.write_all(&[1]).await.unwrap();
    assert_eq!(slow.down().await, DownReason::TimedOut("it took too long to send a block"));
    assert!(matches!(other.events().await[..], [LinkEvent::Blocks(_)]));
}

/// Pieces for which a set has 20,000 bytes.
fn many_pieces(message_bytes: usize) -> LinkConfig {
    let config = config(32);
    let pool = config.pool.with_message_bytes(message_bytes);
    LinkConfig {
        subject: Subject::with_layout(Layout::new(160_000 * 16_384, 16_384).unwrap()),
        pool,
        ..config
    }
}

/// A set of 160,000 pieces.
fn long_set() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x4E, 0x21, 5];
    bytes.extend_from_slice(&[0x55; 20_000]);
    bytes
}

#[tokio::test(start_paused = true)]
async fn long_messages_wait_for_room_and_hold_it_until_they_are_taken() {
    let shared = many_pieces(30_000);
    let pool = &shared.pool;
    let (mut first, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let (mut second, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let (mut third, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    first.peer.write_all(&long_set()[..100]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pool.collected_bytes(), 20_000);
    second.peer.write_all(&long_set()).await.unwrap();
    third.peer.write_all(&long_set()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(20), second.news()).await;
    assert!(waited.is_err(), "{waited:?}");
    first.peer.write_all(&long_set()[100..]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // It lies in the channel, and counts until somebody takes it.
    let waited = tokio::time::timeout(Duration::from_secs(20), second.news()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert!(matches!(first.events().await[..], [LinkEvent::Availability(_)]));
    assert!(matches!(second.events().await[..], [LinkEvent::Availability(_)]));
    assert!(matches!(third.events().await[..], [LinkEvent::Availability(_)]));
    assert_eq!((pool.collected_bytes(), pool.carried_bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_there_is_room_is_bounded_and_not_lost() {
    let shared = many_pieces(30_000);
    let pool = &shared.pool;
    let (mut first, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    first.peer.write_all(&long_set()[..100]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let mut others = Vec::new();
    for _ in 0..10 {
        let (mut bench, _) = Bench::up(shared.clone(), HELLO_ALL).await;
        bench.peer.write_all(&long_set()).await.unwrap();
        bench.peer.write_all(&b"\0\0\0\x01\x01".repeat(8_000)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        others.push(bench);
    }
    let carried = pool.carried_bytes();
    assert!((CARRY_BYTES..CARRY_BYTES + 64 * 1024).contains(&carried), "{carried}");
    first.peer.write_all(&long_set()[100..]).await.unwrap();
    assert!(matches!(first.events().await[..], [LinkEvent::Availability(_)]));
    for mut bench in others {
        let mut events = bench.events().await;
        while events.len() < 8_001 {
            events.extend(bench.events().await);
        }
        assert!(matches!(events[0], LinkEvent::Availability(_)));
    }
    assert_eq!((pool.collected_bytes(), pool.carried_bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn short_blocks_among_long_ones_arrive_through_a_pool_of_one() {
    let layout = Layout::new(10 * 16_484, 16_484).unwrap();
    let base = config(1);
    let pool = base.pool.clone().with_message_bytes(1_000);
    let (mut bench, _) =
        Bench::up(LinkConfig { subject: Subject::with_layout(layout), pool, ..base }, HELLO_ALL)
            .await;
    let mut bytes = Vec::new();
    for piece in 0..3 {
        bytes.extend_from_slice(&[0, 0, 0, 109, 7, 0, 0, 0, piece, 0, 0, 0x40, 0]);
        bytes.extend_from_slice(&[piece; 100]);
        bytes.extend_from_slice(&framed(piece, 0));
    }
    bench.peer.write_all(&bytes).await.unwrap();
    let mut lens = Vec::new();
    while lens.len() < 6 {
        for event in bench.events().await {
            let LinkEvent::Blocks(blocks) = event else { panic!("{event:?}") };
            lens.extend(
                blocks.iter().map(|(block, data)| (block.piece().number(), data.len_bytes())),
            );
        }
    }
    assert_eq!(lens, [0, 1, 2].map(|piece| [(piece, 100), (piece, BLOCK_LEN)]).concat());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_drips_gives_its_room_to_others() {
    let shared = many_pieces(30_000);
    let (mut slow, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    let (mut other, _) = Bench::up(shared.clone(), HELLO_ALL).await;
    slow.peer.write_all(&long_set()[..100]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    other.peer.write_all(&long_set()).await.unwrap();
    for _ in 0..60 {
        slow.peer.write_all(&[0x55]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(slow.down().await, DownReason::TimedOut("it took too long to send a message"));
    assert!(matches!(other.events().await[..], [LinkEvent::Availability(_)]));
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_finishes_are_bounded_together() {
    let shared = many_pieces(100_000);
    let mut links = Vec::new();
    for _ in 0..50 {
        let (mut bench, _) = Bench::up(shared.clone(), HELLO_ALL).await;
        bench.peer.write_all(b"\0\0\x80\x01\x14\x01unfinished").await.unwrap();
        links.push(bench);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.pool.collected_bytes(), 3 * 32_767);
    links.drain(..3);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.pool.collected_bytes(), 3 * 32_767);
    links.clear();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.pool.collected_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn small_data_in_a_small_pool_arrives_whole() {
    let layout = Layout::new(100, 1).unwrap();
    let (mut bench, _) =
        Bench::up(LinkConfig { subject: Subject::with_layout(layout), ..config(3) }, HELLO_ALL)
            .await;
    for piece in 0..100 {
        bench.peer.write_all(&[0, 0, 0, 10, 7, 0, 0, 0, piece, 0, 0, 0, 0, piece]).await.unwrap();
    }
    let mut next = 0;
    while next < 100 {
        for event in bench.events().await {
            let LinkEvent::Blocks(blocks) = event else { panic!("{event:?}") };
            for (block, data) in blocks {
                assert_eq!(block.piece().number(), next);
                assert_eq!(data.bytes(), [next as u8]);
                next += 1;
            }
        }
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.config.pool.in_use_blocks(), 0);
}

#[tokio::test(start_paused = true)]
async fn orders_pass_while_nobody_takes_reports() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    for _ in 0..100 {
        bench.peer.write_all(b"\0\0\0\x01\x01").await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    bench.order(vec![LinkCommand::Peer(PeerCommand::Interested)]).await;
    bench.expect(b"\0\0\0\x01\x02").await;
    let mut unchokes = 0;
    while unchokes < 100 {
        unchokes += bench.events().await.len();
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_holds() {
    let limiter = Arc::new(Limiter::new(Some(10_000)));
    let (mut bench, _) = Bench::up(LinkConfig { limiter, ..config(32) }, HELLO_ALL).await;
    let begin = Instant::now();
    bench.peer.write_all(&b"\0\0\0\x01\x01".repeat(10_000)).await.unwrap();
    let mut unchokes = 0;
    while unchokes < 10_000 {
        unchokes += bench.events().await.len();
    }
    let took = begin.elapsed().as_secs_f64();
    assert!((4.7..5.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_answered_with_keep_alives_and_then_the_end() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let begin = Instant::now();
    bench.expect(b"\0\0\0\0").await;
    assert_eq!(begin.elapsed().as_secs(), 90);
    // A keep-alive counts as a sign of life.
    bench.peer.write_all(b"\0\0\0\0").await.unwrap();
    bench.expect(b"\0\0\0\0").await;
    assert_eq!(begin.elapsed().as_secs(), 180);
    assert_eq!(bench.down().await, DownReason::TimedOut("it was silent for too long"));
    assert_eq!(begin.elapsed().as_secs(), 210);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_dropped() {
    // The pipe holds less than the orders.
    let mut bench = Bench::begin(config(32), HELLO_ALL, 100).await;
    let mut answer = [0; 68];
    bench.peer.read_exact(&mut answer).await.unwrap();
    bench.news().await;
    let pieces = vec![bench.piece(1); 50];
    let begin = Instant::now();
    bench.order(vec![LinkCommand::Peer(PeerCommand::Have(pieces.into()))]).await;
    // It speaks, but it does not listen.
    let Bench { peer, mut reports, handle: _handle, .. } = bench;
    let (_listening, mut speaking) = tokio::io::split(peer);
    tokio::spawn(async move {
        while speaking.write_all(b"\0\0\0\0").await.is_ok() {
            sleep(Duration::from_secs(30)).await;
        }
    });
    let report = reports.recv().await.unwrap();
    let LinkNews::Down(reason) = report.news else { panic!("{report:?}") };
    assert_eq!(reason, DownReason::TimedOut("it does not read what we send"));
    assert!((118..=122).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_megabyte_waits_for_a_peer() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let pieces = vec![bench.piece(1); 150_000];
    bench.order(vec![LinkCommand::Peer(PeerCommand::Have(pieces.into()))]).await;
    assert!(matches!(bench.down().await, DownReason::Violated(what) if what.contains("not read")));
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_with_their_reason() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    bench.order(vec![LinkCommand::Close(CloseReason::Duplicate)]).await;
    assert_eq!(bench.down().await, DownReason::Closed(CloseReason::Duplicate));

    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    bench.peer.shutdown().await.unwrap();
    assert_eq!(bench.down().await, DownReason::Lost("it closed the connection".to_owned()));

    // What came before the offence still counts.
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    bench.peer.write_all(b"\0\0\0\x01\x01\0\0\0\x05\x04\0\0\0\x0a").await.unwrap();
    assert!(matches!(bench.events().await[..], [LinkEvent::Unchoked]));
    let DownReason::Violated(what) = bench.down().await else { panic!("not violated") };
    assert_eq!(what, "it named piece 10, which does not exist");

    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    bench.peer.write_all(b"\xFF\xFF\xFF\xFF").await.unwrap();
    assert!(matches!(bench.down().await, DownReason::Violated(what) if what.contains("allowed")));

    let (bench, _) = Bench::up(config(32), HELLO_ALL).await;
    let Bench { handle, mut reports, peer: _peer, .. } = bench;
    drop(handle);
    let down = reports.recv().await.unwrap().news;
    assert!(matches!(down, LinkNews::Down(DownReason::Closed(CloseReason::Stopping))));
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_never_comes_or_is_none() {
    let timeout = Duration::from_secs(10);
    let (mut peer, ours) = tokio::io::duplex(100);
    peer.write_all(&HELLO_ALL[..47]).await.unwrap();
    let begin = Instant::now();
    assert!(matches!(read_hello(ours.into(), timeout, &Door::plain()).await, Err(Error::Silent)));
    assert_eq!(begin.elapsed().as_secs(), 10);
    let (mut peer, ours) = tokio::io::duplex(100);
    peer.write_all(&[b'G'; 48]).await.unwrap();
    let error = read_hello(ours.into(), timeout, &Door::plain()).await.unwrap_err();
    assert!(error.to_string().contains("does not speak BitTorrent"));
    let (peer, ours) = tokio::io::duplex(100);
    drop(peer);
    assert!(matches!(read_hello(ours.into(), timeout, &Door::plain()).await, Err(Error::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn the_peer_id_must_follow_and_closing_does_not_wait_for_it() {
    let mut bench = Bench::begin(config(32), &HELLO_ALL[..60], 1000).await;
    bench.expect(OURS).await;
    let begin = Instant::now();
    assert_eq!(
        bench.down().await,
        DownReason::HandshakeFailed("it sent no handshake in time".to_owned())
    );
    assert_eq!(begin.elapsed().as_secs(), 10);
    let mut bench = Bench::begin(config(32), &HELLO_ALL[..60], 1000).await;
    bench.order(vec![LinkCommand::Close(CloseReason::Replaced)]).await;
    assert_eq!(bench.down().await, DownReason::Closed(CloseReason::Replaced));
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_the_link() {
    let (mut bench, _) = Bench::up(config(32), HELLO_ALL).await;
    // The link goes away before it took all of this.
    let _ = bench.peer.write_all(&[0; 4 * 40_000]).await;
    assert_eq!(bench.down().await, DownReason::Violated("it flooded us with messages".to_owned()));
}

//! A link to a course provider against hand-written bytes, over a pipe in memory and a paused
//! clock; and its dialect alone, fed in every way that a network cuts bytes.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::base::ids::InfoHash;
use crate::base::pool::BlockPool;
use crate::link::{LinkNews, Secrecy, Subject};
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::swarm::link::{CloseReason, ExtendedCommand, LinkCommand, PeerCommand};
use crate::wire::mse::Encryption;

/// No multiple of a block: three blocks a piece, the last of 7234 bytes and two of padding.
const PIECE_LEN: u32 = 40_002;
/// Of the last piece: two blocks.
const LAST_LEN: u32 = 16_390;
const PIECES: u32 = 5;

fn layout() -> Layout {
    Layout::new(u64::from(PIECE_LEN * (PIECES - 1) + LAST_LEN), PIECE_LEN).unwrap()
}

fn config(layout: Layout, pool_blocks: usize) -> LinkConfig {
    LinkConfig {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        subject: Subject::with_layout(layout),
        exchanges_peers: false,
        pool: BlockPool::new(pool_blocks * BLOCK_LEN),
        limiter: Arc::new(Limiter::new(None)),
        up_limiter: Arc::new(Limiter::new(None)),
        ports: None,
        dht: None,
        egress: Egress::default(),
        secrecy: Secrecy::new(Encryption::Off),
        timeouts: LinkTimeouts::default(),
    }
}

fn hash(piece: u32) -> [u8; 20] {
    [0xA0 + piece as u8; 20]
}

fn provider(layout: Layout) -> Arc<Provider> {
    Arc::new(Provider {
        address: SocketAddr::from(([127, 0, 0, 1], 8001)),
        name: "alice".to_owned(),
        pieces: Bitfield::all(layout.piece_count()),
        hashes: (0..layout.piece_count()).map(|piece| ChunkHash(hash(piece))).collect(),
    })
}

fn content(piece: u32, len: u32) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ piece as u8).collect()
}

/// GET_CHUNK: version 1, type 4, 7 dwords, the hash.
fn get(piece: u32) -> Vec<u8> {
    [b"\x01\x04\0\0\0\0\0\x07", &hash(piece)[..]].concat()
}

/// CHUNK, with rubbish where the specification allows any value.
fn chunk(hash: [u8; 20], content: &[u8]) -> Vec<u8> {
    let dwords = (32 + content.len()).div_ceil(4) as u32;
    let padding = &[0xEE; 3][..dwords as usize * 4 - 32 - content.len()];
    let len = (content.len() as u32).to_be_bytes();
    [b"\x01\x05\xAB\xCD", &dwords.to_be_bytes()[..], &hash, &len, content, padding].concat()
}

fn chunk_of(layout: Layout, piece: u32) -> Vec<u8> {
    let len = layout.len_of(layout.piece(piece).unwrap());
    chunk(hash(piece), &content(piece, len))
}

fn error(code: u8) -> Vec<u8> {
    vec![1, 6, 0, 0, 0, 0, 0, 3, 0, code, 0x77, 0x77]
}

fn blocks(layout: Layout, piece: u32) -> Vec<BlockRef> {
    layout.blocks(layout.piece(piece).unwrap()).collect()
}

fn name(block: BlockRef) -> String {
    format!("{}.{}", block.piece().number(), block.number())
}

/// As lines: blocks whose content is right by name, refusals with `no` before it.
fn lines(events: &[LinkEvent]) -> Vec<String> {
    let mut lines = Vec::new();
    for event in events {
        match event {
            LinkEvent::Blocks(blocks) => lines.extend(blocks.iter().map(|(block, data)| {
                let begin = block.begin() as usize;
                let end = begin + block.len_bytes() as usize;
                let right = content(block.piece().number(), end as u32);
                assert!(data.bytes() == &right[begin..], "wrong bytes in {block:?}");
                name(*block)
            })),
            LinkEvent::Refused { block, lasting: true } => {
                lines.push(format!("no {}", name(*block)));
            }
            other => lines.push(format!("{other:?}")),
        }
    }
    lines
}

/// The link, and the provider's end of its connection.
struct Bench {
    peer: DuplexStream,
    handle: LinkHandle,
    reports: mpsc::Receiver<LinkReport>,
    config: Arc<LinkConfig>,
}

impl Bench {
    async fn up(pool_blocks: usize) -> Self {
        let (peer, ours) = tokio::io::duplex(1 << 20);
        let (sender, reports) = mpsc::channel(8);
        let config = Arc::new(config(layout(), pool_blocks));
        let stream = async { Ok(Stream::from(ours)) };
        let provider = provider(layout());
        let handle = converse(config.clone(), LinkId(7), provider, sender, stream);
        let mut bench = Self { peer, handle, reports, config };
        let LinkNews::Up { address, caps, .. } = bench.news().await else { panic!("not up") };
        assert_eq!(address.port(), 8001);
        assert_eq!((caps.unit, caps.chokes, caps.can_upload_to), (Unit::Piece, false, false));
        let LinkNews::Events(greeting) = bench.news().await else { panic!("no greeting") };
        let [LinkEvent::Described(who), LinkEvent::Availability(what)] = &greeting[..] else {
            panic!("{greeting:?}")
        };
        assert_eq!(who.client.as_deref(), Some("alice"));
        assert_eq!(*what, Availability::Some(Bitfield::all(PIECES)));
        bench
    }

    async fn news(&mut self) -> LinkNews {
        // The clock is paused: a test that waits for nothing would run for ever.
        let report = timeout(Duration::from_secs(600), self.reports.recv()).await;
        report.expect("news").expect("a link says that it ends").news
    }

    async fn order(&self, command: LinkCommand) {
        self.handle.commands.send(vec![command]).await.unwrap();
    }

    /// Asks for all blocks of these pieces, in one order.
    async fn request(&self, pieces: &[u32]) {
        let all = pieces.iter().flat_map(|piece| blocks(layout(), *piece)).collect();
        self.order(LinkCommand::Request(all)).await;
    }

    async fn cancel(&self, blocks: &[BlockRef]) {
        self.order(LinkCommand::Cancel(blocks.to_vec())).await;
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
    }

    /// The provider reads exactly these bytes next.
    async fn hear(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        let reading = self.peer.read_exact(&mut read);
        timeout(Duration::from_secs(1), reading).await.expect("it asks").unwrap();
        assert_eq!(read, bytes);
    }

    /// The provider gets no byte for a second.
    async fn hear_nothing(&mut self) {
        let mut byte = [0];
        let read = timeout(Duration::from_secs(1), self.peer.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?} {byte:?}");
    }

    /// Lines of events until there are `count`.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            let news = timeout(Duration::from_secs(10), self.news()).await;
            match news.unwrap_or_else(|_| panic!("no news after {told:?}")) {
                LinkNews::Events(events) => told.extend(lines(&events)),
                other => panic!("{other:?} after {told:?}"),
            }
        }
        told
    }

    async fn told_nothing(&mut self) {
        let news = timeout(Duration::from_secs(1), self.reports.recv()).await;
        assert!(news.is_err(), "{news:?}");
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
}

/// "GET_CHUNK: chunk_hash 20 (msg_length 7)"; blocks come in the order of the content, and a
/// last chunk is shorter.
#[tokio::test(start_paused = true)]
async fn a_chunk_is_asked_for_by_its_hash_and_comes_in_blocks() {
    let mut bench = Bench::up(32).await;
    bench.request(&[2]).await;
    bench.hear(&get(2)).await;
    bench.say(&chunk_of(layout(), 2)).await;
    assert_eq!(bench.told(3).await, ["2.0", "2.1", "2.2"]);
    bench.request(&[4]).await;
    bench.hear(&get(4)).await;
    bench.say(&chunk_of(layout(), 4)).await;
    assert_eq!(bench.told(2).await, ["4.0", "4.1"]);
    bench.hear_nothing().await;
    // Reports are read and dropped here: so are their blocks.
    assert_eq!(bench.config.pool.in_use_blocks(), 0);
}

/// Some providers read a request with one `recv`, and would take two for one wrong message.
#[tokio::test(start_paused = true)]
async fn the_next_request_leaves_when_the_head_of_the_answer_has_come() {
    let mut bench = Bench::up(32).await;
    bench.request(&[0, 1]).await;
    bench.request(&[2]).await;
    bench.hear(&get(0)).await;
    bench.hear_nothing().await;
    let answer = chunk_of(layout(), 0);
    bench.say(&answer[..31]).await;
    bench.hear_nothing().await;
    bench.say(&answer[31..32]).await;
    bench.hear(&get(1)).await;
    bench.say(&answer[32..]).await;
    assert_eq!(bench.told(3).await, ["0.0", "0.1", "0.2"]);
    // Two are asked for at most, and the second answer has not begun.
    bench.hear_nothing().await;
    bench.say(&error(2)[..11]).await;
    bench.hear_nothing().await;
    bench.say(&error(2)[11..]).await;
    bench.hear(&get(2)).await;
    assert_eq!(bench.told(3).await, ["no 1.0", "no 1.1", "no 1.2"]);
}

/// CHUNK_NOT_FOUND is an honest answer: the listing was only a claim.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_not_there_is_refused_for_good_and_the_link_goes_on() {
    let mut bench = Bench::up(32).await;
    bench.request(&[0]).await;
    bench.hear(&get(0)).await;
    bench.cancel(&blocks(layout(), 0)[1..2]).await;
    bench.told_nothing().await;
    bench.say(&error(2)).await;
    assert_eq!(bench.told(2).await, ["no 0.0", "no 0.2"]);
    bench.request(&[1]).await;
    bench.hear(&get(1)).await;
    bench.say(&chunk_of(layout(), 1)).await;
    assert_eq!(bench.told(3).await, ["1.0", "1.1", "1.2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_ends_the_link() {
    let other = chunk(hash(3), &content(3, PIECE_LEN));
    let too_large = chunk(hash(0), &vec![0; PIECE_LEN as usize * 2 + 1]);
    let with = |place: usize, byte: u8| {
        let mut bytes = chunk_of(layout(), 0);
        bytes[place] = byte;
        bytes
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("a3a3a3", other),
        ("has 80005 bytes, not 40002", too_large),
        ("version 2", with(0, 2)),
        ("unknown type 7", with(1, 7)),
        ("no answer", with(1, 3)),
        ("no answer", with(1, 4)),
        ("does not fit", with(7, 0xFF)),
        ("does not fit", vec![1, 6, 0, 0, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0]),
    ];
    for (words, bytes) in cases {
        let mut bench = Bench::up(32).await;
        bench.request(&[0]).await;
        bench.hear(&get(0)).await;
        bench.say(&bytes).await;
        let reason = bench.down().await;
        let DownReason::Violated(why) = &reason else { panic!("{reason:?}") };
        assert!(why.contains(words), "{why}");
    }
}

/// Whatever the reason, that chunk does not come; the next one may.
#[tokio::test(start_paused = true)]
async fn every_error_is_about_one_chunk() {
    for code in [0, 1, 2, 9] {
        let mut bench = Bench::up(32).await;
        bench.request(&[0, 1]).await;
        bench.hear(&get(0)).await;
        bench.say(&error(code)).await;
        let expected: Vec<String> =
            blocks(layout(), 0).into_iter().map(|block| format!("no {}", name(block))).collect();
        assert_eq!(bench.told(expected.len()).await, expected, "{code}");
        bench.hear(&get(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_ends_the_link() {
    let mut bench = Bench::up(32).await;
    bench.say(&error(2)).await;
    assert!(matches!(bench.down().await, DownReason::Violated(why) if why.contains("asked for")));

    let mut bench = Bench::up(32).await;
    bench.request(&[0]).await;
    bench.hear(&get(0)).await;
    bench.say(&[chunk_of(layout(), 0), chunk_of(layout(), 0)].concat()).await;
    // What came before the offence still counts.
    assert_eq!(bench.told(3).await, ["0.0", "0.1", "0.2"]);
    assert!(matches!(bench.down().await, DownReason::Violated(why) if why.contains("asked for")));
}

/// Under the hash of the one asked for, but of another size: it cannot be right. The rest of
/// it is skipped, up to twice the size of a piece, and other chunks are taken.
#[tokio::test(start_paused = true)]
async fn a_chunk_of_another_size_is_refused_and_skipped() {
    for len in [0, 1, PIECE_LEN - 1, PIECE_LEN + 3, PIECE_LEN * 2] {
        let mut bench = Bench::up(32).await;
        bench.request(&[0, 1]).await;
        bench.hear(&get(0)).await;
        let wrong = chunk(hash(0), &vec![0xFF; len as usize]);
        bench.say(&wrong[..32]).await;
        assert_eq!(bench.told(3).await, ["no 0.0", "no 0.1", "no 0.2"]);
        if len > 0 {
            bench.hear(&get(1)).await;
        }
        bench.say(&wrong[32..]).await;
        bench.told_nothing().await;
        if len == 0 {
            bench.hear(&get(1)).await;
        }
        bench.say(&chunk_of(layout(), 1)).await;
        assert_eq!(bench.told(3).await, ["1.0", "1.1", "1.2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_blocks_are_skipped_and_take_no_memory() {
    let mut bench = Bench::up(1).await;
    bench.request(&[0, 1, 2]).await;
    bench.hear(&get(0)).await;
    bench.cancel(&blocks(layout(), 0)[..2]).await;
    // Not sent yet: it never is.
    bench.cancel(&blocks(layout(), 1)).await;
    bench.told_nothing().await;
    bench.say(&chunk_of(layout(), 0)).await;
    // With a pool of one block, the two before it cannot have been kept.
    let LinkNews::Events(events) = bench.news().await else { panic!("no events") };
    assert_eq!(lines(&events), ["0.2"]);
    assert_eq!(bench.config.pool.in_use_blocks(), 1);
    drop(events);
    bench.hear(&get(2)).await;
    bench.cancel(&blocks(layout(), 2)).await;
    bench.told_nothing().await;
    bench.say(&chunk_of(layout(), 2)).await;
    bench.told_nothing().await;
    bench.request(&[3]).await;
    bench.hear(&get(3)).await;
}

/// A block that will come anyway is not asked for a second time: the chunk is sent once.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for_again_before_it_came_is_sent_once() {
    let mut bench = Bench::up(32).await;
    bench.request(&[0, 1]).await;
    bench.hear(&get(0)).await;
    let answer = chunk_of(layout(), 0);
    bench.say(&answer[..32 + BLOCK_LEN + 10]).await;
    bench.hear(&get(1)).await;
    assert_eq!(bench.told(1).await, ["0.0"]);
    bench.cancel(&blocks(layout(), 0)[1..]).await;
    bench.cancel(&blocks(layout(), 1)).await;
    bench.told_nothing().await;
    // One that comes, one behind it, and all of a chunk whose request has left; then one
    // that is past, for which the chunk must be asked for anew.
    bench.request(&[1]).await;
    bench.order(LinkCommand::Request(blocks(layout(), 0)[1..].to_vec())).await;
    bench.order(LinkCommand::Request(blocks(layout(), 0)[..1].to_vec())).await;
    bench.told_nothing().await;
    bench.say(&answer[32 + BLOCK_LEN + 10..]).await;
    assert_eq!(bench.told(2).await, ["0.1", "0.2"]);
    bench.say(&chunk_of(layout(), 1)).await;
    bench.hear(&get(0)).await;
    assert_eq!(bench.told(3).await, ["1.0", "1.1", "1.2"]);
    bench.say(&answer).await;
    assert_eq!(bench.told(1).await, ["0.0"]);
    bench.hear_nothing().await;
    bench.told_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_stops_reading_and_nothing_is_lost() {
    // One block more than a chunk begins at a time: whoever reads has one at hand.
    let mut bench = Bench::up(3).await;
    bench.request(&[0, 1]).await;
    bench.hear(&get(0)).await;
    let mut held = Vec::new();
    bench.config.pool.take(3, &mut held);
    bench.say(&chunk_of(layout(), 0)).await;
    // Longer than its patience: it is not the provider that is late.
    let waited = timeout(Duration::from_secs(300), bench.reports.recv()).await;
    assert!(waited.is_err(), "{waited:?}");
    held.truncate(1);
    assert_eq!(bench.told(3).await, ["0.0", "0.1", "0.2"]);
    bench.hear(&get(1)).await;
    held.clear();
    bench.say(&chunk_of(layout(), 1)).await;
    assert_eq!(bench.told(3).await, ["1.0", "1.1", "1.2"]);
}

#[tokio::test(start_paused = true)]
async fn silence_counts_only_while_an_answer_is_owed() {
    let mut bench = Bench::up(32).await;
    bench.request(&[0]).await;
    let begin = Instant::now();
    assert_eq!(bench.down().await, DownReason::TimedOut("it was silent for too long"));
    assert_eq!(begin.elapsed().as_secs(), 30);

    let mut bench = Bench::up(32).await;
    let waited = timeout(Duration::from_secs(3600), bench.reports.recv()).await;
    assert!(waited.is_err(), "{waited:?}");
    bench.request(&[0]).await;
    bench.hear(&get(0)).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    bench.say(&chunk_of(layout(), 0)[..100]).await;
    let begin = Instant::now();
    assert_eq!(bench.down().await, DownReason::TimedOut("it was silent for too long"));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_protocol_has_no_words_for_other_orders() {
    let mut bench = Bench::up(32).await;
    bench.order(LinkCommand::Cancel(blocks(layout(), 0))).await;
    bench.hear_nothing().await;
    bench.order(LinkCommand::Close(CloseReason::BothComplete)).await;
    assert_eq!(bench.down().await, DownReason::Closed(CloseReason::BothComplete));
    let mut alone = Alone::new(layout(), &[]);
    assert!(alone.course.peer().is_none());
    let piece = layout().piece(0).unwrap();
    for command in [
        PeerCommand::Availability(Availability::All),
        PeerCommand::Have([piece].into()),
        PeerCommand::Interested,
        PeerCommand::NotInterested,
        PeerCommand::Unchoke,
        PeerCommand::Choke,
        PeerCommand::AllowFast(vec![piece]),
        PeerCommand::StopExchange,
        PeerCommand::Extended(ExtendedCommand::UploadOnly(true)),
    ] {
        let command = LinkCommand::Peer(command);
        assert!(!alone.course.caps().allow(&command), "{command:?}");
    }
}

/// The dialect alone, with a pool that never runs dry.
struct Alone {
    course: Course,
    pool: BlockPool,
    out: Vec<u8>,
    lines: Vec<String>,
}

impl Alone {
    fn new(layout: Layout, pieces: &[u32]) -> Self {
        let mut course = Course::new(layout, provider(layout));
        let all = pieces.iter().flat_map(|piece| blocks(layout, *piece)).collect();
        let mut out = Vec::new();
        course.request(all, &mut out);
        course.speak(&mut out);
        Self { course, pool: BlockPool::new(64 * BLOCK_LEN), out, lines: Vec::new() }
    }

    /// One read, with as many empty blocks as stated.
    fn read(&mut self, bytes: &[u8], empty: usize) -> Result<usize, String> {
        let (mut blocks, mut events) = (Vec::new(), Vec::new());
        self.pool.take(empty, &mut blocks);
        let used = self.course.feed(bytes, &mut blocks, &mut events);
        self.course.end_read(&mut events);
        self.course.speak(&mut self.out);
        self.lines.extend(lines(&events));
        used
    }

    fn is_done(&self, requests: &[u32], lines: &[&str]) -> bool {
        let sent: Vec<u8> = requests.iter().flat_map(|piece| get(*piece)).collect();
        let is_idle = self.course.sent == 0 && self.course.filling.is_none();
        self.out == sent && self.lines == lines && is_idle && self.pool.in_use_blocks() == 0
    }
}

/// Chunks with 0, 1, 2 and 3 bytes of padding of any value, the answers cut in two at every
/// place, and byte by byte.
#[test]
fn answers_may_be_cut_anywhere() {
    for extra in 1..5 {
        let layout = Layout::new(2 * (BLOCK_LEN as u64 + extra), BLOCK_LEN as u32 + extra as u32);
        let layout = layout.unwrap();
        let answers = [chunk_of(layout, 0), chunk_of(layout, 1)].concat();
        let all = ["0.0", "0.1", "1.0", "1.1"];
        for cut in (0..=answers.len()).filter(|cut| cut % 7 == 0 || cut % 16_384 < 80) {
            let mut alone = Alone::new(layout, &[0, 1]);
            // The second answer cannot come before the head of the first was read.
            let (begun, mut at) = (cut.min(32), 0);
            for end in [begun, cut, cut.max(32), answers.len()] {
                assert_eq!(alone.read(&answers[at..end], 8), Ok(end - at));
                at = end;
            }
            assert!(alone.is_done(&[0, 1], &all), "cut at {cut}: {:?}", alone.lines);
        }
        let mut alone = Alone::new(layout, &[0, 1]);
        answers.iter().for_each(|byte| assert_eq!(alone.read(&[*byte], 1), Ok(1)));
        assert!(alone.is_done(&[0, 1], &all), "byte by byte: {:?}", alone.lines);
    }
}

#[test]
fn without_an_empty_block_it_stops_at_the_content() {
    let answer = chunk_of(layout(), 0);
    let mut alone = Alone::new(layout(), &[0]);
    assert_eq!(alone.read(&answer, 0), Ok(32));
    assert_eq!(alone.read(&answer[32..], 0), Ok(0));
    assert_eq!(alone.course.room(2), 2 * BLOCK_LEN);
    assert_eq!(alone.read(&answer[32..], 1), Ok(BLOCK_LEN));
    assert_eq!(alone.read(&answer[32 + BLOCK_LEN..][..84], 1), Ok(84));
    assert_eq!(alone.course.room(2), 3 * BLOCK_LEN - 84);
    let rest = &answer[32 + BLOCK_LEN + 84..];
    assert_eq!(alone.read(rest, 0), Ok(BLOCK_LEN - 84));
    assert_eq!(alone.read(&rest[BLOCK_LEN - 84..], 1), Ok(7234 + 2));
    assert!(alone.is_done(&[0], &["0.0", "0.1", "0.2"]));
}

proptest! {
    /// Right answers in pieces of any size, with any number of empty blocks at hand.
    #[test]
    fn any_cuts_and_any_memory_give_the_same_blocks(
        cuts in prop::collection::vec((1usize..30_000, 0usize..3), 1..60),
        refused in 0u32..5,
    ) {
        let mut alone = Alone::new(layout(), &[0, 1, 2, 3, 4]);
        let answer = |piece| if piece == refused { error(2) } else { chunk_of(layout(), piece) };
        // What follows a refusal was asked for after it.
        let (before, after): (Vec<u32>, Vec<u32>) = (0..PIECES).partition(|it| *it <= refused);
        let mut cuts = cuts.iter().cycle();
        for pieces in [before, after] {
            let answers: Vec<u8> = pieces.into_iter().flat_map(answer).collect();
            let mut rest = &answers[..];
            while let (Some(first), Some((len, empty))) = (rest.get(..1), cuts.next()) {
                // One byte with memory, so that cuts without any come to an end.
                rest = &rest[alone.read(first, 1).unwrap()..];
                let part = &rest[..rest.len().min(*len)];
                rest = &rest[alone.read(part, *empty).unwrap()..];
            }
        }
        let lines: Vec<String> = (0..PIECES)
            .flat_map(|piece| blocks(layout(), piece))
            .map(|block| match block.piece().number() == refused {
                true => format!("no {}", name(block)),
                false => name(block),
            })
            .collect();
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        // A refusal is told before blocks of the same read.
        let is_refusal = |line: &str| line.starts_with("no");
        alone.lines.sort_by_key(|line| is_refusal(line));
        lines.sort_by_key(|line| is_refusal(line));
        prop_assert!(alone.is_done(&[0, 1, 2, 3, 4], &lines), "{:?}", alone.lines);
    }

    /// Bytes of strangers, with and without a right beginning, end in words at worst.
    #[test]
    fn rubbish_never_panics(
        valid in 0usize..60_000,
        rubbish in prop::collection::vec(any::<u8>(), 0..3000),
        heads in prop::collection::vec((0u8..3, 0u8..8, 0u32..30_000, 0u32..90_000), 0..4),
        order in 0u32..6,
    ) {
        let mut alone = Alone::new(layout(), &[0, 1, 2]);
        let answers = [chunk_of(layout(), 0), error(2)].concat();
        let mut bytes = answers[..valid.min(answers.len())].to_vec();
        for (version, kind, dwords, len) in heads {
            bytes.extend([version, kind, 0, 0]);
            bytes.extend(dwords.to_be_bytes());
            bytes.extend(hash(order));
            bytes.extend(len.to_be_bytes());
        }
        bytes.extend(rubbish);
        let mut events = Vec::new();
        let mut empty = Vec::new();
        for part in bytes.chunks(1777) {
            alone.pool.take(2, &mut empty);
            if alone.course.feed(part, &mut empty, &mut events).is_err() {
                break;
            }
            let mut out = Vec::new();
            alone.course.request(blocks(layout(), order % PIECES), &mut out);
            alone.course.speak(&mut out);
            alone.course.end_read(&mut events);
            events.clear();
            empty.clear();
        }
    }
}

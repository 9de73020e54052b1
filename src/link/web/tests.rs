//! The talk with a server, fed by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::exchange::Exchange;
use crate::base::extents::Extents;
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::link::dialect::Intake as _;
use crate::swarm::link::{LinkEvent, Run, RunEnd};
use crate::web::range::Verdict;
use crate::wire::Need;

/// Two files, whose seam is inside a block.
const LENS: [u64; 2] = [50_000, 70_000];
const PIECE_LEN: u32 = 32_768;

struct Talk {
    exchange: Exchange,
    pool: BlockPool,
    layout: Layout,
    events: Vec<LinkEvent>,
}

impl Talk {
    fn new() -> Self {
        Self::of(&LENS)
    }

    fn of(lens: &[u64]) -> Self {
        Self::in_pieces(lens, PIECE_LEN)
    }

    fn in_pieces(lens: &[u64], piece_len: u32) -> Self {
        let extents = Arc::new(Extents::new(lens.iter().map(|len| (*len, false))));
        let layout = Layout::new(extents.total_len(), piece_len).unwrap();
        let mut exchange = Exchange::new(layout, extents, false);
        exchange.begin_connection(0);
        Self { exchange, pool: BlockPool::new(4 << 20), layout, events: Vec::new() }
    }

    fn fetch(&mut self, first: u32, end: u32) {
        self.fetch_of(first, end, false);
    }

    fn fetch_of(&mut self, first: u32, end: u32, is_of_whole_file: bool) {
        let first = self.layout.piece(first).unwrap();
        self.exchange.fetch(Run { first, end, skip: 0, is_of_whole_file }, &mut self.events);
    }

    /// Asks for what comes next; what its range would say.
    fn ask(&mut self) -> Option<String> {
        let slice = self.exchange.next_ask().unwrap();
        self.exchange.on_asked(Instant::now());
        self.exchange.wish(slice).header()
    }

    /// As `Inbound` does: blocks one by one, whenever one is needed.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut at = 0;
        while at < bytes.len() {
            let mut blocks = Vec::new();
            if self.exchange.need() == Need::Block {
                self.pool.take(1, &mut blocks);
            }
            let used = self.exchange.feed(&bytes[at..], &mut blocks, &mut self.events)?;
            assert!(used > 0 || self.exchange.need() == Need::Block, "nothing is waited for");
            at += used;
        }
        self.exchange.end_read(&mut self.events);
        Ok(())
    }

    /// The bytes of all blocks that came, in their order, and how runs ended.
    fn told(&mut self) -> (Vec<u8>, Vec<(u32, RunEnd)>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for event in self.events.drain(..) {
            match event {
                LinkEvent::Blocks(blocks) => {
                    blocks.iter().for_each(|(_, data)| bytes.extend_from_slice(data.bytes()));
                }
                LinkEvent::RunEnded { at, why, .. } => ends.push((at, why)),
                other => panic!("{other:?}"),
            }
        }
        (bytes, ends)
    }
}

/// What the files hold, as one.
fn content(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|at| (at % 241) as u8).collect()
}

fn part(file: u64, first: u64, last: u64, bytes: &[u8]) -> Vec<u8> {
    let (total, len) = (LENS[file as usize], last - first + 1);
    let head = format!(
        "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/{total}\r\n\
         Content-Length: {len}\r\n\r\n"
    );
    [head.as_bytes(), bytes].concat()
}

#[test]
fn an_answer_makes_blocks_and_the_next_file_is_asked_for() {
    let mut talk = Talk::new();
    talk.fetch(1, 4);
    assert_eq!(talk.ask().unwrap(), "bytes=32768-49999");
    talk.hear(&part(0, 32_768, 49_999, &content(32_768..50_000))).unwrap();
    assert!(!talk.exchange.is_answering() && !talk.exchange.is_spent());
    assert_eq!(talk.ask(), None, "the whole file");
    let whole =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", &content(50_000..120_000)[..]];
    talk.hear(&whole.concat()).unwrap();
    assert_eq!(talk.told(), (content(32_768..120_000), vec![(4, RunEnd::Done)]));
    assert_eq!(talk.exchange.take_counts(), (87_232, 2));
    assert_eq!(talk.pool.in_use_blocks(), 0);
}

#[test]
fn the_next_thing_is_asked_for_ahead_when_little_is_left_after_one_clean_answer() {
    let mut talk = Talk::new();
    talk.fetch(0, 1);
    talk.fetch(1, 4);
    talk.ask();
    let first = part(0, 0, 32_767, &content(0..32_768));
    talk.hear(&first[..20_000]).unwrap();
    let now = Instant::now();
    assert!(!talk.exchange.may_ask_ahead(now), "it has not answered over this connection");
    talk.hear(&first[20_000..]).unwrap();
    talk.ask();
    let second = part(0, 32_768, 49_999, &content(32_768..50_000));
    talk.hear(&second[..10]).unwrap();
    assert!(!talk.exchange.may_ask_ahead(now), "its head may say that it is the last");
    talk.hear(&second[10..5_000]).unwrap();
    assert!(talk.exchange.may_ask_ahead(now + Duration::from_secs(1)));
    talk.ask();
    assert!(!talk.exchange.may_ask_ahead(now), "one is enough");
    let third =
        [&b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"[..], &content(50_000..120_000)];
    // Both in one read.
    talk.hear(&[&second[5_000..], &third.concat()].concat()).unwrap();
    let ends = vec![(1, RunEnd::Done), (4, RunEnd::Done)];
    assert_eq!(talk.told(), (content(0..120_000), ends));
}

#[test]
fn what_was_asked_for_ahead_of_a_shorter_answer_is_asked_for_again() {
    let mut talk = Talk::new();
    talk.exchange.begin_connection(1);
    talk.fetch(0, 4);
    talk.ask();
    let head =
        "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9999/50000\r\nContent-Length: 10000\r\n\r\n";
    // It gives no more at a time.
    talk.hear(head.as_bytes()).unwrap();
    talk.ask();
    talk.hear(&content(0..10_000)).unwrap();
    assert!(talk.exchange.is_spent(), "the answer that follows is of another place");
    talk.exchange.begin_connection(0);
    assert_eq!(talk.ask().unwrap(), "bytes=10000-49999");
}

#[test]
fn an_answer_that_brings_nothing_is_told_with_its_page_and_ends_what_was_asked_for_ahead() {
    let mut talk = Talk::new();
    talk.exchange.begin_connection(1);
    talk.fetch(0, 1);
    talk.ask();
    talk.hear(b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nnot he").unwrap();
    assert!(talk.exchange.take_told().is_none());
    talk.hear(b"r").unwrap();
    let told = talk.exchange.take_told().unwrap();
    assert_eq!((told.verdict, told.page.as_slice()), (Verdict::Gone, &b"not her"[..]));
    assert!(!talk.exchange.is_spent(), "the connection may be used again");
    talk.exchange.end_run(RunEnd::WholeOnly(told.slice.file), &mut talk.events);
    assert_eq!(talk.told().1, [(0, RunEnd::WholeOnly(told.slice.file))]);
    assert!(talk.exchange.is_idle());
}

#[test]
fn a_little_that_is_not_wanted_any_more_is_read_so_that_the_connection_lasts() {
    let mut talk = Talk::new();
    talk.fetch(0, 3);
    talk.ask();
    let whole = [b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n", &content(0..50_000)[..]];
    let whole = whole.concat();
    talk.hear(&whole[..20_000]).unwrap();
    talk.exchange.shorten(1, &mut talk.events);
    talk.hear(&whole[20_000..40_000]).unwrap();
    assert_eq!(talk.told(), (content(0..32_768), vec![(1, RunEnd::Done)]));
    talk.fetch(1, 2);
    assert!(talk.exchange.is_answering() && !talk.exchange.is_spent());
    talk.hear(&whole[40_000..]).unwrap();
    assert!(!talk.exchange.is_answering() && !talk.exchange.is_spent());
    assert_eq!(talk.ask().unwrap(), "bytes=32768-49999");
}

#[test]
fn what_nobody_asked_for_is_not_read() {
    let mut talk = Talk::new();
    talk.fetch(0, 1);
    talk.ask();
    let first = part(0, 0, 32_767, &content(0..32_768));
    talk.hear(&[&first, &b"HTTP/1.1 200 OK\r\n"[..]].concat()).unwrap();
    assert!(talk.exchange.is_spent());
    assert_eq!(talk.told().1, [(1, RunEnd::Done)]);
}

#[test]
fn what_was_asked_ahead_for_the_next_run_is_of_no_use_behind_a_short_answer() {
    let mut talk = Talk::new();
    talk.fetch(0, 1);
    talk.fetch(2, 3);
    talk.ask();
    talk.ask();
    talk.hear(&part(0, 0, 16_383, &content(0..16_384))).unwrap();
    assert!(talk.exchange.is_spent());
}

#[test]
fn a_long_page_is_not_read_to_its_end() {
    let mut talk = Talk::new();
    talk.fetch(0, 1);
    talk.ask();
    talk.hear(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    assert!(talk.exchange.is_spent());
    assert_eq!(talk.exchange.take_told().unwrap().verdict, Verdict::Busy(None));
}

#[test]
fn more_is_thrown_away_in_front_of_what_is_wanted_where_that_is_soon_done() {
    const LEN: u64 = 3 << 20;
    // It has taken ten seconds to answer, or no time.
    for (late, is_taken) in [(10, false), (0, true)] {
        let mut talk = Talk::of(&[LEN]);
        talk.fetch(0, 32);
        let slice = talk.exchange.next_ask().unwrap();
        let asked = Instant::now().checked_sub(Duration::from_secs(late)).unwrap();
        talk.exchange.on_asked(asked);
        let head =
            format!("HTTP/1.1 206 P\r\nContent-Range: bytes 0-{}/{LEN}\r\n\r\n", slice.len - 1);
        talk.hear(&[head.as_bytes(), &content(0..slice.len)].concat()).unwrap();
        assert_eq!(talk.told().1, [(32, RunEnd::Done)]);
        talk.exchange.begin_connection(0);
        talk.fetch(4, 5);
        talk.ask();
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        talk.hear(whole.as_bytes()).unwrap();
        let told = talk.exchange.take_told().map(|told| told.verdict);
        assert_eq!(told, (!is_taken).then_some(Verdict::WholeOnly));
    }
}

/// Pieces of 96 KiB, more than is thrown away otherwise.
#[test]
fn in_front_of_a_run_of_a_whole_file_up_to_a_piece_is_thrown_away_when_it_begins() {
    const PIECE: u64 = 96 << 10;
    let lens = [2 * PIECE - 80_000, 2 * PIECE + 80_000];
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", lens[1]);
    for (is_of_whole_file, first, is_taken) in
        [(true, 2, true), (true, 3, false), (false, 2, false)]
    {
        let mut talk = Talk::in_pieces(&lens, PIECE as u32);
        talk.fetch_of(first, 4, is_of_whole_file);
        talk.ask();
        talk.hear(answer.as_bytes()).unwrap();
        if !is_taken {
            talk.hear(&content(lens[0]..4 * PIECE)).unwrap();
            let told = talk.exchange.take_told().map(|told| told.verdict);
            assert_eq!(told, Some(Verdict::WholeOnly), "{first}");
            continue;
        }
        talk.hear(&content(lens[0]..3 * PIECE)).unwrap();
        // Once it has begun, what breaks off comes from the first byte on.
        talk.exchange.begin_connection(0);
        talk.ask();
        talk.hear(answer.as_bytes()).unwrap();
        talk.hear(&content(lens[0]..4 * PIECE)).unwrap();
        let told = talk.exchange.take_told().map(|told| told.verdict);
        assert_eq!(told, Some(Verdict::WholeOnly));
        assert_eq!(talk.told().0, content(2 * PIECE..3 * PIECE));
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_arrive(
        cuts in proptest::collection::vec(0usize..200_000, 0..30),
        chunk_len in 1usize..30_000,
    ) {
        let mut talk = Talk::new();
        talk.exchange.begin_connection(1);
        talk.fetch(0, 4);
        let first = [&b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"[..], &content(0..50_000)];
        let mut bytes = first.concat();
        let second_at = bytes.len();
        bytes.extend(part(1, 0, 69_999, &content(50_000..120_000)));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
        cuts.extend([0, second_at, bytes.len()]);
        cuts.sort_unstable();
        talk.ask();
        for pair in cuts.windows(2) {
            if pair[0] == second_at && !talk.exchange.is_answering() {
                talk.ask();
            }
            talk.hear(&bytes[pair[0]..pair[1]]).unwrap();
        }
        prop_assert_eq!(talk.told(), (content(0..120_000), vec![(4, RunEnd::Done)]));

        // The same in chunks, which end where they like.
        let mut talk = Talk::new();
        talk.fetch(2, 4);
        talk.ask();
        let begin = 2 * u64::from(PIECE_LEN) - LENS[0];
        let head = format!(
            "HTTP/1.1 206 P\r\nContent-Range: bytes {begin}-69999/70000\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        for chunk in content(LENS[0] + begin..120_000).chunks(chunk_len) {
            bytes.extend(format!("{:X}\r\n", chunk.len()).as_bytes());
            bytes.extend([chunk, b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        let mut at = 0;
        for cut in cuts.iter().map(|cut| cut % bytes.len()).filter(|cut| *cut > 0) {
            let end = cut.max(at);
            talk.hear(&bytes[at..end]).unwrap();
            at = end;
        }
        talk.hear(&bytes[at..]).unwrap();
        prop_assert_eq!(talk.told(), (content(65_536..120_000), vec![(4, RunEnd::Done)]));
        prop_assert!(!talk.exchange.is_spent() && !talk.exchange.is_answering());
    }
}

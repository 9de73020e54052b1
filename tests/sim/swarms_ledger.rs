//! What one brain may give over one link, kept apart from the brains: what it was asked for,
//! what it offered, whom it chokes, how much its link holds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pigeon::base::layout::{Layout, PieceIndex};
use pigeon::swarm::link::Ask;

/// What a link may hold beyond what it has sent: a MiB, and one request that crosses that
/// border, which is 128 KiB at most.
const HELD_MAX: u64 = (1024 + 128) * 1024;
/// No request waits longer than this for the block or a word: the slowest line gives each of 29
/// leechers a KB a second, and up to 16 blocks are asked of it before that is known.
const ANSWER_WITHIN: Duration = Duration::from_secs(280);

type Key = (u32, u32, u32);

fn key(ask: &Ask) -> Key {
    (ask.piece.number(), ask.begin, ask.len)
}

/// The giver's side of a link.
#[derive(Debug)]
pub struct Giving {
    pub choked: bool,
    pub interested: bool,
    /// Requests without an answer: since when, of each the oldest first.
    asked: BTreeMap<Key, VecDeque<Duration>>,
    /// Bytes that may still be had of pieces that were offered.
    offered: BTreeMap<u32, u32>,
    held: u64,
}

impl Giving {
    pub fn new() -> Self {
        Self {
            choked: true,
            interested: false,
            asked: BTreeMap::new(),
            offered: BTreeMap::new(),
            held: 0,
        }
    }

    pub fn asked(&mut self, ask: &Ask, now: Duration) {
        self.interested = true;
        self.asked.entry(key(ask)).or_default().push_back(now);
    }

    pub fn offer(&mut self, layout: &Layout, piece: PieceIndex) {
        self.offered.insert(piece.number(), layout.len_of(piece));
    }

    fn answer(&mut self, ask: &Ask) {
        let waiting = self.asked.get_mut(&key(ask));
        let Some(since) = waiting else { panic!("{ask:?} answered, nobody asked") };
        since.pop_front();
        if since.is_empty() {
            self.asked.remove(&key(ask));
        }
    }

    /// Says no.
    pub fn refuse(&mut self, ask: &Ask) {
        self.answer(ask);
    }

    /// Hands the link a block to send.
    pub fn hand(&mut self, ask: &Ask) {
        self.answer(ask);
        if self.choked {
            let left = self.offered.get_mut(&ask.piece.number());
            let Some(left) = left else { panic!("{ask:?} sent to one that is choked") };
            assert!(*left >= ask.len, "more than the piece that was offered: {ask:?}");
            *left -= ask.len;
        }
        self.held += u64::from(ask.len);
        assert!(self.held <= HELD_MAX, "the link holds {}", self.held);
    }

    /// Bytes left; they were told to the brain.
    pub fn sent(&mut self, bytes: u32) {
        self.held -= u64::from(bytes);
    }

    pub fn check_waiting(&self, now: Duration) {
        let oldest = self.asked.iter().filter_map(|(ask, since)| Some((ask, since.front()?)));
        for (ask, since) in oldest {
            assert!(now - *since <= ANSWER_WITHIN, "{ask:?} waits for an answer since {since:?}");
        }
    }
}

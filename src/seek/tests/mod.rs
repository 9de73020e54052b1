//! Behaviour of the seeker, fact by fact; whole worlds of peers are in `world`.

mod world;

use std::time::{Duration, Instant};

use super::*;
use crate::base::digest::sha1;
use crate::base::ids::InfoHash;

const LEN: u32 = 3 * 16_384 + 100;
const ALLOWANCE: usize = 64 << 20;

/// The metadata that is sought in all tests.
fn metadata(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at / 7 % 251) as u8).collect()
}

fn pieces(bytes: &[u8]) -> Vec<Box<[u8]>> {
    bytes.chunks(16_384).map(Box::from).collect()
}

fn target(len: u32) -> Target {
    Target::new(Some(InfoHash(sha1(&[&metadata(len)]))), None).unwrap()
}

/// A seeker whose copies are hashed at once.
struct Stage {
    seek: Seek<u32>,
    now: Instant,
    len: u32,
}

impl Stage {
    fn new(len: u32) -> Self {
        Self { seek: Seek::new(ALLOWANCE), now: Instant::now(), len }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        while let Some(due) = self.seek.next_timeout().filter(|due| *due <= self.now) {
            self.seek.handle(Input::Tick, self.now);
            let next = self.seek.next_timeout();
            assert!(next.is_none_or(|next| next > due.max(self.now)), "it would be woken for ever");
        }
    }

    /// What follows from a fact, in words.
    fn tell(&mut self, input: Input<u32>) -> Vec<String> {
        self.seek.handle(input, self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.seek.poll_output() {
            said.push(match output {
                Output::Ask { peer, pieces } => format!("ask {peer} {pieces:?}"),
                Output::Check { check, pieces } => {
                    let verdict = target(self.len).check(&pieces);
                    self.seek.handle(Input::Checked { check, verdict }, self.now);
                    "check".to_owned()
                }
                Output::Ban { peer } => format!("ban {peer}"),
                Output::Close { peer } => format!("close {peer}"),
                Output::Done => "done".to_owned(),
            });
        }
        said
    }

    fn claim(&mut self, peer: u32, len: u32) -> Vec<String> {
        self.tell(Input::Claimed { peer, len: Some(len) })
    }

    fn data(&mut self, peer: u32, numbers: &[u32]) -> Vec<String> {
        let all = pieces(&metadata(self.len));
        let each = numbers.iter().map(|piece| (*piece, all[*piece as usize].clone()));
        each.flat_map(|(piece, bytes)| self.tell(Input::Data { peer, piece, bytes })).collect()
    }

    /// Pieces of the right length and nothing else right.
    fn lies(&mut self, peer: u32, numbers: &[u32]) -> Vec<String> {
        let lens = pieces(&metadata(self.len));
        let each =
            numbers.iter().map(|piece| (*piece, vec![peer as u8; lens[*piece as usize].len()]));
        let each = each.map(|(piece, bytes)| Input::Data { peer, piece, bytes: bytes.into() });
        each.flat_map(|input| self.tell(input)).collect()
    }
}

#[test]
fn all_pieces_are_asked_at_once_and_the_copy_is_checked() {
    let mut it = Stage::new(LEN);
    assert_eq!(it.tell(Input::Claimed { peer: 1, len: None }), [""; 0], "a seeker, too");
    assert_eq!(it.claim(2, LEN), ["ask 2 [0, 1, 2, 3]"]);
    assert_eq!(it.data(2, &[1, 0]), [""; 0]);
    let progress = Progress { have: 2, pieces: 4, holders: 1, seekers: 1 };
    assert_eq!(it.seek.progress(), progress);
    assert_eq!(it.data(2, &[3, 2]), ["check", "done"]);
    assert_eq!(it.seek.next_timeout(), None);
    assert_eq!(it.claim(3, LEN), [""; 0], "nothing follows");
}

/// libtorrent answers ten pieces of what it finds in one read, and the rest a second later.
#[test]
fn asks_go_in_bursts_until_sixty_four_are_outstanding() {
    let len = 100 * 16_384;
    let asks = |pieces: std::ops::Range<u32>| format!("ask 1 {:?}", pieces.collect::<Vec<_>>());
    let mut it = Stage::new(len);
    assert_eq!(it.claim(1, len), [asks(0..10)]);
    for burst in 1..6 {
        it.wait(4);
        assert_eq!(it.said(), [""; 0]);
        it.wait(1);
        assert_eq!(it.said(), [asks(10 * burst..10 * burst + 10)]);
    }
    it.wait(5);
    assert_eq!(it.said(), [asks(60..64)]);
    it.wait(1_000);
    assert_eq!(it.said(), [""; 0], "so many are outstanding");
    let answered: Vec<u32> = (0..20).collect();
    let more = it.data(1, &answered);
    assert_eq!(more.len(), 10, "however much came at once: {more:?}");
    it.wait(5);
    assert_eq!(it.said(), [asks(74..84)]);
}

#[test]
fn who_answers_at_once_is_asked_at_once() {
    let len = 100 * 16_384;
    let mut it = Stage::new(len);
    it.claim(1, len);
    // No time passes.
    for piece in 0..90 {
        let (piece, next) = (piece, piece + 10);
        assert_eq!(it.data(1, &[piece]), [format!("ask 1 [{next}]")]);
    }
    assert_eq!(it.data(1, &(90..100).collect::<Vec<_>>()), ["check", "done"]);
}

#[test]
fn a_slow_one_is_helped_from_the_end_after_a_second() {
    let mut it = Stage::new(LEN);
    assert_eq!(it.claim(1, LEN), ["ask 1 [0, 1, 2, 3]"]);
    assert_eq!(it.claim(2, LEN), [""; 0]);
    it.data(1, &[0]);
    it.wait(999);
    assert_eq!(it.said(), [""; 0]);
    it.wait(1);
    assert_eq!(it.said(), ["ask 2 [3, 2, 1]"]);
    assert_eq!(it.data(2, &[3, 2]), [""; 0]);
    assert_eq!(it.data(1, &[1]), ["check", "done"]);
}

#[test]
fn two_round_trips_are_waited_for() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.wait(900);
    it.data(1, &[0]);
    it.claim(2, LEN);
    it.wait(899);
    assert_eq!(it.said(), [""; 0]);
    it.wait(1);
    assert_eq!(it.said(), ["ask 2 [3, 2, 1]"]);
}

#[test]
fn a_refusal_moves_the_pieces_to_others_and_leaves_the_peer_alone_for_a_minute() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    it.data(1, &[0]);
    assert_eq!(it.tell(Input::Rejected { peer: 1, piece: 2 }), ["ask 2 [1, 2, 3]"]);
    assert_eq!(it.tell(Input::Gone { peer: 2 }), [""; 0]);
    it.wait(59_999);
    assert_eq!(it.said(), [""; 0]);
    it.wait(1);
    assert_eq!(it.said(), ["ask 1 [1, 2, 3]"]);
    assert_eq!(it.data(1, &[1, 2, 3]), ["check", "done"]);
}

#[test]
fn late_answers_are_welcome() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.wait(4_999);
    assert_eq!(it.said(), [""; 0]);
    it.wait(1);
    it.claim(2, LEN);
    assert_eq!(it.said(), [""; 0], "it was asked when it came");
    it.data(1, &[0, 1]);
    assert_eq!(it.seek.progress().have, 2);
    assert_eq!(it.data(2, &[2, 3]), ["check", "done"]);
}

#[test]
fn a_silent_one_gives_way_after_five_seconds_and_is_asked_again_after_ten() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.wait(5_000);
    assert_eq!(it.said(), [""; 0]);
    it.wait(9_999);
    assert_eq!(it.said(), [""; 0]);
    it.wait(1);
    assert_eq!(it.said(), ["ask 1 [0, 1, 2, 3]"]);
}

#[test]
fn an_answer_starts_the_five_seconds_anew() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    for piece in 0..3 {
        it.wait(4_900);
        assert_eq!(it.data(1, &[piece]), [""; 0]);
    }
    it.wait(4_900);
    assert_eq!(it.data(1, &[3]), ["check", "done"]);
}

#[test]
fn the_sole_sender_of_a_wrong_copy_is_banned_and_the_next_one_asked() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    assert_eq!(it.lies(1, &[0, 1, 2, 3]), ["check", "ban 1", "ask 2 [0, 1, 2, 3]"]);
    assert_eq!(it.lies(1, &[0]), [""; 0], "nothing of it counts");
    assert_eq!(it.data(2, &[0, 1, 2, 3]), ["check", "done"]);
}

/// Of several senders each is asked alone: the true bytes tell who lied.
#[test]
fn a_wrong_copy_of_several_is_fetched_again_from_each() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    it.claim(3, LEN);
    it.wait(1_000);
    it.said();
    it.lies(1, &[0]);
    it.data(2, &[1, 3]);
    let asks = it.data(3, &[2]);
    let all = |peer| format!("ask {peer} [0, 1, 2, 3]");
    assert_eq!(asks, ["check".to_owned(), all(2), all(3), all(1)], "the quickest first");
    assert_eq!(it.data(2, &[0, 1, 2]), [""; 0]);
    assert_eq!(it.data(3, &[0, 1, 2]), [""; 0], "a copy of its own");
    assert_eq!(it.data(3, &[3]), ["check", "ban 1", "done"]);
}

#[test]
fn who_lies_again_when_asked_alone_is_banned_at_once() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    it.wait(1_000);
    it.said();
    it.lies(1, &[0, 1]);
    it.data(2, &[3, 2]);
    assert_eq!(it.lies(1, &[0, 1, 2, 3]), ["check", "ban 1"]);
    assert_eq!(it.data(2, &[0, 1, 2, 3]), ["check", "done"]);
}

#[test]
fn each_length_has_its_own_copy_and_disturbs_no_other() {
    let mut it = Stage::new(LEN);
    assert_eq!(it.claim(1, LEN), ["ask 1 [0, 1, 2, 3]"]);
    assert_eq!(it.claim(2, 50), ["ask 2 [0]"]);
    it.data(1, &[0, 1]);
    let bytes = vec![0; 50].into();
    assert_eq!(it.tell(Input::Data { peer: 2, piece: 0, bytes }), ["check", "ban 2"]);
    assert_eq!(it.data(1, &[2, 3]), ["check", "done"]);
}

#[test]
fn four_lengths_at_a_time_the_most_claimed_first() {
    let mut it = Stage::new(LEN);
    assert_eq!(it.claim(0, 100).len(), 1);
    it.wait(1_000);
    for peer in 1..4 {
        assert_eq!(it.claim(peer, 100 + peer).len(), 1);
    }
    assert_eq!(it.claim(10, 500), [""; 0]);
    assert_eq!(it.claim(11, LEN), [""; 0]);
    assert_eq!(it.claim(12, LEN), [""; 0]);
    // The silent ones give way.
    it.wait(4_000);
    assert_eq!(it.said(), ["ask 11 [0, 1, 2, 3]"]);
    it.wait(1_000);
    assert_eq!(it.said()[0], "ask 10 [0]");
}

/// A length whose peers bring just enough not to be silent keeps its place for a while only.
#[test]
fn a_length_has_a_turn_while_others_wait() {
    let mut it = Stage::new(LEN);
    let long = 16_384 * 40;
    for peer in 0..4 {
        it.claim(peer, long + peer);
    }
    assert_eq!(it.claim(10, LEN), [""; 0]);
    for piece in 0..3 {
        it.wait(4_900);
        it.said();
        for peer in 0..4 {
            let bytes = vec![0; 16_384].into();
            it.tell(Input::Data { peer, piece, bytes });
        }
    }
    it.wait(300);
    assert!(it.said().contains(&"ask 10 [0, 1, 2, 3]".to_owned()));
}

#[test]
fn what_is_claimed_fits_into_the_allowance() {
    let mut it = Stage::new(LEN);
    it.seek = Seek::new(100_000);
    assert_eq!(it.seek.appetite(), Appetite::UNKNOWN);
    assert_eq!(it.claim(1, 90_000).len(), 1);
    assert_eq!(it.claim(2, 80_000), [""; 0]);
    assert_eq!(it.claim(3, 100_001), [""; 0]);
    assert_eq!(it.claim(4, 33 << 20), [""; 0], "never");
    assert_eq!(it.seek.appetite(), Appetite { least: 100_001, most: 3 * 270_001 });
    let asks = it.tell(Input::Allowance(1 << 30));
    assert_eq!(asks, ["ask 2 [0, 1, 2, 3, 4]", "ask 3 [0, 1, 2, 3, 4, 5, 6]"]);
    it.tell(Input::Allowance(100_000));
    assert!(it.seek.reserved() <= 100_000);
    it.tell(Input::Allowance(0));
    assert_eq!(it.seek.reserved(), 0);
}

#[test]
fn pieces_that_nobody_asked_for_do_not_count() {
    let mut it = Stage::new(LEN);
    it.tell(Input::Claimed { peer: 9, len: None });
    let flood = |it: &mut Stage| (0..51).flat_map(|_| it.data(9, &[0])).collect::<Vec<_>>();
    assert_eq!(flood(&mut it), ["close 9"]);
    it.claim(1, LEN);
    it.data(1, &[0]);
    assert_eq!(it.lies(1, &[0]), [""; 0], "twice");
    assert_eq!(it.seek.progress().have, 1);
    assert_eq!(it.data(7, &[1]), [""; 0], "nobody knows it");
}

#[test]
fn a_piece_of_a_wrong_length_is_as_good_as_a_refusal() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    let bytes = vec![0; 16_383].into();
    let asks = it.tell(Input::Data { peer: 1, piece: 0, bytes });
    assert_eq!(asks, ["ask 2 [0, 1, 2, 3]"]);
}

#[test]
fn a_peer_may_find_out_the_length_and_not_change_it_for_ever() {
    let mut it = Stage::new(LEN);
    it.tell(Input::Claimed { peer: 1, len: None });
    for len in [10, 20, 30, 40] {
        assert_eq!(it.claim(1, len), ["ask 1 [0]"]);
    }
    assert_eq!(it.claim(1, 50), [""; 0]);
    let bytes = vec![0; 40].into();
    assert_eq!(it.tell(Input::Data { peer: 1, piece: 0, bytes }), [""; 0]);
    assert_eq!(it.claim(2, LEN), ["ask 2 [0, 1, 2, 3]"]);
}

#[test]
fn what_came_from_one_that_is_gone_stays() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.data(1, &[0, 1]);
    it.tell(Input::Gone { peer: 1 });
    assert_eq!(it.claim(2, LEN), ["ask 2 [2, 3]"]);
    assert_eq!(it.data(2, &[2, 3]), ["check", "done"]);
}

/// As few senders as possible: whoever sent something goes on with it.
#[test]
fn of_several_that_come_back_the_one_that_sent_something_leads() {
    let mut it = Stage::new(LEN);
    it.claim(1, LEN);
    it.claim(2, LEN);
    it.data(1, &[0]);
    it.wait(1_000);
    assert_eq!(it.said(), ["ask 2 [3, 2, 1]"]);
    // Nobody looks while both fall silent and have rested.
    it.wait(6_000);
    it.now += Duration::from_secs(30);
    assert_eq!(it.tell(Input::Tick)[0], "ask 1 [1, 2, 3]");
}

/// Nobody keeps a place by being asked: the one that brings least makes room for others.
#[test]
fn the_slowest_of_three_gives_its_place_to_one_that_waits() {
    let mut it = Stage::new(LEN);
    (1..=4).for_each(|peer| drop(it.claim(peer, LEN)));
    it.wait(1_000);
    assert_eq!(it.said(), ["ask 2 [3, 2, 1, 0]", "ask 3 [3, 2, 1, 0]"]);
    it.data(1, &[0]);
    it.data(2, &[3]);
    it.wait(1_000);
    assert_eq!(it.said(), ["ask 4 [2, 1]"]);
    let members = it.seek.lengths[&LEN].copies[0].members.iter().map(|member| member.peer);
    assert_eq!(members.collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(it.data(4, &[2, 1]), ["check", "done"]);
}

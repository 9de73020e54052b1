//! What others get from us: requests served and refused, places given and taken.

use super::super::event::{DownReason, Preparation};
use super::super::link::CloseReason;
use super::*;

/// A brain that has these pieces of four blocks, none of them hashed since the start.
fn having(pieces: u32, ones: &[u32]) -> Bench {
    Bench::with(pieces, 4, |config| config.have = set(pieces, ones))
}

impl Bench {
    fn block_ask(&self, name: &str) -> Ask {
        let block = self.block(name);
        Ask { piece: block.piece(), begin: block.begin(), len: block.len_bytes() }
    }

    fn asks(&mut self, host: u8, names: &str) -> Vec<String> {
        let asks = names.split(' ').map(|name| LinkEvent::Requested(self.block_ask(name)));
        let asks = asks.collect();
        self.events(host, asks)
    }

    fn cancels(&mut self, host: u8, name: &str) -> Vec<String> {
        let ask = self.block_ask(name);
        self.event(host, LinkEvent::Cancelled(ask))
    }

    /// A leecher that wants data from us.
    fn taker(&mut self, host: u8) -> Vec<String> {
        self.up(host);
        self.event(host, LinkEvent::Interested)
    }

    fn prepared(&mut self, piece: u32, outcome: Preparation) -> Vec<String> {
        let piece = self.piece(piece);
        self.handle(Input::Prepared { piece, outcome })
    }

    /// Every block of the piece in memory.
    fn warm(&mut self, host: u8, piece: u32) {
        self.asks(host, &format!("{piece}.0"));
        self.prepared(piece, Preparation::Ready);
        self.event(host, LinkEvent::Sent(16384));
    }
}

#[test]
fn who_wants_something_gets_a_free_place_at_once() {
    let mut bench = having(2, &[0]);
    assert_eq!(bench.taker(1), ["peer 1: unchoke"]);
    assert_eq!(bench.taker(2), ["peer 2: unchoke"]);
    assert!(bench.event(1, LinkEvent::Interested).is_empty(), "once");
}

#[test]
fn who_has_nothing_unchokes_nobody_before_its_first_piece() {
    let mut bench = Bench::new(2);
    bench.seed(1);
    assert!(bench.taker(2).is_empty());
    let lines = bench.wait(31.0);
    assert!(!lines.iter().any(|line| line.ends_with("unchoke")), "{lines:?}");
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    assert!(bench.good(0).contains(&"peer 2: unchoke".to_owned()));
}

/// The first time since the start it is hashed again, and only once for all who ask.
#[test]
fn a_piece_is_made_ready_once_and_then_sent() {
    let mut bench = having(2, &[0, 1]);
    bench.taker(1);
    bench.taker(2);
    assert_eq!(bench.asks(1, "0.0 0.1"), ["prove 0"]);
    assert!(bench.asks(2, "0.3").is_empty());
    let lines = bench.prepared(0, Preparation::Ready);
    assert_eq!(lines, ["peer 1: send 0+0:16384 0+16384:16384", "peer 2: send 0+49152:16384"]);
    assert_eq!(bench.asks(1, "0.2"), ["peer 1: send 0+32768:16384"]);
}

/// Somebody may have changed its file meanwhile.
#[test]
fn a_piece_that_was_not_used_for_a_second_is_looked_at_first() {
    let mut bench = having(1, &[0]);
    bench.taker(1);
    bench.warm(1, 0);
    bench.wait(1.0);
    assert_eq!(bench.asks(1, "0.1"), ["warm 0"], "it need not be hashed again");
    assert_eq!(bench.prepared(0, Preparation::Ready), ["peer 1: send 0+16384:16384"]);
}

#[test]
fn a_piece_that_is_always_in_use_is_looked_at_every_second_and_sent_meanwhile() {
    let mut bench = having(1, &[0]);
    bench.taker(1);
    bench.warm(1, 0);
    let send = "peer 1: send 0+16384:16384";
    let asks = |bench: &mut Bench, pause| {
        bench.wait(pause);
        let lines = bench.asks(1, "0.1");
        bench.event(1, LinkEvent::Sent(16384));
        lines
    };
    assert_eq!(asks(&mut bench, 0.9), [send]);
    let mut lines = asks(&mut bench, 0.2);
    lines.sort();
    assert_eq!(lines, [send, "warm 0"]);
    assert_eq!(asks(&mut bench, 0.5), [send], "one look at a time");
    for _ in 0..9 {
        assert_eq!(asks(&mut bench, 0.9), [send]);
    }
    assert!(asks(&mut bench, 0.9).is_empty(), "the disk has not answered for long");
    assert_eq!(bench.prepared(0, Preparation::Ready), [send]);
    bench.event(1, LinkEvent::Sent(16384));
    assert_eq!(asks(&mut bench, 0.9), [send]);
    asks(&mut bench, 0.2);
    let why = "it was written to".to_owned();
    bench.prepared(0, Preparation::Lost(why));
    assert_eq!(asks(&mut bench, 0.1), ["peer 1: refuse 0"]);
}

/// Who only seeds fetches nothing of what is lost, and has it again when its file is back.
#[test]
fn pieces_that_are_found_again_are_told_and_served() {
    let mut bench = Bench::with(2, 4, |config| {
        (config.have, config.wanted) = (set(2, &[0, 1]), set(2, &[]));
    });
    bench.taker(1);
    bench.warm(1, 0);
    let piece = bench.piece(0);
    bench.handle(Input::PiecesLost(vec![piece]));
    assert_eq!(bench.asks(1, "0.1"), ["peer 1: refuse 0"]);
    let mut lines = bench.handle(Input::PiecesFound(vec![piece]));
    lines.extend(bench.wait(0.5));
    assert!(lines.contains(&"peer 1: have now [0]".to_owned()), "{lines:?}");
    assert_eq!(bench.asks(1, "0.1"), ["peer 1: send 0+16384:16384"]);
}

/// Nobody could bring it, and it was asked for and begun meanwhile.
#[test]
fn pieces_that_are_found_while_they_are_fetched_are_fetched_no_more() {
    let mut bench = Bench::with(3, 4, |config| config.have = set(3, &[0, 1, 2]));
    bench.taker(1);
    let pieces: Vec<_> = (0..3).map(|number| bench.piece(number)).collect();
    bench.handle(Input::PiecesLost(pieces.clone()));
    let asked = bench.seed(2).pop().unwrap();
    assert_eq!(asked, "peer 2: request 0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3 2.0 2.1");
    assert_eq!(bench.deliver(2, "0.0 0.1 0.2 0.3")[0], "check 0 [data data data data]");
    let mut lines = bench.handle(Input::PiecesFound(pieces));
    let ended = ["peer 2: cancel 1.0 1.1 1.2 1.3", "peer 2: cancel 2.0 2.1 2.2 2.3"];
    assert!(ended.iter().all(|line| lines.iter().any(|told| told == line)), "{lines:?}");
    assert_eq!(bench.swarm.have().ones(), 2, "what is at the disk is told with its verdict");
    // Its file is there, whatever was fetched.
    lines.extend(bench.bad(0, &[]));
    lines.extend(bench.wait(0.5));
    assert!(lines.contains(&"completed".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("failed")), "{lines:?}");
    assert_eq!(bench.swarm.have().ones(), 3);
}

/// BEP 3 has no word for a piece that cannot be read for a while: who was refused it asks no more.
#[test]
fn what_could_not_be_read_is_told_again() {
    let mut bench = having(2, &[0, 1]);
    bench.taker(1);
    assert_eq!(bench.asks(1, "0.0"), ["prove 0"]);
    let why = "input/output error".to_owned();
    assert_eq!(bench.prepared(0, Preparation::Unreadable(why)), ["peer 1: refuse 0"]);
    let early = bench.wait(4.5);
    assert!(!early.iter().any(|line| line.contains("have")), "{early:?}");
    let lines = bench.wait(2.0);
    assert!(lines.contains(&"peer 1: have now [0]".to_owned()), "{lines:?}");
    assert_eq!(bench.asks(1, "0.0"), ["prove 0"]);
    let later = bench.wait(20.0);
    assert!(!later.iter().any(|line| line.contains("have")), "{later:?}");
}

/// What is made ready while it is lost is lost all the same: nobody is blamed for asking.
#[test]
fn what_was_lost_while_it_was_made_ready_stays_lost() {
    let mut bench = Bench::with(2, 4, |config| {
        (config.have, config.wanted) = (set(2, &[0, 1]), set(2, &[]));
    });
    bench.taker(1);
    assert_eq!(bench.asks(1, "0.0"), ["prove 0"]);
    let piece = bench.piece(0);
    bench.handle(Input::PiecesLost(vec![piece]));
    let lines = bench.prepared(0, Preparation::Ready);
    assert!(!lines.iter().any(|line| line.contains("send")), "{lines:?}");
    for _ in 0..60 {
        assert_eq!(bench.asks(1, "0.1"), ["peer 1: refuse 0"]);
    }
}

#[test]
fn a_link_that_could_not_read_our_files_has_all_of_them_looked_at() {
    let mut bench = having(2, &[0, 1]);
    bench.taker(1);
    bench.taker(2);
    bench.warm(1, 0);
    bench.warm(2, 1);
    let reason = DownReason::Closed(CloseReason::OurFiles);
    bench.handle(Input::LinkDown { link: bench.links[&1], reason });
    assert_eq!(bench.asks(2, "1.0"), ["warm 1"]);
}

#[test]
fn a_link_holds_little_and_what_left_gives_room() {
    let mut bench = Bench::with(1, 16, |config| config.have = set(1, &[0]));
    bench.taker(1);
    bench.warm(1, 0);
    let lines = bench.asks(1, "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7");
    let four = "peer 1: send 0+0:16384 0+16384:16384 0+32768:16384 0+49152:16384";
    assert_eq!(lines, [four]);
    assert_eq!(bench.event(1, LinkEvent::Sent(16384)), ["peer 1: send 0+65536:16384"]);
}

/// However fast it is: memory is bounded.
#[test]
fn a_fast_link_holds_a_mebibyte_at_most() {
    let mut bench = Bench::with(8, 128, |config| config.have = Bitfield::all(8));
    bench.taker(1);
    bench.warm(1, 0);
    for _ in 0..100 {
        bench.event(1, LinkEvent::Sent(1 << 20));
    }
    let names: Vec<String> = (0..128).map(|block| format!("0.{block}")).collect();
    let lines = bench.asks(1, &names.join(" "));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].matches(":16384").count(), 64);
}

/// Larger than a block, as some clients ask; the link checked that it is not too large.
#[test]
fn a_request_of_128_kib_is_served_whole() {
    let mut bench = Bench::with(1, 16, |config| config.have = set(1, &[0]));
    bench.taker(1);
    bench.warm(1, 0);
    let ask = |begin| Ask { piece: bench.piece(0), begin, len: 131_072 };
    let both = vec![LinkEvent::Requested(ask(0)), LinkEvent::Requested(ask(131_072))];
    assert_eq!(bench.events(1, both), ["peer 1: send 0+0:131072"]);
    assert_eq!(bench.event(1, LinkEvent::Sent(131_072)), ["peer 1: send 0+131072:131072"]);
}

/// BEP 6: "Reject Request notifies a requesting peer that its request will not be satisfied."
#[test]
fn a_piece_that_we_lack_is_refused_and_held_against_who_asks() {
    let mut bench = having(2, &[0]);
    bench.taker(1);
    assert_eq!(bench.asks(1, "1.0"), ["peer 1: refuse 1"]);
    let flood = vec!["1.0"; 60].join(" ");
    let lines = bench.asks(1, &flood);
    assert_eq!(lines.last().unwrap(), "peer 1: close, it kept sending what nobody asked for");
}

/// BEP 6: each request has an answer, however long it is.
#[test]
fn a_request_over_128_kib_is_refused() {
    let mut bench = Bench::with(1, 16, |config| config.have = set(1, &[0]));
    bench.taker(1);
    let ask = |len| LinkEvent::Requested(Ask { len, ..bench.ask(0) });
    let (long, good) = (ask(128 * 1024 + 1), ask(128 * 1024));
    assert_eq!(bench.event(1, long), ["peer 1: refuse 0"]);
    assert_ne!(bench.event(1, good), ["peer 1: refuse 0"]);
}

/// BEP 6: a cancelled request is answered all the same, by the block or a reject.
#[test]
fn a_cancel_is_answered_once() {
    let mut bench = having(1, &[0]);
    bench.taker(1);
    bench.asks(1, "0.0 0.1");
    assert_eq!(bench.cancels(1, "0.0"), ["peer 1: refuse 0"]);
    assert!(bench.cancels(1, "0.0").is_empty());
    assert_eq!(bench.prepared(0, Preparation::Ready), ["peer 1: send 0+16384:16384"]);
    assert!(bench.cancels(1, "0.1").is_empty(), "the block is the answer");
}

#[test]
fn of_more_than_a_thousand_requests_the_rest_is_refused() {
    let mut bench = having(1, &[0]);
    bench.taker(1);
    let lines = bench.asks(1, &vec!["0.0"; 1003].join(" "));
    assert_eq!(lines, ["prove 0", "peer 1: refuse 0", "peer 1: refuse 0", "peer 1: refuse 0"]);
}

/// BEP 6: pieces of the allowed fast set may be asked for while choked; each is given once.
#[test]
fn a_newcomer_may_have_the_offered_pieces_while_choked() {
    let mut bench = having(2, &[0, 1]);
    bench.handle(Input::UploadLimit(Some(1)));
    bench.taker(1);
    bench.taker(2);
    bench.up_as(3, peer_id(3), true);
    let lines = bench.event(3, LinkEvent::Availability(Availability::None));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("peer 3: allow ["), "{lines:?}");
    assert_eq!(bench.asks(3, "0.0 0.1 0.2"), ["prove 0"]);
    bench.prepared(0, Preparation::Ready);
    bench.event(3, LinkEvent::Sent(3 * 16384));
    // One that is too large for what is left takes nothing from it.
    let large = Ask { piece: bench.piece(0), begin: 0, len: 32768 };
    assert_eq!(bench.event(3, LinkEvent::Requested(large)), ["peer 3: refuse 0"]);
    assert_eq!(bench.asks(3, "0.3"), ["peer 3: send 0+49152:16384"]);
    assert_eq!(bench.asks(3, "0.0"), ["peer 3: refuse 0"]);
}

#[test]
fn who_has_much_or_does_not_speak_the_fast_extension_is_offered_nothing() {
    let mut bench = Bench::with(40, 4, |config| config.have = Bitfield::all(40));
    bench.up(1);
    assert!(bench.event(1, LinkEvent::Availability(Availability::None)).is_empty());
    bench.up_as(2, peer_id(2), true);
    let much: Vec<u32> = (0..10).collect();
    let much = LinkEvent::Availability(Availability::Some(set(40, &much)));
    assert!(bench.event(2, much).is_empty());
}

#[test]
fn a_piece_that_rotted_is_refused_and_fetched_again() {
    let mut bench = having(2, &[0, 1]);
    bench.taker(1);
    bench.open(2, Availability::All);
    bench.up(3);
    bench.event(3, LinkEvent::Availability(Availability::Some(set(2, &[0]))));
    bench.event(3, LinkEvent::Unchoked);
    bench.asks(1, "0.0 1.0");
    let lines = bench.prepared(0, Preparation::Lost("its hash is wrong".into()));
    let expected = [
        "lost 0, its hash is wrong",
        "peer 3: interested",
        "peer 1: refuse 0",
        "peer 3: request 0.0 0.1 0.2 0.3",
    ];
    assert_eq!(lines, expected);
    assert_eq!(bench.prepared(1, Preparation::Ready), ["peer 1: send 1+0:16384"]);
    // We said that we have it: who asks for it does no wrong, however often.
    let lines = bench.asks(1, &["0.1"; 60].join(" "));
    assert_eq!(lines, vec!["peer 1: refuse 0"; 60]);
}

#[test]
fn a_piece_that_cannot_be_read_rests_for_five_seconds() {
    let mut bench = having(1, &[0]);
    bench.taker(1);
    bench.asks(1, "0.0");
    let lines = bench.prepared(0, Preparation::Unreadable("no such device".into()));
    assert_eq!(lines, ["peer 1: refuse 0"]);
    assert_eq!(bench.asks(1, "0.0"), ["peer 1: refuse 0"]);
    bench.wait(5.0);
    assert_eq!(bench.asks(1, "0.0"), ["prove 0"]);
}

/// Two places for three: who was served for half a minute makes way for one who waits. BEP 3
/// voids what was asked for; BEP 6 wants each of it refused.
#[test]
fn while_seeding_places_go_round_and_a_choke_refuses_what_waits() {
    let mut bench = having(1, &[0]);
    bench.handle(Input::UploadLimit(Some(1)));
    bench.taker(1);
    bench.taker(2);
    assert!(bench.taker(3).is_empty());
    bench.asks(2, "0.0 0.1");
    assert!(bench.wait(29.0).is_empty());
    let expected = ["peer 2: choke", "peer 2: refuse 0", "peer 2: refuse 0", "peer 3: unchoke"];
    assert_eq!(bench.wait(1.0), expected);
    assert!(bench.prepared(0, Preparation::Ready).is_empty(), "nothing is sent after the choke");
    assert_eq!(bench.asks(2, "0.0"), ["peer 2: refuse 0"]);
    let turns = ["peer 1: choke", "peer 2: unchoke", "peer 3: choke", "peer 1: unchoke"];
    assert_eq!(bench.wait(30.0), turns);
}

/// One that wants nothing at the moment keeps its place only as long as nobody needs it: else
/// there would be more served than places when it wants something again.
#[test]
fn an_idle_place_goes_to_who_needs_it() {
    let mut bench = having(2, &[0]);
    bench.handle(Input::UploadLimit(Some(1)));
    bench.taker(1);
    bench.taker(2);
    assert!(bench.event(1, LinkEvent::NotInterested).is_empty());
    assert!(bench.event(1, LinkEvent::Interested).is_empty(), "it still has its place");
    bench.event(1, LinkEvent::NotInterested);
    assert_eq!(bench.taker(3), ["peer 1: choke", "peer 3: unchoke"]);
    assert!(bench.event(1, LinkEvent::Interested).is_empty());
}

#[test]
fn the_place_of_one_that_left_goes_to_the_next() {
    let mut bench = having(2, &[0]);
    bench.handle(Input::UploadLimit(Some(1)));
    bench.taker(1);
    bench.taker(2);
    assert!(bench.taker(3).is_empty());
    assert_eq!(bench.down(1), ["peer 3: unchoke"]);
}

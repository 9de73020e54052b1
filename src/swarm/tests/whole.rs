//! Links that bring whole pieces: two at a time, no words but requests, no shame in lacking
//! something, and people are told who takes over.

use super::*;

const A: &str = "0.0 0.1 0.2 0.3";
const B: &str = "1.0 1.1 1.2 1.3";

fn provider_caps() -> LinkCaps {
    LinkCaps {
        unit: Unit::Piece,
        chokes: false,
        pipeline_max: 2,
        can_upload_to: false,
        fast: true,
        extended: false,
        mse: None,
        is_way_unsure: false,
    }
}

impl Bench {
    /// A provider comes up that is said to have these pieces.
    fn provider(&mut self, host: u8, pieces: Availability) -> Vec<String> {
        let link = self.swarm.admit(address(host), self.now).unwrap();
        self.links.insert(host, link);
        self.provider_up(link, host, pieces)
    }

    fn full_provider(&mut self, host: u8) -> Vec<String> {
        self.provider(host, Availability::All)
    }

    fn provider_up(&mut self, link: LinkId, host: u8, pieces: Availability) -> Vec<String> {
        let up = Input::LinkUp { link, peer_id: peer_id(host), caps: provider_caps() };
        let mut lines = self.handle(up);
        lines.extend(self.event(host, LinkEvent::Availability(pieces)));
        lines
    }

    /// A provider whose address is known is dialled as this link and comes up.
    fn provider_dialled(&mut self, link: u64, host: u8, pieces: Availability) -> Vec<String> {
        self.links.insert(host, LinkId(link));
        self.provider_up(LinkId(link), host, pieces)
    }

    fn refuse_piece(&mut self, host: u8, piece: u32) -> Vec<String> {
        let blocks: Vec<_> = self.layout.blocks(self.piece(piece)).collect();
        let no = |block| LinkEvent::Refused { block, lasting: true };
        self.events(host, blocks.into_iter().map(no).collect())
    }

    fn dial_failed(&mut self, link: u64) -> Vec<String> {
        let reason = DownReason::DialFailed("refused".into());
        self.handle(Input::LinkDown { link: LinkId(link), reason })
    }

    /// The piece comes from this provider and is right.
    fn bring(&mut self, host: u8, piece: u32) -> Vec<String> {
        let names: Vec<_> = self.layout.blocks(self.piece(piece)).collect();
        let mut lines = self.deliver(host, &names_of(&names));
        lines.extend(self.good(piece));
        lines
    }

    fn bring_wrong(&mut self, host: u8, piece: u32) -> Vec<String> {
        let blocks: Vec<_> = self.layout.blocks(self.piece(piece)).collect();
        self.deliver(host, &names_of(&blocks));
        self.bad(piece, &vec![9; blocks.len()])
    }
}

fn names_of(blocks: &[BlockRef]) -> String {
    names(blocks.iter().copied())
}

#[test]
fn a_provider_is_asked_for_two_whole_pieces_and_the_next_when_one_has_come() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.full_provider(1), ["first peer 1", &format!("peer 1: request {A} {B}")]);
    assert!(bench.deliver(1, "0.0 0.1 0.2").is_empty());
    let lines = bench.deliver(1, "0.3");
    assert_eq!(lines, ["check 0 [data data data data]", "peer 1: request 2.0 2.1 2.2 2.3"]);
    assert_eq!(bench.good(0), ["verified 0"]);
    assert!(bench.deliver(1, "1.0").is_empty());
    // Each has its own, as long as there are any.
    assert_eq!(bench.full_provider(2), ["peer 2: request 3.0 3.1 3.2 3.3"]);
}

#[test]
fn what_came_of_a_piece_stays_when_its_provider_goes() {
    let mut bench = Bench::new(3);
    bench.full_provider(1);
    bench.full_provider(2);
    bench.deliver(1, "0.0 0.1");
    let lines = bench.down(1);
    let expected = ["reassigned 0 of 1", "reassigned 1 of 1", "peer 2: request 0.2 0.3"];
    assert_eq!(lines, expected);
    let lines = bench.deliver(2, "0.2 0.3");
    assert_eq!(lines[0], "check 0 [data data data data]");
    assert_eq!(lines[1], format!("peer 2: request {B}"));
}

/// CHUNK_NOT_FOUND: "The listing is only a claim".
#[test]
fn a_piece_that_is_refused_is_asked_of_others_and_of_this_one_never_again() {
    let mut bench = Bench::new(4);
    bench.full_provider(1);
    bench.provider(2, Availability::Some(set(4, &[0, 1])));
    let lines = bench.refuse_piece(1, 0);
    let others = ["peer 1: request 2.0 2.1 2.2 2.3", "peer 2: request 0.0 0.1 0.2 0.3"];
    assert_eq!(lines, [&["reassigned 0 of 1"], &others[..]].concat());
    // It lacks this one and has all others, also when the other provider goes.
    assert_eq!(bench.down(2), ["reassigned 0 of 2"]);
    assert!(bench.wait(60.0).iter().all(|line| !line.contains(" 0.")));
    assert_eq!(bench.swarm.nobody_has(), 1);
}

/// One that lacks 300 pieces, and takes its time to say so, has answered all the same.
#[test]
fn no_number_of_refusals_is_an_offence_or_silence() {
    let mut bench = Bench::new(301);
    bench.full_provider(1);
    for piece in 0..300 {
        bench.wait(0.4);
        let lines = bench.refuse_piece(1, piece);
        let mut expected = vec![format!("reassigned {piece} of 1")];
        if piece < 299 {
            let next = piece + 2;
            let names = format!("{next}.0 {next}.1 {next}.2 {next}.3");
            expected.push(format!("peer 1: request {names}"));
        }
        assert_eq!(lines, expected);
    }
    let lines = bench.bring(1, 300);
    assert_eq!(lines, ["check 300 [data data data data]", "verified 300"]);
    assert!(bench.swarm.is_out_of_reach());
    assert_eq!(bench.swarm.snapshot(bench.now).connected, 1);
}

#[test]
fn a_silent_provider_is_set_aside_until_it_delivers_again() {
    let mut bench = Bench::new(4);
    bench.full_provider(1);
    bench.provider(2, Availability::Some(set(4, &[0, 1, 3])));
    bench.bring(2, 3);
    bench.now += Duration::from_secs(5);
    assert!(bench.wait(4.9).is_empty());
    let lines = bench.wait(0.2);
    let expected = ["reassigned 0 of 1", "reassigned 1 of 1", &format!("peer 2: request {A} {B}")];
    assert_eq!(lines, expected);
    // It is asked nothing more, though it alone has piece 2.
    assert!(bench.wait(1.5).is_empty());
    // Late blocks are welcome, and the other need not send them.
    let lines = bench.deliver(1, "0.0");
    // What it was asked for before it may still bring: that does not move back to it.
    assert_eq!(lines, ["peer 2: cancel 0.0", "peer 1: request 2.0 2.1 2.2 2.3"]);
    assert_eq!(bench.deliver(1, "0.1"), ["peer 2: cancel 0.1"]);
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 0);
}

/// A late answer that says no is an answer too: it must not stay set aside.
#[test]
fn a_late_refusal_ends_the_silence() {
    let mut bench = Bench::new(3);
    bench.full_provider(1);
    assert_eq!(bench.wait(10.1), ["reassigned 0 of 1", "reassigned 1 of 1"]);
    let lines = bench.refuse_piece(1, 0);
    // What it owes still of the other piece is known to the link.
    assert_eq!(lines, [format!("peer 1: request {B} 2.0 2.1 2.2 2.3")]);
}

/// Two pieces of 32 MiB: late blocks of all of both are known as such.
#[test]
fn late_blocks_of_large_pieces_are_no_offence() {
    let mut bench = Bench::with(2, 2048, |_| {});
    bench.full_provider(1);
    bench.wait(10.1);
    let late: Vec<String> = (0..60).map(|number| format!("0.{number}")).collect();
    for name in late {
        let lines = bench.deliver(1, &name);
        assert!(!lines.iter().any(|line| line.contains("close")), "{lines:?}");
    }
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 0);
}

#[test]
fn two_wrong_pieces_are_forgiven_and_the_third_is_not() {
    let mut bench = Bench::new(6);
    bench.full_provider(1);
    let lines = bench.bring_wrong(1, 0);
    assert_eq!(lines, ["wrong 0, blamed 1"], "that piece is not asked of it again");
    let lines = bench.bring_wrong(1, 1);
    assert_eq!(lines, ["wrong 1, blamed 1"]);
    assert!(bench.bring(1, 2).contains(&"verified 2".to_owned()));
    let lines = bench.bring_wrong(1, 3);
    let expected = [
        "wrong 3, blamed 1",
        "banned 1",
        "reassigned 4 of 1",
        "reassigned 5 of 1",
        "peer 1: close, it sent corrupt data",
    ];
    assert_eq!(lines, expected);
    let rest = "peer 2: request 4.0 4.1 4.2 4.3 5.0 5.1 5.2 5.3";
    assert_eq!(bench.full_provider(2), [rest]);
}

/// What a provider sent wrong is remembered when its link ends, before the verdict or after.
#[test]
fn a_new_link_does_not_make_a_provider_new() {
    let mut bench = Bench::new(6);
    bench.learn(Source::Listing, 1..2);
    bench.provider_dialled(0, 1, Availability::All);
    bench.deliver(1, A);
    bench.down(1);
    assert_eq!(bench.bad(0, &[9; 4]), ["wrong 0, blamed 1"]);
    bench.wait(30.0);
    let lines = bench.provider_dialled(1, 1, Availability::All);
    assert_eq!(lines, [format!("peer 1: request {B} 2.0 2.1 2.2 2.3")]);
    bench.bring_wrong(1, 1);
    bench.down(1);
    bench.wait(30.0);
    let lines = bench.provider_dialled(2, 1, Availability::All);
    assert_eq!(lines, ["peer 1: request 2.0 2.1 2.2 2.3 3.0 3.1 3.2 3.3"]);
    assert!(bench.bring_wrong(1, 2).contains(&"banned 1".to_owned()));
}

/// A liar of one block among others' is spared likewise, and counts as lacking the piece.
#[test]
fn a_provider_convicted_by_block_hashes_is_spared_and_nothing_is_left_to_wish_of_it() {
    let mut bench = Bench::with(2, 12, |_| {});
    bench.seed(1);
    bench.provider(2, Availability::Some(set(2, &[0])));
    // In the end game the provider gets what the first peer owes.
    bench.deliver(1, "0.0");
    bench.wait(3.0);
    bench.down(1);
    let rest: Vec<String> = (1..12).map(|number| format!("0.{number}")).collect();
    bench.deliver(2, &rest.join(" "));
    let whole: Vec<String> = (0..12).map(|number| format!("0.{number}")).collect();
    let whole = whole.join(" ");
    let lines = bench.bad(0, &[7; 12]);
    assert_eq!(lines, ["wrong 0, blamed nobody", &format!("peer 2: request {whole}")]);
    let lines = bench.deliver(2, &whole);
    assert!(lines[0].ends_with("with hashes"), "{lines:?}");
    bench.at_disk.clear();
    let mut hashes = vec![[7; 20]; 12];
    hashes[5] = [8; 20];
    assert_eq!(bench.verdict(0, Verdict::Good(Some(hashes))), ["verified 0"]);
    // There is nothing more to wish of it: piece 1 is out of reach.
    assert!(bench.swarm.is_out_of_reach());
    assert_eq!(bench.swarm.snapshot(bench.now).interesting, 0);
}

#[test]
fn a_provider_hears_nothing_but_requests_cancels_and_the_end() {
    let mut bench = Bench::with(4, 4, |config| config.have = set(4, &[3]));
    let mut lines = bench.provider(1, Availability::Some(set(4, &[0, 2])));
    lines.extend(bench.seed(2));
    lines.extend(bench.deliver(2, B));
    lines.extend(bench.good(1));
    lines.extend(bench.handle(Input::PiecesLost(vec![bench.piece(3)])));
    lines.extend(bench.handle(Input::Wanted(set(4, &[0, 1, 3]))));
    lines.extend(bench.deliver(1, A));
    lines.extend(bench.good(0));
    let of_one: Vec<&String> = lines.iter().filter(|line| line.starts_with("peer 1")).collect();
    let expected = [
        &format!("peer 1: request {A} 2.0 2.1 2.2 2.3"),
        &format!("peer 1: cancel {A} 2.0 2.1 2.2 2.3"),
    ];
    assert_eq!(of_one, expected);
    // Nothing is wanted any more, and it will never want anything.
    let lines = bench.handle(Input::Wanted(set(4, &[0, 1])));
    assert!(lines.contains(&"peer 1: close, both sides are complete".to_owned()), "{lines:?}");
}

#[test]
fn providers_and_peers_share_without_asking_twice() {
    let mut bench = Bench::new(4);
    bench.full_provider(1);
    let lines = bench.seed(2);
    assert_eq!(lines[1], "peer 2: request 2.0 2.1 2.2 2.3 3.0 3.1 3.2 3.3");
    // The pieces of the one are not cut up for the other.
    let lines = bench.deliver(2, "2.0");
    assert!(lines.is_empty(), "{lines:?}");
}

/// A provider brings a piece whole anyway, so it takes over all that is late of one.
#[test]
fn in_the_end_game_a_slow_peers_piece_is_taken_over_whole() {
    let mut bench = Bench::with(2, 8, |_| {});
    bench.open(1, Availability::Some(set(2, &[1])));
    bench.provider(2, Availability::All);
    bench.wait(1.0);
    let whole: Vec<String> = (0..8).map(|number| format!("0.{number}")).collect();
    bench.deliver(1, "1.0");
    bench.now += Duration::from_secs(1);
    let lines = bench.deliver(2, &whole.join(" "));
    let check = "check 0 [data data data data data data data data]";
    let cancel = "peer 1: cancel 1.1 1.2 1.3 1.4 1.5 1.6 1.7";
    let request = "peer 2: request 1.1 1.2 1.3 1.4 1.5 1.6 1.7";
    assert_eq!(lines, [check, cancel, request]);
    assert_eq!(bench.deliver(1, "1.1"), ["peer 2: cancel 1.1"]);
}

/// Both pieces of a slow provider are taken over, one after the other, however many blocks.
#[test]
fn a_slow_provider_does_not_hold_up_the_end() {
    let mut bench = Bench::with(4, 64, |_| {});
    let piece = |piece: u32, from: u32, to: u32| {
        (from..to).map(|number| format!("{piece}.{number}")).collect::<Vec<_>>().join(" ")
    };
    bench.full_provider(1);
    bench.full_provider(2);
    bench.now += Duration::from_secs(1);
    bench.deliver(1, "0.0");
    bench.deliver(2, &piece(2, 0, 64));
    bench.good(2);
    bench.now += Duration::from_secs(1);
    bench.deliver(1, "0.1");
    let lines = bench.deliver(2, &piece(3, 0, 64));
    assert!(lines[1].starts_with("peer 1: cancel 1.0 "), "{lines:?}");
    assert!(lines[2].starts_with("peer 2: request 1.0 "), "{lines:?}");
    bench.good(3);
    bench.now += Duration::from_secs(1);
    bench.deliver(1, "0.2");
    let lines = bench.deliver(2, &piece(1, 0, 64));
    let last = lines.last().unwrap();
    assert!(last.starts_with("peer 2: request 0.3 "), "{last}");
}

#[test]
fn out_of_reach_means_that_nobody_can_bring_it() {
    let mut bench = Bench::new(2);
    assert!(!bench.swarm.is_out_of_reach(), "nobody is known yet");
    assert_eq!(bench.learn(Source::Listing, 1..2), ["dial 1 as 0"]);
    assert!(!bench.swarm.is_out_of_reach(), "a dial is under way");
    bench.provider_dialled(0, 1, Availability::All);
    assert!(!bench.swarm.is_out_of_reach(), "it may have both");
    bench.deliver(1, A);
    bench.refuse_piece(1, 1);
    assert!(!bench.swarm.is_out_of_reach(), "a verdict is awaited");
    bench.good(0);
    assert!(bench.swarm.is_out_of_reach(), "the only provider lacks it");
    bench.handle(Input::Pause(true));
    assert!(!bench.swarm.is_out_of_reach(), "paused");
    bench.handle(Input::Pause(false));
    assert!(!bench.swarm.is_out_of_reach(), "it is asked once more");
    let second = bench.learn(Source::Listing, 2..3);
    assert_eq!(second.len(), 1);
    bench.provider_dialled(1, 1, Availability::Some(set(2, &[0])));
    assert!(!bench.swarm.is_out_of_reach(), "another is dialled");
    bench.provider_dialled(2, 2, Availability::All);
    bench.bring(2, 1);
    assert!(bench.swarm.is_complete() && !bench.swarm.is_out_of_reach());
}

#[test]
fn an_address_is_given_up_after_three_dials_that_failed() {
    let mut bench = Bench::new(2);
    bench.learn(Source::Listing, 1..2);
    for link in 0..3 {
        assert!(!bench.swarm.is_out_of_reach(), "{link} dials failed");
        bench.dial_failed(link);
        if link < 2 {
            assert!(!bench.swarm.is_out_of_reach());
            let lines = bench.wait(25.0);
            assert_eq!(lines, [format!("dial 1 as {}", link + 1)]);
        }
    }
    assert!(bench.swarm.is_out_of_reach());
    // It is tried on: there is hope while a dial is under way, and when it succeeds.
    bench.wait(25.0);
    assert!(!bench.swarm.is_out_of_reach());
    bench.provider_dialled(3, 1, Availability::All);
    assert!(!bench.swarm.is_out_of_reach());
}

/// The sender is gone and was never one that could be dialled, but its piece may be right.
#[test]
fn a_verdict_that_is_awaited_is_hope() {
    let mut bench = Bench::new(1);
    bench.full_provider(1);
    bench.deliver(1, A);
    bench.down(1);
    assert!(!bench.swarm.is_out_of_reach());
    bench.bad(0, &[9; 4]);
    assert!(bench.swarm.is_out_of_reach());
}

/// A provider may end whenever it is asked for one piece, because that file is broken. What
/// else it has is fetched all the same, though nobody else has any of it.
#[test]
fn one_piece_that_ends_every_link_does_not_keep_the_others() {
    let mut bench = Bench::new(3);
    bench.learn(Source::Listing, 1..2);
    let lines = bench.provider_dialled(0, 1, Availability::All);
    assert_eq!(lines, ["first peer 1", &format!("peer 1: request {A} {B}")]);
    bench.down(1);
    bench.wait(30.0);
    let lines = bench.provider_dialled(1, 1, Availability::All);
    assert_eq!(lines, [format!("peer 1: request {A} {B}")]);
    bench.down(1);
    // Its second end at piece 0: from now on it counts as lacking that one only.
    assert!(!bench.swarm.is_out_of_reach());
    bench.wait(30.0);
    let lines = bench.provider_dialled(2, 1, Availability::All);
    assert_eq!(lines, [format!("peer 1: request {B} 2.0 2.1 2.2 2.3")]);
    bench.bring(1, 1);
    bench.bring(1, 2);
    assert!(bench.swarm.is_out_of_reach());
}

/// Two providers of one public host: one is banned, the other is as honest as before.
#[test]
fn a_ban_of_a_provider_is_for_its_port_alone() {
    let mut bench = Bench::new(6);
    let other = SocketAddr::new(address(1).ip(), 9999);
    let addresses = vec![address(1), other];
    bench.swarm.handle(Input::Candidates { source: Source::Listing, addresses }, bench.now);
    let outputs: Vec<Output> = std::iter::from_fn(|| bench.swarm.poll_output()).collect();
    let dialled = outputs.iter().find_map(|output| match output {
        Output::Dial { link, address: to, .. } if *to == address(1) => Some(link.0),
        _ => None,
    });
    let link = dialled.unwrap();
    bench.provider_dialled(link, 1, Availability::All);
    for piece in 0..3 {
        bench.bring_wrong(1, piece);
    }
    assert!(bench.swarm.crowd.candidates().is_banned(address(1)));
    assert!(!bench.swarm.crowd.candidates().is_banned(other));
}

/// Between "connected" and the list of its pieces nobody knows what it may bring.
#[test]
fn a_provider_that_has_not_told_its_pieces_is_hope() {
    let mut bench = Bench::new(1);
    bench.learn(Source::Listing, 1..2);
    let up = Input::LinkUp { link: LinkId(0), peer_id: peer_id(1), caps: provider_caps() };
    bench.handle(up);
    assert!(!bench.swarm.is_out_of_reach());
    bench.links.insert(1, LinkId(0));
    bench.event(1, LinkEvent::Availability(Availability::None));
    assert!(bench.swarm.is_out_of_reach());
}

#[test]
fn a_peer_that_sends_no_bitfield_has_nothing_to_hope_for() {
    let mut bench = Bench::new(2);
    bench.learn(Source::Tracker, 1..2);
    bench.dialled(0, 1);
    assert!(!bench.swarm.is_out_of_reach(), "its pieces may be on the way");
    bench.wait(15.0);
    assert!(bench.swarm.is_out_of_reach());
}

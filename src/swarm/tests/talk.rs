//! What is said on a link besides data: pieces, interest, who is who, and floods of it.

use super::*;

/// BEP 6: "when the fast extension is enabled, exactly one of Have All, Have None, or
/// Bitfield MUST appear immediately after the handshake".
#[test]
fn what_we_have_is_the_first_word_on_a_link() {
    let mut none = Bench::new(3);
    assert_eq!(none.up(1), ["first peer 1", "peer 1: have none"]);
    assert_eq!(none.up(2), ["peer 2: have none"]);
    let mut some = Bench::with(3, 4, |config| config.have = set(3, &[0, 2]));
    assert_eq!(some.up(1), ["first peer 1", "peer 1: have [0, 2]"]);
    let mut all = Bench::with(3, 4, |config| config.have = Bitfield::all(3));
    assert_eq!(all.up(1), ["first peer 1", "peer 1: have all"]);
}

/// BEP 3: "Interest state must be kept up to date at all times - whenever a downloader
/// doesn't have something they currently would ask a peer for in unchoked, they must express
/// lack of interest, despite being choked."
#[test]
fn interest_is_kept_up_to_date() {
    let mut bench = Bench::with(3, 4, |config| config.have = set(3, &[0]));
    bench.up(1);
    let nothing = bench.event(1, LinkEvent::Availability(Availability::Some(set(3, &[0]))));
    assert!(nothing.is_empty(), "{nothing:?}");
    let piece = bench.piece(1);
    assert_eq!(bench.event(1, LinkEvent::Haves(vec![piece])), ["peer 1: interested"]);
    assert!(bench.event(1, LinkEvent::Haves(vec![piece])).is_empty());
    let unwanted = bench.handle(Input::Wanted(set(3, &[0, 2])));
    assert_eq!(unwanted, ["peer 1: not interested"]);
    let wanted = bench.handle(Input::Wanted(set(3, &[0, 1, 2])));
    assert_eq!(wanted, ["peer 1: interested"]);
}

/// BEP 21: "a peer that is incomplete without downloading anything more".
#[test]
fn a_partial_seed_tells_those_that_can_hear_it() {
    let mut bench = Bench::with(2, 4, |config| config.wanted = set(2, &[0]));
    bench.open_fast(1, Availability::Some(set(2, &[0])));
    let link = bench.swarm.admit(address(2), bench.now).unwrap();
    let deaf = LinkCaps { extended: false, ..caps(false) };
    bench.handle(Input::LinkUp { link, peer_id: peer_id(2), caps: deaf });
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let mut lines = bench.good(0);
    lines.retain(|line| line.contains("upload only"));
    assert_eq!(lines, ["peer 1: upload only: true"]);
    assert_eq!(bench.up_as(3, peer_id(3), true)[0], "peer 3: upload only: true");
    let mut lines = bench.handle(Input::Wanted(Bitfield::all(2)));
    lines.retain(|line| line.contains("upload only"));
    assert_eq!(lines, ["peer 1: upload only: false", "peer 3: upload only: false"]);
    assert_eq!(bench.up_as(4, peer_id(4), true)[0], "peer 4: have [0]");
    // With everything here our pieces say it.
    let mut whole = Bench::with(2, 4, |config| config.have = Bitfield::all(2));
    assert_eq!(whole.up_as(1, peer_id(1), true)[1], "peer 1: have all");
}

#[test]
fn a_second_set_of_pieces_replaces_the_first() {
    let mut bench = Bench::new(3);
    bench.open(1, Availability::Some(set(3, &[0])));
    let lines = bench.event(1, LinkEvent::Availability(Availability::Some(set(3, &[2]))));
    assert_eq!(lines, ["peer 1: request 2.0 2.1 2.2 2.3"]);
    assert_eq!(bench.swarm.nobody_has(), 2);
}

/// Also those hear of it that have it themselves, or two that become complete at the same time
/// would never know it of each other. Seeds hear of many at once.
#[test]
fn a_verified_piece_is_told_to_leechers_at_once_and_to_seeds_by_and_by() {
    let mut bench = Bench::new(2);
    bench.seed(1);
    bench.up(2);
    bench.open(3, Availability::Some(set(2, &[0])));
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let mut lines = bench.good(0);
    lines.retain(|line| line.contains("have"));
    assert_eq!(lines, ["peer 2: have now [0]", "peer 3: have now [0]"]);
    bench.now += Duration::from_secs(1);
    bench.deliver(1, "1.0 1.1 1.2 1.3");
    let lines = bench.wait(4.5);
    assert!(lines.contains(&"peer 1: have now [0]".to_owned()), "{lines:?}");
    let mut lines = bench.good(1);
    lines.retain(|line| line.contains("have"));
    assert_eq!(lines[..2], ["peer 1: have now [1]", "peer 2: have now [1]"]);
}

/// A thousand links are not woken for each of a hundred pieces.
#[test]
fn many_links_are_told_of_many_pieces_at_once() {
    let mut bench = Bench::with(30, 1, |_| {});
    bench.seed(1);
    (2..42).for_each(|host| drop(bench.up(host)));
    let mut told = Vec::new();
    for piece in 0..30 {
        bench.deliver(1, &format!("{piece}.0"));
        bench.now += Duration::from_millis(1);
        told.extend(bench.good(piece));
    }
    told.extend(bench.wait(0.1));
    told.retain(|line| line.starts_with("peer 2: have now"));
    assert!(told.len() < 8, "{told:?}");
    let pieces: usize = told.iter().map(|line| line.split(", ").count()).sum();
    assert_eq!(pieces, 30, "each piece once");
}

/// BEP 3: two connections between the same peers are useless; the one that the peer with
/// the higher id dialled stays, so that both sides close the same.
#[test]
fn of_two_links_to_one_peer_both_sides_keep_the_same() {
    // We have the higher id: our dial stays.
    let mut bench = Bench::new(2);
    bench.up_as(1, peer_id(7), false);
    bench.learn(Source::Tracker, 2..3);
    bench.links.insert(2, LinkId(1));
    let caps = caps(false);
    let up = Input::LinkUp { link: LinkId(1), peer_id: peer_id(7), caps };
    let expected = ["peer 1: close, already connected to this peer", "peer 2: have none"];
    assert_eq!(bench.handle(up), expected);
    // Two that it dialled: the first stays.
    let again = bench.up_as(3, peer_id(7), false);
    assert_eq!(again, ["peer 3: close, already connected to this peer"]);
}

#[test]
fn we_do_not_talk_to_ourselves() {
    let mut bench = Bench::new(2);
    let lines = bench.up_as(1, peer_id(OURS), false);
    assert_eq!(lines, ["peer 1: close, it is ourselves"]);
    assert!(bench.swarm.known(bench.now).is_empty());
}

#[test]
fn sets_of_pieces_without_end_close_the_link() {
    let mut bench = Bench::new(1000);
    bench.up(1);
    for _ in 0..8 {
        let lines = bench.event(1, LinkEvent::Availability(Availability::None));
        assert!(lines.is_empty(), "{lines:?}");
    }
    let last = bench.event(1, LinkEvent::Availability(Availability::None));
    assert_eq!(last, ["peer 1: close, it told all its pieces again and again"]);
}

#[test]
fn sets_that_grow_are_counted_like_others() {
    let mut bench = Bench::new(1000);
    bench.up(1);
    let of = |count| Availability::Some(set(1000, &(0..count).collect::<Vec<_>>()));
    for count in 1..=8 {
        bench.event(1, LinkEvent::Availability(of(count)));
        assert_eq!(bench.swarm.snapshot(bench.now).interesting, 1);
    }
    let last = bench.event(1, LinkEvent::Availability(of(9)));
    assert_eq!(last, ["peer 1: close, it told all its pieces again and again"]);
}

#[test]
fn haves_without_end_change_nothing_after_the_first() {
    let mut bench = Bench::new(2);
    bench.up(1);
    let piece = bench.piece(0);
    let flood = (0..10_000).map(|_| LinkEvent::Haves(vec![piece])).collect();
    assert_eq!(bench.events(1, flood), ["peer 1: interested"]);
    assert_eq!(bench.swarm.snapshot(bench.now).interesting, 1);
    assert_eq!(bench.swarm.nobody_has(), 1);
}

#[test]
fn asks_are_refused_and_a_flood_of_them_closes_the_link() {
    let mut bench = Bench::new(2);
    bench.up(1);
    let ask = bench.ask(0);
    assert_eq!(bench.event(1, LinkEvent::Requested(ask)), ["peer 1: refuse 0"]);
    let flood = (0..600).map(|_| LinkEvent::Requested(ask)).collect();
    let lines = bench.events(1, flood);
    assert_eq!(lines.len(), 500);
    assert_eq!(lines[499], "peer 1: close, it kept asking while choked");
}

#[test]
fn a_complete_torrent_leaves_seeds_and_loses_interest_in_the_rest() {
    let mut bench = Bench::new(1);
    bench.seed(1);
    bench.open(2, Availability::Some(set(1, &[0])));
    bench.up(3);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let expected = [
        "verified 0",
        "peer 1: have now [0]",
        "peer 2: have now [0]",
        "peer 3: have now [0]",
        "peer 1: close, both sides are complete",
        "peer 2: close, both sides are complete",
        "completed",
    ];
    let mut lines = bench.good(0);
    // Interest ends with the last piece, before or after the news of completion.
    lines.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(lines, expected);
    assert_eq!(bench.swarm.snapshot(bench.now).connected, 1);
}

#[test]
fn a_peer_that_has_some_is_told_that_we_want_nothing_more() {
    let mut bench = Bench::with(2, 4, |config| config.wanted = set(2, &[0]));
    bench.open(1, Availability::Some(set(2, &[0])));
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let lines = bench.good(0);
    let expected = ["verified 0", "peer 1: have now [0]", "peer 1: not interested", "completed"];
    assert_eq!(lines[..4], expected);
    assert_eq!(lines[4..], ["peer 1: upload only: true"]);
    let seed = bench.up(2);
    assert_eq!(seed, ["peer 2: upload only: true", "peer 2: have [0]"]);
    let closed = bench.event(2, LinkEvent::Availability(Availability::All));
    assert_eq!(closed, ["peer 2: close, both sides are complete"]);
}

#[test]
fn an_empty_torrent_is_complete_at_birth() {
    let mut bench = Bench::new(0);
    assert!(bench.swarm.is_complete());
    assert!(bench.learn(Source::Tracker, 1..9).is_empty());
    assert_eq!(bench.up(1), ["first peer 1", "peer 1: have none"]);
    assert!(bench.event(1, LinkEvent::Unchoked).is_empty());
}

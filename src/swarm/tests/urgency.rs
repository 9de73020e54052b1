//! What is asked for first when files have priorities, and what the user's other bounds mean for
//! those who are connected: all of it may change at any time.

use std::collections::BTreeSet;

use crate::base::file_priority::FilePriority::{self, High, Low, Normal, Off};
use crate::base::ids::SourceId;
use crate::swarm::event::{Holds, WebSource};
use crate::swarm::report::SourceState;
use crate::swarm::urgency::Urgency;

use super::*;

/// Five files of four pieces each, of one block each.
const FILES: u32 = 5;
const PIECES: u32 = 4;

/// Priorities of the files become which pieces are wanted, and how urgent those are.
fn prioritize(bench: &mut Bench, files: [FilePriority; FILES as usize], ends_first: bool) {
    let len = u64::from(PIECES) * BLOCK_LEN as u64;
    let extents = Extents::new((0..FILES).map(|_| (len, false)));
    let urgency = Urgency::of(&bench.layout, &extents, &files, ends_first);
    let wanted = (0..FILES * PIECES).filter(|piece| files[(piece / PIECES) as usize].is_wanted());
    bench.handle(Input::Wanted(set(FILES * PIECES, &wanted.collect::<Vec<_>>())));
    bench.handle(Input::Urgency(urgency));
}

fn bench(sequential: bool, seed: u64) -> Bench {
    Bench::with(FILES * PIECES, 1, |config| (config.sequential, config.seed) = (sequential, seed))
}

/// The pieces in the order in which the peer is asked for them, each sent when it was asked for.
fn fetched(bench: &mut Bench, host: u8, lines: &[String]) -> Vec<u32> {
    let mut asked = asked_of(host, lines);
    let mut at = 0;
    while let Some(piece) = asked.get(at).copied() {
        at += 1;
        let mut lines = bench.deliver(host, &format!("{piece}.0"));
        lines.extend(bench.good(piece));
        asked.extend(asked_of(host, &lines));
    }
    asked
}

fn asked_of(host: u8, lines: &[String]) -> Vec<u32> {
    let prefix = format!("peer {host}: request ");
    let names = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
    let pieces = names.flat_map(|names| names.split(' ').map(|name| name.split('.').next()));
    pieces.map(|piece| piece.unwrap().parse().unwrap()).collect()
}

/// The files that pieces are of, each once for those that come one after the other.
fn files_of(pieces: &[u32]) -> Vec<u32> {
    let mut files: Vec<u32> = pieces.iter().map(|piece| piece / PIECES).collect();
    files.dedup();
    files
}

#[test]
fn high_files_come_first_low_ones_last_and_those_that_are_off_never() {
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let mut bench = bench(false, seed);
        prioritize(&mut bench, [Normal, Low, High, Off, Normal], false);
        let lines = bench.seed(1);
        let pieces = fetched(&mut bench, 1, &lines);
        assert_eq!(pieces.len(), 16);
        let (high, rest) = pieces.split_at(4);
        let (normal, low) = rest.split_at(8);
        assert_eq!((files_of(high), files_of(low)), (vec![2], vec![1]), "{pieces:?}");
        assert!(normal.iter().all(|piece| [0, 4].contains(&(piece / PIECES))), "{pieces:?}");
        assert!(bench.swarm.is_complete());
        orders.insert(pieces);
    }
    assert!(orders.len() > 15, "within a priority they come in any order");
}

#[test]
fn a_rare_piece_of_a_normal_file_waits_for_common_ones_of_a_high_one() {
    let mut bench = bench(false, 1);
    bench.handle(Input::Wanted(Bitfield::all(20)));
    prioritize(&mut bench, [Normal, Normal, Normal, Normal, High], false);
    for host in 2..6 {
        bench.up(host);
        let common = Availability::Some(set(20, &(1..20).collect::<Vec<_>>()));
        bench.event(host, LinkEvent::Availability(common));
    }
    let lines = bench.seed(1);
    let pieces = asked_of(1, &lines);
    assert_eq!(files_of(&pieces[..4]), [4], "{pieces:?}");
    // Of those behind them the rarest is next, once a few are here.
    let pieces = fetched(&mut bench, 1, &lines);
    assert_eq!(pieces.len(), 20);
}

#[test]
fn sequential_goes_through_each_priority_in_order() {
    let mut bench = bench(true, 1);
    prioritize(&mut bench, [Low, Normal, Off, High, Normal], false);
    let lines = bench.seed(1);
    let pieces = fetched(&mut bench, 1, &lines);
    let expected: Vec<u32> = (12..16).chain(4..8).chain(16..20).chain(0..4).collect();
    assert_eq!(pieces, expected);
}

#[test]
fn first_and_last_pieces_of_wanted_files_come_before_all_others() {
    let mut bench = bench(true, 1);
    prioritize(&mut bench, [Normal, Low, Off, High, Normal], true);
    let lines = bench.seed(1);
    let pieces = fetched(&mut bench, 1, &lines);
    let ends = [12, 15, 0, 3, 16, 19, 4, 7];
    let middles = [13, 14, 1, 2, 17, 18, 5, 6];
    assert_eq!(pieces, [ends, middles].concat());
}

#[test]
fn a_change_counts_from_the_next_piece_on() {
    let mut bench = bench(true, 1);
    let lines = bench.seed(1);
    let begun = asked_of(1, &lines);
    assert_eq!(begun, (0..10).collect::<Vec<_>>());
    prioritize(&mut bench, [Normal, Normal, Low, Off, High], false);
    // What is asked for stays so, unless it is off.
    let pieces = fetched(&mut bench, 1, &lines);
    let expected: Vec<u32> = (0..10).chain(16..20).chain(10..12).collect();
    assert_eq!(pieces, expected);
    // What was off is fetched when it is wanted after all, and in any order when that is said.
    bench.handle(Input::Sequential(false));
    let len = u64::from(PIECES) * BLOCK_LEN as u64;
    let extents = Extents::new((0..FILES).map(|_| (len, false)));
    let urgency = Urgency::of(&bench.layout, &extents, &[Normal; 5], false);
    bench.handle(Input::Urgency(urgency));
    bench.handle(Input::Wanted(Bitfield::all(20)));
    let lines = bench.seed(2);
    let mut rest = fetched(&mut bench, 2, &lines);
    rest.sort_unstable();
    assert_eq!(rest, (12..16).collect::<Vec<_>>());
}

#[test]
fn fewer_links_than_there_are_end_the_arriving_and_then_the_least_useful() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 10);
    for host in 1..5 {
        bench.up(host);
    }
    bench.events(3, vec![LinkEvent::Availability(Availability::All), LinkEvent::Unchoked]);
    bench.deliver(3, "0.0");
    assert_eq!(bench.learn(Source::Tracker, 6..8).len(), 2);
    let lines = bench.handle(Input::PeersMax(4));
    let given_up = [5, 4].map(|link| format!("link {link}: close, its place went to another peer"));
    assert_eq!(lines, given_up);
    let lines = bench.handle(Input::PeersMax(1));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("peer 3")), "it brings something");
    assert!(bench.swarm.admit(address(9), bench.now).is_err());
    // More are dialled as soon as they may be.
    let lines = bench.handle(Input::PeersMax(3));
    assert!(lines.iter().any(|line| line.starts_with("dial ")), "{lines:?}");
}

#[test]
fn no_more_are_served_than_the_user_allows() {
    let mut bench = Bench::with(4, 4, |config| config.have = Bitfield::all(4));
    let served = |lines: &[String]| {
        let count = |what| lines.iter().filter(|line| line.ends_with(what)).count();
        (count(": unchoke"), count(": choke"))
    };
    let mut lines = Vec::new();
    for host in 1..7 {
        lines.extend(bench.up(host));
        lines.extend(bench.event(host, LinkEvent::Interested));
    }
    assert_eq!(served(&lines), (6, 0));
    let lines = bench.handle(Input::SlotsMax(Some(2)));
    assert_eq!(served(&lines), (0, 4), "at once");
    let lines = bench.handle(Input::SlotsMax(Some(0)));
    assert_eq!(served(&lines), (0, 2));
    let lines = bench.handle(Input::SlotsMax(None));
    assert_eq!(served(&lines), (6, 0));
}

#[test]
fn one_who_lacks_something_serves_no_more_than_allowed_either() {
    let mut bench = Bench::with(4, 4, |config| config.have = set(4, &[0]));
    for host in 1..7 {
        bench.up(host);
        bench.event(host, LinkEvent::Interested);
    }
    for most in [1, 0, 3] {
        bench.handle(Input::SlotsMax(Some(most)));
        bench.wait(40.0);
        let links = bench.swarm.links(bench.now);
        assert_eq!(links.iter().filter(|link| !link.choked_by_us).count(), most);
    }
}

#[test]
fn peers_are_told_that_no_others_are_named_any_more() {
    let mut bench = Bench::with(4, 4, |config| config.exchanges_peers = true);
    bench.up(1);
    bench.up(2);
    let lines = bench.handle(Input::ExchangesPeers(false));
    assert_eq!(lines, ["peer 1: stop exchange", "peer 2: stop exchange"]);
    assert!(bench.handle(Input::ExchangesPeers(false)).is_empty());
    assert!(bench.handle(Input::ExchangesPeers(true)).is_empty());
}

/// A source that has all files, and a link to it.
fn served(bench: &mut Bench) -> Vec<String> {
    let told = WebSource { source: SourceId(0), holds: Holds::All, priority: 1, links_max: 1 };
    assert_eq!(bench.handle(Input::Sources(vec![told])), ["lease source 0 as 0"]);
    let caps = LinkCaps { unit: Unit::Run, chokes: false, can_upload_to: false, ..caps(true) };
    bench.handle(Input::LinkUp { link: LinkId(0), peer_id: peer_id(1), caps })
}

#[test]
fn a_server_is_asked_for_the_most_urgent_run_first() {
    let mut bench = bench(false, 1);
    prioritize(&mut bench, [Normal, High, Off, Low, Normal], false);
    assert_eq!(served(&mut bench), ["link 0: fetch 4..8"]);
}

#[test]
fn a_source_that_is_barred_is_left_and_asked_again_when_it_is_not() {
    let mut bench = bench(false, 1);
    assert_eq!(served(&mut bench), ["link 0: fetch 0..20"]);
    let bar = |are_barred| Input::SourcesBarred { sources: vec![SourceId(0)], are_barred };
    let lines = bench.handle(bar(true));
    assert!(lines.iter().any(|line| line.starts_with("link 0: close")), "{lines:?}");
    assert!(matches!(bench.swarm.sources(bench.now)[0].state, SourceState::Off { .. }));
    assert!(bench.wait(60.0).is_empty(), "it is not asked");
    assert_eq!(bench.handle(bar(false)), ["lease source 0 as 1"]);
}

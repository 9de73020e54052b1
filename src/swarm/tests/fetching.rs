//! What is asked of whom: unchoke, order of pieces, choke, refusals, snubs, allowed fast.

use std::collections::{BTreeSet, VecDeque};

use crate::swarm::event::DownReason;
use crate::swarm::link::Description;

use super::*;

const TEN: &str = "peer 1: request 0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3 2.0 2.1";

/// BEP 3: "Downloaders should keep several pieces requests queued up at once".
#[test]
fn an_unchoke_brings_ten_requests() {
    let mut bench = Bench::new(5);
    bench.up(1);
    let all = LinkEvent::Availability(Availability::All);
    assert_eq!(bench.event(1, all), ["peer 1: interested"]);
    assert_eq!(bench.event(1, LinkEvent::Unchoked), [TEN]);
    assert!(bench.event(1, LinkEvent::Unchoked).is_empty());
}

/// BEP 3 asks for whole pieces to become available soon: what is begun comes first.
#[test]
fn partial_pieces_come_before_new_ones() {
    let mut bench = Bench::new(5);
    bench.seed(1);
    let second = bench.seed(2);
    let rest = "peer 2: request 2.2 2.3 3.0 3.1 3.2 3.3 4.0 4.1 4.2 4.3";
    assert_eq!(second, ["peer 2: interested", rest]);
    bench.down(1);
    let third = bench.open(3, Availability::Some(set(5, &[1, 4])));
    assert_eq!(third, ["peer 3: interested", "peer 3: request 1.0 1.1 1.2 1.3"]);
}

#[test]
fn rarest_pieces_are_begun_first_after_a_few_at_random() {
    let change = |config: &mut SwarmConfig| {
        config.sequential = false;
        config.have = set(40, &[0, 1, 2, 3]);
    };
    let mut bench = Bench::with(40, 4, change);
    for host in 1..5 {
        bench.up(host);
        let most = (0..40).filter(|piece| *piece != 17).collect::<Vec<_>>();
        let pieces = Availability::Some(set(40, &most));
        bench.event(host, LinkEvent::Availability(pieces));
    }
    let lines = bench.seed(9);
    assert!(lines[1].starts_with("peer 9: request 17.0 17.1 17.2 17.3 "), "{lines:?}");
}

#[test]
fn several_peers_share_one_piece() {
    let mut bench = Bench::with(1, 25, |_| {});
    bench.seed(1);
    let second = bench.seed(2);
    let middle = "peer 2: request 0.10 0.11 0.12 0.13 0.14 0.15 0.16 0.17 0.18 0.19";
    assert_eq!(second, ["peer 2: interested", middle]);
    let third = bench.seed(3);
    assert_eq!(third, ["peer 3: interested", "peer 3: request 0.20 0.21 0.22 0.23 0.24"]);
}

/// BEP 6: without the fast extension "a choke implicitly rejects all pending requests".
#[test]
fn a_choke_voids_requests_without_the_fast_extension() {
    let mut bench = Bench::with(1, 10, |_| {});
    bench.seed(1);
    assert_eq!(bench.seed(2)[..], ["peer 2: interested"]);
    let lines = bench.event(1, LinkEvent::Choked);
    assert_eq!(lines, ["peer 2: request 0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"]);
    // Blocks that were on the way are still welcome, and nobody's fault.
    assert_eq!(bench.deliver(1, "0.0"), ["peer 2: cancel 0.0"]);
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 0);
}

/// BEP 6: "Choke [...] no longer implicitly rejects all pending requests".
#[test]
fn a_choke_leaves_requests_alive_with_the_fast_extension() {
    let mut bench = Bench::with(1, 10, |_| {});
    bench.open_fast(1, Availability::All);
    bench.seed(2);
    assert!(bench.event(1, LinkEvent::Choked).is_empty());
    assert_eq!(bench.refuse(1, "0.3", false), ["peer 2: request 0.3"]);
    assert!(bench.deliver(1, "0.0").is_empty());
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 0);
}

/// BEP 6: one that chokes "MUST reject all requests", however many there are: honest.
#[test]
fn refusals_that_a_choke_brings_are_no_offence() {
    let mut bench = Bench::with(1, 400, |config| config.share_blocks = 2048);
    bench.open_fast(1, Availability::All);
    // Rounds without delay are no rounds; the pipeline grows by two a block.
    let mut blocks: Vec<String> = (0..10).map(|number| format!("0.{number}")).collect();
    while blocks.len() < 240 {
        bench.now += Duration::from_millis(1);
        let name = blocks.remove(0);
        for line in bench.deliver(1, &name) {
            let asked = line.strip_prefix("peer 1: request ").unwrap();
            blocks.extend(asked.split(' ').map(str::to_owned));
        }
    }
    bench.event(1, LinkEvent::Choked);
    for name in blocks {
        let lines = bench.refuse(1, &name, false);
        assert!(lines.is_empty(), "{lines:?}");
    }
    assert_eq!(bench.swarm.snapshot(bench.now).connected, 1);
    let again = bench.event(1, LinkEvent::Unchoked);
    assert_eq!(again.len(), 1);
}

#[test]
fn a_refused_block_goes_to_others_and_the_peer_rests() {
    let mut bench = Bench::with(1, 12, |_| {});
    bench.open_fast(1, Availability::All);
    assert!(bench.refuse(1, "0.3", false).is_empty());
    let second = bench.seed(2);
    assert_eq!(second, ["peer 2: interested", "peer 2: request 0.3 0.10 0.11"]);
    bench.down(2);
    // The seed has rested for a tenth of a second when it is asked for the rest.
    assert_eq!(bench.wait(0.05), [""; 0]);
    assert_eq!(bench.wait(0.05), ["peer 1: request 0.3"]);
}

/// A file of a seed's was moved away and back, while it refused each piece of it no more than once.
#[test]
fn a_refused_piece_that_is_told_again_is_asked_for_at_once() {
    let mut bench = Bench::with(1, 2, |_| {});
    bench.open_fast(1, Availability::All);
    assert!(bench.refuse(1, "0.0", false).is_empty());
    assert!(bench.refuse(1, "0.1", false).is_empty());
    let told = bench.event(1, LinkEvent::Haves(vec![bench.piece(0)]));
    assert_eq!(told, ["peer 1: request 0.0 0.1"]);
    // It is no second refusal.
    bench.wait(5.0);
    assert!(bench.refuse(1, "0.0", false).is_empty());
    assert_eq!(bench.swarm.nobody_has(), 0);
}

#[test]
fn a_lasting_refusal_means_that_the_peer_lacks_the_piece() {
    let mut bench = Bench::new(2);
    bench.open_fast(1, Availability::Some(set(2, &[1])));
    let lines = bench.refuse(1, "1.0", true);
    assert_eq!(lines, ["peer 1: not interested"]);
    assert_eq!(bench.swarm.nobody_has(), 2);
}

/// Every block of a piece that the peer lacks is refused, but it lacks one piece only.
#[test]
fn many_lasting_refusals_of_one_piece_take_away_one_piece() {
    let mut bench = Bench::new(4);
    bench.open_fast(1, Availability::All);
    for number in 0..4 {
        let lines = bench.refuse(1, &format!("0.{number}"), true);
        assert!(!lines.iter().any(|line| line.contains("not interested")), "{lines:?}");
    }
    assert_eq!(bench.swarm.nobody_has(), 1);
}

#[test]
fn refusals_of_what_was_never_asked_are_counted_and_close_the_link() {
    let mut bench = Bench::new(40);
    bench.open_fast(1, Availability::All);
    for _ in 0..50 {
        assert!(bench.refuse(1, "30.0", false).is_empty());
    }
    let last = bench.refuse(1, "30.0", false);
    assert_eq!(last, ["peer 1: close, it kept sending what nobody asked for"]);
}

#[test]
fn one_that_refuses_everything_is_left() {
    let mut bench = Bench::with(900, 1, |_| {});
    let mut asked: VecDeque<String> = asked_of(1, &bench.open_fast(1, Availability::All)).into();
    let (mut refused, mut closed) = (0, false);
    while !closed && refused < 900 {
        while let Some(name) = asked.pop_front().filter(|_| !closed) {
            let lines = bench.refuse(1, &name, false);
            closed |= lines.contains(&"peer 1: close, it refused every request".to_owned());
            asked.extend(asked_of(1, &lines));
            refused += 1;
        }
        asked.extend(asked_of(1, &bench.wait(6.0)));
    }
    // Each of 200 pieces at most twice.
    assert!(closed && refused <= 401, "{refused}");
    assert_eq!(asked_of(2, &bench.seed(2)).len(), 10, "others are asked for them");
}

/// The blocks that a peer is asked for in these lines.
fn asked_of(host: u8, lines: &[String]) -> Vec<String> {
    let start = format!("peer {host}: request ");
    let names = lines.iter().filter_map(|line| line.strip_prefix(&start));
    names.flat_map(|names| names.split(' ').map(str::to_owned)).collect()
}

/// BEP 3 and BEP 6 have no word for it: a file of the remote's was deleted. The others are to be
/// had of it all the same, without a rest.
#[test]
fn a_piece_that_is_refused_twice_is_lost_to_the_peer_and_the_others_are_not() {
    let mut bench = Bench::with(40, 2, |_| {});
    let lost = |name: &str| (5..15).contains(&name.split('.').next().unwrap().parse().unwrap());
    let mut asked: VecDeque<String> = asked_of(1, &bench.open_fast(1, Availability::All)).into();
    let (mut refusals, mut brought) = (0, BTreeSet::new());
    let (begun, mut all_brought) = (bench.now, None);
    while bench.swarm.nobody_has() < 10 && bench.now < begun + Duration::from_secs(30) {
        if brought.len() == 60 {
            all_brought.get_or_insert(bench.now);
        }
        let Some(name) = asked.pop_front() else {
            asked.extend(asked_of(1, &bench.wait(0.1)));
            continue;
        };
        bench.now += Duration::from_millis(10);
        let lines = match lost(&name) {
            true => {
                refusals += 1;
                bench.refuse(1, &name, false)
            }
            false => {
                brought.insert(name.clone());
                bench.deliver(1, &name)
            }
        };
        asked.extend(asked_of(1, &lines));
        for piece in bench.at_disk.keys().copied().collect::<Vec<_>>() {
            let lines = bench.good(piece);
            asked.extend(asked_of(1, &lines));
        }
    }
    let took = all_brought.expect("it brings all that it has") - begun;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(refusals <= 40, "each of 20 blocks twice at most: {refusals}");
    assert_eq!(bench.swarm.nobody_has(), 10);
    // What it tells that it has again it is asked for again.
    let told = bench.event(1, LinkEvent::Haves(vec![bench.piece(7)]));
    assert_eq!(asked_of(1, &told), ["7.0", "7.1"]);
}

/// Transmission refuses what is outstanding first, and then tells that it chokes. On a long line
/// that takes a while.
#[test]
fn what_is_refused_before_a_choke_is_not_lost() {
    let mut bench = Bench::with(1, 10, |_| {});
    bench.open_fast(1, Availability::All);
    for _ in 0..3 {
        for number in 0..10 {
            bench.refuse(1, &format!("0.{number}"), false);
            bench.now += Duration::from_millis(150);
        }
        bench.event(1, LinkEvent::Choked);
        bench.wait(20.0);
        bench.event(1, LinkEvent::Unchoked);
    }
    assert_eq!(bench.swarm.nobody_has(), 0);
}

#[test]
fn blocks_that_nobody_asked_for_close_the_link_after_fifty() {
    let mut bench = Bench::new(40);
    bench.seed(1);
    for _ in 0..50 {
        assert!(bench.deliver(1, "30.0").is_empty());
    }
    let last = bench.deliver(1, "30.0");
    assert_eq!(last, ["peer 1: close, it kept sending what nobody asked for"]);
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 51 * 16384);
}

#[test]
fn stray_data_counts_as_unasked() {
    let mut bench = Bench::new(4);
    bench.up(1);
    let strays = (0..51).map(|_| LinkEvent::Stray(100)).collect();
    let lines = bench.events(1, strays);
    assert_eq!(lines, ["peer 1: close, it kept sending what nobody asked for"]);
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 5100);
}

/// BEP 3 calls it snubbing when a peer lets us wait. In the end game others get its blocks
/// before that, though nothing but time tells them so.
#[test]
fn a_peer_that_sends_nothing_for_ten_seconds_is_asked_for_little() {
    let mut bench = Bench::with(1, 10, |_| {});
    bench.seed(1);
    let second = bench.seed(2);
    assert_eq!(second, ["peer 2: interested"]);
    assert_eq!(bench.wait(1.9), [""; 0]);
    // The other peer gets everything that it owes.
    let lines = bench.wait(1.2);
    let all = "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9";
    let expected = [format!("peer 1: cancel {all}"), format!("peer 2: request {all}")];
    assert_eq!(lines, expected);
    bench.wait(6.8);
    assert!(!bench.swarm.links(bench.now)[0].snubbed);
    bench.wait(0.2);
    assert!(bench.swarm.links(bench.now)[0].snubbed);
    // A late block is accepted and ends the snub.
    let late = bench.deliver(1, "0.5");
    assert_eq!(late[0], "peer 2: cancel 0.5");
    assert!(!bench.swarm.links(bench.now)[0].snubbed);
    assert_eq!(bench.swarm.snapshot(bench.now).wasted_bytes, 0);
}

/// Requests that timed out may be held by the peer still, and count against its limit; those
/// that it rejects (BEP 6) or forgets with a choke (BEP 3) do not.
#[test]
fn a_peer_that_was_silent_at_its_limit_is_asked_again_once_it_answers() {
    for fast in [true, false] {
        let mut bench = Bench::with(1, 10, |_| {});
        bench.up_as(1, peer_id(1), fast);
        let described = Description { pipeline_max: Some(4), ..Description::default() };
        let told = [
            LinkEvent::Described(described),
            LinkEvent::Availability(Availability::All),
            LinkEvent::Unchoked,
        ];
        let lines = bench.events(1, told.into());
        assert_eq!(lines, ["peer 1: interested", "peer 1: request 0.0 0.1 0.2 0.3"]);
        // With four requests at it, it is not even asked for one to try.
        assert_eq!(bench.wait(15.0), [""; 0]);
        let answer = match fast {
            true => (0..4)
                .map(|number| {
                    let block = bench.layout.block(bench.piece(0), number).unwrap();
                    LinkEvent::Refused { block, lasting: false }
                })
                .collect(),
            false => vec![LinkEvent::Choked, LinkEvent::Unchoked],
        };
        assert_eq!(bench.events(1, answer), ["peer 1: request 0.0"], "fast: {fast}");
    }
}

#[test]
fn a_peer_that_stays_silent_is_left() {
    let mut bench = Bench::new(4);
    bench.seed(1);
    let lines = bench.wait(90.0);
    assert!(lines.contains(&"peer 1: close, it sent nothing for 70 s".to_owned()), "{lines:?}");
}

/// BEP 6: "Allowed Fast [...] if they are requested, they will be sent even if choked".
#[test]
fn allowed_pieces_are_asked_for_while_choked_and_only_those() {
    let mut bench = Bench::new(9);
    bench.up_as(1, peer_id(1), true);
    bench.event(1, LinkEvent::Availability(Availability::All));
    let allowed = LinkEvent::AllowedFast(bench.piece(7));
    assert_eq!(bench.event(1, allowed), ["peer 1: request 7.0 7.1 7.2 7.3"]);
    // A partial piece that is not allowed is not asked for either.
    bench.open(2, Availability::Some(set(9, &[0])));
    bench.event(2, LinkEvent::Choked);
    assert_eq!(bench.deliver(1, "7.0 7.1 7.2 7.3"), ["check 7 [data data data data]"]);
}

#[test]
fn a_refused_allowed_piece_is_not_asked_for_again_while_choked() {
    let mut bench = Bench::new(9);
    bench.up_as(1, peer_id(1), true);
    bench.event(1, LinkEvent::Availability(Availability::All));
    bench.event(1, LinkEvent::AllowedFast(bench.piece(7)));
    for number in 0..4 {
        let lines = bench.refuse(1, &format!("7.{number}"), false);
        assert!(lines.is_empty(), "{lines:?}");
    }
}

#[test]
fn memory_limits_the_pieces_that_are_begun() {
    // Three eighths of the pool are three blocks.
    let mut bench = Bench::with(20, 4, |config| config.share_blocks = 4);
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2 1.0"), ["peer 1: request 2.2 2.3"]);
    let whole = bench.deliver(1, "0.3");
    assert_eq!(whole[0], "check 0 [data data data data]");
    assert!(whole[1].starts_with("peer 1: request 3.0 3.1 3.2 3.3"), "{whole:?}");
}

/// A pause closes all links; a dial that succeeds meanwhile is not kept either.
#[test]
fn a_pause_ends_all_links_and_a_resume_dials_again() {
    let mut bench = Bench::new(4);
    bench.learn(Source::Tracker, 1..3);
    bench.dialled(0, 1);
    let paused = bench.handle(Input::Pause(true));
    assert_eq!(paused, ["peer 1: close, we stopped"]);
    assert_eq!(bench.dialled(1, 2), ["peer 2: close, we stopped"]);
    assert!(bench.swarm.admit(address(3), bench.now).is_err());
    let resumed = bench.handle(Input::Pause(false));
    assert_eq!(resumed.len(), 2, "{resumed:?}");
    assert!(resumed.iter().all(|line| line.starts_with("dial ")), "{resumed:?}");
}

#[test]
fn pieces_that_are_no_longer_wanted_are_cancelled() {
    let mut bench = Bench::new(3);
    bench.seed(1);
    let lines = bench.handle(Input::Wanted(set(3, &[1, 2])));
    assert_eq!(lines, ["peer 1: cancel 0.0 0.1 0.2 0.3", "peer 1: request 2.2 2.3"]);
    let back = bench.handle(Input::Wanted(Bitfield::all(3)));
    assert_eq!(back, ["peer 1: request 0.0 0.1"]);
}

#[test]
fn wanting_less_can_complete() {
    let mut bench = Bench::new(2);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.good(0);
    let lines = bench.handle(Input::Wanted(set(2, &[0])));
    let expected =
        ["peer 1: cancel 1.0 1.1 1.2 1.3", "completed", "peer 1: close, both sides are complete"];
    assert_eq!(lines, expected);
}

#[test]
fn what_a_lost_link_owed_is_asked_of_others() {
    let mut bench = Bench::with(1, 10, |_| {});
    bench.seed(1);
    bench.seed(2);
    bench.deliver(1, "0.4");
    let link = bench.links[&1];
    let reason = DownReason::TimedOut("silence");
    let lines = bench.handle(Input::LinkDown { link, reason });
    assert_eq!(lines, ["peer 2: request 0.0 0.1 0.2 0.3 0.5 0.6 0.7 0.8 0.9"]);
}

/// Two pieces that nobody brings to their end hold nearly our share of memory: they must not keep
/// others from being begun, whether somebody has them still or not.
#[test]
fn pieces_that_do_not_come_to_their_end_do_not_stop_the_others() {
    for stays in [true, false] {
        let mut bench = Bench::with(9, 5, |config| config.share_blocks = 8);
        bench.open(1, Availability::Some(set(9, &[0, 1])));
        bench.deliver(1, "0.0 0.1 0.2 0.3");
        bench.deliver(1, "1.0 1.1 1.2");
        if !stays {
            bench.down(1);
        }
        let rest = Availability::Some(set(9, &[2, 3, 4, 5, 6, 7, 8]));
        let mut lines = bench.open(2, rest);
        assert!(!lines.iter().any(|line| line.starts_with("peer 2: request")), "{lines:?}");
        for _ in 0..2 {
            lines.extend(bench.wait(5.0));
            for piece in std::mem::take(&mut bench.spilled).into_keys() {
                let piece = bench.piece(piece);
                lines.extend(bench.handle(Input::Spilled { piece, failed: None }));
            }
        }
        assert!(lines.iter().any(|line| line.starts_with("peer 2: request 2.")), "{lines:?}");
    }
}

/// What lies at a slow disk is memory too, of which other torrents have a share.
#[test]
fn no_piece_is_begun_while_our_share_waits_for_the_disk() {
    let mut bench = Bench::with(9, 4, |config| config.share_blocks = 7);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let lines = bench.deliver(1, "1.0 1.1 1.2 1.3");
    assert!(!lines.iter().any(|line| line.contains(" 4.")), "{lines:?}");
    bench.deliver(1, "2.0 2.1 2.2 2.3");
    let lines = bench.good(0);
    assert!(!lines.iter().any(|line| line.contains("request")), "{lines:?}");
    let lines = bench.good(1);
    assert!(lines.iter().any(|line| line.starts_with("peer 1: request")), "{lines:?}");
}

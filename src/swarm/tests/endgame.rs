//! The end game: late blocks move to another link, but only when nothing can be begun, and none
//! is ever asked of two.

use super::*;

/// Peer 1 is slow (one block a second), peer 2 fast; peer 1 owes the last blocks.
fn near_the_end() -> Bench {
    let mut bench = Bench::with(2, 20, |_| {});
    bench.seed(1);
    bench
}

/// BEP 3: "When a download is almost complete, [...] requests for all of its last blocks go
/// to all peers"; here only to one at a time, who would be sooner.
#[test]
fn late_blocks_move_only_when_nothing_can_be_begun() {
    let mut bench = near_the_end();
    let second = bench.seed(2);
    assert_eq!(second[1].matches("0.").count(), 10);
    assert!(!bench.swarm.is_endgame());
    bench.now += Duration::from_millis(100);
    let more = bench.deliver(2, "0.10 0.11 0.12 0.13 0.14 0.15 0.16 0.17 0.18 0.19");
    assert!(more.iter().all(|line| !line.contains(" 0.")), "{more:?}");
    assert!(bench.swarm.is_endgame());
    bench.now += Duration::from_millis(100);
    let all: Vec<String> = (0..20).map(|number| format!("1.{number}")).collect();
    let lines = bench.deliver(2, &all.join(" "));
    assert!(lines[0].starts_with("check 1 "), "{lines:?}");
    // Peer 1 has not sent anything yet: it cannot be counted on.
    assert_eq!(lines[1], "peer 1: cancel 0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9");
    assert_eq!(lines[2], "peer 2: request 0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9");
    assert_eq!(lines.len(), 3);
}

/// BEP 3: "it sends cancels to everyone else every time a piece arrives".
#[test]
fn a_block_that_comes_after_all_is_cancelled_elsewhere_and_its_late_twin_is_no_offence() {
    let mut bench = near_the_end();
    bench.seed(2);
    bench.now += Duration::from_millis(100);
    bench.deliver(2, "0.10 0.11 0.12 0.13 0.14 0.15 0.16 0.17 0.18 0.19");
    let all: Vec<String> = (0..20).map(|number| format!("1.{number}")).collect();
    bench.now += Duration::from_millis(100);
    bench.deliver(2, &all.join(" "));
    // It was on its way when it moved.
    assert_eq!(bench.deliver(1, "0.9"), ["peer 2: cancel 0.9"]);
    assert!(bench.deliver(2, "0.9").is_empty());
    let snapshot = bench.swarm.snapshot(bench.now);
    assert_eq!((snapshot.wasted_bytes, snapshot.connected), (16384, 2));
}

/// Of two that are silent, neither is asked for the same again and again.
#[test]
fn a_block_does_not_move_back_to_a_link_that_may_still_bring_it() {
    let mut bench = Bench::with(1, 4, |_| {});
    bench.seed(1);
    bench.seed(2);
    let lines = bench.wait(9.9);
    assert_eq!(lines, ["peer 1: cancel 0.0 0.1 0.2 0.3", "peer 2: request 0.0 0.1 0.2 0.3"]);
}

/// One that was fast and then drips is never silent: what it owes goes back all the same, if
/// others bring it, and it is asked for little.
#[test]
fn a_dripping_peer_gives_back_what_it_owes_long_before_the_end() {
    let mut bench = Bench::with(2_000, 4, |_| {});
    bench.seed(1);
    for block in (0..800).step_by(2) {
        bench.now += Duration::from_millis(5);
        let next = block + 1;
        let (a, b) = ((block / 4, block % 4), (next / 4, next % 4));
        bench.deliver(1, &format!("{}.{} {}.{}", a.0, a.1, b.0, b.1));
    }
    let owed = bench.swarm.links(bench.now)[0].requests.0;
    assert!(owed > 60, "{owed}");
    let mut lines = bench.seed(2);
    let mut given_back = false;
    for drop in 800..806 {
        // The second one brings at once whatever it is asked for.
        let asked = lines.iter().filter_map(|line| line.strip_prefix("peer 2: request "));
        let asked: Vec<String> = asked.map(str::to_owned).collect();
        lines = asked.iter().flat_map(|names| bench.deliver(2, names)).collect();
        lines.extend(bench.deliver(1, &format!("{}.{}", drop / 4, drop % 4)));
        lines.extend(bench.wait(1.9));
        given_back |= lines.iter().any(|line| line.starts_with("peer 1: cancel"));
    }
    assert!(given_back);
    let (owed, wanted) = bench.swarm.links(bench.now)[0].requests;
    assert!(owed <= 20 && wanted <= 20, "{owed} of {wanted}");
}

/// BEP 6: a cancelled request is still answered, by the piece or by a reject: as often as
/// there are cancels, and never an offence.
#[test]
fn a_refusal_that_answers_a_cancel_is_no_offence() {
    let mut bench = Bench::with(100, 1, |_| {});
    bench.open_fast(1, Availability::All);
    for round in 0..60 {
        let unwanted = set(100, &[99 - round % 2]);
        bench.handle(Input::Wanted(unwanted));
        let refused = format!("{}.0", 99 - (round + 1) % 2);
        if round > 0 {
            let lines = bench.refuse(1, &refused, false);
            assert!(lines.is_empty(), "{lines:?}");
        }
    }
    assert_eq!(bench.swarm.snapshot(bench.now).connected, 1);
}

#[test]
fn a_lone_peer_is_never_asked_twice() {
    let mut bench = Bench::with(1, 12, |_| {});
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0"), ["peer 1: request 0.10 0.11"]);
    assert!(bench.deliver(1, "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8").is_empty());
}

/// What a link gave back it may be asked for again after a while, though nobody says a word.
#[test]
fn what_was_given_back_and_came_free_again_is_asked_of_whom_is_left() {
    let mut bench = Bench::with(2_000, 4, |_| {});
    bench.seed(1);
    bench.now += Duration::from_millis(100);
    bench.deliver(1, "0.0");
    let mut lines = bench.seed(2);
    // The second one brings at once whatever it is asked for, and then nothing but a choke.
    let mut given_back = String::new();
    for drip in 1..40 {
        let asked = lines.iter().filter_map(|line| line.strip_prefix("peer 2: request "));
        let asked: Vec<String> = asked.map(str::to_owned).collect();
        lines = asked.iter().flat_map(|names| bench.deliver(2, names)).collect();
        if drip % 8 == 0 {
            // Never silent for ten seconds.
            lines.extend(bench.deliver(1, &format!("{}.{}", drip / 32, drip / 8 % 4)));
        }
        lines.extend(bench.wait(1.0));
        let cancelled = lines.iter().filter_map(|line| line.strip_prefix("peer 1: cancel "));
        given_back.extend(cancelled.take(1).map(str::to_owned));
        if !given_back.is_empty() {
            break;
        }
    }
    assert!(!given_back.is_empty(), "the first one never came to it");
    bench.event(2, LinkEvent::Choked);
    let first = given_back.split(' ').next().unwrap();
    let lines = bench.wait(45.0);
    let is_asked = |line: &String| line.starts_with("peer 1: request") && line.contains(first);
    assert!(lines.iter().any(is_asked), "{first} in {lines:?}");
}

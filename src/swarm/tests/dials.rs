//! Who is dialled, when again, and who makes room.

use super::*;

#[test]
fn at_most_thirty_dials_are_under_way() {
    let mut bench = Bench::new(4);
    let lines = bench.learn(Source::Tracker, 1..60);
    assert_eq!(lines.len(), 30);
    let failed = DownReason::DialFailed("refused".into());
    let next = bench.handle(Input::LinkDown { link: LinkId(0), reason: failed });
    assert_eq!(next.len(), 1);
    assert!(next[0].starts_with("dial "), "{next:?}");
}

#[test]
fn a_dial_that_fails_is_made_again_later_and_later() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.learn(Source::Tracker, 1..2), ["dial 1 as 0"]);
    for (link, wait) in [(0, 5), (1, 20), (2, 45)] {
        let reason = DownReason::DialFailed("refused".into());
        assert!(bench.handle(Input::LinkDown { link: LinkId(link), reason }).is_empty());
        let early = bench.wait(f64::from(wait) - 0.1);
        assert!(early.is_empty(), "{early:?}");
        let lines = bench.wait(0.2);
        assert_eq!(lines, [format!("dial 1 as {}", link + 1)]);
    }
}

#[test]
fn no_more_links_than_allowed() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 3);
    bench.up(1);
    let dials = bench.learn(Source::Tracker, 2..9);
    assert_eq!(dials.len(), 2);
    assert!(bench.swarm.admit(address(20)).is_none());
}

#[test]
fn with_every_place_taken_a_useless_link_makes_room() {
    let mut bench = Bench::with(4, 4, |config| config.max_peers = 2);
    bench.open(1, Availability::Some(set(4, &[0])));
    bench.up(2);
    bench.learn(Source::Tracker, 3..4);
    for _ in 0..7 {
        bench.now += Duration::from_secs(9);
        bench.event(1, LinkEvent::Have(bench.piece(0)));
        let name = format!("0.{}", bench.swarm.snapshot(bench.now).held_blocks.min(3));
        let lines = bench.deliver(1, &name);
        assert!(!lines.iter().any(|line| line.contains("dial")), "{lines:?}");
    }
    let lines = bench.wait(6.0);
    let expected = ["peer 2: close, its place went to another peer", "dial 3 as 2"];
    assert_eq!(lines, expected);
}

#[test]
fn a_lost_peer_is_dialled_again_soon() {
    let mut bench = Bench::new(4);
    bench.learn(Source::Tracker, 1..2);
    bench.dialled(0, 1);
    bench.down(1);
    let lines = bench.wait(5.0);
    assert!(lines.contains(&"dial 1 as 1".to_owned()), "{lines:?}");
}

//! Private torrents (BEP 27).

use super::*;

fn private() -> Bench {
    Bench::with(4, 4, |config| config.is_private = true)
}

#[test]
fn only_trackers_name_peers() {
    let mut bench = private();
    // "MUST ONLY initiate connections to peers returned from the private tracker."
    for source in [Source::User, Source::Listing, Source::Incoming] {
        assert!(bench.learn(source, 1..9).is_empty(), "{source:?}");
    }
    assert_eq!(bench.learn(Source::Tracker, 9..10), ["dial 9 as 0"]);
}

#[test]
fn newcomers_get_in_but_are_not_dialled_back() {
    let mut bench = private();
    assert_eq!(bench.up(1), ["first peer 1", "peer 1: have none"]);
    bench.down(1);
    assert!(bench.wait(600.0).is_empty());
}

#[test]
fn with_another_tracker_all_peers_are_left_and_forgotten() {
    let mut bench = private();
    bench.learn(Source::Tracker, 1..4);
    bench.dialled(0, 1);
    bench.up(9);
    let lines = bench.handle(Input::TrackerChanged);
    let closed =
        |line: &&String| line.ends_with("close, the private torrent has another tracker now");
    // Two that are up and two dials.
    assert_eq!(lines.iter().filter(closed).count(), 4, "{lines:?}");
    assert_eq!(bench.swarm.snapshot(bench.now).known, 0);
    assert!(bench.wait(600.0).is_empty());
    assert_eq!(bench.learn(Source::Tracker, 5..6).len(), 1);
}

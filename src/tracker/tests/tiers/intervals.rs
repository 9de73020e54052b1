//! When a tracker is asked again: what it says of that, what is made of silly answers, failures,
//! and the user's impatience.

use super::*;

#[test]
fn the_interval_is_obeyed_and_one_announce_is_on_its_way_at_a_time() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.peers(3, 3);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.until(1799), []);
    assert_eq!(world.until(1900), [at(1800, "one -")]);
    assert_eq!(world.until(9000), []);
}

#[test]
fn silly_intervals_are_bent() {
    // Interval told, minimum told, peers connected, and the second of the next announce.
    let cases = [
        (Some(0), None, 5, 300),
        (Some(0), None, 0, 60),
        (Some(10), Some(120), 0, 120),
        (Some(1800), Some(30), 0, 60),
        (Some(1800), Some(900), 0, 900),
        (Some(1800), None, 0, 1800),
        (Some(600), Some(1200), 5, 1200),
        (None, None, 5, 1800),
        (Some(10_000_000), None, 5, 86_400),
    ];
    for (interval, min_interval, connected, next) in cases {
        let mut world = World::started(&[&["one"]]);
        world.outputs();
        world.peers(connected, connected);
        let reply = AnnounceReply {
            interval: interval.map(seconds),
            min_interval: min_interval.map(seconds),
            ..AnnounceReply::default()
        };
        world.replied("one", reply);
        let case = format!("{interval:?} {min_interval:?} {connected}");
        assert_eq!(world.until(next), [at(next, "one -")], "{case}");
    }
}

#[test]
fn an_interval_of_zero_and_no_peers_is_no_hammer() {
    let mut world = World::started(&[&["one"]]);
    let mut count = world.outputs().len();
    for second in 0..600 {
        if !world.in_flight.is_empty() {
            world.replied("one", reply(0));
        }
        count += world.until(second).len();
    }
    assert_eq!(count, 10);
}

#[test]
fn back_off_grows_with_the_square_of_failures() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    let mut waits = Vec::new();
    let mut last = 0;
    for _ in 0..30 {
        assert_eq!(world.failed("one"), [""; 0]);
        let asked = world.until(last + 4000);
        assert_eq!(asked.len(), 1);
        waits.push(asked[0].0 - last);
        last = asked[0].0;
        world.now = world.start + seconds(last);
    }
    assert_eq!(waits[..4], [5, 20, 45, 80]);
    assert_eq!(waits[29], 3600);
}

#[test]
fn retry_in_is_obeyed() {
    let refused = |retry_in| Error::Refused { reason: "busy".to_owned(), retry_in };
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.refused("one", refused(Some(RetryIn::After(seconds(300)))));
    assert_eq!(world.until(299), []);
    // Not even the user gets past it.
    let wait = ManualAnnounce::AllowedIn("http://one".to_owned(), seconds(1));
    assert_eq!(world.tiers.announce_now(world.now), wait);
    assert_eq!(world.until(300), [at(300, "one started")]);
    world.refused("one", refused(Some(RetryIn::Never)));
    assert_eq!(world.until(1_000_000), []);
    assert_eq!(world.tiers.announce_now(world.now), ManualAnnounce::NoTracker);
    assert_eq!(world.tiers.status()[0].state, TrackerState::GaveUp);
    assert_eq!(world.tiers.status()[0].last_error.as_deref(), Some("tracker refused: busy"));
}

// BEP 3 as the wiki has it: "min interval: (optional) Minimum announce interval. If present
// clients must not reannounce more frequently than this."
#[test]
fn progress_is_told_early_where_the_tracker_names_how_early_it_may_be() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.peers(1, 1);
    let minimum = AnnounceReply { min_interval: Some(seconds(120)), ..reply(1800) };
    world.replied("one", minimum.clone());
    world.until(50);
    world.handle(Input::Grown);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.until(130), [at(120, "one -")]);
    world.replied("one", minimum);
    assert!(world.until(1000).is_empty(), "once");
    world.handle(Input::Grown);
    assert_eq!(world.outputs(), ["one -"]);
    world.replied("one", reply(1800));
    world.handle(Input::Grown);
    assert!(world.until(2000).is_empty(), "this one names none");
}

#[test]
fn a_manual_announce_skips_the_interval_but_not_the_minimum() {
    let asking = ManualAnnounce::Asking("http://one".to_owned());
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    assert_eq!(world.tiers.announce_now(world.now), asking);
    world.peers(1, 1);
    world.replied("one", AnnounceReply { min_interval: Some(seconds(120)), ..reply(1800) });
    world.until(50);
    let wait = ManualAnnounce::AllowedIn("http://one".to_owned(), seconds(70));
    assert_eq!(world.tiers.announce_now(world.now), wait);
    assert_eq!(world.outputs(), [""; 0]);
    world.until(120);
    assert_eq!(world.tiers.announce_now(world.now), asking);
    assert_eq!(world.outputs(), ["one -"]);
    // Back-off is the machine's patience, not the user's.
    world.failed("one");
    world.until(126);
    world.outputs();
    world.in_flight.clear();
}

#[test]
fn jitter_stays_within_five_per_cent() {
    let mut world = World::with(&[&["one"]], Timing::default());
    world.handle(STARTED_AS_SEED);
    world.outputs();
    let (mut last, mut waits) = (0, std::collections::BTreeSet::new());
    for _ in 0..20 {
        world.replied("one", reply(1800));
        let asked = world.until(last + 1890);
        let wait = asked[0].0 - last;
        assert!((1710..=1890).contains(&wait), "{wait}");
        waits.insert(wait);
        last = asked[0].0;
        world.now = world.start + seconds(last);
    }
    assert!(waits.len() > 3, "{waits:?}");
}

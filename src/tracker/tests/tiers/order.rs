//! Which tracker is asked: backups and tiers (BEP 12), those that hang, are dead, or speak
//! something else, and when a torrent asks further than the first that answers.

use super::*;

// BEP 12: "On each announce, first try tracker1, then if that cannot be reached, try backup1
// and backup2 respectively."
#[test]
fn backups_are_asked_after_failures_in_order() {
    let mut world = World::started(&[&["one"], &["two"], &["three"]]);
    assert_eq!(world.outputs(), ["one started"]);
    assert_eq!(world.failed("one"), ["two started"]);
    assert_eq!(world.failed("two"), ["three started"]);
    assert_eq!(world.replied("three", reply(1800)), [""; 0]);
}

// BEP 12: "If tracker2 can be reached, the list is now: tracker2,tracker1,tracker3."
#[test]
fn a_working_tracker_moves_to_the_front_of_its_tier() {
    let mut world = World::started(&[&["a", "b", "c"], &["z"]]);
    let before = world.order();
    world.outputs();
    world.failed(&before[0]);
    world.replied(&before[1], reply(1800));
    let expected = [1, 0, 2, 3].map(|position| before[position].clone());
    assert_eq!(world.order(), expected);
}

// BEP 12: "the list will be shuffled when first read".
#[test]
fn tiers_are_shuffled_within_themselves() {
    let names = ["a", "b", "c", "d"];
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let tiers =
            vec![names.map(|name| format!("http://{name}")).to_vec(), vec!["http://z".to_owned()]];
        let tiers = Tiers::new(tiers, Timing::default(), StdRng::seed_from_u64(seed));
        let status = tiers.status();
        assert_eq!(status[4].url, "http://z");
        firsts.insert(status[0].url.clone());
    }
    assert_eq!(firsts.len(), 4);
}

#[test]
fn ten_seconds_without_a_working_peer_lead_to_the_next_tier() {
    let mut world = World::started(&[&["one"], &["two"], &["three"]]);
    world.outputs();
    world.replied("one", reply(1800));
    // Connected is not working: these serve nothing.
    assert_eq!(world.peers(4, 0), [""; 0]);
    assert_eq!(world.until(12), [at(10, "two started")]);
    world.replied("two", reply(1800));
    world.peers(5, 1);
    assert_eq!(world.until(1700), []);
}

#[test]
fn the_rest_of_the_same_tier_shares_the_peers_and_is_not_asked_for_them() {
    let mut world = World::started(&[&["a", "b"], &["z"]]);
    world.outputs();
    let first = world.order()[0].clone();
    world.replied(&first, reply(1800));
    assert_eq!(world.until(15), [at(10, "z started")]);
}

#[test]
fn a_torrent_that_loses_its_last_working_peer_asks_further_after_ten_seconds() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.peers(2, 2);
    world.replied("one", reply(1800));
    world.until(100);
    assert_eq!(world.peers(2, 0), [""; 0]);
    assert_eq!(world.until(105), []);
    world.peers(2, 1);
    assert_eq!(world.until(200), []);
    world.peers(2, 0);
    assert_eq!(world.until(220), [at(210, "two started")]);
}

#[test]
fn a_seed_without_peers_is_content() {
    let mut world = World::new(&[&["one"], &["two"]]);
    world.handle(STARTED_AS_SEED);
    assert_eq!(world.outputs(), ["one started"]);
    assert_eq!(world.until(25), []);
    world.replied("one", reply(1800));
    assert_eq!(world.until(1824), []);
    assert_eq!(world.until(1825), [at(1825, "one -")]);
}

#[test]
fn a_hanging_tracker_holds_up_nobody_who_is_alone() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    let asked = world.until(29);
    assert_eq!(asked, [at(12, "two started")]);
    assert!(asked[0].0 < 15);
    assert_eq!(world.replied("two", reply(1800)), [""; 0]);
    world.peers(1, 1);
    // The first one's failure, when it comes, starts nothing but its own back-off.
    world.until(30);
    assert_eq!(world.failed("one"), [""; 0]);
    assert_eq!(world.until(34), []);
    assert_eq!(world.until(35), [at(35, "one started")]);
}

#[test]
fn a_hanging_tracker_is_waited_for_when_peers_are_connected() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.peers(1, 0);
    assert_eq!(world.until(29), []);
    // The last peer goes: now the wait has been long enough.
    assert_eq!(world.peers(0, 0), ["two started"]);
}

#[test]
fn a_late_reply_of_a_hanging_tracker_counts() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.until(12);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.failed("two"), [""; 0]);
    world.peers(1, 1);
    assert_eq!(world.until(1700), []);
    assert_eq!(world.until(1900), [at(1812, "one -")]);
}

#[test]
fn a_better_tracker_is_tried_again_and_a_satisfied_torrent_goes_no_further() {
    let mut world = World::started(&[&["one"], &["two"], &["three"]]);
    world.outputs();
    world.peers(1, 1);
    world.failed("one");
    world.replied("two", reply(1800));
    assert_eq!(world.until(5), [at(5, "one started")]);
    assert_eq!(world.failed("one"), [""; 0]);
    assert_eq!(world.until(25), [at(25, "one started")]);
    world.replied("one", reply(1800));
    assert_eq!(world.until(1824), []);
    assert_eq!(world.until(1825), [at(1825, "one -")]);
}

#[test]
fn trackers_we_do_not_speak_to_are_listed_and_skipped() {
    let mut world = World::started(&[&["ftp://a:1"], &["wss://b"], &["one", "one", " "]]);
    assert_eq!(world.outputs(), ["one started"]);
    let states: Vec<_> = world.tiers.status().iter().map(|s| s.state.to_string()).collect();
    assert_eq!(states, ["not supported yet", "not supported yet", "announcing"]);

    let mut world = World::started(&[&["ftp://a:1"]]);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.tiers.next_timeout(), None);
    assert_eq!(world.tiers.announce_now(world.now), ManualAnnounce::NoTracker);
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["finished"]);
}

#[test]
fn many_dead_trackers_make_no_storm() {
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let tiers: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(Vec::as_slice).collect();
    let mut world = World::started(&tiers);
    let mut count = world.outputs().len();
    for second in 0..=59 {
        while let Some((_, name)) = world.in_flight.first().cloned() {
            count += world.failed(&name).len();
        }
        count += world.until(second).len();
    }
    assert_eq!(count, 15);
    assert_eq!(world.until(60).len(), 1);
}

#[test]
fn trackers_that_were_never_reached_cost_nothing() {
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let tiers: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(Vec::as_slice).collect();
    let errors = [
        Error::Unreachable("connection refused".to_owned()),
        Error::Lookup { host: "t".to_owned(), cause: "unknown".to_owned() },
        Error::Url("has no port"),
    ];
    for error in errors {
        let mut world = World::started(&tiers);
        world.outputs();
        for number in 0..39 {
            let next = format!("t{} started", number + 1);
            assert_eq!(world.refused(&format!("t{number}"), error.clone()), [next]);
        }
        assert_eq!(world.replied("t39", reply(1800)), [""; 0]);
    }
}

#[test]
fn trackers_that_hang_hold_up_those_behind_them_less_and_less() {
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let tiers: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(Vec::as_slice).collect();
    let mut world = World::started(&tiers);
    world.outputs();
    let seconds: Vec<u64> = world.until(29).into_iter().map(|(second, _)| second).collect();
    assert_eq!(seconds, [12, 15, 18, 21, 24, 27]);
}

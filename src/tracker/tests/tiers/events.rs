//! What is said with an announce: `started`, `completed` once, `stopped` to whoever has heard of us
//! (BEP 3), to each family (BEP 7), and around pauses.

use super::*;

// BEP 3: "one using completed is sent when the download is complete. No completed is sent if
// the file was complete when started."
#[test]
fn completed_is_sent_once_and_at_once() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.peers(1, 1);
    let minimum = AnnounceReply { min_interval: Some(seconds(900)), ..reply(1800) };
    world.replied("one", minimum.clone());
    world.until(100);
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.replied("one", minimum), [""; 0]);
    assert_eq!(world.until(2000), [at(1900, "one -")]);
}

#[test]
fn completed_waits_for_a_tracker_that_knows_us() {
    let mut world = World::started(&[&["one"], &["two"]]);
    assert_eq!(world.outputs(), ["one started"]);
    world.handle(Input::Completed);
    assert_eq!(world.failed("one"), ["two started"]);
    assert_eq!(world.replied("two", reply(1800)), ["two completed"]);
    assert_eq!(world.failed("two"), [""; 0]);
    assert_eq!(world.until(5), [at(5, "one started"),]);
    assert_eq!(world.failed("one"), ["two completed"]);
    assert_eq!(world.replied("two", reply(1800)), [""; 0]);
}

#[test]
fn no_completed_when_complete_at_start() {
    let mut world = World::new(&[&["one"]]);
    world.handle(STARTED_AS_SEED);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.until(1000), []);
}

#[test]
fn stopped_goes_to_all_who_got_started_together_and_not_for_long() {
    let mut world = World::started(&[&["one"], &["two"], &["three"], &["four"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.until(10);
    world.failed("two");
    world.replied("three", reply(1800));
    assert_eq!(world.order(), ["one", "two", "three", "four"]);
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped", "three stopped"]);
    assert_eq!(world.replied("three", reply(1800)), [""; 0]);
    assert_eq!(world.until(12), []);
    assert_eq!(world.until(20), [at(13, "finished")]);
    assert_eq!(world.tiers.next_timeout(), None);
}

#[test]
fn stopped_ends_early_when_all_have_answered() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped"]);
    assert_eq!(world.failed("one"), ["finished"]);
}

/// The torrent completes once; who cannot hear the answer in time hears `stopped` all the same.
#[test]
fn completed_that_is_on_its_way_at_the_end_is_not_said_again() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.until(100);
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    world.handle(Input::Stopped);
    assert_eq!(world.until(101), []);
    world.start -= Duration::from_millis(500);
    assert_eq!(world.until(102), [at(102, "one stopped")], "half of the budget is over");
    world.replied("one", reply(1800));
    assert_eq!(world.replied("one", reply(1800)), ["finished"]);
}

#[test]
fn completed_that_is_on_its_way_at_a_pause_is_said_once() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    world.handle(Input::Paused);
    assert_eq!(world.outputs(), [""; 0], "the answer is waited for");
    assert_eq!(world.replied("one", reply(1800)), ["one stopped"]);
    world.replied("one", reply(1800));
    world.handle(Input::Resumed);
    assert_eq!(world.outputs(), ["one started"]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    // Who goes on before the answer has heard it.
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    world.outputs();
    world.handle(Input::Paused);
    world.handle(Input::Resumed);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.until(1800), [at(1800, "one -")]);
}

// BEP 7: an announce is made for each address; each is forgotten by a `stopped` of its own.
#[test]
fn each_family_hears_its_own_goodbye() {
    let mut world = World::new(&[&["one"]]);
    world.has_six = true;
    world.handle(STARTED);
    assert_eq!(world.outputs(), ["one started", "one6 started"]);
    world.replied("one6", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one6 completed"], "the other one still owes an answer");
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.replied("one", reply(1800)), ["one stopped"]);
    assert_eq!(world.replied("one6", reply(1800)), ["one6 stopped"]);
    assert_eq!(world.replied("one6", reply(1800)), [""; 0]);
    assert_eq!(world.replied("one", reply(1800)), ["finished"]);
}

#[test]
fn a_slow_family_of_a_tracker_that_answers_is_waited_for() {
    let mut world = World::new(&[&["one"]]);
    world.has_six = true;
    world.handle(STARTED);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped"]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.until(1), [], "more than a moment");
    assert_eq!(world.replied("one6", reply(1800)), ["one6 stopped"]);
    assert_eq!(world.replied("one6", reply(1800)), ["finished"]);
}

#[test]
fn a_family_that_fails_is_no_failure_and_hears_no_goodbye() {
    let mut world = World::new(&[&["one"], &["two"]]);
    world.has_six = true;
    world.handle(STARTED);
    world.outputs();
    world.peers(1, 1);
    assert_eq!(world.failed("one6"), [""; 0]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.tiers.status()[0].state, TrackerState::Working);
    assert_eq!(world.until(1800), [at(1800, "one -"), at(1800, "one6 started")]);
    world.replied("one", reply(1800));
    world.failed("one6");
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped"]);
}

#[test]
fn a_dead_family_hides_no_refusal_of_the_other_one() {
    let refusal = || Error::Refused {
        reason: "busy".to_owned(),
        retry_in: Some(RetryIn::After(seconds(300))),
    };
    let dead = || Error::Unreachable("no route".to_owned());
    for (six, four) in [(dead(), refusal()), (refusal(), dead()), (broken(), refusal())] {
        let mut world = World::new(&[&["one"]]);
        world.has_six = true;
        world.handle(STARTED);
        world.outputs();
        world.refused("one6", six);
        world.refused("one", four);
        let last_error = world.tiers.status()[0].last_error.clone();
        assert_eq!(last_error.as_deref(), Some("tracker refused: busy"));
        assert_eq!(world.until(299), [], "it said when to come back");
    }
}

// BEP 21: "it MUST send an event=paused parameter in every announce while it is a partial seed".
#[test]
fn a_partial_seed_says_paused_and_never_completed() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Stands(Standing::PartialSeed));
    assert_eq!(world.until(1000), [], "it wants nothing of anybody");
    assert_eq!(world.until(1800), [at(1800, "one paused")]);
    world.replied("one", reply(1800));
    world.handle(Input::Stands(Standing::Leech));
    world.peers(1, 1);
    assert_eq!(world.until(3600), [at(3600, "one -")]);
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    // One that begins so enters the swarm all the same, and leaves it.
    let mut world = World::new(&[&["one"]]);
    world.handle(Input::Started { standing: Standing::PartialSeed, was_complete: false });
    assert_eq!(world.outputs(), ["one paused"]);
    world.replied("one", reply(1800));
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped"]);
}

#[test]
fn a_partial_seed_announces_over_udp_as_anybody() {
    let mut world = World::new(&[&["udp://one"]]);
    world.handle(Input::Started { standing: Standing::PartialSeed, was_complete: false });
    assert_eq!(world.outputs(), ["udp://one started"]);
    world.replied("udp://one", reply(1800));
    assert_eq!(world.until(1800), [at(1800, "udp://one -")]);
}

/// BEP 3: "one using `completed` is sent when the download is complete".
#[test]
fn a_completion_that_no_tracker_has_heard_of_is_told_before_stopped() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), [""; 0], "it is on its way");
    assert_eq!(world.replied("one", reply(1800)), ["one stopped"]);
    assert_eq!(world.replied("one", reply(1800)), ["finished"]);
}

/// A small download may be complete, and the program at its end, before the first answer.
#[test]
fn a_completion_before_the_answer_to_started_is_told_before_stopped() {
    let mut world = World::started(&[&["one"]]);
    assert_eq!(world.outputs(), ["one started"]);
    world.handle(Input::Completed);
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), [""; 0], "it gets a moment");
    assert_eq!(world.replied("one", reply(1800)), ["one completed"]);
    assert_eq!(world.replied("one", reply(1800)), ["one stopped"]);
    assert_eq!(world.replied("one", reply(1800)), ["finished"]);
}

#[test]
fn stopped_tells_nobody_who_never_answered() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    let late = world.in_flight[0].0;
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), [""; 0], "it gets a moment");
    assert_eq!(world.until(1), [at(0, "finished")]);
    world.handle(Input::Replied { call: late, reply: Box::new(reply(1800)) });
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.until(9000), []);
}

#[test]
fn who_answers_in_the_last_moment_hears_the_goodbye() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.replied("one", reply(1800)), ["one stopped"]);
    assert_eq!(world.replied("one", reply(1800)), ["finished"]);
}

#[test]
fn a_paused_torrent_has_left_and_enters_anew() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.peers(3, 3);
    world.handle(Input::Completed);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Paused);
    assert_eq!(world.outputs(), ["one stopped"], "the other has never heard of us");
    assert_eq!(world.replied("one", reply(60)), [""; 0]);
    assert_eq!(world.until(9000), [], "no interval counts");
    assert_eq!(world.tiers.announce_now(world.now), ManualAnnounce::Paused);
    assert_eq!(world.outputs(), [""; 0]);
    world.handle(Input::Resumed);
    assert_eq!(world.outputs(), ["one started"], "and no `completed` again");
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    assert_eq!(world.until(11_000), [at(10_800, "one -")]);
}

#[test]
fn who_pauses_in_the_middle_of_an_announce_says_goodbye_all_the_same() {
    let mut world = World::started(&[&["one"]]);
    assert_eq!(world.outputs(), ["one started"]);
    world.handle(Input::Paused);
    assert_eq!(world.outputs(), ["one stopped"]);
    world.failed("one");
    assert_eq!(world.until(9000), [], "a goodbye is not tried again");
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["one stopped"], "but at the end it is");
    assert_eq!(world.replied("one", reply(60)), ["finished"]);
}

#[test]
fn a_paused_torrent_that_has_left_ends_at_once() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Paused);
    world.outputs();
    world.replied("one", reply(1800));
    world.handle(Input::Stopped);
    assert_eq!(world.outputs(), ["finished"]);
}

// BEP 3: "completed" is sent when the download is; what is lost and fetched again was.
#[test]
fn a_torrent_that_misses_bytes_again_is_a_leech_again() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.peers(1, 1);
    world.replied("one", reply(1800));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), ["one completed"]);
    world.replied("one", reply(1800));
    world.peers(0, 0);
    assert_eq!(world.until(1000), [], "a seed is not lonely");
    world.handle(Input::Stands(Standing::Leech));
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.until(1020), [at(1010, "two started")]);
    world.replied("two", reply(1800));
    world.peers(1, 1);
    world.until(1100);
    world.handle(Input::Stands(Standing::Seed));
    world.handle(Input::Completed);
    assert_eq!(world.outputs(), [""; 0], "once only");
    world.peers(0, 0);
    assert_eq!(world.until(1700), []);
}

#[test]
fn completed_waits_while_bytes_are_missing_again() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    world.peers(1, 1);
    world.handle(Input::Completed);
    world.handle(Input::Stands(Standing::Leech));
    world.replied("one", reply(300));
    assert_eq!(world.until(300), [at(300, "one -")]);
    world.replied("one", reply(300));
    world.handle(Input::Stands(Standing::Seed));
    assert_eq!(world.outputs(), ["one completed"]);
    world.replied("one", reply(300));
}

//! The machine in virtual time: inputs at given seconds, exact lists of outputs.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::tracker::announce::{AnnounceReply, Error, Event, Family, RetryIn, SwarmCounts};
use crate::tracker::tiers::status::TrackerState;
use crate::tracker::tiers::{Call, Input, ManualAnnounce, Output, Standing, Tiers, Timing};

const STARTED: Input = Input::Started { standing: Standing::Leech, was_complete: false };
const STARTED_AS_SEED: Input = Input::Started { standing: Standing::Seed, was_complete: true };

/// The machine, a clock, and what it has on its way.
struct World {
    tiers: Tiers,
    start: Instant,
    now: Instant,
    in_flight: Vec<(Call, String)>,
    /// Hosts have an IPv6 address too; what is said over it is called `name6`.
    has_six: bool,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn reply(interval: u64) -> AnnounceReply {
    AnnounceReply { complete: Some(0), incomplete: Some(0), ..without_counts(interval) }
}

fn without_counts(interval: u64) -> AnnounceReply {
    AnnounceReply { interval: Some(seconds(interval)), ..AnnounceReply::default() }
}

fn broken() -> Error {
    Error::Network("connection reset".to_owned())
}

impl World {
    fn new(tiers: &[&[&str]]) -> Self {
        let timing = Timing { jitter_percent: 0, ..Timing::default() };
        Self::with(tiers, timing)
    }

    /// Names without a scheme get one, so that tests stay short.
    fn with(tiers: &[&[&str]], timing: Timing) -> Self {
        let url = |name: &&str| {
            if name.contains("://") || name.trim().is_empty() {
                (*name).to_owned()
            } else {
                format!("http://{name}")
            }
        };
        let tiers = tiers.iter().map(|tier| tier.iter().map(url).collect()).collect();
        let start = Instant::now();
        let tiers = Tiers::new(tiers, timing, StdRng::seed_from_u64(7));
        Self { tiers, start, now: start, in_flight: Vec::new(), has_six: false }
    }

    fn started(tiers: &[&[&str]]) -> Self {
        let mut world = Self::new(tiers);
        world.handle(STARTED);
        world
    }

    fn handle(&mut self, input: Input) {
        self.tiers.handle(input, self.now);
    }

    /// What the machine wants now, as "name event".
    fn outputs(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(output) = self.tiers.poll_output() {
            all.push(match output {
                Output::Finished => "finished".to_owned(),
                Output::Scrape { tracker } => {
                    let name = self.tiers.url(tracker).trim_start_matches("http://");
                    format!("{name} scrape")
                }
                Output::Announce { call, .. } if call.family == Family::V6 && !self.has_six => {
                    self.handle(Input::Failed { call, error: Error::NoAddress(Family::V6) });
                    continue;
                }
                Output::Announce { call, event } => {
                    let url = self.tiers.url(call.tracker);
                    let six = if call.family == Family::V6 { "6" } else { "" };
                    let name = format!("{}{six}", url.trim_start_matches("http://"));
                    self.in_flight.push((call, name.clone()));
                    format!("{name} {}", event.map_or("-", Event::as_str))
                }
                Output::CutOff { call } => {
                    self.in_flight.retain(|(flying, _)| *flying != call);
                    continue;
                }
            });
        }
        all
    }

    fn take(&mut self, name: &str) -> Call {
        let position = self.in_flight.iter().position(|(_, other)| other == name);
        self.in_flight.remove(position.unwrap_or_else(|| panic!("{name} was not asked"))).0
    }

    fn replied(&mut self, name: &str, reply: AnnounceReply) -> Vec<String> {
        let call = self.take(name);
        self.handle(Input::Replied { call, reply: Box::new(reply) });
        self.outputs()
    }

    fn failed(&mut self, name: &str) -> Vec<String> {
        self.refused(name, broken())
    }

    fn refused(&mut self, name: &str, error: Error) -> Vec<String> {
        let call = self.take(name);
        self.handle(Input::Failed { call, error });
        self.outputs()
    }

    fn peers(&mut self, connected: usize, working: usize) -> Vec<String> {
        self.handle(Input::Peers { connected, working });
        self.outputs()
    }

    /// Lets time run to `second` after the start; what came out, with its second.
    fn until(&mut self, second: u64) -> Vec<(u64, String)> {
        let end = self.start + seconds(second);
        let mut all = Vec::new();
        while let Some(wake) = self.tiers.next_timeout().filter(|wake| *wake <= end) {
            self.now = wake.max(self.now);
            self.handle(Input::Tick);
            let outputs = self.outputs();
            // A timeout in the past without an effect would spin a real task.
            let is_stuck = outputs.is_empty() && self.tiers.next_timeout() == Some(wake);
            assert!(!is_stuck, "a timeout came to nothing");
            let second = (self.now - self.start).as_secs();
            all.extend(outputs.into_iter().map(|output| (second, output)));
        }
        self.now = end;
        all
    }

    fn order(&self) -> Vec<String> {
        let name = |url: &str| url.trim_start_matches("http://").to_owned();
        self.tiers.status().iter().map(|status| name(&status.url)).collect()
    }
}

fn at(second: u64, output: &str) -> (u64, String) {
    (second, output.to_owned())
}

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
fn a_tracker_id_is_kept_until_another_one_comes() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    let tracker = world.in_flight[0].0.tracker;
    world.replied("one", AnnounceReply { tracker_id: Some(b"x".to_vec()), ..reply(300) });
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"x".as_slice()));
    world.until(300);
    world.replied("one", reply(300));
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"x".as_slice()));
    world.until(600);
    world.replied("one", AnnounceReply { tracker_id: Some(b"y".to_vec()), ..reply(300) });
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"y".as_slice()));
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

#[test]
fn counts_that_a_reply_lacks_are_scraped_once_an_interval() {
    let mut world = World::started(&[&["one"], &["two"], &["three"]]);
    world.outputs();
    world.peers(1, 1);
    let tracker = world.in_flight[0].0.tracker;
    assert_eq!(world.replied("one", without_counts(1800)), ["one scrape"]);
    let counts = SwarmCounts { complete: Some(4), incomplete: None, downloaded: Some(9) };
    world.handle(Input::Scraped { tracker, counts });
    let status = &world.tiers.status()[0];
    assert_eq!((status.seeds, status.leeches, status.downloaded), (Some(4), None, Some(9)));
    // Who wants to see them gets those that are not known yet.
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), ["two scrape", "three scrape"]);
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), [""; 0]);
    // A scrape that failed tells nothing and costs nothing.
    world.handle(Input::Scraped { tracker, counts: SwarmCounts::default() });
    assert_eq!(world.tiers.status()[0].seeds, Some(4));
    assert_eq!(world.until(1800), [at(1800, "one -")]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), ["two scrape", "three scrape"]);
}

#[test]
fn the_status_tells_all_there_is() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.failed("one");
    world.peers(1, 1);
    let good = AnnounceReply {
        complete: Some(3),
        incomplete: Some(4),
        warning: Some("be nice".to_owned()),
        ..reply(1800)
    };
    world.replied("two", good);
    let status = world.tiers.status();
    assert_eq!(status[0].state, TrackerState::Failing(1));
    assert_eq!(status[0].last_error.as_deref(), Some("cannot reach tracker: connection reset"));
    assert_eq!(status[0].next_announce_at, Some(world.start + seconds(5)));
    assert_eq!((status[1].tier, status[1].state), (1, TrackerState::Working));
    assert_eq!((status[1].seeds, status[1].leeches), (Some(3), Some(4)));
    assert_eq!(status[1].warning.as_deref(), Some("be nice"));
    assert_eq!(status[1].next_announce_at, Some(world.start + seconds(1800)));
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

proptest! {
    // Whatever trackers and peers do: the machine never spins, never has two announces at one
    // tracker, sends `started` first, `completed` at most once with success, and no more than
    // fifteen announces a minute.
    #[test]
    fn any_history_is_orderly(
        steps in prop::collection::vec((0u8..8, 0u64..40, 0usize..9), 1..80),
    ) {
        let mut world = World::started(&[&["a", "b"], &["c"], &["ftp://d", "e"]]);
        let (mut asked, mut second) = (Vec::new(), 0);
        asked.extend(world.outputs().into_iter().map(|output| (0, output)));
        for (kind, wait, choice) in steps {
            second += wait;
            asked.extend(world.until(second));
            let busy = world.in_flight.get(choice % world.in_flight.len().max(1)).cloned();
            let outputs = match (kind, busy) {
                (0..=1, Some((_, name))) => world.replied(&name, reply(wait * 60)),
                (2..=3, Some((_, name))) => world.failed(&name),
                (4, Some((_, name))) => {
                    let retry_in = Some(RetryIn::After(seconds(wait)));
                    let reason = String::new();
                    world.refused(&name, Error::Refused { reason, retry_in })
                }
                (5, _) => {
                    world.tiers.announce_now(world.now);
                    world.outputs()
                }
                (6, _) if choice > 5 => {
                    let all = [Standing::PartialSeed, Standing::Seed, Standing::Leech];
                    world.handle(Input::Stands(all[choice % 3]));
                    world.outputs()
                }
                (6, _) if choice == 0 => {
                    world.handle(Input::Completed);
                    world.outputs()
                }
                _ => world.peers(choice, choice / 2),
            };
            asked.extend(outputs.into_iter().map(|output| (second, output)));
            let mut names: Vec<_> = world.in_flight.iter().map(|(_, name)| name).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), count);
        }
        for window in asked.windows(16) {
            prop_assert!(window[15].0 - window[0].0 >= 59, "{:?}", window);
        }
        for name in ["a", "b", "c", "e"] {
            let own = asked.iter().find(|(_, output)| output.starts_with(name));
            let is_entry = |output: &str| output.ends_with("started") || output.ends_with("paused");
            prop_assert!(own.is_none_or(|(_, output)| is_entry(output)));
        }
    }
}

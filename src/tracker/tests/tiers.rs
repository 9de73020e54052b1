//! The machine in virtual time: inputs at given seconds, exact lists of outputs.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::tracker::announce::{AnnounceReply, Error, Event, Family, RetryIn, SwarmCounts};
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};
use crate::tracker::tiers::{Call, Input, ManualAnnounce, Output, Standing, Tiers, Timing};

mod events;
mod intervals;
mod naming;
mod order;
mod told;

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

//! All rules together, and what holds where some of them match. Values.

use std::time::Duration;

use super::hours::Hours;
use super::rule::{Queue, RULES_MAX, Rule};

/// A bit a rule.
pub(super) type Set = u64;

/// All that rules say, in their order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Book {
    /// At most [`RULES_MAX`]; further ones are not asked.
    pub rules: Vec<Rule>,
    /// When the alternative limits of the session hold. Of several the last one.
    pub schedules: Vec<Schedule>,
    /// Bytes that are to stay free on each device: downloads there rest before.
    pub keep_free: Option<u64>,
}

impl Book {
    /// Does it say nothing of torrents?
    pub fn is_idle(&self) -> bool {
        self.rules.is_empty() && self.keep_free.is_none()
    }

    /// Does it matter how much space is free?
    pub fn needs_space(&self) -> bool {
        self.keep_free.is_some() || self.rules.iter().any(|rule| !rule.when.free.is_open())
    }

    /// Does it matter what time it is? Then it does, too, that somebody sets the clock.
    pub fn needs_time(&self) -> bool {
        let is_timed = |rule: &Rule| rule.when.hours.is_some() || !rule.when.age.is_open();
        !self.schedules.is_empty() || self.rules.iter().any(is_timed)
    }

    /// What holds where these rules match.
    pub(super) fn overlay(&self, matching: Set, has_no_room: bool) -> Overlay {
        let mut overlay = Overlay::default();
        let mut stops = None;
        for (at, rule) in self.numbered().filter(|(at, _)| matching & (1 << at) != 0) {
            let then = &rule.then;
            overlay.download_limit = then.download_limit.or(overlay.download_limit);
            overlay.upload_limit = then.upload_limit.or(overlay.upload_limit);
            overlay.seed_ratio = then.seed_ratio.or(overlay.seed_ratio);
            overlay.seed_time = then.seed_time.or(overlay.seed_time);
            overlay.queue = then.queue.or(overlay.queue);
            stops = then.stop.map(|stops| (at, stops)).or(stops);
            for label in &then.labels {
                if !overlay.labels.contains(label) {
                    overlay.labels.push(label.clone());
                }
            }
        }
        let stopped = stops.filter(|(_, stops)| *stops).map(|(at, _)| Rest::Rule(at));
        overlay.rest = if has_no_room { Some(Rest::NoRoom) } else { stopped };
        overlay
    }

    /// The rules that are asked, each with its place.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().take(RULES_MAX).enumerate()
    }

    /// The rules of which that is so.
    pub(super) fn set_of(&self, is_so: impl Fn(&Rule) -> bool) -> Set {
        self.numbered().fold(0, |set, (at, rule)| set | Set::from(is_so(rule)) << at)
    }
}

/// When the alternative limits hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// In these hours.
    pub hours: Hours,
    /// What they are; those that the session has anyway when none.
    pub limits: Option<Caps>,
}

/// Limits in bytes per second: no limit when the inner one is none, the usual one when the outer
/// one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caps {
    /// On what is received.
    pub down: Option<Option<u64>>,
    /// On what is sent.
    pub up: Option<Option<u64>>,
}

/// What schedules say of the alternative limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Switch {
    /// Nothing: there are none.
    #[default]
    ByHand,
    /// They do not hold.
    Off,
    /// They do: these, or those that the session has.
    On(Option<Caps>),
}

/// What holds of a torrent beside what its user set, and before it. What is none is the user's.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overlay {
    /// Its download limit; no limit when the inner one is none.
    pub download_limit: Option<Option<u64>>,
    /// Its upload limit likewise.
    pub upload_limit: Option<Option<u64>>,
    /// It has seeded enough when it has sent so many times its size.
    pub seed_ratio: Option<f64>,
    /// It has seeded enough after so long.
    pub seed_time: Option<Duration>,
    /// Its place in the queue.
    pub queue: Option<Queue>,
    /// It rests, and why.
    pub rest: Option<Rest>,
    /// Labels beside those of its user.
    pub labels: Vec<String>,
}

/// Why a torrent rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// The rule at this place says so.
    Rule(usize),
    /// Its device has less free than is to stay.
    NoRoom,
}

//! A rule: which torrents it is about, and what holds for them as long as it matches. Values, and
//! the one place that says whether a condition holds.

use std::sync::Arc;
use std::time::Duration;

use crate::base::url::is_on;

use super::hours::{Hours, Wall};

/// Rules that there may be: one bit each.
pub const RULES_MAX: usize = 64;

/// A rule. All its conditions have to hold; one without any is about all torrents.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// For which torrents.
    pub when: When,
    /// What holds for them.
    pub then: Then,
}

/// From one value, and below another one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span<T> {
    /// At least that.
    pub from: Option<T>,
    /// Less than that.
    pub below: Option<T>,
}

impl<T> Default for Span<T> {
    fn default() -> Self {
        Self { from: None, below: None }
    }
}

impl<T: PartialOrd> Span<T> {
    /// Does it say nothing?
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.below.is_none()
    }

    /// Is the value in it?
    pub fn holds(&self, value: T) -> bool {
        let is_from = self.from.as_ref().is_none_or(|from| value >= *from);
        is_from && self.below.as_ref().is_none_or(|below| value < *below)
    }
}

/// Conditions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct When {
    /// A tracker on one of these hosts, or on one of their domain; of any when none.
    pub trackers: Vec<String>,
    /// One of these labels, as its user gave them; any when none.
    pub labels: Vec<String>,
    /// Is it private (BEP 27)?
    pub private: Option<bool>,
    /// Bytes of the whole torrent.
    pub size: Span<u64>,
    /// Seconds since it was added.
    pub age: Span<u64>,
    /// Bytes sent for each byte of the wanted files.
    pub ratio: Span<f64>,
    /// Seeds that its trackers count, or those that it is connected to.
    pub seeds: Span<u64>,
    /// Bytes that are free on the device that its files are on.
    pub free: Span<u64>,
    /// The time of day, and the day of the week.
    pub hours: Option<Hours>,
}

/// Where in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Before all others.
    First,
    /// Behind all others.
    Last,
}

/// What a rule says of a torrent. What is none is left to other rules, and to what its user set.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Then {
    /// Its download limit, bytes per second; no limit when the inner one is none.
    pub download_limit: Option<Option<u64>>,
    /// Its upload limit likewise.
    pub upload_limit: Option<Option<u64>>,
    /// It has seeded enough when it has sent so many times its size.
    pub seed_ratio: Option<f64>,
    /// It has seeded enough after so long.
    pub seed_time: Option<Duration>,
    /// Its place in the queue.
    pub queue: Option<Queue>,
    /// It rests.
    pub stop: Option<bool>,
    /// Labels that it has beside those of its user.
    pub labels: Vec<String>,
}

/// What of a torrent decides.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Hosts of its trackers.
    pub trackers: Arc<[Box<str>]>,
    /// Labels that its user gave it.
    pub labels: Vec<String>,
    /// Is it private?
    pub private: bool,
    /// Bytes of all its files.
    pub size: u64,
    /// When it was added, seconds since 1970.
    pub added_s: u64,
    /// Bytes sent for each byte of the wanted files.
    pub ratio: f64,
    /// Seeds, as far as they are known.
    pub seeds: u64,
    /// Bytes that are free where its files are; none when that is not known.
    pub free: Option<u64>,
}

impl Facts {
    /// Seconds since it was added.
    pub fn age_s(&self, wall: Wall) -> u64 {
        wall.unix_s.saturating_sub(self.added_s)
    }
}

/// A condition of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Tracker,
    Label,
    Private,
    Size,
    Age,
    Ratio,
    Seeds,
    Free,
    Hours,
}

impl Key {
    /// Those that hold or not as long as nobody sets something.
    pub const STANDING: [Self; 4] = [Self::Tracker, Self::Label, Self::Private, Self::Size];
    /// Those that change by themselves, but for the hours, which are the same for all torrents.
    pub const MOVING: [Self; 4] = [Self::Age, Self::Ratio, Self::Seeds, Self::Free];
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Tracker,
        Self::Label,
        Self::Private,
        Self::Size,
        Self::Age,
        Self::Ratio,
        Self::Seeds,
        Self::Free,
        Self::Hours,
    ];
}

impl When {
    /// Does this condition hold? None when the rule has none of this kind.
    pub(super) fn holds(&self, key: Key, facts: &Facts, wall: Wall) -> Option<bool> {
        fn within<T: PartialOrd + Copy>(span: &Span<T>, value: Option<T>) -> Option<bool> {
            (!span.is_open()).then(|| value.is_some_and(|value| span.holds(value)))
        }
        match key {
            Key::Tracker => (!self.trackers.is_empty()).then(|| {
                facts.trackers.iter().any(|host| self.trackers.iter().any(|it| is_on(host, it)))
            }),
            Key::Label => (!self.labels.is_empty())
                .then(|| facts.labels.iter().any(|label| self.labels.contains(label))),
            Key::Private => self.private.map(|private| private == facts.private),
            Key::Size => within(&self.size, Some(facts.size)),
            Key::Age => within(&self.age, Some(facts.age_s(wall))),
            Key::Ratio => within(&self.ratio, Some(facts.ratio)),
            Key::Seeds => within(&self.seeds, Some(facts.seeds)),
            Key::Free => within(&self.free, facts.free),
            Key::Hours => self.hours.map(|hours| hours.hold(wall)),
        }
    }

    /// Do all conditions of these kinds hold?
    pub(super) fn all_hold(&self, keys: &[Key], facts: &Facts, wall: Wall) -> bool {
        keys.iter().all(|key| self.holds(*key, facts, wall) != Some(false))
    }

    /// When the age of a torrent passes a bound next; none when it never does.
    pub(super) fn next_age(&self, facts: &Facts, wall: Wall) -> Option<u64> {
        let bounds = [self.age.from, self.age.below].into_iter().flatten();
        let times = bounds.map(|age| facts.added_s.saturating_add(age));
        times.filter(|at| *at > wall.unix_s).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_in_no_span() {
        let when = When { free: Span { from: None, below: Some(5) }, ..When::default() };
        let wall = Wall { unix_s: 0, offset: |_| 0 };
        let facts = |free| Facts { free, ..Facts::default() };
        let holds = [None, Some(4), Some(5)].map(|it| when.holds(Key::Free, &facts(it), wall));
        assert_eq!(holds, [Some(false), Some(true), Some(false)]);
        assert_eq!(When::default().holds(Key::Free, &facts(None), wall), None);
    }
}

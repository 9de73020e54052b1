//! When to commit. Pure: it is told what happened and when, and says what is due.

use std::time::{Duration, Instant};

/// Changes that nobody waits for are written this long after the first of them.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// And counts, when nothing else is: a minute of them may be lost.
pub(super) const TALLIES: Duration = Duration::from_secs(60);
/// After a failure it is tried again so much later, and each time twice as late,
const RETRY_MIN: Duration = Duration::from_secs(1);
/// but no later than this.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What is due, and when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    changed: Option<Instant>,
    counted: Option<Instant>,
    /// Somebody waits.
    is_urgent: bool,
    /// Not before this, unless somebody waits; and how long the rest before it was.
    rest: Option<(Instant, Duration)>,
}

impl Pace {
    /// Something changed; somebody may wait for it to be kept.
    pub fn on_change(&mut self, is_urgent: bool, now: Instant) {
        self.changed.get_or_insert(now);
        self.is_urgent |= is_urgent;
    }

    /// A count changed.
    pub fn on_count(&mut self, now: Instant) {
        self.counted.get_or_insert(now);
    }

    /// When a commit is due; none when there is nothing to be written.
    pub fn due(&self) -> Option<Instant> {
        let changed = self.changed.map(|at| if self.is_urgent { at } else { at + QUIET });
        let counted = self.counted.map(|at| at + TALLIES);
        let due = changed.into_iter().chain(counted).min()?;
        let rest = self.rest.filter(|_| !self.is_urgent);
        Some(rest.map_or(due, |(until, _)| due.max(until)))
    }

    /// A commit begins; are the counts to be in it?
    pub fn begin(&mut self, now: Instant) -> bool {
        let with_tallies = self.counted.is_some_and(|at| at + TALLIES <= now);
        (self.changed, self.is_urgent) = (None, false);
        if with_tallies {
            self.counted = None;
        }
        with_tallies
    }

    /// It went well.
    pub fn on_success(&mut self) {
        self.rest = None;
    }

    /// It did not: what it should have written is to be written later.
    pub fn on_failure(&mut self, with_tallies: bool, now: Instant) {
        let rest = self.rest.map_or(RETRY_MIN, |(_, rest)| (rest * 2).min(RETRY_MAX));
        self.rest = Some((now + rest, rest));
        self.changed.get_or_insert(now);
        if with_tallies {
            self.counted.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_a_second_counts_a_minute_and_who_waits_not_at_all() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        pace.on_count(start);
        assert_eq!(pace.due(), Some(at(60_000)));
        pace.on_change(false, at(100));
        pace.on_change(false, at(900));
        assert_eq!(pace.due(), Some(at(1100)));
        pace.on_change(true, at(1000));
        assert!(pace.due() <= Some(at(1000)));
        assert!(!pace.begin(at(1000)), "the counts wait on");
        pace.on_success();
        assert_eq!(pace.due(), Some(at(60_000)));
        assert!(pace.begin(at(60_000)));
        assert_eq!(pace.due(), None);
    }

    #[test]
    fn after_failures_it_rests_ever_longer_but_for_who_waits() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut now = start;
        pace.on_change(false, now);
        let mut rests = Vec::new();
        for _ in 0..8 {
            now = pace.due().unwrap();
            let with_tallies = pace.begin(now);
            pace.on_failure(with_tallies, now);
            rests.push(pace.due().unwrap().duration_since(now).as_secs());
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.on_change(true, now);
        assert!(pace.due() <= Some(now));
        pace.begin(now);
        pace.on_success();
        pace.on_change(false, now);
        assert_eq!(pace.due(), Some(now + QUIET));
    }

    #[test]
    fn counts_that_were_not_written_are_due_again() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.on_count(start);
        let now = start + TALLIES;
        assert!(pace.begin(now));
        pace.on_failure(true, now);
        assert!(pace.due().unwrap() <= now + TALLIES);
        assert!(pace.begin(now + TALLIES));
    }
}

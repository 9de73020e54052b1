//! When which tracker's turn comes: intervals, waits after failures, limits on asking, and
//! whose turn is next within a round. It reads the machine's state and changes nothing.

use std::time::{Duration, Instant};

use super::{Condition, Tiers};

impl Tiers {
    /// The tracker the round asks next. A working tracker that is not due yet ends the walk,
    /// since the torrent is announced; unless no peer works.
    pub(super) fn next_in_round(&self, now: Instant) -> Option<usize> {
        let round = self.round.as_ref()?;
        for index in self.walk() {
            let tracker = &self.trackers[index];
            if round.asked[index] || tracker.tier < round.from_tier || tracker.is_asked {
                continue;
            }
            let allowed = if round.is_manual { self.allowed_at(index) } else { self.due_at(index) };
            if allowed.is_some_and(|allowed| allowed <= now) {
                return Some(index);
            }
            if self.is_working(index) && !self.is_lonely(now) {
                return None;
            }
        }
        None
    }

    /// When the next round begins: the first working tracker counts and those before it; those
    /// after it only when no peer has worked for a while.
    pub(super) fn round_due(&self) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        let mut not_before = None;
        for index in self.walk() {
            if !self.trackers[index].is_asked {
                let own =
                    self.due_at(index).map(|own| not_before.map_or(own, |wait| own.max(wait)));
                due = [due, own].into_iter().flatten().min();
            }
            if self.is_working(index) {
                match self.lonely_since.filter(|_| !self.is_content()) {
                    Some(since) => not_before = Some(since + self.timing.patience),
                    None => break,
                }
            }
        }
        due
    }

    /// When the tracker's turn comes by itself; `None` if never.
    pub(super) fn due_at(&self, index: usize) -> Option<Instant> {
        let tracker = &self.trackers[index];
        let is_owed = self.owes_now() && tracker.ears.iter().any(|ear| ear.is_started);
        let due = match tracker.condition {
            Condition::NotSupported | Condition::GaveUp => return None,
            Condition::Fresh => self.entered_at?,
            Condition::Working { since, .. } if is_owed => since,
            Condition::Working { since, interval, min_interval } => {
                let regular = self.effective_interval(interval, min_interval);
                // Only one that names its minimum is told sooner than it asked for.
                let early = min_interval.filter(|_| self.has_grown);
                let early = early.map(|min| min.max(self.timing.interval_floor_alone));
                since + early.map_or(regular, |early| early.min(regular))
            }
            Condition::Failing { retry_at } => retry_at,
        };
        Some(tracker.not_before.map_or(due, |wait| wait.max(due)))
    }

    /// When the user may have the tracker asked.
    pub(super) fn allowed_at(&self, index: usize) -> Option<Instant> {
        let tracker = &self.trackers[index];
        let allowed = match (tracker.condition, tracker.last_asked) {
            (Condition::Working { since, min_interval, .. }, _) => {
                let floor = self.timing.interval_floor_alone;
                Some(since + min_interval.unwrap_or(floor).clamp(floor, self.timing.interval_max))
            }
            (Condition::Failing { .. }, Some(asked)) => Some(asked + self.timing.backoff),
            _ => self.due_at(index),
        }?;
        Some(tracker.not_before.map_or(allowed, |wait| wait.max(allowed)))
    }

    fn effective_interval(&self, interval: Duration, min_interval: Option<Duration>) -> Duration {
        let wanted = if self.is_alone() {
            min_interval.unwrap_or(interval).max(self.timing.interval_floor_alone)
        } else {
            interval.max(min_interval.unwrap_or_default()).max(self.timing.interval_floor)
        };
        wanted.min(self.timing.interval_max)
    }

    pub(super) fn is_lonely(&self, now: Instant) -> bool {
        let is_long_ago = |since| now >= since + self.timing.patience;
        !self.is_content() && self.lonely_since.is_some_and(is_long_ago)
    }

    /// When the next tracker is asked beside one that has hung since `since`. The first ones of
    /// a round have more time than those behind them: many may be dead.
    pub(super) fn hedge_at(&self, since: Instant) -> Instant {
        let hedge = self.timing.hedge;
        let began = self.round.as_ref().map_or(since, |round| round.began);
        (began + hedge).max(since + hedge / 4)
    }

    /// `due`, or later if too many announces have left.
    pub(super) fn not_before_rate(&self, due: Instant) -> Instant {
        match self.recent.first() {
            Some((first, _)) if self.recent.len() >= self.timing.announces_max => {
                due.max(*first + self.timing.announces_window)
            }
            _ => due,
        }
    }
}

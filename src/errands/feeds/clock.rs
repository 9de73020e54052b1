//! When a feed is asked again. A machine: chance is given.

use std::time::{Duration, Instant};

use crate::errands::schedule::backoff;

/// The pause behind the first failure; it grows.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause, but for intervals that are longer; also what a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);

/// When a feed is asked again.
#[derive(Debug)]
pub struct Clock {
    interval: Duration,
    failures: u32,
    next: Instant,
}

impl Clock {
    /// Of a feed that was asked so long ago, if it was.
    pub fn new(interval: Duration, asked: Option<Duration>, now: Instant) -> Self {
        let rest = asked.map_or(Duration::ZERO, |ago| interval.saturating_sub(ago));
        Self { interval, failures: 0, next: now + rest }
    }

    /// When it is to be asked.
    pub fn next_timeout(&self) -> Instant {
        self.next
    }

    /// It has answered.
    pub fn on_answer(&mut self, now: Instant, chance: u32) {
        self.failures = 0;
        self.next = now + jittered(self.interval, chance);
    }

    /// It has not, or not well; `asked` is when its server wants to be asked again. It is never
    /// asked sooner than without a failure, but for intervals of hours.
    pub fn on_failure(&mut self, now: Instant, asked: Option<Duration>, chance: u32) {
        self.failures = self.failures.saturating_add(1);
        let most = PAUSE_MAX.max(self.interval);
        let pause = backoff(self.failures, PAUSE.max(self.interval.min(PAUSE_MAX)), most);
        // As much as a server may ask for is the most, a tenth more or less or not.
        let pause = jittered(pause, chance).min(most);
        self.next = now + asked.map_or(pause, |asked| asked.clamp(pause, most));
    }
}

/// A tenth more or less of `interval`, so that not all who ask a server ask it at once; `chance` is
/// any number.
fn jittered(interval: Duration, chance: u32) -> Duration {
    let share = f64::from(chance) / f64::from(u32::MAX);
    interval.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u32 = u32::MAX / 2;

    fn seconds(clock: &Clock, now: Instant) -> u64 {
        (clock.next_timeout() - now).as_secs_f64().round() as u64
    }

    #[test]
    fn a_feed_is_asked_at_its_interval_a_little_more_or_less() {
        let now = Instant::now();
        let half_hour = Duration::from_secs(1800);
        let mut clock = Clock::new(half_hour, None, now);
        assert_eq!(seconds(&clock, now), 0);
        clock.on_answer(now, 0);
        assert_eq!(seconds(&clock, now), 1620);
        clock.on_answer(now, u32::MAX);
        assert_eq!(seconds(&clock, now), 1980);
        let of = |ago| seconds(&Clock::new(half_hour, Some(Duration::from_secs(ago)), now), now);
        assert_eq!([of(0), of(600), of(9999)], [1800, 1200, 0], "a start is no reason to ask");
    }

    #[test]
    fn one_that_fails_is_asked_ever_less_and_as_it_wants() {
        let now = Instant::now();
        let mut clock = Clock::new(Duration::from_secs(1800), None, now);
        let mut failed = |asked: Option<u64>| {
            clock.on_failure(now, asked.map(Duration::from_secs), MIDDLE);
            seconds(&clock, now)
        };
        assert_eq!([failed(None), failed(None), failed(None)], [1800, 7200, 21600]);
        assert_eq!([failed(Some(60)), failed(Some(1_000_000))], [21600, 21600]);
        clock.on_answer(now, MIDDLE);
        assert_eq!(seconds(&clock, now), 1800);
        clock.on_failure(now, Some(Duration::from_secs(3000)), MIDDLE);
        assert_eq!(seconds(&clock, now), 3000);
        for chance in [0, MIDDLE, u32::MAX, 0, u32::MAX] {
            clock.on_failure(now, Some(Duration::from_secs(1)), chance);
        }
        assert_eq!(seconds(&clock, now), 21600, "by chance no more than the most");
        let mut seldom = Clock::new(Duration::from_secs(86_400), None, now);
        seldom.on_failure(now, None, MIDDLE);
        assert_eq!(seconds(&seldom, now), 21600, "it is not lost for a day");
    }
}

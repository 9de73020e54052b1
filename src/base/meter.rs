//! A rate estimator: bytes per second, recent ones counting most. Pure: time is passed in.
//! Not a limiter, and not an account of totals.

use std::time::{Duration, Instant};

/// Bytes older than this count for about a third.
const MEMORY: Duration = Duration::from_secs(5);
/// A meter younger than this speaks as if it were so old, since the first burst of bytes
/// says nothing about a second.
const YOUTH: Duration = Duration::from_secs(1);
/// Silence that is shown as such: people see within two seconds that nothing moves any more.
const SILENCE: Duration = Duration::from_millis(1500);
/// But bytes that come in lumps are silent between them, about as long as they take on average.
const LUMPS: u64 = 2;

/// An exponentially weighted mean of a rate.
#[derive(Clone, PartialEq, Debug)]
pub struct RateMeter {
    began: Instant,
    updated: Instant,
    /// Bytes per second at `updated`, as if there had been silence before `began`.
    weighted: f64,
    /// The most bytes that came at once, lately.
    lump: u64,
}

impl RateMeter {
    /// A meter that has seen nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { began: now, updated: now, weighted: 0.0, lump: 0 }
    }

    /// Counts bytes that came by now.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.weighted = self.decayed(now) + bytes as f64 / MEMORY.as_secs_f64();
        self.updated = self.updated.max(now);
        self.lump = bytes.max(self.lump / 2);
    }

    /// Bytes per second, fading slowly when nothing comes any more: to compare and to decide by.
    pub fn rate(&self, now: Instant) -> u64 {
        corrected(self.decayed(now), self.began, now)
    }

    /// Bytes per second, and zero as soon as nothing comes any more: to be shown.
    pub fn shown(&self, now: Instant) -> u64 {
        if self.is_silent(now) { 0 } else { self.rate(now) }
    }

    /// Bytes per second of several together, to be shown. What a young one took from the others
    /// is still in their rates, so it is not taken for as fast as it shows itself alone: of meters
    /// that share a limit the sum never exceeds it.
    pub fn together<'a>(meters: impl Iterator<Item = &'a Self> + Clone, now: Instant) -> u64 {
        let Some(began) = meters.clone().map(|meter| meter.began).min() else { return 0 };
        let moving = meters.filter(|meter| !meter.is_silent(now));
        corrected(moving.map(|meter| meter.decayed(now)).sum(), began, now)
    }

    fn is_silent(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.updated);
        let expected = self.rate(self.updated) as f64 * silence.as_secs_f64();
        silence >= SILENCE && expected >= (LUMPS * self.lump) as f64
    }

    fn decayed(&self, now: Instant) -> f64 {
        self.weighted * weight(now.saturating_duration_since(self.updated))
    }
}

/// How fast a work of known extent goes on, and how long the rest takes.
#[derive(Clone, Debug)]
pub struct Pace {
    meter: RateMeter,
    done: u64,
}

impl Pace {
    /// Nothing is done yet.
    pub fn new(now: Instant) -> Self {
        Self { meter: RateMeter::new(now), done: 0 }
    }

    /// So many bytes are done in all by now; returns bytes per second, recent ones counting
    /// most.
    pub fn on_done(&mut self, done_bytes: u64, now: Instant) -> u64 {
        self.meter.add(done_bytes.saturating_sub(self.done), now);
        self.done = self.done.max(done_bytes);
        self.meter.rate(now)
    }
}

/// How long `left_bytes` take at a rate; none when it stands still.
pub fn time_left(left_bytes: u64, rate_bytes_per_s: u64) -> Option<Duration> {
    left_bytes.checked_div(rate_bytes_per_s).map(Duration::from_secs)
}

/// The silence before the beginning was not real.
fn corrected(weighted: f64, began: Instant, now: Instant) -> u64 {
    let age = now.saturating_duration_since(began).max(YOUTH);
    (weighted / (1.0 - weight(age))).round() as u64
}

fn weight(age: Duration) -> f64 {
    (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(seconds: u64) -> (RateMeter, Instant) {
        let mut now = Instant::now();
        let mut meter = RateMeter::new(now);
        for _ in 0..seconds * 20 {
            now += Duration::from_millis(50);
            meter.add(50_000, now);
        }
        (meter, now)
    }

    #[test]
    fn a_steady_rate_is_told_soon_and_stays() {
        for seconds in [1, 2, 10, 100] {
            let (meter, now) = steady(seconds);
            let rate = meter.rate(now);
            assert!((950_000..1_050_000).contains(&rate), "{rate} after {seconds} s");
        }
    }

    #[test]
    fn a_pace_is_told_from_what_is_done_and_from_what_is_left_the_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for second in 1..=20 {
            pace.on_done(second * 1_000_000, start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(20);
        let rate = pace.on_done(20_000_000, now);
        assert!((900_000..1_150_000).contains(&rate), "{rate}");
        // Whoever tells less than before has not undone anything.
        assert_eq!(pace.on_done(1, now), rate);
        assert_eq!(time_left(9_000_000, 1_000_000), Some(Duration::from_secs(9)));
        assert_eq!(time_left(1, 0), None);
    }

    #[test]
    fn it_forgets() {
        let (meter, now) = steady(20);
        assert!(meter.rate(now + Duration::from_secs(5)) < 400_000);
        assert_eq!(meter.rate(now + Duration::from_secs(120)), 0);
    }

    #[test]
    fn what_stops_is_shown_as_still_within_two_seconds_and_stays_so() {
        let (meter, now) = steady(20);
        assert!(meter.shown(now + Duration::from_secs(1)) > 500_000);
        for seconds in [2, 5, 20, 60, 600] {
            assert_eq!(meter.shown(now + Duration::from_secs(seconds)), 0, "after {seconds} s");
        }
        // One block each three seconds is slow, and no silence.
        let (mut meter, mut now) = (RateMeter::new(now), now);
        for blocks in 1..20 {
            meter.add(16_384, now);
            for _ in 0..29 {
                now += Duration::from_millis(100);
                assert!(blocks < 3 || meter.shown(now) > 2_000, "{blocks} blocks");
            }
        }
        assert_eq!(meter.shown(now + Duration::from_secs(12)), 0);
    }

    #[test]
    fn the_sum_of_what_shares_a_limit_does_not_exceed_it() {
        let (mut one, mut now) = steady(20);
        let mut other = RateMeter::new(now);
        for _ in 0..200 {
            now += Duration::from_millis(50);
            one.add(25_000, now);
            other.add(25_000, now);
            let both = RateMeter::together([&one, &other].into_iter(), now);
            assert!((950_000..1_050_000).contains(&both), "{both}");
        }
        assert_eq!(RateMeter::together([].into_iter(), now), 0);
        let alone = RateMeter::together([&one].into_iter(), now);
        assert_eq!(alone, one.shown(now));
    }

    #[test]
    fn a_burst_at_birth_is_no_rate_of_gigabytes() {
        let now = Instant::now();
        let mut meter = RateMeter::new(now);
        assert_eq!(meter.rate(now), 0);
        meter.add(1_000_000, now);
        assert!(meter.rate(now) < 1_200_000);
    }

    #[test]
    fn time_that_stands_still_or_goes_back_is_harmless() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut meter = RateMeter::new(now);
        meter.add(10, now);
        meter.add(10, now - Duration::from_secs(5));
        assert!(meter.rate(now - Duration::from_secs(5)) > 0);
    }
}

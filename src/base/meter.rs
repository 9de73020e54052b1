//! A rate estimator: bytes per second, recent ones counting most. Pure: time is passed in.
//! Not a limiter, and not an account of totals.

use std::time::{Duration, Instant};

/// Bytes older than this count for about a third.
const MEMORY: Duration = Duration::from_secs(5);
/// A meter younger than this speaks as if it were so old, since the first burst of bytes
/// says nothing about a second.
const YOUTH: Duration = Duration::from_secs(1);

/// An exponentially weighted mean of a rate.
#[derive(Clone, Debug)]
pub struct RateMeter {
    began: Instant,
    updated: Instant,
    /// Bytes per second at `updated`, as if there had been silence before `began`.
    weighted: f64,
}

impl RateMeter {
    /// A meter that has seen nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { began: now, updated: now, weighted: 0.0 }
    }

    /// Counts bytes that came by now.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.weighted = self.decayed(now) + bytes as f64 / MEMORY.as_secs_f64();
        self.updated = self.updated.max(now);
    }

    /// Bytes per second.
    pub fn rate(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.began).max(YOUTH);
        // The silence before the beginning was not real.
        let seen = 1.0 - weight(age);
        (self.decayed(now) / seen).round() as u64
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

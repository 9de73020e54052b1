//! How fast bytes flow, recently. Pure: time is passed in. Not for limiting.

use std::time::{Duration, Instant};

/// What is older than this weighs less than 37 %.
const WINDOW: Duration = Duration::from_secs(3);

/// An exponentially weighted rate of bytes per second.
#[derive(Clone, Debug)]
pub struct RateMeter {
    /// Decayed bytes, as of `at`.
    weight: f64,
    at: Instant,
    began: Instant,
}

impl RateMeter {
    /// A meter that has seen nothing until `now`.
    pub fn new(now: Instant) -> Self {
        Self { weight: 0.0, at: now, began: now }
    }

    /// `bytes` went by at `now`.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.weight = self.decayed(now) + bytes as f64;
        self.at = self.at.max(now);
    }

    /// Bytes per second as of `now`. A young meter is not taken for a slow one.
    pub fn rate(&self, now: Instant) -> u64 {
        let window = WINDOW.as_secs_f64();
        let age = now.saturating_duration_since(self.began).as_secs_f64().max(0.05);
        let seen = window * (1.0 - (-age / window).exp());
        (self.decayed(now) / seen) as u64
    }

    fn decayed(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.weight * (-passed / WINDOW.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_measured_within_three_percent_from_the_first_second_on() {
        let start = Instant::now();
        let mut meter = RateMeter::new(start);
        for step in 1..=1000u64 {
            let now = start + Duration::from_millis(10 * step);
            meter.add(10_000, now);
            let error = meter.rate(now) as f64 / 1e6 - 1.0;
            assert!(step < 100 || error.abs() < 0.03, "{step}: {error}");
        }
    }

    #[test]
    fn a_flow_that_stops_is_forgotten() {
        let start = Instant::now();
        let mut meter = RateMeter::new(start);
        meter.add(1 << 30, start);
        assert!(meter.rate(start + Duration::from_secs(60)) < 10);
    }
}

//! How many requests to keep outstanding on one link. The aim is to keep the remote busy
//! for a round trip and a little more, never to fill buffers on the way: what is asked for
//! too early comes back as latency, and at the end of a download as waste.
//!
//! A round is the time from a request to its block. Its yield gives the rate; the shortest
//! round ever gives the latency of the way. While the rate still grows the target is three
//! times rate × latency (so it triples each round), then one and a half times. On top comes
//! an allowance for remotes that send in bursts, as rate limiters do.

use std::time::{Duration, Instant};

use crate::base::units::BLOCK_LEN;

/// Requests to begin with, before anything is known of a remote.
pub const START: u32 = 10;
/// Bytes to keep outstanding beyond rate × latency, for remotes that send in bursts: what
/// they send in `BURST`, at most `BURST_BYTES`, since fast remotes burst in milliseconds.
const BURST: f64 = 0.3;
const BURST_BYTES: f64 = (4 << 20) as f64;
/// Seconds that the queue at a slow remote may hold, and requests that it holds in any case: one
/// on its way while the other is sent.
const QUEUE_S: f64 = 10.0;
const LEAST: u32 = 2;
/// Growth from round to round that counts as growing.
const GROWTH: f64 = 1.2;
/// Rounds without growth until the target settles.
const ROUNDS_TO_SETTLE: u32 = 3;
/// How much of a former best rate survives a round; an old peak is forgotten in about
/// twenty.
const MEMORY: f64 = 0.9;
/// Rounds shorter than this say more about scheduling than about the way.
const ROUND_MIN: Duration = Duration::from_millis(2);

/// The target of one link.
#[derive(Debug)]
pub struct Pipeline {
    target: u32,
    most: u32,
    latency: Option<Duration>,
    best_rate: f64,
    rounds_left_to_grow: u32,
    round_began: Instant,
    /// Payload since then.
    round_bytes: u64,
}

impl Pipeline {
    /// A new link whose remote holds `most` requests.
    pub fn new(most: u32, now: Instant) -> Self {
        Self {
            target: START.min(most.max(1)),
            most: most.max(1),
            latency: None,
            best_rate: 0.0,
            rounds_left_to_grow: ROUNDS_TO_SETTLE,
            round_began: now,
            round_bytes: 0,
        }
    }

    /// Requests to keep outstanding.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// Requests that the remote holds at most.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// The remote named another limit.
    pub fn limit(&mut self, most: u32) {
        self.most = most.max(1);
        self.target = self.target.min(self.most);
    }

    /// Is the remote's own limit what holds us back?
    pub fn is_at_limit(&self) -> bool {
        self.target == self.most
    }

    /// The shortest time from a request to its block so far.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Nothing was outstanding before: a new round begins.
    pub fn resumed(&mut self, now: Instant) {
        self.round_began = now;
        self.round_bytes = 0;
    }

    /// A block of `bytes` arrived that was asked for at `asked`.
    pub fn arrived(&mut self, bytes: u32, asked: Instant, now: Instant) {
        let took = now.saturating_duration_since(asked);
        if self.latency.is_none_or(|latency| took < latency) {
            self.latency = Some(took);
        }
        self.round_bytes += u64::from(bytes);
        // A block that took much longer than the way is long has stood in a queue already.
        let queued = self.latency.is_some_and(|latency| took > latency * 2);
        if self.rounds_left_to_grow > 0 && !queued {
            self.target = (self.target + 2).min(self.most);
        }
        let lasted = now.saturating_duration_since(self.round_began);
        if asked >= self.round_began && lasted >= ROUND_MIN {
            self.end_round(lasted, queued, now);
        }
    }

    /// The remote let requests time out: ask it for little until it delivers again.
    pub fn collapse(&mut self) {
        self.target = 1;
        self.best_rate = 0.0;
        self.rounds_left_to_grow = ROUNDS_TO_SETTLE;
    }

    /// The remote brings less than it was asked for: what is asked of it from now on is by its
    /// present rate in bytes per second. It may grow again.
    pub fn slow_down(&mut self, rate_bytes_per_s: u64) {
        self.best_rate = rate_bytes_per_s as f64;
        self.rounds_left_to_grow = 0;
        self.target = self.wanted().min(self.target);
    }

    fn end_round(&mut self, lasted: Duration, queued: bool, now: Instant) {
        let rate = self.round_bytes as f64 / lasted.as_secs_f64();
        if rate > self.best_rate * GROWTH {
            self.rounds_left_to_grow = ROUNDS_TO_SETTLE;
        } else {
            self.rounds_left_to_grow = self.rounds_left_to_grow.saturating_sub(1);
        }
        self.best_rate = rate.max(self.best_rate * MEMORY);
        let wanted = self.wanted().max(self.least()).min(self.most);
        let growing = self.rounds_left_to_grow > 0;
        self.target = if growing && !queued { wanted.max(self.target) } else { wanted };
        self.round_began = now;
        self.round_bytes = 0;
    }

    /// As many as at the beginning, but not more than a slow remote brings in a while: what
    /// stands in its queue comes late, and cannot be asked of others meanwhile.
    fn least(&self) -> u32 {
        let bytes = self.best_rate * QUEUE_S;
        ((bytes / BLOCK_LEN as f64) as u32).clamp(LEAST, START)
    }

    /// Requests that the best rate and the shortest round call for, at least one.
    fn wanted(&self) -> u32 {
        let gain = if self.rounds_left_to_grow > 0 { 3.0 } else { 1.5 };
        let latency = self.latency.unwrap_or_default().as_secs_f64();
        let bytes = gain * self.best_rate * latency + (self.best_rate * BURST).min(BURST_BYTES);
        (bytes / BLOCK_LEN as f64).ceil().clamp(1.0, f64::from(self.most)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A remote behind a line with latency and rate, driven block by block.
    struct Line {
        now: Instant,
        pipeline: Pipeline,
        latency: Duration,
        per_block: Duration,
        in_flight: VecDeque<(Instant, Instant)>,
        wire_free: Instant,
        blocks: u64,
    }

    impl Line {
        fn new(latency_ms: u64, bytes_per_s: u64, most: u32) -> Self {
            let now = Instant::now();
            Self {
                now,
                pipeline: Pipeline::new(most, now),
                latency: Duration::from_millis(latency_ms),
                per_block: Duration::from_secs_f64(BLOCK_LEN as f64 / bytes_per_s as f64),
                in_flight: VecDeque::new(),
                wire_free: now,
                blocks: 0,
            }
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                while self.in_flight.len() < self.pipeline.target() as usize {
                    let sent = self.wire_free.max(self.now) + self.per_block;
                    self.wire_free = sent;
                    self.in_flight.push_back((self.now, sent + self.latency));
                }
                let (asked, arrives) = self.in_flight[0];
                if arrives > end {
                    self.now = end;
                    return;
                }
                self.in_flight.pop_front();
                self.now = arrives;
                self.blocks += 1;
                self.pipeline.arrived(BLOCK_LEN as u32, asked, arrives);
            }
        }
    }

    #[test]
    fn a_hundred_millisecond_line_of_500_mbit_fills_within_a_second() {
        let mut line = Line::new(100, 62_500_000, 2000);
        assert_eq!(line.pipeline.target(), START);
        line.run(Duration::from_secs(1));
        let before = line.blocks;
        line.run(Duration::from_secs(1));
        let share = (line.blocks - before) as f64 * BLOCK_LEN as f64 / 62_500_000.0;
        assert!(share > 0.97, "{share}");
    }

    #[test]
    fn the_target_settles_near_the_product_of_rate_and_latency() {
        let mut line = Line::new(100, 62_500_000, 2000);
        line.run(Duration::from_secs(5));
        let outstanding = f64::from(line.pipeline.target()) * BLOCK_LEN as f64;
        let product = 62_500_000.0 * 0.1;
        assert!(outstanding > 1.4 * product, "{outstanding}");
        assert!(outstanding < 2.6 * product, "{outstanding}");
    }

    #[test]
    fn a_slow_remote_is_asked_for_little() {
        let mut line = Line::new(50, 100_000, 2000);
        line.run(Duration::from_secs(20));
        assert!(line.pipeline.target() <= 12, "{}", line.pipeline.target());
    }

    #[test]
    fn the_limit_of_the_remote_holds() {
        let mut line = Line::new(100, 62_500_000, 50);
        line.run(Duration::from_secs(2));
        assert_eq!(line.pipeline.target(), 50);
        assert!(line.pipeline.is_at_limit());
        line.pipeline.limit(7);
        assert_eq!(line.pipeline.target(), 7);
    }

    #[test]
    fn a_collapsed_pipeline_recovers_with_delivery() {
        let mut line = Line::new(10, 10_000_000, 2000);
        line.run(Duration::from_secs(1));
        let healthy = line.pipeline.target();
        line.pipeline.collapse();
        assert_eq!(line.pipeline.target(), 1);
        line.run(Duration::from_secs(1));
        assert!(line.pipeline.target() * 2 > healthy);
    }
}

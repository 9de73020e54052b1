//! One rate limit shared by many links: the generic cell rate algorithm on two atomics, no
//! lock. Bytes may be paid after they were read, since nobody knows before how many a read
//! will bring. Not fair by weight: whoever asks first is served first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time's worth of bytes that may pass at once after a silence.
const BURST: Duration = Duration::from_millis(100);
/// Parts of a second in which the rate is handed out, so that links take turns.
const TURNS_PER_S: u64 = 20;
/// The least bytes of a turn: fewer are not worth a system call.
const TURN_MIN: u64 = 1024;
const TURN_MAX: u64 = 256 * 1024;
/// A waiter looks this often whether the limit was changed.
const LOOK: Duration = Duration::from_millis(200);

/// A limit in bytes per second, or none. Shared as `Arc<Limiter>`.
#[derive(Debug)]
pub struct Limiter {
    /// What `paid_until` counts from.
    epoch: Instant,
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
    /// Nanoseconds after `epoch` at which everything spent so far is paid.
    paid_until: AtomicU64,
}

impl Limiter {
    /// A limiter with this limit in bytes per second. A limit of 0 counts as 1.
    pub fn new(rate_bytes_per_s: Option<u64>) -> Self {
        let limiter = Self {
            epoch: tokio::time::Instant::now().into_std(),
            rate: AtomicU64::new(0),
            paid_until: AtomicU64::new(0),
        };
        limiter.set_rate(rate_bytes_per_s);
        limiter
    }

    /// Changes the limit. Debts are forgiven.
    pub fn set_rate(&self, rate_bytes_per_s: Option<u64>) {
        let rate = rate_bytes_per_s.map_or(0, |rate| rate.max(1));
        self.rate.store(rate, Ordering::Relaxed);
        self.paid_until.store(0, Ordering::Relaxed);
    }

    /// The limit in bytes per second.
    pub fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate != 0)
    }

    /// The most bytes to move at once under the limit.
    pub fn turn_bytes(&self) -> Option<u64> {
        self.rate().map(|rate| (rate / TURNS_PER_S).clamp(TURN_MIN, TURN_MAX))
    }

    /// Takes `bytes` if they may pass now.
    pub fn try_take(&self, bytes: u64, now: Instant) -> bool {
        let Some(rate) = self.rate() else { return true };
        let now = self.nanos(now);
        let spend = |paid_until: u64| {
            let begin = paid_until.max(now);
            (begin <= now.saturating_add(nanos(BURST)))
                .then(|| begin.saturating_add(cost(bytes, rate)))
        };
        self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// Spends `bytes` that have passed already; tells how long to wait before the next.
    pub fn spend(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate() else { return Duration::ZERO };
        let now = self.nanos(now);
        let spend = |paid_until: u64| Some(paid_until.max(now).saturating_add(cost(bytes, rate)));
        let before = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        let paid_until = before.ok().and_then(spend).unwrap_or(now);
        Duration::from_nanos(paid_until.saturating_sub(now).saturating_sub(nanos(BURST)))
    }

    /// Waits until `bytes` may pass. They count as taken from the first poll on.
    pub async fn take(&self, bytes: u64) {
        let now = tokio::time::Instant::now();
        let until = now + self.spend(bytes, now.into_std());
        self.wait_until(until, self.rate()).await;
    }

    /// Waits until then, or until the limit is no longer `rate`.
    pub async fn wait_until(&self, until: tokio::time::Instant, rate: Option<u64>) {
        while self.rate() == rate {
            let now = tokio::time::Instant::now();
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until.min(now + LOOK)).await;
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that `bytes` take.
fn cost(bytes: u64, rate: u64) -> u64 {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn without_a_limit_everything_passes() {
        let limiter = Limiter::new(None);
        assert!(limiter.try_take(u64::MAX, Instant::now()));
        assert_eq!(limiter.spend(u64::MAX, Instant::now()), Duration::ZERO);
        assert_eq!(limiter.turn_bytes(), None);
    }

    #[test]
    fn over_ten_seconds_the_rate_is_exact() {
        let limiter = Limiter::new(Some(100_000));
        let begin = Instant::now();
        let passed = (0..10_000)
            .filter(|step| limiter.try_take(1_000, begin + Duration::from_millis(*step)))
            .count();
        assert!((1_000..=1_011).contains(&passed), "{passed}");
    }

    #[test]
    fn what_was_spent_too_much_is_waited_for() {
        let limiter = Limiter::new(Some(1_000));
        let now = Instant::now();
        assert_eq!(limiter.spend(100, now), Duration::ZERO);
        assert_eq!(limiter.spend(1_000, now), Duration::from_secs(1));
        assert!(!limiter.try_take(1, now));
        assert!(limiter.try_take(1, now + Duration::from_millis(1_001)));
    }

    #[test]
    fn absurd_numbers_saturate() {
        let limiter = Limiter::new(Some(0));
        let now = Instant::now();
        assert!(limiter.spend(u64::MAX, now) > Duration::from_secs(1));
        assert!(!limiter.try_take(1, now));
        limiter.set_rate(Some(u64::MAX));
        assert!(limiter.try_take(u64::MAX, now));
    }

    #[tokio::test(start_paused = true)]
    async fn many_takers_share_the_rate() {
        let limiter = Arc::new(Limiter::new(Some(10_000)));
        let begin = tokio::time::Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let limiter = limiter.clone();
            tasks.spawn(async move {
                for _ in 0..10 {
                    limiter.take(1_000).await;
                }
            });
        }
        tasks.join_all().await;
        let took = begin.elapsed();
        assert!((9.8..10.1).contains(&took.as_secs_f64()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lifting_the_limit_frees_those_who_wait() {
        let limiter = Arc::new(Limiter::new(Some(1)));
        let waiter = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.take(1_000_000).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiter.is_finished());
        limiter.set_rate(None);
        tokio::time::timeout(Duration::from_secs(1), waiter).await.unwrap().unwrap();
    }
}

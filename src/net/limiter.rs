//! One rate limit shared by all links, without a lock: the moment at which all bytes so far
//! would have gone by at the limit is one atomic number. Bytes are charged after they came,
//! and readers wait while the account is ahead of the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// What may go by at once after a pause.
const BURST: Duration = Duration::from_millis(100);
/// A reader looks again at least so often, since the limit may be lifted meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Bytes to read at once under a limit, so that links take turns.
pub const READ_LIMITED: usize = 16 * 1024;

/// A limit in bytes per second, or none. Clones share it.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
    /// Nanoseconds since `base` until which the limit is used up.
    used_until: AtomicU64,
    base: Instant,
}

impl Limiter {
    /// A limiter with this rate in bytes per second.
    pub fn new(rate: Option<u64>) -> Self {
        let shared = Shared {
            rate: AtomicU64::new(rate.unwrap_or(0)),
            used_until: AtomicU64::new(0),
            base: Instant::now(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The rate in force.
    pub fn rate(&self) -> Option<u64> {
        Some(self.shared.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Changes the rate. What is used up stays so, but no longer than a new limit needs.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.shared.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        self.shared.used_until.store(self.now(), Ordering::Relaxed);
    }

    /// Returns when bytes may be read. Charges nothing; many may return at the same time.
    pub async fn ready(&self) {
        while let Some(wait) = self.wait() {
            sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    /// `bytes` went by.
    pub fn charge(&self, bytes: usize) {
        let Some(rate) = self.rate() else { return };
        let cost = (bytes as u128 * 1_000_000_000 / u128::from(rate)) as u64;
        let now = self.now();
        let used = &self.shared.used_until;
        let charged = |until: u64| Some(until.max(now).saturating_add(cost));
        // The closure never refuses.
        let _ = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    fn wait(&self) -> Option<Duration> {
        self.rate()?;
        let until = self.shared.used_until.load(Ordering::Relaxed);
        let ahead = Duration::from_nanos(until.saturating_sub(self.now()));
        ahead.checked_sub(BURST).filter(|wait| !wait.is_zero())
    }

    fn now(&self) -> u64 {
        self.shared.base.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_time_for_several_readers() {
        let limiter = Limiter::new(Some(1_000_000));
        let began = Instant::now();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    for _ in 0..125 {
                        limiter.ready().await;
                        limiter.charge(10_000);
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap();
        }
        let took = began.elapsed().as_secs_f64();
        assert!((4.7..5.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifted_limit_frees_those_who_wait() {
        let limiter = Limiter::new(Some(1));
        limiter.charge(1_000_000);
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        limiter.set_rate(None);
        let began = Instant::now();
        waiting.await.unwrap();
        assert!(began.elapsed() <= LOOK_AGAIN);
    }
}

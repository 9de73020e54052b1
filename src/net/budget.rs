//! What may be done so many times a second, by all together: the generic cell rate algorithm on one
//! atomic, without a lock. Who may be refused asks for its turn now; who may not waits for one, and
//! comes before those. Not here: shares of hosts, and bytes (see [`limiter`](super::limiter)).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A rate with a burst.
#[derive(Debug)]
pub struct Budget {
    /// What `full_at` counts from.
    epoch: Instant,
    /// Nanoseconds that one turn takes.
    each: u64,
    /// Nanoseconds that may be spent at once.
    burst: u64,
    /// Nanoseconds after `epoch` at which nothing is spent any more.
    full_at: AtomicU64,
}

impl Budget {
    /// So many turns a second, and at once as many as in a second. At least one.
    pub fn per_second(count: u32) -> Self {
        let each = 1_000_000_000 / u64::from(count.max(1));
        let epoch = tokio::time::Instant::now().into_std();
        Self { epoch, each, burst: 1_000_000_000, full_at: AtomicU64::new(0) }
    }

    /// A turn now, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let now = self.nanos(now);
        let more = |full_at: u64| {
            let after = full_at.max(now).saturating_add(self.each);
            (after <= now.saturating_add(self.burst)).then_some(after)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// A turn in any case; how long to wait for it.
    pub fn reserve(&self, now: Instant) -> Duration {
        let now = self.nanos(now);
        let more = |full_at: u64| Some(full_at.max(now).saturating_add(self.each));
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let after = before.ok().and_then(more).unwrap_or(now);
        Duration::from_nanos(after.saturating_sub(now.saturating_add(self.burst)))
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_turns_at_once_and_then_as_they_come() {
        let budget = Budget::per_second(100);
        let start = budget.epoch + Duration::from_secs(7);
        let taken = |now| (0..1000).filter(|_| budget.take(now)).count();
        assert_eq!(taken(start), 100);
        assert_eq!(taken(start + Duration::from_millis(95)), 9);
        assert_eq!(taken(start + Duration::from_secs(60)), 100, "silence saves up a second's");
    }

    #[test]
    fn who_waits_is_never_refused_and_comes_first() {
        let budget = Budget::per_second(100);
        let start = budget.epoch;
        assert!((0..100).all(|_| budget.reserve(start).is_zero()));
        assert_eq!(budget.reserve(start), Duration::from_millis(10));
        assert_eq!(budget.reserve(start), Duration::from_millis(20));
        assert!(!budget.take(start + Duration::from_millis(25)), "those are before it");
        assert!(budget.take(start + Duration::from_millis(30)));
    }
}

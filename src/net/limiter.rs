//! Rate limits: a tree of token buckets, a session's on top and one of each torrent below it.
//! Bytes pass only when every level allows them. Each level is the generic cell rate
//! algorithm on two atomics, without a lock; with no limit on any level only two numbers are
//! read.
//!
//! Links read or write at most a turn at once, pay for it afterwards (nobody knows before how
//! many bytes a read will bring) and wait until everything that was spent before is paid. So
//! those who wait stand in a queue, come in turn, and get equal shares, whichever torrent
//! they belong to; who wants less than its share leaves the rest to others. What counts is
//! what goes through the socket, protocol bytes included. Not here: shares by weight.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

/// Time's worth of bytes that may pass at once after a silence, so that a late wake-up loses
/// nothing: 1 % of ten seconds.
const BURST: Duration = Duration::from_millis(100);
/// Parts of a second in which the rate is handed out: one wake-up each. With twenty links that
/// wait, each one's turn comes every 0.1 s.
const TURNS_PER_S: u64 = 200;
/// The least bytes of a turn: fewer are not worth a system call.
const TURN_MIN: u64 = 1024;
/// The most: a link's whole read buffer.
const TURN_MAX: u64 = 256 * 1024;

/// A limit in bytes per second, or none, and the limits above it.
#[derive(Debug)]
pub struct Limiter {
    /// What `paid_until` counts from.
    epoch: Instant,
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
    /// Nanoseconds after `epoch` at which everything spent so far is paid.
    paid_until: AtomicU64,
    parent: Option<Arc<Limiter>>,
    /// Tells those who wait in the whole tree that a limit was changed.
    changed: Arc<Notify>,
}

impl Limiter {
    /// A limiter with this limit in bytes per second. A limit of 0 counts as 1.
    pub fn new(rate_bytes_per_s: Option<u64>) -> Self {
        Self::with(rate_bytes_per_s, None, Arc::default())
    }

    /// A limiter whose bytes also count for `parent`.
    pub fn under(parent: Arc<Limiter>, rate_bytes_per_s: Option<u64>) -> Self {
        let changed = parent.changed.clone();
        Self::with(rate_bytes_per_s, Some(parent), changed)
    }

    fn with(rate: Option<u64>, parent: Option<Arc<Self>>, changed: Arc<Notify>) -> Self {
        Self {
            epoch: tokio::time::Instant::now().into_std(),
            rate: AtomicU64::new(rate.map_or(0, |rate| rate.max(1))),
            paid_until: AtomicU64::new(0),
            parent,
            changed,
        }
    }

    /// Changes the limit of this level. Its debts are forgiven, and those who wait look again
    /// at once.
    pub fn set_rate(&self, rate_bytes_per_s: Option<u64>) {
        let rate = rate_bytes_per_s.map_or(0, |rate| rate.max(1));
        self.rate.store(rate, Ordering::Relaxed);
        self.paid_until.store(0, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// The limit in force, in bytes per second: the lowest of all levels.
    pub fn rate(&self) -> Option<u64> {
        self.levels().filter_map(Self::own_rate).min()
    }

    /// The limit of this level alone.
    pub fn own_rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate != 0)
    }

    /// The most bytes to move at once under the limit.
    pub fn turn_bytes(&self) -> Option<u64> {
        self.rate().map(|rate| (rate / TURNS_PER_S).clamp(TURN_MIN, TURN_MAX))
    }

    /// Spends `bytes` that have passed already; tells how long to wait before the next.
    pub fn spend(&self, bytes: u64, now: Instant) -> Duration {
        let waits = self.levels().map(|level| level.spend_here(bytes, now));
        waits.max().unwrap_or_default()
    }

    /// Is more wanted now than a level lets pass?
    pub fn holds_back(&self, now: Instant) -> bool {
        self.levels().any(|level| {
            let ahead = level.paid_until.load(Ordering::Relaxed).saturating_sub(level.nanos(now));
            level.own_rate().is_some() && ahead > nanos(BURST / 2)
        })
    }

    /// Waits until then, or until the limit in force is no longer `rate`.
    pub async fn wait_until(&self, until: tokio::time::Instant, rate: Option<u64>) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // A change between the look at the rate and the wait must not be missed.
            changed.as_mut().enable();
            if self.rate() != rate {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => return,
                () = changed => {}
            }
        }
    }

    /// This level and those above.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.parent.as_deref())
    }

    fn spend_here(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.own_rate() else { return Duration::ZERO };
        let now = self.nanos(now);
        let spend = |paid_until: u64| Some(paid_until.max(now).saturating_add(cost(bytes, rate)));
        let before = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        let paid_until = before.ok().and_then(spend).unwrap_or(now);
        Duration::from_nanos(paid_until.saturating_sub(now).saturating_sub(nanos(BURST)))
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

    #[test]
    fn without_a_limit_everything_passes() {
        let limiter = Limiter::under(Arc::new(Limiter::new(None)), None);
        assert_eq!(limiter.spend(u64::MAX, Instant::now()), Duration::ZERO);
        assert_eq!((limiter.rate(), limiter.turn_bytes()), (None, None));
        assert!(!limiter.holds_back(Instant::now()));
    }

    #[test]
    fn the_lowest_limit_of_all_levels_is_in_force() {
        let session = Arc::new(Limiter::new(Some(1_000)));
        let torrent = Limiter::under(session.clone(), Some(5_000));
        assert_eq!((torrent.rate(), torrent.own_rate()), (Some(1_000), Some(5_000)));
        session.set_rate(None);
        assert_eq!(torrent.rate(), Some(5_000));
    }

    #[test]
    fn what_was_spent_too_much_is_waited_for() {
        let session = Arc::new(Limiter::new(Some(1_000)));
        let torrent = Limiter::under(session.clone(), Some(2_000));
        let now = Instant::now();
        assert_eq!(torrent.spend(100, now), Duration::ZERO);
        assert!(torrent.holds_back(now));
        assert_eq!(torrent.spend(1_000, now), Duration::from_secs(1));
        // Bytes of one torrent are paid by the others of the session too.
        let other = Limiter::under(session, None);
        assert_eq!(other.spend(100, now), Duration::from_millis(1_100));
        assert!(!other.holds_back(now + Duration::from_secs(2)));
    }

    #[test]
    fn absurd_numbers_saturate() {
        let limiter = Limiter::new(Some(0));
        let now = Instant::now();
        assert!(limiter.spend(u64::MAX, now) > Duration::from_secs(1));
        limiter.set_rate(Some(u64::MAX));
        assert!(limiter.spend(u64::MAX, now) <= Duration::from_secs(1));
    }
}

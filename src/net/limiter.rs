//! Rate limits: a tree of token buckets, a session's on top and one of each torrent below it.
//! Bytes pass only when every level allows them. Each level is the generic cell rate
//! algorithm on two atomics, without a lock; with no limit on any level only two numbers are
//! read.
//!
//! Links read or write at most a turn at once, pay for it afterwards (nobody knows before how
//! many bytes a read will bring), and after a whole turn wait until everything spent so far
//! is paid, after half a turn half as long. So all who want more get equal shares, whichever
//! torrent they belong to and however little comes with each read; who wants less than its
//! share leaves the rest to others. What counts is what goes through the socket, protocol
//! bytes included. Not here: shares by weight.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

/// A wake-up that comes this much too late loses nothing: what could have passed meanwhile
/// still may. After a longer silence nothing is owed to anybody. 2 % of ten seconds.
const LATE_MAX: Duration = Duration::from_millis(200);
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
    /// Nanoseconds after `epoch` at which the rate was changed last; 0 when it never was.
    changed_at: AtomicU64,
    parent: Option<Arc<Limiter>>,
    /// Another one whose bytes these are; it has no levels above that count here.
    also: Option<Arc<Limiter>>,
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

    /// A limiter in the tree of `other` with a limit of its own, for [`joint`](Self::joint) ones.
    pub fn beside(other: &Limiter, rate_bytes_per_s: Option<u64>) -> Self {
        Self::with(rate_bytes_per_s, None, other.changed.clone())
    }

    /// A limiter without a limit of its own whose bytes count for `parent` and the levels above it,
    /// and for `also`, which is [`beside`](Self::beside) them.
    pub fn joint(parent: Arc<Limiter>, also: Arc<Limiter>) -> Self {
        Self { also: Some(also), ..Self::under(parent, None) }
    }

    fn with(rate: Option<u64>, parent: Option<Arc<Self>>, changed: Arc<Notify>) -> Self {
        Self {
            epoch: tokio::time::Instant::now().into_std(),
            rate: AtomicU64::new(rate.map_or(0, |rate| rate.max(1))),
            paid_until: AtomicU64::new(0),
            changed_at: AtomicU64::new(0),
            parent,
            also: None,
            changed,
        }
    }

    /// Changes the limit of this level. Its debts are forgiven, and those who wait look again
    /// at once.
    pub fn set_rate(&self, rate_bytes_per_s: Option<u64>) {
        let rate = rate_bytes_per_s.map_or(0, |rate| rate.max(1));
        let now = self.nanos(tokio::time::Instant::now().into_std());
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            self.changed_at.store(now.max(1), Ordering::Relaxed);
        }
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

    /// How long ago the limit in force was changed, or one that was lifted; none when it never was.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let in_force = self.rate();
        let counts = |level: &&Self| level.own_rate().is_none() || level.own_rate() == in_force;
        let ages = self.levels().filter(counts).filter_map(|level| {
            let changed_at = level.changed_at.load(Ordering::Relaxed);
            let since = level.nanos(now).saturating_sub(changed_at);
            (changed_at > 0).then(|| Duration::from_nanos(since))
        });
        ages.min()
    }

    /// The most bytes to move at once under the limit.
    pub fn turn_bytes(&self) -> Option<u64> {
        self.rate().map(turn)
    }

    /// Spends `bytes` that have passed already; tells how long to wait before the next.
    pub fn spend(&self, bytes: u64, now: Instant) -> Duration {
        let waits = self.levels().map(|level| level.spend_here(bytes, now));
        waits.max().unwrap_or_default()
    }

    /// Is more wanted now than a level lets pass?
    pub fn holds_back(&self, now: Instant) -> bool {
        self.levels().any(|level| {
            let paid_until = level.paid_until.load(Ordering::Relaxed);
            level.own_rate().is_some() && paid_until > level.nanos(now)
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

    /// This level, those above, and the one beside them.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        let above = std::iter::successors(Some(self), |level| level.parent.as_deref());
        above.chain(self.also.as_deref())
    }

    fn spend_here(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.own_rate() else { return Duration::ZERO };
        let now = self.nanos(now);
        let oldest = now.saturating_sub(nanos(LATE_MAX));
        let spend = |paid_until: u64| {
            let begin = if paid_until < oldest { now } else { paid_until };
            Some(begin.saturating_add(cost(bytes, rate)))
        };
        let before = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        let debt = before.ok().and_then(spend).unwrap_or(now).saturating_sub(now);
        let whole = turn(rate);
        let share = u128::from(debt) * u128::from(bytes.min(whole)) / u128::from(whole);
        Duration::from_nanos(u64::try_from(share).unwrap_or(debt))
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes of a turn at this rate.
fn turn(rate: u64) -> u64 {
    (rate / TURNS_PER_S).clamp(TURN_MIN, TURN_MAX)
}

/// Nanoseconds that `bytes` take.
fn cost(bytes: u64, rate: u64) -> u64 {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

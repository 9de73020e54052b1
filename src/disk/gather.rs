//! How long a worker that has some pieces waits for more, to hash them side by side: a machine
//! that is told of each piece and of the time. It takes none itself.
//!
//! Only where others are said to follow, only as many as can come in time and as there is memory
//! for, and only if the processor hashes so many at less cost each: the end of a download, a slow
//! one, and a processor without lanes never wait.
//!
//! The other way to fill lanes with long pieces, which come one by one, would be to hash their
//! blocks as they arrive. It needs several pieces that grow side by side: a link would have to
//! begin eight of its own instead of one after the other. All that is here of them lies in memory
//! until they are whole (half of eight in the mean, as with four that wait), nobody has any of
//! them before, and what is cut off loses eight instead of one. Waiting changes none of that.

use std::time::{Duration, Instant};

/// Pieces hashed at once: the lanes of the widest engine.
const LANES: usize = 16;
/// The longest wait, from the first piece on: four pieces of 4 MiB follow each other so fast at
/// 400 MB/s, where hashing them one by one takes a third of a core. A block's buffer is held up
/// by no more than this.
const LINGER: Duration = Duration::from_millis(30);
/// How much later than in the mean the next piece may come, at least: threads take turns.
const JITTER: Duration = Duration::from_millis(2);
/// A gap this long says that nothing flows.
const GAP_MAX: Duration = Duration::from_millis(100);

/// The pace at which pieces come, and those that are together.
pub(super) struct Gather {
    /// Bytes of pieces that are waited for at most, so that the pool never runs dry for it.
    bytes_max: u64,
    /// How many are best hashed together, of at most so many.
    best: fn(usize) -> usize,
    /// Time between pieces, smoothed.
    gap: Duration,
    last: Option<Instant>,
    count: usize,
    bytes: u64,
    since: Instant,
    /// None of those that are together is in a hurry.
    may_wait: bool,
}

impl Gather {
    /// Nothing has come yet.
    pub(super) fn new(bytes_max: u64, best: fn(usize) -> usize, now: Instant) -> Self {
        Self {
            bytes_max,
            best,
            gap: GAP_MAX,
            last: None,
            count: 0,
            bytes: 0,
            since: now,
            may_wait: true,
        }
    }

    /// The next pieces are gathered anew.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.count, self.bytes, self.since, self.may_wait) = (0, 0, now, true);
    }

    /// A piece of `len` bytes joins, that was whole at `given`; others follow if it `may_wait`.
    pub(super) fn join(&mut self, len: u64, given: Instant, may_wait: bool) {
        self.count += 1;
        self.bytes += len;
        self.may_wait &= may_wait;
        let gap = self.last.map_or(GAP_MAX, |last| given.saturating_duration_since(last));
        self.gap = (self.gap * 3 + gap.min(GAP_MAX)) / 4;
        self.last = Some(given);
    }

    /// No further piece is to be taken, though it be there.
    pub(super) fn is_full(&self) -> bool {
        self.count >= LANES || self.bytes >= self.bytes_max
    }

    /// How long to wait for the next piece, when none is there; none when it does not pay.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        if self.count == 0 || !self.may_wait {
            return None;
        }
        let left = (self.since + LINGER).saturating_duration_since(now);
        let gap = self.gap.max(Duration::from_micros(1));
        let in_time = self.count + (left.as_nanos() / gap.as_nanos()) as usize;
        let len = (self.bytes / self.count as u64).max(1);
        let in_memory = (self.bytes_max / len) as usize;
        let most = in_time.min(in_memory).min(LANES);
        // When the stream breaks off, the rest of the time is not waited for.
        let next = left.min(JITTER + gap * 4);
        ((self.best)(most) > self.count).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MS: Duration = Duration::from_millis(1);

    /// All that there may be.
    fn most(most: usize) -> usize {
        most
    }

    /// One whose pieces came so far from each other, when the next one comes.
    fn at_pace(gap: Duration, best: fn(usize) -> usize) -> (Gather, Instant) {
        let mut now = Instant::now();
        let mut gather = Gather::new(17 * MIB, best, now);
        for _ in 0..40 {
            gather.join(1, now, true);
            now += gap;
        }
        gather.begin(now);
        (gather, now)
    }

    /// Pieces of so many bytes come at this pace: how many are hashed together, and how long after
    /// the first of them.
    fn together(len: u64, gap: Duration, best: fn(usize) -> usize) -> (usize, Duration) {
        let (mut gather, begun) = at_pace(gap, best);
        let mut now = begun;
        gather.join(len, now, true);
        let mut count = 1;
        while !gather.is_full() {
            let Some(patience) = gather.patience(now) else { break };
            assert!(now < begun + LINGER, "it waits for ever");
            if patience < gap {
                now += patience;
                continue;
            }
            now += gap;
            gather.join(len, now, true);
            count += 1;
        }
        (count, now - begun)
    }

    #[test]
    fn as_many_as_come_in_time_and_fit_are_hashed_together() {
        assert_eq!(together(MIB / 4, MS / 4, most), (16, MS * 15 / 4));
        assert_eq!(together(MIB, MS, most), (16, MS * 15));
        assert_eq!(together(MIB, MS * 11 / 2, most), (6, MS * 55 / 2), "more come too late");
        assert_eq!(together(4 * MIB, MS * 7, most), (4, MS * 21), "a fifth finds no room");
        assert_eq!(together(8 * MIB, MS * 14, most), (2, MS * 14));
    }

    #[test]
    fn where_it_does_not_pay_nothing_waits() {
        assert_eq!(together(4 * MIB, MS * 31, most), (1, Duration::ZERO), "slow");
        assert_eq!(together(17 * MIB, MS, most), (1, Duration::ZERO), "long");
        assert_eq!(together(MIB, MS, |_| 1), (1, Duration::ZERO), "no lanes");
        // More than four cost each no less.
        assert_eq!(together(MIB, MS, |most| most.min(4)), (4, MS * 3));
    }

    #[test]
    fn one_that_is_in_a_hurry_takes_the_others_with_it() {
        let (mut gather, now) = at_pace(MS, most);
        gather.join(MIB, now, true);
        assert!(gather.patience(now).is_some());
        gather.join(MIB, now + MS, false);
        assert_eq!(gather.patience(now + MS), None);
        // Another that came meanwhile does not hold it up.
        gather.join(MIB, now + MS, true);
        assert_eq!(gather.patience(now + MS), None);
        gather.begin(now + MS);
        gather.join(MIB, now + MS, true);
        assert!(gather.patience(now + MS).is_some(), "it is on its way");
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_waited_for() {
        let (mut gather, now) = at_pace(MS, most);
        assert_eq!(gather.patience(now), None, "there is nothing to wait with");
        gather.join(MIB, now, true);
        let patience = gather.patience(now).unwrap();
        assert!(patience > MS * 5 && patience < MS * 8, "{patience:?}");
        assert_eq!(gather.patience(now + LINGER), None);
        // After a pause nobody knows how fast they come.
        gather.begin(now + MS * 1000);
        gather.join(MIB, now + MS * 1000, true);
        assert!(gather.patience(now + MS * 1000).is_none_or(|patience| patience <= LINGER));
        let first = Gather::new(17 * MIB, most, now);
        assert_eq!(first.patience(now), None);
    }
}

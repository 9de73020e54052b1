//! Does somebody else write to a file that we write to? Its time of change tells: it has to be
//! the one that our last write left. Should several of us write at once, the time is known only
//! when the last has ended and nobody has begun since; in between, nothing is said. What a change
//! means is not known here.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of one file, in one word that workers change in turn: how many are writing (8
/// bits), how many have begun, modulo 2^16, and a digest of the time of change (40 bits; 0 when
/// it is not known).
#[derive(Debug, Default)]
pub(super) struct Watch(AtomicU64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word {
    writing: u64,
    begun: u64,
    stamp: u64,
}

impl Word {
    const STAMP_BITS: u32 = 40;
    const BEGUN_BITS: u32 = 16;

    fn of(word: u64) -> Self {
        let low = |bits: u32| (1u64 << bits) - 1;
        Self {
            stamp: word & low(Self::STAMP_BITS),
            begun: word >> Self::STAMP_BITS & low(Self::BEGUN_BITS),
            writing: word >> (Self::STAMP_BITS + Self::BEGUN_BITS),
        }
    }

    fn packed(self) -> u64 {
        let begun = self.begun & ((1 << Self::BEGUN_BITS) - 1);
        self.writing << (Self::STAMP_BITS + Self::BEGUN_BITS)
            | begun << Self::STAMP_BITS
            | self.stamp
    }

    /// The digest that a file of which this is known, and which was `seen` before, is to have;
    /// none while we write.
    fn expected(self, seen: Option<i64>) -> Option<u64> {
        let stamp = if self.stamp == 0 { seen.map(digest) } else { Some(self.stamp) };
        stamp.filter(|_| self.writing == 0)
    }
}

/// 40 bits of a time, never 0. Times that are near each other differ in all bits.
fn digest(modified_ns: i64) -> u64 {
    let spread = modified_ns.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> (64 - Word::STAMP_BITS)).max(1)
}

impl Watch {
    /// A write begins; `modified_ns` is asked for only when it tells something. Has somebody
    /// else written since our last one, or, where none is known, since the file was `seen`?
    pub(super) fn begin<E>(
        &self,
        seen: Option<i64>,
        modified_ns: impl Fn() -> Result<i64, E>,
    ) -> Result<bool, E> {
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            let word = Word::of(known);
            // Looked at before the word is changed, as long as nobody of us writes.
            let found = match word.expected(seen) {
                Some(stamp) => modified_ns().map(|time| stamp != digest(time)),
                None => Ok(false),
            };
            let (writing, begun) = (word.writing + 1, word.begun + 1);
            let next = Word { writing, begun, stamp: 0 }.packed();
            match self.0.compare_exchange(known, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return found,
                Err(other) => known = other,
            }
        }
    }

    /// A write has ended, well or not.
    pub(super) fn end(&self, modified_ns: impl Fn() -> Option<i64>) {
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            let word = Word::of(known);
            // Looked at before the word is put back: whoever begins in between changes it.
            let stamp = match word.writing {
                1 => modified_ns().map_or(0, digest),
                _ => 0,
            };
            let next = Word { writing: word.writing.saturating_sub(1), stamp, ..word }.packed();
            match self.0.compare_exchange(known, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => known = other,
            }
        }
    }

    /// Is this another time of change than our last write left, or, where none is known, than
    /// the file was `seen` with?
    pub(super) fn differs(&self, seen: Option<i64>, modified_ns: i64) -> bool {
        let word = Word::of(self.0.load(Ordering::Acquire));
        word.expected(seen).is_some_and(|stamp| stamp != digest(modified_ns))
    }

    /// From now on this time of change is the right one; with none, nothing is known.
    pub(super) fn reset(&self, modified_ns: Option<i64>) {
        let stamp = modified_ns.map_or(0, digest);
        let next = |word| {
            let word = Word::of(word);
            (word.writing == 0).then(|| Word { stamp, ..word }.packed())
        };
        // While somebody writes, who ends last will know.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(watch: &Watch, time: i64) -> bool {
        watch.begin(None, || Ok::<_, ()>(time)).unwrap()
    }

    #[test]
    fn a_change_between_our_writes_shows() {
        let watch = Watch::default();
        assert!(!watch.differs(None, 5) && !begin(&watch, 5), "nothing is known yet");
        watch.end(|| Some(6));
        assert!(!watch.differs(None, 6) && watch.differs(None, 7));
        assert!(!begin(&watch, 6));
        assert!(!watch.differs(None, 9), "we are writing");
        watch.end(|| Some(8));
        assert!(begin(&watch, 9));
        watch.end(|| Some(9));
        watch.reset(None);
        assert!(!watch.differs(None, 10));
        watch.reset(Some(11));
        assert!(watch.differs(None, 10) && !watch.differs(None, 11));
    }

    #[test]
    fn before_our_first_write_it_is_as_it_was_seen() {
        let watch = Watch::default();
        assert!(watch.differs(Some(5), 6) && !watch.differs(Some(5), 5));
        let begin = |seen, now| watch.begin(seen, || Ok::<_, ()>(now)).unwrap();
        assert!(begin(Some(5), 6));
        assert!(!watch.differs(Some(5), 7) && !begin(Some(5), 7), "we are writing");
        watch.end(|| None);
        watch.end(|| Some(8));
        assert!(!watch.differs(Some(5), 8) && !begin(Some(5), 8), "what we left counts");
    }

    #[test]
    fn nothing_is_said_while_others_of_us_write() {
        let watch = Watch::default();
        begin(&watch, 1);
        assert!(!begin(&watch, 2));
        watch.end(|| Some(3));
        assert!(!begin(&watch, 4), "the other one goes on");
        watch.end(|| Some(5));
        watch.end(|| Some(6));
        assert!(watch.differs(None, 7));
    }

    /// One that begins while another looks at the time makes that worthless.
    #[test]
    fn a_time_that_was_overtaken_is_not_kept() {
        let watch = Watch::default();
        begin(&watch, 1);
        let is_first = std::cell::Cell::new(true);
        watch.end(|| {
            if is_first.replace(false) {
                assert!(!begin(&watch, 2));
            }
            Some(1)
        });
        assert!(!watch.differs(None, 9), "the second one still writes");
        watch.end(|| Some(3));
        assert!(!watch.differs(None, 3) && watch.differs(None, 1));
    }

    #[test]
    fn side_by_side_no_change_is_made_up() {
        let (watch, clock) = (Watch::default(), AtomicU64::new(1));
        let now = || clock.load(Ordering::SeqCst).cast_signed();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        assert!(!watch.begin(None, || Ok::<_, ()>(now())).unwrap());
                        clock.fetch_add(1, Ordering::SeqCst);
                        watch.end(|| Some(now()));
                    }
                });
            }
        });
        assert!(!watch.differs(None, now()));
    }
}

//! Which bytes of torrents were in the page cache a moment ago, for all who send from one device:
//! what one of them asked the system, or what was read to be hashed, none of the others asks again.
//! It may forget, and believe too long; then somebody asks, or waits for the disk, and nothing is
//! wrong.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a torrent that are known of together: system calls for so many pages at once.
pub(super) const STRETCH: u64 = 256 * 1024;
/// How long the answer is believed. Pages are given away in the order of their use, and these
/// were used just now: all others come first, which a disk needs longer to read.
pub const BELIEVED: Duration = Duration::from_secs(10);
/// Stretches that are known of at a time, two GiB of data.
const PLACES: usize = 8192;
/// Bits of a place that tell when; the others tell of what.
const TIME_BITS: u32 = 24;
/// Ticks a second of that time.
const TICKS: u32 = 16;

/// What is known. Each stretch has one place, in which a later one may stand.
#[derive(Debug)]
pub(super) struct Warmth {
    began: Instant,
    places: Box<[AtomicU64]>,
}

impl Warmth {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// These bytes of a torrent were in the page cache just now: the stretches that lie in them as
    /// a whole are known.
    pub(super) fn note(&self, torrent: u64, offset: u64, len: u64, now: Instant) {
        let (first, end) = (offset.div_ceil(STRETCH), offset.saturating_add(len) / STRETCH);
        for stretch in first..end {
            let (place, of) = self.place(torrent, stretch);
            place.store(of | u64::from(self.ticks(now)), Ordering::Relaxed);
        }
    }

    /// How many of these bytes, from the front, are known, and for how long: what was used longest
    /// ago of them tells. None when those at the front are not.
    pub(super) fn known(
        &self,
        torrent: u64,
        offset: u64,
        len: u64,
        now: Instant,
    ) -> Option<(u64, Duration)> {
        let end = offset.saturating_add(len);
        let age = |stretch: u64| {
            let (place, of) = self.place(torrent, stretch);
            let (told, time) = split(place.load(Ordering::Relaxed));
            let age = self.ticks(now).wrapping_sub(time) & ((1 << TIME_BITS) - 1);
            (told == of && age < BELIEVED.as_secs() as u32 * TICKS).then_some(age)
        };
        let first = offset / STRETCH;
        let ages = (first..end.div_ceil(STRETCH)).map_while(age);
        let (count, oldest) =
            ages.fold((0, 0), |(count, oldest), age| (count + 1, age.max(oldest)));
        let age = Duration::from_millis(u64::from(oldest) * 1000 / u64::from(TICKS));
        (count > 0).then(|| (end.min((first + count) * STRETCH) - offset, age))
    }

    fn place(&self, torrent: u64, stretch: u64) -> (&AtomicU64, u64) {
        let mut hasher = DefaultHasher::new();
        (torrent, stretch).hash(&mut hasher);
        let hash = hasher.finish();
        (&self.places[hash as usize % PLACES], split(hash).0)
    }

    /// Comes round in twelve days: what is old by just so much is believed. Never 0, which is the
    /// time of places in which nothing stands.
    fn ticks(&self, now: Instant) -> u32 {
        let ticks =
            now.saturating_duration_since(self.began).as_millis() * u128::from(TICKS) / 1000;
        ((ticks as u32).wrapping_add(1) & ((1 << TIME_BITS) - 1)).max(1)
    }
}

/// What a place tells of, and when.
fn split(place: u64) -> (u64, u32) {
    let time = place & ((1 << TIME_BITS) - 1);
    (place - time, time as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_stretches_are_known_for_a_while() {
        let now = Instant::now();
        let warmth = Warmth::new(now);
        assert_eq!(warmth.known(1, 0, 10, now), None);
        warmth.note(1, 10, 3 * STRETCH, now);
        assert_eq!(warmth.known(1, 10, 10, now), None, "its first stretch is not all in it");
        let known = |offset, len, now| warmth.known(1, offset, len, now).map(|known| known.0);
        assert_eq!(known(STRETCH + 5, 10, now), Some(10));
        assert_eq!(known(STRETCH + 5, 9 * STRETCH, now), Some(2 * STRETCH - 5));
        assert_eq!(warmth.known(2, STRETCH + 5, 10, now), None, "another torrent");
        let soon = now + Duration::from_millis(9900);
        assert_eq!(known(STRETCH, 10, soon), Some(10));
        assert_eq!(known(STRETCH, 10, now + BELIEVED), None);
    }

    /// Whoever believes it for as long again would believe twice as long.
    #[test]
    fn it_tells_how_long_ago_that_was() {
        let now = Instant::now();
        let warmth = Warmth::new(now);
        warmth.note(1, 0, STRETCH, now);
        let later = now + Duration::from_secs(4);
        warmth.note(1, STRETCH, STRETCH, later);
        let age = |stretch, count, now| warmth.known(1, stretch * STRETCH, count * STRETCH, now);
        let soon = later + Duration::from_secs(2);
        assert_eq!(age(0, 1, soon), Some((STRETCH, Duration::from_secs(6))));
        assert_eq!(age(1, 1, soon), Some((STRETCH, Duration::from_secs(2))));
        assert_eq!(age(0, 2, soon), Some((2 * STRETCH, Duration::from_secs(6))));
    }

    #[test]
    fn it_forgets_rather_than_grow() {
        let now = Instant::now();
        let warmth = Warmth::new(now);
        for torrent in 0..3 * PLACES as u64 {
            warmth.note(torrent, 0, STRETCH, now);
        }
        let known = |torrent: &u64| warmth.known(*torrent, 0, 1, now).is_some();
        let count = (0..3 * PLACES as u64).filter(known).count();
        assert!((PLACES / 2..=PLACES).contains(&count), "{count} of {PLACES}");
    }
}

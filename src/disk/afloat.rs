//! How much of a torrent was written and is not known to be on the device, by count: for people,
//! for the syncer's alarm clock, and so that a lane's writers can wait for it. Which pieces
//! that are, and what a sync means for them, is not known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What was written and is not known to be on the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Bytes of verified pieces.
    pub bytes: u64,
    /// Files that were written to.
    pub files: u64,
}

/// The count of one torrent.
#[derive(Debug, Default)]
pub(super) struct Afloat {
    bytes: AtomicU64,
    /// How many came since a sync was asked for.
    alarm: AtomicU64,
    /// The sum of all torrents on the lane; none for a torrent without a lane.
    lane: OnceLock<Arc<AtomicU64>>,
}

impl Afloat {
    /// Counts for this lane too, from now on. Called before anything is added.
    pub(super) fn join(&self, lane: Arc<AtomicU64>) {
        // A torrent has one lane.
        let _ = self.lane.set(lane);
    }

    /// Bytes that are not known to be on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Bytes of all torrents on the lane that are not known to be on the device.
    pub(super) fn bytes_of_lane(&self) -> u64 {
        self.lane.get().map_or_else(|| self.bytes(), |lane| lane.load(Ordering::Acquire))
    }

    /// So many more were written; how many came before them since a sync was asked for.
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if let Some(lane) = self.lane.get() {
            lane.fetch_add(bytes, Ordering::AcqRel);
        }
        self.alarm.fetch_add(bytes, Ordering::AcqRel)
    }

    /// The next bytes are the first again that a sync is to be asked for.
    pub(super) fn rearm(&self) {
        self.alarm.store(0, Ordering::Release);
    }

    /// So many are on the device, or lost.
    pub(super) fn take(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(lane) = self.lane.get() {
            lane.fetch_sub(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Afloat {
    /// Nobody will bring the rest to the device but the system.
    fn drop(&mut self) {
        self.take(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_counts_what_its_torrents_have_afloat_until_they_are_gone() {
        let lane = Arc::new(AtomicU64::new(0));
        let (one, two) = (Afloat::default(), Afloat::default());
        one.join(lane.clone());
        two.join(lane.clone());
        assert_eq!((one.add(10), one.add(5), two.add(7)), (0, 10, 0));
        one.rearm();
        assert_eq!((one.add(1), one.bytes(), lane.load(Ordering::Acquire)), (0, 16, 23));
        one.take(15);
        assert_eq!((one.bytes(), one.bytes_of_lane()), (1, 8));
        drop(two);
        assert_eq!(lane.load(Ordering::Acquire), 1);
    }
}

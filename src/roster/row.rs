//! What lists need of a torrent, small enough to be copied: numbers and no words. Its name, its
//! labels, why it is in trouble stand behind `Arc`s of whoever knows them.

use std::num::NonZeroU64;
use std::ops::BitOr;

use crate::base::ids::TorrentId;

/// What a torrent is doing, without the words for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Phase {
    /// Looking at data that is already on disk.
    #[default]
    Checking,
    /// Its files are on their way to another place; nothing else runs.
    Moving,
    /// Waiting for its turn: nothing of it runs.
    Queued,
    /// Asking peers for its metadata, of which only the hash is known.
    Seeking,
    /// Fetching.
    Downloading,
    /// Everything wanted is verified and written, and whoever wants it gets it.
    Complete,
    /// Complete, and seeded as long as was asked for: nothing of it runs.
    Finished,
    /// Stopped by the user for now.
    Paused,
    /// On its way to the end.
    Stopping,
    /// The disk fails; tried again by itself.
    DiskTrouble,
    /// It cannot go on.
    Failed,
}

/// What is so or not so of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags(u8);

impl Flags {
    /// Only its trackers name peers (BEP 27).
    pub const PRIVATE: Self = Self(1);
    /// Its pieces are fetched in order.
    pub const SEQUENTIAL: Self = Self(1 << 1);
    /// Nothing is downloaded for it.
    pub const SEED_ONLY: Self = Self(1 << 2);
    /// Something is wrong that its words tell, whatever its phase.
    pub const IN_TROUBLE: Self = Self(1 << 3);
    /// No task of it runs; it is woken when somebody wants it.
    pub const ASLEEP: Self = Self(1 << 4);
    /// The first and the last piece of each wanted file are fetched before all others.
    pub const ENDS_FIRST: Self = Self(1 << 5);

    /// Are all of `flags` set?
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These with `flags` set or not.
    #[must_use]
    pub fn with(self, flags: Self, is_set: bool) -> Self {
        Self(if is_set { self.0 | flags.0 } else { self.0 & !flags.0 })
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other, true)
    }
}

/// One torrent in a list. Bytes are bytes, rates and limits bytes per second, times Unix seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Which.
    pub id: TorrentId,
    /// What it is doing.
    pub phase: Phase,
    /// What is so of it.
    pub flags: Flags,
    /// Links that are up.
    pub links: u32,
    /// Those of them that have everything.
    pub seeds: u32,
    /// Where it stands in the queue: lower comes first, of equal ones the lower id. The numbers
    /// may have gaps, so that one that is moved changes no other.
    pub queue_place: u64,
    /// Bytes of the files that are wanted.
    pub wanted_bytes: u64,
    /// Those of them that are verified and written.
    pub done_bytes: u64,
    /// Bytes of the whole torrent that are missing, wanted or not.
    pub missing_bytes: u64,
    /// Payload received a second, recently.
    pub down_rate: u64,
    /// Payload sent a second, recently.
    pub up_rate: u64,
    /// Payload received in all runs.
    pub received_bytes: u64,
    /// Payload sent in all runs.
    pub sent_bytes: u64,
    /// Its own download limit; none when it has none.
    pub limit_down: Option<NonZeroU64>,
    /// Its own upload limit, likewise.
    pub limit_up: Option<NonZeroU64>,
    /// When it was added.
    pub added_at: u64,
    /// When everything wanted was here first; none before.
    pub completed_at: Option<NonZeroU64>,
    /// When payload came or went last; none before.
    pub active_at: Option<NonZeroU64>,
}

// 50,000 rows are 6 MB. Four kibibytes hold more than thirty.
const _: () = assert!(size_of::<Row>() <= 128);

impl Row {
    /// The row of a torrent of which nothing is known yet, at the end of the queue.
    pub fn new(id: TorrentId) -> Self {
        Self {
            id,
            phase: Phase::default(),
            flags: Flags::default(),
            links: 0,
            seeds: 0,
            queue_place: u64::MAX,
            wanted_bytes: 0,
            done_bytes: 0,
            missing_bytes: 0,
            down_rate: 0,
            up_rate: 0,
            received_bytes: 0,
            sent_bytes: 0,
            limit_down: None,
            limit_up: None,
            added_at: 0,
            completed_at: None,
            active_at: None,
        }
    }

    /// What was sent in the torrent's life for each byte of the wanted files; 0 when nothing is
    /// wanted (Transmission: `uploadedEver / sizeWhenDone`).
    pub fn ratio(&self) -> f64 {
        match self.wanted_bytes {
            0 => 0.0,
            wanted => self.sent_bytes as f64 / wanted as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_about_120_bytes() {
        assert_eq!(size_of::<Row>(), 120);
    }

    #[test]
    fn flags_are_set_one_by_one() {
        let both = Flags::PRIVATE | Flags::ASLEEP;
        assert!(both.has(Flags::PRIVATE) && both.has(Flags::ASLEEP));
        assert!(!both.has(Flags::SEQUENTIAL) && !both.has(Flags::PRIVATE | Flags::SEED_ONLY));
        let awake = both.with(Flags::ASLEEP, false);
        assert_eq!(awake, Flags::PRIVATE);
        assert_eq!(awake.with(Flags::ASLEEP, true), both);
    }

    #[test]
    fn the_ratio_is_by_what_is_wanted() {
        let row = Row { sent_bytes: 1500, wanted_bytes: 1000, ..Row::new(TorrentId(1)) };
        assert!((row.ratio() - 1.5).abs() < 1e-9);
        // Without bytes it is not infinitely generous.
        assert!(Row { wanted_bytes: 0, ..row }.ratio() <= 0.0);
    }
}

//! Whose turn it is to run: the first in order that still have something to download, at most so
//! many at once. Whatever changes, it is known at once who is due; nobody else is looked at.

use std::collections::BTreeSet;

use crate::base::ids::TorrentId;

use super::Phase;

/// What a torrent's phase means for whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// It waits for its turn.
    Waits,
    /// It holds one of the places.
    Holds,
    /// Neither. Complete ones hold no place: seeding costs little, a swarm lives of it, and
    /// others (Transmission, qBittorrent, aria2) count the same way. Neither do paused and
    /// failed ones, which would block those behind them for nothing.
    Nothing,
}

impl Claim {
    pub fn of(phase: Phase) -> Self {
        match phase {
            Phase::Queued => Self::Waits,
            Phase::Checking | Phase::Downloading | Phase::Moving | Phase::Seeking => Self::Holds,
            // Those on other disks would wait for a disk that is none of theirs.
            Phase::DiskTrouble
            | Phase::Complete
            | Phase::Finished
            | Phase::Paused
            | Phase::Stopping
            | Phase::Failed => Self::Nothing,
        }
    }
}

/// By its place in the queue.
pub(super) type Turn = (u64, TorrentId);

/// Whose turn has come, or is over before it was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    Due(TorrentId),
    NotDue(TorrentId),
}

/// The places, who holds how many, and who waits.
#[derive(Debug)]
pub(super) struct Turns {
    places: usize,
    held: usize,
    /// The first of those that wait, as many as there are free places.
    due: BTreeSet<Turn>,
    /// All others that wait; each stands behind all that are due.
    waiting: BTreeSet<Turn>,
}

impl Turns {
    pub fn new(places: usize) -> Self {
        Self { places, held: 0, due: BTreeSet::new(), waiting: BTreeSet::new() }
    }

    /// Is there a place for one more?
    pub fn has_place(&self) -> bool {
        self.held < self.places
    }

    /// How many may run at once from now on; [`settle`](Self::settle) follows.
    pub fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    /// A torrent had one phase and turn and has the other, none where there is none; `settle`
    /// follows.
    pub fn change(&mut self, before: Option<(Phase, Turn)>, now: Option<(Phase, Turn)>) {
        let of = |(phase, turn)| (Claim::of(phase), turn);
        let (before, now) = (before.map(of), now.map(of));
        if before == now {
            return;
        }
        let was_due = match before {
            Some((Claim::Holds, _)) => {
                self.held -= 1;
                false
            }
            Some((Claim::Waits, turn)) => {
                self.waiting.remove(&turn);
                self.due.remove(&turn)
            }
            Some((Claim::Nothing, _)) | None => false,
        };
        match now {
            Some((Claim::Holds, _)) => self.held += 1,
            // Who is told that its turn has come hears of it again only if that was not so.
            Some((Claim::Waits, turn)) if was_due => drop(self.due.insert(turn)),
            Some((Claim::Waits, turn)) => drop(self.waiting.insert(turn)),
            Some((Claim::Nothing, _)) | None => {}
        }
    }

    /// Names one torrent whose turn has come or gone by what was changed; none when all is told.
    pub fn settle(&mut self) -> Option<News> {
        let free = self.places.saturating_sub(self.held);
        if self.due.len() < free {
            let first = self.waiting.pop_first()?;
            self.due.insert(first);
            return Some(News::Due(first.1));
        }
        let is_behind = match (self.due.last(), self.waiting.first()) {
            (Some(last), Some(first)) => first < last,
            _ => false,
        };
        // The place of who is behind is given to the first with the next call.
        let last =
            if is_behind || self.due.len() > free { self.due.pop_last()? } else { return None };
        self.waiting.insert(last);
        Some(News::NotDue(last.1))
    }

    #[cfg(test)]
    pub fn due(&self) -> impl Iterator<Item = TorrentId> {
        self.due.iter().map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{
        Checking, Complete, DiskTrouble, Downloading, Failed, Finished, Moving, Paused, Queued,
        Seeking, Stopping,
    };

    /// Torrents in the order of the queue, all told.
    fn turns(phases: &[Phase], places: usize) -> Turns {
        let mut turns = Turns::new(places);
        for (place, phase) in (0..).zip(phases) {
            turns.change(None, Some((*phase, (place.into(), TorrentId(place)))));
        }
        while turns.settle().is_some() {}
        turns
    }

    fn queued(place: u64, id: u32) -> Option<(Phase, Turn)> {
        Some((Queued, (place, TorrentId(id))))
    }

    fn due_of(phases: &[Phase], places: usize) -> Vec<u32> {
        turns(phases, places).due().map(|id| id.0).collect()
    }

    fn news(turns: &mut Turns) -> Vec<News> {
        std::iter::from_fn(|| turns.settle()).collect()
    }

    #[test]
    fn the_first_in_order_start() {
        assert_eq!(due_of(&[Queued, Queued, Queued], 2), [0, 1]);
        assert_eq!(due_of(&[Downloading, Queued, Checking, Queued], 3), [1]);
        assert_eq!(due_of(&[Downloading, Queued], 1), [0; 0]);
    }

    #[test]
    fn who_downloads_nothing_holds_no_place() {
        for phase in [Complete, Finished, Paused, Stopping, Failed, DiskTrouble] {
            assert_eq!(due_of(&[phase, Queued], 1), [1], "{phase:?}");
            assert!(turns(&[phase], 1).has_place());
        }
        for phase in [Checking, Downloading, Moving, Seeking] {
            assert_eq!(due_of(&[phase, Queued], 1), [0; 0], "{phase:?}");
            assert!(!turns(&[phase], 1).has_place());
        }
    }

    #[test]
    fn more_running_than_there_are_places_is_no_accident() {
        // Some were started out of turn.
        assert_eq!(due_of(&[Downloading, Downloading, Queued], 1), [0; 0]);
    }

    #[test]
    fn who_moves_up_takes_the_turn_of_the_last() {
        let mut turns = turns(&[Queued, Queued, Queued], 2);
        turns.change(queued(2, 2), queued(0, 2));
        let told = [News::NotDue(TorrentId(1)), News::Due(TorrentId(2))];
        assert_eq!(news(&mut turns), told);
        assert_eq!(turns.due().collect::<Vec<_>>(), [TorrentId(0), TorrentId(2)]);
    }

    #[test]
    fn who_stays_due_is_not_told_again() {
        let mut turns = turns(&[Queued, Queued, Queued], 2);
        turns.change(queued(0, 0), queued(1, 0));
        assert_eq!(news(&mut turns), []);
        turns.set_places(3);
        assert_eq!(news(&mut turns), [News::Due(TorrentId(2))]);
        turns.set_places(0);
        let ids = [2, 1, 0].map(|id| News::NotDue(TorrentId(id)));
        assert_eq!(news(&mut turns), ids);
    }
}

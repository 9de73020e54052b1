//! Which torrents run: the first in order that still have something to download, at most so
//! many at once. Pure: it sees claims and names positions; starting them is the actor's.

use crate::torrent::status::State;

/// What the state of a torrent means for whose turn it is.
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
    pub fn of(state: &State) -> Self {
        match state {
            State::Queued => Self::Waits,
            State::Checking | State::Downloading | State::Moving => Self::Holds,
            // Those on other disks would wait for a disk that is none of theirs.
            State::DiskTrouble(_)
            | State::Complete
            | State::Finished
            | State::Paused
            | State::Stopping
            | State::Failed(_) => Self::Nothing,
        }
    }
}

/// Is there a place for one more?
pub(super) fn has_place(claims: impl Iterator<Item = Claim>, places: usize) -> bool {
    claims.filter(|claim| *claim == Claim::Holds).count() < places
}

/// Positions of the queued torrents whose turn it is. Asked twice before anything changed, it
/// names the same ones.
pub(super) fn due(
    claims: impl Iterator<Item = Claim> + Clone,
    places: usize,
) -> impl Iterator<Item = usize> {
    let taken = claims.clone().filter(|claim| *claim == Claim::Holds).count();
    let waiting = claims.enumerate().filter(|(_, claim)| *claim == Claim::Waits);
    waiting.map(|(position, _)| position).take(places.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Checking, Complete, Downloading, Failed, Finished, Paused, Queued, Stopping};

    fn due_of(states: &[State], places: usize) -> Vec<usize> {
        due(states.iter().map(Claim::of), places).collect()
    }

    #[test]
    fn the_first_in_order_start() {
        assert_eq!(due_of(&[Queued, Queued, Queued], 2), [0, 1]);
        assert_eq!(due_of(&[Downloading, Queued, Checking, Queued], 3), [1]);
        assert_eq!(due_of(&[Downloading, Queued], 1), [0; 0]);
    }

    #[test]
    fn who_downloads_nothing_holds_no_place() {
        let disk = State::DiskTrouble(String::new());
        for state in [Complete, Finished, Paused, Stopping, Failed(String::new()), disk] {
            assert_eq!(due_of(&[state.clone(), Queued], 1), [1], "{state:?}");
            assert!(has_place([Claim::of(&state)].into_iter(), 1));
        }
        for state in [Checking, Downloading] {
            assert_eq!(due_of(&[state.clone(), Queued], 1), [0; 0], "{state:?}");
            assert!(!has_place([Claim::of(&state)].into_iter(), 1));
        }
    }

    #[test]
    fn more_running_than_there_are_places_is_no_accident() {
        // Some were started out of turn.
        assert_eq!(due_of(&[Downloading, Downloading, Queued], 1), [0; 0]);
    }
}

//! Where a torrent posts how it stands: the latest snapshot for whoever looks, and a bell for
//! the session when the state changes or more is to be done, so that nobody has to look at a
//! thousand torrents to learn that nothing happened. It decides nothing.

use std::mem::discriminant;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::status::{State, Status};

/// The writing end of a torrent's snapshot.
#[derive(Debug)]
pub(super) struct Board {
    status: watch::Sender<Status>,
    bell: Arc<Notify>,
}

impl Board {
    pub fn new(first: Status, bell: Arc<Notify>) -> Self {
        Self { status: watch::Sender::new(first), bell }
    }

    /// To read from.
    pub fn reader(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Whether what is posted will not change by itself: complete or paused, alone, and no rate
    /// to decay.
    pub fn is_still(&self) -> bool {
        let status = self.status.borrow();
        let moves = status.down_rate + status.up_rate + u64::from(status.peers_connected);
        matches!(status.state, State::Complete | State::Paused) && moves == 0
    }

    /// Posts a new snapshot; what was found on disk stays known.
    pub fn post(&self, status: Status) {
        self.change(|shown| {
            let found = status.found.clone().or_else(|| shown.found.take());
            *shown = Status { found, ..status };
        });
    }

    /// Changes some of what is posted.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut is_news = false;
        self.status.send_modify(|status| {
            let before = (discriminant(&status.state), status.left_bytes());
            let was_alone = status.is_alone();
            let wanted_files = status.wanted_files.clone();
            change(status);
            // With more to do than before it may need more memory; a choice of files is kept; who
            // has nobody may be put to sleep.
            is_news = before.0 != discriminant(&status.state)
                || before.1 < status.left_bytes()
                || was_alone != status.is_alone()
                || !Arc::ptr_eq(&wanted_files, &status.wanted_files);
        });
        if is_news {
            self.bell.notify_one();
        }
    }
}

impl Drop for Board {
    /// A torrent that ends, for whatever reason, leaves its place to another.
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_is_still_and_what_moves_is_not() {
        let board = Board::new(Status::default(), Arc::new(Notify::new()));
        for (state, is_still) in
            [(State::Complete, true), (State::Paused, true), (State::Downloading, false)]
        {
            let rate = |rate| Status { state: state.clone(), up_rate: rate, ..Status::default() };
            board.post(rate(0));
            assert_eq!(board.is_still(), is_still, "{state:?}");
            board.post(rate(1));
            assert!(!board.is_still(), "{state:?} with a rate to decay");
        }
    }

    #[test]
    fn the_bell_rings_for_another_state_and_for_more_to_do() {
        let bell = Arc::new(Notify::new());
        let board = Board::new(Status::default(), bell.clone());
        let rings = || has_rung(&bell);
        board.change(|status| status.state = State::Downloading);
        assert!(rings());
        board.change(|status| status.wanted_bytes = 10);
        assert!(rings(), "it has more to fetch");
        board.change(|status| status.done_bytes = 4);
        assert!(!rings(), "that it goes on is no news");
        board.change(|status| status.done_bytes = 3);
        assert!(rings(), "a piece was lost");
        board.change(|status| status.down_rate = 3);
        assert!(!rings());
        board.change(|status| status.state = State::Complete);
        assert!(rings());
        board.change(|status| status.peers_connected = 1);
        assert!(rings(), "it has somebody");
        board.change(|status| status.peers_connected = 2);
        assert!(!rings());
        board.change(|status| status.peers_connected = 0);
        assert!(rings(), "it is alone");
    }

    /// Whether the bell has rung since it was last asked.
    fn has_rung(bell: &Notify) -> bool {
        let mut notified = std::pin::pin!(bell.notified());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        notified.as_mut().poll(&mut cx).is_ready()
    }
}

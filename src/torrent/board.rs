//! Where a torrent posts how it stands: the latest snapshot for whoever looks, and a bell for
//! the session when the state changes or more is to be done, so that nobody has to look at a
//! thousand torrents to learn that nothing happened. It decides nothing.

use std::mem::discriminant;
use std::sync::Arc;

use tokio::sync::watch;

use super::bell::Bell;
use super::status::{State, Status};

/// The writing end of a torrent's snapshot.
#[derive(Debug)]
pub(super) struct Board {
    status: watch::Sender<Status>,
    bell: Bell,
}

impl Board {
    pub fn new(first: Status, bell: Bell) -> Self {
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
            let before = shown(status);
            let files = status.files.clone();
            change(status);
            is_news = before != shown(status) || !Arc::ptr_eq(&files, &status.files);
        });
        if is_news {
            self.bell.ring();
        }
    }
}

/// What lists show of it, and the session decides by.
fn shown(status: &Status) -> impl PartialEq + use<> {
    (
        discriminant(&status.state),
        [status.wanted_bytes, status.done_bytes, status.missing_bytes],
        [status.down_rate, status.up_rate],
        [status.downloaded_bytes, status.uploaded_bytes],
        [status.peers_connected, status.seeds_connected],
        status.is_asleep,
        status.home.as_ref().map(Arc::as_ptr),
    )
}

impl Drop for Board {
    /// A torrent that ends, for whatever reason, leaves its place to another.
    fn drop(&mut self) {
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::mpsc;

    use crate::base::file_priority::FilePriority;
    use crate::base::ids::TorrentId;
    use crate::disk::Home;

    #[test]
    fn what_rests_is_still_and_what_moves_is_not() {
        let (rung, _heard) = mpsc::channel(8);
        let board = Board::new(Status::default(), Bell::new(TorrentId(1), rung));
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
    fn the_bell_rings_for_what_is_shown_and_for_a_choice_of_files() {
        let (rung, mut heard) = mpsc::channel(8);
        let bell = Bell::new(TorrentId(1), rung);
        let board = Board::new(Status::default(), bell.clone());
        let mut rings = |change: fn(&mut Status)| {
            board.change(change);
            bell.hear();
            heard.try_recv().is_ok()
        };
        assert!(rings(|status| status.state = State::Downloading));
        assert!(rings(|status| status.wanted_bytes = 10), "it has more to fetch");
        assert!(rings(|status| status.done_bytes = 4));
        assert!(rings(|status| status.files = [FilePriority::High].into()));
        assert!(rings(|status| status.peers_connected = 1));
        assert!(rings(|status| status.is_asleep = true));
        let home = |status: &mut Status| status.home = Some(Arc::new(Home::at("/d".into())));
        assert!(rings(home), "its files are elsewhere");
        assert!(!rings(|status| status.peers_connected = 1), "it is as it was");
        assert!(!rings(|status| status.running += std::time::Duration::from_secs(1)));
    }

    #[test]
    fn the_bell_rings_at_the_end() {
        let (rung, mut heard) = mpsc::channel(8);
        drop(Board::new(Status::default(), Bell::new(TorrentId(1), rung)));
        assert!(heard.try_recv().is_ok());
    }
}

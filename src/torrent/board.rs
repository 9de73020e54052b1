//! Where a torrent posts how it stands: the latest snapshot for whoever looks, and a bell for
//! the session when the state changes or more is to be done, so that nobody has to look at a thousand torrents to
//! learn that nothing happened. It decides nothing.

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

    /// Posts a new snapshot.
    pub fn post(&self, status: Status) {
        self.change(|shown| *shown = status);
    }

    /// Changes some of what is posted.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut is_news = false;
        self.status.send_modify(|status| {
            let before = (discriminant(&status.state), status.left_bytes());
            change(status);
            // With more to do than before it may need more memory.
            is_news = before.0 != discriminant(&status.state) || before.1 < status.left_bytes();
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

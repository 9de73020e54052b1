//! How the session learns which torrents to look at, so that nobody has to look at fifty thousand
//! to learn that nothing happened. A torrent stands in its queue once at most, however often it
//! rings, so the queue is never longer than there are torrents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::base::ids::TorrentId;

/// One torrent's bell.
#[derive(Clone, Debug)]
pub struct Bell {
    id: TorrentId,
    is_rung: Arc<AtomicBool>,
    rung: mpsc::Sender<TorrentId>,
}

impl Bell {
    /// One that rings at the other end of this channel.
    pub fn new(id: TorrentId, rung: mpsc::Sender<TorrentId>) -> Self {
        Self { id, is_rung: Arc::default(), rung }
    }

    /// Has the session look at the torrent.
    pub fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // A session that is gone looks at nobody.
            if let Err(TrySendError::Full(_)) = self.rung.try_send(self.id) {
                // The next change rings again.
                self.hear();
            }
        }
    }

    /// It was heard. Called before the look: what happens after it rings again.
    pub fn hear(&self) {
        self.is_rung.store(false, Ordering::Release);
    }
}

/// One that nobody hears.
#[cfg(test)]
pub(super) fn silent() -> Bell {
    Bell::new(TorrentId(0), mpsc::channel(1).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_the_queue_once_until_it_is_heard() {
        let (rung, mut heard) = mpsc::channel(8);
        let bell = Bell::new(TorrentId(7), rung);
        (0..3).for_each(|_| bell.clone().ring());
        assert_eq!((heard.try_recv().ok(), heard.try_recv().ok()), (Some(TorrentId(7)), None));
        bell.ring();
        assert!(heard.try_recv().is_err(), "nobody has heard it yet");
        bell.hear();
        bell.ring();
        assert_eq!(heard.try_recv().ok(), Some(TorrentId(7)));
    }

    #[test]
    fn where_the_queue_is_full_the_next_change_rings() {
        let (rung, mut heard) = mpsc::channel(1);
        let [first, second] = [1, 2].map(|id| Bell::new(TorrentId(id), rung.clone()));
        first.ring();
        second.ring();
        assert_eq!((heard.try_recv().ok(), heard.try_recv().ok()), (Some(TorrentId(1)), None));
        second.ring();
        assert_eq!(heard.try_recv().ok(), Some(TorrentId(2)));
    }
}

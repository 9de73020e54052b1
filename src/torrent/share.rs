//! Blocks of the pool that a torrent's open pieces may hold: the session says how many, and the
//! torrent reads the latest word, however busy it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// One torrent's share; cheap to clone. None at first.
#[derive(Clone, Debug, Default)]
pub struct Share(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    blocks: AtomicUsize,
    changed: Notify,
}

impl Share {
    /// As it was told last.
    pub fn blocks(&self) -> usize {
        self.0.blocks.load(Ordering::Acquire)
    }

    /// Tells it.
    pub fn set(&self, blocks: usize) {
        if self.0.blocks.swap(blocks, Ordering::AcqRel) != blocks {
            self.0.changed.notify_one();
        }
    }

    /// Waits until it was told another one, since this was waited for last.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_the_latest_share_and_of_none_that_is_the_same() {
        let share = Share::default();
        let told = share.clone();
        told.set(3);
        told.set(5);
        share.changed().await;
        assert_eq!(share.blocks(), 5);
        told.set(5);
        let again = tokio::time::timeout(std::time::Duration::from_secs(1), share.changed());
        assert!(again.await.is_err());
    }
}

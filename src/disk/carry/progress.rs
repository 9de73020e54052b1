//! How far a move is, and that it is to end: told by who does it, seen by who shows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::error::Error;

/// How far a move is. Shared with whoever shows or ends it.
#[derive(Debug, Default)]
pub struct MoveProgress {
    done_bytes: AtomicU64,
    is_cancelled: AtomicBool,
}

impl MoveProgress {
    /// Bytes copied; of how many tells whoever planned it.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// So many bytes more are copied.
    pub(super) fn on_copied(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the move soon, if its files are not in their new home yet: they stay where they
    /// were.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Refuses to go on when it was ended.
    pub(in crate::disk) fn go_on(&self) -> Result<(), Error> {
        match self.is_cancelled.load(Ordering::Relaxed) {
            true => Err(Error::Unmovable("stopped: the files stay where they were".to_owned())),
            false => Ok(()),
        }
    }
}

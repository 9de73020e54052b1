//! How much metadata that nobody has proven a search may hold: its session divides what there is
//! for all of them (`session::searches`), by what each of them would hold. Two ends of that, and
//! no arithmetic.

use tokio::sync::watch;

use crate::seek::Appetite;

/// The end of the search.
#[derive(Debug)]
pub struct Allowance {
    wanted: watch::Sender<Appetite>,
    allowed: watch::Receiver<usize>,
}

/// The end of its session.
#[derive(Debug)]
pub struct AllowanceWatch {
    wanted: watch::Receiver<Appetite>,
    allowed: watch::Sender<usize>,
}

/// Both ends for a search that begins: nothing is allowed yet.
pub fn allowance() -> (Allowance, AllowanceWatch) {
    let (wanted, seen) = watch::channel(Appetite::UNKNOWN);
    let (allowed, told) = watch::channel(0);
    (Allowance { wanted, allowed: told }, AllowanceWatch { wanted: seen, allowed })
}

impl Allowance {
    /// Bytes that may be held now.
    pub(super) fn bytes(&mut self) -> usize {
        *self.allowed.borrow_and_update()
    }

    /// Waits until it is another number of bytes; for ever when the session has ended.
    pub(super) async fn changed(&mut self) -> usize {
        match self.allowed.changed().await {
            Ok(()) => self.bytes(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Tells what would be held; is that new?
    pub(super) fn want(&self, appetite: Appetite) -> bool {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, appetite) != appetite)
    }
}

impl AllowanceWatch {
    /// Whether the search has ended.
    pub fn is_over(&self) -> bool {
        self.wanted.has_changed().is_err()
    }

    /// What it would hold.
    pub fn appetite(&self) -> Appetite {
        *self.wanted.borrow()
    }

    /// Bytes that it may hold, as it was told last.
    pub fn allowed(&self) -> usize {
        *self.allowed.borrow()
    }

    /// It may hold so many from now on.
    pub fn allow(&self, bytes: usize) {
        let is_new = |told: &mut usize| std::mem::replace(told, bytes) != bytes;
        self.allowed.send_if_modified(is_new);
    }
}

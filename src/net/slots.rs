//! A bounded number of places that everybody in a process shares, connections for instance. A
//! place is free again when its holder drops it. Nobody waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    taken: AtomicUsize,
}

/// One place, held until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// So many places, all free.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A place, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Slot(self.clone()))
    }

    /// How many are free at the moment.
    pub fn free(&self) -> usize {
        self.most.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_given_than_there_are_and_dropped_ones_come_back() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.free(), 1);
        assert!(slots.take().is_some());
    }
}

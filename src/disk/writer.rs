//! One worker at a time writes to a torrent. File systems let one writer into a file; a second
//! one does not sleep meanwhile but spins on the file's lock (`rwsem_spin_on_owner` in profiles,
//! 8 % of the processor's time with two workers on ext4), which helps nobody. Here it sleeps,
//! and leaves the core to whoever hashes or receives.

use crossbeam_channel::{Receiver, Sender, bounded};

/// The place of a torrent's writer.
pub(super) struct WriterPlace {
    /// Holds one token while somebody writes.
    enter: Sender<()>,
    leave: Receiver<()>,
}

/// The right to write; given back when dropped.
pub(super) struct Writer<'a> {
    place: &'a WriterPlace,
}

impl WriterPlace {
    /// Nobody writes.
    pub(super) fn new() -> Self {
        // One place for the one writer.
        let (enter, leave) = bounded(1);
        Self { enter, leave }
    }

    /// Waits until nobody else writes.
    pub(super) fn take(&self) -> Writer<'_> {
        // It cannot fail: both ends live as long as the place.
        let _ = self.enter.send(());
        Writer { place: self }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let _ = self.place.leave.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_at_a_time_writes_and_all_get_their_turn() {
        let (place, inside, most) = (WriterPlace::new(), AtomicU32::new(0), AtomicU32::new(0));
        let turns = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _writer = place.take();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), turns.into_inner()), (1, 400));
    }
}

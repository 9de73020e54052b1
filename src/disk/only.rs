//! A value that one thread at a time has: it lies in a channel of one place, and whoever wants
//! it waits until it is back there.

use crossbeam_channel::{Receiver, Sender, bounded};

/// The value and its place.
#[derive(Debug)]
pub(super) struct Only<T> {
    put_back: Sender<T>,
    taken: Receiver<T>,
}

impl<T> Only<T> {
    /// Puts the value in its place.
    pub(super) fn new(value: T) -> Self {
        let (put_back, taken) = bounded(1);
        // Its place is free.
        let _ = put_back.try_send(value);
        Self { put_back, taken }
    }

    /// Works with the value, when nobody else does.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // Both ends live as long as the place, and whoever took the value puts it back.
        let value = self.taken.recv().ok();
        let mut held = Held { value, put_back: &self.put_back };
        match &mut held.value {
            Some(value) => work(value),
            None => unreachable!("the value is back in its place"),
        }
    }
}

/// The value on its way; back in its place also after a panic.
struct Held<'a, T> {
    value: Option<T>,
    put_back: &'a Sender<T>,
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            // Its place is free: it was just taken out.
            let _ = self.put_back.try_send(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_it_also_after_a_panic() {
        let only = Only::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| only.with(|count| *count += 1)));
            }
        });
        let panic = std::panic::AssertUnwindSafe(|| only.with(|_| panic!("on purpose")));
        assert!(std::panic::catch_unwind(panic).is_err());
        assert_eq!(only.with(|count| *count), 4000);
    }
}

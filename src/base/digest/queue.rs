//! The jobs of one call that wait for an engine. Not a channel: one core takes from it.

use super::message::Job;

/// Jobs that were handed back half done, and behind them those that nobody has begun.
pub(super) struct Queue<'a, const WORDS: usize, I> {
    begun: Vec<Job<'a, WORDS>>,
    fresh: I,
}

impl<'a, const WORDS: usize, I: ExactSizeIterator<Item = Job<'a, WORDS>>> Queue<'a, WORDS, I> {
    /// Jobs that nobody has begun.
    pub(super) fn new(fresh: I) -> Self {
        Self { begun: Vec::new(), fresh }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.fresh.len()
    }

    /// Takes jobs back; they are the next.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn put_back(&mut self, jobs: Vec<Job<'a, WORDS>>) {
        self.begun.extend(jobs);
    }
}

impl<'a, const WORDS: usize, I: Iterator<Item = Job<'a, WORDS>>> Iterator for Queue<'a, WORDS, I> {
    type Item = Job<'a, WORDS>;

    fn next(&mut self) -> Option<Self::Item> {
        self.begun.pop().or_else(|| self.fresh.next())
    }
}

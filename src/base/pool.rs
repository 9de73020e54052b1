//! The pool of 16 KiB blocks: one byte budget for all data between socket and disk. A
//! [`Block`] returns itself on drop. Links take blocks *before* they read, so that an empty
//! pool stops reading and TCP closes the window; nothing else is needed for back-pressure.
//!
//! This is the one file above std that may hold a lock; no caller ever sees it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::units::BLOCK_LEN;

type Buffer = Box<[u8; BLOCK_LEN]>;

/// A shared, bounded store of block buffers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockPool {
    shared: Arc<Mutex<Shared>>,
    budget: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// Buffers that were used before. Last in, first out: the warmest one first.
    free: Vec<Buffer>,
    in_use: usize,
    waiting: Vec<Waker>,
}

/// One buffer of up to 16 KiB, owned by whoever holds it.
#[derive(Debug)]
pub struct Block {
    /// Always there until drop.
    buffer: Option<Buffer>,
    len: usize,
    pool: BlockPool,
}

impl BlockPool {
    /// A pool that hands out at most `budget_bytes`, rounded down to blocks, at least one.
    /// Memory is taken from the system when first needed.
    pub fn new(budget_bytes: usize) -> Self {
        Self { shared: Arc::default(), budget: (budget_bytes / BLOCK_LEN).max(1) }
    }

    /// The budget in blocks.
    pub fn budget_blocks(&self) -> usize {
        self.budget
    }

    /// Blocks handed out now.
    pub fn in_use_blocks(&self) -> usize {
        self.with(|shared| shared.in_use)
    }

    /// Are there no blocks left, so that links wait for some?
    pub fn is_starved(&self) -> bool {
        self.with(|shared| shared.in_use == self.budget)
    }

    /// Puts up to `count` empty blocks on `into`, as many as the budget allows; returns how
    /// many those were.
    pub fn take(&self, count: usize, into: &mut Vec<Block>) -> usize {
        self.with(|shared| self.take_locked(shared, count, into))
    }

    /// As [`take`](Self::take), but registers the waker and is pending when there is none.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        count: usize,
        into: &mut Vec<Block>,
    ) -> Poll<usize> {
        self.with(|shared| {
            let taken = self.take_locked(shared, count, into);
            if taken > 0 || count == 0 {
                return Poll::Ready(taken);
            }
            if !shared.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                shared.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Gives many blocks back under one lock. Dropping them does the same, one by one.
    pub fn give_back(&self, blocks: impl IntoIterator<Item = Block>) {
        let mut buffers = Vec::new();
        for mut block in blocks {
            debug_assert!(Arc::ptr_eq(&self.shared, &block.pool.shared), "block of this pool");
            buffers.extend(block.buffer.take());
        }
        self.put(buffers);
    }

    fn take_locked(&self, shared: &mut Shared, count: usize, into: &mut Vec<Block>) -> usize {
        let taken = count.min(self.budget - shared.in_use);
        shared.in_use += taken;
        into.reserve(taken);
        for _ in 0..taken {
            let buffer = shared.free.pop().unwrap_or_else(new_buffer);
            into.push(Block { buffer: Some(buffer), len: 0, pool: self.clone() });
        }
        taken
    }

    fn put(&self, buffers: impl IntoIterator<Item = Buffer>) {
        let wakers = self.with(|shared| {
            let before = shared.free.len();
            shared.free.extend(buffers);
            shared.in_use -= shared.free.len() - before;
            std::mem::take(&mut shared.waiting)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        // No code that runs under the lock can panic half-way through a change.
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn new_buffer() -> Buffer {
    Box::new([0; BLOCK_LEN])
}

impl Block {
    /// The bytes filled so far.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer()[..self.len]
    }

    /// Appends `bytes`. They must fit: the caller has checked the length of the message.
    ///
    /// # Panics
    /// When the block would hold more than 16 KiB.
    pub fn append(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        assert!(end <= BLOCK_LEN, "a block holds at most 16 KiB");
        let begin = self.len;
        if let Some(buffer) = &mut self.buffer {
            buffer[begin..end].copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Bytes filled so far, as a number.
    pub fn len_bytes(&self) -> usize {
        self.len
    }

    fn buffer(&self) -> &[u8; BLOCK_LEN] {
        self.buffer.as_ref().expect("a block has its buffer until it is dropped")
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.put([buffer]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn budget_holds_and_blocks_come_back() {
        let pool = BlockPool::new(3 * BLOCK_LEN + 5);
        let mut blocks = Vec::new();
        assert_eq!(pool.take(5, &mut blocks), 3);
        assert_eq!(pool.take(1, &mut blocks), 0);
        blocks.pop();
        assert_eq!(pool.in_use_blocks(), 2);
        pool.give_back(blocks.drain(..));
        assert_eq!(pool.in_use_blocks(), 0);
    }

    #[test]
    fn a_reused_block_starts_empty() {
        let pool = BlockPool::new(BLOCK_LEN);
        let mut blocks = Vec::new();
        pool.take(1, &mut blocks);
        blocks[0].append(b"old");
        blocks[0].append(b"er");
        assert_eq!(blocks[0].bytes(), b"older");
        blocks.clear();
        pool.take(1, &mut blocks);
        assert_eq!(blocks[0].bytes(), b"");
    }

    #[test]
    fn one_that_waits_is_woken_when_a_block_returns() {
        let pool = BlockPool::new(BLOCK_LEN);
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(counter.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut held, mut wanted) = (Vec::new(), Vec::new());
        pool.take(1, &mut held);
        assert!(pool.poll_take(&mut cx, 1, &mut wanted).is_pending());
        held.clear();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(pool.poll_take(&mut cx, 1, &mut wanted).is_ready());
    }

    #[test]
    #[should_panic(expected = "at most 16 KiB")]
    fn overfilling_is_our_own_bug() {
        let pool = BlockPool::new(BLOCK_LEN);
        let mut blocks = Vec::new();
        pool.take(1, &mut blocks);
        blocks[0].append(&[0; BLOCK_LEN + 1]);
    }
}

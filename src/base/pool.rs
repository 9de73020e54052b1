//! The pool of 16 KiB blocks: one byte budget for all data between socket and disk. A
//! [`Block`] returns itself on drop. Links take blocks *before* they read, so that an empty
//! pool stops reading and TCP closes the window; nothing else is needed for back-pressure.
//!
//! Beside it stands a second, small budget: bytes of long messages that links collect until
//! they are whole, and until the brain has taken what they tell ([`Room`]). Both have a line,
//! first come, first served ([`Seat`]). What links have read too early is counted apart from
//! both ([`Carried`]): it waits for one or the other, and neither waits for it. So is what they
//! keep for later ([`Kept`]).
//!
//! This is the one file above std that may hold a lock; no caller ever sees it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::units::BLOCK_LEN;

/// Bytes of messages that may be collected when nothing else is said: eight of the longest
/// sets of pieces.
pub const MESSAGE_BYTES: usize = 2 << 20;

/// Bytes read too early, of all links together, beyond which none reads ahead any more. Each
/// thread may go beyond it by one read.
pub const CARRY_BYTES: usize = 128 << 10;

/// Bytes that links keep of what remotes said of a torrent before anybody knew it, all together:
/// eight of the longest sets of pieces. It may take hours, so that nobody waits for them.
pub const KEPT_BYTES: usize = 2 << 20;

type Buffer = Box<Aligned>;

/// What one copies into and the system copies from: it begins at a line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Aligned([u8; BLOCK_LEN]);

/// A shared, bounded store of block buffers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockPool {
    shared: Arc<Mutex<Shared>>,
    budget: usize,
    message_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// Buffers that were used before. Last in, first out: the warmest one first.
    free: Vec<Buffer>,
    in_use: usize,
    line: Line,
    /// Bytes of messages that links collect.
    collected: usize,
    message_line: Line,
    /// Bytes that links have read and cannot take in yet.
    carried: usize,
    /// Bytes that links keep for later.
    kept: usize,
}

/// Who waits for something that is counted. What comes free is set aside for the first in
/// the line and is nobody else's from then on, so that a late comer cannot take it away.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// How much each wants, and whom to wake.
    waiting: BTreeMap<u64, (usize, Waker)>,
    /// What is set aside for those that were woken.
    granted: BTreeMap<u64, usize>,
    granted_sum: usize,
}

/// Where one link stands in the lines. Dropping it lets the next one have what was set aside.
#[derive(Debug)]
pub struct Seat {
    pool: BlockPool,
    block_ticket: Option<u64>,
    message_ticket: Option<u64>,
}

/// Bytes of a message that may be collected; given back on drop.
#[derive(Debug)]
pub struct Room {
    len: usize,
    pool: BlockPool,
}

/// Bytes that were read too early; no longer counted on drop.
#[derive(Debug)]
pub struct Carried {
    len: usize,
    pool: BlockPool,
}

/// Bytes that are kept for later; no longer counted on drop.
#[derive(Debug)]
pub struct Kept {
    len: usize,
    pool: BlockPool,
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
        let budget = (budget_bytes / BLOCK_LEN).max(1);
        Self { shared: Arc::default(), budget, message_bytes: MESSAGE_BYTES }
    }

    /// The same with another budget for messages that are collected. It must hold the longest
    /// of them.
    pub fn with_message_bytes(mut self, message_bytes: usize) -> Self {
        self.message_bytes = message_bytes;
        self
    }

    /// The budget in blocks.
    pub fn budget_blocks(&self) -> usize {
        self.budget
    }

    /// Blocks handed out now.
    pub fn in_use_blocks(&self) -> usize {
        self.with(|shared| shared.in_use)
    }

    /// Bytes of messages that are collected now.
    pub fn collected_bytes(&self) -> usize {
        self.with(|shared| shared.collected)
    }

    /// Do links wait for blocks now?
    pub fn is_starved(&self) -> bool {
        self.with(|shared| !shared.line.waiting.is_empty())
    }

    /// How often links have come to wait for blocks. A line is empty for moments while memory
    /// is short; whoever asks again later sees from this that there was one.
    pub fn waits_count(&self) -> u64 {
        self.with(|shared| shared.line.next)
    }

    /// Bytes that links have read too early.
    pub fn carried_bytes(&self) -> usize {
        self.with(|shared| shared.carried)
    }

    /// May a link read more than it is sure to take in?
    pub fn may_read_ahead(&self) -> bool {
        self.carried_bytes() < CARRY_BYTES
    }

    /// Counts what was read too early. It is there already: nobody can refuse it.
    pub fn carry(&self, len: usize) -> Carried {
        self.with(|shared| shared.carried += len);
        Carried { len, pool: self.clone() }
    }

    /// Counts what one link keeps for later: nothing yet.
    pub fn kept(&self) -> Kept {
        Kept { len: 0, pool: self.clone() }
    }

    /// A seat for one link.
    pub fn seat(&self) -> Seat {
        Seat { pool: self.clone(), block_ticket: None, message_ticket: None }
    }

    /// Puts up to `count` empty blocks on `into`, as many as the budget allows and nobody waits
    /// for; returns how many those were.
    pub fn take(&self, count: usize, into: &mut Vec<Block>) -> usize {
        self.with(|shared| {
            let count = count.min(self.spare(shared));
            self.hand_out(shared, count, into)
        })
    }

    /// Room for a message of so many bytes, if there is some that nobody waits for.
    pub fn try_room(&self, len: usize) -> Option<Room> {
        self.with(|shared| {
            let free = self.message_bytes - shared.collected;
            let fits = shared.message_line.spare(free) >= len;
            fits.then(|| self.make_room(shared, len))
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

    /// Blocks that may be handed out to whoever comes.
    fn spare(&self, shared: &Shared) -> usize {
        shared.line.spare(self.budget - shared.in_use)
    }

    fn hand_out(&self, shared: &mut Shared, count: usize, into: &mut Vec<Block>) -> usize {
        shared.in_use += count;
        debug_assert!(shared.in_use <= self.budget, "no more is handed out than there is");
        into.reserve(count);
        for _ in 0..count {
            let buffer = shared.free.pop().unwrap_or_else(new_buffer);
            into.push(Block { buffer: Some(buffer), len: 0, pool: self.clone() });
        }
        count
    }

    fn make_room(&self, shared: &mut Shared, len: usize) -> Room {
        shared.collected += len;
        Room { len, pool: self.clone() }
    }

    fn put(&self, buffers: impl IntoIterator<Item = Buffer>) {
        self.with_wakes(|shared| {
            let before = shared.free.len();
            shared.free.extend(buffers);
            shared.in_use -= shared.free.len() - before;
        });
    }

    /// Does the work, then wakes as many as there is something for.
    fn with_wakes(&self, work: impl FnOnce(&mut Shared)) {
        let wakers = self.with(|shared| {
            work(shared);
            let mut wakers = Vec::new();
            shared.line.grant(self.budget - shared.in_use, &mut wakers);
            let free = self.message_bytes - shared.collected;
            shared.message_line.grant(free, &mut wakers);
            wakers
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        // No code that runs under the lock can panic half-way through a change.
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Line {
    /// How much of what is free nobody waits for.
    fn spare(&self, free: usize) -> usize {
        // As long as somebody waits, the rest is too little for the first in the line.
        if self.waiting.is_empty() { free.saturating_sub(self.granted_sum) } else { 0 }
    }

    /// Sets aside what is free for those that have waited longest.
    fn grant(&mut self, free: usize, wakers: &mut Vec<Waker>) {
        while let Some(first) = self.waiting.first_entry()
            && self.granted_sum + first.get().0 <= free
        {
            let (ticket, (wanted, waker)) = first.remove_entry();
            self.granted.insert(ticket, wanted);
            self.granted_sum += wanted;
            wakers.push(waker);
        }
    }

    /// Is what this ticket waits for set aside? It is no longer then.
    fn redeem(&mut self, ticket: u64) -> bool {
        let granted = self.granted.remove(&ticket);
        self.granted_sum -= granted.unwrap_or(0);
        granted.is_some()
    }

    /// Waits, at the end of the line or where the ticket stands.
    fn wait(&mut self, ticket: &mut Option<u64>, wanted: usize, waker: &Waker) {
        let number = *ticket.get_or_insert(self.next);
        self.next = self.next.max(number + 1);
        match self.waiting.get_mut(&number) {
            Some((_, known)) => known.clone_from(waker),
            None => {
                self.waiting.insert(number, (wanted, waker.clone()));
            }
        }
    }

    fn leave(&mut self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            self.waiting.remove(&ticket);
            self.redeem(ticket);
        }
    }
}

impl Seat {
    /// As [`BlockPool::take`], but stands in line and is pending when there is none.
    pub fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        count: usize,
        into: &mut Vec<Block>,
    ) -> Poll<usize> {
        let Self { pool, block_ticket, .. } = self;
        pool.with(|shared| {
            let own = usize::from(block_ticket.is_some_and(|it| shared.line.redeem(it)));
            // While others wait there is no more than what was set aside for this one.
            let count = count.min(own.max(pool.spare(shared)));
            if count == 0 {
                shared.line.wait(block_ticket, 1, cx.waker());
                return Poll::Pending;
            }
            *block_ticket = None;
            Poll::Ready(pool.hand_out(shared, count, into))
        })
    }

    /// Leaves the line for blocks: the next one may have what was set aside.
    pub fn leave_blocks(&mut self) {
        if let Some(ticket) = self.block_ticket.take() {
            self.pool.with_wakes(|shared| shared.line.leave(Some(ticket)));
        }
    }

    /// As [`BlockPool::try_room`], but stands in line and is pending when there is none.
    pub fn poll_room(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Room> {
        let Self { pool, message_ticket, .. } = self;
        pool.with(|shared| {
            let free = pool.message_bytes - shared.collected;
            let line = &mut shared.message_line;
            let is_mine = match *message_ticket {
                Some(ticket) => line.redeem(ticket),
                None => line.spare(free) >= len,
            };
            if !is_mine {
                line.wait(message_ticket, len, cx.waker());
                return Poll::Pending;
            }
            *message_ticket = None;
            Poll::Ready(pool.make_room(shared, len))
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (block, message) = (self.block_ticket.take(), self.message_ticket.take());
        if block.is_some() || message.is_some() {
            self.pool.with_wakes(|shared| {
                shared.line.leave(block);
                shared.message_line.leave(message);
            });
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pool.with_wakes(|shared| shared.collected -= self.len);
    }
}

impl Kept {
    /// It is `len` bytes from now on; false when there is no room for so many more, and it stays as
    /// it was.
    pub fn resize(&mut self, len: usize) -> bool {
        let before = self.len;
        let fits = self.pool.with(|shared| {
            let all = shared.kept - before + len;
            let fits = len <= before || all <= KEPT_BYTES;
            if fits {
                shared.kept = all;
            }
            fits
        });
        if fits {
            self.len = len;
        }
        fits
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.pool.with(|shared| shared.kept -= self.len);
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.pool.with(|shared| shared.carried -= self.len);
    }
}

fn new_buffer() -> Buffer {
    Box::new(Aligned([0; BLOCK_LEN]))
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
            buffer.0[begin..end].copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Sets those of its bytes to zero that are in `range`.
    pub fn blank(&mut self, range: Range<usize>) {
        let range = range.start.min(self.len)..range.end.min(self.len);
        if let Some(bytes) = self.buffer.as_mut().and_then(|buffer| buffer.0.get_mut(range)) {
            bytes.fill(0);
        }
    }

    /// Bytes filled so far, as a number.
    pub fn len_bytes(&self) -> usize {
        self.len
    }

    fn buffer(&self) -> &[u8; BLOCK_LEN] {
        let buffer = self.buffer.as_ref();
        &buffer.expect("a block has its buffer until it is dropped").0
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
    fn what_is_kept_has_a_bound_and_leaves_it_on_drop() {
        let pool = BlockPool::new(1);
        let (mut one, mut other) = (pool.kept(), pool.kept());
        assert!(one.resize(KEPT_BYTES - 9) && other.resize(9));
        assert!(!other.resize(10), "there is no more");
        assert!(one.resize(KEPT_BYTES - 10) && other.resize(10), "less is always possible");
        drop(one);
        assert!(other.resize(KEPT_BYTES) && !other.resize(KEPT_BYTES + 1));
        drop(other);
        assert!(pool.kept().resize(KEPT_BYTES));
    }

    #[test]
    fn blocks_begin_at_a_line_of_the_cache() {
        let mut blocks = Vec::new();
        BlockPool::new(64 * BLOCK_LEN).take(64, &mut blocks);
        assert!(blocks.iter().all(|block| (block.buffer().as_ptr() as usize).is_multiple_of(64)));
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

    /// A link that may wait for blocks, and how often it was woken.
    struct Link {
        seat: Seat,
        wakes: Arc<Counter>,
        blocks: Vec<Block>,
        rooms: Vec<Room>,
    }

    impl Link {
        fn new(pool: &BlockPool) -> Self {
            let wakes = Arc::new(Counter(AtomicUsize::new(0)));
            Self { seat: pool.seat(), wakes, blocks: Vec::new(), rooms: Vec::new() }
        }

        /// Does it get some of so many blocks?
        fn takes(&mut self, count: usize) -> bool {
            let waker = Waker::from(self.wakes.clone());
            let mut cx = Context::from_waker(&waker);
            self.seat.poll_take(&mut cx, count, &mut self.blocks).is_ready()
        }

        fn collects(&mut self, len: usize) -> bool {
            let waker = Waker::from(self.wakes.clone());
            match self.seat.poll_room(&mut Context::from_waker(&waker), len) {
                Poll::Ready(room) => self.rooms.push(room),
                Poll::Pending => return false,
            }
            true
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn as_many_are_woken_as_blocks_return_and_the_first_ones_first() {
        let pool = BlockPool::new(4 * BLOCK_LEN);
        let mut held = Vec::new();
        pool.take(4, &mut held);
        assert!(!pool.is_starved());
        let mut links: Vec<_> = (0..5).map(|_| Link::new(&pool)).collect();
        for link in &mut links {
            assert!(!link.takes(3));
        }
        assert!(pool.is_starved());
        held.truncate(2);
        assert_eq!(links.iter().map(Link::wakes).collect::<Vec<_>>(), [1, 1, 0, 0, 0]);
        // What returned is set aside: neither one further behind nor one that comes gets it.
        assert!(!links[4].takes(1) && !Link::new(&pool).takes(1));
        assert_eq!(pool.take(1, &mut held), 0);
        assert!(links[1].takes(3) && links[0].takes(3));
        assert_eq!((links[0].blocks.len(), links[1].blocks.len()), (1, 1));
        held.clear();
        assert_eq!(links.iter().map(Link::wakes).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
        assert!(pool.is_starved());
        assert!(links[2].takes(3));
        links[2].blocks.clear();
        assert_eq!(links[4].wakes(), 1);
        assert!(!pool.is_starved());
        // The one that came and went is another; who waits on is counted once.
        assert_eq!(pool.waits_count(), 6);
    }

    #[test]
    fn one_that_goes_lets_the_next_have_what_it_was_woken_for() {
        let pool = BlockPool::new(BLOCK_LEN);
        let mut held = Vec::new();
        pool.take(1, &mut held);
        let [mut first, mut second, mut third] = [(); 3].map(|()| Link::new(&pool));
        assert!(!first.takes(1) && !second.takes(1) && !third.takes(1));
        drop(second);
        held.clear();
        assert_eq!((first.wakes(), third.wakes()), (1, 0));
        drop(first);
        assert_eq!(third.wakes(), 1);
        assert!(third.takes(1));
    }

    #[test]
    fn long_messages_share_a_budget_of_their_own() {
        let pool = BlockPool::new(BLOCK_LEN).with_message_bytes(1_000);
        let [mut first, mut second, mut third] = [(); 3].map(|()| Link::new(&pool));
        assert!(first.collects(600) && first.collects(300));
        assert!(!second.collects(600) && !third.collects(100));
        assert!(pool.try_room(1).is_none() && !pool.is_starved());
        first.rooms.remove(1);
        // Nobody overtakes: a long message would never be heard.
        assert_eq!((second.wakes(), third.wakes(), pool.collected_bytes()), (0, 0, 600));
        first.rooms.clear();
        assert_eq!((second.wakes(), third.wakes()), (1, 1));
        assert!(second.collects(600) && third.collects(100));
        assert_eq!(pool.collected_bytes(), 700);
        assert!(pool.try_room(301).is_none() && pool.try_room(300).is_some());
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

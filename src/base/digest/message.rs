//! A message as the compression function wants it: runs of whole blocks, padding included.
//! Parts are read in place; only a block that straddles parts, and the padded end, are
//! copied. Not a hasher: it knows no algorithm and no engine. Source: FIPS 180-4, 5.1.1.

/// A block of SHA-1 and of SHA-256.
pub(super) type Block = [u8; 64];

/// One message on its way: where its hash goes, how far it is, and what is left of it. The
/// state has the words of the algorithm: five of SHA-1, eight of SHA-256.
pub(super) struct Job<'a, const WORDS: usize> {
    pub(super) index: usize,
    pub(super) state: [u32; WORDS],
    pub(super) message: Message<'a>,
}

impl<'a, const WORDS: usize> Job<'a, WORDS> {
    /// A job at its start.
    pub(super) fn new(index: usize, start: [u32; WORDS], parts: &'a [&'a [u8]]) -> Self {
        Job { index, state: start, message: Message::new(parts, 0, false) }
    }

    /// A job that goes on behind `before` bytes, which are whole blocks; when there is `more`
    /// to come, the parts are whole blocks too, and its hash is the state it has reached.
    pub(super) fn behind(
        index: usize,
        state: [u32; WORDS],
        parts: &'a [&'a [u8]],
        before: u64,
        more: bool,
    ) -> Self {
        Job { index, state, message: Message::new(parts, before, more) }
    }

    /// Hashes the rest of the message alone and stores the hash.
    pub(super) fn finish(
        mut self,
        hashes: &mut [[u32; WORDS]],
        compress: fn(&mut [u32; WORDS], &[Block]),
    ) {
        while !self.message.is_done() {
            let run = self.message.run();
            let blocks = run.len();
            compress(&mut self.state, run);
            self.message.advance(blocks);
        }
        self.store(hashes);
    }

    /// Stores the hash of a message that is done.
    pub(super) fn store(&self, hashes: &mut [[u32; WORDS]]) {
        hashes[self.index] = self.state;
    }
}

/// What is left of a message, as runs of whole blocks.
pub(super) struct Message<'a> {
    /// The unread rest of the current part, and the parts after it.
    current: &'a [u8],
    rest: &'a [&'a [u8]],
    /// Copied blocks, read before `current`: those from `staged_from` to `staged_to`.
    staged: [Block; 2],
    staged_from: usize,
    staged_to: usize,
    /// Bytes of the whole message.
    len: u64,
    padded: bool,
}

impl<'a> Message<'a> {
    /// What is behind `before` bytes; without padding when `more` is to come.
    fn new(parts: &'a [&'a [u8]], before: u64, more: bool) -> Message<'a> {
        let mut message = Message {
            current: &[],
            rest: parts,
            staged: [[0; 64]; 2],
            staged_from: 0,
            staged_to: 0,
            len: before + parts.iter().map(|part| part.len() as u64).sum::<u64>(),
            padded: more,
        };
        message.settle();
        message
    }

    /// The blocks that can be read in place now; empty only when the message is done.
    pub(super) fn run(&self) -> &[Block] {
        if self.staged_from < self.staged_to {
            &self.staged[self.staged_from..self.staged_to]
        } else {
            self.current.as_chunks().0
        }
    }

    /// Whether all blocks, padding included, have been read.
    pub(super) fn is_done(&self) -> bool {
        self.run().is_empty()
    }

    /// Marks blocks of the current run as read.
    pub(super) fn advance(&mut self, blocks: usize) {
        if self.staged_from < self.staged_to {
            self.staged_from += blocks;
        } else {
            self.current = &self.current[blocks * size_of::<Block>()..];
        }
        if self.run().is_empty() {
            self.settle();
        }
    }

    /// Makes the next run: in place, or one block gathered from parts, or the padded end.
    fn settle(&mut self) {
        while self.current.is_empty() && self.next_part() {}
        if self.current.len() >= size_of::<Block>() || self.padded {
            return;
        }
        let mut filled = 0;
        self.staged = [[0; 64]; 2];
        loop {
            let take = self.current.len().min(size_of::<Block>() - filled);
            let (head, tail) = self.current.split_at(take);
            self.staged[0][filled..filled + take].copy_from_slice(head);
            self.current = tail;
            filled += take;
            if filled == size_of::<Block>() {
                (self.staged_from, self.staged_to) = (0, 1);
                return;
            }
            if !self.next_part() {
                return self.pad(filled);
            }
        }
    }

    /// Moves to the next part; false when there is none.
    fn next_part(&mut self) -> bool {
        let Some((part, rest)) = self.rest.split_first() else { return false };
        (self.current, self.rest) = (part, rest);
        true
    }

    /// Closes the staged block of `filled` bytes: a one bit, zeros, the length in bits.
    fn pad(&mut self, filled: usize) {
        let blocks = if filled < 56 { 1 } else { 2 };
        self.staged[0][filled] = 0x80;
        self.staged[blocks - 1][56..].copy_from_slice(&(self.len * 8).to_be_bytes());
        (self.staged_from, self.staged_to) = (0, blocks);
        self.padded = true;
    }
}

//! Working through all pieces of a torrent, on all cores and in bounded memory: who takes
//! which pieces, and how many fit a buffer. What is read and what becomes of it is the
//! caller's: a check of what is there, or a new torrent. Knows no file.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::base::units::BLOCK_LEN;

/// Buffers of all threads together: more would be of no use.
pub const SCAN_BYTES_MAX: usize = 32 << 20;
/// With more threads the memory of each would hold too few pieces to hash side by side.
const THREADS_MAX: usize = 8;
/// Messages that the widest engine hashes side by side.
const LANES: usize = 16;
/// Fewer messages than this are hashed no faster side by side than one by one.
const LANES_WORTH: usize = 3;

/// What is asked of the system at once. Copying from the page cache runs as fast in steps of
/// 64 KiB as of 16 MiB (9.3 GB/s on a Sapphire Rapids core), and a slow disk brings this
/// much soon enough for an order to stop to be followed within a second.
pub(super) const READ_LEN: usize = 1 << 20;

/// How a torrent's pieces are shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    threads: usize,
    run_len: u32,
}

/// Pieces that a thread is to read and hash now, and those it will be given next: the system
/// can be told of them while the first ones are hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Portion {
    /// By their place in the row, never empty.
    pub now: Range<u32>,
    /// Empty at the end.
    pub next: Range<u32>,
}

impl Scan {
    /// On all cores of this machine, with so many bytes for the buffers of all threads.
    pub(super) fn of(piece_len: usize, memory_bytes: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::on(cores, piece_len, memory_bytes)
    }

    fn on(cores: usize, piece_len: usize, memory_bytes: usize) -> Self {
        // Each takes a read's worth at least, however little memory there is.
        let threads = cores.min(THREADS_MAX).min(memory_bytes / READ_LEN).max(1);
        let piece_len = piece_len.max(1);
        let wanted = LANES.max(READ_LEN / piece_len.max(BLOCK_LEN));
        let run_len = match memory_bytes.min(SCAN_BYTES_MAX) / threads / piece_len {
            fitting if fitting < LANES_WORTH => 1,
            fitting => wanted.min(fitting) as u32,
        };
        Self { threads, run_len }
    }

    /// Too few pieces fit the memory to be hashed side by side: a portion is one piece, to be
    /// hashed as it is read.
    pub(super) fn streams(self) -> bool {
        self.run_len == 1
    }

    /// Calls `work` with portion after portion, in several threads with a worker each, until all
    /// `count` pieces are done or one call fails. Returns the workers.
    ///
    /// # Errors
    /// The first error, by thread.
    pub(super) fn run<W: Send, E: Send>(
        self,
        count: u32,
        worker: impl Fn() -> W + Sync,
        work: impl Fn(&mut W, Portion) -> Result<(), E> + Sync,
    ) -> Result<Vec<W>, E> {
        let shares = Shares { next: AtomicU32::new(0), count, run_len: self.run_len };
        let is_over = AtomicBool::new(false);
        let thread = || {
            let mut worker = worker();
            let mut now = shares.take();
            while !now.is_empty() && !is_over.load(Ordering::Relaxed) {
                let next = shares.take();
                let result = work(&mut worker, Portion { now, next: next.clone() });
                if let Err(error) = result {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                now = next;
            }
            Ok(worker)
        };
        let threads = self.threads.min(count.div_ceil(self.run_len) as usize);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            let ends = ends.into_iter();
            ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }
}

/// The row of pieces, of which each thread takes the next few.
struct Shares {
    next: AtomicU32,
    count: u32,
    run_len: u32,
}

impl Shares {
    fn take(&self) -> Range<u32> {
        let order = Ordering::Relaxed;
        let more = |first: u32| (first < self.count).then(|| first.saturating_add(self.run_len));
        match self.next.fetch_update(order, order, more) {
            Ok(first) => first..first.saturating_add(self.run_len).min(self.count),
            Err(_) => 0..0,
        }
    }
}

/// The first `len` bytes of a buffer that is used again and again: it grows when it must, so
/// that its pages are made once, and holds whatever it held before.
pub(super) fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_the_lanes_within_the_memory() {
        let on = |cores, piece_len| Scan::on(cores, piece_len, SCAN_BYTES_MAX);
        let run_len = |cores, piece_len| on(cores, piece_len).run_len;
        assert_eq!(run_len(2, 16 << 10), 64, "at least a MiB a read");
        assert_eq!(run_len(2, 1), 64);
        assert_eq!(run_len(2, 1 << 20), 16);
        assert_eq!(run_len(2, 4 << 20), 4);
        assert_eq!(run_len(2, 16 << 20), 1, "longer pieces as they come");
        assert_eq!(run_len(1, 8 << 20), 4);
        assert_eq!(run_len(64, 1 << 20), 4);
        assert_eq!(run_len(64, 16 << 10), 64);
        assert!(on(2, usize::MAX).streams() && !on(2, 0).streams());
        let little = |piece_len| Scan::on(2, piece_len, 8 << 20).run_len;
        assert_eq!((little(1 << 20), little(2 << 20)), (4, 1), "as far as the memory goes");
        let threads = |memory_bytes| Scan::on(64, 64 << 20, memory_bytes).threads;
        assert_eq!([0, 1 << 20, (4 << 20) - 1, 32 << 20].map(threads), [1, 1, 3, THREADS_MAX]);
        let plenty = Scan::on(2, 4 << 20, usize::MAX);
        assert_eq!(plenty, on(2, 4 << 20), "no more than is of use");
        assert_eq!(on(64, 1 << 20).threads, THREADS_MAX);
    }

    #[test]
    fn every_piece_is_in_one_portion_and_was_said_to_come_before() {
        let scan = Scan { threads: 3, run_len: 4 };
        for count in [0, 1, 4, 5, 103] {
            let note = |worker: &mut Vec<Portion>, portion: Portion| -> Result<(), ()> {
                assert!(worker.last().is_none_or(|last| last.next == portion.now));
                worker.push(portion);
                Ok(())
            };
            let workers = scan.run(count, Vec::new, note).unwrap();
            let portions = workers.iter().flatten();
            let mut seen: Vec<u32> = portions.flat_map(|portion| portion.now.clone()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
            assert!(workers.iter().all(|worker| worker.last().is_none_or(|it| it.next.is_empty())));
        }
        let last = Scan { threads: 1, run_len: u32::MAX };
        let note = |sum: &mut usize, portion: Portion| -> Result<(), ()> {
            *sum += portion.now.len();
            Ok(())
        };
        assert_eq!(last.run(u32::MAX, || 0, note), Ok(vec![u32::MAX as usize]));
    }

    #[test]
    fn one_failure_ends_all() {
        let scan = Scan { threads: 2, run_len: 1 };
        let work = |_: &mut (), portion: Portion| {
            if portion.now.start == 10 { Err(portion.now.start) } else { Ok(()) }
        };
        // Without an end this would take days.
        assert_eq!(scan.run(u32::MAX - 1, || (), work), Err(10));
    }
}

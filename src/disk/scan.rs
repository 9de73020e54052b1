//! Working through all pieces of a torrent, on all cores and in bounded memory: who takes
//! which pieces, and how many fit a buffer. What is read and what becomes of it is the
//! caller's: a check of what is there, or a new torrent. Knows no file.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::base::units::BLOCK_LEN;

/// Buffers of all threads together: more would be of no use.
pub const SCAN_BYTES_MAX: usize = THREADS_MAX * READ_LEN;
/// With more threads the memory of each would hold too few pieces to hash side by side.
const THREADS_MAX: usize = 8;
/// Messages that the widest engine hashes side by side.
const LANES: usize = 16;
/// What a thread holds at most, but for pieces shorter than a step: sixteen steps stay in the
/// second cache between reading and hashing.
pub(super) const READ_LEN: usize = 1 << 20;
/// Of pieces at least so long, sixteen are read and hashed in step, so much of each at a time.
/// Copying from the page cache runs as fast in steps of 64 KiB as of 16 MiB.
pub(super) const STEP_LEN: usize = READ_LEN / LANES;
/// How far ahead of a step the system is told what will be read: long enough for a disk that
/// turns to be worth the way from one piece to the next.
pub(super) const AHEAD_LEN: u64 = 4 << 20;

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

    /// In one thread, from the first piece to the last, for whoever needs the bytes in order.
    pub(super) fn in_order(piece_len: usize) -> Self {
        Self::on(1, piece_len, READ_LEN)
    }

    fn on(cores: usize, piece_len: usize, memory_bytes: usize) -> Self {
        let fitting = memory_bytes.min(SCAN_BYTES_MAX) / READ_LEN;
        let threads = cores.min(THREADS_MAX).min(fitting).max(1);
        let run_len = LANES.max(READ_LEN / piece_len.max(BLOCK_LEN)) as u32;
        Self { threads, run_len }
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
        // A few very long pieces are not all left to one thread.
        let run_len = self.run_len.min(count.div_ceil(self.threads as u32)).max(1);
        let row = Row { next: AtomicU32::new(0), count, run_len };
        let is_over = AtomicBool::new(false);
        let thread = || {
            let mut worker = worker();
            let mut now = row.take();
            while !now.is_empty() && !is_over.load(Ordering::Relaxed) {
                let next = row.take();
                let result = work(&mut worker, Portion { now, next: next.clone() });
                if let Err(error) = result {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                now = next;
            }
            Ok(worker)
        };
        let threads = self.threads.min(count.div_ceil(run_len) as usize);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            let ends = ends.into_iter();
            ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }
}

/// The row of pieces, of which each thread takes the next few.
struct Row {
    next: AtomicU32,
    count: u32,
    run_len: u32,
}

impl Row {
    fn take(&self) -> Range<u32> {
        let order = Ordering::Relaxed;
        let more = |first: u32| (first < self.count).then(|| first.saturating_add(self.run_len));
        match self.next.fetch_update(order, order, more) {
            Ok(first) => first..first.saturating_add(self.run_len).min(self.count),
            Err(_) => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_the_lanes_and_threads_the_memory() {
        let run_len = |piece_len| Scan::on(2, piece_len, SCAN_BYTES_MAX).run_len;
        assert_eq!(run_len(16 << 10), 64, "at least a MiB a read");
        assert_eq!(run_len(1), 64);
        assert_eq!((run_len(64 << 10), run_len(1 << 20), run_len(usize::MAX)), (16, 16, 16));
        let threads = |cores, memory| Scan::on(cores, 1 << 20, memory).threads;
        assert_eq!((threads(2, SCAN_BYTES_MAX), threads(64, usize::MAX)), (2, THREADS_MAX));
        assert_eq!((threads(8, 2 << 20), threads(8, 0)), (2, 1), "as far as the memory goes");
    }

    #[test]
    fn a_few_long_pieces_are_for_all_threads() {
        let scan = Scan { threads: 2, run_len: 16 };
        let note = |count: &mut usize, portion: Portion| -> Result<(), ()> {
            *count += portion.now.len();
            Ok(())
        };
        let counts = scan.run(5, || 0, note).unwrap();
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (2, 5));
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

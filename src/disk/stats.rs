//! What the workers did and how long it took, so that `why` can tell a slow disk from slow
//! hashing. Counts only grow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts since the workers started; times are summed over workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskStats {
    /// Nanoseconds in hashing.
    pub hash_ns: u64,
    /// Nanoseconds in writing.
    pub write_ns: u64,
    /// Nanoseconds in reading back what was spilled.
    pub read_ns: u64,
    /// Bytes of pieces hashed.
    pub bytes_hashed: u64,
    /// Bytes written, spilled ones included.
    pub bytes_written: u64,
    /// Bytes read back.
    pub bytes_read: u64,
    /// Nanoseconds in bringing data to the device, beside the workers.
    pub sync_ns: u64,
    /// How often that was done.
    pub syncs: u64,
    /// Rounds of hashing; `pieces_checked` of it is how well the lanes were filled.
    pub batches: u64,
    /// Pieces hashed.
    pub pieces_checked: u64,
    /// Threads that do it.
    pub workers: u64,
    /// Jobs in the queue now.
    pub jobs_waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub hash_ns: AtomicU64,
    pub write_ns: AtomicU64,
    pub read_ns: AtomicU64,
    pub bytes_hashed: AtomicU64,
    pub bytes_written: AtomicU64,
    pub bytes_read: AtomicU64,
    pub sync_ns: AtomicU64,
    pub syncs: AtomicU64,
    pub batches: AtomicU64,
    pub pieces_checked: AtomicU64,
    pub workers: u64,
}

impl Counters {
    pub(super) fn snapshot(&self, jobs_waiting: usize) -> DiskStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskStats {
            hash_ns: read(&self.hash_ns),
            write_ns: read(&self.write_ns),
            read_ns: read(&self.read_ns),
            bytes_hashed: read(&self.bytes_hashed),
            bytes_written: read(&self.bytes_written),
            bytes_read: read(&self.bytes_read),
            sync_ns: read(&self.sync_ns),
            syncs: read(&self.syncs),
            batches: read(&self.batches),
            pieces_checked: read(&self.pieces_checked),
            workers: self.workers,
            jobs_waiting: jobs_waiting as u64,
        }
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Runs `work` and adds the time it took.
pub(super) fn timed<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    add(counter, u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
    result
}

//! The queue between torrents and workers, and the collecting of pieces that are hashed side
//! by side. One worker at a time collects: the receiving end travels between them as a
//! token through a channel of one place, so no lock is needed. Does no work itself.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::piece::Piece;
use super::writer::Writes;

/// What travels through the queue.
pub(super) enum Work {
    /// A piece that is in memory as a whole, who writes it, and when it was given.
    Check(Writes, Piece, Instant),
    /// All workers end, after what was queued before.
    Stop,
}

/// Pieces hashed at once: the lanes of the widest engine.
const LANES: usize = 16;
/// Pieces that follow each other faster than this are worth waiting for: at 1 MiB a piece,
/// some 500 MB/s, where hashing one by one begins to cost a core.
const BRISK: Duration = Duration::from_millis(2);
/// The longest wait for lanes to fill, from the first piece on; a block's buffer is held up
/// by no more than this.
const LINGER: Duration = Duration::from_millis(12);
/// A gap this long says that nothing flows.
const GAP_MAX: Duration = Duration::from_millis(100);

/// The right to take jobs.
pub(super) struct Collector {
    queue: Receiver<Work>,
    /// Bytes of pieces collected at most, so that the pool never runs dry for our waiting.
    bytes_max: u64,
    /// Time between pieces, smoothed.
    gap: Duration,
    last: Option<Instant>,
    is_stopped: bool,
}

impl Collector {
    /// Takes from `queue` until two fifths of `pool_bytes` are collected: of the default pool
    /// that is a full set of lanes of 1 MiB pieces.
    pub(super) fn new(queue: Receiver<Work>, pool_bytes: u64) -> Self {
        let bytes_max = (pool_bytes / 5).saturating_mul(2);
        Self { queue, bytes_max, gap: GAP_MAX, last: None, is_stopped: false }
    }

    /// Waits for work; then takes what waits, lingering while pieces come fast. None when
    /// the workers end.
    pub(super) fn collect(&mut self) -> Option<Vec<Work>> {
        if self.is_stopped {
            return None;
        }
        let mut batch = Vec::new();
        let mut pieces = (0, 0);
        let mut next = self.queue.recv().ok()?;
        let deadline = Instant::now() + LINGER;
        loop {
            self.is_stopped = matches!(next, Work::Stop);
            self.note(&next, &mut pieces);
            batch.push(next);
            let (count, bytes) = pieces;
            if self.is_stopped || count >= LANES || bytes >= self.bytes_max {
                break;
            }
            match self.wait(deadline) {
                Some(work) => next = work,
                None => break,
            }
        }
        Some(batch)
    }

    fn note(&mut self, work: &Work, (count, bytes): &mut (usize, u64)) {
        let Work::Check(_, piece, given) = work else { return };
        *count += 1;
        *bytes += piece.len();
        let gap = self.last.map_or(GAP_MAX, |last| given.saturating_duration_since(last));
        self.gap = (self.gap * 3 + gap.min(GAP_MAX)) / 4;
        self.last = Some(*given);
    }

    fn wait(&self, deadline: Instant) -> Option<Work> {
        if let Ok(work) = self.queue.try_recv() {
            return Some(work);
        }
        if self.gap > BRISK {
            return None;
        }
        // When the stream breaks off, the rest of the time is not waited for.
        let patience = deadline.saturating_duration_since(Instant::now()).min(BRISK + self.gap * 4);
        self.queue.recv_timeout(patience).ok()
    }
}

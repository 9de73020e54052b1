//! The queue between torrents and workers, and the collecting of pieces that are hashed side
//! by side. One worker at a time collects: the receiving end travels between them as a
//! token through a channel of one place, so no lock is needed. Does no work itself.

use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::base::digest::sha1_plan;

use super::gather::Gather;
use super::piece::Piece;
use super::writer::Writes;

/// What travels through the queue.
pub(super) enum Work {
    /// A piece that is in memory as a whole, who writes it, and when it was given.
    Check(Writes, Piece, Instant),
    /// All workers end, after what was queued before.
    Stop,
}

/// The right to take jobs.
pub(super) struct Collector {
    queue: Receiver<Work>,
    gather: Gather,
    is_stopped: bool,
}

impl Collector {
    /// Takes from `queue`, and waits for no more than two fifths of `pool_bytes`: of the default
    /// pool that is a full set of lanes of 1 MiB pieces.
    pub(super) fn new(queue: Receiver<Work>, pool_bytes: u64) -> Self {
        let bytes_max = (pool_bytes / 5).saturating_mul(2);
        let gather = Gather::new(bytes_max, |most| sha1_plan().best(most), Instant::now());
        Self { queue, gather, is_stopped: false }
    }

    /// Waits for work; then takes what waits, and what comes while waiting for it pays. None when
    /// the workers end.
    pub(super) fn collect(&mut self) -> Option<Vec<Work>> {
        if self.is_stopped {
            return None;
        }
        let mut batch = Vec::new();
        let mut next = self.queue.recv().ok()?;
        self.gather.begin(Instant::now());
        loop {
            match &next {
                Work::Check(_, piece, given) => {
                    self.gather.join(piece.len(), *given, piece.may_wait);
                }
                Work::Stop => self.is_stopped = true,
            }
            batch.push(next);
            if self.is_stopped || self.gather.is_full() {
                break;
            }
            match self.next() {
                Some(work) => next = work,
                None => break,
            }
        }
        Some(batch)
    }

    /// What waits, or comes in time.
    fn next(&self) -> Option<Work> {
        if let Ok(work) = self.queue.try_recv() {
            return Some(work);
        }
        let patience = self.gather.patience(Instant::now())?;
        self.queue.recv_timeout(patience).ok()
    }
}

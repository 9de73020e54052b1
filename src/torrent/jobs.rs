//! A torrent's jobs on their way to the disk workers. All torrents share one queue; a job that
//! finds no place in it waits here, behind those that came before, and is offered again: a job
//! that was lost would leave its piece at the disk for ever. What jobs do is the disk's.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::disk::{Job, Rejected, StoreHandle};

/// How soon waiting jobs are offered again: nobody tells when other torrents leave the queue.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

/// The same while the device does not answer: that it does is told.
const SILENT_AGAIN: Duration = Duration::from_secs(2);

/// The jobs of one torrent that wait for a place, and the way to the workers.
pub(super) struct Jobs {
    pub store: StoreHandle,
    /// In the order in which they are to be done. Checks and spills hold blocks, of which the
    /// pool has so many, but for pieces of nothing but padding; the brain prepares 32 pieces at
    /// once (`swarm/upload`); of all others there is one of a kind.
    waiting: VecDeque<Job>,
    again_at: Option<Instant>,
}

impl Jobs {
    pub fn new(store: StoreHandle) -> Self {
        Self { store, waiting: VecDeque::new(), again_at: None }
    }

    /// When to [`offer`](Self::offer) again; none when no job waits.
    pub fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Hands a job over as soon as there is a place.
    pub fn submit(&mut self, job: Job, now: Instant) {
        if !matches!(job, Job::Check { .. } | Job::Spill { .. } | Job::Prepare { .. }) {
            // The later one asks for all that an earlier one did.
            self.waiting.retain(|waiting| discriminant(waiting) != discriminant(&job));
        }
        self.waiting.push_back(job);
        if self.waiting.len() == 1 {
            self.offer(now);
        }
    }

    /// Hands over what waits, as far as there are places.
    pub fn offer(&mut self, now: Instant) {
        self.again_at = None;
        while let Some(job) = self.waiting.pop_front() {
            match self.store.submit(job) {
                Ok(()) => {}
                Err(Rejected::Full(job)) => {
                    debug!(waiting = self.waiting.len() + 1, "the disk workers' queue is full");
                    self.waiting.push_front(job);
                    self.again_at = Some(now + OFFER_AGAIN);
                    return;
                }
                Err(Rejected::Silent(job)) => {
                    self.waiting.push_front(job);
                    self.again_at = Some(now + SILENT_AGAIN);
                    return;
                }
                // Nobody will do it: the program ends.
                Err(Rejected::Stopped(job)) => warn!(?job, "the disk workers have ended"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use tokio::sync::mpsc;

    use crate::base::layout::Layout;
    use crate::base::pool::BlockPool;
    use crate::base::units::BLOCK_LEN;
    use crate::disk::{Disk, DiskConfig, DiskEvent, MemoryStore, SyncPolicy};
    use crate::swarm::event::Held;

    /// A name for each answer that is not `Looked`, with which the queue was filled.
    fn name(event: &DiskEvent) -> Option<&'static str> {
        match event {
            DiskEvent::Checked { .. } => Some("checked"),
            DiskEvent::Spilled { .. } => Some("spilled"),
            DiskEvent::Prepared { .. } => Some("prepared"),
            DiskEvent::Flushed(_) => Some("flushed"),
            DiskEvent::Finished(_) => Some("finished"),
            _ => None,
        }
    }

    #[test]
    fn what_finds_the_queue_full_is_done_when_there_are_places() {
        let pool = BlockPool::new(4 * BLOCK_LEN);
        let config = DiskConfig {
            workers: Some(1),
            pool: pool.clone(),
            check_bytes: 1 << 20,
            sync: SyncPolicy::default(),
        };
        let disk = Disk::start(config).unwrap();
        let layout = Layout::new(2 * BLOCK_LEN as u64, BLOCK_LEN as u32).unwrap();
        let store = Arc::new(MemoryStore::new(2 * BLOCK_LEN));
        // No answer has a place before that is given back, and the queue fills behind them.
        let (events, mut answers) = mpsc::channel(1);
        let place = events.clone().try_reserve_owned().unwrap();
        let store = disk.open_store(layout, vec![0; 40].into(), store, events).unwrap();
        while store.submit(Job::Look).is_ok() {}
        let now = Instant::now();
        let mut jobs = Jobs::new(store);
        let mut blocks = Vec::new();
        pool.take(2, &mut blocks);
        blocks.iter_mut().for_each(|block| block.append(&[7; BLOCK_LEN]));
        let [first, second] = [0, 1].map(|number| layout.piece(number).unwrap());
        let held = blocks.pop().map(Held::Data).into_iter().collect();
        let check =
            |blocks| Job::Check { piece: first, blocks, want_block_hashes: false, may_wait: false };
        jobs.submit(check(held), now);
        let block = layout.blocks(second).next().unwrap();
        let spilled = blocks.pop().map(|data| (block, data)).into_iter().collect();
        jobs.submit(Job::Spill { piece: second, blocks: spilled }, now);
        jobs.submit(Job::Prepare { piece: first, prove: false }, now);
        jobs.submit(Job::Finish, now);
        jobs.submit(Job::Want(vec![true]), now);
        // One of a kind, and in its last place.
        for _ in 0..100 {
            jobs.submit(Job::Finish, now);
        }
        jobs.submit(Job::Flush, now);
        assert_eq!(jobs.waiting.len(), 6, "{:?}", jobs.waiting);
        assert_eq!(jobs.again_at(), Some(now + OFFER_AGAIN));
        jobs.offer(now + OFFER_AGAIN);
        assert_eq!(jobs.again_at(), Some(now + OFFER_AGAIN * 2), "nobody has left the queue");

        drop(place);
        let mut done = Vec::new();
        while done.len() < 5 {
            let event = answers.blocking_recv().expect("the workers live");
            done.extend(name(&event));
            if jobs.again_at().is_some() {
                jobs.offer(now);
            }
        }
        // Different threads do them.
        done.sort_unstable();
        assert_eq!(done, ["checked", "finished", "flushed", "prepared", "spilled"]);
        assert_eq!((jobs.waiting.len(), jobs.again_at()), (0, None));
        drop((jobs, answers));
        assert_eq!(pool.in_use_blocks(), 0);
    }
}

//! A lane: the queues and threads of one device. All that may wait for the device is done here,
//! so that a device that does not answer holds up nobody but its own torrents. One thread writes,
//! since file systems let one writer into a file, and a disk is fastest with one; some read and
//! look at files; one brings what was written to the device. Hashing of what is in memory is
//! done elsewhere, by threads that all lanes share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::Semaphore;

use crate::base::pool::BlockPool;
use crate::swarm::event::Held;

use super::handles::Handles;
use super::job::{Job, Rejected};
use super::lane_state::State;
use super::open::OpenTorrent;
use super::piece::Piece;
use super::pulse::{Bell, Pulse};
use super::queue::Work;
use super::reader::{Errand, Reader};
use super::stats::Counters;
use super::syncer::{SyncPolicy, Syncer};
use super::turn::Place;
use super::writer::{Write, Writer, Writes};

/// Room for jobs that hold no block: control jobs, and pieces all of whose blocks were spilled.
const JOBS_WITHOUT_BLOCKS: usize = 4096;

/// Torrents closed while a thread is at one job; the files of more are closed when their places
/// are needed.
const CLOSED_MAX: usize = 1024;

/// Threads of whoever sends to peers that wait for the device at a time. The runtime has 512 for
/// all that waits; a disk serves no more at once than these.
const SENDERS_MAX: usize = 16;

/// So many times what a sync is due at may be written and not be on the device; then writing
/// waits.
const AFLOAT_MAX: u64 = 4;

/// How long the end waits for calls to the device: for one of them, and in all.
const END_CALL: Duration = Duration::from_secs(2);
const END_ALL: Duration = Duration::from_secs(5);
const END_LOOK: Duration = Duration::from_millis(100);

/// What all lanes are made of.
pub(super) struct Kit {
    pub counters: Arc<Counters>,
    pub pool: BlockPool,
    pub policy: SyncPolicy,
    /// Threads that read, in each lane.
    pub readers: usize,
    pub bell: Arc<Bell>,
    /// Open files of each thread.
    pub handles_max: Arc<AtomicUsize>,
}

/// One device.
#[derive(Debug)]
pub(super) struct Lane {
    pub state: Arc<State>,
    pub syncer: Syncer,
    /// The one who reads the device from end to end.
    pub turn: Place,
    /// Threads of the runtime that wait for the device.
    pub senders: Arc<Semaphore>,
    writes: Writes,
    errands: Sender<Errand>,
    /// Tell each thread of closed torrents.
    closers: Vec<Sender<u64>>,
    ended: Receiver<()>,
}

impl Lane {
    /// Starts the threads of a lane.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(number: u64, kit: &Kit) -> io::Result<Self> {
        // Each other job holds at least one block of the pool.
        let jobs_max = kit.pool.budget_blocks() + JOBS_WITHOUT_BLOCKS;
        let pulse = || Arc::new(Pulse::new(kit.bell.clone()));
        let (sync_pulse, write_pulse) = (pulse(), pulse());
        let read_pulses: Vec<_> = (0..kit.readers).map(|_| pulse()).collect();
        let mut pulses = read_pulses.clone();
        pulses.extend([sync_pulse.clone(), write_pulse.clone()]);
        let afloat_max = kit.policy.bytes.saturating_mul(AFLOAT_MAX);
        let state = Arc::new(State::new(pulses, jobs_max, kit.readers, afloat_max));
        // Jobs are counted before they come, and each thread is told once to stop.
        let (errands, taken) = bounded(jobs_max + kit.readers);
        let (writes, to_write) = bounded(jobs_max + 1);
        let writes = Writes::new(number, writes);
        // Nothing is sent: it closes when all threads have ended.
        let (alive, ended) = bounded(0);
        let (closers, closed): (Vec<_>, Vec<_>) =
            (0..=kit.readers).map(|_| bounded(CLOSED_MAX)).unzip();
        let mut closed = closed.into_iter();
        let mut next_closed = || closed.next().unwrap_or_else(crossbeam_channel::never);
        let (syncer, room) = Syncer::start(kit.policy, kit.counters.clone(), sync_pulse)?;
        let writer = Writer {
            handles: Handles::sharing(kit.handles_max.clone()),
            counters: kit.counters.clone(),
            pool: kit.pool.clone(),
            syncer: syncer.clone(),
            closed: next_closed(),
            state: state.clone(),
            room,
        };
        spawn("lane-write", write_pulse, alive.clone(), move || writer.run(&to_write))?;
        for pulse in read_pulses {
            let reader = Reader {
                handles: Handles::sharing(kit.handles_max.clone()),
                counters: kit.counters.clone(),
                closed: next_closed(),
                writes: writes.clone(),
                state: state.clone(),
                syncer: syncer.clone(),
            };
            let taken = taken.clone();
            spawn("lane-read", pulse, alive.clone(), move || reader.run(&taken))?;
        }
        Ok(Self {
            state,
            syncer,
            turn: Place::default(),
            senders: Arc::new(Semaphore::new(SENDERS_MAX)),
            writes,
            errands,
            closers,
            ended,
        })
    }

    /// Takes a job, and has what is to be hashed in memory done by `hashing`. Never waits.
    ///
    /// # Errors
    /// The job comes back when the device is silent, too many jobs wait, or all has ended.
    pub(super) fn submit(
        &self,
        torrent: Arc<OpenTorrent>,
        job: Job,
        hashing: &Sender<Work>,
    ) -> Result<(), Rejected> {
        if self.state.is_stopped.load(Ordering::Acquire) {
            return Err(Rejected::Stopped(job));
        }
        if self.state.silent_since().is_some() {
            return Err(Rejected::Silent(job));
        }
        let Some(ticket) = self.state.ticket() else { return Err(Rejected::Full(job)) };
        let is_on_disk = |held: &Held| matches!(held, Held::OnDisk);
        match job {
            Job::Check { piece, blocks, want_block_hashes, may_wait } => {
                let is_in_memory = !blocks.iter().any(is_on_disk);
                let piece = Piece::new(torrent, piece, blocks, want_block_hashes, may_wait, ticket);
                if is_in_memory {
                    let work = Work::Check(self.writes.clone(), piece, Instant::now());
                    return hashing.try_send(work).map_err(back_from_hashing);
                }
                self.errands.try_send(Errand::Check(piece)).map_err(back_from_readers)
            }
            Job::Spill { piece, blocks } => {
                let spill = Write::Spill { torrent, piece, blocks, ticket };
                self.writes.spill(spill).map_err(back_from_writer)
            }
            Job::Flush => match self.syncer.flush(torrent) {
                true => Ok(()),
                false => Err(Rejected::Full(Job::Flush)),
            },
            job => {
                let errand = Errand::Other(torrent, job, ticket);
                self.errands.try_send(errand).map_err(back_from_readers)
            }
        }
    }

    /// The open files of a torrent are not needed any more. Never waits: when a queue is full,
    /// they close later.
    pub(super) fn close(&self, torrent: u64) {
        for closer in &self.closers {
            let _ = closer.try_send(torrent);
        }
        self.syncer.close(torrent);
    }

    /// Ends the threads after what is queued. Never waits; nothing is taken from then on.
    pub(super) fn stop(&self) {
        self.state.is_stopped.store(true, Ordering::Release);
        for _ in 1..self.closers.len() {
            // There is a place for each.
            let _ = self.errands.try_send(Errand::Stop);
        }
    }

    /// Waits until the threads have ended, as long as the device answers.
    pub(super) fn wait_for_end(&self) {
        let begin = Instant::now();
        while self.ended.recv_timeout(END_LOOK) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            let call = self.state.oldest_call().map(|begun| now.saturating_duration_since(begun));
            if now > begin + END_ALL || call.is_some_and(|call| call > END_CALL) {
                tracing::warn!("a disk does not answer: it is left behind");
                return;
            }
        }
    }
}

/// Starts a thread that is known by its pulse; `alive` is dropped when it ends.
fn spawn(
    name: &str,
    pulse: Arc<Pulse>,
    alive: Sender<()>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        pulse.adopt();
        work();
        drop(alive);
    };
    // Nobody joins it: a device that hangs must not hold up the end.
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

fn back(job: Job, is_full: bool) -> Rejected {
    if is_full { Rejected::Full(job) } else { Rejected::Stopped(job) }
}

fn back_from_hashing(error: TrySendError<Work>) -> Rejected {
    let is_full = error.is_full();
    match error.into_inner() {
        Work::Check(_, piece, _) => back(piece.into_job(), is_full),
        Work::Stop => unreachable!("a piece was sent"),
    }
}

fn back_from_readers(error: TrySendError<Errand>) -> Rejected {
    let is_full = error.is_full();
    match error.into_inner() {
        Errand::Check(piece) => back(piece.into_job(), is_full),
        Errand::Other(_, job, _) => back(job, is_full),
        Errand::Stop => unreachable!("a job was sent"),
    }
}

fn back_from_writer(error: TrySendError<Write>) -> Rejected {
    let is_full = error.is_full();
    match error.into_inner() {
        Write::Spill { piece, blocks, .. } => back(Job::Spill { piece, blocks }, is_full),
        Write::Pieces(_) | Write::Stop => unreachable!("a spill was sent"),
    }
}

//! The disk: hashing, files and the record of verified pieces, by blocking code on threads
//! of its own. It decides nothing about pieces and knows neither peers nor the runtime but
//! for the channel that answers go through.
//!
//! Way of a start: [`Disk::open`] (looks at files, locks and reads the record) →
//! [`StoreHandle::check`] of what the record does not cover → [`StoreHandle::start`] with the
//! pieces that are right → [`StoreHandle::submit`]. The first three wait for the disk: call
//! them from a blocking thread.

mod adopt;
mod beneath;
mod bits;
mod check;
mod conclude;
pub mod create;
mod error;
mod files;
mod folding;
mod footing;
mod glance;
mod handles;
mod in_use;
mod job;
mod looked;
mod making;
mod memory;
mod only;
mod open;
mod part_names;
mod patience;
mod prepare;
mod prove;
mod queue;
mod rates;
pub mod record;
mod relocate;
mod scan;
mod scatter;
mod source;
mod stats;
mod store;
mod survey;
mod sync;
mod syncer;
#[cfg(test)]
mod tests;
pub mod turn;
mod verdict;
mod watch;
mod worker;
mod writer;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::mpsc;

use crate::base::bitfield::Bitfield;
use crate::base::hashes::PieceHashes;
use crate::base::ids::{FileIndex, InfoHash};
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::base::units::BLOCK_LEN;

pub use self::check::{CheckProgress, CheckReport, CheckSnapshot, check_files};
pub use self::error::Error;
pub use self::folding::folds_names;
pub use self::footing::Gone;
pub use self::handles::{Handles, raise_fd_limit};
pub use self::job::{DiskEvent, Job};
pub use self::memory::{Faults, MemoryStore};
pub use self::prepare::READ_LEN;
pub use self::rates::{DiskMeter, DiskRates};
pub use self::record::{Home, RecordState, lasting};
pub use self::relocate::{MoveProgress, Relocating, Relocation, plan_move};
pub use self::scan::SCAN_BYTES_MAX;
pub use self::source::{Source, SourceFile};
pub use self::stats::DiskStats;
pub use self::store::{FileNews, FileStamp, Store, Unsynced};
pub use self::survey::Survey;
pub use self::syncer::SyncPolicy;
pub use self::verdict::{FileCheck, FileReport};

use self::files::FileStore;
use self::looked::Looked;
use self::open::OpenTorrent;
use self::queue::{Collector, Work};
use self::record::{Ground, Loaded, Standing, Subject};
use self::stats::Counters;
use self::syncer::Syncer;
use self::worker::Worker;

/// How the workers run.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Threads; as many as cores, from 1 to 4, when none.
    pub workers: Option<usize>,
    /// The pool that all blocks of jobs come from.
    pub pool: BlockPool,
    /// Bytes that a check of existing data may hold, all its threads together.
    pub check_bytes: usize,
    /// When what was written is brought to the device.
    pub sync: SyncPolicy,
}

/// How files get their space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocate {
    /// Grow as data comes.
    None,
    /// Full length at once, without blocks on disk.
    #[default]
    Sparse,
    /// Full length and all blocks on disk.
    Full,
}

/// A torrent's files, in its order.
#[derive(Clone, Debug)]
pub struct StoreFile {
    /// Where it goes below the directory: cleaned, relative, unique.
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Zeros that are not on disk (BEP 47).
    pub is_pad: bool,
}

/// Everything the disk must know of a torrent.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Its geometry.
    pub layout: Layout,
    /// SHA-1 of each piece, 20 bytes each, one behind the other.
    pub piece_hashes: PieceHashes,
    /// Its files.
    pub files: Vec<StoreFile>,
    /// Symbolic links: where, and what they hold. Those that lead out are not made.
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Directory that the files go below, made at the first write.
    pub dir: PathBuf,
    /// Which files are wanted; one entry a file.
    pub wanted: Vec<bool>,
    /// About space.
    pub allocate: Allocate,
    /// Use existing files that differ.
    pub overwrite: bool,
    /// The record of verified pieces; its directory is made when missing.
    pub resume_path: PathBuf,
    /// Whose record it is.
    pub info_hash: InfoHash,
}

/// The disk workers. Dropping it ends them after what is queued; every receiver of events
/// must be read or dropped by then.
#[derive(Debug)]
pub struct Disk {
    queue: Sender<Work>,
    syncer: Syncer,
    counters: Arc<Counters>,
    check_bytes: usize,
    next_id: AtomicU64,
    /// Tell each worker of closed torrents.
    closers: Arc<[Sender<u64>]>,
    workers: Vec<JoinHandle<()>>,
}

/// One torrent on the workers. Cheap to clone; the record stays locked until the last clone
/// is gone and its jobs are done.
#[derive(Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Sender<Work>,
    closers: Arc<[Sender<u64>]>,
    syncer: Syncer,
    counters: Arc<Counters>,
    check_bytes: usize,
    torrent: Arc<OpenTorrent>,
    files: Option<OnDisk>,
}

/// What belongs to a torrent in files, not to one in memory.
struct OnDisk {
    store: Arc<FileStore>,
    /// With the directory as its user spelled it, if the files are in that.
    home: Arc<Home>,
    subject: Subject,
    survey: Survey,
    state: RecordState,
    recorded: Bitfield,
    trusted: Bitfield,
    /// Those of the trusted pieces that need not be brought to the device.
    durable: Bitfield,
    /// Files that look as we left them, whatever is in them.
    ours: HashSet<FileIndex>,
    /// Taken out when the torrent starts. A channel of one place, so that it needs no lock.
    loaded: Receiver<Loaded>,
    put_back: Sender<Loaded>,
}

/// What a torrent starts with.
#[derive(Debug)]
pub struct Started {
    /// The pieces that are right on disk.
    pub have: Bitfield,
    /// Files that got their final name, and files in trouble; the pieces of the latter are
    /// not in `have` when they are in doubt.
    pub news: Vec<FileNews>,
}

/// A job that was not taken, and comes back.
#[derive(Debug)]
pub enum Rejected {
    /// As many jobs of all torrents wait as there is room for: it is to be offered again.
    Full(Job),
    /// The workers have ended.
    Stopped(Job),
}

/// Threads at most when nothing is asked for: hashing in lanes feeds any disk with fewer.
pub const WORKERS_MAX: usize = 4;

/// Room in the queue for jobs that hold no block: control jobs, and pieces all of whose
/// blocks were spilled.
const JOBS_WITHOUT_BLOCKS: usize = 4096;

/// Torrents closed while a worker is at one job; the files of more are closed when their places
/// are needed.
const CLOSED_MAX: usize = 1024;

impl Disk {
    /// Starts the threads and raises the process's limit of open files.
    ///
    /// # Errors
    /// `Io` when the system gives no thread.
    pub fn start(config: DiskConfig) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = config.workers.unwrap_or(cores.min(WORKERS_MAX)).max(1);
        // Each other job holds at least one block of the pool.
        let (queue, jobs) = bounded(config.pool.budget_blocks() + JOBS_WITHOUT_BLOCKS);
        // One place for the one token.
        let (give, take) = bounded(1);
        let pool_bytes = config.pool.budget_blocks() as u64 * BLOCK_LEN as u64;
        let _ = give.send(Collector::new(jobs, pool_bytes));
        let counters = Arc::new(Counters { workers: count as u64, ..Counters::default() });
        let handles_max = handles::share_of_limit(raise_fd_limit(), count);
        let failed = |error| Error::io("starting", "disk workers", error);
        let syncer = Syncer::start(config.sync, counters.clone()).map_err(failed)?;
        let (closers, closed): (Vec<_>, Vec<_>) = (0..count).map(|_| bounded(CLOSED_MAX)).unzip();
        let spawn = |(number, closed)| {
            let worker = Worker {
                closed,
                handles: Handles::new(handles_max),
                counters: counters.clone(),
                pool: config.pool.clone(),
                syncer: syncer.clone(),
            };
            worker::spawn(number, worker, give.clone(), take.clone())
        };
        let workers: Result<Vec<_>, _> = closed.into_iter().enumerate().map(spawn).collect();
        let workers = workers.map_err(failed)?;
        Ok(Self {
            queue,
            syncer,
            counters,
            check_bytes: config.check_bytes,
            next_id: AtomicU64::new(1),
            closers: closers.into(),
            workers,
        })
    }

    /// Opens a torrent: looks for its files, locks its record and reads it. Waits for the
    /// disk; changes no data file. Answers and news go to `events`.
    ///
    /// # Errors
    /// `InUse`, `NotMounted`, `NotAFile`, `UnsafePath`, `Inconsistent`, `Io`.
    pub fn open(
        &self,
        config: StoreConfig,
        events: mpsc::Sender<DiskEvent>,
    ) -> Result<StoreHandle, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (layout, hashes) = (config.layout, config.piece_hashes.clone());
        let looked = Looked::at(id, config)?;
        let (store, loaded) = (Arc::new(looked.store), looked.loaded);
        let torrent = OpenTorrent::new(id, layout, hashes, store.clone(), events)?;
        // One place for the one record.
        let (put_back, taken) = bounded(1);
        let files = OnDisk {
            store,
            home: Arc::new(Home { dir: looked.dir, ..looked.subject.home.clone() }),
            subject: looked.subject,
            survey: looked.survey,
            state: loaded.state.clone(),
            recorded: looked.to_look_at,
            trusted: looked.trusted,
            durable: looked.durable,
            ours: looked.ours,
            loaded: taken,
            put_back,
        };
        let _ = files.put_back.send(loaded);
        Ok(self.handle(torrent, Some(files)))
    }

    /// Opens a torrent whose bytes lie in `store`; it has no record and needs no `start`.
    ///
    /// # Errors
    /// `Inconsistent`.
    pub fn open_store(
        &self,
        layout: Layout,
        piece_hashes: PieceHashes,
        store: Arc<dyn Store>,
        events: mpsc::Sender<DiskEvent>,
    ) -> Result<StoreHandle, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(self.handle(OpenTorrent::new(id, layout, piece_hashes, store, events)?, None))
    }

    /// What was done until now.
    pub fn stats(&self) -> DiskStats {
        self.counters.snapshot(self.queue.len())
    }

    /// Ends the workers after what is queued, and waits for them.
    pub fn shutdown(self) {
        drop(self);
    }

    fn handle(&self, torrent: OpenTorrent, files: Option<OnDisk>) -> StoreHandle {
        let torrent = Arc::new(torrent);
        let shared = Shared {
            queue: self.queue.clone(),
            closers: self.closers.clone(),
            syncer: self.syncer.clone(),
            counters: self.counters.clone(),
            check_bytes: self.check_bytes,
            torrent,
            files,
        };
        StoreHandle { shared: Arc::new(shared) }
    }
}

impl OnDisk {
    /// What a record that is written now says: these pieces were verified, those are not
    /// looked at yet.
    fn standing(&self, verified: &Bitfield, doubted: Bitfield) -> Standing {
        let stamps = self.store.stamps(true);
        Standing {
            verified: verified.clone(),
            durable: self.durable.intersection(verified),
            doubted,
            stamps: stamps.into_iter().map(|(file, stamp)| (file.0, stamp.0)).collect(),
            ours: self.store.ours().into_iter().map(|(file, inode)| (file.0, inode)).collect(),
            ground: Ground::below(&self.home.dir),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.queue.send(Work::Stop);
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // When the queue is full or the workers have ended, the files close later or have.
        self.torrent.is_closed.store(true, Ordering::Release);
        for closer in &*self.closers {
            let _ = closer.try_send(self.torrent.id);
        }
        self.syncer.close(self.torrent.id);
        // Wakes the one that waits for work.
        let _ = self.queue.try_send(Work::Closed);
    }
}

impl StoreHandle {
    /// What was on disk when the torrent was opened.
    pub fn survey(&self) -> Survey {
        self.shared.files.as_ref().map_or(Survey::default(), |files| files.survey)
    }

    /// Where the files are and what they are called; none for a torrent in memory.
    pub fn home(&self) -> Option<Arc<Home>> {
        self.shared.files.as_ref().map(|files| files.home.clone())
    }

    /// What became of the record.
    pub fn record_state(&self) -> RecordState {
        self.shared.files.as_ref().map_or(RecordState::New, |files| files.state.clone())
    }

    /// The pieces that the record holds for verified, whatever became of their files.
    pub fn recorded(&self) -> Bitfield {
        let none = || Bitfield::none(self.shared.torrent.layout.piece_count());
        self.shared.files.as_ref().map_or_else(none, |files| files.recorded.clone())
    }

    /// The pieces that the record holds for verified, in files that did not change since.
    pub fn trusted(&self) -> Bitfield {
        let none = || Bitfield::none(self.shared.torrent.layout.piece_count());
        self.shared.files.as_ref().map_or_else(none, |files| files.trusted.clone())
    }

    /// Reads and hashes all pieces on disk but the trusted ones, on all cores and in the bytes
    /// that the configuration gives to checks. Waits; `progress` is for this check alone, and
    /// may be looked at, or used to cancel, from elsewhere. To go on where an earlier check
    /// was, pass what it has looked at as `trusted`, and leave what was wrong of that out of
    /// `have`.
    pub fn check(&self, trusted: &Bitfield, progress: &CheckProgress) -> CheckReport {
        let store = self.shared.files.as_ref().map(|files| &*files.store);
        if let Some(store) = store {
            store.look_again();
        }
        let (torrent, memory) = (&self.shared.torrent, self.shared.check_bytes);
        check::report(torrent, store, trusted, progress, check::Unreadable::new(), memory)
    }

    /// Starts with the pieces that are right on disk: gives files the names they should have,
    /// makes empty ones, and writes the record anew. Waits; called once, before any job.
    ///
    /// # Errors
    /// `Exists` when a file that is not the torrent's stands where it must write, and
    /// `overwrite` is off: nothing was changed then. `Io`.
    pub fn start(&self, have: &Bitfield) -> Result<Started, Error> {
        let torrent = &self.shared.torrent;
        torrent.start_with(have);
        let Some(files) = &self.shared.files else {
            return Ok(Started { have: have.clone(), news: Vec::new() });
        };
        let adopted = files.store.adopt(&torrent.layout, have, &files.ours)?;
        adopted.strangers.into_iter().for_each(|file| drop(torrent.lose_file(file)));
        let news = adopted.news;
        for item in &news {
            if let FileNews::Trouble { file, recheck: true, .. } = item {
                torrent.lose_file(*file);
            }
        }
        let have = torrent.verified.to_bitfield(&torrent.layout);
        if let Ok(loaded) = files.loaded.try_recv() {
            let standing = files.standing(&have, Bitfield::none(have.piece_count()));
            let _ = torrent.ground.set(standing.ground.clone());
            let (journal, begun) = loaded.start(files.subject.clone(), &standing);
            let _ = torrent.journal.set(journal);
            torrent.on_record(begun);
            let bytes = torrent.leave_unsynced(&have.minus(&standing.durable));
            self.shared.syncer.on_written(torrent, bytes);
            if torrent.is_behind() {
                self.shared.syncer.on_behind(torrent);
            }
        }
        Ok(Started { have, news })
    }

    /// Keeps how far a check is, so that the next start goes on from there: the pieces that it
    /// has `looked_at`, and those that are `right`, which may be others that are believed
    /// without a look. Waits; only before `start`.
    ///
    /// # Errors
    /// `Io`; what was kept before still holds.
    pub fn keep_check(&self, looked_at: &Bitfield, right: &Bitfield) -> Result<(), Error> {
        let Some(files) = &self.shared.files else { return Ok(()) };
        let Ok(loaded) = files.loaded.try_recv() else { return Ok(()) };
        let unseen = Bitfield::all(right.piece_count()).minus(looked_at).minus(right);
        let kept = loaded.rewrite(&files.subject, &files.standing(right, unseen));
        // Its place is free: it was just taken out.
        let _ = files.put_back.try_send(loaded);
        kept
    }

    /// Pieces that a later check found wrong: they count as missing, in the record as well,
    /// and may be fetched and checked in again. Waits.
    pub fn lose(&self, pieces: &Bitfield) {
        let layout = &self.shared.torrent.layout;
        let pieces = pieces.iter_ones().filter_map(|number| layout.piece(number));
        self.shared.torrent.lose(pieces);
    }

    /// The files to send from; none for a torrent in memory.
    pub fn source(&self) -> Option<Source> {
        let files = self.shared.files.as_ref()?;
        Some(Source { store: files.store.clone() })
    }

    /// What the workers did until now, for all torrents.
    pub fn stats(&self) -> DiskStats {
        self.shared.counters.snapshot(self.shared.queue.len())
    }

    /// Hands a job to the workers. Never waits.
    ///
    /// # Errors
    /// The job comes back when the workers have ended, or too many jobs wait.
    pub fn submit(&self, job: Job) -> Result<(), Rejected> {
        let work = Work::Job(self.shared.torrent.clone(), job, Instant::now());
        self.shared.queue.try_send(work).map_err(|error| {
            let is_full = matches!(error, TrySendError::Full(_));
            match error.into_inner() {
                Work::Job(_, job, _) if is_full => Rejected::Full(job),
                Work::Job(_, job, _) => Rejected::Stopped(job),
                Work::Closed | Work::Stop => unreachable!("a job was sent"),
            }
        })
    }
}

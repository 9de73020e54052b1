//! The disk: hashing, files and the record of verified pieces, by blocking code on threads
//! of its own. It decides nothing about pieces and knows neither peers nor the runtime but
//! for the channel that answers go through.
//!
//! Way of a start: [`Disk::open`] (looks at files, locks and reads the record) →
//! [`StoreHandle::check`] of what the record does not cover → [`StoreHandle::start`] with the
//! pieces that are right → [`StoreHandle::submit`]. The first three wait for the disk: call
//! them from a blocking thread.

mod adopt;
mod afloat;
mod beneath;
mod bits;
mod check;
mod conclude;
pub mod create;
mod device;
mod edges;
mod error;
mod files;
mod folding;
mod footing;
mod glance;
mod handles;
mod in_use;
mod job;
mod lane;
mod lanes;
mod looked;
mod making;
mod memory;
mod only;
mod open;
mod outlet;
mod part_names;
mod patience;
mod piece;
mod prepare;
mod prove;
mod pulse;
mod queue;
mod rates;
mod reader;
pub mod record;
mod relocate;
mod room;
mod scan;
mod scatter;
mod spilled;
mod stats;
mod store;
mod sums;
mod survey;
mod sync;
mod syncer;
#[cfg(test)]
mod tests;
pub mod turn;
mod unfold;
mod verdict;
mod warmth;
mod watch;
mod watchdog;
mod worker;
mod writer;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use crate::base::bitfield::Bitfield;
use crate::base::hashes::PieceHashes;
use crate::base::ids::{FileIndex, InfoHash};
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pool::BlockPool;
use crate::base::units::BLOCK_LEN;

pub use self::afloat::Backlog;
pub use self::check::{CheckProgress, CheckReport, CheckSnapshot, check_and_sum, check_files};
pub use self::error::Error;
pub use self::folding::folds_names;
pub use self::footing::Gone;
pub use self::handles::{Handles, raise_fd_limit};
pub use self::job::{DiskEvent, Job};
pub use self::looked::{AtRest, at_rest};
pub use self::memory::{Faults, MemoryStore};
pub use self::outlet::{Outlet, OutletFile};
pub use self::prepare::READ_LEN;
pub use self::rates::{DiskMeter, DiskRates};
pub use self::record::{Home, RecordState, Reserved, home_of, lasting, record_of, reserve};
pub use self::relocate::{MoveProgress, Relocating, Relocation, plan_move, refuse_move};
pub use self::scan::SCAN_BYTES_MAX;
pub use self::stats::DiskStats;
pub use self::store::{FileNews, FileStamp, Store, Unsynced};
pub use self::survey::{ChangedFile, Survey};
pub use self::syncer::SyncPolicy;
pub use self::verdict::{FileCheck, FileReport};
pub use self::warmth::BELIEVED as WARM_BELIEVED;
pub use self::watchdog::Silence;

use self::files::FileStore;
use self::lane::{Kit, Lane};
use self::lanes::{Device, Lanes};
use self::looked::Looked;
use self::open::OpenTorrent;
use self::pulse::Bell;
use self::queue::{Collector, Work};
use self::record::{Ground, Loaded, Standing, Subject};
use self::stats::Counters;
use self::turn::Turn;
use self::watchdog::{Note, Watchdog};
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

/// The disk workers, and the lanes of the devices that are in use. Dropping it ends them after
/// what is queued, but leaves behind what is in a call to a device that does not answer; every
/// receiver of events must be read or dropped by then.
#[derive(Debug)]
pub struct Disk {
    queue: Sender<Work>,
    lanes: Lanes,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
    check_bytes: usize,
    next_id: AtomicU64,
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
    lane: Arc<Lane>,
    counters: Arc<Counters>,
    check_bytes: usize,
    torrent: Arc<OpenTorrent>,
    /// As its user spelled it.
    dir: PathBuf,
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
    believed: Bitfield,
    trusted: Bitfield,
    /// Files that do not look as the record says.
    doubted: BTreeSet<FileIndex>,
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
    /// The device does not answer: it is to be offered again after `DiskEvent::Answers`.
    Silent(Job),
    /// The workers have ended.
    Stopped(Job),
}

/// Threads at most when nothing is asked for: hashing in lanes feeds any disk with fewer.
pub const WORKERS_MAX: usize = 4;

/// Room in the queue for pieces that hold no block, since they are nothing but padding.
const PIECES_WITHOUT_BLOCKS: usize = 1024;

/// Torrents that the watchdog is told of before it comes to look; whoever opens more waits.
const NOTES_MAX: usize = 1024;

impl Disk {
    /// Starts the threads and raises the process's limit of open files.
    ///
    /// # Errors
    /// `Io` when the system gives no thread.
    pub fn start(config: DiskConfig) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = config.workers.unwrap_or(cores.min(WORKERS_MAX)).max(1);
        // Each other piece holds at least one block of the pool.
        let (queue, pieces) = bounded(config.pool.budget_blocks() + PIECES_WITHOUT_BLOCKS);
        // One place for the one token.
        let (give, take) = bounded(1);
        let pool_bytes = config.pool.budget_blocks() as u64 * BLOCK_LEN as u64;
        let _ = give.send(Collector::new(pieces, pool_bytes));
        let counters = Arc::new(Counters { workers: count as u64, ..Counters::default() });
        let failed = |error| Error::io("starting", "disk workers", error);
        let spawn = |number| {
            let worker = Worker { counters: counters.clone() };
            worker::spawn(number, worker, give.clone(), take.clone())
        };
        let workers: Result<Vec<_>, _> = (0..count).map(spawn).collect();
        let workers = workers.map_err(failed)?;
        let (notes, noted) = bounded(NOTES_MAX);
        let bell = Arc::new(Bell { is_awake: AtomicBool::new(false), notes });
        let watchdog = Watchdog::new(noted, &bell);
        let watch = move || watchdog.run();
        std::thread::Builder::new().name("disk-watch".into()).spawn(watch).map_err(failed)?;
        let kit = Kit {
            counters: counters.clone(),
            pool: config.pool,
            policy: config.sync,
            readers: count,
            bell: bell.clone(),
            handles_max: Arc::new(AtomicUsize::new(1)),
        };
        Ok(Self {
            queue,
            lanes: Lanes::new(kit, raise_fd_limit()),
            bell,
            counters,
            check_bytes: config.check_bytes,
            next_id: AtomicU64::new(1),
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
        let (lane, dir) = (self.lane_of(&config)?, config.dir.clone());
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
            believed: looked.believed,
            trusted: looked.trusted,
            doubted: looked.doubted,
            durable: looked.durable,
            ours: looked.ours,
            loaded: taken,
            put_back,
        };
        let _ = files.put_back.send(loaded);
        Ok(self.handle(torrent, lane, dir, Some(files)))
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
        let lane = self.lanes.of(Device::Alone(id)).map_err(no_lane)?;
        let torrent = OpenTorrent::new(id, layout, piece_hashes, store, events)?;
        Ok(self.handle(torrent, lane, PathBuf::from("memory"), None))
    }

    /// What was done until now.
    pub fn stats(&self) -> DiskStats {
        self.counters.snapshot(self.lanes.all().iter().map(|lane| lane.state.jobs()).sum())
    }

    /// Ends the workers after what is queued, and waits for them.
    pub fn shutdown(self) {
        drop(self);
    }

    fn handle(
        &self,
        torrent: OpenTorrent,
        lane: Arc<Lane>,
        dir: PathBuf,
        files: Option<OnDisk>,
    ) -> StoreHandle {
        let torrent = Arc::new(torrent);
        torrent.afloat.join(lane.state.afloat.clone());
        let note = Note::Torrent(Arc::downgrade(&lane.state), torrent.events(), dir.clone());
        // The watchdog lives as long as its bell.
        let _ = self.bell.notes.send(note);
        let shared = Shared {
            queue: self.queue.clone(),
            lane,
            counters: self.counters.clone(),
            check_bytes: self.check_bytes,
            torrent,
            dir,
            files,
        };
        StoreHandle { shared: Arc::new(shared) }
    }

    /// The lane of the device that the torrent's first file is on, or would be made on: a file
    /// system may be mounted on a torrent's own directory.
    fn lane_of(&self, config: &StoreConfig) -> Result<Arc<Lane>, Error> {
        let first = config.files.iter().find(|file| !file.is_pad);
        let path = config.dir.join(first.map_or(Path::new(""), |file| &file.path));
        let device = device::device_of(&path);
        let device = device.map_err(|error| Error::io("looking at", &config.dir, error))?;
        self.lanes.of(Device::Numbered(device)).map_err(no_lane)
    }
}

fn no_lane(error: std::io::Error) -> Error {
    Error::io("starting", "threads for a disk", error)
}

impl OnDisk {
    /// What a record that is written now says: these pieces were verified, those are not
    /// looked at yet.
    fn standing(&self, verified: &Bitfield, doubted: Bitfield) -> Standing {
        let durable = self.durable.intersection(verified);
        let ground = Ground::below(&self.home.dir);
        open::standing(&*self.store, verified.clone(), durable, doubted, ground)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.queue.send(Work::Stop);
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
        // All that was queued has come to the lanes.
        let lanes = self.lanes.all();
        lanes.iter().for_each(|lane| lane.stop());
        lanes.iter().for_each(|lane| lane.wait_for_end());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.torrent.is_closed.store(true, Ordering::Release);
        self.lane.close(self.torrent.id);
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

    /// The files that others have changed or removed since the record was written, by those of
    /// the `missing` pieces that it holds for verified. Before `start`; looks at no file.
    pub fn changed(&self, missing: &Bitfield) -> Vec<ChangedFile> {
        let Some(files) = &self.shared.files else { return Vec::new() };
        let lost = files.believed.intersection(missing);
        files.store.changed(&self.shared.torrent.layout, &lost, &files.doubted)
    }

    /// Reads and hashes all pieces on disk but the trusted ones, on all cores and in the bytes
    /// that the configuration gives to checks. Waits; `progress` is for this check alone, and
    /// may be looked at, or used to cancel, from elsewhere. To go on where an earlier check
    /// was, pass what it has looked at as `trusted`, and leave what was wrong of that out of
    /// `have`.
    pub fn check(&self, trusted: &Bitfield, progress: &CheckProgress) -> CheckReport {
        let store = self.shared.files.as_ref().map(|files| &*files.store);
        if let Some(store) = store {
            store.look_again(&self.shared.torrent.layout, trusted);
        }
        let (torrent, memory) = (&self.shared.torrent, self.shared.check_bytes);
        check::report(torrent, store, trusted, progress, check::Unreadable::new(), memory, None)
    }

    /// Starts with the pieces that are right on disk: gives files the names they should have,
    /// makes empty ones, and writes the record anew. Waits; called once, before any job.
    ///
    /// # Errors
    /// `Exists` when a file that is not the torrent's stands where it must write, and
    /// `overwrite` is off: nothing was changed then. `Inconsistent` when its record is not at hand,
    /// since nothing runs without one. `Io`.
    pub fn start(&self, have: &Bitfield) -> Result<Started, Error> {
        let torrent = &self.shared.torrent;
        let Some(files) = &self.shared.files else {
            torrent.start_with(have);
            return Ok(Started { have: have.clone(), news: Vec::new() });
        };
        let loaded = files.loaded.try_recv().ok();
        if loaded.is_none() && torrent.journal.get().is_none() {
            return Err(Error::Inconsistent("the record is in other hands"));
        }
        torrent.start_with(have);
        let adopted = match files.store.adopt(&torrent.layout, have, &files.ours) {
            Ok(adopted) => adopted,
            Err(error) => {
                // Its place is free: it was just taken out.
                loaded.into_iter().for_each(|it| drop(files.put_back.try_send(it)));
                return Err(error);
            }
        };
        let news = adopted.news;
        let doubtful = news.iter().filter_map(|item| match item {
            FileNews::Trouble { file, recheck: true, .. } => Some(*file),
            _ => None,
        });
        torrent.lose_files(&doubtful.chain(adopted.strangers).collect::<Vec<_>>());
        let have = torrent.verified.to_bitfield(&torrent.layout);
        if let Some(loaded) = loaded {
            let standing = files.standing(&have, Bitfield::none(have.piece_count()));
            let _ = torrent.ground.set(standing.ground.clone());
            let (journal, begun) = loaded.start(files.subject.clone(), &standing);
            let _ = torrent.journal.set(journal);
            torrent.on_record(begun);
            let bytes = torrent.leave_unsynced(&have.minus(&standing.durable));
            self.shared.lane.syncer.on_written(torrent, bytes);
            if torrent.is_behind() {
                self.shared.lane.syncer.on_behind(torrent);
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
        let Ok(mut loaded) = files.loaded.try_recv() else { return Ok(()) };
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

    /// Does the piece count as right on disk, by what the workers know by now? Never waits.
    pub fn is_verified(&self, piece: PieceIndex) -> bool {
        self.shared.torrent.verified.has(piece)
    }

    /// The files to send from; none for a torrent in memory.
    pub fn outlet(&self) -> Option<Outlet> {
        let files = self.shared.files.as_ref()?;
        let lane = &self.shared.lane;
        Some(Outlet {
            torrent: self.shared.torrent.id,
            store: files.store.clone(),
            senders: lane.senders.clone(),
            warmth: lane.state.warmth.clone(),
        })
    }

    /// What the workers did until now, for all torrents.
    pub fn stats(&self) -> DiskStats {
        self.shared.counters.snapshot(self.shared.lane.state.jobs())
    }

    /// Does the device not answer, and since when? Never waits.
    pub fn silence(&self) -> Option<Silence> {
        let since = self.shared.lane.state.silent_since()?;
        Some(Silence { dir: self.shared.dir.clone(), since })
    }

    /// What was written and is not known to be on the device. Never waits.
    pub fn backlog(&self) -> Backlog {
        let bytes = self.shared.torrent.afloat.bytes();
        let files = self.shared.files.as_ref().filter(|_| bytes > 0);
        Backlog { bytes, files: files.map_or(0, |files| files.store.dirty_count()) }
    }

    /// Waits for the right to read the device from end to end, which the torrent's check is to
    /// have, or until `progress` is cancelled. See [`turn::wait`].
    pub fn take_turn(&self, state_dir: &Path, progress: &CheckProgress) -> Option<Turn> {
        progress.take_turn_at(&self.shared.lane.turn, state_dir, &self.shared.dir)
    }

    /// Hands a job to the workers. Never waits.
    ///
    /// # Errors
    /// The job comes back when the workers have ended, too many jobs wait, or the device does
    /// not answer.
    pub fn submit(&self, job: Job) -> Result<(), Rejected> {
        let Shared { lane, torrent, queue, .. } = &*self.shared;
        lane.submit(torrent.clone(), job, queue)
    }
}

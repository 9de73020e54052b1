//! The disk as a whole: its workers, which all torrents share, and the lanes of the devices that
//! are in use. It opens torrents, and does nothing with one that is open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use tokio::sync::mpsc;

use crate::base::hashes::PieceHashes;
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::base::units::BLOCK_LEN;

use super::config::StoreConfig;
use super::device;
use super::error::Error;
use super::gates::{Gates, Leave};
use super::handles::raise_fd_limit;
use super::job::DiskEvent;
use super::lane::{Kit, Lane};
use super::lanes::{Device, Lanes};
use super::looked::Looked;
use super::open::OpenTorrent;
use super::pulse::Bell;
use super::queue::{Collector, Work};
use super::stats::{Counters, DiskStats};
use super::store::Store;
use super::store_handle::{OnDisk, Shared, StoreHandle};
use super::syncer::SyncPolicy;
use super::watchdog::{Watchdog, Watched};
use super::worker::{self, Worker};

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

/// The disk workers, and the lanes of the devices that are in use. Dropping it ends them after
/// what is queued, but leaves behind what is in a call to a device that does not answer; every
/// receiver of events must be read or dropped by then.
#[derive(Debug)]
pub struct Disk {
    queue: Sender<Work>,
    pub(super) lanes: Lanes,
    watched: Sender<Watched>,
    counters: Arc<Counters>,
    check_bytes: usize,
    next_id: AtomicU64,
    workers: Vec<JoinHandle<()>>,
    gates: Gates,
}

/// Threads at most when nothing is asked for: hashing in lanes feeds any disk with fewer.
pub const WORKERS_MAX: usize = 4;

/// Room in the queue for pieces that hold no block, since they are nothing but padding.
const PIECES_WITHOUT_BLOCKS: usize = 1024;

/// Torrents that the watchdog is told of before it comes to look; whoever opens more waits.
const NEWCOMERS_MAX: usize = 1024;

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
        let (watched, newcomers) = bounded(NEWCOMERS_MAX);
        // One place: a second ring wakes nobody.
        let (rings, rung) = bounded(1);
        let bell = Arc::new(Bell { is_awake: AtomicBool::new(false), rings });
        let watchdog = Watchdog::new(newcomers, rung, &bell);
        let watch = move || watchdog.run();
        std::thread::Builder::new().name("disk-watch".into()).spawn(watch).map_err(failed)?;
        let kit = Kit {
            counters: counters.clone(),
            pool: config.pool,
            policy: config.sync,
            readers: count,
            bell,
            handles_max: Arc::new(AtomicUsize::new(1)),
        };
        Ok(Self {
            queue,
            lanes: Lanes::new(kit, raise_fd_limit()),
            watched,
            counters,
            check_bytes: config.check_bytes,
            next_id: AtomicU64::new(1),
            workers,
            gates: Gates::new(),
        })
    }

    /// Waits until a thread that others share may wait for the file system of this directory, to
    /// open or to look at what is there; few may at once. The thread is to hold the leave.
    pub async fn leave(&self, dir: &Path) -> Leave {
        self.gates.leave(dir).await
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
            home: Arc::new(looked.subject.home.clone().called(looked.dir)),
            subject: looked.subject,
            survey: looked.survey,
            state: loaded.state.clone(),
            recorded: looked.to_look_at,
            believed: looked.believed,
            trusted: looked.trusted,
            doubted: looked.doubted,
            durable: looked.durable,
            ours: looked.ours,
            ignored: looked.ignored,
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
        // The watchdog lives as long as its bell, and so as long as this.
        let _ = self.watched.send(Watched::new(&lane.state, torrent.events(), dir.clone()));
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

//! Brings what the workers wrote to the device, a few seconds behind them, and only then marks
//! it in the record. One thread for all torrents: data never waits for it, and the device is
//! best kept busy by one. It writes no data and hashes nothing.
//!
//! A sync is due when the first unsynced piece of a torrent is old enough, or when there is
//! enough of it; never for each piece.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::handles::Handles;
use super::job::DiskEvent;
use super::open::OpenTorrent;
use super::stats::{Counters, add, timed};

/// When a sync is due.
#[derive(Clone, Copy, Debug)]
pub struct SyncPolicy {
    /// The longest that a verified piece stays off the device.
    pub after: Duration,
    /// Bytes that are never exceeded by more than what comes while a sync is under way.
    pub bytes: u64,
}

impl Default for SyncPolicy {
    /// Five seconds or 64 MiB.
    fn default() -> Self {
        Self { after: Duration::from_secs(5), bytes: 64 << 20 }
    }
}

/// Open files at a time; they are many only when a torrent has many small files.
const HANDLES_MAX: usize = 16;

/// Orders that wait: a torrent has at most two of its own on the way, and a flush.
const ORDERS_MAX: usize = 8192;

/// What the thread is told.
enum Order {
    /// The torrent has its first unsynced piece.
    Begun(Weak<OpenTorrent>),
    /// The torrent has so much that it should be synced now.
    Enough(Weak<OpenTorrent>),
    /// The torrent of this id is closed.
    Closed(u64),
    /// Sync, and answer `Flushed`.
    Flush(Arc<OpenTorrent>),
}

/// Tells the thread what was written. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Syncer {
    orders: Sender<Order>,
    policy: SyncPolicy,
}

impl Syncer {
    /// Starts the thread.
    pub(super) fn start(policy: SyncPolicy, counters: Arc<Counters>) -> io::Result<Self> {
        let (orders, taken) = bounded(ORDERS_MAX);
        let thread =
            Thread { policy, counters, handles: Handles::new(HANDLES_MAX), waiting: Vec::new() };
        // Nobody joins it: a device that hangs must not hold up the end, and what is on its
        // way to it goes on without us.
        std::thread::Builder::new().name("disk-sync".into()).spawn(move || thread.run(&taken))?;
        Ok(Self { orders, policy })
    }

    /// `bytes` of the torrent were written and noted in its record.
    pub(super) fn on_written(&self, torrent: &Arc<OpenTorrent>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let before = torrent.unsynced_bytes.fetch_add(bytes, Ordering::AcqRel);
        let enough = self.policy.bytes;
        let order = match before {
            _ if before < enough && before + bytes >= enough => Order::Enough,
            0 => Order::Begun,
            _ => return,
        };
        self.send(torrent, order);
    }

    /// The open files of this torrent are not needed any more.
    pub(super) fn close(&self, torrent: u64) {
        let _ = self.orders.send(Order::Closed(torrent));
    }

    /// Something is to be said in the record soon, though no piece is new.
    pub(super) fn on_behind(&self, torrent: &Arc<OpenTorrent>) {
        self.send(torrent, Order::Begun);
    }

    fn send(&self, torrent: &Arc<OpenTorrent>, order: fn(Weak<OpenTorrent>) -> Order) {
        if self.orders.try_send(order(Arc::downgrade(torrent))).is_err() {
            // All places are taken while a device hangs: the next piece asks again.
            torrent.unsynced_bytes.store(0, Ordering::Release);
        }
    }

    /// Syncs at once; the answer is `Flushed`.
    pub(super) fn flush(&self, torrent: Arc<OpenTorrent>) {
        let _ = self.orders.send(Order::Flush(torrent));
    }
}

struct Thread {
    policy: SyncPolicy,
    counters: Arc<Counters>,
    handles: Handles,
    /// Torrents with unsynced pieces, and when they are due: the earliest first.
    waiting: Vec<(Instant, Weak<OpenTorrent>)>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.waiting.first() {
                Some((due, _)) => orders.recv_deadline(*due),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Begun(torrent)) => {
                    self.waiting.push((Instant::now() + self.policy.after, torrent));
                }
                Ok(Order::Closed(torrent)) => self.handles.close_store(torrent),
                Ok(Order::Enough(torrent)) => self.sync(&torrent),
                Ok(Order::Flush(torrent)) => {
                    self.stop_waiting(&Arc::downgrade(&torrent));
                    let done = self.timed(|handles| torrent.flush(handles));
                    self.handles.close_store(torrent.id);
                    let failed = done.unwrap_or_else(|error| Some(error.to_string()));
                    torrent.answer(DiskEvent::Flushed(failed));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let (_, torrent) = self.waiting.remove(0);
                    self.sync(&torrent);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Syncs a torrent that is still there, and comes back to it when that failed.
    fn sync(&mut self, torrent: &Weak<OpenTorrent>) {
        self.stop_waiting(torrent);
        let Some(strong) = torrent.upgrade() else { return };
        let brought = self.timed(|handles| strong.bring_to_device(handles));
        let is_done = matches!(brought, Ok(None)) && !strong.is_behind();
        if let Err(error) = brought {
            strong.on_record(Err(error));
        }
        if !is_done {
            self.waiting.push((Instant::now() + self.policy.after, torrent.clone()));
        }
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut Handles) -> T) -> T {
        add(&self.counters.syncs, 1);
        timed(&self.counters.sync_ns, || work(&mut self.handles))
    }

    fn stop_waiting(&mut self, torrent: &Weak<OpenTorrent>) {
        self.waiting.retain(|(_, other)| !other.ptr_eq(torrent) && other.strong_count() > 0);
    }
}

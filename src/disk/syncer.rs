//! Brings what the workers wrote to the device, a few seconds behind them, and only then marks
//! it in the record. One thread for each device: data never waits for it until there is too
//! much, and the device is best kept busy by one. It writes no data and hashes nothing.
//!
//! A sync is due when the first unsynced piece of a torrent is old enough, or when there is
//! enough of it; never for each piece.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::handles::Handles;
use super::job::DiskEvent;
use super::open::{Brought, OpenTorrent};
use super::pulse::{self, PATIENCE, Pulse};
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

/// A device that brings fewer bytes a second to where they last is called silent when it has not
/// answered for as long as they should take, and the usual time: sticks and cards write a few
/// MB/s for a while.
const SLOWEST_BYTES_PER_S: u64 = 512 << 10;

/// A flush that finds no descriptors is tried again this soon, then twice as late each time, and
/// given up after so long: strangers may hold them all until their handshakes are overdue, after
/// ten seconds.
const FLUSH_AGAIN: Duration = Duration::from_millis(100);
const FLUSH_PATIENCE: Duration = Duration::from_secs(12);

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
    /// Sync what there is: somebody waits for room.
    Press,
}

/// Tells the thread what was written. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Syncer {
    orders: Sender<Order>,
    policy: SyncPolicy,
    /// How often all that waited was synced since somebody asked for room.
    passes: Arc<AtomicU64>,
}

impl Syncer {
    /// Starts the thread; something comes through the channel whenever it has synced.
    pub(super) fn start(
        policy: SyncPolicy,
        counters: Arc<Counters>,
        pulse: Arc<Pulse>,
    ) -> io::Result<(Self, Receiver<()>)> {
        let (orders, taken) = bounded(ORDERS_MAX);
        // One place: whoever waits looks for itself how much room there is.
        let (room, waiting_for_room) = bounded(1);
        let (handles, waiting) = (Handles::new(HANDLES_MAX), Vec::new());
        let passes = Arc::new(AtomicU64::new(0));
        let thread = Thread { policy, counters, handles, waiting, room, passes: passes.clone() };
        let run = move || {
            pulse.adopt();
            thread.run(&taken);
        };
        // Nobody joins it: a device that hangs must not hold up the end, and what is on its
        // way to it goes on without us.
        std::thread::Builder::new().name("disk-sync".into()).spawn(run)?;
        Ok((Self { orders, policy, passes }, waiting_for_room))
    }

    /// `bytes` of the torrent were written and noted in its record.
    pub(super) fn on_written(&self, torrent: &Arc<OpenTorrent>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let before = torrent.afloat.add(bytes);
        let enough = self.policy.bytes;
        let order = match before {
            _ if before < enough && before + bytes >= enough => Order::Enough,
            0 => Order::Begun,
            _ => return,
        };
        self.send(torrent, order);
    }

    /// The open files of this torrent are not needed any more. Never waits.
    pub(super) fn close(&self, torrent: u64) {
        let _ = self.orders.try_send(Order::Closed(torrent));
    }

    /// Somebody waits for room. Never waits: when the queue is full, it has enough to do.
    pub(super) fn press(&self) {
        let _ = self.orders.try_send(Order::Press);
    }

    /// How often it has come to the end of what somebody pressed for.
    pub(super) fn passes(&self) -> u64 {
        self.passes.load(Ordering::Acquire)
    }

    /// Something is to be said in the record soon, though no piece is new.
    pub(super) fn on_behind(&self, torrent: &Arc<OpenTorrent>) {
        self.send(torrent, Order::Begun);
    }

    fn send(&self, torrent: &Arc<OpenTorrent>, order: fn(Weak<OpenTorrent>) -> Order) {
        if self.orders.try_send(order(Arc::downgrade(torrent))).is_err() {
            // All places are taken while a device hangs: the next piece asks again.
            torrent.afloat.rearm();
        }
    }

    /// Syncs at once; the answer is `Flushed`. Never waits; false when there is no place.
    pub(super) fn flush(&self, torrent: Arc<OpenTorrent>) -> bool {
        self.orders.try_send(Order::Flush(torrent)).is_ok()
    }
}

struct Thread {
    policy: SyncPolicy,
    counters: Arc<Counters>,
    handles: Handles,
    waiting: Vec<Waiting>,
    room: Sender<()>,
    passes: Arc<AtomicU64>,
}

/// What is to be done at some time.
struct Waiting {
    due: Instant,
    what: Due,
}

enum Due {
    /// A torrent has unsynced pieces.
    Sync(Weak<OpenTorrent>),
    /// A flush could not open its files; how long that may go on, and the pause before this try.
    Flush { torrent: Arc<OpenTorrent>, until: Instant, pause: Duration },
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let due = self.waiting.iter().map(|waiting| waiting.due).min();
            let order = match due {
                Some(due) => orders.recv_deadline(due),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Begun(torrent)) => self.wait(self.policy.after, Due::Sync(torrent)),
                Ok(Order::Closed(torrent)) => self.handles.close_store(torrent),
                Ok(Order::Enough(torrent)) => self.sync(&torrent),
                Ok(Order::Press) => self.press(),
                Ok(Order::Flush(torrent)) => {
                    let until = Instant::now() + FLUSH_PATIENCE;
                    self.flush(torrent, until, FLUSH_AGAIN);
                }
                Err(RecvTimeoutError::Timeout) => self.on_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn wait(&mut self, pause: Duration, what: Due) {
        self.waiting.push(Waiting { due: Instant::now() + pause, what });
    }

    fn on_due(&mut self) {
        let now = Instant::now();
        let due = self.waiting.extract_if(.., |waiting| waiting.due <= now);
        for waiting in due.collect::<Vec<_>>() {
            match waiting.what {
                Due::Sync(torrent) => self.sync(&torrent),
                Due::Flush { torrent, until, pause } => self.flush(torrent, until, pause * 2),
            }
        }
    }

    /// Syncs all that waits for its time.
    fn press(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.what {
                Due::Sync(torrent) => self.sync(&torrent),
                flush @ Due::Flush { .. } => {
                    self.waiting.push(Waiting { due: waiting.due, what: flush });
                }
            }
        }
        self.passes.fetch_add(1, Ordering::AcqRel);
        let _ = self.room.try_send(());
    }

    /// Syncs a torrent that is still there, and comes back to it when that failed.
    fn sync(&mut self, torrent: &Weak<OpenTorrent>) {
        self.stop_waiting(torrent);
        let Some(strong) = torrent.upgrade() else { return };
        let brought = self.timed(&strong, |handles| strong.bring_to_device(handles));
        // The next one is seconds away.
        if matches!(brought, Ok(Brought::All)) || strong.is_closed.load(Ordering::Acquire) {
            self.handles.close_store(strong.id);
        }
        strong.note_delay(brought.as_ref().ok());
        let is_done = matches!(brought, Ok(Brought::All)) && !strong.is_behind();
        if let Err(error) = brought {
            strong.on_record(Err(error));
        }
        if !is_done {
            self.wait(self.policy.after, Due::Sync(torrent.clone()));
        }
    }

    /// Syncs a torrent to its end, and answers; one that lacks descriptors comes again later.
    fn flush(&mut self, torrent: Arc<OpenTorrent>, until: Instant, pause: Duration) {
        self.stop_waiting(&Arc::downgrade(&torrent));
        let brought = self.timed(&torrent, |handles| torrent.flush(handles));
        let failed = match brought {
            Ok(Brought::Later(..)) if Instant::now() < until => {
                return self.wait(pause, Due::Flush { torrent, until, pause });
            }
            Ok(Brought::All) => None,
            Ok(Brought::Lost(why) | Brought::Later(_, why)) => Some(why),
            Err(error) => Some(error.to_string()),
        };
        self.handles.close_store(torrent.id);
        torrent.answer(DiskEvent::Flushed(failed));
    }

    fn timed<T>(&mut self, torrent: &OpenTorrent, work: impl FnOnce(&mut Handles) -> T) -> T {
        add(&self.counters.syncs, 1);
        // A file system that is synced as a whole waits for what others wrote as well.
        let bytes = torrent.afloat.bytes_of_lane();
        let patience = PATIENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
        let call = pulse::busy(patience);
        let done = timed(&self.counters.sync_ns, || work(&mut self.handles));
        drop(call);
        // Full when nobody has waited since.
        let _ = self.room.try_send(());
        done
    }

    /// A sync of this torrent is not to come any more, nor those of torrents that are gone.
    fn stop_waiting(&mut self, torrent: &Weak<OpenTorrent>) {
        self.waiting.retain(|waiting| match &waiting.what {
            Due::Sync(other) => !other.ptr_eq(torrent) && other.strong_count() > 0,
            Due::Flush { .. } => true,
        });
    }
}

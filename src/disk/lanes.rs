//! Which lanes there are: one for each device, made with its first torrent, gone with its last.
//! What a lane does is its own.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::handles;
use super::lane::{Kit, Lane};

/// The lanes by device. Whoever looks takes the table out of a channel of one place and puts it
/// back, so that it needs no lock.
pub(super) struct Lanes {
    give: Sender<Known>,
    take: Receiver<Known>,
    kit: Kit,
    /// The process's limit of open files.
    fd_limit: u64,
    next_number: AtomicU64,
}

type Known = HashMap<Device, Weak<Lane>>;

/// What a lane stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Device {
    /// As the system numbers it.
    Numbered(u64),
    /// A store of this number that is on no device.
    Alone(u64),
}

impl Lanes {
    pub(super) fn new(kit: Kit, fd_limit: u64) -> Self {
        // One place for the one table.
        let (give, take) = bounded(1);
        let _ = give.send(Known::new());
        Self { give, take, kit, fd_limit, next_number: AtomicU64::new(0) }
    }

    /// The lane of a device, made if there is none.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn of(&self, device: Device) -> io::Result<Arc<Lane>> {
        self.with(|known| {
            if let Some(lane) = known.get(&device).and_then(Weak::upgrade) {
                return Ok(lane);
            }
            known.retain(|_, lane| lane.strong_count() > 0);
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let lane = Arc::new(Lane::start(number, &self.kit)?);
            known.insert(device, Arc::downgrade(&lane));
            // All lanes together have what one would have alone.
            let threads = (self.kit.readers + 1) * known.len();
            let share = handles::share_of_limit(self.fd_limit, threads);
            self.kit.handles_max.store(share, Ordering::Relaxed);
            Ok(lane)
        })
    }

    /// The lanes that there are.
    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.with(|known| known.values().filter_map(Weak::upgrade).collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        // It is always put back; should a thread have died with it, the lanes are made anew.
        let mut known = self.take.recv().unwrap_or_default();
        let done = work(&mut known);
        let _ = self.give.send(known);
        done
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lanes").finish_non_exhaustive()
    }
}

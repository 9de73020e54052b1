//! One at a time: checks and new torrents that read the same device take turns, in this
//! process and in others with the same state directory, since two that read side by side
//! make a disk seek all the time. Those on different devices do not wait for each other. A
//! turn is a courtesy: where it cannot be asked for, one goes on without.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use rustix::fs::{FlockOperation, flock, major, minor};
use rustix::io::Errno;

use super::device::device_of;

/// The right to read a device from end to end, until it is dropped. The end of the process
/// gives it back as well.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
    _held: Held,
}

/// Ends something that waits, from another thread. One thread at a time may wait with it.
#[derive(Debug)]
pub struct Stop {
    is_set: AtomicBool,
    /// One place for the one token that wakes.
    wake: (Sender<()>, Receiver<()>),
}

impl Default for Stop {
    fn default() -> Self {
        Self { is_set: AtomicBool::new(false), wake: bounded(1) }
    }
}

impl Stop {
    /// Ends it, now or when it begins. Never waits.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        // Full when it is set already.
        let _ = self.wake.0.try_send(());
    }

    /// Was it ended?
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// The same, for who looks at it again and again.
    pub fn flag(&self) -> &AtomicBool {
        &self.is_set
    }
}

/// The place of the one who reads a device, inside this process.
#[derive(Debug)]
pub struct Place {
    /// Holds one token while somebody is in.
    enter: Sender<()>,
    leave: Receiver<()>,
}

impl Default for Place {
    fn default() -> Self {
        // One place for the one reader.
        let (enter, leave) = bounded(1);
        Self { enter, leave }
    }
}

impl Place {
    /// Waits until nobody is in, or `stop` is set: none then.
    fn take(&self, on_wait: impl FnOnce(), stop: &Stop) -> Option<Held> {
        if self.enter.try_send(()).is_err() {
            on_wait();
            select! {
                // It cannot fail: both ends live as long as the place.
                send(self.enter, ()) -> _ => {}
                recv(stop.wake.1) -> _ => return None,
            }
        }
        Some(Held { leave: self.leave.clone() })
    }
}

/// Given back when dropped.
#[derive(Debug)]
struct Held {
    leave: Receiver<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.leave.try_recv();
    }
}

/// Waits until nobody else reads the device of `data`, which need not be there yet, or `stop`
/// is set. `on_wait` is called when there is something to wait for. `place` is the device's
/// in this process, the locks against others lie in `state_dir`. None when stopped, or when
/// there can be no lock there.
pub fn wait(
    state_dir: &Path,
    data: &Path,
    place: &Place,
    on_wait: impl Fn(),
    stop: &Stop,
) -> Option<Turn> {
    if stop.is_set() {
        return None;
    }
    let held = place.take(&on_wait, stop)?;
    let locked = open(state_dir, data).and_then(|lock| take(lock, held, on_wait, stop));
    locked.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot take turns with others that read the disk");
        None
    })
}

/// The file that stands for a device.
fn open(state_dir: &Path, data: &Path) -> io::Result<File> {
    let device = device_of(data)?;
    let name = format!("device-{}-{}.lock", major(device), minor(device));
    // It stays: removing it, two might hold locks of one name.
    OpenOptions::new().append(true).create(true).open(state_dir.join(name))
}

/// Locks it. Waiting for another process cannot be broken off: a thread of its own does it, and
/// keeps the place, so that there is one such thread at a time.
fn take(lock: File, held: Held, on_wait: impl Fn(), stop: &Stop) -> io::Result<Option<Turn>> {
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(Some(Turn { _lock: lock, _held: held })),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    on_wait();
    // One place for the one answer.
    let (give, given) = bounded(1);
    let work = move || {
        let locked = loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                done => break done,
            }
        };
        // Whoever was stopped does not take it any more.
        let _ = give.send(locked.map(|()| Turn { _lock: lock, _held: held }));
    };
    std::thread::Builder::new().name("disk-turn".into()).spawn(work)?;
    select! {
        recv(given) -> turn => Ok(Some(turn.map_err(io::Error::other)??)),
        recv(stop.wake.1) -> _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever waits says so here.
    fn teller() -> (impl Fn(), Receiver<()>) {
        let (tell, told) = bounded(8);
        (move || tell.send(()).unwrap(), told)
    }

    /// Two places are two processes: only the lock in the state directory tells of the other.
    fn one_turn(first_place: &Place, second_place: &Place) {
        let (dir, stop) = (tempfile::tempdir().unwrap(), Stop::default());
        let nobody = || panic!("nobody else is here");
        let first = wait(dir.path(), dir.path(), first_place, nobody, &stop).unwrap();
        let data = dir.path().join("not/there/yet");
        let (tell, told) = teller();
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| wait(dir.path(), &data, second_place, tell, &stop).is_some());
            told.recv().unwrap();
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap());
        });
    }

    #[test]
    fn one_device_has_one_turn_and_the_next_gets_it() {
        let place = Place::default();
        one_turn(&place, &place);
        one_turn(&place, &Place::default());
    }

    #[test]
    fn other_devices_do_not_wait() {
        let (dir, place, stop) = (tempfile::tempdir().unwrap(), Place::default(), Stop::default());
        let nobody = || panic!("nobody else is here");
        let held = wait(dir.path(), dir.path(), &place, nobody, &stop);
        assert!(held.is_some());
        // A device of its own on every Linux.
        let other = wait(dir.path(), Path::new("/proc/self"), &Place::default(), nobody, &stop);
        assert!(other.is_some());
    }

    #[test]
    fn whoever_is_told_to_stop_goes_at_once_and_leaves_one_thread_at_most() {
        let (dir, place, stop) = (tempfile::tempdir().unwrap(), Place::default(), Stop::default());
        let elsewhere = Place::default();
        let held = wait(dir.path(), dir.path(), &elsewhere, || (), &stop).unwrap();
        // The first waits for the other process, the second for the first.
        for _ in 0..2 {
            let (stop, (tell, told)) = (Stop::default(), teller());
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| wait(dir.path(), dir.path(), &place, tell, &stop));
                told.recv().unwrap();
                stop.set();
                assert!(waits.join().unwrap().is_none());
            });
            assert!(place.enter.is_full(), "its thread still waits");
        }
        drop(held);
        let last = wait(dir.path(), dir.path(), &place, || (), &stop);
        assert!(last.is_some(), "the thread that was left behind lets go");
    }

    #[test]
    fn where_no_lock_can_be_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (nowhere, place) = (dir.path().join("missing"), Place::default());
        assert!(wait(&nowhere, dir.path(), &place, || (), &Stop::default()).is_none());
        let stop = Stop::default();
        stop.set();
        assert!(wait(dir.path(), dir.path(), &place, || (), &stop).is_none());
    }
}

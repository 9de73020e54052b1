//! One at a time: checks and new torrents that read the same device take turns, in this
//! process and in others with the same state directory, since two that read side by side
//! make a disk seek all the time. Those on different devices do not wait for each other. A
//! turn is a courtesy: where it cannot be asked for, one goes on without.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, major, minor};
use rustix::io::Errno;

/// Between two tries: people do not notice so short a wait, and trying costs microseconds.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// The right to read a device from end to end, until it is dropped. The end of the process
/// gives it back as well.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

/// Waits until nobody else reads the device of `data`, which need not be there yet, or `is_over`
/// says that it is not worth it any more. `on_wait` is called once, when there is something to
/// wait for. The locks lie in `state_dir`. None when over, or when there can be no lock there.
pub fn wait(
    state_dir: &Path,
    data: &Path,
    on_wait: impl FnOnce(),
    is_over: impl Fn() -> bool,
) -> Option<Turn> {
    let mut on_wait = Some(on_wait);
    while !is_over() {
        match take(state_dir, data) {
            Ok(Some(turn)) => return Some(turn),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "cannot take turns with others that read the disk");
                return None;
            }
        }
        if let Some(tell) = on_wait.take() {
            tell();
        }
        std::thread::sleep(TRY_AGAIN);
    }
    None
}

/// The turn, or none when it is somebody else's.
fn take(state_dir: &Path, data: &Path) -> io::Result<Option<Turn>> {
    let device = device_of(data)?;
    let name = format!("device-{}-{}.lock", major(device), minor(device));
    // It stays: removing it, two might hold locks of one name.
    let lock = OpenOptions::new().append(true).create(true).open(state_dir.join(name))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Turn { _lock: lock })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The device that a path is on, or would be made on.
fn device_of(path: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(path)?;
    let mut there = absolute.ancestors().map(std::fs::metadata);
    let last = Err(io::ErrorKind::NotFound.into());
    Ok(there.find(Result::is_ok).unwrap_or(last)?.dev())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn one_device_has_one_turn_and_the_next_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = wait(dir.path(), dir.path(), || panic!("nobody else is here"), || false);
        let first = first.unwrap();
        let data = dir.path().join("not/there/yet");
        let waits = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                wait(dir.path(), &data, || waits.store(true, Ordering::SeqCst), || false)
            });
            while !waits.load(Ordering::SeqCst) {
                assert!(!second.is_finished(), "it did not wait");
                std::thread::yield_now();
            }
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_some());
        });
    }

    #[test]
    fn other_devices_do_not_wait_and_whoever_is_told_to_stop_goes() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path(), dir.path()).unwrap();
        assert!(held.is_some());
        // A device of its own on every Linux.
        assert!(take(dir.path(), Path::new("/proc/self")).unwrap().is_some());
        let waits = AtomicBool::new(false);
        let tell = || waits.store(true, Ordering::SeqCst);
        assert!(wait(dir.path(), dir.path(), tell, || waits.load(Ordering::SeqCst)).is_none());
        assert!(wait(&dir.path().join("nowhere"), dir.path(), || (), || false).is_none());
    }
}

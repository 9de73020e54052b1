//! The open files of one thread: a least-recently-used cache that nobody else sees, so
//! that no lock is needed. Several threads may hold the same file open; a descriptor stays
//! good when the file is renamed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit};

use super::beneath::Access;
use super::pulse;

/// A thread without work keeps its files open for so long.
const IDLE: Duration = Duration::from_secs(10);

/// Which open file: store, file, how often the file was found replaced, whether it is the one of
/// its edges, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub store: u64,
    pub file: u32,
    pub epoch: u32,
    pub is_edges: bool,
    pub access: Access,
}

/// Open files, at most a fixed number; each thread has its own.
#[derive(Debug)]
pub struct Handles {
    open: HashMap<Key, OpenFile>,
    count_max: Arc<AtomicUsize>,
    clock: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    used: u64,
}

impl Handles {
    /// Room for `count_max` open files, at least one.
    pub fn new(count_max: usize) -> Self {
        Self::sharing(Arc::new(AtomicUsize::new(count_max)))
    }

    /// The same, for as many as others say, who may change their mind.
    pub(super) fn sharing(count_max: Arc<AtomicUsize>) -> Self {
        Self { open: HashMap::new(), count_max, clock: 0 }
    }

    /// How many files are open now.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The file of this key, from the cache or by `open`. When the process has no descriptor
    /// left, all of ours are closed and it is tried once more.
    pub(super) fn file(
        &mut self,
        key: Key,
        open: impl Fn() -> io::Result<File>,
    ) -> io::Result<&File> {
        // Whoever asks has come back from the file before.
        pulse::beat();
        self.clock += 1;
        if !self.open.contains_key(&key) {
            let count_max = self.count_max.load(Ordering::Relaxed).max(1);
            while self.open.len() >= count_max {
                self.close_oldest();
            }
            let file = match open() {
                Err(error) if is_out_of_descriptors(&error) => {
                    self.open.clear();
                    open()?
                }
                other => other?,
            };
            self.open.insert(key, OpenFile { file, used: self.clock });
        }
        let used = self.clock;
        let open = self.open.get_mut(&key).ok_or(io::ErrorKind::NotFound)?;
        open.used = used;
        Ok(&open.file)
    }

    /// Closes the files of a store that is no longer used.
    pub(super) fn close_store(&mut self, store: u64) {
        self.open.retain(|key, _| key.store != store);
    }

    /// Closes all files: a thread that has had nothing to do for [`IDLE`] needs none, and others
    /// may wait for descriptors, or for a file system to be free.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// After how long without work the files are to be closed.
    pub(super) fn idle_after(&self) -> Duration {
        if self.open.is_empty() { Duration::MAX } else { IDLE }
    }

    /// A scan, since it is followed by an `open` that costs more than the scan of the few
    /// hundred files there are at most.
    fn close_oldest(&mut self) {
        if let Some(key) = self.open.iter().min_by_key(|(_, file)| file.used).map(|(key, _)| *key) {
            self.open.remove(&key);
        }
    }
}

/// Has the process, or the system, no descriptor left?
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// Raises this process's soft limit of open files to the hard one, and returns what holds
/// then. Failing to raise it is no error: the old limit works, only with fewer files open.
pub fn raise_fd_limit() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(_) => limit,
    };
    limit.current.unwrap_or(u64::MAX)
}

/// Open files for each of `threads`: together a quarter of the process's limit, so that
/// sockets have the rest, but not fewer than eight, nor more than is of use.
pub(super) fn share_of_limit(limit: u64, threads: usize) -> usize {
    const PER_THREAD_MAX: u64 = 256;
    let share = (limit / 4).max(8) / threads.max(1) as u64;
    share.clamp(1, PER_THREAD_MAX) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(file: u32) -> Key {
        Key { store: 1, file, epoch: 0, is_edges: false, access: Access::Read }
    }

    #[test]
    fn the_least_recently_used_file_is_closed() {
        let mut handles = Handles::new(2);
        let open = || File::open("/dev/null");
        handles.file(key(1), open).unwrap();
        handles.file(key(2), open).unwrap();
        handles.file(key(1), open).unwrap();
        handles.file(key(3), open).unwrap();
        assert_eq!(handles.open_count(), 2);
        let not_again = || Err(io::ErrorKind::Other.into());
        assert!(handles.file(key(1), not_again).is_ok());
        assert!(handles.file(key(2), not_again).is_err());
    }

    #[test]
    fn without_descriptors_the_cache_is_emptied_and_opening_tried_again() {
        let mut handles = Handles::new(4);
        handles.file(key(1), || File::open("/dev/null")).unwrap();
        let tries = std::cell::Cell::new(0);
        let opened = handles.file(key(2), || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => Err(rustix::io::Errno::MFILE.into()),
                _ => File::open("/dev/null"),
            }
        });
        assert!(opened.is_ok());
        assert_eq!(handles.open_count(), 1);
    }

    #[test]
    fn files_are_closed_when_they_idle_and_nobody_waits_for_that_when_there_are_none() {
        let mut handles = Handles::new(4);
        assert_eq!(handles.idle_after(), Duration::MAX);
        handles.file(key(1), || File::open("/dev/null")).unwrap();
        assert_eq!(handles.idle_after(), IDLE);
        handles.close_all();
        assert_eq!((handles.open_count(), handles.idle_after()), (0, Duration::MAX));
    }

    #[test]
    fn shares_leave_room_for_sockets() {
        assert_eq!(share_of_limit(1024, 4), 64);
        assert_eq!(share_of_limit(16, 2), 4);
        assert_eq!(share_of_limit(u64::MAX, 2), 256);
        assert_eq!(share_of_limit(0, 100), 1);
        assert!(raise_fd_limit() > 0);
    }
}

//! Leave to open or to look at files on one of the threads that all who may wait share: of each
//! file system a few have it at once, so that one that hangs does not take all threads from the
//! others. Not here: what is open, which its lane reads and writes with threads of its own.
//!
//! Which file system that is must not be asked of itself: the system's table says so (proc(5),
//! `mountinfo`), by the path as it is spelled. A directory behind a link counts as where the link
//! is.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::only::Only;

/// More do not make one device faster, and a machine with 64 that hang is none that runs: the
/// runtime has 512 such threads.
const AT_ONCE: usize = 8;

/// The gates of the file systems that anybody waits for.
#[derive(Debug)]
pub(super) struct Gates(Only<HashMap<PathBuf, Arc<Semaphore>>>);

/// Leave to wait for a file system, given back when it is dropped.
#[derive(Debug)]
pub struct Leave {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self(Only::new(HashMap::new()))
    }

    /// Waits until it may be waited for the file system of this directory.
    pub(super) async fn leave(&self, dir: &Path) -> Leave {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mount = mount_of(&mounts, &dir);
        let gate = self.0.with(|known| {
            known.retain(|_, gate| Arc::strong_count(gate) > 1);
            known.entry(mount).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
        });
        // It is never closed.
        Leave { _permit: gate.acquire_owned().await.ok() }
    }
}

/// Where the file system is mounted that this path is on; the root where nothing is known.
fn mount_of(mounts: &[u8], path: &Path) -> PathBuf {
    let places = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let place = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(OsString::from_vec(plain(place))))
    });
    let around = places.filter(|place| path.starts_with(place));
    around.max_by_key(|place| place.components().count()).unwrap_or_else(|| "/".into())
}

/// A name of the table: a space, among others, is spelled as three octal digits there.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *byte == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(*byte));
        rest = behind.get(if code.is_some() { 3 } else { 0 }..).unwrap_or_default();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 21 8:2 / /srv rw - ext4 /dev/sdb1 rw\n\
        31 30 0:40 / /srv/my\\040films rw shared:1 - nfs4 nas:/films rw\n\
        short\n";

    #[test]
    fn a_path_is_on_what_is_mounted_nearest_above_it() {
        for (path, expected) in [
            ("/home/me", "/"),
            ("/srv", "/srv"),
            ("/srv/my", "/srv"),
            ("/srvs/a", "/"),
            ("/srv/my films/a", "/srv/my films"),
        ] {
            assert_eq!(mount_of(MOUNTS, Path::new(path)), Path::new(expected), "{path}");
        }
        assert_eq!(mount_of(b"", Path::new("/a")), Path::new("/"));
    }

    #[tokio::test]
    async fn of_one_file_system_a_few_wait_at_once() {
        let gates = Gates::new();
        let mut leaves = Vec::new();
        for _ in 0..AT_ONCE {
            leaves.push(gates.leave(Path::new("/proc/self")).await);
        }
        let mut next = std::pin::pin!(gates.leave(Path::new("/proc")));
        assert!(futures_are_pending(&mut next).await);
        gates.leave(Path::new("/")).await;
        leaves.pop();
        next.await;
    }

    async fn futures_are_pending<F: Future>(work: &mut std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(work.as_mut().poll(cx).is_pending())).await
    }
}

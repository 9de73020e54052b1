//! A lock that a process holds by a file: one at a time has it, and it goes with the process that
//! holds it. Who holds it stands in the file, for people. The file stays: were it removed, two
//! might lock files of one name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::process::name_of;

/// A process's number, and nothing else.
const LEN_MAX: u64 = 16;

/// Why a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Somebody has it.
    #[error("{} is in use by {}", .dir.display(), .holder.as_deref().unwrap_or("another process"))]
    InUse {
        /// The directory that the lock is in, and stands for.
        dir: PathBuf,
        /// The program that holds it, where that is known.
        holder: Option<String>,
    },
    /// The operating system says no.
    #[error("cannot lock {}: {source}", .path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A process that is being started has a copy until it runs another program, and the lock
        // would be held as long as that.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl FileLock {
    /// Takes the lock of this file, made when missing, in a directory that is there. Never waits.
    ///
    /// # Errors
    /// When somebody has it, be it this process, or the system says no.
    pub fn take(path: &Path) -> Result<Self, Refused> {
        let fail = |source| Refused::Io { path: path.to_owned(), source };
        let mut how = OpenOptions::new();
        let mut file =
            how.read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Without it others are told less.
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self { file })
            }
            Err(Errno::WOULDBLOCK) => {
                let dir = path.parent().unwrap_or(path).to_owned();
                Err(Refused::InUse { dir, holder: holder(&mut file) })
            }
            Err(error) => Err(fail(error.into())),
        }
    }
}

fn holder(file: &mut File) -> Option<String> {
    let mut number = String::new();
    file.rewind().ok()?;
    file.take(LEN_MAX).read_to_string(&mut number).ok()?;
    name_of(number.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_hears_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // What a process left that is gone says nothing.
        std::fs::write(&path, "99999999999").unwrap();
        let held = FileLock::take(&path).unwrap();
        let refused = FileLock::take(&path).unwrap_err().to_string();
        let begin = format!("{} is in use by ", dir.path().display());
        assert!(refused.starts_with(&begin), "{refused}");
        assert!(refused.ends_with(&format!("(process {})", std::process::id())), "{refused}");
        drop(held);
        assert!(FileLock::take(&path).is_ok());
    }

    #[test]
    fn it_is_given_back_though_a_process_that_is_being_started_has_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::take(&path).unwrap();
        let copy = held.file.try_clone().unwrap();
        drop(held);
        assert!(FileLock::take(&path).is_ok());
        drop(copy);
    }

    #[test]
    fn a_holder_that_says_nothing_is_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = FileLock::take(&path).unwrap();
        for content in ["", "nonsense", "-4"] {
            std::fs::write(&path, content).unwrap();
            let refused = FileLock::take(&path).unwrap_err().to_string();
            assert!(refused.ends_with("is in use by another process"), "{refused}");
        }
        let none = dir.path().join("none/lock");
        assert!(matches!(FileLock::take(&none), Err(Refused::Io { .. })));
    }
}

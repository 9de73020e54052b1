//! Brings a torrent's files and their names to the device. When that is due, and what it means
//! for pieces, is not known here.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::ids::FileIndex;

use super::beneath::{self, Access};
use super::error::Error;
use super::files::FileStore;
use super::handles::{Handles, is_out_of_descriptors};
use super::store::Unsynced;

impl FileStore {
    /// Syncs the files that were written since they were synced last, and the directories of
    /// those that are new there.
    pub(super) fn bring_to_device(&self, handles: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        let mut unsynced = Vec::new();
        let mut directories = BTreeSet::new();
        for (file, entry) in self.real() {
            let is_renamed = entry.renamed.swap(false, Ordering::AcqRel);
            if !entry.dirty.swap(false, Ordering::AcqRel) && !is_renamed {
                continue;
            }
            let synced = patiently(|| self.bring(handles, file, is_renamed, &mut directories));
            if let Err(error) = synced {
                entry.dirty.store(true, Ordering::Release);
                entry.renamed.fetch_or(is_renamed, Ordering::AcqRel);
                let is_unknown = says_nothing_of_the_data(&error);
                let kind = if is_unknown { Unsynced::Unknown } else { Unsynced::Lost };
                unsynced.push((file, kind(error)));
            }
        }
        unsynced
    }

    fn bring(
        &self,
        handles: &mut Handles,
        file: FileIndex,
        is_renamed: bool,
        directories: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        // For reading: what is only seeded may be on a medium that cannot be written.
        self.with_file(handles, file, Access::Read, beneath::sync_data)?;
        let path = self.path_now(file);
        let directory = path.parent().unwrap_or(Path::new(""));
        if is_renamed && !directories.contains(directory) {
            let synced = self.base.sync_directories(directory);
            synced.map_err(|error| Error::io("writing", self.base.full(&path), error))?;
            directories.insert(directory.to_owned());
        }
        Ok(())
    }
}

/// Tries again while the process has no descriptor left: strangers may hold them all until
/// their handshakes are overdue, after ten seconds. A file that is not there may be about to
/// get its final name.
fn patiently(mut work: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    const PAUSE: Duration = Duration::from_millis(100);
    const TRIES: usize = 120;
    const TRIES_RENAMED: usize = 3;
    for tried in 0..TRIES {
        match work() {
            Err(Error::Io { source, .. }) if is_out_of_descriptors(&source) => sleep(PAUSE),
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tried < TRIES_RENAMED =>
            {
                sleep(PAUSE);
            }
            other => return other,
        }
    }
    work()
}

/// Could the file only not be opened, for lack of something that has nothing to do with it?
fn says_nothing_of_the_data(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let number = source.raw_os_error();
    let is_short_of = [Errno::NOMEM, Errno::NOBUFS, Errno::INTR, Errno::ACCESS, Errno::PERM];
    is_out_of_descriptors(source)
        || is_short_of.iter().any(|errno| number == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errno: Errno) -> Error {
        Error::io("writing", "x", errno)
    }

    #[test]
    fn what_the_device_refuses_is_lost_and_what_we_lack_is_not() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::STALE, Errno::NOENT] {
            assert!(!says_nothing_of_the_data(&failed(errno)), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS] {
            assert!(says_nothing_of_the_data(&failed(errno)), "{errno}");
        }
    }

    #[test]
    fn a_file_that_is_being_renamed_is_looked_for_again() {
        let mut tries = 0;
        let done = patiently(|| {
            tries += 1;
            if tries < 3 { Err(failed(Errno::NOENT)) } else { Ok(()) }
        });
        assert!(done.is_ok());
        assert!(patiently(|| Err(failed(Errno::NOENT))).is_err());
    }
}

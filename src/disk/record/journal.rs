//! The record while the torrent runs. Workers append to it side by side: the system keeps
//! appends of one call together. It knows nothing of data files; that data is on the device
//! before a mark says so is up to who writes the mark ([`super::super::syncer`]).

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::beneath::Stamp;
use super::super::error::Error;
use super::era::now_ns;
use super::format::{self, Standing, Subject};
use super::loaded::replace;

/// A file that is only added to. A seam, so that tests can take the power away.
pub(in crate::disk) trait RecordFile: Send + Sync + std::fmt::Debug {
    /// Adds bytes at the end; of one call, none from another are in between.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// How long it is now.
    fn length(&self) -> io::Result<u64>;
    /// Brings it to the device.
    fn sync(&self) -> io::Result<()>;
}

impl RecordFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A record that is being written.
#[derive(Debug)]
pub(in crate::disk) struct Journal {
    /// Empty until it could be made.
    file: OnceLock<Box<dyn RecordFile>>,
    /// Hold the lock, the first one on what stood there before.
    _locked_before: Option<File>,
    locked: OnceLock<File>,
    path: PathBuf,
    subject: Subject,
    /// A newer program's record: it is left alone.
    is_foreign: bool,
    /// Something could not be added: all must be said again.
    is_behind: AtomicBool,
}

impl Journal {
    /// One that nothing was written to yet; `locked` stands at `path`.
    pub(super) fn new(path: PathBuf, locked: File, subject: Subject, is_foreign: bool) -> Self {
        Self {
            file: OnceLock::new(),
            _locked_before: Some(locked),
            locked: OnceLock::new(),
            path,
            subject,
            is_foreign,
            is_behind: AtomicBool::new(false),
        }
    }

    /// One in a file of a test's own, begun.
    #[cfg(test)]
    pub(in crate::disk) fn within(file: Box<dyn RecordFile>, subject: Subject) -> Self {
        Self {
            file: OnceLock::from(file),
            _locked_before: None,
            locked: OnceLock::new(),
            path: PathBuf::from("a record in memory"),
            subject,
            is_foreign: false,
            is_behind: AtomicBool::new(false),
        }
    }

    /// Writes the record anew, once. Only one thread at a time comes here.
    pub(super) fn begin(&self, standing: &Standing) -> Result<(), Error> {
        if self.is_foreign {
            return Ok(());
        }
        let bytes = format::begin(&self.subject, standing, now_ns());
        let (appending, locked) =
            replace(&self.path, &bytes).inspect_err(|_| self.fall_behind())?;
        // Both are empty: it is begun once.
        let _ = self.locked.set(locked);
        let _ = self.file.set(Box::new(appending));
        Ok(())
    }

    /// Notes pieces that were hashed and written.
    pub(in crate::disk) fn verified(&self, pieces: &[u32]) -> Result<(), Error> {
        self.append(&format::verified(self.subject.info_hash, pieces))
    }

    /// Takes pieces out again.
    pub(in crate::disk) fn lost(&self, pieces: &[u32]) -> Result<(), Error> {
        self.append(&format::lost(self.subject.info_hash, pieces))
    }

    /// Notes how files look that nothing is written to any more.
    pub(in crate::disk) fn stamped(&self, stamps: &[(u32, Stamp)]) -> Result<(), Error> {
        self.append(&format::stamped(self.subject.info_hash, stamps))
    }

    /// Notes that others wrote to these files.
    pub(in crate::disk) fn doubted(&self, files: &[u32]) -> Result<(), Error> {
        self.append(&format::doubted(self.subject.info_hash, files))
    }

    /// Makes the record younger than what was just written unverified.
    pub(in crate::disk) fn touch(&self) -> Result<(), Error> {
        self.append(&format::touched(self.subject.info_hash))
    }

    /// Says again what could not be added before, if there is anything; a record that could not
    /// even be begun is begun. Only one thread at a time comes here.
    ///
    /// # Errors
    /// `Io`; it is still behind then.
    pub(in crate::disk) fn catch_up(&self, standing: impl Fn() -> Standing) -> Result<(), Error> {
        if !self.is_behind.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        // What workers cannot add from here on makes it behind once more.
        let mut said = standing();
        match self.file.get() {
            Some(_) => self.append(&format::again(&self.subject, &said))?,
            None => self.begin(&said)?,
        }
        // What they added between our look and our word stands before it, and is overruled by it.
        loop {
            let now = standing();
            let (lost, new) =
                (said.verified.minus(&now.verified), now.verified.minus(&said.verified));
            if lost.ones() + new.ones() == 0 {
                return Ok(());
            }
            self.lost(&lost.iter_ones().collect::<Vec<_>>())?;
            self.verified(&new.iter_ones().collect::<Vec<_>>())?;
            said = now;
        }
    }

    /// Is there something that could not be added?
    pub(in crate::disk) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// Its length now: what a mark may cover once the data behind it is on the device.
    pub(in crate::disk) fn length(&self) -> Result<u64, Error> {
        let length = self.file.get().map_or(Ok(0), |file| file.length());
        length.map_err(|error| self.failed(error))
    }

    /// Says that the data of what the first `len` bytes note is on the device, and brings that
    /// word there as well. Says nothing while something that was lost could not be added.
    pub(in crate::disk) fn mark(&self, len: u64) -> Result<(), Error> {
        let Some(file) = self.file.get().filter(|_| !self.is_behind()) else { return Ok(()) };
        let mark = format::mark(self.subject.info_hash, len, now_ns());
        file.append(&mark).and_then(|()| file.sync()).map_err(|error| self.failed(error))
    }

    fn append(&self, entries: &[u8]) -> Result<(), Error> {
        let Some(file) = self.file.get() else {
            self.fall_behind();
            return Ok(());
        };
        file.append(entries).map_err(|error| {
            self.fall_behind();
            self.failed(error)
        })
    }

    fn fall_behind(&self) {
        self.is_behind.store(!self.is_foreign, Ordering::Release);
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("writing", &self.path, error)
    }
}

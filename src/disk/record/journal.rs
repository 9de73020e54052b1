//! The record while the torrent runs. Workers append to it side by side: the system keeps
//! appends of one call together. It knows nothing of data files; that data is on the device
//! before a mark says so is up to who writes the mark ([`super::super::syncer`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::os::whole::{self, How};

use super::super::beneath::Stamp;
use super::super::error::Error;
use super::super::only::Only;
use super::era::now_ns;
use super::format::{self, Standing, Subject};
use super::lock::RecordLock;

/// A file that is only added to, or replaced as a whole. A seam, so that tests can take the power
/// away.
pub(in crate::disk) trait RecordFile: Send + Sync + std::fmt::Debug {
    /// Adds bytes at the end; of one call, none from another are in between.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// How long it is now.
    fn length(&self) -> io::Result<u64>;
    /// Brings it to the device.
    fn sync(&self) -> io::Result<()>;
    /// Puts these bytes in place of all, on the device; or leaves all as it was.
    fn replace(&self, bytes: &[u8]) -> io::Result<()>;
}

/// Writes a record beside the old one, brings it to the device, and renames it over it.
///
/// # Errors
/// The old record is still whole then.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Whoever has its lock is alone with it.
    whole::replace(path, bytes, How::DURABLE.alone())
}

/// A record on disk. It is open only while something in it is not on the device.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    open: Only<Option<File>>,
}

impl Appender {
    /// Opens nothing.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: Only::new(None) }
    }

    fn opened<'a>(&self, open: &'a mut Option<File>) -> io::Result<&'a mut File> {
        match open {
            Some(file) => Ok(file),
            // One that somebody removed is not begun in the middle.
            None => Ok(open.insert(OpenOptions::new().append(true).open(&self.path)?)),
        }
    }
}

impl RecordFile for Appender {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.open.with(|open| self.opened(open)?.write_all(bytes))
    }

    fn length(&self) -> io::Result<u64> {
        self.open.with(|open| match open {
            Some(file) => Ok(file.metadata()?.len()),
            None => Ok(std::fs::metadata(&self.path)?.len()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.open.with(|open| {
            self.opened(open)?.sync_data()?;
            *open = None;
            Ok(())
        })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.open.with(|open| {
            replace(&self.path, bytes)?;
            *open = None;
            Ok(())
        })
    }
}

/// A record that grew by so much is written anew, however few pieces there are.
const GROWN_MIN: u64 = 1 << 20;
/// And by no more than this, however many: a start reads it as a whole.
const GROWN_MAX: u64 = 64 << 20;
/// Twice what is noted of a piece that comes once, and alone.
const GROWN_PER_PIECE: u64 = 64;

/// A record that is being written.
#[derive(Debug)]
pub(in crate::disk) struct Journal {
    file: Box<dyn RecordFile>,
    path: PathBuf,
    _lock: Option<RecordLock>,
    subject: Subject,
    /// A newer program's record: it is left alone.
    is_foreign: bool,
    /// Something could not be added, or may be lost: it is to be written anew.
    is_behind: AtomicBool,
    /// What stands there now may be added to.
    is_begun: AtomicBool,
    /// As long as this it is written anew.
    rewritten_at: AtomicU64,
}

impl Journal {
    /// One that nothing was written to yet; `lock` is of `path`.
    pub(super) fn new(
        file: Box<dyn RecordFile>,
        path: PathBuf,
        lock: Option<RecordLock>,
        subject: Subject,
        is_foreign: bool,
    ) -> Self {
        Self {
            file,
            path,
            _lock: lock,
            subject,
            is_foreign,
            is_behind: AtomicBool::new(false),
            is_begun: AtomicBool::new(false),
            rewritten_at: AtomicU64::new(u64::MAX),
        }
    }

    /// One in a file of a test's own, begun.
    #[cfg(test)]
    pub(in crate::disk) fn within(file: Box<dyn RecordFile>, subject: Subject) -> Self {
        let journal = Self::new(file, PathBuf::from("a record in memory"), None, subject, false);
        journal.is_begun.store(true, Ordering::Release);
        journal
    }

    /// Writes the record anew. Only one thread at a time comes here.
    pub(super) fn begin(&self, standing: &Standing) -> Result<(), Error> {
        if self.is_foreign {
            return Ok(());
        }
        let bytes = format::begin(&self.subject, standing, now_ns());
        self.file.replace(&bytes).map_err(|error| {
            self.fall_behind();
            self.failed(error)
        })?;
        self.go_on(bytes.len() as u64);
        Ok(())
    }

    /// Adds to the record that stands there with `len` bytes.
    pub(super) fn go_on(&self, len: u64) {
        let pieces = u64::from(self.subject.layout.piece_count());
        let grown = (pieces * GROWN_PER_PIECE).clamp(GROWN_MIN, GROWN_MAX);
        self.rewritten_at.store(len + grown, Ordering::Release);
        self.is_begun.store(true, Ordering::Release);
    }

    /// Notes pieces that were hashed and written, files that were made for them, with their
    /// inodes, and how the writes left theirs: in one call, with one entry for neighbours when they
    /// come in the order of their numbers.
    pub(in crate::disk) fn verified(
        &self,
        pieces: &[u32],
        made: &[(u32, u64)],
        left: &[(u32, Stamp)],
    ) -> Result<(), Error> {
        let mut entries = format::ours(self.subject.info_hash, made);
        entries.extend(format::verified(self.subject.info_hash, pieces));
        entries.extend(format::left(self.subject.info_hash, left));
        self.append(&entries)
    }

    /// Takes pieces out again, and notes how their files were left.
    pub(in crate::disk) fn lost(&self, pieces: &[u32], left: &[(u32, Stamp)]) -> Result<(), Error> {
        let mut entries = format::lost(self.subject.info_hash, pieces);
        entries.extend(format::left(self.subject.info_hash, left));
        self.append(&entries)
    }

    /// Notes how files look that nothing is written to any more.
    pub(in crate::disk) fn stamped(&self, stamps: &[(u32, Stamp)]) -> Result<(), Error> {
        self.append(&format::stamped(self.subject.info_hash, stamps))
    }

    /// Notes that others wrote to these files.
    pub(in crate::disk) fn doubted(&self, files: &[u32]) -> Result<(), Error> {
        self.append(&format::doubted(self.subject.info_hash, files))
    }

    /// Notes how files look that something was just written to unverified, and makes the record
    /// younger than that.
    pub(in crate::disk) fn touch(&self, left: &[(u32, Stamp)]) -> Result<(), Error> {
        let mut entries = format::touched(self.subject.info_hash);
        entries.extend(format::left(self.subject.info_hash, left));
        self.append(&entries)
    }

    /// Writes the record anew when something could not be added before, or it has grown long.
    /// Only one thread at a time comes here.
    ///
    /// # Errors
    /// `Io`; it is still behind then.
    pub(in crate::disk) fn catch_up(&self, standing: impl Fn() -> Standing) -> Result<(), Error> {
        let is_long = || self.length().is_ok_and(|len| len >= self.limit());
        if !self.is_behind.swap(false, Ordering::AcqRel) && !is_long() {
            return Ok(());
        }
        // What workers cannot add from here on makes it behind once more.
        let mut said = standing();
        self.begin(&said)?;
        // What they added between our look and our word stood in the old one.
        loop {
            let now = standing();
            let (lost, new) =
                (said.verified.minus(&now.verified), now.verified.minus(&said.verified));
            let is_all = lost.ones() + new.ones() == 0;
            if !is_all || now.left != said.left {
                self.lost(&lost.iter_ones().collect::<Vec<_>>(), &[])?;
                self.verified(&new.iter_ones().collect::<Vec<_>>(), &[], &now.left)?;
            }
            if is_all {
                return Ok(());
            }
            said = now;
        }
    }

    fn limit(&self) -> u64 {
        self.rewritten_at.load(Ordering::Acquire)
    }

    /// Is there something that could not be added?
    pub(in crate::disk) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// Its length now: what a mark may cover once the data behind it is on the device.
    pub(in crate::disk) fn length(&self) -> Result<u64, Error> {
        match self.is_begun() {
            true => self.file.length().map_err(|error| self.failed(error)),
            false => Ok(0),
        }
    }

    fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Acquire)
    }

    /// Says that the data of what the first `len` bytes note is on the device, and brings that
    /// word there as well. Says nothing while something that was lost could not be added.
    pub(in crate::disk) fn mark(&self, len: u64) -> Result<(), Error> {
        if self.is_foreign || self.is_behind() || !self.is_begun() {
            return Ok(());
        }
        let mark = format::mark(self.subject.info_hash, len, now_ns());
        self.file.append(&mark).and_then(|()| self.file.sync()).map_err(|error| {
            // The system may have dropped what was added, and would not say so again.
            self.fall_behind();
            self.failed(error)
        })
    }

    fn append(&self, entries: &[u8]) -> Result<(), Error> {
        if self.is_foreign || entries.is_empty() {
            return Ok(());
        }
        if !self.is_begun() {
            self.fall_behind();
            return Ok(());
        }
        self.file.append(entries).map_err(|error| {
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

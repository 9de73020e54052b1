//! Which files a torrent makes and writes to. A file is made only where nothing stands, and is
//! written to only if it is ours; where an unfinished name is taken by somebody else, another
//! one is used. A file that is there under its final name and may be right is compared with
//! what comes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::base::extents::FileSlice;
use crate::base::ids::FileIndex;
use crate::base::pages::Pages;

use super::beneath::{self, Access};
use super::config::Allocate;
use super::error::Error;
use super::files::{Entry, FileStore, Place};
use super::glance::Glance;
use super::in_use;
use super::pulse;
use super::store::FileNews;

/// What is compared at once.
const COMPARE_LEN: usize = 256 << 10;

impl FileStore {
    /// Opens a file to write to it; made when there is none yet.
    pub(super) fn open_to_write(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
    ) -> io::Result<File> {
        let entry = self.entry(file);
        if entry.place() == Place::Nowhere {
            let made = self.make(glance, file)?;
            self.on_open(entry, &made)?;
            return Ok(made);
        }
        let existing = glance.open_existing(&self.path_now(file));
        let is_ours = match &existing {
            Ok(opened) => self.is_ours(file, opened)?,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if !is_ours {
            // What was written to it is lost with it: that is told before another is made.
            entry.is_gone.store(true, Ordering::Release);
            return Err(io::Error::other("it was deleted or replaced by somebody else"));
        }
        let existing = existing?;
        self.on_open(entry, &existing)?;
        Ok(existing)
    }

    /// Makes a file, unless somebody else made one of its name since it was looked for.
    fn make(&self, glance: &mut Glance<'_>, file: FileIndex) -> io::Result<File> {
        let entry = self.entry(file);
        let has_part = entry.len > 0;
        let has_two_names = has_part && !entry.in_edges();
        let mut made = glance.create(&self.path_now(file));
        if has_two_names && is_taken(&made) && !entry.has_own_part.swap(true, Ordering::AcqRel) {
            made = glance.create(&self.path_now(file));
        }
        if has_part && is_taken(&made) {
            // Nobody else gives that name: it was left by a run that the record does not know.
            made = glance.open_existing(&self.path_now(file));
        }
        let made = made?;
        if has_part {
            in_use::take(self.writer, &beneath::found_open(&made)?);
        }
        entry.ours.store(true, Ordering::Release);
        entry.made.store(true, Ordering::Release);
        self.has_made.store(true, Ordering::Release);
        Ok(made)
    }

    /// Notes which file it is, and gives it its length and space the first time that it is wanted.
    fn on_open(&self, entry: &Entry, opened: &File) -> io::Result<()> {
        let found = beneath::found_open(opened)?;
        // Another inode than before means that somebody replaced the file: the first one stays
        // noted, so that it shows when the file is concluded.
        let inode = found.stamp.inode;
        let _ = entry.inode.compare_exchange(0, inode, Ordering::AcqRel, Ordering::Acquire);
        entry.note_place(if entry.len == 0 { Place::Final } else { Place::Part });
        if entry.allocated.load(Ordering::Acquire) {
            return Ok(());
        }
        // It may have been made just now.
        entry.renamed.store(true, Ordering::Release);
        let given = self.give_space(entry, opened, found.len);
        let now = beneath::found_open(opened)?;
        if now.stamp.modified_ns != found.stamp.modified_ns {
            // That was us, and nobody else's hand is to be seen in it.
            entry.expect_unchanged(None);
            entry.on_new_len(found, now);
        }
        given
    }

    fn give_space(&self, entry: &Entry, opened: &File, len: u64) -> io::Result<()> {
        // Two workers may both do this: neither changes what the other wrote.
        if len > entry.len_max() {
            opened.set_len(entry.len_max())?;
        }
        // One that is not wanted holds a few bytes of pieces that it shares, and no more.
        if entry.form().is_edges() || !entry.wanted_now() {
            return Ok(());
        }
        if len < entry.len && self.allocate == Allocate::Sparse {
            opened.set_len(entry.len)?;
        }
        if self.allocate == Allocate::Full && entry.len > 0 {
            match rustix::fs::fallocate(opened, FallocateFlags::empty(), 0, entry.len) {
                Ok(()) => {}
                // File systems that cannot reserve space get the length only.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => opened.set_len(entry.len)?,
                Err(error) => return Err(error.into()),
            }
        }
        entry.allocated.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes an empty file, which has its final name at once; one that stands there is as good.
    ///
    /// # Errors
    /// `Exists` when what stands there has bytes; `NotAFile`; `Io`.
    pub(super) fn make_empty(&self, file: FileIndex) -> Result<(), Error> {
        let entry = self.entry(file);
        let full = || self.base.full(&entry.path);
        let fail = |error| Error::io("making", full(), error);
        if let Some(found) = self.base.stat(&entry.path).map_err(fail)? {
            if !found.is_file {
                return Err(Error::NotAFile { path: full() });
            }
            if found.len == 0 {
                entry.set_place(Place::Final, Some(found));
                return Ok(());
            }
            if !self.overwrite && !entry.is_ours() {
                return Err(Error::Exists { path: full() });
            }
            entry.set_place(Place::Final, Some(found));
        }
        self.open_to_write(&mut Glance::new(&self.base), file).map(drop).map_err(fail)
    }

    /// Gives a final file that is not whole its unfinished name back, or another one when
    /// somebody has a file of that.
    pub(super) fn reopen(&self, file: FileIndex) -> Result<(), Error> {
        let entry = self.entry(file);
        // An empty file has one name only, and is cut when it is made.
        if entry.len == 0 {
            entry.put(Place::Nowhere);
            return Ok(());
        }
        entry.in_edges.store(false, Ordering::Release);
        let rename = || self.base.hand_over(&entry.path, &self.base, &self.part_path(file));
        let mut renamed = rename();
        if is_taken(&renamed) && !entry.has_own_part.swap(true, Ordering::AcqRel) {
            renamed = rename();
        }
        renamed.map_err(|error| Error::io("renaming", self.base.full(&entry.path), error))?;
        entry.put(Place::Part);
        if let Ok(Some(found)) = self.base.stat(&self.part_path(file)) {
            in_use::claim(self.writer, &found);
        }
        Ok(())
    }

    /// Cuts what is behind the end of a file.
    pub(super) fn trim(&self, file: FileIndex) -> Result<(), Error> {
        let cut = self.open(file, Access::Write);
        let path = || self.base.full(&self.path_now(file));
        cut.map(drop).map_err(|error| Error::io("cutting", path(), error))
    }

    /// Need a file not be written to, since it is not ours and has these bytes?
    ///
    /// # Errors
    /// `Exists` when it has others; `Io`, also when it is not there any more.
    pub(super) fn is_there_already(
        &self,
        slice: &FileSlice,
        parts: &[&[u8]],
    ) -> Result<bool, Error> {
        let entry = self.entry(slice.file);
        if !entry.guarded.load(Ordering::Acquire) {
            return Ok(false);
        }
        // As it stands there now: its user may have put another one in its place.
        let opened = self.base.open(&entry.path, Access::Read);
        let same = opened.and_then(|file| has_bytes(&file, slice.offset_in_file, parts));
        match same {
            Ok(true) => Ok(true),
            Ok(false) => Err(Error::Exists { path: self.base.full(&entry.path) }),
            Err(error) => Err(Error::io("reading", self.base.full(&entry.path), error)),
        }
    }

    /// Files that somebody deleted, replaced or moved away, which showed when they were to be
    /// written to or compared: another one is made.
    pub(super) fn gone_files(&self) -> Vec<FileNews> {
        let is_gone = |entry: &Entry| {
            let is_guarded = entry.guarded.load(Ordering::Acquire);
            entry.is_gone.swap(false, Ordering::AcqRel)
                || is_guarded && matches!(self.base.stat(&entry.path), Ok(None))
        };
        let gone = self.real().filter(|(_, entry)| is_gone(entry)).map(|(file, entry)| {
            let (path, what) = (self.base.full(&entry.path), "deleted, replaced or moved away");
            self.forget(file);
            FileNews::Trouble { file, error: Error::Disturbed { path, what }, recheck: true }
        });
        gone.collect()
    }
}

impl Entry {
    /// Notes where it was made, unless that is known.
    fn note_place(&self, place: Place) {
        if self.place() == Place::Nowhere {
            self.put(place);
        }
    }
}

/// Does something stand where a file was to be made?
pub(super) fn is_taken<T>(made: &io::Result<T>) -> bool {
    matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists)
}

/// Has the file these bytes from `offset`? One that ends before has not.
fn has_bytes(file: &File, mut offset: u64, parts: &[&[u8]]) -> io::Result<bool> {
    let mut room = Pages::default();
    for part in parts.iter().flat_map(|part| part.chunks(COMPARE_LEN)) {
        let there = room.room(part.len());
        match file.read_exact_at(there, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        pulse::beat();
        if *there != *part {
            return Ok(false);
        }
        offset += part.len() as u64;
    }
    Ok(true)
}

/// Have two files the same bytes, `len` of them?
pub(super) fn are_equal(one: &File, other: &File, len: u64) -> io::Result<bool> {
    let mut bytes = Pages::zeroed(COMPARE_LEN);
    for offset in (0..len).step_by(COMPARE_LEN) {
        let step = &mut bytes[..(len - offset).min(COMPARE_LEN as u64) as usize];
        one.read_exact_at(step, offset)?;
        if !has_bytes(other, offset, &[step])? {
            return Ok(false);
        }
    }
    Ok(true)
}

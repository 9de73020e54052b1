//! The torrent's files. A file is `NAME.part` until all its pieces are verified, then `NAME`.
//! Bytes of files that are not wanted, but share a piece with one that is, go to the unwanted
//! file's `NAME.part`, which stays sparse. Decides nothing about pieces.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::fs::{Advice, FallocateFlags, fadvise};
use rustix::io::Errno;

use crate::base::extents::{Extents, FileSlice};
use crate::base::ids::FileIndex;

use super::beneath::{self, Access, Base, Found, Stamp};
use super::error::Error;
use super::footing::Gone;
use super::handles::{Handles, Key};
use super::pulse;
use super::store::{FileNews, FileStamp, Store, Unsynced};
use super::verdict::{self, FileCheck};
use super::watch::Watch;
use super::{Allocate, StoreConfig};

/// One torrent's files below one directory.
#[derive(Debug)]
pub(super) struct FileStore {
    /// Tells this store's open files from others' in a worker's cache.
    id: u64,
    pub(super) base: Base,
    pub(super) extents: Extents,
    pub(super) entries: Vec<Entry>,
    /// Names of unfinished files that could not be just `NAME.part`.
    odd_parts: HashMap<u32, PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
    allocate: Allocate,
    pub(super) overwrite: bool,
    /// Others were found to write to a file, and nobody has asked for that yet.
    has_doubts: AtomicBool,
}

/// What is known of one file. Workers meet here, in atomics only.
#[derive(Debug)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub len: u64,
    pub is_pad: bool,
    pub wanted: AtomicBool,
    /// Bytes not verified yet. Who brings it to zero gives the final name.
    pub remaining: AtomicU64,
    /// Under which name it is: a [`Place`].
    place: AtomicU8,
    /// Bytes on disk when last looked at.
    pub present_len: AtomicU64,
    /// The inode we use; 0 before the first look.
    pub(super) inode: AtomicU64,
    /// Rises when the file was found replaced, so that open handles of the old one are not
    /// used again.
    pub(super) epoch: AtomicU32,
    /// Its space is set.
    allocated: AtomicBool,
    /// Written since the last sync.
    pub(super) dirty: AtomicBool,
    /// Made or renamed since the last sync: its directory knows it only in memory.
    pub(super) renamed: AtomicBool,
    /// A worker is giving it its final name.
    concluding: AtomicBool,
    /// Tells whether others write to it.
    watch: Watch,
    /// They did.
    doubted: AtomicBool,
}

/// Under which name a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Nowhere = 0,
    Part = 1,
    Final = 2,
}

impl Entry {
    pub(super) fn place(&self) -> Place {
        match self.place.load(Ordering::Acquire) {
            0 => Place::Nowhere,
            1 => Place::Part,
            _ => Place::Final,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// Wanted by the user, and on disk at all?
    pub(super) fn wanted_now(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && !self.is_pad
    }

    /// What a check that found `wrong_pieces` says of the file.
    pub(super) fn judge(&self, wrong_pieces: u32) -> FileCheck {
        let len = self.present_len.load(Ordering::Relaxed);
        match self.place() {
            _ if self.is_pad => FileCheck::Whole,
            _ if len == 0 && self.len > 0 => FileCheck::Missing,
            Place::Nowhere => FileCheck::Missing,
            Place::Part | Place::Final => verdict::judge_file(self.len, len, wrong_pieces),
        }
    }

    /// Writes, and notes when somebody else did.
    fn write(
        &self,
        file: &File,
        offset: u64,
        parts: &[&[u8]],
        has_doubts: &AtomicBool,
    ) -> io::Result<()> {
        let modified_ns = || beneath::found_open(file).map(|found| found.stamp.modified_ns);
        let begun = self.watch.begin(modified_ns);
        let done = begun.and_then(|is_changed| {
            if is_changed && !self.doubted.swap(true, Ordering::AcqRel) {
                has_doubts.store(true, Ordering::Release);
            }
            write_all(file, offset, parts)
        });
        self.watch.end(|| modified_ns().ok());
        done
    }

    /// Has somebody else written to it, which looks like this now?
    fn is_doubtful(&self, seen: FileStamp) -> bool {
        self.doubted.load(Ordering::Acquire) || self.watch.differs(seen.0.modified_ns)
    }

    pub(super) fn set_place(&self, place: Place, found: Option<Found>) {
        self.present_len.store(found.map_or(0, |found| found.len), Ordering::Relaxed);
        self.inode.store(found.map_or(0, |found| found.stamp.inode), Ordering::Relaxed);
        self.place.store(place as u8, Ordering::Release);
    }
}

impl FileStore {
    /// Takes over the description; touches nothing.
    ///
    /// # Errors
    /// `UnsafePath` and `Inconsistent`.
    pub(super) fn new(id: u64, config: StoreConfig) -> Result<Self, Error> {
        if config.wanted.len() != config.files.len() {
            return Err(Error::Inconsistent("one choice a file"));
        }
        let extents = Extents::new(config.files.iter().map(|file| (file.len, file.is_pad)));
        if extents.total_len() != config.layout.total_len() {
            return Err(Error::Inconsistent("files and pieces differ in length"));
        }
        let real = config.files.iter().filter(|file| !file.is_pad).map(|file| &file.path);
        let linked = config.symlinks.iter().map(|(at, _)| at);
        if let Some(path) = real.chain(linked).find(|path| !beneath::is_plain(path)) {
            return Err(Error::UnsafePath { path: path.clone() });
        }
        let entries = config.files.into_iter().zip(config.wanted).map(|(file, wanted)| Entry {
            path: file.path,
            len: file.len,
            is_pad: file.is_pad,
            wanted: AtomicBool::new(wanted),
            remaining: AtomicU64::new(file.len),
            place: AtomicU8::new(Place::Nowhere as u8),
            present_len: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            allocated: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            renamed: AtomicBool::new(false),
            concluding: AtomicBool::new(false),
            watch: Watch::default(),
            doubted: AtomicBool::new(false),
        });
        let entries: Vec<Entry> = entries.collect();
        Ok(Self {
            id,
            base: Base::new(config.dir),
            extents,
            odd_parts: odd_parts(&entries),
            entries,
            links: config.symlinks,
            allocate: config.allocate,
            overwrite: config.overwrite,
            has_doubts: AtomicBool::new(false),
        })
    }

    /// The files that have bytes of their own on disk, with their numbers.
    pub(super) fn real(&self) -> impl Iterator<Item = (FileIndex, &Entry)> + '_ {
        (0u32..).map(FileIndex).zip(&self.entries).filter(|(_, entry)| !entry.is_pad)
    }

    pub(super) fn entry(&self, file: FileIndex) -> &Entry {
        &self.entries[file.0 as usize]
    }

    /// The name while it is unfinished, relative to the directory.
    pub(super) fn part_path(&self, file: FileIndex) -> PathBuf {
        let plain = || with_suffix(&self.entry(file).path, ".part");
        self.odd_parts.get(&file.0).cloned().unwrap_or_else(plain)
    }

    /// Where the file is, or would be made, relative to the directory.
    pub(super) fn path_now(&self, file: FileIndex) -> PathBuf {
        match self.entry(file).place() {
            Place::Final => self.entry(file).path.clone(),
            // Files without bytes are never unfinished.
            _ if self.entry(file).len == 0 => self.entry(file).path.clone(),
            _ => self.part_path(file),
        }
    }

    /// Renames a final file that is not whole back to its unfinished name.
    pub(super) fn reopen(&self, file: FileIndex) -> Result<(), Error> {
        let entry = self.entry(file);
        // An empty file has one name only, and is cut when it is made.
        let place = if entry.len == 0 { Place::Nowhere } else { Place::Part };
        if place == Place::Part {
            let renamed = self.base.rename(&entry.path, &self.part_path(file));
            renamed.map_err(|error| Error::io("renaming", self.base.full(&entry.path), error))?;
        }
        entry.place.store(place as u8, Ordering::Release);
        Ok(())
    }

    /// Cuts what is behind the end of a file.
    pub(super) fn trim(&self, file: FileIndex) -> Result<(), Error> {
        let cut = self.open(file, Access::Write);
        let path = || self.base.full(&self.path_now(file));
        cut.map(drop).map_err(|error| Error::io("cutting", path(), error))
    }

    /// The parts of files that are on disk among these bytes.
    fn real_slices(&self, offset: u64, len: u64) -> impl Iterator<Item = FileSlice> + '_ {
        self.extents.slices(offset, len).filter(|slice| !slice.is_pad)
    }

    pub(super) fn with_file<T>(
        &self,
        handles: &mut Handles,
        file: FileIndex,
        access: Access,
        work: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, Error> {
        let entry = self.entry(file);
        let epoch = entry.epoch.load(Ordering::Acquire);
        let key = Key { store: self.id, file: file.0, epoch, access };
        let open = || self.open(file, access);
        handles.file(key, open).and_then(work).map_err(|error| {
            let operation = if access == Access::Read { "reading" } else { "writing" };
            Error::io(operation, self.base.full(&entry.path), error)
        })
    }

    pub(super) fn open(&self, file: FileIndex, access: Access) -> io::Result<File> {
        let opened = self.base.open(&self.path_now(file), access)?;
        if access == Access::Write {
            self.on_open(self.entry(file), &opened)?;
        }
        Ok(opened)
    }

    /// Is the open file the one that we know, where one is known?
    pub(super) fn is_ours(&self, file: FileIndex, opened: &File) -> io::Result<bool> {
        let known = self.entry(file).inode.load(Ordering::Acquire);
        Ok(known == 0 || beneath::found_open(opened)?.stamp.inode == known)
    }

    /// Notes which file it is, and gives it its length and space the first time.
    fn on_open(&self, entry: &Entry, opened: &File) -> io::Result<()> {
        let found = beneath::found_open(opened)?;
        // Another inode than before means that somebody replaced the file: the first one stays
        // noted, so that it shows when the file is concluded.
        let inode = found.stamp.inode;
        let _ = entry.inode.compare_exchange(0, inode, Ordering::AcqRel, Ordering::Acquire);
        let nowhere = Place::Nowhere as u8;
        let here = if entry.len == 0 { Place::Final } else { Place::Part } as u8;
        // Fails when the place is known already, which is as good.
        let _ = entry.place.compare_exchange(nowhere, here, Ordering::AcqRel, Ordering::Acquire);
        if entry.allocated.load(Ordering::Acquire) {
            return Ok(());
        }
        // Two workers may both do this: neither changes what the other wrote.
        if found.len > entry.len || (found.len < entry.len && self.allocate == Allocate::Sparse) {
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
        // It may have been made just now.
        entry.renamed.store(true, Ordering::Release);
        Ok(())
    }

    /// Gives a whole file its final name, or tells why not. None when it is not due.
    fn conclude(&self, file: FileIndex) -> Option<FileNews> {
        pulse::beat();
        let entry = self.entry(file);
        if !entry.wanted_now() || entry.concluding.swap(true, Ordering::AcqRel) {
            return None;
        }
        let due = entry.is_whole() && entry.place() != Place::Final;
        let news = due.then(|| {
            self.try_conclude(file).unwrap_or_else(|(error, recheck)| {
                if recheck {
                    self.forget(file);
                }
                FileNews::Trouble { file, error, recheck }
            })
        });
        entry.concluding.store(false, Ordering::Release);
        news
    }

    fn try_conclude(&self, file: FileIndex) -> Result<FileNews, (Error, bool)> {
        let entry = self.entry(file);
        let full = self.base.full(&entry.path);
        let fail = |operation| {
            let full = full.clone();
            move |error: io::Error| (Error::io(operation, full, error), false)
        };
        if entry.len == 0 {
            return self.conclude_empty(file).map_err(fail("making"));
        }
        let stamp = self.undisturbed(file).map_err(|error| {
            // That it cannot be looked at says nothing of its bytes.
            let recheck = matches!(error, Error::Disturbed { .. });
            (error, recheck)
        })?;
        if entry.is_doubtful(stamp) {
            return Ok(self.doubted(file, stamp));
        }
        match self.base.stat(&entry.path).map_err(fail("looking at"))? {
            Some(found) if !found.is_file => return Err((Error::NotAFile { path: full }, false)),
            Some(_) if !self.overwrite => return Err((Error::Exists { path: full }, false)),
            _ => {}
        }
        self.base.rename(&self.part_path(file), &entry.path).map_err(fail("renaming"))?;
        entry.place.store(Place::Final as u8, Ordering::Release);
        entry.renamed.store(true, Ordering::Release);
        Ok(FileNews::Done { file, stamp })
    }

    fn conclude_empty(&self, file: FileIndex) -> io::Result<FileNews> {
        let entry = self.entry(file);
        let opened = self.base.open(&entry.path, Access::Write)?;
        self.on_open(entry, &opened)?;
        Ok(FileNews::Done { file, stamp: FileStamp(beneath::found_open(&opened)?.stamp) })
    }

    /// Is the file that we wrote still there, in its full length?
    fn undisturbed(&self, file: FileIndex) -> Result<FileStamp, Error> {
        let entry = self.entry(file);
        let path = self.path_now(file);
        let full = self.base.full(&path);
        let inode = entry.inode.load(Ordering::Relaxed);
        let what = match self.base.stat(&path) {
            Err(error) => return Err(Error::io("looking at", full, error)),
            Ok(None) => "deleted",
            Ok(Some(found)) if !found.is_file || found.stamp.inode != inode => "replaced",
            Ok(Some(found)) if found.len != entry.len => "cut or extended",
            Ok(Some(found)) => return Ok(FileStamp(found.stamp)),
        };
        Err(Error::Disturbed { path: full, what })
    }

    fn doubted(&self, file: FileIndex, seen: FileStamp) -> FileNews {
        let path = self.base.full(&self.path_now(file));
        FileNews::Doubted { file, seen, error: Error::Disturbed { path, what: "written to" } }
    }

    /// What is wrong with a file that has its final name.
    fn look_over(&self, file: FileIndex) -> Option<FileNews> {
        pulse::beat();
        match self.undisturbed(file) {
            Ok(seen) if self.entry(file).is_doubtful(seen) => Some(self.doubted(file, seen)),
            Ok(_) => None,
            Err(error @ Error::Disturbed { .. }) => {
                self.forget(file);
                Some(FileNews::Trouble { file, error, recheck: true })
            }
            Err(error) => Some(FileNews::Trouble { file, error, recheck: false }),
        }
    }

    /// Looks for the file anew and stops using what is open of it.
    fn forget(&self, file: FileIndex) {
        let entry = self.entry(file);
        entry.epoch.fetch_add(1, Ordering::AcqRel);
        entry.watch.reset(None);
        entry.doubted.store(false, Ordering::Release);
        entry.allocated.store(false, Ordering::Release);
        let look = |path: &Path| self.base.stat(path).ok().flatten().filter(|found| found.is_file);
        match (look(&entry.path), look(&self.part_path(file))) {
            (Some(found), _) => entry.set_place(Place::Final, Some(found)),
            (None, Some(found)) => entry.set_place(Place::Part, Some(found)),
            (None, None) => entry.set_place(Place::Nowhere, None),
        }
    }
}

impl Store for FileStore {
    fn write(&self, handles: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let mut cursor = Cursor { parts, begin: 0 };
        for slice in self.extents.slices(offset, len) {
            let taken = cursor.take(slice.len);
            if slice.is_pad {
                continue;
            }
            let entry = self.entry(slice.file);
            self.with_file(handles, slice.file, Access::Write, |file| {
                entry.write(file, slice.offset_in_file, &taken, &self.has_doubts)
            })?;
            // After the write: a sync that began before it does not cover it.
            entry.dirty.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn read(&self, handles: &mut Handles, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let mut rest = into;
        for slice in self.extents.slices(offset, rest.len() as u64) {
            let (mine, behind) = std::mem::take(&mut rest).split_at_mut(slice.len as usize);
            rest = behind;
            if slice.is_pad {
                mine.fill(0);
                continue;
            }
            self.with_file(handles, slice.file, Access::Read, |file| {
                file.read_exact_at(mine, slice.offset_in_file)
            })?;
        }
        Ok(())
    }

    fn read_ahead(&self, handles: &mut Handles, offset: u64, len: u64) -> Result<(), Error> {
        for slice in self.real_slices(offset, len) {
            self.with_file(handles, slice.file, Access::Read, |file| {
                let len = NonZeroU64::new(slice.len);
                Ok(fadvise(file, slice.offset_in_file, len, Advice::WillNeed)?)
            })?;
        }
        Ok(())
    }

    fn look_around(&self) -> Option<Gone> {
        Gone::of(&self.base)
    }

    fn is_present(&self, offset: u64, len: u64) -> bool {
        self.real_slices(offset, len).all(|slice| {
            let present = self.entry(slice.file).present_len.load(Ordering::Relaxed);
            slice.offset_in_file + slice.len <= present
        })
    }

    fn sync(&self, handles: &mut Handles) -> Vec<(FileIndex, Unsynced)> {
        self.bring_to_device(handles)
    }

    fn doubts(&self) -> Vec<FileIndex> {
        if !self.has_doubts.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let doubted = self.real().filter(|(_, entry)| entry.doubted.load(Ordering::Acquire));
        doubted.map(|(file, _)| file).collect()
    }

    fn mark_unsynced(&self, offset: u64, len: u64) {
        for slice in self.real_slices(offset, len) {
            self.entry(slice.file).dirty.store(true, Ordering::Release);
            self.entry(slice.file).renamed.store(true, Ordering::Release);
        }
    }

    fn stamps(&self, whole: bool) -> Vec<(FileIndex, FileStamp)> {
        let asked = self.real().filter(|(_, entry)| !whole || entry.is_whole());
        let look = |file| self.look(file, self.entry(file).place()).ok().flatten();
        let stamp = |(file, entry): (FileIndex, &Entry)| {
            let seen = FileStamp(look(file)?.stamp);
            Some((file, if entry.is_doubtful(seen) { FileStamp(Stamp::OF_NO_FILE) } else { seen }))
        };
        asked.filter_map(stamp).collect()
    }

    fn verified(&self, offset: u64, len: u64) -> Vec<FileNews> {
        let due = self.real_slices(offset, len).filter(|slice| {
            let remaining = &self.entry(slice.file).remaining;
            remaining.fetch_sub(slice.len, Ordering::AcqRel) == slice.len
        });
        due.filter_map(|slice| self.conclude(slice.file)).collect()
    }

    fn range(&self, file: FileIndex) -> Range<u64> {
        self.extents.file_range(file)
    }

    fn touches(&self, file: FileIndex, offset: u64, len: u64) -> bool {
        let range = self.extents.file_range(file);
        offset < range.end && range.start < offset.saturating_add(len)
    }

    fn unverified(&self, offset: u64, len: u64) {
        for slice in self.real_slices(offset, len) {
            self.entry(slice.file).remaining.fetch_add(slice.len, Ordering::AcqRel);
        }
    }

    fn want(&self, wanted: &[bool]) -> Vec<FileNews> {
        for (entry, wanted) in self.entries.iter().zip(wanted) {
            entry.wanted.store(*wanted, Ordering::Relaxed);
        }
        self.real().filter_map(|(file, _)| self.conclude(file)).collect()
    }

    fn settle(&self, file: FileIndex, seen: FileStamp) -> Option<FileNews> {
        let entry = self.entry(file);
        entry.doubted.store(false, Ordering::Release);
        entry.watch.reset(Some(seen.0.modified_ns));
        match entry.place() {
            Place::Final if entry.is_whole() => self.look_over(file),
            _ => self.conclude(file),
        }
    }

    fn finish(&self) -> Vec<FileNews> {
        let mut news = Vec::new();
        for (file, entry) in self.real().filter(|(_, entry)| entry.wanted_now()) {
            if !entry.is_whole() {
                let error = Error::Unfinished { path: self.base.full(&entry.path) };
                news.push(FileNews::Trouble { file, error, recheck: false });
            } else if entry.place() != Place::Final {
                news.extend(self.conclude(file));
            } else {
                news.extend(self.look_over(file));
            }
        }
        for (at, content) in &self.links {
            let safe = beneath::link_stays_inside(at, content);
            if let Err(error) = if safe { self.base.link(content, at) } else { Ok(()) } {
                tracing::warn!(link = %at.display(), %error, "cannot make a symbolic link");
            }
        }
        news
    }
}

/// A walk along scattered parts.
struct Cursor<'a> {
    parts: &'a [&'a [u8]],
    begin: usize,
}

impl<'a> Cursor<'a> {
    /// The next `len` bytes.
    fn take(&mut self, len: u64) -> Vec<&'a [u8]> {
        let mut taken = Vec::with_capacity(self.parts.len());
        let mut left = len;
        while let (Some((part, behind)), true) = (self.parts.split_first(), left > 0) {
            let rest = &part[self.begin..];
            let count = left.min(rest.len() as u64);
            taken.push(&rest[..count as usize]);
            left -= count;
            self.begin += count as usize;
            if self.begin == part.len() {
                (self.parts, self.begin) = (behind, 0);
            }
        }
        taken
    }
}

/// The most buffers one system call takes (IOV_MAX of Linux).
const BUFFERS_MAX: usize = 1024;

fn write_all(file: &File, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    for parts in parts.chunks(BUFFERS_MAX) {
        let mut buffers: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = buffers.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The longest name in bytes that common file systems take.
pub(super) const NAME_LEN_MAX: usize = 255;

/// Names of unfinished files for those whose `NAME.part` is another file of the torrent, or
/// longer than file systems take.
fn odd_parts(entries: &[Entry]) -> HashMap<u32, PathBuf> {
    let names: HashSet<&Path> = entries.iter().map(|entry| entry.path.as_path()).collect();
    let mut odd = HashMap::new();
    for (file, entry) in (0u32..).zip(entries).filter(|(_, entry)| !entry.is_pad) {
        let plain = with_suffix(&entry.path, ".part");
        let too_long = plain.file_name().is_some_and(|name| name.len() > NAME_LEN_MAX);
        if !too_long && !names.contains(plain.as_path()) {
            continue;
        }
        let name = entry.path.file_name().unwrap_or_default();
        let short = entry.path.with_file_name(cut(name, NAME_LEN_MAX - 40));
        let tries = (0u32..).map(|again| with_suffix(&short, &format!(".{file}-{again}.part")));
        odd.extend(
            tries.into_iter().find(|path| !names.contains(path.as_path())).map(|p| (file, p)),
        );
    }
    odd
}

/// The name, cut to at most `len_max` bytes, between characters where it is UTF-8.
pub(super) fn cut(name: &OsStr, len_max: usize) -> OsString {
    match name.to_str() {
        Some(text) => text[..text.floor_char_boundary(len_max)].into(),
        None => OsStr::from_bytes(&name.as_bytes()[..len_max.min(name.len())]).to_owned(),
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}

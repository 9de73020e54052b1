//! The torrent's files. A file is `NAME.part` until all its pieces are verified, then `NAME`.
//! Bytes of files that are not wanted, but share a piece with one that is, go to a file that holds
//! such edges only (`edges`), until more of it comes (`unfold`). Decides nothing about pieces. What
//! files are made and taken over is in `making`, when they get their names in `conclude`.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::fs::{Advice, fadvise};

use crate::base::extents::{Extents, FileSlice};
use crate::base::ids::FileIndex;

use super::beneath::{self, Access, Base, Found, Stamp};
use super::config::{Allocate, StoreConfig};
use super::edges::{Edges, Form};
use super::error::Error;
use super::footing::Gone;
use super::glance::Glance;
use super::handles::{Handles, Key};
use super::in_use;
use super::part_names::PartNames;
use super::scatter::{Cursor, write_all};
use super::store::{FileNews, FileStamp, Store, Unsynced};
use super::watch::Watch;

/// One torrent's files below one directory.
#[derive(Debug)]
pub(super) struct FileStore {
    /// Tells this store's open files from others' in a worker's cache.
    id: u64,
    pub(super) base: Base,
    pub(super) extents: Extents,
    pub(super) entries: Vec<Entry>,
    pub(super) parts: PartNames,
    links: Vec<(PathBuf, PathBuf)>,
    pub(super) allocate: Allocate,
    pub(super) overwrite: bool,
    /// Others were found to write to a file, and nobody has asked for that yet.
    pub(super) has_doubts: AtomicBool,
    /// A file was made, and nobody has asked for that yet.
    pub(super) has_made: AtomicBool,
    /// Tells this store's unfinished files from those of others in this process.
    pub(super) writer: u64,
}

/// Counts the stores of this process.
static WRITERS: AtomicU64 = AtomicU64::new(1);

impl Drop for FileStore {
    fn drop(&mut self) {
        in_use::release_all(self.writer);
    }
}

/// What is known of one file. Workers meet here, in atomics only.
#[derive(Debug)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub len: u64,
    pub is_pad: bool,
    pub wanted: AtomicBool,
    /// What is kept of it while it is not wanted, if that is not all or nothing.
    pub edges: Option<Edges>,
    /// Unfinished, it is a file that holds these only.
    pub(super) in_edges: AtomicBool,
    /// There was such a file when it was looked for.
    pub(super) saw_edges: AtomicBool,
    /// Bytes not verified yet. Who brings it to zero gives the final name.
    pub remaining: AtomicU64,
    /// Under which name it is: a [`Place`].
    place: AtomicU8,
    /// Its unfinished name is one that only this torrent gives: the plain one is somebody else's.
    pub(super) has_own_part: AtomicBool,
    /// We made it, or the record says that it is ours, or it was right.
    pub(super) ours: AtomicBool,
    /// Made since the record was told last.
    pub(super) made: AtomicBool,
    /// It has its final name and is not ours, though it may be right: it is compared with what
    /// comes, and never written to.
    pub(super) guarded: AtomicBool,
    /// It was to be written to, and is not there, or another one is.
    pub(super) is_gone: AtomicBool,
    /// It has no bytes, and cannot be made, which matters to nobody.
    pub(super) excused: AtomicBool,
    /// Bytes on disk when last looked at.
    pub present_len: AtomicU64,
    /// The inode we use; 0 before the first look.
    pub(super) inode: AtomicU64,
    /// The inode of our unfinished file when one of its own name came to stand, which counts
    /// instead; 0 when there is none.
    pub(super) left_over: AtomicU64,
    /// Rises when the file was found replaced, so that open handles of the old one are not
    /// used again.
    pub(super) epoch: AtomicU32,
    /// Its space is set.
    pub(super) allocated: AtomicBool,
    /// Written since the last sync.
    pub(super) dirty: AtomicBool,
    /// Made or renamed since the last sync: its directory knows it only in memory.
    pub(super) renamed: AtomicBool,
    /// How many have asked that it be given its final name, since one of them began.
    pub(super) concluding: AtomicU32,
    /// Tells whether others write to it.
    pub(super) watch: Watch,
    /// They did.
    pub(super) doubted: AtomicBool,
    /// It was not there when it was to be brought to the device, or looked for.
    pub(super) was_missing: AtomicBool,
    /// Its time of change as our last write left it, or as it was before what was read of it;
    /// nanoseconds since 1970, 0 when it is not known.
    left_ns: AtomicI64,
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

    /// Which of its bytes what is on disk holds, or would hold.
    pub(super) fn form(&self) -> Form {
        match self.edges {
            Some(edges) if self.in_edges() && self.place() != Place::Final => Form::Edges(edges),
            _ => Form::Plain,
        }
    }

    pub(super) fn in_edges(&self) -> bool {
        self.in_edges.load(Ordering::Acquire)
    }

    /// How long the file on disk may be.
    pub(super) fn len_max(&self) -> u64 {
        match self.form() {
            Form::Plain => self.len,
            Form::Edges(edges) => edges.len(),
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours.load(Ordering::Acquire)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// Wanted by the user, and on disk at all?
    pub(super) fn wanted_now(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && !self.is_pad
    }

    /// Writes, and notes when somebody else did.
    fn write(
        &self,
        file: &File,
        offset: u64,
        parts: &[&[u8]],
        has_doubts: &AtomicBool,
    ) -> io::Result<()> {
        let left = || {
            let found = beneath::found_open(file).ok();
            self.note_left(found);
            found.map(|found| found.stamp.modified_ns)
        };
        let begun = self.watch.begin(self.seen_ns(), || match beneath::found_open(file)? {
            // Bytes would go where nobody finds them, and the more of them the later it shows.
            found if found.is_deleted => {
                self.is_gone.store(true, Ordering::Release);
                Err(io::Error::other("it was deleted by somebody else"))
            }
            found => Ok(found.stamp.modified_ns),
        });
        let done = begun.and_then(|is_changed| {
            if is_changed && !self.doubted.swap(true, Ordering::AcqRel) {
                has_doubts.store(true, Ordering::Release);
            }
            write_all(file, offset, parts)
        });
        self.watch.end(left);
        done
    }

    /// Has somebody else written to it, which looks like this now?
    pub(super) fn is_doubtful(&self, seen: FileStamp) -> bool {
        self.doubted.load(Ordering::Acquire)
            || self.watch.differs(self.seen_ns(), seen.0.modified_ns)
    }

    /// What is read of it from now on was so when it was looked at, if its time of change is still
    /// the same then. With none, what [`note_left`](Self::note_left) was told counts; while we
    /// write to it nothing is known.
    pub(super) fn expect_unchanged(&self, found: Option<Found>) {
        self.watch.reset(found.map(|found| found.stamp.modified_ns));
    }

    /// It looks like this before it is read, or after a write of ours; with none nothing is known.
    pub(super) fn note_left(&self, found: Option<Found>) {
        self.left_ns.store(found.map_or(0, |found| found.stamp.modified_ns), Ordering::Release);
    }

    /// We changed its length: it looked like `before` that, and looks like `now`.
    pub(super) fn on_new_len(&self, before: Found, now: Found) {
        let known = self.left_ns.load(Ordering::Acquire);
        if known == 0 || known == before.stamp.modified_ns {
            self.note_left(Some(now));
        }
    }

    /// How it was left, as far as that is known; like no file when others wrote to it since.
    fn left(&self) -> Option<FileStamp> {
        let modified_ns = self.left_ns.load(Ordering::Acquire);
        let inode = self.inode.load(Ordering::Acquire);
        let is_known = modified_ns != 0 && inode != 0 && self.place() != Place::Nowhere;
        is_known.then(|| match self.doubted.load(Ordering::Acquire) {
            true => FileStamp(Stamp::OF_NO_FILE),
            false => FileStamp(Stamp { inode, modified_ns }),
        })
    }

    /// Was it changed since it was left, where that is known?
    fn is_touched(&self, seen: Stamp) -> bool {
        self.seen_ns().is_some_and(|known| known != seen.modified_ns)
    }

    /// Its time of change as it was left, or seen, where that is known.
    fn seen_ns(&self) -> Option<i64> {
        Some(self.left_ns.load(Ordering::Acquire)).filter(|known| *known != 0)
    }

    /// Is this what stood under its own name when it was looked at last?
    pub(super) fn was_seen(&self, found: &Found) -> bool {
        let inode = self.inode.load(Ordering::Acquire);
        self.place() == Place::Final && found.stamp.inode == inode && !self.is_touched(found.stamp)
    }

    /// It is under this name now.
    pub(super) fn put(&self, place: Place) {
        self.place.store(place as u8, Ordering::Release);
    }

    pub(super) fn set_place(&self, place: Place, found: Option<Found>) {
        self.present_len.store(found.map_or(0, |found| found.len), Ordering::Relaxed);
        self.inode.store(found.map_or(0, |found| found.stamp.inode), Ordering::Relaxed);
        self.note_left(found);
        self.put(place);
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
        let choices = (0u32..).map(FileIndex).zip(config.wanted);
        let entries = config.files.into_iter().zip(choices).map(|(file, (number, wanted))| Entry {
            path: file.path,
            len: file.len,
            is_pad: file.is_pad,
            edges: Edges::of(&config.layout, &extents.file_range(number)),
            in_edges: AtomicBool::new(false),
            saw_edges: AtomicBool::new(false),
            wanted: AtomicBool::new(wanted),
            remaining: AtomicU64::new(file.len),
            place: AtomicU8::new(Place::Nowhere as u8),
            has_own_part: AtomicBool::new(false),
            ours: AtomicBool::new(false),
            made: AtomicBool::new(false),
            guarded: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            excused: AtomicBool::new(false),
            present_len: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            left_over: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            allocated: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            renamed: AtomicBool::new(false),
            concluding: AtomicU32::new(0),
            watch: Watch::default(),
            doubted: AtomicBool::new(false),
            was_missing: AtomicBool::new(false),
            left_ns: AtomicI64::new(0),
        });
        let entries: Vec<Entry> = entries.collect();
        let paths = (0u32..).zip(&entries).filter(|(_, entry)| !entry.is_pad);
        let paths = paths.map(|(file, entry)| (file, entry.path.as_path()));
        let links = config.symlinks.iter().map(|(at, _)| at.as_path());
        Ok(Self {
            id,
            base: Base::new(config.dir),
            extents,
            parts: PartNames::new(paths, links, config.info_hash),
            entries,
            links: config.symlinks,
            allocate: config.allocate,
            overwrite: config.overwrite,
            has_doubts: AtomicBool::new(false),
            has_made: AtomicBool::new(false),
            writer: WRITERS.fetch_add(1, Ordering::Relaxed),
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
        match self.entry(file).in_edges() {
            true => self.parts.edges(file.0, &self.entry(file).path),
            false => self.plain_part_path(file),
        }
    }

    /// The same, of a file that has each byte at its place.
    pub(super) fn plain_part_path(&self, file: FileIndex) -> PathBuf {
        let entry = self.entry(file);
        match entry.has_own_part.load(Ordering::Acquire) {
            true => self.parts.own(file.0, &entry.path),
            false => self.parts.plain(file.0, &entry.path),
        }
    }

    /// Where the file is, or would be made, relative to the directory.
    pub(super) fn path_now(&self, file: FileIndex) -> PathBuf {
        self.path_of(file, self.entry(file).form())
    }

    /// The same, in this form.
    fn path_of(&self, file: FileIndex, form: Form) -> PathBuf {
        let entry = self.entry(file);
        match entry.place() {
            _ if form.is_edges() => self.parts.edges(file.0, &entry.path),
            Place::Final => entry.path.clone(),
            // Files without bytes are never unfinished.
            _ if entry.len == 0 => entry.path.clone(),
            _ => self.plain_part_path(file),
        }
    }

    /// The parts of files that are on disk among these bytes.
    fn real_slices(&self, offset: u64, len: u64) -> impl Iterator<Item = FileSlice> + '_ {
        self.extents.slices(offset, len).filter(|slice| !slice.is_pad)
    }

    pub(super) fn with_file<T>(
        &self,
        handles: &mut Handles,
        file: FileIndex,
        work: impl FnOnce(&File, Form) -> io::Result<T>,
    ) -> Result<T, Error> {
        let entry = self.entry(file);
        let mut form = entry.form();
        let open = |form| move || self.base.open(&self.path_of(file, form), Access::Read);
        // Its edges may just have gone to their places.
        if form.is_edges() && handles.file(self.key(file, form, Access::Read), open(form)).is_err()
        {
            form = entry.form();
        }
        let opened = handles.file(self.key(file, form, Access::Read), open(form));
        let done = opened.and_then(|opened| work(opened, form));
        done.map_err(|error| Error::io("reading", self.base.full(&entry.path), error))
    }

    /// Works on a part of a file: with the file, and where in it the part stands.
    fn with_slice<T>(
        &self,
        handles: &mut Handles,
        slice: &FileSlice,
        work: impl FnOnce(&File, u64) -> io::Result<T>,
    ) -> Result<T, Error> {
        self.with_file(handles, slice.file, |file, form| {
            // What is not kept is missing, as it is in a file that is too short.
            work(file, form.at(slice).ok_or(io::ErrorKind::UnexpectedEof)?)
        })
    }

    fn key(&self, file: FileIndex, form: Form, access: Access) -> Key {
        let epoch = self.entry(file).epoch.load(Ordering::Acquire);
        Key { store: self.id, file: file.0, epoch, is_edges: form.is_edges(), access }
    }

    pub(super) fn open(&self, file: FileIndex, access: Access) -> io::Result<File> {
        match access {
            Access::Read => self.open_to_read(file).map(|(opened, _)| opened),
            Access::Write => self.open_to_write(&mut Glance::new(&self.base), file),
        }
    }

    /// Opens a file as it is now, and tells which form that is.
    pub(super) fn open_to_read(&self, file: FileIndex) -> io::Result<(File, Form)> {
        let form = self.entry(file).form();
        Ok((self.base.open(&self.path_of(file, form), Access::Read)?, form))
    }

    /// Is the open file the one that we know, where one is known?
    pub(super) fn is_ours(&self, file: FileIndex, opened: &File) -> io::Result<bool> {
        let known = self.entry(file).inode.load(Ordering::Acquire);
        Ok(known == 0 || beneath::found_open(opened)?.stamp.inode == known)
    }
}

impl Store for FileStore {
    fn write(&self, handles: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let mut cursor = Cursor::new(parts);
        // Many small files of one folder are made in a row.
        let glance = RefCell::new(Glance::new(&self.base));
        for slice in self.extents.slices(offset, len) {
            let taken = cursor.take(slice.len);
            if slice.is_pad {
                continue;
            }
            let entry = self.entry(slice.file);
            if self.is_there_already(&slice, &taken)? {
                // Nobody knows whether it has reached the device.
                entry.dirty.store(true, Ordering::Release);
                continue;
            }
            let written = self.make_room(&slice).and_then(|(form, at)| {
                let open = || self.open_to_write(&mut glance.borrow_mut(), slice.file);
                let file = handles.file(self.key(slice.file, form, Access::Write), open)?;
                entry.write(file, at, &taken, &self.has_doubts)
            });
            written.map_err(|error| Error::io("writing", self.base.full(&entry.path), error))?;
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
            self.with_slice(handles, &slice, |file, at| file.read_exact_at(mine, at))?;
        }
        Ok(())
    }

    fn read_ahead(&self, handles: &mut Handles, offset: u64, len: u64) -> Result<(), Error> {
        for slice in self.real_slices(offset, len) {
            self.with_slice(handles, &slice, |file, at| {
                Ok(fadvise(file, at, NonZeroU64::new(slice.len), Advice::WillNeed)?)
            })?;
        }
        Ok(())
    }

    fn look_around(&self) -> Option<Gone> {
        Gone::of(&self.base)
    }

    fn let_go(&self) {
        in_use::release_all(self.writer);
    }

    fn gone_files(&self) -> Vec<FileNews> {
        FileStore::gone_files(self)
    }

    fn back(&self, bytes: u64) -> Vec<(FileIndex, FileStamp, PathBuf)> {
        FileStore::back(self, bytes)
    }

    fn look_over(&self, offset: u64, len: u64) -> Vec<FileNews> {
        let mut glance = Glance::new(&self.base);
        let there = self.real_slices(offset, len);
        let there = there.filter(|slice| self.entry(slice.file).place() != Place::Nowhere);
        there.filter_map(|slice| self.look_over_file(&mut glance, slice.file)).collect()
    }

    fn is_present(&self, offset: u64, len: u64) -> bool {
        self.real_slices(offset, len).all(|slice| {
            let entry = self.entry(slice.file);
            let present = entry.present_len.load(Ordering::Relaxed);
            entry.form().at(&slice).is_some_and(|at| at + slice.len <= present)
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
        let mut glance = Glance::new(&self.base);
        let asked = self.real().filter(|(_, it)| it.is_ours() && (!whole || it.is_whole()));
        let stamp = |(file, entry): (FileIndex, &Entry)| {
            let found = self.look(&mut glance, file, entry.place()).ok().flatten()?;
            let seen = FileStamp(found.stamp);
            // What is whole was looked at when it became so.
            let is_other = entry.is_doubtful(seen) || !entry.is_whole() && entry.is_touched(seen.0);
            Some((file, if is_other { FileStamp(Stamp::OF_NO_FILE) } else { seen }))
        };
        asked.filter_map(stamp).collect()
    }

    fn left(&self, offset: u64, len: u64) -> Vec<(FileIndex, FileStamp)> {
        let there = self.real_slices(offset, len).map(|slice| slice.file);
        there.filter_map(|file| Some((file, self.entry(file).left()?))).collect()
    }

    fn left_unfinished(&self) -> Vec<(FileIndex, FileStamp)> {
        let unfinished = self.real().filter(|(_, entry)| !entry.is_whole());
        unfinished.filter_map(|(file, entry)| Some((file, entry.left()?))).collect()
    }

    fn made(&self) -> Vec<(FileIndex, u64)> {
        if !self.has_made.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let made = self.real().filter(|(_, entry)| entry.made.swap(false, Ordering::AcqRel));
        made.map(|(file, entry)| (file, entry.inode.load(Ordering::Acquire))).collect()
    }

    fn ours(&self) -> Vec<(FileIndex, u64)> {
        let ours = self.real().filter(|(_, entry)| entry.is_ours());
        let ours = ours.map(|(file, entry)| (file, entry.inode.load(Ordering::Acquire)));
        ours.filter(|(_, inode)| *inode > 0).collect()
    }

    fn verified(&self, offset: u64, len: u64) -> Vec<FileNews> {
        let due = self.real_slices(offset, len).filter(|slice| {
            let remaining = &self.entry(slice.file).remaining;
            remaining.fetch_sub(slice.len, Ordering::AcqRel) == slice.len
        });
        let mut glance = Glance::new(&self.base);
        due.filter_map(|slice| self.conclude(&mut glance, slice.file)).collect()
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
            let was_wanted = entry.wanted.swap(*wanted, Ordering::Relaxed);
            if *wanted && !was_wanted && !entry.allocated.load(Ordering::Acquire) {
                // It gets its space when it is opened the next time.
                entry.epoch.fetch_add(1, Ordering::AcqRel);
            }
        }
        let mut glance = Glance::new(&self.base);
        self.real().filter_map(|(file, _)| self.conclude(&mut glance, file)).collect()
    }

    fn settle(&self, file: FileIndex, seen: FileStamp) -> Option<FileNews> {
        let entry = self.entry(file);
        entry.doubted.store(false, Ordering::Release);
        entry.watch.reset(Some(seen.0.modified_ns));
        entry.left_ns.store(seen.0.modified_ns, Ordering::Release);
        match entry.place() {
            Place::Final if entry.is_whole() => {
                self.look_over_file(&mut Glance::new(&self.base), file)
            }
            _ => self.conclude(&mut Glance::new(&self.base), file),
        }
    }

    fn finish(&self) -> Vec<FileNews> {
        let mut glance = Glance::new(&self.base);
        let mut news = Vec::new();
        for (file, entry) in self.real().filter(|(_, entry)| entry.wanted_now()) {
            if !entry.is_whole() {
                let error = Error::Unfinished { path: self.base.full(&entry.path) };
                news.push(FileNews::Trouble { file, error, recheck: false });
            } else if entry.place() != Place::Final {
                news.extend(self.conclude(&mut glance, file));
            } else {
                news.extend(self.look_over_file(&mut glance, file));
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

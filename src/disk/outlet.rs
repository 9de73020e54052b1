//! Verified bytes on their way to a peer: which parts of which files they are, and these files
//! opened for reading. Whoever sends lets the system take the bytes out of its page cache, so
//! none pass through here. It does not know whether they are verified, nor who gets them.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::base::extents::FileSlice;
use crate::base::ids::FileIndex;

use super::edges::Form;
use super::files::FileStore;
use super::warmth::{STRETCH, Warmth};

/// The files of one torrent, to be read from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub(super) torrent: u64,
    pub(super) store: Arc<FileStore>,
    pub(super) senders: Arc<Semaphore>,
    pub(super) warmth: Arc<Warmth>,
}

/// A file that was opened by an [`Outlet`].
#[derive(Debug)]
pub struct OutletFile {
    /// The open file.
    pub file: File,
    index: FileIndex,
    epoch: u32,
    form: Form,
}

impl OutletFile {
    /// Has it the torrent's bytes each at its own place?
    pub fn is_whole(&self) -> bool {
        !self.form.is_edges()
    }

    /// Where in the open file this part of the torrent's file stands, if it does.
    pub fn place_of(&self, slice: &FileSlice) -> Option<u64> {
        self.form.at(slice)
    }
}

impl Outlet {
    /// Whoever waits for the disk on a thread of the runtime takes one of these first: a device
    /// that does not answer must not have them all.
    pub fn senders(&self) -> &Arc<Semaphore> {
        &self.senders
    }

    /// The parts of files that `len` bytes of the torrent from `offset` are made of, in order,
    /// pad files included.
    pub fn slices(&self, offset: u64, len: u64) -> impl Iterator<Item = FileSlice> + '_ {
        self.store.extents.slices(offset, len)
    }

    /// How many bytes of the part, from the front, were in the page cache a moment ago, as far as
    /// anybody knows who sends from the device or read from it; and how long ago.
    pub fn known_warm(&self, slice: &FileSlice, now: Instant) -> Option<(u64, Duration)> {
        self.warmth.known(self.torrent, self.place_in_torrent(slice), slice.len, now)
    }

    /// The bytes of the part were found in the page cache just now.
    pub fn note_warm(&self, slice: &FileSlice, now: Instant) {
        self.warmth.note(self.torrent, self.place_in_torrent(slice), slice.len, now);
    }

    /// The part with what stands behind it in its file, as far as is asked for at once.
    pub fn stretch_of(&self, slice: &FileSlice) -> FileSlice {
        let begin = self.place_in_torrent(slice);
        let end = (begin + slice.len).next_multiple_of(STRETCH);
        let file_end = self.store.extents.file_range(slice.file).end;
        FileSlice { len: end.min(file_end) - begin, ..*slice }
    }

    fn place_in_torrent(&self, slice: &FileSlice) -> u64 {
        self.store.extents.file_range(slice.file).start + slice.offset_in_file
    }

    /// Opens a file, which may wait for the disk a moment.
    ///
    /// # Errors
    /// The system's refusal, also when the file is gone.
    pub fn open(&self, index: FileIndex) -> io::Result<OutletFile> {
        let epoch = self.store.entry(index).epoch.load(Ordering::Acquire);
        let open = || {
            let (file, form) = self.store.open_to_read(index)?;
            match self.store.is_ours(index, &file)? {
                true => Ok(OutletFile { file, index, epoch, form }),
                false => Err(io::Error::other("the file was replaced by somebody else")),
            }
        };
        // It may just have got another name, or another form.
        open().or_else(|_| open())
    }

    /// Is `opened` this file, and still the one that the torrent uses?
    pub fn is_current(&self, opened: &OutletFile, index: FileIndex) -> bool {
        opened.index == index
            && opened.epoch == self.store.entry(index).epoch.load(Ordering::Acquire)
    }
}

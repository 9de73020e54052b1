//! The seam between the workers and where bytes lie: files, or memory with faults in tests.
//! A store is addressed by offset in the torrent. It never hashes.

use std::ops::Range;
use std::path::PathBuf;

use crate::base::ids::FileIndex;

use super::beneath::Stamp;
use super::error::Error;
use super::footing::Gone;
use super::handles::Handles;

/// What is read at once: large reads cost the fewest system calls, and 256 KiB stay in cache.
pub const READ_LEN: usize = 256 << 10;

/// Where the bytes of one torrent lie. Workers call it at the same time, each with its own
/// open files; the ranges they write never overlap. All calls may wait for the disk. What is given
/// here is for a store without names: one file that is always there.
pub trait Store: Send + Sync {
    /// Writes `parts` one after another from `offset`; all of it, or an error with some.
    ///
    /// # Errors
    /// The system's refusal, with the file's path.
    fn write(&self, handles: &mut Handles, offset: u64, parts: &[&[u8]]) -> Result<(), Error>;

    /// Fills `into` from `offset`. Pad files read as zeros.
    ///
    /// # Errors
    /// The system's refusal, also when a file is missing or too short.
    fn read(&self, handles: &mut Handles, offset: u64, into: &mut [u8]) -> Result<(), Error>;

    /// Tells the system that these bytes will be read soon. Does not wait for them.
    ///
    /// # Errors
    /// The system's refusal, also when a file is missing.
    fn read_ahead(&self, handles: &mut Handles, offset: u64, len: u64) -> Result<(), Error>;

    /// Looks whether the directory that the files are below is still at its path; what became
    /// of it if not.
    fn look_around(&self) -> Option<Gone> {
        None
    }

    /// Nothing is written any more, though there may still be readers: others may have the files.
    fn let_go(&self) {}

    /// After a failed write: files that are not there any more. They are made anew by the next
    /// one.
    fn gone_files(&self) -> Vec<FileNews> {
        Vec::new()
    }

    /// Wanted files in which something is missing, and at whose place another file stands than when
    /// that was found, of the right length; how it looks, and where. Each is in doubt, as one of
    /// `Doubted` news is. No more are looked at once they have `bytes` together.
    fn back(&self, bytes: u64) -> Vec<(FileIndex, FileStamp, PathBuf)> {
        let _ = bytes;
        Vec::new()
    }

    /// Looks at the files of these bytes: the news are about those that are not as they were when
    /// their pieces were checked.
    fn look_over(&self, offset: u64, len: u64) -> Vec<FileNews> {
        let _ = (offset, len);
        Vec::new()
    }

    /// Is there a file long enough for each of these bytes, by the last look at them? Says
    /// nothing of the content.
    fn is_present(&self, offset: u64, len: u64) -> bool;

    /// Brings what was written before the call to the device, names included. Returns the files
    /// that are not there after it.
    fn sync(&self, handles: &mut Handles) -> Vec<(FileIndex, Unsynced)>;

    /// The files that others were found to write to since this was last asked.
    fn doubts(&self) -> Vec<FileIndex> {
        Vec::new()
    }

    /// The bytes from `offset` are to be brought to the device with the next sync, whoever
    /// wrote them.
    fn mark_unsynced(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// How the files look that are there, by number; with `whole` only those that nothing is
    /// missing in.
    fn stamps(&self, whole: bool) -> Vec<(FileIndex, FileStamp)> {
        let _ = whole;
        Vec::new()
    }

    /// How the last write left the files of `len` bytes from `offset`, as far as that is known; not
    /// how they look by now.
    fn left(&self, offset: u64, len: u64) -> Vec<(FileIndex, FileStamp)> {
        let _ = (offset, len);
        Vec::new()
    }

    /// The same, of all files that something is missing in, whosever they are: or how they looked
    /// before what is right of them was read.
    fn left_unfinished(&self) -> Vec<(FileIndex, FileStamp)> {
        Vec::new()
    }

    /// The files that were made since this was last asked, with their inodes.
    fn made(&self) -> Vec<(FileIndex, u64)> {
        Vec::new()
    }

    /// The files that are ours, whatever is in them, with their inodes.
    fn ours(&self) -> Vec<(FileIndex, u64)> {
        Vec::new()
    }

    /// `len` bytes from `offset` are verified and written, for the first time. Files that
    /// are whole by that get their final name; the news are about these.
    fn verified(&self, offset: u64, len: u64) -> Vec<FileNews> {
        let _ = (offset, len);
        Vec::new()
    }

    /// The bytes of the torrent that this file has.
    fn range(&self, file: FileIndex) -> Range<u64> {
        let _ = file;
        0..u64::MAX
    }

    /// Are there bytes of this file among `len` bytes from `offset`?
    fn touches(&self, file: FileIndex, offset: u64, len: u64) -> bool {
        let _ = (file, offset, len);
        true
    }

    /// `len` bytes from `offset`, once verified, are not right any more.
    fn unverified(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// The user's choice of files changed; one entry a file. Makes empty files and gives
    /// final names that are due.
    fn want(&self, wanted: &[bool]) -> Vec<FileNews> {
        let _ = wanted;
        Vec::new()
    }

    /// The bytes of a file whose look was `seen` were read, and what is wrong of them is not
    /// verified any more: it counts as undisturbed, unless it looks otherwise by now.
    /// Called for files of `Doubted` news, and those that are [`back`](Self::back), only.
    fn settle(&self, file: FileIndex, seen: FileStamp) -> Option<FileNews> {
        let _ = (file, seen);
        None
    }

    /// Looks at every wanted file before the torrent is called done, and makes the links.
    fn finish(&self) -> Vec<FileNews> {
        Vec::new()
    }
}

/// Which file it is and when it was last changed, as the record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStamp(pub(super) Stamp);

/// Why a file is not on the device after a sync.
#[derive(Debug)]
pub enum Unsynced {
    /// The device refused. What was written since the last sync is lost, though it may still
    /// read as if it was there, and the next sync would not say so again.
    Lost(Error),
    /// It could not be opened for that; nothing is known, and it is tried again.
    Unknown(Error),
}

/// What became of a file.
#[derive(Debug)]
pub enum FileNews {
    /// It is whole, and has its final name.
    Done {
        /// The file.
        file: FileIndex,
        /// How it looked then.
        stamp: FileStamp,
    },
    /// Somebody else may have written to it since: its bytes must be read, and then
    /// [`Store::settle`] be called.
    Doubted {
        /// The file.
        file: FileIndex,
        /// How it looks now.
        seen: FileStamp,
        /// What to say of it, when something is wrong.
        error: Error,
    },
    /// It is not as we left it, or could not get its name. When `recheck`, its bytes are in
    /// doubt.
    Trouble {
        /// The file.
        file: FileIndex,
        /// Why.
        error: Error,
        /// Must its pieces be checked again?
        recheck: bool,
    },
}

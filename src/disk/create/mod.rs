//! Making a torrent of what is on disk: find the files, hash them on all cores, write down
//! what they are. Blocking; for a thread that may wait. Not here: the format
//! (`metainfo::create`), and where the .torrent is written.

mod hash;
mod record;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::base::digest::Sha256Hash;
use crate::metainfo::Torrent;
use crate::metainfo::create::{self as format, Content, CreateOptions, Plan};

use super::beneath::Stamp;
use super::error::Error as DiskError;
use super::sums::{self, Tap};

pub use record::is_unchanged;
pub use walk::Skipped;

/// How far the hashing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes hashed.
    pub done_bytes: u64,
    /// Bytes to hash in all.
    pub total_bytes: u64,
}

/// A torrent that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The bytes of the .torrent file.
    pub bytes: Vec<u8>,
    /// The same, read back.
    pub torrent: Torrent,
    /// What was found and left out: links, pipes, sockets, devices.
    pub skipped: Vec<Skipped>,
    /// The SHA-256 of each file in the torrent's order, padding left out; none when they were not
    /// asked for.
    pub sums: Vec<Sha256Hash>,
    /// How each file looked while it was read, in the torrent's order.
    stamps: Vec<Stamp>,
}

/// Why no torrent was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing of that name.
    #[error("{}: no such file or directory", .path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// A pipe, socket or device.
    #[error("{} is neither a file nor a directory: it cannot be shared", .path.display())]
    Special {
        /// What was asked for.
        path: PathBuf,
    },
    /// A name that is not UTF-8, as names in torrents are (BEP 3).
    #[error("the name of {} is not UTF-8: rename it", .path.display())]
    NotUtf8 {
        /// Whose name.
        path: PathBuf,
    },
    /// `/` has no name.
    #[error("{} has no name that the torrent could have: choose one with --name", .path.display())]
    NoName {
        /// What was asked for.
        path: PathBuf,
    },
    /// The options or the names do not make a good torrent.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// The system refused to read something.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file was written, cut or replaced meanwhile: the hashes would be of neither state.
    #[error("{} changed while it was read: try again when nobody writes to it", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The caller asked to end.
    #[error("stopped before everything was hashed: no torrent was made")]
    Aborted,
}

/// Makes a torrent of a file, or of a directory with all regular files below it, hidden ones
/// too. `path` itself may be a link; below it none is followed. Waits for the disk and keeps
/// all cores busy; holds at most `memory_bytes` of it. `progress` is called by several threads, at
/// least once a MiB; a true `abort` ends the work within a moment.
///
/// # Errors
/// See [`Error`]. Nothing is ever written.
pub fn create(
    path: &Path,
    options: &CreateOptions,
    memory_bytes: usize,
    progress: &(dyn Fn(Progress) + Sync),
    abort: &AtomicBool,
) -> Result<Created, Error> {
    make(path, options, memory_bytes, progress, abort, false)
}

/// The same, and the SHA-256 of each file from the same reading, with one thread to read and one
/// to sum.
///
/// # Errors
/// As [`create`].
pub fn create_and_sum(
    path: &Path,
    options: &CreateOptions,
    memory_bytes: usize,
    progress: &(dyn Fn(Progress) + Sync),
    abort: &AtomicBool,
) -> Result<Created, Error> {
    make(path, options, memory_bytes, progress, abort, true)
}

fn make(
    path: &Path,
    options: &CreateOptions,
    memory_bytes: usize,
    progress: &(dyn Fn(Progress) + Sync),
    abort: &AtomicBool,
    sums: bool,
) -> Result<Created, Error> {
    let found = walk::walk(path, abort)?;
    let name = match (&options.name, found.name) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name,
        (None, None) => return Err(Error::NoName { path: path.to_owned() }),
    };
    let files: Vec<_> = found.files.iter().map(|file| file.source.clone()).collect();
    let content = match (&found.single, files.as_slice()) {
        (Some(_), [file]) => Content::File(file.clone()),
        _ => Content::Directory(files),
    };
    let plan = Plan::new(&name, content, options)?;
    let reading = hash::Reading {
        plan: &plan,
        base: &found.base,
        single: found.single.as_deref(),
        files: &found.files,
        progress,
        tap: None,
        abort,
    };
    let (hashed, sums) = match sums {
        false => (reading.hash_all(memory_bytes)?, Vec::new()),
        true => {
            let lens: Vec<u64> = plan.files().iter().map(|file| file.length).collect();
            let read =
                |tap: &Tap| hash::Reading { tap: Some(tap), ..reading }.hash_all(memory_bytes);
            let (hashed, sums) = sums::beside(&lens, read);
            let hashed = hashed?;
            // All was read, and in order: a sum that lacks would give the others wrong names.
            let all: Option<Vec<Sha256Hash>> = sums.into_iter().collect();
            (hashed, all.ok_or_else(|| Error::Changed { path: path.to_owned() })?)
        }
    };
    let bytes = plan.finish(&hashed.pieces, &hashed.nodes);
    let torrent = Torrent::parse(&bytes).map_err(format::Error::Refused)?;
    let stamps = found.files.iter().map(|file| file.stamp).collect();
    Ok(Created { bytes, torrent, skipped: found.skipped, sums, stamps })
}

//! A torrent of a file or a directory, from finding its files to the bytes of the .torrent. Not
//! here: how files are found (`walk`) and hashed (`hash`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::base::digest::Sha256Hash;
use crate::disk::beneath::Stamp;
use crate::disk::sums::{self, Tap};
use crate::metainfo::Torrent;
use crate::metainfo::create::{self as format, Content, CreateOptions, Plan};

use super::error::Error;
use super::hash::{Progress, Reading};
use super::walk::{Skipped, walk};

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
    pub(super) stamps: Vec<Stamp>,
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
    let found = walk(path, abort)?;
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
    let reading = Reading {
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
            let read = |tap: &Tap| Reading { tap: Some(tap), ..reading }.hash_all(memory_bytes);
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

//! Which record a torrent has whose files are below a directory. One program may seed it here while
//! another fetches it there: each place has what is verified in it to itself.
//!
//! The first one has the record of the torrent's name, `<info-hash>.resume`, and whoever comes
//! when nobody else runs goes on with it, wherever that is. While another process has it for other
//! files, a place gets a record of its own, with a hash of its path behind the name, and keeps it.
//! That two never write to one place, whatever their records say, is the locks' ([`super::lock`]).

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::ids::InfoHash;

use super::format;
use super::home::{Home, lasting};
use super::loaded::FILE_LEN_MAX;
use super::lock::{RecordLock, Reserved, is_with_others, place_of};

/// The record of a torrent whose files are, or will be, below `dir`. Waits for the disk; changes
/// nothing. Opening it tells whether it is free.
pub fn record_of(state_dir: &Path, info_hash: InfoHash, dir: &Path) -> PathBuf {
    let dir = lasting(dir);
    let place = place_of(info_hash, &dir);
    let first = state_dir.join(format!("{info_hash}.resume"));
    let own = state_dir.join(format!("{info_hash}-{place:016x}.resume"));
    if own.exists() || home_is_meant(&first, info_hash, &dir) {
        return if own.exists() { own } else { first };
    }
    // Files of another place may have been moved here. Without a first record there is no other.
    if let Some(moved) = first.exists().then(|| moved_to(state_dir, info_hash, &dir)).flatten() {
        return moved;
    }
    let is_elsewhere = is_with_others(&first, None)
        // It may have just begun there, and its record not say so yet.
        && !is_with_others(&first, Some(place));
    if is_elsewhere { own } else { first }
}

/// Reserves the record at this path, of a torrent whose files are below `dir`; none when somebody
/// has it.
pub fn reserve(record: &Path, info_hash: InfoHash, dir: &Path) -> Option<Reserved> {
    let mut lock = RecordLock::take(record).ok()?;
    lock.take_place(record, place_of(info_hash, dir)).ok()?;
    Some(lock.into())
}

/// Has a process the record at this path? Our own records are not asked for. Changes nothing.
pub fn is_used(record: &Path) -> bool {
    is_with_others(record, None)
}

/// Where a torrent's files are for somebody who names this directory, if its record knows of any.
/// Waits for the disk; changes nothing.
pub fn home_of(state_dir: &Path, info_hash: InfoHash, dir: &Path) -> Option<Home> {
    let bytes = bytes_of(&record_of(state_dir, info_hash, dir))?;
    let dir = lasting(dir);
    format::homes(&bytes, info_hash).into_iter().find(|home| home.is_meant_by(&dir))
}

/// Forgets the record of files that were moved from `dir` to another directory, for who means
/// `dir` and begins anew there. The files stay. Nothing, where somebody has them, or the move is
/// not over. Waits for the disk.
pub fn forget_moved(record: &Path, info_hash: InfoHash, dir: &Path) {
    let here = lasting(dir);
    let homes = bytes_of(record).map_or_else(Vec::new, |bytes| format::homes(&bytes, info_hash));
    let is_here = homes.iter().any(|home| home.dir == here);
    if is_here || !homes.iter().any(|home| home.is_meant_by(&here)) {
        return;
    }
    let Some(home) = homes.first().filter(|_| !record.with_extension("move").exists()) else {
        return;
    };
    if let Some(_reserved) = reserve(record, info_hash, &home.dir) {
        // Where it stays, they are gone on with.
        let _ = fs::remove_file(record);
    }
}

/// The record of another place whose files are in `dir` by now.
fn moved_to(state_dir: &Path, info_hash: InfoHash, dir: &Path) -> Option<PathBuf> {
    let start = format!("{info_hash}-");
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".resume")
    };
    let is_here = |path: &PathBuf| home_in(path, info_hash).is_some_and(|home| home.dir == dir);
    let entries = fs::read_dir(state_dir).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(is_one).find(is_here)
}

/// Does somebody who names this directory mean the files of that record?
fn home_is_meant(record: &Path, info_hash: InfoHash, dir: &Path) -> bool {
    home_in(record, info_hash).is_some_and(|home| home.is_meant_by(dir))
}

/// Where a record says that the files are; none where it says nothing that holds. Waits for the
/// disk.
pub fn home_in(record: &Path, info_hash: InfoHash) -> Option<Home> {
    format::home(&bytes_of(record)?, info_hash)
}

fn bytes_of(record: &Path) -> Option<Vec<u8>> {
    let is_short = fs::metadata(record).is_ok_and(|it| it.len() <= FILE_LEN_MAX);
    is_short.then(|| fs::read(record).ok()).flatten()
}

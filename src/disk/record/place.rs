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
use super::home::lasting;
use super::loaded::FILE_LEN_MAX;
use super::lock::{is_with_others, place_of};

/// The record of a torrent whose files are, or will be, below `dir`. Waits for the disk; changes
/// nothing. Opening it tells whether it is free.
pub fn record_of(state_dir: &Path, info_hash: InfoHash, dir: &Path) -> PathBuf {
    let dir = lasting(dir);
    let place = place_of(info_hash, &dir);
    let first = state_dir.join(format!("{info_hash}.resume"));
    let own = state_dir.join(format!("{info_hash}-{place:016x}.resume"));
    let is_elsewhere = || {
        is_with_others(&first, None)
            // It may have just begun there, and its record not say so yet.
            && !is_with_others(&first, Some(place))
            && !home_is_meant(&first, info_hash, &dir)
    };
    if own.exists() || is_elsewhere() { own } else { first }
}

/// Does somebody who names this directory mean the files of that record?
fn home_is_meant(record: &Path, info_hash: InfoHash, dir: &Path) -> bool {
    let is_short = fs::metadata(record).is_ok_and(|it| it.len() <= FILE_LEN_MAX);
    let bytes = is_short.then(|| fs::read(record).ok()).flatten();
    let home = bytes.and_then(|bytes| format::home(&bytes, info_hash));
    home.is_some_and(|home| home.is_meant_by(dir))
}

//! Which unfinished files torrents of this process write to: another torrent, whose file has the
//! same path, finds such a file and must not take it for one that was left behind.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::beneath::Found;
use super::only::Only;

/// Device and inode of each such file, and which store writes to it.
static IN_USE: LazyLock<Only<HashMap<(u64, u64), u64>>> =
    LazyLock::new(|| Only::new(HashMap::new()));

fn key(found: &Found) -> (u64, u64) {
    (found.device, found.stamp.inode)
}

/// The store writes to this file from now on, unless another one does; tells whether it may.
pub(super) fn claim(store: u64, found: &Found) -> bool {
    IN_USE.with(|in_use| *in_use.entry(key(found)).or_insert(store) == store)
}

/// The store has just made this file. What was said of its inode was of one that is deleted.
pub(super) fn take(store: u64, made: &Found) {
    IN_USE.with(|in_use| in_use.insert(key(made), store));
}

/// Nobody writes to the file any more, as an unfinished one.
pub(super) fn release(found: &Found) {
    IN_USE.with(|in_use| in_use.remove(&key(found)));
}

/// The store writes to nothing any more.
pub(super) fn release_all(store: u64) {
    IN_USE.with(|in_use| in_use.retain(|_, writer| *writer != store));
}

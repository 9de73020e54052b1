//! Removing the files of a torrent that nobody has open, with the directories that are empty then.
//! What is removed is what the record knows to be the torrent's, and what has a name that only we
//! give; all else that stands there is whoever's made it, and stays. The directory that the files
//! are below stays as well. No link is followed below it. The record goes with the last file:
//! whoever gets the torrent again means the directory that he names, and no other that it was moved
//! to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::beneath::Base;
use super::config::StoreConfig;
use super::error::Error;
use super::files::{FileStore, Place};
use super::looked::Looked;
use super::record::RecordState;

/// Threads let go of a torrent a moment after its end; this long they may wait for a disk.
const LET_GO: Duration = Duration::from_secs(3);
/// Between two looks whether they have.
const PAUSE: Duration = Duration::from_millis(20);
/// As many files that stay are named; of more, only their number is told.
const NAMED_MAX: usize = 16;

/// What came of removing a torrent's files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Erased {
    /// Files that are gone, links of the torrent not counted.
    pub files: u32,
    /// The bytes of these.
    pub bytes: u64,
    /// Files and links that stay.
    pub stayed: u32,
    /// Some of them, and why.
    pub named: Vec<(PathBuf, String)>,
}

/// Removes the files of a torrent, wherever they were moved to from `config.dir` and whatever they
/// are called there, and its symbolic links. Waits for the disk.
///
/// # Errors
/// Nothing was removed then: those of opening, as `InUse` when somebody else has the torrent.
pub fn erase(mut config: StoreConfig) -> Result<Erased, Error> {
    // Something else may stand at the place of a file: that is no reason to leave the others.
    config.wanted.fill(false);
    let record = config.resume_path.clone();
    let links = config.symlinks.clone();
    let looked = when_let_go(config)?;
    let base = &looked.store.base;
    let mut erased = Erased::default();
    let mut above = BTreeSet::new();
    for path in own_names(&looked.store) {
        erased.remove(base, &path);
    }
    for (file, entry) in looked.store.real() {
        above.extend(entry.path.ancestors().skip(1).map(Path::to_owned));
        let path = looked.store.path_now(file);
        if entry.place() == Place::Nowhere || entry.place() == Place::Part && entry.has_own_name() {
            continue;
        }
        match looked.ours.contains(&file) {
            true => erased.remove(base, &path),
            false => erased.stays(base.full(&path), "it is not as the torrent left it"),
        }
    }
    for (at, content) in links {
        let at = looked.subject.home.in_folder(&at);
        above.extend(at.ancestors().skip(1).map(Path::to_owned));
        if base.content_of_link(&at).is_ok_and(|found| found == Some(content))
            && let Err(error) = base.remove(&at)
        {
            erased.stays(base.full(&at), error);
        }
    }
    // Those below others come behind them.
    for dir in above.iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        base.remove_directory(dir);
    }
    let is_of_others = !looked.subject.others.is_empty();
    if erased.stayed == 0 && looked.loaded.state == RecordState::Loaded && !is_of_others {
        // Where it stays, the torrent comes back to where it was.
        let _ = fs::remove_file(record);
    }
    Ok(erased)
}

/// Looks for a torrent that has just ended.
fn when_let_go(config: StoreConfig) -> Result<Looked, Error> {
    let since = Instant::now();
    loop {
        match Looked::at(0, config.clone()) {
            Err(Error::InUse { .. }) if since.elapsed() < LET_GO => sleep(PAUSE),
            other => return other,
        }
    }
}

/// The names that only we give, of all files that may have such a one.
fn own_names(store: &FileStore) -> impl Iterator<Item = PathBuf> + '_ {
    store.real().filter(|(_, entry)| entry.len > 0).flat_map(|(file, entry)| {
        let (names, path) = (&store.parts, &entry.path);
        [names.own(file.0, path), names.edges(file.0, path), names.unfolding(file.0, path)]
    })
}

impl Erased {
    /// Removes what stands at the path, if it is a regular file.
    fn remove(&mut self, base: &Base, path: &Path) {
        let found = match base.stat(path) {
            Ok(Some(found)) if found.is_file => found,
            Ok(Some(_)) => return self.stays(base.full(path), "it is no regular file"),
            Ok(None) => return,
            Err(error) => return self.stays(base.full(path), error),
        };
        match base.remove(path) {
            Ok(()) => {
                self.files += 1;
                self.bytes += found.len;
            }
            Err(error) => self.stays(base.full(path), error),
        }
    }

    fn stays(&mut self, path: PathBuf, why: impl ToString) {
        self.stayed += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((path, why.to_string()));
        }
    }
}

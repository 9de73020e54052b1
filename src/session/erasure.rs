//! Removing the files of a torrent, in steps: values, and what is done aside, where it may wait for
//! the disk. Which files are the torrent's, and how they go, is the disk's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::ids::{InfoHash, TorrentId};
use crate::disk::{Erased, Home, erase, home_of, lasting};
use crate::ledger::task::Keeping;
use crate::metainfo::Torrent;
use crate::torrent::left::store_left;

use super::doomed::{meet, tops_of};
use super::error::Error;
use super::restoring::read_one;

/// A disk that does not say within this which directory is which is not asked to remove anything.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// What came of the files of a torrent that has left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Erasure {
    /// They are gone, but for those that are named.
    Gone(Erased),
    /// All of them stay, or what is left of them; why.
    Stay(String),
}

/// Where it is told; none when there is no such torrent.
pub(super) type EraseAnswer = oneshot::Sender<Result<Option<Erasure>, Error>>;

/// Whose files are to go, and who waits for that: nobody, of a note of an earlier run.
#[derive(Debug)]
pub(super) struct Errand {
    pub id: TorrentId,
    pub answer: Option<EraseAnswer>,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Step {
    /// It was looked who else is there, among those whose numbers are below `next`.
    Looked { errand: Errand, next: Option<TorrentId>, found: Result<Found, Error> },
    /// The torrent has left, and so have its files, or something went wrong.
    Left { errand: Errand, left: Result<Erasure, Error> },
}

/// The files of a torrent, which nobody else needs.
#[derive(Debug)]
pub(super) struct Found {
    pub torrent: Arc<Torrent>,
    /// Where they are.
    pub dir: PathBuf,
    /// What they are, or are below.
    pub tops: Vec<PathBuf>,
}

/// A torrent, as far as it says where files are.
pub(super) struct Neighbour {
    pub hash: Option<InfoHash>,
    pub name: String,
    pub dir: PathBuf,
    /// Where they are; of one that is not open its record knows.
    pub home: Option<Arc<Home>>,
}

impl Neighbour {
    /// What all its files are, or are below. Waits for the disk; `real` are directories that were
    /// looked at before.
    fn tops(&self, state_dir: &Path, real: &mut HashMap<PathBuf, PathBuf>) -> Vec<PathBuf> {
        let home = self.home.as_deref().cloned();
        let home = home.or_else(|| home_of(state_dir, self.hash?, &self.dir));
        let home = home.unwrap_or_else(|| Home::at(self.dir.clone()));
        let dir = real.entry(home.dir.clone()).or_insert_with(|| lasting(&home.dir));
        tops_of(dir, &home, &self.name)
    }
}

/// Reads what is kept of a torrent that has these hashes.
pub(super) async fn metadata(
    keeping: Option<Keeping>,
    id: TorrentId,
    hashes: Vec<InfoHash>,
) -> Result<Arc<Torrent>, Error> {
    let keeping = keeping.ok_or_else(|| Error::NoMetadata("no ledger keeps it".to_owned()))?;
    // On a device that hangs it does not come.
    let read = timeout(LOOK_MAX, read_one(&keeping, id, hashes)).await;
    let read = read.map_err(|_| Error::DiskSilent)?;
    let read = read.unwrap_or_else(|| Err("it is not known".to_owned()));
    read.map_err(Error::NoMetadata)
}

/// Looks whether anybody else has files where ours are.
pub(super) async fn look(
    torrent: Arc<Torrent>,
    ours: Neighbour,
    others: Vec<Neighbour>,
    state_dir: PathBuf,
) -> Result<Found, Error> {
    let looked = spawn_blocking(move || {
        let mut real = HashMap::new();
        let tops = ours.tops(&state_dir, &mut real);
        let sharer =
            others.into_iter().find(|other| meet(&tops, &other.tops(&state_dir, &mut real)));
        match sharer {
            None => {
                let dir = ours.home.map_or(ours.dir, |home| home.dir.clone());
                Ok(Found { torrent, dir, tops })
            }
            Some(Neighbour { name, .. }) => {
                let why = format!("{name} has files in the same place: remove that one first");
                Err(Error::FilesNeeded(why))
            }
        }
    });
    match timeout(LOOK_MAX, looked).await {
        Ok(Ok(found)) => found,
        _ => Err(Error::DiskSilent),
    }
}

/// Removes them, now that the torrent has left.
pub(super) async fn remove_files(found: Found, state_dir: PathBuf) -> Erasure {
    let Found { torrent, dir, .. } = found;
    let work = move || store_left(&torrent, &state_dir, &dir).map(erase);
    match spawn_blocking(work).await {
        Ok(Some(Ok(erased))) => Erasure::Gone(erased),
        Ok(Some(Err(error))) => Erasure::Stay(error.to_string()),
        Ok(None) => Erasure::Gone(Erased::default()),
        Err(_) => Erasure::Stay("something went wrong: look after the rest".to_owned()),
    }
}

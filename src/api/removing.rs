//! Removing a torrent with its files: whether another torrent may use them as well, and what came
//! of it in words. Which files are the torrent's, and how they go, is the disk's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::units::size;
use crate::disk::{Erased, Home, erase, home_of, lasting};
use crate::metainfo::Torrent;
use crate::roster::Flags;
use crate::session::{Listed, Session};
use crate::torrent::left::store_left;
use crate::torrent::status::State;

use super::answer::{Kind, Refusal};

/// A disk that does not say within this which directory is which is not asked to remove anything.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// The files of a torrent that is to leave: what there is to know of them, taken before it has.
pub(super) struct Doomed {
    torrent: Arc<Torrent>,
    state_dir: Arc<Path>,
    dir: PathBuf,
}

impl Doomed {
    /// Of this torrent, if nobody else needs them.
    ///
    /// # Errors
    /// Why its files must stay, and with them the torrent.
    pub(super) async fn of(session: &Session, listed: &Listed) -> Result<Self, Refusal> {
        let refuse = |why: String| Err(Refusal::new(Kind::Conflict, why));
        if listed.handle.as_ref().is_some_and(|handle| handle.state() == State::Moving) {
            return refuse("its files are being moved: remove it when that is done".to_owned());
        }
        let torrent = session.metadata(listed.spec.id).await.map_err(Refusal::from)?;
        let state_dir = session.state_dir();
        let dir = match home_now(listed) {
            Some(home) => home.dir.clone(),
            None => listed.spec.dir.clone(),
        };
        let (ours, all, states) = (listed.clone(), session.find_all().await, state_dir.clone());
        let looked = spawn_blocking(move || sharer(&ours, &all, &states));
        match timeout(LOOK_MAX, looked).await {
            Ok(Ok(None)) => Ok(Self { torrent, state_dir, dir }),
            Ok(Ok(Some(name))) => {
                refuse(format!("{name} has files in the same place: remove that one first"))
            }
            _ => Err(Refusal::new(Kind::Failed, "the disk does not answer: nothing was removed")),
        }
    }

    /// Where they are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes them, now that the torrent has left. Returns what came of it, in words for people.
    pub(super) async fn erase(self) -> String {
        let Self { torrent, state_dir, dir } = self;
        let work = move || store_left(&torrent, &state_dir, &dir).map(erase);
        match spawn_blocking(work).await {
            Ok(Some(Ok(erased))) => words(&erased),
            Ok(Some(Err(error))) => format!("it has left, but its files stay: {error}"),
            Ok(None) => words(&Erased::default()),
            Err(_) => "it has left, but not all of its files: look after the rest".to_owned(),
        }
    }
}

/// Where its files are, as far as that is known without asking the disk.
fn home_now(listed: &Listed) -> Option<Arc<Home>> {
    listed.handle.as_ref()?.look(|status| status.home.clone())
}

/// What another torrent is called that has files below a name at the top which these are below,
/// too. Waits for the disk.
fn sharer(ours: &Listed, all: &[Listed], state_dir: &Path) -> Option<String> {
    let mut real = HashMap::new();
    let mut tops = |listed: &Listed| {
        let home = home_now(listed).map(|home| Home::clone(&home));
        let (hash, dir) = (listed.spec.info_hash, &listed.spec.dir);
        // One that was not opened yet may have other names by its record, if it is not latent.
        let may_differ = !listed.row.flags.has(Flags::ASLEEP);
        let home = home.or_else(|| home_of(state_dir, hash.filter(|_| may_differ)?, dir));
        let home = home.unwrap_or_else(|| Home::at(dir.clone()));
        let dir = real.entry(home.dir.clone()).or_insert_with(|| lasting(&home.dir)).clone();
        tops_of(&dir, &home, &listed.spec.name)
    };
    let our_tops = tops(ours);
    let mut others = all.iter().filter(|listed| listed.spec.id != ours.spec.id);
    let other = others.find(|other| meet(&our_tops, &tops(other)))?;
    Some(other.spec.name.clone())
}

/// The paths that all files of a torrent are, or are below.
fn tops_of(dir: &Path, home: &Home, name: &str) -> Vec<PathBuf> {
    let folder = home.folder.as_deref().unwrap_or(name);
    let renamed = home.names.values().filter_map(|path| path.components().next());
    let renamed = renamed.map(|top| dir.join(top));
    let mut tops: Vec<PathBuf> = renamed.chain([dir.join(folder)]).collect();
    tops.sort();
    tops.dedup();
    tops
}

/// Is one of these the same as one of those, or above or below it?
fn meet(these: &[PathBuf], those: &[PathBuf]) -> bool {
    let mut pairs = these.iter().flat_map(|this| those.iter().map(move |that| (this, that)));
    pairs.any(|(this, that)| this.starts_with(that) || that.starts_with(this))
}

/// What came of it, for people.
fn words(erased: &Erased) -> String {
    let Erased { files, bytes, stayed, named } = erased;
    let gone = match files {
        0 => "none of its files was there to remove".to_owned(),
        1 => format!("1 file is gone, {}", size(*bytes)),
        _ => format!("{files} files are gone, {}", size(*bytes)),
    };
    let Some((path, why)) = named.first() else { return gone };
    let first = format!("{gone}; {} stays: {why}", path.display());
    match stayed {
        0 | 1 => first,
        _ => format!("{first}; and {} more", stayed - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_files_may_be_the_same_is_told_by_the_names_at_the_top() {
        let dir = Path::new("/d");
        let plain = Home::at("/d".into());
        let renamed = Home {
            folder: Some("other".to_owned()),
            names: [(3, "film/a".into()), (4, "film/b".into())].into(),
            ..plain.clone()
        };
        assert_eq!(tops_of(dir, &plain, "film"), [Path::new("/d/film")]);
        let both = tops_of(dir, &renamed, "disc");
        assert_eq!(both, [Path::new("/d/film"), Path::new("/d/other")]);
        assert!(meet(&tops_of(dir, &plain, "film"), &both));
        assert!(!meet(&tops_of(dir, &plain, "disc"), &both), "it is called so no more");
        assert!(!meet(&tops_of(dir, &plain, "fil"), &both));
        assert!(!meet(&tops_of(Path::new("/e"), &plain, "film"), &both));
        assert!(meet(&tops_of(Path::new("/d/film"), &plain, "x"), &both), "it is in the folder");
    }

    #[test]
    fn what_came_of_it_is_told_in_words() {
        let mut erased = Erased::default();
        assert_eq!(words(&erased), "none of its files was there to remove");
        (erased.files, erased.bytes) = (2, 2048);
        assert_eq!(words(&erased), "2 files are gone, 2.0 KiB");
        erased.stayed = 3;
        erased.named = vec![("/d/a".into(), "it is no regular file".to_owned())];
        let told = "2 files are gone, 2.0 KiB; /d/a stays: it is no regular file; and 2 more";
        assert_eq!(words(&erased), told);
    }
}

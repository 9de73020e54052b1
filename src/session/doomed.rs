//! Places from which a torrent's files are being removed: nobody else gets there meanwhile, for
//! what it would find or make there might go with them. A pure machine; it looks at no disk, so it
//! refuses whoever has the same names at the top in any directory, which may be the same one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::base::ids::TorrentId;
use crate::disk::Home;

/// Torrents whose files are being removed.
#[derive(Debug, Default)]
pub(super) struct Doomed(BTreeMap<TorrentId, Place>);

#[derive(Debug)]
struct Place {
    name: String,
    /// What all files are, or are below.
    tops: Vec<PathBuf>,
}

impl Doomed {
    /// The files of the torrent of this name, which are these or below these, are to be removed.
    pub fn claim(&mut self, id: TorrentId, name: &str, tops: Vec<PathBuf>) {
        self.0.insert(id, Place { name: name.to_owned(), tops });
    }

    /// They are, or stay.
    pub fn release(&mut self, id: TorrentId) {
        self.0.remove(&id);
    }

    /// Are those of this one?
    pub fn has(&self, id: TorrentId) -> bool {
        self.0.contains_key(&id)
    }

    /// What the torrent is called whose files are being removed from where something with these
    /// names at the top of `dir` would be.
    pub fn meets<'a>(
        &self,
        dir: &Path,
        names: impl IntoIterator<Item = &'a OsStr>,
    ) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let tops: Vec<PathBuf> = names.into_iter().map(|name| dir.join(name)).collect();
        let has_name = |top: &PathBuf| tops.iter().any(|it| it.file_name() == top.file_name());
        let is_there = |place: &&Place| meet(&tops, &place.tops) || place.tops.iter().any(has_name);
        self.0.values().find(is_there).map(|place| &*place.name)
    }
}

/// The paths that all files of a torrent of this name are, or are below, in the directory that is
/// its home's.
pub(super) fn tops_of(dir: &Path, home: &Home, name: &str) -> Vec<PathBuf> {
    let folder = home.folder.as_deref().unwrap_or(name);
    let renamed = home.names.values().filter_map(|path| path.components().next());
    let renamed = renamed.map(|top| dir.join(top));
    let mut tops: Vec<PathBuf> = renamed.chain([dir.join(folder)]).collect();
    tops.sort();
    tops.dedup();
    tops
}

/// Is one of these the same as one of those, or above or below it?
pub(super) fn meet(these: &[PathBuf], those: &[PathBuf]) -> bool {
    let mut pairs = these.iter().flat_map(|this| those.iter().map(move |that| (this, that)));
    pairs.any(|(this, that)| this.starts_with(that) || that.starts_with(this))
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
    fn nobody_gets_to_where_files_are_being_removed() {
        let mut doomed = Doomed::default();
        let names = |names: &'static [&'static str]| names.iter().map(OsStr::new);
        assert_eq!(doomed.meets(Path::new("/d"), names(&["film"])), None);
        doomed.claim(TorrentId(1), "a film", vec!["/d/film".into()]);
        assert!(doomed.has(TorrentId(1)) && !doomed.has(TorrentId(2)));
        for (dir, met) in [("/d", "film"), ("/d/film", "x"), ("/another/name/of/d", "film")] {
            let met = [OsStr::new("other"), OsStr::new(met)];
            assert_eq!(doomed.meets(Path::new(dir), met), Some("a film"), "{dir}");
        }
        assert_eq!(doomed.meets(Path::new("/d"), names(&["fil", "films"])), None);
        doomed.release(TorrentId(1));
        assert_eq!(doomed.meets(Path::new("/d"), names(&["film"])), None);
    }
}

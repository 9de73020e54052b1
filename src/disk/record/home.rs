//! Where a torrent's files are and what they are called, once its user has moved or renamed
//! them. The record keeps it, so that the next start finds the files, also when it is told the
//! directory that they came from. Nothing here moves a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_bytes::Bytes;

use crate::bencode::{Dict, Value};

/// Directories that are remembered as former ones; of more, the oldest is forgotten.
const CAME_FROM_MAX: usize = 16;
/// Homes that are remembered beside the present one; likewise.
const OTHERS_MAX: usize = 16;

/// Where a torrent's files are, and under which names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Home {
    /// The directory that they are below.
    pub dir: PathBuf,
    /// Its lasting name, where `dir` is another one by which its user calls it.
    pub real: Option<PathBuf>,
    /// Directories that they were moved away from, the last one first.
    pub came_from: Vec<PathBuf>,
    /// The torrent's own folder, where it is not called as in the torrent.
    pub folder: Option<String>,
    /// Paths below the directory of files that were renamed, by file number.
    pub names: BTreeMap<u32, PathBuf>,
}

/// What of a home is written.
#[derive(Serialize)]
pub(in crate::disk) struct Written<'a> {
    #[serde(rename = "came from", skip_serializing_if = "Vec::is_empty")]
    came_from: Vec<&'a Bytes>,
    dir: &'a Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<(u32, &'a Bytes)>,
}

/// A directory's name that does not depend on where we stand, nor on links; also of one that is
/// not there yet.
pub fn lasting(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let real = absolute.ancestors().find_map(|above| {
        let real = std::fs::canonicalize(above).ok()?;
        let rest = absolute.strip_prefix(above).ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    real.unwrap_or(absolute)
}

impl Home {
    /// Of files that nobody moved or renamed.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, ..Self::default() }
    }

    /// The same, for its user, who calls the directory so.
    pub fn called(self, dir: PathBuf) -> Self {
        let real = self.real().to_owned();
        Self { real: (dir != real).then_some(real), dir, ..self }
    }

    /// The lasting name of the directory.
    pub fn real(&self) -> &Path {
        self.real.as_ref().unwrap_or(&self.dir)
    }

    /// Of all homes that are known, the one of somebody who names this directory, and the others,
    /// the last one first. A new one when none is meant.
    pub(in crate::disk) fn choose(mut known: Vec<Self>, dir: &Path) -> (Self, Vec<Self>) {
        let meant = known.iter().position(|home| home.is_meant_by(dir));
        let home = match meant {
            Some(place) => known.remove(place),
            None => Self::at(dir.to_owned()),
        };
        known.truncate(OTHERS_MAX);
        (home, known)
    }

    /// The same for somebody who means this directory, wherever files were moved to from there:
    /// from now on it leads to no other.
    pub(in crate::disk) fn choose_here(mut known: Vec<Self>, dir: &Path) -> (Self, Vec<Self>) {
        for home in &mut known {
            home.came_from.retain(|former| former != dir);
        }
        Self::choose(known, dir)
    }

    /// Does somebody who names this directory mean these files?
    pub(in crate::disk) fn is_meant_by(&self, dir: &Path) -> bool {
        self.dir == dir || self.came_from.iter().any(|former| former == dir)
    }

    /// Are files at the same places in the other one, wherever they came from?
    pub(in crate::disk) fn is_same_place(&self, other: &Self) -> bool {
        self.dir == other.dir && self.folder == other.folder && self.names == other.names
    }

    /// The same in another directory.
    pub(in crate::disk) fn moved_to(&self, dir: PathBuf) -> Self {
        let mut came_from = vec![self.dir.clone()];
        came_from.extend(self.came_from.iter().filter(|former| **former != self.dir).cloned());
        came_from.retain(|former| *former != dir);
        came_from.truncate(CAME_FROM_MAX);
        Self { dir, came_from, ..self.clone() }
    }

    /// Where a file is below the directory; `path` is what the torrent says.
    pub fn path_of(&self, number: u32, path: &Path) -> PathBuf {
        self.names.get(&number).cloned().unwrap_or_else(|| self.in_folder(path))
    }

    /// A path of the torrent, below its folder as that is called now.
    pub fn in_folder(&self, path: &Path) -> PathBuf {
        let mut rest = path.components();
        match &self.folder {
            Some(folder) if rest.next().is_some() => Path::new(folder).join(rest.as_path()),
            _ => path.to_owned(),
        }
    }

    pub(in crate::disk) fn written(&self) -> Written<'_> {
        Written {
            came_from: self.came_from.iter().map(|dir| as_bytes(dir)).collect(),
            dir: as_bytes(&self.dir),
            folder: self.folder.as_ref().map(|folder| Bytes::new(folder.as_bytes())),
            names: self.names.iter().map(|(number, path)| (*number, as_bytes(path))).collect(),
        }
    }

    /// Reads what was written; none when it makes no sense.
    pub(in crate::disk) fn read(written: Dict<'_>) -> Option<Self> {
        let mut home = Self { dir: path_of(written.find(b"dir")?)?, ..Self::default() };
        if let Some(came_from) = written.find(b"came from") {
            home.came_from = came_from.list()?.map(path_of).collect::<Option<_>>()?;
        }
        if let Some(folder) = written.find(b"folder") {
            home.folder = Some(folder.text()?.to_owned());
        }
        if let Some(names) = written.find(b"names") {
            for pair in names.list()? {
                let mut pair = pair.list()?;
                let number = u32::try_from(pair.next()?.integer()?).ok()?;
                home.names.insert(number, path_of(pair.next()?)?);
            }
        }
        Some(home)
    }
}

pub(in crate::disk) fn as_bytes(path: &Path) -> &Bytes {
    Bytes::new(path.as_os_str().as_bytes())
}

pub(in crate::disk) fn path_of(value: Value<'_>) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(value.bytes()?.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode;

    fn home() -> Home {
        Home {
            dir: "/b".into(),
            real: None,
            came_from: vec!["/a".into()],
            folder: Some("new".to_owned()),
            names: [(1, "new/x y".into())].into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for home in [home(), Home::at("/only".into())] {
            let bytes = bencode::encode(&home.written());
            let scan = bencode::scan(&bytes, bencode::MESSAGE).unwrap();
            assert_eq!(Home::read(scan.root().dict().unwrap()), Some(home));
        }
    }

    #[test]
    fn files_are_found_under_their_new_names() {
        let home = home();
        assert_eq!(home.path_of(0, Path::new("old/d/a")), Path::new("new/d/a"));
        assert_eq!(home.path_of(1, Path::new("old/b")), Path::new("new/x y"));
        assert_eq!(Home::default().path_of(0, Path::new("old/a")), Path::new("old/a"));
    }

    #[test]
    fn a_directory_keeps_its_lasting_name_whatever_its_user_calls_it() {
        let linked = home().called("link".into());
        assert_eq!((linked.dir.as_path(), linked.real()), (Path::new("link"), Path::new("/b")));
        assert_eq!(linked.clone().called("other".into()).real(), Path::new("/b"));
        assert_eq!(linked.called("/b".into()), home());
    }

    #[test]
    fn former_directories_mean_the_present_one() {
        let there = home().moved_to("/c".into());
        assert_eq!(there.came_from, [Path::new("/b"), Path::new("/a")]);
        assert!(there.is_meant_by(Path::new("/a")) && there.is_meant_by(Path::new("/c")));
        assert!(!there.is_meant_by(Path::new("/d")));
        let back = there.moved_to("/a".into());
        assert_eq!(back.came_from, [Path::new("/c"), Path::new("/b")]);
        let far = (0..99).fold(back, |home, n| home.moved_to(format!("/{n}").into()));
        assert_eq!(far.came_from.len(), CAME_FROM_MAX);
    }

    #[test]
    fn whoever_comes_back_to_a_directory_means_its_home_and_no_other_is_forgotten() {
        let known = vec![home(), Home::at("/c".into())];
        let (new, others) = Home::choose(known.clone(), Path::new("/d"));
        assert_eq!((new, &others), (Home::at("/d".into()), &known));
        let (back, others) = Home::choose(known.clone(), Path::new("/c"));
        assert_eq!((back, others), (known[1].clone(), vec![home()]));
        assert_eq!(Home::choose(known.clone(), Path::new("/a")).0, home(), "they came from there");
        let (here, others) = Home::choose_here(known, Path::new("/a"));
        let before = Home { came_from: Vec::new(), ..home() };
        assert_eq!((here, others), (Home::at("/a".into()), vec![before, Home::at("/c".into())]));
    }

    #[test]
    fn a_directory_has_one_name_before_and_after_it_is_made() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("alias")).unwrap();
        let through = root.path().join("alias/new/deep");
        let before = lasting(&through);
        std::fs::create_dir_all(&through).unwrap();
        assert_eq!(before, lasting(&through));
        assert_eq!(before, lasting(root.path()).join("new/deep"));
    }
}

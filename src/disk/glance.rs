//! Looking at many files below a directory, and making and naming them: each folder on the way
//! is opened once for all neighbours in it. While nobody works on the files yet, the names in a
//! folder of many are read at once, so that those that are missing cost nothing. A glance is
//! short: what it has opened and read is believed for one walk along files.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use super::beneath::{Base, Found, Parent, found, rename_unless_taken};

/// From so many looks into one folder on, its names are read: a folder may have many others.
const NAMES_WORTH: u32 = 32;

/// A walk along files in their order.
pub(super) struct Glance<'a> {
    base: &'a Base,
    folder: Option<Folder<'a>>,
    /// Are names read at once?
    is_survey: bool,
}

struct Folder<'a> {
    path: PathBuf,
    /// None when it is not there.
    dir: Option<Parent<'a>>,
    looks: u32,
    names: Option<HashSet<OsString>>,
}

impl<'a> Glance<'a> {
    /// Has looked at nothing yet.
    pub(super) fn new(base: &'a Base) -> Self {
        Self { base, folder: None, is_survey: false }
    }

    /// The same, of files that nobody makes or renames meanwhile.
    pub(super) fn survey(base: &'a Base) -> Self {
        Self { is_survey: true, ..Self::new(base) }
    }

    /// What stands at the path; none when there is nothing, or no directory that leads there.
    pub(super) fn stat(&mut self, path: &Path) -> io::Result<Option<Found>> {
        let (name, is_survey) = (name(path)?, self.is_survey);
        self.folder(path, false)?.stat(name, is_survey)
    }

    /// Opens a file for reading and writing that must be there.
    pub(super) fn open_existing(&mut self, path: &Path) -> io::Result<File> {
        let name = name(path)?;
        let dir = self.folder(path, false)?.dir.as_ref();
        dir.ok_or(io::ErrorKind::NotFound)?.open(name, OFlags::RDWR)
    }

    /// Makes a file that is not there yet, with its directories.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<File> {
        let name = name(path)?;
        let dir = self.folder(path, true)?.dir.as_ref().ok_or(io::ErrorKind::NotFound)?;
        dir.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Renames a file within its folder, unless something stands there.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if from.parent() != to.parent() {
            return self.base.hand_over(from, self.base, to);
        }
        let dir = self.folder(from, false)?.dir.as_ref().ok_or(io::ErrorKind::NotFound)?;
        rename_unless_taken((dir, name(from)?), (dir, name(to)?))
    }

    /// The folder that a path is in.
    fn folder(&mut self, path: &Path, make: bool) -> io::Result<&mut Folder<'a>> {
        let above = path.parent().unwrap_or(Path::new(""));
        let is_known =
            |folder: &Folder<'_>| folder.path == above && !(make && folder.dir.is_none());
        // A failure is not kept: the next one asks again.
        let known = self.folder.take().filter(is_known);
        let folder = match known {
            Some(folder) => folder,
            None => {
                let dir = match self.base.directory(above, make) {
                    Ok(dir) => Some(dir),
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !make => None,
                    Err(error) => return Err(error),
                };
                Folder { path: above.to_owned(), dir, looks: 0, names: None }
            }
        };
        Ok(self.folder.insert(folder))
    }
}

fn name(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| Errno::INVAL.into())
}

impl Folder<'_> {
    fn stat(&mut self, name: &OsStr, is_survey: bool) -> io::Result<Option<Found>> {
        let Some(dir) = &self.dir else { return Ok(None) };
        self.looks += 1;
        if is_survey && self.looks == NAMES_WORTH {
            self.names = names(dir).ok();
        }
        if self.names.as_ref().is_some_and(|names| !names.contains(name)) {
            return Ok(None);
        }
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn names(dir: &Parent<'_>) -> io::Result<HashSet<OsString>> {
    let entries = rustix::fs::Dir::read_from(dir)?;
    entries.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a", "b"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            for number in (0..200).step_by(2) {
                std::fs::write(dir.path().join(format!("{folder}/{number}")), b"x").unwrap();
            }
        }
        let base = Base::new(dir.path().to_owned());
        let mut glance = Glance::survey(&base);
        for folder in ["a", "b", "a", "none"] {
            for number in 0..200 {
                let found = glance.stat(Path::new(&format!("{folder}/{number}"))).unwrap();
                assert_eq!(found.is_some(), folder != "none" && number % 2 == 0);
            }
        }
        std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("link")).unwrap();
        assert!(glance.stat(Path::new("link/0")).is_err(), "no link is followed");
        assert!(glance.stat(Path::new("..")).is_err());
    }
}

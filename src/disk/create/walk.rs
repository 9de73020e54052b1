//! Finding the files of a new torrent. No link is followed below the directory that was
//! named, so nothing outside gets in; what is no file is left out and remembered.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode, Stat};

use crate::metainfo::create::SourceFile;

use super::super::beneath::{Base, Stamp, found};
use super::super::error::Error as DiskError;
use super::error::Error;

/// Something that was found and left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// What it is: "a symbolic link".
    pub what: &'static str,
}

/// What was found.
pub(super) struct Found {
    /// The name of the file or directory, where it has one.
    pub name: Option<String>,
    /// The directory that all paths are below.
    pub base: Base,
    /// The name of the one file below the base, when a file was asked for.
    pub single: Option<PathBuf>,
    /// In the order of torrents.
    pub files: Vec<FoundFile>,
    pub skipped: Vec<Skipped>,
}

/// A file, and the state it was found in.
pub(super) struct FoundFile {
    pub source: SourceFile,
    pub stamp: Stamp,
}

/// Looks at `path` and everything below it.
pub(super) fn walk(path: &Path, abort: &AtomicBool) -> Result<Found, Error> {
    let real = std::fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => DiskError::io("opening", path, error).into(),
    })?;
    let stat = rustix::fs::stat(&real).map_err(|error| DiskError::io("reading", path, error))?;
    // `.` and `..` have their name from where they lead, links keep their own.
    let name = path.file_name().or_else(|| real.file_name());
    let name = name.map(|name| name.to_str().map(str::to_owned));
    let name = match name {
        Some(None) => return Err(Error::NotUtf8 { path: path.to_owned() }),
        Some(name) => name,
        None => None,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => walk_directory(path, name, Base::new(real), abort),
        FileType::RegularFile => {
            let parent = real.parent().unwrap_or(Path::new("/")).to_owned();
            let single = real.file_name().map(PathBuf::from);
            let files = vec![file(String::new(), &stat)];
            Ok(Found { name, base: Base::new(parent), single, files, skipped: Vec::new() })
        }
        _ => Err(Error::Special { path: path.to_owned() }),
    }
}

/// `root` is what the user calls the base.
fn walk_directory(
    root: &Path,
    name: Option<String>,
    base: Base,
    abort: &AtomicBool,
) -> Result<Found, Error> {
    let mut found = Found { name, base, single: None, files: Vec::new(), skipped: Vec::new() };
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        if abort.load(Ordering::Relaxed) {
            return Err(Error::Aborted);
        }
        let full = root.join(&directory);
        let entries = found.base.entries(Path::new(&directory));
        let entries = entries.map_err(|error| DiskError::io("reading", &full, error))?;
        for (name, stat) in entries {
            let what = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Directory => None,
                FileType::Symlink => Some("a symbolic link"),
                FileType::Fifo => Some("a pipe"),
                FileType::Socket => Some("a socket"),
                FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
                FileType::Unknown => Some("no regular file"),
            };
            if let Some(what) = what {
                found.skipped.push(Skipped { path: full.join(name), what });
                continue;
            }
            let Some(text) = name.to_str() else {
                return Err(Error::NotUtf8 { path: full.join(name) });
            };
            let slash = if directory.is_empty() { "" } else { "/" };
            let path = format!("{directory}{slash}{text}");
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => waiting.push(path),
                _ => found.files.push(file(path, &stat)),
            }
        }
    }
    found.files.sort_by(|a, b| a.source.order(&b.source));
    found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn file(path: String, stat: &Stat) -> FoundFile {
    let is_executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
    let state = found(stat);
    FoundFile { source: SourceFile { path, length: state.len, is_executable }, stamp: state.stamp }
}

//! Names that clash: two files on one path, a file where a directory must be. The later file gets
//! a number, the same on every start, on every system; directories keep their names. Names that
//! differ only in case or in their normal form are two names, but where the file system folds
//! them: what they are called there is found here ([`folded_names`]), and used by whoever knows
//! the file system.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};

use super::files::{Files, Symlink};
use super::paths::{numbered, push_folded};
use super::{Error, refuse};

/// More clashes than this are an attack (the limit libtorrent keeps).
const RENAMES_MAX: usize = 500;
/// A chain of links to links may be this long, as in the kernel (`ELOOP`).
const LINK_CHAIN_MAX: usize = 40;

/// Renames files until no two clash, and drops the links that clash with a file or lead
/// nowhere in this torrent.
pub(super) fn resolve(files: &mut Files, links: Vec<Symlink>) -> Result<Vec<Symlink>, Error> {
    if links.is_empty() && !may_clash(files) {
        return Ok(links);
    }
    let mut names = Names::new(Sameness::Bytes);
    let renamed = names.rename(files.names(), RENAMES_MAX).map_err(|index| {
        refuse(
            format!("file {index} ({})", files.path(index)),
            format!("clashes with others, after {RENAMES_MAX} had to be renamed"),
        )
    })?;
    if !renamed.is_empty() {
        files.rename(&renamed);
    }
    Ok(keep_links(links, &mut names))
}

/// The files of a torrent that need another path where names are equal that differ only in case
/// or in their normal form, by their number, and that path; the same on every start. `paths` are
/// those of all files in their order, none for pad files.
pub fn folded_names<'a>(
    paths: impl Iterator<Item = Option<&'a str>> + Clone,
) -> Vec<(usize, String)> {
    // A torrent has fewer files than that, and so fewer renamed ones.
    Names::new(Sameness::Folded).rename(paths, usize::MAX).unwrap_or_default()
}

/// Could two names clash? Only hashes of paths are held, so that the millions of files of a
/// large torrent need little memory; when it says no, it is so.
fn may_clash(files: &Files) -> bool {
    let hash = |path: &str| {
        let mut hasher = DefaultHasher::new();
        hasher.write(path.as_bytes());
        hasher.finish()
    };
    let (mut all, mut directories) = (HashSet::with_capacity(files.len()), HashSet::new());
    let mut last = "";
    for path in files.names().flatten() {
        if !all.insert(hash(path)) {
            return true;
        }
        let mut parents = split_last(path).0;
        if parents == last {
            continue;
        }
        last = parents;
        while !parents.is_empty() && directories.insert(hash(parents)) {
            parents = split_last(parents).0;
        }
    }
    directories.iter().any(|directory| all.contains(directory))
}

/// The links whose name is free and whose target is a file or directory of the torrent, or
/// a link to one.
fn keep_links(links: Vec<Symlink>, names: &mut Names) -> Vec<Symlink> {
    let mut kept = Vec::new();
    let mut waiting = links;
    for _ in 0..LINK_CHAIN_MAX {
        let before = kept.len();
        let mut unresolved = Vec::new();
        for link in waiting {
            let (path, target) = (link.path.to_string_lossy(), link.target.to_string_lossy());
            // A link to a directory around it would make a loop of directories.
            if link.path.starts_with(&link.target) {
                continue;
            }
            if names.find(&target).is_none() {
                drop((path, target));
                unresolved.push(link);
                continue;
            }
            let (parents, name) = split_last(&path);
            let directory = names.enter(parents);
            let is_free = names.insert(directory, name);
            drop((path, target));
            if is_free {
                kept.push(link);
            }
        }
        waiting = unresolved;
        if kept.len() == before {
            break;
        }
    }
    kept
}

fn split_last(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// When two names are one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sameness {
    /// When their bytes are the same.
    Bytes,
    /// When some file system takes them for the same.
    Folded,
}

/// Files and directories by name, as a tree: each name is kept once however many files lie
/// below it.
struct Names {
    sameness: Sameness,
    numbers: HashMap<Box<str>, u32>,
    /// The last number that a name of this number was given.
    given: HashMap<u32, u32>,
    key: String,
}

impl Names {
    /// The number of the download directory.
    const ROOT: u32 = 0;

    fn new(sameness: Sameness) -> Self {
        Self { sameness, numbers: HashMap::new(), given: HashMap::new(), key: String::new() }
    }

    /// Enters all files, those that clash under another name: the files renamed, in their order.
    ///
    /// # Errors
    /// The first file that would be one too many.
    fn rename<'a>(
        &mut self,
        paths: impl Iterator<Item = Option<&'a str>> + Clone,
        renames_max: usize,
    ) -> Result<Vec<(usize, String)>, usize> {
        let directories = self.enter_directories(paths.clone());
        let mut renamed: Vec<(usize, String)> = Vec::new();
        for ((index, path), directory) in paths.enumerate().zip(directories) {
            let (Some(path), Some(directory)) = (path, directory) else { continue };
            let (parents, name) = split_last(path);
            if self.insert(directory, name) {
                continue;
            }
            if renamed.len() == renames_max {
                return Err(index);
            }
            let taken = self.child(directory, name).unwrap_or(Self::ROOT);
            let mut number = self.given.get(&taken).copied().unwrap_or_default();
            let free = loop {
                number += 1;
                let name = numbered(name, number);
                if self.insert(directory, &name) {
                    break name;
                }
            };
            self.given.insert(taken, number);
            let slash = if parents.is_empty() { "" } else { "/" };
            renamed.push((index, format!("{parents}{slash}{free}")));
        }
        Ok(renamed)
    }

    /// Enters the directories of all files; their numbers by file.
    fn enter_directories<'a>(
        &mut self,
        paths: impl Iterator<Item = Option<&'a str>>,
    ) -> Vec<Option<u32>> {
        // Files of one directory mostly stand together.
        let (mut last_path, mut last_number) = ("", Self::ROOT);
        paths
            .map(|path| {
                let parents = split_last(path?).0;
                if parents != last_path {
                    (last_path, last_number) = (parents, self.enter(parents));
                }
                Some(last_number)
            })
            .collect()
    }

    /// Adds a name to a directory; false when it is taken.
    fn insert(&mut self, directory: u32, name: &str) -> bool {
        if self.child(directory, name).is_some() {
            return false;
        }
        let number = self.next();
        self.numbers.insert(self.key.as_str().into(), number);
        true
    }

    /// The number of a directory; what is missing of it is added.
    fn enter(&mut self, path: &str) -> u32 {
        path.split('/').filter(|name| !name.is_empty()).fold(Self::ROOT, |directory, name| {
            self.child(directory, name).unwrap_or_else(|| {
                let number = self.next();
                self.numbers.insert(self.key.as_str().into(), number);
                number
            })
        })
    }

    fn find(&mut self, path: &str) -> Option<u32> {
        path.split('/').try_fold(Self::ROOT, |directory, name| self.child(directory, name))
    }

    /// The number of this name; `key` is left as the key it has.
    fn child(&mut self, directory: u32, name: &str) -> Option<u32> {
        self.key.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.key, "{directory}/");
        match self.sameness {
            Sameness::Bytes => self.key.push_str(name),
            Sameness::Folded => push_folded(&mut self.key, name),
        }
        self.numbers.get(self.key.as_str()).copied()
    }

    /// Numbers fit: a torrent holds at most 64 million values.
    fn next(&self) -> u32 {
        self.numbers.len() as u32 + 1
    }
}

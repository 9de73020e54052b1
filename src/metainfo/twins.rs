//! Names that clash: two files on one path, names that differ only in case or in their normal
//! form, a file where a directory must be. The later file gets a number, the same on every
//! start, on every system; directories keep their names.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::files::{Files, Symlink};
use super::paths::{numbered, push_folded};
use super::{Error, refuse};

/// More clashes than this are an attack (the limit libtorrent keeps).
const RENAMES_MAX: u32 = 500;
/// A chain of links to links may be this long, as in the kernel (`ELOOP`).
const LINK_CHAIN_MAX: usize = 40;

/// Renames files until no two clash, and drops the links that clash with a file or lead
/// nowhere in this torrent.
pub(super) fn resolve(files: &mut Files, links: Vec<Symlink>) -> Result<Vec<Symlink>, Error> {
    let mut names = Names::default();
    let directories = enter_directories(files, &mut names);
    let mut renamed: Vec<(usize, String)> = Vec::new();
    for (index, directory) in directories.into_iter().enumerate() {
        let Some(directory) = directory else { continue };
        let path = files.path(index);
        let (parents, name) = split_last(path);
        if names.insert(directory, name) {
            continue;
        }
        let mut candidates = (1..=RENAMES_MAX).map(|number| numbered(name, number));
        let free = candidates.find(|name| names.insert(directory, name));
        match free {
            Some(name) if renamed.len() < RENAMES_MAX as usize => {
                let slash = if parents.is_empty() { "" } else { "/" };
                renamed.push((index, format!("{parents}{slash}{name}")));
            }
            _ => {
                return Err(refuse(
                    format!("file {index} ({path})"),
                    format!("clashes with others, after {RENAMES_MAX} had to be renamed"),
                ));
            }
        }
    }
    if !renamed.is_empty() {
        files.rename(&renamed);
    }
    Ok(keep_links(links, &mut names))
}

/// Enters the directories of all files; their numbers by file, none for pad files.
fn enter_directories(files: &Files, names: &mut Names) -> Vec<Option<u32>> {
    // Files of one directory mostly stand together.
    let (mut last_path, mut last_number) = ("", Names::ROOT);
    (0..files.len())
        .map(|index| {
            if files.is_pad(index) {
                return None;
            }
            let parents = split_last(files.path(index)).0;
            if parents != last_path {
                (last_path, last_number) = (parents, names.enter(parents));
            }
            Some(last_number)
        })
        .collect()
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

/// Files and directories by folded name, as a tree: each name is kept once however many
/// files lie below it.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    key: String,
}

impl Names {
    /// The number of the download directory.
    const ROOT: u32 = 0;

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
        push_folded(&mut self.key, name);
        self.numbers.get(self.key.as_str()).copied()
    }

    /// Numbers fit: a torrent holds at most 3 million values.
    fn next(&self) -> u32 {
        self.numbers.len() as u32 + 1
    }
}

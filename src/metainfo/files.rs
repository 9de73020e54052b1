//! The files of a torrent in flat storage: one text for all paths and 24 bytes a file, for
//! torrents of hundreds of thousands of files. Paths in here are cleaned already; of those that
//! the torrent writes otherwise it is known where.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::base::extents::Extents;
use crate::base::ids::FileIndex;

use super::{Error, refuse};

/// All paths together may be this long. In a v2 file tree a long directory name is written
/// once but counts for every file below it, so a small torrent could ask for gigabytes.
const PATHS_LEN_MAX: usize = 128 << 20;

/// The files in the torrent's order, pad files included and symlinks left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    paths: String,
    entries: Vec<Entry>,
    data_len: u64,
    /// The files whose path the torrent writes otherwise, in their order.
    odd: Vec<Odd>,
    /// Where each file is described in the info dictionary; only while it is read.
    begins: Vec<u32>,
}

/// A file that is called otherwise than in the torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Odd {
    file: u32,
    /// Where it is described in the info dictionary.
    begin: u32,
}

/// What the torrent itself says of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described {
    /// Where in the info dictionary, which has fewer bytes than 2^32.
    pub(super) begin: usize,
    /// Each element of its path is written as it was cleaned, and in one way only.
    pub(super) is_plain: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    path_end: u32,
    is_pad: bool,
    length: u64,
    offset: u64,
}

/// One file of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File<'a> {
    /// Its place under the download directory: relative, no `..`, and no two files alike, byte
    /// for byte ([`super::folded_names`] where that is not enough).
    /// A pad file's path means nothing.
    pub path: &'a Path,
    /// Its bytes.
    pub length: u64,
    /// Where it begins among the bytes of the torrent. In a v2-only torrent every file
    /// begins with a piece, and the gaps between them do not exist anywhere.
    pub offset: u64,
    /// Padding: all zeros, never on disk, never asked for (BEP 47).
    pub is_pad: bool,
}

/// A symbolic link of the torrent that stays inside it (BEP 47, attribute `l`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symlink {
    /// Where it stands, relative to the download directory.
    pub path: PathBuf,
    /// The file, directory or link of this torrent that it means, relative to the
    /// download directory too.
    pub target: PathBuf,
}

impl Symlink {
    /// What the link holds: the way from the directory that it stands in to its target.
    pub fn content(&self) -> PathBuf {
        let above: Vec<_> = self.path.parent().into_iter().flatten().collect();
        let target: Vec<_> = self.target.iter().collect();
        let common = above.iter().zip(&target).take_while(|(a, b)| a == b).count();
        // A link to a directory that it stands in has that one's name left at least.
        let common = common.min(target.len().saturating_sub(1));
        let up = std::iter::repeat_n(OsStr::new(".."), above.len() - common);
        up.chain(target.into_iter().skip(common)).collect()
    }
}

impl Files {
    /// How many files there are, pad files included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none, as in no torrent that was accepted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all files but the pad files.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// The file of this number.
    pub fn file(&self, file: FileIndex) -> Option<File<'_>> {
        let index = usize::try_from(file.0).ok()?;
        (index < self.entries.len()).then(|| self.at(index))
    }

    /// All files in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = File<'_>> {
        (0..self.entries.len()).map(|index| self.at(index))
    }

    /// Where each file lies among the bytes of a v1 or hybrid torrent.
    pub fn extents(&self) -> Extents {
        Extents::new(self.entries.iter().map(|entry| (entry.length, entry.is_pad)))
    }

    /// Where the torrent describes a file whose path it writes otherwise.
    pub(super) fn odd_begin(&self, file: FileIndex) -> Option<usize> {
        let found = self.odd.binary_search_by_key(&file.0, |odd| odd.file).ok()?;
        self.odd.get(found).map(|odd| odd.begin as usize)
    }

    /// Adds a file; refuses it when all paths together become too long.
    pub(super) fn push(
        &mut self,
        path: &str,
        length: u64,
        offset: u64,
        is_pad: bool,
        described: Described,
    ) -> Result<(), Error> {
        self.paths.push_str(path);
        if self.paths.len() > PATHS_LEN_MAX {
            return Err(refuse("info", "has paths of more than 128 MiB together"));
        }
        if !is_pad {
            self.data_len += length;
        }
        let begin = described.begin as u32;
        self.begins.push(begin);
        if !described.is_plain && !is_pad {
            self.odd.push(Odd { file: self.entries.len() as u32, begin });
        }
        let path_end = self.paths.len() as u32;
        self.entries.push(Entry { path_end, is_pad, length, offset });
        Ok(())
    }

    /// The path as text, `/` between its elements.
    pub(super) fn path(&self, index: usize) -> &str {
        let begin = match index.checked_sub(1) {
            Some(before) => self.entries[before].path_end as usize,
            None => 0,
        };
        &self.paths[begin..self.entries[index].path_end as usize]
    }

    /// The paths as text in their order, none for pad files.
    pub(super) fn names(&self) -> impl Iterator<Item = Option<&str>> + Clone {
        (0..self.entries.len()).map(|index| (!self.entries[index].is_pad).then(|| self.path(index)))
    }

    /// Replaces the paths of some files, given in their order.
    pub(super) fn rename(&mut self, renamed: &[(usize, String)]) {
        let mut paths = String::with_capacity(self.paths.len() + 4 * renamed.len());
        let mut ends = Vec::with_capacity(self.entries.len());
        for file in renamed.iter().map(|(index, _)| *index as u32) {
            if let Err(at) = self.odd.binary_search_by_key(&file, |odd| odd.file) {
                let begin = self.begins[file as usize];
                self.odd.insert(at, Odd { file, begin });
            }
        }
        let mut renamed = renamed.iter().peekable();
        for index in 0..self.entries.len() {
            match renamed.next_if(|(which, _)| *which == index) {
                Some((_, path)) => paths.push_str(path),
                None => paths.push_str(self.path(index)),
            }
            ends.push(paths.len() as u32);
        }
        self.paths = paths;
        for (entry, end) in self.entries.iter_mut().zip(ends) {
            entry.path_end = end;
        }
    }

    /// When all files are known and have their names.
    pub(super) fn shrink(&mut self) {
        self.begins = Vec::new();
        self.odd.shrink_to_fit();
        self.paths.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    pub(super) fn at(&self, index: usize) -> File<'_> {
        let Entry { is_pad, length, offset, .. } = self.entries[index];
        File { path: Path::new(self.path(index)), length, offset, is_pad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_holds_the_way_from_where_it_stands() {
        let content = |path: &str, target: &str| {
            let link = Symlink { path: path.into(), target: target.into() };
            link.content().to_str().map(str::to_owned)
        };
        let holds = |way: &str| Some(way.to_owned());
        assert_eq!(content("t/link", "t/film"), holds("film"));
        assert_eq!(content("t/a/b/link", "t/a/film"), holds("../film"));
        assert_eq!(content("t/a/b/link", "t/c/film"), holds("../../c/film"));
        assert_eq!(content("t/a/link", "t/a"), holds("../a"));
        assert_eq!(content("link", "film"), holds("film"));
    }
}

//! Names and paths byte for byte as the torrent's maker wrote them, before they were cleaned for
//! the disk: web seeds have their files under these (BEP 19). Never a path of this machine.

use crate::base::ids::FileIndex;
use crate::bencode::{self, List, Value};

use super::info::{Entry, Kind};
use super::torrent::Torrent;

/// Which of two ways to write a path is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Spelling {
    /// The one that counts: `name.utf-8` and `path.utf-8` where they are what they say.
    Preferred,
    /// `name` and `path`, where one of them says something else: in the encoding of whoever made
    /// the torrent, as his server may have it.
    Plain,
}

/// The elements of a path, as the torrent writes them.
type Elements<'a> = Vec<&'a [u8]>;

impl Torrent {
    /// The name of the torrent and, unless it is a single file, the elements of the file's path
    /// below it, as they were written: any bytes, even `..` or none. None for padding, for what
    /// has no name, and for a plain spelling that would be the preferred one again.
    pub fn written_path(&self, file: FileIndex, spelling: Spelling) -> Option<Vec<&[u8]>> {
        if self.files.file(file)?.is_pad {
            return None;
        }
        let [name, other_name] =
            self.written_names.each_ref().map(|span| self.raw_info().get(span.clone()?));
        let (elements, other_elements) = self.written_elements(file)?;
        let is_other = other_name.is_some() || other_elements.is_some();
        let (name, elements) = match spelling {
            Spelling::Preferred => (name?, elements),
            Spelling::Plain if !is_other => return None,
            Spelling::Plain => (other_name.or(name)?, other_elements.unwrap_or(elements)),
        };
        Some([name].into_iter().chain(elements).collect())
    }

    /// What stands below the torrent's name, and what does so in the other spelling.
    fn written_elements(&self, file: FileIndex) -> Option<(Elements<'_>, Option<Elements<'_>>)> {
        if self.is_single_file() {
            return Some((Vec::new(), None));
        }
        let Some(begin) = self.files.odd_begin(file) else {
            let path = self.files.path(file.0 as usize);
            return Some((path.split('/').skip(1).map(str::as_bytes).collect(), None));
        };
        if self.kind() == Kind::V2 {
            return Some((self.keys_to(begin)?, None));
        }
        // What is behind the description of the file is not looked at.
        let scan = bencode::scan(self.raw_info().get(begin..)?, bencode::TORRENT).ok()?;
        let entry = Entry::of(scan.root().dict()?);
        Some((bytes(entry.elements()?), entry.other_elements().map(bytes)))
    }

    /// The keys of the v2 tree on the way to the file that is described at `begin`.
    fn keys_to(&self, begin: usize) -> Option<Vec<&[u8]>> {
        let scan = bencode::scan(self.raw_info(), bencode::TORRENT).ok()?;
        let mut here = scan.root().dict()?.find(b"file tree")?;
        let mut keys = Vec::new();
        loop {
            let mut entries = here.dict()?;
            let (key, value) =
                Iterator::find(&mut entries, |(_, value)| value.span().contains(&begin))?;
            if key.is_empty() {
                return Some(keys);
            }
            keys.push(key);
            here = value;
        }
    }
}

fn bytes(list: List<'_>) -> Vec<&[u8]> {
    list.filter_map(Value::bytes).collect()
}

//! The file tree of v2 torrents and the piece layers that go with it (BEP 52). Walked with
//! a stack of its own, never by recursion.

use std::collections::HashMap;

use crate::base::layout::PIECES_MAX;
use crate::base::units::BLOCK_LEN;
use crate::bencode::{Dict, Value};

use super::files::{Described, Files, Symlink};
use super::info::{Entry, add_length, file_length};
use super::merkle::{self, Node};
use super::paths::push_clean;
use super::{Error, refuse};

/// The files of a tree. Each begins with a piece of its own.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: Files,
    pub(super) symlinks: Vec<Symlink>,
    pub(super) piece_count: u32,
    pub(super) roots: Vec<Root>,
}

/// Root of the hash tree of a file that is not empty.
pub(super) struct Root {
    pub(super) hash: Node,
    pub(super) piece_count: u32,
}

struct Directory<'a> {
    entries: Dict<'a>,
    path_len: usize,
    /// All elements of its path are as they were written.
    is_plain: bool,
    /// The key that was read last: keys ascend.
    last: &'a [u8],
}

impl<'a> Directory<'a> {
    fn new(entries: Dict<'a>, path: &str, is_plain: bool) -> Self {
        Self { entries, path_len: path.len(), is_plain, last: b"" }
    }
}

/// Reads a file tree. `parents` is the directory of the torrent, or empty for one that is a
/// single file. The order of the keys is that of the files and so of the pieces (BEP 52): in
/// another order, or twice, they would mean something else to everybody. The info dictionary begins
/// at `info_begin`.
pub(super) fn parse(
    tree: Dict<'_>,
    parents: &str,
    piece_length: u32,
    info_begin: usize,
) -> Result<Tree, Error> {
    let mut found = Tree::default();
    let mut path = parents.to_owned();
    let mut end = 0u64;
    let mut open = vec![Directory::new(tree, &path, true)];
    while let Some(directory) = open.last_mut() {
        path.truncate(directory.path_len);
        let Some((key, value)) = directory.entries.next() else {
            open.pop();
            continue;
        };
        if key.is_empty() {
            return Err(refuse(place(&path), "has an entry without a name"));
        }
        let is_behind = std::mem::replace(&mut directory.last, key) < key;
        if !path.is_empty() {
            path.push('/');
        }
        let begin = path.len();
        push_clean(&mut path, key);
        let is_plain = directory.is_plain && &path.as_bytes()[begin..] == key;
        if !is_behind {
            return Err(refuse(place(&path), "is out of order, or there twice"));
        }
        let dict = value.dict().ok_or_else(|| refuse(place(&path), "is not a dictionary"))?;
        let mut inner = dict;
        match inner.next() {
            // The empty key sorts first and marks a file.
            Some((b"", _)) if inner.next().is_some() => {
                return Err(refuse(place(&path), "is a file and a directory at once"));
            }
            Some((b"", value)) => {
                let dict = value.dict();
                let dict = dict.ok_or_else(|| refuse(place(&path), "is not a dictionary"))?;
                if !dict.map(|(key, _)| key).is_sorted_by(|a, b| a < b) {
                    return Err(refuse(place(&path), "has keys out of order, or twice"));
                }
                let entry = Entry::of(dict);
                if entry.has_attribute(b'l') {
                    found.symlinks.extend(entry.symlink(parents, &path));
                } else {
                    let begin = value.span().start - info_begin;
                    let described = Described { begin, is_plain };
                    end = found.add(&entry, &path, end, piece_length, described)?;
                }
            }
            Some(_) => open.push(Directory::new(dict, &path, is_plain)),
            None => {}
        }
    }
    Ok(found)
}

impl Tree {
    /// Adds a file behind the piece that ends at `end`, and tells where its own last
    /// piece ends.
    fn add(
        &mut self,
        entry: &Entry<'_>,
        path: &str,
        end: u64,
        piece_length: u32,
        described: Described,
    ) -> Result<u64, Error> {
        let here = || place(path);
        // BEP 47: padding aligns the files that follow, and in a tree all are aligned.
        if entry.has_attribute(b'p') {
            return Err(refuse(here(), "is padding, which a v2 tree cannot hold"));
        }
        let length = entry.length.ok_or_else(|| refuse(here(), "has no length"))?;
        let length = file_length(length, here)?;
        self.files.push(path, length, end, false, described)?;
        // BEP 52: a file of no length has no root.
        if length == 0 {
            return Ok(end);
        }
        let root = entry.pieces_root.and_then(Value::bytes).and_then(|root| root.try_into().ok());
        let hash = root.ok_or_else(|| refuse(here(), "has no pieces root of 32 bytes"))?;
        // No data has it; zeros stand for leaves behind the end of a file.
        if hash == [0; 32] {
            return Err(refuse(here(), "has a pieces root of zeros, which no data has"));
        }
        let piece_length = u64::from(piece_length);
        let count = u32::try_from(length.div_ceil(piece_length)).ok();
        let total = count.and_then(|count| self.piece_count.checked_add(count));
        let (Some(count), Some(total @ ..=PIECES_MAX)) = (count, total) else {
            return Err(refuse(here(), format!("makes more than {PIECES_MAX} pieces")));
        };
        self.piece_count = total;
        self.roots.push(Root { hash, piece_count: count });
        add_length(end, u64::from(count) * piece_length, here)
    }
}

/// BEP 52 marks a single-file torrent by nothing but a tree that holds one file of the
/// torrent's own name, here as it was written.
pub(super) fn is_single_file(mut tree: Dict<'_>, raw_name: Option<&[u8]>) -> bool {
    let (Some((key, value)), None) = (tree.next(), tree.next()) else { return false };
    let inner = value.dict().and_then(|mut dict| dict.next());
    Some(key) == raw_name && matches!(inner, Some((b"", _)))
}

fn place(path: &str) -> String {
    format!("info.file tree ({path})")
}

/// Checks the piece layers against the roots in the file tree: each leads to the root of a file.
/// Tells how many files longer than a piece have none. They are not refused: what magnet links
/// give has no layers at all, and they are asked for from peers.
pub(super) fn check_layers(
    layers: Value<'_>,
    roots: &[Root],
    piece_length: u32,
) -> Result<u32, Error> {
    const PLACE: &str = "piece layers";
    let layers = layers.dict().ok_or_else(|| refuse(PLACE, "is not a dictionary"))?;
    let mut layers = read_layers(layers)?;
    let blocks = piece_length as usize / BLOCK_LEN;
    let mut missing = 0;
    for root in roots {
        let Some(layer) = layers.get_mut(root.hash.as_slice()) else {
            missing += u32::from(root.piece_count > 1);
            continue;
        };
        // Files alike share a layer, which is checked once.
        if std::mem::replace(&mut layer.checked, root.piece_count) == root.piece_count {
            continue;
        }
        let name = data_encoding::HEXLOWER.encode(&root.hash);
        let (nodes, rest) = layer.nodes.as_chunks::<32>();
        if !rest.is_empty() || u32::try_from(nodes.len()) != Ok(root.piece_count) {
            let problem = format!(
                "of root {name} has {} bytes, but the file {} pieces",
                layer.nodes.len(),
                root.piece_count
            );
            return Err(refuse(PLACE, problem));
        }
        if merkle::root(nodes.to_vec(), blocks.trailing_zeros()) != root.hash {
            return Err(refuse(PLACE, format!("does not lead to its root {name}")));
        }
    }
    match layers.iter().find(|(_, layer)| layer.checked == 0) {
        Some((root, _)) => {
            let name = data_encoding::HEXLOWER.encode(&root[..root.len().min(32)]);
            Err(refuse(PLACE, format!("has one of root {name}, which no file has")))
        }
        None => Ok(missing),
    }
}

/// The piece layer of a file.
struct Layer<'a> {
    nodes: &'a [u8],
    /// Pieces of the file that it was checked for; 0 as long as it was not.
    checked: u32,
}

fn read_layers(layers: Dict<'_>) -> Result<HashMap<&[u8], Layer<'_>>, Error> {
    let mut read = HashMap::new();
    for (root, value) in layers {
        let nodes = value.bytes().ok_or_else(|| refuse("piece layers", "holds no strings"))?;
        if read.insert(root, Layer { nodes, checked: 0 }).is_some() {
            return Err(refuse("piece layers", "names a root twice"));
        }
    }
    Ok(read)
}

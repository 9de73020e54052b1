//! The file tree of v2 torrents and the piece layers that go with it (BEP 52). Walked with
//! a stack of its own, never by recursion.

use std::collections::HashMap;

use crate::base::layout::PIECES_MAX;
use crate::base::units::BLOCK_LEN;
use crate::bencode::{Dict, Value};

use super::files::{Files, Symlink};
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

/// Root of the hash tree of a file longer than a piece.
pub(super) struct Root {
    pub(super) hash: Node,
    pub(super) piece_count: u32,
}

struct Directory<'a> {
    entries: Dict<'a>,
    path_len: usize,
}

/// Reads a file tree. `parents` is the directory of the torrent, or empty for one that is a
/// single file.
pub(super) fn parse(tree: Dict<'_>, parents: &str, piece_length: u32) -> Result<Tree, Error> {
    let mut found = Tree::default();
    let mut path = parents.to_owned();
    let mut end = 0u64;
    let mut open = vec![Directory { entries: tree, path_len: path.len() }];
    while let Some(directory) = open.last_mut() {
        path.truncate(directory.path_len);
        let Some((key, value)) = directory.entries.next() else {
            open.pop();
            continue;
        };
        if key.is_empty() {
            return Err(refuse(place(&path), "has an entry without a name"));
        }
        if !path.is_empty() {
            path.push('/');
        }
        push_clean(&mut path, key);
        let dict = value.dict().ok_or_else(|| refuse(place(&path), "is not a dictionary"))?;
        match dict.into_iter().next() {
            // The empty key sorts first and marks a file.
            Some((b"", value)) => {
                let dict = value.dict();
                let dict = dict.ok_or_else(|| refuse(place(&path), "is not a dictionary"))?;
                let entry = Entry::of(dict);
                if entry.has_attribute(b'l') {
                    found.symlinks.extend(entry.symlink(parents, &path));
                } else {
                    end = found.add(&entry, &path, end, piece_length)?;
                }
            }
            Some(_) => open.push(Directory { entries: dict, path_len: path.len() }),
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
    ) -> Result<u64, Error> {
        let here = || place(path);
        let length = entry.length.ok_or_else(|| refuse(here(), "has no length"))?;
        let length = file_length(length, here)?;
        self.files.push(path, length, end, entry.has_attribute(b'p'))?;
        // BEP 52: a file of no length has no root.
        if length == 0 {
            return Ok(end);
        }
        let root = entry.pieces_root.and_then(Value::bytes).and_then(|root| root.try_into().ok());
        let hash = root.ok_or_else(|| refuse(here(), "has no pieces root of 32 bytes"))?;
        let piece_length = u64::from(piece_length);
        let count = u32::try_from(length.div_ceil(piece_length)).ok();
        let total = count.and_then(|count| self.piece_count.checked_add(count));
        let (Some(count), Some(total @ ..=PIECES_MAX)) = (count, total) else {
            return Err(refuse(here(), format!("makes more than {PIECES_MAX} pieces")));
        };
        self.piece_count = total;
        if count > 1 {
            self.roots.push(Root { hash, piece_count: count });
        }
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

/// Checks the piece layers against the roots in the file tree: each file longer than a piece
/// has one, and it leads to the file's root. A torrent without any layers passes: what
/// magnet links give has none, and they are asked for from peers.
pub(super) fn check_layers(
    layers: Option<Value<'_>>,
    roots: &[Root],
    piece_length: u32,
) -> Result<(), Error> {
    const PLACE: &str = "piece layers";
    let Some(layers) = layers else { return Ok(()) };
    let layers = layers.dict().ok_or_else(|| refuse(PLACE, "is not a dictionary"))?;
    let layers: HashMap<&[u8], &[u8]> =
        layers.filter_map(|(root, layer)| Some((root, layer.bytes()?))).collect();
    let blocks = piece_length as usize / BLOCK_LEN;
    let mut checked: HashMap<Node, u32> = HashMap::new();
    for root in roots {
        // Files alike share a layer, which is checked once.
        if checked.insert(root.hash, root.piece_count) == Some(root.piece_count) {
            continue;
        }
        let name = data_encoding::HEXLOWER.encode(&root.hash);
        let layer = layers.get(root.hash.as_slice());
        let layer = layer.ok_or_else(|| refuse(PLACE, format!("lacks the root {name}")))?;
        let (nodes, rest) = layer.as_chunks::<32>();
        if !rest.is_empty() || u32::try_from(nodes.len()) != Ok(root.piece_count) {
            let problem = format!(
                "of root {name} has {} bytes, but the file {} pieces",
                layer.len(),
                root.piece_count
            );
            return Err(refuse(PLACE, problem));
        }
        if merkle::root(nodes.to_vec(), blocks.trailing_zeros()) != root.hash {
            return Err(refuse(PLACE, format!("does not lead to its root {name}")));
        }
    }
    Ok(())
}

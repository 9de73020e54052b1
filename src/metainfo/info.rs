//! The `info` dictionary: v1 (BEP 3), v2 (BEP 52) or both at once, in which case the two
//! must describe the same files. The info-hashes are those of its raw bytes, whatever the
//! order of its keys. Not here: the v2 file tree (`tree`), and all that surrounds `info`.

use std::ops::Range;
use std::path::PathBuf;

use sha1::Digest;

use crate::base::ids::{InfoHash, InfoHashV2};
use crate::base::layout::{Layout, PIECE_LEN_MAX, PIECES_MAX};
use crate::bencode::{self, Dict, List, Value};

use super::files::{Described, Files, Symlink};
use super::merkle::Node;
use super::paths::{clean, push_clean};
use super::tree::{self, Root};
use super::{Error, refuse, twins};

/// Elements of a path, the torrent's name not counted (the limit libtorrent keeps).
const PATH_DEPTH_MAX: usize = 100;

/// Which of the two formats a torrent has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// BEP 3 only.
    V1,
    /// BEP 52 only.
    V2,
    /// Both, for the same files.
    Hybrid,
}

/// What an `info` dictionary says, checked.
pub(super) struct Info {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Where the raw dictionary has it, and where it has it otherwise.
    pub(super) written_names: [Option<Range<usize>>; 2],
    /// One file, which the torrent is called after.
    pub(super) is_single: bool,
    pub(super) hash_v1: Option<InfoHash>,
    pub(super) hash_v2: Option<InfoHashV2>,
    pub(super) layout: Option<Layout>,
    pub(super) piece_length: u32,
    pub(super) piece_count: u32,
    /// Where the v1 piece hashes lie within the raw dictionary; empty for v2.
    pub(super) hashes: Range<usize>,
    pub(super) files: Files,
    pub(super) symlinks: Vec<Symlink>,
    /// Of all files in the v2 tree that are not empty.
    pub(super) roots: Vec<Root>,
    /// How many files longer than a piece wait for their piece layer.
    pub(super) missing_layers: u32,
    pub(super) is_private: bool,
}

/// The raw values of the keys we read.
#[derive(Default)]
struct Fields<'a> {
    files: Option<Value<'a>>,
    file_tree: Option<Value<'a>>,
    length: Option<Value<'a>>,
    meta_version: Option<Value<'a>>,
    name: Option<Value<'a>>,
    name_utf8: Option<Value<'a>>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    private: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    /// The first of equal keys counts, as for the info-hash.
    fn of(info: Dict<'a>) -> Self {
        let mut fields = Self::default();
        for (key, value) in info {
            let field = match key {
                b"files" => &mut fields.files,
                b"file tree" => &mut fields.file_tree,
                b"length" => &mut fields.length,
                b"meta version" => &mut fields.meta_version,
                b"name" => &mut fields.name,
                b"name.utf-8" => &mut fields.name_utf8,
                b"piece length" => &mut fields.piece_length,
                b"pieces" => &mut fields.pieces,
                b"private" => &mut fields.private,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        fields
    }

    /// BEP 52 asks for `meta version` to be judged before anything else.
    fn kind(&self) -> Result<Kind, Error> {
        const PLACE: &str = "info.meta version";
        let Some(version) = self.meta_version else { return Ok(Kind::V1) };
        match version.integer() {
            None => Err(refuse(PLACE, "is not a number")),
            Some(1) => Ok(Kind::V1),
            Some(2) if self.pieces.is_some() => Ok(Kind::Hybrid),
            Some(2) => Ok(Kind::V2),
            Some(other) => Err(refuse(PLACE, format!("is {other}; versions 1 and 2 are known"))),
        }
    }

    /// The name as it was written; `name.utf-8` counts more, if it is what it says.
    fn raw_name(&self) -> Option<&'a [u8]> {
        self.names()[0].and_then(Value::bytes)
    }

    /// The name, and the one that stands beside it if they differ.
    fn names(&self) -> [Option<Value<'a>>; 2] {
        let preferred = self.name_utf8.filter(|name| name.text().is_some());
        let plain = self.name.filter(|name| name.bytes().is_some());
        match (preferred, plain) {
            (Some(preferred), Some(plain)) if preferred.raw() == plain.raw() => [Some(plain), None],
            (Some(preferred), plain) => [Some(preferred), plain],
            (None, plain) => [plain, None],
        }
    }
}

/// Reads an `info` dictionary.
pub(super) fn parse(info: Value<'_>) -> Result<Info, Error> {
    let dict = info.dict().ok_or_else(|| refuse("info", "is not a dictionary"))?;
    let fields = Fields::of(dict);
    let kind = fields.kind()?;
    if kind != Kind::V1 {
        assert_plain_numbers("info", info)?;
    }
    let raw = info.raw();
    let hash_v1 = (kind != Kind::V2).then(|| InfoHash(sha1::Sha1::digest(raw).into()));
    let hash_v2 = (kind != Kind::V1).then(|| InfoHashV2(sha2::Sha256::digest(raw).into()));
    let name = match (fields.raw_name(), hash_v1, hash_v2) {
        (Some(name), _, _) => clean(name),
        (None, Some(hash), _) => hash.to_string(),
        (None, None, Some(hash)) => hash.to_string(),
        (None, None, None) => clean(b""),
    };
    let piece_length = piece_length(&fields, kind)?;
    let mut parsed = Info {
        kind,
        name,
        written_names: fields.names().map(|name| {
            let (content, end) = (name?.bytes()?, name?.span().end - info.span().start);
            Some(end - content.len()..end)
        }),
        is_single: false,
        hash_v1,
        hash_v2,
        layout: None,
        piece_length,
        piece_count: 0,
        hashes: 0..0,
        files: Files::default(),
        symlinks: Vec::new(),
        roots: Vec::new(),
        missing_layers: 0,
        is_private: fields.private.and_then(Value::integer).is_some_and(|value| value != 0),
    };
    read_files(&mut parsed, &fields, info.span().start)?;
    let links = std::mem::take(&mut parsed.symlinks);
    parsed.symlinks = twins::resolve(&mut parsed.files, links)?;
    parsed.files.shrink();
    Ok(parsed)
}

/// Numbers with leading zeros are in real v1 torrents; those of BEP 52 came after all programs
/// had learned not to write them (BEP 3).
pub(super) fn assert_plain_numbers(place: &str, value: Value<'_>) -> Result<(), Error> {
    match value.odd_number() {
        Some(at) => Err(refuse(place, format!("has a number with a leading zero at byte {at}"))),
        None => Ok(()),
    }
}

/// The roots of a v2 file tree, in its order.
pub(super) fn roots(raw_info: &[u8], piece_length: u32) -> Result<Vec<Node>, Error> {
    let scan = bencode::scan(raw_info, bencode::TORRENT)?;
    let tree = scan.root().dict().and_then(|info| info.find(b"file tree")).and_then(Value::dict);
    let tree = tree.ok_or_else(|| refuse("info.file tree", "is missing"))?;
    let tree = tree::parse(tree, "", piece_length, 0)?;
    Ok(tree.roots.into_iter().map(|root| root.hash).collect())
}

/// Reads the one or two lists of files and settles the pieces.
fn read_files(parsed: &mut Info, fields: &Fields<'_>, info_begin: usize) -> Result<(), Error> {
    if parsed.kind != Kind::V1 {
        let tree = fields.file_tree.and_then(Value::dict);
        let tree = tree.ok_or_else(|| refuse("info.file tree", "is missing"))?;
        let is_single = match parsed.kind {
            Kind::Hybrid => fields.files.is_none(),
            _ => tree::is_single_file(tree, fields.raw_name()),
        };
        let parents = if is_single { "" } else { parsed.name.as_str() };
        let v2 = tree::parse(tree, parents, parsed.piece_length, info_begin)?;
        parsed.is_single = is_single;
        parsed.piece_count = v2.piece_count;
        parsed.files = v2.files;
        parsed.symlinks = v2.symlinks;
        parsed.roots = v2.roots;
        let long = parsed.roots.iter().filter(|root| root.piece_count > 1);
        // Each has two pieces at least, and those were counted.
        parsed.missing_layers = long.count() as u32;
    }
    if parsed.kind != Kind::V2 {
        let (files, symlinks, total) = match fields.files {
            Some(files) => {
                let list = files.list();
                let list = list.ok_or_else(|| refuse("info.files", "is not a list"))?;
                multi_file(list, &parsed.name, info_begin)?
            }
            None => single_file(fields.length, &parsed.name)?,
        };
        if parsed.kind == Kind::Hybrid {
            same_files(&files, &parsed.files, parsed.piece_length)?;
        }
        parsed.is_single = fields.files.is_none();
        let layout = Layout::new(total, parsed.piece_length)
            .ok_or_else(|| refuse("info", format!("makes more than {PIECES_MAX} pieces")))?;
        parsed.hashes = piece_hashes(fields.pieces, layout, info_begin)?;
        parsed.piece_count = layout.piece_count();
        parsed.layout = Some(layout);
        parsed.files = files;
        parsed.symlinks = symlinks;
    }
    match parsed.files.is_empty() {
        true => Err(refuse("info", "names no files")),
        false => Ok(()),
    }
}

fn piece_length(fields: &Fields<'_>, kind: Kind) -> Result<u32, Error> {
    const PLACE: &str = "info.piece length";
    let value = fields.piece_length.ok_or_else(|| refuse(PLACE, "is missing"))?;
    let length = value.integer().ok_or_else(|| refuse(PLACE, "is not a number"))?;
    match u32::try_from(length) {
        Ok(length @ 1..=PIECE_LEN_MAX) if kind == Kind::V1 => Ok(length),
        Ok(length @ 16_384..=PIECE_LEN_MAX) if length.is_power_of_two() => Ok(length),
        Ok(1..=PIECE_LEN_MAX) => {
            Err(refuse(PLACE, format!("is {length}, not a power of two from 16384")))
        }
        _ => Err(refuse(PLACE, format!("is {length}, not 1 to {PIECE_LEN_MAX}"))),
    }
}

/// Where the piece hashes lie within the info dictionary, one for each piece.
fn piece_hashes(
    pieces: Option<Value<'_>>,
    layout: Layout,
    info_begin: usize,
) -> Result<Range<usize>, Error> {
    const PLACE: &str = "info.pieces";
    let value = pieces.ok_or_else(|| refuse(PLACE, "is missing"))?;
    let hashes = value.bytes().ok_or_else(|| refuse(PLACE, "is not a string"))?;
    if !hashes.len().is_multiple_of(20) {
        let problem = format!("has {} bytes, not a multiple of 20", hashes.len());
        return Err(refuse(PLACE, problem));
    }
    let (count, wanted) = (hashes.len() / 20, layout.piece_count());
    if u32::try_from(count) != Ok(wanted) {
        let problem = format!("has {count} hashes, but the files make {wanted} pieces");
        return Err(refuse(PLACE, problem));
    }
    let end = value.span().end - info_begin;
    Ok(end - hashes.len()..end)
}

type FileList = (Files, Vec<Symlink>, u64);

fn single_file(length: Option<Value<'_>>, name: &str) -> Result<FileList, Error> {
    let length = length.ok_or_else(|| refuse("info", "has neither files nor length"))?;
    let length = file_length(length, || "info.length".to_owned())?;
    let mut files = Files::default();
    // Its path is the name, of which is known where it is written.
    files.push(name, length, 0, false, Described { begin: 0, is_plain: true })?;
    Ok((files, Vec::new(), length))
}

fn multi_file(list: List<'_>, name: &str, info_begin: usize) -> Result<FileList, Error> {
    let mut files = Files::default();
    let mut symlinks = Vec::new();
    let mut total = 0u64;
    let mut path = name.to_owned();
    for (number, value) in list.enumerate() {
        let place = |key: &str| format!("info.files[{number}]{key}");
        let entry = value.dict().ok_or_else(|| refuse(place(""), "is not a dictionary"))?;
        let entry = Entry::of(entry);
        let is_pad = entry.is_pad();
        path.truncate(name.len());
        let is_plain = match entry.elements() {
            Some(elements) => push_path(&mut path, elements, || place(".path"))?,
            None if is_pad => {
                path.push_str("/.pad");
                true
            }
            None => return Err(refuse(place(".path"), "is missing or not a list of strings")),
        };
        // A link holds no bytes of the torrent, whatever its length says.
        if entry.has_attribute(b'l') {
            symlinks.extend(entry.symlink(name, &path));
            continue;
        }
        let length = entry.length.ok_or_else(|| refuse(place(".length"), "is missing"))?;
        let length = file_length(length, || place(".length"))?;
        let is_plain = is_plain && entry.other_elements().is_none();
        let described = Described { begin: value.span().start - info_begin, is_plain };
        files.push(&path, length, total, is_pad, described)?;
        total = add_length(total, length, || place(".length"))?;
    }
    Ok((files, symlinks, total))
}

/// A length is an integer from 0 to 2^63 - 1.
pub(super) fn file_length(value: Value<'_>, place: impl Fn() -> String) -> Result<u64, Error> {
    let length = value.integer().ok_or_else(|| refuse(place(), "is not a number below 2^63"))?;
    u64::try_from(length).map_err(|_| refuse(place(), format!("is negative: {length}")))
}

/// Sums stay below 2^63: offsets of files are signed in most systems.
pub(super) fn add_length(
    total: u64,
    length: u64,
    place: impl Fn() -> String,
) -> Result<u64, Error> {
    total
        .checked_add(length)
        .filter(|total| i64::try_from(*total).is_ok())
        .ok_or_else(|| refuse(place(), "makes the torrent longer than 2^63 bytes"))
}

/// Appends a path, and tells whether each element stands there as it was written.
fn push_path(
    path: &mut String,
    elements: List<'_>,
    place: impl Fn() -> String,
) -> Result<bool, Error> {
    let mut count = 0;
    let mut is_plain = true;
    for element in elements.filter_map(Value::bytes) {
        count += 1;
        if count > PATH_DEPTH_MAX {
            let problem = format!("has more than {PATH_DEPTH_MAX} elements");
            return Err(refuse(place(), problem));
        }
        path.push('/');
        let begin = path.len();
        push_clean(path, element);
        is_plain &= &path.as_bytes()[begin..] == element;
    }
    if count == 0 {
        path.push('/');
        push_clean(path, b"");
    }
    Ok(is_plain && count > 0)
}

/// The keys of one file, in either format.
#[derive(Default)]
pub(super) struct Entry<'a> {
    pub(super) length: Option<Value<'a>>,
    pub(super) pieces_root: Option<Value<'a>>,
    path: Option<Value<'a>>,
    path_utf8: Option<Value<'a>>,
    attributes: &'a [u8],
    symlink_path: Option<Value<'a>>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(dict: Dict<'a>) -> Self {
        let mut entry = Self::default();
        for (key, value) in dict {
            match key {
                b"length" => entry.length = entry.length.or(Some(value)),
                b"pieces root" => entry.pieces_root = entry.pieces_root.or(Some(value)),
                b"path" => entry.path = entry.path.or(Some(value)),
                b"path.utf-8" => entry.path_utf8 = entry.path_utf8.or(Some(value)),
                b"attr" => entry.attributes = value.bytes().unwrap_or_default(),
                b"symlink path" => entry.symlink_path = entry.symlink_path.or(Some(value)),
                _ => {}
            }
        }
        entry
    }

    /// Attributes of BEP 47: `p` padding, `l` symbolic link, and others that we ignore.
    pub(super) fn has_attribute(&self, attribute: u8) -> bool {
        self.attributes.contains(&attribute)
    }

    /// The elements of the path; `path.utf-8` counts more, if it is what it says.
    pub(super) fn elements(&self) -> Option<List<'a>> {
        self.preferred_elements().or_else(|| self.plain_elements())
    }

    /// Those of `path`, where `path.utf-8` counts more and says something else.
    pub(super) fn other_elements(&self) -> Option<List<'a>> {
        let is_other = self.path_utf8?.raw() != self.path?.raw();
        self.preferred_elements().and_then(|_| self.plain_elements()).filter(|_| is_other)
    }

    fn preferred_elements(&self) -> Option<List<'a>> {
        let list = self.path_utf8.and_then(Value::list)?;
        list.into_iter().all(|name| name.text().is_some()).then_some(list)
    }

    fn plain_elements(&self) -> Option<List<'a>> {
        let list = self.path.and_then(Value::list)?;
        list.into_iter().all(|name| name.bytes().is_some()).then_some(list)
    }

    /// Padding is what has the attribute (BEP 47), whatever it is called: a file called as some
    /// programs call their padding is a file.
    fn is_pad(&self) -> bool {
        self.has_attribute(b'p')
    }

    /// The link that stands at `path` of the torrent called `name`; none when its target is
    /// not a path inside the torrent, written without detours.
    pub(super) fn symlink(&self, name: &str, path: &str) -> Option<Symlink> {
        let mut target = PathBuf::from(name);
        let mut elements = self.symlink_path?.list()?.peekable();
        elements.peek()?;
        for element in elements {
            let element = element.text()?;
            if clean(element.as_bytes()) != element {
                return None;
            }
            target.push(element);
        }
        Some(Symlink { path: PathBuf::from(path), target })
    }
}

/// BEP 52: the two halves of a hybrid torrent must describe the same data; a client that
/// sees a difference must not go on.
fn same_files(v1: &Files, v2: &Files, piece_length: u32) -> Result<(), Error> {
    let mut others = 0..v2.len();
    for (index, file) in v1.iter().enumerate().filter(|(_, file)| !file.is_pad) {
        let place = || format!("info.files[{index}]");
        let path = v1.path(index);
        let Some(other) = others.next() else {
            return Err(refuse(place(), format!("({path}) is not in the v2 file tree")));
        };
        let length = v2.at(other).length;
        if v2.path(other) != path {
            let problem = format!("({path}) is {} in the v2 file tree", v2.path(other));
            return Err(refuse(place(), problem));
        }
        if length != file.length {
            let problem = format!("({path}) has {} bytes, but {length} in v2", file.length);
            return Err(refuse(place(), problem));
        }
        if file.length > 0 && !file.offset.is_multiple_of(u64::from(piece_length)) {
            let problem = format!("({path}) begins inside a piece, as no file of a hybrid may");
            return Err(refuse(place(), problem));
        }
    }
    match others.next() {
        Some(other) => {
            let problem = format!("lacks {}, which is in the v2 file tree", v2.path(other));
            Err(refuse("info.files", problem))
        }
        None => Ok(()),
    }
}

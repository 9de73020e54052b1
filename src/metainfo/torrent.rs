//! A torrent: what its file says, checked and cleaned (BEP 3). It is immutable knowledge;
//! nothing in here knows how much of it has been downloaded.

use std::ops::Range;
use std::sync::Arc;

use crate::base::extents::Extents;
use crate::base::hashes::PieceHashes;
use crate::base::ids::{InfoHash, InfoHashV2};
use crate::base::layout::{Layout, PieceIndex};
use crate::bencode::{self, Value};

use super::files::{File, Files, Symlink};
use super::flaws::{self, Flaw};
use super::info::{self, Info, Kind};
use super::{Error, Magnet, refuse, sources, tree};

/// The largest torrent that is read, in bytes: with thirteen million pieces of v1.
pub const TORRENT_LEN_MAX: usize = 256 << 20;

/// A torrent as its maker described it.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// Its name, safe to create as a file or directory.
    pub name: String,
    /// SHA-1 of the raw info dictionary; none for v2-only torrents.
    pub info_hash_v1: Option<InfoHash>,
    /// SHA-256 of the raw info dictionary; none for v1-only torrents.
    pub info_hash_v2: Option<InfoHashV2>,
    /// Geometry of the v1 half; none for v2-only torrents.
    pub layout: Option<Layout>,
    /// The files, pad files among them.
    pub files: Files,
    /// Links that stay inside the torrent.
    pub symlinks: Vec<Symlink>,
    /// Nominal bytes of a piece.
    pub piece_length: u32,
    /// Pieces of the v1 half, or of all files of a v2-only torrent.
    pub num_pieces: u32,
    /// Files longer than a piece whose piece layer is not there, so that nothing of them can be
    /// verified by v2 (BEP 52): of magnet links all of them.
    pub missing_layers: u32,
    /// No peers but those of the trackers (BEP 27). Of a file whose pieces nothing judges there are
    /// none at all.
    pub private: bool,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Whatever its maker wanted to say. Text of a stranger, as all of these: escape it.
    pub comment: Option<String>,
    /// The encoding its strings are said to have.
    pub encoding: Option<String>,
    /// Tracker URLs by tier (BEP 12); no tier is empty, no URL is there twice.
    pub trackers: Vec<Vec<String>>,
    /// `url-list`: URLs of web seeds (BEP 19), legal ones of http and https, at most
    /// [`super::WEB_SEEDS_MAX`].
    pub web_seeds: Vec<String>,
    /// `httpseeds`: URLs of scripts that serve pieces (BEP 17), of the same kind.
    pub http_seeds: Vec<String>,
    /// Nodes of the DHT, by name or address, and their ports (BEP 5).
    pub nodes: Vec<(String, u16)>,
    kind: Kind,
    is_judged: bool,
    is_single: bool,
    /// Where the info dictionary has the name, and where it has it otherwise.
    pub(super) written_names: [Option<Range<usize>>; 2],
    raw_info: Arc<[u8]>,
    hashes: Range<usize>,
}

impl Torrent {
    /// Reads a torrent file. Bytes behind it are ignored, as many real ones have a newline
    /// there.
    ///
    /// # Errors
    /// When it is too large, not bencode, or describes no files that could be downloaded;
    /// fields that only describe it are left out when they are malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > TORRENT_LEN_MAX {
            return Err(Error::TooLarge { len: bytes.len() });
        }
        let scan = bencode::scan(bytes, bencode::TORRENT)?;
        let root = scan.root().dict();
        let root = root.ok_or_else(|| refuse("the file", "is not a bencoded dictionary"))?;
        let mut outer = Outer::default();
        for (key, value) in root {
            outer.take(key, value);
        }
        let info = outer.info.ok_or_else(|| refuse("info", "is missing"))?;
        let mut parsed = info::parse(info)?;
        if let Some(layers) = outer.piece_layers.filter(|_| parsed.kind != Kind::V1) {
            info::assert_plain_numbers("piece layers", layers)?;
            parsed.missing_layers = tree::check_layers(layers, &parsed.roots, parsed.piece_length)?;
        }
        let mut torrent = Self::of(parsed, info.raw());
        torrent.created_by = text(outer.created_by);
        torrent.creation_date = outer.creation_date.and_then(Value::integer);
        torrent.comment = text(outer.comment_utf8).or_else(|| text(outer.comment));
        torrent.encoding = text(outer.encoding);
        torrent.trackers = sources::trackers(outer.announce_list, outer.announce);
        torrent.web_seeds = sources::web_seeds(outer.url_list);
        torrent.http_seeds = sources::web_seeds(outer.httpseeds);
        torrent.nodes = sources::nodes(outer.nodes);
        Ok(torrent)
    }

    /// Reads a bare info dictionary, as peers send it for a magnet link (BEP 9) and as we
    /// save it. The caller compares the info-hash; trackers are the caller's to add.
    ///
    /// # Errors
    /// As [`Torrent::parse`], and for bytes behind the dictionary: they would count for the
    /// info-hash that was asked for.
    pub fn from_info(raw_info: &[u8]) -> Result<Self, Error> {
        if raw_info.len() > TORRENT_LEN_MAX {
            return Err(Error::TooLarge { len: raw_info.len() });
        }
        let scan = bencode::scan(raw_info, bencode::TORRENT)?;
        match raw_info.len() - scan.len {
            0 => Ok(Self::of(info::parse(scan.root())?, raw_info)),
            count => Err(bencode::Error::Trailing { offset: scan.len, count }.into()),
        }
    }

    /// A file of which nothing tells the pieces: as [`from_info`](Self::from_info), of an info
    /// dictionary whose hashes stand for nothing. Its pieces count as they come, so it is for
    /// servers that somebody names and no peers, and whoever has it made judges the whole.
    ///
    /// # Errors
    /// As [`Torrent::from_info`].
    pub fn unjudged(raw_info: &[u8]) -> Result<Self, Error> {
        Ok(Self { is_judged: false, private: true, ..Self::from_info(raw_info)? })
    }

    /// Does each piece have a hash by which it is judged?
    pub fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// Which formats the torrent has.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is one file that is called like the torrent, in no directory of its own. A list
    /// of one file is none of these (BEP 3).
    pub fn is_single_file(&self) -> bool {
        self.is_single
    }

    /// The info dictionary, byte for byte as its maker wrote it.
    pub fn raw_info(&self) -> &[u8] {
        &self.raw_info
    }

    /// The same, shared.
    pub fn shared_info(&self) -> Arc<[u8]> {
        self.raw_info.clone()
    }

    /// The hashes that handshakes, trackers and the DHT know it by: of version 1, and the first 20
    /// bytes of that of version 2 (BEP 52).
    pub fn swarm_hashes(&self) -> Vec<InfoHash> {
        let second = self.info_hash_v2.map(|hash| InfoHash(std::array::from_fn(|at| hash.0[at])));
        self.info_hash_v1.into_iter().chain(second).collect()
    }

    /// Bytes of all files, pad files not counted.
    pub fn total_size(&self) -> u64 {
        self.files.data_len()
    }

    /// SHA-1 of a piece.
    ///
    /// # Panics
    /// When the piece is of another torrent's layout.
    pub fn piece_hash(&self, piece: PieceIndex) -> &[u8; 20] {
        let (hashes, _) = self.raw_info[self.hashes.clone()].as_chunks();
        hashes.get(piece.index()).expect("a piece of this torrent's layout")
    }

    /// SHA-1 of all pieces of the v1 half, 20 bytes each, one behind the other.
    pub fn piece_hashes(&self) -> &[u8] {
        &self.raw_info[self.hashes.clone()]
    }

    /// The same to keep: a part of the info dictionary, not a copy.
    pub fn shared_piece_hashes(&self) -> PieceHashes {
        let hashes = PieceHashes::within(self.raw_info.clone(), self.hashes.clone());
        let hashes = hashes.expect("the reader found them in there");
        if self.is_judged { hashes } else { hashes.unknown() }
    }

    /// Where each file lies among the bytes of the torrent; none for v2-only torrents,
    /// whose files share no space.
    pub fn extents(&self) -> Option<Extents> {
        self.layout.map(|_| self.files.extents())
    }

    /// The root of each file's hash tree (BEP 52), by the file's number; none for files without
    /// bytes, and for all of v1-only torrents. Reads the info dictionary anew, since nothing else
    /// needs them.
    pub fn file_roots(&self) -> Vec<Option<[u8; 32]>> {
        let mut roots = match self.kind {
            Kind::V1 => Vec::new(),
            _ => info::roots(&self.raw_info, self.piece_length).unwrap_or_default(),
        }
        .into_iter();
        // Both halves of a hybrid have the same files in the same order.
        let of = |file: File<'_>| if file.is_pad || file.length == 0 { None } else { roots.next() };
        self.files.iter().map(of).collect()
    }

    /// What is wrong with the torrent so that it may never be complete. Hashes one piece of zeros
    /// at most, if it has padding.
    pub fn flaws(&self) -> Vec<Flaw> {
        flaws::of(self)
    }

    /// The magnet link (BEP 9): hashes, name, and of trackers and web seeds as many as fit.
    pub fn magnet(&self) -> String {
        Magnet::of(self).to_string()
    }

    fn of(info: Info, raw_info: &[u8]) -> Self {
        Self {
            name: info.name,
            info_hash_v1: info.hash_v1,
            info_hash_v2: info.hash_v2,
            layout: info.layout,
            files: info.files,
            symlinks: info.symlinks,
            piece_length: info.piece_length,
            num_pieces: info.piece_count,
            missing_layers: info.missing_layers,
            private: info.is_private,
            created_by: None,
            creation_date: None,
            comment: None,
            encoding: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            http_seeds: Vec::new(),
            nodes: Vec::new(),
            kind: info.kind,
            is_judged: true,
            is_single: info.is_single,
            written_names: info.written_names,
            raw_info: raw_info.into(),
            hashes: info.hashes,
        }
    }
}

/// The raw values of the keys around `info`.
#[derive(Default)]
struct Outer<'a> {
    info: Option<Value<'a>>,
    announce: Option<Value<'a>>,
    announce_list: Option<Value<'a>>,
    comment: Option<Value<'a>>,
    comment_utf8: Option<Value<'a>>,
    created_by: Option<Value<'a>>,
    creation_date: Option<Value<'a>>,
    encoding: Option<Value<'a>>,
    httpseeds: Option<Value<'a>>,
    nodes: Option<Value<'a>>,
    piece_layers: Option<Value<'a>>,
    url_list: Option<Value<'a>>,
}

impl<'a> Outer<'a> {
    /// The first of equal keys counts.
    fn take(&mut self, key: &[u8], value: Value<'a>) {
        let field = match key {
            b"info" => &mut self.info,
            b"announce" => &mut self.announce,
            b"announce-list" => &mut self.announce_list,
            b"comment" => &mut self.comment,
            b"comment.utf-8" => &mut self.comment_utf8,
            b"created by" => &mut self.created_by,
            b"creation date" => &mut self.creation_date,
            b"encoding" => &mut self.encoding,
            b"httpseeds" => &mut self.httpseeds,
            b"nodes" => &mut self.nodes,
            b"piece layers" => &mut self.piece_layers,
            b"url-list" => &mut self.url_list,
            _ => return,
        };
        field.get_or_insert(value);
    }
}

/// Text for people; what is not UTF-8 shows as replacement characters.
fn text(value: Option<Value<'_>>) -> Option<String> {
    value?.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

//! The order of the files and the cut into pieces. In v1 torrents all files are one stream,
//! and pieces cross from file to file; in v2 and hybrid ones each file begins with a piece
//! of its own, and in the v1 half of hybrids pad files fill the rest (BEP 47, BEP 52).

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::digest::{Sha1Hash, Sha256Hash};
use crate::base::layout::PIECES_MAX;
use crate::base::units::BLOCK_LEN;

use super::super::{Kind, Torrent, merkle};
use super::{CreateOptions, Error, PIECE_LEN_MAX, PIECE_LEN_MIN, check_urls, write};

/// Automatic piece lengths: at most so many pieces, while they are not longer than
/// [`AUTO_LEN_MAX`]. Known clients aim at 1000 to 2000.
const AUTO_PIECES: u64 = 2048;
/// The longest automatic piece: longer ones are slow to spread.
const AUTO_LEN_MAX: u32 = 16 << 20;

/// What a torrent is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// One file, which has the name of the torrent; its own path counts for nothing.
    File(SourceFile),
    /// A directory with these files, in any order.
    Directory(Vec<SourceFile>),
}

/// A file to be shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// Where it is below the directory, `/` between the elements.
    pub path: String,
    /// Its bytes.
    pub length: u64,
    /// May its owner run it (attribute `x` of BEP 47)?
    pub is_executable: bool,
}

impl SourceFile {
    /// The order of files in torrents: that of a v2 file tree, by element and by bytes.
    pub fn order(&self, other: &Self) -> Ordering {
        self.path.split('/').cmp(other.path.split('/'))
    }
}

/// Bytes of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The file's number in [`Plan::files`].
    pub file: usize,
    /// Where they begin in it.
    pub offset: u64,
    /// Where they go, counted from the beginning of the range that was asked for.
    pub at: Range<usize>,
}

/// A torrent of which everything is known but the hashes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) name: String,
    pub(super) is_single: bool,
    pub(super) files: Vec<SourceFile>,
    /// Where each file begins in the stream that the pieces are cut from.
    pub(super) starts: Vec<u64>,
    pub(super) stream_len: u64,
    pub(super) piece_length: u32,
    pub(super) options: CreateOptions,
}

impl Plan {
    /// Puts the files in order and cuts them. `name` is what the file or directory is
    /// called; a name in the options counts more.
    ///
    /// # Errors
    /// When there is no data, or an option or a name is one that programs would refuse.
    pub fn new(name: &str, content: Content, options: &CreateOptions) -> Result<Self, Error> {
        check_urls(options)?;
        let name = options.name.as_deref().unwrap_or(name).to_owned();
        let (mut files, is_single) = match content {
            Content::File(file) => (vec![file], true),
            Content::Directory(files) => (files, false),
        };
        files.sort_by(SourceFile::order);
        let total = data_len(&files);
        if total == 0 {
            return Err(Error::NoData { name });
        }
        let piece_length = match options.piece_length {
            None => automatic(total),
            Some(length) => u32::try_from(length)
                .ok()
                .filter(|it| it.is_power_of_two() && (PIECE_LEN_MIN..=PIECE_LEN_MAX).contains(it))
                .ok_or(Error::PieceLength(length))?,
        };
        let too_many = |stream_len: u64| {
            let count = stream_len.div_ceil(piece_length.into());
            (count > PIECES_MAX.into()).then_some(Error::TooManyPieces { count, piece_length })
        };
        // Seen before any sum of offsets, which then stay far below 2^64.
        too_many(total).map_or(Ok(()), Err)?;
        let mut plan = Self {
            name,
            is_single,
            files,
            starts: Vec::new(),
            stream_len: 0,
            piece_length,
            options: options.clone(),
        };
        plan.place();
        too_many(plan.stream_len).map_or(Ok(()), Err)?;
        plan.rehearse()?;
        Ok(plan)
    }

    /// The files, in the order of the torrent.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Bytes of a piece.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are to hash.
    pub fn piece_count(&self) -> u32 {
        // At most PIECES_MAX, as `new` has seen.
        self.stream_len.div_ceil(self.piece_length.into()) as u32
    }

    /// Bytes of all files.
    pub fn data_len(&self) -> u64 {
        data_len(&self.files)
    }

    /// Is a SHA-1 wanted of each piece?
    pub fn has_v1(&self) -> bool {
        self.options.kind != Kind::V2
    }

    /// Is a hash tree wanted of each file?
    pub fn has_v2(&self) -> bool {
        self.options.kind != Kind::V1
    }

    /// Where a piece lies in the stream. Its SHA-1 is that of these bytes, zeros where no
    /// file is.
    pub fn piece_range(&self, piece: u32) -> Range<u64> {
        let length = u64::from(self.piece_length);
        let begin = u64::from(piece) * length;
        begin..(begin + length).min(self.stream_len)
    }

    /// The bytes of files in a range of the stream, in order. What they leave out is zero.
    pub fn spans(&self, range: Range<u64>) -> Vec<Span> {
        let first = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let mut spans = Vec::new();
        for (file, start) in self.starts.iter().enumerate().skip(first) {
            if *start >= range.end {
                break;
            }
            let begin = range.start.max(*start);
            let end = range.end.min(start + self.files[file].length);
            if begin < end {
                let at = (begin - range.start) as usize..(end - range.start) as usize;
                spans.push(Span { file, offset: begin - start, at });
            }
        }
        spans
    }

    /// What the piece counts for in the hash tree of its file, from the SHA-256 of its
    /// blocks: a node of the piece layer, or the root itself for a file of one piece. Only
    /// for v2 and hybrid torrents.
    pub fn node(&self, piece: u32, blocks: Vec<Sha256Hash>) -> Sha256Hash {
        let begin = self.piece_range(piece).start;
        let file = self.starts.partition_point(|start| *start <= begin).saturating_sub(1);
        let length = self.files.get(file).map_or(0, |file| file.length);
        match length > self.piece_length.into() {
            true => merkle::subtree(blocks, self.layer_height()),
            false => merkle::root(blocks, 0),
        }
    }

    /// The whole .torrent, from the SHA-1 of all pieces (none for v2) and their nodes (none
    /// for v1).
    pub fn finish(&self, hashes: &[Sha1Hash], nodes: &[Sha256Hash]) -> Vec<u8> {
        write::torrent(self, hashes, nodes)
    }

    /// The first piece of a file, and how many it has, for v2 and hybrid torrents.
    pub(super) fn pieces_of(&self, file: usize) -> Range<usize> {
        let length = u64::from(self.piece_length);
        let first = (self.starts[file] / length) as usize;
        first..first + self.files[file].length.div_ceil(length) as usize
    }

    /// How far the piece layer is above the blocks.
    pub(super) fn layer_height(&self) -> u32 {
        (self.piece_length as usize / BLOCK_LEN).trailing_zeros()
    }

    /// Zeros behind a file in the stream of the v1 half. A torrent of one file has none, so
    /// that its v1 half stays one of a single file.
    pub(super) fn pad_behind(&self, file: usize) -> u64 {
        let length = u64::from(self.piece_length);
        match self.has_v2() && self.files.len() > 1 {
            true => self.files[file].length.next_multiple_of(length) - self.files[file].length,
            false => 0,
        }
    }

    fn place(&mut self) {
        let mut end = 0;
        self.starts = (0..self.files.len())
            .map(|file| {
                let start = end;
                end += self.files[file].length + self.pad_behind(file);
                start
            })
            .collect();
        self.stream_len = end;
    }

    /// Writes the torrent with made-up hashes and reads it back: before hours of hashing,
    /// whoever asks learns that nobody could use the result.
    fn rehearse(&self) -> Result<(), Error> {
        let count = self.piece_count() as usize;
        let hashes = if self.has_v1() { vec![[0; 20]; count] } else { Vec::new() };
        let nodes = if self.has_v2() { vec![[1; 32]; count] } else { Vec::new() };
        let torrent = Torrent::from_info(&write::info(self, &hashes, &nodes))?;
        let mut read = torrent.files.iter().filter(|file| !file.is_pad);
        for file in &self.files {
            let path = match self.is_single {
                true => self.name.clone(),
                false => format!("{}/{}", self.name, file.path),
            };
            let becomes = read.next().map(|file| file.path.to_string_lossy().into_owned());
            let becomes = becomes.unwrap_or_default();
            if becomes != path {
                return Err(Error::Name { path, becomes });
            }
        }
        Ok(())
    }
}

fn data_len(files: &[SourceFile]) -> u64 {
    files.iter().fold(0, |sum, file| sum.saturating_add(file.length))
}

/// The piece length for so many bytes.
fn automatic(total: u64) -> u32 {
    let mut length = PIECE_LEN_MIN;
    while length < AUTO_LEN_MAX && total.div_ceil(length.into()) > AUTO_PIECES {
        length *= 2;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_lengths_make_one_to_two_thousand_pieces() {
        assert_eq!(automatic(1), 16 << 10);
        assert_eq!(automatic(32 << 20), 16 << 10);
        assert_eq!(automatic((32 << 20) + 1), 32 << 10);
        assert_eq!(automatic(4 << 30), 2 << 20);
        assert_eq!(automatic(32 << 30), 16 << 20);
        assert_eq!(automatic(1 << 50), 16 << 20);
    }
}

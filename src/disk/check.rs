//! Looking at data that is on disk already: every piece is read and hashed, on all cores and
//! in little memory. Changes nothing. Pieces whose files are missing or too short are not
//! read at all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use sha1::{Digest, Sha1};

use crate::base::bitfield::Bitfield;
use crate::base::digest::sha1_many;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

use super::bits::PieceBits;
use super::error::Error;
use super::handles::Handles;
use super::open::OpenTorrent;

/// More than this a check has no use for.
pub const CHECK_BYTES_MAX: usize = 32 << 20;
/// Pieces longer than this are hashed as they are read; shorter ones side by side.
const WHOLE_MAX: usize = 2 << 20;
/// What is read at once of a long piece.
const STREAM_LEN: usize = 256 << 10;
const LANES: usize = 16;
const THREADS_MAX: usize = 8;
/// Open files of a thread, which reads them in order.
const HANDLES_MAX: usize = 2;

/// How far one check is. Shared with whoever shows it, keeps what it found, or ends it.
#[derive(Debug, Default)]
pub struct CheckProgress {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    is_cancelled: AtomicBool,
    /// Set when the check begins.
    found: OnceLock<FoundSoFar>,
}

/// What the threads of a check have found until now.
#[derive(Debug)]
struct FoundSoFar {
    layout: Layout,
    /// A piece comes here after it came to `right`, if it does.
    looked_at: PieceBits,
    right: PieceBits,
}

/// What a check has found at some moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSnapshot {
    /// The pieces that were read to their end and hashed. Trusted ones are not among them,
    /// nor are those that could not be read or whose files are missing or too short.
    pub looked_at: Bitfield,
    /// Those of them that are right.
    pub right: Bitfield,
}

impl CheckProgress {
    /// Bytes looked at, and bytes to look at in all, missing ones not counted.
    pub fn bytes(&self) -> (u64, u64) {
        (self.done_bytes.load(Ordering::Relaxed), self.total_bytes.load(Ordering::Relaxed))
    }

    /// What was found until now; none before the check has begun. Any thread may ask at any
    /// time, at the cost of a glance at each piece's bit.
    pub fn snapshot(&self) -> Option<CheckSnapshot> {
        self.found.get().map(FoundSoFar::snapshot)
    }

    /// Ends the check soon; what it found until then is reported.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Was it ended?
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

impl FoundSoFar {
    fn none(layout: Layout) -> Self {
        let bits = || PieceBits::none(layout.piece_count());
        Self { layout, looked_at: bits(), right: bits() }
    }

    fn note(&self, piece: PieceIndex, is_right: bool) {
        if is_right {
            self.right.insert(piece);
        }
        self.looked_at.insert(piece);
    }

    /// In this order a piece that was looked at has its verdict.
    fn snapshot(&self) -> CheckSnapshot {
        let looked_at = self.looked_at.to_bitfield(&self.layout);
        let mut right = self.right.to_bitfield(&self.layout);
        for piece in self.layout.pieces().filter(|piece| !looked_at.has(*piece)) {
            right.remove(piece);
        }
        CheckSnapshot { looked_at, right }
    }
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckReport {
    /// The pieces that are right on disk, trusted ones included.
    pub have: Bitfield,
    /// The pieces that were read to their end and hashed; see [`CheckSnapshot::looked_at`].
    pub looked_at: Bitfield,
    /// Each file, pad files included; of those that are not on disk at all, see
    /// [`FileCheck::Missing`].
    pub files: Vec<FileCheck>,
    /// The first error in reading, in words for people. Its pieces count as wrong.
    pub unreadable: Option<String>,
    /// It was ended early: pieces not looked at count as wrong.
    pub is_cancelled: bool,
}

/// What a check found of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileCheck {
    /// All there and right, or padding.
    Whole,
    /// Not on disk.
    Missing,
    /// Has this many bytes only.
    TooShort(u64),
    /// Has more bytes than it should: this many. Its pieces may be right.
    TooLong(u64),
    /// This many of its pieces are wrong.
    Wrong(u32),
}

/// Checks all pieces but the trusted ones, with at most `memory_bytes` in buffers, as far as
/// one piece for each thread fits. Waits for the disk: not for async code.
pub(super) fn check(
    torrent: &OpenTorrent,
    trusted: &Bitfield,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> (CheckSnapshot, Option<String>) {
    let is_there = |piece: &PieceIndex| {
        let (offset, len) = torrent.range_of(*piece);
        !trusted.has(*piece) && torrent.store.is_present(offset, len)
    };
    let pieces: Vec<PieceIndex> = torrent.layout.pieces().filter(is_there).collect();
    let total = pieces.iter().map(|piece| u64::from(torrent.layout.len_of(*piece))).sum();
    progress.total_bytes.store(total, Ordering::Relaxed);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS_MAX);
    let found = progress.found.get_or_init(|| FoundSoFar::none(torrent.layout));
    let piece_len = torrent.layout.piece_len() as usize;
    let lanes = match piece_len > WHOLE_MAX {
        true => 1,
        false => (memory_bytes / threads / piece_len).clamp(1, LANES),
    };
    let round = Round { torrent, progress, found, next: &AtomicU32::new(0) };
    let batches: Vec<&[PieceIndex]> = pieces.chunks(lanes).collect();
    let batches = &batches;
    let error = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|_| scope.spawn(move || round.run(batches))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap_or(None)).next()
    });
    (found.snapshot(), error.map(|error| error.to_string()))
}

/// What the threads of one check share.
#[derive(Clone, Copy)]
struct Round<'a> {
    torrent: &'a OpenTorrent,
    progress: &'a CheckProgress,
    found: &'a FoundSoFar,
    next: &'a AtomicU32,
}

impl Round<'_> {
    /// Works through batches until none is left; the first error in reading.
    fn run(self, batches: &[&[PieceIndex]]) -> Option<Error> {
        let mut handles = Handles::new(HANDLES_MAX);
        let mut buffers = Vec::new();
        let mut first_error = None;
        while !self.progress.is_cancelled() {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(next as usize) else { break };
            let result = match batch {
                [piece] if self.torrent.layout.len_of(*piece) as usize > WHOLE_MAX => {
                    self.stream(*piece, &mut handles)
                }
                pieces => self.side_by_side(pieces, &mut handles, &mut buffers),
            };
            first_error = first_error.or(result.err());
            let bytes = batch.iter().map(|piece| u64::from(self.torrent.layout.len_of(*piece)));
            self.progress.done_bytes.fetch_add(bytes.sum(), Ordering::Relaxed);
        }
        first_error
    }

    fn side_by_side(
        self,
        pieces: &[PieceIndex],
        handles: &mut Handles,
        buffers: &mut Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        buffers.resize_with(pieces.len(), Vec::new);
        let mut read = Vec::with_capacity(pieces.len());
        let mut result = Ok(());
        for (piece, buffer) in pieces.iter().zip(buffers.iter_mut()) {
            let (offset, len) = self.torrent.range_of(*piece);
            buffer.resize(len as usize, 0);
            match self.torrent.store.read(handles, offset, buffer) {
                Ok(()) => read.push((*piece, vec![buffer.as_slice()])),
                Err(error) => result = Err(error),
            }
        }
        let (pieces, messages): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        for (piece, hash) in pieces.into_iter().zip(sha1_many(&messages)) {
            self.judge(piece, &hash);
        }
        result
    }

    fn stream(self, piece: PieceIndex, handles: &mut Handles) -> Result<(), Error> {
        let (mut offset, len) = self.torrent.range_of(piece);
        let end = offset + len;
        let mut buffer = vec![0; STREAM_LEN];
        let mut hasher = Sha1::new();
        while offset < end && !self.progress.is_cancelled() {
            let count = (end - offset).min(STREAM_LEN as u64) as usize;
            self.torrent.store.read(handles, offset, &mut buffer[..count])?;
            hasher.update(&buffer[..count]);
            offset += count as u64;
        }
        if offset == end {
            self.judge(piece, &hasher.finalize().into());
        }
        Ok(())
    }

    fn judge(self, piece: PieceIndex, hash: &[u8; 20]) {
        self.found.note(piece, self.torrent.hash_of(piece) == hash);
    }
}

/// Tells of a file that is there from its length, the length on disk, and how many of its
/// pieces are wrong.
pub(super) fn judge_file(len: u64, present: u64, wrong_pieces: u32) -> FileCheck {
    match present.cmp(&len) {
        std::cmp::Ordering::Less => FileCheck::TooShort(present),
        std::cmp::Ordering::Greater => FileCheck::TooLong(present),
        std::cmp::Ordering::Equal if wrong_pieces > 0 => FileCheck::Wrong(wrong_pieces),
        std::cmp::Ordering::Equal => FileCheck::Whole,
    }
}

/// How many pieces of each file are missing in `have`.
pub(super) fn wrong_pieces(
    torrent: &OpenTorrent,
    have: &Bitfield,
    files_of: impl Fn(u64, u64) -> Vec<FileIndex>,
    file_count: usize,
) -> Vec<u32> {
    let mut wrong = vec![0; file_count];
    for piece in torrent.layout.pieces().filter(|piece| !have.has(*piece)) {
        let (offset, len) = torrent.range_of(piece);
        for file in files_of(offset, len) {
            wrong[file.0 as usize] += 1;
        }
    }
    wrong
}

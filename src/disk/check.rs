//! Looking at data that is on disk already: every piece is read and hashed, on all cores and
//! in little memory. Changes nothing. Pieces whose files are missing or too short are not
//! read at all. What that means for each file is told by `verdict`.
//!
//! Of as many pieces as there are lanes 64 KiB each are read and hashed in step, in a buffer
//! that stays in the second cache. Whole pieces side by side were 7 % slower, huge pages brought
//! nothing. Hashing mapped files in place was half as fast again, but a file that somebody cuts
//! meanwhile, or a bad sector, is a deadly signal then and no error.

use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::bitfield::Bitfield;
use crate::base::digest::{Sha1InStep, Sha256Hash, sha1_many};
use crate::base::extents::Extents;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pages::Pages;

use super::bits::PieceBits;
use super::config::StoreConfig;
use super::error::Error;
use super::files::FileStore;
use super::handles::Handles;
use super::open::OpenTorrent;
use super::patience::patiently_unless;
use super::scan::{self, AHEAD_LEN, Portion, STEP_LEN, Scan};
use super::store::Store as _;
use super::sums::{self, Tap};
use super::turn::{self, Place, Stop, Turn};
use super::verdict::{self, FileReport, Unreadable};

/// Open files of a thread: as many as pieces that go in step may lie in.
const HANDLES_MAX: usize = 32;

/// How far one check is. Shared with whoever shows it, keeps what it found, or ends it.
#[derive(Debug, Default)]
pub struct CheckProgress {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    stop: Stop,
    is_waiting: AtomicBool,
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

    /// Waits for the check's turn on the device of `dir`, unless it is cancelled meanwhile; see
    /// [`turn::wait`]. The check is to end before the turn is dropped.
    pub fn take_turn(&self, state_dir: &Path, dir: &Path) -> Option<Turn> {
        self.take_turn_at(&Place::default(), state_dir, dir)
    }

    /// The same, when others of this process read the device as well.
    pub(super) fn take_turn_at(&self, place: &Place, state_dir: &Path, dir: &Path) -> Option<Turn> {
        let on_wait = || self.is_waiting.store(true, Ordering::Relaxed);
        let turn = turn::wait(state_dir, dir, place, on_wait, &self.stop);
        self.is_waiting.store(false, Ordering::Relaxed);
        turn
    }

    /// Does it wait for another check that reads the same disk?
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Ends the check soon; what it found until then is reported.
    pub fn cancel(&self) {
        self.stop.set();
    }

    /// Was it ended?
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_set()
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
    /// Each file, pad files included; none for a torrent in memory.
    pub files: Vec<FileReport>,
    /// The first error in reading, in words for people. Its pieces are not in `looked_at`.
    pub unreadable: Option<String>,
    /// It was ended early.
    pub is_cancelled: bool,
}

/// Checks all pieces but the trusted ones, with at most `memory_bytes` in buffers; also tells
/// which files could not be read. With a tap it reads in order, and tells it all. Waits for the
/// disk: not for async code.
pub(super) fn check(
    torrent: &OpenTorrent,
    trusted: &Bitfield,
    progress: &CheckProgress,
    memory_bytes: usize,
    tap: Option<InOrder<'_>>,
) -> (CheckSnapshot, Unreadable) {
    let is_there = |piece: &PieceIndex| {
        let (offset, len) = torrent.range_of(*piece);
        !trusted.has(*piece) && torrent.store.is_present(offset, len)
    };
    let pieces: Vec<PieceIndex> = torrent.layout.pieces().filter(is_there).collect();
    let total = pieces.iter().map(|piece| u64::from(torrent.layout.len_of(*piece))).sum();
    progress.total_bytes.store(total, Ordering::Relaxed);
    let found = progress.found.get_or_init(|| FoundSoFar::none(torrent.layout));
    let piece_len = torrent.layout.piece_len() as usize;
    let scan = match tap {
        Some(_) => Scan::in_order(piece_len),
        None => Scan::of(piece_len, memory_bytes),
    };
    let worker = || Worker {
        torrent,
        progress,
        found,
        tap,
        handles: Handles::new(HANDLES_MAX),
        buffer: Pages::default(),
        unreadable: Unreadable::new(),
    };
    let work = |worker: &mut Worker<'_>, portion: Portion| -> Result<(), Infallible> {
        let of = |row: Range<u32>| &pieces[row.start as usize..row.end as usize];
        match piece_len > STEP_LEN {
            // Once it was told to stop, the portions that are left cost nothing.
            _ if progress.is_cancelled() => {}
            true => worker.in_step(of(portion.now), of(portion.next)),
            false => worker.side_by_side(of(portion.now), of(portion.next)),
        }
        Ok(())
    };
    let workers = match scan.run(pieces.len() as u32, worker, work) {
        Ok(workers) => workers,
        Err(never) => match never {},
    };
    let mut unreadable = Unreadable::new();
    for (path, why) in workers.into_iter().flat_map(|worker| worker.unreadable) {
        unreadable.entry(path).or_insert(why);
    }
    (found.snapshot(), unreadable)
}

/// Checks, and tells what it means for the files of `store`. Some of them may be known to be
/// `unreadable` before.
pub(super) fn report(
    torrent: &OpenTorrent,
    store: Option<&FileStore>,
    trusted: &Bitfield,
    progress: &CheckProgress,
    mut unreadable: Unreadable,
    memory_bytes: usize,
    tap: Option<InOrder<'_>>,
) -> CheckReport {
    let (CheckSnapshot { looked_at, right: mut have }, more) =
        check(torrent, trusted, progress, memory_bytes, tap);
    unreadable.extend(more);
    for piece in trusted.iter_ones().filter_map(|number| torrent.layout.piece(number)) {
        have.insert(piece);
    }
    let files = store.map_or_else(Vec::new, |store| {
        verdict::files(store, &torrent.layout, &have, &looked_at, &unreadable)
    });
    let unreadable = unreadable.into_values().next();
    CheckReport { have, looked_at, files, unreadable, is_cancelled: progress.is_cancelled() }
}

/// Checks the files of a torrent that nobody runs: no record is looked for or made, so that
/// nothing at all is changed; buffers take at most `memory_bytes`. Waits, as
/// [`super::StoreHandle::check`] does.
///
/// # Errors
/// `UnsafePath`, `Inconsistent`. Files that cannot be read are told of in the report.
pub fn check_files(
    config: StoreConfig,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> Result<CheckReport, Error> {
    let (torrent, store) = apart(config)?;
    Ok(report_all(&torrent, &store, progress, memory_bytes, None))
}

/// The same, and the SHA-256 of each file of which all bytes that it should have could be read,
/// from the same reading; only a file that shares pieces with one that is missing is read by
/// itself. It says nothing of what stands behind the end of one that is too long, nor whether an
/// empty one is there: the report does. Uses one thread to read and one to sum.
///
/// # Errors
/// As [`check_files`].
pub fn check_and_sum(
    config: StoreConfig,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> Result<(CheckReport, Vec<Option<Sha256Hash>>), Error> {
    let (torrent, store) = apart(config)?;
    let lens: Vec<u64> = store.entries.iter().map(|entry| entry.len).collect();
    let read = |tap: &Tap| {
        let tap = InOrder { tap, extents: &store.extents };
        report_all(&torrent, &store, progress, memory_bytes, Some(tap))
    };
    let (report, mut found) = sums::beside(&lens, read);
    for (file, entry) in store.real() {
        let number = file.0 as usize;
        let is_lacking = found[number].is_none()
            && store.is_present(store.extents.file_range(file).start, entry.len);
        if is_lacking && !progress.is_cancelled() {
            let read = |tap: &Tap| tap_file(&store, file, progress, tap);
            let (read, alone) = sums::beside(&lens, read);
            found[number] = alone[number].filter(|_| read.is_ok());
        }
    }
    Ok((report, found))
}

/// Tells of a torrent's bytes, which come in their order, as of those of its files.
#[derive(Clone, Copy)]
pub(super) struct InOrder<'a> {
    tap: &'a Tap,
    extents: &'a Extents,
}

impl InOrder<'_> {
    fn take(self, offset: u64, read: &[u8]) {
        let mut rest = read;
        for slice in self.extents.slices(offset, read.len() as u64) {
            let (mine, behind) = rest.split_at(slice.len as usize);
            rest = behind;
            if !slice.is_pad {
                self.tap.take(slice.file.0 as usize, slice.offset_in_file, mine);
            }
        }
    }
}

/// Reads a whole file.
fn tap_file(
    store: &FileStore,
    file: FileIndex,
    progress: &CheckProgress,
    tap: &Tap,
) -> Result<(), Error> {
    let mut handles = Handles::new(1);
    let mut buffer = Pages::default();
    let Range { start, end } = store.extents.file_range(file);
    let mut at = start;
    while at < end && !progress.is_cancelled() {
        let step = (end - at).min(scan::READ_LEN as u64);
        let room = buffer.room(step as usize);
        store.read(&mut handles, at, room)?;
        tap.take(file.0 as usize, at - start, room);
        at += step;
    }
    Ok(())
}

/// The files of a torrent that nobody runs.
fn apart(mut config: StoreConfig) -> Result<(OpenTorrent, Arc<FileStore>), Error> {
    config.keep_apart();
    let (layout, hashes) = (config.layout, config.piece_hashes.clone());
    // The only torrent of its threads.
    let id = 0;
    let store = Arc::new(FileStore::new(id, config)?);
    // Nobody is told of anything.
    let (events, _) = tokio::sync::mpsc::channel(1);
    Ok((OpenTorrent::new(id, layout, hashes, store.clone(), events)?, store))
}

fn report_all(
    torrent: &OpenTorrent,
    store: &FileStore,
    progress: &CheckProgress,
    memory_bytes: usize,
    tap: Option<InOrder<'_>>,
) -> CheckReport {
    let refused = store.survey_all().into_iter();
    let known = refused.map(|(file, why)| (store.base.full(&store.entry(file).path), why));
    let trusted = Bitfield::none(torrent.layout.piece_count());
    report(torrent, Some(store), &trusted, progress, known.collect(), memory_bytes, tap)
}

/// One thread of a check.
struct Worker<'a> {
    torrent: &'a OpenTorrent,
    progress: &'a CheckProgress,
    found: &'a FoundSoFar,
    tap: Option<InOrder<'a>>,
    handles: Handles,
    buffer: Pages,
    unreadable: Unreadable,
}

/// Pieces and their bytes.
type Read<'b> = Vec<(PieceIndex, Vec<&'b [u8]>)>;

impl Worker<'_> {
    /// Reads the pieces, tells the system of the next ones, and hashes.
    fn side_by_side(&mut self, pieces: &[PieceIndex], next: &[PieceIndex]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let len = pieces.iter().map(|piece| self.torrent.layout.len_of(*piece) as usize).sum();
        let mut rest = buffer.room(len);
        let mut read = Vec::with_capacity(pieces.len());
        let at_once = (scan::READ_LEN / self.torrent.layout.piece_len() as usize).max(1);
        let rows = pieces.chunk_by(|piece, next| piece.number() + 1 == next.number());
        for row in rows.flat_map(|row| row.chunks(at_once)) {
            if self.progress.is_cancelled() {
                break;
            }
            rest = self.read(row, rest, &mut read);
        }
        for piece in next {
            let (offset, len) = self.torrent.range_of(*piece);
            self.read_ahead(offset, len);
        }
        let (read, messages): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        for (piece, hash) in read.into_iter().zip(sha1_many(&messages)) {
            self.judge(piece, &hash);
            self.on_done(u64::from(self.torrent.layout.len_of(piece)));
        }
        self.buffer = buffer;
    }

    /// Reads a row of pieces at once, or when that fails one by one; returns what is left of
    /// the room.
    fn read<'b>(
        &mut self,
        row: &[PieceIndex],
        room: &'b mut [u8],
        read: &mut Read<'b>,
    ) -> &'b mut [u8] {
        let lens = row.iter().map(|piece| self.torrent.layout.len_of(*piece) as usize);
        let (into, rest) = room.split_at_mut(lens.clone().sum());
        let whole = row.first().map(|piece| self.torrent.layout.piece_offset(*piece));
        let whole = whole.map(|offset| self.fill(offset, into));
        match (whole, row) {
            (Some(Err(error)), [_]) => self.note(error),
            (Some(Err(_)), _) => {
                let mut left = into;
                for piece in row {
                    left = self.read(std::slice::from_ref(piece), left, read);
                }
            }
            _ => {
                let mut left = &*into;
                for (piece, len) in row.iter().zip(lens) {
                    let (mine, behind) = left.split_at(len);
                    left = behind;
                    read.push((*piece, vec![mine]));
                }
            }
        }
        rest
    }

    /// Long pieces, of which a little is read at a time, and all of them are hashed in step. The
    /// last one of a torrent may be shorter: it goes by itself.
    fn in_step(&mut self, pieces: &[PieceIndex], next: &[PieceIndex]) {
        let layout = self.torrent.layout;
        let (whole, short): (Vec<PieceIndex>, Vec<PieceIndex>) =
            pieces.iter().partition(|piece| layout.len_of(**piece) == layout.piece_len());
        // In order is one piece after the other.
        let at_once = if self.tap.is_some() { 1 } else { pieces.len().max(1) };
        for row in [whole, short].iter().flat_map(|row| row.chunks(at_once)) {
            self.row_in_step(row);
        }
        for piece in next {
            let (offset, len) = self.torrent.range_of(*piece);
            self.read_ahead(offset, len.min(AHEAD_LEN));
        }
    }

    /// Pieces of one length.
    fn row_in_step(&mut self, row: &[PieceIndex]) {
        let Some(len) = row.first().map(|piece| self.torrent.range_of(*piece).1) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut hashing = Sha1InStep::new(row.len());
        let mut is_read = vec![true; row.len()];
        let mut at = 0;
        let hashes = loop {
            if self.progress.is_cancelled() {
                self.buffer = buffer;
                return;
            }
            let step = (len - at).min(STEP_LEN as u64);
            if at.is_multiple_of(AHEAD_LEN) {
                for piece in row {
                    let begin = (at + AHEAD_LEN).min(len);
                    let offset = self.torrent.layout.piece_offset(*piece);
                    self.read_ahead(offset + begin, (len - begin).min(AHEAD_LEN));
                }
            }
            let room = buffer.room(step as usize * row.len());
            let slices = room.chunks_mut(step as usize);
            for ((piece, slice), is_read) in row.iter().zip(slices).zip(&mut is_read) {
                let offset = self.torrent.layout.piece_offset(*piece) + at;
                if *is_read && let Err(error) = self.fill(offset, slice) {
                    self.note(error);
                    *is_read = false;
                }
            }
            at += step;
            self.on_done(step * row.len() as u64);
            let slices: Vec<&[u8]> = room.chunks(step as usize).collect();
            match at == len {
                true => break hashing.finish(&slices),
                false => hashing.update(&slices),
            }
        };
        for ((piece, hash), is_read) in row.iter().zip(hashes).zip(is_read) {
            if is_read {
                self.judge(*piece, &hash);
            }
        }
        self.buffer = buffer;
    }

    fn fill(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let Self { torrent, progress, handles, .. } = self;
        let read = || torrent.store.read(handles, offset, into);
        patiently_unless(|| progress.is_cancelled(), read)?;
        if let Some(tap) = self.tap {
            tap.take(offset, into);
        }
        Ok(())
    }

    /// Whoever cannot be read soon is told of when it is read.
    fn read_ahead(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let _ = self.torrent.store.read_ahead(&mut self.handles, offset, len);
    }

    fn judge(&self, piece: PieceIndex, hash: &[u8; 20]) {
        self.found.note(piece, self.torrent.is_right_on_disk(piece, hash));
    }

    fn on_done(&self, bytes: u64) {
        self.progress.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note(&mut self, error: Error) {
        let path = error.path().unwrap_or(Path::new(""));
        self.unreadable.entry(path.to_owned()).or_insert_with(|| error.to_string());
    }
}

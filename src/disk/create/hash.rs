//! Hashing the files of a new torrent: threads read runs of pieces at once and hash them side
//! by side, for both formats from the same bytes; of long pieces a little at a time, in step. Who
//! reads which pieces is up to `scan`.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Advice, fadvise};

use crate::base::digest::{Sha1Hash, Sha1InStep, Sha256Hash, sha1_many, sha256_many};
use crate::base::pages::Pages;
use crate::base::units::BLOCK_LEN;
use crate::metainfo::create::Plan;

use super::super::beneath::{Access, Base, Found, found_open};
use super::super::error::Error as DiskError;
use super::super::scan::{AHEAD_LEN, Portion, READ_LEN, STEP_LEN, Scan};
use super::super::sums::Tap;
use super::error::Error;
use super::walk::FoundFile;

/// How far the hashing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes hashed.
    pub done_bytes: u64,
    /// Bytes to hash in all.
    pub total_bytes: u64,
}

/// What the threads share.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub plan: &'a Plan,
    pub base: &'a Base,
    /// The path of the only file, when no directory is read.
    pub single: Option<&'a Path>,
    /// In the order of the plan.
    pub files: &'a [FoundFile],
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Who is told all bytes in their order.
    pub tap: Option<&'a Tap>,
    pub abort: &'a AtomicBool,
}

/// All hashes, by piece. Those of a format that is not wanted are missing.
pub(super) struct Hashed {
    pub pieces: Vec<Sha1Hash>,
    pub nodes: Vec<Sha256Hash>,
}

/// What one thread found out of a run of pieces.
struct Run {
    first: u32,
    hashed: Hashed,
}

impl Reading<'_> {
    /// Reads everything once, and makes sure at the end that nothing changed meanwhile.
    pub(super) fn hash_all(self, memory_bytes: usize) -> Result<Hashed, Error> {
        let done_bytes = AtomicU64::new(0);
        let piece_len = self.plan.piece_length() as usize;
        let scan = match self.tap {
            Some(_) => Scan::in_order(piece_len),
            None => Scan::of(piece_len, memory_bytes),
        };
        let worker = || Worker {
            reading: self,
            done_bytes: &done_bytes,
            total_bytes: self.plan.data_len(),
            buffer: Pages::default(),
            open: None,
            runs: Vec::new(),
        };
        let work = |worker: &mut Worker<'_>, portion: Portion| -> Result<(), Error> {
            let first = portion.now.start;
            let hashed = match self.plan.piece_length() as usize > STEP_LEN {
                true => worker.in_step(portion)?,
                false => worker.side_by_side(portion)?,
            };
            worker.runs.push(Run { first, hashed });
            Ok(())
        };
        let workers = scan.run(self.plan.piece_count(), worker, work)?;
        let mut runs: Vec<Run> = workers.into_iter().flat_map(|worker| worker.runs).collect();
        for number in 0..self.files.len() {
            self.assert_unchanged(number, self.base.stat(self.path(number)))?;
        }
        runs.sort_by_key(|run| run.first);
        let mut all = Hashed { pieces: Vec::new(), nodes: Vec::new() };
        for run in runs {
            all.pieces.extend(run.hashed.pieces);
            all.nodes.extend(run.hashed.nodes);
        }
        Ok(all)
    }

    /// Where a file is below the base.
    fn path(&self, number: usize) -> &Path {
        self.single.unwrap_or_else(|| Path::new(&self.files[number].source.path))
    }

    fn assert_unchanged(
        &self,
        number: usize,
        state: io::Result<Option<Found>>,
    ) -> Result<(), Error> {
        let path = self.base.full(self.path(number));
        let state = state.map_err(|error| DiskError::io("reading", &path, error))?;
        let file = &self.files[number];
        let is_same = state.is_some_and(|state| {
            state.is_file && state.len == file.source.length && state.stamp == file.stamp
        });
        if is_same { Ok(()) } else { Err(Error::Changed { path }) }
    }
}

struct Worker<'a> {
    reading: Reading<'a>,
    /// Of all threads.
    done_bytes: &'a AtomicU64,
    total_bytes: u64,
    buffer: Pages,
    /// The file read last, by its number.
    open: Option<(usize, File)>,
    runs: Vec<Run>,
}

impl Worker<'_> {
    /// Reads a run of pieces, tells the system of the next one, and hashes.
    fn side_by_side(&mut self, portion: Portion) -> Result<Hashed, Error> {
        let plan = self.reading.plan;
        let pieces = portion.now;
        let span =
            |run: &Range<u32>| plan.piece_range(run.start).start..plan.piece_range(run.end - 1).end;
        let Range { start: begin, end } = span(&pieces);
        let mut whole = std::mem::take(&mut self.buffer);
        let buffer = whole.room((end - begin) as usize);
        let read = self.read(begin..end, buffer);
        if !portion.next.is_empty() {
            self.read_ahead(span(&portion.next));
        }
        let within =
            |range: Range<u64>| (range.start - begin) as usize..(range.end - begin) as usize;
        let ranges = pieces.clone().map(|piece| within(plan.piece_range(piece)));
        let hashed = read.map(|()| Hashed {
            pieces: match plan.has_v1() {
                true => sha1_many(&ranges.map(|range| vec![&buffer[range]]).collect::<Vec<_>>()),
                false => Vec::new(),
            },
            nodes: match plan.has_v2() {
                true => nodes(plan, pieces, buffer, begin),
                false => Vec::new(),
            },
        });
        self.buffer = whole;
        hashed
    }

    /// Long pieces, of which a little is read at a time, and all of them are hashed in step. The
    /// last one may be shorter: it goes by itself.
    fn in_step(&mut self, portion: Portion) -> Result<Hashed, Error> {
        let plan = self.reading.plan;
        let len = |piece: u32| {
            let range = plan.piece_range(piece);
            range.end - range.start
        };
        let last = portion.now.end - 1;
        let is_short = len(last) < len(portion.now.start);
        let whole = portion.now.start..if is_short { last } else { portion.now.end };
        // In order is one piece after the other.
        let at_once = if self.reading.tap.is_some() { 1 } else { whole.len().max(1) };
        let rows = whole.clone().step_by(at_once);
        let rows = rows.map(|first| first..(first + at_once as u32).min(whole.end));
        let short = (whole.end <= last).then_some(last..portion.now.end);
        let mut hashed = Hashed { pieces: Vec::new(), nodes: Vec::new() };
        for row in rows.chain(short) {
            let more = self.row_in_step(row)?;
            hashed.pieces.extend(more.pieces);
            hashed.nodes.extend(more.nodes);
        }
        for piece in portion.next {
            let begin = plan.piece_range(piece).start;
            self.read_ahead(begin..begin + len(piece).min(AHEAD_LEN));
        }
        Ok(hashed)
    }

    /// Pieces of one length.
    fn row_in_step(&mut self, row: Range<u32>) -> Result<Hashed, Error> {
        let plan = self.reading.plan;
        let begins: Vec<u64> = row.clone().map(|piece| plan.piece_range(piece).start).collect();
        let first = plan.piece_range(row.start);
        let len = first.end - first.start;
        let mut whole = std::mem::take(&mut self.buffer);
        let mut hashing = Sha1InStep::new(begins.len());
        let mut leaves = vec![Vec::new(); begins.len()];
        let mut at = 0;
        let pieces = loop {
            let step = (len - at).min(STEP_LEN as u64);
            if at.is_multiple_of(AHEAD_LEN) {
                let ahead = (at + AHEAD_LEN).min(len)..(at + 2 * AHEAD_LEN).min(len);
                begins.iter().for_each(|it| self.read_ahead(it + ahead.start..it + ahead.end));
            }
            let room = whole.room(step as usize * begins.len());
            for (slice, begin) in room.chunks_mut(step as usize).zip(&begins) {
                self.read(begin + at..begin + at + step, slice)?;
            }
            let slices: Vec<&[u8]> = room.chunks(step as usize).collect();
            if plan.has_v2() {
                add_leaves(plan, &slices, begins.iter().map(|begin| begin + at), &mut leaves);
            }
            at += step;
            match at == len {
                _ if !plan.has_v1() && at < len => {}
                _ if !plan.has_v1() => break Vec::new(),
                true => break hashing.finish(&slices),
                false => hashing.update(&slices),
            }
        };
        self.buffer = whole;
        let nodes = row.zip(leaves).filter(|_| plan.has_v2());
        Ok(Hashed { pieces, nodes: nodes.map(|(piece, it)| plan.node(piece, it)).collect() })
    }

    /// Fills the buffer with a range of the stream, zeros where no file is.
    fn read(&mut self, range: Range<u64>, buffer: &mut [u8]) -> Result<(), Error> {
        let reading = self.reading;
        let mut end = 0;
        for span in reading.plan.spans(range) {
            buffer[end..span.at.start].fill(0);
            end = span.at.end;
            let mut offset = span.offset;
            for part in buffer[span.at].chunks_mut(READ_LEN) {
                if reading.abort.load(Ordering::Relaxed) {
                    return Err(Error::Aborted);
                }
                let read = self.open(span.file)?.read_exact_at(part, offset);
                read.map_err(|error| {
                    let path = reading.base.full(reading.path(span.file));
                    match error.kind() {
                        io::ErrorKind::UnexpectedEof => Error::Changed { path },
                        _ => DiskError::io("reading", path, error).into(),
                    }
                })?;
                if let Some(tap) = reading.tap {
                    tap.take(span.file, offset, part);
                }
                offset += part.len() as u64;
                self.on_read(part.len() as u64);
            }
        }
        buffer[end..].fill(0);
        Ok(())
    }

    fn on_read(&self, len: u64) {
        let done_bytes = self.done_bytes.fetch_add(len, Ordering::Relaxed) + len;
        (self.reading.progress)(Progress { done_bytes, total_bytes: self.total_bytes });
    }

    /// Tells the system what of the file that is open will be read soon.
    fn read_ahead(&self, range: Range<u64>) {
        let Some((number, file)) = self.open.as_ref().filter(|_| !range.is_empty()) else {
            return;
        };
        let plan = self.reading.plan;
        let spans = plan.spans(range).into_iter();
        for span in spans.filter(|span| span.file == *number) {
            // What is wrong with it is told when it is read.
            let _ =
                fadvise(file, span.offset, NonZeroU64::new(span.at.len() as u64), Advice::WillNeed);
        }
    }

    fn open(&mut self, number: usize) -> Result<&File, Error> {
        let reading = self.reading;
        let file = match self.open.take() {
            Some((open, file)) if open == number => file,
            _ => {
                let path = reading.path(number);
                let file = reading.base.open(path, Access::Read);
                let file = file.map_err(|error| {
                    let path = reading.base.full(path);
                    match error.kind() {
                        io::ErrorKind::NotFound => Error::Changed { path },
                        _ => DiskError::io("opening", path, error).into(),
                    }
                })?;
                reading.assert_unchanged(number, found_open(&file).map(Some))?;
                file
            }
        };
        Ok(&self.open.insert((number, file)).1)
    }
}

/// The blocks of files in a range of the stream that lies in `buffer`, which begins at
/// `begin`. Each file begins with a block, so no block is of two files.
fn data<'b>(plan: &Plan, range: Range<u64>, buffer: &'b [u8], begin: u64) -> Vec<&'b [u8]> {
    let skipped = (range.start - begin) as usize;
    let spans = plan.spans(range).into_iter();
    let data = spans.map(|span| &buffer[skipped + span.at.start..skipped + span.at.end]);
    data.flat_map(|data| data.chunks(BLOCK_LEN)).collect()
}

/// Adds the leaves of slices, one of each piece, that begin at `begins` in the stream.
fn add_leaves(
    plan: &Plan,
    slices: &[&[u8]],
    begins: impl Iterator<Item = u64>,
    leaves: &mut [Vec<Sha256Hash>],
) {
    let blocks = slices
        .iter()
        .zip(begins)
        .map(|(slice, begin)| data(plan, begin..begin + slice.len() as u64, slice, begin));
    let blocks: Vec<Vec<&[u8]>> = blocks.collect();
    let mut hashes = sha256_many(&blocks.concat()).into_iter();
    for (leaves, blocks) in leaves.iter_mut().zip(&blocks) {
        leaves.extend(hashes.by_ref().take(blocks.len()));
    }
}

/// The nodes of a run of pieces that lies in `buffer`, which begins at `begin`.
fn nodes(plan: &Plan, pieces: Range<u32>, buffer: &[u8], begin: u64) -> Vec<Sha256Hash> {
    let blocks = pieces.clone().map(|piece| data(plan, plan.piece_range(piece), buffer, begin));
    let blocks: Vec<Vec<&[u8]>> = blocks.collect();
    let mut hashes = sha256_many(&blocks.concat()).into_iter();
    let of_piece = |(piece, blocks): (u32, &Vec<&[u8]>)| {
        plan.node(piece, hashes.by_ref().take(blocks.len()).collect())
    };
    pieces.zip(&blocks).map(of_piece).collect()
}

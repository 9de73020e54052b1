//! Hashing the files of a new torrent: threads take runs of pieces from a counter, read each
//! run at once and hash its pieces side by side, for both formats from the same bytes. Long
//! pieces are hashed as they are read instead, so that memory stays bounded.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use sha1::{Digest, Sha1};

use crate::base::digest::{Sha1Hash, Sha256Hash, sha1_many, sha256_many};
use crate::base::units::BLOCK_LEN;
use crate::metainfo::create::Plan;

use super::super::beneath::{Access, Base, Found, found_open};
use super::walk::FoundFile;
use super::{DiskError, Error, Progress};

/// Buffers of all threads together.
const MEMORY_MAX: usize = 256 << 20;
/// Buffer of one thread.
const BUFFER_MAX: usize = 32 << 20;
/// What is read at once at least, where there is so much.
const READ_LEN: usize = 1 << 20;
/// Messages that the widest engine hashes side by side.
const LANES: usize = 16;
/// Fewer messages than this are hashed no faster side by side than one by one.
const LANES_WORTH: usize = 4;

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

/// How far all threads are.
#[derive(Default)]
struct Counters {
    next: AtomicU32,
    done_bytes: AtomicU64,
    total_bytes: u64,
    is_failed: AtomicBool,
}

impl Reading<'_> {
    /// Reads everything once, and makes sure at the end that nothing changed meanwhile.
    pub(super) fn hash_all(self) -> Result<Hashed, Error> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let run_len = run_len(self.plan.piece_length() as usize, threads);
        let counters = Counters { total_bytes: self.plan.data_len(), ..Counters::default() };
        let work = || Worker::new(self, &counters).run(run_len);
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut runs = Vec::new();
        for result in results {
            let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            runs.extend(result?);
        }
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

/// How many pieces are read at once; 1 means that pieces are hashed as they are read.
fn run_len(piece_len: usize, threads: usize) -> u32 {
    let buffer = (MEMORY_MAX / threads).clamp(READ_LEN, BUFFER_MAX);
    let wanted = LANES.max(READ_LEN / piece_len);
    match buffer / piece_len {
        fitting if fitting < LANES_WORTH => 1,
        fitting => wanted.min(fitting) as u32,
    }
}

struct Worker<'a> {
    reading: Reading<'a>,
    counters: &'a Counters,
    buffer: Vec<u8>,
    /// The file read last, by its number.
    open: Option<(usize, File)>,
}

impl<'a> Worker<'a> {
    fn new(reading: Reading<'a>, counters: &'a Counters) -> Self {
        Self { reading, counters, buffer: Vec::new(), open: None }
    }

    /// Works until no piece is left, or any thread failed.
    fn run(mut self, run_len: u32) -> Result<Vec<Run>, Error> {
        let result = self.run_all(run_len);
        if result.is_err() {
            self.counters.is_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn run_all(&mut self, run_len: u32) -> Result<Vec<Run>, Error> {
        let count = self.reading.plan.piece_count();
        let mut runs = Vec::new();
        while !self.counters.is_failed.load(Ordering::Relaxed) {
            // Every thread overshoots once, by far less than the room above PIECES_MAX.
            let first = self.counters.next.fetch_add(run_len, Ordering::Relaxed);
            if first >= count {
                break;
            }
            let hashed = match run_len {
                1 => self.stream(first)?,
                _ => self.side_by_side(first..(first + run_len).min(count))?,
            };
            runs.push(Run { first, hashed });
        }
        Ok(runs)
    }

    fn side_by_side(&mut self, pieces: Range<u32>) -> Result<Hashed, Error> {
        let plan = self.reading.plan;
        let begin = plan.piece_range(pieces.start).start;
        let end = plan.piece_range(pieces.end - 1).end;
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read(begin..end, &mut buffer);
        let within =
            |range: Range<u64>| (range.start - begin) as usize..(range.end - begin) as usize;
        let ranges = pieces.clone().map(|piece| within(plan.piece_range(piece)));
        let hashed = read.map(|()| Hashed {
            pieces: match plan.has_v1() {
                true => sha1_many(&ranges.map(|range| vec![&buffer[range]]).collect::<Vec<_>>()),
                false => Vec::new(),
            },
            nodes: match plan.has_v2() {
                true => nodes(plan, pieces, &buffer, begin),
                false => Vec::new(),
            },
        });
        self.buffer = buffer;
        hashed
    }

    /// One piece, hashed as it is read.
    fn stream(&mut self, piece: u32) -> Result<Hashed, Error> {
        let plan = self.reading.plan;
        let range = plan.piece_range(piece);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut hasher = Sha1::new();
        let mut blocks = Vec::new();
        let mut begin = range.start;
        while begin < range.end {
            let part = begin..range.end.min(begin + READ_LEN as u64);
            self.read(part.clone(), &mut buffer)?;
            if plan.has_v1() {
                hasher.update(&buffer);
            }
            if plan.has_v2() {
                blocks.extend(sha256_many(&data(plan, part.clone(), &buffer, begin)));
            }
            begin = part.end;
        }
        self.buffer = buffer;
        Ok(Hashed {
            pieces: if plan.has_v1() { vec![hasher.finalize().into()] } else { Vec::new() },
            nodes: if plan.has_v2() { vec![plan.node(piece, blocks)] } else { Vec::new() },
        })
    }

    /// Fills the buffer with a range of the stream, zeros where no file is.
    fn read(&mut self, range: Range<u64>, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let reading = self.reading;
        buffer.resize((range.end - range.start) as usize, 0);
        let mut end = 0;
        let mut data_len = 0;
        for span in reading.plan.spans(range) {
            if reading.abort.load(Ordering::Relaxed) {
                return Err(Error::Aborted);
            }
            buffer[end..span.at.start].fill(0);
            end = span.at.end;
            data_len += span.at.len() as u64;
            let read = self.open(span.file)?.read_exact_at(&mut buffer[span.at], span.offset);
            read.map_err(|error| {
                let path = reading.base.full(reading.path(span.file));
                match error.kind() {
                    io::ErrorKind::UnexpectedEof => Error::Changed { path },
                    _ => DiskError::io("reading", path, error).into(),
                }
            })?;
        }
        buffer[end..].fill(0);
        let before = self.counters.done_bytes.fetch_add(data_len, Ordering::Relaxed);
        let total_bytes = self.counters.total_bytes;
        (reading.progress)(Progress { done_bytes: before + data_len, total_bytes });
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_the_lanes_within_the_memory() {
        assert_eq!(run_len(16 << 10, 2), 64, "at least a MiB a read");
        assert_eq!(run_len(1 << 20, 2), 16);
        assert_eq!(run_len(4 << 20, 2), 8);
        assert_eq!(run_len(16 << 20, 2), 1, "longer pieces as they come");
        assert_eq!(run_len(1 << 20, 64), 4);
        assert_eq!(run_len(1 << 20, 1000), 1);
        assert_eq!(run_len(16 << 10, 1000), 64);
    }
}

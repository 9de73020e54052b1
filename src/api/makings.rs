//! Torrents that are being made, and those that were and can still be fetched: how each stands, as
//! its thread and those who look at it see it. Not here: who makes them (`making`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::{Semaphore, watch};

use crate::disk::turn;

use super::creation::{Creation, Making, Stage, TorrentFile};

/// Torrents that are made at once: each reads a device from end to end.
pub(super) const MAKINGS_MAX: usize = 2;
/// Those that are told when they are made, or failed; the oldest go first.
const KEPT_MAX: usize = 16;
/// Bytes of theirs: some are as long as a torrent may be.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// All that are made and were made; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Makings {
    pub book: Arc<watch::Sender<Book>>,
    last: Arc<AtomicU32>,
    /// Who reads: one that a disk holds up has its place until that answers.
    pub places: Arc<Semaphore>,
}

/// In the order in which they were asked for.
pub(super) type Book = Vec<Entry>;

#[derive(Debug)]
pub(super) struct Entry {
    pub job: Arc<Job>,
    pub end: Option<Result<Made, String>>,
}

/// One that is being made, as its thread and those who look at it see it.
#[derive(Debug)]
pub(super) struct Job {
    pub number: u32,
    pub creation: Creation,
    /// What it is made of, without links.
    pub path: PathBuf,
    pub is_waiting: AtomicBool,
    pub done_bytes: AtomicU64,
    pub total_bytes: AtomicU64,
    pub stop: turn::Stop,
}

/// One that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub file: TorrentFile,
    pub name: String,
    pub hash: String,
    pub magnet: String,
    pub torrent: Option<u32>,
    pub note: Option<String>,
}

impl Makings {
    /// None yet.
    pub fn new() -> Self {
        let places = Arc::new(Semaphore::new(MAKINGS_MAX));
        Self { book: Arc::new(watch::Sender::new(Book::new())), last: Arc::default(), places }
    }

    /// One begins.
    pub fn begin(&self, creation: Creation, path: PathBuf) -> Arc<Job> {
        let job = Arc::new(Job {
            number: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            creation,
            path,
            is_waiting: AtomicBool::new(false),
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            stop: turn::Stop::default(),
        });
        self.book.send_modify(|book| book.push(Entry { job: job.clone(), end: None }));
        job
    }

    /// One has ended. Nothing, where it was given up.
    pub fn end(&self, number: u32, end: Result<Made, String>) {
        self.book.send_modify(|book| {
            if let Some(entry) = book.iter_mut().find(|entry| entry.job.number == number) {
                entry.end = Some(end);
            }
            forget_some(book, KEPT_MAX, KEPT_BYTES_MAX);
        });
    }
}

/// Forgets the oldest of those that have ended, as long as there are too many; never the last one.
fn forget_some(book: &mut Book, count_max: usize, bytes_max: usize) {
    loop {
        let ended = book.iter().filter(|entry| entry.end.is_some());
        let (count, bytes) = ended.fold((0, 0), |(count, bytes), it| (count + 1, bytes + it.len()));
        if count <= 1 || (count <= count_max && bytes <= bytes_max) {
            return;
        }
        let Some(at) = book.iter().position(|entry| entry.end.is_some()) else { return };
        book.remove(at);
    }
}

impl Entry {
    fn len(&self) -> usize {
        self.end.as_ref().and_then(|end| end.as_ref().ok()).map_or(0, |made| made.file.bytes.len())
    }

    /// As it is told.
    pub fn told(&self) -> Making {
        let job = &self.job;
        let making = Making {
            number: job.number,
            path: job.path.to_string_lossy().into_owned(),
            done_bytes: job.done_bytes.load(Ordering::Relaxed),
            total_bytes: job.total_bytes.load(Ordering::Relaxed),
            ..Making::default()
        };
        match self.end.clone() {
            None if job.is_waiting.load(Ordering::Relaxed) => {
                Making { stage: Stage::Waiting, ..making }
            }
            None => making,
            Some(Err(why)) => Making { stage: Stage::Failed, error: Some(why), ..making },
            Some(Ok(made)) => Making {
                stage: Stage::Done,
                name: Some(made.name),
                hash: Some(made.hash),
                magnet: Some(made.magnet),
                torrent: made.torrent,
                note: made.note,
                ..making
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: u32, len: usize) -> Entry {
        let made = Made {
            file: TorrentFile { name: String::new(), bytes: vec![0; len].into() },
            name: String::new(),
            hash: String::new(),
            magnet: String::new(),
            torrent: None,
            note: None,
        };
        Entry { end: Some(Ok(made)), ..begun(number) }
    }

    fn begun(number: u32) -> Entry {
        let job = Job {
            number,
            creation: Creation::default(),
            path: PathBuf::new(),
            is_waiting: AtomicBool::new(false),
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            stop: turn::Stop::default(),
        };
        Entry { job: Arc::new(job), end: None }
    }

    #[test]
    fn the_oldest_that_were_made_are_forgotten_and_none_that_is_being_made() {
        let left = |book: &Book| book.iter().map(|it| it.job.number).collect::<Vec<_>>();
        let mut book = vec![begun(1), ended(2, 10), ended(3, 10), ended(4, 10)];
        forget_some(&mut book, 3, 30);
        assert_eq!(left(&book), [1, 2, 3, 4]);
        forget_some(&mut book, 2, 30);
        assert_eq!(left(&book), [1, 3, 4]);
        forget_some(&mut book, 2, 19);
        assert_eq!(left(&book), [1, 4]);
        forget_some(&mut book, 0, 0);
        assert_eq!(left(&book), [1, 4], "the last one can be fetched, however long it is");
    }
}

//! Behaviour of the room as a torrent sees it: real files in a temporary directory, real
//! threads, content computed from the offset.

mod check;
mod claims;
mod edges;
mod eras;
mod erase;
mod faults;
mod lanes;
mod names;
mod pieces;
mod power;
mod record;
mod relocate;
mod touched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::files::FileStore;
use super::record::{Ground, Standing, Subject};
use super::*;
use crate::base::bitfield::Bitfield;
use crate::base::digest::sha1;
use crate::base::extents::Extents;
use crate::base::hashes::PieceHashes;
use crate::base::ids::InfoHash;
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;
use crate::swarm::event::{Held, Verdict};

/// A torrent, and a place to download it to.
pub(super) struct World {
    pub root: TempDir,
    pub files: Vec<StoreFile>,
    pub content: Vec<u8>,
    pub layout: Layout,
    pub pool: BlockPool,
    pub disk: Disk,
    /// All bytes of its info-hash.
    pub hash: u8,
    /// Where its files go, if not below its own root.
    pub dir: Option<PathBuf>,
}

/// A torrent at work.
pub(super) struct Running {
    pub handle: StoreHandle,
    pub events: mpsc::Receiver<DiskEvent>,
    /// Events that were not waited for.
    pub others: Vec<DiskEvent>,
}

/// Files as (path, length); those whose name begins with `pad` are padding.
pub(super) fn world(piece_len: u32, files: &[(&str, u64)]) -> World {
    let files: Vec<StoreFile> = files
        .iter()
        .map(|(path, len)| StoreFile {
            path: PathBuf::from(path),
            len: *len,
            is_pad: path.starts_with("pad"),
        })
        .collect();
    let extents = Extents::new(files.iter().map(|file| (file.len, file.is_pad)));
    let total = extents.total_len();
    let mut content: Vec<u8> =
        (0..total).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    for pad in extents.slices(0, total).filter(|slice| slice.is_pad) {
        let range = extents.file_range(pad.file);
        content[range.start as usize..range.end as usize].fill(0);
    }
    let pool = BlockPool::new(8 << 20);
    // Nothing is synced by itself: tests say when.
    let sync = SyncPolicy { after: Duration::from_secs(3600), bytes: u64::MAX };
    let disk = Disk::start(DiskConfig {
        workers: Some(2),
        pool: pool.clone(),
        check_bytes: 24 << 20,
        sync,
    })
    .unwrap();
    let layout = Layout::new(total, piece_len).unwrap();
    let root = tempfile::tempdir().unwrap();
    World { root, files, content, layout, pool, disk, hash: 7, dir: None }
}

impl World {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| self.root.path().join("downloads"))
    }

    pub fn resume_path(&self) -> PathBuf {
        self.root.path().join("state/x.resume")
    }

    /// The bytes of the record.
    pub fn record(&self) -> Vec<u8> {
        std::fs::read(self.resume_path()).unwrap()
    }

    pub fn piece(&self, number: u32) -> PieceIndex {
        self.layout.piece(number).unwrap()
    }

    pub fn hashes(&self) -> PieceHashes {
        let pieces = self.content.chunks(self.layout.piece_len() as usize);
        pieces.flat_map(|piece| sha1(&[piece])).collect::<Vec<u8>>().into()
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            layout: self.layout,
            piece_hashes: self.hashes(),
            files: self.files.clone(),
            symlinks: Vec::new(),
            dir: self.dir(),
            wanted: vec![true; self.files.len()],
            allocate: Allocate::Sparse,
            overwrite: false,
            resume_path: self.resume_path(),
            info_hash: InfoHash([self.hash; 20]),
            ignores_record: false,
        }
    }

    /// Opens without starting.
    pub fn open(&self, config: StoreConfig) -> Result<Running, Error> {
        for _ in 0..10_000 {
            match self.try_open(config.clone()) {
                // Threads let go of a torrent a moment after its last answer.
                Err(Error::InUse { .. }) => std::thread::yield_now(),
                opened => return opened,
            }
        }
        self.try_open(config)
    }

    /// Opens without starting, or without waiting for anybody to let go.
    pub fn try_open(&self, config: StoreConfig) -> Result<Running, Error> {
        // More than any test sends.
        let (sender, events) = mpsc::channel(1000);
        let handle = self.disk.open(config, sender)?;
        Ok(Running { handle, events, others: Vec::new() })
    }

    /// Opens, and starts with what the record says.
    pub fn resume(&self) -> (Running, Bitfield) {
        let running = self.open(self.config()).unwrap();
        let have = running.handle.start(&running.handle.trusted()).unwrap().have;
        (running, have)
    }

    /// Opens, checks everything, and starts.
    pub fn recheck(&self, config: StoreConfig) -> Result<(Running, CheckReport), Error> {
        let running = self.open(config)?;
        let report =
            running.handle.check(&Bitfield::none(self.layout.piece_count()), &Default::default());
        running.handle.start(&report.have)?;
        Ok((running, report))
    }

    /// The file's bytes as they should be.
    pub fn bytes_of(&self, file: usize) -> &[u8] {
        let begin: u64 = self.files[..file].iter().map(|file| file.len).sum();
        &self.content[begin as usize..][..self.files[file].len as usize]
    }

    pub fn block(&self, bytes: &[u8]) -> Block {
        let mut blocks = Vec::new();
        assert_eq!(self.pool.take(1, &mut blocks), 1, "the test's pool is large enough");
        let mut block = blocks.pop().unwrap();
        block.append(bytes);
        block
    }

    /// All blocks of a piece, as peers would send them.
    pub fn blocks(&self, piece: PieceIndex) -> Vec<Held> {
        let block = |at| {
            let begin = self.layout.block_offset(at) as usize;
            Held::Data(self.block(&self.content[begin..][..at.len_bytes() as usize]))
        };
        self.layout.blocks(piece).map(block).collect()
    }

    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

impl Running {
    /// Waits for an event that `wanted` takes, keeping the others.
    pub fn wait<T>(&mut self, wanted: impl Fn(DiskEvent) -> Result<T, DiskEvent>) -> T {
        loop {
            match wanted(self.events.blocking_recv().expect("the disk answers")) {
                Ok(found) => return found,
                Err(other) => self.others.push(other),
            }
        }
    }

    pub fn check(&mut self, piece: PieceIndex, blocks: Vec<Held>) -> Verdict {
        self.handle
            .submit(Job::Check { piece, blocks, want_block_hashes: false, may_wait: false })
            .unwrap();
        self.wait(|event| match event {
            DiskEvent::Checked { piece: answered, verdict } if answered == piece => Ok(verdict),
            other => Err(other),
        })
    }

    /// Brings right pieces at once, so that most are hashed, written and noted together.
    pub fn check_together(&mut self, world: &World, pieces: &[PieceIndex]) -> Vec<Verdict> {
        let jobs = pieces.iter().map(|piece| (*piece, world.blocks(*piece)));
        for (piece, blocks) in jobs.collect::<Vec<_>>() {
            let job = Job::Check { piece, blocks, want_block_hashes: false, may_wait: false };
            self.handle.submit(job).unwrap();
        }
        let verdict = |event| match event {
            DiskEvent::Checked { verdict, .. } => Ok(verdict),
            other => Err(other),
        };
        pieces.iter().map(|_| self.wait(verdict)).collect()
    }

    /// Brings right pieces.
    pub fn fetch(&mut self, world: &World, pieces: impl IntoIterator<Item = u32>) {
        for number in pieces {
            let piece = world.piece(number);
            let verdict = self.check(piece, world.blocks(piece));
            assert!(matches!(verdict, Verdict::Good(None)), "{verdict:?}");
        }
    }

    pub fn flush(&mut self) -> Option<String> {
        self.handle.submit(Job::Flush).unwrap();
        self.wait(|event| match event {
            DiskEvent::Flushed(error) => Ok(error),
            other => Err(other),
        })
    }

    pub fn finish(&mut self) -> bool {
        self.handle.submit(Job::Finish).unwrap();
        self.wait(|event| match event {
            DiskEvent::Finished(is_fine) => Ok(is_fine),
            other => Err(other),
        })
    }

    pub fn files_done(&self) -> Vec<u32> {
        let done = self.others.iter().filter_map(|event| match event {
            DiskEvent::FileDone(file) => Some(file.0),
            _ => None,
        });
        done.collect()
    }
}

pub(super) fn verdicts(report: &CheckReport) -> Vec<FileCheck> {
    report.files.iter().map(|file| file.check).collect()
}

pub(super) fn numbers(set: &Bitfield) -> Vec<u32> {
    set.iter_ones().collect()
}

//! A disk worker: hash → compare → write → record → report. Blocking code on a thread of
//! its own; it keeps no decision about the torrent and shares nothing but atomics.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, never, select};
use sha1::{Digest, Sha1};

use crate::base::digest::{Sha1Hash, sha1, sha1_many};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;
use crate::swarm::event::{BlockHashes, Held, Verdict};

use super::error::Error;
use super::handles::Handles;
use super::job::{DiskEvent, Job};
use super::open::OpenTorrent;
use super::prepare::READ_LEN;
use super::queue::{Collector, Work};
use super::stats::{Counters, add, timed};
use super::syncer::Syncer;

/// What pad blocks hold.
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
/// Spilled blocks are read back in runs of up to this many.
const READ_BLOCKS_MAX: usize = READ_LEN / BLOCK_LEN;

/// One worker.
pub(super) struct Worker {
    pub handles: Handles,
    pub counters: Arc<Counters>,
    pub pool: BlockPool,
    pub syncer: Syncer,
    /// Torrents that are closed: their open files are not needed any more, and keep deleted
    /// files and unmounted file systems alive.
    pub closed: Receiver<u64>,
}

/// A piece on its way through the worker.
struct Piece {
    torrent: Arc<OpenTorrent>,
    piece: PieceIndex,
    blocks: Vec<Held>,
    want_block_hashes: bool,
    outcome: Outcome,
}

enum Outcome {
    Good,
    Bad,
    WriteFailed(String),
    ReadFailed(String),
}

impl Worker {
    /// Takes the token, collects, hands it on, works; until the workers end. The channel of
    /// the token has one place, and there is one token.
    pub(super) fn run(mut self, give: &Sender<Collector>, take: &Receiver<Collector>) {
        loop {
            let closed = self.closed.clone();
            let collector = select! {
                recv(take) -> collector => collector,
                recv(closed) -> store => {
                    match store {
                        Ok(store) => self.handles.close_store(store),
                        Err(_) => self.closed = never(),
                    }
                    continue;
                }
            };
            let Ok(mut collector) = collector else { return };
            let batch = collector.collect();
            // Nobody takes it when we are the last to end.
            let _ = give.send(collector);
            self.closed.try_iter().for_each(|store| self.handles.close_store(store));
            match batch {
                Some(batch) => self.work(batch),
                None => return,
            }
        }
    }

    fn work(&mut self, batch: Vec<Work>) {
        let mut pieces = Vec::with_capacity(batch.len());
        let mut torrents: Vec<(u64, Arc<AtomicBool>)> = Vec::new();
        for work in batch {
            if let Work::Job(torrent, ..) = &work
                && torrents.last().is_none_or(|(id, _)| *id != torrent.id)
            {
                torrents.push((torrent.id, torrent.is_closed.clone()));
            }
            match work {
                Work::Job(torrent, Job::Check { piece, blocks, want_block_hashes }, _) => {
                    let outcome = Outcome::Bad;
                    pieces.push(Piece { torrent, piece, blocks, want_block_hashes, outcome });
                }
                Work::Job(torrent, other, _) => {
                    self.check(std::mem::take(&mut pieces));
                    self.other(torrent, other);
                }
                Work::Closed | Work::Stop => {}
            }
        }
        self.check(pieces);
        for (id, is_closed) in torrents {
            // Its last jobs may come when it was closed already.
            if is_closed.load(Ordering::Acquire) {
                self.handles.close_store(id);
            }
        }
    }

    fn other(&mut self, torrent: Arc<OpenTorrent>, job: Job) {
        match job {
            Job::Check { .. } => {}
            Job::Spill { piece, blocks } => self.spill(torrent, piece, blocks),
            Job::Prepare { piece, prove } => {
                let outcome = self.prepare(&torrent, piece, prove);
                torrent.answer(DiskEvent::Prepared { piece, outcome });
            }
            Job::Want(wanted) => {
                torrent.on_news(torrent.store.want(&wanted));
            }
            Job::Flush => self.syncer.flush(torrent),
            Job::Look => {
                let gone = torrent.store.look_around();
                torrent.answer(DiskEvent::Looked(gone));
            }
            // Files that are not at their path any more are not done.
            Job::Finish if torrent.is_gone() => torrent.answer(DiskEvent::Finished(false)),
            Job::Finish => {
                let is_fine = torrent.on_news(torrent.store.finish());
                torrent.answer(DiskEvent::Finished(is_fine));
            }
        }
    }

    fn spill(
        &mut self,
        torrent: Arc<OpenTorrent>,
        piece: PieceIndex,
        blocks: Vec<(BlockRef, Block)>,
    ) {
        let mut parts: Vec<(u64, &[u8])> = blocks
            .iter()
            .map(|(at, block)| (torrent.layout.block_offset(*at), block.bytes()))
            .collect();
        parts.sort_unstable_by_key(|(offset, _)| *offset);
        torrent.on_spill(piece);
        let failed = self.write_runs(&torrent, &parts).err();
        if failed.is_some() {
            torrent.is_gone();
        }
        // A record younger than the write tells the next start that nobody else wrote.
        torrent.record(|journal| journal.touch());
        let failed = match failed {
            None => {
                self.pool.give_back(blocks.into_iter().map(|(_, block)| block));
                None
            }
            Some(error) => Some((blocks, error.to_string())),
        };
        torrent.answer(DiskEvent::Spilled { piece, failed });
    }

    fn check(&mut self, mut pieces: Vec<Piece>) {
        if pieces.is_empty() {
            return;
        }
        add(&self.counters.batches, 1);
        add(&self.counters.pieces_checked, pieces.len() as u64);
        self.compare(&mut pieces);
        pieces.sort_by_key(|piece| (piece.torrent.id, piece.piece));
        for group in pieces.chunk_by_mut(|a, b| a.torrent.id == b.torrent.id) {
            self.write_and_note(group);
        }
        for piece in pieces {
            self.report(piece);
        }
    }

    /// Sets each outcome to good, bad or unreadable.
    fn compare(&mut self, pieces: &mut [Piece]) {
        let (streamed, whole): (Vec<_>, Vec<_>) =
            pieces.iter_mut().partition(|piece| piece.is_partly_on_disk());
        let hashes = timed(&self.counters.hash_ns, || {
            let messages: Vec<Vec<&[u8]>> = whole.iter().map(|piece| piece.parts()).collect();
            sha1_many(&messages)
        });
        for (piece, hash) in whole.into_iter().zip(hashes) {
            add(&self.counters.bytes_hashed, u64::from(piece.torrent.layout.len_of(piece.piece)));
            piece.judge(&hash);
        }
        for piece in streamed {
            if !piece.torrent.is_kept(piece.piece) {
                let why = "the device did not keep what was written of it".to_owned();
                piece.outcome = Outcome::ReadFailed(why);
                continue;
            }
            let mut hasher = Sha1::new();
            let counters = self.counters.clone();
            let read = self.stream(piece, |bytes| {
                timed(&counters.hash_ns, || hasher.update(bytes));
            });
            add(&counters.bytes_hashed, u64::from(piece.torrent.layout.len_of(piece.piece)));
            match read {
                Ok(()) => piece.judge(&hasher.finalize().into()),
                Err(error) => piece.outcome = Outcome::ReadFailed(error.to_string()),
            }
        }
    }

    /// Passes the blocks of a piece by in order, reading back the spilled ones in runs: a
    /// piece may be 512 MiB, and is never in memory as one.
    fn stream(&mut self, piece: &Piece, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let layout = &piece.torrent.layout;
        let mut buffer = Vec::new();
        let mut blocks = layout.blocks(piece.piece).zip(&piece.blocks).peekable();
        while let Some((at, held)) = blocks.next() {
            let len = at.len_bytes() as usize;
            match held {
                Held::Data(block) => each(block.bytes()),
                Held::Pad => each(&ZEROS[..len]),
                Held::OnDisk => {
                    let mut run = len;
                    while run < READ_BLOCKS_MAX * BLOCK_LEN
                        && let Some((next, _)) = blocks.next_if(|(_, held)| held.is_on_disk())
                    {
                        run += next.len_bytes() as usize;
                    }
                    buffer.resize(run, 0);
                    let offset = layout.block_offset(at);
                    timed(&self.counters.read_ns, || {
                        piece.torrent.store.read(&mut self.handles, offset, &mut buffer)
                    })?;
                    add(&self.counters.bytes_read, run as u64);
                    buffer.chunks(BLOCK_LEN).for_each(&mut each);
                }
            }
        }
        Ok(())
    }

    /// Writes the good pieces of one torrent, sorted by number, and notes them.
    fn write_and_note(&mut self, group: &mut [Piece]) {
        let torrent = group[0].torrent.clone();
        let refusals = torrent.refusals();
        self.write(&torrent, group);
        torrent.note_doubts();
        let good = group.iter().filter(|piece| matches!(piece.outcome, Outcome::Good));
        let good: Vec<PieceIndex> = good.map(|piece| piece.piece).collect();
        let bytes = torrent.on_written(&good);
        self.syncer.on_written(&torrent, bytes);
        if torrent.refusals() != refusals {
            // The syncer may not have known of them when the device refused.
            torrent.lose(good.into_iter());
            for piece in group.iter_mut().filter(|piece| matches!(piece.outcome, Outcome::Good)) {
                piece.outcome = Outcome::ReadFailed("the device did not keep it".to_owned());
            }
        }
    }

    /// Writes the good pieces, neighbours together.
    fn write(&mut self, torrent: &OpenTorrent, group: &mut [Piece]) {
        let is_good = |piece: &&Piece| matches!(piece.outcome, Outcome::Good);
        let parts: Vec<_> = group.iter().filter(is_good).flat_map(Piece::to_write).collect();
        if self.write_runs(torrent, &parts).is_ok() {
            return;
        }
        torrent.is_gone();
        // Which pieces it hits shows when each is written alone; the same bytes again at the
        // same place do no harm.
        for piece in group.iter_mut().filter(|piece| is_good(&&**piece)) {
            if let Err(error) = self.write_runs(torrent, &piece.to_write()) {
                piece.outcome = Outcome::WriteFailed(error.to_string());
            }
        }
    }

    /// Writes parts given in order of their offsets, each run of neighbours in one call.
    fn write_runs(&mut self, torrent: &OpenTorrent, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        let adjoin = |a: &(u64, &[u8]), b: &(u64, &[u8])| a.0 + a.1.len() as u64 == b.0;
        let _writer = torrent.writer.take();
        for run in parts.chunk_by(adjoin) {
            let bytes: Vec<&[u8]> = run.iter().map(|(_, part)| *part).collect();
            timed(&self.counters.write_ns, || {
                torrent.store.write(&mut self.handles, run[0].0, &bytes)
            })?;
            let len = bytes.iter().map(|part| part.len() as u64).sum();
            add(&self.counters.bytes_written, len);
        }
        Ok(())
    }

    fn report(&mut self, mut piece: Piece) {
        let is_bad = matches!(piece.outcome, Outcome::Bad);
        let is_good = matches!(piece.outcome, Outcome::Good);
        let wants = is_bad || (piece.want_block_hashes && is_good);
        let hashes = if wants { self.block_hashes(&piece).map(Some) } else { Ok(None) };
        let blocks = std::mem::take(&mut piece.blocks);
        let verdict = match (piece.outcome, hashes) {
            (Outcome::WriteFailed(reason), _) => Verdict::WriteFailed(blocks, reason),
            (outcome, hashes) => {
                self.pool.give_back(blocks.into_iter().filter_map(Held::into_data));
                match (outcome, hashes) {
                    (Outcome::ReadFailed(reason), _) => Verdict::ReadFailed(reason),
                    (Outcome::Bad, Err(error)) => Verdict::ReadFailed(error.to_string()),
                    (Outcome::Bad, Ok(hashes)) => Verdict::Bad(hashes.unwrap_or_default()),
                    // A file that it completed was found changed by somebody else, and took
                    // the piece with it.
                    _ if is_good && !piece.torrent.verified.has(piece.piece) => {
                        Verdict::ReadFailed("its file was changed by somebody else".into())
                    }
                    // The piece is right all the same; only its senders stay unproven.
                    (_, hashes) => Verdict::Good(hashes.unwrap_or_default()),
                }
            }
        };
        piece.torrent.answer(DiskEvent::Checked { piece: piece.piece, verdict });
    }

    fn block_hashes(&mut self, piece: &Piece) -> Result<BlockHashes, Error> {
        if piece.is_partly_on_disk() {
            let mut hashes = Vec::with_capacity(piece.blocks.len());
            self.stream(piece, |block| hashes.push(sha1(&[block])))?;
            return Ok(hashes);
        }
        let messages: Vec<Vec<&[u8]>> = piece.parts().into_iter().map(|part| vec![part]).collect();
        Ok(timed(&self.counters.hash_ns, || sha1_many(&messages)))
    }
}

impl Piece {
    fn is_partly_on_disk(&self) -> bool {
        self.blocks.iter().any(Held::is_on_disk)
    }

    /// The bytes of a piece that is wholly in memory, block by block.
    fn parts(&self) -> Vec<&[u8]> {
        let blocks = self.torrent.layout.blocks(self.piece).zip(&self.blocks);
        let bytes = blocks.map(|(at, held)| match held {
            Held::Data(block) => block.bytes(),
            Held::Pad => &ZEROS[..at.len_bytes() as usize],
            Held::OnDisk => &[],
        });
        bytes.collect()
    }

    /// The bytes in memory that have a place on disk, with their offsets in the torrent.
    fn to_write(&self) -> Vec<(u64, &[u8])> {
        let layout = &self.torrent.layout;
        let blocks = layout.blocks(self.piece).zip(&self.blocks);
        let data = blocks.filter_map(|(at, held)| match held {
            Held::Data(block) => Some((layout.block_offset(at), block.bytes())),
            Held::Pad | Held::OnDisk => None,
        });
        data.collect()
    }

    fn judge(&mut self, hash: &Sha1Hash) {
        let is_complete = self.blocks.len() == self.torrent.layout.block_count(self.piece) as usize;
        debug_assert!(is_complete, "a piece goes to the check with all its blocks");
        let is_right = is_complete && self.torrent.hash_of(self.piece) == hash;
        self.outcome = if is_right { Outcome::Good } else { Outcome::Bad };
    }
}

/// What the worker asks of a held block.
trait HeldExt {
    fn is_on_disk(&self) -> bool;
    fn into_data(self) -> Option<Block>;
}

impl HeldExt for Held {
    fn is_on_disk(&self) -> bool {
        matches!(self, Held::OnDisk)
    }

    fn into_data(self) -> Option<Block> {
        match self {
            Held::Data(block) => Some(block),
            Held::Pad | Held::OnDisk => None,
        }
    }
}

/// Starts a worker on a thread of its own.
pub(super) fn spawn(
    number: usize,
    worker: Worker,
    give: Sender<Collector>,
    take: Receiver<Collector>,
) -> io::Result<std::thread::JoinHandle<()>> {
    let name = format!("disk-{number}");
    std::thread::Builder::new().name(name).spawn(move || worker.run(&give, &take))
}

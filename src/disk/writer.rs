//! The thread of a lane that writes: pieces that were hashed, and blocks before their piece is
//! whole; it notes them in the record and reports. The only one that does, for file systems
//! let one writer into a file and a second one spins on the file's lock (`rwsem_spin_on_owner`
//! in profiles, 8 % of the processor's time with two writers on ext4). It hashes nothing but
//! the blocks of pieces that were wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, never, select};

use crate::base::digest::{sha1, sha1_many};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::swarm::event::{BlockHashes, Verdict};

use super::error::Error;
use super::handles::Handles;
use super::job::DiskEvent;
use super::lane_state::{State, Ticket};
use super::open::OpenTorrent;
use super::piece::{HeldExt as _, Outcome, Piece};
use super::pulse::{self, PATIENCE};
use super::stats::{Counters, add, timed};
use super::syncer::Syncer;

/// What waits is written together up to this, neighbours in one call: as much as a full set of
/// lanes of 1 MiB pieces.
const TOGETHER_BYTES: u64 = 16 << 20;

/// Parts that are handed to the system at once, of 16 KiB mostly: a device of which it waits for
/// each byte is to answer now and then. And the system takes memory for its cache in pieces as long
/// as a write: long ones are memory that was not touched for long, which a machine of its own has
/// but a virtual one gets from its host page by page (a GiB in calls of 256 KiB takes 0.5 s of the
/// writer, in calls of 1 to 4 MiB 1.0 to 2.0 s; ext4, Linux 6.18).
const PARTS_MAX: usize = 16;

/// How long it waits before it asks again for some of what was written to be brought to the
/// device.
const PRESS_AGAIN: Duration = Duration::from_secs(1);

/// So often all that waits is brought to the device to no avail before writing goes on: what
/// cannot be brought now, for lack of rights or memory, must not stop all torrents of the device.
const VAIN_PASSES_MAX: u32 = 3;

/// What the writer is handed.
pub(super) enum Write {
    /// Pieces that were hashed.
    Pieces(Vec<Piece>),
    /// Unverified blocks.
    Spill {
        torrent: Arc<OpenTorrent>,
        piece: PieceIndex,
        blocks: Vec<(BlockRef, Block)>,
        ticket: Ticket,
    },
    /// It ends, after what was handed to it before.
    Stop,
}

/// The way to the writer of a lane. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Writes {
    /// Tells lanes apart.
    pub lane: u64,
    to_write: Sender<Write>,
}

impl Writes {
    /// To the writer of this lane, who takes from the channel as many as jobs may come, and a stop.
    pub(super) fn new(lane: u64, to_write: Sender<Write>) -> Self {
        Self { lane, to_write }
    }

    /// Pieces that were hashed. Never waits: their places were counted.
    pub(super) fn pieces(&self, pieces: Vec<Piece>) {
        // Nobody is left to write them when all has ended.
        let _ = self.to_write.send(Write::Pieces(pieces));
    }

    /// Blocks to be spilled. Never waits.
    ///
    /// # Errors
    /// They come back when nobody is left to write them.
    pub(super) fn spill(&self, spill: Write) -> Result<(), TrySendError<Write>> {
        self.to_write.try_send(spill)
    }

    /// Nobody hands anything to the writer any more. There is a place for this.
    pub(super) fn stop(&self) {
        let _ = self.to_write.send(Write::Stop);
    }
}

/// The writer of one lane.
pub(super) struct Writer {
    pub handles: Handles,
    pub counters: Arc<Counters>,
    pub pool: BlockPool,
    pub syncer: Syncer,
    /// Torrents that are closed: their open files are not needed any more, and keep deleted
    /// files and unmounted file systems alive.
    pub closed: Receiver<u64>,
    pub state: Arc<State>,
    /// Something comes when the syncer has brought something to the device.
    pub room: Receiver<()>,
}

impl Writer {
    pub(super) fn run(mut self, writes: &Receiver<Write>) {
        let mut next = None;
        loop {
            let write = match next.take() {
                Some(write) => write,
                None => {
                    let closed = self.closed.clone();
                    select! {
                        recv(writes) -> write => match write {
                            Ok(write) => write,
                            Err(_) => return,
                        },
                        recv(closed) -> store => {
                            match store {
                                Ok(store) => self.handles.close_store(store),
                                Err(_) => self.closed = never(),
                            }
                            continue;
                        }
                        default(self.handles.idle_after()) => {
                            self.handles.close_all();
                            continue;
                        }
                    }
                }
            };
            self.closed.try_iter().for_each(|store| self.handles.close_store(store));
            match write {
                Write::Pieces(pieces) => {
                    let pieces = gather(pieces, writes, &mut next);
                    self.pieces(pieces);
                }
                Write::Spill { torrent, piece, blocks, ticket } => {
                    let closed = (torrent.id, torrent.is_closed.clone());
                    self.spill(torrent, piece, blocks);
                    drop(ticket);
                    self.close_if(closed);
                }
                Write::Stop => return,
            }
        }
    }

    /// A torrent's last jobs may come when it was closed already.
    fn close_if(&mut self, (id, is_closed): (u64, Arc<AtomicBool>)) {
        if is_closed.load(Ordering::Acquire) {
            self.handles.close_store(id);
        }
    }

    fn pieces(&mut self, mut pieces: Vec<Piece>) {
        pieces.sort_by_key(|piece| (piece.torrent.id, piece.piece));
        let mut torrents = Vec::new();
        for group in pieces.chunk_by_mut(|a, b| a.torrent.id == b.torrent.id) {
            torrents.push((group[0].torrent.id, group[0].torrent.is_closed.clone()));
            if group.iter().any(Piece::is_good) {
                self.wait_for_room();
                self.write_and_note(group);
            }
        }
        // What is hashed block by block, or even read back for that, holds up nobody.
        let (plain, others): (Vec<Piece>, Vec<Piece>) =
            pieces.into_iter().partition(|piece| piece.is_good() && !piece.want_block_hashes);
        self.report(plain);
        others.into_iter().for_each(|piece| self.report(vec![piece]));
        torrents.into_iter().for_each(|closed| self.close_if(closed));
    }

    /// Waits while too much was written that is not on the device: what a power loss may take
    /// has a bound, however slow the device is.
    fn wait_for_room(&self) {
        let afloat = || self.state.afloat.load(Ordering::Acquire);
        let is_full = || afloat() > self.state.afloat_max;
        let (mut bytes, mut passes, mut vain) = (afloat(), self.syncer.passes(), 0);
        while is_full() && vain < VAIN_PASSES_MAX {
            self.syncer.press();
            let again = Instant::now() + PRESS_AGAIN;
            while is_full() && self.room.recv_deadline(again).is_ok() {}
            let (bytes_now, passes_now) = (afloat(), self.syncer.passes());
            if bytes_now < bytes {
                vain = 0;
            } else if passes_now > passes {
                vain += 1;
            }
            (bytes, passes) = (bytes_now, passes_now);
        }
    }

    /// Writes the good pieces of one torrent, sorted by number, and notes them.
    fn write_and_note(&mut self, group: &mut [Piece]) {
        let _call = pulse::busy(PATIENCE);
        let torrent = group[0].torrent.clone();
        let refusals = torrent.refusals();
        let losses = self.write(&torrent, group);
        // What was read of them before may not be in the file that the rest was written to.
        let is_split = |piece: &&mut Piece| piece.is_partly_on_disk() && piece.losses != losses;
        for piece in group.iter_mut().filter(|piece| piece.is_good()).filter(is_split) {
            piece.outcome = Outcome::Lost;
        }
        torrent.note_doubts();
        let good: Vec<PieceIndex> =
            group.iter().filter(|piece| piece.is_good()).map(|piece| piece.piece).collect();
        let bytes = torrent.on_written(&good, losses);
        self.syncer.on_written(&torrent, bytes);
        if torrent.refusals() != refusals {
            // The syncer may not have known of them when the device refused.
            torrent.lose(good.into_iter());
            for piece in group.iter_mut().filter(|piece| piece.is_good()) {
                piece.outcome = Outcome::ReadFailed("the device did not keep it".to_owned());
            }
        }
    }

    /// Writes the good pieces, neighbours together. Returns how often files were lost before what
    /// was written counts.
    fn write(&mut self, torrent: &OpenTorrent, group: &mut [Piece]) -> u64 {
        let losses = torrent.losses();
        let good = group.iter().filter(|piece| piece.is_good());
        let parts: Vec<_> = good.flat_map(Piece::to_write).collect();
        if self.write_runs(torrent, &parts).is_ok() {
            return losses;
        }
        torrent.is_gone();
        let losses = torrent.losses();
        // Which pieces it hits shows when each is written alone; the same bytes again at the
        // same place do no harm.
        for piece in group.iter_mut().filter(|piece| piece.is_good()) {
            let parts: Vec<_> = piece.to_write().collect();
            if let Err(error) = self.write_runs(torrent, &parts) {
                piece.outcome = Outcome::WriteFailed(error.to_string());
            }
        }
        losses
    }

    /// Writes parts given in order of their offsets, neighbours in one call.
    fn write_runs(&mut self, torrent: &OpenTorrent, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        let adjoin = |a: &(u64, &[u8]), b: &(u64, &[u8])| a.0 + a.1.len() as u64 == b.0;
        for run in parts.chunk_by(adjoin).flat_map(|run| run.chunks(PARTS_MAX)) {
            let bytes: Vec<&[u8]> = run.iter().map(|(_, part)| *part).collect();
            timed(&self.counters.write_ns, || {
                torrent.store.write(&mut self.handles, run[0].0, &bytes)
            })?;
            pulse::beat();
            let len = bytes.iter().map(|part| part.len() as u64).sum();
            add(&self.counters.bytes_written, len);
        }
        Ok(())
    }

    fn spill(
        &mut self,
        torrent: Arc<OpenTorrent>,
        piece: PieceIndex,
        blocks: Vec<(BlockRef, Block)>,
    ) {
        let call = pulse::busy(PATIENCE);
        let mut parts: Vec<(u64, &[u8])> = blocks
            .iter()
            .map(|(at, block)| (torrent.layout.block_offset(*at), block.bytes()))
            .collect();
        parts.sort_unstable_by_key(|(offset, _)| *offset);
        torrent.on_spill(piece);
        let mut failed = self.write_runs(&torrent, &parts).err();
        if failed.is_some() && !torrent.is_gone() {
            // A file that was gone is made anew.
            failed = self.write_runs(&torrent, &parts).err();
        }
        torrent.on_spilled(parts.iter().map(|(offset, part)| (*offset, part.len() as u64)));
        drop(call);
        let failed = match failed {
            None => {
                self.pool.give_back(blocks.into_iter().map(|(_, block)| block));
                None
            }
            Some(error) => Some((blocks, error.to_string())),
        };
        torrent.answer(DiskEvent::Spilled { piece, failed });
    }

    /// Tells what became of the pieces. What they held is free before: all of it at once, since
    /// those who wait for blocks share one lock with us.
    fn report(&mut self, mut pieces: Vec<Piece>) {
        let mut spent = Vec::with_capacity(pieces.len());
        let verdicts: Vec<Verdict> =
            pieces.iter_mut().map(|piece| self.verdict(piece, &mut spent)).collect();
        self.pool.give_back(spent);
        for (piece, verdict) in pieces.into_iter().zip(verdicts) {
            let is_lost = !piece.torrent.verified.has(piece.piece);
            let verdict = match verdict {
                // A file that it completed was found changed by somebody else, and took the piece
                // with it; or the device refused it meanwhile. Looked at last, since each answer
                // may wait.
                Verdict::Good(_) if is_lost => Verdict::Lost,
                other => other,
            };
            piece.torrent.answer(DiskEvent::Checked { piece: piece.piece, verdict });
        }
    }

    /// What became of a piece; its blocks are `spent`, unless they are needed again.
    fn verdict(&mut self, piece: &mut Piece, spent: &mut Vec<Block>) -> Verdict {
        let is_bad = matches!(piece.outcome, Outcome::Bad);
        let is_good = piece.is_good();
        let wants = is_bad || (piece.want_block_hashes && is_good);
        let hashes = if wants { self.block_hashes(piece).map(Some) } else { Ok(None) };
        let blocks = std::mem::take(&mut piece.blocks);
        let outcome = std::mem::replace(&mut piece.outcome, Outcome::Bad);
        if let Outcome::WriteFailed(reason) = outcome {
            return Verdict::WriteFailed(blocks, reason);
        }
        spent.extend(blocks.into_iter().filter_map(|held| held.into_data()));
        match (outcome, hashes) {
            (Outcome::ReadFailed(reason), _) => Verdict::ReadFailed(reason),
            (Outcome::Lost, _) => Verdict::Lost,
            (Outcome::Bad, Err(error)) => Verdict::ReadFailed(error.to_string()),
            (Outcome::Bad, Ok(hashes)) => Verdict::Bad(hashes.unwrap_or_default()),
            // The piece is right all the same; only its senders stay unproven.
            (_, hashes) => Verdict::Good(hashes.unwrap_or_default()),
        }
    }

    fn block_hashes(&mut self, piece: &Piece) -> Result<BlockHashes, Error> {
        if piece.is_partly_on_disk() {
            let _call = pulse::busy(PATIENCE);
            let mut hashes = Vec::with_capacity(piece.blocks.len());
            piece.stream(&mut self.handles, &self.counters, |block| hashes.push(sha1(&[block])))?;
            return Ok(hashes);
        }
        let messages: Vec<Vec<&[u8]>> = piece.parts().into_iter().map(|part| vec![part]).collect();
        Ok(timed(&self.counters.hash_ns, || sha1_many(&messages)))
    }
}

/// Adds pieces that wait behind these; something else that comes first is `next`.
fn gather(
    mut pieces: Vec<Piece>,
    writes: &Receiver<Write>,
    next: &mut Option<Write>,
) -> Vec<Piece> {
    let bytes_of = |pieces: &[Piece]| pieces.iter().map(Piece::len).sum::<u64>();
    let mut bytes = bytes_of(&pieces);
    while bytes < TOGETHER_BYTES
        && let Ok(write) = writes.try_recv()
    {
        match write {
            Write::Pieces(more) => {
                bytes += bytes_of(&more);
                pieces.extend(more);
            }
            other => {
                *next = Some(other);
                break;
            }
        }
    }
    pieces
}

//! One torrent as the workers see it: its geometry and hashes, its store, its record, and
//! whom to tell. No thread of its own.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::base::bitfield::Bitfield;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

use super::bits::PieceBits;
use super::error::Error;
use super::job::DiskEvent;
use super::resume::Journal;
use super::store::{FileNews, FileStamp, Store};

/// A torrent that is open on the workers.
pub(super) struct OpenTorrent {
    /// Tells open files of this torrent from others'.
    pub id: u64,
    pub layout: Layout,
    hashes: Arc<[u8]>,
    pub store: Arc<dyn Store>,
    pub verified: PieceBits,
    /// Set when the torrent starts; in-memory stores have none.
    pub journal: OnceLock<Journal>,
    events: mpsc::Sender<DiskEvent>,
}

impl OpenTorrent {
    /// # Errors
    /// `Inconsistent` when there is not one hash of 20 bytes a piece.
    pub(super) fn new(
        id: u64,
        layout: Layout,
        hashes: Arc<[u8]>,
        store: Arc<dyn Store>,
        events: mpsc::Sender<DiskEvent>,
    ) -> Result<Self, Error> {
        if hashes.len() as u64 != u64::from(layout.piece_count()) * 20 {
            return Err(Error::Inconsistent("one hash a piece"));
        }
        let verified = PieceBits::none(layout.piece_count());
        Ok(Self { id, layout, hashes, store, verified, journal: OnceLock::new(), events })
    }

    /// The hash that the piece must have.
    pub(super) fn hash_of(&self, piece: PieceIndex) -> &[u8] {
        &self.hashes[piece.index() * 20..][..20]
    }

    /// Where the piece lies: offset and length in bytes.
    pub(super) fn range_of(&self, piece: PieceIndex) -> (u64, u64) {
        (self.layout.piece_offset(piece), u64::from(self.layout.len_of(piece)))
    }

    /// Waits while the torrent's task is behind. A torrent that is gone needs no answers.
    pub(super) fn tell(&self, event: DiskEvent) {
        let _ = self.events.blocking_send(event);
    }

    /// Tells the last thing of a job. The torrent is let go of before, so that its record is
    /// unlocked when all answers are out and all handles dropped.
    pub(super) fn answer(self: Arc<Self>, event: DiskEvent) {
        let events = self.events.clone();
        drop(self);
        let _ = events.blocking_send(event);
    }

    /// Notes that these pieces are right and written: in memory, in the record, and for the
    /// files they complete.
    pub(super) fn on_written(&self, pieces: &[PieceIndex]) {
        let fresh: Vec<PieceIndex> =
            pieces.iter().copied().filter(|piece| self.verified.insert(*piece)).collect();
        if fresh.is_empty() {
            return;
        }
        let numbers: Vec<u32> = fresh.iter().map(|piece| piece.number()).collect();
        let all = || self.verified.to_bitfield(&self.layout).iter_ones().collect();
        self.record(|journal| journal.verified(&numbers, all));
        for piece in fresh {
            let (offset, len) = self.range_of(piece);
            self.on_news(self.store.verified(offset, len));
        }
    }

    /// Passes on what became of files; true when none is in trouble.
    pub(super) fn on_news(&self, news: Vec<FileNews>) -> bool {
        let mut is_fine = true;
        for news in news {
            match news {
                FileNews::Done { file, stamp } => {
                    self.record(|journal| journal.stamped(&[(file.0, stamp.0)]));
                    self.tell(DiskEvent::FileDone(file));
                }
                FileNews::Trouble { file, error, recheck } => {
                    is_fine = false;
                    let lost = if recheck { self.lose_file(file) } else { Vec::new() };
                    self.tell(DiskEvent::FileTrouble { file, reason: error.to_string(), lost });
                }
            }
        }
        is_fine
    }

    /// Notes how files look that were brought to the device.
    pub(super) fn on_synced(&self, synced: &[(FileIndex, FileStamp)]) -> Result<(), Error> {
        let stamps: Vec<_> = synced.iter().map(|(file, stamp)| (file.0, stamp.0)).collect();
        let Some(journal) = self.journal.get() else { return Ok(()) };
        // Nothing new is verified, but what an earlier failure left out is said again.
        journal.verified(&[], || self.verified.to_bitfield(&self.layout).iter_ones().collect())?;
        journal.stamped(&stamps)?;
        journal.sync()
    }

    /// Runs `work` on the record, if there is one, and passes its failure on.
    pub(super) fn record(&self, work: impl FnOnce(&Journal) -> Result<(), Error>) {
        if let Some(Err(error)) = self.journal.get().map(work) {
            self.tell(DiskEvent::RecordTrouble(error.to_string()));
        }
    }

    /// Takes over the pieces that are right at the start.
    pub(super) fn start_with(&self, have: &Bitfield) {
        for piece in have.iter_ones().filter_map(|number| self.layout.piece(number)) {
            self.verified.insert(piece);
        }
    }

    /// The pieces of a file are not to be relied on any more.
    pub(super) fn lose_file(&self, file: FileIndex) -> Vec<PieceIndex> {
        let touching = self.layout.pieces().filter(|piece| {
            let (offset, len) = self.range_of(*piece);
            self.store.touches(file, offset, len)
        });
        self.lose(touching)
    }

    /// These pieces are not to be relied on any more; those that were until now.
    pub(super) fn lose(&self, pieces: impl Iterator<Item = PieceIndex>) -> Vec<PieceIndex> {
        let lost: Vec<PieceIndex> = pieces.filter(|piece| self.verified.remove(*piece)).collect();
        for piece in &lost {
            let (offset, len) = self.range_of(*piece);
            self.store.unverified(offset, len);
        }
        let numbers: Vec<u32> = lost.iter().map(|piece| piece.number()).collect();
        self.record(|journal| journal.lost(&numbers));
        lost
    }
}

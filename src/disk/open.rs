//! One torrent as the workers see it: its geometry and hashes, its store, its record, and
//! whom to tell. No thread of its own.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::base::bitfield::Bitfield;
use crate::base::hashes::PieceHashes;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

use super::afloat::Afloat;
use super::beneath::Stamp;
use super::bits::PieceBits;
use super::error::Error;
use super::handles::Handles;
use super::job::DiskEvent;
use super::pulse;
use super::record::{Ground, Journal, Standing};
use super::store::{FileNews, FileStamp, Store, Unsynced};

/// What came of a sync.
#[derive(Debug)]
pub(super) enum Brought {
    /// All is on the device.
    All,
    /// Not everything was taken, for this reason; what it concerns is lost.
    Lost(String),
    /// For this reason this file could not even be opened: nothing is marked, and all of it waits
    /// for another sync.
    Later(FileIndex, String),
}

/// Syncs that come to nothing before that is told: strangers may hold all descriptors a while.
const DELAYS_MAX: u32 = 4;

/// A torrent that is open on the workers.
pub(super) struct OpenTorrent {
    /// Tells open files of this torrent from others'.
    pub id: u64,
    pub layout: Layout,
    hashes: PieceHashes,
    pub store: Arc<dyn Store>,
    pub verified: PieceBits,
    /// Verified pieces that no sync was asked for yet.
    unsynced: PieceBits,
    /// Pieces of which blocks were written before they were whole.
    spilled: PieceBits,
    /// Such pieces whose blocks the device did not keep, or whose files are gone.
    forgotten: PieceBits,
    /// How often the device refused what was written.
    refusals: AtomicU64,
    /// How often files were found to be others than those that were written to.
    losses: AtomicU64,
    /// How many bytes are not known to be on the device.
    pub afloat: Afloat,
    /// Set when the torrent starts; in-memory stores have none.
    pub journal: OnceLock<Journal>,
    /// Where its files stand; set with the journal.
    pub ground: OnceLock<Ground>,
    /// Something was noted since the last flush.
    is_changed: AtomicBool,
    /// The record is in trouble, and that was told.
    record_fails: AtomicBool,
    /// How many syncs in a row came to nothing.
    delays: AtomicU32,
    /// Nobody gives it jobs any more.
    pub is_closed: Arc<AtomicBool>,
    events: mpsc::Sender<DiskEvent>,
}

impl Drop for OpenTorrent {
    /// Whoever gets the record next finds the files free, though somebody may still send from them:
    /// the record is unlocked after this.
    fn drop(&mut self) {
        self.store.let_go();
    }
}

impl OpenTorrent {
    /// # Errors
    /// `Inconsistent` when there is not one hash of 20 bytes a piece.
    pub(super) fn new(
        id: u64,
        layout: Layout,
        hashes: PieceHashes,
        store: Arc<dyn Store>,
        events: mpsc::Sender<DiskEvent>,
    ) -> Result<Self, Error> {
        if hashes.len() as u64 != u64::from(layout.piece_count()) * 20 {
            return Err(Error::Inconsistent("one hash a piece"));
        }
        Ok(Self {
            id,
            layout,
            hashes,
            store,
            verified: PieceBits::none(layout.piece_count()),
            unsynced: PieceBits::none(layout.piece_count()),
            spilled: PieceBits::none(layout.piece_count()),
            forgotten: PieceBits::none(layout.piece_count()),
            refusals: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            afloat: Afloat::default(),
            journal: OnceLock::new(),
            ground: OnceLock::new(),
            is_changed: AtomicBool::new(false),
            record_fails: AtomicBool::new(false),
            delays: AtomicU32::new(0),
            is_closed: Arc::default(),
            events,
        })
    }

    /// Is a piece right that came and hashes so? Where nobody knows the hashes of pieces, whatever
    /// comes is taken: whoever asked for it judges the whole.
    pub(super) fn is_right_as_it_came(&self, piece: PieceIndex, hash: &[u8]) -> bool {
        !self.hashes.are_known() || self.hash_of(piece) == hash
    }

    /// Is a piece right that lies on disk, is in doubt, and hashes so? Where nobody knows the
    /// hashes of pieces, that cannot be told, so it is not.
    pub(super) fn is_right_on_disk(&self, piece: PieceIndex, hash: &[u8]) -> bool {
        self.hashes.are_known() && self.hash_of(piece) == hash
    }

    /// The hash that the piece must have.
    fn hash_of(&self, piece: PieceIndex) -> &[u8] {
        &self.hashes[piece.index() * 20..][..20]
    }

    /// Where the piece lies: offset and length in bytes.
    pub(super) fn range_of(&self, piece: PieceIndex) -> (u64, u64) {
        (self.layout.piece_offset(piece), u64::from(self.layout.len_of(piece)))
    }

    /// Waits while the torrent's task is behind. A torrent that is gone needs no answers.
    pub(super) fn tell(&self, event: DiskEvent) {
        send(&self.events, event);
    }

    /// Where it is told of things, as long as somebody has it.
    pub(super) fn events(&self) -> mpsc::WeakSender<DiskEvent> {
        self.events.downgrade()
    }

    /// Tells the last thing of a job. The torrent is let go of before, so that its record is
    /// unlocked when all answers are out and all handles dropped.
    pub(super) fn answer(self: Arc<Self>, event: DiskEvent) {
        let events = self.events.clone();
        drop(self);
        send(&events, event);
    }

    /// Notes that these pieces are right and written: in memory, in the record, and for the
    /// files they complete; neighbours together when they come in the order of their numbers.
    /// Returns how many bytes are new. Those whose files may have been lost since there were so
    /// many [`losses`](Self::losses) are lost with them.
    pub(super) fn on_written(&self, pieces: &[PieceIndex], losses: u64) -> u64 {
        // Before they count, so that a sync that fails knows whom it concerns, and a record that is
        // written anew does not say that they are on the device.
        for piece in pieces {
            self.unsynced.insert(*piece);
        }
        let fresh: Vec<PieceIndex> =
            pieces.iter().copied().filter(|piece| self.verified.insert(*piece)).collect();
        // Asked after they count: whoever loses files from now on loses these pieces, too.
        if self.losses() != losses {
            for piece in fresh.iter().filter(|piece| !self.verified.remove(**piece)) {
                // Lost once more already, by somebody who took it for counted.
                let (offset, len) = self.range_of(*piece);
                self.store.verified(offset, len);
            }
            return 0;
        }
        if fresh.is_empty() {
            return 0;
        }
        let numbers: Vec<u32> = fresh.iter().map(|piece| piece.number()).collect();
        let made = numbered(self.store.made());
        let of_run = |run: &[PieceIndex]| {
            let len = run.iter().map(|piece| u64::from(self.layout.len_of(*piece))).sum::<u64>();
            (self.layout.piece_offset(run[0]), len)
        };
        let runs = fresh.chunk_by(|a, b| a.number() + 1 == b.number()).map(of_run);
        let left = self.left(runs.clone());
        self.record(|journal| journal.verified(&numbers, &made, &left));
        let mut news = Vec::new();
        let mut bytes = 0;
        for (offset, len) in runs {
            pulse::beat();
            news.extend(self.store.verified(offset, len));
            bytes += len;
        }
        self.on_news(news);
        bytes
    }

    /// How our last write left the files of these ranges, which are offsets and lengths in bytes.
    fn left(&self, ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u32, Stamp)> {
        let mut left: Vec<_> =
            ranges.flat_map(|(offset, len)| self.store.left(offset, len)).collect();
        // Ranges come in order: one file's are neighbours.
        left.dedup();
        plain(&left)
    }

    /// Passes on what became of files; true when none is in trouble. Trouble is told once, however
    /// many files it hits: a directory may have been deleted with thousands of them.
    pub(super) fn on_news(&self, news: Vec<FileNews>) -> bool {
        let mut is_fine = true;
        let done = news.iter().filter_map(|news| match news {
            FileNews::Done { file, stamp } => Some((file.0, stamp.0)),
            _ => None,
        });
        let done: Vec<(u32, Stamp)> = done.collect();
        if !done.is_empty() {
            self.record(|journal| journal.stamped(&done));
        }
        let (mut troubles, mut doubtful) = (Vec::new(), Vec::new());
        for news in news {
            match news {
                FileNews::Done { file, .. } => self.tell(DiskEvent::FileDone(file)),
                FileNews::Doubted { file, seen, error } => {
                    is_fine &= self.on_doubt(file, seen, error.to_string());
                }
                FileNews::Trouble { file, error, recheck } => {
                    doubtful.extend(recheck.then_some(file));
                    troubles.push((file, error));
                }
            }
        }
        if let Some((file, error)) = troubles.first() {
            is_fine = false;
            let lost = self.lose_files(&doubtful);
            let reason = of_several(error, troubles.len());
            let is_gone = troubles.iter().all(|(_, error)| error.is_gone());
            self.tell(DiskEvent::FileTrouble { file: *file, reason, lost, is_gone });
        }
        is_fine
    }

    /// Is the directory of the files gone from its path? That is told at once, as are files that
    /// are gone from it.
    pub(super) fn is_gone(&self) -> bool {
        let gone = self.store.look_around();
        let is_gone = gone.is_some();
        if is_gone {
            self.tell(DiskEvent::Looked(gone));
        } else {
            self.on_news(self.store.gone_files());
        }
        is_gone
    }

    /// Brings all that was noted until now to the device, and marks it in the record. Pieces of
    /// files that the device refused are lost: that they can still be read is deceit of the
    /// system's memory, and another sync would not say so again.
    ///
    /// # Errors
    /// When the record cannot be written. The data is on the device then, or lost.
    pub(super) fn bring_to_device(&self, handles: &mut Handles) -> Result<Brought, Error> {
        self.afloat.rearm();
        let afloat = self.afloat.bytes();
        // What could not be said before comes first, so that the mark covers it.
        let journal = self.journal.get();
        let behind = journal.map_or(Ok(()), |journal| journal.catch_up(|| self.standing()));
        // Files of which only unverified blocks were written.
        let made = numbered(self.store.made());
        let noted = journal.map_or(Ok(()), |journal| journal.verified(&[], &made, &[]));
        let covered = journal.map_or(Ok(0), Journal::length);
        let mut concerned = self.unsynced.take(&self.layout);
        let unsynced = self.store.sync(handles);
        let (mut brought, mut refused) = (Brought::All, Vec::new());
        for (file, why) in unsynced {
            match why {
                Unsynced::Lost(error) => refused.push((file, error)),
                Unsynced::Unknown(error) => brought = Brought::Later(file, error.to_string()),
            }
        }
        if let Some((_, error)) = refused.first() {
            self.on_refused(&refused, &mut concerned);
            if matches!(brought, Brought::All) {
                brought = Brought::Lost(error.to_string());
            }
        }
        if let Brought::Later(..) = brought {
            for piece in concerned {
                self.unsynced.insert(piece);
            }
            return behind.and(noted).map(|()| brought);
        }
        self.afloat.take(afloat);
        behind.and(noted)?;
        let covered = covered?;
        journal.map_or(Ok(()), |journal| journal.mark(covered))?;
        // A worker may have failed to add something meanwhile.
        if !self.is_behind() {
            self.on_record(Ok(()));
        }
        Ok(brought)
    }

    /// The device refused files: their pieces that were not on it before are lost, and so is what
    /// was written while it was asked; a writer that has written and not yet noted looks at the
    /// count of refusals.
    fn on_refused(&self, files: &[(FileIndex, Error)], concerned: &mut Vec<PieceIndex>) {
        let Some((file, error)) = files.first() else { return };
        self.refusals.fetch_add(1, Ordering::AcqRel);
        concerned.extend(self.unsynced.take(&self.layout));
        for piece in self.spilled.take(&self.layout) {
            self.forgotten.insert(piece);
        }
        let of_files = self.pieces_of(files.iter().map(|(file, _)| *file));
        let lost = self.lose(concerned.iter().copied().filter(|piece| of_files.has(*piece)));
        let reason = of_several(error, files.len());
        self.tell(DiskEvent::Unkept { file: *file, reason, lost });
    }

    /// Is there something that the record does not say yet?
    pub(super) fn is_behind(&self) -> bool {
        self.journal.get().is_some_and(Journal::is_behind)
    }

    /// How often files were lost, or in doubt, until now.
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Files are lost now, or what counts of them is about to be read once more.
    pub(super) fn count_loss(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// Nobody gives it jobs any more: what takes long is left to the next start.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// How often the device refused until now.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Acquire)
    }

    /// Blocks of the piece are about to be written before it is whole.
    pub(super) fn on_spill(&self, piece: PieceIndex) {
        self.spilled.insert(piece);
    }

    /// Blocks were written before their piece is whole; `parts` are their offsets and lengths in
    /// bytes.
    pub(super) fn on_spilled(&self, parts: impl Iterator<Item = (u64, u64)>) {
        // That the record is younger than the write and knows what it left tells the next start
        // that nobody else wrote.
        let left = self.left(parts);
        self.record(|journal| journal.touch(&left));
    }

    /// The piece is to be read back; false when what was spilled of it is lost.
    pub(super) fn is_kept(&self, piece: PieceIndex) -> bool {
        self.spilled.remove(piece);
        !self.forgotten.remove(piece)
    }

    /// Notes files that others were found to write to.
    pub(super) fn note_doubts(&self) {
        let files: Vec<u32> = self.store.doubts().into_iter().map(|file| file.0).collect();
        if !files.is_empty() {
            self.record(|journal| journal.doubted(&files));
        }
    }

    /// Brings everything to the device, and notes how the files look now that nothing is
    /// written to them any more. A torrent that only sent has nothing to bring.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn flush(&self, handles: &mut Handles) -> Result<Brought, Error> {
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(Brought::All);
        }
        let stamps = plain(&self.store.stamps(false));
        let noted = self.journal.get().map_or(Ok(()), |journal| journal.stamped(&stamps));
        let brought = self.bring_to_device(handles)?;
        if let Brought::Later(..) = brought {
            self.is_changed.store(true, Ordering::Release);
        }
        noted.map(|()| brought)
    }

    /// A sync has ended so. Tells, once, when nothing can be brought to the device for long: what
    /// is written meanwhile is there only as long as the power is.
    pub(super) fn note_delay(&self, brought: Option<&Brought>) {
        let Some(Brought::Later(file, why)) = brought else {
            self.delays.store(0, Ordering::Release);
            return;
        };
        if self.delays.fetch_add(1, Ordering::AcqRel) + 1 == DELAYS_MAX {
            let reason = format!("cannot bring it to the device: {why}");
            let lost = Vec::new();
            self.tell(DiskEvent::FileTrouble { file: *file, reason, lost, is_gone: false });
        }
    }

    /// Where the torrent stands, for a record that is written anew or said once more.
    fn standing(&self) -> Standing {
        let ground = self.ground.get().cloned().unwrap_or_default();
        // In this order: what is verified meanwhile is unsynced before.
        let verified = self.verified.to_bitfield(&self.layout);
        let unsynced = self.unsynced.to_bitfield(&self.layout);
        let doubted = Bitfield::none(self.layout.piece_count());
        standing(&*self.store, verified.clone(), verified.minus(&unsynced), doubted, ground)
    }

    /// Runs `work` on the record, if there is one, and passes its failure on.
    pub(super) fn record(&self, work: impl FnOnce(&Journal) -> Result<(), Error>) {
        self.is_changed.store(true, Ordering::Release);
        if let Some(Err(error)) = self.journal.get().map(work) {
            self.on_record(Err(error));
        }
    }

    /// Tells when the record begins to fail, not each time: it is tried again and again.
    pub(super) fn on_record(&self, done: Result<(), Error>) {
        let failed_before = self.record_fails.swap(done.is_err(), Ordering::AcqRel);
        match done {
            Err(error) if !failed_before => self.tell(DiskEvent::RecordTrouble(error.to_string())),
            Ok(()) if failed_before => self.tell(DiskEvent::RecordRecovered),
            _ => {}
        }
    }

    /// Takes over the pieces that are right at the start.
    pub(super) fn start_with(&self, have: &Bitfield) {
        for piece in have.iter_ones().filter_map(|number| self.layout.piece(number)) {
            self.verified.insert(piece);
        }
    }

    /// These pieces are verified, but nobody knows whether they are on the device; how many
    /// bytes they are.
    pub(super) fn leave_unsynced(&self, pieces: &Bitfield) -> u64 {
        let mut bytes = 0;
        self.is_changed.fetch_or(pieces.ones() > 0, Ordering::AcqRel);
        for piece in pieces.iter_ones().filter_map(|number| self.layout.piece(number)) {
            let (offset, len) = self.range_of(piece);
            self.store.mark_unsynced(offset, len);
            self.unsynced.insert(piece);
            bytes += len;
        }
        bytes
    }

    /// The pieces that these files have bytes of.
    pub(super) fn pieces_of(&self, files: impl Iterator<Item = FileIndex>) -> Bitfield {
        let mut pieces = Bitfield::none(self.layout.piece_count());
        for range in files.map(|file| self.store.range(file)).filter(|range| !range.is_empty()) {
            let piece_len = u64::from(self.layout.piece_len());
            let last = range.end.min(self.layout.total_len()).saturating_sub(1) / piece_len;
            let numbers = (range.start / piece_len..=last).filter_map(|it| u32::try_from(it).ok());
            for piece in numbers.filter_map(|number| self.layout.piece(number)) {
                pieces.insert(piece);
            }
        }
        pieces
    }

    /// The pieces of these files are not to be relied on any more, nor is what was spilled to them;
    /// those that were until now.
    pub(super) fn lose_files(&self, files: &[FileIndex]) -> Vec<PieceIndex> {
        if files.is_empty() {
            return Vec::new();
        }
        let pieces = self.pieces_of(files.iter().copied());
        self.count_loss();
        for piece in self.spilled.take(&self.layout) {
            let set = if pieces.has(piece) { &self.forgotten } else { &self.spilled };
            set.insert(piece);
        }
        self.lose(pieces.iter_ones().filter_map(|number| self.layout.piece(number)))
    }

    /// These pieces are not to be relied on any more; those that were until now.
    pub(super) fn lose(&self, pieces: impl Iterator<Item = PieceIndex>) -> Vec<PieceIndex> {
        let lost: Vec<PieceIndex> = pieces.filter(|piece| self.verified.remove(*piece)).collect();
        if lost.is_empty() {
            return lost;
        }
        for piece in &lost {
            let (offset, len) = self.range_of(*piece);
            self.store.unverified(offset, len);
        }
        let numbers: Vec<u32> = lost.iter().map(|piece| piece.number()).collect();
        // Their files are not called finished any more: what else is right of them was read when
        // they looked like this.
        let left = self.left(lost.iter().map(|piece| self.range_of(*piece)));
        self.record(|journal| journal.lost(&numbers, &left));
        lost
    }
}

/// Where a torrent stands by these pieces, and as its files look.
pub(super) fn standing(
    store: &dyn Store,
    verified: Bitfield,
    durable: Bitfield,
    doubted: Bitfield,
    ground: Ground,
) -> Standing {
    Standing {
        verified,
        durable,
        doubted,
        stamps: plain(&store.stamps(true)),
        ours: numbered(store.ours()),
        left: plain(&store.left_unfinished()),
        ground,
    }
}

/// Waits for a place only when there is none. A task that is gone needs no events.
fn send(events: &mpsc::Sender<DiskEvent>, event: DiskEvent) {
    if let Err(TrySendError::Full(event)) = events.try_send(event) {
        let _ = pulse::aside(|| events.blocking_send(event));
    }
}

fn numbered(files: Vec<(FileIndex, u64)>) -> Vec<(u32, u64)> {
    files.into_iter().map(|(file, inode)| (file.0, inode)).collect()
}

/// Why, in words for people, and for how many files.
fn of_several(error: &Error, count: usize) -> String {
    match count {
        ..=1 => error.to_string(),
        2 => format!("{error}; and another file"),
        _ => format!("{error}; and {} more files", count - 1),
    }
}

fn plain(stamps: &[(FileIndex, FileStamp)]) -> Vec<(u32, Stamp)> {
    stamps.iter().map(|(file, stamp)| (file.0, stamp.0)).collect()
}

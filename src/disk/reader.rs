//! A thread of a lane that reads and looks: pieces before they are sent, pieces that were
//! spilled, and how files stand. It writes no data.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, never, select};
use sha1::{Digest, Sha1};

use super::handles::Handles;
use super::job::{DiskEvent, Job};
use super::lane_state::{State, Ticket};
use super::open::OpenTorrent;
use super::piece::{Outcome, Piece};
use super::prove::Restored;
use super::pulse::{self, PATIENCE};
use super::stats::{Counters, add, timed};
use super::syncer::Syncer;
use super::writer::Writes;

/// What a reader is handed.
pub(super) enum Errand {
    /// A piece that is to be hashed from disk in part.
    Check(Piece),
    /// Any job that is no check, spill or flush.
    Other(Arc<OpenTorrent>, Job, Ticket),
    /// One reader ends, after what was handed to them before.
    Stop,
}

/// One reader of a lane.
pub(super) struct Reader {
    pub handles: Handles,
    pub counters: Arc<Counters>,
    /// Torrents that are closed.
    pub closed: Receiver<u64>,
    /// To the lane's writer.
    pub writes: Writes,
    pub state: Arc<State>,
    pub syncer: Syncer,
}

impl Reader {
    pub(super) fn run(mut self, errands: &Receiver<Errand>) {
        loop {
            let closed = self.closed.clone();
            select! {
                recv(errands) -> errand => match errand {
                    Ok(Errand::Check(piece)) => self.check(piece),
                    Ok(Errand::Other(torrent, job, ticket)) => {
                        let (id, is_closed) = (torrent.id, torrent.is_closed.clone());
                        self.work(torrent, job);
                        drop(ticket);
                        // Its last jobs may come when it was closed already.
                        if is_closed.load(Ordering::Acquire) {
                            self.handles.close_store(id);
                        }
                    }
                    Ok(Errand::Stop) => break,
                    Err(_) => return,
                },
                recv(closed) -> store => match store {
                    Ok(store) => self.handles.close_store(store),
                    Err(_) => self.closed = never(),
                },
                default(self.handles.idle_after()) => self.handles.close_all(),
            }
        }
        if self.state.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.writes.stop();
        }
    }

    fn work(&mut self, torrent: Arc<OpenTorrent>, job: Job) {
        let _call = pulse::busy(PATIENCE);
        match job {
            Job::Prepare { piece, prove } => {
                let outcome = self.prepare(&torrent, piece, prove);
                torrent.answer(DiskEvent::Prepared { piece, outcome });
            }
            Job::Want(wanted) => {
                torrent.on_news(torrent.store.want(&wanted));
            }
            Job::Look => {
                let gone = torrent.store.look_around();
                torrent.answer(DiskEvent::Looked(gone));
            }
            Job::Restore => {
                let Restored { reason, found, bytes, more } = torrent.restore();
                self.syncer.on_written(&torrent, bytes);
                torrent.answer(DiskEvent::Restored { reason, found, more });
            }
            // Files that are not at their path any more are not done.
            Job::Finish if torrent.is_gone() => torrent.answer(DiskEvent::Finished(false)),
            Job::Finish => {
                let is_fine = torrent.on_news(torrent.store.finish());
                torrent.answer(DiskEvent::Finished(is_fine));
            }
            Job::Check { .. } | Job::Spill { .. } | Job::Flush => {
                debug_assert!(false, "a reader was handed another's job");
            }
        }
    }

    /// Hashes a piece of which a part is on disk; the rest is written next, if it is right.
    fn check(&mut self, mut piece: Piece) {
        add(&self.counters.batches, 1);
        add(&self.counters.pieces_checked, 1);
        piece.losses = piece.torrent.losses();
        match piece.torrent.is_kept(piece.piece) {
            true => {
                self.compare(&mut piece);
                // What was read may be a new file in the place of the one that was written to.
                if !piece.is_good() && piece.torrent.losses() != piece.losses {
                    piece.outcome = Outcome::Lost;
                }
            }
            false => piece.outcome = Outcome::Lost,
        }
        self.writes.pieces(vec![piece]);
    }

    /// Sets the outcome to good, bad or unreadable.
    fn compare(&mut self, piece: &mut Piece) {
        let _call = pulse::busy(PATIENCE);
        let mut hasher = Sha1::new();
        let counters = self.counters.clone();
        let read = piece.stream(&mut self.handles, &counters, |bytes| {
            timed(&counters.hash_ns, || hasher.update(bytes));
        });
        add(&counters.bytes_hashed, piece.len());
        match read {
            Ok(()) => piece.judge(&hasher.finalize().into()),
            Err(error) => {
                // Its file may be another now, which is told once, and not for each piece.
                let (offset, len) = piece.torrent.range_of(piece.piece);
                let news = piece.torrent.store.look_over(offset, len);
                piece.outcome = match piece.torrent.on_news(news) {
                    true => Outcome::ReadFailed(error.to_string()),
                    false => Outcome::Lost,
                };
            }
        }
    }
}

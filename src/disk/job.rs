//! What a torrent asks of the disk workers and what they answer. Not the asking itself.

use crate::base::ids::FileIndex;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::swarm::event::{Held, Preparation, Verdict};

use super::footing::Gone;
use super::silence::Silence;

/// Work for the disk workers, answered by [`DiskEvent`]s.
#[derive(Debug)]
pub enum Job {
    /// Hash a piece, compare, write when it is right: `Checked`.
    Check {
        /// Which piece.
        piece: PieceIndex,
        /// All its blocks in order.
        blocks: Vec<Held>,
        /// Report block hashes also when the piece is good.
        want_block_hashes: bool,
        /// Others follow: it may wait a moment, to be hashed side by side with them.
        may_wait: bool,
    },
    /// Write unverified blocks: `Spilled`.
    Spill {
        /// Which piece they belong to.
        piece: PieceIndex,
        /// The blocks, in any order.
        blocks: Vec<(BlockRef, Block)>,
    },
    /// A piece that counts as verified is about to be sent to peers: `Prepared`.
    Prepare {
        /// Which piece.
        piece: PieceIndex,
        /// Hash it again first. Without, it is only read.
        prove: bool,
    },
    /// The user's choice of files, one entry a file: `FileDone` for those that were whole
    /// already.
    Want(Vec<bool>),
    /// Bring data and record to the device now: `Flushed`. It covers what was answered before it
    /// was asked; at a clean stop, ask when all answers have come.
    Flush,
    /// Look whether the directory that the files are below is still at its path: `Looked`.
    Look,
    /// Look whether files that were lost stand there again, and hash what may be right of some of
    /// them: `Restored`.
    Restore,
    /// Look at every wanted file before the torrent is called done: `Finished`.
    Finish,
}

/// A job that was not taken, and comes back.
#[derive(Debug)]
pub enum Rejected {
    /// As many jobs of all torrents wait as there is room for: it is to be offered again.
    Full(Job),
    /// The device does not answer: it is to be offered again after `DiskEvent::Answers`.
    Silent(Job),
    /// The workers have ended.
    Stopped(Job),
}

/// An answer of the disk workers, or news of the files.
#[derive(Debug)]
pub enum DiskEvent {
    /// The answer to `Check`.
    Checked {
        /// Which piece.
        piece: PieceIndex,
        /// What was found.
        verdict: Verdict,
    },
    /// The answer to `Spill`.
    Spilled {
        /// Which piece.
        piece: PieceIndex,
        /// The blocks, when they were not written, and why, in words for people.
        failed: Option<(Vec<(BlockRef, Block)>, String)>,
    },
    /// The answer to `Prepare`.
    Prepared {
        /// Which piece.
        piece: PieceIndex,
        /// May it be sent?
        outcome: Preparation,
    },
    /// A wanted file is whole and has its final name.
    FileDone(FileIndex),
    /// Files are not as they should be.
    FileTrouble {
        /// The first of them.
        file: FileIndex,
        /// Why, and how many there are, in words for people.
        reason: String,
        /// Pieces that count as missing now, and may be checked or fetched again.
        lost: Vec<PieceIndex>,
        /// Nothing stands at their paths any more.
        is_gone: bool,
    },
    /// The device refused, after the fact, what was written to files.
    Unkept {
        /// The first of them.
        file: FileIndex,
        /// Why, and how many there are, in words for people.
        reason: String,
        /// Pieces that count as missing now, and are to be fetched again.
        lost: Vec<PieceIndex>,
    },
    /// The record of verified pieces cannot be written; it is tried again every few seconds,
    /// and what it said before still holds. The data is not concerned.
    RecordTrouble(String),
    /// The record is written again, and nothing is missing in it.
    RecordRecovered,
    /// The answer to `Flush`; why it failed.
    Flushed(Option<String>),
    /// The answer to `Look`; told as well when a write failed for that reason.
    Looked(Option<Gone>),
    /// The answer to `Restore`.
    Restored {
        /// Which files are back, in words for people.
        reason: String,
        /// Their pieces that are right, and count again; often none.
        found: Vec<PieceIndex>,
        /// Others may be back, and wait for another `Restore`.
        more: bool,
    },
    /// The answer to `Finish`, after a `FileTrouble` if any file is in doubt. True when every
    /// wanted file stands there whole, under its name.
    Finished(bool),
    /// The device of the files does not answer. No job is taken until it does.
    Silent(Silence),
    /// The device answers again.
    Answers,
}

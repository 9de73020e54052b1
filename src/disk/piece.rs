//! A piece on its way through the threads of the disk: hashed by one, written by another. It
//! does none of that itself.

use std::sync::Arc;

use crate::base::digest::Sha1Hash;
use crate::base::layout::PieceIndex;
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::event::Held;

use super::job::Job;
use super::lane_state::Ticket;
use super::open::OpenTorrent;

/// What pad blocks hold.
pub(super) static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// A piece that a torrent asked to be checked.
pub(super) struct Piece {
    pub torrent: Arc<OpenTorrent>,
    pub piece: PieceIndex,
    pub blocks: Vec<Held>,
    pub want_block_hashes: bool,
    /// To be hashed with others.
    pub may_wait: bool,
    pub outcome: Outcome,
    /// How often files had been lost when what is on disk of it was read.
    pub losses: u64,
    _ticket: Ticket,
}

pub(super) enum Outcome {
    Good,
    Bad,
    WriteFailed(String),
    ReadFailed(String),
    /// Its files, or what was written of it, are lost, and that was told.
    Lost,
}

impl Piece {
    /// One that nobody has looked at.
    pub(super) fn new(
        torrent: Arc<OpenTorrent>,
        piece: PieceIndex,
        blocks: Vec<Held>,
        want_block_hashes: bool,
        may_wait: bool,
        ticket: Ticket,
    ) -> Self {
        Self {
            torrent,
            piece,
            blocks,
            want_block_hashes,
            may_wait,
            outcome: Outcome::Bad,
            losses: 0,
            _ticket: ticket,
        }
    }

    /// As it was asked for.
    pub(super) fn into_job(self) -> Job {
        let Self { piece, blocks, want_block_hashes, may_wait, .. } = self;
        Job::Check { piece, blocks, want_block_hashes, may_wait }
    }

    pub(super) fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Good)
    }

    pub(super) fn is_partly_on_disk(&self) -> bool {
        self.blocks.iter().any(HeldExt::is_on_disk)
    }

    /// Bytes of it, wherever they are.
    pub(super) fn len(&self) -> u64 {
        u64::from(self.torrent.layout.len_of(self.piece))
    }

    /// The bytes of a piece that is wholly in memory, block by block.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let blocks = self.torrent.layout.blocks(self.piece).zip(&self.blocks);
        let bytes = blocks.map(|(at, held)| match held {
            Held::Data(block) => block.bytes(),
            Held::Pad => &ZEROS[..at.len_bytes() as usize],
            Held::OnDisk => &[],
        });
        bytes.collect()
    }

    /// The bytes in memory that have a place on disk, with their offsets in the torrent.
    pub(super) fn to_write(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let layout = &self.torrent.layout;
        let blocks = layout.blocks(self.piece).zip(&self.blocks);
        blocks.filter_map(|(at, held)| match held {
            Held::Data(block) => Some((layout.block_offset(at), block.bytes())),
            Held::Pad | Held::OnDisk => None,
        })
    }

    pub(super) fn judge(&mut self, hash: &Sha1Hash) {
        let is_complete = self.blocks.len() == self.torrent.layout.block_count(self.piece) as usize;
        debug_assert!(is_complete, "a piece goes to the check with all its blocks");
        let is_right = is_complete && self.torrent.is_right_as_it_came(self.piece, hash);
        self.outcome = if is_right { Outcome::Good } else { Outcome::Bad };
    }
}

/// What the threads ask of a held block.
pub(super) trait HeldExt {
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

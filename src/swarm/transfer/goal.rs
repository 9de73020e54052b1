//! What we have, and what of the rest is wanted. Counts only: who has what is in `trade`, what is
//! done about it in `interest` and `check`.

use crate::base::bitfield::Bitfield;
use crate::base::layout::PieceIndex;

use super::picker::PeerPieces;

/// Verified and wanted pieces of one torrent.
#[derive(Debug)]
pub(super) struct Goal {
    have: Bitfield,
    wanted: Bitfield,
    /// Pieces that are wanted and not verified.
    missing: u32,
}

impl Goal {
    /// Both sets are of the same torrent.
    pub(super) fn new(have: Bitfield, wanted: Bitfield) -> Self {
        let mut goal = Self { have, wanted, missing: 0 };
        goal.count();
        goal
    }

    /// Verified pieces.
    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Is the piece verified?
    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        self.have.has(piece)
    }

    /// Is anything verified?
    pub(super) fn has_any(&self) -> bool {
        self.have.ones() > 0
    }

    /// Wanted pieces, verified or not.
    pub(super) fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// Is the piece wanted, verified or not?
    pub(super) fn wants(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece)
    }

    /// Is the piece wanted and not verified?
    pub(super) fn lacks(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece) && !self.have.has(piece)
    }

    /// Pieces that are wanted and not verified.
    pub(super) fn missing(&self) -> u32 {
        self.missing
    }

    /// How many of these pieces are wanted and not verified. Costs a pass over all pieces, unless
    /// they are all there are.
    pub(super) fn lacking_of(&self, pieces: &PeerPieces) -> u32 {
        match pieces {
            PeerPieces::All => self.missing,
            PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
        }
    }

    /// Is everything wanted verified?
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Is everything wanted verified, and something else missing (BEP 21)?
    pub(super) fn is_partial_seed(&self) -> bool {
        self.is_complete() && !self.have.is_full()
    }

    /// The piece is verified. Is it wanted?
    pub(super) fn verified(&mut self, piece: PieceIndex) -> bool {
        let is_new = self.have.insert(piece);
        debug_assert!(is_new, "a piece is verified once");
        let is_wanted = self.wanted.has(piece);
        self.missing -= u32::from(is_wanted);
        is_wanted
    }

    /// The piece is not as it was any more. Is it missing again?
    pub(super) fn lost(&mut self, piece: PieceIndex) -> bool {
        let is_missing = self.have.remove(piece) && self.wanted.has(piece);
        self.missing += u32::from(is_missing);
        is_missing
    }

    /// Other pieces are wanted from now on.
    pub(super) fn want(&mut self, wanted: Bitfield) {
        self.wanted = wanted;
        self.count();
    }

    fn count(&mut self) {
        let all = Bitfield::all(self.have.piece_count());
        self.missing = all.count_missing(&self.have, &self.wanted);
    }
}

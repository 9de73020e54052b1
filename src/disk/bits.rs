//! A set of pieces that many threads add to without a lock. Not for the wire: that is
//! [`Bitfield`], which this can be turned into.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::bitfield::Bitfield;
use crate::base::layout::{Layout, PieceIndex};

/// Pieces of one torrent.
#[derive(Debug)]
pub(super) struct PieceBits {
    words: Box<[AtomicU64]>,
}

impl PieceBits {
    pub(super) fn none(piece_count: u32) -> Self {
        Self { words: (0..piece_count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Adds the piece; true when it was not there. What the caller did before is seen by who
    /// finds the piece in the set.
    pub(super) fn insert(&self, piece: PieceIndex) -> bool {
        let (word, bit) = self.at(piece);
        word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Takes the piece out; true when it was there.
    pub(super) fn remove(&self, piece: PieceIndex) -> bool {
        let (word, bit) = self.at(piece);
        word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        let (word, bit) = self.at(piece);
        word.load(Ordering::Acquire) & bit != 0
    }

    /// The set as it is now.
    pub(super) fn to_bitfield(&self, layout: &Layout) -> Bitfield {
        let mut set = Bitfield::none(layout.piece_count());
        for piece in layout.pieces().filter(|piece| self.has(*piece)) {
            set.insert(piece);
        }
        set
    }

    /// Takes all pieces out, and returns those that were there.
    pub(super) fn take(&self, layout: &Layout) -> Vec<PieceIndex> {
        let words = self.words.iter().enumerate();
        let taken = words.map(|(at, word)| (at as u32 * 64, word.swap(0, Ordering::AcqRel)));
        let pieces = taken.flat_map(|(first, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| first + bit)
        });
        pieces.filter_map(|number| layout.piece(number)).collect()
    }

    fn at(&self, piece: PieceIndex) -> (&AtomicU64, u64) {
        (&self.words[piece.index() / 64], 1 << (piece.index() % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_to_add_a_piece_is_told_so() {
        let layout = Layout::new(130, 1).unwrap();
        let bits = PieceBits::none(130);
        let last = layout.piece(129).unwrap();
        assert!(bits.insert(last) && !bits.insert(last));
        assert_eq!(bits.to_bitfield(&layout).iter_ones().collect::<Vec<_>>(), [129]);
        assert!(bits.remove(last) && !bits.remove(last));
        bits.insert(last);
        assert_eq!(bits.take(&layout), [last]);
        assert_eq!(bits.take(&layout), []);
    }
}

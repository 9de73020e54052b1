//! Where the bytes of a file lie of which only the edges are kept: those in the pieces that it
//! shares with the files before and behind it. They stand one behind the other, so that a file
//! that is not wanted takes a piece or two, however long it is. Pure: files are not known here.

use std::ops::Range;

use crate::base::extents::FileSlice;
use crate::base::layout::Layout;

/// The edges of one file: its first and its last bytes. There are others between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Edges {
    head: u64,
    tail: u64,
    /// All bytes of the file.
    file_len: u64,
}

impl Edges {
    /// Of the file that is these bytes of the torrent; none when its edges are all of it, or it
    /// has none. They follow from the lengths alone, whatever is wanted.
    pub(super) fn of(layout: &Layout, file: &Range<u64>) -> Option<Self> {
        let piece_len = u64::from(layout.piece_len());
        let head = (piece_len - file.start % piece_len) % piece_len;
        // Nothing is behind the end of the torrent to share its last piece with.
        let tail = if file.end == layout.total_len() { 0 } else { file.end % piece_len };
        let file_len = file.end.saturating_sub(file.start);
        let kept = head + tail;
        (kept > 0 && kept < file_len).then_some(Self { head, tail, file_len })
    }

    /// How many bytes they are.
    pub(super) fn len(&self) -> u64 {
        self.head + self.tail
    }

    /// Where `len` bytes from `offset` of the file stand among the edges; none when some of them
    /// do not.
    pub(super) fn at(&self, offset: u64, len: u64) -> Option<u64> {
        let end = offset.checked_add(len).filter(|end| *end <= self.file_len)?;
        let tail_begin = self.file_len - self.tail;
        if end <= self.head {
            return Some(offset);
        }
        (offset >= tail_begin).then(|| offset - tail_begin + self.head)
    }

    /// Both edges: where each stands, its place in the file, and its length.
    pub(super) fn both(&self) -> [(u64, u64, u64); 2] {
        [(0, 0, self.head), (self.head, self.file_len - self.tail, self.tail)]
    }
}

/// Which bytes of a file what is on disk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Each at its own place.
    Plain,
    /// The edges only.
    Edges(Edges),
}

impl Form {
    pub(super) fn is_edges(self) -> bool {
        matches!(self, Self::Edges(_))
    }

    /// Where a part of the file stands on disk, if there is a place for it.
    pub(super) fn at(self, slice: &FileSlice) -> Option<u64> {
        match self {
            Self::Plain => Some(slice.offset_in_file),
            Self::Edges(edges) => edges.at(slice.offset_in_file, slice.len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_what_a_file_shares_pieces_for() {
        let layout = Layout::new(100_000, 16_384).unwrap();
        let of = |file| Edges::of(&layout, &file);
        let edges = of(10_000..60_000).unwrap();
        assert_eq!((edges.head, edges.tail, edges.len()), (6384, 10_848, 17_232));
        assert_eq!(edges.at(0, 6384), Some(0));
        assert_eq!(edges.at(6383, 2), None);
        assert_eq!(edges.at(39_152, 10_848), Some(6384));
        assert_eq!(edges.at(49_999, 1), Some(17_231));
        assert_eq!(edges.at(49_999, 2), None);
        assert_eq!(edges.at(u64::MAX, 2), None);
        // Aligned on both sides, all edge, or at the end of the torrent.
        assert_eq!(of(16_384..65_536), None);
        assert_eq!(of(10_000..32_768 + 10), Some(Edges { head: 6384, tail: 10, file_len: 22_778 }));
        assert_eq!(of(10_000..20_000), None);
        assert_eq!(of(10_000..10_000), None);
        assert_eq!(of(32_768..100_000), None);
        assert_eq!(of(40_000..100_000).map(|edges| edges.tail), Some(0));
    }

    proptest! {
        #[test]
        fn every_byte_of_a_shared_piece_has_a_place_of_its_own_and_no_other_has(
            begin in 0u64..40, len in 0u64..60, behind in 0u64..20, piece_len in 1u32..20,
        ) {
            let file = begin..begin + len;
            prop_assume!(file.end + behind > 0);
            let layout = Layout::new(file.end + behind, piece_len).unwrap();
            let Some(edges) = Edges::of(&layout, &file) else { return Ok(()) };
            let piece_len = u64::from(piece_len);
            let is_shared = |byte: u64| {
                let piece = byte / piece_len * piece_len;
                piece < begin || (piece + piece_len).min(layout.total_len()) > file.end
            };
            let mut next = 0;
            for byte in file.clone() {
                let place = edges.at(byte - begin, 1);
                prop_assert_eq!(place, is_shared(byte).then_some(next), "byte {}", byte);
                next += u64::from(place.is_some());
            }
            prop_assert_eq!(next, edges.len());
            for (place, offset, len) in edges.both().into_iter().filter(|(.., len)| *len > 0) {
                prop_assert_eq!(edges.at(offset, len), Some(place));
            }
        }
    }
}

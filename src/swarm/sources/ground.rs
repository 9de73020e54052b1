//! The geometry in which sources are looked at: which files have bytes of a piece, and which pieces
//! of a file. Pure.

use std::ops::Range;

use crate::base::extents::Extents;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

/// The geometry in which sources are looked at.
#[derive(Clone, Copy, Debug)]
pub(in crate::swarm) struct Ground<'a> {
    pub layout: &'a Layout,
    pub extents: &'a Extents,
}

impl Ground<'_> {
    /// The files that have bytes of a piece, padding left out.
    pub(super) fn files_of(self, piece: PieceIndex) -> impl Iterator<Item = FileIndex> {
        let (begin, len) = (self.layout.piece_offset(piece), self.layout.len_of(piece));
        let slices = self.extents.slices(begin, u64::from(len));
        slices.filter(|slice| !slice.is_pad).map(|slice| slice.file)
    }

    /// The files that servers may be asked for: those with bytes that are no padding.
    pub(super) fn files(self) -> impl Iterator<Item = FileIndex> {
        let slices = self.extents.slices(0, self.extents.total_len());
        slices.filter(|slice| !slice.is_pad).map(|slice| slice.file)
    }

    /// The pieces that hold bytes of a file; of one without bytes none.
    pub(in crate::swarm) fn pieces_of(self, file: FileIndex) -> Range<u32> {
        let bytes = self.extents.file_range(file);
        let number = |at| self.layout.piece_at(at).map_or(0, PieceIndex::number);
        match bytes.is_empty() {
            true => 0..0,
            false => number(bytes.start)..number(bytes.end - 1) + 1,
        }
    }
}

/// Is the piece in one of these ranges, which are in order?
pub(in crate::swarm) fn is_in(ranges: &[Range<u32>], number: u32) -> bool {
    let at = ranges.partition_point(|range| range.end <= number);
    ranges.get(at).is_some_and(|range| range.contains(&number))
}

/// Pieces in order as ranges.
pub(super) fn rows(pieces: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut rows: Vec<Range<u32>> = Vec::new();
    for piece in pieces {
        match rows.last_mut().filter(|row| row.end == piece) {
            Some(row) => row.end = piece + 1,
            None => rows.push(piece..piece + 1),
        }
    }
    rows
}

/// Pieces of at least so many parts that are no padding, more than one, in order.
pub(super) fn pieces_of_parts(ground: Ground<'_>, least: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let mut last = (0, 0);
    for file in ground.files() {
        let pieces = ground.pieces_of(file);
        last = if last.0 == pieces.start { (last.0, last.1 + 1) } else { (pieces.start, 1) };
        if last.1 == least {
            found.push(pieces.start);
        }
        if pieces.end - pieces.start > 1 {
            last = (pieces.end - 1, 1);
        }
    }
    found
}

//! The geometry of a torrent: pieces, blocks and bytes (BEP 3). The only place where a
//! checked [`PieceIndex`] or [`BlockRef`] is made; it knows nothing of files.

use super::units::BLOCK_LEN;

/// A piece that exists in the layout which made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The same number for indexing vectors of `layout.piece_count()` entries.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A block that exists in the layout which made it: 16 KiB of a piece, or its shorter rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BlockRef {
    piece: PieceIndex,
    number: u32,
    len: u32,
}

impl BlockRef {
    /// The piece it belongs to.
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Its number within the piece, from 0.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Its first byte within the piece.
    pub fn begin(self) -> u32 {
        self.number * BLOCK_LEN as u32
    }

    /// Its length in bytes, 1 to 16384.
    pub fn len_bytes(self) -> u32 {
        self.len
    }
}

/// The most pieces a torrent may have: eight times what libtorrent takes, a bitfield of 2 MiB.
pub const PIECES_MAX: u32 = 16_777_216;
/// The longest piece accepted. Larger ones exist only in attacks.
pub const PIECE_LEN_MAX: u32 = 512 << 20;

/// Total length and piece length of a torrent, checked against each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    total_len: u64,
    piece_len: u32,
    piece_count: u32,
}

impl Layout {
    /// A layout of `total_len` bytes in pieces of `piece_len` bytes; none when the piece
    /// length is 0 or over [`PIECE_LEN_MAX`], or there would be more than [`PIECES_MAX`]
    /// pieces. A total of 0 has no pieces.
    pub fn new(total_len: u64, piece_len: u32) -> Option<Self> {
        if piece_len == 0 || piece_len > PIECE_LEN_MAX {
            return None;
        }
        let piece_count = total_len.div_ceil(u64::from(piece_len));
        let piece_count = u32::try_from(piece_count).ok().filter(|n| *n <= PIECES_MAX)?;
        Some(Self { total_len, piece_len, piece_count })
    }

    /// All bytes of the torrent, pad files included.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Nominal bytes of a piece; the last may be shorter.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// The checked form of a piece number, as it came from a stranger.
    pub fn piece(&self, number: u32) -> Option<PieceIndex> {
        (number < self.piece_count).then_some(PieceIndex(number))
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// The piece that holds byte `offset` of the torrent.
    pub fn piece_at(&self, offset: u64) -> Option<PieceIndex> {
        if offset >= self.total_len {
            return None;
        }
        Some(PieceIndex((offset / u64::from(self.piece_len)) as u32))
    }

    /// Where the piece begins in the torrent, in bytes.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// Bytes of this piece.
    pub fn len_of(&self, piece: PieceIndex) -> u32 {
        let rest = self.total_len - self.piece_offset(piece);
        rest.min(u64::from(self.piece_len)) as u32
    }

    /// How many blocks this piece has.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.len_of(piece).div_ceil(BLOCK_LEN as u32)
    }

    /// Block `number` of the piece, if there is one.
    pub fn block(&self, piece: PieceIndex, number: u32) -> Option<BlockRef> {
        let begin = number.checked_mul(BLOCK_LEN as u32)?;
        let rest = self.len_of(piece).checked_sub(begin).filter(|rest| *rest > 0)?;
        Some(BlockRef { piece, number, len: rest.min(BLOCK_LEN as u32) })
    }

    /// The block with exactly these bounds, as a peer named it; none when it is not one of
    /// ours (odd offset, wrong length, no such piece).
    pub fn block_at(&self, piece: u32, begin: u32, len: u32) -> Option<BlockRef> {
        if !begin.is_multiple_of(BLOCK_LEN as u32) {
            return None;
        }
        let block = self.block(self.piece(piece)?, begin / BLOCK_LEN as u32)?;
        (block.len == len).then_some(block)
    }

    /// All blocks of a piece in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = BlockRef> + use<> {
        let len = self.len_of(piece);
        (0..self.block_count(piece)).map(move |number| BlockRef {
            piece,
            number,
            len: (len - number * BLOCK_LEN as u32).min(BLOCK_LEN as u32),
        })
    }

    /// Where the block begins in the torrent, in bytes.
    pub fn block_offset(&self, block: BlockRef) -> u64 {
        self.piece_offset(block.piece) + u64::from(block.begin())
    }

    /// Verified bytes of this range, as a share; `have` is the verified pieces in wire order. 1 of
    /// a range without bytes.
    pub fn share_done(&self, have: &[u8], offset: u64, length: u64) -> f64 {
        if length == 0 {
            return 1.0;
        }
        let first = offset / u64::from(self.piece_len);
        let last = (offset + length - 1) / u64::from(self.piece_len);
        let pieces = (first..=last).filter_map(|number| self.piece(u32::try_from(number).ok()?));
        let verified = pieces.filter(|piece| {
            let byte = have.get(piece.index() / 8).copied().unwrap_or(0);
            byte & (0x80 >> (piece.index() % 8)) != 0
        });
        let bytes: u64 = verified
            .map(|piece| {
                let begin = self.piece_offset(piece);
                let end = begin + u64::from(self.len_of(piece));
                end.min(offset + length) - begin.max(offset)
            })
            .sum();
        bytes as f64 / length as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn last_piece_and_last_block_are_short() {
        let layout = Layout::new(40_000 + 7, 40_000).unwrap();
        assert_eq!(layout.piece_count(), 2);
        let last = layout.piece(1).unwrap();
        assert_eq!(layout.len_of(last), 7);
        let first = layout.piece(0).unwrap();
        let lens: Vec<u32> = layout.blocks(first).map(BlockRef::len_bytes).collect();
        assert_eq!(lens, [16384, 16384, 7232]);
    }

    #[test]
    fn strangers_numbers_are_refused() {
        let layout = Layout::new(100_000, 32_768).unwrap();
        assert!(layout.piece(4).is_none());
        assert!(layout.block_at(0, 1, 16384).is_none());
        assert!(layout.block_at(0, 0, 16383).is_none());
        assert!(layout.block_at(0, 32_768, 16384).is_none());
        assert!(layout.block_at(u32::MAX, u32::MAX, u32::MAX).is_none());
        assert!(layout.block_at(3, 0, 1696).is_some());
    }

    #[test]
    fn impossible_layouts_are_refused() {
        assert!(Layout::new(1, 0).is_none());
        assert!(Layout::new(1, PIECE_LEN_MAX + 1).is_none());
        assert!(Layout::new(u64::MAX, 16384).is_none());
        assert_eq!(Layout::new(0, 16384).unwrap().piece_count(), 0);
    }

    #[test]
    fn of_a_range_its_own_bytes_count() {
        let layout = Layout::new(25, 10).unwrap();
        let shares = |have: &[u8]| {
            [(0, 25), (8, 4), (20, 5), (3, 0)].map(|(at, len)| layout.share_done(have, at, len))
        };
        assert_eq!(shares(&[0b1010_0000]), [0.6, 0.5, 1.0, 1.0]);
        assert_eq!(shares(&[]), [0.0, 0.0, 0.0, 1.0]);
    }

    proptest! {
        #[test]
        fn pieces_and_blocks_tile_the_torrent(total in 0u64..3_000_000, piece in 1u32..200_000) {
            let layout = Layout::new(total, piece);
            prop_assume!(layout.is_some());
            let layout = layout.unwrap();
            let mut offset = 0;
            for piece in layout.pieces().collect::<Vec<_>>() {
                prop_assert_eq!(layout.piece_at(offset), Some(piece));
                for block in layout.blocks(piece) {
                    prop_assert_eq!(layout.block_offset(block), offset);
                    prop_assert_eq!(
                        layout.block_at(piece.number(), block.begin(), block.len_bytes()),
                        Some(block)
                    );
                    offset += u64::from(block.len_bytes());
                }
            }
            prop_assert_eq!(offset, total);
        }
    }
}

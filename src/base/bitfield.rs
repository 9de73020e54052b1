//! Sets of pieces in the form BEP 3 sends them: most significant bit first. Wire form is
//! memory form; set algebra runs on whole words, never bit by bit.

use bitvec::prelude::{BitVec, Msb0};

use super::layout::PieceIndex;

/// A set of pieces of a torrent with a known number of pieces. Spare bits are always zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    bits: BitVec<u8, Msb0>,
    ones: u32,
}

impl Bitfield {
    /// No piece out of `piece_count`.
    pub fn none(piece_count: u32) -> Self {
        Self { bits: BitVec::repeat(false, piece_count as usize), ones: 0 }
    }

    /// Every piece out of `piece_count`.
    pub fn all(piece_count: u32) -> Self {
        let mut set = Self { bits: BitVec::repeat(true, piece_count as usize), ones: piece_count };
        set.clear_spare_bits();
        set
    }

    /// Reads the payload of a `bitfield` message. None when its length is wrong; spare bits
    /// that a peer set are masked, as libtorrent does.
    pub fn from_wire(bytes: &[u8], piece_count: u32) -> Option<Self> {
        if bytes.len() != (piece_count as usize).div_ceil(8) {
            return None;
        }
        let mut bits = BitVec::<u8, Msb0>::from_slice(bytes);
        bits.truncate(piece_count as usize);
        let mut set = Self { bits, ones: 0 };
        set.clear_spare_bits();
        set.ones = count_ones(set.as_bytes());
        Some(set)
    }

    /// The payload of a `bitfield` message.
    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_raw_slice()
    }

    /// How many pieces the torrent has.
    pub fn piece_count(&self) -> u32 {
        self.bits.len() as u32
    }

    /// How many pieces are in the set.
    pub fn ones(&self) -> u32 {
        self.ones
    }

    /// Is every piece in the set?
    pub fn is_full(&self) -> bool {
        self.ones == self.piece_count()
    }

    /// Is the piece in the set?
    #[inline]
    pub fn has(&self, piece: PieceIndex) -> bool {
        let index = piece.index();
        self.bits.as_raw_slice()[index / 8] & (0x80 >> (index % 8)) != 0
    }

    /// Adds the piece; true when it was not there.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let was = self.bits.replace(piece.index(), true);
        self.ones += u32::from(!was);
        !was
    }

    /// Takes the piece out; true when it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let was = self.bits.replace(piece.index(), false);
        self.ones -= u32::from(was);
        was
    }

    /// The pieces in either set. All sets of these operations are of the same torrent.
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |mine, other| mine | other)
    }

    /// The pieces in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, other| mine & other)
    }

    /// The pieces in this set and not in the other.
    pub fn minus(&self, other: &Self) -> Self {
        self.combine(other, |mine, other| mine & !other)
    }

    /// How many pieces are in `self`, also in `wanted`, and not in `have`.
    /// All three are of the same torrent.
    pub fn count_missing(&self, have: &Self, wanted: &Self) -> u32 {
        let sets = self.words().zip(have.words()).zip(wanted.words());
        sets.map(|((mine, have), wanted)| (mine & !have & wanted).count_ones()).sum()
    }

    /// Is any piece in `self`, also in `wanted`, and not in `have`?
    pub fn has_missing(&self, have: &Self, wanted: &Self) -> bool {
        let mut sets = self.words().zip(have.words()).zip(wanted.words());
        sets.any(|((mine, have), wanted)| mine & !have & wanted != 0)
    }

    /// The numbers of the pieces in the set, ascending.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter_ones().map(|index| index as u32)
    }

    /// Those of them from `first` on; runs of pieces that are not in the set are passed by words.
    pub fn iter_ones_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let rest = self.bits.get(first as usize..).unwrap_or_default();
        rest.iter_ones().map(move |index| first + index as u32)
    }

    fn combine(&self, other: &Self, operation: impl Fn(u8, u8) -> u8) -> Self {
        debug_assert_eq!(self.piece_count(), other.piece_count(), "sets of one torrent");
        let bytes = self.as_bytes().iter().zip(other.as_bytes());
        let bytes: Vec<u8> = bytes.map(|(mine, other)| operation(*mine, *other)).collect();
        let mut bits = BitVec::<u8, Msb0>::from_vec(bytes);
        bits.truncate(self.bits.len());
        let ones = count_ones(bits.as_raw_slice());
        Self { bits, ones }
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let (chunks, rest) = self.bits.as_raw_slice().as_chunks::<8>();
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        let whole = chunks.iter().map(|chunk| u64::from_be_bytes(*chunk));
        whole.chain(std::iter::once(u64::from_be_bytes(tail)))
    }

    fn clear_spare_bits(&mut self) {
        self.bits.set_uninitialized(false);
    }
}

fn count_ones(bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let whole: u32 = chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk).count_ones()).sum();
    whole + rest.iter().map(|byte| byte.count_ones()).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;
    use proptest::prelude::*;

    fn piece(number: u32, count: u32) -> PieceIndex {
        Layout::new(u64::from(count), 1).unwrap().piece(number).unwrap()
    }

    #[test]
    fn first_byte_holds_pieces_zero_to_seven_from_high_bit_to_low() {
        let mut set = Bitfield::none(10);
        set.insert(piece(0, 10));
        set.insert(piece(9, 10));
        assert_eq!(set.as_bytes(), [0x80, 0x40]);
        assert_eq!(Bitfield::all(10).as_bytes(), [0xff, 0xc0]);
    }

    #[test]
    fn spare_bits_are_masked_and_wrong_lengths_refused() {
        let set = Bitfield::from_wire(&[0xff, 0xff], 10).unwrap();
        assert_eq!(set.as_bytes(), [0xff, 0xc0]);
        assert!(set.is_full());
        assert!(Bitfield::from_wire(&[0xff], 10).is_none());
        assert!(Bitfield::from_wire(&[0xff; 3], 10).is_none());
        assert_eq!(Bitfield::from_wire(&[], 0).unwrap().ones(), 0);
    }

    proptest! {
        #[test]
        fn word_algebra_agrees_with_one_bit_at_a_time(
            bits in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..200)
        ) {
            let count = bits.len() as u32;
            let mut sets = [Bitfield::none(count), Bitfield::none(count), Bitfield::none(count)];
            let mut expected = 0;
            for (number, (mine, have, wanted)) in bits.iter().enumerate() {
                for (set, bit) in sets.iter_mut().zip([mine, have, wanted]) {
                    if *bit {
                        set.insert(piece(number as u32, count));
                    }
                }
                expected += u32::from(*mine && !*have && *wanted);
            }
            prop_assert_eq!(sets[0].count_missing(&sets[1], &sets[2]), expected);
            prop_assert_eq!(sets[0].has_missing(&sets[1], &sets[2]), expected > 0);
            let wire = Bitfield::from_wire(sets[0].as_bytes(), count).unwrap();
            prop_assert_eq!(&wire, &sets[0]);
        }
    }
}

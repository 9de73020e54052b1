//! Who else would fetch the same piece. Peers that miss the same pieces and ask one seed for
//! them at the same time make it send the same thing twice, since a piece is told only when it
//! is whole. So they share them out without a word: every piece orders all peers by a number
//! made of it and of their ids (rendezvous hashing), each peer can work out the order of those
//! it knows, and begins with pieces for which it comes first. It says nothing of how rare a
//! piece is, and decides only between pieces that are equally so.

use crate::base::ids::PeerId;
use crate::base::layout::PieceIndex;

/// We, and others who miss something.
#[derive(Clone, Debug)]
pub struct Rivals {
    ours: u64,
    others: Vec<u64>,
}

impl Rivals {
    /// With our id and theirs.
    pub fn new(ours: &PeerId, others: impl IntoIterator<Item = PeerId>) -> Self {
        Self {
            ours: number_of(ours),
            others: others.into_iter().map(|id| number_of(&id)).collect(),
        }
    }

    /// How many of them come before us for this piece.
    pub fn before_us(&self, piece: PieceIndex) -> usize {
        let ours = mixed(self.ours, piece);
        self.others.iter().filter(|other| mixed(**other, piece) > ours).count()
    }
}

/// The end of an id is chosen by chance, the beginning names the program.
fn number_of(id: &PeerId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The finalizer of splitmix64.
fn mixed(id: u64, piece: PieceIndex) -> u64 {
    let place = u64::from(piece.number() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut mixed = id ^ place;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;

    /// Ten peers that know each other share a thousand pieces out, each has about as many.
    #[test]
    fn each_piece_has_one_who_comes_first() {
        let layout = Layout::new(1000, 1).unwrap();
        let ids: Vec<PeerId> = (1..=10).map(|id| PeerId([id; 20])).collect();
        let mut firsts = [0; 10];
        for piece in layout.pieces() {
            let mut places = Vec::new();
            for (at, ours) in ids.iter().enumerate() {
                let others = ids.iter().filter(|id| *id != ours).copied();
                let place = Rivals::new(ours, others).before_us(piece);
                firsts[at] += u32::from(place == 0);
                places.push(place);
            }
            places.sort_unstable();
            assert_eq!(places, (0..10).collect::<Vec<_>>());
        }
        assert!(firsts.iter().all(|count| (70..130).contains(count)), "{firsts:?}");
    }
}

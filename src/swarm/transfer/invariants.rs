//! What must hold in the brain whenever it has settled, as assertions. Nothing in the product
//! asks for them: they cost a walk over all pieces for each peer. Simulations and tests do after
//! each step, so that a count that has gone wrong is seen where it went wrong, and not where it
//! first does harm.

use std::collections::BTreeMap;

use crate::base::ids::LinkId;
use crate::base::layout::BlockRef;

use super::Transfer;

impl Transfer {
    /// Asserts that the counts agree with what they count.
    pub(in crate::swarm) fn check_invariants(&self) {
        self.assembly.check_counts();
        self.check_places_of_pieces();
        self.check_memory();
        self.check_debts();
        self.check_what_peers_have();
        let stranger = self.hungry.links().find(|link| !self.trades.contains_key(link));
        assert_eq!(stranger, None, "only links that are up wait for requests");
    }

    /// A piece is in one place, and none that is wanted is in no place.
    fn check_places_of_pieces(&self) {
        let (mut missing, mut reserved) = (0, 0);
        for piece in self.layout.pieces() {
            let places = [
                ("pickable", self.picker.is_pickable(piece)),
                ("open", self.assembly.is_open(piece)),
                ("at the check", self.checking.has(piece)),
                ("verified", self.goal.has(piece)),
                ("reserved", self.runs.holds(piece)),
            ];
            let places: Vec<_> = places.iter().filter(|(_, is_there)| *is_there).collect();
            assert!(places.len() <= 1, "{piece:?} is in one place only: {places:?}");
            let wanted = self.goal.wants(piece);
            assert!(!wanted || places.len() == 1, "{piece:?} is wanted, so it is somewhere");
            missing += u32::from(self.goal.lacks(piece));
            let times = self.runs.times_reserved(piece);
            assert!(times <= 1, "{piece:?} is reserved for one run, and not for {times}");
            reserved += times as u32;
            if !wanted && let Some((place, _)) = places.first() {
                // What is at the disk workers comes back, whether it is wanted still or not.
                let may_be = ["at the check", "verified"].contains(place);
                assert!(may_be, "{piece:?} is {place} although nobody wants it");
            }
        }
        assert_eq!(
            self.goal.missing(),
            missing,
            "missing are the wanted pieces that are not verified"
        );
        let begun = self.assembly.pieces().chain(self.checking.pieces());
        let begun = begun.filter(|piece| self.goal.wants(*piece)).count() as u32;
        let pickable = self.picker.pickable_count();
        assert_eq!(
            pickable + begun + reserved,
            missing,
            "each missing piece is begun, reserved or may be begun"
        );
    }

    /// Above our share of the pool the fullest piece is spilled at once.
    fn check_memory(&self) {
        let spills = !self.checking.in_trouble() && self.assembly.must_spill();
        assert!(!spills, "what is held above our share is on its way to the disk");
    }

    /// What is asked of links is what links owe, and what they owe they may be asked for.
    fn check_debts(&self) {
        let mut owed: BTreeMap<BlockRef, LinkId> = BTreeMap::new();
        for (link, trade) in &self.trades {
            for (_, block) in trade.requests().from_last() {
                let other = owed.insert(block, *link);
                assert_eq!(other, None, "{block:?} is asked of one link, and not of {link:?} too");
                let may = trade.may_owe(block.piece());
                assert!(may, "{link:?} chokes us, so it does not owe {block:?}");
            }
        }
        for (link, server) in self.runs.links() {
            for block in server.owed() {
                let other = owed.insert(block, link);
                assert_eq!(other, None, "{block:?} is asked of one link, and not of {link:?} too");
                let is_ordered = server.is_ordered(block.piece());
                assert!(is_ordered, "{block:?} is in a run of {link:?}");
            }
        }
        let asked = self.assembly.pieces().flat_map(|piece| self.assembly.asked_of(piece));
        let asked: BTreeMap<BlockRef, LinkId> = asked.map(|(link, block)| (block, link)).collect();
        assert_eq!(asked, owed, "the blocks that are asked for are those that links owe");
    }

    /// Availability and interest are what the peers' own pieces come to.
    fn check_what_peers_have(&self) {
        let mut have = vec![0; self.layout.piece_count() as usize];
        for (link, trade) in &self.trades {
            let mut interesting = 0;
            for piece in self.layout.pieces().filter(|piece| trade.pieces().has(*piece)) {
                have[piece.index()] += 1;
                interesting += u32::from(self.goal.lacks(piece));
            }
            let known = trade.interesting();
            assert_eq!(known, interesting, "{link:?} has so many pieces that we want");
            assert!(trade.knows_interest(), "{link:?} knows whether we are interested (BEP 3)");
        }
        for piece in self.layout.pieces() {
            let available = self.picker.availability(piece);
            assert_eq!(available, have[piece.index()], "so many peers have {piece:?}");
        }
    }
}

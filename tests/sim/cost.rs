//! What the brain may cost, counted in effects and ticks, not in time; and how often its
//! invariants are looked at, so that large worlds are not slower than small ones.

use super::world::Setup;

/// Effects of one batch for each link that is up, whatever happened: it may be told of a piece, be
/// asked, and be closed for another one that is dialled.
const BY_LINK: usize = 6;
/// Effects of one fact: in the end game a block that arrived may be taken back from all others.
const BY_FACT: usize = 4;
/// Pieces and peers that an audit may look at for each batch, on average.
const AUDITED: usize = 100;

#[derive(Clone, Debug)]
pub struct Cost {
    pub batches: u64,
    pub facts: u64,
    pub effects: u64,
    /// Most facts in a batch.
    pub largest: usize,
    pieces: usize,
    audit_every: u64,
}

impl Cost {
    pub fn of(setup: &Setup) -> Self {
        let pieces = setup.layout.piece_count() as usize;
        let looks = pieces * (setup.remotes.len() + 1);
        let audit_every = (looks / AUDITED + 1) as u64;
        Self { batches: 0, facts: 0, effects: 0, largest: 0, pieces, audit_every }
    }

    /// A batch of so many facts had so many effects, with so many links up.
    ///
    /// # Panics
    /// When those are more than what happened can explain.
    pub fn note(&mut self, facts: usize, effects: usize, links: usize) {
        self.batches += 1;
        self.facts += facts as u64;
        self.effects += effects as u64;
        self.largest = self.largest.max(facts);
        let most = BY_LINK * (links + 1) + BY_FACT * facts * (links + 1) + 2 * self.pieces;
        assert!(effects <= most, "{effects} effects of {facts} facts, with {links} links");
    }

    /// Is it time to look at the invariants?
    pub fn is_audit_due(&self) -> bool {
        self.batches.is_multiple_of(self.audit_every)
    }
}

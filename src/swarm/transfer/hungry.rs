//! Links that take more requests than there are blocks for, and what they wait for. Whom to ask
//! for what is in `fetch`.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::base::ids::LinkId;

/// Who goes without, and why.
#[derive(Debug)]
pub(super) struct Hungry {
    links: BTreeSet<LinkId>,
    /// Those of them that wait for room to begin a piece, and which of them had its turn last.
    cramped: BTreeSet<LinkId>,
    fed_last: LinkId,
    /// Links that need not bring a block any more, and may be asked for another.
    relieved: BTreeSet<LinkId>,
    /// Blocks or pieces may have become free for hungry links.
    food: bool,
}

impl Hungry {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        Self {
            links: BTreeSet::new(),
            cramped: BTreeSet::new(),
            fed_last: LinkId(0),
            relieved: BTreeSet::new(),
            food: false,
        }
    }

    /// Does nobody go without?
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// All that go without, in order.
    pub(super) fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.links.iter().copied()
    }

    /// The link would take more.
    pub(super) fn insert(&mut self, link: LinkId) {
        self.links.insert(link);
    }

    /// The link would take more, if there were memory to begin a piece.
    pub(super) fn insert_cramped(&mut self, link: LinkId) {
        self.cramped.insert(link);
    }

    /// All these would take more.
    pub(super) fn extend(&mut self, links: impl Iterator<Item = LinkId>) {
        self.links.extend(links);
    }

    /// The link is looked at now, or over.
    pub(super) fn remove(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.cramped.remove(&link);
    }

    /// The link need not bring a block any more. It is asked for another when all that was
    /// reported with it is known.
    pub(super) fn relieve(&mut self, link: LinkId) {
        self.relieved.insert(link);
    }

    /// Those that were relieved since the last time.
    pub(super) fn take_relieved(&mut self) -> BTreeSet<LinkId> {
        std::mem::take(&mut self.relieved)
    }

    /// Blocks or pieces may have become free.
    pub(super) fn food_came(&mut self) {
        self.food = true;
    }

    /// May blocks or pieces have become free since the last time?
    pub(super) fn take_food(&mut self) -> bool {
        std::mem::take(&mut self.food)
    }

    /// How many wait for memory.
    pub(super) fn cramped_count(&self) -> usize {
        self.cramped.len()
    }

    /// The next of those that wait for memory, in turn.
    pub(super) fn next_cramped(&mut self) -> Option<LinkId> {
        let after = (Bound::Excluded(self.fed_last), Bound::Unbounded);
        let next = self.cramped.range(after).next().or_else(|| self.cramped.first()).copied()?;
        self.fed_last = next;
        Some(next)
    }
}

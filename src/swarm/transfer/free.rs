//! Open pieces that have blocks nobody is asked for, in the order in which they were begun, and
//! by the link that they are kept for. An index only: what the pieces hold is in `assembly`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;

/// A piece's place in the order of beginnings: its first free block may come back later.
pub(super) type Begun = u64;

/// The index.
#[derive(Debug, Default)]
pub(super) struct FreePieces {
    in_order: BTreeMap<Begun, PieceIndex>,
    kept: BTreeMap<LinkId, BTreeSet<Begun>>,
    /// Those that are kept for no link.
    open_to_all: BTreeSet<Begun>,
}

impl FreePieces {
    /// The piece has a free block and did not before.
    pub(super) fn insert(&mut self, begun: Begun, piece: PieceIndex, owner: Option<LinkId>) {
        self.in_order.insert(begun, piece);
        self.list(owner).insert(begun);
    }

    /// The piece has no free block any more.
    pub(super) fn remove(&mut self, begun: Begun, owner: Option<LinkId>) {
        if self.in_order.remove(&begun).is_some() {
            self.unlist(begun, owner);
        }
    }

    /// The piece is kept for another link, or for none.
    pub(super) fn hand_over(&mut self, begun: Begun, from: Option<LinkId>, to: Option<LinkId>) {
        if from != to && self.in_order.contains_key(&begun) {
            self.unlist(begun, from);
            self.list(to).insert(begun);
        }
    }

    /// Are there any?
    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.in_order.values().copied()
    }

    /// Those that are kept for the link, then those that are kept for nobody; of each the oldest
    /// first.
    pub(super) fn own_of(&self, link: LinkId) -> impl Iterator<Item = PieceIndex> + '_ {
        let kept = self.kept.get(&link).into_iter().flatten();
        kept.chain(&self.open_to_all).filter_map(|begun| self.in_order.get(begun)).copied()
    }

    /// Under which owner the piece is listed; none when it is not, or is under several.
    pub(super) fn list_of(&self, begun: Begun) -> Option<Option<LinkId>> {
        let kept = self.kept.iter().filter(|(_, list)| list.contains(&begun));
        let kept = kept.map(|(link, _)| Some(*link));
        let mut lists = kept.chain(self.open_to_all.contains(&begun).then_some(None));
        lists.next().filter(|_| lists.next().is_none())
    }

    fn list(&mut self, owner: Option<LinkId>) -> &mut BTreeSet<Begun> {
        match owner {
            Some(link) => self.kept.entry(link).or_default(),
            None => &mut self.open_to_all,
        }
    }

    fn unlist(&mut self, begun: Begun, owner: Option<LinkId>) {
        let Some(link) = owner else {
            self.open_to_all.remove(&begun);
            return;
        };
        if let Some(list) = self.kept.get_mut(&link) {
            list.remove(&begun);
            if list.is_empty() {
                self.kept.remove(&link);
            }
        }
    }
}

//! The torrent's share of the connections that a session allows: a place for each link from
//! its first moment to its end, and one more among the dials until it is up. It decides
//! nothing: with no place free there is no link.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::LinkId;
use crate::net::slots::{Slot, Slots};

/// Connections of all torrents of a session.
pub const LINKS_MAX: usize = 400;
/// Dials under way in all torrents of a session.
pub const DIALS_MAX: usize = 100;

/// What all torrents of a session draw from.
#[derive(Clone, Debug)]
pub struct Shared {
    links: Arc<Slots>,
    dials: Arc<Slots>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { links: Slots::new(LINKS_MAX), dials: Slots::new(DIALS_MAX) }
    }
}

/// The places that one torrent holds.
#[derive(Debug)]
pub(super) struct Places {
    shared: Shared,
    links: BTreeMap<LinkId, Slot>,
    dials: BTreeMap<LinkId, Slot>,
}

impl Places {
    pub fn new(shared: Shared) -> Self {
        Self { shared, links: BTreeMap::new(), dials: BTreeMap::new() }
    }

    /// Takes places for a dial; false when there are none.
    pub fn dial(&mut self, link: LinkId) -> bool {
        let Some(dial) = self.shared.dials.take() else { return false };
        let Some(place) = self.shared.links.take() else { return false };
        self.dials.insert(link, dial);
        self.links.insert(link, place);
        true
    }

    /// A place for a connection that came in, to be kept by [`keep`](Self::keep).
    pub fn take(&self) -> Option<Slot> {
        self.shared.links.take()
    }

    pub fn keep(&mut self, link: LinkId, place: Slot) {
        self.links.insert(link, place);
    }

    /// The link is up, so it is no dial any more.
    pub fn up(&mut self, link: LinkId) {
        self.dials.remove(&link);
    }

    /// The link or the dial is over.
    pub fn down(&mut self, link: LinkId) {
        self.dials.remove(&link);
        self.links.remove(&link);
    }

    /// How many dials would find places.
    pub fn free(&self) -> usize {
        self.shared.links.free().min(self.shared.dials.free())
    }
}

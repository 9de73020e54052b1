//! What the torrent of a link is, once somebody knows: told to all its links at once.

use std::sync::{Arc, OnceLock};

use crate::base::layout::Layout;
use crate::disk::Outlet;

/// What the torrent of a link is. Links may be up before anybody knows (BEP 9).
#[derive(Clone, Debug, Default)]
pub struct Subject(Arc<OnceLock<Known>>);

/// A torrent that is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// The torrent's geometry, against which everything a peer says is checked.
    pub layout: Layout,
    /// What blocks are sent from; none where nothing is ever sent.
    pub outlet: Option<Outlet>,
    /// The info dictionary as it is hashed, for peers that seek it; none where it is not given.
    pub metadata: Option<Arc<[u8]>>,
}

impl Subject {
    /// A torrent that is known already.
    pub fn of(known: Known) -> Self {
        Self(Arc::new(OnceLock::from(known)))
    }

    /// The same, of which nothing is ever sent.
    pub fn with_layout(layout: Layout) -> Self {
        Self::of(Known { layout, outlet: None, metadata: None })
    }

    /// Tells all links what the torrent is; the first word counts.
    pub fn know(&self, known: Known) {
        // Whoever was first knew the same.
        let _ = self.0.set(known);
    }

    /// What it is, once that is known.
    pub fn known(&self) -> Option<&Known> {
        self.0.get()
    }
}

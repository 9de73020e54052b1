//! What changed since the last commit, one change a torrent, so that it is bounded by how many
//! torrents there are. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::TorrentId;

use super::replay::Packed;
use super::spec::Tally;
use super::together::SessionSpec;

/// What is new of a torrent.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// What is wanted of it, and where its metadata lies if that is new.
    Wanted { spec: Vec<u8>, metadata: Option<Metadata> },
    /// It is no more but for its files, which are to go: what was wanted of it, likewise.
    Erase { spec: Vec<u8>, metadata: Option<Metadata> },
    /// It is no more.
    Removed,
    /// Nor are its files.
    Erased,
}

impl Change {
    /// Its metadata, where that is new.
    pub fn metadata(&self) -> Option<&Metadata> {
        match self {
            Self::Wanted { metadata, .. } | Self::Erase { metadata, .. } => metadata.as_ref(),
            Self::Removed | Self::Erased => None,
        }
    }

    /// The same, to tell where it lies.
    pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        match self {
            Self::Wanted { metadata, .. } | Self::Erase { metadata, .. } => metadata.as_mut(),
            Self::Removed | Self::Erased => None,
        }
    }
}

/// Metadata that no entry names yet.
#[derive(Clone, Debug)]
pub(super) enum Metadata {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In the pack, and on the device.
    Packed(Packed),
}

/// Changes that are to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    pub changes: BTreeMap<TorrentId, Change>,
    pub tallies: BTreeMap<TorrentId, Tally>,
    /// Numbers were given that no change tells of.
    pub has_next: bool,
    /// Of all torrents together.
    pub session: Option<SessionSpec>,
}

impl Gathered {
    /// A later change of a torrent takes the place of an earlier one.
    pub fn change(&mut self, id: TorrentId, new: Change) {
        let older = self.changes.remove(&id);
        if !matches!(new, Change::Wanted { .. }) {
            self.tallies.remove(&id);
        }
        self.changes.insert(id, joined(older, new));
    }

    /// Takes back what could not be written, which is older than what is here.
    pub fn take_back(&mut self, older: Self) {
        self.has_next |= older.has_next;
        self.session = self.session.or(older.session);
        for (id, older) in older.changes {
            let newer = self.changes.remove(&id);
            let change = match newer {
                Some(newer) => joined(Some(older), newer),
                None => older,
            };
            self.changes.insert(id, change);
        }
        for (id, tally) in older.tallies {
            if matches!(self.changes.get(&id), None | Some(Change::Wanted { .. })) {
                self.tallies.entry(id).or_insert(tally);
            }
        }
    }

    /// Metadata that was packed is to be packed again, in another pack.
    pub fn unpack(&mut self, fresh: &BTreeMap<TorrentId, Arc<[u8]>>) {
        for (id, change) in &mut self.changes {
            let Some(metadata) = change.metadata_mut() else { continue };
            if let Some(bytes) = fresh.get(id) {
                *metadata = Metadata::Bytes(bytes.clone());
            }
        }
    }

    /// All that is to be written now; without others the counts of those that come with metadata:
    /// what was counted before they came is there as soon as they are.
    pub fn take(&mut self, with_tallies: bool) -> Self {
        let changes = std::mem::take(&mut self.changes);
        let is_new = |id: &TorrentId| changes.get(id).is_some_and(|it| it.metadata().is_some());
        let is_due = |id: &TorrentId, _: &mut Tally| with_tallies || is_new(id);
        let tallies = self.tallies.extract_if(.., is_due).collect();
        let has_next = std::mem::take(&mut self.has_next);
        Self { changes, tallies, has_next, session: self.session.take() }
    }
}

/// Metadata that was not written yet is still to be.
fn joined(older: Option<Change>, newer: Change) -> Change {
    match (older, newer) {
        // Who is removed does not come back.
        (Some(Change::Removed), Change::Wanted { .. } | Change::Erase { .. }) => Change::Removed,
        (Some(Change::Erased), _) => Change::Erased,
        (Some(erase @ Change::Erase { .. }), Change::Wanted { .. }) => erase,
        (Some(Change::Wanted { metadata, .. }), Change::Wanted { spec, metadata: None }) => {
            Change::Wanted { spec, metadata }
        }
        (Some(Change::Wanted { metadata, .. }), Change::Erase { spec, metadata: None }) => {
            Change::Erase { spec, metadata }
        }
        (_, newer) => newer,
    }
}

//! All torrents as lists show them, and what changed since somebody looked last. A machine without
//! I/O or clock: whoever owns the torrents applies their rows, and every list, of people, programs
//! and pages, asks it for what is new.
//!
//! Each change has a revision of its own, and each torrent stands under that of its last change
//! alone. So a reader that names the revision it knows is answered in the number of torrents that
//! changed, however many there are and however often they did. Nothing is kept for readers; of the
//! torrents that were removed the last [`REMOVALS_MAX`] are remembered, and who comes later than
//! that gets everything.
//!
//! [`Events`] tells what happened, one after the other; [`policy`] says what follows, and [`rules`]
//! what users said beforehand.

mod events;
pub mod policy;
mod row;
pub mod rules;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::ids::TorrentId;

pub use events::{EVENTS_MAX, Event, EventKind, Events, Lost};
pub use row::{Flags, Phase, Row};

/// Removals that are remembered: 240 KB. Who polls once a minute misses none of 150 a second.
pub const REMOVALS_MAX: usize = 10_000;

/// How far a reader has read. The default has read nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cursor {
    /// Which life of the process the number belongs to.
    pub boot: u64,
    /// The last revision or event that it knows.
    pub number: u64,
}

/// What is new to a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// What to ask with the next time.
    pub cursor: Cursor,
    /// The answer holds all torrents there are: what is not in it is gone.
    pub is_full: bool,
    /// Torrents that are new or changed, as they are now. A full answer has them in the order of
    /// the queue, others in the order of their last changes.
    pub changed: Vec<Row>,
    /// Torrents that are gone since, oldest first; none in a full answer. Only such as the reader
    /// can know, and none that is back.
    pub removed: Vec<TorrentId>,
}

#[derive(Debug)]
struct Listed {
    row: Row,
    added: u64,
    changed: u64,
}

#[derive(Debug)]
struct Removal {
    revision: u64,
    id: TorrentId,
    /// When it had come: who read only before that never heard of it.
    added: u64,
}

/// The rows of all torrents, with their revisions.
#[derive(Debug)]
pub struct Roster {
    boot: u64,
    /// The last one that was given.
    revision: u64,
    listed: BTreeMap<TorrentId, Listed>,
    by_revision: BTreeMap<u64, TorrentId>,
    by_place: BTreeSet<(u64, TorrentId)>,
    /// Oldest first.
    removals: VecDeque<Removal>,
    removals_max: usize,
    /// Removals up to this revision are not all remembered any more.
    forgotten: u64,
}

impl Roster {
    /// An empty one. `boot` is a random number of this life of the process: readers of another one
    /// are told everything.
    pub fn new(boot: u64) -> Self {
        Self {
            boot,
            revision: 0,
            listed: BTreeMap::new(),
            by_revision: BTreeMap::new(),
            by_place: BTreeSet::new(),
            removals: VecDeque::new(),
            removals_max: REMOVALS_MAX,
            forgotten: 0,
        }
    }

    /// Takes in how a torrent stands, a new one or one that is known, and returns the revision of
    /// its last change: a new one only when the row differs. Whoever applies rows rounds what
    /// always moves.
    pub fn apply(&mut self, row: Row) -> u64 {
        let revision = self.revision + 1;
        match self.listed.get_mut(&row.id) {
            Some(Listed { row: known, changed, .. }) if *known == row => return *changed,
            Some(Listed { row: known, changed, .. }) => {
                self.by_revision.remove(changed);
                if known.queue_place != row.queue_place {
                    self.by_place.remove(&(known.queue_place, row.id));
                    self.by_place.insert((row.queue_place, row.id));
                }
                *known = row;
                *changed = revision;
            }
            None => {
                self.by_place.insert((row.queue_place, row.id));
                let listed = Listed { row, added: revision, changed: revision };
                self.listed.insert(row.id, listed);
            }
        }
        self.by_revision.insert(revision, row.id);
        self.revision = revision;
        revision
    }

    /// Gives a torrent a new revision though its row is as it was: its name, its labels, something
    /// else that stands beside the row has changed. None when there is no such torrent.
    pub fn touch(&mut self, id: TorrentId) -> Option<u64> {
        let listed = self.listed.get_mut(&id)?;
        self.by_revision.remove(&listed.changed);
        self.revision += 1;
        listed.changed = self.revision;
        self.by_revision.insert(self.revision, id);
        Some(self.revision)
    }

    /// Takes a torrent out; its last row, if there was one.
    pub fn remove(&mut self, id: TorrentId) -> Option<Row> {
        let Listed { row, added, changed } = self.listed.remove(&id)?;
        self.by_revision.remove(&changed);
        self.by_place.remove(&(row.queue_place, id));
        self.revision += 1;
        self.removals.push_back(Removal { revision: self.revision, id, added });
        if self.removals.len() > self.removals_max
            && let Some(oldest) = self.removals.pop_front()
        {
            self.forgotten = oldest.revision;
        }
        Some(row)
    }

    /// What is new to a reader that has read so far. It takes as long as the answer has entries.
    pub fn since(&self, reader: Cursor) -> Changes {
        let cursor = self.cursor();
        let is_known = reader.boot == self.boot && (1..=self.revision).contains(&reader.number);
        if !is_known || reader.number < self.forgotten {
            let changed = self.rows().copied().collect();
            return Changes { cursor, is_full: true, changed, removed: Vec::new() };
        }
        let later = self.by_revision.range(reader.number + 1..);
        let changed = later.filter_map(|(_, id)| self.get(*id)).copied().collect();
        let first = self.removals.partition_point(|it| it.revision <= reader.number);
        let known = self.removals.range(first..).filter(|it| it.added <= reader.number);
        let gone = known.filter(|it| !self.listed.contains_key(&it.id));
        let removed = gone.map(|it| it.id).collect();
        Changes { cursor, is_full: false, changed, removed }
    }

    /// What a reader of everything that there is now has read.
    pub fn cursor(&self) -> Cursor {
        Cursor { boot: self.boot, number: self.revision }
    }

    /// The row of one torrent.
    pub fn get(&self, id: TorrentId) -> Option<&Row> {
        self.listed.get(&id).map(|listed| &listed.row)
    }

    /// All rows in the order of the queue.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.by_place.iter().filter_map(|(_, id)| self.get(*id))
    }

    /// How many torrents there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Is there no torrent?
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

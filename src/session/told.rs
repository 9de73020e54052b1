//! What readers of a session hear: how its torrents stand, as lists show them, and what happened
//! to them, one after the other. Pure, but for the bell of those who wait for more.

use std::sync::Arc;

use tokio::sync::watch;

use crate::base::ids::TorrentId;
use crate::roster::{Changes, Cursor, Event, EventKind, Events, Flags, Lost, Roster, Row};

/// How far readers can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heads {
    /// The last change of a row.
    pub rows: Cursor,
    /// The last event.
    pub events: Cursor,
}

/// Rows and events of all torrents.
#[derive(Debug)]
pub(super) struct Told {
    roster: Roster,
    events: Events,
    heads: watch::Sender<Heads>,
}

impl Told {
    /// Nothing yet, and where readers wait. `boot` is a random number of this life of the process.
    pub fn new(boot: u64) -> (Self, watch::Receiver<Heads>) {
        let (roster, events) = (Roster::new(boot), Events::new(boot));
        let heads = Heads { rows: roster.cursor(), events: events.cursor() };
        let (heads, heard) = watch::channel(heads);
        (Self { roster, events, heads }, heard)
    }

    /// Lists a torrent that was there before this life of the process, or one that only waits to
    /// be here: no news.
    pub fn list(&mut self, row: Row) {
        self.roster.apply(row);
    }

    /// Takes in how a torrent stands at `at`, Unix seconds, and notes what that tells. `trouble`
    /// words what is wrong.
    pub fn apply(&mut self, row: Row, at: u64, trouble: impl FnOnce() -> Arc<str>) {
        let before = self.roster.get(row.id).copied();
        self.roster.apply(row);
        for kind in EventKind::between(before.as_ref(), &row) {
            self.events.push(row.id, at, kind);
        }
        let is_in_trouble = |row: &Row| row.flags.has(Flags::IN_TROUBLE);
        if is_in_trouble(&row) && !before.as_ref().is_some_and(is_in_trouble) {
            self.events.push(row.id, at, EventKind::Trouble(trouble()));
        }
    }

    /// How lists show a torrent.
    pub fn row(&self, id: TorrentId) -> Row {
        self.roster.get(id).copied().unwrap_or_else(|| Row::new(id))
    }

    /// Something beside a torrent's row has changed.
    pub fn touch(&mut self, id: TorrentId) {
        self.roster.touch(id);
    }

    /// Notes what no row tells.
    pub fn note(&mut self, id: TorrentId, at: u64, kind: EventKind) {
        self.events.push(id, at, kind);
        self.roster.touch(id);
    }

    /// A torrent has left.
    pub fn remove(&mut self, id: TorrentId, at: u64, name: &str) {
        if self.roster.remove(id).is_some() {
            self.events.push(id, at, EventKind::Removed(name.into()));
        }
    }

    /// What is new to a reader of rows.
    pub fn since(&self, reader: Cursor) -> Changes {
        self.roster.since(reader)
    }

    /// What happened after the last event that a reader knows.
    ///
    /// # Errors
    /// As [`Events::after`].
    pub fn after(&self, reader: Cursor) -> Result<Vec<Event>, Lost> {
        self.events.after(reader).map(|events| events.cloned().collect())
    }

    /// Tells those who wait.
    pub fn ring(&self) {
        let now = Heads { rows: self.roster.cursor(), events: self.events.cursor() };
        self.heads.send_if_modified(|heads| std::mem::replace(heads, now) != now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Phase;

    const ID: TorrentId = TorrentId(7);

    fn kinds(told: &Told) -> Vec<EventKind> {
        let boot = told.events.cursor().boot;
        let events = told.after(Cursor { boot, number: 0 }).unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn what_happens_is_noted_once_and_rings() {
        let (mut told, mut heads) = Told::new(5);
        told.ring();
        assert!(!heads.has_changed().unwrap(), "nothing happened");
        let row = Row { phase: Phase::Downloading, ..Row::new(ID) };
        let words = || -> Arc<str> { "the disk is full".into() };
        told.list(Row::new(ID));
        assert_eq!(kinds(&told), [], "it was there before");
        told.apply(row, 1, words);
        let ill = Row { flags: Flags::IN_TROUBLE, ..row };
        told.apply(ill, 2, words);
        told.apply(Row { links: 3, ..ill }, 3, words);
        told.apply(row, 4, words);
        told.remove(ID, 5, "debian");
        told.remove(ID, 6, "debian");
        let change = EventKind::PhaseChanged { from: Phase::Checking, to: Phase::Downloading };
        let trouble = EventKind::Trouble(words());
        let removed = EventKind::Removed("debian".into());
        assert_eq!(kinds(&told), [change, trouble, EventKind::Recovered, removed]);
        told.ring();
        assert!(heads.has_changed().unwrap());
        assert_eq!(heads.borrow_and_update().events.number, 4);
        told.ring();
        assert!(!heads.has_changed().unwrap(), "it is known");
    }
}

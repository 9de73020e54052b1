//! What happened to torrents, one after the other, for readers that want to hear of each thing:
//! programs at a stream of events, hooks, the prompt. The last ones are kept; who comes later is
//! told how many it missed, and reads the lists instead. It does not watch rows by itself:
//! [`EventKind::between`] says what two of them tell.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::TorrentId;

use super::{Cursor, Flags, Phase, Row};

/// Events that are kept: half a megabyte, and a day of a thousand torrents.
pub const EVENTS_MAX: usize = 10_000;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// It was added.
    Added,
    /// It was removed; its name, since nobody can be asked for it any more.
    Removed(Arc<str>),
    /// It does something else.
    PhaseChanged {
        /// What it did.
        from: Phase,
        /// What it does.
        to: Phase,
    },
    /// Everything wanted is here for the first time.
    Completed,
    /// Something is wrong: what, and what to do.
    Trouble(Arc<str>),
    /// Nothing is wrong any more.
    Recovered,
    /// Its files are in another place: the directory.
    Moved(Arc<str>),
    /// It is called otherwise: its name.
    Renamed(Arc<str>),
    /// Its metadata has come, which only its link told of before: its name.
    Metadata(Arc<str>),
}

impl EventKind {
    /// What is seen of a torrent whose row was `before`, none when it is new, and is `now`. What
    /// has words is not among it.
    pub fn between(before: Option<&Row>, now: &Row) -> impl Iterator<Item = Self> + use<> {
        let (is_new, is_over) = match before {
            None => (true, false),
            Some(before) => {
                let in_trouble = [before, now].map(|row| row.flags.has(Flags::IN_TROUBLE));
                (false, in_trouble == [true, false])
            }
        };
        let from = before.map(|row| row.phase).filter(|phase| *phase != now.phase);
        let to = now.phase;
        let is_complete =
            now.completed_at.is_some() && before.is_some_and(|row| row.completed_at.is_none());
        let told = [
            is_new.then_some(Self::Added),
            from.map(|from| Self::PhaseChanged { from, to }),
            is_complete.then_some(Self::Completed),
            is_over.then_some(Self::Recovered),
        ];
        told.into_iter().flatten()
    }
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Counts all of this life of the process, from 1.
    pub id: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// To which torrent.
    pub torrent: TorrentId,
    /// What.
    pub kind: EventKind,
}

/// A reader missed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// How many events it will never hear; none when it read another life of the process.
    pub count: Option<u64>,
    /// Where those begin that are still there.
    pub go_on: Cursor,
}

/// The last events.
#[derive(Debug)]
pub struct Events {
    boot: u64,
    /// Of the last one that there was; 0 before the first.
    last_id: u64,
    /// Oldest first, without a gap up to the last one.
    kept: VecDeque<Event>,
}

impl Events {
    /// None yet. `boot` is a random number of this life of the process, as in
    /// [`Roster::new`](super::Roster::new).
    pub fn new(boot: u64) -> Self {
        Self { boot, last_id: 0, kept: VecDeque::new() }
    }

    /// Notes what happened to a torrent at `at`, Unix seconds; the event's id.
    pub fn push(&mut self, torrent: TorrentId, at: u64, kind: EventKind) -> u64 {
        if self.kept.len() == EVENTS_MAX {
            self.kept.pop_front();
        }
        self.last_id += 1;
        self.kept.push_back(Event { id: self.last_id, at, torrent, kind });
        self.last_id
    }

    /// What happened after the last event that a reader knows, oldest first.
    ///
    /// # Errors
    ///
    /// [`Lost`] when some of it is not there any more, or the reader knows what never was.
    pub fn after(&self, reader: Cursor) -> Result<impl Iterator<Item = &Event>, Lost> {
        let forgotten = self.last_id - self.kept.len() as u64;
        let go_on = Cursor { boot: self.boot, number: forgotten };
        if reader.boot != self.boot || reader.number > self.last_id {
            return Err(Lost { count: None, go_on });
        }
        match reader.number.checked_sub(forgotten) {
            None => Err(Lost { count: Some(forgotten - reader.number), go_on }),
            Some(known) => {
                // No more than there are.
                let known = usize::try_from(known).unwrap_or(usize::MAX).min(self.kept.len());
                Ok(self.kept.range(known..))
            }
        }
    }

    /// What a reader of everything up to now has read.
    pub fn cursor(&self) -> Cursor {
        Cursor { boot: self.boot, number: self.last_id }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const ID: TorrentId = TorrentId(7);

    fn with(count: u64) -> Events {
        let mut events = Events::new(5);
        for at in 0..count {
            events.push(ID, at, EventKind::Completed);
        }
        events
    }

    fn ids(events: &Events, number: u64) -> Result<Vec<u64>, Lost> {
        let after = events.after(Cursor { boot: 5, number })?;
        Ok(after.map(|event| event.id).collect())
    }

    #[test]
    fn a_reader_hears_what_came_after() {
        let events = with(4);
        assert_eq!(ids(&events, 0), Ok(vec![1, 2, 3, 4]));
        assert_eq!(ids(&events, 2), Ok(vec![3, 4]));
        assert_eq!(ids(&events, 4), Ok(vec![]));
        assert_eq!(ids(&with(0), 0), Ok(vec![]));
        assert_eq!(events.cursor(), Cursor { boot: 5, number: 4 });
    }

    #[test]
    fn a_late_reader_is_told_how_many_it_missed() {
        let most = EVENTS_MAX as u64;
        let events = with(most + 3);
        let lost = Lost { count: Some(2), go_on: Cursor { boot: 5, number: 3 } };
        assert_eq!(ids(&events, 1), Err(lost));
        let rest = ids(&events, lost.go_on.number).expect("the rest is there");
        assert_eq!((rest.len(), rest[0]), (EVENTS_MAX, 4));
        assert_eq!(ids(&events, 3).map(|rest| rest.len()), Ok(EVENTS_MAX));
    }

    #[test]
    fn a_reader_of_another_life_is_told_so() {
        let events = with(2);
        let lost = Lost { count: None, go_on: Cursor { boot: 5, number: 0 } };
        let foreign = events.after(Cursor { boot: 4, number: 1 }).map(|_| ());
        assert_eq!(foreign, Err(lost));
        // What never was cannot be known.
        assert_eq!(ids(&events, 3), Err(lost));
        let new = events.after(Cursor::default()).map(|_| ());
        assert_eq!(new, Err(lost));
    }

    #[test]
    fn rows_tell_what_happened() {
        let told = |before: Option<&Row>, now: &Row| EventKind::between(before, now).collect();
        let row = Row { phase: Phase::Downloading, ..Row::new(ID) };
        let events: Vec<_> = told(None, &row);
        assert_eq!(events, [EventKind::Added]);
        let events: Vec<_> = told(Some(&row), &Row { links: 3, ..row });
        assert_eq!(events, []);
        let done = Row { phase: Phase::Complete, completed_at: NonZeroU64::new(9), ..row };
        let change = EventKind::PhaseChanged { from: Phase::Downloading, to: Phase::Complete };
        let events: Vec<_> = told(Some(&row), &done);
        assert_eq!(events, [change, EventKind::Completed]);
        // One that was complete when it was added is no news.
        let events: Vec<_> = told(None, &done);
        assert_eq!(events, [EventKind::Added]);
        let ill = Row { flags: Flags::IN_TROUBLE, ..row };
        let events: Vec<_> = told(Some(&ill), &row);
        assert_eq!(events, [EventKind::Recovered]);
        let events: Vec<_> = told(Some(&row), &ill);
        assert_eq!(events, []);
    }
}

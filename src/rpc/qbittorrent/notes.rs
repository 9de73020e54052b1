//! What changed when: a ring of notes, each stamped with the number of the answer that tells it
//! first. Whoever shows the number of an earlier answer hears what was noted since, which costs as
//! much as there is of it; whoever is behind the ring hears that something is lost. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Something that changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum What {
    /// A torrent, by its hash.
    Torrent(Arc<str>),
    /// A category.
    Category(String),
    /// A tag.
    Tag(String),
    /// A tracker, and which torrents it has.
    Tracker(Arc<str>),
    /// A key of what is said of the session.
    Session(&'static str),
}

/// That it changed: `keys` of a torrent.
struct Note {
    at: u64,
    what: What,
    keys: u64,
}

/// The notes that are kept.
pub(super) struct Notes {
    ring: VecDeque<Note>,
    len_max: usize,
    /// The number of the last answer.
    last: u64,
    /// Whoever had an answer before this one may have missed something.
    floor: u64,
}

impl Notes {
    /// None yet, and at most `len_max`; answers are numbered from `first` on.
    pub fn new(first: u64, len_max: usize) -> Self {
        Self { ring: VecDeque::new(), len_max, last: first.saturating_sub(1), floor: first }
    }

    /// Something changed, `keys` of it.
    pub fn push(&mut self, what: What, keys: u64) {
        if self.ring.len() >= self.len_max
            && let Some(lost) = self.ring.pop_front()
        {
            self.floor = lost.at;
        }
        self.ring.push_back(Note { at: self.last + 1, what, keys });
    }

    /// The number of the next answer, which tells all that was noted.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What changed since the answer of this number, and which keys of it; none where that is not
    /// known, or there was no such answer.
    pub fn since(&self, number: u64) -> Option<BTreeMap<&What, u64>> {
        if !(self.floor..=self.last).contains(&number) {
            return None;
        }
        let mut changed: BTreeMap<&What, u64> = BTreeMap::new();
        // The newest stand at the end.
        for note in self.ring.iter().rev().take_while(|note| note.at > number) {
            *changed.entry(&note.what).or_default() |= note.keys;
        }
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> What {
        What::Tag(name.to_owned())
    }

    /// The names of what changed since, with their keys.
    fn since(notes: &Notes, number: u64) -> Option<Vec<(What, u64)>> {
        let since = notes.since(number)?;
        Some(since.into_iter().map(|(what, keys)| (what.clone(), keys)).collect())
    }

    #[test]
    fn each_reader_hears_what_it_has_not_heard() {
        let mut notes = Notes::new(7, 10);
        assert_eq!(since(&notes, 6), None, "there was no answer yet");
        notes.push(tag("a"), 1);
        let first = notes.number();
        assert_eq!((first, since(&notes, first)), (7, Some(vec![])));
        notes.push(tag("b"), 2);
        notes.push(tag("b"), 4);
        let second = notes.number();
        notes.push(tag("a"), 8);
        let third = notes.number();
        assert_eq!(since(&notes, first), Some(vec![(tag("a"), 8), (tag("b"), 6)]));
        assert_eq!(since(&notes, second), Some(vec![(tag("a"), 8)]));
        assert_eq!(since(&notes, third), Some(vec![]));
        for unknown in [0, 6, third + 1, u64::MAX] {
            assert_eq!(since(&notes, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn whoever_is_behind_the_ring_hears_that_something_is_lost() {
        let mut notes = Notes::new(1, 3);
        let numbers: Vec<u64> = (0..5)
            .map(|nth| {
                notes.push(tag(&nth.to_string()), 1);
                notes.number()
            })
            .collect();
        // The notes of the first two answers are gone; who had them needs none of those.
        assert_eq!(since(&notes, numbers[0]), None);
        assert_eq!(since(&notes, numbers[1]).map(|it| it.len()), Some(3));
        notes.push(tag("x"), 1);
        assert_eq!(since(&notes, numbers[1]), None);
        assert_eq!(since(&notes, numbers[2]).map(|it| it.len()), Some(3));
    }
}

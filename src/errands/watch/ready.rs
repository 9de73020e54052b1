//! Which files of a folder are ready to be read: those that nobody writes any more. A machine:
//! looks at the folder and the system's word on writers go in, names come out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How a file looks from outside: another look is another file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Look {
    /// Its bytes.
    pub len_bytes: u64,
    /// When it was changed: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

/// How long files are waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// A file that looks the same for so long is read.
    pub quiet: Duration,
    /// One that cannot be read, or that somebody still has open, is waited for so long since it
    /// changed: a copy may stall.
    pub patience: Duration,
    /// What fails for another reason than the file is tried again after that.
    pub rest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            rest: Duration::from_secs(60),
        }
    }
}

/// What happened in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rung {
    /// Somebody writes to a file.
    Written(OsString),
    /// Somebody has closed a file that was written to.
    Closed(OsString),
    /// Something else.
    Other,
}

/// What came of reading a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its torrents are there.
    Done,
    /// It is no torrent; it may become one if it is half written.
    Wrong,
    /// The file has no part in what went wrong.
    Later,
}

/// What becomes of a file that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its torrents are there; nobody looks at it again before it changes.
    Done,
    /// It is read again later.
    Waits,
    /// It has been wrong for long enough.
    GivenUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stand {
    /// It is to be read at that time, if it has not changed by then.
    Due(Instant),
    /// Its torrents are there, or it was refused.
    Settled,
}

#[derive(Clone, Copy, Debug)]
struct File {
    look: Look,
    /// Since when it looks so.
    since: Instant,
    stand: Stand,
}

/// The files of a folder.
#[derive(Debug)]
pub struct Ready {
    pace: Pace,
    files: BTreeMap<OsString, File>,
    /// Files that somebody has open to write, as far as that is known.
    written: BTreeSet<OsString>,
    /// Files of an earlier run whose torrents are there.
    remembered: BTreeMap<OsString, Look>,
}

impl Ready {
    /// None yet, but for those whose torrents an earlier run has added.
    pub fn new(pace: Pace, remembered: BTreeMap<OsString, Look>) -> Self {
        Self { pace, files: BTreeMap::new(), written: BTreeSet::new(), remembered }
    }

    /// Takes in all files that are there now. Those that are gone are forgotten, unless
    /// `is_elsewhere`: then they may come back.
    pub fn on_look(&mut self, all: &[(OsString, Look)], is_elsewhere: bool, now: Instant) {
        let mut before = std::mem::take(&mut self.files);
        for (name, look) in all {
            let known = before.remove(name).filter(|file| file.look == *look);
            let file = known.unwrap_or_else(|| self.newly_seen(name, *look, now));
            self.files.insert(name.clone(), file);
        }
        self.written.retain(|name| self.files.contains_key(name));
        if !is_elsewhere {
            self.remembered.retain(|name, _| self.files.contains_key(name));
        }
    }

    fn newly_seen(&mut self, name: &OsStr, look: Look, now: Instant) -> File {
        let stand = match self.remembered.get(name) == Some(&look) {
            true => Stand::Settled,
            false if self.written.contains(name) => Stand::Due(now + self.pace.patience),
            false => Stand::Due(now + self.pace.quiet),
        };
        File { look, since: now, stand }
    }

    /// Somebody writes to this one, which the next look may be the first to see.
    pub fn on_written(&mut self, name: &OsStr, now: Instant) {
        let patience = self.pace.patience;
        self.written.insert(name.to_owned());
        if let Some(file) = self.files.get_mut(name) {
            file.since = now;
            file.stand = Stand::Due(now + patience);
        }
    }

    /// Whoever wrote to this one has closed it.
    pub fn on_closed(&mut self, name: &OsStr, now: Instant) {
        let quiet = self.pace.quiet;
        if self.written.remove(name)
            && let Some(file) = self.files.get_mut(name)
        {
            file.stand = Stand::Due(now + quiet);
        }
    }

    /// Those that are ready, with the looks that they are ready with.
    pub fn due(&self, now: Instant) -> Vec<(OsString, Look)> {
        let is_due = |file: &File| matches!(file.stand, Stand::Due(at) if at <= now);
        let due = self.files.iter().filter(|(_, file)| is_due(file));
        due.map(|(name, file)| (name.clone(), file.look)).collect()
    }

    /// When the next one is ready, if nothing changes.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.files.values().filter_map(|file| match file.stand {
            Stand::Due(at) => Some(at),
            Stand::Settled => None,
        });
        due.min()
    }

    /// How many are not ready yet.
    pub fn waiting(&self) -> usize {
        self.files.values().filter(|file| file.stand != Stand::Settled).count()
    }

    /// A file was read that looked so; what becomes of it.
    pub fn on_read(&mut self, name: &OsStr, look: Look, verdict: Verdict, now: Instant) -> Fate {
        let Pace { quiet, patience, rest } = self.pace;
        let Some(file) = self.files.get_mut(name) else { return Fate::Waits };
        if file.look != look {
            return Fate::Waits;
        }
        let is_over = now >= file.since + patience;
        let (stand, fate) = match verdict {
            Verdict::Done => (Stand::Settled, Fate::Done),
            Verdict::Wrong if is_over => (Stand::Settled, Fate::GivenUp),
            Verdict::Wrong => (Stand::Due((now + quiet).min(file.since + patience)), Fate::Waits),
            Verdict::Later => (Stand::Due(now + rest), Fate::Waits),
        };
        file.stand = stand;
        if fate == Fate::Done {
            self.remembered.insert(name.to_owned(), look);
        }
        fate
    }

    /// Those whose torrents are there: what a later run is to know.
    pub fn remembered(&self) -> &BTreeMap<OsString, Look> {
        &self.remembered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        quiet: Duration::from_secs(2),
        patience: Duration::from_secs(30),
        rest: Duration::from_secs(60),
    };

    fn look(len_bytes: u64) -> Look {
        Look { len_bytes, changed: (len_bytes as i64, 0) }
    }

    struct World {
        ready: Ready,
        start: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { ready: Ready::new(PACE, BTreeMap::new()), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn sees(&mut self, all: &[(&str, u64)], seconds: u64) {
            let now = self.at(seconds);
            let all: Vec<_> = all.iter().map(|(name, len)| (name.into(), look(*len))).collect();
            self.ready.on_look(&all, false, now);
        }

        fn due(&self, seconds: u64) -> Vec<String> {
            let due = self.ready.due(self.at(seconds));
            due.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
        }

        fn read(&mut self, name: &str, len: u64, verdict: Verdict, seconds: u64) -> Fate {
            let now = self.at(seconds);
            self.ready.on_read(name.as_ref(), look(len), verdict, now)
        }
    }

    #[test]
    fn a_file_is_ready_when_it_has_not_changed_for_two_seconds() {
        let mut world = World::new();
        world.sees(&[("a", 1)], 0);
        assert_eq!(world.due(1), [""; 0]);
        world.sees(&[("a", 2), ("b", 1)], 1);
        assert_eq!(world.due(2), [""; 0], "a has grown");
        assert_eq!(world.ready.next_timeout(), Some(world.at(3)));
        world.sees(&[("a", 2), ("b", 1)], 3);
        assert_eq!(world.due(3), ["a", "b"]);
        assert_eq!(world.read("a", 2, Verdict::Done, 3), Fate::Done);
        assert_eq!(world.read("b", 1, Verdict::Done, 3), Fate::Done);
        world.sees(&[("a", 2), ("b", 7)], 4);
        assert_eq!((world.due(60), world.ready.waiting()), (vec!["b".into()], 1), "b is another");
    }

    #[test]
    fn a_file_that_is_open_is_waited_for_until_its_writer_closes_it() {
        let mut world = World::new();
        world.sees(&[("a", 1)], 0);
        world.ready.on_written("a".as_ref(), world.at(1));
        world.ready.on_written("b".as_ref(), world.at(1));
        world.sees(&[("a", 2), ("b", 1)], 2);
        assert_eq!(world.due(20), [""; 0], "its writer stalls, and so does that of a new one");
        world.sees(&[("a", 2)], 3);
        world.ready.on_closed("a".as_ref(), world.at(20));
        assert_eq!((world.due(21), world.due(22)), (vec![], vec!["a".into()]));
        assert_eq!(world.read("a", 2, Verdict::Wrong, 22), Fate::Waits);
        // One that is never closed is read all the same.
        world.ready.on_written("a".as_ref(), world.at(22));
        assert_eq!((world.due(51), world.due(52)), (vec![], vec!["a".into()]));
    }

    #[test]
    fn what_is_wrong_is_given_up_when_it_has_been_so_for_long_enough() {
        let mut world = World::new();
        world.sees(&[("a", 1)], 0);
        assert_eq!(world.read("a", 1, Verdict::Wrong, 2), Fate::Waits);
        assert_eq!((world.due(3), world.due(4)), (vec![], vec!["a".into()]));
        // The copy goes on: time begins anew.
        world.sees(&[("a", 2)], 29);
        assert_eq!(world.read("a", 1, Verdict::Wrong, 30), Fate::Waits, "it has changed meanwhile");
        assert_eq!(world.read("a", 2, Verdict::Wrong, 58), Fate::Waits);
        assert_eq!(world.ready.next_timeout(), Some(world.at(59)));
        assert_eq!(world.read("a", 2, Verdict::Wrong, 59), Fate::GivenUp);
        assert_eq!((world.due(1000), world.ready.waiting()), (vec![], 0));
        assert_eq!(world.ready.remembered().len(), 0);
        // What another has to answer for is tried for ever.
        world.sees(&[("a", 3)], 100);
        assert_eq!(world.read("a", 3, Verdict::Later, 1000), Fate::Waits);
        assert_eq!((world.due(1059), world.due(1060)), (vec![], vec!["a".into()]));
    }

    #[test]
    fn what_was_added_is_remembered_as_long_as_it_is_there_and_the_same() {
        let mut world = World::new();
        let known = ["a", "b", "c"].map(|name| (name.into(), look(1)));
        world.ready = Ready::new(PACE, known.into());
        world.sees(&[("a", 1), ("b", 2)], 0);
        assert_eq!(world.due(9), ["b"]);
        assert_eq!(world.ready.remembered().len(), 2, "c is gone, and new when it comes again");
        world.sees(&[("a", 1), ("b", 2), ("c", 1)], 1);
        assert_eq!(world.due(9), ["b", "c"]);
        // A place that another disk was mounted over.
        world.ready.on_look(&[], true, world.at(10));
        world.sees(&[("a", 1)], 11);
        assert_eq!(world.due(30), [""; 0]);
    }
}

//! Which complete torrents sleep: of those that nobody is connected to, all but the ones that had
//! somebody last. A machine: it hears how each stands, and names who is to sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::base::ids::TorrentId;

/// Who was told to sleep and does not is told again so much later.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a torrent stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It sleeps, or has something to do.
    Other,
    /// It is being looked at: perhaps it is complete.
    Open,
    /// It is complete and awake, and nobody is connected to it.
    Alone,
}

/// Who is awake with nobody.
#[derive(Debug)]
pub(super) struct Slumber {
    awake_max: usize,
    open: BTreeSet<TorrentId>,
    alone_since: BTreeMap<TorrentId, Instant>,
    /// The same, but for those that were told.
    by_time: BTreeSet<(Instant, TorrentId)>,
    /// Those, and when they are told again: an order may be lost, or come when there is something
    /// to do for a moment.
    told: BTreeSet<(Instant, TorrentId)>,
}

impl Slumber {
    /// So many may be awake with nobody.
    pub fn new(awake_max: usize) -> Self {
        Self {
            awake_max,
            open: BTreeSet::new(),
            alone_since: BTreeMap::new(),
            by_time: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// A torrent stands so now.
    pub fn note(&mut self, id: TorrentId, standing: Standing, now: Instant) {
        match standing {
            Standing::Open => self.open.insert(id),
            _ => self.open.remove(&id),
        };
        match (standing, self.alone_since.get(&id).copied()) {
            (Standing::Alone, None) => {
                self.alone_since.insert(id, now);
                self.by_time.insert((now, id));
            }
            (Standing::Alone, Some(_)) | (_, None) => {}
            (_, Some(since)) => {
                self.alone_since.remove(&id);
                self.by_time.remove(&(since, id));
            }
        }
    }

    /// Is one more to sleep, if there is nothing to do for it?
    pub fn is_full(&self) -> bool {
        self.open.len() + self.alone_since.len() >= self.awake_max
    }

    /// Who is to be told to sleep next: who had nobody for longest, and again after a while.
    pub fn next(&mut self, now: Instant) -> Option<TorrentId> {
        while let Some((at, id)) = self.told.first().copied().filter(|(at, _)| *at <= now) {
            self.told.remove(&(at, id));
            if let Some(since) = self.alone_since.get(&id) {
                self.by_time.insert((*since, id));
            }
        }
        if self.by_time.len() <= self.awake_max {
            return None;
        }
        let (_, id) = self.by_time.pop_first()?;
        self.told.insert((now + PATIENCE, id));
        Some(id)
    }

    /// When to ask again who is next, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.told.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_had_nobody_for_longest_sleep() {
        let start = Instant::now();
        let mut slumber = Slumber::new(1);
        for (id, second) in [(1, 3), (2, 1), (3, 2), (4, 1)] {
            let now = start + Duration::from_secs(second);
            slumber.note(TorrentId(id), Standing::Alone, now);
            // Said again, it is not alone since then.
            slumber.note(TorrentId(id), Standing::Alone, now + Duration::from_secs(9));
        }
        let told: Vec<_> = std::iter::from_fn(|| slumber.next(start)).map(|id| id.0).collect();
        assert_eq!(told, [2, 4, 3]);
    }

    #[test]
    fn who_has_somebody_again_is_alone_from_anew() {
        let start = Instant::now();
        let mut slumber = Slumber::new(1);
        slumber.note(TorrentId(1), Standing::Alone, start);
        slumber.note(TorrentId(1), Standing::Other, start + Duration::from_secs(1));
        assert_eq!((slumber.next(start), slumber.is_full()), (None, false));
        slumber.note(TorrentId(2), Standing::Alone, start + Duration::from_secs(2));
        slumber.note(TorrentId(1), Standing::Alone, start + Duration::from_secs(3));
        assert_eq!(slumber.next(start), Some(TorrentId(2)));
        // It was not heard.
        assert_eq!((slumber.next(start), slumber.next_timeout()), (None, Some(start + PATIENCE)));
        assert_eq!(slumber.next(start + PATIENCE), Some(TorrentId(2)));
        slumber.note(TorrentId(2), Standing::Other, start);
        assert_eq!((slumber.next(start + PATIENCE * 2), slumber.next_timeout()), (None, None));
    }

    #[test]
    fn who_is_looked_at_may_be_one_more() {
        let now = Instant::now();
        let mut slumber = Slumber::new(2);
        slumber.note(TorrentId(1), Standing::Open, now);
        assert!(!slumber.is_full());
        slumber.note(TorrentId(2), Standing::Alone, now);
        assert!(slumber.is_full());
        slumber.note(TorrentId(1), Standing::Other, now);
        assert!(!slumber.is_full());
    }
}

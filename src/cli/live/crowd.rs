//! What is told of very many torrents at their start: sums, since what is said of each of them
//! nobody reads. What goes wrong is told of each all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::cli::print::counted;

/// How often it is told how far the look at all of them is.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The same trouble with a tracker, which many torrents may share, is told again so much later.
const TROUBLE_AGAIN: Duration = Duration::from_secs(300);
/// Troubles that are remembered.
const TROUBLES_MAX: usize = 64;

/// The torrents of the start, added up.
#[derive(Debug)]
pub(super) struct Crowd {
    /// How many there are.
    count: usize,
    /// Numbers of those whose data was looked at.
    looked_at: BTreeSet<usize>,
    /// Those of them of which nothing was missing.
    complete: usize,
    /// Those of them that nobody read: their records say so.
    by_record: usize,
    /// What of that was told, and when.
    told: (usize, usize),
    told_at: Instant,
}

impl Crowd {
    /// Of so many torrents.
    pub fn new(count: usize, now: Instant) -> Self {
        let looked_at = BTreeSet::new();
        Self { count, looked_at, complete: 0, by_record: 0, told: (0, 0), told_at: now }
    }

    /// The one of this number was looked at, whatever came of it.
    pub fn on_looked_at(&mut self, number: usize) {
        self.looked_at.insert(number);
    }

    /// Everything of one was there, perhaps by its record alone.
    pub fn on_complete(&mut self, is_by_record: bool) {
        self.complete += 1;
        self.by_record += usize::from(is_by_record);
    }

    /// The line that is due now, if any: at once when all were looked at and none `is_checking` any
    /// more, now and then before.
    pub fn due(&mut self, is_checking: bool, now: Instant) -> Option<String> {
        let so_far = (self.looked_at.len(), self.complete);
        let is_over = so_far.0 >= self.count && !is_checking;
        let is_time = now.saturating_duration_since(self.told_at) >= TELL_EVERY;
        if so_far == self.told || !is_over && !is_time {
            return None;
        }
        (self.told, self.told_at) = (so_far, now);
        Some(self.words())
    }

    fn words(&self) -> String {
        let Self { count, complete, by_record, .. } = self;
        let looked_at = self.looked_at.len();
        let how = match by_record {
            0 => String::new(),
            all if all == complete => " by their records; --check reads them again".to_owned(),
            some => format!(", {some} of them by their records; --check reads those again"),
        };
        let all = counted(*count as u64, "torrent");
        match looked_at >= *count {
            true => format!("{all} looked at: {complete} complete{how}"),
            false => format!("{looked_at} of {all} looked at: {complete} complete{how}"),
        }
    }
}

/// Troubles with trackers that were told, by their words.
#[derive(Default, Debug)]
pub(super) struct Troubles(BTreeMap<String, Instant>);

impl Troubles {
    /// Is this one to be told, and not just the same of another torrent?
    pub fn is_news(&mut self, words: &str, now: Instant) -> bool {
        self.0.retain(|_, at| now.saturating_duration_since(*at) < TROUBLE_AGAIN);
        let is_known = self.0.contains_key(words);
        if !is_known && self.0.len() < TROUBLES_MAX {
            self.0.insert(words.to_owned(), now);
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_are_here_already_are_one_line() {
        let now = Instant::now();
        let mut crowd = Crowd::new(200, now);
        assert_eq!(crowd.due(false, now), None, "nothing to tell yet");
        for number in 0..200 {
            assert_eq!(crowd.due(false, now), None, "others wait for their turn");
            crowd.on_looked_at(number);
            crowd.on_complete(true);
        }
        assert_eq!(crowd.due(true, now), None, "the last one is looked at still");
        let line =
            "200 torrents looked at: 200 complete by their records; --check reads them again";
        assert_eq!(crowd.due(false, now).as_deref(), Some(line));
        assert_eq!(crowd.due(false, now + TELL_EVERY), None, "once is enough");
    }

    #[test]
    fn a_look_that_takes_long_is_told_now_and_then() {
        let now = Instant::now();
        let mut crowd = Crowd::new(20, now);
        // It is looked at again, as after a move.
        (0..3).for_each(|_| crowd.on_looked_at(1));
        crowd.on_complete(false);
        assert_eq!(crowd.due(true, now + TELL_EVERY / 2), None);
        let line = "1 of 20 torrents looked at: 1 complete";
        assert_eq!(crowd.due(true, now + TELL_EVERY).as_deref(), Some(line));
        (2..=20).for_each(|number| crowd.on_looked_at(number));
        (0..2).for_each(|_| crowd.on_complete(true));
        let line = "20 torrents looked at: 3 complete, 2 of them by their records; --check reads \
                    those again";
        assert_eq!(crowd.due(false, now + TELL_EVERY).as_deref(), Some(line));
    }

    #[test]
    fn the_same_trouble_of_many_is_told_once_in_a_while() {
        let now = Instant::now();
        let mut troubles = Troubles::default();
        assert!(troubles.is_news("t: refused", now));
        assert!(!troubles.is_news("t: refused", now) && troubles.is_news("t: no such name", now));
        assert!(troubles.is_news("t: refused", now + TROUBLE_AGAIN));
        // What is not remembered is told.
        let words = |number: usize| format!("{number}");
        assert!((0..TROUBLES_MAX * 2).all(|number| troubles.is_news(&words(number), now)));
        assert!(!troubles.is_news("0", now));
        assert!(troubles.0.len() <= TROUBLES_MAX);
    }
}

//! When to look at which link again. A link has one entry at most, and a deadline that moves
//! away is not followed: whoever is called too early looks, and names the next time. So traffic
//! costs nothing here, and the next time of all is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::base::ids::LinkId;

/// The timers of all links.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, LinkId)>,
    armed: BTreeMap<LinkId, Instant>,
}

impl Timers {
    /// The link is to be looked at by then; an earlier time stands.
    pub(super) fn arm(&mut self, link: LinkId, at: Instant) {
        match self.armed.get(&link) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => drop(self.due.remove(&(*later, link))),
            None => {}
        }
        self.armed.insert(link, at);
        self.due.insert((at, link));
    }

    /// The link is over.
    pub(super) fn disarm(&mut self, link: LinkId) {
        if let Some(at) = self.armed.remove(&link) {
            self.due.remove(&(at, link));
        }
    }

    /// The next time of all.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A link whose time has come; it has no entry any more.
    pub(super) fn pop(&mut self, now: Instant) -> Option<LinkId> {
        let (_, link) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.disarm(link);
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_link_is_called_once_at_its_earliest_time() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.arm(LinkId(1), at(9));
        timers.arm(LinkId(1), at(5));
        timers.arm(LinkId(1), at(7));
        timers.arm(LinkId(2), at(6));
        timers.arm(LinkId(3), at(1));
        timers.disarm(LinkId(3));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop(at(4)), None);
        assert_eq!(timers.pop(at(8)), Some(LinkId(1)));
        assert_eq!(timers.pop(at(8)), Some(LinkId(2)));
        assert_eq!((timers.pop(at(99)), timers.next()), (None, None));
    }
}

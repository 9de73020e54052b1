//! Where redirects lead, for as long as that may be believed. Bounded; the oldest are forgotten
//! first. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::base::url::Url;
use crate::link::web::Target;

/// URLs that are remembered.
const ENTRIES_MAX: usize = 20_000;
/// Bytes of all of them: signed ones have a thousand.
const BYTES_MAX: usize = 16 << 20;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    entries: HashMap<Url, Entry>,
    /// Those of the entries, by their numbers: in the order of coming.
    order: BTreeMap<u64, Url>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    target: Target,
    until: Instant,
}

impl Redirects {
    /// Where the URL leads, if that is known and still holds.
    pub fn target(&mut self, url: &Url, now: Instant) -> Option<Target> {
        if self.entries.get(url).is_some_and(|entry| entry.until <= now) {
            self.forget(url);
        }
        self.entries.get(url).map(|entry| entry.target.clone())
    }

    /// It does not lead there any more. What others have learnt since stays.
    pub fn disprove(&mut self, url: &Url, target: &Url) {
        if self.entries.get(url).is_some_and(|entry| entry.target.url == *target) {
            self.forget(url);
        }
    }

    /// The URL leads there for so long; or to where is known only this once.
    pub fn remember(&mut self, url: &Url, target: Option<(Target, Duration)>, now: Instant) {
        self.forget(url);
        let Some((target, hold)) = target else { return };
        let number = self.next;
        self.next += 1;
        self.bytes += len_of(url, &target);
        // Longer than a process lives is as good as for ever.
        let until = now + hold.min(Duration::from_secs(365 * 24 * 3600));
        self.entries.insert(url.clone(), Entry { number, target, until });
        self.order.insert(number, url.clone());
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    fn forget(&mut self, url: &Url) {
        if let Some(entry) = self.entries.remove(url) {
            self.bytes -= len_of(url, &entry.target);
            self.order.remove(&entry.number);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, url)) = self.order.pop_first() {
            self.forget(&url);
        }
    }
}

fn len_of(url: &Url, target: &Target) -> usize {
    let len = |url: &Url| url.origin().host().len() + url.target().len();
    // In both lists.
    2 * len(url) + len(&target.url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Locality;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn target(text: &str) -> Target {
        Target { url: url(text), from: Locality::Public }
    }

    #[test]
    fn a_target_is_believed_until_its_time_is_over_or_it_is_forgotten() {
        let now = Instant::now();
        let mut redirects = Redirects::default();
        let hold = Duration::from_secs(60);
        let (a, c) = (url("http://a/x"), url("http://c/x"));
        redirects.remember(&a, Some((target("http://b/"), hold)), now);
        redirects.remember(&c, Some((target("http://d/"), Duration::MAX)), now);
        let later = now + hold;
        assert_eq!(redirects.target(&a, now), Some(target("http://b/")));
        assert_eq!(redirects.target(&a, later), None);
        assert_eq!(redirects.target(&c, later), Some(target("http://d/")));
        // Another link has learnt since where it leads.
        redirects.disprove(&c, &url("http://old/"));
        assert_eq!(redirects.target(&c, later), Some(target("http://d/")));
        redirects.disprove(&c, &url("http://d/"));
        assert_eq!(redirects.target(&c, later), None);
        redirects.remember(&c, Some((target("http://d/"), hold)), later);
        redirects.remember(&c, None, later);
        assert_eq!(redirects.target(&c, later), None);
        assert_eq!((redirects.entries.len(), redirects.bytes), (0, 0));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_oldest_goes_first() {
        let now = Instant::now();
        let mut redirects = Redirects::default();
        let hold = Duration::from_secs(60);
        let numbered = |number: usize| url(&format!("http://a/{number}"));
        let first = url("http://first/");
        for number in 0..ENTRIES_MAX + 10 {
            // The first one comes again and again.
            redirects.remember(&first, Some((target("http://b/"), hold)), now);
            redirects.remember(&numbered(number), Some((target("http://b/"), hold)), now);
        }
        assert_eq!(redirects.entries.len(), ENTRIES_MAX);
        assert_eq!(redirects.order.len(), ENTRIES_MAX, "nothing is kept of those that are over");
        assert!(redirects.target(&first, now).is_some());
        assert!(redirects.target(&numbered(0), now).is_none());
        let long = format!("http://b/{}", "x".repeat(8000));
        for number in 0..BYTES_MAX / 8000 + 10 {
            redirects.remember(&numbered(number), Some((target(&long), hold)), now);
        }
        assert!(redirects.bytes <= BYTES_MAX, "{}", redirects.bytes);
        assert!(redirects.target(&numbered(BYTES_MAX / 8000), now).is_some());
    }
}

//! Whose turn it is to ask: announces of all torrents of a session wait here for a place among
//! those that are on their way. A pure machine; it knows hosts as text and nothing of what waits.
//!
//! So many have a place at the same time, of those to one [`Site`] a few. A free place goes to
//! whom the [`Class`] prefers; among equals to the site with the fewest places, so that those that
//! hang hold up no others; and there to whoever waits longest. A site that answers nobody has one
//! place until it answers, and who waits for it is told at once that it is of no use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::tracker::announce::Family;

/// After so many that no answer followed each other, a site answers nobody. One or two may have
/// been lost on their way.
const SILENT_MAX: u32 = 4;

/// Sites remembered that answer nobody and that nobody asks now.
const REMEMBERED_MAX: usize = 1024;

/// Places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Of all sites together.
    pub all: usize,
    /// Of one site.
    pub site: usize,
}

/// One address family of a tracker's host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Site {
    /// Scheme, host and port.
    pub host: Arc<str>,
    /// Over which it is asked.
    pub family: Family,
}

/// Who goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Somebody waits for it, or it frees others from us.
    Urgent,
    /// The torrent needs peers.
    Download,
    /// It needs none.
    Seed,
    /// It needs none and has no links.
    Asleep,
}

impl Class {
    const ALL: [Self; 4] = [Self::Urgent, Self::Download, Self::Seed, Self::Asleep];
}

/// A turn that was asked for, valid for the [`Turns`] that gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    site: Site,
    class: Class,
    number: u64,
}

impl Turn {
    /// Where it is to be asked.
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// What waits, and how many places are taken.
#[derive(Debug)]
pub struct Turns<T> {
    bounds: Bounds,
    sites: BTreeMap<Site, Queue<T>>,
    /// The first of each site that has a free place.
    ready: BTreeSet<(Rank, Site)>,
    on_way: usize,
    asked: u64,
}

/// Class, places of the site that are taken, number.
type Rank = (Class, usize, u64);

/// Those of one class who wait, with their numbers in order.
#[derive(Debug)]
struct Row<T> {
    /// None where one has gone. The first has not, and at least half of all.
    all: VecDeque<(u64, Option<T>)>,
    gone: usize,
}

#[derive(Debug)]
struct Queue<T> {
    /// By class.
    waiting: [Row<T>; 4],
    on_way: usize,
    /// So many in a row had no answer.
    silences: u32,
    /// As it stands among the ready ones.
    rank: Option<Rank>,
}

impl<T> Queue<T> {
    fn new() -> Self {
        let waiting = [(); 4].map(|()| Row { all: VecDeque::new(), gone: 0 });
        Self { waiting, on_way: 0, silences: 0, rank: None }
    }

    fn first(&self) -> Option<(Class, u64)> {
        let first = |class: &Class| Some((*class, self.waiting[*class as usize].all.front()?.0));
        Class::ALL.iter().find_map(first)
    }
}

impl<T> Row<T> {
    fn take(&mut self, number: u64) -> Option<T> {
        let own = self.all.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let what = self.all.get_mut(own)?.1.take()?;
        self.gone += 1;
        while self.all.front().is_some_and(|(_, what)| what.is_none()) {
            self.all.pop_front();
            self.gone -= 1;
        }
        if self.gone * 2 > self.all.len() {
            self.all.retain(|(_, what)| what.is_some());
            self.gone = 0;
        }
        if self.all.is_empty() {
            self.all = VecDeque::new();
        }
        Some(what)
    }

    fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.gone = 0;
        std::mem::take(&mut self.all).into_iter().filter_map(|(_, what)| what)
    }
}

impl<T> Turns<T> {
    /// Nobody waits.
    pub fn new(bounds: Bounds) -> Self {
        let (sites, ready) = (BTreeMap::new(), BTreeSet::new());
        Self { bounds, sites, ready, on_way: 0, asked: 0 }
    }

    /// Waits for a place.
    pub fn wait(&mut self, site: Site, class: Class, what: T) -> Turn {
        let number = self.asked;
        self.asked += 1;
        // Whatever waits for one site shares its name.
        let known = self.sites.get_key_value(&site).map(|(known, _)| known.clone());
        let site = known.unwrap_or(site);
        let queue = self.sites.entry(site.clone()).or_insert_with(Queue::new);
        queue.waiting[class as usize].all.push_back((number, Some(what)));
        self.rank(&site);
        Turn { site, class, number }
    }

    /// Waits no longer. What waited; none if it has got its place.
    pub fn cancel(&mut self, turn: &Turn) -> Option<T> {
        let queue = self.sites.get_mut(&turn.site)?;
        let what = queue.waiting[turn.class as usize].take(turn.number);
        self.rank(&turn.site);
        what
    }

    /// Who gets the next free place, if there is one. It is free again after [`Turns::leave`].
    pub fn admit(&mut self) -> Option<(Turn, T)> {
        if self.on_way >= self.bounds.all {
            return None;
        }
        let ((class, _, number), site) = self.ready.first()?.clone();
        let queue = self.sites.get_mut(&site)?;
        let what = queue.waiting[class as usize].take(number)?;
        queue.on_way += 1;
        self.on_way += 1;
        self.rank(&site);
        Some((Turn { site, class, number }, what))
    }

    /// Gives a place back.
    pub fn leave(&mut self, turn: &Turn) {
        if let Some(queue) = self.sites.get_mut(&turn.site).filter(|queue| queue.on_way > 0) {
            queue.on_way -= 1;
            self.on_way -= 1;
            self.rank(&turn.site);
        }
    }

    /// Somebody spoke there.
    pub fn on_answer(&mut self, turn: &Turn) {
        if let Some(queue) = self.sites.get_mut(&turn.site) {
            queue.silences = 0;
            self.rank(&turn.site);
        }
    }

    /// Nobody did. Returns all for whom there is no use in waiting for their turn.
    pub fn on_silence(&mut self, turn: &Turn) -> impl Iterator<Item = T> + use<T> {
        let mut idle = Vec::new();
        if let Some(queue) = self.sites.get_mut(&turn.site) {
            queue.silences = queue.silences.saturating_add(1);
            if queue.silences >= SILENT_MAX {
                idle = queue.waiting.iter_mut().flat_map(Row::take_all).collect();
            }
            self.rank(&turn.site);
        }
        idle.into_iter()
    }

    /// We are elsewhere: it may be that nobody was silent.
    pub fn on_other_way(&mut self) {
        for site in self.sites.keys().cloned().collect::<Vec<_>>() {
            if let Some(queue) = self.sites.get_mut(&site) {
                queue.silences = 0;
            }
            self.rank(&site);
        }
    }

    /// Puts a site where it belongs.
    fn rank(&mut self, site: &Site) {
        let is_full = self.sites.len() > REMEMBERED_MAX;
        let Some(queue) = self.sites.get_mut(site) else { return };
        let places = if queue.silences >= SILENT_MAX { 1 } else { self.bounds.site };
        let first = queue.first().filter(|_| queue.on_way < places);
        let rank = first.map(|(class, number)| (class, queue.on_way, number));
        let before = std::mem::replace(&mut queue.rank, rank);
        let is_idle = queue.on_way == 0 && queue.first().is_none();
        if is_idle && (queue.silences == 0 || is_full) {
            self.sites.remove(site);
        }
        if before != rank {
            if let Some(before) = before {
                self.ready.remove(&(before, site.clone()));
            }
            if let Some(rank) = rank {
                self.ready.insert((rank, site.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 4, site: 2 };

    fn site(host: &str) -> Site {
        Site { host: host.into(), family: Family::V4 }
    }

    /// All that get a place now.
    fn go(turns: &mut Turns<&'static str>) -> Vec<(Turn, &'static str)> {
        std::iter::from_fn(|| turns.admit()).collect()
    }

    fn names(went: &[(Turn, &'static str)]) -> Vec<&'static str> {
        went.iter().map(|(_, name)| *name).collect()
    }

    #[test]
    fn downloads_go_before_seeds_and_each_class_in_order() {
        let mut turns = Turns::new(BOUNDS);
        for (class, name) in [
            (Class::Asleep, "asleep"),
            (Class::Seed, "seed"),
            (Class::Download, "first"),
            (Class::Download, "second"),
            (Class::Urgent, "urgent"),
        ] {
            turns.wait(site("a"), class, name);
        }
        let mut went = Vec::new();
        while let Some((turn, name)) = turns.admit() {
            went.push(name);
            turns.leave(&turn);
        }
        assert_eq!(went, ["urgent", "first", "second", "seed", "asleep"]);
        assert!(turns.sites.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn no_site_has_more_than_its_places_nor_all_more_than_theirs() {
        let mut turns = Turns::new(BOUNDS);
        for host in ["a", "b", "c"] {
            for _ in 0..3 {
                turns.wait(site(host), Class::Seed, host);
            }
        }
        let went = go(&mut turns);
        assert_eq!(names(&went), ["a", "b", "c", "a"]);
        turns.leave(&went[0].0);
        turns.leave(&went[1].0);
        assert_eq!(names(&go(&mut turns)), ["b", "a"]);
        turns.leave(&went[2].0);
        assert_eq!(names(&go(&mut turns)), ["c"]);
    }

    #[test]
    fn a_turn_that_is_cancelled_takes_no_place() {
        let mut turns = Turns::new(BOUNDS);
        let first = turns.wait(site("a"), Class::Seed, "first");
        turns.wait(site("a"), Class::Seed, "second");
        assert_eq!(turns.cancel(&first), Some("first"));
        assert_eq!(turns.cancel(&first), None);
        let went = go(&mut turns);
        assert_eq!(names(&went), ["second"]);
        assert_eq!(turns.cancel(&went[0].0), None, "it is on its way");
    }

    #[test]
    fn those_in_the_middle_that_have_gone_leave_all_others_in_order() {
        let mut turns = Turns::new(Bounds { all: 9, site: 9 });
        let all: Vec<Turn> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| turns.wait(site("host"), Class::Seed, name))
            .into();
        for (gone, name) in [(1, "b"), (3, "d"), (2, "c"), (4, "e")] {
            assert_eq!(turns.cancel(&all[gone]), Some(name));
            assert_eq!(turns.cancel(&all[gone]), None);
        }
        assert_eq!(names(&go(&mut turns)), ["a", "f"]);
    }

    #[test]
    fn a_site_that_hangs_holds_up_no_other() {
        let mut turns = Turns::new(Bounds { all: 4, site: 4 });
        for _ in 0..9 {
            turns.wait(site("hangs"), Class::Urgent, "hangs");
        }
        for _ in 0..9 {
            turns.wait(site("works"), Class::Urgent, "works");
        }
        let went = go(&mut turns);
        assert_eq!(names(&went), ["hangs", "works", "hangs", "works"]);
        turns.leave(&went[1].0);
        assert_eq!(names(&go(&mut turns)), ["works"]);
    }

    #[test]
    fn a_site_that_answers_nobody_keeps_nobody_waiting() {
        let mut turns = Turns::new(Bounds { all: 9, site: 8 });
        for _ in 0..20 {
            turns.wait(site("dead"), Class::Seed, "dead");
        }
        let went = go(&mut turns);
        assert_eq!(went.len(), 8);
        let of_use = |turns: &mut Turns<_>, (turn, _): &(Turn, _)| {
            turns.leave(turn);
            turns.on_silence(turn).count()
        };
        let idle: Vec<usize> = went.iter().map(|it| of_use(&mut turns, it)).collect();
        assert_eq!(idle, [0, 0, 0, 12, 0, 0, 0, 0]);
        // From now on one at a time tries it.
        for _ in 0..3 {
            turns.wait(site("dead"), Class::Seed, "dead");
        }
        let went = go(&mut turns);
        assert_eq!(went.len(), 1);
        assert_eq!(of_use(&mut turns, &went[0]), 2);
        for _ in 0..3 {
            turns.wait(site("dead"), Class::Seed, "dead");
        }
        let went = go(&mut turns);
        assert_eq!(went.len(), 1);
        turns.leave(&went[0].0);
        turns.on_answer(&went[0].0);
        assert_eq!(go(&mut turns).len(), 2);
    }

    #[test]
    fn from_elsewhere_all_sites_are_asked_anew() {
        let mut turns = Turns::new(Bounds { all: 9, site: 8 });
        for _ in 0..SILENT_MAX {
            turns.wait(site("away"), Class::Seed, "away");
        }
        for (turn, _) in go(&mut turns) {
            turns.leave(&turn);
            assert_eq!(turns.on_silence(&turn).count(), 0);
        }
        for _ in 0..3 {
            turns.wait(site("away"), Class::Seed, "away");
        }
        assert_eq!(go(&mut turns).len(), 1);
        turns.on_other_way();
        assert_eq!(go(&mut turns).len(), 2);
    }
}

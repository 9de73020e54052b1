//! Who may have a connection to which server, and when: slots for each site, given in turn to
//! the torrents that ask, and connections that are open and of no use at present. How many slots
//! a site has is found by trial; one that says that it is busy is left alone. A pure machine;
//! nothing here knows a socket or HTTP.

mod climb;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::base::ids::InfoHash;
use crate::base::url::Site;

use climb::{Climb, Usage};

/// Connections of all torrents to one site.
const ORIGIN_MAX: usize = 16;
/// Connections to all sites together: each is a socket or two.
const LEASES_MAX: usize = 160;
/// How long a connection is kept that is of no use at present. Servers keep theirs for 5 s (Apache)
/// to 75 s (nginx).
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A site that is busy and does not say for how long is left alone for so long at first, and
/// twice as long each time after, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// How long it is remembered after that how often it was busy.
const MEMORY: Duration = Duration::from_secs(600);
/// What such a wait is made longer by at random, in percent: not all clients come back at once.
const JITTER_PERCENT: u32 = 20;
/// So long after a site was busy it is given no more slots than it had.
const HOLD: Duration = Duration::from_secs(30);

/// A connection that may be used again.
pub(super) trait Open {
    /// What tells whom it leads to.
    type Origin: PartialEq;

    /// Whom it leads to.
    fn origin(&self) -> &Self::Origin;
}

/// Why a site cannot be used at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Busy {
    /// In words for people, `it` being the site.
    pub why: String,
    /// How long it says that it wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<C> {
    /// Whoever holds this ticket gets a slot, and connections that are open, at most one to
    /// each server.
    Grant { ticket: u64, connections: Vec<C> },
    /// Whoever holds this ticket waits for the site, and not for its own torrent.
    Wait { ticket: u64, until: Option<Instant>, why: String },
    /// Whether others want the slots of the site: they are to be given back between two runs.
    Contended { site: Site, is: bool },
}

/// The plan for all sites. `C` is an open connection.
#[derive(Debug)]
pub(super) struct Plan<C> {
    /// Connections of one torrent to one site.
    torrent_max: usize,
    sites: BTreeMap<Site, State<C>>,
    /// Whose each ticket is.
    tickets: BTreeMap<u64, Site>,
    leases: usize,
    /// Sites that hold as many slots give some back, for others that have none.
    gives: Option<usize>,
    outputs: VecDeque<Output<C>>,
    rng: StdRng,
}

/// What is known of one site.
#[derive(Debug)]
struct State<C> {
    /// Among the torrents that hold equally many, those that lack least are served first. As many
    /// as there are links that wait; the brains bound those.
    waiting: VecDeque<Waiting>,
    /// The slots that are given, by ticket.
    held: BTreeMap<u64, Slot>,
    /// Open connections, the one used last at the end.
    idle: VecDeque<(C, Instant)>,
    climb: Climb,
    /// It is busy until then, and why.
    rest: Option<(Instant, String)>,
    /// How often it was busy in a row.
    strikes: u32,
    /// Until then that is remembered.
    remembered_until: Instant,
    is_contended: bool,
}

#[derive(Debug)]
struct Slot {
    torrent: InfoHash,
    /// The site has sent something over it.
    brings: bool,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    torrent: InfoHash,
    /// What its torrent lacked when it asked.
    left_bytes: u64,
    /// What it was told last of the wait.
    told: Option<(Option<Instant>, String)>,
}

impl<C: Open> Plan<C> {
    /// Nothing is known yet; a torrent has at most so many connections to a site.
    pub fn new(torrent_max: usize, seed: u64) -> Self {
        Self {
            torrent_max,
            sites: BTreeMap::new(),
            tickets: BTreeMap::new(),
            leases: 0,
            gives: None,
            outputs: VecDeque::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// A torrent that lacks so many bytes wants a connection. Tickets are never used twice.
    pub fn ask(
        &mut self,
        ticket: u64,
        site: Site,
        (torrent, left_bytes): (InfoHash, u64),
        now: Instant,
    ) {
        self.tickets.insert(ticket, site.clone());
        let state = self.sites.entry(site.clone()).or_insert_with(|| State::new(now));
        state.waiting.push_back(Waiting { ticket, torrent, left_bytes, told: None });
        self.settle(&site);
    }

    /// Whoever holds the ticket is gone, or gives its slot back, with connections that may be used
    /// again.
    pub fn end(&mut self, ticket: u64, connections: Vec<C>, now: Instant) {
        let Some(site) = self.tickets.remove(&ticket) else { return };
        let Some(state) = self.sites.get_mut(&site) else { return };
        state.waiting.retain(|waiting| waiting.ticket != ticket);
        state.idle.extend(connections.into_iter().map(|connection| (connection, now)));
        match state.held.remove(&ticket) {
            Some(_) => self.on_given_back(&site),
            None => self.settle(&site),
        }
    }

    /// The site has sent something to whoever holds the ticket.
    pub fn brings(&mut self, ticket: u64, now: Instant) {
        let Some(site) = self.tickets.get(&ticket).cloned() else { return };
        let Some(state) = self.sites.get_mut(&site) else { return };
        let Some(slot) = state.held.get_mut(&ticket) else { return };
        slot.brings = true;
        state.climb.serves(state.serving(), now);
        self.settle(&site);
    }

    /// Whoever holds the ticket was told, or saw, that the site is busy; returns how long it is
    /// left alone, or none if only this connection is too many. Those who say so while it is left
    /// alone tell nothing new, but perhaps how long.
    pub fn busy(&mut self, ticket: u64, busy: Busy, now: Instant) -> Option<Duration> {
        let site = self.tickets.get(&ticket)?.clone();
        let state = self.sites.get_mut(&site)?;
        if busy.retry_after.is_none() && state.rest.is_none() && state.is_beside(ticket) {
            state.climb.on_limit(state.serving(), now);
            // Who was turned away gives it back; those who are served must not as well.
            state.held.remove(&ticket);
            self.on_given_back(&site);
            return None;
        }
        let is_new = state.rest_until().is_none_or(|until| until <= now);
        if is_new {
            state.climb.on_trouble(now);
            state.strikes = state.strikes.saturating_add(1);
        }
        let wait = match busy.retry_after {
            Some(wait) => wait,
            None => {
                let doubled =
                    BACKOFF.0.saturating_mul(1 << state.strikes.saturating_sub(1).min(10));
                let wait = doubled.min(BACKOFF.1);
                wait + wait * self.rng.random_range(0..=JITTER_PERCENT) / 100
            }
        };
        let until = now + wait;
        if is_new || busy.retry_after.is_some() && state.rest_until() < Some(until) {
            state.rest = Some((until, busy.why));
            state.remembered_until = until + MEMORY;
        }
        let left = state.rest_until().map(|until| until.saturating_duration_since(now));
        self.settle(&site);
        left
    }

    /// What a site has sent in all: bytes, and answers that came to their end.
    pub fn measure(&mut self, site: &Site, bytes: u64, answers: u64, now: Instant) {
        let Some(state) = self.sites.get_mut(site) else { return };
        if answers > state.climb.answers() {
            state.strikes = 0;
        }
        let wants_more = state.next(self.torrent_max).is_some();
        let usage = Usage { connections: state.held.len(), wants_more };
        state.climb.measure(bytes, answers, usage, now);
        self.settle(site);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        for state in self.sites.values_mut() {
            state.idle.retain(|(_, since)| now < *since + IDLE_MAX);
            if state.rest_until().is_some_and(|until| until <= now) {
                state.rest = None;
            }
        }
        self.settle_all();
        self.sites.retain(|_, state| !state.is_idle() || now < state.remembered_until);
    }

    /// Is anything known of the site?
    pub fn knows(&self, site: &Site) -> bool {
        self.sites.contains_key(site)
    }

    /// When `tick` has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let of = |state: &State<C>| {
            let idle = state.idle.front().map(|(_, since)| *since + IDLE_MAX);
            let memory = state.is_idle().then_some(state.remembered_until);
            idle.into_iter().chain(state.rest_until()).chain(memory).min()
        };
        self.sites.values().filter_map(of).min()
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        self.outputs.pop_front()
    }

    /// A slot of this site is free.
    fn on_given_back(&mut self, site: &Site) {
        self.leases -= 1;
        // Others may have waited for one of those that all sites share.
        match self.leases + 1 == LEASES_MAX {
            true => self.settle_all(),
            false => self.settle(site),
        }
    }

    /// Gives what can be given, to sites that have little first.
    fn settle_all(&mut self) {
        let mut sites: Vec<_> =
            self.sites.iter().map(|(site, state)| (state.held.len(), site.clone())).collect();
        sites.sort_unstable();
        let sites: Vec<_> = sites.into_iter().map(|(_, site)| site).collect();
        sites.iter().for_each(|site| self.give(site));
        self.tell(&sites);
    }

    /// Gives what can be given, and tells those who wait why they do.
    fn settle(&mut self, site: &Site) {
        self.give(site);
        self.tell(std::slice::from_ref(site));
    }

    fn give(&mut self, site: &Site) {
        let Some(state) = self.sites.get_mut(site) else { return };
        while self.leases < LEASES_MAX
            && state.rest.is_none()
            && state.held.len() < state.climb.open()
            && let Some(place) = state.next(self.torrent_max)
            && let Some(Waiting { ticket, torrent, .. }) = state.waiting.remove(place)
        {
            state.held.insert(ticket, Slot { torrent, brings: false });
            self.leases += 1;
            let connections = state.take_idle();
            self.outputs.push_back(Output::Grant { ticket, connections });
        }
        while state.idle.len() > state.climb.slots() {
            state.idle.pop_front();
        }
    }

    /// Tells whether slots of these sites are wanted back, and why others wait. While all are taken
    /// that the sites share, and one of them lacks some, those that have most give.
    fn tell(&mut self, sites: &[Site]) {
        let is_full = self.leases >= LEASES_MAX;
        let gives = match is_full && self.sites.values().any(State::lacks_slots) {
            true => self.sites.values().map(|state| state.held.len()).max(),
            false => None,
        };
        if gives != self.gives {
            self.gives = gives;
            for (site, state) in &mut self.sites {
                state.contend(site, gives, &mut self.outputs);
            }
        }
        for site in sites {
            if let Some(state) = self.sites.get_mut(site) {
                state.contend(site, gives, &mut self.outputs);
                state.explain(is_full, &mut self.outputs);
            }
        }
    }
}

impl<C: Open> State<C> {
    fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            held: BTreeMap::new(),
            idle: VecDeque::new(),
            climb: Climb::new(now),
            rest: None,
            strikes: 0,
            remembered_until: now,
            is_contended: false,
        }
    }

    fn is_idle(&self) -> bool {
        let is_unused = self.waiting.is_empty() && self.held.is_empty() && self.idle.is_empty();
        is_unused && self.rest.is_none()
    }

    fn rest_until(&self) -> Option<Instant> {
        self.rest.as_ref().map(|(until, _)| *until)
    }

    fn held_by(&self, torrent: InfoHash) -> usize {
        self.held.values().filter(|slot| slot.torrent == torrent).count()
    }

    /// Connections over which something has come.
    fn serving(&self) -> usize {
        self.held.values().filter(|slot| slot.brings).count()
    }

    /// Has nothing come over this one, while others are served?
    fn is_beside(&self, ticket: u64) -> bool {
        self.held.get(&ticket).is_some_and(|slot| !slot.brings) && self.serving() > 0
    }

    /// Whose turn it is among those who wait: that of the torrent which holds fewest, and fewer
    /// than it may. Of several it is that which lacks least: it is soon done, and makes room.
    fn next(&self, torrent_max: usize) -> Option<usize> {
        let turn = |waiting: &Waiting| (self.held_by(waiting.torrent), waiting.left_bytes);
        let places = self.waiting.iter().map(turn).enumerate();
        let places = places.filter(|(_, (held, _))| *held < torrent_max);
        places.min_by_key(|(_, turn)| *turn).map(|(place, _)| place)
    }

    /// Does a torrent wait that has no connection?
    fn lets_wait(&self) -> bool {
        self.waiting.iter().any(|waiting| self.held_by(waiting.torrent) == 0)
    }

    /// Could it give a slot to such a torrent, if there were one?
    fn lacks_slots(&self) -> bool {
        self.rest.is_none() && self.held.len() < self.climb.open() && self.lets_wait()
    }

    /// The connections used last, one to each server.
    fn take_idle(&mut self) -> Vec<C> {
        let mut taken: Vec<C> = Vec::new();
        let mut left = VecDeque::new();
        while let Some((connection, since)) = self.idle.pop_back() {
            match taken.iter().any(|it| it.origin() == connection.origin()) {
                true => left.push_front((connection, since)),
                false => taken.push(connection),
            }
        }
        self.idle = left;
        taken
    }

    /// Tells whether its slots are wanted back, if that is new; those are that hold as many as
    /// `gives`.
    fn contend(&mut self, site: &Site, gives: Option<usize>, outputs: &mut VecDeque<Output<C>>) {
        let held = self.held.len();
        let is = held > self.climb.slots() || self.lets_wait() || gives == Some(held);
        if is != self.is_contended {
            self.is_contended = is;
            outputs.push_back(Output::Contended { site: site.clone(), is });
        }
    }

    /// Tells those whose torrent has no connection why, as often as that changes.
    fn explain(&mut self, is_full: bool, outputs: &mut VecDeque<Output<C>>) {
        let why = match &self.rest {
            Some((until, why)) => (Some(*until), why.clone()),
            None if is_full => (None, "there are too many connections already".to_owned()),
            None => (None, format!("all {} connections to it are in use", self.held.len())),
        };
        let (held, is_resting) = (&self.held, self.rest.is_some());
        for waiting in &mut self.waiting {
            let is_alone = || held.values().all(|slot| slot.torrent != waiting.torrent);
            if waiting.told.as_ref() != Some(&why) && (is_resting || is_alone()) {
                waiting.told = Some(why.clone());
                let (until, why) = why.clone();
                outputs.push_back(Output::Wait { ticket: waiting.ticket, until, why });
            }
        }
    }
}

#[cfg(test)]
mod tests;

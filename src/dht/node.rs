//! One node of the DHT: takes what comes to the part that it is for, and gives out what they
//! want done. Not here: any of their decisions. `node/ask.rs` begins lookups and sends, `hear.rs`
//! takes datagrams in, `upkeep.rs` keeps the node alive.

mod ask;
mod hear;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::base::addr::{Locality, canonical};
use crate::base::ids::InfoHash;

use super::absent::Absent;
use super::answer::Answers;
use super::candidates::CandidateIndex;
use super::contacts::Contacts;
use super::event::{Config, Contact, Health, Hint, Input, Output, Ticket, Walking};
use super::flights::Flights;
use super::gate::Gate;
use super::id::NodeId;
use super::nets::Family;
use super::reach::Reach;
use super::rouse::Rouse;
use super::saved::Saved;
use super::schedule::{Said, Schedule};
use super::searches::{Cause, Searches};
use super::table::Table;
use super::witness::Witness;
use hear::Rates;
use upkeep::Upkeep;

/// A machine that is woken so much later than it asked for was asleep.
const JUMP: Duration = Duration::from_secs(30);
/// What is due and blocked is looked at again after it.
const BLOCKED: Duration = Duration::from_millis(50);

/// What one of our queries is for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Purpose {
    /// A lookup's next step; no index when it went to an address without a name.
    Walk { search: u32, index: Option<CandidateIndex> },
    /// Something to keep.
    Store { search: u32, index: CandidateIndex },
    /// Whether somebody is there, for us or for people.
    Ping { ticket: Option<Ticket> },
}

/// One node of one family, at one local address.
#[derive(Debug)]
pub struct Node {
    config: Config,
    family: Family,
    rng: StdRng,
    table: Table,
    contacts: Contacts,
    /// Nodes that others named, beside those that answered us: there are ten times as many, and
    /// the nearest of them is so much nearer to any target.
    named: Contacts,
    absent: Absent,
    flights: Flights<Purpose>,
    searches: Searches,
    schedule: Schedule,
    rouse: Rouse,
    reach: Reach,
    gate: Gate,
    witness: Witness,
    answers: Answers,
    upkeep: Upkeep,
    rates: Rates,
    outputs: VecDeque<Output>,
    /// Where messages are written.
    buffer: Vec<u8>,
    /// Our address and port from outside, when a port is mapped.
    mapped: Option<SocketAddr>,
    /// Good nodes of the other family's machine.
    other_good: usize,
    /// Replies since the start or the last change of the network.
    replies: usize,
    /// Sixteen times the bits that the eighth nearest node shares with a target.
    depth: Option<usize>,
    /// When the next announce may begin for which nobody waits.
    next_calm: Instant,
    /// When the gate lets out what it held back.
    gate_opens: Option<Instant>,
    /// When it last did what was due.
    now: Instant,
}

impl Node {
    /// One that begins with what an earlier one of the same family saved, under its id if it had
    /// the same port.
    pub fn new(config: Config, saved: Option<&[u8]>, now: Instant) -> Self {
        let family = Family::of(config.local.ip());
        let mut rng = StdRng::from_seed(config.seed);
        let saved = saved.and_then(|bytes| Saved::read(bytes, family));
        let host = config.local.ip();
        let is_public = Locality::of(host) == Locality::Public;
        let known = if is_public { Some(host) } else { saved.as_ref().and_then(|s| s.made_for) };
        let same = saved.as_ref().filter(|saved| [0, config.local.port()].contains(&saved.port));
        let id = match (same.map(|saved| saved.id), known) {
            (Some(id), None) => id,
            (Some(id), Some(host)) if id.suits(host) => id,
            (_, Some(host)) => NodeId::random_for(host, &mut rng),
            (None, None) => NodeId::random(&mut rng),
        };
        let starts = saved.map(|saved| saved.nodes).unwrap_or_default();
        let mut node = Self {
            family,
            table: Table::new(id, now),
            contacts: Contacts::new(family, now),
            named: Contacts::new(family, now),
            absent: Absent::new(&mut rng, now),
            flights: Flights::default(),
            searches: Searches::default(),
            schedule: Schedule::default(),
            rouse: Rouse::new(starts, now),
            reach: Reach::new(config.read_only, is_public, now),
            gate: Gate::new(config.fresh_flows, &mut rng, now),
            witness: Witness::new(known),
            answers: Answers::new(id, family, &mut rng, now),
            upkeep: Upkeep::new(now),
            rates: Rates::new(now),
            outputs: VecDeque::new(),
            buffer: Vec::new(),
            mapped: None,
            other_good: 0,
            replies: 0,
            depth: None,
            next_calm: now,
            gate_opens: None,
            now,
            rng,
            config,
        };
        node.drive(now);
        node
    }

    /// Takes in one fact. Effects wait in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        let may_oversleep = now > self.now + JUMP && !matches!(input, Input::Changed { .. });
        if may_oversleep && self.next_timeout().is_some_and(|due| now > due + JUMP) {
            self.now = now;
            self.on_changed(now);
        }
        if let Input::Datagram { from, bytes } = input
            && !self.on_datagram(from, bytes, now)
            && self.next_timeout().is_none_or(|due| due > now)
        {
            // Nothing follows, and no timer starts anew: a flood would delay all for ever.
            return;
        }
        self.now = now;
        match input {
            Input::Datagram { .. } | Input::Wake => {}
            Input::Refused { to } => self.on_refused(canonical(to), now),
            Input::Find { ticket, hash, haste } => {
                self.question(hash.into(), Cause::Find(ticket, haste), now);
            }
            Input::Announce { hash, port, implied, seed, haste } => {
                self.on_said(hash, Said { port: Some(port), implied, seed, haste }, now);
            }
            Input::Seek { hash, seed, haste } => {
                self.on_said(hash, Said { port: None, implied: false, seed, haste }, now);
            }
            Input::Forget { hash } => self.on_forget(hash),
            Input::Hinted { address, by } => self.on_hinted(address, by, now),
            Input::Ping { ticket, address } => self.on_ping(ticket, canonical(address), now),
            Input::Get { ticket, target, salt } => {
                self.question(target, Cause::Get(ticket, salt), now);
            }
            Input::Put { ticket, item } => self.on_put(ticket, item, now),
            Input::Scrape { ticket, hash } => {
                self.question(hash.into(), Cause::Scrape(ticket), now);
            }
            Input::Changed { .. } => self.on_changed(now),
            Input::Mapped { address } => {
                self.mapped = address;
                self.reach.set_open(self.is_open());
            }
            Input::Other { good } => self.other_good = good,
        }
        self.drive(now);
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Wake`], if nothing else comes before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let searches = self.searches.next_timeout(self.now);
        let times = [
            self.flights.next_timeout(),
            searches,
            self.next_attempt(),
            self.next_announce(),
            self.gate_opens,
            self.table.next_timeout(),
            Some(self.upkeep.next_timeout()),
        ];
        // What is due by now waits for something else: a place, or the gate.
        let blocked = self.now + BLOCKED;
        let later = |time: Instant| if time <= self.now { blocked } else { time };
        times.into_iter().flatten().map(later).min()
    }

    /// How it fares, for people.
    pub fn health(&self, now: Instant) -> Health {
        Health {
            id: self.table.own(),
            good: self.table.good(),
            known: self.table.known(),
            hints: self.rouse.waiting(),
            lookups: self.searches.count(),
            asked: self.flights.count(),
            announced: self.schedule.announced(),
            late: self.schedule.late(now),
            stored: self.answers.stored(),
            rates: self.rates.last(now),
            public: self.witness.agreed(),
            read_only: self.reach.is_read_only(now),
            silent: self.rouse.silent(now),
        }
    }

    /// The nodes of the table, for people.
    pub fn contacts(&self, now: Instant) -> Vec<Contact> {
        self.table.contacts(now)
    }

    /// What each lookup waits for, for people.
    pub fn lookups(&self, now: Instant) -> Vec<Walking> {
        self.searches.iter().map(|search| search.show(now)).collect()
    }

    /// Panics when one of the things does not hold that always must.
    pub fn check_invariants(&self, now: Instant) {
        self.table.check_invariants();
        self.schedule.check_invariants();
        self.searches.check_invariants(now);
        self.answers.check_invariants();
        assert!(self.flights.count() <= super::flights::PENDING_MAX, "too many queries");
        assert!(self.outputs.len() <= 4_096, "nobody takes the outputs");
        for output in &self.outputs {
            if let Output::Send { bytes, .. } = output {
                assert!(bytes.len() <= super::message::MESSAGE_LEN_MAX, "a long datagram");
            }
        }
    }

    /// Whether a datagram of ours may go there at all.
    fn is_reachable(&self, address: SocketAddr) -> bool {
        let is_host = Locality::of(address.ip()) != Locality::Unroutable;
        is_host && address.port() > 1 && self.is_ours(address)
    }

    /// Where we ourselves are, as far as we know: others name us, too.
    fn selves(&self) -> [Option<SocketAddr>; 3] {
        let seen = self.witness.agreed().map(|ip| SocketAddr::new(ip, self.config.local.port()));
        [Some(self.config.local), self.mapped, seen]
    }

    fn is_open(&self) -> bool {
        self.mapped.is_some() || Locality::of(self.config.local.ip()) == Locality::Public
    }

    /// A torrent is announced, or looked for, from now on.
    fn on_said(&mut self, hash: InfoHash, said: Said, now: Instant) {
        self.schedule.announce(hash, said, now);
        self.on_schedule();
    }

    /// The more torrents, the more nodes are worth remembering.
    fn on_schedule(&mut self) {
        self.contacts.set_torrents(self.schedule.count());
        self.absent.set_torrents(self.schedule.count());
    }

    fn on_forget(&mut self, hash: InfoHash) {
        self.schedule.forget(hash);
        self.on_schedule();
        for (ticket, tally) in self.searches.forget(hash.into()) {
            self.outputs.push_back(Output::Ended { ticket, tally });
        }
    }

    fn on_hinted(&mut self, address: SocketAddr, by: Hint, now: Instant) {
        let address = canonical(address);
        let is_usable = self.is_reachable(address) && !self.selves().contains(&Some(address));
        if !is_usable || !self.rouse.hint(address, by, now) {
            return;
        }
        if by != Hint::Router {
            self.searches.iter_mut().for_each(|search| search.lookup.hint(address));
        }
    }
}

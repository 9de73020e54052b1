//! Beginning lookups, sending their queries, and telling how they went.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::ids::InfoHash;

use super::super::candidates::{CandidateIndex, State, Stored};
use super::super::compact::NodeInfo;
use super::super::contacts::Start;
use super::super::event::{Haste, Output, Tally, Ticket};
use super::super::flights::{Flight, Late};
use super::super::id::NodeId;
use super::super::items::Item;
use super::super::lookup::{Ask, Lookup, NEAREST, Plan, STARTS};
use super::super::message::{Method, Query, Want};
use super::super::nets::Family;
use super::super::schedule::{Outcome, Said};
use super::super::searches::{Cause, Search};
use super::{Node, Purpose};

/// Starts of a lookup from nothing.
const STARTS_COLD: usize = 64;
/// Starts that were only named by others.
const NAMED_STARTS: usize = 8;
/// Addresses without a name that one lookup begins with.
const UNNAMED: usize = 32;
/// Ours ask for nodes of the other family while its machine has fewer good ones.
const OTHER_FEW: usize = 8;
/// Datagrams a second of all announces for which nobody waits.
const CALM_PER_S: u32 = 118;
/// What one of them is taken to cost until it is over. Repeated ones do; first ones take some 23,
/// so that 10,000 have their first turn within 33 minutes.
const CALM_COST: u32 = 20;
/// A query for which nobody waits takes long after this time.
const CALM_STALL: Duration = Duration::from_secs(1);
/// With as many queries under way as there may be: after it some have ended.
const CROWDED: Duration = Duration::from_millis(50);
/// How far a new depth moves what is believed: one sixteenth.
const DEPTH_WEIGHT: usize = 16;

/// What became of a query that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// It is on its way, under this transaction id.
    Yes([u8; 4]),
    /// This host must not be asked before.
    HostLater(Instant),
    /// No fresh address must be spoken to before, or too many queries are under way.
    Later(Instant),
}

/// What came of trying to send for a lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// One query left, or must wait for its host; there may be another.
    Sent,
    /// There is nothing to send.
    Idle,
    /// There is, and it must not leave now.
    Blocked,
}

impl Node {
    /// Does all that can be done now.
    pub(super) fn drive(&mut self, now: Instant) {
        self.gate_opens = None;
        self.take_late(now);
        self.keep_up(now);
        loop {
            self.begin_all(now);
            let mut is_any_over = false;
            for key in self.searches.in_turn(now) {
                let step = loop {
                    let step = self.step(key, now);
                    if step != Step::Sent {
                        break step;
                    }
                };
                is_any_over |= self.settle(key, now);
                if step == Step::Idle {
                    self.with_search(key, |search| search.lookup.looked_at());
                }
            }
            // A free place is somebody's.
            if !is_any_over {
                break;
            }
        }
    }

    /// A question of somebody, who hears of its end whatever comes.
    pub(super) fn question(&mut self, target: NodeId, cause: Cause, now: Instant) {
        let ticket = cause.ticket();
        if !self.searches.ask(target, cause, now)
            && let Some(ticket) = ticket
        {
            self.outputs.push_back(Output::Ended { ticket, tally: Tally::default() });
        }
    }

    /// Somebody wants to know whether one node is there.
    pub(super) fn on_ping(&mut self, ticket: Ticket, address: SocketAddr, now: Instant) {
        let purpose = Purpose::Ping { ticket: Some(ticket) };
        let method = Method::Ping;
        let is_sent = self.is_reachable(address)
            && matches!(
                self.send(address, None, purpose, method, Haste::Urgent, now),
                Sent::Yes(_)
            );
        if !is_sent {
            self.outputs.push_back(Output::Ended { ticket, tally: Tally::default() });
        }
    }

    /// Somebody wants an item kept.
    pub(super) fn on_put(&mut self, ticket: Ticket, item: Item, now: Instant) {
        self.question(item.target(), Cause::Put(ticket, item), now);
    }

    /// Sends a query, if the gate lets it out.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        expected: Option<NodeId>,
        purpose: Purpose,
        method: Method<'_>,
        haste: Haste,
        now: Instant,
    ) -> Sent {
        if let Err(at) = self.gate.ask(to, haste, now) {
            self.gate_opens = Some(self.gate_opens.map_or(at, |known| known.min(at)));
            let is_budget = self.gate.next_flow(haste, now) > now;
            return if is_budget { Sent::Later(at) } else { Sent::HostLater(at) };
        }
        let Some(tid) = self.flights.start(to, expected, purpose, now, &mut self.rng) else {
            return Sent::Later(now + CROWDED);
        };
        self.write(tid, to, method, now);
        Sent::Yes(tid)
    }

    /// Sends a query once more that got no answer; false when that was done, or must not be now.
    fn resend(
        &mut self,
        tid: [u8; 4],
        to: SocketAddr,
        method: Method<'_>,
        haste: Haste,
        now: Instant,
    ) -> bool {
        let leaves = !self.rouse.is_dead()
            && self.gate.ask(to, haste, now).is_ok()
            && self.flights.repeat(tid, now);
        if leaves {
            self.write(tid, to, method, now);
        }
        leaves
    }

    /// Puts a query among the outputs.
    fn write(&mut self, tid: [u8; 4], to: SocketAddr, method: Method<'_>, now: Instant) {
        let both = Want { v4: true, v6: true };
        let want = if self.other_good < OTHER_FEW { both } else { Want::default() };
        let (id, read_only) = (self.table.own(), self.reach.is_read_only(now));
        self.buffer.clear();
        Query { id, read_only, want, method }.write(&tid, &mut self.buffer);
        self.outputs.push_back(Output::Send { to, bytes: self.buffer.clone() });
        self.reach.spoke_to(to.ip(), now);
        self.rouse.asked(now);
        self.rates.sent(now);
    }

    /// An attempt to start: our own neighbours are looked for, from all that is known.
    pub(super) fn begin_boot(&mut self, now: Instant) {
        self.rouse.begin(now);
        let boots = self.searches.iter().filter(|search| search.cause == Cause::Boot);
        let old: Vec<u32> = boots.map(|search| search.key).collect();
        old.into_iter().for_each(|key| drop(self.searches.remove(key)));
        self.begin(self.table.own(), Cause::Boot, Vec::new(), now, now);
    }

    /// Whether a lookup has anybody to begin with.
    pub(super) fn has_starts(&self) -> bool {
        self.rouse.waiting() > 0 || self.table.known() > 0 || self.contacts.count() > 0
    }

    /// When an announce is due, if one may begin.
    pub(super) fn next_announce(&self) -> Option<Instant> {
        if !self.has_starts() || self.rouse.is_dead() {
            return None;
        }
        match (self.searches.has_place(), self.searches.has_calm_place()) {
            (true, true) => self.schedule.next_timeout(self.now),
            (true, false) => self.schedule.next_urgent(),
            _ => None,
        }
    }

    /// Queries that became late.
    fn take_late(&mut self, now: Instant) {
        while let Some(late) = self.flights.poll(now) {
            match late {
                Late::Stalled(flight) => {
                    let is_first = match flight.purpose {
                        Purpose::Walk { search, index } => {
                            self.on_walk_late(&flight, search, index, now)
                        }
                        Purpose::Store { search, index } => {
                            self.on_store_late(&flight, search, index, now)
                        }
                        Purpose::Ping { .. } => true,
                    };
                    if is_first {
                        self.rouse.stalled(flight.sent);
                    }
                }
                Late::Lost(flight) => {
                    let counts = self.rouse.lost(flight.to, flight.sent);
                    self.on_lost(flight, counts, now);
                }
            }
        }
    }

    /// A node takes long; whether that is so for the first time. Where nobody waits it is given
    /// more time: another one asked in its place is mostly asked in vain.
    fn on_walk_late(
        &mut self,
        flight: &Flight<Purpose>,
        key: u32,
        index: Option<CandidateIndex>,
        now: Instant,
    ) -> bool {
        let Some(search) = self.searches.find(key) else { return !flight.is_repeated };
        let is_calm = search.cause.haste() == Haste::Background;
        let enough = flight.sent + CALM_STALL;
        if is_calm && !flight.is_repeated && now < enough {
            self.flights.postpone(flight.tid, enough);
            return false;
        }
        search.lookup.stalled(index);
        !flight.is_repeated
    }

    /// Nobody said that something is kept: it is sent once more, when the node has had twice the
    /// time of its last answer, and then it takes long. Whether that is so for the first time.
    fn on_store_late(
        &mut self,
        flight: &Flight<Purpose>,
        key: u32,
        index: CandidateIndex,
        now: Instant,
    ) -> bool {
        let Some(search) = self.searches.find(key) else { return !flight.is_repeated };
        let candidate = search.lookup.candidates().at(index);
        let enough = flight.sent + 2 * candidate.round_trip.unwrap_or_default();
        if !flight.is_repeated && now < enough {
            self.flights.postpone(flight.tid, enough);
            return false;
        }
        let token = candidate.token.clone().unwrap_or_default();
        let (target, cause) = (search.target, search.cause.clone());
        let method = cause.store(target, &token).filter(|_| !flight.is_repeated);
        let resend = |method| self.resend(flight.tid, flight.to, method, cause.haste(), now);
        if !method.is_some_and(resend) {
            self.with_search(key, |search| search.lookup.set_stored(index, Stored::Stalled));
        }
        !flight.is_repeated
    }

    /// Begins what may begin.
    fn begin_all(&mut self, now: Instant) {
        while let Some(cause) = self.searches.next_overdue(now) {
            if let Some(ticket) = cause.ticket() {
                self.outputs.push_back(Output::Ended { ticket, tally: Tally::default() });
            }
        }
        while let Some(question) = self.searches.next_waiting() {
            let nobody = Vec::new();
            self.begin(question.target, question.cause, nobody, question.since, now);
        }
        while self.next_announce().is_some_and(|due| due <= now) {
            let calm = self.searches.has_calm_place();
            let gate_opens = self.gate.next_flow(Haste::Background, now).max(self.next_calm);
            let is_calm = calm && gate_opens <= now;
            let Some(hash) = self.schedule.next(is_calm, now) else {
                if calm && gate_opens > now {
                    self.gate_opens =
                        Some(self.gate_opens.map_or(gate_opens, |at| at.min(gate_opens)));
                }
                break;
            };
            if let Some((said, nodes)) = self.schedule.begin(hash) {
                if said.haste == Haste::Background {
                    self.next_calm = self.next_calm.max(now) + calm_time(CALM_COST);
                }
                self.begin(hash.into(), Cause::Announce(said), nodes, now, now);
            }
        }
        self.searches.widen();
    }

    /// Begins one lookup, which was asked for at `since`.
    pub(super) fn begin(
        &mut self,
        target: NodeId,
        cause: Cause,
        remembered: Vec<NodeInfo>,
        since: Instant,
        now: Instant,
    ) {
        let is_urgent = cause.haste() == Haste::Urgent;
        let is_boot = cause == Cause::Boot;
        // Few replies since the network changed: nobody knows which nodes live.
        let is_cold = is_boot || (is_urgent && self.replies < NEAREST);
        let mut starts = self.starts(&target, remembered, is_cold, now);
        if is_urgent {
            self.add_named(&target, &mut starts, now);
        }
        let unnamed = if is_cold || starts.len() < NEAREST {
            self.rouse.unnamed(UNNAMED)
        } else {
            Vec::new()
        };
        let plan = Plan {
            target,
            stores: cause.stores(),
            is_wide: is_boot || (is_urgent && self.searches.has_wide_place()),
            is_cold,
            depth: self.depth.map(|depth| depth / DEPTH_WEIGHT),
            expects_suited: self.expects_suited(),
            repeats_unknown: is_urgent,
        };
        let lookup = Lookup::new(plan, &starts, unnamed, since);
        let key = self.searches.begin(target, cause, lookup);
        self.give_own_peers(key);
    }

    /// What others announced to us is found before anybody is asked. It may be old, and the
    /// lookup goes on as if it were nothing.
    fn give_own_peers(&mut self, key: u32) {
        let Some(search) = self.searches.find(key) else { return };
        let noseed = match &search.cause {
            Cause::Find(..) => false,
            Cause::Announce(said) => said.seed,
            _ => return,
        };
        let (hash, ticket) = (InfoHash(search.target.0), search.cause.ticket());
        let known = self.answers.own_peers(hash, noseed, &mut self.rng);
        let peers: Vec<SocketAddr> = known.filter(|peer| search.is_new_peer(*peer)).collect();
        if !peers.is_empty() {
            self.outputs.push_back(Output::Peers { hash, peers, ticket });
        }
    }

    /// Where a lookup begins: nodes that keep its last announce, those that answered lately,
    /// the table's, and those of `dht.dat`.
    fn starts(
        &self,
        target: &NodeId,
        remembered: Vec<NodeInfo>,
        is_cold: bool,
        now: Instant,
    ) -> Vec<Start> {
        let count = if is_cold { STARTS_COLD } else { STARTS };
        let as_start = |node| Start::new(node, None);
        let mut found: Vec<Start> = Vec::new();
        self.contacts.nearest(target, count, now, &mut found);
        let of_table = self.table.closest::<STARTS>(target, |_| true);
        let of_table = of_table.iter().map(|entry| Start::new(entry.info(), entry.round_trip()));
        found.extend(of_table);
        found.extend(remembered.into_iter().map(as_start));
        if is_cold || found.len() < STARTS {
            self.rouse.nearest_saved(target, count, &mut found);
        }
        let mut starts: Vec<Start> = Vec::with_capacity(found.len());
        for mut start in found {
            start.is_absent = self.absent.contains(start.node.address, now);
            let is_known = |known: &Start| known.node.id == start.node.id;
            if start.node.id != self.table.own() && !starts.iter().any(is_known) {
                starts.push(start);
            }
        }
        starts
    }

    /// The nearest of those that others named: half of them are dead, and the others are nearer
    /// than whoever answered us. Who waits for nothing does not ask the dead.
    fn add_named(&self, target: &NodeId, starts: &mut Vec<Start>, now: Instant) {
        let mut found = Vec::new();
        self.named.nearest(target, NAMED_STARTS, now, &mut found);
        for start in found {
            let is_known = |known: &Start| known.node.id == start.node.id;
            let is_absent = self.absent.contains(start.node.address, now);
            if !is_absent && start.node.id != self.table.own() && !starts.iter().any(is_known) {
                starts.push(start);
            }
        }
    }

    /// Whether most nodes of the table have ids that suit their addresses.
    fn expects_suited(&self) -> bool {
        let (mut all, mut suited) = (0, 0);
        for entry in self.table.entries() {
            (all, suited) = (all + 1, suited + usize::from(entry.suits()));
        }
        all >= NEAREST && suited * 2 > all
    }

    /// Sends one query of a lookup.
    fn step(&mut self, key: u32, now: Instant) -> Step {
        let is_dead = self.rouse.is_dead();
        let Some(search) = self.searches.find(key) else { return Step::Idle };
        // Nobody answers: whom we ask now would only be taken for dead.
        if is_dead && !search.lookup.is_blind() {
            return Step::Blocked;
        }
        match search.lookup.next_ask(now) {
            Some(ask) => self.step_walk(key, ask, now),
            None => self.step_store(key, now),
        }
    }

    fn step_walk(&mut self, key: u32, ask: Ask, now: Instant) -> Step {
        let Some(search) = self.searches.find(key) else { return Step::Idle };
        let haste = search.cause.haste();
        let method = search.method();
        let (to, expected, index) = match ask {
            Ask::Node(index, node) => (node.address, Some(node.id), Some(index)),
            Ask::Address(address) => (address, None, None),
            Ask::Again(index, node) => {
                let tid = search.lookup.candidates().at(index).tid;
                search.lookup.asked(ask, tid);
                self.resend(tid, node.address, method, haste, now);
                return Step::Sent;
            }
        };
        let purpose = Purpose::Walk { search: key, index };
        let sent = self.send(to, expected, purpose, method, haste, now);
        self.with_search(key, |search| match sent {
            Sent::Yes(tid) => search.lookup.asked(ask, tid),
            Sent::HostLater(at) => search.lookup.hold(ask, at),
            Sent::Later(at) => search.rests_until = Some(at),
        });
        if matches!(sent, Sent::Later(_)) { Step::Blocked } else { Step::Sent }
    }

    fn step_store(&mut self, key: u32, now: Instant) -> Step {
        let Some(search) = self.searches.find(key) else { return Step::Idle };
        let haste = search.cause.haste();
        let Some((index, candidate)) = search.lookup.next_store() else { return Step::Idle };
        let (node, token) = (candidate.node, candidate.token.clone().unwrap_or_default());
        let cause = search.cause.clone();
        let Some(method) = cause.store(search.target, &token) else { return Step::Idle };
        let purpose = Purpose::Store { search: key, index };
        let sent = self.send(node.address, Some(node.id), purpose, method, haste, now);
        self.with_search(key, |search| match sent {
            Sent::Yes(_) => search.lookup.set_stored(index, Stored::Sent),
            Sent::HostLater(at) => search.lookup.hold_store(index, at),
            Sent::Later(at) => search.rests_until = Some(at),
        });
        if matches!(sent, Sent::Later(_)) { Step::Blocked } else { Step::Sent }
    }

    /// Tells of a lookup that is done and takes it out when it is over; whether a place is free.
    fn settle(&mut self, key: u32, now: Instant) -> bool {
        let Some(search) = self.searches.find(key) else { return false };
        if !search.lookup.is_done(now) {
            return false;
        }
        let was_told = search.is_told;
        self.tell(key, now);
        let is_over = self.searches.find(key).is_some_and(|s| s.lookup.is_finished(now));
        let key = if is_over { Some(key) } else { self.searches.next_lingering() };
        if let Some(search) = key.and_then(|key| self.searches.remove(key)) {
            self.remember(&search);
            self.settle_cost(&search);
        }
        !was_told
    }

    /// Tells how a lookup went, once.
    fn tell(&mut self, key: u32, now: Instant) {
        let Some(search) = self.searches.find(key) else { return };
        if search.is_told {
            return;
        }
        search.is_told = true;
        let (tally, depth) = (search.tally(), search.lookup.depth());
        let (cause, target) = (search.cause.clone(), search.target);
        if let Some(depth) = depth {
            let known = self.depth.unwrap_or(depth * DEPTH_WEIGHT);
            self.depth = Some(known - known / DEPTH_WEIGHT + depth);
        }
        match cause {
            Cause::Announce(said) => {
                let hash = InfoHash(target.0);
                let outcome = Outcome { stored: tally.stored, has_peers: tally.peers > 0 };
                let again = self.schedule.done(hash, outcome, now, &mut self.rng);
                if let Some(again) = again.filter(|_| said.port.is_some()) {
                    self.outputs.push_back(Output::Announced { hash, nodes: tally.stored, again });
                }
            }
            Cause::Boot if tally.answered > 0 => self.rouse.succeeded(now),
            Cause::Boot | Cause::Refresh => {}
            Cause::Find(ticket, _)
            | Cause::Get(ticket, _)
            | Cause::Put(ticket, _)
            | Cause::Scrape(ticket) => self.outputs.push_back(Output::Ended { ticket, tally }),
        }
    }

    /// Remembers where an announce is kept, for the next.
    fn remember(&mut self, search: &Search) {
        if !matches!(search.cause, Cause::Announce(_)) {
            return;
        }
        let keeps = |stored| matches!(stored, Stored::Taken | Stored::Sent | Stored::Stalled);
        let nodes = search.lookup.candidates().iter().map(|(_, candidate)| candidate);
        let nodes = nodes.filter(|c| c.state == State::Answered && keeps(c.stored));
        self.schedule.remember(InfoHash(search.target.0), nodes.map(|candidate| candidate.node));
    }

    /// What an announce cost more or less than it was taken for is the next ones' loss or gain.
    fn settle_cost(&mut self, search: &Search) {
        let is_calm = |said: &Said| said.haste == Haste::Background;
        if !matches!(&search.cause, Cause::Announce(said) if is_calm(said)) {
            return;
        }
        let cost = u32::try_from(search.lookup.counts().0).unwrap_or(u32::MAX);
        let gain = calm_time(CALM_COST.saturating_sub(cost));
        let paid = self.next_calm + calm_time(cost.saturating_sub(CALM_COST));
        self.next_calm = paid.checked_sub(gain).unwrap_or(paid);
    }

    /// Does something to a lookup that may be over.
    pub(super) fn with_search(&mut self, key: u32, act: impl FnOnce(&mut Search)) {
        if let Some(search) = self.searches.find(key) {
            act(search);
        }
    }

    /// The other family's nodes are wanted for its machine.
    pub(super) fn wants_others(&self) -> bool {
        self.other_good < OTHER_FEW
    }

    /// Our family.
    pub(super) fn is_ours(&self, address: SocketAddr) -> bool {
        Family::of(address.ip()) == self.family
    }
}

/// In what time so many datagrams may leave for announces for which nobody waits.
fn calm_time(datagrams: u32) -> Duration {
    Duration::from_secs(1) * datagrams / CALM_PER_S
}

impl Cause {
    /// What a node is given to keep.
    fn store<'a>(&'a self, target: NodeId, token: &'a [u8]) -> Option<Method<'a>> {
        match self {
            Self::Announce(said) => Some(Method::AnnouncePeer {
                hash: InfoHash(target.0),
                port: said.port?,
                implied: said.implied,
                seed: said.seed,
                token,
            }),
            Self::Put(_, item) => Some(Method::Put { token, item: item.view(), cas: None }),
            _ => None,
        }
    }
}

impl Search {
    /// What it asks on its way. `get_peers` for all that has no method of its own:
    /// anacrolix's answers to `find_node` are wrong.
    fn method(&self) -> Method<'static> {
        let hash = InfoHash(self.target.0);
        match &self.cause {
            Cause::Get(..) | Cause::Put(..) => Method::Get { target: self.target, seq: None },
            Cause::Scrape(_) => Method::GetPeers { hash, noseed: false, scrape: true },
            Cause::Announce(said) => Method::GetPeers { hash, noseed: said.seed, scrape: false },
            _ => Method::GetPeers { hash, noseed: false, scrape: false },
        }
    }
}

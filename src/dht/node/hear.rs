//! What comes in: queries go to who answers, replies to what asked, and each reply tells of the
//! line, of its sender and of our own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::answer::{Around, Asked, Outcome};
use super::super::bloom::Bloom;
use super::super::candidates::{Named, Stored};
use super::super::compact::NodeInfo;
use super::super::contacts::Start;
use super::super::event::{Haste, Output, Tally};
use super::super::flights::Flight;
use super::super::id::NodeId;
use super::super::items::Item;
use super::super::lookup::{Answer, NEAREST};
use super::super::message::{Body, ItemView, Message, Method, Reply};
use super::super::nets::{Family, is_exempt, is_usable_node};
use super::super::rouse::ENOUGH;
use super::super::schedule::Said;
use super::super::searches::{Cause, Search};
use super::{Node, Purpose};
use crate::base::addr::canonical;
use crate::base::ids::InfoHash;

/// Outputs that nobody took, at which queries are not answered any more: ours come first.
const OUTPUTS_MAX: usize = 1_024;
/// Peers that are taken from one reply: libtorrent sends at most 100, and who sends more wants
/// to be all that we know.
const PEERS_USED: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

impl Node {
    /// Takes a datagram; whether anything but an answer to it may follow.
    pub(super) fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        self.rates.received(now);
        let from = canonical(from);
        let message = Message::decode(bytes);
        match message {
            Ok(Message { body: Body::Reply(reply), .. }) => match message {
                Ok(message) => self.on_reply(from, &message, &reply, now),
                Err(_) => false,
            },
            Ok(Message { body: Body::Error(_), transaction, .. }) => {
                self.on_error(from, transaction, now)
            }
            Ok(Message { body: Body::Query(_), .. }) | Err(_) => {
                self.on_query(Asked { message, len: bytes.len(), from }, now);
                false
            }
        }
    }

    /// Somebody wants something.
    fn on_query(&mut self, asked: Asked<'_>, now: Instant) {
        // "It no longer responds to 'query' messages" (BEP 43): so wants the user, who pays for
        // each datagram. Where nobody has only proved yet that we are reached, who asks does so:
        // such queries are answered, or a net of nodes behind translators would fall silent.
        if self.config.read_only || self.outputs.len() >= OUTPUTS_MAX {
            return;
        }
        let own_peer = self.own_peer(&asked);
        let (table, gate, rng) = (&self.table, &mut self.gate, &mut self.rng);
        let around = Around { table, own_peer, gate, rng, now };
        let outcome = self.answers.answer(&asked, around, &mut self.buffer);
        if !self.buffer.is_empty() {
            self.rates.sent(now);
            self.outputs.push_back(Output::Send { to: asked.from, bytes: self.buffer.clone() });
        }
        if let Ok(Message { body: Body::Query(query), .. }) = asked.message
            && outcome == Outcome::Answered
        {
            self.reach.asked_by(asked.from.ip(), now);
            // "remove/don't add read-only nodes" (BEP 43): nobody could ask it anything.
            if !query.read_only {
                let is_new = self.table.heard(NodeInfo { id: query.id, address: asked.from }, now);
                if is_new && self.table.has_few(ENOUGH) {
                    self.greet(asked.from, now);
                }
            }
            if let Method::AnnouncePeer { hash, port, implied, .. } = query.method {
                let port = if implied { asked.from.port() } else { port };
                self.on_announced(hash, SocketAddr::new(asked.from.ip(), port));
            }
        }
    }

    /// Where we are a peer of the torrent that somebody asks for. It is said where fewer nodes are
    /// known than keep an announce: who asks may be the only other one, and keep nothing.
    fn own_peer(&self, asked: &Asked<'_>) -> Option<SocketAddr> {
        let Ok(Message { body: Body::Query(query), .. }) = asked.message else { return None };
        let Method::GetPeers { hash, noseed, .. } = query.method else { return None };
        if !self.table.has_few(NEAREST) {
            return None;
        }
        let said = self.schedule.said(hash).filter(|said| !(noseed && said.seed))?;
        let asker = asked.from.ip();
        // Whoever is on this machine reaches us here, wherever others do.
        let host: IpAddr = match asker {
            IpAddr::V4(_) if is_exempt(asker) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) if is_exempt(asker) => Ipv6Addr::LOCALHOST.into(),
            _ => {
                let known = self.selves().into_iter().flatten().map(|own| own.ip());
                { known }.find(|ip| !ip.is_unspecified())?
            }
        };
        let own = SocketAddr::new(host, said.port?);
        is_usable_node(own, asker).then_some(own)
    }

    /// Somebody whom we do not know speaks to us while we know next to nobody: whether it answers
    /// is found out at once, or a node to which others come would wait for them a minute and more.
    fn greet(&mut self, address: SocketAddr, now: Instant) {
        if self.is_reachable(address) && !self.selves().contains(&Some(address)) {
            let purpose = Purpose::Ping { ticket: None };
            self.send(address, None, purpose, Method::Ping, Haste::Background, now);
        }
    }

    /// Somebody had us keep that he has a torrent: if it is one that we look for, he is found.
    fn on_announced(&mut self, hash: InfoHash, peer: SocketAddr) {
        let selves = self.selves();
        if !is_usable_node(peer, peer.ip()) || selves.contains(&Some(peer)) {
            return;
        }
        let peers = vec![peer];
        let mut is_looked_for = false;
        for search in self.searches.iter_mut().filter(|search| !search.is_told) {
            let is_its = search.target == hash.into()
                && matches!(search.cause, Cause::Find(..) | Cause::Announce(_));
            if is_its {
                is_looked_for |= matches!(search.cause, Cause::Announce(_));
                if search.is_new_peer(peer) {
                    search.lookup.found_peers();
                    let (peers, ticket) = (peers.clone(), search.cause.ticket());
                    self.outputs.push_back(Output::Peers { hash, peers, ticket });
                }
            }
        }
        let waits = |said: Said| said.haste == Haste::Urgent;
        if !is_looked_for && self.schedule.said(hash).is_some_and(waits) {
            self.outputs.push_back(Output::Peers { hash, peers, ticket: None });
        }
    }

    /// The system says that nobody listens there.
    pub(super) fn on_refused(&mut self, to: SocketAddr, now: Instant) {
        if let Some(flight) = self.flights.refused(to) {
            // Somebody on the way answered, so it is not the line.
            self.on_lost(flight, true, now);
        }
    }

    /// No reply to a query will be taken; whether that tells anything of its receiver.
    pub(super) fn on_lost(&mut self, flight: Flight<Purpose>, counts: bool, now: Instant) {
        self.table.failed(flight.to, !counts);
        if counts {
            let failed = |id| {
                let node = NodeInfo { id, address: flight.to };
                self.named.failed(&node);
                self.contacts.failed(&node)
            };
            // Whoever answered lately may have lost a datagram: it is believed once more. Of whom
            // only others speak half are dead, and would be asked in vain at each announce.
            let was_alive = flight.expected.is_some_and(failed);
            let times = if was_alive { usize::from(flight.is_repeated) } else { 2 };
            (0..times).for_each(|_| self.absent.failed(flight.to, now));
        }
        self.fail(flight);
    }

    /// The network is another one: what is under way is void, and all begins again from what is
    /// known, of which nothing is forgotten.
    pub(super) fn on_changed(&mut self, now: Instant) {
        for flight in self.flights.clear() {
            if let Purpose::Ping { ticket: Some(ticket) } = flight.purpose {
                self.outputs.push_back(Output::Ended { ticket, tally: Tally::default() });
            }
        }
        self.replies = 0;
        self.absent.clear();
        self.searches.iter_mut().for_each(|search| search.lookup.restart());
        self.rouse.changed(now);
        self.reach.changed(now);
        self.witness.network_changed();
        self.schedule.changed(now);
        let bytes = self.save(now);
        self.outputs.push_back(Output::Save { bytes });
    }

    fn on_reply(
        &mut self,
        from: SocketAddr,
        message: &Message<'_>,
        reply: &Reply<'_>,
        now: Instant,
    ) -> bool {
        let Some(flight) = self.flights.land(message.transaction, from, now) else {
            return false;
        };
        // Reflectors answer with our own id: no node, but the line is alive.
        self.on_alive(from, now);
        if reply.id == self.table.own() {
            self.fail(flight);
            return true;
        }
        let (node, round_trip) =
            (NodeInfo { id: reply.id, address: from }, now.saturating_duration_since(flight.sent));
        self.replies += 1;
        let knew_few = self.table.has_few(NEAREST);
        let known = self.table.entries().filter(|_| knew_few).count();
        self.table.answered(node, Some(round_trip), now);
        if knew_few && self.table.entries().count() > known {
            // Of so few each one may be the one who knows.
            self.schedule.met(now);
        }
        if let Some(seen) = message.seen_at {
            self.on_seen(from, seen.address, now);
        }
        if let Some(expected) = flight.expected.filter(|expected| *expected != reply.id) {
            // Who named it lied, or it is another one by now.
            let wrong = NodeInfo { id: expected, address: from };
            self.contacts.failed(&wrong);
            self.named.failed(&wrong);
            self.fail(flight);
            return true;
        }
        let start = Start::new(node, Some(round_trip));
        self.searches.iter_mut().for_each(|search| search.lookup.meet(start));
        if !reply.is_odd() {
            self.contacts.answered(node, round_trip, now, &mut self.rng);
        }
        match flight.purpose {
            Purpose::Walk { search, index } => {
                let answer = Answer {
                    from: node,
                    round_trip,
                    token: reply.token,
                    was_stalled: flight.is_stalled,
                };
                self.on_walked(search, index, answer, reply, now);
            }
            Purpose::Store { search, index } => self.with_search(search, |search| {
                search.lookup.set_stored(index, Stored::Taken);
            }),
            Purpose::Ping { ticket: Some(ticket) } => {
                let tally = Tally { asked: 1, answered: 1, ..Tally::default() };
                let tally = Tally { round_trip: Some(round_trip), ..tally };
                self.outputs.push_back(Output::Ended { ticket, tally });
            }
            Purpose::Ping { ticket: None } => {}
        }
        true
    }

    /// An error proves life and refuses the job.
    fn on_error(&mut self, from: SocketAddr, transaction: &[u8], now: Instant) -> bool {
        let Some(flight) = self.flights.land(transaction, from, now) else { return false };
        self.on_alive(from, now);
        let round_trip = now.saturating_duration_since(flight.sent);
        if let Purpose::Ping { ticket: Some(ticket) } = flight.purpose {
            let tally = Tally { asked: 1, answered: 1, ..Tally::default() };
            let tally = Tally { round_trip: Some(round_trip), ..tally };
            self.outputs.push_back(Output::Ended { ticket, tally });
            return true;
        }
        self.fail(flight);
        true
    }

    fn on_alive(&mut self, from: SocketAddr, now: Instant) {
        self.absent.answered(from);
        if self.rouse.heard(from, now) {
            self.replies = 0;
            self.searches.iter_mut().for_each(|search| search.lookup.revive());
            self.schedule.roused(now);
        }
    }

    /// A node says where it sees us.
    fn on_seen(&mut self, from: SocketAddr, seen: std::net::IpAddr, now: Instant) {
        let Some(address) = self.witness.vote(from.ip(), seen, now) else { return };
        self.outputs.push_back(Output::Public { address });
        if !self.table.own().suits(address) {
            let id = NodeId::random_for(address, &mut self.rng);
            self.table.rename(id);
            self.answers.rename(id);
        }
    }

    /// What a query was for failed.
    fn fail(&mut self, flight: Flight<Purpose>) {
        match flight.purpose {
            Purpose::Walk { search, index } => {
                self.with_search(search, |search| search.lookup.failed(index, flight.is_stalled));
            }
            Purpose::Store { search, index } => self.with_search(search, |search| {
                search.lookup.set_stored(index, Stored::Refused);
            }),
            Purpose::Ping { ticket: Some(ticket) } => {
                let tally = Tally { asked: 1, ..Tally::default() };
                self.outputs.push_back(Output::Ended { ticket, tally });
            }
            Purpose::Ping { ticket: None } => {}
        }
    }

    /// A reply to a lookup's query: the lookup goes on from whom it names, and what it brings is
    /// handed over.
    fn on_walked(
        &mut self,
        key: u32,
        index: Option<super::CandidateIndex>,
        answer: Answer<'_>,
        reply: &Reply<'_>,
        now: Instant,
    ) {
        let from = answer.from.address;
        let usable = || reply.named().filter(|node| is_usable_node(node.address, from.ip()));
        if self.wants_others() {
            let nodes = usable().map(|node| node.address).filter(|at| !self.is_ours(*at));
            let nodes: Vec<SocketAddr> = nodes.take(NEAREST).collect();
            if !nodes.is_empty() {
                self.outputs.push_back(Output::Others { nodes });
            }
        }
        let (own, family) = (self.table.own(), self.family);
        let selves = self.selves();
        let is_node = |node: &NodeInfo| {
            let is_ours = Family::of(node.address.ip()) == family;
            is_ours && node.id != own && !selves.contains(&Some(node.address))
        };
        let absent = &self.absent;
        let lives = |node: &NodeInfo| !absent.contains(node.address, now);
        for node in usable().filter(is_node).filter(lives).take(NEAREST) {
            self.named.named(node, now, &mut self.rng);
        }
        let Some(search) = self.searches.find(key) else { return };
        let named = usable().filter(is_node).map(|node| {
            let is_absent = absent.contains(node.address, now);
            Named { node, is_absent }
        });
        search.lookup.answered(index, answer, named);
        let port = match &search.cause {
            Cause::Announce(said) => said.port,
            _ => None,
        };
        let is_own_peer = |peer: &SocketAddr| {
            let is_here = |own: &SocketAddr| own.ip() == peer.ip() && port == Some(peer.port());
            selves.contains(&Some(*peer)) || selves.iter().flatten().any(is_here)
        };
        let fresh: Vec<SocketAddr> = reply
            .values
            .iter()
            .filter(|peer| is_usable_node(*peer, from.ip()) && !is_own_peer(peer))
            .filter(|peer| search.is_new_peer(*peer))
            .take(PEERS_USED)
            .collect();
        if !fresh.is_empty() {
            search.lookup.found_peers();
            let (hash, ticket) = (InfoHash(search.target.0), search.cause.ticket());
            if matches!(search.cause, Cause::Find(..) | Cause::Announce(_)) {
                self.outputs.push_back(Output::Peers { hash, peers: fresh, ticket });
            }
        }
        if let Some(item) = reply.item
            && let Some(output) = search.on_item(item)
        {
            self.outputs.push_back(output);
        }
        self.with_search(key, |search| search.on_filters(reply));
    }
}

impl Search {
    /// A node has the item that is looked for, or says so.
    fn on_item(&mut self, view: ItemView<'_>) -> Option<Output> {
        let Cause::Get(ticket, salt) = &self.cause else { return None };
        let item = Item::checked(&view, &self.target, salt)?;
        let seq = |item: &Item| item.signed.as_ref().map_or(0, |signed| signed.seq);
        if self.best.as_ref().is_some_and(|best| seq(best) >= seq(&item)) {
            return None;
        }
        if item.signed.is_none() {
            // Named by its own hash: there is no other.
            self.lookup.satisfied();
        }
        self.best = Some(item.clone());
        Some(Output::Found { ticket: *ticket, item })
    }

    /// Filters of the swarm; a node that knows none but has peers counts with these (BEP 33,
    /// "Handling legacy responses").
    fn on_filters(&mut self, reply: &Reply<'_>) {
        if !matches!(self.cause, Cause::Scrape(_)) {
            return;
        }
        let has_any = reply.seeds.is_some() || reply.leechers.is_some();
        if !has_any && reply.values.is_empty() {
            return;
        }
        let both = self.filters.get_or_insert_default();
        if let Some(seeds) = reply.seeds {
            both.0.unite(seeds);
        }
        if let Some(leechers) = reply.leechers {
            both.1.unite(leechers);
        }
        if !has_any {
            for peer in reply.values.iter().take(PEERS_USED) {
                let mut one = Bloom::default();
                one.insert(peer.ip());
                let is_seed = one.0.iter().zip(both.0.0).all(|(bit, all)| bit & all == *bit);
                if !is_seed {
                    both.1.unite(&one.0);
                }
            }
        }
    }
}

/// Datagrams of the current and the last second.
#[derive(Debug)]
pub(super) struct Rates {
    second: Instant,
    now: (u32, u32),
    before: (u32, u32),
}

impl Rates {
    /// None yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { second: now, now: (0, 0), before: (0, 0) }
    }

    /// One came in.
    pub(super) fn received(&mut self, now: Instant) {
        self.turn(now);
        self.now.0 += 1;
    }

    /// One went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.turn(now);
        self.now.1 += 1;
    }

    /// In and out in the last whole second.
    pub(super) fn last(&self, now: Instant) -> (u32, u32) {
        match now.saturating_duration_since(self.second).as_secs() {
            0 => self.before,
            1 => self.now,
            _ => (0, 0),
        }
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.second).as_secs();
        if passed > 0 {
            self.before = if passed == 1 { self.now } else { (0, 0) };
            self.now = (0, 0);
            self.second += SECOND * u32::try_from(passed).unwrap_or(u32::MAX);
        }
    }
}

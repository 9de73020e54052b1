//! A conversation with a router's UPnP services: one order after the other, and what to make of
//! its faults. Not here: when mappings are renewed, and sockets.
//!
//! What a router says it did is looked at afterwards: some answer yes and keep nothing, keep it
//! for less time, or do not keep it longer when asked again (miniupnp#131). What it never answered
//! it may have done all the same: at the end it is asked whether it did, since another host may
//! have that port.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::granted::{Granted, LIFETIME_S, Outcome, Round};
use super::super::types::{Ports, Transport, Way};
use super::description::{Kind, Service};
use super::soap::{Action, Fault, Reply, words};

/// Ports outside that are tried for one of ours: libtorrent's count.
const PORTS_TRIED: u32 = 4;
/// Where others are tried: what the system gives to programs that want none in particular.
const OTHER_PORTS: std::ops::RangeInclusive<u16> = 40_000..=49_999;

/// Mappings kept in doubt; the oldest go first.
const DOUBTS_MAX: usize = 8;

/// A port of ours at the router.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The port outside that it has, or that is tried.
    external: u16,
    is_mapped: bool,
    /// The pinhole's name.
    pinhole: Option<u16>,
    /// For how long; 0 is for ever.
    lease_s: u32,
    /// Ports that were tried in this round.
    tried: u32,
    /// It was taken away and added again in this round.
    is_anew: bool,
}

/// A mapping that the router may have, though it never said so.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Doubt {
    service: Service,
    transport: Transport,
    external: u16,
    internal: u16,
}

/// The conversation.
#[derive(Debug)]
pub(in super::super) struct Talk {
    way: Way,
    ports: Ports,
    services: Vec<Service>,
    /// Which of them is spoken to.
    at: usize,
    address: Option<IpAddr>,
    entries: [Entry; 2],
    doubts: Vec<Doubt>,
    /// The one that is looked at, at the end.
    looked_at: Option<Doubt>,
    /// The router keeps mappings for ever, or not at all (725).
    is_permanent: bool,
    round: Round,
    queue: VecDeque<Action>,
    /// What was asked and is not answered.
    asked: Option<Action>,
    /// An order for the hand.
    call: Option<(Service, Action)>,
    outcome: Option<Outcome>,
}

impl Talk {
    /// One with a router that has these services, which has asked nothing yet. None when it has
    /// none for our family.
    pub fn new(way: Way, ports: Ports, mut services: Vec<Service>) -> Option<Self> {
        let wanted = if way.own.is_ipv4() { Kind::Connection } else { Kind::Firewall };
        services.retain(|service| service.kind == wanted);
        if services.is_empty() {
            return None;
        }
        Some(Self {
            way,
            ports,
            services,
            at: 0,
            address: None,
            entries: ports.map(fresh),
            doubts: Vec::new(),
            looked_at: None,
            is_permanent: false,
            round: Round::Map,
            queue: VecDeque::new(),
            asked: None,
            call: None,
            outcome: None,
        })
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// May the router have a mapping of ours?
    pub fn owes(&self) -> bool {
        let asks = matches!(self.asked, Some(Action::Add { .. }));
        asks || !self.doubts.is_empty() || Transport::BOTH.iter().any(|it| self.has(*it))
    }

    /// Takes over what an earlier conversation with the same router left there.
    pub fn follow(&mut self, mut before: Self) {
        before.doubt_asked();
        for transport in Transport::BOTH {
            let index = transport.index();
            let left = before.entries[index];
            if left.is_mapped {
                before.doubt(transport);
            }
            if before.ports[index] == self.ports[index] {
                let Entry { external, pinhole, .. } = left;
                self.entries[index] = Entry { external, pinhole, ..Entry::default() };
            }
        }
        self.doubts = before.doubts;
    }

    /// Asks for the mappings of other ports than before; those of the old ones are ended.
    pub fn move_to(&mut self, ports: Ports) {
        self.doubt_asked();
        let mut removals = Vec::new();
        for transport in Transport::BOTH {
            let port = ports[transport.index()];
            if self.ports[transport.index()] != port {
                removals.extend(self.removal(transport));
                *self.entry(transport) = fresh(port);
            }
        }
        (self.ports, self.asked) = (ports, None);
        self.begin(Round::Map);
        removals.into_iter().for_each(|removal| self.queue.push_front(removal));
    }

    /// Asks for the mappings, or ends those that there may be.
    pub fn begin(&mut self, round: Round) {
        self.doubt_asked();
        (self.round, self.outcome, self.asked, self.call) = (round, None, None, None);
        self.queue.clear();
        for entry in &mut self.entries {
            (entry.tried, entry.is_anew) = (0, false);
        }
        match round {
            Round::Map if self.way.own.is_ipv4() => self.queue.push_back(Action::Address),
            Round::Map => {
                self.address = Some(self.way.own);
                self.queue_both();
            }
            Round::Unmap => {
                for transport in Transport::BOTH {
                    self.queue.extend(self.removal(transport));
                }
            }
        }
        self.next();
    }

    /// The next order for the hand, and whose it is.
    pub fn poll_call(&mut self) -> Option<(Service, Action)> {
        self.call.take()
    }

    /// What came of it, once.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// The router's answer to what was asked.
    pub fn on_answer(&mut self, answer: Result<Reply, Fault>, rng: &mut StdRng) {
        let Some(asked) = self.asked.take() else { return };
        match (asked, answer) {
            (Action::Address, Ok(Reply::Address(Some(address)))) if address.is_ipv4() => {
                self.address = Some(address);
                self.queue_both();
                self.next();
            }
            (Action::Address, Ok(_)) => self.next_service("it is not connected itself".to_owned()),
            (Action::Address, Err(fault)) => self.next_service(words(&fault)),
            (Action::Add { transport, .. }, Ok(_)) => {
                let entry = self.entry(transport);
                entry.is_mapped = true;
                let external = entry.external;
                self.doubts.retain(|it| (it.transport, it.external) != (transport, external));
                self.ask(Action::Look { transport, external });
            }
            (Action::Add { transport, lease_s, .. }, Err(fault)) => {
                if matches!(fault, Fault::Broken(_)) {
                    self.doubt(transport);
                }
                self.on_refused(transport, lease_s, fault, rng);
            }
            (Action::Look { .. }, answer) if self.round == Round::Unmap => self.on_left(answer),
            (Action::Look { transport, .. }, answer) => self.on_looked(transport, answer, rng),
            (Action::AddPinhole { transport, lease_s, .. }, Ok(Reply::Pinhole(id))) => {
                let entry = self.entry(transport);
                (entry.pinhole, entry.is_mapped, entry.lease_s) = (Some(id), true, lease_s);
                self.next();
            }
            (Action::AddPinhole { transport, .. }, Err(fault)) => self.lack(transport, &fault),
            (Action::UpdatePinhole { id, lease_s }, Ok(_)) => {
                if let Some(transport) = self.transport_of(id) {
                    let entry = self.entry(transport);
                    (entry.is_mapped, entry.lease_s) = (true, lease_s);
                }
                self.next();
            }
            (Action::UpdatePinhole { id, .. }, Err(_)) => {
                // It knows no such thing any more.
                if let Some(transport) = self.transport_of(id) {
                    self.entry(transport).pinhole = None;
                    self.ask(self.order(transport));
                }
            }
            // Others have it, or it is gone: either way it is not ours any more.
            _ => self.next(),
        }
    }

    /// A port is not given.
    fn on_refused(&mut self, transport: Transport, lease_s: u32, fault: Fault, rng: &mut StdRng) {
        let internal = self.ports[transport.index()];
        let entry = self.entry(transport);
        match fault {
            // OnlyPermanentLeasesSupported, which some call invalid arguments.
            Fault::Code(725 | 402) if lease_s > 0 => {
                self.is_permanent = true;
                self.ask(self.order(transport));
            }
            // SamePortValuesRequired.
            Fault::Code(724) if entry.external != internal => {
                entry.external = internal;
                self.ask(self.order(transport));
            }
            // Somebody has it: an earlier run of ours, perhaps.
            Fault::Code(718) if !entry.is_anew => {
                let external = entry.external;
                entry.is_mapped = false;
                self.ask(Action::Look { transport, external });
            }
            Fault::Code(501 | 718 | ..0) => self.try_another(transport, &fault, rng),
            fault => self.lack(transport, &fault),
        }
    }

    /// What the router knows of a port that it has given, or that somebody has.
    fn on_looked(&mut self, transport: Transport, answer: Result<Reply, Fault>, rng: &mut StdRng) {
        let (own, internal) = (self.way.own, self.ports[transport.index()]);
        let asked_s = if self.is_permanent { 0 } else { LIFETIME_S };
        let entry = self.entry(transport);
        match answer {
            Ok(Reply::Entry { client, internal: port, lease_s }) => {
                let is_ours = client == Some(own) && port == internal;
                // Of 0, which is for ever, a router may make something else.
                let is_short = asked_s > 0 && lease_s > 0 && lease_s < asked_s / 4 * 3;
                match (is_ours, entry.is_mapped, entry.is_anew) {
                    (true, true, is_anew) if is_anew || !is_short => {
                        entry.lease_s = if lease_s > 0 { lease_s.min(LIFETIME_S) } else { 0 };
                        self.next();
                    }
                    // An old one of ours is in the way, or is not kept for longer.
                    (true, ..) => {
                        let external = entry.external;
                        (entry.is_anew, entry.is_mapped) = (true, false);
                        self.queue.push_front(self.order(transport));
                        self.ask(Action::Delete { transport, external });
                    }
                    (false, ..) => self.try_another(transport, &Fault::Code(718), rng),
                }
            }
            // It has said yes, and knows nothing of it.
            Err(fault @ Fault::Code(714)) if entry.is_mapped => {
                entry.is_mapped = false;
                self.try_another(transport, &fault, rng);
            }
            // It does not tell: its yes has to do.
            _ if entry.is_mapped => {
                entry.lease_s = asked_s;
                self.next();
            }
            _ => self.try_another(transport, &Fault::Code(718), rng),
        }
    }

    /// What the router knows of a mapping that was in doubt.
    fn on_left(&mut self, answer: Result<Reply, Fault>) {
        let own = Some(self.way.own);
        match (self.looked_at.take(), answer) {
            (Some(it), Ok(Reply::Entry { client, internal, .. }))
                if client == own && internal == it.internal =>
            {
                let Doubt { service, transport, external, .. } = it;
                self.ask_of(service, Action::Delete { transport, external });
            }
            _ => self.next(),
        }
    }

    /// The router may have this port's mapping, and not say so.
    fn doubt(&mut self, transport: Transport) {
        let (external, internal) =
            (self.entries[transport.index()].external, self.ports[transport.index()]);
        let Some(service) = self.services.get(self.at).cloned() else { return };
        // What has no name cannot be ended.
        if service.kind == Kind::Firewall {
            return;
        }
        let doubt = Doubt { service, transport, external, internal };
        self.doubts.retain(|it| *it != doubt);
        if self.doubts.len() == DOUBTS_MAX {
            self.doubts.remove(0);
        }
        self.doubts.push(doubt);
    }

    /// What is being ordered is not waited for any more.
    fn doubt_asked(&mut self) {
        if let Some(Action::Add { transport, .. }) = self.asked
            && !self.has(transport)
        {
            self.doubt(transport);
        }
    }

    fn try_another(&mut self, transport: Transport, fault: &Fault, rng: &mut StdRng) {
        let same = match transport {
            // Both are to have the same number outside, where they have it here.
            Transport::Udp if self.ports[0] == self.ports[1] => Some(self.entries[0].external),
            _ => None,
        };
        if self.has(transport) {
            self.doubt(transport);
        }
        let entry = self.entry(transport);
        entry.tried += 1;
        (entry.is_mapped, entry.is_anew) = (false, false);
        if entry.tried >= PORTS_TRIED {
            return self.lack(transport, fault);
        }
        let same = same.filter(|same| *same != entry.external && entry.tried == 1);
        entry.external = same.unwrap_or_else(|| rng.random_range(OTHER_PORTS));
        self.ask(self.order(transport));
    }

    /// A port is not to be had. The one of peers is what counts.
    fn lack(&mut self, transport: Transport, fault: &Fault) {
        if self.has(transport) {
            self.doubt(transport);
        }
        *self.entry(transport) = fresh(self.ports[transport.index()]);
        // What one service refuses for a while another may grant, or the same one later.
        self.is_permanent = false;
        match transport {
            Transport::Tcp => self.next_service(words(fault)),
            Transport::Udp => self.next(),
        }
    }

    /// This service does nothing; perhaps there is another one.
    fn next_service(&mut self, why: String) {
        self.queue.clear();
        if self.at + 1 < self.services.len() {
            self.at += 1;
            return self.begin(self.round);
        }
        self.at = 0;
        self.outcome = Some(Outcome::Failed(why));
    }

    fn queue_both(&mut self) {
        let has_port = |transport: &Transport| self.ports[transport.index()] > 0;
        let orders = Transport::BOTH.into_iter().filter(has_port);
        let orders: Vec<Action> = orders.map(|transport| self.order(transport)).collect();
        self.queue.extend(orders);
    }

    /// What opens a port.
    fn order(&self, transport: Transport) -> Action {
        let own = self.way.own;
        let (internal, entry) = (self.ports[transport.index()], &self.entries[transport.index()]);
        match (own.is_ipv4(), entry.pinhole) {
            (true, _) => Action::Add {
                transport,
                external: entry.external,
                internal,
                own,
                lease_s: if self.is_permanent { 0 } else { LIFETIME_S },
            },
            (false, None) => Action::AddPinhole { transport, internal, own, lease_s: LIFETIME_S },
            (false, Some(id)) => Action::UpdatePinhole { id, lease_s: LIFETIME_S },
        }
    }

    fn removal(&self, transport: Transport) -> Option<Action> {
        let entry = &self.entries[transport.index()];
        match (entry.is_mapped, entry.pinhole) {
            (_, Some(id)) => Some(Action::DeletePinhole { id }),
            (false, None) => None,
            (true, None) => Some(Action::Delete { transport, external: entry.external }),
        }
    }

    fn transport_of(&self, id: u16) -> Option<Transport> {
        Transport::BOTH.into_iter().find(|it| self.entries[it.index()].pinhole == Some(id))
    }

    fn entry(&mut self, transport: Transport) -> &mut Entry {
        &mut self.entries[transport.index()]
    }

    /// Is it known to have a mapping of ours?
    fn has(&self, transport: Transport) -> bool {
        let entry = &self.entries[transport.index()];
        entry.is_mapped || entry.pinhole.is_some()
    }

    fn ask(&mut self, action: Action) {
        if let Some(service) = self.services.get(self.at).cloned() {
            self.ask_of(service, action);
        }
    }

    fn ask_of(&mut self, service: Service, action: Action) {
        (self.asked, self.call) = (Some(action), Some((service, action)));
    }

    /// Asks the next thing, or tells what came of all.
    fn next(&mut self) {
        if let Some(action) = self.queue.pop_front() {
            // The ports of one number are to stay that outside.
            let action = match action {
                Action::Add { transport: transport @ Transport::Udp, .. } => {
                    let tcp = self.entries[0];
                    let is_same = self.ports[0] == self.ports[1];
                    let entry = self.entry(transport);
                    if is_same && tcp.is_mapped && !entry.is_mapped && entry.tried == 0 {
                        entry.external = tcp.external;
                    }
                    self.order(transport)
                }
                action => action,
            };
            return self.ask(action);
        }
        if self.round == Round::Unmap
            && let Some(doubt) = self.doubts.pop()
        {
            let Doubt { service, transport, external, .. } = doubt.clone();
            self.looked_at = Some(doubt);
            return self.ask_of(service, Action::Look { transport, external });
        }
        let [tcp, udp] = self.entries;
        self.outcome = Some(match (self.round, self.address) {
            (Round::Map, Some(address)) if tcp.is_mapped => {
                let external = |entry: &Entry, port: u16| match self.way.own {
                    IpAddr::V4(_) => entry.external,
                    IpAddr::V6(_) => port,
                };
                let leases = [Some(tcp.lease_s), udp.is_mapped.then_some(udp.lease_s)];
                let shortest = leases.into_iter().flatten().filter(|it| *it > 0).min();
                Outcome::Granted(Granted {
                    address,
                    tcp: external(&tcp, self.ports[0]),
                    udp: udp.is_mapped.then(|| external(&udp, self.ports[1])),
                    lifetime: shortest.map(|it| Duration::from_secs(it.into())),
                })
            }
            (Round::Map, _) => Outcome::Failed("it maps nothing".to_owned()),
            (Round::Unmap, _) => Outcome::Ended,
        });
    }
}

/// A port that was not asked for yet: the same is wanted outside.
fn fresh(port: u16) -> Entry {
    Entry { external: port, ..Entry::default() }
}

#[cfg(test)]
mod tests;

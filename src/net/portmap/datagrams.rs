//! A conversation with a gateway in PCP or NAT-PMP: one question after the other, each repeated
//! while nothing comes back. Not here: which protocol is spoken, when mappings are renewed, and
//! sockets.
//!
//! Answers count only from the gateway's own address and port (which the caller sees to), to what
//! was asked, and in PCP with the nonce of the mapping.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::epoch::Epoch;
use super::granted::{Granted, LIFETIME_MAX, LIFETIME_S, Outcome, Round};
use super::types::{Ports, Protocol, Transport, Way};
use super::{natpmp, pcp};

/// The first wait for an answer, doubled each time (RFC 6886, 3.1). RFC 6887 begins with three
/// seconds; a gateway of the own network that has not answered in one never does.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How often a question is asked: 3.75 s in all.
const TRIES: u32 = 4;
/// How often when we are about to leave.
const TRIES_LEAVING: u32 = 2;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    /// The address outside, of which PCP tells with each mapping.
    Address,
    Map(Transport),
    Unmap(Transport),
}

/// A question that is on its way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    ask: Ask,
    tries: u32,
    again: Instant,
}

/// The conversation.
#[derive(Debug)]
pub(super) struct Datagrams {
    protocol: Protocol,
    way: Way,
    ports: Ports,
    nonces: [pcp::Nonce; 2],
    epoch: Epoch,
    /// The ports outside, as they were granted last.
    external: [Option<u16>; 2],
    /// How long they hold.
    lifetimes_s: [u32; 2],
    /// Until when the gateway may have them: also what was asked for and never answered.
    holds_until: [Option<Instant>; 2],
    /// It has said anything in this protocol.
    has_heard: bool,
    address: Option<IpAddr>,
    round: Round,
    queue: VecDeque<Ask>,
    flight: Option<Flight>,
    /// Any port will do, since the one that we would like is refused.
    is_modest: bool,
    packets: VecDeque<Vec<u8>>,
    outcome: Option<Outcome>,
}

impl Datagrams {
    /// One that has asked nothing yet.
    pub fn new(protocol: Protocol, way: Way, ports: Ports, rng: &mut StdRng) -> Self {
        Self {
            protocol,
            way,
            ports,
            nonces: [rng.random(), rng.random()],
            epoch: Epoch::default(),
            external: [None; 2],
            lifetimes_s: [0; 2],
            holds_until: [None; 2],
            has_heard: false,
            address: None,
            round: Round::Map,
            queue: VecDeque::new(),
            flight: None,
            is_modest: false,
            packets: VecDeque::new(),
            outcome: None,
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// May the gateway have a mapping of ours?
    pub fn owes(&self, now: Instant) -> bool {
        Transport::BOTH.into_iter().any(|transport| self.may_hold(transport, now))
    }

    fn may_hold(&self, transport: Transport, now: Instant) -> bool {
        self.holds_until[transport.index()].is_some_and(|until| now < until)
    }

    /// Asks for the mappings, or ends those that there may be. Whoever never said a word is told
    /// to end them, and not waited for.
    pub fn begin(&mut self, round: Round, now: Instant) {
        (self.round, self.outcome, self.flight) = (round, None, None);
        self.queue.clear();
        self.packets.clear();
        self.is_modest = false;
        let has_port = |transport: &Transport| self.ports[transport.index()] > 0;
        let both = Transport::BOTH.into_iter().filter(has_port);
        match round {
            Round::Map => {
                self.epoch.settle();
                let asks_address = self.protocol == Protocol::NatPmp;
                self.queue.extend(asks_address.then_some(Ask::Address));
                self.queue.extend(both.map(Ask::Map));
            }
            Round::Unmap => {
                let had = both.filter(|it| self.may_hold(*it, now)).map(Ask::Unmap);
                let had: Vec<Ask> = had.collect();
                if self.has_heard {
                    self.queue.extend(had);
                } else {
                    had.into_iter().for_each(|ask| self.say(ask, now));
                }
            }
        }
        self.next(now);
    }

    /// Asks for the mappings of other ports than before; those of the old ones are ended.
    pub fn move_to(&mut self, ports: Ports, rng: &mut StdRng, now: Instant) {
        self.packets.clear();
        for transport in Transport::BOTH {
            let index = transport.index();
            if self.ports[index] == ports[index] {
                continue;
            }
            if self.may_hold(transport, now) {
                // The answer is not waited for: it names a port that is not ours any more.
                self.say(Ask::Unmap(transport), now);
            }
            (self.nonces[index], self.external[index]) = (rng.random(), None);
            self.holds_until[index] = None;
        }
        self.ports = ports;
        let ends = std::mem::take(&mut self.packets);
        self.begin(Round::Map, now);
        self.packets.extend(ends);
    }

    /// The next packet for the gateway.
    pub fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    /// What came of it, once.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// When to call [`on_time`](Self::on_time).
    pub fn next_timeout(&self) -> Option<Instant> {
        self.flight.map(|flight| flight.again)
    }

    /// Asks again, or gives up.
    pub fn on_time(&mut self, now: Instant) {
        let Some(flight) = self.flight.filter(|flight| flight.again <= now) else { return };
        let tries = if self.round == Round::Unmap { TRIES_LEAVING } else { TRIES };
        if flight.tries < tries {
            self.say(flight.ask, now);
            let again = now + FIRST_WAIT * 2_u32.pow(flight.tries);
            self.flight = Some(Flight { tries: flight.tries + 1, again, ..flight });
            return;
        }
        match (flight.ask, self.round) {
            // One port is better than none.
            (Ask::Map(Transport::Udp), _) | (_, Round::Unmap) => self.lack(flight.ask, now),
            _ => self.fail("no answer".to_owned()),
        }
    }

    /// When mappings are to be asked for anew, since the gateway has begun anew so soon again.
    pub fn reset_due(&self) -> Option<Instant> {
        self.epoch.due()
    }

    /// Is it time for that? Then they are to be asked for.
    pub fn is_reset_due(&mut self, now: Instant) -> bool {
        self.epoch.due().is_some_and(|due| due <= now) && self.epoch.heed(now)
    }

    /// A packet of the gateway; true when it has begun anew, and all mappings are lost.
    pub fn on_packet(&mut self, bytes: &[u8], now: Instant) -> bool {
        match self.protocol {
            Protocol::Pcp => self.on_pcp(bytes, now),
            _ => self.on_natpmp(bytes, now),
        }
    }

    /// It has begun anew since it granted what was asked for before this in the same round.
    fn on_lost(&mut self, ask: Ask) {
        if ask == Ask::Map(Transport::Udp) && self.ports[0] > 0 {
            self.queue.push_back(Ask::Map(Transport::Tcp));
        }
    }

    /// What the gateway tells all; true when the mappings are to be asked for anew. Such words are
    /// easily forged, so nothing else of them counts.
    pub fn on_announcement(&mut self, bytes: &[u8], now: Instant) -> bool {
        match (self.protocol, pcp::read(bytes), natpmp::read(bytes)) {
            // miniupnpd says that it has begun in this way alone, to whomever it speaks.
            (_, Some(pcp::Answer::Announce { epoch_s }), _) => self.epoch.note(epoch_s, now),
            (Protocol::NatPmp, _, Some(natpmp::Answer::Address { epoch_s, address })) => {
                let is_other = self.address.is_some_and(|known| known != IpAddr::from(address));
                // What was noted may have been heeded already.
                self.epoch.note(epoch_s, now) || is_other && self.epoch.heed(now)
            }
            _ => false,
        }
    }

    fn on_pcp(&mut self, bytes: &[u8], now: Instant) -> bool {
        let asked = self.flight.map(|flight| flight.ask);
        let answer = match pcp::read(bytes) {
            None => return false,
            Some(pcp::Answer::Unsupported) => {
                if asked.is_some() {
                    self.holds_until = [None; 2];
                    self.fail("does not speak it".to_owned());
                }
                return false;
            }
            Some(pcp::Answer::Announce { epoch_s }) => return self.epoch.note(epoch_s, now),
            Some(answer) => answer,
        };
        let pcp::Answer::Map {
            epoch_s,
            code,
            lifetime_s,
            nonce,
            protocol,
            internal,
            external,
            address,
        } = answer
        else {
            return false;
        };
        let Some(ask @ (Ask::Map(transport) | Ask::Unmap(transport))) = asked else { return false };
        let index = transport.index();
        let is_ours = protocol == transport.number() && internal == self.ports[index];
        if !is_ours || nonce != self.nonces[index] {
            return false;
        }
        self.has_heard = true;
        let is_reset = self.epoch.note(epoch_s, now);
        if is_reset {
            self.on_lost(ask);
        }
        match (ask, code) {
            (Ask::Unmap(_), _) => self.lack(ask, now),
            (_, 0) => {
                if let Some(why) = self.untrue(external, address, lifetime_s) {
                    self.refuse(ask, why, false, now);
                } else {
                    self.address = Some(address);
                    self.have(transport, external, lifetime_s, now);
                }
            }
            // NO_RESOURCES and CANNOT_PROVIDE_EXTERNAL may be meant of this port alone.
            (_, code) => self.refuse(ask, pcp::words(code), matches!(code, 8 | 11), now),
        }
        is_reset
    }

    fn on_natpmp(&mut self, bytes: &[u8], now: Instant) -> bool {
        let asked = self.flight.map(|flight| flight.ask);
        let answer = natpmp::read(bytes);
        self.has_heard |= answer.is_some();
        match (answer, asked) {
            (Some(natpmp::Answer::Address { epoch_s, address }), asked) => {
                let address = IpAddr::from(address);
                match asked {
                    Some(ask @ Ask::Address) if address.is_unspecified() => {
                        self.refuse(ask, natpmp::words(3), false, now);
                    }
                    Some(Ask::Address) => {
                        self.address = Some(address);
                        self.next(now);
                    }
                    _ => {}
                }
                self.epoch.note(epoch_s, now)
            }
            (
                Some(natpmp::Answer::Mapped { epoch_s, transport, internal, external, lifetime_s }),
                Some(ask @ (Ask::Map(about) | Ask::Unmap(about))),
            ) if transport == about && internal == self.ports[about.index()] => {
                let is_reset = self.epoch.note(epoch_s, now);
                if is_reset {
                    self.on_lost(ask);
                }
                let address = self.address.unwrap_or(self.way.gateway);
                match ask {
                    Ask::Map(_) => match self.untrue(external, address, lifetime_s) {
                        Some(why) => self.refuse(ask, why, false, now),
                        None => self.have(transport, external, lifetime_s, now),
                    },
                    _ => self.lack(ask, now),
                }
                is_reset
            }
            (Some(natpmp::Answer::Refused { opcode, code }), Some(ask)) => {
                let is_about = match ask {
                    Ask::Address => opcode == 0,
                    Ask::Map(it) | Ask::Unmap(it) => opcode == natpmp::opcode(it),
                };
                if is_about {
                    self.refuse(ask, natpmp::words(code), matches!(code, 2..=4), now);
                }
                false
            }
            _ => false,
        }
    }

    /// Why an answer that says yes cannot be meant so.
    fn untrue(&self, external: u16, address: IpAddr, lifetime_s: u32) -> Option<String> {
        let is_family = address.is_ipv4() == self.way.own.is_ipv4();
        match (external, lifetime_s) {
            (0, _) => Some("it names no port outside".to_owned()),
            (_, 0) => Some("it keeps it for no time at all".to_owned()),
            _ if address.is_unspecified() || !is_family => {
                Some("it names no address outside".to_owned())
            }
            _ => None,
        }
    }

    /// A port is mapped.
    fn have(&mut self, transport: Transport, external: u16, lifetime_s: u32, now: Instant) {
        self.external[transport.index()] = Some(external);
        self.lifetimes_s[transport.index()] = lifetime_s;
        self.holds_until[transport.index()] = Some(now + life(lifetime_s));
        self.is_modest = false;
        self.next(now);
    }

    /// The gateway refuses; `may_be_port` when another port outside might do.
    fn refuse(&mut self, ask: Ask, why: String, may_be_port: bool, now: Instant) {
        match ask {
            Ask::Map(_) if may_be_port && !self.is_modest => {
                self.is_modest = true;
                self.ask(ask, now);
            }
            Ask::Map(Transport::Udp) | Ask::Unmap(_) => self.lack(ask, now),
            _ => self.fail(why),
        }
    }

    /// There is no such mapping, and it goes on.
    fn lack(&mut self, ask: Ask, now: Instant) {
        if let Ask::Map(transport) | Ask::Unmap(transport) = ask {
            self.external[transport.index()] = None;
        }
        if let Ask::Unmap(transport) = ask {
            self.holds_until[transport.index()] = None;
        }
        self.next(now);
    }

    fn fail(&mut self, why: String) {
        self.flight = None;
        self.queue.clear();
        self.outcome = Some(Outcome::Failed(why));
    }

    /// Asks the next thing, or tells what came of all.
    fn next(&mut self, now: Instant) {
        self.flight = None;
        if let Some(ask) = self.queue.pop_front() {
            return self.ask(ask, now);
        }
        self.outcome = Some(match (self.round, self.external, self.address) {
            (Round::Map, [Some(tcp), udp], Some(address)) => {
                let [of_tcp, of_udp] = self.lifetimes_s;
                let lifetime_s = if udp.is_some() { of_tcp.min(of_udp) } else { of_tcp };
                let lifetime = Some(Duration::from_secs(lifetime_s.into()));
                Outcome::Granted(Granted { address, tcp, udp, lifetime })
            }
            (Round::Map, ..) => Outcome::Failed("no answer".to_owned()),
            (Round::Unmap, ..) => Outcome::Ended,
        });
    }

    fn ask(&mut self, ask: Ask, now: Instant) {
        self.say(ask, now);
        self.flight = Some(Flight { ask, tries: 1, again: now + FIRST_WAIT });
    }

    fn say(&mut self, ask: Ask, now: Instant) {
        let (transport, lifetime_s) = match ask {
            Ask::Address => return self.packets.push_back(natpmp::ask_address()),
            Ask::Map(transport) => (transport, LIFETIME_S),
            Ask::Unmap(transport) => (transport, 0),
        };
        if lifetime_s > 0 {
            // It may do so without our hearing of it.
            let holds_until = &mut self.holds_until[transport.index()];
            *holds_until = (*holds_until).max(Some(now + life(lifetime_s)));
        }
        let (internal, nonce) = (self.ports[transport.index()], self.nonces[transport.index()]);
        let external = if lifetime_s > 0 { self.liked(transport) } else { 0 };
        self.packets.push_back(match self.protocol {
            Protocol::Pcp => pcp::ask_mapping(&pcp::Wish {
                transport,
                own: self.way.own,
                internal,
                external,
                lifetime_s,
                nonce,
            }),
            _ => natpmp::ask_mapping(transport, internal, external, lifetime_s),
        });
    }

    /// The port outside that we would like: the one that we had, or for both protocols the same.
    fn liked(&self, transport: Transport) -> u16 {
        let [tcp, udp] = self.external;
        let is_same = self.ports[0] == self.ports[1];
        match transport {
            _ if self.is_modest => 0,
            Transport::Tcp => tcp.unwrap_or(self.ports[0]),
            Transport::Udp => udp.or(tcp.filter(|_| is_same)).unwrap_or(self.ports[1]),
        }
    }
}

/// How long a mapping is believed to last.
fn life(lifetime_s: u32) -> Duration {
    Duration::from_secs(lifetime_s.into()).min(LIFETIME_MAX)
}

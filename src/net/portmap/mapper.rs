//! Port mapping for one family as a machine: whom to ask in which order, when to ask again, and
//! what is given back at the end. PCP comes first, then NAT-PMP, then UPnP; with the first that
//! works the others stay silent. A mapping is renewed at half of the lifetime that was granted,
//! whatever was asked, and made anew when its gateway has begun anew. Not here: sockets, and what
//! others are told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::datagrams::Datagrams;
use super::igd::description::Service;
use super::igd::soap::{Action, Fault, Reply};
use super::igd::talk::Talk;
use super::types::{Mapping, Ports, Protocol, State, Way};
use super::{Granted, Outcome, Round};

/// A mapping that is kept for ever is looked after so often: routers forget all at a restart.
const LOOK_AFTER: Duration = Duration::from_secs(20 * 60);
/// Lifetimes are believed between these: one that is told to be shorter would have us ask without
/// end, and one that is longer outlives most routers (RFC 6887, 15).
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(24 * 3600));
/// Between two attempts to renew.
const RENEWALS_APART: Duration = Duration::from_secs(4);
/// How long a gateway that opens nothing is left alone, doubled each time.
const REST: (Duration, Duration) = (Duration::from_secs(2 * 60), Duration::from_secs(30 * 60));
/// One that tells all that it has begun anew is heeded once in this time.
const ROUSED_APART: Duration = Duration::from_secs(60);
/// How long the end waits for the gateway.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// A fact.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// The way out as it is now, or why nobody is to be asked.
    Way(Result<Way, String>),
    /// What the gateway's port 5351 says to us.
    Packet(&'a [u8]),
    /// What it tells all.
    Announcement(&'a [u8]),
    /// Nobody listens at that port (ICMP).
    Refused,
    /// The router's services, or why there are none.
    Found(Result<Vec<Service>, String>),
    /// Its answer to the latest order.
    Answered(Result<Reply, Fault>),
    /// What is held may be lost: the machine slept, and lifetimes are over sooner than they seem,
    /// or the router has begun anew by what the machine of the other family noticed.
    Doubtful,
    /// Give back what there is, and end.
    Stop,
    /// The time of [`Mapper::next_timeout`] has come.
    Wake,
}

/// An effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Output {
    /// Send this to the gateway's port 5351.
    Send(Vec<u8>),
    /// Look for the router by UPnP.
    Search,
    /// Tell it this; any earlier order needs no answer any more.
    Call(Service, Action),
}

#[derive(Debug)]
enum Speech {
    Datagrams(Box<Datagrams>),
    Upnp(Box<Talk>),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// There is no mapping yet.
    First,
    /// There is one.
    Held { renew: Instant, ends: Instant },
    /// It is being renewed.
    Renewing { ends: Instant },
    /// It is given back.
    Leaving { until: Instant },
}

#[derive(Debug)]
enum Step {
    /// Nobody is to be asked.
    Idle,
    Speaking(Speech, Phase),
    Searching,
    Resting {
        until: Instant,
    },
    Gone,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Mapper {
    ports: Ports,
    rng: StdRng,
    way: Result<Way, String>,
    step: Step,
    state: State,
    /// Who did not open the ports, and why, since it was tried anew.
    failures: Vec<(Protocol, String)>,
    rest: Duration,
    roused: Option<Instant>,
    /// How often the gateway has begun anew.
    resets: u64,
    outputs: VecDeque<Output>,
}

impl Mapper {
    /// One that knows no way yet.
    pub fn new(ports: Ports, rng: StdRng) -> Self {
        Self {
            ports,
            rng,
            way: Err(String::new()),
            step: Step::Idle,
            state: State::Asking,
            failures: Vec::new(),
            rest: REST.0,
            roused: None,
            resets: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one fact.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Way(way) => self.on_way(way, now),
            Input::Packet(bytes) => self.on_packet(bytes, now),
            Input::Announcement(bytes) => self.on_announcement(bytes, now),
            Input::Refused => self.on_refused(now),
            Input::Found(found) => self.on_found(found, now),
            Input::Answered(answer) => {
                if let Step::Speaking(Speech::Upnp(talk), _) = &mut self.step {
                    talk.on_answer(answer, &mut self.rng);
                }
            }
            Input::Doubtful => match self.step {
                Step::Speaking(_, Phase::Held { .. }) => self.renew(now),
                Step::Resting { .. } => self.begin(now),
                _ => {}
            },
            Input::Stop => self.on_stop(now),
            Input::Wake => self.on_time(now),
        }
        self.settle(now);
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Wake`], if nothing else comes before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let Step::Speaking(speech, phase) = &self.step else {
            return match self.step {
                Step::Resting { until } => Some(until),
                _ => None,
            };
        };
        let asked = match speech {
            Speech::Datagrams(datagrams) => datagrams.next_timeout(),
            Speech::Upnp(_) => None,
        };
        let due = match *phase {
            Phase::First => None,
            Phase::Held { renew, ends } => Some(renew.min(ends)),
            Phase::Renewing { ends } => Some(ends),
            Phase::Leaving { until } => Some(until),
        };
        asked.into_iter().chain(due).min()
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The way that it knows.
    pub fn way(&self) -> Option<Way> {
        self.way.as_ref().ok().copied()
    }

    /// How often its gateway was noticed to have begun anew while it held something.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Has all been given back, or is there nothing to give?
    pub fn has_ended(&self) -> bool {
        matches!(self.step, Step::Gone)
    }

    fn on_way(&mut self, way: Result<Way, String>, now: Instant) {
        if matches!(self.step, Step::Gone | Step::Speaking(_, Phase::Leaving { .. })) {
            return;
        }
        match way {
            Ok(way) if self.way == Ok(way) => {}
            Ok(way) => {
                // What another gateway opened, or the same for another address, is of no use.
                (self.way, self.state, self.rest) = (Ok(way), State::Asking, REST.0);
                self.begin(now);
            }
            Err(why) => {
                self.state = State::Off(why.clone());
                (self.way, self.step) = (Err(why), Step::Idle);
            }
        }
    }

    /// Asks in the order of protocols, from the first.
    fn begin(&mut self, now: Instant) {
        let Ok(way) = self.way else { return };
        if matches!(self.state, State::Mapped(_)) {
            self.state = State::Asking;
        }
        self.failures.clear();
        self.speak(Protocol::Pcp, way, now);
    }

    fn speak(&mut self, protocol: Protocol, way: Way, now: Instant) {
        let mut datagrams = Datagrams::new(protocol, way, self.ports, &mut self.rng);
        datagrams.begin(Round::Map, now);
        self.step = Step::Speaking(Speech::Datagrams(Box::new(datagrams)), Phase::First);
    }

    /// This protocol came to nothing: the next one.
    fn on_failed(&mut self, protocol: Protocol, why: String, now: Instant) {
        self.failures.push((protocol, why));
        let Ok(way) = self.way else { return };
        match protocol {
            // NAT-PMP knows no IPv6.
            Protocol::Pcp if way.own.is_ipv4() => self.speak(Protocol::NatPmp, way, now),
            Protocol::Pcp | Protocol::NatPmp => self.search(way, now),
            Protocol::Upnp => self.rest(now),
        }
    }

    fn search(&mut self, way: Way, now: Instant) {
        if way.is_guess {
            // Who is at the other end of a tunnel is no router of a home.
            return self.rest(now);
        }
        self.step = Step::Searching;
        self.outputs.push_back(Output::Search);
    }

    fn rest(&mut self, now: Instant) {
        self.step = Step::Resting { until: now + self.rest };
        self.rest = (self.rest * 2).min(REST.1);
        let reasons: Vec<String> =
            self.failures.iter().map(|(protocol, why)| format!("{protocol}: {why}")).collect();
        self.state = State::Failed(reasons.join("; "));
    }

    fn on_packet(&mut self, bytes: &[u8], now: Instant) {
        if let Step::Speaking(Speech::Datagrams(datagrams), phase) = &mut self.step {
            let is_reset = datagrams.on_packet(bytes, now);
            if is_reset && matches!(phase, Phase::Held { .. }) {
                self.resets += 1;
                self.renew(now);
            }
        }
    }

    fn on_announcement(&mut self, bytes: &[u8], now: Instant) {
        if self.roused.is_some_and(|at| now < at + ROUSED_APART) {
            return;
        }
        let is_reset = match &mut self.step {
            Step::Speaking(Speech::Datagrams(datagrams), Phase::Held { .. }) => {
                datagrams.on_announcement(bytes, now)
            }
            _ => false,
        };
        if is_reset {
            self.roused = Some(now);
            self.resets += 1;
            self.renew(now);
        } else if let Step::Resting { .. } = self.step {
            // Somebody has just switched it on.
            self.roused = Some(now);
            self.begin(now);
        }
    }

    fn on_refused(&mut self, now: Instant) {
        let Step::Speaking(Speech::Datagrams(datagrams), Phase::First) = &self.step else { return };
        let Ok(way) = self.way else { return };
        // Both protocols share the port.
        let protocol = datagrams.protocol();
        self.failures.push((protocol, "nobody listens".to_owned()));
        if protocol == Protocol::Pcp && way.own.is_ipv4() {
            self.failures.push((Protocol::NatPmp, "nobody listens".to_owned()));
        }
        self.search(way, now);
    }

    fn on_found(&mut self, found: Result<Vec<Service>, String>, now: Instant) {
        let (Step::Searching, Ok(way)) = (&self.step, &self.way) else { return };
        let talk = found.and_then(|services| {
            let talk = Talk::new(*way, self.ports, services);
            talk.ok_or_else(|| "it opens no ports of this family".to_owned())
        });
        match talk {
            Ok(mut talk) => {
                talk.begin(Round::Map);
                self.step = Step::Speaking(Speech::Upnp(Box::new(talk)), Phase::First);
            }
            Err(why) => self.on_failed(Protocol::Upnp, why, now),
        }
    }

    fn on_stop(&mut self, now: Instant) {
        match &mut self.step {
            Step::Speaking(speech, phase) => {
                if !matches!(phase, Phase::Leaving { .. }) {
                    *phase = Phase::Leaving { until: now + LEAVE_MAX };
                    speech.begin(Round::Unmap, now);
                }
            }
            _ => self.step = Step::Gone,
        }
    }

    fn on_time(&mut self, now: Instant) {
        match &mut self.step {
            Step::Resting { until } if *until <= now => self.begin(now),
            Step::Speaking(speech, phase) => {
                if let Speech::Datagrams(datagrams) = speech {
                    datagrams.on_time(now);
                }
                match *phase {
                    Phase::Held { ends, .. } | Phase::Renewing { ends } if ends <= now => {
                        self.begin(now);
                    }
                    Phase::Held { renew, .. } if renew <= now => self.renew(now),
                    Phase::Leaving { until } if until <= now => self.step = Step::Gone,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn renew(&mut self, now: Instant) {
        if let Step::Speaking(speech, phase) = &mut self.step
            && let Phase::Held { ends, .. } = *phase
        {
            *phase = Phase::Renewing { ends };
            speech.begin(Round::Map, now);
        }
    }

    /// Sees to what came of what was said, and sends what is to be said now.
    fn settle(&mut self, now: Instant) {
        while let Step::Speaking(speech, phase) = &mut self.step
            && let Some(outcome) = speech.poll_outcome()
        {
            let protocol = speech.protocol();
            match (outcome, *phase) {
                (_, Phase::Leaving { .. }) => self.step = Step::Gone,
                (Outcome::Granted(granted), _) => {
                    let (least, most) = LIFETIMES;
                    let life = granted.lifetime.unwrap_or(LOOK_AFTER * 2).clamp(least, most);
                    *phase = Phase::Held { renew: now + life / 2, ends: now + life };
                    self.on_granted(protocol, granted);
                }
                (Outcome::Failed(why), Phase::First) => self.on_failed(protocol, why, now),
                (_, Phase::Renewing { ends } | Phase::Held { ends, .. }) => {
                    // As long as it holds there is hope.
                    let left = ends.saturating_duration_since(now);
                    let renew = now + (left / 2).max(RENEWALS_APART);
                    *phase = Phase::Held { renew, ends };
                }
                (Outcome::Ended, Phase::First) => self.step = Step::Gone,
            }
        }
        if let Step::Speaking(speech, _) = &mut self.step {
            speech.outputs(&mut self.outputs);
        }
    }

    fn on_granted(&mut self, protocol: Protocol, granted: Granted) {
        let Ok(way) = self.way else { return };
        let Granted { address, tcp, udp, lifetime } = granted;
        self.rest = REST.0;
        self.state =
            State::Mapped(Mapping { protocol, gateway: way.gateway, address, tcp, udp, lifetime });
    }
}

impl Speech {
    fn protocol(&self) -> Protocol {
        match self {
            Self::Datagrams(datagrams) => datagrams.protocol(),
            Self::Upnp(_) => Protocol::Upnp,
        }
    }

    fn begin(&mut self, round: Round, now: Instant) {
        match self {
            Self::Datagrams(datagrams) => datagrams.begin(round, now),
            Self::Upnp(talk) => talk.begin(round),
        }
    }

    fn poll_outcome(&mut self) -> Option<Outcome> {
        match self {
            Self::Datagrams(datagrams) => datagrams.poll_outcome(),
            Self::Upnp(talk) => talk.poll_outcome(),
        }
    }

    fn outputs(&mut self, outputs: &mut VecDeque<Output>) {
        match self {
            Self::Datagrams(datagrams) => {
                while let Some(packet) = datagrams.poll_packet() {
                    outputs.push_back(Output::Send(packet));
                }
            }
            Self::Upnp(talk) => {
                outputs.extend(
                    talk.poll_call().map(|(service, action)| Output::Call(service, action)),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;

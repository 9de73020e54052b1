//! Port mapping for one family as a machine: whom to ask in which order, when to ask again, and
//! what is given back at the end. PCP comes first, then NAT-PMP, then UPnP; with the first that
//! works the others stay silent. A mapping is renewed at half of the lifetime that was granted,
//! whatever was asked, and made anew when its gateway has begun anew. A conversation that is left
//! is kept for as long as the gateway may have a mapping of it, heard of or not: it is taken up
//! again by the same name (RFC 6887, 11.2, refuses another one), and given back at the end. Not
//! here: sockets, and what others are told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::datagrams::Datagrams;
use super::granted::{Granted, LIFETIME_MAX, Outcome, Round};
use super::igd::description::Service;
use super::igd::soap::{Action, Fault, Reply};
use super::igd::talk::Talk;
use super::types::{Mapping, Ports, Protocol, State, Way};

/// A mapping that is kept for ever is looked after so often: routers forget all at a restart.
const LOOK_AFTER: Duration = Duration::from_secs(20 * 60);
/// Lifetimes are believed between these: one that is told to be shorter would have us ask without
/// end, and one that is longer outlives most routers (RFC 6887, 15).
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(20), LIFETIME_MAX);
/// Between two attempts to renew.
const RENEWALS_APART: Duration = Duration::from_secs(4);
/// How long a gateway that opens nothing is left alone, doubled each time.
const REST: (Duration, Duration) = (Duration::from_secs(2 * 60), Duration::from_secs(30 * 60));
/// One that tells all that it has begun anew is heeded once in this time.
const ROUSED_APART: Duration = Duration::from_secs(60);
/// How long the end waits for the gateway.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// Conversations that are kept after they were left: three protocols over two ways out.
const LEFT_MAX: usize = 6;

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
    /// Our ports are others.
    Ports(Ports),
    /// Give back what there may be, and end.
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
    /// Conversations that were left, and may have left something.
    left: Vec<Speech>,
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
            left: Vec::new(),
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
            Input::Ports(ports) => self.on_ports(ports, now),
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
        let asked = match (speech, phase) {
            (Speech::Datagrams(datagrams), Phase::Held { .. }) => datagrams.reset_due(),
            (Speech::Datagrams(datagrams), _) => datagrams.next_timeout(),
            (Speech::Upnp(_), _) => None,
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
                self.way = Err(why);
                self.turn_to(Step::Idle, now);
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
        self.turn_to(Step::Idle, now);
        let mut datagrams = match self.taken_up(protocol, way, now) {
            Some(Speech::Datagrams(before)) => before,
            _ => Box::new(Datagrams::new(protocol, way, self.ports, &mut self.rng)),
        };
        datagrams.move_to(self.ports, &mut self.rng, now);
        self.step = Step::Speaking(Speech::Datagrams(datagrams), Phase::First);
    }

    /// Leaves whatever is being said.
    fn turn_to(&mut self, step: Step, now: Instant) {
        if let Step::Speaking(speech, _) = std::mem::replace(&mut self.step, step) {
            self.left.retain(|it| it.owes(now));
            if speech.owes(now) {
                if self.left.len() == LEFT_MAX {
                    self.left.remove(0);
                }
                self.left.push(speech);
            }
        }
    }

    /// A conversation that was left and may have left something.
    fn taken_up(&mut self, protocol: Protocol, way: Way, now: Instant) -> Option<Speech> {
        let is_it = |it: &Speech| it.protocol() == protocol && it.way() == way && it.owes(now);
        let at = self.left.iter().position(is_it)?;
        Some(self.left.remove(at))
    }

    fn on_ports(&mut self, ports: Ports, now: Instant) {
        if ports == self.ports {
            return;
        }
        self.ports = ports;
        if let Step::Speaking(speech, phase) = &mut self.step {
            match *phase {
                Phase::Leaving { .. } => return,
                Phase::First => {}
                Phase::Held { ends, .. } | Phase::Renewing { ends } => {
                    *phase = Phase::Renewing { ends };
                }
            }
            match speech {
                Speech::Datagrams(datagrams) => datagrams.move_to(ports, &mut self.rng, now),
                Speech::Upnp(talk) => talk.move_to(ports),
            }
        }
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
        self.turn_to(Step::Searching, now);
        self.outputs.push_back(Output::Search);
    }

    fn rest(&mut self, now: Instant) {
        self.turn_to(Step::Resting { until: now + self.rest }, now);
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
        match &mut self.step {
            Step::Speaking(_, Phase::Leaving { .. }) => {}
            Step::Speaking(Speech::Datagrams(datagrams), phase) => {
                if !datagrams.on_announcement(bytes, now) {
                    return;
                }
                self.resets += 1;
                match phase {
                    Phase::Held { .. } => self.renew(now),
                    // What was granted in this round is lost, too.
                    _ => datagrams.begin(Round::Map, now),
                }
            }
            Step::Resting { .. } if self.roused.is_none_or(|at| now >= at + ROUSED_APART) => {
                // Somebody has just switched it on.
                self.roused = Some(now);
                self.begin(now);
            }
            _ => {}
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
        let way = *way;
        let talk = found.and_then(|services| {
            let talk = Talk::new(way, self.ports, services);
            talk.ok_or_else(|| "it opens no ports of this family".to_owned())
        });
        match talk {
            Ok(mut talk) => {
                if let Some(Speech::Upnp(before)) = self.taken_up(Protocol::Upnp, way, now) {
                    talk.follow(*before);
                }
                talk.begin(Round::Map);
                self.step = Step::Speaking(Speech::Upnp(Box::new(talk)), Phase::First);
            }
            Err(why) => self.on_failed(Protocol::Upnp, why, now),
        }
    }

    fn on_stop(&mut self, now: Instant) {
        let until = now + LEAVE_MAX;
        match &mut self.step {
            Step::Gone | Step::Speaking(_, Phase::Leaving { .. }) => {}
            Step::Speaking(speech, phase) => {
                *phase = Phase::Leaving { until };
                speech.begin(Round::Unmap, now);
            }
            _ => self.give_back(until, now),
        }
    }

    /// Gives back what the conversations left that are over, one after the other.
    fn give_back(&mut self, until: Instant, now: Instant) {
        let way = self.way();
        let is_here = |it: &mut Speech| Some(it.way()) == way && it.owes(now);
        self.step = match self.left.extract_if(.., is_here).next() {
            Some(mut speech) => {
                speech.begin(Round::Unmap, now);
                Step::Speaking(speech, Phase::Leaving { until })
            }
            None => Step::Gone,
        };
    }

    fn on_time(&mut self, now: Instant) {
        match &mut self.step {
            Step::Resting { until } if *until <= now => self.begin(now),
            Step::Speaking(speech, phase) => {
                let mut is_reset = false;
                if let Speech::Datagrams(datagrams) = speech {
                    datagrams.on_time(now);
                    is_reset = matches!(phase, Phase::Held { .. }) && datagrams.is_reset_due(now);
                }
                self.resets += u64::from(is_reset);
                match *phase {
                    Phase::Held { ends, .. } | Phase::Renewing { ends } if ends <= now => {
                        self.begin(now);
                    }
                    Phase::Held { renew, .. } if is_reset || renew <= now => self.renew(now),
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
                (_, Phase::Leaving { until }) => {
                    speech.outputs(&mut self.outputs);
                    self.give_back(until, now);
                }
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

    fn way(&self) -> Way {
        match self {
            Self::Datagrams(datagrams) => datagrams.way(),
            Self::Upnp(talk) => talk.way(),
        }
    }

    /// May the gateway have a mapping of it?
    fn owes(&self, now: Instant) -> bool {
        match self {
            Self::Datagrams(datagrams) => datagrams.owes(now),
            Self::Upnp(talk) => talk.owes(),
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

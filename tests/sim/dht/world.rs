//! One net in virtual time: real nodes, responders whose tables are computed, lines with delay,
//! loss and translators. All chance comes from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pigeon::base::ids::InfoHash;
use pigeon::dht::{Config, Haste, Hint, Input, Node, Output, Ticket};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::breeds::LIE;
use super::letters::{self, Letter};
use super::sky::{Sky, lognormal};
use super::watch::{Asked, Watch};

/// A translator's mapping of UDP.
const MAPPING: Duration = Duration::from_secs(30);
/// Between two looks inside a node; from outside each step is looked at.
const LOOK_EACH: u64 = 64;

/// A machine with one real node.
pub struct Host {
    /// Where others see it, if nothing translates.
    pub address: SocketAddr,
    pub node: Option<Node>,
    pub watch: Watch,
    /// Behind a translator that has a port for each remote address.
    pub is_translated: bool,
    /// Nothing comes and nothing leaves.
    pub is_cut: bool,
    /// What it saved last.
    pub saved: Option<Vec<u8>>,
    /// The node of the other family on the same machine.
    pub sibling: Option<usize>,
    latency: Duration,
    due: Option<Instant>,
}

/// What is wrong with the lines.
#[derive(Clone, Copy, Default, Debug)]
pub struct Lines {
    pub loss_percent: u32,
    pub doubled_percent: u32,
    /// Half of the longest addition to a way, which reorders.
    pub jitter: Duration,
    pub median_ms: f64,
    pub sigma: f64,
}

pub struct Told {
    pub at: Duration,
    pub output: Output,
}

/// An `announce_peer` that arrived at a real node.
pub struct Announce {
    pub to: usize,
    pub hash: [u8; 20],
}

enum What {
    Wake(usize),
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

struct Event {
    at: Instant,
    number: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct World {
    pub began: Instant,
    pub now: Instant,
    pub rng: StdRng,
    pub hosts: Vec<Host>,
    pub sky: Option<Sky>,
    pub lines: Lines,
    pub told: Vec<Told>,
    pub announces: Vec<Announce>,
    /// What arrived where nobody is, with whom it was for.
    pub astray: Vec<(SocketAddr, Vec<u8>)>,
    /// Sees all queries and answers them from his own address.
    pub eavesdropper: Option<SocketAddr>,
    /// A sum over all datagrams and their times.
    pub trace: u64,
    pub sent: u64,
    by_address: HashMap<SocketAddr, usize>,
    queue: BinaryHeap<Reverse<Event>>,
    numbers: u64,
    steps: u64,
    tickets: u64,
    /// Host and remote address → port outside and when it was used last; and the way back.
    mappings: BTreeMap<(usize, SocketAddr), (u16, Instant)>,
    outside: BTreeMap<SocketAddr, (usize, SocketAddr)>,
}

impl World {
    pub fn new(seed: u64, lines: Lines, sky: Option<Sky>) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            now,
            rng: StdRng::seed_from_u64(seed),
            hosts: Vec::new(),
            sky,
            lines,
            told: Vec::new(),
            announces: Vec::new(),
            astray: Vec::new(),
            eavesdropper: None,
            trace: 0xcbf2_9ce4_8422_2325,
            sent: 0,
            by_address: HashMap::new(),
            queue: BinaryHeap::new(),
            numbers: 0,
            steps: 0,
            tickets: 0,
            mappings: BTreeMap::new(),
            outside: BTreeMap::new(),
        }
    }

    pub fn age(&self) -> Duration {
        self.now - self.began
    }

    /// A host without its node yet.
    pub fn add(
        &mut self,
        address: SocketAddr,
        is_translated: bool,
        saved: Option<Vec<u8>>,
    ) -> usize {
        let latency = lognormal(self.lines.median_ms, self.lines.sigma, &mut self.rng);
        let number = self.hosts.len();
        self.hosts.push(Host {
            address,
            node: None,
            watch: Watch::new(self.now),
            is_translated,
            is_cut: false,
            saved,
            sibling: None,
            latency,
            due: None,
        });
        if !is_translated {
            self.by_address.insert(address, number);
        }
        number
    }

    /// Its node begins with what it saved. It does not know its public address, or it does.
    pub fn start(&mut self, host: usize, knows_address: bool) {
        let it = &self.hosts[host];
        let any = if it.address.is_ipv4() { "0.0.0.0" } else { "::" };
        let any = SocketAddr::new(any.parse().expect("an address"), it.address.port());
        let local = if knows_address { it.address } else { any };
        let seed = self.rng.random();
        let config = Config { local, seed, read_only: false, fresh_flows: 64 };
        let node = Node::new(config, it.saved.as_deref(), self.now);
        let address = self.hosts[host].address;
        if knows_address || node.health(self.now).public == Some(address.ip()) {
            self.hosts[host].watch.knows(address, self.now);
        }
        self.hosts[host].node = Some(node);
        self.take(host, &mut None);
    }

    /// Its node ends, well or by a crash.
    pub fn stop(&mut self, host: usize, is_orderly: bool) {
        let now = self.now;
        let it = &mut self.hosts[host];
        if let Some(node) = it.node.take().filter(|_| is_orderly) {
            it.saved = Some(node.save(now));
        }
        it.due = None;
        it.watch = Watch::new(self.began);
    }

    pub fn node(&self, host: usize) -> &Node {
        self.hosts[host].node.as_ref().expect("it is up")
    }

    pub fn handle(&mut self, host: usize, input: Input<'_>) {
        self.give(host, input, &mut None);
    }

    pub fn announce(&mut self, host: usize, hash: [u8; 20], haste: Haste) {
        self.hosts[host].watch.announced.insert(hash);
        let (hash, port) = (InfoHash(hash), 7_000);
        self.handle(host, Input::Announce { hash, port, implied: false, seed: false, haste });
    }

    pub fn forget(&mut self, host: usize, hash: [u8; 20]) {
        self.hosts[host].watch.announced.remove(&hash);
        self.handle(host, Input::Forget { hash: InfoHash(hash) });
    }

    pub fn find(&mut self, host: usize, hash: [u8; 20], haste: Haste) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.hosts[host].watch.asks(ticket, self.now);
        self.handle(host, Input::Find { ticket, hash: InfoHash(hash), haste });
        ticket
    }

    /// When, after it was asked, the first peer came, and all that came.
    pub fn found(&self, ticket: Ticket, since: Duration) -> (Option<Duration>, Vec<SocketAddr>) {
        let (mut first, mut all) = (None, Vec::new());
        for told in &self.told {
            if let Output::Peers { peers, ticket: Some(of), .. } = &told.output
                && *of == ticket
            {
                first.get_or_insert(told.at.saturating_sub(since));
                all.extend(peers);
            }
        }
        (first, all)
    }

    /// A host has another public address.
    pub fn move_to(&mut self, host: usize, address: SocketAddr) {
        self.by_address.remove(&self.hosts[host].address);
        self.by_address.insert(address, host);
        self.hosts[host].address = address;
    }

    /// A datagram that no node of ours sent.
    pub fn throw(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.push(self.now + Duration::from_millis(20), What::Datagram { from, to, bytes });
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(Reverse(event)) = self.queue.peek() {
            if event.at > end {
                break;
            }
            let Some(Reverse(event)) = self.queue.pop() else { break };
            self.now = self.now.max(event.at);
            match event.what {
                What::Wake(host) => {
                    if self.hosts[host].due == Some(event.at) {
                        self.hosts[host].watch.wakes += 1;
                        self.give(host, Input::Wake, &mut None);
                    }
                }
                What::Datagram { from, to, bytes } => self.arrive(from, to, &bytes),
            }
        }
        self.now = end;
        for host in &self.hosts {
            host.watch.look(end);
            if let Some(node) = &host.node {
                node.check_invariants(end);
            }
        }
    }

    fn push(&mut self, at: Instant, what: What) {
        self.numbers += 1;
        self.queue.push(Reverse(Event { at, number: self.numbers, what }));
    }

    fn give(&mut self, host: usize, input: Input<'_>, asked: &mut Option<Asked>) {
        let now = self.now;
        if let Some(node) = &mut self.hosts[host].node {
            node.handle(input, now);
            self.take(host, asked);
        }
    }

    /// Carries out what a node wants.
    fn take(&mut self, host: usize, asked: &mut Option<Asked>) {
        let now = self.now;
        let mut others = Vec::new();
        while let Some(output) = self.hosts[host].node.as_mut().and_then(Node::poll_output) {
            self.hosts[host].watch.output(&output, asked, now);
            match output {
                Output::Send { to, bytes } => self.send(host, to, bytes),
                Output::Public { address } => {
                    let it = &mut self.hosts[host];
                    let own = SocketAddr::new(address, it.address.port());
                    it.watch.knows(own, now);
                    self.told.push(Told { at: now - self.began, output });
                }
                Output::Save { bytes } => self.hosts[host].saved = Some(bytes),
                Output::Others { nodes } => others.extend(nodes),
                output => self.told.push(Told { at: now - self.began, output }),
            }
        }
        self.steps += 1;
        let is_looked_at = self.steps.is_multiple_of(LOOK_EACH);
        let it = &mut self.hosts[host];
        let Some(node) = &it.node else { return };
        if is_looked_at {
            node.check_invariants(now);
            it.watch.look(now);
        }
        let due = node.next_timeout();
        if due != it.due {
            it.due = due;
            if let Some(due) = due {
                assert!(due > now, "it wants to be woken at once");
                self.push(due, What::Wake(host));
            }
        }
        if let Some(sibling) = self.hosts[host].sibling {
            for address in others {
                self.handle(sibling, Input::Hinted { address, by: Hint::Other });
            }
        }
    }

    /// Nodes of one machine tell each other how they are.
    pub fn tell_siblings(&mut self) {
        for host in 0..self.hosts.len() {
            let good = self.hosts[host].node.as_ref().map(|node| node.health(self.now).good);
            if let (Some(good), Some(sibling)) = (good, self.hosts[host].sibling) {
                self.handle(sibling, Input::Other { good });
            }
        }
    }

    fn send(&mut self, host: usize, to: SocketAddr, bytes: Vec<u8>) {
        for byte in bytes.iter().chain(&self.age().as_micros().to_le_bytes()) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.sent += 1;
        if self.hosts[host].is_cut {
            return;
        }
        let from = self.outside(host, to);
        if let Some(enemy) = self.eavesdropper {
            let values = [SocketAddr::from(LIE)];
            let letter = Letter { id: [7; 20], values: Some(&values), ..Letter::default() };
            let reply = letter.write(letters::transaction(&bytes));
            self.push(
                self.now + Duration::from_millis(1),
                What::Datagram { from: enemy, to: from, bytes: reply },
            );
        }
        let latency = self.hosts[host].latency;
        self.carry(latency, from, to, bytes);
    }

    /// The address that a datagram to `to` comes from.
    fn outside(&mut self, host: usize, to: SocketAddr) -> SocketAddr {
        let it = &self.hosts[host];
        if !it.is_translated {
            return it.address;
        }
        let (ip, now) = (it.address.ip(), self.now);
        let port = match self.mappings.get(&(host, to)) {
            Some((port, used)) if now <= *used + MAPPING => *port,
            _ => self.rng.random_range(1_024..65_000),
        };
        self.mappings.insert((host, to), (port, now));
        let address = SocketAddr::new(ip, port);
        self.outside.insert(address, (host, to));
        address
    }

    fn carry(&mut self, latency: Duration, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let Lines { loss_percent, doubled_percent, jitter, .. } = self.lines;
        let way = latency + self.far_latency(&to) + jitter.mul_f64(self.rng.random::<f64>());
        let is_doubled = self.rng.random_range(0..100) < doubled_percent;
        for _ in 0..=u32::from(is_doubled) {
            if self.rng.random_range(0..100) >= loss_percent {
                let bytes = bytes.clone();
                self.push(self.now + way, What::Datagram { from, to, bytes });
            }
        }
    }

    /// The other end's part of the way.
    fn far_latency(&self, to: &SocketAddr) -> Duration {
        let of_sky = || self.sky.as_ref().and_then(|sky| Some(sky.star(sky.find(to)?).latency));
        let of_host = self.by_address.get(to).map(|host| self.hosts[*host].latency);
        of_host.or_else(of_sky).unwrap_or(Duration::from_millis(10))
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if let Some(host) = self.receiver(from, to) {
            if self.hosts[host].is_cut || self.hosts[host].node.is_none() {
                return;
            }
            if letters::is_announce(bytes)
                && let Some(hash) = letters::hash(bytes)
            {
                self.announces.push(Announce { to: host, hash });
            }
            let mut asked = Some(self.hosts[host].watch.received(from, bytes));
            self.give(host, Input::Datagram { from, bytes }, &mut asked);
        } else if let Some(sky) = &mut self.sky
            && let Some(star) = sky.find(&to)
        {
            if let Some((bytes, late)) = sky.answer(star, from, bytes, self.now) {
                let latency = sky.star(star).latency + late;
                self.carry(latency, to, from, bytes);
            }
        } else if self.sky.is_some() {
            self.astray.push((to, bytes.to_vec()));
        }
    }

    /// Which host a datagram reaches.
    fn receiver(&self, from: SocketAddr, to: SocketAddr) -> Option<usize> {
        if let Some(host) = self.by_address.get(&to) {
            return Some(*host);
        }
        let (host, remote) = self.outside.get(&to)?;
        let (port, used) = self.mappings.get(&(*host, *remote))?;
        let is_open = *remote == from && *port == to.port() && self.now <= *used + MAPPING;
        is_open.then_some(*host)
    }
}

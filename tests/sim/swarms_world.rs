//! A world of many brains in virtual time: links between them with latency, lines with rates up
//! and down, disks that take time, a tracker. Blocks carry no bytes and are always right. Each
//! step is checked against the ledger. All chance comes from one seed.

mod brain;
mod coming;
mod line;
mod seeking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pigeon::base::bitfield::Bitfield;
use pigeon::base::extents::Extents;
use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::{BlockRef, Layout};
use pigeon::base::pool::{Block, BlockPool};
use pigeon::base::units::BLOCK_LEN;
use pigeon::seek::{CheckId, Checked};
use pigeon::swarm::choker::slots;
use pigeon::swarm::event::{DownReason, Input, Output, Preparation, Source, Verdict};
use pigeon::swarm::link::{
    Ask, Availability, Description, LinkCaps, LinkCommand, LinkEvent, PeerCommand, Unit,
};
use pigeon::swarm::{Seeker, Swarm, SwarmConfig};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use brain::{Brain, Liar};
use line::spoken;
use seeking::Early;

use super::short::short;
use super::swarms_ledger::Giving;
use super::swarms_setup::{Member, Rider, Setup};

/// How long a line down is taken by what is on its way to it before senders are held back, as
/// congestion control does.
const BACKLOG: Duration = Duration::from_millis(300);
/// Bytes sent that a link tells at once while more wait, as the real one does.
const TELL_LEN: u32 = 8 * BLOCK_LEN as u32;
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);
/// Addresses in an answer of the tracker.
const TOLD: usize = 50;

/// One brain and its line.
struct Node {
    member: Member,
    brain: Option<Brain>,
    /// Which wire and which end of it a link is.
    links: BTreeMap<LinkId, (usize, usize)>,
    tick_at: Option<Duration>,
    disk_free: Duration,
    down_free: Duration,
    sending: bool,
    /// Somebody waits until less is on its way to it.
    holds_back: bool,
    /// Ends of wires with blocks to send, the next one first.
    turns: VecDeque<(usize, usize)>,
    complete_at: Option<Duration>,
    found_at: Option<Duration>,
    /// When the pieces of metadata that were ordered have left.
    words_free: Duration,
    /// Addresses that the user or the tracker named.
    named: BTreeSet<SocketAddr>,
    /// Dials on which no peers are to be exchanged.
    stopped: BTreeSet<LinkId>,
}

/// A link between two brains; each end is one direction of it.
struct Wire {
    fast: bool,
    since: Duration,
    ends: [End; 2],
}

struct End {
    node: usize,
    link: LinkId,
    is_open: bool,
    giving: Giving,
    parcels: VecDeque<Ask>,
    /// It has a place among the turns of its node.
    is_queued: bool,
    /// A block is on the line: words must wait, nothing may come between its bytes.
    is_sending: bool,
    held_words: Vec<LinkEvent>,
    untold: u32,
    /// Nothing may arrive before what was said before.
    last_arrival: Duration,
    /// What this end has told of itself, and what the other one has told it.
    told: Description,
    heard: Option<Description>,
    is_introduced: bool,
    /// What the other one says until this one knows the torrent.
    early: Option<Early>,
}

enum Happening {
    Join(usize),
    Leave(usize),
    Announce(usize),
    Tick(usize),
    Dialled {
        node: usize,
        link: LinkId,
        to: usize,
    },
    Disk(usize, Input),
    /// Words from this end of the wire reach the other one.
    Words(usize, usize, Vec<LinkEvent>),
    /// The same for a block.
    Block(usize, usize, BlockRef),
    /// The line of the node has taken the block of this end.
    Sent(usize, usize, Ask),
    /// A link that gives nothing tells that it has.
    Pretend(usize, usize, u32),
    /// The end learns that the link is down.
    Down(usize, usize),
    /// The link is lost to both ends.
    Break(usize),
    Hashed(usize, CheckId, Checked),
    /// A piece of metadata has left.
    Gave(usize, usize, u32, Box<[u8]>),
    Lie(usize, usize),
    LiarDials(usize),
}

/// Bytes that one member got from another while the giver had everything, and while not.
#[derive(Clone, Copy, Default, Debug)]
pub struct Given {
    pub as_seed: u64,
    pub as_leecher: u64,
}

pub struct World {
    pub now: Duration,
    /// By giver and taker.
    pub given: BTreeMap<(usize, usize), Given>,
    /// When who unchoked whom.
    pub unchokes: Vec<(Duration, usize, usize)>,
    /// A number that stands for all that was said, if it is asked for.
    pub trace: Option<u64>,
    /// What has happened that is worth a test, and how often.
    pub reached: BTreeMap<&'static str, u32>,
    setup: Setup,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    began: Instant,
    queue: BTreeMap<(Duration, u64), Happening>,
    next_number: u64,
    pool: BlockPool,
    rng: StdRng,
    /// What links kept for brains that know the torrent now.
    kept: Vec<(usize, LinkId, Vec<LinkEvent>)>,
    facts: u64,
    verbose: bool,
}

impl World {
    pub fn new(setup: Setup, verbose: bool) -> Self {
        let node = |member: &Member| Node {
            member: member.clone(),
            brain: None,
            links: BTreeMap::new(),
            tick_at: None,
            disk_free: Duration::ZERO,
            down_free: Duration::ZERO,
            sending: false,
            holds_back: false,
            turns: VecDeque::new(),
            complete_at: None,
            found_at: None,
            words_free: Duration::ZERO,
            named: BTreeSet::new(),
            stopped: BTreeSet::new(),
        };
        let mut world = Self {
            now: Duration::ZERO,
            given: BTreeMap::new(),
            unchokes: Vec::new(),
            trace: None,
            reached: BTreeMap::new(),
            nodes: setup.members.iter().map(node).collect(),
            wires: Vec::new(),
            began: Instant::now(),
            queue: BTreeMap::new(),
            next_number: 0,
            pool: BlockPool::new(1 << 40),
            rng: StdRng::seed_from_u64(setup.seed),
            kept: Vec::new(),
            facts: 0,
            verbose,
            setup,
        };
        for number in 0..world.nodes.len() {
            let Member { joins, leaves, .. } = world.nodes[number].member;
            world.after(joins, Happening::Join(number));
            if let Some(leaves) = leaves {
                world.after(leaves, Happening::Leave(number));
            }
        }
        world
    }

    /// Runs until everybody who stays is complete, at most until `limit`: when the last one was.
    pub fn run(&mut self, limit: Duration) -> Option<Duration> {
        while self.now <= limit {
            let mut left = self.nodes.iter().filter(|node| node.is_expected());
            if left.all(|node| node.complete_at.is_some()) {
                return self.nodes.iter().filter_map(|node| node.complete_at).max();
            }
            if !self.step() {
                return None;
            }
        }
        None
    }

    /// Runs on for so long.
    pub fn run_on(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
    }

    /// When the member had everything.
    pub fn complete_at(&self, number: usize) -> Option<Duration> {
        self.nodes[number].complete_at
    }

    /// What the member gave to all.
    pub fn given_by(&self, number: usize) -> u64 {
        let by = self.given.iter().filter(|((giver, _), _)| *giver == number);
        by.map(|(_, given)| given.as_seed + given.as_leecher).sum()
    }

    /// What is wrong with a member that should be complete, for people.
    pub fn laggards(&self) -> String {
        let now = self.began + self.now;
        let late = self.nodes.iter().enumerate().filter(|(_, node)| {
            node.complete_at.is_none() && node.is_expected() && node.brain.is_some()
        });
        late.map(|(number, node)| {
            let swarm = node.brain.as_ref().and_then(Brain::swarm);
            let swarm = swarm.map(|swarm| (swarm.snapshot(now), swarm.links(now)));
            format!("{number}: {:?}\n{swarm:?}\n", node.member)
        })
        .collect()
    }

    /// Two complete members have nothing to say to each other, once they know it.
    pub fn assert_no_links_between_seeds(&self) {
        let old = |wire: &&Wire| wire.since + Duration::from_secs(5) < self.now;
        for wire in self.wires.iter().filter(old).filter(|wire| wire.ends[0].is_open) {
            let swarm = |end: &End| self.nodes[end.node].brain.as_ref().and_then(Brain::swarm);
            let complete = |end: &End| swarm(end).is_some_and(Swarm::is_complete);
            assert!(
                !wire.ends.iter().all(complete),
                "a link between {} and {}, both complete",
                wire.ends[0].node,
                wire.ends[1].node
            );
        }
    }

    fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.happen(happening);
        true
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn at(&mut self, at: Duration, happening: Happening) {
        self.next_number += 1;
        self.queue.insert((at, self.next_number), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Join(number) => self.join(number),
            Happening::Leave(number) => self.leave(number),
            Happening::Announce(number) => self.announce(number),
            Happening::Tick(number) => {
                let node = &mut self.nodes[number];
                node.tick_at = None;
                let due = node.brain.as_ref().and_then(Brain::next_timeout);
                if due.is_some_and(|due| due <= self.began + self.now) {
                    self.handle(number, Input::Tick);
                } else {
                    self.wind(number);
                }
            }
            Happening::Dialled { node, link, to } => self.dialled(node, link, to),
            Happening::Disk(number, input) => self.handle(number, input),
            Happening::Words(wire, end, events) => self.hear(wire, 1 - end, events),
            Happening::Block(wire, end, block) => {
                self.let_on(self.wires[wire].ends[1 - end].node);
                let data = self.data();
                self.hear(wire, 1 - end, vec![LinkEvent::Blocks(vec![(block, data)])]);
            }
            Happening::Sent(wire, end, ask) => self.sent(wire, end, ask),
            Happening::Pretend(wire, end, bytes) => {
                self.hear(wire, end, vec![LinkEvent::Sent(bytes)]);
            }
            Happening::Down(wire, end) => self.down(wire, end),
            Happening::Break(wire) => self.break_wire(wire),
            Happening::Hashed(number, check, verdict) => self.hashed(number, check, verdict),
            Happening::Gave(wire, end, piece, bytes) => self.gave(wire, end, piece, bytes),
            Happening::Lie(wire, end) => self.lie_again(wire, end),
            Happening::LiarDials(number) => self.liar_dials(number),
        }
    }

    fn data(&self) -> Block {
        let mut taken = Vec::new();
        self.pool.take(1, &mut taken);
        taken.pop().expect("the pool of a world has no bound")
    }

    /// Facts reach this end of the wire.
    fn hear(&mut self, wire: usize, end: usize, events: Vec<LinkEvent>) {
        let End { node, link, is_open, .. } = self.wires[wire].ends[end];
        if !is_open || self.nodes[node].brain.is_none() {
            return;
        }
        if let Some(lie) = self.nodes[node].brain.as_ref().and_then(Brain::lie) {
            return self.lie_to(wire, end, lie, &events);
        }
        let events = self.heard(wire, end, events);
        let giving = &mut self.wires[wire].ends[end].giving;
        let mut wakes = false;
        for event in &events {
            match event {
                LinkEvent::Requested(ask) => giving.asked(ask, self.now),
                LinkEvent::Interested => giving.interested = true,
                LinkEvent::NotInterested => giving.interested = false,
                _ => {}
            }
            wakes |= matches!(event, LinkEvent::Requested(_) | LinkEvent::Interested);
        }
        let taker = node;
        for event in &events {
            if let LinkEvent::Blocks(blocks) = event {
                let giver = self.wires[wire].ends[1 - end].node;
                let bytes = blocks.iter().map(|(block, _)| u64::from(block.len_bytes())).sum();
                self.note_given(giver, taker, bytes);
            }
        }
        self.handle(node, Input::LinkEvents { link, events });
        if wakes {
            self.check_slots(node);
        }
    }

    fn note_given(&mut self, giver: usize, taker: usize, bytes: u64) {
        let given = self.given.entry((giver, taker)).or_default();
        match self.nodes[giver].complete_at {
            Some(_) => given.as_seed += bytes,
            None => given.as_leecher += bytes,
        }
    }

    fn handle(&mut self, number: usize, input: Input) {
        let now = self.began + self.now;
        let Some(brain) = self.nodes[number].brain.as_mut() else { return };
        if self.verbose {
            eprintln!("{:>9.3} {number}: {}", self.now.as_secs_f64(), short(&input));
        }
        brain.handle(input, now);
        self.settled(number);
    }

    /// Carries out what follows.
    fn settled(&mut self, number: usize) {
        let (outputs, is_found) = self.poll(number);
        self.facts += 1;
        let Some(brain) = self.nodes[number].brain.as_ref() else { return };
        if self.facts.is_multiple_of(self.setup.audit_every) {
            brain.check_invariants();
        }
        let is_complete = brain.swarm().is_some_and(Swarm::is_complete);
        if is_complete && self.nodes[number].complete_at.is_none() {
            self.nodes[number].complete_at = Some(self.now);
            if let Some(stay) = self.nodes[number].member.leaves_complete {
                self.after(stay, Happening::Leave(number));
            }
        }
        let mut words: BTreeMap<(usize, usize), Vec<LinkEvent>> = BTreeMap::new();
        let mut is_rechoked = false;
        for output in outputs {
            self.note(number, &output);
            self.check_blame(number, &output);
            if let Output::Send { link, command } = output {
                is_rechoked |= matches!(command, LinkCommand::Peer(PeerCommand::Unchoke));
                self.order(number, link, command, &mut words);
            } else {
                self.carry_out(number, output);
            }
        }
        for ((wire, end), events) in words {
            self.say(wire, end, events);
        }
        if is_rechoked {
            self.check_slots(number);
        }
        self.pump(number);
        self.wind(number);
        if is_found {
            self.hand_over(number);
        }
        for (number, link, events) in std::mem::take(&mut self.kept) {
            self.tell_kept(number, link, events);
        }
    }

    fn tell_kept(&mut self, number: usize, link: LinkId, events: Vec<LinkEvent>) {
        if let Some((wire, end)) = self.nodes[number].links.get(&link).copied() {
            let is_interested = events.iter().any(|it| matches!(it, LinkEvent::Interested));
            self.wires[wire].ends[end].giving.interested |= is_interested;
            self.handle(number, Input::LinkEvents { link, events });
            self.check_slots(number);
        }
    }

    fn note(&mut self, number: usize, output: &Output) {
        if self.verbose {
            eprintln!("{:>9.3} {number}:    {}", self.now.as_secs_f64(), short(output));
        }
        let told = |command: &LinkCommand| {
            matches!(command, LinkCommand::Peer(PeerCommand::Availability(_)))
        };
        // A set of pieces shows where it lies in memory.
        let is_set = matches!(output, Output::Send { command, .. } if told(command));
        if let Some(trace) = self.trace.as_mut().filter(|_| !is_set) {
            let text = format!("{:?} {number} {}", self.now, short(output));
            // FNV-1a.
            *trace = text
                .bytes()
                .fold(*trace, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        }
    }

    /// Sees to it that the brain gets its tick.
    fn wind(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(due) = node.brain.as_ref().and_then(Brain::next_timeout) else { return };
        let due = due.saturating_duration_since(self.began).max(self.now);
        if node.tick_at.is_none_or(|at| due < at) {
            node.tick_at = Some(due);
            self.at(due, Happening::Tick(number));
        }
    }

    fn carry_out(&mut self, number: usize, output: Output) {
        match output {
            Output::Dial { link, address, .. } => {
                let to = node_at(address);
                if self.is_private(number) {
                    let is_named = self.nodes[number].named.contains(&address);
                    assert!(is_named, "{number} dials {to}, whom only peers named");
                    self.nodes[number].stopped.insert(link);
                }
                let delay = self.latency(number, to) * 2;
                self.after(delay, Happening::Dialled { node: number, link, to });
            }
            Output::CheckPiece { piece, want_block_hashes, .. } => {
                assert!(!want_block_hashes, "nobody lies here");
                let verdict = Verdict::Good(None);
                self.give_to_disk(number, Input::PieceChecked { piece, verdict });
            }
            Output::PreparePiece { piece, prove } => {
                let swarm = self.nodes[number].brain.as_ref().and_then(Brain::swarm);
                assert!(swarm.is_some_and(|swarm| swarm.have().has(piece)), "{piece:?} lacks");
                let rots = prove && self.rng.random_range(0..100) < self.nodes[number].member.rots;
                let outcome = match rots {
                    false => Preparation::Ready,
                    true if self.rng.random() => Preparation::Lost("rotten".into()),
                    true => Preparation::Unreadable("busy".into()),
                };
                if matches!(outcome, Preparation::Lost(_)) {
                    // It is complete only when it has that piece again.
                    self.nodes[number].complete_at = None;
                }
                self.give_to_disk(number, Input::Prepared { piece, outcome });
            }
            Output::SpillBlocks { .. } => unreachable!("there is memory for all of it"),
            Output::Lease { .. } => unreachable!("there is no server of files"),
            Output::Send { .. } | Output::Event(_) => {}
        }
    }

    fn give_to_disk(&mut self, number: usize, answer: Input) {
        let node = &mut self.nodes[number];
        node.disk_free = node.disk_free.max(self.now) + node.member.disk;
        let at = node.disk_free;
        self.at(at, Happening::Disk(number, answer));
    }

    fn order(
        &mut self,
        number: usize,
        link: LinkId,
        command: LinkCommand,
        words: &mut BTreeMap<(usize, usize), Vec<LinkEvent>>,
    ) {
        let Some((wire, end)) = self.nodes[number].links.get(&link).copied() else {
            return self.order_early(number, link, &command);
        };
        if self.setup.describes
            && let Some(events) = self.order_extended(number, (wire, end), &command)
        {
            return words.entry((wire, end)).or_default().extend(events);
        }
        let Wire { fast, ends, .. } = &mut self.wires[wire];
        let taker = ends[1 - end].node;
        let End { giving, parcels, .. } = &mut ends[end];
        let layout = &self.setup.layout;
        let rider = self.nodes[number].member.rider;
        let words_of = |words: &mut BTreeMap<(usize, usize), Vec<LinkEvent>>, events| {
            words.entry((wire, end)).or_default().extend::<Vec<_>>(events);
        };
        match &command {
            LinkCommand::Peer(PeerCommand::Unchoke | PeerCommand::AllowFast(_))
                if rider == Some(Rider::Chokes) =>
            {
                return;
            }
            LinkCommand::Peer(PeerCommand::SendBlocks(asks)) if rider.is_some() => {
                let bytes = asks.iter().map(|ask| ask.len).sum();
                let no = asks.iter().filter_map(|ask| refused(layout, ask));
                words_of(words, no.collect());
                return self.after(Duration::from_millis(1), Happening::Pretend(wire, end, bytes));
            }
            LinkCommand::Peer(PeerCommand::SendBlocks(asks)) => {
                let swarm = self.nodes[number].brain.as_ref().and_then(Brain::swarm);
                for ask in asks {
                    let has = swarm.is_some_and(|swarm| swarm.have().has(ask.piece));
                    assert!(has, "{number} sends {ask:?} and lacks it");
                    giving.hand(ask);
                }
                parcels.extend(asks);
                if !ends[end].is_queued {
                    ends[end].is_queued = true;
                    self.nodes[number].turns.push_back((wire, end));
                }
                return;
            }
            LinkCommand::Peer(PeerCommand::Choke) => giving.choked = true,
            LinkCommand::Peer(PeerCommand::Unchoke) => {
                giving.choked = false;
                self.unchokes.push((self.now, number, taker));
            }
            LinkCommand::Peer(PeerCommand::AllowFast(pieces)) => {
                assert!(*fast, "an offer without the fast extension");
                pieces.iter().for_each(|piece| giving.offer(layout, *piece));
            }
            LinkCommand::Peer(PeerCommand::Refuse(ask)) if rider.is_none() => giving.refuse(ask),
            LinkCommand::Close(_) => {
                return self.order_end((wire, end), words.remove(&(wire, end)));
            }
            _ => {}
        }
        words_of(words, spoken(layout, command, *fast));
    }

    /// The link is to end, behind these words.
    fn order_end(&mut self, (wire, end): (usize, usize), words: Option<Vec<LinkEvent>>) {
        self.wires[wire].ends[end].giving.choked = true;
        if let Some(events) = words {
            self.say(wire, end, events);
        }
        self.after(Duration::ZERO, Happening::Down(wire, end));
        self.cut(wire, end);
    }

    /// The link is not up yet.
    fn order_early(&mut self, number: usize, link: LinkId, command: &LinkCommand) {
        if matches!(command, LinkCommand::Peer(PeerCommand::StopExchange)) {
            self.nodes[number].stopped.insert(link);
            self.reach("stopped early");
        }
    }

    /// This end is gone; the other one learns of it.
    fn cut(&mut self, wire: usize, end: usize) {
        let [a, b] = &self.wires[wire].ends;
        let latency = self.latency(a.node, b.node);
        let from = &mut self.wires[wire].ends[end];
        from.parcels.clear();
        let at = from.last_arrival.max(self.now + latency);
        self.at(at, Happening::Down(wire, 1 - end));
    }

    fn down(&mut self, wire: usize, end: usize) {
        let one = &mut self.wires[wire].ends[end];
        if !std::mem::replace(&mut one.is_open, false) {
            return;
        }
        one.parcels.clear();
        one.giving = Giving::new();
        let (node, link) = (one.node, one.link);
        self.nodes[node].links.remove(&link);
        let reason = DownReason::Lost("reset".into());
        self.handle(node, Input::LinkDown { link, reason });
    }

    fn say(&mut self, wire: usize, end: usize, events: Vec<LinkEvent>) {
        let [a, b] = &self.wires[wire].ends;
        let latency = self.latency(a.node, b.node);
        let from = &mut self.wires[wire].ends[end];
        if from.is_sending {
            return from.held_words.extend(events);
        }
        from.last_arrival = from.last_arrival.max(self.now + latency);
        let at = from.last_arrival;
        self.at(at, Happening::Words(wire, end, events));
    }

    /// No more are served at once than there are places.
    fn check_slots(&self, number: usize) {
        let node = &self.nodes[number];
        let member = &node.member;
        // Without a known limit the places grow with what flows.
        let places = match member.knows_limit {
            true => slots(Some(member.up), 0),
            false => slots(None, member.up * 2),
        };
        let served = node.links.values().map(|(wire, end)| &self.wires[*wire].ends[*end].giving);
        let served = served.filter(|giving| !giving.choked && giving.interested).count();
        assert!(served <= places, "{number} serves {served} in {places} places");
    }
}

impl Node {
    /// It stays until it has everything, and can have it.
    fn is_expected(&self) -> bool {
        self.member.leaves.is_none() && self.member.lie.is_none() && !self.member.is_lost
    }
}

impl End {
    fn new(node: usize, link: LinkId) -> Self {
        Self {
            node,
            link,
            is_open: true,
            giving: Giving::new(),
            parcels: VecDeque::new(),
            is_queued: false,
            is_sending: false,
            held_words: Vec::new(),
            untold: 0,
            last_arrival: Duration::ZERO,
            told: Description::default(),
            heard: None,
            is_introduced: false,
            early: None,
        }
    }
}

/// Each member has a network of its own.
fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([20, 0, number as u8, 1], 6881))
}

fn node_at(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[2]),
        std::net::IpAddr::V6(_) => unreachable!("the world has IPv4 only"),
    }
}

fn time_of(bytes: u32, rate: u64) -> Duration {
    Duration::from_secs_f64(f64::from(bytes) / rate as f64)
}

fn refused(layout: &Layout, ask: &Ask) -> Option<LinkEvent> {
    let block = layout.block_at(ask.piece.number(), ask.begin, ask.len)?;
    Some(LinkEvent::Refused { block, lasting: false })
}

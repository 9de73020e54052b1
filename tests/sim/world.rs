//! The world: a queue of happenings in virtual time around one brain.

mod fates;
mod mailbox;
mod serving;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use pigeon::base::bitfield::Bitfield;
use pigeon::base::extents::Extents;
use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::{BlockRef, Layout};
use pigeon::base::pool::BlockPool;
use pigeon::base::units::BLOCK_LEN;
use pigeon::swarm::event::{DownReason, Event, Input, Output, Source};
use pigeon::swarm::link::{Availability, CloseReason, LinkCommand, LinkEvent, Run};
use pigeon::swarm::report::Snapshot;
use pigeon::swarm::{Swarm, SwarmConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::cost::Cost;
use super::disk::{Disk, DiskCharacter, Job, content};
use super::ledger::Ledger;
use super::link::{Character, Remote, Truth, Word};
use super::server::{Manner, Servers};
use super::short::short;

pub use fates::Fate;
use mailbox::Inbox;

/// Everything that a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub layout: Layout,
    pub extents: Extents,
    pub pool_blocks: usize,
    pub remotes: Vec<Character>,
    pub servers: Vec<Manner>,
    pub disk: DiskCharacter,
    pub sequential: bool,
    /// What users, trackers and devices do to the torrent meanwhile, and when.
    pub fates: Vec<(Duration, Fate)>,
}

impl Setup {
    fn content(&self, block: BlockRef) -> u64 {
        content(self.seed, &self.layout, &self.extents, block)
    }

    /// A healthy world without peers.
    pub fn healthy(total_len: u64, piece_len: u32) -> Self {
        Self {
            seed: 1,
            layout: Layout::new(total_len, piece_len).expect("a possible layout"),
            extents: Extents::new([(total_len, false)]),
            pool_blocks: 4096,
            remotes: Vec::new(),
            servers: Vec::new(),
            disk: DiskCharacter::default(),
            sequential: false,
            fates: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Happening {
    /// A dial ends well or not.
    Answered(LinkId, usize),
    ToPeer(LinkId, LinkCommand),
    ToUs(LinkId, Word),
    /// The line to us has taken a block.
    Sent(usize, LinkId),
    Mood(usize, LinkId),
    Drop(usize, LinkId),
    Unasked(usize, LinkId),
    Down(LinkId),
    Return(usize),
    ComesIn(usize),
    DiskDone(Job),
    Announced,
    AllVanish(Duration),
    Fate(Fate),
    /// A link to a server may come up.
    LetIn(LinkId),
    /// An order is at a server.
    Ordered(LinkId, Run),
    Shortened(LinkId, u32),
    /// The line from a server has taken a block.
    Served(LinkId),
    /// The link reads what has come.
    Read(LinkId),
    /// The brain takes what is in its mailbox.
    Turn,
}

pub struct World {
    pub swarm: Swarm,
    pub remotes: Vec<Remote>,
    pub servers: Servers,
    pub ledger: Ledger,
    pub now: Duration,
    setup: Setup,
    disk: Disk,
    pool: BlockPool,
    began: Instant,
    rng: StdRng,
    queue: BTreeMap<(Duration, u64), Happening>,
    next_number: u64,
    links: BTreeMap<LinkId, usize>,
    /// What has come in on a link and was not read yet.
    inbox: BTreeMap<LinkId, Inbox>,
    /// Links that wait for a block, the one that waits longest first.
    starving: VecDeque<LinkId>,
    /// What links, disk and dials report, until the brain takes it.
    mailbox: VecDeque<Input>,
    is_turn_due: bool,
    was_starved: bool,
    snubbed: BTreeSet<LinkId>,
    fates_left: usize,
    /// The kinds of facts that the brain was told.
    pub told: BTreeSet<&'static str>,
    pub cost: Cost,
    /// Remotes whose link was closed since nothing came.
    pub closed_as_silent: BTreeSet<usize>,
    ticks_at_once: u32,
    trace: bool,
    /// Bytes of verified pieces over time, for scenarios.
    pub verified: Vec<(Duration, u32)>,
}

impl World {
    /// With a pool of its own.
    pub fn new(setup: Setup, trace: bool) -> Self {
        let pool = BlockPool::new(setup.pool_blocks * BLOCK_LEN);
        Self::beside(setup, pool, Instant::now(), trace)
    }

    /// One of several that live of this pool.
    pub fn beside(setup: Setup, pool: BlockPool, began: Instant, trace: bool) -> Self {
        let count = setup.layout.piece_count();
        let config = SwarmConfig {
            exchanges_peers: false,
            metadata: None,
            layout: setup.layout,
            extents: setup.extents.clone(),
            info_hash: InfoHash([7; 20]),
            have: Bitfield::none(count),
            proven: Bitfield::none(count),
            wanted: Bitfield::all(count),
            share_blocks: setup.pool_blocks / 2,
            max_peers: 60,
            listen_port: 6881,
            is_private: false,
            sequential: setup.sequential,
            peer_id: PeerId([255; 20]),
            seed: setup.seed,
        };
        let remotes = setup.remotes.iter().cloned().enumerate();
        let mut world = Self {
            swarm: Swarm::new(config, began),
            remotes: remotes.map(|(number, character)| Remote::new(number, character)).collect(),
            servers: Servers { manners: setup.servers.clone(), ..Servers::default() },
            ledger: Ledger::default(),
            now: Duration::ZERO,
            disk: Disk::new(setup.seed, setup.layout, setup.extents.clone(), setup.disk.clone()),
            pool,
            began,
            rng: StdRng::seed_from_u64(setup.seed),
            queue: BTreeMap::new(),
            next_number: 0,
            links: BTreeMap::new(),
            inbox: BTreeMap::new(),
            starving: VecDeque::new(),
            mailbox: VecDeque::new(),
            is_turn_due: false,
            was_starved: false,
            snubbed: BTreeSet::new(),
            fates_left: setup.fates.len(),
            told: BTreeSet::new(),
            cost: Cost::of(&setup),
            closed_as_silent: BTreeSet::new(),
            ticks_at_once: 0,
            trace,
            verified: Vec::new(),
            setup,
        };
        world.after(Duration::ZERO, Happening::Announced);
        world.tell_servers();
        for number in 0..world.remotes.len() {
            if world.remotes[number].character.comes_in {
                world.after(Duration::from_millis(300), Happening::ComesIn(number));
            }
        }
        for (at, fate) in world.setup.fates.clone() {
            world.after(at, Happening::Fate(fate));
        }
        world
    }

    /// All peers vanish at `at` and are back after `away`.
    pub fn vanish_all(&mut self, at: Duration, away: Duration) {
        self.after(at, Happening::AllVanish(away));
    }

    /// Runs until all is verified and nothing more befalls the torrent, at most until `limit`;
    /// when that was.
    pub fn run(&mut self, limit: Duration) -> Option<Duration> {
        while !self.is_done() {
            if !self.step(limit) {
                return None;
            }
        }
        Some(self.now)
    }

    /// Is all verified, and will nothing more befall the torrent?
    pub fn is_done(&self) -> bool {
        let is_done = self.swarm.is_complete() && self.fates_left == 0;
        let pieces = self.setup.layout.piece_count() as usize;
        assert!(!is_done || self.disk.good.len() == pieces, "complete means written and right");
        is_done
    }

    /// When it takes its next step, if it has any.
    pub fn next_at(&self) -> Option<Duration> {
        self.tick_at().into_iter().chain(self.queue.first_key_value().map(|((at, _), _)| *at)).min()
    }

    fn tick_at(&self) -> Option<Duration> {
        let tick = self.swarm.next_timeout().map(|at| at.saturating_duration_since(self.began));
        tick.map(|at| at.max(self.now))
    }

    pub fn snapshot(&self) -> Snapshot {
        self.swarm.snapshot(self.began + self.now)
    }

    /// The next happening or tick; false when there is none before `limit`.
    pub fn step(&mut self, limit: Duration) -> bool {
        let tick = self.tick_at();
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = tick.into_iter().chain(next).min().filter(|at| *at <= limit) else {
            return false;
        };
        let is_tick = next.is_none_or(|next| tick.is_some_and(|tick| tick <= next));
        self.ticks_at_once = match is_tick {
            true if at == self.now => self.ticks_at_once + 1,
            _ => 0,
        };
        assert!(self.ticks_at_once < 2, "the brain asks for a tick when it just had one");
        self.now = at;
        if is_tick {
            self.tell(Input::Tick);
        } else if let Some((_, happening)) = self.queue.pop_first() {
            self.happen(happening);
        }
        self.let_starving_read();
        self.tell_starved();
        let most = self.pool.budget_blocks();
        assert!(self.pool.in_use_blocks() <= most, "memory is bounded");
        true
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.next_number += 1;
        self.queue.insert((self.now + delay, self.next_number), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Answered(link, number) => self.answered(link, number),
            Happening::ToPeer(link, command) => {
                let Some(number) = self.live(link) else { return };
                let layout = &self.setup.layout;
                let words = self.remotes[number].hear(layout, command, &mut self.rng);
                self.say(number, link, words);
            }
            Happening::ToUs(link, word) => {
                if self.links.contains_key(&link) || self.servers.links.contains_key(&link) {
                    self.receive(link, word);
                }
            }
            Happening::Sent(number, link) => self.sent(number, link),
            Happening::Mood(number, link) => self.change_mood(number, link),
            Happening::Drop(number, link) => self.drop_link(number, link),
            Happening::Unasked(number, link) => self.unasked(number, link),
            Happening::Down(link) => self.down(link, DownReason::Lost("reset".into())),
            Happening::Return(number) => self.remotes[number].offline = false,
            Happening::ComesIn(number) => self.comes_in(number),
            Happening::DiskDone(job) => {
                let input = self.disk.finish(job, self.now);
                self.post(input);
            }
            Happening::Announced => {
                self.announce();
                // As a tracker that is asked each minute.
                self.after(Duration::from_secs(60), Happening::Announced);
            }
            Happening::AllVanish(away) => {
                for number in 0..self.remotes.len() {
                    self.remotes[number].offline = true;
                    self.after(away, Happening::Return(number));
                    if let Some(link) = self.remotes[number].link {
                        self.remotes[number].gone();
                        self.after(Duration::ZERO, Happening::Down(link));
                    }
                }
            }
            Happening::Fate(fate) => self.befall(fate),
            Happening::LetIn(link) => self.let_in(link),
            Happening::Ordered(link, run) => self.ordered(link, run),
            Happening::Shortened(link, end) => self.shortened(link, end),
            Happening::Served(link) => self.serve_on(link),
            Happening::Read(link) => self.read(link),
            Happening::Turn => self.take_turn(),
        }
    }

    fn announce(&mut self) {
        let source = Source::Tracker;
        let dialable = self.remotes.iter().filter(|remote| !remote.character.comes_in);
        let addresses = dialable.map(|remote| remote.address).collect();
        self.post(Input::Candidates { source, addresses });
    }

    /// The remote of a link that is up on both sides.
    fn live(&self, link: LinkId) -> Option<usize> {
        let number = *self.links.get(&link)?;
        (self.remotes[number].link == Some(link)).then_some(number)
    }

    fn answered(&mut self, link: LinkId, number: usize) {
        let remote = &mut self.remotes[number];
        if remote.offline || remote.character.dead || remote.link.is_some() {
            let reason = DownReason::DialFailed("refused".into());
            return self.post(Input::LinkDown { link, reason });
        }
        let character = remote.character.clone();
        let peer_id = remote.peer_id;
        let words = remote.greet(link);
        self.links.insert(link, number);
        self.ledger.link_up(link, remote.address, &character.caps());
        self.post(Input::LinkUp { link, peer_id, caps: character.caps() });
        self.say(number, link, words);
        let first_turn = character.chokes_every.map(|_| character.latency);
        if let Some(turn) = first_turn {
            self.after(turn, Happening::Mood(number, link));
        }
        if let Some((up, _)) = character.drops {
            self.after(up, Happening::Drop(number, link));
        }
        if let Some(often) = character.unasked_every {
            self.after(often, Happening::Unasked(number, link));
        }
    }

    fn say(&mut self, number: usize, link: LinkId, words: Vec<Word>) {
        let latency = self.remotes[number].character.latency;
        for word in words {
            self.after(latency, Happening::ToUs(link, word));
        }
        let remote = &mut self.remotes[number];
        if !remote.sending && remote.has_work() {
            remote.sending = true;
            let time = remote.time_of_next();
            self.after(time, Happening::Sent(number, link));
        }
    }

    fn sent(&mut self, number: usize, link: LinkId) {
        let remote = &mut self.remotes[number];
        if remote.link != Some(link) {
            return;
        }
        remote.sending = false;
        let Some((block, is_wanted)) = remote.next_block() else { return };
        if !is_wanted {
            return self.say(number, link, Vec::new());
        }
        let mut data = self.setup.content(block);
        if let Truth::WrongOneIn(share) = remote.character.truth
            && self.rng.random_range(0..share) == 0
        {
            data ^= number as u64 + 1;
        }
        self.say(number, link, vec![Word::Block(block, data)]);
    }

    fn change_mood(&mut self, number: usize, link: LinkId) {
        if self.live(link).is_none() {
            return;
        }
        let remote = &mut self.remotes[number];
        let Some(often) = remote.character.chokes_every else { return };
        let words = if remote.choking { vec![remote.unchoke()] } else { remote.choke() };
        self.say(number, link, words);
        self.after(often, Happening::Mood(number, link));
    }

    fn drop_link(&mut self, number: usize, link: LinkId) {
        let Some((_, away)) = self.remotes[number].character.drops else { return };
        if self.remotes[number].link == Some(link) {
            self.remotes[number].gone();
            self.remotes[number].offline = true;
            self.after(away, Happening::Return(number));
            self.after(Duration::from_millis(10), Happening::Down(link));
        }
    }

    fn unasked(&mut self, number: usize, link: LinkId) {
        let (Some(_), Some(often)) =
            (self.live(link), self.remotes[number].character.unasked_every)
        else {
            return;
        };
        let piece = self.rng.random_range(0..self.setup.layout.piece_count());
        if let Some(piece) = self.setup.layout.piece(piece)
            && let Some(block) = self.setup.layout.block(piece, 0)
        {
            let data = self.setup.content(block);
            self.say(number, link, vec![Word::Block(block, data)]);
        }
        self.after(often, Happening::Unasked(number, link));
    }

    fn comes_in(&mut self, number: usize) {
        self.after(Duration::from_secs(7), Happening::ComesIn(number));
        let remote = &self.remotes[number];
        if remote.link.is_none()
            && !remote.offline
            && let Ok(link) = self.swarm.admit(remote.address, self.began + self.now)
        {
            self.answered(link, number);
        }
    }

    fn down(&mut self, link: LinkId, reason: DownReason) {
        let was_up = self.links.remove(&link).is_some();
        if self.servers.links.remove(&link).is_some() || was_up {
            self.inbox.remove(&link);
            self.starving.retain(|other| *other != link);
            self.post(Input::LinkDown { link, reason });
        }
    }
}

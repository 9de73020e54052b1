//! The world: a queue of happenings in virtual time around one brain.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use pigeon::base::bitfield::Bitfield;
use pigeon::base::extents::Extents;
use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::Layout;
use pigeon::base::pool::BlockPool;
use pigeon::base::units::BLOCK_LEN;
use pigeon::swarm::event::{DownReason, Event, Input, Output, Source, Verdict};
use pigeon::swarm::link::{Availability, LinkCommand, LinkEvent};
use pigeon::swarm::report::Snapshot;
use pigeon::swarm::{Swarm, SwarmConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::disk::{Disk, DiskCharacter, Job, content};
use super::ledger::Ledger;
use super::link::{Character, Remote, Truth, Word};
use super::short::short;

/// Everything that a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub layout: Layout,
    pub extents: Extents,
    pub pool_blocks: usize,
    pub remotes: Vec<Character>,
    pub disk: DiskCharacter,
    pub sequential: bool,
}

impl Setup {
    /// A healthy world without peers.
    pub fn healthy(total_len: u64, piece_len: u32) -> Self {
        Self {
            seed: 1,
            layout: Layout::new(total_len, piece_len).expect("a possible layout"),
            extents: Extents::new([(total_len, false)]),
            pool_blocks: 4096,
            remotes: Vec::new(),
            disk: DiskCharacter::default(),
            sequential: false,
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
    Turn(usize, LinkId),
    Drop(usize, LinkId),
    Unasked(usize, LinkId),
    Down(LinkId),
    Return(usize),
    ComesIn(usize),
    DiskDone(Job),
    Announced,
    AllVanish(Duration),
}

pub struct World {
    pub swarm: Swarm,
    pub remotes: Vec<Remote>,
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
    /// Words that arrived and wait for memory, by link.
    inbox: BTreeMap<LinkId, VecDeque<Word>>,
    snubbed: BTreeSet<LinkId>,
    ticks_at_once: u32,
    trace: bool,
    /// Bytes of verified pieces over time, for scenarios.
    pub verified: Vec<(Duration, u32)>,
}

impl World {
    pub fn new(setup: Setup, trace: bool) -> Self {
        let began = Instant::now();
        let count = setup.layout.piece_count();
        let config = SwarmConfig {
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
            ledger: Ledger::default(),
            now: Duration::ZERO,
            disk: Disk::new(setup.seed, setup.layout, setup.disk.clone()),
            pool: BlockPool::new(setup.pool_blocks * BLOCK_LEN),
            began,
            rng: StdRng::seed_from_u64(setup.seed),
            queue: BTreeMap::new(),
            next_number: 0,
            links: BTreeMap::new(),
            inbox: BTreeMap::new(),
            snubbed: BTreeSet::new(),
            ticks_at_once: 0,
            trace,
            verified: Vec::new(),
            setup,
        };
        world.after(Duration::ZERO, Happening::Announced);
        for number in 0..world.remotes.len() {
            if world.remotes[number].character.comes_in {
                world.after(Duration::from_millis(300), Happening::ComesIn(number));
            }
        }
        world
    }

    /// All peers vanish at `at` and are back after `away`.
    pub fn vanish_all(&mut self, at: Duration, away: Duration) {
        self.after(at, Happening::AllVanish(away));
    }

    /// Runs until all is verified, at most until `limit`; when that was.
    pub fn run(&mut self, limit: Duration) -> Option<Duration> {
        while !self.swarm.is_complete() {
            if !self.step(limit) {
                return None;
            }
        }
        let pieces = self.setup.layout.piece_count() as usize;
        assert_eq!(self.disk.good.len(), pieces, "complete means written and right");
        Some(self.now)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.swarm.snapshot(self.began + self.now)
    }

    /// The next happening or tick; false when there is none before `limit`.
    pub fn step(&mut self, limit: Duration) -> bool {
        let tick = self.swarm.next_timeout().map(|at| at.saturating_duration_since(self.began));
        let tick = tick.map(|at| at.max(self.now));
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = tick.into_iter().chain(next).min().filter(|at| *at <= limit) else {
            return false;
        };
        let is_tick = next.is_none_or(|next| tick.is_some_and(|tick| tick <= next));
        self.ticks_at_once = match is_tick {
            true if at == self.now => self.ticks_at_once + 1,
            _ => 0,
        };
        assert!(self.ticks_at_once < 10, "the brain asks for ticks without end");
        self.now = at;
        if is_tick {
            self.handle(Input::Tick);
        } else if let Some((_, happening)) = self.queue.pop_first() {
            self.happen(happening);
        }
        assert!(self.pool.in_use_blocks() <= self.setup.pool_blocks, "memory is bounded");
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
                if self.links.contains_key(&link) {
                    self.inbox.entry(link).or_default().push_back(word);
                    self.read(link);
                }
            }
            Happening::Sent(number, link) => self.sent(number, link),
            Happening::Turn(number, link) => self.turn(number, link),
            Happening::Drop(number, link) => self.drop_link(number, link),
            Happening::Unasked(number, link) => self.unasked(number, link),
            Happening::Down(link) => self.down(link, DownReason::Lost("reset".into())),
            Happening::Return(number) => self.remotes[number].offline = false,
            Happening::ComesIn(number) => self.comes_in(number),
            Happening::DiskDone(job) => {
                let input = self.disk.finish(job, self.now);
                if let Input::PieceChecked { piece, verdict: Verdict::Bad(_) } = &input {
                    self.ledger.reached.wrong_pieces += 1;
                    self.ledger.lost_piece(*piece);
                }
                self.handle(input);
            }
            Happening::Announced => {
                let source = Source::Tracker;
                let dialable = self.remotes.iter().filter(|remote| !remote.character.comes_in);
                let addresses = dialable.map(|remote| remote.address).collect();
                self.handle(Input::Candidates { source, addresses });
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
        }
        self.read_all();
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
            return self.handle(Input::LinkDown { link, reason });
        }
        let character = remote.character.clone();
        let peer_id = remote.peer_id;
        let remote_address = remote.address;
        let words = remote.greet(link);
        self.links.insert(link, number);
        self.ledger.link_up(link, remote_address, &character.caps());
        self.handle(Input::LinkUp { link, peer_id, caps: character.caps() });
        self.say(number, link, words);
        let first_turn = character.chokes_every.map(|_| character.latency);
        if let Some(turn) = first_turn {
            self.after(turn, Happening::Turn(number, link));
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
        let mut data = content(self.setup.seed, block);
        if let Truth::WrongOneIn(share) = remote.character.truth
            && self.rng.random_range(0..share) == 0
        {
            data ^= number as u64 + 1;
        }
        self.say(number, link, vec![Word::Block(block, data)]);
    }

    fn turn(&mut self, number: usize, link: LinkId) {
        if self.live(link).is_none() {
            return;
        }
        let remote = &mut self.remotes[number];
        let Some(often) = remote.character.chokes_every else { return };
        let words = if remote.choking { vec![remote.unchoke()] } else { remote.choke() };
        self.say(number, link, words);
        self.after(often, Happening::Turn(number, link));
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
            let data = content(self.setup.seed, block);
            self.say(number, link, vec![Word::Block(block, data)]);
        }
        self.after(often, Happening::Unasked(number, link));
    }

    fn comes_in(&mut self, number: usize) {
        self.after(Duration::from_secs(7), Happening::ComesIn(number));
        let remote = &self.remotes[number];
        if remote.link.is_none()
            && !remote.offline
            && let Some(link) = self.swarm.admit(remote.address, self.began + self.now)
        {
            self.answered(link, number);
        }
    }

    fn down(&mut self, link: LinkId, reason: DownReason) {
        if self.links.remove(&link).is_some() {
            self.inbox.remove(&link);
            self.ledger.link_down(link);
            self.handle(Input::LinkDown { link, reason });
        }
    }

    /// Hands words to the brain as long as there is memory for their blocks.
    fn read(&mut self, link: LinkId) {
        while let Some(word) = self.inbox.get(&link).and_then(|inbox| inbox.front()) {
            let event = match word.clone() {
                Word::Pieces(pieces) => LinkEvent::Availability(pieces),
                Word::Choked => {
                    self.ledger.choked(link);
                    LinkEvent::Choked
                }
                Word::Unchoked => {
                    self.ledger.unchoked(link);
                    LinkEvent::Unchoked
                }
                Word::AllowedFast(piece) => {
                    self.ledger.allowed(link, piece);
                    LinkEvent::AllowedFast(piece)
                }
                Word::Refused(block, lasting) => {
                    self.ledger.reached.refusals += 1;
                    self.ledger.refused(link, block, lasting);
                    LinkEvent::Refused { block, lasting }
                }
                Word::Block(block, content) => {
                    let mut taken = Vec::new();
                    self.pool.take(1, &mut taken);
                    let Some(mut data) = taken.pop() else {
                        self.ledger.reached.waited_for_memory += 1;
                        return;
                    };
                    data.append(&content.to_be_bytes());
                    let from = self.remotes[self.links[&link]].address;
                    self.ledger.arrived(link, block, from);
                    LinkEvent::Blocks(vec![(block, data)])
                }
            };
            if let Some(inbox) = self.inbox.get_mut(&link) {
                inbox.pop_front();
            }
            self.handle(Input::LinkEvents { link, events: vec![event] });
        }
    }

    fn read_all(&mut self) {
        let waiting = self.inbox.iter().filter(|(_, inbox)| !inbox.is_empty());
        let links: Vec<_> = waiting.map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.read(link));
    }

    fn handle(&mut self, input: Input) {
        if self.trace {
            eprintln!("{:>10.4} {}", self.now.as_secs_f64(), short(&input));
        }
        let endgame_before = self.swarm.is_endgame();
        let is_tick = matches!(input, Input::Tick);
        let now = self.began + self.now;
        self.swarm.handle(input, now);
        if is_tick {
            self.note_snubs(now);
        }
        let endgame = endgame_before || self.swarm.is_endgame();
        while let Some(output) = self.swarm.poll_output() {
            self.carry_out(output, endgame);
        }
    }

    /// Requests of a link that turned out to snub us are void without a word.
    fn note_snubs(&mut self, now: Instant) {
        for link in self.swarm.links(now) {
            if !link.snubbed {
                self.snubbed.remove(&link.link);
            } else if self.snubbed.insert(link.link) {
                self.ledger.reached.snubs += 1;
                self.ledger.void(link.link);
            }
        }
    }

    fn carry_out(&mut self, output: Output, endgame: bool) {
        if self.trace {
            eprintln!("{:>10.4}     {}", self.now.as_secs_f64(), short(&output));
        }
        match output {
            Output::Dial { link, address } => {
                let number = self.remotes.iter().position(|remote| remote.address == address);
                let number = number.expect("only known addresses are dialled");
                let delay = self.remotes[number].character.latency * 2;
                self.after(delay, Happening::Answered(link, number));
            }
            Output::Send { link, command } => self.send(link, command, endgame),
            Output::CheckPiece { piece, blocks, want_block_hashes } => {
                self.give_to_disk(Job::Check { piece, blocks, want_block_hashes });
            }
            Output::PreparePiece { .. } => unreachable!("no remote asks for data"),
            Output::SpillBlocks { piece, blocks } => {
                self.ledger.reached.spills += 1;
                self.give_to_disk(Job::Spill { piece, blocks });
            }
            Output::Event(event) => self.hear_news(event),
        }
    }

    fn give_to_disk(&mut self, job: Job) {
        let delay = self.disk.done_at(&job, self.now) - self.now;
        self.after(delay, Happening::DiskDone(job));
    }

    fn hear_news(&mut self, event: Event) {
        match event {
            Event::Banned(address) => {
                let remote = self.remotes.iter().find(|remote| remote.address == address);
                let truth = remote.map(|remote| remote.character.truth);
                assert_ne!(truth, Some(Truth::Honest), "{address} is honest and banned");
                self.ledger.distrust(address);
            }
            Event::HashFailed { piece, blamed: Some(address) } => {
                let mut remotes = self.remotes.iter();
                if remotes.any(|it| it.address == address && it.character.is_store) {
                    self.ledger.rotten(address, piece);
                }
            }
            Event::Reassigned { .. } => self.ledger.reached.reassigned += 1,
            Event::DiskTrouble(_) => self.ledger.disk_fails(),
            Event::DiskRecovered => self.ledger.disk_works(),
            Event::PieceVerified(piece) => self.verified.push((self.now, piece.number())),
            _ => {}
        }
    }

    fn send(&mut self, link: LinkId, command: LinkCommand, endgame: bool) {
        let Some(number) = self.links.get(&link).copied() else { return };
        if self.remotes[number].character.is_store {
            use LinkCommand::{Cancel, Close, Request};
            let has_words = matches!(command, Request(_) | Cancel(_) | Close(_));
            assert!(has_words, "{command:?} to one that brings whole pieces");
        }
        match &command {
            LinkCommand::Request(blocks) => {
                for block in blocks {
                    assert!(!self.swarm.have().has(block.piece()), "{block:?} is verified");
                    self.ledger.request(link, *block, endgame);
                }
            }
            LinkCommand::Cancel(blocks) => {
                for block in blocks {
                    self.ledger.settle(link, *block);
                }
            }
            LinkCommand::Have(pieces) => {
                let mut numbers = pieces.iter().map(|piece| piece.number());
                assert!(numbers.all(|piece| self.disk.good.contains(&piece)), "told unverified");
            }
            LinkCommand::Availability(Availability::Some(set)) => {
                assert!(set.iter_ones().all(|piece| self.disk.good.contains(&piece)));
            }
            LinkCommand::Close(_) => {
                self.ledger.reached.closed += 1;
                if self.remotes[number].link == Some(link) {
                    self.remotes[number].gone();
                }
                self.ledger.void(link);
                return self.after(Duration::ZERO, Happening::Down(link));
            }
            _ => {}
        }
        let latency = self.remotes[number].character.latency;
        self.after(latency, Happening::ToPeer(link, command));
    }
}

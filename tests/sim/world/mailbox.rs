//! How facts come to the brain, and what becomes of its orders. A link reads what has come since
//! it read last, blocks in lists; its reports wait with those of others in a mailbox, of which
//! the brain takes what is there and settles once, as the real ones do when there is much to do.

use pigeon::swarm::link::{Endpoint, PeerCommand};

use super::*;

/// Blocks in one report: what one read of 256 KiB brings.
const READ_BLOCKS: usize = 16;
/// Facts that the brain takes in before it settles.
const FACTS_MAX: usize = 64;
/// What comes within this time may come together.
const LAG_US: u64 = 1000;

/// What has come in on one link and was not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    words: VecDeque<Word>,
    /// It will read within a moment, or waits for a block.
    is_due: bool,
}

impl World {
    /// A word has come: the link reads it soon, with what comes until then.
    pub(super) fn receive(&mut self, link: LinkId, word: Word) {
        let inbox = self.inbox.entry(link).or_default();
        inbox.words.push_back(word);
        if !std::mem::replace(&mut inbox.is_due, true) {
            let lag = self.lag();
            self.after(lag, Happening::Read(link));
        }
    }

    fn lag(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(0..LAG_US))
    }

    /// Reports what has come, up to the first block for which there is no memory.
    pub(super) fn read(&mut self, link: LinkId) {
        let Some(inbox) = self.inbox.get_mut(&link) else { return };
        let (mut reports, mut events, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        inbox.is_due = false;
        while let Some(word) = inbox.words.front() {
            if let Word::Block(block, content) = word {
                let mut taken = Vec::new();
                self.pool.take(1, &mut taken);
                let Some(mut data) = taken.pop() else {
                    inbox.is_due = true;
                    break;
                };
                data.append(&content.to_be_bytes());
                blocks.push((*block, data));
                if blocks.len() == READ_BLOCKS {
                    events.push(LinkEvent::Blocks(std::mem::take(&mut blocks)));
                    reports.push(std::mem::take(&mut events));
                }
            } else {
                if !blocks.is_empty() {
                    events.push(LinkEvent::Blocks(std::mem::take(&mut blocks)));
                }
                events.extend(event_of(word));
            }
            inbox.words.pop_front();
        }
        if inbox.is_due {
            self.ledger.reached.waited_for_memory += 1;
            self.starving.push_back(link);
        }
        if !blocks.is_empty() {
            events.push(LinkEvent::Blocks(blocks));
        }
        reports.push(events);
        for events in reports.into_iter().filter(|events| !events.is_empty()) {
            self.post(Input::LinkEvents { link, events });
        }
    }

    /// Links that wait for blocks read on, as far as there are any.
    pub fn let_starving_read(&mut self) {
        for _ in 0..self.starving.len() {
            if self.pool.in_use_blocks() == self.pool.budget_blocks() {
                return;
            }
            let Some(link) = self.starving.pop_front() else { return };
            self.read(link);
        }
    }

    /// Does a link wait for a block?
    pub fn is_starving(&self) -> bool {
        !self.starving.is_empty()
    }

    /// Links read on, now that others gave blocks back.
    pub fn let_starving_read_at(&mut self, now: Duration) {
        if !self.starving.is_empty() {
            self.now = now;
            self.let_starving_read();
            self.tell_starved();
        }
    }

    /// The brain knows whether its links wait for blocks.
    pub(super) fn tell_starved(&mut self) {
        let starved = !self.starving.is_empty();
        if std::mem::replace(&mut self.was_starved, starved) != starved {
            self.post(Input::Starved(starved));
        }
    }

    /// Puts a fact into the mailbox; the brain will look soon.
    pub(super) fn post(&mut self, input: Input) {
        self.mailbox.push_back(input);
        if !std::mem::replace(&mut self.is_turn_due, true) {
            let lag = self.lag();
            self.after(lag, Happening::Turn);
        }
    }

    /// The brain takes what is in its mailbox.
    pub(super) fn take_turn(&mut self) {
        let count = self.mailbox.len().min(FACTS_MAX);
        let batch: Vec<Input> = self.mailbox.drain(..count).collect();
        self.is_turn_due = !self.mailbox.is_empty();
        if self.is_turn_due {
            self.after(Duration::ZERO, Happening::Turn);
        }
        self.take(batch);
    }

    /// Tells the brain a fact by itself, at once.
    pub(super) fn tell(&mut self, input: Input) {
        self.take(vec![input]);
    }

    fn take(&mut self, batch: Vec<Input>) {
        let now = self.began + self.now;
        let facts = batch.iter().map(weight).sum();
        let is_tick = batch.iter().any(|input| matches!(input, Input::Tick));
        let links_before = self.links_in_all();
        let mut effects = 0;
        for input in batch {
            if self.trace {
                eprintln!("{:>10.4} {}", self.now.as_secs_f64(), short(&input));
            }
            self.told.insert(kind(&input));
            self.ledger.hears(&input);
            effects += self.work(is_tick, |swarm| swarm.note(input, now));
        }
        effects += self.work(is_tick, |swarm| swarm.settle(now));
        self.cost.note(facts, effects, links_before.max(self.links_in_all()));
        if self.cost.is_audit_due() {
            self.swarm.check_invariants();
        }
    }

    /// Links that are up, and those to servers that are waited for.
    fn links_in_all(&self) -> usize {
        self.links.len() + self.servers.links.len() + self.servers.waiting.len()
    }

    /// Lets the brain work and carries out what comes of it; how many effects those were.
    fn work(&mut self, is_tick: bool, work: impl FnOnce(&mut Swarm)) -> usize {
        work(&mut self.swarm);
        if is_tick {
            self.note_snubs(self.began + self.now);
        }
        let mut effects = 0;
        while let Some(output) = self.swarm.poll_output() {
            effects += 1;
            self.carry_out(output);
        }
        effects
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

    fn carry_out(&mut self, output: Output) {
        if self.trace {
            eprintln!("{:>10.4}     {}", self.now.as_secs_f64(), short(&output));
        }
        match output {
            Output::Dial { link, address, .. } => {
                let number = self.remotes.iter().position(|remote| remote.address == address);
                let number = number.expect("only known addresses are dialled");
                let delay = self.remotes[number].character.latency * 2;
                self.after(delay, Happening::Answered(link, number));
            }
            Output::Lease { link, source } => self.lease(link, source),
            Output::Send { link, command } => self.send(link, command),
            Output::CheckPiece { piece, blocks, want_block_hashes, .. } => {
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
            Event::HashFailed { piece, blamed: Some(Endpoint::Peer(address)) } => {
                let mut remotes = self.remotes.iter();
                if remotes.any(|it| it.address == address && it.character.is_provider) {
                    self.ledger.rotten(address, piece);
                }
            }
            Event::HashFailed { blamed: Some(Endpoint::Source(source)), .. } => {
                self.servers.blamed += 1;
                let truth = self.servers.manners[source.0 as usize].truth;
                assert_ne!(truth, Truth::Honest, "{source:?} is honest and blamed");
            }
            Event::Reassigned { .. } => self.ledger.reached.reassigned += 1,
            Event::DiskTrouble(_) => self.ledger.disk_fails(),
            Event::DiskRecovered => self.ledger.disk_works(),
            Event::PieceVerified(piece) => self.verified.push((self.now, piece.number())),
            _ => {}
        }
    }

    fn send(&mut self, link: LinkId, command: LinkCommand) {
        if self.order_served(link, &command) {
            return;
        }
        let Some(number) = self.links.get(&link).copied() else { return };
        if self.remotes[number].character.is_provider {
            use LinkCommand::{Cancel, Close, Request};
            let has_words = matches!(command, Request(_) | Cancel(_) | Close(_));
            assert!(has_words, "{command:?} to one that brings whole pieces");
        }
        match &command {
            LinkCommand::Request(blocks) => {
                for block in blocks {
                    assert!(!self.swarm.have().has(block.piece()), "{block:?} is verified");
                    self.ledger.request(link, *block);
                }
            }
            LinkCommand::Cancel(blocks) => {
                for block in blocks {
                    self.ledger.settle(link, *block);
                }
            }
            LinkCommand::Peer(PeerCommand::Have(pieces)) => {
                let mut numbers = pieces.iter().map(|piece| piece.number());
                assert!(numbers.all(|piece| self.disk.good.contains(&piece)), "told unverified");
            }
            LinkCommand::Peer(PeerCommand::Availability(Availability::Some(set))) => {
                assert!(set.iter_ones().all(|piece| self.disk.good.contains(&piece)));
            }
            LinkCommand::Close(reason) => {
                if matches!(reason, CloseReason::TimedOut(_)) {
                    self.closed_as_silent.insert(number);
                }
                if self.remotes[number].link == Some(link) {
                    self.remotes[number].gone();
                }
                self.ledger.closed(link);
                return self.after(Duration::ZERO, Happening::Down(link));
            }
            _ => {}
        }
        let latency = self.remotes[number].character.latency;
        self.after(latency, Happening::ToPeer(link, command));
    }
}

fn event_of(word: &Word) -> Option<LinkEvent> {
    Some(match word {
        Word::Pieces(pieces) => LinkEvent::Availability(pieces.clone()),
        Word::Choked => LinkEvent::Choked,
        Word::Unchoked => LinkEvent::Unchoked,
        Word::AllowedFast(piece) => LinkEvent::AllowedFast(*piece),
        Word::RunEnded(number, at, why) => {
            LinkEvent::RunEnded { number: *number, at: *at, why: why.clone() }
        }
        Word::Refused(block, lasting) => LinkEvent::Refused { block: *block, lasting: *lasting },
        // It needs memory first.
        Word::Block(..) => return None,
    })
}

/// How many facts stand in one report.
fn weight(input: &Input) -> usize {
    let of = |event: &LinkEvent| match event {
        LinkEvent::Blocks(blocks) => blocks.len(),
        _ => 1,
    };
    match input {
        Input::LinkEvents { events, .. } => events.iter().map(of).sum(),
        Input::PiecesLost(pieces) | Input::PiecesFound(pieces) => pieces.len(),
        _ => 1,
    }
}

/// The name of a fact; that all are used is seen by these.
fn kind(input: &Input) -> &'static str {
    match input {
        Input::LinkUp { .. } => "link up",
        Input::LinkEvents { .. } => "link events",
        Input::LinkDown { .. } => "link down",
        Input::PieceChecked { .. } => "piece checked",
        Input::Spilled { .. } => "spilled",
        Input::Prepared { .. } => "prepared",
        Input::Share(_) => "share",
        Input::Starved(_) => "starved",
        Input::UploadLimit(_) => "upload limit",
        Input::Candidates { .. } => "candidates",
        Input::OurAddress(_) => "our address",
        Input::TrackerChanged => "tracker changed",
        Input::Blocked(_) => "blocked",
        Input::Room(_) => "room",
        Input::PiecesLost(_) => "pieces lost",
        Input::PiecesFound(_) => "pieces found",
        Input::DiskFailed(_) => "disk failed",
        Input::DiskSilent(_) => "disk silent",
        Input::DiskAnswers => "disk answers",
        Input::Wanted(_) => "wanted",
        Input::Urgency(_) | Input::Sequential(_) => "order",
        Input::PeersMax(_) | Input::SlotsMax(_) => "bounds",
        Input::ExchangesPeers(_) => "exchange",
        Input::SourcesBarred { .. } => "sources barred",
        Input::Pause(_) => "pause",
        Input::DiskLoad { .. } => "disk load",
        Input::Limited(_) => "limited",
        Input::Sources(_) | Input::SourceWaits { .. } => "sources",
        Input::Tick => "tick",
    }
}

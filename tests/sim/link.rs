//! The far side of a link: a peer with a character, and the line to it. A provider serves whole
//! pieces in the order in which they were asked for, one after the other; its side of the
//! link is in here too: it knows which blocks of them are wanted.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use pigeon::base::bitfield::Bitfield;
use pigeon::base::ids::{LinkId, PeerId};
use pigeon::base::layout::{BlockRef, Layout, PieceIndex};
use pigeon::swarm::link::{Availability, LinkCaps, LinkCommand, PeerCommand, RunEnd, Unit};
use rand::RngExt;
use rand::rngs::StdRng;

/// How true the data of a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
    /// All of it.
    Honest,
    /// One block in this many is wrong; 1 for all.
    WrongOneIn(u32),
}

/// The character of a peer and of the line to it.
#[derive(Clone, Debug)]
pub struct Character {
    pub has: Bitfield,
    /// It serves whole pieces.
    pub is_provider: bool,
    /// It says that it has everything.
    pub boasts: bool,
    pub truth: Truth,
    pub fast: bool,
    pub pipeline_max: u32,
    /// Bytes a second, at first.
    pub rate: u64,
    /// After so many blocks on a link, so many bytes a second.
    pub paces: Vec<(u64, u64)>,
    /// One way.
    pub latency: Duration,
    /// Chokes and unchokes in turns of this length.
    pub chokes_every: Option<Duration>,
    /// Goes away after being up this long, and for how long.
    pub drops: Option<(Duration, Duration)>,
    /// Of a hundred requests, those it refuses.
    pub refuses: u32,
    /// Of a hundred requests, those it forgets without a word.
    pub forgets: u32,
    /// Sends nothing more after so many blocks on a link.
    pub stalls_after: Option<u64>,
    /// Sends blocks that nobody asked for, this often.
    pub unasked_every: Option<Duration>,
    /// Cannot be connected to.
    pub dead: bool,
    /// It connects to us; it cannot be dialled.
    pub comes_in: bool,
    /// Pieces that it lets us ask for while choked.
    pub allowed: Vec<PieceIndex>,
}

impl Character {
    /// Has everything, answers everything, at this rate.
    pub fn seed(piece_count: u32, rate: u64, latency: Duration) -> Self {
        Self {
            has: Bitfield::all(piece_count),
            is_provider: false,
            boasts: false,
            truth: Truth::Honest,
            fast: true,
            pipeline_max: 500,
            rate,
            paces: Vec::new(),
            latency,
            chokes_every: None,
            drops: None,
            refuses: 0,
            forgets: 0,
            stalls_after: None,
            unasked_every: None,
            dead: false,
            comes_in: false,
            allowed: Vec::new(),
        }
    }

    /// As [`seed`](Self::seed), but it brings whole pieces, two at a time.
    pub fn provider(piece_count: u32, rate: u64, latency: Duration) -> Self {
        Self { is_provider: true, pipeline_max: 2, ..Self::seed(piece_count, rate, latency) }
    }

    pub fn caps(&self) -> LinkCaps {
        LinkCaps {
            unit: if self.is_provider { Unit::Piece } else { Unit::Block },
            chokes: !self.is_provider,
            pipeline_max: self.pipeline_max,
            can_upload_to: !self.is_provider,
            fast: self.fast,
            extended: true,
            mse: None,
            is_way_unsure: false,
        }
    }
}

/// What a remote says.
#[derive(Clone, Debug)]
pub enum Word {
    Pieces(Availability),
    Choked,
    Unchoked,
    AllowedFast(PieceIndex),
    Block(BlockRef, u64),
    Refused(BlockRef, bool),
    RunEnded(u64, u32, RunEnd),
}

/// A remote peer.
#[derive(Debug)]
pub struct Remote {
    pub character: Character,
    pub address: SocketAddr,
    pub peer_id: PeerId,
    pub link: Option<LinkId>,
    pub offline: bool,
    pub choking: bool,
    pub sending: bool,
    queue: VecDeque<BlockRef>,
    /// Blocks of a provider that nobody wants any more, or that were not asked for: they pass
    /// over the line all the same, but not to the brain.
    unwanted: BTreeSet<BlockRef>,
    sent: u64,
}

impl Remote {
    pub fn new(number: usize, character: Character) -> Self {
        let [.., high, low] = (number as u32 + 1).to_be_bytes();
        Self {
            character,
            address: SocketAddr::from(([203, 0, high, low], 6881)),
            peer_id: PeerId([low; 20]),
            link: None,
            offline: false,
            choking: true,
            sending: false,
            queue: VecDeque::new(),
            unwanted: BTreeSet::new(),
            sent: 0,
        }
    }

    /// The link is up: its first words.
    pub fn greet(&mut self, link: LinkId) -> Vec<Word> {
        self.link = Some(link);
        self.choking = !self.character.is_provider;
        self.sent = 0;
        self.queue.clear();
        let pieces = match self.character.has.ones() {
            _ if self.character.boasts || self.character.has.is_full() => Availability::All,
            0 => Availability::None,
            _ => Availability::Some(self.character.has.clone()),
        };
        let allowed = self.character.allowed.iter().map(|piece| Word::AllowedFast(*piece));
        std::iter::once(Word::Pieces(pieces)).chain(allowed).collect()
    }

    pub fn gone(&mut self) {
        self.link = None;
        self.queue.clear();
        self.unwanted.clear();
        self.sending = false;
    }

    /// Takes an order of ours as the remote gets it; returns what it says at once.
    pub fn hear(&mut self, layout: &Layout, command: LinkCommand, rng: &mut StdRng) -> Vec<Word> {
        let mut words = Vec::new();
        match command {
            LinkCommand::Request(blocks) if self.character.is_provider => {
                words = self.asked_whole(layout, &blocks, rng);
            }
            LinkCommand::Cancel(blocks) if self.character.is_provider => {
                self.unwanted.extend(blocks);
                self.forget_unwanted_pieces();
            }
            LinkCommand::Request(blocks) => {
                for block in blocks {
                    words.extend(self.asked(block, rng));
                }
            }
            LinkCommand::Cancel(blocks) => {
                for block in blocks {
                    let before = self.queue.len();
                    self.queue.retain(|queued| *queued != block);
                    if self.character.fast && self.queue.len() < before {
                        words.push(Word::Refused(block, false));
                    }
                }
            }
            LinkCommand::Peer(PeerCommand::Interested)
                if self.choking && self.character.chokes_every.is_none() =>
            {
                words.push(self.unchoke());
            }
            _ => {}
        }
        words
    }

    pub fn unchoke(&mut self) -> Word {
        self.choking = false;
        Word::Unchoked
    }

    /// BEP 6: choke first, then reject what is outstanding.
    pub fn choke(&mut self) -> Vec<Word> {
        self.choking = true;
        let void = std::mem::take(&mut self.queue);
        let mut words = vec![Word::Choked];
        for block in void {
            if self.character.allowed.contains(&block.piece()) {
                self.queue.push_back(block);
            } else if self.character.fast {
                words.push(Word::Refused(block, false));
            }
        }
        words
    }

    /// Has it a block to send now?
    pub fn has_work(&self) -> bool {
        let stalled = self.character.stalls_after.is_some_and(|most| self.sent >= most);
        !self.queue.is_empty() && !stalled
    }

    /// How long the line needs for the next block.
    pub fn time_of_next(&self) -> Duration {
        let bytes = self.queue.front().map_or(0, |block| block.len_bytes());
        Duration::from_secs_f64(f64::from(bytes) / self.rate() as f64)
    }

    fn rate(&self) -> u64 {
        let mut begun = self.character.paces.iter().filter(|(after, _)| *after <= self.sent);
        begun.next_back().map_or(self.character.rate, |(_, rate)| *rate)
    }

    /// The next block that it sends, and whether we still want it.
    pub fn next_block(&mut self) -> Option<(BlockRef, bool)> {
        self.sent += 1;
        let block = self.queue.pop_front()?;
        Some((block, !self.unwanted.remove(&block)))
    }

    fn asked_whole(&mut self, layout: &Layout, blocks: &[BlockRef], rng: &mut StdRng) -> Vec<Word> {
        let mut words = Vec::new();
        let mut refused = None;
        for block in blocks.iter().copied() {
            let piece = block.piece();
            if self.queue.contains(&block) {
                self.unwanted.remove(&block);
            } else if self.queue.iter().any(|queued| queued.piece() == piece) {
                // It is past already.
                self.queue.push_back(block);
            } else if refused == Some(piece) || self.lacks(piece, rng) {
                refused = Some(piece);
                words.push(Word::Refused(block, true));
            } else {
                self.queue.extend(layout.blocks(piece));
                self.unwanted.extend(layout.blocks(piece).filter(|other| *other != block));
            }
        }
        words
    }

    fn lacks(&self, piece: PieceIndex, rng: &mut StdRng) -> bool {
        !self.character.has.has(piece) || rng.random_range(0..100) < self.character.refuses
    }

    /// A piece whose sending has not begun is never asked for when nobody wants it.
    fn forget_unwanted_pieces(&mut self) {
        let begun = self.queue.front().map(|block| block.piece());
        let wanted = self.queue.iter().filter(|block| !self.unwanted.contains(block));
        let mut kept: BTreeSet<_> = wanted.map(|block| block.piece()).collect();
        kept.extend(begun);
        self.queue.retain(|block| kept.contains(&block.piece()));
        self.unwanted.retain(|block| kept.contains(&block.piece()));
    }

    fn asked(&mut self, block: BlockRef, rng: &mut StdRng) -> Option<Word> {
        let no = |lasting| self.character.fast.then_some(Word::Refused(block, lasting));
        if !self.character.has.has(block.piece()) {
            return no(true);
        }
        if self.choking && !self.character.allowed.contains(&block.piece()) {
            return no(false);
        }
        if rng.random_range(0..100) < self.character.refuses {
            return no(false);
        }
        if rng.random_range(0..100) >= self.character.forgets {
            self.queue.push_back(block);
        }
        None
    }
}

//! What must hold after every step, kept apart from the brain: who was asked for what, what
//! has come, and who chokes us.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use pigeon::base::ids::LinkId;
use pigeon::base::layout::{BlockRef, PieceIndex};
use pigeon::swarm::event::{Input, Verdict};
use pigeon::swarm::link::{LinkCaps, LinkEvent, Unit};

/// What one link may be asked, as far as we were told.
#[derive(Debug)]
struct Account {
    address: SocketAddr,
    owed: BTreeSet<BlockRef>,
    caps: LinkCaps,
    choking: bool,
    /// Pieces that it said it lacks.
    lacks: BTreeSet<PieceIndex>,
    allowed: BTreeSet<PieceIndex>,
}

/// Branches that a run has been through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reached {
    /// Blocks that were asked of another link before.
    pub moved: u32,
    pub spills: u32,
    pub bans: u32,
    pub snubs: u32,
    pub recoveries: u32,
    pub refusals: u32,
    pub chokes: u32,
    pub closed: u32,
    pub waited_for_memory: u32,
    pub wrong_pieces: u32,
    /// Pieces that one who brings whole ones did not bring.
    pub reassigned: u32,
    /// Wrong ones of theirs.
    pub rotten: u32,
}

impl Reached {
    pub fn add(&mut self, other: Self) {
        self.moved += other.moved;
        self.spills += other.spills;
        self.bans += other.bans;
        self.snubs += other.snubs;
        self.recoveries += other.recoveries;
        self.refusals += other.refusals;
        self.chokes += other.chokes;
        self.closed += other.closed;
        self.waited_for_memory += other.waited_for_memory;
        self.wrong_pieces += other.wrong_pieces;
        self.reassigned += other.reassigned;
        self.rotten += other.rotten;
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<LinkId, Account>,
    asked: BTreeMap<BlockRef, u32>,
    here: BTreeMap<BlockRef, SocketAddr>,
    /// Blocks of the last report.
    last: Vec<(LinkId, BlockRef)>,
    /// Pieces that failed their hash; such a one starts over when it changes hands.
    suspect: BTreeSet<PieceIndex>,
    /// While the disk fails, what comes may be let go.
    is_disk_failing: bool,
    /// Wrong pieces by who brought them whole.
    rotten: BTreeSet<(SocketAddr, PieceIndex)>,
    pub reached: Reached,
}

impl Ledger {
    pub fn link_up(&mut self, link: LinkId, address: SocketAddr, caps: &LinkCaps) {
        let account = Account {
            address,
            owed: BTreeSet::new(),
            caps: caps.clone(),
            choking: caps.chokes,
            lacks: BTreeSet::new(),
            allowed: BTreeSet::new(),
        };
        self.accounts.insert(link, account);
    }

    fn link_down(&mut self, link: LinkId) {
        self.void(link);
        self.accounts.remove(&link);
    }

    pub fn request(&mut self, link: LinkId, block: BlockRef) {
        let account = self.accounts.get_mut(&link).expect("requests go to links that are up");
        let allowed = !account.choking || account.allowed.contains(&block.piece());
        assert!(allowed, "{block:?} asked of {link:?} which chokes us");
        if self.is_disk_failing || self.suspect.contains(&block.piece()) {
            self.here.remove(&block);
        }
        assert!(!self.here.contains_key(&block), "{block:?} is here already");
        assert!(account.owed.insert(block), "{block:?} asked twice of {link:?}");
        let piece = block.piece();
        assert!(!account.lacks.contains(&piece), "{block:?} asked of {link:?} which lacks it");
        let is_rotten = self.rotten.contains(&(account.address, piece));
        assert!(!is_rotten, "{block:?} asked of {link:?} which brought it wrong");
        let most = account.caps.pipeline_max as usize;
        let units = match account.caps.unit {
            Unit::Block => account.owed.len(),
            Unit::Piece => account.owed.iter().map(|it| it.piece()).collect::<BTreeSet<_>>().len(),
            Unit::Run => unreachable!("servers are given runs, no requests"),
        };
        assert!(units <= most, "{link:?} owes more than {most}");
        self.reached.moved += u32::from(self.asked.contains_key(&block));
        let asked = self.asked.entry(block).or_default();
        *asked += 1;
        assert_eq!(*asked, 1, "{block:?} is asked of one link at a time");
    }

    /// The link no longer owes the block; true when it did.
    pub fn settle(&mut self, link: LinkId, block: BlockRef) -> bool {
        let owed = self.accounts.get_mut(&link).is_some_and(|account| account.owed.remove(&block));
        if owed && let Some(asked) = self.asked.get_mut(&block) {
            *asked -= 1;
        }
        owed
    }

    /// The link will not send the block; `lasting` when it lacks the piece.
    fn refused(&mut self, link: LinkId, block: BlockRef, lasting: bool) {
        if self.settle(link, block)
            && lasting
            && let Some(account) = self.accounts.get_mut(&link)
        {
            account.lacks.insert(block.piece());
        }
    }

    /// One that brings whole pieces sent this one wrong.
    pub fn rotten(&mut self, address: SocketAddr, piece: PieceIndex) {
        self.reached.rotten += 1;
        self.rotten.insert((address, piece));
    }

    /// The link owes nothing any more.
    pub fn void(&mut self, link: LinkId) {
        let Some(account) = self.accounts.get_mut(&link) else { return };
        for block in std::mem::take(&mut account.owed) {
            if let Some(asked) = self.asked.get_mut(&block) {
                *asked -= 1;
            }
        }
    }

    /// The brain is told this.
    pub fn hears(&mut self, input: &Input) {
        match input {
            Input::LinkEvents { link, events } => {
                self.last.clear();
                events.iter().for_each(|event| self.hears_of_link(*link, event));
            }
            Input::LinkDown { link, .. } => self.link_down(*link),
            Input::PieceChecked { piece, verdict: Verdict::Bad(_) } => {
                self.reached.wrong_pieces += 1;
                self.suspect.insert(*piece);
                self.dropped(*piece);
            }
            Input::PiecesLost(pieces) => pieces.iter().for_each(|piece| self.dropped(*piece)),
            _ => {}
        }
    }

    fn hears_of_link(&mut self, link: LinkId, event: &LinkEvent) {
        match event {
            LinkEvent::Blocks(blocks) => {
                blocks.iter().for_each(|(block, _)| self.arrived(link, *block));
            }
            LinkEvent::Choked => self.choked(link),
            LinkEvent::Unchoked => self.unchoked(link),
            LinkEvent::AllowedFast(piece) => self.allowed(link, *piece),
            LinkEvent::Refused { block, lasting } => {
                self.reached.refusals += 1;
                self.refused(link, *block, *lasting);
            }
            _ => {}
        }
    }

    fn arrived(&mut self, link: LinkId, block: BlockRef) {
        if self.settle(link, block)
            && let Some(account) = self.accounts.get(&link)
        {
            self.here.entry(block).or_insert(account.address);
            self.last.push((link, block));
        }
    }

    /// The brain closed the link. What else the report held that made it do so, it did not take.
    pub fn closed(&mut self, link: LinkId) {
        self.reached.closed += 1;
        self.void(link);
        for (_, block) in self.last.extract_if(.., |(from, _)| *from == link) {
            self.here.remove(&block);
        }
    }

    fn choked(&mut self, link: LinkId) {
        self.reached.chokes += 1;
        let Some(account) = self.accounts.get_mut(&link) else { return };
        account.choking = true;
        if !account.caps.fast {
            self.void(link);
        }
    }

    fn unchoked(&mut self, link: LinkId) {
        if let Some(account) = self.accounts.get_mut(&link) {
            account.choking = false;
        }
    }

    fn allowed(&mut self, link: LinkId, piece: PieceIndex) {
        if let Some(account) = self.accounts.get_mut(&link) {
            account.allowed.insert(piece);
        }
    }

    /// What is here of the piece counts no more.
    pub fn dropped(&mut self, piece: PieceIndex) {
        self.here.retain(|block, _| block.piece() != piece);
    }

    /// What is here and not verified may be let go until the disk works.
    pub fn disk_fails(&mut self) {
        self.is_disk_failing = true;
    }

    /// Nothing is let go any more.
    pub fn disk_works(&mut self) {
        self.reached.recoveries += 1;
        self.is_disk_failing = false;
        self.here.clear();
    }

    /// What the peer sent may be asked for again.
    pub fn distrust(&mut self, sender: SocketAddr) {
        self.reached.bans += 1;
        self.here.retain(|_, from| *from != sender);
    }
}

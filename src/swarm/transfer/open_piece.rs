//! One piece that is being put together: where each of its blocks is, who sent those that are
//! here, and which link it is kept for. All of them together, and what they may hold, are in
//! `assembly`.

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::swarm::event::Held;
use crate::swarm::link::Endpoint;

use super::free::Begun;

/// Whose pieces a link may be given blocks of. A piece that comes from one link alone is
/// whole sooner, holds memory for less time, and names its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Those that no other link has begun.
    Own,
    /// Any but suspect ones.
    Any,
}

/// A whole piece on its way to the check.
#[derive(Debug)]
pub struct Assembled {
    /// Its blocks in order.
    pub blocks: Vec<Held>,
    /// Who sent each; none for pad blocks.
    pub senders: Vec<Option<Endpoint>>,
}

/// Where a block of an open piece is.
#[derive(Debug)]
enum BlockState {
    Free,
    /// Asked for on this link, and on no other.
    Asked(LinkId),
    Data(Block),
    Pad,
    Spilling,
    OnDisk,
}

/// An open piece.
#[derive(Debug)]
pub(super) struct OpenPiece {
    begun: Begun,
    states: Vec<BlockState>,
    senders: Vec<Option<Endpoint>>,
    free: u32,
    /// Blocks in memory.
    data: u32,
    /// Blocks that are neither here nor known to be zeros.
    missing: u32,
    /// No block before this one is free.
    first_free: u32,
    /// The link that asked first and is asked on; others wait as long as they find better.
    owner: Option<LinkId>,
    /// Who was the owner last, to know when a suspect piece changes hands.
    last_owner: Option<LinkId>,
    is_solo: bool,
}

impl OpenPiece {
    /// With nothing here but what is padding; with `solo` only one link at a time is asked for it.
    pub(super) fn new(
        begun: Begun,
        blocks: impl Iterator<Item = BlockRef>,
        solo: bool,
        is_pad: impl Fn(BlockRef) -> bool,
    ) -> Self {
        let pad_or_free = |block| if is_pad(block) { BlockState::Pad } else { BlockState::Free };
        let states: Vec<BlockState> = blocks.map(pad_or_free).collect();
        let free = states.iter().filter(|state| matches!(state, BlockState::Free)).count() as u32;
        Self {
            begun,
            senders: vec![None; states.len()],
            states,
            free,
            data: 0,
            missing: free,
            first_free: 0,
            owner: None,
            last_owner: None,
            is_solo: solo,
        }
    }

    /// Its place in the order of beginnings.
    pub(super) fn begun(&self) -> Begun {
        self.begun
    }

    /// The link that it is kept for.
    pub(super) fn owner(&self) -> Option<LinkId> {
        self.owner
    }

    /// Blocks in memory.
    pub(super) fn data_count(&self) -> u32 {
        self.data
    }

    /// Has it a block that nobody is asked for?
    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// Is nothing asked for of what is missing, if anything is?
    pub(super) fn is_unasked(&self) -> bool {
        self.free == self.missing
    }

    /// Is every block here, or known to be zeros?
    pub(super) fn is_all_here(&self) -> bool {
        self.missing == 0
    }

    /// Are blocks of it on their way to the disk, unverified?
    pub(super) fn is_spilling(&self) -> bool {
        self.states.iter().any(|state| matches!(state, BlockState::Spilling))
    }

    /// May the link be given blocks of it?
    pub(super) fn is_open_to(&self, link: LinkId, sharing: Sharing) -> bool {
        let is_closed = self.is_solo || sharing == Sharing::Own;
        self.owner.is_none_or(|owner| owner == link || !is_closed)
    }

    /// Is it worth beginning for a link that brings whole pieces? Of one that others work on, most
    /// must be free still.
    pub(super) fn is_fit_for(&self, link: LinkId, sharing: Sharing) -> bool {
        let is_mine = self.is_open_to(link, Sharing::Own);
        let is_most = self.free as usize * 2 >= self.states.len();
        self.is_open_to(link, sharing) && (is_mine || is_most || self.is_unasked())
    }

    /// Which link is asked for a block; none when it is not missing, or is free.
    pub(super) fn asked(&self, number: u32) -> Option<LinkId> {
        match self.states.get(number as usize)? {
            BlockState::Asked(link) => Some(*link),
            _ => None,
        }
    }

    /// Makes the link the owner, if there is none. A suspect piece that changes hands starts
    /// over, so that one sender answers for all of it; returns how many blocks that costs.
    pub(super) fn hand_to(&mut self, link: LinkId) -> usize {
        let owner = *self.owner.get_or_insert(link);
        let changed = self.last_owner.replace(owner).is_some_and(|last| last != owner);
        if self.is_solo && changed { self.forget_data(|_| true) } else { 0 }
    }

    /// It is kept for this link no more. Was it?
    pub(super) fn disown(&mut self, link: LinkId) -> bool {
        self.owner.take_if(|owner| *owner == link).is_some()
    }

    /// It may be asked of any link from now on.
    pub(super) fn share(&mut self) {
        self.is_solo = false;
        self.owner = None;
    }

    /// Marks up to `count` free blocks as asked for; returns how many.
    pub(super) fn take(
        &mut self,
        layout: &Layout,
        link: LinkId,
        piece: PieceIndex,
        count: usize,
        into: &mut Vec<BlockRef>,
    ) -> usize {
        let mut taken = 0;
        let mut number = self.first_free;
        while taken < count && self.free > 0 && (number as usize) < self.states.len() {
            let state = &mut self.states[number as usize];
            if matches!(state, BlockState::Free) {
                *state = BlockState::Asked(link);
                into.extend(layout.block(piece, number));
                self.free -= 1;
                taken += 1;
            }
            number += 1;
        }
        self.first_free = number;
        taken
    }

    /// The block is asked of `to` from now on instead of `from`. False when it is not asked of
    /// `from`, or the piece is kept for one link.
    pub(super) fn move_block(&mut self, number: u32, from: LinkId, to: LinkId) -> bool {
        let may = !self.is_solo && self.asked(number) == Some(from);
        if may {
            self.states[number as usize] = BlockState::Asked(to);
        }
        may
    }

    /// The link no longer owes this block. False when it did not.
    pub(super) fn release(&mut self, number: u32, link: LinkId) -> bool {
        let was_asked = self.asked(number) == Some(link);
        if was_asked {
            self.free_block(number);
        }
        was_asked
    }

    fn free_block(&mut self, number: u32) {
        self.states[number as usize] = BlockState::Free;
        self.free += 1;
        self.first_free = self.first_free.min(number);
    }

    /// A block arrived on `link` from `sender`; which link was asked for it, if any was. None when
    /// it is here already. Of a suspect piece only its owner's are taken.
    pub(super) fn receive(
        &mut self,
        number: u32,
        data: Block,
        link: LinkId,
        sender: Endpoint,
    ) -> Option<Option<LinkId>> {
        if self.is_solo && self.owner.is_some_and(|owner| owner != link) {
            return None;
        }
        let number = number as usize;
        let state = &mut self.states[number];
        let asked = match state {
            BlockState::Asked(link) => Some(*link),
            BlockState::Free => None,
            _ => return None,
        };
        *state = BlockState::Data(data);
        self.senders[number] = Some(sender);
        self.missing -= 1;
        self.data += 1;
        self.free -= u32::from(asked.is_none());
        Some(asked)
    }

    /// All that is here of it, for the check.
    pub(super) fn into_assembled(self) -> Assembled {
        let held = |state| match state {
            BlockState::Data(block) => Held::Data(block),
            BlockState::Pad => Held::Pad,
            _ => Held::OnDisk,
        };
        let blocks = self.states.into_iter().map(held).collect();
        Assembled { blocks, senders: self.senders }
    }

    /// Frees the blocks in memory from senders for which `is_doubtful` holds; returns how
    /// many those were.
    pub(super) fn forget_data(&mut self, is_doubtful: impl Fn(Option<Endpoint>) -> bool) -> usize {
        let before = self.free;
        for number in 0..self.states.len() {
            let is_data = matches!(self.states[number], BlockState::Data(_));
            if is_data && is_doubtful(self.senders[number]) {
                self.senders[number] = None;
                self.free_block(number as u32);
            }
        }
        self.missing += self.free - before;
        self.data -= self.free - before;
        (self.free - before) as usize
    }

    /// Takes its blocks in memory, of which `refs` are the names, on their way to the disk.
    pub(super) fn spill(&mut self, refs: impl Iterator<Item = BlockRef>) -> Vec<(BlockRef, Block)> {
        let mut blocks = Vec::new();
        for (block, state) in refs.zip(&mut self.states) {
            if matches!(state, BlockState::Data(_))
                && let BlockState::Data(data) = std::mem::replace(state, BlockState::Spilling)
            {
                blocks.push((block, data));
            }
        }
        self.data = 0;
        blocks
    }

    /// The spilled blocks are on disk; those in `failed` come back. Returns how many did.
    pub(super) fn spilled(&mut self, failed: Vec<(BlockRef, Block)>) -> usize {
        let before = self.data;
        for (block, data) in failed {
            let state = &mut self.states[block.number() as usize];
            if matches!(state, BlockState::Spilling) {
                *state = BlockState::Data(data);
                self.data += 1;
            }
        }
        for state in &mut self.states {
            if matches!(state, BlockState::Spilling) {
                *state = BlockState::OnDisk;
            }
        }
        (self.data - before) as usize
    }

    /// Asserts that what is counted in passing equals what a count finds.
    pub(super) fn check_counts(&self, piece: PieceIndex) {
        let count = |test: fn(&BlockState) -> bool| {
            self.states.iter().filter(|state| test(state)).count() as u32
        };
        let free = count(|state| matches!(state, BlockState::Free));
        let asked = count(|state| matches!(state, BlockState::Asked(_)));
        let data = count(|state| matches!(state, BlockState::Data(_)));
        assert_eq!(self.free, free, "{piece:?} counts its free blocks");
        assert_eq!(self.missing, free + asked, "{piece:?} counts its missing blocks");
        assert_eq!(self.data, data, "{piece:?} counts its blocks in memory");
        let first = self.states.iter().position(|state| matches!(state, BlockState::Free));
        let is_past = first.is_some_and(|first| first < self.first_free as usize);
        assert!(!is_past, "no block of {piece:?} before its first free one is free");
    }
}

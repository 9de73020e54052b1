//! The pieces that are being put together: which blocks are free, asked for, or here, and
//! who sent them. It moves blocks, never bytes, and never chooses: the picker says which
//! piece to begin, the fetcher which link to ask.
//!
//! Memory is what has arrived, not what was asked for. A piece is begun only while open
//! pieces hold little; if they come to hold our share of the block pool all the same (a slow
//! peer in every piece, or pieces larger than that), the fullest one is spilled.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::link::Endpoint;

use super::free::{Begun, FreePieces};
use super::open_piece::OpenPiece;

pub use super::open_piece::{Assembled, Sharing};

/// Pieces that may be open even when memory says no: with one alone, a single slow peer
/// could hold up everybody.
const OPEN_MIN: usize = 2;
/// Open pieces at most, for torrents of very small pieces.
const OPEN_MAX: usize = 2048;

/// What became of a block that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// It was missing.
    Useful {
        /// The piece is whole now.
        last: bool,
        /// Which link is asked for it; not always the one that brought it.
        asked: Option<LinkId>,
    },
    /// It is here already, or its piece is not open.
    Redundant,
}

/// All open pieces.
#[derive(Debug)]
pub struct Assembly {
    layout: Layout,
    open: BTreeMap<PieceIndex, OpenPiece>,
    free: FreePieces,
    next_begun: Begun,
    /// Pieces that were dropped while blocks of theirs were being spilled: the answer that is
    /// still to come speaks of those, not of a piece begun anew.
    orphans: BTreeSet<PieceIndex>,
    open_bytes: u64,
    /// Pieces that are open and dead, and their bytes, when that was last looked at.
    dead: (usize, u64),
    budget_bytes: u64,
    held_blocks: usize,
}

impl Assembly {
    /// Nothing is open; open pieces may hold `share_blocks` before they are spilled.
    pub fn new(layout: Layout, share_blocks: usize) -> Self {
        Self {
            layout,
            open: BTreeMap::new(),
            free: FreePieces::default(),
            next_begun: 0,
            orphans: BTreeSet::new(),
            open_bytes: 0,
            dead: (0, 0),
            budget_bytes: (share_blocks * BLOCK_LEN) as u64,
            held_blocks: 0,
        }
    }

    /// Open pieces may hold so many blocks from now on before they are spilled.
    pub fn set_share(&mut self, share_blocks: usize) {
        self.budget_bytes = (share_blocks * BLOCK_LEN) as u64;
    }

    /// Does memory allow one more piece to be begun? Blocks that are asked for and not here
    /// take none, but all may come: so what is open is bounded too, at eight times our share.
    pub fn may_open(&self) -> bool {
        let held = (self.held_blocks * BLOCK_LEN) as u64;
        let (dead, dead_bytes) = self.dead;
        let open_bytes = self.open_bytes.saturating_sub(dead_bytes);
        let after = open_bytes + u64::from(self.layout.piece_len());
        let fits = held <= self.budget_bytes * 3 / 4 && after <= self.budget_bytes * 8;
        let open = self.open.len().saturating_sub(dead);
        open < OPEN_MIN || fits && open < OPEN_MAX
    }

    /// Pieces of which nothing is asked for and which nobody has do not count as open, as of now:
    /// no more of them is going to arrive.
    pub fn discount(&mut self, has_nobody: impl Fn(PieceIndex) -> bool) {
        let mut dead = (0, 0);
        for (piece, open) in &self.open {
            if open.is_unasked() && has_nobody(*piece) {
                dead = (dead.0 + 1, dead.1 + u64::from(self.layout.len_of(*piece)));
            }
        }
        self.dead = dead;
    }

    /// Open pieces, those at the check not counted.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Is the piece open?
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains_key(&piece)
    }

    /// Blocks held in memory by open pieces.
    pub fn held_blocks(&self) -> usize {
        self.held_blocks
    }

    /// Begins a piece; blocks for which `is_pad` holds need not be fetched. With `solo` only
    /// one link at a time is asked for it. True when nothing of it is missing at all.
    pub fn begin(
        &mut self,
        piece: PieceIndex,
        solo: bool,
        is_pad: impl Fn(BlockRef) -> bool,
    ) -> bool {
        let begun = self.next_begun;
        self.next_begun += 1;
        let open = OpenPiece::new(begun, self.layout.blocks(piece), solo, is_pad);
        let has_free = open.has_free();
        self.open_bytes += u64::from(self.layout.len_of(piece));
        self.open.insert(piece, open);
        if has_free {
            self.free.insert(begun, piece, None);
        }
        !has_free
    }

    /// Takes up to `count` free blocks for `link`, oldest piece first, out of the pieces for
    /// which `may_ask` holds.
    pub fn take_free(
        &mut self,
        link: LinkId,
        count: usize,
        sharing: Sharing,
        may_ask: impl Fn(PieceIndex) -> bool,
        into: &mut Vec<BlockRef>,
    ) {
        let mut left = count;
        while left > 0 {
            let next = match sharing {
                Sharing::Own => self.free.own_of(link).find(|piece| may_ask(*piece)),
                Sharing::Any => self.free.all().find(|piece| {
                    let open = self.open.get(piece);
                    may_ask(*piece) && open.is_some_and(|open| open.is_open_to(link, sharing))
                }),
            };
            let Some(piece) = next else { return };
            left -= self.take_of(link, piece, left, into);
        }
    }

    /// Takes up to `count` free blocks of an open piece that has some; returns how many.
    fn take_of(
        &mut self,
        link: LinkId,
        piece: PieceIndex,
        count: usize,
        into: &mut Vec<BlockRef>,
    ) -> usize {
        let Some(open) = self.open.get_mut(&piece) else { return 0 };
        let before = open.owner();
        self.held_blocks -= open.hand_to(link);
        self.free.hand_over(open.begun(), before, open.owner());
        let taken = open.take(&self.layout, link, piece, count, into);
        if !open.has_free() {
            self.free.remove(open.begun(), open.owner());
        }
        taken
    }

    /// Has any open piece a block that nobody is asked for?
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// A piece with free blocks for a link that brings whole ones, the oldest first. Of pieces
    /// that other links work on, most must be free still.
    pub fn find_free(
        &self,
        link: LinkId,
        sharing: Sharing,
        may_ask: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let is_fit = |piece: &PieceIndex| {
            let open = self.open.get(piece);
            open.is_some_and(|open| open.is_fit_for(link, sharing)) && may_ask(*piece)
        };
        match sharing {
            Sharing::Own => self.free.own_of(link).find(is_fit),
            Sharing::Any => self.free.all().find(is_fit),
        }
    }

    /// Pieces of which something is missing and nothing asked for, the oldest first.
    pub fn orphans(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.free.all().filter(|piece| self.open.get(piece).is_some_and(OpenPiece::is_unasked))
    }

    /// Is this one of those, and kept for no link?
    pub fn is_orphan(&self, piece: PieceIndex) -> bool {
        let is_it = |it: &OpenPiece| it.has_free() && it.is_unasked() && it.owner().is_none();
        self.open.get(&piece).is_some_and(is_it)
    }

    /// Which link is asked for the block; none when it is not missing, or is free.
    pub fn asked(&self, block: BlockRef) -> Option<LinkId> {
        self.open.get(&block.piece())?.asked(block.number())
    }

    /// The block is asked of `to` from now on instead of `from`. False when it is not asked of
    /// `from`, or its piece is kept for one link.
    pub fn move_block(&mut self, block: BlockRef, from: LinkId, to: LinkId) -> bool {
        let Some(open) = self.open.get_mut(&block.piece()) else { return false };
        let is_moved = open.move_block(block.number(), from, to);
        if is_moved && open.disown(from) {
            self.free.hand_over(open.begun(), Some(from), None);
        }
        is_moved
    }

    /// The blocks of a piece that are asked for, each with the link that is asked.
    pub fn asked_of(&self, piece: PieceIndex) -> Vec<(LinkId, BlockRef)> {
        let Some(open) = self.open.get(&piece) else { return Vec::new() };
        let asked = |block: BlockRef| open.asked(block.number()).map(|link| (link, block));
        self.layout.blocks(piece).filter_map(asked).collect()
    }

    /// The link no longer owes this block.
    pub fn release(&mut self, link: LinkId, block: BlockRef) {
        let Some(open) = self.open.get_mut(&block.piece()) else { return };
        if open.disown(link) {
            self.free.hand_over(open.begun(), Some(link), None);
        }
        let had_free = open.has_free();
        if open.release(block.number(), link) && !had_free {
            self.free.insert(open.begun(), block.piece(), open.owner());
        }
    }

    /// The link cannot be counted on at present: pieces kept for it alone are free for any.
    pub fn disown(&mut self, link: LinkId) {
        for open in self.open.values_mut() {
            if open.disown(link) {
                self.free.hand_over(open.begun(), Some(link), None);
            }
        }
    }

    /// A block arrived on `link` from `sender`. Of a suspect piece only its owner's are taken.
    pub fn receive(
        &mut self,
        link: LinkId,
        block: BlockRef,
        data: Block,
        sender: Endpoint,
    ) -> Received {
        let Some(open) = self.open.get_mut(&block.piece()) else { return Received::Redundant };
        let Some(asked) = open.receive(block.number(), data, link, sender) else {
            return Received::Redundant;
        };
        self.held_blocks += 1;
        if asked.is_none() && !open.has_free() {
            self.free.remove(open.begun(), open.owner());
        }
        Received::Useful { last: open.is_all_here(), asked }
    }

    /// Takes a whole piece out for the check; none while blocks are missing or being
    /// spilled.
    pub fn take_whole(&mut self, piece: PieceIndex) -> Option<Assembled> {
        let open = self.open.get(&piece)?;
        if !open.is_all_here() || open.is_spilling() {
            return None;
        }
        self.remove(piece).map(OpenPiece::into_assembled)
    }

    /// The piece may be asked of any link from now on.
    pub fn share(&mut self, piece: PieceIndex) {
        if let Some(open) = self.open.get_mut(&piece) {
            self.free.hand_over(open.begun(), open.owner(), None);
            open.share();
        }
    }

    /// Drops an open piece with all that is here of it.
    pub fn abandon(&mut self, piece: PieceIndex) {
        self.remove(piece);
    }

    /// Forgets blocks in memory that `sender` sent, since it lied elsewhere.
    pub fn distrust(&mut self, sender: Endpoint) {
        for (piece, open) in &mut self.open {
            let had_free = open.has_free();
            self.held_blocks -= open.forget_data(|from| from == Some(sender));
            if !had_free && open.has_free() {
                self.free.insert(open.begun(), *piece, open.owner());
            }
        }
    }

    /// When open pieces hold more than their share of the pool: the blocks of the fullest one, to
    /// be written unverified.
    pub fn spill(&mut self) -> Option<(PieceIndex, Vec<(BlockRef, Block)>)> {
        if (self.held_blocks * BLOCK_LEN) as u64 <= self.budget_bytes {
            return None;
        }
        self.spill_fullest()
    }

    /// The blocks in memory of the fullest piece, to be written unverified.
    pub fn spill_fullest(&mut self) -> Option<(PieceIndex, Vec<(BlockRef, Block)>)> {
        // One spill of a piece at a time: its answer speaks of all its blocks on the way.
        let orphans = &self.orphans;
        let at_rest = |piece: &PieceIndex, open: &OpenPiece| {
            open.data_count() > 0 && !open.is_spilling() && !orphans.contains(piece)
        };
        let pieces = self.open.iter_mut().filter(|(piece, open)| at_rest(piece, open));
        let (piece, open) = pieces.max_by_key(|(_, open)| open.data_count())?;
        let blocks = open.spill(self.layout.blocks(*piece));
        self.held_blocks -= blocks.len();
        Some((*piece, blocks))
    }

    /// Forgets blocks in memory, those of the emptiest pieces first, until no more than
    /// `most` are left; with `not_all` the fullest piece keeps its own.
    pub fn shed(&mut self, most: usize, not_all: bool) {
        let mut pieces: Vec<(u32, PieceIndex)> =
            self.open.iter().map(|(piece, open)| (open.data_count(), *piece)).collect();
        pieces.sort_unstable();
        if not_all {
            pieces.pop();
        }
        for (_, piece) in pieces.into_iter().filter(|(count, _)| *count > 0) {
            if self.held_blocks <= most {
                return;
            }
            let Some(open) = self.open.get_mut(&piece) else { continue };
            let had_free = open.has_free();
            self.held_blocks -= open.forget_data(|_| true);
            if !had_free && open.has_free() {
                self.free.insert(open.begun(), piece, open.owner());
            }
        }
    }

    /// The spilled blocks of a piece are on disk; those in `failed` come back.
    pub fn spilled(&mut self, piece: PieceIndex, failed: Vec<(BlockRef, Block)>) {
        if self.orphans.remove(&piece) {
            return;
        }
        if let Some(open) = self.open.get_mut(&piece) {
            self.held_blocks += open.spilled(failed);
        }
    }

    /// The pieces that are open, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.open.keys().copied()
    }

    /// Must something be spilled, and is there anything that can be?
    pub(super) fn must_spill(&self) -> bool {
        let mut pieces = self.open.iter();
        let may_spill = pieces.any(|(piece, open)| {
            open.data_count() > 0 && !open.is_spilling() && !self.orphans.contains(piece)
        });
        (self.held_blocks * BLOCK_LEN) as u64 > self.budget_bytes && may_spill
    }

    /// Asserts that what is counted in passing equals what a count finds.
    pub(super) fn check_counts(&self) {
        let held: usize = self.open.values().map(|open| open.data_count() as usize).sum();
        assert_eq!(self.held_blocks, held, "held blocks are the data blocks of open pieces");
        let len: u64 = self.open.keys().map(|piece| u64::from(self.layout.len_of(*piece))).sum();
        assert_eq!(self.open_bytes, len, "open bytes are those of the open pieces");
        let listed: Vec<PieceIndex> = self.free.all().collect();
        for (piece, open) in &self.open {
            open.check_counts(*piece);
            let times = listed.iter().filter(|other| *other == piece).count();
            let is_listed = usize::from(open.has_free());
            assert_eq!(times, is_listed, "{piece:?} is listed while it has free ones");
            if open.has_free() {
                let list = self.free.list_of(open.begun());
                assert_eq!(list, Some(open.owner()), "{piece:?} is listed under its owner");
            }
        }
        let is_open = |piece: &PieceIndex| self.open.contains_key(piece);
        assert!(listed.iter().all(is_open), "only open pieces have free blocks");
    }

    fn remove(&mut self, piece: PieceIndex) -> Option<OpenPiece> {
        let open = self.open.remove(&piece)?;
        self.open_bytes -= u64::from(self.layout.len_of(piece));
        self.held_blocks -= open.data_count() as usize;
        self.free.remove(open.begun(), open.owner());
        if open.is_spilling() {
            self.orphans.insert(piece);
        }
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pool::BlockPool;
    use crate::swarm::event::Held;

    const LINK: LinkId = LinkId(1);

    struct Bench {
        assembly: Assembly,
        pool: BlockPool,
        layout: Layout,
    }

    /// Pieces of three blocks, the last one short.
    fn bench(pool_blocks: usize) -> Bench {
        let layout = Layout::new(10 * 40_000, 40_000).unwrap();
        let pool = BlockPool::new(pool_blocks * BLOCK_LEN);
        Bench { assembly: Assembly::new(layout, pool_blocks / 2), pool, layout }
    }

    impl Bench {
        fn piece(&self, number: u32) -> PieceIndex {
            self.layout.piece(number).unwrap()
        }

        fn block(&self, piece: u32, number: u32) -> BlockRef {
            self.layout.block(self.piece(piece), number).unwrap()
        }

        fn data(&self) -> Block {
            let mut blocks = Vec::new();
            assert_eq!(self.pool.take(1, &mut blocks), 1);
            blocks.pop().unwrap()
        }

        fn receive(&mut self, block: BlockRef) -> Received {
            let data = self.data();
            self.assembly.receive(LINK, block, data, sender(1))
        }

        fn take(&mut self, link: LinkId, count: usize) -> Vec<BlockRef> {
            let mut blocks = Vec::new();
            self.assembly.take_free(link, count, Sharing::Any, |_| true, &mut blocks);
            blocks
        }
    }

    fn sender(host: u8) -> Endpoint {
        Endpoint::Peer(([192, 0, 2, host], 6881).into())
    }

    #[test]
    fn a_piece_is_whole_when_its_last_block_is_here() {
        let mut bench = bench(100);
        assert!(!bench.assembly.begin(bench.piece(0), false, |_| false));
        let blocks = bench.take(LINK, 10);
        assert_eq!(blocks, [bench.block(0, 0), bench.block(0, 1), bench.block(0, 2)]);
        assert_eq!(bench.receive(blocks[1]), Received::Useful { last: false, asked: Some(LINK) });
        assert_eq!(bench.receive(blocks[1]), Received::Redundant);
        assert_eq!(bench.receive(blocks[0]), Received::Useful { last: false, asked: Some(LINK) });
        assert!(bench.assembly.take_whole(bench.piece(0)).is_none());
        assert_eq!(bench.receive(blocks[2]), Received::Useful { last: true, asked: Some(LINK) });
        let whole = bench.assembly.take_whole(bench.piece(0)).unwrap();
        assert_eq!(whole.senders, [Some(sender(1)); 3]);
        assert_eq!((bench.assembly.open_count(), bench.assembly.held_blocks()), (0, 0));
        drop(whole);
        assert_eq!(bench.pool.in_use_blocks(), 0);
    }

    #[test]
    fn released_blocks_are_free_again_and_partial_pieces_come_first() {
        let mut bench = bench(100);
        bench.assembly.begin(bench.piece(3), false, |_| false);
        bench.assembly.begin(bench.piece(1), false, |_| false);
        let blocks = bench.take(LINK, 4);
        assert_eq!(blocks[3], bench.block(1, 0));
        bench.assembly.release(LINK, blocks[1]);
        assert_eq!(bench.take(LINK, 1), [bench.block(3, 1)]);
        assert_eq!(bench.take(LINK, 9), [bench.block(1, 1), bench.block(1, 2)]);
    }

    #[test]
    fn what_is_held_and_what_is_open_bounds_what_may_be_begun() {
        let mut bench = bench(6);
        for number in 0..9 {
            assert!(bench.assembly.may_open(), "piece {number} within 24 blocks");
            bench.assembly.begin(bench.piece(number), false, |_| false);
        }
        assert!(!bench.assembly.may_open());
        let mut holding = self::bench(8);
        holding.assembly.begin(holding.piece(0), false, |_| false);
        holding.assembly.begin(holding.piece(1), false, |_| false);
        let blocks = holding.take(LINK, 6);
        holding.receive(blocks[0]);
        holding.receive(blocks[1]);
        holding.receive(blocks[3]);
        assert!(holding.assembly.may_open());
        holding.receive(blocks[4]);
        assert!(!holding.assembly.may_open());
    }

    #[test]
    fn a_link_that_wants_its_own_pieces_leaves_those_of_others_alone() {
        let mut bench = bench(100);
        bench.assembly.begin(bench.piece(0), false, |_| false);
        bench.take(LINK, 1);
        let mut own = Vec::new();
        bench.assembly.take_free(LinkId(2), 9, Sharing::Own, |_| true, &mut own);
        assert_eq!(own, []);
        bench.assembly.disown(LINK);
        bench.assembly.take_free(LinkId(2), 9, Sharing::Own, |_| true, &mut own);
        assert_eq!(own, [bench.block(0, 1), bench.block(0, 2)]);
    }

    #[test]
    fn a_suspect_piece_that_changes_hands_starts_over() {
        let mut bench = bench(100);
        bench.assembly.begin(bench.piece(0), true, |_| false);
        let blocks = bench.take(LINK, 2);
        bench.receive(blocks[0]);
        bench.assembly.disown(LINK);
        assert_eq!(bench.take(LINK, 1), [bench.block(0, 2)], "back to the same one it does not");
        bench.assembly.release(LINK, bench.block(0, 1));
        bench.assembly.release(LINK, bench.block(0, 2));
        assert_eq!(bench.take(LinkId(2), 9).len(), 3);
        assert_eq!(bench.assembly.held_blocks(), 0);
    }

    /// BEP 47: clients "should also avoid requesting byte-ranges covering their contents".
    #[test]
    fn pad_blocks_are_never_asked_for() {
        let mut bench = bench(100);
        let pad = bench.block(0, 1);
        bench.assembly.begin(bench.piece(0), false, |block| block == pad);
        assert_eq!(bench.take(LINK, 9), [bench.block(0, 0), bench.block(0, 2)]);
        assert!(bench.assembly.begin(bench.piece(1), false, |_| true));
        assert!(matches!(
            bench.assembly.take_whole(bench.piece(1)).unwrap().blocks[..],
            [Held::Pad, Held::Pad, Held::Pad]
        ));
    }

    #[test]
    fn a_solo_piece_is_asked_of_one_link_until_that_gives_up() {
        let mut bench = bench(100);
        bench.assembly.begin(bench.piece(0), true, |_| false);
        let first = bench.take(LINK, 1);
        assert_eq!(bench.take(LinkId(2), 9), []);
        assert!(!bench.assembly.move_block(first[0], LINK, LinkId(2)));
        bench.assembly.release(LINK, first[0]);
        assert_eq!(bench.take(LinkId(2), 9).len(), 3);
    }

    /// The answer to a spill that is still to come speaks of the piece that was dropped.
    #[test]
    fn a_piece_begun_anew_does_not_take_the_answer_to_an_old_spill() {
        let mut bench = bench(4);
        bench.assembly.begin(bench.piece(0), false, |_| false);
        let blocks = bench.take(LINK, 9);
        let receive = |bench: &mut Bench| {
            for block in &blocks {
                bench.receive(*block);
            }
        };
        receive(&mut bench);
        let (piece, spilled) = bench.assembly.spill().unwrap();
        drop(spilled);
        bench.assembly.abandon(piece);
        bench.assembly.begin(piece, false, |_| false);
        bench.take(LINK, 9);
        receive(&mut bench);
        assert!(bench.assembly.spill().is_none(), "not while the old one is on its way");
        bench.assembly.spilled(piece, Vec::new());
        assert_eq!(bench.assembly.spill().map(|(_, blocks)| blocks.len()), Some(3));
        assert!(bench.assembly.take_whole(piece).is_none());
    }

    #[test]
    fn spilled_blocks_leave_memory_and_count_as_here() {
        let mut bench = bench(4);
        bench.assembly.begin(bench.piece(0), false, |_| false);
        let blocks = bench.take(LINK, 9);
        bench.receive(blocks[0]);
        bench.receive(blocks[1]);
        assert!(bench.assembly.spill().is_none());
        bench.receive(blocks[2]);
        let (piece, spilled) = bench.assembly.spill().unwrap();
        assert_eq!((piece, spilled.len()), (bench.piece(0), 3));
        assert!(bench.assembly.take_whole(piece).is_none(), "not before the disk answered");
        drop(spilled);
        bench.assembly.spilled(piece, Vec::new());
        let whole = bench.assembly.take_whole(piece).unwrap();
        assert!(whole.blocks.iter().all(|held| matches!(held, Held::OnDisk)));
    }

    #[test]
    fn blocks_of_a_liar_are_forgotten() {
        let mut bench = bench(100);
        bench.assembly.begin(bench.piece(0), false, |_| false);
        let blocks = bench.take(LINK, 9);
        bench.receive(blocks[0]);
        let data = bench.data();
        bench.assembly.receive(LinkId(2), blocks[1], data, sender(2));
        bench.assembly.distrust(sender(1));
        assert_eq!(bench.assembly.held_blocks(), 1);
        assert_eq!(bench.take(LINK, 9), [blocks[0]]);
    }
}

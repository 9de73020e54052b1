//! Which blocks to ask of which link, and what an arriving block means. Partial pieces come
//! first, then the rarest. When nothing is left to begin, `endgame` takes over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::swarm::effects::{Effects, Notice};
use crate::swarm::event::Output;
use crate::swarm::link::{CloseReason, LinkCommand};

use super::Transfer;
use super::assembly::{Received, Sharing};
use super::endgame::delivers;
use super::picker::{Order, PeerPieces};
use super::requests::Arrival;
use super::trade::{Refusal, Trade};

/// Pieces that are chosen at random before the rarest come first.
const RANDOM_FIRST: u32 = 4;
/// A link that can bring a whole piece in this time gets pieces of its own.
const WHOLE_PIECE_WITHIN: Duration = Duration::from_secs(10);
/// So long a suspect piece is left to one link after its first failure; twice as long after
/// each further one, so that in the end one sender answers for all of it.
const SOLO_MAX: Duration = Duration::from_secs(20);
/// Who else fetches is looked at this often.
const RIVALS_KEPT: Duration = Duration::from_millis(500);

impl Transfer {
    /// Sends as many requests on the link as it should have outstanding.
    pub(super) fn fill(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        self.hungry.remove(link);
        if self.checking.in_trouble() {
            return;
        }
        let Some(trade) = self.trades.get_mut(&link) else { return };
        trade.end_rest(now);
        let room = trade.room();
        if room == 0 || !trade.takes_requests(now) {
            return;
        }
        let mut blocks = Vec::with_capacity(room);
        let taken = match trade.is_whole() {
            false => self.take_fresh(link, room, now, &mut blocks, out),
            true => self.take_pieces(link, room, now, &mut blocks, out),
        };
        if taken < room {
            self.hungry.insert(link);
            if !self.may_begin() {
                self.hungry.insert_cramped(link);
            }
            if blocks.is_empty() && self.is_endgame() {
                self.take_late(link, room, now, &mut blocks, out);
            }
        }
        if let Some(trade) = self.trades.get_mut(&link)
            && !blocks.is_empty()
        {
            trade.asked(&blocks, now);
            self.totals.asked(now);
            self.watch(link);
            out.send(link, LinkCommand::Request(blocks));
        }
    }

    /// Sees to it that the link is looked at when its silence or its rest is over.
    pub(super) fn watch(&mut self, link: LinkId) {
        let Some(trade) = self.trades.get(&link) else { return };
        if let Some(at) = trade.next_look() {
            self.timers.arm(link, at);
        }
    }

    /// Fills links that went without, if something has changed for them.
    pub(super) fn feed_hungry(&mut self, now: Instant, out: &mut Effects) {
        for link in self.hungry.take_relieved() {
            self.fill(link, now, out);
        }
        if self.hungry.take_food() {
            let mut hungry: Vec<_> = self.hungry.links().collect();
            // What a link gives back that stalls must not go to that link again, nor to another
            // that stalls, while there are better ones.
            hungry.sort_by_cached_key(|link| {
                let trade = self.trades.get(link);
                trade.map(|trade| (trade.requests().is_snubbed(), !delivers(trade, now)))
            });
            for link in hungry {
                if self.may_find_blocks(link) {
                    self.fill(link, now, out);
                } else if !self.may_begin() {
                    self.hungry.insert_cramped(link);
                }
            }
        }
        // Whom memory alone held back, in turn, as long as it does not.
        let mut left = self.hungry.cramped_count();
        while left > 0 && self.may_begin() {
            left -= 1;
            let Some(link) = self.hungry.next_cramped() else { break };
            self.fill(link, now, out);
        }
        // Whole pieces of padding may have left for the check meanwhile: that is room, and told by
        // their verdicts.
    }

    /// Is there a block that nobody is asked for, or a piece to begin, that the link was not
    /// refused before?
    fn may_find_blocks(&self, link: LinkId) -> bool {
        let Some(trade) = self.trades.get(&link) else { return false };
        self.assembly.has_free()
            || self.may_begin() && !trade.has_nothing_in(self.picker.generation())
    }

    /// Fresh blocks: a link that is fast enough for whole pieces gets its own, as far as
    /// there are any; all others help with what is begun first. Returns how many there were.
    fn take_fresh(
        &mut self,
        link: LinkId,
        count: usize,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
        out: &mut Effects,
    ) -> usize {
        let sharing = match self.trades.get(&link) {
            Some(trade) if self.is_fast(trade, now) => Sharing::Own,
            _ => Sharing::Any,
        };
        loop {
            self.take_free(link, count, sharing, now, blocks);
            if blocks.len() == count || !self.may_begin() {
                break;
            }
            let next = self.next_piece(link, now);
            // Of what is reserved only when there is nothing else for it.
            let last = || blocks.is_empty().then(|| self.take_last(link, now, out)).flatten();
            let Some(piece) = next.or_else(last) else { break };
            self.begin(piece, now, out);
        }
        if sharing == Sharing::Own && blocks.len() < count {
            self.take_free(link, count, Sharing::Any, now, blocks);
        }
        blocks.len()
    }

    fn take_free(
        &mut self,
        link: LinkId,
        count: usize,
        sharing: Sharing,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
    ) {
        let Some(trade) = self.trades.get(&link) else { return };
        let left = count - blocks.len();
        let delivering: Vec<&Trade> = match trade.requests().is_snubbed() {
            true => self.trades.values().filter(|other| delivers(other, now)).collect(),
            false => Vec::new(),
        };
        if delivering.iter().any(|other| *other.pieces() == PeerPieces::All && !other.is_choking())
        {
            // One that let requests time out gets only what nobody else can bring.
            return;
        }
        let is_better_off =
            |piece: PieceIndex| delivering.iter().any(|other| other.may_be_asked(piece));
        let may_ask = |piece: PieceIndex| {
            let gave_back = trade.requests().gave_back(piece, now);
            trade.may_be_asked(piece) && !gave_back && !is_better_off(piece)
        };
        self.assembly.take_free(link, left, sharing, may_ask, blocks);
    }

    fn is_fast(&self, trade: &Trade, now: Instant) -> bool {
        let in_time = trade.rate(now) * WHOLE_PIECE_WITHIN.as_secs();
        in_time >= u64::from(self.layout.piece_len())
    }

    pub(super) fn next_piece(&mut self, link: LinkId, now: Instant) -> Option<PieceIndex> {
        let order = match self.goal.have().ones() {
            _ if self.sequential => Order::Sequential,
            0..RANDOM_FIRST => Order::Random,
            _ => Order::RarestFirst,
        };
        let generation = self.picker.generation();
        let trade = self.trades.get_mut(&link)?;
        if trade.is_choking() {
            return trade.allowed().find(|piece| self.picker.is_pickable(*piece));
        }
        if trade.has_nothing_in(generation) {
            return None;
        }
        if self.rivals_seen + RIVALS_KEPT <= now {
            self.rendezvous.renew(self.trades.values());
            self.rivals_seen = now;
        }
        let piece_len = f64::from(self.layout.piece_len());
        self.picker.set_toward_ends(self.runs.are_busy());
        // The run at hand may have become another's: what is ours is found without it.
        for _ in 0..2 {
            let trade = self.trades.get_mut(&link)?;
            let rendezvous = &self.rendezvous;
            let rank = rendezvous.has_rivals().then_some(|piece| rendezvous.rank(piece));
            let Some(piece) = self.picker.pick(trade.pieces(), order, rank, &mut self.rng) else {
                trade.found_nothing(generation);
                return None;
            };
            let each = Duration::from_secs_f64(piece_len / trade.rate(now).max(1) as f64);
            let left = self.picker.left_at_seeds(piece).filter(|_| order == Order::RarestFirst);
            if left.is_none_or(|left| !self.rendezvous.leaves(piece, left, each, now)) {
                return Some(piece);
            }
            if !self.picker.leave_run() {
                break;
            }
        }
        None
    }

    pub(super) fn begin(&mut self, piece: PieceIndex, now: Instant, out: &mut Effects) {
        self.picker.remove(piece);
        let is_suspect = self.suspects.is_suspect(piece);
        if is_suspect {
            self.solo_since.insert(piece, now);
        }
        let (layout, extents) = (&self.layout, &self.extents);
        let is_pad = |block: BlockRef| {
            let begin = layout.block_offset(block);
            extents.slices(begin, u64::from(block.len_bytes())).all(|slice| slice.is_pad)
        };
        if self.assembly.begin(piece, is_suspect, is_pad) {
            self.start_check(piece, out);
        }
    }

    /// A link no longer owes this block.
    pub(super) fn release(&mut self, link: LinkId, block: BlockRef) {
        self.assembly.release(link, block);
        self.hungry.food_came();
    }

    /// Suspect pieces that only this link may be asked for are free for any.
    pub(super) fn free_owned(&mut self, link: LinkId) {
        self.assembly.disown(link);
        self.hungry.food_came();
    }

    pub(super) fn on_blocks(
        &mut self,
        link: LinkId,
        blocks: Vec<(BlockRef, Block)>,
        now: Instant,
        out: &mut Effects,
    ) {
        let mut bytes = 0;
        for (block, data) in blocks {
            let Some(trade) = self.trades.get_mut(&link) else { return };
            let arrival = trade.arrived(block, now);
            if arrival == Arrival::Unasked {
                self.totals.wasted(u64::from(block.len_bytes()));
                out.strike(link);
                continue;
            }
            bytes += u64::from(block.len_bytes());
            let sender = trade.endpoint();
            if self.is_crammed() {
                self.totals.wasted(u64::from(block.len_bytes()));
                if arrival == Arrival::Owed {
                    self.release(link, block);
                }
                continue;
            }
            match self.assembly.receive(link, block, data, sender) {
                Received::Redundant => {
                    self.totals.wasted(u64::from(block.len_bytes()));
                    if arrival == Arrival::Owed {
                        // It may have been asked for on this link alone and not be wanted
                        // from it any more (a suspect piece that changed hands).
                        self.release(link, block);
                    }
                }
                Received::Useful { last, asked } => {
                    if let Some(other) = asked.filter(|other| *other != link) {
                        self.cancel(other, block, out);
                    }
                    if last {
                        self.start_check(block.piece(), out);
                    }
                }
            }
        }
        if let Some(trade) = self.trades.get_mut(&link)
            && trade.received(bytes, now)
        {
            out.notice(Notice::Worked(trade.address()));
        }
        self.totals.received(bytes, now);
        self.spill_if_needed(out);
    }

    /// The block is here, from another link than the one that is asked for it since.
    pub(super) fn cancel(&mut self, link: LinkId, block: BlockRef, out: &mut Effects) {
        if let Some(server) = self.runs.link_mut(link) {
            // It sends it all the same.
            server.settle(block);
        }
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if trade.requests_mut().give_up(block) {
            out.send(link, LinkCommand::Cancel(vec![block]));
            // Not at once: what the report that brought this block holds besides is not known yet.
            self.hungry.relieve(link);
        }
    }

    pub(super) fn spill_if_needed(&mut self, out: &mut Effects) {
        if self.checking.in_trouble() {
            return;
        }
        while let Some((piece, blocks)) = self.assembly.spill() {
            out.push(Output::SpillBlocks { piece, blocks });
        }
    }

    pub(super) fn on_refused(
        &mut self,
        link: LinkId,
        block: BlockRef,
        lasting: bool,
        now: Instant,
        out: &mut Effects,
    ) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let asked_at = trade.requests().asked_at(block);
        let arrival = trade.requests_mut().refused(block);
        let is_whole = trade.is_whole();
        if is_whole && arrival != Arrival::Unasked {
            // It may lack many, one after the other; that is no silence.
            trade.requests_mut().answered(now);
        }
        match arrival {
            Arrival::Owed => {}
            Arrival::Late if is_whole && lasting => {
                return self.lost_piece(link, block.piece(), out);
            }
            Arrival::Late => return,
            Arrival::Unasked => return out.strike(link),
        }
        match trade.refused(block.piece(), asked_at, lasting, now) {
            Refusal::Everything => {
                self.release(link, block);
                let reason = CloseReason::Misbehaved("it refused every request");
                return out.close(link, reason);
            }
            Refusal::Lacking => {
                if trade.pieces().has(block.piece()) {
                    self.tell_reassigned(link, &[block], "it does not have it", out);
                }
                self.lost_piece(link, block.piece(), out);
            }
            Refusal::Lost => self.lost_piece(link, block.piece(), out),
            Refusal::Passing => self.watch(link),
            Refusal::Choked => {}
        }
        self.release(link, block);
    }

    /// Judges what time has made of a link: a rest that is over, and silence, unless it is
    /// `our` doing.
    pub(super) fn check_link(&mut self, link: LinkId, ours: bool, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let rested = trade.end_rest(now);
        let requests = trade.requests_mut();
        let was = requests.is_snubbed();
        if ours {
            requests.excuse(now);
        }
        let blocks = requests.check_deadline(now);
        let is_new_snub = requests.is_snubbed() && !was;
        if is_new_snub {
            self.tell_reassigned(link, &blocks, "it sent nothing for ten seconds", out);
            if let Some(first) = blocks.first() {
                self.note_stuck(link, first.piece(), out);
            }
        }
        for block in blocks {
            self.release(link, block);
        }
        if is_new_snub {
            self.free_owned(link);
        }
        if rested || is_new_snub {
            self.hungry.insert(link);
            self.hungry.food_came();
        }
        self.watch(link);
    }

    /// Gives back what remotes have forgotten, or have become too slow for, if others bring it.
    pub(super) fn check_overdue(&mut self, now: Instant, out: &mut Effects) {
        let mut late: BTreeMap<LinkId, Vec<BlockRef>> = BTreeMap::new();
        let brings = |other: &Trade, piece| {
            delivers(other, now)
                && other.may_be_asked(piece)
                && !other.requests().gave_back(piece, now)
        };
        for (link, trade) in &self.trades {
            let blocks = trade.requests().overdue(now).filter(|block| {
                let mut others = self.trades.iter().filter(|(other, _)| *other != link);
                others.any(|(_, other)| brings(other, block.piece()))
            });
            let blocks: Vec<_> = blocks.collect();
            if !blocks.is_empty() {
                late.insert(*link, blocks);
            }
        }
        for (link, blocks) in late {
            let Some(trade) = self.trades.get_mut(&link) else { continue };
            trade.give_back(&blocks, now);
            blocks.iter().for_each(|block| self.release(link, *block));
            self.hungry.insert(link);
            // Should it remember after all, it need not send what others bring.
            out.send(link, LinkCommand::Cancel(blocks));
        }
    }

    /// Who gave blocks back long ago may be asked for them again.
    pub(super) fn forget_given_back(&mut self, now: Instant) {
        for (link, trade) in &mut self.trades {
            if trade.requests_mut().forget_given_back(now) {
                self.hungry.insert(*link);
                self.hungry.food_came();
            }
        }
    }

    /// Memory alone has kept links from beginning pieces for a while, since what is open comes too
    /// slowly or not at all: the fullest piece makes room, and those that nobody has do not count.
    pub(super) fn relieve_memory(&mut self, out: &mut Effects) {
        let picker = &self.picker;
        self.assembly.discount(|piece| picker.availability(piece) == 0);
        if self.hungry.cramped_count() == 0 || self.may_begin() || self.checking.in_trouble() {
            return;
        }
        if let Some((piece, blocks)) = self.assembly.spill_fullest() {
            out.push(Output::SpillBlocks { piece, blocks });
        }
    }

    /// Does memory allow one more piece to be begun? What lies at the disk workers counts too: a
    /// slow disk must not come to hold the pool of all torrents.
    pub(super) fn may_begin(&self) -> bool {
        self.assembly.may_open() && self.checking.blocks_at_disk() <= self.share_blocks
    }

    /// Suspect pieces that one link alone takes too long for are open to all again.
    pub(super) fn share_slow_suspects(&mut self, now: Instant) {
        let suspects = &self.suspects;
        let is_old = |piece: &PieceIndex, began: &mut Instant| {
            let doublings = suspects.failures(*piece).clamp(1, 10) - 1;
            now.saturating_duration_since(*began) >= SOLO_MAX * (1 << doublings)
        };
        let old: Vec<_> = self.solo_since.extract_if(.., is_old).collect();
        for (piece, _) in old {
            self.assembly.share(piece);
            self.hungry.food_came();
        }
    }

    /// Is the piece open, at the check or reserved for a run?
    pub(super) fn is_begun(&self, piece: PieceIndex) -> bool {
        self.assembly.is_open(piece) || self.checking.has(piece) || self.runs.holds(piece)
    }

    /// Gives up an open piece that nobody wants any more.
    pub(super) fn drop_piece(&mut self, piece: PieceIndex, out: &mut Effects) {
        if !self.assembly.is_open(piece) {
            return;
        }
        let asked = self.assembly.asked_of(piece);
        self.assembly.abandon(piece);
        let mut cancels: BTreeMap<LinkId, Vec<BlockRef>> = BTreeMap::new();
        for (link, block) in asked {
            if let Some(server) = self.runs.link_mut(link) {
                server.settle(block);
            }
            let Some(trade) = self.trades.get_mut(&link) else { continue };
            trade.requests_mut().give_up(block);
            cancels.entry(link).or_default().push(block);
        }
        for (link, owed) in cancels {
            out.send(link, LinkCommand::Cancel(owed));
        }
    }
}

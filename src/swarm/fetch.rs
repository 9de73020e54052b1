//! Which blocks to ask of which link, and what an arriving block means. Partial pieces come
//! first, then the rarest; when nothing is left to begin, the end game asks a second link
//! for blocks that would otherwise come late.

use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;

use super::Swarm;
use super::assembly::{Received, Sharing};
use super::event::Output;
use super::link::{CloseReason, LinkCommand, Unit};
use super::peer::Peer;
use super::picker::Order;
use super::requests::Arrival;
use super::shares::Shares;

/// Pieces that are chosen at random before the rarest come first.
const RANDOM_FIRST: u32 = 4;
/// A link that still owes more than this needs no end game.
const ENDGAME_OWED_MAX: usize = 4;
/// Blocks asked for again at once in the end game.
const ENDGAME_BATCH: usize = 16;
/// Links asked for the same block at most: two, or three when those are silent.
const ENDGAME_LINKS: u8 = 2;
/// A link that owes blocks and was silent for this long is not counted on.
const SILENT: Duration = Duration::from_secs(2);
/// A link that can bring a whole piece in this time gets pieces of its own.
const WHOLE_PIECE_WITHIN: Duration = Duration::from_secs(10);
/// While there are pieces to begin and only memory forbids it, a block is asked again only
/// if it would come later than this, in seconds.
const STUCK_S: f64 = 5.0;
/// Share of all blocks, as a divisor, that may be asked twice of links that do deliver; what
/// both send is waste.
const AGAIN_SHARE: u64 = 400;
/// So many may be in any case, for small torrents; and of each link that brings whole pieces,
/// as many as it may owe.
const AGAIN_MIN: u64 = 32;
/// A request that is not answered for so long, although others are, was forgotten.
const OVERDUE_AFTER: Duration = Duration::from_secs(20);
/// So long a suspect piece is left to one link after its first failure; twice as long after
/// each further one, so that in the end one sender answers for all of it.
const SOLO_MAX: Duration = Duration::from_secs(20);
/// Refusals without a delivery in between, until the link is closed.
const REFUSALS_MAX: u32 = 200;

impl Swarm {
    /// Sends as many requests on the link as it should have outstanding.
    pub(super) fn fill(&mut self, link: LinkId, now: Instant) {
        self.hungry.remove(&link);
        if self.paused || self.checking.in_trouble() {
            return;
        }
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if peer.rests_until.is_some_and(|until| until <= now) {
            peer.rests_until = None;
        }
        let room = Self::room(peer);
        if room == 0 || !peer.takes_requests(now) {
            return;
        }
        let mut blocks = Vec::with_capacity(room);
        let taken = match peer.caps.unit {
            Unit::Block => self.take_fresh(link, room, now, &mut blocks),
            Unit::Piece => self.take_pieces(link, room, now, &mut blocks),
        };
        if taken < room {
            self.hungry.insert(link);
            if blocks.is_empty() && self.is_endgame() {
                self.take_again(link, room, now, &mut blocks);
            }
        }
        if let Some(peer) = self.peers.get_mut(&link)
            && !blocks.is_empty()
        {
            peer.requests.sent(&blocks, now);
            self.send(link, LinkCommand::Request(blocks));
        }
    }

    /// Fills links that went without, if something has changed for them.
    pub(super) fn feed_hungry(&mut self, now: Instant) {
        if !std::mem::take(&mut self.food) {
            return;
        }
        let mut hungry: Vec<_> = self.hungry.iter().copied().collect();
        // What one that stalls gives back must not go to it again, nor to the next that does.
        hungry.sort_by_key(|link| {
            let peer = self.peers.get(link);
            peer.map(|peer| (peer.requests.is_snubbed(), !delivers(peer, now)))
        });
        hungry.into_iter().for_each(|link| self.fill(link, now));
        // Filling all-pad pieces may have made food again; the next fact will find it.
    }

    /// Is every missing piece begun, or does memory allow no further one? Only then may a
    /// block be asked of two links.
    pub fn is_endgame(&self) -> bool {
        self.picker.pickable_count() == 0 || !self.assembly.may_open()
    }

    /// Fresh blocks: a link that is fast enough for whole pieces gets its own, as far as
    /// there are any; all others help with what is begun first. Returns how many there were.
    fn take_fresh(
        &mut self,
        link: LinkId,
        count: usize,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
    ) -> usize {
        let sharing = match self.peers.get(&link) {
            Some(peer) if self.is_fast(peer, now) => Sharing::Own,
            _ => Sharing::Any,
        };
        loop {
            self.take_free(link, count, sharing, now, blocks);
            if blocks.len() == count || !self.assembly.may_open() {
                break;
            }
            let Some(piece) = self.next_piece(link) else { break };
            self.begin(piece, now);
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
        let Some(peer) = self.peers.get(&link) else { return };
        let left = count - blocks.len();
        let peers = &self.peers;
        // One that let requests time out gets only what nobody else can bring.
        let is_better_off = |piece: PieceIndex| {
            peer.requests.is_snubbed()
                && peers.values().any(|other| delivers(other, now) && other.may_be_asked(piece))
        };
        let may_ask = |piece: PieceIndex| peer.may_be_asked(piece) && !is_better_off(piece);
        self.assembly.take_free(link, left, sharing, may_ask, blocks);
    }

    fn is_fast(&self, peer: &Peer, now: Instant) -> bool {
        let in_time = peer.meter.rate(now) * WHOLE_PIECE_WITHIN.as_secs();
        in_time >= u64::from(self.config.layout.piece_len())
    }

    pub(super) fn next_piece(&mut self, link: LinkId) -> Option<PieceIndex> {
        let order = match self.have.ones() {
            _ if self.config.sequential => Order::Sequential,
            0..RANDOM_FIRST => Order::Random,
            _ => Order::RarestFirst,
        };
        let generation = self.picker.generation();
        let peer = self.peers.get_mut(&link)?;
        if peer.choking {
            let mut allowed = peer.allowed_fast.iter().copied();
            return allowed
                .find(|piece| self.picker.is_pickable(*piece) && peer.pieces.has(*piece));
        }
        if peer.nothing_in == Some(generation) {
            return None;
        }
        let shares = Shares::new(self.config.peer_id, self.peers.values());
        let peer = self.peers.get_mut(&link)?;
        let rank = |piece| shares.rank(piece);
        let picked = self.picker.pick(&peer.pieces, order, rank, &mut self.rng);
        if picked.is_none() {
            peer.nothing_in = Some(generation);
        }
        picked
    }

    pub(super) fn begin(&mut self, piece: PieceIndex, now: Instant) {
        self.picker.remove(piece);
        let is_suspect = self.suspects.is_suspect(piece);
        if is_suspect {
            self.solo_since.insert(piece, now);
        }
        let (layout, extents) = (&self.config.layout, &self.config.extents);
        let is_pad = |block: BlockRef| {
            let begin = layout.block_offset(block);
            extents.slices(begin, u64::from(block.len_bytes())).all(|slice| slice.is_pad)
        };
        if self.assembly.begin(piece, is_suspect, is_pad) {
            self.start_check(piece);
        }
    }

    /// End game: blocks that other links owe and that would come much sooner from this one,
    /// the latest first.
    fn take_again(&mut self, link: LinkId, room: usize, now: Instant, blocks: &mut Vec<BlockRef>) {
        let Some(peer) = self.peers.get(&link) else { return };
        if peer.requests.outstanding() > ENDGAME_OWED_MAX || peer.requests.is_snubbed() {
            return;
        }
        let trusted = delivers(peer, now);
        let is_whole = peer.caps.unit == Unit::Piece;
        let last = match peer.caps.unit {
            Unit::Block => peer.requests.outstanding(),
            Unit::Piece => self.config.layout.piece_len() as usize / BLOCK_LEN,
        };
        let mine = expected(peer, last, now).unwrap_or(1.0);
        let worth = match self.picker.pickable_count() {
            0 => 2.0 * mine + 0.05,
            _ => STUCK_S.max(2.0 * mine),
        };
        let mut late: Vec<(f64, BlockRef)> = Vec::new();
        for (_, other) in self.peers.iter().filter(|(other, _)| **other != link) {
            for (before, block) in other.requests.from_last() {
                // One that was just asked gets as much trust as we would have.
                let unknown = if is_silent(other, now) { f64::INFINITY } else { 1.0 };
                let theirs = expected(other, before, now).unwrap_or(unknown);
                if theirs < worth && !is_whole {
                    break;
                }
                if peer.may_be_asked(block.piece()) && !peer.requests.owes(block) {
                    late.push((theirs, block));
                }
            }
        }
        late.sort_by(|a, b| b.0.total_cmp(&a.0));
        if is_whole {
            let first = late.first().filter(|(theirs, _)| *theirs >= worth);
            let first = first.map(|(_, block)| block.piece());
            late.retain(|(_, block)| Some(block.piece()) == first);
        }
        let most = if is_whole { late.len() } else { room.min(ENDGAME_BATCH) };
        for (theirs, block) in late {
            if blocks.len() >= most {
                break;
            }
            let is_stuck = theirs.is_infinite();
            // The rest of a piece costs a link nothing that brings it whole anyway.
            let is_free = is_whole && !blocks.is_empty();
            if !is_stuck && !is_free && self.totals.asked_again >= self.again_max() {
                break;
            }
            let links = match is_stuck && trusted && self.is_hopeless(block, now) {
                true => u8::MAX,
                false => ENDGAME_LINKS + u8::from(is_stuck),
            };
            if !blocks.contains(&block) && self.assembly.ask_again(block, links) {
                self.totals.asked_again += u64::from(!is_stuck);
                if is_stuck && blocks.last().is_none_or(|last| last.piece() != block.piece()) {
                    self.tell_silent(block, now);
                }
                blocks.push(block);
            }
        }
    }

    /// Tells which silent links the block is asked of again.
    fn tell_silent(&mut self, block: BlockRef, now: Instant) {
        let owes = |peer: &Peer| peer.requests.owes(block) && is_silent(peer, now);
        let owing = self.peers.iter().filter(|(_, peer)| owes(peer));
        let owing: Vec<_> = owing.map(|(link, _)| *link).collect();
        for link in owing {
            self.tell_reassigned(link, &[block], "it sent nothing for a while");
        }
    }

    /// Is everybody silent who owes this block? However many they are, they must not keep it
    /// from one who delivers.
    fn is_hopeless(&self, block: BlockRef, now: Instant) -> bool {
        let mut owing = self.peers.values().filter(|peer| peer.requests.owes(block));
        owing.all(|peer| is_silent(peer, now))
    }

    fn again_max(&self) -> u64 {
        let blocks = self.config.layout.total_len() / BLOCK_LEN as u64;
        let whole = self.peers.values().filter(|peer| peer.caps.unit == Unit::Piece);
        let pieces = whole.map(|peer| u64::from(peer.caps.pipeline_max)).sum::<u64>();
        let piece_blocks = u64::from(self.config.layout.piece_len()) / BLOCK_LEN as u64;
        AGAIN_MIN + blocks / AGAIN_SHARE + pieces * piece_blocks
    }

    /// A link no longer owes this block.
    pub(super) fn release(&mut self, link: LinkId, block: BlockRef) {
        self.assembly.release(link, block);
        self.food = true;
    }

    /// Suspect pieces that only this link may be asked for are free for any.
    pub(super) fn free_owned(&mut self, link: LinkId) {
        self.assembly.disown(link);
        self.food = true;
    }

    pub(super) fn on_blocks(&mut self, link: LinkId, blocks: Vec<(BlockRef, Block)>, now: Instant) {
        let mut bytes = 0;
        for (block, data) in blocks {
            let Some(peer) = self.peers.get_mut(&link) else { return };
            let arrival = peer.requests.arrived(block, now);
            if arrival == Arrival::Unasked {
                self.totals.wasted_bytes += u64::from(block.len_bytes());
                self.strike(link, now);
                continue;
            }
            peer.refusals = 0;
            bytes += u64::from(block.len_bytes());
            let address = peer.address;
            if self.is_crammed() {
                self.totals.wasted_bytes += u64::from(block.len_bytes());
                if arrival == Arrival::Owed {
                    self.release(link, block);
                }
                continue;
            }
            match self.assembly.receive(link, block, data, address) {
                Received::Redundant => {
                    self.totals.wasted_bytes += u64::from(block.len_bytes());
                    if arrival == Arrival::Owed {
                        // It may have been asked for on this link alone and not be wanted
                        // from it any more (a suspect piece that changed hands).
                        self.release(link, block);
                    }
                }
                Received::Useful { last, asked } => {
                    if asked > u8::from(arrival == Arrival::Owed) {
                        self.cancel_elsewhere(block);
                    }
                    if last {
                        self.start_check(block.piece());
                    }
                }
            }
        }
        if let Some(peer) = self.peers.get_mut(&link) {
            if peer.downloaded_bytes == 0 && bytes > 0 {
                self.candidates.worked(peer.address);
            }
            peer.downloaded_bytes += bytes;
            peer.meter.add(bytes, now);
        }
        self.totals.received(bytes, now);
        self.spill_if_needed();
    }

    /// BEP 3: "it sends cancels to everyone else every time a piece arrives."
    fn cancel_elsewhere(&mut self, block: BlockRef) {
        let mut links = Vec::new();
        for (link, peer) in &mut self.peers {
            if peer.requests.give_up(block) {
                links.push(*link);
            }
        }
        for link in links {
            self.send(link, LinkCommand::Cancel(vec![block]));
            self.hungry.insert(link);
            self.food = true;
        }
    }

    pub(super) fn spill_if_needed(&mut self) {
        if self.checking.in_trouble() {
            return;
        }
        while let Some((piece, blocks)) = self.assembly.spill() {
            self.outputs.push_back(Output::SpillBlocks { piece, blocks });
        }
    }

    pub(super) fn on_refused(
        &mut self,
        link: LinkId,
        block: BlockRef,
        lasting: bool,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let arrival = peer.requests.refused(block);
        let is_whole = peer.caps.unit == Unit::Piece;
        if is_whole && arrival != Arrival::Unasked {
            // It may lack many, one after the other; that is no silence.
            peer.requests.answered(now);
        }
        match arrival {
            Arrival::Owed => {}
            Arrival::Late if is_whole && lasting => {
                return self.lost_piece(link, block.piece(), now);
            }
            Arrival::Late => return,
            Arrival::Unasked => return self.strike(link, now),
        }
        // BEP 6: one that chokes must refuse whatever is outstanding, however much that is.
        // What it lacks for good it is asked for once.
        peer.refusals += u32::from(!peer.choking && !lasting);
        if peer.refusals > REFUSALS_MAX {
            self.release(link, block);
            let reason = CloseReason::Misbehaved("it refused every request");
            return self.close(link, reason, now);
        }
        // BEP 6: after a reject the piece need not be asked of it again while choked.
        peer.allowed_fast.retain(|piece| *piece != block.piece());
        if lasting {
            if peer.pieces.has(block.piece()) {
                self.tell_reassigned(link, &[block], "it does not have it");
            }
            self.lost_piece(link, block.piece(), now);
        } else if !peer.choking {
            // It would refuse the same block again at once.
            let rest = Duration::from_millis(100 * u64::from(peer.refusals.min(50)));
            peer.rests_until = Some(now + rest);
        }
        self.release(link, block);
    }

    /// Judges what time has made of a link: a rest that is over, and silence, unless it is
    /// `our` doing.
    pub(super) fn check_link(&mut self, link: LinkId, ours: bool, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let was = peer.requests.is_snubbed();
        let rested = peer.rests_until.take_if(|until| *until <= now).is_some();
        if ours {
            peer.requests.excuse(now);
        }
        let blocks = peer.requests.check_deadline(now);
        let is_new_snub = peer.requests.is_snubbed() && !was;
        if is_new_snub {
            self.tell_reassigned(link, &blocks, "it sent nothing for ten seconds");
            if let Some(first) = blocks.first() {
                self.note_stuck(link, first.piece());
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
            self.food = true;
        }
    }

    /// Asks elsewhere for blocks that a remote has forgotten. How long it may take depends
    /// on how much it owes and how fast it is.
    pub(super) fn check_overdue(&mut self, now: Instant) {
        let mut released = Vec::new();
        for (link, peer) in &mut self.peers {
            let owed = (peer.requests.outstanding() * BLOCK_LEN) as u64;
            let needed = owed.checked_div(peer.meter.rate(now)).unwrap_or(0);
            let needed = Duration::from_secs(needed);
            let limit = OVERDUE_AFTER.max(needed.saturating_mul(3));
            let blocks = peer.requests.overdue(limit, now);
            released.extend(blocks.into_iter().map(|block| (*link, block)));
        }
        for (link, block) in released {
            // Should it remember after all, it need not send what others bring.
            self.send(link, LinkCommand::Cancel(vec![block]));
            self.release(link, block);
        }
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
            self.food = true;
        }
    }

    /// Is the piece open or at the check?
    pub(super) fn is_begun(&self, piece: PieceIndex) -> bool {
        self.assembly.is_open(piece) || self.checking.has(piece)
    }

    /// Gives up an open piece that nobody wants any more.
    pub(super) fn drop_piece(&mut self, piece: PieceIndex) {
        if !self.assembly.is_open(piece) {
            return;
        }
        self.assembly.abandon(piece);
        let mut cancels = Vec::new();
        for (link, peer) in &mut self.peers {
            let owed: Vec<_> = peer.requests.from_last().map(|(_, block)| block).collect();
            let owed: Vec<_> = owed.into_iter().filter(|block| block.piece() == piece).collect();
            for block in &owed {
                peer.requests.give_up(*block);
            }
            if !owed.is_empty() {
                cancels.push((*link, owed));
            }
        }
        for (link, owed) in cancels {
            self.send(link, LinkCommand::Cancel(owed));
        }
    }
}

/// Did it let requests wait too long to be counted on?
fn is_silent(peer: &Peer, now: Instant) -> bool {
    peer.requests.is_snubbed() || peer.requests.silent_for(now) > SILENT
}

/// Has it delivered, and can it be expected to go on?
fn delivers(peer: &Peer, now: Instant) -> bool {
    peer.downloaded_bytes > 0 && !is_silent(peer, now)
}

/// Seconds until a block arrives that has `before` blocks before it on this link; none when
/// the link cannot be counted on.
fn expected(peer: &Peer, before: usize, now: Instant) -> Option<f64> {
    let rate = peer.meter.rate(now);
    if is_silent(peer, now) || rate == 0 {
        return None;
    }
    let latency = peer.requests.pipeline.latency().unwrap_or_default().as_secs_f64();
    Some(latency + (before + 1) as f64 * BLOCK_LEN as f64 / rate as f64)
}

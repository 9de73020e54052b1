//! The end game: when nothing can be begun any more, blocks that would come late from the link
//! that is asked for them move to one that brings them sooner. A block is never asked of two
//! links: the first is sent a cancel, so all that can come twice is what is under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::units::BLOCK_LEN;
use crate::swarm::effects::Effects;
use crate::swarm::link::LinkCommand;

use super::Transfer;
use super::trade::Trade;

/// A link that still owes more than this has enough to do for a round trip.
const OWED_MAX: usize = 4;
/// Blocks that move to one link at once: what a read brings.
const BATCH: usize = 16;
/// A link that owes blocks and was silent for this long is not counted on: four times what the
/// rate limiters of common clients pause at most.
const SILENT: Duration = Duration::from_secs(2);
/// While there are pieces to begin and only memory forbids it, a block moves only if it would
/// come later than this, in seconds: it holds up memory, not the end.
const STUCK_S: f64 = 5.0;
/// What is expected of a link of which nothing is known, in seconds.
const UNKNOWN_S: f64 = 1.0;
/// A block moves if it comes in less than half the time, and this much sooner, in seconds:
/// estimates are no better than that.
const GAIN_S: f64 = 0.05;
/// Entries that one link looks at, of those that it cannot bring.
const LOOKED_AT_MAX: usize = 64;
/// Time between two lists, for each block that is owed: making one takes a thirtieth of it.
const PAUSE_PER_BLOCK: Duration = Duration::from_micros(1);
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// How often links that have nothing to do are looked at again: silence of others makes no
/// event.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LOOK_AGAIN_STUCK: Duration = Duration::from_secs(1);

/// The blocks that all links owe, those that come last at the end.
#[derive(Debug)]
pub(super) struct Late {
    blocks: Vec<Owed>,
    made: Instant,
    /// When a new list may be made.
    stale: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    /// Seconds until it comes, as of when the list was made.
    expected_s: f64,
    link: LinkId,
    block: BlockRef,
}

impl Late {
    pub(super) fn new(now: Instant) -> Self {
        Self { blocks: Vec::new(), made: now, stale: now }
    }
}

impl Transfer {
    /// Is every missing piece begun, or does memory allow no further one? Only then do blocks
    /// move.
    pub(in crate::swarm) fn is_endgame(&self) -> bool {
        self.picker.pickable_count() == 0 || !self.may_begin()
    }

    /// Looks for late blocks, and for links that have nothing to do and would bring them.
    pub(super) fn move_late(&mut self, now: Instant, out: &mut Effects) {
        let is_over = self.hungry.is_empty() || self.is_complete();
        if is_over || now < self.late.stale || !self.is_endgame() {
            return;
        }
        self.list_late(now);
        let worst = self.late.blocks.last().map_or(0.0, |owed| owed.expected_s);
        if worst < self.stuck_s() {
            return;
        }
        let mut bored: Vec<(bool, LinkId)> = Vec::new();
        for link in self.hungry.links() {
            let Some(trade) = self.trades.get(&link) else { continue };
            if trade.requests().outstanding() <= OWED_MAX && !trade.requests().is_snubbed() {
                bored.push((!delivers(trade, now), link));
            }
        }
        bored.sort_unstable();
        for (_, link) in bored {
            self.fill(link, now, out);
        }
    }

    /// When links that have nothing to do are to be looked at again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let is_bored = !self.hungry.is_empty() && !self.is_complete() && self.is_endgame();
        let pause = if self.picker.pickable_count() == 0 { LOOK_AGAIN } else { LOOK_AGAIN_STUCK };
        is_bored.then(|| self.late.made + pause)
    }

    /// Below this nothing moves: all come soon enough.
    fn stuck_s(&self) -> f64 {
        if self.picker.pickable_count() == 0 { GAIN_S } else { STUCK_S }
    }

    fn list_late(&mut self, now: Instant) {
        let late = &mut self.late;
        late.blocks.clear();
        for (link, trade) in &self.trades {
            let pace = Pace::of(trade, now);
            // One that was just asked gets as much trust as we would have.
            let unknown = if is_silent(trade, now) { f64::INFINITY } else { UNKNOWN_S };
            late.blocks.extend(trade.requests().from_last().map(|(before, block)| {
                let expected_s = pace.map_or(unknown, |pace| pace.expected_s(before));
                Owed { expected_s, link: *link, block }
            }));
        }
        for (link, server) in self.runs.links() {
            let rate = server.rate(now);
            let pace = Pace { latency_s: 0.0, block_s: BLOCK_LEN as f64 / rate.max(1) as f64 };
            let is_known = rate > 0 && !server.is_silent();
            let expected_s = |before| if is_known { pace.expected_s(before) } else { UNKNOWN_S };
            let owed = server.owed().enumerate();
            late.blocks.extend(owed.map(|(before, block)| Owed {
                expected_s: expected_s(before),
                link,
                block,
            }));
        }
        late.blocks.sort_unstable_by(|a, b| {
            a.expected_s.total_cmp(&b.expected_s).then_with(|| b.block.cmp(&a.block))
        });
        let blocks = u32::try_from(late.blocks.len()).unwrap_or(u32::MAX);
        late.made = now;
        late.stale = now + (PAUSE_PER_BLOCK * blocks).clamp(PAUSE_MIN, LOOK_AGAIN);
    }

    /// The piece with the block that comes last from a peer, if whoever brings the whole piece in
    /// `mine_s` seconds is much sooner.
    pub(super) fn latest_piece(
        &mut self,
        mine_s: f64,
        fits: impl Fn(PieceIndex) -> bool,
        now: Instant,
    ) -> Option<PieceIndex> {
        if now >= self.late.stale {
            self.list_late(now);
        }
        let passed = now.saturating_duration_since(self.late.made).as_secs_f64();
        let worth = 2.0 * mine_s + GAIN_S;
        let late = self.late.blocks.iter().rev();
        let late = late.take_while(|owed| owed.expected_s - passed >= worth);
        let is_so = |owed: &&Owed| {
            self.trades.contains_key(&owed.link)
                && self.assembly.asked(owed.block) == Some(owed.link)
                && fits(owed.block.piece())
        };
        late.take(LOOKED_AT_MAX).find(is_so).map(|owed| owed.block.piece())
    }

    /// Takes blocks of others that this link would bring much sooner, the latest first.
    pub(super) fn take_late(
        &mut self,
        link: LinkId,
        room: usize,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
        out: &mut Effects,
    ) {
        if now >= self.late.stale {
            self.list_late(now);
        }
        let Some(trade) = self.trades.get(&link) else { return };
        if trade.requests().outstanding() > OWED_MAX || is_silent(trade, now) {
            return;
        }
        let is_proven = delivers(trade, now);
        let is_whole = trade.is_whole();
        let before = match is_whole {
            true => self.layout.piece_len() as usize / BLOCK_LEN,
            false => trade.requests().outstanding(),
        };
        let mine = Pace::of(trade, now).map_or(UNKNOWN_S, |pace| pace.expected_s(before));
        let worth = (2.0 * mine + GAIN_S).max(self.stuck_s());
        let passed = now.saturating_duration_since(self.late.made).as_secs_f64();
        let mut moves = Vec::new();
        let mut at = self.late.blocks.len();
        let first = at.saturating_sub(LOOKED_AT_MAX);
        while at > first && moves.len() < room.min(BATCH) {
            at -= 1;
            let Owed { expected_s, link: owing, block } = self.late.blocks[at];
            if expected_s - passed < worth {
                break;
            }
            if self.assembly.asked(block) != Some(owing) {
                // It came, or moved already.
                self.late.blocks.remove(at);
                continue;
            }
            let Some(trade) = self.trades.get(&link) else { break };
            let piece = block.piece();
            // A link that delivers is not given up for one that never did, nor does a block go back
            // to a link that may still bring it, but from one that is silent.
            let is_stuck = expected_s.is_infinite();
            let is_better = is_stuck
                || is_proven
                || !self.trades.get(&owing).is_none_or(|it| delivers(it, now));
            let may = owing != link && trade.may_be_asked(piece) && is_better;
            if !may || !is_stuck && trade.requests().may_still_bring(block) {
                continue;
            }
            self.late.blocks.remove(at);
            if is_whole {
                // The rest of a piece costs a link nothing that brings it whole anyway.
                let asked = self.assembly.asked_of(piece).into_iter();
                moves.extend(asked.filter(|(owing, _)| *owing != link));
                break;
            }
            moves.push((owing, block));
        }
        self.move_blocks(moves, link, now, blocks, out);
    }

    /// Moves blocks from the links that are asked for them to another.
    pub(super) fn move_blocks(
        &mut self,
        moves: Vec<(LinkId, BlockRef)>,
        to: LinkId,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
        out: &mut Effects,
    ) {
        let mut cancels: BTreeMap<LinkId, Vec<BlockRef>> = BTreeMap::new();
        for (from, block) in moves {
            if self.assembly.move_block(block, from, to) {
                blocks.push(block);
                cancels.entry(from).or_default().push(block);
            }
        }
        for (from, moved) in cancels {
            if let Some(server) = self.runs.link_mut(from) {
                // It sends them all the same, and it is seen who is sooner.
                for block in &moved {
                    server.settle(*block);
                }
            }
            let Some(trade) = self.trades.get_mut(&from) else { continue };
            let was_silent = is_silent(trade, now);
            for block in &moved {
                trade.requests_mut().give_up(*block);
            }
            if was_silent {
                trade.requests_mut().passed_over();
                self.tell_reassigned(from, &moved, "it sent nothing for a while", out);
            }
            // It has room for something else now, if there is anything.
            self.hungry.insert(from);
            out.send(from, LinkCommand::Cancel(moved));
        }
    }
}

/// Did it let requests wait too long to be counted on?
pub(super) fn is_silent(trade: &Trade, now: Instant) -> bool {
    trade.requests().is_snubbed() || trade.requests().silent_for(now) > SILENT
}

/// Has it delivered, and can it be expected to go on?
pub(super) fn delivers(trade: &Trade, now: Instant) -> bool {
    trade.downloaded_bytes() > 0 && !is_silent(trade, now)
}

/// How fast a link brings what it is asked for.
#[derive(Clone, Copy)]
struct Pace {
    latency_s: f64,
    block_s: f64,
}

impl Pace {
    /// None when the link cannot be counted on.
    fn of(trade: &Trade, now: Instant) -> Option<Self> {
        let rate = trade.rate(now);
        if is_silent(trade, now) || rate == 0 {
            return None;
        }
        let latency_s = trade.requests().pipeline().latency().unwrap_or_default().as_secs_f64();
        Some(Self { latency_s, block_s: BLOCK_LEN as f64 / rate as f64 })
    }

    /// Seconds until a block arrives that has `before` others before it.
    fn expected_s(self, before: usize) -> f64 {
        self.latency_s + (before + 1) as f64 * self.block_s
    }
}

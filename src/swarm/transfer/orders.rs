//! Which runs are ordered of servers, and what comes of them. Who is asked, and how many links
//! there are, is in `leases`; which part of the torrent comes next, in `gaps`; files that are sent
//! only as a whole, in `whole_files`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::base::ids::{LinkId, SourceId};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::effects::Effects;
use crate::swarm::link::{CloseReason, Endpoint, LinkCommand, Run, RunEnd};
use crate::swarm::sources::{Ground, is_in};

use super::Transfer;
use super::assembly::{Received, Sharing};
use super::gaps::{Want, choose, gaps_of};
use super::runs::Kind;
use super::trade::Trade;

/// A run is as long as its link takes in this time, but no longer than so many bytes: few requests
/// for the server to note (BEP 19), and little to give back.
const RUN_S: u64 = 4;
const RUN_BYTES_MAX: u64 = 64 << 20;
/// But all links together take no more than this part of what is left, so that they end at about
/// the same time: what is taken back from a run has often been sent already.
const RUN_PART: u64 = 2;
/// None is for that shorter than its link takes in this time, nor than so many bytes.
const RUN_MIN_S: f64 = 0.5;
const RUN_BYTES_MIN: u64 = 4 << 20;
/// The first one of a link shows whether it is good for anything.
const RUN_BYTES_FIRST: u64 = 1 << 20;
/// What is expected of a server of which nothing is known: bytes a second.
const RATE_UNKNOWN: u64 = 1 << 20;
/// What a request to a server costs besides its bytes, in seconds.
const ASKING_S: f64 = 0.25;
/// A peer of which nothing is known takes a piece from a run only if that would come later than
/// this, in seconds.
const PEER_UNKNOWN_S: f64 = 5.0;
/// How often those who have nothing to do are looked at again, while runs are under way.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Transfer {
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground { layout: &self.layout, extents: &self.extents }
    }

    /// Orders what the link should have outstanding.
    pub(super) fn fill_run(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        while self.order_run(link, now, out) {}
    }

    fn order_run(&mut self, link: LinkId, now: Instant, out: &mut Effects) -> bool {
        if self.checking.in_trouble() || self.is_complete() {
            return false;
        }
        let Some(it) = self.runs.link(link) else { return false };
        let (source, is_idle, is_silent) = (it.source(), it.is_idle(), it.is_silent());
        let may = it.has_room(&self.layout, now) && !is_silent;
        if !may || !self.sources.is_fit(source, now) || self.is_left_alone(source, now) {
            return false;
        }
        if !self.may_begin() {
            // What is begun takes no more memory than it was to take.
            return is_idle && self.resume(link, false, now, out);
        }
        if !is_idle {
            return self.order_gap(link, true, now, out);
        }
        self.resume(link, true, now, out)
            || self.order_gap(link, false, now, out)
            || self.resume(link, false, now, out)
            || self.take_tail(link, now, out)
            || self.take_over(link, now, out)
            || self.order_whole_file(link, now, out)
    }

    /// A run out of what nobody has begun.
    fn order_gap(&mut self, link: LinkId, is_ahead: bool, now: Instant, out: &mut Effects) -> bool {
        let Some(it) = self.runs.link(link) else { return false };
        let (source, next) = (it.source(), it.last_end());
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        self.sources.ranges(source, ground, now);
        let leaves = self.peers_deliver();
        let looked = (self.picker.generation(), self.sources.version(), is_ahead, leaves);
        if it.has_nothing_in(looked) {
            return false;
        }
        let want = Want::new(self.run_pieces(link, now), next, is_ahead, self.sequential);
        let ranges = self.sources.ranges(source, ground, now).to_vec();
        let crumbs = if leaves { self.sources.crumbs() } else { &[] };
        let (picker, rng) = (&self.picker, &mut self.rng);
        let follows = |piece| self.runs.come_to(piece);
        let chosen = picker
            .grades()
            .find_map(|grade| choose(gaps_of(grade, picker, &ranges, crumbs), want, follows, rng));
        match chosen {
            Some(pieces) => self.send_run(link, pieces, now, out),
            None => {
                if let Some(it) = self.runs.link_mut(link) {
                    it.found_nothing(looked);
                }
                false
            }
        }
    }

    /// Is there a peer that something may be left to? Those that choke us, or are silent, keep
    /// nothing from sources.
    pub(super) fn peers_deliver(&self) -> bool {
        let delivers = |trade: &Trade| !trade.is_choking() && !trade.requests().is_snubbed();
        self.trades.values().any(|trade| trade.is_interesting() && delivers(trade))
    }

    /// How many pieces the next run of a link has at most.
    fn run_pieces(&self, link: LinkId, now: Instant) -> u32 {
        let piece_len = u64::from(self.layout.piece_len());
        let bytes = match self.runs.link(link) {
            // Pieces may be longer than runs ever are.
            Some(it) if it.is_clean() => {
                let rate = it.rate(now);
                let left = u64::from(self.picker.pickable_count()).saturating_mul(piece_len);
                let share = left / (RUN_PART * self.runs.links().count().max(1) as u64);
                let least = ((rate as f64 * RUN_MIN_S) as u64).max(RUN_BYTES_MIN);
                let bytes = rate.saturating_mul(RUN_S).min(share.max(least));
                bytes.min(RUN_BYTES_MAX).max(piece_len)
            }
            _ => RUN_BYTES_FIRST,
        };
        // What is under way may all come before anything is written.
        let share = (self.share_blocks * BLOCK_LEN) as u64;
        (bytes.min(share.max(RUN_BYTES_FIRST)) / piece_len).max(1) as u32
    }

    /// Reserves these pieces, and orders them.
    fn send_run(
        &mut self,
        link: LinkId,
        pieces: Range<u32>,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        self.reserve(pieces.clone());
        let Some(first) = self.layout.piece(pieces.start) else { return false };
        let run = Run { first, end: pieces.end, skip: 0, is_of_whole_file: false };
        self.fetch(link, (run, Kind::Reserved), BTreeSet::new(), now, out)
    }

    pub(super) fn reserve(&mut self, pieces: impl Iterator<Item = u32>) {
        for piece in pieces.filter_map(|number| self.layout.piece(number)) {
            self.picker.remove(piece);
        }
    }

    pub(super) fn fetch(
        &mut self,
        link: LinkId,
        (run, kind): (Run, Kind),
        holes: BTreeSet<u32>,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        let Some(it) = self.runs.link_mut(link) else { return false };
        it.order(run, holes, kind, &self.layout, now);
        self.totals.asked(now);
        out.send(link, LinkCommand::Fetch(run));
        true
    }

    /// A piece that is begun and that nobody is asked for, with `alone` only one that no peer has.
    fn resume(&mut self, link: LinkId, alone: bool, now: Instant, out: &mut Effects) -> bool {
        let Some(source) = self.runs.link(link).map(|it| it.source()) else { return false };
        let Some(piece) = self.orphan(source, alone, now) else { return false };
        let mut blocks = Vec::new();
        let is_it = |other| other == piece;
        self.assembly.take_free(link, usize::MAX, Sharing::Any, is_it, &mut blocks);
        self.fetch_open(link, piece, blocks, now, out)
    }

    /// An open piece of which nothing is asked for, and which the source can bring.
    pub(super) fn orphan(
        &mut self,
        source: SourceId,
        alone: bool,
        now: Instant,
    ) -> Option<PieceIndex> {
        if !self.assembly.has_free() {
            return None;
        }
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now);
        let picker = &self.picker;
        let fits = |piece: &PieceIndex| {
            is_in(ranges, piece.number()) && (!alone || picker.availability(*piece) == 0)
        };
        self.assembly.orphans().find(fits)
    }

    /// Fetches a piece that is open, of which these blocks are to come from this link.
    fn fetch_open(
        &mut self,
        link: LinkId,
        piece: PieceIndex,
        blocks: Vec<BlockRef>,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        let Some(begin) = blocks.iter().map(|block| block.begin()).min() else { return false };
        if let Some(it) = self.runs.link_mut(link) {
            it.owes(blocks);
        }
        let skip = begin / BLOCK_LEN as u32;
        let run = Run { first: piece, end: piece.number() + 1, skip, is_of_whole_file: false };
        self.fetch(link, (run, Kind::Begun), BTreeSet::new(), now, out)
    }

    /// The last pieces of the run that would take longest: half of it, if that comes sooner from
    /// this link, or one.
    fn take_tail(&mut self, link: LinkId, now: Instant, out: &mut Effects) -> bool {
        let Some(source) = self.runs.link(link).map(|it| it.source()) else { return false };
        let most = self.run_pieces(link, now);
        let mine = self.rate_of(source, now);
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now).to_vec();
        let fits = |piece: PieceIndex| is_in(&ranges, piece.number());
        let Some((owner, expected_s)) = self.longest_run(Some(link), fits, now) else {
            return false;
        };
        let Some(it) = self.runs.link(owner) else { return false };
        let reserved: Vec<u32> = it.reserved().collect();
        let is_faster = it.rate(now) <= mine.saturating_mul(2) || it.is_silent();
        let half = if is_faster { reserved.len() / 2 } else { 1 };
        let row = reserved.iter().rev().zip(reserved.iter().rev().skip(1));
        let row = 1 + row.take_while(|(one, before)| **one == **before + 1).count();
        let count = half.clamp(1, row).min(most as usize);
        let piece_s = f64::from(self.layout.piece_len()) / mine as f64;
        let comes_sooner = |count: usize| ASKING_S + count as f64 * piece_s < expected_s;
        let Some(count) = [count, 1].into_iter().find(|count| comes_sooner(*count)) else {
            return false;
        };
        let pieces = reserved[reserved.len() - count]..reserved[reserved.len() - 1] + 1;
        if !pieces.clone().all(|number| is_in(&ranges, number)) {
            return false;
        }
        self.shorten(owner, pieces.start, now, out);
        self.send_run(link, pieces, now, out)
    }

    /// The link, other than this one, that takes longest for what it has to bring, if it has a
    /// piece in reserve for which `fits` holds of the last; and how long, in seconds.
    fn longest_run(
        &self,
        except: Option<LinkId>,
        fits: impl Fn(PieceIndex) -> bool,
        now: Instant,
    ) -> Option<(LinkId, f64)> {
        let links = self.runs.links().filter(|(link, _)| Some(*link) != except);
        let links = links.filter(|(_, it)| {
            !it.is_new(now)
                && it.can_spare(now)
                && it.last().and_then(|last| self.layout.piece(last)).is_some_and(&fits)
        });
        let links = links.map(|(link, it)| (link, it.expected_s(&self.layout, now)));
        links.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// Bytes a second that one link to the source brings, as far as that is known.
    fn rate_of(&self, source: SourceId, now: Instant) -> u64 {
        let links = self.runs.links().filter(|(_, it)| it.source() == source);
        links.map(|(_, it)| it.rate(now)).max().filter(|rate| *rate > 0).unwrap_or(RATE_UNKNOWN)
    }

    /// The last reserved piece of the run that would take longest, for a peer that has nothing
    /// to begin and would bring it sooner. It is in no place then: the caller begins it.
    pub(super) fn take_last(
        &mut self,
        link: LinkId,
        now: Instant,
        out: &mut Effects,
    ) -> Option<PieceIndex> {
        let trade = self.trades.get(&link)?;
        if !self.runs.are_busy() || trade.requests().is_snubbed() {
            return None;
        }
        let owed = trade.requests().outstanding() * BLOCK_LEN;
        let bytes = f64::from(self.layout.piece_len()) + owed as f64;
        let mine_s = match trade.rate(now) {
            0 => PEER_UNKNOWN_S,
            rate => bytes / rate as f64 + ASKING_S,
        };
        let fits = |piece| trade.may_be_asked(piece);
        let (owner, expected_s) = self.longest_run(None, fits, now)?;
        if expected_s <= mine_s {
            return None;
        }
        let last = self.runs.link(owner)?.last()?;
        self.shorten(owner, last, now, out);
        self.layout.piece(last)
    }

    /// A begun piece that comes much later from peers than from this link.
    fn take_over(&mut self, link: LinkId, now: Instant, out: &mut Effects) -> bool {
        if self.picker.pickable_count() > 0 {
            return false;
        }
        let Some(source) = self.runs.link(link).map(|it| it.source()) else { return false };
        let piece_s = f64::from(self.layout.piece_len()) / self.rate_of(source, now) as f64;
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now).to_vec();
        let fits = |piece: PieceIndex| is_in(&ranges, piece.number());
        let Some(piece) = self.latest_piece(ASKING_S + piece_s, fits, now) else { return false };
        let mut blocks = Vec::new();
        let is_it = |other| other == piece;
        self.assembly.take_free(link, usize::MAX, Sharing::Any, is_it, &mut blocks);
        let moves = self.assembly.asked_of(piece).into_iter();
        let moves = moves.filter(|(owing, _)| *owing != link).collect();
        self.move_blocks(moves, link, now, &mut blocks, out);
        self.fetch_open(link, piece, blocks, now, out)
    }

    /// Nothing is wanted of this link from the piece on, whatever was reserved for it. The pieces
    /// are in no place then.
    pub(super) fn shorten(
        &mut self,
        link: LinkId,
        from: u32,
        now: Instant,
        out: &mut Effects,
    ) -> Vec<u32> {
        let Some(it) = self.runs.link_mut(link) else { return Vec::new() };
        let cut = it.shorten(from, now);
        out.send(link, LinkCommand::Shorten(from));
        cut
    }

    /// The link keeps only what is begun.
    pub(super) fn give_up_reserved(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        if let Some(next) = self.runs.link(link).and_then(|it| it.next()) {
            let cut = self.shorten(link, next, now, out);
            self.give_back(&cut, now, out);
        }
    }

    /// Other pieces are wanted from now on: runs end before the first one that is not. The pieces
    /// that were reserved are in no place then.
    pub(super) fn shorten_to_wanted(
        &mut self,
        is_wanted: impl Fn(PieceIndex) -> bool,
        now: Instant,
        out: &mut Effects,
    ) {
        let is_unwanted =
            |number: &u32| self.layout.piece(*number).is_some_and(|piece| !is_wanted(piece));
        let cuts = self.runs.links().filter_map(|(link, it)| {
            let first = it.reserved().find(is_unwanted)?;
            Some((link, first))
        });
        let cuts: Vec<_> = cuts.collect();
        cuts.into_iter().for_each(|(link, from)| drop(self.shorten(link, from, now, out)));
    }

    /// Pieces that were reserved may be begun again.
    pub(super) fn give_back(&mut self, pieces: &[u32], now: Instant, out: &mut Effects) {
        for number in pieces {
            let Some(piece) = self.layout.piece(*number) else { continue };
            if !self.goal.lacks(piece) || self.is_begun(piece) {
                continue;
            }
            match self.is_padding(piece) {
                // No server is asked for that, so its run goes over it.
                true => self.begin(piece, now, out),
                false => self.picker.insert(piece),
            }
        }
        self.hungry.food_came();
    }

    fn is_padding(&self, piece: PieceIndex) -> bool {
        let (begin, len) = (self.layout.piece_offset(piece), self.layout.len_of(piece));
        self.extents.slices(begin, u64::from(len)).all(|slice| slice.is_pad)
    }

    /// Blocks came on a link to a server.
    pub(super) fn on_run_blocks(
        &mut self,
        link: LinkId,
        blocks: Vec<(BlockRef, Block)>,
        now: Instant,
        out: &mut Effects,
    ) {
        let mut bytes = 0;
        for (block, data) in blocks {
            let len = u64::from(block.len_bytes());
            let Some(it) = self.runs.link_mut(link) else { return };
            let sender = Endpoint::Source(it.source());
            let Some(step) = it.came(block, &self.layout) else {
                // Of no run that is ordered: nobody asked for it.
                self.totals.wasted(len);
                continue;
            };
            bytes += len;
            self.give_back(step.passed(), now, out);
            if step.begins() {
                self.begin_reserved(link, block.piece(), now, out);
            }
            if self.is_crammed() {
                self.totals.wasted(len);
                self.unsettle(link, block);
                continue;
            }
            match self.assembly.receive(link, block, data, sender) {
                Received::Redundant => {
                    self.totals.wasted(len);
                    self.unsettle(link, block);
                }
                Received::Useful { last, asked } => {
                    if let Some(other) = asked.filter(|other| *other != link) {
                        self.cancel(other, block, out);
                    }
                    if let Some(it) = self.runs.link_mut(link) {
                        it.settle(block);
                        if last {
                            it.note_piece();
                        }
                    }
                    if last {
                        self.start_check(block.piece(), out);
                    }
                }
            }
        }
        if let Some(it) = self.runs.link_mut(link) {
            it.received(bytes, now);
            self.sources.brought(it.source(), bytes);
        }
        self.totals.received(bytes, now);
        self.spill_if_needed(out);
    }

    /// The block will not be had from this link.
    fn unsettle(&mut self, link: LinkId, block: BlockRef) {
        if self.runs.link_mut(link).is_some_and(|it| it.settle(block)) {
            self.release(link, block);
        }
    }

    /// The first block of a reserved piece is here: it is begun, and all of it is to come on this
    /// link.
    fn begin_reserved(&mut self, link: LinkId, piece: PieceIndex, now: Instant, out: &mut Effects) {
        self.begin(piece, now, out);
        let mut blocks = Vec::new();
        let is_it = |other| other == piece;
        self.assembly.take_free(link, usize::MAX, Sharing::Own, is_it, &mut blocks);
        if let Some(it) = self.runs.link_mut(link) {
            it.owes(blocks);
        }
    }

    /// A run is over.
    pub(super) fn on_run_ended(
        &mut self,
        link: LinkId,
        number: u64,
        why: RunEnd,
        now: Instant,
        out: &mut Effects,
    ) {
        let Some(it) = self.runs.link_mut(link) else { return };
        let source = it.source();
        let Some(ended) = it.ended(number, why == RunEnd::Done, now) else { return };
        if ended.voids_others() {
            // Whether the link has heard of the next one before it said this is not known.
            out.send(link, LinkCommand::Shorten(0));
        }
        let was_whole = ended.was_whole();
        let (given_back, unsent) = ended.into_parts();
        unsent.iter().for_each(|block| self.release(link, *block));
        self.free_owned(link);
        self.give_back(&given_back, now, out);
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let is_of_file = matches!(why, RunEnd::File(..) | RunEnd::Refused(..));
        match why {
            RunEnd::Done => {}
            RunEnd::File(file, trouble) => {
                self.sources.file_failed(source, file, trouble, ground, now);
            }
            RunEnd::Refused(file, trouble) => {
                self.sources.file_refused(source, file, trouble, ground, now);
            }
            RunEnd::WholeOnly(file) => {
                self.sources.file_is_whole(source, file, was_whole, ground, now);
            }
            RunEnd::Source(trouble) => {
                self.sources.failed(source, trouble, now);
                self.close_lease(link, CloseReason::NothingLeft, now, out);
            }
        }
        if is_of_file && !self.sources.is_fit(source, now) {
            // One file too many: it is the source.
            self.close_lease(link, CloseReason::NothingLeft, now, out);
        }
        self.part_with_off(source, now, out);
        self.look_at_sources(out);
    }
}

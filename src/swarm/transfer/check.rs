//! From whole piece to verified piece: what the disk workers are asked, what their verdicts
//! mean, who is to blame, and what happens while a disk fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::effects::{Effects, Notice};
use crate::swarm::event::{BlockHashes, Event, Held, Output, Verdict};
use crate::swarm::link::{CloseReason, Endpoint};

use super::Transfer;
use super::picker::PeerPieces;

/// How long a failing disk is left alone before one piece is tried again; twice as long after
/// each failure, up to the second. So a download goes on within a minute of its disk.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
/// A disk that fails again so soon has not recovered: its rests go on growing.
const CALM: Duration = Duration::from_secs(60);
/// The part of our share of the pool, as a divisor, that is kept while the disk fails. Other
/// torrents live of the same pool, and may have another disk.
const KEPT_SHARE: usize = 8;

type Senders = Vec<Option<Endpoint>>;

/// Pieces at the disk workers, and those that a failing disk sent back.
#[derive(Debug, Default)]
pub struct Checking {
    /// With the blocks in memory that each takes.
    at_disk: BTreeMap<PieceIndex, (Senders, usize)>,
    blocks_at_disk: usize,
    parked: BTreeMap<PieceIndex, (Vec<Held>, Senders)>,
    /// Pieces at the disk workers whose file came back meanwhile: they are here, whatever becomes
    /// of what was fetched.
    found: BTreeSet<PieceIndex>,
    trouble: Option<Trouble>,
    /// How long the disk rests, or rested last.
    rest: Duration,
    /// When it last worked again.
    recovered_at: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    why: String,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing is written until then.
    Rest(Instant),
    /// What becomes of this piece will tell.
    Trial(PieceIndex),
    /// There is nothing to try with: fetched on, until a write tells.
    Open,
    /// It does not answer; that it does again is told.
    Silent,
}

impl Checking {
    /// Is the piece at the disk workers, or waiting to go there again?
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.at_disk.contains_key(&piece) || self.parked.contains_key(&piece)
    }

    /// Pieces at the disk workers.
    pub fn count(&self) -> usize {
        self.at_disk.len() + self.parked.len()
    }

    /// The pieces at the disk workers, or waiting to go there again.
    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.at_disk.keys().chain(self.parked.keys()).copied()
    }

    /// Blocks in memory of pieces at the disk workers.
    pub fn blocks_at_disk(&self) -> usize {
        self.blocks_at_disk
    }

    /// Does the disk fail, so that nothing more is to be fetched?
    pub fn in_trouble(&self) -> bool {
        matches!(&self.trouble, Some(trouble) if trouble.phase != Phase::Open)
    }

    /// How the disk fails, in words for people.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.why.as_str())
    }

    /// When to try the disk again.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.trouble.as_ref()?.phase {
            Phase::Rest(until) => Some(until),
            Phase::Trial(_) | Phase::Open | Phase::Silent => None,
        }
    }

    /// Blocks in memory of pieces that a failing disk sent back.
    fn parked_blocks(&self) -> usize {
        let is_data = |held: &&Held| matches!(held, Held::Data(_));
        self.parked.values().map(|(blocks, _)| blocks.iter().filter(is_data).count()).sum()
    }
}

impl Transfer {
    pub(super) fn start_check(&mut self, piece: PieceIndex, out: &mut Effects) {
        let Some(whole) = self.assembly.take_whole(piece) else { return };
        if self.checking.in_trouble() {
            self.checking.parked.insert(piece, (whole.blocks, whole.senders));
            return self.shed();
        }
        self.submit(piece, whole.blocks, whole.senders, out);
    }

    fn submit(
        &mut self,
        piece: PieceIndex,
        mut blocks: Vec<Held>,
        senders: Senders,
        out: &mut Effects,
    ) {
        self.blank_padding(piece, &mut blocks);
        let held = blocks.iter().filter(|held| matches!(held, Held::Data(_))).count();
        self.checking.at_disk.insert(piece, (senders, held));
        self.checking.blocks_at_disk += held;
        let want_block_hashes = self.suspects.is_suspect(piece);
        let may_wait = self.is_any_untouched();
        out.push(Output::CheckPiece { piece, blocks, want_block_hashes, may_wait });
    }

    /// Is there a wanted piece that is not even begun?
    fn is_any_untouched(&self) -> bool {
        let touched = self.assembly.open_count() + self.checking.count();
        self.goal.missing() as usize > touched
    }

    /// Padding is zero (BEP 47), whatever was sent for it: no file keeps it, so a piece that is
    /// right with other bytes there would be wrong as soon as it is read back.
    fn blank_padding(&self, piece: PieceIndex, blocks: &mut [Held]) {
        let (layout, extents) = (&self.layout, &self.extents);
        let mut at = 0;
        for slice in extents.slices(layout.piece_offset(piece), layout.len_of(piece).into()) {
            let end = at + slice.len as usize;
            while slice.is_pad && at < end {
                let (number, begin) = (at / BLOCK_LEN, at % BLOCK_LEN);
                if let Some(Held::Data(block)) = blocks.get_mut(number) {
                    block.blank(begin..begin + (end - at));
                }
                at += BLOCK_LEN - begin;
            }
            at = end;
        }
    }

    pub(super) fn on_piece_checked(
        &mut self,
        piece: PieceIndex,
        verdict: Verdict,
        now: Instant,
        out: &mut Effects,
    ) {
        let Some((senders, held)) = self.checking.at_disk.remove(&piece) else { return };
        self.checking.blocks_at_disk -= held;
        if !matches!(verdict, Verdict::Good(_)) || self.checking.trouble.is_some() {
            out.look_at_cause();
        }
        let is_found = self.checking.found.remove(&piece);
        match verdict {
            Verdict::Bad(_) | Verdict::WriteFailed(..) | Verdict::Lost | Verdict::ReadFailed(_)
                if is_found =>
            {
                self.try_another(piece, now);
                self.on_good(piece, None, now, out);
            }
            Verdict::Good(hashes) => self.on_good(piece, hashes.as_ref(), now, out),
            Verdict::Bad(hashes) => self.on_bad(piece, hashes, senders, now, out),
            Verdict::WriteFailed(blocks, why) => {
                self.checking.parked.insert(piece, (blocks, senders));
                self.disk_failed(why, now, out);
            }
            // The disk is none the worse for it.
            Verdict::Lost => {
                self.fetch_again(piece);
                self.try_another(piece, now);
            }
            Verdict::ReadFailed(why) => {
                self.fetch_again(piece);
                self.disk_failed(why, now, out);
            }
        }
    }

    fn on_good(
        &mut self,
        piece: PieceIndex,
        hashes: Option<&BlockHashes>,
        now: Instant,
        out: &mut Effects,
    ) {
        self.disk_works(piece, now, out);
        out.tell(Event::PieceVerified(piece));
        let liars = self.suspects.passed(piece, hashes);
        if !liars.is_empty() {
            self.reckon_verified(now, out);
        }
        // Before the piece counts as here: who is spared has one interesting piece less.
        for liar in liars {
            self.blame(liar, piece, now, out);
        }
        let is_wanted = self.goal.verified(piece);
        self.uploads.on_verified(piece, now);
        // The first piece: now there is something to give.
        if self.goal.have().ones() == 1 {
            out.stir();
        }
        self.verified.push(piece, now);
        self.fresh.extend(is_wanted.then_some(piece));
    }

    /// Pieces that were verified are of no interest any more, whoever has them: one pass over
    /// the peers for all that were verified together.
    pub(in crate::swarm) fn reckon_verified(&mut self, now: Instant, out: &mut Effects) {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return;
        }
        let mut sated = Vec::new();
        for (link, trade) in self.trades.iter_mut().filter(|(_, trade)| trade.is_interesting()) {
            if trade.sate(&fresh) {
                sated.push(*link);
            }
        }
        if self.is_complete() {
            return self.complete(now, out);
        }
        for link in sated {
            self.judge_interest(link, out);
            out.look_at_cause();
        }
    }

    fn complete(&mut self, now: Instant, out: &mut Effects) {
        out.look_at_cause();
        self.totals.rest(now);
        self.tell_verified_now(out);
        let links: Vec<_> = self.trades.keys().copied().collect();
        links.into_iter().for_each(|link| self.judge_interest(link, out));
        self.close_leases(CloseReason::NothingLeft, now, out);
        out.tell(Event::Completed);
    }

    fn on_bad(
        &mut self,
        piece: PieceIndex,
        hashes: BlockHashes,
        senders: Senders,
        now: Instant,
        out: &mut Effects,
    ) {
        self.try_another(piece, now);
        self.totals.hash_failed(u64::from(self.layout.len_of(piece)));
        let blamed = self.suspects.failed(piece, hashes, senders);
        out.tell(Event::HashFailed { piece, blamed });
        self.fetch_again(piece);
        if let Some(liar) = blamed {
            self.blame(liar, piece, now, out);
        }
    }

    /// If a failing disk was to be tried with this piece, of which nothing was written, another one
    /// has to tell.
    fn try_another(&mut self, piece: PieceIndex, now: Instant) {
        if let Some(trouble) = &mut self.checking.trouble
            && trouble.phase == Phase::Trial(piece)
        {
            trouble.phase = Phase::Rest(now);
        }
    }

    pub(super) fn on_pieces_lost(&mut self, pieces: Vec<PieceIndex>, out: &mut Effects) {
        let was_complete = self.is_complete();
        for piece in pieces {
            self.checking.found.remove(&piece);
            self.uploads.on_lost(piece);
            if self.goal.lost(piece) {
                self.fetch_again(piece);
                self.trades.values_mut().for_each(|trade| trade.lacks_again(piece));
            }
        }
        if was_complete && !self.is_complete() {
            out.notice(Notice::Missing);
        }
        let links: Vec<_> = self.trades.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, out));
        // Some may have been closed.
        self.hungry.extend(self.trades.keys().copied());
    }

    /// What was asked for of these is not needed any more.
    pub(super) fn on_pieces_found(
        &mut self,
        mut pieces: Vec<PieceIndex>,
        now: Instant,
        out: &mut Effects,
    ) {
        let had_any = self.goal.has_any();
        let checking = &mut self.checking;
        pieces.retain(|piece| {
            checking.parked.remove(piece);
            let is_at_disk = checking.at_disk.contains_key(piece);
            if is_at_disk {
                checking.found.insert(*piece);
            }
            !is_at_disk
        });
        let wanted = self.goal.wanted().clone();
        if pieces.iter().any(|piece| self.goal.lacks(*piece)) {
            let mut others = wanted.clone();
            for piece in &pieces {
                others.remove(*piece);
            }
            self.on_wanted(others, now, out);
        }
        for piece in pieces {
            if self.goal.has(piece) {
                continue;
            }
            self.goal.verified(piece);
            self.uploads.on_verified(piece, now);
            self.verified.push(piece, now);
        }
        self.goal.want(wanted);
        if !had_any && self.goal.has_any() {
            out.stir();
        }
        // What was refused of them is not missed any more.
        if self.checking.trouble.as_ref().is_some_and(|it| it.phase != Phase::Silent) {
            self.disk_recovered(now, out);
        }
    }

    fn fetch_again(&mut self, piece: PieceIndex) {
        if self.goal.wants(piece) {
            self.picker.insert(piece);
        }
        self.hungry.food_came();
    }

    /// Several may serve whole pieces from one host, and a listing named each of them.
    fn blame(&mut self, liar: Endpoint, piece: PieceIndex, now: Instant, out: &mut Effects) {
        match liar {
            Endpoint::Source(source) => self.blame_source(source, piece, now, out),
            Endpoint::Peer(address) if !self.spare(liar, piece, out) => {
                out.notice(Notice::Liar { address, alone: self.providers.contains_key(&liar) });
            }
            Endpoint::Peer(_) => {}
        }
    }

    pub(super) fn on_spilled(
        &mut self,
        piece: PieceIndex,
        failed: Option<(Vec<(BlockRef, Block)>, String)>,
        now: Instant,
        out: &mut Effects,
    ) {
        let (blocks, why) = failed.unzip();
        self.assembly.spilled(piece, blocks.unwrap_or_default());
        match why {
            Some(why) => self.disk_failed(why, now, out),
            None => self.disk_works(piece, now, out),
        }
        self.start_check(piece, out);
        self.spill_if_needed(out);
    }

    /// Told once, however many files it hits; what holds now is in the snapshot.
    pub(super) fn disk_failed(&mut self, why: String, now: Instant, out: &mut Effects) {
        let checking = &mut self.checking;
        // There was no rest before, if it was only silent.
        let longer = (checking.rest * 2).clamp(REST_FIRST, REST_MAX);
        match &mut checking.trouble {
            // Under way since before the rest.
            Some(Trouble { why: known, phase: Phase::Rest(_) }) => *known = why,
            Some(trouble) => {
                checking.rest = longer;
                *trouble = Trouble { why, phase: Phase::Rest(now + longer) };
            }
            None => {
                let is_again = checking.recovered_at.is_some_and(|at| now < at + CALM);
                checking.rest = if is_again { longer } else { REST_FIRST };
                let phase = Phase::Rest(now + checking.rest);
                checking.trouble = Some(Trouble { why: why.clone(), phase });
                out.tell(Event::DiskTrouble(why));
            }
        }
        self.shed();
    }

    /// Nothing more is asked for, and what there is waits.
    pub(super) fn disk_silent(&mut self, why: String, out: &mut Effects) {
        let trouble = Trouble { why: why.clone(), phase: Phase::Silent };
        if self.checking.trouble.replace(trouble).is_none() {
            out.tell(Event::DiskTrouble(why));
        }
    }

    /// What waited goes on at once: that the device answers needs no trial.
    pub(super) fn disk_answers(&mut self, now: Instant, out: &mut Effects) {
        if matches!(&self.checking.trouble, Some(Trouble { phase: Phase::Silent, .. })) {
            self.disk_recovered(now, out);
        }
    }

    /// While the disk fails, only a little is kept, and at least one piece to try it with. All
    /// is kept of a disk that is only silent: it is no more than before.
    fn shed(&mut self) {
        if matches!(&self.checking.trouble, Some(Trouble { phase: Phase::Silent, .. })) {
            return;
        }
        let kept = self.share_blocks / KEPT_SHARE;
        while self.checking.parked.len() > 1
            && self.checking.parked_blocks() > kept
            && let Some((piece, _)) = self.checking.parked.pop_last()
        {
            self.fetch_again(piece);
        }
        let left = kept.saturating_sub(self.checking.parked_blocks());
        if self.assembly.held_blocks() > left {
            let is_needed = self.checking.parked.is_empty();
            self.assembly.shed(left, is_needed);
            self.hungry.food_came();
        }
    }

    /// Has a failing disk left us no room for another block?
    pub(super) fn is_crammed(&self) -> bool {
        let held = || self.assembly.held_blocks() + self.checking.parked_blocks();
        self.checking.in_trouble() && held() >= self.share_blocks / KEPT_SHARE
    }

    /// The piece, or blocks of it, are written.
    fn disk_works(&mut self, piece: PieceIndex, now: Instant, out: &mut Effects) {
        match &self.checking.trouble {
            Some(Trouble { phase: Phase::Open, .. }) => {}
            Some(Trouble { phase: Phase::Trial(tried), .. }) if *tried == piece => {}
            // While it rests, what was under way before says nothing of what comes.
            _ => return,
        }
        self.disk_recovered(now, out);
    }

    fn disk_recovered(&mut self, now: Instant, out: &mut Effects) {
        out.look_at_cause();
        self.checking.trouble = None;
        self.checking.recovered_at = Some(now);
        out.tell(Event::DiskRecovered);
        for (piece, (blocks, senders)) in std::mem::take(&mut self.checking.parked) {
            self.submit(piece, blocks, senders, out);
        }
        self.spill_if_needed(out);
        self.feed_all();
    }

    fn feed_all(&mut self) {
        self.hungry.extend(self.trades.keys().copied());
        self.hungry.food_came();
    }

    /// Tries a failing disk with one piece; its verdict tells whether the rest may follow.
    pub(super) fn retry_disk(&mut self, now: Instant, out: &mut Effects) {
        if self.checking.retry_at().is_none_or(|at| now < at) {
            return;
        }
        let phase = if let Some((piece, (blocks, senders))) = self.checking.parked.pop_first() {
            self.submit(piece, blocks, senders, out);
            Phase::Trial(piece)
        } else if let Some((piece, blocks)) = self.assembly.spill_fullest() {
            out.push(Output::SpillBlocks { piece, blocks });
            Phase::Trial(piece)
        } else if !self.checking.at_disk.is_empty() {
            Phase::Rest(now + self.checking.rest)
        } else {
            Phase::Open
        };
        if let Some(trouble) = &mut self.checking.trouble {
            trouble.phase = phase;
        }
        if phase == Phase::Open {
            self.feed_all();
        }
    }

    /// How many connected peers have each piece, 255 where more do.
    pub(in crate::swarm) fn copies(&self) -> Vec<u8> {
        let copies = self.layout.pieces().map(|piece| self.picker.availability(piece));
        copies.map(|copies| u8::try_from(copies).unwrap_or(u8::MAX)).collect()
    }

    /// Pieces that we lack and no connected peer has.
    pub(in crate::swarm) fn pieces_nobody_has(&self) -> u32 {
        if self.trades.values().any(|trade| *trade.pieces() == PeerPieces::All) {
            return 0;
        }
        let pieces = self.layout.pieces().filter(|piece| self.goal.lacks(*piece));
        let pieces = pieces.filter(|piece| self.picker.availability(*piece) == 0);
        pieces.filter(|piece| !self.may_source_bring(*piece)).count() as u32
    }
}

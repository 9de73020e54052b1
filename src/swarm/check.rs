//! From whole piece to verified piece: what the disk workers are asked, what their verdicts
//! mean, who is to blame, and what happens while a disk fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;

use super::Swarm;
use super::event::{BlockHashes, Event, Held, Output, Verdict};
use super::link::{CloseReason, LinkCommand};
use super::picker::PeerPieces;

/// How long a failing disk is left alone before one piece is tried again.
const DISK_RETRY: Duration = Duration::from_secs(5);

type Senders = Vec<Option<SocketAddr>>;

/// Pieces at the disk workers, and those that a failing disk sent back.
#[derive(Debug, Default)]
pub struct Checking {
    at_disk: BTreeMap<PieceIndex, Senders>,
    parked: BTreeMap<PieceIndex, (Vec<Held>, Senders)>,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    why: String,
    retry_at: Instant,
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

    /// Does the disk fail?
    pub fn in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// How the disk fails, in words for people.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.why.as_str())
    }

    /// When to try the disk again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry_at)
    }
}

impl Swarm {
    pub(super) fn start_check(&mut self, piece: PieceIndex) {
        let Some(whole) = self.assembly.take_whole(piece) else { return };
        self.submit(piece, whole.blocks, whole.senders);
        // A place for another piece is free.
        self.food = true;
    }

    fn submit(&mut self, piece: PieceIndex, blocks: Vec<Held>, senders: Senders) {
        self.checking.at_disk.insert(piece, senders);
        let want_block_hashes = self.suspects.is_suspect(piece);
        self.outputs.push_back(Output::CheckPiece { piece, blocks, want_block_hashes });
    }

    pub(super) fn on_piece_checked(&mut self, piece: PieceIndex, verdict: Verdict, now: Instant) {
        let Some(senders) = self.checking.at_disk.remove(&piece) else { return };
        match verdict {
            Verdict::Good(hashes) => self.on_good(piece, hashes.as_ref(), now),
            Verdict::Bad(hashes) => self.on_bad(piece, hashes, senders, now),
            Verdict::WriteFailed(blocks, why) => {
                self.checking.parked.insert(piece, (blocks, senders));
                self.disk_failed(why, now);
            }
            Verdict::ReadFailed(why) => {
                self.fetch_again(piece);
                self.disk_failed(why, now);
            }
        }
    }

    fn on_good(&mut self, piece: PieceIndex, hashes: Option<&BlockHashes>, now: Instant) {
        self.disk_works();
        self.tell(Event::PieceVerified(piece));
        // Before the piece counts as here: who is spared has one interesting piece less.
        for liar in self.suspects.passed(piece, hashes) {
            if !self.spare(liar, piece, now) {
                self.ban(liar, now);
            }
        }
        let is_new = self.have.insert(piece);
        debug_assert!(is_new, "a piece is verified once");
        self.uploads.on_verified(piece, now);
        // The first piece: now there is something to give.
        self.uploads.stirred |= self.have.ones() == 1;
        let wanted = self.wanted.has(piece);
        self.missing -= u32::from(wanted);
        let mut listeners = Vec::new();
        let mut sated = Vec::new();
        for (link, peer) in &mut self.peers {
            // Also who has it must know: of one that is told too little it could never tell
            // that it is a seed. A seed needs to know nothing.
            if peer.caps.can_upload_to && !peer.is_seed() {
                listeners.push(*link);
            }
            if peer.pieces.has(piece) && wanted {
                peer.interesting = peer.interesting.saturating_sub(1);
                if peer.interesting == 0 {
                    sated.push(*link);
                }
            }
        }
        for link in listeners {
            self.send(link, LinkCommand::Have(vec![piece]));
        }
        for link in sated {
            self.judge_interest(link, now);
        }
        if self.missing == 0 && wanted {
            self.complete(now);
        }
    }

    fn complete(&mut self, now: Instant) {
        self.tell(Event::Completed);
        let links: Vec<_> = self.peers.keys().copied().collect();
        links.into_iter().for_each(|link| self.judge_interest(link, now));
    }

    fn on_bad(&mut self, piece: PieceIndex, hashes: BlockHashes, senders: Senders, now: Instant) {
        self.totals.hash_failures += 1;
        self.totals.wasted_bytes += u64::from(self.config.layout.len_of(piece));
        let blamed = self.suspects.failed(piece, hashes, senders);
        self.tell(Event::HashFailed { piece, blamed });
        self.fetch_again(piece);
        if let Some(liar) = blamed
            && !self.spare(liar, piece, now)
        {
            self.ban(liar, now);
        }
    }

    pub(super) fn on_pieces_lost(&mut self, pieces: Vec<PieceIndex>, now: Instant) {
        let was_complete = self.is_complete();
        for piece in pieces {
            self.uploads.on_lost(piece);
            if !self.have.remove(piece) || !self.wanted.has(piece) {
                continue;
            }
            self.missing += 1;
            self.fetch_again(piece);
            for peer in self.peers.values_mut().filter(|peer| peer.pieces.has(piece)) {
                peer.interesting += 1;
            }
        }
        if was_complete && !self.is_complete() {
            self.candidates.wake_all();
        }
        let links: Vec<_> = self.peers.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, now));
        self.hungry.extend(links);
    }

    fn fetch_again(&mut self, piece: PieceIndex) {
        if self.wanted.has(piece) {
            self.picker.insert(piece);
        }
        self.food = true;
    }

    fn ban(&mut self, address: SocketAddr, now: Instant) {
        if self.candidates.is_banned(address) {
            return;
        }
        if self.stores.contains_key(&address) {
            // Several may serve from one host, and a listing named each of them.
            self.candidates.shun(address);
        } else {
            self.candidates.ban(address);
        }
        self.assembly.distrust(address);
        self.tell(Event::Banned(address));
        let banned = |other: SocketAddr| self.candidates.is_banned(other);
        let links: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| banned(peer.address))
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            self.close(link, CloseReason::CorruptData, now);
        }
        self.food = true;
    }

    pub(super) fn on_spilled(
        &mut self,
        piece: PieceIndex,
        failed: Option<(Vec<(BlockRef, Block)>, String)>,
        now: Instant,
    ) {
        let (blocks, why) = failed.unzip();
        self.assembly.spilled(piece, blocks.unwrap_or_default());
        match why {
            Some(why) => self.disk_failed(why, now),
            None => self.disk_works(),
        }
        self.start_check(piece);
        if !self.checking.in_trouble() {
            self.spill_if_needed();
        }
    }

    fn disk_failed(&mut self, why: String, now: Instant) {
        let retry_at = now + DISK_RETRY;
        if self.checking.trouble().is_none_or(|known| known != why) {
            self.tell(Event::DiskTrouble(why.clone()));
        }
        self.checking.trouble = Some(Trouble { why, retry_at });
    }

    fn disk_works(&mut self) {
        if self.checking.trouble.take().is_none() {
            return;
        }
        self.tell(Event::DiskRecovered);
        for (piece, (blocks, senders)) in std::mem::take(&mut self.checking.parked) {
            self.submit(piece, blocks, senders);
        }
        // Spills that failed came back: without another try they might fill all memory.
        self.spill_if_needed();
        self.hungry.extend(self.peers.keys().copied());
        self.food = true;
    }

    /// Tries a failing disk with one piece; its verdict tells whether the rest may follow.
    pub(super) fn retry_disk(&mut self, now: Instant) {
        let Some(trouble) = &mut self.checking.trouble else { return };
        if now < trouble.retry_at {
            return;
        }
        trouble.retry_at = now + DISK_RETRY;
        match self.checking.parked.pop_first() {
            Some((piece, (blocks, senders))) => self.submit(piece, blocks, senders),
            // Nothing to try with: fetch on, the next write will tell.
            None if self.checking.at_disk.is_empty() => self.disk_works(),
            None => {}
        }
    }

    /// Pieces that we lack and no connected peer has.
    pub(super) fn pieces_nobody_has(&self) -> u32 {
        if self.peers.values().any(|peer| peer.pieces == PeerPieces::All) {
            return 0;
        }
        let lacking = |piece: &PieceIndex| self.wanted.has(*piece) && !self.have.has(*piece);
        let pieces = self.config.layout.pieces().filter(lacking);
        pieces.filter(|piece| self.picker.availability(*piece) == 0).count() as u32
    }
}

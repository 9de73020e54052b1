//! What peers have and whether we want it: sets of pieces, interest, the user's choice.
//! Whether to ask for anything is not decided here.

use std::time::Instant;

use crate::base::bitfield::Bitfield;
use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;

use super::Swarm;
use super::event::Event;
use super::link::{Availability, CloseReason, LinkCommand};
use super::peer::Peer;
use super::picker::PeerPieces;

/// Whole sets of pieces that a remote may tell, for each costs a pass over all pieces. BEP 3
/// knows one, right after the handshake.
const SETS_TOLD_MAX: u32 = 8;

impl Swarm {
    pub(super) fn on_availability(&mut self, link: LinkId, pieces: Availability, now: Instant) {
        let count = self.config.layout.piece_count();
        let useless = self.useless_pieces_of(link);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.sets_told += 1;
        if peer.sets_told > SETS_TOLD_MAX {
            let reason = CloseReason::Misbehaved("it told all its pieces again and again");
            return self.close(link, reason, now);
        }
        let mut pieces = match pieces {
            Availability::All => PeerPieces::All,
            Availability::Some(set) if set.is_full() => PeerPieces::All,
            Availability::Some(set) => PeerPieces::Some(set),
            Availability::None => PeerPieces::Some(Bitfield::none(count)),
        };
        peer.has_told = true;
        useless.into_iter().for_each(|piece| pieces.remove(piece, count));
        self.picker.peer_changed(&peer.pieces, &pieces);
        peer.interesting = match &pieces {
            PeerPieces::All => self.missing,
            PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
        };
        peer.pieces = pieces;
        peer.nothing_in = None;
        self.offer_fast(link);
        self.judge_interest(link, now);
    }

    pub(super) fn on_haves(&mut self, link: LinkId, pieces: Vec<PieceIndex>, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let PeerPieces::Some(set) = &mut peer.pieces else { return };
        for piece in pieces {
            if !set.insert(piece) {
                continue;
            }
            self.picker.peer_gained(piece);
            if self.wanted.has(piece) && !self.have.has(piece) {
                peer.interesting += 1;
                peer.nothing_in = None;
            }
        }
        if set.is_full() {
            // A seed is counted once, not in every piece.
            self.picker.peer_left(&peer.pieces);
            peer.pieces = PeerPieces::All;
            self.picker.peer_came(&peer.pieces);
        }
        self.judge_interest(link, now);
    }

    /// BEP 3: "Interest state must be kept up to date at all times".
    pub(super) fn judge_interest(&mut self, link: LinkId, now: Instant) {
        let complete = self.is_complete();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if complete && (peer.is_seed() || peer.upload_only) {
            return self.close(link, CloseReason::BothComplete, now);
        }
        let wants = peer.interesting > 0;
        if wants != peer.told_interest && peer.caps.chokes {
            peer.told_interest = wants;
            let word = if wants { LinkCommand::Interested } else { LinkCommand::NotInterested };
            self.send(link, word);
        }
    }

    /// BEP 21: whether we are a partial seed, to those that can be told, when it changes.
    pub(super) fn tell_upload_only(&mut self) {
        let is_partial_seed = self.is_complete() && !self.have.is_full();
        if std::mem::replace(&mut self.upload_only, is_partial_seed) == is_partial_seed {
            return;
        }
        let hears = |(_, peer): &(&LinkId, &Peer)| peer.caps.extended && peer.caps.can_upload_to;
        let links: Vec<_> = self.peers.iter().filter(hears).map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| {
            self.send(link, LinkCommand::UploadOnly(is_partial_seed));
        });
    }

    pub(super) fn on_wanted(&mut self, wanted: Bitfield, now: Instant) {
        for piece in self.config.layout.pieces() {
            let is_new = wanted.has(piece) && !self.have.has(piece);
            if is_new && !self.is_begun(piece) {
                self.picker.insert(piece);
            } else if !is_new {
                self.picker.remove(piece);
                self.drop_piece(piece);
            }
        }
        self.wanted = wanted;
        let count = self.config.layout.piece_count();
        let was_complete = self.is_complete();
        self.missing = Bitfield::all(count).count_missing(&self.have, &self.wanted);
        for peer in self.peers.values_mut() {
            peer.interesting = match &peer.pieces {
                PeerPieces::All => self.missing,
                PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
            };
        }
        if self.is_complete() && !was_complete {
            self.totals.rest(now);
            self.tell(Event::Completed);
        }
        if was_complete && !self.is_complete() {
            self.candidates.wake_all();
        }
        self.food = true;
        let links: Vec<_> = self.peers.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, now));
        // Some may have been closed.
        self.hungry.extend(self.peers.keys().copied());
    }

    /// The remote does not have a piece that it claimed.
    pub(super) fn lost_piece(&mut self, link: LinkId, piece: PieceIndex, now: Instant) {
        let lacking = self.wanted.has(piece) && !self.have.has(piece);
        let count = self.config.layout.piece_count();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if !peer.pieces.has(piece) {
            return;
        }
        self.picker.peer_left(&peer.pieces);
        peer.pieces.remove(piece, count);
        self.picker.peer_came(&peer.pieces);
        peer.interesting -= u32::from(lacking && peer.interesting > 0);
        self.judge_interest(link, now);
    }
}

//! What peers have and whether we want it: sets of pieces, interest, the user's choice.
//! Whether to ask for anything is not decided here.

use std::time::Instant;

use crate::base::bitfield::Bitfield;
use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;
use crate::swarm::effects::{Effects, Notice};
use crate::swarm::event::Event;
use crate::swarm::link::{Availability, CloseReason, ExtendedCommand, PeerCommand};

use super::Transfer;
use super::picker::PeerPieces;
use super::trade::Trade;

/// Whole sets of pieces that a remote may tell, for each costs a pass over all pieces. BEP 3
/// knows one, right after the handshake.
const SETS_TOLD_MAX: u32 = 8;

impl Transfer {
    pub(super) fn on_availability(
        &mut self,
        link: LinkId,
        pieces: Availability,
        out: &mut Effects,
    ) {
        let count = self.layout.piece_count();
        let useless = self.useless_pieces_of(link);
        let Some(trade) = self.trades.get_mut(&link) else { return };
        trade.sets_told += 1;
        if trade.sets_told > SETS_TOLD_MAX {
            let reason = CloseReason::Misbehaved("it told all its pieces again and again");
            return out.close(link, reason);
        }
        let mut pieces = match pieces {
            Availability::All => PeerPieces::All,
            Availability::Some(set) if set.is_full() => PeerPieces::All,
            Availability::Some(set) => PeerPieces::Some(set),
            Availability::None => PeerPieces::Some(Bitfield::none(count)),
        };
        trade.has_told = true;
        useless.into_iter().for_each(|piece| pieces.remove(piece, count));
        self.picker.peer_changed(&trade.pieces, &pieces);
        trade.interesting = match &pieces {
            PeerPieces::All => self.missing,
            PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
        };
        trade.pieces = pieces;
        trade.nothing_in = None;
        self.offer_fast(link, out);
        self.judge_interest(link, out);
    }

    pub(super) fn on_haves(&mut self, link: LinkId, pieces: Vec<PieceIndex>, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let PeerPieces::Some(set) = &mut trade.pieces else { return };
        for piece in pieces {
            if !set.insert(piece) {
                continue;
            }
            self.picker.peer_gained(piece);
            if self.wanted.has(piece) && !self.have.has(piece) {
                trade.interesting += 1;
                trade.nothing_in = None;
            }
        }
        if set.is_full() {
            // A seed is counted once, not in every piece.
            self.picker.peer_left(&trade.pieces);
            trade.pieces = PeerPieces::All;
            self.picker.peer_came(&trade.pieces);
        }
        self.judge_interest(link, out);
    }

    /// BEP 3: "Interest state must be kept up to date at all times".
    pub(super) fn judge_interest(&mut self, link: LinkId, out: &mut Effects) {
        let complete = self.is_complete();
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if complete && (trade.is_seed() || trade.upload_only) {
            return out.close(link, CloseReason::BothComplete);
        }
        let wants = trade.interesting > 0;
        if wants != trade.told_interest && trade.caps.chokes {
            trade.told_interest = wants;
            let word = if wants { PeerCommand::Interested } else { PeerCommand::NotInterested };
            out.send(link, word);
        }
    }

    /// BEP 21: whether we are a partial seed, to those that can be told, when it changes.
    pub(in crate::swarm) fn tell_upload_only(&mut self, out: &mut Effects) {
        let is_partial_seed = self.is_complete() && !self.have.is_full();
        if std::mem::replace(&mut self.upload_only, is_partial_seed) == is_partial_seed {
            return;
        }
        let hears =
            |(_, trade): &(&LinkId, &Trade)| trade.caps.extended && trade.caps.can_upload_to;
        let links: Vec<_> = self.trades.iter().filter(hears).map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| {
            out.send(link, ExtendedCommand::UploadOnly(is_partial_seed));
        });
    }

    pub(super) fn on_wanted(&mut self, wanted: Bitfield, now: Instant, out: &mut Effects) {
        for piece in self.layout.pieces() {
            let is_new = wanted.has(piece) && !self.have.has(piece);
            if is_new && !self.is_begun(piece) {
                self.picker.insert(piece);
            } else if !is_new {
                self.picker.remove(piece);
                self.drop_piece(piece, out);
            }
        }
        self.wanted = wanted;
        let count = self.layout.piece_count();
        let was_complete = self.is_complete();
        self.missing = Bitfield::all(count).count_missing(&self.have, &self.wanted);
        for trade in self.trades.values_mut() {
            trade.interesting = match &trade.pieces {
                PeerPieces::All => self.missing,
                PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
            };
        }
        if self.is_complete() && !was_complete {
            self.totals.rest(now);
            out.tell(Event::Completed);
        }
        if was_complete && !self.is_complete() {
            out.notice(Notice::Missing);
        }
        self.food = true;
        let links: Vec<_> = self.trades.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, out));
        // Some may have been closed.
        self.hungry.extend(self.trades.keys().copied());
    }

    /// The remote does not have a piece that it claimed.
    pub(super) fn lost_piece(&mut self, link: LinkId, piece: PieceIndex, out: &mut Effects) {
        let lacking = self.wanted.has(piece) && !self.have.has(piece);
        let count = self.layout.piece_count();
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if !trade.pieces.has(piece) {
            return;
        }
        self.picker.peer_left(&trade.pieces);
        trade.pieces.remove(piece, count);
        self.picker.peer_came(&trade.pieces);
        trade.interesting -= u32::from(lacking && trade.interesting > 0);
        self.judge_interest(link, out);
    }
}

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
        if !trade.tells_set() {
            let reason = CloseReason::Misbehaved("it told all its pieces again and again");
            return out.close(link, reason);
        }
        let mut pieces = match pieces {
            Availability::All => PeerPieces::All,
            Availability::Some(set) if set.is_full() => PeerPieces::All,
            Availability::Some(set) => PeerPieces::Some(set),
            Availability::None => PeerPieces::Some(Bitfield::none(count)),
        };
        useless.into_iter().for_each(|piece| pieces.remove(piece, count));
        self.picker.peer_changed(trade.pieces(), &pieces);
        let interesting = self.goal.lacking_of(&pieces);
        trade.set_pieces(pieces, interesting);
        self.offer_fast(link, out);
        self.judge_interest(link, out);
    }

    pub(super) fn on_haves(&mut self, link: LinkId, pieces: Vec<PieceIndex>, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        pieces.iter().for_each(|piece| trade.has_again(*piece));
        if *trade.pieces() == PeerPieces::All {
            return;
        }
        for piece in pieces {
            if trade.gain(piece, self.goal.lacks(piece)) {
                self.picker.peer_gained(piece);
            }
        }
        if let Some(all_one_by_one) = trade.complete() {
            // A seed is counted once, not in every piece.
            self.picker.peer_left(&all_one_by_one);
            self.picker.peer_came(trade.pieces());
        }
        self.judge_interest(link, out);
    }

    /// BEP 3: "Interest state must be kept up to date at all times".
    pub(super) fn judge_interest(&mut self, link: LinkId, out: &mut Effects) {
        let complete = self.is_complete();
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if complete && (trade.is_seed() || trade.is_upload_only()) {
            return out.close(link, CloseReason::BothComplete);
        }
        if let Some(wants) = trade.tell_interest() {
            let word = if wants { PeerCommand::Interested } else { PeerCommand::NotInterested };
            out.send(link, word);
        }
    }

    /// BEP 21: whether we are a partial seed, to those that can be told, when it changes.
    pub(in crate::swarm) fn tell_upload_only(&mut self, out: &mut Effects) {
        let is_partial_seed = self.goal.is_partial_seed();
        if std::mem::replace(&mut self.upload_only, is_partial_seed) == is_partial_seed {
            return;
        }
        let hears = |(_, trade): &(&LinkId, &Trade)| trade.hears_upload_only();
        let links: Vec<_> = self.trades.iter().filter(hears).map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| {
            out.send(link, ExtendedCommand::UploadOnly(is_partial_seed));
        });
    }

    pub(super) fn on_wanted(&mut self, wanted: Bitfield, now: Instant, out: &mut Effects) {
        self.shorten_to_wanted(|piece| wanted.has(piece), now, out);
        for piece in self.layout.pieces() {
            let is_new = wanted.has(piece) && !self.goal.has(piece);
            if is_new && !self.is_begun(piece) {
                self.picker.insert(piece);
            } else if !is_new {
                self.picker.remove(piece);
                self.drop_piece(piece, out);
            }
        }
        let was_complete = self.is_complete();
        self.goal.want(wanted);
        for trade in self.trades.values_mut() {
            trade.set_interesting(self.goal.lacking_of(trade.pieces()));
        }
        if self.is_complete() && !was_complete {
            self.totals.rest(now);
            self.close_leases(CloseReason::NothingLeft, now, out);
            out.tell(Event::Completed);
        }
        if was_complete && !self.is_complete() {
            out.notice(Notice::Missing);
        }
        self.hungry.food_came();
        self.look_at_sources(out);
        let links: Vec<_> = self.trades.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, out));
        // Some may have been closed.
        self.hungry.extend(self.trades.keys().copied());
    }

    /// The remote does not have a piece that it claimed.
    pub(super) fn lost_piece(&mut self, link: LinkId, piece: PieceIndex, out: &mut Effects) {
        let is_lacking = self.goal.lacks(piece);
        let count = self.layout.piece_count();
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if !trade.pieces().has(piece) {
            return;
        }
        self.picker.peer_left(trade.pieces());
        trade.lose(piece, count, is_lacking);
        self.picker.peer_came(trade.pieces());
        self.judge_interest(link, out);
    }
}

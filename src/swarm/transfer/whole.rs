//! What is different about links that bring whole pieces: they are asked for one piece after
//! the other, and people are told when another link gets what one failed to bring. Also when
//! nobody is left to ask.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::base::ids::LinkId;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::swarm::effects::{Effects, Notice};
use crate::swarm::link::Endpoint;

use super::Transfer;
use super::assembly::Sharing;
use super::trade::Trade;

/// Wrong pieces of one link until it is banned. Such a link is a provider of pieces, which may
/// rot one by one: what is sound in it is still worth having.
const WRONG_MAX: usize = 3;
/// How often a link may end, or fall silent, at the same piece until that piece is not asked
/// of it any more: one bad file must not keep the others from us.
const STUCK_MAX: u32 = 2;
/// Pieces at which a provider may get stuck and still count as one that works.
const FORGIVEN_MAX: usize = 16;

/// What is remembered of an address that brings whole pieces. A link may end and come again;
/// what it brought stays wrong. Bounded by what listings name.
#[derive(Debug, Default)]
pub(super) struct Provider {
    /// Pieces that were wrong.
    wrong: BTreeSet<PieceIndex>,
    /// How often it got stuck at a piece.
    stuck: BTreeMap<PieceIndex, u32>,
}

impl Provider {
    /// Pieces that are not asked of it.
    fn useless(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let stuck = self.stuck.iter().filter(|(_, times)| **times >= STUCK_MAX);
        self.wrong.iter().copied().chain(stuck.map(|(piece, _)| *piece))
    }
}

impl Transfer {
    /// A link brings whole pieces from there.
    pub(super) fn know_provider(&mut self, endpoint: Endpoint) {
        self.providers.entry(endpoint).or_default();
    }

    /// Takes the missing blocks of up to `count` pieces for a link that brings whole ones.
    pub(super) fn take_pieces(
        &mut self,
        link: LinkId,
        count: usize,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
        out: &mut Effects,
    ) -> usize {
        (0..count).take_while(|_| self.take_piece(link, now, blocks, out)).count()
    }

    /// A piece that nobody works on, begun or not; else one of which most is left to others.
    fn take_piece(
        &mut self,
        link: LinkId,
        now: Instant,
        blocks: &mut Vec<BlockRef>,
        out: &mut Effects,
    ) -> bool {
        if self.take_open_piece(link, Sharing::Own, blocks) {
            return true;
        }
        while self.may_begin()
            && let Some(piece) = self.next_piece(link, now)
        {
            self.begin(piece, now, out);
            if self.take_open_piece(link, Sharing::Own, blocks) {
                return true;
            }
        }
        self.take_open_piece(link, Sharing::Any, blocks)
    }

    fn take_open_piece(
        &mut self,
        link: LinkId,
        sharing: Sharing,
        blocks: &mut Vec<BlockRef>,
    ) -> bool {
        let Some(trade) = self.trades.get(&link) else { return false };
        let may_ask = |piece| trade.may_be_asked(piece);
        let Some(piece) = self.assembly.find_free(link, sharing, may_ask) else { return false };
        self.assembly.take_free(link, usize::MAX, sharing, |other| other == piece, blocks);
        true
    }

    /// Tells that others are asked for what this link owes, if it brings whole pieces.
    pub(super) fn tell_reassigned(
        &mut self,
        link: LinkId,
        blocks: &[BlockRef],
        why: &str,
        out: &mut Effects,
    ) {
        let Some(trade) = self.trades.get(&link) else { return };
        if !trade.is_whole() {
            return;
        }
        let mut pieces: Vec<_> = blocks.iter().map(|block| block.piece()).collect();
        pieces.sort_unstable();
        pieces.dedup();
        pieces.retain(|piece| self.goal.lacks(*piece));
        for piece in pieces {
            out.notice(Notice::Reassigned { link, piece, why: why.to_owned() });
        }
    }

    /// As [`tell_reassigned`](Self::tell_reassigned), for all that the link owes.
    pub(in crate::swarm) fn tell_owed_reassigned(
        &mut self,
        link: LinkId,
        why: &str,
        out: &mut Effects,
    ) {
        let Some(trade) = self.trades.get(&link) else { return };
        let owed: Vec<_> = trade.requests().from_last().map(|(_, block)| block).collect();
        self.tell_reassigned(link, &owed, why, out);
    }

    /// The peer sent a wrong piece. A provider of whole pieces gets another chance, and that piece
    /// is not asked of it again; false when it is none, or had its chances.
    pub(super) fn spare(&mut self, liar: Endpoint, piece: PieceIndex, out: &mut Effects) -> bool {
        let Some(provider) = self.providers.get_mut(&liar) else { return false };
        provider.wrong.insert(piece);
        if provider.wrong.len() >= WRONG_MAX {
            return false;
        }
        let mut peers = self.trades.iter();
        if let Some(link) = peers.find(|(_, trade)| trade.endpoint() == liar).map(|(link, _)| *link)
        {
            self.lost_piece(link, piece, out);
        }
        true
    }

    /// Pieces that the peer failed to bring before, on this link or an earlier one.
    pub(super) fn useless_pieces_of(&self, link: LinkId) -> Vec<PieceIndex> {
        let endpoint = self.trades.get(&link).map(Trade::endpoint);
        let provider = endpoint.and_then(|endpoint| self.providers.get(&endpoint));
        provider.into_iter().flat_map(Provider::useless).collect()
    }

    /// The link ends, or fell silent, with `piece` the next that it should have brought. When
    /// that piece is given up for it, its failures were those of the piece, not of the address.
    pub(super) fn note_stuck(&mut self, link: LinkId, piece: PieceIndex, out: &mut Effects) {
        let Some(trade) = self.trades.get(&link) else { return };
        let address = trade.address();
        let Some(provider) = self.providers.get_mut(&trade.endpoint()) else { return };
        let times = provider.stuck.entry(piece).or_default();
        *times += 1;
        if *times == STUCK_MAX && provider.stuck.len() <= FORGIVEN_MAX {
            out.notice(Notice::Forgiven(address));
        }
    }

    /// As [`note_stuck`](Self::note_stuck), when the link ends for a fault of the remote.
    pub(in crate::swarm) fn note_ended(&mut self, link: LinkId, out: &mut Effects) {
        let first =
            |trade: &Trade| trade.requests().from_last().last().map(|(_, block)| block.piece());
        if let Some(piece) = self.trades.get(&link).and_then(first) {
            self.note_stuck(link, piece, out);
        }
    }

    /// Is something missing that nobody who is connected can be expected to bring?
    pub(in crate::swarm) fn is_out_of_reach(&self) -> bool {
        !self.is_complete()
            && !self.checking.in_trouble()
            && self.checking.count() == 0
            && self.trades.values().all(|trade| trade.has_told() && !trade.is_interesting())
            && !self.may_sources_help()
    }
}

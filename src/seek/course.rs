//! Who is asked for what: which lengths are tried, by whom, and which pieces of whom.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use super::attempt::{Attempt, MEMBERS_MAX};
use super::peer::Peer;
use super::{OPEN_MAX, Output, Seek, turn};

/// Copies of one length that are fetched side by side, each from one peer.
pub(super) const SOLO_MAX: usize = 3;

impl<P: Copy + Ord + Debug> Seek<P> {
    /// Decides everything anew: after each fact but a piece that came.
    pub(super) fn plan(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        self.peers.values_mut().for_each(|peer| peer.tick(now));
        self.forget_lengths();
        self.open_lengths(now);
        let open = self.lengths.iter().filter(|(_, length)| length.is_open());
        let open: Vec<(u32, bool)> = open.map(|(len, length)| (*len, length.is_solo)).collect();
        for (len, is_solo) in open {
            match is_solo {
                true => self.staff_solo(len, now),
                false => self.staff_shared(len, now),
            }
            let copies = self.lengths.get(&len).into_iter().flat_map(|length| &length.copies);
            let members = copies.flat_map(|copy| &copy.members).map(|member| member.peer);
            members.collect::<Vec<P>>().into_iter().for_each(|peer| self.fill(len, peer, now));
        }
    }

    fn claimants(&self, len: u32) -> impl Iterator<Item = (P, &Peer)> {
        let peers = self.peers.iter().filter(move |(_, peer)| peer.claim() == Some(len));
        peers.map(|(id, peer)| (*id, peer))
    }

    fn has_able(&self, len: u32) -> bool {
        self.claimants(len).any(|(_, peer)| peer.is_able())
    }

    /// Peers that could be asked for this length and are not.
    pub(super) fn outsiders(&self, len: u32) -> impl Iterator<Item = P> {
        let able = self.claimants(len).filter(|(_, peer)| peer.is_able());
        able.map(|(id, _)| id).filter(move |id| {
            let mut copies = self.lengths.get(&len).into_iter().flat_map(|it| &it.copies);
            !copies.any(|copy| copy.is_member(*id))
        })
    }

    fn best_outsider(&self, len: u32) -> Option<P> {
        let rank = |id: &P| (self.peers.get(id).map(Peer::rank), *id);
        self.outsiders(len).min_by_key(rank)
    }

    /// Lengths that could be tried and are not.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u32> {
        let shut = self.lengths.iter().filter(|(_, length)| !length.is_open());
        let fitting = shut.map(|(len, _)| *len).filter(|len| *len as usize <= self.allowance);
        fitting.filter(|len| self.has_able(*len))
    }

    /// Nobody claims them any more, and nothing of them is here.
    fn forget_lengths(&mut self) {
        let claimed: std::collections::BTreeSet<u32> =
            self.peers.values().filter_map(Peer::claim).collect();
        self.lengths.retain(|len, length| {
            claimed.contains(len) || length.copies.iter().any(|copy| copy.have_count() > 0)
        });
    }

    /// The most claimed lengths come first, whoever had a turn in vain behind the others; each
    /// is tried for a while at least.
    fn open_lengths(&mut self, now: Instant) {
        while self.reserved() > self.allowance && self.shut_one(|_, _| true) {}
        let mut waiting: Vec<u32> = self.waiting().collect();
        waiting.sort_by_cached_key(|len| {
            let (turns, order) = self.lengths.get(len).map_or((0, 0), |it| (it.turns, it.order));
            (Reverse(self.claimants(*len).count() >> turns.min(31)), turns, order)
        });
        'waiting: for len in waiting {
            while self.lengths.values().filter(|length| length.is_open()).count() >= OPEN_MAX
                || self.reserved() + len as usize > self.allowance
            {
                let is_over = |seek: &Self, len: u32| {
                    let until = seek.lengths.get(&len).and_then(|length| length.turn_until);
                    !seek.has_able(len) || until.is_some_and(|until| until <= now)
                };
                if !self.shut_one(is_over) {
                    continue 'waiting;
                }
            }
            if let Some(length) = self.lengths.get_mut(&len) {
                length.turn_until = Some(now + length.turn());
            }
        }
        for length in self.lengths.values_mut() {
            // Those who wait need more than this one has.
            let turn = length.turn();
            length.turn_until = length.turn_until.map(|until| match until <= now {
                true => now + turn,
                false => until,
            });
        }
    }

    /// Gives up one of the lengths that may be given up: one that nobody can be asked for, or
    /// else the one whose turn ends first. False when there is none.
    fn shut_one(&mut self, may: impl Fn(&Self, u32) -> bool) -> bool {
        let open =
            self.lengths.iter().filter(|(_, length)| length.is_open() && !length.is_checking());
        let open = open.filter(|(len, _)| may(self, **len));
        let one = open.min_by_key(|(len, length)| (self.has_able(**len), length.turn_until));
        let Some(len) = one.map(|(len, _)| *len) else { return false };
        let claimants: Vec<P> = self.claimants(len).map(|(id, _)| id).collect();
        for id in claimants {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.excuse();
            }
        }
        if let Some(length) = self.lengths.get_mut(&len) {
            length.shut();
        }
        true
    }

    fn patience(&self, peer: P) -> std::time::Duration {
        self.peers.get(&peer).map(Peer::patience).unwrap_or_default()
    }

    /// `peer` is asked from now on.
    fn choose(&mut self, peer: P) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.turns += 1;
        }
    }

    /// `peer` is not asked any more.
    fn dismiss(&mut self, peer: P) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.excuse();
        }
    }

    /// One copy: a lead, and helpers once it has had its time.
    fn staff_shared(&mut self, len: u32, now: Instant) {
        let best = self.best_outsider(len);
        let Some(length) = self.lengths.get_mut(&len) else { return };
        let peers = &self.peers;
        let can = |peer: P| {
            peers.get(&peer).is_some_and(|peer| peer.is_able() && peer.claim() == Some(len))
        };
        let Some(copy) = length.copies.first_mut() else {
            let Some(lead) = best else { return };
            let patience = self.patience(lead);
            self.choose(lead);
            let copy = Attempt::new(len, lead, patience, now);
            if let Some(length) = self.lengths.get_mut(&len) {
                length.copies.push(copy);
            }
            return;
        };
        if copy.check.is_some() {
            return;
        }
        copy.members.retain(|member| can(member.peer));
        if copy.members.is_empty() {
            // As few senders as possible: one that sent something goes on.
            let Some(lead) = copy.best_sender(can).or(best) else { return };
            copy.add(lead);
            self.choose(lead);
        }
        self.review(len, now);
    }

    fn review(&mut self, len: u32, now: Instant) {
        loop {
            let best = self.best_outsider(len);
            let Some(length) = self.lengths.get_mut(&len) else { return };
            let Some(copy) = length.copies.first_mut() else { return };
            let Some(best) = best.filter(|_| copy.review_at <= now) else { return };
            let is_full = copy.members.len() >= MEMBERS_MAX;
            let gone = if is_full { copy.dismiss_slowest() } else { None };
            copy.add(best);
            if copy.members.len() >= MEMBERS_MAX {
                copy.reviewed(now);
            }
            self.choose(best);
            gone.into_iter().for_each(|gone| self.dismiss(gone));
            if self.outsiders(len).next().is_none()
                && let Some(copy) = self.lengths.get_mut(&len).and_then(|it| it.copies.first_mut())
            {
                return copy.reviewed(now);
            }
        }
    }

    /// Copies of one peer each.
    fn staff_solo(&mut self, len: u32, now: Instant) {
        let peers = &self.peers;
        let Some(length) = self.lengths.get_mut(&len) else { return };
        length.copies.retain(|copy| {
            let claims = |peer| peers.get(&peer).is_some_and(|it| it.claim() == Some(len));
            copy.check.is_some() || copy.members.iter().all(|member| claims(member.peer))
        });
        loop {
            let Some(best) = self.best_outsider(len) else { return };
            let room = self.allowance.saturating_sub(self.reserved());
            let peers = &self.peers;
            let Some(length) = self.lengths.get_mut(&len) else { return };
            let mut gone = None;
            let is_first = length.copies.is_empty();
            if !is_first && (length.copies.len() >= SOLO_MAX || room < len as usize) {
                let is_over = |copy: &Attempt<P>| {
                    let rests = |peer| peers.get(&peer).is_none_or(|it| !it.is_able());
                    let rests = copy.members.iter().any(|member| rests(member.peer));
                    copy.check.is_none() && (rests || copy.review_at <= now)
                };
                let Some(at) = length.copies.iter().position(is_over) else { return };
                gone = length.copies.remove(at).members.first().map(|member| member.peer);
            }
            // Its time grows with each turn, so that a slow one comes to its end.
            let time = turn(peers.get(&best).map_or(0, |peer| peer.turns.saturating_sub(1)));
            length.copies.push(Attempt::new(len, best, time, now));
            self.choose(best);
            gone.into_iter().for_each(|gone| self.dismiss(gone));
        }
    }

    /// Asks a member of a copy for as many pieces as it takes.
    pub(super) fn fill(&mut self, len: u32, id: P, now: Instant) {
        let length = self.lengths.get(&len);
        let copy = length.and_then(|length| length.copies.iter().find(|it| it.is_member(id)));
        let Some(copy) = copy.filter(|copy| copy.check.is_none()) else { return };
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.is_able()) else { return };
        let room = peer.room(now);
        if room == 0 {
            return;
        }
        let pieces = match copy.members.first() {
            Some(lead) if lead.peer == id => {
                let wanted = copy.missing().filter(|piece| !peer.is_asked(*piece));
                wanted.take(room).collect()
            }
            _ => helpers_pieces(copy, &self.peers, id, room),
        };
        if !pieces.is_empty()
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.ask(&pieces, now);
            self.outputs.push_back(Output::Ask { peer: id, pieces });
        }
    }
}

/// What a helper is asked for: from the end, first what no other is asked for.
fn helpers_pieces<P: Copy + Ord>(
    copy: &Attempt<P>,
    peers: &BTreeMap<P, Peer>,
    id: P,
    room: usize,
) -> Vec<u32> {
    let asks = |member: P, piece| peers.get(&member).is_some_and(|peer| peer.is_asked(piece));
    let others = copy.members.iter().map(|member| member.peer).filter(|member| *member != id);
    let mut wanted: Vec<(usize, u32)> = copy
        .missing()
        .rev()
        .filter(|piece| !asks(id, *piece))
        .map(|piece| (others.clone().filter(|other| asks(*other, piece)).count(), piece))
        .collect();
    wanted.sort_by_key(|(count, _)| *count);
    wanted.into_iter().take(room).map(|(_, piece)| piece).collect()
}

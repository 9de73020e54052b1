//! One copy of the metadata on its way: its pieces, who sent them, and who is asked for them.

use std::time::{Duration, Instant};

use crate::wire::metadata_piece_count;

use super::CheckId;

/// Peers that are asked for one copy.
pub(super) const MEMBERS_MAX: usize = 3;
/// The longest time between two looks at who brings how much.
const REVIEW_MAX: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
pub(super) struct Member<P> {
    pub(super) peer: P,
    /// Pieces since the last review.
    brought: u32,
}

#[derive(Debug)]
pub(super) struct Attempt<P> {
    /// Bytes of the whole.
    pub(super) len: u32,
    pieces: Vec<Option<Box<[u8]>>>,
    senders: Vec<Option<P>>,
    pub(super) missing: u32,
    /// Whoever is asked; the first one for everything.
    pub(super) members: Vec<Member<P>>,
    /// When it is decided anew who they are, if others wait.
    pub(super) review_at: Instant,
    interval: Duration,
    since: Instant,
    /// It is whole and being hashed; its pieces are there.
    pub(super) check: Option<CheckId>,
}

impl<P: Copy + Ord> Attempt<P> {
    /// An empty one, to be fetched from `lead`, who gets `patience` before others are asked.
    pub(super) fn new(len: u32, lead: P, patience: Duration, now: Instant) -> Self {
        // Eight bytes or so for 16 KiB: what is claimed costs nothing before it is there.
        let count = metadata_piece_count(len);
        Self {
            len,
            pieces: (0..count).map(|_| None).collect(),
            senders: vec![None; count as usize],
            missing: count,
            members: vec![Member { peer: lead, brought: 0 }],
            review_at: now + patience,
            interval: patience,
            since: now,
            check: None,
        }
    }

    pub(super) fn have_count(&self) -> u32 {
        metadata_piece_count(self.len) - self.missing
    }

    /// Bytes of its pieces that are here.
    pub(super) fn held_bytes(&self) -> usize {
        self.pieces.iter().flatten().map(|piece| piece.len()).sum()
    }

    pub(super) fn is_member(&self, peer: P) -> bool {
        self.members.iter().any(|member| member.peer == peer)
    }

    /// Pieces that are not here.
    pub(super) fn missing(&self) -> impl DoubleEndedIterator<Item = u32> {
        let is_absent =
            move |piece: &u32| self.pieces.get(*piece as usize).is_some_and(Option::is_none);
        (0..metadata_piece_count(self.len)).filter(is_absent)
    }

    /// Who sent most of it, if anybody did.
    pub(super) fn best_sender(&self, among: impl Fn(P) -> bool) -> Option<P> {
        let mut senders: Vec<P> = self.senders.iter().flatten().copied().collect();
        senders.retain(|sender| among(*sender));
        senders.sort_unstable();
        let most = senders.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
        most.and_then(|same| same.first().copied())
    }

    /// Keeps a piece; false when it is here already or there is none of this number.
    pub(super) fn put(&mut self, piece: u32, sender: P, bytes: Box<[u8]>) -> bool {
        let at = piece as usize;
        let Some(place) = self.pieces.get_mut(at).filter(|place| place.is_none()) else {
            return false;
        };
        *place = Some(bytes);
        self.senders[at] = Some(sender);
        self.missing -= 1;
        if let Some(member) = self.members.iter_mut().find(|member| member.peer == sender) {
            member.brought += 1;
        }
        true
    }

    /// It is whole: its pieces in order.
    pub(super) fn close(&mut self, check: CheckId) -> Vec<Box<[u8]>> {
        debug_assert!(self.missing == 0, "it is whole");
        self.check = Some(check);
        std::mem::take(&mut self.pieces).into_iter().flatten().collect()
    }

    pub(super) fn into_senders(self) -> Vec<P> {
        self.senders.into_iter().flatten().collect()
    }

    /// The lead is known to take longer than it was thought to.
    pub(super) fn be_patient(&mut self, patience: Duration) {
        if self.members.len() == 1 {
            self.review_at = self.review_at.max(self.since + patience);
        }
    }

    pub(super) fn add(&mut self, peer: P) {
        self.members.push(Member { peer, brought: 0 });
    }

    /// One member too many for those who wait: the one that brought least leaves, and the one
    /// that brought most is asked for everything.
    pub(super) fn dismiss_slowest(&mut self) -> Option<P> {
        let slowest = (0..self.members.len()).rev().min_by_key(|at| self.members[*at].brought)?;
        let gone = self.members.remove(slowest);
        if slowest == 0 {
            self.members.sort_by_key(|member| std::cmp::Reverse(member.brought));
        }
        Some(gone.peer)
    }

    /// Who they are was decided at `now`.
    pub(super) fn reviewed(&mut self, now: Instant) {
        self.members.iter_mut().for_each(|member| member.brought = 0);
        self.review_at = now + self.interval;
        self.interval = (self.interval * 2).min(REVIEW_MAX.max(self.interval));
    }
}

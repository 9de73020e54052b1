//! Metadata from peers and for peers (BEP 9): what to ask of whom, whom to believe, and what to
//! answer. Machines without I/O; nothing here knows a link, hashes anything, or reads what the
//! metadata says.
//!
//! Peers that claim the same length are asked for the same copy, those that claim another for
//! another one. One peer is asked for all of it, so that it alone is to blame; others help when
//! it takes its time. A wrong copy of several senders is fetched again from each of them alone,
//! which tells who lied.

mod attempt;
mod check;
mod course;
mod peer;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::base::digest::Sha1Hash;
use crate::wire::{METADATA_LEN_MAX, metadata_piece_count, metadata_piece_len};

pub use check::{Checked, Target};
pub use serve::{Serve, Served};

use attempt::Attempt;
use course::SOLO_MAX;
use peer::Peer;

/// Lengths that are fetched at the same time.
const OPEN_MAX: usize = 4;
/// For how long a length or a sole peer is tried while others wait; twice as long each time.
const TURN: Duration = Duration::from_secs(15);
/// Pieces or refusals that nobody asked for, until the link is closed (limits table).
const STRIKES_MAX: u32 = 50;
/// Wrong copies of which is remembered who sent what.
const WRONG_MAX: usize = 4;

/// Names one copy that is being hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CheckId(u64);

/// A fact for [`Seek::handle`]. Peers are named by whoever owns their links.
#[derive(Debug)]
pub enum Input<P> {
    /// A peer takes part in the metadata extension, and says how long the metadata is; none when
    /// it does not know either. Again whenever it tells of itself.
    Claimed {
        /// Who.
        peer: P,
        /// Bytes.
        len: Option<u32>,
    },
    /// A piece came.
    Data {
        /// From whom.
        peer: P,
        /// Its number.
        piece: u32,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
    /// A peer will not send a piece.
    Rejected {
        /// Who.
        peer: P,
        /// Its number.
        piece: u32,
    },
    /// A peer is gone, or has no part in the extension any more.
    Gone {
        /// Who.
        peer: P,
    },
    /// The answer to `Check`.
    Checked {
        /// Which copy.
        check: CheckId,
        /// What [`Target::check`] found.
        verdict: Checked,
    },
    /// So many bytes may be held from now on.
    Allowance(usize),
    /// The time named by `next_timeout` has come.
    Tick,
}

/// What to do, from [`Seek::poll_output`].
#[derive(PartialEq, Eq, Debug)]
pub enum Output<P> {
    /// Ask a peer for these pieces.
    Ask {
        /// Whom.
        peer: P,
        /// Their numbers.
        pieces: Vec<u32>,
    },
    /// Hash a whole copy ([`Target::check`]); answer with `Checked`. Whoever does keeps the
    /// bytes: when they are right, this is the metadata.
    Check {
        /// Which copy.
        check: CheckId,
        /// All its pieces, in order.
        pieces: Vec<Box<[u8]>>,
    },
    /// The peer sent false metadata: nothing is to be had from it. It may be gone already.
    Ban {
        /// Who.
        peer: P,
    },
    /// The peer keeps sending what nobody asked for: end its link.
    Close {
        /// Who.
        peer: P,
    },
    /// The copy that was checked last is the metadata. Nothing follows.
    Done,
}

/// How far it is, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Pieces that are here of the copy that is farthest.
    pub have: u32,
    /// Pieces that it has; 0 while nobody has told.
    pub pieces: u32,
    /// Peers that claim to have the metadata, of whatever length.
    pub holders: usize,
    /// Peers that seek it, too.
    pub seekers: usize,
}

/// How many bytes a search for metadata would hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appetite {
    /// With less, not every length that is claimed can be fetched.
    pub least: usize,
    /// More is of no use.
    pub most: usize,
}

impl Appetite {
    /// As long as nobody claims a length: that of 50,000 pieces is nothing uncommon.
    pub const UNKNOWN: Self = Self { least: 1 << 20, most: usize::MAX };
}

/// A copy that was wrong: who sent which piece, and what it was.
#[derive(Debug)]
struct Wrong<P> {
    senders: Vec<P>,
    digests: Vec<Sha1Hash>,
}

/// All that concerns one length that peers claim.
#[derive(Debug)]
struct Length<P> {
    /// When it was heard of first, in order.
    order: u64,
    /// How often it was tried in vain.
    turns: u32,
    /// While it is tried: until when, if others wait.
    turn_until: Option<Instant>,
    /// A copy of several senders was wrong: from now on each is asked alone.
    wrong: Option<Wrong<P>>,
    is_solo: bool,
    copies: Vec<Attempt<P>>,
}

/// Gathers the metadata of one torrent.
#[derive(Debug)]
pub struct Seek<P> {
    allowance: usize,
    peers: BTreeMap<P, Peer>,
    lengths: BTreeMap<u32, Length<P>>,
    outputs: VecDeque<Output<P>>,
    is_done: bool,
    /// Numbers for lengths and checks.
    next_number: u64,
}

impl<P: Copy + Ord + Debug> Seek<P> {
    /// One that may hold so many bytes of unproven metadata. A length beyond that is not fetched.
    pub fn new(allowance: usize) -> Self {
        Self {
            allowance,
            peers: BTreeMap::new(),
            lengths: BTreeMap::new(),
            outputs: VecDeque::new(),
            is_done: false,
            next_number: 0,
        }
    }

    /// Takes in one fact. Effects wait in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: Input<P>, now: Instant) {
        if self.is_done {
            return;
        }
        match input {
            Input::Claimed { peer, len } => self.on_claimed(peer, len, now),
            Input::Data { peer, piece, bytes } => return self.on_data(peer, piece, bytes, now),
            Input::Rejected { peer, piece } => self.on_rejected(peer, piece, now),
            Input::Gone { peer } => {
                self.peers.remove(&peer);
            }
            Input::Checked { check, verdict } => self.on_checked(check, verdict, now),
            Input::Allowance(bytes) => self.allowance = bytes,
            Input::Tick => self.peers.values_mut().for_each(|peer| peer.tick(now)),
        }
        self.plan(now);
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// When `Input::Tick` is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.is_done {
            return None;
        }
        let peers = self.peers.values().filter_map(Peer::next_timeout);
        let open = self.lengths.iter().filter(|(_, length)| length.is_open());
        let copies = open.clone().flat_map(|(len, it)| {
            let outsiders = self.outsiders(*len).next().is_some();
            let copies = it.copies.iter().filter(move |copy| outsiders && copy.check.is_none());
            copies.map(|copy| copy.review_at)
        });
        let is_waiting = self.waiting().next().is_some();
        let turns = open.filter_map(|(_, length)| length.turn_until.filter(|_| is_waiting));
        peers.chain(copies).chain(turns).min()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let copies = self.lengths.values().flat_map(|length| &length.copies);
        let best = copies.max_by_key(|copy| (copy.have_count(), copy.len));
        let holders = self.peers.values().filter(|peer| peer.claim().is_some()).count();
        Progress {
            have: best.map_or(0, Attempt::have_count),
            pieces: best.map_or(0, |copy| metadata_piece_count(copy.len)),
            holders,
            seekers: self.peers.len() - holders,
        }
    }

    /// What it would hold: for one copy of the longest that is claimed, and for all that may be
    /// fetched side by side.
    pub fn appetite(&self) -> Appetite {
        let mut lens: Vec<usize> = self.lengths.keys().map(|len| *len as usize).collect();
        lens.sort_unstable();
        let Some(least) = lens.last().copied() else { return Appetite::UNKNOWN };
        let most = lens.iter().rev().take(OPEN_MAX).sum::<usize>() * SOLO_MAX;
        Appetite { least, most }
    }

    /// Asserts that memory and requests are within their limits, and that nobody is asked who is
    /// not there or has not claimed to have the metadata. To be called by tests.
    ///
    /// # Panics
    /// When an invariant does not hold, with the invariant in words.
    pub fn check_invariants(&self, is_there: impl Fn(P) -> bool) {
        let stranger = self.peers.keys().find(|peer| !is_there(**peer));
        assert_eq!(stranger, None, "only peers that are there are asked");
        let wrong = self.peers.iter().find(|(_, peer)| !peer.is_asked_rightly());
        assert!(wrong.is_none(), "asked for what it does not claim, or too much: {wrong:?}");
        let copies = self.lengths.values().flat_map(|length| &length.copies);
        let (held, reserved) = (copies.map(Attempt::held_bytes).sum::<usize>(), self.reserved());
        let allowance = self.allowance;
        assert!(held <= reserved && reserved <= allowance, "{held} of {reserved} in {allowance}");
        let open = self.lengths.values().filter(|length| length.is_open()).count();
        assert!(open <= OPEN_MAX, "{open} lengths at a time");
    }

    /// Bytes that may be held for what is being fetched: never more than the allowance.
    fn reserved(&self) -> usize {
        let open = self.lengths.iter().filter(|(_, length)| length.is_open());
        open.map(|(len, length)| *len as usize * length.copies.len().max(1)).sum()
    }

    fn on_claimed(&mut self, peer: P, len: Option<u32>, now: Instant) {
        let len = len.filter(|len| (1..=METADATA_LEN_MAX).contains(len));
        let known = self.peers.entry(peer).or_insert_with(|| Peer::new(now));
        known.claims(len);
        let Some(len) = known.claim() else { return };
        if let std::collections::btree_map::Entry::Vacant(place) = self.lengths.entry(len) {
            place.insert(Length::new(self.next_number));
            self.next_number += 1;
        }
    }

    fn on_data(&mut self, peer: P, piece: u32, bytes: Box<[u8]>, now: Instant) {
        let Some(known) = self.peers.get_mut(&peer).filter(|peer| !peer.is_banned) else { return };
        let asked = known.answered(piece, now);
        let Some(len) = known.claim().filter(|_| asked) else { return self.strike(peer) };
        if metadata_piece_len(len, piece).map(|len| len as usize) != Some(bytes.len()) {
            known.refused(now);
            self.strike(peer);
            return self.plan(now);
        }
        let Some(length) = self.lengths.get_mut(&len) else { return };
        let is_solo = length.is_solo;
        let mut copies = length.copies.iter_mut();
        let Some(copy) = copies.find(|copy| !is_solo || copy.is_member(peer)) else { return };
        if copy.check.is_some() || !copy.put(piece, peer, bytes) {
            return self.fill(len, peer, now);
        }
        if !is_solo {
            copy.be_patient(known.patience());
        }
        if copy.missing > 0 {
            return self.fill(len, peer, now);
        }
        let check = CheckId(self.next_number);
        self.next_number += 1;
        let pieces = copy.close(check);
        for member in &copy.members {
            if let Some(member) = self.peers.get_mut(&member.peer) {
                member.excuse();
            }
        }
        self.outputs.push_back(Output::Check { check, pieces });
    }

    fn on_rejected(&mut self, peer: P, piece: u32, now: Instant) {
        let Some(known) = self.peers.get_mut(&peer).filter(|peer| !peer.is_banned) else { return };
        match known.answered(piece, now) {
            true => known.refused(now),
            false => self.strike(peer),
        }
    }

    fn strike(&mut self, peer: P) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.strikes += 1;
        if known.strikes == STRIKES_MAX + 1 {
            self.outputs.push_back(Output::Close { peer });
        }
    }

    fn on_checked(&mut self, check: CheckId, verdict: Checked, now: Instant) {
        let found = self.lengths.iter().find_map(|(len, length)| {
            let at = length.copies.iter().position(|copy| copy.check == Some(check))?;
            Some((*len, at))
        });
        let Some((len, at)) = found else { return };
        let Some(length) = self.lengths.get_mut(&len) else { return };
        let senders = length.copies.remove(at).into_senders();
        if verdict.is_right {
            return self.finish(len, &verdict.digests);
        }
        length.turn_until = Some(now + length.turn());
        let sole = senders.first().filter(|first| senders.iter().all(|sender| sender == *first));
        if let Some(sole) = sole.copied() {
            return self.ban(sole);
        }
        length.is_solo = true;
        length.wrong = Some(Wrong { senders, digests: verdict.digests });
        let wrong = self.lengths.iter().filter(|(_, length)| length.wrong.is_some());
        if wrong.clone().count() > WRONG_MAX {
            let others = wrong.filter(|(other, _)| **other != len);
            let oldest = others.min_by_key(|(_, length)| length.order).map(|(len, _)| *len);
            if let Some(oldest) = oldest.and_then(|oldest| self.lengths.get_mut(&oldest)) {
                oldest.wrong = None;
            }
        }
    }

    /// The metadata is known, and with it who sent something else for it.
    fn finish(&mut self, len: u32, digests: &[Sha1Hash]) {
        let wrong = self.lengths.get_mut(&len).and_then(|length| length.wrong.take());
        if let Some(Wrong { senders, digests: theirs }) = wrong {
            let pieces = senders.into_iter().zip(theirs.iter().zip(digests));
            let mut liars: Vec<P> =
                pieces.filter(|(_, (theirs, right))| theirs != right).map(|it| it.0).collect();
            liars.sort_unstable();
            liars.dedup();
            liars.into_iter().for_each(|liar| self.ban(liar));
        }
        self.is_done = true;
        self.lengths.clear();
        self.peers.clear();
        self.outputs.push_back(Output::Done);
    }

    fn ban(&mut self, peer: P) {
        if let Some(known) = self.peers.get_mut(&peer) {
            if known.is_banned {
                return;
            }
            known.is_banned = true;
            known.excuse();
        }
        self.outputs.push_back(Output::Ban { peer });
    }
}

impl<P> Length<P> {
    fn new(order: u64) -> Self {
        Self { order, turns: 0, turn_until: None, wrong: None, is_solo: false, copies: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.turn_until.is_some()
    }

    fn turn(&self) -> Duration {
        turn(self.turns)
    }

    /// It is given up for now.
    fn shut(&mut self) {
        self.turns += 1;
        self.turn_until = None;
        self.copies.clear();
    }

    fn is_checking(&self) -> bool {
        self.copies.iter().any(|copy| copy.check.is_some())
    }
}

/// How long the next turn takes after so many in vain.
fn turn(turns: u32) -> Duration {
    TURN.saturating_mul(1 << turns.min(10))
}

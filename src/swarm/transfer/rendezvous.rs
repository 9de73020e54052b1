//! Who of several leechers should fetch a piece first. All that are connected to each other
//! come to the same answer without a word: the one whose peer id, mixed with its run, gives
//! the highest number (rendezvous hashing). So they do not all ask one slow seed for the same
//! pieces, of which it would send each several times before anybody could tell. To those who
//! do not play by it, it looks like any choice at random among the rarest.

use std::time::{Duration, Instant};

use crate::base::ids::PeerId;
use crate::base::layout::PieceIndex;

use super::picker::Rank;
use super::trade::Trade;

/// Rivals that are reckoned with. Each is asked for its number for every piece looked at, and with
/// more of them only the first few pieces of each are any different.
const RIVALS_MAX: usize = 32;

/// When each rival has only so many pieces left that nobody has but seeds, it has most likely asked
/// for them: who helps now has a seed send them twice.
const LAST_EACH: u32 = 8;
/// How much longer they are left to the next in line: for as long as we take for half as many, at
/// least and at most this. Whom they belong to may be choked, and must not hold up the end.
const STEP_MIN: Duration = Duration::from_millis(200);
const STEP_MAX: Duration = Duration::from_secs(1);

/// The last pieces, which are left to those who come before us.
#[derive(Clone, Copy, Debug)]
struct Last {
    step: Duration,
    /// Those that at most so many others come before us for may be fetched.
    rank: usize,
    /// When that is one more.
    next: Instant,
}

/// The leechers that share the work, ourselves among them.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    ours: u64,
    rivals: Vec<u64>,
    /// Pieces that belong together: a run of neighbours is one's own as a whole.
    run_len: u32,
    last: Option<Last>,
}

impl Rendezvous {
    /// Ourselves alone, of a torrent with runs of so many pieces.
    pub fn new(ours: PeerId, run_len: u32) -> Self {
        Self { ours: key(ours), rivals: Vec::new(), run_len, last: None }
    }

    /// Is there anybody to share the work with?
    pub fn has_rivals(&self) -> bool {
        !self.rivals.is_empty()
    }

    /// Whether a piece that only seeds have is to be left to those who come before us, when there
    /// are `left` such pieces to begin, and a seed brings us one in `each`.
    pub fn leaves(&mut self, piece: PieceIndex, left: usize, each: Duration, now: Instant) -> bool {
        if left > self.rivals.len() * LAST_EACH as usize {
            self.last = None;
            return false;
        }
        let rank = self.rank(piece).0;
        if rank == 0 {
            return false;
        }
        let step = (each * LAST_EACH / 2).clamp(STEP_MIN, STEP_MAX);
        let last = self.last.get_or_insert(Last { step, rank: 0, next: now + step });
        rank > last.rank
    }

    /// When what was left to others may be fetched.
    pub fn next_step(&self) -> Option<Instant> {
        let last = self.last.filter(|last| last.rank < self.rivals.len());
        last.map(|last| last.next)
    }

    /// Goes on to what comes to us after others. Did it?
    pub fn step(&mut self, now: Instant) -> bool {
        let is_due = self.next_step().is_some_and(|next| next <= now);
        if let Some(last) = self.last.as_mut().filter(|_| is_due) {
            last.rank += 1;
            last.next = now + last.step;
        }
        is_due
    }

    /// From now on among ourselves and those of `peers` that lack something and want data.
    pub fn renew<'a>(&mut self, peers: impl Iterator<Item = &'a Trade>) {
        let fetches =
            |trade: &&Trade| trade.has_told() && !trade.is_seed() && !trade.is_upload_only();
        let rivals = peers.filter(fetches).take(RIVALS_MAX);
        self.rivals = rivals.map(Trade::rendezvous_key).collect();
    }

    /// How many others come before us for this piece, 0 when it is ours to fetch; and when it
    /// should have its turn. Whoever it belongs to begins at one end of what is theirs, and
    /// those who help, having nothing of their own left, at the other.
    pub fn rank(&self, piece: PieceIndex) -> Rank {
        let run = piece.number() / self.run_len;
        let score = |key: u64| mix(key ^ u64::from(run));
        let ours = score(self.ours);
        let before = self.rivals.iter().map(|rival| score(*rival)).filter(|rival| *rival > ours);
        let (count, highest) =
            before.fold((0, ours), |(count, highest), rival| (count + 1, highest.max(rival)));
        (count, if count == 0 { u64::MAX - ours } else { highest })
    }
}

/// A number for a peer id; the random half of it is at its end (BEP 20).
pub(super) fn key(peer_id: PeerId) -> u64 {
    peer_id.0.chunks(8).fold(0, |key, part| {
        let part = part.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        mix(key ^ part)
    })
}

/// The finisher of SplitMix64: every bit of the input moves every bit of the result.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;

    fn rendezvous(own: u8, all: u8) -> Rendezvous {
        let id = |number: u8| key(PeerId([number; 20]));
        let rivals = (0..all).filter(|other| *other != own).map(id).collect();
        Rendezvous { ours: id(own), rivals, run_len: 1, last: None }
    }

    #[test]
    fn all_agree_on_one_for_each_piece_and_the_work_is_even() {
        let layout = Layout::new(1000, 1).unwrap();
        let everybody: Vec<Rendezvous> = (0..10).map(|own| rendezvous(own, 10)).collect();
        let mut counts = [0; 10];
        for piece in layout.pieces() {
            let mut ranks: Vec<usize> = everybody.iter().map(|it| it.rank(piece).0).collect();
            counts[ranks.iter().position(|rank| *rank == 0).unwrap()] += 1;
            ranks.sort_unstable();
            assert!(ranks.iter().copied().eq(0..10), "{ranks:?}");
        }
        assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
    }

    #[test]
    fn who_owns_and_who_helps_begin_at_opposite_ends() {
        let layout = Layout::new(1000, 1).unwrap();
        let (owner, helper) = (rendezvous(0, 2), rendezvous(1, 2));
        let mut owned: Vec<_> = layout.pieces().filter(|piece| owner.rank(*piece).0 == 0).collect();
        owned.sort_by_key(|piece| owner.rank(*piece));
        assert!(owned.iter().rev().is_sorted_by_key(|piece| helper.rank(*piece)));
    }

    #[test]
    fn the_last_pieces_are_left_to_those_before_us_one_step_each() {
        let layout = Layout::new(1000, 1).unwrap();
        let (mut rendezvous, mut now) = (rendezvous(0, 4), Instant::now());
        let of_rank = |rendezvous: &Rendezvous, rank| {
            layout.pieces().find(|piece| rendezvous.rank(*piece).0 == rank).unwrap()
        };
        let (ours, second, third) =
            (of_rank(&rendezvous, 0), of_rank(&rendezvous, 1), of_rank(&rendezvous, 2));
        let each = Duration::from_millis(100);
        assert!(!rendezvous.leaves(third, 25, each, now), "many are left");
        assert!(!rendezvous.leaves(ours, 24, each, now) && rendezvous.next_step().is_none());
        assert!(rendezvous.leaves(second, 24, each, now));
        assert_eq!(rendezvous.next_step(), Some(now + each * 4));
        assert!(!rendezvous.step(now));
        now += each * 4;
        assert!(rendezvous.step(now) && !rendezvous.step(now), "once a step");
        assert!(
            !rendezvous.leaves(second, 24, each, now) && rendezvous.leaves(third, 24, each, now)
        );
        now += each * 4;
        assert!(rendezvous.step(now) && !rendezvous.leaves(third, 24, each, now));
        now += each * 4;
        assert!(rendezvous.step(now));
        assert_eq!(rendezvous.next_step(), None, "everything is anybody's");
    }

    #[test]
    fn neighbours_belong_to_one() {
        let layout = Layout::new(1000, 1).unwrap();
        let rendezvous = Rendezvous { run_len: 10, ..rendezvous(0, 4) };
        let ranks: Vec<Rank> = layout.pieces().map(|piece| rendezvous.rank(piece)).collect();
        assert!(ranks.chunks(10).all(|run| run.iter().all(|rank| *rank == run[0])));
        assert!(ranks.chunks(10).any(|run| run[0].0 != ranks[0].0));
    }

    #[test]
    fn one_alone_does_everything() {
        let layout = Layout::new(50, 1).unwrap();
        assert!(layout.pieces().all(|piece| rendezvous(3, 0).rank(piece).0 == 0));
    }
}

//! Which piece to begin next: the most urgent ones first, of those the rarest, ties at random, the
//! first few at random (BEP 3). It knows pieces and how many peers have each; it knows no blocks,
//! no links and no data. Pieces that are begun, verified or unwanted are not in it.
//!
//! The candidates of each grade of urgency stand in one array sorted by availability, so that one
//! more or one fewer peer of a piece is a swap at the border of its bucket. Whole bitfields only
//! mark the arrays stale; each is sorted again, by counting, at the next pick that looks at it.
//!
//! Of equally rare pieces that are short, neighbours are taken in runs: a disk writes (and later
//! reads) a MiB at once far cheaper than sixty-four places of it, and file systems keep a note of
//! each place.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::base::bitfield::Bitfield;
use crate::base::layout::{Layout, PieceIndex};
use crate::swarm::urgency::{GRADES, Urgency};

const ABSENT: u32 = u32::MAX;
/// Equally rare pieces of which the best ranked one is taken: with thirty rivals, one of so many
/// is ours in 98 of 100 picks.
const RANKED: usize = 128;
/// How far the end of a gap is looked for, in pieces.
const SLIDE_MAX: usize = 4096;
/// Bytes of a run of neighbours.
const RUN_LEN: u32 = 1 << 20;
/// A torrent has at least so many runs, or each piece is one: those who begin with it are not to
/// have all the same, and parts of the work that are whole runs are to be even (`rendezvous`).
const RUNS_MIN: u32 = 1024;

/// How many pieces of this torrent make a run of neighbours.
pub fn run_len(layout: &Layout) -> u32 {
    let long_enough = RUN_LEN / layout.piece_len().clamp(1, RUN_LEN);
    long_enough.min(layout.piece_count() / RUNS_MIN).max(1)
}

/// The pieces that a peer has, as far as the picker must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerPieces {
    /// Every piece; kept apart, since it changes no order and costs no memory.
    All,
    /// These.
    Some(Bitfield),
}

impl PeerPieces {
    /// Does the peer have the piece?
    #[inline]
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(set) => set.has(piece),
        }
    }

    /// How many pieces the peer has, out of `piece_count`.
    pub fn count(&self, piece_count: u32) -> u32 {
        match self {
            Self::All => piece_count,
            Self::Some(set) => set.ones(),
        }
    }

    /// The peer turned out to lack the piece.
    pub fn remove(&mut self, piece: PieceIndex, piece_count: u32) {
        if *self == Self::All {
            *self = Self::Some(Bitfield::all(piece_count));
        }
        if let Self::Some(set) = self {
            set.remove(piece);
        }
    }
}

/// What decides among equally rare pieces: how many others come before us for it, and when in
/// that order. The lowest is the best.
pub type Rank = (usize, u64);

/// How the next piece is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Any piece: before the first few are there, something to trade matters most.
    Random,
    /// The rarest one.
    RarestFirst,
    /// The first one, for those who watch while it loads.
    Sequential,
}

/// The pieces of one grade that may be begun, by rarity.
#[derive(Debug, Default)]
struct Grade {
    /// Ascending by availability, unless stale.
    sorted: Vec<u32>,
    /// `ends[a]`: one past the last of the pieces with availability `a` or less.
    ends: Vec<u32>,
    is_fresh: bool,
    /// No piece before this one may be begun.
    lowest: u32,
}

/// The pieces that may be begun, by urgency and rarity.
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    urgency: Urgency,
    /// Peers that have the piece, those with everything not counted.
    availability: Vec<u16>,
    seeds: u32,
    grades: [Grade; GRADES],
    /// How many stand in all of them.
    count: u32,
    /// Where a piece stands in its grade, or `ABSENT`.
    position: Vec<u32>,
    generation: u64,
    /// Pieces of a run.
    run_len: u32,
    /// What was picked last by rarity, and the availability that it had.
    last: Option<(u32, u16)>,
    /// Servers fetch gaps from their beginnings.
    toward_ends: bool,
}

impl Picker {
    /// A picker that may begin the pieces in `pickable`, all of them alike urgent.
    pub fn new(layout: Layout, pickable: &Bitfield) -> Self {
        let mut picker = Self {
            layout,
            urgency: Urgency::default(),
            availability: vec![0; layout.piece_count() as usize],
            seeds: 0,
            grades: Default::default(),
            count: 0,
            position: vec![ABSENT; layout.piece_count() as usize],
            generation: 0,
            run_len: run_len(&layout),
            last: None,
            toward_ends: false,
        };
        pickable.iter_ones().for_each(|number| picker.put(number));
        picker
    }

    /// Pieces are so urgent from now on. Costs a pass over those that may be begun.
    pub fn set_urgency(&mut self, urgency: Urgency) {
        if urgency == self.urgency {
            return;
        }
        self.urgency = urgency;
        let before = std::mem::take(&mut self.grades);
        (self.count, self.last) = (0, None);
        before.iter().flat_map(|grade| &grade.sorted).for_each(|number| self.put(*number));
    }

    /// The grades of which pieces may be begun, the most urgent first.
    pub fn grades(&self) -> impl Iterator<Item = usize> + use<> {
        let is_there = self.grades.each_ref().map(|grade| !grade.sorted.is_empty());
        (0..GRADES).filter(move |grade| is_there[*grade])
    }

    /// The grade of the piece with this number.
    pub fn grade(&self, number: u32) -> usize {
        self.urgency.grade(number)
    }

    fn put(&mut self, number: u32) {
        let grade = &mut self.grades[self.urgency.grade(number)];
        self.position[number as usize] = grade.sorted.len() as u32;
        grade.sorted.push(number);
        grade.is_fresh = false;
        grade.lowest = grade.lowest.min(number);
        self.count += 1;
    }

    /// Whether servers of files fetch gaps from their beginnings: then equally rare pieces are
    /// taken from the ends, so that gaps stay long and both meet late (BEP 19).
    pub fn set_toward_ends(&mut self, toward_ends: bool) {
        self.toward_ends = toward_ends;
    }

    /// Grows whenever a piece may be begun that could not be before. As long as it stands,
    /// a peer for which nothing was found need not be looked at again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many pieces may be begun.
    pub fn pickable_count(&self) -> u32 {
        self.count
    }

    /// May this piece be begun?
    pub fn is_pickable(&self, piece: PieceIndex) -> bool {
        self.position[piece.index()] != ABSENT
    }

    /// May the piece with this number be begun? None that does not exist may.
    pub fn is_free(&self, number: u32) -> bool {
        self.position.get(number as usize).is_some_and(|at| *at != ABSENT)
    }

    /// Has a connected peer the piece with this number?
    pub fn is_at_hand(&self, number: u32) -> bool {
        self.seeds > 0 || self.availability.get(number as usize).is_some_and(|count| *count > 0)
    }

    /// How many connected peers have the piece.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.availability[piece.index()])
    }

    /// How many pieces as urgent as this one may be begun and nobody has them but seeds, if it is
    /// one of them. As of the last pick by rarity.
    pub fn left_at_seeds(&self, piece: PieceIndex) -> Option<usize> {
        let is_rare = self.availability[piece.index()] == 0;
        let grade = &self.grades[self.urgency.grade(piece.number())];
        is_rare.then(|| grade.ends.first().map_or(0, |end| *end as usize))
    }

    /// A peer with these pieces is there.
    pub fn peer_came(&mut self, pieces: &PeerPieces) {
        self.count_peer(pieces, |count| *count = count.saturating_add(1), 1);
    }

    /// A peer with these pieces is gone.
    pub fn peer_left(&mut self, pieces: &PeerPieces) {
        self.count_peer(pieces, |count| *count = count.saturating_sub(1), -1);
    }

    fn count_peer(&mut self, pieces: &PeerPieces, step: impl Fn(&mut u16), seeds: i32) {
        match pieces {
            PeerPieces::All => self.seeds = self.seeds.saturating_add_signed(seeds),
            PeerPieces::Some(set) if set.ones() == 0 => {}
            PeerPieces::Some(set) => {
                set.iter_ones().for_each(|piece| step(&mut self.availability[piece as usize]));
                self.grades.iter_mut().for_each(|grade| grade.is_fresh = false);
            }
        }
    }

    /// A peer that was counted by its set has one piece more.
    pub fn peer_gained(&mut self, piece: PieceIndex) {
        let index = piece.index();
        let bucket = usize::from(self.availability[index]);
        self.availability[index] = self.availability[index].saturating_add(1);
        let grade = &mut self.grades[self.urgency.grade(piece.number())];
        if !grade.is_fresh || self.position[index] == ABSENT {
            return;
        }
        // The last of its bucket becomes the first of the next one.
        let (at, last) = (self.position[index], grade.ends[bucket] - 1);
        grade.swap(&mut self.position, at, last);
        grade.ends[bucket] = last;
        if grade.ends.len() <= bucket + 1 {
            grade.ends.push(grade.sorted.len() as u32);
        }
    }

    /// A peer that was counted by its old pieces has others now. Costs what differs, unless that
    /// is much or some are gone: then all is sorted anew at the next pick.
    pub fn peer_changed(&mut self, old: &PeerPieces, new: &PeerPieces) {
        let (PeerPieces::Some(old), PeerPieces::Some(new)) = (old, new) else {
            if old != new {
                self.peer_left(old);
                self.peer_came(new);
            }
            return;
        };
        let (gained, lost) = (new.minus(old), old.minus(new));
        self.peer_left(&PeerPieces::Some(lost));
        if gained.ones() > gained.piece_count() / 16 {
            return self.peer_came(&PeerPieces::Some(gained));
        }
        for number in gained.iter_ones() {
            if let Some(piece) = self.layout.piece(number) {
                self.peer_gained(piece);
            }
        }
    }

    /// The piece must not be begun any more: it is begun, verified or unwanted.
    pub fn remove(&mut self, piece: PieceIndex) {
        let mut hole = self.position[piece.index()];
        if hole == ABSENT {
            return;
        }
        let grade = &mut self.grades[self.urgency.grade(piece.number())];
        if grade.is_fresh {
            // The hole moves up through the ends of all buckets above.
            for bucket in usize::from(self.availability[piece.index()])..grade.ends.len() {
                let last = grade.ends[bucket] - 1;
                grade.swap(&mut self.position, hole, last);
                grade.ends[bucket] = last;
                hole = last;
            }
        }
        let last = grade.sorted.len() as u32 - 1;
        grade.swap(&mut self.position, hole, last);
        grade.sorted.pop();
        self.count -= 1;
        self.position[piece.index()] = ABSENT;
    }

    /// The piece may be begun (again).
    pub fn insert(&mut self, piece: PieceIndex) {
        if self.position[piece.index()] == ABSENT {
            self.put(piece.number());
            self.generation += 1;
        }
    }

    /// The next piece to begin from a peer with these pieces; none when it has nothing that
    /// may be begun. Of the most urgent ones that are equally rare it is the neighbour of what was
    /// picked last, or the first of a run: that with the lowest `rank` of a few chosen at random,
    /// or any. The caller removes the piece when it begins it.
    pub fn pick(
        &mut self,
        pieces: &PeerPieces,
        order: Order,
        rank: Option<impl Fn(PieceIndex) -> Rank>,
        rng: &mut StdRng,
    ) -> Option<PieceIndex> {
        let mut grades = self.grades();
        let number = grades.find_map(|at| self.pick_of(at, pieces, order, rank.as_ref(), rng))?;
        self.layout.piece(number)
    }

    /// The same of those of one grade, of which there are some.
    fn pick_of(
        &mut self,
        at: usize,
        pieces: &PeerPieces,
        order: Order,
        rank: Option<&impl Fn(PieceIndex) -> Rank>,
        rng: &mut StdRng,
    ) -> Option<u32> {
        let count = self.grades[at].sorted.len();
        match order {
            Order::Sequential => self.first_in_order(at, pieces),
            Order::Random => {
                let from = rng.random_range(0..count);
                let sorted = &self.grades[at].sorted;
                self.scan(pieces, &sorted[from..]).or_else(|| self.scan(pieces, &sorted[..from]))
            }
            Order::RarestFirst => {
                self.grades[at].sort(&self.availability, &mut self.position, rng);
                match pieces {
                    // A peer with few pieces: its own list is shorter than ours.
                    PeerPieces::Some(set) if (set.ones() as usize) < count / 16 => {
                        self.rarest_of(at, set)
                    }
                    _ => self.equally_rare(at, pieces, rank, rng),
                }
            }
        }
    }

    /// What was picked last is left to others; was it part of a run? Another pick finds another.
    pub fn leave_run(&mut self) -> bool {
        self.run_len > 1 && self.last.take().is_some()
    }

    /// One of the rarest of a grade, of which a run goes on or begins.
    fn equally_rare(
        &mut self,
        at: usize,
        pieces: &PeerPieces,
        rank: Option<&impl Fn(PieceIndex) -> Rank>,
        rng: &mut StdRng,
    ) -> Option<u32> {
        let grade = &self.grades[at];
        let first = self.scan(pieces, &grade.sorted[grade.first_of(pieces)..])?;
        let rarity = self.availability[first as usize];
        let fits = |number: u32| {
            self.position.get(number as usize).is_some_and(|at| *at != ABSENT)
                && self.availability[number as usize] == rarity
                && self.urgency.grade(number) == at
                && self.peer_has(pieces, number)
        };
        // After a piece that another leecher has, the next one may still be only the seed's, and
        // that leecher's to fetch.
        let last = self.last.filter(|(_, last_rarity)| *last_rarity == rarity);
        let next = last.map(|(last, _)| last + 1);
        let goes_on = next.filter(|next| next % self.run_len != 0 && fits(*next));
        let number = goes_on.unwrap_or_else(|| {
            let mut chosen = self.best_ranked(grade, pieces, first, rank, rng);
            if self.toward_ends && rank.is_none() {
                let row = (chosen + 1..).take(SLIDE_MAX).take_while(|next| fits(*next));
                chosen = row.last().unwrap_or(chosen);
            }
            let ranked = self.layout.piece(chosen).zip(rank);
            match ranked.is_none_or(|(piece, rank)| rank(piece).0 == 0) {
                true => (chosen - chosen % self.run_len..chosen).find(|it| fits(*it)),
                // Whose run it is begins with its first piece.
                false => None,
            }
            .unwrap_or(chosen)
        });
        self.last = Some((number, rarity));
        Some(number)
    }

    /// Of those that are as rare as the `first` one.
    fn best_ranked(
        &self,
        grade: &Grade,
        pieces: &PeerPieces,
        first: u32,
        rank: Option<&impl Fn(PieceIndex) -> Rank>,
        rng: &mut StdRng,
    ) -> u32 {
        let begin = self.position[first as usize];
        let bucket = usize::from(self.availability[first as usize]);
        let end = grade.ends.get(bucket).copied().unwrap_or(begin + 1);
        let from = rng.random_range(begin..end.max(begin + 1));
        let round = (from..end).chain(begin..from);
        let mut pieces_here = round
            .map(|at| grade.sorted[at as usize])
            .filter(|number| self.peer_has(pieces, *number))
            .filter_map(|number| self.layout.piece(number));
        let best = match rank {
            Some(rank) => pieces_here.take(RANKED).min_by_key(|piece| rank(*piece)),
            None => pieces_here.next(),
        };
        best.map_or(first, PieceIndex::number)
    }

    fn scan(&self, pieces: &PeerPieces, numbers: &[u32]) -> Option<u32> {
        numbers.iter().copied().find(|number| self.peer_has(pieces, *number))
    }

    fn peer_has(&self, pieces: &PeerPieces, number: u32) -> bool {
        self.layout.piece(number).is_some_and(|piece| pieces.has(piece))
    }

    fn rarest_of(&self, at: usize, set: &Bitfield) -> Option<u32> {
        let of_grade = set.iter_ones().filter(|number| self.urgency.grade(*number) == at);
        let places = of_grade.map(|number| self.position[number as usize]);
        let first = places.filter(|at| *at != ABSENT).min()?;
        Some(self.grades[at].sorted[first as usize])
    }

    fn first_in_order(&mut self, at: usize, pieces: &PeerPieces) -> Option<u32> {
        let (position, urgency) = (&self.position, &self.urgency);
        let is_of =
            |number: &u32| position[*number as usize] != ABSENT && urgency.grade(*number) == at;
        let grade = &mut self.grades[at];
        grade.lowest = (grade.lowest..position.len() as u32).find(is_of)?;
        match pieces {
            PeerPieces::All => Some(grade.lowest),
            PeerPieces::Some(set) => set.iter_ones_from(grade.lowest).find(is_of),
        }
    }
}

impl Grade {
    /// Where in the order the pieces begin that such a peer may have: those that nobody has but
    /// peers with everything are not among them.
    fn first_of(&self, pieces: &PeerPieces) -> usize {
        match pieces {
            PeerPieces::All => 0,
            PeerPieces::Some(_) => self.ends.first().copied().unwrap_or(0) as usize,
        }
    }

    /// Sorts by counting; the order within a bucket is random.
    fn sort(&mut self, availability: &[u16], position: &mut [u32], rng: &mut (impl Rng + ?Sized)) {
        if self.is_fresh {
            return;
        }
        self.sorted.shuffle(rng);
        let of = |piece: &u32| usize::from(availability[*piece as usize]);
        let highest = self.sorted.iter().map(of).max().unwrap_or(0);
        let mut ends = vec![0; highest + 1];
        self.sorted.iter().for_each(|piece| ends[of(piece)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut next = ends.clone();
        let mut sorted = vec![0; self.sorted.len()];
        for piece in &self.sorted {
            let slot = &mut next[of(piece)];
            *slot -= 1;
            sorted[*slot as usize] = *piece;
            position[*piece as usize] = *slot;
        }
        self.sorted = sorted;
        self.ends = ends;
        self.is_fresh = true;
    }

    fn swap(&mut self, position: &mut [u32], a: u32, b: u32) {
        self.sorted.swap(a as usize, b as usize);
        position[self.sorted[a as usize] as usize] = a;
        position[self.sorted[b as usize] as usize] = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;

    use proptest::prelude::*;
    use rand::SeedableRng;

    use crate::base::extents::Extents;
    use crate::base::file_priority::FilePriority;

    const NOBODY: Option<fn(PieceIndex) -> Rank> = None;

    fn layout(count: u32) -> Layout {
        Layout::new(u64::from(count) * 16384, 16384).unwrap()
    }

    fn set(count: u32, ones: &[u32]) -> PeerPieces {
        let mut set = Bitfield::none(count);
        ones.iter().for_each(|one| {
            set.insert(layout(count).piece(*one).unwrap());
        });
        PeerPieces::Some(set)
    }

    /// BEP 3: "Downloaders generally download pieces in random order"; rarest first is what
    /// every client does today.
    #[test]
    fn the_rarest_piece_that_the_peer_has_comes_first() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut picker = Picker::new(layout(4), &Bitfield::all(4));
        picker.peer_came(&set(4, &[0, 1, 2]));
        picker.peer_came(&set(4, &[0, 1]));
        picker.peer_came(&set(4, &[0]));
        let order = Order::RarestFirst;
        let mut pick = |picker: &mut Picker, pieces: &PeerPieces| {
            picker.pick(pieces, order, NOBODY, &mut rng).map(PieceIndex::number)
        };
        assert_eq!(pick(&mut picker, &PeerPieces::All), Some(3));
        assert_eq!(pick(&mut picker, &set(4, &[0, 1, 2])), Some(2));
        assert_eq!(pick(&mut picker, &set(4, &[0, 1])), Some(1));
        picker.remove(layout(4).piece(1).unwrap());
        assert_eq!(pick(&mut picker, &set(4, &[0, 1])), Some(0));
        assert_eq!(pick(&mut picker, &set(4, &[1])), None);
    }

    /// BEP 19: peers and servers of files are not to break up each other's gaps.
    #[test]
    fn beside_servers_gaps_are_taken_from_their_ends() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut picker = Picker::new(layout(100), &Bitfield::all(100));
        picker.set_toward_ends(true);
        for expected in (70..100).rev() {
            let picked = picker.pick(&PeerPieces::All, Order::RarestFirst, NOBODY, &mut rng);
            assert_eq!(picked.map(PieceIndex::number), Some(expected));
            picker.remove(picked.unwrap());
        }
        picker.remove(layout(100).piece(50).unwrap());
        let mut ends = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let picked = picker.pick(&PeerPieces::All, Order::RarestFirst, NOBODY, &mut rng);
            ends.extend(picked.map(PieceIndex::number));
        }
        assert_eq!(ends, [49, 69].into());
    }

    #[test]
    fn ties_are_broken_at_random() {
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut picker = Picker::new(layout(8), &Bitfield::all(8));
            firsts.insert(picker.pick(&PeerPieces::All, Order::RarestFirst, NOBODY, &mut rng));
        }
        assert!(firsts.len() > 4, "{firsts:?}");
    }

    #[test]
    fn short_pieces_come_in_runs_that_begin_anywhere_and_are_never_commoner() {
        const COUNT: u32 = RUNS_MIN * 8;
        let mut begun = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut picker = Picker::new(layout(COUNT), &Bitfield::all(COUNT));
            picker.peer_came(&PeerPieces::All);
            let mut pick = |picker: &mut Picker| {
                let order = Order::RarestFirst;
                let piece = picker.pick(&PeerPieces::All, order, NOBODY, &mut rng).unwrap();
                picker.remove(piece);
                piece.number()
            };
            let run: Vec<u32> = (0..8).map(|_| pick(&mut picker)).collect();
            assert!(run[0].is_multiple_of(8), "from the beginning of a run: {run:?}");
            assert!(run.windows(2).all(|two| two[0] + 1 == two[1]), "{run:?}");
            begun.insert(run[0]);
            let next = pick(&mut picker);
            assert!(next.is_multiple_of(8) && next != run[0], "another run");
            // One that is rarer comes before the rest of the run, which is left as it is then.
            let rare = (next + 100) % COUNT;
            let others: Vec<u32> = (0..COUNT).filter(|number| *number != rare).collect();
            picker.peer_came(&set(COUNT, &others));
            assert_eq!(pick(&mut picker), rare);
        }
        assert!(begun.len() > 20, "{begun:?}");
    }

    #[test]
    fn a_run_is_a_mebibyte_and_a_torrent_has_many() {
        let run =
            |pieces: u64, len: u32| run_len(&Layout::new(pieces * u64::from(len), len).unwrap());
        assert_eq!(
            (run(100_000, 16 << 10), run(100_000, 256 << 10), run(9000, 1 << 20)),
            (64, 4, 1)
        );
        assert_eq!((run(9000, 16 << 20), run(8, 16 << 10), run(10_240, 16 << 10)), (1, 1, 10));
    }

    #[test]
    fn sequential_takes_the_first_that_the_peer_has() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut picker = Picker::new(layout(6), &Bitfield::all(6));
        let pick = picker.pick(&set(6, &[5, 2, 3]), Order::Sequential, NOBODY, &mut rng);
        assert_eq!(pick.map(PieceIndex::number), Some(2));
    }

    fn is_fresh(picker: &Picker) -> bool {
        picker.grades().all(|at| picker.grades[at].is_fresh)
    }

    #[test]
    fn a_set_that_grows_a_little_sorts_nothing_anew() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut picker = Picker::new(layout(64), &Bitfield::all(64));
        let old = set(64, &[0, 1, 2]);
        picker.peer_came(&old);
        picker.pick(&PeerPieces::All, Order::RarestFirst, NOBODY, &mut rng);
        let new = set(64, &[0, 1, 2, 3, 4]);
        picker.peer_changed(&old, &new);
        assert!(is_fresh(&picker));
        picker.peer_changed(&new, &new.clone());
        assert!(is_fresh(&picker));
        picker.peer_changed(&new, &old);
        assert!(!is_fresh(&picker));
    }

    /// Of files of one piece each.
    fn urgency(count: u32, priorities: &[FilePriority]) -> Urgency {
        let extents = Extents::new((0..count).map(|_| (16384, false)));
        Urgency::of(&layout(count), &extents, priorities, false)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Came(Vec<u32>),
        Left,
        Gained(u32),
        Changed(Vec<u32>),
        Remove(u32),
        Insert(u32),
        Pick(Vec<u32>),
        Urgent(Vec<FilePriority>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let some = || proptest::collection::vec(0u32..40, 0..40);
        let priority = prop_oneof![
            Just(FilePriority::Low),
            Just(FilePriority::Normal),
            Just(FilePriority::High)
        ];
        let step = prop_oneof![
            proptest::collection::vec(priority, 40).prop_map(Step::Urgent),
            some().prop_map(Step::Came),
            Just(Step::Left),
            (0u32..40).prop_map(Step::Gained),
            some().prop_map(Step::Changed),
            (0u32..40).prop_map(Step::Remove),
            (0u32..40).prop_map(Step::Insert),
            some().prop_map(Step::Pick),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        /// Against a slow, obvious model: what is picked is pickable, the peer has it, and
        /// nothing that the peer has and may be begun is more urgent, or as urgent and rarer.
        #[test]
        fn picks_agree_with_an_obvious_model(steps in steps(), seed in 0u64..1000) {
            const COUNT: u32 = 40;
            let mut rng = StdRng::seed_from_u64(seed);
            let at = |number: u32| layout(COUNT).piece(number).unwrap();
            let mut picker = Picker::new(layout(COUNT), &Bitfield::all(COUNT));
            picker.run_len = 4;
            let mut pickable: Vec<bool> = vec![true; COUNT as usize];
            let mut peers: Vec<Bitfield> = Vec::new();
            let mut priorities = vec![FilePriority::Normal; COUNT as usize];
            for step in steps {
                match step {
                    Step::Urgent(told) => {
                        priorities = told;
                        picker.set_urgency(urgency(COUNT, &priorities));
                    }
                    Step::Came(ones) => {
                        let PeerPieces::Some(set) = set(COUNT, &ones) else { unreachable!() };
                        picker.peer_came(&PeerPieces::Some(set.clone()));
                        peers.push(set);
                    }
                    Step::Left => {
                        if let Some(set) = peers.pop() {
                            picker.peer_left(&PeerPieces::Some(set));
                        }
                    }
                    Step::Gained(number) => {
                        if let Some(set) = peers.last_mut() && set.insert(at(number)) {
                            picker.peer_gained(at(number));
                        }
                    }
                    Step::Changed(ones) => {
                        let PeerPieces::Some(new) = set(COUNT, &ones) else { unreachable!() };
                        if let Some(old) = peers.last_mut() {
                            let old = PeerPieces::Some(std::mem::replace(old, new.clone()));
                            picker.peer_changed(&old, &PeerPieces::Some(new));
                        }
                    }
                    Step::Remove(number) => {
                        picker.remove(at(number));
                        pickable[number as usize] = false;
                    }
                    Step::Insert(number) => {
                        picker.insert(at(number));
                        pickable[number as usize] = true;
                    }
                    Step::Pick(ones) => {
                        // A peer is counted before anything is picked for it; and here by the
                        // way that leaves the order as it is.
                        let mut whose = Bitfield::none(COUNT);
                        picker.peer_came(&PeerPieces::Some(whose.clone()));
                        for number in ones {
                            if whose.insert(at(number)) {
                                picker.peer_gained(at(number));
                            }
                        }
                        peers.push(whose.clone());
                        let pieces = PeerPieces::Some(whose);
                        let urgency = |number: u32| Reverse(priorities[number as usize]);
                        let rarity = |number: u32| {
                            peers.iter().filter(|set| set.has(at(number))).count()
                        };
                        let rank = |number: u32| (urgency(number), rarity(number));
                        let fit = || {
                            (0..COUNT).filter(|n| pickable[*n as usize] && pieces.has(at(*n)))
                        };
                        let best = fit().map(rank).min();
                        let picked = picker.pick(&pieces, Order::RarestFirst, NOBODY, &mut rng);
                        prop_assert_eq!(picked.map(|piece| rank(piece.number())), best);
                        if let Some(piece) = picked {
                            prop_assert!(pickable[piece.index()] && pieces.has(piece));
                        }
                        let any = picker.pick(&pieces, Order::Random, NOBODY, &mut rng);
                        let any = any.map(|piece| urgency(piece.number()));
                        prop_assert_eq!(any, best.map(|(urgency, _)| urgency));
                        let first = fit().min_by_key(|number| (urgency(*number), *number));
                        let next = picker.pick(&pieces, Order::Sequential, NOBODY, &mut rng);
                        prop_assert_eq!(next.map(PieceIndex::number), first);
                        let count = pickable.iter().filter(|it| **it).count() as u32;
                        prop_assert_eq!(picker.pickable_count(), count);
                    }
                }
            }
        }
    }
}

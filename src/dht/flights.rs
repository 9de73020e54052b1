//! Queries under way: which reply belongs to which, when one stops counting and when it is lost.
//! Not here: what a query is for. Sources: BEP 5; the stall is mldht's (`Task.java`): the time in
//! which nine of ten answer, measured here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;

use super::id::NodeId;

/// Queries under way at most: more than 8 s of all that the flow budget lets out.
pub const PENDING_MAX: usize = 2_048;
/// How long a reply is welcome (mldht waits 10 s, libtorrent 15 s).
pub const REPLY_WAIT: Duration = Duration::from_secs(8);
/// A query never stalls sooner: a busy host on the same continent takes that long.
const STALL_MIN: Duration = Duration::from_millis(150);
/// Nor later: what takes longer is mostly dead.
const STALL_MAX: Duration = Duration::from_secs(1);
/// Added to the fastest tenth, for nets in which all are equally near.
const STALL_MARGIN: Duration = Duration::from_millis(100);
/// Width of one column of the histogram.
const COLUMN: Duration = Duration::from_millis(10);
/// Columns, the last for all that took longer.
const COLUMNS: usize = 101;
/// Replies after which all columns are halved, so that a change of the line is noticed.
const REPLIES_KEPT: u32 = 512;
/// Round trips that are believed before any was measured, in columns: a wide guess at the net
/// (the design's model: median 120 ms), outweighed by the first twenty replies.
const GUESS: [usize; 5] = [4, 8, 12, 20, 40];

/// One query under way, and what it is for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flight<P> {
    /// Whom it went to.
    pub to: SocketAddr,
    /// The name that he was told to have; none when nobody said.
    pub expected: Option<NodeId>,
    /// What it is for.
    pub purpose: P,
    /// When it left.
    pub sent: Instant,
    /// Whether it was reported as stalled.
    pub is_stalled: bool,
    /// Its transaction id.
    pub tid: [u8; 4],
    /// Whether it was sent once more.
    pub is_repeated: bool,
}

/// What became of a query without a reply.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Late<P> {
    /// It takes longer than nine of ten: it no longer counts, its reply would.
    Stalled(Flight<P>),
    /// No reply will be taken any more.
    Lost(Flight<P>),
}

/// All queries under way.
#[derive(Debug)]
pub struct Flights<P> {
    /// By transaction id.
    pending: Vec<(u32, Flight<P>)>,
    stalls: BinaryHeap<Reverse<(Instant, u32)>>,
    /// In the order in which they left.
    ends: VecDeque<(Instant, u32)>,
    round_trips: RoundTrips,
}

impl<P> Default for Flights<P> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            stalls: BinaryHeap::new(),
            ends: VecDeque::new(),
            round_trips: RoundTrips::new(),
        }
    }
}

impl<P: Copy> Flights<P> {
    /// Notes a query that leaves now; the transaction id it must carry. Four random bytes:
    /// mainline drops any other length, jech's dht those of 16 and more, and nobody off the path
    /// guesses them. None when [`PENDING_MAX`] are under way.
    pub fn start(
        &mut self,
        to: SocketAddr,
        expected: Option<NodeId>,
        purpose: P,
        now: Instant,
        rng: &mut StdRng,
    ) -> Option<[u8; 4]> {
        if self.pending.len() >= PENDING_MAX {
            return None;
        }
        let (tid, at) = loop {
            let tid = rng.next_u32();
            if let Err(at) = self.find(tid) {
                break (tid, at);
            }
        };
        let (is_stalled, is_repeated, bytes) = (false, false, tid.to_be_bytes());
        let flight =
            Flight { to, expected, purpose, sent: now, is_stalled, tid: bytes, is_repeated };
        self.pending.insert(at, (tid, flight));
        self.stalls.push(Reverse((now + self.round_trips.stall(), tid)));
        self.ends.push_back((now + REPLY_WAIT, tid));
        Some(bytes)
    }

    /// Notes that a query leaves once more, under the same id, so that its receiver may answer to
    /// either; false when that was done already, or nobody waits for it any more.
    pub fn repeat(&mut self, tid: [u8; 4], now: Instant) -> bool {
        let until = now + self.round_trips.stall();
        let found = self.find(u32::from_be_bytes(tid)).ok();
        let is_first = found.is_some_and(|at| !self.pending[at].1.is_repeated);
        if let Some(at) = found.filter(|_| is_first) {
            self.pending[at].1.is_repeated = true;
            self.wait(at, until);
        }
        is_first
    }

    /// One that was reported as stalled is reported again at this time.
    pub fn postpone(&mut self, tid: [u8; 4], until: Instant) {
        if let Ok(at) = self.find(u32::from_be_bytes(tid)) {
            self.wait(at, until);
        }
    }

    fn wait(&mut self, at: usize, until: Instant) {
        self.pending[at].1.is_stalled = false;
        self.stalls.push(Reverse((until, self.pending[at].0)));
    }

    /// Takes the query that a reply or an error from `from` belongs to; none if there is none,
    /// or it went to another address or port. Its time counts for the next stalls.
    pub fn land(&mut self, tid: &[u8], from: SocketAddr, now: Instant) -> Option<Flight<P>> {
        let tid = u32::from_be_bytes(tid.try_into().ok()?);
        let at = self.find(tid).ok()?;
        if self.pending[at].1.to != from {
            return None;
        }
        let (_, flight) = self.pending.remove(at);
        // Nobody knows which of two datagrams was answered.
        if !flight.is_repeated {
            self.round_trips.note(now.saturating_duration_since(flight.sent));
        }
        self.tidy();
        Some(flight)
    }

    /// Takes one query to an address at which nobody listens, as the system says.
    pub fn refused(&mut self, to: SocketAddr) -> Option<Flight<P>> {
        let at = self.pending.iter().position(|(_, flight)| flight.to == to)?;
        let (_, flight) = self.pending.remove(at);
        self.tidy();
        Some(flight)
    }

    /// Takes all queries: no reply to them will find us.
    pub fn clear(&mut self) -> Vec<Flight<P>> {
        self.stalls.clear();
        self.ends.clear();
        self.pending.drain(..).map(|(_, flight)| flight).collect()
    }

    /// The next query that became late.
    pub fn poll(&mut self, now: Instant) -> Option<Late<P>> {
        self.tidy();
        if let Some(&(due, tid)) = self.ends.front()
            && due <= now
        {
            self.ends.pop_front();
            let at = self.find(tid).ok()?;
            let (_, flight) = self.pending.remove(at);
            return Some(Late::Lost(flight));
        }
        let &Reverse((due, tid)) = self.stalls.peek()?;
        if due > now {
            return None;
        }
        self.stalls.pop();
        let at = self.find(tid).ok()?;
        self.pending[at].1.is_stalled = true;
        Some(Late::Stalled(self.pending[at].1))
    }

    /// When [`poll`](Self::poll) has something next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let stall = self.stalls.peek().map(|Reverse((due, _))| *due);
        let end = self.ends.front().map(|(due, _)| *due);
        stall.into_iter().chain(end).min()
    }

    /// Queries under way.
    pub fn count(&self) -> usize {
        self.pending.len()
    }

    /// After how long a query that leaves now will be called stalled.
    pub fn stall(&self) -> Duration {
        self.round_trips.stall()
    }

    fn find(&self, tid: u32) -> Result<usize, usize> {
        self.pending.binary_search_by_key(&tid, |(tid, _)| *tid)
    }

    /// Takes timers of answered queries off both ends, so that nobody wakes for them.
    fn tidy(&mut self) {
        while let Some(Reverse((_, tid))) = self.stalls.peek()
            && self.find(*tid).is_err()
        {
            self.stalls.pop();
        }
        while let Some((_, tid)) = self.ends.front()
            && self.find(*tid).is_err()
        {
            self.ends.pop_front();
        }
    }
}

/// How long replies took: counts in columns of 10 ms.
#[derive(Debug)]
struct RoundTrips {
    counts: [u32; COLUMNS],
    total: u32,
    stall: Duration,
}

impl RoundTrips {
    fn new() -> Self {
        let mut counts = [0; COLUMNS];
        GUESS.into_iter().for_each(|column| counts[column] += 1);
        let mut trips = Self { counts, total: GUESS.len() as u32, stall: STALL_MAX };
        trips.measure();
        trips
    }

    fn note(&mut self, took: Duration) {
        let column = (took.as_millis() / COLUMN.as_millis()).min(COLUMNS as u128 - 1);
        self.counts[column as usize] += 1;
        self.total += 1;
        if self.total >= REPLIES_KEPT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.measure();
    }

    fn stall(&self) -> Duration {
        self.stall
    }

    /// max(nine of ten, one of ten + 100 ms), within its bounds.
    fn measure(&mut self) {
        let stall = self.within(9).max(self.within(1) + STALL_MARGIN);
        self.stall = stall.clamp(STALL_MIN, STALL_MAX);
    }

    /// In what time so many tenths of the replies came: the end of a column.
    fn within(&self, tenths: u32) -> Duration {
        let wanted = (self.total * tenths).div_ceil(10);
        let mut seen = 0;
        let column = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        COLUMN * (column.unwrap_or(COLUMNS - 1) as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 6881))
    }

    fn flights() -> (Flights<u8>, StdRng, Instant) {
        (Flights::default(), StdRng::seed_from_u64(7), Instant::now())
    }

    #[test]
    fn a_reply_belongs_to_the_query_with_its_id_at_its_address() {
        let (mut flights, mut rng, now) = flights();
        let tid = flights.start(at(1), None, 1, now, &mut rng).unwrap();
        assert_eq!(flights.land(&tid, at(2), now), None, "another host");
        let port = SocketAddr::from(([192, 0, 2, 1], 6882));
        assert_eq!(flights.land(&tid, port, now), None, "another port");
        assert_eq!(flights.land(&tid[..3], at(1), now), None, "a torn id");
        let other = (!u32::from_be_bytes(tid)).to_be_bytes();
        assert_eq!(flights.land(&other, at(1), now), None, "another id");
        assert_eq!(flights.land(&tid, at(1), now).map(|flight| flight.purpose), Some(1));
        assert_eq!(flights.land(&tid, at(1), now), None, "twice");
        assert_eq!((flights.count(), flights.next_timeout()), (0, None));
    }

    #[test]
    fn a_query_stalls_first_and_is_lost_after_eight_seconds() {
        let (mut flights, mut rng, now) = flights();
        let tid = flights.start(at(1), None, 1, now, &mut rng).unwrap();
        let stall = flights.stall();
        assert_eq!(flights.next_timeout(), Some(now + stall));
        assert_eq!(flights.poll(now + stall - MS), None);
        let Some(Late::Stalled(flight)) = flights.poll(now + stall) else { panic!("no stall") };
        assert_eq!((flight.to, flight.is_stalled), (at(1), true));
        assert_eq!(flights.poll(now + stall), None);
        assert_eq!(flights.next_timeout(), Some(now + REPLY_WAIT));
        let Some(Late::Lost(_)) = flights.poll(now + REPLY_WAIT) else { panic!("not lost") };
        assert_eq!(flights.land(&tid, at(1), now + REPLY_WAIT), None, "too late");
        // Another one answers when it is stalled already.
        let tid = flights.start(at(2), None, 2, now, &mut rng).unwrap();
        assert!(matches!(flights.poll(now + stall), Some(Late::Stalled(_))));
        let landed = flights.land(&tid, at(2), now + REPLY_WAIT - MS).unwrap();
        assert!(landed.is_stalled);
        assert_eq!(flights.poll(now + REPLY_WAIT), None);
    }

    #[test]
    fn a_query_is_repeated_once_under_its_id() {
        let (mut flights, mut rng, now) = flights();
        let tid = flights.start(at(1), None, 1, now, &mut rng).unwrap();
        let stall = flights.stall();
        assert!(matches!(flights.poll(now + stall), Some(Late::Stalled(_))));
        flights.postpone(tid, now + 2 * stall);
        assert_eq!(flights.poll(now + 2 * stall - MS), None);
        let Some(Late::Stalled(flight)) = flights.poll(now + 2 * stall) else { panic!("no stall") };
        assert_eq!((flight.tid, flight.is_repeated), (tid, false));
        let again = now + 2 * stall;
        assert!(flights.repeat(tid, again) && !flights.repeat(tid, again));
        let Some(Late::Stalled(flight)) = flights.poll(again + stall) else { panic!("no stall") };
        assert!(flight.is_repeated);
        // A reply to either of them counts, but tells nothing of the line's round trips.
        assert_eq!(flights.land(&tid, at(1), again + stall).map(|it| it.purpose), Some(1));
        assert_eq!(flights.stall(), stall);
        assert!(!flights.repeat(tid, again + stall), "nobody waits for it");
        assert_eq!(flights.poll(now + REPLY_WAIT), None);
    }

    #[test]
    fn the_stall_follows_the_round_trips() {
        let (mut flights, mut rng, now) = flights();
        assert_eq!(flights.stall(), 410 * MS, "the guess's slowest");
        let mut answer = |flights: &mut Flights<u8>, took: Duration| {
            let tid = flights.start(at(1), None, 0, now, &mut rng).unwrap();
            flights.land(&tid, at(1), now + took).unwrap();
        };
        (0..60).for_each(|_| answer(&mut flights, 3 * MS));
        assert_eq!(flights.stall(), STALL_MIN, "all near");
        (0..600).for_each(|_| answer(&mut flights, 195 * MS));
        assert_eq!(flights.stall(), 300 * MS, "all equally far: a tenth and 100 ms");
        (0..100).for_each(|_| answer(&mut flights, 505 * MS));
        assert_eq!(flights.stall(), 510 * MS, "nine of ten");
        (0..600).for_each(|_| answer(&mut flights, 3_000 * MS));
        assert_eq!(flights.stall(), STALL_MAX);
    }

    #[test]
    fn no_more_than_the_limit_are_under_way() {
        let (mut flights, mut rng, now) = flights();
        let started = (0..PENDING_MAX + 5)
            .filter_map(|_| flights.start(at(1), None, 0, now, &mut rng))
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!((started.len(), flights.count()), (PENDING_MAX, PENDING_MAX));
        assert_eq!(flights.clear().len(), PENDING_MAX);
        assert_eq!(flights.next_timeout(), None);
    }

    #[test]
    fn a_refusal_ends_one_query_at_once() {
        let (mut flights, mut rng, now) = flights();
        flights.start(at(1), None, 1, now, &mut rng);
        assert_eq!(flights.refused(at(2)), None);
        assert_eq!(flights.refused(at(1)).map(|flight| flight.purpose), Some(1));
        assert_eq!(flights.refused(at(1)), None);
        assert_eq!(flights.poll(now + REPLY_WAIT), None);
    }
}

//! One peer that may have the metadata: what it claims, what it owes us, and whether it may be
//! asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Pieces asked of a peer at a time: Transmission queues as many.
pub(super) const ASKS_MAX: usize = 64;
/// Asks that go to a peer at once, and how soon more of them follow while the first are not
/// answered yet. libtorrent answers what fills 160 KiB of its buffer, ten pieces; what it finds
/// behind those in the same read waits for its next tick, up to a second.
pub(super) const BURST_MAX: usize = 10;
const BURST_EVERY: Duration = Duration::from_millis(5);
/// One that says nothing for so long while it is asked is left alone. Xunlei never answers.
const SILENCE: Duration = Duration::from_secs(5);
/// For how long, when that happens first; twice as long each time.
const SILENCE_REST: Duration = Duration::from_secs(10);
const SILENCE_REST_MAX: Duration = Duration::from_secs(60);
/// One that refuses is left alone for so long (libtorrent does the same).
const REFUSED_REST: Duration = Duration::from_secs(60);
/// Answers that are welcome after their time.
const LATE_MAX: usize = 256;
/// How often a peer may name another length: once as a seeker that found it is usual.
const CLAIMS_MAX: u32 = 4;
/// Whoever is quicker than this is not taken for slow.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Peer {
    claim: Option<u32>,
    claims: u32,
    asks: BTreeMap<u32, Instant>,
    /// How many may go out in this burst beyond what is answered, and when the next one may.
    burst: usize,
    next_burst: Instant,
    /// What was asked and is not waited for any more.
    late: VecDeque<u32>,
    heard: Instant,
    rests_until: Option<Instant>,
    silences: u32,
    round_trip: Option<Duration>,
    /// What came that nobody asked for.
    pub(super) strikes: u32,
    pub(super) is_banned: bool,
    /// How often it was chosen.
    pub(super) turns: u32,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            claim: None,
            claims: 0,
            asks: BTreeMap::new(),
            burst: BURST_MAX,
            next_burst: now,
            late: VecDeque::new(),
            heard: now,
            rests_until: None,
            silences: 0,
            round_trip: None,
            strikes: 0,
            is_banned: false,
            turns: 0,
        }
    }

    /// The length that it claims.
    pub(super) fn claim(&self) -> Option<u32> {
        self.claim.filter(|_| !self.is_banned)
    }

    /// It names another length: what was asked for was a part of something else.
    pub(super) fn claims(&mut self, len: Option<u32>) {
        if self.claim == len {
            return;
        }
        self.claims += 1;
        self.claim = len.filter(|_| self.claims <= CLAIMS_MAX);
        self.excuse();
    }

    /// May it be asked?
    pub(super) fn is_able(&self) -> bool {
        self.claim().is_some() && self.rests_until.is_none()
    }

    /// Who is asked first: whoever was chosen least, fell silent least and answers soonest.
    pub(super) fn rank(&self) -> (u32, u32, Option<Duration>) {
        (self.turns, self.silences, self.round_trip)
    }

    /// Is it asked for no more than it may be, and for nothing that it does not claim to have?
    pub(super) fn is_asked_rightly(&self) -> bool {
        self.asks.len() <= ASKS_MAX && (self.asks.is_empty() || self.claim().is_some())
    }

    /// How many pieces more it may be asked for now.
    pub(super) fn room(&self, now: Instant) -> usize {
        let asked = self.asks.len();
        let burst = if now >= self.next_burst { BURST_MAX } else { self.burst };
        // So few are never too many at once.
        let few = BURST_MAX.saturating_sub(asked);
        few.max(burst.min(ASKS_MAX.saturating_sub(asked)))
    }

    pub(super) fn ask(&mut self, pieces: &[u32], now: Instant) {
        if now >= self.next_burst {
            self.burst = BURST_MAX;
            self.next_burst = now + BURST_EVERY;
        }
        self.burst = self.burst.saturating_sub(pieces.len());
        self.asks.extend(pieces.iter().map(|piece| (*piece, now)));
    }

    /// Is this piece awaited from it?
    pub(super) fn is_asked(&self, piece: u32) -> bool {
        self.asks.contains_key(&piece)
    }

    /// It answered for a piece; had it been asked for?
    pub(super) fn answered(&mut self, piece: u32, now: Instant) -> bool {
        if let Some(asked) = self.asks.remove(&piece) {
            let took = now.saturating_duration_since(asked);
            self.round_trip = Some(self.round_trip.map_or(took, |known| known.min(took)));
        } else if let Some(at) = self.late.iter().position(|late| *late == piece) {
            self.late.remove(at);
        } else {
            return false;
        }
        self.heard = now;
        self.silences = 0;
        true
    }

    /// It does not send what it was asked for.
    pub(super) fn refused(&mut self, now: Instant) {
        self.excuse();
        self.rests_until = Some(now + REFUSED_REST);
    }

    /// What it owes is not waited for any more, and welcome all the same.
    pub(super) fn excuse(&mut self) {
        self.late.extend(std::mem::take(&mut self.asks).into_keys());
        let surplus = self.late.len().saturating_sub(LATE_MAX);
        self.late.drain(..surplus);
    }

    /// How long to wait for it before others are asked as well.
    pub(super) fn patience(&self) -> Duration {
        self.round_trip.map_or(PATIENCE_MIN, |took| PATIENCE_MIN.max(2 * took))
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_burst {
            self.burst = BURST_MAX;
        }
        if self.silent_at().is_some_and(|at| at <= now) {
            self.excuse();
            let rest = SILENCE_REST.saturating_mul(1 << self.silences.min(4));
            self.silences += 1;
            self.rests_until = Some(now + rest.min(SILENCE_REST_MAX));
        }
        self.rests_until = self.rests_until.filter(|until| *until > now);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let rests_until = self.rests_until.filter(|_| self.claim().is_some());
        let is_held = self.burst < BURST_MAX && (1..ASKS_MAX).contains(&self.asks.len());
        let next_burst = is_held.then_some(self.next_burst);
        self.silent_at().into_iter().chain(rests_until).chain(next_burst).min()
    }

    fn silent_at(&self) -> Option<Instant> {
        let oldest = self.asks.values().min()?;
        Some(self.heard.max(*oldest) + SILENCE)
    }
}

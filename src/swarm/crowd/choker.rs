//! Whom to serve. While something is missing: those who give most, strangers on a little
//! credit, and a few at random, so that better partners are found (BEP 3, "optimistic
//! unchoke"). With everything there: all in turn, the fastest first. It knows links by what
//! they moved; what they asked for is in `upload`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::ids::LinkId;

/// How often places are given anew. BEP 3: "the reference implementation ... changing who's
/// choked once every ten seconds".
pub const ROUND: Duration = Duration::from_secs(10);
/// BEP 3: "Optimistic unchoking rotates every 30 seconds", enough for a download to grow.
const OPTIMISTIC_TURN: Duration = Duration::from_secs(30);
/// Links this young are three times as likely to get an optimistic place (BEP 3).
const NEW: Duration = Duration::from_secs(60);
const NEW_WEIGHT: u32 = 3;
/// While seeding, a link that was served for so long makes way for one that waits.
const SEEDING_TURN: Duration = Duration::from_secs(30);
/// Places without a limit and before anything has flowed.
const SLOTS_UNLIMITED: usize = 16;
const SLOTS_MIN: usize = 2;
const SLOTS_MAX: usize = 100;
/// One place in so many is optimistic, at least one.
pub const OPTIMISTIC_SHARE: usize = 5;

/// One link as the choker sees it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub link: LinkId,
    /// It wants data and can take it.
    pub interested: bool,
    /// Since when it is served, or not served.
    pub unchoked: bool,
    /// When that began.
    pub since: Instant,
    /// When the link came up.
    pub up_since: Instant,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload to it a second.
    pub up_rate: u64,
    /// What it got beyond what it gave, in bytes.
    pub owes: u64,
    /// It lets our requests time out: nothing is given in return for nothing (anti-snubbing).
    pub snubbed: bool,
}

/// What the round is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Round {
    /// Nothing is missing.
    pub seeding: bool,
    /// Places.
    pub slots: usize,
    /// What a stranger may get in advance, in bytes.
    pub credit: u64,
}

/// The memory of the choker: who has an optimistic place, and since when.
#[derive(Debug, Default)]
pub struct Choker {
    optimistic: BTreeMap<LinkId, Instant>,
}

/// How many links to serve at once, given the upload limit, if any, and what flows at present,
/// both in bytes per second. Each should get enough to matter: the square root is mainline's
/// rule, two places at 10 KB/s, eight at 100 KB/s, 25 at 1 MB/s.
pub fn slots(limit: Option<u64>, rate: u64) -> usize {
    let of = |rate: u64| ((rate / 1000) as f64 * 0.6).sqrt() as usize;
    match limit {
        Some(limit) => of(limit).clamp(SLOTS_MIN, SLOTS_MAX),
        None => of(rate).clamp(SLOTS_UNLIMITED, SLOTS_MAX),
    }
}

impl Choker {
    /// The links to serve from now on. With `rotate`, turns that are over end; without, only
    /// free places are filled.
    pub fn choose(
        &mut self,
        standings: &[Standing],
        round: Round,
        rotate: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> BTreeSet<LinkId> {
        let wanting: Vec<&Standing> = standings.iter().filter(|it| it.interested).collect();
        let chosen = match round.seeding {
            true => self.seeding(wanting, round.slots, rotate, now),
            false => self.leeching(wanting, round, rotate, now, rng),
        };
        if rotate {
            return chosen;
        }
        let served = standings.iter().filter(|it| it.interested && it.unchoked);
        let served: BTreeSet<LinkId> = served.map(|it| it.link).collect();
        let free = round.slots.saturating_sub(served.len());
        let fresh: Vec<LinkId> = chosen.difference(&served).copied().take(free).collect();
        let chosen: BTreeSet<LinkId> = served.into_iter().chain(fresh).collect();
        // A turn that nobody gets has not begun.
        self.optimistic.retain(|link, _| chosen.contains(link));
        chosen
    }

    /// All in turn: who is served stays for a turn, then those who wait the longest come, and
    /// what is left goes to the fastest.
    fn seeding(
        &mut self,
        mut wanting: Vec<&Standing>,
        slots: usize,
        rotate: bool,
        now: Instant,
    ) -> BTreeSet<LinkId> {
        self.optimistic.clear();
        wanting.sort_by_key(|it| {
            let age = now.saturating_duration_since(it.since);
            let turn_is_over = rotate && age >= SEEDING_TURN;
            let class = match it.unchoked {
                true if !turn_is_over => 0,
                false => 1,
                true => 2,
            };
            let waiting_since = (class == 1).then_some(it.since);
            (class, waiting_since, std::cmp::Reverse(it.up_rate), it.link)
        });
        wanting.into_iter().take(slots).map(|it| it.link).collect()
    }

    /// Those who give most, then strangers on credit; and the optimistic places.
    fn leeching(
        &mut self,
        mut wanting: Vec<&Standing>,
        round: Round,
        rotate: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> BTreeSet<LinkId> {
        let optimistic = (round.slots / OPTIMISTIC_SHARE).max(1);
        let regular = round.slots.saturating_sub(optimistic).max(1).min(round.slots);
        let gives = |it: &&Standing| it.down_rate > 0 && !it.snubbed;
        // Even so, who is served already stays: a change costs both sides a round trip.
        wanting.sort_by_key(|it| (std::cmp::Reverse(it.down_rate), !it.unchoked, it.link));
        let (givers, others): (Vec<&Standing>, Vec<&Standing>) =
            wanting.iter().copied().partition(gives);
        let mut chosen: BTreeSet<LinkId> = givers.iter().take(regular).map(|it| it.link).collect();
        let mut trusted: Vec<&Standing> =
            others.into_iter().filter(|it| it.owes < round.credit && !it.snubbed).collect();
        trusted.sort_by_key(|it| (it.owes, !it.unchoked, it.link));
        let left = regular - chosen.len();
        chosen.extend(trusted.iter().take(left).map(|it| it.link));
        let rest: Vec<&Standing> =
            wanting.into_iter().filter(|it| !chosen.contains(&it.link)).collect();
        // A single place goes to who gives, if anybody does.
        let room = round.slots - chosen.len();
        let optimists = self.optimists(&rest, optimistic.min(room), rotate, now, rng);
        chosen.extend(optimists.into_iter().take(room));
        chosen
    }

    /// Fills the optimistic places out of those who got no other.
    fn optimists(
        &mut self,
        rest: &[&Standing],
        places: usize,
        rotate: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<LinkId> {
        self.optimistic.retain(|link, since| {
            let turn_is_over = rotate && now.saturating_duration_since(*since) >= OPTIMISTIC_TURN;
            !turn_is_over && rest.iter().any(|it| it.link == *link)
        });
        let mut waiting: Vec<&Standing> = rest
            .iter()
            .copied()
            .filter(|it| !it.unchoked && !self.optimistic.contains_key(&it.link))
            .collect();
        while self.optimistic.len() < places && !waiting.is_empty() {
            let weight = |it: &Standing| match now.saturating_duration_since(it.up_since) < NEW {
                true => NEW_WEIGHT,
                false => 1,
            };
            let total: u32 = waiting.iter().map(|it| weight(it)).sum();
            let mut left = rng.random_range(0..total);
            let at = waiting.iter().position(|it| {
                let hit = left < weight(it);
                left = left.saturating_sub(weight(it));
                hit
            });
            let lucky = waiting.swap_remove(at.unwrap_or(0));
            self.optimistic.insert(lucky.link, now);
        }
        self.optimistic.keys().copied().collect()
    }
}

//! When upload slots are given, and to how many links. Whom to serve is decided by `choker`.

use std::time::Instant;

use rand::rngs::StdRng;

use crate::base::ids::LinkId;

use super::choker::{Choker, ROUND, Round, Standing};

/// The choker and its clock.
#[derive(Debug)]
pub(super) struct Unchoking {
    choker: Choker,
    next_round: Instant,
    /// Somebody is served, or wants to be.
    is_wanted: bool,
    /// The user's limit in bytes per second.
    limit: Option<u64>,
    /// Most slots that the user allows.
    most: Option<usize>,
}

/// Who is to be choked, and who is to be served.
#[derive(Debug, Default)]
pub(in crate::swarm) struct Slots {
    pub choke: Vec<LinkId>,
    pub unchoke: Vec<LinkId>,
}

impl Unchoking {
    pub(super) fn new(now: Instant) -> Self {
        let (choker, next_round) = (Choker::default(), now + ROUND);
        Self { choker, next_round, is_wanted: false, limit: None, most: None }
    }

    pub(super) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Is this another limit than before?
    pub(super) fn set_limit(&mut self, limit: Option<u64>) -> bool {
        std::mem::replace(&mut self.limit, limit) != limit
    }

    /// Is this another bound than before? The round is over then.
    pub(super) fn set_most(&mut self, most: Option<usize>, now: Instant) -> bool {
        let is_new = std::mem::replace(&mut self.most, most) != most;
        if is_new {
            self.next_round = now;
        }
        is_new
    }

    /// When slots are to be given anew, if anybody wants one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.is_wanted.then_some(self.next_round)
    }

    pub(super) fn set_wanted(&mut self, is_wanted: bool) {
        self.is_wanted = is_wanted;
    }

    /// Is the round over? The next one begins.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let is_over = now >= self.next_round;
        if is_over {
            self.next_round = now + ROUND;
        }
        is_over
    }

    /// Gives slots: all of them anew when the round is over, else only free ones.
    pub(super) fn give(
        &mut self,
        standings: &[Standing],
        round: Round,
        is_over: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Slots {
        let slots = self.most.map_or(round.slots, |most| round.slots.min(most));
        let round = Round { slots, ..round };
        let chosen = self.choker.choose(standings, round, is_over, now, rng);
        // Who wants nothing at the moment keeps its slot until the round is over, or until
        // somebody else needs it.
        let idle = standings.iter().filter(|it| it.unchoked && !chosen.contains(&it.link));
        let kept = if is_over { 0 } else { round.slots.saturating_sub(chosen.len()) };
        let fresh = standings.iter().filter(|it| !it.unchoked && chosen.contains(&it.link));
        Slots {
            choke: idle.map(|it| it.link).skip(kept).collect(),
            unchoke: fresh.map(|it| it.link).collect(),
        }
    }
}

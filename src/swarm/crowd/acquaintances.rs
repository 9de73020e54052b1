//! Whom a torrent knows, while it has no crowd. Not here: who is connected.

use std::net::SocketAddr;
use std::time::Instant;

use super::candidates::Candidates;
use super::debts::Debts;

/// Candidates that are remembered of a torrent that may not run again for days.
const KEPT_MAX: usize = 100;

/// What a torrent knows of peers apart from its links. It outlives the brain when the files
/// are moved, for instance.
#[derive(Debug, Default)]
pub struct Acquaintances {
    candidates: Candidates,
    debts: Debts,
    /// Somebody was met, and that was told.
    met_anybody: bool,
}

impl Acquaintances {
    /// Leaves out what costs much and is of little use when the torrent runs again some day:
    /// all but the best hundred candidates. Bans and debts stay.
    pub fn keep_best(&mut self) {
        self.candidates.keep_best(KEPT_MAX);
    }

    /// Would any of these be dialled now?
    pub fn brings(&self, addresses: &[SocketAddr], now: Instant) -> bool {
        addresses.iter().any(|address| !self.candidates.is_left_alone(*address, now))
    }

    /// Of whom a crowd knew.
    pub(super) fn new(candidates: Candidates, debts: Debts, met_anybody: bool) -> Self {
        Self { candidates, debts, met_anybody }
    }

    /// The same in the order of [`new`](Self::new).
    pub(super) fn into_parts(self) -> (Candidates, Debts, bool) {
        (self.candidates, self.debts, self.met_anybody)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::super::candidates::Choice;
    use super::*;
    use crate::swarm::event::Source;

    #[test]
    fn who_was_left_alone_lately_or_is_banned_is_nobody_to_dial() {
        let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let [seed, liar, other] = [1, 2, 3].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let mut candidates = Candidates::default();
        candidates.learn(seed, Source::Dht, &mut rng);
        assert_eq!(candidates.next(Choice::ANY, now), Some(seed));
        candidates.rest(seed, Duration::from_secs(60), now);
        candidates.ban(liar);
        let known = Acquaintances::new(candidates, Debts::default(), true);
        assert!(!known.brings(&[], now) && !known.brings(&[seed, liar], now));
        assert!(known.brings(&[seed, other], now));
        assert!(known.brings(&[seed], now + Duration::from_secs(60)));
    }
}

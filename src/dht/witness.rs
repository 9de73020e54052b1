//! What our address is, by what others see (BEP 42): the votes of many, so that no few can make
//! us take an id of their choice. Not here: which replies are worth a vote; only those to
//! queries of ours are.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::nets::{Family, Net};
use crate::base::addr::{Locality, canonical_ip};

/// Votes that are remembered. Of 16, three quarters are by chance some day those of four liars in
/// ten: within 400 votes in 44 cases of 100; of 64 in none.
const VOTES_MAX: usize = 64;
/// Votes that an address needs.
const VOTES_MIN: usize = 16;
/// Between two changes of mind.
const CHANGE_EACH: Duration = Duration::from_secs(10 * 60);

/// Collects votes on our address.
#[derive(Debug, Default)]
pub struct Witness {
    /// The oldest first; one for each net of voters.
    votes: Vec<(Net, IpAddr)>,
    agreed: Option<IpAddr>,
    changed_at: Option<Instant>,
}

impl Witness {
    /// Begins with an address that was agreed on in an earlier life, or is known otherwise.
    pub fn new(agreed: Option<IpAddr>) -> Self {
        Self { agreed, ..Self::default() }
    }

    /// The address that others agree on.
    pub fn agreed(&self) -> Option<IpAddr> {
        self.agreed
    }

    /// A node answered a query of ours and says how it sees us. Returns the address when that
    /// changes what is agreed. A vote for no public address, or of the other family, is none.
    pub fn vote(&mut self, voter: IpAddr, seen: IpAddr, now: Instant) -> Option<IpAddr> {
        let seen = canonical_ip(seen);
        if Locality::of(seen) != Locality::Public || Family::of(seen) != Family::of(voter) {
            return None;
        }
        let net = Net::voter(voter);
        self.votes.retain(|(known, _)| *known != net);
        if self.votes.len() == VOTES_MAX {
            self.votes.remove(0);
        }
        self.votes.push((net, seen));
        let for_it = self.votes.iter().filter(|(_, address)| *address == seen).count();
        let is_agreed = for_it >= VOTES_MIN && for_it * 4 >= self.votes.len() * 3;
        let is_early =
            self.changed_at.is_some_and(|at| now.saturating_duration_since(at) < CHANGE_EACH);
        if !is_agreed || is_early || self.agreed == Some(seen) {
            return None;
        }
        self.agreed = Some(seen);
        self.changed_at = Some(now);
        Some(seen)
    }

    /// The network is another one: what was seen before says nothing of it, and what is agreed
    /// next may come at once.
    pub fn network_changed(&mut self) {
        self.votes.clear();
        self.changed_at = None;
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn voter(n: u8) -> IpAddr {
        [50, n, 1, 1].into()
    }

    const OURS: [u8; 4] = [9, 9, 9, 9];
    const LIE: [u8; 4] = [8, 8, 8, 8];

    #[test]
    fn sixteen_of_three_quarters_decide() {
        let now = Instant::now();
        let mut witness = Witness::default();
        for n in 0..15 {
            assert_eq!(witness.vote(voter(n), OURS.into(), now), None);
        }
        assert_eq!(witness.vote(voter(15), OURS.into(), now), Some(OURS.into()));
        assert_eq!(witness.vote(voter(16), OURS.into(), now), None, "it is no news");
        assert_eq!(witness.agreed(), Some(OURS.into()));
    }

    /// Four of ten lie, now more and now fewer of them in a row.
    #[test]
    fn a_flood_of_liars_changes_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let mut now = Instant::now();
            let mut witness = Witness::new(Some(OURS.into()));
            for _ in 0..1_000 {
                now += Duration::from_secs(1);
                let seen = if rng.random_range(0..10) < 4 { LIE } else { OURS };
                let from: [u8; 3] = rng.random();
                let from = [50, from[0], from[1], from[2]];
                assert_eq!(witness.vote(from.into(), seen.into(), now), None);
            }
            assert_eq!(witness.agreed(), Some(OURS.into()));
        }
    }

    #[test]
    fn one_net_has_one_vote() {
        let now = Instant::now();
        let mut witness = Witness::default();
        for last in 0..200 {
            assert_eq!(witness.vote([50, 1, 1, last].into(), LIE.into(), now), None);
        }
        for last in 0..200_u16 {
            let v6: IpAddr = [0x2001, 0xdb8, 7, last, 0, 0, 0, 1].into();
            assert_eq!(witness.vote(v6, "2001:db9::1".parse().unwrap(), now), None, "a /48");
        }
        assert_eq!(witness.agreed(), None);
    }

    #[test]
    fn the_mind_changes_each_ten_minutes_at_most_unless_the_network_did() {
        let start = Instant::now();
        let mut witness = Witness::default();
        let elect = |witness: &mut Witness, who: [u8; 4], now| {
            (0..16).filter_map(|n| witness.vote(voter(n), who.into(), now)).count()
        };
        assert_eq!(elect(&mut witness, OURS, start), 1);
        let second = Duration::from_secs(1);
        assert_eq!(elect(&mut witness, LIE, start + 599 * second), 0);
        assert_eq!(elect(&mut witness, LIE, start + 600 * second), 1);
        witness.network_changed();
        assert_eq!(witness.agreed(), Some(LIE.into()), "until something else is seen");
        assert_eq!(elect(&mut witness, OURS, start + 601 * second), 1);
    }

    #[test]
    fn what_cannot_be_our_public_address_is_no_vote() {
        let now = Instant::now();
        let mut witness = Witness::default();
        for n in 0..32 {
            for seen in ["10.0.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "2001:db8::1"] {
                assert_eq!(witness.vote(voter(n), seen.parse().unwrap(), now), None);
            }
        }
        assert_eq!(witness.agreed(), None);
    }
}

//! The torrents that we tell surveys of the network (BEP 51): the same few for hours, so that
//! nobody harvests all by asking often. Not here: where they come from.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::index;

use super::nets::is_exempt;
use super::peers::PeerStore;
use crate::base::addr::host_key;
use crate::base::ration::Ration;

/// Torrents in a sample (libtorrent).
pub const SAMPLES_MAX: usize = 20;
/// "The permissible range is between 0 and 21600 seconds (inclusive)."
const SAMPLE_LIFE: Duration = Duration::from_secs(6 * 3_600);
/// How long a sample lasts that holds all that there was.
const SHORT_LIFE: Duration = Duration::from_secs(600);
/// A host is answered once in this time.
const ASK_EACH: Duration = Duration::from_secs(10);

/// The current sample.
#[derive(Debug)]
pub struct Sampler {
    hashes: Vec<u8>,
    until: Instant,
    asked: Ration,
}

impl Sampler {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { hashes: Vec::new(), until: now, asked: Ration::new(1, ASK_EACH) }
    }

    /// Whether this host is answered; counts it.
    pub fn admits(&mut self, from: IpAddr, now: Instant) -> bool {
        is_exempt(from) || self.asked.take(host_key(from), now)
    }

    /// The sample of now, 20 bytes a torrent, and the seconds until there is another.
    pub fn sample(&mut self, store: &PeerStore, rng: &mut StdRng, now: Instant) -> (&[u8], u32) {
        if now >= self.until {
            let hashes = store.hashes();
            let count = hashes.len();
            let chosen = index::sample(rng, count, SAMPLES_MAX.min(count)).into_vec();
            self.hashes.clear();
            for (at, hash) in hashes.enumerate() {
                if chosen.contains(&at) {
                    self.hashes.extend_from_slice(&hash.0);
                }
            }
            self.until = now + if count > SAMPLES_MAX { SAMPLE_LIFE } else { SHORT_LIFE };
        }
        let left = self.until.saturating_duration_since(now);
        (&self.hashes, u32::try_from(left.as_secs()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;
    use crate::base::ids::InfoHash;
    use crate::dht::id::NodeId;
    use crate::dht::nets::Family;

    fn samples(bytes: &[u8]) -> impl Iterator<Item = [u8; 20]> + '_ {
        bytes.as_chunks().0.iter().copied()
    }

    fn store(count: u8, now: Instant) -> PeerStore {
        let mut store = PeerStore::new(NodeId::default(), Family::V4, now);
        for n in 0..count {
            store.announce(InfoHash([n; 20]), ([9, 9, 9, n], 80).into(), false, now).unwrap();
        }
        store
    }

    #[test]
    fn the_same_twenty_for_six_hours() {
        let (mut rng, start) = (StdRng::seed_from_u64(1), Instant::now());
        let store = store(200, start);
        let mut sampler = Sampler::new(start);
        let mut at = |hours: f64| {
            let now = start + Duration::from_secs_f64(hours * 3_600.0);
            let (bytes, interval_s) = sampler.sample(&store, &mut rng, now);
            (samples(bytes).collect::<BTreeSet<_>>(), interval_s)
        };
        let (first, interval_s) = at(0.0);
        assert_eq!((first.len(), interval_s), (20, 21_600));
        assert_eq!(at(5.0), (first.clone(), 3_600));
        let (second, _) = at(6.0);
        assert_eq!(second.len(), 20);
        assert_ne!(second, first);
    }

    #[test]
    fn a_young_store_is_looked_at_again_soon() {
        let (mut rng, now) = (StdRng::seed_from_u64(1), Instant::now());
        let mut sampler = Sampler::new(now);
        assert_eq!(sampler.sample(&store(0, now), &mut rng, now), (&[][..], 600));
        let later = now + SHORT_LIFE;
        let (bytes, _) = sampler.sample(&store(7, now), &mut rng, later);
        assert_eq!(samples(bytes).count(), 7);
    }

    #[test]
    fn a_host_asks_once_in_ten_seconds() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        let from: IpAddr = [9, 9, 9, 9].into();
        let asked = (0..3_600).filter(|s| sampler.admits(from, start + Duration::from_secs(*s)));
        assert_eq!(asked.count(), 360);
        assert!(sampler.admits([9, 9, 9, 8].into(), start));
        assert!((0..99).all(|_| sampler.admits([127, 0, 0, 1].into(), start)));
    }
}

//! Nodes that did not answer lately, so that lookups ask others first: half of what nodes name
//! is dead, and the same dead ones are named again and again. Not here: failures on a dead line,
//! which are told to nobody.

use std::hash::Hash as _;
use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;

use super::token::Secret;

/// Nodes that are remembered for few torrents: 32 KiB.
const ABSENT_MIN: usize = 4_096;
/// The same for many: 512 KiB.
const ABSENT_MAX: usize = 65_536;
/// Dead nodes that are nearer to a torrent than the eighth live one, if half of all are dead.
const FOR_EACH_TORRENT: usize = 8;
/// How long a node is asked last: after its first failure, its second, and all others. The
/// first may be a lost datagram: for other lookups of the same minute, no more.
const MINUTES: [u64; 3] = [2, 60, 180];
/// Bits of an entry: the address's hash, the minute in which it ends, and failures.
const HASH_BITS: u32 = 40;
const MINUTE_BITS: u32 = 22;
const FAILS_MAX: u64 = 3;

/// Sorted numbers: hash, minute, failures.
#[derive(Debug)]
pub struct Absent {
    secret: Secret,
    entries: Vec<u64>,
    room: usize,
    born: Instant,
}

impl Absent {
    /// Nobody yet.
    pub fn new(rng: &mut StdRng, now: Instant) -> Self {
        Self { secret: Secret::new(rng), entries: Vec::new(), room: ABSENT_MIN, born: now }
    }

    /// How many are remembered for so many announced torrents.
    pub fn set_torrents(&mut self, count: usize) {
        self.room = (FOR_EACH_TORRENT * count).clamp(ABSENT_MIN, ABSENT_MAX);
    }

    /// One did not answer.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        let (hash, minute) = (self.hash(address), self.minute(now));
        let (at, fails) = match self.find(hash) {
            Ok(at) => (at, (fails_of(self.entries[at]) + 1).min(FAILS_MAX)),
            Err(_) => {
                self.make_room(minute);
                let at = self.find(hash).unwrap_or_else(|at| at);
                self.entries.insert(at, 0);
                (at, 1)
            }
        };
        let until = minute + MINUTES[fails as usize - 1];
        self.entries[at] = (hash << (64 - HASH_BITS)) | (until << 2) | fails;
    }

    /// One answered.
    pub fn answered(&mut self, address: SocketAddr) {
        if let Ok(at) = self.find(self.hash(address)) {
            self.entries.remove(at);
        }
    }

    /// Whether one is asked only when nobody else is left.
    pub fn contains(&self, address: SocketAddr, now: Instant) -> bool {
        let at = self.find(self.hash(address));
        at.is_ok_and(|at| minute_of(self.entries[at]) > self.minute(now))
    }

    /// The network is another one: who did not answer there may do here.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Throws away what has ended, or else every second one.
    fn make_room(&mut self, minute: u64) {
        if self.entries.len() < self.room {
            return;
        }
        self.entries.retain(|entry| minute_of(*entry) > minute);
        if self.entries.len() >= self.room {
            let mut number = 0_usize;
            self.entries.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
        }
    }

    fn find(&self, hash: u64) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&hash, |entry| entry >> (64 - HASH_BITS))
    }

    fn hash(&self, address: SocketAddr) -> u64 {
        self.secret.hash(|hasher| address.hash(hasher)) >> (64 - HASH_BITS)
    }

    fn minute(&self, now: Instant) -> u64 {
        let minutes = now.saturating_duration_since(self.born).as_secs() / 60;
        minutes.min((1 << (MINUTE_BITS - 1)) - 1)
    }
}

fn minute_of(entry: u64) -> u64 {
    (entry >> 2) & ((1 << MINUTE_BITS) - 1)
}

fn fails_of(entry: u64) -> u64 {
    entry & 3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng as _;

    use super::*;

    const MIN: Duration = Duration::from_secs(60);

    fn at(number: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from(0x0900_0000 + number), 6_881))
    }

    fn absent() -> (Absent, Instant) {
        let now = Instant::now();
        (Absent::new(&mut StdRng::seed_from_u64(1), now), now)
    }

    #[test]
    fn who_fails_again_is_absent_for_longer() {
        let (mut absent, mut now) = absent();
        for minutes in [2, 60, 180, 180] {
            absent.failed(at(1), now);
            assert!(absent.contains(at(1), now + (minutes - 1) * MIN), "{minutes} minutes");
            now += minutes * MIN;
            assert!(!absent.contains(at(1), now), "{minutes} minutes");
        }
        assert!(!absent.contains(at(2), now));
        absent.failed(at(1), now);
        absent.answered(at(1));
        assert!(!absent.contains(at(1), now));
        absent.failed(at(1), now);
        assert!(!absent.contains(at(1), now + 2 * MIN), "that was its first failure again");
    }

    #[test]
    fn it_has_its_bounds_and_forgets_what_has_ended_first() {
        let (mut absent, now) = absent();
        (0..3_000).for_each(|number| absent.failed(at(number), now));
        let later = now + 11 * MIN;
        (3_000..6_000).for_each(|number| absent.failed(at(number), later));
        assert!((3_000..6_000).all(|number| absent.contains(at(number), later)));
        assert!(absent.entries.len() <= ABSENT_MIN);
        (6_000..20_000).for_each(|number| absent.failed(at(number), later));
        assert!(absent.entries.len() <= ABSENT_MIN && absent.entries.is_sorted());
        absent.set_torrents(10_000);
        (20_000..60_000).for_each(|number| absent.failed(at(number), later));
        assert!((20_000..60_000).all(|number| absent.contains(at(number), later)));
        absent.clear();
        assert!(!absent.contains(at(30_000), later));
    }
}

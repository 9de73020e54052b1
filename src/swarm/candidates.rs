//! Addresses of peers that are not connected: which one to dial next, how long to leave a
//! failed one alone, and whom never to speak to again. It opens nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::addr::{Host, Locality, host_key};
use crate::base::priority::priority;

use super::event::Source;

/// Addresses known per torrent (limits table).
pub const KNOWN_MAX: usize = 3000;
/// First wait after a failed dial; it grows with the square of the failures.
const BACKOFF: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// One that worked before, or that the user or a listing named, is tried again soon.
const BACKOFF_MAX_TRUSTED: Duration = Duration::from_secs(25);
/// One that only a tracker named and that never worked is forgotten after this many dials.
const FAILURES_MAX: u32 = 6;
/// After so many failures in a row nothing more is expected of an address.
const FAILURES_HOPELESS: u32 = 3;

#[derive(Debug)]
struct Candidate {
    source: Source,
    failures: u32,
    worked: bool,
    last_error: Option<String>,
    place: Place,
    /// Breaks ties among equals: by canonical priority (BEP 40), or at random as long as we
    /// do not know our own address.
    tie: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Ready,
    Resting(Instant),
    /// Being dialled or connected.
    Busy,
}

type Rank = (Source, u32, u32, SocketAddr);

/// All known addresses of one torrent.
#[derive(Debug, Default)]
pub struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    ready: BTreeSet<Rank>,
    resting: BTreeSet<(Instant, SocketAddr)>,
    banned_hosts: BTreeSet<Host>,
    banned_addresses: BTreeSet<SocketAddr>,
    /// Was anybody ever known?
    met_any: bool,
    /// Our own addresses as others see them, one for each family at most.
    ours: Vec<SocketAddr>,
}

impl Candidates {
    /// Learns an address. Nothing changes when it is known, banned, or the list is full of
    /// addresses that are no worse.
    pub fn learn(&mut self, address: SocketAddr, source: Source, rng: &mut StdRng) {
        if self.is_banned(address) {
            return;
        }
        if let Some(known) = self.known.get_mut(&address) {
            if source == Source::User && known.place != Place::Busy {
                // The user asks for it now.
                let tie = known.tie;
                self.unplace(address);
                self.place(address, Source::User, 0, tie, Place::Ready);
            }
            return;
        }
        if self.known.len() >= KNOWN_MAX && !self.forget_one(source) {
            return;
        }
        self.met_any = true;
        let tie = self.tie(address, rng);
        let candidate = Candidate {
            source,
            failures: 0,
            worked: false,
            last_error: None,
            place: Place::Busy,
            tie,
        };
        self.known.insert(address, candidate);
        self.place(address, source, 0, tie, Place::Ready);
    }

    /// Notes our own address as others see it, and brings those who wait into a new order.
    pub fn set_ours(&mut self, ours: SocketAddr, rng: &mut StdRng) {
        if self.ours.contains(&ours) {
            return;
        }
        self.ours.retain(|known| known.is_ipv4() != ours.is_ipv4());
        self.ours.push(ours);
        let known: Vec<_> = self.known.keys().copied().collect();
        for address in known.into_iter().filter(|known| known.is_ipv4() == ours.is_ipv4()) {
            let tie = self.tie(address, rng);
            let Some(known) = self.known.get(&address) else { continue };
            let (source, failures, place) = (known.source, known.failures, known.place);
            self.unplace(address);
            if let Some(known) = self.known.get_mut(&address) {
                known.tie = tie;
            }
            self.place(address, source, failures, tie, place);
        }
    }

    /// The canonical priority of a peer there (BEP 40), the higher the better; none while we
    /// do not know our own address.
    pub fn priority(&self, address: SocketAddr) -> Option<u32> {
        self.ours.iter().find_map(|ours| priority(*ours, address))
    }

    /// Forgets every address that is not banned.
    pub fn forget_all(&mut self) {
        self.known.clear();
        self.ready.clear();
        self.resting.clear();
    }

    fn tie(&self, address: SocketAddr, rng: &mut StdRng) -> u32 {
        // Chance is drawn in any case, so that one address more changes nothing else.
        let chance = rng.random();
        self.priority(address).map_or(chance, |priority| !priority)
    }

    /// The best address to dial at `now`; it is busy from then on.
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        self.wake(now);
        let (.., address) = self.ready.pop_first()?;
        if let Some(known) = self.known.get_mut(&address) {
            known.place = Place::Busy;
        }
        Some(address)
    }

    /// When the next resting address may be dialled; none when one is ready now or none
    /// rests.
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return None;
        }
        self.resting.first().map(|(at, _)| *at)
    }

    /// Is an address ready to be dialled?
    pub fn has_ready(&mut self, now: Instant) -> bool {
        self.wake(now);
        !self.ready.is_empty()
    }

    /// A connection from this address is there; it is not dialled meanwhile.
    pub fn came_in(&mut self, address: SocketAddr, rng: &mut StdRng) {
        self.learn(address, Source::Incoming, rng);
        self.unplace(address);
    }

    /// The link to this address delivered, or lasted.
    pub fn worked(&mut self, address: SocketAddr) {
        if let Some(known) = self.known.get_mut(&address) {
            known.worked = true;
            known.failures = 0;
        }
    }

    /// What went wrong before is not held against the address any more.
    pub fn forgive(&mut self, address: SocketAddr) {
        if let Some(known) = self.known.get_mut(&address).filter(|it| it.place == Place::Busy) {
            known.failures = 0;
        }
    }

    /// The dial failed or the link ended: why, and when it may be tried again.
    pub fn ended(&mut self, address: SocketAddr, why: String, now: Instant) {
        let Some(known) = self.known.get_mut(&address) else { return };
        known.failures += 1;
        known.last_error = Some(why);
        let named = matches!(known.source, Source::User | Source::Listing);
        let trusted = known.worked || named;
        // An address that connected to us need not be one that can be dialled.
        let from_outside = known.source == Source::Incoming;
        if from_outside || !trusted && known.failures >= FAILURES_MAX {
            self.known.remove(&address);
            return;
        }
        let most = if trusted { BACKOFF_MAX_TRUSTED } else { BACKOFF_MAX };
        let wait = BACKOFF.saturating_mul(known.failures.saturating_pow(2)).min(most);
        let (source, failures, tie) = (known.source, known.failures, known.tie);
        self.place(address, source, failures, tie, Place::Resting(now + wait));
    }

    /// The link ended for no fault of the address: it may be dialled again at once.
    pub fn released(&mut self, address: SocketAddr) {
        let Some(known) = self.known.get(&address) else { return };
        if known.source == Source::Incoming {
            // Where it came from need not be where it listens.
            self.known.remove(&address);
            return;
        }
        let (source, failures, tie) = (known.source, known.failures, known.tie);
        self.place(address, source, failures, tie, Place::Ready);
    }

    /// Leaves a busy address alone for `wait`, for no fault of its own.
    pub fn rest(&mut self, address: SocketAddr, wait: Duration, now: Instant) {
        let Some(known) = self.known.get(&address) else { return };
        if known.source == Source::Incoming {
            self.known.remove(&address);
            return;
        }
        let (source, failures, tie) = (known.source, known.failures, known.tie);
        self.place(address, source, failures, tie, Place::Resting(now + wait));
    }

    /// All that rest may be dialled now.
    pub fn wake_all(&mut self) {
        for (_, address) in std::mem::take(&mut self.resting) {
            let Some(known) = self.known.get(&address) else { continue };
            let (source, failures, tie) = (known.source, known.failures, known.tie);
            self.place(address, source, failures, tie, Place::Ready);
        }
    }

    /// This address alone, our own for instance, is never dialled again, however often it is
    /// named.
    pub fn shun(&mut self, address: SocketAddr) {
        self.forget(address);
        self.banned_addresses.insert(address);
    }

    /// The address is useless for good.
    pub fn forget(&mut self, address: SocketAddr) {
        self.unplace(address);
        self.known.remove(&address);
    }

    /// Never again in this session. A public host is banned with all its ports; behind a local
    /// address, a carrier's too, many honest peers may live, so only the port is.
    pub fn ban(&mut self, address: SocketAddr) {
        self.forget(address);
        if Locality::of(address.ip()).is_local() {
            self.banned_addresses.insert(address);
        } else {
            self.banned_hosts.insert(host_key(address.ip()));
        }
    }

    /// Is this address banned?
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        self.banned_hosts.contains(&host_key(address.ip())) || self.banned_addresses.contains(&address)
    }

    /// Addresses known, busy ones included.
    pub fn known_count(&self) -> usize {
        self.known.len()
    }

    /// Addresses that wait to be dialled, now or later.
    pub fn idle_count(&self) -> usize {
        self.ready.len() + self.resting.len()
    }

    /// Has every address that is not busy failed again and again? Before any was learnt there
    /// is hope.
    pub fn are_hopeless(&self) -> bool {
        let mut idle = self.known.values().filter(|known| known.place != Place::Busy);
        self.met_any && idle.all(|known| known.failures >= FAILURES_HOPELESS)
    }

    /// Addresses that are not busy, with the reason why their last link ended.
    pub fn idle(&self) -> impl Iterator<Item = (SocketAddr, Option<&str>)> {
        let idle = self.known.iter().filter(|(_, known)| known.place != Place::Busy);
        idle.map(|(address, known)| (*address, known.last_error.as_deref()))
    }

    fn wake(&mut self, now: Instant) {
        while let Some((at, address)) = self.resting.first().copied()
            && at <= now
        {
            self.resting.pop_first();
            if let Some(known) = self.known.get(&address) {
                let (source, failures, tie) = (known.source, known.failures, known.tie);
                self.place(address, source, failures, tie, Place::Ready);
            }
        }
    }

    fn place(&mut self, address: SocketAddr, source: Source, failures: u32, tie: u32, to: Place) {
        self.unplace(address);
        let Some(known) = self.known.get_mut(&address) else { return };
        known.source = source;
        known.failures = failures;
        known.place = to;
        match to {
            Place::Ready => drop(self.ready.insert((source, failures, tie, address))),
            Place::Resting(at) => drop(self.resting.insert((at, address))),
            Place::Busy => {}
        }
    }

    fn unplace(&mut self, address: SocketAddr) {
        let Some(known) = self.known.get_mut(&address) else { return };
        match known.place {
            Place::Ready => {
                self.ready.remove(&(known.source, known.failures, known.tie, address));
            }
            Place::Resting(at) => drop(self.resting.remove(&(at, address))),
            Place::Busy => {}
        }
        known.place = Place::Busy;
    }

    /// Makes room for an address from `source` by dropping a worse one.
    fn forget_one(&mut self, source: Source) -> bool {
        let failed = self.resting.iter().map(|(_, address)| *address).find(|address| {
            self.known.get(address).is_some_and(|known| !known.worked && known.source >= source)
        });
        let worse = || self.ready.last().filter(|worst| worst.0 > source).map(|worst| worst.3);
        let Some(address) = failed.or_else(worse) else { return false };
        self.forget(address);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, host], 6881))
    }

    fn learned(hosts: &[(u8, Source)]) -> Candidates {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = Candidates::default();
        for (host, source) in hosts {
            candidates.learn(address(*host), *source, &mut rng);
        }
        candidates
    }

    #[test]
    fn the_users_peers_come_first_and_each_address_once() {
        let sources = [(1, Source::Tracker), (2, Source::User), (2, Source::Tracker)];
        let mut candidates = learned(&sources);
        let now = Instant::now();
        assert_eq!(candidates.next(now), Some(address(2)));
        assert_eq!(candidates.next(now), Some(address(1)));
        assert_eq!(candidates.next(now), None);
        assert_eq!(candidates.known_count(), 2);
    }

    #[test]
    fn a_failed_address_rests_longer_each_time_and_is_forgotten_at_last() {
        let mut candidates = learned(&[(1, Source::Tracker)]);
        let mut now = Instant::now();
        for wait in [5, 20, 45, 80, 125] {
            assert_eq!(candidates.next(now), Some(address(1)));
            candidates.ended(address(1), "refused".into(), now);
            assert_eq!(candidates.next(now), None);
            assert_eq!(candidates.next_wake(), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
        assert_eq!(candidates.next(now), Some(address(1)));
        candidates.ended(address(1), "refused".into(), now);
        assert_eq!(candidates.known_count(), 0);
    }

    #[test]
    fn one_that_worked_or_that_the_user_named_is_never_forgotten() {
        let mut candidates = learned(&[(1, Source::Tracker), (2, Source::User)]);
        candidates.worked(address(1));
        let mut now = Instant::now();
        for _ in 0..40 {
            while let Some(address) = candidates.next(now) {
                candidates.ended(address, "gone".into(), now);
            }
            now += BACKOFF_MAX_TRUSTED;
        }
        assert_eq!(candidates.known_count(), 2);
        assert!(candidates.has_ready(now));
    }

    #[test]
    fn bans_cover_a_public_host_but_only_a_port_of_a_local_one() {
        let mut candidates = Candidates::default();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        candidates.ban(address(1));
        candidates.ban(local(1));
        assert!(candidates.is_banned(SocketAddr::new(address(1).ip(), 9)));
        assert!(candidates.is_banned(local(1)));
        assert!(!candidates.is_banned(local(2)));
        candidates.learn(address(1), Source::User, &mut StdRng::seed_from_u64(1));
        assert_eq!(candidates.known_count(), 0);
    }

    #[test]
    fn a_ban_covers_a_site_of_ipv6_but_not_those_behind_the_same_carrier() {
        let mut candidates = Candidates::default();
        let of = |text: &str| text.parse::<SocketAddr>().unwrap();
        candidates.ban(of("[2001:db8:1:2::1]:6881"));
        assert!(candidates.is_banned(of("[2001:db8:1:2:ffff::9]:1")));
        assert!(!candidates.is_banned(of("[2001:db8:1:3::1]:6881")));
        candidates.ban(of("100.64.0.7:6881"));
        assert!(candidates.is_banned(of("100.64.0.7:6881")));
        assert!(!candidates.is_banned(of("100.64.0.7:6882")));
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_leaves_room_for_the_user() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = Candidates::default();
        for number in 0..20_000u32 {
            let [.., b, c] = number.to_be_bytes();
            let flood = SocketAddr::from(([203, 0, b, c], 6881));
            candidates.learn(flood, Source::Tracker, &mut rng);
        }
        assert_eq!(candidates.known_count(), KNOWN_MAX);
        candidates.learn(address(1), Source::User, &mut rng);
        assert_eq!(candidates.next(Instant::now()), Some(address(1)));
    }
}

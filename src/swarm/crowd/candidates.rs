//! Addresses of peers that are not connected: which one to dial next, how long to leave a
//! failed one alone, and whom never to speak to again. It opens nothing itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::addr::{Host, Locality, host_key};
use crate::base::priority::priority;
use crate::swarm::event::Source;
use crate::wire::mse::Ways;

/// Addresses known per torrent (limits table).
pub const KNOWN_MAX: usize = 3000;
/// What one teller may fill of them by hearsay: a peer by peer exchange, or the local network,
/// where anybody may send under as many names as it likes.
pub const HEARSAY_MAX: usize = KNOWN_MAX / 4;
/// What the DHT may fill of them: whoever has many names there says what it likes.
const DHT_MAX: usize = KNOWN_MAX / 2;
/// The last one among equals.
const TIE_LAST: u32 = u32::MAX;
/// First wait after a failed dial; it grows with the square of the failures.
const BACKOFF: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// One that worked before, or that the user or a listing named, is tried again soon.
const BACKOFF_MAX_TRUSTED: Duration = Duration::from_secs(25);
/// So many failures in a row are forgiven to one that worked; after that it waits twice as long
/// with each, like a peer that left.
const TRUST_FAILURES: u32 = 5;
/// One that only a tracker named and that never worked is forgotten after this many dials.
const FAILURES_MAX: u32 = 6;
/// One that worked once is forgotten after this many, forty minutes after it was
/// there last.
const FAILURES_MAX_WORKED: u32 = 12;
/// Banned addresses that people are told of.
const BANNED_TOLD: usize = 100;
/// After so many failures in a row nothing more is expected of an address.
const FAILURES_HOPELESS: u32 = 3;

#[derive(Debug)]
struct Candidate {
    source: Source,
    failures: u32,
    worked: bool,
    /// The user, a listing or a tracker named it: not only peers, the local network or the DHT.
    is_named: bool,
    /// Somebody said that it listens there; a connection that came in from there proves nothing.
    is_dialable: bool,
    last_error: Option<String>,
    /// When its last link ended.
    left_at: Option<Instant>,
    place: Place,
    /// Breaks ties among equals: by canonical priority (BEP 40), or at random as long as we
    /// do not know our own address.
    tie: u32,
    /// Only peers named it, and one of them left it since.
    is_dropped: bool,
    /// In which ways it takes connections.
    ways: Ways,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Ready,
    Resting(Instant),
    /// Being dialled or connected.
    Busy,
}

type Rank = (Source, u32, u32, SocketAddr);

/// Which addresses may be dialled at present.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// So many of those that failed when they were tried last.
    pub retries: usize,
    /// Those that the user did not name.
    pub strangers: bool,
}

/// The first address there is, to begin a range with.
const LOWEST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Choice {
    /// Every address that is ready.
    pub const ANY: Self = Self { retries: usize::MAX, strangers: true };

    fn sources(self) -> impl Iterator<Item = Source> {
        let all = [
            Source::User,
            Source::Listing,
            Source::Incoming,
            Source::Tracker,
            Source::Lan,
            Source::Dht,
            Source::Pex,
        ];
        let count = if self.strangers { all.len() } else { 1 };
        all.into_iter().take(count)
    }
}

/// All known addresses of one torrent.
#[derive(Debug, Default)]
pub struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    ready: BTreeSet<Rank>,
    resting: BTreeSet<(Instant, SocketAddr)>,
    /// Those that failed and wait, the most hopeless last: no user or listing named it, and how
    /// often it failed.
    failed: BTreeSet<(bool, u32, SocketAddr)>,
    banned_hosts: BTreeSet<Host>,
    banned_addresses: BTreeSet<SocketAddr>,
    /// The last ones that were banned, for people.
    told_banned: VecDeque<SocketAddr>,
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
        let names = matches!(source, Source::User | Source::Listing | Source::Tracker);
        if let Some(known) = self.known.get_mut(&address) {
            known.is_named |= names;
            known.is_dialable |= source != Source::Incoming;
            if known.is_dropped && source != Source::Incoming {
                // Somebody is there again.
                self.set_dropped(address, false, rng);
            }
            let Some(known) = self.known.get_mut(&address) else { return };
            if source == Source::User {
                let (is_busy, tie) = (known.place == Place::Busy, known.tie);
                known.source = if is_busy { source } else { known.source };
                if !is_busy {
                    // The user asks for it now.
                    self.place(address, source, 0, tie, Place::Ready);
                }
            }
            return;
        }
        let most = match source {
            Source::Lan => HEARSAY_MAX,
            Source::Dht => DHT_MAX,
            _ => KNOWN_MAX,
        };
        if most < KNOWN_MAX && self.known.len() >= most && self.count_of(source) >= most {
            let Some(failed) = self.failed_of(source) else { return };
            self.forget(failed);
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
            is_named: names,
            is_dialable: source != Source::Incoming,
            last_error: None,
            left_at: None,
            place: Place::Busy,
            tie,
            is_dropped: false,
            ways: Ways::default(),
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
            self.tie_anew(address, rng);
        }
    }

    /// A peer that told us of the address has left it (BEP 11): if only peers told us of it and it
    /// is not connected, it comes behind the others.
    pub fn dropped(&mut self, address: SocketAddr, rng: &mut StdRng) {
        let is_so =
            |it: &Candidate| it.source == Source::Pex && !it.is_named && it.place != Place::Busy;
        if self.known.get(&address).is_some_and(is_so) {
            self.set_dropped(address, true, rng);
        }
    }

    fn set_dropped(&mut self, address: SocketAddr, is_dropped: bool, rng: &mut StdRng) {
        if let Some(known) = self.known.get_mut(&address) {
            known.is_dropped = is_dropped;
        }
        self.tie_anew(address, rng);
    }

    /// Brings an address into its place among equals.
    fn tie_anew(&mut self, address: SocketAddr, rng: &mut StdRng) {
        let tie = self.tie(address, rng);
        let Some(known) = self.known.get(&address) else { return };
        let (source, failures, place) = (known.source, known.failures, known.place);
        let tie = if known.is_dropped { TIE_LAST } else { tie };
        self.unplace(address);
        if let Some(known) = self.known.get_mut(&address) {
            known.tie = tie;
        }
        self.place(address, source, failures, tie, place);
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
        self.failed.clear();
    }

    fn tie(&self, address: SocketAddr, rng: &mut StdRng) -> u32 {
        // Chance is drawn in any case, so that one address more changes nothing else.
        let chance = rng.random();
        self.priority(address).map_or(chance, |priority| !priority)
    }

    /// The best address of this choice to dial at `now`; it is busy from then on.
    pub fn next(&mut self, choice: Choice, now: Instant) -> Option<SocketAddr> {
        self.wake(now);
        let (.., address) = self.best(choice)?;
        self.unplace(address);
        Some(address)
    }

    fn best(&self, choice: Choice) -> Option<Rank> {
        if choice.retries > 0 {
            let best = self.ready.first().copied();
            return best.filter(|rank| choice.strangers || rank.0 == Source::User);
        }
        choice.sources().find_map(|source| self.fresh(source).next().copied())
    }

    /// Those of a source that are ready and did not fail when they were tried last.
    fn fresh(&self, source: Source) -> impl Iterator<Item = &Rank> {
        self.ready.range((source, 0, 0, LOWEST)..(source, 1, 0, LOWEST))
    }

    /// Those of a source that are ready and failed.
    fn failing(&self, source: Source) -> impl Iterator<Item = &Rank> {
        let ready = self.ready.range((source, 1, 0, LOWEST)..);
        ready.take_while(move |rank| rank.0 == source)
    }

    /// When the next resting address becomes ready; none when one of this choice is ready now
    /// or none rests. It need not be of this choice: then it is ready all the same.
    pub fn next_wake(&self, choice: Choice) -> Option<Instant> {
        let next = self.resting.first().map(|(at, _)| *at);
        next.filter(|_| !self.has_best(choice))
    }

    /// Is an address of this choice ready to be dialled?
    pub fn has_ready(&mut self, choice: Choice, now: Instant) -> bool {
        self.wake(now);
        self.has_best(choice)
    }

    fn has_best(&self, choice: Choice) -> bool {
        self.best(choice).is_some()
    }

    /// How many addresses of this choice could be dialled at `now`, counted up to `most`.
    pub fn ready_count(&mut self, choice: Choice, most: usize, now: Instant) -> usize {
        self.wake(now);
        let retries = choice.retries.min(most);
        let fresh: usize =
            choice.sources().map(|source| self.fresh(source).take(most).count()).sum();
        let failing: usize =
            choice.sources().map(|source| self.failing(source).take(retries).count()).sum();
        (fresh + failing.min(retries)).min(most)
    }

    /// Did this address fail when it was tried last?
    pub fn is_retry(&self, address: SocketAddr) -> bool {
        self.known.get(&address).is_some_and(|known| known.failures > 0)
    }

    /// A connection from this address is there; it is not dialled meanwhile.
    pub fn came_in(&mut self, address: SocketAddr, rng: &mut StdRng) {
        self.learn(address, Source::Incoming, rng);
        self.unplace(address);
    }

    /// The peer that came from `from` listens at `to`, which it may be dialled at when its link
    /// has ended. False when that address is in use, banned, or `may_learn` is false and it is
    /// not known: then nothing changes.
    pub fn listens_at(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        may_learn: bool,
        rng: &mut StdRng,
    ) -> bool {
        let is_free = self.known.get(&to).map_or(may_learn, |known| known.place != Place::Busy);
        if from != to && (!is_free || self.is_banned(to)) {
            return false;
        }
        if from != to {
            self.forget(from);
            self.came_in(to, rng);
        }
        let Some(known) = self.known.get_mut(&to) else { return false };
        known.is_dialable |= may_learn;
        true
    }

    /// In which ways the address is known to take connections.
    pub fn ways(&self, address: SocketAddr) -> Ways {
        self.known.get(&address).map(|known| known.ways).unwrap_or_default()
    }

    /// A dial to the address came up, with an encrypted handshake or a plain one.
    pub fn came_up(&mut self, address: SocketAddr, is_encrypted: bool) {
        if let Some(known) = self.known.get_mut(&address) {
            known.ways.encrypted |= is_encrypted;
            known.ways.plain |= !is_encrypted;
        }
    }

    /// Others say of the address, or who listens there does, that it prefers encryption.
    pub fn prefers_encryption(&mut self, address: SocketAddr) {
        if let Some(known) = self.known.get_mut(&address) {
            known.ways.is_said_to_prefer = true;
        }
    }

    /// The link to this address delivered, or lasted.
    pub fn worked(&mut self, address: SocketAddr) {
        if let Some(known) = self.known.get_mut(&address).filter(|it| it.place == Place::Busy) {
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

    /// Notes for people that a link to this address was up and ended, and why.
    pub fn left(&mut self, address: SocketAddr, why: String, now: Instant) {
        if let Some(known) = self.known.get_mut(&address) {
            (known.last_error, known.left_at) = (Some(why), Some(now));
        }
    }

    /// The dial failed or the link ended: why, and when it may be tried again.
    pub fn ended(&mut self, address: SocketAddr, why: String, now: Instant) {
        let Some(known) = self.known.get_mut(&address) else { return };
        known.failures += 1;
        known.last_error = Some(why);
        let named = matches!(known.source, Source::User | Source::Listing);
        let failures_max = if known.worked { FAILURES_MAX_WORKED } else { FAILURES_MAX };
        if !known.is_dialable || !named && known.failures >= failures_max {
            self.forget(address);
            return;
        }
        let doubt = known.failures.saturating_sub(TRUST_FAILURES).min(16);
        let most = match (named, known.worked) {
            (true, _) => BACKOFF_MAX_TRUSTED,
            (false, true) => BACKOFF_MAX_TRUSTED.saturating_mul(1 << doubt).min(BACKOFF_MAX),
            (false, false) => BACKOFF_MAX,
        };
        let wait = BACKOFF.saturating_mul(known.failures.saturating_pow(2)).min(most);
        let (source, failures, tie) = (known.source, known.failures, known.tie);
        self.place(address, source, failures, tie, Place::Resting(now + wait));
    }

    /// The link ended for no fault of the address: it may be dialled again at once.
    pub fn released(&mut self, address: SocketAddr) {
        let Some(known) = self.known.get(&address) else { return };
        if !known.is_dialable {
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
        if !known.is_dialable {
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
        self.banned_hosts.contains(&host_key(address.ip()))
            || self.banned_addresses.contains(&address)
    }

    /// Is this address not to be dialled now, however often it is named: banned, our own, or left
    /// alone for a while, as a seed is by a seed?
    pub fn is_left_alone(&self, address: SocketAddr, now: Instant) -> bool {
        let rests = |it: &Candidate| matches!(it.place, Place::Resting(until) if until > now);
        self.is_banned(address)
            || self.ours.contains(&address)
            || self.known.get(&address).is_some_and(rests)
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

    /// Addresses that are not busy, with the reason why the last link or dial ended, and when the
    /// last link did.
    pub fn idle(&self) -> impl Iterator<Item = (SocketAddr, Option<&str>, Option<Instant>)> {
        let idle = self.known.iter().filter(|(_, known)| known.place != Place::Busy);
        idle.map(|(address, known)| (*address, known.last_error.as_deref(), known.left_at))
    }

    /// Notes for people that this address was banned.
    pub fn note_banned(&mut self, address: SocketAddr) {
        if self.told_banned.len() == BANNED_TOLD {
            self.told_banned.pop_front();
        }
        self.told_banned.push_back(address);
    }

    /// Those that were banned last, the oldest first.
    pub fn told_banned(&self) -> impl Iterator<Item = SocketAddr> {
        self.told_banned.iter().copied()
    }

    /// Addresses that have rested until `now` are ready.
    pub fn wake(&mut self, now: Instant) {
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

    /// Did the user, a listing or a tracker name the address?
    pub fn is_named(&self, address: SocketAddr) -> bool {
        self.known.get(&address).is_some_and(|known| known.is_named)
    }

    /// Did nobody else than peers, the local network or the DHT name the address?
    pub fn is_hearsay(&self, address: SocketAddr) -> bool {
        let known = self.known.get(&address).filter(|known| !known.is_named);
        known.is_some_and(|known| matches!(known.source, Source::Pex | Source::Lan | Source::Dht))
    }

    /// Our own addresses, as far as others told us.
    pub fn ours(&self) -> &[SocketAddr] {
        &self.ours
    }

    /// Forgets all that neither the user nor a listing or tracker named. Those that came in by
    /// themselves are not dialled back.
    pub fn forget_unnamed(&mut self) {
        let unnamed = self.known.iter_mut().filter(|(_, known)| !known.is_named);
        let mut left = Vec::new();
        for (address, known) in unnamed {
            match known.source == Source::Incoming && known.place == Place::Busy {
                true => known.is_dialable = false,
                false => left.push(*address),
            }
        }
        left.into_iter().for_each(|address| self.forget(address));
    }

    /// Who told us of the address, if it is known.
    pub fn source(&self, address: SocketAddr) -> Option<Source> {
        self.known.get(&address).map(|known| known.source)
    }

    /// Forgets all but the best `most` addresses; bans stay.
    pub fn keep_best(&mut self, most: usize) {
        let rank =
            |(address, it): (&SocketAddr, &Candidate)| (it.source, it.failures, it.tie, *address);
        let mut ranks: Vec<Rank> = self.known.iter().map(rank).collect();
        ranks.sort_unstable();
        ranks.into_iter().skip(most).for_each(|(.., address)| self.forget(address));
    }

    /// What was busy is not any more: its links are over.
    pub fn release_all(&mut self) {
        let busy = self.known.iter().filter(|(_, known)| known.place == Place::Busy);
        let busy: Vec<_> = busy.map(|(address, _)| *address).collect();
        busy.into_iter().for_each(|address| self.released(address));
    }

    fn place(&mut self, address: SocketAddr, source: Source, failures: u32, tie: u32, to: Place) {
        self.unplace(address);
        let Some(known) = self.known.get_mut(&address) else { return };
        known.source = source;
        known.failures = failures;
        known.place = to;
        let is_lost = failures >= if known.worked { FAILURES_HOPELESS } else { 1 };
        if is_lost && source != Source::User && to != Place::Busy {
            self.failed.insert((source != Source::Listing, failures, address));
        }
        match to {
            Place::Ready => drop(self.ready.insert((source, failures, tie, address))),
            Place::Resting(at) => drop(self.resting.insert((at, address))),
            Place::Busy => {}
        }
    }

    fn unplace(&mut self, address: SocketAddr) {
        let Some(known) = self.known.get_mut(&address) else { return };
        self.failed.remove(&(known.source != Source::Listing, known.failures, address));
        match known.place {
            Place::Ready => {
                self.ready.remove(&(known.source, known.failures, known.tie, address));
            }
            Place::Resting(at) => drop(self.resting.remove(&(at, address))),
            Place::Busy => {}
        }
        known.place = Place::Busy;
    }

    fn count_of(&self, source: Source) -> usize {
        self.known.values().filter(|known| known.source == source).count()
    }

    /// The most hopeless one of a source, if any of it failed.
    fn failed_of(&self, source: Source) -> Option<SocketAddr> {
        let mut failed = self.failed.iter().rev().map(|(.., address)| *address);
        failed.find(|it| self.known.get(it).is_some_and(|known| known.source == source))
    }

    /// Makes room for an address from `source`: the most hopeless goes, or one of a worse source.
    fn forget_one(&mut self, source: Source) -> bool {
        let failed = self.failed.last().map(|(.., address)| *address);
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
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(2)));
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(1)));
        assert_eq!(candidates.next(Choice::ANY, now), None);
        assert_eq!(candidates.known_count(), 2);
    }

    #[test]
    fn a_failed_address_rests_longer_each_time_and_is_forgotten_at_last() {
        let mut candidates = learned(&[(1, Source::Tracker)]);
        let mut now = Instant::now();
        for wait in [5, 20, 45, 80, 125] {
            assert_eq!(candidates.next(Choice::ANY, now), Some(address(1)));
            candidates.ended(address(1), "refused".into(), now);
            assert_eq!(candidates.next(Choice::ANY, now), None);
            assert_eq!(candidates.next_wake(Choice::ANY), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(1)));
        candidates.ended(address(1), "refused".into(), now);
        assert_eq!(candidates.known_count(), 0);
    }

    #[test]
    fn one_that_the_user_named_is_never_forgotten() {
        let mut candidates = learned(&[(1, Source::Tracker), (2, Source::User)]);
        let mut now = Instant::now();
        for _ in 0..40 {
            while let Some(address) = candidates.next(Choice::ANY, now) {
                candidates.ended(address, "gone".into(), now);
            }
            now += BACKOFF_MAX_TRUSTED;
        }
        assert_eq!(candidates.known_count(), 1);
        assert!(candidates.has_ready(Choice::ANY, now));
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
        assert_eq!(candidates.next(Choice::ANY, Instant::now()), Some(address(1)));
    }

    /// Lets all that may be dialled be dialled, in vain.
    fn fail_all(candidates: &mut Candidates, now: Instant) -> usize {
        let mut dials = 0;
        while let Some(address) = candidates.next(Choice::ANY, now) {
            candidates.ended(address, "gone".into(), now);
            dials += 1;
        }
        dials
    }

    #[test]
    fn one_that_worked_loses_trust_with_each_failure_and_is_forgotten_at_last() {
        let mut candidates = learned(&[(1, Source::Tracker)]);
        let mut now = Instant::now();
        candidates.next(Choice::ANY, now);
        candidates.worked(address(1));
        candidates.ended(address(1), "gone".into(), now);
        let mut waits = Vec::new();
        while let Some(at) = candidates.next_wake(Choice::ANY) {
            waits.push((at - now).as_secs());
            now = at;
            fail_all(&mut candidates, now);
        }
        assert_eq!(waits, [5, 20, 25, 25, 25, 50, 100, 200, 400, 500, 605]);
        assert_eq!(candidates.known_count(), 0);
    }

    #[test]
    fn a_full_list_forgets_the_dead_for_new_ones() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = Candidates::default();
        let numbered = |number: usize| {
            let [.., b, c] = number.to_be_bytes();
            SocketAddr::from(([203, 0, b, c], 6881))
        };
        let now = Instant::now();
        for number in 0..KNOWN_MAX {
            candidates.learn(numbered(number), Source::Tracker, &mut rng);
        }
        while let Some(address) = candidates.next(Choice::ANY, now) {
            candidates.worked(address);
            candidates.ended(address, "gone".into(), now);
        }
        let mut later = now;
        for _ in 0..3 {
            later += BACKOFF_MAX_TRUSTED;
            fail_all(&mut candidates, later);
        }
        candidates.learn(address(1), Source::Tracker, &mut rng);
        assert_eq!(candidates.known_count(), KNOWN_MAX);
        assert_eq!(candidates.next(Choice::ANY, later), Some(address(1)));
    }

    #[test]
    fn without_retries_only_new_ones_are_chosen() {
        let mut candidates = learned(&[(1, Source::User), (2, Source::Tracker)]);
        let now = Instant::now();
        candidates.next(Choice::ANY, now);
        candidates.ended(address(1), "gone".into(), now);
        let later = now + BACKOFF;
        let fresh = Choice { retries: 0, strangers: true };
        assert_eq!(candidates.next(fresh, later), Some(address(2)));
        assert_eq!(candidates.next(fresh, later), None);
        let named = Choice { retries: 1, strangers: false };
        assert_eq!(candidates.next(named, later), Some(address(1)));
    }

    #[test]
    fn what_may_not_be_dialled_hides_no_rest_and_does_not_count() {
        let mut candidates = learned(&[(1, Source::User), (2, Source::Tracker)]);
        let named = Choice { retries: 5, strangers: false };
        let now = Instant::now();
        assert_eq!(candidates.next(named, now), Some(address(1)));
        candidates.ended(address(1), "gone".into(), now);
        assert_eq!(candidates.next_wake(named), Some(now + BACKOFF));
        assert_eq!(candidates.next_wake(Choice::ANY), None);
        assert_eq!(candidates.ready_count(named, 9, now), 0);
        let later = now + BACKOFF;
        assert_eq!(candidates.ready_count(named, 9, later), 1);
        assert_eq!(candidates.ready_count(Choice::ANY, 9, later), 2);
        assert_eq!(candidates.ready_count(Choice::ANY, 1, later), 1);
        let fresh = Choice { retries: 0, strangers: true };
        assert_eq!(candidates.ready_count(fresh, 9, later), 1);
    }

    #[test]
    fn one_that_the_user_names_while_it_is_connected_is_the_users_from_then_on() {
        let mut candidates = learned(&[(1, Source::Tracker)]);
        let mut now = Instant::now();
        candidates.next(Choice::ANY, now);
        candidates.learn(address(1), Source::User, &mut StdRng::seed_from_u64(1));
        assert_eq!(candidates.next(Choice::ANY, now), None, "it is connected");
        for _ in 0..2 * FAILURES_MAX {
            candidates.ended(address(1), "gone".into(), now);
            now += BACKOFF_MAX_TRUSTED;
            assert_eq!(candidates.next(Choice::ANY, now), Some(address(1)));
        }
    }

    #[test]
    fn the_best_are_kept_and_bans_too() {
        let mut candidates = Candidates::default();
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        (1..100).for_each(|host| candidates.learn(address(host), Source::Tracker, &mut rng));
        for _ in 0..50 {
            let failing = candidates.next(Choice::ANY, now).unwrap();
            candidates.ended(failing, "gone".into(), now);
        }
        candidates.learn(address(100), Source::User, &mut rng);
        candidates.ban(address(101));
        candidates.keep_best(20);
        assert_eq!((candidates.known_count(), candidates.idle_count()), (20, 20));
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(100)));
        assert_eq!(candidates.ready_count(Choice::ANY, 50, now), 19, "none of them failed");
        assert!(candidates.is_banned(address(101)));
    }

    #[test]
    fn the_dht_fills_half_and_leaves_room_for_others() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = Candidates::default();
        let at = |number: usize| {
            let [high, low] = (number as u16).to_be_bytes();
            SocketAddr::from(([198, 18, high, low], 6881))
        };
        for number in 0..KNOWN_MAX {
            candidates.learn(at(number), Source::Dht, &mut rng);
        }
        assert_eq!(candidates.known_count(), DHT_MAX);
        candidates.learn(at(KNOWN_MAX), Source::Pex, &mut rng);
        assert_eq!(candidates.known_count(), DHT_MAX + 1);
    }

    #[test]
    fn the_local_network_fills_a_quarter_and_its_dead_make_way() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = Candidates::default();
        let local = |port: usize| SocketAddr::from(([192, 168, 1, 7], port as u16));
        for port in 1..=2 * HEARSAY_MAX {
            candidates.learn(local(port), Source::Lan, &mut rng);
        }
        assert_eq!(candidates.known_count(), HEARSAY_MAX);
        candidates.learn(address(1), Source::Pex, &mut rng);
        assert_eq!(candidates.known_count(), HEARSAY_MAX + 1, "others have their own room");
        let now = Instant::now();
        let dead = candidates.next(Choice::ANY, now).unwrap();
        candidates.ended(dead, "refused".into(), now);
        candidates.learn(local(9_999), Source::Lan, &mut rng);
        candidates.learn(local(9_998), Source::Lan, &mut rng);
        assert_eq!(candidates.known_count(), HEARSAY_MAX + 1);
        assert_eq!(candidates.source(dead), None);
        assert!(candidates.source(local(9_999)).is_some());
    }

    /// BEP 11.
    #[test]
    fn what_a_peer_dropped_comes_last_until_it_is_told_again() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let hosts: Vec<(u8, Source)> = (1..=9).map(|host| (host, Source::Pex)).collect();
        let mut candidates = learned(&[&hosts[..], &[(10, Source::Tracker)]].concat());
        let order = |mut candidates: Candidates| {
            let next = std::iter::from_fn(|| candidates.next(Choice::ANY, now));
            next.collect::<Vec<_>>()
        };
        let first = order(learned(&hosts))[0];
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(10)));
        candidates.released(address(10));
        candidates.dropped(address(10), &mut rng);
        candidates.dropped(first, &mut rng);
        // It stays so when all are brought into another order.
        candidates.set_ours(SocketAddr::from(([203, 0, 113, 1], 6881)), &mut rng);
        let Some(busy) = candidates.next(Choice::ANY, now) else { panic!("there are ten") };
        assert_eq!(busy, address(10), "a tracker named it");
        candidates.released(address(10));
        let mut told_again = learned(&hosts);
        told_again.dropped(first, &mut rng);
        assert_eq!(order(candidates).last(), Some(&first));
        told_again.learn(first, Source::Pex, &mut rng);
        assert!(told_again.known[&first].tie < TIE_LAST, "somebody is there again");
        // Who is connected shows itself what it is worth.
        let mut connected = learned(&hosts);
        let busy = connected.next(Choice::ANY, now).unwrap();
        connected.dropped(busy, &mut rng);
        connected.released(busy);
        assert_eq!(order(connected)[0], busy);
    }

    #[test]
    fn a_peer_that_came_in_is_known_by_where_it_listens() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut candidates = learned(&[(1, Source::Tracker)]);
        let from = |host: u8| SocketAddr::new(address(host).ip(), 50_000);
        for host in [1, 2] {
            candidates.came_in(from(host), &mut rng);
            assert!(candidates.listens_at(from(host), address(host), true, &mut rng));
        }
        assert_eq!(candidates.known_count(), 2);
        let now = Instant::now();
        assert_eq!(candidates.next(Choice::ANY, now), None, "it is connected");
        candidates.released(address(1));
        candidates.released(address(2));
        assert_eq!(candidates.next(Choice::ANY, now), Some(address(2)));
        // Somebody says that it listens where another is connected: that one keeps its name.
        candidates.came_in(from(3), &mut rng);
        assert!(!candidates.listens_at(from(3), address(2), true, &mut rng));
    }
}

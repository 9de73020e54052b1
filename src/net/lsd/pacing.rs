//! When which torrents are announced on the local network (BEP 14), and what is believed of what
//! is heard there. A pure machine; which sender is on this network is for others to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::base::addr::host_key;
use crate::base::ids::InfoHash;
use crate::base::ration::Ration;
use crate::wire::LocalAnnounce;

/// "it should send a LSD announce every 5 minutes"
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// Torrents that would be due so soon are announced along with others.
const ALONG: Duration = Duration::from_secs(60);
/// Between two datagrams.
const GAP: Duration = Duration::from_secs(1);
/// Whoever announces what we have is told so after this, by an announce for all: several may
/// have come meanwhile, and not everybody answers at once.
const ANSWER_MS: std::ops::Range<u64> = 1_000..3_000;
/// A torrent is announced no more often, whoever asks.
const ANSWER_GAP: Duration = Duration::from_secs(60);
/// Datagrams of one host, and of all, that are read in a second.
const HOST_PER_S: u32 = 10;
const ALL_PER_S: u32 = 50;
/// Hashes that fit into 1,400 bytes beside headers of ours.
const HASHES: usize = 25;
const COOKIE_LEN: usize = 12;

/// A peer on this network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalPeer {
    /// What it has.
    pub info_hash: InfoHash,
    /// Where it listens.
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
struct Torrent {
    due: Instant,
    announced: Option<Instant>,
}

/// The pace of all torrents of a session.
#[derive(Debug)]
pub struct Pacing {
    cookie: [u8; COOKIE_LEN],
    torrents: BTreeMap<InfoHash, Torrent>,
    by_due: BTreeSet<(Instant, InfoHash)>,
    /// No datagram before.
    free_at: Instant,
    hosts: Ration,
    second: (Instant, u32),
    rng: StdRng,
}

impl Pacing {
    /// Without torrents. `rng` makes the cookie by which we know ourselves.
    pub fn new(mut rng: StdRng, now: Instant) -> Self {
        let cookie = std::array::from_fn(|_| b"0123456789abcdef"[rng.random_range(0..16)]);
        Self {
            cookie,
            torrents: BTreeMap::new(),
            by_due: BTreeSet::new(),
            free_at: now,
            hosts: Ration::new(HOST_PER_S, Duration::from_secs(1)),
            second: (now, 0),
            rng,
        }
    }

    /// A torrent, never a private one, is announced as soon as may be, and again and again.
    pub fn add(&mut self, info_hash: InfoHash, now: Instant) {
        if !self.torrents.contains_key(&info_hash) {
            self.put(info_hash, Torrent { due: now, announced: None });
        }
    }

    /// A torrent is not announced any more, nor are its peers told.
    pub fn remove(&mut self, info_hash: InfoHash) {
        if let Some(torrent) = self.torrents.remove(&info_hash) {
            self.by_due.remove(&(torrent.due, info_hash));
        }
    }

    /// Everything is announced anew: there are other networks than before.
    pub fn restart(&mut self, now: Instant) {
        let known: Vec<InfoHash> = self.torrents.keys().copied().collect();
        known.into_iter().for_each(|it| self.put(it, Torrent { due: now, announced: None }));
    }

    /// When [`poll`](Self::poll) will have something to send.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| (*due).max(self.free_at))
    }

    /// The announce to send now on all networks, if one is due; we listen on `port`.
    pub fn poll(&mut self, port: u16, now: Instant) -> Option<LocalAnnounce<'_>> {
        if self.next_timeout().is_none_or(|due| due > now) {
            return None;
        }
        let soon = self.by_due.iter().take_while(|(due, _)| *due <= now + ALONG);
        let hashes: Vec<InfoHash> = soon.map(|(_, hash)| *hash).take(HASHES).collect();
        for hash in &hashes {
            self.put(*hash, Torrent { due: now + PERIOD, announced: Some(now) });
        }
        self.free_at = now + GAP;
        Some(LocalAnnounce { port, hashes, cookie: Some(&self.cookie) })
    }

    /// A datagram of a sender on this network: the peers that it tells of.
    pub fn heard(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Vec<LocalPeer> {
        if now.saturating_duration_since(self.second.0) >= Duration::from_secs(1) {
            self.second = (now, 0);
        }
        if self.second.1 >= ALL_PER_S || !self.hosts.take(host_key(from.ip()), now) {
            return Vec::new();
        }
        self.second.1 += 1;
        let Some(announce) = LocalAnnounce::decode(datagram) else { return Vec::new() };
        if announce.cookie == Some(&self.cookie) {
            return Vec::new();
        }
        let mut address = from;
        address.set_port(announce.port);
        let mut peers = Vec::new();
        for info_hash in announce.hashes {
            let Some(torrent) = self.torrents.get(&info_hash).copied() else { continue };
            peers.push(LocalPeer { info_hash, address });
            let wait = Duration::from_millis(self.rng.random_range(ANSWER_MS));
            let again = torrent.announced.map(|announced| announced + ANSWER_GAP);
            let due = again.unwrap_or(now).max(now + wait).min(torrent.due);
            self.put(info_hash, Torrent { due, ..torrent });
        }
        peers
    }

    fn put(&mut self, info_hash: InfoHash, torrent: Torrent) {
        if let Some(before) = self.torrents.insert(info_hash, torrent) {
            self.by_due.remove(&(before.due, info_hash));
        }
        self.by_due.insert((torrent.due, info_hash));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::wire::LSD_LEN_MAX;

    struct Stage {
        pacing: Pacing,
        start: Instant,
        now: Instant,
    }

    fn hash(number: u16) -> InfoHash {
        let mut hash = [7; 20];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        InfoHash(hash)
    }

    impl Stage {
        fn new() -> Self {
            let now = Instant::now();
            Self { pacing: Pacing::new(StdRng::seed_from_u64(1), now), start: now, now }
        }

        /// Milliseconds since the start at which something is sent in the next `seconds`, and
        /// how many hashes.
        fn wait(&mut self, seconds: u64) -> Vec<(u64, usize)> {
            let end = self.now + Duration::from_secs(seconds);
            let mut sent = Vec::new();
            while let Some(due) = self.pacing.next_timeout().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                let since = (self.now - self.start).as_millis() as u64;
                let announce = self.pacing.poll(65_535, self.now).expect("it is due");
                let mut datagram = Vec::new();
                let group = "[ff15::efc0:988f]:65535".parse().unwrap();
                assert_eq!(announce.encode(group, &mut datagram), announce.hashes.len());
                assert!(datagram.len() <= LSD_LEN_MAX);
                sent.push((since, announce.hashes.len()));
            }
            self.now = end;
            sent
        }

        fn hears(&mut self, from: &str, hashes: &[InfoHash], cookie: &[u8]) -> Vec<LocalPeer> {
            let announce =
                LocalAnnounce { port: 4_000, hashes: hashes.to_vec(), cookie: Some(cookie) };
            let mut datagram = Vec::new();
            announce.encode("239.192.152.143:6771".parse().unwrap(), &mut datagram);
            self.pacing.heard(from.parse().unwrap(), &datagram, self.now)
        }
    }

    #[test]
    fn a_torrent_is_announced_at_once_and_then_every_five_minutes() {
        let mut it = Stage::new();
        assert_eq!(it.wait(10), []);
        it.pacing.add(hash(1), it.now);
        it.pacing.add(hash(1), it.now);
        assert_eq!(it.wait(700), [(10_000, 1), (310_000, 1), (610_000, 1)]);
        it.pacing.remove(hash(1));
        assert_eq!(it.wait(700), []);
    }

    #[test]
    fn many_torrents_share_datagrams_of_which_one_leaves_in_a_second() {
        let mut it = Stage::new();
        (0..60).for_each(|number| it.pacing.add(hash(number), it.now));
        assert_eq!(it.wait(20), [(0, 25), (1_000, 25), (2_000, 10)]);
        it.pacing.add(hash(99), it.now);
        assert_eq!(it.wait(10), [(20_000, 1)]);
        // Whatever is due soon goes along.
        assert_eq!(it.wait(300), [(300_000, 25), (301_000, 25), (302_000, 11)]);
    }

    #[test]
    fn a_peer_is_told_and_answered_by_an_announce_within_three_seconds_once_a_minute() {
        let mut it = Stage::new();
        it.pacing.add(hash(1), it.now);
        it.wait(100);
        let peers = it.hears("192.168.1.5:6771", &[hash(1), hash(2)], b"other");
        let address = "192.168.1.5:4000".parse().unwrap();
        assert_eq!(peers, [LocalPeer { info_hash: hash(1), address }]);
        let sent = it.wait(20);
        assert!(sent.len() == 1 && (101_000..103_000).contains(&sent[0].0), "{sent:?}");
        it.hears("192.168.1.6:6771", &[hash(1)], b"other");
        let again = it.wait(60);
        assert_eq!(again, [(sent[0].0 + 60_000, 1)]);
    }

    #[test]
    fn an_answer_never_puts_off_what_is_due() {
        let mut it = Stage::new();
        it.pacing.add(hash(1), it.now);
        it.wait(299);
        it.now += Duration::from_millis(500);
        it.hears("192.168.1.5:6771", &[hash(1)], b"other");
        assert_eq!(it.wait(10), [(300_000, 1)]);
    }

    #[test]
    fn our_own_datagrams_tell_nothing() {
        let mut it = Stage::new();
        it.pacing.add(hash(1), it.now);
        let cookie = it.pacing.cookie;
        assert_eq!(it.hears("192.168.1.5:6771", &[hash(1)], &cookie), []);
        assert_eq!(it.hears("192.168.1.5:6771", &[hash(1)], b"other").len(), 1);
    }

    #[test]
    fn ten_datagrams_of_a_host_and_fifty_of_all_are_read_in_a_second() {
        let mut it = Stage::new();
        it.pacing.add(hash(1), it.now);
        let told = |it: &mut Stage, host: u8| {
            let from = format!("192.168.1.{host}:6771");
            (0..20).map(|_| it.hears(&from, &[hash(1)], b"other").len()).sum::<usize>()
        };
        let counts: Vec<_> = (0..7).map(|host| told(&mut it, host)).collect();
        assert_eq!(counts, [10, 10, 10, 10, 10, 0, 0]);
        it.now += Duration::from_secs(1);
        assert_eq!(told(&mut it, 6), 10);
    }

    #[test]
    fn after_a_restart_everything_is_due() {
        let mut it = Stage::new();
        it.pacing.add(hash(1), it.now);
        it.wait(100);
        it.pacing.restart(it.now);
        assert_eq!(it.wait(10), [(100_000, 1)]);
        assert_eq!(it.pacing.by_due.len(), 1);
    }
}

//! The peers that others announced to us (BEP 5), packed: 8 bytes each, 20 with IPv6. Bounded in
//! torrents, peers and bytes; when it is full, what is far from our id leaves first, since
//! nobody would look for it here. Not here: whether an announce is believed.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::bloom::Bloom;
use super::compact;
use super::id::NodeId;
use super::nets::Family;
use crate::base::addr::{COMPACT_V4_LEN, COMPACT_V6_LEN, canonical_ip};
use crate::base::ids::InfoHash;

/// Torrents at most (libtorrent).
const TORRENTS_MAX: usize = 2_000;
/// Peers of one torrent at most (libtorrent).
const PEERS_MAX: usize = 500;
/// Torrents that one host may be a peer of; a /64 of IPv6 is one host.
const TORRENTS_PER_HOST: usize = 64;
/// Bytes of memory at most.
const BYTES_MAX: usize = 4 << 20;
/// How long a peer is remembered (libtorrent): clients announce each 15 to 30 minutes.
const PEER_LIFE: Duration = Duration::from_secs(45 * 60);
/// Between two rounds in which old peers are thrown away.
const SWEEP_EACH: Duration = Duration::from_secs(60);
/// Unit of the time that is kept with a peer; 15 bits of them are 18 hours.
const TICK: Duration = Duration::from_secs(2);
/// The bit of a peer's time that says that it is a seed.
const SEED: u16 = 0x8000;
/// After so long without a sweep nothing is believed.
const SWEEP_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Bytes by which a torrent's list grows at least.
const GROWTH_MIN: usize = 32;
/// Torrents by which their list grows.
const TORRENTS_GROWTH: usize = 64;

/// Why a peer is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// No more peers of this torrent, or no more torrents so far from our id.
    Torrent,
    /// The host is a peer of too many torrents.
    Host,
}

/// Peers of one family by torrent.
#[derive(Debug)]
pub struct PeerStore {
    own: NodeId,
    began: Instant,
    address_len: usize,
    bytes_max: usize,
    /// Sorted by hash.
    torrents: Vec<Torrent>,
    /// Of all lists of peers.
    list_bytes: usize,
    next_sweep: Instant,
    /// The torrent that leaves next, as long as none came or went.
    farthest: Option<usize>,
}

#[derive(Debug)]
struct Torrent {
    hash: InfoHash,
    /// When it was announced last.
    announced: u16,
    /// Sorted entries: address, port, time.
    peers: Vec<u8>,
}

impl PeerStore {
    /// An empty one for peers of `family`, near `own`.
    pub fn new(own: NodeId, family: Family, now: Instant) -> Self {
        let address_len = match family {
            Family::V4 => COMPACT_V4_LEN,
            Family::V6 => COMPACT_V6_LEN,
        };
        Self {
            own,
            began: now,
            address_len,
            bytes_max: BYTES_MAX,
            torrents: Vec::new(),
            list_bytes: 0,
            next_sweep: now + SWEEP_EACH,
            farthest: None,
        }
    }

    /// Our own id is another one.
    pub fn rename(&mut self, own: NodeId) {
        self.own = own;
        self.farthest = None;
    }

    /// Torrents that are known.
    pub fn torrents(&self) -> usize {
        self.torrents.len()
    }

    /// Peers of all of them.
    pub fn peers(&self) -> usize {
        let entry = self.entry_len();
        self.torrents.iter().map(|torrent| torrent.peers.len() / entry).sum()
    }

    /// The torrents' names, sorted.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = InfoHash> + '_ {
        self.torrents.iter().map(|torrent| torrent.hash)
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.torrents.capacity() * size_of::<Torrent>() + self.list_bytes
    }

    /// Whether one more peer of this torrent would be stored: nobody should announce in vain
    /// ("if a node does not return a token it indicates that it currently cannot accept
    /// announces for this infohash", BEP 33).
    pub fn has_room(&mut self, hash: InfoHash) -> bool {
        match self.position(hash) {
            Ok(at) => self.torrents[at].peers.len() < PEERS_MAX * self.entry_len(),
            Err(_) => !self.is_full() || self.is_nearer_than_another(hash),
        }
    }

    /// Stores a peer, or that it is still there.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn announce(
        &mut self,
        hash: InfoHash,
        peer: SocketAddr,
        is_seed: bool,
        now: Instant,
    ) -> Result<(), Full> {
        self.sweep(now);
        let stamp = self.stamp(now);
        let time = if is_seed { stamp | SEED } else { stamp };
        let (entry, len) = entry(peer, time);
        let entry = &entry[..len];
        if len != self.entry_len() {
            return Err(Full::Torrent);
        }
        if let Ok(at) = self.position(hash) {
            if let Ok(peer_at) = self.find(at, entry) {
                self.torrents[at].peers[peer_at..peer_at + len].copy_from_slice(entry);
                self.torrents[at].announced = stamp;
                return Ok(());
            }
            if self.torrents[at].peers.len() >= PEERS_MAX * len {
                return Err(Full::Torrent);
            }
        }
        if self.torrents_of(entry) >= TORRENTS_PER_HOST {
            return Err(Full::Host);
        }
        self.make_room(hash)?;
        let at = self.open(hash);
        self.torrents[at].announced = stamp;
        self.insert(at, entry);
        Ok(())
    }

    /// Appends up to `max` peers of a torrent in the compact form, chosen by chance and spread
    /// over the whole list; without seeds if it must be. They are as old as the last sweep left
    /// them.
    pub fn sample(
        &self,
        hash: InfoHash,
        noseed: bool,
        max: usize,
        rng: &mut StdRng,
        out: &mut Vec<u8>,
    ) {
        let Ok(at) = self.position(hash) else { return };
        let (peers, entry) = (&self.torrents[at].peers, self.entry_len());
        let fits = |peer: &&[u8]| !(noseed && is_seed(peer));
        let count = match noseed {
            true => self.entries(at).filter(fits).count(),
            false => peers.len() / entry,
        };
        let wanted = max.min(count);
        if wanted == 0 {
            return;
        }
        let begin = rng.random_range(0..count);
        let mut push = |peer: &[u8]| out.extend_from_slice(&peer[..self.address_len]);
        if noseed {
            for (index, peer) in self.entries(at).filter(fits).enumerate() {
                // Of `count` steps of this length, just `wanted` pass the beginning.
                if (index * wanted + begin) % count < wanted {
                    push(peer);
                }
            }
        } else {
            for index in 0..wanted {
                let from = (begin + index * count / wanted) % count * entry;
                push(&peers[from..from + entry]);
            }
        }
    }

    /// Filters of the seeds and of the others among a torrent's peers (BEP 33).
    pub fn filters(&self, hash: InfoHash) -> Option<(Bloom, Bloom)> {
        let at = self.position(hash).ok()?;
        let (mut seeds, mut leechers) = (Bloom::default(), Bloom::default());
        for peer in self.entries(at) {
            let address = compact::peer(&peer[..self.address_len]);
            let Some(address) = address.map(|address| address.ip()) else { continue };
            if is_seed(peer) { seeds.insert(address) } else { leechers.insert(address) }
        }
        Some((seeds, leechers))
    }

    /// Throws away what is too old, once a minute.
    pub fn sweep(&mut self, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        // The time that is kept with a peer says nothing after so long.
        let is_ancient = now.saturating_duration_since(self.next_sweep) > SWEEP_MAX;
        self.next_sweep = now + SWEEP_EACH;
        self.farthest = None;
        let (entry, stamp) = (self.entry_len(), self.stamp(now));
        for torrent in &mut self.torrents {
            let before = torrent.peers.capacity();
            retain(&mut torrent.peers, entry, |peer| !is_ancient && is_fresh(time(peer), stamp));
            if torrent.peers.len() * 2 < before {
                torrent.peers.shrink_to(torrent.peers.len() + entry);
            }
            self.list_bytes -= before - torrent.peers.capacity();
        }
        let bytes = &mut self.list_bytes;
        self.torrents.retain(|torrent| {
            let is_kept = !torrent.peers.is_empty();
            *bytes -= if is_kept { 0 } else { torrent.peers.capacity() };
            is_kept
        });
        self.torrents.shrink_to(self.torrents.len() * 2);
    }

    /// Everything that must hold at any time.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        assert!(self.torrents.len() <= TORRENTS_MAX);
        assert!(self.memory() <= self.bytes_max, "{} bytes", self.memory());
        let bytes: usize = self.torrents.iter().map(|torrent| torrent.peers.capacity()).sum();
        assert_eq!(bytes, self.list_bytes);
        assert!(self.torrents.is_sorted_by(|a, b| a.hash < b.hash));
        for at in 0..self.torrents.len() {
            let peers: Vec<&[u8]> =
                self.entries(at).map(|peer| &peer[..self.address_len]).collect();
            assert!(!peers.is_empty() && peers.len() <= PEERS_MAX);
            assert!(peers.is_sorted_by(|a, b| a < b));
        }
    }

    fn entry_len(&self) -> usize {
        self.address_len + 2
    }

    /// Never larger than 15 bits.
    fn stamp(&self, now: Instant) -> u16 {
        let ticks = now.saturating_duration_since(self.began).as_secs() / TICK.as_secs();
        (ticks % u64::from(SEED)) as u16
    }

    fn position(&self, hash: InfoHash) -> Result<usize, usize> {
        self.torrents.binary_search_by_key(&hash, |torrent| torrent.hash)
    }

    fn entries(&self, at: usize) -> impl Iterator<Item = &[u8]> + '_ {
        self.torrents[at].peers.chunks_exact(self.entry_len())
    }

    /// Where the peer of this entry stands, or would stand, in bytes.
    fn find(&self, at: usize, entry: &[u8]) -> Result<usize, usize> {
        let peers = &self.torrents[at].peers;
        let (len, key) = (entry.len(), &entry[..self.address_len]);
        let (mut low, mut high) = (0, peers.len() / len);
        while low < high {
            let middle = (low + high) / 2;
            let begin = middle * len;
            match peers[begin..begin + self.address_len].cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(begin),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low * len)
    }

    /// How many torrents the host of this entry is a peer of.
    fn torrents_of(&self, entry: &[u8]) -> usize {
        let host = if self.address_len == COMPACT_V4_LEN { &entry[..4] } else { &entry[..8] };
        let mut lowest = [0; COMPACT_V6_LEN + 2];
        lowest[..host.len()].copy_from_slice(host);
        let lowest = &lowest[..entry.len()];
        let has_host = |at: &usize| {
            let begin = self.find(*at, lowest).unwrap_or_else(|begin| begin);
            self.torrents[*at].peers[begin..].starts_with(host)
        };
        (0..self.torrents.len()).filter(has_host).count()
    }

    /// Whether a torrent that is new would be one too many.
    fn is_full(&self) -> bool {
        self.torrents.len() >= TORRENTS_MAX || !self.fits(self.growth(0))
    }

    /// Whether so many bytes may come, even if the list of torrents has to grow for them.
    fn fits(&self, bytes: usize) -> bool {
        let is_grown = self.torrents.len() == self.torrents.capacity();
        let list = if is_grown { TORRENTS_GROWTH * size_of::<Torrent>() } else { 0 };
        self.memory() + list + bytes <= self.bytes_max
    }

    /// By how much a list of so many bytes grows: a quarter, since doubling would leave half of
    /// the memory empty.
    fn growth(&self, len: usize) -> usize {
        (len / 4).max(GROWTH_MIN).next_multiple_of(self.entry_len())
    }

    /// Makes room for one more peer of a torrent; those that are farther leave for it.
    fn make_room(&mut self, hash: InfoHash) -> Result<(), Full> {
        loop {
            let is_full = match self.position(hash) {
                Err(_) => self.is_full(),
                Ok(at) => {
                    let peers = &self.torrents[at].peers;
                    let is_grown = peers.len() + self.entry_len() > peers.capacity();
                    is_grown && !self.fits(self.growth(peers.len()))
                }
            };
            if !is_full {
                return Ok(());
            }
            if !self.is_nearer_than_another(hash) {
                return Err(Full::Torrent);
            }
            if let Some(at) = self.farthest.take() {
                self.list_bytes -= self.torrents.remove(at).peers.capacity();
            }
        }
    }

    /// The torrent's place.
    fn open(&mut self, hash: InfoHash) -> usize {
        self.position(hash).unwrap_or_else(|at| {
            self.farthest = None;
            if self.torrents.len() == self.torrents.capacity() {
                self.torrents.reserve_exact(TORRENTS_GROWTH);
            }
            self.torrents.insert(at, Torrent { hash, announced: 0, peers: Vec::new() });
            at
        })
    }

    /// Whether another torrent is farther from our id: the farthest, of these the oldest.
    fn is_nearer_than_another(&mut self, hash: InfoHash) -> bool {
        let common = |hash: InfoHash| self.own.common_bits(&hash.into());
        let farthest = self.farthest.or_else(|| {
            (0..self.torrents.len()).min_by_key(|at| {
                let torrent = &self.torrents[*at];
                (common(torrent.hash), torrent.announced)
            })
        });
        let is_nearer = farthest.is_some_and(|at| common(self.torrents[at].hash) < common(hash));
        self.farthest = farthest;
        is_nearer
    }

    fn insert(&mut self, at: usize, entry: &[u8]) {
        let begin = self.find(at, entry).unwrap_or_else(|begin| begin);
        let growth = self.growth(self.torrents[at].peers.len());
        let peers = &mut self.torrents[at].peers;
        let (before, len) = (peers.capacity(), peers.len());
        if len + entry.len() > before {
            peers.reserve_exact(growth);
        }
        self.list_bytes += peers.capacity() - before;
        peers.extend_from_slice(entry);
        peers.copy_within(begin..len, begin + entry.len());
        peers[begin..begin + entry.len()].copy_from_slice(entry);
    }
}

/// The entry of a peer and its length.
fn entry(peer: SocketAddr, time: u16) -> ([u8; COMPACT_V6_LEN + 2], usize) {
    let mut entry = [0; COMPACT_V6_LEN + 2];
    let len = match canonical_ip(peer.ip()) {
        IpAddr::V4(v4) => {
            entry[..4].copy_from_slice(&v4.octets());
            4
        }
        IpAddr::V6(v6) => {
            entry[..16].copy_from_slice(&v6.octets());
            16
        }
    };
    entry[len..len + 2].copy_from_slice(&peer.port().to_be_bytes());
    entry[len + 2..len + 4].copy_from_slice(&time.to_be_bytes());
    (entry, len + 4)
}

fn is_seed(peer: &[u8]) -> bool {
    time_and_flag(peer) & SEED != 0
}

fn time(peer: &[u8]) -> u16 {
    time_and_flag(peer) & !SEED
}

fn time_and_flag(peer: &[u8]) -> u16 {
    peer.last_chunk().map_or(0, |time| u16::from_be_bytes(*time))
}

fn is_fresh(time: u16, now: u16) -> bool {
    let age = now.wrapping_sub(time) & !SEED;
    u64::from(age) * TICK.as_secs() <= PEER_LIFE.as_secs()
}

/// Keeps the entries that `fit`, in their order.
fn retain(bytes: &mut Vec<u8>, len: usize, fits: impl Fn(&[u8]) -> bool) {
    let mut kept = 0;
    for begin in (0..bytes.len()).step_by(len) {
        if fits(&bytes[begin..begin + len]) {
            bytes.copy_within(begin..begin + len, kept);
            kept += len;
        }
    }
    bytes.truncate(kept);
}

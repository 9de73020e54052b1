//! Up to a million responders, of which only names and addresses are held: whom one of them
//! knows is computed when it is asked, from the sorted list of all ids. What each of them
//! answers is in `breeds`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use pigeon::base::addr::Locality;
use pigeon::dht::NodeId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::breeds::Breed;

/// Nodes that one names: k of BEP 5.
const NAMED: usize = 8;

/// One that announced, or was said to.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub at: Instant,
    pub by: usize,
    pub from: SocketAddr,
    pub hash: [u8; 20],
}

#[derive(Clone, Copy, Debug)]
pub struct Star {
    pub id: NodeId,
    pub address: SocketAddr,
    pub breed: Breed,
    /// Its part of the way to us.
    pub latency: Duration,
}

pub struct Sky {
    /// By id.
    pub stars: Vec<Star>,
    /// Near one target, named by chance among others and never computed from the list.
    pub sybils: Vec<Star>,
    /// Of eight nodes that an honest one names, how often the farthest is a sybil, in percent.
    pub sybil_share: u64,
    by_address: HashMap<SocketAddr, usize>,
    /// Peers by holder and hash.
    pub peers: HashMap<(usize, [u8; 20]), Vec<SocketAddr>>,
    pub kept: Vec<Kept>,
    /// Queries that reached them, by method: walks and announces.
    pub walks: u64,
    pub announces: u64,
    /// Walks to those that never answer.
    pub vain: u64,
    /// Announces without a good token.
    pub bad_tokens: u64,
    /// When somebody was asked too often, by star.
    pub asked: HashMap<usize, (Instant, u32)>,
    /// To whom those behind a firewall spoke last.
    pub spoke: HashMap<(usize, SocketAddr), Instant>,
    /// Where poison points.
    pub victims: Vec<SocketAddr>,
    pub secret: u64,
    rng: StdRng,
}

/// A lognormal time around `median_ms`.
pub fn lognormal(median_ms: f64, sigma: f64, rng: &mut StdRng) -> Duration {
    // Twelve even numbers make a normal one.
    let normal: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    Duration::from_secs_f64((median_ms * (sigma * normal).exp()).min(3_000.0) / 1_000.0)
}

/// An address of the public IPv4 net.
pub fn public_v4(rng: &mut StdRng) -> SocketAddr {
    loop {
        let address = SocketAddr::from((rng.random::<[u8; 4]>(), rng.random_range(1_024..65_000)));
        if Locality::of(address.ip()) == Locality::Public {
            return address;
        }
    }
}

/// An address of the public IPv6 net, in a provider's and a site's net of its own.
pub fn public_v6(rng: &mut StdRng) -> SocketAddr {
    let mut segments: [u16; 8] = rng.random();
    segments[0] = 0x2a00 | (segments[0] & 0xff);
    SocketAddr::from((segments, rng.random_range(1_024..65_000)))
}

pub fn mix(mut value: u64) -> u64 {
    value ^= value >> 30;
    value = value.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value ^= value >> 27;
    value = value.wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Sky {
    /// So many, of whom each has a breed from `breeds` by weight; median latency one way in
    /// milliseconds.
    pub fn new(
        seed: u64,
        count: usize,
        breeds: &[(Breed, u32)],
        (median, sigma): (f64, f64),
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5157);
        let total: u32 = breeds.iter().map(|(_, weight)| weight).sum();
        let mut stars: Vec<Star> = (0..count)
            .map(|_| {
                let address = public_v4(&mut rng);
                let mut left = rng.random_range(0..total);
                let breed = breeds.iter().find(|(_, weight)| match left.checked_sub(*weight) {
                    Some(rest) => {
                        left = rest;
                        false
                    }
                    None => true,
                });
                let breed = breed.map_or(Breed::Silent, |(breed, _)| *breed);
                let mut id = NodeId::random_for(address.ip(), &mut rng);
                match breed {
                    // Its nodes all share their first bytes.
                    Breed::Rqbit => id.0[..3].copy_from_slice(&[0x2d, 0x72, 0x51]),
                    Breed::Transmission | Breed::Webtorrent => id = NodeId::random(&mut rng),
                    _ => {}
                }
                Star { id, address, breed, latency: lognormal(median, sigma, &mut rng) }
            })
            .collect();
        stars.sort_by_key(|star| star.id);
        let by_address = stars.iter().enumerate().map(|(at, star)| (star.address, at)).collect();
        let secret = rng.random();
        Self {
            stars,
            sybils: Vec::new(),
            sybil_share: 0,
            by_address,
            peers: HashMap::new(),
            kept: Vec::new(),
            walks: 0,
            announces: 0,
            vain: 0,
            bad_tokens: 0,
            asked: HashMap::new(),
            spoke: HashMap::new(),
            victims: Vec::new(),
            secret,
            rng,
        }
    }

    /// Sybils of three providers, each nearer to the target than any honest one.
    pub fn besiege(&mut self, target: &NodeId, count: usize, share: u64) {
        let bits = 2 * (usize::BITS - self.stars.len().leading_zeros()) as usize;
        for number in 0..count {
            let id = NodeId::random_within(target, bits, &mut self.rng);
            let provider = [93, 154, 201][number % 3];
            let address = SocketAddr::from(([provider, 7, (number / 3) as u8, 9], 6_881));
            let latency = Duration::from_millis(5);
            self.by_address.insert(address, self.stars.len() + self.sybils.len());
            self.sybils.push(Star { id, address, breed: Breed::Sybil, latency });
        }
        self.sybil_share = share;
    }

    pub fn find(&self, address: &SocketAddr) -> Option<usize> {
        self.by_address.get(address).copied()
    }

    pub fn star(&self, at: usize) -> &Star {
        self.stars.get(at).unwrap_or_else(|| &self.sybils[at - self.stars.len()])
    }

    /// Somebody is not where it was any more.
    pub fn silence(&mut self, at: usize) {
        self.stars[at].breed = Breed::Silent;
    }

    /// Those whose first `bits` are the target's.
    fn within(&self, target: &NodeId, bits: usize) -> Range<usize> {
        let (mut low, mut high) = (*target, *target);
        for (at, (low, high)) in low.0.iter_mut().zip(&mut high.0).enumerate() {
            let free = match bits.saturating_sub(at * 8) {
                0 => 0xff,
                kept @ 1..8 => 0xff_u8 >> kept,
                _ => 0,
            };
            (*low, *high) = (*low & !free, *high | free);
        }
        let begin = self.stars.partition_point(|star| star.id < low);
        begin..self.stars.partition_point(|star| star.id <= high)
    }

    /// The nearest that `fits`, nearest first.
    pub fn nearest(
        &self,
        target: &NodeId,
        count: usize,
        fits: impl Fn(&Star) -> bool,
    ) -> Vec<usize> {
        let mut bits = (usize::BITS - self.stars.len().leading_zeros()) as usize;
        loop {
            let mut found: Vec<usize> =
                self.within(target, bits).filter(|at| fits(&self.stars[*at])).collect();
            if found.len() >= count || bits == 0 {
                found.sort_by_key(|at| self.stars[*at].id.distance(target));
                found.truncate(count);
                return found;
            }
            bits -= 1;
        }
    }

    /// Whom one knows nearest to a target: of the part of the net that the target lies in, seen
    /// from it, a bucket's eight.
    pub fn known_to(&self, at: usize, target: &NodeId) -> Vec<usize> {
        let own = self.star(at).id;
        let common = own.common_bits(target);
        let part = self.within(target, (common + 1).min(160));
        let salt = mix(at as u64 ^ ((common as u64) << 40) ^ self.secret);
        let pick = |from: &Range<usize>, n: usize| {
            let step = from.len() / NAMED;
            from.start + n * step + mix(salt ^ n as u64) as usize % step
        };
        let mut found: Vec<usize> = if part.len() <= NAMED {
            // What is missing are those that differ from it one bit later.
            let all = self.within(target, common);
            let is_few = all.len() <= 4 * NAMED;
            let near = if is_few { all.clone() } else { part };
            let rest = if is_few { 0 } else { NAMED };
            let found = near.chain((0..rest).map(|n| pick(&all, n)));
            // Of its neighbours it sees most of those go that do.
            let lingers = |other: usize| mix(salt ^ other as u64).is_multiple_of(4);
            let is_kept = |other: &usize| self.stars[*other].breed.is_alive() || lingers(*other);
            found.filter(|other| *other != at && is_kept(other)).collect()
        } else {
            (0..NAMED).map(|n| pick(&part, n)).collect()
        };
        found.sort_by_key(|other| self.star(*other).id.distance(target));
        found.dedup();
        found.truncate(NAMED);
        let is_besieged = !self.sybils.is_empty() && !found.is_empty();
        let chance = mix(at as u64 ^ u64::from(target.0[19]) ^ self.secret) % 100;
        if is_besieged && chance < self.sybil_share {
            let last = found.len() - 1;
            found[last] = self.stars.len() + (chance as usize * 7 + at) % self.sybils.len();
        }
        found
    }

    /// Makes `peer` known at the eight nearest that keep anything.
    pub fn plant(&mut self, hash: [u8; 20], peer: SocketAddr) -> Vec<usize> {
        let holders = self.nearest(&NodeId(hash), NAMED, |star| star.breed.keeps());
        for holder in &holders {
            self.peers.entry((*holder, hash)).or_default().push(peer);
        }
        holders
    }

    /// Any of those that `fit`.
    pub fn any(&mut self, count: usize, fits: impl Fn(&Star) -> bool) -> Vec<Star> {
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            let star = self.stars[self.rng.random_range(0..self.stars.len())];
            if fits(&star) {
                found.push(star);
            }
        }
        found
    }
}

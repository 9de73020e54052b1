//! How other programs answer: by their sources (dht-design §6), and by what enemies would do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::letters::{self, Letter};
use super::sky::{Kept, Sky, mix};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breed {
    Libtorrent,
    /// With jech/dht inside.
    Transmission,
    /// As shipped: without a peer store, so without tokens.
    Anacrolix,
    Rqbit,
    Mainline,
    Webtorrent,
    Bitmagnet,
    /// Dead, or never answering.
    Silent,
    /// Answers only to whom it spoke in the last 30 s.
    Firewalled,
    /// Names what is nobody, and one victim under many ids.
    Poison,
    /// Sends back what it got.
    Mirror,
    /// Answers with the name of who asks.
    Thief,
    /// Sees everybody at one address.
    Liar,
    /// Answers just before one would give up.
    Slow,
    /// Near the target, knows only its like, and keeps nothing.
    Sybil,
}

use Breed::*;

/// A net as it is said to be: half of it dead.
pub const USUAL: &[(Breed, u32)] = &[
    (Libtorrent, 26),
    (Transmission, 8),
    (Anacrolix, 4),
    (Rqbit, 2),
    (Mainline, 4),
    (Webtorrent, 3),
    (Bitmagnet, 3),
    (Silent, 40),
    (Firewalled, 10),
];

/// What the liars say.
pub const LIE: ([u8; 4], u16) = ([203, 5, 113, 66], 6_881);
const SLOW: Duration = Duration::from_millis(7_900);

/// What one sends back, and after how long besides the way.
pub type Answer = (Vec<u8>, Duration);

impl Breed {
    /// Whether it answers and keeps what is announced.
    pub fn keeps(self) -> bool {
        matches!(self, Libtorrent | Transmission | Mainline | Webtorrent | Bitmagnet | Liar)
    }

    pub fn is_alive(self) -> bool {
        !matches!(self, Silent | Firewalled)
    }

    /// Queries of one host that it takes at once, and each second.
    fn patience(self) -> Option<(u32, Duration)> {
        match self {
            Libtorrent => Some((50, Duration::from_secs(10))),
            Bitmagnet => Some((4, Duration::from_secs(4))),
            _ => None,
        }
    }

    fn token_len(self) -> usize {
        match self {
            Libtorrent | Rqbit | Mainline => 4,
            Webtorrent => 20,
            Bitmagnet => 32,
            _ => 8,
        }
    }
}

impl Sky {
    /// What the one at `at` answers to a datagram.
    pub fn answer(
        &mut self,
        at: usize,
        from: SocketAddr,
        query: &[u8],
        now: Instant,
    ) -> Option<Answer> {
        let star = *self.star(at);
        let transaction = letters::transaction(query).to_vec();
        let is_announce = letters::is_announce(query);
        if is_announce {
            self.announces += 1;
        } else {
            self.walks += 1;
        }
        self.vain += u64::from(!star.breed.is_alive());
        match star.breed {
            Silent => return None,
            Firewalled => {
                let spoke = self.spoke.get(&(at, from))?;
                if now > *spoke + Duration::from_secs(30) {
                    return None;
                }
            }
            Mainline if transaction.len() != 4 => return None,
            Transmission if transaction.len() >= 16 => return None,
            Mirror => return Some((query.to_vec(), Duration::ZERO)),
            _ => {}
        }
        if let Some(refused) = self.impatience(at, &transaction, now) {
            return refused;
        }
        let late = if star.breed == Slow { SLOW } else { Duration::ZERO };
        let seen = if star.breed == Liar { SocketAddr::from(LIE) } else { from };
        let mut id = star.id.0;
        if star.breed == Thief {
            id = letters::text(query, b"2:id")?.try_into().ok()?;
        }
        let plain = Letter { id, seen: Some(seen), ..Letter::default() };
        let Some(hash) = letters::hash(query) else {
            return Some((plain.write(&transaction), late));
        };
        let token = self.token(at, from, &hash);
        if is_announce {
            if !self.keep(at, from, query, (&hash, &token), now) {
                // These say nothing to a bad token.
                let is_mute = matches!(star.breed, Webtorrent | Anacrolix);
                let refusal = || (letters::error(203, "bad token", &transaction), late);
                return (!is_mute).then(refusal);
            }
            return Some((plain.write(&transaction), late));
        }
        let found = self.found(at, &hash, &transaction, &token, plain);
        Some((found, late))
    }

    /// What it knows of a torrent.
    fn found(
        &mut self,
        at: usize,
        hash: &[u8; 20],
        transaction: &[u8],
        token: &[u8],
        plain: Letter<'_>,
    ) -> Vec<u8> {
        let breed = self.star(at).breed;
        let nodes = self.nodes(at, hash);
        let peers = self.peers.get(&(at, *hash)).cloned().unwrap_or_default();
        let most = match breed {
            Transmission => 50,
            Mainline => 10,
            _ => 100,
        };
        let peers = &peers[..peers.len().min(most)];
        let values = match breed {
            Rqbit => Some(peers),
            _ => (!peers.is_empty()).then_some(peers),
        };
        let is_either = matches!(breed, Anacrolix | Webtorrent) && values.is_some();
        let letter = Letter {
            nodes: (!is_either).then_some(&nodes),
            token: (breed != Anacrolix).then_some(token),
            values,
            has_port: breed == Libtorrent,
            ..plain
        };
        letter.write(transaction)
    }

    /// Who was asked too often is silent, or says so.
    fn impatience(
        &mut self,
        at: usize,
        transaction: &[u8],
        now: Instant,
    ) -> Option<Option<Answer>> {
        let breed = self.star(at).breed;
        let (most, span) = breed.patience()?;
        let window = self.asked.entry(at).or_insert((now, 0));
        if now > window.0 + span {
            *window = (now, 0);
        }
        window.1 += 1;
        let refusal = || (letters::error(201, "rate limit", transaction), Duration::ZERO);
        (window.1 > most).then(|| (breed == Bitmagnet).then(refusal))
    }

    fn token(&self, at: usize, from: SocketAddr, hash: &[u8; 20]) -> Vec<u8> {
        let breed = self.star(at).breed;
        let mut state = self.secret ^ at as u64;
        let mut from = letters::compact(from);
        if breed != Transmission {
            // Only its tokens are bound to the port.
            from.truncate(from.len() - 2);
        }
        for byte in from.iter().chain(hash) {
            state = mix(state ^ u64::from(*byte));
        }
        (0..breed.token_len()).map(|n| mix(state ^ n as u64) as u8).collect()
    }

    fn keep(
        &mut self,
        at: usize,
        from: SocketAddr,
        query: &[u8],
        (hash, token): (&[u8; 20], &[u8]),
        now: Instant,
    ) -> bool {
        let shown = letters::text(query, b"5:token").unwrap_or_default();
        if shown != token || self.star(at).breed == Anacrolix {
            self.bad_tokens += 1;
            return false;
        }
        let implied = letters::number(query, b"12:implied_port") == Some(1);
        let port = if implied { Some(from.port()) } else { letters::number(query, b"4:port") };
        let Some(port) = port else { return false };
        if self.star(at).breed.keeps() {
            let peer = SocketAddr::new(from.ip(), port);
            let known = self.peers.entry((at, *hash)).or_default();
            if !known.contains(&peer) {
                known.push(peer);
            }
            self.kept.push(Kept { at: now, by: at, from, hash: *hash });
        }
        true
    }

    /// The nodes that it names, compact.
    fn nodes(&mut self, at: usize, hash: &[u8; 20]) -> Vec<u8> {
        let target = pigeon::dht::NodeId(*hash);
        let mut out = Vec::with_capacity(8 * 26);
        let mut write = |id: &[u8; 20], address: SocketAddr| {
            out.extend_from_slice(id);
            out.extend_from_slice(&letters::compact(address));
        };
        match self.star(at).breed {
            Sybil => {
                let count = self.sybils.len();
                for n in 0..8.min(count) {
                    let sybil = &self.sybils[(at + n * 5) % count];
                    write(&sybil.id.0, sybil.address);
                }
            }
            Poison => {
                let mut id = *hash;
                for (n, victim) in self.victims.iter().cycle().take(16).enumerate() {
                    (id[18], id[19]) = (n as u8, at as u8);
                    write(&id, *victim);
                }
            }
            _ => {
                for known in self.known_to(at, &target) {
                    let star = self.star(known);
                    write(&star.id.0, star.address);
                }
            }
        }
        out
    }
}

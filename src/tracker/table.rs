//! The embedded tracker's memory: who is in which swarm. A pure machine, bounded in every
//! direction; no HTTP, no UDP, and nothing is kept over a restart.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::index;

use crate::base::addr::canonical;
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::Event;

/// Peers in a reply when the client names no number, as in BEP 3's practice.
const NUMWANT_DEFAULT: usize = 50;

/// Bounds of the table.
#[derive(Clone, Debug)]
pub struct TableLimits {
    /// Swarms kept.
    pub swarms: usize,
    /// Peers kept of one swarm; the one silent for longest makes room.
    pub peers_per_swarm: usize,
    /// Most peers in one reply.
    pub numwant_max: usize,
    /// A peer that has not announced for so long is gone.
    pub peer_life: Duration,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self {
            swarms: 10_000,
            peers_per_swarm: 2_000,
            numwant_max: 200,
            // Two of the longest usual intervals.
            peer_life: Duration::from_secs(3600),
        }
    }
}

/// One announce, as the table sees it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The swarm.
    pub info_hash: InfoHash,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// Where the announce came from, with the port the peer listens on.
    pub address: SocketAddr,
    /// Whether the peer lacks nothing.
    pub is_seed: bool,
    /// The announce's event.
    pub event: Option<Event>,
    /// Peers wanted, if said.
    pub numwant: Option<usize>,
}

/// A peer of a swarm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TablePeer {
    /// What it calls itself.
    pub peer_id: PeerId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What the table answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwarmView {
    /// A random choice of the others; a seed gets no seeds.
    pub peers: Vec<TablePeer>,
    /// Seeds in the swarm.
    pub complete: usize,
    /// Leeches in the swarm.
    pub incomplete: usize,
}

/// The table has no room for another swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this tracker follows as many torrents as it can")]
pub struct TableFull;

/// Swarms by info-hash.
pub struct SwarmTable {
    limits: TableLimits,
    rng: StdRng,
    swarms: HashMap<InfoHash, Vec<Entry>>,
}

struct Entry {
    peer: TablePeer,
    is_seed: bool,
    seen_at: Instant,
}

impl SwarmTable {
    /// An empty table; `rng` chooses the peers of replies.
    pub fn new(limits: TableLimits, rng: StdRng) -> Self {
        Self { limits, rng, swarms: HashMap::new() }
    }

    /// Enters, renews or removes a peer and chooses peers for it. A peer is known by its
    /// address: an id could be claimed by anybody.
    ///
    /// # Errors
    /// [`TableFull`] for a new swarm without room.
    pub fn announce(&mut self, arrival: &Arrival, now: Instant) -> Result<SwarmView, TableFull> {
        let address = canonical(arrival.address);
        let is_leaving = arrival.event == Some(Event::Stopped);
        if !self.swarms.contains_key(&arrival.info_hash) {
            if is_leaving {
                return Ok(SwarmView::default());
            }
            self.make_room(now)?;
        }
        let swarm = self.swarms.entry(arrival.info_hash).or_default();
        let peer_life = self.limits.peer_life;
        swarm.retain(|entry| entry.peer.address != address && !entry.is_gone(peer_life, now));
        let view = SwarmView {
            peers: Self::choose(swarm, arrival, &self.limits, &mut self.rng),
            complete: swarm.iter().filter(|entry| entry.is_seed).count(),
            incomplete: swarm.iter().filter(|entry| !entry.is_seed).count(),
        };
        if is_leaving {
            if swarm.is_empty() {
                self.swarms.remove(&arrival.info_hash);
            }
            return Ok(SwarmView { peers: Vec::new(), ..view });
        }
        if swarm.len() >= self.limits.peers_per_swarm {
            let oldest = swarm.iter().enumerate().min_by_key(|(_, entry)| entry.seen_at);
            if let Some((position, _)) = oldest {
                swarm.swap_remove(position);
            }
        }
        let peer = TablePeer { peer_id: arrival.peer_id, address };
        swarm.push(Entry { peer, is_seed: arrival.is_seed, seen_at: now });
        Ok(SwarmView {
            complete: view.complete + usize::from(arrival.is_seed),
            incomplete: view.incomplete + usize::from(!arrival.is_seed),
            ..view
        })
    }

    /// Swarms kept.
    pub fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    fn make_room(&mut self, now: Instant) -> Result<(), TableFull> {
        if self.swarms.len() < self.limits.swarms {
            return Ok(());
        }
        let peer_life = self.limits.peer_life;
        self.swarms.retain(|_, swarm| swarm.iter().any(|entry| !entry.is_gone(peer_life, now)));
        if self.swarms.len() < self.limits.swarms { Ok(()) } else { Err(TableFull) }
    }

    fn choose(
        swarm: &[Entry],
        arrival: &Arrival,
        limits: &TableLimits,
        rng: &mut StdRng,
    ) -> Vec<TablePeer> {
        let wanted: Vec<&Entry> =
            swarm.iter().filter(|entry| !(arrival.is_seed && entry.is_seed)).collect();
        let count = arrival.numwant.unwrap_or(NUMWANT_DEFAULT).min(limits.numwant_max);
        let chosen = index::sample(rng, wanted.len(), count.min(wanted.len()));
        chosen.into_iter().map(|position| wanted[position].peer.clone()).collect()
    }
}

impl Entry {
    fn is_gone(&self, peer_life: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.seen_at) >= peer_life
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn table(limits: TableLimits) -> SwarmTable {
        SwarmTable::new(limits, StdRng::seed_from_u64(1))
    }

    fn arrival(swarm: u8, host: u8, is_seed: bool) -> Arrival {
        Arrival {
            info_hash: InfoHash([swarm; 20]),
            peer_id: PeerId([host; 20]),
            address: SocketAddr::from(([10, 0, 0, host], 6881)),
            is_seed,
            event: None,
            numwant: None,
        }
    }

    fn hosts(view: &SwarmView) -> Vec<u8> {
        let mut hosts: Vec<u8> = view.peers.iter().map(|peer| peer.peer_id.0[0]).collect();
        hosts.sort_unstable();
        hosts
    }

    #[test]
    fn peers_learn_of_each_other_and_not_of_themselves() {
        let mut table = table(TableLimits::default());
        let now = Instant::now();
        assert_eq!(hosts(&table.announce(&arrival(1, 1, true), now).unwrap()), [0_u8; 0]);
        let view = table.announce(&arrival(1, 2, false), now).unwrap();
        assert_eq!((hosts(&view), view.complete, view.incomplete), (vec![1], 1, 1));
        let view = table.announce(&arrival(1, 2, false), now).unwrap();
        assert_eq!((hosts(&view), view.complete, view.incomplete), (vec![1], 1, 1));
        // A seed has no use for seeds, and swarms are apart.
        assert_eq!(hosts(&table.announce(&arrival(1, 3, true), now).unwrap()), [2]);
        assert_eq!(hosts(&table.announce(&arrival(2, 4, false), now).unwrap()), [0_u8; 0]);
    }

    #[test]
    fn the_stopped_and_the_silent_are_forgotten() {
        let mut table = table(TableLimits::default());
        let now = Instant::now();
        table.announce(&arrival(1, 1, true), now).unwrap();
        table.announce(&arrival(1, 2, true), now).unwrap();
        let stopped = Arrival { event: Some(Event::Stopped), ..arrival(1, 1, true) };
        assert_eq!(hosts(&table.announce(&stopped, now).unwrap()), [0_u8; 0]);
        assert_eq!(hosts(&table.announce(&arrival(1, 3, false), now).unwrap()), [2]);
        let later = now + Duration::from_secs(3600);
        assert_eq!(hosts(&table.announce(&arrival(1, 4, false), later).unwrap()), [0_u8; 0]);
        let stopped = Arrival { event: Some(Event::Stopped), ..arrival(1, 4, false) };
        table.announce(&stopped, later).unwrap();
        assert_eq!(table.swarm_count(), 0);
    }

    #[test]
    fn sizes_are_bounded() {
        let limits = TableLimits { swarms: 2, peers_per_swarm: 3, ..TableLimits::default() };
        let mut table = table(limits);
        let now = Instant::now();
        for host in 1..=5 {
            let at = now + Duration::from_secs(host.into());
            table.announce(&arrival(1, host, true), at).unwrap();
        }
        let at = now + Duration::from_secs(6);
        assert_eq!(hosts(&table.announce(&arrival(1, 9, false), at).unwrap()), [3, 4, 5]);
        table.announce(&arrival(2, 1, false), at).unwrap();
        assert_eq!(table.announce(&arrival(3, 1, false), at), Err(TableFull));
        // Once the others are silent, there is room again.
        let later = at + Duration::from_secs(4000);
        assert!(table.announce(&arrival(3, 1, false), later).is_ok());
    }

    #[test]
    fn numwant_is_obeyed_and_capped() {
        let limits = TableLimits { numwant_max: 4, ..TableLimits::default() };
        let mut table = table(limits);
        let now = Instant::now();
        for host in 1..=9 {
            table.announce(&arrival(1, host, true), now).unwrap();
        }
        for (numwant, given) in [(Some(0), 0), (Some(2), 2), (Some(1_000_000), 4), (None, 4)] {
            let view = table.announce(&Arrival { numwant, ..arrival(1, 99, false) }, now).unwrap();
            assert_eq!(view.peers.len(), given, "{numwant:?}");
        }
    }
}

//! The embedded tracker's memory: who is in which swarm. A pure machine, bounded in every
//! direction; no HTTP, no UDP, and nothing is kept over a restart.
//!
//! A peer is known by the address its announce came from, so nobody can be entered, changed or
//! removed by others; its peer id is only passed on. An announce costs a few look-ups and the
//! peers of its answer, however large the swarm is; expired peers are met in the order of their
//! age, and sums and the order of swarms are kept as they change. No host can fill the table for
//! others (`fair`). Memory: `benches/tracker.rs` measures it.

mod fair;
mod heaviest;
mod rank;
mod roll;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::base::addr::canonical;
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::Event;

use heaviest::{heaviest_of, next_u32};
use rank::Ranks;
use roll::{Entry, EntryIndex, Roll, Who};

/// Peers in a reply when the client names no number, as in BEP 3's practice.
const NUMWANT_DEFAULT: usize = 50;

/// Bounds of the table.
#[derive(Clone, Debug)]
pub struct TableLimits {
    /// Swarms kept; a small one of hosts that have much makes room.
    pub swarms: usize,
    /// Peers kept in all; one of a host that has much makes room.
    pub peers: usize,
    /// Peers kept of one swarm and address family; one of a host that has much makes room.
    pub peers_per_swarm: usize,
    /// Peers kept of one host, in all swarms, and so the swarms that it alone is in; the one that
    /// it entered first makes room.
    pub peers_per_host: usize,
    /// Most peers in one reply.
    pub numwant_max: usize,
    /// A peer that has not announced for so long is gone.
    pub peer_life: Duration,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self {
            // Some 200 bytes each when they are small.
            swarms: 200_000,
            // Some 85 MB with IPv4.
            peers: 1_000_000,
            peers_per_swarm: 100_000,
            // All torrents of a large seed, and a large site behind one address.
            peers_per_host: 16_000,
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
    /// Where the announce came from, with the port the peer listens on; it is not named to
    /// others when that is 0.
    pub address: SocketAddr,
    /// Bytes that the peer lacks; a seed lacks none.
    pub left: u64,
    /// The announce's event.
    pub event: Option<Event>,
    /// Peers wanted, if said.
    pub numwant: Option<usize>,
    /// Only peers of its own address family are of use, as in UDP replies.
    pub own_family_only: bool,
}

/// A peer of a swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TablePeer {
    /// What it calls itself.
    pub peer_id: PeerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Bytes that it lacks.
    pub left: u64,
}

/// How many there are in a swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwarmCounts {
    /// Seeds.
    pub complete: u32,
    /// Leeches.
    pub incomplete: u32,
    /// Peers that became complete while they were known here, since the swarm began.
    pub downloaded: u32,
}

/// How many there are in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableCounts {
    /// Swarms.
    pub swarms: usize,
    /// Peers with an IPv4 address.
    pub peers_v4: usize,
    /// Peers with an IPv6 address.
    pub peers_v6: usize,
    /// Seeds of both families.
    pub seeds: usize,
    /// Bytes that the table has allocated, roughly.
    pub memory_bytes: usize,
}

/// The table has no room for another swarm of a host that has as much as anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this tracker follows as many torrents as it can")]
pub struct TableFull;

/// Swarms by info-hash.
pub struct SwarmTable {
    limits: TableLimits,
    rng: StdRng,
    began_at: Instant,
    by_hash: HashMap<InfoHash, u32>,
    swarms: Vec<Swarm>,
    free: Vec<u32>,
    four: Roll<4>,
    six: Roll<16>,
    seeds: usize,
    ranks: Ranks,
    /// Bytes that the lists of all swarms have allocated.
    lists_bytes: usize,
}

#[derive(Default)]
struct Swarm {
    info_hash: Option<InfoHash>,
    downloaded: u32,
    four: Lists,
    six: Lists,
}

impl Swarm {
    fn len(&self) -> usize {
        self.four.len() + self.six.len()
    }

    fn allocated(&self) -> usize {
        self.four.allocated() + self.six.allocated()
    }
}

/// The entries of one family: leeches and seeds.
#[derive(Default)]
struct Lists {
    leeches: Vec<EntryIndex>,
    seeds: Vec<EntryIndex>,
}

impl Lists {
    fn of(&mut self, left: u64) -> &mut Vec<EntryIndex> {
        if left == 0 { &mut self.seeds } else { &mut self.leeches }
    }

    fn len(&self) -> usize {
        self.leeches.len() + self.seeds.len()
    }

    fn any(&self) -> Option<EntryIndex> {
        self.leeches.last().or(self.seeds.last()).copied()
    }

    fn allocated(&self) -> usize {
        (self.leeches.capacity() + self.seeds.capacity()) * size_of::<EntryIndex>()
    }
}

/// An address family: its roll and its lists.
trait Family<const N: usize> {
    fn table(&mut self) -> &mut SwarmTable;
    fn parts(&mut self) -> (&mut Roll<N>, &mut Vec<Swarm>, &mut usize);
    fn lists(swarm: &mut Swarm) -> &mut Lists;

    /// Enters or renews somebody; tells where, and whether it was a seed before. `spare` decides
    /// who has to make room in a full swarm.
    fn admit(
        &mut self,
        who: Who<N>,
        arrival: &Arrival,
        now_s: u32,
        spare: u64,
    ) -> (EntryIndex, bool) {
        let swarm_max = self.table().limits.peers_per_swarm;
        let (roll, swarms, seeds) = self.parts();
        let lists = Self::lists(&mut swarms[who.swarm as usize]);
        let left = arrival.left;
        if let Some(entry_index) = roll.find(&who) {
            roll.renew(entry_index, now_s);
            let entry = roll.get_mut(entry_index);
            entry.peer_id = arrival.peer_id.0;
            let was_seed = entry.left == 0;
            if was_seed != (left == 0) {
                let place = entry.place;
                take_out(roll, lists.of(if was_seed { 0 } else { 1 }), place);
                let list = lists.of(left);
                roll.get_mut(entry_index).place = list.len() as u32;
                list.push(entry_index);
                *seeds = *seeds + usize::from(left == 0) - usize::from(was_seed);
            }
            roll.get_mut(entry_index).left = left;
            return (entry_index, was_seed);
        }
        if lists.len() >= swarm_max {
            let list = if lists.leeches.is_empty() { &lists.seeds } else { &lists.leeches };
            if let Some(victim) = heaviest_of(roll, list, spare) {
                self.dismiss(victim);
            }
        }
        self.table().make_room(who.swarm, canonical(arrival.address).ip());
        let (roll, swarms, seeds) = self.parts();
        let list = Self::lists(&mut swarms[who.swarm as usize]).of(left);
        let place = list.len() as u32;
        let entry_index = roll.insert(Entry::new(who, arrival.peer_id.0, left, now_s, place));
        list.push(entry_index);
        *seeds += usize::from(left == 0);
        self.table().rank(who.swarm);
        (entry_index, false)
    }

    /// Removes somebody; tells of which swarm.
    fn dismiss(&mut self, entry_index: EntryIndex) -> u32 {
        let (roll, swarms, seeds) = self.parts();
        let entry = roll.remove(entry_index);
        let list = Self::lists(&mut swarms[entry.who.swarm as usize]).of(entry.left);
        take_out(roll, list, entry.place);
        *seeds -= usize::from(entry.left == 0);
        self.table().rank(entry.who.swarm);
        entry.who.swarm
    }
}

/// Takes a place out of a swarm's list; the last one takes it over.
fn take_out<const N: usize>(roll: &mut Roll<N>, list: &mut Vec<EntryIndex>, place: u32) {
    list.swap_remove(place as usize);
    if let Some(moved) = list.get(place as usize) {
        roll.get_mut(*moved).place = place;
    }
}

impl Family<4> for SwarmTable {
    fn parts(&mut self) -> (&mut Roll<4>, &mut Vec<Swarm>, &mut usize) {
        (&mut self.four, &mut self.swarms, &mut self.seeds)
    }

    fn lists(swarm: &mut Swarm) -> &mut Lists {
        &mut swarm.four
    }

    fn table(&mut self) -> &mut SwarmTable {
        self
    }
}

impl Family<16> for SwarmTable {
    fn parts(&mut self) -> (&mut Roll<16>, &mut Vec<Swarm>, &mut usize) {
        (&mut self.six, &mut self.swarms, &mut self.seeds)
    }

    fn lists(swarm: &mut Swarm) -> &mut Lists {
        &mut swarm.six
    }

    fn table(&mut self) -> &mut SwarmTable {
        self
    }
}

impl SwarmTable {
    /// An empty table; `rng` chooses the peers of replies. `now` is when its time begins.
    pub fn new(limits: TableLimits, rng: StdRng, now: Instant) -> Self {
        Self {
            limits,
            rng,
            began_at: now,
            by_hash: HashMap::new(),
            swarms: Vec::new(),
            free: Vec::new(),
            four: Roll::new(),
            six: Roll::new(),
            seeds: 0,
            ranks: Ranks::default(),
            lists_bytes: 0,
        }
    }

    /// Enters, renews or removes a peer, and hands a random choice of the others to `give`: at
    /// most as many as are wanted, none to one who leaves, no seeds to a seed.
    ///
    /// # Errors
    /// [`TableFull`] for a new swarm without room, of a host that has as much as anybody.
    pub fn announce(
        &mut self,
        arrival: &Arrival,
        now: Instant,
        give: impl FnMut(TablePeer),
    ) -> Result<SwarmCounts, TableFull> {
        self.expire(now);
        let is_leaving = arrival.event == Some(Event::Stopped);
        let swarm = match self.by_hash.get(&arrival.info_hash) {
            Some(swarm) => *swarm,
            None if is_leaving || arrival.address.port() == 0 => return Ok(SwarmCounts::default()),
            None => self.begin(arrival.info_hash, canonical(arrival.address).ip())?,
        };
        if is_leaving {
            self.leave(swarm, canonical(arrival.address));
            return Ok(self.counts_of(swarm));
        }
        let address = canonical(arrival.address);
        let own = match address.port() {
            0 => None,
            _ => Some(self.enter(swarm, address, arrival, self.seconds(now))),
        };
        self.choose(swarm, address.is_ipv4(), own, arrival, give);
        Ok(self.counts_of(swarm))
    }

    /// Forgets those whom nobody has heard of for too long.
    pub fn expire(&mut self, now: Instant) {
        let life_s = u32::try_from(self.limits.peer_life.as_secs()).unwrap_or(u32::MAX);
        let Some(limit_s) = self.seconds(now).checked_sub(life_s) else { return };
        while let Some(entry_index) =
            self.four.oldest().filter(|it| self.four.get(*it).seen_at_s <= limit_s)
        {
            let swarm = Family::<4>::dismiss(self, entry_index);
            self.end_if_empty(swarm);
        }
        while let Some(entry_index) =
            self.six.oldest().filter(|it| self.six.get(*it).seen_at_s <= limit_s)
        {
            let swarm = Family::<16>::dismiss(self, entry_index);
            self.end_if_empty(swarm);
        }
    }

    /// The counts of a swarm; none when nobody is in it. As of the last announce or expiry.
    pub fn counts(&self, info_hash: &InfoHash) -> Option<SwarmCounts> {
        self.by_hash.get(info_hash).map(|swarm| self.counts_of(*swarm))
    }

    /// The counts of everything, as of the last announce or expiry.
    pub fn totals(&self) -> TableCounts {
        let entry_len = size_of::<(InfoHash, u32)>() + 1;
        TableCounts {
            swarms: self.by_hash.len(),
            peers_v4: self.four.len(),
            peers_v6: self.six.len(),
            seeds: self.seeds,
            memory_bytes: self.four.allocated()
                + self.six.allocated()
                + self.swarms.capacity() * size_of::<Swarm>()
                + self.lists_bytes
                + self.ranks.allocated()
                + self.by_hash.capacity() * entry_len,
        }
    }

    /// The largest swarms, at most `most`, the largest first.
    pub fn largest(&self, most: usize) -> Vec<InfoHash> {
        let hashes = self.ranks.largest_first().map(|swarm| self.swarms[swarm as usize].info_hash);
        hashes.flatten().take(most).collect()
    }

    /// The peers of a swarm, seeds first, at most `most` of them.
    pub fn peers(&self, info_hash: &InfoHash, most: usize) -> Vec<TablePeer> {
        let Some(swarm) = self.by_hash.get(info_hash).map(|swarm| &self.swarms[*swarm as usize])
        else {
            return Vec::new();
        };
        let four = |entry_index: &EntryIndex| v4_peer(self.four.get(*entry_index));
        let six = |entry_index: &EntryIndex| v6_peer(self.six.get(*entry_index));
        let seeds = swarm.four.seeds.iter().map(four).chain(swarm.six.seeds.iter().map(six));
        let leeches = swarm.four.leeches.iter().map(four).chain(swarm.six.leeches.iter().map(six));
        seeds.chain(leeches).take(most).collect()
    }

    fn seconds(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.began_at).as_secs();
        u32::try_from(passed).unwrap_or(u32::MAX)
    }

    fn begin(&mut self, info_hash: InfoHash, ip: IpAddr) -> Result<u32, TableFull> {
        self.make_room_for_swarm(ip)?;
        let swarm = self.free.pop().unwrap_or(self.swarms.len() as u32);
        let entry = Swarm { info_hash: Some(info_hash), ..Swarm::default() };
        match self.swarms.get_mut(swarm as usize) {
            Some(place) => *place = entry,
            None => self.swarms.push(entry),
        }
        self.by_hash.insert(info_hash, swarm);
        Ok(swarm)
    }

    fn enter(
        &mut self,
        swarm: u32,
        address: SocketAddr,
        arrival: &Arrival,
        now_s: u32,
    ) -> EntryIndex {
        let port = address.port();
        // In case that somebody has to make room.
        let spare = self.rng.next_u64();
        let before = self.swarms[swarm as usize].allocated();
        let (entry_index, was_seed) = match address.ip() {
            IpAddr::V4(ip) => {
                let who = Who { swarm, ip: ip.octets(), port };
                Family::<4>::admit(self, who, arrival, now_s, spare)
            }
            IpAddr::V6(ip) => {
                let who = Who { swarm, ip: ip.octets(), port };
                Family::<16>::admit(self, who, arrival, now_s, spare)
            }
        };
        self.lists_bytes += self.swarms[swarm as usize].allocated() - before;
        if arrival.event == Some(Event::Completed) && arrival.left == 0 && !was_seed {
            let downloaded = &mut self.swarms[swarm as usize].downloaded;
            *downloaded = downloaded.saturating_add(1);
        }
        entry_index
    }

    fn leave(&mut self, swarm: u32, address: SocketAddr) {
        let port = address.port();
        match address.ip() {
            IpAddr::V4(ip) => {
                if let Some(entry_index) = self.four.find(&Who { swarm, ip: ip.octets(), port }) {
                    Family::<4>::dismiss(self, entry_index);
                }
            }
            IpAddr::V6(ip) => {
                if let Some(entry_index) = self.six.find(&Who { swarm, ip: ip.octets(), port }) {
                    Family::<16>::dismiss(self, entry_index);
                }
            }
        }
        self.end_if_empty(swarm);
    }

    fn rank(&mut self, swarm: u32) {
        self.ranks.set(swarm, self.swarms[swarm as usize].len());
    }

    /// A swarm without peers is forgotten, and how often it was completed with it.
    fn end_if_empty(&mut self, swarm: u32) {
        let entry = &mut self.swarms[swarm as usize];
        if entry.len() > 0 {
            return;
        }
        if let Some(info_hash) = entry.info_hash.take() {
            self.lists_bytes -= entry.allocated();
            *entry = Swarm::default();
            self.by_hash.remove(&info_hash);
            self.free.push(swarm);
        }
    }

    fn counts_of(&self, swarm: u32) -> SwarmCounts {
        let swarm = &self.swarms[swarm as usize];
        SwarmCounts {
            complete: (swarm.four.seeds.len() + swarm.six.seeds.len()) as u32,
            incomplete: (swarm.four.leeches.len() + swarm.six.leeches.len()) as u32,
            downloaded: swarm.downloaded,
        }
    }

    /// Neither family may crowd the other out of a reply that carries both.
    fn choose(
        &mut self,
        swarm: u32,
        is_v4: bool,
        own: Option<EntryIndex>,
        arrival: &Arrival,
        mut give: impl FnMut(TablePeer),
    ) {
        let wanted = arrival.numwant.unwrap_or(NUMWANT_DEFAULT).min(self.limits.numwant_max);
        let is_seed = arrival.left == 0;
        let swarm = &self.swarms[swarm as usize];
        let own_four =
            own.filter(|_| is_v4).map(|entry_index| self.four.get(entry_index).place as usize);
        let own_six =
            own.filter(|_| !is_v4).map(|entry_index| self.six.get(entry_index).place as usize);
        let four = Choice::new(&swarm.four, own_four, is_seed);
        let six = Choice::new(&swarm.six, own_six, is_seed);
        let (four_len, six_len) = match (arrival.own_family_only, is_v4) {
            (false, _) => (four.len(), six.len()),
            (true, true) => (four.len(), 0),
            (true, false) => (0, six.len()),
        };
        let six_count = six_len.min((wanted / 2).max(wanted.saturating_sub(four_len)));
        let four_count = four_len.min(wanted - six_count);
        let seed = self.rng.next_u64();
        four.draw(four_count, seed, |entry_index| give(v4_peer(self.four.get(entry_index))));
        six.draw(six_count, !seed, |entry_index| give(v6_peer(self.six.get(entry_index))));
    }
}

fn v4_peer(entry: &Entry<4>) -> TablePeer {
    let address = SocketAddr::from((entry.who.ip, entry.who.port));
    TablePeer { peer_id: PeerId(entry.peer_id), address, left: entry.left }
}

fn v6_peer(entry: &Entry<16>) -> TablePeer {
    let address = SocketAddr::from((entry.who.ip, entry.who.port));
    TablePeer { peer_id: PeerId(entry.peer_id), address, left: entry.left }
}

/// Those of one family who can be named to somebody: not itself, and no seeds to a seed.
struct Choice<'a> {
    leeches: &'a [EntryIndex],
    seeds: &'a [EntryIndex],
    /// Where among them the asking one stands.
    own: Option<usize>,
}

impl<'a> Choice<'a> {
    fn new(lists: &'a Lists, own: Option<usize>, is_seed: bool) -> Self {
        let seeds: &[EntryIndex] = if is_seed { &[] } else { &lists.seeds };
        // A seed stands in the list that it is not given.
        Self { leeches: &lists.leeches, seeds, own: own.filter(|_| !is_seed) }
    }

    fn len(&self) -> usize {
        self.leeches.len() + self.seeds.len() - usize::from(self.own.is_some())
    }

    /// Hands out `count` different ones, each with the same chance: one from each of `count`
    /// equal parts. All chance comes from `seed`; which peers are named is no secret.
    fn draw(&self, count: usize, seed: u64, mut give: impl FnMut(EntryIndex)) {
        let len = self.len();
        let mut state = seed;
        for part in 0..count {
            let (begin, end) = (part * len / count, (part + 1) * len / count);
            let within = (u64::from(next_u32(&mut state)) * (end - begin) as u64) >> 32;
            let drawn = begin + within as usize;
            let position = drawn + usize::from(self.own.is_some_and(|own| drawn >= own));
            let entry_index = match self.leeches.get(position) {
                Some(entry_index) => *entry_index,
                None => self.seeds[position - self.leeches.len()],
            };
            give(entry_index);
        }
    }
}

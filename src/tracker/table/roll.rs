//! The peers of one address family, of all swarms: found by address, in the order in which they
//! last announced, so that expiry looks only at those who are gone, and by host, so that one that
//! has much can be told. Not here: which peers a swarm has, and what is answered.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use crate::base::addr::{Host, host_key};

/// No entry.
const NONE: u32 = u32::MAX;
/// Entries that are allocated at once: the roll grows without moving what it has.
const CHUNK_LEN: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Places of the smallest index.
const INDEX_LEN_MIN: usize = 64;
/// Lists of hosts, each with those whose keyed hash leads there: some 15 of a million.
const HOSTS_LEN: usize = 1 << 16;
/// Peers of others in a list that are passed over in search of a host's first one.
const OTHERS_MAX: usize = 256;

/// Where an entry lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EntryIndex(pub(super) u32);

/// Swarm, address and port: what a peer is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Who<const N: usize> {
    pub swarm: u32,
    pub ip: [u8; N],
    pub port: u16,
}

/// What is kept of a peer: 64 bytes with IPv4, 80 with IPv6.
#[derive(Clone, Debug)]
pub(super) struct Entry<const N: usize> {
    pub who: Who<N>,
    pub peer_id: [u8; 20],
    /// Bytes that it lacks.
    pub left: u64,
    /// Seconds since the table began.
    pub seen_at_s: u32,
    /// Where it stands in its swarm's list.
    pub place: u32,
    older: u32,
    newer: u32,
    /// Its neighbours in the list of its host, in the order of entering.
    earlier: u32,
    later: u32,
}

/// The peers of some hosts, in the order of entering.
#[derive(Clone, Copy)]
struct HostList {
    count: u32,
    first: u32,
    last: u32,
}

impl<const N: usize> Entry<N> {
    pub fn new(who: Who<N>, peer_id: [u8; 20], left: u64, seen_at_s: u32, place: u32) -> Self {
        Self {
            who,
            peer_id,
            left,
            seen_at_s,
            place,
            older: NONE,
            newer: NONE,
            earlier: NONE,
            later: NONE,
        }
    }
}

pub(super) struct Roll<const N: usize> {
    chunks: Vec<Vec<Entry<N>>>,
    free: Vec<EntryIndex>,
    count: usize,
    oldest: u32,
    newest: u32,
    /// Entries by the hash of who they are, each at the first free place from there on.
    index: Vec<u32>,
    hosts: Vec<HostList>,
    hasher: RandomState,
}

impl<const N: usize> Roll<N> {
    pub fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            count: 0,
            oldest: NONE,
            newest: NONE,
            index: vec![NONE; INDEX_LEN_MIN],
            hosts: vec![HostList { count: 0, first: NONE, last: NONE }; HOSTS_LEN],
            hasher: RandomState::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Bytes that are allocated.
    pub fn allocated(&self) -> usize {
        self.chunks.len() * CHUNK_LEN * size_of::<Entry<N>>()
            + self.free.capacity() * size_of::<EntryIndex>()
            + self.index.capacity() * size_of::<u32>()
            + self.hosts.capacity() * size_of::<HostList>()
    }

    pub fn get(&self, entry_index: EntryIndex) -> &Entry<N> {
        &self.chunks[entry_index.0 as usize >> CHUNK_BITS][entry_index.0 as usize & (CHUNK_LEN - 1)]
    }

    pub fn get_mut(&mut self, entry_index: EntryIndex) -> &mut Entry<N> {
        &mut self.chunks[entry_index.0 as usize >> CHUNK_BITS]
            [entry_index.0 as usize & (CHUNK_LEN - 1)]
    }

    /// The one who has been silent for longest.
    pub fn oldest(&self) -> Option<EntryIndex> {
        (self.oldest != NONE).then_some(EntryIndex(self.oldest))
    }

    /// All, the one who has been silent for longest first.
    pub fn oldest_first(&self) -> impl Iterator<Item = EntryIndex> + '_ {
        let newer = |entry_index: &EntryIndex| match self.get(*entry_index).newer {
            NONE => None,
            newer => Some(EntryIndex(newer)),
        };
        std::iter::successors(self.oldest(), newer)
    }

    /// Somebody, if `number` happens to lead to one: as often to each as to any other.
    pub fn nth(&self, number: u32) -> Option<EntryIndex> {
        let len = u32::try_from(self.count + self.free.len()).ok().filter(|len| *len > 0)?;
        let entry_index = EntryIndex(number % len);
        (self.get(entry_index).who.swarm != NONE).then_some(entry_index)
    }

    /// How many of the host of `ip` there are; rarely, some of other hosts among them.
    pub fn host_len(&self, ip: &[u8; N]) -> u32 {
        self.hosts[self.host_list(ip)].count
    }

    /// The one whom the host of `ip` entered first, if it has at least `least`.
    pub fn first_of_host(&self, ip: &[u8; N], least: usize) -> Option<EntryIndex> {
        let list = self.hosts[self.host_list(ip)];
        if (list.count as usize) < least.max(1) {
            return None;
        }
        let host = host_of(ip);
        let later = |at: &u32| Some(self.get(EntryIndex(*at)).later).filter(|later| *later != NONE);
        let mut some = std::iter::successors(Some(list.first), later).take(OTHERS_MAX);
        some.find(|at| host_of(&self.get(EntryIndex(*at)).who.ip) == host).map(EntryIndex)
    }

    pub fn find(&self, who: &Who<N>) -> Option<EntryIndex> {
        let mut at = self.home(who);
        while self.index[at] != NONE {
            let entry_index = EntryIndex(self.index[at]);
            if self.get(entry_index).who == *who {
                return Some(entry_index);
            }
            at = self.after(at);
        }
        None
    }

    /// Enters somebody who is not there yet, as the newest.
    pub fn insert(&mut self, entry: Entry<N>) -> EntryIndex {
        // Three quarters full, searches grow long.
        if (self.count + 1) * 4 > self.index.len() * 3 {
            self.grow_index();
        }
        let who = entry.who;
        let entry_index = match self.free.pop() {
            Some(entry_index) => {
                *self.get_mut(entry_index) = entry;
                entry_index
            }
            None => self.append(entry),
        };
        self.count += 1;
        self.enter(entry_index, &who);
        self.link_newest(entry_index);
        self.link_host(entry_index, &who.ip);
        entry_index
    }

    /// Makes somebody the newest.
    pub fn renew(&mut self, entry_index: EntryIndex, seen_at_s: u32) {
        if self.newest != entry_index.0 {
            self.unlink(entry_index);
            self.link_newest(entry_index);
        }
        self.get_mut(entry_index).seen_at_s = seen_at_s;
    }

    pub fn remove(&mut self, entry_index: EntryIndex) -> Entry<N> {
        self.unlink(entry_index);
        let entry = self.get(entry_index).clone();
        self.leave(entry_index, &entry.who);
        self.unlink_host(&entry);
        self.get_mut(entry_index).who.swarm = NONE;
        self.free.push(entry_index);
        self.count -= 1;
        entry
    }

    fn append(&mut self, entry: Entry<N>) -> EntryIndex {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_LEN) {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        let position = self.count as u32;
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(entry);
        debug_assert_eq!(self.count, chunk * CHUNK_LEN + self.chunks[chunk].len() - 1);
        EntryIndex(position)
    }

    fn link_newest(&mut self, entry_index: EntryIndex) {
        let before = self.newest;
        let entry = self.get_mut(entry_index);
        (entry.older, entry.newer) = (before, NONE);
        match before {
            NONE => self.oldest = entry_index.0,
            _ => self.get_mut(EntryIndex(before)).newer = entry_index.0,
        }
        self.newest = entry_index.0;
    }

    fn unlink(&mut self, entry_index: EntryIndex) {
        let Entry { older, newer, .. } = *self.get(entry_index);
        match older {
            NONE => self.oldest = newer,
            _ => self.get_mut(EntryIndex(older)).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.get_mut(EntryIndex(newer)).older = older,
        }
    }

    fn host_list(&self, ip: &[u8; N]) -> usize {
        self.hasher.hash_one(host_of(ip)) as usize & (HOSTS_LEN - 1)
    }

    fn link_host(&mut self, entry_index: EntryIndex, ip: &[u8; N]) {
        let at = self.host_list(ip);
        let list = &mut self.hosts[at];
        let before = std::mem::replace(&mut list.last, entry_index.0);
        list.count += 1;
        match before {
            NONE => list.first = entry_index.0,
            _ => self.get_mut(EntryIndex(before)).later = entry_index.0,
        }
        let entry = self.get_mut(entry_index);
        (entry.earlier, entry.later) = (before, NONE);
    }

    fn unlink_host(&mut self, entry: &Entry<N>) {
        let at = self.host_list(&entry.who.ip);
        let Entry { earlier, later, .. } = *entry;
        self.hosts[at].count -= 1;
        match earlier {
            NONE => self.hosts[at].first = later,
            _ => self.get_mut(EntryIndex(earlier)).later = later,
        }
        match later {
            NONE => self.hosts[at].last = earlier,
            _ => self.get_mut(EntryIndex(later)).earlier = earlier,
        }
    }

    /// Where the search for somebody begins. The hash is keyed: ports and most of an IPv6
    /// address are a stranger's to choose.
    fn home(&self, who: &Who<N>) -> usize {
        self.hasher.hash_one(who) as usize & (self.index.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.index.len() - 1)
    }

    fn enter(&mut self, entry_index: EntryIndex, who: &Who<N>) {
        let mut at = self.home(who);
        while self.index[at] != NONE {
            at = self.after(at);
        }
        self.index[at] = entry_index.0;
    }

    /// Takes an entry out of the index and moves up those behind it that would be cut off.
    fn leave(&mut self, entry_index: EntryIndex, who: &Who<N>) {
        let mut hole = self.home(who);
        while self.index[hole] != entry_index.0 {
            hole = self.after(hole);
        }
        let mask = self.index.len() - 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let moved = self.index[at];
            if moved == NONE {
                break;
            }
            let home = self.home(&self.get(EntryIndex(moved)).who);
            // It may stand anywhere from its home on; the hole is nearer to it.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.index[hole] = moved;
                hole = at;
            }
        }
        self.index[hole] = NONE;
    }

    fn grow_index(&mut self) {
        let mut at = self.oldest;
        self.index = vec![NONE; self.index.len() * 2];
        while at != NONE {
            let Entry { who, newer, .. } = *self.get(EntryIndex(at));
            self.enter(EntryIndex(at), &who);
            at = newer;
        }
    }
}

/// The host of an address, which is of one family or the other.
fn host_of<const N: usize>(ip: &[u8; N]) -> Host {
    let four = <[u8; 4]>::try_from(ip.as_slice()).map(IpAddr::from);
    let six = || <[u8; 16]>::try_from(ip.as_slice()).map(IpAddr::from);
    host_key(four.or_else(|_| six()).unwrap_or(IpAddr::from([0; 4])))
}

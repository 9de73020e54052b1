//! Addresses of one torrent that are on the user's blocklist: they are kept from its brain, and
//! counted for people who wonder where everybody is. Not here: the list.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::net::blocklist::{Blocklist, Changes, Refused};
use crate::swarm::event::Source;
use crate::swarm::link::LinkEvent;

/// Addresses that are told apart; as many as a torrent knows of others.
const MET_MAX: usize = 3000;

/// What a torrent knows of blocked addresses.
#[derive(Debug)]
pub(super) struct Blocked {
    list: Blocklist,
    changes: Changes,
    /// Who named them.
    met: BTreeMap<SocketAddr, Source>,
}

impl Blocked {
    /// Nobody was named yet.
    pub fn new(list: Blocklist) -> Self {
        Self { changes: list.watch(), list, met: BTreeMap::new() }
    }

    /// Is an address blocked that would be dialled, which `source` named?
    pub fn is_met(&mut self, address: SocketAddr, source: Source) -> bool {
        let is_blocked = self.list.contains(address.ip());
        if is_blocked && self.meet(address, source) {
            self.list.count(Refused::Dial);
        }
        is_blocked
    }

    /// A blocked address was named, or was linked to before it was blocked. False when that is
    /// known, or there are too many.
    pub fn meet(&mut self, address: SocketAddr, source: Source) -> bool {
        let is_new = self.met.len() < MET_MAX && !self.met.contains_key(&address);
        if is_new {
            self.met.insert(address, source);
        }
        is_new
    }

    /// Is an address blocked that came to us?
    pub fn has(&self, address: SocketAddr) -> bool {
        self.list.contains(address.ip())
    }

    /// Those of the addresses that may be dialled.
    pub fn sift(&mut self, source: Source, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if self.list.is_on() {
            addresses.retain(|address| !self.is_met(*address, source));
        }
        addresses
    }

    /// Takes blocked addresses out of what a peer tells of others.
    pub fn sift_told(&mut self, events: &mut [LinkEvent]) {
        if !self.list.is_on() {
            return;
        }
        for event in events {
            if let LinkEvent::Peers(peers) = event {
                peers.added.retain(|(address, _)| !self.is_met(*address, Source::Pex));
            }
        }
    }

    /// Waits until other addresses are blocked than before.
    pub async fn changed(&mut self) {
        self.changes.changed().await;
    }

    /// Those that were named and are blocked no more, by who named them.
    pub fn freed(&mut self) -> BTreeMap<Source, Vec<SocketAddr>> {
        let list = &self.list;
        let mut freed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (address, source) in self.met.extract_if(.., |it, _| !list.contains(it.ip())) {
            freed.entry(source).or_default().push(address);
        }
        freed
    }

    /// Blocked addresses that were named.
    pub fn count(&self) -> u32 {
        u32::try_from(self.met.len()).unwrap_or(u32::MAX)
    }
}

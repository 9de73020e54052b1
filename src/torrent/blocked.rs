//! Addresses of one torrent that are on the user's blocklist: they are kept from its brain, and
//! counted for people who wonder where everybody is. Not here: the list.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::net::blocklist::{Blocklist, Changes, Refused};
use crate::swarm::link::LinkEvent;

/// Addresses that are told apart; as many as a torrent knows of others.
const MET_MAX: usize = 3000;

/// What a torrent knows of blocked addresses.
#[derive(Debug)]
pub(super) struct Blocked {
    list: Blocklist,
    changes: Changes,
    met: BTreeSet<SocketAddr>,
}

impl Blocked {
    /// Nobody was named yet.
    pub fn new(list: Blocklist) -> Self {
        Self { changes: list.watch(), list, met: BTreeSet::new() }
    }

    /// Is an address blocked that would be dialled?
    pub fn is_met(&mut self, address: SocketAddr) -> bool {
        let is_blocked = self.list.contains(address.ip());
        if is_blocked && self.met.len() < MET_MAX && self.met.insert(address) {
            self.list.count(Refused::Dial);
        }
        is_blocked
    }

    /// Is an address blocked that came to us?
    pub fn has(&self, address: SocketAddr) -> bool {
        self.list.contains(address.ip())
    }

    /// Those of the addresses that may be dialled.
    pub fn sift(&mut self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if self.list.is_on() {
            addresses.retain(|address| !self.is_met(*address));
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
                peers.added.retain(|(address, _)| !self.is_met(*address));
            }
        }
    }

    /// Waits until other addresses are blocked than before.
    pub async fn changed(&mut self) {
        self.changes.changed().await;
    }

    /// Forgets those that are blocked no more; whoever named them does it again.
    pub fn look_again(&mut self) {
        let list = &self.list;
        self.met.retain(|address| list.contains(address.ip()));
    }

    /// Blocked addresses that were named.
    pub fn count(&self) -> u32 {
        u32::try_from(self.met.len()).unwrap_or(u32::MAX)
    }
}

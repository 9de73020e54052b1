//! What public hosts got beyond what they gave, kept when their links end: to come again pays
//! no debt.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::addr::{Host, Locality, host_key};

/// Hosts whose debts are remembered; the least go first.
const DEBTS_MAX: usize = 1_000;

/// Debts by host, in bytes.
#[derive(Debug, Default)]
pub(super) struct Debts(BTreeMap<Host, u64>);

impl Debts {
    /// A link to this host ended owing so much. Behind a local address many may live, of whom
    /// none is to pay for another.
    pub(super) fn add(&mut self, host: IpAddr, owes: u64) {
        if owes == 0 || Locality::of(host) != Locality::Public {
            return;
        }
        let known = self.0.entry(host_key(host)).or_default();
        *known = known.saturating_add(owes);
        if self.0.len() > DEBTS_MAX {
            let least = self.0.iter().min_by_key(|(_, owes)| **owes).map(|(host, _)| *host);
            least.map(|host| self.0.remove(&host));
        }
    }

    /// What a host owes that comes again; its link owes it from now on.
    pub(super) fn take(&mut self, host: IpAddr) -> u64 {
        self.0.remove(&host_key(host)).unwrap_or(0)
    }
}

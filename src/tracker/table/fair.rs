//! Who has to make room when the table is full: a host that has as much as one host may gives its
//! own oldest; otherwise those give whose hosts have most, so that who fills the table crowds out
//! himself. Looked at are a few chosen by chance, for a host with much is met by chance as often
//! as it has much. Not here: how somebody is entered or dismissed.

use std::cmp::Reverse;
use std::net::IpAddr;

use rand::Rng as _;

use super::heaviest::{Reason, heaviest, next_u32, reason};
use super::{Family, SwarmTable, TableFull};

/// Swarms that are looked at for one that makes room.
const SWARMS_LOOKED_AT: usize = 64;
/// The largest swarm that makes room, and its peers with it.
const SWARM_SIZE_MAX: usize = 8;

/// A number that no swarm has.
const NO_SWARM: u32 = u32::MAX;

impl SwarmTable {
    /// How many peers of the host of `ip` are here.
    pub(super) fn host_len(&self, ip: IpAddr) -> u32 {
        match ip {
            IpAddr::V4(ip) => self.four.host_len(&ip.octets()),
            IpAddr::V6(ip) => self.six.host_len(&ip.octets()),
        }
    }

    /// Makes room for one peer more, of `ip` in `swarm`, which may be empty for the moment.
    pub(super) fn make_room(&mut self, swarm: u32, ip: IpAddr) {
        if self.host_len(ip) as usize >= self.limits.peers_per_host.max(1) {
            self.dismiss_own(swarm, ip, self.limits.peers_per_host);
        }
        if self.four.len() + self.six.len() < self.limits.peers {
            return;
        }
        let mut state = self.rng.next_u64();
        let four = heaviest(&self.four, &mut state);
        let six = heaviest(&self.six, &mut state);
        let most = four.map(|it| it.1).max(six.map(|it| it.1));
        // Who has more than all of those has more to give.
        let own = self.host_len(ip);
        if most.is_some_and(|most| most.host_count < own) && self.dismiss_own(swarm, ip, 1) {
            return;
        }
        let left = match (four, six) {
            (Some((entry_index, reason)), _) if Some(reason) == most => {
                Family::<4>::dismiss(self, entry_index)
            }
            (_, Some((entry_index, _))) => Family::<16>::dismiss(self, entry_index),
            _ => return,
        };
        if left != swarm {
            self.end_if_empty(left);
        }
    }

    /// Makes room for one swarm more, which somebody at `ip` begins.
    ///
    /// # Errors
    /// [`TableFull`] when nobody has more than that host, and it has nothing to give.
    pub(super) fn make_room_for_swarm(&mut self, ip: IpAddr) -> Result<(), TableFull> {
        if self.by_hash.len() < self.limits.swarms {
            return Ok(());
        }
        let own = self.host_len(ip);
        match self.heaviest_swarm() {
            Some((swarm, reason)) if reason.host_count > own || own == 0 => self.end(swarm),
            _ if self.has_lone_first(ip) => _ = self.dismiss_own(NO_SWARM, ip, 1),
            _ => {}
        }
        if self.by_hash.len() < self.limits.swarms { Ok(()) } else { Err(TableFull) }
    }

    /// Whether the host of `ip` is alone in the swarm that it entered first.
    fn has_lone_first(&self, ip: IpAddr) -> bool {
        let swarm = match ip {
            IpAddr::V4(ip) => {
                let first = self.four.first_of_host(&ip.octets(), 1);
                first.map(|entry_index| self.four.get(entry_index).who.swarm)
            }
            IpAddr::V6(ip) => {
                let first = self.six.first_of_host(&ip.octets(), 1);
                first.map(|entry_index| self.six.get(entry_index).who.swarm)
            }
        };
        swarm.is_some_and(|swarm| self.swarms[swarm as usize].len() == 1)
    }

    /// Lets the host of `ip` give the peer that it entered first, if it has at least `least`.
    fn dismiss_own(&mut self, swarm: u32, ip: IpAddr, least: usize) -> bool {
        let left = match ip {
            IpAddr::V4(ip) => {
                let own = self.four.first_of_host(&ip.octets(), least);
                own.map(|entry_index| Family::<4>::dismiss(self, entry_index))
            }
            IpAddr::V6(ip) => {
                let own = self.six.first_of_host(&ip.octets(), least);
                own.map(|entry_index| Family::<16>::dismiss(self, entry_index))
            }
        };
        if let Some(left) = left.filter(|left| *left != swarm) {
            self.end_if_empty(left);
        }
        left.is_some()
    }

    /// Of some small swarms the one whose peers are all of hosts that have much.
    fn heaviest_swarm(&mut self) -> Option<(u32, Reason)> {
        let len = self.swarms.len() as u32;
        let mut state = self.rng.next_u64();
        let looked_at = (len as usize).min(SWARMS_LOOKED_AT);
        let all = looked_at == len as usize;
        let chosen = (0..looked_at as u32).map(|number| match all {
            true => number,
            false => next_u32(&mut state) % len,
        });
        let judged = chosen.filter_map(|swarm| self.reason_of(swarm).map(|it| (swarm, it)));
        judged.max_by_key(|(swarm, reason)| (*reason, Reverse(*swarm)))
    }

    /// The least of the reasons of its peers; none of a swarm that nobody is in or many are.
    fn reason_of(&self, swarm: u32) -> Option<Reason> {
        let lists = &self.swarms[swarm as usize];
        if lists.info_hash.is_none() || lists.len() > SWARM_SIZE_MAX {
            return None;
        }
        let four = lists.four.leeches.iter().chain(&lists.four.seeds);
        let six = lists.six.leeches.iter().chain(&lists.six.seeds);
        let four = four.map(|entry_index| reason(&self.four, *entry_index));
        four.chain(six.map(|entry_index| reason(&self.six, *entry_index))).min()
    }

    fn end(&mut self, swarm: u32) {
        while let Some(entry_index) = self.swarms[swarm as usize].four.any() {
            Family::<4>::dismiss(self, entry_index);
        }
        while let Some(entry_index) = self.swarms[swarm as usize].six.any() {
            Family::<16>::dismiss(self, entry_index);
        }
        self.end_if_empty(swarm);
    }
}

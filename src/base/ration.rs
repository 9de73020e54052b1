//! How often each host may have something: so many times in a window of time. Bounded memory,
//! however many hosts ask. Not here: what it is that they have.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::addr::Host;

/// Hosts that are counted at once; each takes some 60 bytes.
const HOSTS_MAX: usize = 4096;

/// Counts what each host has had.
#[derive(Debug)]
pub struct Ration {
    most: u32,
    window: Duration,
    had: HashMap<Host, Had>,
}

#[derive(Clone, Copy, Debug)]
struct Had {
    since: Instant,
    count: u32,
}

impl Ration {
    /// For each host, `most` times in each `window`, which begins with the first of them.
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window, had: HashMap::new() }
    }

    /// Whether `host` may have it once more; nothing is counted.
    pub fn is_left_for(&self, host: Host, now: Instant) -> bool {
        self.had.get(&host).is_none_or(|had| !self.is_fresh(had, now) || had.count < self.most)
    }

    /// Counts once more for `host`; false when it has had it as often as it may.
    pub fn take(&mut self, host: Host, now: Instant) -> bool {
        if !self.is_left_for(host, now) {
            return false;
        }
        self.make_room(host, now);
        let fresh = self.had.get(&host).copied().filter(|had| self.is_fresh(had, now));
        let Had { since, count } = fresh.unwrap_or(Had { since: now, count: 0 });
        self.had.insert(host, Had { since, count: count + 1 });
        true
    }

    fn is_fresh(&self, had: &Had, now: Instant) -> bool {
        now.saturating_duration_since(had.since) < self.window
    }

    fn make_room(&mut self, host: Host, now: Instant) {
        if self.had.len() < HOSTS_MAX || self.had.contains_key(&host) {
            return;
        }
        let window = self.window;
        self.had.retain(|_, had| now.saturating_duration_since(had.since) < window);
        if self.had.len() >= HOSTS_MAX {
            // Their addresses may be forged, and counting each is of no use any more: whoever
            // is honest has to get something.
            self.had.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::host_key;

    fn host(text: &str) -> Host {
        host_key(text.parse().unwrap())
    }

    #[test]
    fn each_host_has_as_much_as_it_may_in_a_window() {
        let now = Instant::now();
        let mut ration = Ration::new(3, Duration::from_secs(1));
        let mut had = |host: &str, now| {
            let host = host_key(host.parse().unwrap());
            (0..5).filter(|_| ration.take(host, now)).count()
        };
        assert_eq!(had("10.0.0.1", now), 3);
        assert_eq!(had("10.0.0.2", now), 3, "another one has its own");
        assert_eq!(had("2001:db8:0:1::1", now), 3);
        assert_eq!(had("2001:db8:0:1::2", now), 0, "a /64 is one host");
        assert_eq!(had("10.0.0.1", now + Duration::from_millis(999)), 0);
        assert_eq!(had("10.0.0.1", now + Duration::from_secs(1)), 3);
    }

    #[test]
    fn to_ask_what_is_left_takes_nothing() {
        let now = Instant::now();
        let mut ration = Ration::new(1, Duration::from_secs(1));
        assert!((0..3).all(|_| ration.is_left_for(host("::1"), now)));
        assert!(ration.take(host("::1"), now) && !ration.is_left_for(host("::1"), now));
    }

    #[test]
    fn forged_addresses_take_little_memory_and_shut_nobody_out() {
        let now = Instant::now();
        let mut ration = Ration::new(1, Duration::from_secs(1));
        for number in 0..20_000_u32 {
            assert!(ration.take(host_key(std::net::IpAddr::from(number.to_be_bytes())), now));
        }
        assert!(ration.had.len() <= HOSTS_MAX);
        assert!(ration.take(host("192.0.2.1"), now));
    }
}

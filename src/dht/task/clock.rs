//! Whether this machine is where and when it was: other networks, and sleep, which the monotonic
//! clock does not count (clock_gettime(2)). It asks the system again and again, and tells nobody.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::net::addresses::networks;

/// What the monotonic clock may miss without any sleep: the clock was set a little, or the
/// process waited for a processor between two readings.
const SLEEP_LEAST: Duration = Duration::from_secs(30);

/// What was the case when it was looked last.
pub(super) struct Surroundings {
    at: Instant,
    boot: Option<Duration>,
    wall: SystemTime,
    networks: Vec<IpAddr>,
}

impl Surroundings {
    pub(super) fn look() -> Self {
        Self {
            at: Instant::now(),
            boot: since_boot(),
            wall: SystemTime::now(),
            networks: networks().unwrap_or_default(),
        }
    }

    /// Can other networks be reached over IPv6, as far as our own addresses tell?
    pub(super) fn has_v6(&self) -> bool {
        self.networks.iter().any(IpAddr::is_ipv6)
    }

    /// What has changed since: how long the machine slept, if it did or is in another network.
    pub(super) fn changed(&mut self) -> Option<Duration> {
        let before = std::mem::replace(self, Self::look());
        let counted = self.at.saturating_duration_since(before.at);
        let passed = match (before.boot, self.boot) {
            (Some(then), Some(now)) => now.saturating_sub(then),
            _ => Duration::ZERO,
        };
        // A virtual machine that was stopped may have noticed it by this clock alone.
        let by_wall = self.wall.duration_since(before.wall).unwrap_or_default();
        let slept = passed.max(by_wall).saturating_sub(counted);
        let has_slept = slept >= SLEEP_LEAST;
        let is_elsewhere = self.networks != before.networks;
        (has_slept || is_elsewhere).then_some(if has_slept { slept } else { Duration::ZERO })
    }
}

fn since_boot() -> Option<Duration> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    Some(Duration::from(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_by_itself_and_sleep_and_other_networks_are_seen() {
        let mut here = Surroundings::look();
        assert_eq!(here.changed(), None);
        let hour = Duration::from_secs(3600);
        here.boot = here.boot.map(|boot| boot.saturating_sub(hour));
        let slept = here.changed();
        // The clocks are read one after the other.
        let is_hour = |slept: Duration| slept.abs_diff(hour) < Duration::from_secs(1);
        assert!(here.boot.is_none() || slept.is_some_and(is_hour), "{slept:?}");
        here.wall -= hour;
        assert!(here.changed().is_some_and(|slept| slept >= SLEEP_LEAST));
        // A clock that was set back is no sleep.
        here.wall += hour;
        assert_eq!(here.changed(), None);
        here.networks.push(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(here.changed(), Some(Duration::ZERO));
    }
}

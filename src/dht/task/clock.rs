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
        self.changed_since(&before)
    }

    fn changed_since(&self, before: &Self) -> Option<Duration> {
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
    fn nothing_changes_by_itself() {
        let mut here = Surroundings::look();
        assert_eq!(here.changed(), None);
    }

    // Ahead of now, since a machine may run for less than the hour.
    #[test]
    fn sleep_and_other_networks_are_seen() {
        const HOUR: Duration = Duration::from_secs(3600);
        let before = Surroundings::look();
        let later = |change: fn(&mut Surroundings)| {
            let mut it = Surroundings {
                at: before.at,
                boot: before.boot,
                wall: before.wall,
                networks: before.networks.clone(),
            };
            change(&mut it);
            it.changed_since(&before)
        };
        assert_eq!(
            later(|it| it.boot = it.boot.map(|boot| boot + HOUR)),
            before.boot.map(|_| HOUR)
        );
        assert_eq!(later(|it| it.wall += HOUR), Some(HOUR));
        // Awake all the time, and a clock that was set back.
        assert_eq!(later(|it| (it.at, it.wall) = (it.at + HOUR, it.wall + HOUR)), None);
        assert_eq!(later(|it| it.wall -= HOUR), None);
        assert_eq!(later(|it| it.networks.push([192, 0, 2, 1].into())), Some(Duration::ZERO));
    }
}

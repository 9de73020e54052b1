//! When a torrent has seeded enough. Pure: limits and numbers in, yes or no out.

use std::time::Duration;

use crate::torrent::options::SeedLimits;
use crate::torrent::status::Status;

/// Is one of the limits reached, `complete_for` after completion?
pub(super) fn is_enough(limits: &SeedLimits, status: &Status, complete_for: Duration) -> bool {
    limits.ratio.is_some_and(|ratio| status.ratio() >= ratio)
        || limits.time.is_some_and(|time| complete_for >= time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(uploaded_before_bytes: u64, uploaded_bytes: u64) -> Status {
        Status { wanted_bytes: 1000, uploaded_before_bytes, uploaded_bytes, ..Status::default() }
    }

    #[test]
    fn the_ratio_counts_earlier_runs() {
        let limits = SeedLimits { ratio: Some(1.5), time: None };
        let hour = Duration::from_secs(3600);
        assert!(!is_enough(&limits, &sent(0, 1499), hour));
        assert!(is_enough(&limits, &sent(0, 1500), Duration::ZERO));
        assert!(is_enough(&limits, &sent(1000, 500), Duration::ZERO));
    }

    #[test]
    fn the_first_limit_counts_and_none_is_for_ever() {
        let limits = SeedLimits { ratio: Some(1.5), time: Some(Duration::from_secs(60)) };
        assert!(is_enough(&limits, &sent(0, 0), Duration::from_secs(60)));
        assert!(!is_enough(&limits, &sent(0, 0), Duration::from_secs(59)));
        assert!(!is_enough(&SeedLimits::default(), &sent(9999, 0), Duration::MAX));
    }

    #[test]
    fn a_torrent_without_bytes_is_not_infinitely_generous() {
        let limits = SeedLimits { ratio: Some(0.1), time: None };
        assert!(!is_enough(&limits, &Status::default(), Duration::ZERO));
    }
}

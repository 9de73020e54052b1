//! What clocks on the wall show here: the zone of this machine, or that of `TZ`, with its summers
//! (tzfile(5), POSIX.1 `TZ`).

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds that our zone is ahead of UTC at this time, seconds since 1970; 0 where neither is
/// known.
pub fn offset_at(unix_s: u64) -> i32 {
    let at = i64::try_from(unix_s).ok().and_then(|unix_s| Timestamp::from_second(unix_s).ok());
    // Read once, and looked at again when it is some minutes old.
    at.map_or(0, |at| TimeZone::system().to_offset(at).seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_whole_quarters_of_an_hour_from_utc_and_time_has_ends() {
        let offset = offset_at(1_800_000_000);
        assert!(offset % 900 == 0 && offset.abs() <= 14 * 3600, "{offset}");
        assert_eq!(offset_at(u64::MAX), 0);
    }
}

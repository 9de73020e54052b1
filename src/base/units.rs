//! Units: the block, and how people write sizes, rates and durations. Nothing here is
//! exact accounting; numbers in JSON stay plain.

use std::time::Duration;

/// Bytes of a block, the unit of requests that every client serves (BEP 3: 2^14).
pub const BLOCK_LEN: usize = 16 * 1024;

/// A size in IEC units with one decimal: `783.0 MiB`, `512 B`.
pub fn size(bytes: u64) -> String {
    const NAMES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut name = NAMES[0];
    for next in &NAMES[1..] {
        // 1023.95 would print as 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        name = next;
    }
    format!("{value:.1} {name}")
}

/// A rate: `11.4 MiB/s`.
pub fn rate(bytes_per_s: u64) -> String {
    format!("{}/s", size(bytes_per_s))
}

/// A duration in its two largest units: `27s`, `4m 51s`, `1d 3h`.
pub fn duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

/// The shortest time over which an average says anything: below it lies mostly chance.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long something took: as [`duration`], but of a short time tenths of seconds, and never
/// none.
pub fn elapsed(time: Duration) -> String {
    match time.as_millis() {
        _ if time < SHORTEST => "less than 0.1s".to_owned(),
        0..10_000 => format!("{:.1}s", time.as_secs_f64()),
        _ => duration(time),
    }
}

/// Bytes a second over a time; none when it was too short to tell.
pub fn average(bytes: u64, time: Duration) -> Option<u64> {
    (time >= SHORTEST).then(|| (bytes as f64 / time.as_secs_f64()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(821_035_008), "783.0 MiB");
        assert_eq!(size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
        assert_eq!(rate(0), "0 B/s");
    }

    #[test]
    fn durations_show_two_units() {
        assert_eq!(duration(Duration::from_secs(27)), "27s");
        let short = [3, 340, 1_000, 9_949, 10_400].map(|ms| elapsed(Duration::from_millis(ms)));
        assert_eq!(short, ["less than 0.1s", "0.3s", "1.0s", "9.9s", "10s"]);
        assert_eq!(average(1 << 20, Duration::from_millis(99)), None);
        assert_eq!(average(1000, Duration::from_millis(100)), Some(10_000));
        assert_eq!(duration(Duration::from_secs(291)), "4m 51s");
        assert_eq!(duration(Duration::from_secs(97_200)), "1d 3h");
    }
}

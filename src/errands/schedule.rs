//! When something that failed is done again: pauses that grow. Pure.

use std::time::Duration;

/// The pause behind the `failures`th failure in a row, from 1: `first`, then four times as long
/// each time, up to `most`.
pub fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let times = 4u32.checked_pow(failures.saturating_sub(1));
    times.and_then(|times| first.checked_mul(times)).map_or(most, |pause| pause.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_to_its_limit() {
        let of = |failures| {
            backoff(failures, Duration::from_secs(1), Duration::from_secs(100)).as_secs()
        };
        assert_eq!([0, 1, 2, 3, 4, 5, 40].map(of), [1, 1, 4, 16, 64, 100, 100]);
    }
}

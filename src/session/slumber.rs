//! Which complete torrents sleep: of those that nobody is connected to, all but the ones that had
//! somebody last. Pure: it sees since when each has nobody, and names positions.

use std::time::Instant;

/// Positions of those that are to sleep, when so many may stay awake with nobody: those that have
/// had nobody for longest. `alone_since` is none for one that has somebody, sleeps, or must not.
pub(super) fn to_sleep(
    alone_since: impl Iterator<Item = Option<Instant>>,
    awake_max: usize,
) -> Vec<usize> {
    let alone = alone_since.enumerate().filter_map(|(position, since)| Some((since?, position)));
    let mut alone: Vec<_> = alone.collect();
    let count = alone.len().saturating_sub(awake_max);
    if count == 0 {
        return Vec::new();
    }
    alone.sort_unstable();
    alone.into_iter().take(count).map(|(_, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn those_that_had_nobody_for_longest_sleep() {
        let start = Instant::now();
        let since = |seconds| Some(start + Duration::from_secs(seconds));
        let alone = [since(3), None, since(1), since(2), since(1)];
        assert_eq!(to_sleep(alone.into_iter(), 4), [0; 0]);
        assert_eq!(to_sleep(alone.into_iter(), 1), [2, 4, 3]);
        assert_eq!(to_sleep(alone.into_iter(), 0), [2, 4, 3, 0]);
    }
}

//! The times that the machine goes by.

use std::time::Duration;

/// The times of the machine. Tests shorten them.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Shortest regular interval, whatever the tracker says.
    pub interval_floor: Duration,
    /// The same while nobody is connected.
    pub interval_floor_alone: Duration,
    /// Interval when the tracker names none.
    pub interval_default: Duration,
    /// Longest interval.
    pub interval_max: Duration,
    /// Regular intervals vary by so many per cent up and down, so that torrents added together
    /// do not announce together for ever.
    pub jitter_percent: u32,
    /// Wait after the first failure; it grows with the square of failures in a row.
    pub backoff: Duration,
    /// Longest wait after failures.
    pub backoff_max: Duration,
    /// Without one working peer for so long, the next tier is asked.
    pub patience: Duration,
    /// While nobody is connected, a tracker may hang so long before the next one is asked too.
    pub hedge: Duration,
    /// Time for all `stopped` announces together.
    pub stop_budget: Duration,
    /// No more than `announces_max` announces leave in this time, `stopped` excepted.
    pub announces_window: Duration,
    /// See `announces_window`.
    pub announces_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval_floor: Duration::from_secs(300),
            interval_floor_alone: Duration::from_secs(60),
            interval_default: Duration::from_secs(1800),
            interval_max: Duration::from_secs(24 * 3600),
            jitter_percent: 5,
            backoff: Duration::from_secs(5),
            backoff_max: Duration::from_secs(3600),
            patience: Duration::from_secs(10),
            // The next tier has to be asked within 15 s; libtorrent waits 30.
            hedge: Duration::from_secs(12),
            stop_budget: Duration::from_secs(3),
            announces_window: Duration::from_secs(60),
            announces_max: 15,
        }
    }
}

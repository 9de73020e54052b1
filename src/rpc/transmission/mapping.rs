//! What our states, limits and times are called there: the one place where that is decided. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::api::{Priority, State, Torrent};

/// Bytes a second of one of their units.
pub(super) const KILO: u64 = 1000;
/// A limit that is told where there is none.
pub(super) const IDLE_LIMIT: u64 = 100;
/// A ratio that is told where there is none.
pub(super) const IDLE_RATIO: f64 = 2.0;
/// After so many seconds without a byte it counts as stalled.
const STALLED_S: u64 = 30 * 60;

/// It rests.
pub(super) const STOPPED: u8 = 0;
/// Its data is looked at, or on its way.
pub(super) const CHECKS: u8 = 2;
/// It waits for its turn.
pub(super) const WAITS: u8 = 3;
/// It fetches.
pub(super) const DOWNLOADS: u8 = 4;
/// It is whole, and waits for its turn.
pub(super) const WAITS_TO_SEED: u8 = 5;
/// It is whole, and gives.
pub(super) const SEEDS: u8 = 6;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a torrent is doing. It is 4 or 6 only where it really does that: tools import what is 6,
/// and whole.
pub(super) fn status(torrent: &Torrent) -> u8 {
    let is_known = torrent.size > 0;
    match torrent.state {
        State::Checking | State::Moving => CHECKS,
        State::Queued if is_known && left(torrent) == 0 => WAITS_TO_SEED,
        State::Queued => WAITS,
        State::Seeking | State::Downloading => DOWNLOADS,
        // Nothing of it was ever wanted: it is no download that is done.
        State::Seeding if torrent.wanted_bytes == 0 && is_known => STOPPED,
        State::Seeding => SEEDS,
        State::Finished | State::Paused | State::Stopping | State::DiskTrouble | State::Failed => {
            STOPPED
        }
    }
}

/// Bytes of wanted files that are missing.
pub(super) fn left(torrent: &Torrent) -> u64 {
    torrent.wanted_bytes.saturating_sub(torrent.done_bytes)
}

/// Bytes that are here, wanted or not.
pub(super) fn here(torrent: &Torrent) -> u64 {
    match torrent.size {
        0 => torrent.done_bytes,
        size => size.saturating_sub(torrent.missing_bytes),
    }
}

/// Share of what is wanted that is here.
pub(super) fn done(torrent: &Torrent) -> f64 {
    match torrent.wanted_bytes {
        0 => 0.0,
        _ => torrent.progress,
    }
}

/// Share of all that is here.
pub(super) fn complete(torrent: &Torrent) -> f64 {
    match torrent.size {
        0 => done(torrent),
        size => here(torrent) as f64 / size as f64,
    }
}

/// Seconds until it is whole, or has seeded enough: -1 where that is no question, -2 where nobody
/// knows.
pub(super) fn eta(torrent: &Torrent) -> i64 {
    let whole = |seconds: u64| i64::try_from(seconds).unwrap_or(-2);
    match torrent.state {
        State::Downloading => torrent.left_s.map_or(-2, whole),
        State::Seeding => match torrent.seed_ratio {
            None => -1,
            Some(ratio) => {
                let goal = (ratio * torrent.wanted_bytes as f64) as u64;
                let rest = goal.saturating_sub(torrent.sent_bytes);
                rest.checked_div(torrent.up_rate).map_or(-2, whole)
            }
        },
        _ => -1,
    }
}

/// What was sent for each byte: -1 where nothing is known of it.
pub(super) fn ratio(torrent: &Torrent) -> f64 {
    if torrent.size == 0 { -1.0 } else { torrent.ratio }
}

/// What is wrong: 3 and a text, as all that we know of is local.
pub(super) fn error(torrent: &Torrent) -> (u8, &str) {
    match &torrent.trouble {
        Some(why) => (3, why),
        None => (0, ""),
    }
}

/// Has nothing come or gone for long, though it runs?
pub(super) fn is_stalled(torrent: &Torrent, now: u64) -> bool {
    let since = torrent.active_at.unwrap_or(torrent.added_at);
    let runs = matches!(status(torrent), DOWNLOADS | SEEDS);
    runs && torrent.down_rate + torrent.up_rate == 0 && now.saturating_sub(since) > STALLED_S
}

/// A limit in their units, and whether it holds; less than one of them is one.
pub(super) fn limit(bytes: Option<u64>) -> (u64, bool) {
    match bytes {
        Some(bytes) => (bytes.div_ceil(KILO), true),
        None => (IDLE_LIMIT, false),
    }
}

/// What a limit becomes when `number` of their units and `holds` are set, or one of both: as ours
/// are set, where 0 lifts it. None when nothing changes. A limit that does not hold is not kept.
pub(super) fn set_limit(now: Option<u64>, number: Option<u64>, holds: Option<bool>) -> Option<u64> {
    // With nothing allowed at all it would be none.
    let bytes = |number: u64| number.saturating_mul(KILO).max(1);
    match (holds, number) {
        (Some(false), _) => now.map(|_| 0),
        (Some(true), number) => {
            let idle = now.unwrap_or(IDLE_LIMIT * KILO);
            Some(number.map_or(idle, bytes)).filter(|limit| now != Some(*limit))
        }
        (None, Some(number)) => now.map(|_| bytes(number)),
        (None, None) => None,
    }
}

/// What the goal of a torrent becomes, likewise: modes are 0 as all others, 1 its own, 2 none.
pub(super) fn set_ratio(now: Option<f64>, ratio: Option<f64>, mode: Option<i64>) -> Option<f64> {
    let ratio = ratio.filter(|ratio| *ratio >= 0.0);
    match mode {
        // A ratio of nothing is reached at once: as nearly nothing as can be told.
        Some(1) => Some(ratio.or(now).unwrap_or(IDLE_RATIO).max(f64::MIN_POSITIVE)),
        Some(0 | 2) => Some(0.0),
        _ => ratio.filter(|_| now.is_some()).map(|ratio| ratio.max(f64::MIN_POSITIVE)),
    }
}

/// How much a file is wanted, beside whether it is.
pub(super) fn priority(priority: Priority) -> i8 {
    match priority {
        Priority::Low => -1,
        Priority::Off | Priority::Normal => 0,
        Priority::High => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_set_as_it_is_meant() {
        let set = set_limit;
        assert_eq!(set(None, Some(77), Some(true)), Some(77_000));
        assert_eq!(set(None, None, Some(true)), Some(100_000));
        assert_eq!(set(Some(5_000), None, Some(true)), None, "it holds");
        assert_eq!(set(Some(5_000), Some(0), None), Some(1), "nothing is no lifted limit");
        assert_eq!(set(None, Some(77), None), None, "it is kept only while it holds");
        assert_eq!(
            (set(Some(5), None, Some(false)), set(None, Some(9), Some(false))),
            (Some(0), None)
        );
        assert_eq!(set(None, Some(u64::MAX), Some(true)), Some(u64::MAX));
        assert_eq!((limit(Some(99_001)), limit(None)), ((100, true), (100, false)));
    }

    #[test]
    fn a_goal_is_set_by_its_mode() {
        let set = set_ratio;
        assert_eq!(set(None, Some(1.5), Some(1)), Some(1.5));
        assert_eq!(
            (set(Some(3.0), None, Some(1)), set(None, None, Some(1))),
            (Some(3.0), Some(2.0))
        );
        assert_eq!(
            (set(Some(3.0), Some(1.0), Some(0)), set(None, None, Some(2))),
            (Some(0.0), Some(0.0))
        );
        assert_eq!(
            (set(None, Some(1.5), None), set(Some(1.0), Some(1.5), None)),
            (None, Some(1.5))
        );
        assert!(set(None, Some(0.0), Some(1)).is_some_and(|ratio| ratio > 0.0));
        assert_eq!((set(None, Some(-1.0), None), set(None, None, Some(7))), (None, None));
    }
}

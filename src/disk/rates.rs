//! How fast the disk workers were over the last minute, out of their counters: what `why` tells
//! of the disk and of hashing. Pure: counts and times are passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::stats::DiskStats;

/// What is looked back at.
const MINUTE: Duration = Duration::from_secs(60);
/// Counts are kept at most this often, so that a minute is some sixty of them.
const STEP: Duration = Duration::from_secs(1);

/// The counters of the last minute.
#[derive(Clone, Debug, Default)]
pub struct DiskMeter {
    /// Oldest first; the first one is up to a step older than a minute.
    kept: VecDeque<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    at: Instant,
    stats: DiskStats,
    /// The fastest that peers sent since the one before, in bytes per second.
    received: u64,
}

/// What the workers of all torrents did over the last minute, or since the torrent began. Rates
/// are bytes per second, shares 0 to 1.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DiskRates {
    /// Bytes written, by the clock.
    pub write_rate: u64,
    /// Share of all time in which a worker wrote; one at a time writes to a torrent.
    pub write_share: f64,
    /// Spilled bytes read back, and others looked at again, by the clock.
    pub read_rate: u64,
    /// Share of the workers' time spent in reading.
    pub read_share: f64,
    /// Bytes that a worker hashes in a second of nothing but hashing.
    pub hash_rate: u64,
    /// Share of the workers' time spent in hashing.
    pub hash_share: f64,
    /// Pieces hashed at once, on average.
    pub pieces_at_once: f64,
    /// Bytes written for each second in which data was brought to the device.
    pub sync_rate: u64,
    /// Share of all time in which data was brought to the device.
    pub sync_share: f64,
    /// The fastest that peers sent.
    pub received_rate: u64,
    /// Threads that hash and write.
    pub workers: u64,
}

impl DiskMeter {
    /// Notes the counters and what peers send a second. Called twice a second or so.
    pub fn note(&mut self, stats: DiskStats, received: u64, now: Instant) {
        let is_soon = |kept: &Kept| now.saturating_duration_since(kept.at) < STEP;
        // The newest is moved on until it is a step away from the one before it.
        if let [.., before, newest] = self.kept.make_contiguous()
            && is_soon(before)
        {
            *newest = Kept { at: now, stats, received: newest.received.max(received) };
            return;
        }
        self.kept.push_back(Kept { at: now, stats, received });
        let is_old = |kept: &Kept| now.saturating_duration_since(kept.at) >= MINUTE;
        while self.kept.get(1).is_some_and(is_old) {
            self.kept.pop_front();
        }
    }

    /// The rates as of the last note.
    pub fn report(&self) -> DiskRates {
        let (Some(first), Some(last)) = (self.kept.front(), self.kept.back()) else {
            return DiskRates::default();
        };
        let (from, to) = (&first.stats, &last.stats);
        let span = last.at.saturating_duration_since(first.at);
        let of_span =
            |count: fn(&DiskStats) -> u64| rate(count(to).saturating_sub(count(from)), span);
        let spent = |nanoseconds: fn(&DiskStats) -> u64| {
            Duration::from_nanos(nanoseconds(to).saturating_sub(nanoseconds(from)))
        };
        let workers = to.workers;
        let share = |time: Duration, threads: u64| {
            let all = span.as_secs_f64() * threads as f64;
            // A piece of work counts when it is done, also for the time before the minute.
            (time.as_secs_f64() / all.max(1e-9)).min(1.0)
        };
        let written = to.bytes_written - from.bytes_written;
        let hashed = to.bytes_hashed - from.bytes_hashed;
        let batches = to.batches - from.batches;
        DiskRates {
            write_rate: of_span(|stats| stats.bytes_written),
            write_share: share(spent(|stats| stats.write_ns), 1),
            read_rate: of_span(|stats| stats.bytes_read),
            read_share: share(spent(|stats| stats.read_ns), workers),
            hash_rate: rate(hashed, spent(|stats| stats.hash_ns)),
            hash_share: share(spent(|stats| stats.hash_ns), workers),
            pieces_at_once: (to.pieces_checked - from.pieces_checked) as f64
                / batches.max(1) as f64,
            sync_rate: rate(written, spent(|stats| stats.sync_ns)),
            sync_share: share(spent(|stats| stats.sync_ns), 1),
            received_rate: self.kept.iter().map(|kept| kept.received).max().unwrap_or(0),
            workers,
        }
    }
}

/// Bytes per second; 0 when no time passed.
fn rate(bytes: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A second of a disk that writes 40 MiB in 0.95 s, hashes 1 GiB/s, eight
    /// pieces at once, and brings 100 MiB a second to the device.
    fn busy_second(stats: &mut DiskStats) {
        stats.bytes_written += 40 * MIB;
        stats.write_ns += 950_000_000;
        stats.bytes_hashed += 40 * MIB;
        stats.hash_ns += 39_062_500;
        stats.pieces_checked += 40;
        stats.batches += 5;
        stats.sync_ns += 400_000_000;
        stats.bytes_read += 10 * MIB;
        stats.read_ns += 20_000_000;
    }

    fn two_workers() -> DiskStats {
        DiskStats { workers: 2, ..DiskStats::default() }
    }

    fn run(
        meter: &mut DiskMeter,
        stats: &mut DiskStats,
        seconds: u64,
        mut now: Instant,
    ) -> Instant {
        for _ in 0..seconds {
            busy_second(stats);
            for _ in 0..2 {
                now += Duration::from_millis(500);
                meter.note(*stats, 80 * MIB, now);
            }
        }
        now
    }

    #[test]
    fn a_busy_disk_is_told_with_its_rates() {
        let (mut meter, mut stats, begin) = (DiskMeter::default(), two_workers(), Instant::now());
        meter.note(stats, 0, begin);
        run(&mut meter, &mut stats, 30, begin);
        let report = meter.report();
        assert_eq!((report.write_rate, report.read_rate), (40 * MIB, 10 * MIB));
        assert!((report.write_share - 0.95).abs() < 0.001, "{report:?}");
        assert_eq!(report.hash_rate, 1024 * MIB);
        assert!((report.hash_share - 0.0195).abs() < 0.001, "{report:?}");
        assert_eq!((report.pieces_at_once, report.sync_rate), (8.0, 100 * MIB));
        assert!((report.sync_share - 0.4).abs() < 0.001, "{report:?}");
        assert!((report.read_share - 0.01).abs() < 0.001, "{report:?}");
        assert_eq!((report.received_rate, report.workers), (80 * MIB, 2));
    }

    #[test]
    fn the_minute_forgets() {
        let (mut meter, mut stats, begin) = (DiskMeter::default(), two_workers(), Instant::now());
        let mut now = run(&mut meter, &mut stats, 90, begin);
        for _ in 0..31 {
            now += Duration::from_secs(1);
            meter.note(stats, 5, now);
        }
        let half = meter.report();
        let tolerated = MIB;
        assert!(half.write_rate.abs_diff(20 * MIB) < tolerated, "{half:?}");
        for _ in 0..40 {
            now += Duration::from_secs(1);
            meter.note(stats, 5, now);
        }
        assert_eq!(
            meter.report(),
            DiskRates { received_rate: 5, workers: 2, ..Default::default() }
        );
    }

    #[test]
    fn little_is_kept_however_often_it_is_noted() {
        let (mut meter, begin) = (DiskMeter::default(), Instant::now());
        for step in 0..10_000 {
            meter.note(DiskStats::default(), step, begin + Duration::from_millis(step * 20));
        }
        assert!(meter.kept.len() <= 70, "{}", meter.kept.len());
        // A long silence leaves two.
        meter.note(DiskStats::default(), 0, begin + Duration::from_secs(10_000));
        assert!(meter.kept.len() <= 2, "{}", meter.kept.len());
    }

    #[test]
    fn nothing_noted_is_nothing_told() {
        assert_eq!(DiskMeter::default().report(), DiskRates::default());
        let mut meter = DiskMeter::default();
        meter.note(two_workers(), 7, Instant::now());
        let expected = DiskRates { received_rate: 7, workers: 2, ..DiskRates::default() };
        assert_eq!(meter.report(), expected);
    }
}

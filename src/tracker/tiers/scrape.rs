//! When to ask a tracker for the numbers of seeds and leeches alone (BEP 48): after an announce
//! whose reply lacked them, and when somebody looks. Each tracker at most once in the time that
//! lies between two announces.

use std::time::{Duration, Instant};

use super::{Condition, Output, Phase, Tiers, Tracker, TrackerIndex};
use crate::tracker::announce::{AnnounceReply, SwarmCounts};

impl Tiers {
    /// An announce was answered: its counts do, or those of a scrape are needed.
    pub(super) fn on_counts(&mut self, index: usize, reply: &AnnounceReply, now: Instant) {
        if reply.complete.is_some() && reply.incomplete.is_some() {
            self.trackers[index].counted_at = Some(now);
        } else {
            self.scrape_if_due(index, now);
        }
    }

    /// Asks those that answer or were not needed yet; one that fails would fail here too.
    pub(super) fn on_scrape_wanted(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        for index in 0..self.trackers.len() {
            let Tracker { condition, is_asked, .. } = &self.trackers[index];
            let answers = matches!(condition, Condition::Fresh | Condition::Working { .. });
            if answers && !is_asked {
                self.scrape_if_due(index, now);
            }
        }
    }

    pub(super) fn on_scraped(&mut self, index: usize, counts: SwarmCounts) {
        let tracker = &mut self.trackers[index];
        tracker.seeds = counts.complete.or(tracker.seeds);
        tracker.leeches = counts.incomplete.or(tracker.leeches);
        tracker.downloaded = counts.downloaded.or(tracker.downloaded);
    }

    fn scrape_if_due(&mut self, index: usize, now: Instant) {
        let pause = self.scrape_pause(index);
        let tracker = &mut self.trackers[index];
        if tracker.counted_at.is_some_and(|counted_at| now < counted_at + pause) {
            return;
        }
        tracker.counted_at = Some(now);
        self.outputs.push_back(Output::Scrape { tracker: TrackerIndex::new(index) });
    }

    fn scrape_pause(&self, index: usize) -> Duration {
        let timing = &self.timing;
        match self.trackers[index].condition {
            Condition::Working { interval, .. } => {
                interval.clamp(timing.interval_floor, timing.interval_max)
            }
            _ => timing.interval_default,
        }
    }
}

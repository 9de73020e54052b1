//! A torrent that its user has paused: to trackers it has left the swarm, so that they send no
//! peers to it, and when it goes on it enters anew. `completed` is no matter of this: it is told
//! once in the life of a download (BEP 3).

use std::time::Instant;

use super::{Condition, Event, Phase, Tiers};

impl Tiers {
    pub(super) fn on_paused(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.round = None;
        self.phase = Phase::Paused;
        for index in 0..self.trackers.len() {
            let tracker = &mut self.trackers[index];
            // It may have heard the `started` whose answer nobody waits for any more.
            tracker.is_started |= tracker.in_flight == Some(Some(Event::Started));
            tracker.in_flight = None;
            if tracker.is_started {
                self.say_goodbye(index, Event::Stopped);
            }
        }
    }

    pub(super) fn on_resumed(&mut self, now: Instant) {
        if self.phase != Phase::Paused {
            return;
        }
        self.phase = Phase::Running;
        self.entered_at = Some(now);
        self.lonely_since = Some(now);
        for tracker in &mut self.trackers {
            tracker.in_flight = None;
            tracker.is_started = false;
            // No interval counts for one that enters; what keeps a failing tracker from being
            // asked does.
            if matches!(tracker.condition, Condition::Working { .. }) {
                tracker.condition = Condition::Fresh;
            }
        }
    }
}

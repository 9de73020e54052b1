//! How a torrent leaves its swarm, for good or while its user has paused it: every family of
//! every tracker that knows us hears `stopped`, and when the torrent goes on it enters anew.
//!
//! `completed` is told once in the life of a download (BEP 3). One that is on its way when the
//! torrent leaves is therefore neither cut off nor said again: `stopped` follows its answer, or,
//! at the end of the program, the half of the budget. So it is with a `started` over one family
//! when the other one was answered; a tracker that has not answered at all gets a moment.

use std::time::Instant;

use super::{Call, Condition, Ear, Event, Family, Output, Phase, Tiers};

impl Tiers {
    pub(super) fn on_stopped(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Running | Phase::Paused) {
            return;
        }
        self.phase = Phase::Stopping { since: now };
        self.leave(self.last_words());
    }

    /// What one that leaves says next. BEP 3 asks for `completed` when the download is: a program
    /// that ends at once then still owes it.
    fn last_words(&self) -> Event {
        let mut ears = self.trackers.iter().flat_map(|tracker| &tracker.ears);
        let is_stopping = matches!(self.phase, Phase::Stopping { .. });
        let owes = is_stopping && self.owes_now() && !ears.any(|ear| ear.says(Event::Completed));
        if owes { Event::Completed } else { Event::Stopped }
    }

    pub(super) fn on_paused(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Paused;
        for ear in self.trackers.iter_mut().flat_map(|tracker| &mut tracker.ears) {
            // It may have heard the `started` whose answer nobody waits for any more.
            ear.is_started |= ear.flight.is_some();
        }
        self.leave(Event::Stopped);
    }

    fn leave(&mut self, first: Event) {
        self.round = None;
        for index in 0..self.trackers.len() {
            self.trackers[index].is_asked = false;
            for family in Family::BOTH {
                let ear = *self.ear(index, family);
                // Its answer may be on its way.
                let is_entering = ear.flight.is_some() && !ear.is_started;
                if is_entering || ear.says(Event::Completed) || ear.says(Event::Stopped) {
                    continue;
                }
                self.cut_off(index, family);
                if ear.is_started {
                    self.call(index, family, Some(first));
                }
            }
        }
    }

    /// What was on its way when the torrent left has been answered.
    pub(super) fn on_late_answer(&mut self, index: usize, family: Family) {
        self.call(index, family, Some(self.last_words()));
    }

    /// Something that was waited for before the goodbye has failed, or will not be waited for any
    /// longer.
    pub(super) fn say_goodbye(&mut self, index: usize, family: Family) {
        self.call(index, family, Some(Event::Stopped));
    }

    /// The program ends, and trackers that have never answered are not waited for any longer:
    /// they may be dead.
    pub(super) fn give_up(&mut self) {
        for index in 0..self.trackers.len() {
            for family in Family::BOTH {
                if !self.trackers[index].has_answered && self.ear(index, family).waits() {
                    self.cut_off(index, family);
                }
            }
        }
    }

    /// How long one that leaves since then waits for trackers that have never answered, for all
    /// others before it says goodbye, and at all.
    pub(super) fn stop_times(&self, since: Instant) -> [Instant; 3] {
        let budget = self.timing.stop_budget;
        [budget / 6, budget / 2, budget].map(|wait| since + wait)
    }

    /// When to stop waiting for something before the goodbye, or for all when nothing is.
    pub(super) fn stop_waiting_at(&self, since: Instant) -> Instant {
        let [grace_at, hurry_at, deadline] = self.stop_times(since);
        let waiting = self.trackers.iter().filter(|tracker| tracker.ears.iter().any(Ear::waits));
        let next = waiting.map(|tracker| if tracker.has_answered { hurry_at } else { grace_at });
        next.min().unwrap_or(deadline)
    }

    /// This announce has not left yet and shall not any more, since the torrent leaves: to be told
    /// right before [`Input::Stopped`](super::Input::Stopped) or
    /// [`Input::Paused`](super::Input::Paused). No tracker knows of it.
    pub fn withdraw(&mut self, call: Call) {
        if self.land(call).is_some() {
            self.uncount(call.tracker.at());
        }
    }

    /// The torrent pauses: the announces that nobody has taken from here yet are withdrawn, but for
    /// the words of who leaves. To be told right before [`Input::Paused`](super::Input::Paused).
    pub fn withdraw_untold(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            match output {
                Output::Announce { call, event: None | Some(Event::Started | Event::Paused) } => {
                    self.withdraw(call);
                }
                other => self.outputs.push_back(other),
            }
        }
    }

    /// The program ends: whoever still waits to say goodbye does it now.
    pub(super) fn hurry(&mut self) {
        for index in 0..self.trackers.len() {
            for family in Family::BOTH {
                if self.ear(index, family).waits() {
                    // What is on its way may still arrive, and counts then.
                    self.say_goodbye(index, family);
                }
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
        for index in 0..self.trackers.len() {
            for family in Family::BOTH {
                if self.ear(index, family).says(Event::Stopped) {
                    self.cut_off(index, family);
                }
                self.ear(index, family).is_started = false;
            }
            let tracker = &mut self.trackers[index];
            // What is on its way since before the pause is as good as a new announce.
            tracker.is_asked = tracker.ears.iter().any(|ear| ear.flight.is_some());
            // No interval counts for one that enters; what keeps a failing tracker from being
            // asked does.
            if matches!(tracker.condition, Condition::Working { .. }) {
                tracker.condition = Condition::Fresh;
            }
        }
    }
}

//! How many connections at a time an origin is worth: one more is tried, and kept when it brings a
//! tenth more; one is given up when it brings less than that. Pure.

use std::time::{Duration, Instant};

use super::{HOLD, ORIGIN_MAX};

/// Connections at first, and the fewest that a trial leaves.
const START: usize = 2;
/// How long the rate is measured for a comparison.
const WINDOW: Duration = Duration::from_secs(3);
/// A connection that is new has to become fast first, and one that is given up to end.
const LEAD: Duration = Duration::from_secs(1);
/// Answers that must have come to their end meanwhile: an origin that sends nothing whole is not
/// measured.
const ANSWERS_MIN: u64 = 2;
/// How long no trial is made after one that was no good, at first and at most.
const REST: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(96));

/// The slots of one origin.
#[derive(Debug)]
pub(super) struct Climb {
    slots: usize,
    trial: Option<Trial>,
    /// Where the measurement began: when, and what had been sent by then.
    begun: Reading,
    /// What was read last.
    last: Reading,
    /// A slot was free since the measurement began: the rate says nothing.
    was_free: bool,
    /// No slot more is tried before.
    hold_until: Instant,
    rest: Duration,
}

/// How an origin is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Connections.
    pub connections: usize,
    /// Somebody would use one more.
    pub wants_more: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    bytes: u64,
    answers: u64,
}

/// What is compared with the rate before, in bytes per second.
#[derive(Clone, Copy, Debug)]
enum Trial {
    More(u64),
    Fewer(u64),
}

impl Climb {
    pub fn new(now: Instant) -> Self {
        let begun = Reading { at: now, bytes: 0, answers: 0 };
        Self {
            slots: START,
            trial: None,
            begun,
            last: begun,
            was_free: false,
            hold_until: now,
            rest: REST.0,
        }
    }

    /// Connections that it may have.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Answers that have come, as told last.
    pub fn answers(&self) -> u64 {
        self.last.answers
    }

    /// It is busy: half of the slots, and no trials for a while.
    pub fn on_trouble(&mut self, now: Instant) {
        self.slots = (self.slots / 2).max(1);
        self.trial = None;
        self.hold_until = now + HOLD;
        self.begin(now);
    }

    /// What has been sent in all, and how it is used now.
    pub fn measure(&mut self, bytes: u64, answers: u64, usage: Usage, now: Instant) {
        self.last = Reading { at: now, bytes, answers };
        self.was_free |= usage.connections < self.slots;
        if usage.connections > self.slots {
            // Those that are too many have not ended yet.
            return self.begin(now);
        }
        if now <= self.begun.at {
            self.begun = Reading { at: self.begun.at, ..self.last };
            return;
        }
        let elapsed = now.saturating_duration_since(self.begun.at);
        if elapsed < WINDOW || answers < self.begun.answers + ANSWERS_MIN {
            return;
        }
        if self.was_free {
            self.give_up();
            return self.begin(now);
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = bytes.saturating_sub(self.begun.bytes).saturating_mul(1000) / millis;
        self.compare(rate, usage.wants_more, now);
    }

    /// The slot that is tried has no use.
    fn give_up(&mut self) {
        if let Some(Trial::More(_)) = self.trial.take() {
            self.slots = self.slots.saturating_sub(1).max(1);
        }
    }

    fn compare(&mut self, rate: u64, wants_more: bool, now: Instant) {
        match self.trial {
            Some(Trial::More(before)) if is_worth_it(rate, before) => {
                self.rest = REST.0;
                self.try_more(rate, wants_more, now);
            }
            Some(Trial::More(before)) => {
                self.slots = self.slots.saturating_sub(1).max(1);
                // Without the one before that, too, it may be as fast.
                self.try_fewer(before, now);
            }
            Some(Trial::Fewer(before)) => {
                if is_worth_it(before, rate) {
                    self.slots = (self.slots + 1).min(ORIGIN_MAX);
                }
                self.trial = None;
                self.hold_until = self.hold_until.max(now + self.rest);
                self.rest = (self.rest * 2).min(REST.1);
            }
            None => self.try_more(rate, wants_more, now),
        }
        self.begin(now);
    }

    fn try_more(&mut self, rate: u64, wants_more: bool, now: Instant) {
        self.trial = None;
        if wants_more && self.slots < ORIGIN_MAX && now >= self.hold_until {
            self.slots += 1;
            self.trial = Some(Trial::More(rate));
        }
    }

    fn try_fewer(&mut self, rate: u64, now: Instant) {
        self.trial = None;
        if self.slots > START {
            self.slots -= 1;
            self.trial = Some(Trial::Fewer(rate));
        } else {
            self.hold_until = self.hold_until.max(now + self.rest);
            self.rest = (self.rest * 2).min(REST.1);
        }
    }

    /// The next measurement begins.
    fn begin(&mut self, now: Instant) {
        let lead = if self.trial.is_some() { LEAD } else { Duration::ZERO };
        self.begun = Reading { at: now + lead, ..self.last };
        self.was_free = false;
    }
}

/// Is a connection worth it with which the rate is this, and was that without?
fn is_worth_it(with: u64, without: u64) -> bool {
    with.saturating_mul(10) >= without.saturating_mul(11) && with > 0
}

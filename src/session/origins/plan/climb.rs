//! How many connections at a time a site is worth. They double as long as each of those that were
//! added brings about as much as the ones before; after that one more is tried now and then, and
//! kept when it brings a tenth more, and one is given up when it brings less than that. Pure.

use std::time::{Duration, Instant};

use super::{HOLD, ORIGIN_MAX};

/// Connections at first, and the fewest that a trial leaves.
const START: usize = 2;
/// While they double, the rate is measured for so long: a download of seconds is to gain by it.
const RISE_WINDOW: Duration = Duration::from_millis(400);
/// A connection that is new has to become fast first. Its first bytes are here when this begins.
const RISE_LEAD: Duration = Duration::from_millis(200);
/// The same for single connections: what they bring is less, and noise weighs more.
const WINDOW: Duration = Duration::from_secs(3);
/// One that is new has to become fast, and one that is given up to end.
const LEAD: Duration = Duration::from_secs(1);
/// How long no trial is made after one that was no good, at first and at most.
const REST: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(96));

/// The slots of one site.
#[derive(Debug)]
pub(super) struct Climb {
    slots: usize,
    /// So many connections at a time the site is known to serve.
    served: usize,
    trial: Trial,
    /// What is measured begins then.
    begins: Instant,
    /// Where it began: when, and what had been sent by then.
    begun: Option<Reading>,
    /// Answers that have come, as told last.
    answers: u64,
    /// A slot was free since the measurement began: the rate says nothing.
    was_free: bool,
    /// No slot more is tried before.
    hold_until: Instant,
    rest: Duration,
}

/// How a site is used.
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
}

/// What is compared with the rate before, in bytes per second.
#[derive(Clone, Copy, Debug)]
enum Trial {
    None,
    /// The slots double, from so many and their rate; none at first.
    Rise(Option<(usize, u64)>),
    More(u64),
    Fewer(u64),
}

impl Climb {
    pub fn new(now: Instant) -> Self {
        Self {
            slots: START,
            served: 0,
            trial: Trial::Rise(None),
            begins: now,
            begun: None,
            answers: 0,
            was_free: false,
            hold_until: now,
            rest: REST.0,
        }
    }

    /// Connections that it may have.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Those that it may have now: one more than it is known to serve, so that a site that has
    /// enough of us says so once.
    pub fn open(&self) -> usize {
        self.slots.min(START.max(self.served + 1))
    }

    /// Answers that have come, as told last.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// So many connections have brought something.
    pub fn serves(&mut self, connections: usize, now: Instant) {
        if connections > self.served {
            self.served = connections;
            self.begin(now);
        }
    }

    /// It is busy: half of the slots, and no trials for a while.
    pub fn on_trouble(&mut self, now: Instant) {
        self.hold((self.open() / 2).max(1), now);
    }

    /// It serves so many connections and has no time for another one.
    pub fn on_limit(&mut self, serves: usize, now: Instant) {
        self.hold(serves, now);
        self.rest(now);
    }

    fn hold(&mut self, slots: usize, now: Instant) {
        self.slots = slots;
        self.served = self.served.min(slots);
        self.trial = Trial::None;
        self.hold_until = now + HOLD;
        self.begin(now);
    }

    /// What has been sent in all, and how it is used now.
    pub fn measure(&mut self, bytes: u64, answers: u64, usage: Usage, now: Instant) {
        self.answers = answers;
        let is_free = usage.connections < self.slots;
        if usage.connections > self.slots || is_free && usage.wants_more {
            // Those that are too many have not ended yet, or others are about to come.
            return self.begin(now);
        }
        self.was_free |= is_free;
        if now < self.begins {
            return;
        }
        let begun = *self.begun.get_or_insert(Reading { at: now, bytes });
        let elapsed = now.saturating_duration_since(begun.at);
        let come = bytes.saturating_sub(begun.bytes);
        if elapsed < self.window() || come == 0 {
            return;
        }
        if self.was_free {
            self.give_up(usage.connections);
            return self.begin(now);
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.compare(come.saturating_mul(1000) / millis, usage.wants_more, now);
    }

    fn window(&self) -> Duration {
        if matches!(self.trial, Trial::Rise(_)) { RISE_WINDOW } else { WINDOW }
    }

    /// Slots that are tried have no use.
    fn give_up(&mut self, used: usize) {
        self.trial = match self.trial {
            Trial::Rise(before) => {
                self.slots = before.map_or(self.slots, |(slots, _)| used.clamp(slots, self.slots));
                Trial::Rise(None)
            }
            Trial::More(_) => {
                self.slots = self.slots.saturating_sub(1).max(1);
                Trial::None
            }
            Trial::Fewer(_) | Trial::None => Trial::None,
        };
    }

    fn compare(&mut self, rate: u64, wants_more: bool, now: Instant) {
        match self.trial {
            Trial::Rise(before) => self.rise(before, rate, wants_more, now),
            Trial::More(before) if is_worth_it(rate, before) => {
                self.rest = REST.0;
                self.try_more(rate, wants_more, now);
            }
            Trial::More(before) => {
                self.slots = self.slots.saturating_sub(1).max(1);
                // Without the one before that, too, it may be as fast.
                self.try_fewer(before, now);
            }
            Trial::Fewer(before) => {
                if is_worth_it(before, rate) {
                    self.slots = (self.slots + 1).min(ORIGIN_MAX);
                }
                self.trial = Trial::None;
                self.rest(now);
            }
            Trial::None => self.try_more(rate, wants_more, now),
        }
        self.begin(now);
    }

    /// Goes on while those that were added bring half of what as many brought before, or more.
    fn rise(&mut self, before: Option<(usize, u64)>, rate: u64, wants_more: bool, now: Instant) {
        if let Some((slots, was)) = before {
            let (slots, grown) = (slots as u64, self.slots as u64);
            // At the rate that each had before, as many would bring what all bring now.
            let enough = (rate.saturating_mul(slots * 2) / was.max(1)).div_ceil(2);
            if enough * 2 < slots + grown {
                self.slots = usize::try_from(enough.clamp(slots, grown)).unwrap_or(self.slots);
                self.trial = Trial::None;
                return self.rest(now);
            }
        }
        self.trial = Trial::Rise(None);
        if wants_more && self.slots < ORIGIN_MAX {
            self.trial = Trial::Rise(Some((self.slots, rate)));
            self.slots = (self.slots * 2).min(ORIGIN_MAX);
        }
    }

    fn try_more(&mut self, rate: u64, wants_more: bool, now: Instant) {
        self.trial = Trial::None;
        if wants_more && self.slots < ORIGIN_MAX && now >= self.hold_until {
            self.slots += 1;
            self.trial = Trial::More(rate);
        }
    }

    fn try_fewer(&mut self, rate: u64, now: Instant) {
        self.trial = Trial::None;
        if self.slots > START {
            self.slots -= 1;
            self.trial = Trial::Fewer(rate);
        } else {
            self.rest(now);
        }
    }

    /// No trial for a while.
    fn rest(&mut self, now: Instant) {
        self.hold_until = self.hold_until.max(now + self.rest);
        self.rest = (self.rest * 2).min(REST.1);
    }

    /// The next measurement begins.
    fn begin(&mut self, now: Instant) {
        let lead = match self.trial {
            Trial::None | Trial::Rise(None) => Duration::ZERO,
            Trial::Rise(Some(_)) => RISE_LEAD,
            Trial::More(_) | Trial::Fewer(_) => LEAD,
        };
        self.begins = now + lead;
        self.begun = None;
        self.was_free = false;
    }
}

/// Is a connection worth it with which the rate is this, and was that without?
fn is_worth_it(with: u64, without: u64) -> bool {
    with.saturating_mul(10) >= without.saturating_mul(11) && with > 0
}

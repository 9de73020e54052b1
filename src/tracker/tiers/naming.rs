//! Other trackers for a torrent that is announced already. Those that stay keep what is known of
//! them; those that go hear that we leave, and are not asked again unless they are named again.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::tracker::announce::{Event, Family};

use super::tracker::{Condition, Tracker};
use super::{MAX_TRACKERS, Phase, Round, Step, Tiers, TrackerIndex};

/// Trackers that a torrent ever had: they keep their numbers. What would come behind is not asked.
const EVER_MAX: usize = u8::MAX as usize;

impl Tiers {
    /// These are the trackers from now on. In each tier those that were there go first, as they
    /// stood; doubles are dropped, and what is beyond [`MAX_TRACKERS`].
    pub fn name<U: AsRef<str> + Into<Arc<str>>>(&mut self, tiers: Vec<Vec<U>>, now: Instant) {
        let before = std::mem::take(&mut self.order);
        let mut trackers = std::mem::take(&mut self.trackers).into_vec();
        let mut rng = StdRng::seed_from_u64(self.seed);
        self.seed = rng.random();
        let (mut order, mut tier_count) = (Vec::new(), 0);
        for tier in tiers {
            let (mut known, mut new) = (Vec::new(), Vec::new());
            for url in tier {
                let url: Arc<str> = url.as_ref().trim().into();
                let at = trackers.iter().position(|tracker| tracker.url == url);
                let is_double =
                    at.is_some_and(|at| [&order, &known, &new].iter().any(|all| all.contains(&at)));
                let count = order.len() + known.len() + new.len();
                let has_room = at.is_some() || trackers.len() < EVER_MAX;
                if url.is_empty() || is_double || count >= MAX_TRACKERS || !has_room {
                    continue;
                }
                let at = at.unwrap_or(trackers.len());
                if at == trackers.len() {
                    trackers.push(Tracker::new(url, tier_count));
                }
                trackers[at].tier = tier_count;
                match before.contains(&at) {
                    true => known.push(at),
                    false => new.push(at),
                }
            }
            known.sort_by_key(|at| before.iter().position(|it| it == at));
            new.shuffle(&mut rng);
            tier_count += usize::from(!known.is_empty() || !new.is_empty());
            order.extend(known.into_iter().chain(new));
        }
        (self.trackers, self.order) = (trackers.into(), order.into());
        self.round = self.round.take().and_then(|round| self.goes_on(round));
        let come = self.order.iter().filter(|it| !before.contains(it)).copied();
        come.collect::<Vec<_>>().into_iter().for_each(|index| self.welcome(index));
        let gone: Vec<usize> = before.into_iter().filter(|it| !self.order.contains(it)).collect();
        gone.into_iter().for_each(|index| self.dismiss(index));
        self.settle(now);
    }

    /// Is this tracker one of those that are asked?
    pub fn has(&self, tracker: TrackerIndex) -> bool {
        self.order.contains(&tracker.at())
    }

    /// What becomes of a round: who is asked is waited for, and else where it stood in the tiers
    /// before says nothing of these.
    fn goes_on(&self, mut round: Box<Round>) -> Option<Box<Round>> {
        let Step::Asking { tracker, .. } = round.step else { return None };
        round.asked.resize(self.trackers.len(), false);
        round.from_tier = 0;
        self.order.contains(&tracker).then_some(round)
    }

    /// One that was left before is entered anew: no interval counts for that.
    fn welcome(&mut self, index: usize) {
        for family in Family::BOTH {
            if self.ear(index, family).says(Event::Stopped) {
                self.cut_off(index, family);
            }
        }
        let tracker = &mut self.trackers[index];
        if matches!(tracker.condition, Condition::Working { .. }) {
            tracker.condition = Condition::Fresh;
        }
    }

    /// It is told that we leave, if it knows us or may.
    fn dismiss(&mut self, index: usize) {
        if self.phase != Phase::Running {
            // It was told already.
            return;
        }
        self.trackers[index].is_asked = false;
        for family in Family::BOTH {
            let ear = *self.ear(index, family);
            let may_know = ear.is_started || ear.flight.is_some();
            if !may_know || ear.says(Event::Stopped) {
                continue;
            }
            self.cut_off(index, family);
            self.ear(index, family).is_started = false;
            self.call(index, family, Some(Event::Stopped));
        }
    }
}

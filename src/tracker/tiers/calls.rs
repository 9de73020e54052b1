//! Announces over one address family of a tracker: begun, ended, and what they say. Not here:
//! whom to ask and when.

use crate::tracker::announce::{Event, Family};
use crate::tracker::udp::is_udp;

use super::ear::{Ear, Flight};
use super::{Call, Output, Standing, Tiers, TrackerIndex};

impl Tiers {
    pub(super) fn ear(&mut self, index: usize, family: Family) -> &mut Ear {
        &mut self.trackers[index].ears[usize::from(family == Family::V6)]
    }

    /// Asks over this family.
    pub(super) fn call(&mut self, index: usize, family: Family, event: Option<Event>) {
        let number = self.calls;
        self.calls = self.calls.wrapping_add(1);
        self.ear(index, family).flight = Some(Flight { number, event });
        let call = Call { tracker: TrackerIndex::new(index), family, number };
        self.outputs.push_back(Output::Announce { call, event });
    }

    /// An announce has come to its end: with which event it was. `None` if nobody waits for it
    /// any more.
    pub(super) fn land(&mut self, call: Call) -> Option<Option<Event>> {
        let ear = self.ear(call.tracker.at(), call.family);
        ear.flight.take_if(|flight| flight.number == call.number).map(|flight| flight.event)
    }

    /// Nobody waits any more for what is on its way over this family.
    pub(super) fn cut_off(&mut self, index: usize, family: Family) {
        if let Some(Flight { number, .. }) = self.ear(index, family).flight.take() {
            let call = Call { tracker: TrackerIndex::new(index), family, number };
            self.outputs.push_back(Output::CutOff { call });
        }
    }

    /// What the next announce over this family says beside its figures.
    pub(super) fn event_for(&mut self, index: usize, family: Family) -> Option<Event> {
        // BEP 21: "in every announce while it is a partial seed". Over UDP there is no number for
        // it (BEP 15), and trackers are silent to those that they do not know.
        let has_word = !is_udp(&self.trackers[index].url);
        if self.standing == Standing::PartialSeed && has_word {
            return Some(Event::Paused);
        }
        match self.ear(index, family).is_started {
            false => Some(Event::Started),
            true => self.owes_now().then_some(Event::Completed),
        }
    }
}

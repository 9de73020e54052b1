//! What each address family of a tracker has heard of us. A tracker learns an address of ours
//! from an announce over its family and forgets it by a `stopped` over the same (BEP 7), so what
//! is on its way, who knows us and who is owed a goodbye is noted for each.

use super::{Call, Event, Family, Output, Standing, Tiers, TrackerIndex, is_udp};

/// One address family of one tracker.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Ear {
    /// It has answered since the last `stopped`, so it wants one.
    pub is_started: bool,
    /// The announce on its way.
    pub flight: Option<Flight>,
}

/// An announce on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    number: u32,
    pub event: Option<Event>,
}

impl Ear {
    /// It is on its way with this event.
    pub fn says(&self, event: Event) -> bool {
        self.flight.is_some_and(|flight| flight.event == Some(event))
    }

    /// Something else than a goodbye is on its way.
    pub fn waits(&self) -> bool {
        self.flight.is_some() && !self.says(Event::Stopped)
    }
}

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

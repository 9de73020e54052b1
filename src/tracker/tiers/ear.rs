//! What each address family of a tracker has heard of us. A tracker learns an address of ours
//! from an announce over its family and forgets it by a `stopped` over the same (BEP 7), so what
//! is on its way, who knows us and who is owed a goodbye is noted for each.

use crate::tracker::announce::Event;

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
    pub number: u32,
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

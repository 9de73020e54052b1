//! The part of a run that says when nothing leaves any more, and when it does again; and how others
//! come in from outside.

use serde_json::json;

use crate::cli::print::outside_event;

use super::Live;
use crate::net::egress::State;

impl Live {
    /// Tells it once; of a proxy that fails for a moment, too.
    pub(super) fn tell_way_out(&mut self) {
        let egress = self.desk.engine.egress();
        let (standing, policy) = (egress.standing(), egress.policy());
        let trouble = standing.trouble();
        if self.way_told == trouble {
            return;
        }
        let words = trouble.as_deref().unwrap_or("the way out is open again");
        // Without a proxy that only peers need all else goes on.
        let is_open = trouble.is_none() || policy.only_peers && standing.state == State::Open;
        self.voice.event(&json!({ "event": "net", "open": is_open, "message": words }));
        self.voice.urgent(&format!("driver: {words}"));
        self.way_told = trouble;
    }

    /// Tells what routers have opened, for programs alone: people look at it when they want to.
    pub(super) fn tell_outside(&mut self) {
        let Some(standing) = self.desk.engine.outside() else { return };
        let events = [outside_event("IPv4", &standing.four), outside_event("IPv6", &standing.six)];
        for (event, told) in events.into_iter().zip(&mut self.outside_told) {
            if let Some(event) = event.filter(|event| told.as_ref() != Some(event)) {
                self.voice.event(&event);
                *told = Some(event);
            }
        }
    }
}

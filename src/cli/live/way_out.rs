//! The part of a run that says when nothing leaves any more, and when it does again; how others
//! come in from outside; and which blocklists there are, when they have changed, and when they
//! could not be read again.

use serde_json::json;

use crate::cli::escape::escape;
use crate::cli::print::{counted, grouped, outside_event};
use crate::net::blocklist::Standing;
use crate::net::egress::State;

use super::Live;

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

    /// Tells of each list that is not as it was told last.
    pub(super) fn tell_blocklist(&mut self) {
        let blocklist = self.desk.engine.egress().blocklist().clone();
        let (lists, tally) = (blocklist.standings(), blocklist.tally());
        for (at, list) in lists.iter().enumerate() {
            if self.lists_told.get(at) == Some(list) {
                continue;
            }
            let Standing { list, ranges, bad, trouble } = list;
            self.voice.event(&json!({
                "event": "blocklist", "list": list, "ranges": ranges, "bad": bad,
                "dials": tally.dials, "connections": tally.connections, "message": trouble,
            }));
            match trouble {
                Some(why) => self.voice.urgent(&format!("driver: {}", escape(why))),
                None => self.voice.unasked(&list_line(list, *ranges as u64, *bad)),
            }
        }
        self.lists_told = lists;
    }
}

fn list_line(list: &str, ranges: u64, bad: u64) -> String {
    let s = if ranges == 1 { "" } else { "s" };
    let bad = match bad {
        0 => String::new(),
        bad => format!(", {} cannot be read", counted(bad, "line")),
    };
    format!("blocklist {}: {} range{s}{bad}", escape(list), grouped(ranges))
}

//! The part of a run that says when nothing leaves any more, and when it does again.

use serde_json::json;

use super::Live;

impl Live {
    /// Tells it once; of a proxy that fails for a moment, too.
    pub(super) fn tell_way_out(&mut self) {
        let trouble = self.desk.engine.egress().standing().trouble();
        if self.way_told == trouble {
            return;
        }
        let words = trouble.as_deref().unwrap_or("the way out is open again");
        self.voice.event(&json!({ "event": "net", "open": trouble.is_none(), "message": words }));
        self.voice.urgent(&format!("driver: {words}"));
        self.way_told = trouble;
    }
}

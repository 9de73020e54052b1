//! When the device of a torrent's files does not answer: the brain hears of it, and of each second
//! more, for its words. How that is noticed is the disk's, what follows from it the brain's.

use std::time::Instant;

use tracing::{info, warn};

use crate::swarm::event::Input;

use super::actor::Actor;

impl Actor {
    /// The device has fallen silent, or answers again.
    pub(super) fn on_silence(&mut self, now: Instant) {
        match self.jobs.store.silence() {
            Some(silence) => warn!(dir = %silence.dir.display(), "the device does not answer"),
            None => {
                info!("the device answers again");
                self.jobs.offer(now);
            }
        }
        self.note_silence(now);
        self.publish();
    }

    /// Tells the brain how it is.
    pub(super) fn note_silence(&mut self, now: Instant) {
        let words = self.jobs.store.silence().map(|silence| silence.words(now));
        self.swarm.note(words.map_or(Input::DiskAnswers, Input::DiskSilent), now);
    }
}

//! Who hears of a torrent's trackers. What it does not take in is kept, as far as there is room.

use std::collections::VecDeque;

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::mpsc::{OwnedPermit, Sender};

use super::news::TrackerEvent;
use crate::tracker::tiers::status::TrackerStatus;

/// Events kept while the torrent is busy; the oldest go first.
const OUTBOX_LEN: usize = 64;

/// There is room for an event, or nobody hears any more.
pub(super) type Room = Result<OwnedPermit<TrackerEvent>, SendError<()>>;

pub(super) struct Ears {
    events: Sender<TrackerEvent>,
    outbox: VecDeque<TrackerEvent>,
    last_status: Vec<TrackerStatus>,
    /// It was said that there is something to tell, and room for it is waited for.
    is_waiting: bool,
    is_deaf: bool,
}

impl Ears {
    pub fn new(events: Sender<TrackerEvent>) -> Self {
        let (outbox, last_status) = (VecDeque::new(), Vec::new());
        Self { events, outbox, last_status, is_waiting: false, is_deaf: false }
    }

    /// Nobody hears any more.
    pub fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    pub fn tell(&mut self, event: TrackerEvent) {
        if self.outbox.len() >= OUTBOX_LEN {
            self.outbox.pop_front();
        }
        self.outbox.push_back(event);
        self.flush();
    }

    /// How the trackers stand, if that is news. Of what is still to be told only the last counts.
    pub fn tell_status(&mut self, status: Vec<TrackerStatus>) {
        if status != self.last_status {
            self.outbox.retain(|event| !matches!(event, TrackerEvent::Status(_)));
            self.tell(TrackerEvent::Status(status.clone()));
            self.last_status = status;
        }
    }

    fn flush(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => return self.outbox.push_front(event),
                Err(TrySendError::Closed(_)) => self.is_deaf = true,
            }
        }
    }

    /// Whose room is to be waited for, told once.
    pub fn waits(&mut self) -> Option<Sender<TrackerEvent>> {
        if self.outbox.is_empty() || self.is_waiting {
            return None;
        }
        self.is_waiting = true;
        Some(self.events.clone())
    }

    /// The room that was waited for, by these ears or by those before them.
    pub fn on_room(&mut self, room: Room) {
        match room {
            Ok(permit) if permit.same_channel_as_sender(&self.events) => {
                if let Some(event) = self.outbox.pop_front() {
                    permit.send(event);
                }
            }
            Ok(_) => return,
            // If it is these, they turn out to be deaf.
            Err(_) => {}
        }
        self.is_waiting = false;
        self.flush();
    }
}

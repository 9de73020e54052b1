//! Sees that a device does not answer, and that it does again, and tells its torrents. One
//! thread for all lanes, which never calls a device itself; it sleeps while none is called.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::mpsc::WeakSender;
use tokio::sync::mpsc::error::TrySendError;

use super::job::DiskEvent;
use super::lane::State;
use super::pulse::Bell;

/// How often it looks while a device is called.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the watchdog is told.
#[derive(Debug)]
pub(super) enum Note {
    /// A torrent has come to a lane: where it is told, and its directory as its user spelled it.
    Torrent(Weak<State>, WeakSender<DiskEvent>, PathBuf),
    /// A device is called.
    Busy,
}

/// A device does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// The torrent's directory, as its user spelled it.
    pub dir: PathBuf,
    /// When the call began that has not returned.
    pub since: Instant,
}

impl Silence {
    /// What to tell people, with how long it is by now.
    pub fn words(&self, now: Instant) -> String {
        let time = now.saturating_duration_since(self.since);
        let time = match time.as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            _ => crate::base::units::duration(time),
        };
        let dir = self.dir.display();
        format!("{dir} has not answered for {time}: it goes on by itself when it does")
    }
}

/// A torrent of a lane. It is not held, for its record stays locked as long as somebody does.
struct Watched {
    lane: Weak<State>,
    events: WeakSender<DiskEvent>,
    dir: PathBuf,
    /// That its device is silent.
    is_told: bool,
}

pub(super) struct Watchdog {
    notes: Receiver<Note>,
    bell: Weak<Bell>,
    watched: Vec<Watched>,
    look_at: Instant,
}

impl Watchdog {
    pub(super) fn new(notes: Receiver<Note>, bell: &Arc<Bell>) -> Self {
        let bell = Arc::downgrade(bell);
        Self { notes, bell, watched: Vec::new(), look_at: Instant::now() }
    }

    /// Runs until nobody can ring its bell any more.
    pub(super) fn run(mut self) {
        loop {
            let note = match self.has_work() {
                true => self.notes.recv_deadline(self.look_at),
                false => self.notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match note {
                Ok(Note::Torrent(lane, events, dir)) => {
                    self.watched.push(Watched { lane, events, dir, is_told: false });
                }
                Ok(Note::Busy) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if now >= self.look_at {
                self.look(now);
                self.look_at = now + LOOK_EVERY;
            }
        }
    }

    /// Is there a call that may turn out to take too long, or something to tell? Before it says
    /// no, it has whoever calls next ring.
    fn has_work(&self) -> bool {
        let Some(bell) = self.bell.upgrade() else { return false };
        let has_work = || {
            let is_waited_for = |lane: Arc<State>| lane.is_busy() || lane.silent_since().is_some();
            let mut watched = self.watched.iter();
            watched.any(|it| it.is_told || it.lane.upgrade().is_some_and(is_waited_for))
        };
        bell.is_awake.store(false, Ordering::SeqCst);
        let has_work = has_work();
        if has_work {
            bell.is_awake.store(true, Ordering::SeqCst);
        }
        has_work
    }

    /// Looks at each lane, and tells torrents what they do not know yet. One that is behind with
    /// what it was told hears of it the next time.
    fn look(&mut self, now: Instant) {
        self.watched.retain_mut(|watched| {
            let Some(events) = watched.events.upgrade() else { return false };
            let Some(lane) = watched.lane.upgrade() else { return false };
            let event = match (lane.look(now), watched.is_told) {
                (Some(since), false) => {
                    DiskEvent::Silent(Silence { dir: watched.dir.clone(), since })
                }
                (None, true) => DiskEvent::Answers,
                _ => return true,
            };
            watched.is_told ^= !matches!(events.try_send(event), Err(TrySendError::Full(_)));
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_count_the_seconds() {
        let since = Instant::now();
        let silence = Silence { dir: "/mnt/x".into(), since };
        assert_eq!(
            silence.words(since + Duration::from_millis(12_900)),
            "/mnt/x has not answered for 12 s: it goes on by itself when it does"
        );
        let words = silence.words(since + Duration::from_secs(90));
        assert!(words.contains("for 1m 30s:"), "{words}");
    }
}

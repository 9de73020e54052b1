//! Sees that a device does not answer, and that it does again, and tells its torrents. One
//! thread for all lanes, which never calls a device itself; it sleeps while none is called.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select};
use tokio::sync::mpsc::WeakSender;
use tokio::sync::mpsc::error::TrySendError;

use super::job::DiskEvent;
use super::lane_state::State;
use super::pulse::Bell;
use super::silence::Silence;

/// How often it looks while a device is called.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A torrent of a lane. It is not held, for its record stays locked as long as somebody does.
pub(super) struct Watched {
    lane: Weak<State>,
    events: WeakSender<DiskEvent>,
    dir: PathBuf,
    /// That its device is silent.
    is_told: bool,
}

impl Watched {
    /// What has come to a lane: where it is told, and its directory as its user spelled it.
    pub(super) fn new(lane: &Arc<State>, events: WeakSender<DiskEvent>, dir: PathBuf) -> Self {
        Self { lane: Arc::downgrade(lane), events, dir, is_told: false }
    }
}

pub(super) struct Watchdog {
    /// Torrents that have come.
    newcomers: Receiver<Watched>,
    /// A device is called.
    rings: Receiver<()>,
    bell: Weak<Bell>,
    watched: Vec<Watched>,
    look_at: Instant,
}

impl Watchdog {
    pub(super) fn new(newcomers: Receiver<Watched>, rings: Receiver<()>, bell: &Arc<Bell>) -> Self {
        let bell = Arc::downgrade(bell);
        Self { newcomers, rings, bell, watched: Vec::new(), look_at: Instant::now() }
    }

    /// Runs until nobody can ring its bell any more.
    pub(super) fn run(mut self) {
        loop {
            let alarm = if self.has_work() { at(self.look_at) } else { never() };
            let (newcomers, rings) = (self.newcomers.clone(), self.rings.clone());
            select! {
                recv(newcomers) -> watched => match watched {
                    Ok(watched) => self.watched.push(watched),
                    Err(_) => self.newcomers = never(),
                },
                recv(rings) -> ring => if ring.is_err() {
                    return;
                },
                recv(alarm) -> _ => {}
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

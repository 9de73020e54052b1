//! When the directory of a torrent's files is gone from its path (unmounted, moved away,
//! deleted): the torrent lets go of everything, waits until it is back, and is opened again as
//! at a start, so that what is in doubt is checked. Not here: how that is noticed.

use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};

use crate::disk::Gone;
use crate::swarm::event::Event;

use super::actor::Actor;
use super::command::Command;
use super::handle::News;
use super::lifecycle::Ends;
use super::parked;
use super::status::{State, WhyReport};

/// How often a torrent that moves data has its directory looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon one that is gone is looked for again; twice as late each time, up to the second.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(15);
/// How long one look may take: a network file system may not answer at all.
const LOOK_MAX: Duration = Duration::from_secs(10);

impl Actor {
    /// Has the directory looked for, now and then. One look at a time: it may not come back.
    pub(super) fn look_around(&mut self, now: Instant) {
        if !self.is_looking && now >= self.look_at {
            self.is_looking = true;
            self.submit(crate::disk::Job::Look);
        }
    }

    pub(super) fn on_looked(&mut self, gone: Option<Gone>) {
        self.is_looking = false;
        self.look_at = Instant::now() + LOOK_EVERY;
        if self.gone.is_none()
            && let Some(gone) = gone
        {
            tracing::warn!(why = gone.why, "the directory is gone");
            self.tell(Event::DiskTrouble(gone.why.clone()));
            self.gone = Some(gone);
        }
    }
}

/// A torrent whose directory is gone.
pub(super) struct Away<'a> {
    pub ends: &'a mut Ends,
    pub gone: Gone,
    /// One entry a file.
    pub wanted_files: &'a mut Vec<bool>,
    /// Orders for the running torrent.
    pub early: &'a mut Vec<Command>,
    look_at: Instant,
    pause: Duration,
}

impl<'a> Away<'a> {
    /// Shows why nothing runs.
    pub fn new(
        ends: &'a mut Ends,
        gone: Gone,
        wanted_files: &'a mut Vec<bool>,
        early: &'a mut Vec<Command>,
    ) -> Self {
        let why = gone.why.clone();
        // At first: it may just have been deleted, and is only to be made again.
        let look_at = Instant::now();
        let mut away = Self { ends, gone, wanted_files, early, look_at, pause: WAIT_FIRST };
        away.stays(why);
        away
    }

    /// It goes on waiting, for this reason.
    pub fn stays(&mut self, why: String) {
        self.ends.status.change(|status| {
            parked::rest(status, State::DiskTrouble(why.clone()));
            status.disk_trouble = Some(why.clone());
        });
        self.gone.why = why;
    }

    /// Waits until it is time to look for the directory: true; or to end: false.
    pub async fn wait(&mut self) -> bool {
        loop {
            let command = tokio::select! {
                command = self.ends.commands.recv() => command,
                // Nobody is let in: dropping it closes the connection.
                Some(_) = self.ends.incoming.recv() => continue,
                () = sleep_until(self.look_at.into()) => {
                    self.look_at = Instant::now() + self.pause;
                    self.pause = (self.pause * 2).min(WAIT_MAX);
                    return true;
                }
            };
            match command {
                Some(Command::Stop(answer)) => {
                    // The one who asked may have gone.
                    let _ = answer.send(());
                    return false;
                }
                Some(Command::Why(answer)) => {
                    let disk_trouble = Some(self.gone.why.clone());
                    let _ = answer.send(WhyReport { disk_trouble, ..WhyReport::default() });
                }
                Some(Command::SelectFiles(files)) => {
                    self.ends.status.change(|status| status.wanted_files = files.clone().into());
                    *self.wanted_files = files;
                }
                Some(order) => parked::keep(self.early, order),
                None => return false,
            }
        }
    }

    /// It is back.
    pub fn end(self) {
        // Nobody may be listening.
        let _ = self.ends.news.send(News::Swarm(Event::DiskRecovered));
        self.ends.status.change(|status| {
            status.state = State::Checking;
            status.disk_trouble = None;
        });
    }
}

/// Waits for an answer of the disk, but not for ever.
pub(super) async fn in_time(answer: impl Future<Output = bool>) -> bool {
    timeout(LOOK_MAX, answer).await.unwrap_or(false)
}

//! When the directory of a torrent's files is gone from its path (unmounted, moved away,
//! deleted), or its disk does not take them: the torrent lets go of everything, waits until it is
//! back, and is opened again as at a start, so that what is in doubt is checked. Not here: how
//! that is noticed.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::disk::Gone;
use crate::swarm::event::Event;

use super::actor::Actor;
use super::command::Command;
use super::ends::Ends;
use super::handle::News;
use super::parked;
use super::status::{State, WhyReport};
use super::wish::Wish;

/// How often a torrent that moves data has its directory looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon one that is gone is looked for again; twice as late each time, up to the second.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(15);

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

/// A torrent whose directory is gone, or whose disk does not take its files.
pub(super) struct Away<'a> {
    pub ends: &'a mut Ends,
    why: String,
    pub wish: &'a mut Wish,
    /// Orders for the running torrent.
    pub early: &'a mut Vec<Command>,
    look_at: Instant,
    pause: Duration,
    /// Somebody wants it to be tried now.
    wake: Arc<Notify>,
    /// It has seeded as long as was asked for.
    is_over: bool,
}

impl<'a> Away<'a> {
    /// Shows why nothing runs.
    pub fn new(
        ends: &'a mut Ends,
        why: String,
        wish: &'a mut Wish,
        early: &'a mut Vec<Command>,
    ) -> Self {
        // At first: it may just have been deleted, and is only to be made again.
        let look_at = Instant::now();
        let mut away = Self {
            ends,
            why: String::new(),
            wish,
            early,
            look_at,
            pause: WAIT_FIRST,
            wake: Arc::default(),
            is_over: false,
        };
        away.stays(why);
        away
    }

    /// It goes on waiting, for this reason.
    pub fn stays(&mut self, why: String) {
        self.ends.status.change(|status| {
            parked::rest(status, State::DiskTrouble(why.clone()));
            status.disk_trouble = Some(why.clone());
        });
        self.why = why;
    }

    /// Waits until it is time to look for the directory, or somebody wants that now. None when the
    /// torrent is to end.
    pub async fn wait(&mut self) -> Option<()> {
        let (look_at, wake) = (self.look_at, self.wake.clone());
        let woken = async { drop(timeout_at(look_at.into(), wake.notified()).await) };
        self.during(woken).await?;
        self.look_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(WAIT_MAX);
        Some(())
    }

    /// Waits for `work`, however long a disk takes for it, and hears orders meanwhile. There is
    /// never more than one such work of a torrent. None when the torrent is to end.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let command = tokio::select! {
                command = self.ends.commands.recv() => command,
                // Nobody is let in: dropping it closes the connection.
                Some(_) = self.ends.incoming.recv() => continue,
                done = &mut work => return Some(done),
            };
            match command? {
                Command::Stop(answer) => {
                    self.ends.end(answer).await;
                    return None;
                }
                Command::Finish => {
                    self.is_over = true;
                    return None;
                }
                Command::Why(answer) => {
                    let disk_trouble = Some(self.why.clone());
                    let _ = answer.send(WhyReport { disk_trouble, ..WhyReport::default() });
                }
                order => {
                    if matches!(order, Command::Resume | Command::Unpause) {
                        self.wake.notify_one();
                    }
                    let other = self.wish.take(&self.ends.status, order);
                    other.into_iter().for_each(|order| parked::keep(self.early, order));
                }
            }
        }
    }

    /// Why it is away, if it is not waited for any more since it has seeded long enough.
    pub fn over(self) -> Option<String> {
        // Nobody has looked at what there is of it.
        self.ends.status.change(|status| status.have.clear());
        self.is_over.then_some(self.why)
    }

    /// It is back.
    pub fn end(self) {
        self.ends.news.send(News::Swarm(Event::DiskRecovered));
        self.ends.status.change(|status| {
            status.state = State::Checking;
            status.disk_trouble = None;
        });
    }
}

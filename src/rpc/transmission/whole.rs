//! All torrents as they are, for whoever asks for them: its owner hears only of what changed since
//! somebody asked last. Beside them stands what was in the last minute. No truth of its own: what
//! is lost with it is read again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{Answer, Api, List, Mark, Refusal, Request, Torrent};

use crate::roster::Cursor;

use super::lately::{LATELY, Lately, STEP};

/// Questions that wait; whoever asks more waits, too.
const QUESTIONS_LEN: usize = 64;

/// A torrent as it was told.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub torrent: Torrent,
    /// When that was: times go on since then.
    pub at: Instant,
}

/// Bytes that all torrents received and sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Moved {
    pub down: u64,
    pub up: u64,
}

/// All of them at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct All {
    /// In the order of the queue.
    pub torrents: Vec<Arc<Seen>>,
    /// In the lives of those that are or were here.
    pub ever: Moved,
    /// The same in this run.
    pub now: Moved,
}

/// What changed in the last minute.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Recent {
    pub changed: Vec<u32>,
    pub removed: Vec<u32>,
}

enum Question {
    All(oneshot::Sender<Result<Arc<All>, Refusal>>),
    Recent(oneshot::Sender<Result<Recent, Refusal>>),
}

/// Where they are had; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    questions: mpsc::Sender<Question>,
}

impl Whole {
    /// Of this session.
    pub fn start(api: Api) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep(api, asked));
        Self { questions }
    }

    /// All torrents.
    ///
    /// # Errors
    /// As the API refuses it.
    pub async fn all(&self) -> Result<Arc<All>, Refusal> {
        self.ask(Question::All).await
    }

    /// What changed in the last minute.
    ///
    /// # Errors
    /// As the API refuses it.
    pub async fn recent(&self) -> Result<Recent, Refusal> {
        self.ask(Question::Recent).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Question,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Without a keeper there is no answer.
        let _ = self.questions.send(question(answer)).await;
        answered.await.unwrap_or_else(|_| Err(Refusal::ended()))
    }
}

async fn keep(api: Api, mut asked: mpsc::Receiver<Question>) {
    let mut desk = Desk::default();
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was moved before is not of this run.
    let _ = desk.look(&api).await;
    // Within the first minute everything counts as changed.
    let boot = api.heads().borrow().rows.boot;
    desk.lately.note(Mark(Cursor { boot, number: 0 }), Instant::now());
    loop {
        let question = tokio::select! {
            question = asked.recv() => question,
            _ = steps.tick() => {
                desk.lately.note(Mark(api.heads().borrow().rows), Instant::now());
                continue;
            }
        };
        // Whoever asked may have gone.
        match question {
            None => return,
            Some(Question::All(answer)) => drop(answer.send(desk.look(&api).await)),
            Some(Question::Recent(answer)) => drop(answer.send(desk.recent(&api).await)),
        }
    }
}

async fn list(api: &Api, since: Option<Mark>) -> Result<List, Refusal> {
    match api.answer(Request::List(since)).await? {
        Answer::List(list) => Ok(list),
        _ => Err(Refusal::ended()),
    }
}

#[derive(Default)]
struct Desk {
    cursor: Option<Mark>,
    /// By their place in the queue.
    torrents: BTreeMap<(String, u32), Arc<Seen>>,
    places: HashMap<u32, String>,
    tally: Tally,
    /// Numbers of torrents that left in the last minute, and when that was seen.
    gone: VecDeque<(Instant, u32)>,
    lately: Lately,
    made: Option<Arc<All>>,
}

impl Desk {
    async fn look(&mut self, api: &Api) -> Result<Arc<All>, Refusal> {
        let list = list(api, self.cursor).await?;
        let is_same = self.cursor == Some(list.cursor);
        if !is_same {
            self.take(list);
        }
        let now = Instant::now();
        while self.gone.front().is_some_and(|(at, _)| now.duration_since(*at) > LATELY) {
            self.gone.pop_front();
        }
        match &self.made {
            Some(made) if is_same => Ok(made.clone()),
            _ => Ok(self.made.insert(Arc::new(self.all())).clone()),
        }
    }

    fn take(&mut self, list: List) {
        let (is_first, at) = (self.cursor.is_none(), Instant::now());
        let mut removed = list.removed;
        if list.full {
            let known = self.places.keys().copied();
            removed.extend(known.filter(|id| !list.torrents.iter().any(|it| it.id == *id)));
            (self.torrents, self.places) = Default::default();
        }
        for id in removed {
            self.forget(id);
            self.tally.leave(id);
            self.gone.push_back((at, id));
        }
        for torrent in list.torrents {
            self.forget(torrent.id);
            self.tally.note(&torrent, is_first);
            self.places.insert(torrent.id, torrent.place.clone());
            let key = (torrent.place.clone(), torrent.id);
            self.torrents.insert(key, Arc::new(Seen { torrent, at }));
        }
        self.cursor = Some(list.cursor);
    }

    fn forget(&mut self, id: u32) {
        if let Some(place) = self.places.remove(&id) {
            self.torrents.remove(&(place, id));
        }
    }

    fn all(&self) -> All {
        let (ever, now) = self.tally.sums();
        All { torrents: self.torrents.values().cloned().collect(), ever, now }
    }

    async fn recent(&mut self, api: &Api) -> Result<Recent, Refusal> {
        let now = Instant::now();
        self.look(api).await?;
        let list = list(api, self.lately.since(now)).await?;
        let changed = list.torrents.iter().map(|it| it.id).collect();
        let removed = self.gone.iter().map(|(_, number)| *number).collect();
        Ok(Recent { changed, removed })
    }
}

/// What torrents have moved, each since it is known.
#[derive(Default)]
struct Tally {
    /// As it stands, and as it stood when this run began.
    of: HashMap<u32, (Moved, Moved)>,
    /// Of those that have left.
    left_ever: Moved,
    left_now: Moved,
}

impl Tally {
    fn note(&mut self, torrent: &Torrent, is_first: bool) {
        let moved = Moved { down: torrent.received_bytes, up: torrent.sent_bytes };
        let before = if is_first { moved } else { Moved::default() };
        self.of.entry(torrent.id).or_insert((moved, before)).0 = moved;
    }

    fn leave(&mut self, id: u32) {
        if let Some((moved, before)) = self.of.remove(&id) {
            self.left_ever = self.left_ever.and(moved);
            self.left_now = self.left_now.and(moved.since(before));
        }
    }

    /// Ever, and in this run.
    fn sums(&self) -> (Moved, Moved) {
        self.of.values().fold((self.left_ever, self.left_now), |(ever, now), (moved, before)| {
            (ever.and(*moved), now.and(moved.since(*before)))
        })
    }
}

impl Moved {
    fn and(self, other: Self) -> Self {
        Self { down: self.down.saturating_add(other.down), up: self.up.saturating_add(other.up) }
    }

    fn since(self, before: Self) -> Self {
        Self { down: self.down.saturating_sub(before.down), up: self.up.saturating_sub(before.up) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_those_that_left_count_on() {
        let mut tally = Tally::default();
        let moved = |down, up| Moved { down, up };
        tally.of.insert(1, (moved(100, 10), moved(100, 10)));
        tally.of.insert(2, (moved(5, 5), moved(0, 0)));
        assert_eq!(tally.sums(), (moved(105, 15), moved(5, 5)));
        tally.of.get_mut(&1).unwrap().0 = moved(130, 10);
        tally.leave(1);
        tally.leave(9);
        assert_eq!(tally.sums(), (moved(135, 15), moved(35, 5)));
    }
}

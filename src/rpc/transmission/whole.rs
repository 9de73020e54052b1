//! All torrents as they are, for whoever asks for them: its owner hears only of what changed since
//! somebody asked last. Beside them stand links whose metadata is sought, which have no number of
//! their own and get one here, and what was in the last minute. No truth of its own: what is lost
//! with it is read again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{Answer, Api, List, Mark, Refusal, Request, Search, Torrent};

use crate::roster::Cursor;

use super::lately::{LATELY, Lately, STEP};

/// Questions that wait; whoever asks more waits, too.
const QUESTIONS_LEN: usize = 64;
/// Numbers of links begin here: torrents are counted from 1, and nobody adds so many.
const LINKS_FROM: u32 = 1 << 30;
/// Numbers of links that are known at once, found ones included.
const LINKS_MAX: usize = 1024;

/// A torrent as it was told.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub torrent: Torrent,
    /// When that was: times go on since then.
    pub at: Instant,
}

/// A link whose metadata is sought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub number: u32,
    pub search: Search,
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
    pub links: Vec<Link>,
    /// Hashes of links that were sought under these numbers.
    pub found: Arc<HashMap<u32, String>>,
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

    /// All torrents and links.
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
    links: Links,
    tally: Tally,
    /// Numbers of torrents and links that left in the last minute, and when that was seen.
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
        let (changed, given_up) = self.links.take(api.searches().await);
        self.gone.extend(given_up.into_iter().map(|number| (now, number)));
        while self.gone.front().is_some_and(|(at, _)| now.duration_since(*at) > LATELY) {
            self.gone.pop_front();
        }
        match &self.made {
            Some(made) if is_same && !changed => Ok(made.clone()),
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
        All {
            torrents: self.torrents.values().cloned().collect(),
            links: self.links.now.clone(),
            found: self.links.known.clone(),
            ever,
            now,
        }
    }

    async fn recent(&mut self, api: &Api) -> Result<Recent, Refusal> {
        let now = Instant::now();
        let all = self.look(api).await?;
        let list = list(api, self.lately.since(now)).await?;
        let links = all.links.iter().map(|link| link.number);
        let changed = list.torrents.iter().map(|it| it.id).chain(links).collect();
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

/// Numbers of links.
#[derive(Default)]
struct Links {
    now: Vec<Link>,
    /// Hashes by number, also of those that are sought no more.
    known: Arc<HashMap<u32, String>>,
    count: u32,
}

impl Links {
    /// Takes in what is sought now: whether something of that is new, and the numbers of those that
    /// are sought no more.
    fn take(&mut self, searches: Vec<Search>) -> (bool, Vec<u32>) {
        if searches.is_empty() && self.now.is_empty() {
            return (false, Vec::new());
        }
        let before = std::mem::take(&mut self.now);
        for search in searches {
            let known = before.iter().find(|link| link.search.hash == search.hash);
            let number = known.map_or_else(|| self.number(&search.hash), |link| link.number);
            self.now.push(Link { number, search });
        }
        let is_sought = |link: &&Link| self.now.iter().any(|it| it.number == link.number);
        let gone = before.iter().filter(|link| !is_sought(link)).map(|link| link.number).collect();
        (before != self.now, gone)
    }

    fn number(&mut self, hash: &str) -> u32 {
        let number = LINKS_FROM.saturating_add(self.count);
        self.count = self.count.saturating_add(1);
        let known = Arc::make_mut(&mut self.known);
        while known.len() >= LINKS_MAX {
            let oldest = known.keys().min().copied();
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(number, hash.to_owned());
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(hash: &str) -> Search {
        Search { hash: hash.to_owned(), name: hash.to_owned(), ..Search::default() }
    }

    #[test]
    fn links_have_numbers_that_none_gets_again() {
        let mut links = Links::default();
        let none = Vec::new;
        assert_eq!(links.take(Vec::new()), (false, none()));
        assert_eq!(links.take(vec![search("a"), search("b")]), (true, none()));
        assert_eq!(links.take(vec![search("a"), search("b")]), (false, none()));
        let numbers = |links: &Links| links.now.iter().map(|it| it.number).collect::<Vec<_>>();
        assert_eq!(numbers(&links), [LINKS_FROM, LINKS_FROM + 1]);
        assert_eq!(links.take(vec![search("b")]), (true, vec![LINKS_FROM]));
        assert_eq!(links.take(vec![search("a"), search("b")]), (true, none()));
        assert_eq!(numbers(&links), [LINKS_FROM + 2, LINKS_FROM + 1]);
        assert_eq!(links.known[&LINKS_FROM], "a", "whoever has the number finds what came of it");
        for number in 0..LINKS_MAX {
            links.take(vec![search(&number.to_string())]);
        }
        assert_eq!(links.known.len(), LINKS_MAX);
    }

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

//! All torrents as this dialect shows them, kept up to date by what the session tells has changed,
//! and a journal of what changed when. Every answer of `sync/maindata` has a number; whoever shows
//! one hears what was noted since, of the journal alone: what that costs is the number of changes.
//! The journal has a bounded length, and whoever is behind it hears everything.
//!
//! There is one of it, and not one for each visitor: two pages of one browser disturb nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::api::{Answer, Api, Key, Mark, Refusal, Request, Standing, Torrent};

use super::book::{Book, Shelf};
use super::mapping::{Extras, PASSING, Seen, difference, name_of};
use super::notes::{Notes, What};
use super::standing::{self, Sums};

/// Notes that are kept: some 5 MiB, of 10,000 torrents that all change six times.
const NOTES_MAX: usize = 1 << 16;
/// Questions that wait; whoever asks more waits, too.
const QUESTIONS_LEN: usize = 64;
/// How old what is said of the session may be, unless something of it was set.
const STANDING_AGE: Duration = Duration::from_millis(500);
/// The same as a multiple of the time that it takes to hear it.
const SLOWNESS: u32 = 5;
/// Torrents whose metadata is read at once, and how long all wait for it.
const READ_MAX: usize = 256;
const READ_TIME: Duration = Duration::from_secs(2);
/// When that took too long, it is tried again after this.
const READ_PAUSE: Duration = Duration::from_secs(30);
/// The numbers of answers begin below this, so that they stay in 31 bits for decades.
const FIRST_MAX: u64 = 1 << 29;

/// What is new to somebody.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The number of this answer.
    pub rid: u64,
    /// It is everything there is.
    pub is_full: bool,
    /// Torrents, and the keys of them that are told.
    pub torrents: Vec<(Arc<Seen>, u64)>,
    /// Those that are gone, by their hashes.
    pub torrents_removed: Vec<Arc<str>>,
    /// Categories, whose folders stand in the book.
    pub categories: Vec<String>,
    pub categories_removed: Vec<String>,
    pub tags: Vec<String>,
    pub tags_removed: Vec<String>,
    /// Trackers with the hashes of their torrents.
    pub trackers: Vec<(Arc<str>, Vec<Arc<str>>)>,
    pub trackers_removed: Vec<Arc<str>>,
    /// What is said of the session.
    pub session: Map<String, Value>,
    /// By which all this is to be read.
    pub book: Arc<Book>,
}

type Asked<T> = oneshot::Sender<Result<T, Refusal>>;

enum Question {
    All(Asked<(Vec<Arc<Seen>>, Arc<Book>)>),
    Named(Vec<String>, Asked<Vec<Option<Arc<Seen>>>>),
    Tags(Asked<Vec<String>>),
    Session(Asked<Map<String, Value>>),
    News(Option<u64>, Asked<News>),
    /// The files of this one may have other names.
    Reread(Arc<str>),
    /// Something of the session was set.
    Restated,
}

/// Where it is read; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    questions: mpsc::Sender<Question>,
}

impl Journal {
    /// Of this session.
    pub fn start(api: Api, shelf: Shelf) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep(Keeper::new(api, shelf), asked));
        Self { questions }
    }

    /// All torrents in the order of the queue.
    ///
    /// # Errors
    /// As the session refuses it, here and below.
    pub async fn all(&self) -> Result<(Vec<Arc<Seen>>, Arc<Book>), Refusal> {
        self.ask(Question::All).await
    }

    /// The torrents of these hashes, in lower case; none where there is none.
    pub async fn named(&self, hashes: Vec<String>) -> Result<Vec<Option<Arc<Seen>>>, Refusal> {
        self.ask(|answer| Question::Named(hashes, answer)).await
    }

    /// All tags there are.
    pub async fn tags(&self) -> Result<Vec<String>, Refusal> {
        self.ask(Question::Tags).await
    }

    /// What is said of the session.
    pub async fn session(&self) -> Result<Map<String, Value>, Refusal> {
        self.ask(Question::Session).await
    }

    /// What is new to whoever had the answer of this number, if any.
    pub async fn news(&self, since: Option<u64>) -> Result<News, Refusal> {
        self.ask(|answer| Question::News(since, answer)).await
    }

    /// The files of a torrent may have got other names.
    pub async fn reread(&self, hash: Arc<str>) {
        // When all is over, nobody reads any more; here and below.
        let _ = self.questions.send(Question::Reread(hash)).await;
    }

    /// Something of the session was set, and is to be seen at once.
    pub async fn restated(&self) {
        let _ = self.questions.send(Question::Restated).await;
    }

    async fn ask<T>(&self, question: impl FnOnce(Asked<T>) -> Question) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let _ = self.questions.send(question(answer)).await;
        answered.await.unwrap_or_else(|_| Err(Refusal::ended()))
    }
}

async fn keep(mut keeper: Keeper, mut asked: mpsc::Receiver<Question>) {
    // What torrents had moved before is known from here on.
    let _ = keeper.refresh().await;
    // Whoever asked may have gone, everywhere here.
    while let Some(question) = asked.recv().await {
        match question {
            Question::Reread(hash) => keeper.forget_extras(&hash),
            Question::Restated => keeper.standing = None,
            Question::All(answer) => {
                let told =
                    keeper.refresh().await.map(|()| (keeper.in_order(), keeper.book.clone()));
                let _ = answer.send(told);
            }
            Question::Named(hashes, answer) => {
                let told = keeper.refresh().await;
                let found = hashes.iter().map(|hash| keeper.named(hash));
                let _ = answer.send(told.map(|()| found.collect()));
            }
            Question::Tags(answer) => {
                let told = keeper.refresh().await;
                let _ = answer.send(told.map(|()| keeper.tags.iter().cloned().collect()));
            }
            Question::Session(answer) => {
                let told = keeper.refresh().await.map(|()| keeper.session_object());
                let _ = answer.send(told);
            }
            Question::News(since, answer) => {
                let told = keeper.refresh().await.map(|()| keeper.news(since));
                let _ = answer.send(told);
            }
        }
    }
}

struct Keeper {
    api: Api,
    shelf: Shelf,
    /// How far the lists of the session were read.
    cursor: Option<Mark>,
    book: Arc<Book>,
    torrents: BTreeMap<Arc<str>, Arc<Seen>>,
    /// The same by their numbers, and by hashes that do not name them here.
    numbers: HashMap<u32, Arc<str>>,
    aliases: HashMap<String, Arc<str>>,
    /// Those that have something to download, in the order of the queue.
    queue: BTreeSet<(String, u32)>,
    is_queue_moved: bool,
    are_labels_moved: bool,
    /// How many torrents have a label.
    labels: BTreeMap<String, usize>,
    tags: BTreeSet<String>,
    trackers: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Those whose metadata was not looked at.
    unread: BTreeSet<Arc<str>>,
    read_after: Instant,
    sums: Sums,
    /// With the time until it is good enough.
    standing: Option<(Instant, Standing)>,
    session: BTreeMap<&'static str, Value>,
    notes: Notes,
}

impl Keeper {
    fn new(api: Api, shelf: Shelf) -> Self {
        // Not where an earlier run began: its numbers mean nothing here.
        let first = rand::random_range(1..FIRST_MAX);
        Self {
            api,
            shelf,
            cursor: None,
            book: Arc::default(),
            torrents: BTreeMap::new(),
            numbers: HashMap::new(),
            aliases: HashMap::new(),
            queue: BTreeSet::new(),
            is_queue_moved: false,
            are_labels_moved: true,
            labels: BTreeMap::new(),
            tags: BTreeSet::new(),
            trackers: BTreeMap::new(),
            unread: BTreeSet::new(),
            read_after: Instant::now(),
            sums: Sums::default(),
            standing: None,
            session: BTreeMap::new(),
            notes: Notes::new(first, NOTES_MAX),
        }
    }

    /// Takes in what has changed since it was asked last.
    async fn refresh(&mut self) -> Result<(), Refusal> {
        let book = self.shelf.book().await;
        if !Arc::ptr_eq(&book, &self.book) {
            self.take_book(book);
        }
        let listed = self.api.answer(Request::List(self.cursor)).await?;
        let Answer::List(list) = listed else { return Err(Refusal::ended()) };
        if list.full {
            let there: BTreeSet<u32> = list.torrents.iter().map(|it| it.id).collect();
            let gone = self.numbers.keys().filter(|id| !there.contains(id));
            let gone: Vec<u32> = gone.copied().collect();
            gone.into_iter().for_each(|id| self.lose(id));
        }
        list.removed.iter().for_each(|id| self.lose(*id));
        for torrent in list.torrents {
            self.take_torrent(torrent);
        }
        self.cursor = Some(list.cursor);
        self.restate().await?;
        self.read_extras().await;
        self.order_queue();
        self.gather_tags();
        self.take_session();
        Ok(())
    }

    fn take_book(&mut self, book: Arc<Book>) {
        self.are_labels_moved = true;
        let before = std::mem::replace(&mut self.book, book.clone());
        let names = before.categories.keys().chain(book.categories.keys());
        let moved: BTreeSet<&String> = names
            .filter(|name| before.categories.get(*name) != book.categories.get(*name))
            .collect();
        for name in &moved {
            self.notes.push(What::Category((*name).clone()), 0);
        }
        let is_meant = |seen: &&Arc<Seen>| seen.torrent.labels.iter().any(|it| moved.contains(it));
        let meant: Vec<Arc<Seen>> = self.torrents.values().filter(is_meant).cloned().collect();
        for seen in meant {
            let keys = difference(&seen.cells(&before), &seen.cells(&book));
            if keys != 0 {
                self.notes.push(What::Torrent(seen.hash.clone()), keys);
            }
        }
    }

    fn take_torrent(&mut self, torrent: Torrent) {
        let hash = name_of(torrent.hash.as_deref(), torrent.hash_v2.as_deref());
        // The link of a hybrid by its v2 hash gets its v1 hash, by which it is named, later.
        let old = self.numbers.insert(torrent.id, hash.clone());
        if let Some(old) = old.filter(|old| *old != hash) {
            self.drop_seen(&old);
        }
        for alias in aliases_of(&torrent) {
            self.aliases.insert(alias, hash.clone());
        }
        let before = self.torrents.get(&hash);
        let begun = before.map_or((torrent.received_bytes, torrent.sent_bytes), |it| it.begun);
        let is_same = |it: &&Arc<Seen>| {
            let of = |it: &Torrent| (it.metadata, it.files);
            of(&it.torrent) == of(&torrent)
        };
        let extras = before.filter(is_same).and_then(|it| it.extras.clone());
        let queue = before.map_or(0, |it| it.queue);
        let is_renamed = before.is_some_and(|it| it.torrent.names != torrent.names);
        if is_renamed {
            self.read_after = Instant::now();
        }
        // Of a link there is nothing to read.
        if (extras.is_none() || is_renamed) && torrent.metadata {
            self.unread.insert(hash.clone());
        }
        let taken_at = StdInstant::now();
        self.put(Seen { hash, torrent, extras, queue, begun, taken_at });
    }

    /// Has this one in the place of what was there of its hash, and notes what is new of it.
    fn put(&mut self, seen: Seen) {
        let hash = seen.hash.clone();
        let before = self.torrents.get(&hash).cloned();
        let keys = match &before {
            Some(before) => difference(&before.cells(&self.book), &seen.cells(&self.book)),
            None => u64::MAX,
        };
        self.count(before.as_deref(), Some(&seen));
        self.torrents.insert(hash.clone(), Arc::new(seen));
        if keys != 0 {
            self.notes.push(What::Torrent(hash), keys | PASSING);
        }
    }

    fn lose(&mut self, id: u32) {
        let Some(hash) = self.numbers.remove(&id) else { return };
        // Another one may have its hash by now.
        if self.torrents.get(&hash).is_some_and(|seen| seen.torrent.id == id) {
            self.drop_seen(&hash);
        }
    }

    fn drop_seen(&mut self, hash: &Arc<str>) {
        let Some(seen) = self.torrents.remove(hash) else { return };
        self.count(Some(&seen), None);
        self.unread.remove(hash);
        for alias in aliases_of(&seen.torrent) {
            self.aliases.remove(&alias);
        }
        self.notes.push(What::Torrent(hash.clone()), u64::MAX);
    }

    /// Keeps what is counted over all torrents right when one changes.
    fn count(&mut self, before: Option<&Seen>, after: Option<&Seen>) {
        self.sums.count(before.map(|it| &it.torrent), after.map(|it| &it.torrent));
        let place = |seen: &Seen| {
            let waits = !seen.is_complete() && !seen.is_link();
            waits.then(|| (seen.torrent.place.clone(), seen.torrent.id))
        };
        let (old, new) = (before.and_then(place), after.and_then(place));
        if old != new {
            self.is_queue_moved = true;
            old.map(|old| self.queue.remove(&old));
            new.map(|new| self.queue.insert(new));
        }
        let labels = |seen: Option<&Seen>| seen.map(|it| it.torrent.labels.clone());
        let (old, new) = (labels(before).unwrap_or_default(), labels(after).unwrap_or_default());
        if old != new {
            self.are_labels_moved = true;
            for label in new {
                *self.labels.entry(label).or_default() += 1;
            }
            for label in old {
                let left = self.labels.get_mut(&label).map(|count| {
                    *count -= 1;
                    *count
                });
                if left == Some(0) {
                    self.labels.remove(&label);
                }
            }
        }
        self.count_trackers(before, after);
    }

    fn count_trackers(&mut self, before: Option<&Seen>, after: Option<&Seen>) {
        let of = |seen: Option<&Seen>| -> BTreeSet<Arc<str>> {
            let extras = seen.and_then(|it| it.extras.as_ref());
            extras.map(|it| it.trackers.iter().cloned().collect()).unwrap_or_default()
        };
        let (old, new) = (of(before), of(after));
        let Some(hash) = before.or(after).map(|it| it.hash.clone()) else { return };
        for url in old.difference(&new) {
            if let Some(torrents) = self.trackers.get_mut(url) {
                torrents.remove(&hash);
                if torrents.is_empty() {
                    self.trackers.remove(url);
                }
            }
            self.notes.push(What::Tracker(url.clone()), 0);
        }
        for url in new.difference(&old) {
            self.trackers.entry(url.clone()).or_default().insert(hash.clone());
            self.notes.push(What::Tracker(url.clone()), 0);
        }
    }

    /// Hears how the session stands. A disk that hangs makes that slow: then it asks less often.
    async fn restate(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        if self.standing.as_ref().is_some_and(|(until, _)| now < *until) {
            return Ok(());
        }
        let told = self.api.answer(Request::Session).await?;
        let Answer::Session(standing) = told else { return Err(Refusal::ended()) };
        let until = Instant::now() + STANDING_AGE.max(now.elapsed() * SLOWNESS);
        self.standing = Some((until, *standing));
        Ok(())
    }

    /// Reads what lists do not tell of some that it was not read of yet.
    async fn read_extras(&mut self) {
        if self.unread.is_empty() || Instant::now() < self.read_after {
            return;
        }
        let some: Vec<Arc<str>> = self.unread.iter().take(READ_MAX).cloned().collect();
        let until = Instant::now() + READ_TIME;
        for hash in some {
            let Some(seen) = self.torrents.get(&hash).cloned() else {
                self.unread.remove(&hash);
                continue;
            };
            let facts = self.api.answer(Request::Facts(Key::Id(seen.torrent.id)));
            let left = until.saturating_duration_since(Instant::now());
            let Ok(facts) = timeout(left, facts).await else {
                self.read_after = Instant::now() + READ_PAUSE;
                return;
            };
            self.unread.remove(&hash);
            if let Ok(Answer::Facts(facts)) = facts {
                let extras = Extras {
                    is_single: facts.single,
                    first_file: facts.first_file.clone(),
                    trackers: facts.trackers.iter().flatten().map(|url| self.shared(url)).collect(),
                    magnet: facts.magnet,
                    comment: facts.comment.unwrap_or_default(),
                };
                self.put(Seen { extras: Some(Arc::new(extras)), ..Seen::clone(&seen) });
            }
        }
    }

    /// The same text once for all torrents.
    fn shared(&self, url: &str) -> Arc<str> {
        let known = self.trackers.get_key_value(url);
        known.map_or_else(|| url.into(), |(url, _)| url.clone())
    }

    fn forget_extras(&mut self, hash: &Arc<str>) {
        if self.torrents.get(hash).is_some_and(|seen| !seen.is_link()) {
            self.unread.insert(hash.clone());
            self.read_after = Instant::now();
        }
    }

    /// Numbers those that have something to download anew, if their order is another.
    fn order_queue(&mut self) {
        if !std::mem::take(&mut self.is_queue_moved) {
            return;
        }
        let places = self.queue.iter().enumerate();
        let places: HashMap<u32, u32> =
            places.map(|(at, (_, id))| (*id, u32::try_from(at + 1).unwrap_or(u32::MAX))).collect();
        let place = |seen: &Seen| places.get(&seen.torrent.id).copied().unwrap_or_default();
        let moved = self.torrents.values().filter(|seen| seen.queue != place(seen));
        let moved: Vec<Seen> =
            moved.map(|seen| Seen { queue: place(seen), ..Seen::clone(seen) }).collect();
        moved.into_iter().for_each(|seen| self.put(seen));
    }

    fn gather_tags(&mut self) {
        if !std::mem::take(&mut self.are_labels_moved) {
            return;
        }
        let labels = self.labels.keys().filter(|it| !self.book.categories.contains_key(*it));
        // The second category of a torrent is a tag of it, and told as such.
        let now: BTreeSet<String> = labels.chain(&self.book.tags).cloned().collect();
        let before = std::mem::replace(&mut self.tags, now.clone());
        for tag in before.symmetric_difference(&now) {
            self.notes.push(What::Tag(tag.clone()), 0);
        }
    }

    fn take_session(&mut self) {
        let Some((_, standing)) = &self.standing else { return };
        let now = standing::values(standing, &self.sums);
        let before = std::mem::replace(&mut self.session, now.clone());
        for (key, value) in &now {
            if before.get(key) != Some(value) {
                self.notes.push(What::Session(key), 0);
            }
        }
    }

    fn session_object(&self) -> Map<String, Value> {
        self.session.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn named(&self, hash: &str) -> Option<Arc<Seen>> {
        let named = self.torrents.get(hash);
        named.or_else(|| self.torrents.get(self.aliases.get(hash)?)).cloned()
    }

    fn in_order(&self) -> Vec<Arc<Seen>> {
        let mut all: Vec<Arc<Seen>> = self.torrents.values().cloned().collect();
        let place = |seen: &Arc<Seen>| (seen.torrent.place.clone(), seen.torrent.id);
        all.sort_by_cached_key(place);
        all
    }

    /// What is new since an answer; everything where that is not known.
    fn news(&mut self, since: Option<u64>) -> News {
        let news = News { rid: self.notes.number(), book: self.book.clone(), ..News::default() };
        match since.and_then(|since| self.notes.since(since)) {
            Some(changed) => self.told(changed, news),
            None => self.everything(news),
        }
    }

    fn everything(&self, news: News) -> News {
        let of = |(url, hashes): (&Arc<str>, &BTreeSet<Arc<str>>)| {
            (url.clone(), hashes.iter().cloned().collect())
        };
        News {
            is_full: true,
            torrents: self.torrents.values().map(|seen| (seen.clone(), u64::MAX)).collect(),
            categories: self.book.categories.keys().cloned().collect(),
            tags: self.tags.iter().cloned().collect(),
            trackers: self.trackers.iter().map(of).collect(),
            session: self.session_object(),
            ..news
        }
    }

    fn told(&self, changed: BTreeMap<&What, u64>, mut news: News) -> News {
        for (what, keys) in changed {
            match what {
                What::Torrent(hash) => match self.torrents.get(hash) {
                    Some(seen) => news.torrents.push((seen.clone(), keys)),
                    None => news.torrents_removed.push(hash.clone()),
                },
                What::Category(name) => match self.book.categories.contains_key(name) {
                    true => news.categories.push(name.clone()),
                    false => news.categories_removed.push(name.clone()),
                },
                What::Tag(name) => match self.tags.contains(name) {
                    true => news.tags.push(name.clone()),
                    false => news.tags_removed.push(name.clone()),
                },
                What::Tracker(url) => match self.trackers.get(url) {
                    Some(of) => news.trackers.push((url.clone(), of.iter().cloned().collect())),
                    None => news.trackers_removed.push(url.clone()),
                },
                What::Session(key) => {
                    let value = self.session.get(key).cloned().unwrap_or_default();
                    news.session.insert((*key).to_owned(), value);
                }
            }
        }
        news
    }
}

/// The other hashes that a torrent is known by: the first digits name a v2 hash, too.
fn aliases_of(torrent: &Torrent) -> impl Iterator<Item = String> + use<> {
    let v2 = torrent.hash_v2.clone();
    let cut = v2.as_ref().and_then(|hash| hash.get(..40)).map(str::to_owned);
    torrent.hash.clone().into_iter().chain(v2).chain(cut)
}

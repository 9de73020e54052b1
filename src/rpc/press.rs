//! Answers that many ask for, made once. Of the list of all torrents its owner keeps the bytes of
//! each, and makes anew only those of what changed since it was asked last; what happened since a
//! moment is worded once for all who have heard everything until then. Nothing is kept for long
//! that nobody asks for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::api::{Answer, Api, Events, List, Mark, Refusal, Request};

/// Questions that wait; whoever asks more waits, too.
const QUESTIONS_LEN: usize = 64;
/// A list that nobody has asked for during this is given up.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Moments since which it is known what happened, in words: of readers that are a little apart.
const MOMENTS_MAX: usize = 16;

/// Whoever waits for the list of all torrents.
type Waiting = oneshot::Sender<Result<Bytes, Refusal>>;

/// What happened since a moment, in words.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// As a stream of events has it; empty when nothing happened.
    pub text: Bytes,
    /// Where it goes on.
    pub next: Mark,
}

/// Whoever waits for what happened since then; none when the session has ended.
type Reader = (Mark, oneshot::Sender<Option<News>>);

/// Where they are had; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Press {
    lists: mpsc::Sender<Waiting>,
    news: mpsc::Sender<Reader>,
}

impl Press {
    /// For this session. `word` words events.
    pub fn start(api: Api, word: fn(&Events) -> String) -> Self {
        let (lists, asked) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep_list(api.clone(), asked));
        let (news, heard) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep_news(api, word, heard));
        Self { lists, news }
    }

    /// The list of all torrents, as JSON.
    ///
    /// # Errors
    /// As the API refuses it.
    pub async fn list(&self) -> Result<Bytes, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Without a keeper there is no answer.
        let _ = self.lists.send(answer).await;
        answered.await.unwrap_or_else(|_| Err(Refusal::ended()))
    }

    /// What happened since; none when the session has ended.
    pub async fn news(&self, since: Mark) -> Option<News> {
        let (answer, answered) = oneshot::channel();
        let _ = self.news.send((since, answer)).await;
        answered.await.ok()?
    }
}

async fn keep_list(api: Api, mut asked: mpsc::Receiver<Waiting>) {
    let (mut sheet, mut waiting) = (Sheet::default(), Vec::new());
    loop {
        let question = asked.recv_many(&mut waiting, QUESTIONS_LEN);
        match timeout(IDLE_MAX, question).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => {
                sheet = Sheet::default();
                continue;
            }
        }
        let list = api.answer(Request::List(sheet.cursor)).await;
        let made = match list {
            Ok(Answer::List(list)) => Ok(sheet.take(&list)),
            Ok(_) => Err(Refusal::ended()),
            Err(refusal) => Err(refusal),
        };
        for answer in waiting.drain(..) {
            // They may have gone.
            let _ = answer.send(made.clone());
        }
    }
}

/// The list of all torrents, in pieces.
#[derive(Default)]
struct Sheet {
    /// How far it goes; none when nothing is known.
    cursor: Option<Mark>,
    /// By their place in the queue.
    torrents: BTreeMap<(String, u32), Box<[u8]>>,
    places: HashMap<u32, String>,
    /// All of it together, if nothing has changed since.
    made: Option<Bytes>,
}

impl Sheet {
    /// Takes in what changed; all of it.
    fn take(&mut self, list: &List) -> Bytes {
        if list.full {
            (self.torrents, self.places) = Default::default();
        }
        for id in &list.removed {
            self.forget(*id);
        }
        for torrent in &list.torrents {
            self.forget(torrent.id);
            // A torrent is a value, and each value has a form.
            let bytes = serde_json::to_vec(torrent).unwrap_or_default();
            self.places.insert(torrent.id, torrent.place.clone());
            self.torrents.insert((torrent.place.clone(), torrent.id), bytes.into());
        }
        let made = self.made.take().filter(|_| self.cursor == Some(list.cursor));
        self.cursor = Some(list.cursor);
        self.made.insert(made.unwrap_or_else(|| joined(list.cursor, &self.torrents))).clone()
    }

    fn forget(&mut self, id: u32) {
        if let Some(place) = self.places.remove(&id) {
            self.torrents.remove(&(place, id));
        }
    }
}

/// As [`List`] is written.
fn joined(cursor: Mark, torrents: &BTreeMap<(String, u32), Box<[u8]>>) -> Bytes {
    let len: usize = torrents.values().map(|bytes| bytes.len() + 2).sum();
    let mut text = Vec::with_capacity(len + 128);
    text.extend(format!("{{\"cursor\":\"{cursor}\",\"full\":true,\"torrents\":[").bytes());
    for (nth, torrent) in torrents.values().enumerate() {
        if nth > 0 {
            // On a line of its own: whoever reads a long list can begin before its end.
            text.extend_from_slice(b",\n");
        }
        text.extend_from_slice(torrent);
    }
    text.extend_from_slice(b"],\"removed\":[]}\n");
    text.into()
}

async fn keep_news(api: Api, word: fn(&Events) -> String, mut heard: mpsc::Receiver<Reader>) {
    let heads = api.heads();
    let mut known: VecDeque<(Mark, News)> = VecDeque::new();
    while let Some((since, answer)) = heard.recv().await {
        let head = heads.borrow().events;
        let is_it = |(from, news): &&(Mark, News)| {
            *from == since && news.next.0.boot == head.boot && news.next.0.number >= head.number
        };
        if let Some((_, news)) = known.iter().find(is_it) {
            // They may have gone, here and below.
            let _ = answer.send(Some(news.clone()));
            continue;
        }
        let told = match api.answer(Request::Events(Some(since))).await {
            Ok(Answer::Events(events)) => {
                Some(News { text: word(&events).into(), next: events.cursor })
            }
            _ => None,
        };
        if let Some(news) = &told {
            known.retain(|(from, _)| *from != since);
            known.truncate(MOMENTS_MAX - 1);
            known.push_front((since, news.clone()));
        }
        let _ = answer.send(told);
    }
}

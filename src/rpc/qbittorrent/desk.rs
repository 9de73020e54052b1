//! What all answers are made of: the API, the book, and the torrents that a form names.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::api::{Answer, Api, Done, Key, Patch, Refusal, Request, Standing};
use crate::rpc::gate::{Several, unless_gone};

use super::book::{Book, Shelf};
use super::form::Form;
use super::journal::Journal;
use super::mapping::Seen;
use super::preferences;
use super::said::Fault;
use super::sync::Crowds;

/// The file of the book, beside the ledger.
const BOOK: &str = "qbittorrent.json";

/// What somebody asks: a form, and the bytes that its files lie in.
pub(super) struct Asked {
    pub form: Form,
    pub body: Vec<u8>,
}

/// Where answers are made; cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    pub api: Api,
    pub shelf: Shelf,
    pub journal: Journal,
    pub crowds: Crowds,
    /// Is told when somebody orders the end.
    pub closes: Arc<Notify>,
}

impl Desk {
    /// For this session.
    pub fn start(api: Api, closes: Arc<Notify>) -> Self {
        let shelf = Shelf::open(api.session().state_dir().join(BOOK));
        let journal = Journal::start(api.clone(), shelf.clone());
        Self { api, shelf, journal, crowds: Crowds::start(), closes }
    }

    /// How the session stands.
    ///
    /// # Errors
    /// It has ended.
    pub async fn standing(&self) -> Result<Box<Standing>, Fault> {
        match self.api.answer(Request::Session).await? {
            Answer::Session(standing) => Ok(standing),
            _ => Err(Refusal::ended().into()),
        }
    }

    /// The torrent that `hash` of a form names.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn one(&self, form: &Form) -> Result<Arc<Seen>, Fault> {
        let hash = form.value("hash").ok_or_else(|| Fault::bad("Bad Request"))?;
        self.named(hash).await
    }

    /// The torrent of this hash.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn named(&self, hash: &str) -> Result<Arc<Seen>, Fault> {
        let found = self.journal.named(vec![hash.to_ascii_lowercase()]).await?;
        found.into_iter().flatten().next().ok_or_else(Fault::not_found)
    }

    /// The torrents that a list of hashes names, in the order of the list, or `all`. What nobody
    /// knows is left out.
    ///
    /// # Errors
    /// 400 where there is no list.
    pub async fn several(&self, form: &Form, name: &str) -> Result<Vec<Arc<Seen>>, Fault> {
        let hashes = form.value(name).ok_or_else(|| Fault::bad("Bad Request"))?;
        if hashes == "all" {
            return Ok(self.journal.all().await?.0);
        }
        let hashes = hashes.split('|').map(str::to_ascii_lowercase).collect();
        Ok(self.journal.named(hashes).await?.into_iter().flatten().collect())
    }

    /// Has something done.
    ///
    /// # Errors
    /// As it is refused.
    pub async fn order(&self, request: Request) -> Result<Done, Refusal> {
        match self.api.answer(request).await? {
            Answer::Done(done) => Ok(done),
            _ => Ok(Done::default()),
        }
    }

    /// Sets something of each of these.
    ///
    /// # Errors
    /// As the first one is refused that did not just leave; the others have it all the same.
    pub async fn set(&self, these: &[Arc<Seen>], patch: &Patch) -> Result<(), Fault> {
        let mut all = Several::new();
        for seen in these {
            all.note(self.set_one(seen, patch.clone()).await);
        }
        all.end()
    }

    /// Sets something of one.
    ///
    /// # Errors
    /// It is refused, and did not just leave.
    pub async fn set_one(&self, seen: &Seen, patch: Patch) -> Result<(), Refusal> {
        unless_gone(self.order(Request::Set(key_of(seen), Box::new(patch))).await)
    }

    /// The folder that new torrents go to, where nothing else is said.
    ///
    /// # Errors
    /// The session has ended.
    pub async fn dir(&self, book: &Book) -> Result<String, Fault> {
        match preferences::default_dir(book) {
            Some(dir) => Ok(dir.to_owned()),
            None => Ok(self.standing().await?.dir),
        }
    }

    /// A folder as it was named: a relative one is below the usual one.
    ///
    /// # Errors
    /// The session has ended.
    pub async fn folder(&self, named: &str, book: &Book) -> Result<String, Fault> {
        let named = named.trim();
        match Path::new(named).is_absolute() {
            true => Ok(named.to_owned()),
            false => Ok(format!("{}/{named}", self.dir(book).await?.trim_end_matches('/'))),
        }
    }
}

/// How the API names a torrent.
pub(super) fn key_of(seen: &Seen) -> Key {
    Key::Id(seen.torrent.id)
}

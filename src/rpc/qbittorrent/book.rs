//! What this dialect has and the session has not: categories with their folders, tags that no
//! torrent has, and preferences without a counterpart. One small file beside the ledger keeps them;
//! whoever changes them waits until it is written. Not here: which torrent has which of them, which
//! its labels say (`mapping`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use crate::os::whole::{self, How};

/// The longest file that is read and written.
const LEN_MAX: usize = 1 << 20;
/// The form of the file.
const VERSION: u32 = 1;
/// Changes that wait; whoever makes more waits, too.
const CHANGES_LEN: usize = 16;

/// What is kept.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Book {
    version: u32,
    /// Categories with their folders; an empty one is none of its own.
    #[serde(default)]
    pub categories: BTreeMap<String, String>,
    /// Tags, whether a torrent has them or not.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Preferences that were set and have no counterpart.
    #[serde(default)]
    pub preferences: Map<String, Value>,
}

impl Book {
    /// The category among these labels: the first that is one.
    pub fn category<'a>(&self, labels: &'a [String]) -> Option<&'a str> {
        let mut labels = labels.iter().map(String::as_str);
        labels.find(|label| self.categories.contains_key(*label))
    }
}

/// A change, and why it is refused.
type Change = Box<dyn FnOnce(&mut Book) -> Result<(), String> + Send>;

struct Order {
    change: Change,
    answer: oneshot::Sender<Result<(), Unkept>>,
}

/// Why a change is not made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unkept {
    /// It makes no sense as things are: why.
    Refused(String),
    /// It cannot be written: why.
    Disk(String),
}

/// Where the book is read and changed; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    book: watch::Receiver<Arc<Book>>,
    orders: mpsc::Sender<Order>,
}

impl Shelf {
    /// The book of this file. What is damaged is set aside, and told in the log.
    pub fn open(path: PathBuf) -> Self {
        let (shown, book) = watch::channel(Arc::new(Book::default()));
        let (orders, given) = mpsc::channel(CHANGES_LEN);
        tokio::spawn(keep(path, shown, given));
        Self { book, orders }
    }

    /// As it is now.
    pub async fn book(&self) -> Arc<Book> {
        // Version 0 is that of a book that was not read yet.
        let mut book = self.book.clone();
        match book.wait_for(|book| book.version > 0).await {
            Ok(book) => Arc::clone(&book),
            Err(_) => Arc::default(),
        }
    }

    /// Changes it, and waits until that is kept.
    ///
    /// # Errors
    /// As the change is refused, or it cannot be kept: then nothing is changed.
    pub async fn change(
        &self,
        change: impl FnOnce(&mut Book) -> Result<(), String> + Send + 'static,
    ) -> Result<(), Unkept> {
        let ended = || Unkept::Disk("the daemon ends".to_owned());
        let (answer, answered) = oneshot::channel();
        let order = Order { change: Box::new(change), answer };
        self.orders.send(order).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn keep(path: PathBuf, shown: watch::Sender<Arc<Book>>, mut given: mpsc::Receiver<Order>) {
    let from = path.clone();
    // A reader that panicked has read nothing.
    let read = spawn_blocking(move || read(&from)).await.unwrap_or_default();
    // What a newer version has written stays as it is.
    let is_ours = read.version <= VERSION;
    shown.send_replace(Arc::new(read));
    while let Some(Order { change, answer }) = given.recv().await {
        let before = shown.borrow().clone();
        let mut after = Book::clone(&before);
        let changed = match change(&mut after) {
            Err(why) => Err(Unkept::Refused(why)),
            Ok(()) if after == *before => Ok(()),
            Ok(()) if !is_ours => {
                Err(Unkept::Disk(format!("{} is of a newer version", path.display())))
            }
            Ok(()) => write(path.clone(), &after).await.map(|()| {
                shown.send_replace(Arc::new(after));
            }),
        };
        // Whoever asked may have gone.
        let _ = answer.send(changed);
    }
}

async fn write(path: PathBuf, book: &Book) -> Result<(), Unkept> {
    let bytes = serde_json::to_vec(book).map_err(|error| Unkept::Disk(error.to_string()))?;
    if bytes.len() > LEN_MAX {
        let why = "categories, tags and preferences take more than a MiB";
        return Err(Unkept::Refused(why.to_owned()));
    }
    let shown = path.display().to_string();
    let how = How::DURABLE.private().alone();
    let written = spawn_blocking(move || whole::replace(&path, &bytes, how)).await;
    let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| Unkept::Disk(format!("{shown}: {error}")))
}

/// Reads it; an empty one where there is none.
fn read(path: &Path) -> Book {
    let empty = || Book { version: VERSION, ..Book::default() };
    let bytes = match whole::read(path, LEN_MAX as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return empty(),
        Err(error) => {
            set_aside(path, &error);
            return empty();
        }
    };
    // What has fields would be read from a list of their values, too.
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    let why: Box<dyn fmt::Display> = match serde_json::from_slice::<Book>(&bytes) {
        _ if !is_object => Box::new("it is no object"),
        Ok(book) if book.version > VERSION => {
            let version = book.version;
            let path = path.display();
            warn!(%path, version, "written by a newer version: nothing of it is changed");
            return book;
        }
        Ok(book) if book.version > 0 => return book,
        Ok(_) => Box::new("it has no version"),
        Err(error) => Box::new(error),
    };
    set_aside(path, &why);
    empty()
}

/// Gives a damaged file another name, so that nothing overwrites it.
fn set_aside(path: &Path, why: &dyn fmt::Display) {
    let aside = path.with_extension("damaged");
    let moved = std::fs::rename(path, &aside);
    let (path, aside) = (path.display(), aside.display());
    match moved {
        Ok(()) => error!(%path, %aside, %why, "categories and tags cannot be read: set aside"),
        Err(error) => error!(%path, %why, %error, "categories and tags cannot be read"),
    }
}

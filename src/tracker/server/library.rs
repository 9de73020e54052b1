//! The catalogue's only owner: a thread, because disks take their time, that takes orders from
//! a bounded queue. Who only wants to look reads the latest catalogue without asking. Not
//! here: HTTP.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::tracker::catalogue::{self, Catalogue, CatalogueLimits, Entry, Verdict};
use crate::tracker::door::{Door, Knock, NonceMint, Shown};
use crate::tracker::proof::{Identity, TokenKey};

use super::shelf::{Shelf, ShelfError};

/// Orders waiting; uploads among them are few, since each needs a permit.
const QUEUE_LEN: usize = 64;

/// A catalogue with its files, ready to be served.
#[derive(Debug)]
pub struct Library {
    shelf: Shelf,
    catalogue: Catalogue,
    identity: Identity,
    token: Option<(String, TokenKey)>,
}

impl Library {
    /// Opens the catalogue that is kept in `dir`, made when missing. Who wants to change it
    /// needs `token`, if there is one. Returns a line for each torrent that is left out
    /// because it is damaged; they are a stranger's text. Blocks to read all torrents.
    ///
    /// # Errors
    /// When the directory cannot be used, is in use, or its index is damaged.
    pub fn open(
        dir: &Path,
        limits: CatalogueLimits,
        token: Option<String>,
    ) -> Result<(Self, Vec<String>), ShelfError> {
        let (shelf, catalogue, damaged) = Shelf::open(dir, limits)?;
        let identity = shelf.identity()?;
        let key = identity.key();
        let token = token.map(|token| {
            let key = TokenKey::new(&token, &key);
            (token, key)
        });
        Ok((Self { shelf, catalogue, identity, token }, damaged))
    }

    /// What a tracker with this catalogue is told apart by, also by those who look for trackers.
    pub fn instance(&self) -> [u8; 8] {
        self.identity.key().instance()
    }

    /// How many torrents there are.
    pub fn len(&self) -> usize {
        self.catalogue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.catalogue.is_empty()
    }
}

/// What a tracker with a catalogue says about itself.
pub(super) struct Introducer {
    pub identity: Identity,
    /// None when everybody may change the catalogue.
    pub token: Option<TokenKey>,
    pub mint: NonceMint,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
    #[error("no torrent has that name")]
    Unknown,
    #[error("the tracker's disk failed: {0}")]
    Disk(#[from] io::Error),
}

/// What is asked of the librarian.
pub(super) enum Order {
    Knock { shown: Shown, address: IpAddr, answer: oneshot::Sender<Knock> },
    Put { entry: Entry, torrent: Vec<u8>, answer: oneshot::Sender<Result<Verdict, OrderError>> },
    Get { name: String, answer: oneshot::Sender<Result<Vec<u8>, OrderError>> },
    Delete { name: String, answer: oneshot::Sender<Result<(), OrderError>> },
}

/// The way to the librarian.
#[derive(Clone)]
pub(super) struct Desk {
    pub orders: mpsc::Sender<Order>,
    /// The catalogue as it is.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// What the tracker says about itself.
    pub introducer: Arc<Introducer>,
}

impl Library {
    /// Starts the thread; it ends when nobody can send orders any more. The receiver tells when
    /// it has let go of the directory.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub(super) fn start(self) -> io::Result<(Desk, oneshot::Receiver<()>)> {
        let (ending, ended) = oneshot::channel();
        let (orders, queue) = mpsc::channel(QUEUE_LEN);
        let (shown, catalogue) = watch::channel(Arc::new(self.catalogue.clone()));
        let mint = NonceMint::new(rand::random(), Instant::now());
        let known = self.token.as_ref();
        let door = Door::new(known.map(|(token, key)| (token.as_str(), key.clone())), mint.clone());
        let token = self.token.map(|(_, key)| key);
        let introducer = Arc::new(Introducer { identity: self.identity, token, mint });
        let librarian = Librarian { shelf: self.shelf, catalogue: self.catalogue, door, shown };
        std::thread::Builder::new().name("catalogue".to_owned()).spawn(move || {
            librarian.work(queue);
            drop(ending);
        })?;
        Ok((Desk { orders, catalogue, introducer }, ended))
    }
}

struct Librarian {
    shelf: Shelf,
    catalogue: Catalogue,
    door: Door,
    shown: watch::Sender<Arc<Catalogue>>,
}

impl Librarian {
    fn work(mut self, mut queue: mpsc::Receiver<Order>) {
        // A client that hung up needs no answer.
        while let Some(order) = queue.blocking_recv() {
            match order {
                Order::Knock { shown, address, answer } => {
                    let _ = answer.send(self.door.knock(&shown, address, Instant::now()));
                }
                Order::Put { entry, torrent, answer } => {
                    let _ = answer.send(self.put(entry, &torrent));
                }
                Order::Get { name, answer } => {
                    let found = self.catalogue.find(&name).ok_or(OrderError::Unknown);
                    let _ = answer.send(found.and_then(|it| Ok(self.shelf.read(&it.info_hash)?)));
                }
                Order::Delete { name, answer } => {
                    let _ = answer.send(self.delete(&name));
                }
            }
        }
    }

    /// The torrent first, then the index: a crash between them leaves a file that nobody names.
    fn put(&mut self, entry: Entry, torrent: &[u8]) -> Result<Verdict, OrderError> {
        if self.catalogue.judge(&entry)? == Verdict::Same {
            return Ok(Verdict::Same);
        }
        let (name, info_hash) = (entry.name.clone(), entry.info_hash);
        self.shelf.write(&info_hash, torrent)?;
        self.catalogue.insert(entry)?;
        if let Err(error) = self.shelf.write_index(&self.catalogue.write_index()) {
            self.catalogue.remove(&name);
            // It is not registered; the file would only take space.
            let _ = self.shelf.remove(&info_hash);
            return Err(error.into());
        }
        info!(%info_hash, "registered");
        self.shown.send_replace(Arc::new(self.catalogue.clone()));
        Ok(Verdict::New)
    }

    fn delete(&mut self, name: &str) -> Result<(), OrderError> {
        let entry = self.catalogue.remove(name).ok_or(OrderError::Unknown)?;
        if let Err(error) = self.shelf.write_index(&self.catalogue.write_index()) {
            self.catalogue.insert((*entry).clone())?;
            return Err(error.into());
        }
        if let Err(error) = self.shelf.remove(&entry.info_hash) {
            warn!(info_hash = %entry.info_hash, %error, "a deleted torrent's file stays");
        }
        info!(info_hash = %entry.info_hash, "deleted");
        self.shown.send_replace(Arc::new(self.catalogue.clone()));
        Ok(())
    }
}

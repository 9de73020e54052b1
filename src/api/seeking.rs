//! Links whose metadata peers have: each is sought until it is found, and becomes a torrent then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::warn;

use crate::metainfo::create::wrap_found;
use crate::metainfo::{Magnet, Torrent};
use crate::session::{Session, TorrentOptions};
use crate::torrent::seeking::{SeekStatus, Seeking};

use super::adding;
use super::answer::{Kind, Refusal, Search};

/// Links that are sought at once.
const SEARCHES_MAX: usize = 256;
/// Orders that wait; whoever gives more waits too.
const ORDERS_LEN: usize = 16;

/// A link that is to become a torrent.
#[derive(Debug)]
struct Wish {
    link: Magnet,
    options: TorrentOptions,
    /// The numbers of the files that are wanted; all when none.
    files: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Order {
    Begin { wish: Box<Wish>, answer: oneshot::Sender<Result<bool, Refusal>> },
    End { hash: String, answer: oneshot::Sender<bool> },
    List(oneshot::Sender<Vec<Search>>),
}

/// Those that are sought; cheap to clone. They end with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Searches {
    orders: mpsc::Sender<Order>,
}

/// One that is sought.
struct Running {
    task: AbortHandle,
    name: String,
    begun: Instant,
    added_at: SystemTime,
    dir: String,
    labels: Vec<String>,
    paused: bool,
    status: watch::Receiver<SeekStatus>,
}

impl Searches {
    /// None yet; what is found goes to this session.
    pub fn start(session: Session) -> Self {
        let (orders, given) = mpsc::channel(ORDERS_LEN);
        tokio::spawn(run(session, given));
        Self { orders }
    }

    /// Seeks the metadata of a link; false when it is sought already.
    ///
    /// # Errors
    /// There are too many, or the link has no hash.
    pub async fn begin(
        &self,
        link: Magnet,
        options: TorrentOptions,
        files: Option<Vec<u32>>,
    ) -> Result<bool, Refusal> {
        let wish = Box::new(Wish { link, options, files });
        let begun = self.ask(|answer| Order::Begin { wish, answer }).await;
        begun.unwrap_or_else(|| Err(Refusal::ended()))
    }

    /// Gives up a search; false when there is none of this hash.
    pub async fn end(&self, hash: &str) -> bool {
        let hash = hash.to_owned();
        self.ask(|answer| Order::End { hash, answer }).await.unwrap_or_default()
    }

    /// Those that are under way, by their hashes.
    pub async fn list(&self) -> Vec<Search> {
        self.ask(Order::List).await.unwrap_or_default()
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// Owns them until every handle is gone.
async fn run(session: Session, mut orders: mpsc::Receiver<Order>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let over = |running: &mut BTreeMap<String, Running>, id: Id| {
        running.retain(|_, search| search.task.id() != id);
    };
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                over(&mut running, ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
        };
        match order {
            None => return,
            Some(Order::End { hash, answer }) => {
                let search = running.remove(&hash);
                search.iter().for_each(|search| search.task.abort());
                let _ = answer.send(search.is_some());
            }
            Some(Order::List(answer)) => {
                let searches = running.iter().map(|(hash, search)| Search {
                    hash: hash.clone(),
                    name: search.name.clone(),
                    peers: search.status.borrow().connected,
                    since_s: search.begun.elapsed().as_secs(),
                    added_at: seconds(search.added_at),
                    dir: search.dir.clone(),
                    labels: search.labels.clone(),
                    paused: search.paused,
                });
                let _ = answer.send(searches.collect());
            }
            Some(Order::Begin { wish, answer }) => {
                let hash = adding::hash_of(&wish.link);
                let begun = match running.contains_key(&hash) {
                    true => Ok(false),
                    false => begin(&session, &mut tasks, *wish).await.map(|search| {
                        running.insert(hash, search);
                        true
                    }),
                };
                let _ = answer.send(begun);
            }
        }
    }
}

async fn begin(session: &Session, tasks: &mut JoinSet<()>, wish: Wish) -> Result<Running, Refusal> {
    if tasks.len() >= SEARCHES_MAX {
        let why = format!("{SEARCHES_MAX} links are sought already: add it when one is found");
        return Err(Refusal::new(Kind::Conflict, why));
    }
    let request = adding::request(&wish.link, &wish.options)?;
    let seeking = session.seek(request).await.map_err(Refusal::from)?;
    let name = wish.link.name.clone().unwrap_or_else(|| adding::hash_of(&wish.link));
    let (begun, status) = (Instant::now(), seeking.status());
    let (dir, labels) = (wish.options.dir.display().to_string(), wish.options.labels.clone());
    let paused = wish.options.paused;
    let task = tasks.spawn(finish(session.clone(), seeking, wish));
    Ok(Running { task, name, begun, added_at: SystemTime::now(), dir, labels, paused, status })
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Waits until the metadata is found, and adds the torrent.
async fn finish(session: Session, seeking: Seeking, wish: Wish) {
    let Wish { link, options, files } = wish;
    let sought = match seeking.found().await {
        Ok(sought) => sought,
        Err(error) => return warn!(%error, "the metadata of a link is not found"),
    };
    let trackers: Vec<Vec<String>> = link.trackers.iter().map(|url| vec![url.clone()]).collect();
    let bytes = wrap_found(sought.torrent.raw_info(), &trackers, &link.web_seeds);
    let torrent = match Torrent::parse(&bytes) {
        Ok(torrent) => torrent,
        Err(error) => return warn!(%error, "the metadata of a link is of no torrent"),
    };
    let options =
        match adding::choose(options.file(Arc::<[u8]>::from(bytes)), files.as_deref(), &torrent) {
            Ok(options) => options,
            Err(error) => return warn!(%error, "the files of a link are not there"),
        };
    if let Err(error) = session.add_among(Arc::new(torrent), options, sought.contacts).await {
        warn!(%error, "the torrent of a link is not added");
    }
}

//! Searches for the metadata of links that the session lists: whose turn it is, which are under
//! way, and what they find. Not here: what becomes of the links ([`seeks`](super::seeks)).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::base::ids::TorrentId;
use crate::metainfo::create::wrap_found;
use crate::metainfo::{Magnet, Torrent};
use crate::roster::Row;
use crate::roster::policy::{Input, Output, Policy};
use crate::torrent::seeking::{Contacts, SeekDesk, Seeking, Sought};

use super::error::Error;
use super::persist::Chosen;
use super::rounds::Rounds;

/// Links that are sought at once.
const SEARCHES_MAX: usize = 256;
/// How often it is looked to how many peers searches are connected.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where it is told what number a link has.
pub(super) type LinkAnswer = oneshot::Sender<Result<TorrentId, Error>>;

/// Searches for the metadata of links.
#[derive(Debug)]
pub(super) struct Links {
    /// Whose turn it is.
    policy: Policy,
    /// Whose it was.
    rounds: Rounds,
    running: BTreeMap<TorrentId, Running>,
    ending: JoinSet<(TorrentId, Result<Found, String>)>,
    look_at: Instant,
}

/// A search.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    desk: SeekDesk,
    begun: Instant,
}

/// What a search has found: the torrent, the bytes of its file, and whom it has met.
#[derive(Debug)]
pub(super) struct Found {
    pub torrent: Arc<Torrent>,
    pub file: Arc<[u8]>,
    pub contacts: Option<Box<Contacts>>,
}

/// What is to be kept of a torrent that a link has become.
pub(super) struct Arrival {
    /// The bytes of its `.torrent`, where they are to be.
    pub file: Option<Arc<[u8]>>,
    /// Which of its files are wanted, where that was said.
    pub wanted: Option<Vec<bool>>,
    /// What was kept of it beside its record, and is of no use then.
    pub imported: Option<(PathBuf, Vec<Chosen>)>,
}

/// What happens by itself.
pub(super) enum Heard {
    /// The search that this task followed has ended, and what it found for which link.
    Ended(Id, TorrentId, Result<Found, String>),
    /// Nobody follows this search any more; whether that was an accident.
    Over(Id, bool),
    /// Some time has passed.
    Time,
}

impl Links {
    /// None yet.
    pub fn new() -> Self {
        Self {
            policy: Policy::new(SEARCHES_MAX),
            rounds: Rounds::default(),
            running: BTreeMap::new(),
            ending: JoinSet::new(),
            look_at: Instant::now(),
        }
    }

    /// Waits for what happens. Dropped, it loses nothing.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            Some(ended) = self.ending.join_next_with_id() => match ended {
                Ok((task, (id, found))) => Heard::Ended(task, id, found),
                Err(error) => Heard::Over(error.id(), error.is_panic()),
            },
            () = sleep_until(self.look_at), if self.is_watched() => {
                self.look_at = Instant::now() + LOOK_EVERY;
                Heard::Time
            }
            // Then nothing does.
            () = std::future::pending() => Heard::Time,
        }
    }

    fn is_watched(&self) -> bool {
        !self.running.is_empty() || self.rounds.has_resting()
    }

    /// Ends the searches whose turn is over while other links wait, and says which those are. When
    /// all have had a turn, they may have another one.
    pub fn take_turns(&mut self) -> Vec<TorrentId> {
        let sought = self.running.iter();
        let sought = sought.map(|(id, it)| (*id, it.begun, it.desk.connected() > 0));
        let over = self.rounds.over(sought, Instant::now());
        for id in &over {
            self.end(*id);
            self.rounds.rest(*id);
        }
        for row in self.rounds.next_round() {
            self.judge(row);
        }
        over
    }

    /// A link is listed like this from now on.
    pub fn judge(&mut self, row: Row) {
        let row = self.rounds.on_row(row);
        self.policy.handle(Input::Row(row), std::time::Instant::now());
    }

    /// Where the search for a link takes orders, if it is sought.
    pub fn desk(&self, id: TorrentId) -> Option<&SeekDesk> {
        self.running.get(&id).map(|running| &running.desk)
    }

    /// A link whose turn it is.
    pub fn due(&mut self) -> Option<TorrentId> {
        let (Output::Start(id) | Output::Finish(id)) = self.policy.poll_output()?;
        Some(id)
    }

    /// What a search finds belongs to this link from now on.
    pub fn begin(&mut self, id: TorrentId, seeking: Seeking, link: Magnet) {
        let desk = seeking.desk();
        let task = self.ending.spawn(async move { (id, find(seeking, link).await) });
        self.running.insert(id, Running { task, desk, begun: Instant::now() });
    }

    /// Is this the task of the search for a link that is under way?
    pub fn is_current(&self, id: TorrentId, task: Id) -> bool {
        self.running.get(&id).is_some_and(|running| running.task.id() == task)
    }

    /// The link whose search this task follows.
    pub fn of(&self, task: Id) -> Option<TorrentId> {
        self.running.iter().find(|(_, it)| it.task.id() == task).map(|(id, _)| *id)
    }

    /// Those that are sought.
    pub fn ids(&self) -> Vec<TorrentId> {
        self.running.keys().copied().collect()
    }

    /// A link is not to be sought now. The search ends with its handle.
    pub fn end(&mut self, id: TorrentId) {
        if let Some(running) = self.running.remove(&id) {
            running.task.abort();
        }
    }

    /// It is no link any more.
    pub fn forget(&mut self, id: TorrentId) {
        self.end(id);
        self.rounds.forget(id);
        self.policy.handle(Input::Removed(id), std::time::Instant::now());
    }

    /// Ends all searches.
    pub fn take(&mut self) -> impl Iterator<Item = SeekDesk> + use<> {
        std::mem::take(&mut self.running).into_values().map(|running| running.desk)
    }
}

/// Waits for what a search finds, with what its link says beside.
async fn find(seeking: Seeking, link: Magnet) -> Result<Found, String> {
    let Sought { torrent, contacts } = seeking.found().await.map_err(|error| error.to_string())?;
    // Millions of files take their time.
    let read = spawn_blocking(move || {
        let trackers: Vec<_> = link.trackers.into_iter().map(|url| vec![url]).collect();
        // Nobody but its own file names who may see a private one (BEP 27).
        let web_seeds = if torrent.private { Vec::new() } else { link.web_seeds };
        let file: Arc<[u8]> = wrap_found(torrent.raw_info(), &trackers, &web_seeds).into();
        Torrent::parse(&file).map(|torrent| (Arc::new(torrent), file))
    });
    let why = match read.await {
        Ok(Ok((torrent, file))) => {
            return Ok(Found { torrent, file, contacts: contacts.map(Box::new) });
        }
        Ok(Err(error)) => error.to_string(),
        // It panicked.
        Err(_) => "its metadata cannot be read".to_owned(),
    };
    if let Some(contacts) = contacts {
        contacts.leave().await;
    }
    Err(why)
}

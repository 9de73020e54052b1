//! Who reads lists at the start, and again when they have changed: a file when it looks different
//! and has come to rest, a URL once a day. All of it aside of those who ask the list. What fails
//! then leaves the old list where it is, and is told. A URL of which nothing was kept is waited for
//! while nothing may leave: until its list is there, everybody is blocked.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tracing::{info, warn};

use super::blocked::Blocklist;
use super::error::Error;
use super::fetch::{Failure, Fetched, fetch};
use super::kept::{self, Kept};
use super::parse::{Flaw, List};
use super::source::Source;
use crate::net::egress::{Egress, Purpose};

/// A list that is not there is asked for again so long after, at first; ever later.
const AWAITED_AGAIN: Duration = Duration::from_secs(15);

/// Which lists there are to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lists {
    /// Where they come from.
    pub sources: Vec<Source>,
    /// Also such as block more than half of all addresses.
    pub is_forced: bool,
    /// How often they are looked at.
    pub pace: Pace,
}

/// How often lists are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Files.
    pub look: Duration,
    /// URLs.
    pub fetch: Duration,
    /// URLs of which nothing came.
    pub again: Duration,
}

impl Default for Pace {
    /// Lists change once a day, as a rule, and whoever edits a file waits for it.
    fn default() -> Self {
        Self {
            look: Duration::from_secs(2),
            fetch: Duration::from_secs(24 * 3600),
            again: Duration::from_secs(30 * 60),
        }
    }
}

/// Looks after lists, until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    _tasks: JoinSet<()>,
}

/// Reads all lists, for the blocklist of this egress, by which they are fetched, too, and looks
/// after them from then on. What is fetched is kept in `state_dir`, if there is one. Must run
/// inside the runtime.
///
/// # Errors
/// When one of them cannot be read, and none of its URL was kept, though it may be asked now.
pub async fn start(
    lists: Lists,
    egress: &Egress,
    state_dir: Option<&Path>,
) -> Result<Keeper, Error> {
    let Lists { sources, is_forced, pace } = lists;
    if sources.is_empty() {
        return Ok(Keeper { _tasks: JoinSet::new() });
    }
    let mut lists = Vec::new();
    let mut watches = Vec::new();
    for source in &sources {
        let (list, watched) = match source {
            Source::File(path) => {
                let path = path.clone();
                let (seen, list) = read_file(path.clone(), is_forced).await;
                let flawed = |flaw| Error::Flawed { list: source.to_string(), flaw };
                (Ok(list.map_err(flawed)?), Watched::File { path, seen })
            }
            Source::Url { url, .. } => {
                let first = first(egress, source, url, state_dir, is_forced).await;
                // Whoever has no way out may have one later.
                match (first, egress.held(Purpose::WebSeed)) {
                    (Ok(Kept { list, modified, asked }), _) => (
                        Ok(list),
                        Watched::Url { url: url.clone(), since: Some((modified, asked)) },
                    ),
                    (Err(Error::NotFetched { .. }), Some(why)) => {
                        (Err(awaited(source, &why)), Watched::Url { url: url.clone(), since: None })
                    }
                    (Err(error), _) => return Err(error),
                }
            }
        };
        match &list {
            Ok(list) => {
                let (ranges, bad) = (list.table.count(), list.bad);
                info!(list = %source, ranges, bad, "blocklist");
            }
            Err(words) => warn!("{words}"),
        }
        lists.push((source.to_string(), list));
        watches.push(watched);
    }
    let blocklist = egress.blocklist().clone();
    blocklist.begin(lists);
    let mut tasks = JoinSet::new();
    for (at, (watched, source)) in watches.into_iter().zip(sources).enumerate() {
        let place = Place { blocklist: blocklist.clone(), at, source, is_forced };
        let (egress, state_dir) = (egress.clone(), state_dir.map(Path::to_owned));
        tasks.spawn(async move {
            match watched {
                Watched::File { path, seen } => place.watch(path, seen, pace).await,
                Watched::Url { url, since } => {
                    let since = match since {
                        Some(since) => since,
                        None => place.await_first(&egress, &url, state_dir.as_deref(), pace).await,
                    };
                    place.refetch(&egress, &url, state_dir, since, pace).await;
                }
            }
        });
    }
    Ok(Keeper { _tasks: tasks })
}

/// What is told of a list that is not there.
fn awaited(source: &Source, why: impl std::fmt::Display) -> String {
    format!("blocklist {source}: {why}; nobody is connected to before it is there")
}

/// What a server called a list's date, and when it was asked.
type Since = (Option<String>, SystemTime);

/// A list that is looked at.
enum Watched {
    File {
        path: PathBuf,
        seen: Option<Stamp>,
    },
    /// With no `since` there is no list of it yet.
    Url {
        url: String,
        since: Option<Since>,
    },
}

/// A URL's list at the start: what was kept, or else what comes.
async fn first(
    egress: &Egress,
    source: &Source,
    url: &str,
    state_dir: Option<&Path>,
    is_forced: bool,
) -> Result<Kept, Error> {
    let (dir, of) = (state_dir.map(Path::to_owned), url.to_owned());
    let kept = spawn_blocking(move || kept::load(&dir?, &of)).await.ok().flatten();
    // Whoever forced it then may not do so now.
    if let Some(kept) = kept.filter(|kept| is_forced || !kept.list.table.is_broad()) {
        return Ok(kept);
    }
    info!(list = %source, "fetching a blocklist");
    let list = || source.to_string();
    match fetch(egress, url, None, is_forced).await {
        Ok(Fetched::New(list, modified)) => {
            keep(state_dir, url, list.clone(), modified.clone()).await;
            Ok(Kept { list, modified, asked: SystemTime::now() })
        }
        Ok(Fetched::Same) => {
            let why = "the server has nothing new for somebody who has nothing".to_owned();
            Err(Error::NotFetched { list: list(), why })
        }
        Err(Failure::Network(why)) => Err(Error::NotFetched { list: list(), why }),
        Err(Failure::Flaw(flaw)) => Err(Error::Flawed { list: list(), flaw }),
    }
}

async fn keep(state_dir: Option<&Path>, url: &str, list: List, modified: Option<String>) {
    let Some(dir) = state_dir.map(Path::to_owned) else { return };
    let url = url.to_owned();
    let kept = spawn_blocking(move || kept::store(&dir, &url, &list, modified.as_deref())).await;
    // A panic is told by the runtime.
    if let Ok(Err(error)) = kept {
        warn!(%error, "a blocklist that was fetched cannot be kept for the next start");
    }
}

/// How a file looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(file: Metadata) -> Self {
        let changed = (file.mtime(), file.mtime_nsec());
        Self { device: file.dev(), inode: file.ino(), len: file.len(), changed }
    }
}

/// How a file looks; none when it is not there, or is none.
async fn look(path: PathBuf) -> Option<Stamp> {
    let look = move || std::fs::metadata(path).ok().filter(Metadata::is_file).map(Stamp::from);
    spawn_blocking(look).await.ok().flatten()
}

/// A file's list, and how it looked before.
async fn read_file(path: PathBuf, is_forced: bool) -> (Option<Stamp>, Result<List, Flaw>) {
    let seen = look(path.clone()).await;
    let read = move || List::read(open(&path)?, is_forced);
    let list = spawn_blocking(read).await;
    let panicked = |cause| Err(Flaw::Unreadable(std::io::Error::other(cause)));
    (seen, list.unwrap_or_else(panicked))
}

/// Opens a regular file. Whoever opens a pipe the usual way waits until somebody writes to it.
fn open(path: &Path) -> Result<File, Flaw> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Flaw::NoFile) }
}

/// A list's place in the blocklist.
struct Place {
    blocklist: Blocklist,
    at: usize,
    source: Source,
    is_forced: bool,
}

impl Place {
    fn set(&self, list: List) {
        let (ranges, bad) = (list.table.count(), list.bad);
        info!(list = %self.source, ranges, bad, "blocklist has changed");
        self.blocklist.replace(self.at, list);
    }

    fn keep_old(&self, why: impl std::fmt::Display) {
        let words = format!("blocklist {}: {why}; the list as it was stays in force", self.source);
        warn!("{words}");
        self.blocklist.tell(self.at, Some(words));
    }

    /// Reads a file again when it has changed.
    async fn watch(self, path: PathBuf, mut seen: Option<Stamp>, pace: Pace) {
        let mut last = seen;
        loop {
            sleep(pace.look).await;
            let stamp = look(path.clone()).await;
            // Whoever writes it may not have done so to the end.
            let rests = stamp == last;
            last = stamp;
            if !rests || stamp == seen {
                continue;
            }
            let (before, list) = read_file(path.clone(), self.is_forced).await;
            if before != stamp || look(path.clone()).await != stamp {
                continue;
            }
            seen = stamp;
            match list {
                Ok(list) => self.set(list),
                Err(flaw) => self.keep_old(flaw),
            }
        }
    }

    /// Fetches a list that was not there at the start, as soon as anything may leave.
    async fn await_first(
        &self,
        egress: &Egress,
        url: &str,
        state_dir: Option<&Path>,
        pace: Pace,
    ) -> Since {
        let mut wait = AWAITED_AGAIN.min(pace.again);
        loop {
            egress.open(Purpose::WebSeed).await;
            match first(egress, &self.source, url, state_dir, self.is_forced).await {
                Ok(Kept { list, modified, asked }) => {
                    self.set(list);
                    return (modified, asked);
                }
                Err(error) => {
                    let why = match error {
                        Error::Flawed { flaw, .. } => flaw.to_string(),
                        Error::NotFetched { why, .. } => why,
                        Error::Url => error.to_string(),
                    };
                    let words = awaited(&self.source, why);
                    warn!("{words}");
                    self.blocklist.tell(self.at, Some(words));
                    sleep(wait).await;
                    wait = (wait * 2).min(pace.again);
                }
            }
        }
    }

    /// Asks a URL again and again.
    async fn refetch(
        self,
        egress: &Egress,
        url: &str,
        state_dir: Option<PathBuf>,
        (mut modified, asked): Since,
        pace: Pace,
    ) {
        // A clock that was set back says nothing.
        let age = asked.elapsed().unwrap_or(pace.fetch);
        let mut wait = pace.fetch.saturating_sub(age);
        loop {
            sleep(wait).await;
            wait = pace.fetch;
            match fetch(egress, url, modified.as_deref(), self.is_forced).await {
                Ok(Fetched::Same) => {
                    let (dir, url) = (state_dir.clone(), url.to_owned());
                    // One that is gone is fetched at the next start.
                    let _ = spawn_blocking(move || dir.map(|dir| kept::touch(&dir, &url))).await;
                    self.blocklist.tell(self.at, None);
                }
                // A web page may stand there for a while, and have an address or two in it.
                Ok(Fetched::New(list, _))
                    if list.bad > list.table.count() as u64 && !self.is_forced =>
                {
                    wait = pace.again;
                    let (bad, good) = (list.bad, list.table.count());
                    self.keep_old(format!("{bad} of its lines cannot be read, {good} can"));
                }
                Ok(Fetched::New(list, date)) => {
                    modified.clone_from(&date);
                    self.set(list.clone());
                    keep(state_dir.as_deref(), url, list, date).await;
                }
                Err(failure) => {
                    wait = pace.again;
                    match failure {
                        Failure::Network(why) => self.keep_old(why),
                        Failure::Flaw(flaw) => self.keep_old(flaw),
                    }
                }
            }
        }
    }
}

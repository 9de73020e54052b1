//! Watches a folder: looks when the bell rings or something is due, reads what is ready, has it
//! added, and does with the file what its user wants. What is ready is decided in `ready`.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tracing::{info, warn};

use super::bell::Bell;
use super::folder::{FILES_MAX, Folder, Kind, Listing, Unread};
use super::memory::{Memory, path_of};
use super::ready::{Fate, Look, Pace, Ready, Rung, Verdict};
use crate::api::{
    Added, Addition, Answer, Api, Kind as RefusalKind, Refusal, Request, WatchStanding,
};
use crate::errands::plan::{After, Watch};
use crate::metainfo::{Magnet, Torrent};

/// Between two looks, whatever rings.
const BREATH: Duration = Duration::from_millis(250);
/// A folder that is not there, or has no bell, is looked at so often.
const NOW_AND_THEN: Duration = Duration::from_secs(10);
/// One with a bell: not every file system rings for what others do to it.
const SELDOM: Duration = Duration::from_secs(60);
/// Links in one file.
const LINKS_MAX: usize = 1000;

/// How a folder is watched.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// Which, and what becomes of what is in it.
    pub watch: Watch,
    /// Who adds.
    pub api: Api,
    /// Directory of what is remembered.
    pub home: PathBuf,
    /// How long files are waited for.
    pub pace: Pace,
}

/// Watches it until it is aborted, and tells how it stands.
pub async fn watch(config: WatchConfig, standing: watch::Sender<WatchStanding>) {
    let path = path_of(&config.home, &config.watch.dir);
    let from = path.clone();
    let memory = spawn_blocking(move || Memory::at(&from)).await.unwrap_or_default();
    let ready = Ready::new(config.pace, memory.files.clone());
    Keeper { config, standing, ready, memory, path, told_more: false }.run().await;
}

/// Why a file's torrents are not there.
struct Failure {
    verdict: Verdict,
    why: String,
}

impl Failure {
    fn wrong(why: impl ToString) -> Self {
        Self { verdict: Verdict::Wrong, why: why.to_string() }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let verdict = match refusal.code {
            // As when the files of one that was removed are still going.
            RefusalKind::Conflict | RefusalKind::Failed | RefusalKind::Ended => Verdict::Later,
            _ => Verdict::Wrong,
        };
        Self { verdict, why: refusal.error }
    }
}

struct Keeper {
    config: WatchConfig,
    standing: watch::Sender<WatchStanding>,
    ready: Ready,
    /// As it was written last.
    memory: Memory,
    path: PathBuf,
    told_more: bool,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let dir = self.config.watch.dir.clone();
            let opened = spawn_blocking(move || {
                let folder = Folder::open(&dir)?;
                let identity = folder.identity()?;
                Ok::<_, io::Error>((folder, identity, Bell::hang(&dir)))
            });
            match opened.await {
                Ok(Ok((folder, identity, bell))) => {
                    let bell = bell.inspect_err(|error| {
                        let dir = &self.config.watch.dir;
                        warn!(?dir, %error, "the watched folder is looked at every 10 s");
                    });
                    self.keep(Arc::new(folder), identity, bell.ok()).await;
                }
                Ok(Err(error)) => self.trouble(Some(format!("it cannot be opened: {error}"))),
                // A panic is told by the runtime.
                Err(_) => self.trouble(Some("it could not be looked at".to_owned())),
            }
            sleep(NOW_AND_THEN.min(self.config.pace.rest)).await;
        }
    }

    /// Keeps a folder until it is gone.
    async fn keep(&mut self, folder: Arc<Folder>, identity: (u64, u64), mut bell: Option<Bell>) {
        loop {
            let (there, dir) = (folder.clone(), self.config.watch.dir.clone());
            let look = move || there.is_at(&dir).then(|| there.list());
            let listing = match spawn_blocking(look).await {
                Ok(Some(Ok(listing))) => listing,
                Ok(Some(Err(error))) => {
                    return self.trouble(Some(format!("it cannot be read: {error}")));
                }
                Ok(None) => return self.trouble(Some("it is gone".to_owned())),
                Err(_) => return self.trouble(Some("it could not be listed".to_owned())),
            };
            self.on_listing(&listing, identity);
            let may_add = self.may_add().await;
            if may_add {
                self.read_due(&folder).await;
            }
            self.remember(identity).await;
            let waiting = self.ready.waiting() as u64;
            self.standing
                .send_if_modified(|it| std::mem::replace(&mut it.waiting, waiting) != waiting);
            match may_add {
                true => self.wait(&mut bell).await,
                // What is due stays so.
                false => sleep(NOW_AND_THEN.min(self.config.pace.rest)).await,
            }
        }
    }

    fn on_listing(&mut self, listing: &Listing, identity: (u64, u64)) {
        let Memory { folder, files } = &self.memory;
        let is_known = |(name, look): &_| files.get(name) == Some(look);
        // Where something else was mounted, what was there is not gone.
        let is_elsewhere = *folder != identity && !listing.files.iter().any(is_known);
        self.ready.on_look(&listing.files, is_elsewhere, Instant::now());
        if listing.are_more && !self.told_more {
            let dir = &self.config.watch.dir;
            warn!(?dir, "more than {FILES_MAX} files: the others wait until some are gone");
        }
        self.told_more = listing.are_more;
    }

    /// Can anything be added at all? A directory that may not be written to is not the files'
    /// fault.
    async fn may_add(&mut self) -> bool {
        let refused = match &self.config.watch.adding.into {
            Some(into) => {
                let room = Request::Room(into.to_string_lossy().into_owned());
                self.config.api.answer(room).await.err()
            }
            None => None,
        };
        let may = refused.is_none();
        self.trouble(refused.map(|refusal| format!("nothing is added: {refusal}")));
        may
    }

    async fn read_due(&mut self, folder: &Arc<Folder>) {
        for (name, look) in self.ready.due(Instant::now()) {
            let Some(kind) = Kind::of(&name) else { continue };
            let (there, called) = (folder.clone(), name.clone());
            let read = spawn_blocking(move || there.read(&called, kind, look)).await;
            let added = match read {
                Ok(Ok(bytes)) => self.add(kind, bytes).await,
                // The next look sees the other one.
                Ok(Err(Unread::Changed)) => continue,
                Ok(Err(Unread::TooLong(max))) => Err(Failure::wrong(format!(
                    "it is longer than {} MiB, and no file of its kind",
                    max >> 20
                ))),
                Ok(Err(Unread::Failed(error))) => {
                    Err(Failure::wrong(format!("it cannot be read: {error}")))
                }
                Err(error) => Err(Failure::wrong(format!("it cannot be read: {error}"))),
            };
            self.on_added(folder, &name, look, added).await;
        }
    }

    async fn on_added(
        &mut self,
        folder: &Arc<Folder>,
        name: &OsStr,
        look: Look,
        added: Result<Vec<Added>, Failure>,
    ) {
        let verdict = added.as_ref().map_or_else(|failure| failure.verdict, |_| Verdict::Done);
        let fate = self.ready.on_read(name, look, verdict, Instant::now());
        let dir = &self.config.watch.dir;
        let (there, called) = (folder.clone(), name.to_owned());
        match added {
            Ok(added) => {
                for it in &added {
                    info!(?dir, file = ?name, id = it.id, torrent = ?it.name, it.was_there, "added");
                }
                if self.config.watch.after == After::Delete {
                    self.taken_away(name, spawn_blocking(move || there.remove(&called, look)))
                        .await;
                }
                let known = added.iter().filter(|it| it.was_there).count() as u64;
                self.standing.send_modify(|it| {
                    it.known += known;
                    it.added += added.len() as u64 - known;
                });
            }
            Err(Failure { why, .. }) if fate == Fate::GivenUp => {
                warn!(?dir, file = ?name, why = ?why, "refused");
                let last = format!("{}: {why}", name.to_string_lossy());
                self.taken_away(name, spawn_blocking(move || there.refuse(&called, &why))).await;
                self.standing.send_modify(|it| {
                    it.refused += 1;
                    it.last_refusal = Some(last);
                });
            }
            Err(Failure { why, verdict: Verdict::Later }) => {
                warn!(?dir, file = ?name, why = ?why, "not added; tried again");
            }
            Err(_) => {}
        }
    }

    async fn taken_away(&self, name: &OsStr, taken: JoinHandle<io::Result<()>>) {
        if let Ok(Err(error)) = taken.await {
            let dir = &self.config.watch.dir;
            warn!(?dir, file = ?name, %error, "the file cannot be taken away, and stays");
        }
    }

    async fn add(&self, kind: Kind, bytes: Vec<u8>) -> Result<Vec<Added>, Failure> {
        match kind {
            Kind::Torrent => {
                let judged = spawn_blocking(move || Torrent::parse(&bytes).map(|_| bytes)).await;
                let bytes = judged.map_err(Failure::wrong)?.map_err(Failure::wrong)?;
                let torrent = Some(BASE64.encode(&bytes));
                let added = self.ask(Addition { torrent, ..Addition::default() }).await?;
                Ok(vec![added])
            }
            Kind::Links => {
                let mut added = Vec::new();
                for link in links(&bytes).map_err(Failure::wrong)? {
                    let link = Some(link);
                    added.push(self.ask(Addition { link, ..Addition::default() }).await?);
                }
                Ok(added)
            }
        }
    }

    async fn ask(&self, addition: Addition) -> Result<Added, Failure> {
        let addition = self.config.watch.adding.dress(addition);
        match self.config.api.answer(Request::Add(Box::new(addition))).await? {
            Answer::Added(added) => Ok(added),
            _ => Err(Failure::wrong("the session answers otherwise")),
        }
    }

    /// Writes down what was added, when that is another than before.
    async fn remember(&mut self, identity: (u64, u64)) {
        let files = self.ready.remembered();
        if *files == self.memory.files {
            return;
        }
        let memory = Memory { folder: identity, files: files.clone() };
        let (written, path) = (memory.clone(), self.path.clone());
        match spawn_blocking(move || written.write(&path)).await {
            Ok(Ok(())) => self.memory = memory,
            Ok(Err(error)) => {
                let dir = &self.config.watch.dir;
                warn!(?dir, %error, "which files were added cannot be kept");
            }
            Err(_) => {}
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, bell: &mut Option<Bell>) {
        sleep(BREATH).await;
        let often = if bell.is_some() { SELDOM } else { NOW_AND_THEN };
        let due = self.ready.next_timeout();
        let longest = Instant::now() + often;
        let until = tokio::time::sleep_until(due.map_or(longest, |due| due.min(longest)).into());
        let rung = match bell {
            Some(bell) => tokio::select! {
                rung = bell.rung() => rung,
                () = until => return,
            },
            None => return until.await,
        };
        let now = Instant::now();
        match rung {
            Ok(rung) => rung.into_iter().for_each(|rung| match rung {
                Rung::Written(name) if Kind::of(&name).is_some() => {
                    self.ready.on_written(&name, now);
                }
                Rung::Closed(name) => self.ready.on_closed(&name, now),
                _ => {}
            }),
            Err(error) => {
                let dir = &self.config.watch.dir;
                warn!(?dir, %error, "the watched folder is looked at every 10 s");
                *bell = None;
            }
        }
    }

    /// Tells what is wrong with the folder, once.
    fn trouble(&self, trouble: Option<String>) {
        let is_new = self.standing.send_if_modified(|it| {
            let is_new = it.trouble != trouble;
            it.trouble.clone_from(&trouble);
            is_new
        });
        let dir = &self.config.watch.dir;
        match trouble {
            Some(why) if is_new => warn!(?dir, why = ?why, "the watched folder: tried again"),
            None if is_new => info!(?dir, "the watched folder is well again"),
            _ => {}
        }
    }
}

/// The links of a file, one a line; lines may be empty, or a remark behind `#`.
fn links(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let mut links = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if Magnet::from_hash(line).is_none() {
            Magnet::parse(line).map_err(|error| format!("line {}: {error}", at + 1))?;
        }
        if links.len() == LINKS_MAX {
            return Err(format!("it has more than {LINKS_MAX} links"));
        }
        links.push(line.to_owned());
    }
    match links.is_empty() {
        true => Err("it has no link".to_owned()),
        false => Ok(links),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_one_a_line() {
        let hash = "ab".repeat(20);
        let link = format!("magnet:?xt=urn:btih:{hash}");
        let text = format!("\u{feff}# mine\r\n\r\n  {link}\r\n{hash}\n");
        assert_eq!(links(text.as_bytes()), Ok(vec![link.clone(), hash]));
        for (bad, why) in [("", "it has no link"), ("# x\n", "it has no link")] {
            assert_eq!(links(bad.as_bytes()).unwrap_err(), why);
        }
        let wrong = links(format!("{link}\nhttp://x/").as_bytes()).unwrap_err();
        assert!(wrong.starts_with("line 2: "), "{wrong}");
        assert_eq!(links(b"\xff").unwrap_err(), "it is no text");
        let many = format!("{link}\n").repeat(LINKS_MAX + 1);
        assert_eq!(links(many.as_bytes()).unwrap_err(), "it has more than 1000 links");
    }
}

//! Who makes torrents of what lies on this machine: two at a time, below what may be written to,
//! and nothing is written there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::disk::create::{Created, Progress, create};
use crate::disk::turn;
use crate::metainfo::create::CreateOptions;
use crate::metainfo::{Kind as Version, TORRENT_LEN_MAX};

use super::answer::{Done, Kind, Refusal};
use super::creation::{Creation, Format, Making, TorrentFile};
use super::desk::Api;
use super::makings::{Entry, Job, MAKINGS_MAX, Made};
use super::request::Addition;
use super::roots::Roots;

/// For the buffers of those who hash: four threads, so that others have a core, too.
const BUFFERS_LEN: usize = 4 << 20;
/// What was left out is named up to here.
const SKIPPED_NAMED: usize = 3;

/// Ends the work on a torrent that nobody waits for any more.
struct Ends(Arc<Job>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.stop.set();
    }
}

impl Api {
    /// How far all are.
    pub(super) fn makings(&self) -> Vec<Making> {
        self.makings.book.borrow().iter().map(Entry::told).collect()
    }

    /// Begins to make one.
    ///
    /// # Errors
    /// It may not be made of that, or as many are made as may be at once.
    pub(super) async fn create(&self, creation: Creation) -> Result<Making, Refusal> {
        let (roots, asked) = (self.roots().clone(), creation.clone());
        let looked = spawn_blocking(move || admit(&roots, &asked)).await;
        let looked = looked.unwrap_or_else(|_| Err("the disk does not answer".to_owned()));
        let path = looked.map_err(Refusal::invalid)?;
        let place = self.makings.places.clone().try_acquire_owned().map_err(|_| {
            let why = format!("{MAKINGS_MAX} torrents are being made: again when one is there");
            Refusal::new(Kind::Conflict, why)
        })?;
        let job = self.makings.begin(creation, path);
        let (api, ends) = (self.clone(), Ends(job.clone()));
        tokio::spawn(async move {
            let end = api.make(&ends.0, place).await;
            api.makings.end(ends.0.number, end);
        });
        Ok(Entry { job, end: None }.told())
    }

    /// Gives one up, or forgets that it was made.
    ///
    /// # Errors
    /// There is none of this number.
    pub(super) fn give_up(&self, number: u32) -> Result<Done, Refusal> {
        let mut found = None;
        self.makings.book.send_modify(|book| {
            let at = book.iter().position(|entry| entry.job.number == number);
            found = at.map(|at| book.remove(at));
        });
        found.ok_or_else(|| no_making(number))?.job.stop.set();
        Ok(Done::default())
    }

    /// One that was made.
    ///
    /// # Errors
    /// There is none of this number, or it is not made.
    pub(super) fn made(&self, number: u32) -> Result<TorrentFile, Refusal> {
        let book = self.makings.book.borrow();
        let entry = book.iter().find(|entry| entry.job.number == number);
        match &entry.ok_or_else(|| no_making(number))?.end {
            Some(Ok(made)) => Ok(made.file.clone()),
            Some(Err(why)) => Err(Refusal::new(Kind::Conflict, why)),
            None => Err(Refusal::new(Kind::Conflict, "it is not made yet")),
        }
    }

    async fn make(&self, job: &Arc<Job>, place: OwnedSemaphorePermit) -> Result<Made, String> {
        let (roots, state_dir) = (self.roots().clone(), self.session().state_dir());
        let own = job.clone();
        let work = spawn_blocking(move || {
            let _place = place;
            own.hash(&roots, &state_dir)
        });
        let created = work.await.unwrap_or_else(|error| Err(error.to_string()))?;
        let torrent = &created.torrent;
        let hash = torrent.info_hash_v1.map(|hash| HEXLOWER.encode(&hash.0));
        let mut made = Made {
            file: TorrentFile {
                name: format!("{}.torrent", torrent.name),
                bytes: created.bytes.as_slice().into(),
            },
            name: torrent.name.clone(),
            hash: hash.unwrap_or_default(),
            magnet: torrent.magnet(),
            torrent: None,
            note: left_out(&created),
        };
        if job.creation.seed && !job.stop.is_set() {
            match self.seed(job, &made.file.bytes).await {
                Ok(id) => made.torrent = id,
                // It is made all the same.
                Err(why) => made.note = Some(format!("it is not seeded: {why}")),
            }
        }
        Ok(made)
    }

    /// Adds one that was made; its number.
    async fn seed(&self, job: &Job, bytes: &[u8]) -> Result<Option<u32>, Refusal> {
        let dir = job.path.parent().and_then(Path::to_str);
        let addition = Addition {
            torrent: Some(BASE64.encode(bytes)),
            dir: Some(dir.ok_or_else(|| Refusal::invalid("its directory is not in UTF-8"))?.into()),
            labels: job.creation.labels.clone(),
            ..Addition::default()
        };
        Ok(self.add(addition).await?.id)
    }
}

impl Job {
    /// Reads everything, in its turn. Blocks.
    fn hash(&self, roots: &Roots, state_dir: &Path) -> Result<Created, String> {
        let on_wait = || self.is_waiting.store(true, Ordering::Relaxed);
        let place = turn::Place::default();
        let _turn = turn::wait(state_dir, &self.path, &place, on_wait, &self.stop);
        self.is_waiting.store(false, Ordering::Relaxed);
        let on_progress = |progress: Progress| {
            self.total_bytes.store(progress.total_bytes, Ordering::Relaxed);
            self.done_bytes.fetch_max(progress.done_bytes, Ordering::Relaxed);
        };
        // Somebody may have made another place of it meanwhile, here and while it is read.
        self.is_where_it_was(roots)?;
        let options = options(&self.creation);
        let created = create(&self.path, &options, BUFFERS_LEN, &on_progress, self.stop.flag());
        let created = created.map_err(|error| error.to_string())?;
        self.is_where_it_was(roots)?;
        if created.bytes.len() > TORRENT_LEN_MAX {
            return Err(format!(
                "the torrent would be longer than {} MiB: choose longer pieces",
                TORRENT_LEN_MAX >> 20
            ));
        }
        if let Some(dir) = self.path.parent().filter(|_| self.creation.seed) {
            // Without that it is read again, which is nothing to speak of.
            let is_noted = created.remember(state_dir, dir).unwrap_or(false);
            tracing::debug!(is_noted, "record of the new torrent");
        }
        Ok(created)
    }

    fn is_where_it_was(&self, roots: &Roots) -> Result<(), String> {
        match roots.admit(&self.path)? == self.path {
            true => Ok(()),
            false => Err(format!("{} leads to another place now", self.path.display())),
        }
    }
}

/// What a torrent is to be made of. Waits for the disk.
fn admit(roots: &Roots, creation: &Creation) -> Result<PathBuf, String> {
    let path = roots.admit(Path::new(&creation.path))?;
    path.symlink_metadata().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{}: no such file or directory", path.display()),
        _ => format!("{}: {error}", path.display()),
    })?;
    if creation.seed {
        // What is seeded is found by its name below a directory.
        let own = path.file_name().unwrap_or_default();
        if text(&creation.name).is_some_and(|name| name.as_str() != own) {
            return Err(format!(
                "only a torrent that is called {} can be seeded from there: leave out the name, \
                 or do not seed it",
                own.to_string_lossy()
            ));
        }
        roots.admit(path.parent().unwrap_or(&path))?;
    }
    Ok(path)
}

/// A text; none where nothing stands in it.
fn text(given: &Option<String>) -> Option<String> {
    given.clone().filter(|text| !text.is_empty())
}

fn options(creation: &Creation) -> CreateOptions {
    CreateOptions {
        kind: match creation.format {
            Format::V1 => Version::V1,
            Format::Hybrid => Version::Hybrid,
        },
        name: text(&creation.name),
        piece_length: creation.piece_length,
        private: creation.private,
        source: text(&creation.source),
        trackers: creation.trackers.clone(),
        web_seeds: creation.web_seeds.clone(),
        comment: text(&creation.comment),
        // A clock before 1970 tells nothing worth writing.
        creation_date: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|it| it.as_secs()),
        ..CreateOptions::default()
    }
}

/// What of a directory is not in the torrent, for people; nothing when all is.
fn left_out(created: &Created) -> Option<String> {
    let named = created.skipped.iter().take(SKIPPED_NAMED);
    let named: Vec<String> =
        named.map(|it| format!("{} ({})", it.path.display(), it.what)).collect();
    let more = match created.skipped.len().saturating_sub(SKIPPED_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("left out: {}{more}", named.join(", ")))
}

fn no_making(number: u32) -> Refusal {
    Refusal::new(Kind::NotFound, format!("there is no torrent {number} in the making"))
}

//! Opening a torrent that comes in, aside: what is kept of it is read first, and then its files are
//! looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::ids::{InfoHash, TorrentId};
use crate::disk::{forget_moved, home_of, lasting, record_of};
use crate::metainfo::Torrent;
use crate::torrent::bell::Bell;
use crate::torrent::command::Order;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::incoming::Incoming;
use crate::torrent::lifecycle;
use crate::torrent::options::{CheckMode, TorrentOptions};
use crate::torrent::outpost::Outpost;
use crate::torrent::places::Account;
use crate::torrent::resources::{Entry, Resources, Turn};
use crate::torrent::seeking::Contacts;
use crate::torrent::share::Share;

use super::persist::{self, Chosen, Kept};
use super::restoring::{file_of, parse};

/// How a torrent comes in.
pub(super) struct Coming {
    pub torrent: Arc<Torrent>,
    pub options: TorrentOptions,
    pub turn: Turn,
    pub places: Account,
    pub bell: Bell,
    pub share: Share,
    pub id: TorrentId,
    /// Where its orders go that set something.
    pub orders: mpsc::Sender<Order>,
    /// Whom the search for its metadata met. In a box: few have any, and many come in at once.
    pub contacts: Option<Box<Contacts>>,
    /// Are the bytes of its `.torrent` to be kept?
    pub keeps_file: bool,
    /// What is kept of it, where the ledger has said so: nothing is looked at on disk then before
    /// its turn.
    pub kept: Option<Kept>,
    /// Its announces, where they began before it came.
    pub outpost: Option<Box<Outpost>>,
}

/// What came of opening a torrent's files.
pub(super) struct Opened {
    pub started:
        Result<(TorrentHandle, InfoHash, mpsc::Sender<Box<Incoming>>), crate::torrent::Error>,
    /// Its record of verified pieces, where that was looked for.
    pub record: Option<PathBuf>,
    /// Where its files were thought to be, by a lasting name, where that was looked for.
    pub dir: PathBuf,
    /// What the state directory says of it.
    pub kept: Kept,
    /// Which of its files are wanted, where that was said now or in an earlier run.
    pub wanted: Option<Vec<bool>>,
    /// The bytes of its `.torrent`, where they are to be kept.
    pub file: Option<Arc<[u8]>>,
}

impl Opened {
    /// The record beside which something of it is kept that a ledger takes over, and what it leaves
    /// there: the choices of other directories.
    pub fn to_import(&self) -> Option<(PathBuf, Vec<Chosen>)> {
        let has_own = self.kept.uploaded > 0 || self.kept.choice.is_some();
        let record = self.record.clone().filter(|_| has_own)?;
        Some((record, self.kept.others.clone()))
    }
}

/// So many are opened at once: of thousands that are added, the others only wait.
pub(super) const AT_ONCE: usize = 64;
/// One whose disk has not answered for so long gives its turn to those on other disks.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Does the work when its turn comes, and has no room for it before. None when there are no turns
/// any more.
pub(super) async fn in_turn<F: Future>(
    turns: Arc<Semaphore>,
    work: impl FnOnce() -> F,
) -> Option<F::Output> {
    let turn = turns.acquire_owned().await.ok()?;
    let mut working = Box::pin(work());
    Some(match timeout(TURN_MAX, &mut working).await {
        Ok(done) => done,
        Err(_) => {
            drop(turn);
            working.await
        }
    })
}

/// Opens it.
pub(super) async fn open(resources: Arc<Resources>, coming: Coming) -> Opened {
    let Coming { torrent, mut options, turn, places, bell, share, id, orders, contacts, .. } =
        coming;
    let (kept, given, outpost) = (coming.kept, options.file.take(), coming.outpost);
    let file = if coming.keeps_file { Some(file_to_keep(&torrent, given).await) } else { None };
    let (record, dir, mut kept) = match (kept, torrent.info_hash_v1) {
        (Some(kept), _) => (None, PathBuf::new(), kept),
        (None, Some(hash)) => {
            let (state_dir, dir) = (resources.state_dir.clone(), options.dir.clone());
            let (leave, check) = (resources.disk.leave(&dir).await, options.check);
            let begins_there = options.begins_in_dir;
            let read = spawn_blocking(move || {
                let _leave = leave;
                if begins_there {
                    forget_moved(&record_of(&state_dir, hash, &dir), hash, &dir);
                }
                find_kept(&state_dir, hash, &dir, check)
            });
            read.await.unwrap_or_default()
        }
        (None, None) => Default::default(),
    };
    kept.uploaded = kept.uploaded.max(options.sent_before);
    let chosen = kept.choice_for(&options, torrent.files.len());
    let chosen = chosen.filter(|_| options.file_priorities.is_none());
    options.wanted_files = options.wanted_files.or(chosen);
    let (wanted, uploaded_before_bytes) = (options.wanted_files.clone(), kept.uploaded);
    let known = record.clone();
    let entry =
        Entry { id, turn, places, bell, uploaded_before_bytes, record: known, orders, share };
    let outpost = outpost.map(|outpost| *outpost);
    let started = lifecycle::start(resources, torrent, options, entry, contacts, outpost).await;
    Opened { started, record, dir, kept, wanted, file }
}

/// The record of a torrent whose files are sought below this directory, where they are by a
/// lasting name, and what is kept of it there. Waits for the disk.
fn find_kept(
    state_dir: &Path,
    hash: InfoHash,
    dir: &Path,
    check: CheckMode,
) -> (Option<PathBuf>, PathBuf, Kept) {
    let (record, here) = (record_of(state_dir, hash, dir), lasting(dir));
    let kept = persist::kept(&record);
    let home = kept.has_choices().then(|| home_of(state_dir, hash, dir)).flatten();
    // Whoever begins anew means this directory, wherever files were moved to from there.
    let home = home.filter(|home| check != CheckMode::NoResume || home.dir == here);
    let (dir, came_from) = home.map_or((here, Vec::new()), |home| (home.dir, home.came_from));
    let kept = kept.below(&dir, &came_from);
    (Some(record), dir, kept)
}

/// What is kept of this torrent: what its user gave, unless that is something else.
async fn file_to_keep(torrent: &Arc<Torrent>, given: Option<Arc<[u8]>>) -> Arc<[u8]> {
    let ours = torrent.clone();
    let checked = spawn_blocking(move || {
        let hashes = ours.swarm_hashes();
        let given = given.filter(|given| parse(given, &hashes).is_ok());
        given.unwrap_or_else(|| file_of(&ours))
    });
    // A panic over what was given says nothing of what is known.
    checked.await.unwrap_or_else(|_| file_of(torrent))
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn so_many_as_have_turns_work_and_who_hangs_gives_its_turn_away() {
        let turns = Arc::new(Semaphore::new(1));
        let (thaw, frozen) = oneshot::channel();
        let first = tokio::spawn(in_turn(turns.clone(), || async { frozen.await.unwrap() }));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        in_turn(turns.clone(), || async {}).await;
        assert_eq!(begun.elapsed(), TURN_MAX, "it waits for the turn of the first");
        in_turn(turns.clone(), || async {}).await;
        assert_eq!(begun.elapsed(), TURN_MAX, "turns are given back");
        thaw.send(7).unwrap();
        assert_eq!(first.await.unwrap(), Some(7));
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_turn_when_they_end_does_nothing() {
        let turns = Arc::new(Semaphore::new(1));
        let (thaw, frozen) = oneshot::channel();
        let first = tokio::spawn(in_turn(turns.clone(), || async { frozen.await.unwrap() }));
        tokio::task::yield_now().await;
        let second = tokio::spawn(in_turn(turns.clone(), || async {}));
        tokio::task::yield_now().await;
        turns.close();
        assert_eq!(second.await.unwrap(), None);
        thaw.send(7).unwrap();
        assert_eq!(first.await.unwrap(), Some(7), "whoever has one goes on");
    }
}

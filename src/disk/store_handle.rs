//! One torrent on the disk, as its user holds it: what was found, a check, the start, and jobs. It
//! does none of that itself.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use crate::base::bitfield::Bitfield;
use crate::base::ids::FileIndex;
use crate::base::layout::PieceIndex;

use super::afloat::Backlog;
use super::check::{CheckProgress, CheckReport, report};
use super::error::Error;
use super::files::FileStore;
use super::job::{Job, Rejected};
use super::lane::Lane;
use super::open::{OpenTorrent, standing};
use super::outlet::Outlet;
use super::queue::Work;
use super::record::{Ground, Home, Loaded, RecordState, Standing, Subject};
use super::silence::Silence;
use super::stats::{Counters, DiskStats};
use super::store::FileNews;
use super::survey::{ChangedFile, Survey};
use super::turn::Turn;
use super::verdict::Unreadable;

/// One torrent on the workers. Cheap to clone; the record stays locked until the last clone
/// is gone and its jobs are done.
#[derive(Clone)]
pub struct StoreHandle {
    pub(super) shared: Arc<Shared>,
}

/// What all handles of a torrent share.
pub(super) struct Shared {
    pub queue: Sender<Work>,
    pub lane: Arc<Lane>,
    pub counters: Arc<Counters>,
    pub check_bytes: usize,
    pub torrent: Arc<OpenTorrent>,
    /// As its user spelled it.
    pub dir: PathBuf,
    pub files: Option<OnDisk>,
}

/// What belongs to a torrent in files, not to one in memory.
pub(super) struct OnDisk {
    pub store: Arc<FileStore>,
    /// With the directory as its user spelled it, if the files are in that.
    pub home: Arc<Home>,
    pub subject: Subject,
    pub survey: Survey,
    pub state: RecordState,
    pub recorded: Bitfield,
    pub believed: Bitfield,
    pub trusted: Bitfield,
    /// Files that do not look as the record says.
    pub doubted: BTreeSet<FileIndex>,
    /// Those of the trusted pieces that need not be brought to the device.
    pub durable: Bitfield,
    /// Files that look as we left them, whatever is in them.
    pub ours: HashSet<FileIndex>,
    /// What the record says that was passed over.
    pub ignored: Option<String>,
    /// Taken out when the torrent starts. A channel of one place, so that it needs no lock.
    pub loaded: Receiver<Loaded>,
    pub put_back: Sender<Loaded>,
}

/// What a torrent starts with.
#[derive(Debug)]
pub struct Started {
    /// The pieces that are right on disk.
    pub have: Bitfield,
    /// Files that got their final name, and files in trouble; the pieces of the latter are
    /// not in `have` when they are in doubt.
    pub news: Vec<FileNews>,
}

impl OnDisk {
    /// What a record that is written now says: these pieces were verified, those are not
    /// looked at yet.
    fn standing(&self, verified: &Bitfield, doubted: Bitfield) -> Standing {
        let durable = self.durable.intersection(verified);
        let ground = Ground::below(&self.home.dir);
        standing(&*self.store, verified.clone(), durable, doubted, ground)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.torrent.is_closed.store(true, Ordering::Release);
        self.lane.close(self.torrent.id);
    }
}

impl StoreHandle {
    /// What was on disk when the torrent was opened.
    pub fn survey(&self) -> Survey {
        self.shared.files.as_ref().map_or(Survey::default(), |files| files.survey)
    }

    /// Where the files are and what they are called; none for a torrent in memory.
    pub fn home(&self) -> Option<Arc<Home>> {
        self.shared.files.as_ref().map(|files| files.home.clone())
    }

    /// What became of the record.
    pub fn record_state(&self) -> RecordState {
        self.shared.files.as_ref().map_or(RecordState::New, |files| files.state.clone())
    }

    /// What the record says, in words for people, where it was passed over as was asked for.
    pub fn ignored(&self) -> Option<String> {
        self.shared.files.as_ref().and_then(|files| files.ignored.clone())
    }

    /// The pieces that the record holds for verified, whatever became of their files.
    pub fn recorded(&self) -> Bitfield {
        let none = || Bitfield::none(self.shared.torrent.layout.piece_count());
        self.shared.files.as_ref().map_or_else(none, |files| files.recorded.clone())
    }

    /// The pieces that the record holds for verified, in files that did not change since.
    pub fn trusted(&self) -> Bitfield {
        let none = || Bitfield::none(self.shared.torrent.layout.piece_count());
        self.shared.files.as_ref().map_or_else(none, |files| files.trusted.clone())
    }

    /// The files that others have changed or removed since the record was written, by those of
    /// the `missing` pieces that it holds for verified. Before `start`; looks at no file.
    pub fn changed(&self, missing: &Bitfield) -> Vec<ChangedFile> {
        let Some(files) = &self.shared.files else { return Vec::new() };
        let lost = files.believed.intersection(missing);
        files.store.changed(&self.shared.torrent.layout, &lost, &files.doubted)
    }

    /// Reads and hashes all pieces on disk but the trusted ones, on all cores and in the bytes
    /// that the configuration gives to checks. Waits; `progress` is for this check alone, and
    /// may be looked at, or used to cancel, from elsewhere. To go on where an earlier check
    /// was, pass what it has looked at as `trusted`, and leave what was wrong of that out of
    /// `have`.
    pub fn check(&self, trusted: &Bitfield, progress: &CheckProgress) -> CheckReport {
        let store = self.shared.files.as_ref().map(|files| &*files.store);
        if let Some(store) = store {
            store.look_again(&self.shared.torrent.layout, trusted);
        }
        let (torrent, memory) = (&self.shared.torrent, self.shared.check_bytes);
        report(torrent, store, trusted, progress, Unreadable::new(), memory, None)
    }

    /// Starts with the pieces that are right on disk: gives files the names they should have,
    /// makes empty ones, and writes the record anew. Waits; called once, before any job.
    ///
    /// # Errors
    /// `Exists` when a file that is not the torrent's stands where it must write, and
    /// `overwrite` is off: nothing was changed then. `Inconsistent` when its record is not at hand,
    /// since nothing runs without one. `Io`.
    pub fn start(&self, have: &Bitfield) -> Result<Started, Error> {
        let torrent = &self.shared.torrent;
        let Some(files) = &self.shared.files else {
            torrent.start_with(have);
            return Ok(Started { have: have.clone(), news: Vec::new() });
        };
        let loaded = files.loaded.try_recv().ok();
        if loaded.is_none() && torrent.journal.get().is_none() {
            return Err(Error::Inconsistent("the record is in other hands"));
        }
        torrent.start_with(have);
        let adopted = match files.store.adopt(&torrent.layout, have, &files.ours) {
            Ok(adopted) => adopted,
            Err(error) => {
                // Its place is free: it was just taken out.
                loaded.into_iter().for_each(|it| drop(files.put_back.try_send(it)));
                return Err(error);
            }
        };
        let news = adopted.news;
        let doubtful = news.iter().filter_map(|item| match item {
            FileNews::Trouble { file, recheck: true, .. } => Some(*file),
            _ => None,
        });
        torrent.lose_files(&doubtful.chain(adopted.strangers).collect::<Vec<_>>());
        let have = torrent.verified.to_bitfield(&torrent.layout);
        if let Some(loaded) = loaded {
            let standing = files.standing(&have, Bitfield::none(have.piece_count()));
            let _ = torrent.ground.set(standing.ground.clone());
            let (journal, begun) = loaded.start(files.subject.clone(), &standing);
            let _ = torrent.journal.set(journal);
            torrent.on_record(begun);
            let bytes = torrent.leave_unsynced(&have.minus(&standing.durable));
            self.shared.lane.syncer.on_written(torrent, bytes);
            if torrent.is_behind() {
                self.shared.lane.syncer.on_behind(torrent);
            }
        }
        Ok(Started { have, news })
    }

    /// Keeps how far a check is, so that the next start goes on from there: the pieces that it
    /// has `looked_at`, and those that are `right`, which may be others that are believed
    /// without a look. Waits; only before `start`.
    ///
    /// # Errors
    /// `Io`; what was kept before still holds.
    pub fn keep_check(&self, looked_at: &Bitfield, right: &Bitfield) -> Result<(), Error> {
        let Some(files) = &self.shared.files else { return Ok(()) };
        let Ok(mut loaded) = files.loaded.try_recv() else { return Ok(()) };
        let unseen = Bitfield::all(right.piece_count()).minus(looked_at).minus(right);
        let kept = loaded.rewrite(&files.subject, &files.standing(right, unseen));
        // Its place is free: it was just taken out.
        let _ = files.put_back.try_send(loaded);
        kept
    }

    /// Pieces that a later check found wrong: they count as missing, in the record as well,
    /// and may be fetched and checked in again. Waits.
    pub fn lose(&self, pieces: &Bitfield) {
        let layout = &self.shared.torrent.layout;
        let pieces = pieces.iter_ones().filter_map(|number| layout.piece(number));
        self.shared.torrent.lose(pieces);
    }

    /// Does the piece count as right on disk, by what the workers know by now? Never waits.
    pub fn is_verified(&self, piece: PieceIndex) -> bool {
        self.shared.torrent.verified.has(piece)
    }

    /// The files to send from; none for a torrent in memory.
    pub fn outlet(&self) -> Option<Outlet> {
        let files = self.shared.files.as_ref()?;
        let lane = &self.shared.lane;
        Some(Outlet {
            torrent: self.shared.torrent.id,
            store: files.store.clone(),
            senders: lane.senders.clone(),
            warmth: lane.state.warmth.clone(),
        })
    }

    /// What the workers did until now, for all torrents.
    pub fn stats(&self) -> DiskStats {
        self.shared.counters.snapshot(self.shared.lane.state.jobs())
    }

    /// Does the device not answer, and since when? Never waits.
    pub fn silence(&self) -> Option<Silence> {
        let since = self.shared.lane.state.silent_since()?;
        Some(Silence { dir: self.shared.dir.clone(), since })
    }

    /// What was written and is not known to be on the device. Never waits.
    pub fn backlog(&self) -> Backlog {
        let bytes = self.shared.torrent.afloat.bytes();
        let files = self.shared.files.as_ref().filter(|_| bytes > 0);
        Backlog { bytes, files: files.map_or(0, |files| files.store.dirty_count()) }
    }

    /// Waits for the right to read the device from end to end, which the torrent's check is to
    /// have, or until `progress` is cancelled. See [`wait`](super::turn::wait).
    pub fn take_turn(&self, state_dir: &Path, progress: &CheckProgress) -> Option<Turn> {
        progress.take_turn_at(&self.shared.lane.turn, state_dir, &self.shared.dir)
    }

    /// Hands a job to the workers. Never waits.
    ///
    /// # Errors
    /// The job comes back when the workers have ended, too many jobs wait, or the device does
    /// not answer.
    pub fn submit(&self, job: Job) -> Result<(), Rejected> {
        let Shared { lane, torrent, queue, .. } = &*self.shared;
        lane.submit(torrent.clone(), job, queue)
    }
}

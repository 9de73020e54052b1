//! A record that is locked and was read, until the torrent starts: whether it is to be
//! believed, and keeping how far a check is. It looks at no data file.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::InfoHash;

use super::super::beneath::Stamp;
use super::super::error::Error;
use super::super::survey::Described;
use super::era::{Ground, boot_of, booted_ns, now_ns};
use super::format::{self, Replayed, Standing, Subject, Unfit};
use super::home::Home;
use super::journal::{Appender, Journal, replace};
use super::lock::{RecordLock, Reserved, place_of};

/// Longest record that is read: two million pieces with an entry each, none of which came with
/// its neighbours, and as much again.
pub(super) const FILE_LEN_MAX: u64 = 160 << 20;
/// After a power loss, a file that was changed no later than this after the last mark was changed
/// by us: marks follow each other in five seconds and the time that a sync takes.
const WINDOW_NS: i64 = 60_000_000_000;

/// A record with so much more than a new one would have is written anew when its torrent starts.
const GROWN_MAX: u64 = 64 << 10;

/// What is told of a torrent's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordState {
    /// There was none.
    New,
    /// It was read, and what it says of the files still holds for the trusted pieces.
    Loaded,
    /// It is of no use; why. All that is on disk must be checked.
    Unusable(&'static str),
    /// A newer program wrote it. It is neither believed nor touched.
    Newer,
}

/// A locked record that was read but not yet written to.
#[derive(Debug)]
pub(in crate::disk) struct Loaded {
    path: PathBuf,
    lock: RecordLock,
    pub state: RecordState,
    replayed: Option<Replayed>,
    /// Where it says that the files are: the present home first.
    homes: Vec<Home>,
    /// Bytes of it.
    len: u64,
    /// Another one was put in its place since it was read.
    is_replaced: bool,
    /// Written in this era: what it notes is still in the system's memory.
    is_of_this_era: bool,
    is_of_this_boot: bool,
    /// When the record was last added to, nanoseconds since 1970.
    written_ns: i64,
}

/// A record that is locked, and its bytes.
#[derive(Debug)]
pub(in crate::disk) struct Locked {
    path: PathBuf,
    lock: RecordLock,
    /// None when there is no record.
    metadata: Option<Metadata>,
    is_ours: bool,
    bytes: Vec<u8>,
}

impl Subject {
    /// Of a torrent whose files lie in `dir`.
    #[cfg(test)]
    pub(in crate::disk) fn of(
        info_hash: InfoHash,
        layout: crate::base::layout::Layout,
        dir: &Path,
    ) -> Self {
        Self { info_hash, layout, home: Home::at(super::home::lasting(dir)), others: Vec::new() }
    }
}

impl Locked {
    /// Locks the record and reads its bytes; its directory is made when missing.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Io`.
    pub(in crate::disk) fn open(path: &Path) -> Result<Self, Error> {
        let lock = RecordLock::take(path)?;
        let there = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
        let read = || -> io::Result<(Option<Metadata>, Vec<u8>)> {
            let metadata = match std::fs::metadata(path) {
                Err(error) if !there(&error) => return Ok((None, Vec::new())),
                other => other?,
            };
            match metadata.len() {
                0..=FILE_LEN_MAX => Ok((Some(metadata), std::fs::read(path)?)),
                _ => Ok((Some(metadata), Vec::new())),
            }
        };
        let (metadata, bytes) = read().map_err(|error| Error::io("reading", path, error))?;
        let us = rustix::process::geteuid().as_raw();
        let is_ours = metadata.as_ref().is_none_or(|metadata| metadata.uid() == us);
        Ok(Self { path: path.to_owned(), lock, metadata, is_ours, bytes })
    }

    /// Takes the directory of the torrent's files, too: another record may know of it as well.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Io`.
    pub(in crate::disk) fn take_place(
        &mut self,
        info_hash: InfoHash,
        dir: &Path,
    ) -> Result<(), Error> {
        self.lock.take_place(&self.path, place_of(info_hash, dir))
    }

    /// Where it says that the torrent's files are: the present home first.
    pub(in crate::disk) fn homes(&self, info_hash: InfoHash) -> Vec<Home> {
        if self.is_ours { format::homes(&self.bytes, info_hash) } else { Vec::new() }
    }

    /// Understands it.
    pub(in crate::disk) fn read(
        self,
        subject: &Subject,
        extents: &Extents,
        ground: &Ground,
    ) -> Loaded {
        let Self { path, lock, metadata, is_ours, bytes } = self;
        let is_empty = metadata.as_ref().is_none_or(|metadata| metadata.len() == 0);
        let (state, replayed) = match format::replay(&bytes, subject, extents) {
            _ if is_empty => (RecordState::New, None),
            _ if !is_ours => (RecordState::Unusable("it belongs to another user"), None),
            Ok(replayed) => (RecordState::Loaded, Some(replayed)),
            Err(Unfit::Because(why)) => (RecordState::Unusable(why), None),
            Err(Unfit::Newer) => (RecordState::Newer, None),
        };
        let homes =
            if replayed.is_some() { format::homes(&bytes, subject.info_hash) } else { vec![] };
        let era = replayed.as_ref().map_or(&[][..], |replayed| &replayed.era);
        let is_of_this_era = !era.is_empty() && era == ground.era;
        let is_of_this_boot = !era.is_empty() && boot_of(era) == boot_of(&ground.era);
        let written_ns = metadata.map_or(0, |metadata| {
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
        });
        Loaded {
            path,
            lock,
            state,
            replayed,
            homes,
            len: bytes.len() as u64,
            is_replaced: false,
            is_of_this_era,
            is_of_this_boot,
            written_ns,
        }
    }
}

impl Loaded {
    /// Keeps its lock, and the place's, and nothing else.
    pub(in crate::disk) fn reserve(self) -> Reserved {
        self.lock.into()
    }

    /// The pieces that are to be found on disk, if their files are as they were.
    pub(in crate::disk) fn believed(&self) -> Option<&Bitfield> {
        let replayed = self.replayed.as_ref()?;
        Some(if self.is_of_this_era { &replayed.verified } else { &replayed.durable })
    }

    /// Does it say anything that can be used?
    pub(in crate::disk) fn is_read(&self) -> bool {
        self.replayed.is_some()
    }

    /// The pieces that were verified once, and not lost since.
    pub(in crate::disk) fn verified(&self) -> Option<&Bitfield> {
        self.replayed.as_ref().map(|replayed| &replayed.verified)
    }

    /// The pieces that are on the device.
    pub(in crate::disk) fn durable(&self) -> Option<&Bitfield> {
        self.replayed.as_ref().map(|replayed| &replayed.durable)
    }

    /// The pieces that may be on disk: those that were verified once, and those that a check
    /// which did not end has not come to.
    pub(in crate::disk) fn recorded(&self) -> Option<Bitfield> {
        let replayed = self.replayed.as_ref()?;
        Some(replayed.verified.union(&replayed.doubted))
    }

    /// Were there verified pieces, and on another file system than stands there now?
    pub(in crate::disk) fn was_elsewhere(&self, ground: &Ground) -> bool {
        self.replayed.as_ref().is_some_and(|replayed| {
            // Network and user file systems tell 0: what stands there without them does not.
            replayed.verified.ones() > 0 && replayed.file_system != ground.file_system
        })
    }

    /// It is passed over: from here on it is as if there had been none.
    pub(in crate::disk) fn forget(&mut self) {
        (self.state, self.replayed) = (RecordState::New, None);
        self.homes.clear();
    }

    /// How the files should look.
    pub(in crate::disk) fn described(&self) -> Described {
        let Some(replayed) = &self.replayed else { return Described::default() };
        let latest_ns = match self.is_of_this_era {
            // Who was cut off between a write and its entry looks at that file again: nothing
            // tells our write from an edit of the moment after.
            true => self.written_ns,
            false => {
                let window = replayed.marked_ns.saturating_add(WINDOW_NS);
                // What was changed after the machine started anew was not changed by us.
                let booted = booted_ns().filter(|_| !self.is_of_this_boot);
                booted.map_or(window, |booted| window.min(booted))
            }
        };
        let (stamps, ours) = (replayed.stamps.clone(), replayed.ours.clone());
        // What was noted in this era is all in the record; of an earlier one some may be lost.
        let earliest_ns = if self.is_of_this_era { i64::MAX } else { replayed.began_ns };
        // A later write may have come to the device and its entry not, or the other way round.
        let left = if self.is_of_this_era { replayed.left.clone() } else { HashMap::new() };
        Described {
            latest_ns,
            earliest_ns,
            written_ns: self.written_ns,
            stamps,
            left,
            ours,
            inodes_hold: self.is_of_this_era,
        }
    }

    /// Puts a new record in place of the old one, while a check goes on. A newer program's
    /// record stays as it is.
    ///
    /// # Errors
    /// `Io`; the old record is still whole then.
    pub(in crate::disk) fn rewrite(
        &mut self,
        subject: &Subject,
        standing: &Standing,
    ) -> Result<(), Error> {
        if self.state != RecordState::Newer {
            self.is_replaced = true;
            let bytes = format::begin(subject, standing, now_ns());
            replace(&self.path, &bytes).map_err(|error| Error::io("writing", &self.path, error))?;
        }
        Ok(())
    }

    /// Puts a new record in place of the old one and goes on with it. When that fails, the
    /// journal tries again later; the old record is whole until then. One of a whole torrent that
    /// says all that a new one would is gone on with: thousands that are seeded ask nothing of the
    /// device when they start. A newer program's record stays, and nothing is recorded.
    pub(in crate::disk) fn start(
        self,
        subject: Subject,
        standing: &Standing,
    ) -> (Journal, Result<(), Error>) {
        let is_newer = self.state == RecordState::Newer;
        let says_all = self.says_all(&subject, standing);
        let file = Box::new(Appender::new(self.path.clone()));
        let journal = Journal::new(file, self.path, Some(self.lock), subject, is_newer);
        let begun = if says_all {
            journal.go_on(self.len);
            Ok(())
        } else {
            journal.begin(standing)
        };
        (journal, begun)
    }

    /// Would a new record say nothing that this one does not say? Only of whole torrents: the
    /// times in a record tell what was written by us, and into those nothing is written. One of an
    /// earlier version is written anew: what is added to it now would not be understood by programs
    /// that take it for theirs.
    fn says_all(&self, subject: &Subject, standing: &Standing) -> bool {
        let Some(replayed) = &self.replayed else { return false };
        let stamps: HashMap<u32, Stamp> = standing.stamps.iter().copied().collect();
        let is_noted = |&(file, inode): &(u32, u64)| replayed.ours.get(&file) == Some(&inode);
        let homes = [&subject.home].into_iter().chain(subject.others_elsewhere());
        let new_len = || format::begin(subject, standing, now_ns()).len() as u64;
        self.is_of_this_era
            && !self.is_replaced
            && replayed.is_whole
            && replayed.is_current
            && standing.durable.is_full()
            && replayed.durable == standing.durable
            && replayed.verified == standing.verified
            && replayed.doubted == standing.doubted
            && replayed.file_system == standing.ground.file_system
            && replayed.era == standing.ground.era
            && replayed.stamps == stamps
            && standing.ours.iter().all(is_noted)
            && self.homes.iter().eq(homes)
            && self.len <= new_len() + GROWN_MAX
    }
}

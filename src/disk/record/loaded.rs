//! A record that is locked and was read, until the torrent starts: whether it is to be
//! believed, and keeping how far a check is. It looks at no data file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::InfoHash;

use super::super::error::Error;
use super::super::survey::Described;
use super::era::{Ground, boot_of, booted_ns, now_ns};
use super::format::{self, Replayed, Standing, Subject, Unfit};
use super::home::Home;
use super::journal::Journal;

/// Longest record that is read: two million pieces with an entry each, and as much again.
const FILE_LEN_MAX: u64 = 160 << 20;
/// Within one era, a file that was changed no later than this after the last entry was changed
/// by us: the clock of the file system is coarser than ours, and a write may be cut off from
/// its entry.
const GRACE_NS: i64 = 2_000_000_000;
/// After a power loss, the same after the last mark: marks follow each other in five seconds
/// and the time that a sync takes.
const WINDOW_NS: i64 = 60_000_000_000;

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
    /// Holds the lock.
    locked: File,
    pub state: RecordState,
    replayed: Option<Replayed>,
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
    /// Holds the lock.
    file: File,
    metadata: Metadata,
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
        Self { info_hash, layout, home: Home::at(super::home::lasting(dir)) }
    }
}

impl Locked {
    /// Locks the record, made when missing with its directory, and reads its bytes.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Io`.
    pub(in crate::disk) fn open(path: &Path) -> Result<Self, Error> {
        let file = lock(path)?;
        let fail = |error: io::Error| Error::io("reading", path, error);
        let metadata = file.metadata().map_err(fail)?;
        let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
        let bytes = match metadata.len() {
            0..=FILE_LEN_MAX => std::fs::read(path).map_err(fail)?,
            _ => Vec::new(),
        };
        Ok(Self { path: path.to_owned(), file, metadata, is_ours, bytes })
    }

    /// Where it says that the torrent's files are.
    pub(in crate::disk) fn home(&self, info_hash: InfoHash) -> Option<Home> {
        format::home(&self.bytes, info_hash).filter(|_| self.is_ours)
    }

    /// Understands it.
    pub(in crate::disk) fn read(
        self,
        subject: &Subject,
        extents: &Extents,
        ground: &Ground,
    ) -> Loaded {
        let Self { path, file: locked, metadata, is_ours, bytes } = self;
        let (state, replayed) = match format::replay(&bytes, subject, extents) {
            _ if metadata.len() == 0 => (RecordState::New, None),
            _ if !is_ours => (RecordState::Unusable("it belongs to another user"), None),
            Ok(replayed) => (RecordState::Loaded, Some(replayed)),
            Err(Unfit::Because(why)) => (RecordState::Unusable(why), None),
            Err(Unfit::Newer) => (RecordState::Newer, None),
        };
        let era = replayed.as_ref().map_or(&[][..], |replayed| &replayed.era);
        let is_of_this_era = !era.is_empty() && era == ground.era;
        let is_of_this_boot = !era.is_empty() && boot_of(era) == boot_of(&ground.era);
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        let written_ns = seconds.saturating_add(metadata.mtime_nsec());
        Loaded { path, locked, state, replayed, is_of_this_era, is_of_this_boot, written_ns }
    }
}

impl Loaded {
    /// The pieces that are to be found on disk, if their files are as they were.
    pub(in crate::disk) fn believed(&self) -> Option<&Bitfield> {
        let replayed = self.replayed.as_ref()?;
        Some(if self.is_of_this_era { &replayed.verified } else { &replayed.durable })
    }

    /// Does it say anything that can be used?
    pub(in crate::disk) fn is_read(&self) -> bool {
        self.replayed.is_some()
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

    /// How the files should look.
    pub(in crate::disk) fn described(&self) -> Described {
        let Some(replayed) = &self.replayed else { return Described::default() };
        let latest_ns = match self.is_of_this_era {
            true => self.written_ns.saturating_add(GRACE_NS),
            false => {
                let window = replayed.marked_ns.saturating_add(WINDOW_NS);
                // What was changed after the machine started anew was not changed by us.
                let booted = booted_ns().filter(|_| !self.is_of_this_boot);
                booted.map_or(window, |booted| window.min(booted))
            }
        };
        let stamps = replayed.stamps.clone();
        // What was noted in this era is all in the record; of an earlier one some may be lost.
        let earliest_ns = if self.is_of_this_era { i64::MAX } else { replayed.began_ns };
        Described { latest_ns, earliest_ns, stamps, inodes_hold: self.is_of_this_era }
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
            let bytes = format::begin(subject, standing, now_ns());
            self.locked = replace(&self.path, &bytes)?.1;
        }
        Ok(())
    }

    /// Puts a new record in place of the old one and goes on with it. When that fails, the
    /// journal tries again later; the old record is whole until then. A newer program's record
    /// stays as it is, and nothing is recorded.
    pub(in crate::disk) fn start(
        self,
        subject: Subject,
        standing: &Standing,
    ) -> (Journal, Result<(), Error>) {
        let is_newer = self.state == RecordState::Newer;
        let journal = Journal::new(self.path, self.locked, subject, is_newer);
        let begun = journal.begin(standing);
        (journal, begun)
    }
}

/// Writes a record beside the old one, brings it to the device, and renames it over it: the
/// new file for appending, and again with the lock.
///
/// # Errors
/// `Io`; the old record is still whole then.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(File, File), Error> {
    let new_path = path.with_extension("resume.new");
    let write = || -> io::Result<(File, File)> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).open(&new_path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let appending = OpenOptions::new().append(true).open(&new_path)?;
        std::fs::rename(&new_path, path)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok((appending, file))
    };
    write().map_err(|error| Error::io("writing", path, error))
}

/// Opens and locks the record for this process alone.
fn lock(path: &Path) -> Result<File, Error> {
    let fail = |error: io::Error| Error::io("opening", path, error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    // Who held the lock may put a new file in place between our opening and our locking;
    // then what we locked is nobody's. Each round needs another process to do that.
    for _ in 0..10 {
        let options = || OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = options().map_err(fail)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let inode = file.metadata().ok().map(|metadata| metadata.ino());
                let holder = inode.and_then(holder);
                return Err(Error::InUse { path: path.to_owned(), holder });
            }
            Err(error) => return Err(fail(error.into())),
        }
        let ours = file.metadata().map_err(fail)?.ino();
        if std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
    Err(Error::InUse { path: path.to_owned(), holder: None })
}

/// Who holds a lock on this inode, where Linux tells: its name and process id, for people.
fn holder(inode: u64) -> Option<String> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let suffix = format!(":{inode}");
    let pid: u32 = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        let file = words.next()?;
        (kind == "FLOCK" && file.ends_with(&suffix)).then(|| pid.parse().ok())?
    })?;
    // A program may call itself anything.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim_ascii();
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    Some(if is_plain { format!("{name} (process {pid})") } else { format!("process {pid}") })
}

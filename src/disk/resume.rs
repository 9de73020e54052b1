//! The record of verified pieces: `<info-hash>.resume` in the state directory. A small
//! bencoded head, its SHA-1, and then records of a fixed size, appended as pieces land, each
//! with its own check, so that a torn tail is noticed. Survives a kill at any moment; that
//! data reaches the device before its record is not promised here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FlockOperation;
use serde::Serialize;
use serde_bytes::Bytes;

use crate::base::bitfield::Bitfield;
use crate::base::digest::sha1;
use crate::base::extents::Extents;
use crate::base::ids::InfoHash;
use crate::base::layout::Layout;
use crate::bencode;

use super::beneath::Stamp;
use super::error::Error;
use super::survey::Described;

/// The version written, and the newest one understood.
const VERSION: i64 = 1;
/// Longest record file that is read: two million pieces with a record each, and as much
/// again.
const FILE_LEN_MAX: u64 = 160 << 20;
const RECORD_LEN: usize = 32;
const CHECK_LEN: usize = 8;

const PIECE_VERIFIED: u8 = 1;
const PIECE_LOST: u8 = 2;
const FILE_STAMPED: u8 = 3;

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

/// What torrent the record is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub info_hash: InfoHash,
    pub layout: &'a Layout,
    pub extents: &'a Extents,
    pub dir: &'a Path,
}

/// A locked record that was read but not yet written to.
#[derive(Debug)]
pub(super) struct Loaded {
    path: PathBuf,
    /// Holds the lock.
    file: File,
    pub state: RecordState,
    pub have: Bitfield,
    pub described: Described,
}

/// The record while the torrent runs. Workers append to it side by side: the system keeps
/// appends of one call together.
#[derive(Debug)]
pub(super) struct Journal {
    /// None leaves a newer program's record alone; the lock is held all the same.
    file: Option<File>,
    _locked: File,
    path: PathBuf,
    info_hash: InfoHash,
    /// Appending failed: what is verified must be said again.
    is_behind: AtomicBool,
}

#[derive(Serialize)]
struct Head<'a> {
    dir: &'a Bytes,
    have: &'a Bytes,
    #[serde(rename = "info-hash")]
    info_hash: &'a Bytes,
    length: u64,
    #[serde(rename = "piece length")]
    piece_length: u32,
    version: i64,
}

impl Loaded {
    /// Locks the record, made when missing with its directory, and reads it.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Io`.
    pub(super) fn open(path: &Path, subject: &Subject<'_>) -> Result<Self, Error> {
        let file = lock(path)?;
        let fail = |error: io::Error| Error::io("reading", path, error);
        let metadata = file.metadata().map_err(fail)?;
        let bytes = match metadata.len() {
            0..=FILE_LEN_MAX => std::fs::read(path).map_err(fail)?,
            _ => Vec::new(),
        };
        let none = Bitfield::none(subject.layout.piece_count());
        let mut described = Described {
            recorded_ns: metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec()),
            ..Described::default()
        };
        let (state, have) = match read_head(&bytes, subject) {
            _ if metadata.len() == 0 => (RecordState::New, none),
            Ok((mut have, records)) => {
                read_records(records, subject, &mut have, &mut described);
                (RecordState::Loaded, have)
            }
            Err(state) => (state, none),
        };
        Ok(Self { path: path.to_owned(), file, state, have, described })
    }

    /// Writes the record anew with what is known now, in place of the old one, and goes on
    /// with it. A newer program's record stays as it is, and nothing is recorded.
    ///
    /// # Errors
    /// `Io`; the old record is still whole then.
    pub(super) fn start(
        self,
        subject: &Subject<'_>,
        have: &Bitfield,
        stamps: &[(u32, Stamp)],
    ) -> Result<Journal, Error> {
        let fail = |error: io::Error| Error::io("writing", &self.path, error);
        let journal = |file, locked| Journal {
            file,
            _locked: locked,
            path: self.path.clone(),
            info_hash: subject.info_hash,
            is_behind: AtomicBool::new(false),
        };
        if self.state == RecordState::Newer {
            return Ok(journal(None, self.file));
        }
        let new_path = self.path.with_extension("resume.new");
        let mut bytes = head(subject, have);
        for (file, stamp) in stamps {
            bytes.extend(stamp_record(subject.info_hash, *file, *stamp));
        }
        let replace = || -> io::Result<(File, File)> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).open(&new_path)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            let appending = OpenOptions::new().append(true).open(&new_path)?;
            std::fs::rename(&new_path, &self.path)?;
            if let Some(parent) = self.path.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok((appending, file))
        };
        let (appending, locked) = replace().map_err(fail)?;
        Ok(journal(Some(appending), locked))
    }
}

impl Journal {
    /// Adds pieces that are verified and written. When an earlier addition failed, `all` is
    /// asked for everything instead.
    ///
    /// # Errors
    /// `Io`; what was to be added will be with the next addition.
    pub(super) fn verified(
        &self,
        pieces: &[u32],
        all: impl FnOnce() -> Vec<u32>,
    ) -> Result<(), Error> {
        let everything;
        let pieces = match self.is_behind.swap(false, Ordering::AcqRel) {
            true => {
                everything = all();
                &everything
            }
            false => pieces,
        };
        let records = pieces.iter().flat_map(|piece| self.piece_record(PIECE_VERIFIED, *piece));
        self.append(&records.collect::<Vec<u8>>())
    }

    /// Takes pieces out again.
    pub(super) fn lost(&self, pieces: &[u32]) -> Result<(), Error> {
        let records = pieces.iter().flat_map(|piece| self.piece_record(PIECE_LOST, *piece));
        self.append(&records.collect::<Vec<u8>>())
    }

    /// Notes how files look that nothing is written to any more.
    pub(super) fn stamped(&self, stamps: &[(u32, Stamp)]) -> Result<(), Error> {
        let records =
            stamps.iter().flat_map(|(file, stamp)| stamp_record(self.info_hash, *file, *stamp));
        self.append(&records.collect::<Vec<u8>>())
    }

    /// Marks the record as younger than what was just written unverified.
    pub(super) fn touch(&self) -> Result<(), Error> {
        self.append(&record(self.info_hash, 0, 0, 0, 0))
    }

    /// Brings it to the device.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
        synced.map_err(|error| Error::io("writing", &self.path, error))
    }

    fn piece_record(&self, kind: u8, piece: u32) -> [u8; RECORD_LEN] {
        record(self.info_hash, kind, piece, 0, 0)
    }

    fn append(&self, records: &[u8]) -> Result<(), Error> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        file.write_all(records).map_err(|error| {
            self.is_behind.store(true, Ordering::Release);
            Error::io("writing", &self.path, error)
        })
    }
}

fn stamp_record(info_hash: InfoHash, file: u32, stamp: Stamp) -> [u8; RECORD_LEN] {
    record(info_hash, FILE_STAMPED, file, stamp.inode, stamp.modified_ns)
}

/// Kind, three zeros, number, two values and the check, big-endian.
fn record(info_hash: InfoHash, kind: u8, number: u32, a: u64, b: i64) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[0] = kind;
    record[4..8].copy_from_slice(&number.to_be_bytes());
    record[8..16].copy_from_slice(&a.to_be_bytes());
    record[16..24].copy_from_slice(&b.to_be_bytes());
    let check = sha1(&[&info_hash.0, &record[..RECORD_LEN - CHECK_LEN]]);
    record[RECORD_LEN - CHECK_LEN..].copy_from_slice(&check[..CHECK_LEN]);
    record
}

fn head(subject: &Subject<'_>, have: &Bitfield) -> Vec<u8> {
    let dir = canonical(subject.dir);
    let mut bytes = bencode::encode(&Head {
        dir: Bytes::new(dir.as_os_str().as_encoded_bytes()),
        have: Bytes::new(have.as_bytes()),
        info_hash: Bytes::new(&subject.info_hash.0),
        length: subject.layout.total_len(),
        piece_length: subject.layout.piece_len(),
        version: VERSION,
    });
    let check = sha1(&[&bytes]);
    bytes.extend(check);
    bytes
}

/// The directory by a name that does not depend on where we stand.
fn canonical(dir: &Path) -> PathBuf {
    let absolute = || std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    std::fs::canonicalize(dir).unwrap_or_else(|_| absolute())
}

/// The pieces of the head, and the records behind it.
fn read_head<'a>(
    bytes: &'a [u8],
    subject: &Subject<'_>,
) -> Result<(Bitfield, &'a [u8]), RecordState> {
    use RecordState::{Newer, Unusable};
    let scan = bencode::scan(bytes, bencode::TORRENT).map_err(|_| Unusable("it is damaged"))?;
    let head = scan.root().dict().ok_or(Unusable("it is damaged"))?;
    let integer = |key: &[u8]| head.find(key).and_then(bencode::Value::integer);
    let string = |key: &[u8]| head.find(key).and_then(bencode::Value::bytes);
    match integer(b"version") {
        Some(version) if version > VERSION => return Err(Newer),
        Some(VERSION) => {}
        _ => return Err(Unusable("it is damaged")),
    }
    let (text, behind) = bytes.split_at_checked(scan.len).ok_or(Unusable("it is damaged"))?;
    let (check, records) = behind.split_at_checked(20).ok_or(Unusable("it is damaged"))?;
    if sha1(&[text]) != check {
        return Err(Unusable("it was edited"));
    }
    if string(b"info-hash") != Some(&subject.info_hash.0) {
        return Err(Unusable("it is of another torrent"));
    }
    let layout = subject.layout;
    let same = integer(b"length").and_then(|len| u64::try_from(len).ok())
        == Some(layout.total_len())
        && integer(b"piece length") == Some(i64::from(layout.piece_len()));
    if !same {
        return Err(Unusable("it is of another layout"));
    }
    if string(b"dir") != Some(canonical(subject.dir).as_os_str().as_encoded_bytes()) {
        return Err(Unusable("the files were in another directory"));
    }
    let have = string(b"have").and_then(|have| Bitfield::from_wire(have, layout.piece_count()));
    Ok((have.ok_or(Unusable("it is damaged"))?, records))
}

/// Replays the records. A torn one, left by a write that failed half-way, is stepped over;
/// what is not a record behind that ends it.
fn read_records(
    mut bytes: &[u8],
    subject: &Subject<'_>,
    have: &mut Bitfield,
    described: &mut Described,
) {
    let mut skipped = 0;
    while let Some(found) = bytes.first_chunk::<RECORD_LEN>() {
        let number = u32::from_be_bytes([found[4], found[5], found[6], found[7]]);
        let (_, values) = found.split_at(8);
        let mut values = values.as_chunks::<8>().0.iter().copied();
        let inode = values.next().map_or(0, u64::from_be_bytes);
        let modified_ns = values.next().map_or(0, i64::from_be_bytes);
        if *found != record(subject.info_hash, found[0], number, inode, modified_ns) {
            skipped += 1;
            if skipped >= RECORD_LEN {
                return;
            }
            bytes = &bytes[1..];
            continue;
        }
        skipped = 0;
        bytes = &bytes[RECORD_LEN..];
        match (found[0], subject.layout.piece(number)) {
            (FILE_STAMPED, _) => {
                described.stamps.insert(number, Stamp { inode, modified_ns });
            }
            (kind @ (PIECE_VERIFIED | PIECE_LOST), Some(piece)) => {
                let _ = if kind == PIECE_LOST { have.remove(piece) } else { have.insert(piece) };
                // The file changed after its stamp.
                let offset = subject.layout.piece_offset(piece);
                let len = u64::from(subject.layout.len_of(piece));
                for file in subject.extents.files_of_range(offset, len) {
                    described.stamps.remove(&file.0);
                }
            }
            _ => {}
        }
    }
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
                let pid = file.metadata().ok().and_then(|metadata| holder(metadata.ino()));
                return Err(Error::InUse { path: path.to_owned(), pid });
            }
            Err(error) => return Err(fail(error.into())),
        }
        let ours = file.metadata().map_err(fail)?.ino();
        if std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
    Err(Error::InUse { path: path.to_owned(), pid: None })
}

/// Who holds a lock on this inode, where Linux tells.
fn holder(inode: u64) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let suffix = format!(":{inode}");
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        let file = words.next()?;
        (kind == "FLOCK" && file.ends_with(&suffix)).then(|| pid.parse().ok())?
    })
}

//! Which process has which record, and which place: a torrent in a directory. All of a state
//! directory are bytes of few files in its folder `locks.d`, and a process locks those that it has
//! through one descriptor a file, however many they are. It is more than one file because the
//! system keeps a file's locks as a list and walks it for each: of 10,000 in one file, a start
//! spent its time there.
//! Such locks are the process's own: within it, a table says who has what. The system drops them
//! when the process closes any descriptor of the file, so there is never a second one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::base::digest::sha1;
use crate::base::ids::InfoHash;
use crate::os::process::name_of;

use super::super::error::Error;
use super::super::only::Only;

/// The folder of the lock files in a state directory.
const FOLDER: &str = "locks.d";
/// There are 2^4 of them: a byte's four highest bits say which it is in.
const FILE_BITS: u32 = 4;
/// A byte is a number of so many bits, which a file's offset can be.
const BYTE_BITS: u32 = 62;

/// What this process has, by device and inode of the lock file.
static HELD: LazyLock<Only<HashMap<(u64, u64), Held>>> =
    LazyLock::new(|| Only::new(HashMap::new()));

/// What this process has locked of one lock file.
#[derive(Debug)]
struct Held {
    file: File,
    /// Further descriptors of it, if any were opened by chance: they are closed with it.
    spare: Vec<File>,
    bytes: HashSet<i64>,
}

/// A byte of a lock file that is ours until it is dropped.
#[derive(Debug)]
struct Lock {
    file: (u64, u64),
    byte: i64,
}

/// The right to use a record, and the place of its files, until it is dropped. The end of the
/// process gives it back as well.
#[derive(Debug)]
pub(in crate::disk) struct RecordLock {
    _record: Lock,
    place: Option<Lock>,
}

/// A record, and the place of its torrent's files, that nobody else gets as long as this is held,
/// though nothing is open.
#[derive(Debug)]
pub struct Reserved {
    _lock: RecordLock,
}

impl From<RecordLock> for Reserved {
    fn from(lock: RecordLock) -> Self {
        Self { _lock: lock }
    }
}

impl RecordLock {
    /// Takes the record at `path`; the directory is made when missing.
    ///
    /// # Errors
    /// `InUse` when somebody has it; `Io`.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        Ok(Self { _record: Lock::take(path, byte_of(path))?, place: None })
    }

    /// Takes this place in addition, for the record at `path`.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) fn take_place(&mut self, path: &Path, place: i64) -> Result<(), Error> {
        self.place = Some(Lock::take(path, place)?);
        Ok(())
    }
}

impl Lock {
    /// Takes a byte, for the record at `path`.
    fn take(path: &Path, byte: i64) -> Result<Self, Error> {
        let fail = |error: io::Error| Error::io("opening", path, error);
        HELD.with(|held| {
            let file = find(held, &lock_file(path, byte)).map_err(fail)?;
            let Some(ours) = held.get_mut(&file) else { return Err(fail(Errno::ENOENT.into())) };
            let taken = take_byte(ours, byte, path);
            if taken.is_err() {
                forget_if_idle(held, file);
            }
            taken.map(|()| Self { file, byte })
        })
    }
}

/// Locks a byte, unless somebody has it; that may be ourselves.
fn take_byte(ours: &mut Held, byte: i64, path: &Path) -> Result<(), Error> {
    let fail = |error: io::Error| Error::io("opening", path, error);
    let holder = match ours.bytes.contains(&byte) {
        true => Some(i32::try_from(std::process::id()).unwrap_or(0)),
        false => lock(&ours.file, byte, libc::F_WRLCK).map_err(fail)?,
    };
    match holder {
        Some(pid) => Err(Error::InUse { path: path.to_owned(), holder: name_of(pid) }),
        None => {
            ours.bytes.insert(byte);
            Ok(())
        }
    }
}

/// Has another process the record at this path, or this place of those in its directory? Not known
/// is no.
pub(super) fn is_with_others(path: &Path, place: Option<i64>) -> bool {
    let byte = place.unwrap_or_else(|| byte_of(path));
    let locks = lock_file(path, byte);
    if !locks.exists() {
        return false;
    }
    HELD.with(|held| {
        let Ok(file) = find(held, &locks) else { return false };
        let is_so = held.get(&file).is_some_and(|ours| {
            !ours.bytes.contains(&byte) && holder_of(&ours.file, byte).is_some()
        });
        forget_if_idle(held, file);
        is_so
    })
}

/// The byte of a torrent in this directory.
pub(super) fn place_of(info_hash: InfoHash, dir: &Path) -> i64 {
    number_of(&[b"place", &info_hash.0, dir.as_os_str().as_bytes()])
}

impl Drop for Lock {
    fn drop(&mut self) {
        HELD.with(|held| {
            if let Some(ours) = held.get_mut(&self.file) {
                ours.bytes.remove(&self.byte);
                // The end of the process does it, if it fails.
                let _ = lock(&ours.file, self.byte, libc::F_UNLCK);
            }
            forget_if_idle(held, self.file);
        });
    }
}

/// Which file has a byte, of those beside the record at `path`.
fn lock_file(path: &Path, byte: i64) -> PathBuf {
    let number = byte >> (BYTE_BITS - FILE_BITS);
    path.with_file_name(FOLDER).join(format!("{number:02x}"))
}

/// The lock file's place in the table, opened if this process has no record of the directory. One
/// that cannot be looked at may be open already, and is not opened again.
fn find(held: &mut HashMap<(u64, u64), Held>, path: &Path) -> io::Result<(u64, u64)> {
    match std::fs::metadata(path) {
        Ok(there) if held.contains_key(&(there.dev(), there.ino())) => {
            return Ok((there.dev(), there.ino()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        }
        Err(error) => return Err(error),
    }
    // It stays: removing it, two might lock files of one name.
    let options = || OpenOptions::new().read(true).append(true).create(true).open(path);
    let file = options()?;
    let found = file.metadata()?;
    let key = (found.dev(), found.ino());
    match held.entry(key) {
        Entry::Vacant(place) => {
            place.insert(Held { file, spare: Vec::new(), bytes: HashSet::new() });
        }
        // It was put there since it was looked for. Closing either drops what is locked.
        Entry::Occupied(there) => there.into_mut().spare.push(file),
    }
    Ok(key)
}

fn forget_if_idle(held: &mut HashMap<(u64, u64), Held>, file: (u64, u64)) {
    if held.get(&file).is_some_and(|ours| ours.bytes.is_empty()) {
        held.remove(&file);
    }
}

/// Locks or unlocks a byte; who has it instead.
fn lock(file: &File, byte: i64, kind: i32) -> io::Result<Option<i32>> {
    match fcntl(file, FcntlArg::F_SETLK(&one(byte, kind))) {
        Ok(_) => Ok(None),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Some(holder_of(file, byte).unwrap_or(0))),
        Err(error) => Err(error.into()),
    }
}

/// Which other process has a byte.
fn holder_of(file: &File, byte: i64) -> Option<i32> {
    let mut other = one(byte, libc::F_WRLCK);
    let asked = fcntl(file, FcntlArg::F_GETLK(&mut other));
    let is_held = asked.is_ok() && i32::from(other.l_type) != libc::F_UNLCK;
    is_held.then_some(other.l_pid)
}

fn one(byte: i64, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// The byte of a record, by its name.
fn byte_of(path: &Path) -> i64 {
    number_of(&[path.file_name().unwrap_or_default().as_encoded_bytes()])
}

/// Torrents and places are too few for two to meet in 62 bits.
fn number_of(what: &[&[u8]]) -> i64 {
    let digest = sha1(what);
    let first = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    (first >> (u64::BITS - BYTE_BITS)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_records_are_locked_one_by_one_through_few_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u32| dir.path().join(format!("state/{number}.resume"));
        let opened = || {
            let fds = std::fs::read_dir("/proc/self/fd").unwrap();
            let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            links.filter(|link| link.starts_with(dir.path().join("state/locks.d"))).count()
        };
        let locks: Vec<RecordLock> =
            (0..500).map(|number| RecordLock::take(&path(number)).unwrap()).collect();
        assert!(cfg!(not(target_os = "linux")) || opened() == 1 << FILE_BITS);
        let refused = RecordLock::take(&path(7)).unwrap_err();
        let Error::InUse { holder, .. } = refused else { panic!("{refused}") };
        assert!(holder.unwrap().ends_with(&format!("(process {})", std::process::id())));
        drop(locks);
        assert_eq!(opened(), 0);
        assert!(RecordLock::take(&path(7)).is_ok());
    }
}

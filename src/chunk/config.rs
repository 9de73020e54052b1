//! The course's configuration files on disk: read whole, written whole, and looked at again
//! by servers that run while people edit them. Not here: what stands in them (`ini`).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::digest::{Sha1Hash, sha1};
use crate::os::whole::{self, How};

use super::ini::{self, FileDescription, Peers};

/// Name of the file that says who listens where.
pub const PEERS: &str = "peers.ini";
/// Name of the file that says which chunks there are.
pub const FILE: &str = "file.ini";

/// The example of the course's specification.
const FIRST_PEERS: &str = "\
[tracker]
ip_address = 127.0.0.1
port_number = 8000

[alice]
ip_address = 127.0.0.1
port_number = 8001

[bob]
ip_address = 127.0.0.1
port_number = 8002
";

/// The longest file read, in bytes: 65,535 chunks with some twenty providers each.
const LEN_MAX: u64 = 16 << 20;
/// File systems stamp changes with a clock that stands still for up to 10 ms; a change in
/// that time may not show. Twice that for good measure.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// Why a file cannot be used. The text names the file, and the section and key if it is
/// about one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{}: no such file{hint}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
    },
    /// Longer than any sensible one.
    #[error("{}: is larger than 16 MiB, which no such file needs", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are no text.
    #[error("{}: is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// What stands in it.
    #[error("{}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ini::Error,
    },
    /// It is there and cannot be read.
    #[error("{}: reading failed: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It cannot be written.
    #[error("{}: writing failed: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Reads `peers.ini` in `dir`.
///
/// # Errors
/// When it is missing, unreadable, too large or makes no sense.
pub fn peers(dir: &Path) -> Result<Peers, Error> {
    let path = dir.join(PEERS);
    let text = read(&path)?;
    Peers::parse(&text).map_err(|error| Error::Content { path, error })
}

/// Reads `file.ini` in `dir`.
///
/// # Errors
/// When it is missing, unreadable, too large or makes no sense.
pub fn file(dir: &Path) -> Result<FileDescription, Error> {
    let path = dir.join(FILE);
    let text = read(&path)?;
    FileDescription::parse(&text).map_err(|error| Error::Content { path, error })
}

/// Writes `file.ini` in `dir`, which is made when missing. A reader sees the old file or the
/// new one, never a part.
///
/// # Errors
/// `Write`.
pub fn write_file(dir: &Path, description: &FileDescription) -> Result<(), Error> {
    let path = dir.join(FILE);
    let text = description.render();
    let written =
        fs::create_dir_all(dir).and_then(|()| whole::replace(&path, text.as_bytes(), How::QUICK));
    written.map_err(|error| Error::Write { path, error })
}

/// Writes a `peers.ini` for a tracker, alice and bob on this machine, unless there is one;
/// tells whether it did. `dir` must be there.
///
/// # Errors
/// `Write`.
pub fn write_first_peers(dir: &Path) -> Result<bool, Error> {
    let path = dir.join(PEERS);
    let mut file = match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(Error::Write { path, error }),
    };
    file.write_all(FIRST_PEERS.as_bytes()).map_err(|error| {
        // A part of it would stand in the way of the next attempt.
        let _ = fs::remove_file(&path);
        Error::Write { path, error }
    })?;
    Ok(true)
}

fn read(path: &Path) -> Result<String, Error> {
    let own = || path.to_owned();
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: own(), hint: hint(path) },
        _ => Error::Read { path: own(), error },
    };
    // Opening a named pipe would wait for a writer.
    if !fs::metadata(path).map_err(fail)?.is_file() {
        let error = io::Error::other("not a regular file");
        return Err(Error::Read { path: own(), error });
    }
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).map_err(fail)?.take(LEN_MAX + 1);
    file.read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(Error::TooLarge { path: own() });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText { path: own() })
}

fn hint(path: &Path) -> &'static str {
    if path.ends_with(FILE) { "; driver chunk cut writes one" } else { "" }
}

/// Both files, looked at again each time they are asked for. When a new version is broken,
/// the last good one stays in use.
#[derive(Debug)]
pub struct Live {
    peers: Watched<Peers>,
    file: Watched<FileDescription>,
}

impl Live {
    /// Reads both files in `dir`.
    ///
    /// # Errors
    /// As [`peers`] and [`file()`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Self {
            peers: Watched::open(dir.join(PEERS), Peers::parse)?,
            file: Watched::open(dir.join(FILE), FileDescription::parse)?,
        })
    }

    /// Both files as they are now. Costs two looks at the directory when nothing changed,
    /// and blocks to read when something did. An error is told once for each change.
    pub fn current(&mut self) -> (Arc<Peers>, Arc<FileDescription>, Vec<Error>) {
        let errors = [self.peers.refresh().err(), self.file.refresh().err()];
        let errors = errors.into_iter().flatten().collect();
        (self.peers.good.clone(), self.file.good.clone(), errors)
    }
}

/// One file, its last good content, and how it looked when it was last read.
#[derive(Debug)]
struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, ini::Error>,
    good: Arc<T>,
    seen: Option<Stamp>,
    /// Its time of change was so near that a further change may have left it the same.
    is_fresh: bool,
    /// Of the text last read; none when it could not be read.
    digest: Option<Sha1Hash>,
}

impl<T> Watched<T> {
    fn open(path: PathBuf, parse: fn(&str) -> Result<T, ini::Error>) -> Result<Self, Error> {
        let (seen, is_fresh) = look(&path);
        let text = read(&path)?;
        let content = |error| Error::Content { path: path.clone(), error };
        let good = Arc::new(parse(&text).map_err(content)?);
        let digest = Some(sha1(&[text.as_bytes()]));
        Ok(Self { path, parse, good, seen, is_fresh, digest })
    }

    fn refresh(&mut self) -> Result<(), Error> {
        // Looked at before it is read: a change in between shows the next time.
        let (seen, is_fresh) = look(&self.path);
        let has_changed = seen != self.seen;
        if !has_changed && !self.is_fresh {
            return Ok(());
        }
        (self.seen, self.is_fresh) = (seen, is_fresh);
        let read = read(&self.path);
        let digest = read.as_ref().ok().map(|text| sha1(&[text.as_bytes()]));
        if digest == self.digest && (digest.is_some() || !has_changed) {
            return Ok(());
        }
        self.digest = digest;
        let content = |error| Error::Content { path: self.path.clone(), error };
        self.good = Arc::new((self.parse)(&read?).map_err(content)?);
        Ok(())
    }
}

/// Which file it is and how it looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Of its owner and rights, too, so that a file made readable is read.
    changed: (i64, i64),
}

/// The stamp of a file, none when it is not there, and whether it may change again without
/// that showing.
fn look(path: &Path) -> (Option<Stamp>, bool) {
    let Ok(metadata) = fs::metadata(path) else { return (None, false) };
    let stamp = Stamp {
        inode: metadata.ino(),
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    // The last change of any kind: a copy may keep an old time of change of its bytes.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (Some(stamp), is_fresh(stamp.changed, now))
}

/// Whether a change at this second and nanosecond is less than a step of the clock ago.
fn is_fresh(changed: (i64, i64), now: Duration) -> bool {
    let (Ok(secs), Ok(nanos)) = (u64::try_from(changed.0), u32::try_from(changed.1)) else {
        return false;
    };
    now < Duration::new(secs, nanos) + CLOCK_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_does_not_show_is_seen_while_it_may_happen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PEERS);
        let section = |name| format!("[{name}]\nip_address = 1.2.3.4\nport_number = 5\n");
        fs::write(&path, section("alice")).unwrap();
        let mut watched = Watched::open(path.clone(), Peers::parse).unwrap();
        fs::write(&path, section("carol")).unwrap();
        // As if the clock had stood still.
        watched.seen = look(&path).0;
        watched.is_fresh = false;
        watched.refresh().unwrap();
        assert!(watched.good.provider("alice").is_ok(), "nothing is read without a reason");
        watched.is_fresh = true;
        watched.refresh().unwrap();
        assert!(watched.good.provider("carol").is_ok());
    }

    #[test]
    fn a_change_is_fresh_for_two_steps_of_the_clock() {
        let now = Duration::new(1_000_000, 5_000_000);
        assert!(is_fresh((1_000_000, 5_000_000), now));
        assert!(is_fresh((999_999, 985_000_001), now));
        assert!(!is_fresh((999_999, 985_000_000), now));
        assert!(is_fresh((1_000_001, 0), now), "a clock that was set back");
        assert!(!is_fresh((-1, 0), now));
    }
}

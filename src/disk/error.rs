//! What can go wrong between the torrent and its files, in words for people. Not a place
//! for decisions: whether to wait, recheck or give up is the torrent's.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A failure of the disk room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused; the machine's or the user's fault, never a peer's.
    #[error("{} {operation} {}{}", Reason(.source), .path.display(), advice(.operation, .source))]
    Io {
        /// What was tried, as in "writing".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has this torrent in the same place, or the record of it.
    #[error(
        "this torrent is already in use here{}: stop that one first, or choose another directory \
         ({})",
        Holder(.holder), .path.display()
    )]
    InUse {
        /// The locked record.
        path: PathBuf,
        /// The program that holds it, where the system tells.
        holder: Option<String>,
    },
    /// The files are gone, and so is the file system that they were on.
    #[error(
        "{} is not the file system that the torrent's files are on: mount it, or begin anew here \
         with --no-resume", .dir.display()
    )]
    NotMounted {
        /// Where the files should be.
        dir: PathBuf,
    },
    /// A move was interrupted, and nothing of it is there.
    #[error(
        "none of the files that an interrupted move brings to {} is there: mount the file system \
         that they are on, or remove {} if they were deleted", .dir.display(), .note.display()
    )]
    HalfMoved {
        /// Where the files should be.
        dir: PathBuf,
        /// The note of the move.
        note: PathBuf,
    },
    /// The note of an interrupted move cannot be understood.
    #[error(
        "{}, the note of an interrupted move, is damaged or a newer program's: start that \
         program, or remove the note; files that the move left under other names (*.moving) or \
         in their former directory are then yours to move", .note.display()
    )]
    BadNote {
        /// The note of the move.
        note: PathBuf,
    },
    /// A different file stands where one of the torrent's should go.
    #[error(
        "{} exists and differs from the torrent's file: move it away or use --overwrite",
        .path.display()
    )]
    Exists {
        /// That file.
        path: PathBuf,
    },
    /// Something stands where one of the torrent's files is to be moved.
    #[error("{} is there already, and stays: move it away, or choose another place", .path.display())]
    Occupied {
        /// What stands there.
        path: PathBuf,
    },
    /// There is not enough space where the torrent's files are to be moved.
    #[error(
        "not enough space in {}: {needed}, {free} free; nothing was moved: free some, or choose \
         another directory", .dir.display()
    )]
    NoRoom {
        /// Where they are to go.
        dir: PathBuf,
        /// Bytes to copy and to fetch, for people.
        needed: String,
        /// Bytes that are free, for people.
        free: String,
    },
    /// There is not enough space for what is to be fetched.
    #[error(
        "not enough space in {}: {wanted} wanted, {free} free: free some, or choose another \
         directory", .dir.display()
    )]
    NoSpace {
        /// Where it is to go.
        dir: PathBuf,
        /// Bytes that are missing, for people.
        wanted: String,
        /// Bytes that are free, for people.
        free: String,
    },
    /// The directory is on a file system that keeps no files of ours.
    #[error(
        "{} is on a file system of the kernel, which keeps no files: choose another directory",
        .dir.display()
    )]
    NoFiles {
        /// Where it is to go.
        dir: PathBuf,
    },
    /// The torrent's files cannot be moved or renamed like that; in words for people.
    #[error("{0}")]
    Unmovable(String),
    /// A directory, link or device stands where a file should go.
    #[error("{} is not a regular file: move it away", .path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// A path that is absolute, empty or climbs up. `metainfo` cleans them, so our own bug.
    #[error("unsafe path {} in the torrent: nothing is written there", .path.display())]
    UnsafePath {
        /// The path.
        path: PathBuf,
    },
    /// The parts of a store's description contradict each other; our own bug.
    #[error("the description of the torrent's files is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// The torrent was to be done, but this file lacks pieces.
    #[error("{} is not whole yet", .path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// Somebody deleted, cut or replaced a file while we used it.
    #[error("{} {}", .path.display(), disturbed(.what))]
    Disturbed {
        /// The file.
        path: PathBuf,
        /// Gone, cut, replaced.
        what: &'static str,
    },
}

/// What somebody did to a file. Of one that is gone nobody knows more than that.
fn disturbed(what: &str) -> String {
    match what {
        Error::GONE => "is gone: somebody deleted, moved or renamed it".to_owned(),
        _ => format!("was {what} by somebody else"),
    }
}

impl Error {
    /// Does nothing stand at the file's path any more?
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Disturbed { what: Self::GONE, .. })
    }

    /// What is said of a file that is gone.
    pub(super) const GONE: &'static str = "gone";

    /// May it pass without anybody changing the torrent or its files: a disk that comes back, space
    /// or descriptors that become free?
    pub fn may_pass(&self) -> bool {
        const PASS: [Errno; 14] = [
            Errno::IO,
            Errno::NODEV,
            Errno::NXIO,
            Errno::STALE,
            Errno::TIMEDOUT,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::NOTCONN,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
        ];
        match self {
            Self::NotMounted { .. } | Self::HalfMoved { .. } | Self::NoSpace { .. } => true,
            Self::Io { source, .. } => {
                Errno::from_io_error(source).is_some_and(|errno| PASS.contains(&errno))
            }
            _ => false,
        }
    }

    /// An [`Error::Io`] from `operation` ("writing") on `path`.
    pub(super) fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io { operation, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// What it is about, where that is a path.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::InUse { path, .. }
            | Self::Exists { path }
            | Self::Occupied { path }
            | Self::NotAFile { path }
            | Self::UnsafePath { path }
            | Self::Unfinished { path }
            | Self::Disturbed { path, .. } => Some(path),
            Self::NotMounted { dir, .. }
            | Self::HalfMoved { dir, .. }
            | Self::NoRoom { dir, .. }
            | Self::NoFiles { dir }
            | Self::NoSpace { dir, .. } => Some(dir),
            Self::BadNote { note } => Some(note),
            Self::Inconsistent(_) | Self::Unmovable(_) => None,
        }
    }

    /// Is the disk, or the user's share of it, full?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The system's reason in lower case, without its number.
struct Reason<'a>(&'a io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        let mut letters = text.chars();
        match letters.next() {
            Some(first) => write!(f, "{}{}", first.to_lowercase(), letters.as_str()),
            None => f.write_str("unknown error"),
        }
    }
}

struct Holder<'a>(&'a Option<String>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |holder| write!(f, " by {holder}"))
    }
}

// What stands behind the words of an error, where its user can do something.
const FREE_SPACE: &str = ": free some space, it goes on by itself";
const READABLE: &str = ": make it readable";
const WRITABLE: &str = ": make it writable or choose another directory";
const IN_THE_WAY: &str = ": a file or a symbolic link is in the way, move it away";
const NO_LINKS: &str = ": links are not followed, move it away";

// And of what goes on by itself some day.
pub(super) const AWAY: &str = ": is it mounted? it goes on by itself when that is back";
pub(super) const SILENT: &str = ": it goes on by itself when it does";

/// What is wrong, of the words of a trouble, and what its user can do about it; none where they end
/// with nothing of that. That it goes on by itself is in neither.
pub fn remedy_apart(words: &str) -> (&str, Option<&'static str>) {
    let remedies = [
        (FREE_SPACE, "free some space"),
        (READABLE, "make it readable"),
        (WRITABLE, "make it writable or choose another directory"),
        (IN_THE_WAY, "a file or a symbolic link is in the way, move it away"),
        (NO_LINKS, "links are not followed, move it away"),
        (AWAY, "mount it again, or put it back"),
        (SILENT, "wait, or see why it does not answer"),
    ];
    let cut = |(end, remedy)| Some((words.strip_suffix(end)?, Some(remedy)));
    remedies.into_iter().find_map(cut).unwrap_or((words, None))
}

fn advice(operation: &str, error: &io::Error) -> &'static str {
    use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        _ if is_full(error) => FREE_SPACE,
        PermissionDenied if matches!(operation, "reading" | "opening" | "looking at") => READABLE,
        PermissionDenied | ReadOnlyFilesystem => WRITABLE,
        NotADirectory => IN_THE_WAY,
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => NO_LINKS,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_reads_as_people_need_it() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let error = Error::io("writing", "downloads/x", full);
        assert!(error.is_full());
        assert_eq!(
            error.to_string(),
            "no space left on device writing downloads/x: free some space, it goes on by itself"
        );
    }

    #[test]
    fn what_to_do_is_told_apart_from_what_is_wrong() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let words = Error::io("writing", "d: x", full).to_string();
        let what = "no space left on device writing d: x";
        assert_eq!(remedy_apart(&words), (what, Some("free some space")));
        assert_eq!(remedy_apart("input/output error reading d: x").1, None);
    }

    #[test]
    fn a_held_torrent_names_the_holder() {
        let error = Error::InUse {
            path: "state/x.resume".into(),
            holder: Some("driver (process 7)".to_owned()),
        };
        assert!(error.to_string().contains("in use here by driver (process 7):"), "{error}");
    }
}

//! Why a session or a torrent in it cannot start.

use std::path::PathBuf;

use crate::base::ids::TorrentId;

/// The causes, each with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or may not be opened.
    #[error(transparent)]
    Listen(#[from] crate::net::Error),
    /// A blocklist cannot be had, and without it nobody is spoken to.
    #[error(transparent)]
    Blocklist(#[from] crate::net::blocklist::Error),
    /// The directory for resume data cannot be made.
    #[error("cannot make the state directory {path}: {cause}; set XDG_STATE_HOME elsewhere")]
    StateDir {
        /// Which directory.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// What is kept of the session cannot be read, or another session has it.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::Error),
    /// Somebody was promised that it outlives the session, and that cannot be.
    #[error(transparent)]
    NotKept(#[from] crate::ledger::task::NotKept),
    /// No torrent has this number.
    #[error("there is no torrent {}", .0.0)]
    Unknown(TorrentId),
    /// The metadata of a torrent cannot be had.
    #[error("its files cannot be listed: {0}")]
    NoMetadata(String),
    /// A torrent of an earlier run does not come back.
    #[error("{0}")]
    Away(String),
    /// A setting that this torrent cannot have.
    #[error("that cannot be set: {0}")]
    Refused(String),
    /// All numbers that torrents can have were used.
    #[error("no more torrents can be added: all numbers are used")]
    NoNumber,
    /// Disk workers or the torrent's files.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
    /// The HTTP client for trackers could not be built.
    #[error("cannot prepare tracker requests: {0}")]
    HttpClient(String),
    /// A torrent of the same info-hash is there.
    #[error("the torrent is there already: {name}")]
    Duplicate {
        /// What it is called.
        name: String,
    },
    /// A path that it would write belongs to another torrent of the session.
    #[error(
        "{} belongs to the torrent {owner}, which is there already: choose another directory \
         (--dir), or give that one another name (rename) first", .path.display()
    )]
    Taken {
        /// Which path.
        path: PathBuf,
        /// What the other torrent is called.
        owner: String,
    },
    /// The files of another torrent are being removed from where its own would be.
    #[error("{name} is being removed with its files from there: add it when that is done")]
    Doomed {
        /// What that one is called.
        name: String,
    },
    /// A torrent cannot leave with its files.
    #[error("{0}")]
    FilesNeeded(String),
    /// The disk does not say whose files are whose.
    #[error("the disk does not answer: nothing was removed")]
    DiskSilent,
    /// The session has ended and takes no torrents.
    #[error("the session has ended")]
    Ended,
    /// The torrent itself stands in the way.
    #[error(transparent)]
    Torrent(#[from] crate::torrent::Error),
}

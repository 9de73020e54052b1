//! Why no torrent could be made of what is on disk.

use std::path::PathBuf;

use crate::disk::error::Error as DiskError;
use crate::metainfo::create as format;

/// Why no torrent was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing of that name.
    #[error("{}: no such file or directory", .path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// A pipe, socket or device.
    #[error("{} is neither a file nor a directory: it cannot be shared", .path.display())]
    Special {
        /// What was asked for.
        path: PathBuf,
    },
    /// A name that is not UTF-8, as names in torrents are (BEP 3).
    #[error("the name of {} is not UTF-8: rename it", .path.display())]
    NotUtf8 {
        /// Whose name.
        path: PathBuf,
    },
    /// `/` has no name.
    #[error("{} has no name that the torrent could have: choose one with --name", .path.display())]
    NoName {
        /// What was asked for.
        path: PathBuf,
    },
    /// The options or the names do not make a good torrent.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// The system refused to read something.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file was written, cut or replaced meanwhile: the hashes would be of neither state.
    #[error("{} changed while it was read: try again when nobody writes to it", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The caller asked to end.
    #[error("stopped before everything was hashed: no torrent was made")]
    Aborted,
}

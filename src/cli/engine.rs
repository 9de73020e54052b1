//! The few calls that the command line makes into the keepers and the workshop, in one
//! place, with their errors turned into exit codes. It adds nothing to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::metainfo::Torrent;
use crate::session::{self, Session, SessionConfig, TorrentOptions};
use crate::torrent::handle::TorrentHandle;

use super::escape::escape;
use super::exit::{Exit, Failure};

/// The session that runs the download.
pub struct Engine {
    session: Session,
}

impl Engine {
    /// Opens the listening port and all that torrents share.
    ///
    /// # Errors
    /// When the port is taken or the state directory cannot be used.
    pub async fn start(config: SessionConfig) -> Result<Self, Failure> {
        Ok(Self { session: Session::start(config).await.map_err(failure)? })
    }

    /// Starts a torrent.
    ///
    /// # Errors
    /// When another process owns it, or its files cannot be used.
    pub async fn add(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
    ) -> Result<TorrentHandle, Failure> {
        self.session.add(torrent, options).await.map_err(failure)
    }

    /// The port we listen on.
    pub fn port(&self) -> u16 {
        self.session.port()
    }
}

/// The exit code for each thing that can stand in the way at the start.
fn failure(error: session::Error) -> Failure {
    use crate::{disk, net::tcp, torrent};
    let exit = match &error {
        session::Error::Listen(tcp::Error::Taken(_)) => Exit::InUse,
        session::Error::Listen(_) => Exit::Network,
        session::Error::HttpClient(_) => Exit::Unexpected,
        session::Error::Torrent(torrent::Error::V2Only) => Exit::BadInput,
        session::Error::Disk(disk::Error::InUse { .. })
        | session::Error::Torrent(torrent::Error::Disk(disk::Error::InUse { .. })) => Exit::InUse,
        session::Error::Disk(_) | session::Error::StateDir { .. } => Exit::Disk,
        session::Error::Torrent(torrent::Error::Disk(_)) => Exit::Disk,
    };
    Failure::new(exit, escape(&error.to_string()))
}

/// What `verify` found of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileCheck {
    /// Its path under the directory.
    pub path: PathBuf,
    /// Its bytes.
    pub length: u64,
    /// Those of them in pieces that are right.
    pub good_bytes: u64,
    /// Is it there at all?
    pub exists: bool,
}

/// Checks all data of a torrent under `dir`; waits for the disk.
///
/// # Errors
/// When the directory cannot be read.
pub fn check(_torrent: &Torrent, _dir: &Path) -> Result<Vec<FileCheck>, Failure> {
    Err(Failure::new(Exit::Unexpected, "verifying is not wired yet"))
}

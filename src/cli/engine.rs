//! The few calls that the command line makes into the keepers and the workshop, in one
//! place, with their errors turned into exit codes. It adds nothing to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::metainfo::Torrent;
use crate::session::{SessionConfig, TorrentOptions};
use crate::torrent::handle::TorrentHandle;

use super::exit::{Exit, Failure};

/// The session that runs the download.
pub struct Engine {
    port: u16,
}

impl Engine {
    /// Opens the listening port and all that torrents share.
    ///
    /// # Errors
    /// When the port is taken or the state directory cannot be used.
    pub async fn start(_config: SessionConfig) -> Result<Self, Failure> {
        Err(Failure::new(Exit::Unexpected, "downloading is not wired yet"))
    }

    /// Starts a torrent.
    ///
    /// # Errors
    /// When another process owns it, or its files cannot be used.
    pub async fn add(
        &self,
        _torrent: Arc<Torrent>,
        _options: TorrentOptions,
    ) -> Result<TorrentHandle, Failure> {
        Err(Failure::new(Exit::Unexpected, "downloading is not wired yet"))
    }

    /// The port we listen on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all torrents and closes the port.
    pub async fn stop(self) {}
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

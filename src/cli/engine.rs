//! The few calls that the command line makes into the keepers and the workshop, in one
//! place, with their errors turned into exit codes. It adds nothing to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::InfoHash;
use crate::disk::{
    self, Allocate, CheckProgress, CheckReport, StoreConfig, StoreFile, check_files,
};
use crate::metainfo::Torrent;
use crate::session::{self, Session, SessionConfig, TorrentOptions};
use crate::torrent::handle::TorrentHandle;

use super::config::existing_state_dir;
use super::escape::escape;
use super::exit::{Exit, Failure};

/// The session that runs the downloads; cheap to clone.
#[derive(Clone, Debug)]
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

    /// Ends a torrent and takes it out; its data stays.
    pub async fn remove(&self, info_hash: InfoHash) {
        self.session.remove(info_hash).await;
    }

    /// Ends all torrents side by side.
    pub async fn stop(&self) {
        self.session.stop().await;
    }

    /// Sets or lifts the download limit of all torrents together, bytes per second.
    pub fn limit_down(&self, limit: Option<u64>) {
        self.session.limit_down(limit);
    }

    /// Sets or lifts the upload limit of all torrents together, bytes per second.
    pub fn limit_up(&self, limit: Option<u64>) {
        self.session.limit_up(limit);
    }

    /// The port we listen on.
    pub fn port(&self) -> u16 {
        self.session.port()
    }
}

/// The exit code for each thing that can stand in the way at the start.
pub fn failure(error: session::Error) -> Failure {
    use crate::{disk, net, torrent};
    let exit = match &error {
        session::Error::Listen(net::Error::PortTaken { .. }) => Exit::InUse,
        session::Error::Listen(_) => Exit::Network,
        session::Error::HttpClient(_) | session::Error::Ended => Exit::Unexpected,
        session::Error::Duplicate { .. } | session::Error::Taken { .. } => Exit::InUse,
        session::Error::Torrent(torrent::Error::V2Only) => Exit::BadInput,
        session::Error::Disk(disk::Error::InUse { .. })
        | session::Error::Torrent(torrent::Error::Disk(disk::Error::InUse { .. })) => Exit::InUse,
        session::Error::Disk(_) | session::Error::StateDir { .. } => Exit::Disk,
        session::Error::Torrent(torrent::Error::Disk(_)) => Exit::Disk,
    };
    Failure::new(exit, escape(&error.to_string()))
}

/// Checks all data of a torrent under `dir`, without changing anything there; waits for the
/// disk, and for others that read it where there is a state directory.
///
/// # Errors
/// When the torrent has no v1 layout, or there is no such directory.
pub fn check(
    torrent: &Torrent,
    dir: &Path,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> Result<CheckReport, Failure> {
    let (Some(layout), Some(info_hash)) = (torrent.layout, torrent.info_hash_v1) else {
        return Err(Failure::bad_input("torrents of version 2 only cannot be verified yet"));
    };
    if !dir.is_dir() {
        let shown = escape(&dir.display().to_string());
        return Err(Failure::bad_input(format!("{shown}: no such directory")));
    }
    let files = torrent.files.iter().map(|file| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    });
    let files: Vec<StoreFile> = files.collect();
    let config = StoreConfig {
        layout,
        piece_hashes: torrent.shared_piece_hashes(),
        wanted: vec![true; files.len()],
        files,
        symlinks: Vec::new(),
        dir: dir.to_owned(),
        allocate: Allocate::None,
        overwrite: false,
        // None is looked for.
        resume_path: PathBuf::new(),
        info_hash,
    };
    let _turn = existing_state_dir().and_then(|state| progress.take_turn(&state, dir));
    check_files(config, progress, memory_bytes).map_err(|error| from_disk(&error))
}

/// A failure of the disk room, with its exit code.
pub fn from_disk(error: &disk::Error) -> Failure {
    let exit = match error {
        disk::Error::InUse { .. } => Exit::InUse,
        disk::Error::Inconsistent(_) => Exit::Unexpected,
        _ => Exit::Disk,
    };
    Failure::new(exit, escape(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileCheck;
    use sha1::{Digest as _, Sha1};

    #[test]
    fn checks_what_is_there_and_leaves_nothing_behind() {
        let data = [7_u8; 40_000];
        let mut bytes = b"d4:infod5:filesl\
            d6:lengthi32768e4:pathl1:aeed6:lengthi7232e4:pathl1:bee\
            e4:name3:set12:piece lengthi32768e6:pieces40:"
            .to_vec();
        data.chunks(32_768).for_each(|piece| bytes.extend(Sha1::digest(piece)));
        bytes.extend(b"ee");
        let torrent = Torrent::parse(&bytes).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let checks = |torrent: &Torrent| -> Vec<FileCheck> {
            let report = check(torrent, dir.path(), &CheckProgress::default(), 24 << 20).unwrap();
            report.files.into_iter().map(|file| file.check).collect()
        };
        assert_eq!(checks(&torrent), [FileCheck::Missing, FileCheck::Missing]);
        std::fs::create_dir(dir.path().join("set")).unwrap();
        std::fs::write(dir.path().join("set/a"), &data[..32_768]).unwrap();
        std::fs::write(dir.path().join("set/b"), [8; 7232]).unwrap();
        assert_eq!(checks(&torrent), [FileCheck::Whole, FileCheck::Wrong(1)]);
        std::fs::write(dir.path().join("set/b"), &data[32_768..]).unwrap();
        assert_eq!(checks(&torrent), [FileCheck::Whole, FileCheck::Whole]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(dir.path().join("set")).unwrap().count(), 2);
    }
}

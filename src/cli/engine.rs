//! The few calls that the command line makes into the keepers and the workshop, in one
//! place, with their errors turned into exit codes. It adds nothing to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::api::{Api, ApiConfig, Key, Limits, Request, Roots, Waiting};
use crate::base::digest::Sha256Hash;
use crate::dht::task::Dht;
use crate::disk::create::create;
use crate::disk::{
    self, Allocate, CheckProgress, CheckReport, FileCheck, FileReport, Home, StoreConfig,
    StoreFile, check_files,
};
use crate::metainfo::create::CreateOptions;
use crate::metainfo::{Kind, Torrent};
use crate::net::blocklist;
use crate::net::egress::Egress;
use crate::net::portmap::{PortMap, Standing};
use crate::session::{self, Opening, Session, SessionConfig, TorrentOptions};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::seeking::{Contacts, SeekRequest, Seeking};

use super::asking::Answered;
use super::config::existing_state_dir;
use super::escape::escape;
use super::exit::{Exit, Failure};
use super::place::no_directory;

/// The session that runs the downloads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    session: Session,
    /// Where everything leaves.
    egress: Egress,
    /// Asks the session by values.
    api: Api,
}

impl Engine {
    /// Opens the listening port and all that torrents share.
    ///
    /// # Errors
    /// When the port is taken or the state directory cannot be used.
    pub async fn start(config: SessionConfig) -> Result<Self, Failure> {
        let egress = config.egress.clone();
        let session = Session::start(config).await.map_err(failure)?;
        let api = ApiConfig {
            version: env!("CARGO_PKG_VERSION"),
            dir: PathBuf::new(),
            // Who sits at the prompt may write wherever the process may.
            roots: Roots::new(Vec::new()),
            egress: egress.clone(),
            allows_local: true,
            rest: TorrentOptions::default(),
            speaker: |_| String::new(),
        };
        Ok(Self { api: Api::new(session.clone(), api), session, egress })
    }

    /// Asks the session something, or gives it an order.
    ///
    /// # Errors
    /// In words for people, escaped: it is refused.
    pub async fn ask<T: Answered>(&self, request: Request) -> Result<T, String> {
        let answer = self.api.answer(request).await.map_err(|why| escape(&why.error))?;
        T::of(answer).ok_or_else(|| "the answer is about something else".to_owned())
    }

    /// What a torrent waits for.
    ///
    /// # Errors
    /// In words for people, escaped: it is gone.
    pub async fn waiting(&self, key: &Key) -> Result<Waiting, String> {
        self.api.waiting(key).await.map_err(|why| escape(&why.error))
    }

    /// Starts a torrent; with those whom the search for its metadata has met, if there was one.
    ///
    /// # Errors
    /// When another process owns it, or its files cannot be used.
    pub async fn add(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Contacts>,
    ) -> Result<TorrentHandle, Failure> {
        opened(self.begin(torrent, options, contacts).await).await
    }

    /// The same, up to its place in the queue.
    pub async fn begin(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Contacts>,
    ) -> Opening {
        self.session.begin(torrent, options, contacts).await
    }

    /// Searches for the metadata of a torrent.
    ///
    /// # Errors
    /// When the torrent is there.
    pub async fn seek(&self, request: SeekRequest) -> Result<Seeking, Failure> {
        self.session.seek(request).await.map_err(failure)
    }

    /// Ends all torrents side by side.
    pub async fn stop(&self) {
        self.session.stop().await;
    }

    /// Whether ends may take as long as the devices need, as long as they answer.
    pub fn be_patient(&self, patient: bool) {
        self.session.be_patient(patient);
    }

    /// The limits of all torrents together, as they are now; none of a session that has ended.
    pub async fn limits(&self) -> Limits {
        let now = self.session.limits_now().await.map(|(now, _)| now);
        now.map(Limits::from).unwrap_or_default()
    }

    /// Where everything leaves.
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// How others reach us from outside, where a router is asked to let them.
    pub fn outside(&self) -> Option<Standing> {
        self.session.portmap().map(PortMap::standing)
    }

    /// The DHT, where it runs.
    pub fn dht(&self) -> Option<&Dht> {
        self.session.dht()
    }

    /// The port we listen on.
    pub fn port(&self) -> u16 {
        self.session.port()
    }
}

/// Waits until a torrent's files are open.
///
/// # Errors
/// As [`Engine::add`].
pub async fn opened(opening: Opening) -> Result<TorrentHandle, Failure> {
    opening.opened().await.map_err(failure)
}

/// The exit code for each thing that can stand in the way at the start.
pub fn failure(error: session::Error) -> Failure {
    use crate::{disk, net, torrent};
    if let session::Error::Blocklist(error) = &error {
        return blocklist_failure(error);
    }
    let exit = match &error {
        session::Error::Listen(net::Error::PortTaken { .. }) => Exit::InUse,
        session::Error::Listen(_) => Exit::Network,
        session::Error::Blocklist(_)
        | session::Error::HttpClient(_)
        | session::Error::Ended
        | session::Error::Unknown(_)
        | session::Error::NoMetadata(_)
        | session::Error::NoNumber
        | session::Error::Away(_)
        | session::Error::Torrent(torrent::Error::Failed(_) | torrent::Error::Ended) => {
            Exit::Unexpected
        }
        session::Error::Duplicate { .. }
        | session::Error::Taken { .. }
        | session::Error::Doomed { .. }
        | session::Error::FilesNeeded(_) => Exit::InUse,
        session::Error::Ledger(session::LedgerError::Refused(_)) => Exit::InUse,
        session::Error::Ledger(_) | session::Error::NotKept(_) => Exit::Disk,
        session::Error::Refused(_) | session::Error::Torrent(torrent::Error::V2Only) => {
            Exit::BadInput
        }
        session::Error::Disk(disk::Error::InUse { .. })
        | session::Error::Torrent(torrent::Error::Disk(disk::Error::InUse { .. })) => Exit::InUse,
        session::Error::Disk(_) | session::Error::DiskSilent | session::Error::StateDir { .. } => {
            Exit::Disk
        }
        session::Error::Torrent(torrent::Error::Disk(_)) => Exit::Disk,
    };
    Failure::new(exit, escape(&error.to_string()))
}

/// The exit code for a blocklist that is not to be had.
pub fn blocklist_failure(error: &blocklist::Error) -> Failure {
    let exit = match error {
        blocklist::Error::NotFetched { .. } => Exit::Network,
        blocklist::Error::Flawed { .. } | blocklist::Error::Url => Exit::BadInput,
    };
    Failure::new(exit, escape(&error.to_string()))
}

/// Checks all data of a torrent in its home, without changing anything there; waits for the
/// disk, and for others that read it where there is a state directory.
///
/// # Errors
/// When the torrent has no v1 layout, or there is no such directory.
pub fn check(
    torrent: &Torrent,
    home: &Home,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> Result<CheckReport, Failure> {
    let config = config_to_check(torrent, home)?;
    let _turn = existing_state_dir().and_then(|state| progress.take_turn(&state, &home.dir));
    check_files(config, progress, memory_bytes).map_err(|error| from_disk(&error))
}

/// The same, and the SHA-256 of each file that could be read whole, by its number.
pub fn check_and_sum(
    torrent: &Torrent,
    home: &Home,
    progress: &CheckProgress,
    memory_bytes: usize,
) -> Result<(CheckReport, Vec<Option<Sha256Hash>>), Failure> {
    let config = config_to_check(torrent, home)?;
    let _turn = existing_state_dir().and_then(|state| progress.take_turn(&state, &home.dir));
    disk::check_and_sum(config, progress, memory_bytes).map_err(|error| from_disk(&error))
}

/// What a check has to know.
fn config_to_check(torrent: &Torrent, home: &Home) -> Result<StoreConfig, Failure> {
    // No record is looked for.
    let dir = home.dir.as_path();
    let Some(mut config) = store_config(torrent, dir, PathBuf::new()) else {
        return Err(Failure::bad_input("torrents of version 2 only cannot be verified yet"));
    };
    for (number, file) in (0..).zip(&mut config.files) {
        file.path = home.path_of(number, &file.path);
    }
    if !dir.is_dir() {
        return Err(no_directory(torrent, dir));
    }
    Ok(config)
}

/// The files of a hybrid that are wrong by the report, but right by their v2 hash trees: then the
/// torrent's v1 hashes are wrong, and the report is made to call them right. Reads them whole.
pub fn right_by_v2(
    torrent: &Torrent,
    home: &Home,
    report: &mut CheckReport,
    memory_bytes: usize,
) -> Vec<PathBuf> {
    let is_wrong = |file: &FileReport| {
        matches!(file.check, FileCheck::Wrong(_)) && file.unread.is_empty() && file.wrong_pieces > 0
    };
    if torrent.kind() != Kind::Hybrid || report.is_cancelled || !report.files.iter().any(is_wrong) {
        return Vec::new();
    }
    let options = CreateOptions {
        kind: Kind::V2,
        piece_length: Some(torrent.piece_length.into()),
        ..CreateOptions::default()
    };
    let root_on_disk = |path: &Path| {
        let never = AtomicBool::new(false);
        let created = create(&home.dir.join(path), &options, memory_bytes, &|_| {}, &never).ok()?;
        created.torrent.file_roots().first().copied().flatten()
    };
    let files = torrent.files.iter().zip(torrent.file_roots()).zip(&mut report.files);
    let mut right = Vec::new();
    for (number, ((file, root), report)) in (0..).zip(files) {
        let path = home.path_of(number, file.path);
        if is_wrong(report) && root.is_some() && root_on_disk(&path) == root {
            report.check = FileCheck::Whole;
            report.wrong_pieces = 0;
            report.wrong.clear();
            right.push(path);
        }
    }
    right
}

/// The data of a torrent below `dir` as the disk room is told of it; none for torrents of version
/// 2 only. `record` is the path of its record.
pub fn store_config(torrent: &Torrent, dir: &Path, record: PathBuf) -> Option<StoreConfig> {
    let files = torrent.files.iter().map(|file| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    });
    let files: Vec<StoreFile> = files.collect();
    Some(StoreConfig {
        layout: torrent.layout?,
        piece_hashes: torrent.shared_piece_hashes(),
        wanted: vec![true; files.len()],
        files,
        symlinks: Vec::new(),
        dir: dir.to_owned(),
        allocate: Allocate::None,
        overwrite: false,
        resume_path: record,
        info_hash: torrent.info_hash_v1?,
        ignores_record: false,
    })
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
        let home = Home::at(dir.path().to_owned());
        let checks = |torrent: &Torrent| -> Vec<FileCheck> {
            let report = check(torrent, &home, &CheckProgress::default(), 24 << 20).unwrap();
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

    /// As torrentfile 0.9.2 makes them: zeros behind the file's end are hashed into the last v1
    /// piece.
    #[test]
    fn a_hybrid_whose_v1_hashes_are_wrong_is_judged_by_its_trees() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = vec![7_u8; 70_000];
        std::fs::write(dir.path().join("x"), &data).unwrap();
        let kind = Kind::Hybrid;
        let options = CreateOptions { kind, piece_length: Some(32_768), ..Default::default() };
        let never = AtomicBool::new(false);
        let made = create(&dir.path().join("x"), &options, 24 << 20, &|_| {}, &never).unwrap();
        let mut bytes = made.bytes;
        let (good, mut padded) = (Sha1::digest(&data[65_536..]), data[65_536..].to_vec());
        padded.resize(32_768, 0);
        let at = bytes.windows(20).position(|hash| hash == good.as_slice()).unwrap();
        bytes[at..at + 20].copy_from_slice(&Sha1::digest(&padded));
        let torrent = Torrent::parse(&bytes).unwrap();
        let home = Home::at(dir.path().to_owned());
        let looked = || {
            let progress = CheckProgress::default();
            let mut report = check(&torrent, &home, &progress, 24 << 20).unwrap();
            let right = right_by_v2(&torrent, &home, &mut report, 24 << 20);
            (right, report.files[0].check)
        };
        assert_eq!(looked(), (vec![PathBuf::from("x")], FileCheck::Whole));
        data[69_999] = 8;
        std::fs::write(dir.path().join("x"), &data).unwrap();
        assert_eq!(looked(), (Vec::new(), FileCheck::Wrong(1)));
    }
}

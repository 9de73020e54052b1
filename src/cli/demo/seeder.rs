//! A seeder of the demo: a session of its own with its part of the sample on disk, which it
//! serves over the same path as any torrent. It wants nothing more than it has.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::metainfo::Torrent;
use crate::net::blocklist::Lists;
use crate::net::egress::Egress;
use crate::session::{
    Allocate, CheckMode, Encryption, Memory, SeedLimits, Session, SessionConfig, TorrentOptions,
};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::status::Status;
use crate::tracker::tiers::status::TrackerState;

use super::super::engine::failure;
use super::super::exit::{Failure, from_io};
use super::content::{NAME, PIECE_LEN, Sample};

/// How long a tracker on this machine may take to hear of a seeder.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(10);

/// One seeder.
pub struct Seeder {
    /// What it is called.
    pub name: String,
    /// Which pieces it has.
    pub part: Vec<bool>,
    /// Bytes a second it sends at most.
    pub rate: Option<u64>,
}

/// A seeder at work, until it is dropped.
pub struct Seeding {
    session: Session,
    _torrent: TorrentHandle,
}

impl Seeding {
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.session.port()
    }
}

impl Seeder {
    /// Writes its part of the sample below `dir`, starts and announces it.
    ///
    /// # Errors
    /// When the part cannot be written or no port be opened.
    pub async fn start(
        self,
        sample: &Sample,
        torrent: Arc<Torrent>,
        dir: &Path,
    ) -> Result<Seeding, Failure> {
        let dir = dir.join(&self.name);
        self.write(sample, &dir.join(NAME))
            .map_err(|error| from_io(&format!("cannot write below {}", dir.display()), &error))?;
        let session = Session::start(self.session(dir.join(".state"))).await.map_err(failure)?;
        let files = torrent.files.len();
        let options = options(dir, files);
        let handle = session.add(torrent, options).await.map_err(failure)?;
        let mut status = handle.watch();
        let is_known = |status: &Status| {
            status.trackers.iter().any(|tracker| tracker.state == TrackerState::Working)
        };
        // A tracker that hears of it late is only a slower demo.
        let _ = timeout(ANNOUNCE_LIMIT, status.wait_for(is_known)).await;
        Ok(Seeding { session, _torrent: handle })
    }

    fn session(&self, state_dir: PathBuf) -> SessionConfig {
        SessionConfig {
            port: Some(0),
            listen: true,
            egress: Egress::from_address(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            blocklists: Lists::default(),
            encryption: Encryption::default(),
            state_dir,
            // It receives nothing.
            memory: Memory::split(Memory::MIN, 1),
            download_limit: None,
            upload_limit: self.rate,
            max_active: 1,
            local_discovery: false,
            allow_local_sources: false,
            web_connections: SessionConfig::WEB_CONNECTIONS,
            web_limit: None,
            authorities: Vec::new(),
            dht: None,
        }
    }

    /// Writes the pieces it has, and leaves holes for the others.
    fn write(&self, sample: &Sample, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let mut begin = 0;
        for (name, bytes) in sample.files() {
            let file = std::fs::File::create(dir.join(name))?;
            file.set_len(bytes.len() as u64)?;
            for (piece, _) in self.part.iter().enumerate().filter(|(_, has)| **has) {
                let from = (piece * PIECE_LEN).max(begin);
                let end = ((piece + 1) * PIECE_LEN).min(begin + bytes.len());
                if from < end {
                    file.write_all_at(&bytes[from - begin..end - begin], (from - begin) as u64)?;
                }
            }
            begin += bytes.len();
        }
        Ok(())
    }
}

/// It wants no file: what it has is all it is to have.
fn options(dir: PathBuf, files: usize) -> TorrentOptions {
    TorrentOptions {
        dir,
        wanted_files: Some(vec![false; files]),
        peers: Vec::new(),
        extra_trackers: Vec::new(),
        use_trackers: true,
        web_seeds: Vec::new(),
        use_web_seeds: false,
        check: CheckMode::Force,
        overwrite: true,
        waits_for_disk: false,
        checks_room: false,
        allocate: Allocate::None,
        sequential: false,
        found: Vec::new(),
        max_peers: 50,
        exchange_peers: true,
        seeding: SeedLimits::default(),
        seed_only: false,
    }
}

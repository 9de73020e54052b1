//! All torrents of a process and what they share: the listening port, the block pool, the
//! disk workers, the HTTP client. One torrent for now; a queue and saved sessions come with
//! many.

pub mod error;
mod listener;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::base::ids::PeerId;
use crate::base::pool::BlockPool;
use crate::base::units::BLOCK_LEN;
use crate::disk::{Disk, DiskConfig};
use crate::metainfo::Torrent;
use crate::net::limiter::Limiter;
use crate::net::tcp;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::lifecycle::{self, Resources};
use crate::tracker::task::{NetworkTiming, http_client};

pub use crate::torrent::options::{Allocate, CheckMode, TorrentOptions};
pub use error::Error;

use listener::Registration;

/// Torrents that register while the listener is busy.
const REGISTRATIONS_LEN: usize = 16;

/// What torrents of a session share.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Port to listen on; none tries 6881 to 6889 and then any; 0 is any.
    pub port: Option<u16>,
    /// Take connections at all? Without, `port` means nothing.
    pub listen: bool,
    /// Address to listen on and dial from; both families when none.
    pub bind: Option<IpAddr>,
    /// Where resume data lies, made when missing.
    pub state_dir: PathBuf,
    /// Bytes of blocks between socket and disk.
    pub pool_bytes: usize,
    /// Download limit of all torrents together, in bytes per second.
    pub download_limit: Option<u64>,
    /// Upload limit of all torrents together, in bytes per second.
    pub upload_limit: Option<u64>,
}

impl SessionConfig {
    /// Bytes of blocks held when nothing else is asked for: enough for a full set of hash
    /// lanes of 1 MiB pieces, and as much again to receive into.
    pub const POOL_BYTES: usize = 2560 * BLOCK_LEN;
}

/// A running session.
pub struct Session {
    resources: Resources,
    registrations: mpsc::Sender<Registration>,
}

impl Session {
    /// Opens the port and starts the disk workers.
    ///
    /// # Errors
    /// The port is taken or not allowed, the state directory cannot be made, or the system
    /// gives no threads.
    pub async fn start(config: SessionConfig) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.state_dir)
            .map_err(|cause| Error::StateDir { path: config.state_dir.clone(), cause })?;
        let listening = match config.listen {
            true => tcp::listen(config.bind, config.port)?,
            false => tcp::Listening { port: 0, listeners: Vec::new() },
        };
        let pool = BlockPool::new(config.pool_bytes);
        let disk = Disk::start(DiskConfig { workers: None, pool: pool.clone() })?;
        let timing = NetworkTiming::default();
        let client = http_client(&timing).map_err(|cause| Error::HttpClient(cause.to_string()))?;
        let (registrations, registered) = mpsc::channel(REGISTRATIONS_LEN);
        let port = listening.port;
        tokio::spawn(listener::run(listening, registered));
        let resources = Resources {
            peer_id: PeerId::ours(rand::random()),
            port,
            bind: config.bind,
            state_dir: config.state_dir,
            pool,
            disk: Arc::new(disk),
            limiter: Arc::new(Limiter::new(config.download_limit)),
            up_limiter: Arc::new(Limiter::new(config.upload_limit)),
            http: client,
            tracker_network: timing,
        };
        Ok(Self { resources, registrations })
    }

    /// Starts a torrent. It looks at data on disk first, then downloads what is missing.
    ///
    /// # Errors
    /// Another process has this torrent, a directory cannot be made, or the torrent has no
    /// v1 half.
    pub async fn add(
        &self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
    ) -> Result<TorrentHandle, Error> {
        let (handle, info_hash, incoming) =
            lifecycle::start(self.resources.clone(), torrent, options).await?;
        // The listener lives as long as the session.
        let _ = self.registrations.send(Registration { info_hash, incoming }).await;
        Ok(handle)
    }

    /// Sets or lifts the download limit of all torrents together, bytes per second.
    pub fn limit_down(&self, limit: Option<u64>) {
        self.resources.limiter.set_rate(limit);
    }

    /// Sets or lifts the upload limit of all torrents together, bytes per second.
    pub fn limit_up(&self, limit: Option<u64>) {
        self.resources.up_limiter.set_rate(limit);
    }

    /// The port that peers can reach us at; 0 when there is none.
    pub fn port(&self) -> u16 {
        self.resources.port
    }
}

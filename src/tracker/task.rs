//! The announces of all torrents of a session: one task that does what each torrent's
//! [`super::tiers`] says, over the network. It keeps no peers and dials none; they leave as events.
//!
//! A torrent has an [`Entry`] with the [`Announcer`]. What it says there is kept until the task
//! takes it (`mail`), which does not wait for anybody; its part of the task is a `member`; what it
//! has no ears for is not told. All that is to be asked waits for its turn ([`super::turns`]).

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use crate::base::ids::{InfoHash, PeerId};
use crate::net::portmap::OwnPorts;
use crate::tracker::tiers::status::TrackerStatus;
use crate::tracker::tiers::{ManualAnnounce, Standing, Timing};

pub use fetch::{HttpClient, NetworkTiming, http_client};
pub use lines::{HTTP_BOUNDS, HTTP_GOODBYES, UDP_BOUNDS, UDP_GOODBYES};
pub use udp::UdpClient;

mod desk;
mod ears;
mod errand;
mod fetch;
mod lines;
mod mail;
mod member;
mod udp;

use desk::Desk;
use mail::{EntryId, Letter, Mail, Newcomer};

/// What all torrents of a session announce with.
pub struct AnnouncerConfig {
    /// Our id.
    pub peer_id: PeerId,
    /// Our ports, of which each tracker is told the one by which its peers reach us; when that is
    /// another one, all are told.
    pub ports: OwnPorts,
    /// We take encrypted connections, which HTTP trackers are told.
    pub supports_crypto: bool,
    /// We take no others.
    pub requires_crypto: bool,
    /// For HTTP trackers.
    pub client: HttpClient,
    /// For UDP trackers; with none they are asked over own sockets.
    pub udp: Option<UdpClient>,
    /// Times of the announces.
    pub timing: Timing,
    /// Times of the network.
    pub network: NetworkTiming,
    /// Failures and warnings of one tracker of a torrent are reported once in this time.
    pub quiet: Duration,
}

/// What a torrent announces with.
pub struct TrackerConfig {
    /// The announce list.
    pub tiers: Vec<Vec<String>>,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Random, the same for the life of the torrent (BEP 7).
    pub key: u32,
    /// Peers to ask for, while anybody hears of them.
    pub numwant: u32,
    /// BEP 27: peers of these trackers may not be passed on.
    pub is_private: bool,
    /// Whether the whole torrent was here once: `completed` is never told then.
    pub was_complete: bool,
    /// Random; shuffles the tiers and spreads the intervals.
    pub rng_seed: u64,
}

/// [`AnnouncerConfig::quiet`] outside of tests.
pub const QUIET_DEFAULT: Duration = Duration::from_secs(300);

/// Figures of the torrent that trackers are told, or that decide when to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransferStats {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received whose pieces were right.
    pub downloaded: u64,
    /// Payload bytes received whose pieces were wrong.
    pub corrupt: u64,
    /// Payload bytes received twice, or unasked.
    pub redundant: u64,
    /// Bytes of the torrent missing, wanted or not; not 0 while a magnet's size is unknown, or
    /// trackers count a seed.
    pub left: u64,
    /// Wanted bytes missing.
    pub wanted_left: u64,
    /// Live links.
    pub peers_connected: usize,
    /// Links that serve us or may.
    pub working_peers: usize,
    /// The user paused the torrent: trackers are told that it has left, until it goes on.
    pub is_paused: bool,
}

impl TransferStats {
    fn standing(&self) -> Standing {
        match (self.left, self.wanted_left) {
            (0, _) => Standing::Seed,
            (_, 0) => Standing::PartialSeed,
            _ => Standing::Leech,
        }
    }
}

/// Orders from the torrent.
#[derive(Debug)]
pub enum TrackerCommand {
    /// The user wants an announce now; the answer says whether it may be.
    Announce(oneshot::Sender<ManualAnnounce>),
    /// The last piece of the whole torrent has been verified. Told again after pieces were
    /// lost, it makes no second event.
    Completed,
    /// The user looks at the trackers: scrape those whose numbers are old or not known.
    Scrape,
}

/// News for the torrent. Texts are unescaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackerEvent {
    /// Peers that may be dialled.
    Peers {
        /// Usable addresses.
        addresses: Vec<SocketAddr>,
    },
    /// This tracker of a private torrent has answered; its peers follow, if it named any.
    PrivateAnswered(String),
    /// A tracker warns; the announce counts.
    Warning {
        /// The tracker.
        url: String,
        /// Its words.
        text: String,
    },
    /// An announce failed.
    Failure {
        /// The tracker.
        url: String,
        /// Why.
        text: String,
    },
    /// Our address, as a tracker sees it (BEP 24).
    ExternalIp(IpAddr),
    /// How all trackers stand, whenever that changes.
    Status(Vec<TrackerStatus>),
}

/// Announces for all torrents of a session. A handle to the task, which ends when the last of
/// these and all entries are gone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Announcer {
    post: Arc<Post>,
}

/// The way to the task.
#[derive(Debug)]
struct Post {
    mail: watch::Sender<Mail>,
    /// Closed with the last of those who may write.
    _open: mpsc::Sender<Infallible>,
}

impl Announcer {
    /// Starts the task. Must run inside the runtime.
    pub fn start(config: AnnouncerConfig) -> Self {
        let (mail, delivered) = watch::channel(Mail::default());
        let (open, closed) = mpsc::channel(1);
        tokio::spawn(Desk::new(config, mail.clone()).run(delivered, closed));
        Self { post: Arc::new(Post { mail, _open: open }) }
    }

    /// Begins to announce a torrent. `events` hears of it, as after [`Entry::listen`].
    pub fn enter(
        &self,
        config: TrackerConfig,
        stats: TransferStats,
        events: Option<mpsc::Sender<TrackerEvent>>,
    ) -> Entry {
        let newcomer = Box::new(Newcomer { config, stats, events });
        let mut id = None;
        self.post.mail.send_modify(|mail| id = Some(mail.enter(newcomer)));
        Entry { id: id.unwrap_or_default(), post: self.post.clone() }
    }
}

/// A torrent that is announced. Dropped, it leaves its trackers as after [`Entry::stop`].
#[derive(Debug)]
pub struct Entry {
    id: EntryId,
    post: Arc<Post>,
}

impl Entry {
    /// Tells the figures of the torrent.
    pub fn publish(&self, stats: TransferStats) {
        self.write(|letter| letter.stats = Some(stats));
    }

    /// Gives an order.
    pub fn tell(&self, command: TrackerCommand) {
        self.write(|letter| letter.order(command));
    }

    /// Who hears of the torrent from now on, beginning with how its trackers stand; with none,
    /// trackers are asked for no peers.
    pub fn listen(&self, events: Option<mpsc::Sender<TrackerEvent>>) {
        self.write(|letter| letter.ears = Some(mail::Listener(events)));
    }

    /// Says goodbye to all trackers that know the torrent, which is announced no more. The future
    /// ends when they were told, within the stop budget.
    pub fn stop(&self) -> impl Future<Output = ()> + use<> {
        let (done, stopped) = oneshot::channel();
        self.write(|letter| letter.stop = Some(done));
        async move {
            // It may have been stopped before.
            let _ = stopped.await;
        }
    }

    fn write(&self, words: impl FnOnce(&mut Letter)) {
        self.post.mail.send_modify(|mail| words(mail.letter(self.id)));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.write(|letter| letter.is_gone = true);
    }
}

/// The runtime's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_to(wake: Option<Instant>) {
    if let Some(wake) = wake {
        sleep_until(wake.into()).await;
    }
}

//! Links: tasks that carry facts and orders between a peer's socket and the brain. They keep
//! the rules of the wire and no opinion about the torrent.
//!
//! One task per link. What it reports goes to one bounded channel that all links of a torrent
//! share; while that is full, or the block pool is empty, the link does not read, and TCP
//! slows the peer down.

mod accept;
mod bt;
mod chunk;
mod ciphered;
mod dial;
mod dialect;
mod early;
mod inbound;
mod node;
mod outbox;
mod ready;
mod secrecy;
mod stream;
mod task;
mod translate;
pub mod web;

pub use accept::{Hello, accept, read_hello};
pub use chunk::{Provider, dial_provider};
pub use dial::dial;
pub use inbound::{CARRY_OWN, READ_LEN};
pub use node::DhtEnd;
pub use secrecy::{Door, Question, Secrecy};
pub use stream::Stream;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::base::layout::Layout;
use crate::base::pool::{BlockPool, Room};
use crate::disk::Outlet;
use crate::net;
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::net::portmap::OwnPorts;
use crate::swarm::event::DownReason;
use crate::swarm::link::{LinkCaps, LinkCommand, LinkEvent};

/// What all links of a torrent share.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The torrent, as handshakes name it.
    pub info_hash: InfoHash,
    /// What we call ourselves.
    pub peer_id: PeerId,
    /// What the torrent is, as far as that is known.
    pub subject: Subject,
    /// Peers are exchanged (BEP 11).
    pub exchanges_peers: bool,
    /// Where data is received into.
    pub pool: BlockPool,
    /// The limit on received bytes.
    pub limiter: Arc<Limiter>,
    /// The limit on sent bytes.
    pub up_limiter: Arc<Limiter>,
    /// Our ports, told to peers that we dial.
    pub ports: Option<OwnPorts>,
    /// The DHT, where it runs and the torrent is not known to be private.
    pub dht: Option<DhtEnd>,
    /// Where connections leave.
    pub egress: Egress,
    /// Whether connections are encrypted.
    pub secrecy: Secrecy,
    /// Patience.
    pub timeouts: LinkTimeouts,
}

/// What the torrent of a link is. Links may be up before anybody knows (BEP 9).
#[derive(Clone, Debug, Default)]
pub struct Subject(Arc<OnceLock<Known>>);

/// A torrent that is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// The torrent's geometry, against which everything a peer says is checked.
    pub layout: Layout,
    /// What blocks are sent from; none where nothing is ever sent.
    pub outlet: Option<Outlet>,
    /// The info dictionary as it is hashed, for peers that seek it; none where it is not given.
    pub metadata: Option<Arc<[u8]>>,
}

impl Subject {
    /// A torrent that is known already.
    pub fn of(known: Known) -> Self {
        Self(Arc::new(OnceLock::from(known)))
    }

    /// The same, of which nothing is ever sent.
    pub fn with_layout(layout: Layout) -> Self {
        Self::of(Known { layout, outlet: None, metadata: None })
    }

    /// Tells all links what the torrent is; the first word counts.
    pub fn know(&self, known: Known) {
        // Whoever was first knew the same.
        let _ = self.0.set(known);
    }

    /// What it is, once that is known.
    pub fn known(&self) -> Option<&Known> {
        self.0.get()
    }
}

/// How long a link waits for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the remote's handshake, once connected.
    pub handshake: Duration,
    /// For the next byte of the remote.
    pub idle: Duration,
    /// Of our own silence, before a keep-alive is sent.
    pub keep_alive: Duration,
    /// For the remote to take some of what we send.
    pub write: Duration,
}

impl Default for LinkTimeouts {
    /// BEP 3 sends keep-alives "once every two minutes", but readers give up sooner: 90 s
    /// is inside what grown clients do (60 to 100 s).
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            keep_alive: Duration::from_secs(90),
            write: Duration::from_secs(120),
        }
    }
}

/// News of one link.
#[derive(Debug)]
pub struct LinkReport {
    /// Which link.
    pub link: LinkId,
    /// What happened.
    pub news: LinkNews,
    /// Leave for what long messages told, until whoever takes the news drops it.
    pub held: Vec<Room>,
}

/// What happened on a link: `Up` at most once and before events, `Down` exactly once and last.
#[derive(Debug)]
pub enum LinkNews {
    /// Handshakes were exchanged.
    Up {
        /// What the remote calls itself; it may be ourselves.
        peer_id: PeerId,
        /// What the link can do.
        caps: LinkCaps,
        /// The remote's end of the connection.
        address: SocketAddr,
    },
    /// It is not up for want of a connection that may be made; before `Up`, any number of times.
    Waits(web::Wait),
    /// What one read brought, in order.
    Events(Vec<LinkEvent>),
    /// The link is over.
    Down(DownReason),
}

/// The brain's end of a link. Dropping it ends the link.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    /// Orders in batches. Whoever holds this must not wait on it while it also has to
    /// receive reports: use `try_send`, and take a full channel for a dead link.
    pub commands: mpsc::Sender<Vec<LinkCommand>>,
}

/// Batches of orders a link may be behind with. It takes them also while it waits for the
/// socket, the pool or the report channel, so a link that is behind is starved of CPU.
const COMMAND_BATCHES_MAX: usize = 64;

impl LinkHandle {
    fn new() -> (Self, mpsc::Receiver<Vec<LinkCommand>>) {
        let (commands, receiver) = mpsc::channel(COMMAND_BATCHES_MAX);
        (Self { commands }, receiver)
    }
}

/// Why a connection did not become a link. Always the remote's doing, but for `Busy`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It sent something else than a handshake.
    #[error(transparent)]
    Wire(#[from] crate::wire::Error),
    /// It sent an encrypted handshake that came to nothing.
    #[error(transparent)]
    Mse(#[from] crate::wire::mse::Error),
    /// We compute no more secrets for strangers at present.
    #[error("there are too many encrypted handshakes at once")]
    Busy,
    /// It sent nothing for too long.
    #[error("it sent no handshake in time")]
    Silent,
    /// The connection broke.
    #[error("the connection broke during the handshake: {0}")]
    Lost(#[from] io::Error),
}

impl From<Error> for DownReason {
    fn from(error: Error) -> Self {
        Self::HandshakeFailed(match error {
            error @ (Error::Wire(_) | Error::Mse(_) | Error::Busy | Error::Silent) => {
                error.to_string()
            }
            Error::Lost(error) => lost(&error).to_string(),
        })
    }
}

/// Why a link has ended whose device is gone.
fn device_lost() -> DownReason {
    DownReason::Held("our network device is gone, or has another address".to_owned())
}

/// Why there is no connection to a peer.
fn not_dialled(error: net::Error) -> DownReason {
    match error.is_held() {
        true => DownReason::Held(error.to_string()),
        false => DownReason::DialFailed(error.to_string()),
    }
}

/// The words for a connection that broke.
fn lost(error: &io::Error) -> DownReason {
    DownReason::Lost(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it reset the connection".to_owned()
        }
        _ => format!("the connection broke: {error}"),
    })
}

#[cfg(test)]
mod tests;

//! Links: one task per peer connection, between the wire and the brain's vocabulary. A link
//! moves bytes and checks their form; whom to ask for what is not its business.

pub mod accept;
mod bt;
pub mod dial;
mod outbound;
mod stream;
#[cfg(test)]
mod tests;
mod translate;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::{LinkCaps, LinkCommand, LinkEvent};

pub use accept::accept;
pub use dial::dial;

/// Batches of commands that a link has not taken yet. The brain sends one a read at most, so
/// one that leaves so many lying is not reading.
const COMMANDS_LEN: usize = 128;

/// What all links of one torrent share.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our id.
    pub peer_id: PeerId,
    /// The torrent's geometry, to check strangers' numbers.
    pub layout: Layout,
    /// Where payload goes.
    pub pool: BlockPool,
    /// The download limit.
    pub limiter: Limiter,
    /// Our port, told to those we dial.
    pub listen_port: Option<u16>,
    /// Address to dial from.
    pub bind: Option<IpAddr>,
    /// How long to wait for what.
    pub timeouts: LinkTimeouts,
}

/// How long a link waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkTimeouts {
    /// For the connection, and for the handshake after it.
    pub handshake: Duration,
    /// For a sign of life, in either direction.
    pub idle: Duration,
    /// Silence of ours after which a keep-alive is sent (BEP 3: two minutes; readers time
    /// out earlier).
    pub keep_alive: Duration,
}

impl Default for LinkTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            keep_alive: Duration::from_secs(80),
        }
    }
}

/// What a link tells the torrent.
#[derive(Debug)]
pub struct LinkReport {
    /// Who speaks.
    pub link: LinkId,
    /// What it says.
    pub news: LinkNews,
}

/// News of a link, in this order: up, events, down. Down may come alone.
#[derive(Debug)]
pub enum LinkNews {
    /// The handshake is done.
    Up {
        /// What the remote calls itself.
        peer_id: PeerId,
        /// What the link can do.
        caps: LinkCaps,
        /// Where it is.
        address: SocketAddr,
    },
    /// What one read brought.
    Events(Vec<LinkEvent>),
    /// It is over.
    Down(DownReason),
}

/// The torrent's end of a link. Dropping it ends the link.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    /// Batches of orders.
    pub commands: mpsc::Sender<Vec<LinkCommand>>,
}

fn channel() -> (LinkHandle, mpsc::Receiver<Vec<LinkCommand>>) {
    let (commands, orders) = mpsc::channel(COMMANDS_LEN);
    (LinkHandle { commands }, orders)
}

//! What links of a torrent are made with, and how long they wait for what.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{InfoHash, PeerId};
use crate::base::pool::BlockPool;
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::net::portmap::OwnPorts;

use super::node::DhtEnd;
use super::secrecy::Secrecy;
use super::subject::Subject;

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

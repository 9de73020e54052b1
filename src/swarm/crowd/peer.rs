//! Who is at the other end of a link. What goes over it is in `transfer::trade`.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::base::ids::PeerId;

/// A link that is not up yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arriving {
    pub address: SocketAddr,
    pub incoming: bool,
}

/// The other end of a live link.
#[derive(Debug)]
pub(in crate::swarm) struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Where it listens, if it told us; it may be dialled there.
    pub listens_at: Option<SocketAddr>,
    /// Our address as it sees it, by its first word.
    pub sees_us_at: Option<IpAddr>,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// It connected to us.
    pub incoming: bool,
    /// Blocks and refusals that nobody asked for.
    pub strikes: u32,
    /// Its client's name for itself.
    pub client: String,
    /// Since when it is up.
    pub since: Instant,
}

impl Peer {
    /// Of a link that has just come up.
    pub(super) fn new(arriving: Arriving, peer_id: PeerId, now: Instant) -> Self {
        Self {
            address: arriving.address,
            listens_at: None,
            sees_us_at: None,
            peer_id,
            incoming: arriving.incoming,
            strikes: 0,
            client: String::new(),
            since: now,
        }
    }

    /// What it calls itself, or its peer id as text.
    pub(in crate::swarm) fn client_shown(&self) -> String {
        match self.client.as_str() {
            "" => String::from_utf8_lossy(&self.peer_id.0[..8]).into_owned(),
            name => name.to_owned(),
        }
    }

    /// The address that it may be dialled at, as far as we know.
    pub(super) fn home(&self) -> SocketAddr {
        self.listens_at.unwrap_or(self.address)
    }
}

//! Who is at the other end of a link. What goes over it is in `transfer::trade`.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::base::ids::PeerId;
use crate::wire::mse::Method;

/// A link that is not up yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arriving {
    pub address: SocketAddr,
    pub incoming: bool,
}

/// The other end of a live link.
#[derive(Debug)]
pub(in crate::swarm) struct Peer {
    address: SocketAddr,
    /// Where it listens, if it told us; it may be dialled there.
    listens_at: Option<SocketAddr>,
    /// Our address as it sees it, by its first word.
    sees_us_at: Option<IpAddr>,
    peer_id: PeerId,
    /// It connected to us.
    incoming: bool,
    /// What hides the connection, if it began with an encrypted handshake.
    mse: Option<Method>,
    /// Blocks and refusals that nobody asked for.
    strikes: u32,
    /// Its client's name for itself.
    client: String,
    since: Instant,
}

impl Peer {
    /// Of a link that has just come up.
    pub(super) fn new(
        arriving: Arriving,
        peer_id: PeerId,
        mse: Option<Method>,
        now: Instant,
    ) -> Self {
        Self {
            address: arriving.address,
            listens_at: None,
            sees_us_at: None,
            peer_id,
            incoming: arriving.incoming,
            mse,
            strikes: 0,
            client: String::new(),
            since: now,
        }
    }

    /// Where it is.
    pub(in crate::swarm) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it calls itself.
    pub(super) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Did it connect to us?
    pub(in crate::swarm) fn is_incoming(&self) -> bool {
        self.incoming
    }

    /// What hides the connection, if it began with an encrypted handshake.
    pub(in crate::swarm) fn mse(&self) -> Option<Method> {
        self.mse
    }

    /// Since when it is up.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Its client's name for itself.
    pub(in crate::swarm) fn client(&self) -> &str {
        &self.client
    }

    /// It told its client's name.
    pub(super) fn set_client(&mut self, client: &str) {
        client.clone_into(&mut self.client);
    }

    /// Something came from it that nobody asked for; how often that was.
    pub(super) fn strike(&mut self) -> u32 {
        self.strikes += 1;
        self.strikes
    }

    /// Where it may be dialled by what it told or we did, if that is known.
    pub(super) fn listens_at(&self) -> Option<SocketAddr> {
        if self.incoming { self.listens_at } else { Some(self.address) }
    }

    /// It may be dialled there.
    pub(super) fn set_listens_at(&mut self, home: Option<SocketAddr>) {
        self.listens_at = home;
    }

    /// Our address as it sees it, by its first word.
    pub(super) fn sees_us_at(&self) -> Option<IpAddr> {
        self.sees_us_at
    }

    /// It told our address as it sees it. Only the first word counts: is this it?
    pub(super) fn set_sees_us_at(&mut self, ours: IpAddr) -> bool {
        let is_first = self.sees_us_at.is_none();
        self.sees_us_at.get_or_insert(ours);
        is_first
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

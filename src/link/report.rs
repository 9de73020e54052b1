//! What a link and the brain's side of it say to each other: news in one direction, orders in the
//! other. Not here: what they mean.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::base::ids::{LinkId, PeerId};
use crate::base::pool::Room;
use crate::swarm::event::DownReason;
use crate::swarm::link::{LinkCaps, LinkCommand, LinkEvent};

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
    Waits(Wait),
    /// What one read brought, in order.
    Events(Vec<LinkEvent>),
    /// The link is over.
    Down(DownReason),
}

/// Why there is no connection at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// Until when, as far as that is known.
    pub until: Option<Instant>,
    /// Why, in words for people, `it` being the server.
    pub why: String,
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
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<LinkCommand>>) {
        let (commands, receiver) = mpsc::channel(COMMAND_BATCHES_MAX);
        (Self { commands }, receiver)
    }
}

//! What datagrams are sent over at present. Not here: who changes that (`keeper`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::pair::Pair;
use crate::net::egress::RelayEnd;

/// What is sent over at present.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Nothing, for this reason; soon again, if the rest of the program can do anything about it.
    Closed {
        why: Arc<str>,
        is_brief: bool,
    },
    Own(Pair),
    Relay(RelayEnd),
}

impl Line {
    /// Is there nothing, but soon again?
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Closed { is_brief: true, .. })
    }

    /// Sends a datagram, as soon as there is room for it.
    ///
    /// # Errors
    /// When it cannot leave.
    pub(super) async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Own(pair) => socket_of(pair, to)?.send_to(bytes, to).await.map(drop),
            Self::Relay(relay) => relay.send(to, bytes).await,
            Self::Closed { why, .. } => Err(io::Error::other(why.to_string())),
        }
    }
}

/// The socket of the family of `to`.
///
/// # Errors
/// When there is none.
pub(super) fn socket_of([four, six]: &Pair, to: SocketAddr) -> io::Result<&UdpSocket> {
    let (socket, family) = if to.is_ipv4() { (four, "IPv4") } else { (six, "IPv6") };
    let lacking = || io::Error::other(format!("there is no {family} to send from"));
    socket.as_deref().ok_or_else(lacking)
}

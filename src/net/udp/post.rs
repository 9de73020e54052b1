//! Who reads a datagram is decided by its first byte. Not here: what it means.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::inbox::Inbox;
use super::refusals;
use crate::base::addr::canonical;

/// The longest one for the DHT: what its nodes read at most, and more than fits an Ethernet frame.
pub(super) const DHT_LEN: usize = 1500;
/// Datagrams taken in before anybody else has a turn.
const BATCH: usize = 64;
/// How long a socket is left alone that only tells errors.
const REST: Duration = Duration::from_millis(100);

/// What comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UdpNews {
    /// A datagram.
    Datagram {
        /// Its sender, canonical.
        from: SocketAddr,
        /// All of it, or as much as any reader of its kind looks at.
        bytes: Vec<u8>,
    },
    /// The system was told that nobody listens at an address that we sent to (ICMP).
    Refused {
        /// The address, canonical.
        to: SocketAddr,
    },
}

/// The writing ends of the queues.
#[derive(Clone)]
pub(super) struct Post {
    pub dht: mpsc::Sender<UdpNews>,
    pub tracker: mpsc::Sender<UdpNews>,
}

impl Post {
    /// Gives it to its reader, if that has room.
    pub(super) fn deliver(&self, from: SocketAddr, bytes: &[u8]) {
        match bytes.first() {
            Some(b'd') => {
                let bytes = bytes.get(..DHT_LEN).unwrap_or(bytes).to_vec();
                // In a flood the last ones are lost.
                let _ = self.dht.try_send(UdpNews::Datagram { from, bytes });
            }
            Some(_) => {
                let _ = self.tracker.try_send(UdpNews::Datagram { from, bytes: bytes.to_vec() });
            }
            None => {}
        }
    }

    /// Whoever sent what begins like this is told that nobody listens there.
    fn refuse(&self, to: SocketAddr, first: Option<u8>) {
        let reader = if first == Some(b'd') { &self.dht } else { &self.tracker };
        let _ = reader.try_send(UdpNews::Refused { to });
    }
}

/// Reads from a socket for ever, or until it is broken.
pub(super) async fn read(socket: Arc<UdpSocket>, post: Post) {
    let mut inbox = Inbox::new();
    loop {
        let Ok(ready) = socket.ready(Interest::READABLE | Interest::ERROR).await else { return };
        let (mut errors, mut count, mut is_empty) = (0, 0, false);
        if ready.is_error() {
            refusals::drain(&socket, BATCH, |to, first| post.refuse(canonical(to), first));
        }
        while !is_empty && count + errors < BATCH {
            let tell = |from, bytes: &[u8]| post.deliver(canonical(from), bytes);
            match inbox.take(&socket, ready.is_error(), tell) {
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_empty = true,
                // What a datagram of ours met is told here, too, but not which one.
                Err(_) => errors += 1,
            }
        }
        match errors {
            BATCH => sleep(REST).await,
            // Whoever reads them has a turn before the next ones come.
            _ if is_empty => {}
            _ => yield_now().await,
        }
    }
}

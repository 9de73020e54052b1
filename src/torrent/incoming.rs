//! A connection that came in and named this torrent in its handshake. The session hands it
//! over; the torrent decides whether it stays.

use std::net::SocketAddr;

use crate::link::{Hello, Stream};

/// A connection to be admitted.
#[derive(Debug)]
pub struct Incoming {
    /// Where it came from.
    pub address: SocketAddr,
    /// The first part of its handshake, already read.
    pub hello: Hello,
    /// The rest of the connection.
    pub stream: Stream,
}

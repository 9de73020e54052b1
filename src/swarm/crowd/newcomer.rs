//! What becomes of a connection that wants to be a link.

use std::net::SocketAddr;

/// Why a connection may not come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The torrent is paused.
    Paused,
    /// The address is banned.
    Banned,
    /// There are as many from its host as one may have.
    Crowd,
    /// The torrent has as many links as the user allows it.
    Full,
    /// Other torrents have the places.
    NoPlace,
}

/// Somebody who has just been met.
#[derive(Clone, Copy, Debug)]
pub(in crate::swarm) struct NewPeer {
    pub address: SocketAddr,
    /// What its host owes from earlier links, in bytes.
    pub debt: u64,
}

//! The brain of one torrent.

pub mod event;
pub mod link;
pub mod waits;

/// The brain.
pub struct Swarm;
impl Swarm {
    /// x
    pub fn handle(&self) {}
    /// x
    pub fn admit(&self) {}
    /// x
    pub fn poll_output(&self) {}
}

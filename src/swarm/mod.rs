//! The brain of one torrent.

pub mod assembly;
pub mod candidates;
pub mod event;
pub mod link;
pub mod picker;
pub mod pipeline;
pub mod requests;
pub mod suspects;
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

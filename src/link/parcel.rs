//! What is to be sent: messages as bytes, and blocks as promises. Not here: when it is.

use std::collections::VecDeque;

use crate::swarm::link::Ask;

/// What a `piece` message has before its data (BEP 3).
pub(super) const HEAD_LEN: usize = 13;

/// What the orders of one batch come to.
#[derive(Default)]
pub(super) struct Out {
    /// Messages.
    pub bytes: Vec<u8>,
    /// Blocks to send, in order.
    pub parcels: VecDeque<Parcel>,
    /// Bytes of metadata among the messages.
    pub metadata_bytes: usize,
}

/// A block to send: what stands before it, and which one it is.
pub(super) struct Parcel {
    pub head: [u8; HEAD_LEN],
    pub ask: Ask,
}

//! What the task of a link needs to know of the protocol it carries: how bytes become facts,
//! and orders bytes. Everything else about a link is the same for all protocols.

use std::time::{Duration, Instant};

use crate::base::ids::PeerId;
use crate::base::layout::BlockRef;
use crate::base::pool::Block;
use crate::swarm::link::{LinkCaps, LinkEvent, PeerCommand};
use crate::wire::Need;

use super::config::LinkTimeouts;
use super::parcel::Out;
use super::stream::{ReadSide, WriteSide};

/// What takes in the bytes of a connection. Pure: it is fed and asked, and owns no socket.
pub(super) trait Intake: Send + 'static {
    /// How many bytes `blocks` empty blocks and the message at hand take in.
    fn room(&self, blocks: usize) -> usize;

    /// What the next bytes need before they can be taken in.
    fn need(&self) -> Need;

    /// The message at hand, which is long, may be collected.
    fn grant(&mut self);

    /// Is a message collected for which leave was given?
    fn is_collecting(&self) -> bool;

    /// Does a block come that has begun?
    fn is_filling(&self) -> bool;

    /// A read begins.
    fn begin_read(&mut self, now: Instant);

    /// Turns bytes into facts, payload into blocks taken from `blocks`. Returns how many bytes
    /// were used: fewer than all only when something is [needed](Self::need).
    ///
    /// # Errors
    /// What the remote did that ends the link.
    fn feed(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String>;

    /// A read is done: tells what was saved up.
    fn end_read(&mut self, events: &mut Vec<LinkEvent>);
}

/// One side of a protocol on one connection, which stays the same as long as the link is up.
pub(super) trait Dialect: Intake {
    /// What the remote calls itself.
    fn peer_id(&self) -> PeerId;

    /// What the link can do, known when it comes up.
    fn caps(&self) -> LinkCaps;

    /// Facts that are known before the remote says anything.
    fn greet(&mut self, events: &mut Vec<LinkEvent>);

    /// Asks the remote for these blocks, at once or when that [may be said](Self::speak).
    fn request(&mut self, blocks: Vec<BlockRef>, out: &mut Vec<u8>);

    /// Takes these requests back.
    fn cancel(&mut self, blocks: Vec<BlockRef>, out: &mut Vec<u8>);

    /// What takes the orders that have to do with us; none in protocols that have no words for
    /// what we have and want, and in which nobody asks us. Those [say so](Self::caps).
    fn peer(&mut self) -> Option<&mut dyn PeerDialect>;

    /// Facts that could not be told before the torrent was known, once an order has made that so.
    ///
    /// # Errors
    /// What the remote did that ends the link.
    fn catch_up(&mut self, events: &mut Vec<LinkEvent>) -> Result<(), String>;

    /// Messages that may be sent since something was read or ordered.
    fn speak(&mut self, out: &mut Vec<u8>);

    /// What to say after long silence of ours; nothing in protocols that need nothing.
    fn keep_alive(&self, out: &mut Vec<u8>);

    /// How long the remote may be silent at present; none when it has nothing to say.
    fn patience(&self, timeouts: &LinkTimeouts) -> Option<Duration>;
}

/// The words of a protocol for what we have, want and give.
pub(super) trait PeerDialect {
    /// Turns an order into messages and blocks.
    fn order(&mut self, command: PeerCommand, out: &mut Out);
}

/// A connection that is ready to use.
pub(super) struct Opened<D> {
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
    pub(super) dialect: D,
}

//! Reading: blocks are taken from the pool first, then one read of up to 256 KiB goes into a
//! buffer that all links of a thread share, and is decoded before anything else happens. An
//! idle link holds no buffer and no block.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;
use crate::net::limiter::{Limiter, READ_LIMITED};
use crate::wire::decoder::Decoder;
use crate::wire::message::Message;

/// Bytes of one read: about 16 blocks a system call; larger ones leave the cache.
const READ_LEN: usize = 256 * 1024;
/// Blocks that one read can begin at most: those that fit it, and one more at its end.
const BLOCKS_PER_READ: usize = READ_LEN / BLOCK_LEN + 1;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// The reading side of one link.
pub(super) struct Reader {
    decoder: Decoder,
    pool: BlockPool,
    limiter: Limiter,
    spare: Vec<Block>,
    /// What could not be decoded for want of blocks; decoded before the next read.
    carry: Vec<u8>,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Messages, perhaps none yet, and how many bytes they were made of.
    Messages(usize),
    /// The remote closed the connection.
    End,
}

impl Reader {
    pub fn new(piece_count: u32, pool: BlockPool, limiter: Limiter) -> Self {
        let decoder = Decoder::new(piece_count);
        Self { decoder, pool, limiter, spare: Vec::new(), carry: Vec::new() }
    }

    /// One read, decoded into `messages`. Waits for the rate limit, for blocks and for data;
    /// nothing is lost when it is dropped while it waits.
    ///
    /// # Errors
    /// The network's, or `InvalidData` with the way in which the remote broke the protocol.
    pub async fn read(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        messages: &mut Vec<Message>,
    ) -> io::Result<Read> {
        self.limiter.ready().await;
        std::future::poll_fn(|cx| self.poll_read(cx, socket, messages)).await
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncRead + Unpin),
        messages: &mut Vec<Message>,
    ) -> Poll<io::Result<Read>> {
        let blocks = ready!(self.pool.poll_take(cx, BLOCKS_PER_READ, &mut self.spare));
        let result = if self.carry.is_empty() {
            self.read_socket(cx, blocks, socket, messages)
        } else {
            let carry = std::mem::take(&mut self.carry);
            Poll::Ready(self.decode(&carry, messages))
        };
        self.pool.give_back(self.spare.drain(..));
        result
    }

    fn read_socket(
        &mut self,
        cx: &mut Context<'_>,
        blocks: usize,
        socket: &mut (impl AsyncRead + Unpin),
        messages: &mut Vec<Message>,
    ) -> Poll<io::Result<Read>> {
        let most = if self.limiter.rate().is_some() { READ_LIMITED } else { READ_LEN };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..most.min(blocks * BLOCK_LEN)]);
            ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Read::End));
            }
            self.limiter.charge(bytes.len());
            Poll::Ready(self.decode(bytes, messages))
        })
    }

    fn decode(&mut self, bytes: &[u8], messages: &mut Vec<Message>) -> io::Result<Read> {
        let used = self
            .decoder
            .feed(bytes, &mut self.spare, messages)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.carry.extend_from_slice(&bytes[used..]);
        Ok(Read::Messages(used))
    }
}

//! The reading half of a link: socket → shared read buffer → dialect → pooled blocks. It
//! takes blocks before it reads and stops reading when there are none; a link without
//! traffic owns no buffer. Not here: what bytes mean.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::LinkEvent;

use super::dialect::Dialect;
use super::stream::ReadSide;
use super::{LinkConfig, lost};

/// Bytes of one read: large reads cost the fewest system calls, and 256 KiB stay in cache.
pub const READ_LEN: usize = 256 * 1024;
/// Blocks that a full read of whole ones can begin or end.
const READ_BLOCKS: usize = READ_LEN / BLOCK_LEN + 1;

thread_local! {
    /// What a thread reads into; no link keeps anything in it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// The reading half of one link.
pub(super) struct Inbound {
    side: ReadSide,
    pool: BlockPool,
    limiter: Arc<Limiter>,
    blocks: Vec<Block>,
    /// Bytes read that wait for blocks. More than nothing only when data came in many
    /// small messages.
    carry: Vec<u8>,
    /// Until when not to read under the rate limit, and that limit.
    debt: Option<(Instant, u64)>,
    waits_for_block: bool,
}

impl Inbound {
    pub(super) fn new(side: ReadSide, config: &LinkConfig) -> Self {
        Self {
            side,
            pool: config.pool.clone(),
            limiter: config.limiter.clone(),
            blocks: Vec::new(),
            carry: Vec::new(),
            debt: None,
            waits_for_block: false,
        }
    }

    /// Is it we who do not read now, for lack of memory or by the rate limit?
    pub(super) fn waits_for_us(&self) -> bool {
        self.waits_for_block || self.debt.is_some()
    }

    /// Reads once and translates what came; returns the bytes read, 0 when only bytes of an
    /// earlier read were decoded. May be dropped at any time without loss.
    pub(super) async fn receive(
        &mut self,
        dialect: &mut impl Dialect,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, DownReason> {
        if let Some((until, rate)) = self.debt {
            self.limiter.wait_until(until, Some(rate)).await;
            self.debt = None;
        }
        let received = std::future::poll_fn(|cx| self.poll_receive(cx, dialect, events)).await;
        if !self.blocks.is_empty() {
            self.pool.give_back(self.blocks.drain(..));
        }
        let len = received?;
        if let Some(rate) = self.limiter.rate() {
            let now = Instant::now();
            let wait = self.limiter.spend(len as u64, now.into_std());
            self.debt = (!wait.is_zero()).then_some((now + wait, rate));
        }
        Ok(len)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        dialect: &mut impl Dialect,
        events: &mut Vec<LinkEvent>,
    ) -> Poll<Result<usize, DownReason>> {
        if self.carry.is_empty() {
            ready!(self.side.poll_readable(cx)).map_err(|error| lost(&error))?;
        }
        self.waits_for_block = true;
        ready!(self.pool.poll_take(cx, READ_BLOCKS, &mut self.blocks));
        self.waits_for_block = false;
        if !self.carry.is_empty() {
            let carry = std::mem::take(&mut self.carry);
            return Poll::Ready(self.translate(&carry, dialect, events).map(|()| 0));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let len = self.read_len(dialect).min(scratch.len());
            let mut buffer = ReadBuf::new(&mut scratch[..len]);
            let Poll::Ready(read) = Pin::new(&mut self.side).poll_read(cx, &mut buffer) else {
                self.pool.give_back(self.blocks.drain(..));
                return Poll::Pending;
            };
            read.map_err(|error| lost(&error))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Err(lost(&std::io::ErrorKind::UnexpectedEof.into())));
            }
            Poll::Ready(self.translate(read, dialect, events).map(|()| read.len()))
        })
    }

    /// As much as the blocks at hand can take in, and as the rate limit hands out at once.
    fn read_len(&self, dialect: &impl Dialect) -> usize {
        let room = dialect.room(self.blocks.len());
        let turn = self.limiter.turn_bytes().and_then(|turn| usize::try_from(turn).ok());
        room.min(turn.unwrap_or(usize::MAX))
    }

    fn translate(
        &mut self,
        bytes: &[u8],
        dialect: &mut impl Dialect,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), DownReason> {
        dialect.begin_read(Instant::now().into_std());
        let fed = self.feed(bytes, dialect, events);
        // What came before an offence counts.
        dialect.end_read(events);
        fed.map_err(DownReason::Violated)
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        dialect: &mut impl Dialect,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        let mut rest = bytes;
        loop {
            let used = dialect.feed(rest, &mut self.blocks, events)?;
            rest = rest.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            if self.pool.take(READ_BLOCKS, &mut self.blocks) == 0 {
                self.carry = rest.to_vec();
                return Ok(());
            }
        }
    }
}

//! The reading half of a link: socket → shared read buffer → dialect → pooled blocks. It
//! takes the blocks that are there before it reads, and without any reads little. It stops
//! reading only when the next bytes need a block and there is none, or belong to a long message
//! for which there is no room; so news and requests pass, and a block that is begun is finished,
//! however short memory is. A link without traffic owns no buffer. Not here: what bytes mean.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::base::pages::Pages;
use crate::base::pool::{Block, BlockPool, Carried, Room, Seat};
use crate::base::units::BLOCK_LEN;
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::LinkEvent;
use crate::wire::Need;

use super::config::LinkConfig;
use super::dialect::Intake;
use super::error::lost;
use super::stream::ReadSide;

/// Bytes of one read: large reads cost the fewest system calls, and 256 KiB stay in cache.
pub const READ_LEN: usize = 256 * 1024;
/// Blocks that a full read of whole ones can begin or end.
const READ_BLOCKS: usize = READ_LEN / BLOCK_LEN + 1;
/// Bytes read beyond what the blocks at hand take in, so that messages without data are heard
/// also when there is no block; as many may wait for one on each link. More may, as when blocks
/// are shorter than most or a long message finds no room, while that is little in all.
pub const CARRY_OWN: usize = 4 * 1024;
/// How long a message may be collected that takes of what all links share; a block only while
/// others wait for one.
const COLLECT_MAX: Duration = Duration::from_secs(60);

thread_local! {
    /// What a thread reads into; no link keeps anything in it.
    static SCRATCH: RefCell<Pages> = RefCell::new(Pages::zeroed(READ_LEN));
}

/// The reading half of one link.
pub(super) struct Inbound {
    side: ReadSide,
    pool: BlockPool,
    seat: Seat,
    limiter: Arc<Limiter>,
    blocks: Vec<Block>,
    /// Bytes read that wait for a block or for room; those before `carried` are done with.
    carry: Vec<u8>,
    carried: usize,
    /// Counts a carry of more than `CARRY_OWN`.
    carry_count: Option<Carried>,
    /// Leave for long messages: the one at hand, and those that nobody was told of yet.
    held: Vec<Room>,
    /// When the message at hand began to be collected, if that takes leave.
    collecting_since: Option<Instant>,
    /// When the block that comes was begun.
    filling_since: Option<Instant>,
    debt: Option<Debt>,
    waits_for_memory: bool,
}

/// A wait under the rate limit. A read may be dropped in the middle of it.
#[derive(Clone, Copy)]
pub(super) struct Debt {
    since: Instant,
    until: Instant,
    /// The limit that it comes from.
    rate: u64,
}

impl Inbound {
    pub(super) fn new(side: ReadSide, config: &LinkConfig) -> Self {
        Self {
            side,
            pool: config.pool.clone(),
            seat: config.pool.seat(),
            limiter: config.limiter.clone(),
            blocks: Vec::new(),
            carry: Vec::new(),
            carried: 0,
            carry_count: None,
            held: Vec::new(),
            collecting_since: None,
            filling_since: None,
            debt: None,
            waits_for_memory: false,
        }
    }

    /// The side that it reads from, if nothing was read of it that waits to be taken in.
    pub(super) fn into_side(self) -> Option<ReadSide> {
        self.carry.is_empty().then_some(self.side)
    }

    /// The wait that the last read has left, for whoever reads on elsewhere.
    pub(super) fn debt(&self) -> Option<Debt> {
        self.debt
    }

    /// Waits so before it reads.
    pub(super) fn owe(&mut self, debt: Option<Debt>) {
        self.debt = debt;
    }

    /// Is it open, with nothing to be taken in? In memory and within TLS it seems so.
    pub(super) fn is_at_rest(&self) -> bool {
        self.carry.is_empty() && self.side.is_at_rest()
    }

    /// Is it we who do not read now, for lack of memory or by the rate limit?
    pub(super) fn waits_for_us(&self) -> bool {
        self.waits_for_memory || self.debt.is_some()
    }

    /// Leave for what the events of the reads so far tell.
    pub(super) fn take_held(&mut self, dialect: &impl Intake) -> Vec<Room> {
        let done = self.held.len() - usize::from(dialect.is_collecting());
        self.held.drain(..done).collect()
    }

    /// Reads once and translates what came; returns the bytes read, 0 when only bytes of an
    /// earlier read were decoded. May be dropped at any time without loss.
    pub(super) async fn receive(
        &mut self,
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, DownReason> {
        if let Some(Debt { since, until, rate }) = self.debt {
            self.limiter.wait_until(until, Some(rate)).await;
            self.debt = None;
            // The remote is not late for as long as it is we who do not read.
            let waited = since.elapsed();
            self.collecting_since = self.collecting_since.map(|begin| begin + waited);
            self.filling_since = self.filling_since.map(|begin| begin + waited);
        }
        let received = std::future::poll_fn(|cx| self.poll_receive(cx, dialect, events)).await;
        if !self.blocks.is_empty() {
            self.pool.give_back(self.blocks.drain(..));
        }
        let len = received?;
        if let Some(rate) = self.limiter.rate() {
            let since = Instant::now();
            let wait = self.limiter.spend(len as u64, since.into_std());
            self.debt = (!wait.is_zero()).then_some(Debt { since, until: since + wait, rate });
        }
        Ok(len)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Poll<Result<usize, DownReason>> {
        if self.carry.is_empty() {
            ready!(self.side.poll_readable(cx)).map_err(|error| lost(&error))?;
        }
        self.waits_for_memory = true;
        ready!(self.poll_need(cx, dialect));
        self.waits_for_memory = false;
        if !self.carry.is_empty() {
            return Poll::Ready(self.translate_carry(dialect, events).map(|()| 0));
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
            Poll::Ready(self.translate_read(read, dialect, events).map(|()| read.len()))
        })
    }

    /// Gets what the next bytes need, and what they may need after that.
    fn poll_need(&mut self, cx: &mut Context<'_>, dialect: &mut impl Intake) -> Poll<()> {
        match dialect.need() {
            Need::Block => {
                ready!(self.seat.poll_take(cx, READ_BLOCKS, &mut self.blocks));
                return Poll::Ready(());
            }
            Need::Room(len) => {
                let room = ready!(self.seat.poll_room(cx, len));
                self.collect(room, dialect);
            }
            // What it waited for may be wanted no longer.
            Need::Nothing => self.seat.leave_blocks(),
        }
        self.pool.take(READ_BLOCKS, &mut self.blocks);
        Poll::Ready(())
    }

    fn collect(&mut self, room: Room, dialect: &mut impl Intake) {
        self.held.push(room);
        self.collecting_since = Some(Instant::now());
        dialect.grant();
    }

    /// As much as the blocks at hand can take in and a little more, and as the rate limit hands
    /// out at once. When much waits already that was read too early, only what is sure to be
    /// taken in and a little more.
    fn read_len(&self, dialect: &impl Intake) -> usize {
        let blocks = if self.pool.may_read_ahead() { self.blocks.len() } else { 0 };
        let room = dialect.room(blocks) + CARRY_OWN;
        let turn = self.limiter.turn_bytes().and_then(|turn| usize::try_from(turn).ok());
        room.min(turn.unwrap_or(usize::MAX))
    }

    fn translate_carry(
        &mut self,
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), DownReason> {
        let carry = std::mem::take(&mut self.carry);
        let rest = carry.get(self.carried..).unwrap_or_default();
        let used = self.translate(rest, dialect, events)?;
        self.carried += used;
        if self.carried < carry.len() {
            self.carry = carry;
        } else {
            self.carried = 0;
            self.carry_count = None;
        }
        Ok(())
    }

    /// What was just read; the rest waits for what it needs.
    fn translate_read(
        &mut self,
        bytes: &[u8],
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), DownReason> {
        let used = self.translate(bytes, dialect, events)?;
        let rest = bytes.get(used..).unwrap_or_default();
        self.carry_count = (rest.len() > CARRY_OWN).then(|| self.pool.carry(rest.len()));
        self.carry = rest.to_vec();
        Ok(())
    }

    fn translate(
        &mut self,
        bytes: &[u8],
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, DownReason> {
        let now = Instant::now();
        dialect.begin_read(now.into_std());
        let blocks = self.blocks.len();
        let fed = self.feed(bytes, dialect, events);
        // What came before an offence counts.
        dialect.end_read(events);
        let used = fed.map_err(DownReason::Violated)?;
        if !dialect.is_collecting() {
            self.collecting_since = None;
            if events.is_empty() {
                self.held.clear();
            }
        }
        if self.collecting_since.is_some_and(|since| now >= since + COLLECT_MAX) {
            return Err(DownReason::TimedOut("it took too long to send a message"));
        }
        if self.blocks.len() < blocks {
            self.filling_since = Some(now);
        }
        self.filling_since = self.filling_since.filter(|_| dialect.is_filling());
        if self.filling_since.is_some_and(|since| now >= since + COLLECT_MAX)
            && self.pool.is_starved()
        {
            return Err(DownReason::TimedOut("it took too long to send a block"));
        }
        Ok(used)
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        dialect: &mut impl Intake,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            used += dialect.feed(rest, &mut self.blocks, events)?;
            if used >= bytes.len() {
                return Ok(used);
            }
            // Without waiting, for this is on the way.
            let Need::Room(len) = dialect.need() else { return Ok(used) };
            let Some(room) = self.pool.try_room(len) else { return Ok(used) };
            self.collect(room, dialect);
        }
    }
}

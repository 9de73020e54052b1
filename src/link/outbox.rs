//! The writing half of a link: messages wait in one buffer, blocks in a queue of their own
//! behind it, so that a `have` need not wait for a megabyte of data. Blocks go from the page
//! cache to the socket without passing through here. Not here: which messages those are, what
//! is sent to whom, and when.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::base::extents::FileSlice;
use crate::base::layout::Layout;
use crate::base::units::BLOCK_LEN;
use crate::disk::{Source, SourceFile};
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::{Ask, LinkCommand};

use super::LinkConfig;
use super::dialect::Dialect;
use super::stream::WriteSide;

/// Bytes of messages that may wait for a peer that does not read. Blocks are bounded by who
/// orders them.
const QUEUE_MAX: usize = 1024 * 1024;
/// Capacity that an emptied buffer keeps: a full pipeline of requests.
const KEPT: usize = 40 * 1024;
/// Bytes of blocks that are sent before other things get their turn.
const TURN_LEN: usize = 16 * BLOCK_LEN;
/// Bytes of blocks sent that are worth a report while more wait.
const TELL_LEN: u32 = 8 * BLOCK_LEN as u32;
/// What a `piece` message has before its data (BEP 3).
pub(super) const HEAD_LEN: usize = 13;

/// Zeros of pad files (BEP 47), which are on no disk.
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// What the orders of one batch come to.
#[derive(Default)]
pub(super) struct Out {
    /// Messages.
    pub bytes: Vec<u8>,
    /// Blocks to send, in order.
    pub parcels: VecDeque<Parcel>,
}

/// A block to send: what stands before it, and which one it is.
pub(super) struct Parcel {
    pub head: [u8; HEAD_LEN],
    pub ask: Ask,
}

/// The writing half of one link.
pub(super) struct Outbox {
    side: WriteSide,
    layout: Layout,
    source: Option<Source>,
    limiter: Arc<Limiter>,
    out: Out,
    /// How many of the bytes in `out` are written.
    written: usize,
    sending: Option<Sending>,
    /// The file that was sent from last.
    open: Option<SourceFile>,
    /// Until when to send no block under the rate limit, and that limit.
    debt: Option<(Instant, u64)>,
    /// Bytes of blocks sent in this turn that are not yet paid under the rate limit.
    unpaid: usize,
    /// Bytes of blocks sent that nobody was told of.
    untold: u32,
}

/// A block that is begun: nothing may come between its parts.
struct Sending {
    head: [u8; HEAD_LEN],
    head_sent: usize,
    /// What is left of it, the next part first.
    slices: VecDeque<FileSlice>,
}

impl Outbox {
    pub(super) fn new(side: WriteSide, config: &LinkConfig) -> Self {
        Self {
            side,
            layout: config.layout,
            source: config.source.clone(),
            limiter: config.up_limiter.clone(),
            out: Out::default(),
            written: 0,
            sending: None,
            open: None,
            debt: None,
            unpaid: 0,
            untold: 0,
        }
    }

    /// Is everything written?
    pub(super) fn is_empty(&self) -> bool {
        self.out.bytes.is_empty() && self.has_no_blocks()
    }

    fn has_no_blocks(&self) -> bool {
        self.sending.is_none() && self.out.parcels.is_empty()
    }

    /// Is it the rate limit that keeps us from sending?
    pub(super) fn waits_for_us(&self) -> bool {
        self.debt.is_some()
    }

    /// Bytes of blocks that have left since this was last asked, if they are worth telling.
    pub(super) fn take_sent(&mut self) -> Option<u32> {
        let is_worth_it = self.untold >= TELL_LEN || (self.untold > 0 && self.has_no_blocks());
        is_worth_it.then(|| std::mem::take(&mut self.untold))
    }

    /// The rest of them, at the end of the link.
    pub(super) fn take_untold(&mut self) -> Option<u32> {
        Some(std::mem::take(&mut self.untold)).filter(|untold| *untold > 0)
    }

    /// Queues what the orders come to.
    ///
    /// # Errors
    /// `Closed` by order, or `Violated` when too much waits for the peer to read.
    pub(super) fn order(
        &mut self,
        dialect: &mut impl Dialect,
        batch: Vec<LinkCommand>,
    ) -> Result<(), DownReason> {
        dialect.order(batch, &mut self.out)?;
        if self.out.bytes.len() - self.written > QUEUE_MAX {
            return Err(DownReason::Violated("it does not read what we send".to_owned()));
        }
        Ok(())
    }

    /// Queues what may be said since something was read.
    pub(super) fn speak(&mut self, dialect: &mut impl Dialect) {
        dialect.speak(&mut self.out.bytes);
    }

    /// Queues a keep-alive, if the protocol has one.
    pub(super) fn keep_alive(&mut self, dialect: &impl Dialect) {
        dialect.keep_alive(&mut self.out.bytes);
    }

    /// Sends what the socket takes, messages before blocks; waits while it takes nothing. May
    /// be dropped at any time without loss.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        if self.sending.is_none() && !self.out.bytes.is_empty() {
            return self.send_messages().await;
        }
        if let Some((until, rate)) = self.debt {
            self.limiter.wait_until(until, Some(rate)).await;
            self.debt = None;
        }
        let turn = self.limiter.turn_bytes().and_then(|turn| usize::try_from(turn).ok());
        let turn = turn.unwrap_or(TURN_LEN).min(TURN_LEN);
        while self.unpaid < turn && !self.has_no_blocks() {
            let sent = self.send_part(turn - self.unpaid).await?;
            self.unpaid += sent;
            if self.sending.is_none() && !self.out.bytes.is_empty() {
                break;
            }
        }
        self.pay();
        // A peer that is as fast as memory would keep the thread.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn send_messages(&mut self) -> io::Result<()> {
        let Self { side, out, written, unpaid, .. } = self;
        let rest = out.bytes.get(*written..).unwrap_or_default();
        let sent = poll_fn(|cx| Pin::new(&mut *side).poll_write(cx, rest)).await?;
        if sent == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        *written += sent;
        *unpaid += sent;
        if *written >= out.bytes.len() {
            out.bytes.clear();
            out.bytes.shrink_to(KEPT);
            *written = 0;
        }
        Ok(())
    }

    /// Pays for a turn at once: one wait each, not one for every block.
    fn pay(&mut self) {
        let bytes = std::mem::take(&mut self.unpaid);
        if let Some(rate) = self.limiter.rate() {
            let now = Instant::now();
            let wait = self.limiter.spend(bytes as u64, now.into_std());
            self.debt = (!wait.is_zero()).then_some((now + wait, rate));
        }
    }

    /// Sends the next part of the block at the front, at most `len_max` of its bytes; tells how
    /// many left. Waits while the socket takes nothing.
    async fn send_part(&mut self, len_max: usize) -> io::Result<usize> {
        if self.sending.is_none() {
            self.sending = self.next_block()?;
        }
        let Some(sending) = &mut self.sending else { return Ok(0) };
        while sending.head_sent < HEAD_LEN {
            let rest = sending.head.get(sending.head_sent..).unwrap_or_default();
            let sent = self.side.write_more(rest).await?;
            sending.head_sent += sent;
            self.unpaid += sent;
        }
        let Some(slice) = sending.slices.front_mut() else {
            self.sending = None;
            return Ok(0);
        };
        let len = len_max.min(usize::try_from(slice.len).unwrap_or(usize::MAX));
        let sent = if slice.is_pad {
            let zeros = &ZEROS[..len.min(ZEROS.len())];
            self.side.write_more(zeros).await?
        } else {
            let file = open_file(&mut self.open, self.source.as_ref(), slice)?;
            self.side.send_file(&file.file, slice.offset_in_file, len).await?
        };
        if sent == 0 {
            // Its length was promised, so that only the end of the link can tell the peer.
            return Err(io::Error::other("a file became shorter while it was sent"));
        }
        slice.offset_in_file += sent as u64;
        slice.len -= sent as u64;
        if slice.len == 0 {
            sending.slices.pop_front();
        }
        if sending.slices.is_empty() {
            self.sending = None;
        }
        self.untold = self.untold.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
        Ok(sent)
    }

    fn next_block(&mut self) -> io::Result<Option<Sending>> {
        let Some(Parcel { head, ask }) = self.out.parcels.pop_front() else { return Ok(None) };
        let source = self.source.as_ref().ok_or_else(no_source)?;
        let offset = self.layout.piece_offset(ask.piece) + u64::from(ask.begin);
        let slices = source.slices(offset, u64::from(ask.len)).collect();
        Ok(Some(Sending { head, head_sent: 0, slices }))
    }
}

/// The file of this part: the one that is open, or another in its place.
fn open_file<'a>(
    open: &'a mut Option<SourceFile>,
    source: Option<&Source>,
    slice: &FileSlice,
) -> io::Result<&'a SourceFile> {
    let source = source.ok_or_else(no_source)?;
    let current = open.take().filter(|file| source.is_current(file, slice.file));
    let file = match current {
        Some(file) => file,
        None => source.open(slice.file)?,
    };
    Ok(open.insert(file))
}

fn no_source() -> io::Error {
    io::Error::other("there are no files to send from")
}

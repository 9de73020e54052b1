//! The writing half of a link: messages wait in one buffer, blocks in a queue of their own
//! behind it, so that a `have` need not wait for a megabyte of data. Under a rate limit it waits
//! before a block and never inside one, and messages do not wait at all. Blocks go from the page
//! cache to the socket without passing through here. Not here: which messages those are, what
//! is sent to whom, and when.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tracing::debug;

use crate::base::extents::FileSlice;
use crate::base::units::BLOCK_LEN;
use crate::net::limiter::Limiter;
use crate::swarm::event::DownReason;
use crate::swarm::link::{CloseReason, LinkCommand};

use super::config::LinkConfig;
use super::dialect::Dialect;
use super::error::lost;
use super::parcel::{HEAD_LEN, Out, Parcel};
use super::ready::{self, Ready};
use super::stream::WriteSide;
use super::subject::Subject;

/// Bytes of messages that may wait for a peer that does not read. Blocks are bounded by who
/// orders them.
const QUEUE_MAX: usize = 1024 * 1024;
/// Capacity that an emptied buffer keeps: a full pipeline of requests.
const KEPT: usize = 40 * 1024;
/// Bytes of blocks that are sent before other things get their turn.
const TURN_LEN: usize = 16 * BLOCK_LEN;
/// Bytes of blocks sent that are worth a report while more wait, and how long fewer may go untold
/// while any move.
const TELL_LEN: u32 = 8 * BLOCK_LEN as u32;
const TELL_AFTER: Duration = Duration::from_millis(250);
/// Zeros of pad files (BEP 47), which are on no disk.
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// The writing half of one link.
pub(super) struct Outbox {
    side: WriteSide,
    subject: Subject,
    ready: Ready,
    limiter: Arc<Limiter>,
    out: Out,
    /// How many of the bytes in `out` are written.
    written: usize,
    sending: Option<Sending>,
    /// Until when to send no block under the rate limit, and that limit.
    debt: Option<(Instant, u64)>,
    /// Until when it was the limit that kept a block back, last.
    held_back: Option<Instant>,
    /// Bytes of metadata among the messages that wait, and of those that have left untold.
    metadata: (usize, usize),
    /// Bytes sent in this turn that are not yet paid under the rate limit.
    unpaid: usize,
    /// Bytes of blocks sent that nobody was told of.
    untold: u32,
    /// When somebody was, last.
    told_at: Instant,
    hold: Hold,
}

/// Are packets held back until they are full?
#[derive(Default)]
struct Hold(bool);

impl Hold {
    fn set(&mut self, side: &WriteSide, hold: bool) {
        if self.0 != hold {
            side.hold(hold);
            self.0 = hold;
        }
    }
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
            subject: config.subject.clone(),
            ready: Ready::default(),
            limiter: config.up_limiter.clone(),
            out: Out::default(),
            written: 0,
            sending: None,
            debt: None,
            held_back: None,
            metadata: (0, 0),
            unpaid: 0,
            untold: 0,
            told_at: Instant::now(),
            hold: Hold::default(),
        }
    }

    /// Is everything written?
    pub(super) fn is_empty(&self) -> bool {
        self.out.bytes.is_empty() && self.has_no_blocks() && self.side.is_clear()
    }

    fn has_no_blocks(&self) -> bool {
        self.sending.is_none() && self.out.parcels.is_empty()
    }

    /// Until when it is, or was, the rate limit or our disk that kept us from sending. Neither
    /// keeps messages back, unless a block is begun.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.sending.is_none() && !self.out.bytes.is_empty() {
            return self.held_back;
        }
        if self.ready.is_fetching() {
            return Some(now);
        }
        self.debt.map(|(until, _)| until.min(now)).max(self.held_back)
    }

    /// Bytes of blocks that have left since this was last asked, if they are worth telling.
    pub(super) fn take_sent(&mut self) -> Option<u32> {
        let is_last = || self.has_no_blocks() || self.told_at.elapsed() >= TELL_AFTER;
        let is_worth_it = self.untold >= TELL_LEN || (self.untold > 0 && is_last());
        is_worth_it.then(|| {
            self.told_at = Instant::now();
            std::mem::take(&mut self.untold)
        })
    }

    /// Bytes of metadata that have left since this was last asked.
    pub(super) fn take_metadata_sent(&mut self) -> Option<usize> {
        Some(std::mem::take(&mut self.metadata.1)).filter(|sent| *sent > 0)
    }

    /// The rest of the blocks' bytes, at the end of the link.
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
        for command in batch {
            debug_assert!(dialect.caps().allow(&command), "no order for this link: {command:?}");
            match command {
                LinkCommand::Request(blocks) => dialect.request(blocks, &mut self.out.bytes),
                LinkCommand::Cancel(blocks) => dialect.cancel(blocks, &mut self.out.bytes),
                LinkCommand::Peer(command) => {
                    if let Some(peer) = dialect.peer() {
                        peer.order(command, &mut self.out);
                    }
                }
                // No protocol that is carried here has runs.
                LinkCommand::Fetch(_) | LinkCommand::Shorten(_) => {}
                LinkCommand::Close(reason) => return Err(DownReason::Closed(reason)),
            }
        }
        dialect.speak(&mut self.out.bytes);
        self.metadata.0 += std::mem::take(&mut self.out.metadata_bytes);
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
    ///
    /// # Errors
    /// `Lost`, or `Closed` when it is our files that fail.
    pub(super) async fn send(&mut self) -> Result<(), DownReason> {
        if !self.side.is_clear() {
            poll_fn(|cx| Pin::new(&mut self.side).poll_flush(cx)).await.map_err(|e| lost(&e))?;
            if self.is_empty() {
                return Ok(());
            }
        }
        if self.sending.is_none() && !self.out.bytes.is_empty() {
            self.send_messages().await.map_err(|error| lost(&error))?;
            self.pay();
            return Ok(());
        }
        // Not inside a block: nothing else can be said before it is whole.
        if self.sending.is_none()
            && let Some((until, rate)) = self.debt
        {
            self.limiter.wait_until(until, Some(rate)).await;
            self.debt = None;
            self.held_back = Some(Instant::now());
        }
        let turn = self.limiter.turn_bytes().and_then(|turn| usize::try_from(turn).ok());
        let turn = turn.unwrap_or(TURN_LEN).min(TURN_LEN);
        // One block at least, and none without its end.
        while self.sending.is_some() || (self.unpaid < turn && !self.has_no_blocks()) {
            if self.out.parcels.len() > 1 {
                self.hold.set(&self.side, true);
            }
            let sent = self.send_part().await?;
            self.unpaid += sent;
            if self.sending.is_none() && !self.out.bytes.is_empty() {
                break;
            }
        }
        self.hold.set(&self.side, false);
        self.pay();
        // A peer that is as fast as memory would keep the thread.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn send_messages(&mut self) -> io::Result<()> {
        let Self { side, out, written, unpaid, metadata, .. } = self;
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
            metadata.1 += std::mem::take(&mut metadata.0);
        }
        Ok(())
    }

    /// Pays for a turn at once: one wait each, not one for every block. Messages are paid for
    /// too, by the blocks behind them.
    fn pay(&mut self) {
        let bytes = std::mem::take(&mut self.unpaid);
        let Some(rate) = self.limiter.rate() else {
            self.debt = None;
            return;
        };
        let now = Instant::now();
        let wait = self.limiter.spend(bytes as u64, now.into_std());
        if !wait.is_zero() {
            let until = self.debt.map_or(now, |(until, _)| until);
            self.debt = Some((until.max(now + wait), rate));
        }
    }

    /// Sends the next part of the block at the front, begun or not; tells how many bytes of it
    /// left. Waits for the disk, and while the socket takes nothing.
    async fn send_part(&mut self) -> Result<usize, DownReason> {
        if self.sending.is_none() {
            self.begin_block().await.map_err(|error| ours(&error))?;
        }
        let Some(sending) = &mut self.sending else { return Ok(0) };
        while sending.head_sent < HEAD_LEN {
            let rest = sending.head.get(sending.head_sent..).unwrap_or_default();
            let sent = self.side.write_more(rest).await.map_err(|error| lost(&error))?;
            sending.head_sent += sent;
            self.unpaid += sent;
        }
        let Some(slice) = sending.slices.front_mut() else {
            self.sending = None;
            return Ok(0);
        };
        let sent = if slice.is_pad {
            let len = usize::try_from(slice.len).unwrap_or(usize::MAX);
            let zeros = &ZEROS[..len.min(ZEROS.len())];
            self.side.write_more(zeros).await.map_err(|error| lost(&error))?
        } else {
            if !self.ready.is_at_hand(slice) {
                self.hold.set(&self.side, false);
            }
            let ready = clear_meanwhile(&mut self.side, self.ready.prepare(slice)).await;
            let len = ready.map_err(|error| ours(&error))?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(TURN_LEN);
            let Some((file, at)) = self.ready.file(slice) else { return Ok(0) };
            let sent = self.side.send_file(file, at, len).await;
            sent.map_err(|error| if ready::is_ours(&error) { ours(&error) } else { lost(&error) })?
        };
        if sent == 0 {
            // Its length was promised, so that only the end of the link can tell the peer.
            return Err(ours(&io::Error::other("a file became shorter while it was sent")));
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

    /// Takes the next block as soon as its front can be sent without a wait for the disk; until
    /// then messages overtake it, and a choke drops it.
    async fn begin_block(&mut self) -> io::Result<()> {
        let Some(Parcel { head, ask }) = self.out.parcels.front() else { return Ok(()) };
        // Nothing is asked for before it is known.
        let Some(known) = self.subject.known() else { return Ok(()) };
        self.ready.send_from(known.outlet.as_ref());
        let offset = known.layout.piece_offset(ask.piece) + u64::from(ask.begin);
        let slices: VecDeque<_> = self.ready.slices(offset, u64::from(ask.len))?.collect();
        let sending = Sending { head: *head, head_sent: 0, slices };
        if let Some(first) = sending.slices.front().filter(|first| !first.is_pad) {
            if !self.ready.is_at_hand(first) {
                self.hold.set(&self.side, false);
            }
            clear_meanwhile(&mut self.side, self.ready.prepare(first)).await?;
        }
        self.out.parcels.pop_front();
        self.sending = Some(sending);
        Ok(())
    }
}

/// What is encrypted already leaves while the disk works: it may be the end of a block that the
/// peer waits for.
async fn clear_meanwhile<T>(side: &mut WriteSide, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut is_clear = side.is_clear();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // A connection that breaks here is told of by the next write.
            _ = poll_fn(|cx| Pin::new(&mut *side).poll_flush(cx)), if !is_clear => is_clear = true,
        }
    }
}

/// A failure of our own files; nothing is held against the peer.
fn ours(error: &io::Error) -> DownReason {
    debug!(%error, "cannot send from our files");
    DownReason::Closed(CloseReason::OurFiles)
}

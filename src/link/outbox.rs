//! The writing half of a link: messages wait in one buffer, which leaves in as few writes as
//! the socket takes. Not here: which messages those are, and when.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use tokio::io::AsyncWrite;

use crate::swarm::event::DownReason;
use crate::swarm::link::LinkCommand;

use super::dialect::Dialect;
use super::stream::WriteSide;

/// Bytes that may wait for a peer that does not read.
const QUEUE_MAX: usize = 1024 * 1024;
/// Capacity that an emptied buffer keeps: a full pipeline of requests.
const KEPT: usize = 40 * 1024;

/// The writing half of one link.
pub(super) struct Outbox {
    side: WriteSide,
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
}

impl Outbox {
    pub(super) fn new(side: WriteSide) -> Self {
        Self { side, bytes: Vec::new(), written: 0 }
    }

    /// Is everything written?
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
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
        dialect.order(batch, &mut self.bytes)?;
        if self.bytes.len() - self.written > QUEUE_MAX {
            return Err(DownReason::Violated("it does not read what we send".to_owned()));
        }
        Ok(())
    }

    /// Queues what may be said since something was read.
    pub(super) fn speak(&mut self, dialect: &mut impl Dialect) {
        dialect.speak(&mut self.bytes);
    }

    /// Queues a keep-alive, if the protocol has one.
    pub(super) fn keep_alive(&mut self, dialect: &impl Dialect) {
        dialect.keep_alive(&mut self.bytes);
    }

    /// Writes once what the socket takes. May be dropped at any time without loss.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        let Self { side, bytes, written } = self;
        let rest = bytes.get(*written..).unwrap_or_default();
        let sent = poll_fn(|cx| Pin::new(&mut *side).poll_write(cx, rest)).await?;
        if sent == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        *written += sent;
        if *written >= bytes.len() {
            bytes.clear();
            bytes.shrink_to(KEPT);
            *written = 0;
        }
        Ok(())
    }
}

//! The writing half of a link: orders become messages in one buffer, which leaves in as few
//! writes as the socket takes. Not here: when to send what.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use tokio::io::AsyncWrite;

use crate::base::bitfield::Bitfield;
use crate::base::layout::{BlockRef, Layout};
use crate::swarm::event::DownReason;
use crate::swarm::link::{Availability, LinkCommand};
use crate::wire::{Extensions, Message, Request};

use super::stream::WriteSide;

/// Bytes that may wait for a peer that does not read.
const QUEUE_MAX: usize = 1024 * 1024;
/// Capacity that an emptied buffer keeps: a full pipeline of requests.
const KEPT: usize = 40 * 1024;

/// The writing half of one link.
pub(super) struct Outbox {
    side: WriteSide,
    layout: Layout,
    fast: bool,
    /// Our extension handshake, until it is sent.
    introduction: Option<Vec<u8>>,
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
}

impl Outbox {
    /// `introduction` is the payload of our extension handshake; it follows our pieces,
    /// which must be the first message after the handshake (BEP 6).
    pub(super) fn new(
        side: WriteSide,
        layout: Layout,
        agreed: Extensions,
        introduction: Vec<u8>,
    ) -> Self {
        let introduction = agreed.extended.then_some(introduction);
        Self { side, layout, fast: agreed.fast, introduction, bytes: Vec::new(), written: 0 }
    }

    /// Is everything written?
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Turns orders into messages.
    ///
    /// # Errors
    /// `Closed` by order, or `Violated` when too much waits for the peer to read.
    pub(super) fn order(&mut self, batch: Vec<LinkCommand>) -> Result<(), DownReason> {
        for command in batch {
            match command {
                LinkCommand::Request(blocks) => {
                    blocks.into_iter().for_each(|it| self.queue(&Message::Request(request(it))));
                }
                LinkCommand::Cancel(blocks) => {
                    blocks.into_iter().for_each(|it| self.queue(&Message::Cancel(request(it))));
                }
                LinkCommand::Availability(availability) => self.introduce(availability),
                LinkCommand::Have(pieces) => {
                    pieces.into_iter().for_each(|it| self.queue(&Message::Have(it.number())));
                }
                LinkCommand::Choke => self.queue(&Message::Choke),
                LinkCommand::Unchoke => self.queue(&Message::Unchoke),
                LinkCommand::Interested => self.queue(&Message::Interested),
                LinkCommand::NotInterested => self.queue(&Message::NotInterested),
                LinkCommand::Refuse(ask) if self.fast => {
                    let (piece, begin, len) = (ask.piece.number(), ask.begin, ask.len);
                    self.queue(&Message::Reject(Request { piece, begin, len }));
                }
                // BEP 3 has no word for it.
                LinkCommand::Refuse(_) => {}
                LinkCommand::Close(reason) => return Err(DownReason::Closed(reason)),
            }
        }
        if self.bytes.len() - self.written > QUEUE_MAX {
            return Err(DownReason::Violated("it does not read what we send".to_owned()));
        }
        Ok(())
    }

    /// Queues a keep-alive.
    pub(super) fn keep_alive(&mut self) {
        self.queue(&Message::KeepAlive);
    }

    /// Writes once what the socket takes. May be dropped at any time without loss.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        let Self { side, bytes, written, .. } = self;
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

    fn introduce(&mut self, ours: Availability) {
        match ours {
            Availability::All if self.fast => self.queue(&Message::HaveAll),
            Availability::None if self.fast => self.queue(&Message::HaveNone),
            Availability::All => {
                let all = Bitfield::all(self.layout.piece_count());
                self.queue(&Message::Bitfield(all.as_bytes().to_vec()));
            }
            // "The bitfield … may be omitted if the client has no pieces" (BEP 3).
            Availability::None => {}
            Availability::Some(bits) => {
                self.queue(&Message::Bitfield(bits.as_bytes().to_vec()));
            }
        }
        if let Some(payload) = self.introduction.take() {
            self.queue(&Message::Extended { id: 0, payload });
        }
    }

    fn queue(&mut self, message: &Message) {
        message.encode(&mut self.bytes);
    }
}

fn request(block: BlockRef) -> Request {
    Request { piece: block.piece().number(), begin: block.begin(), len: block.len_bytes() }
}

//! Writing: commands of the brain as wire messages, queued in one bounded buffer.

use std::net::IpAddr;

use crate::base::ids::PeerId;
use crate::base::layout::BlockRef;
use crate::swarm::link::{Ask, Availability, CloseReason, LinkCommand};
use crate::wire::extended;
use crate::wire::message::{Message, Part};

/// Bytes that may wait for a remote that does not read (limits table).
const QUEUED_MAX: usize = 1 << 20;

/// The writing side of one link.
pub(super) struct Outbound {
    bytes: Vec<u8>,
    written: usize,
    fast: bool,
    /// Our extension handshake's payload, until it is sent.
    introduction: Option<Vec<u8>>,
}

/// What is to be done after commands were queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Go on.
    GoOn,
    /// The brain ends the link.
    Close(CloseReason),
    /// The remote does not read.
    Full,
}

impl Outbound {
    /// For a remote at `remote`, with the extensions that both sides have.
    pub fn new(fast: bool, extended: bool, listen_port: Option<u16>, remote: IpAddr) -> Self {
        let introduction = extended.then(|| extended::encode(listen_port, remote));
        Self { bytes: Vec::new(), written: 0, fast, introduction }
    }

    /// Bytes to be written.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many of them were written.
    pub fn advance(&mut self, written: usize) {
        self.written += written;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    pub fn keep_alive(&mut self) {
        Message::KeepAlive.encode(&mut self.bytes);
    }

    /// Queues a batch in its order.
    pub fn queue(&mut self, commands: Vec<LinkCommand>) -> After {
        for command in commands {
            if let LinkCommand::Close(reason) = command {
                return After::Close(reason);
            }
            self.queue_one(command);
        }
        if self.pending().len() > QUEUED_MAX { After::Full } else { After::GoOn }
    }

    fn queue_one(&mut self, command: LinkCommand) {
        let out = &mut self.bytes;
        match command {
            LinkCommand::Request(blocks) => {
                blocks.iter().for_each(|block| Message::Request(part(*block)).encode(out));
            }
            LinkCommand::Cancel(blocks) => {
                blocks.iter().for_each(|block| Message::Cancel(part(*block)).encode(out));
            }
            LinkCommand::Availability(pieces) => self.introduce(pieces),
            LinkCommand::Have(pieces) => {
                pieces.iter().for_each(|piece| Message::Have(piece.number()).encode(out));
            }
            LinkCommand::Choke => Message::Choke.encode(out),
            LinkCommand::Unchoke => Message::Unchoke.encode(out),
            LinkCommand::Interested => Message::Interested.encode(out),
            LinkCommand::NotInterested => Message::NotInterested.encode(out),
            LinkCommand::Refuse(Ask { piece, begin, len }) if self.fast => {
                Message::Reject(Part { piece: piece.number(), begin, len }).encode(out);
            }
            // Without the fast extension there is no word for it; `Close` is handled before.
            LinkCommand::Refuse(_) | LinkCommand::Close(_) => {}
        }
    }

    /// Our pieces, which must come first (BEP 3, 6), and who we are (BEP 10).
    fn introduce(&mut self, pieces: Availability) {
        let message = match pieces {
            Availability::All if self.fast => Some(Message::HaveAll),
            Availability::None if self.fast => Some(Message::HaveNone),
            // BEP 3: "Downloaders which don't have anything yet may skip the bitfield".
            Availability::All | Availability::None => None,
            Availability::Some(set) => Some(Message::Bitfield(set.as_bytes().to_vec())),
        };
        if let Some(message) = message {
            message.encode(&mut self.bytes);
        }
        if let Some(payload) = self.introduction.take() {
            Message::Extended(0, payload).encode(&mut self.bytes);
        }
    }
}

fn part(block: BlockRef) -> Part {
    Part { piece: block.piece().number(), begin: block.begin(), len: block.len_bytes() }
}

/// Requests that a remote holds when it does not say: what libtorrent's old default was.
const REQQ_UNKNOWN: u32 = 250;
/// No remote is asked for more than this at once, whatever it says.
const REQQ_MAX: u32 = 2000;
/// BitComet chokes on deep queues and silently stops.
const REQQ_BITCOMET: u32 = 50;

/// How many requests a remote is given at most, by what it says and what it is.
pub(super) fn pipeline_max(said: Option<u32>, peer_id: PeerId) -> u32 {
    let said = said.unwrap_or(REQQ_UNKNOWN).clamp(1, REQQ_MAX);
    if peer_id.0.starts_with(b"-BC") { said.min(REQQ_BITCOMET) } else { said }
}

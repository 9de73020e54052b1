//! From wire messages to the brain's vocabulary, with every number of a stranger checked
//! against the torrent's geometry, and floods of small messages counted.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::swarm::link::{Ask, Availability, Description, LinkEvent};
use crate::wire::extended;
use crate::wire::message::{Message, Part};

use super::outbound::pipeline_max;

/// BEP 3 knows 16 KiB; some libraries ask for up to 128.
const ASK_MAX: u32 = 128 * 1024;
/// Messages other than data that a remote may send in `FLOOD_WINDOW`, besides one `have` for
/// each piece.
const SMALL_MAX: u32 = 20_000;
const FLOOD_WINDOW: Duration = Duration::from_secs(10);
/// What an extension handshake counts in that budget, since it costs more to read.
const EXTENDED_COST: u32 = 100;

/// How a remote broke the protocol, in words for people.
pub(super) type Violation = String;

/// The translator of one link.
pub(super) struct Translator {
    layout: Layout,
    fast: bool,
    peer_id: PeerId,
    small: u32,
    window_began: Instant,
}

impl Translator {
    pub fn new(layout: Layout, fast: bool, peer_id: PeerId) -> Self {
        Self { layout, fast, peer_id, small: 0, window_began: Instant::now() }
    }

    /// Translates what one read brought; consecutive blocks become one event.
    ///
    /// # Errors
    /// The remote broke the protocol, or floods us.
    pub fn translate(&mut self, messages: &mut Vec<Message>) -> Result<Vec<LinkEvent>, Violation> {
        let mut events = Vec::new();
        let expected = messages.len();
        for message in messages.drain(..) {
            match message {
                Message::Piece { piece, begin, block } => {
                    match self.block(piece, begin, &block)? {
                        Some(of) => push_block(&mut events, of, block, expected),
                        None => events.push(LinkEvent::Stray(block.len_bytes() as u32)),
                    }
                }
                small => {
                    self.count(&small)?;
                    events.extend(self.small(small)?);
                }
            }
        }
        Ok(events)
    }

    fn block(&self, piece: u32, begin: u32, block: &Block) -> Result<Option<BlockRef>, Violation> {
        self.piece(piece)?;
        let len = u32::try_from(block.len_bytes()).unwrap_or(u32::MAX);
        Ok(self.layout.block_at(piece, begin, len))
    }

    fn small(&self, message: Message) -> Result<Option<LinkEvent>, Violation> {
        Ok(Some(match message {
            Message::Choke => LinkEvent::Choked,
            Message::Unchoke => LinkEvent::Unchoked,
            Message::Interested => LinkEvent::Interested,
            Message::NotInterested => LinkEvent::NotInterested,
            Message::Have(piece) => LinkEvent::Have(self.piece(piece)?),
            Message::Bitfield(bits) => {
                let set = Bitfield::from_wire(&bits, self.layout.piece_count())
                    .ok_or_else(|| format!("its bitfield has {} bytes", bits.len()))?;
                LinkEvent::Availability(Availability::Some(set))
            }
            Message::Request(part) => LinkEvent::Requested(self.ask(part)?),
            Message::Cancel(part) => LinkEvent::Cancelled(self.ask(part)?),
            Message::HaveAll => self.only_fast(LinkEvent::Availability(Availability::All))?,
            Message::HaveNone => self.only_fast(LinkEvent::Availability(Availability::None))?,
            Message::Reject(part) => {
                let block = self.layout.block_at(part.piece, part.begin, part.len);
                let event = block.map(|block| LinkEvent::Refused { block, lasting: false });
                self.only_fast(event.unwrap_or(LinkEvent::Stray(0)))?
            }
            Message::AllowedFast(piece) => {
                let piece = self.layout.piece(piece);
                return Ok(piece.filter(|_| self.fast).map(LinkEvent::AllowedFast));
            }
            Message::Suggest(piece) => {
                let piece = self.layout.piece(piece);
                return Ok(piece.filter(|_| self.fast).map(LinkEvent::Suggested));
            }
            Message::Extended(0, payload) => LinkEvent::Described(self.describe(&payload)?),
            Message::KeepAlive
            | Message::Port(_)
            | Message::Extended(..)
            | Message::Unknown(_)
            | Message::Piece { .. } => return Ok(None),
        }))
    }

    fn describe(&self, payload: &[u8]) -> Result<Description, Violation> {
        let said = extended::decode(payload)
            .map_err(|error| format!("its extension handshake is broken: {error}"))?;
        Ok(Description {
            client: said.client,
            pipeline_max: said.reqq.map(|reqq| pipeline_max(Some(reqq), self.peer_id)),
            upload_only: said.upload_only,
            listen_port: said.listen_port,
            our_address: said.our_address,
        })
    }

    fn piece(&self, number: u32) -> Result<PieceIndex, Violation> {
        self.layout.piece(number).ok_or_else(|| format!("it spoke of piece {number}"))
    }

    fn ask(&self, part: Part) -> Result<Ask, Violation> {
        let piece = self.piece(part.piece)?;
        let end = part.begin.checked_add(part.len);
        let inside = end.is_some_and(|end| end <= self.layout.len_of(piece));
        if !inside || part.len == 0 || part.len > ASK_MAX {
            let Part { piece, begin, len } = part;
            return Err(format!("it asked for {len} bytes at {begin} of piece {piece}"));
        }
        Ok(Ask { piece, begin: part.begin, len: part.len })
    }

    /// BEP 6: these messages are only for those who agreed on the extension.
    fn only_fast(&self, event: LinkEvent) -> Result<LinkEvent, Violation> {
        if self.fast {
            Ok(event)
        } else {
            Err("it sent a message of the fast extension without agreeing on it".into())
        }
    }

    fn count(&mut self, message: &Message) -> Result<(), Violation> {
        let now = Instant::now();
        if now.saturating_duration_since(self.window_began) >= FLOOD_WINDOW {
            self.window_began = now;
            self.small = 0;
        }
        let cost = if matches!(message, Message::Extended(..)) { EXTENDED_COST } else { 1 };
        self.small = self.small.saturating_add(cost);
        if self.small > SMALL_MAX + self.layout.piece_count() {
            return Err("it flooded us with small messages".into());
        }
        Ok(())
    }
}

fn push_block(events: &mut Vec<LinkEvent>, of: BlockRef, block: Block, expected: usize) {
    if let Some(LinkEvent::Blocks(blocks)) = events.last_mut() {
        return blocks.push((of, block));
    }
    let mut blocks = Vec::with_capacity(expected);
    blocks.push((of, block));
    events.push(LinkEvent::Blocks(blocks));
}

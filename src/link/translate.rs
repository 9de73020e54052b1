//! From messages to facts: checks every number of the peer against the layout, keeps the
//! rules of BEPs 3, 6 and 10, and counts floods. Pure; the only state is what the wire
//! itself needs (the remote's pieces, what it told of itself, the budget).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::swarm::link::{Ask, Availability, Description, LinkCaps, LinkEvent, Unit};
use crate::wire::{ExtendedHandshake, Extensions, Message, Request};

/// Requests to keep at a peer that does not say `reqq`: the least that grown clients assume.
const PIPELINE_UNKNOWN: u32 = 250;
/// The most, whatever it says: 32 MiB on their way are enough for any line.
const PIPELINE_MAX: u32 = 2_000;
/// BitComet chokes on deep queues and silently stops (libtorrent caps it the same).
const PIPELINE_BITCOMET: u32 = 50;
/// The longest request that some libraries make; longer ones are never served.
const ASK_MAX: u32 = 128 * 1024;
/// `have` messages of one read that are told one by one; more become one availability.
const HAVES_PER_READ: usize = 256;
/// Pieces that a peer may allow or suggest in its life; BEP 6 speaks of ten or so.
const HINTS_MAX: u32 = 1_000;

/// What a peer may spend in one window without sending data or news of pieces.
const BUDGET: u32 = 20_000;
const WINDOW: Duration = Duration::from_secs(10);
const COST: u32 = 1;
/// Keep-alives are due once in two minutes: 2,000 in ten seconds are no accident.
const COST_KEEP_ALIVE: u32 = 10;
/// Everything for which the brain walks all pieces, or we parse bencode.
const COST_HEAVY: u32 = 100;
/// Nonsense that is tolerated fifty times.
const COST_NONSENSE: u32 = 400;

/// Translates the messages of one link.
#[derive(Debug)]
pub(super) struct Translator {
    layout: Layout,
    agreed: Extensions,
    pipeline_limit: u32,
    remote: Availability,
    told: ExtendedHandshake,
    allowed: u32,
    suggested: u32,
    spent: u32,
    window: Option<Instant>,
    haves_in_read: usize,
}

impl Translator {
    /// For a link on which both sides have `agreed`, to a peer that calls itself `peer_id`.
    pub(super) fn new(layout: Layout, agreed: Extensions, peer_id: PeerId) -> Self {
        let is_bitcomet = peer_id.0.starts_with(b"-BC");
        Self {
            layout,
            agreed,
            pipeline_limit: if is_bitcomet { PIPELINE_BITCOMET } else { PIPELINE_MAX },
            remote: Availability::None,
            told: ExtendedHandshake::default(),
            allowed: 0,
            suggested: 0,
            spent: 0,
            window: None,
            haves_in_read: 0,
        }
    }

    /// What the link can do, as far as handshakes tell.
    pub(super) fn caps(&self) -> LinkCaps {
        LinkCaps {
            unit: Unit::Block,
            chokes: true,
            pipeline_max: PIPELINE_UNKNOWN.min(self.pipeline_limit),
            can_upload_to: true,
            fast: self.agreed.fast,
            extended: self.agreed.extended,
        }
    }

    /// A read begins.
    pub(super) fn begin(&mut self, now: Instant) {
        let is_over =
            self.window.is_none_or(|begin| now.saturating_duration_since(begin) >= WINDOW);
        if is_over {
            self.window = Some(now);
            self.spent = 0;
        }
    }

    /// A read is translated: tells what was saved up.
    pub(super) fn end(&mut self, events: &mut Vec<LinkEvent>) {
        if self.haves_in_read > HAVES_PER_READ {
            events.push(LinkEvent::Availability(self.remote.clone()));
        }
        self.haves_in_read = 0;
    }

    /// Translates one message, appending to `events`.
    ///
    /// # Errors
    /// What the peer did that ends the link.
    pub(super) fn on_message(
        &mut self,
        message: Message,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        match message {
            Message::Piece { piece, begin, data } => {
                return self.on_data(piece, begin, data, events);
            }
            Message::Have(piece) => return self.on_have(piece, events),
            Message::Bitfield(bytes) => {
                self.spend(COST_HEAVY)?;
                let bits = Bitfield::from_wire(&bytes, self.layout.piece_count())
                    .ok_or_else(|| format!("it sent a bitfield of {} bytes", bytes.len()))?;
                self.replace(summary(bits), events);
            }
            Message::HaveAll => {
                self.spend_fast(COST_HEAVY, "have-all")?;
                self.replace(Availability::All, events);
            }
            Message::HaveNone => {
                self.spend_fast(COST_HEAVY, "have-none")?;
                self.replace(Availability::None, events);
            }
            Message::KeepAlive => self.spend(COST_KEEP_ALIVE)?,
            Message::Port(_) | Message::Unknown { .. } => self.spend(COST)?,
            Message::Choke => self.tell(LinkEvent::Choked, events)?,
            Message::Unchoke => self.tell(LinkEvent::Unchoked, events)?,
            Message::Interested => self.tell(LinkEvent::Interested, events)?,
            Message::NotInterested => self.tell(LinkEvent::NotInterested, events)?,
            Message::Request(request) => {
                let ask = self.ask(request)?;
                if ask.len <= ASK_MAX {
                    self.tell(LinkEvent::Requested(ask), events)?;
                } else {
                    self.spend(COST_NONSENSE)?;
                }
            }
            Message::Cancel(request) => {
                let ask = self.ask(request)?;
                self.tell(LinkEvent::Cancelled(ask), events)?;
            }
            Message::Reject(request) => self.on_reject(request, events)?,
            Message::Suggest(piece) => {
                self.spend_fast(COST, "suggest")?;
                let piece = self.piece(piece)?;
                self.suggested += 1;
                if self.suggested <= HINTS_MAX {
                    events.push(LinkEvent::Suggested(piece));
                }
            }
            Message::AllowedFast(piece) => {
                self.spend_fast(COST, "allowed-fast")?;
                let piece = self.piece(piece)?;
                self.allowed += 1;
                if self.allowed <= HINTS_MAX {
                    events.push(LinkEvent::AllowedFast(piece));
                }
            }
            Message::Extended { id, payload } => self.on_extended(id, &payload, events)?,
        }
        Ok(())
    }

    fn on_data(
        &mut self,
        piece: u32,
        begin: u32,
        data: Block,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        let len = u32::try_from(data.len_bytes()).unwrap_or(u32::MAX);
        match (self.layout.block_at(piece, begin, len), events.last_mut()) {
            (Some(block), Some(LinkEvent::Blocks(batch))) => batch.push((block, data)),
            (Some(block), _) => {
                // One read brings sixteen; most of them in one batch.
                let mut batch: Vec<(BlockRef, Block)> = Vec::with_capacity(16);
                batch.push((block, data));
                events.push(LinkEvent::Blocks(batch));
            }
            (None, last) => {
                self.spend(COST)?;
                if let Some(LinkEvent::Stray(bytes)) = last {
                    *bytes = bytes.saturating_add(len);
                } else {
                    events.push(LinkEvent::Stray(len));
                }
            }
        }
        Ok(())
    }

    fn on_have(&mut self, number: u32, events: &mut Vec<LinkEvent>) -> Result<(), String> {
        let piece = self.piece(number)?;
        if self.remote_has(piece) {
            return self.spend(COST);
        }
        if let Availability::None = self.remote {
            self.remote = Availability::Some(Bitfield::none(self.layout.piece_count()));
        }
        if let Availability::Some(bits) = &mut self.remote {
            bits.insert(piece);
        }
        self.haves_in_read += 1;
        if self.haves_in_read <= HAVES_PER_READ {
            events.push(LinkEvent::Have(piece));
        }
        Ok(())
    }

    fn on_reject(&mut self, request: Request, events: &mut Vec<LinkEvent>) -> Result<(), String> {
        let Request { piece, begin, len } = request;
        let Some(block) = self.layout.block_at(piece, begin, len) else {
            return self.spend_fast(COST_NONSENSE, "reject");
        };
        self.spend_fast(COST, "reject")?;
        let lasting = !self.remote_has(block.piece());
        events.push(LinkEvent::Refused { block, lasting });
        Ok(())
    }

    /// BEP 10: id 0 is the handshake. We name no other id to the peer, so that it can use
    /// none; what it sends all the same is dropped.
    fn on_extended(
        &mut self,
        id: u8,
        payload: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        if id != 0 || !self.agreed.extended {
            return self.spend(COST_HEAVY);
        }
        match self.told.update(payload) {
            Ok(()) => {
                self.spend(COST_HEAVY)?;
                events.push(LinkEvent::Described(self.description()));
                Ok(())
            }
            // The rest of the protocol does not need it.
            Err(_) => self.spend(COST_NONSENSE),
        }
    }

    fn description(&self) -> Description {
        let told = &self.told;
        Description {
            client: told.client.clone(),
            pipeline_max: told.request_queue.map(|len| len.clamp(1, self.pipeline_limit)),
            upload_only: told.upload_only,
            listen_port: told.listen_port,
            our_address: told.your_address.map(|address: IpAddr| address.to_canonical()),
        }
    }

    fn tell(&mut self, event: LinkEvent, events: &mut Vec<LinkEvent>) -> Result<(), String> {
        self.spend(COST)?;
        events.push(event);
        Ok(())
    }

    fn replace(&mut self, availability: Availability, events: &mut Vec<LinkEvent>) {
        self.remote = availability.clone();
        events.push(LinkEvent::Availability(availability));
    }

    fn remote_has(&self, piece: PieceIndex) -> bool {
        match &self.remote {
            Availability::All => true,
            Availability::None => false,
            Availability::Some(bits) => bits.has(piece),
        }
    }

    fn piece(&self, number: u32) -> Result<PieceIndex, String> {
        let piece = self.layout.piece(number);
        piece.ok_or_else(|| format!("it named piece {number}, which does not exist"))
    }

    fn ask(&self, request: Request) -> Result<Ask, String> {
        let Request { piece, begin, len } = request;
        let piece = self.piece(piece)?;
        let end = begin.checked_add(len).filter(|end| *end <= self.layout.len_of(piece));
        if len == 0 || end.is_none() {
            return Err(format!("it asked for {len} bytes at {begin}, not inside the piece"));
        }
        Ok(Ask { piece, begin, len })
    }

    fn spend_fast(&mut self, cost: u32, name: &str) -> Result<(), String> {
        if !self.agreed.fast {
            return Err(format!("it sent {name} without the fast extension"));
        }
        self.spend(cost)
    }

    fn spend(&mut self, cost: u32) -> Result<(), String> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > BUDGET {
            return Err("it flooded us with messages".to_owned());
        }
        Ok(())
    }
}

fn summary(bits: Bitfield) -> Availability {
    match bits.ones() {
        0 => Availability::None,
        _ if bits.is_full() => Availability::All,
        _ => Availability::Some(bits),
    }
}

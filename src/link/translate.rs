//! From messages to facts: checks every number of the peer against the layout, keeps the
//! rules of BEPs 3, 6 and 10, and counts floods. Pure; the only state is what the wire
//! itself needs (the remote's pieces, what it told of itself, the budget).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::swarm::link::{
    ASK_LEN_MAX, Ask, Availability, Description, LinkCaps, LinkEvent, MetadataEvent, Unit,
};
use crate::wire::{ExtendedHandshake, Extensions, Message, MetadataMessage, Pex, Request};

use super::early::Early;

/// Requests to keep at a peer that does not say `reqq`: the least that grown clients assume.
const PIPELINE_UNKNOWN: u32 = 250;
/// The most, whatever it says: 32 MiB on their way are enough for any line.
const PIPELINE_MAX: u32 = 2_000;
/// BitComet chokes on deep queues and silently stops (libtorrent caps it the same).
const PIPELINE_BITCOMET: u32 = 50;
/// Sets of pieces that a peer may tell in its life: as many as the brain takes. So no more of
/// them wait for it.
const SETS_MAX: u32 = 8;
/// Pieces that a peer may allow or suggest in its life; BEP 6 speaks of ten or so.
const HINTS_MAX: u32 = 1_000;

/// Our numbers for extension messages (BEP 10).
pub(super) const PEX_ID: u8 = 1;
pub(super) const METADATA_ID: u8 = 2;

/// What a peer may spend in one window without sending data or news of pieces.
const BUDGET: u32 = 20_000;
const WINDOW: Duration = Duration::from_secs(10);
const COST: u32 = 1;
/// Keep-alives are due once in two minutes: 2,000 in ten seconds are no accident.
const COST_KEEP_ALIVE: u32 = 10;
/// Everything for which the brain walks all pieces, or we parse bencode.
const COST_HEAVY: u32 = 100;
/// Metadata of 32 MiB has 2,048 pieces.
const COST_METADATA: u32 = 5;
/// Nonsense that is tolerated fifty times.
const COST_NONSENSE: u32 = 400;

/// Translates the messages of one link.
#[derive(Debug)]
pub(super) struct Translator {
    /// None while nobody knows the torrent: what the remote says of it is kept.
    layout: Option<Layout>,
    early: Early,
    exchanges_peers: bool,
    agreed: Extensions,
    pipeline_limit: u32,
    remote: Availability,
    /// Pieces that it has, by what it told, and refused: it may have lost them and find them again.
    refused: Option<Bitfield>,
    told: ExtendedHandshake,
    allowed: u32,
    suggested: u32,
    spent: u32,
    window: Option<Instant>,
    sets_told: u32,
    /// `have`s that were news.
    haves_told: u32,
    /// Where among the events of this read the new `have`s are.
    haves_at: Option<usize>,
}

impl Translator {
    /// For a link on which both sides have `agreed`, to a peer that calls itself `peer_id`.
    pub(super) fn new(layout: Option<Layout>, agreed: Extensions, peer_id: PeerId) -> Self {
        let is_bitcomet = peer_id.0.starts_with(b"-BC");
        Self {
            layout,
            early: Early::default(),
            exchanges_peers: true,
            agreed,
            pipeline_limit: if is_bitcomet { PIPELINE_BITCOMET } else { PIPELINE_MAX },
            remote: Availability::None,
            refused: None,
            told: ExtendedHandshake::default(),
            allowed: 0,
            suggested: 0,
            spent: 0,
            window: None,
            sets_told: 0,
            haves_told: 0,
            haves_at: None,
        }
    }

    /// What the remote says before anybody knows the torrent is counted there.
    pub(super) fn keep_in(&mut self, pool: &BlockPool) {
        self.early = Early::within(pool);
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
            mse: None,
            is_way_unsure: false,
        }
    }

    /// A read begins.
    pub(super) fn begin(&mut self, now: Instant) {
        let is_over =
            self.window.is_none_or(|begin| now.saturating_duration_since(begin) >= WINDOW);
        self.haves_at = None;
        if is_over {
            self.window = Some(now);
            self.spent = 0;
        }
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
        match (message, self.layout) {
            (Message::Extended { id, payload }, _) => self.on_extended(id, &payload, events),
            (message, Some(layout)) => self.on_known(layout, message, events),
            (message, None) => {
                self.spend(COST)?;
                match self.early.note(message) {
                    true => Ok(()),
                    false => Err("nobody knows the torrent yet, and there is no room for what it \
                                  says of its pieces"
                        .to_owned()),
                }
            }
        }
    }

    /// The torrent is known: tells what the remote said of it until now.
    ///
    /// # Errors
    /// What of that ends the link.
    pub(super) fn know(
        &mut self,
        layout: Layout,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        self.layout = Some(layout);
        self.spent = 0;
        self.haves_at = None;
        for message in std::mem::take(&mut self.early).into_messages() {
            self.on_known(layout, message, events)?;
        }
        // The brain that knows the torrent has not heard it.
        if self.told != ExtendedHandshake::default() {
            events.push(LinkEvent::Described(self.description()));
        }
        Ok(())
    }

    fn on_known(
        &mut self,
        layout: Layout,
        message: Message,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        match message {
            Message::Piece { piece, begin, data } => {
                return self.on_data(layout, piece, begin, data, events);
            }
            Message::Have(piece) => return self.on_have(layout, piece, events),
            Message::Bitfield(bytes) => {
                self.spend(COST_HEAVY)?;
                let bits = Bitfield::from_wire(&bytes, layout.piece_count())
                    .ok_or_else(|| format!("it sent a bitfield of {} bytes", bytes.len()))?;
                self.replace(summary(bits), events)?;
            }
            Message::HaveAll => {
                self.spend_fast(COST_HEAVY, "have-all")?;
                self.replace(Availability::All, events)?;
            }
            Message::HaveNone => {
                self.spend_fast(COST_HEAVY, "have-none")?;
                self.replace(Availability::None, events)?;
            }
            Message::KeepAlive => self.spend(COST_KEEP_ALIVE)?,
            Message::Port(_) | Message::Unknown { .. } => self.spend(COST)?,
            Message::Choke => self.tell(LinkEvent::Choked, events)?,
            Message::Unchoke => self.tell(LinkEvent::Unchoked, events)?,
            Message::Interested => self.tell(LinkEvent::Interested, events)?,
            Message::NotInterested => self.tell(LinkEvent::NotInterested, events)?,
            Message::Request(request) => {
                let ask = ask(layout, request)?;
                let is_too_long = ask.len > ASK_LEN_MAX;
                if is_too_long {
                    self.spend(COST_NONSENSE)?;
                }
                // BEP 6: each request has an answer, be it that it is refused.
                if !is_too_long || self.agreed.fast {
                    self.tell(LinkEvent::Requested(ask), events)?;
                }
            }
            Message::Cancel(request) => {
                let ask = ask(layout, request)?;
                self.tell(LinkEvent::Cancelled(ask), events)?;
            }
            Message::Reject(request) => self.on_reject(layout, request, events)?,
            Message::Suggest(piece) => {
                self.spend_fast(COST, "suggest")?;
                let piece = piece_of(layout, piece)?;
                self.suggested += 1;
                if self.suggested <= HINTS_MAX {
                    events.push(LinkEvent::Suggested(piece));
                }
            }
            Message::AllowedFast(piece) => {
                self.spend_fast(COST, "allowed-fast")?;
                let piece = piece_of(layout, piece)?;
                self.allowed += 1;
                if self.allowed <= HINTS_MAX {
                    events.push(LinkEvent::AllowedFast(piece));
                }
            }
            Message::Extended { .. } => {}
        }
        Ok(())
    }

    fn on_data(
        &mut self,
        layout: Layout,
        piece: u32,
        begin: u32,
        data: Block,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        let len = u32::try_from(data.len_bytes()).unwrap_or(u32::MAX);
        match (layout.block_at(piece, begin, len), events.last_mut()) {
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

    fn on_have(
        &mut self,
        layout: Layout,
        number: u32,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        let piece = piece_of(layout, number)?;
        if self.remote_has(piece) {
            self.spend(COST)?;
            // Who refuses what it has cannot say that it is gone (BEP 3), but that it is back.
            if !self.refused.as_mut().is_some_and(|refused| refused.remove(piece)) {
                return Ok(());
            }
        }
        if let Availability::None = self.remote {
            self.remote = Availability::Some(Bitfield::none(layout.piece_count()));
        }
        if let Availability::Some(bits) = &mut self.remote {
            bits.insert(piece);
        }
        match self.haves_at.and_then(|at| events.get_mut(at)) {
            Some(LinkEvent::Haves(pieces)) => pieces.push(piece),
            _ => {
                self.haves_at = Some(events.len());
                events.push(LinkEvent::Haves(vec![piece]));
            }
        }
        // Each piece once is news, however fast it comes.
        self.haves_told = self.haves_told.saturating_add(1);
        if self.haves_told > layout.piece_count() {
            return self.spend(COST);
        }
        Ok(())
    }

    fn on_reject(
        &mut self,
        layout: Layout,
        request: Request,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        let Request { piece, begin, len } = request;
        let Some(block) = layout.block_at(piece, begin, len) else {
            return self.spend_fast(COST_NONSENSE, "reject");
        };
        self.spend_fast(COST, "reject")?;
        let lasting = !self.remote_has(block.piece());
        if !lasting {
            let refused = self.refused.get_or_insert_with(|| Bitfield::none(layout.piece_count()));
            refused.insert(block.piece());
        }
        // A piece told behind it must not stand before it, or it would be taken away again.
        self.haves_at = None;
        events.push(LinkEvent::Refused { block, lasting });
        Ok(())
    }

    /// BEP 10: id 0 is the handshake, others are what we named; whatever else comes is dropped.
    fn on_extended(
        &mut self,
        id: u8,
        payload: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        match id {
            _ if !self.agreed.extended => self.spend(COST_HEAVY),
            0 => self.on_handshake(payload, events),
            METADATA_ID => self.on_metadata(payload, events),
            PEX_ID if self.exchanges_peers => {
                self.spend(COST_HEAVY)?;
                let peers = Pex::decode(payload).map_err(|error| error.to_string())?;
                events.push(LinkEvent::Peers(peers));
                Ok(())
            }
            _ => self.spend(COST_HEAVY),
        }
    }

    fn on_handshake(&mut self, payload: &[u8], events: &mut Vec<LinkEvent>) -> Result<(), String> {
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

    fn on_metadata(&mut self, payload: &[u8], events: &mut Vec<LinkEvent>) -> Result<(), String> {
        let message = match MetadataMessage::decode(payload) {
            Ok(message) => message,
            // The whole in one message, for instance.
            Err(error) => return Err(error.to_string()),
        };
        let event = match message {
            // Who takes no answers need not ask.
            Some(MetadataMessage::Request { .. }) if self.metadata_id().is_none() => {
                return self.spend(COST_HEAVY);
            }
            Some(MetadataMessage::Request { piece }) => {
                self.spend(COST_METADATA)?;
                MetadataEvent::Asked(piece)
            }
            Some(MetadataMessage::Data { piece, bytes, .. }) => {
                self.spend(COST_METADATA)?;
                MetadataEvent::Piece { piece, bytes: bytes.into() }
            }
            Some(MetadataMessage::Reject { piece }) => {
                self.spend(COST)?;
                MetadataEvent::Refused(piece)
            }
            None => return self.spend(COST_HEAVY),
        };
        events.push(LinkEvent::Metadata(event));
        Ok(())
    }

    /// The remote's number for metadata messages, while it takes them.
    pub(super) fn metadata_id(&self) -> Option<u8> {
        self.told.metadata_id()
    }

    /// The remote's number for exchanges of peers, while it takes them and we do.
    pub(super) fn pex_id(&self) -> Option<u8> {
        self.told.pex_id().filter(|_| self.exchanges_peers)
    }

    /// Messages of peer exchange are taken.
    pub(super) fn exchanges_peers(&self) -> bool {
        self.exchanges_peers
    }

    /// Peers are exchanged no more.
    pub(super) fn stop_exchange(&mut self) {
        self.exchanges_peers = false;
    }

    fn description(&self) -> Description {
        let told = &self.told;
        Description {
            client: told.client.clone(),
            pipeline_max: told.request_queue.map(|len| len.clamp(1, self.pipeline_limit)),
            upload_only: told.upload_only,
            listen_port: told.listen_port,
            our_address: told.your_address.map(|address: IpAddr| address.to_canonical()),
            prefers_encryption: told.prefers_encryption == Some(true),
            takes_peers: told.pex_id().is_some(),
            takes_metadata: told.metadata_id().is_some(),
            metadata_len: told.metadata_len,
        }
    }

    fn tell(&mut self, event: LinkEvent, events: &mut Vec<LinkEvent>) -> Result<(), String> {
        self.spend(COST)?;
        events.push(event);
        Ok(())
    }

    fn replace(
        &mut self,
        availability: Availability,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        self.sets_told += 1;
        if self.sets_told > SETS_MAX {
            return Err("it told all its pieces again and again".to_owned());
        }
        self.remote = availability.clone();
        // What is said behind a set adds to it and must not stand before it.
        self.haves_at = None;
        events.push(LinkEvent::Availability(availability));
        Ok(())
    }

    fn remote_has(&self, piece: PieceIndex) -> bool {
        match &self.remote {
            Availability::All => true,
            Availability::None => false,
            Availability::Some(bits) => bits.has(piece),
        }
    }

    fn spend_fast(&mut self, cost: u32, name: &str) -> Result<(), String> {
        if !self.agreed.fast {
            return Err(format!("it sent {name} without the fast extension"));
        }
        self.spend(cost)
    }

    /// So many requests are answered with blocks: who gets much may ask much.
    pub(super) fn on_answered(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_sub(count.saturating_mul(COST));
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

fn piece_of(layout: Layout, number: u32) -> Result<PieceIndex, String> {
    let piece = layout.piece(number);
    piece.ok_or_else(|| format!("it named piece {number}, which does not exist"))
}

fn ask(layout: Layout, request: Request) -> Result<Ask, String> {
    let Request { piece, begin, len } = request;
    let piece = piece_of(layout, piece)?;
    let end = begin.checked_add(len).filter(|end| *end <= layout.len_of(piece));
    if len == 0 || end.is_none() {
        return Err(format!("it asked for {len} bytes at {begin}, not inside the piece"));
    }
    Ok(Ask { piece, begin, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::BLOCK_LEN;

    const ALL: Extensions = Extensions { extended: true, fast: true, dht: false };
    const PLAIN: Extensions = Extensions { extended: false, fast: false, dht: false };
    const ID: PeerId = PeerId(*b"-XX0100-aaaaaaaaaaaa");

    /// Ten pieces of two blocks; the last block has 100 bytes.
    fn layout() -> Layout {
        Layout::new(9 * 32_768 + 16_384 + 100, 32_768).unwrap()
    }

    fn translator(agreed: Extensions) -> Translator {
        Translator::new(Some(layout()), agreed, ID)
    }

    /// What one read with these messages tells.
    fn read(it: &mut Translator, messages: Vec<Message>) -> Result<Vec<LinkEvent>, String> {
        let mut events = Vec::new();
        it.begin(Instant::now());
        messages.into_iter().try_for_each(|message| it.on_message(message, &mut events))?;
        Ok(events)
    }

    fn shown(it: &mut Translator, messages: Vec<Message>) -> Vec<String> {
        read(it, messages).unwrap().iter().map(|event| format!("{event:?}")).collect()
    }

    fn refused(agreed: Extensions, message: Message) -> String {
        read(&mut translator(agreed), vec![message]).unwrap_err()
    }

    fn request(piece: u32, begin: u32, len: u32) -> Request {
        Request { piece, begin, len }
    }

    fn data(pool: &BlockPool, piece: u32, begin: u32, len: usize) -> Message {
        let mut blocks = Vec::new();
        pool.take(1, &mut blocks);
        let mut data = blocks.remove(0);
        data.append(&vec![7; len]);
        Message::Piece { piece, begin, data }
    }

    #[test]
    fn states_and_pieces_in_their_order() {
        let messages = vec![
            Message::Bitfield(vec![0x80, 0xFF]),
            Message::Unchoke,
            Message::Have(3),
            Message::Interested,
            Message::NotInterested,
            Message::Choke,
            Message::KeepAlive,
            Message::Port(1),
            Message::Unknown { id: 77, len: 9 },
        ];
        let events = read(&mut translator(PLAIN), messages).unwrap();
        let [
            LinkEvent::Availability(Availability::Some(bits)),
            LinkEvent::Unchoked,
            LinkEvent::Haves(pieces),
            LinkEvent::Interested,
            LinkEvent::NotInterested,
            LinkEvent::Choked,
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        // Spare bits are masked, not believed.
        assert_eq!(bits.iter_ones().collect::<Vec<_>>(), [0, 8, 9]);
        assert_eq!(pieces[0].number(), 3);
    }

    #[test]
    fn a_second_bitfield_replaces_and_full_or_empty_ones_are_named() {
        let mut it = translator(ALL);
        let all = Message::Bitfield(vec![0xFF, 0xC0]);
        let events = shown(&mut it, vec![all, Message::Bitfield(vec![0, 0])]);
        assert_eq!(events, ["Availability(All)", "Availability(None)"]);
        let events = shown(&mut it, vec![Message::HaveAll, Message::HaveNone]);
        assert_eq!(events, ["Availability(All)", "Availability(None)"]);
    }

    #[test]
    fn a_bitfield_of_another_length_ends_the_link() {
        for len in [0, 1, 3] {
            let message = refused(PLAIN, Message::Bitfield(vec![0; len]));
            assert_eq!(message, format!("it sent a bitfield of {len} bytes"));
        }
    }

    #[test]
    fn pieces_that_do_not_exist_end_the_link() {
        for message in [
            Message::Have(10),
            Message::Suggest(10),
            Message::AllowedFast(u32::MAX),
            Message::Request(request(10, 0, 1)),
            Message::Cancel(request(u32::MAX, 0, 1)),
        ] {
            assert!(refused(ALL, message).contains("does not exist"));
        }
    }

    #[test]
    fn requests_lie_inside_their_piece() {
        for (begin, len) in [(0, 32_769), (32_768, 1), (u32::MAX, 2), (0, 0)] {
            let message = refused(ALL, Message::Request(request(0, begin, len)));
            assert!(message.contains("not inside the piece"), "{message}");
        }
        assert!(
            read(&mut translator(ALL), vec![Message::Request(request(9, 16_384, 101))]).is_err()
        );
        let good = vec![Message::Request(request(0, 1, 32_767)), Message::Cancel(request(9, 3, 5))];
        let events = read(&mut translator(PLAIN), good).unwrap();
        let [LinkEvent::Requested(asked), LinkEvent::Cancelled(cancelled)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((asked.piece.number(), asked.begin, asked.len), (0, 1, 32_767));
        assert_eq!((cancelled.piece.number(), cancelled.begin, cancelled.len), (9, 3, 5));
    }

    #[test]
    fn requests_over_128_kib_are_passed_over_where_there_is_no_word_to_refuse_them() {
        let layout = Layout::new(1 << 20, 1 << 20).unwrap();
        let told = |agreed| {
            let mut it = Translator::new(Some(layout), agreed, ID);
            let messages = vec![
                Message::Request(request(0, 0, 128 * 1024)),
                Message::Request(request(0, 0, 128 * 1024 + 1)),
            ];
            read(&mut it, messages).unwrap().len()
        };
        assert_eq!((told(PLAIN), told(ALL)), (1, 2));
        let mut it = Translator::new(Some(layout), ALL, ID);
        let flood = (0..51).map(|_| Message::Request(request(0, 0, 128 * 1024 + 1)));
        assert!(read(&mut it, flood.collect()).is_err(), "fifty are tolerated");
    }

    #[test]
    fn fast_messages_need_the_extension() {
        let messages = || {
            [
                Message::HaveAll,
                Message::HaveNone,
                Message::Suggest(0),
                Message::AllowedFast(0),
                Message::Reject(request(0, 0, 16_384)),
            ]
        };
        for message in messages() {
            assert!(refused(PLAIN, message).contains("without the fast extension"));
        }
        for message in messages() {
            assert_eq!(read(&mut translator(ALL), vec![message]).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_reject_lasts_when_the_remote_lacks_the_piece() {
        let messages = vec![
            Message::Have(1),
            Message::Reject(request(1, 16_384, 16_384)),
            Message::Reject(request(2, 0, 16_384)),
            Message::Reject(request(2, 1, 16_384)),
        ];
        let events = read(&mut translator(ALL), messages).unwrap();
        let [
            LinkEvent::Haves(_),
            LinkEvent::Refused { block: busy, lasting: false },
            LinkEvent::Refused { block: lacking, lasting: true },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((busy.piece().number(), busy.number()), (1, 1));
        assert_eq!((lacking.piece().number(), lacking.number()), (2, 0));
        let reject = Message::Reject(request(5, 0, 16_384));
        let events = read(&mut translator(ALL), vec![Message::Have(1), reject, Message::Have(5)]);
        let [
            LinkEvent::Haves(_),
            LinkEvent::Refused { lasting: true, .. },
            LinkEvent::Haves(later),
        ] = &events.unwrap()[..]
        else {
            panic!("what was told behind a refusal stands before it")
        };
        assert_eq!(later[0].number(), 5);
    }

    #[test]
    fn a_piece_that_was_refused_is_news_when_it_is_told_again() {
        let messages = vec![
            Message::Have(1),
            Message::Reject(request(1, 0, 16_384)),
            Message::Have(1),
            Message::Choke,
            Message::Have(1),
        ];
        let events = read(&mut translator(ALL), messages).unwrap();
        let [
            LinkEvent::Haves(_),
            LinkEvent::Refused { lasting: false, .. },
            LinkEvent::Haves(back),
            LinkEvent::Choked,
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(back[0].number(), 1);
    }

    #[test]
    fn blocks_come_in_batches_that_keep_their_place() {
        let pool = BlockPool::new(16 * BLOCK_LEN);
        let messages = vec![
            data(&pool, 0, 0, BLOCK_LEN),
            data(&pool, 0, 16_384, BLOCK_LEN),
            Message::Choke,
            data(&pool, 9, 16_384, 100),
            data(&pool, 0, 1, 5),
            data(&pool, 0, 0, 6),
            data(&pool, 10, 0, 7),
        ];
        let events = read(&mut translator(PLAIN), messages).unwrap();
        let [
            LinkEvent::Blocks(first),
            LinkEvent::Choked,
            LinkEvent::Blocks(second),
            LinkEvent::Stray(18),
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(first.iter().map(|(block, _)| block.number()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(second[0].0.len_bytes(), 100);
        assert_eq!(second[0].1.bytes(), [7; 100]);
        // Strays went back to the pool at once.
        assert_eq!(pool.in_use_blocks(), 3);
    }

    #[test]
    fn haves_of_one_read_are_one_event_behind_the_set_that_they_add_to() {
        let layout = Layout::new(1_000 * 16_384, 16_384).unwrap();
        let mut it = Translator::new(Some(layout), PLAIN, ID);
        let events = read(&mut it, (0..700).map(Message::Have).collect()).unwrap();
        assert!(matches!(&events[..], [LinkEvent::Haves(pieces)] if pieces.len() == 700));
        let messages = [Message::Have(5), Message::Have(800), Message::Choke, Message::Have(801)];
        let events = read(&mut it, messages.into_iter().collect()).unwrap();
        let [LinkEvent::Haves(pieces), LinkEvent::Choked] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(pieces.iter().map(|it| it.number()).collect::<Vec<_>>(), [800, 801]);
        let bits = Message::Bitfield(vec![0; 125]);
        let events = read(&mut it, vec![Message::Have(900), bits, Message::Have(5)]).unwrap();
        assert!(matches!(
            &events[..],
            [LinkEvent::Haves(_), LinkEvent::Availability(_), LinkEvent::Haves(_)]
        ));
    }

    #[test]
    fn floods_end_the_link_but_news_and_data_are_free() {
        let flood = |count: u32, message: fn() -> Message| {
            read(&mut translator(ALL), (0..count).map(|_| message()).collect())
        };
        assert!(flood(20_000, || Message::Choke).is_ok());
        assert!(flood(20_001, || Message::Choke).unwrap_err().contains("flooded"));
        assert!(flood(2_001, || Message::KeepAlive).is_err());
        assert!(flood(8, || Message::HaveNone).is_ok());
        assert!(flood(9, || Message::HaveNone).unwrap_err().contains("again and again"));
        assert!(flood(20_002, || Message::Have(1)).is_err());
        assert!(flood(51, || Message::Reject(request(0, 1, 1))).is_err());
        let layout = Layout::new(50_000, 1).unwrap();
        let mut it = Translator::new(Some(layout), ALL, ID);
        assert!(read(&mut it, (0..50_000).map(Message::Have).collect()).is_ok());
        // Each piece is news once; said to be gone and told anew it is not.
        let again = || [Message::HaveNone].into_iter().chain((0..20_000).map(Message::Have));
        assert!(read(&mut it, again().collect()).unwrap_err().contains("flooded"));
    }

    #[test]
    fn the_budget_is_new_every_ten_seconds() {
        let mut it = translator(ALL);
        let mut events = Vec::new();
        let begin = Instant::now();
        for second in 0..40 {
            it.begin(begin + Duration::from_secs(second));
            for _ in 0..1_900 {
                it.on_message(Message::Choke, &mut events).unwrap();
            }
        }
    }

    #[test]
    fn hints_are_bounded() {
        let mut it = translator(ALL);
        let hints = (0..3_000).map(|_| Message::AllowedFast(1));
        assert_eq!(read(&mut it, hints.collect()).unwrap().len(), 1_000);
        let hints = (0..3_000).map(|_| Message::Suggest(1));
        assert_eq!(read(&mut it, hints.collect()).unwrap().len(), 1_000);
    }

    #[test]
    fn what_the_remote_tells_of_itself_adds_up() {
        let extended = |payload: &[u8]| Message::Extended { id: 0, payload: payload.to_vec() };
        let mut it = translator(ALL);
        let events = read(
            &mut it,
            vec![
                extended(b"d4:reqqi99999e1:v4:Teste"),
                extended(b"d1:pi6881e4:reqqi0e11:upload_onlyi1ee"),
                // Not readable, another id: passed over.
                extended(b"d4:reqq"),
                Message::Extended { id: 3, payload: Vec::new() },
            ],
        )
        .unwrap();
        let [LinkEvent::Described(first), LinkEvent::Described(second)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(first.pipeline_max, Some(2_000));
        assert_eq!(second.pipeline_max, Some(1));
        assert_eq!(second.client.as_deref(), Some("Test"));
        assert_eq!((second.upload_only, second.listen_port), (Some(true), Some(6881)));
        // Without the bit it is as if nothing was said.
        assert!(read(&mut translator(PLAIN), vec![extended(b"de")]).unwrap().is_empty());
    }

    #[test]
    fn bitcomet_gets_a_short_pipeline() {
        let id = PeerId(*b"-BC0159-aaaaaaaaaaaa");
        let mut it = Translator::new(Some(layout()), ALL, id);
        assert_eq!(it.caps().pipeline_max, 50);
        assert_eq!(translator(ALL).caps().pipeline_max, 250);
        let payload = b"d4:reqqi500ee".to_vec();
        let events = read(&mut it, vec![Message::Extended { id: 0, payload }]).unwrap();
        assert!(
            matches!(&events[..], [LinkEvent::Described(told)] if told.pipeline_max == Some(50))
        );
    }
}

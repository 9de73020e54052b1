//! The BitTorrent dialect: handshakes, then frames in both directions (BEPs 3, 6, 10). What
//! messages mean is in `translate`, their bytes in `wire`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::bitfield::Bitfield;
use crate::base::ids::{InfoHash, PeerId};
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::link::{
    Ask, Availability, ExtendedCommand, LinkCaps, LinkEvent, MetadataCommand, PeerCommand,
};
use crate::wire::mse::Method;
use crate::wire::{
    Decoder, ExtendedHandshake, Extensions, HANDSHAKE_LEN, Handshake, Message, MetadataMessage,
    Need, Pex, Request, UT_METADATA, UT_PEX,
};

use super::config::{LinkConfig, LinkTimeouts};
use super::dialect::{Dialect, Intake, PeerDialect};
use super::error::Error;
use super::node::Neighbour;
use super::parcel::{HEAD_LEN, Out, Parcel};
use super::stream::{ReadSide, WriteSide};
use super::subject::{Known, Subject};
use super::translate::{METADATA_ID, PEX_ID, Translator};

/// What we call ourselves in extension handshakes.
const CLIENT: &str = "Pigeon 0.1.0";
/// Pieces that are told one by one to a remote that was told before that there are none: 450 KB,
/// which fits into what may wait for it. It does not hear of more.
const HAVES_MAX: usize = 50_000;
/// `reqq`: requests of one peer that we hold.
const REQUEST_QUEUE: u32 = 500;

thread_local! {
    /// Messages of one read; empty between reads.
    static MESSAGES: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Our handshake for the torrent that the remote knows, or is to know, as `info_hash`.
pub(super) fn handshake(config: &LinkConfig, info_hash: InfoHash) -> Handshake {
    let extensions = Extensions { dht: config.dht.is_some(), ..Extensions::OURS };
    Handshake { extensions, info_hash, peer_id: config.peer_id }
}

/// Sends it.
pub(super) async fn send_handshake(
    write: &mut WriteSide,
    config: &LinkConfig,
    info_hash: InfoHash,
) -> Result<(), Error> {
    write.write_all(&handshake(config, info_hash).encode()).await?;
    Ok(write.flush().await?)
}

/// Reads the remote's handshake, of which `begun` is known already.
pub(super) async fn read_handshake(read: &mut ReadSide, begun: &[u8]) -> Result<Handshake, Error> {
    let mut bytes = [0; HANDSHAKE_LEN];
    let (known, missing) = bytes.split_at_mut(begun.len().min(HANDSHAKE_LEN));
    known.copy_from_slice(begun.get(..known.len()).unwrap_or_default());
    read.read_exact(missing).await?;
    Ok(Handshake::decode(&bytes)?)
}

/// The protocol after the handshakes.
pub(super) struct BitTorrent {
    subject: Subject,
    /// None until an order tells that the torrent is known.
    layout: Option<Layout>,
    peer_id: PeerId,
    mse: Option<Method>,
    is_way_unsure: bool,
    fast: bool,
    extended: bool,
    decoder: Decoder,
    translator: Translator,
    /// Our extension handshake, until it is sent.
    introduction: Option<ExtendedHandshake>,
    /// Our pieces were told, if only that there are none.
    is_introduced: bool,
    /// The torrent has come to be known since the remote was told last.
    is_news: bool,
    /// None where the DHT does not run, or the torrent turned out to be private.
    neighbour: Option<Neighbour>,
}

impl BitTorrent {
    /// With a peer at `address` that sent the handshake `remote`, behind an encrypted one that
    /// selected `mse` if there was one; `listen_port` is told to it.
    pub(super) fn new(
        config: &LinkConfig,
        remote: &Handshake,
        mse: Option<Method>,
        address: SocketAddr,
        listen_port: Option<u16>,
    ) -> Self {
        let agreed = Extensions::OURS.common(remote.extensions);
        let known = config.subject.known();
        let layout = known.map(|known| known.layout);
        let introduction = ExtendedHandshake {
            extensions: extensions(config.exchanges_peers),
            metadata_len: known.and_then(metadata_len),
            client: Some(CLIENT.to_owned()),
            prefers_encryption: config.secrecy.policy.is_preferred().then_some(true),
            request_queue: Some(REQUEST_QUEUE),
            listen_port,
            your_address: Some(address.ip().to_canonical()),
            ..ExtendedHandshake::default()
        };
        // Whom we tell our port we have dialled.
        let is_home = listen_port.is_some();
        let has_node = remote.extensions.dht;
        let neighbour = config.dht.clone();
        let neighbour = neighbour.map(|end| Neighbour::new(end, address, has_node, is_home));
        let bitfield_len = layout.map(|layout| (layout.piece_count() as usize).div_ceil(8));
        let mut translator = Translator::new(layout, agreed, remote.peer_id);
        translator.keep_in(&config.pool);
        if !config.exchanges_peers {
            translator.stop_exchange();
        }
        Self {
            subject: config.subject.clone(),
            layout,
            peer_id: remote.peer_id,
            mse,
            is_way_unsure: false,
            fast: agreed.fast,
            extended: agreed.extended,
            decoder: Decoder::new(bitfield_len),
            translator,
            introduction: agreed.extended.then_some(introduction),
            is_introduced: false,
            is_news: false,
            neighbour,
        }
    }

    /// Our pieces. If the torrent was not known before, those that it has are news.
    fn tell_pieces(&mut self, ours: Availability, out: &mut Vec<u8>) {
        if let Some(known) = self.subject.known().filter(|_| self.layout.is_none()) {
            self.layout = Some(known.layout);
            self.is_news = true;
            if let Some(introduction) = &mut self.introduction {
                introduction.metadata_len = metadata_len(known);
            }
        }
        if !self.is_introduced {
            self.is_introduced = true;
            return self.introduce(ours, out);
        }
        let layout = self.layout;
        let has = |piece: &PieceIndex| match &ours {
            Availability::All => true,
            Availability::None => false,
            Availability::Some(bits) => bits.has(*piece),
        };
        let pieces = layout.iter().flat_map(Layout::pieces).filter(has).take(HAVES_MAX);
        pieces.for_each(|piece| Message::Have(piece.number()).encode(out));
        if self.is_news && self.extended {
            let metadata_len = self.subject.known().and_then(metadata_len);
            self.say(ExtendedHandshake { metadata_len, ..Default::default() }, out);
        }
    }

    /// BEP 10: "subsequent handshakes … are additive", so that one word more is a handshake. Our
    /// extensions stand in it all the same: Transmission 3.00 takes those that are left out for
    /// taken back.
    fn say(&self, mut word: ExtendedHandshake, out: &mut Vec<u8>) {
        for (name, id) in extensions(self.translator.exchanges_peers()) {
            word.extensions.entry(name).or_insert(id);
        }
        Message::Extended { id: 0, payload: word.encode() }.encode(out);
    }

    /// Our pieces, which must be the first message after the handshake (BEP 6); our
    /// extension handshake follows.
    fn introduce(&mut self, ours: Availability, out: &mut Vec<u8>) {
        match ours {
            Availability::All if self.fast => Message::HaveAll.encode(out),
            Availability::None if self.fast => Message::HaveNone.encode(out),
            Availability::All => {
                let count = self.layout.map_or(0, |layout| layout.piece_count());
                Message::Bitfield(Bitfield::all(count).as_bytes().to_vec()).encode(out);
            }
            // "The bitfield … may be omitted if the client has no pieces" (BEP 3).
            Availability::None => {}
            Availability::Some(bits) => Message::Bitfield(bits.as_bytes().to_vec()).encode(out),
        }
        if let Some(introduction) = self.introduction.take() {
            Message::Extended { id: 0, payload: introduction.encode() }.encode(out);
        }
        self.tell_port(out);
    }

    /// The port of our DHT node, when that is due.
    fn tell_port(&mut self, out: &mut Vec<u8>) {
        if let Some(port) = self.neighbour.as_mut().and_then(Neighbour::poll) {
            Message::Port(port).encode(out);
        }
    }

    fn tell_upload_only(&mut self, upload_only: bool, out: &mut Vec<u8>) {
        if let Some(introduction) = &mut self.introduction {
            introduction.upload_only = Some(upload_only);
        } else {
            let upload_only = Some(upload_only);
            self.say(ExtendedHandshake { upload_only, ..Default::default() }, out);
        }
    }

    fn order_extended(&mut self, command: ExtendedCommand, out: &mut Out) {
        match command {
            ExtendedCommand::UploadOnly(is_so) => self.tell_upload_only(is_so, &mut out.bytes),
            ExtendedCommand::Metadata(command) => self.order_metadata(command, out),
            ExtendedCommand::TellPeers(peers) => self.tell_peers(&peers, &mut out.bytes),
        }
    }

    /// BEP 9. Nothing to a remote that takes none of it, or not any more.
    fn order_metadata(&mut self, command: MetadataCommand, out: &mut Out) {
        let Some(id) = self.translator.metadata_id() else { return };
        let mut say = |message: MetadataMessage<'_>| {
            let mut payload = Vec::new();
            message.encode(&mut payload);
            Message::Extended { id, payload }.encode(&mut out.bytes);
        };
        match command {
            MetadataCommand::Ask(pieces) => {
                pieces.into_iter().for_each(|piece| say(MetadataMessage::Request { piece }));
            }
            MetadataCommand::Refuse(piece) => say(MetadataMessage::Reject { piece }),
            MetadataCommand::Give { piece, range } => {
                let metadata = self.subject.known().and_then(|known| known.metadata.as_ref());
                let Some(metadata) = metadata else { return };
                let Some(bytes) = metadata.get(range) else { return };
                let total_len = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
                say(MetadataMessage::Data { piece, total_len, bytes });
                out.metadata_bytes += bytes.len();
            }
        }
    }

    /// Takes back that we exchange peers, or does not say so in the first place. Nor are nodes of
    /// the DHT told or heard of any more: the torrent is private.
    fn stop_exchange(&mut self, out: &mut Vec<u8>) {
        self.neighbour = None;
        self.translator.stop_exchange();
        if let Some(introduction) = &mut self.introduction {
            introduction.extensions.remove(UT_PEX);
        } else if self.extended {
            let extensions = BTreeMap::from([(UT_PEX.to_owned(), 0)]);
            self.say(ExtendedHandshake { extensions, ..Default::default() }, out);
        }
    }

    /// BEP 11. Nothing to a remote that takes none, or not any more.
    fn tell_peers(&self, peers: &Pex, out: &mut Vec<u8>) {
        if let Some(id) = self.translator.pex_id() {
            let mut payload = Vec::new();
            peers.encode(&mut payload);
            Message::Extended { id, payload }.encode(out);
        }
    }
}

/// The extension messages that we take, by our own numbers.
fn extensions(exchanges_peers: bool) -> BTreeMap<String, u8> {
    let metadata = (UT_METADATA.to_owned(), METADATA_ID);
    let peers = exchanges_peers.then(|| (UT_PEX.to_owned(), PEX_ID));
    std::iter::once(metadata).chain(peers).collect()
}

/// What the extension handshake says of the metadata.
fn metadata_len(known: &Known) -> Option<u32> {
    u32::try_from(known.metadata.as_ref()?.len()).ok()
}

impl Intake for BitTorrent {
    fn room(&self, blocks: usize) -> usize {
        // The last block of each piece may be short: so long they are on average.
        let piece_len = self.layout.map_or(BLOCK_LEN, |layout| layout.piece_len() as usize);
        let block_len = piece_len / piece_len.div_ceil(BLOCK_LEN);
        self.decoder.body_left() + blocks * (block_len + HEAD_LEN)
    }

    fn need(&self) -> Need {
        self.decoder.need()
    }

    fn grant(&mut self) {
        self.decoder.grant();
    }

    fn is_collecting(&self) -> bool {
        self.decoder.is_collecting()
    }

    fn is_filling(&self) -> bool {
        self.decoder.is_filling()
    }

    fn begin_read(&mut self, now: Instant) {
        self.translator.begin(now);
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String> {
        MESSAGES.with_borrow_mut(|messages| {
            let fed = self.decoder.feed(bytes, blocks, messages);
            // Draining also on the way out: the next link finds the list empty.
            for message in messages.drain(..) {
                if let (Message::Port(port), Some(neighbour)) = (&message, &mut self.neighbour) {
                    neighbour.on_port(*port);
                }
                self.translator.on_message(message, events)?;
            }
            fed.map_err(|error| error.to_string())
        })
    }

    fn end_read(&mut self, _: &mut Vec<LinkEvent>) {}
}

impl BitTorrent {
    /// It began plainly after an encrypted handshake got no answer.
    pub(super) fn doubt_way(&mut self) {
        self.is_way_unsure = true;
    }
}

impl Dialect for BitTorrent {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn caps(&self) -> LinkCaps {
        let (mse, is_way_unsure) = (self.mse, self.is_way_unsure);
        LinkCaps { mse, is_way_unsure, ..self.translator.caps() }
    }

    fn greet(&mut self, _: &mut Vec<LinkEvent>) {}

    fn catch_up(&mut self, events: &mut Vec<LinkEvent>) -> Result<(), String> {
        match self.layout.filter(|_| std::mem::take(&mut self.is_news)) {
            Some(layout) => self.translator.know(layout, events),
            None => Ok(()),
        }
    }

    fn request(&mut self, blocks: Vec<BlockRef>, out: &mut Vec<u8>) {
        blocks.into_iter().for_each(|it| Message::Request(request(it)).encode(out));
    }

    fn cancel(&mut self, blocks: Vec<BlockRef>, out: &mut Vec<u8>) {
        blocks.into_iter().for_each(|it| Message::Cancel(request(it)).encode(out));
    }

    fn peer(&mut self) -> Option<&mut dyn PeerDialect> {
        Some(self)
    }

    fn speak(&mut self, out: &mut Vec<u8>) {
        // Our pieces are the first that it hears of us.
        if self.is_introduced {
            self.tell_port(out);
        }
    }

    fn keep_alive(&self, out: &mut Vec<u8>) {
        Message::KeepAlive.encode(out);
    }

    fn patience(&self, timeouts: &LinkTimeouts) -> Option<Duration> {
        Some(timeouts.idle)
    }
}

impl PeerDialect for BitTorrent {
    fn order(&mut self, command: PeerCommand, queued: &mut Out) {
        let Out { bytes: out, parcels, .. } = &mut *queued;
        match command {
            PeerCommand::Availability(availability) => self.tell_pieces(availability, out),
            PeerCommand::Have(pieces) => {
                pieces.iter().for_each(|it| Message::Have(it.number()).encode(out));
            }
            PeerCommand::Interested => Message::Interested.encode(out),
            PeerCommand::NotInterested => Message::NotInterested.encode(out),
            PeerCommand::Choke => {
                Message::Choke.encode(out);
                // BEP 3: what was asked for is void; BEP 6: unless it is refused.
                for Parcel { ask, .. } in parcels.drain(..).filter(|_| self.fast) {
                    reject(ask).encode(out);
                }
            }
            PeerCommand::Unchoke => Message::Unchoke.encode(out),
            PeerCommand::SendBlocks(asks) => {
                self.translator.on_answered(asks.len());
                parcels.extend(asks.into_iter().map(parcel));
            }
            PeerCommand::Refuse(ask) if self.fast => reject(ask).encode(out),
            // BEP 3 has no word for it.
            PeerCommand::Refuse(_) => {}
            PeerCommand::AllowFast(pieces) => {
                let pieces = pieces.into_iter().map(PieceIndex::number);
                pieces.for_each(|it| Message::AllowedFast(it).encode(out));
            }
            PeerCommand::StopExchange => self.stop_exchange(out),
            PeerCommand::Extended(command) => self.order_extended(command, queued),
        }
    }
}

fn reject(ask: Ask) -> Message {
    let (piece, begin, len) = (ask.piece.number(), ask.begin, ask.len);
    Message::Reject(Request { piece, begin, len })
}

/// The `piece` message of a block (BEP 3): length, id 7, piece, begin; the data follows.
fn parcel(ask: Ask) -> Parcel {
    let mut head = [0; HEAD_LEN];
    let (len, rest) = head.split_at_mut(4);
    len.copy_from_slice(&(9 + ask.len).to_be_bytes());
    rest[0] = 7;
    rest[1..5].copy_from_slice(&ask.piece.number().to_be_bytes());
    rest[5..9].copy_from_slice(&ask.begin.to_be_bytes());
    Parcel { head, ask }
}

fn request(block: BlockRef) -> Request {
    Request { piece: block.piece().number(), begin: block.begin(), len: block.len_bytes() }
}

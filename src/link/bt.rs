//! The BitTorrent dialect: handshakes, then frames in both directions (BEPs 3, 6, 10). What
//! messages mean is in `translate`, their bytes in `wire`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::event::DownReason;
use crate::swarm::link::{Ask, Availability, LinkCaps, LinkCommand, LinkEvent};
use crate::wire::{
    Decoder, ExtendedHandshake, Extensions, HANDSHAKE_LEN, Handshake, Message, Need, Request,
};

use super::dialect::{Dialect, Opened};
use super::outbox::{HEAD_LEN, Out, Parcel};
use super::stream::{ReadSide, WriteSide};
use super::translate::Translator;
use super::{Error, LinkConfig, LinkTimeouts};

/// What we call ourselves in extension handshakes.
const CLIENT: &str = "Pigeon 0.1.0";
/// `reqq`: requests of one peer that we hold.
const REQUEST_QUEUE: u32 = 500;

thread_local! {
    /// Messages of one read; empty between reads.
    static MESSAGES: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Sends our handshake.
pub(super) async fn send_handshake(
    write: &mut WriteSide,
    config: &LinkConfig,
) -> Result<(), Error> {
    let ours = Handshake {
        extensions: Extensions::OURS,
        info_hash: config.info_hash,
        peer_id: config.peer_id,
    };
    Ok(write.write_all(&ours.encode()).await?)
}

/// Exchanges handshakes on a connection of ours to `address`.
pub(super) async fn shake_hands(
    mut read: ReadSide,
    mut write: WriteSide,
    config: &LinkConfig,
    address: SocketAddr,
) -> Result<Opened<BitTorrent>, DownReason> {
    let exchange = async {
        send_handshake(&mut write, config).await?;
        let mut bytes = [0; HANDSHAKE_LEN];
        read.read_exact(&mut bytes).await?;
        Ok(Handshake::decode(&bytes)?)
    };
    let exchanged: Result<_, Error> = tokio::time::timeout(config.timeouts.handshake, exchange)
        .await
        .unwrap_or(Err(Error::Silent));
    let remote = exchanged?;
    if remote.info_hash != config.info_hash {
        return Err(DownReason::Violated("it answered for another torrent".to_owned()));
    }
    // Only whom we dial needs to be told our port.
    let dialect = BitTorrent::new(config, &remote, address, config.listen_port);
    Ok(Opened { read, write, dialect })
}

/// The protocol after the handshakes.
pub(super) struct BitTorrent {
    layout: Layout,
    peer_id: PeerId,
    fast: bool,
    extended: bool,
    decoder: Decoder,
    translator: Translator,
    /// Our extension handshake, until it is sent.
    introduction: Option<ExtendedHandshake>,
}

impl BitTorrent {
    /// With a peer at `address` that sent the handshake `remote`; `listen_port` is told to
    /// it.
    pub(super) fn new(
        config: &LinkConfig,
        remote: &Handshake,
        address: SocketAddr,
        listen_port: Option<u16>,
    ) -> Self {
        let agreed = Extensions::OURS.common(remote.extensions);
        let introduction = ExtendedHandshake {
            client: Some(CLIENT.to_owned()),
            request_queue: Some(REQUEST_QUEUE),
            listen_port,
            your_address: Some(address.ip().to_canonical()),
            ..ExtendedHandshake::default()
        };
        let bitfield_len = (config.layout.piece_count() as usize).div_ceil(8);
        Self {
            layout: config.layout,
            peer_id: remote.peer_id,
            fast: agreed.fast,
            extended: agreed.extended,
            decoder: Decoder::new(bitfield_len),
            translator: Translator::new(config.layout, agreed, remote.peer_id),
            introduction: agreed.extended.then_some(introduction),
        }
    }

    /// Our pieces, which must be the first message after the handshake (BEP 6); our
    /// extension handshake follows.
    fn introduce(&mut self, ours: Availability, out: &mut Vec<u8>) {
        match ours {
            Availability::All if self.fast => Message::HaveAll.encode(out),
            Availability::None if self.fast => Message::HaveNone.encode(out),
            Availability::All => {
                let all = Bitfield::all(self.layout.piece_count());
                Message::Bitfield(all.as_bytes().to_vec()).encode(out);
            }
            // "The bitfield … may be omitted if the client has no pieces" (BEP 3).
            Availability::None => {}
            Availability::Some(bits) => Message::Bitfield(bits.as_bytes().to_vec()).encode(out),
        }
        if let Some(introduction) = self.introduction.take() {
            Message::Extended { id: 0, payload: introduction.encode() }.encode(out);
        }
    }

    /// BEP 10: "subsequent handshakes … are additive", so that one word more is a handshake.
    fn tell_upload_only(&mut self, upload_only: bool, out: &mut Vec<u8>) {
        if let Some(introduction) = &mut self.introduction {
            introduction.upload_only = Some(upload_only);
        } else if self.extended {
            let word = ExtendedHandshake { upload_only: Some(upload_only), ..Default::default() };
            Message::Extended { id: 0, payload: word.encode() }.encode(out);
        }
    }
}

impl Dialect for BitTorrent {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn caps(&self) -> LinkCaps {
        self.translator.caps()
    }

    fn greet(&mut self, _: &mut Vec<LinkEvent>) {}

    fn room(&self, blocks: usize) -> usize {
        // The last block of each piece may be short: so long they are on average.
        let piece_len = self.layout.piece_len() as usize;
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
                self.translator.on_message(message, events)?;
            }
            fed.map_err(|error| error.to_string())
        })
    }

    fn end_read(&mut self, _: &mut Vec<LinkEvent>) {}

    fn order(&mut self, batch: Vec<LinkCommand>, out: &mut Out) -> Result<(), DownReason> {
        let Out { bytes: out, parcels } = out;
        for command in batch {
            match command {
                LinkCommand::Request(blocks) => {
                    blocks.into_iter().for_each(|it| Message::Request(request(it)).encode(out));
                }
                LinkCommand::Cancel(blocks) => {
                    blocks.into_iter().for_each(|it| Message::Cancel(request(it)).encode(out));
                }
                LinkCommand::UploadOnly(upload_only) => self.tell_upload_only(upload_only, out),
                LinkCommand::Availability(availability) => self.introduce(availability, out),
                LinkCommand::Have(pieces) => {
                    pieces.iter().for_each(|it| Message::Have(it.number()).encode(out));
                }
                LinkCommand::Choke => {
                    Message::Choke.encode(out);
                    // BEP 3: what was asked for is void; BEP 6: unless it is refused.
                    for Parcel { ask, .. } in parcels.drain(..).filter(|_| self.fast) {
                        reject(ask).encode(out);
                    }
                }
                LinkCommand::Unchoke => Message::Unchoke.encode(out),
                LinkCommand::Interested => Message::Interested.encode(out),
                LinkCommand::NotInterested => Message::NotInterested.encode(out),
                LinkCommand::Refuse(ask) if self.fast => {
                    reject(ask).encode(out);
                }
                LinkCommand::SendBlocks(asks) => {
                    self.translator.on_answered(asks.len());
                    parcels.extend(asks.into_iter().map(parcel));
                }
                LinkCommand::AllowFast(pieces) if self.fast => {
                    let pieces = pieces.into_iter().map(PieceIndex::number);
                    pieces.for_each(|it| Message::AllowedFast(it).encode(out));
                }
                LinkCommand::AllowFast(_) => {}
                // BEP 3 has no word for it.
                LinkCommand::Refuse(_) => {}
                LinkCommand::Close(reason) => return Err(DownReason::Closed(reason)),
            }
        }
        Ok(())
    }

    fn speak(&mut self, _: &mut Vec<u8>) {}

    fn keep_alive(&self, out: &mut Vec<u8>) {
        Message::KeepAlive.encode(out);
    }

    fn patience(&self, timeouts: &LinkTimeouts) -> Option<Duration> {
        Some(timeouts.idle)
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

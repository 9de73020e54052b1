//! The dialect of the course chunk protocol, on our side of a connection to a provider: asks
//! for whole chunks by their hash and cuts what comes into blocks. It knows which chunks the
//! provider is said to have, and no more. Formats are in `chunk::wire`.
//!
//! Some providers read a request with one `recv` and would take two at once for one wrong
//! message. So the next GET_CHUNK leaves when the answer to the one before has begun: by then
//! that one was read, and the wire never runs dry for a round trip.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::base::bitfield::Bitfield;
use crate::base::ids::{LinkId, PeerId};
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::chunk::wire::{
    self, CHUNK_HEAD_LEN, ChunkHash, ChunkHead, HEADER_LEN, Header, Kind, Message,
};
use crate::net::egress::Purpose;
use crate::swarm::event::DownReason;
use crate::swarm::link::{Availability, Description, LinkCaps, LinkEvent, Unit};
use crate::wire::Need;

use super::config::{LinkConfig, LinkTimeouts};
use super::dialect::{Dialect, Intake, Opened, PeerDialect};
use super::error::not_dialled;
use super::report::{LinkHandle, LinkReport};
use super::stream::Stream;
use super::task::{self, Context};

/// Chunks to keep asked for: one that comes, and one that follows without a pause.
const PIPELINE_MAX: u32 = 2;
/// How long a provider that owes a chunk may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an ERROR message.
const ERROR_LEN: usize = HEADER_LEN + 4;

/// A provider as a listing names it.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its name in the listing, `provider` where there is none; text of a stranger.
    pub name: String,
    /// The pieces whose chunks it is said to have.
    pub pieces: Bitfield,
    /// The hash of every piece's chunk.
    pub hashes: Arc<[ChunkHash]>,
}

/// Connects to a provider, unless a connection is `open` still, and runs the link; never
/// waits. `reports` gets `Up` and later `Down`, or `Down` alone.
pub fn dial_provider(
    config: Arc<LinkConfig>,
    link: LinkId,
    provider: Arc<Provider>,
    open: Option<TcpStream>,
    reports: mpsc::Sender<LinkReport>,
) -> LinkHandle {
    let (egress, limit) = (config.egress.clone(), config.timeouts.connect);
    let to = provider.address.into();
    let open = open.filter(is_at_rest);
    let connecting = async move {
        if let Some(stream) = open {
            return Ok(Stream::Tcp(stream));
        }
        let connecting = egress.connect(&to, Purpose::Course, limit);
        let stream = connecting.await.map_err(not_dialled)?;
        Ok(Stream::Tcp(stream))
    };
    converse(config, link, provider, reports, connecting)
}

/// Is it open, with nothing to be read?
fn is_at_rest(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Runs the link over the connection that `connecting` makes.
fn converse(
    config: Arc<LinkConfig>,
    link: LinkId,
    provider: Arc<Provider>,
    reports: mpsc::Sender<LinkReport>,
    connecting: impl Future<Output = Result<Stream, DownReason>> + Send + 'static,
) -> LinkHandle {
    let (handle, commands) = LinkHandle::new();
    let address = provider.address;
    let known = config.subject.known().map(|known| known.layout);
    let opening = async move {
        // A listing is a torrent that is known.
        let layout = known.ok_or_else(|| DownReason::DialFailed("nothing is known yet".into()))?;
        let (read, write) = connecting.await?.split();
        Ok(Opened { read, write, dialect: Course::new(layout, provider) })
    };
    tokio::spawn(
        task::run(Context { config, link, address, reports, commands }, opening).in_current_span(),
    );
    handle
}

/// A chunk that is asked for, or will be.
struct Asked {
    piece: PieceIndex,
    /// The blocks that are wanted of it; others are thrown away as they come.
    wanted: Vec<BlockRef>,
}

impl Asked {
    /// Does a block that is wanted begin there?
    fn wants_at(&self, at: u32) -> bool {
        self.wanted.iter().any(|block| block.begin() == at)
    }
}

/// What the next bytes are.
enum Expect {
    /// The head of a message: so much of it is here.
    Head([u8; CHUNK_HEAD_LEN], usize),
    /// Content of the first chunk asked for, from this byte on.
    Content { at: u32, padding: usize },
    /// Bytes that nobody wants; the chunk asked for first is done with behind them.
    Skip(u64),
}

const START: Expect = Expect::Head([0; CHUNK_HEAD_LEN], 0);

/// A conversation with one provider.
struct Course {
    layout: Layout,
    provider: Arc<Provider>,
    /// First what is being answered.
    asked: VecDeque<Asked>,
    /// How many of `asked` were sent.
    sent: usize,
    /// The answer to the first has begun.
    answering: bool,
    expect: Expect,
    /// The block that comes.
    filling: Option<(BlockRef, Block)>,
    arrived: Vec<(BlockRef, Block)>,
}

impl Course {
    fn new(layout: Layout, provider: Arc<Provider>) -> Self {
        Self {
            layout,
            provider,
            asked: VecDeque::new(),
            sent: 0,
            answering: false,
            expect: START,
            filling: None,
            arrived: Vec::new(),
        }
    }

    /// Wants the block; its chunk is asked for, unless the block is on its way already.
    fn ask(&mut self, block: BlockRef) {
        if self.filling.as_ref().is_some_and(|(filling, _)| *filling == block) {
            return;
        }
        let past = match self.expect {
            Expect::Head(..) => 0,
            Expect::Content { at, .. } => at,
            Expect::Skip(_) => u32::MAX,
        };
        let mut coming = self.asked.iter_mut().enumerate().filter(|(place, asked)| {
            asked.piece == block.piece() && (*place > 0 || block.begin() >= past)
        });
        match coming.next() {
            Some((_, asked)) if asked.wanted.contains(&block) => {}
            Some((_, asked)) => asked.wanted.push(block),
            None => self.asked.push_back(Asked { piece: block.piece(), wanted: vec![block] }),
        }
    }

    fn leave_out(&mut self, block: BlockRef) {
        for asked in &mut self.asked {
            asked.wanted.retain(|wanted| *wanted != block);
        }
        let mut place = 0;
        let sent = self.sent;
        self.asked.retain(|asked| {
            place += 1;
            place <= sent || !asked.wanted.is_empty()
        });
    }

    /// Takes up to a whole head; returns how many bytes it used.
    fn feed_head(&mut self, bytes: &[u8], events: &mut Vec<LinkEvent>) -> Result<usize, String> {
        let Expect::Head(head, have) = &mut self.expect else { return Ok(0) };
        let mut used = 0;
        loop {
            let need = head_len(head, *have)?;
            let more = (need - *have).min(bytes.len() - used);
            head[*have..*have + more].copy_from_slice(&bytes[used..used + more]);
            *have += more;
            used += more;
            if *have < need {
                return Ok(used);
            }
            if need > HEADER_LEN {
                let head = *head;
                self.on_head(&head, need, events)?;
                return Ok(used);
            }
        }
    }

    fn on_head(
        &mut self,
        head: &[u8; CHUNK_HEAD_LEN],
        len: usize,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), String> {
        self.expect = START;
        let Some(asked) = self.asked.front().filter(|_| self.sent > 0) else {
            return Err("it sent what nobody asked for".to_owned());
        };
        let piece = asked.piece;
        if len == ERROR_LEN {
            // Whatever it says, it will not send this one; its other chunks may be sound.
            let message = Message::decode(&head[..len]);
            message.map_err(|error| format!("it sent a {error}"))?;
            self.refuse(events);
            self.done();
            return Ok(());
        }
        let head = ChunkHead::decode(head).map_err(|error| format!("it sent a {error}"))?;
        let expected = self.provider.hashes.get(piece.index());
        if expected != Some(&head.hash) {
            return Err(format!("it sent chunk {} unasked", head.hash));
        }
        self.answering = true;
        let len = self.layout.len_of(piece);
        if head.content_len == len {
            self.expect = Expect::Content { at: 0, padding: head.padding() };
            return Ok(());
        }
        // Another size is another content; its other chunks may be sound.
        if head.content_len > self.layout.piece_len().saturating_mul(2) {
            return Err(format!(
                "its chunk {} has {} bytes, not {len}",
                head.hash, head.content_len
            ));
        }
        self.refuse(events);
        self.expect = Expect::Skip(u64::from(head.content_len) + head.padding() as u64);
        Ok(())
    }

    /// Tells that the first chunk asked for will not come from here.
    fn refuse(&mut self, events: &mut Vec<LinkEvent>) {
        let Some(asked) = self.asked.front_mut() else { return };
        let blocks = std::mem::take(&mut asked.wanted).into_iter();
        events.extend(blocks.map(|block| LinkEvent::Refused { block, lasting: true }));
    }

    /// The first chunk asked for was answered.
    fn done(&mut self) {
        self.asked.pop_front();
        self.sent -= 1;
        self.answering = false;
        self.expect = START;
    }

    /// Takes content up to the end of a block; returns how many bytes it used, 0 when it
    /// lacks a block to put them in.
    fn feed_content(&mut self, bytes: &[u8], blocks: &mut Vec<Block>) -> usize {
        let Expect::Content { at, padding } = self.expect else { return 0 };
        let Some(asked) = self.asked.front() else { return 0 };
        let number = at / BLOCK_LEN as u32;
        let Some(block) = self.layout.block(asked.piece, number) else { return 0 };
        let left = (block.begin() + block.len_bytes() - at) as usize;
        let used = left.min(bytes.len());
        if self.filling.is_none() && asked.wants_at(at) {
            let Some(empty) = blocks.pop() else { return 0 };
            self.filling = Some((block, empty));
        }
        if let Some((_, filling)) = &mut self.filling {
            filling.append(&bytes[..used]);
        }
        if used == left {
            self.arrived.extend(self.filling.take());
        }
        let at = at + used as u32;
        self.expect = match at < self.layout.len_of(block.piece()) {
            true => Expect::Content { at, padding },
            false => Expect::Skip(padding as u64),
        };
        used
    }

    fn feed_skip(&mut self, bytes: &[u8]) -> usize {
        let Expect::Skip(left) = &mut self.expect else { return 0 };
        let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= used as u64;
        if *left == 0 {
            self.done();
        }
        used
    }
}

/// Bytes of the head that has begun, as far as can be told; only CHUNK and ERROR are answers.
fn head_len(head: &[u8; CHUNK_HEAD_LEN], have: usize) -> Result<usize, String> {
    if have < HEADER_LEN {
        return Ok(HEADER_LEN);
    }
    let header = head.first_chunk().map(Header::decode);
    match header.map(|header| header.kind()) {
        Some(Ok(Kind::Chunk)) => Ok(CHUNK_HEAD_LEN),
        Some(Ok(Kind::Error)) => Ok(ERROR_LEN),
        Some(Err(error)) => Err(format!("it sent a {error}")),
        Some(Ok(_)) | None => Err("it sent a message that is no answer".to_owned()),
    }
}

impl Intake for Course {
    fn room(&self, blocks: usize) -> usize {
        let filling = self.filling.as_ref();
        let left = filling.map_or(0, |(block, data)| block.len_bytes() as usize - data.len_bytes());
        left + blocks * BLOCK_LEN
    }

    fn need(&self) -> Need {
        let Expect::Content { at, .. } = self.expect else { return Need::Nothing };
        match self.asked.front() {
            Some(asked) if self.filling.is_none() && asked.wants_at(at) => Need::Block,
            _ => Need::Nothing,
        }
    }

    fn grant(&mut self) {}

    fn is_collecting(&self) -> bool {
        false
    }

    fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    fn begin_read(&mut self, _: Instant) {}

    fn feed(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            used += match self.expect {
                Expect::Head(..) => self.feed_head(rest, events)?,
                Expect::Skip(_) => self.feed_skip(rest),
                Expect::Content { .. } => match self.feed_content(rest, blocks) {
                    0 => break,
                    used => used,
                },
            };
        }
        // A chunk without padding is done with its last byte: there may be no next one.
        self.feed_skip(&[]);
        Ok(used)
    }

    fn end_read(&mut self, events: &mut Vec<LinkEvent>) {
        if !self.arrived.is_empty() {
            events.push(LinkEvent::Blocks(std::mem::take(&mut self.arrived)));
        }
    }
}

impl Dialect for Course {
    /// Providers have no id; one is made of the address, so that each is one peer.
    fn peer_id(&self) -> PeerId {
        let mut id = [0; 20];
        let port = self.provider.address.port().to_be_bytes();
        id[..2].copy_from_slice(&port);
        match self.provider.address.ip() {
            IpAddr::V4(ip) => id[2..6].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => id[2..18].copy_from_slice(&ip.octets()),
        }
        PeerId(id)
    }

    fn caps(&self) -> LinkCaps {
        LinkCaps {
            unit: Unit::Piece,
            chokes: false,
            pipeline_max: PIPELINE_MAX,
            can_upload_to: false,
            fast: true,
            extended: false,
            mse: None,
            is_way_unsure: false,
        }
    }

    fn greet(&mut self, events: &mut Vec<LinkEvent>) {
        let client = Some(self.provider.name.clone());
        events.push(LinkEvent::Described(Description { client, ..Description::default() }));
        let pieces = self.provider.pieces.clone();
        events.push(LinkEvent::Availability(Availability::Some(pieces)));
    }

    fn request(&mut self, blocks: Vec<BlockRef>, _: &mut Vec<u8>) {
        blocks.into_iter().for_each(|it| self.ask(it));
    }

    fn cancel(&mut self, blocks: Vec<BlockRef>, _: &mut Vec<u8>) {
        blocks.into_iter().for_each(|it| self.leave_out(it));
    }

    fn peer(&mut self) -> Option<&mut dyn PeerDialect> {
        None
    }

    fn catch_up(&mut self, _: &mut Vec<LinkEvent>) -> Result<(), String> {
        Ok(())
    }

    fn speak(&mut self, out: &mut Vec<u8>) {
        while self.sent < 1 + usize::from(self.answering)
            && let Some(asked) = self.asked.get(self.sent)
        {
            if let Some(hash) = self.provider.hashes.get(asked.piece.index()) {
                out.extend(wire::get_chunk(*hash));
            }
            self.sent += 1;
        }
    }

    fn keep_alive(&self, _: &mut Vec<u8>) {}

    fn patience(&self, _: &LinkTimeouts) -> Option<Duration> {
        (self.sent > 0).then_some(PATIENCE)
    }
}

#[cfg(test)]
mod tests;

//! A peer for tests: [`MockPeer`] serves a [`Spec`] over real sockets, honestly or as badly
//! as its [`Behaviour`] says; [`Script`] is one connection driven by hand, byte by byte.
//! All bytes are written here, not by the product, so that its encoder cannot agree with a
//! mistake of its decoder.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::content::Spec;

/// Bits of a client with extension protocol and fast extension.
pub const BITS_ALL: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];
/// Bits of a client with neither.
pub const BITS_NONE: [u8; 8] = [0; 8];

/// A handshake.
pub fn handshake(bits: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20]) -> Vec<u8> {
    [&b"\x13BitTorrent protocol"[..], &bits, &info_hash, &peer_id].concat()
}

/// A message with its prefix.
pub fn message(id: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[id], body].concat()
}

/// A `piece` message.
pub fn piece_message(piece: u32, begin: u32, data: &[u8]) -> Vec<u8> {
    message(7, &[&piece.to_be_bytes()[..], &begin.to_be_bytes(), data].concat())
}

/// One connection by hand.
#[derive(Debug)]
pub struct Script {
    /// The connection.
    pub stream: TcpStream,
}

impl Script {
    /// Connects.
    pub async fn dial(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await? })
    }

    /// Sends exactly these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads exactly this many bytes.
    pub async fn read(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Sends our handshake and reads the other's.
    pub async fn shake_hands(&mut self, ours: &[u8]) -> io::Result<Vec<u8>> {
        self.send(ours).await?;
        self.read(68).await
    }

    /// Reads a message: id and body; none for a keep-alive.
    pub async fn message(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let prefix = self.read(4).await?;
        let len = u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
        assert!(len < 1 << 20, "the client sent a prefix of {len}");
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = self.read(len as usize).await?;
        let body = bytes.split_off(1);
        Ok(Some((bytes[0], body)))
    }
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asked {
    /// Number of the piece.
    pub piece: u32,
    /// First byte in it.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
    /// How many requests this peer got before, over all connections.
    pub number: u64,
}

/// How a peer answers one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// With the right bytes.
    Honest,
    /// With bytes that are all wrong.
    Corrupt,
    /// With one wrong bit.
    FlipBit,
    /// Not at all.
    Ignore,
    /// With `reject` (BEP 6).
    Reject,
    /// With these bytes, whatever they are.
    Raw(Vec<u8>),
    /// By choking, and nothing more for this request; unchokes again after the time.
    Choke(Duration),
    /// By closing the connection.
    Close,
    /// As the inner answer says, later. Answers after it wait too.
    After(Duration, Box<Answer>),
}

/// How a peer takes part in the metadata extension (BEP 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metadata {
    /// Not at all.
    Absent,
    /// It says how long the metadata is, and sends it.
    Honest,
    /// The same, with a wrong bit in each piece.
    Wrong,
    /// It says how long the metadata is, and refuses it.
    Refused,
    /// As another length, of which it sends zeros.
    OfLength(u32),
}

/// The id of our metadata messages.
const METADATA_ID: u8 = 7;
/// Bytes of a piece of metadata.
const METADATA_PIECE: usize = 16_384;

/// Decides how a request is answered.
pub type Decide = Arc<dyn Fn(Asked) -> Answer + Send + Sync>;

/// How a peer behaves.
#[derive(Clone)]
pub struct Behaviour {
    /// What it calls itself.
    pub peer_id: [u8; 20],
    /// Its reserved bits.
    pub bits: [u8; 8],
    /// The torrent it answers for; that of the spec when none.
    pub info_hash: Option<[u8; 20]>,
    /// Pieces it has; all when none.
    pub pieces: Option<Vec<u32>>,
    /// Sent right after the handshake, before its pieces.
    pub before_pieces: Vec<u8>,
    /// Sent right after its pieces.
    pub after_pieces: Vec<u8>,
    /// Does it ever unchoke?
    pub unchokes: bool,
    /// Waits so long before it answers the handshake.
    pub handshake_delay: Duration,
    /// How it answers requests.
    pub answer: Decide,
    /// Whether it has the metadata for others.
    pub metadata: Metadata,
    /// The metadata; that of the spec when none.
    pub info: Option<Vec<u8>>,
}

impl Default for Behaviour {
    /// An honest seed with every extension.
    fn default() -> Self {
        Self {
            peer_id: *b"-MK0100-mockmockmock",
            bits: BITS_ALL,
            info_hash: None,
            pieces: None,
            before_pieces: Vec::new(),
            after_pieces: Vec::new(),
            unchokes: true,
            handshake_delay: Duration::ZERO,
            answer: Arc::new(|_| Answer::Honest),
            metadata: Metadata::Absent,
            info: None,
        }
    }
}

impl Behaviour {
    /// A seed that answers as `answer` says.
    pub fn answering(answer: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), ..Self::default() }
    }
}

/// What a peer has seen and done.
#[derive(Debug, Default)]
pub struct Log {
    /// Connections so far.
    pub connections: AtomicU64,
    /// Requests so far.
    pub requests: AtomicU64,
    /// Bytes of data sent.
    pub sent: AtomicU64,
    /// Every message that was not a request, in order.
    pub messages: Mutex<Vec<(u8, Vec<u8>)>>,
    /// Every request, in order.
    pub asked: Mutex<Vec<Asked>>,
    /// Pieces of metadata that were asked for.
    pub metadata_asked: AtomicU64,
}

/// A peer that runs until it is dropped.
#[derive(Debug)]
pub struct MockPeer {
    /// Where it listens; where it dialled, if it did.
    pub address: SocketAddr,
    /// What happened.
    pub log: Arc<Log>,
    task: JoinHandle<()>,
}

impl Drop for MockPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MockPeer {
    /// Listens on a free port of 127.0.0.1 and serves everybody who connects.
    pub async fn listen(spec: Arc<Spec>, behaviour: Behaviour) -> Self {
        Self::listen_at("127.0.0.1", spec, behaviour).await
    }

    /// The same on a free port of `host`.
    pub async fn listen_at(host: &str, spec: Arc<Spec>, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let log = Arc::new(Log::default());
        let task = tokio::spawn({
            let log = log.clone();
            async move {
                // Connections end with the listener.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    log.connections.fetch_add(1, Ordering::Relaxed);
                    let server = Server::new(&spec, &behaviour, &log, stream);
                    connections.spawn(server.run(false));
                }
            }
        });
        Self { address, log, task }
    }

    /// Dials the client and serves it.
    pub async fn dial(address: SocketAddr, spec: Arc<Spec>, behaviour: Behaviour) -> Self {
        let log = Arc::new(Log::default());
        let stream = TcpStream::connect(address).await.expect("the client listens");
        log.connections.fetch_add(1, Ordering::Relaxed);
        let server = Server::new(&spec, &behaviour, &log, stream);
        let task = tokio::spawn(async move {
            let _ = server.run(true).await;
        });
        Self { address, log, task }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.log.requests.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.log.connections.load(Ordering::Relaxed)
    }
}

/// One served connection.
struct Server {
    spec: Arc<Spec>,
    behaviour: Behaviour,
    log: Arc<Log>,
    script: Script,
}

impl Server {
    fn new(spec: &Arc<Spec>, behaviour: &Behaviour, log: &Arc<Log>, stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            spec: spec.clone(),
            behaviour: behaviour.clone(),
            log: log.clone(),
            script: Script { stream },
        }
    }

    async fn run(mut self, is_dialler: bool) -> io::Result<()> {
        let info_hash = self.behaviour.info_hash.unwrap_or_else(|| self.spec.info_hash());
        let ours = handshake(self.behaviour.bits, info_hash, self.behaviour.peer_id);
        if !is_dialler && !self.script.read(68).await?.starts_with(b"\x13BitTorrent protocol") {
            return Ok(());
        }
        tokio::time::sleep(self.behaviour.handshake_delay).await;
        let opening = [
            &ours[..],
            &self.metadata_handshake(),
            &self.behaviour.before_pieces,
            &self.pieces(),
            &self.behaviour.after_pieces,
        ];
        self.script.send(&opening.concat()).await?;
        if is_dialler {
            self.script.read(68).await?;
        }
        let (mut is_unchoked, mut their_id) = (false, 0);
        loop {
            let Some((id, body)) = self.script.message().await? else { continue };
            if id == 20 && self.behaviour.metadata != Metadata::Absent {
                match body.split_first() {
                    Some((0, said)) => their_id = number_behind(said, b"11:ut_metadatai") as u8,
                    Some((&METADATA_ID, said)) => self.answer_metadata(their_id, said).await?,
                    _ => {}
                }
            }
            if id == 6 {
                let asked = self.on_request(&body);
                let answer = (self.behaviour.answer)(asked);
                if !self.answer(asked, answer).await? {
                    return Ok(());
                }
                continue;
            }
            self.log.messages.lock().expect("no panic under the lock").push((id, body));
            if id == 2 && self.behaviour.unchokes && !is_unchoked {
                is_unchoked = true;
                self.script.send(&message(1, &[])).await?;
            }
        }
    }

    fn on_request(&self, body: &[u8]) -> Asked {
        assert_eq!(body.len(), 12, "a request has three numbers");
        let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
        let number = self.log.requests.fetch_add(1, Ordering::Relaxed);
        let asked = Asked { piece: word(0), begin: word(4), len: word(8), number };
        self.log.asked.lock().expect("no panic under the lock").push(asked);
        asked
    }

    /// False when the connection is to be closed.
    async fn answer(&mut self, asked: Asked, mut answer: Answer) -> io::Result<bool> {
        while let Answer::After(delay, inner) = answer {
            tokio::time::sleep(delay).await;
            answer = *inner;
        }
        let Asked { piece, begin, len, .. } = asked;
        let mut data = self.spec.block(piece, begin, len);
        match answer {
            Answer::Honest => {}
            Answer::Corrupt => data.iter_mut().for_each(|byte| *byte = !*byte),
            Answer::FlipBit => data[0] ^= 1,
            Answer::Ignore | Answer::After(..) => return Ok(true),
            Answer::Close => return Ok(false),
            Answer::Raw(bytes) => {
                self.script.send(&bytes).await?;
                return Ok(true);
            }
            Answer::Reject => {
                let words = [piece, begin, len].map(u32::to_be_bytes).concat();
                self.script.send(&message(16, &words)).await?;
                return Ok(true);
            }
            Answer::Choke(time) => {
                self.script.send(&message(0, &[])).await?;
                tokio::time::sleep(time).await;
                self.script.send(&message(1, &[])).await?;
                return Ok(true);
            }
        }
        self.log.sent.fetch_add(u64::from(len), Ordering::Relaxed);
        self.script.send(&piece_message(piece, begin, &data)).await?;
        Ok(true)
    }

    fn info(&self) -> Vec<u8> {
        self.behaviour.info.clone().unwrap_or_else(|| self.spec.info())
    }

    fn metadata_handshake(&self) -> Vec<u8> {
        let len = match self.behaviour.metadata {
            Metadata::Absent => return Vec::new(),
            Metadata::OfLength(len) => len as usize,
            _ => self.info().len(),
        };
        let said = format!("d1:md11:ut_metadatai{METADATA_ID}ee13:metadata_sizei{len}ee");
        message(20, &[&[0], said.as_bytes()].concat())
    }

    async fn answer_metadata(&mut self, their_id: u8, said: &[u8]) -> io::Result<()> {
        let kind = number_behind(said, b"8:msg_typei");
        let piece = number_behind(said, b"5:piecei");
        assert_eq!(kind, 0, "a request of a client without metadata");
        self.log.metadata_asked.fetch_add(1, Ordering::Relaxed);
        let mut info = self.info();
        match self.behaviour.metadata {
            Metadata::Wrong => info.chunks_mut(METADATA_PIECE).for_each(|piece| piece[9] ^= 1),
            Metadata::OfLength(len) => info = vec![0; len as usize],
            Metadata::Refused => {
                let refusal = format!("d8:msg_typei2e5:piecei{piece}ee");
                let body = [&[their_id], refusal.as_bytes()].concat();
                return self.script.send(&message(20, &body)).await;
            }
            Metadata::Honest | Metadata::Absent => {}
        }
        let data = info.chunks(METADATA_PIECE).nth(piece as usize).unwrap_or_default();
        let head = format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei{}ee", info.len());
        let body = [&[their_id], head.as_bytes(), data].concat();
        self.script.send(&message(20, &body)).await
    }

    fn pieces(&self) -> Vec<u8> {
        let count = self.spec.piece_count();
        let is_fast = self.behaviour.bits[7] & 0x04 != 0;
        let mut bits = vec![0u8; (count as usize).div_ceil(8)];
        match &self.behaviour.pieces {
            None if is_fast => return message(14, &[]),
            None => (0..count).for_each(|piece| set(&mut bits, piece)),
            Some(pieces) => pieces.iter().for_each(|piece| set(&mut bits, *piece)),
        }
        message(5, &bits)
    }
}

fn set(bits: &mut [u8], piece: u32) {
    bits[piece as usize / 8] |= 0x80 >> (piece % 8);
}

/// The number that stands behind these bytes, up to its `e`; 0 where they are not.
fn number_behind(said: &[u8], before: &[u8]) -> u64 {
    let at = said.windows(before.len()).position(|window| window == before);
    let digits = at.map_or(&[][..], |at| &said[at + before.len()..]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

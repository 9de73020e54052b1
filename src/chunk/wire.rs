//! The seven messages of the course chunk protocol as bytes. Strict on what is sent; on what
//! is read, every length must fit to the byte, and reserved and padding bytes may have any
//! value. Not here: who may ask whom for what, and the files behind it.
//!
//! All integers are unsigned and big-endian; `msg_length` counts dwords of 4 bytes, the
//! header included.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// The only version there is.
pub const VERSION: u8 = 1;
/// Bytes of the header of every message.
pub const HEADER_LEN: usize = 8;
/// Bytes of a CHUNK message before its content.
pub const CHUNK_HEAD_LEN: usize = HEADER_LEN + 24;
/// The UDP port that trackers are discovered at.
pub const DISCOVERY_PORT: u16 = 9000;
/// The largest chunk content taken, in bytes. The protocol allows 16 GiB; sizes in use are
/// 512 KiB to a few MiB.
pub const CHUNK_LEN_MAX: u32 = 64 << 20;
/// The longest FILE_INFO taken, in bytes: 65,535 chunks with some thirty peers each. The
/// protocol allows one that claims 34 GB.
pub const FILE_INFO_LEN_MAX: usize = 16 << 20;

const DWORD: usize = 4;

/// SHA-1 of a chunk's content, by which it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkHash(pub [u8; 20]);

impl fmt::Display for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChunkHash {
    type Err = NotAHash;

    /// Reads 40 hex digits of either case.
    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| NotAHash)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAHash)?))
    }
}

/// The text is no SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is not a SHA-1 of 40 hex digits")]
pub struct NotAHash;

/// Which message it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Client to broadcast: who is a tracker?
    DiscoverTracker = 0,
    /// Tracker's answer: where it listens.
    TrackerInfo = 1,
    /// Client to tracker: what is there?
    GetFileInfo = 2,
    /// Tracker's answer: the file, its chunks, and who claims to have them.
    FileInfo = 3,
    /// Client to provider: a chunk by its hash.
    GetChunk = 4,
    /// Provider's answer.
    Chunk = 5,
    /// Server's answer to what it cannot answer.
    Error = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::DiscoverTracker,
            1 => Self::TrackerInfo,
            2 => Self::GetFileInfo,
            3 => Self::FileInfo,
            4 => Self::GetChunk,
            5 => Self::Chunk,
            6 => Self::Error,
            _ => return None,
        })
    }
}

/// What an ERROR says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorCode {
    /// 0: not a well-formed message.
    InvalidMessageFormat,
    /// 1: well-formed, but not a request that this role answers.
    InvalidRequest,
    /// 2: this provider does not have the chunk.
    ChunkNotFound,
    /// A code that the specification does not know.
    Unknown(u16),
}

impl ErrorCode {
    fn number(self) -> u16 {
        match self {
            Self::InvalidMessageFormat => 0,
            Self::InvalidRequest => 1,
            Self::ChunkNotFound => 2,
            Self::Unknown(code) => code,
        }
    }

    fn of(number: u16) -> Self {
        match number {
            0 => Self::InvalidMessageFormat,
            1 => Self::InvalidRequest,
            2 => Self::ChunkNotFound,
            code => Self::Unknown(code),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMessageFormat => f.write_str("INVALID_MESSAGE_FORMAT"),
            Self::InvalidRequest => f.write_str("INVALID_REQUEST"),
            Self::ChunkNotFound => f.write_str("CHUNK_NOT_FOUND"),
            Self::Unknown(code) => write!(f, "ERROR {code}"),
        }
    }
}

/// Why bytes are no message, or a value has no bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Another version than 1.
    #[error("message of version {0}, not 1")]
    Version(u8),
    /// A `msg_type` over 6.
    #[error("message of unknown type {0}")]
    Kind(u8),
    /// The lengths in it do not fit each other.
    #[error("message whose length does not fit: {0}")]
    Length(&'static str),
    /// Larger than we take, or than the protocol can say.
    #[error("message whose {what} is {len}, more than {most}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        len: u64,
        /// How large it may be.
        most: u64,
    },
    /// A name that is not UTF-8.
    #[error("message whose name is not UTF-8")]
    Name,
}

/// The first 8 bytes of a message, as they stand there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Should be [`VERSION`].
    pub version: u8,
    /// `msg_type`; see [`Header::kind`].
    pub msg_type: u8,
    /// `msg_length` in dwords, the header included.
    pub dwords: u32,
}

impl Header {
    /// Reads a header; nothing is judged yet.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [version, msg_type, _, _, a, b, c, d] = *bytes;
        Self { version, msg_type, dwords: u32::from_be_bytes([a, b, c, d]) }
    }

    /// Which message it begins.
    ///
    /// # Errors
    /// `Version` or `Kind`.
    pub fn kind(&self) -> Result<Kind, Error> {
        match self.version {
            VERSION => Kind::of(self.msg_type).ok_or(Error::Kind(self.msg_type)),
            version => Err(Error::Version(version)),
        }
    }

    /// Bytes of the whole message; none when it claims to be shorter than its header, so
    /// that nobody knows where the next one begins.
    pub fn message_len(&self) -> Option<u64> {
        let len = u64::from(self.dwords) * DWORD as u64;
        (len >= HEADER_LEN as u64).then_some(len)
    }
}

/// Where a tracker listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerInfo {
    /// Its TCP address.
    pub address: SocketAddrV4,
    /// What it calls itself; text of a stranger.
    pub name: String,
}

/// The file and who claims to have its chunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// Its name; text of a stranger.
    pub filename: String,
    /// Its chunks in file order.
    pub chunks: Vec<ListedChunk>,
}

/// A chunk of a FILE_INFO.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedChunk {
    /// SHA-1 of its content.
    pub hash: ChunkHash,
    /// Providers that are said to have it.
    pub peers: Vec<SocketAddrV4>,
}

/// A whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Type 0.
    DiscoverTracker,
    /// Type 1.
    TrackerInfo(TrackerInfo),
    /// Type 2.
    GetFileInfo,
    /// Type 3.
    FileInfo(FileInfo),
    /// Type 4.
    GetChunk(ChunkHash),
    /// Type 5.
    Chunk {
        /// The hash that it was asked for by.
        hash: ChunkHash,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// Type 6.
    Error(ErrorCode),
}

impl Message {
    /// Appends the message to `out`.
    ///
    /// # Errors
    /// `TooLarge` when a name, a list or the content is longer than its field can say; `out`
    /// is as before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut body = Body(Vec::new());
        let kind = match self {
            Self::DiscoverTracker => Kind::DiscoverTracker,
            Self::GetFileInfo => Kind::GetFileInfo,
            Self::TrackerInfo(info) => {
                body.address(info.address);
                body.u16("tracker_name_length", info.name.len())?;
                body.padded(info.name.as_bytes());
                Kind::TrackerInfo
            }
            Self::FileInfo(info) => {
                body.file_info(info)?;
                Kind::FileInfo
            }
            Self::GetChunk(hash) => {
                out.extend(get_chunk(*hash));
                return Ok(());
            }
            Self::Chunk { hash, content } => {
                let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
                out.extend(ChunkHead { hash: *hash, content_len: len }.encode()?);
                put_padded(out, content);
                return Ok(());
            }
            Self::Error(code) => {
                out.extend(error(*code));
                return Ok(());
            }
        };
        out.extend(header(kind, dwords(HEADER_LEN + body.0.len())?));
        out.extend(body.0);
        Ok(())
    }

    /// Reads a whole message; `bytes` are all of it and nothing else.
    ///
    /// # Errors
    /// When it is not well-formed, or a FILE_INFO or CHUNK is larger than we take.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some((head, body)) = bytes.split_first_chunk() else {
            return Err(Error::Length("shorter than a header"));
        };
        let head = Header::decode(head);
        let kind = head.kind()?;
        if head.message_len() != Some(bytes.len() as u64) {
            return Err(Error::Length("msg_length is not its bytes"));
        }
        let mut body = Reader(body);
        let message = match kind {
            Kind::DiscoverTracker => Self::DiscoverTracker,
            Kind::GetFileInfo => Self::GetFileInfo,
            Kind::TrackerInfo => {
                let address = body.address()?;
                let len = body.u16()?;
                Self::TrackerInfo(TrackerInfo { address, name: body.text(len)? })
            }
            Kind::FileInfo => Self::FileInfo(FileInfo::decode_body(body.rest())?),
            Kind::GetChunk => Self::GetChunk(ChunkHash(body.array()?)),
            Kind::Chunk => {
                let hash = ChunkHash(body.array()?);
                let len = u32::from_be_bytes(body.array()?);
                check_chunk_len(len)?;
                Self::Chunk { hash, content: body.padded(len as usize)?.to_vec() }
            }
            Kind::Error => {
                let code = ErrorCode::of(u16::from_be_bytes(body.array()?));
                body.array::<2>()?;
                Self::Error(code)
            }
        };
        body.end()?;
        Ok(message)
    }
}

impl FileInfo {
    /// Reads the body of a FILE_INFO, which one existing tracker sends under the header of a
    /// CHUNK.
    ///
    /// # Errors
    /// `Length` or `Name` when it does not parse to its last byte, `TooLarge` over
    /// [`FILE_INFO_LEN_MAX`].
    pub fn decode_body(body: &[u8]) -> Result<Self, Error> {
        let len = HEADER_LEN + body.len();
        limit("length in bytes", len as u64, FILE_INFO_LEN_MAX as u64)?;
        let mut body = Reader(body);
        let count = body.u16()?;
        let name_len = body.u16()?;
        let filename = body.text(name_len)?;
        // A count is only believed as far as there are bytes for it.
        let mut chunks = Vec::with_capacity(count.min(body.0.len() / 24));
        for _ in 0..count {
            let hash = ChunkHash(body.array()?);
            let peers_count = body.u16()?;
            body.array::<2>()?;
            let mut peers = Vec::with_capacity(peers_count.min(body.0.len() / 8));
            for _ in 0..peers_count {
                peers.push(body.address()?);
                body.array::<2>()?;
            }
            chunks.push(ListedChunk { hash, peers });
        }
        body.end()?;
        Ok(Self { filename, chunks })
    }
}

/// A whole GET_CHUNK.
pub fn get_chunk(hash: ChunkHash) -> [u8; HEADER_LEN + 20] {
    let mut bytes = [0; HEADER_LEN + 20];
    bytes[..HEADER_LEN].copy_from_slice(&header(Kind::GetChunk, 7));
    bytes[HEADER_LEN..].copy_from_slice(&hash.0);
    bytes
}

/// A whole ERROR.
pub fn error(code: ErrorCode) -> [u8; HEADER_LEN + DWORD] {
    let mut bytes = [0; HEADER_LEN + DWORD];
    bytes[..HEADER_LEN].copy_from_slice(&header(Kind::Error, 3));
    bytes[HEADER_LEN..HEADER_LEN + 2].copy_from_slice(&code.number().to_be_bytes());
    bytes
}

/// What stands before the content of a CHUNK, so that the content can be streamed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkHead {
    /// The hash that it was asked for by.
    pub hash: ChunkHash,
    /// Bytes of content that follow, without the padding.
    pub content_len: u32,
}

impl ChunkHead {
    /// The header and the fields before the content.
    ///
    /// # Errors
    /// `TooLarge` over [`CHUNK_LEN_MAX`].
    pub fn encode(&self) -> Result<[u8; CHUNK_HEAD_LEN], Error> {
        check_chunk_len(self.content_len)?;
        let len = CHUNK_HEAD_LEN + self.content_len as usize;
        let mut bytes = [0; CHUNK_HEAD_LEN];
        bytes[..HEADER_LEN].copy_from_slice(&header(Kind::Chunk, dwords(len)?));
        bytes[HEADER_LEN..28].copy_from_slice(&self.hash.0);
        bytes[28..].copy_from_slice(&self.content_len.to_be_bytes());
        Ok(bytes)
    }

    /// Reads what [`encode`](Self::encode) writes.
    ///
    /// # Errors
    /// When it is no CHUNK, its lengths do not fit each other, or it is larger than
    /// [`CHUNK_LEN_MAX`].
    pub fn decode(bytes: &[u8; CHUNK_HEAD_LEN]) -> Result<Self, Error> {
        let (head, fields) = bytes.split_first_chunk().ok_or(Error::Length("no header"))?;
        let head = Header::decode(head);
        if head.kind()? != Kind::Chunk {
            return Err(Error::Kind(head.msg_type));
        }
        let mut fields = Reader(fields);
        let hash = ChunkHash(fields.array()?);
        let content_len = u32::from_be_bytes(fields.array()?);
        check_chunk_len(content_len)?;
        if head.dwords != dwords(CHUNK_HEAD_LEN + content_len as usize)? {
            return Err(Error::Length("msg_length is not that of chunk_content_length"));
        }
        Ok(Self { hash, content_len })
    }

    /// Bytes of padding behind the content, 0 to 3.
    pub fn padding(&self) -> usize {
        padding(self.content_len as usize)
    }
}

/// Bytes from `len` to the next dword.
fn padding(len: usize) -> usize {
    len.next_multiple_of(DWORD) - len
}

fn put_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.extend(&[0; DWORD][..padding(bytes.len())]);
}

fn dwords(len: usize) -> Result<u32, Error> {
    let count = len.div_ceil(DWORD);
    u32::try_from(count).map_err(|_| Error::TooLarge {
        what: "msg_length",
        len: count as u64,
        most: u32::MAX.into(),
    })
}

fn header(kind: Kind, dwords: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = dwords.to_be_bytes();
    [VERSION, kind as u8, 0, 0, a, b, c, d]
}

fn limit(what: &'static str, len: u64, most: u64) -> Result<(), Error> {
    if len > most { Err(Error::TooLarge { what, len, most }) } else { Ok(()) }
}

fn check_chunk_len(len: u32) -> Result<(), Error> {
    limit("chunk_content_length", len.into(), CHUNK_LEN_MAX.into())
}

/// A body being written.
struct Body(Vec<u8>);

impl Body {
    fn u16(&mut self, what: &'static str, value: usize) -> Result<(), Error> {
        limit(what, value as u64, u16::MAX.into())?;
        self.0.extend((value as u16).to_be_bytes());
        Ok(())
    }

    fn address(&mut self, address: SocketAddrV4) {
        self.0.extend(address.ip().octets());
        self.0.extend(address.port().to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        put_padded(&mut self.0, bytes);
    }

    fn file_info(&mut self, info: &FileInfo) -> Result<(), Error> {
        self.u16("chunks_count", info.chunks.len())?;
        self.u16("filename_length", info.filename.len())?;
        self.padded(info.filename.as_bytes());
        for chunk in &info.chunks {
            self.0.extend(chunk.hash.0);
            self.u16("peers_count", chunk.peers.len())?;
            self.0.extend([0; 2]);
            for peer in &chunk.peers {
                self.address(*peer);
                self.0.extend([0; 2]);
            }
        }
        Ok(())
    }
}

/// A body being read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or(Error::Length("it ends within a field"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<usize, Error> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn address(&mut self) -> Result<SocketAddrV4, Error> {
        let ip = Ipv4Addr::from(self.array::<4>()?);
        Ok(SocketAddrV4::new(ip, u16::from_be_bytes(self.array()?)))
    }

    /// `len` bytes and the padding behind them.
    fn padded(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .0
            .split_at_checked(len + padding(len))
            .ok_or(Error::Length("it ends within a text or its padding"))?;
        self.0 = rest;
        Ok(&taken[..len])
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        let bytes = self.padded(len)?.to_vec();
        String::from_utf8(bytes).map_err(|_| Error::Name)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Length("bytes behind its last field")) }
    }
}

//! What a client must fetch before it can begin: the list of chunks from a tracker, and the
//! first and the last chunk, since no listing tells sizes. Not here: the chunks between,
//! which come through the swarm.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::wire::{
    self, CHUNK_HEAD_LEN, ChunkHash, ChunkHead, ErrorCode, FILE_INFO_LEN_MAX, FileInfo, HEADER_LEN,
    Header, Kind, Message,
};
use crate::net;
use crate::net::blocklist::Refused;
use crate::net::egress::{Egress, Purpose};

/// For a connection to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For the next bytes of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// The slowest provider worth waiting for, in bytes a second.
const RATE_MIN: u64 = 16 * 1024;
/// For a whole answer beyond what the slowest rate allows.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// When a provider has not delivered in this time, the next one is asked beside it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Providers of one chunk that are tried; a listing may name 65,535.
const TRIED_MAX: usize = 16;
/// Of those, asked at the same time: each may send [`wire::CHUNK_LEN_MAX`].
const ASKED_MAX: usize = 3;
/// For one chunk, however many are tried.
const CHUNK_LIMIT: Duration = Duration::from_secs(600);
/// Bytes read at once.
const READ_LEN: usize = 64 * 1024;

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(#[from] io::Error),
    /// It was silent, or too slow, for too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// It answered something else than the protocol allows.
    #[error("it sent a {0}")]
    Wire(#[from] wire::Error),
    /// It said no.
    #[error("it answered {0}")]
    Refused(ErrorCode),
    /// It answered with a message that is no answer to this.
    #[error("it answered with a message of type {0}")]
    WrongKind(u8),
    /// It has not delivered yet, and another has.
    #[error("it was too slow")]
    Slow,
    /// The content does not match the hash it was asked for by.
    #[error("it sent wrong bytes")]
    WrongBytes,
}

/// What a tracker answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The list.
    pub info: FileInfo,
    /// It came with the msg_type of a CHUNK, as one existing tracker sends it.
    pub is_mislabelled: bool,
}

/// Asks a tracker what there is (GET_FILE_INFO).
///
/// # Errors
/// When it cannot be reached, does not answer in time, or answers something else than a
/// FILE_INFO of at most [`FILE_INFO_LEN_MAX`].
pub async fn file_info(egress: &Egress, tracker: SocketAddrV4) -> Result<Answer, Error> {
    let mut stream = connect(egress, tracker).await?;
    let answer = async {
        let mut request = Vec::new();
        Message::GetFileInfo.encode(&mut request)?;
        stream.write_all(&request).await?;
        let mut head = [0; HEADER_LEN];
        stream.read_exact(&mut head).await?;
        let header = Header::decode(&head);
        let len = header.message_len().ok_or(wire::Error::Length("shorter than its header"))?;
        if len > FILE_INFO_LEN_MAX as u64 {
            let most = FILE_INFO_LEN_MAX as u64;
            return Err(wire::Error::TooLarge { what: "length in bytes", len, most }.into());
        }
        // Grows as bytes come: a length alone costs nothing.
        let mut message = head.to_vec();
        (&mut stream).take(len - HEADER_LEN as u64).read_to_end(&mut message).await?;
        read_file_info(header, &message)
    };
    timeout(ANSWER_LIMIT, answer).await.unwrap_or(Err(Error::TimedOut))
}

fn read_file_info(header: Header, message: &[u8]) -> Result<Answer, Error> {
    // Nothing but a FILE_INFO can come here, whatever it calls itself.
    if header.kind() == Ok(Kind::Chunk)
        && header.message_len() == Some(message.len() as u64)
        && let Ok(info) = FileInfo::decode_body(&message[HEADER_LEN..])
    {
        return Ok(Answer { info, is_mislabelled: true });
    }
    match Message::decode(message)? {
        Message::FileInfo(info) => Ok(Answer { info, is_mislabelled: false }),
        Message::Error(code) => Err(Error::Refused(code)),
        _ => Err(Error::WrongKind(header.msg_type)),
    }
}

/// What asked providers did instead of delivering.
pub type Failures = Vec<(SocketAddrV4, Error)>;

/// A connection with nothing on the way, and whose it is.
pub type Open = (SocketAddrV4, TcpStream);

/// A chunk that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// Its bytes, right by their hash.
    pub content: Vec<u8>,
    /// Who failed before.
    pub failures: Failures,
}

/// Fetches one chunk from whichever of `providers` delivers it first. At most sixteen are
/// tried, three at a time, for ten minutes. Connections in `open` are used again, and the one
/// that served is put there.
///
/// # Errors
/// When each of them failed.
pub async fn chunk(
    egress: &Egress,
    hash: ChunkHash,
    providers: &[SocketAddrV4],
    open: &mut Vec<Open>,
) -> Result<Fetched, Failures> {
    let mut tried: Vec<SocketAddrV4> = Vec::new();
    for provider in providers {
        if tried.len() < TRIED_MAX && !tried.contains(provider) {
            tried.push(*provider);
        }
    }
    let all_late = || tried.iter().map(|provider| (*provider, Error::TimedOut)).collect();
    timeout(CHUNK_LIMIT, first_of(egress, hash, &tried, open))
        .await
        .unwrap_or_else(|_| Err(all_late()))
}

async fn first_of(
    egress: &Egress,
    hash: ChunkHash,
    providers: &[SocketAddrV4],
    open: &mut Vec<Open>,
) -> Result<Fetched, Failures> {
    let mut errors = Vec::new();
    let mut pending = Vec::new();
    let mut asked = JoinSet::new();
    let mut left = providers.iter().copied();
    let mut next = left.next();
    loop {
        if let Some(provider) = next.take() {
            pending.push(provider);
            let place = open.iter().position(|(whose, _)| *whose == provider);
            let stream = place.map(|place| open.swap_remove(place).1);
            let egress = egress.clone();
            asked.spawn(async move { (provider, chunk_of(&egress, hash, provider, stream).await) });
        }
        let more = left.len() > 0 && asked.len() < ASKED_MAX;
        tokio::select! {
            Some(answer) = asked.join_next() => {
                match answer {
                    Ok((provider, Ok((content, stream)))) => {
                        open.push((provider, stream));
                        pending.retain(|other| *other != provider);
                        errors.extend(pending.into_iter().map(|provider| (provider, Error::Slow)));
                        return Ok(Fetched { content, failures: errors });
                    }
                    Ok((provider, Err(error))) => {
                        pending.retain(|other| *other != provider);
                        warn!(%provider, %hash, %error, "a provider was replaced");
                        errors.push((provider, error));
                    }
                    Err(error) => debug!(%error, "a request ended by itself"),
                }
                next = left.next();
            }
            () = sleep(PATIENCE), if more => next = left.next(),
            else => return Err(errors),
        }
    }
}

/// The content and the connection that it came over.
async fn chunk_of(
    egress: &Egress,
    hash: ChunkHash,
    provider: SocketAddrV4,
    open: Option<TcpStream>,
) -> Result<(Vec<u8>, TcpStream), Error> {
    // What was left open may have been closed from the other side.
    if let Some(stream) = open
        && let Ok(fetched) = chunk_over(stream, hash).await
    {
        return Ok(fetched);
    }
    // Trackers are the user's word, who has a piece is theirs.
    if egress.blocklist().refuses((*provider.ip()).into(), Refused::Dial) {
        return Err(Error::Connect(net::Error::Blocked { address: provider.into() }.into()));
    }
    chunk_over(connect(egress, provider).await?, hash).await
}

async fn chunk_over(mut stream: TcpStream, hash: ChunkHash) -> Result<(Vec<u8>, TcpStream), Error> {
    let head = timeout(ANSWER_LIMIT, ask_chunk(&mut stream, hash));
    let head = head.await.unwrap_or(Err(Error::TimedOut))?;
    let limit = ANSWER_LIMIT + Duration::from_secs(u64::from(head.content_len) / RATE_MIN);
    let content = async {
        let content = read_content(&mut stream, head.content_len as usize).await?;
        read_content(&mut stream, head.padding()).await?;
        Ok(content)
    };
    let content = timeout(limit, content).await.unwrap_or(Err(Error::TimedOut))?;
    match Sha1::digest(&content).as_slice() == hash.0 {
        true => Ok((content, stream)),
        false => Err(Error::WrongBytes),
    }
}

async fn ask_chunk(stream: &mut TcpStream, hash: ChunkHash) -> Result<ChunkHead, Error> {
    stream.write_all(&wire::get_chunk(hash)).await?;
    let mut bytes = [0; CHUNK_HEAD_LEN];
    let (first, rest) = bytes.split_at_mut(HEADER_LEN);
    stream.read_exact(first).await?;
    let header = first.first_chunk().map(Header::decode);
    let kind = header.map_or(Err(wire::Error::Length("no header")), |header| header.kind())?;
    match kind {
        Kind::Error => {
            stream.read_exact(&mut rest[..4]).await?;
            match Message::decode(&bytes[..HEADER_LEN + 4])? {
                Message::Error(code) => Err(Error::Refused(code)),
                _ => Err(Error::WrongKind(kind as u8)),
            }
        }
        Kind::Chunk => {
            stream.read_exact(rest).await?;
            let head = ChunkHead::decode(&bytes)?;
            if head.hash == hash { Ok(head) } else { Err(Error::WrongBytes) }
        }
        _ => Err(Error::WrongKind(kind as u8)),
    }
}

/// Reads `len` bytes; memory grows as they come.
async fn read_content(stream: &mut TcpStream, len: usize) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let mut buffer = vec![0; READ_LEN.min(len)];
    while content.len() < len {
        let want = buffer.len().min(len - content.len());
        let read = timeout(SILENCE_MAX, stream.read(&mut buffer[..want])).await;
        match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(0) => return Err(Error::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => content.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Error::TimedOut),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(content)
}

async fn connect(egress: &Egress, address: SocketAddrV4) -> Result<TcpStream, Error> {
    let to = SocketAddr::from(address).into();
    match egress.connect(&to, Purpose::Course, CONNECT_LIMIT).await {
        Ok(stream) => Ok(stream),
        Err(net::Error::ConnectTimeout { .. }) => Err(Error::TimedOut),
        Err(error) => Err(Error::Connect(error.into())),
    }
}

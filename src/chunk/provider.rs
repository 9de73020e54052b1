//! A provider: answers GET_CHUNK with the chunk as it lies on the disk, straight from the
//! page cache to the socket. It keeps no chunk in memory, and does not check that a chunk is
//! what its name says: the client does, and must. Not here: connections (`server`) and the
//! files (`store`).

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise, sendfile};
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::base::pages::Pages;

use super::server::{self, Request, Role, send, when_writable};
use super::store::ChunkStore;
use super::wire::{CHUNK_HEAD_LEN, CHUNK_LEN_MAX, ChunkHash, ChunkHead, ErrorCode};

/// Bytes sent to one client before others get their turn.
const SLICE_LEN: u64 = 1 << 20;
/// Bytes held at once of a chunk that cannot be sent from the page cache.
const COPY_LEN: usize = 64 << 10;

/// Serves the chunks in `store` to everybody who connects, until `end` is ready; connections
/// are cut then. Chunks are looked up at each request.
pub async fn serve(listener: TcpListener, store: ChunkStore, end: impl Future<Output = ()>) {
    server::serve(listener, Provider { store: Arc::new(store) }, end).await;
}

struct Provider {
    store: Arc<ChunkStore>,
}

impl Role for Provider {
    async fn answer(
        &self,
        request: Request,
        stream: &TcpStream,
    ) -> io::Result<Result<u64, ErrorCode>> {
        match request {
            Request::Chunk(hash) => match self.open(hash).await {
                Some((file, head)) => send_chunk(stream, &file, head).await.map(Ok),
                None => Ok(Err(ErrorCode::ChunkNotFound)),
            },
            Request::FileInfo => Ok(Err(ErrorCode::InvalidRequest)),
        }
    }
}

impl Provider {
    /// The chunk, if there is one that can be sent. Every trouble with it comes to the same
    /// for the client, which then asks somebody else.
    async fn open(&self, hash: ChunkHash) -> Option<(File, ChunkHead)> {
        let store = self.store.clone();
        // A directory that is not in memory makes the thread wait for the disk.
        let opened = tokio::task::spawn_blocking(move || {
            let opened = store.open(hash);
            if let Ok(Some((file, _))) = &opened {
                // Starts to read ahead, so that sending need not wait. Only advice.
                let _ = fadvise(file, 0, None, Advice::WillNeed);
            }
            opened
        });
        match opened.await.map_err(io::Error::other).flatten() {
            Ok(Some((file, len))) => match u32::try_from(len) {
                Ok(content_len) if content_len <= CHUNK_LEN_MAX => {
                    Some((file, ChunkHead { hash, content_len }))
                }
                _ => {
                    warn!(%hash, len, most = CHUNK_LEN_MAX, "chunk too long to be sent");
                    None
                }
            },
            Ok(None) => None,
            Err(error) => {
                warn!(%hash, %error, "cannot open a chunk");
                None
            }
        }
    }
}

/// Sends a CHUNK; tells its bytes.
async fn send_chunk(stream: &TcpStream, file: &File, head: ChunkHead) -> io::Result<u64> {
    let len = u64::from(head.content_len);
    let first = head.encode().map_err(io::Error::other)?;
    // Corked, head, content and padding leave together. Where that fails they are only more
    // packets.
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_cork(true);
    send(stream, &first).await?;
    send_content(stream, file, len).await?;
    let padding = [0; 3];
    send(stream, padding.get(..head.padding()).unwrap_or_default()).await?;
    let _ = socket.set_tcp_cork(false);
    debug!(hash = %head.hash, len, "sent a chunk");
    Ok((CHUNK_HEAD_LEN + head.padding()) as u64 + len)
}

/// Sends the first `len` bytes of `file`.
///
/// # Errors
/// `UnexpectedEof` when it is shorter by now: the length was promised already, so that only
/// the end of the connection can tell the client.
async fn send_content(stream: &TcpStream, file: &File, len: u64) -> io::Result<()> {
    let mut at = 0;
    while at < len {
        let slice_len = (len - at).min(SLICE_LEN) as usize;
        let sent = when_writable(stream, || Ok(sendfile(stream, file, Some(&mut at), slice_len)?));
        match sent.await {
            Ok(0) => return Err(shrunk()),
            Ok(_) => {}
            // Not every file system gives its pages away.
            Err(error) if is_unusable(&error) => return copy_content(stream, file, at, len).await,
            Err(error) => return Err(error),
        }
        // A client that is as fast as memory would keep the thread.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// As [`send_content`] from byte `at` on, through memory of our own.
async fn copy_content(stream: &TcpStream, file: &File, mut at: u64, len: u64) -> io::Result<()> {
    let mut buffer = Pages::zeroed(COPY_LEN);
    while at < len {
        let wanted = (len - at).min(COPY_LEN as u64) as usize;
        let read = file.read_at(&mut buffer[..wanted], at)?;
        if read == 0 {
            return Err(shrunk());
        }
        send(stream, &buffer[..read]).await?;
        at += read as u64;
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn is_unusable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a chunk became shorter while it was sent")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    /// What arrives when `len` bytes of `file` are sent into a socket with these flags.
    async fn sent(file: &File, len: u64, flags: rustix::fs::OFlags) -> (io::Result<()>, Vec<u8>) {
        let (near, mut far) = pair().await;
        rustix::fs::fcntl_setfl(&near, rustix::fs::OFlags::NONBLOCK | flags).unwrap();
        let send = async {
            let sent = send_content(&near, file, len).await;
            drop(near);
            sent
        };
        let mut bytes = Vec::new();
        let (sent, read) = tokio::join!(send, far.read_to_end(&mut bytes));
        read.unwrap();
        (sent, bytes)
    }

    #[tokio::test]
    async fn content_is_the_same_from_the_page_cache_and_through_memory() {
        use rustix::fs::OFlags;
        let content: Vec<u8> =
            (0..3_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let (near, _far) = pair().await;
        rustix::fs::fcntl_setfl(&near, OFlags::NONBLOCK | OFlags::APPEND).unwrap();
        // The system does not send pages to what only appends.
        assert_eq!(sendfile(&near, &file, Some(&mut 0), 1), Err(Errno::INVAL));
        for flags in [OFlags::empty(), OFlags::APPEND] {
            for len in [0, 1, 65_536, 2_999_999, 3_000_001] {
                let (done, bytes) = sent(&file, len, flags).await;
                assert!(done.is_ok() && bytes == content[..len as usize], "{flags:?} {len}");
            }
            let (done, bytes) = sent(&file, 3_000_002, flags).await;
            assert_eq!(done.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(bytes == content);
        }
    }
}

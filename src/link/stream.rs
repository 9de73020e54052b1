//! What a link runs over, cut in a reading and a writing side that can be waited for at the same
//! time. A TCP connection, one with TLS over it or hidden by RC4, or a pipe in memory for tests and
//! for peers in one process.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;

use super::ciphered::{CipheredRead, CipheredWrite};

/// Linux's flag for data that more will follow (send(2)); socket2 names it nowhere.
const MSG_MORE: i32 = 0x8000;
/// What is copied at once where the system does not send files.
const COPY_LEN: usize = 16 * 1024;

/// A connection in both directions.
#[derive(Debug)]
pub enum Stream {
    /// Over the network.
    Tcp(TcpStream),
    /// Over the network, to a server that has proved its name.
    Tls(Box<TlsStream<TcpStream>>),
    /// In memory.
    Memory(DuplexStream),
    /// Begun, and cut in two for that.
    Begun(Begun),
}

/// Both sides of a connection on which something was said already.
#[derive(Debug)]
pub struct Begun {
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
}

impl Stream {
    pub(super) fn split(self) -> (ReadSide, WriteSide) {
        match self {
            Self::Tcp(stream) => {
                // Requests are small and must not wait for each other; a socket that
                // refuses is only slower.
                let _ = stream.set_nodelay(true);
                let (read, write) = stream.into_split();
                (ReadSide::Tcp(read), WriteSide::Tcp(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadSide::Tls(read), WriteSide::Tls(write))
            }
            Self::Memory(stream) => {
                let (read, write) = tokio::io::split(stream);
                (ReadSide::Memory(read), WriteSide::Memory(write))
            }
            Self::Begun(Begun { read, write }) => (read, write),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<DuplexStream> for Stream {
    fn from(stream: DuplexStream) -> Self {
        Self::Memory(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Begun(stream) => Pin::new(&mut stream.read).poll_read(cx, buffer),
        }
    }
}

/// The side that bytes come from.
#[derive(Debug)]
pub(super) enum ReadSide {
    Tcp(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
    Memory(ReadHalf<DuplexStream>),
    Rc4(Box<CipheredRead<ReadSide>>),
}

impl ReadSide {
    /// Is there something to read? In memory and within TLS this cannot be known beforehand, and
    /// the answer is yes.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(side) => {
                let stream: &TcpStream = side.as_ref();
                ready!(stream.poll_read_ready(cx))?;
                Poll::Ready(Ok(()))
            }
            Self::Tls(_) | Self::Memory(_) => Poll::Ready(Ok(())),
            Self::Rc4(ciphered) => ciphered.side.poll_readable(cx),
        }
    }

    /// Is it open, with nothing to be read? In memory and within TLS it seems so.
    pub(super) fn is_at_rest(&self) -> bool {
        let Self::Tcp(side) = self else { return true };
        let read = side.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_read(cx, buffer),
            Self::Tls(side) => Pin::new(side).poll_read(cx, buffer),
            Self::Memory(side) => Pin::new(side).poll_read(cx, buffer),
            Self::Rc4(side) => Pin::new(&mut **side).poll_read(cx, buffer),
        }
    }
}

/// The side that bytes go to.
#[derive(Debug)]
pub(super) enum WriteSide {
    Tcp(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
    Memory(WriteHalf<DuplexStream>),
    Rc4(Box<CipheredWrite<WriteSide>>),
}

impl WriteSide {
    /// Writes some of `bytes`, which more will follow at once: they may wait for it, so that
    /// both leave in one packet.
    pub(super) async fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(side) => {
                let socket = SockRef::from(side.as_ref());
                when_writable(side.as_ref(), || socket.send_with_flags(bytes, MSG_MORE)).await
            }
            Self::Rc4(side) => side.write_more(bytes).await,
            Self::Tls(_) | Self::Memory(_) => {
                poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, bytes)).await
            }
        }
    }

    /// Did the socket take all of what was written?
    pub(super) fn is_clear(&self) -> bool {
        !matches!(self, Self::Rc4(side) if !side.is_clear())
    }

    /// While it is held, the system sends full packets only, and what is left when it is let go:
    /// blocks in a row cost it far less than one after the other. Not every socket can.
    pub(super) fn hold(&self, hold: bool) {
        if let Self::Rc4(ciphered) = self {
            return ciphered.side().hold(hold);
        }
        if let Self::Tcp(side) = self {
            // One that refuses is only slower; it sends what it holds after 0.2 s.
            let _ = SockRef::from(side.as_ref()).set_tcp_cork(hold);
        }
    }

    /// Sends at most `len` bytes of `file` from `offset`; 0 when the file ends there. Over TCP
    /// they go from the page cache to the socket without a copy of ours.
    pub(super) async fn send_file(
        &mut self,
        file: &File,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        if let Self::Rc4(side) = self {
            return side.send_file(file, offset, len).await;
        }
        if let Self::Tcp(side) = self {
            let sending = when_writable(side.as_ref(), || {
                Ok(sendfile(side.as_ref(), file, Some(&mut offset.clone()), len)?)
            });
            match sending.await {
                // Not every file system gives its pages away.
                Err(error) if is_unusable(&error) => {}
                sent => return sent,
            }
        }
        let mut bytes = [0; COPY_LEN];
        let read = file.read_at(&mut bytes[..len.min(COPY_LEN)], offset)?;
        match read {
            0 => Ok(0),
            _ => poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, &bytes[..read])).await,
        }
    }
}

/// Runs `work` on the socket as soon as it takes something.
async fn when_writable(
    stream: &TcpStream,
    mut work: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match stream.try_io(Interest::WRITABLE, &mut work) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn is_unusable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

impl AsyncWrite for WriteSide {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_write(cx, bytes),
            Self::Tls(side) => Pin::new(side).poll_write(cx, bytes),
            Self::Memory(side) => Pin::new(side).poll_write(cx, bytes),
            Self::Rc4(side) => Pin::new(&mut **side).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_flush(cx),
            Self::Tls(side) => Pin::new(side).poll_flush(cx),
            Self::Memory(side) => Pin::new(side).poll_flush(cx),
            Self::Rc4(side) => Pin::new(&mut **side).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_shutdown(cx),
            Self::Tls(side) => Pin::new(side).poll_shutdown(cx),
            Self::Memory(side) => Pin::new(side).poll_shutdown(cx),
            Self::Rc4(side) => Pin::new(&mut **side).poll_shutdown(cx),
        }
    }
}

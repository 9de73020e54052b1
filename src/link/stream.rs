//! What a link runs over, cut in a reading and a writing side that can be waited for at the
//! same time. A TCP connection, or a pipe in memory for tests and for peers in one process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection in both directions.
#[derive(Debug)]
pub enum Stream {
    /// Over the network.
    Tcp(TcpStream),
    /// In memory.
    Memory(DuplexStream),
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
            Self::Memory(stream) => {
                let (read, write) = tokio::io::split(stream);
                (ReadSide::Memory(read), WriteSide::Memory(write))
            }
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
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

/// The side that bytes come from.
#[derive(Debug)]
pub(super) enum ReadSide {
    Tcp(OwnedReadHalf),
    Memory(ReadHalf<DuplexStream>),
}

impl ReadSide {
    /// Is there something to read? In memory this cannot be known beforehand, and the
    /// answer is yes.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(side) => {
                let stream: &TcpStream = side.as_ref();
                ready!(stream.poll_read_ready(cx))?;
                Poll::Ready(Ok(()))
            }
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
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
            Self::Memory(side) => Pin::new(side).poll_read(cx, buffer),
        }
    }
}

/// The side that bytes go to.
#[derive(Debug)]
pub(super) enum WriteSide {
    Tcp(OwnedWriteHalf),
    Memory(WriteHalf<DuplexStream>),
}

impl AsyncWrite for WriteSide {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_write(cx, bytes),
            Self::Memory(side) => Pin::new(side).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_flush(cx),
            Self::Memory(side) => Pin::new(side).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(side) => Pin::new(side).poll_shutdown(cx),
            Self::Memory(side) => Pin::new(side).poll_shutdown(cx),
        }
    }
}

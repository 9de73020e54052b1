//! A connection whose other end has to take what it asked for at no less than some 16 KiB a
//! second, so that nobody holds a large answer for long. Not here: how long a connection may last.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long is looked at, as long as there is something that is not taken.
const WINDOW: Duration = Duration::from_secs(30);
/// Bytes that have to be taken meanwhile: 16 KiB a second, less a third, since the system tells
/// of what was taken in pieces.
const TAKEN_MIN: u64 = 20 * (16 << 10);

/// A connection that is looked at.
pub(super) struct Paced<S> {
    stream: S,
    /// While something waits to be taken.
    waiting: Option<Waiting>,
}

struct Waiting {
    window: Pin<Box<Sleep>>,
    taken: u64,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: None }
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(len)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.taken += *len as u64;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let begin = || Waiting { window: Box::pin(sleep(WINDOW)), taken: 0 };
                let waiting = self.waiting.get_or_insert_with(begin);
                while waiting.window.as_mut().poll(cx).is_ready() {
                    if waiting.taken < TAKEN_MIN {
                        let why = "the client takes too little";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
                    }
                    waiting.taken = 0;
                    waiting.window.as_mut().reset(Instant::now() + WINDOW);
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Everything that there was has been taken.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// How long it takes to send two MiB to somebody who takes `len` bytes a second.
    async fn sent_to(len: usize) -> (io::Result<()>, u64) {
        let (ours, mut theirs) = duplex(1024);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; len];
            while theirs.read_exact(&mut buffer).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let (mut paced, began) = (Paced::new(ours), Instant::now());
        let sent = paced.write_all(&vec![0; 2 << 20]).await;
        let took = began.elapsed().as_secs();
        // One that has everything may be as slow as it likes with the next question.
        paced.flush().await.unwrap();
        sleep(Duration::from_secs(100)).await;
        if sent.is_ok() {
            paced.write_all(b"more").await.unwrap();
        }
        reader.abort();
        (sent, took)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_little_is_let_go_and_a_slow_line_is_not() {
        let (sent, took) = sent_to(8 << 10).await;
        assert_eq!((sent.unwrap_err().kind(), took), (io::ErrorKind::TimedOut, 30));
        let (sent, took) = sent_to(16 << 10).await;
        assert!(sent.is_ok() && (120..=130).contains(&took), "{took} s");
    }
}

//! The two sides of a connection whose bytes are hidden by RC4. What is read is decrypted where it
//! lies. What is written is encrypted in a buffer that all links of a thread share; of that a side
//! keeps only what its socket did not take, since a cipher cannot go back. What all together keep
//! is counted: when it is much, each encrypts little at once. Not here: the handshake that such a
//! connection begins with.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::mse::Rc4;

/// What is encrypted at once, and the most that a side keeps but for a little.
const TURN_LEN: usize = 64 * 1024;
/// What all sides of a session together keep before each encrypts less.
const TAILS_MAX: usize = 4 << 20;
/// What is encrypted at once then.
const TURN_LEAST: usize = 4 * 1024;
/// So much may be kept and more be taken behind it: the head of a block, that is, for which one
/// packet of its own would be a pity.
const AHEAD_LEN: usize = 1024;

thread_local! {
    /// What a thread encrypts in; no link keeps anything in it.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Counts what the sides of a session keep. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tails(Arc<AtomicUsize>);

impl Tails {
    /// What may be encrypted at once.
    fn turn_len(&self) -> usize {
        if self.0.load(Ordering::Relaxed) < TAILS_MAX { TURN_LEN } else { TURN_LEAST }
    }
}

/// The side that bytes come from.
#[derive(Debug)]
pub(super) struct CipheredRead<S> {
    pub side: S,
    pub cipher: Rc4,
}

impl<S: AsyncRead + Unpin> AsyncRead for CipheredRead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { side, cipher } = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(side).poll_read(cx, buffer))?;
        cipher.apply(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

/// The side that bytes go to.
#[derive(Debug)]
pub(super) struct CipheredWrite<S> {
    side: S,
    cipher: Rc4,
    /// Encrypted bytes that the socket did not take.
    kept: Vec<u8>,
    tails: Tails,
    /// So many of them are counted there.
    counted: usize,
}

impl<S> Drop for CipheredWrite<S> {
    fn drop(&mut self) {
        self.keep(Vec::new());
    }
}

impl<S> CipheredWrite<S> {
    fn keep(&mut self, kept: Vec<u8>) {
        self.kept = kept;
        self.count();
    }

    fn count(&mut self) {
        let (before, now) = (self.counted, self.kept.capacity());
        self.counted = now;
        if now >= before {
            self.tails.0.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.tails.0.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncWrite + Unpin> CipheredWrite<S> {
    pub(super) fn new(side: S, cipher: Rc4, tails: Tails) -> Self {
        Self { side, cipher, kept: Vec::new(), tails, counted: 0 }
    }

    /// What it goes to.
    pub(super) fn side(&self) -> &S {
        &self.side
    }

    /// Did the socket take all of what was written?
    pub(super) fn is_clear(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes a few bytes that others will follow at once, and waits for those.
    pub(super) async fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.kept.len() + bytes.len() > AHEAD_LEN {
            return poll_fn(|cx| self.poll_take(cx, |turn, most| append(turn, bytes, most))).await;
        }
        let begin = self.kept.len();
        self.kept.extend_from_slice(bytes);
        self.count();
        self.cipher.apply(self.kept.get_mut(begin..).unwrap_or_default());
        Ok(bytes.len())
    }

    /// Takes at most `len` bytes of `file` from `offset`; 0 when the file ends there.
    pub(super) async fn send_file(
        &mut self,
        file: &File,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        let fill = |turn: &mut Vec<u8>, most: usize| {
            let begin = turn.len();
            turn.resize(begin + len.min(most), 0);
            let read = file.read_at(turn.get_mut(begin..).unwrap_or_default(), offset)?;
            turn.truncate(begin + read);
            Ok(read)
        };
        poll_fn(|cx| self.poll_take(cx, fill)).await
    }

    /// Takes what `fill` appends, so much at most, when the socket has taken what came before.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        fill: impl Fn(&mut Vec<u8>, usize) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.kept.len() > AHEAD_LEN {
            ready!(self.poll_clear(cx))?;
        }
        SCRATCH.with_borrow_mut(|turn| {
            turn.clear();
            turn.append(&mut self.kept);
            let begin = turn.len();
            let taken = fill(turn, self.tails.turn_len())?;
            self.cipher.apply(turn.get_mut(begin..).unwrap_or_default());
            let sent = self.send(cx, turn)?;
            self.keep(turn.get(sent..).unwrap_or_default().to_vec());
            Poll::Ready(Ok(taken))
        })
    }

    /// As many bytes as the socket takes at once; then the task is woken when it takes more.
    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.side).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::BrokenPipe.into()),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(sent)
    }

    /// Waits until the socket has taken all of what was written.
    pub(super) fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut kept = std::mem::take(&mut self.kept);
        let sent = self.send(cx, &kept)?;
        kept.drain(..sent);
        let is_clear = kept.is_empty();
        self.keep(if is_clear { Vec::new() } else { kept });
        if is_clear { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn append(turn: &mut Vec<u8>, bytes: &[u8], most: usize) -> io::Result<usize> {
    let part = bytes.get(..most).unwrap_or(bytes);
    turn.extend_from_slice(part);
    Ok(part.len())
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CipheredWrite<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(cx, |turn, most| append(turn, bytes, most))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_clear(cx))?;
        Pin::new(&mut this.side).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_clear(cx))?;
        Pin::new(&mut this.side).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::link::stream::{ReadSide, Stream, WriteSide};

    /// Two ends of a pipe that holds `len` bytes, hidden by a key.
    fn pipe(len: usize) -> (CipheredRead<ReadSide>, CipheredWrite<WriteSide>) {
        pipe_of(len, Tails::default())
    }

    fn pipe_of(len: usize, tails: Tails) -> (CipheredRead<ReadSide>, CipheredWrite<WriteSide>) {
        let (ours, theirs) = tokio::io::duplex(len);
        let ((side, _), (_, write)) = (Stream::from(ours).split(), Stream::from(theirs).split());
        let cipher = Rc4::new(b"key");
        (CipheredRead { side, cipher: cipher.clone() }, CipheredWrite::new(write, cipher, tails))
    }

    #[tokio::test]
    async fn what_is_written_in_any_way_is_read_in_order() {
        let content: Vec<u8> = (0..300_000_u32).map(|at| (at / 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let (mut read, mut write) = pipe(1000);
        let writing = async {
            assert_eq!(write.write_more(b"head").await.unwrap(), 4);
            assert!(!write.is_clear(), "it waits for what follows");
            let mut sent = 0;
            while sent < content.len() {
                let part = write.send_file(&file, sent as u64, usize::MAX >> 1).await.unwrap();
                assert!((1..=TURN_LEN).contains(&part));
                sent += part;
            }
            assert_eq!(write.send_file(&file, sent as u64, 5).await.unwrap(), 0);
            write.write_all(&content).await.unwrap();
            write.write_more(b"tail").await.unwrap();
            write.flush().await.unwrap();
            assert!(write.is_clear());
        };
        let mut heard = vec![0; 4 + 2 * content.len() + 4];
        let reading = read.read_exact(&mut heard);
        tokio::join!(writing, async { reading.await.unwrap() });
        assert!(heard == [b"head", &content[..], &content, b"tail"].concat());
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_lets_one_turn_be_kept_and_no_more() {
        let (_read, mut write) = pipe(10);
        let bytes = vec![1; 3 * TURN_LEN];
        assert_eq!(write.write(&bytes).await.unwrap(), TURN_LEN);
        assert_eq!(write.kept.len(), TURN_LEN - 10);
        let wait = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(wait, write.write(&bytes)).await.is_err());
        assert_eq!(write.kept.len(), TURN_LEN - 10);
    }

    #[tokio::test]
    async fn sides_that_keep_much_together_encrypt_little_at_once() {
        let tails = Tails::default();
        let bytes = vec![1; 3 * TURN_LEN];
        let mut sides = Vec::new();
        for _ in 0..2 * TAILS_MAX / TURN_LEN {
            let (read, mut write) = pipe_of(10, tails.clone());
            let taken = write.write(&bytes).await.unwrap();
            sides.push((read, write, taken));
        }
        let taken: usize = sides.iter().map(|(.., taken)| taken).sum();
        assert!((TAILS_MAX..=TAILS_MAX + sides.len() * TURN_LEAST).contains(&taken), "{taken}");
        let counted = tails.0.load(Ordering::Relaxed);
        let kept: usize = sides.iter().map(|(_, write, _)| write.kept.capacity()).sum();
        assert_eq!(counted, kept);
        // What is sent or given up is counted no more.
        drop(sides);
        assert_eq!(tails.0.load(Ordering::Relaxed), 0);
        let (_read, mut write) = pipe_of(10, tails.clone());
        assert_eq!(write.write(&bytes).await.unwrap(), TURN_LEN);
    }
}

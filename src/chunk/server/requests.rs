//! What a client of a TCP server says: reads one message after the other and judges it, with
//! bounded memory and time. It goes on behind a message that is wrong as long as it knows
//! where that one ends. Not here: answers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use crate::chunk::wire::{
    self, CHUNK_HEAD_LEN, CHUNK_LEN_MAX, ChunkHash, ChunkHead, HEADER_LEN, Header, Kind, Message,
};

/// Time that a client may be silent between two messages.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// Time for the rest of a message that has begun.
pub(super) const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
/// The longest message whose end is believed: a CHUNK with the longest content.
const MESSAGE_LEN_MAX: u64 = CHUNK_HEAD_LEN as u64 + CHUNK_LEN_MAX as u64;
/// The longest message held to be judged: a TRACKER_INFO whose name is as long as its field
/// can say.
const HELD_LEN_MAX: u64 = HEADER_LEN as u64 + 8 + 65_536;
/// Room for some 290 requests that come at once.
const BUFFER_LEN: usize = 8 << 10;

/// What a server may be asked for over TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::chunk) enum Request {
    /// GET_FILE_INFO.
    FileInfo,
    /// GET_CHUNK.
    Chunk(ChunkHash),
}

/// A message of a client, judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// A request; whether this role answers it is not known here.
    Request(Request),
    /// Well-formed, and nothing that a server is asked over TCP.
    NoRequest(Kind),
    /// Not well-formed. Where it ends is known.
    Malformed(wire::Error),
}

/// Why nothing more can be read from a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("closed by the client")]
    Closed,
    #[error("silent for {} s", IDLE_LIMIT.as_secs())]
    Idle,
    #[error("a message did not end within {} s", MESSAGE_LIMIT.as_secs())]
    Slow,
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// Nobody knows where the next message begins.
    #[error("{0}")]
    Lost(wire::Error),
}

/// The reading half of a connection.
pub(super) struct Requests<R> {
    source: BufReader<R>,
    /// Bytes of the last message that are still to come; nobody needs them.
    unread: u64,
}

impl<R: AsyncRead + Unpin> Requests<R> {
    pub fn new(source: R) -> Self {
        Self { source: BufReader::with_capacity(BUFFER_LEN, source), unread: 0 }
    }

    /// Waits for the next message. One that is wrong is told as soon as that shows: a client
    /// that announced more than it sent gets its answer. Its rest is thrown away by the next
    /// call.
    ///
    /// # Errors
    /// When the connection is of no use any more; it must not be called again then.
    pub async fn next(&mut self) -> Result<Said, End> {
        timeout(MESSAGE_LIMIT, self.skip()).await.map_err(|_| End::Slow)??;
        let begun = timeout(IDLE_LIMIT, self.source.fill_buf()).await.map_err(|_| End::Idle)?;
        if begun?.is_empty() {
            return Err(End::Closed);
        }
        timeout(MESSAGE_LIMIT, self.message()).await.map_err(|_| End::Slow)?
    }

    /// Throws away what is left of the last message.
    async fn skip(&mut self) -> io::Result<()> {
        while self.unread > 0 {
            let there = self.source.fill_buf().await?.len();
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let skipped = there.min(usize::try_from(self.unread).unwrap_or(usize::MAX));
            self.source.consume(skipped);
            self.unread -= skipped as u64;
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<Said, End> {
        let mut head = [0; HEADER_LEN];
        self.source.read_exact(&mut head).await?;
        let header = Header::decode(&head);
        let len = match header.message_len() {
            Some(len) if len <= MESSAGE_LEN_MAX => len,
            Some(len) => {
                let most = MESSAGE_LEN_MAX;
                return Err(End::Lost(wire::Error::TooLarge { what: "message", len, most }));
            }
            None => return Err(End::Lost(wire::Error::Length("shorter than its header"))),
        };
        self.unread = len - HEADER_LEN as u64;
        let kind = match header.kind() {
            Ok(kind) => kind,
            Err(error) => return Ok(Said::Malformed(error)),
        };
        if !may_be_that_long(kind, len) {
            return Ok(Said::Malformed(wire::Error::Length("msg_length is not that of its type")));
        }
        match kind {
            Kind::Chunk => self.chunk(&head).await,
            // Could only be well-formed or not; a request it is in no case.
            Kind::FileInfo if len > HELD_LEN_MAX => Ok(Said::NoRequest(kind)),
            _ => self.held(kind, &head).await,
        }
    }

    /// Judges a CHUNK by what stands before its content, which may be anything.
    async fn chunk(&mut self, head: &[u8; HEADER_LEN]) -> Result<Said, End> {
        let mut bytes = [0; CHUNK_HEAD_LEN];
        bytes[..HEADER_LEN].copy_from_slice(head);
        self.source.read_exact(&mut bytes[HEADER_LEN..]).await?;
        self.unread -= (CHUNK_HEAD_LEN - HEADER_LEN) as u64;
        Ok(match ChunkHead::decode(&bytes) {
            Ok(_) => Said::NoRequest(Kind::Chunk),
            Err(error) => Said::Malformed(error),
        })
    }

    /// Judges a message by all of its bytes.
    async fn held(&mut self, kind: Kind, head: &[u8; HEADER_LEN]) -> Result<Said, End> {
        // Grows with what comes, not with what is claimed.
        let mut bytes = head.to_vec();
        let taken = (&mut self.source).take(self.unread).read_to_end(&mut bytes).await?;
        self.unread -= taken as u64;
        if self.unread > 0 {
            return Err(End::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(match Message::decode(&bytes) {
            Ok(Message::GetFileInfo) => Said::Request(Request::FileInfo),
            Ok(Message::GetChunk(hash)) => Said::Request(Request::Chunk(hash)),
            Ok(_) => Said::NoRequest(kind),
            Err(error) => Said::Malformed(error),
        })
    }
}

/// Whether a message of this kind may have `len` bytes, as far as its kind alone tells.
fn may_be_that_long(kind: Kind, len: u64) -> bool {
    match kind {
        Kind::DiscoverTracker | Kind::GetFileInfo => len == 8,
        Kind::Error => len == 12,
        Kind::GetChunk => len == 28,
        Kind::TrackerInfo => (16..=HELD_LEN_MAX).contains(&len),
        Kind::FileInfo => len >= 12,
        Kind::Chunk => len >= CHUNK_HEAD_LEN as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::*;

    const GET_FILE_INFO: [u8; 8] = [1, 2, 0, 0, 0, 0, 0, 2];

    /// Everything that is read until the connection is of no use any more.
    async fn all(source: impl AsyncRead + Unpin) -> (Vec<Said>, String) {
        let mut requests = Requests::new(source);
        let mut said = Vec::new();
        loop {
            match requests.next().await {
                Ok(one) => said.push(one),
                Err(end) => return (said, end.to_string()),
            }
        }
    }

    /// `head`, and zeros up to `len` bytes.
    fn padded(head: &[u8], len: usize) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.resize(len, 0);
        bytes
    }

    #[tokio::test]
    async fn every_kind_and_fault_is_told_apart_and_the_next_message_is_found() {
        use Said::{Malformed, NoRequest};
        let length = |what| Malformed(wire::Error::Length(what));
        let of_type = length("msg_length is not that of its type");
        let hash = ChunkHash([0; 20]);
        let cases: Vec<(Vec<u8>, Said)> = vec![
            (padded(&[1, 0, 9, 9, 0, 0, 0, 2], 8), NoRequest(Kind::DiscoverTracker)),
            (padded(&[1, 1, 0, 0, 0, 0, 0, 4], 16), NoRequest(Kind::TrackerInfo)),
            (padded(&[1, 2, 9, 9, 0, 0, 0, 2], 8), Said::Request(Request::FileInfo)),
            (padded(&[1, 3, 0, 0, 0, 0, 0, 3], 12), NoRequest(Kind::FileInfo)),
            (padded(&[1, 4, 9, 9, 0, 0, 0, 7], 28), Said::Request(Request::Chunk(hash))),
            (padded(&[1, 5, 0, 0, 0, 0, 0, 8], 32), NoRequest(Kind::Chunk)),
            (padded(&[1, 6, 0, 0, 0, 0, 0, 3], 12), NoRequest(Kind::Error)),
            (padded(&[2, 4, 0, 0, 0, 0, 0, 7], 28), Malformed(wire::Error::Version(2))),
            (padded(&[1, 7, 0, 0, 0, 0, 0, 9], 36), Malformed(wire::Error::Kind(7))),
            (padded(&[1, 0, 0, 0, 0, 0, 0, 3], 12), of_type.clone()),
            (padded(&[1, 2, 0, 0, 0, 0, 0, 3], 12), of_type.clone()),
            (padded(&[1, 4, 0, 0, 0, 0, 0, 8], 32), of_type.clone()),
            (padded(&[1, 4, 0, 0, 0, 0, 0, 2], 8), of_type.clone()),
            (padded(&[1, 6, 0, 0, 0, 0, 0, 2], 8), of_type.clone()),
            (padded(&[1, 1, 0, 0, 0, 0, 0, 3], 12), of_type.clone()),
            (padded(&[1, 3, 0, 0, 0, 0, 0, 2], 8), of_type.clone()),
            (padded(&[1, 5, 0, 0, 0, 0, 0, 7], 28), of_type),
            (
                padded(&[1, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 255], 20),
                Malformed(wire::Error::Name),
            ),
            (padded(&[1, 1, 0, 0, 0, 0, 0, 5], 20), length("bytes behind its last field")),
            (padded(&[1, 3, 0, 0, 0, 0, 0, 4, 0, 9], 16), length("it ends within a field")),
            (
                padded(&[1, 5, 0, 0, 0, 0, 0, 9], 36),
                length("msg_length is not that of chunk_content_length"),
            ),
            // 64 KiB of content, and as long a list, of which nothing is held.
            (
                {
                    let mut bytes = padded(&[1, 5, 0, 0, 0, 0, 0x40, 8], 32 + 65_536);
                    bytes[28..32].copy_from_slice(&[0, 1, 0, 0]);
                    bytes
                },
                NoRequest(Kind::Chunk),
            ),
            (padded(&[1, 3, 0, 0, 0, 0, 0x80, 0], 4 * 0x8000), NoRequest(Kind::FileInfo)),
            // The longest TRACKER_INFO there is.
            (
                {
                    let mut bytes = padded(&[1, 1, 0, 0, 0, 0, 0x40, 4], 4 * 0x4004);
                    bytes[14..16].copy_from_slice(&[255, 255]);
                    bytes
                },
                NoRequest(Kind::TrackerInfo),
            ),
            (
                padded(&[1, 1, 0, 0, 0, 0, 0x40, 5], 4 * 0x4005),
                length("msg_length is not that of its type"),
            ),
        ];
        let stream: Vec<u8> = cases.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let (said, end) = all(&*stream).await;
        let expected: Vec<Said> = cases.into_iter().map(|(_, said)| said).collect();
        assert_eq!((said, end.as_str()), (expected, "closed by the client"));
    }

    #[tokio::test]
    async fn without_a_believable_end_nothing_more_is_read() {
        // 0 and 1 dwords, and 4 bytes more than a CHUNK of 64 MiB.
        for len in [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 9], [255; 4]] {
            for (version, kind) in [(1, 4), (1, 5), (1, 9), (3, 2)] {
                let mut stream = vec![version, kind, 0, 0];
                stream.extend(len);
                stream.extend(GET_FILE_INFO);
                let mut requests = Requests::new(&*stream);
                assert!(matches!(requests.next().await, Err(End::Lost(_))));
            }
        }
        let stream = [1, 9, 0, 0, 1, 0, 0, 8];
        assert_eq!(
            Requests::new(&stream[..]).next().await.unwrap(),
            Said::Malformed(wire::Error::Kind(9))
        );
    }

    #[tokio::test]
    async fn a_message_that_breaks_off_is_an_end() {
        let whole = [
            padded(&[1, 4, 0, 0, 0, 0, 0, 7], 28),
            padded(&[1, 1, 0, 0, 0, 0, 0, 4], 16),
            padded(&[1, 5, 0, 0, 0, 0, 0, 8], 32),
        ];
        for bytes in whole {
            for len in 1..bytes.len() {
                let (said, end) = all(&bytes[..len]).await;
                assert!(said.is_empty() && end != "closed by the client", "{len}: {end}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_before_the_rest_has_come() {
        let (mut client, ours) = tokio::io::duplex(64);
        let mut requests = Requests::new(ours);
        let start = Instant::now();
        client.write_all(&padded(&[1, 4, 0, 0, 0, 0, 0, 9], 28)).await.unwrap();
        assert!(matches!(requests.next().await, Ok(Said::Malformed(_))));
        assert_eq!(start.elapsed().as_secs(), 0);
        client.write_all(&[0; 8]).await.unwrap();
        client.write_all(&GET_FILE_INFO).await.unwrap();
        assert_eq!(requests.next().await.unwrap(), Said::Request(Request::FileInfo));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_dripping_and_a_missing_rest_have_their_limits() {
        let (mut client, ours) = tokio::io::duplex(64);
        let mut requests = Requests::new(ours);
        let start = Instant::now();
        assert!(matches!(requests.next().await, Err(End::Idle)));
        assert_eq!(start.elapsed().as_secs(), 120);

        let start = Instant::now();
        let drip = async {
            for byte in padded(&[1, 4, 0, 0, 0, 0, 0, 7], 28) {
                client.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let (end, ()) = tokio::join!(requests.next(), drip);
        assert!(matches!(end, Err(End::Slow)));
        assert!(start.elapsed().as_secs() >= 30);

        let (mut client, ours) = tokio::io::duplex(64);
        let mut requests = Requests::new(ours);
        client.write_all(&[1, 9, 0, 0, 0, 0, 0, 9]).await.unwrap();
        assert!(matches!(requests.next().await, Ok(Said::Malformed(_))));
        let start = Instant::now();
        assert!(matches!(requests.next().await, Err(End::Slow)));
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    /// Messages and half messages, so that the reader gets further than the first header.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let body = prop::collection::vec(any::<u8>(), 0..64);
        let message = (0..9_u8, 0..4_u8, 0..12_u32, body, any::<bool>()).prop_map(
            |(kind, version, dwords, body, is_whole)| {
                let version = if version == 3 { 2 } else { 1 };
                let mut bytes = vec![version, kind, 0, 0];
                bytes.extend(dwords.to_be_bytes());
                bytes.extend(body);
                if is_whole {
                    bytes.resize((dwords as usize * 4).max(8), 0);
                }
                bytes
            },
        );
        let noise = prop::collection::vec(any::<u8>(), 0..40);
        let part = prop_oneof![6 => message, 1 => noise];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_the_same(stream in stream(), pipe_len in 1..40_usize) {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (at_once, in_pieces) = runtime.block_on(async {
                let (mut client, ours) = tokio::io::duplex(pipe_len);
                let write = async {
                    // The reader may have had enough.
                    let _ = client.write_all(&stream).await;
                    drop(client);
                };
                let (in_pieces, ()) = tokio::join!(all(ours), write);
                (all(&*stream).await, in_pieces)
            });
            prop_assert_eq!(at_once, in_pieces);
        }
    }
}

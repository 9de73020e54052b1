//! What provider and tracker share as TCP servers: they serve a bounded number of connections,
//! each one request after the other, errors included. Not here: what is answered to a request,
//! which is the role's, and who has to go when all places are taken (`net/guests`).

mod requests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::net::guests::{Guests, Presence, accept};

pub(in crate::chunk) use requests::Request;
use requests::{End, Requests, Said};

use super::wire::{self, ErrorCode};

/// Connections served at once. Each costs a descriptor or two and some 12 KB, and 64 KB more
/// while it sends something long and senseless.
const CONNECTIONS_MAX: usize = 512;
/// Time in which a client has to take at least one byte of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// Time for a client to read the last answer, when the rest of what it sends is not read.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// What a server answers.
pub(super) trait Role: Send + Sync + 'static {
    /// Writes the answer to `request` and tells how many bytes that took, or tells which
    /// ERROR is the answer.
    ///
    /// # Errors
    /// When the connection can no longer be used: it is closed then.
    fn answer(
        &self,
        request: Request,
        stream: &TcpStream,
    ) -> impl Future<Output = io::Result<Result<u64, ErrorCode>>> + Send;
}

/// Serves everybody who connects until `end` is ready; connections are cut then.
pub(super) async fn serve<R: Role>(listener: TcpListener, role: R, end: impl Future<Output = ()>) {
    serve_at_most(CONNECTIONS_MAX, listener, role, end).await;
}

async fn serve_at_most<R: Role>(
    connections_max: usize,
    listener: TcpListener,
    role: R,
    end: impl Future<Output = ()>,
) {
    let role = Arc::new(role);
    let listeners = [listener];
    let mut guests = Guests::new(connections_max);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            (stream, address) = accept(&listeners) => {
                let role = role.clone();
                let serve = |presence| attend(role, stream, address, presence);
                if guests.admit(address, serve) {
                    debug!("too many connections; the longest idle one closed");
                }
            }
            () = guests.ended() => {}
        }
    }
}

/// What a connection came to.
#[derive(Default, Debug)]
struct Counts {
    answered: u64,
    sent_bytes: u64,
    refused: u64,
}

async fn attend<R: Role>(
    role: Arc<R>,
    mut stream: TcpStream,
    address: SocketAddr,
    presence: Presence,
) {
    // Answers are written whole; where this fails they are only slower.
    let _ = stream.set_nodelay(true);
    debug!(%address, "connected");
    let mut counts = Counts::default();
    let end = converse(&*role, &mut stream, &presence, &mut counts).await;
    let Counts { answered, sent_bytes, refused } = counts;
    info!(%address, answered, sent_bytes, refused, %end, "connection ended");
}

/// Answers requests until the connection is of no use any more; tells why.
async fn converse<R: Role>(
    role: &R,
    stream: &mut TcpStream,
    presence: &Presence,
    counts: &mut Counts,
) -> End {
    let (reader, writer) = stream.split();
    let mut requests = Requests::new(reader);
    let stream = writer.as_ref();
    let end = loop {
        let said = requests.next().await;
        let _busy = presence.busy();
        let code = match said {
            Ok(Said::Request(request)) => match role.answer(request, stream).await {
                Ok(Ok(sent_bytes)) => {
                    counts.answered += 1;
                    counts.sent_bytes += sent_bytes;
                    continue;
                }
                Ok(Err(code)) => {
                    debug!(?request, %code, "refused");
                    code
                }
                Err(error) => return End::Broken(error),
            },
            Ok(Said::NoRequest(kind)) => {
                debug!(?kind, "not a request for a server");
                ErrorCode::InvalidRequest
            }
            Ok(Said::Malformed(error)) => {
                debug!(%error, "malformed");
                ErrorCode::InvalidMessageFormat
            }
            Err(end) => break end,
        };
        counts.refused += 1;
        if let Err(error) = send(stream, &wire::error(code)).await {
            return End::Broken(error);
        }
    };
    if let End::Lost(error) = &end {
        debug!(%error, "malformed");
        counts.refused += 1;
        if send(stream, &wire::error(ErrorCode::InvalidMessageFormat)).await.is_ok() {
            farewell(stream).await;
        }
    }
    end
}

/// Ends a connection so that the client gets the last answer: closed with bytes unread, the
/// system would take the answer back.
async fn farewell(stream: &TcpStream) {
    // Where this fails the connection is gone already.
    let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let mut waste = [0; 1024];
    let until_closed = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut waste) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    // The client may go on for ever.
    let _ = timeout(FAREWELL_LIMIT, until_closed).await;
}

/// Sends all of `bytes`.
///
/// # Errors
/// When the connection broke, or the client took nothing for [`STALL_LIMIT`].
pub(super) async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = when_writable(stream, || stream.try_write(bytes)).await?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Calls `write` whenever `stream` takes bytes, until it says something else than
/// `WouldBlock`.
///
/// # Errors
/// `TimedOut` when the client took nothing for [`STALL_LIMIT`], and what `write` says.
pub(super) async fn when_writable<T>(
    stream: &TcpStream,
    mut write: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        let writable = timeout(STALL_LIMIT, stream.writable()).await;
        writable
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))??;
        match stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Answers GET_FILE_INFO with one byte, and knows no chunks.
    struct OneByte;

    impl Role for OneByte {
        async fn answer(
            &self,
            request: Request,
            stream: &TcpStream,
        ) -> io::Result<Result<u64, ErrorCode>> {
            match request {
                Request::FileInfo => send(stream, b"!").await.map(|()| Ok(1)),
                Request::Chunk(_) => Ok(Err(ErrorCode::ChunkNotFound)),
            }
        }
    }

    const GET_FILE_INFO: [u8; 8] = [1, 2, 0, 0, 0, 0, 0, 2];

    async fn start(connections_max: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_at_most(connections_max, listener, OneByte, std::future::pending()));
        address
    }

    async fn is_served(client: &mut TcpStream) -> bool {
        let mut answer = [0];
        // Closed at once, the connection may break while the request is sent.
        let _ = client.write_all(&GET_FILE_INFO).await;
        client.read_exact(&mut answer).await.is_ok()
    }

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room_for_one_too_many() {
        let address = start(2).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut first).await && is_served(&mut second).await);
        // The clock of idleness knows milliseconds.
        let later = async {
            sleep(Duration::from_millis(5)).await;
            is_served(&mut first).await
        };
        assert!(later.await);
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut third).await);
        assert!(!is_served(&mut second).await, "it was idle for longest");
        assert!(is_served(&mut first).await && is_served(&mut third).await);
    }

    #[tokio::test]
    async fn idle_connections_without_number_leave_room_for_those_who_ask() {
        let address = start(8).await;
        let mut idle = Vec::new();
        for _ in 0..50 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut client).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_let_go_and_one_that_asks_in_time_is_not() {
        let address = start(9).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            assert!(is_served(&mut client).await);
            sleep(Duration::from_secs(119)).await;
        }
        assert!(is_served(&mut client).await);
        let asked = Instant::now();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(asked.elapsed().as_secs(), 120);
    }

    #[tokio::test]
    async fn the_end_ends_every_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, OneByte, async {
            let _ = stopped.await;
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut client).await);
        drop(stop);
        timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
        assert!(!is_served(&mut client).await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}

//! Connections of a server: how many, how long, how slow. Not here: what is answered, and who
//! has to go when all places are taken (`net/guests`).

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::base::addr::canonical;
use crate::net::guests::{Busy, Guests, Presence, accept};

use super::paced::Paced;

/// Time for the head of a request, and for a connection to be idle before it.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Time for a client to take a byte of its answer.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// What the system holds of an answer: little enough that it tells soon what a client takes.
const SEND_BUFFER_LEN: usize = 128 << 10;
/// Time of a whole connection: enough for 10 MB over the slowest line that is waited for.
const LIFE_LIMIT: Duration = Duration::from_secs(600);
/// Requests of one connection.
const REQUESTS_MAX: u32 = 1000;
/// Bytes of a request's head: a scrape of 70 torrents has 5 KB.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Rest when the system has no descriptor left.
const REST: Duration = Duration::from_secs(1);
/// Time to finish what is being answered when the server ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that came.
    pub connections: AtomicU64,
    /// Connections that were ended to make room, or got none.
    pub evicted: AtomicU64,
    /// Requests with a head that could be read.
    pub requests: AtomicU64,
}

/// The address at which somebody connected to us, an extension of each request. Who it was is
/// axum's `ConnectInfo<SocketAddr>`.
#[derive(Clone, Copy, Debug)]
pub struct AskedAt(pub SocketAddr);

/// Serves everybody who connects, at most `connections_max` at once, until `end` is ready. What is
/// being answered then gets a second more.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    connections_max: usize,
    counters: Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let mut guests = Guests::new(connections_max);
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            (stream, remote) = accept(&listeners) => {
                bump(&counters.connections);
                let (router, told) = (router.clone(), counters.clone());
                let serve = |presence| attend(stream, remote, router, presence, told);
                if guests.admit(remote, serve) {
                    bump(&counters.evicted);
                }
            }
            () = guests.ended() => {}
        }
    }
    drop(listeners);
    guests.leave(FAREWELL).await;
}

/// The same on a Unix socket, whose peers have no address: all of them count as one host.
pub async fn serve_local(
    listener: UnixListener,
    router: Router,
    connections_max: usize,
    counters: Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let mut guests = Guests::new(connections_max);
    let mut end = std::pin::pin!(end);
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    bump(&counters.connections);
                    let (router, told) = (router.clone(), counters.clone());
                    let ends = (nowhere, nowhere);
                    let serve = |presence| answer_on(stream, ends, router, presence, told);
                    if guests.admit(nowhere, serve) {
                        bump(&counters.evicted);
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    sleep(REST).await;
                }
            },
            () = guests.ended() => {}
        }
    }
    drop(listener);
    guests.leave(FAREWELL).await;
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Serves one connection.
async fn attend(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    presence: Presence,
    counters: Arc<Counters>,
) {
    // Answers are written whole; where these fail they are only slower, or held for longer.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_LEN);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_LIMIT));
    // Where even this fails, the connection is gone.
    let Ok(asked_at) = stream.local_addr().map(canonical) else { return };
    answer_on(stream, (remote, asked_at), router, presence, counters).await;
}

/// Answers what comes on one connection, of which both ends are given: who asks, and where.
async fn answer_on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    (remote, asked_at): (SocketAddr, SocketAddr),
    router: Router,
    presence: Presence,
    counters: Arc<Counters>,
) {
    let requests = Arc::new(AtomicU32::new(0));
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        bump(&counters.requests);
        request.extensions_mut().insert(ConnectInfo(remote));
        request.extensions_mut().insert(AskedAt(asked_at));
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS_MAX;
        let answer = service.call(request.map(Body::new));
        let presence = presence.clone();
        let busy = presence.busy();
        async move {
            answer.await.map(|mut answer| {
                if is_last {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                answer.map(|body| Attended { body, presence, _busy: busy })
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Paced::new(stream)), service);
    match timeout(LIFE_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%remote, %error, "a connection broke"),
        Err(_) => debug!(%remote, "a connection took too long"),
    }
}

/// The body of an answer. Its connection is busy until all of it has been handed to the
/// system, and not only made.
struct Attended {
    body: Body,
    presence: Presence,
    _busy: Busy,
}

/// A part of an answer that is on its way.
struct Sending {
    part: Bytes,
    _busy: Busy,
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let busy = self.presence.busy();
        let send = |part| Bytes::from_owner(Sending { part, _busy: busy });
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(send))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_on_its_way_is_no_idleness() {
        let mut guests = Guests::new(1);
        let mut told = None;
        guests.admit(([10, 0, 0, 1], 1).into(), |presence| {
            told = Some(presence);
            std::future::pending()
        });
        let presence = told.unwrap();
        let (there, busy) = (presence.clone(), presence.busy());
        let mut body = Attended { body: Body::from("answer"), presence, _busy: busy };
        assert_eq!(body.size_hint().exact(), Some(6));
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let part = frame.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert!(there.is_busy() && part == "answer");
        drop(part);
        assert!(!there.is_busy());
    }
}

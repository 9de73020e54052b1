//! Connections of a server: how many, how long, how slow. Not here: what is answered, and who
//! has to go when all places are taken (`net/guests`).

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
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
/// Time of a whole connection: enough for 10 MB over the slowest line that is waited for. What
/// [lasts](Lasting) is not cut off by that.
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

/// An answer that goes on for as long as it is read, an extension of it: the time of a connection
/// does not end it.
#[derive(Clone, Copy, Debug)]
pub struct Lasting;

/// The ends of a connection: who asks, and where.
#[derive(Clone, Copy, Debug)]
struct Ends {
    remote: SocketAddr,
    asked_at: SocketAddr,
}

/// Serves everybody who connects, at most `connections_max` at once, until `end` is ready. What is
/// being answered then gets a second more.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    connections_max: usize,
    counters: Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let counted = counters.clone();
    let next = async move || {
        loop {
            let (stream, remote) = accept(&listeners).await;
            bump(&counted.connections);
            // Answers are written whole; where these fail they are only slower, or held for longer.
            let _ = stream.set_nodelay(true);
            let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_LEN);
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_LIMIT));
            // Where even this fails, the connection is gone.
            if let Ok(asked_at) = stream.local_addr().map(canonical) {
                return (stream, Ends { remote, asked_at });
            }
        }
    };
    serve_each(next, router, connections_max, &counters, end).await;
}

/// The same on a Unix socket, whose peers have no address: each process counts as a host.
pub async fn serve_local(
    listener: UnixListener,
    router: Router,
    connections_max: usize,
    counters: Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let counted = counters.clone();
    let next = async move || {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    bump(&counted.connections);
                    let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    let remote = address_of(process);
                    return (stream, Ends { remote, asked_at: address_of(None) });
                }
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    sleep(REST).await;
                }
            }
        }
    };
    serve_each(next, router, connections_max, &counters, end).await;
}

/// What a process of this machine is told apart by where others have an address: none of those has
/// this one (RFC 4193).
fn address_of(process: Option<i32>) -> SocketAddr {
    let Some(process) = process else { return (Ipv4Addr::UNSPECIFIED, 0).into() };
    let [a, b, c, d] = process.to_be_bytes().map(u16::from);
    (Ipv6Addr::from([0xfdff, 0xffff, a << 8 | b, c << 8 | d, 0, 0, 0, 1]), 0).into()
}

/// Serves each connection that is `next`, which may be dropped at any time and holds the listeners.
async fn serve_each<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut next: impl AsyncFnMut() -> (S, Ends),
    router: Router,
    connections_max: usize,
    counters: &Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let mut guests = Guests::new(connections_max);
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            (stream, ends) = next() => {
                let (router, told) = (router.clone(), counters.clone());
                let serve = |presence| answer_on(stream, ends, router, presence, told);
                if guests.admit(ends.remote, serve) {
                    bump(&counters.evicted);
                }
            }
            () = guests.ended() => {}
        }
    }
    drop(next);
    guests.leave(FAREWELL).await;
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Answers what comes on one connection.
async fn answer_on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    Ends { remote, asked_at }: Ends,
    router: Router,
    presence: Presence,
    counters: Arc<Counters>,
) {
    let (requests, lasting) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let lasts = lasting.clone();
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        bump(&counters.requests);
        request.extensions_mut().insert(ConnectInfo(remote));
        request.extensions_mut().insert(AskedAt(asked_at));
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS_MAX;
        let answer = service.call(request.map(Body::new));
        let (presence, lasting) = (presence.clone(), lasting.clone());
        let busy = presence.busy();
        async move {
            answer.await.map(|mut answer| {
                if is_last {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let lasts = answer.extensions().get::<Lasting>().map(|_| Lasts::begin(lasting));
                answer.map(|body| Attended { body, presence, _busy: busy, _lasts: lasts })
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Paced::new(stream)), service);
    let life = async {
        sleep(LIFE_LIMIT).await;
        while lasts.load(Ordering::Relaxed) > 0 {
            sleep(LIFE_LIMIT).await;
        }
    };
    tokio::select! {
        ended = connection => match ended {
            Ok(()) => {}
            Err(error) => debug!(%remote, %error, "a connection broke"),
        },
        () = life => debug!(%remote, "a connection took too long"),
    }
}

/// An answer that goes on, until this is dropped.
struct Lasts(Arc<AtomicU32>);

impl Lasts {
    fn begin(lasting: Arc<AtomicU32>) -> Self {
        lasting.fetch_add(1, Ordering::Relaxed);
        Self(lasting)
    }
}

impl Drop for Lasts {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer. Its connection is busy until all of it has been handed to the
/// system, and not only made.
struct Attended {
    body: Body,
    presence: Presence,
    _busy: Busy,
    _lasts: Option<Lasts>,
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

    #[test]
    fn processes_are_told_apart_as_hosts_are() {
        let hosts = [Some(1), Some(2), Some(1 << 16), Some(i32::MAX), None];
        let hosts = hosts.map(|process| crate::base::addr::host_key(address_of(process).ip()));
        for (at, host) in hosts.iter().enumerate() {
            assert_eq!(hosts.iter().filter(|it| *it == host).count(), 1, "{at}");
        }
        assert_eq!(address_of(Some(7)), address_of(Some(7)));
    }

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
        let mut body = Attended { body: Body::from("answer"), presence, _busy: busy, _lasts: None };
        assert_eq!(body.size_hint().exact(), Some(6));
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let part = frame.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert!(there.is_busy() && part == "answer");
        drop(part);
        assert!(!there.is_busy());
    }
}

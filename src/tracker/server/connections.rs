//! TCP connections of the tracker: how many, how long, how slow. Any number of idle or slow
//! clients leaves room for those who ask: when all places are taken, the oldest connection
//! that is not being answered has to go. Not here: what is answered.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::counters::{Counters, bump};

/// Connections at once, below the 1024 descriptors that a process usually may have.
const CONNECTIONS_MAX: usize = 800;
/// Time for the head of a request, and for a connection to be idle before it.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Time for a client to take a byte of its answer.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// Time of a whole connection: enough for the largest torrent over the slowest line.
const LIFE_LIMIT: Duration = Duration::from_secs(600);
/// Requests of one connection.
const REQUESTS_MAX: u32 = 1000;
/// Bytes of a request's head: a scrape of 70 torrents has 5 KB.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Time to finish what is being answered when the tracker ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// Rest when the system has no descriptor left, instead of spinning.
const REST: Duration = Duration::from_secs(1);
/// Accepted connections that wait for the one who keeps the places.
const ACCEPTED_LEN: usize = 16;

/// Serves everybody who connects until `end` is ready.
pub(super) async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    counters: Arc<Counters>,
    end: impl Future<Output = ()>,
) {
    let (accepted, mut arrivals) = mpsc::channel(ACCEPTED_LEN);
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(accept(listener, accepted.clone()));
    }
    drop(accepted);
    let mut places = Places::default();
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some((stream, remote)) = arrivals.recv() => {
                bump(&counters.http_connections);
                places.make_room(&counters);
                places.take(stream, remote, router.clone(), counters.clone());
            }
            Some(_) = places.tasks.join_next(), if !places.tasks.is_empty() => {}
        }
    }
    drop(doors);
    places.leave().await;
}

async fn accept(listener: TcpListener, accepted: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(connection) => {
                if accepted.send(connection).await.is_err() {
                    return;
                }
            }
            // That client's affair: the next one may be waiting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(REST).await;
            }
        }
    }
}

/// The connections, the oldest first.
#[derive(Default)]
struct Places {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<Place>,
}

struct Place {
    task: AbortHandle,
    /// Requests that are being answered.
    busy: Arc<AtomicU32>,
}

impl Places {
    fn make_room(&mut self, counters: &Counters) {
        if self.tasks.len() < CONNECTIONS_MAX {
            return;
        }
        self.oldest_first.retain(|place| !place.task.is_finished());
        let is_idle = |place: &Place| place.busy.load(Ordering::Relaxed) == 0;
        // All of them busy is a matter of moments; the oldest then has had its time.
        let position = self.oldest_first.iter().position(is_idle).unwrap_or(0);
        if let Some(place) = self.oldest_first.remove(position) {
            bump(&counters.http_evicted);
            place.task.abort();
        }
    }

    fn take(
        &mut self,
        stream: TcpStream,
        remote: SocketAddr,
        router: Router,
        counters: Arc<Counters>,
    ) {
        let busy = Arc::new(AtomicU32::new(0));
        let task = self.tasks.spawn(attend(stream, remote, router, busy.clone(), counters));
        self.oldest_first.push_back(Place { task, busy });
        // Those who ended by themselves leave the queue here, a few at a time.
        while self.oldest_first.front().is_some_and(|place| place.task.is_finished()) {
            self.oldest_first.pop_front();
        }
        if self.oldest_first.len() > 2 * CONNECTIONS_MAX {
            self.oldest_first.retain(|place| !place.task.is_finished());
        }
    }

    /// Ends the idle at once, and the others when they are done or their time is over.
    async fn leave(mut self) {
        for place in &self.oldest_first {
            if place.busy.load(Ordering::Relaxed) == 0 {
                place.task.abort();
            }
        }
        let done = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is cut off.
        let _ = timeout(FAREWELL, done).await;
        self.tasks.shutdown().await;
    }
}

/// Serves one connection.
async fn attend(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    busy: Arc<AtomicU32>,
    counters: Arc<Counters>,
) {
    // Answers are written whole; where these fail they are only slower, or held for longer.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_LIMIT));
    let requests = Arc::new(AtomicU32::new(0));
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        bump(&counters.http_requests);
        request.extensions_mut().insert(ConnectInfo(remote));
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS_MAX;
        let answer = service.call(request.map(Body::new));
        let busy = Busy::new(busy.clone());
        async move {
            let answer = answer.await;
            drop(busy);
            answer.map(|mut answer| {
                if is_last {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                answer
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LIFE_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%remote, %error, "a connection broke"),
        Err(_) => debug!(%remote, "a connection took too long"),
    }
}

/// Counts a request while it is being answered.
struct Busy(Arc<AtomicU32>);

impl Busy {
    fn new(busy: Arc<AtomicU32>) -> Self {
        busy.fetch_add(1, Ordering::Relaxed);
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

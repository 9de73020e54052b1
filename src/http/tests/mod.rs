//! The room over real sockets: a server of its own, and clients that send bytes written by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::answer::{Refused, nothing_here, protect};
use super::body::{BodyError, Scales, Upload, Weight, drain};
use super::connections::{AskedAt, Counters, Lasting, serve};

mod bodies;
mod connections;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// What uploads may be here, of which two fit the budget.
const UPLOAD: Upload = Upload { len_max: 64 << 10, within: Duration::from_secs(20) };
const BUDGET: usize = 160 << 10;

/// A running server; it ends when this is dropped.
struct Served {
    address: SocketAddr,
    counters: Arc<Counters>,
    scales: Scales,
    /// Somebody has asked for `/held`, and gets his answer when the second is told.
    asked: Arc<Notify>,
    go_on: Arc<Notify>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What the routes know.
#[derive(Clone)]
struct Known {
    scales: Scales,
    asked: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Served {
    async fn start(connections_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (counters, scales) = (Arc::new(Counters::default()), Scales::new(BUDGET));
        let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let known = Known { scales: scales.clone(), asked: asked.clone(), go_on: go_on.clone() };
        let end = async {
            let _ = stopped.await;
        };
        let (router, told) = (router(known), counters.clone());
        let task = tokio::spawn(serve(vec![listener], router, connections_max, told, end));
        Self { address, counters, scales, asked, go_on, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has sent this.
    async fn sent(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// The answer to what is sent.
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.sent(head).await;
        // A server that has heard enough may close while we still send.
        let _ = stream.write_all(body).await;
        Answer::read(&mut stream).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n"), b"").await
    }

    fn counts(&self) -> [u64; 3] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { connections, evicted, requests } = &*self.counters;
        [read(connections), read(evicted), read(requests)]
    }
}

/// An answer as it came, until the connection ended.
#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Self {
        let mut body = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut body)).await.unwrap().unwrap();
        let end = body.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&body)));
        let rest = body.split_off(end + 4);
        Self { head: String::from_utf8(body).unwrap(), body: rest }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Whether a connection ends with nothing more to be read.
async fn is_gone(stream: &mut TcpStream) -> bool {
    // The system may tell it as a reset.
    timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap().unwrap_or(0) == 0
}

fn router(known: Known) -> Router {
    Router::new()
        .route("/", get(who))
        .route("/held", get(held))
        .route("/stream", get(stream))
        .route("/upload", put(upload))
        .fallback(nothing_here)
        .layer(map_response(protect))
        .with_state(known)
}

async fn who(
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Extension(AskedAt(address)): Extension<AskedAt>,
) -> String {
    format!("{remote} asks {address}")
}

async fn held(State(known): State<Known>) -> &'static str {
    known.asked.notify_one();
    known.go_on.notified().await;
    "at last"
}

/// A byte a minute, for as long as it is read.
async fn stream() -> Response {
    let (mut send, parts) = tokio::io::duplex(1);
    tokio::spawn(async move {
        while send.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    });
    let mut answer = Response::new(Body::new(Drip(parts)));
    answer.extensions_mut().insert(Lasting);
    answer
}

/// A body of single bytes that are still to come.
struct Drip(tokio::io::DuplexStream);

impl axum::body::HttpBody for Drip {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        use tokio::io::AsyncRead as _;
        let mut byte = [0];
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let read = std::pin::Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        let part = axum::body::Bytes::copy_from_slice(buffer.filled());
        read.map(|read| match read {
            Ok(()) if part.is_empty() => None,
            read => Some(read.map(|()| hyper::body::Frame::data(part))),
        })
    }
}

async fn upload(State(known): State<Known>, request: Request) -> Response {
    let mut body = request.into_body();
    match known.scales.receive(&mut body, UPLOAD).await {
        Ok((bytes, _weight)) => bytes.len().to_string().into_response(),
        Err(error) => {
            drain(body);
            let status = match error {
                BodyError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                BodyError::Broken => StatusCode::BAD_REQUEST,
                BodyError::Late => StatusCode::REQUEST_TIMEOUT,
            };
            Refused::new(status, format!("{error:?}")).into_response()
        }
    }
}

//! The embedded tracker: `/announce` over HTTP, for `driver demo`, tests and small circles.
//! It keeps no accounts, no statistics and no UDP; its memory is [`super::table`].
//! Source: BEP 3, BEP 7 (`peers6`), BEP 23 (compact), BEP 24 (external address).

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::base::addr::{canonical_ip, write_compact};
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::Event;
use crate::tracker::table::{Arrival, SwarmTable, SwarmView, TableFull, TableLimits};

/// Longest query we read; ours has about 300 bytes.
const MAX_QUERY_LEN: usize = 2048;

/// Announces waiting for the table. More than that makes a client wait, not memory grow.
const QUEUE_LEN: usize = 256;

/// How the tracker behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Seconds between announces that clients are told.
    pub interval_s: u64,
    /// Seconds clients have to leave between announces, if any.
    pub min_interval_s: Option<u64>,
    /// Bounds of its memory.
    pub limits: TableLimits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { interval_s: 1800, min_interval_s: None, limits: TableLimits::default() }
    }
}

/// Serves announces on `listener` until `shutdown` is ready.
///
/// # Errors
/// What the listener reports.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (table, arrivals) = mpsc::channel(QUEUE_LEN);
    let keeper = tokio::spawn(keep_table(config.limits.clone(), arrivals));
    let router =
        Router::new().route("/announce", get(announce)).with_state(Front { config, table });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(shutdown).await;
    keeper.abort();
    served
}

type Errand = (Arrival, oneshot::Sender<Result<SwarmView, TableFull>>);

#[derive(Clone)]
struct Front {
    config: ServerConfig,
    table: mpsc::Sender<Errand>,
}

/// The table's only owner.
async fn keep_table(limits: TableLimits, mut arrivals: mpsc::Receiver<Errand>) {
    let mut table = SwarmTable::new(limits, StdRng::from_rng(&mut rand::rng()));
    while let Some((arrival, answer)) = arrivals.recv().await {
        let view = table.announce(&arrival, Instant::now());
        // A client that hung up needs no answer.
        let _ = answer.send(view);
    }
}

async fn announce(
    State(front): State<Front>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let body = match parse_query(query.as_deref().unwrap_or(""), remote.ip()) {
        Ok(query) => front.answer(query).await,
        Err(reason) => failure(reason),
    };
    ([(CONTENT_TYPE, "text/plain")], body)
}

impl Front {
    async fn answer(&self, query: Query) -> Vec<u8> {
        let (answer, view) = oneshot::channel();
        if self.table.send((query.arrival.clone(), answer)).await.is_err() {
            return failure("this tracker is shutting down");
        }
        match view.await {
            Ok(Ok(view)) => write_reply(&self.config, &query, &view),
            Ok(Err(full)) => failure(&full.to_string()),
            Err(_) => failure("this tracker is shutting down"),
        }
    }
}

struct Query {
    arrival: Arrival,
    is_compact: bool,
    with_peer_id: bool,
}

fn parse_query(query: &str, remote: IpAddr) -> Result<Query, &'static str> {
    if query.len() > MAX_QUERY_LEN {
        return Err("the announce is too long");
    }
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let hash = |name| {
        let bytes = urlencoding::decode_binary(field(name)?.as_bytes());
        <[u8; 20]>::try_from(&*bytes).ok()
    };
    let info_hash = hash("info_hash").ok_or("info_hash is missing or not 20 bytes")?;
    let peer_id = hash("peer_id").ok_or("peer_id is missing or not 20 bytes")?;
    let port = field("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 0);
    let port = port.ok_or("port is missing or not between 1 and 65535")?;
    let left = field("left").map(|left| left.parse::<u64>().map_err(|_| "left is not a number"));
    let left = left.transpose()?.unwrap_or(1);
    let event = match field("event") {
        None | Some("" | "empty") => None,
        Some("started") => Some(Event::Started),
        Some("completed") => Some(Event::Completed),
        Some("stopped") => Some(Event::Stopped),
        Some(_) => return Err("event is not started, completed or stopped"),
    };
    let arrival = Arrival {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(peer_id),
        address: SocketAddr::new(canonical_ip(remote), port),
        is_seed: left == 0,
        event,
        numwant: field("numwant").and_then(|count| count.parse().ok()),
    };
    // BEP 23: "compact=0" asks for the long form; clients that say nothing get the short one.
    let is_compact = field("compact") != Some("0");
    Ok(Query { arrival, is_compact, with_peer_id: field("no_peer_id") != Some("1") })
}

fn failure(reason: &str) -> Vec<u8> {
    let mut out = b"d".to_vec();
    push_bytes(&mut out, b"failure reason");
    push_bytes(&mut out, reason.as_bytes());
    out.push(b'e');
    out
}

/// Keys in the order bencoding demands.
fn write_reply(config: &ServerConfig, query: &Query, view: &SwarmView) -> Vec<u8> {
    let mut out = b"d".to_vec();
    push_number(&mut out, "complete", view.complete as u64);
    push_bytes(&mut out, b"external ip");
    match query.arrival.address.ip() {
        IpAddr::V4(v4) => push_bytes(&mut out, &v4.octets()),
        IpAddr::V6(v6) => push_bytes(&mut out, &v6.octets()),
    }
    push_number(&mut out, "incomplete", view.incomplete as u64);
    push_number(&mut out, "interval", config.interval_s);
    if let Some(min_interval_s) = config.min_interval_s {
        push_number(&mut out, "min interval", min_interval_s);
    }
    if query.is_compact {
        push_compact(&mut out, view);
    } else {
        push_long(&mut out, view, query.with_peer_id);
    }
    out.push(b'e');
    out
}

fn push_compact(out: &mut Vec<u8>, view: &SwarmView) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for peer in &view.peers {
        let list = if peer.address.is_ipv4() { &mut four } else { &mut six };
        write_compact(peer.address, list);
    }
    push_bytes(out, b"peers");
    push_bytes(out, &four);
    if !six.is_empty() {
        push_bytes(out, b"peers6");
        push_bytes(out, &six);
    }
}

fn push_long(out: &mut Vec<u8>, view: &SwarmView, with_peer_id: bool) {
    push_bytes(out, b"peers");
    out.push(b'l');
    for peer in &view.peers {
        out.push(b'd');
        push_bytes(out, b"ip");
        push_bytes(out, peer.address.ip().to_string().as_bytes());
        if with_peer_id {
            push_bytes(out, b"peer id");
            push_bytes(out, &peer.peer_id.0);
        }
        push_number(out, "port", peer.address.port().into());
        out.push(b'e');
    }
    out.push(b'e');
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

fn push_number(out: &mut Vec<u8>, key: &str, number: u64) {
    push_bytes(out, key.as_bytes());
    out.extend_from_slice(format!("i{number}e").as_bytes());
}

//! `/announce`: the query read, the reply written. Not here: who is in the swarm.
//! Source: BEP 3, BEP 7 (`peers6`), BEP 23 (compact), BEP 24 (external address), BEP 31.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use tokio::sync::oneshot;

use crate::base::addr::{canonical, write_compact};
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::Event;
use crate::tracker::table::Arrival;

use super::config::ServerConfig;
use super::counters::bump;
use super::front::Front;
use super::keeper::{Announced, Errand, Refusal};

/// Longest query that is read; ours has about 300 bytes.
const MAX_QUERY_LEN: usize = 2048;

/// Answers an announce.
pub(super) async fn answer(
    State(front): State<Arc<Front>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    bump(&front.counters.announces_http);
    let body = match parse(query.as_deref().unwrap_or(""), remote.ip()) {
        Ok(query) => front.announce(query).await,
        Err(reason) => failure(reason, None),
    };
    if body.starts_with(FAILURE) {
        bump(&front.counters.refused);
    }
    ([(CONTENT_TYPE, "text/plain")], body)
}

impl Front {
    async fn announce(&self, query: Query) -> Vec<u8> {
        let ending = || failure("this tracker is shutting down", Some(1));
        let (answer, announced) = oneshot::channel();
        let Query { arrival, is_compact, with_peer_id } = query;
        let ip = canonical(arrival.address).ip();
        if self.keeper.send(Errand::Announce(arrival, answer)).await.is_err() {
            return ending();
        }
        match announced.await {
            Ok(Ok(announced)) => {
                let mut out = write_head(&self.config, ip, &announced);
                match is_compact {
                    true => push_compact(&mut out, &announced),
                    false => push_long(&mut out, &announced, with_peer_id),
                }
                out.push(b'e');
                out
            }
            Ok(Err(refusal)) => refused(refusal),
            Err(_) => ending(),
        }
    }
}

struct Query {
    arrival: Arrival,
    is_compact: bool,
    with_peer_id: bool,
}

/// Reads a query. `ip` and the like are not read: they would let anybody announce somebody
/// else. Nor is `key`: a peer is known by its address, which nobody can claim.
fn parse(query: &str, remote: IpAddr) -> Result<Query, &'static str> {
    if query.len() > MAX_QUERY_LEN {
        return Err("the announce is too long");
    }
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let hash = |name| field(name).and_then(twenty_bytes);
    let info_hash = hash("info_hash").ok_or("info_hash is missing or not 20 bytes")?;
    let peer_id = hash("peer_id").ok_or("peer_id is missing or not 20 bytes")?;
    let port = field("port").and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or("port is missing or not between 0 and 65535")?;
    let left = field("left").map(|left| left.parse::<u64>().map_err(|_| "left is not a number"));
    let left = left.transpose()?.unwrap_or(u64::MAX);
    let event = match field("event") {
        // A client that is content with a part says "paused" each time.
        None | Some("" | "empty" | "paused") => None,
        Some("started") => Some(Event::Started),
        Some("completed") => Some(Event::Completed),
        Some("stopped") => Some(Event::Stopped),
        Some(_) => return Err("event is not started, completed or stopped"),
    };
    let arrival = Arrival {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(peer_id),
        address: SocketAddr::new(remote, port),
        left,
        event,
        numwant: field("numwant").and_then(|count| count.parse().ok()),
        own_family_only: false,
    };
    // BEP 23: "compact=0" asks for the long form; clients that say nothing get the short one.
    let is_compact = field("compact") != Some("0");
    Ok(Query { arrival, is_compact, with_peer_id: field("no_peer_id") != Some("1") })
}

/// Twenty bytes with percent escapes.
pub(super) fn twenty_bytes(value: &str) -> Option<[u8; 20]> {
    <[u8; 20]>::try_from(&*urlencoding::decode_binary(value.as_bytes())).ok()
}

/// How a failure begins.
const FAILURE: &[u8] = b"d14:failure reason";

/// A failure, and the minutes after which to come back.
pub(super) fn failure(reason: &str, retry_in_min: Option<u64>) -> Vec<u8> {
    let mut out = FAILURE.to_vec();
    push_bytes(&mut out, reason.as_bytes());
    if let Some(minutes) = retry_in_min {
        // BEP 31's example is a string, and clients read both.
        push_bytes(&mut out, b"retry in");
        push_bytes(&mut out, minutes.to_string().as_bytes());
    }
    out.push(b'e');
    out
}

/// A failure that the table is the reason of.
fn refused(refusal: Refusal) -> Vec<u8> {
    failure(&refusal.to_string(), Some(refusal.retry_in_min()))
}

/// Keys in the order bencoding demands.
fn write_head(config: &ServerConfig, ip: IpAddr, announced: &Announced) -> Vec<u8> {
    let mut out = b"d".to_vec();
    push_number(&mut out, "complete", announced.counts.complete.into());
    push_number(&mut out, "downloaded", announced.counts.downloaded.into());
    push_bytes(&mut out, b"external ip");
    match ip {
        IpAddr::V4(v4) => push_bytes(&mut out, &v4.octets()),
        IpAddr::V6(v6) => push_bytes(&mut out, &v6.octets()),
    }
    push_number(&mut out, "incomplete", announced.counts.incomplete.into());
    push_number(&mut out, "interval", config.interval_s.into());
    if let Some(min_interval_s) = config.min_interval_s {
        push_number(&mut out, "min interval", min_interval_s.into());
    }
    out
}

fn push_compact(out: &mut Vec<u8>, announced: &Announced) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for peer in &announced.peers {
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

fn push_long(out: &mut Vec<u8>, announced: &Announced, with_peer_id: bool) {
    push_bytes(out, b"peers");
    out.push(b'l');
    for peer in &announced.peers {
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

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn push_number(out: &mut Vec<u8>, key: &str, number: u64) {
    push_bytes(out, key.as_bytes());
    out.extend_from_slice(format!("i{number}e").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_queries() {
        let remote = IpAddr::from([192, 0, 2, 1]);
        crate::fuzz::run("tracker_query", |bytes| {
            if let Ok(query) = parse(&String::from_utf8_lossy(bytes), remote) {
                assert_eq!(query.arrival.address.ip(), remote, "nobody announces somebody else");
            }
        });
    }
}

//! `/stats` and `/metrics`: the tracker in numbers, as JSON and for Prometheus. Source: the
//! text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::answer::json_answer;
use crate::tracker::table::TableCounts;

use super::counters::read;
use super::front::Front;

/// Answers `/stats`.
pub(super) async fn json(State(front): State<Arc<Front>>) -> Response {
    let Some(table) = front.totals().await else { return front.ending() };
    let counters = &front.counters;
    let peers = table.peers_v4 + table.peers_v6;
    let stats = json!({
        "uptime": front.began_at.elapsed().as_secs(),
        "interval": front.config.interval_s,
        "torrents": table.swarms,
        "peers": peers,
        "peers_v4": table.peers_v4,
        "peers_v6": table.peers_v6,
        "seeds": table.seeds,
        "leeches": peers - table.seeds,
        "table_bytes": table.memory_bytes,
        "catalogue": front.catalogued(),
        "announces": {
            "http": read(&counters.announces_http), "udp": read(&counters.announces_udp),
        },
        "scrapes": { "http": read(&counters.scrapes_http), "udp": read(&counters.scrapes_udp) },
        "refused": read(&counters.refused),
        "udp": {
            "connects": read(&counters.udp_connects),
            "forged": read(&counters.udp_forged),
            "noise": read(&counters.udp_noise),
            "dropped": read(&counters.udp_dropped),
        },
        "http": {
            "connections": read(&counters.http.connections),
            "evicted": read(&counters.http.evicted),
            "requests": read(&counters.http.requests),
        },
    });
    json_answer(StatusCode::OK, &stats)
}

/// Answers `/metrics`.
pub(super) async fn metrics(State(front): State<Arc<Front>>) -> Response {
    let Some(table) = front.totals().await else { return front.ending() };
    let text = exposition(&front, &table);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

impl Front {
    /// The table's counts, as they were lately.
    pub(super) async fn totals(&self) -> Option<TableCounts> {
        self.totals.get(|_| true).await
    }

    fn catalogued(&self) -> usize {
        self.desk.as_ref().map_or(0, |desk| desk.catalogue.borrow().len())
    }
}

fn exposition(front: &Front, table: &TableCounts) -> String {
    let counters = &front.counters;
    let leeches = table.peers_v4 + table.peers_v6 - table.seeds;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP pigeon_tracker_{name} {help}");
        let _ = writeln!(text, "# TYPE pigeon_tracker_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "pigeon_tracker_{name}{labels} {value}");
        }
    };
    let uptime = front.began_at.elapsed().as_secs();
    family("uptime_seconds", "gauge", "Time since the start.", &[("", uptime)]);
    family("torrents", "gauge", "Torrents with peers.", &[("", table.swarms as u64)]);
    let catalogued = front.catalogued() as u64;
    family("catalogue_torrents", "gauge", "Registered torrents.", &[("", catalogued)]);
    family(
        "peers",
        "gauge",
        "Peers by address family.",
        &[
            ("{family=\"ipv4\"}", table.peers_v4 as u64),
            ("{family=\"ipv6\"}", table.peers_v6 as u64),
        ],
    );
    family("seeds", "gauge", "Peers that lack nothing.", &[("", table.seeds as u64)]);
    family("leeches", "gauge", "Peers that lack something.", &[("", leeches as u64)]);
    let memory = table.memory_bytes as u64;
    family("table_bytes", "gauge", "Memory of the peer table.", &[("", memory)]);
    let both =
        |http, udp| [("{transport=\"http\"}", read(http)), ("{transport=\"udp\"}", read(udp))];
    let announces = both(&counters.announces_http, &counters.announces_udp);
    family("announces_total", "counter", "Announces.", &announces);
    let scrapes = both(&counters.scrapes_http, &counters.scrapes_udp);
    family("scrapes_total", "counter", "Scrapes.", &scrapes);
    let refused = read(&counters.refused);
    family("refused_total", "counter", "Announces and scrapes refused.", &[("", refused)]);
    let datagrams = [
        ("{outcome=\"connected\"}", read(&counters.udp_connects)),
        ("{outcome=\"forged\"}", read(&counters.udp_forged)),
        ("{outcome=\"noise\"}", read(&counters.udp_noise)),
        ("{outcome=\"dropped\"}", read(&counters.udp_dropped)),
    ];
    family("udp_datagrams_total", "counter", "Datagrams that are no requests.", &datagrams);
    let connections = read(&counters.http.connections);
    family("http_connections_total", "counter", "TCP connections.", &[("", connections)]);
    let evicted = read(&counters.http.evicted);
    family("http_evicted_total", "counter", "Connections ended for others.", &[("", evicted)]);
    let requests = read(&counters.http.requests);
    family("http_requests_total", "counter", "HTTP requests.", &[("", requests)]);
    text
}

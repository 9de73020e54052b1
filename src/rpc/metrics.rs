//! Numbers for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::api::{Answer, Standing};

/// The answer to `/metrics`.
pub(super) fn answer(standing: &Answer) -> Response {
    let text = match standing {
        Answer::Session(standing) => write(standing),
        _ => String::new(),
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn write(standing: &Standing) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    gauge("pigeon_uptime_seconds", "Time since the start.", standing.uptime_s);
    gauge("pigeon_torrents", "Torrents.", standing.torrents.into());
    gauge("pigeon_torrents_downloading", "Those that download.", standing.downloading.into());
    gauge("pigeon_torrents_seeding", "Those that seed.", standing.seeding.into());
    gauge("pigeon_torrents_in_trouble", "Those in trouble.", standing.in_trouble.into());
    gauge("pigeon_down_bytes_per_second", "Payload received.", standing.down_rate);
    gauge("pigeon_up_bytes_per_second", "Payload sent.", standing.up_rate);
    gauge("pigeon_searches", "Links whose metadata is sought.", standing.seeking.into());
    let dht = standing.dht_nodes.map(u64::from);
    for (name, help, value) in [
        ("pigeon_dht_nodes", "Nodes of the DHT that answer.", dht),
        ("pigeon_free_bytes", "Free where torrents go.", standing.free_bytes),
    ] {
        if let Some(value) = value {
            gauge(name, help, value);
        }
    }
    let is_kept = u64::from(standing.trouble.is_none());
    gauge("pigeon_changes_are_kept", "1 while changes reach the disk.", is_kept);
    text
}

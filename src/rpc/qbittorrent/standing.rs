//! How the session stands as this dialect has it: `server_state` of `sync/maindata`, and
//! `transfer/info`, which is a part of it. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::{Standing, Torrent};

use super::mapping::whole;

/// How often a page should ask, in milliseconds; as the original has it.
pub(super) const REFRESH_MS: u32 = 1500;
/// The keys of `transfer/info`.
const TRANSFER: [&str; 10] = [
    "connection_status",
    "dht_nodes",
    "dl_info_data",
    "dl_info_speed",
    "dl_rate_limit",
    "last_external_address_v4",
    "last_external_address_v6",
    "up_info_data",
    "up_info_speed",
    "up_rate_limit",
];

/// What all torrents come to, kept right as they change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    down_rate: u64,
    up_rate: u64,
    peers: u64,
    /// Bytes in the lives of those that are here, and of those that have left in this run.
    received: u64,
    sent: u64,
    /// What of those was there when they were seen first in this run.
    received_before: u64,
    sent_before: u64,
}

impl Sums {
    /// A torrent changes, comes or leaves.
    pub fn count(&mut self, before: Option<&Torrent>, after: Option<&Torrent>) {
        let add = |sum: &mut u64, of: fn(&Torrent) -> u64| {
            let rest = sum.saturating_sub(before.map_or(0, of));
            *sum = rest.saturating_add(after.map_or(0, of));
        };
        add(&mut self.down_rate, |it| it.down_rate);
        add(&mut self.up_rate, |it| it.up_rate);
        add(&mut self.peers, |it| it.peers.into());
        // What one that leaves has moved was moved all the same.
        let Some(after) = after else { return };
        let old = before.map(|it| (it.received_bytes, it.sent_bytes));
        if old.is_none() {
            self.received_before = self.received_before.saturating_add(after.received_bytes);
            self.sent_before = self.sent_before.saturating_add(after.sent_bytes);
        }
        let (received, sent) = old.unwrap_or_default();
        let more = |now: u64, then: u64| now.saturating_sub(then);
        self.received = self.received.saturating_add(more(after.received_bytes, received));
        self.sent = self.sent.saturating_add(more(after.sent_bytes, sent));
    }
}

/// All that is said of the session. Numbers that are texts are so in the original.
pub(super) fn values(standing: &Standing, sums: &Sums) -> BTreeMap<&'static str, Value> {
    let limit = |limit: Option<u64>| json!(limit.map_or(0, whole));
    let ratio = match sums.received {
        0 => "-".to_owned(),
        received => format!("{:.2}", sums.sent as f64 / received as f64),
    };
    let status = if standing.port == 0 { "disconnected" } else { "connected" };
    BTreeMap::from([
        ("alltime_dl", json!(whole(sums.received))),
        ("alltime_ul", json!(whole(sums.sent))),
        ("average_time_queue", json!(0)),
        ("connection_status", json!(status)),
        ("dht_nodes", json!(standing.dht_nodes.unwrap_or_default())),
        ("dl_info_data", json!(whole(sums.received.saturating_sub(sums.received_before)))),
        ("dl_info_speed", json!(whole(sums.down_rate))),
        ("dl_rate_limit", limit(standing.limits_now.down)),
        ("free_space_on_disk", json!(whole(standing.free_bytes.unwrap_or_default()))),
        ("global_ratio", json!(ratio)),
        ("last_external_address_v4", json!("")),
        ("last_external_address_v6", json!("")),
        ("queued_io_jobs", json!(0)),
        ("queueing", json!(true)),
        ("read_cache_hits", json!("0")),
        ("read_cache_overload", json!("0")),
        ("refresh_interval", json!(REFRESH_MS)),
        ("total_buffers_size", json!(0)),
        ("total_peer_connections", json!(sums.peers)),
        ("total_queued_size", json!(0)),
        ("total_wasted_session", json!(0)),
        ("up_info_data", json!(whole(sums.sent.saturating_sub(sums.sent_before)))),
        ("up_info_speed", json!(whole(sums.up_rate))),
        ("up_rate_limit", limit(standing.limits_now.up)),
        ("use_alt_speed_limits", json!(standing.alternative)),
        ("use_subcategories", json!(false)),
        ("write_cache_overload", json!("0")),
    ])
}

/// The part of it that `transfer/info` has.
pub(super) fn transfer(session: &Map<String, Value>) -> Value {
    let pick = |key: &&str| Some(((*key).to_string(), session.get(*key)?.clone()));
    Value::Object(TRANSFER.iter().filter_map(pick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_counted_though_its_torrent_leaves() {
        let mut sums = Sums::default();
        let old = Torrent { received_bytes: 100, sent_bytes: 10, ..Torrent::default() };
        let more = Torrent { received_bytes: 150, sent_bytes: 40, down_rate: 5, ..old.clone() };
        sums.count(None, Some(&old));
        sums.count(Some(&old), Some(&more));
        assert_eq!((sums.received, sums.received_before, sums.down_rate), (150, 100, 5));
        sums.count(Some(&more), None);
        assert_eq!((sums.received, sums.sent, sums.sent_before), (150, 40, 10));
        assert_eq!(sums.down_rate, 0);
    }
}

//! What is asked and set of all torrents together. What has no counterpart here answers as the real
//! server does by default, and nothing comes of setting it.

use serde_json::{Map, Value, json};

use crate::api::{Answer, Api, Request, SessionPatch, Standing};

use super::errors::Fault;
use super::given::Given;
use super::mapping;
use super::names::are_one;
use super::whole::{All, Moved};

/// As which server we speak: tools use labels from 4.0 on. What stands in brackets is ours.
const VERSION: &str = "4.0.6 (pigeon";
/// As many downloads at once as a session begins with.
const QUEUE_USUALLY: u32 = 5;
/// No limit on downloads at once.
const QUEUE_OFF: u32 = u32::MAX;

/// How the session stands.
///
/// # Errors
/// It has ended.
pub(super) async fn standing(api: &Api) -> Result<Box<Standing>, Fault> {
    match api.answer(Request::Session).await? {
        Answer::Session(standing) => Ok(standing),
        _ => Err(Fault::new(-32603, "it does not say how it stands")),
    }
}

/// The answer to `session-get`.
pub(super) fn get(standing: &Standing, own: &Own, given: &Given) -> Value {
    let mut all = fixed();
    all.extend(moving(standing, own));
    if let Some(fields) = given.texts("fields").filter(|fields| !fields.is_empty()) {
        all.retain(|name, _| fields.iter().any(|field| are_one(field, name)));
    }
    all.into()
}

/// What of it is ours beside the session.
pub(super) struct Own {
    /// The id that requests name.
    pub passport: String,
    /// Torrents begin when they are added.
    pub starts: bool,
    /// Where the daemon keeps what it remembers.
    pub state_dir: String,
}

/// What stands in settings: its own, and what of it is as the real server has it by default.
fn moving(standing: &Standing, own: &Own) -> Map<String, Value> {
    let (down, is_down) = mapping::limit(standing.limits.down);
    let (up, is_up) = mapping::limit(standing.limits.up);
    let other = |limit: Option<u64>| mapping::limit(limit).0;
    let queue = standing.active_max.unwrap_or(QUEUE_USUALLY);
    let free = standing.free_bytes.and_then(|free| i64::try_from(free).ok()).unwrap_or(-1);
    let all = json!({
        "alt-speed-down": other(standing.alternative_limits.down),
        "alt-speed-enabled": standing.alternative,
        "alt-speed-up": other(standing.alternative_limits.up),
        "config-dir": own.state_dir,
        "dht-enabled": standing.dht_nodes.is_some(),
        "download-dir": standing.dir,
        "download-dir-free-space": free,
        "download-queue-enabled": queue != QUEUE_OFF,
        "download-queue-size": if queue == QUEUE_OFF { QUEUE_USUALLY } else { queue },
        "peer-port": standing.port,
        "session-id": own.passport,
        "speed-limit-down": down,
        "speed-limit-down-enabled": is_down,
        "speed-limit-up": up,
        "speed-limit-up-enabled": is_up,
        "start-added-torrents": own.starts,
        "version": format!("{VERSION} {})", standing.version),
    });
    object(all)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What is always so.
fn fixed() -> Map<String, Value> {
    let mut all = object(json!({
        "alt-speed-time-begin": 540,
        "alt-speed-time-day": 127,
        "alt-speed-time-enabled": false,
        "alt-speed-time-end": 1020,
        "anti-brute-force-enabled": true,
        "anti-brute-force-threshold": 200,
        "blocklist-enabled": false,
        "blocklist-size": 0,
        "blocklist-url": "http://www.example.com/blocklist",
        "cache-size-mb": 4,
        "default-trackers": "",
        "encryption": "preferred",
        "idle-seeding-limit": 30,
        "idle-seeding-limit-enabled": false,
        "incomplete-dir": "",
        "incomplete-dir-enabled": false,
        "lpd-enabled": false,
        "peer-limit-global": 200,
        "peer-limit-per-torrent": 50,
        "peer-port-random-on-start": false,
        "pex-enabled": true,
        "port-forwarding-enabled": false,
        "queue-stalled-enabled": false,
        "queue-stalled-minutes": 30,
        "rename-partial-files": true,
        "rpc-version": 17,
        "rpc-version-minimum": 14,
        "rpc-version-semver": "5.3.0",
    }));
    all.extend(object(json!({
        "script-torrent-added-enabled": false,
        "script-torrent-added-filename": "",
        "script-torrent-done-enabled": false,
        "script-torrent-done-filename": "",
        "script-torrent-done-seeding-enabled": false,
        "script-torrent-done-seeding-filename": "",
        "seed-queue-enabled": false,
        "seed-queue-size": 10,
        "seedRatioLimit": mapping::IDLE_RATIO,
        "seedRatioLimited": false,
        "tcp-enabled": true,
        "trash-original-torrent-files": false,
        "units": {
            "memory-bytes": 1024,
            "memory-units": ["KiB", "MiB", "GiB", "TiB"],
            "size-bytes": mapping::KILO,
            "size-units": ["kB", "MB", "GB", "TB"],
            "speed-bytes": mapping::KILO,
            "speed-units": ["kB/s", "MB/s", "GB/s", "TB/s"],
        },
        "utp-enabled": false,
    })));
    all
}

/// Does what of `session-set` has a counterpart; the rest is as if it were not said.
///
/// # Errors
/// A path is relative, an encryption is none, or the session has ended.
pub(super) async fn set(api: &Api, given: &Given) -> Result<Value, Fault> {
    if given.text("download-dir").is_some_and(|dir| !dir.starts_with('/')) {
        return Err(Fault::relative("download directory path is not absolute"));
    }
    if given.text("incomplete-dir").is_some_and(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        return Err(Fault::relative("incomplete torrents directory path is not absolute"));
    }
    let words = ["required", "preferred", "tolerated", "allowed"];
    if given.text("encryption").is_some_and(|it| !words.contains(&it)) {
        return Err(Fault::invalid("must be \"required\", \"preferred\" or \"tolerated\""));
    }
    let standing = standing(api).await?;
    let limit = |now, limit, holds| mapping::set_limit(now, given.count(limit), given.flag(holds));
    // The alternative limits are kept also while they do not hold.
    let other = |name| given.count(name).map(|it| it.saturating_mul(mapping::KILO).max(1));
    let size = given.count("download-queue-size").and_then(|it| u32::try_from(it).ok());
    let patch = SessionPatch {
        limit_down: limit(standing.limits.down, "speed-limit-down", "speed-limit-down-enabled"),
        limit_up: limit(standing.limits.up, "speed-limit-up", "speed-limit-up-enabled"),
        alternative: given.flag("alt-speed-enabled"),
        alternative_down: other("alt-speed-down"),
        alternative_up: other("alt-speed-up"),
        active_max: match given.flag("download-queue-enabled") {
            Some(false) => Some(QUEUE_OFF),
            Some(true) if standing.active_max == Some(QUEUE_OFF) => Some(size.unwrap_or(0)),
            // One of none at all would hold everything back for ever.
            _ => size.map(|size| size.max(1)),
        },
    };
    if patch != SessionPatch::default() {
        api.answer(Request::SetSession(patch)).await?;
    }
    Ok(json!({}))
}

/// The answer to `session-stats`.
pub(super) fn stats(standing: &Standing, all: &All) -> Value {
    let (mut active, mut down, mut up) = (0_u32, 0_u64, 0_u64);
    for seen in &all.torrents {
        // One that waits for its turn rests, as they count.
        let status = mapping::status(&seen.torrent);
        let runs = [mapping::CHECKS, mapping::DOWNLOADS, mapping::SEEDS].contains(&status);
        active += u32::from(runs);
        down = down.saturating_add(seen.torrent.down_rate);
        up = up.saturating_add(seen.torrent.up_rate);
    }
    let count = u32::try_from(all.torrents.len()).unwrap_or(u32::MAX);
    let moved = |Moved { down, up }: Moved| {
        json!({
            "downloadedBytes": down,
            "filesAdded": count,
            "secondsActive": standing.uptime_s,
            "sessionCount": 1,
            "uploadedBytes": up,
        })
    };
    json!({
        "activeTorrentCount": active,
        "cumulative-stats": moved(all.ever),
        "current-stats": moved(all.now),
        "downloadSpeed": down,
        "pausedTorrentCount": count.saturating_sub(active),
        "torrentCount": count,
        "uploadSpeed": up,
    })
}

/// The answer to `free-space`.
///
/// # Errors
/// The path is relative, nothing is there, or nobody is to know of it.
pub(super) async fn free_space(api: &Api, given: &Given) -> Result<Value, Fault> {
    let path = given.text("path").unwrap_or_default();
    let nothing = json!({ "path": path, "size-bytes": -1, "total_size": -1 });
    if !path.starts_with('/') {
        return Err(Fault::relative("directory path is not absolute"));
    }
    let room = match api.answer(Request::Room(path.to_owned())).await {
        Ok(Answer::Room(room)) => room,
        Ok(_) => return Err(Fault::new(-32603, "nobody looks").beside(nothing)),
        Err(refusal) => return Err(Fault::from(refusal).beside(nothing)),
    };
    if !room.exists {
        return Err(Fault::new(5, "No such file or directory").beside(nothing));
    }
    let bytes = |bytes: Option<u64>| bytes.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1);
    let (free, total) = (bytes(room.free_bytes), bytes(room.total_bytes));
    Ok(json!({ "path": path, "size-bytes": free, "total_size": total }))
}

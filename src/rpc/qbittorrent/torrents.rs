//! `torrents/*` as far as it only asks, and `sync/*`.

use std::collections::HashSet;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};

use crate::api::{Answer, Facts, File, Kind, Priority, Refusal, Request, Tracker};

use super::desk::{Desk, key_of};
use super::filter;
use super::form::Form;
use super::mapping::{Object, Seen, number_value, rounded, whole};
use super::said::{Fault, Reply, Said};

/// How trackers stand, as this dialect counts it.
const NOT_CONTACTED: u8 = 1;
const WORKS: u8 = 2;
const UPDATES: u8 = 3;
const FAILS: u8 = 4;

/// The answer to `torrents/ACTION`; none where the action changes something, or there is none.
pub(super) async fn answer(desk: &Desk, action: &str, form: &Form) -> Option<Reply> {
    Some(match action {
        "info" => info(desk, form).await,
        "count" => count(desk).await,
        "properties" => properties(desk, form).await,
        "trackers" => trackers(desk, form).await,
        "webseeds" => web_seeds(desk, form).await,
        "files" => files(desk, form).await,
        "pieceStates" => piece_states(desk, form).await,
        "pieceHashes" => piece_hashes(desk, form).await,
        "downloadLimit" => limits(desk, form, |seen| seen.torrent.limits.down).await,
        "uploadLimit" => limits(desk, form, |seen| seen.torrent.limits.up).await,
        "export" => export(desk, form).await,
        "SSLParameters" => {
            let none = json!({ "ssl_certificate": "", "ssl_dh_params": "", "ssl_private_key": "" });
            desk.one(form).await.map(|_| Said::Json(none))
        }
        _ => return None,
    })
}

/// The answer to `sync/ACTION`.
///
/// # Errors
/// There is no such action or torrent.
pub(super) async fn sync(desk: &Desk, action: &str, form: &Form) -> Reply {
    match action {
        "maindata" => written(&desk.journal.news(form.number("rid")).await?),
        "torrentPeers" => {
            let seen = desk.one(form).await?;
            // One that sleeps has no peers, and is not woken for that.
            let peers = match seen.torrent.asleep {
                true => Vec::new(),
                false => match desk.api.answer(Request::Peers(key_of(&seen), false)).await? {
                    Answer::Peers(peers) => peers,
                    _ => Vec::new(),
                },
            };
            let since = form.number("rid").unwrap_or(0);
            let news = desk.crowds.news(seen.hash.clone(), since, &peers).await;
            news.map(Said::Json).ok_or_else(|| Refusal::ended().into())
        }
        _ => Err(Fault::not_found()),
    }
}

fn written(value: &impl serde::Serialize) -> Reply {
    let bytes = serde_json::to_vec(value);
    bytes.map(Said::Written).map_err(Fault::conflict)
}

async fn info(desk: &Desk, form: &Form) -> Reply {
    let (all, book) = desk.journal.all().await?;
    let chosen = filter::chosen(all, form, &book)?;
    if form.flag("includeTrackers") != Some(true) {
        let objects = chosen.iter().map(|seen| Object { seen, book: &book, which: u64::MAX });
        return written(&objects.collect::<Vec<_>>());
    }
    let mut objects = Vec::with_capacity(chosen.len());
    for seen in &chosen {
        let object = serde_json::to_value(Object { seen, book: &book, which: u64::MAX });
        let mut object = object.map_err(Fault::conflict)?;
        object["trackers"] = Value::Array(tracker_rows(desk, seen).await?);
        objects.push(object);
    }
    written(&objects)
}

async fn count(desk: &Desk) -> Reply {
    Ok(Said::text(desk.journal.all().await?.0.len()))
}

/// What a torrent says of itself; nothing of a link.
async fn facts(desk: &Desk, seen: &Seen) -> Result<Option<Box<Facts>>, Fault> {
    if seen.is_link() {
        return Ok(None);
    }
    match desk.api.answer(Request::Facts(key_of(seen))).await {
        Ok(Answer::Facts(facts)) => Ok(Some(facts)),
        Err(refusal) if refusal.code == Kind::Ended => Err(refusal.into()),
        // It left meanwhile, or cannot be read: lists show it all the same.
        _ => Ok(None),
    }
}

async fn properties(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let (facts, told) = (facts(desk, &seen).await?, told_trackers(desk, &seen).await?);
    let parts = [of_list(&seen), of_facts(facts.as_deref()), of_trackers(&told)];
    let pairs = parts.into_iter().filter_map(|part| part.as_object().cloned()).flatten();
    Ok(Said::Json(Value::Object(pairs.collect())))
}

/// What of its properties lists tell.
fn of_list(seen: &Seen) -> Value {
    let (it, is_link) = (&seen.torrent, seen.is_link());
    let (active_s, seeding_s) = (seen.active_s(), seen.seeding_s());
    let limit = |limit: Option<u64>| limit.map_or(-1, whole);
    let average = |bytes: u64, time: u64| bytes.checked_div(time).map_or(-1, whole);
    let first = json!({
        "addition_date": whole(it.added_at),
        "completion_date": it.completed_at.map_or(-1, whole),
        "dl_limit": limit(it.limits.down),
        "dl_speed": whole(it.down_rate),
        "dl_speed_avg": average(it.received_bytes, active_s.saturating_sub(seeding_s)),
        "download_path": "",
        "eta": seen.eta(),
        "has_metadata": !is_link,
        "hash": &*seen.hash,
        "infohash_v1": it.hash.clone().unwrap_or_default(),
        "infohash_v2": it.hash_v2.clone().unwrap_or_default(),
        "is_private": it.private,
        "last_seen": it.completed_at.map_or(-1, whole),
        "name": it.name,
        "nb_connections": it.peers,
        "nb_connections_limit": 100,
        "peers": it.peers.saturating_sub(it.seeds),
        "popularity": number_value(seen.popularity()),
    });
    let second = json!({
        "private": if is_link { Value::Null } else { json!(it.private) },
        "progress": number_value(seen.progress()),
        "save_path": it.dir,
        "seeding_time": whole(seeding_s),
        "seeds": it.seeds,
        "share_ratio": number_value(rounded(it.ratio)),
        "time_elapsed": whole(active_s),
        "total_downloaded": whole(it.received_bytes),
        "total_downloaded_session": whole(it.received_bytes.saturating_sub(seen.begun.0)),
        "total_size": if is_link { -1 } else { whole(it.size) },
        "total_uploaded": whole(it.sent_bytes),
        "total_uploaded_session": whole(it.sent_bytes.saturating_sub(seen.begun.1)),
        "total_wasted": 0,
        "up_limit": limit(it.limits.up),
        "up_speed": whole(it.up_rate),
        "up_speed_avg": average(it.sent_bytes, active_s),
    });
    let pairs = [first, second].into_iter().filter_map(|part| part.as_object().cloned());
    Value::Object(pairs.flatten().collect())
}

/// What of them its metadata tells; of a link there is none.
fn of_facts(facts: Option<&Facts>) -> Value {
    let text = |of: fn(&Facts) -> &Option<String>| facts.and_then(|it| of(it).clone());
    let count = |count: Option<u32>| count.map_or(-1, i64::from);
    let have = facts.map(|facts| bits(facts).filter(|is_here| *is_here).count());
    json!({
        "comment": text(|it| &it.comment).unwrap_or_default(),
        "created_by": text(|it| &it.creator).unwrap_or_default(),
        "creation_date": facts.and_then(|it| it.created_at).unwrap_or(-1),
        "piece_size": count(facts.map(|it| it.piece_length)),
        "pieces_have": have.map_or(-1, |have| whole(have as u64)),
        "pieces_num": count(facts.map(|it| it.pieces)),
    })
}

/// What of them its trackers tell.
fn of_trackers(told: &[Tracker]) -> Value {
    let most = |of: fn(&Tracker) -> Option<u64>| told.iter().filter_map(of).max().unwrap_or(0);
    let next = told.iter().filter_map(|it| it.next_in_s).min().unwrap_or(0);
    json!({
        "peers_total": whole(most(|it| it.leeches)),
        "reannounce": whole(next),
        "seeds_total": whole(most(|it| it.seeds)),
    })
}

/// How its trackers stand. One that sleeps has some that nobody asks, and is not woken.
async fn told_trackers(desk: &Desk, seen: &Seen) -> Result<Vec<Tracker>, Fault> {
    if seen.is_link() || seen.torrent.asleep {
        return Ok(Vec::new());
    }
    match desk.api.answer(Request::Trackers(key_of(seen))).await {
        Ok(Answer::Trackers(trackers)) => Ok(trackers),
        Err(refusal) if refusal.code == Kind::Ended => Err(refusal.into()),
        _ => Ok(Vec::new()),
    }
}

async fn trackers(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    tracker_rows(desk, &seen).await.map(|rows| Said::Json(Value::Array(rows)))
}

async fn tracker_rows(desk: &Desk, seen: &Seen) -> Result<Vec<Value>, Fault> {
    let has_dht = desk.api.session().dht().is_some();
    let is_private = seen.torrent.private;
    let pseudo = |name: &str, is_on: bool| {
        json!({
            "msg": if is_private { "This torrent is private" } else { "" },
            "num_downloaded": 0,
            "num_leeches": 0,
            "num_peers": 0,
            "num_seeds": 0,
            "status": if is_on && !is_private { WORKS } else { 0 },
            "tier": -1,
            "url": format!("** [{name}] **"),
        })
    };
    let mut rows = vec![pseudo("DHT", has_dht), pseudo("PeX", true), pseudo("LSD", true)];
    let told = told_trackers(desk, seen).await?;
    if !told.is_empty() {
        rows.extend(told.iter().map(row));
        return Ok(rows);
    }
    let facts = facts(desk, seen).await?;
    let tiers = facts.iter().flat_map(|facts| facts.trackers.iter().enumerate());
    let named = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    rows.extend(named.map(|(tier, url)| {
        json!({
            "msg": "",
            "num_downloaded": -1,
            "num_leeches": -1,
            "num_peers": -1,
            "num_seeds": -1,
            "status": NOT_CONTACTED,
            "tier": tier,
            "url": url,
        })
    }));
    Ok(rows)
}

fn row(tracker: &Tracker) -> Value {
    let count = |count: Option<u64>| count.map_or(-1, whole);
    let status = match tracker.state.as_str() {
        "working" => WORKS,
        "announcing" => UPDATES,
        "not asked yet" => NOT_CONTACTED,
        _ => FAILS,
    };
    let words = tracker.error.as_ref().or(tracker.warning.as_ref());
    json!({
        "msg": words.cloned().unwrap_or_default(),
        "num_downloaded": -1,
        "num_leeches": count(tracker.leeches),
        "num_peers": tracker.peers.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1),
        "num_seeds": count(tracker.seeds),
        "status": status,
        "tier": tracker.tier.saturating_sub(1),
        "url": tracker.url,
    })
}

async fn web_seeds(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let facts = facts(desk, &seen).await?;
    let urls = facts.iter().flat_map(|facts| &facts.web_seeds);
    Ok(Said::Json(urls.map(|url| json!({ "url": url })).collect()))
}

/// The files of a torrent; none of a link.
///
/// # Errors
/// As they are refused.
pub(super) async fn files_of(desk: &Desk, seen: &Seen) -> Result<Vec<File>, Fault> {
    if seen.is_link() {
        return Ok(Vec::new());
    }
    match desk.api.answer(Request::Files(key_of(seen))).await? {
        Answer::Files(files) => Ok(files),
        _ => Ok(Vec::new()),
    }
}

async fn files(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let files = files_of(desk, &seen).await?;
    let wanted = match form.value("indexes").filter(|it| !it.is_empty()) {
        None => None,
        Some(text) => {
            let indexes: Result<HashSet<usize>, _> = text.split('|').map(str::parse).collect();
            let indexes = indexes.map_err(|_| Fault::conflict("File IDs must be integers"))?;
            if indexes.iter().any(|index| *index >= files.len()) {
                return Err(Fault::conflict("File ID is not valid"));
            }
            Some(indexes)
        }
    };
    let is_seed = seen.is_complete() && seen.torrent.missing_bytes == 0;
    let one = |(index, file): (usize, &File)| {
        let mut object = Map::new();
        let mut set = |key: &str, value: Value| _ = object.insert(key.to_owned(), value);
        let is_whole = file.progress >= 1.0;
        set("index", json!(index));
        set("name", json!(file.path));
        set("size", json!(whole(file.size)));
        set("progress", number_value(rounded(file.progress)));
        set("priority", json!(priority(file)));
        set("availability", number_value(if is_whole { -1.0 } else { seen.availability() }));
        set("piece_range", json!([file.begin_piece, file.end_piece.saturating_sub(1)]));
        if index == 0 {
            set("is_seed", json!(is_seed));
        }
        Value::Object(object)
    };
    let is_wanted = |index: usize| wanted.as_ref().is_none_or(|wanted| wanted.contains(&index));
    let rows = files.iter().enumerate().filter(|(index, _)| is_wanted(*index)).map(one);
    Ok(Said::Json(rows.collect()))
}

fn priority(file: &File) -> u8 {
    match file.priority {
        Priority::Off => 0,
        Priority::Low | Priority::Normal => 1,
        Priority::High => 6,
    }
}

/// Which pieces are here.
fn bits(facts: &Facts) -> impl Iterator<Item = bool> + use<> {
    let bytes = BASE64.decode(facts.have.as_bytes()).unwrap_or_default();
    let count = facts.pieces as usize;
    (0..count).map(move |at| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1))
}

async fn piece_states(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let facts = facts(desk, &seen).await?;
    let states =
        facts.iter().flat_map(|facts| bits(facts)).map(|is_here| if is_here { 2 } else { 0 });
    Ok(Said::Json(json!(states.collect::<Vec<u8>>())))
}

async fn piece_hashes(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    if seen.is_link() {
        return Ok(Said::Json(json!([])));
    }
    let hashes = desk.api.piece_hashes(&key_of(&seen)).await?;
    let hashes: Vec<String> = hashes.iter().map(|hash| HEXLOWER.encode(hash)).collect();
    Ok(Said::Json(json!(hashes)))
}

async fn limits(desk: &Desk, form: &Form, of: fn(&Seen) -> Option<u64>) -> Reply {
    let hashes = form.value("hashes").ok_or_else(|| Fault::bad("Bad Request"))?;
    let told = |seen: &Arc<Seen>| json!(of(seen).map_or(0, whole));
    if hashes == "all" {
        let (all, _) = desk.journal.all().await?;
        let pairs = all.iter().map(|seen| (seen.hash.to_string(), told(seen)));
        return Ok(Said::Json(Value::Object(pairs.collect())));
    }
    let hashes: Vec<String> = hashes.split('|').map(str::to_ascii_lowercase).collect();
    let found = desk.journal.named(hashes.clone()).await?;
    let pairs = hashes.into_iter().zip(&found);
    let pairs = pairs.map(|(hash, seen)| (hash, seen.as_ref().map_or(json!(-1), told)));
    Ok(Said::Json(Value::Object(pairs.collect())))
}

async fn export(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    if seen.is_link() {
        let why = "Unable to export torrent file. Error: Missing metadata";
        return Err(Fault::conflict(why));
    }
    let bytes = desk.api.torrent_file(&key_of(&seen)).await?;
    Ok(Said::File(format!("{}.torrent", seen.torrent.name), bytes))
}

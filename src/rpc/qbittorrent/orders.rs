//! `torrents/*` as far as it changes torrents: what they do, where their files are and what those
//! are called, what they may use.

use std::sync::Arc;

use serde_json::{Map, json};

use crate::api::{Deed, FilePatch, Patch, Place, Request, State};
use crate::rpc::gate::{Several, unless_gone};

use super::desk::{Desk, key_of};
use super::form::Form;
use super::mapping::Seen;
use super::said::{Fault, Reply, Said};
use super::torrents::files_of;
use super::trackers;

/// The least ratio there is: what the original calls 0 is reached at once.
const LEAST_RATIO: f64 = f64::MIN_POSITIVE;

/// The answer to `torrents/ACTION`.
///
/// # Errors
/// There is no such action, or it is refused.
pub(super) async fn answer(desk: &Desk, action: &str, form: &Form) -> Reply {
    match action {
        "start" | "resume" => start(desk, form).await,
        "stop" | "pause" => deed(desk, form, Deed::Pause).await,
        "setForceStart" => match form.flag("value") {
            Some(true) => deed(desk, form, Deed::Resume).await,
            _ => start(desk, form).await,
        },
        "recheck" => deed(desk, form, Deed::Verify).await,
        "reannounce" => deed(desk, form, Deed::Announce).await,
        "delete" => delete(desk, form).await,
        "topPrio" => place(desk, form, Place::Top).await,
        "bottomPrio" => place(desk, form, Place::Bottom).await,
        "increasePrio" => place(desk, form, Place::Up).await,
        "decreasePrio" => place(desk, form, Place::Down).await,
        "setDownloadLimit" => limit(desk, form, true).await,
        "setUploadLimit" => limit(desk, form, false).await,
        "setShareLimits" => share_limits(desk, form).await,
        "toggleSequentialDownload" => {
            toggle(desk, form, |seen| Patch {
                sequential: Some(!seen.torrent.sequential),
                ..Patch::default()
            })
            .await
        }
        "toggleFirstLastPiecePrio" => {
            toggle(desk, form, |seen| Patch {
                ends_first: Some(!seen.torrent.ends_first),
                ..Patch::default()
            })
            .await
        }
        // There is nothing to switch: neither moves by category nor super seeding.
        "setAutoManagement" | "setSuperSeeding" => {
            desk.several(form, "hashes").await.map(|_| Said::DONE)
        }
        "setLocation" => relocate(desk, form, "hashes", "location").await,
        "setSavePath" => relocate(desk, form, "id", "path").await,
        "setDownloadPath" => desk.several(form, "id").await.map(|_| Said::DONE),
        "rename" => rename(desk, form).await,
        "renameFile" => rename_file(desk, form).await,
        "renameFolder" => rename_folder(desk, form).await,
        "filePrio" => file_priority(desk, form).await,
        "addPeers" => add_peers(desk, form).await,
        "addWebSeeds" => add_web_seeds(desk, form).await,
        "addTrackers" => trackers::add(desk, form).await,
        "editTracker" => trackers::edit(desk, form).await,
        "removeTrackers" => trackers::remove(desk, form).await,
        "editWebSeed" | "removeWebSeeds" | "setSSLParameters" => {
            desk.one(form).await?;
            Err(Fault::conflict("what a torrent brings with it stays as it is here"))
        }
        _ => Err(Fault::not_found()),
    }
}

/// Has each go on when its turn comes. One that has seeded enough is started by somebody who wants
/// it to seed on.
async fn start(desk: &Desk, form: &Form) -> Reply {
    each(desk, form, |seen| match seen.torrent.state {
        State::Finished => Deed::Resume,
        _ => Deed::Unpause,
    })
    .await
}

/// Does the same to each.
async fn deed(desk: &Desk, form: &Form, deed: Deed) -> Reply {
    // Of what is sought there is nothing to announce or to read.
    let is_for_links = !matches!(deed, Deed::Announce | Deed::Verify);
    let these = desk.several(form, "hashes").await?;
    let these = these.iter().filter(|seen| is_for_links || !seen.is_link());
    order_all(desk, these, |_| deed.clone()).await
}

async fn each(desk: &Desk, form: &Form, deed: impl Fn(&Seen) -> Deed) -> Reply {
    order_all(desk, desk.several(form, "hashes").await?.iter(), deed).await
}

async fn order_all(
    desk: &Desk,
    these: impl Iterator<Item = &Arc<Seen>>,
    deed: impl Fn(&Seen) -> Deed,
) -> Reply {
    let mut all = Several::new();
    for seen in these {
        all.note(unless_gone(desk.order(Request::Do(key_of(seen), deed(seen))).await));
    }
    all.end().map(|()| Said::DONE)
}

async fn delete(desk: &Desk, form: &Form) -> Reply {
    // Some programs leave the word out to keep the files.
    let with_files = form.flag("deleteFiles") == Some(true);
    let mut all = Several::new();
    for seen in desk.several(form, "hashes").await? {
        let gone = desk.order(Request::Remove(key_of(&seen), with_files)).await;
        all.note(unless_gone(gone));
    }
    all.end().map(|()| Said::DONE)
}

async fn place(desk: &Desk, form: &Form, place: Place) -> Reply {
    let mut these = desk.several(form, "hashes").await?;
    these.sort_by_key(|seen| (seen.torrent.place.clone(), seen.torrent.id));
    // The last one moved is the first of all: they keep their order.
    if matches!(place, Place::Top | Place::Down) {
        these.reverse();
    }
    desk.set(&these, &Patch { place: Some(place), ..Patch::default() }).await?;
    Ok(Said::DONE)
}

async fn limit(desk: &Desk, form: &Form, is_down: bool) -> Reply {
    let limit = form.number::<i64>("limit").ok_or_else(|| Fault::bad("Bad Request"))?;
    let limit = Some(u64::try_from(limit).unwrap_or_default());
    let patch = match is_down {
        true => Patch { limit_down: limit, ..Patch::default() },
        false => Patch { limit_up: limit, ..Patch::default() },
    };
    desk.set(&desk.several(form, "hashes").await?, &patch).await?;
    Ok(Said::DONE)
}

/// A ratio as a form has it: none of its own is 0, which here is never.
///
/// # Errors
/// It is no ratio.
pub(super) fn ratio(form: &Form) -> Result<Option<f64>, Fault> {
    let Some(text) = form.value("ratioLimit") else { return Ok(None) };
    let ratio: Option<f64> = text.trim().parse().ok().filter(|it: &f64| it.is_finite());
    match ratio {
        None => Err(Fault::bad("Bad Request")),
        Some(ratio) if ratio < 0.0 => Ok(Some(0.0)),
        Some(ratio) => Ok(Some(ratio.max(LEAST_RATIO))),
    }
}

/// A time in minutes, likewise, in seconds.
///
/// # Errors
/// It is no time.
pub(super) fn time(form: &Form) -> Result<Option<u64>, Fault> {
    if form.value("seedingTimeLimit").is_none() {
        return Ok(None);
    }
    let minutes =
        form.number::<i64>("seedingTimeLimit").ok_or_else(|| Fault::bad("Bad Request"))?;
    Ok(Some(u64::try_from(minutes).map_or(0, |minutes| minutes.saturating_mul(60).max(1))))
}

async fn share_limits(desk: &Desk, form: &Form) -> Reply {
    let patch = Patch { seed_ratio: ratio(form)?, seed_time_s: time(form)?, ..Patch::default() };
    desk.set(&desk.several(form, "hashes").await?, &patch).await?;
    Ok(Said::DONE)
}

async fn toggle(desk: &Desk, form: &Form, patch: fn(&Seen) -> Patch) -> Reply {
    let mut all = Several::new();
    for seen in desk.several(form, "hashes").await? {
        all.note(desk.set_one(&seen, patch(&seen)).await);
    }
    all.end().map(|()| Said::DONE)
}

async fn relocate(desk: &Desk, form: &Form, these: &str, path: &str) -> Reply {
    let these = desk.several(form, these).await?;
    let named = form.value(path).ok_or_else(|| Fault::bad("Bad Request"))?;
    if named.trim().is_empty() {
        return Err(Fault::bad("Save path cannot be empty"));
    }
    let book = desk.shelf.book().await;
    let dir = desk.folder(named, &book).await?;
    let dir = dir.trim_end_matches('/');
    let is_elsewhere = |seen: &&Arc<Seen>| seen.torrent.dir != dir;
    let mut all = Several::new();
    for seen in these.iter().filter(is_elsewhere) {
        let order = Request::Do(key_of(seen), Deed::Move { dir: dir.to_owned() });
        let moved = unless_gone(desk.order(order).await);
        let cannot = |refusal| Fault::conflict(format!("Cannot make save path: {refusal}"));
        all.note(moved.map_err(cannot));
    }
    all.end().map(|()| Said::DONE)
}

async fn rename(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let name = form.value("name").ok_or_else(|| Fault::bad("Bad Request"))?;
    let name = name.replace(['\r', '\n'], " ").trim().to_owned();
    if name.is_empty() {
        return Err(Fault::conflict("Incorrect torrent name"));
    }
    desk.set_one(&seen, Patch { name: Some(name), ..Patch::default() }).await?;
    Ok(Said::DONE)
}

/// Both names of a form that gives something another one.
fn both_names(form: &Form) -> Result<(&str, &str), Fault> {
    let value = |name| form.value(name).ok_or_else(|| Fault::bad("Bad Request"));
    let (old, new) = (value("oldPath")?, value("newPath")?);
    for path in [old, new] {
        if path.starts_with('/') {
            return Err(Fault::conflict(format!("Absolute path isn't allowed: '{path}'.")));
        }
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let which = if path == old { "old" } else { "new" };
            return Err(Fault::conflict(format!("The {which} path is invalid: '{path}'.")));
        }
    }
    Ok((old, new))
}

async fn rename_file(desk: &Desk, form: &Form) -> Reply {
    let (seen, (old, new)) = (desk.one(form).await?, both_names(form)?);
    let files = files_of(desk, &seen).await?;
    let file = files.iter().find(|file| file.path == old);
    let number = file.ok_or_else(|| Fault::conflict(format!("No such file: '{old}'.")))?.number;
    if files.iter().any(|file| file.path == new) {
        return Err(Fault::conflict(format!("The path already exists: '{new}'.")));
    }
    let folder = |path: &str| path.split_once('/').map(|(folder, _)| folder.to_owned());
    if folder(old) != folder(new) {
        return Err(Fault::conflict("a file stays in the folder of its torrent"));
    }
    change_names(desk, &seen, Deed::Rename { file: Some(number), name: new.to_owned() }).await
}

async fn rename_folder(desk: &Desk, form: &Form) -> Reply {
    let (seen, (old, new)) = (desk.one(form).await?, both_names(form)?);
    let files = files_of(desk, &seen).await?;
    let is_in = |path: &str| path.strip_prefix(old).is_some_and(|rest| rest.starts_with('/'));
    if !files.iter().any(|file| is_in(&file.path)) {
        return Err(Fault::conflict(format!("No such folder: '{old}'.")));
    }
    if old.contains('/') || new.contains('/') {
        return Err(Fault::conflict("only the folder of a whole torrent gets another name"));
    }
    change_names(desk, &seen, Deed::Rename { file: None, name: new.to_owned() }).await
}

async fn change_names(desk: &Desk, seen: &Arc<Seen>, deed: Deed) -> Reply {
    let done = desk.order(Request::Do(key_of(seen), deed)).await;
    done.map_err(Fault::conflict)?;
    // The torrent is called as it was.
    let name = Some(seen.torrent.name.clone());
    desk.set_one(seen, Patch { name, ..Patch::default() }).await?;
    desk.journal.reread(seen.hash.clone()).await;
    Ok(Said::DONE)
}

async fn file_priority(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let ids = form.value("id").ok_or_else(|| Fault::bad("Bad Request"))?;
    let ids: Result<Vec<u32>, _> = ids.split('|').map(str::parse).collect();
    let ids = ids.map_err(|_| Fault::bad("File IDs must be integers"))?;
    let priority = form.number::<u8>("priority");
    if seen.is_link() {
        return Err(Fault::conflict("Torrent's metadata has not yet downloaded"));
    }
    let count = files_of(desk, &seen).await?.len();
    let numbers: Vec<u32> = ids.iter().map(|id| id.saturating_add(1)).collect();
    if numbers.iter().any(|number| usize::try_from(*number).is_ok_and(|number| number > count)) {
        return Err(Fault::conflict("File ID is not valid"));
    }
    let patch = match priority {
        Some(0) => FilePatch { skip: numbers, ..FilePatch::default() },
        // Earlier versions had more of them.
        Some(1..=5) => FilePatch { normal: numbers, ..FilePatch::default() },
        Some(6 | 7) => FilePatch { high: numbers, ..FilePatch::default() },
        _ => return Err(Fault::bad("Priority is not valid")),
    };
    unless_gone(desk.order(Request::SetFiles(key_of(&seen), patch)).await)?;
    Ok(Said::DONE)
}

async fn add_peers(desk: &Desk, form: &Form) -> Reply {
    let (these, peers) = (desk.several(form, "hashes").await?, form.list("peers", '|'));
    let is_one = |peer: &&str| peer.parse::<std::net::SocketAddr>().is_ok();
    let peers: Vec<&str> = peers.filter(is_one).collect();
    if peers.is_empty() {
        return Err(Fault::bad("No valid peers were specified"));
    }
    let mut told = Map::new();
    for seen in &these {
        let (mut added, mut failed) = (0, 0);
        for peer in &peers {
            let deed = Deed::AddPeer { address: (*peer).to_owned() };
            match desk.order(Request::Do(key_of(seen), deed)).await {
                Ok(_) => added += 1,
                Err(_) => failed += 1,
            }
        }
        told.insert(seen.hash.to_string(), json!({ "added": added, "failed": failed }));
    }
    Ok(Said::Json(told.into()))
}

async fn add_web_seeds(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    for url in form.list("urls", '|') {
        let url = url.to_owned();
        desk.order(Request::Do(key_of(&seen), Deed::AddSource { url })).await?;
    }
    Ok(Said::DONE)
}

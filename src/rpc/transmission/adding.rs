//! How torrents come in: as the bytes of a file, as a link, or by a URL, which the daemon fetches
//! by its own ways. Paths on its machine are nobody's to name.

use serde_json::{Value, json};

use crate::api::{Added, Addition, Answer, Api, Deed, FilePatch, Key, Patch, Request};

use super::errors::Fault;
use super::given::Given;
use super::orders;
use super::torrents::{self, Target};
use super::whole::Whole;

/// The answer to `torrent-add`. It begins at once where `starts` says so and nothing else is said.
///
/// # Errors
/// It is no torrent, or may not be added so.
pub(super) async fn add(
    api: &Api,
    whole: &Whole,
    given: Given,
    starts: bool,
) -> Result<Value, Fault> {
    let mut given = given;
    let rests = given.flag("paused").unwrap_or(!starts);
    let files = orders::file_patch(&given);
    let addition = addition(&mut given)?;
    let is_link = addition.link.is_some();
    // Whoever names files does not want a byte of the others before that is known.
    let waits = files.is_some() && !is_link;
    let addition = Addition { paused: rests || waits, ..addition };
    let added = match api.answer(Request::Add(Box::new(addition))).await {
        Ok(Answer::Added(added)) => added,
        Ok(_) => return Err(Fault::new(-32603, "it was not added")),
        Err(refusal) => return Err(Fault::new(9, refusal.error)),
    };
    if let (false, Some(id)) = (added.was_there, added.id) {
        finish(api, &given, Key::Id(id), files.filter(|_| waits), waits && !rests).await?;
    }
    Ok(told(whole, added).await)
}

/// What an addition asks for.
fn addition(given: &mut Given) -> Result<Addition, Fault> {
    let dir = match given.text("download-dir") {
        Some("") | None => None,
        Some(dir) if dir.starts_with('/') => Some(dir.to_owned()),
        Some(_) => return Err(Fault::relative("download directory path is not absolute")),
    };
    let labels = match given.value("labels") {
        Some(_) => orders::labels(given)?,
        None => Vec::new(),
    };
    let sequential = given.flag("sequential_download").unwrap_or(false);
    let addition = Addition { dir, labels, sequential, ..Addition::default() };
    if let Some(Value::String(mut text)) = given.take("metainfo").filter(|it| it != "") {
        text.retain(|letter| !letter.is_ascii_whitespace());
        return Ok(Addition { torrent: Some(text), ..addition });
    }
    let name = given.text("filename").unwrap_or_default().trim();
    let begins = |start: &str| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let is_hash = matches!(name.len(), 40 | 64) && name.bytes().all(|it| it.is_ascii_hexdigit());
    if name.is_empty() {
        Err(Fault::invalid("no filename or metainfo specified"))
    } else if begins("magnet:") || is_hash {
        Ok(Addition { link: Some(name.to_owned()), ..addition })
    } else if begins("http://") || begins("https://") {
        Ok(Addition { url: Some(name.to_owned()), ..addition })
    } else {
        let why = "files of the daemon's machine are not read: send the torrent as metainfo";
        Err(Fault::new(4, format!("unrecognized info: {why}")))
    }
}

/// Sets what can be set only of a torrent that is there, and has it begin.
async fn finish(
    api: &Api,
    given: &Given,
    key: Key,
    files: Option<Vec<FilePatch>>,
    begins: bool,
) -> Result<(), Fault> {
    for patch in files.into_iter().flatten() {
        // Of files that are not there nothing is said, as on the real server.
        let _ = orders::set_files(api, &key, patch).await;
    }
    if let Some(most) = given.count("peer-limit").and_then(|most| u32::try_from(most).ok()) {
        let patch = Patch { peers_max: Some(most), ..Patch::default() };
        api.answer(Request::Set(key.clone(), Box::new(patch))).await?;
    }
    if begins {
        api.answer(Request::Do(key, Deed::Unpause)).await?;
    }
    Ok(())
}

/// What was added, or was there before: both are a success.
async fn told(whole: &Whole, added: Added) -> Value {
    let id = match added.id {
        Some(id) => Some(id),
        None => {
            let hash = Given::new(Some(json!({ "ids": added.hash.clone() })));
            let found = torrents::meant(whole, &hash).await.ok();
            found.and_then(|it| it.targets.first().map(Target::number))
        }
    };
    let word = if added.was_there { "torrent-duplicate" } else { "torrent-added" };
    let hash = added.hash.get(..40).unwrap_or(&added.hash);
    json!({ word: { "hashString": hash, "id": id.unwrap_or(0), "name": added.name } })
}

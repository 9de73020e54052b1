//! `torrents/add`: files and URLs with their options.

use std::time::Duration;

use data_encoding::BASE64;

use crate::api::{Added, Addition, Answer, Deed, Key, Kind, Patch, Place, Refusal, Request};
use crate::rpc::gate::unless_gone;

use super::desk::{Asked, Desk};
use super::form::Form;
use super::orders::{ratio, time};
use super::preferences::{is_set, limit_in_force};
use super::said::{Fault, Reply, Said};
use super::sorting::{add_category, create_tags, tags_of};

/// How long it is waited for what a URL leads to. It is fetched all the same.
const URL_TIME: Duration = Duration::from_secs(5);
/// URLs in one form.
const URLS_MAX: usize = 200;

/// What is done to a torrent when it is here.
#[derive(Clone, Default)]
struct Later {
    ends_first: bool,
    is_top: bool,
    is_forced: bool,
    name: Option<String>,
}

/// What came of one of them.
enum Fate {
    Added,
    WasThere,
    /// It is no torrent, or none that can be had.
    Wrong,
}

/// The answer to `torrents/add`. It says so when the torrents are listed.
///
/// # Errors
/// One of the files is no torrent, or the folder is none that files may go to.
pub(super) async fn add(desk: &Desk, asked: &Asked) -> Reply {
    let form = &asked.form;
    if form.is_empty() {
        return Err(Fault::bad("Bad Request"));
    }
    let (addition, later) = (options(desk, form).await?, later(desk, form).await);
    let urls: Vec<&str> = form.list("urls", '\n').take(URLS_MAX + 1).collect();
    if urls.len() > URLS_MAX {
        return Err(Fault::bad(format!("more than {URLS_MAX} URLs at once")));
    }
    let (mut added, mut refused) = (0, None);
    for file in form.files() {
        let bytes = asked.body.get(file.at.clone()).unwrap_or_default();
        let torrent = Some(BASE64.encode(bytes));
        match take(desk, Addition { torrent, ..addition.clone() }, &later).await? {
            Fate::Added => added += 1,
            Fate::WasThere => {}
            Fate::Wrong => {
                let why = format!("Error: '{}' is not a valid torrent file.", file.name);
                refused.get_or_insert(why);
            }
        }
    }
    for url in urls {
        if let Fate::Added = take_url(desk, url, addition.clone(), &later).await? {
            added += 1;
        }
    }
    match (refused, added) {
        (Some(why), _) => Err(Fault::new(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, why)),
        (None, 0) => Ok(Said::text("Fails.")),
        (None, _) => Ok(Said::text("Ok.")),
    }
}

/// What is said of all torrents of a form.
async fn options(desk: &Desk, form: &Form) -> Result<Addition, Fault> {
    let name = form.text("category").trim().to_owned();
    if !name.is_empty() && !desk.shelf.book().await.categories.contains_key(&name) {
        let new = name.clone();
        desk.shelf.change(move |book| add_category(book, new, String::new())).await?;
    }
    let tags: Vec<String> = tags_of(form).into_iter().filter(|tag| *tag != name).collect();
    create_tags(desk, &tags).await?;
    let book = desk.shelf.book().await;
    let category = Some(name.clone()).filter(|name| !name.is_empty());
    let labels = category.into_iter().chain(tags).collect();
    let is_managed = form.flag("autoTMM").unwrap_or_else(|| is_set(&book, "auto_tmm_enabled"));
    let by_category = is_managed || is_set(&book, "use_category_paths_in_manual_mode");
    let folder_of_category = book.categories.get(&name).filter(|_| by_category);
    let dir = match (form.text("savepath").trim(), folder_of_category) {
        ("", Some(dir)) if !dir.is_empty() => desk.folder(dir, &book).await?,
        ("", Some(_)) => desk.folder(&name, &book).await?,
        ("", None) => desk.dir(&book).await?,
        (named, _) => desk.folder(named, &book).await?,
    };
    // Each version of the original knows one of the two words.
    let rests = [form.flag("paused"), form.flag("stopped")];
    let usually = is_set(&book, "add_stopped_enabled") || is_set(&book, "start_paused_enabled");
    let paused = match rests {
        [None, None] => usually,
        rests => rests.contains(&Some(true)),
    };
    let limit = |name| form.number::<i64>(name).and_then(|it| u64::try_from(it).ok());
    let usual_ratio = limit_in_force(&book, "max_ratio");
    let usual_time = limit_in_force(&book, "max_seeding_time");
    // -2 is: as all others.
    let is_own = |name| form.number::<f64>(name).is_some_and(|it| it > -2.0);
    let seed_ratio = if is_own("ratioLimit") { ratio(form)? } else { usual_ratio };
    let seed_time_s = match is_own("seedingTimeLimit") {
        true => time(form)?,
        false => usual_time.map(|minutes| (minutes as u64).saturating_mul(60)),
    };
    Ok(Addition {
        dir: Some(dir),
        paused,
        labels,
        sequential: form.flag("sequentialDownload") == Some(true),
        limit_down: limit("dlLimit"),
        limit_up: limit("upLimit"),
        seed_ratio,
        seed_time_s,
        ..Addition::default()
    })
}

async fn later(desk: &Desk, form: &Form) -> Later {
    let book = desk.shelf.book().await;
    let is_top = form.flag("addToTopOfQueue");
    Later {
        ends_first: form.flag("firstLastPiecePrio") == Some(true),
        is_top: is_top.unwrap_or_else(|| is_set(&book, "add_to_top_of_queue")),
        is_forced: form.flag("forced") == Some(true),
        name: form.value("rename").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned),
    }
}

async fn take_url(
    desk: &Desk,
    url: &str,
    addition: Addition,
    later: &Later,
) -> Result<Fate, Fault> {
    let text = url.to_owned();
    let is_link = url.get(..7).is_some_and(|it| it.eq_ignore_ascii_case("magnet:"));
    if is_link || !url.contains("://") {
        return take(desk, Addition { link: Some(text), ..addition }, later).await;
    }
    // What comes too late for this answer goes on, so that others have to wait for it.
    drop(desk.api.fetch().map_err(Fault::conflict)?);
    let (addition, fetches) = (Addition { url: Some(text), ..addition }, desk.clone());
    let later = later.clone();
    let mut fetched = tokio::spawn(async move { take(&fetches, addition, &later).await });
    match tokio::time::timeout(URL_TIME, &mut fetched).await {
        Ok(Ok(fate)) => fate,
        Ok(Err(_)) => Ok(Fate::Wrong),
        // It goes on.
        Err(_) => Ok(Fate::Added),
    }
}

/// Takes one in, and waits until it is kept.
async fn take(desk: &Desk, addition: Addition, later: &Later) -> Result<Fate, Fault> {
    let is_of_url = addition.url.is_some();
    let dir = addition.dir.clone().unwrap_or_default();
    let added = match desk.api.answer(Request::Add(Box::new(addition))).await {
        Ok(Answer::Added(added)) => added,
        Ok(_) => return Err(Refusal::ended().into()),
        // A folder that files may not go to is refused for all of them.
        Err(refusal) if refusal.code == Kind::Invalid && refusal.error.starts_with(&dir) => {
            return Err(Fault::bad(refusal));
        }
        Err(refusal) if refusal.code == Kind::Invalid || is_of_url => return Ok(Fate::Wrong),
        Err(refusal) => return Err(refusal.into()),
    };
    let Added { id, was_there, .. } = added;
    if was_there {
        return Ok(Fate::WasThere);
    }
    if let Some(id) = id {
        finish(desk, Key::Id(id), later).await?;
    }
    Ok(Fate::Added)
}

async fn finish(desk: &Desk, key: Key, later: &Later) -> Result<(), Fault> {
    let patch = Patch {
        ends_first: later.ends_first.then_some(true),
        place: later.is_top.then_some(Place::Top),
        name: later.name.clone(),
        ..Patch::default()
    };
    if patch != Patch::default() {
        unless_gone(desk.order(Request::Set(key.clone(), Box::new(patch))).await)?;
    }
    if later.is_forced {
        unless_gone(desk.order(Request::Do(key, Deed::Resume)).await)?;
    }
    Ok(())
}

//! What is done to torrents. A torrent that is not there is none that anything can fail for.

use serde_json::{Value, json};

use crate::api::{
    Answer, Api, Deed, FilePatch, Key, Patch, Place, Priority, Refusal, Request, State, Torrent,
};
use crate::rpc::gate::{Several, unless_gone};

use super::errors::Fault;
use super::given::Given;
use super::torrents::Target;
use super::{mapping, trackers};

/// Has all of them go on, when their turn comes or at once.
pub(super) async fn start(api: &Api, targets: &[Target], at_once: bool) -> Result<Value, Fault> {
    let mut all = Several::new();
    for target in targets {
        // One that has seeded enough is started by somebody who wants it to seed on.
        let resumes = at_once || target.seen.torrent.state == State::Finished;
        let deed = if resumes { Deed::Resume } else { Deed::Unpause };
        all.note(one(api, target, deed).await);
    }
    all.end().map(|()| json!({}))
}

/// Does the same to all of them that are here.
pub(super) async fn each(api: &Api, targets: &[Target], deed: Deed) -> Result<Value, Fault> {
    let mut all = Several::new();
    for target in targets {
        all.note(one(api, target, deed.clone()).await);
    }
    all.end().map(|()| json!({}))
}

async fn one(api: &Api, target: &Target, deed: Deed) -> Result<(), Refusal> {
    // Of what is sought there is nothing to announce or to read.
    if !target.seen.torrent.metadata && matches!(deed, Deed::Announce | Deed::Verify) {
        return Ok(());
    }
    unless_gone(api.answer(Request::Do(target.key(), deed)).await)
}

/// Takes them out, with their data or without.
pub(super) async fn remove(api: &Api, targets: &[Target], data: bool) -> Result<Value, Fault> {
    let mut all = Several::new();
    for target in targets {
        all.note(unless_gone(api.answer(Request::Remove(target.key(), data)).await));
    }
    all.end().map(|()| json!({}))
}

/// Moves all of them in the queue, so that they stay in order among themselves.
pub(super) async fn queue(api: &Api, mut targets: Vec<Target>, to: Place) -> Result<Value, Fault> {
    targets.sort_by_key(|target| target.position);
    if matches!(to, Place::Top | Place::Down) {
        targets.reverse();
    }
    let patch = Patch { place: Some(to), ..Patch::default() };
    let mut all = Several::new();
    for target in &targets {
        let request = Request::Set(target.key(), Box::new(patch.clone()));
        all.note(unless_gone(api.answer(request).await));
    }
    all.end().map(|()| json!({}))
}

/// Has their files go to another directory.
pub(super) async fn relocate(api: &Api, targets: &[Target], given: &Given) -> Result<Value, Fault> {
    match given.text("location").unwrap_or_default() {
        "" => Err(Fault::invalid("no location")),
        dir if !dir.starts_with('/') => Err(Fault::relative("new location path is not absolute")),
        dir => each(api, targets, Deed::Move { dir: dir.to_owned() }).await,
    }
}

/// Gives a file or a torrent another name.
pub(super) async fn rename(api: &Api, targets: &[Target], given: &Given) -> Result<Value, Fault> {
    let path = given.text("path").unwrap_or_default().trim_matches('/');
    let name = given.text("name").unwrap_or_default();
    let [target @ Target { seen, .. }] = targets else {
        return Err(Fault::invalid("torrent-rename-path requires 1 torrent"));
    };
    let told = json!({ "id": target.number(), "name": name, "path": path });
    let fault = |why: &str| Fault::invalid(why).beside(told.clone());
    let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    if path.is_empty() || !is_name {
        return Err(fault("Invalid argument"));
    }
    let files = match api.answer(Request::Files(target.key())).await {
        Ok(Answer::Files(files)) => files,
        Ok(_) => Vec::new(),
        Err(refusal) => return Err(Fault::from(refusal).beside(told)),
    };
    let is_root = files.first().is_some_and(|it| it.path.split('/').next() == Some(path));
    let file = match is_root || path == seen.torrent.name {
        true => None,
        false => {
            let found = files.iter().find(|it| it.path == path);
            let words = "Invalid argument: only the torrent and its files get other names";
            Some(found.ok_or_else(|| fault(words))?.number)
        }
    };
    let deed = Deed::Rename { file, name: name.to_owned() };
    match api.answer(Request::Do(target.key(), deed)).await {
        Ok(_) => Ok(told),
        Err(refusal) => Err(Fault::from(refusal).beside(told)),
    }
}

/// Sets something of all of them.
pub(super) async fn set(api: &Api, targets: &[Target], given: &Given) -> Result<Value, Fault> {
    let labels = match given.has("labels") {
        true => Some(labels(given)?),
        false => None,
    };
    let files = file_patch(given).unwrap_or_default();
    let mut all = Several::new();
    for target in targets {
        all.note(set_one(api, target, given, labels.clone(), &files).await);
    }
    all.end().map(|()| json!({}))
}

/// Sets of one whatever can be set of it; what cannot is told in the order of the real server.
async fn set_one(
    api: &Api,
    target: &Target,
    given: &Given,
    labels: Option<Vec<String>>,
    files: &[FilePatch],
) -> Result<(), Fault> {
    let set = async |patch: Patch| match patch == Patch::default() {
        true => Ok(()),
        false => unless_gone(api.answer(Request::Set(target.key(), Box::new(patch))).await),
    };
    let mut parts = Several::new();
    parts.note(set(Patch { labels, ..Patch::default() }).await.map_err(Fault::from));
    parts.note(set(patch(&target.seen.torrent, given)).await.map_err(Fault::from));
    for patch in files {
        parts.note(set_files(api, &target.key(), patch.clone()).await);
    }
    parts.note(match trackers::named(api, &target.key(), given).await {
        Ok(trackers) => {
            let wrong = |refusal| Fault::trackers(format!("{}: {refusal}", trackers::WRONG));
            set(Patch { trackers, ..Patch::default() }).await.map_err(wrong)
        }
        Err(fault) => Err(fault),
    });
    parts.end()
}

/// What is set of a torrent that stands like this.
fn patch(torrent: &Torrent, given: &Given) -> Patch {
    let limit = |now, limit, holds| mapping::set_limit(now, given.count(limit), given.flag(holds));
    let whole = |name| given.count(name).and_then(|it| u32::try_from(it).ok());
    Patch {
        limit_down: limit(torrent.limits.down, "downloadLimit", "downloadLimited"),
        limit_up: limit(torrent.limits.up, "uploadLimit", "uploadLimited"),
        seed_ratio: mapping::set_ratio(
            torrent.seed_ratio,
            given.number("seedRatioLimit"),
            given.whole("seedRatioMode"),
        ),
        place: whole("queuePosition").map(Place::At),
        sequential: given.flag("sequential_download"),
        peers_max: whole("peer-limit"),
        ..Patch::default()
    }
}

/// Labels that are given: without blanks around, each once.
///
/// # Errors
/// One has no letters, or a comma.
pub(super) fn labels(given: &Given) -> Result<Vec<String>, Fault> {
    let mut labels: Vec<String> = Vec::new();
    for label in given.texts("labels").unwrap_or_default() {
        let label = label.trim();
        if label.is_empty() {
            return Err(Fault::invalid("labels cannot be empty"));
        }
        if label.contains(',') {
            return Err(Fault::invalid("labels cannot contain comma (,) character"));
        }
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    Ok(labels)
}

/// Which files are wanted and how much, one patch after the other; none when nothing is said of
/// that. A list without numbers stands for all files.
pub(super) fn file_patch(given: &Given) -> Option<Vec<FilePatch>> {
    type Side = fn(&mut FilePatch) -> &mut Vec<u32>;
    let sides: [(&str, Side); 5] = [
        ("files-unwanted", |patch| &mut patch.skip),
        ("files-wanted", |patch| &mut patch.want),
        ("priority-low", |patch| &mut patch.low),
        ("priority-normal", |patch| &mut patch.normal),
        ("priority-high", |patch| &mut patch.high),
    ];
    let mut patches = Vec::new();
    for (name, side) in sides {
        let Some(numbers) = given.numbers(name) else { continue };
        let mut patch = FilePatch::default();
        let numbers = numbers.into_iter().map(|at| {
            // They count from 0. What is no number of a file is none of ours.
            u32::try_from(at).ok().and_then(|at| at.checked_add(1)).unwrap_or(u32::MAX)
        });
        side(&mut patch).extend(numbers);
        if side(&mut patch).is_empty() {
            side(&mut patch).push(ALL);
        }
        patches.push(patch);
    }
    Some(patches).filter(|patches| !patches.is_empty())
}

/// Stands for all files: none has it, as they are numbered from 1.
const ALL: u32 = 0;

/// Sets which files of a torrent are wanted, and how much; a priority says nothing of whether.
///
/// # Errors
/// There is no file of a number; those that there are have it all the same.
pub(super) async fn set_files(api: &Api, key: &Key, mut patch: FilePatch) -> Result<(), Fault> {
    let files = match api.answer(Request::Files(key.clone())).await {
        Ok(Answer::Files(files)) => files,
        Ok(_) => return Ok(()),
        Err(refusal) if refusal.code == crate::api::Kind::NotFound => return Ok(()),
        Err(refusal) => return Err(refusal.into()),
    };
    let is_there = |number: u32| number >= 1 && number as usize <= files.len();
    let is_off = |number: &u32| {
        files.get(*number as usize - 1).is_some_and(|file| file.priority == Priority::Off)
    };
    let FilePatch { want, low, normal, high, skip } = &mut patch;
    let mut lacks = false;
    for side in [&mut *want, low, normal, high, skip] {
        if *side == [ALL] {
            *side = files.iter().map(|file| file.number).collect();
        }
        let count = side.len();
        side.retain(|number| is_there(*number));
        lacks |= side.len() < count;
    }
    // How much a file is wanted that is not is kept by nobody here.
    for side in [low, normal, high] {
        side.retain(|number| !is_off(number));
    }
    if patch != FilePatch::default() {
        unless_gone(api.answer(Request::SetFiles(key.clone(), patch)).await)?;
    }
    if lacks { Err(Fault::no_file()) } else { Ok(()) }
}

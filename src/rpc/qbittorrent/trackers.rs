//! Other trackers for a torrent.

use std::sync::Arc;

use crate::api::{Patch, Request};

use super::desk::{Desk, key_of};
use super::form::Form;
use super::mapping::Seen;
use super::said::{Fault, Reply, Said};

/// Adds some: a line each, and an empty one before each further tier. Those that are there stay as
/// they are.
pub(super) async fn add(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let urls = form.value("urls").ok_or_else(|| Fault::bad("Bad Request"))?;
    let mut tiers = desk.api.tiers(&key_of(&seen)).await?;
    let lines: Vec<&str> = urls.lines().map(str::trim).collect();
    for tier in lines.split(|line| line.is_empty()) {
        let is_new = |url: &&&str| !tiers.iter().flatten().any(|known| known == **url);
        let new: Vec<String> = tier.iter().filter(is_new).map(|url| (*url).to_owned()).collect();
        tiers.extend(Some(new).filter(|new| !new.is_empty()));
    }
    name(desk, &seen, tiers).await
}

/// Has one in the place of another.
pub(super) async fn edit(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    // Later versions have another word for it.
    let old = form.value("origUrl").or_else(|| form.value("url"));
    let (old, new) = old.zip(form.value("newUrl")).ok_or_else(|| Fault::bad("Bad Request"))?;
    let (old, new) = (old.trim(), new.trim());
    let mut tiers = desk.api.tiers(&key_of(&seen)).await?;
    let is_there = |url: &str| tiers.iter().flatten().any(|known| known == url);
    if !is_there(old) {
        return Err(Fault::conflict("Tracker not found"));
    }
    if old != new && is_there(new) {
        return Err(Fault::conflict("New tracker URL already exists"));
    }
    if new.is_empty() {
        return Err(Fault::bad("New tracker URL is invalid"));
    }
    for url in tiers.iter_mut().flatten().filter(|url| *url == old) {
        new.clone_into(url);
    }
    name(desk, &seen, tiers).await
}

/// Takes some out.
pub(super) async fn remove(desk: &Desk, form: &Form) -> Reply {
    let seen = desk.one(form).await?;
    let mut tiers = desk.api.tiers(&key_of(&seen)).await?;
    let gone: Vec<&str> = form.list("urls", '|').collect();
    tiers.iter_mut().for_each(|tier| tier.retain(|url| !gone.contains(&url.as_str())));
    name(desk, &seen, tiers).await
}

async fn name(desk: &Desk, seen: &Arc<Seen>, tiers: Vec<Vec<String>>) -> Reply {
    let patch = Patch { trackers: Some(tiers), ..Patch::default() };
    let done = desk.order(Request::Set(key_of(seen), Box::new(patch))).await;
    done.map_err(Fault::conflict)?;
    desk.journal.reread(seen.hash.clone()).await;
    Ok(Said::DONE)
}

//! Opening a torrent's files: once, aside with an ear for orders, or again and again until a disk
//! that is away is there. What is done with open files is not known here.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::disk::{self, DiskEvent, Gone, StoreHandle};
use crate::swarm::event::Event;

use super::Error;
use super::away::Away;
use super::command::Command;
use super::ends::Ends;
use super::handle::News;
use super::meanwhile::{at_disk, meanwhile};
use super::parts::{Parts, store_config};
use super::status::State;

/// Verdicts that wait for the brain; workers wait when it is full.
const DISK_EVENTS_LEN: usize = 256;
/// A disk that has not answered for so long is in trouble.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(5);

/// A torrent's files, open on the disk workers.
pub(super) struct Opened {
    pub store: StoreHandle,
    pub disk_events: mpsc::Receiver<DiskEvent>,
    pub after: Before,
}

/// What a torrent did before its files are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// Nothing that matters: what is found in its files is news.
    Nothing,
    /// Its files were open a moment ago, and were only moved.
    Moved,
    /// They were, and all of them are to be looked at.
    Ran,
    /// It waited for its turn with many others: it sleeps if there is nothing to do.
    Many,
    /// It slept, and nobody is to see that it wakes.
    Slept,
}

/// What came of opening.
pub(super) enum Outcome {
    Opened(Opened),
    /// Its disk does not take it now, and why.
    Away(String),
    /// It cannot go on, and why.
    Failed(String),
}

/// Opens the files. Waits for the disk, aside.
///
/// # Errors
/// `Disk`.
pub(super) async fn open(parts: &Parts, after: Before) -> Result<Opened, Error> {
    let (events, disk_events) = mpsc::channel(DISK_EVENTS_LEN);
    let config = store_config(parts).await;
    let disk = parts.resources.disk.clone();
    let (disks, dir) = (disk.clone(), config.dir.clone());
    let store = at_disk(&disks, &dir, move || disk.open(config, events)).await?;
    Ok(Opened { store, disk_events, after })
}

/// The same, while orders are heard, and with words where it takes long. None when the torrent is
/// to end.
pub(super) async fn open_now(
    parts: &Parts,
    ends: &mut Ends,
    after: Before,
    early: &mut Vec<Command>,
) -> Option<Outcome> {
    if after != Before::Slept {
        ends.status.change(|status| status.state = State::Checking);
    }
    let turn = match ends.knocks.turn.take() {
        Some(turn) => Some(turn),
        None if after == Before::Slept => {
            let turns = parts.resources.waking.clone();
            // It is never closed.
            meanwhile(ends, early, turns.acquire_owned()).await?.ok()
        }
        None => None,
    };
    if let Some(dormant) = &mut ends.dormant {
        // From here on the open torrent has it.
        dormant.reserved = None;
    }
    let mut opening = pin!(open(parts, after));
    let in_time = timeout(SILENT_AFTER, &mut opening);
    let opened = match meanwhile(ends, early, in_time).await? {
        Ok(opened) => opened,
        Err(_) => {
            // It gives its leave to wake and its place in the queue to those on other disks.
            drop(turn);
            let dir = parts.options.dir.display();
            let why = format!("{dir} does not answer: it goes on by itself when it does");
            ends.news.send(News::Swarm(Event::DiskTrouble(why.clone())));
            ends.status.change(|status| status.state = State::DiskTrouble(why));
            let opened = meanwhile(ends, early, opening).await?;
            ends.news.send(News::Swarm(Event::DiskRecovered));
            ends.status.change(|status| status.state = State::Checking);
            opened
        }
    };
    Some(match opened {
        Ok(opened) => Outcome::Opened(opened),
        // Our own workers may still bring what they hold of it to a slow device.
        Err(Error::Disk(error)) if error.may_pass() || is_in_use(&error) => {
            let why = error.to_string();
            ends.news.send(News::Swarm(Event::DiskTrouble(why.clone())));
            Outcome::Away(why)
        }
        Err(error) => Outcome::Failed(error.to_string()),
    })
}

/// Waits until the directory of the files is back, or the disk takes them again, and opens them.
/// None when the torrent is to end.
pub(super) async fn open_again(
    parts: &mut Parts,
    ends: &mut Ends,
    gone: Option<Gone>,
    why: String,
    early: &mut Vec<Command>,
) -> Option<Outcome> {
    ends.let_go();
    let mut wish = parts.wish.clone();
    let mut away = Away::new(ends, why, &mut wish, early);
    match come_back(parts, gone, &mut away).await {
        Some(outcome) => {
            if matches!(outcome, Outcome::Opened(_)) {
                away.end();
            }
            Some(outcome)
        }
        None => away.over().map(Outcome::Failed),
    }
}

/// Tries again and again; none when it is not to go on.
async fn come_back(parts: &mut Parts, gone: Option<Gone>, away: &mut Away<'_>) -> Option<Outcome> {
    loop {
        away.wait().await?;
        parts.wish.clone_from(away.wish);
        if let Some(gone) = gone.clone() {
            let config = store_config(parts).await;
            let (disk, dir) = (parts.resources.disk.clone(), config.dir.clone());
            let looking = at_disk(&disk, &dir, move || gone.is_over(&config));
            if !away.during(looking).await? {
                continue;
            }
        }
        match away.during(open(parts, Before::Nothing)).await? {
            Ok(opened) => return Some(Outcome::Opened(opened)),
            // Who held the old files may take a moment to let go; then it is tried again.
            Err(Error::Disk(error)) if is_in_use(&error) => {}
            Err(Error::Disk(error)) if error.may_pass() || gone.is_some() => {
                away.stays(error.to_string());
            }
            Err(error) => return Some(Outcome::Failed(error.to_string())),
        }
    }
}

fn is_in_use(error: &disk::Error) -> bool {
    matches!(error, disk::Error::InUse { .. })
}

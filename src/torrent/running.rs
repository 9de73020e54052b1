//! A torrent with open files, from a look at what is in them to the end of its actor.

use std::sync::Arc;

use crate::base::bitfield::Bitfield;
use crate::disk::{self, FileNews, StoreHandle};
use crate::swarm::event::Event;

use super::actor::Rested;
use super::birth;
use super::checking::{Checked, check};
use super::command::Command;
use super::ends::Ends;
use super::found;
use super::handle::News;
use super::meanwhile::{blocking, meanwhile};
use super::opening::{Before, Opened};
use super::parts::{Parts, wanted_of};
use super::publish::payload_of;
use super::status::{FoundPieces, missing_words};
use super::trackers::Trackers;

/// What came of running.
pub(super) enum Ran {
    /// It may go on some day.
    Rested(Rested),
    /// It was to be looked at, and is to rest instead; with what it was told meanwhile.
    Paused { orders: Vec<Command> },
    /// It could not begin, and why; with what it was told meanwhile.
    Failed { why: String, may_pass: bool, orders: Vec<Command> },
}

/// Looks at the data and runs the actor to its end; none when that is the end of the torrent.
pub(super) async fn run(
    parts: &Parts,
    opened: Opened,
    mut ends: Box<Ends>,
    mut early: Vec<Command>,
) -> Option<(Box<Ends>, Ran)> {
    let Opened { store, mut disk_events, after } = opened;
    ends.status.change(|status| status.home = store.home());
    let (have, trusted) = match check(parts, &store, &mut ends, &mut early).await {
        Checked::Pieces { have, trusted } => (have, trusted),
        Checked::Paused => return Some((ends, Ran::Paused { orders: early })),
        Checked::Stopped => return None,
    };
    let by_record = trusted.intersection(&have).ones();
    let changed = store.changed(&wanted_of(parts).minus(&have));
    let lack = lack(parts, &ends, &have).filter(|_| parts.options.seed_only);
    let goes_on = matches!(after, Before::Slept | Before::Ran);
    if let Some(why) = lack.clone().filter(|_| !goes_on) {
        return Some((ends, Ran::Failed { why, may_pass: false, orders: early }));
    }
    let starting = {
        let store = store.clone();
        blocking(move || store.start(&have))
    };
    let (mut have, troubles) = match meanwhile(&mut ends, &mut early, starting).await? {
        Ok(started) => (started.have, started.news),
        Err(error) => {
            let (why, may_pass) = (error.to_string(), error.may_pass());
            return Some((ends, Ran::Failed { why, may_pass, orders: early }));
        }
    };
    let lacks_room =
        match meanwhile(&mut ends, &mut early, room(parts, &store, &have, after)).await? {
            Ok(lacks_room) => lacks_room,
            Err(error) => {
                let (why, may_pass) = (error.to_string(), false);
                return Some((ends, Ran::Failed { why, may_pass, orders: early }));
            }
        };
    tell_troubles(&ends, troubles);
    let is_news = match after {
        Before::Nothing | Before::Many | Before::Ran => true,
        Before::Moved => lacks_room.is_some(),
        // Something was lost meanwhile.
        Before::Slept => !have.is_full(),
    };
    if is_news {
        let (count, ignored) = (have.ones(), store.ignored());
        tell_found(&ends, FoundPieces { count, by_record, changed, lacks_room, ignored });
    }
    let pool = &parts.resources.pool;
    let sources = &parts.options.found;
    let taking = found::take(sources, parts.layout, pool, &store, &mut disk_events, &mut have);
    meanwhile(&mut ends, &mut early, taking).await?;
    greet(parts, &mut ends, &mut early, &have).await?;
    let mut proven = have.clone();
    for piece in trusted.iter_ones().filter_map(|number| parts.layout.piece(number)) {
        proven.remove(piece);
    }
    let mut actor = birth::actor(parts, store, disk_events, ends, have, proven);
    if let Some(why) = lack {
        // It was lost since it ran, and is looked for as by one that runs.
        actor.tell(Event::DiskTrouble(why.clone()));
        actor.publisher.set_trouble(Some(why));
    }
    let (ends, rested) = actor.run(parts, early).await?;
    Some((ends, Ran::Rested(rested)))
}

/// Trackers that the search has told of something that is missing hear that it is over, where
/// nothing is missing now: that is not to become complete. Only then may they be asked again. None
/// when the torrent is to end.
async fn greet(
    parts: &Parts,
    ends: &mut Ends,
    early: &mut Vec<Command>,
    have: &Bitfield,
) -> Option<()> {
    let was_complete = have.is_full() || parts.so_far.was_whole();
    if let Some(contacts) = ends.contacts.as_mut().filter(|_| was_complete) {
        ends.goodbye = ends.goodbye.take().or(contacts.trackers.take().map(Trackers::leave));
    }
    let Some(goodbye) = ends.goodbye.take() else { return Some(()) };
    meanwhile(ends, early, goodbye.said()).await
}

/// Why there is nothing to seed; none when everything wanted is there. What is there is posted.
fn lack(parts: &Parts, ends: &Ends, have: &Bitfield) -> Option<String> {
    let wanted = wanted_of(parts);
    let is_lacking = |piece| wanted.has(piece) && !have.has(piece);
    let count = parts.layout.pieces().filter(|piece| is_lacking(*piece)).count();
    if count == 0 {
        return None;
    }
    ends.status.change(|status| {
        status.have = have.as_bytes().to_vec();
        status.pieces_verified = have.ones();
    });
    Some(missing_words(count, parts.layout.piece_count()))
}

/// Is there room for what is missing? Who waits for its disk waits for room, too, but not where no
/// file can ever be made; who does not ask begins anyway, and so does one that ran just now: others
/// may have taken the room since. To all of them it is told why there is none.
async fn room(
    parts: &Parts,
    store: &StoreHandle,
    have: &Bitfield,
    after: Before,
) -> Result<Option<String>, disk::Error> {
    let (extents, layout) = (&parts.extents, &parts.layout);
    let missing = payload_of(extents, layout, &wanted_of(parts).minus(have));
    let present = payload_of(extents, layout, have);
    let options = &parts.options;
    if options.seed_only || missing == 0 {
        return Ok(None);
    }
    let store = store.clone();
    let begins_anyway = !options.checks_room || matches!(after, Before::Moved | Before::Ran);
    match blocking(move || store.check_room(missing, present)).await {
        Ok(()) => Ok(None),
        Err(error) if begins_anyway || options.waits_for_disk && error.may_pass() => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Tells what was found on disk.
pub(super) fn tell_found(ends: &Ends, found: FoundPieces) {
    // Nobody may be listening: it is posted, too, but after it.
    let found = Arc::new(found);
    ends.news.send(News::Checked(found.clone()));
    ends.status.change(|status| status.found = Some(found));
}

/// Tells of files that are not as they should be at the start.
fn tell_troubles(ends: &Ends, news: Vec<FileNews>) {
    for item in news {
        if let FileNews::Trouble { error, .. } = item {
            ends.news.send(News::Swarm(Event::DiskTrouble(error.to_string())));
        }
    }
}

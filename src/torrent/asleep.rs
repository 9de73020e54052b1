//! A torrent that has everything and nobody to give it to: it lets go of its brain, files and
//! links, and keeps its place with trackers and in the DHT, unless it is paused. It wakes when
//! somebody connects, when one of them names somebody whom it has not met as a seed lately, or when
//! it is to be told something that only a running torrent can do. What others
//! do to its files meanwhile, and whether its device is there, is seen when it wakes. Who is to
//! sleep is the session's to decide.

use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::{sleep as sleep_for, timeout};
use tracing::debug;

use crate::base::bitfield::Bitfield;
use crate::dht::task::DhtNews;
use crate::disk::{AtRest, at_rest, reserve};
use crate::swarm::Acquaintances;
use crate::tracker::task::{TrackerCommand, TrackerEvent};

use super::actor::{Actor, Rested};
use super::birth;
use super::command::Command;
use super::ends::{Dormant, Ends};
use super::handle::News;
use super::incoming::Incoming;
use super::meanwhile::{at_disk, meanwhile};
use super::options::CheckMode;
use super::outpost::Outpost;
use super::parked::{keep, rest};
use super::parts::{Parts, store_config, wanted_of};
use super::publish::payload_of;
use super::seats::Needs;
use super::status::{FoundPieces, State, Status, WhyReport};
use super::trackers::trouble_words;
use super::wish::Wish;

/// Whom a sleeping seed is to be found by.
const SEED: Needs = Needs { takes_part: true, is_seed: true, lacks: false, peers: 0 };

/// A seat that the DHT was too busy to hear of is asked for again so much later.
const SEAT_AGAIN: Duration = Duration::from_secs(2);

/// What sleep ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rise {
    /// The torrent is to run.
    Wakes,
    /// It has seeded enough.
    Finishes,
    /// It is to end.
    Ends,
}

/// Workers that still hold the files get this long to let go.
const LET_GO: Duration = Duration::from_secs(10);

/// What is found of a torrent that has nothing to do: everything of it is here by its record, in
/// files that look as that says. None where there is anything to do, or that cannot be told. Waits
/// for the disk, aside.
pub(super) async fn find_at_rest(parts: &Parts) -> Option<AtRest> {
    let may_sleep = parts.options.check == CheckMode::Resume
        && !parts.verifies
        && parts.options.found.is_empty()
        // Whom the user names is dialled.
        && parts.options.peers.is_empty()
        && parts.wish.files.iter().all(|file| file.is_wanted())
        && parts.torrent.is_judged();
    if !may_sleep {
        return None;
    }
    let config = store_config(parts).await;
    // What others made is as safe as they left it.
    let is_safe = |found: &AtRest| parts.options.seed_only || found.is_durable;
    let dir = config.dir.clone();
    at_disk(&parts.resources.disk, &dir, move || at_rest(config)).await.filter(is_safe)
}

/// The first sleep of a torrent that is at rest: trackers hear of it, if they have not before and
/// it is not paused.
pub(super) fn first_sleep(
    parts: &Parts,
    found: AtRest,
    is_paused: bool,
    outpost: Option<Outpost>,
) -> (Box<Dormant>, Status) {
    let all = Bitfield::all(parts.layout.piece_count());
    let count = all.ones();
    let wanted_bytes = payload_of(&parts.extents, &parts.layout, &wanted_of(parts));
    let pieces = FoundPieces { count, by_record: count, ..FoundPieces::default() };
    let status = Status {
        state: shown(is_paused),
        is_asleep: true,
        wanted_bytes,
        done_bytes: wanted_bytes,
        found: Some(pieces.into()),
        home: Some(found.home),
        pieces_verified: count,
        pieces_wanted: (count, count),
        was_whole: true,
        posted_at: Some(Instant::now()),
        have: all.as_bytes().to_vec(),
        ..Status::default()
    };
    (
        Box::new(Dormant {
            reserved: Some(found.reserved),
            ..birth::dormant(parts, is_paused, outpost)
        }),
        status,
    )
}

/// Waits until the disk workers have let go of the files of a torrent that is to sleep, and
/// reserves its record: nobody else is to take it for abandoned. None when it is to end.
pub(super) async fn lie_down(
    parts: &Parts,
    ends: &mut Ends,
    early: &mut Vec<Command>,
) -> Option<()> {
    let Some(mut closing) = ends.dormant.as_mut().and_then(|dormant| dormant.closing.take()) else {
        return Some(());
    };
    let closed = async { while closing.recv().await.is_some() {} };
    // Whoever holds the files all the same has the record, too.
    let _ = meanwhile(ends, early, timeout(LET_GO, closed)).await?;
    let home = ends.status.reader().borrow().home.clone();
    let (record, info_hash) = (parts.record().await, parts.info_hash);
    let dir = home.as_ref().map_or(&parts.options.dir, |home| &home.dir).clone();
    let work = move || home.and_then(|home| reserve(&record, info_hash, &home.dir));
    let reserving = at_disk(&parts.resources.disk, &dir, work);
    let reserved = meanwhile(ends, early, reserving).await?;
    if let Some(dormant) = &mut ends.dormant {
        dormant.reserved = reserved;
    }
    Some(())
}

impl Actor {
    /// Whether it is to sleep as soon as there is nothing to do: because others are asked more
    /// often, or by its user, who has it rest with everything here.
    pub(super) fn rests_when_it_can(&self) -> bool {
        let is_whole = self.publisher.left().0 == 0 && self.providers.is_empty();
        self.is_to_sleep || self.publisher.is_paused() && is_whole
    }

    /// Whether nothing of the torrent moves, is awaited, or is wrong.
    pub(super) fn may_sleep(&mut self) -> bool {
        let now = Instant::now();
        let is_at_rest = self.links.is_empty()
            && self.jobs_out == 0
            && self.jobs.again_at().is_none()
            && !self.is_looking
            && !self.is_restoring
            && self.finish_again.is_none()
            && !self.awaits_gone()
            // Whether files can be moved is not looked at.
            && self.moves.0.strong_count() == 1
            && self.moves.1.is_empty();
        let is_whole = self.publisher.left().0 == 0 && self.providers.is_empty();
        is_at_rest
            && is_whole
            && self.status.is_still()
            && self.swarm.moved_bytes() == self.published_bytes
            && self.jobs.store.backlog().bytes == 0
            && self.publisher.is_untroubled()
            && self.swarm.wanted_links(now) == 0
    }

    /// Lets go of everything but trackers and the DHT.
    pub(super) fn doze(mut self) -> (Box<Ends>, Rested) {
        self.publish();
        debug!("it sleeps until somebody wants something of it");
        self.rest(true)
    }
}

/// Sleeps until there is something to do; orders for the running torrent are kept in `early`.
pub(super) async fn sleep(
    parts: &Parts,
    ends: &mut Ends,
    mut dormant: Box<Dormant>,
    early: &mut Vec<Command>,
) -> Rise {
    ends.status.change(|status| {
        rest(status, shown(dormant.is_paused));
        status.is_asleep = true;
        status.trackers.clone_from(&dormant.trackers.status);
    });
    let mut ports = parts.resources.ports.clone();
    let (mut is_seated, mut is_paused, mut last) = (false, false, None);
    let mut rise = None;
    // It came while its files were closed.
    for order in std::mem::take(early) {
        match rise {
            None => rise = on_command(parts, ends, &mut dormant, order, early).await,
            Some(_) => early.push(order),
        }
    }
    let rise = loop {
        if let Some(rise) = rise {
            break rise;
        }
        if is_paused != dormant.is_paused {
            (is_paused, is_seated) = (dormant.is_paused, false);
        }
        if !is_seated {
            is_seated = dormant.seats.take(Needs { takes_part: !is_paused, ..SEED });
        }
        rise = tokio::select! {
            command = ends.commands.recv() => match command {
                Some(Command::Stop(answer)) => {
                    last = Some(answer);
                    Some(Rise::Ends)
                }
                // In a box: thousands wait here, and hear nothing for days.
                Some(command) => {
                    Box::pin(on_command(parts, ends, &mut dormant, command, early)).await
                }
                None => Some(Rise::Ends),
            },
            Some(incoming) = ends.incoming.recv() => on_incoming(parts, ends, incoming, is_paused),
            event = dormant.trackers.next() => on_tracker(ends, &mut dormant, event),
            news = dormant.seats.next() => on_dht(ends, &dormant, news),
            () = ports.changed() => {
                is_seated = false;
                None
            }
            () = seat_again(is_seated) => None,
        };
    };
    if dormant.is_paused && rise == Rise::Wakes {
        // What wakes it is no reason to go on.
        early.insert(0, Command::Pause);
    }
    ends.dormant = Some(dormant);
    if let Some(answer) = last {
        Box::pin(ends.end(answer)).await;
    }
    rise
}

/// Somebody connected.
fn on_incoming(
    parts: &Parts,
    ends: &mut Ends,
    incoming: Box<Incoming>,
    is_paused: bool,
) -> Option<Rise> {
    if is_paused {
        // Nobody is let in: dropping it closes the connection.
        return None;
    }
    // Where many knock at once some are sent away: they come again.
    ends.knocks.turn = parts.resources.waking.clone().try_acquire_owned().ok();
    ends.knocks.turn.is_some().then(|| {
        ends.knocks.incoming = Some(incoming);
        Rise::Wakes
    })
}

/// Ends when a seat is to be asked for again; never, where there is one.
async fn seat_again(is_seated: bool) {
    match is_seated {
        true => pending().await,
        // In a box: mostly there is one, and no clock.
        false => Box::pin(sleep_for(SEAT_AGAIN)).await,
    }
}

/// What an order changes; what only a running torrent can do wakes it.
async fn on_command(
    parts: &Parts,
    ends: &Ends,
    dormant: &mut Dormant,
    command: Command,
    early: &mut Vec<Command>,
) -> Option<Rise> {
    match command {
        Command::Finish => return Some(Rise::Finishes),
        Command::Announce(answer) => {
            // The one who asked may have gone.
            let _ = answer.send(dormant.trackers.announce().await);
        }
        Command::Scrape => dormant.trackers.tell(TrackerCommand::Scrape),
        Command::LimitDown(limit) => {
            parts.wish.limiter.set_rate(limit);
            ends.status.change(|status| status.limit_down = parts.wish.limiter.rate());
        }
        Command::LimitUp(limit) => {
            parts.wish.up_limiter.set_rate(limit);
            ends.status.change(|status| status.limit_up = parts.wish.up_limiter.rate());
        }
        // Nobody is connected, whom it knows is known when it wakes, and no server of its files is
        // asked for any.
        Command::Peers { answer, .. } => drop(answer.send(Vec::new())),
        Command::Sources(answer) => drop(answer.send(Vec::new())),
        // It lacks nothing, and waits for nobody.
        Command::Why(answer) => drop(answer.send(WhyReport::default())),
        Command::Copies(answer) => drop(answer.send(Vec::new())),
        Command::Pause => pause(ends, dormant, true),
        Command::Resume | Command::Unpause => pause(ends, dormant, false),
        Command::Trackers(tiers) => {
            let wish = Wish { trackers: Some(tiers.clone()), ..parts.wish.clone() };
            let config = birth::tracker_config(parts, &wish, true);
            dormant.trackers.follow(&parts.resources.announcer, config);
            // For a run some day.
            keep(early, Command::Trackers(tiers));
        }
        // It fetches nothing: that is for a run in which something is missing again.
        order @ Command::AddWebSeed(_) => keep(early, order),
        // It does so already; and who announces itself to all in the network hears us do so.
        Command::Sleep | Command::Start { .. } | Command::LocalPeer(_) => {}
        order => {
            early.push(order);
            return Some(Rise::Wakes);
        }
    }
    None
}

/// Trackers and the DHT are left, or joined again; nothing else of it takes part in anything.
fn pause(ends: &Ends, dormant: &mut Dormant, is_paused: bool) {
    if dormant.is_paused == is_paused {
        return;
    }
    dormant.is_paused = is_paused;
    dormant.trackers.pause(is_paused);
    ends.status.change(|status| status.state = shown(is_paused));
}

/// How it is shown in its sleep.
fn shown(is_paused: bool) -> State {
    if is_paused { State::Paused } else { State::Complete }
}

fn on_tracker(ends: &mut Ends, dormant: &mut Dormant, event: TrackerEvent) -> Option<Rise> {
    match event {
        // How many lack something is told next.
        TrackerEvent::Peers { ref addresses } => {
            if is_anybody_new(ends, dormant, addresses) {
                ends.knocks.tracker = Some(event);
            }
        }
        TrackerEvent::Warning { url, text } => tell_tracker(ends, &url, "warns", &text),
        TrackerEvent::Failure { url, text } => tell_tracker(ends, &url, "failed", &text),
        TrackerEvent::ExternalIp(ip) => ends.knocks.our_address = Some(ip),
        TrackerEvent::PrivateAnswered(url) => {
            if dormant.trackers.is_another(url) {
                // Those that it knew are another tracker's.
                *ends.known = Acquaintances::default();
            }
        }
        TrackerEvent::Status(status) => {
            ends.status.change(|shown| shown.trackers.clone_from(&status));
            dormant.trackers.status = status;
            if dormant.trackers.knows_nobody_to_serve() {
                // Those that were named are seeds as we are.
                ends.knocks.tracker = None;
            }
            return ends.knocks.tracker.is_some().then_some(Rise::Wakes);
        }
    }
    None
}

/// Does it wake for these? Seeds that it has met lately are seeds still.
fn is_anybody_new(ends: &Ends, dormant: &Dormant, addresses: &[SocketAddr]) -> bool {
    !dormant.is_paused && ends.known.brings(addresses, Instant::now())
}

fn tell_tracker(ends: &Ends, url: &str, verb: &str, text: &str) {
    ends.news.send(News::Tracker(trouble_words(url, verb, text)));
}

fn on_dht(ends: &mut Ends, dormant: &Dormant, news: DhtNews) -> Option<Rise> {
    match news {
        DhtNews::Peers(ref addresses) => {
            let wakes = is_anybody_new(ends, dormant, addresses);
            wakes.then(|| {
                ends.knocks.dht = Some(news);
                Rise::Wakes
            })
        }
        DhtNews::Announced { nodes } => {
            ends.news.send(News::Announced { nodes });
            let now = Instant::now();
            ends.status.change(|status| {
                let dht = dormant.seats.status(now);
                *status = Status { dht, ..std::mem::take(status).as_of(now) };
            });
            None
        }
    }
}

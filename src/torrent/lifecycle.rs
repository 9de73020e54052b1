//! From a torrent and its options to a running actor: wait for its turn, open the files, read
//! the record, look at what the record does not cover, then let the actor go. Orders are taken
//! from the first moment on.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{Instrument as _, error_span};

use crate::base::bitfield::Bitfield;
use crate::base::ids::InfoHash;
use crate::disk::{DiskEvent, Gone};
use crate::metainfo::Torrent;
use crate::net::limiter::Limiter;

use super::Error;
use super::asleep::{self, Rise, find_at_rest, first_sleep};
use super::birth;
use super::board::Board;
use super::command::{Command, MoveOrder, commands};
use super::ends::{Dormant, Ends};
use super::handle::{NewsSender, TorrentHandle};
use super::incoming::Incoming;
use super::meanwhile::meanwhile;
use super::moving::{self, Relocated};
use super::opening::{Before, Opened, Outcome, SILENT_AFTER, open, open_again, open_now};
use super::options::{CheckMode, TorrentOptions};
use super::outpost::Outpost;
use super::parked::{self, Waiting, Woken};
use super::parts::{Parts, store_config, wanted_of};
use super::publish::SoFar;
use super::resources::{Entry, Resources, Turn};
use super::running::{Ran, run};
use super::seeking::Contacts;
use super::status::{State, Status, missing_words};
use super::verifying::{await_closed, verify_at_rest};
use super::wish::Wish;

/// Orders that wait for the actor; whoever gives more waits too.
const COMMANDS_LEN: usize = 32;
/// News that a slow reader may be behind; they are rare.
const NEWS_LEN: usize = 16;
/// Connections that wait to be admitted; more are closed.
const INCOMING_LEN: usize = 64;

/// Opens a torrent's files and starts it. Returns its handle, the hash that peers name it by
/// and where their connections go. Looking at data on disk goes on in the background. A queued
/// torrent opens nothing before its turn; what is wrong with its files shows in its state then. One
/// that was announced before it was here goes on with its `outpost`.
///
/// # Errors
/// `V2Only`; `Disk` when another process has the torrent or its files cannot be opened.
pub async fn start(
    resources: Arc<Resources>,
    torrent: Arc<Torrent>,
    options: TorrentOptions,
    entry: Entry,
    contacts: Option<Box<Contacts>>,
    mut outpost: Option<Outpost>,
) -> Result<(TorrentHandle, InfoHash, mpsc::Sender<Box<Incoming>>), Error> {
    let (Some(info_hash), Some(layout), Some(extents)) =
        (torrent.info_hash_v1, torrent.layout, torrent.extents())
    else {
        return Err(refuse(Error::V2Only, contacts).await);
    };
    let Entry { id, turn, places, bell, uploaded_before_bytes, record, orders: to_session, share } =
        entry;
    let [limiter, up_limiter] = limiters(&resources, &options, contacts.as_deref());
    let (files, conduct) = (options.files(torrent.files.len()), options.conduct());
    let trackers = options.trackers.clone();
    let parts = Box::new(Parts {
        torrent,
        options,
        resources,
        places,
        info_hash,
        layout,
        extents,
        wish: Wish { files, conduct, trackers, limiter, up_limiter },
        uploaded_before_bytes,
        record: record.map(OnceLock::from).unwrap_or_default(),
        so_far: SoFar::nothing(),
        verifies: false,
    });
    let named = outpost.as_mut().map(|outpost| std::mem::take(&mut outpost.named));
    let (first, seen) = match begin(&parts, turn, &mut outpost).await {
        Ok(first) => first,
        Err(error) => return Err(refuse(error, contacts).await),
    };
    let (commands, orders) = commands(COMMANDS_LEN);
    let (incoming, arrivals) = mpsc::channel(INCOMING_LEN);
    let status = Board::new(first_status(&parts, seen), bell);
    let news = NewsSender::new(NEWS_LEN);
    let (status_reader, news_sender) = (status.reader(), news.clone());
    let handle = TorrentHandle {
        id,
        commands,
        status: status_reader,
        news: news_sender,
        orders: to_session,
    };
    let mut ends = Box::new(Ends::new(orders, arrivals, status, news, share));
    ends.contacts = contacts;
    ends.meet(named.unwrap_or_default());
    // It is not at rest: whoever was told that it is hears that it has left.
    ends.dormant = outpost.map(|outpost| Box::new(birth::dormant(&parts, false, Some(outpost))));
    ends.goodbye = ends.contacts.as_mut().and_then(|contacts| contacts.goodbye.take());
    // At every level, so that each line of the log names its torrent.
    let span = error_span!("torrent", name = ?parts.torrent.name, hash = %short(info_hash));
    tokio::spawn(live(parts, first, ends).instrument(span));
    Ok((handle, info_hash, incoming))
}

/// What a torrent does first, and what is seen of it.
///
/// # Errors
/// `Disk`, if it is not to wait for its disk.
async fn begin(
    parts: &Parts,
    turn: Turn,
    outpost: &mut Option<Outpost>,
) -> Result<(Next, Status), Error> {
    let found = match turn {
        Turn::Sleeps => find_at_rest(parts).await,
        // A disk that does not answer is told of when the turn comes.
        Turn::Rests => timeout(SILENT_AFTER, find_at_rest(parts)).await.ok().flatten(),
        Turn::Waits | Turn::Begins => None,
    };
    if let Some(found) = found {
        let is_paused = parts.options.paused;
        let (dormant, seen) = first_sleep(parts, found, is_paused, outpost.take());
        return Ok((Next::Sleep(dormant), seen));
    }
    if matches!(turn, Turn::Waits | Turn::Rests) {
        let waiting = Waiting { state: State::Queued, is_paused: parts.options.paused };
        let shown = of_state(waiting.shown());
        return Ok((Next::Wait(waiting), shown));
    }
    match open(parts, Before::Nothing).await {
        Ok(opened) => {
            let seen = Status { home: opened.store.home(), ..of_state(State::Checking) };
            Ok((Next::Run(Box::new(opened)), seen))
        }
        Err(Error::Disk(error)) if parts.options.waits_for_disk && error.may_pass() => {
            let why = error.to_string();
            let seen = of_state(State::DiskTrouble(why.clone()));
            Ok((Next::Away { gone: None, why }, seen))
        }
        Err(error) => Err(error),
    }
}

/// The torrent does not begin: whom the search for its metadata met is left, too.
async fn refuse(error: Error, contacts: Option<Box<Contacts>>) -> Error {
    if let Some(contacts) = contacts {
        // Seldom: whoever may need it is not to have room for it.
        Box::pin(contacts.leave()).await;
    }
    error
}

/// The torrent's own limits down and up; links that it has already obey them.
fn limiters(
    resources: &Resources,
    options: &TorrentOptions,
    contacts: Option<&Contacts>,
) -> [Arc<Limiter>; 2] {
    let rates = [options.download_limit, options.upload_limit];
    if let Some(Contacts { links, .. }) = contacts {
        let limiters = [&links.config.limiter, &links.config.up_limiter].map(Arc::clone);
        limiters.iter().zip(rates).for_each(|(limiter, rate)| limiter.set_rate(rate));
        return limiters;
    }
    let [down, up] = rates;
    let under = |limiter: &Arc<Limiter>, rate| Arc::new(Limiter::under(limiter.clone(), rate));
    [under(&resources.limiter, down), under(&resources.up_limiter, up)]
}

/// As much of a hash as tells torrents apart for people.
fn short(info_hash: InfoHash) -> String {
    info_hash.to_string().chars().take(8).collect()
}

fn of_state(state: State) -> Status {
    Status { state, ..Status::default() }
}

/// What is known of a torrent, with what was seen of its files.
fn first_status(parts: &Parts, seen: Status) -> Status {
    Status {
        wanted_bytes: match seen.wanted_bytes {
            0 => parts.torrent.total_size(),
            wanted => wanted,
        },
        files: parts.wish.files.clone().into(),
        piece_count: parts.layout.piece_count(),
        listen_port: parts.resources.ports.listen(),
        uploaded_before_bytes: parts.uploaded_before_bytes,
        limit_down: parts.wish.limiter.rate(),
        limit_up: parts.wish.up_limiter.rate(),
        ..seen
    }
}

/// What a torrent does next. What is large is in boxes: thousands hold one all the time.
enum Next {
    /// Wait for its turn, or until it is to seed on.
    Wait(Waiting),
    /// Open its files.
    Open(Before),
    /// Run.
    Run(Box<Opened>),
    /// Wait with everything until somebody wants something of it.
    Sleep(Box<Dormant>),
    /// Have its files moved, as soon as the disk workers have let go of them, and open them there.
    Move(Box<MoveOrder>, Option<mpsc::Receiver<DiskEvent>>),
    /// Have all of it looked at, as soon as the disk workers have let go of its files.
    Verify(mpsc::Receiver<DiskEvent>),
    /// Wait until its disk is there, and open its files; what became of it, if it was.
    Away { gone: Option<Box<Gone>>, why: String },
    /// Show why it cannot go on.
    Fail(String),
}

impl From<Outcome> for Next {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Opened(opened) => Self::Run(Box::new(opened)),
            Outcome::Away(why) => Self::Away { gone: None, why },
            Outcome::Failed(why) => Self::Fail(why),
        }
    }
}

/// The life of a torrent: wait for its turn, run, and when it has seeded enough wait again. One
/// that nobody asks sleeps meanwhile. When its disk is not there, wait for that and go on.
async fn live(mut parts: Box<Parts>, first: Next, mut ends: Box<Ends>) {
    let mut early = Vec::new();
    let mut next = first;
    loop {
        if matches!(next, Next::Wait(_) | Next::Away { .. } | Next::Fail(_)) {
            parked::keep_lasting(&mut early);
        }
        // One that sleeps has to wake for it.
        if !matches!(next, Next::Run(_) | Next::Open(_) | Next::Sleep(_)) {
            parts.wish.take_all(&ends.status, &mut early);
        }
        // What was ordered of one that did not run.
        if !matches!(next, Next::Sleep(_)) {
            // Where no piece has a hash there is nothing to look at.
            parts.verifies |= parked::take_verify(&mut early) && parts.torrent.is_judged();
        }
        // What is done only now and then is in boxes: most of its life a torrent only waits.
        let step = match next {
            Next::Wait(waiting) => Box::pin(wait(&mut parts, &mut ends, waiting, &mut early)).await,
            Next::Open(before) => Box::pin(open_for(&parts, &mut ends, before, &mut early)).await,
            Next::Sleep(dormant) => sleep(&parts, &mut ends, dormant, &mut early).await,
            Next::Move(order, closing) => {
                Box::pin(relocate(&mut parts, &mut ends, *order, closing, &mut early)).await
            }
            Next::Verify(closing) => {
                let closed = Box::pin(await_closed(&mut ends, closing, &mut early)).await;
                closed.map(|()| Next::Open(Before::Ran))
            }
            Next::Away { gone, why } => {
                let gone = gone.map(|gone| *gone);
                let again = Box::pin(open_again(&mut parts, &mut ends, gone, why, &mut early));
                again.await.map(Next::from)
            }
            Next::Fail(why) => Box::pin(fail(&mut ends, why, &mut early)).await,
            Next::Run(opened) => {
                let orders = std::mem::take(&mut early);
                let ran = Box::pin(run(&parts, *opened, ends, orders)).await;
                let Some((again, ran)) = ran else { return };
                ends = again;
                Some(after(&mut parts, &mut ends, ran, &mut early))
            }
        };
        next = match step {
            Some(next) => next,
            None => return,
        };
    }
}

/// What follows on a run.
fn after(parts: &mut Parts, ends: &mut Ends, ran: Ran, early: &mut Vec<Command>) -> Next {
    let rested = match ran {
        Ran::Rested(rested) => rested,
        Ran::Paused { orders } => {
            (*early, parts.verifies) = (orders, false);
            let mut waiting = Waiting { state: State::Queued, is_paused: false };
            // That it is to rest is all that was said last of that.
            waiting.hear(early);
            return Next::Wait(waiting);
        }
        Ran::Failed { why, may_pass, orders } => {
            *early = orders;
            return match may_pass {
                true => Next::Away { gone: None, why },
                false => Next::Fail(why),
            };
        }
    };
    parts.wish = rested.wish;
    parts.so_far.take(&ends.status.reader().borrow());
    // It was looked at, if that was asked for.
    parts.verifies = rested.verifies;
    if let Some(dormant) = rested.dormant {
        *early = rested.orders;
        // It was looked at, if that was asked for, and the record holds since.
        parts.options.check = CheckMode::Resume;
        return Next::Sleep(Box::new(Dormant { closing: Some(rested.closing), ..*dormant }));
    }
    match (rested.move_order, rested.gone) {
        (None, None) if rested.verifies => {
            *early = rested.orders;
            Next::Verify(rested.closing)
        }
        (None, None) => match lost_words(parts, &ends.status.reader().borrow()) {
            Some(why) => Next::Fail(why),
            None => Next::Wait(Waiting::finished()),
        },
        // It goes on as it was.
        (Some(order), _) => {
            *early = rested.orders;
            Next::Move(Box::new(order), Some(rested.closing))
        }
        (None, Some(gone)) => {
            *early = rested.orders;
            Next::Away { why: gone.why.clone(), gone: Some(Box::new(gone)) }
        }
    }
}

/// What is missing at the end of one that only seeds, and whose data was lost meanwhile.
fn lost_words(parts: &Parts, last: &Status) -> Option<String> {
    let count = parts.layout.piece_count();
    let have = Bitfield::from_wire(&last.have, count).unwrap_or_else(|| Bitfield::none(count));
    let lost = wanted_of(parts).minus(&have).ones();
    (parts.options.seed_only && lost > 0).then(|| missing_words(lost as usize, count))
}

async fn wait(
    parts: &mut Parts,
    ends: &mut Ends,
    mut waiting: Waiting,
    early: &mut Vec<Command>,
) -> Option<Next> {
    // One that waits for its turn holds no links.
    ends.let_go();
    ends.known.keep_best();
    let mut is_ordered = parts.verifies;
    loop {
        if std::mem::take(&mut is_ordered) && parts.torrent.is_judged() {
            parts.verifies = true;
            // Seldom: thousands wait, and none of them is to have room for it.
            let looked = Box::pin(verify_at_rest(parts, ends, &mut waiting, early)).await?;
            parts.wish.take_all(&ends.status, early);
            parked::take_verify(early);
            let lost = lost_words(parts, &ends.status.reader().borrow());
            if let Some(why) = lost.filter(|_| looked) {
                return Some(Next::Fail(why));
            }
            if waiting.hear(early) {
                return Some(Next::Open(Before::Nothing));
            }
        }
        match parked::wait(ends, &mut waiting, &mut parts.wish, early).await {
            Woken::Run { sleeps: false } => return Some(Next::Open(Before::Nothing)),
            Woken::Run { sleeps: true } => return Some(Next::Open(Before::Many)),
            Woken::Move(order) => {
                // Seldom: thousands wait, and none of them is to have room for it.
                Box::pin(relocate(parts, ends, order, None, early)).await?;
                is_ordered = parked::take_verify(early) && parts.torrent.is_judged();
                parts.verifies |= is_ordered;
                if waiting.hear(early) {
                    return Some(Next::Open(Before::Nothing));
                }
            }
            Woken::Verify => is_ordered = true,
            Woken::End => return None,
        }
    }
}

/// Opens its files; one of many is let sleep, where that is all that is to be done.
async fn open_for(
    parts: &Parts,
    ends: &mut Ends,
    before: Before,
    early: &mut Vec<Command>,
) -> Option<Next> {
    if before == Before::Many {
        // A disk that does not answer is told of when it is asked to open the files.
        let found = timeout(SILENT_AFTER, find_at_rest(parts));
        let found = meanwhile(ends, early, found).await?.ok().flatten();
        if let Some(found) = found.filter(|_| early.is_empty()) {
            ends.let_go();
            // Who is told to begin is paused no more.
            let (dormant, seen) = first_sleep(parts, found, false, None);
            ends.status.change(|status| *status = first_status(parts, seen));
            return Some(Next::Sleep(dormant));
        }
    }
    open_now(parts, ends, before, early).await.map(Next::from)
}

/// Sleeps until there is something to do. None when the torrent is to end.
async fn sleep(
    parts: &Parts,
    ends: &mut Ends,
    dormant: Box<Dormant>,
    early: &mut Vec<Command>,
) -> Option<Next> {
    ends.known.keep_best();
    // Where it ends meanwhile, its trackers are to hear of it.
    ends.dormant = Some(dormant);
    Box::pin(asleep::lie_down(parts, ends, early)).await?;
    let dormant = ends.dormant.take()?;
    match asleep::sleep(parts, ends, dormant, early).await {
        Rise::Wakes => Some(Next::Open(Before::Slept)),
        Rise::Finishes => Some(Next::Wait(Waiting::finished())),
        Rise::Ends => None,
    }
}

/// Has the files moved or renamed, while nothing of the torrent runs. None when it is to end.
async fn relocate(
    parts: &mut Parts,
    ends: &mut Ends,
    order: MoveOrder,
    closing: Option<mpsc::Receiver<DiskEvent>>,
    early: &mut Vec<Command>,
) -> Option<Next> {
    let config = meanwhile(ends, early, store_config(parts)).await?;
    let wish = &mut parts.wish;
    match moving::relocate(ends, config, order, closing, wish, early).await {
        Relocated::To(dir) => {
            parts.options.dir = dir;
            // The record of the new place holds.
            parts.options.check = CheckMode::Resume;
        }
        Relocated::Stays => {}
        Relocated::Stopped => return None,
    }
    Some(Next::Open(Before::Moved))
}

/// Waits with an error until everybody has seen it, and it is to be tried again. None when the
/// torrent is to end.
async fn fail(ends: &mut Ends, why: String, early: &mut Vec<Command>) -> Option<Next> {
    ends.let_go();
    ends.status.change(|status| (status.state, status.is_asleep) = (State::Failed(why), false));
    loop {
        let command = tokio::select! {
            command = ends.commands.recv() => command,
            // Nobody is let in: dropping it closes the connection.
            Some(_) = ends.incoming.recv() => continue,
        };
        match command? {
            Command::Stop(answer) => {
                ends.end(answer).await;
                return None;
            }
            Command::Resume => {
                // What was said of a pause before is void.
                parked::keep(early, Command::Resume);
                return Some(Next::Open(Before::Nothing));
            }
            Command::Verify => {
                parked::keep(early, Command::Verify);
                return Some(Next::Open(Before::Nothing));
            }
            Command::Move(order) => return Some(Next::Move(Box::new(order), None)),
            order => parked::keep(early, order),
        }
    }
}

//! From a torrent and its options to a running actor: wait for its turn, open the files, read
//! the record, look at what the record does not cover, then let the actor go. Orders are taken
//! from the first moment on.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{Instrument as _, error_span};

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash, PeerId};
use crate::base::layout::Layout;
use crate::base::pool::BlockPool;
use crate::dht::task::Dht;
use crate::disk::{self, Disk, DiskEvent, FileNews, Gone, StoreConfig, StoreFile, StoreHandle};
use crate::link::web::Origins;
use crate::link::{DhtEnd, Secrecy};
use crate::metainfo::Torrent;
use crate::net::egress::Egress;
use crate::net::limiter::Limiter;
use crate::net::portmap::OwnPorts;
use crate::swarm::Acquaintances;
use crate::swarm::event::Event;
use crate::swarm::waits::Waits;
use crate::tracker::task::Announcer;

use super::Error;
use super::actor::{DISK_EVENTS_LEN, Rested};
use super::away::Away;
use super::birth;
use super::board::Board;
use super::checking::{Checked, check};
use super::command::Command;
use super::found;
use super::handle::{News, TorrentHandle};
use super::incoming::Incoming;
use super::meanwhile::{blocking, meanwhile};
use super::moving::{self, MoveOrder, Relocated};
use super::options::{CheckMode, TorrentOptions};
use super::parked::{self, Waiting, Woken};
use super::places::Account;
use super::publish::{SoFar, payload_of, wanted_pieces};
use super::seeking::Contacts;
use super::status::{FoundPieces, State, Status, missing_words};
use super::trackers::{Goodbye, Trackers};

/// Orders that wait for the actor; whoever gives more waits too.
const COMMANDS_LEN: usize = 32;
/// News that a slow reader may be behind. All places are allocated at once, some hundred bytes
/// each, for each torrent that waits; news are rare.
const NEWS_LEN: usize = 32;
/// Connections that wait to be admitted; more are closed.
const INCOMING_LEN: usize = 64;
/// A disk that has not answered for so long is in trouble.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Peers that a tracker is asked for.
pub(super) const NUMWANT: u32 = 100;

/// What a torrent gets from its session.
#[derive(Clone)]
pub struct Resources {
    /// Our id.
    pub peer_id: PeerId,
    /// The ports we listen on, and what they are outside.
    pub ports: OwnPorts,
    /// Where everything leaves.
    pub egress: Egress,
    /// Whether connections are encrypted.
    pub secrecy: Secrecy,
    /// Where records of verified pieces lie.
    pub state_dir: PathBuf,
    /// All blocks between socket and disk.
    pub pool: BlockPool,
    /// The workers.
    pub disk: Arc<Disk>,
    /// The download limit of the session.
    pub limiter: Arc<Limiter>,
    /// The upload limit of the session.
    pub up_limiter: Arc<Limiter>,
    /// The connections that all torrents may have together.
    pub places: Account,
    /// The connections to servers of files.
    pub origins: Origins,
    /// Announces all torrents to their trackers.
    pub announcer: Announcer,
    /// The DHT, where it runs.
    pub dht: Option<Dht>,
    /// Whether the end of a torrent may take as long as its device needs.
    pub patient: watch::Receiver<bool>,
    /// Rung when the state of a torrent changes.
    pub bell: Arc<Notify>,
}

impl Resources {
    /// The DHT as links are to know it.
    pub(super) fn dht_end(&self) -> Option<DhtEnd> {
        let ports = self.ports.clone();
        self.dht.as_ref().map(|dht| DhtEnd { ports, nodes: dht.named() })
    }
}

/// How a torrent comes into its session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// It waits until its turn comes; otherwise it starts at once.
    pub is_queued: bool,
    /// Payload sent in earlier runs.
    pub uploaded_before_bytes: u64,
    /// Its record of verified pieces, by [`record_of`](crate::disk::record_of).
    pub record: PathBuf,
    /// Blocks of the pool that its open pieces may hold; changes as torrents come and go.
    pub share: watch::Receiver<usize>,
}

/// Tells of files that are not as they should be at the start.
fn tell_troubles(ends: &Ends, news: Vec<FileNews>) {
    for item in news {
        if let FileNews::Trouble { error, .. } = item {
            // Nobody may be listening.
            let _ = ends.news.send(News::Swarm(Event::DiskTrouble(error.to_string())));
        }
    }
}

/// What of a torrent the actor needs, checked to be there.
pub(super) struct Parts {
    pub torrent: Arc<Torrent>,
    pub options: TorrentOptions,
    pub resources: Resources,
    pub info_hash: InfoHash,
    pub layout: Layout,
    pub extents: Extents,
    /// One entry a file.
    pub wanted_files: Vec<bool>,
    pub uploaded_before_bytes: u64,
    pub record: PathBuf,
    pub so_far: SoFar,
    /// The torrent's own limits, below the session's.
    pub limiter: Arc<Limiter>,
    pub up_limiter: Arc<Limiter>,
}

/// The ends that whoever runs the torrent holds.
pub(super) struct Ends {
    pub commands: mpsc::Receiver<Command>,
    pub incoming: mpsc::Receiver<Incoming>,
    pub status: Board,
    pub news: broadcast::Sender<News>,
    /// Whom its last actor knew.
    pub known: Acquaintances,
    /// What that one waited for.
    pub waits: Option<Waits>,
    /// Whom the search for its metadata met.
    pub contacts: Option<Contacts>,
    /// The search's trackers hear that it is over.
    pub goodbye: Option<Goodbye>,
    pub share: watch::Receiver<usize>,
}

impl Ends {
    /// The torrent does not go on now: whom the search for its metadata met is left, but
    /// remembered, and its trackers hear that.
    fn let_go(&mut self) {
        let Some(contacts) = self.contacts.take() else { return };
        let Contacts { company, links, trackers, goodbye, seats } = contacts;
        drop((links, seats));
        self.known = company.acquaintances();
        let later = goodbye.or(trackers.map(Trackers::leave));
        self.goodbye = self.goodbye.take().or(later);
    }

    /// Waits until the search's trackers have heard that it is over, if it is.
    async fn say_goodbye(&mut self) {
        if let Some(goodbye) = self.goodbye.take() {
            goodbye.said().await;
        }
    }

    /// The torrent ends before it ran: whoever wants that is told when its trackers are.
    pub async fn end(&mut self, answer: oneshot::Sender<()>) {
        self.let_go();
        self.say_goodbye().await;
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    /// The same, when `work` has come to its end, too.
    pub async fn end_after(&mut self, work: impl Future, answer: oneshot::Sender<()>) {
        self.let_go();
        tokio::join!(work, self.say_goodbye());
        // The one who asked may have gone.
        let _ = answer.send(());
    }
}

/// A torrent's files, open on the disk workers.
struct Opened {
    store: StoreHandle,
    disk_events: mpsc::Receiver<DiskEvent>,
    /// They were open a moment ago, and were only moved.
    is_moved: bool,
}

/// Opens a torrent's files and starts it. Returns its handle, the hash that peers name it by
/// and where their connections go. Looking at data on disk goes on in the background. A queued
/// torrent opens nothing before its turn; what is wrong with its files shows in its state then.
///
/// # Errors
/// `V2Only`; `Disk` when another process has the torrent or its files cannot be opened.
pub async fn start(
    resources: Resources,
    torrent: Arc<Torrent>,
    options: TorrentOptions,
    entry: Entry,
    contacts: Option<Contacts>,
) -> Result<(TorrentHandle, InfoHash, mpsc::Sender<Incoming>), Error> {
    let (Some(info_hash), Some(layout), Some(extents)) =
        (torrent.info_hash_v1, torrent.layout, torrent.extents())
    else {
        return Err(refuse(Error::V2Only, contacts).await);
    };
    let wanted_files =
        options.wanted_files.clone().unwrap_or_else(|| vec![true; torrent.files.len()]);
    let Entry { is_queued, uploaded_before_bytes, record, share } = entry;
    let [limiter, up_limiter] = limiters(&resources, contacts.as_ref());
    let parts = Parts {
        torrent,
        options,
        resources,
        info_hash,
        layout,
        extents,
        wanted_files,
        uploaded_before_bytes,
        record,
        so_far: SoFar::nothing(),
        limiter,
        up_limiter,
    };
    let first = match is_queued {
        true => Next::Wait(State::Queued),
        false => match open(&parts).await {
            Ok(opened) => Next::Run(opened),
            Err(Error::Disk(error)) if parts.options.waits_for_disk && error.may_pass() => {
                Next::Away { gone: None, why: error.to_string() }
            }
            Err(error) => return Err(refuse(error, contacts).await),
        },
    };

    let (commands, orders) = mpsc::channel(COMMANDS_LEN);
    let (incoming, arrivals) = mpsc::channel(INCOMING_LEN);
    let status = Board::new(first_status(&parts, &first), parts.resources.bell.clone());
    let (news, _) = broadcast::channel(NEWS_LEN);
    let handle = TorrentHandle { commands, status: status.reader(), news: news.clone() };
    let known = Acquaintances::default();
    let mut contacts = contacts;
    let goodbye = contacts.as_mut().and_then(|contacts| contacts.goodbye.take());
    let ends = Ends {
        commands: orders,
        incoming: arrivals,
        status,
        news,
        known,
        waits: None,
        contacts,
        goodbye,
        share,
    };
    // At every level, so that each line of the log names its torrent.
    let span = error_span!("torrent", name = ?parts.torrent.name, hash = %short(info_hash));
    tokio::spawn(live(parts, first, ends).instrument(span));
    Ok((handle, info_hash, incoming))
}

/// The torrent does not begin: whom the search for its metadata met is left, too.
async fn refuse(error: Error, contacts: Option<Contacts>) -> Error {
    if let Some(contacts) = contacts {
        contacts.leave().await;
    }
    error
}

/// The torrent's own limits down and up; links that it has already obey them.
fn limiters(resources: &Resources, contacts: Option<&Contacts>) -> [Arc<Limiter>; 2] {
    if let Some(Contacts { links, .. }) = contacts {
        return [&links.config.limiter, &links.config.up_limiter].map(Arc::clone);
    }
    let under = |limiter: &Arc<Limiter>| Arc::new(Limiter::under(limiter.clone(), None));
    [under(&resources.limiter), under(&resources.up_limiter)]
}

/// As much of a hash as tells torrents apart for people.
fn short(info_hash: InfoHash) -> String {
    info_hash.to_string().chars().take(8).collect()
}

/// What is known before anything was looked at.
fn first_status(parts: &Parts, first: &Next) -> Status {
    Status {
        state: match first {
            Next::Wait(state) => state.clone(),
            Next::Away { why, .. } => State::DiskTrouble(why.clone()),
            _ => State::Checking,
        },
        wanted_bytes: parts.torrent.total_size(),
        wanted_files: parts.wanted_files.clone().into(),
        piece_count: parts.layout.piece_count(),
        listen_port: parts.resources.ports.listen(),
        uploaded_before_bytes: parts.uploaded_before_bytes,
        ..Status::default()
    }
}

async fn open(parts: &Parts) -> Result<Opened, Error> {
    let (events, disk_events) = mpsc::channel(DISK_EVENTS_LEN);
    let config = store_config(parts);
    let disk = parts.resources.disk.clone();
    let store = blocking(move || disk.open(config, events)).await?;
    Ok(Opened { store, disk_events, is_moved: false })
}

fn store_config(parts: &Parts) -> StoreConfig {
    let Parts { torrent, options, info_hash, layout, wanted_files, record, .. } = parts;
    let links = torrent.symlinks.iter().map(|link| (link.path.clone(), link.content()));
    StoreConfig {
        layout: *layout,
        piece_hashes: torrent.shared_piece_hashes(),
        files: store_files(torrent),
        symlinks: links.collect(),
        dir: options.dir.clone(),
        wanted: wanted_files.clone(),
        allocate: options.allocate,
        overwrite: options.overwrite,
        resume_path: record.clone(),
        info_hash: *info_hash,
    }
}

/// The torrent's files as the disk is told of them.
pub(super) fn store_files(torrent: &Torrent) -> Vec<StoreFile> {
    let files = torrent.files.iter().map(|file| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    });
    files.collect()
}

/// What a torrent does next.
enum Next {
    /// Wait for its turn, or until it is to seed on.
    Wait(State),
    /// Open its files.
    Open { is_moved: bool },
    /// Run.
    Run(Opened),
    /// Have its files moved, as soon as the disk workers have let go of them, and open them there.
    Move(MoveOrder, Option<mpsc::Receiver<DiskEvent>>),
    /// Wait until its disk is there, and open its files; what became of it, if it was.
    Away { gone: Option<Gone>, why: String },
    /// Show why it cannot go on.
    Fail(String),
}

/// The life of a torrent: wait for its turn, run, and when it has seeded enough wait again.
/// When its disk is not there, wait for that and go on.
async fn live(mut parts: Parts, first: Next, mut ends: Ends) {
    let mut early = Vec::new();
    let mut next = first;
    loop {
        let step = match next {
            Next::Wait(state) => wait(&mut parts, &mut ends, state, &mut early).await,
            Next::Open { is_moved } => open_now(&parts, &mut ends, is_moved, &mut early).await,
            Next::Move(order, closing) => {
                relocate(&mut parts, &mut ends, order, closing, &mut early).await
            }
            Next::Away { gone, why } => {
                open_again(&mut parts, &mut ends, gone, why, &mut early).await
            }
            Next::Fail(why) => fail(&mut ends, why, &mut early).await,
            Next::Run(opened) => {
                let orders = std::mem::take(&mut early);
                let Some((again, ran)) = run(&parts, opened, ends, orders).await else { return };
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
        Ran::Failed { why, may_pass, orders } => {
            *early = orders;
            return match may_pass {
                true => Next::Away { gone: None, why },
                false => Next::Fail(why),
            };
        }
    };
    parts.wanted_files = rested.wanted_files;
    parts.so_far.take(&ends.status.reader().borrow());
    match (rested.move_order, rested.gone) {
        (None, None) => match lost_words(parts, &ends.status.reader().borrow()) {
            Some(why) => Next::Fail(why),
            None => Next::Wait(State::Finished),
        },
        // It goes on as it was.
        (Some(order), _) => {
            *early = rested.orders;
            Next::Move(order, Some(rested.closing))
        }
        (None, Some(gone)) => {
            *early = rested.orders;
            Next::Away { why: gone.why.clone(), gone: Some(gone) }
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
    state: State,
    early: &mut Vec<Command>,
) -> Option<Next> {
    // One that waits for its turn holds no links.
    ends.let_go();
    ends.known.keep_best();
    let mut waiting = Waiting { state, is_paused: false };
    loop {
        match parked::wait(ends, &mut waiting, &mut parts.wanted_files, early).await {
            Woken::Run => return Some(Next::Open { is_moved: false }),
            Woken::Move(order) => {
                relocate(parts, ends, order, None, early).await?;
            }
            Woken::End => return None,
        }
    }
}

async fn open_now(
    parts: &Parts,
    ends: &mut Ends,
    is_moved: bool,
    early: &mut Vec<Command>,
) -> Option<Next> {
    ends.status.change(|status| status.state = State::Checking);
    let mut opening = pin!(open(parts));
    let in_time = timeout(SILENT_AFTER, &mut opening);
    let opened = match meanwhile(ends, early, in_time).await? {
        Ok(opened) => opened,
        Err(_) => {
            // It gives its place in the queue to those on other disks.
            let dir = parts.options.dir.display();
            let why = format!("{dir} does not answer: it goes on by itself when it does");
            let _ = ends.news.send(News::Swarm(Event::DiskTrouble(why.clone())));
            ends.status.change(|status| status.state = State::DiskTrouble(why));
            let opened = meanwhile(ends, early, opening).await?;
            let _ = ends.news.send(News::Swarm(Event::DiskRecovered));
            ends.status.change(|status| status.state = State::Checking);
            opened
        }
    };
    Some(match opened {
        Ok(opened) => Next::Run(Opened { is_moved, ..opened }),
        // Our own workers may still bring what they hold of it to a slow device.
        Err(Error::Disk(error)) if error.may_pass() || is_in_use(&error) => {
            let why = error.to_string();
            // Nobody may be listening.
            let _ = ends.news.send(News::Swarm(Event::DiskTrouble(why.clone())));
            Next::Away { gone: None, why }
        }
        Err(error) => Next::Fail(error.to_string()),
    })
}

/// Has the files moved or renamed, while nothing of the torrent runs. None when it is to end.
async fn relocate(
    parts: &mut Parts,
    ends: &mut Ends,
    order: MoveOrder,
    closing: Option<mpsc::Receiver<DiskEvent>>,
    early: &mut Vec<Command>,
) -> Option<Next> {
    let config = store_config(parts);
    let wanted = &mut parts.wanted_files;
    match moving::relocate(ends, config, order, closing, wanted, early).await {
        Relocated::To(dir) => {
            parts.options.dir = dir;
            // The record of the new place holds.
            parts.options.check = CheckMode::Resume;
        }
        Relocated::Stays => {}
        Relocated::Stopped => return None,
    }
    Some(Next::Open { is_moved: true })
}

/// Waits until the directory of the files is back, or the disk takes them again, and opens them.
/// None when the torrent is to end.
async fn open_again(
    parts: &mut Parts,
    ends: &mut Ends,
    gone: Option<Gone>,
    why: String,
    early: &mut Vec<Command>,
) -> Option<Next> {
    ends.let_go();
    let mut wanted = parts.wanted_files.clone();
    let mut away = Away::new(ends, why, &mut wanted, early);
    match come_back(parts, gone, &mut away).await {
        Some(next) => {
            if matches!(next, Next::Run(_)) {
                away.end();
            }
            Some(next)
        }
        None => away.over().map(Next::Fail),
    }
}

/// Tries again and again; none when it is not to go on.
async fn come_back(parts: &mut Parts, gone: Option<Gone>, away: &mut Away<'_>) -> Option<Next> {
    loop {
        away.wait().await?;
        parts.wanted_files.clone_from(away.wanted_files);
        if let Some(gone) = gone.clone() {
            let config = store_config(parts);
            if !away.during(blocking(move || gone.is_over(&config))).await? {
                continue;
            }
        }
        match away.during(open(parts)).await? {
            Ok(opened) => return Some(Next::Run(opened)),
            // Who held the old files may take a moment to let go; then it is tried again.
            Err(Error::Disk(error)) if is_in_use(&error) => {}
            Err(Error::Disk(error)) if error.may_pass() || gone.is_some() => {
                away.stays(error.to_string());
            }
            Err(error) => return Some(Next::Fail(error.to_string())),
        }
    }
}

fn is_in_use(error: &disk::Error) -> bool {
    matches!(error, disk::Error::InUse { .. })
}

/// What came of running.
enum Ran {
    /// It may go on some day.
    Rested(Rested),
    /// It could not begin, and why; with what it was told meanwhile.
    Failed { why: String, may_pass: bool, orders: Vec<Command> },
}

/// Looks at the data and runs the actor to its end; none when that is the end of the torrent.
async fn run(
    parts: &Parts,
    opened: Opened,
    mut ends: Ends,
    mut early: Vec<Command>,
) -> Option<(Ends, Ran)> {
    let Opened { store, mut disk_events, is_moved } = opened;
    ends.status.change(|status| status.home = store.home());
    let (have, trusted) = match check(parts, &store, &mut ends, &mut early).await {
        Checked::Pieces { have, trusted } => (have, trusted),
        Checked::Stopped => return None,
    };
    let by_record = trusted.intersection(&have).ones();
    let changed = store.changed(&wanted_of(parts).minus(&have));
    if parts.options.seed_only
        && let Some(why) = lack(parts, &ends, &have)
    {
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
    let lacks_room = match meanwhile(&mut ends, &mut early, room(parts, &store, &have)).await? {
        Ok(lacks_room) => lacks_room,
        Err(error) => {
            let (why, may_pass) = (error.to_string(), false);
            return Some((ends, Ran::Failed { why, may_pass, orders: early }));
        }
    };
    tell_troubles(&ends, troubles);
    if !is_moved {
        // Nobody may be listening: it is posted, too, but after it.
        let found = FoundPieces { count: have.ones(), by_record, changed, lacks_room };
        let found = Arc::new(found);
        let _ = ends.news.send(News::Checked(found.clone()));
        ends.status.change(|status| status.found = Some(found));
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
    let (ends, rested) =
        birth::actor(parts, store, disk_events, ends, have, proven).run(early).await?;
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
/// file can ever be made; who does not ask begins anyway. To both it is told why there is none.
async fn room(
    parts: &Parts,
    store: &StoreHandle,
    have: &Bitfield,
) -> Result<Option<String>, disk::Error> {
    let (extents, layout) = (&parts.extents, &parts.layout);
    let missing = payload_of(extents, layout, &wanted_of(parts).minus(have));
    let present = payload_of(extents, layout, have);
    let options = &parts.options;
    if options.seed_only || missing == 0 {
        return Ok(None);
    }
    let store = store.clone();
    match blocking(move || store.check_room(missing, present)).await {
        Ok(()) => Ok(None),
        Err(error) if !options.checks_room || options.waits_for_disk && error.may_pass() => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

pub(super) fn wanted_of(parts: &Parts) -> Bitfield {
    let is_wanted =
        |file: FileIndex| parts.wanted_files.get(file.0 as usize).copied().unwrap_or(true);
    wanted_pieces(&parts.extents, &parts.layout, is_wanted)
}

/// Waits with an error until everybody has seen it, and it is to be tried again. None when the
/// torrent is to end.
async fn fail(ends: &mut Ends, why: String, early: &mut Vec<Command>) -> Option<Next> {
    ends.let_go();
    ends.status.change(|status| status.state = State::Failed(why));
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
            Command::Resume => return Some(Next::Open { is_moved: false }),
            Command::Move(order) => return Some(Next::Move(order, None)),
            order => parked::keep(early, order),
        }
    }
}

//! From a torrent and its options to a running actor: wait for its turn, open the files, read
//! the record, look at what the record does not cover, then let the actor go. Orders are taken
//! from the first moment on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, interval_at, timeout};
use tracing::warn;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash, PeerId};
use crate::base::layout::Layout;
use crate::base::meter::Pace;
use crate::base::pool::BlockPool;
use crate::disk::{
    self, CheckProgress, Disk, DiskEvent, DiskMeter, DiskStats, FileNews, Gone, RecordState,
    Source as Files, StoreConfig, StoreFile, StoreHandle,
};
use crate::link::{LinkConfig, LinkTimeouts};
use crate::metainfo::Torrent;
use crate::net::limiter::Limiter;
use crate::swarm::event::{Event, Input, Source};
use crate::swarm::{Acquaintances, Swarm, SwarmConfig};
use crate::tracker::task::{HttpClient, NetworkTiming, QUIET_DEFAULT, TrackerConfig};
use crate::tracker::tiers::Timing;

use super::Error;
use super::actor::{Actor, DISK_EVENTS_LEN, REPORTS_LEN, Rested};
use super::away::{Away, in_time};
use super::board::Board;
use super::command::Command;
use super::found;
use super::handle::{News, TorrentHandle};
use super::incoming::Incoming;
use super::jobs::Jobs;
use super::moving::{self, MoveOrder, Relocated};
use super::options::{CheckMode, TorrentOptions};
use super::parked::{self, Waiting, Woken};
use super::places::{Account, Places};
use super::publish::{Publisher, SoFar, wanted_pieces};
use super::status::{State, Status};
use super::trackers::{Trackers, first_stats};

/// Orders that wait for the actor; whoever gives more waits too.
const COMMANDS_LEN: usize = 32;
/// News that a slow reader may be behind. All places are allocated at once, some hundred bytes
/// each, for each torrent that waits; news are rare.
const NEWS_LEN: usize = 32;
/// Connections that wait to be admitted; more are closed.
const INCOMING_LEN: usize = 64;
/// How often a check that goes on is kept: a crash costs no more than this of it.
const KEEP_CHECK_EVERY: Duration = Duration::from_secs(10);
/// How long an ending torrent waits for its check to notice.
const STOP_CHECK_MAX: Duration = Duration::from_secs(5);
/// What is read in a second or two need not wait for its turn at the disk.
const TURN_WORTH: u64 = 1 << 30;
/// Peers that a tracker is asked for.
const NUMWANT: u32 = 100;

/// What a torrent gets from its session.
#[derive(Clone)]
pub struct Resources {
    /// Our id.
    pub peer_id: PeerId,
    /// The port we listen on.
    pub port: u16,
    /// Address to dial from.
    pub bind: Option<IpAddr>,
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
    /// For trackers.
    pub http: HttpClient,
    /// Its time limits.
    pub tracker_network: NetworkTiming,
    /// Rung when the state of a torrent changes.
    pub bell: Arc<Notify>,
}

/// How a torrent comes into its session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// It waits until its turn comes; otherwise it starts at once.
    pub is_queued: bool,
    /// Payload sent in earlier runs.
    pub uploaded_before_bytes: u64,
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
struct Parts {
    torrent: Arc<Torrent>,
    options: TorrentOptions,
    resources: Resources,
    info_hash: InfoHash,
    layout: Layout,
    extents: Extents,
    /// One entry a file.
    wanted_files: Vec<bool>,
    uploaded_before_bytes: u64,
    so_far: SoFar,
    /// The torrent's own limits, below the session's.
    limiter: Arc<Limiter>,
    up_limiter: Arc<Limiter>,
}

/// The ends that whoever runs the torrent holds.
pub(super) struct Ends {
    pub commands: mpsc::Receiver<Command>,
    pub incoming: mpsc::Receiver<Incoming>,
    pub status: Board,
    pub news: broadcast::Sender<News>,
    /// Whom its last actor knew.
    pub known: Acquaintances,
    pub share: watch::Receiver<usize>,
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
) -> Result<(TorrentHandle, InfoHash, mpsc::Sender<Incoming>), Error> {
    let (Some(info_hash), Some(layout), Some(extents)) =
        (torrent.info_hash_v1, torrent.layout, torrent.extents())
    else {
        return Err(Error::V2Only);
    };
    let wanted_files =
        options.wanted_files.clone().unwrap_or_else(|| vec![true; torrent.files.len()]);
    let Entry { is_queued, uploaded_before_bytes, share } = entry;
    let limiter = Arc::new(Limiter::under(resources.limiter.clone(), None));
    let up_limiter = Arc::new(Limiter::under(resources.up_limiter.clone(), None));
    let parts = Parts {
        torrent,
        options,
        resources,
        info_hash,
        layout,
        extents,
        wanted_files,
        uploaded_before_bytes,
        so_far: SoFar::nothing(),
        limiter,
        up_limiter,
    };
    let opened = if is_queued { None } else { Some(open(&parts).await?) };

    let (commands, orders) = mpsc::channel(COMMANDS_LEN);
    let (incoming, arrivals) = mpsc::channel(INCOMING_LEN);
    let status = Board::new(first_status(&parts, is_queued), parts.resources.bell.clone());
    let (news, _) = broadcast::channel(NEWS_LEN);
    let handle = TorrentHandle { commands, status: status.reader(), news: news.clone() };
    let known = Acquaintances::default();
    let ends = Ends { commands: orders, incoming: arrivals, status, news, known, share };
    tokio::spawn(live(parts, opened, ends));
    Ok((handle, info_hash, incoming))
}

/// What is known before anything was looked at.
fn first_status(parts: &Parts, is_queued: bool) -> Status {
    Status {
        state: if is_queued { State::Queued } else { State::Checking },
        wanted_bytes: parts.torrent.total_size(),
        piece_count: parts.layout.piece_count(),
        listen_port: parts.resources.port,
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

/// Runs work that waits for the disk. A panic in it is our own and goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn store_config(parts: &Parts) -> StoreConfig {
    let Parts { torrent, options, resources, info_hash, layout, wanted_files, .. } = parts;
    let files = torrent.files.iter().map(|file| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    });
    let links = torrent.symlinks.iter().map(|link| (link.path.clone(), link.content()));
    StoreConfig {
        layout: *layout,
        piece_hashes: torrent.shared_piece_hashes(),
        files: files.collect(),
        symlinks: links.collect(),
        dir: options.dir.clone(),
        wanted: wanted_files.clone(),
        allocate: options.allocate,
        overwrite: options.overwrite,
        resume_path: resources.state_dir.join(format!("{info_hash}.resume")),
        info_hash: *info_hash,
    }
}

/// The life of a torrent: wait for its turn, run, and when it has seeded enough wait again.
/// When its directory is gone, wait for that and go on.
async fn live(mut parts: Parts, mut opened: Option<Opened>, mut ends: Ends) {
    let mut waiting = Waiting { state: State::Queued, is_paused: false };
    let mut early = Vec::new();
    loop {
        let files = match opened.take() {
            Some(opened) => opened,
            None => {
                let wanted = &mut parts.wanted_files;
                match parked::wait(&mut ends, &mut waiting, wanted, &mut early).await {
                    Woken::Run => {}
                    Woken::Move(order) => {
                        match relocate(&mut parts, &mut ends, order, &mut early).await {
                            true => continue,
                            false => return,
                        }
                    }
                    Woken::End => return,
                }
                ends.status.change(|status| status.state = State::Checking);
                match open(&parts).await {
                    Ok(opened) => opened,
                    Err(error) => return fail(ends, error.to_string()).await,
                }
            }
        };
        let orders = std::mem::take(&mut early);
        let Some(rested) = run(&parts, files, ends, orders).await else { return };
        (ends, parts.wanted_files) = (rested.ends, rested.wanted_files);
        parts.so_far.take(&ends.status.reader().borrow());
        waiting = Waiting { state: State::Finished, is_paused: false };
        if rested.gone.is_some() || rested.move_order.is_some() {
            // It goes on as it was.
            early = rested.orders;
        } else {
            ends.known.keep_best();
        }
        if let Some(order) = rested.move_order {
            if !relocate(&mut parts, &mut ends, order, &mut early).await {
                return;
            }
            ends.status.change(|status| status.state = State::Checking);
            match open(&parts).await {
                Ok(again) => opened = Some(Opened { is_moved: true, ..again }),
                Err(error) => return fail(ends, error.to_string()).await,
            }
        } else if let Some(gone) = rested.gone {
            match open_again(&mut parts, &mut ends, gone, &mut early).await {
                Some(again) => opened = Some(again),
                None => return,
            }
        }
    }
}

/// Has the files moved or renamed, while nothing of the torrent runs. False when it is to end.
async fn relocate(
    parts: &mut Parts,
    ends: &mut Ends,
    order: MoveOrder,
    early: &mut Vec<Command>,
) -> bool {
    let config = store_config(parts);
    match moving::relocate(ends, config, order, &mut parts.wanted_files, early).await {
        Relocated::To(dir) => {
            parts.options.dir = dir;
            // The record of the new place holds.
            parts.options.check = CheckMode::Resume;
            true
        }
        Relocated::Stays => true,
        Relocated::Stopped => false,
    }
}

/// Waits until the directory of the files is back, and opens them. None when the torrent is to
/// end.
async fn open_again(
    parts: &mut Parts,
    ends: &mut Ends,
    gone: Gone,
    early: &mut Vec<Command>,
) -> Option<Opened> {
    let mut wanted = parts.wanted_files.clone();
    let mut away = Away::new(ends, gone, &mut wanted, early);
    while away.wait().await {
        parts.wanted_files.clone_from(away.wanted_files);
        let (config, gone) = (store_config(parts), away.gone.clone());
        let is_over = in_time(blocking(move || gone.is_over(&config))).await;
        if !is_over {
            continue;
        }
        match open(parts).await {
            Ok(opened) => {
                away.end();
                return Some(opened);
            }
            // Who held the old files may take a moment to let go; then it is tried again.
            Err(Error::Disk(disk::Error::InUse { .. })) => {}
            Err(error) => away.stays(error.to_string()),
        }
    }
    None
}

/// Looks at the data and runs the actor to its end; none when that is the end of the torrent.
async fn run(
    parts: &Parts,
    opened: Opened,
    mut ends: Ends,
    mut early: Vec<Command>,
) -> Option<Rested> {
    let Opened { store, mut disk_events, is_moved } = opened;
    ends.status.change(|status| status.home = store.home());
    let (have, trusted) = match check(parts, &store, &mut ends, &mut early).await {
        Checked::Pieces { have, trusted } => (have, trusted),
        Checked::Stopped => return None,
    };
    if parts.options.seed_only
        && let Some(why) = lack(parts, &ends, &have)
    {
        drop(store);
        fail(ends, why).await;
        return None;
    }
    let started = {
        let store = store.clone();
        blocking(move || store.start(&have)).await
    };
    let mut have = match started {
        Ok(started) => {
            tell_troubles(&ends, started.news);
            started.have
        }
        Err(error) => {
            fail(ends, error.to_string()).await;
            return None;
        }
    };
    if !is_moved {
        // Nobody may be listening.
        let _ = ends.news.send(News::Checked { pieces: have.ones() });
    }
    let pool = &parts.resources.pool;
    let sources = &parts.options.found;
    found::take(sources, parts.layout, pool, &store, &mut disk_events, &mut have).await;
    let mut proven = have.clone();
    for piece in trusted.iter_ones().filter_map(|number| parts.layout.piece(number)) {
        proven.remove(piece);
    }
    actor(parts, store, disk_events, ends, have, proven).run(early).await
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
    Some(format!("{count} of {} pieces are missing or wrong", parts.layout.piece_count()))
}

fn wanted_of(parts: &Parts) -> Bitfield {
    let is_wanted =
        |file: FileIndex| parts.wanted_files.get(file.0 as usize).copied().unwrap_or(true);
    wanted_pieces(&parts.extents, &parts.layout, is_wanted)
}

/// Waits with an error until everybody has seen it.
async fn fail(mut ends: Ends, why: String) {
    ends.status.change(|status| status.state = State::Failed(why));
    // Nobody is let in.
    ends.incoming.close();
    while let Some(command) = ends.commands.recv().await {
        if let Command::Stop(answer) = command {
            // The one who asked may have gone.
            let _ = answer.send(());
            return;
        }
    }
}

enum Checked {
    Pieces {
        /// What is there.
        have: Bitfield,
        /// What of it was not looked at.
        trusted: Bitfield,
    },
    Stopped,
}

/// Looks at data on disk as far as the options and the record ask for it.
/// Orders that come meanwhile are kept in `early`; questions find no answer yet.
async fn check(
    parts: &Parts,
    store: &StoreHandle,
    ends: &mut Ends,
    early: &mut Vec<Command>,
) -> Checked {
    let plan = Plan::of(parts, store);
    if !plan.is_needed {
        return Checked::Pieces { have: plan.trusted.clone(), trusted: plan.trusted };
    }
    let progress = Arc::new(CheckProgress::default());
    let trusted = plan.trusted.clone();
    let pieces = u64::from(parts.layout.piece_count() - plan.skipped.ones());
    let is_long = pieces * u64::from(parts.layout.piece_len()) >= TURN_WORTH;
    let mut work: JoinHandle<Bitfield> = {
        let (store, progress, plan) = (store.clone(), progress.clone(), plan.clone());
        let state_dir = parts.resources.state_dir.clone();
        spawn_blocking(move || {
            let _turn = is_long.then(|| store.take_turn(&state_dir, &progress));
            plan.result(&store.check(&plan.skipped, &progress).have)
        })
    };
    let keep = || plan.keep(store, &progress);
    let mut tick = interval(Duration::from_millis(250));
    let mut kept = interval_at((Instant::now() + KEEP_CHECK_EVERY).into(), KEEP_CHECK_EVERY);
    let total = parts.torrent.total_size();
    let mut pace = Pace::new(Instant::now());
    loop {
        tokio::select! {
            have = &mut work => return match have {
                Ok(have) => Checked::Pieces { have, trusted },
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            _ = kept.tick() => keep().await,
            _ = tick.tick() => ends.status.change(|status| {
                status.checked_bytes = progress.bytes();
                status.check_rate = pace.on_done(progress.bytes().0, Instant::now());
                status.check_waits = progress.is_waiting();
                status.wanted_bytes = total;
                status.piece_count = parts.layout.piece_count();
                status.listen_port = parts.resources.port;
            }),
            command = ends.commands.recv() => match command {
                Some(Command::Stop(answer)) => {
                    progress.cancel();
                    // A disk that hangs must not hold up the end.
                    if timeout(STOP_CHECK_MAX, &mut work).await.is_ok() {
                        keep().await;
                    }
                    // The one who asked may have gone.
                    let _ = answer.send(());
                    return Checked::Stopped;
                }
                Some(order) => parked::keep(early, order),
                None => {
                    progress.cancel();
                    return Checked::Stopped;
                }
            },
        }
    }
}

/// Which pieces to look at.
#[derive(Clone)]
struct Plan {
    is_needed: bool,
    /// Right without a look.
    trusted: Bitfield,
    /// Not looked at: trusted ones, and those that the record knows to be missing.
    skipped: Bitfield,
}

impl Plan {
    fn of(parts: &Parts, store: &StoreHandle) -> Self {
        let none = Bitfield::none(parts.layout.piece_count());
        let survey = store.survey();
        let anything = survey.final_count + survey.part_count > 0;
        let recorded = store.record_state() == RecordState::Loaded;
        if parts.options.check != CheckMode::Resume || !recorded {
            return Self { is_needed: anything, trusted: none.clone(), skipped: none };
        }
        let (trusted, recorded) = (store.trusted(), store.recorded());
        let mut skipped = Bitfield::all(parts.layout.piece_count());
        for piece in parts.layout.pieces() {
            if recorded.has(piece) && !trusted.has(piece) {
                skipped.remove(piece);
            }
        }
        Self { is_needed: anything && !skipped.is_full(), trusted, skipped }
    }

    /// Has the record keep how far the check is, so that a start after a stop or a crash goes on
    /// from there.
    async fn keep(&self, store: &StoreHandle, progress: &CheckProgress) {
        let Some(found) = progress.snapshot() else { return };
        let looked_at = found.looked_at.union(&self.skipped);
        let right = found.right.union(&self.trusted);
        let store = store.clone();
        if let Err(error) = blocking(move || store.keep_check(&looked_at, &right)).await {
            warn!(%error, "how far the check is cannot be kept");
        }
    }

    /// The pieces that are there, by what a check found.
    fn result(&self, found: &Bitfield) -> Bitfield {
        let mut have = self.trusted.clone();
        let layout = Layout::new(u64::from(found.piece_count()), 1);
        for piece in layout.iter().flat_map(Layout::pieces) {
            if !self.skipped.has(piece) && found.has(piece) {
                have.insert(piece);
            }
        }
        have
    }
}

fn actor(
    parts: &Parts,
    store: StoreHandle,
    disk_events: mpsc::Receiver<DiskEvent>,
    mut ends: Ends,
    have: Bitfield,
    proven: Bitfield,
) -> Actor {
    let wanted = wanted_of(parts);
    let mut publisher = publisher(parts, &store);
    publisher.set_wanted(&parts.extents, &parts.layout, &wanted, &have);
    let config = SwarmConfig {
        layout: parts.layout,
        extents: parts.extents.clone(),
        info_hash: parts.info_hash,
        have,
        proven,
        wanted,
        share_blocks: *ends.share.borrow_and_update(),
        max_peers: parts.options.max_peers,
        is_private: parts.torrent.private,
        sequential: parts.options.sequential,
        listen_port: parts.resources.port,
        peer_id: parts.resources.peer_id,
        seed: rand::random(),
    };
    let now = Instant::now();
    let mut swarm = Swarm::new(config, now);
    swarm.remember(ends.known);
    let addresses = parts.options.peers.clone();
    swarm.handle(Input::Candidates { source: Source::User, addresses }, now);
    let left = publisher.left();
    let trackers = Trackers::start(tracker_config(parts, left), first_stats(left));
    Actor {
        swarm,
        layout: parts.layout,
        extents: parts.extents.clone(),
        links: Default::default(),
        places: Places::new(parts.resources.places.clone()),
        link_config: Arc::new(link_config(parts, store.source())),
        providers: Default::default(),
        open: Default::default(),
        reports: mpsc::channel(REPORTS_LEN),
        jobs: Jobs::new(store),
        disk_events,
        disk_stats: DiskStats::default(),
        disk_meter: DiskMeter::default(),
        waits: [parts.resources.pool.waits_count(); 2],
        jobs_out: 0,
        flushed: false,
        finish_again: None,
        look_at: now,
        is_looking: false,
        gone: None,
        move_order: None,
        commands: ends.commands,
        incoming: ends.incoming,
        trackers,
        publisher,
        news: ends.news,
        share: ends.share,
        status: ends.status,
        wanted_files: parts.wanted_files.clone(),
        outbox: Default::default(),
    }
}

fn publisher(parts: &Parts, store: &StoreHandle) -> Publisher {
    Publisher::new(
        parts.layout.piece_count(),
        parts.resources.pool.clone(),
        parts.resources.port,
        parts.uploaded_before_bytes,
        parts.so_far.clone(),
        store.home(),
    )
}

fn link_config(parts: &Parts, source: Option<Files>) -> LinkConfig {
    let resources = &parts.resources;
    LinkConfig {
        info_hash: parts.info_hash,
        peer_id: resources.peer_id,
        layout: parts.layout,
        pool: resources.pool.clone(),
        limiter: parts.limiter.clone(),
        up_limiter: parts.up_limiter.clone(),
        source,
        listen_port: Some(resources.port),
        bind: resources.bind,
        timeouts: LinkTimeouts::default(),
    }
}

/// What to announce with; none when there is nobody to ask.
fn tracker_config(parts: &Parts, left: u64) -> Option<TrackerConfig> {
    let options = &parts.options;
    if !options.use_trackers {
        return None;
    }
    let mut tiers: Vec<Vec<String>> =
        options.extra_trackers.iter().map(|url| vec![url.clone()]).collect();
    tiers.extend(parts.torrent.trackers.iter().cloned());
    (!tiers.is_empty()).then(|| TrackerConfig {
        tiers,
        info_hash: parts.info_hash,
        peer_id: parts.resources.peer_id,
        port: parts.resources.port,
        key: rand::random(),
        numwant: NUMWANT,
        is_private: parts.torrent.private,
        is_complete: left == 0,
        client: parts.resources.http.clone(),
        timing: Timing::default(),
        network: parts.resources.tracker_network.clone(),
        quiet: QUIET_DEFAULT,
        rng_seed: rand::random(),
    })
}

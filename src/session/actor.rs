//! The actor that owns the torrents of a session: it lets them in and out, starts the next one
//! when there is a place, ends seeding when it was enough, and keeps what was sent and which
//! files are wanted. It sleeps
//! while no torrent changes its state. It moves no byte of data and draws no conclusions about
//! a transfer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::base::ids::InfoHash;
use crate::base::units::BLOCK_LEN;
use crate::dht::Hint;
use crate::disk::record_of;
use crate::metainfo::Torrent;
use crate::net::lsd::LocalPeer;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::incoming::Incoming;
use crate::torrent::lifecycle;
use crate::torrent::options::{SeedLimits, TorrentOptions};
use crate::torrent::places::{Account, LINKS_MAX};
use crate::torrent::resources::{Entry, Resources, Turn};
use crate::torrent::seeking::{self, Contacts, SeekRequest, Seeking};
use crate::torrent::status::{State, Status};

use super::claims::{Claims, Taken};
use super::error::Error;
use super::listener::Registration;
use super::local::Local;
use super::outside::Outside;
use super::persist::{Kept, News, write};
use super::places::{Standing, divide};
use super::queue::{self, Claim};
use super::searches::Searches;
use super::shares::{self, Demand};
use super::way_out::WayOut;
use super::{persist, seeding, slumber};

/// How often seeding is measured against its limits, while there are any to reach.
const SEEDING_LOOK: Duration = Duration::from_secs(1);
/// How often what was sent is kept, against a crash.
const KEEP_EVERY: Duration = Duration::from_secs(180);
/// How long others wait for that.
const KEEP_MAX: Duration = Duration::from_secs(2);
/// How long an ending session waits for files that are being opened.
const ARRIVE_MAX: Duration = Duration::from_secs(3);

/// After all torrents were looked at, changes of theirs wait for so long for each that there is:
/// else 2,500 torrents that change often would cost a seventh of the processor's time.
const LOOK_PAUSE: Duration = Duration::from_micros(4);

/// Connections of a search for metadata: beside it torrents are to have theirs.
const SEEK_LINKS_MAX: usize = 40;

/// Where it is told what came of an addition.
type AddAnswer = oneshot::Sender<Result<TorrentHandle, Error>>;

/// An order or question to the session.
#[derive(Debug)]
pub(super) enum Command {
    /// Take a torrent in.
    Add {
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Box<Contacts>>,
        answer: AddAnswer,
    },
    /// Search for the metadata of a torrent.
    Seek { request: SeekRequest, answer: oneshot::Sender<Result<Seeking, Error>> },
    /// End a torrent; answered when it has ended, with whether there was one.
    Remove { info_hash: InfoHash, answer: oneshot::Sender<bool> },
    /// Which torrents are there?
    List(oneshot::Sender<Vec<(InfoHash, TorrentHandle)>>),
    /// End all torrents and take no more; answered when they have ended.
    Stop(oneshot::Sender<()>),
}

/// One torrent as the session knows it.
struct Member {
    /// Counts those that were added.
    number: u64,
    info_hash: InfoHash,
    /// What a hybrid is called by those who know its other half.
    second_hash: Option<InfoHash>,
    name: String,
    handle: TorrentHandle,
    places: Account,
    seeding: Seeding,
    /// Nothing is downloaded for it.
    is_seed_only: bool,
    /// Blocks of a piece.
    piece_blocks: usize,
    /// Blocks that its open pieces may hold; the torrent reads the other end.
    share: watch::Sender<usize>,
    /// Its record of verified pieces.
    record: PathBuf,
    /// What the state directory says of it.
    kept: Kept,
    /// The choice of files that was looked at last.
    seen_choice: Arc<[bool]>,
    /// It is complete and awake, and nobody is connected to it, since then.
    alone_since: Option<Instant>,
    /// It is on its way out.
    is_leaving: bool,
}

impl Member {
    fn claim(&self) -> Claim {
        // A torrent that died without a word holds no place.
        match self.is_leaving || self.handle.has_ended() {
            true => Claim::Nothing,
            false => self.handle.look(|status| Claim::of(&status.state)),
        }
    }

    /// What is to be kept of it.
    fn to_keep(&self) -> Kept {
        self.handle.look(|status| {
            let wanted = Some(&status.wanted_files).filter(|files| files.contains(&false));
            // What a run that only sends does with all files says nothing about downloads.
            let wanted = if self.is_seed_only { self.kept.wanted.as_ref() } else { wanted };
            Kept { uploaded: status.uploaded_in_all(), wanted: wanted.cloned() }
        })
    }

    /// None when it downloads nothing.
    fn demand(&self) -> Option<Demand> {
        let rest_bytes = match self.is_leaving || self.handle.has_ended() {
            true => 0,
            false => self.handle.look(|status| match status.state {
                State::Downloading | State::DiskTrouble(_) => status.left_bytes(),
                _ => 0,
            }),
        };
        // More than memory can address is as good as that.
        let rest = usize::try_from(rest_bytes.div_ceil(BLOCK_LEN as u64)).unwrap_or(usize::MAX);
        (rest > 0).then_some(Demand { piece_blocks: self.piece_blocks, rest_blocks: rest })
    }
}

/// A torrent whose files are being opened. There are as many as callers that wait for that.
struct Arriving {
    task: Id,
    number: u64,
    info_hash: Option<InfoHash>,
    /// What a hybrid is called by those who know its other half.
    second_hash: Option<InfoHash>,
    name: String,
    limits: SeedLimits,
    is_seed_only: bool,
    is_private: bool,
    takes_peers: bool,
    piece_blocks: usize,
    places: Account,
    share: watch::Sender<usize>,
    is_queued: bool,
    answer: AddAnswer,
    /// It is to leave again.
    removal: Option<oneshot::Sender<bool>>,
}

/// What came of opening a torrent's files.
struct Opened {
    started: Result<(TorrentHandle, InfoHash, mpsc::Sender<Box<Incoming>>), crate::torrent::Error>,
    /// Its record of verified pieces.
    record: PathBuf,
    /// What the state directory says of it.
    kept: Kept,
}

async fn open(
    resources: Arc<Resources>,
    torrent: Arc<Torrent>,
    mut options: TorrentOptions,
    (turn, places): (Turn, Account),
    share: watch::Receiver<usize>,
    contacts: Option<Contacts>,
) -> Opened {
    let (record, kept) = match torrent.info_hash_v1 {
        Some(hash) => {
            let (state_dir, dir) = (resources.state_dir.clone(), options.dir.clone());
            let read = spawn_blocking(move || {
                let record = record_of(&state_dir, hash, &dir);
                let kept = persist::kept(&record);
                (record, kept)
            });
            read.await.unwrap_or_default()
        }
        None => Default::default(),
    };
    let chosen = kept.choice_for(&options, torrent.files.len());
    options.wanted_files = options.wanted_files.or(chosen);
    let uploaded_before_bytes = kept.uploaded;
    let entry = Entry { turn, places, uploaded_before_bytes, record: record.clone(), share };
    let started = lifecycle::start(resources, torrent, options, entry, contacts).await;
    Opened { started, record, kept }
}

/// How far a torrent's seeding is.
struct Seeding {
    limits: SeedLimits,
    complete_since: Option<Instant>,
    /// It has finished once: if it seeds again, somebody wanted that, without a limit.
    is_over: bool,
}

/// How many torrents do what at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Check and download.
    pub active: usize,
    /// Are open, complete, and have nobody.
    pub awake: usize,
}

/// The owner of all torrents.
pub(super) struct Actor {
    resources: Arc<Resources>,
    way_out: WayOut,
    registrations: mpsc::Sender<Registration>,
    most: Most,
    local: Local,
    outside: Outside,
    searches: Searches,
    /// In the order of the queue.
    members: Vec<Member>,
    /// Torrents whose files are being opened, and who does that.
    arriving: Vec<Arriving>,
    opening: JoinSet<Opened>,
    next_number: u64,
    /// What paths they write.
    claims: Claims,
    /// Torrents that are ending, each with whoever waits for that.
    leaving: JoinSet<(InfoHash, oneshot::Sender<bool>)>,
    /// Searches whose torrent was refused tell their trackers that they are over.
    goodbyes: JoinSet<()>,
    is_ending: bool,
    /// What was sent is being kept, and the disk hangs.
    keeping: Option<JoinHandle<Vec<News>>>,
}

impl Actor {
    pub fn new(
        resources: Arc<Resources>,
        registrations: mpsc::Sender<Registration>,
        most: Most,
        local: Local,
        outside: Outside,
    ) -> Self {
        Self {
            way_out: WayOut::watched(&resources.egress),
            resources,
            registrations,
            most,
            local,
            outside,
            searches: Searches::default(),
            members: Vec::new(),
            arriving: Vec::new(),
            opening: JoinSet::new(),
            next_number: 0,
            claims: Claims::default(),
            leaving: JoinSet::new(),
            goodbyes: JoinSet::new(),
            is_ending: false,
            keeping: None,
        }
    }

    /// Runs until every handle of the session is gone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let bell = self.resources.bell.clone();
        let mut keep = interval(KEEP_EVERY);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_limits = false;
        let (mut has_rung, mut look_at) = (false, Instant::now());
        loop {
            tokio::select! {
                () = self.way_out.changed() => {}
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                Some(left) = self.leaving.join_next(), if !self.leaving.is_empty() => {
                    if let Ok((info_hash, answer)) = left {
                        self.on_left(info_hash).await;
                        // Only now, so that who asked may add it again.
                        let _ = answer.send(true);
                    }
                }
                Some(_) = self.goodbyes.join_next() => {}
                Some(opened) = self.opening.join_next_with_id(), if !self.opening.is_empty() => {
                    self.on_opened(opened).await;
                }
                peer = self.local.next() => self.on_local_peer(peer),
                () = bell.notified(), if !has_rung => {
                    has_rung = true;
                    if Instant::now() < look_at {
                        continue;
                    }
                }
                () = sleep(look_at.saturating_duration_since(Instant::now())), if has_rung => {}
                () = sleep(SEEDING_LOOK), if has_limits => {}
                _ = keep.tick() => self.keep().await,
            }
            self.local.look_at_seeks();
            self.searches.share_out();
            if self.has_new_choice() {
                self.keep().await;
            }
            has_limits = self.end_seeding(Instant::now());
            self.start_next();
            self.put_to_sleep(Instant::now());
            self.divide_places();
            self.share_out();
            has_rung = false;
            let pause = LOOK_PAUSE * u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            look_at = Instant::now() + pause;
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Add { torrent, options, contacts, answer } => {
                self.add(torrent, options, contacts.map(|contacts| *contacts), answer);
            }
            Command::Seek { request, answer } => self.seek(request, answer).await,
            Command::Remove { info_hash, answer } => self.remove(info_hash, answer),
            Command::List(answer) => {
                let staying = self.members.iter().filter(|member| !member.is_leaving);
                let listed = staying.map(|member| (member.info_hash, member.handle.clone()));
                let _ = answer.send(listed.collect());
            }
            Command::Stop(answer) => self.stop(answer).await,
        }
    }

    /// Has the torrent's files opened, aside: one disk that hangs holds up nobody else.
    fn add(
        &mut self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Contacts>,
        answer: AddAnswer,
    ) {
        // A search that found it is over, before it is announced as a torrent.
        self.local.look_at_seeks();
        if let Err(refused) = self.accept(&torrent, &options) {
            let _ = answer.send(Err(refused));
            if let Some(contacts) = contacts {
                self.goodbyes.spawn(contacts.leave());
            }
            return;
        }
        let info_hash = torrent.info_hash_v1;
        // None until it is known that it downloads.
        let (share, its_share) = watch::channel(0);
        let held = self.arriving.iter().filter(|it| !it.is_queued).map(|_| Claim::Holds);
        let is_queued = !queue::has_place(self.claims().chain(held), self.most.active);
        let piece_len = torrent.layout.map_or(0, |layout| layout.piece_len() as usize);
        let (name, limits) = (torrent.name.clone(), options.seeding);
        let (is_seed_only, is_private) = (options.seed_only, torrent.private);
        let takes_peers = torrent.is_judged();
        let second_hash = torrent.swarm_hashes().into_iter().find(|hash| Some(*hash) != info_hash);
        if let Some(dht) = self.resources.dht.as_ref().filter(|_| !is_private) {
            dht.names(&torrent.nodes);
        }
        let places = match &contacts {
            Some(contacts) => contacts.account(),
            None => self.resources.places.sibling(),
        };
        let turn = match is_queued {
            true => Turn::Waits,
            false if contacts.is_none() && self.alone() >= self.most.awake => Turn::Sleeps,
            false => Turn::Begins,
        };
        let entry = (turn, places.clone());
        let opening = open(self.resources.clone(), torrent, options, entry, its_share, contacts);
        let task = self.opening.spawn(opening);
        self.arriving.push(Arriving {
            task: task.id(),
            number: self.next_number,
            info_hash,
            second_hash,
            name,
            limits,
            is_seed_only,
            is_private,
            takes_peers,
            piece_blocks: piece_len.div_ceil(BLOCK_LEN),
            places,
            share,
            is_queued,
            answer,
            removal: None,
        });
        self.next_number += 1;
    }

    /// Searches for the metadata of a torrent, beside those that are there.
    async fn seek(
        &mut self,
        request: SeekRequest,
        answer: oneshot::Sender<Result<Seeking, Error>>,
    ) {
        if self.is_ending {
            let _ = answer.send(Err(Error::Ended));
            return;
        }
        if let Some(name) = self.name_of(request.target.swarm_hashes()) {
            let name = name.to_owned();
            let _ = answer.send(Err(Error::Duplicate { name }));
            return;
        }
        let places = self.resources.places.sibling();
        places.allow(SEEK_LINKS_MAX);
        let resources = Resources { places, ..(*self.resources).clone() };
        let hashes = request.target.swarm_hashes();
        let allowance = self.searches.begin();
        let (seeking, info_hash, incoming) = seeking::start(resources, request, allowance);
        self.local.seek(info_hash, seeking.watched());
        // The listener lives as long as the session.
        for info_hash in hashes {
            let registration = Registration { info_hash, incoming: incoming.clone(), status: None };
            let _ = self.registrations.send(registration).await;
        }
        // Whoever asked may have gone; the search ends with its handle.
        let _ = answer.send(Ok(seeking));
    }

    /// Whether a torrent may come in; it claims its paths then.
    fn accept(&mut self, torrent: &Arc<Torrent>, options: &TorrentOptions) -> Result<(), Error> {
        if self.is_ending {
            return Err(Error::Ended);
        }
        if let Some(name) = self.name_of(torrent.swarm_hashes()) {
            return Err(Error::Duplicate { name: name.to_owned() });
        }
        self.claim(torrent, options)
    }

    /// Claims the paths of the torrent that comes next, unless it only sends what is there.
    fn claim(&mut self, torrent: &Arc<Torrent>, options: &TorrentOptions) -> Result<(), Error> {
        if options.seed_only {
            return Ok(());
        }
        let dir = std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone());
        let homes = self.members.iter().filter_map(|member| {
            let home = member.handle.look(|status| status.home.clone());
            Some((member.number, home?))
        });
        let claimed = self.claims.claim(self.next_number, torrent, &dir, homes);
        claimed.map_err(|Taken { path, owner }| Error::Taken { path: dir.join(path), owner })
    }

    /// Somebody in the local network has a torrent.
    fn on_local_peer(&mut self, LocalPeer { info_hash, address }: LocalPeer) {
        if let Some(dht) = &self.resources.dht {
            // Its node mostly has the same port.
            dht.hint(address, Hint::Lan);
        }
        let members = self.members.iter().filter(|member| member.info_hash == info_hash);
        members.for_each(|member| member.handle.local_peer(address));
        self.local.tell_seeks(info_hash, address);
    }

    /// The name of the torrent with one of these hashes, if it is there or on its way in.
    fn name_of(&self, hashes: impl IntoIterator<Item = InfoHash>) -> Option<&str> {
        let here = self.members.iter();
        let here = here.map(|it| ([Some(it.info_hash), it.second_hash], &it.name));
        let coming = self.arriving.iter().map(|it| ([it.info_hash, it.second_hash], &it.name));
        let sought: Vec<_> = hashes.into_iter().collect();
        let is_sought = |hash: &InfoHash| sought.contains(hash);
        let mut all = here.chain(coming);
        let same = all.find(|(hashes, _)| hashes.iter().flatten().any(is_sought));
        same.map(|(_, name)| name.as_str())
    }

    /// A torrent's files are open, or will not be.
    async fn on_opened(&mut self, opened: Result<(Id, Opened), JoinError>) {
        let (task, opened) = match opened {
            Ok((task, opened)) => (task, Some(opened)),
            // A panic; the one who asked finds no answer.
            Err(error) => (error.id(), None),
        };
        let Some(position) = self.arriving.iter().position(|it| it.task == task) else { return };
        let arriving = self.arriving.remove(position);
        let Some(Opened { started, record, kept }) = opened else {
            self.claims.release(arriving.number);
            return;
        };
        let (handle, info_hash, incoming) = match started {
            Ok(started) => started,
            Err(error) => {
                self.claims.release(arriving.number);
                let _ = arriving.answer.send(Err(error.into()));
                return;
            }
        };
        // The listener lives as long as the session.
        let hashes = arriving.second_hash.into_iter().chain([info_hash]);
        for info_hash in hashes.filter(|_| arriving.takes_peers) {
            let (incoming, status) = (incoming.clone(), Some(handle.watch()));
            let _ = self.registrations.send(Registration { info_hash, incoming, status }).await;
        }
        let limits = arriving.limits;
        if !arriving.is_private {
            self.local.announce(info_hash);
        }
        let member = Member {
            number: arriving.number,
            info_hash,
            second_hash: arriving.second_hash,
            name: arriving.name,
            handle: handle.clone(),
            seeding: Seeding { limits, complete_since: None, is_over: false },
            is_seed_only: arriving.is_seed_only,
            piece_blocks: arriving.piece_blocks,
            places: arriving.places,
            share: arriving.share,
            record,
            kept,
            seen_choice: Arc::new([]),
            alone_since: None,
            is_leaving: false,
        };
        let place = self.members.partition_point(|other| other.number < member.number);
        self.members.insert(place, member);
        // The one who asked may have gone; the torrent runs all the same.
        let _ = arriving.answer.send(if self.is_ending { Err(Error::Ended) } else { Ok(handle) });
        if let Some(answer) = arriving.removal {
            self.remove(info_hash, answer);
        } else if self.is_ending {
            // Nobody waits for that.
            self.remove(info_hash, oneshot::channel().0);
        }
    }

    fn remove(&mut self, info_hash: InfoHash, answer: oneshot::Sender<bool>) {
        let here = |member: &&mut Member| member.info_hash == info_hash && !member.is_leaving;
        let Some(member) = self.members.iter_mut().find(here) else {
            let coming = |it: &&mut Arriving| it.info_hash == Some(info_hash);
            match self.arriving.iter_mut().find(coming).filter(|it| it.removal.is_none()) {
                // As soon as it is here.
                Some(arriving) => arriving.removal = Some(answer),
                None => drop(answer.send(false)),
            }
            return;
        };
        member.is_leaving = true;
        let handle = member.handle.clone();
        self.leaving.spawn(async move {
            handle.stop().await;
            (info_hash, answer)
        });
    }

    /// A torrent has ended: what it sent is known now, and its hash is free again.
    async fn on_left(&mut self, info_hash: InfoHash) {
        self.keep().await;
        self.local.forget(info_hash);
        let leaving = self.members.extract_if(.., |member| member.info_hash == info_hash);
        leaving.for_each(|member| self.claims.release(member.number));
    }

    /// The goodbyes to trackers run side by side, so three seconds are enough for all.
    async fn stop(&mut self, answer: oneshot::Sender<()>) {
        self.is_ending = true;
        let mut ends = JoinSet::new();
        if let Some(portmap) = self.outside.portmap().cloned() {
            ends.spawn(async move { portmap.stop().await });
        }
        for member in &self.members {
            let handle = member.handle.clone();
            ends.spawn(async move { handle.stop().await });
        }
        let arrived = async {
            while let Some(opened) = self.opening.join_next_with_id().await {
                // It leaves again at once.
                self.on_opened(opened).await;
            }
        };
        // Whoever comes later is sent away then. The others end meanwhile.
        let _ = timeout(ARRIVE_MAX, arrived).await;
        while ends.join_next().await.is_some() {}
        while self.leaving.join_next().await.is_some() {}
        while self.goodbyes.join_next().await.is_some() {}
        self.keep().await;
        if let Some(dht) = &self.resources.dht {
            dht.stop().await;
        }
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    fn claims(&self) -> impl Iterator<Item = Claim> + Clone {
        self.members.iter().map(Member::claim)
    }

    fn start_next(&self) {
        if self.is_ending {
            return;
        }
        let coming = self.arriving.iter().filter(|it| !it.is_queued).count();
        for position in queue::due(self.claims(), self.most.active.saturating_sub(coming)) {
            self.members[position].handle.start();
        }
    }

    /// Torrents that are awake without peers, and complete or perhaps so.
    fn alone(&self) -> usize {
        let is_open = |member: &&Member| {
            member.handle.look(|it| it.is_alone() || it.state == State::Checking)
        };
        let alone = self.members.iter().filter(is_open).count();
        alone + self.arriving.iter().filter(|it| !it.is_queued).count()
    }

    /// Has complete torrents sleep that had nobody for longest, where there are many.
    fn put_to_sleep(&mut self, now: Instant) {
        for member in &mut self.members {
            let is_alone = !member.is_leaving && member.handle.look(Status::is_alone);
            member.alone_since = is_alone.then(|| member.alone_since.unwrap_or(now));
        }
        let since = self.members.iter().map(|member| member.alone_since.map(Instant::into_std));
        for position in slumber::to_sleep(since, self.most.awake) {
            self.members[position].handle.sleep();
        }
    }

    /// Says how many connections each torrent may have, and whether anything leaves.
    fn divide_places(&self) {
        // Searches hear of it, too.
        self.resources.places.leave(self.way_out.is_open(), self.way_out.may_dial());
        let standing = |member: &Member| {
            let Member { places, .. } = member;
            Standing { held: places.held(), wanted: places.wanted() }
        };
        let standings: Vec<_> = self.members.iter().map(standing).collect();
        let allowed = divide(&standings, LINKS_MAX);
        self.members.iter().zip(allowed).for_each(|(member, most)| member.places.allow(most));
    }

    /// Divides half of the pool among those that download. Each torrent reads the latest word,
    /// however busy it is. What is taken away is told first.
    fn share_out(&self) {
        let demands: Vec<_> = self.members.iter().map(Member::demand).collect();
        let total = shares::total(self.resources.pool.budget_blocks());
        let known: Vec<_> = demands.iter().flatten().copied().collect();
        let mut given = shares::divide(total, &known).into_iter();
        let share = |demand: &Option<Demand>| demand.and_then(|_| given.next()).unwrap_or(0);
        let shares: Vec<_> = demands.iter().map(share).collect();
        for less in [true, false] {
            for (member, share) in self.members.iter().zip(&shares) {
                member.share.send_if_modified(|told| {
                    let is_due = if less { share < told } else { share > told };
                    if is_due {
                        *told = *share;
                    }
                    is_due
                });
            }
        }
    }

    /// Ends seeding where it was enough; true when some torrent may come to that.
    fn end_seeding(&mut self, now: Instant) -> bool {
        let mut has_limits = false;
        for member in &mut self.members {
            let is_seed_only = member.is_seed_only;
            let Seeding { limits, complete_since, is_over } = &mut member.seeding;
            if *limits == SeedLimits::default() || *is_over {
                continue;
            }
            let is_enough = member.handle.look(|status| match status.state {
                State::Finished => {
                    *is_over = true;
                    false
                }
                State::Complete => {
                    has_limits = true;
                    let since = *complete_since.get_or_insert(now);
                    seeding::is_enough(limits, status, now - since)
                }
                // Time goes on for one whose data was lost and that fetches none.
                State::DiskTrouble(_) | State::Downloading if is_seed_only => {
                    has_limits |= complete_since.is_some();
                    complete_since
                        .is_some_and(|since| seeding::is_enough(limits, status, now - since))
                }
                _ => false,
            });
            if is_enough {
                member.handle.finish();
            }
        }
        has_limits
    }

    /// Whether a choice of files was made that was not looked at yet.
    fn has_new_choice(&self) -> bool {
        let is_new = |member: &Member| {
            member.handle.look(|it| !Arc::ptr_eq(&it.wanted_files, &member.seen_choice))
        };
        self.members.iter().any(is_new)
    }

    /// Keeps what was sent since it was kept last, and which files are wanted.
    async fn keep(&mut self) {
        match self.keeping.take() {
            // The disk hangs; what is lost is what was sent since.
            Some(work) if !work.is_finished() => {
                self.keeping = Some(work);
                return;
            }
            Some(work) => self.on_kept(work.await.unwrap_or_default()),
            None => {}
        }
        let mut news: Vec<News> = Vec::new();
        for member in &mut self.members {
            member.seen_choice = member.handle.look(|status| status.wanted_files.clone());
            let kept = member.to_keep();
            if kept.uploaded > member.kept.uploaded || kept.wanted != member.kept.wanted {
                news.push(News {
                    info_hash: member.info_hash,
                    record: member.record.clone(),
                    kept,
                });
            }
        }
        if !news.is_empty() {
            let mut work = spawn_blocking(move || write(news));
            // A disk that hangs must not hold up everybody; a panic is told by the runtime.
            match timeout(KEEP_MAX, &mut work).await {
                Ok(kept) => self.on_kept(kept.unwrap_or_default()),
                Err(_) => self.keeping = Some(work),
            }
        }
    }

    /// What could not be kept is tried again the next time.
    fn on_kept(&mut self, all: Vec<News>) {
        for News { info_hash, kept, .. } in all {
            let of = |member: &&mut Member| member.info_hash == info_hash;
            if let Some(member) = self.members.iter_mut().find(of) {
                member.kept = kept;
            }
        }
    }
}

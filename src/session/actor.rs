//! The actor that owns the torrents of a session: it lets them in and out, looks at those that
//! ring, does what the rules make of that (whose turn it is, who has seeded enough, who sleeps),
//! and keeps what was sent and which files are wanted. Torrents to which nothing happens cost it
//! nothing. It moves no byte of data and draws no conclusions about a transfer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::base::ids::{InfoHash, TorrentId};
use crate::base::units::BLOCK_LEN;
use crate::dht::Hint;
use crate::metainfo::Torrent;
use crate::net::lsd::LocalPeer;
use crate::roster::policy::{Goals, Input, Output, Policy};
use crate::roster::{Changes, Cursor, Phase, Roster};
use crate::torrent::bell::Bell;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::TorrentOptions;
use crate::torrent::places::LINKS_MAX;
use crate::torrent::resources::{Resources, Turn};
use crate::torrent::seeking::{self, Contacts, SeekRequest, Seeking};
use crate::torrent::share::Share;

use super::claims::{Claims, Taken};
use super::error::Error;
use super::listener::Registration;
use super::local::Local;
use super::member::{AddAnswer, Arriving, Facts, Member};
use super::opening::{Coming, Opened, open};
use super::outside::Outside;
use super::persist::{News, write};
use super::places::{Standing, divide};
use super::searches::Searches;
use super::shares;
use super::slumber::{self, Slumber};
use super::way_out::WayOut;

/// How often what was sent is kept, against a crash.
const KEEP_EVERY: Duration = Duration::from_secs(180);
/// How long others wait for that.
const KEEP_MAX: Duration = Duration::from_secs(2);
/// How long an ending session waits for files that are being opened.
const ARRIVE_MAX: Duration = Duration::from_secs(3);
/// After a look at torrents that rang, others that ring wait for so long: many that change often
/// are looked at together.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Torrents that ring and are not looked at yet; each stands there once.
const RUNG_LEN: usize = 1 << 20;
/// Torrents that are looked at together at most.
const LOOK_BATCH: usize = 1024;

/// Connections of a search for metadata: beside it torrents are to have theirs.
const SEEK_LINKS_MAX: usize = 40;

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
    /// How do torrents stand that changed since then?
    Changes(Cursor, oneshot::Sender<Changes>),
    /// End all torrents and take no more; answered when they have ended.
    Stop(oneshot::Sender<()>),
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
    local: Local,
    outside: Outside,
    searches: Searches,
    members: BTreeMap<TorrentId, Member>,
    /// Torrents whose files are being opened, by who does that.
    arriving: HashMap<Id, Arriving>,
    opening: JoinSet<Opened>,
    /// Who has a hash, or is to have it.
    hashes: HashMap<InfoHash, TorrentId>,
    last_id: TorrentId,
    /// How lists show them.
    roster: Roster,
    /// Whose turn it is, and who has seeded enough.
    policy: Policy,
    /// Who sleeps.
    slumber: Slumber,
    /// Those that may have links.
    linked: BTreeSet<TorrentId>,
    /// Those that download, or did when that was looked at last.
    downloading: BTreeSet<TorrentId>,
    /// What paths they write.
    claims: Claims,
    /// Torrents that are ending, each with whoever waits for that.
    leaving: JoinSet<(TorrentId, oneshot::Sender<bool>)>,
    /// Searches whose torrent was refused tell their trackers that they are over.
    goodbyes: JoinSet<()>,
    is_ending: bool,
    /// Torrents ring here.
    rung: mpsc::Sender<TorrentId>,
    /// Of whom something may be new that is to be kept, and whether that is a choice of files.
    unkept: BTreeSet<TorrentId>,
    has_new_choice: bool,
    /// What was sent is being kept, and the disk hangs.
    keeping: Option<JoinHandle<Vec<News>>>,
}

impl Actor {
    /// One without torrents, and where they ring.
    pub fn new(
        resources: Arc<Resources>,
        registrations: mpsc::Sender<Registration>,
        most: Most,
        local: Local,
        outside: Outside,
    ) -> (Self, mpsc::Receiver<TorrentId>) {
        let (rung, ringing) = mpsc::channel(RUNG_LEN);
        let actor = Self {
            way_out: WayOut::watched(&resources.egress),
            resources,
            registrations,
            local,
            outside,
            searches: Searches::default(),
            members: BTreeMap::new(),
            arriving: HashMap::new(),
            opening: JoinSet::new(),
            hashes: HashMap::new(),
            last_id: TorrentId(0),
            roster: Roster::new(rand::random()),
            policy: Policy::new(most.active),
            slumber: Slumber::new(most.awake),
            linked: BTreeSet::new(),
            downloading: BTreeSet::new(),
            claims: Claims::default(),
            leaving: JoinSet::new(),
            goodbyes: JoinSet::new(),
            is_ending: false,
            rung,
            unkept: BTreeSet::new(),
            has_new_choice: false,
            keeping: None,
        };
        (actor, ringing)
    }

    /// Runs until every handle of the session is gone.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut ringing: mpsc::Receiver<TorrentId>,
    ) {
        let bell = self.resources.bell.clone();
        let mut keep = interval(KEEP_EVERY);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at = Instant::now();
        let mut rang = Vec::new();
        loop {
            let policy_at = self.policy.next_timeout();
            let slumber_at = self.slumber.next_timeout();
            tokio::select! {
                () = self.way_out.changed() => {}
                command = commands.recv() => match command {
                    Some(command) => {
                        // Whoever gives it may have seen what is not looked at yet.
                        while let Ok(id) = ringing.try_recv() {
                            rang.push(id);
                        }
                        rang.drain(..).for_each(|id| self.look_at(id));
                        self.on_command(command).await;
                    }
                    None => return,
                },
                Some(left) = self.leaving.join_next(), if !self.leaving.is_empty() => {
                    if let Ok((id, answer)) = left {
                        self.on_left(id).await;
                        // Only now, so that who asked may add it again.
                        let _ = answer.send(true);
                    }
                }
                Some(_) = self.goodbyes.join_next() => {}
                Some(opened) = self.opening.join_next_with_id(), if !self.opening.is_empty() => {
                    self.on_opened(opened).await;
                }
                peer = self.local.next() => self.on_local_peer(peer),
                1.. = ringing.recv_many(&mut rang, LOOK_BATCH), if rang.is_empty() => {}
                () = bell.notified() => {}
                () = sleep_until(look_at), if !rang.is_empty() => {
                    rang.drain(..).for_each(|id| self.look_at(id));
                    look_at = Instant::now() + LOOK_PAUSE;
                }
                () = sleep_until(policy_at.unwrap_or_else(std::time::Instant::now).into()),
                    if policy_at.is_some() => self.judge(Input::Tick),
                () = sleep_until(slumber_at.unwrap_or_else(std::time::Instant::now).into()),
                    if slumber_at.is_some() => {}
                _ = keep.tick() => self.keep_all().await,
            }
            self.local.look_at_seeks();
            self.searches.share_out();
            if self.has_new_choice {
                self.keep().await;
            }
            self.carry_out();
            self.divide_places();
            self.share_out();
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Add { torrent, options, contacts, answer } => {
                self.add(torrent, options, contacts, answer);
            }
            Command::Seek { request, answer } => self.seek(request, answer).await,
            Command::Remove { info_hash, answer } => self.remove(info_hash, answer),
            Command::List(answer) => {
                let staying = self.members.values().filter(|member| !member.is_leaving);
                let listed = staying.map(|member| (member.info_hash, member.handle.clone()));
                let _ = answer.send(listed.collect());
            }
            Command::Changes(since, answer) => drop(answer.send(self.roster.since(since))),
            Command::Stop(answer) => self.stop(answer).await,
        }
    }

    /// Has the torrent's files opened, aside: one disk that hangs holds up nobody else.
    fn add(
        &mut self,
        torrent: Arc<Torrent>,
        options: TorrentOptions,
        contacts: Option<Box<Contacts>>,
        answer: AddAnswer,
    ) {
        // A search that found it is over, before it is announced as a torrent.
        self.local.look_at_seeks();
        let id = TorrentId(self.last_id.0 + 1);
        if let Err(refused) = self.accept(id, &torrent, &options) {
            let _ = answer.send(Err(refused));
            if let Some(contacts) = contacts {
                self.goodbyes.spawn(contacts.leave());
            }
            return;
        }
        self.last_id = id;
        let info_hash = torrent.info_hash_v1;
        let hashes = torrent.swarm_hashes();
        let second_hash = hashes.iter().copied().find(|hash| Some(*hash) != info_hash);
        self.hashes.extend(hashes.into_iter().map(|hash| (hash, id)));
        if let Some(dht) = self.resources.dht.as_ref().filter(|_| !torrent.private) {
            dht.names(&torrent.nodes);
        }
        let turn = match self.policy.has_place() {
            false => Turn::Waits,
            true if contacts.is_none() && self.slumber.is_full() => Turn::Sleeps,
            true => Turn::Begins,
        };
        // None until it is known that it downloads.
        let share = Share::default();
        let places = contacts.as_ref().map(|contacts| contacts.account());
        let facts = Facts {
            id,
            second_hash,
            name: torrent.name.clone(),
            is_private: torrent.private,
            is_seed_only: options.seed_only,
            is_sequential: options.sequential,
            piece_blocks: torrent
                .layout
                .map_or(0, |layout| (layout.piece_len() as usize).div_ceil(BLOCK_LEN)),
            added_at: unix_now(),
            places: places.unwrap_or_else(|| self.resources.places.sibling()),
            share: share.clone(),
            bell: Bell::new(id, self.rung.clone()),
        };
        let goals = Goals { ratio: options.seeding.ratio, time: options.seeding.time };
        self.judge(Input::Goals { id, goals });
        if turn != Turn::Waits {
            // It holds its place from now on; one that waits has its turn when it is here.
            self.judge(Input::Row(facts.row(Phase::Checking)));
            self.slumber.note(id, slumber::Standing::Open, std::time::Instant::now());
        }
        let takes_peers = torrent.is_judged();
        let coming = Coming {
            torrent,
            options,
            turn,
            places: facts.places.clone(),
            bell: facts.bell.clone(),
            share,
            contacts,
        };
        let task = self.opening.spawn(open(self.resources.clone(), coming));
        let arriving = Arriving { facts, info_hash, takes_peers, answer, removal: None };
        self.arriving.insert(task.id(), arriving);
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

    /// Whether a torrent may come in; it claims its paths then, unless it only sends what is there.
    fn accept(
        &mut self,
        id: TorrentId,
        torrent: &Arc<Torrent>,
        options: &TorrentOptions,
    ) -> Result<(), Error> {
        if self.is_ending {
            return Err(Error::Ended);
        }
        if let Some(name) = self.name_of(torrent.swarm_hashes()) {
            return Err(Error::Duplicate { name });
        }
        if options.seed_only {
            return Ok(());
        }
        let dir = std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone());
        let claimed = self.claims.claim(id, torrent, &dir);
        claimed.map_err(|Taken { path, owner }| Error::Taken { path: dir.join(path), owner })
    }

    /// Somebody in the local network has a torrent.
    fn on_local_peer(&mut self, LocalPeer { info_hash, address }: LocalPeer) {
        if let Some(dht) = &self.resources.dht {
            // Its node mostly has the same port.
            dht.hint(address, Hint::Lan);
        }
        let member = self.hashes.get(&info_hash).and_then(|id| self.members.get(id));
        if let Some(member) = member.filter(|member| !member.facts.is_private) {
            member.handle.local_peer(address);
        }
        self.local.tell_seeks(info_hash, address);
    }

    /// The name of the torrent with one of these hashes, if it is there or on its way in.
    fn name_of(&self, hashes: impl IntoIterator<Item = InfoHash>) -> Option<String> {
        let id = hashes.into_iter().find_map(|hash| self.hashes.get(&hash).copied())?;
        let here = self.members.get(&id).map(|member| &member.facts);
        let mut coming = self.arriving.values().map(|arriving| &arriving.facts);
        let facts = here.or_else(|| coming.find(|facts| facts.id == id));
        Some(facts.map(|facts| facts.name.clone()).unwrap_or_default())
    }

    /// A torrent's files are open, or will not be.
    async fn on_opened(&mut self, opened: Result<(Id, Opened), JoinError>) {
        let (task, opened) = match opened {
            Ok((task, opened)) => (task, Some(opened)),
            // A panic; the one who asked finds no answer.
            Err(error) => (error.id(), None),
        };
        let Some(arriving) = self.arriving.remove(&task) else { return };
        let Arriving { facts, info_hash, takes_peers, answer, removal } = arriving;
        let (id, hashes) = (facts.id, [info_hash, facts.second_hash]);
        let Some(Opened { started, record, kept }) = opened else {
            return self.forget(id, hashes);
        };
        let (handle, info_hash, incoming) = match started {
            Ok(started) => started,
            Err(error) => {
                self.forget(id, hashes);
                let _ = answer.send(Err(error.into()));
                return;
            }
        };
        // The listener lives as long as the session.
        let hashes = facts.second_hash.into_iter().chain([info_hash]);
        for info_hash in hashes.filter(|_| takes_peers) {
            let (incoming, status) = (incoming.clone(), Some(handle.watch()));
            let _ = self.registrations.send(Registration { info_hash, incoming, status }).await;
        }
        if !facts.is_private {
            self.local.announce(info_hash);
        }
        let member = Member {
            facts,
            info_hash,
            handle: handle.clone(),
            record,
            kept,
            seen_choice: Arc::new([]),
            completed_at: None,
            active_at: None,
            is_leaving: false,
        };
        self.members.insert(id, member);
        self.look_at(id);
        // The one who asked may have gone; the torrent runs all the same.
        let _ = answer.send(if self.is_ending { Err(Error::Ended) } else { Ok(handle) });
        if let Some(answer) = removal {
            self.remove(info_hash, answer);
        } else if self.is_ending {
            // Nobody waits for that.
            self.remove(info_hash, oneshot::channel().0);
        }
    }

    /// Takes in how a torrent stands that rang.
    fn look_at(&mut self, id: TorrentId) {
        // It is on its way in, or has left.
        let Some(member) = self.members.get_mut(&id) else { return };
        member.facts.bell.hear();
        let row = member.row(unix_now());
        self.roster.apply(row);
        let row = if member.is_leaving { member.facts.row(Phase::Stopping) } else { row };
        self.slumber.note(id, member.standing(), std::time::Instant::now());
        match member.may_have_links() {
            true => self.linked.insert(id),
            false => {
                // One that comes back takes what there is until it is looked at.
                member.facts.places.allow(usize::MAX);
                self.linked.remove(&id)
            }
        };
        if member.demand().is_some() {
            self.downloading.insert(id);
        }
        let (home, choice) =
            member.handle.look(|status| (status.home.clone(), status.wanted_files.clone()));
        self.claims.settle(id, home.as_ref());
        if !Arc::ptr_eq(&choice, &member.seen_choice) {
            member.seen_choice = choice;
            self.unkept.insert(id);
            self.has_new_choice = true;
        }
        self.judge(Input::Row(row));
    }

    /// What follows from this is done by [`carry_out`](Self::carry_out).
    fn judge(&mut self, input: Input) {
        self.policy.handle(input, std::time::Instant::now());
    }

    /// Does what the rules say.
    fn carry_out(&mut self) {
        while let Some(order) = self.policy.poll_output() {
            let (Output::Start(id) | Output::Finish(id)) = order;
            let Some(member) = self.members.get(&id).filter(|_| !self.is_ending) else { continue };
            match order {
                Output::Start(_) => member.handle.start(self.slumber.is_full()),
                Output::Finish(_) => member.handle.finish(),
            }
        }
        while let Some(id) = self.slumber.next(std::time::Instant::now()) {
            if let Some(member) = self.members.get(&id) {
                member.handle.sleep();
            }
        }
    }

    fn remove(&mut self, info_hash: InfoHash, answer: oneshot::Sender<bool>) {
        let id = self.hashes.get(&info_hash).copied();
        let member = id.and_then(|id| self.members.get_mut(&id));
        let is_it = |member: &&mut Member| member.info_hash == info_hash && !member.is_leaving;
        let Some(member) = member.filter(is_it) else {
            let coming = |it: &&mut Arriving| it.info_hash == Some(info_hash);
            match self.arriving.values_mut().find(coming).filter(|it| it.removal.is_none()) {
                // As soon as it is here.
                Some(arriving) => arriving.removal = Some(answer),
                None => drop(answer.send(false)),
            }
            return;
        };
        member.is_leaving = true;
        let (id, handle) = (member.facts.id, member.handle.clone());
        self.look_at(id);
        self.leaving.spawn(async move {
            handle.stop().await;
            (id, answer)
        });
    }

    /// A torrent has ended: what it sent is known now, and its hash is free again.
    async fn on_left(&mut self, id: TorrentId) {
        self.unkept.insert(id);
        self.keep().await;
        if let Some(member) = self.members.get(&id) {
            self.local.forget(member.info_hash);
            self.forget(id, [Some(member.info_hash), member.facts.second_hash]);
        }
    }

    /// Nothing is known of the torrent with these hashes any more.
    fn forget(&mut self, id: TorrentId, hashes: [Option<InfoHash>; 2]) {
        for hash in hashes.iter().flatten() {
            self.hashes.remove(hash);
        }
        self.members.remove(&id);
        self.claims.release(id);
        self.roster.remove(id);
        self.slumber.note(id, slumber::Standing::Other, std::time::Instant::now());
        self.linked.remove(&id);
        self.downloading.remove(&id);
        self.judge(Input::Removed(id));
    }

    /// The goodbyes to trackers run side by side, so three seconds are enough for all.
    async fn stop(&mut self, answer: oneshot::Sender<()>) {
        self.is_ending = true;
        let mut ends = JoinSet::new();
        if let Some(portmap) = self.outside.portmap().cloned() {
            ends.spawn(async move { portmap.stop().await });
        }
        for member in self.members.values() {
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
        self.keep_all().await;
        if let Some(dht) = &self.resources.dht {
            dht.stop().await;
        }
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    /// Says how many connections each torrent may have, and whether anything leaves.
    fn divide_places(&self) {
        // Searches hear of it, too.
        self.resources.places.leave(self.way_out.is_open(), self.way_out.may_dial());
        let linked = self.linked.iter().filter_map(|id| self.members.get(id));
        let accounts: Vec<_> = linked.map(|member| &member.facts.places).collect();
        let standing = accounts.iter().map(|it| Standing { held: it.held(), wanted: it.wanted() });
        let allowed = divide(&standing.collect::<Vec<_>>(), LINKS_MAX);
        accounts.iter().zip(allowed).for_each(|(account, most)| account.allow(most));
    }

    /// Divides half of the pool among those that download. Each torrent reads the latest word,
    /// however busy it is. What is taken away is told first.
    fn share_out(&mut self) {
        let members = self.downloading.iter().filter_map(|id| self.members.get(id));
        let demands: Vec<_> = members.map(|member| (member, member.demand())).collect();
        let total = shares::total(self.resources.pool.budget_blocks());
        let known: Vec<_> = demands.iter().filter_map(|(_, demand)| *demand).collect();
        let mut given = shares::divide(total, &known).into_iter();
        let shares: Vec<_> = demands
            .iter()
            .map(|(member, demand)| {
                let share = demand.and_then(|_| given.next()).unwrap_or(0);
                (&member.facts.share, share)
            })
            .collect();
        for less in [true, false] {
            for (told, share) in &shares {
                if less == (*share < told.blocks()) {
                    told.set(*share);
                }
            }
        }
        let over = demands.iter().filter(|(_, demand)| demand.is_none());
        let over: Vec<_> = over.map(|(member, _)| member.facts.id).collect();
        self.downloading.retain(|id| !over.contains(id));
    }

    /// Keeps of all what is new.
    async fn keep_all(&mut self) {
        self.unkept.extend(self.members.keys());
        self.keep().await;
    }

    /// Keeps what was sent since it was kept last, and which files are wanted, of those of whom
    /// that may be new.
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
        self.has_new_choice = false;
        let unkept = std::mem::take(&mut self.unkept);
        for member in unkept.iter().filter_map(|id| self.members.get(id)) {
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
            let id = self.hashes.get(&info_hash);
            if let Some(member) = id.and_then(|id| self.members.get_mut(id)) {
                member.kept = kept;
            }
        }
    }
}

/// Seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

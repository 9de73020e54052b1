//! Who answers: a session, asked and told by values.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger;
use crate::metainfo::Torrent;
use crate::metainfo::create::wrap_found;
use crate::net::egress::Egress;
use crate::roster::{Cursor, Flags, Phase, Row};
use crate::session::{Error, Heads, Listed, Session, SessionSetting, TorrentOptions};
use crate::torrent::handle::TorrentHandle;
use crate::torrent::seeking::SeekStatus;
use crate::torrent::status::{State, Status, WhyReport};

use super::adding::{self, Given};
use super::answer::{Added, Answer, Done, Kind, List, Outcome, Refusal, Room, Standing};
use super::errands::{Chore, Errands};
use super::happened::{Events, Happened};
use super::makings::Makings;
use super::removing;
use super::request::{Addition, Key, Mark, Request, SessionPatch};
use super::roots::Roots;
use super::ruled;
use super::torrent::Limits;
use super::view;

/// How long an order waits for a torrent that comes in.
const ARRIVE_MAX: Duration = Duration::from_secs(20);

/// How long an order waits for the ledger.
const KEEP_MAX: Duration = Duration::from_secs(5);
/// How long it is looked how much room there is.
const FREE_MAX: Duration = Duration::from_secs(2);
/// Events in one answer: some 150 KB. Who asks again gets the next ones.
const EVENTS_MAX: usize = 1000;
/// URLs that are fetched at once: each may take minutes, and 16 MiB.
const FETCHES_MAX: usize = 16;

/// What a torrent waits for, and what there is to know beside.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its report; none of one that nothing runs of.
    pub report: Option<WhyReport>,
    /// What it is doing.
    pub state: State,
    /// Its number.
    pub id: TorrentId,
    /// Only its trackers name peers (BEP 27).
    pub is_private: bool,
    /// The download limit of all torrents together.
    pub limit_of_all: Option<u64>,
    /// How far the search for its metadata is, while that is sought.
    pub search: Option<SeekStatus>,
}

/// Words that.
pub type Speaker = fn(&Waiting) -> String;

/// How a session is asked.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Version of the program, as it is told.
    pub version: &'static str,
    /// Where torrents go when nothing else is said, absolute.
    pub dir: PathBuf,
    /// Where they may go.
    pub roots: Roots,
    /// By which URLs are fetched.
    pub egress: Egress,
    /// They may lead into our own network, and to this machine.
    pub allows_local: bool,
    /// How torrents are run, as far as nothing else is said of them.
    pub rest: TorrentOptions,
    /// Who words why a torrent waits.
    pub speaker: Speaker,
}

/// A session that is asked and told by values; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    pub(super) session: Session,
    config: Arc<ApiConfig>,
    began: Instant,
    /// Who looks how much room there is: a disk that hangs has one of them.
    looking: Arc<Semaphore>,
    /// Who has files of all torrents looked at.
    pub(super) seeking: Arc<Semaphore>,
    /// Who fetches a `.torrent`: servers may take minutes.
    fetching: Arc<Semaphore>,
    /// Torrents that are made here.
    pub(super) makings: Makings,
    errands: Option<Telling>,
}

/// Who tells what is done without anybody asking, and has chores done.
#[derive(Clone)]
struct Telling {
    told: Arc<dyn Fn() -> Errands + Send + Sync>,
    chore: Arc<dyn Fn(Chore) -> String + Send + Sync>,
}

impl std::fmt::Debug for Telling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telling")
    }
}

impl Api {
    /// For this session.
    pub fn new(session: Session, config: ApiConfig) -> Self {
        let leave = |most| Arc::new(Semaphore::new(most));
        Self {
            session,
            config: Arc::new(config),
            began: Instant::now(),
            looking: leave(1),
            seeking: leave(1),
            fetching: leave(FETCHES_MAX),
            makings: Makings::new(),
            errands: None,
        }
    }

    /// Leave to fetch one more `.torrent`.
    ///
    /// # Errors
    /// As many are fetched as may be at once.
    pub fn fetch(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.fetching.clone().try_acquire_owned().map_err(|_| {
            let why = format!("{FETCHES_MAX} URLs are being fetched: again when some are here");
            Refusal::new(Kind::Conflict, why)
        })
    }

    /// The same, which is told by `told` what is done without anybody asking, and has chores done
    /// by `chore`, which says for people what comes of it. Neither may wait.
    #[must_use]
    pub fn with_errands(
        self,
        told: impl Fn() -> Errands + Send + Sync + 'static,
        chore: impl Fn(Chore) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { errands: Some(Telling { told: Arc::new(told), chore: Arc::new(chore) }), ..self }
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How far lists and events can be read, to wait for more.
    pub fn heads(&self) -> watch::Receiver<Heads> {
        self.session.heads()
    }

    /// Answers a request. What it sets is kept when it is answered, unless the disk of the ledger
    /// hangs.
    ///
    /// # Errors
    /// Why it is not done, as a value.
    pub async fn answer(&self, request: Request) -> Outcome {
        let sets = request.sets();
        let answer = self.meet(request).await?;
        if sets {
            self.keep().await?;
        }
        Ok(answer)
    }

    /// Waits until what was set is kept.
    async fn keep(&self) -> Result<(), Refusal> {
        let why = match tokio::time::timeout(KEEP_MAX, self.session.kept()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Error::Ended)) => return Err(Refusal::ended()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its disk does not answer".to_owned(),
        };
        let words = format!("it is done, but may be forgotten when the daemon ends: {why}");
        Err(Refusal::new(Kind::Failed, words))
    }

    async fn meet(&self, request: Request) -> Outcome {
        match request {
            Request::Session => self.standing().await.map(|it| Answer::Session(Box::new(it))),
            Request::SetSession(patch) => self.set_session(patch).await.map(Answer::Done),
            Request::List(since) => self.list(since).await.map(Answer::List),
            Request::Add(addition) => self.add(*addition).await.map(Answer::Added),
            Request::Show(key) => self.show(&key).await,
            Request::Files(key) => self.files(&key).await,
            Request::Facts(key) => self.facts(&key).await,
            Request::Pieces(key) => self.pieces(&key).await,
            Request::Peers(key, all) => self.peers(&key, all).await,
            Request::Trackers(key) => {
                let now = Instant::now();
                let Some(handle) = self.awake(&key).await? else {
                    let id = self.find(&key).await?.spec.id;
                    let asked = self.session.trackers(id).await;
                    return Ok(Answer::Trackers(match asked.is_empty() {
                        true => view::unasked(&self.tiers(&key).await?),
                        false => view::trackers(&asked, now),
                    }));
                };
                let told = handle.look(|status| view::trackers(&status.trackers, now));
                Ok(Answer::Trackers(told))
            }
            Request::Sources(key) => {
                let Some(handle) = self.awake(&key).await? else {
                    return Ok(Answer::Sources(Vec::new()));
                };
                Ok(Answer::Sources(handle.sources().await.iter().map(view::source).collect()))
            }
            Request::Why(key) => self.why(&key).await,
            Request::Rules(key) => self.rules(&key).await,
            Request::Set(key, patch) => self.set(&key, *patch).await.map(Answer::Done),
            Request::SetFiles(key, files) => self.set_files(&key, &files).await.map(Answer::Done),
            Request::Do(key, deed) => self.carry_out(&key, deed).await.map(Answer::Done),
            Request::Remove(key, data) => self.remove(&key, data).await.map(Answer::Done),
            Request::Events(since) => self.events(since).await.map(Answer::Events),
            Request::Find(words) => self.seek(&words).await,
            Request::Room(dir) => self.room(dir).await.map(Answer::Room),
            Request::Errands => {
                let told = self.errands.as_ref().map(|telling| (telling.told)());
                Ok(Answer::Errands(Box::new(told.unwrap_or_default())))
            }
            Request::Chore(chore) => {
                let note = self.errands.as_ref().map(|telling| (telling.chore)(chore));
                Ok(Answer::Done(Done { id: None, note }))
            }
            Request::Makings => Ok(Answer::Makings(self.makings())),
            Request::Create(creation) => {
                self.create(*creation).await.map(|it| Answer::Making(Box::new(it)))
            }
            Request::GiveUp(number) => self.give_up(number).map(Answer::Done),
            Request::Made(number) => self.made(number).map(Answer::Made),
        }
    }

    async fn standing(&self) -> Result<Standing, Refusal> {
        let changes = self.session.changes(Cursor::default()).await.ok_or_else(Refusal::ended)?;
        let rows = &changes.changed;
        let count = |is_it: fn(&&Row) -> bool| rows.iter().filter(is_it).count() as u32;
        let sum = |rate: fn(&Row) -> u64| rows.iter().map(rate).sum();
        let dir = self.config.dir.clone();
        let free = self.free_bytes(dir).await;
        let events = self.session.heads().borrow().events;
        let settings = self.session.settings().await.ok_or_else(Refusal::ended)?;
        let (now, alternative) = self.session.limits_now().await.ok_or_else(Refusal::ended)?;
        let dht_nodes = self.session.dht().map(|dht| dht.standing().good() as u32);
        Ok(Standing {
            version: self.config.version.to_owned(),
            uptime_s: self.began.elapsed().as_secs(),
            port: self.session.port(),
            torrents: rows.len() as u32,
            downloading: count(|row| row.phase == Phase::Downloading),
            seeding: count(|row| row.phase == Phase::Complete),
            seeking: count(|row| row.phase == Phase::Seeking),
            in_trouble: count(|row| row.flags.has(Flags::IN_TROUBLE)),
            down_rate: sum(|row| row.down_rate),
            up_rate: sum(|row| row.up_rate),
            limits: settings.limits.into(),
            alternative_limits: settings.alternative.into(),
            alternative,
            limits_now: now.into(),
            active_max: settings.active_max,
            dht_nodes,
            dir: self.config.dir.display().to_string(),
            free_bytes: free,
            trouble: self.session.trouble().map(|trouble| trouble.to_string()),
            lost: self.session.troubles().iter().map(ToString::to_string).collect(),
            rows: Mark(changes.cursor),
            events: Mark(events),
        })
    }

    /// Bytes that are free there; none when that is not known within a few seconds.
    async fn free_bytes(&self, dir: PathBuf) -> Option<u64> {
        let found = one_at_a_time(self.looking.clone(), move || room(&dir)).await;
        found.map(|found| found.free)
    }

    async fn room(&self, dir: String) -> Result<Room, Refusal> {
        let dir = self.admit(PathBuf::from(dir)).await?;
        let there = dir.clone();
        let found = one_at_a_time(self.looking.clone(), move || room(&there)).await;
        Ok(Room {
            dir: dir.to_string_lossy().into_owned(),
            exists: found.is_some_and(|found| found.exists),
            free_bytes: found.map(|found| found.free),
            total_bytes: found.map(|found| found.total),
        })
    }

    async fn set_session(&self, patch: SessionPatch) -> Result<Done, Refusal> {
        let limit = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        let known = self.session.settings().await.ok_or_else(Refusal::ended)?;
        let set = |known: ledger::Limits, down: Option<u64>, up: Option<u64>| {
            let is_any = down.is_some() || up.is_some();
            let (down, up) = (down.map_or(known.down, limit), up.map_or(known.up, limit));
            is_any.then_some(ledger::Limits { down, up })
        };
        let limits = set(known.limits, patch.limit_down, patch.limit_up);
        let other = set(known.alternative, patch.alternative_down, patch.alternative_up);
        let most = patch.active_max.map(|most| Some(most).filter(|most| *most > 0));
        let most = most.map(SessionSetting::ActiveMax);
        let settings = [
            limits.map(SessionSetting::Limits),
            other.map(SessionSetting::Alternative),
            patch.alternative.map(SessionSetting::UsesAlternative),
            most,
        ];
        for setting in settings.into_iter().flatten() {
            self.session.set_all(setting).await?;
        }
        Ok(Done::default())
    }

    async fn list(&self, since: Option<Mark>) -> Result<List, Refusal> {
        let since = since.unwrap_or_default().0;
        let (changes, listed) = self.session.listing(since).await.ok_or_else(Refusal::ended)?;
        let mut listed = listed.iter().peekable();
        let mut torrents = Vec::with_capacity(changes.changed.len());
        for row in &changes.changed {
            // One that is on its way in has a row alone, and is told when it is here.
            if let Some(listed) = listed.next_if(|listed| listed.spec.id == row.id) {
                torrents.push(view::torrent(row, listed));
            }
        }
        let removed = changes.removed.iter().map(|id| id.0).collect();
        Ok(List { cursor: Mark(changes.cursor), full: changes.is_full, torrents, removed })
    }

    async fn events(&self, since: Option<Mark>) -> Result<Events, Refusal> {
        let Some(Mark(since)) = since else {
            let (cursor, events) = (Mark(self.session.heads().borrow().events), Vec::new());
            return Ok(Events { cursor, missed: None, has_gap: false, events });
        };
        let ask = |since| self.session.events(since);
        let (missed, has_gap, from, told) = match ask(since).await.ok_or_else(Refusal::ended)? {
            Ok(events) => (None, false, since, events),
            Err(lost) => {
                let rest = ask(lost.go_on).await.ok_or_else(Refusal::ended)?;
                (lost.count, true, lost.go_on, rest.unwrap_or_default())
            }
        };
        let told = told.get(..EVENTS_MAX).unwrap_or(&told);
        // The heads are told a little later than what can be read: they are no place to go on from.
        let number = told.last().map_or(from.number, |event| event.id);
        let (cursor, events) = (Cursor { number, ..from }, told.iter().map(Happened::from));
        Ok(Events { cursor: Mark(cursor), missed, has_gap, events: events.collect() })
    }

    /// The torrent of this name.
    pub(super) async fn find(&self, key: &Key) -> Result<Listed, Refusal> {
        let found = match key {
            Key::Id(id) => self.session.find(TorrentId(*id)).await,
            Key::Hash(hash) => {
                let bytes = HEXLOWER.decode(hash.as_bytes()).unwrap_or_default();
                let first = bytes.first_chunk().ok_or_else(|| no_torrent(key))?;
                let found = self.session.find_by_hash(InfoHash(*first)).await;
                found.filter(|listed| {
                    let (v1, v2) = (listed.spec.info_hash, listed.spec.info_hash_v2);
                    v1.is_some_and(|it| it.0[..] == bytes) || v2.is_some_and(|it| it.0[..] == bytes)
                })
            }
        };
        found.ok_or_else(|| no_torrent(key))
    }

    /// Its handle. One of an earlier run that is not here yet is waited for.
    pub(super) async fn handle(&self, key: &Key) -> Result<TorrentHandle, Refusal> {
        let listed = self.find(key).await?;
        if let Some(handle) = listed.handle {
            return Ok(handle);
        }
        let reached = tokio::time::timeout(ARRIVE_MAX, self.session.reach(listed.spec.id)).await;
        let too_late = |_| Refusal::new(Kind::Failed, "it is still being read: ask again later");
        reached.map_err(too_late)?.map_err(Refusal::from)
    }

    /// Where one is asked that is here, or comes by itself; none for a latent one, which nothing
    /// but an order is to wake.
    async fn awake(&self, key: &Key) -> Result<Option<TorrentHandle>, Refusal> {
        let listed = self.find(key).await?;
        match is_latent(&listed) {
            true => Ok(None),
            false => self.handle(key).await.map(Some),
        }
    }

    async fn show(&self, key: &Key) -> Outcome {
        let listed = self.find(key).await?;
        let status = listed.handle.as_ref().map(TorrentHandle::status).unwrap_or_default();
        let torrent = view::torrent(&listed.row, &listed);
        let mut details = view::details(torrent, &listed.spec, &status);
        if is_latent(&listed) {
            // Everything of it is here; without its metadata it is not known in how many pieces.
            let torrent = self.session.metadata(listed.spec.id).await;
            let pieces = torrent.map_or(0, |torrent| torrent.num_pieces);
            (details.pieces, details.pieces_done) = (pieces, pieces);
        }
        if let Some(waiting) = seeking(&listed) {
            let search = waiting.search.clone().unwrap_or_default();
            details.peers_known = (search.connected + search.dialling + search.candidates) as u32;
            details.search = (self.config.speaker)(&waiting).lines().next().map(str::to_owned);
        }
        Ok(Answer::Torrent(Box::new(details)))
    }

    async fn peers(&self, key: &Key, all: bool) -> Outcome {
        let listed = self.find(key).await?;
        let peers = match &listed.search {
            Some(search) => {
                let (links, known) = search.peers().await;
                let known = known.iter().filter(|_| all).map(view::known);
                links.iter().map(view::asked).chain(known).collect()
            }
            None => match self.awake(key).await? {
                Some(handle) => handle.peers(all).await.iter().map(view::peer).collect(),
                None => Vec::new(),
            },
        };
        Ok(Answer::Peers(peers))
    }

    async fn files(&self, key: &Key) -> Outcome {
        let listed = self.find(key).await?;
        let torrent = self.session.metadata(listed.spec.id).await.map_err(Refusal::from)?;
        let status = match &listed.handle {
            Some(handle) => handle.status(),
            // One that sleeps since the start has everything, under its own names.
            None if listed.row.flags.has(Flags::ASLEEP) => {
                Status { have: view::all_pieces(torrent.num_pieces), ..Status::default() }
            }
            None => Status::default(),
        };
        let status = Status { home: self.home(&listed, &torrent).await, ..status };
        Ok(Answer::Files(view::files(&torrent, &listed.spec, &status)))
    }

    /// One that sleeps since the start is not woken for that.
    async fn facts(&self, key: &Key) -> Outcome {
        let listed = self.find(key).await?;
        let torrent = self.session.metadata(listed.spec.id).await.map_err(Refusal::from)?;
        let have = have(&listed, torrent.num_pieces);
        let home = self.home(&listed, &torrent).await;
        let facts = view::facts(&torrent, &listed.spec, &have, home.as_deref());
        Ok(Answer::Facts(Box::new(facts)))
    }

    /// Likewise.
    async fn pieces(&self, key: &Key) -> Outcome {
        let listed = self.find(key).await?;
        let torrent = self.session.metadata(listed.spec.id).await.map_err(Refusal::from)?;
        // Only a torrent with peers knows what they have.
        let copies = match &listed.handle {
            Some(handle) if listed.row.links > 0 => handle.copies().await,
            _ => Vec::new(),
        };
        let is_whole = copies.len() == torrent.num_pieces as usize;
        let have = have(&listed, torrent.num_pieces);
        Ok(Answer::Pieces(Box::new(view::pieces(&torrent, &have, is_whole.then_some(&copies)))))
    }

    /// A `.torrent` of it: its metadata as it is, with its trackers and servers.
    ///
    /// # Errors
    /// There is no such torrent, or its metadata cannot be read.
    pub async fn torrent_file(&self, key: &Key) -> Result<Vec<u8>, Refusal> {
        let spec = self.find(key).await?.spec;
        let torrent = self.session.metadata(spec.id).await.map_err(Refusal::from)?;
        let tiers = spec.trackers.as_deref().unwrap_or(&torrent.trackers);
        Ok(wrap_found(torrent.raw_info(), tiers, &torrent.web_seeds))
    }

    /// The hashes of its pieces (BEP 3); none where it has none.
    ///
    /// # Errors
    /// There is no such torrent, or its metadata cannot be read.
    pub async fn piece_hashes(&self, key: &Key) -> Result<Vec<[u8; 20]>, Refusal> {
        let id = self.find(key).await?.spec.id;
        let torrent = self.session.metadata(id).await.map_err(Refusal::from)?;
        Ok(torrent.piece_hashes().as_chunks().0.to_vec())
    }

    async fn why(&self, key: &Key) -> Outcome {
        let listed = self.find(key).await?;
        if view::is_sought(&listed) {
            let text = seeking(&listed).map(|waiting| (self.config.speaker)(&waiting));
            let text = text.unwrap_or_else(|| unsought(&listed));
            return Ok(Answer::Why(Box::new(view::why(&WhyReport::default(), text))));
        }
        let waiting = self.waiting_of(key, &listed).await?;
        let rest = self.session.ruled(waiting.id).await.and_then(|ruled| ruled.rest);
        let text = rest.unwrap_or_else(|| (self.config.speaker)(&waiting));
        let report = waiting.report.unwrap_or_default();
        Ok(Answer::Why(Box::new(view::why(&report, text))))
    }

    /// What a torrent waits for, for whoever words that by itself.
    ///
    /// # Errors
    /// There is no such torrent, or it is still being read.
    pub async fn waiting(&self, key: &Key) -> Result<Waiting, Refusal> {
        let listed = self.find(key).await?;
        match seeking(&listed) {
            Some(waiting) => Ok(waiting),
            None => self.waiting_of(key, &listed).await,
        }
    }

    async fn waiting_of(&self, key: &Key, listed: &Listed) -> Result<Waiting, Refusal> {
        let is_private = listed.row.flags.has(Flags::PRIVATE);
        let (state, report) = match self.awake(key).await? {
            // A sleeper has measured nothing.
            Some(handle) if handle.look(|status| status.is_asleep) => (handle.state(), None),
            Some(handle) => {
                let report = handle.why().await;
                (handle.state(), report)
            }
            None if listed.spec.paused => (State::Paused, None),
            None => (State::Complete, None),
        };
        let (limits, _) = self.session.limits_now().await.ok_or_else(Refusal::ended)?;
        let (limit_of_all, id) = (limits.down, listed.spec.id);
        Ok(Waiting { report, state, id, is_private, limit_of_all, search: None })
    }

    async fn rules(&self, key: &Key) -> Outcome {
        let spec = self.find(key).await?.spec;
        let told = self.session.ruled(spec.id).await;
        let told = told.ok_or_else(|| Refusal::new(Kind::Conflict, "it is not here yet"))?;
        let own = Limits { down: spec.download_limit, up: spec.upload_limit };
        Ok(Answer::Rules(Box::new(ruled::ruled(told, own))))
    }

    async fn remove(&self, key: &Key, data: bool) -> Result<Done, Refusal> {
        let listed = self.find(key).await?;
        if data {
            let home = listed.handle.as_ref().and_then(|it| it.look(|status| status.home.clone()));
            let dir = home.map_or_else(|| listed.spec.dir.clone(), |home| home.dir.clone());
            self.admit(dir).await?;
        }
        let (id, session) = (listed.spec.id, self.session.clone());
        // What is begun is done, also when nobody waits for the answer any more.
        let leaves = tokio::spawn(async move {
            match data {
                true => session.erase(id).await.map(|it| it.map(|it| Some(removing::words(&it)))),
                false => session.remove_number(id).await.map(|is_gone| is_gone.then_some(None)),
            }
        });
        match leaves.await.map_err(|_| Refusal::ended())?? {
            Some(note) => Ok(Done::of(id, note)),
            None => Err(no_torrent(key)),
        }
    }

    /// Where files may go.
    pub(super) fn roots(&self) -> &Roots {
        &self.config.roots
    }

    /// The directory that files may go to.
    pub(super) async fn admit(&self, dir: PathBuf) -> Result<PathBuf, Refusal> {
        let roots = self.config.roots.clone();
        let admitted = spawn_blocking(move || roots.admit(&dir)).await;
        let admitted = admitted.unwrap_or_else(|_| Err("the disk does not answer".to_owned()));
        admitted.map_err(Refusal::invalid)
    }

    pub(super) async fn add(&self, mut addition: Addition) -> Result<Added, Refusal> {
        let dir = addition.dir.as_ref().map(PathBuf::from);
        let dir = match dir {
            Some(dir) => self.admit(dir).await?,
            None => self.config.dir.clone(),
        };
        let _fetches = addition.url.is_some().then(|| self.fetch()).transpose()?;
        let given =
            adding::open(&mut addition, &self.config.egress, self.config.allows_local).await?;
        match given {
            Given::Torrent(torrent, bytes) => {
                let options = adding::options(&self.config.rest, &addition, dir)?.file(bytes);
                let options = adding::choose(options, addition.files.as_deref(), &torrent)?;
                // The link of it keeps what was set of it, and is no new torrent.
                let was_there = self.is_sought(&torrent).await;
                let added = self.session.add(torrent.clone(), options).await;
                match added {
                    Ok(handle) => Ok(self.added(handle.id(), &torrent, was_there)),
                    Err(Error::Duplicate { .. }) => {
                        let added = self.added(TorrentId(0), &torrent, true);
                        let hashes = vec![added.hash.clone()];
                        Ok(self.known(hashes, Added { id: None, ..added }).await)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Given::Link(link) => {
                let options = adding::options(&self.config.rest, &addition, dir)?;
                let options = adding::choose_unseen(options, addition.files.as_deref())?;
                let hashes = adding::hashes_of(&link);
                let hash = hashes.first().cloned().unwrap_or_default();
                let name = link.name.clone().unwrap_or_else(|| hash.clone());
                let added = Added { id: None, hash, name, was_there: true };
                match self.session.add_link(*link, options).await {
                    Ok(id) => Ok(Added { id: Some(id.0), was_there: false, ..added }),
                    Err(Error::Duplicate { .. }) => Ok(self.known(hashes, added).await),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Is it here as a link whose metadata is sought?
    async fn is_sought(&self, torrent: &Torrent) -> bool {
        for hash in torrent.swarm_hashes() {
            let key = Key::Hash(HEXLOWER.encode(&hash.0));
            if self.find(&key).await.is_ok_and(|listed| view::is_sought(&listed)) {
                return true;
            }
        }
        false
    }

    fn added(&self, id: TorrentId, torrent: &Torrent, was_there: bool) -> Added {
        let v1 = torrent.info_hash_v1.map(|hash| HEXLOWER.encode(&hash.0));
        let v2 = torrent.info_hash_v2.map(|hash| HEXLOWER.encode(&hash.0));
        let hash = v1.or(v2).unwrap_or_default();
        Added { id: Some(id.0), hash, name: torrent.name.clone(), was_there }
    }

    /// What was to be added, with the number and name of the torrent of one of these hashes that is
    /// there. One that comes in or leaves at this moment is not listed.
    async fn known(&self, hashes: Vec<String>, added: Added) -> Added {
        for hash in hashes {
            if let Ok(listed) = self.find(&Key::Hash(hash)).await {
                let name = listed.spec.called().into_owned();
                return Added { id: Some(listed.spec.id.0), name, ..added };
            }
        }
        added
    }
}

/// Its verified pieces in wire order; none of one that was not opened yet.
fn have(listed: &Listed, count: u32) -> Vec<u8> {
    let have = match &listed.handle {
        Some(handle) => handle.look(|status| status.have.clone()),
        None if listed.row.flags.has(Flags::ASLEEP) => view::all_pieces(count),
        None => Vec::new(),
    };
    let len = count.div_ceil(8) as usize;
    Some(have).filter(|have| have.len() == len).unwrap_or_else(|| vec![0; len])
}

/// What a link waits for that is sought.
fn seeking(listed: &Listed) -> Option<Waiting> {
    let search = Some(listed.search.as_ref()?.status());
    let (report, state, id) = (None, State::Queued, listed.spec.id);
    Some(Waiting { report, state, id, is_private: false, limit_of_all: None, search })
}

/// Why one is not sought.
fn unsought(listed: &Listed) -> String {
    match (listed.row.phase, &listed.trouble) {
        (_, Some(trouble)) => format!("{trouble}\nWhat to do: resume it when that is mended\n"),
        (Phase::Paused, None) => "it rests: its metadata is sought when it is resumed\n".to_owned(),
        (_, None) => "so many links are sought already: it waits for its turn\n".to_owned(),
    }
}

/// Is it a seed of an earlier run that was not needed in this one?
fn is_latent(listed: &Listed) -> bool {
    listed.handle.is_none() && listed.row.flags.has(Flags::ASLEEP)
}

fn no_torrent(key: &Key) -> Refusal {
    Refusal::new(Kind::NotFound, format!("there is no torrent {key}"))
}

/// What is seen when those before have looked; none when that is not within a few seconds.
pub(super) async fn one_at_a_time<T: Send + 'static>(
    looking: Arc<Semaphore>,
    look: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    let place = tokio::time::timeout(FREE_MAX, looking.acquire_owned()).await.ok()?.ok()?;
    let look = spawn_blocking(move || {
        let seen = look();
        drop(place);
        seen
    });
    tokio::time::timeout(FREE_MAX, look).await.ok()?.ok().flatten()
}

/// What a file system says.
#[derive(Clone, Copy)]
struct Space {
    exists: bool,
    free: u64,
    total: u64,
}

/// How much room there is where this directory is, or is to be.
fn room(dir: &Path) -> Option<Space> {
    let there = dir.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let exists = there == dir && dir.is_dir();
    Some(Space { exists, free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}

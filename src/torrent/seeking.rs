//! A torrent of which only a hash is known: everybody who may have its metadata is asked at once
//! (BEP 9). The task turns the world into facts for its brain, `swarm::Seeker`, and ends with the
//! torrent and all whom it met, links and all, so that the download goes on with them.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep_until, timeout};
use tracing::{Instrument as _, error_span, info, warn};

use crate::base::ids::InfoHash;
use crate::dht::Hint;
use crate::dht::task::DhtNews;
use crate::link::{LinkConfig, LinkReport, LinkTimeouts, Subject};
use crate::metainfo::{Magnet, Torrent};
use crate::net::limiter::Limiter;
use crate::seek::{CheckId, Checked, Progress, Target};
use crate::swarm::event::{Event, Input, Output, Source};
use crate::swarm::report::Known as KnownAddress;
use crate::swarm::{Company, Seeker, SeekerConfig, SeekerLink, SeekerOutput};
use crate::tracker::task::{TrackerConfig, TrackerEvent, TransferStats};

use super::allowance::Allowance;
use super::incoming::Incoming;
use super::links::Links;
use super::metadata;
use super::options::TorrentOptions;
use super::places::{Account, Places};
use super::resources::{NUMWANT, Resources};
use super::seats::{Needs, Seats};
use super::status::DhtStatus;
use super::trackers::{Goodbye, Trackers};

/// What trackers are told to be missing while nobody knows: something.
const LEFT_UNKNOWN: u64 = 16 * 1024;
/// Orders that wait for the task; whoever gives more waits too.
const ORDERS_LEN: usize = 16;
/// How often its progress is renewed while anything moves.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Connections that wait to be admitted; more are closed.
const INCOMING_LEN: usize = 64;
/// How long a download waits until its metadata is kept, and a search until it is looked for: a
/// disk that hangs holds up neither. Those whom the link names are asked then; all others not
/// before it is known that nothing was kept, which might say that the torrent is private.
const KEEP_MAX: Duration = Duration::from_secs(2);

/// What is sought, and with whose help.
#[derive(Clone, Debug)]
pub struct SeekRequest {
    /// The hashes that the metadata must have.
    pub target: Target,
    /// Peers that are named.
    pub peers: Vec<SocketAddr>,
    /// Trackers by tier; none where no tracker is to be asked.
    pub trackers: Vec<Vec<String>>,
    /// Most connected peers.
    pub max_peers: usize,
    /// Peers tell each other of others (BEP 11).
    pub exchange_peers: bool,
}

impl SeekRequest {
    /// With the help of those whom a link names: its trackers, each a tier of its own, and its
    /// peers but those that are known by name only.
    pub fn of(target: Target, link: &Magnet) -> Self {
        Self {
            target,
            peers: link.addresses().collect(),
            trackers: link.trackers.iter().map(|url| vec![url.clone()]).collect(),
            max_peers: TorrentOptions::MAX_PEERS,
            exchange_peers: true,
        }
    }
}

/// How far a search is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SeekStatus {
    /// Pieces, and who has them.
    pub progress: Progress,
    /// Peers that are connected.
    pub connected: usize,
    /// Dials under way.
    pub dialling: usize,
    /// Addresses that wait for one.
    pub candidates: usize,
    /// How the first tracker stands, in words.
    pub tracker: Option<String>,
    /// Addresses that were named and are on the blocklist. The others do not count them.
    pub blocked: u32,
    /// What the DHT does for it; none where it does nothing.
    pub dht: Option<DhtStatus>,
    /// Nothing was kept, so everybody is asked, the DHT and the local network too.
    pub is_asking: bool,
}

/// What a search has found.
#[derive(Debug)]
pub struct Sought {
    /// The torrent: its info dictionary alone, without trackers.
    pub torrent: Torrent,
    /// Everybody whom the search has met; none when nobody was asked.
    pub contacts: Option<Contacts>,
}

/// Why a search ended without a torrent.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
    /// The metadata has the right hash and describes no torrent.
    #[error("the metadata that the hash names is no valid torrent: {0}")]
    Invalid(#[from] crate::metainfo::Error),
    /// It was stopped, or its session was.
    #[error("the search has ended")]
    Ended,
}

/// Those whom a search has met, with their links, for the torrent that was found.
#[derive(Debug)]
pub struct Contacts {
    pub(super) company: Company,
    pub(super) links: Links,
    /// Goes on; none when those of the torrent are asked otherwise.
    pub(super) trackers: Option<Trackers>,
    /// Trackers hear that the search is over.
    pub(super) goodbye: Option<Goodbye>,
    /// In the DHT; none when the torrent is private.
    pub(super) seats: Option<Seats>,
}

impl Contacts {
    /// Leaves everybody, and tells the trackers so.
    pub async fn leave(self) {
        let Self { company: _, links, trackers, goodbye, seats } = self;
        // Others may have their places meanwhile, and whoever leaves is announced no more.
        drop((links, seats));
        let goodbyes = goodbye.into_iter().chain(trackers.map(Trackers::leave));
        for goodbye in goodbyes.collect::<Vec<_>>() {
            goodbye.said().await;
        }
    }

    /// The places that its links hold.
    pub fn account(&self) -> Account {
        self.links.places.account()
    }
}

#[derive(Debug)]
enum Order {
    AddPeer(SocketAddr),
    LocalPeer(SocketAddr),
    Known(Box<[u8]>),
    Peers(oneshot::Sender<(Vec<SeekerLink>, Vec<KnownAddress>)>),
    Stop,
}

/// A search that is running; it ends with its handle.
#[derive(Debug)]
pub struct Seeking {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<SeekStatus>,
    found: oneshot::Receiver<Result<Sought, SeekError>>,
}

impl Seeking {
    /// How far it is; changes are told.
    pub fn status(&self) -> watch::Receiver<SeekStatus> {
        self.status.clone()
    }

    /// Orders and questions, apart from the handle that is waited on.
    pub fn desk(&self) -> SeekDesk {
        SeekDesk { orders: self.orders.clone(), status: self.status.clone() }
    }

    /// What its session keeps of it.
    #[doc(hidden)]
    pub fn watched(&self) -> SeekWatch {
        SeekWatch { orders: self.orders.downgrade(), status: self.status.clone() }
    }

    /// Waits until it is found.
    ///
    /// # Errors
    /// See [`SeekError`].
    pub async fn found(self) -> Result<Sought, SeekError> {
        self.found.await.unwrap_or(Err(SeekError::Ended))
    }
}

/// A search as its session knows it, which does not keep it alive.
#[derive(Debug)]
pub struct SeekWatch {
    orders: mpsc::WeakSender<Order>,
    status: watch::Receiver<SeekStatus>,
}

impl SeekWatch {
    /// Does it ask others by now, or is it over?
    pub fn is_asking(&self) -> Option<bool> {
        let orders = self.orders.upgrade().filter(|orders| !orders.is_closed());
        orders.map(|_| self.status.borrow().is_asking)
    }

    /// A peer announced itself in the local network (BEP 14).
    pub fn local_peer(&self, address: SocketAddr) {
        if let Some(orders) = self.orders.upgrade() {
            // Whoever announces itself does it again.
            let _ = orders.try_send(Order::LocalPeer(address));
        }
    }
}

/// Where a search takes orders.
#[derive(Clone, Debug)]
pub struct SeekDesk {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<SeekStatus>,
}

impl SeekDesk {
    /// How far it is.
    pub fn status(&self) -> SeekStatus {
        self.status.borrow().clone()
    }

    /// To how many peers it is connected.
    pub fn connected(&self) -> usize {
        self.status.borrow().connected
    }

    /// Asks another peer.
    pub async fn add_peer(&self, address: SocketAddr) {
        let _ = self.orders.send(Order::AddPeer(address)).await;
    }

    /// Ends the search, for its metadata came another way: `info` is that. What has not the hash
    /// that is sought is ignored. What the search has found then is this and all whom it met.
    pub async fn know(&self, info: Box<[u8]>) {
        let _ = self.orders.send(Order::Known(info)).await;
    }

    /// Who is connected, and who is known.
    pub async fn peers(&self) -> (Vec<SeekerLink>, Vec<KnownAddress>) {
        let (answer, answered) = oneshot::channel();
        let _ = self.orders.send(Order::Peers(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Waits until it has ended, one way or another, and its trackers are told.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }

    /// Ends the search.
    pub async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
    }
}

/// Begins to search, unless the metadata was kept. Returns the hash that peers name it by, and
/// where their connections go. `allowance` tells how much metadata it may hold that nobody has
/// proven.
pub fn start(
    resources: Resources,
    request: SeekRequest,
    allowance: Allowance,
) -> (Seeking, InfoHash, mpsc::Sender<Box<Incoming>>) {
    let info_hash = request.target.handshake_hash();
    let (orders, taken) = mpsc::channel(ORDERS_LEN);
    let (incoming, arrivals) = mpsc::channel(INCOMING_LEN);
    let (told, status) = watch::channel(SeekStatus::default());
    let (answer, found) = oneshot::channel();
    let span = error_span!("seek", hash = %info_hash);
    let bell = resources.bell.clone();
    tokio::spawn(
        async move {
            let ends = Ends { orders: taken, incoming: arrivals, told, allowance };
            let sought = run(resources, request, ends).await;
            bell.notify_one();
            // Whoever waited may have gone.
            if let Err(Ok(Sought { contacts: Some(contacts), .. })) = answer.send(sought) {
                contacts.leave().await;
            }
        }
        .instrument(span),
    );
    (Seeking { orders, status, found }, info_hash, incoming)
}

/// The ends that a search holds.
struct Ends {
    orders: mpsc::Receiver<Order>,
    incoming: mpsc::Receiver<Box<Incoming>>,
    told: watch::Sender<SeekStatus>,
    allowance: Allowance,
}

/// From what was kept, or from peers, and then it is kept.
async fn run(resources: Resources, request: SeekRequest, ends: Ends) -> Result<Sought, SeekError> {
    let (state_dir, target) = (resources.state_dir.clone(), request.target);
    let mut looking = spawn_blocking(move || metadata::kept(&state_dir, &target));
    let looking = match timeout(KEEP_MAX, &mut looking).await {
        Ok(Ok(Some(torrent))) => return Ok(Sought { torrent, contacts: None }),
        // A panic is told by the runtime.
        Ok(Ok(None) | Err(_)) => None,
        Err(_) => {
            warn!("the disk does not answer: only those that the link names are asked until then");
            Some(looking)
        }
    };
    let state_dir = resources.state_dir.clone();
    let sought = Task::new(resources, request, ends, looking).run().await?;
    let torrent = sought.torrent.clone();
    let keeping = spawn_blocking(move || metadata::keep(&state_dir, &torrent));
    match timeout(KEEP_MAX, keeping).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => warn!(%error, "cannot keep the metadata"),
        Ok(Err(_)) | Err(_) => warn!("cannot keep the metadata: the disk does not answer"),
    }
    Ok(sought)
}

/// A copy that was hashed.
struct Hashed {
    check: CheckId,
    pieces: Vec<Box<[u8]>>,
    verdict: Checked,
}

/// The disk is asked what was kept.
type Looking = JoinHandle<Option<Torrent>>;

/// What was kept, as soon as the disk has answered, once; waits for ever where it has.
async fn looked(looking: &mut Option<Looking>) -> Option<Torrent> {
    let Some(work) = looking else { return pending().await };
    let kept = work.await.unwrap_or_default();
    *looking = None;
    kept
}

struct Task {
    /// As long as nobody knows what was kept.
    looking: Option<Looking>,
    seeker: Seeker,
    target: Target,
    links: Links,
    trackers: Trackers,
    seats: Seats,
    /// Copies that were hashed.
    hashing: (mpsc::Sender<Hashed>, mpsc::Receiver<Hashed>),
    /// The copy that was hashed last, if it was right.
    last: Vec<Box<[u8]>>,
    is_found: bool,
    ends: Ends,
    bell: Arc<Notify>,
}

impl Task {
    fn new(
        resources: Resources,
        request: SeekRequest,
        mut ends: Ends,
        looking: Option<Looking>,
    ) -> Self {
        let now = Instant::now();
        let config = SeekerConfig {
            peer_id: resources.peer_id,
            listen_port: resources.ports.listen(),
            max_peers: request.max_peers,
            exchanges_peers: request.exchange_peers,
            memory: ends.allowance.bytes(),
            seed: rand::random(),
        };
        let mut seeker = Seeker::new(config, now);
        let places = Places::new(resources.places.clone());
        seeker.note(Input::Room(places.room()), now);
        // With nothing wanted it would be announced as a partial seed (BEP 21).
        let (left, wanted_left) = (LEFT_UNKNOWN, LEFT_UNKNOWN);
        let stats = TransferStats { left, wanted_left, ..TransferStats::default() };
        let link_config = LinkConfig {
            info_hash: request.target.handshake_hash(),
            peer_id: resources.peer_id,
            subject: Subject::default(),
            exchanges_peers: request.exchange_peers,
            pool: resources.pool.clone(),
            limiter: Arc::new(Limiter::under(resources.limiter.clone(), None)),
            up_limiter: Arc::new(Limiter::under(resources.up_limiter.clone(), None)),
            ports: Some(resources.ports.clone()),
            dht: resources.dht_end(),
            egress: resources.egress.clone(),
            secrecy: resources.secrecy.clone(),
            timeouts: LinkTimeouts::default(),
        };
        let mut links = Links::new(link_config, places);
        let addresses = links.blocked.sift(Source::User, request.peers.clone());
        seeker.note(Input::Candidates { source: Source::User, addresses }, now);
        seeker.settle(now);
        Self {
            looking,
            seeker,
            target: request.target,
            links,
            trackers: Trackers::start(&resources.announcer, tracker_config(&request), stats),
            seats: seats(&resources, &request),
            hashing: mpsc::channel(1),
            last: Vec::new(),
            is_found: false,
            ends,
            bell: resources.bell,
        }
    }

    async fn run(mut self) -> Result<Sought, SeekError> {
        let mut tell_at = Instant::now();
        loop {
            self.carry_out();
            if self.is_found {
                return self.end().await;
            }
            if self.ends.allowance.want(self.seeker.appetite()) {
                self.bell.notify_one();
            }
            if Instant::now() >= tell_at {
                self.tell();
                tell_at = Instant::now() + TELL_EVERY;
            }
            let timeout = self.seeker.next_timeout();
            tokio::select! {
                Some(kept) = looked(&mut self.looking) => {
                    self.last = vec![kept.raw_info().into()];
                    return self.end().await;
                }
                Some(report) = self.links.reports.recv() => self.on_report(report),
                Some(hashed) = self.hashing.1.recv() => {
                    self.last = if hashed.verdict.is_right { hashed.pieces } else { Vec::new() };
                    self.seeker.checked(hashed.check, hashed.verdict, Instant::now());
                }
                event = self.trackers.next() => self.on_tracker_event(event),
                news = self.seats.next() => match news {
                    DhtNews::Peers(peers) => self.learn(Source::Dht, peers),
                    // Shown in its status.
                    DhtNews::Announced { .. } => {}
                },
                Some(incoming) = self.ends.incoming.recv() => self.on_incoming(*incoming),
                () = self.links.places.changed() => self.tell_room(),
                () = self.links.blocked.changed() => self.on_blocklist(),
                bytes = self.ends.allowance.changed() => {
                    self.seeker.allow(bytes, Instant::now());
                }
                order = self.ends.orders.recv() => match order {
                    Some(Order::AddPeer(address)) => self.learn(Source::User, vec![address]),
                    // Nobody of the local network is believed for a private one.
                    Some(Order::LocalPeer(_)) if self.looking.is_some() => {}
                    Some(Order::LocalPeer(address)) => self.learn(Source::Lan, vec![address]),
                    Some(Order::Known(info)) => {
                        if self.takes(info) {
                            return self.end().await;
                        }
                    }
                    Some(Order::Peers(answer)) => {
                        let known = self.seeker.known(Instant::now());
                        let _ = answer.send((self.seeker.links(), known));
                    }
                    // Nobody waits for it any more.
                    Some(Order::Stop) | None => {
                        drop(self.seats);
                        self.trackers.leave().said().await;
                        return Err(SeekError::Ended);
                    }
                },
                () = sleep_until(timeout.unwrap_or_else(Instant::now).into()),
                    if timeout.is_some() => {
                        let now = Instant::now();
                        self.seeker.note(Input::Room(self.links.places.room()), now);
                        self.seeker.note(Input::Tick, now);
                    }
                () = sleep_until(tell_at.into()) => {}
            }
            self.seeker.settle(Instant::now());
        }
    }

    /// Takes metadata that somebody else found, if it is what is sought.
    fn takes(&mut self, info: Box<[u8]>) -> bool {
        let copy = vec![info];
        let is_right = self.target.check(&copy).is_right;
        if is_right {
            self.last = copy;
        }
        is_right
    }

    /// It is found: the torrent, and everybody who is met.
    async fn end(mut self) -> Result<Sought, SeekError> {
        let info: Vec<u8> = std::mem::take(&mut self.last).concat();
        let torrent = match Torrent::from_info(&info) {
            Ok(torrent) => torrent,
            Err(error) => {
                drop(self.seats);
                self.trackers.leave().said().await;
                return Err(error.into());
            }
        };
        info!(name = ?torrent.name, bytes = info.len(), "metadata found");
        let (company, outputs) = self.seeker.into_company(torrent.private, Instant::now());
        let mut links = self.links;
        for output in outputs {
            if let Output::Send { link, command } = output {
                links.order(link, command);
            }
        }
        // One that takes nothing is over, and says so itself.
        let _ = links.post();
        // Those of a private torrent are asked by other rules, and a hybrid that was sought by its
        // second hash is another torrent for them.
        let is_same_hash = torrent.info_hash_v1 == Some(links.config.info_hash);
        let (trackers, goodbye) = match !torrent.private && is_same_hash {
            true => (Some(self.trackers), None),
            false => (None, Some(self.trackers.leave())),
        };
        let seats = (!torrent.private).then_some(self.seats);
        let contacts = Contacts { company, links, trackers, goodbye, seats };
        Ok(Sought { torrent, contacts: Some(contacts) })
    }

    fn tell(&mut self) {
        let (dialling, candidates) = self.seeker.reach();
        let connected = self.links.len().saturating_sub(dialling);
        let peers = u32::try_from(connected).unwrap_or(u32::MAX);
        let is_asking = self.looking.is_none();
        self.seats.take(Needs { takes_part: is_asking, is_seed: false, lacks: true, peers });
        let status = SeekStatus {
            progress: self.seeker.progress(),
            connected,
            dialling,
            candidates,
            tracker: self.trackers.words(),
            blocked: self.links.blocked.count(),
            dht: self.seats.status(Instant::now()),
            is_asking,
        };
        let mut begins = false;
        self.ends.told.send_if_modified(|told| {
            let is_new = *told != status;
            begins = is_asking && !told.is_asking;
            *told = status;
            is_new
        });
        if begins {
            self.bell.notify_one();
        }
    }

    fn learn(&mut self, source: Source, addresses: Vec<SocketAddr>) {
        let addresses = self.links.blocked.sift(source, addresses);
        self.seeker.note(Input::Candidates { source, addresses }, Instant::now());
        self.tell_room();
    }

    fn on_blocklist(&mut self) {
        self.seeker.note(self.links.newly_blocked(), Instant::now());
        let freed = self.links.blocked.freed();
        freed.into_iter().for_each(|(source, addresses)| self.learn(source, addresses));
    }

    fn tell_room(&mut self) {
        let now = Instant::now();
        self.seeker.note(Input::Room(self.links.places.room()), now);
        self.links.places.want(self.seeker.wanted_links(now));
    }

    fn on_report(&mut self, report: LinkReport) {
        let LinkReport { link, news, held } = report;
        if let Some(fact) = self.links.on_news(link, news) {
            self.seeker.note(fact, Instant::now());
        }
        drop(held);
    }

    fn on_tracker_event(&mut self, event: TrackerEvent) {
        match event {
            TrackerEvent::Peers { addresses } => self.learn(Source::Tracker, addresses),
            TrackerEvent::ExternalIp(ip) => {
                let ours = self.links.ours(ip);
                self.seeker.note(Input::OurAddress(ours), Instant::now());
            }
            TrackerEvent::Status(status) => self.trackers.status = status,
            // Shown in its status.
            TrackerEvent::Warning { .. } | TrackerEvent::Failure { .. } => {}
            // Nobody knows that it is private.
            TrackerEvent::PrivateAnswered(_) => {}
        }
    }

    fn on_incoming(&mut self, incoming: Incoming) {
        let now = Instant::now();
        self.seeker.note(Input::Room(self.links.places.room()), now);
        let Ok(link) = self.seeker.admit(incoming.address, now) else { return };
        // Whoever makes place for it goes first.
        self.carry_out();
        if let Some(refused) = self.links.accept(link, incoming) {
            self.seeker.note(refused, now);
        }
    }

    fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.seeker.poll_output() {
                match output {
                    SeekerOutput::Do(output) => self.on_output(output),
                    SeekerOutput::Check { check, pieces } => self.hash(check, pieces),
                    SeekerOutput::Found => self.is_found = true,
                }
            }
            let Some(facts) = self.links.post() else { return };
            facts.into_iter().for_each(|fact| self.seeker.note(fact, Instant::now()));
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Dial { link, address, known } => {
                if let Some(refused) = self.links.dial(link, address, known) {
                    self.seeker.note(refused, Instant::now());
                }
            }
            Output::Send { link, command } => self.links.order(link, command),
            Output::Event(Event::FirstPeer(address)) => info!(%address, "first peer"),
            Output::Event(event) => info!(?event, "while seeking"),
            Output::CheckPiece { .. }
            | Output::Lease { .. }
            | Output::PreparePiece { .. }
            | Output::SpillBlocks { .. } => debug_assert!(false, "nothing is traded yet"),
        }
    }

    fn hash(&self, check: CheckId, pieces: Vec<Box<[u8]>>) {
        let (target, hashed) = (self.target, self.hashing.0.clone());
        spawn_blocking(move || {
            let verdict = target.check(&pieces);
            // The search may have ended meanwhile.
            let _ = hashed.blocking_send(Hashed { check, pieces, verdict });
        });
    }
}

/// Its seats in the DHT, which hears of the addresses that the link names.
fn seats(resources: &Resources, request: &SeekRequest) -> Seats {
    if let Some(dht) = &resources.dht {
        request.peers.iter().for_each(|address| dht.hint(*address, Hint::Torrent));
    }
    let hashes = request.target.swarm_hashes().collect();
    Seats::new(resources.dht.clone(), hashes, resources.ports.clone())
}

/// What to announce with; none when there is nobody to ask.
fn tracker_config(request: &SeekRequest) -> Option<TrackerConfig> {
    let tiers = request.trackers.clone();
    (!tiers.is_empty()).then(|| TrackerConfig {
        tiers,
        info_hash: request.target.handshake_hash(),
        key: rand::random(),
        numwant: NUMWANT,
        is_private: false,
        was_complete: false,
        rng_seed: rand::random(),
    })
}

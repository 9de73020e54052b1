//! The announces of one torrent: a task that does what [`super::tiers`] says, over the network.
//! It keeps no peers and dials none; they leave as events.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::sleep_until;
use tracing::Instrument as _;

use crate::base::addr::{Locality, Teller, is_usable_peer};
use crate::base::ids::{InfoHash, PeerId};
use crate::net::portmap::OwnPorts;
use crate::tracker::announce::{AnnounceReply, AnnounceRequest, Error, Event, Family};
use crate::tracker::tiers::status::TrackerStatus;
use crate::tracker::tiers::{
    Call, Input, ManualAnnounce, Output, Standing, Tiers, Timing, TrackerIndex,
};

pub use fetch::{HttpClient, NetworkTiming, http_client};
pub use udp::UdpClient;

mod errand;
mod fetch;
mod udp;

use errand::{Carriers, Errand, Host, Question, Report, sockets};
use fetch::{Fetched, MAX_ADDRESSES, host_address};

/// Reports of announces on their way. An announce makes two at most, and few are on their way
/// at once; more would wait.
const REPORTS_LEN: usize = 32;

/// Events kept while the torrent is busy; the oldest go first.
const OUTBOX_LEN: usize = 64;

/// What a torrent announces with.
pub struct TrackerConfig {
    /// The announce list.
    pub tiers: Vec<Vec<String>>,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our id in it.
    pub peer_id: PeerId,
    /// Our ports, of which each tracker is told the one by which its peers reach us; when that is
    /// another one, all are told.
    pub ports: OwnPorts,
    /// Random, the same for the life of the torrent (BEP 7).
    pub key: u32,
    /// Peers to ask for.
    pub numwant: u32,
    /// We take encrypted connections, which HTTP trackers are told.
    pub supports_crypto: bool,
    /// We take no others.
    pub requires_crypto: bool,
    /// BEP 27: peers of these trackers may not be passed on.
    pub is_private: bool,
    /// Whether the whole torrent was here once: `completed` is never told then.
    pub was_complete: bool,
    /// The session's client.
    pub client: HttpClient,
    /// The session's client for UDP; with none, UDP trackers are asked over own sockets.
    pub udp: Option<UdpClient>,
    /// Times of the announces.
    pub timing: Timing,
    /// Times of the network.
    pub network: NetworkTiming,
    /// Failures and warnings of one tracker are reported once in this time.
    pub quiet: Duration,
    /// Random; shuffles the tiers and spreads the intervals.
    pub rng_seed: u64,
}

/// [`TrackerConfig::quiet`] outside of tests.
pub const QUIET_DEFAULT: Duration = Duration::from_secs(300);

/// Figures of the torrent that trackers are told, or that decide when to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransferStats {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received whose pieces were right.
    pub downloaded: u64,
    /// Payload bytes received whose pieces were wrong.
    pub corrupt: u64,
    /// Payload bytes received twice, or unasked.
    pub redundant: u64,
    /// Bytes of the torrent missing, wanted or not; not 0 while a magnet's size is unknown, or
    /// trackers count a seed.
    pub left: u64,
    /// Wanted bytes missing.
    pub wanted_left: u64,
    /// Live links.
    pub peers_connected: usize,
    /// Links that serve us or may.
    pub working_peers: usize,
    /// The user paused the torrent: trackers are told that it has left, until it goes on.
    pub is_paused: bool,
}

impl TransferStats {
    fn standing(&self) -> Standing {
        match (self.left, self.wanted_left) {
            (0, _) => Standing::Seed,
            (_, 0) => Standing::PartialSeed,
            _ => Standing::Leech,
        }
    }
}

/// Orders from the torrent.
#[derive(Debug)]
pub enum TrackerCommand {
    /// The user wants an announce now; the answer says whether it may be.
    Announce(oneshot::Sender<ManualAnnounce>),
    /// The last piece of the whole torrent has been verified. Told again after pieces were
    /// lost, it makes no second event.
    Completed,
    /// The user looks at the trackers: scrape those whose numbers are old or not known.
    Scrape,
    /// Say goodbye to the trackers and end; answered when done, within the stop budget.
    Stop(oneshot::Sender<()>),
}

/// News for the torrent. Texts are unescaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackerEvent {
    /// Peers that may be dialled.
    Peers {
        /// Usable addresses.
        addresses: Vec<SocketAddr>,
    },
    /// This tracker of a private torrent has answered; its peers follow, if it named any.
    PrivateAnswered(String),
    /// A tracker warns; the announce counts.
    Warning {
        /// The tracker.
        url: String,
        /// Its words.
        text: String,
    },
    /// An announce failed.
    Failure {
        /// The tracker.
        url: String,
        /// Why.
        text: String,
    },
    /// Our address, as a tracker sees it (BEP 24).
    ExternalIp(IpAddr),
    /// How all trackers stand, whenever that changes.
    Status(Vec<TrackerStatus>),
}

/// Starts announcing. The task ends after [`TrackerCommand::Stop`], or when `commands` is
/// closed, which counts as a stop.
pub fn spawn(
    config: TrackerConfig,
    stats: watch::Receiver<TransferStats>,
    commands: mpsc::Receiver<TrackerCommand>,
    events: mpsc::Sender<TrackerEvent>,
) -> JoinHandle<()> {
    tokio::spawn(Driver::new(config, stats).run(commands, events).in_current_span())
}

/// An announce that was on its way when our address changed has ended after that: it is as long as
/// a connection may take to be made.
const ELSEWHERE_AGAIN: Duration = Duration::from_secs(10);

struct Driver {
    config: TrackerConfig,
    tiers: Tiers,
    stats: watch::Receiver<TransferStats>,
    jobs: JoinSet<()>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    outbox: VecDeque<TrackerEvent>,
    last_status: Vec<TrackerStatus>,
    carriers: Carriers,
    /// Connected and working peers, as the machine knows them.
    last_peers: (usize, usize),
    /// How much is here, as the machine knows it.
    standing: Standing,
    /// What was missing when trackers were last told, or were to be; and a quarter of all that was
    /// missing at the start.
    left_told: u64,
    quarter: u64,
    /// Whether the torrent is paused, as the machine knows it.
    is_paused: bool,
    /// Announces on their way.
    flights: Vec<(Call, AbortHandle)>,
    /// Tracker addresses that worked, so that `stopped` needs no resolver.
    known: Vec<(TrackerIndex, Family, SocketAddr)>,
    /// How many of a host's addresses were tried in vain: the next ones come first then.
    failed: Vec<(TrackerIndex, Family, usize)>,
    told_at: Vec<(TrackerIndex, Instant)>,
    stop_done: Option<oneshot::Sender<()>>,
    /// When trackers are to hear that we have another address, which they do not want yet.
    elsewhere_at: Option<Instant>,
    is_stopping: bool,
    is_finished: bool,
}

impl Driver {
    fn new(mut config: TrackerConfig, stats: watch::Receiver<TransferStats>) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS_LEN);
        let TransferStats { left, .. } = *stats.borrow();
        let standing = stats.borrow().standing();
        let tiers = std::mem::take(&mut config.tiers);
        let network = config.network.clone();
        let alone = || UdpClient::alone(network.retry_udp, network.egress.clone());
        let udp = config.udp.clone().unwrap_or_else(alone);
        let carriers = Carriers { http: config.client.clone(), udp, network };
        Self {
            standing,
            left_told: left,
            quarter: left / 4,
            is_paused: false,
            carriers,
            tiers: Tiers::new(tiers, config.timing.clone(), StdRng::seed_from_u64(config.rng_seed)),
            config,
            stats,
            jobs: JoinSet::new(),
            reports,
            inbox,
            outbox: VecDeque::new(),
            last_status: Vec::new(),
            last_peers: (0, 0),
            flights: Vec::new(),
            known: Vec::new(),
            failed: Vec::new(),
            told_at: Vec::new(),
            stop_done: None,
            elsewhere_at: None,
            is_stopping: false,
            is_finished: false,
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<TrackerCommand>,
        events: mpsc::Sender<TrackerEvent>,
    ) {
        let was_complete = self.config.was_complete;
        self.handle(Input::Started { standing: self.standing, was_complete });
        self.on_stats();
        let mut has_stats = true;
        let mut has_listener = true;
        let mut around = self.carriers.network.egress.watch();
        let mut before = around.borrow_and_update().clone();
        let mut ports = self.config.ports.clone();
        let mut ports_told = ports.outside();
        while !self.is_finished {
            let wake = self.tiers.next_timeout();
            tokio::select! {
                command = commands.recv(), if !self.is_stopping => self.on_command(command),
                Some(report) = self.inbox.recv() => self.on_report(report),
                changed = self.stats.changed(), if has_stats => {
                    has_stats = changed.is_ok();
                    self.on_stats();
                }
                permit = events.reserve(), if has_listener && !self.outbox.is_empty() => {
                    match (permit, self.outbox.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        _ => has_listener = false,
                    }
                }
                // Its sender is ours.
                _ = around.changed(), if !self.is_stopping => {
                    let standing = around.borrow_and_update().clone();
                    if standing.is_elsewhere_than(&before) {
                        self.announce_elsewhere();
                    }
                    before = standing;
                }
                () = ports.changed(), if !self.is_stopping => {
                    let outside = ports.outside();
                    if outside.is_elsewhere_than(&ports_told) {
                        self.announce_elsewhere();
                    }
                    ports_told = outside;
                }
                () = sleep_to(self.elsewhere_at), if self.elsewhere_at.is_some() => {
                    self.announce_elsewhere();
                }
                // Announces that have ended leave their places.
                Some(_) = self.jobs.join_next() => {}
                () = sleep_to(wake), if wake.is_some() => self.handle(Input::Tick),
            }
        }
        if let Some(done) = self.stop_done.take() {
            // Nobody waits any more: nothing to tell.
            let _ = done.send(());
        }
    }

    fn handle(&mut self, input: Input) {
        self.tiers.handle(input, now());
        self.follow();
    }

    /// Does what the machine wants.
    fn follow(&mut self) {
        let mut host = None;
        while let Some(output) = self.tiers.poll_output() {
            match output {
                Output::Announce { call, event } => {
                    // What is asked over both families is looked up once.
                    let host = match &host {
                        Some((tracker, host)) if *tracker == call.tracker => host,
                        _ => &host.insert((call.tracker, Host::default())).1,
                    };
                    self.announce(call, event, host.clone());
                }
                Output::CutOff { call } => self.cut_off(call),
                Output::Scrape { tracker } => self.scrape(tracker),
                Output::Finished => self.is_finished = true,
            }
        }
        let status = self.tiers.status();
        if status != self.last_status {
            self.outbox.retain(|event| !matches!(event, TrackerEvent::Status(_)));
            self.tell(TrackerEvent::Status(status.clone()));
            self.last_status = status;
        }
    }

    fn on_command(&mut self, command: Option<TrackerCommand>) {
        match command {
            Some(TrackerCommand::Announce(answer)) => {
                let manual = self.tiers.announce_now(now());
                // The asker may have gone.
                let _ = answer.send(manual);
                self.follow();
            }
            Some(TrackerCommand::Completed) => self.handle(Input::Completed),
            Some(TrackerCommand::Scrape) => self.handle(Input::ScrapeWanted),
            Some(TrackerCommand::Stop(done)) => {
                self.stop_done = Some(done);
                self.stop();
            }
            None => self.stop(),
        }
    }

    /// Tells trackers that we have another address, as soon as they allow it.
    fn announce_elsewhere(&mut self) {
        // What is on its way speaks of the address before, or not at all.
        let was_asking = !self.flights.is_empty();
        self.elsewhere_at = match self.tiers.announce_now(now()) {
            ManualAnnounce::AllowedIn(_, wait) => Some(now() + wait),
            ManualAnnounce::Asking(_) if was_asking => Some(now() + ELSEWHERE_AGAIN),
            ManualAnnounce::Asking(_) | ManualAnnounce::Paused | ManualAnnounce::NoTracker => None,
        };
        self.follow();
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        self.elsewhere_at = None;
        self.handle(Input::Stopped);
    }

    fn cut_off(&mut self, call: Call) {
        for (_, job) in self.flights.extract_if(.., |(flying, _)| *flying == call) {
            job.abort();
        }
    }

    /// Byte counts change all the time and matter only when an announce leaves.
    fn on_stats(&mut self) {
        let stats = *self.stats.borrow_and_update();
        if stats.is_paused != self.is_paused && !self.is_stopping {
            self.is_paused = stats.is_paused;
            self.handle(if stats.is_paused { Input::Paused } else { Input::Resumed });
        }
        let peers = (stats.peers_connected, stats.working_peers);
        if peers != self.last_peers {
            self.last_peers = peers;
            self.handle(Input::Peers { connected: peers.0, working: peers.1 });
        }
        let standing = stats.standing();
        if standing != self.standing {
            self.standing = standing;
            self.handle(Input::Stands(standing));
        }
        let has_grown = stats.left.saturating_add(self.quarter) <= self.left_told;
        if has_grown && standing == Standing::Leech {
            self.left_told = stats.left;
            self.handle(Input::Grown);
        }
    }

    fn announce(&mut self, call: Call, event: Option<Event>, host: Host) {
        let (tracker, stats) = (call.tracker, *self.stats.borrow());
        self.left_told = stats.left;
        let request = AnnounceRequest {
            info_hash: self.config.info_hash,
            peer_id: self.config.peer_id,
            port: self.port_for(call),
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            corrupt: stats.corrupt,
            redundant: stats.redundant,
            left: stats.left,
            event,
            key: self.config.key,
            numwant: if event == Some(Event::Stopped) { 0 } else { self.config.numwant },
            tracker_id: self.tiers.tracker_id(tracker).map(<[u8]>::to_vec),
            supports_crypto: self.config.supports_crypto,
            requires_crypto: self.config.requires_crypto,
        };
        let question = Question::announce(self.tiers.url(tracker), &request);
        // `stopped` must not wait for a resolver; other announces follow a name that moves.
        let known = self.known(call).filter(|_| self.is_stopping || event == Some(Event::Stopped));
        tracing::debug!(tracker = self.tiers.url(tracker), ?event, "announce");
        let errand = Errand { known, skip: self.skip(call), ..self.errand(question, host) };
        let job = self.jobs.spawn(errand.announce(call));
        self.flights.push((call, job));
    }

    /// The port that a tracker is told over a family: one in our own network sees us from inside.
    fn port_for(&self, call: Call) -> u16 {
        let ports = &self.config.ports;
        match host_address(self.tiers.url(call.tracker)) {
            Some(host) => ports.peers_towards(host),
            None => ports.outside().of(call.family == Family::V4).tcp,
        }
    }

    fn scrape(&mut self, tracker: TrackerIndex) {
        let info_hash = self.config.info_hash;
        let question = Question::scrape(self.tiers.url(tracker), info_hash);
        let errand = self.errand(question, Host::default());
        self.jobs.spawn(errand.scrape(tracker, info_hash));
    }

    fn errand(&self, question: Result<Question, Error>, host: Host) -> Errand {
        Errand {
            question,
            host,
            known: None,
            skip: 0,
            is_stopped: self.is_stopping,
            carriers: self.carriers.clone(),
            reports: self.reports.clone(),
        }
    }

    fn known(&self, call: Call) -> Option<SocketAddr> {
        let own = |(tracker, family, _): &&_| (*tracker, *family) == (call.tracker, call.family);
        self.known.iter().find(own).map(|(_, _, address)| *address)
    }

    fn skip(&self, call: Call) -> usize {
        let own = |(tracker, family, _): &&_| (*tracker, *family) == (call.tracker, call.family);
        self.failed.iter().find(own).map_or(0, |(_, _, count)| *count)
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Replied { call, fetched } => {
                self.flights.retain(|(flying, _)| *flying != call);
                self.on_replied(call, fetched);
            }
            Report::Failed { call, error } => {
                self.flights.retain(|(flying, _)| *flying != call);
                self.on_failed(call, error);
            }
            Report::Scraped { tracker, result } => {
                let counts = result.inspect_err(|error| {
                    tracing::debug!(tracker = self.tiers.url(tracker), %error, "scrape failed");
                });
                self.handle(Input::Scraped { tracker, counts: counts.unwrap_or_default() });
            }
            Report::Resolved { addresses, from } => self.tell_peers(addresses, from),
        }
    }

    fn on_failed(&mut self, call: Call, error: Error) {
        let Call { tracker, family, .. } = call;
        tracing::debug!(tracker = self.tiers.url(tracker), ?family, %error, "announce failed");
        let own = |(of, over, _): &&mut _| (*of, *over) == (tracker, family);
        match self.failed.iter_mut().find(own) {
            Some((_, _, count)) => *count = count.wrapping_add(MAX_ADDRESSES),
            None => self.failed.push((tracker, family, MAX_ADDRESSES)),
        }
        let (before, _) = self.tiers.failure(tracker);
        self.handle(Input::Failed { call, error });
        let (fails, why) = self.tiers.failure(tracker);
        // One family that fails beside another is no news.
        if fails != before
            && let Some(text) = why.map(str::to_owned)
            && self.may_tell(tracker)
        {
            let url = self.tiers.url(tracker).to_owned();
            self.tell(TrackerEvent::Failure { url, text });
        }
    }

    fn on_replied(&mut self, call: Call, fetched: Fetched<AnnounceReply>) {
        let tracker = call.tracker;
        let Fetched { reply, tracker: address, first_hop } = fetched;
        let own = |(of, over, _): &&mut _| (*of, *over) == (tracker, call.family);
        match self.known.iter_mut().find(own) {
            Some((_, _, known)) => *known = first_hop,
            None => self.known.push((tracker, call.family, first_hop)),
        }
        // Answers of before a pause speak of a torrent that took part.
        if !self.is_stopping && !self.is_paused {
            if self.config.is_private {
                self.tell(TrackerEvent::PrivateAnswered(self.tiers.url(tracker).to_owned()));
            }
            self.tell_peers(sockets(&reply), Locality::of(address.ip()));
        }
        if let Some(external) = reply.external_ip {
            self.tell(TrackerEvent::ExternalIp(external));
        }
        if let Some(text) = reply.warning.clone().filter(|_| self.may_tell(tracker)) {
            let url = self.tiers.url(tracker).to_owned();
            self.tell(TrackerEvent::Warning { url, text });
        }
        self.handle(Input::Replied { call, reply: Box::new(reply) });
    }

    fn tell_peers(&mut self, mut addresses: Vec<SocketAddr>, from: Locality) {
        addresses.retain(|address| is_usable_peer(*address, Teller::Remote(from)));
        if !addresses.is_empty() {
            self.tell(TrackerEvent::Peers { addresses });
        }
    }

    fn tell(&mut self, event: TrackerEvent) {
        if self.outbox.len() >= OUTBOX_LEN {
            self.outbox.pop_front();
        }
        self.outbox.push_back(event);
    }

    /// Whether this tracker's last complaint is long enough ago; if so, another one counts.
    fn may_tell(&mut self, tracker: TrackerIndex) -> bool {
        let (now, quiet) = (now(), self.config.quiet);
        self.told_at.retain(|(_, told_at)| now.saturating_duration_since(*told_at) < quiet);
        let may_tell = self.told_at.iter().all(|(index, _)| *index != tracker);
        if may_tell {
            self.told_at.push((tracker, now));
        }
        may_tell
    }
}

/// The runtime's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_to(wake: Option<Instant>) {
    if let Some(wake) = wake {
        sleep_until(wake.into()).await;
    }
}

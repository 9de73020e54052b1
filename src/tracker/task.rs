//! The announces of one torrent: a task that does what [`super::tiers`] says, over the network.
//! It keeps no peers and dials none; they leave as events.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use crate::base::addr::{Locality, Source, is_usable_peer};
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::{AnnounceReply, AnnounceRequest, Error, Event};
use crate::tracker::tiers::status::TrackerStatus;
use crate::tracker::tiers::{Input, ManualAnnounce, Output, Tiers, Timing, TrackerIndex};

pub use fetch::{HttpClient, NetworkTiming, http_client};

mod errand;
mod fetch;
mod udp;

use errand::{Carriers, Errand, Question, Report, sockets};
use fetch::Fetched;
use udp::UdpClient;

/// Reports of announces on their way. An announce makes three at most, and few are on their
/// way at once; more would wait.
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
    /// Port we listen on.
    pub port: u16,
    /// Random, the same for the life of the torrent (BEP 7).
    pub key: u32,
    /// Peers to ask for.
    pub numwant: u32,
    /// BEP 27: peers of these trackers may not be passed on.
    pub is_private: bool,
    /// Whether nothing was missing at the start.
    pub is_complete: bool,
    /// The session's client.
    pub client: HttpClient,
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
    /// Payload bytes received.
    pub downloaded: u64,
    /// Bytes missing; not 0 while a magnet's size is unknown, or trackers count a seed.
    pub left: u64,
    /// Live links.
    pub peers_connected: usize,
    /// Links that serve us or may.
    pub working_peers: usize,
    /// The user paused the torrent: trackers are told that it has left, until it goes on.
    pub is_paused: bool,
}

/// Orders from the torrent.
#[derive(Debug)]
pub enum TrackerCommand {
    /// The user wants an announce now; the answer says whether it may be.
    Announce(oneshot::Sender<ManualAnnounce>),
    /// The last piece has been verified. Told again after more was wanted or pieces were
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
    tokio::spawn(Driver::new(config, stats).run(commands, events))
}

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
    /// Whether bytes are missing, as the machine knows it.
    is_missing: bool,
    /// Whether the torrent is paused, as the machine knows it.
    is_paused: bool,
    /// Tracker addresses that worked, so that `stopped` needs no resolver.
    known: Vec<(TrackerIndex, Vec<SocketAddr>)>,
    told_at: Vec<(TrackerIndex, Instant)>,
    stop_done: Option<oneshot::Sender<()>>,
    is_stopping: bool,
    is_finished: bool,
}

impl Driver {
    fn new(mut config: TrackerConfig, stats: watch::Receiver<TransferStats>) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS_LEN);
        let tiers = std::mem::take(&mut config.tiers);
        let network = config.network.clone();
        let udp = UdpClient::start(network.retry_udp, network.bind);
        let carriers = Carriers { http: config.client.clone(), udp, network };
        Self {
            is_missing: !config.is_complete,
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
            known: Vec::new(),
            told_at: Vec::new(),
            stop_done: None,
            is_stopping: false,
            is_finished: false,
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<TrackerCommand>,
        events: mpsc::Sender<TrackerEvent>,
    ) {
        self.handle(Input::Started { complete: self.config.is_complete });
        self.on_stats();
        let mut has_stats = true;
        let mut has_listener = true;
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
        while let Some(output) = self.tiers.poll_output() {
            match output {
                Output::Announce { tracker, event } => self.announce(tracker, event),
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

    fn stop(&mut self) {
        self.is_stopping = true;
        self.jobs.abort_all();
        self.handle(Input::Stopped);
    }

    /// Byte counts change all the time and matter only when an announce leaves.
    fn on_stats(&mut self) {
        let stats = *self.stats.borrow_and_update();
        if stats.is_paused != self.is_paused && !self.is_stopping {
            self.is_paused = stats.is_paused;
            // Answers of before a pause speak of a torrent that took part.
            self.jobs.abort_all();
            self.handle(if stats.is_paused { Input::Paused } else { Input::Resumed });
        }
        let peers = (stats.peers_connected, stats.working_peers);
        if peers != self.last_peers {
            self.last_peers = peers;
            self.handle(Input::Peers { connected: peers.0, working: peers.1 });
        }
        let is_missing = stats.left > 0;
        if is_missing != self.is_missing {
            self.is_missing = is_missing;
            self.handle(Input::Missing(is_missing));
        }
    }

    fn announce(&mut self, tracker: TrackerIndex, event: Option<Event>) {
        let stats = *self.stats.borrow();
        let request = AnnounceRequest {
            info_hash: self.config.info_hash,
            peer_id: self.config.peer_id,
            port: self.config.port,
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            left: stats.left,
            event,
            key: self.config.key,
            numwant: if event == Some(Event::Stopped) { 0 } else { self.config.numwant },
            tracker_id: self.tiers.tracker_id(tracker).map(<[u8]>::to_vec),
        };
        let question = Question::announce(self.tiers.url(tracker), &request);
        // `stopped` must not wait for a resolver; other announces follow a name that moves.
        let known = self.known(tracker).filter(|_| self.is_stopping);
        tracing::debug!(tracker = self.tiers.url(tracker), ?event, "announce");
        let errand = self.errand(tracker, question, known);
        self.jobs.spawn(errand.announce());
    }

    fn scrape(&mut self, tracker: TrackerIndex) {
        let info_hash = self.config.info_hash;
        let question = Question::scrape(self.tiers.url(tracker), info_hash);
        let errand = self.errand(tracker, question, None);
        self.jobs.spawn(errand.scrape(info_hash));
    }

    fn errand(
        &self,
        tracker: TrackerIndex,
        question: Result<Question, Error>,
        known: Option<Vec<SocketAddr>>,
    ) -> Errand {
        Errand {
            tracker,
            question,
            known,
            is_stopped: self.is_stopping,
            carriers: self.carriers.clone(),
            reports: self.reports.clone(),
        }
    }

    fn known(&self, tracker: TrackerIndex) -> Option<Vec<SocketAddr>> {
        let known = self.known.iter().find(|(index, _)| *index == tracker);
        known.map(|(_, addresses)| addresses.clone())
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Replied { tracker, fetched, is_repeat } => {
                self.on_replied(tracker, fetched, is_repeat);
            }
            Report::Failed { tracker, error } => {
                let url = self.tiers.url(tracker).to_owned();
                tracing::debug!(tracker = url, %error, "announce failed");
                if self.may_tell(tracker) {
                    self.tell(TrackerEvent::Failure { url, text: error.to_string() });
                }
                self.handle(Input::Failed { tracker, error });
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

    fn on_replied(
        &mut self,
        tracker: TrackerIndex,
        fetched: Fetched<AnnounceReply>,
        is_repeat: bool,
    ) {
        let Fetched { reply, tracker: address, first_hop } = fetched;
        match self.known.iter_mut().find(|(index, _)| *index == tracker) {
            Some((_, addresses)) if is_repeat => addresses.push(first_hop),
            Some((_, addresses)) => *addresses = vec![first_hop],
            None => self.known.push((tracker, vec![first_hop])),
        }
        if !self.is_stopping {
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
        if !is_repeat {
            self.handle(Input::Replied { tracker, reply: Box::new(reply) });
        }
    }

    fn tell_peers(&mut self, mut addresses: Vec<SocketAddr>, from: Locality) {
        addresses.retain(|address| is_usable_peer(*address, Source::Remote(from)));
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

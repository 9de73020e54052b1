//! The actor that owns the brain of one torrent: it turns the world into inputs, carries
//! out what the brain says, and publishes what people may know. It decides nothing about
//! the transfer itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::base::extents::Extents;
use crate::base::layout::{Layout, PieceIndex};
use crate::dht::task::DhtNews;
use crate::disk::{DiskEvent, DiskMeter, DiskStats, Gone, Job};
use crate::link::{self, LinkReport, Provider};
use crate::metainfo::Torrent;
use crate::swarm::event::{Event, Input, Output, Preparation, Source};
use crate::swarm::link::Endpoint;
use crate::swarm::{Refusal, Swarm};
use crate::tracker::task::{TrackerCommand, TrackerEvent};

use super::board::Board;
use super::command::{Command, Commands, MoveOrder};
use super::ends::{Dormant, Ends, Knocks};
use super::handle::{News, NewsSender};
use super::incoming::Incoming;
use super::jobs::Jobs;
use super::links::Links;
use super::parts::Parts;
use super::publish::Publisher;
use super::seats::Seats;
use super::share::Share;
use super::sources::Sources;
use super::status::WhyReport;
use super::trackers::{Trackers, trouble_words};
use super::wish::Wish;

/// Reports taken in at once, before effects are carried out.
const REPORTS_BATCH: usize = 64;
/// The same for verdicts.
const DISK_EVENTS_BATCH: usize = 64;
/// How soon files that could not be finished are looked at again.
const FINISH_RETRY: Duration = Duration::from_secs(5);
/// How long disk workers have to let go of a torrent that has ended. They have nothing to do then.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What the actor is made of; put together by `lifecycle`.
pub(super) struct Actor {
    pub swarm: Swarm,
    pub layout: Layout,
    pub extents: Extents,
    pub links: Links,
    /// Servers of its files.
    pub sources: Sources,
    /// Course providers among the candidates.
    pub providers: BTreeMap<SocketAddr, Arc<Provider>>,
    /// Connections to providers that are used at the first dial.
    pub open: BTreeMap<SocketAddr, TcpStream>,
    pub jobs: Jobs,
    pub disk_events: mpsc::Receiver<DiskEvent>,
    pub disk_stats: DiskStats,
    pub disk_meter: DiskMeter,
    /// Payload received and sent, as it was published last.
    pub published_bytes: (u64, u64),
    /// How often links had come to wait for blocks at the last two publish ticks.
    pub waits: [u64; 2],
    /// Pieces at the disk workers.
    pub jobs_out: usize,
    pub flushed: bool,
    /// When to look again at files that could not be finished, or were lost.
    pub finish_again: Option<Instant>,
    /// Files of the finished torrent that are gone are looked for, and fetched again from then on.
    pub fetch_gone_at: Option<Instant>,
    /// They are fetched again, and looked for all the same: perhaps nobody can bring them.
    pub fetches_gone: bool,
    /// Files that were lost are looked for, or all of them since the last was found.
    pub is_restoring: bool,
    /// When to look for the directory of the files again.
    pub look_at: Instant,
    pub is_looking: bool,
    /// That directory is gone: the torrent lets go of everything.
    pub gone: Option<Gone>,
    /// Its files are to be moved: the torrent lets go of everything.
    pub move_order: Option<MoveOrder>,
    /// All of it is to be looked at: likewise.
    pub verifies: bool,
    /// It sleeps as soon as it has nothing to do.
    pub is_to_sleep: bool,
    /// It slept, and was complete before that.
    pub has_slept: bool,
    /// What woke it.
    pub knocks: Knocks,
    /// Orders to move that were found possible.
    pub moves: (mpsc::Sender<MoveOrder>, mpsc::Receiver<MoveOrder>),
    pub torrent: Arc<Torrent>,
    /// Nothing is fetched for it.
    pub is_seed_only: bool,
    /// Whether its end may take as long as its device needs.
    pub patient: watch::Receiver<bool>,
    pub commands: Commands,
    pub incoming: mpsc::Receiver<Box<Incoming>>,
    pub trackers: Trackers,
    pub seats: Seats,
    pub publisher: Publisher,
    pub news: NewsSender,
    /// Blocks that open pieces may hold.
    pub share: Share,
    pub status: Board,
    pub wish: Wish,
}

/// A torrent after its actor.
pub(super) struct Rested {
    /// What is wanted of it now.
    pub wish: Wish,
    /// Why it ended, if not since it has seeded enough.
    pub gone: Option<Gone>,
    /// Likewise.
    pub move_order: Option<MoveOrder>,
    /// Likewise, or beside that.
    pub verifies: bool,
    /// Likewise, with what goes on.
    pub dormant: Option<Box<Dormant>>,
    /// What it is to be told when it runs again.
    pub orders: Vec<Command>,
    /// Ends when the disk workers have let go of its files.
    pub closing: mpsc::Receiver<DiskEvent>,
}

/// What is left of one that may go on some day.
pub(super) type Over = Option<(Box<Ends>, Rested)>;

impl Actor {
    /// Runs until it is stopped, has seeded enough, is to be moved, or every handle or its
    /// directory is gone; `early` orders came before. One that may go on some day gives its
    /// ends back.
    pub(super) async fn run(mut self, parts: &Parts, early: Vec<Command>) -> Over {
        let mut published = Instant::now();
        self.begin(parts, early).await;
        let mut reports = Vec::with_capacity(REPORTS_BATCH);
        let mut disk_events = Vec::with_capacity(DISK_EVENTS_BATCH);
        let last = loop {
            self.carry_out();
            if self.gone.is_some() || self.move_order.is_some() || self.verifies {
                break Some(Command::Finish);
            }
            if self.rests_when_it_can() && self.may_sleep() {
                return Some(self.doze());
            }
            let brain_at = self.swarm.next_timeout();
            let publish_at = published + self.publish_pause();
            let offer_at = self.jobs.again_at();
            tokio::select! {
                _ = self.links.reports.recv_many(&mut reports, REPORTS_BATCH) => {
                    reports.drain(..).for_each(|report| self.on_report(report));
                    self.swarm.settle(Instant::now());
                }
                // None come any more when the workers have ended.
                1.. = self.disk_events.recv_many(&mut disk_events, DISK_EVENTS_BATCH) => {
                    disk_events.drain(..).for_each(|event| self.on_disk_event(event));
                    self.swarm.settle(Instant::now());
                }
                event = self.trackers.next() => self.on_tracker_event(event),
                news = self.seats.next() => self.on_dht_news(news),
                Some(incoming) = self.incoming.recv() => self.on_incoming(*incoming),
                Some(order) = self.moves.1.recv() => self.move_order = Some(order),
                () = self.links.places.changed() => self.tell_room(),
                () = self.links.blocked.changed() => self.on_blocklist(),
                command = self.commands.recv() => match command {
                    Some(last @ (Command::Stop(_) | Command::Finish)) => break Some(last),
                    Some(command) => self.on_command(parts, command).await,
                    None => break None,
                },
                () = self.share.changed() => {
                    let share = self.share.blocks();
                    self.swarm.handle(Input::Share(share), Instant::now());
                }
                () = sleep_until(brain_at.unwrap_or_else(Instant::now).into()),
                    if brain_at.is_some() => self.on_tick(),
                () = sleep_until(self.finish_again.unwrap_or_else(Instant::now).into()),
                    if self.finish_again.is_some() => self.finish(),
                () = sleep_until(offer_at.unwrap_or_else(Instant::now).into()),
                    if offer_at.is_some() => self.jobs.offer(Instant::now()),
                () = sleep_until(publish_at.into()) => {
                    self.on_publish_tick();
                    published = Instant::now();
                }
            }
        };
        self.end().await;
        match last {
            Some(Command::Stop(answer)) => {
                // Whoever begins with it next is to find its record and files free.
                let mut closing = self.rest(false).1.closing;
                let closed = async { while closing.recv().await.is_some() {} };
                // A disk that hangs is not waited for once more.
                let _ = timeout(CLOSE_MAX, closed).await;
                // The one who asked may have gone.
                let _ = answer.send(());
                None
            }
            Some(_) => Some(self.rest(false)),
            None => None,
        }
    }

    /// Takes in what came before it ran.
    async fn begin(&mut self, parts: &Parts, early: Vec<Command>) {
        for command in early {
            self.on_command(parts, command).await;
        }
        self.publish();
        if self.swarm.is_complete() {
            // Everything was found on disk: no last piece will come to say so.
            self.finish();
        }
        self.answer_knocks();
    }

    /// What woke it is heard.
    fn answer_knocks(&mut self) {
        let Knocks { incoming, turn, tracker, dht, our_address } = std::mem::take(&mut self.knocks);
        drop(turn);
        let address = our_address.map(TrackerEvent::ExternalIp);
        address.into_iter().chain(tracker).for_each(|event| self.on_tracker_event(event));
        dht.into_iter().for_each(|news| self.on_dht_news(news));
        incoming.into_iter().for_each(|incoming| self.on_incoming(*incoming));
    }

    /// What is left when everything that runs has ended, or nothing ran and it is to sleep.
    pub(super) fn rest(mut self, sleeps: bool) -> (Box<Ends>, Rested) {
        let waits = Some(Box::new(self.swarm.account(Instant::now())));
        let is_paused = self.publisher.is_paused();
        let mut orders = Vec::new();
        if is_paused && !sleeps {
            orders.push(Command::Pause);
        }
        if !self.providers.is_empty() {
            let providers = self.providers.into_values().map(|it| (*it).clone()).collect();
            orders.push(Command::AddProviders { providers, open: Vec::new() });
        }
        let added = self.sources.into_added();
        orders.extend(added.into_iter().map(Command::AddWebSeed));
        let Self { commands, incoming, status, news, share, wish, .. } = self;
        let known = Box::new(self.swarm.acquaintances());
        let ends = Ends { known, waits, ..Ends::new(commands, incoming, status, news, share) };
        let ends = Box::new(ends);
        let Self { gone, move_order, verifies, trackers, seats, .. } = self;
        let closing = self.disk_events;
        let dormant = Dormant { trackers, seats, reserved: None, closing: None, is_paused };
        let dormant = sleeps.then(|| Box::new(dormant));
        (ends, Rested { wish, gone, move_order, verifies, dormant, orders, closing })
    }

    /// Notes what a link says; conclusions are drawn once a batch.
    pub(super) fn on_report(&mut self, report: LinkReport) {
        let LinkReport { link, news, held } = report;
        if let Some(fact) = self.links.on_news(link, news) {
            self.swarm.note(fact, Instant::now());
        }
        drop(held);
    }

    /// Notes an answer of the disk; conclusions are drawn once a batch.
    pub(super) fn on_disk_event(&mut self, event: DiskEvent) {
        let now = Instant::now();
        match event {
            DiskEvent::Checked { piece, verdict } => {
                self.jobs_out -= 1;
                self.swarm.note(Input::PieceChecked { piece, verdict }, now);
            }
            DiskEvent::Spilled { piece, failed } => {
                self.jobs_out -= 1;
                self.swarm.note(Input::Spilled { piece, failed }, now);
            }
            DiskEvent::Prepared { piece, outcome } => {
                if let Preparation::Unreadable(why) = &outcome {
                    warn!(piece = piece.number(), why, "cannot read a piece that a peer asks for");
                }
                self.swarm.note(Input::Prepared { piece, outcome }, now);
            }
            DiskEvent::FileDone(file) => debug!(file = file.0, "file whole"),
            DiskEvent::FileTrouble { reason, lost, is_gone, .. } => {
                self.on_file_trouble(reason, lost, is_gone);
            }
            DiskEvent::Unkept { reason, lost, .. } => {
                warn!(reason, lost = lost.len(), "the device did not keep what was written");
                self.lose(lost);
                self.swarm.note(Input::DiskFailed(reason), now);
                self.publish();
            }
            DiskEvent::RecordTrouble(why) => {
                warn!(why, "cannot record verified pieces; trying again");
                self.publisher.set_record_trouble(Some(why));
            }
            DiskEvent::RecordRecovered => {
                info!("verified pieces are recorded again");
                self.publisher.set_record_trouble(None);
            }
            DiskEvent::Flushed(failed) => {
                self.flushed = true;
                if let Some(why) = failed {
                    warn!(why, "cannot bring data to the device");
                    self.publisher.set_flush_failure(why);
                }
            }
            DiskEvent::Silent(_) | DiskEvent::Answers => self.on_silence(now),
            DiskEvent::Looked(gone) => self.on_looked(gone),
            DiskEvent::Finished(whole) => self.on_finished(whole),
            DiskEvent::Restored { reason, found, more } => self.on_restored(reason, found, more),
        }
    }

    /// Every wanted file was looked at: only now is the torrent called complete.
    fn on_finished(&mut self, whole: bool) {
        let was_restoring = std::mem::take(&mut self.is_restoring) && !self.fetches_gone;
        let had_slept = std::mem::take(&mut self.has_slept);
        if !self.swarm.is_complete() {
            return;
        }
        if !whole {
            // Somebody may free space or move a file out of the way.
            self.finish_again = Some(Instant::now() + FINISH_RETRY);
            return;
        }
        if self.awaits_lost() && self.publisher.left().1 > 0 {
            // Something was lost since it was looked at.
            return self.look_for_lost();
        }
        info!("complete");
        if self.publisher.set_trouble(None) {
            self.tell(Event::DiskRecovered);
        }
        self.publisher.set_complete();
        self.publish();
        self.fetches_gone = false;
        if was_restoring || had_slept {
            // Nothing was brought.
            return;
        }
        // A choice of files that is complete completes no torrent (BEP 21).
        if self.publisher.left().0 == 0 {
            self.trackers.tell(TrackerCommand::Completed);
        }
        self.tell(Event::Completed);
    }

    pub(super) fn tell(&self, event: Event) {
        self.news.send(News::Swarm(event));
    }

    fn on_tracker_event(&mut self, event: TrackerEvent) {
        match event {
            TrackerEvent::Peers { addresses } => self.learn(Source::Tracker, addresses),
            TrackerEvent::Warning { url, text } => self.tell_tracker(&url, "warns", &text),
            TrackerEvent::Failure { url, text } => self.tell_tracker(&url, "failed", &text),
            TrackerEvent::ExternalIp(ip) => {
                debug!(%ip, "our address as a tracker sees it");
                let ours = self.links.ours(ip);
                self.swarm.handle(Input::OurAddress(ours), Instant::now());
            }
            TrackerEvent::PrivateAnswered(url) => {
                if self.trackers.is_another(url) {
                    info!("the private torrent has another tracker now; its peers are left");
                    self.swarm.handle(Input::TrackerChanged, Instant::now());
                }
            }
            TrackerEvent::Status(status) => {
                self.trackers.status = status;
                self.publish();
            }
        }
    }

    fn tell_tracker(&self, url: &str, verb: &str, text: &str) {
        self.news.send(News::Tracker(trouble_words(url, verb, text)));
    }

    fn on_incoming(&mut self, incoming: Incoming) {
        let now = Instant::now();
        self.swarm.note(Input::Room(self.links.places.room()), now);
        let link = match self.swarm.admit(incoming.address, now) {
            Ok(link) => link,
            Err(Refusal::NoPlace) => {
                // It will come again.
                return self.links.places.want(self.swarm.wanted_links(now).max(1));
            }
            Err(why) => return debug!(address = %incoming.address, ?why, "not let in"),
        };
        self.is_to_sleep = false;
        // Whoever makes place for it goes first.
        self.carry_out();
        if let Some(refused) = self.links.accept(link, incoming) {
            self.swarm.handle(refused, now);
        }
    }

    fn on_blocklist(&mut self) {
        self.swarm.handle(self.links.newly_blocked(), Instant::now());
        let freed = self.links.blocked.freed();
        freed.into_iter().for_each(|(source, addresses)| self.learn(source, addresses));
    }

    fn on_dht_news(&mut self, news: DhtNews) {
        match news {
            DhtNews::Peers(peers) => self.learn(Source::Dht, peers),
            DhtNews::Announced { nodes } => {
                debug!(nodes, "announced in the DHT");
                self.news.send(News::Announced { nodes });
                self.publish();
            }
        }
    }

    fn learn(&mut self, source: Source, addresses: Vec<SocketAddr>) {
        let addresses = self.links.blocked.sift(source, addresses);
        self.swarm.handle(Input::Candidates { source, addresses }, Instant::now());
        self.tell_room();
    }

    /// Tells the brain what other torrents leave to it, and the session what it wants beside.
    pub(super) fn tell_room(&mut self) {
        let now = Instant::now();
        self.swarm.handle(Input::Room(self.links.places.room()), now);
        self.links.places.want(self.swarm.wanted_links(now));
    }

    async fn on_command(&mut self, parts: &Parts, command: Command) {
        let now = Instant::now();
        match command {
            Command::Peers { all, answer } => {
                let _ = answer.send(self.publisher.peers(&self.swarm, all, now));
            }
            Command::Sources(answer) => {
                let _ = answer.send(self.sources.status(&self.swarm, now));
            }
            Command::Why(answer) => {
                let limiter = &self.links.config.limiter;
                let limit = (limiter.rate(), limiter.age(now));
                let tracker = self.trackers.brief(now);
                let disk = self.disk_meter.report();
                let why = self.publisher.why(&self.swarm, limit, tracker, disk, now);
                let (dht, sources) =
                    (self.seats.status(now), self.sources.status(&self.swarm, now));
                let limit_web = self.sources.limit(now).0;
                let blocked = self.links.blocked.count();
                let _ = answer.send(WhyReport { dht, sources, limit_web, blocked, ..why });
            }
            Command::Copies(answer) => drop(answer.send(self.swarm.copies())),
            Command::Announce(answer) => {
                let _ = answer.send(self.trackers.announce().await);
            }
            Command::Scrape => self.trackers.tell(TrackerCommand::Scrape),
            Command::AddPeer(address) => self.learn(Source::User, vec![address]),
            Command::LocalPeer(address) => self.learn(Source::Lan, vec![address]),
            Command::AddProviders { providers, open } => {
                self.open.extend(open);
                self.add_providers(providers, now);
            }
            Command::AddWebSeed(seed) => {
                if let Some(source) = self.sources.add(seed) {
                    self.swarm.handle(Input::Sources(vec![source]), now);
                }
            }
            Command::Pause => self.pause(true),
            Command::Resume | Command::Unpause => self.pause(false),
            Command::LimitDown(limit) => {
                self.links.config.limiter.set_rate(limit);
                self.publish();
            }
            Command::LimitUp(limit) => {
                self.links.config.up_limiter.set_rate(limit);
                self.publish();
            }
            Command::Move(order) => self.consider_move(order),
            Command::SelectFiles(choice) => self.select(choice),
            Command::Conduct(conduct) => self.follow(conduct, parts),
            Command::Trackers(tiers) => self.name_trackers(tiers, parts),
            Command::Verify => self.verifies = self.torrent.is_judged(),
            Command::Sleep => self.is_to_sleep = true,
            Command::Stop(_) | Command::Finish | Command::Start { .. } => {}
        }
    }

    fn add_providers(&mut self, providers: Vec<Provider>, now: Instant) {
        let addresses = providers.iter().map(|provider| provider.address).collect();
        let known = providers.into_iter().map(|it| (it.address, Arc::new(it)));
        self.providers.extend(known);
        self.swarm.handle(Input::Candidates { source: Source::Listing, addresses }, now);
        self.publish();
    }

    fn pause(&mut self, pause: bool) {
        self.swarm.note(Input::Pause(pause), Instant::now());
        self.tell_room();
        self.publisher.set_paused(pause);
        self.publish();
    }

    /// Does what the brain says, in its order, and what it says to what comes of that.
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.swarm.poll_output() {
                self.on_output(output);
            }
            let Some(facts) = self.links.post() else { return };
            facts.into_iter().for_each(|fact| self.swarm.handle(fact, Instant::now()));
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Dial { link, address, known } => {
                let (providers, open) = (&self.providers, &mut self.open);
                let refused = match providers.get(&address).cloned() {
                    Some(provider) => self.links.dial_by(link, address, |config, reports| {
                        let open = open.remove(&address);
                        link::dial_provider(config, link, provider, open, reports)
                    }),
                    None => self.links.dial(link, address, known),
                };
                if let Some(refused) = refused {
                    self.swarm.handle(refused, Instant::now());
                }
            }
            Output::Lease { link, source } => {
                let left_bytes = self.publisher.left().0;
                self.sources.dial(&mut self.links, (link, left_bytes), source);
            }
            Output::Send { link, command } => self.links.order(link, command),
            Output::CheckPiece { piece, blocks, want_block_hashes, may_wait } => {
                self.jobs_out += 1;
                self.submit(Job::Check { piece, blocks, want_block_hashes, may_wait });
            }
            Output::PreparePiece { piece, prove } => {
                self.submit(Job::Prepare { piece, prove });
            }
            Output::SpillBlocks { piece, blocks } => {
                self.jobs_out += 1;
                self.submit(Job::Spill { piece, blocks });
            }
            Output::Event(event) => self.on_event(event),
        }
    }

    pub(super) fn submit(&mut self, job: Job) {
        self.jobs.submit(job, Instant::now());
    }

    fn on_event(&mut self, event: Event) {
        match &event {
            // The snapshot tells of it, and there are thousands.
            Event::PieceVerified(piece) => return self.on_verified(*piece),
            // Told when every file was looked at.
            Event::Completed => {
                self.tell_of_sources(Instant::now());
                return self.finish();
            }
            Event::HashFailed { piece, blamed } => {
                warn!(piece = piece.number(), ?blamed, "piece failed its hash");
                let source = blamed.as_ref().and_then(|blamed| match blamed {
                    Endpoint::Source(source) => Some(*source),
                    Endpoint::Peer(_) => None,
                });
                let news = source.and_then(|source| self.sources.wrong(source, *piece));
                if let Some(news) = news {
                    self.news.send(News::Source(news));
                    return;
                }
            }
            Event::Reassigned { piece, peer, client, why } => {
                warn!(piece = piece.number(), %peer, client, why, "others are asked for a piece");
            }
            Event::PieceLost { piece, why } => {
                let piece = *piece;
                warn!(piece = piece.number(), why, "a verified piece is lost");
                let (extents, layout) = (&self.extents, &self.layout);
                let files = self.publisher.files_of(&self.torrent, extents, layout, piece);
                let then = if self.is_seed_only { "not served any more" } else { "fetched again" };
                let why = format!("{why} ({files}); it is {then}");
                if !self.swarm.have().has(piece) {
                    self.publisher.lost(extents, layout, piece);
                }
                if self.is_seed_only {
                    self.publisher.set_trouble(Some(format!("{files} is not what it was")));
                }
                self.look_for_lost();
                self.publish();
                return self.tell(Event::PieceLost { piece, why });
            }
            Event::Banned(address) => warn!(%address, "peer banned"),
            // That has been told.
            Event::DiskTrouble(_) if self.gone.is_some() || self.fetch_gone_at.is_some() => return,
            Event::DiskTrouble(why) => {
                warn!(why, "disk trouble");
                self.publish();
            }
            Event::DiskRecovered => self.publish(),
            Event::FirstPeer(address) => info!(%address, "first peer"),
        }
        self.tell(event);
    }

    fn on_verified(&mut self, piece: PieceIndex) {
        if !self.swarm.have().has(piece) {
            // It is lost again, which was told before this.
            return;
        }
        self.publisher.verified(&self.extents, &self.layout, piece);
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        // The silence of links that cannot read is not their remotes'.
        self.note_starved(now);
        self.swarm.note(Input::Room(self.links.places.room()), now);
        self.swarm.handle(Input::Tick, now);
        // Addresses may have rested; for them the session is asked once, and then twice a second.
        let wanted = self.swarm.wanted_links(now);
        if wanted > self.links.places.wanted() {
            self.links.places.want(wanted);
        }
    }

    pub(super) fn note_starved(&mut self, now: Instant) {
        let pool = &self.links.config.pool;
        let starved = pool.is_starved() || pool.waits_count() > self.waits[0];
        self.swarm.note(Input::Starved(starved), now);
    }
}

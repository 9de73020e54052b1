//! The announcer's task: the members, a wheel that wakes those whose time has come, and what is on
//! its way for them. Nothing here waits for one of them, so that none holds up the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::clock::{now, sleep_to};
use super::config::AnnouncerConfig;
use super::errand::{Carriers, Errand, Host, Report, host_of, names, resolved};
use super::lines::{Line, Lines, Ticket};
use super::mail::{EntryId, Letter, Mail, Newcomer};
use super::member::{Flight, Member, Stage};
use super::udp::UdpClient;
use crate::base::addr::Locality;
use crate::tracker::announce::{Event, Family};
use crate::tracker::tiers::{Call, Input, ManualAnnounce, Output, Timing, TrackerIndex};
use crate::tracker::turns::{Class, Site, Turn};

/// An announce that was on its way when our address changed has ended after that: it is as long as
/// a connection may take to be made.
const ELSEWHERE_AGAIN: Duration = Duration::from_secs(10);

/// For so long the addresses of a host serve all that ask there.
const LOOKUP_KEPT: Duration = Duration::from_secs(10);

/// Members whose time has come that are looked at before anything else is.
const DUE_BATCH: usize = 256;

/// What a job is for.
struct Job {
    entry: EntryId,
    place: Option<(Line, Turn)>,
}

pub(super) struct Desk {
    config: AnnouncerConfig,
    timing: Arc<Timing>,
    carriers: Carriers,
    mail: watch::Sender<Mail>,
    members: BTreeMap<EntryId, Box<Member>>,
    /// When each of those is to be looked at that have something to wait for.
    wheel: BTreeSet<(Instant, EntryId)>,
    /// Announce URLs, each once.
    urls: BTreeSet<Arc<str>>,
    lines: Lines,
    lookups: BTreeMap<Arc<str>, (Instant, Host)>,
    jobs: JoinSet<Report>,
    /// Of each job that has not ended.
    flying: HashMap<Id, Job>,
}

impl Desk {
    pub fn new(config: AnnouncerConfig, mail: watch::Sender<Mail>) -> Self {
        let network = config.network.clone();
        let alone = || UdpClient::alone(network.retry_udp, network.egress.clone());
        let udp = config.udp.clone().unwrap_or_else(alone);
        Self {
            timing: Arc::new(config.timing.clone()),
            carriers: Carriers { http: config.client.clone(), udp, network },
            config,
            mail,
            members: BTreeMap::new(),
            wheel: BTreeSet::new(),
            urls: BTreeSet::new(),
            lines: Lines::new(),
            lookups: BTreeMap::new(),
            jobs: JoinSet::new(),
            flying: HashMap::new(),
        }
    }

    /// Ends when nobody can write any more and all members have said goodbye.
    pub async fn run(
        mut self,
        mut delivered: watch::Receiver<Mail>,
        mut closed: mpsc::Receiver<Infallible>,
    ) {
        let mut around = self.config.network.egress.watch();
        let mut before = around.borrow_and_update().clone();
        let mut ports = self.config.ports.clone();
        let mut ports_told = ports.outside();
        let mut is_open = true;
        while is_open || !self.members.is_empty() {
            self.launch();
            let wake = self.wheel.first().map(|(at, _)| *at);
            tokio::select! {
                // Its sender is ours.
                _ = delivered.changed() => self.take_mail(),
                Some(joined) = self.jobs.join_next_with_id() => self.on_joined(joined),
                // As is this one's.
                _ = around.changed() => {
                    let standing = around.borrow_and_update().clone();
                    if standing.is_elsewhere_than(&before) {
                        self.announce_elsewhere();
                    }
                    before = standing;
                }
                () = ports.changed() => {
                    let outside = ports.outside();
                    if outside.is_elsewhere_than(&ports_told) {
                        self.announce_elsewhere();
                    }
                    ports_told = outside;
                }
                none = closed.recv(), if is_open => {
                    is_open = none.is_some();
                    // What they wrote last.
                    self.take_mail();
                }
                () = sleep_to(wake), if wake.is_some() => self.on_due(),
            }
        }
    }

    fn take_mail(&mut self) {
        let mut letters = BTreeMap::new();
        self.mail.send_if_modified(|mail| {
            letters = mail.take();
            false
        });
        for (id, letter) in letters {
            self.on_letter(id, letter);
        }
    }

    fn on_letter(&mut self, id: EntryId, letter: Letter) {
        if let Some(newcomer) = letter.newcomer {
            self.enter(id, *newcomer);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        if let Some(ears) = letter.ears {
            member.hear(ears);
        }
        if let Some(tiers) = letter.tiers.filter(|_| !member.is_stopping) {
            member.name(all_shared(&mut self.urls, tiers));
        }
        if let Some(stats) = letter.stats {
            if stats.is_paused && !member.stats.is_paused && !member.is_stopping {
                member.withdraw(&mut self.lines);
            }
            member.on_stats(stats);
        }
        if letter.is_completed {
            member.handle(Input::Completed);
        }
        if letter.wants_scrape {
            member.handle(Input::ScrapeWanted);
        }
        self.follow(id, false);
        for answer in letter.wishes {
            self.announce_now(id, answer);
        }
        if let Some(member) = self.members.get(&id) {
            // Those who asked may have gone.
            letter.looks.into_iter().for_each(|it| drop(it.send(member.tiers.status())));
        }
        if letter.is_gone || letter.stop.is_some() {
            self.stop(id, letter.stop);
        }
    }

    fn enter(&mut self, id: EntryId, mut newcomer: Newcomer) {
        let tiers = std::mem::take(&mut newcomer.config.tiers);
        let tiers = all_shared(&mut self.urls, tiers);
        let member = Member::new(newcomer, tiers, self.timing.clone());
        self.members.insert(id, Box::new(member));
    }

    /// The user wants an announce, which goes first.
    fn announce_now(&mut self, id: EntryId, answer: oneshot::Sender<ManualAnnounce>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        // The asker may have gone.
        let _ = answer.send(member.tiers.announce_now(now()));
        self.follow(id, true);
    }

    fn stop(&mut self, id: EntryId, done: Option<oneshot::Sender<()>>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if done.is_some() {
            member.stop_done = done;
        }
        if std::mem::replace(&mut member.is_stopping, true) {
            return;
        }
        member.elsewhere_at = None;
        member.withdraw(&mut self.lines);
        member.handle(Input::Stopped);
        self.follow(id, false);
    }

    /// Tells trackers that we have another address, as soon as they allow it.
    fn announce_elsewhere(&mut self) {
        // Hosts may have others, seen from here.
        self.lookups.clear();
        for line in Line::ALL {
            self.lines.of(line).on_other_way();
        }
        let all: Vec<EntryId> = self.members.keys().copied().collect();
        all.into_iter().for_each(|id| self.tell_elsewhere(id));
    }

    fn tell_elsewhere(&mut self, id: EntryId) {
        let Some(member) = self.members.get_mut(&id).filter(|it| !it.is_stopping) else { return };
        // What is on its way speaks of the address before, or not at all.
        let was_asking = member.flights.iter().any(|it| matches!(it.stage, Stage::Flies(_)));
        member.elsewhere_at = match member.tiers.announce_now(now()) {
            ManualAnnounce::AllowedIn(_, wait) => Some(now() + wait),
            ManualAnnounce::Asking(_) if was_asking => Some(now() + ELSEWHERE_AGAIN),
            ManualAnnounce::Asking(_) | ManualAnnounce::Paused | ManualAnnounce::NoTracker => None,
        };
        self.follow(id, false);
    }

    fn on_due(&mut self) {
        let now = now();
        for _ in 0..DUE_BATCH {
            let due = self.wheel.first().copied().filter(|(at, _)| *at <= now);
            let Some((_, id)) = due else { return };
            self.wheel.pop_first();
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.wake = None;
            if member.elsewhere_at.is_some_and(|at| at <= now) {
                self.tell_elsewhere(id);
            } else {
                member.handle(Input::Tick);
                self.follow(id, false);
            }
        }
    }

    /// Does what the member's machine wants.
    fn follow(&mut self, id: EntryId, is_urgent: bool) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let mut is_finished = false;
        while let Some(output) = member.tiers.poll_output() {
            match output {
                Output::Announce { call, event } => {
                    let class = if is_urgent { Class::Urgent } else { member.class(event) };
                    let line = Line::to(member.tiers.url(call.tracker), member.is_stopping);
                    let site = site(member, call.tracker, call.family);
                    let ticket = Ticket::Announce(id, call, event);
                    let turn = self.lines.of(line).wait(site, class, ticket);
                    let stage = Stage::Waits(line, turn);
                    member.took_off(Flight { call, event, stage });
                }
                Output::CutOff { call } => member.cut_off(call, &mut self.lines),
                Output::Scrape { tracker } => {
                    let line = Line::to(member.tiers.url(tracker), false);
                    let site = site(member, tracker, Family::V4);
                    let ticket = Ticket::Scrape(id, tracker);
                    self.lines.of(line).wait(site, member.class(None), ticket);
                }
                Output::Finished => is_finished = true,
            }
        }
        member.tell_status();
        if let Some(ears) = &mut member.ears
            && let Some(events) = ears.waits()
        {
            let courier = self.jobs.spawn(async { Report::Room(events.reserve_owned().await) });
            self.flying.insert(courier.id(), Job { entry: id, place: None });
        }
        let wake = [member.tiers.next_timeout(), member.elsewhere_at].into_iter().flatten().min();
        let before = std::mem::replace(&mut member.wake, wake);
        if before != wake {
            before.map(|at| self.wheel.remove(&(at, id)));
            wake.map(|at| self.wheel.insert((at, id)));
        }
        if is_finished {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: EntryId) {
        let Some(mut member) = self.members.remove(&id) else { return };
        while let Some(Flight { call, .. }) = member.flights.first() {
            member.cut_off(*call, &mut self.lines);
        }
        if let Some(at) = member.wake {
            self.wheel.remove(&(at, id));
        }
        let urls: Vec<Arc<str>> = member.tiers.urls().cloned().collect();
        let done = member.stop_done.take();
        drop(member);
        for url in urls {
            // This one and the one to find it by: no other torrent has it.
            if Arc::strong_count(&url) == 2 {
                self.urls.remove(&url);
            }
        }
        if let Some(done) = done {
            // Nobody waits any more: nothing to tell.
            let _ = done.send(());
        }
    }

    /// Sends off whatever has a place.
    fn launch(&mut self) {
        for line in Line::ALL {
            while let Some((turn, ticket)) = self.lines.of(line).admit() {
                match ticket {
                    Ticket::Announce(id, call, event) => {
                        self.announce(id, (line, turn), call, event);
                    }
                    Ticket::Scrape(id, tracker) => self.scrape(id, (line, turn), tracker),
                }
            }
        }
    }

    fn announce(&mut self, id: EntryId, place: (Line, Turn), call: Call, event: Option<Event>) {
        let host = self.host(place.1.site());
        let Some(member) = self.members.get_mut(&id) else {
            return self.lines.of(place.0).leave(&place.1);
        };
        let request = member.request(&self.config, call, event);
        let url = member.tiers.url(call.tracker);
        tracing::debug!(hash = %request.info_hash, tracker = url, ?event, "announce");
        let errand = Errand {
            url: member.tiers.shared_url(call.tracker),
            host,
            known: member.known(call, event),
            skip: member.skip(call),
            is_stopped: member.is_stopping,
            carriers: self.carriers.clone(),
        };
        let job = self.jobs.spawn(errand.announce(call, request, self.config.ports.clone()));
        self.flying.insert(job.id(), Job { entry: id, place: Some(place) });
        if let Some(flight) = member.flights.iter_mut().find(|flight| flight.call == call) {
            flight.stage = Stage::Flies(job);
        }
    }

    fn scrape(&mut self, id: EntryId, place: (Line, Turn), tracker: TrackerIndex) {
        let host = self.host(place.1.site());
        let Some(member) = self.members.get(&id) else {
            return self.lines.of(place.0).leave(&place.1);
        };
        let info_hash = member.info_hash;
        let errand = Errand {
            url: member.tiers.shared_url(tracker),
            host,
            known: None,
            skip: 0,
            is_stopped: member.is_stopping,
            carriers: self.carriers.clone(),
        };
        let job = self.jobs.spawn(errand.scrape(tracker, info_hash));
        self.flying.insert(job.id(), Job { entry: id, place: Some(place) });
    }

    /// The addresses of a host, which all look up once that ask it over both families or soon after
    /// each other.
    fn host(&mut self, site: &Site) -> Host {
        let now = now();
        let is_fresh = |at: Instant, host: &Host| {
            now < at + LOOKUP_KEPT && host.get().is_none_or(Result::is_ok)
        };
        self.lookups.retain(|_, (at, host)| is_fresh(*at, host));
        self.lookups.entry(site.host.clone()).or_insert_with(|| (now, Host::default())).1.clone()
    }

    fn on_joined(&mut self, joined: Result<(Id, Report), JoinError>) {
        let job = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(Job { entry, place }) = self.flying.remove(&job) else { return };
        if let Some((line, turn)) = &place {
            self.lines.of(*line).leave(turn);
        }
        // Otherwise it was cut off.
        if let Ok((_, report)) = joined {
            if let Some((line, turn)) = place {
                self.judge(line, &turn, &report);
            }
            self.on_report(entry, report);
        }
    }

    /// Whether anybody spoke where this came from; else others need not wait to ask there.
    fn judge(&mut self, line: Line, turn: &Turn, report: &Report) {
        let error = match report {
            Report::Replied { .. } | Report::Scraped { result: Ok(_), .. } => {
                return self.lines.of(line).on_answer(turn);
            }
            Report::Failed { error, .. } | Report::Scraped { result: Err(error), .. } => error,
            Report::Resolved { .. } | Report::Room(_) => return,
        };
        if !error.is_silence() {
            if error.has_reached() {
                self.lines.of(line).on_answer(turn);
            }
            return;
        }
        let idle: Vec<Ticket> = self.lines.of(line).on_silence(turn).collect();
        for ticket in idle {
            let error = error.unsent();
            match ticket {
                Ticket::Announce(id, call, _) => self.on_report(id, Report::Failed { call, error }),
                Ticket::Scrape(id, tracker) => {
                    self.on_report(id, Report::Scraped { tracker, result: Err(error) });
                }
            }
        }
    }

    fn on_report(&mut self, id: EntryId, report: Report) {
        let quiet = self.config.quiet;
        let Some(member) = self.members.get_mut(&id) else { return };
        match report {
            Report::Replied { call, fetched } => {
                member.landed(call);
                let names = names(&fetched.reply);
                if !names.is_empty() && member.takes_peers() {
                    let from = Locality::of(fetched.tracker.ip());
                    let found = resolved(names, from, self.config.network.clone());
                    let job = self.jobs.spawn(found);
                    self.flying.insert(job.id(), Job { entry: id, place: None });
                }
                member.on_replied(call, fetched, quiet);
            }
            Report::Failed { call, error } => {
                member.landed(call);
                member.on_failed(call, error, quiet);
            }
            Report::Scraped { tracker, result } => {
                let counts = result.inspect_err(|error| {
                    tracing::debug!(tracker = member.tiers.url(tracker), %error, "scrape failed");
                });
                member.handle(Input::Scraped { tracker, counts: counts.unwrap_or_default() });
            }
            Report::Resolved { addresses, from } => member.on_resolved(addresses, from),
            Report::Room(room) => member.on_room(room),
        }
        self.follow(id, false);
    }
}

/// Where a tracker is asked.
fn site(member: &Member, tracker: TrackerIndex, family: Family) -> Site {
    Site { host: host_of(member.tiers.url(tracker)).into(), family }
}

/// Those of all torrents.
fn all_shared(urls: &mut BTreeSet<Arc<str>>, tiers: Vec<Vec<String>>) -> Vec<Vec<Arc<str>>> {
    let tier = |tier: Vec<String>| tier.iter().map(|url| shared(urls, url.trim())).collect();
    tiers.into_iter().map(tier).collect()
}

/// The one of all torrents.
fn shared(urls: &mut BTreeSet<Arc<str>>, url: &str) -> Arc<str> {
    if let Some(known) = urls.get(url) {
        return known.clone();
    }
    let url = Arc::<str>::from(url);
    urls.insert(url.clone());
    url
}

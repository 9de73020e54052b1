//! Whom to ask for peers and when: the state of all trackers of one torrent (BEP 12). A pure
//! machine; it announces nothing itself and knows addresses of trackers only as text.
//!
//! A *round* walks through the tiers until somebody answers. It goes on to the next tracker
//! after a failure or, while nobody is connected, when a tracker hangs; and to the next tier
//! when an answer brought no working peer. Otherwise one announce is on its way at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::tracker::announce::{AnnounceReply, Error, Event, RetryIn, SwarmCounts};
use crate::tracker::http::is_http;
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};
use crate::tracker::udp::is_udp;

mod due;
mod pause;
mod scrape;
pub mod status;
mod timing;

pub use timing::Timing;

/// Most trackers kept of one torrent; a hostile list may name thousands.
pub const MAX_TRACKERS: usize = 100;

/// One tracker of the torrent, valid for the [`Tiers`] that named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrackerIndex(usize);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The torrent enters the swarm; `complete` if nothing is missing.
    Started {
        /// No `completed` is ever sent then (BEP 3).
        complete: bool,
    },
    /// The last piece has been verified.
    Completed,
    /// Whether bytes are missing: more may be wanted, and pieces may be lost, at any time.
    Missing(bool),
    /// The torrent leaves the swarm.
    Stopped,
    /// It leaves the swarm for a while: nothing is announced but that.
    Paused,
    /// It comes back.
    Resumed,
    /// The number of links changed.
    Peers {
        /// Live links.
        connected: usize,
        /// Links that serve or may serve us.
        working: usize,
    },
    /// A tracker answered.
    Replied {
        /// Which.
        tracker: TrackerIndex,
        /// What. Of the peers only the number is looked at.
        reply: Box<AnnounceReply>,
    },
    /// A tracker refused or was not reached.
    Failed {
        /// Which.
        tracker: TrackerIndex,
        /// Why.
        error: Error,
    },
    /// Somebody wants to see how many seeds and leeches there are.
    ScrapeWanted,
    /// A scrape has ended.
    Scraped {
        /// Of which tracker.
        tracker: TrackerIndex,
        /// What it told; nothing if it failed.
        counts: SwarmCounts,
    },
    /// The time of [`Tiers::next_timeout`] has come.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Announce, and report `Replied` or `Failed` in the end.
    Announce {
        /// To whom.
        tracker: TrackerIndex,
        /// With which event.
        event: Option<Event>,
    },
    /// Scrape, and report `Scraped` in the end.
    Scrape {
        /// Whom.
        tracker: TrackerIndex,
    },
    /// All `stopped` announces are answered or out of time. Nothing follows.
    Finished,
}

/// Answer to a user's wish to announce now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManualAnnounce {
    /// This tracker is being asked, or will be as soon as the rate of announces allows.
    Asking(String),
    /// This tracker allows it after so long.
    AllowedIn(String, Duration),
    /// The torrent is paused.
    Paused,
    /// There is no tracker to ask.
    NoTracker,
}

/// The trackers of one torrent.
pub struct Tiers {
    timing: Timing,
    rng: StdRng,
    trackers: Vec<Tracker>,
    /// Indices into `trackers`, tier by tier, in the order to ask.
    order: Vec<Vec<usize>>,
    phase: Phase,
    round: Option<Round>,
    /// When the torrent entered the swarm.
    entered_at: Option<Instant>,
    connected: usize,
    working: usize,
    /// Since when no peer works.
    lonely_since: Option<Instant>,
    is_complete: bool,
    /// It was at some time, so that `completed` is not sent again.
    was_complete: bool,
    /// The download completed and no tracker has been told yet.
    owes_completed: bool,
    /// When the last `announces_max` announces left.
    recent: VecDeque<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Running,
    Paused,
    Stopping { deadline: Instant },
    Ended,
}

struct Tracker {
    url: String,
    tier: usize,
    condition: Condition,
    /// The announce on its way.
    in_flight: Option<Option<Event>>,
    /// It answered a `started`, so it wants a `stopped`.
    is_started: bool,
    tracker_id: Option<Vec<u8>>,
    fails: u32,
    last_asked: Option<Instant>,
    /// `retry in` of BEP 31: not even the user gets past it.
    not_before: Option<Instant>,
    seeds: Option<u64>,
    leeches: Option<u64>,
    downloaded: Option<u64>,
    /// When the counts were last told or asked for.
    counted_at: Option<Instant>,
    peers: Option<usize>,
    last_error: Option<String>,
    warning: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    NotSupported,
    Fresh,
    Working { since: Instant, interval: Duration, min_interval: Option<Duration> },
    Failing { retry_at: Instant },
    GaveUp,
}

struct Round {
    asked: Vec<bool>,
    from_tier: usize,
    is_manual: bool,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Ask the next tracker in order.
    Next,
    Asking {
        tracker: usize,
        since: Instant,
        is_hedged: bool,
    },
    /// Answered; see whether a peer comes to work.
    Watching {
        tier: usize,
        until: Instant,
    },
}

impl Tiers {
    /// Takes the announce list: tiers of URLs, the torrent's single `announce` as one tier of
    /// one. Each tier is shuffled with `rng` once (BEP 12). Doubles are dropped, and what is
    /// beyond [`MAX_TRACKERS`].
    pub fn new(tiers: Vec<Vec<String>>, timing: Timing, mut rng: StdRng) -> Self {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut order = Vec::new();
        for tier in tiers {
            let mut members = Vec::new();
            for url in tier {
                let url = url.trim();
                let is_known = trackers.iter().any(|tracker| tracker.url == url);
                if url.is_empty() || is_known || trackers.len() >= MAX_TRACKERS {
                    continue;
                }
                members.push(trackers.len());
                trackers.push(Tracker::new(url, order.len()));
            }
            if !members.is_empty() {
                members.shuffle(&mut rng);
                order.push(members);
            }
        }
        Self {
            timing,
            rng,
            trackers,
            order,
            phase: Phase::Idle,
            round: None,
            entered_at: None,
            connected: 0,
            working: 0,
            lonely_since: None,
            is_complete: false,
            was_complete: false,
            owes_completed: false,
            recent: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a fact in; afterwards [`Tiers::poll_output`] is to be drained.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Started { complete } => {
                self.phase = Phase::Running;
                self.is_complete = complete;
                self.was_complete = complete;
                self.entered_at = Some(now);
                self.lonely_since = Some(now);
            }
            Input::Completed => {
                self.owes_completed |= !self.was_complete;
                self.was_complete = true;
                self.is_complete = true;
            }
            // What completes a download the first time is the verdict on its files.
            Input::Missing(is_missing) => {
                let is_complete = self.was_complete && !is_missing;
                if self.is_complete && !is_complete {
                    // Peers get their time to come to work before the next tier is asked.
                    self.lonely_since = self.lonely_since.map(|_| now);
                }
                self.is_complete = is_complete;
            }
            Input::ScrapeWanted => self.on_scrape_wanted(now),
            Input::Scraped { tracker, counts } => self.on_scraped(tracker.0, counts),
            Input::Stopped => self.on_stopped(now),
            Input::Paused => self.on_paused(),
            Input::Resumed => self.on_resumed(now),
            Input::Peers { connected, working } => {
                self.connected = connected;
                self.working = working;
                let lonely_since = self.lonely_since.unwrap_or(now);
                self.lonely_since = (working == 0).then_some(lonely_since);
            }
            Input::Replied { tracker, reply } => self.on_replied(tracker.0, &reply, now),
            Input::Failed { tracker, error } => self.on_failed(tracker.0, &error, now),
            Input::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Tick`], if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Paused | Phase::Ended => return None,
            Phase::Stopping { deadline } => return Some(deadline),
            Phase::Running => {}
        }
        match self.round.as_ref().map(|round| round.step) {
            None => self.round_due().map(|due| self.not_before_rate(due)),
            Some(Step::Next) => {
                self.recent.front().map(|first| *first + self.timing.announces_window)
            }
            Some(Step::Asking { since, is_hedged, .. }) => {
                let is_waiting = !is_hedged && self.is_alone();
                is_waiting.then(|| self.not_before_rate(since + self.timing.hedge))
            }
            Some(Step::Watching { until, .. }) => Some(until),
        }
    }

    /// The user wants an announce now. Intervals and back-off are skipped, the tracker's
    /// minimum is not.
    pub fn announce_now(&mut self, now: Instant) -> ManualAnnounce {
        match self.phase {
            Phase::Running => {}
            Phase::Paused => return ManualAnnounce::Paused,
            Phase::Idle | Phase::Stopping { .. } | Phase::Ended => {
                return ManualAnnounce::NoTracker;
            }
        }
        let in_flight = self.trackers.iter().find(|tracker| tracker.in_flight.is_some());
        if let Some(tracker) = in_flight {
            return ManualAnnounce::Asking(tracker.url.clone());
        }
        let mut soonest: Option<(Instant, usize)> = None;
        for tracker in self.walk() {
            let Some(allowed) = self.allowed_at(tracker) else { continue };
            if soonest.is_none_or(|(best, _)| allowed < best) {
                soonest = Some((allowed, tracker));
            }
            if self.is_working(tracker) && !self.is_lonely(now) {
                break;
            }
        }
        let Some((allowed, tracker)) = soonest else { return ManualAnnounce::NoTracker };
        let url = self.trackers[tracker].url.clone();
        if allowed > now {
            return ManualAnnounce::AllowedIn(url, allowed - now);
        }
        self.round = Some(self.new_round(true));
        self.settle(now);
        ManualAnnounce::Asking(url)
    }

    /// The tracker's announce URL, as the torrent has it.
    pub fn url(&self, tracker: TrackerIndex) -> &str {
        &self.trackers[tracker.0].url
    }

    /// The `tracker id` to send back; the last one the tracker named.
    pub fn tracker_id(&self, tracker: TrackerIndex) -> Option<&[u8]> {
        self.trackers[tracker.0].tracker_id.as_deref()
    }

    /// All trackers in the order they are asked.
    pub fn status(&self) -> Vec<TrackerStatus> {
        self.walk().map(|index| self.status_of(index)).collect()
    }

    fn status_of(&self, index: usize) -> TrackerStatus {
        let tracker = &self.trackers[index];
        let state = match (tracker.in_flight, tracker.condition) {
            (Some(_), _) => TrackerState::Announcing,
            (None, Condition::NotSupported) => TrackerState::NotSupported,
            (None, Condition::Fresh) => TrackerState::NotAsked,
            (None, Condition::Working { .. }) => TrackerState::Working,
            (None, Condition::Failing { .. }) => TrackerState::Failing(tracker.fails),
            (None, Condition::GaveUp) => TrackerState::GaveUp,
        };
        let has_schedule = matches!(state, TrackerState::Working | TrackerState::Failing(_))
            && self.phase == Phase::Running;
        TrackerStatus {
            url: tracker.url.clone(),
            tier: tracker.tier,
            state,
            seeds: tracker.seeds,
            leeches: tracker.leeches,
            downloaded: tracker.downloaded,
            peers: tracker.peers,
            next_announce_at: self.due_at(index).filter(|_| has_schedule),
            last_error: tracker.last_error.clone(),
            warning: tracker.warning.clone(),
        }
    }

    fn on_stopped(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Running | Phase::Paused) {
            return;
        }
        self.round = None;
        self.phase = Phase::Stopping { deadline: now + self.timing.stop_budget };
        // BEP 3 asks for `completed` when the download is: a program that ends at once then
        // still owes it.
        let first = if self.owes_now() { Event::Completed } else { Event::Stopped };
        for index in 0..self.trackers.len() {
            self.trackers[index].in_flight = None;
            if self.trackers[index].is_started {
                self.say_goodbye(index, first);
            }
        }
    }

    fn say_goodbye(&mut self, index: usize, event: Event) {
        self.trackers[index].in_flight = Some(Some(event));
        let tracker = TrackerIndex(index);
        self.outputs.push_back(Output::Announce { tracker, event: Some(event) });
    }

    /// While stopping, `completed` is followed by `stopped`, whatever became of it.
    fn goes_on_to_stop(&mut self, index: usize, answered: Option<Event>) -> bool {
        let is_stopping = matches!(self.phase, Phase::Stopping { .. });
        let goes_on = is_stopping && answered == Some(Event::Completed);
        if goes_on {
            self.say_goodbye(index, Event::Stopped);
        }
        goes_on
    }

    fn on_replied(&mut self, index: usize, reply: &AnnounceReply, now: Instant) {
        let Some(event) = self.trackers[index].in_flight.take() else { return };
        if self.goes_on_to_stop(index, event) {
            return;
        }
        let interval = self.jittered(reply.interval.unwrap_or(self.timing.interval_default));
        let tracker = &mut self.trackers[index];
        tracker.condition =
            Condition::Working { since: now, interval, min_interval: reply.min_interval };
        tracker.is_started = match event {
            Some(Event::Stopped) => false,
            Some(Event::Started) => true,
            _ => tracker.is_started,
        };
        tracker.fails = 0;
        tracker.not_before = None;
        tracker.seeds = reply.complete.or(tracker.seeds);
        tracker.leeches = reply.incomplete.or(tracker.leeches);
        tracker.peers = Some(reply.peers.len());
        tracker.last_error = None;
        tracker.warning.clone_from(&reply.warning);
        if reply.tracker_id.is_some() {
            tracker.tracker_id.clone_from(&reply.tracker_id);
        }
        let tier = tracker.tier;
        if event == Some(Event::Completed) {
            self.owes_completed = false;
        }
        if self.phase != Phase::Running {
            return;
        }
        self.on_counts(index, reply, now);
        self.move_to_front(index);
        let watching = Step::Watching { tier, until: now + self.timing.patience };
        match &mut self.round {
            None => {
                let mut round = self.new_round(false);
                round.asked[index] = true;
                round.step = watching;
                self.round = Some(round);
            }
            Some(round) if round.is_at(index) => round.step = watching,
            // A slow tracker answered while the round is already at another one.
            Some(_) => {}
        }
    }

    fn on_failed(&mut self, index: usize, error: &Error, now: Instant) {
        let Some(event) = self.trackers[index].in_flight.take() else { return };
        if self.goes_on_to_stop(index, event) {
            return;
        }
        if self.phase == Phase::Paused {
            // It is not needed until the torrent comes back, and is asked then as ever.
            return;
        }
        let tracker = &mut self.trackers[index];
        tracker.fails = tracker.fails.saturating_add(1);
        tracker.last_error = Some(error.to_string());
        let growth = tracker.fails.saturating_mul(tracker.fails);
        let backoff = self.timing.backoff.saturating_mul(growth).min(self.timing.backoff_max);
        tracker.condition = Condition::Failing { retry_at: now + backoff };
        match error.retry_in() {
            Some(RetryIn::Never) => tracker.condition = Condition::GaveUp,
            Some(RetryIn::After(wait)) => tracker.not_before = Some(now + wait),
            None => {}
        }
        if let Some(round) = self.round.as_mut().filter(|round| round.is_at(index)) {
            round.step = Step::Next;
        }
    }

    /// Lets everything happen whose time has come.
    fn settle(&mut self, now: Instant) {
        match self.phase {
            Phase::Running => while self.advance(now) {},
            Phase::Stopping { deadline } => {
                let is_done = self.trackers.iter().all(|tracker| tracker.in_flight.is_none());
                if is_done || now >= deadline {
                    self.phase = Phase::Ended;
                    self.outputs.push_back(Output::Finished);
                }
            }
            Phase::Idle | Phase::Paused | Phase::Ended => {}
        }
    }

    /// One step of the round; false when there is nothing to do before the next input.
    fn advance(&mut self, now: Instant) -> bool {
        let Some(round) = &self.round else {
            let is_due = self.round_due().is_some_and(|due| self.not_before_rate(due) <= now);
            if is_due {
                self.round = Some(self.new_round(false));
            }
            return is_due;
        };
        match round.step {
            Step::Next if self.not_before_rate(now) > now => false,
            Step::Next => {
                match self.next_in_round(now) {
                    Some(tracker) => self.ask(tracker, now),
                    None => self.round = None,
                }
                true
            }
            Step::Asking { since, is_hedged: false, tracker } => {
                self.is_alone() && now >= since + self.timing.hedge && self.hedge(tracker, now)
            }
            Step::Asking { .. } => false,
            Step::Watching { .. } if self.is_complete || self.working > 0 => {
                self.round = None;
                true
            }
            Step::Watching { tier, until } => {
                if let Some(round) = self.round.as_mut().filter(|_| now >= until) {
                    round.from_tier = tier + 1;
                    round.step = Step::Next;
                }
                now >= until
            }
        }
    }

    /// Asks the next tracker while `hung` still owes an answer, if there is a next one.
    fn hedge(&mut self, hung: usize, now: Instant) -> bool {
        if self.not_before_rate(now) > now {
            return false;
        }
        let next = self.next_in_round(now);
        match (next, &mut self.round) {
            (Some(next), _) => self.ask(next, now),
            (None, Some(round)) => {
                round.step = Step::Asking { tracker: hung, since: now, is_hedged: true };
            }
            (None, None) => {}
        }
        next.is_some()
    }

    fn ask(&mut self, index: usize, now: Instant) {
        let owed = self.owes_now().then_some(Event::Completed);
        let tracker = &mut self.trackers[index];
        let event = if tracker.is_started { owed } else { Some(Event::Started) };
        tracker.in_flight = Some(event);
        tracker.last_asked = Some(now);
        if let Some(round) = &mut self.round {
            round.asked[index] = true;
            round.step = Step::Asking { tracker: index, since: now, is_hedged: false };
        }
        self.recent.push_back(now);
        if self.recent.len() > self.timing.announces_max {
            self.recent.pop_front();
        }
        self.outputs.push_back(Output::Announce { tracker: TrackerIndex(index), event });
    }

    fn new_round(&self, is_manual: bool) -> Round {
        let asked = vec![false; self.trackers.len()];
        Round { asked, from_tier: 0, is_manual, step: Step::Next }
    }

    fn jittered(&mut self, interval: Duration) -> Duration {
        let spread = self.timing.jitter_percent.min(100);
        let percent = self.rng.random_range(100 - spread..=100 + spread);
        interval.saturating_mul(percent) / 100
    }

    /// BEP 12: a tracker that answered goes to the front of its tier.
    fn move_to_front(&mut self, index: usize) {
        let tier = &mut self.order[self.trackers[index].tier];
        if let Some(position) = tier.iter().position(|member| *member == index) {
            tier[..=position].rotate_right(1);
        }
    }

    fn walk(&self) -> impl Iterator<Item = usize> + '_ {
        self.order.iter().flatten().copied()
    }

    fn is_working(&self, index: usize) -> bool {
        matches!(self.trackers[index].condition, Condition::Working { .. })
    }

    /// `completed` with bytes missing would be a lie; it waits until they are here.
    fn owes_now(&self) -> bool {
        self.owes_completed && self.is_complete
    }

    fn is_alone(&self) -> bool {
        self.connected == 0 && !self.is_complete
    }
}

impl Tracker {
    fn new(url: &str, tier: usize) -> Self {
        let is_spoken = is_http(url) || is_udp(url);
        let condition = if is_spoken { Condition::Fresh } else { Condition::NotSupported };
        Self {
            url: url.to_owned(),
            tier,
            condition,
            in_flight: None,
            is_started: false,
            tracker_id: None,
            fails: 0,
            last_asked: None,
            not_before: None,
            seeds: None,
            leeches: None,
            downloaded: None,
            counted_at: None,
            peers: None,
            last_error: None,
            warning: None,
        }
    }
}

impl Round {
    fn is_at(&self, index: usize) -> bool {
        matches!(self.step, Step::Asking { tracker, .. } if tracker == index)
    }
}

//! Whom to ask for peers and when: the state of all trackers of one torrent (BEP 12). A pure
//! machine; it announces nothing itself and knows addresses of trackers only as text.
//!
//! A *round* walks through the tiers until somebody answers. It goes on to the next tracker
//! after a failure or, while nobody is connected, when a tracker hangs; and to the next tier
//! when an answer brought no working peer. Otherwise one tracker is asked at a time, over both
//! address families of its host.
//!
//! A session keeps one for each of tens of thousands of torrents, so it is small, most of all while
//! it waits: what trackers share is shared, and what a round needs is there while it lasts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::tracker::announce::{AnnounceReply, Error, Event, Family, RetryIn, SwarmCounts};
use crate::tracker::tiers::status::{TrackerState, TrackerStatus};

mod calls;
mod due;
mod ear;
mod goodbye;
mod naming;
mod scrape;
pub mod status;
mod timing;
mod tracker;

pub use timing::Timing;

use ear::Ear;
use tracker::{Condition, Tracker};

/// Most trackers kept of one torrent; a hostile list may name thousands.
pub const MAX_TRACKERS: usize = 100;

/// One tracker of the torrent, valid for the [`Tiers`] that named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrackerIndex(u8);

impl TrackerIndex {
    /// There are no more than [`MAX_TRACKERS`].
    fn new(index: usize) -> Self {
        Self(u8::try_from(index).unwrap_or(u8::MAX))
    }

    fn at(self) -> usize {
        self.0.into()
    }
}

/// One announce over one address family, valid for the [`Tiers`] that named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// To whom.
    pub tracker: TrackerIndex,
    /// Over which family.
    pub family: Family,
    /// Which of all.
    number: u32,
}

/// How much of the torrent is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Something wanted is missing.
    Leech,
    /// Nothing wanted is missing, but something else (BEP 21).
    PartialSeed,
    /// Nothing is missing.
    Seed,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The torrent enters the swarm.
    Started {
        /// As what.
        standing: Standing,
        /// Everything was here before: no `completed` is ever sent then (BEP 3).
        was_complete: bool,
    },
    /// The last piece of the torrent has been verified.
    Completed,
    /// So much more is here than trackers were told that others may want to know.
    Grown,
    /// How much is here: more may be wanted, and pieces may be lost, at any time.
    Stands(Standing),
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
        /// To what.
        call: Call,
        /// What. Of the peers only the number is looked at.
        reply: Box<AnnounceReply>,
    },
    /// A tracker refused or was not reached.
    Failed {
        /// With what.
        call: Call,
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
    /// Announce, and report `Replied` or `Failed` in the end. Those to one tracker over both
    /// its families follow one another.
    Announce {
        /// To whom, and over which family.
        call: Call,
        /// With which event.
        event: Option<Event>,
    },
    /// Nobody waits for this announce any more, and it shall not reach the tracker behind what
    /// follows.
    CutOff {
        /// Which.
        call: Call,
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
    timing: Arc<Timing>,
    /// Of the next chance that is taken: a generator is larger than all the rest.
    seed: u64,
    trackers: Box<[Tracker]>,
    /// Indices into `trackers`, tier by tier, in the order to ask.
    order: Box<[usize]>,
    phase: Phase,
    round: Option<Box<Round>>,
    /// When the torrent entered the swarm.
    entered_at: Option<Instant>,
    connected: usize,
    working: usize,
    /// Since when no peer works.
    lonely_since: Option<Instant>,
    standing: Standing,
    /// It was a seed at some time, so that `completed` is not sent again.
    was_complete: bool,
    /// The download completed and no tracker has been told yet.
    owes_completed: bool,
    /// Much more is here than was told last.
    has_grown: bool,
    /// When the last `announces_max` announces left that may have reached their trackers, and
    /// which those are.
    recent: Vec<(Instant, usize)>,
    /// Announces so far; numbers them.
    calls: u32,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Running,
    Paused,
    Stopping { since: Instant },
    Ended,
}

struct Round {
    began: Instant,
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
    pub fn new<U: AsRef<str> + Into<Arc<str>>>(
        tiers: Vec<Vec<U>>,
        timing: impl Into<Arc<Timing>>,
        mut rng: StdRng,
    ) -> Self {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut order = Vec::new();
        let mut tier_count = 0;
        for tier in tiers {
            let first = order.len();
            for url in tier {
                let trimmed = url.as_ref().trim();
                let is_known = trackers.iter().any(|tracker| *tracker.url == *trimmed);
                if trimmed.is_empty() || is_known || trackers.len() >= MAX_TRACKERS {
                    continue;
                }
                let is_whole = trimmed.len() == url.as_ref().len();
                let url = if is_whole { url.into() } else { trimmed.into() };
                order.push(trackers.len());
                trackers.push(Tracker::new(url, tier_count));
            }
            order[first..].shuffle(&mut rng);
            tier_count += usize::from(order.len() > first);
        }
        Self {
            timing: timing.into(),
            seed: rng.random(),
            trackers: trackers.into(),
            order: order.into(),
            phase: Phase::Idle,
            round: None,
            entered_at: None,
            connected: 0,
            working: 0,
            lonely_since: None,
            standing: Standing::Leech,
            was_complete: false,
            owes_completed: false,
            has_grown: false,
            recent: Vec::new(),
            calls: 0,
            outputs: VecDeque::new(),
        }
    }

    /// How many of these are not asked, since there are [`MAX_TRACKERS`] before them, and the
    /// first one.
    pub fn beyond<'a, U: AsRef<str>>(&self, tiers: &'a [Vec<U>]) -> Option<(usize, &'a str)> {
        let is_asked = |url: &str| self.walk().any(|at| *self.trackers[at].url == *url);
        let urls = tiers.iter().flatten().map(|url| url.as_ref().trim());
        let mut beyond = urls.filter(|url| !url.is_empty() && !is_asked(url));
        let first = beyond.next()?;
        Some((1 + beyond.count(), first))
    }

    /// Takes a fact in; afterwards [`Tiers::poll_output`] is to be drained.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Started { standing, was_complete } => {
                self.phase = Phase::Running;
                self.standing = standing;
                self.was_complete = was_complete;
                self.entered_at = Some(now);
                self.lonely_since = Some(now);
            }
            Input::Completed => {
                self.owes_completed |= !self.was_complete;
                self.was_complete = true;
                self.standing = Standing::Seed;
            }
            Input::Stands(standing) => {
                if self.is_content() && standing == Standing::Leech {
                    // Peers get their time to come to work before the next tier is asked.
                    self.lonely_since = self.lonely_since.map(|_| now);
                }
                self.standing = standing;
            }
            Input::Grown => self.has_grown = true,
            Input::ScrapeWanted => self.on_scrape_wanted(now),
            Input::Scraped { tracker, counts } => self.on_scraped(tracker.at(), counts),
            Input::Stopped => self.on_stopped(now),
            Input::Paused => self.on_paused(),
            Input::Resumed => self.on_resumed(now),
            Input::Peers { connected, working } => {
                self.connected = connected;
                self.working = working;
                let lonely_since = self.lonely_since.unwrap_or(now);
                self.lonely_since = (working == 0).then_some(lonely_since);
            }
            Input::Replied { call, reply } => self.on_replied(call, &reply, now),
            Input::Failed { call, error } => self.on_failed(call, error, now),
            Input::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When to send [`Input::Tick`], if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Paused | Phase::Ended => return None,
            Phase::Stopping { since } => return Some(self.stop_waiting_at(since)),
            Phase::Running => {}
        }
        match self.round.as_ref().map(|round| round.step) {
            None => self.round_due().map(|due| self.not_before_rate(due)),
            Some(Step::Next) => {
                self.recent.first().map(|(first, _)| *first + self.timing.announces_window)
            }
            Some(Step::Asking { since, is_hedged, .. }) => {
                let is_waiting = !is_hedged && self.is_alone();
                is_waiting.then(|| self.not_before_rate(self.hedge_at(since)))
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
        if let Some(tracker) = self.trackers.iter().find(|tracker| tracker.is_asked) {
            return ManualAnnounce::Asking(tracker.url.to_string());
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
        let url = self.trackers[tracker].url.to_string();
        if allowed > now {
            return ManualAnnounce::AllowedIn(url, allowed - now);
        }
        self.round = Some(self.new_round(true, now));
        self.settle(now);
        ManualAnnounce::Asking(url)
    }

    /// The tracker's announce URL, as the torrent has it.
    pub fn url(&self, tracker: TrackerIndex) -> &str {
        &self.trackers[tracker.at()].url
    }

    /// The same, for who keeps it.
    pub fn shared_url(&self, tracker: TrackerIndex) -> Arc<str> {
        self.trackers[tracker.at()].url.clone()
    }

    /// The announce URLs of all, as the torrent has them.
    pub fn urls(&self) -> impl Iterator<Item = &Arc<str>> + '_ {
        self.trackers.iter().map(|tracker| &tracker.url)
    }

    /// The `tracker id` to send back; the last one the tracker named.
    pub fn tracker_id(&self, tracker: TrackerIndex) -> Option<&[u8]> {
        self.trackers[tracker.at()].id()
    }

    /// How often the tracker has failed in a row, and why at last.
    pub fn failure(&self, tracker: TrackerIndex) -> (u32, Option<&str>) {
        let tracker = &self.trackers[tracker.at()];
        (tracker.fails, tracker.error())
    }

    /// Whether all that told who is there say that nobody lacks anything.
    pub fn knows_nobody_to_serve(&self) -> bool {
        let mut told = self.walk().filter_map(|index| self.trackers[index].leeches).peekable();
        told.peek().is_some() && told.all(|leeches| leeches == 0)
    }

    /// All trackers in the order they are asked.
    pub fn status(&self) -> Vec<TrackerStatus> {
        self.walk().map(|index| self.status_of(index)).collect()
    }

    fn status_of(&self, index: usize) -> TrackerStatus {
        let tracker = &self.trackers[index];
        let is_leaving =
            self.phase != Phase::Running && tracker.ears.iter().any(|ear| ear.flight.is_some());
        let state = match tracker.condition {
            _ if tracker.is_asked || is_leaving => TrackerState::Announcing,
            Condition::NotSupported => TrackerState::NotSupported,
            Condition::Fresh => TrackerState::NotAsked,
            Condition::Working { .. } => TrackerState::Working,
            Condition::Failing { .. } => TrackerState::Failing(tracker.fails),
            Condition::GaveUp => TrackerState::GaveUp,
        };
        let has_schedule = matches!(state, TrackerState::Working | TrackerState::Failing(_))
            && self.phase == Phase::Running;
        TrackerStatus {
            url: tracker.url.to_string(),
            tier: tracker.tier,
            state,
            seeds: tracker.seeds,
            leeches: tracker.leeches,
            downloaded: tracker.downloaded,
            counted_at: tracker.counted_at,
            peers: tracker.peers,
            next_announce_at: self.due_at(index).filter(|_| has_schedule),
            last_error: tracker.error().map(str::to_owned),
            warning: tracker.warning().map(str::to_owned),
        }
    }

    fn on_replied(&mut self, call: Call, reply: &AnnounceReply, now: Instant) {
        let Some(event) = self.land(call) else { return };
        let index = call.tracker.at();
        self.trackers[index].has_answered = true;
        self.ear(index, call.family).is_started = event != Some(Event::Stopped);
        if event == Some(Event::Completed) {
            self.owes_completed = false;
        }
        if self.phase != Phase::Running {
            if event != Some(Event::Stopped) {
                self.on_late_answer(index, call.family);
            }
            return;
        }
        // Of the families of a tracker the first one's answer counts.
        if !std::mem::take(&mut self.trackers[index].is_asked) {
            return;
        }
        let interval = self.jittered(reply.interval.unwrap_or(self.timing.interval_default));
        let tracker = &mut self.trackers[index];
        tracker.condition =
            Condition::Working { since: now, interval, min_interval: reply.min_interval };
        tracker.fails = 0;
        tracker.not_before = None;
        tracker.seeds = reply.complete.or(tracker.seeds);
        tracker.leeches = reply.incomplete.or(tracker.leeches);
        tracker.peers = Some(reply.peers.len());
        tracker.note_reply(reply);
        let tier = tracker.tier;
        self.on_counts(index, reply, now);
        self.move_to_front(index);
        let watching = Step::Watching { tier, until: now + self.timing.patience };
        match &mut self.round {
            None => {
                let mut round = self.new_round(false, now);
                round.asked[index] = true;
                round.step = watching;
                self.round = Some(round);
            }
            Some(round) if round.is_at(index) => round.step = watching,
            // A slow tracker answered while the round is already at another one.
            Some(_) => {}
        }
    }

    fn on_failed(&mut self, call: Call, error: Error, now: Instant) {
        let Some(event) = self.land(call) else { return };
        let index = call.tracker.at();
        if self.phase != Phase::Running {
            let may_know = self.ear(index, call.family).is_started || error.has_reached();
            if may_know && event != Some(Event::Stopped) {
                self.say_goodbye(index, call.family);
            }
            // It is not needed until the torrent comes back, and is asked then as ever.
            return;
        }
        let tracker = &mut self.trackers[index];
        if !tracker.is_asked {
            return;
        }
        // What the tracker itself said outweighs that its other family is out of reach.
        let known = tracker.cause.take().filter(|known| known.weight() >= error.weight());
        let error = known.map_or(error, |known| *known);
        if tracker.ears.iter().any(|ear| ear.flight.is_some()) {
            tracker.cause = Some(Box::new(error));
            return;
        }
        tracker.is_asked = false;
        self.on_unheard(index, &error, now);
    }

    /// No family of the tracker was answered.
    fn on_unheard(&mut self, index: usize, error: &Error, now: Instant) {
        if !error.has_reached() {
            // It cost nobody anything.
            self.uncount(index);
        }
        let tracker = &mut self.trackers[index];
        tracker.fails = tracker.fails.saturating_add(1);
        tracker.note_error(error);
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

    /// The last announce of this tracker was none.
    fn uncount(&mut self, index: usize) {
        if let Some(own) = self.recent.iter().rposition(|(_, asked)| *asked == index) {
            self.recent.remove(own);
        }
    }

    /// Lets everything happen whose time has come.
    fn settle(&mut self, now: Instant) {
        match self.phase {
            Phase::Running => while self.advance(now) {},
            Phase::Stopping { since } => {
                let [grace_at, hurry_at, deadline] = self.stop_times(since);
                if now >= grace_at {
                    self.give_up();
                }
                if now >= hurry_at {
                    self.hurry();
                }
                let mut ears = self.trackers.iter().flat_map(|tracker| &tracker.ears);
                if ears.all(|ear| ear.flight.is_none()) || now >= deadline {
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
                self.round = Some(self.new_round(false, now));
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
                self.is_alone() && now >= self.hedge_at(since) && self.hedge(tracker, now)
            }
            Step::Asking { .. } => false,
            Step::Watching { .. } if self.is_content() || self.working > 0 => {
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
        for family in Family::BOTH {
            // One that still owes an answer is told the next time.
            if self.ear(index, family).flight.is_none() {
                let event = self.event_for(index, family);
                self.call(index, family, event);
            }
        }
        let tracker = &mut self.trackers[index];
        tracker.is_asked = true;
        tracker.cause = None;
        tracker.last_asked = Some(now);
        self.has_grown = false;
        if let Some(round) = &mut self.round {
            round.asked[index] = true;
            round.step = Step::Asking { tracker: index, since: now, is_hedged: false };
        }
        // Of those that no longer matter none is kept.
        let window = self.timing.announces_window;
        self.recent.retain(|(asked_at, _)| *asked_at + window > now);
        if !self.recent.is_empty() && self.recent.len() >= self.timing.announces_max {
            self.recent.remove(0);
        }
        self.recent.reserve_exact(1);
        self.recent.push((now, index));
    }

    fn new_round(&self, is_manual: bool, now: Instant) -> Box<Round> {
        let asked = vec![false; self.trackers.len()];
        Box::new(Round { began: now, asked, from_tier: 0, is_manual, step: Step::Next })
    }

    fn jittered(&mut self, interval: Duration) -> Duration {
        let spread = self.timing.jitter_percent.min(100);
        let mut rng = StdRng::seed_from_u64(self.seed);
        self.seed = rng.random();
        let percent = rng.random_range(100 - spread..=100 + spread);
        interval.saturating_mul(percent) / 100
    }

    /// BEP 12: a tracker that answered goes to the front of its tier.
    fn move_to_front(&mut self, index: usize) {
        let tier = self.trackers[index].tier;
        let is_of = |member: &usize| self.trackers[*member].tier == tier;
        let first = self.order.iter().position(is_of);
        let own = self.order.iter().position(|member| *member == index);
        if let (Some(first), Some(own)) = (first, own) {
            self.order[first..=own].rotate_right(1);
        }
    }

    fn walk(&self) -> impl Iterator<Item = usize> + '_ {
        self.order.iter().copied()
    }

    fn is_working(&self, index: usize) -> bool {
        matches!(self.trackers[index].condition, Condition::Working { .. })
    }

    /// `completed` with bytes missing would be a lie; it waits until they are here.
    fn owes_now(&self) -> bool {
        self.owes_completed && self.standing == Standing::Seed
    }

    /// Nothing is wanted of peers.
    fn is_content(&self) -> bool {
        self.standing != Standing::Leech
    }

    fn is_alone(&self) -> bool {
        self.connected == 0 && !self.is_content()
    }
}

impl Round {
    fn is_at(&self, index: usize) -> bool {
        matches!(self.step, Step::Asking { tracker, .. } if tracker == index)
    }
}

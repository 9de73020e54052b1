//! One lookup: whom to ask next, whom to give something to keep, and when enough was asked. It
//! walks from what is known towards the target, and stores on its way. Not here: what is asked
//! and stored, who may be spoken to now, and other lookups.
//!
//! A node that takes longer than nine of ten no longer counts, so that none holds the others up;
//! what it says later is welcome. Libtorrent waits 15 s for one that is silent.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::candidates::{Candidate, CandidateIndex, Candidates, Named, State, Stored};
use super::compact::NodeInfo;
use super::contacts::Start;
use super::id::NodeId;
use super::nets::{Net, is_exempt};
use super::rouse::HINTS_MAX;

/// "K is currently 8" (BEP 5): nodes that keep something.
pub const NEAREST: usize = 8;
/// As many when the nearest are few parties, or nearer than chance has it.
const NEAREST_WIDE: usize = 16;
/// Starts among which the first ones are chosen.
pub const STARTS: usize = 16;
/// Of the first ones so many are the nearest and so many the fastest.
const FIRST_HALF: usize = 4;
/// Under way at the top of the list while somebody waits (the design's model: 0.26 s to the
/// first peer against 0.42 s with as many in all).
const WIDTH_URGENT: usize = 8;
/// The same where the walk begins near its end: as quick, a quarter fewer queries.
const WIDTH_NEAR: usize = 5;
/// Under way when nobody waits any more.
const WIDTH_CALM: usize = 3;
/// Starts within so many levels of the end mean that the walk begins near it.
const NEAR_LEVELS: usize = 4;
/// So many that name a node make it likely that it lives.
const SOURCES_SURE: u8 = 2;
/// Levels between the eighth node and the nearest one, as chance has it.
const EIGHTH_LEVELS: usize = 3;
/// An id 2^8 times nearer than that was made for the target.
const FORGED_LEVELS: usize = 8;
/// Nodes without a token that are stepped over (anacrolix's gives none).
const TOKENLESS_MAX: usize = 24;
/// Queries of one lookup.
const QUERIES_MAX: usize = 250;
/// Copies that one lookup stores: late nearer ones get a ninth and tenth.
const STORED_MAX: usize = 24;
/// The end of every lookup.
pub const LOOKUP_MAX: Duration = Duration::from_secs(20);
/// Of the nearest, at least so many providers, and as many ids that suit their addresses.
const PARTIES_MIN: usize = 4;
/// A start from nothing: so many at once, then so many each step, until eight answered.
const COLD_FIRST: usize = 16;
const COLD_MORE: usize = 8;
const COLD_STEP: Duration = Duration::from_millis(100);
/// What a start from nothing costs when nobody answers.
const COLD_MAX: usize = 64;
/// Every so many of them goes to an address that is no node of `dht.dat`: that may hold
/// attackers alone.
const COLD_MIXED: usize = 4;

/// What a lookup is born with.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What is looked for.
    pub target: NodeId,
    /// Whether the nearest are given something to keep.
    pub stores: bool,
    /// Whether somebody waits, and it is among the few for which more is asked at once.
    pub is_wide: bool,
    /// Whether few of the starts are known to live.
    pub is_cold: bool,
    /// Bits that the eighth nearest node of a lookup has in common with its target, as far as
    /// earlier ones tell.
    pub depth: Option<usize>,
    /// Whether most nodes have ids that suit their addresses (BEP 42).
    pub expects_suited: bool,
    /// Whether silent ones are asked once more of which others speak, too, besides those that
    /// answered us lately: half of them are dead.
    pub repeats_unknown: bool,
}

/// Whom to ask next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// A node that is known by name.
    Node(CandidateIndex, NodeInfo),
    /// The same once more, under the same transaction id: its answer, or the question, may be lost.
    Again(CandidateIndex, NodeInfo),
    /// An address that somebody named.
    Address(SocketAddr),
}

/// What a node said of itself.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who, and where.
    pub from: NodeInfo,
    /// How long it took.
    pub round_trip: Duration,
    /// What a store has to bring.
    pub token: Option<&'a [u8]>,
    /// Whether it was no longer waited for.
    pub was_stalled: bool,
}

/// One lookup.
#[derive(Debug)]
pub struct Lookup {
    plan: Plan,
    begun: Instant,
    candidates: Candidates,
    /// The first ones to ask, last first.
    first: Vec<CandidateIndex>,
    unnamed: VecDeque<SocketAddr>,
    /// Those of them that were asked.
    unnamed_asked: Vec<SocketAddr>,
    /// Those that must not be asked, or given anything, before a time.
    held: Vec<(CandidateIndex, Instant)>,
    starts_near: usize,
    has_peers: bool,
    is_satisfied: bool,
    asked: usize,
    answered: usize,
    /// Addresses without a name that were asked and may answer soon.
    unnamed_flying: usize,
    /// Whether anything was heard or given up since it began.
    is_moving: bool,
    /// Whether anything changed since it was looked at.
    is_changed: bool,
}

/// What one walk through the candidates shows.
#[derive(Default)]
struct View {
    ask: Option<CandidateIndex>,
    store: Option<CandidateIndex>,
    /// One that is silent, and likely alive.
    again: Option<CandidateIndex>,
    /// Nobody nearer than the last of the nearest is left to be asked or waited for.
    is_closed: bool,
    /// The nearest that answered as they should.
    good: Vec<CandidateIndex>,
}

impl Lookup {
    /// A lookup that begins with these nodes and addresses; its time runs from `since`.
    pub fn new(plan: Plan, starts: &[Start], unnamed: Vec<SocketAddr>, since: Instant) -> Self {
        let mut candidates = Candidates::new(plan.target);
        if let Some(depth) = plan.depth {
            candidates.set_natural(depth + EIGHTH_LEVELS + FORGED_LEVELS);
        }
        starts.iter().for_each(|start| candidates.start(*start));
        let is_near = |start: &&Start| {
            let bits = start.node.id.common_bits(&plan.target);
            // Of those that were only named half are dead.
            let is_live = start.round_trip.is_some();
            is_live && plan.depth.is_some_and(|depth| bits + NEAR_LEVELS >= depth)
        };
        let mut lookup = Self {
            plan,
            begun: since,
            candidates,
            first: Vec::new(),
            unnamed: unnamed.into(),
            unnamed_asked: Vec::new(),
            held: Vec::new(),
            starts_near: starts.iter().filter(is_near).count(),
            has_peers: false,
            is_satisfied: false,
            asked: 0,
            answered: 0,
            unnamed_flying: 0,
            is_moving: false,
            is_changed: true,
        };
        if plan.is_wide && !plan.is_cold {
            lookup.choose_first();
        }
        lookup
    }

    /// One more address to begin with, for a lookup that has too few.
    pub fn hint(&mut self, address: SocketAddr) {
        let has_room = self.answered < NEAREST && self.unnamed.len() < HINTS_MAX;
        if has_room && !self.unnamed.contains(&address) {
            self.is_changed = true;
            self.unnamed.push_back(address);
        }
    }

    /// A node answered somebody else's question: one that knows too few begins with it, too.
    pub fn meet(&mut self, start: Start) {
        let has_room = self.answered < NEAREST && self.candidates.count() < NEAREST;
        let address = start.node.address;
        let is_known = |address| {
            let mut candidates = self.candidates.iter();
            candidates.any(|(_, known)| known.node.address == address)
                || self.unnamed_asked.contains(&address)
        };
        if has_room && !is_known(address) {
            self.is_changed = true;
            self.candidates.start(start);
            self.unnamed.retain(|known| *known != address);
        }
    }

    /// Whom to ask next; [`asked`](Self::asked) tells that it was done.
    pub fn next_ask(&mut self, now: Instant) -> Option<Ask> {
        self.release(now);
        if self.asked >= QUERIES_MAX || self.is_satisfied || self.is_over(now) {
            return None;
        }
        if self.is_cold() && self.asked < self.cold_allowance(now) {
            return self.cold_ask();
        }
        let first = self.first.iter().rev();
        let mut first = first.filter(|index| self.candidates.at(**index).state == State::Known);
        if let Some(index) = first.next() {
            return Some(self.ask_node(*index));
        }
        if !self.first.is_empty() && !self.is_moving {
            return None;
        }
        let view = self.view();
        match view.ask {
            Some(index) => Some(self.ask_node(index)),
            None if view.good.len() < NEAREST && self.unnamed_flying < self.width() => {
                let is_stuck = view.is_closed || self.candidates.iter().all(|(_, c)| is_past(c));
                let unnamed = is_stuck.then(|| self.unnamed.front().map(|at| Ask::Address(*at)));
                unnamed.flatten().or_else(|| self.repeat(&view))
            }
            None => self.repeat(&view),
        }
    }

    /// When all is done but for the silent ones: whoever of the nearest may have lost a datagram
    /// is asked once more, or it would lack what is stored. Nobody waits for it.
    fn repeat(&self, view: &View) -> Option<Ask> {
        let index = view.again.filter(|_| view.is_closed && self.plan.stores)?;
        Some(Ask::Again(index, self.candidates.at(index).node))
    }

    /// A query left under this transaction id, as [`next_ask`](Self::next_ask) said.
    pub fn asked(&mut self, ask: Ask, tid: [u8; 4]) {
        self.asked += 1;
        match ask {
            Ask::Node(index, _) => {
                self.candidates.set_state(index, State::Asked);
                self.candidates.at_mut(index).tid = tid;
            }
            Ask::Again(index, _) => self.candidates.at_mut(index).is_repeated = true,
            Ask::Address(address) => {
                self.unnamed_flying += 1;
                self.unnamed.retain(|known| *known != address);
                self.unnamed_asked.push(address);
            }
        }
    }

    /// Whoever is next must not be asked before `until`: others are meanwhile.
    pub fn hold(&mut self, ask: Ask, until: Instant) {
        match ask {
            Ask::Node(index, _) => {
                self.candidates.set_state(index, State::Held);
                self.held.push((index, until));
            }
            Ask::Again(index, _) => self.candidates.at_mut(index).is_repeated = true,
            Ask::Address(address) => self.unnamed.retain(|known| *known != address),
        }
    }

    /// A node answered, and named others; `index` is none when it was asked without a name.
    pub fn answered(
        &mut self,
        index: Option<CandidateIndex>,
        answer: Answer<'_>,
        named: impl Iterator<Item = Named>,
    ) {
        self.answered += 1;
        (self.is_moving, self.is_changed) = (true, true);
        if index.is_none() && !answer.was_stalled {
            self.unnamed_flying = self.unnamed_flying.saturating_sub(1);
        }
        let Some(index) = index.or_else(|| self.candidates.adopt(answer.from)) else { return };
        self.candidates.set_state(index, State::Answered);
        let candidate = self.candidates.at_mut(index);
        candidate.round_trip = Some(answer.round_trip);
        candidate.token = answer.token.map(Box::from);
        named.for_each(|node| self.candidates.named(node, index));
    }

    /// A query takes long; `index` as in [`answered`](Self::answered).
    pub fn stalled(&mut self, index: Option<CandidateIndex>) {
        (self.is_moving, self.is_changed) = (true, true);
        match index {
            Some(index) if self.candidates.at(index).state == State::Asked => {
                self.candidates.set_state(index, State::Stalled);
            }
            Some(_) => {}
            None => self.unnamed_flying = self.unnamed_flying.saturating_sub(1),
        }
    }

    /// A query is lost, or was answered with an error or by another node.
    pub fn failed(&mut self, index: Option<CandidateIndex>, was_stalled: bool) {
        (self.is_moving, self.is_changed) = (true, true);
        match index {
            // One that was asked again may have answered to either.
            Some(index) if self.candidates.at(index).state == State::Answered => {}
            Some(index) => self.candidates.set_state(index, State::Failed),
            None if !was_stalled => self.unnamed_flying = self.unnamed_flying.saturating_sub(1),
            None => {}
        }
    }

    /// Whom to give something to keep next: one of the nearest, when all nearer ones have
    /// answered or take long.
    pub fn next_store(&self) -> Option<(CandidateIndex, &Candidate)> {
        let is_sent =
            |(_, candidate): &(CandidateIndex, &Candidate)| candidate.stored != Stored::Nothing;
        let sent = self.candidates.iter().filter(is_sent).count();
        let index = self.view().store.filter(|_| sent < STORED_MAX)?;
        Some((index, self.candidates.at(index)))
    }

    /// How it went with what was given to one.
    pub fn set_stored(&mut self, index: CandidateIndex, stored: Stored) {
        self.is_changed = true;
        self.asked += usize::from(stored == Stored::Sent);
        self.candidates.at_mut(index).stored = stored;
    }

    /// Whoever is next must not be given anything before `until`: others are meanwhile.
    pub fn hold_store(&mut self, index: CandidateIndex, until: Instant) {
        self.candidates.at_mut(index).stored = Stored::Held;
        self.held.push((index, until));
    }

    /// Peers were named: whoever waits has something to do.
    pub fn found_peers(&mut self) {
        self.is_changed = true;
        self.has_peers = true;
    }

    /// What was looked for is found, and there is no other.
    pub fn satisfied(&mut self) {
        self.is_changed = true;
        self.is_satisfied = true;
    }

    /// More may be asked at once from now on.
    pub fn widen(&mut self) {
        self.is_changed = true;
        if !self.plan.is_wide {
            self.plan.is_wide = true;
            if self.asked == 0 && !self.plan.is_cold {
                self.choose_first();
            }
        }
    }

    /// Whether it is a start from nothing that may still ask without an answer.
    pub fn is_blind(&self) -> bool {
        self.is_cold() && self.asked < COLD_MAX
    }

    /// Whether it is one of those for which more is asked at once.
    pub fn is_wide(&self) -> bool {
        self.plan.is_wide && !self.has_peers
    }

    /// The line was dead and is back: who did not answer is asked again.
    pub fn revive(&mut self) {
        self.is_changed = true;
        let dead = |(_, candidate): &(CandidateIndex, &Candidate)| {
            matches!(candidate.state, State::Failed | State::Stalled)
        };
        let dead: Vec<CandidateIndex> =
            self.candidates.iter().filter(dead).map(|(index, _)| index).collect();
        dead.into_iter().for_each(|index| self.candidates.set_state(index, State::Known));
    }

    /// Our address is another one: no reply to what was asked will come, and tokens are void.
    pub fn restart(&mut self) {
        self.is_changed = true;
        let all: Vec<CandidateIndex> = self.candidates.iter().map(|(index, _)| index).collect();
        for index in all {
            self.candidates.set_state(index, State::Known);
            let candidate = self.candidates.at_mut(index);
            candidate.token = None;
            candidate.stored = Stored::Nothing;
        }
        (self.unnamed_flying, self.answered) = (0, 0);
        self.unnamed_asked.clear();
    }

    /// Whether there may be something to ask, to store or to tell.
    pub fn needs_look(&self, now: Instant) -> bool {
        let may_grow = || self.is_cold() && self.asked < self.cold_allowance(now);
        self.is_changed || self.is_over(now) || self.has_released(now) || may_grow()
    }

    /// All was asked, stored and told that can be now.
    pub fn looked_at(&mut self) {
        self.is_changed = false;
    }

    /// Whether all was done that it is for; late replies may still come.
    pub fn is_done(&self, now: Instant) -> bool {
        let waits = |c: &Candidate| matches!(c.stored, Stored::Sent | Stored::Held);
        let is_storing = || self.candidates.iter().any(|(_, candidate)| waits(candidate));
        self.is_satisfied || self.is_over(now) || (self.is_closed() && !is_storing())
    }

    /// Whether nothing can come of it any more.
    pub fn is_finished(&self, now: Instant) -> bool {
        self.is_over(now) || (self.is_done(now) && !(self.plan.stores && self.waits()))
    }

    /// Whether a reply may come that would make it store once more, or tell that something is
    /// kept.
    fn waits(&self) -> bool {
        let good = self.view().good;
        let last = good.last().filter(|_| good.len() >= NEAREST);
        for (index, candidate) in self.candidates.iter() {
            let is_open = matches!(candidate.state, State::Asked | State::Stalled)
                || matches!(candidate.stored, Stored::Sent | Stored::Stalled);
            if is_open || last == Some(&index) {
                return is_open;
            }
        }
        false
    }

    /// When to look at it again though nothing was heard.
    pub fn next_timeout(&self, now: Instant) -> Instant {
        let held = self.held.iter().map(|(_, until)| *until).filter(|until| *until > now);
        let end = { held }.fold(self.begun + LOOKUP_MAX, Instant::min);
        let allowance = self.cold_allowance(now);
        if self.is_cold() && self.asked >= allowance && allowance < COLD_MAX {
            let steps = (allowance - COLD_FIRST) / COLD_MORE + 1;
            return end.min(self.begun + COLD_STEP * steps as u32);
        }
        end
    }

    /// The nearest that answered as they should, nearest first; the first [`NEAREST`] or so.
    pub fn nearest(&self) -> impl Iterator<Item = &Candidate> + '_ {
        self.view().good.into_iter().map(|index| self.candidates.at(index))
    }

    /// Bits that the eighth of the nearest has in common with the target.
    pub fn depth(&self) -> Option<usize> {
        self.nearest().nth(NEAREST - 1).map(|candidate| self.candidates.level(candidate))
    }

    /// Nodes that keep what was stored.
    pub fn stored(&self) -> usize {
        self.candidates.iter().filter(|(_, c)| c.stored == Stored::Taken).count()
    }

    /// All that it knows, nearest first.
    pub fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Queries and replies.
    pub fn counts(&self) -> (usize, usize) {
        (self.asked, self.answered)
    }

    /// When it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    fn has_released(&self, now: Instant) -> bool {
        self.held.iter().any(|(_, until)| *until <= now)
    }

    fn release(&mut self, now: Instant) {
        let (candidates, held) = (&mut self.candidates, &mut self.held);
        held.retain(|(index, until)| {
            let is_due = now >= *until;
            if is_due && candidates.at(*index).state == State::Held {
                candidates.set_state(*index, State::Known);
            }
            let candidate = candidates.at_mut(*index);
            if is_due && candidate.stored == Stored::Held {
                candidate.stored = Stored::Nothing;
            }
            !is_due
        });
    }

    /// The four nearest and the four fastest of the nearest sixteen. Near the end there is nothing
    /// to be gained by those farther out.
    fn choose_first(&mut self) {
        if self.begins_near() {
            return;
        }
        let live = self.candidates.iter().filter(|(_, c)| !self.candidates.is_suspect(c));
        let nearest = live.take(STARTS).map(|(index, c)| (c.round_trip, index));
        let mut nearest: Vec<_> = nearest.collect();
        let mut rest = nearest.split_off(FIRST_HALF.min(nearest.len()));
        // Without a round trip it comes last; among equals the nearer one first.
        rest.sort_by_key(|(trip, _)| trip.unwrap_or(Duration::MAX));
        rest.truncate(WIDTH_URGENT - FIRST_HALF);
        nearest.append(&mut rest);
        self.first = nearest.into_iter().rev().map(|(_, index)| index).collect();
    }

    fn width(&self) -> usize {
        match self.is_wide() {
            false => WIDTH_CALM,
            true if self.begins_near() => WIDTH_NEAR,
            true => WIDTH_URGENT,
        }
    }

    fn begins_near(&self) -> bool {
        self.starts_near >= FIRST_HALF
    }

    fn is_cold(&self) -> bool {
        self.plan.is_cold && self.answered < NEAREST
    }

    fn cold_allowance(&self, now: Instant) -> usize {
        let steps = now.saturating_duration_since(self.begun).as_millis() / COLD_STEP.as_millis();
        (COLD_FIRST + COLD_MORE * steps as usize).min(COLD_MAX)
    }

    fn cold_ask(&self) -> Option<Ask> {
        let unnamed = || self.unnamed.front().map(|address| Ask::Address(*address));
        let known = |(_, c): &(CandidateIndex, &Candidate)| {
            c.state == State::Known && !self.candidates.is_suspect(c)
        };
        let node = self.candidates.iter().find(known).map(|(index, _)| self.ask_node(index));
        if self.asked % COLD_MIXED == COLD_MIXED - 1 {
            unnamed().or(node)
        } else {
            node.or_else(unnamed)
        }
    }

    fn ask_node(&self, index: CandidateIndex) -> Ask {
        Ask::Node(index, self.candidates.at(index).node)
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.begun + LOOKUP_MAX
    }

    fn is_closed(&self) -> bool {
        if self.asked >= QUERIES_MAX {
            return !self.candidates.iter().any(|(_, c)| c.state == State::Asked);
        }
        let view = self.view();
        let is_poor = view.good.len() < NEAREST;
        let may_grow = !self.unnamed.is_empty() || self.unnamed_flying > 0 || self.answered == 0;
        view.is_closed && !(is_poor && may_grow)
    }

    fn view(&self) -> View {
        let (mut view, width) = (View::default(), self.width());
        let (mut flying, mut hoped, mut tokenless, mut wanted) = (0, 0, 0, NEAREST);
        let mut is_settled = true;
        let (mut suspect, mut waits_for_others) = (None, false);
        for (place, (index, candidate)) in self.candidates.iter().enumerate() {
            match candidate.state {
                State::Known if self.candidates.is_suspect(candidate) => {
                    suspect = suspect.or(Some(index));
                }
                // With those under way there are enough: only a silent one makes room for it.
                State::Known if view.good.len() + hoped >= wanted => return view,
                State::Known => {
                    view.ask = self.likelier(place, index, width - flying);
                    return view;
                }
                State::Asked => {
                    (flying, is_settled) = (flying + 1, false);
                    hoped += usize::from(self.is_hoped_for(candidate));
                    waits_for_others |= !self.candidates.is_suspect(candidate);
                    if flying >= width {
                        return view;
                    }
                }
                State::Held => is_settled = false,
                State::Stalled if self.is_worth_repeating(candidate) => {
                    view.again = view.again.or(Some(index));
                }
                State::Stalled | State::Failed => {}
                State::Answered if self.plan.stores && candidate.token.is_none() => {
                    tokenless += 1;
                    if tokenless > TOKENLESS_MAX {
                        view.is_closed = is_settled;
                        return view;
                    }
                }
                State::Answered => {
                    if self.plan.stores && is_settled && candidate.stored == Stored::Nothing {
                        view.store = view.store.or(Some(index));
                    }
                    view.good.push(index);
                    if view.good.len() == NEAREST && self.must_widen(&view.good) {
                        wanted = NEAREST_WIDE;
                    }
                    if view.good.len() == wanted {
                        view.is_closed = is_settled;
                        return view;
                    }
                }
            }
        }
        // Nobody else is left, nor may name others.
        view.ask = suspect.filter(|_| !waits_for_others);
        view.is_closed = is_settled && suspect.is_none();
        view
    }

    /// Whether one that is under way is taken for one that answers: it did so lately, or nobody
    /// waits for those farther out.
    fn is_hoped_for(&self, candidate: &Candidate) -> bool {
        candidate.round_trip.is_some() || !self.is_wide()
    }

    /// Whether a silent one may be alive: it answered lately, or several name it.
    fn is_worth_repeating(&self, candidate: &Candidate) -> bool {
        let is_named = self.plan.repeats_unknown && candidate.score() >= SOURCES_SURE;
        let is_known = candidate.round_trip.is_some() || is_named;
        is_known && !candidate.is_repeated && !self.candidates.is_suspect(candidate)
    }

    /// Of the next few of the same level, the one that most have named; none when `room` of
    /// them are under way.
    fn likelier(&self, place: usize, first: CandidateIndex, room: usize) -> Option<CandidateIndex> {
        const FEW: usize = 4;
        let level = self.candidates.level(self.candidates.at(first));
        let next = || {
            let next = self.candidates.iter().skip(place).take(FEW);
            next.filter(|(_, candidate)| self.candidates.level(candidate) == level)
        };
        if next().filter(|(_, candidate)| candidate.state == State::Asked).count() >= room {
            return None;
        }
        let fit = next().filter(|(_, candidate)| {
            candidate.state == State::Known && !self.candidates.is_suspect(candidate)
        });
        // The first of the best.
        fit.max_by_key(|(index, c)| (c.score(), *index == first)).map(|(index, _)| index)
    }

    /// Whether the nearest are too few parties to be trusted with the only copies, or were made
    /// for the target.
    fn must_widen(&self, nearest: &[CandidateIndex]) -> bool {
        let nodes = || nearest.iter().map(|index| self.candidates.at(*index));
        if nodes().any(|candidate| is_exempt(candidate.node.address.ip())) {
            return false;
        }
        let mut providers: Vec<Net> =
            nodes().map(|candidate| Net::provider(candidate.node.address.ip())).collect();
        providers.sort_unstable();
        providers.dedup();
        let is_suited = |c: &&Candidate| c.node.id.suits(c.node.address.ip());
        let suited = nodes().filter(is_suited).count();
        providers.len() < PARTIES_MIN
            || (self.plan.expects_suited && suited < PARTIES_MIN)
            || nodes().any(|candidate| self.candidates.is_forged(&candidate.node.id))
    }
}

/// Whether nothing is to be waited for.
fn is_past(candidate: &Candidate) -> bool {
    matches!(candidate.state, State::Answered | State::Stalled | State::Failed)
}

//! What follows from how torrents stand: whose turn it is to run, and who has seeded enough. A
//! machine: rows, goals and `now` go in, orders come out. It does nothing to a torrent, and knows
//! of each only its row.
//!
//! Nothing is walked: a row is compared with the one before, the next in line is the first of a
//! set, and who may have seeded long enough stands in a set by the time when that is. A ratio is
//! reached with a row that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::base::ids::TorrentId;

use super::turns::{News, Turn, Turns};
use super::{Flags, Phase, Row};

/// An order that changed nothing for so long is given again: the torrent had more of them to read
/// than it takes, or was paused when it came.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a complete torrent has seeded enough: at whichever goal comes first, never without.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Goals {
    /// Bytes sent in its life for each byte that it has.
    pub ratio: Option<f64>,
    /// Time since it was first seen complete, rests included; whoever says this takes off what
    /// counts of before.
    pub time: Option<Duration>,
}

impl Goals {
    /// Is one of them reached, `complete_for` after completion?
    fn are_reached(&self, reached: f64, complete_for: Duration) -> bool {
        self.ratio.is_some_and(|ratio| reached >= ratio)
            || self.time.is_some_and(|time| complete_for >= time)
    }
}

/// A fact for [`Policy::handle`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Input {
    /// How a torrent stands now.
    Row(Row),
    /// A torrent is gone, its goals too.
    Removed(TorrentId),
    /// A torrent's goals, before or after its first row.
    Goals {
        /// Which.
        id: TorrentId,
        /// From now on.
        goals: Goals,
        /// They count for one that has finished and was resumed, too: whoever resumed it has set
        /// them. Goals that come and go by themselves would finish it again each time.
        are_by_hand: bool,
    },
    /// So many may have something to download at once.
    Places(usize),
    /// The time named by `next_timeout` has come.
    Tick,
}

/// What to do, from [`Policy::poll_output`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Output {
    /// The turn of a queued torrent has come.
    Start(TorrentId),
    /// A torrent has seeded enough.
    Finish(TorrentId),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Start,
    Finish,
}

impl Order {
    fn to(self, id: TorrentId) -> Output {
        match self {
            Self::Start => Output::Start(id),
            Self::Finish => Output::Finish(id),
        }
    }
}

/// What was ordered of a torrent and has not come to pass.
#[derive(Clone, Copy, Debug)]
struct Pending {
    order: Order,
    /// Where it waits to be polled, a place in the queue; none when it was.
    waits_at: Option<u64>,
}

/// What the rules need of a row: a whole one would be most of what is held here.
#[derive(Clone, Copy, Debug)]
struct Seen {
    phase: Phase,
    is_seed_only: bool,
    queue_place: u64,
    ratio: f64,
}

impl Seen {
    fn of(row: &Row) -> Self {
        Self {
            phase: row.phase,
            is_seed_only: row.flags.has(Flags::SEED_ONLY),
            queue_place: row.queue_place,
            ratio: row.ratio(),
        }
    }

    fn turn(&self, id: TorrentId) -> (Phase, Turn) {
        (self.phase, (self.queue_place, id))
    }
}

/// One torrent.
#[derive(Debug, Default)]
struct Member {
    /// None before its first row.
    seen: Option<Seen>,
    goals: Goals,
    complete_since: Option<Instant>,
    /// It has finished once: if it seeds again, somebody wanted that, without a goal.
    is_over: bool,
    /// Its turn has come.
    is_due: bool,
    pending: Option<Pending>,
    /// When it is looked at, if nothing is heard of it.
    look_at: Option<Instant>,
}

impl Member {
    /// Since when seeding counts towards the goals; none when it does not.
    fn seeds_since(&self) -> Option<Instant> {
        let seen = self.seen.filter(|_| !self.is_over && self.goals != Goals::default())?;
        let counts = match seen.phase {
            Phase::Complete => true,
            // Time goes on for one whose data was lost and that fetches none.
            Phase::DiskTrouble | Phase::Downloading => seen.is_seed_only,
            _ => false,
        };
        self.complete_since.filter(|_| counts)
    }

    /// Learns what its phase says.
    fn on_phase(&mut self, now: Instant) {
        match self.seen.map(|seen| seen.phase) {
            Some(Phase::Complete) => drop(self.complete_since.get_or_insert(now)),
            Some(Phase::Finished) => self.is_over = true,
            _ => {}
        }
    }

    /// What was ordered does not hold any more.
    fn withdraw(&mut self, id: TorrentId, news: &mut BTreeSet<Turn>) {
        if let Some(place) = self.pending.take().and_then(|pending| pending.waits_at) {
            news.remove(&(place, id));
        }
    }

    /// What it is to do now.
    fn due_order(&self, now: Instant) -> Option<Order> {
        let seen = self.seen?;
        let seeding = self.seeds_since().map(|since| now.saturating_duration_since(since));
        let is_enough = seeding.is_some_and(|time| self.goals.are_reached(seen.ratio, time));
        match is_enough {
            true => Some(Order::Finish),
            false => self.is_due.then_some(Order::Start),
        }
    }
}

/// The rules for all torrents of a session.
#[derive(Debug)]
pub struct Policy {
    members: BTreeMap<TorrentId, Member>,
    turns: Turns,
    /// Who is looked at when, though nothing is heard of it.
    looks: BTreeSet<(Instant, TorrentId)>,
    /// Whose orders wait to be polled, by their places in the queue.
    news: BTreeSet<Turn>,
}

impl Policy {
    /// One that lets so many torrents at once have something to download.
    pub fn new(places: usize) -> Self {
        Self {
            members: BTreeMap::new(),
            turns: Turns::new(places),
            looks: BTreeSet::new(),
            news: BTreeSet::new(),
        }
    }

    /// Takes in one fact. Orders wait in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Row(row) => {
                let member = self.members.entry(row.id).or_default();
                let seen = Seen::of(&row);
                let before = member.seen.replace(seen).map(|before| before.turn(row.id));
                self.turns.change(before, Some(seen.turn(row.id)));
                member.is_due &= row.phase == Phase::Queued;
                member.on_phase(now);
                self.look(row.id, now);
            }
            Input::Removed(id) => {
                let Some(mut member) = self.members.remove(&id) else { return };
                self.turns.change(member.seen.map(|seen| seen.turn(id)), None);
                member.withdraw(id, &mut self.news);
                if let Some(look_at) = member.look_at {
                    self.looks.remove(&(look_at, id));
                }
            }
            Input::Goals { id, goals, are_by_hand } => {
                let member = self.members.entry(id).or_default();
                if member.goals != goals {
                    member.goals = goals;
                    member.is_over &= !are_by_hand;
                    member.on_phase(now);
                    self.look(id, now);
                }
            }
            Input::Places(places) => self.turns.set_places(places),
            Input::Tick => self.on_tick(now),
        }
        while let Some(news) = self.turns.settle() {
            let (News::Due(id) | News::NotDue(id)) = news;
            if let Some(member) = self.members.get_mut(&id) {
                member.is_due = news == News::Due(id);
            }
            self.look(id, now);
        }
    }

    /// The next order. Whoever gives it applies the row that comes of it; until then nothing is
    /// ordered of that torrent for a second.
    pub fn poll_output(&mut self) -> Option<Output> {
        let (_, id) = self.news.pop_first()?;
        let pending = self.members.get_mut(&id)?.pending.as_mut()?;
        pending.waits_at = None;
        Some(pending.order.to(id))
    }

    /// When to tell it the time, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// Is there a place for one more that has something to download?
    pub fn has_place(&self) -> bool {
        self.turns.has_place()
    }

    fn on_tick(&mut self, now: Instant) {
        while let Some((at, id)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, id));
            if let Some(member) = self.members.get_mut(&id) {
                member.look_at = None;
                // It had its time.
                member.withdraw(id, &mut self.news);
            }
            self.look(id, now);
        }
    }

    /// Orders what a torrent is to do, unless that is under way, and notes when it is looked at.
    fn look(&mut self, id: TorrentId, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let order = member.due_order(now);
        if order.is_some() && member.pending.map(|pending| pending.order) == order {
            return;
        }
        member.withdraw(id, &mut self.news);
        let look_at = match order {
            Some(order) => {
                let place = member.seen.map_or(0, |seen| seen.queue_place);
                self.news.insert((place, id));
                member.pending = Some(Pending { order, waits_at: Some(place) });
                now.checked_add(PATIENCE)
            }
            // Beyond what a clock can say is never.
            None => {
                let (since, time) = (member.seeds_since(), member.goals.time);
                since.zip(time).and_then(|(since, time)| since.checked_add(time))
            }
        };
        if look_at != member.look_at {
            member.look_at.map(|at| self.looks.remove(&(at, id)));
            member.look_at = look_at;
            self.looks.extend(look_at.map(|at| (at, id)));
        }
    }
}

#[cfg(test)]
mod tests;

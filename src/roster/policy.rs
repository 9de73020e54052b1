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

use super::turns::{News, Turns};
use super::{Flags, Phase, Row};

/// An order that changed nothing for so long is given again: the torrent had more of them to read
/// than it takes, or was paused when it came.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a complete torrent has seeded enough: at whichever goal comes first, never without.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Goals {
    /// Bytes sent in its life for each byte that it has.
    pub ratio: Option<f64>,
    /// Time since it was complete in this run.
    pub time: Option<Duration>,
}

impl Goals {
    /// Is one of them reached, `complete_for` after completion?
    fn are_reached(&self, row: &Row, complete_for: Duration) -> bool {
        self.ratio.is_some_and(|ratio| row.ratio() >= ratio)
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
    /// A torrent's goals, before or after its first row. New ones count for one that has finished
    /// and was resumed, too.
    Goals {
        /// Which.
        id: TorrentId,
        /// From now on.
        goals: Goals,
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

/// In which order orders are given.
type Turn = (u64, TorrentId);

/// What was ordered of a torrent and has not come to pass.
#[derive(Clone, Copy, Debug)]
struct Pending {
    order: Output,
    /// Where it waits to be polled; none when it was.
    waits_at: Option<Turn>,
}

/// One torrent.
#[derive(Debug, Default)]
struct Member {
    row: Option<Row>,
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
        let row = self.row.filter(|_| !self.is_over && self.goals != Goals::default())?;
        let counts = match row.phase {
            Phase::Complete => true,
            // Time goes on for one whose data was lost and that fetches none.
            Phase::DiskTrouble | Phase::Downloading => row.flags.has(Flags::SEED_ONLY),
            _ => false,
        };
        self.complete_since.filter(|_| counts)
    }

    /// Learns what its phase says.
    fn on_phase(&mut self, now: Instant) {
        match self.row.map(|row| row.phase) {
            Some(Phase::Complete) => drop(self.complete_since.get_or_insert(now)),
            Some(Phase::Finished) => self.is_over = true,
            _ => {}
        }
    }

    /// What was ordered does not hold any more.
    fn withdraw(&mut self, news: &mut BTreeSet<Turn>) {
        if let Some(turn) = self.pending.take().and_then(|pending| pending.waits_at) {
            news.remove(&turn);
        }
    }

    /// What it is to do now.
    fn due_order(&self, now: Instant) -> Option<Output> {
        let row = self.row?;
        let seeding = self.seeds_since().map(|since| now.saturating_duration_since(since));
        let is_enough = seeding.is_some_and(|time| self.goals.are_reached(&row, time));
        match is_enough {
            true => Some(Output::Finish(row.id)),
            false => self.is_due.then_some(Output::Start(row.id)),
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
                let before = member.row.replace(row);
                self.turns.change(before.as_ref(), Some(&row));
                member.is_due &= row.phase == Phase::Queued;
                member.on_phase(now);
                self.look(row.id, now);
            }
            Input::Removed(id) => {
                let Some(mut member) = self.members.remove(&id) else { return };
                self.turns.change(member.row.as_ref(), None);
                member.withdraw(&mut self.news);
                if let Some(look_at) = member.look_at {
                    self.looks.remove(&(look_at, id));
                }
            }
            Input::Goals { id, goals } => {
                let member = self.members.entry(id).or_default();
                if member.goals != goals {
                    member.goals = goals;
                    member.is_over = false;
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
        Some(pending.order)
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
                member.withdraw(&mut self.news);
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
        member.withdraw(&mut self.news);
        let look_at = match order {
            Some(order) => {
                let turn = (member.row.map_or(0, |row| row.queue_place), id);
                self.news.insert(turn);
                member.pending = Some(Pending { order, waits_at: Some(turn) });
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

//! What rules lay over that which users set of their torrents, while they match. A machine: facts
//! of torrents, free space of devices and the time of day go in, and out comes whose [`Overlay`] is
//! another one now. It does nothing to a torrent. What was set by hand is not known here, and so
//! cannot be lost: an overlay that ends leaves it as it is.
//!
//! Rules are asked in their order. What a later one says goes before what an earlier one says,
//! labels are added up, and room that is to stay free on a device goes before all.
//!
//! Nobody is walked: a torrent is looked at when a fact of it changes, when its age passes a bound
//! of a rule, for which it stands in a set by that time, when the space of its device passes one,
//! or when the hours of a rule that may be about it begin or end.
//!
//! | file | what |
//! |---|---|
//! | `book` | all rules together, and what holds where some match |
//! | `rule` | rules, facts, and whether a condition holds |
//! | `hours` | days and hours, by the clock on the wall |
//! | `words` | the same for people: what a rule says, why it matches or not |

mod book;
mod hours;
mod rule;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::TorrentId;

use book::Set;
pub use book::{Book, Caps, Overlay, Rest, Schedule, Switch};
use hours::next_edge;
pub use hours::{DAY_MINUTES, DAYS, Hours, Wall};
use rule::Key;
pub use rule::{Facts, Queue, RULES_MAX, Rule, Span, Then, When};
pub use words::{Fate, Verdict, conditions, effects};

/// A device, as the system numbers it.
pub type Device = u64;

/// A fact for [`Rules::handle`].
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// These are the rules from now on.
    Book(Arc<Book>),
    /// All about a torrent: it is new, or something of it was set. What is free is known by device.
    Torrent(TorrentId, Box<Facts>),
    /// How a torrent that is known stands now.
    Moving(TorrentId, Moving),
    /// A torrent is gone.
    Removed(TorrentId),
    /// So many bytes are free on a device; none when it does not say.
    Free(Device, Option<u64>),
    /// The time named by `next_timeout` has come, or some time has passed.
    Tick,
}

/// What of a torrent changes by itself.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Moving {
    /// Bytes sent for each byte of the wanted files.
    pub ratio: f64,
    /// Seeds, as far as they are known.
    pub seeds: u64,
    /// The device that its files are on, as far as it is known.
    pub device: Option<Device>,
    /// Something is to be written: it downloads, or would.
    pub needs_room: bool,
}

/// From [`Rules::poll_output`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// The overlay of this torrent is another one.
    Changed(TorrentId),
    /// The alternative limits are switched; whoever switches them by hand decides until then.
    Switched(Switch),
}

#[derive(Debug, Default)]
struct Known {
    facts: Facts,
    moving: Moving,
    /// Rules whose standing conditions hold.
    standing: Set,
    /// Those that match.
    matching: Set,
    has_no_room: bool,
    /// A rule stops it.
    is_stopped: bool,
    look_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Room {
    free: Option<u64>,
    /// It has less than is to stay, and has not got clearly more since.
    is_short: bool,
}

/// The rules and all torrents.
#[derive(Debug, Default)]
pub struct Rules {
    book: Arc<Book>,
    torrents: BTreeMap<TorrentId, Known>,
    rooms: BTreeMap<Device, Room>,
    by_device: BTreeSet<(Device, TorrentId)>,
    /// Who is looked at when, though nothing is heard of it.
    looks: BTreeSet<(u64, TorrentId)>,
    /// Rules whose hours hold, or that have none.
    in_hours: Set,
    /// When that may change.
    edge_at: Option<u64>,
    /// Which schedule holds.
    schedule: Option<usize>,
    /// The last time that was told.
    told_s: u64,
    news: BTreeSet<TorrentId>,
    switched: Option<Switch>,
    looked: u64,
}

/// Edges of hours that are looked at of a time that was slept through.
const PASSED_MAX: usize = 1000;

/// A clock that goes back by more was set back.
const SET_BACK_S: u64 = 60;

/// What a device has to have more than is to stay until downloads go on: a little of that, so that
/// they do not begin and end with each block.
pub fn slack(keep: u64) -> u64 {
    (keep / 8).min(1 << 30)
}

impl Rules {
    /// Takes in one fact. What follows waits in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: Input, wall: Wall) {
        if wall.unix_s.saturating_add(SET_BACK_S) < self.told_s {
            // What was waited for may lie far away.
            self.read_clock(wall);
            self.look_at_all(wall);
        }
        self.told_s = wall.unix_s;
        match input {
            Input::Book(book) => self.on_book(book, wall),
            Input::Torrent(id, facts) => {
                let known = self.torrents.entry(id).or_default();
                known.facts = Facts { free: known.facts.free, ..*facts };
                let Known { facts, moving, .. } = known;
                (facts.ratio, facts.seeds) = (moving.ratio, moving.seeds);
                known.standing = standing(&self.book, &known.facts, wall);
                self.look(id, wall);
            }
            Input::Moving(id, moving) => self.on_moving(id, moving, wall),
            Input::Removed(id) => self.on_removed(id),
            Input::Free(device, free) => self.on_free(device, free, wall),
            Input::Tick => self.on_tick(wall),
        }
    }

    /// What follows.
    pub fn poll_output(&mut self) -> Option<Output> {
        let switched = self.switched.take().map(Output::Switched);
        switched.or_else(|| self.news.pop_first().map(Output::Changed))
    }

    /// When to tell it the time, if nothing happens before, in seconds since 1970.
    pub fn next_timeout(&self) -> Option<u64> {
        let look_at = self.looks.first().map(|(at, _)| *at);
        look_at.into_iter().chain(self.edge_at).min()
    }

    /// The rules.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Is this torrent known?
    pub fn knows(&self, id: TorrentId) -> bool {
        self.torrents.contains_key(&id)
    }

    /// What holds of a torrent.
    pub fn overlay(&self, id: TorrentId) -> Overlay {
        let known = self.torrents.get(&id);
        known.map(|it| self.book.overlay(it.matching, it.has_no_room)).unwrap_or_default()
    }

    /// What is known of a torrent.
    pub fn facts(&self, id: TorrentId) -> Option<&Facts> {
        self.torrents.get(&id).map(|known| &known.facts)
    }

    /// What becomes of each rule for a torrent; none when it is not known.
    pub fn verdicts(&self, id: TorrentId, wall: Wall) -> Option<Vec<Verdict>> {
        let known = self.torrents.get(&id)?;
        Some(self.book.judged(&known.facts, wall, |at| known.matching & (1 << at) != 0))
    }

    /// How often torrents were looked at: it grows with what happens, not with time.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    fn on_book(&mut self, book: Arc<Book>, wall: Wall) {
        let had_schedules = !self.book.schedules.is_empty();
        self.book = book;
        // What an overlay says may be otherwise though the same rules match.
        self.news.extend(self.torrents.keys());
        for known in self.torrents.values_mut() {
            known.standing = standing(&self.book, &known.facts, wall);
        }
        for room in self.rooms.values_mut() {
            room.is_short = is_short(&self.book, *room, room.free);
        }
        self.schedule = None;
        self.read_clock(wall);
        self.look_at_all(wall);
        let is_any = had_schedules || !self.book.schedules.is_empty();
        self.switched = is_any.then(|| self.switch());
    }

    fn on_moving(&mut self, id: TorrentId, moving: Moving, wall: Wall) {
        let Some(known) = self.torrents.get_mut(&id) else { return };
        // One that rests meets nobody: by that alone it is not to go on.
        let seeds = if known.is_stopped { known.moving.seeds } else { moving.seeds };
        let moving = Moving { seeds, ..moving };
        if known.moving == moving {
            return;
        }
        if known.moving.device != moving.device {
            known.moving.device.map(|device| self.by_device.remove(&(device, id)));
            self.by_device.extend(moving.device.map(|device| (device, id)));
        }
        known.moving = moving;
        (known.facts.ratio, known.facts.seeds) = (moving.ratio, moving.seeds);
        self.look(id, wall);
    }

    fn on_removed(&mut self, id: TorrentId) {
        let Some(known) = self.torrents.remove(&id) else { return };
        known.look_at.map(|at| self.looks.remove(&(at, id)));
        known.moving.device.map(|device| self.by_device.remove(&(device, id)));
        self.news.remove(&id);
    }

    fn on_free(&mut self, device: Device, free: Option<u64>, wall: Wall) {
        let before = self.rooms.get(&device).copied().unwrap_or_default();
        let now = Room { free, is_short: is_short(&self.book, before, free) };
        self.rooms.insert(device, now);
        let within = |free: Option<u64>| {
            let is_in = |span: &Span<u64>| free.is_some_and(|free| span.holds(free));
            self.book.set_of(|rule| !rule.when.free.is_open() && is_in(&rule.when.free))
        };
        if before.is_short == now.is_short && within(before.free) == within(free) {
            return;
        }
        let on_it = self.by_device.range((device, TorrentId(0))..=(device, TorrentId(u32::MAX)));
        for id in on_it.map(|(_, id)| *id).collect::<Vec<_>>() {
            self.look(id, wall);
        }
    }

    fn on_tick(&mut self, wall: Wall) {
        if self.edge_at.is_some_and(|at| at <= wall.unix_s) {
            let (before, was_switched) = (self.in_hours, self.pass_edges(wall));
            self.read_clock(wall);
            if was_switched {
                self.switched = Some(self.switch());
            }
            let changed = before ^ self.in_hours;
            let about = self.torrents.iter().filter(|(_, known)| known.standing & changed != 0);
            for id in about.map(|(id, _)| *id).collect::<Vec<_>>() {
                self.look(id, wall);
            }
        }
        while let Some((at, id)) = self.looks.first().copied().filter(|(at, _)| *at <= wall.unix_s)
        {
            self.looks.remove(&(at, id));
            if let Some(known) = self.torrents.get_mut(&id) {
                known.look_at = None;
            }
            self.look(id, wall);
        }
    }

    /// Whether schedules switched at any time until now: the machine may have slept meanwhile, and
    /// who switched by hand before that is not to find it so after.
    fn pass_edges(&mut self, wall: Wall) -> bool {
        let mut was_switched = false;
        // A week of all edges there may be would not matter more.
        for _ in 0..PASSED_MAX {
            let Some(at) = self.edge_at.filter(|at| *at <= wall.unix_s) else { break };
            let schedule = self.schedule_at(wall.at(at));
            was_switched |= std::mem::replace(&mut self.schedule, schedule) != schedule;
            self.edge_at = self.edge_behind(wall.at(at));
        }
        was_switched
    }

    /// The schedule that decides at a time.
    fn schedule_at(&self, wall: Wall) -> Option<usize> {
        self.book.schedules.iter().rposition(|schedule| schedule.hours.hold(wall))
    }

    /// When hours of rules or schedules may change next.
    fn edge_behind(&self, wall: Wall) -> Option<u64> {
        let hours = self.book.rules.iter().filter_map(|rule| rule.when.hours);
        let hours = hours.chain(self.book.schedules.iter().map(|schedule| schedule.hours));
        next_edge(wall, hours.flat_map(|hours| hours.edges()))
    }

    /// Learns which hours hold, and when that may change.
    fn read_clock(&mut self, wall: Wall) {
        let in_hours = |rule: &Rule| rule.when.hours.is_none_or(|hours| hours.hold(wall));
        self.in_hours = self.book.set_of(in_hours);
        self.edge_at = self.edge_behind(wall);
        let schedule = self.schedule_at(wall);
        if self.schedule != schedule {
            self.schedule = schedule;
            self.switched = Some(self.switch());
        }
    }

    /// What the schedules say now.
    fn switch(&self) -> Switch {
        match self.schedule.and_then(|at| self.book.schedules.get(at)) {
            _ if self.book.schedules.is_empty() => Switch::ByHand,
            Some(schedule) => Switch::On(schedule.limits),
            None => Switch::Off,
        }
    }

    fn look_at_all(&mut self, wall: Wall) {
        for id in self.torrents.keys().copied().collect::<Vec<_>>() {
            self.look(id, wall);
        }
    }

    /// Finds out which rules match a torrent, and when that may change by its age.
    fn look(&mut self, id: TorrentId, wall: Wall) {
        let Some(known) = self.torrents.get_mut(&id) else { return };
        self.looked += 1;
        let room = known.moving.device.and_then(|device| self.rooms.get(&device));
        let room = room.copied().unwrap_or_default();
        known.facts.free = room.free;
        let may = known.standing & self.in_hours;
        let (mut matching, mut look_at) = (0, None);
        for (at, rule) in self.book.numbered() {
            let is_about = known.standing & (1 << at) != 0;
            if may & (1 << at) != 0 && rule.when.all_hold(&Key::MOVING, &known.facts, wall) {
                matching |= 1 << at;
            }
            let next = rule.when.next_age(&known.facts, wall).filter(|_| is_about);
            look_at = look_at.into_iter().chain(next).min();
        }
        let has_no_room = room.is_short && known.moving.needs_room;
        if (known.matching, known.has_no_room) != (matching, has_no_room) {
            (known.matching, known.has_no_room) = (matching, has_no_room);
            self.news.insert(id);
        }
        let overlay = self.book.overlay(matching, has_no_room);
        known.is_stopped = matches!(overlay.rest, Some(Rest::Rule(_)));
        if known.look_at != look_at {
            known.look_at.map(|at| self.looks.remove(&(at, id)));
            known.look_at = look_at;
            self.looks.extend(look_at.map(|at| (at, id)));
        }
    }
}

/// The rules whose standing conditions hold for these facts.
fn standing(book: &Book, facts: &Facts, wall: Wall) -> Set {
    book.set_of(|rule| rule.when.all_hold(&Key::STANDING, facts, wall))
}

/// Are downloads to rest on a device that was like that, and has so much free now?
fn is_short(book: &Book, before: Room, free: Option<u64>) -> bool {
    let Some((keep, free)) = book.keep_free.zip(free) else { return false };
    free < keep || (before.is_short && free < keep.saturating_add(slack(keep)))
}

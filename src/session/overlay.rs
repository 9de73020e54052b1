//! What rules make of what is wanted of a torrent, and when they are told the time. What users set
//! is never touched by that: it holds again when a rule does not match any more. Not here: what
//! follows for a torrent that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::base::ids::TorrentId;
use crate::base::units::size;
use crate::base::url::host_of;
use crate::disk::Disk;
use crate::ledger::{Goals, Limits, SessionSpec, Spec};
use crate::os::zone::offset_at;
use crate::roster::rules::{
    Book, Caps, Facts, Input, Overlay, Queue, Rest, Rules, Switch, Verdict, Wall, slack,
};
use crate::roster::{Flags, Phase, Row};
use crate::torrent::command::Command;

use super::space::{Answer, Space};

/// How often it is looked how much is free, and whether the clock was set: it is no timer that
/// could be waited for, and stands while the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Sets of hosts that are kept without a look at who has them.
const HOSTS_MIN: usize = 256;

/// What rules say of a torrent.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ruled {
    /// What decides.
    pub facts: Facts,
    /// What becomes of each rule, in their order.
    pub verdicts: Vec<Verdict>,
    /// What holds by them.
    pub overlay: Overlay,
    /// Why it rests by them, in words for people.
    pub rest: Option<String>,
}

/// The rules of a session, and what of them torrents have been told.
#[derive(Debug)]
pub(super) struct Ruling {
    pub rules: Rules,
    pub space: Space,
    /// What holds of torrents of which anything does.
    laid: BTreeMap<TorrentId, Overlay>,
    /// Of whom it is another one now.
    pub due: BTreeSet<TorrentId>,
    /// Those of them that had no room for an order, and are told with the next look.
    pub late: BTreeSet<TorrentId>,
    /// What schedules say of the alternative limits, until they are switched by hand.
    pub switch: Switch,
    /// Hosts of trackers: most torrents have those of others.
    hosts: BTreeSet<Arc<[Box<str>]>>,
    /// With so many it is looked which nobody has any more.
    hosts_max: usize,
    look_at: Instant,
}

/// The hosts of these trackers, each once, in order.
pub(super) fn hosts_of<'a>(urls: impl Iterator<Item = &'a String>) -> Arc<[Box<str>]> {
    let hosts: BTreeSet<String> = urls.map(|url| host_of(url).to_ascii_lowercase()).collect();
    hosts.into_iter().map(String::into_boxed_str).collect()
}

/// What happened.
pub(super) enum Happened {
    /// It is known how much is free somewhere.
    Space(Answer),
    /// Some time has passed.
    Time,
}

impl Ruling {
    /// With these rules.
    pub fn new(book: Arc<Book>) -> Self {
        let mut rules = Rules::default();
        rules.handle(Input::Book(book), now());
        Self {
            rules,
            space: Space::default(),
            laid: BTreeMap::new(),
            due: BTreeSet::new(),
            late: BTreeSet::new(),
            switch: Switch::ByHand,
            hosts: BTreeSet::new(),
            hosts_max: HOSTS_MIN,
            look_at: Instant::now(),
        }
    }

    /// Waits for what happens by itself. Dropped, it loses nothing.
    pub async fn next(&mut self) -> Happened {
        let wall_at = self.rules.next_timeout();
        let book = self.rules.book();
        let is_timed = book.needs_time()
            || book.needs_space()
            || !(self.due.is_empty() && self.late.is_empty());
        let wall = wall_at.map(|at| {
            let wait = Duration::from_secs(at.saturating_sub(now().unix_s));
            Instant::now() + wait.min(LOOK_EVERY)
        });
        let look_at = match self.space.has_new() || !self.due.is_empty() {
            true => Instant::now(),
            false => wall.map_or(self.look_at, |wall| wall.min(self.look_at)),
        };
        tokio::select! {
            Some(answer) = self.space.next() => Happened::Space(answer),
            () = sleep_until(look_at), if is_timed => Happened::Time,
            // Then nothing does.
            () = std::future::pending() => Happened::Time,
        }
    }

    /// Takes in the time, and asks devices when that is due.
    pub fn on_time(&mut self, disk: &Arc<Disk>) {
        self.rules.handle(Input::Tick, now());
        if self.look_at <= Instant::now() {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.due.append(&mut self.late);
            if self.rules.book().needs_space() {
                self.space.ask(disk);
            }
        }
        self.space.ask_new(disk);
    }

    /// Other rules hold from now on.
    pub fn set_book(&mut self, book: Arc<Book>) {
        if !book.needs_space() {
            self.space.clear();
        }
        self.rules.handle(Input::Book(book), now());
        self.look_at = Instant::now();
    }

    /// What holds of a torrent by what it was told.
    pub fn of(&self, id: TorrentId) -> Option<&Overlay> {
        self.laid.get(&id)
    }

    /// It was told that.
    pub fn lay(&mut self, id: TorrentId, overlay: Overlay) {
        match overlay == Overlay::default() {
            true => drop(self.laid.remove(&id)),
            false => drop(self.laid.insert(id, overlay)),
        }
    }

    /// A torrent is gone.
    pub fn forget(&mut self, id: TorrentId) {
        self.rules.handle(Input::Removed(id), now());
        self.space.forget(id);
        self.laid.remove(&id);
        self.due.remove(&id);
        self.late.remove(&id);
    }

    /// The hosts of these trackers, each once.
    pub fn hosts<'a>(&mut self, urls: impl Iterator<Item = &'a String>) -> Arc<[Box<str>]> {
        let hosts = hosts_of(urls);
        match self.hosts.get(&hosts) {
            Some(known) => known.clone(),
            None => {
                // Looked through when there are twice as many, so that it costs each the same.
                if self.hosts.len() >= self.hosts_max {
                    self.hosts.retain(|hosts| Arc::strong_count(hosts) > 1);
                    self.hosts_max = (2 * self.hosts.len()).max(HOSTS_MIN);
                }
                self.hosts.insert(hosts.clone());
                hosts
            }
        }
    }

    /// The limits of all torrents that hold now, of which this is wanted.
    pub fn limits(&self, wanted: &SessionSpec) -> Limits {
        let usual = wanted.limits;
        let of = |Caps { down, up }| Limits {
            down: down.unwrap_or(usual.down),
            up: up.unwrap_or(usual.up),
        };
        // Who switches them by hand where only schedules name some means those.
        let named = || self.rules.book().schedules.iter().find_map(|it| it.limits).map(of);
        let alternative = match wanted.alternative {
            none if none == Limits::default() => named().unwrap_or(none),
            own => own,
        };
        match self.switch {
            Switch::ByHand if wanted.uses_alternative => alternative,
            Switch::ByHand | Switch::Off => usual,
            Switch::On(None) => alternative,
            Switch::On(Some(caps)) => of(caps),
        }
    }

    /// Do the alternative ones?
    pub fn is_alternative(&self, wanted: &SessionSpec) -> bool {
        match self.switch {
            Switch::ByHand => wanted.uses_alternative,
            Switch::Off => false,
            Switch::On(_) => true,
        }
    }

    /// Why a torrent of which this is wanted is held back for want of room, if it is.
    pub fn want_of_room(&self, spec: &Spec) -> Option<String> {
        let is_held = self.of(spec.id)?.rest == Some(Rest::NoRoom) && !spec.paused;
        self.rest_of(spec).filter(|_| is_held)
    }

    /// Why a torrent of which this is wanted rests by what it was told.
    pub fn rest_of(&self, spec: &Spec) -> Option<String> {
        let book = self.rules.book();
        Some(match self.of(spec.id)?.rest? {
            Rest::Rule(at) => {
                let name = book.rules.get(at).map(|rule| rule.name.as_str()).unwrap_or_default();
                format!("rule {} ({name}) stops it", at + 1)
            }
            Rest::NoRoom => {
                let free = self.rules.facts(spec.id).and_then(|facts| facts.free).unwrap_or(0);
                let keep = book.keep_free.unwrap_or(0);
                let (dir, has) = (spec.dir.display(), size(free));
                let goes_on = size(keep.saturating_add(slack(keep)));
                format!(
                    "{dir} has {has} free, {} are to stay: it goes on with {goes_on}; remove \
                     something or lower keep-free",
                    size(keep)
                )
            }
        })
    }
}

/// The time now, and what clocks show here.
pub(super) fn now() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Wall { unix_s: since.map_or(0, |since| since.as_secs()), offset: offset_at }
}

/// The orders that bring a torrent of which this is wanted from one overlay to another.
pub(super) fn orders(spec: &Spec, before: &Overlay, now: &Overlay) -> Vec<Command> {
    let mut orders = Vec::new();
    let down = |overlay: &Overlay| overlay.download_limit.unwrap_or(spec.download_limit);
    if down(before) != down(now) {
        orders.push(Command::LimitDown(down(now)));
    }
    let up = |overlay: &Overlay| overlay.upload_limit.unwrap_or(spec.upload_limit);
    if up(before) != up(now) {
        orders.push(Command::LimitUp(up(now)));
    }
    match (before.rest.is_some(), now.rest.is_some()) {
        (false, true) => orders.push(Command::Pause),
        (true, false) if !spec.paused => orders.push(Command::Unpause),
        _ => {}
    }
    orders
}

/// An order of a user, as a torrent is to hear it while this holds: what was set is only noted.
pub(super) fn ruled(overlay: Option<&Overlay>, order: Command) -> Command {
    let Some(overlay) = overlay else { return order };
    match order {
        Command::LimitDown(limit) => Command::LimitDown(overlay.download_limit.unwrap_or(limit)),
        Command::LimitUp(limit) => Command::LimitUp(overlay.upload_limit.unwrap_or(limit)),
        Command::Resume | Command::Unpause if overlay.rest.is_some() => Command::Pause,
        other => other,
    }
}

/// When a torrent has seeded enough of which that is wanted.
pub(super) fn goals(overlay: Option<&Overlay>, wanted: Goals) -> Goals {
    let Some(overlay) = overlay else { return wanted };
    Goals { ratio: overlay.seed_ratio.or(wanted.ratio), time: overlay.seed_time.or(wanted.time) }
}

/// The row of a torrent that is held back for want of room, which it shows as a disk in trouble.
pub(super) fn held(row: Row, overlay: Option<&Overlay>, spec: &Spec) -> Row {
    let is_held = overlay.is_some_and(|overlay| overlay.rest == Some(Rest::NoRoom));
    match row.phase {
        Phase::Paused if is_held && !spec.paused => {
            Row { phase: Phase::DiskTrouble, flags: row.flags | Flags::IN_TROUBLE, ..row }
        }
        _ => row,
    }
}

/// The row by which it is judged whose turn it is. One that was told to go on, and is paused until
/// it has read that, holds its place meanwhile: others that wait would take it.
pub(super) fn claiming(row: Row, spec: &Spec, overlay: Option<&Overlay>) -> Row {
    let rests = overlay.is_some_and(|overlay| overlay.rest.is_some());
    let phase = match row.phase {
        Phase::Paused if !spec.paused && !rests => Phase::Checking,
        phase => phase,
    };
    // Places have 63 bits, and those beside them lose the last one: equals go by their numbers.
    const BEFORE: u64 = 1 << 62;
    let queue_place = match overlay.and_then(|overlay| overlay.queue) {
        Some(Queue::First) => row.queue_place / 2,
        None => row.queue_place.saturating_add(BEFORE),
        Some(Queue::Last) => (row.queue_place / 2).saturating_add(3 * BEFORE),
    };
    Row { phase, queue_place, ..row }
}

/// What of a torrent changes by itself, as far as its row tells.
pub(super) fn needs_room(row: &Row) -> bool {
    let may_write = match row.phase {
        Phase::Queued | Phase::Downloading | Phase::Paused | Phase::DiskTrouble => true,
        Phase::Checking
        | Phase::Moving
        | Phase::Seeking
        | Phase::Complete
        | Phase::Finished
        | Phase::Stopping
        | Phase::Failed => false,
    };
    may_write && row.done_bytes < row.wanted_bytes && !row.flags.has(Flags::SEED_ONLY)
}

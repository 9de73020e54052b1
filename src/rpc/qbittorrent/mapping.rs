//! One torrent of ours as this dialect has it: its states, folders, limits, dates and labels, each
//! in one place. Pure. A category is the first label that names a category of the book; tags are
//! the other labels. What has no counterpart has the value that the original has where it was never
//! set.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::api::{State, Torrent};

use super::book::Book;

/// That there is no end in sight, or none any more (as the original has it: 100 days).
pub(super) const NEVER_S: i64 = 8_640_000;
/// A month, in which popularity is measured.
const MONTH_S: f64 = 30.0 * 86_400.0;

/// The keys of a torrent, as 5.1 has them. `sync/maindata` leaves out the first.
pub(super) const KEYS: [&str; 57] = [
    "hash",
    "infohash_v1",
    "infohash_v2",
    "name",
    "magnet_uri",
    "size",
    "total_size",
    "progress",
    "completed",
    "amount_left",
    "downloaded",
    "uploaded",
    "downloaded_session",
    "uploaded_session",
    "dlspeed",
    "upspeed",
    "dl_limit",
    "up_limit",
    "eta",
    "ratio",
    "ratio_limit",
    "seeding_time_limit",
    "inactive_seeding_time_limit",
    "max_ratio",
    "max_seeding_time",
    "max_inactive_seeding_time",
    "state",
    "category",
    "tags",
    "save_path",
    "download_path",
    "content_path",
    "root_path",
    "added_on",
    "completion_on",
    "seen_complete",
    "last_activity",
    "time_active",
    "seeding_time",
    "reannounce",
    "tracker",
    "trackers_count",
    "num_seeds",
    "num_leechs",
    "num_complete",
    "num_incomplete",
    "availability",
    "priority",
    "auto_tmm",
    "f_l_piece_prio",
    "force_start",
    "seq_dl",
    "super_seeding",
    "has_metadata",
    "private",
    "comment",
    "popularity",
];

/// The bits of those keys that change with time alone. They are told with any other.
pub(super) const PASSING: u64 = 0b11 << 37;

/// A value of a key.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell<'a> {
    /// Nothing is known.
    Null,
    /// So or not so.
    Flag(bool),
    /// A whole number, never written with a point.
    Int(i64),
    /// Any number; a whole one is written without a point.
    Num(f64),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    fn bytes(bytes: u64) -> Self {
        Self::Int(whole(bytes))
    }

    /// The same, whatever becomes of the torrent.
    pub fn owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Flag(flag) => Cell::Flag(flag),
            Self::Int(number) => Cell::Int(number),
            Self::Num(number) => Cell::Num(number),
            Self::Text(text) => Cell::Text(text.into_owned().into()),
        }
    }

    /// Which of two comes first in a sorted list.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => self.rank().total_cmp(&other.rank()),
        }
    }

    fn rank(&self) -> f64 {
        match self {
            Self::Null | Self::Text(_) => -1.0,
            Self::Flag(flag) => f64::from(u8::from(*flag)),
            Self::Int(number) => *number as f64,
            Self::Num(number) => *number,
        }
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Flag(flag) => to.serialize_bool(*flag),
            Self::Int(number) => to.serialize_i64(*number),
            Self::Num(number) => number_value(*number).serialize(to),
            Self::Text(text) => to.serialize_str(text),
        }
    }
}

/// A number as the original writes it: a whole one without a point.
pub(super) fn number_value(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => json!(number as i64),
        false => json!(number),
    }
}

/// A count, as numbers with a sign have it.
pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What of a torrent no list tells, read once.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Extras {
    /// It is one file without a folder around.
    pub is_single: bool,
    /// The path of its first file below its directory.
    pub first_file: String,
    /// Its trackers, by tier.
    pub trackers: Vec<Arc<str>>,
    /// A magnet link for it.
    pub magnet: String,
    /// What its maker says.
    pub comment: String,
}

/// A torrent, and what is known of it beside lists.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Seen {
    /// How this dialect names it.
    pub hash: Arc<str>,
    /// As lists show it.
    pub torrent: Torrent,
    /// None before they were read.
    pub extras: Option<Arc<Extras>>,
    /// Its place among those that have something to download, from 1; 0 of others.
    pub queue: u32,
    /// What it had received and sent when it was first seen in this run.
    pub begun: (u64, u64),
    /// When lists showed it so.
    pub taken_at: Instant,
}

impl Seen {
    /// Is its metadata sought?
    pub fn is_link(&self) -> bool {
        !self.torrent.metadata
    }

    /// Is everything wanted here? Nobody knows before it was looked at.
    pub fn is_complete(&self) -> bool {
        let it = &self.torrent;
        let is_done = it.done_bytes >= it.wanted_bytes && it.state != State::Downloading;
        is_done && !self.is_link() && !self.is_new()
    }

    /// It came just now: of what is wanted nothing is known yet.
    fn is_new(&self) -> bool {
        self.torrent.state == State::Checking && self.torrent.wanted_bytes == 0
    }

    /// Does anything move?
    pub fn is_active(&self) -> bool {
        self.torrent.down_rate > 0 || self.torrent.up_rate > 0
    }

    /// Its state, in this dialect's words.
    pub fn state(&self) -> &'static str {
        let (it, done) = (&self.torrent, self.is_complete());
        let by = |up, down| if done { up } else { down };
        match it.state {
            State::Failed if self.is_link() => "error",
            _ if self.is_link() && it.paused => "stoppedDL",
            State::Seeking => "metaDL",
            // It waits to be sought.
            _ if self.is_link() => "metaDL",
            State::Checking => by("checkingUP", "checkingDL"),
            State::Moving => "moving",
            State::Queued => by("queuedUP", "queuedDL"),
            State::Downloading if it.down_rate > 0 => "downloading",
            State::Downloading => "stalledDL",
            State::Seeding if it.up_rate > 0 => "uploading",
            State::Seeding => "stalledUP",
            State::Finished => "stoppedUP",
            State::Paused | State::Stopping => by("stoppedUP", "stoppedDL"),
            // What was here once and cannot be read any more.
            State::Failed if it.completed_at.is_some() => "missingFiles",
            State::DiskTrouble | State::Failed => "error",
        }
    }

    /// Where what it is called by is: the file, or the folder of several.
    pub fn content_path(&self) -> String {
        let it = &self.torrent;
        let first = self.extras.as_ref().map(|it| it.first_file.as_str());
        match (it.files, first) {
            _ if self.is_link() => String::new(),
            (1, Some(first)) => joined(&it.dir, first),
            (_, Some(first)) if !self.is_single() => joined(&it.dir, top(first)),
            _ => joined(&it.dir, it.own_name.as_deref().unwrap_or(&it.name)),
        }
    }

    /// The folder that it brings; empty when it brings none.
    pub fn root_path(&self) -> String {
        match &self.extras {
            Some(extras) if !extras.is_single && !self.is_link() => {
                joined(&self.torrent.dir, top(&extras.first_file))
            }
            _ => String::new(),
        }
    }

    fn is_single(&self) -> bool {
        self.extras.as_ref().is_some_and(|it| it.is_single)
    }

    /// Its tags: all labels but its category.
    pub fn tags<'a>(&'a self, book: &'a Book) -> impl Iterator<Item = &'a str> {
        let category = book.category(&self.torrent.labels);
        let labels = self.torrent.labels.iter().map(String::as_str);
        labels.filter(move |label| Some(*label) != category)
    }

    /// Its tags in one text.
    pub fn tag_text(&self, book: &Book) -> String {
        let mut tags: Vec<&str> = self.tags(book).collect();
        tags.sort_unstable();
        tags.join(", ")
    }

    /// Seconds until everything is here.
    pub fn eta(&self) -> i64 {
        self.torrent.left_s.map_or(NEVER_S, |left| whole(left).min(NEVER_S))
    }

    fn magnet(&self) -> String {
        if let Some(extras) = self.extras.as_ref().filter(|it| !it.magnet.is_empty()) {
            return extras.magnet.clone();
        }
        let mut text = format!("magnet:?xt=urn:btih:{}", self.hash);
        // Writing to a string cannot fail.
        let _ = write!(text, "&dn={}", urlencoding::encode(&self.torrent.name));
        text
    }

    /// All of [`KEYS`].
    pub fn cells<'a>(&'a self, book: &'a Book) -> Vec<Cell<'a>> {
        let mut cells = Vec::with_capacity(KEYS.len());
        self.amounts(&mut cells);
        self.limits_and_labels(book, &mut cells);
        self.times_and_crowd(&mut cells);
        debug_assert_eq!(cells.len(), KEYS.len(), "a cell a key");
        cells
    }

    /// From `hash` to `ratio`.
    fn amounts<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        let it = &self.torrent;
        let limit = |limit: Option<u64>| Cell::Int(limit.map_or(0, whole));
        let hash_of = |hash: &'a Option<String>| Cell::text(hash.as_deref().unwrap_or_default());
        let left = it.wanted_bytes.saturating_sub(it.done_bytes);
        cells.extend([
            Cell::text(&*self.hash),
            hash_of(&it.hash),
            hash_of(&it.hash_v2),
            Cell::text(it.name.as_str()),
            Cell::text(self.magnet()),
            Cell::bytes(it.wanted_bytes),
            if self.is_link() { Cell::Int(-1) } else { Cell::bytes(it.size) },
            Cell::Num(self.progress()),
            Cell::bytes(it.done_bytes),
            Cell::bytes(left),
            Cell::bytes(it.received_bytes),
            Cell::bytes(it.sent_bytes),
            Cell::bytes(it.received_bytes.saturating_sub(self.begun.0)),
            Cell::bytes(it.sent_bytes.saturating_sub(self.begun.1)),
            Cell::bytes(it.down_rate),
            Cell::bytes(it.up_rate),
            limit(it.limits.down),
            limit(it.limits.up),
            Cell::Int(self.eta()),
            Cell::Num(rounded(it.ratio)),
        ]);
    }

    /// From `ratio_limit` to `root_path`.
    fn limits_and_labels<'a>(&'a self, book: &'a Book, cells: &mut Vec<Cell<'a>>) {
        let it = &self.torrent;
        let (ratio, minutes) = (self.ratio_limit(), self.time_limit());
        cells.extend([
            Cell::Num(ratio.unwrap_or(-2.0)),
            Cell::Int(minutes.unwrap_or(-2)),
            Cell::Int(-2),
            Cell::Num(ratio.unwrap_or(-1.0)),
            Cell::Int(minutes.unwrap_or(-1)),
            Cell::Int(-1),
            Cell::text(self.state()),
            Cell::text(book.category(&it.labels).unwrap_or_default()),
            Cell::text(self.tag_text(book)),
            Cell::text(it.dir.as_str()),
            Cell::text(""),
            Cell::text(self.content_path()),
            Cell::text(self.root_path()),
        ]);
    }

    /// From `added_on` to `popularity`.
    fn times_and_crowd<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        let (it, extras) = (&self.torrent, self.extras.as_deref());
        let when = |at: Option<u64>| Cell::Int(at.map_or(-1, whole));
        let trackers = extras.map(|it| it.trackers.as_slice()).unwrap_or_default();
        let is_private = if self.is_link() { Cell::Null } else { Cell::Flag(it.private) };
        cells.extend([
            Cell::bytes(it.added_at),
            when(it.completed_at),
            when(it.completed_at),
            Cell::bytes(it.active_at.unwrap_or(it.added_at)),
            Cell::bytes(self.active_s()),
            Cell::bytes(self.seeding_s()),
            Cell::Int(0),
            Cell::text(trackers.first().map(|it| &**it).unwrap_or_default()),
            Cell::bytes(trackers.len() as u64),
            Cell::Int(it.seeds.into()),
            Cell::Int(it.peers.saturating_sub(it.seeds).into()),
            Cell::Int(0),
            Cell::Int(0),
            Cell::Num(self.availability()),
            Cell::Int(self.queue.into()),
            Cell::Flag(false),
            Cell::Flag(it.ends_first),
            Cell::Flag(false),
            Cell::Flag(it.sequential),
            Cell::Flag(false),
            Cell::Flag(!self.is_link()),
            is_private,
            Cell::text(extras.map(|it| it.comment.as_str()).unwrap_or_default()),
            Cell::Num(self.popularity()),
        ]);
    }

    /// The ratio at which it has seeded enough, if it has one of its own.
    pub fn ratio_limit(&self) -> Option<f64> {
        self.torrent.seed_ratio
    }

    /// The minutes after which it has, likewise.
    pub fn time_limit(&self) -> Option<i64> {
        self.torrent.seed_time_s.map(|time| whole(time.div_ceil(60)))
    }

    /// Of what is wanted; while it is checked, of the check.
    pub fn progress(&self) -> f64 {
        match self.torrent.checked {
            _ if self.is_link() || self.is_new() => 0.0,
            Some(checked) if self.torrent.state == State::Checking => rounded(checked),
            _ => rounded(self.torrent.progress),
        }
    }

    /// Copies of it that those have whom it is connected to, as far as that is told.
    pub fn availability(&self) -> f64 {
        let it = &self.torrent;
        match it.state {
            State::Downloading if !self.is_link() => f64::from(it.seeds) + rounded(it.progress),
            _ if self.is_complete() => -1.0,
            _ => 0.0,
        }
    }

    /// Seconds that it neither rested nor waited, until now: that they pass is no change.
    pub fn active_s(&self) -> u64 {
        let runs = matches!(
            self.torrent.state,
            State::Checking | State::Moving | State::Downloading | State::Seeding
        );
        self.torrent.active_s + if runs { self.taken_at.elapsed().as_secs() } else { 0 }
    }

    /// Seconds of them with everything that is wanted, likewise.
    pub fn seeding_s(&self) -> u64 {
        let seeds = self.torrent.state == State::Seeding;
        self.torrent.seeding_s + if seeds { self.taken_at.elapsed().as_secs() } else { 0 }
    }

    /// Its ratio a month.
    pub fn popularity(&self) -> f64 {
        match self.active_s() {
            0 => 0.0,
            active => rounded(self.torrent.ratio / (active as f64 / MONTH_S)),
        }
    }
}

/// A torrent as it is written: those keys whose bit is set; the first one is bit 0.
pub(super) struct Object<'a> {
    pub seen: &'a Seen,
    pub book: &'a Book,
    pub which: u64,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let cells = self.seen.cells(self.book);
        let pairs = KEYS.iter().zip(&cells).enumerate();
        to.collect_map(pairs.filter(|(at, _)| self.which & 1 << at != 0).map(|(_, pair)| pair))
    }
}

/// The bits of those cells that differ.
pub(super) fn difference(one: &[Cell<'_>], other: &[Cell<'_>]) -> u64 {
    let differ = one.iter().zip(other).enumerate().filter(|(_, (one, other))| one != other);
    differ.fold(0, |bits, (at, _)| bits | 1 << at)
}

/// A ratio with as many digits as anybody reads.
pub(super) fn rounded(number: f64) -> f64 {
    let rounded = (number * 10_000.0).round() / 10_000.0;
    if rounded.is_finite() { rounded } else { -1.0 }
}

/// How this dialect names a torrent of these hashes: by its v1 hash, which every program can tell
/// from the file, or else by the first 40 digits of the other one.
pub(super) fn name_of(v1: Option<&str>, v2: Option<&str>) -> Arc<str> {
    let v2 = v2.map(|hash| hash.get(..40).unwrap_or(hash));
    v1.or(v2).unwrap_or_default().into()
}

/// A path below a directory.
fn joined(dir: &str, path: &str) -> String {
    format!("{}/{path}", dir.trim_end_matches('/'))
}

/// The first part of a path.
fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seen(change: impl FnOnce(&mut Torrent)) -> Seen {
        let hash = Some("ab".repeat(20));
        let mut torrent = Torrent {
            id: 1,
            hash,
            metadata: true,
            dir: "/d/".into(),
            name: "x".into(),
            files: 1,
            wanted_bytes: 100,
            size: 100,
            ..Torrent::default()
        };
        change(&mut torrent);
        let taken_at = Instant::now();
        Seen { hash: "".into(), torrent, extras: None, queue: 0, begun: (0, 0), taken_at }
    }

    #[test]
    fn time_passes_while_it_runs() {
        assert_eq!(KEYS[37..39], ["time_active", "seeding_time"]);
        let ago = |state| {
            let mut it = seen(|it| (it.state, it.active_s, it.seeding_s) = (state, 100, 10));
            it.taken_at = it.taken_at.checked_sub(Duration::from_secs(30)).unwrap();
            let book = Book::default();
            let cells = it.cells(&book);
            let keys = (37..39).map(|at| cells[at].clone().owned());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(ago(State::Seeding), [Cell::Int(130), Cell::Int(40)]);
        assert_eq!(ago(State::Downloading), [Cell::Int(130), Cell::Int(10)]);
        assert_eq!(ago(State::Paused), [Cell::Int(100), Cell::Int(10)]);
    }

    #[test]
    fn each_state_has_its_word() {
        for (state, done, rate, word) in [
            (State::Checking, 0, 0, "checkingDL"),
            (State::Checking, 100, 0, "checkingUP"),
            (State::Moving, 100, 0, "moving"),
            (State::Queued, 0, 0, "queuedDL"),
            (State::Queued, 100, 0, "queuedUP"),
            (State::Downloading, 0, 0, "stalledDL"),
            (State::Downloading, 0, 1, "downloading"),
            (State::Seeding, 100, 0, "stalledUP"),
            (State::Seeding, 100, 1, "uploading"),
            (State::Finished, 100, 0, "stoppedUP"),
            (State::Paused, 0, 0, "stoppedDL"),
            (State::Paused, 100, 0, "stoppedUP"),
            (State::Stopping, 0, 0, "stoppedDL"),
            (State::DiskTrouble, 0, 0, "error"),
            (State::Failed, 0, 0, "error"),
        ] {
            let it = seen(|it| {
                (it.state, it.done_bytes, it.down_rate, it.up_rate) = (state, done, rate, rate);
            });
            assert_eq!(it.state(), word, "{state:?} {done}");
        }
        let gone = seen(|it| (it.state, it.completed_at) = (State::Failed, Some(1)));
        assert_eq!(gone.state(), "missingFiles");
        let link = |paused| seen(|it| (it.metadata, it.paused) = (false, paused)).state();
        assert_eq!((link(false), link(true)), ("metaDL", "stoppedDL"));
        let new = seen(|it| it.wanted_bytes = 0);
        assert!(!new.is_complete() && new.progress() <= 0.0, "nothing of it was looked at");
    }

    #[test]
    fn a_category_is_the_first_label_that_is_one() {
        let mut book = Book::default();
        book.categories.insert("tv".into(), String::new());
        book.categories.insert("films".into(), String::new());
        let it = seen(|it| it.labels = ["z", "films", "tv", "a"].map(String::from).to_vec());
        assert_eq!(book.category(&it.torrent.labels), Some("films"));
        assert_eq!(it.tag_text(&book), "a, tv, z");
        assert_eq!(book.category(&["z".to_owned()]), None);
    }

    #[test]
    fn what_it_is_called_by_is_a_file_or_the_folder_of_several() {
        let with = |files: u32, is_single, first: &str| {
            let extras = Extras { is_single, first_file: first.into(), ..Extras::default() };
            let seen = Seen { extras: Some(Arc::new(extras)), ..seen(|it| it.files = files) };
            (seen.content_path(), seen.root_path())
        };
        let paths = |content: &str, root: &str| (content.to_owned(), root.to_owned());
        assert_eq!(with(1, true, "y.bin"), paths("/d/y.bin", ""));
        assert_eq!(with(1, false, "y/only"), paths("/d/y/only", "/d/y"));
        assert_eq!(with(2, false, "y/sub/one"), paths("/d/y", "/d/y"));
        // Before its metadata is read, its name is as good a guess as any.
        assert_eq!((seen(|_| ()).content_path(), seen(|_| ()).root_path()), paths("/d/x", ""));
    }

    #[test]
    fn numbers_are_written_as_programs_with_fixed_types_read_them() {
        let text = |number| serde_json::to_string(&Cell::Num(number)).unwrap();
        assert_eq!(
            [0.0, 1.0, -2.0, 0.5, 1.0 / 3.0].map(|it| text(rounded(it))),
            ["0", "1", "-2", "0.5", "0.3333"]
        );
        assert_eq!(text(rounded(f64::INFINITY)), "-1");
        assert_eq!(serde_json::to_string(&Cell::bytes(u64::MAX)).unwrap(), i64::MAX.to_string());
    }
}

//! What is known of the servers that files may be fetched from: which pieces each can
//! bring at present, and why not the others; how long it rests, and what it is to blame for. It
//! asks nobody for anything and knows no links: those are in `transfer/leases`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, SourceId};
use crate::base::layout::{Layout, PieceIndex};

use super::event::{Holds, WebSource};
use super::link::Trouble;
use super::report::{FileSnapshot, SourceState};

/// Sources that are remembered of one torrent: lists of mirrors name some hundred.
const SOURCES_MAX: usize = 512;
/// Wrong pieces inside one file until that file is not asked of the source any more: one bad
/// sector is not to cost a mirror.
const WRONG_IN_FILE_MAX: u32 = 2;
/// What a source may waste: a hundredth of the torrent, and at least so many pieces.
const WASTE_SHARE: u64 = 100;
const WASTE_PIECES: u64 = 8;
/// How often a link may break at a piece until that piece is not asked of the source for a while,
/// twice as long each time: what is behind it is not to wait.
const STUCK_MAX: u32 = 2;
const STUCK_REST: Duration = Duration::from_secs(60);
/// Pieces of a source that are remembered as such; beyond that the one is forgotten that may be
/// asked for first.
const STUCK_KEPT: usize = 64;
/// Rests of a source whose links end without a piece: twice as long each time.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// A source that is much slower than others is left alone for so long.
const SLOW_REST: Duration = Duration::from_secs(300);
/// So many files that are refused within this time mean the whole source, for as long as one of
/// them: it is a limit of rates, or a wall against robots.
const REFUSALS_MAX: usize = 3;
const REFUSALS_WITHIN: Duration = Duration::from_secs(60);
/// So many files in a row that cannot be had, without a byte in between, have the source rest,
/// twice as long each time: each was a request, and torrents have hundreds of thousands.
const VAIN_MAX: u32 = 16;
const VAIN_REST: Duration = Duration::from_secs(10);
/// Characters that are kept of what a source says of its trouble.
const WHY_LEN: usize = 200;
/// A piece of more parts than this costs a server as many requests: peers bring it, if any can.
const PARTS_MAX: usize = 8;

/// The geometry in which sources are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub layout: &'a Layout,
    pub extents: &'a Extents,
}

impl Ground<'_> {
    /// The files that have bytes of a piece, padding left out.
    fn files_of(self, piece: PieceIndex) -> impl Iterator<Item = FileIndex> {
        let (begin, len) = (self.layout.piece_offset(piece), self.layout.len_of(piece));
        let slices = self.extents.slices(begin, u64::from(len));
        slices.filter(|slice| !slice.is_pad).map(|slice| slice.file)
    }

    /// The files that servers may be asked for: those with bytes that are no padding.
    fn files(self) -> impl Iterator<Item = FileIndex> {
        let slices = self.extents.slices(0, self.extents.total_len());
        slices.filter(|slice| !slice.is_pad).map(|slice| slice.file)
    }

    /// The pieces that hold bytes of a file; of one without bytes none.
    pub(super) fn pieces_of(self, file: FileIndex) -> Range<u32> {
        let bytes = self.extents.file_range(file);
        let number = |at| self.layout.piece_at(at).map_or(0, PieceIndex::number);
        match bytes.is_empty() {
            true => 0..0,
            false => number(bytes.start)..number(bytes.end - 1) + 1,
        }
    }
}

/// Why something is not asked for at present.
#[derive(Clone, Debug)]
struct Off {
    /// For good when none.
    until: Option<Instant>,
    why: Arc<str>,
}

impl Off {
    fn new(trouble: Trouble, now: Instant) -> Self {
        let why: String = trouble.why.chars().take(WHY_LEN).collect();
        let why = why.into();
        Self { until: trouble.rest.map(|rest| now + rest.max(REST_FIRST)), why }
    }

    fn for_good(why: &str) -> Self {
        Self { until: None, why: why.into() }
    }

    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn is_for_good(&self) -> bool {
        self.until.is_none()
    }

    /// Takes the place of what was known before, unless that lasts longer.
    fn replace(self, known: &mut Option<Self>) {
        let is_longer = |known: &Self| match (known.until, self.until) {
            (None, _) => true,
            (Some(known), Some(until)) => known > until,
            (Some(_), None) => false,
        };
        if !known.as_ref().is_some_and(is_longer) {
            *known = Some(self);
        }
    }
}

/// What is known of one file of a source.
#[derive(Clone, Debug, Default)]
struct File {
    /// Wrong pieces inside it.
    wrong: u32,
    off: Option<Off>,
    /// It is sent from its first byte on only.
    whole_only: bool,
    /// How often it broke off and would have to be sent anew.
    restarts: u32,
}

/// How often links broke at a piece, and until when it is not asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Stuck {
    times: u32,
    until: Option<Instant>,
}

/// One source.
#[derive(Debug)]
struct Source {
    told: WebSource,
    off: Option<Off>,
    /// No connection is to be had; told by whoever makes them.
    waits: Option<(Option<Instant>, String)>,
    /// It is far slower than others until then.
    slow_until: Option<Instant>,
    files: BTreeMap<FileIndex, File>,
    /// Files that were refused a while ago, and when.
    refused: BTreeMap<FileIndex, Instant>,
    /// Pieces at which links broke, or that were wrong.
    stuck: BTreeMap<PieceIndex, Stuck>,
    wasted_bytes: u64,
    downloaded_bytes: u64,
    /// Links in a row that brought no whole piece.
    failures: u32,
    /// Files in a row that could not be had, and how often they were too many.
    vain_files: u32,
    vain_rests: u32,
    ranges: Ranges,
    /// What others leave to it, if it is for seams.
    left: Left,
}

/// The pieces that a source for seams can bring and no other one, as of when that was reckoned.
#[derive(Debug, Default)]
struct Left {
    list: Vec<Range<u32>>,
    /// The other sources that were to be asked then, and what could be had of them.
    of: Option<(u64, Vec<SourceId>)>,
}

/// The pieces that a source can bring, as of when that was reckoned.
#[derive(Debug, Default)]
struct Ranges {
    list: Vec<Range<u32>>,
    /// It is to be reckoned anew then, or at once.
    until: Option<Instant>,
    is_known: bool,
}

/// All sources of one torrent.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: BTreeMap<SourceId, Source>,
    /// Pieces of very many parts, in order.
    crumbs: Vec<u32>,
    /// Grows whenever other pieces may be had than before.
    version: u64,
}

/// What is told of each, and which may be asked.
impl Sources {
    /// There are these, too. Those that are known stay what they are.
    pub(super) fn tell(&mut self, told: Vec<WebSource>, ground: Ground<'_>) {
        if self.known.is_empty() {
            self.crumbs = pieces_of_parts(ground, PARTS_MAX + 1);
        }
        for told in told {
            if self.known.len() < SOURCES_MAX {
                self.known.entry(told.source).or_insert_with(|| Source::new(told));
            }
        }
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Those that may be asked at present, the best first: by what the lists say, those that are
    /// far slower than others behind them, and those for seams at last.
    pub(super) fn fit(&self, now: Instant) -> Vec<SourceId> {
        let fit = self.known.values().filter(|source| source.is_fit(now));
        let mut fit: Vec<_> = fit
            .map(|it| (it.is_of_seams(), it.is_slow(now), it.told.priority, it.told.source))
            .collect();
        fit.sort_unstable();
        fit.into_iter().map(|(.., source)| source).collect()
    }

    /// May it be asked at present?
    pub(super) fn is_fit(&self, source: SourceId, now: Instant) -> bool {
        self.known.get(&source).is_some_and(|source| source.is_fit(now))
    }

    /// May two of them bring the same, so that what one brings is no work for the other?
    pub(super) fn share(&self, one: SourceId, other: SourceId) -> bool {
        let holds = |source| self.known.get(&source).map(|it: &Source| &it.told.holds);
        match (holds(one), holds(other)) {
            (Some(one), Some(other)) => one.shares(other),
            _ => false,
        }
    }

    /// Links to it at a time.
    pub(super) fn links_max(&self, source: SourceId) -> usize {
        self.known.get(&source).map_or(0, |source| source.told.links_max)
    }

    /// Is it far slower than others?
    pub(super) fn is_slow(&self, source: SourceId, now: Instant) -> bool {
        self.known.get(&source).is_some_and(|source| source.is_slow(now))
    }

    /// Does it wait for a connection, since there is none to be had?
    pub(super) fn is_waiting(&self, source: SourceId) -> bool {
        self.known.get(&source).is_some_and(|source| source.waits.is_some())
    }

    /// Is it never to be asked again?
    pub(super) fn is_off(&self, source: SourceId) -> bool {
        let known = self.known.get(&source);
        known.is_none_or(|it| it.off.as_ref().is_some_and(Off::is_for_good))
    }

    /// The pieces that it can bring in runs at present, in order.
    pub(super) fn ranges(
        &mut self,
        source: SourceId,
        ground: Ground<'_>,
        now: Instant,
    ) -> &[Range<u32>] {
        self.renew(source, ground, now);
        if self.known.get(&source).is_some_and(Source::is_of_seams) {
            self.renew_left(source, ground, now);
            return self.known.get(&source).map_or(&[], |source| &source.left.list);
        }
        self.known.get(&source).map_or(&[], |source| &source.ranges.list)
    }

    /// Reckons anew what it can bring, if that has changed.
    fn renew(&mut self, source: SourceId, ground: Ground<'_>, now: Instant) {
        let Some(source) = self.known.get_mut(&source) else { return };
        let ranges = &source.ranges;
        if !ranges.is_known || ranges.until.is_some_and(|until| until <= now) {
            self.version += 1;
            source.ranges = source.reckon_ranges(ground, now);
        }
    }

    /// The same of what others leave to one for seams.
    fn renew_left(&mut self, source: SourceId, ground: Ground<'_>, now: Instant) {
        let is_other = |it: &SourceId| self.known.get(it).is_some_and(|it| !it.is_of_seams());
        let others: Vec<_> = self.fit(now).into_iter().filter(is_other).collect();
        others.iter().for_each(|other| self.renew(*other, ground, now));
        let is_known = |it: &Source| {
            it.left.of.as_ref().is_some_and(|of| of.0 == self.version && of.1 == others)
        };
        let Some(its) = self.known.get(&source).filter(|it| !is_known(it)) else { return };
        let brings = |other: &SourceId, piece| {
            self.known.get(other).is_some_and(|it| is_in(&it.ranges.list, piece))
        };
        let pieces = its.ranges.list.iter().cloned().flatten();
        let left = pieces.filter(|piece| !others.iter().any(|other| brings(other, *piece)));
        let list = rows(left);
        // No news to others unless it is other pieces.
        self.version += u64::from(list != its.left.list);
        let of = Some((self.version, others));
        if let Some(source) = self.known.get_mut(&source) {
            source.left = Left { list, of };
        }
    }

    /// Pieces of very many parts, in order: peers come first for those.
    pub(super) fn crumbs(&self) -> &[u32] {
        &self.crumbs
    }

    /// Files of which it sends nothing but all, in order, as far as it sends them at present.
    pub(super) fn whole_only(&self, source: SourceId, now: Instant) -> Vec<FileIndex> {
        let files = self.known.get(&source).into_iter().flat_map(|source| &source.files);
        let is_had = |file: &File| file.off.as_ref().is_none_or(|off| !off.holds(now));
        files.filter(|(_, it)| it.whole_only && is_had(it)).map(|(file, _)| *file).collect()
    }

    /// Grows whenever other pieces may be had of sources than before.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// May anybody be expected to bring this piece some day?
    pub(super) fn may_bring(&self, piece: PieceIndex, ground: Ground<'_>) -> bool {
        self.known.values().any(|source| source.may_bring(piece, ground))
    }

    /// Can it bring this piece at present, in whatever way?
    pub(super) fn brings_now(
        &self,
        source: SourceId,
        piece: PieceIndex,
        ground: Ground<'_>,
        now: Instant,
    ) -> bool {
        self.known.get(&source).is_some_and(|source| source.brings_now(piece, ground, now))
    }

    /// When time alone changes who may be asked for what.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let sources =
            self.known.values().filter(|it| !it.off.as_ref().is_some_and(Off::is_for_good));
        sources.flat_map(|source| source.changes()).filter(|at| *at > now).min()
    }
}

/// What goes wrong with them.
impl Sources {
    /// A file of it cannot be had, or not now.
    pub(super) fn file_failed(
        &mut self,
        source: SourceId,
        file: FileIndex,
        trouble: Trouble,
        ground: Ground<'_>,
        now: Instant,
    ) {
        let Some(source) = self.known.get_mut(&source) else { return };
        if file.0 < ground.extents.file_count() {
            source.file_off(file, Off::new(trouble, now), ground);
            source.asked_in_vain(now);
        }
    }

    /// It refuses a file. When it refuses several in short order, over whatever link, it is the
    /// source that does.
    pub(super) fn file_refused(
        &mut self,
        source: SourceId,
        file: FileIndex,
        trouble: Trouble,
        ground: Ground<'_>,
        now: Instant,
    ) {
        self.file_failed(source, file, trouble.clone(), ground, now);
        let Some(source) = self.known.get_mut(&source) else { return };
        source.refused.retain(|_, at| now < *at + REFUSALS_WITHIN);
        source.refused.insert(file, now);
        if source.refused.len() >= REFUSALS_MAX {
            source.refused.clear();
            source.rest(Off::new(trouble, now));
        }
    }

    /// A file of it is sent from its first byte on only. One that `broke_off` in the middle, though
    /// it was asked for as a whole, is not begun anew at once; parts that were asked for before
    /// that was known say nothing new.
    pub(super) fn file_is_whole(
        &mut self,
        source: SourceId,
        file: FileIndex,
        broke_off: bool,
        ground: Ground<'_>,
        now: Instant,
    ) {
        if file.0 >= ground.extents.file_count() {
            return;
        }
        // What begins within a piece comes as a whole only together with what is before it.
        let is_other = |it: &&mut Source| it.is_of_seams() && it.told.source != source;
        for seams in self.known.values_mut().filter(is_other).filter(|it| it.has(file)) {
            seams.ranges.is_known = false;
            seams.files.entry(file).or_default().whole_only = true;
        }
        let Some(source) = self.known.get_mut(&source) else { return };
        source.ranges.is_known = false;
        let known = source.files.entry(file).or_default();
        if !std::mem::replace(&mut known.whole_only, true) || !broke_off {
            return;
        }
        let rest = STUCK_REST * (1 << known.restarts.min(6));
        known.restarts = known.restarts.saturating_add(1);
        let why = "it sends the file only as a whole, and breaks off".to_owned();
        source.file_off(file, Off::new(Trouble { why, rest: Some(rest) }, now), ground);
    }

    /// Nothing can be had from it, or not now.
    pub(super) fn failed(&mut self, source: SourceId, trouble: Trouble, now: Instant) {
        if let Some(source) = self.known.get_mut(&source) {
            source.rest(Off::new(trouble, now));
        }
    }

    /// It sent a piece that is wrong, or a part of it that is.
    pub(super) fn sent_wrong(
        &mut self,
        source: SourceId,
        piece: PieceIndex,
        ground: Ground<'_>,
        now: Instant,
    ) {
        let Some(source) = self.known.get_mut(&source) else { return };
        // It may have been a bit on the way: it is asked again, ever later.
        source.stuck_at(piece, STUCK_MAX, now);
        self.version += 1;
        let files: Vec<FileIndex> = ground.files_of(piece).take(2).collect();
        let is_off = |file: &FileIndex| {
            source.files.get(file).is_some_and(|it| it.off.as_ref().is_some_and(Off::is_for_good))
        };
        if files.iter().any(is_off) {
            // On its way when that was found.
            return;
        }
        source.wasted_bytes += u64::from(ground.layout.len_of(piece));
        let most = ground.layout.total_len() / WASTE_SHARE;
        let most = most.max(WASTE_PIECES * u64::from(ground.layout.piece_len()));
        if source.wasted_bytes >= most {
            return source.rest(Off::for_good("it sent too many wrong pieces"));
        }
        // Whose fault a piece of several files is, nobody knows.
        let [file] = files[..] else { return };
        let known = source.files.entry(file).or_default();
        known.wrong += 1;
        if known.wrong >= WRONG_IN_FILE_MAX {
            source.file_off(file, Off::for_good("it sends other bytes"), ground);
        }
    }

    /// A link to it broke with this piece the next that should have come whole. Nobody knows why;
    /// it may be the piece.
    pub(super) fn broke_at(&mut self, source: SourceId, piece: PieceIndex, now: Instant) {
        let Some(source) = self.known.get_mut(&source) else { return };
        if source.stuck_at(piece, 1, now) {
            self.version += 1;
        }
    }

    /// Nobody waits for a connection to it: a link is up, or none is wished any more.
    pub(super) fn waits_no_more(&mut self, source: SourceId) {
        if let Some(source) = self.known.get_mut(&source) {
            source.waits = None;
        }
    }

    /// A link to it, or the wait for one, ended by no will of ours. Whoever brought nothing whole
    /// rests, ever longer.
    pub(super) fn link_ended(&mut self, source: SourceId, brought: bool, why: &str, now: Instant) {
        let Some(source) = self.known.get_mut(&source) else { return };
        source.waits = None;
        if brought {
            source.failures = 0;
            return;
        }
        let rest = (REST_FIRST * (1 << source.failures.min(10))).min(REST_MAX);
        source.failures = source.failures.saturating_add(1);
        let trouble = Trouble { why: why.to_owned(), rest: Some(rest) };
        source.rest(Off::new(trouble, now));
    }

    /// No connection to it is to be had at present.
    pub(super) fn waits(&mut self, source: SourceId, until: Option<Instant>, why: &str) {
        if let Some(source) = self.known.get_mut(&source) {
            source.waits = Some((until, why.chars().take(WHY_LEN).collect()));
        }
    }

    /// It is far slower than others, and they have room.
    pub(super) fn slow(&mut self, source: SourceId, now: Instant) {
        if let Some(source) = self.known.get_mut(&source) {
            source.slow_until = Some(now + SLOW_REST);
        }
    }

    /// Payload came from it.
    pub(super) fn brought(&mut self, source: SourceId, bytes: u64) {
        if let Some(source) = self.known.get_mut(&source) {
            source.downloaded_bytes += bytes;
            if bytes > 0 {
                (source.vain_files, source.vain_rests) = (0, 0);
            }
        }
    }
}

/// What people may know.
impl Sources {
    /// All of them, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = SourceId> + '_ {
        self.known.keys().copied()
    }

    /// What it is told of, and its state.
    pub(super) fn state(&self, source: SourceId, now: Instant) -> Option<SourceState> {
        let source = self.known.get(&source)?;
        let left = |until: Option<Instant>| until.map(|at| at.saturating_duration_since(now));
        if let Some(off) = source.off.as_ref().filter(|off| off.holds(now)) {
            let why = off.why.to_string();
            return Some(match off.until {
                None => SourceState::Off { why },
                until => SourceState::Waits { left: left(until), why },
            });
        }
        if let Some((until, why)) = &source.waits {
            return Some(SourceState::Waits { left: left(*until), why: why.clone() });
        }
        Some(if source.is_slow(now) { SourceState::Slow } else { SourceState::Fit })
    }

    /// Files of it that are not asked for, or only as a whole.
    pub(super) fn files(&self, source: SourceId, now: Instant) -> Vec<FileSnapshot> {
        let files = self.known.get(&source).into_iter().flat_map(|source| &source.files);
        let snapshot = |(file, known): (&FileIndex, &File)| {
            let off = known.off.as_ref().filter(|off| off.holds(now));
            let left = off.and_then(|off| Some(off.until?.saturating_duration_since(now)));
            let is_told = off.is_some() || known.whole_only;
            let why = off.map(|off| off.why.clone());
            is_told.then_some(FileSnapshot { file: *file, why, left, whole_only: known.whole_only })
        };
        files.filter_map(snapshot).collect()
    }

    /// Payload from it, in bytes.
    pub(super) fn downloaded_bytes(&self, source: SourceId) -> u64 {
        self.known.get(&source).map_or(0, |source| source.downloaded_bytes)
    }

    /// Does one of them have other files than the torrent?
    pub(super) fn differ(&self) -> bool {
        let is_other = |file: &File| file.off.as_ref().is_some_and(Off::is_for_good);
        let is_off = |source: &Source| source.off.as_ref().is_some_and(Off::is_for_good);
        self.known.values().any(|it| is_off(it) || it.files.values().any(is_other))
    }

    /// Is one of them not asked for a while?
    pub(super) fn any_rests(&self, now: Instant) -> bool {
        self.known.values().any(|source| {
            let mut offs = source.off.iter().chain(source.files.values().flat_map(|it| &it.off));
            let is_rest = |off: &Off| off.holds(now) && !off.is_for_good();
            source.waits.is_some() || offs.any(is_rest)
        })
    }
}

impl Source {
    fn new(told: WebSource) -> Self {
        Self {
            told,
            off: None,
            waits: None,
            slow_until: None,
            files: BTreeMap::new(),
            refused: BTreeMap::new(),
            stuck: BTreeMap::new(),
            wasted_bytes: 0,
            downloaded_bytes: 0,
            failures: 0,
            vain_files: 0,
            vain_rests: 0,
            ranges: Ranges::default(),
            left: Left::default(),
        }
    }

    fn is_of_seams(&self) -> bool {
        matches!(self.told.holds, Holds::Seams(_))
    }

    /// It failed at a piece once more, and so often at least. Is the piece not asked of it now?
    fn stuck_at(&mut self, piece: PieceIndex, least: u32, now: Instant) -> bool {
        let stuck = self.stuck.entry(piece).or_default();
        stuck.times = stuck.times.saturating_add(1).max(least);
        let rests = stuck.times >= STUCK_MAX;
        if rests {
            let doublings = (stuck.times - STUCK_MAX).min(6);
            stuck.until = Some(now + STUCK_REST * (1 << doublings));
            self.ranges.is_known = false;
        }
        if self.stuck.len() > STUCK_KEPT {
            let others = self.stuck.iter().filter(|(other, _)| **other != piece);
            if let Some(first) = others.min_by_key(|(_, it)| it.until).map(|(first, _)| *first) {
                self.stuck.remove(&first);
            }
            self.ranges.is_known = false;
        }
        rests
    }

    fn is_fit(&self, now: Instant) -> bool {
        self.off.as_ref().is_none_or(|off| !off.holds(now))
    }

    fn is_slow(&self, now: Instant) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }

    /// Rests, unless it does so for longer already.
    fn rest(&mut self, off: Off) {
        off.replace(&mut self.off);
    }

    /// One more file cannot be had, and nothing came since the last one could not.
    fn asked_in_vain(&mut self, now: Instant) {
        self.vain_files += 1;
        if self.vain_files >= VAIN_MAX {
            self.vain_files = 0;
            let rest = VAIN_REST * (1 << self.vain_rests.min(6));
            self.vain_rests = self.vain_rests.saturating_add(1);
            let why = "it has none of many files that it was asked for".to_owned();
            self.rest(Off::new(Trouble { why, rest: Some(rest) }, now));
        }
    }

    fn file_off(&mut self, file: FileIndex, off: Off, ground: Ground<'_>) {
        let is_for_good = off.is_for_good();
        off.replace(&mut self.files.entry(file).or_default().off);
        self.ranges.is_known = false;
        let is_gone = |file: &FileIndex| {
            let off = self.files.get(file).and_then(|it| it.off.as_ref());
            off.is_some_and(Off::is_for_good)
        };
        if is_for_good && ground.files().filter(|file| self.has(*file)).all(|file| is_gone(&file)) {
            self.rest(Off::for_good("it has none of the files as they are in the torrent"));
        }
    }

    /// Is it said to have this file?
    fn has(&self, file: FileIndex) -> bool {
        self.told.holds.has(file)
    }

    fn changes(&self) -> impl Iterator<Item = Instant> + '_ {
        let offs = self.off.iter().chain(self.files.values().flat_map(|file| &file.off));
        let stuck = self.stuck.values().filter_map(|stuck| stuck.until);
        offs.filter_map(|off| off.until).chain(self.slow_until).chain(stuck)
    }

    fn may_bring(&self, piece: PieceIndex, ground: Ground<'_>) -> bool {
        let is_there = |file| {
            let off = self.files.get(&file).and_then(|it| it.off.as_ref());
            self.has(file) && !off.is_some_and(Off::is_for_good)
        };
        let is_off = self.off.as_ref().is_some_and(Off::is_for_good);
        !is_off && self.is_for(piece, ground) && ground.files_of(piece).all(is_there)
    }

    /// Is it a piece that it is asked for at all?
    fn is_for(&self, piece: PieceIndex, ground: Ground<'_>) -> bool {
        !self.is_of_seams() || ground.files_of(piece).nth(1).is_some()
    }

    fn brings_now(&self, piece: PieceIndex, ground: Ground<'_>, now: Instant) -> bool {
        let is_there = |file| {
            let off = self.files.get(&file).and_then(|it| it.off.as_ref());
            self.has(file) && !off.is_some_and(|off| off.holds(now))
        };
        let stuck = self.stuck.get(&piece).and_then(|stuck| stuck.until);
        stuck.is_none_or(|until| until <= now) && ground.files_of(piece).all(is_there)
    }

    /// All pieces but those of files that it does not have, or does not send at present, and those
    /// that it failed to bring.
    fn reckon_ranges(&self, ground: Ground<'_>, now: Instant) -> Ranges {
        let mut list = Vec::new();
        let mut free_from = 0;
        let mut leave_out = |pieces: Range<u32>| {
            if free_from < pieces.start {
                list.push(free_from..pieces.start);
            }
            free_from = free_from.max(pieces.end);
        };
        let is_left_out = |file: &FileIndex| {
            let known = self.files.get(file);
            let is_off = |known: &File| {
                known.whole_only || known.off.as_ref().is_some_and(|off| off.holds(now))
            };
            !self.has(*file) || known.is_some_and(is_off)
        };
        let is_whole = self.told.holds == Holds::All && self.files.is_empty();
        let files = (!is_whole).then(|| ground.files().filter(is_left_out)).into_iter().flatten();
        let is_stuck = |it: &Stuck| it.until.is_some_and(|until| now < until);
        let stuck = self.stuck.iter().filter(|(_, it)| is_stuck(it)).map(|(piece, _)| piece);
        let mut unfit = stuck.map(|piece| piece.number()..piece.number() + 1).peekable();
        for pieces in files.map(|file| ground.pieces_of(file)) {
            while let Some(piece) = unfit.next_if(|piece| piece.start < pieces.start) {
                leave_out(piece);
            }
            leave_out(pieces);
        }
        unfit.for_each(&mut leave_out);
        let count = ground.layout.piece_count();
        leave_out(count..count);
        if self.is_of_seams() {
            let seams = pieces_of_parts(ground, 2);
            list = rows(seams.into_iter().filter(|seam| is_in(&list, *seam)));
        }
        let until = self.files.values().flat_map(|file| &file.off).filter_map(|off| off.until);
        let until = until.chain(self.stuck.values().filter_map(|stuck| stuck.until));
        Ranges { list, until: until.filter(|at| *at > now).min(), is_known: true }
    }
}

/// Is the piece in one of these ranges, which are in order?
pub(super) fn is_in(ranges: &[Range<u32>], number: u32) -> bool {
    let at = ranges.partition_point(|range| range.end <= number);
    ranges.get(at).is_some_and(|range| range.contains(&number))
}

/// Pieces in order as ranges.
fn rows(pieces: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut rows: Vec<Range<u32>> = Vec::new();
    for piece in pieces {
        match rows.last_mut().filter(|row| row.end == piece) {
            Some(row) => row.end = piece + 1,
            None => rows.push(piece..piece + 1),
        }
    }
    rows
}

/// Pieces of at least so many parts that are no padding, more than one, in order.
fn pieces_of_parts(ground: Ground<'_>, least: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let mut last = (0, 0);
    for file in ground.files() {
        let pieces = ground.pieces_of(file);
        last = if last.0 == pieces.start { (last.0, last.1 + 1) } else { (pieces.start, 1) };
        if last.1 == least {
            found.push(pieces.start);
        }
        if pieces.end - pieces.start > 1 {
            last = (pieces.end - 1, 1);
        }
    }
    found
}

//! One source: which of its files and pieces are asked for at present, and which are left alone,
//! for how long and why.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ids::{FileIndex, SourceId};
use crate::base::layout::PieceIndex;
use crate::swarm::event::{Holds, WebSource};
use crate::swarm::link::Trouble;

use super::ground::{Ground, is_in, pieces_of_parts, rows};

/// How often a link may break at a piece until that piece is not asked of the source for a while,
/// twice as long each time: what is behind it is not to wait.
pub(super) const STUCK_MAX: u32 = 2;
pub(super) const STUCK_REST: Duration = Duration::from_secs(60);
/// Pieces of a source that are remembered as such; beyond that the one is forgotten that may be
/// asked for first.
const STUCK_KEPT: usize = 64;
/// So many files in a row that cannot be had, without a byte in between, have the source rest,
/// twice as long each time: each was a request, and torrents have hundreds of thousands.
const VAIN_MAX: u32 = 16;
const VAIN_REST: Duration = Duration::from_secs(10);
/// Rests of a source whose links end without a piece, twice as long each time; none is shorter.
pub(super) const REST_FIRST: Duration = Duration::from_secs(1);
/// Characters that are kept of what a source says of its trouble.
pub(super) const WHY_LEN: usize = 200;

/// Why something is not asked for at present.
#[derive(Clone, Debug)]
pub(super) struct Off {
    /// For good when none.
    pub(super) until: Option<Instant>,
    pub(super) why: Arc<str>,
}

impl Off {
    pub(super) fn new(trouble: Trouble, now: Instant) -> Self {
        let why: String = trouble.why.chars().take(WHY_LEN).collect();
        let why = why.into();
        Self { until: trouble.rest.map(|rest| now + rest.max(REST_FIRST)), why }
    }

    pub(super) fn for_good(why: &str) -> Self {
        Self { until: None, why: why.into() }
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    pub(super) fn is_for_good(&self) -> bool {
        self.until.is_none()
    }

    /// Takes the place of what was known before, unless that lasts longer.
    pub(super) fn replace(self, known: &mut Option<Self>) {
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
pub(super) struct File {
    /// Wrong pieces inside it.
    pub(super) wrong: u32,
    pub(super) off: Option<Off>,
    /// It is sent from its first byte on only.
    pub(super) whole_only: bool,
    /// How often it broke off and would have to be sent anew.
    pub(super) restarts: u32,
}

/// How often links broke at a piece, and until when it is not asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stuck {
    pub(super) times: u32,
    pub(super) until: Option<Instant>,
}

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) told: WebSource,
    pub(super) off: Option<Off>,
    /// The user will have nothing of it.
    pub(super) is_barred: bool,
    /// No connection is to be had; told by whoever makes them.
    pub(super) waits: Option<(Option<Instant>, String)>,
    /// It is far slower than others until then.
    pub(super) slow_until: Option<Instant>,
    pub(super) files: BTreeMap<FileIndex, File>,
    /// Files that were refused a while ago, and when.
    pub(super) refused: BTreeMap<FileIndex, Instant>,
    /// Pieces at which links broke, or that were wrong.
    pub(super) stuck: BTreeMap<PieceIndex, Stuck>,
    pub(super) wasted_bytes: u64,
    pub(super) downloaded_bytes: u64,
    /// Links in a row that brought no whole piece.
    pub(super) failures: u32,
    /// Files in a row that could not be had, and how often they were too many.
    pub(super) vain_files: u32,
    pub(super) vain_rests: u32,
    pub(super) ranges: Ranges,
    /// What others leave to it, if it is for seams.
    pub(super) left: Left,
}

/// The pieces that a source for seams can bring and no other one, as of when that was reckoned.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) list: Vec<Range<u32>>,
    /// The other sources that were to be asked then, and what could be had of them.
    pub(super) of: Option<(u64, Vec<SourceId>)>,
}

/// The pieces that a source can bring, as of when that was reckoned.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pub(super) list: Vec<Range<u32>>,
    /// It is to be reckoned anew then, or at once.
    pub(super) until: Option<Instant>,
    pub(super) is_known: bool,
}

impl Source {
    pub(super) fn new(told: WebSource) -> Self {
        Self {
            told,
            off: None,
            is_barred: false,
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

    pub(super) fn is_of_seams(&self) -> bool {
        matches!(self.told.holds, Holds::Seams(_))
    }

    /// It failed at a piece once more, and so often at least. Is the piece not asked of it now?
    pub(super) fn stuck_at(&mut self, piece: PieceIndex, least: u32, now: Instant) -> bool {
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

    pub(super) fn is_fit(&self, now: Instant) -> bool {
        !self.is_barred && self.off.as_ref().is_none_or(|off| !off.holds(now))
    }

    pub(super) fn is_slow(&self, now: Instant) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }

    /// Rests, unless it does so for longer already.
    pub(super) fn rest(&mut self, off: Off) {
        off.replace(&mut self.off);
    }

    /// One more file cannot be had, and nothing came since the last one could not.
    pub(super) fn asked_in_vain(&mut self, now: Instant) {
        self.vain_files += 1;
        if self.vain_files >= VAIN_MAX {
            self.vain_files = 0;
            let rest = VAIN_REST * (1 << self.vain_rests.min(6));
            self.vain_rests = self.vain_rests.saturating_add(1);
            let why = "it has none of many files that it was asked for".to_owned();
            self.rest(Off::new(Trouble { why, rest: Some(rest) }, now));
        }
    }

    pub(super) fn file_off(&mut self, file: FileIndex, off: Off, ground: Ground<'_>) {
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
    pub(super) fn has(&self, file: FileIndex) -> bool {
        self.told.holds.has(file)
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = Instant> + '_ {
        let offs = self.off.iter().chain(self.files.values().flat_map(|file| &file.off));
        let stuck = self.stuck.values().filter_map(|stuck| stuck.until);
        offs.filter_map(|off| off.until).chain(self.slow_until).chain(stuck)
    }

    pub(super) fn may_bring(&self, piece: PieceIndex, ground: Ground<'_>) -> bool {
        let is_there = |file| {
            let off = self.files.get(&file).and_then(|it| it.off.as_ref());
            self.has(file) && !off.is_some_and(Off::is_for_good)
        };
        let is_off = self.is_barred || self.off.as_ref().is_some_and(Off::is_for_good);
        !is_off && self.is_for(piece, ground) && ground.files_of(piece).all(is_there)
    }

    /// Is it a piece that it is asked for at all?
    fn is_for(&self, piece: PieceIndex, ground: Ground<'_>) -> bool {
        !self.is_of_seams() || ground.files_of(piece).nth(1).is_some()
    }

    pub(super) fn brings_now(&self, piece: PieceIndex, ground: Ground<'_>, now: Instant) -> bool {
        let stuck = self.stuck.get(&piece).and_then(|stuck| stuck.until);
        stuck.is_none_or(|until| until <= now) && self.has_files_of(piece, ground, now)
    }

    pub(super) fn has_files_of(&self, piece: PieceIndex, ground: Ground<'_>, now: Instant) -> bool {
        let is_there = |file| {
            let off = self.files.get(&file).and_then(|it| it.off.as_ref());
            self.has(file) && !off.is_some_and(|off| off.holds(now))
        };
        ground.files_of(piece).all(is_there)
    }

    /// All pieces but those of files that it does not have, or does not send at present, and those
    /// that it failed to bring.
    pub(super) fn reckon_ranges(&self, ground: Ground<'_>, now: Instant) -> Ranges {
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

//! What is known of the servers that files may be fetched from: which pieces each can
//! bring at present, and why not the others; how long it rests, and what it is to blame for. It
//! asks nobody for anything and knows no links: those are in `transfer/leases`.

mod faults;
mod ground;
mod shown;
mod source;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use crate::base::ids::{FileIndex, SourceId};
use crate::base::layout::PieceIndex;

use super::event::WebSource;

use ground::{pieces_of_parts, rows};
use source::{File, Left, Off, Source};

pub(super) use ground::{Ground, is_in};

/// Sources that are remembered of one torrent: lists of mirrors name some hundred.
const SOURCES_MAX: usize = 512;
/// A piece of more parts than this costs a server as many requests: peers bring it, if any can.
const PARTS_MAX: usize = 8;

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
        known.is_none_or(|it| it.is_barred || it.off.as_ref().is_some_and(Off::is_for_good))
    }

    /// Whether the user will have nothing of it.
    pub(super) fn bar(&mut self, source: SourceId, is_barred: bool) {
        if let Some(source) = self.known.get_mut(&source) {
            source.is_barred = is_barred;
            self.version += 1;
        }
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

    /// Does it have all files of the piece at present, as far as is known?
    pub(super) fn has_files_of(
        &self,
        source: SourceId,
        piece: PieceIndex,
        ground: Ground<'_>,
        now: Instant,
    ) -> bool {
        self.known.get(&source).is_some_and(|source| source.has_files_of(piece, ground, now))
    }

    /// Can one for seams bring this piece at present?
    pub(super) fn seams_bring(&self, piece: PieceIndex, ground: Ground<'_>, now: Instant) -> bool {
        let mut seams = self.known.values().filter(|it| it.is_of_seams() && it.is_fit(now));
        seams.any(|it| it.brings_now(piece, ground, now))
    }

    /// When time alone changes who may be asked for what.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let sources =
            self.known.values().filter(|it| !it.off.as_ref().is_some_and(Off::is_for_good));
        sources.flat_map(|source| source.changes()).filter(|at| *at > now).min()
    }
}

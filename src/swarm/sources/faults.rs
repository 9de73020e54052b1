//! What goes wrong with sources: files that cannot be had, wrong pieces, links that break or bring
//! next to nothing; who is left alone for that, and for how long.

use std::time::{Duration, Instant};

use crate::base::ids::{FileIndex, SourceId};
use crate::base::layout::PieceIndex;
use crate::swarm::link::Trouble;

use super::source::{Off, REST_FIRST, STUCK_MAX, STUCK_REST, Source, WHY_LEN};
use super::{Ground, Sources};

/// Wrong pieces inside one file until that file is not asked of the source any more: one bad
/// sector is not to cost a mirror.
const WRONG_IN_FILE_MAX: u32 = 2;
/// What a source may waste: a hundredth of the torrent, and at least so many pieces.
const WASTE_SHARE: u64 = 100;
const WASTE_PIECES: u64 = 8;
/// The longest rest of a source whose links end without a piece.
const REST_MAX: Duration = Duration::from_secs(60);
/// A source that is much slower than others is left alone for so long.
const SLOW_REST: Duration = Duration::from_secs(300);
/// So many files that are refused within this time mean the whole source, for as long as one of
/// them: it is a limit of rates, or a wall against robots.
const REFUSALS_MAX: usize = 3;
const REFUSALS_WITHIN: Duration = Duration::from_secs(60);

/// What goes wrong with them.
impl Sources {
    /// A file of it cannot be had, or not now.
    pub(in crate::swarm) fn file_failed(
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
    pub(in crate::swarm) fn file_refused(
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
    pub(in crate::swarm) fn file_is_whole(
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
    pub(in crate::swarm) fn failed(&mut self, source: SourceId, trouble: Trouble, now: Instant) {
        if let Some(source) = self.known.get_mut(&source) {
            source.rest(Off::new(trouble, now));
        }
    }

    /// It sent a piece that is wrong, or a part of it that is.
    pub(in crate::swarm) fn sent_wrong(
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
    pub(in crate::swarm) fn broke_at(&mut self, source: SourceId, piece: PieceIndex, now: Instant) {
        let Some(source) = self.known.get_mut(&source) else { return };
        if source.stuck_at(piece, 1, now) {
            self.version += 1;
        }
    }

    /// Nobody waits for a connection to it: a link is up, or none is wished any more.
    pub(in crate::swarm) fn waits_no_more(&mut self, source: SourceId) {
        if let Some(source) = self.known.get_mut(&source) {
            source.waits = None;
        }
    }

    /// A link to it, or the wait for one, ended by no will of ours. Whoever brought nothing whole
    /// rests, ever longer.
    pub(in crate::swarm) fn link_ended(
        &mut self,
        source: SourceId,
        brought: bool,
        why: &str,
        now: Instant,
    ) {
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
    pub(in crate::swarm) fn waits(&mut self, source: SourceId, until: Option<Instant>, why: &str) {
        if let Some(source) = self.known.get_mut(&source) {
            source.waits = Some((until, why.chars().take(WHY_LEN).collect()));
        }
    }

    /// It is far slower than others, and they have room.
    pub(in crate::swarm) fn slow(&mut self, source: SourceId, now: Instant) {
        if let Some(source) = self.known.get_mut(&source) {
            source.slow_until = Some(now + SLOW_REST);
        }
    }

    /// Payload came from it.
    pub(in crate::swarm) fn brought(&mut self, source: SourceId, bytes: u64) {
        if let Some(source) = self.known.get_mut(&source) {
            source.downloaded_bytes += bytes;
            if bytes > 0 {
                (source.vain_files, source.vain_rests) = (0, 0);
            }
        }
    }
}

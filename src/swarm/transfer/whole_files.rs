//! Files that a server sends only as a whole: from the first byte on, or not at all. They are the
//! last resort. Such a file may begin within a piece that is not to be had, as when the file before
//! it is not there: its run begins with the next piece then, and the link throws away what comes
//! before that. How such runs end is in `orders`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use crate::base::ids::{FileIndex, LinkId, SourceId};
use crate::swarm::effects::Effects;
use crate::swarm::link::Run;
use crate::swarm::sources::{Ground, is_in};

use super::Transfer;
use super::runs::Kind;

impl Transfer {
    /// A file that the source sends only as a whole, when something of it is to be had nowhere
    /// else: from its first piece on, whatever of it is here, to the last one that is missing.
    pub(super) fn order_whole_file(
        &mut self,
        link: LinkId,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        let Some(source) = self.runs.link(link).map(|it| it.source()) else { return false };
        let others = self.runs.links().filter(|(other, _)| *other != link);
        if others.filter(|(_, it)| it.source() == source).any(|(_, it)| !it.is_idle()) {
            return false;
        }
        let Some(pieces) = self.whole_file(source, now) else { return false };
        let is_lacking =
            |number: &u32| self.lacks_all_or_part(*number) && self.is_had(source, *number, now);
        let Some(last) = pieces.clone().rev().find(is_lacking) else { return false };
        let Some(first) = self.layout.piece(pieces.start) else { return false };
        let pieces = pieces.start..last + 1;
        // What is begun and came to nothing has its place. It comes all the same.
        let is_hole =
            |number: &u32| !self.picker.is_free(*number) || !self.is_had(source, *number, now);
        let holes: BTreeSet<u32> = pieces.clone().filter(is_hole).collect();
        self.reserve(pieces.clone().filter(|number| !holes.contains(number)));
        let run = Run { first, end: pieces.end, skip: 0, is_of_whole_file: true };
        self.fetch(link, (run, Kind::WholeFile), holes, now, out)
    }

    /// Can the source bring the piece at present, in whatever way?
    fn is_had(&self, source: SourceId, number: u32, now: Instant) -> bool {
        let piece = self.layout.piece(number);
        piece.is_some_and(|it| self.sources.brings_now(source, it, self.ground(), now))
    }

    /// May the piece be begun, or is it, and nobody asked for what it lacks?
    fn lacks_all_or_part(&self, number: u32) -> bool {
        let is_orphan = || self.layout.piece(number).is_some_and(|it| self.assembly.is_orphan(it));
        self.picker.is_free(number) || is_orphan()
    }

    /// The pieces of such a file, as a last resort. What begins within a piece after another one
    /// of its kind begins with that.
    pub(super) fn whole_file(&mut self, source: SourceId, now: Instant) -> Option<Range<u32>> {
        let files = self.sources.whole_only(source, now);
        let spans: Vec<Range<u32>> =
            files.iter().map(|file: &FileIndex| self.ground().pieces_of(*file)).collect();
        let mut at = 0;
        while at < spans.len() {
            let mut span = spans[at].clone();
            at += 1;
            while at < spans.len() && spans[at].start < span.end {
                span.end = span.end.max(spans[at].end);
                at += 1;
            }
            let rows = self.rows_of(source, &span, now);
            if let Some(row) = rows.into_iter().find(|row| self.is_last_resort(source, row, now)) {
                return Some(row);
            }
        }
        None
    }

    /// The rows of pieces in there of which the source has all files. A run that went over another
    /// piece would end there each time it is ordered. All of them begin with a file, or with the
    /// first piece that is of it alone.
    fn rows_of(&self, source: SourceId, span: &Range<u32>, now: Instant) -> Vec<Range<u32>> {
        let ground = self.ground();
        let lacks_file = |number: &u32| {
            let piece = self.layout.piece(*number);
            !piece.is_some_and(|it| self.sources.has_files_of(source, it, ground, now))
        };
        // Whoever is asked for what lies in several files brings all of it from the first byte on.
        let is_of_another = |number: &u32| {
            let piece = self.layout.piece(*number);
            piece.is_some_and(|it| self.sources.seams_bring(it, ground, now))
        };
        let mut rows = Vec::new();
        let (mut start, mut is_left) = (span.start, false);
        for number in span.clone().filter(lacks_file).chain([span.end]) {
            if start < number && !is_left {
                rows.push(start..number);
            }
            (start, is_left) = (number + 1, is_of_another(&number));
        }
        rows
    }

    /// Is a piece to be begun in there, or to be completed, that no peer has, nor any other source
    /// in runs?
    fn is_last_resort(&mut self, source: SourceId, row: &Range<u32>, now: Instant) -> bool {
        // It begins with the first byte, or not at all.
        if !self.is_had(source, row.start, now) {
            return false;
        }
        let leaves = self.peers_deliver();
        let is_left = |number: &u32| leaves && self.picker.is_at_hand(*number);
        let lacks = |number: &u32| self.lacks_all_or_part(*number) && !is_left(number);
        let is_had = |number: &u32| self.is_had(source, *number, now);
        let mut left: Vec<u32> = row.clone().filter(lacks).filter(is_had).collect();
        for other in self.sources.fit(now).into_iter().filter(|other| *other != source) {
            let ground = Ground { layout: &self.layout, extents: &self.extents };
            let ranges = self.sources.ranges(other, ground, now);
            left.retain(|number| !is_in(ranges, *number));
        }
        !left.is_empty()
    }
}

//! What is on disk before a torrent starts: which files are there, and which of them the record
//! of verified pieces still describes. Reads no content.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::base::bitfield::Bitfield;
use crate::base::extents::FileSlice;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

use super::beneath::{Found, Stamp};
use super::edges::Form;
use super::error::Error;
use super::files::{Entry, FileStore, Place};
use super::glance::Glance;

/// How many of the torrent's files are on disk, pad files not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Under their own name.
    pub final_count: u32,
    /// As `NAME.part`.
    pub part_count: u32,
    /// Not at all.
    pub missing_count: u32,
}

/// A file that the record knew, and that is not any more what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedFile {
    /// Where it is, or was.
    pub path: PathBuf,
    /// There is none any more; otherwise it was written to, or another one stands there.
    pub is_gone: bool,
    /// Pieces of it that were verified once and are lost.
    pub pieces: u32,
    /// The bytes of these pieces, which may be in other files, too.
    pub bytes: u64,
}

/// What a record says about files beside the set of pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Described {
    /// A file without a stamp that was changed later than this was not changed by us;
    /// nanoseconds since 1970.
    pub latest_ns: i64,
    /// One that was changed no earlier than this, and no later than `latest_ns`, was changed
    /// by us though the record may have lost that; nanoseconds since 1970.
    pub earliest_ns: i64,
    /// When the record was written last; nanoseconds since 1970.
    pub written_ns: i64,
    /// How files looked when nothing was to be written to them any more, by file number.
    pub stamps: HashMap<u32, Stamp>,
    /// How our last write left others, by file number.
    pub left: HashMap<u32, Stamp>,
    /// Files that are ours, whatever is in them, with their inodes, by file number.
    pub ours: HashMap<u32, u64>,
    /// Inodes still mean the same: on some file systems they do not outlive a mount.
    pub inodes_hold: bool,
}

/// The coarsest that file systems are about times: FAT counts in steps of two seconds, HFS+ and
/// ext3 in whole ones.
const COARSEST_NS: i64 = 2_000_000_000;
/// No clock of a file system is further ahead of ours, be it in another zone: what is dated later
/// was dated by hand, and another change would show.
const AHEAD_NS: i64 = 24 * 3600 * 1_000_000_000;

impl Described {
    /// May a file with this time of change have been changed once more without another time?
    fn is_vague(&self, modified_ns: i64) -> bool {
        let is_coarse = modified_ns % 1_000_000_000 == 0;
        let is_new = modified_ns.saturating_add(COARSEST_NS) > self.written_ns;
        is_coarse && is_new && modified_ns < self.written_ns.saturating_add(AHEAD_NS)
    }
}

/// What was found of each file, by number, pad files included.
#[derive(Debug)]
pub(super) struct Seen {
    /// Under its own name.
    finals: Vec<Option<Found>>,
    /// Under its unfinished name.
    parts: Vec<Option<Found>>,
}

impl Seen {
    fn at(&self, file: FileIndex, place: Place) -> Option<Found> {
        match place {
            Place::Nowhere => None,
            Place::Part => self.parts.get(file.0 as usize).copied().flatten(),
            Place::Final => self.finals.get(file.0 as usize).copied().flatten(),
        }
    }
}

impl FileStore {
    /// Looks for every file: its own name first, then its unfinished ones.
    ///
    /// # Errors
    /// `NotAFile` when something else stands at the place of a wanted file; `Io`.
    pub(super) fn survey(&self) -> Result<(Survey, Seen), Error> {
        let mut survey = Survey::default();
        let none = || vec![None; self.entries.len()];
        let mut seen = Seen { finals: none(), parts: none() };
        let mut glance = Glance::survey(&self.base);
        for (file, entry) in self.real() {
            let (whole, part) = self.find(&mut glance, file)?;
            match entry.place() {
                Place::Final => survey.final_count += 1,
                Place::Part => survey.part_count += 1,
                Place::Nowhere => survey.missing_count += 1,
            }
            (seen.finals[file.0 as usize], seen.parts[file.0 as usize]) = (whole, part);
        }
        Ok((survey, seen))
    }

    /// Looks for every file as [`Self::survey`] does, but takes those for missing that it is
    /// refused to look at; returns these and why.
    pub(super) fn survey_all(&self) -> Vec<(FileIndex, String)> {
        let mut glance = Glance::survey(&self.base);
        let refused = |(file, _)| Some((file, self.find(&mut glance, file).err()?.to_string()));
        self.real().filter_map(refused).collect()
    }

    /// Looks for a file, and notes under which name it is. Returns what its final and its
    /// unfinished name stand for.
    fn find(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
    ) -> Result<(Option<Found>, Option<Found>), Error> {
        let entry = self.entry(file);
        let whole = self.look(glance, file, Place::Final)?;
        // Files without bytes are never unfinished.
        let part = if entry.len > 0 { self.find_part(glance, file)? } else { None };
        match (whole, part) {
            (Some(found), _) => entry.set_place(Place::Final, Some(found)),
            (None, Some(found)) => entry.set_place(Place::Part, Some(found)),
            (None, None) => entry.set_place(Place::Nowhere, None),
        }
        entry.expect_unchanged(whole);
        Ok((whole, part))
    }

    /// The unfinished file; the one of its edges only if there is no other.
    fn find_part(&self, glance: &mut Glance<'_>, file: FileIndex) -> Result<Option<Found>, Error> {
        let entry = self.entry(file);
        entry.in_edges.store(false, Ordering::Release);
        let plain = self.find_plain_part(glance, file)?;
        if entry.edges.is_none() {
            return Ok(plain);
        }
        entry.in_edges.store(true, Ordering::Release);
        let edges = match self.look(glance, file, Place::Part) {
            // What stands there is somebody else's.
            Err(Error::NotAFile { .. }) => None,
            other => other?,
        };
        entry.in_edges.store(plain.is_none() && edges.is_some(), Ordering::Release);
        entry.saw_edges.store(edges.is_some(), Ordering::Release);
        Ok(plain.or(edges))
    }

    /// The one with each byte at its place, first by the name that only we give.
    fn find_plain_part(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
    ) -> Result<Option<Found>, Error> {
        let has_own_part = &self.entry(file).has_own_part;
        has_own_part.store(true, Ordering::Release);
        let own = self.look(glance, file, Place::Part)?;
        if own.is_some() {
            return Ok(own);
        }
        has_own_part.store(false, Ordering::Release);
        match self.look(glance, file, Place::Part) {
            // What stands there is somebody else's.
            Err(Error::NotAFile { .. }) => {
                has_own_part.store(true, Ordering::Release);
                Ok(None)
            }
            other => other,
        }
    }

    /// How the files look that are there, whosever they are.
    pub(super) fn looks(&self) -> Vec<(FileIndex, Stamp)> {
        let mut glance = Glance::new(&self.base);
        let stamp = |(file, entry): (FileIndex, &Entry)| {
            let found = self.look(&mut glance, file, entry.place()).ok().flatten()?;
            Some((file, found.stamp))
        };
        self.real().filter_map(stamp).collect()
    }

    /// Notes how the files look now, before a check that reads all pieces but the `trusted` ones.
    /// Files of these are held to the look by which they are trusted.
    pub(super) fn look_again(&self, layout: &Layout, trusted: &Bitfield) {
        let mut glance = Glance::new(&self.base);
        for (file, entry) in self.real() {
            // What cannot be looked at now is not missing.
            let Ok(found) = self.look(&mut glance, file, entry.place()) else { continue };
            entry.present_len.store(found.map_or(0, |found| found.len), Ordering::Relaxed);
            if self.pieces_of_file(layout, file).any(|piece| trusted.has(piece)) {
                continue;
            }
            entry.expect_unchanged(found.filter(|_| entry.place() == Place::Final));
            entry.note_left(found);
        }
    }

    /// The pieces of `have` whose files still look as they did when the record was written, and
    /// the files that do not. Decides as well which of `NAME` and `NAME.part` the record speaks of,
    /// when both exist.
    pub(super) fn still_described(
        &self,
        layout: &Layout,
        have: &Bitfield,
        described: &Described,
        seen: &Seen,
    ) -> (Bitfield, BTreeSet<FileIndex>) {
        let (mut needed, mut verified) = (vec![0; self.entries.len()], vec![0; self.entries.len()]);
        for slice in pieces_of(layout, have).flat_map(|piece| self.slices_of(layout, piece)) {
            let file = slice.file.0 as usize;
            needed[file] = slice.offset_in_file + slice.len;
            verified[file] += slice.len;
        }
        let mut doubted = BTreeSet::new();
        for (file, entry) in self.real() {
            let index = file.0 as usize;
            if needed[index] > 0 {
                self.choose_place(file, verified[index] == entry.len, seen);
                let needed = match entry.form() {
                    Form::Plain => Some(needed[index]),
                    Form::Edges(_) => self.needed_of_edges(layout, have, file),
                };
                if !needed.is_some_and(|needed| self.fits(file, needed, described, seen)) {
                    doubted.insert(file);
                }
            }
        }
        let mut trusted = have.clone();
        for piece in pieces_of(layout, have) {
            if self.slices_of(layout, piece).any(|slice| doubted.contains(&slice.file)) {
                trusted.remove(piece);
            }
        }
        (trusted, doubted)
    }

    /// Whose files the `lost` pieces are: of each piece those that were `doubted`, or all where
    /// nothing but its hash tells that it was changed.
    pub(super) fn changed(
        &self,
        layout: &Layout,
        lost: &Bitfield,
        doubted: &BTreeSet<FileIndex>,
    ) -> Vec<ChangedFile> {
        let mut changed: BTreeMap<FileIndex, (u32, u64)> = BTreeMap::new();
        for piece in pieces_of(layout, lost) {
            let files = || self.slices_of(layout, piece).map(|slice| slice.file);
            let is_told = files().any(|file| doubted.contains(&file));
            for file in files().filter(|file| !is_told || doubted.contains(file)) {
                let (pieces, bytes) = changed.entry(file).or_default();
                *pieces += 1;
                *bytes += u64::from(layout.len_of(piece));
            }
        }
        let file = |(file, (pieces, bytes)): (FileIndex, _)| {
            let entry = self.entry(file);
            let is_gone = entry.place() == Place::Nowhere;
            ChangedFile { path: self.base.full(&entry.path), is_gone, pieces, bytes }
        };
        changed.into_iter().map(file).collect()
    }

    /// How long the file of the edges must be to hold what it has of the pieces of `have`; none
    /// when it cannot.
    fn needed_of_edges(&self, layout: &Layout, have: &Bitfield, file: FileIndex) -> Option<u64> {
        let form = self.entry(file).form();
        let pieces = self.pieces_of_file(layout, file).filter(|piece| have.has(*piece));
        let slices = pieces.flat_map(|piece| self.slices_of(layout, piece));
        let mut mine = slices.filter(|slice| slice.file == file);
        mine.try_fold(0, |needed, slice| Some(needed.max(form.at(&slice)? + slice.len)))
    }

    /// Which files are ours, whatever is in them: unfinished ones that the record calls so, and
    /// those that had `verified` pieces, or may have had them, and look as we left them; a power
    /// loss may have taken what was in them. A finished one that the record calls ours and that
    /// looks otherwise was damaged or edited, which shows when it was checked; it is only noted.
    pub(super) fn left_by_us(
        &self,
        layout: &Layout,
        verified: &Bitfield,
        described: &Described,
        seen: &Seen,
    ) -> HashSet<FileIndex> {
        let slices = pieces_of(layout, verified).flat_map(|piece| self.slices_of(layout, piece));
        let recorded: HashSet<FileIndex> = slices.map(|slice| slice.file).collect();
        let mut ours = HashSet::new();
        for (file, entry) in self.real() {
            let place = entry.place();
            let Some(found) = seen.at(file, place) else { continue };
            let noted = described.ours.get(&file.0);
            let is_same = noted.is_some_and(|inode| *inode == found.stamp.inode);
            // It may be the same file, by another number.
            let may_be_same = is_same || noted.is_some() && !described.inodes_hold;
            let is_known = may_be_same
                || noted.is_none()
                    && (recorded.contains(&file) || self.may_be_lost(file, described, seen));
            let is_left = is_known && self.fits(file, 0, described, seen);
            if is_left || is_same && place == Place::Part {
                ours.insert(file);
            }
            entry.ours.store(is_left || is_same, Ordering::Release);
        }
        ours
    }

    /// The pieces of files that nobody knows anything of: they came since the record was
    /// written, and may be right.
    pub(super) fn never_seen(
        &self,
        layout: &Layout,
        recorded: &Bitfield,
        described: &Described,
    ) -> Bitfield {
        let slices = pieces_of(layout, recorded).flat_map(|piece| self.slices_of(layout, piece));
        let known: HashSet<FileIndex> = slices.map(|slice| slice.file).collect();
        let mut unseen = Bitfield::none(layout.piece_count());
        for (file, entry) in self.real() {
            let is_known = known.contains(&file) || described.ours.contains_key(&file.0);
            if is_known || entry.place() == Place::Nowhere || !entry.wanted_now() {
                continue;
            }
            for piece in self.pieces_of_file(layout, file) {
                unseen.insert(piece);
            }
        }
        unseen
    }

    /// The pieces that a file has bytes of.
    pub(super) fn pieces_of_file(
        &self,
        layout: &Layout,
        file: FileIndex,
    ) -> impl Iterator<Item = PieceIndex> {
        let range = self.extents.file_range(file);
        let first = layout.piece_at(range.start).map_or(0, PieceIndex::number);
        let end = range.end.checked_sub(1).and_then(|last| layout.piece_at(last));
        let end = end.filter(|_| !range.is_empty()).map_or(first, |last| last.number() + 1);
        let layout = *layout;
        (first..end).filter_map(move |number| layout.piece(number))
    }

    /// May the record have lost that we made this file: was it changed while we ran, is it
    /// no longer than we make it, and is it the only one of its two names?
    fn may_be_lost(&self, file: FileIndex, described: &Described, seen: &Seen) -> bool {
        let len = self.entry(file).len;
        let found = match (seen.at(file, Place::Final), seen.at(file, Place::Part)) {
            (Some(found), None) if found.len == len => found,
            (None, Some(found)) if found.len <= len => found,
            _ => return false,
        };
        found.stamp.modified_ns >= described.earliest_ns
    }

    pub(super) fn slices_of(
        &self,
        layout: &Layout,
        piece: PieceIndex,
    ) -> impl Iterator<Item = FileSlice> + '_ {
        let (offset, len) = (layout.piece_offset(piece), layout.len_of(piece));
        self.extents.slices(offset, u64::from(len)).filter(|slice| !slice.is_pad)
    }

    /// A whole file should have its own name, one that is not whole the other; either may be
    /// wrong when the process was killed between record and renaming.
    fn choose_place(&self, file: FileIndex, is_whole: bool, seen: &Seen) {
        let place = if is_whole { Place::Final } else { Place::Part };
        if self.entry(file).place() != place
            && let Some(found) = seen.at(file, place)
        {
            self.entry(file).set_place(place, Some(found));
            self.entry(file).expect_unchanged((place == Place::Final).then_some(found));
        }
    }

    fn fits(&self, file: FileIndex, needed: u64, described: &Described, seen: &Seen) -> bool {
        let Some(found) = seen.at(file, self.entry(file).place()) else { return false };
        let stamp = described.stamps.get(&file.0).or_else(|| described.left.get(&file.0));
        let is_unchanged = match stamp {
            Some(stamp) if described.inodes_hold => *stamp == found.stamp,
            Some(stamp) => stamp.modified_ns == found.stamp.modified_ns,
            None => found.stamp.modified_ns <= described.latest_ns,
        };
        is_unchanged && !described.is_vague(found.stamp.modified_ns) && found.len >= needed
    }

    /// What stands where a file is, or would be, under this name.
    ///
    /// # Errors
    /// `NotAFile` when that is no regular file and the file is wanted; `Io`.
    pub(super) fn look(
        &self,
        glance: &mut Glance<'_>,
        file: FileIndex,
        place: Place,
    ) -> Result<Option<Found>, Error> {
        let entry = self.entry(file);
        let path = match place {
            Place::Nowhere => return Ok(None),
            Place::Part => self.part_path(file),
            Place::Final => entry.path.clone(),
        };
        match glance.stat(&path) {
            Ok(Some(found)) if !found.is_file && entry.wanted_now() => {
                Err(Error::NotAFile { path: self.base.full(&path) })
            }
            Ok(found) => Ok(found.filter(|found| found.is_file)),
            Err(error) => Err(Error::io("looking at", self.base.full(&path), error)),
        }
    }
}

pub(super) fn pieces_of<'a>(
    layout: &'a Layout,
    set: &'a Bitfield,
) -> impl Iterator<Item = PieceIndex> + 'a {
    set.iter_ones().filter_map(|number| layout.piece(number))
}

//! What is on disk before a torrent starts: which files are there, which of them the record
//! of verified pieces still describes, and taking them over. Reads no content.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use crate::base::bitfield::Bitfield;
use crate::base::extents::FileSlice;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};

use super::beneath::{Found, Stamp};
use super::error::Error;
use super::files::{Entry, FileStore, Place};
use super::store::{FileNews, Store};

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

/// What a record says about files beside the set of pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Described {
    /// A file without a stamp that was changed later than this was not changed by us;
    /// nanoseconds since 1970.
    pub latest_ns: i64,
    /// One that was changed no earlier than this, and no later than `latest_ns`, was changed
    /// by us though the record may have lost that; nanoseconds since 1970.
    pub earliest_ns: i64,
    /// How files looked when nothing was to be written to them any more, by file number.
    pub stamps: HashMap<u32, Stamp>,
    /// Inodes still mean the same: on some file systems they do not outlive a mount.
    pub inodes_hold: bool,
}

impl FileStore {
    /// Looks for every file: its own name first, then `NAME.part`.
    ///
    /// # Errors
    /// `NotAFile` when something else stands at the place of a wanted file; `Io`.
    pub(super) fn survey(&self) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for (file, entry) in self.real() {
            self.find(file)?;
            match entry.place() {
                Place::Final => survey.final_count += 1,
                Place::Part => survey.part_count += 1,
                Place::Nowhere => survey.missing_count += 1,
            }
        }
        Ok(survey)
    }

    /// Looks for every file as [`Self::survey`] does, but takes those for missing that it is
    /// refused to look at; returns these and why.
    pub(super) fn survey_all(&self) -> Vec<(FileIndex, String)> {
        let refused = |(file, _)| Some((file, self.find(file).err()?.to_string()));
        self.real().filter_map(refused).collect()
    }

    fn find(&self, file: FileIndex) -> Result<(), Error> {
        for place in [Place::Final, Place::Part] {
            if let Some(found) = self.look(file, place)? {
                self.entry(file).set_place(place, Some(found));
                return Ok(());
            }
        }
        self.entry(file).set_place(Place::Nowhere, None);
        Ok(())
    }

    /// Notes how long the files are now, before a check.
    pub(super) fn look_again(&self) {
        for (file, entry) in self.real() {
            let found = [Place::Final, Place::Part].into_iter().find_map(|place| {
                let is_there = entry.place() == place;
                is_there.then(|| self.look(file, place).ok().flatten())?
            });
            entry.present_len.store(found.map_or(0, |found| found.len), Ordering::Relaxed);
        }
    }

    /// The pieces of `have` whose files still look as they did when the record was written.
    /// Decides as well which of `NAME` and `NAME.part` the record speaks of, when both exist.
    pub(super) fn still_described(
        &self,
        layout: &Layout,
        have: &Bitfield,
        described: &Described,
    ) -> Result<Bitfield, Error> {
        let (mut needed, mut verified) = (vec![0; self.entries.len()], vec![0; self.entries.len()]);
        for slice in pieces_of(layout, have).flat_map(|piece| self.slices_of(layout, piece)) {
            let file = slice.file.0 as usize;
            needed[file] = slice.offset_in_file + slice.len;
            verified[file] += slice.len;
        }
        let mut doubted = vec![false; self.entries.len()];
        for (file, entry) in self.real() {
            let index = file.0 as usize;
            if needed[index] > 0 {
                self.choose_place(file, verified[index] == entry.len)?;
                doubted[index] = !self.fits(file, needed[index], described)?;
            }
        }
        let mut trusted = have.clone();
        for piece in pieces_of(layout, have) {
            if self.slices_of(layout, piece).any(|slice| doubted[slice.file.0 as usize]) {
                trusted.remove(piece);
            }
        }
        Ok(trusted)
    }

    /// Which files have pieces of `recorded`, or may have had them, and look as we left them:
    /// whatever is in them is ours, though a power loss may have taken it.
    pub(super) fn left_by_us(
        &self,
        layout: &Layout,
        recorded: &Bitfield,
        described: &Described,
    ) -> Result<HashSet<FileIndex>, Error> {
        let slices = pieces_of(layout, recorded).flat_map(|piece| self.slices_of(layout, piece));
        let recorded: HashSet<FileIndex> = slices.map(|slice| slice.file).collect();
        let mut ours = HashSet::new();
        for (file, _) in self.real() {
            let is_known = recorded.contains(&file) || self.may_be_lost(file, described)?;
            if is_known && self.fits(file, 0, described)? {
                ours.insert(file);
            }
        }
        Ok(ours)
    }

    /// May the record have lost that we finished this file: was it changed while we ran, is it
    /// as long as it should be, and is it the only one of its two names?
    fn may_be_lost(&self, file: FileIndex, described: &Described) -> Result<bool, Error> {
        let Some(found) = self.look(file, Place::Final)? else { return Ok(false) };
        Ok(found.stamp.modified_ns >= described.earliest_ns
            && found.len == self.entry(file).len
            && self.look(file, Place::Part)?.is_none())
    }

    /// Takes over what is there, now that `have` is known to be right: counts what is
    /// missing in each file, gives back unfinished names and gives final ones, makes empty
    /// files. Of files that are not right, those of `ours` are fetched again. Called once,
    /// before any write.
    ///
    /// # Errors
    /// `Exists` before anything was changed; `Io`.
    pub(super) fn adopt(
        &self,
        layout: &Layout,
        have: &Bitfield,
        ours: &HashSet<FileIndex>,
    ) -> Result<Vec<FileNews>, Error> {
        let mut to_reopen = Vec::new();
        let mut missing: Vec<u64> = self.entries.iter().map(|entry| entry.len).collect();
        for slice in pieces_of(layout, have).flat_map(|piece| self.slices_of(layout, piece)) {
            missing[slice.file.0 as usize] -= slice.len;
        }
        for (file, entry) in self.real() {
            let present_len = entry.present_len.load(Ordering::Relaxed);
            let is_whole = missing[file.0 as usize] == 0 && present_len == entry.len;
            if entry.place() != Place::Final || is_whole || !self.is_needed(layout, file) {
                continue;
            }
            if !self.overwrite && !ours.contains(&file) {
                return Err(Error::Exists { path: self.base.full(&entry.path) });
            }
            to_reopen.push(file);
        }
        for (entry, missing) in self.entries.iter().zip(missing) {
            entry.remaining.store(missing, Ordering::Release);
        }
        to_reopen.into_iter().try_for_each(|file| self.reopen(file))?;
        for (file, entry) in self.real() {
            let is_long = entry.present_len.load(Ordering::Relaxed) > entry.len;
            if is_long && entry.place() == Place::Part && self.is_needed(layout, file) {
                self.trim(file)?;
            }
        }
        let wanted: Vec<bool> = self.entries.iter().map(Entry::wanted_now).collect();
        Ok(self.want(&wanted))
    }

    /// Will any byte be written to the file: is it wanted, or does it share a piece with one
    /// that is?
    fn is_needed(&self, layout: &Layout, file: FileIndex) -> bool {
        if self.entry(file).wanted_now() {
            return true;
        }
        let range = self.extents.file_range(file);
        let last = range.end.saturating_sub(1);
        let edges = [layout.piece_at(range.start), layout.piece_at(last)];
        !range.is_empty()
            && edges.into_iter().flatten().any(|piece| {
                self.slices_of(layout, piece).any(|slice| self.entry(slice.file).wanted_now())
            })
    }

    fn slices_of(
        &self,
        layout: &Layout,
        piece: PieceIndex,
    ) -> impl Iterator<Item = FileSlice> + '_ {
        let (offset, len) = (layout.piece_offset(piece), layout.len_of(piece));
        self.extents.slices(offset, u64::from(len)).filter(|slice| !slice.is_pad)
    }

    /// A whole file should have its own name, one that is not whole the other; either may be
    /// wrong when the process was killed between record and renaming.
    fn choose_place(&self, file: FileIndex, is_whole: bool) -> Result<(), Error> {
        let place = if is_whole { Place::Final } else { Place::Part };
        if self.entry(file).place() != place
            && let Some(found) = self.look(file, place)?
        {
            self.entry(file).set_place(place, Some(found));
        }
        Ok(())
    }

    fn fits(&self, file: FileIndex, needed: u64, described: &Described) -> Result<bool, Error> {
        let Some(found) = self.look(file, self.entry(file).place())? else { return Ok(false) };
        let is_unchanged = match described.stamps.get(&file.0) {
            Some(stamp) if described.inodes_hold => *stamp == found.stamp,
            Some(stamp) => stamp.modified_ns == found.stamp.modified_ns,
            None => found.stamp.modified_ns <= described.latest_ns,
        };
        Ok(is_unchanged && found.len >= needed)
    }

    pub(super) fn look(&self, file: FileIndex, place: Place) -> Result<Option<Found>, Error> {
        let entry = self.entry(file);
        let path = match place {
            Place::Nowhere => return Ok(None),
            Place::Part => self.part_path(file),
            Place::Final => entry.path.clone(),
        };
        match self.base.stat(&path) {
            Ok(Some(found)) if !found.is_file && entry.wanted_now() => {
                Err(Error::NotAFile { path: self.base.full(&path) })
            }
            Ok(found) => Ok(found.filter(|found| found.is_file)),
            Err(error) => Err(Error::io("looking at", self.base.full(&path), error)),
        }
    }
}

fn pieces_of<'a>(layout: &'a Layout, set: &'a Bitfield) -> impl Iterator<Item = PieceIndex> + 'a {
    set.iter_ones().filter_map(|number| layout.piece(number))
}

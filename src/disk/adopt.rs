//! Taking over what is on disk when a torrent starts. What is ours goes on, what is somebody
//! else's stays as it is: an unfinished file of a plain name is left alone, one under its final
//! name is used as far as it is right.

use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use crate::base::bitfield::Bitfield;
use crate::base::ids::FileIndex;
use crate::base::layout::{Layout, PieceIndex};
use crate::base::pages::Pages;

use super::beneath::Found;
use super::error::Error;
use super::files::{Entry, FileStore, Place};
use super::glance::Glance;
use super::in_use;
use super::patience::patiently;
use super::store::{FileNews, Store};
use super::survey::pieces_of;

/// Of an unfinished file that nobody knows, so much is read to see that it holds anything.
const EVIDENCE_LEN_MAX: u64 = 16 << 20;
const READ_LEN: usize = 64 << 10;

/// What came of taking over.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// Files that got their final name, and files in trouble.
    pub news: Vec<FileNews>,
    /// Files that are not the torrent's, though pieces of it were found in them: they are to be
    /// fetched.
    pub strangers: Vec<FileIndex>,
}

/// What is right in each file, by number.
struct Right {
    /// Bytes that are missing.
    missing: Vec<u64>,
    /// Has it a right piece?
    any: Vec<bool>,
}

/// What is to become of a file that is there.
enum Fate {
    /// It goes on under the name that it has.
    Stays,
    /// It goes back to its unfinished name.
    Reopened,
    /// It is somebody else's, and may be right: it is compared with what comes.
    Guarded,
    /// It is somebody else's, under the plain name of our unfinished file.
    Stranger,
}

impl FileStore {
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
    ) -> Result<Adopted, Error> {
        let right = self.right(layout, have);
        let fates = patiently(|| self.fates(layout, have, &right, ours))?;
        for (entry, missing) in self.entries.iter().zip(right.missing) {
            entry.remaining.store(missing, Ordering::Release);
        }
        let mut adopted = Adopted::default();
        for (file, fate) in fates {
            let entry = self.entry(file);
            match fate {
                Fate::Stays => {}
                Fate::Reopened => patiently(|| self.reopen(file))?,
                Fate::Guarded => entry.guarded.store(true, Ordering::Release),
                Fate::Stranger => {
                    entry.has_own_part.store(true, Ordering::Release);
                    entry.set_place(Place::Nowhere, None);
                    adopted.strangers.extend(right.any[file.0 as usize].then_some(file));
                }
            }
        }
        for (file, entry) in self.real() {
            self.clear_up_edges(file);
            let is_long = entry.present_len.load(Ordering::Relaxed) > entry.len_max();
            if is_long && entry.place() == Place::Part && self.is_needed(layout, file) {
                patiently(|| self.trim(file))?;
            }
        }
        let wanted: Vec<bool> = self.entries.iter().map(Entry::wanted_now).collect();
        adopted.news = self.want(&wanted);
        Ok(adopted)
    }

    fn fates(
        &self,
        layout: &Layout,
        have: &Bitfield,
        right: &Right,
        ours: &HashSet<FileIndex>,
    ) -> Result<Vec<(FileIndex, Fate)>, Error> {
        let mut glance = Glance::new(&self.base);
        let mut fates = Vec::new();
        for (file, entry) in self.real() {
            let is_ours = ours.contains(&file);
            let fate = match entry.place() {
                Place::Nowhere => continue,
                Place::Final => self.fate_of_final(layout, have, file, right, is_ours)?,
                Place::Part => {
                    // It was surveyed a while ago, if there was something to check.
                    let there = self.look(&mut glance, file, Place::Part)?;
                    let is_right = || self.is_evident(layout, have, file, right);
                    match there.is_some_and(|there| self.takes(file, &there, is_ours, is_right)) {
                        true => Fate::Stays,
                        false => Fate::Stranger,
                    }
                }
            };
            fates.push((file, fate));
        }
        Ok(fates)
    }

    fn right(&self, layout: &Layout, have: &Bitfield) -> Right {
        let mut missing: Vec<u64> = self.entries.iter().map(|entry| entry.len).collect();
        let mut any = vec![false; self.entries.len()];
        for slice in pieces_of(layout, have).flat_map(|piece| self.slices_of(layout, piece)) {
            missing[slice.file.0 as usize] -= slice.len;
            any[slice.file.0 as usize] = true;
        }
        Right { missing, any }
    }

    fn fate_of_final(
        &self,
        layout: &Layout,
        have: &Bitfield,
        file: FileIndex,
        right: &Right,
        is_ours: bool,
    ) -> Result<Fate, Error> {
        let entry = self.entry(file);
        let present_len = entry.present_len.load(Ordering::Relaxed);
        let is_long_enough = present_len == entry.len;
        if right.missing[file.0 as usize] == 0 && is_long_enough {
            entry.ours.store(true, Ordering::Release);
            return Ok(Fate::Stays);
        }
        let is_needed = self.is_needed(layout, file);
        // One that we finished is damaged when some of it is as it was, or it was cut, and
        // somebody's otherwise: what they put behind its end would be lost.
        let is_no_longer = present_len <= entry.len;
        let is_damaged = entry.is_ours() && is_no_longer && right.any[file.0 as usize];
        if is_ours || is_damaged || self.overwrite {
            entry.ours.store(true, Ordering::Release);
            return Ok(if is_needed { Fate::Reopened } else { Fate::Stays });
        }
        entry.ours.store(false, Ordering::Release);
        // A wrong piece that it shares with others may be wrong in them.
        let range = self.extents.file_range(file);
        let is_wrong = |piece: PieceIndex| {
            let (offset, len) = (layout.piece_offset(piece), u64::from(layout.len_of(piece)));
            let is_inside = range.start <= offset && offset + len <= range.end;
            is_inside && !have.has(piece)
        };
        let may_be_right = || is_long_enough && !self.pieces_of_file(layout, file).any(is_wrong);
        match !is_needed || may_be_right() {
            true => Ok(Fate::Guarded),
            false => Err(Error::Exists { path: self.base.full(&entry.path) }),
        }
    }

    /// Is the unfinished file `there` ours, and nobody else's in this process?
    fn takes(
        &self,
        file: FileIndex,
        there: &Found,
        is_ours: bool,
        is_right: impl Fn() -> bool,
    ) -> bool {
        let entry = self.entry(file);
        let is_same = there.stamp.inode == entry.inode.load(Ordering::Acquire);
        let has_own_name = entry.has_own_name();
        let takes =
            is_same && (is_ours || has_own_name || is_right()) && in_use::claim(self.writer, there);
        entry.ours.store(takes, Ordering::Release);
        takes
    }

    /// Is there anything right in an unfinished file?
    fn is_evident(&self, layout: &Layout, have: &Bitfield, file: FileIndex, right: &Right) -> bool {
        let number = file.0 as usize;
        right.missing[number] == 0 || right.any[number] && self.has_evidence(layout, have, file)
    }

    /// Does the unfinished file hold anything in its right pieces? Those of nothing but zeros are
    /// right in every file with holes.
    fn has_evidence(&self, layout: &Layout, have: &Bitfield, file: FileIndex) -> bool {
        let Ok((opened, form)) = patiently(|| self.open_to_read(file)) else { return false };
        let pieces = self.pieces_of_file(layout, file).filter(|piece| have.has(*piece));
        let slices = pieces.flat_map(|piece| self.slices_of(layout, piece));
        let mut buffer = Pages::zeroed(READ_LEN);
        let mut left = EVIDENCE_LEN_MAX;
        for slice in slices.filter(|slice| slice.file == file) {
            let Some(place) = form.at(&slice) else { return false };
            for at in (0..slice.len).step_by(READ_LEN) {
                let part = &mut buffer[..(slice.len - at).min(READ_LEN as u64) as usize];
                if left == 0 || opened.read_exact_at(part, place + at).is_err() {
                    return false;
                }
                if part.iter().any(|byte| *byte != 0) {
                    return true;
                }
                left = left.saturating_sub(part.len() as u64);
            }
        }
        false
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
            && edges.into_iter().flatten().any(|piece| self.is_piece_wanted(layout, piece))
    }

    /// Has it bytes of a file that is wanted?
    pub(super) fn is_piece_wanted(&self, layout: &Layout, piece: PieceIndex) -> bool {
        self.slices_of(layout, piece).any(|slice| self.entry(slice.file).wanted_now())
    }
}

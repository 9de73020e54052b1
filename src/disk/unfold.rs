//! Files that hold the edges of others only (`edges`). Such a file is made by the first bytes of
//! an edge that come while its file is not wanted. When the first come that are no edge, the edges
//! go to their places in an unfinished file like any other, which it stays from then on.
//!
//! The order makes it safe against a crash at any moment:
//!
//! 1. the edges are copied to a file of a name that nothing is looked for under, on the device;
//! 2. that gets the name of the unfinished file: from here on it counts, and the other does not;
//! 3. once the name is on the device, the file of the edges is removed.
//!
//! Nothing is written to a file of edges that does not count any more, so that whoever has it open
//! still reads the right bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::base::extents::FileSlice;
use crate::base::ids::FileIndex;
use crate::base::pages::Pages;

use super::beneath::{self, Found};
use super::edges::{Edges, Form};
use super::files::{Entry, FileStore, Place};
use super::glance::Glance;
use super::in_use;
use super::making::is_taken;
use super::pulse;
use super::store::FileStamp;

/// What is copied at once.
const COPY_LEN: usize = 256 << 10;

impl FileStore {
    /// Sees to it that there is a place for a part of a file that is about to be written: in which
    /// form of the file, and where in it. Called by the one thread that writes for the torrent.
    pub(super) fn make_room(&self, slice: &FileSlice) -> io::Result<(Form, u64)> {
        let entry = self.entry(slice.file);
        if let Some(edges) = entry.edges {
            let is_edge = edges.at(slice.offset_in_file, slice.len).is_some();
            match entry.place() {
                Place::Nowhere => {
                    entry.in_edges.store(is_edge && !entry.wanted_now(), Ordering::Release);
                }
                Place::Part if entry.in_edges() && !is_edge => self.unfold(slice.file, edges)?,
                Place::Part | Place::Final => {}
            }
        }
        let form = entry.form();
        // There is one for an edge in either form.
        let at = form.at(slice).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((form, at))
    }

    /// Brings the edges to their places.
    fn unfold(&self, file: FileIndex, edges: Edges) -> io::Result<()> {
        let folded = self.open_to_write(&mut Glance::new(&self.base), file)?;
        let copy = self.parts.unfolding(file.0, &self.entry(file).path);
        // Left by a run that was ended.
        self.base.remove(&copy)?;
        let made = self.base.create(&copy)?;
        let found = || -> io::Result<(Found, Found)> {
            Ok((beneath::found_open(&folded)?, beneath::found_open(&made)?))
        };
        let named = copy_edges(&folded, &made, edges)
            .and_then(|()| beneath::sync_data(&made))
            .and_then(|()| found())
            .and_then(|found| self.name_unfolded(file, &copy).map(|()| found));
        match named {
            Ok((before, now)) => {
                self.use_unfolded(file, &before, &now);
                self.remove_edges(file);
                Ok(())
            }
            Err(error) => {
                // What cannot be removed is, the next time.
                let _ = self.base.remove(&copy);
                Err(error)
            }
        }
    }

    /// Gives the copy the name of the unfinished file, or another one when somebody has a file of
    /// that.
    fn name_unfolded(&self, file: FileIndex, copy: &Path) -> io::Result<()> {
        let rename = || self.base.hand_over(copy, &self.base, &self.plain_part_path(file));
        let named = rename();
        match is_taken(&named) && !self.entry(file).has_own_part.swap(true, Ordering::AcqRel) {
            true => rename(),
            false => named,
        }
    }

    /// From now on this file counts instead of that of the edges.
    fn use_unfolded(&self, file: FileIndex, before: &Found, now: &Found) {
        let entry = self.entry(file);
        in_use::claim(self.writer, now);
        in_use::release(before);
        // What somebody else wrote to the edges was copied with them.
        let is_doubtful = entry.is_doubtful(FileStamp(before.stamp));
        if is_doubtful && !entry.doubted.swap(true, Ordering::AcqRel) {
            self.has_doubts.store(true, Ordering::Release);
        }
        entry.expect_unchanged(None);
        entry.inode.store(now.stamp.inode, Ordering::Release);
        entry.note_left(Some(*now));
        entry.in_edges.store(false, Ordering::Release);
        // Last: what is opened for this epoch is the new file.
        entry.epoch.fetch_add(1, Ordering::AcqRel);
        for is_so in [&entry.ours, &entry.made, &entry.dirty, &entry.renamed, &self.has_made] {
            is_so.store(true, Ordering::Release);
        }
    }

    /// Removes a file of edges that does not count any more, once the name of what does is on the
    /// device. If that fails it takes a little space until the next start.
    fn remove_edges(&self, file: FileIndex) {
        let path = self.edges_path(file);
        let directory = path.parent().unwrap_or(Path::new(""));
        let removed = self.base.sync_directories(directory).and_then(|()| self.base.remove(&path));
        if let Err(error) = removed {
            let path = self.base.full(&path);
            tracing::warn!(path = %path.display(), %error, "a file that is not needed stays");
        }
    }

    /// Removes what a run left that was ended while edges went to their places. Called when a
    /// torrent starts, once it is known what is ours.
    pub(super) fn clear_up_edges(&self, file: FileIndex) {
        let entry = self.entry(file);
        if !entry.saw_edges.swap(false, Ordering::AcqRel) {
            return;
        }
        // It is made anew when it is needed, and tried again then.
        let _ = self.base.remove(&self.parts.unfolding(file.0, &entry.path));
        let is_replaced = match entry.place() {
            Place::Nowhere => false,
            Place::Part => !entry.in_edges(),
            Place::Final => entry.is_whole(),
        };
        if is_replaced && entry.is_ours() {
            self.remove_edges(file);
        }
    }

    fn edges_path(&self, file: FileIndex) -> PathBuf {
        self.parts.edges(file.0, &self.entry(file).path)
    }
}

impl Entry {
    /// Is its unfinished name one that only this torrent gives?
    pub(super) fn has_own_name(&self) -> bool {
        self.in_edges() || self.has_own_part.load(Ordering::Acquire)
    }

    /// It is called like this one, which is the same file at another path.
    pub(super) fn be_called_like(&self, other: &Self) {
        let has_own_part = other.has_own_part.load(Ordering::Acquire);
        self.has_own_part.store(has_own_part, Ordering::Release);
        self.in_edges.store(other.in_edges(), Ordering::Release);
    }
}

/// Copies edges to their places, as far as they were written.
fn copy_edges(from: &File, to: &File, edges: Edges) -> io::Result<()> {
    let written = from.metadata()?.len();
    let mut buffer = Pages::zeroed(COPY_LEN);
    for (at, place, len) in edges.both() {
        let len = len.min(written.saturating_sub(at));
        for begin in (0..len).step_by(COPY_LEN) {
            pulse::beat();
            let step = &mut buffer[..(len - begin).min(COPY_LEN as u64) as usize];
            from.read_exact_at(step, at + begin)?;
            to.write_all_at(step, place + begin)?;
        }
    }
    Ok(())
}

//! What a check of pieces says of each file: whole, missing, too short or long, and which of
//! its bytes are wrong. Reads no content and decides nothing.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::base::bitfield::Bitfield;
use crate::base::layout::Layout;

use super::files::{Entry, FileStore, Place};

/// How a file stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileCheck {
    /// All there and right, or padding.
    Whole,
    /// Not on disk.
    Missing,
    /// Has this many bytes only.
    TooShort(u64),
    /// Has more bytes than it should: this many. Its pieces may be right.
    TooLong(u64),
    /// This many of its pieces are wrong, or could not be looked at.
    Wrong(u32),
}

/// What a check found of one file. A piece across files counts in each of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileReport {
    /// How it stands.
    pub check: FileCheck,
    /// Pieces that it has bytes of.
    pub piece_count: u32,
    /// Those of them that were looked at and are wrong.
    pub wrong_pieces: u32,
    /// The bytes of the file in wrong pieces: half-open, ascending, with gaps between them.
    pub wrong: Vec<Range<u64>>,
    /// The bytes of the file in pieces that nobody could look at, or did: they or others of
    /// their piece are missing or unreadable, or the check ended before. As `wrong`.
    pub unread: Vec<Range<u64>>,
    /// Why the file cannot be read, in words for people.
    pub unreadable: Option<String>,
}

/// Files that could not be read, and why: the first error of each in words for people.
pub(super) type Unreadable = BTreeMap<PathBuf, String>;

impl Entry {
    /// What a check that found `wrong_pieces` says of the file.
    pub(super) fn judge(&self, wrong_pieces: u32) -> FileCheck {
        let len = self.present_len.load(Ordering::Relaxed);
        match self.place() {
            _ if self.is_pad => FileCheck::Whole,
            _ if len == 0 && self.len > 0 => FileCheck::Missing,
            Place::Nowhere => FileCheck::Missing,
            _ if self.form().is_edges() => FileCheck::Wrong(wrong_pieces),
            Place::Part | Place::Final => judge_file(self.len, len, wrong_pieces),
        }
    }
}

/// Tells of a file that is there from its length, the length on disk, and how many of its
/// pieces are not right.
fn judge_file(len: u64, present: u64, wrong_pieces: u32) -> FileCheck {
    match present.cmp(&len) {
        Less => FileCheck::TooShort(present),
        Greater => FileCheck::TooLong(present),
        Equal if wrong_pieces > 0 => FileCheck::Wrong(wrong_pieces),
        Equal => FileCheck::Whole,
    }
}

/// One report a file, from the pieces that are right and those that were looked at.
pub(super) fn files(
    store: &FileStore,
    layout: &Layout,
    have: &Bitfield,
    looked_at: &Bitfield,
    unreadable: &Unreadable,
) -> Vec<FileReport> {
    let none = |_| FileReport {
        check: FileCheck::Whole,
        piece_count: 0,
        wrong_pieces: 0,
        wrong: Vec::new(),
        unread: Vec::new(),
        unreadable: None,
    };
    let mut reports: Vec<FileReport> = store.entries.iter().map(none).collect();
    let mut lacking = vec![0; reports.len()];
    for piece in layout.pieces() {
        let len = u64::from(layout.len_of(piece));
        for slice in store.extents.slices(layout.piece_offset(piece), len) {
            let number = slice.file.0 as usize;
            let report = &mut reports[number];
            report.piece_count += 1;
            if have.has(piece) {
                continue;
            }
            lacking[number] += 1;
            let bytes = slice.offset_in_file..slice.offset_in_file + slice.len;
            match looked_at.has(piece) {
                true => {
                    report.wrong_pieces += 1;
                    append(&mut report.wrong, bytes);
                }
                false => append(&mut report.unread, bytes),
            }
        }
    }
    for (file, entry) in store.real() {
        let number = file.0 as usize;
        let path = store.base.full(&entry.path);
        reports[number].check = entry.judge(lacking[number]);
        reports[number].unreadable = unreadable.get(&path).cloned();
    }
    reports
}

/// Adds a range behind the last one, or to it.
fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

//! Bytes of a torrent ↔ ranges of its files (BEP 3: the files one after the other), with
//! the pad files between them (BEP 47). It knows lengths only, neither names nor pieces.

use std::ops::Range;

use super::ids::FileIndex;

/// Where each file of a torrent begins and ends: nine bytes a file, found by binary search.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extents {
    ends: Vec<u64>,
    pads: Vec<bool>,
}

/// A part of one file that a range of the torrent covers; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSlice {
    /// The file.
    pub file: FileIndex,
    /// First byte within the file.
    pub offset_in_file: u64,
    /// Bytes of this part.
    pub len: u64,
    /// The file is padding: all zeros, and not on disk.
    pub is_pad: bool,
}

impl Extents {
    /// Extents of files given in order as (length in bytes, is a pad file).
    ///
    /// # Panics
    /// When the lengths add up past 2^64 or there are more than 2^32 files: `metainfo`
    /// refuses such torrents.
    pub fn new(files: impl IntoIterator<Item = (u64, bool)>) -> Self {
        let mut total = 0u64;
        let (ends, pads): (Vec<u64>, Vec<bool>) = files
            .into_iter()
            .map(|(len, is_pad)| {
                total = total.checked_add(len).expect("a torrent is shorter than 2^64 bytes");
                (total, is_pad)
            })
            .unzip();
        assert!(u32::try_from(ends.len()).is_ok(), "a torrent has fewer than 2^32 files");
        Self { ends, pads }
    }

    /// All bytes, pad files included.
    pub fn total_len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many files there are, pad files included.
    pub fn file_count(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The bytes of the torrent that are this file; empty for one of no length.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn file_range(&self, file: FileIndex) -> Range<u64> {
        self.begin_of(file.0 as usize)..self.ends[file.0 as usize]
    }

    /// Is this file padding? One that does not exist is none.
    pub fn is_pad(&self, file: FileIndex) -> bool {
        self.pads.get(file.0 as usize).copied().unwrap_or(false)
    }

    /// The parts of files that `len` bytes from `offset` are made of, in order. Files
    /// without bytes are left out, and so is what lies behind the end.
    pub fn slices(&self, offset: u64, len: u64) -> impl Iterator<Item = FileSlice> + '_ {
        let end = offset.saturating_add(len).min(self.total_len());
        let first = self.ends.partition_point(|file_end| *file_end <= offset);
        let mut at = offset;
        (first..self.ends.len()).take_while(move |file| self.begin_of(*file) < end).filter_map(
            move |file| {
                let begin = self.begin_of(file);
                let len = end.min(self.ends[file]).saturating_sub(at);
                let slice = FileSlice {
                    file: FileIndex(file as u32),
                    offset_in_file: at - begin,
                    len,
                    is_pad: self.pads[file],
                };
                at += len;
                (len > 0).then_some(slice)
            },
        )
    }

    /// The files that have bytes among `len` bytes from `offset`, in order.
    pub fn files_of_range(&self, offset: u64, len: u64) -> impl Iterator<Item = FileIndex> + '_ {
        self.slices(offset, len).map(|slice| slice.file)
    }

    fn begin_of(&self, file: usize) -> u64 {
        file.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_length_files_have_no_slices_and_pads_are_marked() {
        let extents = Extents::new([(0, false), (10, false), (0, false), (6, true), (5, false)]);
        let slices: Vec<_> = extents.slices(8, 100).collect();
        let slice = |file, offset_in_file, len, is_pad| FileSlice {
            file: FileIndex(file),
            offset_in_file,
            len,
            is_pad,
        };
        assert_eq!(slices, [slice(1, 8, 2, false), slice(3, 0, 6, true), slice(4, 0, 5, false)]);
        assert_eq!(extents.file_range(FileIndex(2)), 10..10);
        assert_eq!(extents.file_range(FileIndex(4)), 16..21);
        let files: Vec<_> = extents.files_of_range(9, 2).collect();
        assert_eq!(files, [FileIndex(1), FileIndex(3)]);
    }

    #[test]
    fn ranges_outside_are_empty() {
        let extents = Extents::new([(10, false)]);
        assert_eq!(extents.slices(10, 5).count(), 0);
        assert_eq!(extents.slices(0, 0).count(), 0);
        assert_eq!(extents.slices(u64::MAX, u64::MAX).count(), 0);
        assert_eq!(extents.slices(5, u64::MAX).next().unwrap().len, 5);
        assert_eq!(Extents::new([]).slices(0, 1).count(), 0);
        assert_eq!(Extents::new([]).total_len(), 0);
    }

    /// Every byte of the torrent as (file, offset in file, pad), the slow and obvious way.
    fn bytes_of(files: &[(u64, bool)]) -> Vec<(u32, u64, bool)> {
        let numbered = (0u32..).zip(files);
        numbered.flat_map(|(file, &(len, pad))| (0..len).map(move |at| (file, at, pad))).collect()
    }

    proptest! {
        #[test]
        fn slices_agree_with_a_table_of_every_byte(
            files in proptest::collection::vec((0u64..9, any::<bool>()), 0..20),
            offset in 0u64..120,
            len in 0u64..120,
        ) {
            let extents = Extents::new(files.clone());
            let table = bytes_of(&files);
            prop_assert_eq!(extents.total_len(), table.len() as u64);
            let mut found = Vec::new();
            for slice in extents.slices(offset, len) {
                prop_assert!(slice.len > 0);
                let range = extents.file_range(slice.file);
                prop_assert_eq!(range.start + slice.offset_in_file, offset + found.len() as u64);
                found.extend((0..slice.len).map(|at| {
                    (slice.file.0, slice.offset_in_file + at, slice.is_pad)
                }));
            }
            let wanted: Vec<_> =
                table.iter().skip(offset as usize).take(len as usize).copied().collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

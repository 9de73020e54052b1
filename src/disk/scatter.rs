//! Writing bytes that lie scattered in memory to one place of a file. Knows no torrent.

use std::fs::File;
use std::io::{self, IoSlice};

use rustix::io::Errno;

/// A walk along scattered parts.
pub(super) struct Cursor<'a> {
    parts: &'a [&'a [u8]],
    begin: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Self {
        Self { parts, begin: 0 }
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Vec<&'a [u8]> {
        let mut taken = Vec::with_capacity(self.parts.len());
        let mut left = len;
        while let (Some((part, behind)), true) = (self.parts.split_first(), left > 0) {
            let rest = &part[self.begin..];
            let count = left.min(rest.len() as u64);
            taken.push(&rest[..count as usize]);
            left -= count;
            self.begin += count as usize;
            if self.begin == part.len() {
                (self.parts, self.begin) = (behind, 0);
            }
        }
        taken
    }
}

/// The most buffers one system call takes (IOV_MAX of Linux).
const BUFFERS_MAX: usize = 1024;

/// Writes the parts one after another from `offset`.
pub(super) fn write_all(file: &File, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    for parts in parts.chunks(BUFFERS_MAX) {
        let mut buffers: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = buffers.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

//! Memory that the system copies to or from: it begins at a page. Allocators put a large piece
//! of memory sixteen bytes behind a page boundary, and there the kernel's copy runs at a third of
//! its speed on some processors (1.4 to 1.8 GB/s instead of 4.2 to 5.0 on a Zen 3). Not for what
//! only we read and write. `benches/copy.rs` measures it.

use std::ops::{Deref, DerefMut};

/// The least that a page has on any machine of ours.
pub const PAGE_LEN: usize = 4096;

/// Bytes from the beginning of a page on.
#[derive(Debug, Default)]
pub struct Pages {
    /// A page more than is used; the ones before `begin` are not.
    bytes: Vec<u8>,
    begin: usize,
}

impl Pages {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + PAGE_LEN];
        // Never more than a page, for bytes stand anywhere.
        let begin = bytes.as_ptr().align_offset(PAGE_LEN).min(PAGE_LEN);
        let mut pages = Self { bytes, begin };
        // No allocation is made anew when a buffer becomes shorter.
        pages.bytes.truncate(begin + len);
        pages
    }

    /// The first `len` bytes of memory that is used again and again: it grows when it must, so
    /// that its pages are made once, and holds whatever it held before, or zeros.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        if self.len() < len {
            *self = Self::zeroed(len);
        }
        &mut self[..len]
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.begin..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_at_a_page_also_when_it_has_grown() {
        for len in [0, 1, 100, PAGE_LEN, 64 << 10, 1 << 20, (1 << 20) + 1] {
            let mut pages = Pages::zeroed(len);
            assert_eq!((pages.len(), pages.as_ptr() as usize % PAGE_LEN), (len, 0));
            assert!(pages.iter().all(|byte| *byte == 0));
            let room = pages.room(len + 1);
            assert_eq!((room.len(), room.as_ptr() as usize % PAGE_LEN), (len + 1, 0));
        }
        let mut pages = Pages::default();
        pages.room(10).fill(7);
        assert_eq!(pages.room(5), [7; 5], "the same memory");
    }
}

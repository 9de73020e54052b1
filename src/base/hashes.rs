//! The SHA-1 hashes of a torrent's pieces, as they lie within a larger text that several hold:
//! nobody needs a copy of 20 bytes a piece. It knows nothing of pieces.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// 20 bytes for each piece, one behind the other. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct PieceHashes {
    text: Arc<[u8]>,
    range: Range<usize>,
    are_known: bool,
}

impl PieceHashes {
    /// The hashes at `range` of `text`; none when it has no such range.
    pub fn within(text: Arc<[u8]>, range: Range<usize>) -> Option<Self> {
        text.get(range.clone())?;
        Some(Self { text, range, are_known: true })
    }

    /// As many, which are of nothing: nobody knows the hashes of these pieces.
    pub fn unknown(self) -> Self {
        Self { are_known: false, ..self }
    }

    /// Is each the hash of its piece? Otherwise nothing but the whole can be judged.
    pub fn are_known(&self) -> bool {
        self.are_known
    }
}

impl Deref for PieceHashes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[self.range.clone()]
    }
}

impl From<Vec<u8>> for PieceHashes {
    fn from(hashes: Vec<u8>) -> Self {
        let range = 0..hashes.len();
        Self { text: hashes.into(), range, are_known: true }
    }
}

impl std::fmt::Debug for PieceHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} piece hashes", self.range.len() / 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_a_part_of_the_text_or_nothing() {
        let text: Arc<[u8]> = Arc::from(&b"abcdef"[..]);
        let hashes = PieceHashes::within(text.clone(), 1..4).unwrap();
        assert_eq!(&*hashes, b"bcd");
        assert_eq!(Arc::strong_count(&text), 2, "it is no copy");
        assert_eq!(PieceHashes::within(text.clone(), 4..7), None);
        #[expect(clippy::reversed_empty_ranges)]
        let backwards = 4..2;
        assert_eq!(PieceHashes::within(text, backwards), None);
        assert_eq!(&*PieceHashes::from(b"xy".to_vec()), b"xy");
    }
}

//! Torrents that can be read, but whose hashes cannot all be right: padding that is not zero,
//! and halves of hybrids that were hashed with other bytes than they list. Nothing here is a
//! reason to refuse the rest of them.

use sha1::{Digest, Sha1};

use crate::base::layout::{Layout, PieceIndex};

use super::{Kind, Torrent};

/// Zeros that are hashed at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Why a torrent may never be complete, in words for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// A piece is padding alone, which is zero (BEP 47), and has the hash of something else.
    #[error(
        "piece {piece} is padding alone, but its hash is not that of zeros: \
        it cannot be right, and the torrent never complete"
    )]
    Padding {
        /// The first such piece.
        piece: u32,
    },
    /// A hybrid of one file by a program that hashes zeros behind the file's end into the last v1
    /// piece, though the torrent lists no padding.
    #[error(
        "{program} hashes padding into the last piece that the torrent does not list: \
        it may never be right, and the download never complete"
    )]
    LastPiece {
        /// What the torrent says it was made by. Text of a stranger.
        program: String,
    },
}

/// The flaws that show without the data.
pub(super) fn of(torrent: &Torrent) -> Vec<Flaw> {
    let Some(layout) = torrent.layout else { return Vec::new() };
    let padding = wrong_padding(torrent, layout).map(|piece| Flaw::Padding { piece });
    padding.into_iter().chain(last_piece(torrent, layout)).collect()
}

/// The first piece that is padding alone and cannot be right.
fn wrong_padding(torrent: &Torrent, layout: Layout) -> Option<u32> {
    if !torrent.files.iter().any(|file| file.is_pad) {
        return None;
    }
    let extents = torrent.files.extents();
    // All pieces have one length but the last one, so few are hashed.
    let mut last: Option<(u32, [u8; 20])> = None;
    let mut is_wrong = |piece: PieceIndex| {
        let len = layout.len_of(piece);
        let mut slices = extents.slices(layout.piece_offset(piece), len.into());
        if !slices.all(|slice| slice.is_pad) {
            return false;
        }
        let known = last.filter(|(known, _)| *known == len).map(|(_, hash)| hash);
        let hash = known.unwrap_or_else(|| hash_of_zeros(len));
        last = Some((len, hash));
        torrent.piece_hash(piece) != &hash
    };
    layout.pieces().find(|piece| is_wrong(*piece)).map(PieceIndex::number)
}

fn hash_of_zeros(len: u32) -> [u8; 20] {
    let mut hasher = Sha1::new();
    let mut rest = len as usize;
    while rest > 0 {
        let step = rest.min(ZEROS.len());
        hasher.update(&ZEROS[..step]);
        rest -= step;
    }
    hasher.finalize().into()
}

/// The program torrentfile does so (seen with 0.9.2): only its hybrids of one file, whose
/// last piece is shorter than the others.
fn last_piece(torrent: &Torrent, layout: Layout) -> Option<Flaw> {
    let program = torrent.created_by.as_ref()?;
    let is_theirs = program.to_ascii_lowercase().starts_with("torrentfile");
    let is_single = torrent.kind() == Kind::Hybrid && torrent.files.len() == 1;
    let is_short = !layout.total_len().is_multiple_of(layout.piece_len().into());
    let program = program.clone();
    (is_theirs && is_single && is_short).then_some(Flaw::LastPiece { program })
}

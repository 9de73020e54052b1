//! Torrents as strangers wrote them, made into facts that can be trusted: names that stay in
//! their directory, lengths that add up, hashes that fit (BEP 3, 12, 19, 27, 47, 52), and the
//! links that stand for them (BEP 9, 53). Not here: reading files, and what is done with a
//! torrent.

pub mod create;
mod files;
mod flaws;
mod info;
pub mod magnet;
mod merkle;
mod paths;
mod sources;
mod torrent;
mod tree;
mod twins;
mod written;

#[cfg(test)]
mod tests;

use crate::bencode;

pub use files::{File, Files, Symlink};
pub use flaws::Flaw;
pub use info::Kind;
pub use magnet::Magnet;
pub use paths::{clean as clean_name, fold as fold_name};
pub use sources::WEB_SEEDS_MAX;
pub use torrent::{TORRENT_LEN_MAX, Torrent};
pub use twins::folded_names;
pub use written::Spelling;

/// Why a torrent is refused. Always the fault of whoever made it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than [`TORRENT_LEN_MAX`].
    #[error("torrent has {len} bytes, more than the limit of {TORRENT_LEN_MAX}")]
    TooLarge {
        /// Its bytes.
        len: usize,
    },
    /// Not bencode at all.
    #[error("not a torrent: {0}")]
    Bencode(#[from] bencode::Error),
    /// A field that is missing or makes no sense.
    #[error("bad torrent: {place} {problem}")]
    Field {
        /// The keys that lead to it, such as `info.files[3].path`.
        place: String,
        /// What is wrong, as the rest of the sentence.
        problem: String,
    },
}

fn refuse(place: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Field { place: place.into(), problem: problem.into() }
}

//! Torrents as we make them (BEP 3, 12, 19, 27, 47, 52): which bytes make which piece, and
//! the bytes of the .torrent once those are hashed. Not here: finding files, reading them,
//! hashing them.
//!
//! [`Plan::new`] puts the files in order and settles the pieces; whoever reads hashes
//! [`Plan::piece_range`] by [`Plan::spans`]; [`Plan::finish`] writes the torrent.

mod plan;
#[cfg(test)]
mod tests;
mod write;

use crate::base::layout::PIECES_MAX;
use crate::base::units::size;

use super::{Kind, sources};

pub use plan::{Content, Plan, SourceFile, Span};

/// The shortest piece that we make: one block (BEP 52 allows no less).
pub const PIECE_LEN_MIN: u32 = 16 << 10;
/// The longest piece that we make. Longer ones are legal, but many programs refuse them.
pub const PIECE_LEN_MAX: u32 = 128 << 20;

/// What a new torrent is to say beside its files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateOptions {
    /// The format, or both at once.
    pub kind: Kind,
    /// Its name; that of the file or directory when none.
    pub name: Option<String>,
    /// Bytes of a piece, a power of two from [`PIECE_LEN_MIN`] to [`PIECE_LEN_MAX`]; chosen
    /// by the amount of data when none.
    pub piece_length: Option<u64>,
    /// No peers but those of its trackers (BEP 27).
    pub private: bool,
    /// Where it is from. Part of the info-hash, so that trackers can tell their own copies.
    pub source: Option<String>,
    /// Tracker URLs by tier (BEP 12). An URL that is named twice is kept where it came first.
    pub trackers: Vec<Vec<String>>,
    /// URLs of web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Whatever its maker wants to say.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970; left out when none.
    pub creation_date: Option<u64>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            kind: Kind::V1,
            name: None,
            piece_length: None,
            private: false,
            source: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: Some(concat!("Pigeon/", env!("CARGO_PKG_VERSION")).to_owned()),
            creation_date: None,
        }
    }
}

/// Why no torrent can be made so. The fault of whoever asks for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No files, or empty ones only: there would be no piece.
    #[error("{name} holds no bytes: there is nothing to share")]
    NoData {
        /// The name of the torrent.
        name: String,
    },
    /// A piece length that programs refuse.
    #[error("piece length {0} is not a power of two from 16 KiB to 128 MiB: try 256KiB")]
    PieceLength(u64),
    /// More pieces than programs take.
    #[error(
        "pieces of {} would be {count}, more than {PIECES_MAX}: choose longer ones",
        size((*.piece_length).into())
    )]
    TooManyPieces {
        /// How many there would be.
        count: u64,
        /// Bytes of each.
        piece_length: u32,
    },
    /// A URL that names no tracker or web seed.
    #[error("{url} is no URL of a {what}: it begins with {schemes}")]
    Url {
        /// The URL.
        url: String,
        /// Tracker or web seed.
        what: &'static str,
        /// How it may begin.
        schemes: &'static str,
    },
    /// A name that downloaders must change, because some system cannot hold it or it fools
    /// people. The files could not be seeded from here.
    #[error("{path} would be called {becomes} by those who download it: rename it")]
    Name {
        /// The path below the torrent's parent directory.
        path: String,
        /// What becomes of it.
        becomes: String,
    },
    /// Our own reader would refuse the torrent: paths too deep, too many files.
    #[error("no good torrent can be made of this: {0}")]
    Refused(#[from] super::Error),
}

/// A torrent of an info dictionary of version 1 that was made before, with other trackers and
/// whatever else surrounds it.
///
/// # Errors
/// `Url`.
pub fn wrap(raw_info: &[u8], options: &CreateOptions) -> Result<Vec<u8>, Error> {
    check_urls(options)?;
    Ok(write::around(raw_info, options, |_| {}))
}

/// A torrent of an info dictionary that peers sent, with the trackers and web seeds of the link
/// that named it, whatever programs they are for.
pub fn wrap_found(raw_info: &[u8], trackers: &[Vec<String>], web_seeds: &[String]) -> Vec<u8> {
    let options = CreateOptions {
        trackers: trackers.to_vec(),
        web_seeds: web_seeds.to_vec(),
        created_by: None,
        ..CreateOptions::default()
    };
    write::around(raw_info, &options, |_| {})
}

/// Trackers and web seeds begin with a scheme that some program understands.
fn check_urls(options: &CreateOptions) -> Result<(), Error> {
    let trackers = options.trackers.iter().flatten();
    for url in trackers {
        check_url(url, "tracker", "http://, https:// or udp://")?;
    }
    for url in &options.web_seeds {
        check_url(url, "web seed", "http:// or https://")?;
    }
    Ok(())
}

fn check_url(url: &str, what: &'static str, schemes: &'static str) -> Result<(), Error> {
    let is_good = url.split_once("://").is_some_and(|(scheme, rest)| {
        let start = format!("{}://", scheme.to_ascii_lowercase());
        let is_known = schemes.split([',', ' ']).any(|known| known == start);
        is_known && !rest.is_empty() && !rest.starts_with('/')
    });
    match is_good && sources::clean(url.as_bytes()).as_deref() == Some(url) {
        true => Ok(()),
        false => Err(Error::Url { url: url.to_owned(), what, schemes }),
    }
}

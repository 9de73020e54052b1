//! Bencode (BEP 3): strangers' bytes pass the guard first, then a typed decoder (serde) or
//! a view over the same bytes reads them. Not here: what the dictionaries mean.
//!
//! Two ways to read. [`decode`] fills a struct: for bytes that are ours or small, and
//! whose keys we know. [`scan`] gives a [`Value`] that copies nothing and ignores what it is
//! not asked for: for everything that must survive odd keys, such as torrents.

mod guard;
mod typed;
mod value;

pub use guard::{Limits, MESSAGE, Scan, TORRENT, TRACKER, scan};
pub use typed::{decode, decode_prefix, encode};
pub use value::{Dict, List, Value};

/// Why bytes are not the bencode we accept. Always the writer's fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input stops inside a value.
    #[error("bencode stops early at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// A byte that cannot stand here.
    #[error("bencode has 0x{byte:02x} at byte {offset}, where {expected} must stand")]
    Unexpected {
        /// Where it stands.
        offset: usize,
        /// The byte.
        byte: u8,
        /// What may stand there.
        expected: &'static str,
    },
    /// A string longer than the rest of the input, or a length of too many digits.
    #[error("bencode string at byte {offset} is longer than the input")]
    Length {
        /// Where the length stands.
        offset: usize,
    },
    /// An integer without digits or with more than twenty.
    #[error("bencode integer at byte {offset} has no digits or too many")]
    Integer {
        /// Where the integer begins.
        offset: usize,
    },
    /// Lists and dictionaries nested too deep.
    #[error("bencode nests deeper than {depth} levels at byte {offset}")]
    Depth {
        /// The limit.
        depth: u32,
        /// Where the level too much begins.
        offset: usize,
    },
    /// More values than the limit.
    #[error("bencode holds more than {tokens} values (byte {offset})")]
    Tokens {
        /// The limit.
        tokens: u32,
        /// Where the value too much begins.
        offset: usize,
    },
    /// Something follows the value.
    #[error("{count} bytes follow the bencode value that ends at byte {offset}")]
    Trailing {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow.
        count: usize,
    },
    /// Valid bencode, but not the dictionary that was asked for.
    #[error("bencode is not of the expected shape: {0}")]
    Shape(#[from] serde_bencode::Error),
}

//! Addresses that the user wants nothing to do with, by lists that others keep. One object, which
//! everybody who takes addresses asks; a list that has changed takes the place of the old one in
//! one step, so that there is no moment without any. A list that cannot be read is an error at the
//! start, and later a word beside the old list, never an empty one; before one is there that is yet
//! to be fetched, everybody is blocked. Trackers and servers of files are not asked about: the user
//! chose them. Not here: who is dialled, let in or heard.

pub(super) mod blocked;
mod error;
mod fetch;
mod keeper;
mod kept;
pub mod line;
pub mod parse;
mod source;
pub mod table;

pub use blocked::{Blocklist, Changes, Refused, Standing, Tally};
pub use error::Error;
pub use keeper::{Keeper, Lists, Pace, start};
pub use source::Source;

#[cfg(test)]
mod tests;

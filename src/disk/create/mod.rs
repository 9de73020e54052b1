//! Making a torrent of what is on disk: find the files, hash them on all cores, write down
//! what they are. Blocking; for a thread that may wait. Not here: the format
//! (`metainfo::create`), and where the .torrent is written.

mod error;
mod hash;
mod make;
mod record;
#[cfg(test)]
mod tests;
mod walk;

pub use error::Error;
pub use hash::Progress;
pub use make::{Created, create, create_and_sum};
pub use record::is_unchanged;
pub use walk::Skipped;

//! Carrying a torrent's files to where they are to be: the note of it, the hands that copy and
//! rename, and the end of what was left half done. What goes where is decided elsewhere
//! (`relocate`).
//!
//! The order makes it safe against a crash at any moment:
//!
//! 1. a note of what is to be done is brought to the device (`intent`);
//! 2. files that go to another file system are copied there, under names of their own, which
//!    are reserved before and noted as ours;
//! 3. the record is replaced by one that names the new home: from here on the files belong
//!    there, before that they are where they were;
//! 4. copies and files of the same file system are renamed to their new names;
//! 5. what was copied is removed where it was, then empty directories, then the note.
//!
//! A start that finds a note looks which home the record names ([`recover`]): with the old
//! one it removes the copies, with the new one it goes on with step 4. Neither reads a file.

mod below;
mod hands;
mod intent;
mod progress;

pub use self::progress::MoveProgress;

pub(super) use self::below::is_free;
pub(super) use self::hands::{prepare, recover, settle};
pub(super) use self::intent::{Intent, Move, path_beside};

//! The record of verified pieces: `<info-hash>.resume` in the state directory, or one of its own
//! for a place that a second program uses. A bencoded head,
//! its SHA-1, and then entries of a fixed size, appended as pieces land, one for neighbours that
//! are written together, each with its own check, so that a torn tail is noticed.
//!
//! | part | what it knows |
//! |---|---|
//! | `format` | bytes: writing and replaying them; no file |
//! | `loaded` | a locked record that was read, until the torrent starts |
//! | `journal` | the record while the torrent runs |
//! | `lock` | which process has which record, and which place |
//! | `place` | which record the files below a directory have |
//! | `home` | where the files are and what they are called, when their user changed that |
//! | `era` | how long the system's memory keeps what was written |
//!
//! Two promises. After a crash of the process every piece that was noted counts: the system
//! still has its bytes. After a power loss only those count that a mark covers, and a mark is
//! written when their bytes have reached the device (`disk::syncer`). The others are looked
//! at again.

mod era;
mod format;
mod home;
mod journal;
mod loaded;
mod lock;
mod place;

pub use self::format::{Replayed, Subject, Unfit, home, replay};
pub use self::home::{Home, lasting};
pub use self::loaded::RecordState;
pub use self::lock::Reserved;
pub use self::place::{forget_moved, home_in, home_of, is_used, record_of, reserve};

pub(super) use self::era::Ground;
pub(super) use self::format::Standing;
pub(super) use self::home::{Written, as_bytes, path_of};
pub(super) use self::journal::Journal;
pub(super) use self::loaded::{Loaded, Locked};
#[cfg(test)]
pub(super) use self::{era::now_ns, format::begin, journal::RecordFile};

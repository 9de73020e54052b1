//! What rooms above ask of the operating system, each thing in one place: files that are written
//! once and for all, locks of files, the allocator's share of the address space. Not here: what
//! stands in a file, and files of torrents, which are written piece by piece.

pub mod arenas;
pub mod lock;
pub mod process;
pub mod whole;
pub mod zone;

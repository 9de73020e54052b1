//! Ground floor: the words everybody uses. Only std and small crates; no sockets, files,
//! clocks or threads, but for the clock by which `digest` chooses its engines.

pub mod addr;
pub mod bitfield;
pub mod checksum;
pub mod digest;
pub mod extents;
pub mod file_priority;
pub mod hashes;
pub mod ids;
pub mod layout;
pub mod meter;
pub mod pages;
pub mod pool;
pub mod priority;
pub mod ration;
pub mod units;
pub mod url;

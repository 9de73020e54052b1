//! The room [`disk`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod disk;

use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_metainfo::metainfo;
use pigeon_os::os;
use pigeon_swarm::swarm;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

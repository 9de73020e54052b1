//! The room [`swarm`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod swarm;

use pigeon_base::base;
use pigeon_seek::seek;
use pigeon_wire::wire;

//! The room [`net`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod net;

use pigeon_base::base;
use pigeon_os::os;
use pigeon_wire::wire;

//! The room [`chunk`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod chunk;

use pigeon_base::base;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
use pigeon_os::os;

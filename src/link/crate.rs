//! The room [`link`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod link;

use pigeon_base::base;
use pigeon_chunk::chunk;
use pigeon_disk::disk;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
use pigeon_swarm::swarm;
use pigeon_web::web;
use pigeon_wire::wire;

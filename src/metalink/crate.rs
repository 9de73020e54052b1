//! The room [`metalink`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod metalink;

use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_metainfo::metainfo;

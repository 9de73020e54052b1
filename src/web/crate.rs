//! The room [`web`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod web;

use pigeon_base::base;
use pigeon_metainfo::metainfo;
use pigeon_metalink::metalink;
use pigeon_net::net;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

//! The room [`tracker`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod tracker;

use pigeon_base::base;
use pigeon_bencode::bencode;
#[cfg(feature = "tracker-server")]
use pigeon_http::http;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
#[cfg(feature = "tracker-server")]
use pigeon_os::os;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

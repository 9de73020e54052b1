//! The room [`dht`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod dht;

use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_net::net;
use pigeon_os::os;

//! The room [`wire`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod wire;

use pigeon_base::base;
use pigeon_bencode::bencode;

//! The room [`ledger`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod ledger;

use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_metainfo::metainfo;
use pigeon_os::os;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

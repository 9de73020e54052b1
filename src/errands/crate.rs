//! The room [`errands`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod errands;

use pigeon_api::api;
use pigeon_base::base;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
use pigeon_os::os;
#[cfg(test)]
use pigeon_session::session;
use pigeon_web::web;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

//! The room [`rpc`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod rpc;

use pigeon_api::api;
use pigeon_http::http;
use pigeon_net::net;
use pigeon_os::os;
use pigeon_roster::roster;
#[cfg(test)]
use pigeon_session::session;

//! The room [`http`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod http;

use pigeon_base::base;
use pigeon_net::net;

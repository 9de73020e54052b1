//! The room [`cli`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod cli;

use pigeon_api::api;
use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_chunk::chunk;
use pigeon_dht::dht;
use pigeon_disk::disk;
use pigeon_errands::errands;
use pigeon_http::http;
use pigeon_link::link;
use pigeon_metainfo::metainfo;
use pigeon_metalink::metalink;
use pigeon_net::net;
use pigeon_os::os;
use pigeon_roster::roster;
use pigeon_rpc::rpc;
use pigeon_seek::seek;
use pigeon_session::session;
use pigeon_swarm::swarm;
use pigeon_torrent::torrent;
use pigeon_tracker::tracker;
use pigeon_web::web;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

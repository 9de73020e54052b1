//! The room [`api`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod api;

use pigeon_base::base;
use pigeon_disk::disk;
use pigeon_ledger::ledger;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
use pigeon_roster::roster;
use pigeon_session::session;
use pigeon_swarm::swarm;
use pigeon_torrent::torrent;
use pigeon_tracker::tracker;
use pigeon_web::web;

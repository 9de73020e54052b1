//! The room [`session`] as a crate of its own: what it may use, and nothing else.
#![warn(missing_docs)]

#[path = "mod.rs"]
pub mod session;

use pigeon_base::base;
use pigeon_bencode::bencode;
use pigeon_dht::dht;
use pigeon_disk::disk;
use pigeon_ledger::ledger;
use pigeon_link::link;
use pigeon_metainfo::metainfo;
use pigeon_net::net;
use pigeon_os::os;
use pigeon_roster::roster;
use pigeon_seek::seek;
#[cfg(test)]
use pigeon_swarm::swarm;
use pigeon_torrent::torrent;
use pigeon_tracker::tracker;
use pigeon_wire::wire;

#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;

//! Pigeon: a BitTorrent client, one brain with many hands.
//!
//! The map of the house, from the ground up. A room imports only from lower floors;
//! `tests/tidy.rs` holds the table and decides. `ARCHITECTURE.md` explains why.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 roof | `main`, [`cli`] |
//! | 5 keepers | [`session`], [`torrent`] |
//! | 4 carriers | [`link`], `tracker::{task, server}`, the network roles of [`chunk`] |
//! | 3 workshop | [`disk`], [`net`], `chunk::{config, replace, store, tools}` |
//! | 2 machines | [`swarm`], `tracker::{tiers, table}` |
//! | 1 formats | [`metainfo`], [`wire`], `tracker::{announce, http}`, `chunk::{wire, ini, cut}` |
//! | 0 ground | [`base`], [`bencode`] |
#![warn(missing_docs)]

pub mod base;
pub mod bencode;
pub mod chunk;
pub mod cli;
pub mod disk;
pub mod link;
pub mod metainfo;
pub mod net;
pub mod session;
pub mod swarm;
pub mod torrent;
pub mod tracker;
pub mod wire;

#[cfg(test)]
#[path = "../tests/support/fuzz.rs"]
mod fuzz;

//! The world around one brain, in virtual time: remote peers of many characters, links with
//! latency and bandwidth, a disk that fails. Nothing here sleeps or opens a socket; all
//! chance comes from one seed, so that a failure can be seen again:
//! `PIGEON_SIM_SEED=n cargo test --test sim` traces one, `PIGEON_SIM_SEEDS=n` runs more.

mod cost;
mod dht;
mod disk;
mod faults;
mod ledger;
mod link;
mod scenarios;
mod seeds;
mod seekers;
mod server;
mod servers;
mod short;
mod swarms;
mod swarms_ledger;
mod swarms_setup;
mod swarms_world;
mod together;
mod world;

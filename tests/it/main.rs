//! Tests of the whole program from outside, in one binary: the real `driver` against a seeder
//! written by hand, and against other people's clients.

#[path = "../support/content.rs"]
mod content;
#[path = "../support/mock_peer.rs"]
mod mock_peer;
#[path = "../support/mock_tls.rs"]
mod mock_tls;
#[path = "../support/mock_tracker.rs"]
mod mock_tracker;
#[path = "../support/mock_udp_tracker.rs"]
mod mock_udp_tracker;
#[path = "../support/mock_web.rs"]
mod mock_web;
#[path = "../support/payload.rs"]
mod payload;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/seeder.rs"]
mod seeder;
#[path = "../support/veil.rs"]
mod veil;

mod blocklist;
mod cli;
mod course;
mod dht;
mod download;
mod errands;
mod faults;
mod hostile;
mod interop;
mod kill;
mod limits;
mod magnet;
mod many;
mod memory;
mod names;
mod numbers;
mod partial;
mod relocate;
mod remote;
mod rules;
mod secrecy;
mod seeding;
mod serving;
mod share;
mod shared;
mod tools;
mod web;

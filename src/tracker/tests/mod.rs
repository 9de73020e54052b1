//! Behaviour of the room: the machine in virtual time, and the task against a tracker that is
//! scripted byte by byte.

#[path = "../../../tests/support/mock_tracker.rs"]
mod mock_tracker;

mod catalogue;
mod embedded;
mod flood;
mod http;
mod served;
mod task;
mod tiers;
mod udp;

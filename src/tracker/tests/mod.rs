//! Behaviour of the room: the machine in virtual time, and the task against a tracker that is
//! scripted byte by byte.

#[path = "../../../tests/support/mock_tracker.rs"]
mod mock_tracker;
#[path = "../../../tests/support/mock_udp_tracker.rs"]
mod mock_udp_tracker;

mod announcer;
mod catalogue;
mod embedded;
mod exchange;
mod flood;
mod http;
mod interop;
mod secret;
mod served;
mod task;
mod task_udp;
mod tiers;
mod udp;

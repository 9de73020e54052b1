//! What happens to torrents, told to programs and servers.

mod facts;
mod program;
mod queue;
mod task;
mod webhook;

pub use task::{HooksConfig, run};

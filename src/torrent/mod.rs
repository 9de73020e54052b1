//! One download: its actor owns the brain and wires it to links, disk and trackers.

pub mod command;
pub mod handle;
pub mod status;

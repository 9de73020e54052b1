//! A folder whose `.torrent`s and links are added.

#[cfg(target_os = "linux")]
mod bell;
#[cfg(not(target_os = "linux"))]
#[path = "no_bell.rs"]
mod bell;
mod folder;
mod memory;
mod ready;
mod task;

pub use ready::Pace;
pub use task::{WatchConfig, watch};

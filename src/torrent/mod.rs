//! One download: its actor owns the brain and wires it to links, disk and trackers.

mod actor;
pub mod allowance;
mod asleep;
mod away;
pub mod bell;
mod birth;
mod blocked;
mod board;
mod checking;
pub mod command;
mod conduct;
pub mod course;
mod ending;
mod ends;
mod found;
mod gone;
pub mod handle;
pub mod incoming;
mod jobs;
pub mod left;
pub mod lifecycle;
mod links;
mod meanwhile;
mod metadata;
mod moving;
mod opening;
pub mod options;
pub mod outpost;
mod parked;
mod parts;
pub mod places;
mod posting;
mod publish;
pub mod resources;
mod running;
mod seats;
pub mod seeking;
pub mod share;
mod silent;
pub mod source_news;
pub mod sources;
pub mod status;
mod trackers;
mod verifying;
mod wish;

pub use publish::wanted_pieces;
pub use trackers::without_passkey;

/// Why a torrent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A v2-only torrent (BEP 52).
    #[error("downloading v2-only torrents is not supported yet; ask for a v1 or hybrid one")]
    V2Only,
    /// It cannot go on.
    #[error("{0}")]
    Failed(String),
    /// It has ended: it was removed, or its session stopped.
    #[error("the torrent has ended")]
    Ended,
    /// The torrent's files cannot be opened.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
}

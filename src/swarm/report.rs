//! What people may know of the brain, as it is told: numbers, peers, servers. Not here: where the
//! numbers come from (`numbers`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{FileIndex, LinkId, SourceId};
use crate::wire::mse::Method;

use super::event::Source;

/// The brain in numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Verified pieces.
    pub pieces_verified: u32,
    /// Pieces that are open or at the check.
    pub pieces_in_progress: u32,
    /// Pieces that failed their hash so far.
    pub hash_failures: u32,
    /// Payload received a second; none while nothing is fetched.
    pub down_rate: u64,
    /// Payload received.
    pub downloaded_bytes: u64,
    /// Payload sent a second; none while nobody is there.
    pub up_rate: u64,
    /// Payload sent.
    pub uploaded_bytes: u64,
    /// Links that payload is sent to.
    pub receiving: u32,
    /// Payload received in vain.
    pub wasted_bytes: u64,
    /// What of that was of pieces that failed their hash.
    pub corrupt_bytes: u64,
    /// Links that are up.
    pub connected: u32,
    /// Of those, with everything.
    pub seeds: u32,
    /// Of those, sending payload.
    pub sending: u32,
    /// Of those, with something that we lack.
    pub interesting: u32,
    /// Of the interesting ones, those that choke us.
    pub choking: u32,
    /// Of the interesting ones, those that let requests time out.
    pub snubbed: u32,
    /// Dials under way.
    pub dialling: u32,
    /// Addresses known.
    pub known: u32,
    /// Addresses that wait to be dialled.
    pub candidates: u32,
    /// Blocks held by open pieces.
    pub held_blocks: u32,
    /// Pieces at the disk workers.
    pub pieces_at_disk: u32,
    /// How the disk fails.
    pub disk_trouble: Option<String>,
}

/// A live link in numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSnapshot {
    /// Which.
    pub link: LinkId,
    /// Where.
    pub address: SocketAddr,
    /// What it calls itself, or its peer id as text.
    pub client: String,
    /// Share of pieces that it has.
    pub have: f64,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload from it.
    pub downloaded_bytes: u64,
    /// Payload to it a second.
    pub up_rate: u64,
    /// Payload to it.
    pub uploaded_bytes: u64,
    /// We choke it.
    pub choked_by_us: bool,
    /// Requests outstanding and wanted.
    pub requests: (u32, u32),
    /// Shortest time from request to block.
    pub latency: Option<Duration>,
    /// Who named it, if that is known still.
    pub source: Option<Source>,
    /// It connected to us.
    pub incoming: bool,
    /// It chokes us.
    pub choking: bool,
    /// It has something that we lack.
    pub interesting: bool,
    /// It wants data from us.
    pub interested: bool,
    /// It lets requests time out.
    pub snubbed: bool,
    /// What hides the connection, if it began with an encrypted handshake.
    pub mse: Option<Method>,
}

/// A server of files in numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceSnapshot {
    /// Which.
    pub source: SourceId,
    /// What it is good for at present.
    pub state: SourceState,
    /// Links to it that are up.
    pub links: u32,
    /// Of those, with a run under way.
    pub busy: u32,
    /// Links that are waited for.
    pub coming: u32,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload from it.
    pub downloaded_bytes: u64,
    /// Files that it does not send at present, or only as a whole.
    pub files: Vec<FileSnapshot>,
}

/// What a server of files is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceState {
    /// It may be asked.
    Fit,
    /// It is far slower than others, and asked when nobody else can help.
    Slow,
    /// It rests, or there is no connection to it to be had.
    Waits {
        /// For so long, as far as that is known.
        left: Option<Duration>,
        /// Why; not yet escaped for a terminal.
        why: String,
    },
    /// It is not asked any more.
    Off {
        /// Why; not yet escaped for a terminal.
        why: String,
    },
}

/// A file that a server does not send as it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSnapshot {
    /// Which.
    pub file: FileIndex,
    /// Why it is not asked for, if it is not; not yet escaped for a terminal. Shared, since there
    /// may be thousands of them, and they are looked at twice a second.
    pub why: Option<Arc<str>>,
    /// For so long; none when it is not asked for any more, or is.
    pub left: Option<Duration>,
    /// It is sent from its first byte on only.
    pub whole_only: bool,
}

/// An address without a link.
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    /// Where.
    pub address: SocketAddr,
    /// Why the last link or dial ended; none before.
    pub last_error: Option<String>,
    /// How long ago its last link ended; none when there was none.
    pub left: Option<Duration>,
}

//! A torrent as its session lists it, and what of it can be set. Values only.

use std::sync::Arc;

use crate::ledger::Spec;
use crate::roster::Row;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::options::SeedLimits;

use super::wanted::Rank;

/// Something that can be set of a torrent, whatever it is doing.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// It rests, or waits for its turn as others do.
    Paused(bool),
    /// Which files are wanted; one entry a file, pad files included.
    WantedFiles(Vec<bool>),
    /// Its download limit in bytes per second, beside the session's.
    DownloadLimit(Option<u64>),
    /// Its upload limit in bytes per second, beside the session's.
    UploadLimit(Option<u64>),
    /// What its user sorts it under.
    Labels(Vec<String>),
    /// When it has seeded enough.
    Seeding(SeedLimits),
    /// Its place in the queue.
    Rank(Rank),
}

/// A torrent of a session.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What is wanted of it.
    pub spec: Spec,
    /// How lists show it.
    pub row: Row,
    /// To ask and to tell it more; none of one of an earlier run that is not here yet.
    pub handle: Option<TorrentHandle>,
    /// Why it cannot be here.
    pub trouble: Option<Arc<str>>,
}

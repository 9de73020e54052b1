//! What is to be done. Values only.

use std::path::PathBuf;

use crate::api::Addition;

/// Folders that are watched at most.
pub const WATCHES_MAX: usize = 64;

/// All that is to be done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Folders that are watched.
    pub watches: Vec<Watch>,
}

/// A folder whose `.torrent`s and links are added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which, absolute.
    pub dir: PathBuf,
    /// How what comes of it is run.
    pub adding: Adding,
    /// What becomes of a file whose torrents are added.
    pub after: After,
}

/// What becomes of a file whose torrents are added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum After {
    /// It stays, and is not looked at again before it changes.
    #[default]
    Keep,
    /// It is removed.
    Delete,
}

/// How a torrent is run that was added so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adding {
    /// Directory that its files go under, absolute; the usual one when none.
    pub into: Option<PathBuf>,
    /// What it is sorted under.
    pub labels: Vec<String>,
    /// It begins at once.
    pub starts: bool,
}

impl Default for Adding {
    fn default() -> Self {
        Self { into: None, labels: Vec::new(), starts: true }
    }
}

impl Adding {
    /// This addition, to be run so.
    pub(super) fn dress(&self, addition: Addition) -> Addition {
        Addition {
            dir: self.into.as_ref().map(|into| into.to_string_lossy().into_owned()),
            labels: self.labels.clone(),
            paused: !self.starts,
            ..addition
        }
    }
}

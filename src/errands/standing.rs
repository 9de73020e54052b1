//! How what is to be done goes. Values only; names and texts are those of strangers, and not
//! escaped.

use serde::{Deserialize, Serialize};

/// How all of it goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Folders that are watched.
    pub watches: Vec<WatchStanding>,
}

/// How a folder stands. Counts are of this run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WatchStanding {
    /// Which.
    pub dir: String,
    /// Torrents that were added from it.
    pub added: u64,
    /// Those that were there before.
    pub known: u64,
    /// Files that were refused.
    pub refused: u64,
    /// Files in it that are not ready yet.
    pub waiting: u64,
    /// What is wrong with the folder itself, while something is.
    pub trouble: Option<String>,
    /// Why a file was refused last.
    pub last_refusal: Option<String>,
}

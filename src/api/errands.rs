//! What a daemon does by itself, and how that goes. Values only; names and texts are those of
//! strangers, and not escaped.

use serde::{Deserialize, Serialize};

/// What a daemon does by itself, and how that goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Errands {
    /// Folders that are watched.
    pub watches: Vec<WatchStanding>,
    /// What is told of torrents, and to whom.
    pub hooks: Vec<HookStanding>,
    /// Feeds that are followed.
    pub feeds: Vec<FeedStanding>,
}

/// Something that is done beside, out of turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Chore {
    /// Feeds are asked now, but for those that were asked less than a minute ago.
    Look {},
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

/// How a hook stands. Counts are of this run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HookStanding {
    /// When it is told: `done`, `error` and the like.
    pub on: Vec<String>,
    /// Who: a program, or a host.
    pub what: String,
    /// How often it was told.
    pub done: u64,
    /// How often that failed for good.
    pub failed: u64,
    /// How often it was not told, since too much waited.
    pub dropped: u64,
    /// What it is told now.
    pub running: u64,
    /// What it is to be told when it or others have ended.
    pub waiting: u64,
    /// What went wrong last.
    pub trouble: Option<String>,
}

/// How a feed stands. Counts of what is added are of this run; times are seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FeedStanding {
    /// What it is called, or its host.
    pub name: String,
    /// When it was asked last.
    pub asked_at: Option<u64>,
    /// When it is asked next.
    pub next_at: Option<u64>,
    /// What was wrong when it was asked last.
    pub trouble: Option<String>,
    /// Items that it has.
    pub items: u64,
    /// Items that were added, in all runs, as far as that is kept.
    pub seen: u64,
    /// Torrents that were added from it.
    pub added: u64,
    /// Those that were there before.
    pub known: u64,
    /// Items that could not be added, and are not tried any more.
    pub failed: u64,
    /// Why an item was not added last.
    pub last_refusal: Option<String>,
}

//! Events as values.

use serde::{Deserialize, Serialize};

use crate::roster::{Event, EventKind};

use super::request::Mark;
use super::torrent::State;

/// What happened, oldest first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Events {
    /// What to ask with the next time.
    pub cursor: Mark,
    /// So many events were missed, and will not be told any more; none when it is not known how
    /// many, as after a restart: the lists say how things stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// Some were missed.
    pub has_gap: bool,
    /// Those that are known.
    pub events: Vec<Happened>,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happened {
    /// Counts all of this run of the program, from 1.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The number of the torrent.
    pub id: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It was added.
    Added,
    /// It was removed.
    Removed {
        /// What it was called.
        name: String,
    },
    /// It does something else.
    State {
        /// What it did.
        from: State,
        /// What it does.
        to: State,
    },
    /// Everything wanted is here for the first time.
    Completed,
    /// Something is wrong.
    Trouble {
        /// What, and what to do.
        why: String,
    },
    /// Nothing is wrong any more.
    Recovered,
    /// Its files are in another place.
    Moved {
        /// The directory.
        dir: String,
    },
    /// It is called otherwise.
    Renamed {
        /// Its name.
        name: String,
    },
    /// Its metadata has come, which only its link told of before.
    Metadata {
        /// Its name.
        name: String,
    },
}

impl From<&Event> for Happened {
    fn from(event: &Event) -> Self {
        let text = |text: &std::sync::Arc<str>| text.to_string();
        let what = match &event.kind {
            EventKind::Added => What::Added,
            EventKind::Removed(name) => What::Removed { name: text(name) },
            EventKind::PhaseChanged { from, to } => {
                What::State { from: (*from).into(), to: (*to).into() }
            }
            EventKind::Completed => What::Completed,
            EventKind::Trouble(why) => What::Trouble { why: text(why) },
            EventKind::Recovered => What::Recovered,
            EventKind::Moved(dir) => What::Moved { dir: text(dir) },
            EventKind::Renamed(name) => What::Renamed { name: text(name) },
            EventKind::Metadata(name) => What::Metadata { name: text(name) },
        };
        Self { number: event.id, at: event.at, id: event.torrent.0, what }
    }
}

//! A session as values that can be written down: [`Request`]s, [`Answer`]s and events. Prompts,
//! programs and pages all speak this, in the process or over HTTP, and none keeps a truth of its
//! own. Not here: how they are carried (`rpc`), and how they look on a screen (`cli`).
//!
//! | file | what |
//! |---|---|
//! | `request` | what can be asked and ordered, and how a torrent is named |
//! | `answer` | what comes of it, refusals too |
//! | `torrent` | a torrent in a list, and closely: files, facts, peers, trackers, sources, why |
//! | `ruled` | what rules say of a torrent |
//! | `happened` | events |
//! | `errands` | what a daemon does by itself |
//! | `creation` | a torrent that is to be made, and how far that is |
//! | `makings` | all that are made and were |
//! | `making` | who makes them |
//! | `view` | how those are made of what the session tells |
//! | `adding` | how a torrent comes in: bytes, URLs, links |
//! | `deeds` | what is set of torrents and done to them |
//! | `found` | torrents that were found by words |
//! | `finding` | which torrents have words in their names and files |
//! | `trackers` | other trackers for a torrent |
//! | `removing` | a torrent's files, when they go with it |
//! | `roots` | which directories may be written to |
//! | `whole` | whole numbers, however they are written |
//! | `desk` | who answers: [`Api`] |

mod adding;
mod answer;
mod creation;
mod deeds;
mod desk;
mod errands;
mod finding;
mod found;
mod happened;
mod home;
mod making;
mod makings;
mod removing;
mod request;
mod roots;
mod ruled;
#[cfg(test)]
mod tests;
mod torrent;
mod trackers;
mod view;
mod whole;

pub use crate::session::Heads;
pub use answer::{Added, Answer, Done, Kind, List, Outcome, Refusal, Room, Standing};
pub use creation::{Creation, Format, Making, Stage, TorrentFile};
pub use desk::{Api, ApiConfig, Speaker, Waiting};
pub use errands::{Chore, Errands, FeedStanding, HookStanding, WatchStanding};
pub use found::{Found, FoundFile, FoundTorrent};
pub use happened::{Events, Happened, What};
pub use request::{Addition, Deed, FilePatch, Key, Mark, Patch, Place, Request, SessionPatch};
pub use roots::Roots;
pub use ruled::{Fate, RuleFacts, RuleFate, Ruled};
pub use torrent::{
    Details, Facts, File, Limits, Peer, Pieces, Priority, Share, Source, State, Torrent, Tracker,
    Why,
};

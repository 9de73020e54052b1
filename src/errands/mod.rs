//! What a daemon does by itself, as its config file says: folders that it watches, feeds that it
//! follows, and who is told what happens. It asks a session as everybody does, by values
//! ([`api`](crate::api)), and can do nothing that others could not. Not here: how the file says it
//! (`cli`), and who is told how it stands (`rpc`).
//!
//! | file | what |
//! |---|---|
//! | `plan` | what is to be done: values |
//! | `standing` | how that goes, in values of `api` |
//! | `errands` | who has it done, again when the plan changes: [`Errands`] |
//! | `lasting` | what goes on though a fault of ours ends it |
//! | `schedule`, `retry_after` | when something is done again: pure |
//! | `watch` | a folder: which file is ready (a machine), files, inotify, the task |
//! | `feeds` | a feed: format, which items, when (machines), what was seen, the task |
//! | `hooks` | which job runs when (a machine), facts, programs, servers, the task |

// The room's own noun.
#[expect(clippy::module_inception)]
mod errands;
mod feeds;
mod hooks;
mod lasting;
pub mod plan;
mod retry_after;
mod schedule;
mod standing;
#[cfg(test)]
mod tests;
mod watch;

pub use errands::{Errands, ErrandsConfig};
pub use plan::{Act, Adding, After, Feed, Hook, Moment, Pattern, Plan, Watch};
pub use watch::Pace;

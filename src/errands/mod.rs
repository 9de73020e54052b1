//! What a daemon does by itself, as its config file says: folders that it watches. It asks a
//! session as everybody does, by values ([`api`](crate::api)), and can do nothing that others
//! could not. Not here: how the file says it (`cli`), and who is told how it stands (`rpc`).
//!
//! | file | what |
//! |---|---|
//! | `plan` | what is to be done: values |
//! | `standing` | how that goes: values |
//! | `errands` | who has it done, again when the plan changes: [`Errands`] |
//! | `watch` | a folder: which file is ready (a machine), files, inotify, the task |

// The room's own noun.
#[expect(clippy::module_inception)]
mod errands;
pub mod plan;
mod standing;
#[cfg(test)]
mod tests;
mod watch;

pub use errands::{Errands, ErrandsConfig};
pub use plan::{Adding, After, Plan, Watch};
pub use standing::{Standing, WatchStanding};
pub use watch::Pace;

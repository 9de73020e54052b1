//! The RPC of Transmission, usually at `/transmission/rpc`, for the tools that speak it: a view of
//! what the session is asked and told by values, with no truth of its own. It says that it is
//! 4.0.6, and speaks both dialects: the legacy one that nearly all tools have, and JSON-RPC 2.0.
//!
//! | file | what |
//! |---|---|
//! | `desk` | requests as HTTP has them, in the order in which the real server refuses them |
//! | `passport` | the session id that a request has to name |
//! | `dialect` | requests and answers of both dialects |
//! | `names` | names in both, and how they are compared |
//! | `given` | arguments, as softly as they are taken |
//! | `errors` | what cannot be done, in the words that tools know |
//! | `methods` | which method is whose |
//! | `orders` | what is done to torrents |
//! | `adding` | how they come in |
//! | `torrents` | what is asked of them |
//! | `trackers` | other ones for a torrent |
//! | `about` | what fields are written of |
//! | `fields` | what can be asked of one |
//! | `parts` | what of it stands in lists of their own: files, trackers, peers |
//! | `mapping` | what our states, limits and times are called there |
//! | `preferences` | what is asked and set of all together |
//! | `whole` | all torrents as they are, and what is gone |
//! | `lately` | what changed in the last minute |
//!
//! Source: Transmission, docs/rpc-spec.md; what tools make of it was seen on the wire.

mod about;
mod adding;
mod desk;
mod dialect;
mod errors;
mod fields;
mod given;
mod lately;
mod mapping;
mod methods;
mod names;
mod orders;
mod parts;
mod passport;
mod preferences;
mod torrents;
mod trackers;
mod whole;

pub use desk::Prefix;
pub(super) use desk::Transmission;

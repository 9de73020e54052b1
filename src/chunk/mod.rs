//! The course chunk protocol: a university's way to share one file among providers that a
//! tracker lists. Its transport for downloads is `link::chunk`; the swarm takes a chunk for
//! a piece. Not here: which chunk is asked of whom.
//!
//! | file | floor | what |
//! |---|---|---|
//! | [`wire`] | 1 | the seven messages as bytes |
//! | [`ini`] | 1 | what stands in `peers.ini` and `file.ini` |
//! | [`cut`] | 1 | who gets which chunk of a file that is cut |
//! | [`config`] | 3 | both files on disk, and looked at again while servers run |
//! | `replace` | 3 | files that appear whole or not at all |
//! | [`store`] | 3 | the chunks of one provider as files |
//! | [`tools`] | 3 | cutting a file, putting it together, checking the chunks |
//! | `server` | 4 | what provider and tracker share: connections, requests, errors |
//! | [`provider`] | 4 | gives out chunks |
//! | [`tracker`] | 4 | gives out the list, and is discovered |
//! | [`discover`] | 4 | looks for trackers |
//! | [`fetch_info`] | 4 | what a client fetches before it can begin |
//!
//! Who speaks to whom when a client gets a file (`─` calls, `══` the network):
//!
//! ```text
//! step 1   cli/get ─ chunk/config ─ torrent/course ─┐
//! step 2   cli/get ─ chunk/fetch_info ══ tracker ───┼─ fetch_info ══ providers (first, last chunk)
//! step 3   cli/get ─ chunk/discover ══ broadcast    │        │
//!                  └ chunk/fetch_info ══ trackers ──┘   torrent/actor ─ swarm
//!                                                            └ link/chunk ══ providers (the rest)
//! beside a torrent: cli/download ─ course::join ─ listing ─ providers whose hashes are its pieces
//! ```

pub mod config;
pub mod cut;
pub mod discover;
pub mod fetch_info;
pub mod ini;
pub mod provider;
mod server;
pub mod store;
pub mod tools;
pub mod tracker;
pub mod wire;

#[cfg(test)]
mod tests;

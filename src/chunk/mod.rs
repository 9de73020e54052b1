//! The course chunk protocol: a university's way to share one file among providers that a
//! tracker lists. Its transport for downloads is `link::chunk`; the swarm takes a chunk for
//! a piece. Not here: which chunk is asked of whom.
//!
//! | file | floor | what |
//! |---|---|---|
//! | [`wire`] | 1 | the seven messages as bytes |
//! | [`ini`] | 1 | what stands in `peers.ini` and `file.ini` |
//! | [`config`] | 3 | both files on disk, and looked at again while servers run |
//! | [`fetch_info`] | 4 | what a client fetches before it can begin |

pub mod config;
pub mod fetch_info;
pub mod ini;
pub mod wire;

#[cfg(test)]
mod tests;

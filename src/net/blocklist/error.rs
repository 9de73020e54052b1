//! Why there is no list of blocked addresses.

use super::parse::Flaw;

/// Why there is no list. No URL is told whole, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is there is no list.
    #[error("blocklist {list}: {flaw}")]
    Flawed {
        /// Which.
        list: String,
        /// Why not.
        flaw: Flaw,
    },
    /// Nothing comes from its URL.
    #[error("blocklist {list}: {why}")]
    NotFetched {
        /// Which.
        list: String,
        /// What the network or the server says.
        why: String,
    },
    /// It begins as a URL does, and is none.
    #[error("blocklist: not a URL that can be asked")]
    Url,
}

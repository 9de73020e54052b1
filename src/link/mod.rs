//! Links: tasks that carry facts and orders between a peer's socket and the brain. They keep
//! the rules of the wire and no opinion about the torrent.
//!
//! One task per link. What it reports goes to one bounded channel that all links of a torrent
//! share; while that is full, or the block pool is empty, the link does not read, and TCP
//! slows the peer down.

mod accept;
mod bt;
mod chunk;
mod ciphered;
mod config;
mod dial;
mod dialect;
mod early;
mod error;
mod inbound;
mod node;
mod outbox;
mod parcel;
mod ready;
mod report;
mod secrecy;
mod stream;
mod subject;
mod task;
mod translate;
pub mod web;

pub use accept::{Hello, accept, read_hello};
pub use chunk::{Provider, dial_provider};
pub use config::{LinkConfig, LinkTimeouts};
pub use dial::dial;
pub use error::Error;
pub use inbound::{CARRY_OWN, READ_LEN};
pub use node::DhtEnd;
pub use report::{LinkHandle, LinkNews, LinkReport};
pub use secrecy::{Door, Question, Secrecy};
pub use stream::Stream;
pub use subject::{Known, Subject};

#[cfg(test)]
mod tests;

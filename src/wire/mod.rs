//! The peer wire protocol as bytes: handshake, messages, a streaming decoder, and the
//! extension handshake (BEPs 3, 5, 6, 10). Pure: it reads slices and writes vectors.

pub mod decoder;
pub mod extended;
pub mod handshake;
pub mod message;

/// How a peer broke the protocol. Always the peer's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The first bytes are not a BitTorrent handshake.
    #[error("it does not speak BitTorrent")]
    NotBitTorrent,
    /// A length prefix is over the limit.
    #[error("it announced a message of {len} bytes, over the limit of {limit}")]
    TooLong {
        /// What it announced.
        len: u32,
        /// What is allowed.
        limit: u32,
    },
    /// A message has a body that does not fit its type.
    #[error("its {name} message has {len} bytes")]
    BadLength {
        /// The BEP's name of the message.
        name: &'static str,
        /// Length of the message, type byte included.
        len: u32,
    },
}

//! The BitTorrent peer protocol as bytes: BEPs 3, 5 (its one message), 6, 9, 10, 11 and 21, the
//! datagrams of BEP 14, and the encryption around it (`mse`). Pure: nothing here knows a socket, or
//! what a message means for the torrent.

mod decoder;
mod extended;
mod handshake;
mod lsd;
mod message;
mod metadata;
pub mod mse;
mod pex;

pub use decoder::{BODY_MAX, COLLECT_OWN, Decoder, EXTENDED_MAX, Need};
pub use extended::ExtendedHandshake;
pub use handshake::{
    Extensions, HANDSHAKE_LEN, HELLO_LEN, Handshake, PEER_ID_LEN, PROTOCOL, read_hello,
};
pub use lsd::{LSD_HASHES_MAX, LSD_LEN_MAX, LocalAnnounce};
pub use message::{Message, Request};
pub use metadata::{
    METADATA_LEN_MAX, METADATA_PIECE_LEN, MetadataMessage, UT_METADATA, metadata_piece_count,
    metadata_piece_len,
};
pub use pex::{PEX_CONTACTS_MAX, Pex, PexFlags, UT_PEX};

/// Why bytes of a peer are refused. Always the peer's fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first bytes are not `19 "BitTorrent protocol"`.
    #[error("it does not speak BitTorrent (or only encrypted)")]
    NotBitTorrent,
    /// A length prefix beyond what any message may have.
    #[error("it announced a message of {len} bytes; {limit} are allowed")]
    TooLong {
        /// The prefix.
        len: u32,
        /// The limit in force.
        limit: u32,
    },
    /// A body whose length does not fit the message.
    #[error("it sent message {id} with a body of {len} bytes")]
    BodyLength {
        /// The message id.
        id: u8,
        /// Bytes after the id.
        len: u32,
    },
    /// An extension handshake that is not bencode within the limits.
    #[error("its extension handshake is not readable: {0}")]
    Extended(#[from] crate::bencode::Error),
    /// An extension handshake that is not a dictionary.
    #[error("its extension handshake is not a dictionary")]
    NotADictionary,
    /// A message of an extension that is not bencode within the limits.
    #[error("its {name} message is not readable: {cause}")]
    UnreadableMessage {
        /// The extension.
        name: &'static str,
        /// Why.
        cause: crate::bencode::Error,
    },
    /// A message of an extension that lacks what it must have.
    #[error("its {name} message {what}")]
    MalformedMessage {
        /// The extension.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

//! What is wanted of a gateway and what it grants, whatever is spoken with it.

use std::net::IpAddr;
use std::time::Duration;

/// How long a mapping is to hold when we are gone without a word, in seconds; libtorrent's choice.
pub(super) const LIFETIME_S: u32 = 3600;
/// The longest one that is believed (RFC 6887, 15).
pub(super) const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a conversation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Round {
    /// Mappings are made, or renewed.
    Map,
    /// They are given back.
    Unmap,
}

/// What a gateway has granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Granted {
    /// The address outside.
    pub address: IpAddr,
    /// The port outside for peers.
    pub tcp: u16,
    /// The port outside for datagrams, where it was had, too.
    pub udp: Option<u16>,
    /// How long the shorter one holds; none for ever.
    pub lifetime: Option<Duration>,
}

/// What came of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The port for peers is open.
    Granted(Granted),
    /// It is not, for this reason.
    Failed(String),
    /// What there was is given back.
    Ended,
}

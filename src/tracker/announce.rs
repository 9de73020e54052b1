//! The words of an announce, whatever carries it: what we tell a tracker and what it answers.
//! Not the bytes of either (see [`super::http`], [`super::udp`]) and not the timing (see
//! [`super::tiers`]).
//! Source: BEP 3, BEP 24 (external address), BEP 31 (retry in), BEP 48 (scrape).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::addr::{Locality, canonical};
use crate::base::ids::{InfoHash, PeerId};

/// What an announce is about, when it is no regular one (BEP 3, BEP 21).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first announce to this tracker.
    Started,
    /// The download has just become complete.
    Completed,
    /// The torrent leaves the swarm.
    Stopped,
    /// All that is wanted of the torrent is here, and something is not: whoever says so takes
    /// part and downloads nothing (BEP 21).
    Paused,
}

impl Event {
    /// The word in the query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

/// Address families. A tracker learns our address of a family from an announce over it, and
/// answers over UDP in its format (BEP 7, BEP 15).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order to ask.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of an address; an IPv4 address inside an IPv6 one counts as IPv4.
    pub fn of(address: SocketAddr) -> Self {
        if canonical(address).is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What we tell a tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our id in this torrent.
    pub peer_id: PeerId,
    /// Port we accept peers on.
    pub port: u16,
    /// Payload bytes sent since the start.
    pub uploaded: u64,
    /// Payload bytes received since the start whose pieces were right.
    pub downloaded: u64,
    /// Payload bytes received since the start whose pieces were wrong.
    pub corrupt: u64,
    /// Payload bytes received since the start that were here already, or not asked for.
    pub redundant: u64,
    /// Bytes of the torrent still missing, wanted or not.
    pub left: u64,
    /// `None` for a regular announce.
    pub event: Option<Event>,
    /// Tells the tracker that announces from two addresses are one client (BEP 7). The same
    /// for the life of the torrent.
    pub key: u32,
    /// Peers wanted.
    pub numwant: u32,
    /// The tracker's `tracker id` of an earlier reply, sent back as it came.
    pub tracker_id: Option<Vec<u8>>,
    /// We take encrypted connections. No BEP has it, many trackers do; UDP has no word for it.
    pub supports_crypto: bool,
    /// We take no others.
    pub requires_crypto: bool,
}

/// A peer as a tracker names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerAddr {
    /// An address, canonical, not yet judged.
    Socket(SocketAddr),
    /// A host name that has to be resolved (BEP 3: "IP address or dns name").
    Host {
        /// The name, ASCII letters, digits, `-`, `_` and `.` only.
        name: String,
        /// The peer's port, not 0.
        port: u16,
    },
}

/// A tracker's answer that is not a failure. Fields it left out are `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnnounceReply {
    /// Time to the next regular announce, as the tracker said it, 0 included.
    pub interval: Option<Duration>,
    /// Time before which the tracker wants no announce.
    pub min_interval: Option<Duration>,
    /// At most [`super::http::MAX_PEERS`] peers.
    pub peers: Vec<PeerAddr>,
    /// Seeds in the swarm.
    pub complete: Option<u64>,
    /// Leeches in the swarm.
    pub incomplete: Option<u64>,
    /// To be sent back in later announces.
    pub tracker_id: Option<Vec<u8>>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Human words from the tracker; not a failure. Unescaped.
    pub warning: Option<String>,
}

/// What a tracker says of a torrent's swarm in a scrape (BEP 48). What it left out is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwarmCounts {
    /// Seeds in the swarm.
    pub complete: Option<u64>,
    /// Leeches in the swarm.
    pub incomplete: Option<u64>,
    /// Times the torrent has been downloaded completely.
    pub downloaded: Option<u64>,
}

/// When a tracker that refused may be asked again: as BEP 31 has it, or by the intervals or
/// the `Retry-After` that came with the refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryIn {
    /// Not before this time has passed.
    After(Duration),
    /// Not again.
    Never,
}

/// Why an announce gave no reply. Texts of trackers inside are unescaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tracker answered `failure reason`.
    #[error("tracker refused: {reason}")]
    Refused {
        /// The tracker's words.
        reason: String,
        /// When to come back, if it said so.
        retry_in: Option<RetryIn>,
    },
    /// The announce URL in the torrent is unusable.
    #[error("tracker address is unusable: {0}")]
    Url(&'static str),
    /// The host name is an internationalised one, which can imitate another.
    #[error("tracker host {0} is an internationalised name, which we do not contact")]
    Idna(String),
    /// The tracker, or a redirect of it, leads where it must not.
    #[error("tracker leads to the {0} address {1}, which is not allowed")]
    Forbidden(Locality, IpAddr),
    /// There is no scrape URL for this announce URL (BEP 48).
    #[error("tracker cannot be scraped: its address does not end in announce")]
    NoScrape,
    /// A redirect with a missing or bad target.
    #[error("tracker redirects to an unusable address")]
    Redirect,
    /// More redirects than we follow.
    #[error("tracker redirects more than {0} times")]
    TooManyRedirects(usize),
    /// An HTTP status other than 200, and no bencoded failure with it.
    #[error("tracker answered HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// When to come back, if `Retry-After` said so.
        retry_in: Option<RetryIn>,
    },
    /// The body is longer than we read.
    #[error("tracker's reply is longer than {0} bytes")]
    TooLong(usize),
    /// The body is a web page.
    #[error("tracker answered with a web page instead of peers")]
    WebPage,
    /// The body is not a tracker's reply.
    #[error("tracker's reply is malformed: {0}")]
    Malformed(String),
    /// The host name has no address.
    #[error("cannot resolve tracker host {host}: {cause}")]
    Lookup {
        /// The host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// The host has no address of the family that was to be used.
    #[error("cannot reach tracker: its host has no {} address", .0.name())]
    NoAddress(Family),
    /// No connection came about.
    #[error("cannot reach tracker: {0}")]
    Unreachable(String),
    /// The exchange broke off.
    #[error("cannot reach tracker: {0}")]
    Network(String),
    /// No complete answer in time.
    #[error("tracker did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

impl Error {
    /// When the tracker itself said to come back.
    pub fn retry_in(&self) -> Option<RetryIn> {
        match self {
            Self::Refused { retry_in, .. } | Self::Status { retry_in, .. } => *retry_in,
            _ => None,
        }
    }

    /// How much this tells of a tracker, when its other family failed otherwise: that a host has
    /// one family only is no trouble, and what it said itself matters most.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::NoAddress(_) => 0,
            _ if !self.has_reached() => 1,
            Self::Refused { .. } | Self::Status { .. } => 3,
            _ => 2,
        }
    }

    /// The same for one that was not even sent, because of those that failed so before it.
    pub fn unsent(&self) -> Self {
        match self {
            Self::Network(cause) => Self::Unreachable(cause.clone()),
            Self::Timeout(_) => Self::Unreachable("it answers nobody".to_owned()),
            other => other.clone(),
        }
    }

    /// Whether nobody spoke at the other end, so that whoever asks there now hears nothing either.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Lookup { .. } | Self::Unreachable(_) | Self::Network(_) | Self::Timeout(_)
        )
    }

    /// Whether the tracker can have heard anything of the announce.
    pub fn has_reached(&self) -> bool {
        !matches!(
            self,
            Self::Url(_)
                | Self::Idna(_)
                | Self::Forbidden(..)
                | Self::NoScrape
                | Self::Lookup { .. }
                | Self::NoAddress(_)
                | Self::Unreachable(_)
        )
    }
}

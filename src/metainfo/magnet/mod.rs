//! Magnet links: what a torrent can be found by, in one line of text (BEP 9, BEP 52), with
//! peers to dial and files to choose (BEP 53). Read from strangers, and written. Not here: how
//! the torrent itself is come by, and host names turned into addresses.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use crate::base::ids::{InfoHash, InfoHashV2};

use super::{Torrent, WEB_SEEDS_MAX};

/// The longest link that is read, in bytes.
pub const LINK_LEN_MAX: usize = 64 << 10;
/// A link of more parameters is refused; honest ones have up to a hundred trackers.
pub const PARAMETERS_MAX: usize = 256;
/// Trackers and peers kept of a link, of each.
pub const KEPT_MAX: usize = 64;
/// URLs of the .torrent file that are kept of a link: each may cost its whole time.
pub const TORRENT_URLS_MAX: usize = 4;

/// Bytes of trackers and web seeds that are written into the link of a torrent, so that it stays
/// short enough to be read.
const WRITTEN_URLS_LEN_MAX: usize = LINK_LEN_MAX / 2;

/// Why a text is no magnet link. Always the fault of whoever wrote it; texts inside are unescaped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It begins otherwise.
    #[error("not a magnet link: it does not begin with magnet:?")]
    Scheme,
    /// Longer than [`LINK_LEN_MAX`].
    #[error("magnet link of {len} bytes, more than the limit of {LINK_LEN_MAX}")]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// More parameters than [`PARAMETERS_MAX`].
    #[error("magnet link of more than {PARAMETERS_MAX} parameters")]
    TooManyParameters,
    /// It names no torrent.
    #[error("magnet link without an info hash: xt=urn:btih:... or xt=urn:btmh:1220... is missing")]
    NoHash,
    /// A hash that cannot be one.
    #[error(
        "magnet link with a bad info hash: {0:?} is not 40 hexadecimal digits, 32 of base32, \
         or 1220 and 64 hexadecimal digits"
    )]
    BadHash(String),
    /// Two hashes of one kind, so that nobody knows which torrent is meant.
    #[error("magnet link that contradicts itself: info hash {0}, and {1} too")]
    TwoHashes(String, String),
    /// A choice of files that is none (BEP 53).
    #[error("magnet link with a bad choice of files: {0:?} is not like 0,2,4-6")]
    BadChoice(String),
    /// A range whose end stands before its begin.
    #[error("magnet link with a bad choice of files: {0:?} counts backwards")]
    Backwards(String),
}

/// A peer that a link names (`x.pe`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// An address that a host can have, canonical, its port not 0. It may be a local one.
    Address(SocketAddr),
    /// A name to be resolved.
    Host {
        /// Letters in small, digits, `-`, `_` and `.` only.
        name: String,
        /// The port, not 0.
        port: u16,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// What a magnet link says: at least one info-hash, and what else is good to know. Its
/// [`Display`](fmt::Display) is the link, which reads as the same again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Magnet {
    /// `urn:btih`: SHA-1 of the info dictionary.
    pub info_hash_v1: Option<InfoHash>,
    /// `urn:btmh`: its SHA-256. With both, a torrent has to match both.
    pub info_hash_v2: Option<InfoHashV2>,
    /// `dn`: a name to show meanwhile, cleaned as the name of a file; the torrent has its own.
    pub name: Option<String>,
    /// `tr`: trackers, each a tier of its own, at most [`KEPT_MAX`], none twice.
    pub trackers: Vec<String>,
    /// `ws`, and what `as` names beside a .torrent: web seeds (BEP 19), at most [`WEB_SEEDS_MAX`],
    /// none twice.
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers to dial, at most [`KEPT_MAX`], none twice.
    pub peers: Vec<Peer>,
    /// `so`: positions of the wanted files in the torrent's list, pad files counted (BEP 53), in
    /// order and apart from each other; beyond the last file mean nothing. All when empty.
    pub wanted: Vec<RangeInclusive<u32>>,
    /// `xs` and `as`: http(s) URLs of the .torrent file, at most [`TORRENT_URLS_MAX`], none twice.
    pub torrent_urls: Vec<String>,
}

impl Magnet {
    /// The link of a torrent: hashes, name, and of its trackers and web seeds as many as fit.
    pub fn of(torrent: &Torrent) -> Self {
        let mut len = 0_usize;
        let mut fits = |url: &&String| {
            len = len.saturating_add(urlencoding::encode(url).len() + "&tr=".len());
            len <= WRITTEN_URLS_LEN_MAX
        };
        let trackers = torrent.trackers.iter().flatten().take(KEPT_MAX);
        let trackers = trackers.take_while(&mut fits).cloned().collect();
        let web_seeds = torrent.web_seeds.iter().take(WEB_SEEDS_MAX).take_while(&mut fits);
        Self {
            info_hash_v1: torrent.info_hash_v1,
            info_hash_v2: torrent.info_hash_v2,
            name: Some(torrent.name.clone()),
            trackers,
            web_seeds: web_seeds.cloned().collect(),
            ..Self::default()
        }
    }

    /// Whether this is the torrent that the link means: by all hashes that it names.
    pub fn is_of(&self, torrent: &Torrent) -> bool {
        let is_v1 = self.info_hash_v1.is_none_or(|hash| torrent.info_hash_v1 == Some(hash));
        let is_v2 = self.info_hash_v2.is_none_or(|hash| torrent.info_hash_v2 == Some(hash));
        is_v1 && is_v2
    }

    /// The peers that it names by their address.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.peers.iter().filter_map(|peer| match peer {
            Peer::Address(address) => Some(*address),
            Peer::Host { .. } => None,
        })
    }

    /// The choice of files as it is written: `0,2,4-6`; empty when there is none.
    pub fn choice(&self) -> String {
        let ranges = self.wanted.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        ranges.collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "magnet:?";
        let mut field = |key: &str, value: &dyn fmt::Display| {
            write!(f, "{}{key}={value}", std::mem::replace(&mut separator, "&"))
        };
        if let Some(hash) = &self.info_hash_v1 {
            field("xt", &format_args!("urn:btih:{hash}"))?;
        }
        if let Some(hash) = &self.info_hash_v2 {
            // A multihash: 0x12 for SHA-256, 0x20 for its 32 bytes.
            field("xt", &format_args!("urn:btmh:1220{hash}"))?;
        }
        if let Some(name) = &self.name {
            field("dn", &urlencoding::encode(name))?;
        }
        for url in &self.trackers {
            field("tr", &urlencoding::encode(url))?;
        }
        for url in &self.web_seeds {
            field("ws", &urlencoding::encode(url))?;
        }
        for url in &self.torrent_urls {
            field("xs", &urlencoding::encode(url))?;
        }
        for peer in &self.peers {
            // Its colons and brackets mean nothing in a query, and not every reader decodes them;
            // the sign before a zone does.
            field("x.pe", &peer.to_string().replace('%', "%25"))?;
        }
        if !self.wanted.is_empty() {
            field("so", &self.choice())?;
        }
        Ok(())
    }
}

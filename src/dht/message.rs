//! Messages of the DHT (BEP 5) with what BEP 32, 33, 42, 43, 44 and 51 add, read where they lie
//! and written into a buffer that the writer keeps. Reading is lenient: keys in any order,
//! bytes behind the message, values of the wrong kind where they are not needed. Not here: what
//! a message is worth, and whether it was asked for.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::net::{IpAddr, SocketAddr};

use crate::base::ids::InfoHash;

use super::compact::{NodeInfo, Nodes, Values};
use super::id::NodeId;
use super::nets::Family;

pub use read::Flaw;

/// Longer datagrams are none of ours: no path carries them whole.
pub const MESSAGE_LEN_MAX: usize = 1_500;
/// "A node obeying this specification must not send UDP datagrams with a payload larger than 1024
/// octets" (BEP 32).
pub const REPLY_LEN_MAX: usize = 1_024;
/// Bytes of a transaction id that is echoed; others use 2 to 20.
pub const TRANSACTION_LEN_MAX: usize = 64;
/// Bytes of a token that is believed; others use 4 to 32.
pub const TOKEN_LEN_MAX: usize = 128;
/// What we call ourselves in `v`: client PN, version 0.1.
pub const VERSION: [u8; 4] = *b"PN\x00\x01";

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `t`: what a reply is known by, 1 to 64 bytes.
    pub transaction: &'a [u8],
    /// `v`: the sender's client.
    pub version: Option<&'a [u8]>,
    /// `ip`: our address as the sender sees it (BEP 42), and the port if he says it.
    pub seen_at: Option<SeenAt>,
    /// What it says.
    pub body: Body<'a>,
}

/// Our own address in another's eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenAt {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// It wants something.
    Query(Query<'a>),
    /// It gives something.
    Reply(Reply<'a>),
    /// It refuses something.
    Error(Refusal<'a>),
}

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub id: NodeId,
    /// Its sender takes no queries (BEP 43): it is answered and never kept.
    pub read_only: bool,
    /// Which nodes it wants (BEP 32).
    pub want: Want,
    /// What it asks.
    pub method: Method<'a>,
}

/// Of which families nodes are wanted; of neither means that of the datagram (BEP 32).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Want {
    /// `n4`.
    pub v4: bool,
    /// `n6`.
    pub v6: bool,
}

/// What a query asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method<'a> {
    /// `ping`.
    Ping,
    /// `find_node`.
    FindNode {
        /// To whom near nodes are wanted.
        target: NodeId,
    },
    /// `get_peers`.
    GetPeers {
        /// The torrent.
        hash: InfoHash,
        /// Rather peers that are no seeds (BEP 33).
        noseed: bool,
        /// Filters instead of peers (BEP 33).
        scrape: bool,
    },
    /// `announce_peer`.
    AnnouncePeer {
        /// The torrent.
        hash: InfoHash,
        /// Where the sender takes connections; 0 when it is `implied` and not said.
        port: u16,
        /// The datagram's port counts instead.
        implied: bool,
        /// The sender has all of it (BEP 33).
        seed: bool,
        /// What a reply to `get_peers` gave.
        token: &'a [u8],
    },
    /// `get` (BEP 44).
    Get {
        /// The item.
        target: NodeId,
        /// Only a later one than this.
        seq: Option<i64>,
    },
    /// `put` (BEP 44).
    Put {
        /// What a reply to `get` gave.
        token: &'a [u8],
        /// What to store.
        item: ItemView<'a>,
        /// Only over this sequence number.
        cas: Option<i64>,
    },
    /// `sample_infohashes` (BEP 51).
    SampleInfohashes {
        /// To whom near nodes are wanted.
        target: NodeId,
    },
    /// A method that we do not know; with a target it is like `find_node`.
    Other {
        /// What it is called.
        name: &'a [u8],
        /// `target` or `info_hash`.
        target: Option<NodeId>,
    },
}

/// An item as it lies in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItemView<'a> {
    /// The bencoded value as it came.
    pub value: &'a [u8],
    /// Who signed it.
    pub signed: Option<SignedView<'a>>,
}

/// Who signed an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedView<'a> {
    /// Public key.
    pub key: &'a [u8; 32],
    /// Empty in replies, whose reader knows it.
    pub salt: &'a [u8],
    /// Sequence number.
    pub seq: i64,
    /// Signature.
    pub signature: &'a [u8; 64],
}

/// An answer: whatever of this it has.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reply<'a> {
    /// Who answers.
    pub id: NodeId,
    /// `nodes`, the compact form.
    pub nodes: Option<&'a [u8]>,
    /// `nodes6`, the compact form (BEP 32).
    pub nodes6: Option<&'a [u8]>,
    /// `values`: peers. An empty list is not written, and means no more than none.
    pub values: Values<'a>,
    /// `token`, 1 to 128 bytes: what an announce or a put has to bring.
    pub token: Option<&'a [u8]>,
    /// `BFsd`: the filter of seeds (BEP 33).
    pub seeds: Option<&'a [u8; 256]>,
    /// `BFpe`: the filter of leechers (BEP 33).
    pub leechers: Option<&'a [u8; 256]>,
    /// `v` with what signs it (BEP 44).
    pub item: Option<ItemView<'a>>,
    /// `seq`, also where it comes without the item.
    pub seq: Option<i64>,
    /// BEP 51.
    pub samples: Option<Samples<'a>>,
}

/// Torrents that a node has peers of (BEP 51).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Samples<'a> {
    /// Hashes, 20 bytes each.
    pub hashes: &'a [u8],
    /// How many there are in all.
    pub count: u32,
    /// Seconds until there are others.
    pub interval_s: u32,
}

/// An error message: `e`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal<'a> {
    /// One of [`code`], or another; 0 when it is none.
    pub code: i64,
    /// For people.
    pub text: &'a [u8],
}

/// The codes of error messages.
pub mod code {
    /// "Generic Error" (BEP 5).
    pub const GENERIC: i64 = 201;
    /// "Server Error" (BEP 5).
    pub const SERVER: i64 = 202;
    /// "Protocol Error, such as a malformed packet, invalid arguments, or bad token" (BEP 5).
    pub const PROTOCOL: i64 = 203;
    /// "Method Unknown" (BEP 5).
    pub const METHOD_UNKNOWN: i64 = 204;
    /// "message (v field) too big" (BEP 44).
    pub const VALUE_TOO_BIG: i64 = 205;
    /// "invalid signature" (BEP 44).
    pub const BAD_SIGNATURE: i64 = 206;
    /// "salt (salt field) too big" (BEP 44).
    pub const SALT_TOO_BIG: i64 = 207;
    /// "the CAS hash mismatched, re-read value and try again" (BEP 44).
    pub const CAS_MISMATCH: i64 = 301;
    /// "sequence number less than current" (BEP 44).
    pub const SEQ_TOO_LOW: i64 = 302;
}

impl Want {
    /// Whether nodes of `family` go into a reply over `over`.
    pub fn covers(self, family: Family, over: Family) -> bool {
        match (self.v4, self.v6) {
            (false, false) => family == over,
            (v4, v6) => {
                if family == Family::V4 {
                    v4
                } else {
                    v6
                }
            }
        }
    }
}

impl<'a> Reply<'a> {
    /// The nodes that it names, of both families.
    pub fn named(&self) -> impl Iterator<Item = NodeInfo> + 'a {
        self.lists().flat_map(Nodes::iter)
    }

    /// Whether one of its lists is not what an honest node sends.
    pub fn is_odd(&self) -> bool {
        self.lists().any(Nodes::is_odd)
    }

    fn lists(&self) -> impl Iterator<Item = Nodes<'a>> + 'a {
        let v4 = self.nodes.map(|bytes| Nodes::new(bytes, Family::V4));
        let v6 = self.nodes6.map(|bytes| Nodes::new(bytes, Family::V6));
        v4.into_iter().chain(v6)
    }
}

impl From<SocketAddr> for SeenAt {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: Some(address.port()) }
    }
}

//! The UDP tracker protocol as bytes, both sides of it: requests and replies, written and read.
//! No socket, no retries, and no judgement of connection ids, which is the server's.
//! Source: BEP 15; BEP 41 (options after an announce). A datagram may always be longer than
//! its format: what follows is left unread.

use std::net::SocketAddr;

use crate::base::addr::{parse_compact_v4, parse_compact_v6, write_compact};
use crate::base::ids::{InfoHash, PeerId};
use crate::tracker::announce::{AnnounceRequest, Error, Event, Family};
use crate::tracker::http::{MAX_PEERS, check_text, has_scheme, words};

/// Longest reply that is read; the rest of a longer one is lost. One with [`MAX_PEERS`] peers
/// over IPv6 has 3.6 KiB.
pub const MAX_REPLY_LEN: usize = 8 << 10;

/// Most torrents of one scrape. BEP 15 says "about 74", which is what fits into an Ethernet
/// frame; trackers take 64 to 74.
pub const MAX_SCRAPE: usize = 70;

/// Length of a connect request, and of its reply.
pub const CONNECT_LEN: usize = 16;

/// Length of an announce request without options.
pub const ANNOUNCE_LEN: usize = 98;

/// The first 8 bytes of a connect request.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// What a tracker hands out to prove that the asker's address is not forged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// What ties a reply to its request; random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TransactionId(pub u32);

/// What a client sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Asks for a connection id.
    Connect {
        /// To be repeated in the reply.
        transaction: TransactionId,
    },
    /// Tells of itself and asks for peers.
    Announce {
        /// From an earlier connect; not yet judged.
        connection: ConnectionId,
        /// To be repeated in the reply.
        transaction: TransactionId,
        /// What it tells.
        announce: Announce,
    },
    /// Asks for numbers of peers.
    Scrape {
        /// From an earlier connect; not yet judged.
        connection: ConnectionId,
        /// To be repeated in the reply.
        transaction: TransactionId,
        /// One to [`MAX_SCRAPE`] torrents.
        info_hashes: Vec<InfoHash>,
    },
}

/// An announce as it goes over the wire. The field `IP address` is left out: it is written as
/// 0, "default", and not read, since it would let anybody announce somebody else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who asks.
    pub peer_id: PeerId,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// `None` for a regular announce.
    pub event: Option<Event>,
    /// The same over both address families (BEP 7).
    pub key: u32,
    /// Peers wanted; `None` for as many as the tracker likes.
    pub numwant: Option<u32>,
    /// Port that the asker accepts peers on, 0 if it accepts none.
    pub port: u16,
    /// Path and query of the tracker's URL (BEP 41); empty if there was none.
    pub url_data: Vec<u8>,
}

impl Announce {
    /// What `request` says, to a tracker whose URL has this path and query.
    pub fn new(request: &AnnounceRequest, url_data: &str) -> Self {
        Self {
            info_hash: request.info_hash,
            peer_id: request.peer_id,
            downloaded: request.downloaded,
            left: request.left,
            uploaded: request.uploaded,
            event: request.event,
            key: request.key,
            numwant: Some(request.numwant),
            port: request.port,
            url_data: url_data.as_bytes().to_vec(),
        }
    }
}

/// Numbers of one torrent in a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// Times the torrent has been downloaded completely.
    pub completed: u32,
    /// Peers that have not.
    pub leechers: u32,
}

/// What a tracker sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To a connect.
    Connect {
        /// The request's.
        transaction: TransactionId,
        /// For later requests, good for a minute.
        connection: ConnectionId,
    },
    /// To an announce.
    Announce {
        /// The request's.
        transaction: TransactionId,
        /// Seconds to the next regular announce, as the tracker said it, 0 included.
        interval_s: u32,
        /// Peers that miss something.
        leechers: u32,
        /// Peers that have everything.
        seeders: u32,
        /// Peers of the family that asked, canonical, not yet judged; read: at most
        /// [`MAX_PEERS`].
        peers: Vec<SocketAddr>,
    },
    /// To a scrape.
    Scrape {
        /// The request's.
        transaction: TransactionId,
        /// In the order of the request; read: at most [`MAX_SCRAPE`].
        counts: Vec<Counts>,
    },
    /// To anything.
    Error {
        /// The request's.
        transaction: TransactionId,
        /// The tracker's words, unescaped, cut to 1024 bytes and at a NUL.
        message: String,
    },
}

impl Request {
    /// Appends the datagram to `out`. A scrape's torrents beyond [`MAX_SCRAPE`] are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Connect { transaction } => {
                out.extend(PROTOCOL_ID.to_be_bytes());
                push_head(out, CONNECT, *transaction);
            }
            Self::Announce { connection, transaction, announce } => {
                out.extend(connection.0.to_be_bytes());
                push_head(out, ANNOUNCE, *transaction);
                push_announce(out, announce);
            }
            Self::Scrape { connection, transaction, info_hashes } => {
                out.extend(connection.0.to_be_bytes());
                push_head(out, SCRAPE, *transaction);
                out.extend(info_hashes.iter().take(MAX_SCRAPE).flat_map(|hash| hash.0));
            }
        }
    }

    /// Reads a datagram. `None` for everything else: strangers' noise gets no answer, so there
    /// is nothing to tell.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(datagram);
        let connection = bytes.u64()?;
        let action = bytes.u32()?;
        let transaction = TransactionId(bytes.u32()?);
        match action {
            CONNECT => (connection == PROTOCOL_ID).then_some(Self::Connect { transaction }),
            ANNOUNCE => {
                let announce = read_announce(&mut bytes)?;
                Some(Self::Announce { connection: ConnectionId(connection), transaction, announce })
            }
            SCRAPE => {
                let (hashes, _) = bytes.0.as_chunks::<20>();
                let hashes = hashes.iter().take(MAX_SCRAPE);
                let info_hashes: Vec<_> = hashes.map(|hash| InfoHash(*hash)).collect();
                (!info_hashes.is_empty()).then_some(Self::Scrape {
                    connection: ConnectionId(connection),
                    transaction,
                    info_hashes,
                })
            }
            _ => None,
        }
    }

    /// The number that the reply repeats.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Connect { transaction }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. } => *transaction,
        }
    }
}

impl Reply {
    /// Appends the datagram for an asker of `family` to `out`; peers of the other family have
    /// no place in it.
    pub fn encode(&self, family: Family, out: &mut Vec<u8>) {
        match self {
            Self::Connect { transaction, connection } => {
                push_head(out, CONNECT, *transaction);
                out.extend(connection.0.to_be_bytes());
            }
            Self::Announce { transaction, interval_s, leechers, seeders, peers } => {
                push_head(out, ANNOUNCE, *transaction);
                [interval_s, leechers, seeders]
                    .iter()
                    .for_each(|number| out.extend(number.to_be_bytes()));
                let peers = peers.iter().filter(|peer| Family::of(**peer) == family);
                peers.for_each(|peer| write_compact(*peer, out));
            }
            Self::Scrape { transaction, counts } => {
                push_head(out, SCRAPE, *transaction);
                for Counts { seeders, completed, leechers } in counts {
                    [seeders, completed, leechers]
                        .iter()
                        .for_each(|number| out.extend(number.to_be_bytes()));
                }
            }
            Self::Error { transaction, message } => {
                push_head(out, ERROR, *transaction);
                out.extend(message.as_bytes());
            }
        }
    }

    /// Reads a datagram that came over `family`, which decides how long a peer is.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is too short for its action, or the action is unknown.
    pub fn decode(datagram: &[u8], family: Family) -> Result<Self, Error> {
        Self::read(datagram, family)
            .ok_or_else(|| Error::Malformed("too short, or of an unknown kind".to_owned()))
    }

    fn read(datagram: &[u8], family: Family) -> Option<Self> {
        let mut bytes = Bytes(datagram);
        let action = bytes.u32()?;
        let transaction = TransactionId(bytes.u32()?);
        Some(match action {
            CONNECT => Self::Connect { transaction, connection: ConnectionId(bytes.u64()?) },
            ANNOUNCE => {
                let (interval_s, leechers, seeders) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
                let peers = match family {
                    Family::V4 => parse_compact_v4(bytes.0).take(MAX_PEERS).collect(),
                    Family::V6 => parse_compact_v6(bytes.0).take(MAX_PEERS).collect(),
                };
                Self::Announce { transaction, interval_s, leechers, seeders, peers }
            }
            SCRAPE => {
                let (entries, _) = bytes.0.as_chunks::<12>();
                let entries = entries.iter().take(MAX_SCRAPE);
                let counts = entries.filter_map(|entry| read_counts(&mut Bytes(entry))).collect();
                Self::Scrape { transaction, counts }
            }
            ERROR => Self::Error { transaction, message: words(bytes.0) },
            _ => return None,
        })
    }

    /// The number of the request that it answers.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }
}

/// Whether `url` has the scheme that this file can speak.
pub fn is_udp(url: &str) -> bool {
    has_scheme(url, "udp")
}

/// Path and query of a tracker's URL, letter for letter, as BEP 41 has them sent.
///
/// # Errors
/// [`Error::Url`] if `url` is not a UDP URL of reasonable length, or has spaces or control
/// characters.
pub fn url_data(url: &str) -> Result<&str, Error> {
    let rest = url.split_once("://").filter(|_| is_udp(url)).map(|(_, rest)| rest);
    let rest = rest.ok_or(Error::Url("not a UDP address"))?;
    check_text(url)?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    Ok(rest.find(['/', '?']).and_then(|begin| rest.get(begin..)).unwrap_or(""))
}

/// The transaction of a reply, whatever the rest of it is worth.
pub fn transaction_of(reply: &[u8]) -> Option<TransactionId> {
    let mut bytes = Bytes(reply);
    let _action = bytes.u32()?;
    bytes.u32().map(TransactionId)
}

/// Bytes of a stranger, read from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

fn push_head(out: &mut Vec<u8>, action: u32, transaction: TransactionId) {
    out.extend(action.to_be_bytes());
    out.extend(transaction.0.to_be_bytes());
}

fn push_announce(out: &mut Vec<u8>, announce: &Announce) {
    out.extend(announce.info_hash.0);
    out.extend(announce.peer_id.0);
    let figures = [announce.downloaded, announce.left, announce.uploaded];
    figures.iter().for_each(|figure| out.extend(figure.to_be_bytes()));
    let event: u32 = match announce.event {
        // BEP 15 has no number for a partial seed, and trackers that know only its own ones give
        // no answer to libtorrent's 4.
        None | Some(Event::Paused) => 0,
        Some(Event::Completed) => 1,
        Some(Event::Started) => 2,
        Some(Event::Stopped) => 3,
    };
    out.extend(event.to_be_bytes());
    out.extend([0; 4]);
    out.extend(announce.key.to_be_bytes());
    let numwant = announce.numwant.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
    out.extend(numwant.to_be_bytes());
    out.extend(announce.port.to_be_bytes());
    for part in announce.url_data.chunks(usize::from(u8::MAX)) {
        out.push(URL_DATA);
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
}

fn read_announce(bytes: &mut Bytes<'_>) -> Option<Announce> {
    let info_hash = InfoHash(bytes.array()?);
    let peer_id = PeerId(bytes.array()?);
    let (downloaded, left, uploaded) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
    let event = match bytes.u32()? {
        1 => Some(Event::Completed),
        2 => Some(Event::Started),
        3 => Some(Event::Stopped),
        // Whatever clients have invented beside is a regular announce.
        _ => None,
    };
    let _address = bytes.u32()?;
    let key = bytes.u32()?;
    // Negative: "default".
    let numwant = bytes.u32()?;
    let numwant = (numwant <= i32::MAX.cast_unsigned()).then_some(numwant);
    let port = bytes.u16()?;
    let url_data = read_options(bytes.0);
    Some(Announce {
        info_hash,
        peer_id,
        downloaded,
        left,
        uploaded,
        event,
        key,
        numwant,
        port,
        url_data,
    })
}

/// The URL data among the options (BEP 41), its parts joined. An option that is cut off ends
/// the list; the announce before it counts.
fn read_options(mut rest: &[u8]) -> Vec<u8> {
    let mut url_data = Vec::new();
    loop {
        rest = match rest {
            [] | [END_OF_OPTIONS, ..] => break,
            [NOP, after @ ..] => after,
            [kind, len, after @ ..] => {
                let Some((data, after)) = after.split_at_checked(usize::from(*len)) else { break };
                if *kind == URL_DATA {
                    url_data.extend_from_slice(data);
                }
                after
            }
            [_] => break,
        };
    }
    url_data
}

fn read_counts(bytes: &mut Bytes<'_>) -> Option<Counts> {
    let (seeders, completed, leechers) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
    Some(Counts { seeders, completed, leechers })
}

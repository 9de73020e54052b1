//! Facts that go into the brain and effects that come out of it. Every variant says who
//! sends it and what follows. Time and chance are parameters of the brain, not events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::base::bitfield::Bitfield;
use crate::base::ids::{FileIndex, LinkId, PeerId, SourceId};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::wire::mse::Ways;

use super::link::{CloseReason, Endpoint, LinkCaps, LinkCommand, LinkEvent};
use super::urgency::Urgency;

/// A fact for [`Swarm::handle`](super::Swarm::handle).
#[derive(Debug)]
pub enum Input {
    /// A link is ready to use: a dial of ours that succeeded, or a connection that
    /// [`Swarm::admit`](super::Swarm::admit) let in.
    LinkUp {
        /// The id from `Dial` or `admit`.
        link: LinkId,
        /// What the remote calls itself.
        peer_id: PeerId,
        /// What the link can do.
        caps: LinkCaps,
    },
    /// What one read of a link brought, in order.
    LinkEvents {
        /// Which link.
        link: LinkId,
        /// The facts.
        events: Vec<LinkEvent>,
    },
    /// A link or a dial ended; its id is never used again.
    LinkDown {
        /// Which link.
        link: LinkId,
        /// Why, in words for people.
        reason: DownReason,
    },
    /// The answer to `CheckPiece`.
    PieceChecked {
        /// Which piece.
        piece: PieceIndex,
        /// What the disk worker found.
        verdict: Verdict,
    },
    /// The answer to `SpillBlocks`: the blocks are on disk, unverified; or failed to get
    /// there and come back.
    Spilled {
        /// Which piece.
        piece: PieceIndex,
        /// The blocks that were not written, and why.
        failed: Option<(Vec<(BlockRef, Block)>, String)>,
    },
    /// The answer to `PreparePiece`.
    Prepared {
        /// Which piece.
        piece: PieceIndex,
        /// May it be sent?
        outcome: Preparation,
    },
    /// Open pieces may hold so many blocks from now on before they are spilled. The session
    /// divides half of the pool among the torrents that download.
    Share(usize),
    /// Whether links wait for blocks, since the pool has none left: whose blocks those are does
    /// not matter.
    Starved(bool),
    /// The upload limit in bytes per second, for the number of slots; none is no limit.
    UploadLimit(Option<u64>),
    /// Addresses of peers.
    Candidates {
        /// Who told us.
        source: Source,
        /// The addresses, already filtered of unusable ones.
        addresses: Vec<SocketAddr>,
    },
    /// The user's list has the addresses of these links, or of those that were to be dialled: they
    /// end, and the addresses are forgotten.
    Blocked(Vec<LinkId>),
    /// Our address as a tracker sees it, with the port that we listen on (BEP 24).
    OurAddress(SocketAddr),
    /// Another tracker than before answers for this private torrent: BEP 27 wants us to leave
    /// the peers of the old one. Their addresses are forgotten too.
    TrackerChanged,
    /// What the other torrents of the session leave to this one.
    Room(Room),
    /// Verified pieces whose files were changed by somebody else: they count as missing.
    PiecesLost(Vec<PieceIndex>),
    /// Pieces that were lost and are right again: their files are back.
    PiecesFound(Vec<PieceIndex>),
    /// The device refused, after the fact, what was written; in words for people.
    DiskFailed(String),
    /// The device does not answer; in words for people, which say for how long. Told again as
    /// that grows.
    DiskSilent(String),
    /// It answers again.
    DiskAnswers,
    /// The user changed which pieces are wanted.
    Wanted(Bitfield),
    /// Pieces are so urgent from now on; at first all are alike.
    Urgency(Urgency),
    /// Whether pieces of one urgency come in order instead of rarest first.
    Sequential(bool),
    /// Most links, dials included. What is above that ends.
    PeersMax(usize),
    /// Most peers that are served at once; as many as the upload limit suggests when none.
    SlotsMax(Option<usize>),
    /// Whether peers tell each other of others (BEP 11), unless the torrent is private. Those that
    /// are connected already may have to connect again for that.
    ExchangesPeers(bool),
    /// The user pauses (true) or resumes (false).
    Pause(bool),
    /// How long the disk workers hashed and wrote since the last such report.
    DiskLoad {
        /// Time spent hashing.
        hashing: std::time::Duration,
        /// Time spent writing.
        writing: std::time::Duration,
    },
    /// Whether the user's rate limit holds links back at present.
    Limited(bool),
    /// Servers that files of the torrent may be fetched from, besides those told before.
    Sources(Vec<WebSource>),
    /// Whether the user will have nothing from these sources, or whatever they bring.
    SourcesBarred {
        /// Which.
        sources: Vec<SourceId>,
        /// Nothing.
        are_barred: bool,
    },
    /// No connection to the source is to be had at present.
    SourceWaits {
        /// Which.
        source: SourceId,
        /// Until when, as far as that is known.
        until: Option<Instant>,
        /// Why, in words for people, `it` being the source.
        why: String,
    },
    /// The time named by `next_timeout` has come.
    Tick,
}

/// A server that files of the torrent may be fetched from (BEP 19).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebSource {
    /// What it is called in orders.
    pub source: SourceId,
    /// The files that it has.
    pub holds: Holds,
    /// In which order sources are tried, the lowest first (RFC 5854).
    pub priority: u32,
    /// Links to it at a time, at least one.
    pub links_max: usize,
}

/// Which files of a torrent a source has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Holds {
    /// All of them.
    #[default]
    All,
    /// These, in order.
    Files(Arc<[FileIndex]>),
    /// These, in order, each on a server of its own. It is asked for pieces that lie in several of
    /// them, and that no other source brings.
    Seams(Arc<[FileIndex]>),
}

impl Holds {
    /// Is the file one of them?
    pub fn has(&self, file: FileIndex) -> bool {
        match self {
            Self::All => true,
            Self::Files(files) | Self::Seams(files) => files.binary_search(&file).is_ok(),
        }
    }

    /// May the other one have something of it that both are asked for?
    pub fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seams(_), Self::Seams(_)) => true,
            (Self::Seams(_), _) | (_, Self::Seams(_)) => false,
            (Self::Files(files), _) => files.iter().any(|file| other.has(*file)),
            (Self::All, _) => true,
        }
    }
}

/// What the other torrents of a session leave to one. Who owns the places says so, again and
/// again; in between the brain counts what it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Links more, dials included.
    pub links: usize,
    /// Of those, as many as a complete torrent leaves to those that download.
    pub reserve: usize,
    /// Dials more.
    pub dials: usize,
    /// Links in all, dials included: above that the least useful ones are given up, since others
    /// have none.
    pub most: usize,
    /// Whether anything leaves at present.
    pub exit: Exit,
}

/// Whether anything leaves at present, for no fault of those who are dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Exit {
    /// Whatever is wanted.
    #[default]
    Open,
    /// Nobody new is reached; links may be as good as before.
    NoDials,
    /// Nothing, and what was open is of no use.
    Shut,
}

impl Room {
    /// Alone in the world.
    pub const UNBOUNDED: Self = Self {
        links: usize::MAX,
        reserve: 0,
        dials: usize::MAX,
        most: usize::MAX,
        exit: Exit::Open,
    };
}

/// Who told us of a candidate. Also its dial priority, first the best.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Source {
    /// `--peer` or `add-peer`.
    User,
    /// A list that names who has which piece.
    Listing,
    /// It connected to us.
    Incoming,
    /// A tracker's list.
    Tracker,
    /// It announced itself in the local network (BEP 14).
    Lan,
    /// The DHT named it (BEP 5).
    Dht,
    /// A peer told us of it (BEP 11).
    Pex,
}

/// Why a link is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// The connection could not be made.
    DialFailed(String),
    /// The connection was made and ended before the handshakes were exchanged: the remote may want
    /// another way to begin.
    HandshakeFailed(String),
    /// The remote closed it, or the network broke.
    Lost(String),
    /// The remote broke the protocol: what it did.
    Violated(String),
    /// Silence for too long.
    TimedOut(&'static str),
    /// It was not dialled, for want of places; no fault of the address.
    NoRoom,
    /// Nothing leaves any more, or did not when it was dialled: why. No fault of the address.
    Held(String),
    /// By our own `Close`.
    Closed(CloseReason),
}

impl std::fmt::Display for DownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DialFailed(why)
            | Self::HandshakeFailed(why)
            | Self::Lost(why)
            | Self::Held(why)
            | Self::Violated(why) => f.write_str(why),
            Self::TimedOut(why) => f.write_str(why),
            Self::NoRoom => f.write_str("there are too many connections already"),
            Self::Closed(why) => why.fmt(f),
        }
    }
}

/// A block of a piece that goes to the check.
#[derive(Debug)]
pub enum Held {
    /// Its bytes.
    Data(Block),
    /// It lies in pad files only: zeros (BEP 47).
    Pad,
    /// It was spilled to disk before and must be read back.
    OnDisk,
}

/// SHA-1 of each block of a piece, to tell which sender lied.
pub type BlockHashes = Vec<[u8; 20]>;

/// What became of a piece that went to the disk workers.
#[derive(Debug)]
pub enum Verdict {
    /// The hash is right and the bytes are written. Block hashes when they were wanted.
    Good(Option<BlockHashes>),
    /// The hash is wrong; nothing was written. Always with the block hashes.
    Bad(BlockHashes),
    /// The hash is right, but the bytes could not be written: they come back, with the
    /// reason in words for people.
    WriteFailed(Vec<Held>, String),
    /// Spilled blocks could not be read back; the piece must be fetched again.
    ReadFailed(String),
    /// What was written of it is lost with its file, which is told apart: it must be fetched again.
    Lost,
}

/// What became of a verified piece that was to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Preparation {
    /// It is right, or need not be hashed again, and lies in memory or soon will.
    Ready,
    /// Its bytes are wrong or gone, why in words for people: it counts as missing from now on.
    Lost(String),
    /// It cannot be read at present, why in words for people.
    Unreadable(String),
}

/// An effect from [`Swarm::poll_output`](super::Swarm::poll_output).
#[derive(Debug)]
pub enum Output {
    /// Connect to this address; answer with `LinkUp` or `LinkDown` for this id.
    Dial {
        /// The id of the link to be.
        link: LinkId,
        /// Where.
        address: SocketAddr,
        /// In which ways it is known to take connections.
        known: Ways,
    },
    /// Get a connection to this source as soon as there is one to be had; answer with `LinkUp` or
    /// `LinkDown` for this id. The wait may be long, and a `Close` ends it.
    Lease {
        /// The id of the link to be.
        link: LinkId,
        /// To which source.
        source: SourceId,
    },
    /// Pass the command to the link.
    Send {
        /// Which link.
        link: LinkId,
        /// The order.
        command: LinkCommand,
    },
    /// Hash the piece, compare, write; answer with `PieceChecked`.
    CheckPiece {
        /// Which piece.
        piece: PieceIndex,
        /// All its blocks in order.
        blocks: Vec<Held>,
        /// Report block hashes also when the piece is good.
        want_block_hashes: bool,
        /// There are others to begin: it may wait a moment, to be hashed side by side with them.
        may_wait: bool,
    },
    /// Write these unverified blocks to relieve memory; answer with `Spilled`.
    SpillBlocks {
        /// Which piece.
        piece: PieceIndex,
        /// Some of its blocks.
        blocks: Vec<(BlockRef, Block)>,
    },
    /// Make a verified piece ready to be sent; answer with `Prepared`.
    PreparePiece {
        /// Which piece.
        piece: PieceIndex,
        /// Hash it again: nobody did since the start.
        prove: bool,
    },
    /// Something that people may want to know.
    Event(Event),
}

/// News of the torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first peer answered.
    FirstPeer(SocketAddr),
    /// A piece is verified and written.
    PieceVerified(PieceIndex),
    /// A piece failed its hash; whose fault it was, when that is known.
    HashFailed {
        /// Which piece.
        piece: PieceIndex,
        /// Who sent wrong data.
        blamed: Option<Endpoint>,
    },
    /// A whole piece was asked of a peer that did not bring it; others are asked now.
    Reassigned {
        /// Which piece.
        piece: PieceIndex,
        /// Who failed.
        peer: SocketAddr,
        /// What it calls itself; not yet escaped for a terminal.
        client: String,
        /// How, in words for people, `it` being the peer.
        why: String,
    },
    /// A verified piece turned out to be wrong or gone on disk, why in words for people; it is
    /// fetched again if it is wanted.
    PieceLost {
        /// Which piece.
        piece: PieceIndex,
        /// Why.
        why: String,
    },
    /// A peer is banned for the rest of the session.
    Banned(SocketAddr),
    /// The disk failed, and is tried again.
    DiskTrouble(String),
    /// The disk works again.
    DiskRecovered,
    /// Everything wanted is verified and written.
    Completed,
}

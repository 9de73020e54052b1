//! The narrow waist: what any hand that moves data says to the brain, and what the brain
//! tells it. Protocol-neutral on purpose: a BitTorrent peer over TCP, a web seed or a course
//! provider all speak it. No bytes of any wire format appear here.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::bitfield::Bitfield;
use crate::base::ids::{FileIndex, SourceId};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::pool::Block;
use crate::wire::Pex;
use crate::wire::mse::Method;

/// Who is at the other end of a link, as a sender of data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    /// A peer, or a provider of whole pieces: its address.
    Peer(SocketAddr),
    /// A server of files.
    Source(SourceId),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Peer(address) => address.fmt(f),
            // Whoever has a name for it says that instead.
            Self::Source(source) => write!(f, "web source {}", source.0),
        }
    }
}

/// The unit in which a link is asked for data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// 16 KiB blocks, as BitTorrent peers serve them.
    Block,
    /// Whole pieces.
    Piece,
    /// Runs of pieces, as servers of files send them.
    Run,
}

/// Pieces in a row, fetched from a block of the first one to the last byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first piece.
    pub first: PieceIndex,
    /// The number of the piece behind the last one; greater than that of the first.
    pub end: u32,
    /// So many blocks of the first piece are here already; fewer than it has.
    pub skip: u32,
    /// The file in which it begins is known to come only as a whole: what is before the run in it,
    /// less than a piece, is to be thrown away.
    pub is_of_whole_file: bool,
}

/// Why a run is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// All of it came.
    Done,
    /// A file of the source cannot be had, or not now.
    File(FileIndex, Trouble),
    /// The source refuses this file, as others perhaps, too.
    Refused(FileIndex, Trouble),
    /// The source sends this file only from its first byte on.
    WholeOnly(FileIndex),
    /// Nothing can be had from the source, or not now.
    Source(Trouble),
}

/// What is wrong with a source, or a file of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// In words for people, `it` being the source; not yet escaped for a terminal.
    pub why: String,
    /// So long it need not be asked again; none when it never has to be.
    pub rest: Option<Duration>,
}

/// What a link can do, known when it comes up. Facts about the transport, not about the
/// torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkCaps {
    /// How data is asked for.
    pub unit: Unit,
    /// Does the remote choke? If so the link starts choked; if not, never.
    pub chokes: bool,
    /// The most requests to keep outstanding on it, in units.
    pub pipeline_max: u32,
    /// May we send data to it?
    pub can_upload_to: bool,
    /// The fast extension was agreed on (BEP 6): refusals are explicit, and a choke does not
    /// void requests.
    pub fast: bool,
    /// The extension protocol was agreed on (BEP 10).
    pub extended: bool,
    /// What hides the connection, if it began with an encrypted handshake.
    pub mse: Option<Method>,
    /// It began plainly after an encrypted handshake got no answer: whether the remote takes such
    /// is not known.
    pub is_way_unsure: bool,
}

/// Which pieces a side has, as it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Availability {
    /// Every piece.
    All,
    /// No piece.
    None,
    /// These pieces.
    Some(Bitfield),
}

/// The longest request that some libraries make; longer ones are never served.
pub const ASK_LEN_MAX: u32 = 128 * 1024;

/// A part of a piece that the remote asks us for; checked to lie inside the piece.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ask {
    /// The piece.
    pub piece: PieceIndex,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes asked for.
    pub len: u32,
}

/// What the remote told of itself in an extension handshake (BEP 10). Absent fields were
/// not sent, or were useless.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Description {
    /// `v`: client name and version, at most 64 characters; not yet escaped for a terminal.
    pub client: Option<String>,
    /// `reqq`: requests it holds without dropping, clamped by the link.
    pub pipeline_max: Option<u32>,
    /// `upload_only`: it will not ask for data (BEP 21).
    pub upload_only: Option<bool>,
    /// `p`: the port it listens on.
    pub listen_port: Option<u16>,
    /// `yourip`: how it sees our address.
    pub our_address: Option<IpAddr>,
    /// `e`: it prefers encrypted connections.
    pub prefers_encryption: bool,
    /// It exchanges peers (BEP 11).
    pub takes_peers: bool,
    /// It takes part in the metadata extension (BEP 9).
    pub takes_metadata: bool,
    /// `metadata_size`: bytes of the metadata, which it has.
    pub metadata_len: Option<u32>,
}

/// What a remote says of metadata (BEP 9). Numbers of pieces are as it sent them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataEvent {
    /// It asks for a piece.
    Asked(u32),
    /// It sends one.
    Piece {
        /// Its number.
        piece: u32,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
    /// It will not send one that it was asked for.
    Refused(u32),
    /// So many bytes of pieces that we were ordered to send have left.
    Sent(usize),
}

/// An order about metadata (BEP 9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataCommand {
    /// Ask for these pieces.
    Ask(Vec<u32>),
    /// Send a piece: these bytes of the metadata.
    Give {
        /// Its number.
        piece: u32,
        /// Where it lies.
        range: Range<usize>,
    },
    /// Say that a piece will not come.
    Refuse(u32),
}

/// A fact that a link reports.
#[derive(Debug)]
pub enum LinkEvent {
    /// The remote's pieces; replaces what was known.
    Availability(Availability),
    /// The remote has these pieces too: all that it said in one read.
    Haves(Vec<PieceIndex>),
    /// The remote will not send until `Unchoked`.
    Choked,
    /// The remote takes requests.
    Unchoked,
    /// The remote wants data from us.
    Interested,
    /// The remote wants nothing from us.
    NotInterested,
    /// Whole blocks arrived, in this order.
    Blocks(Vec<(BlockRef, Block)>),
    /// The run at hand is over: everything before the piece with the number `at` came. The next
    /// one that was ordered, if there is one, begins; after any other end than `Done` it is
    /// dropped, too.
    RunEnded {
        /// Which of the runs that were ordered of this link, counted from 0.
        number: u64,
        /// The first piece that did not come whole; the run's end when all did.
        at: u32,
        /// Why.
        why: RunEnd,
    },
    /// The remote will not send this block; `lasting` when asking it again is useless.
    Refused {
        /// What it was asked for.
        block: BlockRef,
        /// It lacks the piece, rather than being busy.
        lasting: bool,
    },
    /// The remote asks for data.
    Requested(Ask),
    /// The remote no longer wants what it asked for.
    Cancelled(Ask),
    /// The remote lets us request this piece even while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// The remote would like us to request this piece (BEP 6).
    Suggested(PieceIndex),
    /// The remote told of itself.
    Described(Description),
    /// So many bytes of blocks that we were ordered to send have left for the remote.
    Sent(u32),
    /// Data arrived that nobody can have asked for (odd offset or length); bytes of it.
    Stray(u32),
    /// Something about metadata.
    Metadata(MetadataEvent),
    /// The remote tells of peers that it has, or has no more (BEP 11).
    Peers(Pex),
}

/// An order to a link.
#[derive(Debug)]
pub enum LinkCommand {
    /// Ask the remote for these blocks, in this order.
    Request(Vec<BlockRef>),
    /// Take these requests back.
    Cancel(Vec<BlockRef>),
    /// Fetch a run, after the one at hand. At most one waits. Only to links whose unit it is.
    Fetch(Run),
    /// Of the runs that were ordered, nothing is wanted from the piece with this number on.
    Shorten(u32),
    /// What only a peer understands, one that has to do with us and not only with our requests.
    Peer(PeerCommand),
    /// End the link. Nothing follows.
    Close(CloseReason),
}

/// An order to a link whose remote is told of us and may get data, as its [`LinkCaps`] say.
#[derive(Debug)]
pub enum PeerCommand {
    /// Tell which pieces we have; always the first command of a link but for `UploadOnly`. Given
    /// to a link that was up before the torrent was known, it tells that this is so now: what the
    /// remote said until then comes as events.
    Availability(Availability),
    /// Tell that we have more pieces.
    Have(Arc<[PieceIndex]>),
    /// Tell that we want data. Only to those that choke.
    Interested,
    /// Tell that we want nothing. Only to those that choke.
    NotInterested,
    /// Stop serving the remote: blocks that the link has not begun to send are dropped, and
    /// refused where the protocol has a word for it.
    Choke,
    /// Serve the remote.
    Unchoke,
    /// Send these parts of verified pieces, in this order.
    SendBlocks(Vec<Ask>),
    /// The remote gets no answer to what it asked for; it is told so where the protocol has a word
    /// for it.
    Refuse(Ask),
    /// The remote may ask for these pieces even while we choke it. Only with the fast extension
    /// (BEP 6).
    AllowFast(Vec<PieceIndex>),
    /// Exchange no peers any more: the torrent turned out to be private. Given also to links that
    /// are not up yet, whatever they will be able to do.
    StopExchange,
    /// What only remotes with the extension protocol understand (BEP 10).
    Extended(ExtendedCommand),
}

/// An order to a link on which the extension protocol was agreed on (BEP 10).
#[derive(Debug)]
pub enum ExtendedCommand {
    /// Tell whether we are a partial seed: something is missing and nothing of it wanted
    /// (BEP 21). It may stand before `Availability`, to be said with the introduction, and comes
    /// again when it changes; who never hears it talks to none.
    UploadOnly(bool),
    /// Something about metadata.
    Metadata(MetadataCommand),
    /// Tell of peers that we have, or have no more (BEP 11).
    TellPeers(Pex),
}

impl LinkCaps {
    /// May a link that can do this be given the order?
    pub fn allow(&self, command: &LinkCommand) -> bool {
        match command {
            LinkCommand::Request(_) | LinkCommand::Cancel(_) => self.unit != Unit::Run,
            LinkCommand::Fetch(_) | LinkCommand::Shorten(_) => self.unit == Unit::Run,
            LinkCommand::Close(_) => true,
            LinkCommand::Peer(command) => self.can_upload_to && self.allow_peer(command),
        }
    }

    fn allow_peer(&self, command: &PeerCommand) -> bool {
        match command {
            PeerCommand::Interested | PeerCommand::NotInterested => self.chokes,
            PeerCommand::AllowFast(_) => self.fast,
            PeerCommand::Extended(_) => self.extended,
            PeerCommand::Availability(_)
            | PeerCommand::Have(_)
            | PeerCommand::Choke
            | PeerCommand::Unchoke
            | PeerCommand::SendBlocks(_)
            | PeerCommand::Refuse(_)
            | PeerCommand::StopExchange => true,
        }
    }
}

impl From<PeerCommand> for LinkCommand {
    fn from(command: PeerCommand) -> Self {
        Self::Peer(command)
    }
}

impl From<ExtendedCommand> for LinkCommand {
    fn from(command: ExtendedCommand) -> Self {
        Self::Peer(PeerCommand::Extended(command))
    }
}

impl From<MetadataCommand> for LinkCommand {
    fn from(command: MetadataCommand) -> Self {
        ExtendedCommand::Metadata(command).into()
    }
}

/// Why the brain ended a link. `Display` gives the words people read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The remote is ourselves.
    OurselvesAgain,
    /// A second connection to the same peer.
    Duplicate,
    /// Both sides have everything.
    BothComplete,
    /// It sent data that failed its hash.
    CorruptData,
    /// It broke the protocol, or flooded us.
    Misbehaved(&'static str),
    /// It took too long.
    TimedOut(&'static str),
    /// A better candidate gets its place.
    Replaced,
    /// Nothing leaves any more.
    NothingLeaves,
    /// The torrent is private and has another tracker now.
    TrackerChanged,
    /// The torrent turned out to be private, and no tracker named the peer.
    Private,
    /// The user's list has its address.
    Blocked,
    /// The torrent stops or is paused.
    Stopping,
    /// Our files cannot be read as they should.
    OurFiles,
    /// A server of files has nothing to bring at present.
    NothingLeft,
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OurselvesAgain => "it is ourselves",
            Self::Duplicate => "already connected to this peer",
            Self::BothComplete => "both sides are complete",
            Self::CorruptData => "it sent corrupt data",
            Self::Misbehaved(what) | Self::TimedOut(what) => what,
            Self::Replaced => "its place went to another peer",
            Self::NothingLeaves => "nothing leaves at present",
            Self::TrackerChanged => "the private torrent has another tracker now",
            Self::Private => "the torrent is private, and no tracker named it",
            Self::Blocked => "it is on the blocklist",
            Self::Stopping => "we stopped",
            Self::OurFiles => "we cannot read our files",
            Self::NothingLeft => "it has nothing to bring at present",
        })
    }
}

//! What goes over one link, both ways, and what its remote has. Who that is, is in `crowd`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::PieceIndex;
use crate::base::meter::RateMeter;
use crate::swarm::link::{LinkCaps, Unit};

use super::picker::PeerPieces;
use super::requests::Requests;
use super::shares::key;
use super::upload::Upload;

/// Pieces that a remote may let us request while choked; more are ignored.
const ALLOWED_FAST_MAX: usize = 64;

/// The trade with the remote of a live link.
#[derive(Debug)]
pub struct Trade {
    /// Where it is.
    pub address: SocketAddr,
    /// What the link can do.
    pub caps: LinkCaps,
    /// What it has.
    pub pieces: PeerPieces,
    /// It told its pieces.
    pub has_told: bool,
    /// How often it told its whole set.
    pub sets_told: u32,
    /// Pieces that it has and we lack and want.
    pub interesting: u32,
    /// It chokes us.
    pub choking: bool,
    /// We told it that we are interested.
    pub told_interest: bool,
    /// It is interested in us.
    pub interested: bool,
    /// It will not ask for data (BEP 21).
    pub upload_only: bool,
    /// What it owes us.
    pub requests: Requests,
    /// Pieces that may be asked for while it chokes us (BEP 6).
    pub allowed_fast: Vec<PieceIndex>,
    /// Payload from it.
    pub meter: RateMeter,
    /// Payload from it, in bytes.
    pub downloaded_bytes: u64,
    /// What it asked of us and gets.
    pub upload: Upload,
    /// It refused requests: not asked again before this time.
    pub rests_until: Option<Instant>,
    /// How many pieces it refused since it last delivered.
    pub refusals: u32,
    /// Pieces that it has, by what it told, and refused while it served us; each with the time
    /// before which it is not asked for it again. One that it refuses then, too, it has lost.
    pub refused: BTreeMap<PieceIndex, Instant>,
    /// The picker had nothing for it in this generation.
    pub nothing_in: Option<u64>,
    /// How far in the log of verified pieces it has been told.
    pub told: usize,
    /// What it is by in the division of rare pieces.
    pub share_key: u64,
    /// Since when it is up.
    pub since: Instant,
}

impl Trade {
    /// Does no payload go over it, either way?
    pub fn is_idle(&self, now: Instant) -> bool {
        self.meter.rate(now) == 0 && self.upload.meter.rate(now) == 0
    }

    /// Is there anything to be had, one way or the other? Whoever waits for its turn counts.
    pub fn has_business(&self) -> bool {
        self.interesting > 0 || self.interested
    }

    /// Payload in all, both ways.
    pub fn moved_bytes(&self) -> u64 {
        self.downloaded_bytes + self.upload.uploaded_bytes
    }

    /// Over a link that has just come up, of a torrent with `piece_count` pieces, to a host that
    /// owes `debt` bytes from earlier ones.
    pub fn new(
        address: SocketAddr,
        peer_id: PeerId,
        caps: LinkCaps,
        piece_count: u32,
        debt: u64,
        now: Instant,
    ) -> Self {
        Self {
            address,
            pieces: PeerPieces::Some(Bitfield::none(piece_count)),
            has_told: false,
            sets_told: 0,
            interesting: 0,
            choking: caps.chokes,
            told_interest: false,
            interested: false,
            // One that nothing can be sent to will not ask for it.
            upload_only: !caps.can_upload_to,
            requests: Requests::new(caps.pipeline_max, now),
            allowed_fast: Vec::new(),
            meter: RateMeter::new(now),
            downloaded_bytes: 0,
            upload: Upload::new(debt, now),
            rests_until: None,
            refusals: 0,
            refused: BTreeMap::new(),
            nothing_in: None,
            told: 0,
            share_key: key(peer_id),
            since: now,
            caps,
        }
    }

    /// Does it have every piece?
    pub fn is_seed(&self) -> bool {
        match &self.pieces {
            PeerPieces::All => true,
            PeerPieces::Some(set) => set.is_full() && set.piece_count() > 0,
        }
    }

    /// May the piece be asked of it now?
    pub fn may_be_asked(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece) && (!self.choking || self.allowed_fast.contains(&piece))
    }

    /// Can anything be asked of it now?
    pub fn takes_requests(&self, now: Instant) -> bool {
        self.interesting > 0
            && (!self.choking || !self.allowed_fast.is_empty())
            && self.rests_until.is_none_or(|until| until <= now)
    }

    /// How many more requests the link takes now, in its own unit.
    pub fn room(&self) -> usize {
        match self.caps.unit {
            Unit::Block => self.requests.room(),
            // What it was asked for last it still owes, and it answers in order.
            Unit::Piece if self.requests.is_snubbed() => 0,
            Unit::Piece => (self.caps.pipeline_max as usize).saturating_sub(self.requests.pieces()),
        }
    }

    /// It lets us ask for this piece while choked.
    pub fn allow_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < ALLOWED_FAST_MAX && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
        }
    }
}

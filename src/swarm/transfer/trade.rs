//! What goes over one link, both ways, and what its remote has. Who that is, is in `crowd`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::ids::PeerId;
use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::meter::RateMeter;
use crate::swarm::link::{Endpoint, LinkCaps, Unit};

use super::picker::PeerPieces;
use super::rendezvous::key;
use super::requests::{Arrival, Requests};
use super::upload::Upload;

/// Pieces that a remote may let us request while choked; more are ignored.
const ALLOWED_FAST_MAX: usize = 64;

/// Whole sets of pieces that a remote may tell, for each costs a pass over all pieces. BEP 3
/// knows one, right after the handshake.
const SETS_TOLD_MAX: u32 = 8;
/// A peer that has sent no pieces for so long has none: BEP 3 lets it leave the bitfield out.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Refusals without a delivery in between, until the link is closed.
const REFUSALS_MAX: u32 = 200;

/// What a refusal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It refuses whatever it is asked for.
    Everything,
    /// It says that it does not have the piece.
    Lacking,
    /// It served the piece's torrent and refused it twice: the piece is had no more.
    Lost,
    /// It may be asked for the piece again in a while.
    Passing,
    /// It refuses because it chokes us.
    Choked,
}

/// The trade with the remote of a live link.
#[derive(Debug)]
pub struct Trade {
    address: SocketAddr,
    caps: LinkCaps,
    pieces: PeerPieces,
    /// It told its pieces.
    has_told: bool,
    /// How often it told its whole set.
    sets_told: u32,
    /// Pieces that it has and we lack and want.
    interesting: u32,
    /// It chokes us.
    choking: bool,
    /// We told it that we are interested.
    told_interest: bool,
    /// It is interested in us.
    interested: bool,
    /// It will not ask for data (BEP 21).
    upload_only: bool,
    /// What it owes us.
    requests: Requests,
    /// Pieces that may be asked for while it chokes us (BEP 6).
    allowed_fast: Vec<PieceIndex>,
    /// Payload from it.
    meter: RateMeter,
    downloaded_bytes: u64,
    /// What it asked of us and gets.
    upload: Upload,
    /// It refused requests: not asked again before this time.
    rests_until: Option<Instant>,
    /// How many pieces it refused since it last delivered.
    refusals: u32,
    /// Pieces that it has, by what it told, and refused while it served us; each with the time
    /// before which it is not asked for it again. One that it refuses then, too, it has lost.
    refused: BTreeMap<PieceIndex, Instant>,
    /// The picker had nothing for it in this generation.
    nothing_in: Option<u64>,
    /// How far in the log of verified pieces it has been told.
    told: usize,
    /// What it is by in the division of rare pieces.
    rendezvous_key: u64,
    since: Instant,
}

impl Trade {
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
            rendezvous_key: key(peer_id),
            since: now,
            caps,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it is called as a sender.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Peer(self.address)
    }

    /// What the link can do.
    pub fn caps(&self) -> &LinkCaps {
        &self.caps
    }

    /// Is it asked for whole pieces?
    pub fn is_whole(&self) -> bool {
        self.caps.unit == Unit::Piece
    }

    /// Can it be told whether we are a partial seed (BEP 21)?
    pub fn hears_upload_only(&self) -> bool {
        self.caps.extended && self.caps.can_upload_to
    }

    /// Since when it is up.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What it is by in the division of rare pieces.
    pub fn rendezvous_key(&self) -> u64 {
        self.rendezvous_key
    }

    /// What it owes us.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What it owes us, to be changed.
    pub fn requests_mut(&mut self) -> &mut Requests {
        &mut self.requests
    }

    /// What it asked of us and gets.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// What it asked of us and gets, to be changed.
    pub fn upload_mut(&mut self) -> &mut Upload {
        &mut self.upload
    }

    /// Payload from it, in bytes.
    pub fn downloaded_bytes(&self) -> u64 {
        self.downloaded_bytes
    }

    /// Payload from it, in bytes a second.
    pub fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    /// The same, as people are shown it.
    pub fn shown_rate(&self, now: Instant) -> u64 {
        self.meter.shown(now)
    }

    /// Payload of so many bytes came. Was it the first?
    pub fn received(&mut self, bytes: u64, now: Instant) -> bool {
        let is_first = self.downloaded_bytes == 0 && bytes > 0;
        self.downloaded_bytes += bytes;
        self.meter.add(bytes, now);
        is_first
    }

    /// What it got beyond what it gave, in bytes.
    pub fn owes(&self) -> u64 {
        self.upload.taken_bytes().saturating_sub(self.downloaded_bytes)
    }

    /// Does no payload go over it, either way?
    pub fn is_idle(&self, now: Instant) -> bool {
        self.meter.rate(now) == 0 && self.upload.meter().rate(now) == 0
    }

    /// Is there anything to be had, one way or the other? Whoever waits for its turn counts.
    pub fn has_business(&self) -> bool {
        self.is_interesting() || self.interested
    }

    /// Payload in all, both ways.
    pub fn moved_bytes(&self) -> u64 {
        self.downloaded_bytes + self.upload.uploaded_bytes()
    }
}

/// What it has, and what of that we want.
impl Trade {
    /// What it has.
    pub fn pieces(&self) -> &PeerPieces {
        &self.pieces
    }

    /// Does it have every piece?
    pub fn is_seed(&self) -> bool {
        match &self.pieces {
            PeerPieces::All => true,
            PeerPieces::Some(set) => set.is_full() && set.piece_count() > 0,
        }
    }

    /// Is it known what it has? Whoever never says has nothing.
    pub fn has_told(&self) -> bool {
        self.has_told
    }

    /// Time has passed in which it could have told.
    pub fn wait_to_be_told(&mut self, now: Instant) {
        self.has_told |= now.saturating_duration_since(self.since) >= TOLD_WITHIN;
    }

    /// It tells its whole set; false when it did so too often.
    pub fn tells_set(&mut self) -> bool {
        self.sets_told += 1;
        self.sets_told <= SETS_TOLD_MAX
    }

    /// It has these pieces, of which we lack and want so many.
    pub fn set_pieces(&mut self, pieces: PeerPieces, interesting: u32) {
        self.has_told = true;
        self.pieces = pieces;
        self.interesting = interesting;
        self.nothing_in = None;
    }

    /// It tells that it has a piece: what it refused of that before is no more.
    pub fn has_again(&mut self, piece: PieceIndex) {
        if self.refused.remove(&piece).is_some() {
            self.requests.take_again(piece);
            self.rests_until = None;
        }
    }

    /// It has one more piece, which may be one that we lack and want. False when that was known.
    pub fn gain(&mut self, piece: PieceIndex, is_lacking: bool) -> bool {
        let PeerPieces::Some(set) = &mut self.pieces else { return false };
        if !set.insert(piece) {
            return false;
        }
        if is_lacking {
            self.interesting += 1;
            self.nothing_in = None;
        }
        true
    }

    /// It has every piece; what was known before is returned, if that was less in form.
    pub fn complete(&mut self) -> Option<PeerPieces> {
        let is_full = matches!(&self.pieces, PeerPieces::Some(set) if set.is_full());
        is_full.then(|| std::mem::replace(&mut self.pieces, PeerPieces::All))
    }

    /// It lacks, of `count`, a piece that it claimed to have.
    pub fn lose(&mut self, piece: PieceIndex, count: u32, is_lacking: bool) {
        self.pieces.remove(piece, count);
        self.interesting -= u32::from(is_lacking && self.interesting > 0);
    }

    /// Pieces that it has and we lack and want.
    pub fn interesting(&self) -> u32 {
        self.interesting
    }

    /// Has it any of those?
    pub fn is_interesting(&self) -> bool {
        self.interesting > 0
    }

    /// What we lack and want has changed: so many pieces of it are that now.
    pub fn set_interesting(&mut self, interesting: u32) {
        self.interesting = interesting;
    }

    /// We lack a piece again, and want it.
    pub fn lacks_again(&mut self, piece: PieceIndex) {
        self.interesting += u32::from(self.pieces.has(piece));
    }

    /// We have these pieces now, and lacked and wanted them. Is none of interest left?
    pub fn sate(&mut self, fresh: &[PieceIndex]) -> bool {
        let had = match &self.pieces {
            PeerPieces::All => fresh.len(),
            PeerPieces::Some(set) => fresh.iter().filter(|piece| set.has(**piece)).count(),
        };
        self.interesting = self.interesting.saturating_sub(had as u32);
        self.interesting == 0
    }

    /// Whether we are interested, if it is to be told so.
    pub fn tell_interest(&mut self) -> Option<bool> {
        let wants = self.is_interesting();
        let is_news = self.caps.chokes && wants != self.told_interest;
        self.told_interest = if is_news { wants } else { self.told_interest };
        is_news.then_some(wants)
    }

    /// Does it know whether we are interested (BEP 3)?
    pub fn knows_interest(&self) -> bool {
        !self.caps.chokes || self.told_interest == self.is_interesting()
    }

    /// How far in the log of verified pieces it has been told.
    pub fn told(&self) -> usize {
        self.told
    }

    /// It has been told so far.
    pub fn set_told(&mut self, told: usize) {
        self.told = told;
    }
}

/// What it says of itself.
impl Trade {
    /// Does it choke us?
    pub fn is_choking(&self) -> bool {
        self.choking
    }

    /// It chokes us from now on, or no longer. Is that news?
    pub fn set_choking(&mut self, choking: bool) -> bool {
        if choking {
            // What it refused just before was refused for that reason.
            self.refused.clear();
        }
        std::mem::replace(&mut self.choking, choking) != choking
    }

    /// Is it interested in us?
    pub fn is_interested(&self) -> bool {
        self.interested
    }

    /// It wants data, or wants none. Is that news?
    pub fn set_interested(&mut self, interested: bool) -> bool {
        std::mem::replace(&mut self.interested, interested) != interested
    }

    /// Does it want data that we may send it?
    pub fn wants_data(&self) -> bool {
        self.interested && self.caps.can_upload_to && !self.is_seed()
    }

    /// Will it not ask for data (BEP 21)?
    pub fn is_upload_only(&self) -> bool {
        self.upload_only
    }

    /// It told how many requests it holds, and whether it will ask for data.
    pub fn described(&mut self, pipeline_max: Option<u32>, upload_only: Option<bool>) {
        if let Some(most) = pipeline_max {
            self.requests.limit(most);
        }
        self.upload_only = upload_only.unwrap_or(self.upload_only);
    }

    /// It lets us ask for this piece while choked.
    pub fn allow_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < ALLOWED_FAST_MAX && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
        }
    }

    /// BEP 6: after a reject the piece need not be asked of it again while choked.
    pub fn disallow_fast(&mut self, piece: PieceIndex) {
        self.allowed_fast.retain(|other| *other != piece);
    }

    /// The pieces that may be asked for while it chokes us, as far as it has them.
    pub fn allowed(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.allowed_fast.iter().copied().filter(|piece| self.pieces.has(*piece))
    }

    /// May it owe something of this piece? What it chokes is void without the fast extension.
    pub fn may_owe(&self, piece: PieceIndex) -> bool {
        !self.choking || self.caps.fast || self.allowed_fast.contains(&piece)
    }
}

/// What is asked of it.
impl Trade {
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
            Unit::Run => 0,
        }
    }

    /// These blocks were asked for.
    pub fn asked(&mut self, blocks: &[BlockRef], now: Instant) {
        self.requests.sent(blocks, self.meter.rate(now), now);
    }

    /// A block arrived.
    pub fn arrived(&mut self, block: BlockRef, now: Instant) -> Arrival {
        let arrival = self.requests.arrived(block, now);
        if arrival != Arrival::Unasked {
            self.refusals = 0;
            self.refused.remove(&block.piece());
        }
        arrival
    }

    /// It refused a block of this piece that it was asked for at `asked_at`; `lasting` when asking
    /// again is useless.
    pub fn refused(
        &mut self,
        piece: PieceIndex,
        asked_at: Option<Instant>,
        lasting: bool,
        now: Instant,
    ) -> Refusal {
        let is_whole = self.is_whole();
        let lasting = lasting || !is_whole && !self.pieces.has(piece);
        // BEP 6: one that chokes must refuse whatever is outstanding, however much that is. Some
        // tell of the choke only after that.
        let known = self.refused.get(&piece).copied().filter(|_| !self.choking);
        // What it lacks for good it is asked for once, and a piece has many blocks.
        self.refusals += u32::from(!self.choking && !lasting && known.is_none());
        if self.refusals > REFUSALS_MAX {
            return Refusal::Everything;
        }
        self.disallow_fast(piece);
        if lasting {
            return Refusal::Lacking;
        }
        // What was underway at the first refusal is refused for the same reason.
        let is_second = known.is_some_and(|until| asked_at.is_some_and(|at| at >= until));
        if is_second && !is_whole {
            // BEP 3 and 6 have no word for a piece that is had no more.
            self.refused.remove(&piece);
            return Refusal::Lost;
        }
        if self.choking {
            return Refusal::Choked;
        }
        // It would refuse the same block again at once.
        let until = now + Duration::from_millis(100 * u64::from(self.refusals.clamp(1, 50)));
        self.requests.give_back_refused(piece, until);
        self.refused.entry(piece).or_insert(until);
        // One that delivers besides lacks that piece only.
        if self.meter.rate(now) == 0 {
            self.rests_until = Some(until);
        }
        Refusal::Passing
    }

    /// Ends its rest, if it had one that is over.
    pub fn end_rest(&mut self, now: Instant) -> bool {
        self.rests_until.take_if(|until| *until <= now).is_some()
    }

    /// When it is to be looked at again, for its silence or because its rest is over.
    pub fn next_look(&self) -> Option<Instant> {
        self.requests.deadline().into_iter().chain(self.rests_until).min()
    }

    /// Gives back what is overdue: it is slower than it was, or has forgotten it.
    pub fn give_back(&mut self, blocks: &[BlockRef], now: Instant) {
        self.requests.slow_down(self.meter.rate(now));
        blocks.iter().for_each(|block| self.requests.give_back(*block, now));
    }

    /// Had the picker nothing for it in this generation?
    pub fn has_nothing_in(&self, generation: u64) -> bool {
        self.nothing_in == Some(generation)
    }

    /// The picker has nothing for it in this generation.
    pub fn found_nothing(&mut self, generation: u64) {
        self.nothing_in = Some(generation);
    }
}

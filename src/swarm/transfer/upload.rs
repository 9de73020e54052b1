//! The way of a block out: who may ask, what waits for whom, what must be made ready before it
//! is sent, and how much a link is handed at once. Whom to serve at all is decided by `choker`;
//! no byte of a block passes through here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;
use crate::base::meter::RateMeter;
use crate::base::units::BLOCK_LEN;
use crate::swarm::crowd::choker::{Round, Standing, slots};
use crate::swarm::effects::Effects;
use crate::swarm::event::{Event, Output, Preparation};
use crate::swarm::link::{ASK_LEN_MAX, Ask, CloseReason, PeerCommand};

use super::Transfer;
use super::allowed_fast::{SET_LEN, allowed_fast_set};
use super::trade::Trade;

/// Requests of one peer that wait. We promise 500 (`reqq`); whoever counts those on their way
/// differently is not punished for it. Further ones are refused.
const ASKS_MAX: usize = 1_000;
/// Requests from a remote that we choke, until the link is closed.
const ASKS_WHILE_CHOKED_MAX: u32 = 500;
/// A link is handed what it moves in this time, so that a cancel or a choke still finds the
/// rest here.
const AT_LINK: f64 = 0.5;
/// But no less than this, or a link could never become fast; and no more: a remote that
/// does not read has at most 1 MiB queued (limits table).
const AT_LINK_MIN: u64 = 4 * BLOCK_LEN as u64;
const AT_LINK_MAX: u64 = 1024 * 1024;
/// A piece that was made ready is sent for so long without another look at its file, which
/// somebody may change at any time: what they wrote is no longer the piece, and whoever gets it
/// bans us. A look is one `stat` for each file of the piece and a byte of every 64 KiB, which lie
/// in the page cache: as many calls a second as the piece has such parts, beside those that send
/// it.
const LOOKED_FOR: Duration = Duration::from_secs(1);
/// One that is in use goes on being sent while it is looked at, but no longer than this: a busy
/// disk has others to bring first.
const WARM_FOR: Duration = Duration::from_secs(10);
/// Bytes of pieces that count as warm at most, for the system may need its memory; and how many
/// such pieces there may be.
const WARM_BYTES_MAX: u64 = 256 << 20;
const WARM_MAX: u64 = 512;
/// Pieces that are made ready at the same time: enough to keep every disk worker busy.
const PREPARING_MAX: usize = 32;
/// A piece that could not be read is left alone for so long.
const UNREADABLE_FOR: Duration = Duration::from_secs(5);
/// What a stranger may get before it gave anything: this share of the torrent, at least a piece
/// and at most this. It may get as much from each of us: with a fiftieth, fifty peers would be
/// enough for the whole torrent without ever giving.
const CREDIT_MAX: u64 = 4 << 20;
const CREDIT_SHARE: u64 = 500;

/// What all links of a torrent have in common as far as sending goes.
#[derive(Debug)]
pub(super) struct Uploads {
    /// Pieces whose hash was right since the start.
    proven: Bitfield,
    /// Pieces that lie in memory.
    warm: BTreeMap<PieceIndex, Warm>,
    /// They, in the order of their last use as it was when they were put here: who was used since
    /// then gets another place instead of being the first to go.
    cooling: VecDeque<(PieceIndex, Instant)>,
    /// How many may.
    warm_max: usize,
    preparing: BTreeMap<PieceIndex, BTreeSet<LinkId>>,
    unreadable: BTreeMap<PieceIndex, Instant>,
    /// Pieces that we told we have and have no more: BEP 3 knows no word to take that back.
    lost: BTreeSet<PieceIndex>,
    uploaded_bytes: u64,
    meter: RateMeter,
}

/// How the bytes of a piece are at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heat {
    /// To be sent.
    Hot,
    /// To be sent, and looked at soon.
    Fading,
    /// To be made ready first.
    Cold,
}

/// A piece that may be sent without a look at the disk.
#[derive(Clone, Copy, Debug)]
struct Warm {
    /// When it was made ready.
    since: Instant,
    /// When it was last of use.
    used: Instant,
}

/// One link's side of it.
#[derive(Debug)]
pub struct Upload {
    /// We serve it.
    unchoked: bool,
    /// Since when that is so.
    since: Instant,
    /// What it asked for and did not get yet.
    asks: VecDeque<Ask>,
    /// Bytes that its link was handed and has not sent yet.
    at_link: u64,
    /// Payload to it.
    meter: RateMeter,
    /// Payload to it, in bytes.
    uploaded_bytes: u64,
    /// What it owed from earlier links.
    debt: u64,
    /// Pieces that it may ask for while choked, and the bytes it may still get of each.
    offered: BTreeMap<PieceIndex, u32>,
    /// Requests that it made although we choke it.
    asks_while_choked: u32,
}

impl Upload {
    /// Of a link that has just come up: choked (BEP 3).
    pub fn new(debt: u64, now: Instant) -> Self {
        Self {
            unchoked: false,
            since: now,
            asks: VecDeque::new(),
            at_link: 0,
            meter: RateMeter::new(now),
            uploaded_bytes: 0,
            debt,
            offered: BTreeMap::new(),
            asks_while_choked: 0,
        }
    }

    /// Do we serve it?
    pub fn is_unchoked(&self) -> bool {
        self.unchoked
    }

    /// Payload to it.
    pub fn meter(&self) -> &RateMeter {
        &self.meter
    }

    /// Payload to it, in bytes.
    pub fn uploaded_bytes(&self) -> u64 {
        self.uploaded_bytes
    }

    /// What it got, on earlier links beyond what it gave.
    pub fn taken_bytes(&self) -> u64 {
        self.debt + self.uploaded_bytes
    }

    /// We serve it from now on, or no longer.
    fn set_unchoked(&mut self, unchoked: bool, now: Instant) {
        (self.unchoked, self.since) = (unchoked, now);
        self.asks_while_choked = 0;
    }

    /// May a choked remote have this, of the pieces it was offered?
    fn take_offer(&mut self, ask: Ask) -> bool {
        let Some(left) = self.offered.get_mut(&ask.piece) else { return false };
        let rest = left.checked_sub(ask.len);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }

    /// Bytes that its link may be handed more.
    fn room(&self, now: Instant) -> u64 {
        let due = (self.meter.rate(now) as f64 * AT_LINK) as u64;
        due.clamp(AT_LINK_MIN, AT_LINK_MAX).saturating_sub(self.at_link)
    }
}

impl Uploads {
    pub(super) fn new(proven: Bitfield, piece_len: u32, now: Instant) -> Self {
        let warm_max = (WARM_BYTES_MAX / u64::from(piece_len.max(1))).clamp(2, WARM_MAX);
        Self {
            warm_max: warm_max as usize,
            proven,
            warm: BTreeMap::new(),
            cooling: VecDeque::new(),
            preparing: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            lost: BTreeSet::new(),
            uploaded_bytes: 0,
            meter: RateMeter::new(now),
        }
    }

    /// The piece was verified just now: it is right, and its bytes lie in the page cache.
    pub(super) fn on_verified(&mut self, piece: PieceIndex, now: Instant) {
        self.proven.insert(piece);
        self.lost.remove(&piece);
        self.warm_up(piece, now);
    }

    pub(super) fn on_lost(&mut self, piece: PieceIndex) {
        self.proven.remove(piece);
        self.warm.remove(&piece);
        self.lost.insert(piece);
    }

    /// Nobody is to see an old rate when it goes on.
    pub(super) fn rest(&mut self, now: Instant) {
        self.meter = RateMeter::new(now);
    }

    /// Payload sent: in bytes, and a second.
    pub(super) fn sent(&self) -> (u64, &RateMeter) {
        (self.uploaded_bytes, &self.meter)
    }

    fn heat(&mut self, piece: PieceIndex, now: Instant) -> Heat {
        let Some(warm) = self.warm.get_mut(&piece) else { return Heat::Cold };
        let is_in_use = now.saturating_duration_since(warm.used) < LOOKED_FOR;
        let age = now.saturating_duration_since(warm.since);
        let heat = match age {
            _ if age < LOOKED_FOR => Heat::Hot,
            _ if age < WARM_FOR && is_in_use => Heat::Fading,
            // Not of use before it is looked at.
            _ => return Heat::Cold,
        };
        warm.used = now;
        heat
    }

    /// Could it not be read, not long ago?
    fn is_unreadable(&self, piece: PieceIndex, now: Instant) -> bool {
        self.unreadable.get(&piece).is_some_and(|until| now < *until)
    }

    fn warm_up(&mut self, piece: PieceIndex, now: Instant) {
        if self.warm.insert(piece, Warm { since: now, used: now }).is_none() {
            self.cooling.push_back((piece, now));
        }
        while self.warm.len() > self.warm_max
            && let Some((piece, since)) = self.cooling.pop_front()
        {
            match self.warm.get(&piece) {
                Some(warm) if warm.used > since => self.cooling.push_back((piece, warm.used)),
                Some(_) => drop(self.warm.remove(&piece)),
                // It was lost.
                None => {}
            }
        }
    }
}

impl Transfer {
    /// The remote asks for a part of a piece.
    pub(super) fn on_requested(&mut self, link: LinkId, ask: Ask, now: Instant, out: &mut Effects) {
        let has = self.goal.has(ask.piece);
        let Some(trade) = self.trades.get_mut(&link) else { return };
        // One that asks is interested, whether it said so or not (as libtorrent takes it).
        if trade.set_interested(true) {
            out.stir();
        }
        let upload = trade.upload_mut();
        let may = upload.unchoked || upload.take_offer(ask);
        if !may {
            upload.asks_while_choked += 1;
            if upload.asks_while_choked > ASKS_WHILE_CHOKED_MAX {
                let reason = CloseReason::Misbehaved("it kept asking while choked");
                return out.close(link, reason);
            }
        }
        let fits = upload.asks.len() < ASKS_MAX && ask.len <= ASK_LEN_MAX;
        let takes = may && has && fits;
        if !takes {
            out.send(link, PeerCommand::Refuse(ask));
            if may && !has && !self.uploads.lost.contains(&ask.piece) {
                out.strike(link);
            }
            return;
        }
        upload.asks.push_back(ask);
        self.make_ready(link, ask.piece, now, out);
    }

    /// BEP 6: a request that is cancelled is answered all the same, by the block or a reject.
    pub(super) fn on_cancelled(&mut self, link: LinkId, ask: Ask, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let asks = &mut trade.upload_mut().asks;
        if let Some(at) = asks.iter().position(|other| *other == ask) {
            asks.remove(at);
            out.send(link, PeerCommand::Refuse(ask));
        }
    }

    pub(super) fn on_sent(&mut self, link: LinkId, bytes: u32, now: Instant, out: &mut Effects) {
        let bytes = u64::from(bytes);
        self.uploads.uploaded_bytes += bytes;
        self.uploads.meter.add(bytes, now);
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let upload = trade.upload_mut();
        upload.at_link = upload.at_link.saturating_sub(bytes);
        upload.uploaded_bytes += bytes;
        upload.meter.add(bytes, now);
        self.serve(link, now, out);
    }

    /// Hands the link as much as it should have of what its remote asked for and what is ready.
    pub(super) fn serve(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let upload = trade.upload_mut();
        let mut room = upload.room(now);
        let (mut batch, mut refused) = (Vec::new(), Vec::new());
        let (mut fading, mut cold) = (BTreeSet::new(), None);
        while let Some(ask) = upload.asks.front().copied()
            && (room > 0 || !self.goal.has(ask.piece))
        {
            if !self.goal.has(ask.piece) || self.uploads.is_unreadable(ask.piece, now) {
                refused.push(ask);
            } else {
                match self.uploads.heat(ask.piece, now) {
                    Heat::Hot => {}
                    Heat::Fading => drop(fading.insert(ask.piece)),
                    Heat::Cold => {
                        cold = Some(ask.piece);
                        break;
                    }
                }
                room = room.saturating_sub(u64::from(ask.len));
                upload.at_link += u64::from(ask.len);
                batch.push(ask);
            }
            upload.asks.pop_front();
        }
        refused.into_iter().for_each(|ask| out.send(link, PeerCommand::Refuse(ask)));
        if !batch.is_empty() {
            out.send(link, PeerCommand::SendBlocks(batch));
        }
        for piece in fading.into_iter().chain(cold) {
            self.make_ready(link, piece, now, out);
        }
    }

    /// Has the piece made ready for this link, if it is not and nobody is at it.
    fn make_ready(&mut self, link: LinkId, piece: PieceIndex, now: Instant, out: &mut Effects) {
        let uploads = &mut self.uploads;
        if let Some(waiting) = uploads.preparing.get_mut(&piece) {
            waiting.insert(link);
        } else if !uploads.is_unreadable(piece, now)
            && uploads.heat(piece, now) != Heat::Hot
            && uploads.preparing.len() < PREPARING_MAX
        {
            uploads.preparing.insert(piece, BTreeSet::from([link]));
            let prove = !uploads.proven.has(piece);
            out.push(Output::PreparePiece { piece, prove });
        }
    }

    pub(super) fn on_prepared(
        &mut self,
        piece: PieceIndex,
        outcome: Preparation,
        now: Instant,
        out: &mut Effects,
    ) {
        let Some(waiting) = self.uploads.preparing.remove(&piece) else { return };
        match outcome {
            // What was lost since is not sent.
            Preparation::Ready if !self.goal.has(piece) => {}
            Preparation::Ready => self.uploads.on_verified(piece, now),
            Preparation::Lost(why) => {
                out.tell(Event::PieceLost { piece, why });
                self.on_pieces_lost(vec![piece], out);
            }
            Preparation::Unreadable(_) => {
                self.uploads.unreadable.insert(piece, now + UNREADABLE_FOR);
            }
        }
        // Those that found no place to have their piece made ready come after.
        let others: Vec<LinkId> = self.trades.keys().copied().collect();
        let others = others.into_iter().filter(|link| !waiting.contains(link));
        let waits = |upload: &Upload| upload.at_link == 0 && !upload.asks.is_empty();
        let idle = |link: &LinkId| self.trades.get(link).is_some_and(|it| waits(it.upload()));
        let others: Vec<LinkId> = others.filter(idle).collect();
        waiting.into_iter().chain(others).for_each(|link| self.serve(link, now, out));
    }

    /// What could not be read is tried again, if it is still wanted: who was refused it takes it to
    /// be gone for good, unless it is told again.
    pub(super) fn tell_of_unread(&mut self, now: Instant) {
        let over = self.uploads.unreadable.extract_if(.., |_, until| *until <= now);
        for (piece, _) in over.filter(|(piece, _)| self.goal.has(*piece)) {
            self.verified.push(piece, now);
        }
    }

    /// A new link hears which pieces it may have at once (BEP 6), if it has too few to trade.
    pub(super) fn offer_fast(&mut self, link: LinkId, out: &mut Effects) {
        let layout = self.layout;
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let has = trade.pieces().count(layout.piece_count()) as usize;
        let can = trade.caps().fast && trade.caps().can_upload_to;
        let upload = trade.upload();
        if !can || upload.debt > 0 || !upload.offered.is_empty() || has >= SET_LEN {
            return;
        }
        // A gift is not to be worth more than a stranger's credit.
        let len = (CREDIT_MAX / u64::from(layout.piece_len()).max(1)).clamp(1, SET_LEN as u64);
        let set = allowed_fast_set(&layout, &self.info_hash, trade.address().ip(), len as usize);
        let lacking = |piece: &PieceIndex| !trade.pieces().has(*piece) && self.goal.has(*piece);
        let set: Vec<PieceIndex> = set.into_iter().filter(lacking).collect();
        if set.is_empty() {
            return;
        }
        let offered = set.iter().map(|piece| (*piece, layout.len_of(*piece)));
        trade.upload_mut().offered = offered.collect();
        out.send(link, PeerCommand::AllowFast(set));
    }

    /// Those who may be served, as the choker sees them.
    pub(in crate::swarm) fn standings(&self, now: Instant) -> Vec<Standing> {
        let has_any = self.goal.has_any();
        let standing = |(link, trade): (&LinkId, &Trade)| Standing {
            link: *link,
            interested: has_any && trade.wants_data(),
            unchoked: trade.upload().unchoked,
            since: trade.upload().since,
            up_since: trade.since(),
            down_rate: trade.rate(now),
            up_rate: trade.upload().meter.rate(now),
            owes: trade.owes(),
            snubbed: trade.requests().is_snubbed(),
        };
        self.trades.iter().map(standing).collect()
    }

    /// What a round of choking is about, with this upload limit in bytes per second.
    pub(in crate::swarm) fn round(&self, limit: Option<u64>, now: Instant) -> Round {
        let credit = (self.layout.total_len() / CREDIT_SHARE).min(CREDIT_MAX);
        Round {
            seeding: self.is_complete(),
            slots: slots(limit, self.uploads.meter.rate(now)),
            credit: credit.max(u64::from(self.layout.piece_len())),
        }
    }

    /// Is anybody served, or wants to be?
    pub(in crate::swarm) fn wants_slots(&self) -> bool {
        self.trades.values().any(|trade| trade.upload().unchoked || trade.wants_data())
    }

    /// Serves the remote from now on.
    pub(in crate::swarm) fn unchoke(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        trade.upload_mut().set_unchoked(true, now);
        out.send(link, PeerCommand::Unchoke);
    }

    /// Requests that wait are void (BEP 3), or refused one by one (BEP 6).
    pub(in crate::swarm) fn choke(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        let upload = trade.upload_mut();
        upload.set_unchoked(false, now);
        let asks = std::mem::take(&mut upload.asks);
        // The link drops what it has not begun.
        upload.at_link = 0;
        out.send(link, PeerCommand::Choke);
        asks.into_iter().for_each(|ask| out.send(link, PeerCommand::Refuse(ask)));
    }

    /// Whatever was ready is looked at again: its file may be gone.
    pub(in crate::swarm) fn cool_down(&mut self) {
        self.uploads.warm.clear();
        self.uploads.cooling.clear();
    }
}

//! The way of a block out: who may ask, what waits for whom, what must be made ready before it
//! is sent, and how much a link is handed at once. Whom to serve at all is decided by `choker`;
//! no byte of a block passes through here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::base::addr::{Host, Locality, host_key};
use crate::base::bitfield::Bitfield;
use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;
use crate::base::meter::RateMeter;
use crate::base::units::BLOCK_LEN;

use super::Swarm;
use super::allowed_fast::{SET_LEN, allowed_fast_set};
use super::choker::{Choker, ROUND, Round, Standing, slots};
use super::event::{Event, Output, Preparation};
use super::link::{ASK_LEN_MAX, Ask, CloseReason, LinkCommand};
use super::peer::Peer;

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
/// A piece that was made ready stays in the page cache for at least so long; then it is looked at
/// again, however much it is in use: somebody may have changed its file.
const WARM_FOR: Duration = Duration::from_secs(60);
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

/// Hosts whose debts are remembered; the least go first.
const DEBTS_MAX: usize = 1_000;

/// What all links of a torrent have in common as far as sending goes.
#[derive(Debug)]
pub(super) struct Uploads {
    choker: Choker,
    next_round: Instant,
    /// A place may be free, or somebody new wants one.
    pub stirred: bool,
    /// Somebody is served, or wants to be.
    is_wanted: bool,
    limit: Option<u64>,
    /// Pieces whose hash was right since the start.
    proven: Bitfield,
    /// Pieces that lie in memory.
    warm: BTreeMap<PieceIndex, Warm>,
    /// How many may.
    warm_max: usize,
    preparing: BTreeMap<PieceIndex, BTreeSet<LinkId>>,
    unreadable: BTreeMap<PieceIndex, Instant>,
    /// What public hosts owed when their links ended: to come again pays no debt.
    pub(super) debts: BTreeMap<Host, u64>,
    /// Pieces that we told we have and have no more: BEP 3 knows no word to take that back.
    lost: BTreeSet<PieceIndex>,
    pub uploaded_bytes: u64,
    pub meter: RateMeter,
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
    pub unchoked: bool,
    /// Since when that is so.
    pub since: Instant,
    /// What it asked for and did not get yet.
    pub asks: VecDeque<Ask>,
    /// Bytes that its link was handed and has not sent yet.
    pub at_link: u64,
    /// Payload to it.
    pub meter: RateMeter,
    /// Payload to it, in bytes.
    pub uploaded_bytes: u64,
    /// What it owed from earlier links.
    pub debt: u64,
    /// Pieces that it may ask for while choked, and the bytes it may still get of each.
    pub offered: BTreeMap<PieceIndex, u32>,
    /// Requests that it made although we choke it.
    pub asks_while_choked: u32,
}

impl Upload {
    /// Of a link that has just come up: choked (BEP 3).
    pub fn new(now: Instant) -> Self {
        Self {
            unchoked: false,
            since: now,
            asks: VecDeque::new(),
            at_link: 0,
            meter: RateMeter::new(now),
            uploaded_bytes: 0,
            debt: 0,
            offered: BTreeMap::new(),
            asks_while_choked: 0,
        }
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
            choker: Choker::default(),
            next_round: now + ROUND,
            stirred: false,
            is_wanted: false,
            limit: None,
            proven,
            warm: BTreeMap::new(),
            preparing: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            debts: BTreeMap::new(),
            lost: BTreeSet::new(),
            uploaded_bytes: 0,
            meter: RateMeter::new(now),
        }
    }

    /// The piece was verified just now: it is right, and its bytes lie in the page cache.
    pub(super) fn on_verified(&mut self, piece: PieceIndex, now: Instant) {
        self.proven.insert(piece);
        self.warm_up(piece, now);
    }

    pub(super) fn on_lost(&mut self, piece: PieceIndex) {
        self.proven.remove(piece);
        self.warm.remove(&piece);
        self.lost.insert(piece);
    }

    /// No piece counts as ready any more.
    pub(super) fn cool_down(&mut self) {
        self.warm.clear();
    }

    fn is_warm(&mut self, piece: PieceIndex, now: Instant) -> bool {
        let Some(warm) = self.warm.get_mut(&piece) else { return false };
        warm.used = now;
        now.saturating_duration_since(warm.since) < WARM_FOR
    }

    fn warm_up(&mut self, piece: PieceIndex, now: Instant) {
        self.warm.insert(piece, Warm { since: now, used: now });
        if self.warm.len() > self.warm_max {
            let coldest = self.warm.iter().min_by_key(|(_, warm)| warm.used);
            if let Some(piece) = coldest.map(|(piece, _)| *piece) {
                self.warm.remove(&piece);
            }
        }
    }
}

impl Swarm {
    /// The remote asks for a part of a piece.
    pub(super) fn on_requested(&mut self, link: LinkId, ask: Ask, now: Instant) {
        let has = self.have.has(ask.piece);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        // One that asks is interested, whether it said so or not (as libtorrent takes it).
        if !peer.interested {
            peer.interested = true;
            self.uploads.stirred = true;
        }
        let upload = &mut peer.upload;
        let may = upload.unchoked || take_offer(upload, ask);
        if !may {
            upload.asks_while_choked += 1;
            if upload.asks_while_choked > ASKS_WHILE_CHOKED_MAX {
                let reason = CloseReason::Misbehaved("it kept asking while choked");
                return self.close(link, reason, now);
            }
        }
        let fits = upload.asks.len() < ASKS_MAX && ask.len <= ASK_LEN_MAX;
        let takes = may && has && !self.paused && fits;
        if !takes {
            self.send(link, LinkCommand::Refuse(ask));
            if may && !has && !self.uploads.lost.contains(&ask.piece) {
                self.strike(link, now);
            }
            return;
        }
        upload.asks.push_back(ask);
        self.make_ready(link, ask.piece, now);
    }

    /// BEP 6: a request that is cancelled is answered all the same, by the block or a reject.
    pub(super) fn on_cancelled(&mut self, link: LinkId, ask: Ask) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let asks = &mut peer.upload.asks;
        if let Some(at) = asks.iter().position(|other| *other == ask) {
            asks.remove(at);
            self.send(link, LinkCommand::Refuse(ask));
        }
    }

    pub(super) fn on_sent(&mut self, link: LinkId, bytes: u32, now: Instant) {
        let bytes = u64::from(bytes);
        self.uploads.uploaded_bytes += bytes;
        self.uploads.meter.add(bytes, now);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.upload.at_link = peer.upload.at_link.saturating_sub(bytes);
        peer.upload.uploaded_bytes += bytes;
        peer.upload.meter.add(bytes, now);
        self.serve(link, now);
    }

    /// Hands the link as much as it should have of what its remote asked for and what is ready.
    pub(super) fn serve(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let mut room = peer.upload.room(now);
        let (mut batch, mut refused) = (Vec::new(), Vec::new());
        let mut cold = None;
        while let Some(ask) = peer.upload.asks.front().copied()
            && (room > 0 || !self.have.has(ask.piece))
        {
            if !self.have.has(ask.piece) || self.uploads.unreadable.contains_key(&ask.piece) {
                refused.push(ask);
            } else if self.uploads.is_warm(ask.piece, now) {
                room = room.saturating_sub(u64::from(ask.len));
                peer.upload.at_link += u64::from(ask.len);
                batch.push(ask);
            } else {
                cold = Some(ask.piece);
                break;
            }
            peer.upload.asks.pop_front();
        }
        refused.into_iter().for_each(|ask| self.send(link, LinkCommand::Refuse(ask)));
        if !batch.is_empty() {
            self.send(link, LinkCommand::SendBlocks(batch));
        }
        if let Some(piece) = cold {
            self.make_ready(link, piece, now);
        }
    }

    /// Has the piece made ready for this link, if it is not and nobody is at it.
    fn make_ready(&mut self, link: LinkId, piece: PieceIndex, now: Instant) {
        let uploads = &mut self.uploads;
        uploads.unreadable.retain(|_, until| now < *until);
        if let Some(waiting) = uploads.preparing.get_mut(&piece) {
            waiting.insert(link);
        } else if !uploads.unreadable.contains_key(&piece)
            && !uploads.is_warm(piece, now)
            && uploads.preparing.len() < PREPARING_MAX
        {
            uploads.preparing.insert(piece, BTreeSet::from([link]));
            let prove = !uploads.proven.has(piece);
            self.outputs.push_back(Output::PreparePiece { piece, prove });
        }
    }

    pub(super) fn on_prepared(&mut self, piece: PieceIndex, outcome: Preparation, now: Instant) {
        let Some(waiting) = self.uploads.preparing.remove(&piece) else { return };
        match outcome {
            Preparation::Ready => self.uploads.on_verified(piece, now),
            Preparation::Lost(why) => {
                self.tell(Event::PieceLost { piece, why });
                self.on_pieces_lost(vec![piece], now);
            }
            Preparation::Unreadable(_) => {
                self.uploads.unreadable.insert(piece, now + UNREADABLE_FOR);
            }
        }
        // Those that found no place to have their piece made ready come after.
        let others: Vec<LinkId> = self.peers.keys().copied().collect();
        let others = others.into_iter().filter(|link| !waiting.contains(link));
        let idle = |link: &LinkId| {
            self.peers
                .get(link)
                .is_some_and(|it| it.upload.at_link == 0 && !it.upload.asks.is_empty())
        };
        let others: Vec<LinkId> = others.filter(idle).collect();
        waiting.into_iter().chain(others).for_each(|link| self.serve(link, now));
    }

    /// A link is over: a public host is not to get a stranger's credit twice. Behind a local
    /// address many may live.
    pub(super) fn note_debt(&mut self, peer: &Peer) {
        let (host, owes) = (peer.address.ip(), owes(peer));
        if owes == 0 || Locality::of(host) != Locality::Public {
            return;
        }
        let debts = &mut self.uploads.debts;
        let known = debts.entry(host_key(host)).or_default();
        *known = known.saturating_add(owes);
        if debts.len() > DEBTS_MAX {
            let least = debts.iter().min_by_key(|(_, owes)| **owes).map(|(host, _)| *host);
            least.map(|host| debts.remove(&host));
        }
    }

    /// What a host owes that comes again; the link owes it from now on.
    pub(super) fn take_debt(&mut self, host: IpAddr) -> u64 {
        self.uploads.debts.remove(&host_key(host)).unwrap_or(0)
    }

    /// A new link hears which pieces it may have at once (BEP 6), if it has too few to trade.
    pub(super) fn offer_fast(&mut self, link: LinkId) {
        let layout = self.config.layout;
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let has = peer.pieces.count(layout.piece_count()) as usize;
        let can = peer.caps.fast && peer.caps.can_upload_to;
        if !can || peer.upload.debt > 0 || !peer.upload.offered.is_empty() || has >= SET_LEN {
            return;
        }
        // A gift is not to be worth more than a stranger's credit.
        let len = (CREDIT_MAX / u64::from(layout.piece_len()).max(1)).clamp(1, SET_LEN as u64);
        let set =
            allowed_fast_set(&layout, &self.config.info_hash, peer.address.ip(), len as usize);
        let lacking = |piece: &PieceIndex| !peer.pieces.has(*piece) && self.have.has(*piece);
        let set: Vec<PieceIndex> = set.into_iter().filter(lacking).collect();
        if set.is_empty() {
            return;
        }
        peer.upload.offered = set.iter().map(|piece| (*piece, layout.len_of(*piece))).collect();
        self.send(link, LinkCommand::AllowFast(set));
    }

    /// When places are to be given anew, if anybody wants one.
    pub(super) fn next_rechoke(&self) -> Option<Instant> {
        (self.uploads.is_wanted && !self.paused).then_some(self.uploads.next_round)
    }

    /// Gives places: all of them anew when the round is over, else only free ones.
    pub(super) fn rechoke(&mut self, now: Instant) {
        let rotate = now >= self.uploads.next_round;
        let stirred = std::mem::take(&mut self.uploads.stirred);
        if self.paused || !(rotate || stirred) {
            return;
        }
        if rotate {
            self.uploads.next_round = now + ROUND;
        }
        let total = self.config.layout.total_len();
        let piece_len = u64::from(self.config.layout.piece_len());
        let round = Round {
            seeding: self.is_complete(),
            slots: slots(self.uploads.limit, self.uploads.meter.rate(now)),
            credit: (total / CREDIT_SHARE).min(CREDIT_MAX).max(piece_len),
        };
        let has_any = self.have.ones() > 0;
        let standing = |(link, peer): (&LinkId, &Peer)| Standing {
            link: *link,
            interested: has_any && wants(peer),
            unchoked: peer.upload.unchoked,
            since: peer.upload.since,
            up_since: peer.since,
            down_rate: peer.meter.rate(now),
            up_rate: peer.upload.meter.rate(now),
            owes: owes(peer),
            snubbed: peer.requests.is_snubbed(),
        };
        let standings: Vec<Standing> = self.peers.iter().map(standing).collect();
        let uploads = &mut self.uploads;
        let chosen = uploads.choker.choose(&standings, round, rotate, now, &mut self.rng);
        // Who wants nothing at the moment keeps its place until the round is over, or until
        // somebody else needs it.
        let idle = standings.iter().filter(|it| it.unchoked && !chosen.contains(&it.link));
        let kept = if rotate { 0 } else { round.slots.saturating_sub(chosen.len()) };
        let idle: Vec<LinkId> = idle.map(|it| it.link).skip(kept).collect();
        idle.into_iter().for_each(|link| self.choke(link, now));
        for Standing { link, unchoked, .. } in standings {
            if !unchoked && chosen.contains(&link) {
                self.unchoke(link, now);
            }
        }
        self.uploads.is_wanted =
            self.peers.values().any(|peer| peer.upload.unchoked || wants(peer));
    }

    fn unchoke(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        (peer.upload.unchoked, peer.upload.since) = (true, now);
        peer.upload.asks_while_choked = 0;
        self.send(link, LinkCommand::Unchoke);
    }

    /// Requests that wait are void (BEP 3), or refused one by one (BEP 6).
    fn choke(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        (peer.upload.unchoked, peer.upload.since) = (false, now);
        peer.upload.asks_while_choked = 0;
        let asks = std::mem::take(&mut peer.upload.asks);
        // The link drops what it has not begun.
        peer.upload.at_link = 0;
        self.send(link, LinkCommand::Choke);
        asks.into_iter().for_each(|ask| self.send(link, LinkCommand::Refuse(ask)));
    }

    pub(super) fn on_upload_limit(&mut self, limit: Option<u64>) {
        self.uploads.stirred |= limit != self.uploads.limit;
        self.uploads.limit = limit;
    }
}

/// Does it want data that we may send it?
fn wants(peer: &Peer) -> bool {
    peer.interested && peer.caps.can_upload_to && !peer.is_seed()
}

/// What it got beyond what it gave, in bytes.
fn owes(peer: &Peer) -> u64 {
    (peer.upload.debt + peer.upload.uploaded_bytes).saturating_sub(peer.downloaded_bytes)
}

/// May a choked remote have this, of the pieces it was offered?
fn take_offer(upload: &mut Upload, ask: Ask) -> bool {
    let Some(left) = upload.offered.get_mut(&ask.piece) else { return false };
    let rest = left.checked_sub(ask.len);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

//! Which links there are: whom to dial and let in, what a new link is greeted with, which
//! one of two to the same peer stays, and which are given up. What goes over a link is not
//! judged here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::base::addr::{Host, Locality, host_key};
use crate::base::ids::{LinkId, PeerId};
use crate::base::meter::RateMeter;

use super::candidates::{Candidates, Choice};
use super::event::{DownReason, Event, Output, Room, Source};
use super::link::{Availability, CloseReason, LinkCaps, LinkCommand, Unit};
use super::peer::Peer;
use super::{Arriving, Swarm};

/// Dials under way at most.
const DIALS_MAX: usize = 30;
/// Of those, dials to addresses that failed when they were tried last: a dead one takes ten
/// seconds, and those never tried are not to wait behind a hundred of them.
const RETRIES_MAX: usize = DIALS_MAX / 3;
/// Connections that may come in from one public host: a household behind one address, but no
/// crowd. Behind a local address any number of honest peers may live.
const HOST_MAX: usize = 5;
/// A link that should deliver and does not for this long is closed.
const SILENT_MAX: Duration = Duration::from_secs(70);
/// With every place taken, a link may be this long without payload before another
/// candidate gets its place.
const USELESS_AFTER: Duration = Duration::from_secs(60);
/// With every place taken, how often some of the idle links make place for other candidates.
const TURNOVER_EVERY: Duration = Duration::from_secs(90);
/// How many then: one in so many, as libtorrent's `peer_turnover` of 4 %.
const TURNOVER_SHARE: usize = 25;
/// A peer that has sent no pieces for so long has none: BEP 3 lets it leave the bitfield out.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// A second way to a connected peer is left alone for so long; it may be the only one that
/// can be dialled when the first link ends.
const DUPLICATE_REST: Duration = Duration::from_secs(300);
/// One that had everything when we had it too is not dialled for so long. It wakes at once when
/// something is missing again: more files are wanted, or pieces were lost.
const SEED_REST: Duration = Duration::from_secs(30 * 60);
/// One whose place went to another is left alone for so long, as it would be useless again.
const REPLACED_REST: Duration = USELESS_AFTER;
/// Candidates that are remembered of a torrent that may not run again for days.
const KEPT_MAX: usize = 100;
/// A link that lasted so long counts as one that worked, even without payload.
const LASTED: Duration = Duration::from_secs(60);

/// How crowded it is.
#[derive(Debug)]
pub(super) struct Crowding {
    /// As it was told last; what was taken since is off.
    room: Room,
    /// Not before that do idle links make place again.
    next_turnover: Option<Instant>,
}

impl Default for Crowding {
    fn default() -> Self {
        Self { room: Room::UNBOUNDED, next_turnover: None }
    }
}

/// What a torrent knows of peers apart from its links. It outlives the brain when the files
/// are moved, for instance.
#[derive(Debug, Default)]
pub struct Acquaintances {
    candidates: Candidates,
    debts: BTreeMap<Host, u64>,
    /// Somebody was met, and that was told.
    met_anybody: bool,
}

impl Acquaintances {
    /// Leaves out what costs much and is of little use when the torrent runs again some day:
    /// all but the best hundred candidates. Bans and debts stay.
    pub fn keep_best(&mut self) {
        self.candidates.keep_best(KEPT_MAX);
    }
}

/// Why a connection may not come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The torrent is paused.
    Paused,
    /// The address is banned.
    Banned,
    /// There are as many from its host as one may have.
    Crowd,
    /// The torrent has as many links as the user allows it.
    Full,
    /// Other torrents have the places.
    NoPlace,
}

impl Swarm {
    /// What is to be remembered of peers, for [`remember`](Self::remember) of another brain of
    /// this torrent.
    pub fn acquaintances(mut self) -> Acquaintances {
        for peer in self.peers.values() {
            self.candidates.released(peer.home());
        }
        self.candidates.release_all();
        let Self { candidates, uploads, met_anybody, .. } = self;
        Acquaintances { candidates, debts: uploads.debts, met_anybody }
    }

    /// Knows again whom another brain of this torrent knew. Called before anything else.
    pub fn remember(&mut self, known: Acquaintances) {
        self.candidates = known.candidates;
        self.uploads.debts = known.debts;
        self.met_anybody = known.met_anybody;
    }

    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&mut self, address: SocketAddr, now: Instant) -> Result<LinkId, Refusal> {
        if self.paused {
            return Err(Refusal::Paused);
        }
        if self.candidates.is_banned(address) {
            return Err(Refusal::Banned);
        }
        if self.is_crowd(address.ip()) {
            return Err(Refusal::Crowd);
        }
        if self.free_places() == 0 && !self.make_room(address, now) {
            let is_full = self.own_places() == 0;
            return Err(if is_full { Refusal::Full } else { Refusal::NoPlace });
        }
        self.crowding.room.links = self.crowding.room.links.saturating_sub(1);
        self.candidates.came_in(address, &mut self.rng);
        Ok(self.new_link(Arriving { address, incoming: true }))
    }

    /// Are there as many connections from this public host as one may have?
    fn is_crowd(&self, host: IpAddr) -> bool {
        let peers = self.peers.values().filter(|peer| peer.incoming).map(|peer| peer.address);
        let arriving = self.arriving.values().filter(|it| it.incoming).map(|it| it.address);
        let is_same = |address: &SocketAddr| host_key(address.ip()) == host_key(host);
        Locality::of(host) == Locality::Public
            && peers.chain(arriving).filter(is_same).count() >= HOST_MAX
    }

    /// With every place taken, gives up the link of least use for one to `address`: one over which
    /// nothing went for long, or nothing goes now and which has a lower priority than the
    /// newcomer (BEP 40). False when there is none.
    fn make_room(&mut self, address: SocketAddr, now: Instant) -> bool {
        let offered = self.candidates.priority(address);
        let Some((use_of, link)) = self.least_useful(now) else { return false };
        let Usefulness { is_moving, is_young, priority, .. } = use_of;
        let gives_way = !is_moving && (!is_young || priority.is_some() && priority < offered);
        if gives_way {
            self.close(link, CloseReason::Replaced, now);
            self.crowding.room.links = self.crowding.room.links.saturating_add(1);
        }
        gives_way
    }

    /// The link that would be missed least.
    fn least_useful(&self, now: Instant) -> Option<(Usefulness, LinkId)> {
        let use_of = |peer: &Peer| Usefulness {
            is_moving: !peer.is_idle(now),
            is_young: now.saturating_duration_since(peer.since) < USELESS_AFTER,
            has_business: peer.has_business(),
            moved_bytes: peer.downloaded_bytes + peer.upload.uploaded_bytes,
            priority: self.candidates.priority(peer.home()),
        };
        self.peers.iter().map(|(link, peer)| (use_of(peer), *link)).min()
    }

    /// Links that the user's own limit still allows.
    fn own_places(&self) -> usize {
        self.config.max_peers.saturating_sub(self.peers.len() + self.arriving.len())
    }

    /// Links, dials included, that may still be added.
    fn free_places(&self) -> usize {
        let Room { links, most, .. } = self.crowding.room;
        let taken = self.peers.len() + self.arriving.len();
        most.saturating_sub(taken).min(self.own_places()).min(links)
    }

    pub(super) fn on_room(&mut self, room: Room, now: Instant) {
        self.crowding.room = room;
        while self.peers.len() + self.arriving.len() > room.most
            && let Some((_, link)) = self.least_useful(now)
        {
            self.close(link, CloseReason::Replaced, now);
        }
    }

    /// How many links more would be made at once if others left places: candidates that are
    /// ready, as far as the user's own limit and the bounds on dials allow. A place for another
    /// would lie idle. A complete torrent wants those that the user named.
    pub fn wanted_links(&mut self, now: Instant) -> usize {
        if !self.may_want() {
            return 0;
        }
        let most = self.own_places().min(DIALS_MAX - self.dials()).min(self.crowding.room.dials);
        let choice = Choice { strangers: !self.is_complete(), ..self.choice() };
        self.candidates.ready_count(choice, most, now)
    }

    /// When an address has rested that may be dialled then, or for which a place is wanted.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        self.candidates.next_wake(self.choice()).filter(|_| self.may_want())
    }

    /// What an extension handshake says of addresses: where the peer listens, and how it sees us.
    pub(super) fn on_addresses_told(
        &mut self,
        link: LinkId,
        port: Option<u16>,
        ours: Option<IpAddr>,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if let Some(port) = port.filter(|port| *port > 0 && peer.incoming)
            && peer.listens_at.is_none()
        {
            let home = SocketAddr::new(peer.address.ip(), port);
            // BEP 27: only what a tracker named is dialled.
            let may_learn = !self.config.is_private;
            let is_known = self.candidates.listens_at(peer.address, home, may_learn, &mut self.rng);
            peer.listens_at = is_known.then_some(home);
        }
        let is_first = peer.sees_us_at.is_none();
        if let Some(ours) = ours.filter(|ours| is_first && Locality::of(*ours) == Locality::Public)
        {
            peer.sees_us_at = Some(ours);
            self.on_seen_at(link, ours);
        }
    }

    /// A peer sees us at this address. It is believed when another host says the same: one liar
    /// is not to bring all candidates into an order of its choice.
    fn on_seen_at(&mut self, link: LinkId, ours: IpAddr) {
        let Some(teller) = self.peers.get(&link).map(|peer| host_key(peer.address.ip())) else {
            return;
        };
        let agrees =
            |peer: &Peer| peer.sees_us_at == Some(ours) && host_key(peer.address.ip()) != teller;
        if self.config.listen_port > 0 && self.peers.values().any(agrees) {
            let ours = SocketAddr::new(ours, self.config.listen_port);
            self.candidates.set_ours(ours, &mut self.rng);
        }
    }

    pub(super) fn on_candidates(&mut self, source: Source, addresses: Vec<SocketAddr>) {
        if self.config.is_private && source != Source::Tracker {
            return;
        }
        for address in addresses {
            self.candidates.learn(address, source, &mut self.rng);
        }
    }

    /// BEP 27: whoever goes to another tracker leaves all peers behind, so as not to be a
    /// bridge between two swarms that should not know of each other.
    pub(super) fn on_tracker_changed(&mut self) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.remove_peer(link);
            self.send(link, LinkCommand::Close(CloseReason::TrackerChanged));
        }
        for link in std::mem::take(&mut self.arriving).into_keys() {
            self.send(link, LinkCommand::Close(CloseReason::TrackerChanged));
        }
        self.candidates.forget_all();
    }

    /// One that has nothing and wants nothing is of no use to anybody.
    fn has_purpose(&self) -> bool {
        !self.is_complete() || self.have.ones() > 0
    }

    /// Dials under way.
    fn dials(&self) -> usize {
        self.arriving.values().filter(|arriving| !arriving.incoming).count()
    }

    /// Might somebody be dialled if others left places and dials?
    fn may_want(&self) -> bool {
        !self.paused && self.has_purpose() && self.dials() < DIALS_MAX && self.own_places() > 0
    }

    fn may_dial(&self) -> bool {
        self.may_want() && self.crowding.room.dials > 0 && self.free_places() > 0
    }

    /// Whom to dial, if anybody may be.
    fn choice(&self) -> Choice {
        let is_retry = |it: &&Arriving| !it.incoming && self.candidates.is_retry(it.address);
        let retries = self.arriving.values().filter(is_retry).count();
        // Those who download come first. Whom the user names is dialled all the same.
        let Room { links, reserve, .. } = self.crowding.room;
        Choice {
            retries: RETRIES_MAX.saturating_sub(retries),
            strangers: !self.is_complete() || links > reserve,
        }
    }

    pub(super) fn dial_more(&mut self, now: Instant) {
        // Without a place too: then one is wanted.
        self.candidates.wake(now);
        while self.may_dial()
            && let Some(address) = self.candidates.next(self.choice(), now)
        {
            let room = &mut self.crowding.room;
            room.links = room.links.saturating_sub(1);
            room.dials = room.dials.saturating_sub(1);
            let link = self.new_link(Arriving { address, incoming: false });
            self.outputs.push_back(Output::Dial { link, address });
        }
    }

    pub(super) fn new_link(&mut self, arriving: Arriving) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.arriving.insert(link, arriving);
        link
    }

    pub(super) fn on_link_up(
        &mut self,
        link: LinkId,
        peer_id: PeerId,
        caps: LinkCaps,
        now: Instant,
    ) {
        let Some(arriving) = self.arriving.remove(&link) else {
            return self.send(link, LinkCommand::Close(CloseReason::Stopping));
        };
        let Arriving { address, incoming } = arriving;
        if peer_id == self.config.peer_id {
            match incoming {
                // Where it came from is no address to remember.
                true => self.candidates.forget(address),
                false => self.candidates.shun(address),
            }
            return self.send(link, LinkCommand::Close(CloseReason::OurselvesAgain));
        }
        if self.paused {
            self.candidates.released(address);
            return self.send(link, LinkCommand::Close(CloseReason::Stopping));
        }
        if self.candidates.is_banned(address) {
            self.candidates.forget(address);
            return self.send(link, LinkCommand::Close(CloseReason::CorruptData));
        }
        if let Some(other) = self.same_peer(peer_id) {
            if !self.is_better(peer_id, incoming, other) {
                self.candidates.rest(address, DUPLICATE_REST, now);
                return self.send(link, LinkCommand::Close(CloseReason::Duplicate));
            }
            self.close(other, CloseReason::Duplicate, now);
        }
        if !self.met_anybody {
            self.met_anybody = true;
            self.tell(Event::FirstPeer(address));
        }
        let count = self.config.layout.piece_count();
        let can_upload_to = caps.can_upload_to;
        let can_hear = caps.extended;
        if caps.unit == Unit::Piece {
            self.stores.entry(address).or_default();
        }
        let mut peer = Peer::new(address, peer_id, incoming, caps, count, now);
        peer.told = self.verified.end();
        peer.upload.debt = self.take_debt(address.ip());
        self.peers.insert(link, peer);
        let ours = match self.have.ones() {
            0 => Availability::None,
            _ if self.have.is_full() => Availability::All,
            _ => Availability::Some(self.have.clone()),
        };
        if can_upload_to {
            if can_hear && self.upload_only {
                self.send(link, LinkCommand::UploadOnly(true));
            }
            self.send(link, LinkCommand::Availability(ours));
        }
    }

    pub(super) fn same_peer(&self, peer_id: PeerId) -> Option<LinkId> {
        let mut peers = self.peers.iter();
        peers.find(|(_, peer)| peer.peer_id == peer_id).map(|(link, _)| *link)
    }

    /// Of two links between the same two peers, both sides must keep the same one: the one
    /// that the peer with the higher id dialled. Of two that one side dialled, the first.
    pub(super) fn is_better(&self, peer_id: PeerId, incoming: bool, other: LinkId) -> bool {
        let other_incoming = self.peers.get(&other).is_some_and(|peer| peer.incoming);
        let keep_incoming = peer_id.0 > self.config.peer_id.0;
        incoming != other_incoming && incoming == keep_incoming
    }

    pub(super) fn on_link_down(&mut self, link: LinkId, reason: DownReason, now: Instant) {
        if let Some(arriving) = self.arriving.remove(&link) {
            if reason == DownReason::NoRoom {
                self.crowding.room.links = 0;
                return self.candidates.released(arriving.address);
            }
            return self.candidates.ended(arriving.address, reason.to_string(), now);
        }
        self.tell_owed_reassigned(link, &reason.to_string());
        self.note_ended(link);
        if let Some(peer) = self.remove_peer(link) {
            let lasted = now.saturating_duration_since(peer.since) >= LASTED;
            if lasted || peer.downloaded_bytes > 0 {
                self.candidates.worked(peer.home());
            }
            self.candidates.left(peer.home(), reason.to_string(), now);
            match reason {
                // Nothing that the address did.
                DownReason::Closed(_) => self.candidates.rest(peer.home(), DUPLICATE_REST, now),
                _ => self.candidates.ended(peer.home(), reason.to_string(), now),
            }
        }
    }

    /// Ends a link by our own will.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant) {
        self.tell_owed_reassigned(link, &reason.to_string());
        let Some(peer) = self.remove_peer(link) else { return };
        self.send(link, LinkCommand::Close(reason));
        let home = peer.home();
        self.candidates.left(home, reason.to_string(), now);
        match reason {
            CloseReason::BothComplete => self.candidates.rest(home, SEED_REST, now),
            CloseReason::Duplicate => self.candidates.rest(home, DUPLICATE_REST, now),
            CloseReason::Replaced => self.candidates.rest(home, REPLACED_REST, now),
            // Of a local peer only the port that it came from is banned so far.
            CloseReason::CorruptData if home != peer.address => self.candidates.ban(home),
            _ => self.candidates.ended(home, reason.to_string(), now),
        }
    }

    pub(super) fn remove_peer(&mut self, link: LinkId) -> Option<Peer> {
        let mut peer = self.peers.remove(&link)?;
        self.uploads.stirred |= peer.upload.unchoked;
        self.note_debt(&peer);
        self.hungry.remove(&link);
        self.cramped.remove(&link);
        self.timers.disarm(link);
        self.picker.peer_left(&peer.pieces);
        for block in peer.requests.give_up_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        Some(peer)
    }

    pub(super) fn on_pause(&mut self, pause: bool, now: Instant) {
        if std::mem::replace(&mut self.paused, pause) != pause {
            // Nobody is to see an old rate when it goes on.
            self.uploads.meter = RateMeter::new(now);
            self.totals.rest(now);
        }
        if !pause {
            return;
        }
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            let Some(peer) = self.remove_peer(link) else { continue };
            self.send(link, LinkCommand::Close(CloseReason::Stopping));
            self.candidates.left(peer.home(), CloseReason::Stopping.to_string(), now);
            self.candidates.released(peer.home());
        }
        self.next_housekeeping = now;
    }

    pub(super) fn drop_useless(&mut self, now: Instant) {
        let silent = |peer: &Peer| peer.requests.silent_for(now) >= SILENT_MAX;
        let silent: Vec<_> =
            self.peers.iter().filter(|(_, peer)| silent(peer)).map(|(link, _)| *link).collect();
        for link in silent {
            self.close(link, CloseReason::TimedOut("it sent nothing for 70 s"), now);
        }
        for peer in self.peers.values_mut() {
            peer.has_told |= now.saturating_duration_since(peer.since) >= TOLD_WITHIN;
        }
        self.turn_over(now);
    }

    /// With every place taken, a few links over which nothing goes make place for others.
    fn turn_over(&mut self, now: Instant) {
        let most = self.config.max_peers.min(self.crowding.room.most);
        let is_due = self.crowding.next_turnover.is_none_or(|at| at <= now);
        let choice = self.choice();
        if !is_due || self.peers.len() < most || !self.candidates.has_ready(choice, now) {
            return;
        }
        for _ in 0..(most / TURNOVER_SHARE).max(1) {
            let Some((use_of, link)) = self.least_useful(now) else { return };
            if use_of.is_moving || use_of.is_young {
                return;
            }
            self.close(link, CloseReason::Replaced, now);
            self.crowding.next_turnover = Some(now + TURNOVER_EVERY);
        }
    }
}

/// What a link is good for; the greater, the more it would be missed.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Usefulness {
    /// Payload goes over it.
    is_moving: bool,
    /// It has had no time to show what it is good for.
    is_young: bool,
    /// It has what we lack, or wants what we have.
    has_business: bool,
    /// Payload in all, both ways.
    moved_bytes: u64,
    /// BEP 40.
    priority: Option<u32>,
}

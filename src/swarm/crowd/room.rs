//! Places: whom to dial, whom to let in, and which link gives its place to another.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::base::addr::{Locality, host_key};
use crate::base::ids::LinkId;
use crate::swarm::effects::Effects;
use crate::swarm::event::{Exit, Output, Room};
use crate::swarm::link::{CloseReason, LinkCommand};

use super::candidates::Choice;
use super::newcomer::Refusal;
use super::peer::{Arriving, Peer};
use super::{Crowd, Need, Usage};

/// Dials under way at most.
const DIALS_MAX: usize = 30;
/// Of those, dials to addresses that failed when they were tried last: a dead one takes ten
/// seconds, and those never tried are not to wait behind a hundred of them.
const RETRIES_MAX: usize = DIALS_MAX / 3;
/// Connections that may come in from one public host: a household behind one address, but no
/// crowd. Behind a local address any number of honest peers may live.
const HOST_MAX: usize = 5;
/// With every place taken, a link may be this long without payload before another
/// candidate gets its place.
pub(super) const USELESS_AFTER: Duration = Duration::from_secs(60);
/// With every place taken, how often some of the idle links make place for other candidates.
const TURNOVER_EVERY: Duration = Duration::from_secs(90);
/// How many then: one in so many, as libtorrent's `peer_turnover` of 4 %.
const TURNOVER_SHARE: usize = 25;

impl Crowd {
    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    ///
    /// # Errors
    /// Why it may not.
    pub(in crate::swarm) fn admit(
        &mut self,
        address: SocketAddr,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
        out: &mut Effects,
    ) -> Result<LinkId, Refusal> {
        if self.paused {
            return Err(Refusal::Paused);
        }
        if self.candidates.is_banned(address) {
            return Err(Refusal::Banned);
        }
        if self.is_crowd(address.ip()) {
            return Err(Refusal::Crowd);
        }
        if self.free_places() == 0 && !self.make_room(address, usage, now, out) {
            let is_full = self.own_places() == 0;
            return Err(if is_full { Refusal::Full } else { Refusal::NoPlace });
        }
        self.room.links = self.room.links.saturating_sub(1);
        self.candidates.came_in(address, &mut self.rng);
        Ok(self.new_link(Arriving { address, incoming: true }))
    }

    /// Are there as many connections from this public host as one may have?
    fn is_crowd(&self, host: IpAddr) -> bool {
        let peers = self.peers.values().filter(|peer| peer.is_incoming()).map(Peer::address);
        let arriving = self.arriving.values().filter(|it| it.incoming).map(|it| it.address);
        let is_same = |address: &SocketAddr| host_key(address.ip()) == host_key(host);
        Locality::of(host) == Locality::Public
            && peers.chain(arriving).filter(is_same).count() >= HOST_MAX
    }

    /// With every place taken, gives up the link of least use for one to `address`: one over which
    /// nothing went for long, or nothing goes now and which has a lower priority than the
    /// newcomer (BEP 40). False when there is none.
    fn make_room(
        &mut self,
        address: SocketAddr,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        let offered = self.candidates.priority(address);
        let least = self.by_usefulness(usage, now).min();
        let Some((Usefulness { is_moving, is_young, priority, .. }, link)) = least else {
            return false;
        };
        let gives_way = !is_moving && (!is_young || priority.is_some() && priority < offered);
        if gives_way {
            out.close(link, CloseReason::Replaced);
            self.room.links = self.room.links.saturating_add(1);
        }
        gives_way
    }

    /// Live links with what each is good for.
    fn by_usefulness(
        &self,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
    ) -> impl Iterator<Item = (Usefulness, LinkId)> {
        self.peers.iter().map(move |(link, peer): (&LinkId, &Peer)| {
            let Usage { is_moving, has_business, moved_bytes } = usage(*link);
            let is_young = now.saturating_duration_since(peer.since()) < USELESS_AFTER;
            let priority = self.candidates.priority(peer.home());
            (Usefulness { is_moving, is_young, has_business, moved_bytes, priority }, *link)
        })
    }

    /// The links that would be missed least, at most so many, the least first.
    fn least_useful(
        &self,
        count: usize,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
    ) -> impl Iterator<Item = (Usefulness, LinkId)> {
        let mut links: Vec<_> = self.by_usefulness(usage, now).collect();
        links.sort_unstable();
        links.into_iter().take(count)
    }

    fn taken(&self) -> usize {
        self.peers.len() + self.arriving.len()
    }

    /// Links that the user's own limit still allows.
    fn own_places(&self) -> usize {
        self.config.max_peers.saturating_sub(self.taken())
    }

    /// Links, dials included, that may still be added.
    fn free_places(&self) -> usize {
        let Room { links, most, .. } = self.room;
        most.saturating_sub(self.taken()).min(self.own_places()).min(links)
    }

    /// What the other torrents leave to this one.
    pub(in crate::swarm) fn on_room(
        &mut self,
        room: Room,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
        out: &mut Effects,
    ) {
        let was = std::mem::replace(&mut self.room, room).exit;
        match room.exit {
            // What failed meanwhile says nothing of those who were dialled.
            Exit::Open if was != Exit::Open => self.candidates.wake_all(),
            Exit::Open | Exit::NoDials => {}
            Exit::Shut => {
                let links = self.peers.keys().copied();
                links.for_each(|link| out.close(link, CloseReason::NothingLeaves));
                return;
            }
        }
        let excess = self.taken().saturating_sub(room.most);
        if excess > 0 {
            let links = self.least_useful(excess, usage, now);
            links.for_each(|(_, link)| out.close(link, CloseReason::Replaced));
        }
    }

    /// Most links, dials included, from now on. Those above that end: dials and arrivals first, and
    /// then the least useful.
    pub(in crate::swarm) fn set_peers_max(
        &mut self,
        most: usize,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
        out: &mut Effects,
    ) {
        self.config.max_peers = most;
        let excess = self.taken().saturating_sub(most);
        let coming: Vec<_> = self.arriving.keys().rev().copied().take(excess).collect();
        for link in coming {
            let Some(arriving) = self.arriving.remove(&link) else { continue };
            out.send(link, LinkCommand::Close(CloseReason::Replaced));
            self.candidates.released(arriving.address);
            self.not_taken(arriving);
        }
        let excess = self.taken().saturating_sub(most);
        if excess > 0 {
            let links = self.least_useful(excess, usage, now);
            links.for_each(|(_, link)| out.close(link, CloseReason::Replaced));
        }
    }

    /// A link that did not come up leaves its place to another at once; none while nothing leaves.
    pub(super) fn not_taken(&mut self, arriving: Arriving) {
        let Room { links, dials, exit, .. } = &mut self.room;
        *links = links.saturating_add(usize::from(*exit != Exit::Shut));
        let is_dial = !arriving.incoming && *exit == Exit::Open;
        *dials = dials.saturating_add(usize::from(is_dial));
    }

    /// The session has no place for another link at present.
    pub(super) fn no_room(&mut self) {
        self.room.links = 0;
    }

    /// How many links more would be made at once if others left places: candidates that are
    /// ready, as far as the user's own limit and the bounds on dials allow. A place for another
    /// would lie idle. A complete torrent wants those that the user named.
    pub(in crate::swarm) fn wanted_links(&mut self, need: Need, now: Instant) -> usize {
        if !self.may_want(need) {
            return 0;
        }
        let most = self.own_places().min(DIALS_MAX - self.dials()).min(self.room.dials);
        let choice = Choice { strangers: !need.is_complete, ..self.choice(need) };
        self.candidates.ready_count(choice, most, now)
    }

    /// When an address has rested that may be dialled then, or for which a place is wanted.
    pub(in crate::swarm) fn next_dial(&self, need: Need) -> Option<Instant> {
        self.candidates.next_wake(self.choice(need)).filter(|_| self.may_want(need))
    }

    /// Might somebody be dialled if others left places and dials? One that has nothing and wants
    /// nothing is of no use to anybody.
    fn may_want(&self, need: Need) -> bool {
        let has_purpose = !need.is_complete || need.has_any;
        !self.paused && has_purpose && self.dials() < DIALS_MAX && self.own_places() > 0
    }

    fn may_dial(&self, need: Need) -> bool {
        self.may_want(need) && self.room.dials > 0 && self.free_places() > 0
    }

    /// Whom to dial, if anybody may be.
    fn choice(&self, need: Need) -> Choice {
        let is_retry = |it: &&Arriving| !it.incoming && self.candidates.is_retry(it.address);
        let retries = self.arriving.values().filter(is_retry).count();
        // Those who download come first. Whom the user names is dialled all the same.
        let Room { links, reserve, .. } = self.room;
        Choice {
            retries: RETRIES_MAX.saturating_sub(retries),
            strangers: !need.is_complete || links > reserve,
        }
    }

    /// Dials as many as places and dials allow.
    pub(in crate::swarm) fn dial_more(&mut self, need: Need, now: Instant, out: &mut Effects) {
        // Without a place too: then one is wanted.
        self.candidates.wake(now);
        while self.may_dial(need)
            && let Some(address) = self.candidates.next(self.choice(need), now)
        {
            self.room.links = self.room.links.saturating_sub(1);
            self.room.dials = self.room.dials.saturating_sub(1);
            let link = self.new_link(Arriving { address, incoming: false });
            let known = self.candidates.ways(address);
            out.push(Output::Dial { link, address, known });
        }
    }

    /// A name for a link that is none to a peer.
    pub(in crate::swarm) fn name_link(&mut self) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        link
    }

    fn new_link(&mut self, arriving: Arriving) -> LinkId {
        let link = self.name_link();
        self.arriving.insert(link, arriving);
        link
    }

    /// With every place taken, a few links over which nothing goes make place for others.
    pub(in crate::swarm) fn turn_over(
        &mut self,
        need: Need,
        usage: impl Fn(LinkId) -> Usage,
        now: Instant,
        out: &mut Effects,
    ) {
        let most = self.config.max_peers.min(self.room.most);
        let is_due = self.next_turnover.is_none_or(|at| at <= now);
        let choice = self.choice(need);
        if !is_due || self.peers.len() < most || !self.candidates.has_ready(choice, now) {
            return;
        }
        let count = (most / TURNOVER_SHARE).max(1);
        let least = self.least_useful(count, usage, now);
        let idle = least.take_while(|(use_of, _)| !use_of.is_moving && !use_of.is_young);
        let idle: Vec<LinkId> = idle.map(|(_, link)| link).collect();
        if !idle.is_empty() {
            self.next_turnover = Some(now + TURNOVER_EVERY);
        }
        idle.into_iter().for_each(|link| out.close(link, CloseReason::Replaced));
    }
}

/// What a link is good for; the greater, the more it would be missed.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Usefulness {
    /// See [`Usage`].
    is_moving: bool,
    /// It has had no time to show what it is good for.
    is_young: bool,
    /// See [`Usage`].
    has_business: bool,
    /// See [`Usage`].
    moved_bytes: u64,
    /// BEP 40.
    priority: Option<u32>,
}

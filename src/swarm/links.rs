//! Which links there are: whom to dial and let in, what a new link is greeted with, which
//! one of two to the same peer stays, and which are given up. What goes over a link is not
//! judged here.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::base::addr::{Locality, host_key};
use crate::base::ids::{LinkId, PeerId};

use super::event::{DownReason, Event, Output, Source};
use super::link::{Availability, CloseReason, LinkCaps, LinkCommand, Unit};
use super::peer::Peer;
use super::{Arriving, Swarm};

/// Dials under way at most.
const DIALS_MAX: usize = 30;
/// Connections that may come in from one public host: a household behind one address, but no
/// crowd. Behind a local address any number of honest peers may live.
const HOST_MAX: usize = 5;
/// A link that should deliver and does not for this long is closed.
const SILENT_MAX: Duration = Duration::from_secs(70);
/// With every place taken, a link may be this long without payload before another
/// candidate gets its place.
const USELESS_AFTER: Duration = Duration::from_secs(60);
/// A second way to a connected peer is left alone for so long; it may be the only one that
/// can be dialled when the first link ends.
const DUPLICATE_REST: Duration = Duration::from_secs(300);
/// One that had everything when we had it too is not dialled for so long. It wakes at once when
/// something is missing again: more files are wanted, or pieces were lost.
const SEED_REST: Duration = Duration::from_secs(30 * 60);
/// Places of the session that complete torrents leave to the others: a quarter of them.
const SEED_ROOM: usize = 100;
/// A link that lasted so long counts as one that worked, even without payload.
const LASTED: Duration = Duration::from_secs(60);

impl Swarm {
    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    pub fn admit(&mut self, address: SocketAddr, now: Instant) -> Option<LinkId> {
        if self.paused || self.candidates.is_banned(address) || self.is_crowd(address.ip()) {
            return None;
        }
        let full = self.peers.len() + self.arriving.len() >= self.config.max_peers;
        if full && !self.make_room(address, now) {
            return None;
        }
        self.candidates.came_in(address, &mut self.rng);
        Some(self.new_link(Arriving { address, incoming: true }))
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
        let standing = |peer: &Peer| {
            let is_useless =
                peer.is_idle(now) && now.saturating_duration_since(peer.since) >= USELESS_AFTER;
            (!is_useless, self.candidates.priority(peer.address))
        };
        let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle(now));
        let worst = idle.map(|(link, peer)| (standing(peer), *link)).min();
        let Some(((is_useful, priority), link)) = worst else { return false };
        let gives_way = !is_useful || (priority.is_some() && priority < offered);
        if gives_way {
            self.close(link, CloseReason::Replaced, now);
        }
        gives_way
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

    pub(super) fn may_dial(&self) -> bool {
        let dials = self.arriving.values().filter(|arriving| !arriving.incoming).count();
        // One that has nothing and wants nothing is of no use to anybody.
        let has_business = !self.is_complete() || self.have.ones() > 0;
        // Those who download come first: a seed is dialled by whoever needs it.
        let room = if self.is_complete() { SEED_ROOM } else { 0 };
        !self.paused
            && has_business
            && dials < DIALS_MAX
            && self.room > room
            && self.peers.len() + self.arriving.len() < self.config.max_peers
    }

    pub(super) fn dial_more(&mut self, now: Instant) {
        while self.may_dial()
            && let Some(address) = self.candidates.next(now)
        {
            self.room = self.room.saturating_sub(1);
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
        if caps.unit == Unit::Piece {
            self.stores.entry(address).or_default();
        }
        let mut peer = Peer::new(address, peer_id, incoming, caps, count, now);
        peer.upload.debt = self.take_debt(address.ip());
        self.peers.insert(link, peer);
        let ours = match self.have.ones() {
            0 => Availability::None,
            _ if self.have.is_full() => Availability::All,
            _ => Availability::Some(self.have.clone()),
        };
        if can_upload_to {
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
                self.room = 0;
                return self.candidates.released(arriving.address);
            }
            return self.candidates.ended(arriving.address, reason.to_string(), now);
        }
        self.tell_owed_reassigned(link, &reason.to_string());
        self.note_ended(link);
        if let Some(peer) = self.remove_peer(link) {
            if now.saturating_duration_since(peer.since) >= LASTED {
                self.candidates.worked(peer.address);
            }
            self.candidates.ended(peer.address, reason.to_string(), now);
        }
    }

    /// Ends a link by our own will.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant) {
        self.tell_owed_reassigned(link, &reason.to_string());
        let Some(peer) = self.remove_peer(link) else { return };
        self.send(link, LinkCommand::Close(reason));
        match reason {
            CloseReason::BothComplete => self.candidates.rest(peer.address, SEED_REST, now),
            CloseReason::Duplicate => self.candidates.rest(peer.address, DUPLICATE_REST, now),
            _ => self.candidates.ended(peer.address, reason.to_string(), now),
        }
    }

    pub(super) fn remove_peer(&mut self, link: LinkId) -> Option<Peer> {
        let mut peer = self.peers.remove(&link)?;
        self.uploads.stirred |= peer.upload.unchoked;
        self.note_debt(&peer);
        self.hungry.remove(&link);
        self.picker.peer_left(&peer.pieces);
        for block in peer.requests.give_up_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        Some(peer)
    }

    pub(super) fn on_pause(&mut self, pause: bool, now: Instant) {
        self.paused = pause;
        if !pause {
            return;
        }
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            let Some(peer) = self.remove_peer(link) else { continue };
            self.send(link, LinkCommand::Close(CloseReason::Stopping));
            self.candidates.released(peer.address);
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
        let full = self.peers.len() >= self.config.max_peers;
        if full && self.candidates.has_ready(now) {
            let useless = |peer: &&Peer| {
                now.saturating_duration_since(peer.since) >= USELESS_AFTER && peer.is_idle(now)
            };
            let moved = |peer: &Peer| peer.downloaded_bytes + peer.upload.uploaded_bytes;
            let worst = self
                .peers
                .iter()
                .filter(|(_, peer)| useless(peer))
                .min_by_key(|(link, peer)| (moved(peer), peer.since, **link));
            if let Some(link) = worst.map(|(link, _)| *link) {
                self.close(link, CloseReason::Replaced, now);
            }
        }
    }
}

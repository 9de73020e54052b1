//! Links that come up and end: which one of two to the same peer stays, what an end means for
//! the address, and what is remembered of all of them. Which are dialled or let in is in `room`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::base::addr::{Locality, host_key};
use crate::base::ids::{LinkId, PeerId};
use crate::swarm::effects::Effects;
use crate::swarm::event::{DownReason, Event, Exit, Source};
use crate::swarm::link::{CloseReason, LinkCaps, LinkCommand};

use super::Crowd;
use super::acquaintances::Acquaintances;
use super::newcomer::NewPeer;
use super::peer::{Arriving, Peer};
use super::room::USELESS_AFTER;

/// A second way to a connected peer is left alone for so long; it may be the only one that
/// can be dialled when the first link ends.
const DUPLICATE_REST: Duration = Duration::from_secs(300);
/// One that had everything when we had it too is not dialled for so long. It wakes at once when
/// something is missing again: more files are wanted, or pieces were lost.
const SEED_REST: Duration = Duration::from_secs(30 * 60);
/// One whose place went to another is left alone for so long, as it would be useless again.
const REPLACED_REST: Duration = USELESS_AFTER;
/// How long an address is left alone that was dialled, or connected, when nothing left any more:
/// by then it is known, and all are woken when that is over.
const HELD_REST: Duration = Duration::from_secs(5);
/// A link that lasted so long counts as one that worked, even without payload.
const LASTED: Duration = Duration::from_secs(60);

impl Crowd {
    /// What is to be remembered of peers, for [`remember`](Self::remember) of another brain of
    /// this torrent.
    pub(in crate::swarm) fn acquaintances(mut self) -> Acquaintances {
        for peer in self.peers.values() {
            self.candidates.released(peer.home());
        }
        self.candidates.release_all();
        let Self { candidates, debts, met_anybody, .. } = self;
        Acquaintances::new(candidates, debts, met_anybody)
    }

    /// Knows again whom another brain of this torrent knew. Called before anything else.
    pub(in crate::swarm) fn remember(&mut self, known: Acquaintances) {
        (self.candidates, self.debts, self.met_anybody) = known.into_parts();
    }

    /// What an extension handshake says of addresses: where the peer listens, and how it sees us.
    pub(super) fn on_addresses_told(
        &mut self,
        link: LinkId,
        port: Option<u16>,
        ours: Option<IpAddr>,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if let Some(port) = port.filter(|port| *port > 0 && peer.is_incoming())
            && peer.listens_at().is_none()
        {
            let address = peer.address();
            let home = SocketAddr::new(address.ip(), port);
            // BEP 27: only what a tracker named is dialled.
            let may_learn = !self.config.is_private;
            let is_known = self.candidates.listens_at(address, home, may_learn, &mut self.rng);
            peer.set_listens_at(is_known.then_some(home));
        }
        if let Some(ours) = ours.filter(|ours| Locality::of(*ours) == Locality::Public)
            && peer.set_sees_us_at(ours)
        {
            self.on_seen_at(link, ours);
        }
    }

    /// A peer sees us at this address. It is believed when another host says the same: one liar
    /// is not to bring all candidates into an order of its choice.
    fn on_seen_at(&mut self, link: LinkId, ours: IpAddr) {
        let host_of = |peer: &Peer| host_key(peer.address().ip());
        let Some(teller) = self.peers.get(&link).map(host_of) else { return };
        let agrees = |peer: &Peer| peer.sees_us_at() == Some(ours) && host_of(peer) != teller;
        // A tracker, or the router, has told the port as well.
        let is_known = self.candidates.ours().iter().any(|known| known.ip() == ours);
        if self.config.listen_port > 0 && !is_known && self.peers.values().any(agrees) {
            self.set_ours(SocketAddr::new(ours, self.config.listen_port));
        }
    }

    /// Our own address, as others see it.
    pub(in crate::swarm) fn set_ours(&mut self, ours: SocketAddr) {
        self.candidates.set_ours(ours, &mut self.rng);
    }

    pub(in crate::swarm) fn on_candidates(&mut self, source: Source, addresses: Vec<SocketAddr>) {
        if self.config.is_private && source != Source::Tracker {
            return;
        }
        for address in addresses {
            self.candidates.learn(address, source, &mut self.rng);
        }
    }

    /// Everybody is forgotten, and links on their way up are over.
    pub(in crate::swarm) fn forget_all(&mut self, reason: CloseReason, out: &mut Effects) {
        for link in std::mem::take(&mut self.arriving).into_keys() {
            out.send(link, LinkCommand::Close(reason));
        }
        self.candidates.forget_all();
    }

    /// A link is up. None when it is not to stay.
    pub(in crate::swarm) fn on_link_up(
        &mut self,
        link: LinkId,
        peer_id: PeerId,
        caps: &LinkCaps,
        now: Instant,
        out: &mut Effects,
    ) -> Option<NewPeer> {
        let Some(arriving) = self.arriving.remove(&link) else {
            out.send(link, LinkCommand::Close(CloseReason::Stopping));
            return None;
        };
        if let Some(reason) = self.turn_away(arriving, peer_id, now, out) {
            out.send(link, LinkCommand::Close(reason));
            return None;
        }
        let address = arriving.address;
        if !arriving.incoming && !caps.is_way_unsure {
            self.candidates.came_up(address, caps.mse.is_some());
        }
        if !self.met_anybody {
            self.met_anybody = true;
            out.tell(Event::FirstPeer(address));
        }
        self.exchange.joined(link, address, now);
        self.peers.insert(link, Peer::new(arriving, peer_id, caps.mse, now));
        Some(NewPeer { address, debt: self.debts.take(address.ip()) })
    }

    /// Why a link that has come up is not to stay, if it is not. One to the same peer may have to
    /// make way for it.
    fn turn_away(
        &mut self,
        arriving: Arriving,
        peer_id: PeerId,
        now: Instant,
        out: &mut Effects,
    ) -> Option<CloseReason> {
        let Arriving { address, incoming } = arriving;
        if peer_id == self.config.peer_id {
            match incoming {
                // Where it came from is no address to remember.
                true => self.candidates.forget(address),
                false => self.candidates.shun(address),
            }
            return Some(CloseReason::OurselvesAgain);
        }
        if self.paused {
            self.candidates.released(address);
            return Some(CloseReason::Stopping);
        }
        if self.candidates.is_banned(address) {
            self.candidates.forget(address);
            return Some(CloseReason::CorruptData);
        }
        if let Some(other) = self.same_peer(peer_id) {
            if !self.is_better(peer_id, incoming, other) {
                self.candidates.rest(address, DUPLICATE_REST, now);
                return Some(CloseReason::Duplicate);
            }
            out.close(other, CloseReason::Duplicate);
        }
        None
    }

    fn same_peer(&self, peer_id: PeerId) -> Option<LinkId> {
        let mut peers = self.peers.iter();
        peers.find(|(_, peer)| peer.peer_id() == peer_id).map(|(link, _)| *link)
    }

    /// Of two links between the same two peers, both sides must keep the same one: the one
    /// that the peer with the higher id dialled. Of two that one side dialled, the first.
    fn is_better(&self, peer_id: PeerId, incoming: bool, other: LinkId) -> bool {
        let other_incoming = self.peers.get(&other).is_some_and(Peer::is_incoming);
        let keep_incoming = peer_id.0 > self.config.peer_id.0;
        incoming != other_incoming && incoming == keep_incoming
    }

    /// A link that was not up yet has failed.
    pub(in crate::swarm) fn on_arrival_failed(
        &mut self,
        link: LinkId,
        reason: &DownReason,
        now: Instant,
    ) {
        let Some(arriving) = self.arriving.remove(&link) else { return };
        if *reason == DownReason::NoRoom {
            self.no_room();
            return self.candidates.released(arriving.address);
        }
        if self.is_held(reason) {
            return self.candidates.rest(arriving.address, HELD_REST, now);
        }
        self.candidates.ended(arriving.address, reason.to_string(), now);
    }

    /// Did it end because nothing leaves? While that is so, whatever ends without a word does.
    fn is_held(&self, reason: &DownReason) -> bool {
        use DownReason::{DialFailed, HandshakeFailed, Held, Lost, TimedOut};
        match reason {
            Held(_) => true,
            DialFailed(_) | HandshakeFailed(_) | Lost(_) | TimedOut(_) => {
                self.room.exit != Exit::Open
            }
            _ => false,
        }
    }

    /// The user's list has the addresses of these links.
    pub(in crate::swarm) fn on_blocked(&mut self, links: &[LinkId], out: &mut Effects) {
        for link in links {
            if self.peers.contains_key(link) {
                out.close(*link, CloseReason::Blocked);
            }
            let Some(arriving) = self.arriving.remove(link) else { continue };
            out.send(*link, LinkCommand::Close(CloseReason::Blocked));
            self.candidates.forget(arriving.address);
            self.not_taken(arriving);
        }
    }

    /// A live link has ended for a reason of the network or the remote; `has_delivered` anything.
    pub(in crate::swarm) fn on_ended(
        &mut self,
        peer: &Peer,
        has_delivered: bool,
        reason: &DownReason,
        now: Instant,
    ) {
        let lasted = now.saturating_duration_since(peer.since()) >= LASTED;
        if lasted || has_delivered {
            self.candidates.worked(peer.home());
        }
        self.candidates.left(peer.home(), reason.to_string(), now);
        match reason {
            // Nothing that the address did.
            DownReason::Closed(_) => self.candidates.rest(peer.home(), DUPLICATE_REST, now),
            reason if self.is_held(reason) => self.candidates.rest(peer.home(), HELD_REST, now),
            _ => self.candidates.ended(peer.home(), reason.to_string(), now),
        }
    }

    /// A live link was ended by our own will.
    pub(in crate::swarm) fn on_closed(&mut self, peer: &Peer, reason: CloseReason, now: Instant) {
        let home = peer.home();
        self.candidates.left(home, reason.to_string(), now);
        match reason {
            CloseReason::BothComplete => self.candidates.rest(home, SEED_REST, now),
            CloseReason::Duplicate => self.candidates.rest(home, DUPLICATE_REST, now),
            CloseReason::Replaced => self.candidates.rest(home, REPLACED_REST, now),
            CloseReason::Stopping | CloseReason::NothingLeaves => self.candidates.released(home),
            CloseReason::Private | CloseReason::Blocked => self.candidates.forget(home),
            // They are forgotten.
            CloseReason::TrackerChanged => {}
            // Of a local peer only the port that it came from is banned so far.
            CloseReason::CorruptData if home != peer.address() => self.candidates.ban(home),
            _ => self.candidates.ended(home, reason.to_string(), now),
        }
    }

    /// A live link is over; by our own will and for this reason, if there is one.
    pub(in crate::swarm) fn remove(
        &mut self,
        link: LinkId,
        reason: Option<CloseReason>,
        now: Instant,
    ) -> Option<Peer> {
        use CloseReason::{BothComplete, Duplicate, Replaced};
        let is_sound = matches!(reason, Some(BothComplete | Duplicate | Replaced));
        self.exchange.left(link, is_sound, now);
        self.peers.remove(&link)
    }

    /// What a peer owes whose link is over, in bytes.
    pub(in crate::swarm) fn note_debt(&mut self, peer: &Peer, owes: u64) {
        self.debts.add(peer.address().ip(), owes);
    }

    /// Whether links may be at all; was that otherwise before?
    pub(in crate::swarm) fn set_paused(&mut self, paused: bool) -> bool {
        std::mem::replace(&mut self.paused, paused) != paused
    }
}

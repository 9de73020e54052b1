//! The brain of one torrent: facts and `now` go in, effects come out. There is no socket,
//! file, clock, thread or global chance in here; one actor owns it and carries out what it
//! says. This file only routes: what to ask of whom is in `fetch`, what verified pieces and
//! liars mean is in `check`, what people may know is in `report`.
//!
//! Use: [`Swarm::handle`] each fact, then [`Swarm::poll_output`] until there is none, then
//! wait until the next fact or [`Swarm::next_timeout`].

pub mod assembly;
pub mod candidates;
mod check;
pub mod event;
mod fetch;
pub mod link;
pub mod peer;
pub mod picker;
pub mod pipeline;
pub mod report;
pub mod requests;
pub mod suspects;
#[cfg(test)]
mod tests;
pub mod waits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{LinkId, PeerId};
use crate::base::layout::{Layout, PieceIndex};

use assembly::Assembly;
use candidates::Candidates;
use event::{DownReason, Event, Input, Output, Source};
use link::{Availability, CloseReason, LinkCaps, LinkCommand, LinkEvent};
use peer::Peer;
use picker::{PeerPieces, Picker};
use suspects::Suspects;
use waits::{Cause, Waits};

/// Dials under way at most.
const DIALS_MAX: usize = 30;
/// How often idle work is done: dropping useless links, asking for peers.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// A link that should deliver and does not for this long is closed.
const SILENT_MAX: Duration = Duration::from_secs(70);
/// With every place taken, a link may be this long without payload before another
/// candidate gets its place.
const USELESS_AFTER: Duration = Duration::from_secs(60);
/// Blocks or refusals that nobody asked for, until the link is closed (limits table).
const STRIKES_MAX: u32 = 50;
/// Requests from a remote that we choke, until the link is closed.
const ASKS_WHILE_CHOKED_MAX: u32 = 500;
/// Whole sets of pieces that a remote may tell, each costs a pass over all pieces.
const SETS_TOLD_MAX: u32 = 8;

/// What a brain must know at birth.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The geometry.
    pub layout: Layout,
    /// Files, to know pad bytes (BEP 47).
    pub extents: Extents,
    /// Verified pieces.
    pub have: Bitfield,
    /// Pieces of wanted files.
    pub wanted: Bitfield,
    /// Budget of the block pool.
    pub pool_blocks: usize,
    /// Most links, dials included.
    pub max_peers: usize,
    /// Pieces in order.
    pub sequential: bool,
    /// Our own id, to know ourselves when we meet.
    pub peer_id: PeerId,
    /// Seed of all chance in here.
    pub seed: u64,
}

/// A link that is not up yet.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    address: SocketAddr,
    incoming: bool,
}

/// The brain.
#[derive(Debug)]
pub struct Swarm {
    config: SwarmConfig,
    have: Bitfield,
    wanted: Bitfield,
    /// Pieces that are wanted and not verified.
    missing: u32,
    picker: Picker,
    assembly: Assembly,
    checking: check::Checking,
    suspects: Suspects,
    candidates: Candidates,
    arriving: BTreeMap<LinkId, Arriving>,
    peers: BTreeMap<LinkId, Peer>,
    /// Links that would take more requests than there were blocks for.
    hungry: BTreeSet<LinkId>,
    /// Something happened that may feed hungry links.
    food: bool,
    paused: bool,
    outputs: VecDeque<Output>,
    rng: StdRng,
    next_link: u64,
    next_housekeeping: Instant,
    next_need: Instant,
    met_anybody: bool,
    totals: report::Totals,
    waits: Waits,
    load: report::Load,
}

impl Swarm {
    /// A brain that knows no peer yet. All chance in it comes from the seed in `config`.
    pub fn new(config: SwarmConfig, now: Instant) -> Self {
        let all = Bitfield::all(config.layout.piece_count());
        let mut pickable = config.wanted.clone();
        config.layout.pieces().filter(|piece| config.have.has(*piece)).for_each(|piece| {
            pickable.remove(piece);
        });
        let missing = all.count_missing(&config.have, &config.wanted);
        let swarm = Self {
            have: config.have.clone(),
            wanted: config.wanted.clone(),
            missing,
            picker: Picker::new(config.layout, &pickable),
            assembly: Assembly::new(config.layout, config.pool_blocks),
            checking: check::Checking::default(),
            suspects: Suspects::default(),
            candidates: Candidates::default(),
            arriving: BTreeMap::new(),
            peers: BTreeMap::new(),
            hungry: BTreeSet::new(),
            food: false,
            paused: false,
            outputs: VecDeque::new(),
            rng: StdRng::seed_from_u64(config.seed),
            next_link: 0,
            next_housekeeping: now,
            next_need: now,
            met_anybody: false,
            totals: report::Totals::new(now),
            waits: Waits::new(if missing == 0 { Cause::Nothing } else { Cause::Tracker }, now),
            load: report::Load::default(),
            config,
        };
        debug_assert!(swarm.picker.pickable_count() == swarm.missing, "all missing are pickable");
        swarm
    }

    /// Takes in one fact. Effects wait in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp { link, peer_id, caps } => self.on_link_up(link, peer_id, caps, now),
            Input::LinkEvents { link, events } => self.on_link_events(link, events, now),
            Input::LinkDown { link, reason } => self.on_link_down(link, reason, now),
            Input::PieceChecked { piece, verdict } => self.on_piece_checked(piece, verdict, now),
            Input::Spilled { piece, failed } => self.on_spilled(piece, failed, now),
            Input::Candidates { source, addresses } => {
                for address in addresses {
                    self.candidates.learn(address, source, &mut self.rng);
                }
            }
            Input::PiecesLost(pieces) => self.on_pieces_lost(pieces, now),
            Input::Wanted(wanted) => self.on_wanted(wanted, now),
            Input::Pause(pause) => self.on_pause(pause, now),
            Input::DiskLoad { hashing, writing } => self.load.note(hashing, writing),
            Input::Limited(limited) => self.load.limited = limited,
            Input::Tick => self.on_tick(now),
        }
        self.feed_hungry(now);
        self.dial_more(now);
        let cause = self.cause(now);
        self.waits.switch(cause, now);
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Tick` is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let snubs = self.peers.values().filter_map(|peer| peer.requests.deadline());
        let rests = self.peers.values().filter_map(|peer| peer.rests_until);
        let can_dial = self.may_dial();
        let dial = self.candidates.next_wake().filter(|_| can_dial);
        let housekeeping = (!self.is_idle()).then_some(self.next_housekeeping);
        let disk = self.checking.retry_at();
        snubs.chain(rests).chain(dial).chain(housekeeping).chain(disk).min()
    }

    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    pub fn admit(&mut self, address: SocketAddr) -> Option<LinkId> {
        let full = self.peers.len() + self.arriving.len() >= self.config.max_peers;
        if full || self.paused || self.candidates.is_banned(address) {
            return None;
        }
        self.candidates.came_in(address, &mut self.rng);
        Some(self.new_link(Arriving { address, incoming: true }))
    }

    /// Is everything wanted verified and written?
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Verified pieces.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    fn is_idle(&self) -> bool {
        self.peers.is_empty() && (self.paused || self.is_complete())
    }

    fn new_link(&mut self, arriving: Arriving) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.arriving.insert(link, arriving);
        link
    }

    fn send(&mut self, link: LinkId, command: LinkCommand) {
        self.outputs.push_back(Output::Send { link, command });
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn may_dial(&self) -> bool {
        let dials = self.arriving.values().filter(|arriving| !arriving.incoming).count();
        !self.paused
            && !self.is_complete()
            && dials < DIALS_MAX
            && self.peers.len() + self.arriving.len() < self.config.max_peers
    }

    fn dial_more(&mut self, now: Instant) {
        while self.may_dial()
            && let Some(address) = self.candidates.next(now)
        {
            let link = self.new_link(Arriving { address, incoming: false });
            self.outputs.push_back(Output::Dial { link, address });
        }
    }

    fn on_link_up(&mut self, link: LinkId, peer_id: PeerId, caps: LinkCaps, now: Instant) {
        let Some(arriving) = self.arriving.remove(&link) else {
            return self.send(link, LinkCommand::Close(CloseReason::Stopping));
        };
        let Arriving { address, incoming } = arriving;
        if peer_id == self.config.peer_id {
            self.candidates.forget(address);
            return self.send(link, LinkCommand::Close(CloseReason::OurselvesAgain));
        }
        if self.paused || self.candidates.is_banned(address) {
            let reason = if self.paused { CloseReason::Stopping } else { CloseReason::CorruptData };
            self.candidates.forget(address);
            if self.paused && !incoming {
                self.candidates.learn(address, Source::User, &mut self.rng);
            }
            return self.send(link, LinkCommand::Close(reason));
        }
        if let Some(other) = self.same_peer(peer_id) {
            if !self.is_better(peer_id, incoming, other) {
                self.candidates.forget(address);
                return self.send(link, LinkCommand::Close(CloseReason::Duplicate));
            }
            self.close(other, CloseReason::Duplicate, now);
        }
        self.candidates.worked(address);
        if !self.met_anybody {
            self.met_anybody = true;
            self.tell(Event::FirstPeer(address));
        }
        let count = self.config.layout.piece_count();
        self.peers.insert(link, Peer::new(address, peer_id, incoming, caps, count, now));
        let ours = match self.have.ones() {
            0 => Availability::None,
            _ if self.have.is_full() => Availability::All,
            _ => Availability::Some(self.have.clone()),
        };
        self.send(link, LinkCommand::Availability(ours));
    }

    fn same_peer(&self, peer_id: PeerId) -> Option<LinkId> {
        let mut peers = self.peers.iter();
        peers.find(|(_, peer)| peer.peer_id == peer_id).map(|(link, _)| *link)
    }

    /// Of two links between the same two peers, both sides must keep the same one: the one
    /// that the peer with the higher id dialled. Of two that one side dialled, the first.
    fn is_better(&self, peer_id: PeerId, incoming: bool, other: LinkId) -> bool {
        let other_incoming = self.peers.get(&other).is_some_and(|peer| peer.incoming);
        let keep_incoming = peer_id.0 > self.config.peer_id.0;
        incoming != other_incoming && incoming == keep_incoming
    }

    fn on_link_down(&mut self, link: LinkId, reason: DownReason, now: Instant) {
        if let Some(arriving) = self.arriving.remove(&link) {
            return self.candidates.ended(arriving.address, reason.to_string(), now);
        }
        if let Some(peer) = self.remove_peer(link) {
            self.candidates.ended(peer.address, reason.to_string(), now);
        }
    }

    /// Ends a link by our own will.
    fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant) {
        let Some(peer) = self.remove_peer(link) else { return };
        self.send(link, LinkCommand::Close(reason));
        match reason {
            CloseReason::BothComplete | CloseReason::OurselvesAgain | CloseReason::Duplicate => {
                self.candidates.forget(peer.address);
            }
            _ => self.candidates.ended(peer.address, reason.to_string(), now),
        }
    }

    fn remove_peer(&mut self, link: LinkId) -> Option<Peer> {
        let mut peer = self.peers.remove(&link)?;
        self.hungry.remove(&link);
        self.picker.peer_left(&peer.pieces);
        for block in peer.requests.give_up_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        Some(peer)
    }

    fn on_link_events(&mut self, link: LinkId, events: Vec<LinkEvent>, now: Instant) {
        for event in events {
            if !self.peers.contains_key(&link) {
                return;
            }
            self.on_link_event(link, event, now);
        }
        self.fill(link, now);
    }

    fn on_link_event(&mut self, link: LinkId, event: LinkEvent, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match event {
            LinkEvent::Blocks(blocks) => self.on_blocks(link, blocks, now),
            LinkEvent::Availability(pieces) => self.on_availability(link, pieces, now),
            LinkEvent::Have(piece) => self.on_have(link, piece, now),
            LinkEvent::Choked => self.on_choked(link),
            LinkEvent::Unchoked => peer.choking = false,
            LinkEvent::Interested => peer.interested = true,
            LinkEvent::NotInterested => peer.interested = false,
            LinkEvent::Refused { block, lasting } => self.on_refused(link, block, lasting, now),
            LinkEvent::Requested(ask) => {
                peer.interested = true;
                peer.asks_while_choked += 1;
                if peer.asks_while_choked > ASKS_WHILE_CHOKED_MAX {
                    let reason = CloseReason::Misbehaved("it kept asking while choked");
                    return self.close(link, reason, now);
                }
                self.send(link, LinkCommand::Refuse(ask));
            }
            LinkEvent::Cancelled(_) | LinkEvent::Suggested(_) => {}
            LinkEvent::AllowedFast(piece) => peer.allow_fast(piece),
            LinkEvent::Described(description) => {
                if let Some(client) = description.client {
                    peer.client = client;
                }
                if let Some(most) = description.pipeline_max {
                    peer.requests.pipeline.limit(most);
                }
                peer.upload_only = description.upload_only.unwrap_or(peer.upload_only);
            }
            LinkEvent::Stray(bytes) => {
                self.totals.wasted_bytes += u64::from(bytes);
                self.strike(link, now);
            }
        }
    }

    /// Something came that nobody asked for.
    fn strike(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.strikes += 1;
        if peer.strikes > STRIKES_MAX {
            let reason = CloseReason::Misbehaved("it kept sending what nobody asked for");
            self.close(link, reason, now);
        }
    }

    fn on_availability(&mut self, link: LinkId, pieces: Availability, now: Instant) {
        let count = self.config.layout.piece_count();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.sets_told += 1;
        if peer.sets_told > SETS_TOLD_MAX {
            let reason = CloseReason::Misbehaved("it told all its pieces again and again");
            return self.close(link, reason, now);
        }
        let pieces = match pieces {
            Availability::All => PeerPieces::All,
            Availability::Some(set) if set.is_full() => PeerPieces::All,
            Availability::Some(set) => PeerPieces::Some(set),
            Availability::None => PeerPieces::Some(Bitfield::none(count)),
        };
        self.picker.peer_left(&peer.pieces);
        self.picker.peer_came(&pieces);
        peer.interesting = match &pieces {
            PeerPieces::All => self.missing,
            PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
        };
        peer.pieces = pieces;
        peer.nothing_in = None;
        self.judge_interest(link, now);
    }

    fn on_have(&mut self, link: LinkId, piece: PieceIndex, now: Instant) {
        let lacking = self.wanted.has(piece) && !self.have.has(piece);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let PeerPieces::Some(set) = &mut peer.pieces else { return };
        if !set.insert(piece) {
            return;
        }
        self.picker.peer_gained(piece);
        if lacking {
            peer.interesting += 1;
            peer.nothing_in = None;
        }
        if set.is_full() {
            // A seed is counted once, not in every piece.
            self.picker.peer_left(&peer.pieces);
            peer.pieces = PeerPieces::All;
            self.picker.peer_came(&peer.pieces);
        }
        self.judge_interest(link, now);
    }

    /// BEP 3: "Interest state must be kept up to date at all times".
    fn judge_interest(&mut self, link: LinkId, now: Instant) {
        let complete = self.is_complete();
        let Some(peer) = self.peers.get_mut(&link) else { return };
        if complete && (peer.is_seed() || peer.upload_only) {
            return self.close(link, CloseReason::BothComplete, now);
        }
        let wants = peer.interesting > 0;
        if wants != peer.told_interest {
            peer.told_interest = wants;
            let word = if wants { LinkCommand::Interested } else { LinkCommand::NotInterested };
            self.send(link, word);
        }
    }

    fn on_choked(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.choking = true;
        // BEP 6: with the fast extension a choke no longer voids requests.
        if !peer.caps.fast {
            for block in peer.requests.give_up_all() {
                self.release(link, block);
            }
        }
        self.free_owned(link);
    }

    fn on_wanted(&mut self, wanted: Bitfield, now: Instant) {
        for piece in self.config.layout.pieces() {
            let is_new = wanted.has(piece) && !self.have.has(piece);
            if is_new && !self.is_begun(piece) {
                self.picker.insert(piece);
            } else if !is_new {
                self.picker.remove(piece);
                self.drop_piece(piece);
            }
        }
        self.wanted = wanted;
        let count = self.config.layout.piece_count();
        let was_complete = self.is_complete();
        self.missing = Bitfield::all(count).count_missing(&self.have, &self.wanted);
        for peer in self.peers.values_mut() {
            peer.interesting = match &peer.pieces {
                PeerPieces::All => self.missing,
                PeerPieces::Some(set) => set.count_missing(&self.have, &self.wanted),
            };
        }
        if self.is_complete() && !was_complete {
            self.tell(Event::Completed);
        }
        self.food = true;
        let links: Vec<_> = self.peers.keys().copied().collect();
        links.iter().for_each(|link| self.judge_interest(*link, now));
        self.hungry.extend(links);
    }

    fn on_pause(&mut self, pause: bool, now: Instant) {
        self.paused = pause;
        if !pause {
            return;
        }
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            let Some(peer) = self.remove_peer(link) else { continue };
            self.send(link, LinkCommand::Close(CloseReason::Stopping));
            self.candidates.forget(peer.address);
            if !peer.incoming {
                self.candidates.learn(peer.address, Source::User, &mut self.rng);
            }
        }
        self.next_housekeeping = now;
    }

    fn on_tick(&mut self, now: Instant) {
        self.retry_disk(now);
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            self.check_snub(link, now);
        }
        if now >= self.next_housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            self.drop_useless(now);
            self.ask_for_peers(now);
        }
    }

    fn drop_useless(&mut self, now: Instant) {
        let silent = |peer: &Peer| peer.requests.silent_for(now) >= SILENT_MAX;
        let silent: Vec<_> =
            self.peers.iter().filter(|(_, peer)| silent(peer)).map(|(link, _)| *link).collect();
        for link in silent {
            self.close(link, CloseReason::TimedOut("it sent nothing for 70 s"), now);
        }
        let full = self.peers.len() >= self.config.max_peers;
        if full && self.candidates.has_ready(now) {
            let useless = |peer: &&Peer| {
                now.saturating_duration_since(peer.since) >= USELESS_AFTER
                    && peer.meter.rate(now) == 0
            };
            let worst = self
                .peers
                .iter()
                .filter(|(_, peer)| useless(peer))
                .min_by_key(|(link, peer)| (peer.downloaded_bytes, peer.since, **link));
            if let Some(link) = worst.map(|(link, _)| *link) {
                self.close(link, CloseReason::Replaced, now);
            }
        }
    }

    fn ask_for_peers(&mut self, now: Instant) {
        let few = self.peers.len() + self.candidates.idle_count() < self.config.max_peers / 4;
        if few && !self.paused && !self.is_complete() && now >= self.next_need {
            self.next_need = now + Duration::from_secs(60);
            self.outputs.push_back(Output::NeedPeers);
        }
    }
}

//! The brain of one torrent: facts and `now` go in, effects come out. There is no socket,
//! file, clock, thread or global chance in here; one actor owns it and carries out what it
//! says. It has two halves: `crowd` knows who there is, `transfer` what is traded. This file only
//! routes, facts to the halves and what one says to the other; `numbers` tells what people
//! may know.
//!
//! Use: [`Swarm::note`] each fact of a batch, [`Swarm::settle`] once, then [`Swarm::poll_output`]
//! until there is none, then wait until the next fact or [`Swarm::next_timeout`]. For one fact
//! alone, [`Swarm::handle`] does both.

mod config;
mod crowd;
mod effects;
pub mod event;
pub mod link;
mod numbers;
pub mod report;
mod seeker;
mod sources;
#[cfg(test)]
mod tests;
mod transfer;
pub mod urgency;
pub mod waits;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::ids::{LinkId, PeerId};
use crate::seek::{Serve, Served};

pub use config::SwarmConfig;
pub use crowd::{Acquaintances, Refusal, candidates, choker, exchange};
pub use seeker::{Company, Seeker, SeekerConfig, SeekerLink, SeekerOutput};
pub use transfer::{
    allowed_fast, assembly, picker, pipeline, rendezvous, requests, suspects, trade, upload,
};

use crowd::{Crowd, CrowdConfig, NewPeer};
use effects::{Effect, Effects, Notice, STRIKES_MAX};
use event::{DownReason, Event, Input, Output};
use link::{
    CloseReason, Endpoint, LinkCaps, LinkCommand, LinkEvent, MetadataCommand, MetadataEvent,
};
use trade::Trade;
use transfer::{Parting, Transfer};
use waits::{Cause, Load, Waits};

/// How often idle work is done: dropping useless links, asking for peers.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often it is asked what the download waits for, unless something decides it at once.
const CAUSE_LOOK: Duration = Duration::from_millis(100);

impl SwarmConfig {
    fn crowd(&self) -> CrowdConfig {
        CrowdConfig {
            peer_id: self.peer_id,
            listen_port: self.listen_port,
            is_private: self.is_private,
            exchanges_peers: self.exchanges_peers,
            max_peers: self.max_peers,
            seed: self.seed,
        }
    }
}

/// The brain.
#[derive(Debug)]
pub struct Swarm {
    crowd: Crowd,
    transfer: Transfer,
    /// Metadata for peers that seek it.
    metadata: Serve<LinkId>,
    /// What followed from the last facts.
    out: Effects,
    next_housekeeping: Instant,
    waits: Waits,
    /// When the cause of waiting is to be looked at again.
    next_cause: Instant,
    load: Load,
}

impl Swarm {
    /// A brain that knows no peer yet. All chance in it comes from the seed in `config`.
    pub fn new(config: SwarmConfig, now: Instant) -> Self {
        let crowd = Crowd::new(config.crowd(), now);
        Self::among(crowd, config, now)
    }

    /// A brain among those whom a seeker has met: their links are told what we have, and tell what
    /// they kept.
    pub fn with_company(config: SwarmConfig, company: Company, now: Instant) -> Self {
        let Company { crowd, links } = company;
        let mut swarm = Self::among(crowd, config, now);
        let count = swarm.have().piece_count();
        for (link, peer_id, caps) in links {
            let Some(peer) = swarm.crowd.peer(link) else { continue };
            let trade = Trade::new(peer.address(), peer_id, caps, count, 0, now);
            swarm.transfer.open(link, trade, &mut swarm.out);
        }
        swarm.carry(now);
        swarm
    }

    fn among(crowd: Crowd, config: SwarmConfig, now: Instant) -> Self {
        let metadata = Serve::new(config.metadata.clone());
        let transfer = Transfer::new(config, now);
        let cause = if transfer.is_complete() { Cause::Nothing } else { Cause::Tracker };
        Self {
            crowd,
            transfer,
            metadata,
            out: Effects::default(),
            next_housekeeping: now,
            waits: Waits::new(cause, now),
            next_cause: now,
            load: Load::default(),
        }
    }

    /// Takes in one fact and draws the conclusions: [`note`](Self::note), then
    /// [`settle`](Self::settle).
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.note(input, now);
        self.settle(now);
    }

    /// Takes in one fact of several that came together. What follows from all of them is up to
    /// [`settle`](Self::settle), once after the last.
    pub fn note(&mut self, input: Input, now: Instant) {
        if !matches!(input, Input::PieceChecked { .. }) {
            self.transfer.reckon_verified(now, &mut self.out);
            self.carry(now);
        }
        if !matches!(input, Input::PieceChecked { .. } | Input::LinkEvents { .. }) {
            self.next_cause = now;
        }
        match input {
            Input::LinkUp { link, peer_id, caps } => self.on_link_up(link, peer_id, caps, now),
            Input::LinkEvents { link, events } => self.on_link_events(link, events, now),
            Input::LinkDown { link, reason } => self.on_link_down(link, &reason, now),
            Input::Candidates { source, addresses } => {
                self.crowd.on_candidates(source, addresses);
            }
            Input::Blocked(links) => self.crowd.on_blocked(&links, &mut self.out),
            Input::OurAddress(ours) => self.crowd.set_ours(ours),
            Input::TrackerChanged => self.on_tracker_changed(now),
            Input::Room(room) => {
                let usage = |link| self.transfer.usage(link, now);
                self.crowd.on_room(room, usage, now, &mut self.out);
            }
            Input::UploadLimit(limit) => {
                if self.crowd.set_upload_limit(limit) {
                    self.out.stir();
                }
            }
            Input::PeersMax(_) | Input::SlotsMax(_) | Input::ExchangesPeers(_) => {
                self.on_bounds(input, now);
            }
            Input::Starved(starved) => self.load.starved = starved,
            Input::DiskLoad { hashing, writing } => self.load.note(hashing, writing),
            Input::Limited(limited) => self.load.limited = limited,
            Input::Pause(pause) => self.on_pause(pause, now),
            Input::Tick => self.on_tick(now),
            Input::PieceChecked { .. }
            | Input::Spilled { .. }
            | Input::Prepared { .. }
            | Input::Share(_)
            | Input::PiecesLost(_)
            | Input::PiecesFound(_)
            | Input::DiskFailed(_)
            | Input::DiskSilent(_)
            | Input::DiskAnswers
            | Input::Sources(_)
            | Input::SourcesBarred { .. }
            | Input::SourceWaits { .. }
            | Input::Urgency(_)
            | Input::Sequential(_)
            | Input::Wanted(_) => self.transfer.on_input(input, now, &mut self.out),
        }
        self.carry(now);
    }

    /// What the user lets the crowd do is other than before.
    fn on_bounds(&mut self, input: Input, now: Instant) {
        match input {
            Input::PeersMax(most) => {
                let usage = |link| self.transfer.usage(link, now);
                self.crowd.set_peers_max(most, usage, now, &mut self.out);
            }
            Input::SlotsMax(most) => {
                if self.crowd.set_slots_max(most, now) {
                    self.out.stir();
                }
            }
            Input::ExchangesPeers(exchanges) => {
                self.crowd.set_exchange(exchanges, now, &mut self.out);
            }
            _ => debug_assert!(false, "a fact of the transfer went to the crowd"),
        }
    }

    /// Draws the conclusions from all facts noted since the last time: who is served, who is
    /// asked for what, who is dialled. Effects wait in [`poll_output`](Self::poll_output).
    pub fn settle(&mut self, now: Instant) {
        self.transfer.reckon_verified(now, &mut self.out);
        self.carry(now);
        self.transfer.tell_upload_only(&mut self.out);
        self.give_slots(now);
        self.transfer.settle(now, &mut self.out);
        self.lease_more(now);
        self.crowd.dial_more(self.transfer.need(), now, &mut self.out);
        self.crowd.exchange_peers(now, &mut self.out);
        self.carry(now);
        if now >= self.next_cause {
            self.next_cause = now + CAUSE_LOOK;
            let cause = self.cause(now);
            self.waits.switch(cause, now);
        }
    }

    /// Asks for links to servers of files, as many as are of use.
    fn lease_more(&mut self, now: Instant) {
        if self.crowd.is_paused() {
            return;
        }
        for source in self.transfer.wished(now, &mut self.out) {
            let link = self.crowd.name_link();
            self.transfer.leased(link, source);
            self.out.push(Output::Lease { link, source });
        }
    }

    /// Carries what has followed to where it belongs: effects to whoever polls for them, notices
    /// to the other half. What follows from a notice comes before what was said after it.
    fn carry(&mut self, now: Instant) {
        for effect in self.out.take() {
            match effect {
                Effect::Output(output) => self.out.push(output),
                Effect::Notice(notice) => {
                    self.on_notice(notice, now);
                    self.carry(now);
                }
            }
        }
        if self.out.take_cause_changed() {
            self.next_cause = now;
        }
    }

    fn on_notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Close(link, reason) => self.close(link, reason, now),
            Notice::Strike(link) => self.on_strike(link),
            Notice::Liar { address, alone } => self.on_liar(address, alone),
            Notice::Worked(address) => self.crowd.worked(address),
            Notice::Forgiven(address) => self.crowd.forgive(address),
            Notice::Missing => self.crowd.wake_all(),
            Notice::Reassigned { link, piece, why } => {
                let Some(peer) = self.crowd.peer(link) else { return };
                let (peer, client) = (peer.address(), peer.client().to_owned());
                self.out.tell(Event::Reassigned { piece, peer, client, why });
            }
        }
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.out.poll()?;
        if let Output::Send { link, command } = &output {
            debug_assert!(self.transfer.allows(*link, command), "{link:?} cannot {command:?}");
        }
        Some(output)
    }

    /// When `Input::Tick` is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let housekeeping = (!self.is_idle()).then_some(self.next_housekeeping);
        let times = self.transfer.next_timeout().into_iter().chain(self.crowd.next_round());
        let times = times.chain(self.crowd.next_dial(self.transfer.need()));
        times.chain(self.crowd.next_exchange()).chain(housekeeping).min()
    }

    /// Is everything wanted verified and written?
    pub fn is_complete(&self) -> bool {
        self.transfer.is_complete()
    }

    /// Verified pieces.
    pub fn have(&self) -> &Bitfield {
        self.transfer.have()
    }

    fn is_idle(&self) -> bool {
        self.crowd.peers().is_empty() && (self.crowd.is_paused() || self.is_complete())
    }

    /// May a connection from `address` come in? The id for its link if so; the caller then
    /// answers with `LinkUp` or `LinkDown`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&mut self, address: SocketAddr, now: Instant) -> Result<LinkId, Refusal> {
        let usage = |link| self.transfer.usage(link, now);
        let admitted = self.crowd.admit(address, usage, now, &mut self.out);
        self.carry(now);
        admitted
    }

    /// How many links more would be made at once if others left places. A complete torrent wants
    /// those that the user named.
    pub fn wanted_links(&mut self, now: Instant) -> usize {
        self.crowd.wanted_links(self.transfer.need(), now)
    }

    /// What is to be remembered of peers, for [`remember`](Self::remember) of another brain of
    /// this torrent.
    pub fn acquaintances(self) -> Acquaintances {
        self.crowd.acquaintances()
    }

    /// What it waited for until `now`.
    pub fn account(&mut self, now: Instant) -> Waits {
        let cause = self.waits.cause();
        self.waits.switch(cause, now);
        self.waits.clone()
    }

    /// Goes on with the account of another brain of this torrent, which ended a while ago.
    pub fn remember_waits(&mut self, waits: Waits, now: Instant) {
        self.waits = waits.go_on(self.waits.cause(), now);
    }

    /// Knows again whom another brain of this torrent knew. Called before anything else.
    pub fn remember(&mut self, known: Acquaintances) {
        self.crowd.remember(known);
    }

    fn on_link_up(&mut self, link: LinkId, peer_id: PeerId, caps: LinkCaps, now: Instant) {
        if self.transfer.on_lease_up(link, now, &mut self.out) {
            return;
        }
        let met = self.crowd.on_link_up(link, peer_id, &caps, now, &mut self.out);
        // One to the same peer may have made way for it.
        self.carry(now);
        if let Some(NewPeer { address, debt }) = met {
            let trade = Trade::new(address, peer_id, caps, self.have().piece_count(), debt, now);
            self.transfer.open(link, trade, &mut self.out);
        }
    }

    fn on_link_events(&mut self, link: LinkId, events: Vec<LinkEvent>, now: Instant) {
        for event in events {
            match event {
                LinkEvent::Described(description) => {
                    let is_seed = self.transfer.is_seed(link);
                    self.crowd.on_described(link, &description, is_seed, now);
                    let (most, upload_only) = (description.pipeline_max, description.upload_only);
                    self.transfer.on_described(link, most, upload_only);
                }
                LinkEvent::Peers(peers) => {
                    self.crowd.on_peers_told(link, peers, now, &mut self.out);
                }
                LinkEvent::Metadata(event) => self.on_metadata(link, event),
                event => self.transfer.on_link_event(link, event, now, &mut self.out),
            }
            self.carry(now);
        }
        self.transfer.on_events_taken(link, now, &mut self.out);
    }

    /// A peer that seeks the metadata is given it, piece by piece.
    fn on_metadata(&mut self, link: LinkId, event: MetadataEvent) {
        match event {
            MetadataEvent::Asked(piece) if self.crowd.peer(link).is_some() => {
                self.metadata.requested(link, piece);
            }
            MetadataEvent::Sent(bytes) => self.metadata.sent(link, bytes),
            // We need none; what we asked for before we had it may still come.
            MetadataEvent::Asked(_) | MetadataEvent::Piece { .. } | MetadataEvent::Refused(_) => {}
        }
        self.give_metadata();
    }

    fn give_metadata(&mut self) {
        while let Some(served) = self.metadata.poll_output() {
            let (link, command) = match served {
                Served::Data { peer, piece, range } => {
                    (peer, MetadataCommand::Give { piece, range })
                }
                Served::Reject { peer, piece } => (peer, MetadataCommand::Refuse(piece)),
            };
            self.out.send(link, command);
        }
    }

    fn on_link_down(&mut self, link: LinkId, reason: &DownReason, now: Instant) {
        if self.crowd.is_arriving(link) {
            return self.crowd.on_arrival_failed(link, reason, now);
        }
        if self.transfer.on_lease_down(link, reason, now, &mut self.out) {
            return;
        }
        if *reason == DownReason::Closed(CloseReason::OurFiles) {
            self.transfer.cool_down();
        }
        self.transfer.tell_owed_reassigned(link, &reason.to_string(), &mut self.out);
        self.transfer.note_ended(link, &mut self.out);
        self.carry(now);
        if let Some((peer, parting)) = self.remove(link, None, now) {
            self.crowd.on_ended(&peer, parting.has_delivered, reason, now);
        }
    }

    /// Ends a link by our own will.
    fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant) {
        self.transfer.tell_owed_reassigned(link, &reason.to_string(), &mut self.out);
        self.carry(now);
        let Some((peer, _)) = self.remove(link, Some(reason), now) else { return };
        self.out.send(link, LinkCommand::Close(reason));
        self.crowd.on_closed(&peer, reason, now);
    }

    fn remove(
        &mut self,
        link: LinkId,
        reason: Option<CloseReason>,
        now: Instant,
    ) -> Option<(crowd::Peer, Parting)> {
        let peer = self.crowd.remove(link, reason, now)?;
        self.metadata.gone(link);
        self.give_metadata();
        let parting = self.transfer.part(link, &mut self.out);
        self.crowd.note_debt(&peer, parting.owes);
        Some((peer, parting))
    }

    /// Ends all links for a reason that is no fault of theirs.
    fn close_all(&mut self, reason: CloseReason, now: Instant) {
        let links: Vec<_> = self.crowd.peers().keys().copied().collect();
        for link in links {
            let Some((peer, _)) = self.remove(link, Some(reason), now) else { continue };
            self.out.send(link, LinkCommand::Close(reason));
            self.crowd.on_closed(&peer, reason, now);
        }
    }

    fn on_strike(&mut self, link: LinkId) {
        if self.crowd.strike(link).is_some_and(|strikes| strikes > STRIKES_MAX) {
            let reason = CloseReason::Misbehaved("it kept sending what nobody asked for");
            self.out.close(link, reason);
        }
    }

    fn on_liar(&mut self, address: SocketAddr, alone: bool) {
        let Some(links) = self.crowd.ban(address, alone) else { return };
        self.transfer.distrust(Endpoint::Peer(address));
        self.out.tell(Event::Banned(address));
        links.into_iter().for_each(|link| self.out.close(link, CloseReason::CorruptData));
    }

    /// BEP 27: whoever goes to another tracker leaves all peers behind, so as not to be a
    /// bridge between two swarms that should not know of each other.
    fn on_tracker_changed(&mut self, now: Instant) {
        self.close_all(CloseReason::TrackerChanged, now);
        self.crowd.forget_all(CloseReason::TrackerChanged, &mut self.out);
    }

    fn on_pause(&mut self, pause: bool, now: Instant) {
        if self.crowd.set_paused(pause) {
            self.transfer.rest(now);
        }
        self.transfer.look_at_sources(&mut self.out);
        if pause {
            self.transfer.close_leases(CloseReason::Stopping, now, &mut self.out);
            self.close_all(CloseReason::Stopping, now);
            self.next_housekeeping = now;
        }
    }

    /// Gives upload slots, if it is time or something has changed.
    fn give_slots(&mut self, now: Instant) {
        let is_over = self.crowd.is_round_over(now);
        let is_stirred = self.out.take_stirred();
        if self.crowd.is_paused() || !(is_over || is_stirred) {
            return;
        }
        let round = self.transfer.round(self.crowd.upload_limit(), now);
        let standings = self.transfer.standings(now);
        let slots = self.crowd.give_slots(&standings, round, is_over, now);
        slots.choke.into_iter().for_each(|link| self.transfer.choke(link, now, &mut self.out));
        slots.unchoke.into_iter().for_each(|link| self.transfer.unchoke(link, now, &mut self.out));
        self.crowd.set_slots_wanted(self.transfer.wants_slots());
    }

    fn on_tick(&mut self, now: Instant) {
        let ours = self.is_silence_ours();
        self.transfer.on_tick(ours, now, &mut self.out);
        self.carry(now);
        if now >= self.next_housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            self.transfer.tidy_up(ours, now, &mut self.out);
            self.carry(now);
            let usage = |link| self.transfer.usage(link, now);
            self.crowd.turn_over(self.transfer.need(), usage, now, &mut self.out);
        }
    }

    /// Asserts that the brain's parts agree with each other. To be called after
    /// [`settle`](Self::settle), by tests: each call looks at every piece of every peer.
    ///
    /// # Panics
    /// When an invariant does not hold, with the invariant in words.
    pub fn check_invariants(&self) {
        self.crowd.check_invariants();
        self.transfer.check_invariants();
        let is_same = self.crowd.peers().keys().eq(self.transfer.links());
        assert!(is_same, "there is a trade with each peer, and with nobody else");
    }
}

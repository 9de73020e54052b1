//! The brain of one torrent: facts and `now` go in, effects come out. There is no socket,
//! file, clock, thread or global chance in here; one actor owns it and carries out what it
//! says. This file only routes: which links there are is in `links`, what peers have in
//! `interest`, what to ask of whom in `fetch`, what is different with whole pieces in `whole`,
//! what verified pieces and liars mean in `check`, what others get in `upload`, what people may
//! know in `report`.
//!
//! Use: [`Swarm::note`] each fact of a batch, [`Swarm::settle`] once, then [`Swarm::poll_output`]
//! until there is none, then wait until the next fact or [`Swarm::next_timeout`]. For one fact
//! alone, [`Swarm::handle`] does both.

pub mod allowed_fast;
pub mod assembly;
pub mod candidates;
mod check;
pub mod choker;
mod endgame;
pub mod event;
pub mod exchange;
mod fetch;
mod free;
mod haves;
mod interest;
mod invariants;
pub mod link;
mod links;
pub mod peer;
pub mod picker;
pub mod pipeline;
pub mod report;
pub mod requests;
pub mod shares;
pub mod suspects;
#[cfg(test)]
mod tests;
mod timers;
pub mod upload;
pub mod waits;
mod whole;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::base::layout::{Layout, PieceIndex};

pub use links::{Acquaintances, Refusal};

use assembly::Assembly;
use candidates::Candidates;
use event::{Event, Input, Output};
use link::{CloseReason, LinkCommand, LinkEvent};
use peer::Peer;
use picker::Picker;
use suspects::Suspects;
use waits::{Cause, Waits};

/// How often idle work is done: dropping useless links, asking for peers.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often it is asked what the download waits for, unless something decides it at once.
const CAUSE_LOOK: Duration = Duration::from_millis(100);
/// Blocks or refusals that nobody asked for, until the link is closed (limits table).
const STRIKES_MAX: u32 = 50;

/// What a brain must know at birth.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The geometry.
    pub layout: Layout,
    /// Files, to know pad bytes (BEP 47).
    pub extents: Extents,
    /// The torrent, of which the gifts to newcomers depend (BEP 6).
    pub info_hash: InfoHash,
    /// Verified pieces.
    pub have: Bitfield,
    /// Those of them that were hashed since the start; the others are before they are sent.
    pub proven: Bitfield,
    /// Pieces of wanted files.
    pub wanted: Bitfield,
    /// Blocks that open pieces may hold before they are spilled, until `Input::Share` says
    /// otherwise.
    pub share_blocks: usize,
    /// Most links, dials included.
    pub max_peers: usize,
    /// Pieces in order.
    pub sequential: bool,
    /// BEP 27: dial only peers that trackers name, whoever else offers addresses. Connections
    /// that come in are taken all the same: newcomers of whom the tracker has told us nothing
    /// yet were told of us, and come from ports that no tracker knows. Whoever comes was let
    /// in by somebody who knows the info-hash, our address and our port.
    pub is_private: bool,
    /// The port that peers can reach us at; 0 when there is none.
    pub listen_port: u16,
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
    /// Suspect pieces that one link alone is asked for, and since when.
    solo_since: BTreeMap<PieceIndex, Instant>,
    candidates: Candidates,
    /// Addresses that bring whole pieces.
    stores: BTreeMap<SocketAddr, whole::Store>,
    arriving: BTreeMap<LinkId, Arriving>,
    peers: BTreeMap<LinkId, Peer>,
    /// Links that would take more requests than there were blocks for.
    hungry: BTreeSet<LinkId>,
    /// Those of them that wait for room to begin a piece, and which of them had its turn last.
    cramped: BTreeSet<LinkId>,
    fed_last: LinkId,
    /// Links that need not bring a block any more, and may be asked for another.
    relieved: BTreeSet<LinkId>,
    /// Blocks or pieces may have become free for hungry links.
    food: bool,
    timers: timers::Timers,
    late: endgame::Late,
    verified: haves::VerifiedLog,
    /// Verified pieces that are not yet reckoned with in what peers have of interest.
    fresh: Vec<PieceIndex>,
    /// Links are told that we are a partial seed.
    upload_only: bool,
    shares: shares::Shares,
    shares_made: Instant,
    uploads: upload::Uploads,
    paused: bool,
    crowding: links::Crowding,
    outputs: VecDeque<Output>,
    rng: StdRng,
    next_link: u64,
    next_housekeeping: Instant,
    met_anybody: bool,
    totals: report::Totals,
    waits: Waits,
    /// When the cause of waiting is to be looked at again.
    next_cause: Instant,
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
            assembly: Assembly::new(config.layout, config.share_blocks),
            checking: check::Checking::default(),
            suspects: Suspects::default(),
            solo_since: BTreeMap::new(),
            candidates: Candidates::default(),
            stores: BTreeMap::new(),
            arriving: BTreeMap::new(),
            peers: BTreeMap::new(),
            hungry: BTreeSet::new(),
            cramped: BTreeSet::new(),
            fed_last: LinkId(0),
            relieved: BTreeSet::new(),
            food: false,
            timers: timers::Timers::default(),
            late: endgame::Late::new(now),
            verified: haves::VerifiedLog::new(now),
            fresh: Vec::new(),
            upload_only: missing == 0 && !config.have.is_full(),
            shares: shares::Shares::new(config.peer_id, picker::run_len(&config.layout)),
            shares_made: now,
            uploads: upload::Uploads::new(config.proven.clone(), config.layout.piece_len(), now),
            paused: false,
            crowding: links::Crowding::default(),
            outputs: VecDeque::new(),
            rng: StdRng::seed_from_u64(config.seed),
            next_link: 0,
            next_housekeeping: now,
            met_anybody: false,
            totals: report::Totals::new(now),
            waits: Waits::new(if missing == 0 { Cause::Nothing } else { Cause::Tracker }, now),
            next_cause: now,
            load: report::Load::default(),
            config,
        };
        debug_assert!(swarm.picker.pickable_count() == swarm.missing, "all missing are pickable");
        swarm
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
            self.reckon_verified(now);
        }
        if !matches!(input, Input::PieceChecked { .. } | Input::LinkEvents { .. }) {
            self.next_cause = now;
        }
        match input {
            Input::LinkUp { link, peer_id, caps } => self.on_link_up(link, peer_id, caps, now),
            Input::LinkEvents { link, events } => self.on_link_events(link, events, now),
            Input::LinkDown { link, reason } => self.on_link_down(link, reason, now),
            Input::PieceChecked { piece, verdict } => self.on_piece_checked(piece, verdict, now),
            Input::Spilled { piece, failed } => self.on_spilled(piece, failed, now),
            Input::Candidates { source, addresses } => self.on_candidates(source, addresses),
            Input::OurAddress(ours) => self.candidates.set_ours(ours, &mut self.rng),
            Input::TrackerChanged => self.on_tracker_changed(),
            Input::Room(room) => self.on_room(room, now),
            Input::Prepared { piece, outcome } => self.on_prepared(piece, outcome, now),
            Input::Share(blocks) => self.on_share(blocks),
            Input::Starved(starved) => self.load.starved = starved,
            Input::UploadLimit(limit) => self.on_upload_limit(limit),
            Input::PiecesLost(pieces) => self.on_pieces_lost(pieces, now),
            Input::DiskFailed(why) => self.disk_failed(why, now),
            Input::DiskSilent(why) => self.disk_silent(why),
            Input::DiskAnswers => self.disk_answers(now),
            Input::Wanted(wanted) => self.on_wanted(wanted, now),
            Input::Pause(pause) => self.on_pause(pause, now),
            Input::DiskLoad { hashing, writing } => self.load.note(hashing, writing),
            Input::Limited(limited) => self.load.limited = limited,
            Input::Tick => self.on_tick(now),
        }
    }

    /// Draws the conclusions from all facts noted since the last time: who is served, who is
    /// asked for what, who is dialled. Effects wait in [`poll_output`](Self::poll_output).
    pub fn settle(&mut self, now: Instant) {
        self.reckon_verified(now);
        self.tell_upload_only();
        self.rechoke(now);
        self.feed_hungry(now);
        self.move_late(now);
        self.tell_verified(now);
        self.dial_more(now);
        if now >= self.next_cause {
            self.next_cause = now + CAUSE_LOOK;
            let cause = self.cause(now);
            self.waits.switch(cause, now);
        }
    }

    /// The next effect, in the order in which they must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Tick` is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let housekeeping = (!self.is_idle()).then_some(self.next_housekeeping);
        let links = self.timers.next().into_iter().chain(self.next_look());
        let links = links.chain(self.shares.next_step());
        let links = links.chain(self.verified.next().filter(|_| !self.peers.is_empty()));
        let ours = self.next_rechoke().into_iter().chain(self.next_dial()).chain(housekeeping);
        links.chain(ours).chain(self.checking.retry_at()).min()
    }

    fn on_share(&mut self, blocks: usize) {
        self.config.share_blocks = blocks;
        self.assembly.set_share(blocks);
        self.food = true;
        self.spill_if_needed();
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

    fn send(&mut self, link: LinkId, command: LinkCommand) {
        self.outputs.push_back(Output::Send { link, command });
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn on_link_events(&mut self, link: LinkId, events: Vec<LinkEvent>, now: Instant) {
        for event in events {
            self.on_link_event(link, event, now);
        }
        self.fill(link, now);
        self.serve(link, now);
    }

    fn on_link_event(&mut self, link: LinkId, event: LinkEvent, now: Instant) {
        // What a link took counts, also when it was closed meanwhile.
        if let LinkEvent::Sent(bytes) = event {
            return self.on_sent(link, bytes, now);
        }
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match event {
            LinkEvent::Blocks(blocks) => self.on_blocks(link, blocks, now),
            LinkEvent::Availability(pieces) => {
                self.on_availability(link, pieces, now);
                self.next_cause = now;
            }
            LinkEvent::Haves(pieces) => {
                if peer.interesting == 0 {
                    self.next_cause = now;
                }
                self.on_haves(link, pieces, now);
            }
            LinkEvent::Choked => self.on_choked(link, now),
            LinkEvent::Unchoked => {
                peer.choking = false;
                self.next_cause = now;
            }
            LinkEvent::Interested => {
                peer.interested = true;
                self.uploads.stirred = true;
            }
            LinkEvent::NotInterested => {
                peer.interested = false;
                self.uploads.stirred = true;
            }
            LinkEvent::Refused { block, lasting } => self.on_refused(link, block, lasting, now),
            LinkEvent::Requested(ask) => self.on_requested(link, ask, now),
            LinkEvent::Cancelled(ask) => self.on_cancelled(link, ask),
            LinkEvent::Sent(_) | LinkEvent::Suggested(_) => {}
            LinkEvent::AllowedFast(piece) => peer.allow_fast(piece),
            LinkEvent::Described(description) => {
                if let Some(client) = description.client {
                    peer.client = client;
                }
                if let Some(most) = description.pipeline_max {
                    peer.requests.pipeline.limit(most);
                }
                peer.upload_only = description.upload_only.unwrap_or(peer.upload_only);
                self.on_addresses_told(link, description.listen_port, description.our_address);
            }
            LinkEvent::Stray(bytes) => {
                self.totals.wasted_bytes += u64::from(bytes);
                self.strike(link, now);
            }
        }
    }

    /// Something came that nobody asked for.
    pub(super) fn strike(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.strikes += 1;
        if peer.strikes > STRIKES_MAX {
            let reason = CloseReason::Misbehaved("it kept sending what nobody asked for");
            self.close(link, reason, now);
        }
    }

    fn on_choked(&mut self, link: LinkId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.choking) else { return };
        peer.choking = true;
        peer.requests.choked(now);
        self.next_cause = now;
        // BEP 6: with the fast extension a choke no longer voids requests.
        if !peer.caps.fast {
            for block in peer.requests.voided() {
                self.release(link, block);
            }
        }
        self.free_owned(link);
    }

    fn on_tick(&mut self, now: Instant) {
        self.retry_disk(now);
        let ours = self.is_silence_ours();
        while let Some(link) = self.timers.pop(now) {
            self.check_link(link, ours, now);
        }
        self.food |= self.shares.step(now);
        if now >= self.next_housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            match ours {
                true => self.peers.values_mut().for_each(|peer| peer.requests.excuse(now)),
                false => self.check_overdue(now),
            }
            self.forget_given_back(now);
            self.relieve_memory();
            self.share_slow_suspects(now);
            self.drop_useless(now);
        }
    }
}

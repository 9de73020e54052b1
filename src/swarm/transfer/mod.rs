//! The other half of the brain: what is traded. Which pieces we have and want, what is asked of
//! whom, what verified pieces and liars mean, what others get. It knows links by what goes over
//! them; whether a link is to end it only says. What peers have is in `interest`, what to ask of
//! whom in `fetch`, what is different with whole pieces in `whole`, what the disk says in `check`,
//! what others get in `upload`.

pub mod allowed_fast;
pub mod assembly;
mod check;
mod endgame;
mod fetch;
mod free;
mod gaps;
mod goal;
mod haves;
mod hungry;
mod interest;
mod invariants;
mod leases;
mod open_piece;
mod orders;
pub mod picker;
pub mod pipeline;
pub mod rendezvous;
mod report;
pub mod requests;
mod runs;
pub mod suspects;
mod timers;
pub mod trade;
pub mod upload;
mod whole;
mod whole_files;

use std::collections::BTreeMap;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{InfoHash, LinkId};
use crate::base::layout::{Layout, PieceIndex};

use super::config::SwarmConfig;
use super::crowd::{Need, Usage};
use super::effects::Effects;
use super::event::Input;
use super::link::{Availability, CloseReason, Endpoint, ExtendedCommand, LinkEvent, PeerCommand};
use super::sources::Sources;

use assembly::Assembly;
use goal::Goal;
use hungry::Hungry;
use picker::Picker;
use report::Totals;
use suspects::Suspects;
use trade::Trade;

/// A link that should deliver and does not for this long is closed.
const SILENT_MAX: std::time::Duration = std::time::Duration::from_secs(70);

/// What is traded.
#[derive(Debug)]
pub(super) struct Transfer {
    layout: Layout,
    extents: Extents,
    info_hash: InfoHash,
    /// Pieces in order.
    sequential: bool,
    /// Blocks that open pieces may hold before they are spilled.
    share_blocks: usize,
    goal: Goal,
    picker: Picker,
    assembly: Assembly,
    checking: check::Checking,
    suspects: Suspects,
    /// Suspect pieces that one link alone is asked for, and since when.
    solo_since: BTreeMap<PieceIndex, Instant>,
    /// Those who bring whole pieces.
    providers: BTreeMap<Endpoint, whole::Provider>,
    trades: BTreeMap<LinkId, Trade>,
    /// Servers of files, and the links to them.
    sources: Sources,
    runs: runs::Runs,
    looks: leases::Looks,
    hungry: Hungry,
    timers: timers::Timers,
    late: endgame::Late,
    verified: haves::VerifiedLog,
    /// Verified pieces that are not yet reckoned with in what peers have of interest.
    fresh: Vec<PieceIndex>,
    /// Links are told that we are a partial seed.
    upload_only: bool,
    rendezvous: rendezvous::Rendezvous,
    rivals_seen: Instant,
    uploads: upload::Uploads,
    totals: Totals,
    rng: StdRng,
}

/// What is left of a trade whose link is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parting {
    /// Something came from it.
    pub has_delivered: bool,
    /// What it got beyond what it gave, in bytes.
    pub owes: u64,
}

impl Transfer {
    /// With nobody to trade with yet.
    pub(super) fn new(config: SwarmConfig, now: Instant) -> Self {
        let mut pickable = config.wanted.clone();
        config.layout.pieces().filter(|piece| config.have.has(*piece)).for_each(|piece| {
            pickable.remove(piece);
        });
        let goal = Goal::new(config.have, config.wanted);
        let transfer = Self {
            picker: Picker::new(config.layout, &pickable),
            assembly: Assembly::new(config.layout, config.share_blocks),
            checking: check::Checking::default(),
            suspects: Suspects::default(),
            solo_since: BTreeMap::new(),
            providers: BTreeMap::new(),
            trades: BTreeMap::new(),
            sources: Sources::default(),
            runs: runs::Runs::default(),
            looks: leases::Looks::new(now),
            hungry: Hungry::new(),
            timers: timers::Timers::default(),
            late: endgame::Late::new(now),
            verified: haves::VerifiedLog::new(now),
            fresh: Vec::new(),
            upload_only: goal.is_partial_seed(),
            rendezvous: rendezvous::Rendezvous::new(
                config.peer_id,
                picker::run_len(&config.layout),
            ),
            rivals_seen: now,
            uploads: upload::Uploads::new(config.proven, config.layout.piece_len(), now),
            totals: Totals::new(now),
            // Another stream of chance than the crowd's.
            rng: StdRng::seed_from_u64(config.seed ^ 0x7472_6164_6573),
            layout: config.layout,
            extents: config.extents,
            info_hash: config.info_hash,
            sequential: config.sequential,
            share_blocks: config.share_blocks,
            goal,
        };
        let pickable = transfer.picker.pickable_count();
        debug_assert!(pickable == transfer.goal.missing(), "all missing are pickable");
        transfer
    }

    /// A link has come up; it is told what we have.
    pub(super) fn open(&mut self, link: LinkId, mut trade: Trade, out: &mut Effects) {
        if trade.is_whole() {
            self.know_provider(trade.endpoint());
        }
        trade.set_told(self.verified.end());
        let have = self.goal.have();
        let ours = match have.ones() {
            0 => Availability::None,
            _ if have.is_full() => Availability::All,
            _ => Availability::Some(have.clone()),
        };
        if trade.caps().can_upload_to {
            if trade.hears_upload_only() && self.upload_only {
                out.send(link, ExtendedCommand::UploadOnly(true));
            }
            out.send(link, PeerCommand::Availability(ours));
        }
        self.trades.insert(link, trade);
    }

    /// A link is over: others may be asked for what it owes.
    pub(super) fn part(&mut self, link: LinkId, out: &mut Effects) -> Parting {
        let Some(mut trade) = self.trades.remove(&link) else { return Parting::default() };
        if trade.upload().is_unchoked() {
            out.stir();
        }
        self.hungry.remove(link);
        self.timers.disarm(link);
        self.picker.peer_left(trade.pieces());
        for block in trade.requests_mut().give_up_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        Parting { has_delivered: trade.downloaded_bytes() > 0, owes: trade.owes() }
    }

    /// Something that a link reports; what it says of itself goes to
    /// [`on_described`](Self::on_described).
    pub(super) fn on_link_event(
        &mut self,
        link: LinkId,
        event: LinkEvent,
        now: Instant,
        out: &mut Effects,
    ) {
        // What a link took counts, also when it was closed meanwhile.
        if let LinkEvent::Sent(bytes) = event {
            return self.on_sent(link, bytes, now, out);
        }
        if self.runs.link(link).is_some() {
            return self.on_lease_event(link, event, now, out);
        }
        let Some(trade) = self.trades.get_mut(&link) else { return };
        match event {
            LinkEvent::Blocks(blocks) => self.on_blocks(link, blocks, now, out),
            LinkEvent::Availability(pieces) => {
                self.on_availability(link, pieces, out);
                out.look_at_cause();
            }
            LinkEvent::Haves(pieces) => {
                if !trade.is_interesting() {
                    out.look_at_cause();
                }
                self.on_haves(link, pieces, out);
            }
            LinkEvent::Choked => self.on_choked(link, now, out),
            LinkEvent::Unchoked => {
                trade.set_choking(false);
                out.look_at_cause();
            }
            LinkEvent::Interested => {
                trade.set_interested(true);
                out.stir();
            }
            LinkEvent::NotInterested => {
                trade.set_interested(false);
                out.stir();
            }
            LinkEvent::Refused { block, lasting } => {
                self.on_refused(link, block, lasting, now, out);
            }
            LinkEvent::Requested(ask) => self.on_requested(link, ask, now, out),
            LinkEvent::Cancelled(ask) => self.on_cancelled(link, ask, out),
            LinkEvent::Sent(_) | LinkEvent::Suggested(_) | LinkEvent::RunEnded { .. } => {}
            // Not of the trade.
            LinkEvent::Described(_) | LinkEvent::Metadata(_) | LinkEvent::Peers(_) => {}
            LinkEvent::AllowedFast(piece) => trade.allow_fast(piece),
            LinkEvent::Stray(bytes) => {
                self.totals.wasted(u64::from(bytes));
                out.strike(link);
            }
        }
    }

    /// The remote told how many requests it holds, and whether it will ask for data.
    pub(super) fn on_described(
        &mut self,
        link: LinkId,
        pipeline_max: Option<u32>,
        upload_only: Option<bool>,
    ) {
        if let Some(trade) = self.trades.get_mut(&link) {
            trade.described(pipeline_max, upload_only);
        }
    }

    /// All that a link reported at once was taken in: it is asked for more, and sent more.
    pub(super) fn on_events_taken(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        if self.runs.link(link).is_some() {
            return self.fill_run(link, now, out);
        }
        self.fill(link, now, out);
        self.serve(link, now, out);
    }

    fn on_choked(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if !trade.set_choking(true) {
            return;
        }
        trade.requests_mut().choked(now);
        out.look_at_cause();
        // BEP 6: with the fast extension a choke no longer voids requests.
        if !trade.caps().fast {
            for block in trade.requests_mut().voided() {
                self.release(link, block);
            }
        }
        self.free_owned(link);
    }

    /// A fact of the disk, the memory or the user's choice. Others are none of its business.
    pub(super) fn on_input(&mut self, input: Input, now: Instant, out: &mut Effects) {
        match input {
            Input::PieceChecked { piece, verdict } => {
                self.on_piece_checked(piece, verdict, now, out);
            }
            Input::Spilled { piece, failed } => self.on_spilled(piece, failed, now, out),
            Input::Prepared { piece, outcome } => self.on_prepared(piece, outcome, now, out),
            Input::Share(blocks) => self.on_share(blocks, out),
            Input::PiecesLost(pieces) => self.on_pieces_lost(pieces, out),
            Input::PiecesFound(pieces) => self.on_pieces_found(pieces, now, out),
            Input::Sources(told) => self.on_sources(told, out),
            Input::SourcesBarred { sources, are_barred } => {
                self.bar_sources(&sources, are_barred, now, out);
            }
            Input::SourceWaits { source, until, why } => {
                self.on_source_waits(source, until, &why, out);
            }
            Input::DiskFailed(why) => self.disk_failed(why, now, out),
            Input::DiskSilent(why) => self.disk_silent(why, out),
            Input::DiskAnswers => self.disk_answers(now, out),
            Input::Wanted(wanted) => self.on_wanted(wanted, now, out),
            Input::Urgency(urgency) => self.picker.set_urgency(urgency),
            Input::Sequential(sequential) => self.sequential = sequential,
            _ => debug_assert!(false, "a fact of the crowd went to the transfer"),
        }
    }

    fn on_share(&mut self, blocks: usize, out: &mut Effects) {
        self.share_blocks = blocks;
        self.assembly.set_share(blocks);
        self.hungry.food_came();
        self.spill_if_needed(out);
    }

    /// Links were taken in and closed: draws the conclusions for those that are left.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Effects) {
        self.feed_hungry(now, out);
        self.settle_leases(now, out);
        self.move_late(now, out);
        self.tell_verified(now, out);
    }

    /// When time alone will change something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let links = self.timers.next().into_iter().chain(self.next_look());
        let links = links.chain(self.rendezvous.next_step());
        let links = links.chain(self.verified.next().filter(|_| !self.trades.is_empty()));
        links.chain(self.checking.retry_at()).chain(self.next_lease_timeout()).min()
    }

    /// Time has passed; silence of links is our own doing if `ours`.
    pub(super) fn on_tick(&mut self, ours: bool, now: Instant, out: &mut Effects) {
        self.retry_disk(now, out);
        while let Some(link) = self.timers.pop(now) {
            self.check_link(link, ours, now, out);
        }
        self.check_leases(ours, now, out);
        if self.rendezvous.step(now) {
            self.hungry.food_came();
        }
    }

    /// What is done now and then: late blocks, memory, suspects, silent links.
    pub(super) fn tidy_up(&mut self, ours: bool, now: Instant, out: &mut Effects) {
        match ours {
            true => self.trades.values_mut().for_each(|trade| trade.requests_mut().excuse(now)),
            false => self.check_overdue(now, out),
        }
        self.forget_given_back(now);
        self.relieve_memory(out);
        self.tell_of_unread(now);
        self.share_slow_suspects(now);
        self.tidy_leases(now, out);
        for (link, trade) in &mut self.trades {
            if trade.requests().silent_for(now) >= SILENT_MAX {
                out.close(*link, CloseReason::TimedOut("it sent nothing for 70 s"));
            }
            trade.wait_to_be_told(now);
        }
    }

    /// Is everything wanted verified and written?
    pub(super) fn is_complete(&self) -> bool {
        self.goal.is_complete()
    }

    /// Verified pieces.
    pub(super) fn have(&self) -> &Bitfield {
        self.goal.have()
    }

    /// What we need of the crowd.
    pub(super) fn need(&self) -> Need {
        Need { is_complete: self.is_complete(), has_any: self.goal.has_any() }
    }

    /// What a link is used for.
    pub(super) fn usage(&self, link: LinkId, now: Instant) -> Usage {
        let trade = self.trades.get(&link);
        Usage {
            is_moving: trade.is_some_and(|trade| !trade.is_idle(now)),
            has_business: trade.is_some_and(Trade::has_business),
            moved_bytes: trade.map_or(0, Trade::moved_bytes),
        }
    }

    /// Nothing goes on for a while, or everything began to. Nobody is to see an old rate then.
    pub(super) fn rest(&mut self, now: Instant) {
        self.uploads.rest(now);
        self.totals.rest(now);
    }

    /// Nothing of a liar's is to be relied on.
    pub(super) fn distrust(&mut self, liar: Endpoint) {
        self.assembly.distrust(liar);
        self.hungry.food_came();
    }
}

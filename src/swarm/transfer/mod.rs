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
mod haves;
mod interest;
mod invariants;
pub mod picker;
pub mod pipeline;
mod report;
pub mod requests;
pub mod shares;
pub mod suspects;
mod timers;
pub mod trade;
pub mod upload;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{InfoHash, LinkId};
use crate::base::layout::{Layout, PieceIndex};

use super::SwarmConfig;
use super::crowd::{Need, Usage};
use super::effects::Effects;
use super::event::Input;
use super::link::{Availability, CloseReason, LinkCommand, LinkEvent, Unit};

pub(super) use report::Totals;

use assembly::Assembly;
use picker::Picker;
use suspects::Suspects;
use trade::Trade;

/// A link that should deliver and does not for this long is closed.
const SILENT_MAX: std::time::Duration = std::time::Duration::from_secs(70);
/// A peer that has sent no pieces for so long has none: BEP 3 lets it leave the bitfield out.
const TOLD_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

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
    /// Addresses that bring whole pieces.
    stores: BTreeMap<SocketAddr, whole::Store>,
    trades: BTreeMap<LinkId, Trade>,
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
        let all = Bitfield::all(config.layout.piece_count());
        let mut pickable = config.wanted.clone();
        config.layout.pieces().filter(|piece| config.have.has(*piece)).for_each(|piece| {
            pickable.remove(piece);
        });
        let missing = all.count_missing(&config.have, &config.wanted);
        let transfer = Self {
            missing,
            picker: Picker::new(config.layout, &pickable),
            assembly: Assembly::new(config.layout, config.share_blocks),
            checking: check::Checking::default(),
            suspects: Suspects::default(),
            solo_since: BTreeMap::new(),
            stores: BTreeMap::new(),
            trades: BTreeMap::new(),
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
            uploads: upload::Uploads::new(config.proven, config.layout.piece_len(), now),
            totals: Totals::new(now),
            // Another stream of chance than the crowd's.
            rng: StdRng::seed_from_u64(config.seed ^ 0x7472_6164_6573),
            layout: config.layout,
            extents: config.extents,
            info_hash: config.info_hash,
            sequential: config.sequential,
            share_blocks: config.share_blocks,
            have: config.have,
            wanted: config.wanted,
        };
        let pickable = transfer.picker.pickable_count();
        debug_assert!(pickable == transfer.missing, "all missing are pickable");
        transfer
    }

    /// A link has come up; it is told what we have.
    pub(super) fn open(&mut self, link: LinkId, mut trade: Trade, out: &mut Effects) {
        if trade.caps.unit == Unit::Piece {
            self.stores.entry(trade.address).or_default();
        }
        trade.told = self.verified.end();
        let ours = match self.have.ones() {
            0 => Availability::None,
            _ if self.have.is_full() => Availability::All,
            _ => Availability::Some(self.have.clone()),
        };
        if trade.caps.can_upload_to {
            if trade.caps.extended && self.upload_only {
                out.send(link, LinkCommand::UploadOnly(true));
            }
            out.send(link, LinkCommand::Availability(ours));
        }
        self.trades.insert(link, trade);
    }

    /// A link is over: others may be asked for what it owes.
    pub(super) fn part(&mut self, link: LinkId, out: &mut Effects) -> Parting {
        let Some(mut trade) = self.trades.remove(&link) else { return Parting::default() };
        if trade.upload.unchoked {
            out.stir();
        }
        self.hungry.remove(&link);
        self.cramped.remove(&link);
        self.timers.disarm(link);
        self.picker.peer_left(&trade.pieces);
        for block in trade.requests.give_up_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        Parting { has_delivered: trade.downloaded_bytes > 0, owes: upload::owes(&trade) }
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
        let Some(trade) = self.trades.get_mut(&link) else { return };
        match event {
            LinkEvent::Blocks(blocks) => self.on_blocks(link, blocks, now, out),
            LinkEvent::Availability(pieces) => {
                self.on_availability(link, pieces, out);
                out.look_at_cause();
            }
            LinkEvent::Haves(pieces) => {
                if trade.interesting == 0 {
                    out.look_at_cause();
                }
                self.on_haves(link, pieces, out);
            }
            LinkEvent::Choked => self.on_choked(link, now, out),
            LinkEvent::Unchoked => {
                trade.choking = false;
                out.look_at_cause();
            }
            LinkEvent::Interested => {
                trade.interested = true;
                out.stir();
            }
            LinkEvent::NotInterested => {
                trade.interested = false;
                out.stir();
            }
            LinkEvent::Refused { block, lasting } => {
                self.on_refused(link, block, lasting, now, out);
            }
            LinkEvent::Requested(ask) => self.on_requested(link, ask, now, out),
            LinkEvent::Cancelled(ask) => self.on_cancelled(link, ask, out),
            LinkEvent::Sent(_) | LinkEvent::Suggested(_) => {}
            // Not of the trade.
            LinkEvent::Described(_) | LinkEvent::Metadata(_) | LinkEvent::Peers(_) => {}
            LinkEvent::AllowedFast(piece) => trade.allow_fast(piece),
            LinkEvent::Stray(bytes) => {
                self.totals.wasted_bytes += u64::from(bytes);
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
        let Some(trade) = self.trades.get_mut(&link) else { return };
        if let Some(most) = pipeline_max {
            trade.requests.pipeline.limit(most);
        }
        trade.upload_only = upload_only.unwrap_or(trade.upload_only);
    }

    /// All that a link reported at once was taken in: it is asked for more, and sent more.
    pub(super) fn on_events_taken(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        self.fill(link, now, out);
        self.serve(link, now, out);
    }

    fn on_choked(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(trade) = self.trades.get_mut(&link).filter(|trade| !trade.choking) else { return };
        trade.choking = true;
        // What it refused just before was refused for that reason.
        trade.refused.clear();
        trade.requests.choked(now);
        out.look_at_cause();
        // BEP 6: with the fast extension a choke no longer voids requests.
        if !trade.caps.fast {
            for block in trade.requests.voided() {
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
            Input::DiskFailed(why) => self.disk_failed(why, now, out),
            Input::DiskSilent(why) => self.disk_silent(why, out),
            Input::DiskAnswers => self.disk_answers(now, out),
            Input::Wanted(wanted) => self.on_wanted(wanted, now, out),
            _ => debug_assert!(false, "a fact of the crowd went to the transfer"),
        }
    }

    fn on_share(&mut self, blocks: usize, out: &mut Effects) {
        self.share_blocks = blocks;
        self.assembly.set_share(blocks);
        self.food = true;
        self.spill_if_needed(out);
    }

    /// Links were taken in and closed: draws the conclusions for those that are left.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Effects) {
        self.feed_hungry(now, out);
        self.move_late(now, out);
        self.tell_verified(now, out);
    }

    /// When time alone will change something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let links = self.timers.next().into_iter().chain(self.next_look());
        let links = links.chain(self.shares.next_step());
        let links = links.chain(self.verified.next().filter(|_| !self.trades.is_empty()));
        links.chain(self.checking.retry_at()).min()
    }

    /// Time has passed; silence of links is our own doing if `ours`.
    pub(super) fn on_tick(&mut self, ours: bool, now: Instant, out: &mut Effects) {
        self.retry_disk(now, out);
        while let Some(link) = self.timers.pop(now) {
            self.check_link(link, ours, now, out);
        }
        self.food |= self.shares.step(now);
    }

    /// What is done now and then: late blocks, memory, suspects, silent links.
    pub(super) fn tidy_up(&mut self, ours: bool, now: Instant, out: &mut Effects) {
        match ours {
            true => self.trades.values_mut().for_each(|trade| trade.requests.excuse(now)),
            false => self.check_overdue(now, out),
        }
        self.forget_given_back(now);
        self.relieve_memory(out);
        self.share_slow_suspects(now);
        for (link, trade) in &mut self.trades {
            if trade.requests.silent_for(now) >= SILENT_MAX {
                out.close(*link, CloseReason::TimedOut("it sent nothing for 70 s"));
            }
            trade.has_told |= now.saturating_duration_since(trade.since) >= TOLD_WITHIN;
        }
    }

    /// Is everything wanted verified and written?
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Verified pieces.
    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// What we need of the crowd.
    pub(super) fn need(&self) -> Need {
        Need { is_complete: self.is_complete(), has_any: self.have.ones() > 0 }
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
    pub(super) fn distrust(&mut self, address: SocketAddr) {
        self.assembly.distrust(address);
        self.food = true;
    }
}

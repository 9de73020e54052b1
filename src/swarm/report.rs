//! What people may know of the brain: numbers, peers, and what it is waiting for. It reads
//! everything and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ids::{FileIndex, LinkId, SourceId};
use crate::base::meter::RateMeter;
use crate::wire::mse::Method;

use super::Swarm;
use super::event::Source;
use super::trade::Trade;
use super::waits::{Cause, WaitReport};

/// How busy the hands are, as they report it.
#[derive(Debug, Default)]
pub(super) struct Load {
    hashing: Duration,
    writing: Duration,
    /// Links wait for blocks: the pool has none left.
    pub starved: bool,
    /// The user's rate limit holds links back.
    pub limited: bool,
}

impl Load {
    pub(super) fn note(&mut self, hashing: Duration, writing: Duration) {
        (self.hashing, self.writing) = (hashing, writing);
    }
}

/// The brain in numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Verified pieces.
    pub pieces_verified: u32,
    /// Pieces that are open or at the check.
    pub pieces_in_progress: u32,
    /// Pieces that failed their hash so far.
    pub hash_failures: u32,
    /// Payload received a second; none while nothing is fetched.
    pub down_rate: u64,
    /// Payload received.
    pub downloaded_bytes: u64,
    /// Payload sent a second; none while nobody is there.
    pub up_rate: u64,
    /// Payload sent.
    pub uploaded_bytes: u64,
    /// Links that payload is sent to.
    pub receiving: u32,
    /// Payload received in vain.
    pub wasted_bytes: u64,
    /// What of that was of pieces that failed their hash.
    pub corrupt_bytes: u64,
    /// Links that are up.
    pub connected: u32,
    /// Of those, with everything.
    pub seeds: u32,
    /// Of those, sending payload.
    pub sending: u32,
    /// Of those, with something that we lack.
    pub interesting: u32,
    /// Of the interesting ones, those that choke us.
    pub choking: u32,
    /// Of the interesting ones, those that let requests time out.
    pub snubbed: u32,
    /// Dials under way.
    pub dialling: u32,
    /// Addresses known.
    pub known: u32,
    /// Addresses that wait to be dialled.
    pub candidates: u32,
    /// Blocks held by open pieces.
    pub held_blocks: u32,
    /// Pieces at the disk workers.
    pub pieces_at_disk: u32,
    /// How the disk fails.
    pub disk_trouble: Option<String>,
}

/// A live link in numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSnapshot {
    /// Which.
    pub link: LinkId,
    /// Where.
    pub address: SocketAddr,
    /// What it calls itself, or its peer id as text.
    pub client: String,
    /// Share of pieces that it has.
    pub have: f64,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload from it.
    pub downloaded_bytes: u64,
    /// Payload to it a second.
    pub up_rate: u64,
    /// Payload to it.
    pub uploaded_bytes: u64,
    /// We choke it.
    pub choked_by_us: bool,
    /// Requests outstanding and wanted.
    pub requests: (u32, u32),
    /// Shortest time from request to block.
    pub latency: Option<Duration>,
    /// Who named it, if that is known still.
    pub source: Option<Source>,
    /// It connected to us.
    pub incoming: bool,
    /// It chokes us.
    pub choking: bool,
    /// It has something that we lack.
    pub interesting: bool,
    /// It wants data from us.
    pub interested: bool,
    /// It lets requests time out.
    pub snubbed: bool,
    /// What hides the connection, if it began with an encrypted handshake.
    pub mse: Option<Method>,
}

/// A server of files in numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceSnapshot {
    /// Which.
    pub source: SourceId,
    /// What it is good for at present.
    pub state: SourceState,
    /// Links to it that are up.
    pub links: u32,
    /// Of those, with a run under way.
    pub busy: u32,
    /// Links that are waited for.
    pub coming: u32,
    /// Payload from it a second.
    pub down_rate: u64,
    /// Payload from it.
    pub downloaded_bytes: u64,
    /// Files that it does not send at present, or only as a whole.
    pub files: Vec<FileSnapshot>,
}

/// What a server of files is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceState {
    /// It may be asked.
    Fit,
    /// It is far slower than others, and asked when nobody else can help.
    Slow,
    /// It rests, or there is no connection to it to be had.
    Waits {
        /// For so long, as far as that is known.
        left: Option<Duration>,
        /// Why; not yet escaped for a terminal.
        why: String,
    },
    /// It is not asked any more.
    Off {
        /// Why; not yet escaped for a terminal.
        why: String,
    },
}

/// A file that a server does not send as it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSnapshot {
    /// Which.
    pub file: FileIndex,
    /// Why it is not asked for, if it is not; not yet escaped for a terminal. Shared, since there
    /// may be thousands of them, and they are looked at twice a second.
    pub why: Option<Arc<str>>,
    /// For so long; none when it is not asked for any more, or is.
    pub left: Option<Duration>,
    /// It is sent from its first byte on only.
    pub whole_only: bool,
}

/// An address without a link.
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    /// Where.
    pub address: SocketAddr,
    /// Why the last link or dial ended; none before.
    pub last_error: Option<String>,
    /// How long ago its last link ended; none when there was none.
    pub left: Option<Duration>,
}

impl Swarm {
    /// All numbers as of `now`.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let candidates = self.crowd.candidates();
        Snapshot {
            dialling: self.crowd.dials() as u32,
            known: candidates.known_count() as u32,
            candidates: candidates.idle_count() as u32,
            ..self.transfer.snapshot(now)
        }
    }

    /// Payload received; none while nothing is fetched, or nobody is there.
    pub fn down_meter(&self) -> Option<&RateMeter> {
        self.transfer.down_meter()
    }

    /// Payload sent; none while nobody is there.
    pub fn up_meter(&self) -> Option<&RateMeter> {
        self.transfer.up_meter()
    }

    /// Payload received and sent so far, in bytes.
    pub fn moved_bytes(&self) -> (u64, u64) {
        self.transfer.moved_bytes()
    }

    /// Peers that have what we lack and do not let requests time out; any peer while nothing
    /// is wanted.
    pub fn working_peers(&self) -> usize {
        let is_any = self.is_complete();
        let works = |trade: &Trade| trade.is_interesting() && !trade.requests().is_snubbed();
        self.transfer.trades().filter(|(_, trade)| is_any || works(trade)).count()
    }

    /// All live links.
    pub fn links(&self, now: Instant) -> Vec<LinkSnapshot> {
        let piece_count = self.have().piece_count();
        let snapshot = |(link, trade): (LinkId, &Trade)| {
            let peer = self.crowd.peer(link)?;
            let (requests, upload) = (trade.requests(), trade.upload());
            let pieces = trade.pieces().count(piece_count);
            Some(LinkSnapshot {
                link,
                address: peer.address(),
                client: peer.client_shown(),
                have: f64::from(pieces) / f64::from(piece_count.max(1)),
                down_rate: trade.shown_rate(now),
                downloaded_bytes: trade.downloaded_bytes(),
                up_rate: upload.meter().shown(now),
                uploaded_bytes: upload.uploaded_bytes(),
                choked_by_us: !upload.is_unchoked(),
                requests: (requests.outstanding() as u32, requests.pipeline().target()),
                latency: requests.pipeline().latency(),
                source: self.crowd.source_of(peer),
                incoming: peer.is_incoming(),
                choking: trade.is_choking(),
                interesting: trade.is_interesting(),
                interested: trade.is_interested(),
                snubbed: requests.is_snubbed(),
                mse: peer.mse(),
            })
        };
        self.transfer.trades().filter_map(snapshot).collect()
    }

    /// All servers of files that were told of, in order.
    pub fn sources(&self, now: Instant) -> Vec<SourceSnapshot> {
        self.transfer.sources(now)
    }

    /// Addresses that are known and not connected.
    pub fn known(&self, now: Instant) -> Vec<Known> {
        self.crowd.known(now)
    }

    /// The last addresses that were banned for corrupt data, the oldest first.
    pub fn banned(&self) -> Vec<SocketAddr> {
        self.crowd.candidates().told_banned().collect()
    }

    /// How long payload was fetched, from the first request on and without pauses, for averages;
    /// nothing before any came.
    pub fn transferred_for(&self, now: Instant) -> Duration {
        self.transfer.transferred_for(now)
    }

    /// What the download waits for, over the last minute and its life.
    pub fn waits(&self, now: Instant) -> WaitReport {
        self.waits.report(now)
    }

    /// Pieces that we lack and no connected peer has. Costs a pass over all pieces.
    pub fn nobody_has(&self) -> u32 {
        self.transfer.pieces_nobody_has()
    }

    /// Is every missing piece begun, or does memory allow no further one?
    pub fn is_endgame(&self) -> bool {
        self.transfer.is_endgame()
    }

    /// Is something missing that nobody who is known can be expected to bring? More addresses
    /// may change that; time alone will not.
    pub fn is_out_of_reach(&self) -> bool {
        self.transfer.is_out_of_reach()
            && !self.crowd.is_paused()
            && self.crowd.arriving_count() == 0
            && self.crowd.candidates().are_hopeless()
    }

    pub(super) fn cause(&self, now: Instant) -> Cause {
        if self.is_complete() || self.crowd.is_paused() {
            return Cause::Nothing;
        }
        if self.transfer.is_disk_in_trouble() {
            return Cause::Disk;
        }
        let is_served = self.transfer.are_runs_coming();
        if self.crowd.peers().is_empty() && !is_served {
            if let Some(cause) = self.transfer.source_cause(now) {
                return cause;
            }
            let count = self.crowd.candidates().known_count() + self.crowd.arriving_count();
            return if count > 0 { Cause::Peers } else { Cause::Tracker };
        }
        let (mut interesting, mut open, mut below) = (is_served, is_served, false);
        for (_, trade) in self.transfer.trades().filter(|(_, trade)| trade.is_interesting()) {
            interesting = true;
            if trade.takes_requests(now) {
                open = true;
                // Fewer requests out than this link would take. One that fell silent gets few.
                below |= trade.room() > 0 && !trade.requests().is_snubbed();
            }
        }
        if !open && let Some(cause) = self.transfer.source_cause(now) {
            return cause;
        }
        match (interesting, open) {
            (false, _) if self.transfer.is_anything_left_to_fetch() => Cause::Pieces,
            (true, false) => Cause::Unchoke,
            _ if self.load.starved && self.load.hashing > self.load.writing => Cause::Hash,
            _ if self.load.starved => Cause::Disk,
            _ if self.load.limited => Cause::Limit,
            _ if below && self.transfer.pickable_count() > 0 => Cause::Pipeline,
            _ => Cause::Transfer,
        }
    }

    /// Do we keep links from reading, so that their silence says nothing of the remotes?
    pub(super) fn is_silence_ours(&self) -> bool {
        let is_held = self.load.starved || self.load.limited;
        is_held || self.transfer.is_disk_in_trouble() || self.crowd.is_paused()
    }
}

//! What people may know of the brain: numbers, peers, and what it is waiting for. It reads
//! everything and changes nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::meter::RateMeter;

use super::Swarm;
use super::report::{Known, LinkSnapshot, Snapshot, SourceSnapshot};
use super::trade::Trade;
use super::waits::{Cause, WaitReport};

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

    /// How long payload was fetched, from the first request to the last payload and without pauses,
    /// for averages; nothing before any came.
    pub fn transferred_for(&self) -> Duration {
        self.transfer.transferred_for()
    }

    /// What the download waits for, over the last minute and its life.
    pub fn waits(&self, now: Instant) -> WaitReport {
        self.waits.report(now)
    }

    /// How many connected peers have each piece; 255 where more do. Costs a pass over all pieces.
    pub fn copies(&self) -> Vec<u8> {
        self.transfer.copies()
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
        let is_served = self.transfer.are_runs_coming(now);
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
            _ if self.load.starved && self.load.is_mostly_hashing() => Cause::Hash,
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

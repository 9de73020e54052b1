//! What people may know of the brain: numbers, peers, and what it is waiting for. It reads
//! everything and changes nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::meter::RateMeter;

use super::Swarm;
use super::peer::Peer;
use super::waits::{Cause, WaitReport};

/// Counters of a run.
#[derive(Debug)]
pub struct Totals {
    /// Payload received.
    pub downloaded_bytes: u64,
    /// Payload received in vain.
    pub wasted_bytes: u64,
    /// What of that was of pieces that failed their hash.
    pub corrupt_bytes: u64,
    /// Pieces that failed their hash.
    pub hash_failures: u32,
    meter: RateMeter,
    /// Since when payload is asked for, and when it last came, while something is fetched.
    transfer: Option<(Instant, Option<Instant>)>,
    /// How long that took before.
    transferred: Duration,
}

impl Totals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            downloaded_bytes: 0,
            wasted_bytes: 0,
            corrupt_bytes: 0,
            hash_failures: 0,
            meter: RateMeter::new(now),
            transfer: None,
            transferred: Duration::ZERO,
        }
    }

    /// Payload is asked for.
    pub(super) fn asked(&mut self, now: Instant) {
        self.transfer.get_or_insert((now, None));
    }

    pub(super) fn received(&mut self, bytes: u64, now: Instant) {
        self.downloaded_bytes += bytes;
        self.meter.add(bytes, now);
        if let Some((_, last)) = &mut self.transfer {
            *last = Some(now);
        }
    }

    /// Nothing is fetched any more, for now. Nobody is to see an old rate when it goes on.
    pub(super) fn rest(&mut self, now: Instant) {
        self.meter = RateMeter::new(now);
        let transfer = self.transfer.take();
        let came = transfer.and_then(|(began, last)| Some(last?.saturating_duration_since(began)));
        self.transferred += came.unwrap_or_default();
    }

    fn transferred_for(&self, now: Instant) -> Duration {
        let current = match self.transfer {
            Some((began, Some(_))) => now.saturating_duration_since(began),
            _ => Duration::ZERO,
        };
        self.transferred + current
    }
}

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
        let count = |test: &dyn Fn(&Peer) -> bool| {
            self.peers.values().filter(|peer| test(peer)).count() as u32
        };
        let dialling = self.arriving.values().filter(|arriving| !arriving.incoming).count();
        Snapshot {
            pieces_verified: self.have.ones(),
            pieces_in_progress: (self.assembly.open_count() + self.checking.count()) as u32,
            hash_failures: self.totals.hash_failures,
            down_rate: self.down_meter().map_or(0, |meter| meter.shown(now)),
            downloaded_bytes: self.totals.downloaded_bytes,
            up_rate: self.up_meter().map_or(0, |meter| meter.shown(now)),
            uploaded_bytes: self.uploads.uploaded_bytes,
            receiving: count(&|peer| peer.upload.meter.shown(now) > 0 && peer.upload.unchoked),
            wasted_bytes: self.totals.wasted_bytes,
            corrupt_bytes: self.totals.corrupt_bytes,
            connected: self.peers.len() as u32,
            seeds: count(&Peer::is_seed),
            sending: count(&|peer| peer.meter.shown(now) > 0 && !peer.choking),
            interesting: count(&|peer| peer.interesting > 0),
            choking: count(&|peer| peer.interesting > 0 && peer.choking),
            snubbed: count(&|peer| peer.interesting > 0 && peer.requests.is_snubbed()),
            dialling: dialling as u32,
            known: self.candidates.known_count() as u32,
            candidates: self.candidates.idle_count() as u32,
            held_blocks: self.assembly.held_blocks() as u32,
            pieces_at_disk: self.checking.count() as u32,
            disk_trouble: self.checking.trouble().map(str::to_owned),
        }
    }

    /// Payload received; none while nothing is fetched, or nobody is there.
    pub fn down_meter(&self) -> Option<&RateMeter> {
        let is_at_rest = self.paused || self.is_complete() || self.checking.in_trouble();
        (!is_at_rest && !self.peers.is_empty()).then_some(&self.totals.meter)
    }

    /// Payload sent; none while nobody is there.
    pub fn up_meter(&self) -> Option<&RateMeter> {
        (!self.paused && !self.peers.is_empty()).then_some(&self.uploads.meter)
    }

    /// Payload received and sent so far, in bytes.
    pub fn moved_bytes(&self) -> (u64, u64) {
        (self.totals.downloaded_bytes, self.uploads.uploaded_bytes)
    }

    /// Peers that have what we lack and do not let requests time out; any peer while nothing
    /// is wanted.
    pub fn working_peers(&self) -> usize {
        let nothing = self.paused || self.is_complete();
        let works = |peer: &&Peer| peer.interesting > 0 && !peer.requests.is_snubbed();
        self.peers.values().filter(|peer| nothing || works(peer)).count()
    }

    /// All live links.
    pub fn links(&self, now: Instant) -> Vec<LinkSnapshot> {
        let piece_count = self.config.layout.piece_count();
        let snapshot = |(link, peer): (&LinkId, &Peer)| LinkSnapshot {
            link: *link,
            address: peer.address,
            client: match peer.client.as_str() {
                "" => String::from_utf8_lossy(&peer.peer_id.0[..8]).into_owned(),
                name => name.to_owned(),
            },
            have: f64::from(peer.pieces.count(piece_count)) / f64::from(piece_count.max(1)),
            down_rate: peer.meter.shown(now),
            downloaded_bytes: peer.downloaded_bytes,
            up_rate: peer.upload.meter.shown(now),
            uploaded_bytes: peer.upload.uploaded_bytes,
            choked_by_us: !peer.upload.unchoked,
            requests: (peer.requests.outstanding() as u32, peer.requests.pipeline.target()),
            latency: peer.requests.pipeline.latency(),
            incoming: peer.incoming,
            choking: peer.choking,
            interesting: peer.interesting > 0,
            interested: peer.interested,
            snubbed: peer.requests.is_snubbed(),
        };
        self.peers.iter().map(snapshot).collect()
    }

    /// Addresses that are known and not connected.
    pub fn known(&self, now: Instant) -> Vec<Known> {
        let known = |(address, why, left_at): (_, Option<&str>, Option<Instant>)| Known {
            address,
            last_error: why.map(str::to_owned),
            left: left_at.map(|at| now.saturating_duration_since(at)),
        };
        self.candidates.idle().map(known).collect()
    }

    /// The last addresses that were banned for corrupt data, the oldest first.
    pub fn banned(&self) -> Vec<SocketAddr> {
        self.candidates.told_banned().collect()
    }

    /// How long payload was fetched, from the first request on and without pauses, for averages;
    /// nothing before any came.
    pub fn transferred_for(&self, now: Instant) -> Duration {
        self.totals.transferred_for(now)
    }

    /// What the download waits for, over the last minute and its life.
    pub fn waits(&self, now: Instant) -> WaitReport {
        self.waits.report(now)
    }

    /// Pieces that we lack and no connected peer has. Costs a pass over all pieces.
    pub fn nobody_has(&self) -> u32 {
        self.pieces_nobody_has()
    }

    pub(super) fn cause(&self, now: Instant) -> Cause {
        if self.is_complete() || self.paused {
            return Cause::Nothing;
        }
        if self.checking.in_trouble() {
            return Cause::Disk;
        }
        if self.peers.is_empty() {
            let anybody = self.candidates.known_count() + self.arriving.len() > 0;
            return if anybody { Cause::Peers } else { Cause::Tracker };
        }
        let (mut interesting, mut open, mut below) = (false, false, false);
        for peer in self.peers.values().filter(|peer| peer.interesting > 0) {
            interesting = true;
            if peer.takes_requests(now) {
                open = true;
                // Fewer requests out than this link would take.
                below |= Self::room(peer) > 0;
            }
        }
        match (interesting, open) {
            (false, _) if self.pieces_left_to_fetch() => Cause::Pieces,
            (true, false) => Cause::Unchoke,
            _ if self.load.starved && self.load.hashing > self.load.writing => Cause::Hash,
            _ if self.load.starved => Cause::Disk,
            _ if self.load.limited => Cause::Limit,
            _ if below && self.picker.pickable_count() > 0 => Cause::Pipeline,
            _ => Cause::Transfer,
        }
    }

    /// Do we keep links from reading, so that their silence says nothing of the remotes?
    pub(super) fn is_silence_ours(&self) -> bool {
        self.load.starved || self.load.limited || self.checking.in_trouble() || self.paused
    }

    fn pieces_left_to_fetch(&self) -> bool {
        self.missing as usize > self.checking.count()
    }
}

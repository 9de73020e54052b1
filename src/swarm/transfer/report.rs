//! What people may know of the trade, in numbers.

use std::time::{Duration, Instant};

use crate::base::ids::LinkId;
use crate::base::meter::RateMeter;
use crate::swarm::link::LinkCommand;
use crate::swarm::report::Snapshot;

use super::Transfer;
use super::trade::Trade;

/// Counters of a run.
#[derive(Debug)]
pub(super) struct Totals {
    /// Payload received.
    downloaded_bytes: u64,
    /// Payload received in vain.
    wasted_bytes: u64,
    /// What of that was of pieces that failed their hash.
    corrupt_bytes: u64,
    /// Pieces that failed their hash.
    hash_failures: u32,
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

    /// Payload came in vain.
    pub(super) fn wasted(&mut self, bytes: u64) {
        self.wasted_bytes += bytes;
    }

    /// A piece of so many bytes failed its hash.
    pub(super) fn hash_failed(&mut self, bytes: u64) {
        self.hash_failures += 1;
        self.wasted_bytes += bytes;
        self.corrupt_bytes += bytes;
    }

    /// Nothing is fetched any more, for now. Nobody is to see an old rate when it goes on.
    pub(super) fn rest(&mut self, now: Instant) {
        self.meter = RateMeter::new(now);
        self.transferred = self.transferred_for();
        self.transfer = None;
    }

    /// The same while it lasts and after its end: the wait for what never comes is no part of it.
    pub(super) fn transferred_for(&self) -> Duration {
        let came =
            self.transfer.and_then(|(began, last)| Some(last?.saturating_duration_since(began)));
        self.transferred + came.unwrap_or_default()
    }
}

impl Transfer {
    /// The numbers that it knows, as of `now`.
    pub(in crate::swarm) fn snapshot(&self, now: Instant) -> Snapshot {
        let count = |test: &dyn Fn(&Trade) -> bool| {
            self.trades.values().filter(|trade| test(trade)).count() as u32
        };
        Snapshot {
            pieces_verified: self.goal.have().ones(),
            pieces_in_progress: (self.assembly.open_count() + self.checking.count()) as u32,
            hash_failures: self.totals.hash_failures,
            down_rate: self.down_meter().map_or(0, |meter| meter.shown(now)),
            downloaded_bytes: self.totals.downloaded_bytes,
            up_rate: self.up_meter().map_or(0, |meter| meter.shown(now)),
            uploaded_bytes: self.uploads.sent().0,
            receiving: count(&|it| it.upload().meter().shown(now) > 0 && it.upload().is_unchoked()),
            wasted_bytes: self.totals.wasted_bytes,
            corrupt_bytes: self.totals.corrupt_bytes,
            connected: self.trades.len() as u32,
            seeds: count(&Trade::is_seed),
            sending: count(&|it| it.shown_rate(now) > 0 && !it.is_choking()),
            interesting: count(&Trade::is_interesting),
            choking: count(&|it| it.is_interesting() && it.is_choking()),
            snubbed: count(&|it| it.is_interesting() && it.requests().is_snubbed()),
            held_blocks: self.assembly.held_blocks() as u32,
            pieces_at_disk: self.checking.count() as u32,
            disk_trouble: self.checking.trouble().map(str::to_owned),
            ..Snapshot::default()
        }
    }

    /// Payload received; none while nothing is fetched, or nobody is there.
    pub(in crate::swarm) fn down_meter(&self) -> Option<&RateMeter> {
        let is_at_rest = self.is_complete() || self.checking.in_trouble();
        let is_anybody = !self.trades.is_empty() || self.runs.links().next().is_some();
        (!is_at_rest && is_anybody).then_some(&self.totals.meter)
    }

    /// Payload sent; none while nobody is there.
    pub(in crate::swarm) fn up_meter(&self) -> Option<&RateMeter> {
        (!self.trades.is_empty()).then_some(self.uploads.sent().1)
    }

    /// Payload received and sent so far, in bytes.
    pub(in crate::swarm) fn moved_bytes(&self) -> (u64, u64) {
        (self.totals.downloaded_bytes, self.uploads.sent().0)
    }

    /// How long payload was fetched; see [`Swarm::transferred_for`](crate::swarm::Swarm).
    pub(in crate::swarm) fn transferred_for(&self) -> Duration {
        self.totals.transferred_for()
    }

    /// May the link be given the order? Yes, when it is not up.
    pub(in crate::swarm) fn allows(&self, link: LinkId, command: &LinkCommand) -> bool {
        self.trades.get(&link).is_none_or(|trade| trade.caps().allow(command))
    }

    /// All trades, by link.
    pub(in crate::swarm) fn trades(&self) -> impl Iterator<Item = (LinkId, &Trade)> {
        self.trades.iter().map(|(link, trade)| (*link, trade))
    }

    /// Does the remote have everything?
    pub(in crate::swarm) fn is_seed(&self, link: LinkId) -> bool {
        self.trades.get(&link).is_some_and(Trade::is_seed)
    }

    /// The links that there are trades on.
    pub(in crate::swarm) fn links(&self) -> impl Iterator<Item = &LinkId> {
        self.trades.keys()
    }

    /// Does the disk fail, so that nothing is fetched?
    pub(in crate::swarm) fn is_disk_in_trouble(&self) -> bool {
        self.checking.in_trouble()
    }

    /// Pieces that may be begun.
    pub(in crate::swarm) fn pickable_count(&self) -> u32 {
        self.picker.pickable_count()
    }

    /// Is anything missing that is not at the disk workers?
    pub(in crate::swarm) fn is_anything_left_to_fetch(&self) -> bool {
        self.goal.missing() as usize > self.checking.count()
    }
}

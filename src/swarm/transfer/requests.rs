//! What one link owes us: blocks asked for, in order, with the time of asking. It also
//! remembers blocks whose requests were taken back, since those may still arrive and are
//! nobody's fault (BEP 3: cancels and chokes cross with data on the way).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::base::layout::{BlockRef, PieceIndex};
use crate::base::units::BLOCK_LEN;

use super::pipeline::Pipeline;

/// Taken-back requests that are remembered; as many as one link may have outstanding, which
/// is two chunks of 64 MiB for those that are asked for whole ones.
const GIVEN_UP_MAX: usize = 8192;
/// No payload for this long while requests are out: the link is snubbing us.
pub const SNUB_AFTER: Duration = Duration::from_secs(10);
/// A block that is not here after this many times what the link's own rate promised when it was
/// asked for is overdue, be it forgotten or be the remote slower than it was.
const OVERDUE_TIMES: f64 = 3.0;
/// But not before this time: limited remotes send in bursts some seconds apart.
const OVERDUE_MIN: Duration = Duration::from_secs(5);
/// As late as this when nothing is known of the link's rate, or however slow it is: slower ones
/// hold up whoever wants the piece.
const OVERDUE_UNKNOWN: Duration = Duration::from_secs(20);
/// Others have so long to take what a link gave back, before it may be asked for it again.
const GIVEN_BACK_FOR: Duration = Duration::from_secs(30);

/// How a block that arrived relates to what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It was owed.
    Owed,
    /// It was asked for and then taken back.
    Late,
    /// It was never asked for, or came twice.
    Unasked,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    block: BlockRef,
    at: Instant,
    /// From then on it is overdue.
    due: Instant,
}

/// The requests of one link.
#[derive(Debug)]
pub struct Requests {
    owed: VecDeque<Sent>,
    given_up: VecDeque<BlockRef>,
    /// How many requests to keep outstanding.
    pipeline: Pipeline,
    /// The last time that payload came, or that asking began: a snub is judged by it.
    progress: Instant,
    /// The same, but not renewed by probing a link that snubs us.
    quiet_since: Instant,
    snubbed: bool,
    /// It was silent when its last blocks went to others: its silence goes on though it owes
    /// nothing.
    passed_over: bool,
    /// Pieces of which it gave overdue blocks back, and until when it is not asked for them.
    gave_back: BTreeMap<PieceIndex, Instant>,
    /// Requests that timed out and that the remote may hold still, since none was cancelled.
    timed_out: usize,
}

impl Requests {
    /// Nothing is asked yet; the remote holds `most` requests.
    pub fn new(most: u32, now: Instant) -> Self {
        Self {
            owed: VecDeque::new(),
            given_up: VecDeque::new(),
            pipeline: Pipeline::new(most, now),
            progress: now,
            quiet_since: now,
            snubbed: false,
            passed_over: false,
            gave_back: BTreeMap::new(),
            timed_out: 0,
        }
    }

    /// How many requests to keep outstanding.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The remote named another limit.
    pub fn limit(&mut self, most: u32) {
        self.pipeline.limit(most);
    }

    /// The remote is slower than it was: it brings so many bytes a second.
    pub fn slow_down(&mut self, rate_bytes_per_s: u64) {
        self.pipeline.slow_down(rate_bytes_per_s);
    }

    /// Requests outstanding.
    pub fn outstanding(&self) -> usize {
        self.owed.len()
    }

    /// Runs of requests for the same piece: how many pieces a link owes that is asked for
    /// whole ones.
    pub fn pieces(&self) -> usize {
        let pieces = || self.owed.iter().map(|sent| sent.block.piece());
        usize::from(!self.owed.is_empty())
            + pieces().zip(pieces().skip(1)).filter(|(one, next)| one != next).count()
    }

    /// How many more requests to send now. Deep pipelines are refilled in strides, so that
    /// requests leave in batches.
    pub fn room(&self) -> usize {
        let target = self.pipeline.target() as usize;
        let held = self.owed.len() + self.timed_out;
        let most = (self.pipeline.most() as usize).saturating_sub(held);
        let room = target.saturating_sub(self.owed.len()).min(most);
        let stride = (target / 8).clamp(1, 16);
        if room >= stride { room } else { 0 }
    }

    /// Let the remote's requests time out?
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// These blocks were asked for on a link that brings so many bytes a second at present.
    pub fn sent(&mut self, blocks: &[BlockRef], rate_bytes_per_s: u64, now: Instant) {
        if self.owed.is_empty() && !blocks.is_empty() {
            if !self.passed_over {
                self.progress = now;
            }
            if !self.snubbed && !self.passed_over {
                self.quiet_since = now;
            }
            self.pipeline.resumed(now);
        }
        for block in blocks {
            let due = now + self.patience(self.owed.len(), rate_bytes_per_s);
            self.owed.push_back(Sent { block: *block, at: now, due });
        }
    }

    /// How long a block may take that has `before` others before it.
    fn patience(&self, before: usize, rate_bytes_per_s: u64) -> Duration {
        if rate_bytes_per_s == 0 {
            return OVERDUE_UNKNOWN;
        }
        let latency = self.pipeline.latency().unwrap_or_default().as_secs_f64();
        let queue = ((before + 1) * BLOCK_LEN) as f64 / rate_bytes_per_s as f64;
        let promised = Duration::from_secs_f64((OVERDUE_TIMES * (latency + queue)).min(3600.0));
        promised.max(OVERDUE_MIN)
    }

    /// A block arrived.
    pub fn arrived(&mut self, block: BlockRef, now: Instant) -> Arrival {
        if let Some(place) = self.owed.iter().position(|sent| sent.block == block) {
            let Some(sent) = self.owed.remove(place) else { return Arrival::Unasked };
            self.delivered(now);
            self.pipeline.arrived(block.len_bytes(), sent.at, now);
            return Arrival::Owed;
        }
        match self.given_up.iter().position(|given_up| *given_up == block) {
            Some(place) => {
                self.given_up.remove(place);
                self.delivered(now);
                Arrival::Late
            }
            None => Arrival::Unasked,
        }
    }

    /// Takes one request back; true when it was outstanding.
    pub fn give_up(&mut self, block: BlockRef) -> bool {
        let Some(place) = self.owed.iter().position(|sent| sent.block == block) else {
            return false;
        };
        self.owed.remove(place);
        self.remember(block);
        true
    }

    /// When this block was asked for, if it is owed.
    pub fn asked_at(&self, block: BlockRef) -> Option<Instant> {
        self.owed.iter().find(|sent| sent.block == block).map(|sent| sent.at)
    }

    /// The remote refused this block. BEP 6: also a request that was taken back is answered,
    /// so a late refusal is no offence.
    pub fn refused(&mut self, block: BlockRef) -> Arrival {
        if let Some(place) = self.owed.iter().position(|sent| sent.block == block) {
            self.owed.remove(place);
            return Arrival::Owed;
        }
        match self.given_up.iter().position(|given_up| *given_up == block) {
            Some(place) => {
                self.given_up.remove(place);
                self.timed_out = self.timed_out.saturating_sub(1);
                Arrival::Late
            }
            None => Arrival::Unasked,
        }
    }

    /// The remote forgot all requests (BEP 3: a choke voids them); returns those that were
    /// outstanding.
    pub fn voided(&mut self) -> Vec<BlockRef> {
        self.timed_out = 0;
        self.give_up_all()
    }

    /// The remote chokes us: it owes nothing from now on, and its silence means nothing.
    pub fn choked(&mut self, now: Instant) {
        self.snubbed = false;
        self.passed_over = false;
        self.quiet_since = now;
    }

    /// It is silent, and others get what it owed.
    pub fn passed_over(&mut self) {
        self.passed_over = !self.snubbed;
    }

    /// Was the block asked for on this link and taken back, so that it may still come?
    pub fn may_still_bring(&self, block: BlockRef) -> bool {
        self.given_up.contains(&block)
    }

    /// The remote answered, though without data: it is not silent.
    pub fn answered(&mut self, now: Instant) {
        self.delivered(now);
    }

    /// All requests are void; returns the blocks.
    pub fn give_up_all(&mut self) -> Vec<BlockRef> {
        let blocks: Vec<_> = self.owed.drain(..).map(|sent| sent.block).collect();
        blocks.iter().for_each(|block| self.remember(*block));
        blocks
    }

    /// The outstanding blocks, the one asked last first, with the number of requests before
    /// it.
    pub fn from_last(&self) -> impl Iterator<Item = (usize, BlockRef)> + '_ {
        self.owed.iter().enumerate().rev().map(|(before, sent)| (before, sent.block))
    }

    /// When the link counts as snubbing, unless payload comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let is_due = !self.owed.is_empty() || self.passed_over;
        is_due.then_some(self.progress + SNUB_AFTER)
    }

    /// If the deadline has passed: marks the link as snubbing and returns its blocks, to be
    /// asked for elsewhere. They are still welcome if they come.
    pub fn check_deadline(&mut self, now: Instant) -> Vec<BlockRef> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.snubbed = true;
        self.passed_over = false;
        self.pipeline.collapse();
        self.timed_out += self.owed.len();
        self.give_up_all()
    }

    /// We kept the link from reading: its silence does not count.
    pub fn excuse(&mut self, now: Instant) {
        if !self.owed.is_empty() || self.passed_over || self.snubbed {
            self.progress = now;
            self.quiet_since = now;
        }
        let due = now + OVERDUE_MIN;
        self.owed.iter_mut().for_each(|sent| sent.due = sent.due.max(due));
    }

    /// Requests that are overdue by the rate that the link had when they were made: the remote
    /// has forgotten them, or has become slower.
    pub fn overdue(&self, now: Instant) -> impl Iterator<Item = BlockRef> + '_ {
        self.owed.iter().filter(move |sent| sent.due <= now).map(|sent| sent.block)
    }

    /// Takes an overdue request back. For a while the link is asked for nothing more of that
    /// piece: the same block, asked again, would only stand farther back in the remote's queue.
    pub fn give_back(&mut self, block: BlockRef, now: Instant) {
        if self.give_up(block) {
            self.gave_back.insert(block.piece(), now + GIVEN_BACK_FOR);
        }
    }

    /// The remote refused blocks of this piece: it is not asked for more of it until then.
    pub fn give_back_refused(&mut self, piece: PieceIndex, until: Instant) {
        let known = self.gave_back.entry(piece).or_insert(until);
        *known = until.max(*known);
    }

    /// It may be asked for this piece again.
    pub fn take_again(&mut self, piece: PieceIndex) {
        self.gave_back.remove(&piece);
    }

    /// Did it give blocks of this piece back not long ago?
    pub fn gave_back(&self, piece: PieceIndex, now: Instant) -> bool {
        self.gave_back.get(&piece).is_some_and(|until| now < *until)
    }

    /// Forgets what was given back long ago; true when there was such a piece, of which it may be
    /// asked again.
    pub fn forget_given_back(&mut self, now: Instant) -> bool {
        let before = self.gave_back.len();
        self.gave_back.retain(|_, until| now < *until);
        self.gave_back.len() < before
    }

    /// How long nothing has come although something is owed.
    pub fn silent_for(&self, now: Instant) -> Duration {
        if self.owed.is_empty() && !self.snubbed && !self.passed_over {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.quiet_since)
    }

    fn delivered(&mut self, now: Instant) {
        self.progress = now;
        self.quiet_since = now;
        self.snubbed = false;
        self.passed_over = false;
        self.timed_out = 0;
    }

    fn remember(&mut self, block: BlockRef) {
        if self.given_up.len() == GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::Layout;

    fn blocks() -> Vec<BlockRef> {
        let layout = Layout::new(1 << 20, 1 << 20).unwrap();
        layout.blocks(layout.piece(0).unwrap()).collect()
    }

    #[test]
    fn arrivals_are_owed_late_or_unasked() {
        let (now, blocks) = (Instant::now(), blocks());
        let mut requests = Requests::new(250, now);
        requests.sent(&blocks[..3], 0, now);
        assert_eq!(requests.arrived(blocks[1], now), Arrival::Owed);
        assert_eq!(requests.arrived(blocks[1], now), Arrival::Unasked);
        assert!(requests.give_up(blocks[2]));
        assert!(!requests.give_up(blocks[2]));
        assert_eq!(requests.arrived(blocks[2], now), Arrival::Late);
        assert_eq!(requests.arrived(blocks[9], now), Arrival::Unasked);
        assert_eq!(requests.outstanding(), 1);
    }

    #[test]
    fn silence_with_requests_out_is_a_snub_and_delivery_ends_it() {
        let (start, blocks) = (Instant::now(), blocks());
        let mut requests = Requests::new(250, start);
        assert_eq!(requests.deadline(), None);
        let later = start + Duration::from_secs(60);
        requests.sent(&blocks[..3], 0, later);
        assert_eq!(requests.deadline(), Some(later + SNUB_AFTER));
        assert!(requests.check_deadline(later + SNUB_AFTER / 2).is_empty());
        assert_eq!(requests.check_deadline(later + SNUB_AFTER), blocks[..3]);
        assert!(requests.is_snubbed());
        assert_eq!(requests.pipeline.target(), 1);
        // A probe that is not answered is given up as well, and the silence goes on.
        requests.sent(&blocks[3..4], 0, later + SNUB_AFTER);
        assert_eq!(requests.check_deadline(later + SNUB_AFTER * 2), blocks[3..4]);
        assert_eq!(requests.silent_for(later + SNUB_AFTER * 2), SNUB_AFTER * 2);
        assert_eq!(requests.arrived(blocks[0], later + SNUB_AFTER * 2), Arrival::Late);
        assert!(!requests.is_snubbed());
    }

    #[test]
    fn a_forgotten_request_is_given_back_although_others_are_answered() {
        let (start, blocks) = (Instant::now(), blocks());
        let limit = Duration::from_secs(20);
        let mut requests = Requests::new(250, start);
        requests.sent(&blocks[..2], 0, start);
        requests.arrived(blocks[1], start + limit / 2);
        requests.sent(&blocks[2..3], 0, start + limit / 2);
        let overdue: Vec<_> = requests.overdue(start + limit).collect();
        assert_eq!(overdue, blocks[..1]);
        requests.give_back(blocks[0], start + limit);
        assert!(requests.gave_back(blocks[0].piece(), start + limit));
        assert!(!requests.gave_back(blocks[0].piece(), start + limit + GIVEN_BACK_FOR));
        assert_eq!(requests.outstanding(), 1);
        assert_eq!(requests.arrived(blocks[0], start + limit), Arrival::Late);
    }

    #[test]
    fn silence_that_is_our_own_doing_is_excused() {
        let (start, blocks) = (Instant::now(), blocks());
        let mut requests = Requests::new(250, start);
        requests.sent(&blocks[..1], 0, start);
        requests.excuse(start + SNUB_AFTER);
        assert_eq!(requests.deadline(), Some(start + SNUB_AFTER * 2));
    }

    #[test]
    fn deep_pipelines_are_refilled_in_strides() {
        let (now, blocks) = (Instant::now(), blocks());
        let mut requests = Requests::new(250, now);
        assert_eq!(requests.room(), 10);
        requests.sent(&blocks[..10], 0, now);
        requests.arrived(blocks[0], now);
        assert!(requests.room() >= 1, "shallow ones at once");
    }
}

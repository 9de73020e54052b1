//! Runs of pieces that are ordered of servers. The pieces of a run are reserved: they
//! stand in no picker, and none is open before its first byte comes. What is ordered of which
//! link, how far that has come, and what is given back is kept here; which run comes next is in
//! `gaps`, what follows from all that in `leases`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::base::ids::{LinkId, SourceId};
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::meter::RateMeter;
use crate::base::units::BLOCK_LEN;
use crate::swarm::link::Run;

use super::requests::SNUB_AFTER;

/// Runs that one link has at most: the one at hand and the next.
const ORDERS_MAX: usize = 2;
/// The next run is ordered when less is left of the one at hand than comes in this time, and at
/// least this: the request is at the server before the answer at hand ends.
const AHEAD_S: f64 = 0.5;
const AHEAD_BYTES: u64 = 256 << 10;
/// So long after a link is up nobody knows how fast it is, and nothing is taken from it.
const NEW: Duration = Duration::from_millis(500);
/// What is expected of a link of which nothing is known, in seconds.
const UNKNOWN_S: f64 = 1.0;
/// A server that was asked has so long for the first byte before it counts as silent: whoever asks
/// it gives up after 20 s, and knows better why.
const FIRST_BYTE_AFTER: Duration = Duration::from_secs(25);

/// What a run is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Pieces that nobody has begun.
    Reserved,
    /// One that is begun.
    Begun,
    /// A file that is sent only as a whole, from its first byte on.
    WholeFile,
}

/// One run as it was ordered, and how far it has come.
#[derive(Debug)]
struct Order {
    /// Which of the link's runs it is, counted from 0.
    number: u64,
    kind: Kind,
    first: u32,
    /// No piece before this one is reserved any more: its first byte came, or that of a later one.
    next: u32,
    end: u32,
    /// Where it ended when it was ordered: what lies behind its end may still come.
    ordered_end: u32,
    /// Pieces in it that are fetched by others or here already; they come all the same.
    holes: BTreeSet<u32>,
    /// How far in the torrent it has come, in bytes.
    came_to: u64,
    /// Something of it came.
    has_come: bool,
}

impl Order {
    fn reserved(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        (self.next..self.end).filter(|piece| !self.holes.contains(piece))
    }

    fn is_void(&self) -> bool {
        self.first >= self.end
    }

    /// Nothing is wanted from this piece on. The pieces that were reserved.
    fn cut(&mut self, from: u32) -> Vec<u32> {
        let from = from.max(self.first);
        let cut = self.reserved().filter(|piece| *piece >= from).collect();
        self.end = self.end.min(from);
        self.next = self.next.min(self.end);
        cut
    }

    /// Where it ends, in bytes of the torrent.
    fn end_byte(&self, layout: &Layout) -> u64 {
        (u64::from(self.end) * u64::from(layout.piece_len())).min(layout.total_len())
    }
}

/// What a block that came means for the run that it belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Reserved pieces that were passed over: nothing came of them.
    passed: Vec<u32>,
    /// The first block of a reserved piece: it is begun now.
    begins: bool,
}

impl Step {
    /// Reserved pieces that were passed over.
    pub(super) fn passed(&self) -> &[u32] {
        &self.passed
    }

    /// Is the block's piece begun by it?
    pub(super) fn begins(&self) -> bool {
        self.begins
    }
}

/// A link to a server of files.
#[derive(Debug)]
pub(super) struct RunLink {
    source: SourceId,
    up_since: Instant,
    orders: VecDeque<Order>,
    /// The number of the next one.
    next_number: u64,
    /// Blocks of begun pieces that are to come.
    owed: BTreeSet<BlockRef>,
    meter: RateMeter,
    /// A run came whole: the server can be asked ahead.
    is_clean: bool,
    /// A piece came whole.
    brought: bool,
    /// The last time that payload came, or that the first run was ordered.
    progress: Instant,
    is_silent: bool,
    idle_since: Instant,
    /// Since when it is far slower than the best one.
    slow_since: Option<Instant>,
    /// Where its last run ended when it was ordered.
    last_end: Option<u32>,
    /// Nothing was found for it as things stood then.
    nothing_in: Option<Looked>,
}

/// As things stood when a run was looked for: what could be begun, what sources could bring,
/// whether it was to follow another run, and whether something was left to peers.
pub(super) type Looked = (u64, u64, bool, bool);

impl RunLink {
    fn new(source: SourceId, now: Instant) -> Self {
        Self {
            source,
            up_since: now,
            orders: VecDeque::new(),
            next_number: 0,
            owed: BTreeSet::new(),
            meter: RateMeter::new(now),
            is_clean: false,
            brought: false,
            progress: now,
            is_silent: false,
            idle_since: now,
            slow_since: None,
            last_end: None,
            nothing_in: None,
        }
    }

    /// The server.
    pub(super) fn source(&self) -> SourceId {
        self.source
    }

    /// Is it too early to say how fast it is?
    pub(super) fn is_new(&self, now: Instant) -> bool {
        now < self.up_since + NEW
    }

    /// Is nothing ordered of it?
    pub(super) fn is_idle(&self) -> bool {
        self.orders.iter().all(Order::is_void)
    }

    /// Since when nothing is ordered of it.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Has a run of it come whole?
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Did it bring a whole piece?
    pub(super) fn brought(&self) -> bool {
        self.brought
    }

    /// It brought a whole piece.
    pub(super) fn note_piece(&mut self) {
        self.brought = true;
    }

    /// Has nothing come for long, although something is ordered?
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Payload from it, in bytes a second.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    /// The same, as people are shown it.
    pub(super) fn shown_rate(&self, now: Instant) -> u64 {
        self.meter.shown(now)
    }

    /// Payload of so many bytes came.
    pub(super) fn received(&mut self, bytes: u64, now: Instant) {
        self.meter.add(bytes, now);
        if bytes > 0 {
            self.excuse(now);
        }
    }

    /// Its silence so far does not count.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.progress = now;
        self.is_silent = false;
    }

    /// Blocks of begun pieces that are to come, in order.
    pub(super) fn owed(&self) -> impl DoubleEndedIterator<Item = BlockRef> + '_ {
        self.owed.iter().copied()
    }

    /// It is to bring these blocks.
    pub(super) fn owes(&mut self, blocks: impl IntoIterator<Item = BlockRef>) {
        self.owed.extend(blocks);
    }

    /// It is not to bring the block any more; was it?
    pub(super) fn settle(&mut self, block: BlockRef) -> bool {
        self.owed.remove(&block)
    }

    /// It is not to bring any block any more; those that it was to bring.
    pub(super) fn settle_all(&mut self) -> Vec<BlockRef> {
        std::mem::take(&mut self.owed).into_iter().collect()
    }

    /// Takes what is left of one piece.
    fn settle_of(&mut self, is_over: impl Fn(u32) -> bool) -> Vec<BlockRef> {
        self.owed.extract_if(.., |block| is_over(block.piece().number())).collect()
    }

    /// May another run be ordered now, with this one? Not ahead of a server that was never asked.
    pub(super) fn has_room(&self, layout: &Layout, now: Instant) -> bool {
        let Some(order) = self.orders.front() else { return true };
        if self.orders.iter().all(Order::is_void) {
            return self.orders.len() < ORDERS_MAX;
        }
        let ahead = ((self.rate(now) as f64 * AHEAD_S) as u64).max(AHEAD_BYTES);
        let left = order.end_byte(layout).saturating_sub(order.came_to);
        self.is_clean && !self.is_silent && self.orders.len() < ORDERS_MAX && left < ahead
    }

    /// Nothing was found for it as things stand.
    pub(super) fn found_nothing(&mut self, looked: Looked) {
        self.nothing_in = Some(looked);
    }

    /// Was nothing found for it as things stand?
    pub(super) fn has_nothing_in(&self, looked: Looked) -> bool {
        self.nothing_in == Some(looked)
    }

    /// Where its last run ended when it was ordered, in pieces. The next one best begins there; one
    /// that is ordered ahead begins there or behind, so that a word about the end of the first
    /// says nothing of it.
    pub(super) fn last_end(&self) -> Option<u32> {
        self.last_end
    }

    /// A run is ordered, without the pieces in `holes`.
    pub(super) fn order(
        &mut self,
        run: Run,
        holes: BTreeSet<u32>,
        kind: Kind,
        layout: &Layout,
        now: Instant,
    ) {
        if self.is_idle() {
            self.excuse(now);
        }
        let first = run.first.number();
        self.last_end = Some(run.end);
        let number = self.next_number;
        self.next_number += 1;
        self.orders.push_back(Order {
            number,
            kind,
            first,
            next: if kind == Kind::Begun { run.end } else { first },
            end: run.end,
            ordered_end: run.end,
            holes,
            came_to: layout.piece_offset(run.first) + u64::from(run.skip) * BLOCK_LEN as u64,
            has_come: false,
        });
    }

    /// A block came. None when it is in no run of this link.
    pub(super) fn came(&mut self, block: BlockRef, layout: &Layout) -> Option<Step> {
        let piece = block.piece().number();
        let is_in = |order: &Order| (order.first..order.ordered_end).contains(&piece);
        // What is still to come of a run that is over by our will may overlap with the next one.
        let at = self.orders.iter().position(|order| !order.is_void() && is_in(order));
        let at = at.or_else(|| self.orders.iter().position(is_in))?;
        let order = &mut self.orders[at];
        order.came_to = layout.block_offset(block) + u64::from(block.len_bytes());
        order.has_come = true;
        if piece < order.next || piece >= order.end {
            return Some(Step::default());
        }
        let passed = (order.next..piece).filter(|it| !order.holes.contains(it)).collect();
        order.next = piece + 1;
        Some(Step { passed, begins: !order.holes.contains(&piece) })
    }

    /// Nothing is wanted from this piece on; the pieces that were reserved.
    pub(super) fn shorten(&mut self, from: u32, now: Instant) -> Vec<u32> {
        let was_idle = self.is_idle();
        let cut = self.orders.iter_mut().flat_map(|order| order.cut(from)).collect();
        if self.is_idle() && !was_idle {
            self.idle_since = now;
            // Whoever takes all of it does so because nothing came. The server is still to answer.
            self.is_silent |= self.is_late(now);
        }
        cut
    }

    /// Has nothing come for so long that others may bring all that it was to bring?
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.progress + SNUB_AFTER
    }

    /// Is the piece in one of its runs, as they were ordered?
    pub(super) fn is_ordered(&self, piece: PieceIndex) -> bool {
        let is_in = |it: &Order| (it.first..it.ordered_end).contains(&piece.number());
        self.orders.iter().any(is_in)
    }

    /// The last piece that is reserved for it.
    pub(super) fn last(&self) -> Option<u32> {
        self.orders.iter().rev().find_map(|order| order.reserved().next_back())
    }

    /// Is something left for it when the last piece that is reserved goes to another?
    pub(super) fn can_spare(&self, now: Instant) -> bool {
        !self.owed.is_empty() || self.reserved().nth(1).is_some() || self.is_late(now)
    }

    /// The first piece that is reserved for it.
    pub(super) fn next(&self) -> Option<u32> {
        self.orders.iter().find_map(|order| order.reserved().next())
    }

    /// The pieces that are reserved for it, the last run first if it is behind the others.
    pub(super) fn reserved(&self) -> impl Iterator<Item = u32> + '_ {
        self.orders.iter().flat_map(Order::reserved)
    }

    /// Seconds until its last run has come, at its rate; never when nothing comes for long.
    pub(super) fn expected_s(&self, layout: &Layout, now: Instant) -> f64 {
        let left = |order: &Order| order.end_byte(layout).saturating_sub(order.came_to);
        let left: u64 = self.orders.iter().filter(|order| !order.is_void()).map(left).sum();
        match self.rate(now) {
            _ if self.is_silent || self.is_late(now) => f64::INFINITY,
            0 if left > 0 => UNKNOWN_S + left as f64 / (1 << 20) as f64,
            rate => left as f64 / rate.max(1) as f64,
        }
    }

    /// The run of this number is over, and with `is_done` all of it came: what was reserved behind
    /// that, and blocks that will not come. Else those behind it are void, too. None when no such
    /// run is ordered any more.
    pub(super) fn ended(&mut self, number: u64, is_done: bool, now: Instant) -> Option<Ended> {
        let at = self.orders.iter().position(|order| order.number == number)?;
        // Each has its end told, in their order, but for those that are void after another's.
        let over: Vec<Order> = self.orders.drain(..=at).collect();
        let was_whole = over.last().is_some_and(|order| order.kind == Kind::WholeFile);
        let (mut given_back, mut unsent) = (Vec::new(), Vec::new());
        // What we took back before a byte of it came has its end told, too.
        let answers = !is_done || over.iter().any(|order| order.has_come);
        for mut order in over {
            let is_void = order.is_void();
            given_back.extend(order.cut(0));
            let range = order.first..order.ordered_end;
            unsent.extend(self.settle_of(|piece| !is_void && range.contains(&piece)));
        }
        let voids_others = !is_done && !self.orders.is_empty();
        if is_done {
            self.is_clean |= answers;
        } else {
            self.orders.iter_mut().for_each(|order| given_back.extend(order.cut(0)));
            self.orders.clear();
            unsent.extend(self.settle_all());
        }
        if self.is_idle() {
            self.idle_since = now;
        }
        if answers {
            self.excuse(now);
        }
        Some(Ended { given_back, unsent, voids_others, was_whole })
    }

    /// When it counts as silent, unless payload comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let has_come = self.orders.iter().any(|order| order.has_come);
        let patience = if has_come { SNUB_AFTER } else { FIRST_BYTE_AFTER };
        (!self.is_idle() && !self.is_silent).then_some(self.progress + patience)
    }

    /// If the deadline has passed, it is silent from now on. Is that news?
    pub(super) fn check_deadline(&mut self, now: Instant) -> bool {
        let is_news = self.deadline().is_some_and(|deadline| deadline <= now);
        self.is_silent |= is_news;
        is_news
    }

    /// How long nothing has come although something is ordered.
    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        match self.is_idle() {
            true => Duration::ZERO,
            false => now.saturating_duration_since(self.progress),
        }
    }

    /// Whether it is far slower than the best one at present; since when it is.
    pub(super) fn note_slow(&mut self, is_slow: bool, now: Instant) -> Option<Instant> {
        self.slow_since = is_slow.then(|| *self.slow_since.get_or_insert(now));
        self.slow_since
    }

    /// Is a piece reserved for it?
    fn holds(&self, piece: u32) -> bool {
        let holds = |order: &Order| {
            (order.next..order.end).contains(&piece) && !order.holes.contains(&piece)
        };
        self.orders.iter().any(holds)
    }

    /// The parts of the torrent that it is on, in pieces.
    fn spans(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.orders.iter().filter(|order| !order.is_void()).map(|order| order.first..order.end)
    }
}

/// What is left of a run that is over.
#[derive(Debug, Default)]
pub(super) struct Ended {
    given_back: Vec<u32>,
    unsent: Vec<BlockRef>,
    voids_others: bool,
    was_whole: bool,
}

impl Ended {
    /// Were runs ordered behind it that are void now?
    pub(super) fn voids_others(&self) -> bool {
        self.voids_others
    }

    /// Was it of a file that is sent only as a whole?
    pub(super) fn was_whole(&self) -> bool {
        self.was_whole
    }

    /// Pieces that were reserved, and blocks that were to come.
    pub(super) fn into_parts(self) -> (Vec<u32>, Vec<BlockRef>) {
        (self.given_back, self.unsent)
    }
}

/// All links to servers of files, and those that are on their way.
#[derive(Debug, Default)]
pub(super) struct Runs {
    links: BTreeMap<LinkId, RunLink>,
    /// Links that are to be, each with its source.
    leases: BTreeMap<LinkId, SourceId>,
}

impl Runs {
    /// Links that are up.
    pub(super) fn links(&self) -> impl Iterator<Item = (LinkId, &RunLink)> {
        self.links.iter().map(|(link, it)| (*link, it))
    }

    /// The same, to be changed.
    pub(super) fn links_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut RunLink)> {
        self.links.iter_mut().map(|(link, it)| (*link, it))
    }

    /// A link that is up.
    pub(super) fn link(&self, link: LinkId) -> Option<&RunLink> {
        self.links.get(&link)
    }

    /// The same, to be changed.
    pub(super) fn link_mut(&mut self, link: LinkId) -> Option<&mut RunLink> {
        self.links.get_mut(&link)
    }

    /// Links that are on their way.
    pub(super) fn leases(&self) -> impl Iterator<Item = (LinkId, SourceId)> + '_ {
        self.leases.iter().map(|(link, source)| (*link, *source))
    }

    /// A link is on its way.
    pub(super) fn leased(&mut self, link: LinkId, source: SourceId) {
        self.leases.insert(link, source);
    }

    /// A link is up, if it was on its way; to which source.
    pub(super) fn up(&mut self, link: LinkId, now: Instant) -> Option<SourceId> {
        let source = self.leases.remove(&link)?;
        self.links.insert(link, RunLink::new(source, now));
        Some(source)
    }

    /// A link will not come up; to which source it was on its way.
    pub(super) fn lease_over(&mut self, link: LinkId) -> Option<SourceId> {
        self.leases.remove(&link)
    }

    /// A link is over; what is left of it.
    pub(super) fn remove(&mut self, link: LinkId) -> Option<RunLink> {
        self.links.remove(&link)
    }

    /// Links to a source, on their way or up.
    pub(super) fn count(&self, source: SourceId) -> usize {
        let up = self.links.values().filter(|link| link.source == source).count();
        up + self.leases.values().filter(|other| **other == source).count()
    }

    /// Is the piece reserved for a run?
    pub(super) fn holds(&self, piece: PieceIndex) -> bool {
        self.links.values().any(|link| link.holds(piece.number()))
    }

    /// Is any piece reserved?
    pub(super) fn have_reserved(&self) -> bool {
        self.links.values().any(|link| link.next().is_some())
    }

    /// Is anything ordered?
    pub(super) fn are_busy(&self) -> bool {
        self.links.values().any(|link| !link.is_idle())
    }

    /// Do the parts that links are on end right before this piece?
    pub(super) fn come_to(&self, piece: u32) -> bool {
        self.links.values().flat_map(RunLink::spans).any(|span| span.end == piece)
    }

    /// How many links reserve the piece; for those who look for mistakes.
    pub(super) fn times_reserved(&self, piece: PieceIndex) -> usize {
        self.links.values().filter(|link| link.holds(piece.number())).count()
    }
}

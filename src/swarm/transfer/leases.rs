//! Links to servers of files: how many are wished of which source, what their ends mean, and what
//! time makes of them. What is ordered of them is in `orders`.

use std::time::{Duration, Instant};

use crate::base::ids::{LinkId, SourceId};
use crate::base::layout::{BlockRef, PieceIndex};
use crate::swarm::effects::Effects;
use crate::swarm::event::{DownReason, WebSource};
use crate::swarm::link::{CloseReason, Endpoint, LinkCommand, LinkEvent};
use crate::swarm::report::{SourceSnapshot, SourceState};
use crate::swarm::sources::{Ground, is_in};
use crate::swarm::waits::Cause;

use super::gaps::gaps;
use super::orders::LOOK_AGAIN;
use super::runs::RunLink;
use super::{SILENT_MAX, Transfer};

/// A link is worth its while if there is so much to fetch for each.
const LINK_BYTES: u64 = 1 << 20;
/// Sources that are used together, of lists that may name hundreds.
const SOURCES_AT_ONCE: usize = 4;
/// A link that nothing is ordered of is given back after this time.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// A source so many times slower than the best one, for so long, is left alone.
const SLOW_TIMES: u64 = 20;
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// When it is to be looked at who may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    /// Something has changed.
    is_due: bool,
    /// What could be begun at the last look.
    generation: u64,
    /// Time alone will change something then.
    next: Option<Instant>,
    /// When those who have nothing to do were looked at.
    bored_at: Instant,
}

impl Looks {
    /// Nothing was looked at yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { is_due: true, generation: 0, next: None, bored_at: now }
    }
}

impl Transfer {
    /// There are these sources, too.
    pub(in crate::swarm) fn on_sources(&mut self, told: Vec<WebSource>, out: &mut Effects) {
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        self.sources.tell(told, ground);
        self.look_at_sources(out);
    }

    /// The user will have nothing of these, or whatever they bring.
    pub(in crate::swarm) fn bar_sources(
        &mut self,
        sources: &[SourceId],
        are_barred: bool,
        now: Instant,
        out: &mut Effects,
    ) {
        for source in sources {
            self.sources.bar(*source, are_barred);
            self.part_with_off(*source, now, out);
        }
        self.look_at_sources(out);
    }

    /// No connection to the source is to be had at present.
    pub(in crate::swarm) fn on_source_waits(
        &mut self,
        source: SourceId,
        until: Option<Instant>,
        why: &str,
        out: &mut Effects,
    ) {
        self.sources.waits(source, until, why);
        self.look_at_sources(out);
    }

    /// Other links may be of use than before.
    pub(in crate::swarm) fn look_at_sources(&mut self, out: &mut Effects) {
        self.looks.is_due = true;
        out.look_at_cause();
    }

    /// The sources to which a link more is wished, each as often as that.
    pub(in crate::swarm) fn wished(&mut self, now: Instant, out: &mut Effects) -> Vec<SourceId> {
        let is_time = self.looks.next.is_some_and(|at| at <= now);
        let is_other = self.looks.generation != self.picker.generation();
        if self.sources.is_empty() || !(self.looks.is_due || is_time || is_other) {
            return Vec::new();
        }
        let may_fetch = || self.may_begin() || self.assembly.orphans().next().is_some();
        if !self.is_complete() && (self.checking.in_trouble() || !may_fetch()) {
            // It is looked at when that is over.
            self.looks.is_due = true;
            self.looks.next = None;
            return Vec::new();
        }
        self.looks.is_due = false;
        self.looks.generation = self.picker.generation();
        self.looks.next = None;
        if self.is_complete() {
            return Vec::new();
        }
        self.part_with_useless(now, out);
        let wished = self.wish(now);
        self.looks.next = self.sources.next_change(now);
        wished
    }

    fn wish(&mut self, now: Instant) -> Vec<SourceId> {
        let (mut wished, mut used) = (Vec::new(), 0);
        // Links that have nothing yet take what there is before others do.
        let idle = self.runs.links().filter(|(_, it)| it.is_idle()).map(|(_, it)| it.source());
        let coming = self.runs.leases().map(|(_, source)| source);
        let coming = coming.filter(|source| !self.sources.is_waiting(*source));
        let mut waiting_of: Vec<SourceId> = idle.chain(coming).collect();
        for source in self.sources.fit(now) {
            if used == SOURCES_AT_ONCE {
                break;
            }
            if self.sources.is_slow(source, now) && used > 0 {
                continue;
            }
            let share = |other: &&SourceId| self.sources.share(source, **other);
            let waiting = waiting_of.iter().filter(share).count();
            let count = self.runs.count(source);
            let worth = self.worth(source, now);
            // What its links have in reserve keeps them busy, and nobody else.
            let all = worth + self.reserved_links(source);
            let most = all.min(self.sources.links_max(source));
            let more = most.saturating_sub(count).min(worth.saturating_sub(waiting));
            wished.extend(std::iter::repeat_n(source, more));
            waiting_of.extend(std::iter::repeat_n(source, more));
            // Whoever cannot be had, for want of a connection, keeps nobody else out.
            let is_used = count + more > 0 && !self.sources.is_waiting(source);
            used += usize::from(is_used);
        }
        wished
    }

    /// For how many links there is something to fetch from the source.
    fn worth(&mut self, source: SourceId, now: Instant) -> usize {
        let most = self.sources.links_max(source) as u64 * 4 * LINK_BYTES;
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now).to_vec();
        let mut bytes = 0;
        let crumbs = if self.peers_deliver() { self.sources.crumbs() } else { &[] };
        for gap in gaps(&self.picker, &ranges, crumbs) {
            bytes += u64::from(gap.end - gap.start) * u64::from(self.layout.piece_len());
            if bytes >= most {
                break;
            }
        }
        let links = bytes.div_ceil(LINK_BYTES) as usize;
        if links > 0 {
            return links;
        }
        let is_last = self.orphan(source, false, now).is_some()
            || self.runs.count(source) == 0 && self.whole_file(source, now).is_some();
        usize::from(is_last)
    }

    /// The same, for what is reserved for links to it: rounded down, for each of those has less.
    fn reserved_links(&self, source: SourceId) -> usize {
        let links = self.runs.links().filter(|(_, it)| it.source() == source);
        let pieces: usize = links.map(|(_, it)| it.reserved().count()).sum();
        (pieces as u64 * u64::from(self.layout.piece_len()) / LINK_BYTES) as usize
    }

    /// A source is far slower than others, which will do without it.
    pub(super) fn is_left_alone(&self, source: SourceId, now: Instant) -> bool {
        let is_other =
            |it: &RunLink| it.source() != source && !self.sources.is_slow(it.source(), now);
        self.sources.is_slow(source, now) && self.runs.links().any(|(_, it)| is_other(it))
    }

    /// A link is named that is to go to the source.
    pub(in crate::swarm) fn leased(&mut self, link: LinkId, source: SourceId) {
        self.runs.leased(link, source);
    }

    /// A link is up. False when it is none to a source.
    pub(in crate::swarm) fn on_lease_up(
        &mut self,
        link: LinkId,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        let Some(source) = self.runs.up(link, now) else { return false };
        self.sources.waits_no_more(source);
        out.look_at_cause();
        self.fill_run(link, now, out);
        true
    }

    /// A link, or the wait for it, has ended. False when it was none to a source.
    pub(in crate::swarm) fn on_lease_down(
        &mut self,
        link: LinkId,
        reason: &DownReason,
        now: Instant,
        out: &mut Effects,
    ) -> bool {
        if let Some(source) = self.runs.lease_over(link) {
            // One connection more than a server has room for says nothing of the others, nor does
            // one that could not leave.
            if !is_of_ours(reason) {
                self.sources.link_ended(source, false, &reason.to_string(), now);
            }
            self.look_at_sources(out);
            return true;
        }
        let Some(it) = self.runs.link(link) else { return false };
        let (source, brought) = (it.source(), it.brought());
        let owed = it.owed().next().map(BlockRef::piece);
        let at = owed.or_else(|| self.layout.piece(it.next()?));
        let is_its_own = !is_of_ours(reason) && !matches!(reason, DownReason::Closed(_));
        if let Some(piece) = at.filter(|_| is_its_own) {
            self.sources.broke_at(source, piece, now);
        }
        // Who made way for others, or had nothing to do, has not failed.
        if brought || !is_of_ours(reason) {
            self.sources.link_ended(source, brought, &reason.to_string(), now);
        }
        self.part_with(link, now, out);
        true
    }

    /// What was ordered of a link that is over is given back.
    fn part_with(&mut self, link: LinkId, now: Instant, out: &mut Effects) {
        let Some(mut it) = self.runs.remove(link) else { return };
        for block in it.settle_all() {
            self.release(link, block);
        }
        self.free_owned(link);
        let reserved: Vec<u32> = it.reserved().collect();
        self.give_back(&reserved, now, out);
        self.look_at_sources(out);
    }

    /// Ends a link, or the wait for it.
    pub(super) fn close_lease(
        &mut self,
        link: LinkId,
        reason: CloseReason,
        now: Instant,
        out: &mut Effects,
    ) {
        let lease = self.runs.lease_over(link);
        if let Some(source) = lease.filter(|source| self.runs.count(*source) == 0) {
            self.sources.waits_no_more(source);
        }
        if lease.is_some() || self.runs.link(link).is_some() {
            self.part_with(link, now, out);
            out.send(link, LinkCommand::Close(reason));
        }
    }

    /// Ends all links to sources.
    pub(in crate::swarm) fn close_leases(
        &mut self,
        reason: CloseReason,
        now: Instant,
        out: &mut Effects,
    ) {
        self.looks.next = None;
        for link in self.leases_of(|_| true) {
            self.close_lease(link, reason, now, out);
        }
    }

    /// Links to sources for which this holds, up or on their way.
    fn leases_of(&self, is_it: impl Fn(SourceId) -> bool) -> Vec<LinkId> {
        let up = self.runs.links().map(|(link, it)| (link, it.source()));
        up.chain(self.runs.leases()).filter(|(_, it)| is_it(*it)).map(|(link, _)| link).collect()
    }

    /// A source that is never to be asked again has no links.
    pub(super) fn part_with_off(&mut self, source: SourceId, now: Instant, out: &mut Effects) {
        if !self.sources.is_off(source) {
            return;
        }
        for link in self.leases_of(|other| other == source) {
            self.close_lease(link, CloseReason::NothingLeft, now, out);
        }
    }

    /// Links to sources that have nothing of what is missing end at once.
    fn part_with_useless(&mut self, now: Instant, out: &mut Effects) {
        let idle = self.runs.links().filter(|(_, it)| it.is_idle());
        let idle = idle.map(|(link, it)| (link, it.source()));
        let idle: Vec<_> = idle.chain(self.runs.leases()).collect();
        for (link, source) in idle {
            if !self.is_of_use(source, now) {
                self.close_lease(link, CloseReason::NothingLeft, now, out);
            }
        }
    }

    /// Can the source bring anything that is missing and not at the check?
    fn is_of_use(&mut self, source: SourceId, now: Instant) -> bool {
        if self.worth(source, now) > 0 || !self.sources.whole_only(source, now).is_empty() {
            return true;
        }
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now);
        let reserved = self.runs.links().flat_map(|(_, it)| it.reserved());
        let begun = self.assembly.pieces().map(PieceIndex::number);
        reserved.chain(begun).any(|number| is_in(ranges, number))
    }

    /// Something that a link to a source reports.
    pub(super) fn on_lease_event(
        &mut self,
        link: LinkId,
        event: LinkEvent,
        now: Instant,
        out: &mut Effects,
    ) {
        match event {
            LinkEvent::Blocks(blocks) => self.on_run_blocks(link, blocks, now, out),
            LinkEvent::RunEnded { number, why, .. } => {
                self.on_run_ended(link, number, why, now, out);
            }
            LinkEvent::Stray(bytes) => self.totals.wasted(u64::from(bytes)),
            // What only peers say.
            _ => {}
        }
    }

    /// A source sent a wrong piece, or a part of one.
    pub(super) fn blame_source(
        &mut self,
        source: SourceId,
        piece: PieceIndex,
        now: Instant,
        out: &mut Effects,
    ) {
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        self.sources.sent_wrong(source, piece, ground, now);
        if self.sources.is_off(source) {
            self.part_with_off(source, now, out);
            self.distrust(Endpoint::Source(source));
        } else {
            self.cut_runs(source, now, out);
        }
        self.look_at_sources(out);
    }

    /// Runs of the source end before the first piece that it is not to bring any more.
    fn cut_runs(&mut self, source: SourceId, now: Instant, out: &mut Effects) {
        let ground = Ground { layout: &self.layout, extents: &self.extents };
        let ranges = self.sources.ranges(source, ground, now).to_vec();
        let links = self.runs.links().filter(|(_, it)| it.source() == source);
        let cuts = links.filter_map(|(link, it)| {
            let first = it.reserved().find(|number| !is_in(&ranges, *number))?;
            Some((link, first))
        });
        for (link, from) in cuts.collect::<Vec<_>>() {
            let cut = self.shorten(link, from, now, out);
            self.give_back(&cut, now, out);
        }
    }
}

/// What time makes of links to sources.
impl Transfer {
    /// Whoever has nothing to do is looked at again: links to sources, and peers that may take a
    /// piece from a run.
    pub(super) fn settle_leases(&mut self, now: Instant, out: &mut Effects) {
        if self.sources.is_empty() || self.is_complete() {
            return;
        }
        if self.checking.in_trouble() {
            // Nothing more is to come than what is begun.
            let links: Vec<_> = self.runs.links().map(|(link, _)| link).collect();
            return links.into_iter().for_each(|link| self.give_up_reserved(link, now, out));
        }
        let is_time = now >= self.looks.bored_at + LOOK_AGAIN;
        let is_other = self.looks.generation != self.picker.generation() || self.looks.is_due;
        if !is_time && !is_other {
            return;
        }
        let idle = self.runs.links().filter(|(_, it)| it.is_idle()).map(|(link, _)| link);
        let idle: Vec<_> = idle.collect();
        idle.into_iter().for_each(|link| self.fill_run(link, now, out));
        if is_time {
            self.looks.bored_at = now;
            if self.runs.have_reserved() {
                let bored: Vec<_> = self.hungry.links().collect();
                bored.into_iter().for_each(|link| self.fill(link, now, out));
            }
        }
    }

    /// When time alone will change something for them.
    pub(super) fn next_lease_timeout(&self) -> Option<Instant> {
        if self.sources.is_empty() || self.is_complete() {
            return None;
        }
        let links = || self.runs.links();
        let deadlines = links().filter_map(|(_, it)| it.deadline());
        let idle = links().filter(|(_, it)| it.is_idle()).map(|(_, it)| it.idle_since() + IDLE_MAX);
        let is_bored = !self.checking.in_trouble()
            && (links().any(|(_, it)| it.is_idle())
                || !self.hungry.is_empty() && self.runs.have_reserved());
        let bored = is_bored.then(|| self.looks.bored_at + LOOK_AGAIN);
        deadlines.chain(idle).chain(bored).chain(self.looks.next).min()
    }

    /// Time has passed; silence of links is our own doing if `ours`.
    pub(super) fn check_leases(&mut self, ours: bool, now: Instant, out: &mut Effects) {
        let links: Vec<_> = self.runs.links().map(|(link, _)| link).collect();
        for link in links {
            let Some(it) = self.runs.link_mut(link) else { continue };
            if ours {
                it.excuse(now);
            }
            if it.check_deadline(now) {
                // What it has begun is still welcome; all else is for others.
                let owed = it.settle_all();
                owed.into_iter().for_each(|block| self.release(link, block));
                self.free_owned(link);
                self.give_up_reserved(link, now, out);
                out.look_at_cause();
            }
            let Some(it) = self.runs.link(link) else { continue };
            if it.is_idle() && now >= it.idle_since() + IDLE_MAX {
                if it.is_silent() {
                    let why = "it was asked and sent nothing for long";
                    self.sources.link_ended(it.source(), false, why, now);
                }
                self.close_lease(link, CloseReason::NothingLeft, now, out);
            }
        }
    }

    /// What is done now and then: silent links end, and far slower sources are left alone.
    pub(super) fn tidy_leases(&mut self, now: Instant, out: &mut Effects) {
        if self.sources.is_empty() {
            return;
        }
        self.looks.is_due = true;
        out.look_at_cause();
        let silent = self.runs.links().filter(|(_, it)| it.silent_for(now) >= SILENT_MAX);
        let silent: Vec<_> = silent.map(|(link, it)| (link, it.source(), it.brought())).collect();
        for (link, source, brought) in silent {
            let why = "it sent nothing for 70 s";
            self.sources.link_ended(source, brought, why, now);
            self.close_lease(link, CloseReason::TimedOut(why), now, out);
        }
        let busy = || self.runs.links().filter(|(_, it)| !it.is_idle());
        let best = busy().map(|(_, it)| (it.rate(now), it.source())).max();
        let Some((best, best_source)) = best else { return };
        // Others have room, if the best one may have another link.
        let has_room = self.runs.count(best_source) < self.sources.links_max(best_source);
        let mut slow = Vec::new();
        for (link, it) in self.runs.links_mut() {
            let is_slow = !it.is_idle() && it.rate(now).saturating_mul(SLOW_TIMES) < best;
            let since = it.note_slow(is_slow && it.source() != best_source, now);
            if since.is_some_and(|since| now >= since + SLOW_AFTER) && has_room {
                slow.push((link, it.source()));
            }
        }
        for (link, source) in slow {
            self.sources.slow(source, now);
            self.give_up_reserved(link, now, out);
            self.look_at_sources(out);
        }
    }
}

/// What people may know of sources.
impl Transfer {
    /// All sources as of now.
    pub(in crate::swarm) fn sources(&self, now: Instant) -> Vec<SourceSnapshot> {
        let snapshot = |source| {
            let links = || self.runs.links().filter(|(_, it)| it.source() == source);
            Some(SourceSnapshot {
                source,
                state: self.sources.state(source, now)?,
                links: links().count() as u32,
                coming: self.runs.leases().filter(|(_, other)| *other == source).count() as u32,
                busy: links().filter(|(_, it)| !it.is_idle()).count() as u32,
                down_rate: links().map(|(_, it)| it.shown_rate(now)).sum(),
                downloaded_bytes: self.sources.downloaded_bytes(source),
                files: self.sources.files(source, now),
            })
        };
        self.sources.ids().filter_map(snapshot).collect()
    }

    /// Is a run under way, and does it come?
    pub(in crate::swarm) fn are_runs_coming(&self, now: Instant) -> bool {
        let comes = |it: &RunLink| !it.is_idle() && !it.is_silent() && !it.is_late(now);
        self.runs.links().any(|(_, it)| comes(it))
    }

    /// Why nothing comes from sources, if it is for them that something does not; none when there
    /// are none, or they have nothing of what is missing.
    pub(in crate::swarm) fn source_cause(&self, now: Instant) -> Option<Cause> {
        if self.sources.is_empty() || !self.is_anything_left_to_fetch() {
            return None;
        }
        let is_slow = |source| self.sources.state(source, now) == Some(SourceState::Slow);
        let is_silent = self.runs.links().any(|(_, it)| it.is_silent());
        if self.runs.are_busy() || is_silent || self.sources.ids().any(is_slow) {
            return Some(Cause::SourceSlow);
        }
        let is_coming = self.runs.leases().next().is_some();
        if is_coming || self.sources.any_rests(now) {
            return Some(Cause::SourceWaits);
        }
        let is_all = self.sources.differ() && !self.may_sources_help();
        is_all.then_some(Cause::SourcesDiffer)
    }

    /// Is there a missing piece that a source may bring some day?
    pub(in crate::swarm) fn may_sources_help(&self) -> bool {
        let mut missing = self.layout.pieces().filter(|piece| self.goal.lacks(*piece));
        !self.sources.is_empty()
            && missing.any(|piece| self.sources.may_bring(piece, self.ground()))
    }

    /// May a source bring the piece some day?
    pub(super) fn may_source_bring(&self, piece: PieceIndex) -> bool {
        !self.sources.is_empty() && self.sources.may_bring(piece, self.ground())
    }
}

/// Did it end for want of a place, or of a way out? Neither says anything of a server.
fn is_of_ours(reason: &DownReason) -> bool {
    matches!(reason, DownReason::NoRoom | DownReason::Held(_))
}

//! The far side of a link to a server of files, with the hand that asks it: runs are fetched block
//! by block in order, one after the other, and each end is told once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pigeon::base::extents::Extents;
use pigeon::base::ids::{FileIndex, LinkId, SourceId};
use pigeon::base::layout::{BlockRef, Layout, PieceIndex};
use pigeon::swarm::link::{LinkCaps, Run, RunEnd, Trouble, Unit};

use super::link::Truth;

/// The character of a server and of the lines to it.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Bytes a second of each link.
    pub rate: u64,
    /// One way.
    pub latency: Duration,
    pub truth: Truth,
    /// After so many blocks on a link it breaks.
    pub resets_after: Option<u64>,
    /// After so many blocks on a link nothing comes for so long.
    pub stalls: Option<(u64, Duration)>,
    /// Files that cannot be had: for so long, or for good.
    pub off: BTreeMap<FileIndex, Option<Duration>>,
    /// Files that are sent from the first byte on only.
    pub whole_only: Vec<FileIndex>,
    /// Until then nobody is let in.
    pub closed_until: Duration,
    /// The only file that it has.
    pub only: Option<FileIndex>,
    /// Links to it, most of them: others wait.
    pub slots: usize,
}

impl Manner {
    /// Has everything and sends it at this rate.
    pub fn sound(rate: u64, latency: Duration) -> Self {
        Self {
            rate,
            latency,
            truth: Truth::Honest,
            resets_after: None,
            stalls: None,
            off: BTreeMap::new(),
            whole_only: Vec::new(),
            closed_until: Duration::ZERO,
            only: None,
            slots: 8,
        }
    }
}

pub fn caps() -> LinkCaps {
    LinkCaps {
        unit: Unit::Run,
        chokes: false,
        pipeline_max: 2,
        can_upload_to: false,
        fast: true,
        extended: false,
        mse: None,
        is_way_unsure: false,
    }
}

/// What the server sends next.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    Block(BlockRef),
    Ended(u64, u32, RunEnd),
    Reset,
    Stall(Duration),
}

#[derive(Debug)]
struct Work {
    number: u64,
    next: u32,
    block: u32,
    end: u32,
    has_begun: bool,
}

/// A link to a server.
#[derive(Debug)]
pub struct Served {
    pub server: usize,
    pub is_sending: bool,
    works: VecDeque<Work>,
    next_number: u64,
    sent: u64,
    has_stalled: bool,
}

impl Served {
    pub fn new(server: usize) -> Self {
        let works = VecDeque::new();
        Self { server, is_sending: false, works, next_number: 0, sent: 0, has_stalled: false }
    }

    pub fn ordered(&mut self, run: Run) {
        let first = run.first.number();
        assert!(self.works.len() < 2, "at most one run waits");
        assert!(first < run.end, "a run has pieces");
        let number = self.next_number;
        self.next_number += 1;
        self.works.push_back(Work {
            number,
            next: first,
            block: run.skip,
            end: run.end,
            has_begun: false,
        });
    }

    /// Nothing is wanted from this piece on; what is over by that.
    pub fn shortened(&mut self, end: u32) -> Vec<Sent> {
        self.works.iter_mut().for_each(|work| work.end = work.end.min(end));
        self.over()
    }

    fn over(&mut self) -> Vec<Sent> {
        let mut ends = Vec::new();
        while let Some(work) = self.works.pop_front_if(|work| work.next >= work.end) {
            ends.push(Sent::Ended(work.number, work.end, RunEnd::Done));
        }
        ends
    }

    pub fn has_work(&self) -> bool {
        !self.works.is_empty()
    }

    /// What comes next, when the line has taken it.
    pub fn next(&mut self, manner: &Manner, layout: &Layout, extents: &Extents) -> Vec<Sent> {
        if let Some((after, time)) = manner.stalls
            && self.sent == after
            && !std::mem::replace(&mut self.has_stalled, true)
        {
            return vec![Sent::Stall(time)];
        }
        self.sent += 1;
        if manner.resets_after.is_some_and(|after| self.sent > after) {
            return vec![Sent::Reset];
        }
        let Some(work) = self.works.front_mut() else { return Vec::new() };
        let piece = layout.piece(work.next).expect("runs are of pieces that exist");
        if (work.block == 0 || !work.has_begun)
            && let Some(why) = trouble(manner, work, piece, layout, extents)
        {
            let (number, at) = (work.number, work.next);
            self.works.clear();
            return vec![Sent::Ended(number, at, why)];
        }
        work.has_begun = true;
        let block = layout.block(piece, work.block).expect("a block of the piece");
        work.block += 1;
        if work.block == layout.block_count(piece) {
            (work.next, work.block) = (work.next + 1, 0);
        }
        let mut slices = extents.slices(layout.block_offset(block), u64::from(block.len_bytes()));
        let mut sent = Vec::new();
        if !slices.all(|slice| slice.is_pad) {
            sent.push(Sent::Block(block));
        }
        sent.extend(self.over());
        sent
    }
}

fn trouble(
    manner: &Manner,
    work: &Work,
    piece: PieceIndex,
    layout: &Layout,
    extents: &Extents,
) -> Option<RunEnd> {
    let skipped = u64::from(work.block) * 16384;
    let begin = layout.piece_offset(piece) + skipped;
    let len = u64::from(layout.len_of(piece)) - skipped;
    for slice in extents.slices(begin, len).filter(|slice| !slice.is_pad) {
        if let Some(rest) = manner.off.get(&slice.file) {
            let trouble = Trouble { why: "404".into(), rest: *rest };
            return Some(RunEnd::File(slice.file, trouble));
        }
        let is_middle = !work.has_begun && slice.offset_in_file > 0;
        if is_middle && manner.whole_only.contains(&slice.file) {
            return Some(RunEnd::WholeOnly(slice.file));
        }
    }
    None
}

/// All servers of a world, and the links to them.
#[derive(Debug, Default)]
pub struct Servers {
    pub manners: Vec<Manner>,
    pub links: BTreeMap<LinkId, Served>,
    /// Links that wait to be let in.
    pub waiting: BTreeMap<LinkId, SourceId>,
    pub runs: u32,
    pub shortened: u32,
    pub troubles: u32,
    pub resets: u32,
    pub stalls: u32,
    pub waits: u32,
    pub blamed: u32,
}

//! What is asked of a server over one connection after the other, and what comes of it: heads are
//! judged before a byte behind them counts, bodies are cut into the blocks of the runs at hand.
//! Fed with bytes by `Inbound`; it owns no socket and decides nothing about connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::base::extents::{Extents, FileSlice};
use crate::base::layout::Layout;
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::link::dialect::Intake;
use crate::swarm::link::{LinkEvent, Run, RunEnd};
use crate::web::chunked::{Chunked, Span};
use crate::web::head::{BodyLen, Head, HeadReader};
use crate::web::range::{Asked as Wish, SKIP_MAX, Verdict};
use crate::wire::Need;

use super::work::Work;

/// Bytes that nobody wants and that are read all the same, so that the connection can be used
/// again: a new one costs as many in slow start.
const SURPLUS_MAX: u64 = 256 * 1024;
/// What comes in the fifth part of a second may be thrown away in front of what was asked for.
const SKIP_PART: u64 = 5;
/// Bytes of a page that says why not which are kept.
const PAGE_KEPT: usize = 1024;
/// The least that is left of an answer when the next one is asked for.
const AHEAD_MIN: u64 = 64 * 1024;
/// The most: what is on a line of 1 Gbit/s and 125 ms.
const AHEAD_MAX: u64 = 16 << 20;
/// So many times what comes until an answer begins, on average so far: it may become faster.
const AHEAD_TIMES: u64 = 2;

/// The talk with a server.
#[derive(Debug)]
pub(super) struct Exchange {
    layout: Layout,
    extents: Arc<Extents>,
    /// The server is a script (BEP 17).
    is_script: bool,
    /// The run at hand, and perhaps the next one, each with its number.
    works: VecDeque<(u64, Work)>,
    next_work: u64,
    /// A run has come to its end.
    has_run: bool,
    /// What was asked for over this connection; the first is being answered.
    asked: VecDeque<Asked>,
    expect: Expect,
    /// What the last answer says, when that is not what was asked for.
    told: Option<Told>,
    /// The connection cannot be used any more.
    is_spent: bool,
    /// The last answer ended with less than a block of what was asked for.
    is_poor: bool,
    /// Bytes that were taken in since this was last asked.
    bytes: u64,
    /// Answers that came to their right end since this was last asked.
    answers: u32,
    /// Those of this connection.
    clean: u32,
    /// How fast the last answer came that brought something, in bytes per second.
    rate: u64,
}

/// One GET.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// For which run.
    work: u64,
    slice: FileSlice,
    at: Instant,
}

#[derive(Debug)]
enum Expect {
    Head(HeadReader),
    Body(Box<Body>),
}

/// The body that comes.
#[derive(Debug)]
struct Body {
    left: Left,
    /// Bytes that stand before those that were asked for.
    skip: u64,
    /// Bytes that were asked for.
    take: u64,
    /// Bytes behind them, or that nobody wants any more.
    surplus: u64,
    is_whole: bool,
    /// The connection can be used again afterwards.
    keeps_alive: bool,
    is_http_11: bool,
    /// It is a page that says why not: its beginning, and what its head says.
    page: Option<(Vec<u8>, Head, Verdict)>,
    begun: Instant,
    /// How long its head took to come.
    latency: Duration,
    taken: u64,
}

/// How much of a body is to come.
#[derive(Debug)]
enum Left {
    Known(u64),
    Chunked(Chunked),
    ToEnd,
}

/// An answer that brings nothing of what was asked for.
#[derive(Debug)]
pub(super) struct Told {
    /// What its head comes to.
    pub verdict: Verdict,
    /// The head.
    pub head: Head,
    /// What was asked for.
    pub slice: FileSlice,
    /// The page that came with it, its beginning.
    pub page: Vec<u8>,
}

impl Exchange {
    pub fn new(layout: Layout, extents: Arc<Extents>, is_script: bool) -> Self {
        Self {
            layout,
            extents,
            is_script,
            works: VecDeque::new(),
            next_work: 0,
            has_run: false,
            asked: VecDeque::new(),
            expect: Expect::Head(HeadReader::new()),
            told: None,
            is_spent: false,
            is_poor: false,
            bytes: 0,
            answers: 0,
            clean: 0,
            rate: 0,
        }
    }

    /// Another connection: nothing was asked for over it, and so many answers have come over it
    /// that were right.
    pub fn begin_connection(&mut self, clean: u32) {
        self.asked.clear();
        self.expect = Expect::Head(HeadReader::new());
        self.told = None;
        self.is_spent = false;
        self.is_poor = false;
        self.clean = clean;
        self.works.iter_mut().for_each(|(_, work)| work.ask_again());
    }

    /// Fetches a run behind those at hand.
    pub fn fetch(&mut self, run: Run, events: &mut Vec<LinkEvent>) {
        let work = Work::new(run, self.layout, self.extents.clone());
        self.works.push_back((self.next_work, work));
        self.next_work += 1;
        self.end_done(events);
    }

    /// Of all runs, nothing is wanted from this piece on.
    pub fn shorten(&mut self, end_piece: u32, events: &mut Vec<LinkEvent>) {
        self.works.iter_mut().for_each(|(_, work)| work.shorten(end_piece));
        self.end_done(events);
        self.look_at_end(events);
    }

    /// The run at hand is over, and what waits behind it is dropped.
    pub fn end_run(&mut self, why: RunEnd, events: &mut Vec<LinkEvent>) {
        self.tell_arrived(events);
        if let Some((number, work)) = self.works.front() {
            events.push(LinkEvent::RunEnded { number: *number, at: work.reached(), why });
        }
        self.works.clear();
    }

    /// Are there no runs?
    pub fn is_idle(&self) -> bool {
        self.works.is_empty()
    }

    /// Has a run come to its end, and the next one, if there is one, not begun?
    pub fn is_between_runs(&self) -> bool {
        self.has_run
            && self.asked.is_empty()
            && self.works.iter().all(|(_, work)| !work.has_begun())
    }

    /// What is to be asked for next. Of the next run only when all of the one at hand was.
    pub fn next_ask(&self) -> Option<FileSlice> {
        self.works.iter().find_map(|(_, work)| work.next_ask())
    }

    /// That was asked for.
    pub fn on_asked(&mut self, now: Instant) {
        let next = self.works.iter_mut().find_map(|(id, work)| Some((*id, work.next_ask()?, work)));
        if let Some((id, slice, work)) = next {
            work.on_asked(slice);
            self.asked.push_back(Asked { work: id, slice, at: now });
        }
    }

    /// Is there an answer to come?
    pub fn is_answering(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Has the head of the answer at hand come?
    pub fn is_in_body(&self) -> bool {
        matches!(self.expect, Expect::Body(_))
    }

    /// How a slice is asked for.
    pub fn wish(&self, slice: FileSlice) -> Wish {
        let file = self.extents.file_range(slice.file);
        Wish { first: slice.offset_in_file, len: slice.len, file_len: file.end - file.start }
    }

    /// May the next thing be asked for, before the answer at hand has come whole? That is when
    /// less of it is left than comes in the time that the next answer takes to begin. Only who has
    /// answered well over this connection is asked so.
    pub fn may_ask_ahead(&self, now: Instant) -> bool {
        let Expect::Body(body) = &self.expect else { return false };
        let is_good = body.page.is_none() && body.keeps_alive && body.is_http_11;
        is_good && self.clean > 0 && self.asked.len() == 1 && body.take <= body.ahead(now)
    }

    /// What the last answer says, when it has come whole and is not what was asked for.
    pub fn take_told(&mut self) -> Option<Told> {
        self.told.take()
    }

    /// Has an answer ended with less than a block, while more was asked for, since this was last
    /// asked? Who answers so without end would be asked without end.
    pub fn take_poor(&mut self) -> bool {
        std::mem::take(&mut self.is_poor)
    }

    /// Can the connection not be used any more?
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Bytes that came since this was last asked, and answers that came to their right end.
    pub fn take_counts(&mut self) -> (u64, u32) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.answers))
    }

    /// Answers that have come over this connection and were right.
    pub fn clean(&self) -> u32 {
        self.clean
    }

    /// The remote has closed its side: was that the end of the answer at hand?
    pub fn on_end(&mut self, events: &mut Vec<LinkEvent>) -> bool {
        let is_end = matches!(&self.expect, Expect::Body(body) if matches!(body.left, Left::ToEnd));
        if is_end {
            self.end_answer(events);
        }
        self.is_spent = true;
        is_end
    }

    /// Ends the runs of which all has come, each with its word.
    fn end_done(&mut self, events: &mut Vec<LinkEvent>) {
        while self.works.front().is_some_and(|(_, work)| work.is_done()) {
            self.tell_arrived(events);
            if let Some((number, work)) = self.works.pop_front() {
                let why = RunEnd::Done;
                events.push(LinkEvent::RunEnded { number, at: work.reached(), why });
                self.has_run = true;
            }
        }
    }

    fn tell_arrived(&mut self, events: &mut Vec<LinkEvent>) {
        if let Some((_, work)) = self.works.front_mut() {
            let arrived = work.take_arrived();
            if !arrived.is_empty() {
                events.push(LinkEvent::Blocks(arrived));
            }
        }
    }

    /// The run that the answer at hand is for, as long as its bytes are wanted.
    fn work(&self) -> Option<&Work> {
        let (id, work) = self.works.front()?;
        let asked = self.asked.front()?;
        (*id == asked.work && work.wanted(1) > 0).then_some(work)
    }

    fn feed_head(&mut self, bytes: &[u8], events: &mut Vec<LinkEvent>) -> Result<usize, String> {
        let Expect::Head(reader) = &mut self.expect else { return Ok(0) };
        let (used, head) = reader.feed(bytes).map_err(|flaw| flaw.to_string())?;
        if let Some(head) = head {
            self.on_head(head);
            // What brings nothing may end with its head.
            self.look_at_end(events);
        }
        Ok(used)
    }

    fn on_head(&mut self, head: Head) {
        let now = Instant::now();
        let Some(asked) = self.asked.front().copied() else { return };
        let of_run = self.work().map_or(0, Work::skip_max);
        let skip_max = SKIP_MAX.max(self.rate / SKIP_PART).max(of_run);
        let wish = self.wish(asked.slice);
        let verdict = match self.is_script {
            true => wish.judge_script(&head, SystemTime::now()),
            false => wish.judge(&head, skip_max, SystemTime::now()),
        };
        let left = match head.body {
            BodyLen::Known(len) => Left::Known(len),
            BodyLen::Chunked => Left::Chunked(Chunked::new()),
            BodyLen::ToEnd => Left::ToEnd,
        };
        let (keeps_alive, is_http_11) = (head.keeps_alive, head.is_http_11);
        let is_whole = head.body == BodyLen::Known(0);
        let (skip, take, page) = match verdict {
            Verdict::Take { skip, len, .. } => (skip, len, None),
            verdict => (0, 0, Some((Vec::new(), head, verdict))),
        };
        self.expect = Expect::Body(Box::new(Body {
            left,
            skip,
            take,
            surplus: 0,
            is_whole,
            keeps_alive,
            is_http_11,
            page,
            begun: now,
            latency: now.saturating_duration_since(asked.at),
            taken: 0,
        }));
    }

    /// Takes in bytes of the body; returns how many, 0 when it lacks a block to put them in.
    fn feed_body(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String> {
        let most = self.most(!blocks.is_empty());
        let Expect::Body(body) = &mut self.expect else { return Ok(0) };
        let here = bytes.len().min(most);
        let span = match &mut body.left {
            Left::Known(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(here);
                *left -= data as u64;
                Span { framing: 0, data, is_end: *left == 0 }
            }
            Left::ToEnd => Span { framing: 0, data: here, is_end: false },
            Left::Chunked(chunked) => {
                chunked.advance(bytes, most).map_err(|flaw| flaw.to_string())?
            }
        };
        body.is_whole = span.is_end;
        let end = span.framing + span.data;
        self.take_in(bytes.get(span.framing..end).unwrap_or_default(), blocks);
        self.end_done(events);
        self.look_at_end(events);
        Ok(end)
    }

    /// How many bytes of the body can be taken in at once, all of them in one way.
    fn most(&self, has_block: bool) -> usize {
        let Expect::Body(body) = &self.expect else { return 0 };
        let most = match self.work() {
            _ if body.page.is_some() => u64::MAX,
            _ if body.skip > 0 => body.skip,
            _ if body.take == 0 => u64::MAX,
            None => body.take,
            Some(work) => work.wanted(body.take).min(work.room(has_block) as u64),
        };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// Takes in bytes of the file, or of a page: no more than can be at once.
    fn take_in(&mut self, data: &[u8], blocks: &mut Vec<Block>) {
        let is_wanted = self.work().is_some();
        let Expect::Body(body) = &mut self.expect else { return };
        let len = data.len() as u64;
        if let Some((page, ..)) = &mut body.page {
            let kept = PAGE_KEPT.saturating_sub(page.len());
            page.extend(data.iter().take(kept));
            body.surplus += len;
        } else if body.skip > 0 {
            body.skip -= len;
        } else if body.take == 0 || !is_wanted {
            body.take = body.take.saturating_sub(len);
            body.surplus += len;
        } else if let Some((_, work)) = self.works.front_mut() {
            work.fill(data, blocks);
            body.take -= len;
            body.taken += len;
            self.bytes += len;
        }
    }

    /// Has the answer at hand come whole, or is the rest of it not worth reading?
    fn look_at_end(&mut self, events: &mut Vec<LinkEvent>) {
        let is_wanted = self.work().is_some();
        let Expect::Body(body) = &self.expect else { return };
        let is_too_much = body.is_too_much(is_wanted);
        // What ends with the connection has come whole when all of the part has.
        let is_all = matches!(body.left, Left::ToEnd) && body.page.is_none() && body.take == 0;
        if body.is_whole || is_too_much || is_all {
            self.is_spent |= !body.is_whole;
            self.end_answer(events);
        }
    }

    /// The answer at hand has come to its end, or no more of it is read.
    fn end_answer(&mut self, events: &mut Vec<LinkEvent>) {
        let next = Expect::Head(HeadReader::new());
        let is_wanted = self.work().is_some();
        let Expect::Body(body) = std::mem::replace(&mut self.expect, next) else { return };
        let body = *body;
        let Some(asked) = self.asked.pop_front() else { return };
        self.is_spent |= !body.keeps_alive || !body.is_whole;
        if let Some((page, head, verdict)) = body.page {
            // What was asked for behind it is asked for again, if at all.
            self.is_spent |= !self.asked.is_empty();
            self.works.iter_mut().for_each(|(_, work)| work.ask_again());
            self.told = Some(Told { verdict, head, slice: asked.slice, page });
            return;
        }
        if body.taken > 0 {
            self.rate = body.rate(Instant::now());
        }
        self.end_done(events);
        if is_wanted && body.taken < asked.slice.len.min(BLOCK_LEN as u64) {
            self.is_poor = true;
        } else if body.take == 0 {
            self.answers += 1;
            self.clean += 1;
        }
        match self.asked.front() {
            // It may have sent less than it was asked for (RFC 9110 §14.2).
            None => self.works.iter_mut().for_each(|(_, work)| work.ask_again()),
            Some(next) => {
                // What comes is for bytes behind those that are to come first.
                let is_behind = |(id, work): &(u64, Work)| {
                    *id < next.work || *id == next.work && !work.is_at(next.slice)
                };
                self.is_spent |= self.works.front().is_some_and(is_behind);
            }
        }
    }
}

impl Body {
    /// Is more of it of no use than is read for the sake of the connection?
    fn is_too_much(&self, is_wanted: bool) -> bool {
        let left = match &self.left {
            Left::Known(left) if self.take == 0 || !is_wanted => *left,
            _ => 0,
        };
        self.surplus.saturating_add(left) > SURPLUS_MAX
    }

    /// How fast it has come, from when it was asked for, in bytes per second.
    fn rate(&self, now: Instant) -> u64 {
        let elapsed = self.latency.saturating_add(now.saturating_duration_since(self.begun));
        self.taken.saturating_mul(1_000_000) / micros(elapsed)
    }

    /// Bytes that come in the time that an answer takes to begin.
    fn ahead(&self, now: Instant) -> u64 {
        let elapsed = micros(now.saturating_duration_since(self.begun));
        let latencies = micros(self.latency).saturating_mul(AHEAD_TIMES);
        let ahead = self.taken.saturating_mul(latencies) / elapsed;
        ahead.clamp(AHEAD_MIN, AHEAD_MAX)
    }
}

/// At least one.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

impl Intake for Exchange {
    fn room(&self, blocks: usize) -> usize {
        let filling = self.works.front().map_or(0, |(_, work)| work.filling_left());
        let of_blocks = filling + blocks * BLOCK_LEN;
        match &self.expect {
            Expect::Body(body) if body.page.is_some() || body.take == 0 => SURPLUS_MAX as usize,
            _ => of_blocks,
        }
    }

    fn need(&self) -> Need {
        let Expect::Body(body) = &self.expect else { return Need::Nothing };
        let is_content = body.page.is_none() && body.skip == 0 && body.take > 0;
        match self.work() {
            Some(work) if is_content && !work.is_filling() => Need::Block,
            _ => Need::Nothing,
        }
    }

    fn grant(&mut self) {}

    fn is_collecting(&self) -> bool {
        false
    }

    fn is_filling(&self) -> bool {
        self.works.front().is_some_and(|(_, work)| work.is_filling())
    }

    fn begin_read(&mut self, _: Instant) {}

    fn feed(
        &mut self,
        bytes: &[u8],
        blocks: &mut Vec<Block>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<usize, String> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            // Nobody listens to what comes over a connection that is to be closed.
            self.is_spent |= self.asked.is_empty();
            if self.is_spent {
                return Ok(bytes.len());
            }
            used += match &self.expect {
                Expect::Head(_) => self.feed_head(rest, events)?,
                Expect::Body(_) => match self.feed_body(rest, blocks, events)? {
                    0 if self.need() == Need::Block => break,
                    used => used,
                },
            };
        }
        Ok(used)
    }

    fn end_read(&mut self, events: &mut Vec<LinkEvent>) {
        self.tell_arrived(events);
    }
}

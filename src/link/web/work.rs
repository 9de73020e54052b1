//! A run as bytes of files: what is to be asked for next, and how the bytes that come are cut into
//! blocks. No range leaves its file; pads and empty files are never asked for, and their zeros are
//! made here. Pure; nothing here knows HTTP.

use std::sync::Arc;

use crate::base::extents::{Extents, FileSlice};
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::Block;
use crate::base::units::BLOCK_LEN;
use crate::swarm::link::Run;

/// Zeros of pad files (BEP 47), which no server has.
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// A run that is being fetched. Positions are bytes of the torrent.
#[derive(Debug)]
pub(super) struct Work {
    layout: Layout,
    extents: Arc<Extents>,
    /// The number of the piece behind the last one that is wanted.
    end_piece: u32,
    is_of_whole_file: bool,
    begin: u64,
    end: u64,
    /// Where the next byte belongs.
    at: u64,
    /// What is before was asked for over the connection at hand.
    asked: u64,
    /// The block that comes.
    filling: Option<(BlockRef, Block)>,
    /// Those that are whole and that nobody was told of.
    arrived: Vec<(BlockRef, Block)>,
}

impl Work {
    pub fn new(run: Run, layout: Layout, extents: Arc<Extents>) -> Self {
        let skipped = u64::from(run.skip) * BLOCK_LEN as u64;
        let at = layout.piece_offset(run.first) + skipped;
        let mut work = Self {
            layout,
            extents,
            end_piece: run.end,
            is_of_whole_file: run.is_of_whole_file,
            begin: at,
            end: end_of(run.end, &layout),
            at,
            asked: at,
            filling: None,
            arrived: Vec::new(),
        };
        work.pass_pads();
        work.begin = work.at;
        work
    }

    /// Nothing is wanted from this piece on.
    pub fn shorten(&mut self, end_piece: u32) {
        if end_piece < self.end_piece {
            self.end_piece = end_piece;
            self.end = end_of(end_piece, &self.layout);
        }
        if self.is_done() {
            self.filling = None;
        }
    }

    /// Has all that is wanted come?
    pub fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Bytes of its first file that may be thrown away in front of it.
    pub fn skip_max(&self) -> u64 {
        let is_at_begin = self.is_of_whole_file && !self.has_begun();
        if is_at_begin { u64::from(self.layout.piece_len()) } else { 0 }
    }

    /// Has some of it come?
    pub fn has_begun(&self) -> bool {
        self.at > self.begin
    }

    /// The number of the first piece that has not come whole; the end of the run when all have.
    pub fn reached(&self) -> u32 {
        let piece = self.layout.piece_at(self.at).map_or(u32::MAX, PieceIndex::number);
        if self.is_done() { self.end_piece.min(piece) } else { piece }
    }

    /// What is to be asked for next: the rest of the run in its next file that is none of padding.
    pub fn next_ask(&self) -> Option<FileSlice> {
        let len = self.end.checked_sub(self.asked)?;
        self.extents.slices(self.asked, len).find(|slice| !slice.is_pad)
    }

    /// That was asked for.
    pub fn on_asked(&mut self, slice: FileSlice) {
        self.asked = self.offset_of(slice) + slice.len;
    }

    /// Nothing is asked for any more: what has not come has to be asked for again.
    pub fn ask_again(&mut self) {
        self.asked = self.at;
    }

    /// Is the next byte to come the first of this slice?
    pub fn is_at(&self, slice: FileSlice) -> bool {
        self.at == self.offset_of(slice)
    }

    /// How many bytes of those that come next belong to the run, of at most `most`, all of one
    /// file.
    pub fn wanted(&self, most: u64) -> u64 {
        self.end.saturating_sub(self.at).min(most)
    }

    /// Bytes that the block at hand still takes.
    pub fn filling_left(&self) -> usize {
        let filling = self.filling.as_ref();
        filling.map_or(0, |(block, data)| block.len_bytes() as usize - data.len_bytes())
    }

    /// Bytes that can be taken in at once: those of the block at hand, or of the next one if there
    /// is something to put it in.
    pub fn room(&self, has_block: bool) -> usize {
        match self.block_at(self.at) {
            _ if self.is_filling() => self.filling_left(),
            Some((block, before)) if has_block => block.len_bytes() as usize - before,
            _ => 0,
        }
    }

    /// Has a block begun that is not whole?
    pub fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// Takes in the next bytes of the file at hand, blocks from `blocks`; returns how many, fewer
    /// than all when there are no more blocks. They must not reach beyond what is
    /// [wanted](Self::wanted), nor beyond the file.
    pub fn fill(&mut self, bytes: &[u8], blocks: &mut Vec<Block>) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            if self.filling.is_none() && !self.begin_block(blocks) {
                break;
            }
            used += self.append(rest);
        }
        if used > 0 {
            self.pass_pads();
        }
        used
    }

    /// The blocks that have come whole since this was last asked.
    pub fn take_arrived(&mut self) -> Vec<(BlockRef, Block)> {
        std::mem::take(&mut self.arrived)
    }

    /// Begins the block of the next byte. What it has before that lies in pads.
    fn begin_block(&mut self, blocks: &mut Vec<Block>) -> bool {
        let Some((block, before)) = self.block_at(self.at) else { return false };
        let Some(mut empty) = blocks.pop() else { return false };
        empty.append(ZEROS.get(..before).unwrap_or_default());
        self.filling = Some((block, empty));
        true
    }

    /// Appends to the block at hand as much as it takes; returns how much that is.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let left = self.filling_left();
        let Some((_, data)) = &mut self.filling else { return 0 };
        let part = bytes.get(..left).unwrap_or(bytes);
        data.append(part);
        self.at += part.len() as u64;
        if part.len() == left {
            self.arrived.extend(self.filling.take());
        }
        part.len()
    }

    /// Goes over the pads that follow. A block that has begun gets its zeros; one of nothing else
    /// is made by nobody.
    fn pass_pads(&mut self) {
        while let Some(pad) = self.pad_here() {
            match self.filling_left() as u64 {
                0 => self.at += pad,
                left => {
                    let zeros = usize::try_from(pad.min(left)).unwrap_or(BLOCK_LEN);
                    self.append(ZEROS.get(..zeros).unwrap_or(&ZEROS));
                }
            }
        }
        self.asked = self.asked.max(self.at);
    }

    /// Bytes of the pad that the next byte belongs to, as far as the run goes.
    fn pad_here(&self) -> Option<u64> {
        let left = self.end.checked_sub(self.at).filter(|left| *left > 0)?;
        let slice = self.extents.slices(self.at, left).next()?;
        slice.is_pad.then_some(slice.len)
    }

    /// The block of this byte, and how many of its bytes are before it.
    fn block_at(&self, at: u64) -> Option<(BlockRef, usize)> {
        let piece = self.layout.piece_at(at)?;
        let within = at - self.layout.piece_offset(piece);
        let number = u32::try_from(within / BLOCK_LEN as u64).ok()?;
        let block = self.layout.block(piece, number)?;
        Some((block, (within % BLOCK_LEN as u64) as usize))
    }

    fn offset_of(&self, slice: FileSlice) -> u64 {
        self.extents.file_range(slice.file).start + slice.offset_in_file
    }
}

/// Where a piece begins, or the torrent ends.
fn end_of(piece: u32, layout: &Layout) -> u64 {
    let begin = layout.piece(piece).map(|piece| layout.piece_offset(piece));
    begin.unwrap_or_else(|| layout.total_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::base::ids::FileIndex;
    use crate::base::pool::BlockPool;

    /// What byte `offset` of the torrent is, when it is not of a pad.
    fn byte(offset: u64) -> u8 {
        (offset % 251) as u8 + 1
    }

    /// Plays a server: everything that is asked for comes, in parts of `part` bytes.
    fn fetch(work: &mut Work, extents: &Extents, pool: &BlockPool, part: usize) -> Vec<FileSlice> {
        let mut asked = Vec::new();
        while let Some(slice) = work.next_ask() {
            assert!(work.is_at(slice), "asked for what comes next");
            work.on_asked(slice);
            asked.push(slice);
            let begin = extents.file_range(slice.file).start + slice.offset_in_file;
            let bytes: Vec<u8> = (begin..begin + slice.len).map(byte).collect();
            let mut at = 0;
            while at < bytes.len() {
                let end = (at + part).min(bytes.len());
                let mut blocks = Vec::new();
                pool.take(1, &mut blocks);
                at += work.fill(&bytes[at..end], &mut blocks);
            }
        }
        asked
    }

    fn run(layout: &Layout, first: u32, end: u32) -> Run {
        Run { first: layout.piece(first).unwrap(), end, skip: 0, is_of_whole_file: false }
    }

    #[test]
    fn pads_and_empty_files_are_not_asked_for_and_a_shared_block_is_filled_from_both_files() {
        let files = [(10_000, false), (6_384, true), (0, false), (100, false), (40_000, false)];
        let extents = Arc::new(Extents::new(files));
        let layout = Layout::new(extents.total_len(), 32_768).unwrap();
        let pool = BlockPool::new(1 << 20);
        let mut work = Work::new(run(&layout, 0, 2), layout, extents.clone());
        let asked = fetch(&mut work, &extents, &pool, 7_777);
        let slice = |file, offset_in_file, len| FileSlice {
            file: FileIndex(file),
            offset_in_file,
            len,
            is_pad: false,
        };
        assert_eq!(asked, [slice(0, 0, 10_000), slice(3, 0, 100), slice(4, 0, 40_000)]);
        assert!(work.is_done() && work.reached() == 2);
        let arrived = work.take_arrived();
        assert_eq!(arrived.len(), 4);
        let first = arrived[0].1.bytes();
        assert!(first[9_999] == byte(9_999) && first[10_000..].iter().all(|zero| *zero == 0));
        let seam = arrived[1].1.bytes();
        assert_eq!((seam[99], seam[100]), (byte(16_483), byte(16_484)));
    }

    #[test]
    fn nothing_is_wanted_behind_a_new_end_and_what_was_begun_there_is_dropped() {
        let extents = Arc::new(Extents::new([(100_000, false)]));
        let layout = Layout::new(100_000, 20_000).unwrap();
        let pool = BlockPool::new(1 << 20);
        let mut work = Work::new(run(&layout, 1, 5), layout, extents);
        let mut blocks = Vec::new();
        pool.take(4, &mut blocks);
        assert_eq!(work.fill(&[1; 30_000], &mut blocks), 30_000);
        assert_eq!((work.reached(), work.is_filling()), (2, true));
        work.shorten(4);
        assert_eq!((work.wanted(u64::MAX), work.is_done()), (30_000, false));
        work.shorten(7);
        assert_eq!(work.next_ask().unwrap().len, 30_000, "what is here is not asked for");
        work.shorten(2);
        assert!(work.is_done() && !work.is_filling() && work.next_ask().is_none());
        assert_eq!((work.reached(), work.take_arrived().len()), (2, 2));
        drop(blocks);
        drop(work);
        assert_eq!(pool.in_use_blocks(), 0);
    }

    #[test]
    fn blocks_at_the_beginning_that_are_here_are_not_asked_for() {
        let extents = Arc::new(Extents::new([(20_000, false), (80_000, false)]));
        let layout = Layout::new(100_000, 50_000).unwrap();
        let pool = BlockPool::new(1 << 20);
        let part = Run { skip: 2, ..run(&layout, 0, 1) };
        let mut work = Work::new(part, layout, extents.clone());
        assert!(!work.has_begun());
        let asked = fetch(&mut work, &extents, &pool, 7_777);
        let begin = 2 * BLOCK_LEN as u64 - 20_000;
        let slices: Vec<_> = asked.iter().map(|it| (it.file, it.offset_in_file, it.len)).collect();
        assert_eq!(slices, [(FileIndex(1), begin, 50_000 - 20_000 - begin)]);
        let blocks: Vec<_> = work.take_arrived().iter().map(|(block, _)| block.begin()).collect();
        assert_eq!(blocks, [2 * BLOCK_LEN as u32, 3 * BLOCK_LEN as u32]);
    }

    proptest! {
        #[test]
        fn every_block_comes_once_in_order_with_the_bytes_of_its_files(
            files in proptest::collection::vec((0u64..50_000, any::<bool>()), 1..12),
            piece_len in 1u32..50_000,
            (first, count) in (0u32..40, 1u32..40),
            part in 1usize..40_000,
        ) {
            let extents = Arc::new(Extents::new(files));
            let layout = Layout::new(extents.total_len(), piece_len);
            prop_assume!(layout.is_some_and(|layout| first < layout.piece_count()));
            let layout = layout.unwrap();
            let end = (first + count).min(layout.piece_count());
            let pool = BlockPool::new(64 << 20);
            let mut work = Work::new(run(&layout, first, end), layout, extents.clone());
            let asked = fetch(&mut work, &extents, &pool, part);
            for slice in &asked {
                prop_assert!(!slice.is_pad && slice.len > 0);
                let file = extents.file_range(slice.file);
                prop_assert!(file.start + slice.offset_in_file + slice.len <= file.end);
            }
            prop_assert!(work.is_done() && !work.is_filling());
            prop_assert_eq!(work.reached(), end);

            let pieces = (first..end).filter_map(|number| layout.piece(number));
            let has_data = |block: &BlockRef| {
                let (begin, len) = (layout.block_offset(*block), block.len_bytes());
                extents.slices(begin, u64::from(len)).any(|slice| !slice.is_pad)
            };
            let wanted: Vec<_> =
                pieces.flat_map(|piece| layout.blocks(piece)).filter(has_data).collect();
            let arrived = work.take_arrived();
            let came: Vec<_> = arrived.iter().map(|(block, _)| *block).collect();
            prop_assert_eq!(&came, &wanted);
            for (block, data) in &arrived {
                prop_assert_eq!(data.len_bytes(), block.len_bytes() as usize);
                let mut at = layout.block_offset(*block);
                for slice in extents.slices(at, u64::from(block.len_bytes())) {
                    for _ in 0..slice.len {
                        let within = (at - layout.block_offset(*block)) as usize;
                        let expected = if slice.is_pad { 0 } else { byte(at) };
                        prop_assert_eq!(data.bytes()[within], expected);
                        at += 1;
                    }
                }
            }
        }
    }
}

//! The disk of the world: one worker with a delay, and hours in which it fails. Content is
//! one number a block, made of (seed, piece, block), so that nothing must be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use pigeon::base::extents::Extents;
use pigeon::base::layout::{BlockRef, Layout, PieceIndex};
use pigeon::base::pool::Block;
use pigeon::swarm::event::{Held, Input, Verdict};

/// The right content of a block: what is padding in its first eight bytes is zero.
pub fn content(seed: u64, layout: &Layout, extents: &Extents, block: BlockRef) -> u64 {
    let mut bytes = number_of(seed, block).to_be_bytes();
    let len = u64::from(block.len_bytes()).min(8);
    let mut at = 0;
    for slice in extents.slices(layout.block_offset(block), len) {
        let end = at + slice.len as usize;
        if slice.is_pad {
            bytes[at..end].fill(0);
        }
        at = end;
    }
    u64::from_be_bytes(bytes)
}

fn number_of(seed: u64, block: BlockRef) -> u64 {
    let place = u64::from(block.piece().number()) << 32 | u64::from(block.number());
    let mut mixed = seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 27
}

fn number_in(block: &Block) -> u64 {
    u64::from_be_bytes(block.bytes().try_into().expect("eight bytes stand for a block"))
}

#[derive(Clone, Debug, Default)]
pub struct DiskCharacter {
    /// For each job.
    pub delay: Duration,
    /// For each block on top.
    pub delay_per_block: Duration,
    /// From when to when writes fail.
    pub fails: Option<Range<Duration>>,
}

#[derive(Debug)]
pub enum Job {
    Check { piece: PieceIndex, blocks: Vec<Held>, want_block_hashes: bool },
    Spill { piece: PieceIndex, blocks: Vec<(BlockRef, Block)> },
}

#[derive(Debug)]
pub struct Disk {
    character: DiskCharacter,
    seed: u64,
    layout: Layout,
    extents: Extents,
    busy_until: Duration,
    spilled: BTreeMap<BlockRef, u64>,
    /// Pieces whose right content is written.
    pub good: BTreeSet<u32>,
}

impl Disk {
    pub fn new(seed: u64, layout: Layout, extents: Extents, character: DiskCharacter) -> Self {
        Self {
            character,
            seed,
            layout,
            extents,
            busy_until: Duration::ZERO,
            spilled: BTreeMap::new(),
            good: BTreeSet::new(),
        }
    }

    /// When a job that is handed in now will be done.
    pub fn done_at(&mut self, job: &Job, now: Duration) -> Duration {
        let blocks = match job {
            Job::Check { blocks, .. } => blocks.len(),
            Job::Spill { blocks, .. } => blocks.len(),
        };
        let takes = self.character.delay + self.character.delay_per_block * blocks as u32;
        self.busy_until = self.busy_until.max(now) + takes;
        self.busy_until
    }

    /// Does the job; the answer for the brain.
    pub fn finish(&mut self, job: Job, now: Duration) -> Input {
        let fails = self.character.fails.as_ref().is_some_and(|fails| fails.contains(&now));
        match job {
            Job::Check { piece, blocks, want_block_hashes } => {
                let verdict = self.check(piece, blocks, want_block_hashes, fails);
                Input::PieceChecked { piece, verdict }
            }
            Job::Spill { piece, blocks } if fails => {
                Input::Spilled { piece, failed: Some((blocks, "disk full".into())) }
            }
            Job::Spill { piece, blocks } => {
                let written = blocks.iter().map(|(block, data)| (*block, number_in(data)));
                self.spilled.extend(written);
                Input::Spilled { piece, failed: None }
            }
        }
    }

    fn check(&mut self, piece: PieceIndex, held: Vec<Held>, want: bool, fails: bool) -> Verdict {
        let blocks: Vec<_> = self.layout.blocks(piece).collect();
        assert_eq!(blocks.len(), held.len(), "a piece goes to the check whole");
        let (mut hashes, mut right) = (Vec::new(), true);
        for (block, held) in blocks.iter().zip(&held) {
            let expected = content(self.seed, &self.layout, &self.extents, *block);
            let found = match held {
                Held::Data(data) => number_in(data),
                Held::Pad => expected,
                Held::OnDisk => self.spilled[block],
            };
            right &= found == expected;
            let mut hash = [0; 20];
            hash[..8].copy_from_slice(&found.to_be_bytes());
            hashes.push(hash);
        }
        if !right {
            return Verdict::Bad(hashes);
        }
        if fails {
            return Verdict::WriteFailed(held, "disk full".into());
        }
        assert!(self.good.insert(piece.number()), "a piece is written once");
        Verdict::Good(want.then_some(hashes))
    }
}

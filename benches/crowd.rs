//! What the brain of one torrent costs in a crowd: a whole download from 80, 400 or 1,000 links,
//! the end game included, without sockets, hashes or disks. Remotes of unlike speed answer with
//! reports of four blocks, sixteen reports a batch; a quarter of the time of one core is spent
//! making them, and is not counted. Figures are bytes per second of the brain's own time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pigeon::base::bitfield::Bitfield;
use pigeon::base::extents::Extents;
use pigeon::base::ids::{InfoHash, LinkId, PeerId};
use pigeon::base::layout::{BlockRef, Layout};
use pigeon::base::pool::{Block, BlockPool};
use pigeon::base::units::BLOCK_LEN;
use pigeon::swarm::event::{Input, Output, Verdict};
use pigeon::swarm::link::{Availability, LinkCaps, LinkCommand, LinkEvent, Unit};
use pigeon::swarm::{Swarm, SwarmConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const TOTAL_LEN: u64 = 400 << 20;
/// Blocks of one report, as one read of a fast link brings them.
const REPORT_BLOCKS: usize = 4;
/// Reports that the actor takes in at once.
const BATCH: usize = 16;
/// Bytes per second of virtual time.
const RATE: f64 = 1e9;

fn main() {
    println!("links pieces       download     end game        worst    in all");
    for seeds in [true, false] {
        for links in [80, 400, 1000] {
            for piece_len in [64 << 10, 1 << 20] {
                let mut runs: Vec<Cost> = (0..3).map(|_| run(links, piece_len, seeds)).collect();
                runs.sort_by_key(|cost| cost.download + cost.end);
                let cost = &runs[1];
                println!(
                    "{links:>5} {:>4} KiB {} {:>8.0} MB/s {:>8.0} MB/s {:>9.1?} {:>6.0} MB/s",
                    piece_len >> 10,
                    if seeds { "seeds   " } else { "leechers" },
                    rate(cost.bytes - cost.end_bytes, cost.download),
                    rate(cost.end_bytes, cost.end),
                    cost.worst,
                    rate(cost.bytes, cost.download + cost.end),
                );
            }
        }
    }
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64().max(1e-9) / 1e6
}

/// What one download cost the brain.
#[derive(Default)]
struct Cost {
    bytes: u64,
    end_bytes: u64,
    download: Duration,
    end: Duration,
    worst: Duration,
}

struct Remote {
    link: LinkId,
    owed: VecDeque<BlockRef>,
    /// It answers in one of so many rounds.
    pace: u32,
    has: Option<Bitfield>,
}

struct Crowd {
    swarm: Swarm,
    layout: Layout,
    pool: BlockPool,
    now: Instant,
    rng: StdRng,
    remotes: Vec<Remote>,
    /// What the disk has to say.
    verdicts: Vec<Input>,
    cost: Cost,
}

fn run(links: usize, piece_len: u32, seeds: bool) -> Cost {
    let mut crowd = Crowd::new(links, piece_len, seeds);
    let mut round = 0;
    while !crowd.swarm.is_complete() {
        round += 1;
        crowd.round(round);
        assert!(round < 1_000_000, "the download stands still");
    }
    crowd.cost
}

impl Crowd {
    fn new(links: usize, piece_len: u32, seeds: bool) -> Self {
        let layout = Layout::new(TOTAL_LEN, piece_len).expect("a layout");
        let pieces = layout.piece_count();
        let now = Instant::now();
        let config = SwarmConfig {
            exchanges_peers: false,
            metadata: None,
            layout,
            extents: Extents::new([(TOTAL_LEN, false)]),
            info_hash: InfoHash([7; 20]),
            have: Bitfield::none(pieces),
            proven: Bitfield::none(pieces),
            wanted: Bitfield::all(pieces),
            share_blocks: 8192,
            max_peers: links,
            is_private: false,
            sequential: false,
            peer_id: PeerId([200; 20]),
            listen_port: 6881,
            seed: 1,
        };
        let mut crowd = Self {
            swarm: Swarm::new(config, now),
            layout,
            pool: BlockPool::new(4 * TOTAL_LEN as usize),
            now,
            rng: StdRng::seed_from_u64(1),
            remotes: Vec::new(),
            verdicts: Vec::new(),
            cost: Cost::default(),
        };
        for number in 0..links {
            crowd.open(number, seeds);
        }
        crowd.cost = Cost::default();
        crowd
    }

    fn open(&mut self, number: usize, seeds: bool) {
        let host = [10, 0, (number >> 8) as u8, number as u8];
        let link = self.swarm.admit(SocketAddr::from((host, 6881)), self.now).expect("a place");
        let caps = LinkCaps {
            unit: Unit::Block,
            chokes: true,
            pipeline_max: 250,
            can_upload_to: true,
            fast: true,
            extended: true,
            mse: None,
            is_way_unsure: false,
        };
        let mut id = [0; 20];
        self.rng.fill(&mut id);
        // Nine of ten leechers have half of the pieces.
        let is_seed = seeds || number.is_multiple_of(10);
        let has = (!is_seed).then(|| {
            let mut has = Bitfield::none(self.layout.piece_count());
            for piece in self.layout.pieces().filter(|_| self.rng.random_bool(0.5)) {
                has.insert(piece);
            }
            has
        });
        let pace = self.rng.random_range(1..=8);
        let told = has.clone().map_or(Availability::All, Availability::Some);
        self.remotes.push(Remote { link, owed: VecDeque::new(), pace, has });
        let events = vec![LinkEvent::Availability(told), LinkEvent::Unchoked];
        let up = Input::LinkUp { link, peer_id: PeerId(id), caps };
        self.pass(vec![up, Input::LinkEvents { link, events }]);
    }

    /// Everybody whose turn it is answers.
    fn round(&mut self, round: u32) {
        let mut facts = Vec::new();
        for at in 0..self.remotes.len() {
            let report = self.report(at, round);
            facts.extend(report);
            if facts.len() >= BATCH {
                self.pass(std::mem::take(&mut facts));
            }
        }
        // Also a round in which nobody answers takes its time.
        self.now += Duration::from_micros(10);
        self.pass(facts);
    }

    fn report(&mut self, at: usize, round: u32) -> Option<Input> {
        let remote = &mut self.remotes[at];
        if !round.is_multiple_of(remote.pace) {
            return None;
        }
        let count = remote.owed.len().min(REPORT_BLOCKS);
        let mut buffers: Vec<Block> = Vec::with_capacity(count);
        self.pool.take(count, &mut buffers);
        let blocks: Vec<_> = remote.owed.drain(..count).zip(buffers).collect();
        self.now += Duration::from_secs_f64((count * BLOCK_LEN) as f64 / RATE);
        let mut events = Vec::new();
        if let Some(has) = &mut remote.has
            && self.rng.random_bool(0.1)
            && let Some(piece) = self.layout.piece(self.rng.random_range(0..has.piece_count()))
            && has.insert(piece)
        {
            events.push(LinkEvent::Haves(vec![piece]));
        }
        if !blocks.is_empty() {
            events.push(LinkEvent::Blocks(blocks));
        }
        (!events.is_empty()).then_some(Input::LinkEvents { link: remote.link, events })
    }

    /// Hands the facts to the brain as its actor does, and carries out what it says.
    fn pass(&mut self, mut facts: Vec<Input>) {
        facts.append(&mut self.verdicts);
        let bytes: u64 = facts.iter().map(payload).sum();
        let is_end = self.swarm.is_endgame();
        let began = Instant::now();
        let mut outputs = Vec::new();
        for fact in facts {
            self.swarm.note(fact, self.now);
        }
        self.swarm.settle(self.now);
        while self.swarm.next_timeout().is_some_and(|at| at <= self.now) {
            self.swarm.handle(Input::Tick, self.now);
        }
        while let Some(output) = self.swarm.poll_output() {
            outputs.push(output);
        }
        let took = began.elapsed();
        self.cost.bytes += bytes;
        self.cost.worst = self.cost.worst.max(took);
        if is_end {
            self.cost.end += took;
            self.cost.end_bytes += bytes;
        } else {
            self.cost.download += took;
        }
        outputs.into_iter().for_each(|output| self.carry_out(output));
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { link, command: LinkCommand::Request(blocks) } => {
                self.remotes[link.0 as usize].owed.extend(blocks);
            }
            Output::Send { link, command: LinkCommand::Cancel(blocks) } => {
                let owed = &mut self.remotes[link.0 as usize].owed;
                owed.retain(|block| !blocks.contains(block));
            }
            Output::CheckPiece { piece, .. } => {
                let verdict = Verdict::Good(None);
                self.verdicts.push(Input::PieceChecked { piece, verdict });
            }
            Output::SpillBlocks { piece, .. } => {
                self.verdicts.push(Input::Spilled { piece, failed: None });
            }
            _ => {}
        }
    }
}

fn payload(fact: &Input) -> u64 {
    let Input::LinkEvents { events, .. } = fact else { return 0 };
    let bytes = |event: &LinkEvent| match event {
        LinkEvent::Blocks(blocks) => blocks.iter().map(|(it, _)| u64::from(it.len_bytes())).sum(),
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

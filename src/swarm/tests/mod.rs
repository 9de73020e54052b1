//! Behaviour of the brain, in virtual time: facts in, and an exact list of effects out, as
//! short lines of text. Peers are called by the number of their host.

mod blame;
mod causes;
mod choker;
mod dials;
mod disk;
mod endgame;
mod fetching;
mod private;
mod report;
mod runs;
mod seeker;
mod talk;
mod twins;
mod upload;
mod urgency;
mod whole;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::bitfield::Bitfield;
use crate::base::extents::Extents;
use crate::base::ids::{InfoHash, LinkId, PeerId};
use crate::base::layout::{BlockRef, Layout, PieceIndex};
use crate::base::pool::{Block, BlockPool};
use crate::base::units::BLOCK_LEN;

use super::event::{DownReason, Event, Held, Input, Output, Source, Verdict};
use super::link::{
    Ask, Availability, Endpoint, ExtendedCommand, LinkCaps, LinkCommand, LinkEvent, PeerCommand,
    Run, Unit,
};
use super::{Swarm, SwarmConfig};

/// Our own peer id in all tests.
const OURS: u8 = 100;

/// A brain, a clock, and what it sent to the disk.
struct Bench {
    swarm: Swarm,
    layout: Layout,
    now: Instant,
    pool: BlockPool,
    links: BTreeMap<u8, LinkId>,
    at_disk: BTreeMap<u32, Vec<Held>>,
    /// Whether pieces that went to the check may wait for others.
    may_wait: BTreeMap<u32, bool>,
    spilled: BTreeMap<u32, Vec<(BlockRef, Block)>>,
    /// How many runs of each link to a server are over.
    ends_told: BTreeMap<u64, u64>,
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, host], 6881))
}

fn peer_id(host: u8) -> PeerId {
    PeerId([host; 20])
}

fn set(count: u32, ones: &[u32]) -> Bitfield {
    let layout = Layout::new(u64::from(count), 1).unwrap();
    let mut set = Bitfield::none(count);
    ones.iter().for_each(|one| {
        set.insert(layout.piece(*one).unwrap());
    });
    set
}

fn lost() -> DownReason {
    DownReason::Lost("reset".into())
}

/// Of a torrent of which nothing is here, with pieces of so many blocks.
fn config(pieces: u32, blocks: u32) -> SwarmConfig {
    let piece_len = blocks * BLOCK_LEN as u32;
    let total_len = u64::from(pieces) * u64::from(piece_len);
    let layout = Layout::new(total_len, piece_len).unwrap();
    SwarmConfig {
        exchanges_peers: false,
        metadata: None,
        layout,
        extents: Extents::new([(total_len, false)]),
        info_hash: InfoHash([7; 20]),
        have: Bitfield::none(pieces),
        proven: Bitfield::none(pieces),
        wanted: Bitfield::all(pieces),
        share_blocks: 2048,
        max_peers: 50,
        listen_port: 6881,
        is_private: false,
        sequential: true,
        peer_id: peer_id(OURS),
        seed: 1,
    }
}

impl Bench {
    /// Pieces of four blocks each, taken in order unless a test says otherwise.
    fn new(pieces: u32) -> Self {
        Self::with(pieces, 4, |_| {})
    }

    fn with(pieces: u32, blocks: u32, change: impl FnOnce(&mut SwarmConfig)) -> Self {
        let mut config = config(pieces, blocks);
        change(&mut config);
        let (now, layout) = (Instant::now(), config.layout);
        Self {
            swarm: Swarm::new(config, now),
            layout,
            now,
            pool: BlockPool::new(8192 * BLOCK_LEN),
            links: BTreeMap::new(),
            at_disk: BTreeMap::new(),
            may_wait: BTreeMap::new(),
            spilled: BTreeMap::new(),
            ends_told: BTreeMap::new(),
        }
    }

    fn handle(&mut self, input: Input) -> Vec<String> {
        self.swarm.handle(input, self.now);
        let mut lines = Vec::new();
        while let Some(output) = self.swarm.poll_output() {
            lines.push(self.line(output));
        }
        self.swarm.check_invariants();
        lines
    }

    /// Lets time pass, with a tick whenever the brain wants one.
    fn wait(&mut self, seconds: f64) -> Vec<String> {
        let end = self.now + Duration::from_secs_f64(seconds);
        let mut lines = Vec::new();
        let mut ticks_at_once = 0;
        while let Some(at) = self.swarm.next_timeout().filter(|at| *at <= end) {
            ticks_at_once = if at > self.now { 0 } else { ticks_at_once + 1 };
            assert!(ticks_at_once < 4, "the brain asks for ticks without end");
            self.now = self.now.max(at);
            lines.extend(self.handle(Input::Tick));
        }
        self.now = end;
        lines
    }

    fn up_as(&mut self, host: u8, id: PeerId, fast: bool) -> Vec<String> {
        let link = self.swarm.admit(address(host), self.now).unwrap();
        self.links.insert(host, link);
        self.handle(Input::LinkUp { link, peer_id: id, caps: caps(fast) })
    }

    fn up(&mut self, host: u8) -> Vec<String> {
        self.up_as(host, peer_id(host), false)
    }

    fn down(&mut self, host: u8) -> Vec<String> {
        self.handle(Input::LinkDown { link: self.links[&host], reason: lost() })
    }

    fn events(&mut self, host: u8, events: Vec<LinkEvent>) -> Vec<String> {
        self.handle(Input::LinkEvents { link: self.links[&host], events })
    }

    fn event(&mut self, host: u8, event: LinkEvent) -> Vec<String> {
        self.events(host, vec![event])
    }

    /// A peer with these pieces that comes up and unchokes at once.
    fn open(&mut self, host: u8, pieces: Availability) -> Vec<String> {
        self.up(host);
        self.events(host, vec![LinkEvent::Availability(pieces), LinkEvent::Unchoked])
    }

    fn open_fast(&mut self, host: u8, pieces: Availability) -> Vec<String> {
        self.up_as(host, peer_id(host), true);
        self.events(host, vec![LinkEvent::Availability(pieces), LinkEvent::Unchoked])
    }

    fn seed(&mut self, host: u8) -> Vec<String> {
        self.open(host, Availability::All)
    }

    fn piece(&self, number: u32) -> PieceIndex {
        self.layout.piece(number).unwrap()
    }

    /// `"3.1"` is block 1 of piece 3.
    fn block(&self, name: &str) -> BlockRef {
        let (piece, number) = name.split_once('.').unwrap();
        let piece = self.piece(piece.parse().unwrap());
        self.layout.block(piece, number.parse().unwrap()).unwrap()
    }

    fn data(&self) -> Block {
        let mut blocks = Vec::new();
        assert_eq!(self.pool.take(1, &mut blocks), 1);
        blocks.pop().unwrap()
    }

    /// The peer sends these blocks in one batch.
    fn deliver(&mut self, host: u8, names: &str) -> Vec<String> {
        let blocks = names.split(' ').map(|name| (self.block(name), self.data())).collect();
        self.event(host, LinkEvent::Blocks(blocks))
    }

    fn refuse(&mut self, host: u8, name: &str, lasting: bool) -> Vec<String> {
        let block = self.block(name);
        self.event(host, LinkEvent::Refused { block, lasting })
    }

    fn ask(&self, piece: u32) -> Ask {
        Ask { piece: self.piece(piece), begin: 0, len: 16384 }
    }

    fn verdict(&mut self, piece: u32, verdict: Verdict) -> Vec<String> {
        let piece = self.piece(piece);
        self.handle(Input::PieceChecked { piece, verdict })
    }

    fn good(&mut self, piece: u32) -> Vec<String> {
        self.at_disk.remove(&piece).unwrap();
        self.verdict(piece, Verdict::Good(None))
    }

    /// The piece is wrong; the hash of each block is made of one byte of `hashes`.
    fn bad(&mut self, piece: u32, hashes: &[u8]) -> Vec<String> {
        self.at_disk.remove(&piece).unwrap();
        self.verdict(piece, Verdict::Bad(hashes.iter().map(|byte| [*byte; 20]).collect()))
    }

    fn write_failed(&mut self, piece: u32) -> Vec<String> {
        let blocks = self.at_disk.remove(&piece).unwrap();
        self.verdict(piece, Verdict::WriteFailed(blocks, "no space".into()))
    }

    fn learn(&mut self, source: Source, hosts: std::ops::Range<u8>) -> Vec<String> {
        let addresses = hosts.map(address).collect();
        self.handle(Input::Candidates { source, addresses })
    }

    fn dialled(&mut self, link: u64, host: u8) -> Vec<String> {
        self.links.insert(host, LinkId(link));
        let caps = caps(false);
        self.handle(Input::LinkUp { link: LinkId(link), peer_id: peer_id(host), caps })
    }

    fn host(&self, link: LinkId) -> String {
        match self.links.iter().find(|(_, other)| **other == link) {
            Some((host, _)) => format!("peer {host}"),
            None => format!("link {}", link.0),
        }
    }

    fn line(&mut self, output: Output) -> String {
        match output {
            Output::Dial { link, address, .. } => {
                format!("dial {} as {}", host_of(address), link.0)
            }
            Output::Lease { link, source } => format!("lease source {} as {}", source.0, link.0),
            Output::Send { link, command } => format!("{}: {}", self.host(link), order(&command)),
            Output::CheckPiece { piece, blocks, want_block_hashes, may_wait } => {
                self.may_wait.insert(piece.number(), may_wait);
                let kinds: Vec<_> = blocks.iter().map(kind).collect();
                self.at_disk.insert(piece.number(), blocks);
                let hashes = if want_block_hashes { " with hashes" } else { "" };
                format!("check {} [{}]{hashes}", piece.number(), kinds.join(" "))
            }
            Output::PreparePiece { piece, prove } => {
                let how = if prove { "prove" } else { "warm" };
                format!("{how} {}", piece.number())
            }
            Output::SpillBlocks { piece, blocks } => {
                let line = format!("spill {}", names(blocks.iter().map(|(block, _)| *block)));
                self.spilled.insert(piece.number(), blocks);
                line
            }
            Output::Event(event) => news(&event),
        }
    }
}

fn caps(fast: bool) -> LinkCaps {
    LinkCaps {
        unit: Unit::Block,
        chokes: true,
        pipeline_max: 250,
        can_upload_to: true,
        fast,
        extended: true,
        mse: None,
        is_way_unsure: false,
    }
}

fn host_of(address: SocketAddr) -> u8 {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!("tests use IPv4"),
    }
}

fn name_of(endpoint: Endpoint) -> String {
    match endpoint {
        Endpoint::Peer(address) => host_of(address).to_string(),
        Endpoint::Source(source) => format!("source {}", source.0),
    }
}

fn kind(held: &Held) -> &'static str {
    match held {
        Held::Data(_) => "data",
        Held::Pad => "pad",
        Held::OnDisk => "disk",
    }
}

fn names(blocks: impl IntoIterator<Item = BlockRef>) -> String {
    let name = |block: BlockRef| format!("{}.{}", block.piece().number(), block.number());
    blocks.into_iter().map(name).collect::<Vec<_>>().join(" ")
}

fn order(command: &LinkCommand) -> String {
    match command {
        LinkCommand::Request(blocks) => format!("request {}", names(blocks.iter().copied())),
        LinkCommand::Cancel(blocks) => format!("cancel {}", names(blocks.iter().copied())),
        LinkCommand::Fetch(Run { first, end, skip, is_of_whole_file }) => {
            let how = if *is_of_whole_file { " of a whole file" } else { "" };
            let from = if *skip > 0 { format!(" from block {skip}") } else { String::new() };
            format!("fetch {}..{end}{from}{how}", first.number())
        }
        LinkCommand::Shorten(end) => format!("shorten to {end}"),
        LinkCommand::Peer(command) => order_to_peer(command),
        LinkCommand::Close(reason) => format!("close, {reason}"),
    }
}

fn order_to_peer(command: &PeerCommand) -> String {
    match command {
        PeerCommand::Availability(Availability::All) => "have all".into(),
        PeerCommand::Availability(Availability::None) => "have none".into(),
        PeerCommand::Availability(Availability::Some(set)) => {
            format!("have {:?}", set.iter_ones().collect::<Vec<_>>())
        }
        PeerCommand::Have(pieces) => {
            format!("have now {:?}", pieces.iter().map(|p| p.number()).collect::<Vec<_>>())
        }
        PeerCommand::SendBlocks(asks) => {
            let name = |ask: &Ask| format!("{}+{}:{}", ask.piece.number(), ask.begin, ask.len);
            format!("send {}", asks.iter().map(name).collect::<Vec<_>>().join(" "))
        }
        PeerCommand::AllowFast(pieces) => {
            format!("allow {:?}", pieces.iter().map(|p| p.number()).collect::<Vec<_>>())
        }
        PeerCommand::Choke => "choke".into(),
        PeerCommand::Unchoke => "unchoke".into(),
        PeerCommand::Interested => "interested".into(),
        PeerCommand::NotInterested => "not interested".into(),
        PeerCommand::Refuse(ask) => format!("refuse {}", ask.piece.number()),
        PeerCommand::StopExchange => "stop exchange".into(),
        PeerCommand::Extended(ExtendedCommand::UploadOnly(is_so)) => {
            format!("upload only: {is_so}")
        }
        PeerCommand::Extended(ExtendedCommand::Metadata(command)) => {
            format!("metadata {command:?}")
        }
        PeerCommand::Extended(ExtendedCommand::TellPeers(peers)) => format!("peers {peers:?}"),
    }
}

fn news(event: &Event) -> String {
    match event {
        Event::FirstPeer(address) => format!("first peer {}", host_of(*address)),
        Event::PieceVerified(piece) => format!("verified {}", piece.number()),
        Event::HashFailed { piece, blamed } => {
            let blamed = blamed.map_or("nobody".into(), name_of);
            format!("wrong {}, blamed {blamed}", piece.number())
        }
        Event::PieceLost { piece, why } => format!("lost {}, {why}", piece.number()),
        Event::Banned(address) => format!("banned {}", host_of(*address)),
        Event::Reassigned { piece, peer, .. } => {
            format!("reassigned {} of {}", piece.number(), host_of(*peer))
        }
        Event::DiskTrouble(why) => format!("disk trouble, {why}"),
        Event::DiskRecovered => "disk works".into(),
        Event::Completed => "completed".into(),
    }
}

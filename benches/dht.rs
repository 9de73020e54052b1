//! What an answered query of the DHT costs the machine, and what stored peers cost in memory:
//! 10,000 have to take at most 160 KiB, a query at most 3 µs and no allocation.

use std::net::SocketAddr;
use std::time::Instant;

use divan::{AllocProfiler, Bencher, black_box};
use pigeon::base::ids::InfoHash;
use pigeon::dht::NodeId;
use pigeon::dht::answer::{Answers, Around, Asked, Outcome};
use pigeon::dht::compact::NodeInfo;
use pigeon::dht::gate::Gate;
use pigeon::dht::message::{Body, Message, Method, Query, Want};
use pigeon::dht::nets::Family;
use pigeon::dht::peers::PeerStore;
use pigeon::dht::table::Table;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const HASH: InfoHash = InfoHash([0x5a; 20]);

fn main() {
    for (torrents, peers) in [(20, 500), (100, 100), (1_000, 10)] {
        store_memory(torrents, peers);
    }
    divan::main();
}

fn store_memory(torrents: u32, peers: u32) {
    let now = Instant::now();
    let mut store = PeerStore::new(NodeId([0; 20]), Family::V4, now);
    for n in 0..torrents * peers {
        let mut hash = HASH;
        hash.0[16..].copy_from_slice(&(n % torrents).to_be_bytes());
        let [_, b, c, d] = n.to_be_bytes();
        store.announce(hash, ([9, b, c, d], 6881).into(), false, now).expect("room");
    }
    let (count, memory) = (store.peers(), store.memory());
    println!("{torrents} torrents, {count} peers: {memory} B, {} B each", memory / count);
}

/// A node with 300 others in its table and 100 peers of one torrent.
struct World {
    answers: Answers,
    table: Table,
    gate: Gate,
    rng: StdRng,
    now: Instant,
    out: Vec<u8>,
}

fn query(method: Method<'_>) -> Vec<u8> {
    let want = Want::default();
    let mut bytes = Vec::new();
    Query { id: NodeId([7; 20]), read_only: false, want, method }.write(b"abcd", &mut bytes);
    bytes
}

fn get_peers(scrape: bool) -> Vec<u8> {
    query(Method::GetPeers { hash: HASH, noseed: false, scrape })
}

impl World {
    fn new() -> Self {
        let (mut rng, now) = (StdRng::seed_from_u64(6), Instant::now());
        let own = NodeId::random(&mut rng);
        let mut table = Table::new(own, now);
        for n in 0..300_u16 {
            let [high, low] = n.to_be_bytes();
            let address: SocketAddr = ([60, high, low, 1], 6881).into();
            let id = NodeId::random_for(address.ip(), &mut rng);
            table.answered(NodeInfo { id, address }, None, now);
        }
        let answers = Answers::new(own, Family::V4, &mut rng, now);
        let gate = Gate::new(64, &mut rng, now);
        let mut world = Self { answers, table, gate, rng, now, out: Vec::new() };
        for port in 0..100 {
            world.announce(1_000 + port);
        }
        world
    }

    /// Loopback has no limits, and all of the rest is the same.
    fn answer(&mut self, datagram: &[u8], port: u16) -> usize {
        let message = Message::decode(black_box(datagram));
        let from = ([127, 0, 0, 1], port).into();
        let asked = Asked { message, len: datagram.len(), from };
        let (table, gate, rng) = (&self.table, &mut self.gate, &mut self.rng);
        let around = Around { table, own_peer: None, gate, rng, now: self.now };
        let outcome = self.answers.answer(&asked, around, &mut self.out);
        assert_eq!(outcome, Outcome::Answered);
        self.out.len()
    }

    fn announce(&mut self, port: u16) {
        self.answer(&get_peers(false), port);
        let token = match Message::decode(&self.out).expect("a reply").body {
            Body::Reply(reply) => reply.token.expect("room").to_vec(),
            other => panic!("{other:?}"),
        };
        let (hash, implied, seed) = (HASH, false, false);
        let method = Method::AnnouncePeer { hash, port, implied, seed, token: &token };
        self.answer(&query(method), port);
    }
}

fn answers(bencher: Bencher, datagram: &[u8]) {
    let mut world = World::new();
    world.answer(datagram, 1);
    bencher.bench_local(|| world.answer(datagram, 1));
}

#[divan::bench]
fn ping(bencher: Bencher) {
    answers(bencher, &query(Method::Ping));
}

#[divan::bench]
fn find_node(bencher: Bencher) {
    answers(bencher, &query(Method::FindNode { target: NodeId([0x5a; 20]) }));
}

#[divan::bench]
fn get_peers_with_50_values(bencher: Bencher) {
    answers(bencher, &get_peers(false));
}

#[divan::bench]
fn get_peers_without_values(bencher: Bencher) {
    let hash = InfoHash([1; 20]);
    answers(bencher, &query(Method::GetPeers { hash, noseed: false, scrape: false }));
}

#[divan::bench]
fn scrape_of_100_peers(bencher: Bencher) {
    answers(bencher, &get_peers(true));
}

//! A node in virtual time: its exact packets to others that are written by hand, and some fifty
//! real ones among dead ones.

mod anything;
mod packets;
mod recovery;
mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::compact::NodeInfo;
use super::super::contacts::Start;
use super::super::event::{Config, Haste, Hint, Input, Output, Tally, Ticket};
use super::super::id::NodeId;
use super::super::message::{Body, Message, Method, Reply};
use super::super::nets::Family;
use super::super::saved::Saved;
use super::Node;
use crate::base::ids::InfoHash;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HASH: InfoHash = InfoHash([0; 20]);

/// A query of ours, as it left.
#[derive(Clone, PartialEq, Debug)]
struct Asked {
    to: SocketAddr,
    tid: Vec<u8>,
    name: &'static str,
    target: Option<NodeId>,
    bytes: Vec<u8>,
}

/// One node, and the others as hand-written bytes.
struct Bench {
    node: Node,
    now: Instant,
    asked: Vec<Asked>,
    told: Vec<Output>,
    wakes: usize,
}

/// The id at a distance from [`HASH`].
fn id(far: u16) -> NodeId {
    let mut id = [0; 20];
    id[..2].copy_from_slice(&far.to_be_bytes());
    NodeId(id)
}

/// A node at a distance, in a site of its own.
fn info(far: u16) -> NodeInfo {
    let [high, low] = far.to_be_bytes();
    NodeInfo { id: id(far), address: SocketAddr::from(([60, low, high, 1], 6881)) }
}

fn config() -> Config {
    let local = SocketAddr::from(([0, 0, 0, 0], 6881));
    Config { local, seed: [9; 32], read_only: false, fresh_flows: 64 }
}

/// `dht.dat` of a node with the id of all ones, so that others are all in its far bucket.
fn saved(fars: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let start = |far| Start::new(info(far), None);
    let nodes = fars.into_iter().map(start).collect();
    Saved { id: NodeId([0xff; 20]), port: 0, made_for: None, nodes }.write(Family::V4)
}

/// A dictionary of a reply, with what is inside `r` behind the id.
fn reply(tid: &[u8], id: NodeId, rest: &[u8]) -> Vec<u8> {
    [b"d1:rd2:id20:", &id.0[..], rest, b"e1:t4:", tid, b"1:y1:re"].concat()
}

/// `nodes` of these, then a token.
fn nodes(fars: &[u16]) -> Vec<u8> {
    let mut list = Vec::new();
    fars.iter().for_each(|far| info(*far).write(&mut list));
    [format!("5:nodes{}:", list.len()).as_bytes(), &list, b"5:token3:abc"].concat()
}

impl Bench {
    fn new(saved: Option<&[u8]>) -> Self {
        let now = Instant::now();
        let node = Node::new(config(), saved, now);
        let mut bench = Self { node, now, asked: Vec::new(), told: Vec::new(), wakes: 0 };
        bench.take();
        bench
    }

    /// One whose table holds nodes at these distances, and nothing is under way.
    fn with(fars: impl IntoIterator<Item = u16>) -> Self {
        let fars: Vec<u16> = fars.into_iter().collect();
        let mut bench = Self::new(Some(&saved(fars.iter().copied())));
        let answer = |_: &Asked| Some(b"5:token3:abc".to_vec());
        bench.run(bench.now + 5 * S, answer);
        for far in fars {
            let ticket = Ticket(u64::from(far) + 100_000);
            bench.handle(Input::Ping { ticket, address: info(far).address });
            bench.run(bench.now + S, answer);
        }
        bench.run(bench.now + 120 * S, answer);
        bench.asked.clear();
        bench.told.clear();
        bench
    }

    fn take(&mut self) {
        self.node.check_invariants(self.now);
        while let Some(output) = self.node.poll_output() {
            let Output::Send { to, bytes } = output else {
                self.told.push(output);
                continue;
            };
            let message = Message::decode(&bytes).expect("ours are well-formed");
            let Body::Query(query) = message.body else { continue };
            let (name, target) = match query.method {
                Method::Ping => ("ping", None),
                Method::FindNode { target } => ("find_node", Some(target)),
                Method::GetPeers { hash, .. } => ("get_peers", Some(hash.into())),
                Method::AnnouncePeer { hash, .. } => ("announce_peer", Some(hash.into())),
                Method::Get { target, .. } => ("get", Some(target)),
                Method::Put { .. } => ("put", None),
                _ => ("other", None),
            };
            let tid = message.transaction.to_vec();
            self.asked.push(Asked { to, tid, name, target, bytes: bytes.clone() });
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(input, self.now);
        self.take();
    }

    /// Lets time pass to `end`; `answer` says what is inside the reply to each query, none for
    /// silence. Replies take 50 ms.
    fn run(&mut self, end: Instant, mut answer: impl FnMut(&Asked) -> Option<Vec<u8>>) {
        let mut replies: Vec<(Instant, SocketAddr, Vec<u8>)> = Vec::new();
        let mut seen = 0;
        loop {
            for asked in &self.asked[seen..] {
                let [_, low, high, _] = octets(asked.to);
                let far = u16::from_be_bytes([high, low]);
                if let Some(rest) = answer(asked) {
                    let bytes = reply(&asked.tid, id(far), &rest);
                    replies.push((self.now + 50 * MS, asked.to, bytes));
                }
            }
            seen = self.asked.len();
            let wake = self.node.next_timeout();
            let due = replies.iter().map(|(at, ..)| *at).min();
            let Some(next) = wake.into_iter().chain(due).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            match replies.iter().position(|(at, ..)| *at <= self.now) {
                Some(at) => {
                    let (_, from, bytes) = replies.remove(at);
                    self.handle(Input::Datagram { from, bytes: &bytes });
                }
                None => {
                    self.wakes += 1;
                    self.handle(Input::Wake);
                }
            }
        }
    }

    fn find(&mut self, number: u64) {
        let ticket = Ticket(number);
        self.handle(Input::Find { ticket, hash: HASH, haste: Haste::Urgent });
    }

    fn announce(&mut self, haste: Haste) {
        let announce =
            Input::Announce { hash: HASH, port: 7_000, implied: false, seed: false, haste };
        self.handle(announce);
    }

    /// The last query of this name to a node, which is still to be answered.
    fn query(&self, name: &str, far: u16) -> Asked {
        let to = info(far).address;
        let fits = |asked: &&Asked| asked.name == name && asked.to == to;
        let found = self.asked.iter().rev().find(fits);
        found.unwrap_or_else(|| panic!("no {name} to {far}: {:?}", self.names())).clone()
    }

    fn answer(&mut self, name: &str, far: u16, rest: &[u8]) {
        let asked = self.query(name, far);
        let bytes = reply(&asked.tid, id(far), rest);
        self.handle(Input::Datagram { from: asked.to, bytes: &bytes });
    }

    /// Names and distances of what was asked.
    fn names(&self) -> Vec<(&'static str, u16)> {
        let name = |asked: &Asked| {
            let [_, low, high, _] = octets(asked.to);
            (asked.name, u16::from_be_bytes([high, low]))
        };
        self.asked.iter().map(name).collect()
    }

    fn ended(&self, number: u64) -> Option<Tally> {
        self.told.iter().find_map(|output| match output {
            Output::Ended { ticket: Ticket(ended), tally } if *ended == number => Some(*tally),
            _ => None,
        })
    }

    fn peers(&self) -> Vec<SocketAddr> {
        let peers = self.told.iter().filter_map(|output| match output {
            Output::Peers { peers, .. } => Some(peers.clone()),
            _ => None,
        });
        peers.flatten().collect()
    }
}

fn octets(address: SocketAddr) -> [u8; 4] {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => panic!("no such node"),
    }
}

fn hint(bench: &mut Bench, far: u16, by: Hint) {
    bench.handle(Input::Hinted { address: info(far).address, by });
}
